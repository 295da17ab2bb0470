//! Behaviour, shown through the outermost surface that can show it. One binary, so that it links once.

mod cli;
mod manifests;
mod tour;

//! Behaviour, shown through the outermost surface that can show it. One binary, so that it links once.
//!
//! The modules say `cfg(test)`, which is always so here, so that clippy knows their helpers for test code.

#[cfg(test)]
mod server;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod wire;

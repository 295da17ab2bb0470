//! Behaviour, shown through the outermost surface that can show it. One binary, so that it links once.

// `cfg(test)` tells clippy that helpers beside the tests are tests too.
#[cfg(test)]
mod config;

//! Behaviour, shown through the outermost surface that can show it. One binary, so that it links once.

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tokens;

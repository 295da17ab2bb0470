//! Redis fails under load, and an independent checker judges what was seen. One binary: its runs take turns.

#[cfg(test)]
mod checker;
#[cfg(test)]
mod history;

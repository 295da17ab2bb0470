//! jeton: the token service of a microservice platform.
//!
//! The rooms and what each may name: `ARCHITECTURE.md`, checked by `tests/architecture.rs`.

pub mod clock;
pub mod config;
pub mod store;

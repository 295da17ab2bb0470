//! jeton: the token service of a microservice platform.
//!
//! The rooms and what each may name: `ARCHITECTURE.md`, checked by `tests/architecture.rs`.

pub mod clock;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod transport;

pub use transport::grpc::api;

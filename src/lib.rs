//! jeton: the token service of a microservice platform.
//!
//! The rooms and what each may name: `ARCHITECTURE.md`, checked by `tests/architecture.rs`.

pub mod app;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod coalescing;
pub mod config;
pub mod floors;
pub mod outbound;
pub mod random;
pub mod records;
pub mod roots;
pub mod service;
pub mod signing;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod tokens;
pub mod transport;

pub use transport::grpc::api;

//! jeton: the token service of a microservice platform.
//!
//! The rooms and what each may name: `ARCHITECTURE.md`, checked by `tests/architecture.rs`.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod floors;
pub mod random;
pub mod records;
pub mod roots;
pub mod service;
pub mod signing;
pub mod store;
pub mod telemetry;
pub mod tokens;

/// The API as generated from `proto/jeton/v1`.
pub mod api {
    #![expect(clippy::allow_attributes, clippy::allow_attributes_without_reason, reason = "generated")]
    tonic::include_proto!("jeton.v1");

    /// The descriptors of the API, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/jeton_v1.bin"));
}

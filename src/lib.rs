//! jeton: the token service of a microservice platform.
//!
//! The rooms and what each may name: `ARCHITECTURE.md`, checked by `tests/architecture.rs`.

pub mod cli;
pub mod clock;
pub mod service;
pub mod store;

/// The API as generated from `proto/jeton/v1`.
pub mod api {
    #![expect(missing_docs, clippy::all, reason = "generated; documented in the protobuf files")]
    tonic::include_proto!("jeton.v1");

    /// The descriptors of the API, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/jeton_v1.bin"));
}

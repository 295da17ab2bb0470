//! What do we know? Typed, sealed records.

/// The records as generated from `proto/jeton/records/v1`.
pub mod proto {
    tonic::include_proto!("jeton.records.v1");
}

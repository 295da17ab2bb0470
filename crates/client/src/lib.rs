//! jeton for Rust services: the four operations with retries that are safe, and access tokens checked in one's own process.
//!
//! - [`Client`] issues, refreshes, revokes and introspects.
//! - [`Verifier`] checks access tokens without asking anybody: by the public keys, and by the log of revocations as it is streamed. A
//!   revoked token is dead within milliseconds, and what is not known for sure is never called valid.
//! - [`VerifyLayer`] is the same as a layer of tower, for axum and for tonic services.
//!
//! What a token means is decided by the very rules that the service itself applies (`jeton_domain`). Must not live here: anything of
//! a server.

mod caller;
mod client;
mod clock;
mod error;
mod layer;

mod random;
mod retry;
mod verifier;

pub use caller::CallerToken;
pub use client::{Client, Settings};
pub use clock::{Clock, SystemClock};
pub use error::{Error, Refusal};
pub use jeton_domain::access::{Ancestor, Dead};
pub use jeton_domain::claims::Said;
pub use jeton_domain::error::{Cause, Ended};
pub use jeton_domain::grant::Binding;
pub use jeton_domain::jws::NotGenuine;
pub use jeton_domain::time::{Millis, Timestamp};

pub use layer::{CertificateThumbprint, Verify, VerifyLayer};
pub use tonic;
pub use verifier::{Fallback, Refused, Verified, Verifier, VerifierSettings};

/// The messages of the API as generated from `proto/jeton/v1`, with what is said of each field there.
pub mod api {
    #![expect(clippy::all, clippy::allow_attributes_without_reason, reason = "generated")]
    tonic::include_proto!("jeton.v1");
}

/// The code of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

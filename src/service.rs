//! What is asked? One verb a file; each loads, lets the domain decide, writes, and answers.
//!
//! Lives here: the order of steps of each operation and what it needs of the rooms below. Must not live here: rules of
//! the domain, words of a transport (protobuf, HTTP, status codes), formats of tokens or records.

pub mod explain;
pub mod grants;
pub mod introspect;
pub mod issue;
pub mod keys;
pub mod refresh;
pub mod revoke;

use jeton_domain::revision::Revision;
use jeton_domain::secret::SecretText;

pub use crate::store::Durability;

/// The operations. One for the process; cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Service {}

/// How a client proves who it is. All absent for a public client.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The client secret.
    pub secret: Option<SecretText>,
    /// A client assertion (RFC 7523). Refused until clients can register keys.
    pub assertion: Option<SecretText>,
    /// The certificate's SHA-256 thumbprint, as the caller asserts it.
    pub certificate: Option<[u8; 32]>,
    /// A DPoP proof (RFC 9449). Refused until proofs can be verified here.
    pub dpop: Option<SecretText>,
}

/// How fresh the knowledge of revocations behind an answer must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freshness {
    /// Within the configured staleness.
    #[default]
    Default,
    /// At least as fresh as this.
    AtLeast(Revision),
    /// Everything acknowledged before the request arrived.
    Full,
}

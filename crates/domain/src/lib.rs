//! What is right about tokens: the rules of the token lifecycle, pure.
//!
//! Lives here: the words (grant, client, resource, target, ...), the formats of tokens, the decisions (issue, refresh,
//! arrival, access), the floors of a replica's view, and the one error enum. Must not live here: I/O, clocks, async,
//! randomness of its own (it is handed in), gRPC, Redis, or anything about how bytes are kept.
//!
//! The client library stands on this crate too, so it names no server dependency.

pub mod access;
pub mod arrival;
pub mod assertion;
pub mod audience;
pub mod caller;
pub mod certificate;
pub mod claims;
pub mod client;
pub mod client_secret;
pub mod details;
pub mod device;
pub mod dpop;
pub mod endpoint;
pub mod error;
pub mod exchange;
pub mod floors;
pub mod gateway;
pub mod grant;
pub mod hex;
pub mod id;
pub mod issue;
pub mod issuer;
pub mod json;
pub mod jwk;
pub mod jws;
pub mod leak;
pub mod logout;
pub mod name;
pub mod pkce;
pub mod policy;
pub mod rate;
pub mod redirect;
pub mod refresh;
pub mod registration;
pub mod resource;
pub mod revision;
pub mod ring;
pub mod scope;
pub mod secret;
pub mod target;
pub mod time;
pub mod token;

pub use error::{Error, Result};

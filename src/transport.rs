//! Who asks, and in which words? gRPC, HTTP, the admin port, and the one table of refusals.
//!
//! Lives here: reading requests, checking the form of their fields, writing answers, limits of connections and
//! messages. Must not live here: any rule of the domain, anything about stores or keys.

pub mod admin;
pub mod caller;
pub mod fault;
pub mod grpc;
pub mod http;
#[cfg(feature = "bench")]
pub mod noop;

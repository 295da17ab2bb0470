//! The lifecycle of tokens through gRPC, on each kind of store: what is issued, refreshed, revoked and introspected, and
//! what is refused. One file an operation; names say the rule, those of an RFC with its section.

mod arrivals;
mod assertions;
pub mod canary;
mod claims;
mod exchange;
mod explain;
mod footprint;
mod freshness;
mod grants;
mod healing;
mod introspect;
mod issue;
mod keys;
mod logout;
mod outage;
mod races;
mod refresh;
mod registry;
mod remembered;
mod reuse;
mod revoke;
mod root_keys;
mod scale;
mod sealed;

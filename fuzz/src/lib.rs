//! What jeton reads from strangers, from the store and from the operator, as functions of any bytes.
//!
//! Lives here: the targets, each with what must hold of whatever is read, not only that nothing panics; and a driver (`driver`) that replays
//! the corpus and mutates it, the same way each time. Must not live here: anything that the service needs.

mod audit;
mod callers;
mod certificates;
mod config;
pub mod driver;
mod form;
mod gateways;
mod jws;
mod names;
mod records;
mod sealed;
mod tokens;

/// A target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in `corpus`.
    pub name: &'static str,
    /// Reads, and panics where something that must hold does not.
    pub read: fn(&[u8]),
}

/// Every one.
pub const TARGETS: [Target; 17] = [
    Target { name: "tokens", read: tokens::read },
    Target { name: "jwt", read: jws::read_jwt },
    Target { name: "dpop", read: jws::read_proof },
    Target { name: "form", read: form::read },
    Target { name: "grants", read: records::read_grant },
    Target { name: "devices", read: records::read_device },
    Target { name: "log", read: records::read_entry },
    Target { name: "config", read: config::read },
    Target { name: "assertions", read: jws::read_assertion },
    Target { name: "sealed", read: sealed::read },
    Target { name: "floors", read: records::read_floor },
    Target { name: "registered", read: records::read_registered },
    Target { name: "names", read: names::read },
    Target { name: "gateways", read: gateways::read },
    Target { name: "callers", read: callers::read },
    Target { name: "certificates", read: certificates::read },
    Target { name: "audit", read: audit::read },
];

//! Who asks, and in which words? gRPC, HTTP, the admin port, and the one table of refusals.
//!
//! Lives here: reading requests, checking the form of their fields, writing answers, limits of connections and
//! messages, TLS of listeners. Must not live here: any rule of the domain, anything about stores or keys.

pub mod admin;
pub mod caller;
mod capacity;
pub mod connections;
pub mod fault;
pub mod gateway;
pub mod grpc;
pub mod http;
#[cfg(feature = "bench")]
pub mod noop;
pub mod tls;

use crate::telemetry::log::Throttle;
use fault::{Fault, Reason};
use jeton_domain::error::Error;

/// Faults of ours come in floods, one a request, so each kind that is logged at all is logged once a second.
fn throttle(reason: Reason) -> Option<&'static Throttle> {
    static DEFECTS: Throttle = Throttle::new();
    static RECORDS: Throttle = Throttle::new();
    static REFUSED: Throttle = Throttle::new();
    static ROOTS: Throttle = Throttle::new();
    static STORE: Throttle = Throttle::new();
    static UNAUTHENTICATED: Throttle = Throttle::new();
    Some(match reason {
        Reason::CallerRefused => &REFUSED,
        Reason::CallerUnauthenticated => &UNAUTHENTICATED,
        Reason::Internal => &DEFECTS,
        Reason::RecordUnreadable => &RECORDS,
        Reason::RootKeyMissing => &ROOTS,
        Reason::StoreUnavailable => &STORE,
        _ => return None,
    })
}

/// The fault of an error, and a line for the operator with what the answer to the caller must not say.
fn logged(error: Error) -> Fault {
    let fault = Fault::of(&error);
    if let Some(unsaid) = throttle(fault.reason).and_then(Throttle::pass) {
        let reason = fault.reason.word();
        match error {
            refused @ (Error::CallerUnknown(_) | Error::CallerRefused(_)) => tracing::warn!(reason, unsaid, "{refused}"),
            Error::Internal(detail) => tracing::error!(reason, unsaid, detail, "a defect of jeton"),
            other => tracing::error!(reason, unsaid, "{other}"),
        }
    }
    fault
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_kind_is_unsaid_for_another() {
        let kinds = [
            Reason::CallerRefused,
            Reason::CallerUnauthenticated,
            Reason::Internal,
            Reason::RecordUnreadable,
            Reason::RootKeyMissing,
            Reason::StoreUnavailable,
        ];
        let throttles: HashSet<_> = kinds.into_iter().filter_map(throttle).map(std::ptr::from_ref).collect();
        assert_eq!(throttles.len(), kinds.len());
        assert!(throttle(Reason::Overloaded).is_none());
    }
}

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

/// The fault of an error, and a line for the operator with what the answer to the caller must not say.
///
/// Faults of ours come in floods, one a request, so each kind is logged once a second.
fn logged(error: Error) -> Fault {
    static CALLERS: Throttle = Throttle::new();
    static DEFECTS: Throttle = Throttle::new();
    static RECORDS: Throttle = Throttle::new();
    static ROOTS: Throttle = Throttle::new();
    static STORE: Throttle = Throttle::new();
    let fault = Fault::of(&error);
    let throttle = match fault.reason {
        Reason::CallerUnauthenticated | Reason::CallerRefused => &CALLERS,
        Reason::Internal => &DEFECTS,
        Reason::RecordUnreadable => &RECORDS,
        Reason::RootKeyMissing => &ROOTS,
        Reason::StoreUnavailable => &STORE,
        _ => return fault,
    };
    if let Some(unsaid) = throttle.pass() {
        let reason = fault.reason.word();
        match error {
            refused @ (Error::CallerUnknown(_) | Error::CallerRefused(_)) => tracing::warn!(reason, unsaid, "{refused}"),
            Error::Internal(detail) => tracing::error!(reason, unsaid, detail, "a defect of jeton"),
            other => tracing::error!(reason, unsaid, "{other}"),
        }
    }
    fault
}

//! Limits: what is over one is counted, and told once a second, with who it was.

use super::log::Throttle;
use super::metrics::LIMITED;

/// A limit that requests or connections may be over.
#[derive(Debug)]
pub struct Limit {
    word: &'static str,
    throttle: Throttle,
}

/// Requests at work at once.
pub static CONCURRENCY: Limit = Limit::new("concurrency");
/// Calls of one caller, or over HTTP from one address.
pub static CALLER_RATE: Limit = Limit::new("caller_rate");
/// Failures to prove who one is.
pub static FAILURE_RATE: Limit = Limit::new("failure_rate");
/// Forms that are being read.
pub static FORMS: Limit = Limit::new("forms");
/// The same from one address.
pub static FORMS_PER_ADDRESS: Limit = Limit::new("forms_per_address");
/// Streams that anybody may open.
pub static STREAMS_OF_STRANGERS: Limit = Limit::new("streams_of_strangers");
/// Connections of a listener.
pub static CONNECTIONS: Limit = Limit::new("connections");
/// The same from one address.
pub static CONNECTIONS_PER_ADDRESS: Limit = Limit::new("connections_per_address");
/// Handshakes of a listener.
pub static HANDSHAKES: Limit = Limit::new("handshakes");
/// The same from one address.
pub static HANDSHAKES_PER_ADDRESS: Limit = Limit::new("handshakes_per_address");

impl Limit {
    const fn new(word: &'static str) -> Self {
        Self { word, throttle: Throttle::new() }
    }

    /// One more is over it. `by` whom, a caller or an address, is asked for only where it is told; and as which client, where that matters.
    pub fn exceeded(&self, by: impl FnOnce() -> String, client: Option<&str>) {
        LIMITED.add(self.word);
        if let Some(unsaid) = self.throttle.pass() {
            tracing::warn!(limit = self.word, by = by(), client_id = client, unsaid, "over a limit, and refused");
        }
    }
}

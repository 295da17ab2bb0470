//! Limits: what is over one is counted, and told once a second, with who it was.

use super::log::Throttle;
use super::metrics::LIMITED;

/// A limit that requests or connections may be over.
#[derive(Debug)]
pub struct Limit {
    word: &'static str,
    throttle: Throttle,
}

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        $($(#[$doc])* pub static $name: Limit = Limit::new($word);)*

        /// The word of each.
        pub(super) const WORDS: &[[&str; 1]] = &[$([$word]),*];
    };
}

limits! {
    /// Requests at work at once.
    CONCURRENCY = "concurrency";
    /// Calls of one caller, or over HTTP from one address.
    CALLER_RATE = "caller_rate";
    /// Failures to prove who one is.
    FAILURE_RATE = "failure_rate";
    /// Forms that are being read.
    FORMS = "forms";
    /// The same from one address.
    FORMS_PER_ADDRESS = "forms_per_address";
    /// Streams that anybody may open.
    STREAMS_OF_STRANGERS = "streams_of_strangers";
    /// Connections of a listener.
    CONNECTIONS = "connections";
    /// The same from one address.
    CONNECTIONS_PER_ADDRESS = "connections_per_address";
    /// Handshakes of a listener.
    HANDSHAKES = "handshakes";
    /// The same from one address.
    HANDSHAKES_PER_ADDRESS = "handshakes_per_address";
}

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

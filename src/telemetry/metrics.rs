//! What is counted and timed, and where it goes: Prometheus' text on the admin port, and OTLP where that is set.
//!
//! Counters are plain atomics that OpenTelemetry reads when it is asked: a request adds one to a number (`instrument`). Labels are
//! words of the program, never of a request, so their number is bounded by the code.

mod instrument;

pub use instrument::{Gauge, Instrument, Level, Tally, Timer};

use super::collector::Bounded;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use prometheus::{Registry, TextEncoder};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Calls by operation and outcome (the gRPC code).
pub static REQUESTS: Tally<2> =
    Tally::new("jeton.requests", "Calls by operation and outcome (the gRPC code).", ["operation", "outcome"])
        .telling(&[["Refresh", "UNAVAILABLE"], ["Refresh", "RESOURCE_EXHAUSTED"]]);
/// Refusals by reason (`docs/errors.md`).
pub static REFUSALS: Tally<1> =
    Tally::new("jeton.refusals", "Refusals by reason (`docs/errors.md`).", ["reason"]).telling(&[["WATCH_CUT"]]);
/// Requests and connections over a limit, by limit. Counted by `limits`.
pub static LIMITED: Tally<1> =
    Tally::new("jeton.limited", "Requests and connections over a limit, by limit.", ["limit"]).telling(super::limits::WORDS);
/// Refreshes by verdict, or by the cause of the refusal.
pub static REFRESHES: Tally<1> =
    Tally::new("jeton.refreshes", "Refreshes by verdict, or by the cause of the refusal.", ["verdict"]).telling(&[["forward"]]);
/// Tokens introspected by answer, and by what was asked for it.
pub static INTROSPECTIONS: Tally<2> =
    Tally::new("jeton.introspections", "Tokens introspected by answer, and by what was asked for it.", ["answer", "source"]);
/// Requests through gateways by answer: allowed, challenged, or the reason.
pub static AUTHORIZATIONS: Tally<1> =
    Tally::new("jeton.authorizations", "Requests through gateways by answer: allowed, challenged, or the reason.", ["answer"]);
/// Access tokens reported as seen, by what came of it.
pub static ARRIVALS: Tally<1> = Tally::new("jeton.arrivals", "Access tokens reported as seen, by what came of it.", ["outcome"])
    .telling(&[["dropped"], ["failed"]]);
/// Revocations by kind of target and reason.
pub static REVOCATIONS: Tally<2> =
    Tally::new("jeton.revocations", "Revocations by kind of target and reason.", ["kind", "reason"])
        .telling(&[["grant", "reuse"]]);
/// Attempts to tell a client that a session ended, by outcome.
pub static LOGOUTS: Tally<1> =
    Tally::new("jeton.logouts", "Attempts to tell a client that a session ended, by outcome.", ["outcome"])
        .telling(&[["given_up"], ["refused"]]);
/// Calls of the store by operation and outcome.
pub static STORE_CALLS: Tally<2> =
    Tally::new("jeton.store.calls", "Calls of the store by operation and outcome.", ["operation", "outcome"]).telling(&[
        ["append", "gap"],
        ["follow", "gap"],
        ["append", "not_durable"],
        ["swap", "not_durable"],
        ["confirm", "not_durable"],
        ["append", "unavailable"],
        ["get", "restored"],
    ]);
/// Times the log was met under another primary of the store.
pub static PRIMARIES: Tally<0> = Tally::new("jeton.primaries", "Times the log was met under another primary of the store.", []);
/// Revocations told to watchers, counted for each.
pub static WATCHED: Tally<0> = Tally::new("jeton.watched_entries", "Revocations told to watchers, counted for each.", []);
/// Lines of the audit stream by action.
pub static AUDIT_LINES: Tally<1> = Tally::new("jeton.audit.lines", "Lines of the audit stream by action.", ["action"]);
/// Lines of the audit stream that were lost.
pub static AUDIT_LOST: Tally<0> = Tally::new("jeton.audit.lost", "Lines of the audit stream that were lost.", []);
/// Lines of the audit stream that are yet to be written.
pub static AUDIT_WAITING: Gauge<0> =
    Gauge::new("jeton.audit.waiting", "Lines of the audit stream that are yet to be written.", []);
/// 1 where the audit stream cannot be written, else 0.
pub static AUDIT_FAILING: Gauge<0> = Gauge::new("jeton.audit.failing", "1 where the audit stream cannot be written, else 0.", []);
/// Requests at work now, by listener.
pub static REQUESTS_IN_FLIGHT: Gauge<1> =
    Gauge::new("jeton.requests_in_flight", "Requests at work now, by listener.", ["listener"]);
/// The most requests at work at once, by listener.
pub static REQUESTS_IN_FLIGHT_LIMIT: Gauge<1> =
    Gauge::new("jeton.requests_in_flight_limit", "The most requests at work at once, by listener.", ["listener"]);
/// Access tokens reported as seen that are yet to be looked at.
pub static ARRIVALS_WAITING: Gauge<0> =
    Gauge::new("jeton.arrivals_waiting", "Access tokens reported as seen that are yet to be looked at.", []);
/// Calls of the store that wait for its answer.
pub static STORE_CALLS_IN_FLIGHT: Gauge<0> =
    Gauge::new("jeton.store.calls_in_flight", "Calls of the store that wait for its answer.", []);
/// Ends of sessions that clients are yet to be told.
pub static LOGOUTS_WAITING: Gauge<0> =
    Gauge::new("jeton.logouts_waiting", "Ends of sessions that clients are yet to be told.", []);
/// Streams of revocations that are open.
pub static WATCHERS: Gauge<0> = Gauge::new("jeton.watchers", "Streams of revocations that are open.", []);
/// Revocations held in memory.
pub static VIEW_ENTRIES: Gauge<0> = Gauge::new("jeton.view.entries", "Revocations held in memory.", []);
/// The most revocations that are held in memory.
pub static VIEW_ENTRIES_LIMIT: Gauge<0> =
    Gauge::new("jeton.view.entries_limit", "The most revocations that are held in memory.", []);
/// Bytes that the revocations in memory take.
pub static VIEW_BYTES: Gauge<0> = Gauge::new("jeton.view.bytes", "Bytes that the revocations in memory take.", []);
/// 1 where all revocations of the log are in memory, else 0.
pub static VIEW_WHOLE: Gauge<0> = Gauge::new("jeton.view.whole", "1 where all revocations of the log are in memory, else 0.", []);
/// How long ago the view was provably fresh.
pub static VIEW_AGE: Gauge<0> = Gauge::new("jeton.view.age", "How long ago the view was provably fresh.", []).in_seconds();
/// Times the configuration was read again, by what came of it.
pub static CONFIGURATION_RELOADS: Tally<1> =
    Tally::new("jeton.configuration.reloads", "Times the configuration was read again, by what came of it.", ["outcome"])
        .telling(&[["taken"], ["unchanged"], ["refused"]]);
/// 1 where the configuration was taken as it was read last, 0 where it was refused.
pub static CONFIGURATION_SOUND: Gauge<0> = Gauge::new(
    "jeton.configuration.sound",
    "1 where the configuration was taken as it was read last, 0 where it was refused.",
    [],
);
/// Settings that were changed and are taken at the next start only.
pub static CONFIGURATION_RESTART_NEEDED: Gauge<0> =
    Gauge::new("jeton.configuration.restart_needed", "Settings that were changed and are taken at the next start only.", []);
/// 1 where the files of a listener's TLS are used as they are now, 0 where what was read before stays in use.
pub static TLS_SOUND: Gauge<1> = Gauge::new(
    "jeton.tls.sound",
    "1 where the files of a listener's TLS are used as they are now, 0 where what was read before stays in use.",
    ["listener"],
);
/// How long until a certificate of a listener ends: its own, or the next of the authorities that it believes.
pub static CERTIFICATE_EXPIRY: Gauge<2> = Gauge::new(
    "jeton.certificate.expiry",
    "How long until a certificate of a listener ends: its own, or the next of the authorities that it believes.",
    ["listener", "of"],
)
.in_seconds();
/// How long that certificate is valid in all.
pub static CERTIFICATE_LIFETIME: Gauge<2> =
    Gauge::new("jeton.certificate.lifetime", "How long that certificate is valid in all.", ["listener", "of"]).in_seconds();
/// How much of its maxmemory the fullest primary of Redis uses, from 0 to 1.
pub static STORE_MEMORY_USED: Gauge<0> =
    Gauge::new("jeton.store.memory_used", "How much of its maxmemory the fullest primary of Redis uses, from 0 to 1.", []);
/// Signing keys by algorithm and state.
pub static SIGNING_KEYS: Gauge<2> =
    Gauge::new("jeton.signing_keys", "Signing keys by algorithm and state.", ["algorithm", "state"]);
/// How long until the next signing key of an algorithm takes over.
pub static SIGNING_KEY_ACTIVATION: Gauge<1> =
    Gauge::new("jeton.signing_key.activation", "How long until the next signing key of an algorithm takes over.", ["algorithm"])
        .in_seconds();
/// How long calls took, by operation.
static REQUEST_DURATION: Timer<1> = Timer::new("jeton.request.duration", "How long calls took, by operation.", ["operation"]);
/// How long calls of the store took, by operation.
static STORE_CALL_DURATION: Timer<1> =
    Timer::new("jeton.store.call.duration", "How long calls of the store took, by operation.", ["operation"]);
/// How long catching up with the log took.
static CATCH_UP_DURATION: Timer<0> = Timer::new("jeton.catch_up.duration", "How long catching up with the log took.", []);
/// How long after it was made a revocation was in this view, by the clocks of both.
static REVOCATION_DELAY: Timer<0> =
    Timer::new("jeton.revocation.delay", "How long after it was made a revocation was in this view, by the clocks of both.", []);

/// Everything that is measured.
pub static INSTRUMENTS: [&dyn Instrument; 40] = [
    &REQUESTS,
    &REFUSALS,
    &LIMITED,
    &REFRESHES,
    &INTROSPECTIONS,
    &AUTHORIZATIONS,
    &ARRIVALS,
    &REVOCATIONS,
    &LOGOUTS,
    &STORE_CALLS,
    &PRIMARIES,
    &WATCHED,
    &AUDIT_LINES,
    &AUDIT_LOST,
    &AUDIT_WAITING,
    &AUDIT_FAILING,
    &REQUESTS_IN_FLIGHT,
    &REQUESTS_IN_FLIGHT_LIMIT,
    &ARRIVALS_WAITING,
    &STORE_CALLS_IN_FLIGHT,
    &LOGOUTS_WAITING,
    &WATCHERS,
    &VIEW_ENTRIES,
    &VIEW_ENTRIES_LIMIT,
    &VIEW_BYTES,
    &VIEW_WHOLE,
    &VIEW_AGE,
    &STORE_MEMORY_USED,
    &CONFIGURATION_RELOADS,
    &CONFIGURATION_SOUND,
    &CONFIGURATION_RESTART_NEEDED,
    &TLS_SOUND,
    &CERTIFICATE_EXPIRY,
    &CERTIFICATE_LIFETIME,
    &SIGNING_KEYS,
    &SIGNING_KEY_ACTIVATION,
    &REQUEST_DURATION,
    &STORE_CALL_DURATION,
    &CATCH_UP_DURATION,
    &REVOCATION_DELAY,
];

/// Whether it is jeton or its store that fails, of the word of a gRPC code.
pub fn is_our_fault(code: &str) -> bool {
    matches!(code, "UNKNOWN" | "DEADLINE_EXCEEDED" | "UNIMPLEMENTED" | "INTERNAL" | "UNAVAILABLE" | "DATA_LOSS")
}

/// One call: counted, and timed by operation.
pub fn request(operation: &'static str, outcome: &'static str, took: Duration) {
    REQUESTS.add(operation, outcome);
    timed(&REQUEST_DURATION, [operation], took);
}

/// One call of the store that began at `started`: counted, and timed by operation.
pub fn store_call(operation: &'static str, outcome: &'static str, started: Instant) {
    STORE_CALLS.add(operation, outcome);
    timed(&STORE_CALL_DURATION, [operation], started.elapsed());
}

/// One catch-up with the log.
pub fn caught_up(started: Instant) {
    timed(&CATCH_UP_DURATION, [], started.elapsed());
}

/// A revocation came into the view, so long after it was made.
pub fn revocation_in_view(delay: Duration) {
    timed(&REVOCATION_DELAY, [], delay);
}

fn timed<const L: usize>(timer: &'static Timer<L>, words: [&'static str; L], took: Duration) {
    LazyLock::force(&METERS);
    timer.record(words, took);
}

/// Everything, in Prometheus' text format.
///
/// # Errors
/// In words, where the exporter cannot write it.
pub fn exposition() -> Result<String, String> {
    TextEncoder::new().encode_to_string(&METERS.registry.gather()).map_err(|error| error.to_string())
}

/// Sends everything to a collector too, this often. Before anything is measured, and once.
pub(super) fn push(exporter: Pushing, every: Duration) -> SdkMeterProvider {
    let reader = PeriodicReader::builder(exporter).with_interval(every).build();
    *PUSHED.lock().unwrap_or_else(PoisonError::into_inner) = Some(reader);
    METERS.provider.clone()
}

type Pushing = Bounded<opentelemetry_otlp::MetricExporter>;

static PUSHED: Mutex<Option<PeriodicReader<Pushing>>> = Mutex::new(None);

struct Meters {
    registry: Registry,
    /// The instruments end with their provider.
    provider: SdkMeterProvider,
}

static METERS: LazyLock<Meters> = LazyLock::new(|| {
    let registry = Registry::new();
    let mut provider = SdkMeterProvider::builder().with_resource(super::resource());
    match opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false).build() {
        Ok(exporter) => provider = provider.with_reader(exporter),
        Err(error) => tracing::error!(%error, "metrics cannot be exported"),
    }
    if let Some(reader) = PUSHED.lock().unwrap_or_else(PoisonError::into_inner).take() {
        provider = provider.with_reader(reader);
    }
    let provider = provider.build();
    let meter = provider.meter("jeton");
    for instrument in INSTRUMENTS {
        instrument.register(&meter);
    }
    Meters { registry, provider }
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_names_units_and_labels_of_ours() {
        request("of_this_test", "OK", Duration::from_micros(300));
        request("of_this_test", "OK", Duration::from_millis(3));
        REVOCATIONS.add("word_of_this_test", "reason_of_this_test");
        let text = exposition().unwrap();
        assert!(text.contains("jeton_requests_total{operation=\"of_this_test\",outcome=\"OK\"} 2\n"), "{text}");
        assert!(
            text.contains("jeton_revocations_total{kind=\"word_of_this_test\",reason=\"reason_of_this_test\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("jeton_request_duration_seconds_bucket{operation=\"of_this_test\",le=\"0.0005\"} 1\n"), "{text}");
        assert!(text.contains("jeton_request_duration_seconds_count{operation=\"of_this_test\"} 2\n"), "{text}");
    }

    #[test]
    fn a_gauge_is_what_it_was_set_to_last() {
        VIEW_AGE.set(2.5);
        VIEW_AGE.set(0.25);
        WATCHED.add_many(3);
        let text = exposition().unwrap();
        assert!(text.contains("\njeton_view_age_seconds 0.25\n"), "{text}");
        assert!(text.contains("\n# TYPE jeton_view_age_seconds gauge\n"), "{text}");
        assert!(text.contains("\njeton_watched_entries_total 3\n"), "{text}");
    }
}

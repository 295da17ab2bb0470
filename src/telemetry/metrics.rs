//! What is counted and timed, and its text for Prometheus.
//!
//! Counters are plain atomics that OpenTelemetry reads when it is asked: a request adds one to a number. Labels are
//! words of the program, never of a request, so their number is bounded by the code.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, Histogram, MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

/// Calls by operation and outcome (the gRPC code).
pub static REQUESTS: Tally<2> =
    Tally::new("jeton_requests", "Calls by operation and outcome (the gRPC code).", ["operation", "outcome"])
        .telling(&[["Refresh", "UNAVAILABLE"], ["Refresh", "RESOURCE_EXHAUSTED"]]);
/// Refusals by reason (`docs/errors.md`).
pub static REFUSALS: Tally<1> = Tally::new("jeton_refusals", "Refusals by reason.", ["reason"]).telling(&[["WATCH_CUT"]]);
/// Refreshes by verdict, or by the cause of the refusal.
pub static REFRESHES: Tally<1> =
    Tally::new("jeton_refreshes", "Refreshes by verdict, or by the cause of the refusal.", ["verdict"]).telling(&[["forward"]]);
/// Introspections by answer.
pub static INTROSPECTIONS: Tally<1> = Tally::new("jeton_introspections", "Tokens introspected by answer.", ["answer"]);
/// Requests through gateways by answer.
pub static AUTHORIZATIONS: Tally<1> =
    Tally::new("jeton_authorizations", "Requests through gateways by answer: allowed, challenged, or the reason.", ["answer"]);
/// Access tokens reported as seen, by what came of it.
pub static ARRIVALS: Tally<1> = Tally::new("jeton_arrivals", "Access tokens reported as seen, by what came of it.", ["outcome"])
    .telling(&[["dropped"], ["failed"]]);
/// Revocations by kind of target and reason.
pub static REVOCATIONS: Tally<2> =
    Tally::new("jeton_revocations", "Revocations by kind of target and reason.", ["kind", "reason"])
        .telling(&[["grant", "reuse"]]);
/// Attempts to tell a client that a session ended, by outcome.
pub static LOGOUTS: Tally<1> =
    Tally::new("jeton_logouts", "Attempts to tell a client that a session ended, by outcome.", ["outcome"])
        .telling(&[["given_up"], ["refused"]]);
/// Clients yet to be told that a session ended.
pub static LOGOUTS_WAITING: Gauge = Gauge::new("jeton_logouts_waiting", "Ends of sessions that clients are yet to be told.");
/// Calls of the store by operation and outcome.
pub static STORE_CALLS: Tally<2> =
    Tally::new("jeton_store_calls", "Calls of the store by operation and outcome.", ["operation", "outcome"]).telling(&[
        ["append", "gap"],
        ["follow", "gap"],
        ["append", "not_durable"],
        ["swap", "not_durable"],
        ["confirm", "not_durable"],
        ["append", "unavailable"],
        ["get", "restored"],
    ]);

/// Times that the log was met under another primary of the store than before.
pub static PRIMARIES: Tally<0> =
    Tally::new("jeton_primaries", "Times the log was met under another primary of the store.", []).telling(&[[]]);
/// Entries told to watchers, counted for each of them.
pub static WATCHED: Tally<0> =
    Tally::new("jeton_watched_entries", "Revocations told to watchers, counted for each.", []).telling(&[[]]);
/// Streams of revocations that are open.
pub static WATCHERS: Gauge = Gauge::new("jeton_watchers", "Streams of revocations that are open.");
/// Revocations held in memory.
pub static VIEW_ENTRIES: Gauge = Gauge::new("jeton_view_entries", "Revocations held in memory.");
/// The most revocations that are held in memory.
pub static VIEW_ENTRIES_LIMIT: Gauge = Gauge::new("jeton_view_entries_limit", "The most revocations that are held in memory.");
/// Bytes that the revocations in memory take.
pub static VIEW_BYTES: Gauge = Gauge::new("jeton_view_bytes", "Bytes that the revocations in memory take.");
/// Whether all revocations of the log are in memory (1), or some are asked of the store (0).
pub static VIEW_WHOLE: Gauge = Gauge::new("jeton_view_whole", "1 where all revocations of the log are in memory, else 0.");
/// How long ago the last proof of freshness was asked for.
pub static VIEW_AGE: Gauge = Gauge::in_seconds("jeton_view_age", "How long ago the view was provably fresh.");

/// How much of `maxmemory` the fullest primary of the store uses.
pub static STORE_MEMORY_USED: Gauge =
    Gauge::new("jeton_store_memory_used", "How much of its maxmemory the fullest primary of Redis uses, from 0 to 1.");

/// The words that one counter can tell apart: more than the program has, so that none falls into `other`.
const SLOTS: usize = 256;

/// A counter by `L` labels. Adding is lock-free; words are placed in the order of their first use.
#[derive(Debug)]
pub struct Tally<const L: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; L],
    /// Words that are told before they are counted.
    known: &'static [[&'static str; L]],
    slots: [Slot<L>; SLOTS],
    other: AtomicU64,
}

#[derive(Debug)]
struct Slot<const L: usize> {
    words: OnceLock<[&'static str; L]>,
    count: AtomicU64,
}

impl<const L: usize> Tally<L> {
    const fn new(name: &'static str, help: &'static str, labels: [&'static str; L]) -> Self {
        let slots = [const { Slot { words: OnceLock::new(), count: AtomicU64::new(0) } }; SLOTS];
        Self { name, help, labels, known: &[], slots, other: AtomicU64::new(0) }
    }

    /// The same where these words are told from the start, as 0: an alarm on an increase misses what begins with its first.
    const fn telling(mut self, known: &'static [[&'static str; L]]) -> Self {
        self.known = known;
        self
    }

    fn add_words(&self, words: [&'static str; L], count: u64) {
        for slot in &self.slots {
            if *slot.words.get_or_init(|| words) == words {
                slot.count.fetch_add(count, Ordering::Relaxed);
                return;
            }
        }
        self.other.fetch_add(count, Ordering::Relaxed);
    }

    /// How often these words were counted.
    #[must_use]
    pub fn count(&self, words: [&str; L]) -> u64 {
        let slot = self.slots.iter().find(|slot| slot.words.get().is_some_and(|held| *held == words));
        slot.map_or(0, |slot| slot.count.load(Ordering::Relaxed))
    }

    /// Everything that was counted, by its words.
    pub fn counts(&self) -> impl Iterator<Item = ([&'static str; L], u64)> + '_ {
        let held = self.slots.iter().map_while(|slot| Some((*slot.words.get()?, slot.count.load(Ordering::Relaxed))));
        let other = self.other.load(Ordering::Relaxed);
        held.chain((other > 0).then_some((["other"; L], other)))
    }

    fn register(&'static self, meter: &opentelemetry::metrics::Meter) {
        self.known.iter().for_each(|words| self.add_words(*words, 0));
        meter
            .u64_observable_counter(self.name)
            .with_description(self.help)
            .with_callback(move |observer| {
                self.counts().for_each(|(words, count)| observer.observe(count, &self.attributes(words)));
            })
            .build();
    }

    fn attributes(&self, words: [&'static str; L]) -> [KeyValue; L] {
        let mut words = words.into_iter();
        self.labels.map(|label| KeyValue::new(label, words.next().unwrap_or_default()))
    }
}

impl Tally<0> {
    /// Counts one.
    pub fn add(&self) {
        self.add_many(1);
    }

    /// Counts so many.
    pub fn add_many(&self, count: usize) {
        self.add_words([], u64::try_from(count).unwrap_or(u64::MAX));
    }
}

impl Tally<1> {
    /// Counts one of `word`.
    pub fn add(&self, word: &'static str) {
        self.add_words([word], 1);
    }
}

impl Tally<2> {
    /// Counts one of these two words, in the order of the labels.
    pub fn add(&self, first: &'static str, second: &'static str) {
        self.add_words([first, second], 1);
    }
}

/// A number that rises and falls.
#[derive(Debug)]
pub struct Gauge {
    name: &'static str,
    help: &'static str,
    unit: &'static str,
    /// A floating-point number's bits.
    bits: AtomicU64,
}

impl Gauge {
    const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help, unit: "", bits: AtomicU64::new(0) }
    }

    const fn in_seconds(name: &'static str, help: &'static str) -> Self {
        Self { unit: "s", ..Self::new(name, help) }
    }

    /// It is this now.
    pub fn set(&self, value: f64) {
        self.bits.store(value.to_bits(), Ordering::Relaxed);
    }

    /// It is a count, this now.
    pub fn set_count(&self, count: usize) {
        self.set(count as f64);
    }

    /// What it is.
    #[must_use]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.bits.load(Ordering::Relaxed))
    }

    fn register(&'static self, meter: &opentelemetry::metrics::Meter) {
        let gauge = meter.f64_observable_gauge(self.name).with_description(self.help).with_unit(self.unit);
        gauge.with_callback(|observer| observer.observe(self.get(), &[])).build();
    }
}

/// One call: counted, and timed by operation.
pub fn request(operation: &'static str, outcome: &'static str, took: Duration) {
    REQUESTS.add(operation, outcome);
    METERS.requests.record(operation, took);
}

/// One call of the store that began at `started`: counted, and timed by operation.
pub fn store_call(operation: &'static str, outcome: &'static str, started: Instant) {
    STORE_CALLS.add(operation, outcome);
    METERS.store.record(operation, started.elapsed());
}

/// Everything, in Prometheus' text format.
///
/// # Errors
/// In words, where the exporter cannot write it.
pub fn exposition() -> Result<String, String> {
    TextEncoder::new().encode_to_string(&METERS.registry.gather()).map_err(|error| error.to_string())
}

/// A histogram of durations by operation. What is recorded goes straight to the place of its word, found once.
struct Timer {
    histogram: Histogram<f64>,
    slots: [OnceLock<(&'static str, BoundHistogram<f64>)>; OPERATIONS],
}

/// The operations that one timer can tell apart: more than the program has.
const OPERATIONS: usize = 64;

impl Timer {
    fn new(histogram: Histogram<f64>) -> Self {
        Self { histogram, slots: [const { OnceLock::new() }; OPERATIONS] }
    }

    fn record(&self, operation: &'static str, took: Duration) {
        let place = || (operation, self.histogram.bind(&[KeyValue::new("operation", operation)]));
        for slot in &self.slots {
            let (held, bound) = slot.get_or_init(place);
            if *held == operation {
                return bound.record(took.as_secs_f64());
            }
        }
    }
}

struct Meters {
    registry: Registry,
    requests: Timer,
    store: Timer,
    /// The histograms end with their provider.
    _provider: SdkMeterProvider,
}

/// In seconds: from a cached introspection to the longest deadline.
const BOUNDARIES: [f64; 14] = [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

static METERS: LazyLock<Meters> = LazyLock::new(|| {
    let registry = Registry::new();
    let provider = SdkMeterProvider::builder().with_resource(super::resource());
    let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false).build();
    let provider = match exporter {
        Ok(exporter) => provider.with_reader(exporter),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be exported");
            provider
        }
    }
    .build();
    let meter = provider.meter("jeton");
    for tally in [&REFUSALS, &REFRESHES, &INTROSPECTIONS, &AUTHORIZATIONS, &ARRIVALS, &LOGOUTS] {
        tally.register(&meter);
    }
    for tally in [&REQUESTS, &REVOCATIONS, &STORE_CALLS] {
        tally.register(&meter);
    }
    for tally in [&PRIMARIES, &WATCHED] {
        tally.register(&meter);
    }
    for gauge in
        [&LOGOUTS_WAITING, &WATCHERS, &VIEW_ENTRIES, &VIEW_ENTRIES_LIMIT, &VIEW_BYTES, &VIEW_WHOLE, &VIEW_AGE, &STORE_MEMORY_USED]
    {
        gauge.register(&meter);
    }
    let seconds = |name: &'static str, help: &'static str| {
        Timer::new(meter.f64_histogram(name).with_description(help).with_unit("s").with_boundaries(BOUNDARIES.into()).build())
    };
    Meters {
        requests: seconds("jeton_request_duration", "How long calls took, by operation."),
        store: seconds("jeton_store_call_duration", "How long calls of the store took, by operation."),
        registry,
        _provider: provider,
    }
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

    #[test]
    fn threads_that_meet_a_word_first_count_it_once_each() {
        static TALLY: Tally<1> = Tally::new("t", "t", ["t"]);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1_000).for_each(|n| TALLY.add(if n % 2 == 0 { "even" } else { "odd" })));
            }
        });
        assert_eq!((TALLY.count(["even"]), TALLY.count(["odd"]), TALLY.count(["none"])), (4_000, 4_000, 0));
    }
}

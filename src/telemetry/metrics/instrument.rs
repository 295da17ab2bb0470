//! What counts: plain atomics that OpenTelemetry reads when it is asked, and histograms whose places are found once.
//!
//! Names are as OpenTelemetry writes them, with dots; Prometheus has `_` there, the unit and `_total` at the end.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, Histogram, Meter};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The words that one counter can tell apart: more than the program has, so that none falls into `other`.
const SLOTS: usize = 256;

/// One thing that is measured.
pub trait Instrument: Sync {
    /// Its name, as OpenTelemetry has it.
    fn name(&self) -> &'static str;

    /// What Prometheus puts behind it.
    fn suffix(&self) -> &'static str;

    /// Its labels, in their order.
    fn labels(&self) -> &[&'static str];

    /// Lets the meter read it.
    fn register(&'static self, meter: &Meter);
}

/// A counter by `L` labels. Adding is lock-free; words are placed in the order of their first use.
#[derive(Debug)]
pub struct Tally<const L: usize> {
    name: &'static str,
    help: &'static str,
    /// Words that are told before they are counted.
    known: &'static [[&'static str; L]],
    slots: Slots<L>,
    other: AtomicU64,
}

/// Numbers by `L` words, each placed at its first use.
#[derive(Debug)]
struct Slots<const L: usize> {
    labels: [&'static str; L],
    slots: [Slot<L>; SLOTS],
}

#[derive(Debug)]
struct Slot<const L: usize> {
    words: OnceLock<[&'static str; L]>,
    number: AtomicU64,
}

impl<const L: usize> Slots<L> {
    const fn new(labels: [&'static str; L]) -> Self {
        let slots = [const { Slot { words: OnceLock::new(), number: AtomicU64::new(0) } }; SLOTS];
        Self { labels, slots }
    }

    /// The place of these words; none where there are too many.
    fn place(&self, words: [&'static str; L]) -> Option<&AtomicU64> {
        let slot = self.slots.iter().find(|slot| *slot.words.get_or_init(|| words) == words)?;
        Some(&slot.number)
    }

    /// What has no words is there from the beginning, as zero.
    fn alone(&self) {
        if L == 0 {
            self.place([""; L]);
        }
    }

    /// Every number, by its words.
    fn each(&self) -> impl Iterator<Item = ([&'static str; L], u64)> + '_ {
        self.slots.iter().map_while(|slot| Some((*slot.words.get()?, slot.number.load(Ordering::Relaxed))))
    }

    fn attributes(&self, words: [&'static str; L]) -> [KeyValue; L] {
        let mut words = words.into_iter();
        self.labels.map(|label| KeyValue::new(label, words.next().unwrap_or_default()))
    }
}

impl<const L: usize> Tally<L> {
    pub(super) const fn new(name: &'static str, help: &'static str, labels: [&'static str; L]) -> Self {
        Self { name, help, known: &[], slots: Slots::new(labels), other: AtomicU64::new(0) }
    }

    /// The same where these words are told from the start, as 0: an alarm on an increase misses what begins with its first.
    pub(super) const fn telling(mut self, known: &'static [[&'static str; L]]) -> Self {
        self.known = known;
        self
    }

    fn add_words(&self, words: [&'static str; L], count: u64) {
        self.slots.place(words).unwrap_or(&self.other).fetch_add(count, Ordering::Relaxed);
    }

    /// How often these words were counted.
    #[must_use]
    pub fn count(&self, words: [&str; L]) -> u64 {
        let slot = self.slots.slots.iter().find(|slot| slot.words.get().is_some_and(|held| *held == words));
        slot.map_or(0, |slot| slot.number.load(Ordering::Relaxed))
    }

    /// Everything that was counted, by its words.
    pub fn counts(&self) -> impl Iterator<Item = ([&'static str; L], u64)> + '_ {
        let held = self.slots.each();
        let other = self.other.load(Ordering::Relaxed);
        held.chain((other > 0).then_some((["other"; L], other)))
    }
}

impl<const L: usize> Instrument for Tally<L> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn suffix(&self) -> &'static str {
        "_total"
    }

    fn labels(&self) -> &[&'static str] {
        &self.slots.labels
    }

    fn register(&'static self, meter: &Meter) {
        self.slots.alone();
        self.known.iter().for_each(|words| self.add_words(*words, 0));
        meter
            .u64_observable_counter(self.name)
            .with_description(self.help)
            .with_callback(move |observer| {
                self.counts().for_each(|(words, count)| observer.observe(count, &self.slots.attributes(words)));
            })
            .build();
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

/// A number that rises and falls, by `L` labels.
#[derive(Debug)]
pub struct Gauge<const L: usize = 0> {
    name: &'static str,
    help: &'static str,
    unit: &'static str,
    /// Bits of floating-point numbers.
    slots: Slots<L>,
}

impl<const L: usize> Gauge<L> {
    pub(super) const fn new(name: &'static str, help: &'static str, labels: [&'static str; L]) -> Self {
        Self { name, help, unit: "", slots: Slots::new(labels) }
    }

    pub(super) const fn in_seconds(mut self) -> Self {
        self.unit = "s";
        self
    }

    /// It is this now, of these words.
    pub fn set_of(&self, words: [&'static str; L], value: f64) {
        if let Some(place) = self.slots.place(words) {
            place.store(value.to_bits(), Ordering::Relaxed);
        }
    }

    /// Where it is kept, of these words: found once, by who changes it often.
    pub fn level(&'static self, words: [&'static str; L]) -> Level {
        Level(self.slots.place(words))
    }
}

/// One number of a gauge.
#[derive(Clone, Copy, Debug)]
pub struct Level(Option<&'static AtomicU64>);

impl Level {
    /// It is a count, this now.
    pub fn set_count(self, count: usize) {
        if let Self(Some(place)) = self {
            place.store((count as f64).to_bits(), Ordering::Relaxed);
        }
    }

    /// One more.
    pub fn rise(self) {
        self.change(1.0);
    }

    /// One less.
    pub fn fall(self) {
        self.change(-1.0);
    }

    /// Whoever changes it at the same moment, none of the changes is lost.
    fn change(self, by: f64) {
        if let Self(Some(place)) = self {
            let changed = |bits| Some((f64::from_bits(bits) + by).to_bits());
            let _before = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
        }
    }
}

impl Gauge<0> {
    /// It is this now.
    pub fn set(&self, value: f64) {
        self.set_of([], value);
    }

    /// It is a count, this now.
    pub fn set_count(&self, count: usize) {
        self.set(count as f64);
    }

    /// What it is.
    #[must_use]
    pub fn get(&self) -> f64 {
        self.slots.place([]).map_or(0.0, |place| f64::from_bits(place.load(Ordering::Relaxed)))
    }
}

impl<const L: usize> Instrument for Gauge<L> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn suffix(&self) -> &'static str {
        if self.unit == "s" { "_seconds" } else { "" }
    }

    fn labels(&self) -> &[&'static str] {
        &self.slots.labels
    }

    fn register(&'static self, meter: &Meter) {
        self.slots.alone();
        let gauge = meter.f64_observable_gauge(self.name).with_description(self.help).with_unit(self.unit);
        let tell = |(words, bits): ([&'static str; L], u64)| (f64::from_bits(bits), self.slots.attributes(words));
        gauge
            .with_callback(move |observer| {
                self.slots.each().map(tell).for_each(|(value, words)| observer.observe(value, &words));
            })
            .build();
    }
}

/// A histogram of durations by operation, or of one thing. What is recorded goes straight to the place of its word, found once.
#[derive(Debug)]
pub struct Timer<const L: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; L],
    histogram: OnceLock<Histogram<f64>>,
    slots: [OnceLock<([&'static str; L], BoundHistogram<f64>)>; OPERATIONS],
}

/// The operations that one timer can tell apart: more than the program has.
const OPERATIONS: usize = 64;

/// In seconds: from a cached introspection to the longest deadline.
const BOUNDARIES: [f64; 14] = [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

impl<const L: usize> Timer<L> {
    pub(super) const fn new(name: &'static str, help: &'static str, labels: [&'static str; L]) -> Self {
        Self { name, help, labels, histogram: OnceLock::new(), slots: [const { OnceLock::new() }; OPERATIONS] }
    }

    /// Records one of these words. Nothing before the meter knows it.
    pub(super) fn record(&self, words: [&'static str; L], took: Duration) {
        let Some(histogram) = self.histogram.get() else { return };
        for slot in &self.slots {
            let (held, bound) = slot.get_or_init(|| {
                let mut all = words.into_iter();
                let attributes = self.labels.map(|label| KeyValue::new(label, all.next().unwrap_or_default()));
                (words, histogram.bind(&attributes))
            });
            if *held == words {
                return bound.record(took.as_secs_f64());
            }
        }
    }
}

impl<const L: usize> Instrument for Timer<L> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn suffix(&self) -> &'static str {
        "_seconds"
    }

    fn labels(&self) -> &[&'static str] {
        &self.labels
    }

    fn register(&'static self, meter: &Meter) {
        let built = meter.f64_histogram(self.name).with_description(self.help).with_unit("s");
        // Registered once, with the meter.
        let _again = self.histogram.set(built.with_boundaries(BOUNDARIES.into()).build());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

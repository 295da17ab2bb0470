//! What the counters did in the last quarter of an hour: a bounded ring of samples, for whoever looks at one replica without a Prometheus.
//!
//! Samples hold the counts themselves, so that one that comes late changes no rate.

use super::metrics;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the counters are to be looked at.
pub const EVERY: Duration = Duration::from_secs(5);
/// How far back the samples go.
pub const WINDOW: Duration = Duration::from_secs(15 * 60);
/// The most samples: those of the window, and the one before it.
const KEPT: usize = 181;

/// What is counted, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Calls, over gRPC and HTTP: answered, refused to the caller, failed for a fault of ours, shed.
    Calls,
    /// Refreshes by verdict.
    Refreshes,
    /// Tokens introspected, by answer.
    Introspections,
    /// Requests through gateways, by answer.
    Gateways,
    /// Revocations by kind of target.
    Revocations,
    /// Calls of the store by outcome.
    Store,
}

/// One word of a group, over the window.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The word.
    pub word: &'static str,
    /// How many in the window.
    pub total: u64,
    /// (How long ago an interval ended, how many a second there were in it), the oldest first.
    pub rates: Vec<(Duration, f64)>,
}

/// The samples of the process. One for the process, behind an `Arc`.
#[derive(Debug, Default)]
pub struct Rates(Mutex<VecDeque<Sample>>);

#[derive(Debug)]
struct Sample {
    at: Instant,
    counts: Vec<(Group, &'static str, u64)>,
}

impl Group {
    /// Every one, in the order in which they are shown.
    pub const ALL: [Self; 6] =
        [Self::Calls, Self::Refreshes, Self::Introspections, Self::Gateways, Self::Revocations, Self::Store];
}

impl Rates {
    /// Looks at the counters. To be done every [`EVERY`].
    pub fn sample(&self, at: Instant) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() >= KEPT {
            samples.pop_front();
        }
        samples.push_back(Sample { at, counts: counts() });
    }

    /// What a group did in the window that ends at `now`: a line for each word that was ever counted.
    #[must_use]
    pub fn lately(&self, group: Group, now: Instant) -> Vec<Line> {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_group = samples.iter().flat_map(|sample| &sample.counts).filter(|(of, ..)| *of == group);
        let words: BTreeSet<&'static str> = of_group.map(|(_, word, _)| *word).collect();
        words.into_iter().map(|word| line(&samples, group, word, now)).collect()
    }
}

fn line(samples: &VecDeque<Sample>, group: Group, word: &'static str, now: Instant) -> Line {
    let count = |sample: &Sample| {
        let of_word = sample.counts.iter().filter(|(of, said, _)| (*of, *said) == (group, word));
        of_word.map(|(.., count)| count).sum::<u64>()
    };
    let mut line = Line { word, total: 0, rates: Vec::with_capacity(samples.len()) };
    for (before, after) in samples.iter().zip(samples.iter().skip(1)) {
        let ago = now.saturating_duration_since(after.at);
        let took = after.at.saturating_duration_since(before.at).as_secs_f64();
        if ago <= WINDOW && took > 0.0 {
            let more = count(after).saturating_sub(count(before));
            line.total = line.total.saturating_add(more);
            line.rates.push((ago, more as f64 / took));
        }
    }
    line
}

/// The counters as they are. Several words of a counter may be one here.
fn counts() -> Vec<(Group, &'static str, u64)> {
    let calls = metrics::REQUESTS.counts().map(|([_, outcome], count)| (Group::Calls, outcome_of_call(outcome), count));
    let refreshes = metrics::REFRESHES.counts().map(|([verdict], count)| (Group::Refreshes, verdict, count));
    let introspections = metrics::INTROSPECTIONS.counts().map(|([answer, _], count)| (Group::Introspections, answer, count));
    let gateways = metrics::AUTHORIZATIONS.counts().map(|([answer], count)| (Group::Gateways, answer, count));
    let revocations = metrics::REVOCATIONS.counts().map(|([kind, _], count)| (Group::Revocations, kind, count));
    let store = metrics::STORE_CALLS.counts().map(|([_, outcome], count)| (Group::Store, outcome, count));
    let all = calls.chain(refreshes).chain(introspections).chain(gateways).chain(revocations).chain(store);
    // Some words are told before they are counted.
    all.filter(|(.., count)| *count > 0).collect()
}

/// Whose fault it was, of the word of a gRPC code.
fn outcome_of_call(code: &'static str) -> &'static str {
    match code {
        "OK" => "answered",
        "RESOURCE_EXHAUSTED" => "shed",
        word if metrics::is_our_fault(word) => "failed",
        _ => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rates: &Rates, word: &str, now: Instant) -> Option<Line> {
        rates.lately(Group::Revocations, now).into_iter().find(|line| line.word == word)
    }

    #[test]
    fn a_rate_is_what_was_counted_between_two_samples() {
        let (rates, begun) = (Rates::default(), Instant::now());
        let after = |seconds| begun + Duration::from_secs(seconds);
        rates.sample(begun);
        assert_eq!(of(&rates, "rates_test", after(1)), None, "nothing was counted yet");
        for reason in ["a", "a", "b"] {
            metrics::REVOCATIONS.add("rates_test", reason);
        }
        rates.sample(after(6));
        // Late: the rate is as it was.
        metrics::REVOCATIONS.add("rates_test", "a");
        rates.sample(after(16));
        let seen = of(&rates, "rates_test", after(20)).unwrap();
        assert_eq!(seen.total, 4);
        assert_eq!(seen.rates, [(Duration::from_secs(14), 0.5), (Duration::from_secs(4), 0.1)]);
        let later = of(&rates, "rates_test", after(6 + 15 * 60 + 1)).unwrap();
        assert_eq!((later.total, later.rates.len()), (1, 1), "what is older than the window is not shown");
    }

    #[test]
    fn the_ring_is_bounded() {
        let (rates, begun) = (Rates::default(), Instant::now());
        (0..1_000).for_each(|n| rates.sample(begun + EVERY * n));
        assert_eq!(rates.0.lock().unwrap().len(), KEPT);
        assert_eq!(u128::try_from(KEPT - 1).unwrap(), WINDOW.as_millis() / EVERY.as_millis(), "as many as the window needs");
    }
}

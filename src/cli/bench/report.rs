//! What was measured, summed up and shown. Pure: numbers in, text out.

use super::columns::aligned;
use super::load::{Errors, Ran};
use super::work::Sizes;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::time::Duration;

/// The rounds of one thing that was measured.
#[derive(Debug)]
pub(super) struct Series {
    rounds: Vec<Round>,
    latencies: Option<Histogram<u64>>,
    errors: Errors,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Round {
    requests: u64,
    seconds: f64,
    cpu: Option<Duration>,
}

/// Of the rounds: the least, the one in the middle, the most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    /// None of nothing.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        let lower = if values.len().is_multiple_of(2) { *values.get(middle.checked_sub(1)?)? } else { upper };
        Some(Self { min, median: f64::midpoint(lower, upper), max })
    }

    pub(super) fn shown(self, digits: usize) -> String {
        let Self { min, median, max } = self;
        if min.total_cmp(&max).is_eq() {
            format!("{median:.digits$}")
        } else {
            format!("{min:.digits$}/{median:.digits$}/{max:.digits$}")
        }
    }

    pub(super) fn json(self) -> Value {
        let Self { min, median, max } = self;
        json!({ "min": min, "median": median, "max": max })
    }
}

impl Round {
    fn rate(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| count(self.requests) / self.seconds)
    }

    /// Microseconds of the server's CPU a request.
    fn cpu_micros(&self) -> Option<f64> {
        self.per_request(self.cpu?.as_secs_f64() * 1e6)
    }

    /// How many cores the server kept busy.
    fn cores(&self) -> Option<f64> {
        let cpu = self.cpu?.as_secs_f64();
        (self.seconds > 0.0).then_some(cpu / self.seconds)
    }

    fn per_request(&self, sum: f64) -> Option<f64> {
        (self.requests > 0).then(|| sum / count(self.requests))
    }
}

/// Exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "nothing measured here gets near 2^53")]
pub(super) fn count(number: u64) -> f64 {
    number as f64
}

impl Series {
    pub(super) const fn new() -> Self {
        Self { rounds: Vec::new(), latencies: None, errors: Errors::new() }
    }

    /// Takes one round in.
    pub(super) fn add(&mut self, ran: Ran, cpu: Option<Duration>) {
        self.rounds.push(Round { requests: ran.requests, seconds: ran.took.as_secs_f64(), cpu });
        match &mut self.latencies {
            // Of the same bounds, so that adding cannot fail.
            Some(sum) => drop(sum.add(&ran.latencies)),
            None => self.latencies = Some(ran.latencies),
        }
        for (word, (times, said)) in ran.errors {
            self.errors.entry(word).or_insert((0, said)).0 += times;
        }
    }

    /// Whether every answer was right, and there was one.
    pub(super) fn is_right(&self) -> bool {
        self.errors.is_empty() && self.rounds.iter().all(|round| round.requests > 0)
    }

    fn spread(&self, of: fn(&Round) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(of))
    }

    /// Round by round, this against `other`.
    fn against(&self, other: &Self, of: fn(&Round) -> Option<f64>) -> Option<Spread> {
        let pairs = self.rounds.iter().zip(&other.rounds);
        Spread::of(pairs.filter_map(|(this, other)| Some(of(this)? / of(other)?).filter(|ratio| ratio.is_finite())))
    }

    /// Microseconds within which this share of the answers came.
    fn percentile(&self, share: f64) -> Option<f64> {
        let latencies = self.latencies.as_ref().filter(|latencies| !latencies.is_empty())?;
        Some(count(latencies.value_at_quantile(share)) / 1e3)
    }

    fn requests(&self) -> u64 {
        self.rounds.iter().map(|round| round.requests).sum()
    }

    fn cells(&self, name: &str) -> [String; COLUMNS] {
        let told = |value: Option<String>| value.unwrap_or_else(|| "-".into());
        let micros = |share| told(self.percentile(share).map(|micros| format!("{micros:.0}")));
        let spread = |of, digits| told(self.spread(of).map(|spread| spread.shown(digits)));
        [
            name.to_owned(),
            self.requests().to_string(),
            spread(Round::rate, 0),
            micros(0.5),
            micros(0.99),
            micros(0.999),
            spread(Round::cpu_micros, 2),
            spread(Round::cores, 2),
        ]
    }

    /// For scripts.
    pub(super) fn json(&self) -> Value {
        let spread = |of| self.spread(of).map(Spread::json);
        let errors: serde_json::Map<String, Value> =
            self.errors.iter().map(|(word, (times, said))| (word.clone(), json!({ "count": times, "first": said }))).collect();
        json!({
            "requests": self.requests(),
            "requests_per_second": spread(Round::rate),
            "latency_micros": { "p50": self.percentile(0.5), "p99": self.percentile(0.99), "p99.9": self.percentile(0.999) },
            "server_cpu_micros_per_request": spread(Round::cpu_micros),
            "server_cores": spread(Round::cores),
            "errors": errors,
        })
    }
}

/// One operation, and the no-op it was compared with.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) operation: &'static str,
    /// Further grants and revocations that were there.
    pub(super) beside: (u32, u32),
    pub(super) sizes: Option<Sizes>,
    pub(super) series: Series,
    pub(super) noop: Option<Series>,
}

/// One row each, without a no-op.
pub(super) fn rows(series: &[(&'static str, Series)]) -> String {
    let heads = HEADS.map(str::to_owned);
    let rows: Vec<_> = std::iter::once(heads).chain(series.iter().map(|(name, series)| series.cells(name))).collect();
    aligned(&rows) + &series.iter().map(|(name, series)| told_errors(name, &series.errors)).collect::<String>()
}

const COLUMNS: usize = 8;
const HEADS: [&str; COLUMNS] = ["", "requests", "requests/s", "p50 us", "p99 us", "p99.9 us", "server CPU us/request", "cores"];

impl Report {
    /// Of what is yet to be measured.
    pub(super) const fn of(operation: &'static str) -> Self {
        Self { operation, beside: (0, 0), sizes: None, series: Series::new(), noop: None }
    }

    pub(super) fn is_right(&self) -> bool {
        self.series.is_right() && self.noop.as_ref().is_none_or(Series::is_right)
    }

    /// For people. Of several rounds: the least, the median, the most.
    pub(super) fn table(&self) -> String {
        let mut rows = vec![HEADS.map(str::to_owned)];
        if let Some(noop) = &self.noop {
            rows.push(noop.cells("no-op"));
        }
        rows.push(self.series.cells(self.operation));
        if let Some(noop) = &self.noop {
            let mut ratios: [String; COLUMNS] = Default::default();
            let ratio = |of| self.series.against(noop, of).map_or_else(|| "-".into(), |spread| spread.shown(2));
            let [name, .., cpu, _] = &mut ratios;
            *name = "ratio".into();
            *cpu = ratio(Round::cpu_micros);
            rows.push(ratios);
        }
        let mut text = aligned(&rows);
        if let Some(Sizes { request, response }) = self.sizes {
            text.push_str(&format!("messages: request {request} bytes, answer {response} bytes\n"));
        }
        if let (grants, revocations) = self.beside
            && self.beside != (0, 0)
        {
            text.push_str(&format!("beside {grants} other grants and {revocations} revocations\n"));
        }
        text.extend(iter_named(self).map(|(name, series)| told_errors(name, &series.errors)));
        text
    }

    /// For scripts.
    pub(super) fn json(&self) -> Value {
        let mut report = self.series.json();
        if let Value::Object(members) = &mut report {
            members.insert("operation".into(), self.operation.into());
            members.insert("other_grants".into(), self.beside.0.into());
            members.insert("revocations".into(), self.beside.1.into());
            if let Some(Sizes { request, response }) = self.sizes {
                members.insert("request_bytes".into(), request.into());
                members.insert("response_bytes".into(), response.into());
            }
            if let Some(noop) = &self.noop {
                let ratio = |of| self.series.against(noop, of).map(Spread::json);
                members.insert("noop".into(), noop.json());
                members.insert("ratio".into(), json!({ "server_cpu": ratio(Round::cpu_micros) }));
            }
        }
        report
    }
}

/// The same operations at several sizes, side by side: what they cost, and whether that grows.
pub(super) fn side_by_side(reports: &[Report]) -> String {
    let mut rows = vec![["", "other grants", "revocations", "server CPU us/request", "no-op", "ratio"].map(str::to_owned)];
    let mut names: Vec<&str> = Vec::new();
    for Report { operation, .. } in reports {
        if !names.contains(operation) {
            names.push(operation);
        }
    }
    let of = |name| reports.iter().filter(move |report| report.operation == name);
    for Report { operation, beside: (grants, revocations), series, noop, .. } in names.into_iter().flat_map(of) {
        let told = |spread: Option<Spread>| spread.map_or_else(|| "-".into(), |spread| spread.shown(2));
        let noop = noop.as_ref();
        rows.push([
            (*operation).to_owned(),
            grants.to_string(),
            revocations.to_string(),
            told(series.spread(Round::cpu_micros)),
            told(noop.and_then(|noop| noop.spread(Round::cpu_micros))),
            told(noop.and_then(|noop| series.against(noop, Round::cpu_micros))),
        ]);
    }
    aligned(&rows)
}

/// Errors in words.
pub(super) fn told_errors(name: &str, errors: &Errors) -> String {
    errors.iter().map(|(word, (times, said))| format!("ERRORS of {name}: {word} {times} times, the first: {said}\n")).collect()
}

fn iter_named(report: &Report) -> impl Iterator<Item = (&'static str, &Series)> {
    report.noop.iter().map(|noop| ("no-op", noop)).chain([(report.operation, &report.series)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(micros: &[u64], took: Duration) -> Ran {
        let mut latencies = Histogram::new_with_bounds(1_000, 60_000_000_000, 3).unwrap();
        micros.iter().for_each(|micros| latencies.record(micros * 1_000).unwrap());
        Ran { requests: latencies.len(), took, latencies, errors: Errors::new(), refused: None }
    }

    fn cpu(micros: u64) -> Option<Duration> {
        Some(Duration::from_micros(micros))
    }

    fn near(found: Option<f64>, expected: f64) {
        let found = found.unwrap();
        assert!((found - expected).abs() <= expected.abs() * 1e-3, "{found} is not {expected}");
    }

    #[test]
    fn the_middle_of_an_even_number_is_between_the_two() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0]), Some(Spread { min: 3.0, median: 3.0, max: 3.0 }));
        assert_eq!(Spread::of([9.0, 1.0, 4.0]), Some(Spread { min: 1.0, median: 4.0, max: 9.0 }));
        assert_eq!(Spread::of([9.0, 1.0, 4.0, 2.0]), Some(Spread { min: 1.0, median: 3.0, max: 9.0 }));
    }

    #[test]
    fn percentiles_are_of_all_rounds_together() {
        let mut series = Series::new();
        series.add(ran(&(1..=500).collect::<Vec<_>>(), Duration::from_millis(1)), None);
        series.add(ran(&(501..=1_000).collect::<Vec<_>>(), Duration::from_millis(1)), None);
        near(series.percentile(0.5), 500.0);
        near(series.percentile(0.99), 990.0);
        near(series.percentile(0.999), 999.0);
        assert_eq!(series.requests(), 1_000);
    }

    #[test]
    fn cost_is_divided_by_requests_and_compared_round_by_round() {
        let (mut noop, mut issue) = (Series::new(), Series::new());
        // The machine slows down by half for the second pair: the ratio stays.
        for slow in [1, 2, 1] {
            noop.add(ran(&[10; 4], Duration::from_millis(slow)), cpu(4 * 5 * slow));
            issue.add(ran(&[30; 2], Duration::from_millis(slow)), cpu(2 * 20 * slow));
        }
        let report = Report { operation: "issue", beside: (0, 0), sizes: None, series: issue, noop: Some(noop) };
        let noop = report.noop.as_ref().unwrap();
        assert_eq!(report.series.spread(Round::cpu_micros), Some(Spread { min: 20.0, median: 20.0, max: 40.0 }));
        near(report.series.against(noop, Round::cpu_micros).map(|ratio| ratio.max), 4.0);
        near(report.series.against(noop, Round::cpu_micros).map(|ratio| ratio.min), 4.0);
        near(noop.spread(Round::rate).map(|rate| rate.median), 4_000.0);
        assert_eq!(report.json()["ratio"]["server_cpu"]["median"], json!(4.0));
        let table = report.table();
        let ratio = table.lines().find(|line| line.starts_with("ratio")).unwrap();
        assert_eq!(ratio.split_whitespace().collect::<Vec<_>>(), ["ratio", "4.00"]);
    }

    #[test]
    fn sizes_stand_side_by_side_by_operation() {
        let at = |operation, revocations, micros: u64| {
            let (mut series, mut noop) = (Series::new(), Series::new());
            series.add(ran(&[10; 2], Duration::from_millis(1)), cpu(2 * micros));
            noop.add(ran(&[10; 2], Duration::from_millis(1)), cpu(2 * 8));
            Report { operation, beside: (7, revocations), sizes: None, series, noop: Some(noop) }
        };
        let table = side_by_side(&[at("jwt", 10, 6), at("opaque", 10, 4), at("jwt", 100, 8), at("opaque", 100, 4)]);
        let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            rows,
            [
                ["jwt", "7", "10", "6.00", "8.00", "0.75"],
                ["jwt", "7", "100", "8.00", "8.00", "1.00"],
                ["opaque", "7", "10", "4.00", "8.00", "0.50"],
                ["opaque", "7", "100", "4.00", "8.00", "0.50"],
            ]
        );
    }

    #[test]
    fn without_a_process_no_cost_is_told() {
        let mut series = Series::new();
        series.add(ran(&[10], Duration::from_millis(1)), None);
        assert_eq!(series.spread(Round::cpu_micros), None);
        assert_eq!(series.json()["server_cpu_micros_per_request"], Value::Null);
    }

    #[test]
    fn errors_are_shown_and_make_it_wrong_as_does_a_round_of_nothing() {
        let mut series = Series::new();
        let mut with_errors = ran(&[10], Duration::from_millis(1));
        with_errors.errors.insert("UNAVAILABLE".into(), (3, "the store is gone".into()));
        series.add(with_errors, None);
        let report = Report { operation: "issue", beside: (0, 0), sizes: None, series, noop: None };
        assert!(!report.is_right());
        assert!(report.table().contains("ERRORS of issue: UNAVAILABLE 3 times, the first: the store is gone"));
        assert_eq!(report.json()["errors"]["UNAVAILABLE"]["count"], json!(3));
        let mut nothing = Series::new();
        nothing.add(ran(&[], Duration::from_millis(1)), None);
        assert!(!nothing.is_right());
    }
}

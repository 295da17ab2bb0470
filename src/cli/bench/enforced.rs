//! How soon the other replicas followed, summed up and shown. Pure: numbers in, text out.

use super::columns::aligned;
use super::load::Ran;
use super::report::{Series, count, rows, told_errors};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::time::Duration;

/// Shares that are told.
const SHARES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
/// Within what it is counted.
const WITHIN: [Duration; 11] = [
    Duration::from_micros(100),
    Duration::from_micros(200),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_secs(10),
];

/// What was measured between replicas.
#[derive(Debug)]
pub(super) struct Enforced {
    /// How many replicas there were.
    pub(super) replicas: usize,
    /// How many requests a second each was to be asked for.
    pub(super) asked_load: u32,
    /// What was called beside, one round a replica.
    pub(super) load: Vec<(&'static str, Series)>,
    /// Revoke, from the request to its acknowledgement.
    pub(super) revoked: Ran,
    /// From the acknowledgement to the first answer of another replica that it is not active; nothing where that came first.
    pub(super) enforced: Ran,
    /// One question to another replica.
    pub(super) questions: Ran,
    /// How often the answer that it is not active came before the acknowledgement.
    pub(super) early: u64,
}

impl Enforced {
    /// Whether every answer was right, and there was one.
    pub(super) fn is_right(&self) -> bool {
        let measured = [&self.revoked, &self.enforced, &self.questions];
        measured.iter().all(|ran| ran.errors.is_empty() && ran.requests > 0)
            && self.load.iter().all(|(_, series)| series.is_right())
    }

    fn measured(&self) -> [(&'static str, &Ran); 3] {
        [
            ("revoke, from request to acknowledgement", &self.revoked),
            ("enforced elsewhere, from acknowledgement to `active: false`", &self.enforced),
            ("one question, which bounds the resolution", &self.questions),
        ]
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let Self { replicas, asked_load, .. } = self;
        let mut text = format!(
            "{replicas} replicas; each revocation on the next of them, seen by the others; beside it {asked_load} requests a second to each\n\n"
        );
        let mut percentiles = vec![["", "count", "p50 us", "p90 us", "p99 us", "p99.9 us", "max us"].map(str::to_owned)];
        percentiles.extend(self.measured().map(|(name, ran)| {
            let [p50, p90, p99, p999, max] = SHARES.map(|(_, share)| format!("{:.0}", micros(&ran.latencies, share)));
            [name.to_owned(), ran.requests.to_string(), p50, p90, p99, p999, max]
        }));
        text.push_str(&aligned(&percentiles));
        text.push('\n');
        text.push_str(&self.histogram());
        if !self.load.is_empty() {
            text.push_str("\nbeside it, by replica (minimum/median/maximum)\n");
            text.push_str(&rows(&self.load));
        }
        text.extend(self.measured().map(|(name, ran)| told_errors(name, &ran.errors)));
        text
    }

    fn histogram(&self) -> String {
        let Ran { requests, latencies, .. } = &self.enforced;
        let row = |what: String, number: u64| {
            let share = if *requests == 0 { 0.0 } else { count(number) / count(*requests) * 100.0 };
            [what, number.to_string(), format!("{share:.2} %")]
        };
        let mut table = vec![["enforced elsewhere", "count", "of all"].map(str::to_owned)];
        table.push(row("before it was acknowledged".into(), self.early));
        for within in WITHIN {
            let number = latencies.count_between(0, nanos(within)).min(*requests);
            table.push(row(format!("within {within:?}"), number));
            if number == *requests {
                break;
            }
        }
        aligned(&table)
    }

    /// For scripts.
    pub(super) fn json(&self) -> Value {
        let told = |ran: &Ran| {
            let shares = SHARES.map(|(name, share)| (name.to_owned(), micros(&ran.latencies, share).into()));
            let errors: serde_json::Map<String, Value> =
                ran.errors.iter().map(|(word, (times, said))| (word.clone(), json!({ "count": times, "first": said }))).collect();
            json!({ "count": ran.requests, "latency_micros": serde_json::Map::from_iter(shares), "errors": errors })
        };
        let load = self.load.iter().map(|(name, series)| ((*name).to_owned(), series.json()));
        json!({
            "replicas": self.replicas,
            "load": serde_json::Map::from_iter(load),
            "revoke": told(&self.revoked),
            "enforced": told(&self.enforced),
            "enforced_before_acknowledged": self.early,
            "question": told(&self.questions),
        })
    }
}

fn micros(latencies: &Histogram<u64>, share: f64) -> f64 {
    count(latencies.value_at_quantile(share)) / 1e3
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::load::Wrong;

    fn ran(micros: impl IntoIterator<Item = u64>) -> Ran {
        let mut ran = Ran::nothing().unwrap();
        micros.into_iter().for_each(|micros| ran.count(Ok(()), Duration::from_micros(micros)));
        ran
    }

    fn enforced(micros: impl IntoIterator<Item = u64>, early: u64) -> Enforced {
        let (revoked, questions) = (ran([300; 50]), ran([100; 500]));
        Enforced { replicas: 3, asked_load: 0, load: Vec::new(), revoked, enforced: ran(micros), questions, early }
    }

    #[test]
    fn what_came_before_the_acknowledgement_is_within_every_bound() {
        let told = enforced([0; 40].into_iter().chain([150; 59]).chain([7_000]), 40);
        assert!(told.is_right());
        let table = told.histogram();
        let rows: Vec<&str> = table.lines().skip(1).map(|line| line.trim_start_matches("within ").trim_end()).collect();
        let rows: Vec<Vec<&str>> = rows.iter().map(|row| row.split_whitespace().collect()).collect();
        let last = |row: &[&str]| row[row.len() - 3..row.len() - 1].join(" ");
        let counted: Vec<String> = rows.iter().map(|row| last(row)).collect();
        assert_eq!(counted, ["40 40.00", "40 40.00", "99 99.00", "99 99.00", "99 99.00", "99 99.00", "99 99.00", "100 100.00"]);
        assert!((told.json()["enforced"]["latency_micros"]["p99"].as_f64().unwrap() - 150.0).abs() < 1.0);
    }

    #[test]
    fn a_token_that_stayed_active_is_an_error() {
        let mut told = enforced([100], 0);
        told.enforced.count(Err(Wrong::Answer("it stayed active")), Duration::ZERO);
        assert!(!told.is_right());
        assert!(told.table().contains("WRONG_ANSWER 1 times, the first: it stayed active"), "{}", told.table());
    }
}

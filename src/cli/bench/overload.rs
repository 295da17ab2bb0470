//! What is left of the throughput beyond capacity: as many callers as the server has places, then twice and five times as many.
//!
//! Who is refused waits for as long as he is told, and some jitter, as the client library does. In the last step nobody waits: no caller that
//! behaves does that, and what it costs is told too.

use super::columns::aligned;
use super::load::{Errors, Ran, Work, Wrong};
use super::report::{Spread, count, told_errors};
use super::server::Server;
use super::work::Issue;
use super::{Bench, no_randomness};
use crate::cli::failure::Failure;
use crate::random;
use crate::transport::fault::code_word;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// How many callers for each place, and whether they wait when they are refused. The first is the peak.
const STEPS: [(u32, bool); 4] = [(1, true), (2, true), (5, true), (5, false)];
/// What is said of who is refused for want of a place.
const SHED: &str = code_word(Code::ResourceExhausted);

/// What was measured.
#[derive(Debug)]
pub(super) struct Overload {
    places: u32,
    steps: Vec<Step>,
}

/// So many callers for each place.
#[derive(Debug)]
struct Step {
    times: u32,
    waits: bool,
    rounds: Vec<Round>,
    latencies: Histogram<u64>,
    errors: Errors,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    /// Right answers a second, and refusals.
    goodput: f64,
    shed: f64,
    /// What of the server is in memory, in KiB.
    resident: Option<u64>,
}

impl Bench<'_> {
    /// Issues to ever more callers.
    pub(super) async fn overload(&self) -> Result<Overload, Failure> {
        let (places, connections) = (self.arguments.places, self.arguments.connections);
        let span = Duration::from_secs(self.arguments.seconds.into());
        let issue = Arc::new(Issue::endless().map_err(no_randomness)?);
        let mut steps = STEPS.into_iter().map(Step::new).collect::<Result<Vec<_>, _>>()?;
        for (round, first) in (1..=self.arguments.rounds).zip((0..steps.len()).cycle()) {
            // Each begins as often as any other: who comes after the flood is not always the same.
            let (last, next) = steps.split_at_mut(first);
            for step in next.iter_mut().chain(last) {
                let links = self.links.with_callers(places.saturating_mul(step.times).div_ceil(connections));
                let work = Arc::new(Beyond { work: Arc::clone(&issue), waits: step.waits });
                self.progress.begin(format!("overload {}: round {round} of {}", step.name(), self.arguments.rounds), span);
                let ran = links.run(&work, span, &self.progress).await?;
                step.add(ran, span, self.server.map(Server::resident).transpose()?)?;
            }
        }
        Ok(Overload { places, steps })
    }
}

/// The same calls, by callers who may be refused for want of a place.
struct Beyond {
    work: Arc<Issue>,
    waits: bool,
}

impl Work for Beyond {
    type Client = <Issue as Work>::Client;

    fn client(channel: Channel) -> Self::Client {
        Issue::client(channel)
    }

    async fn call(&self, client: &mut Self::Client) -> Option<Result<(), Wrong>> {
        let answer = self.work.call(client).await?;
        if let (true, Err(Wrong::Refused(status))) = (self.waits, &answer)
            && let Some(told) = retry_after(status)
        {
            tokio::time::sleep(told + random::up_to(told)).await;
        }
        Some(answer)
    }
}

fn retry_after(status: &Status) -> Option<Duration> {
    status.get_error_details().retry_info()?.retry_delay
}

impl Step {
    fn new((times, waits): (u32, bool)) -> Result<Self, Failure> {
        let Ran { latencies, errors, .. } = Ran::nothing()?;
        Ok(Self { times, waits, rounds: Vec::new(), latencies, errors })
    }

    fn name(&self) -> String {
        format!("{}x{}", self.times, if self.waits { "" } else { ", nobody waits" })
    }

    fn add(&mut self, ran: Ran, span: Duration, resident: Option<u64>) -> Result<(), Failure> {
        let a_second = |number| count(number) / span.as_secs_f64();
        let shed = ran.errors.get(SHED).map_or(0, |(times, _)| *times);
        self.rounds.push(Round { goodput: a_second(ran.requests), shed: a_second(shed), resident });
        self.latencies.add(&ran.latencies).map_err(|error| super::load::defect(&error))?;
        for (word, (times, said)) in ran.errors {
            self.errors.entry(word).or_insert((0, said)).0 += times;
        }
        Ok(())
    }

    /// What was refused for another reason than want of a place.
    fn wrong(&self) -> Errors {
        self.errors.iter().filter(|(word, _)| *word != SHED).map(|(word, error)| (word.clone(), error.clone())).collect()
    }

    fn spread(&self, of: impl Fn(&Round) -> f64) -> Option<Spread> {
        Spread::of(self.rounds.iter().map(of))
    }

    /// Round by round, in per cent of the peak.
    fn of_peak(&self, peak: &Self) -> Option<Spread> {
        let pairs = self.rounds.iter().zip(&peak.rounds);
        Spread::of(pairs.map(|(this, peak)| this.goodput / peak.goodput * 100.0).filter(|share| share.is_finite()))
    }

    fn micros(&self, share: f64) -> f64 {
        count(self.latencies.value_at_quantile(share)) / 1e3
    }

    /// The most that was in memory at the end of a round.
    fn resident(&self) -> Option<u64> {
        self.rounds.iter().filter_map(|round| round.resident).max()
    }
}

impl Overload {
    /// Whether every caller was answered rightly or refused for want of a place.
    pub(super) fn is_right(&self) -> bool {
        self.steps.iter().all(|step| step.wrong().is_empty() && step.rounds.iter().all(|round| round.goodput > 0.0))
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let Some(peak) = self.steps.first() else { return String::new() };
        let told = |spread: Option<Spread>| spread.map_or_else(|| "-".into(), |spread| spread.shown(0));
        let heading = ["issue", "callers", "answered/s", "% of peak", "p50 us", "p99 us", "refused/s", "resident KiB"];
        let mut rows = vec![heading.map(str::to_owned)];
        rows.extend(self.steps.iter().map(|step| {
            [
                step.name(),
                self.places.saturating_mul(step.times).to_string(),
                told(step.spread(|round| round.goodput)),
                told(step.of_peak(peak)),
                format!("{:.0}", step.micros(0.5)),
                format!("{:.0}", step.micros(0.99)),
                told(step.spread(|round| round.shed)),
                step.resident().map_or_else(|| "-".into(), |kib| kib.to_string()),
            ]
        }));
        let mut text = format!("{} places; callers for each place (minimum/median/maximum)\n\n", self.places);
        text.push_str(&aligned(&rows));
        text.extend(self.steps.iter().map(|step| told_errors(&step.name(), &step.wrong())));
        text
    }

    /// For scripts.
    pub(super) fn json(&self) -> Value {
        let Some(peak) = self.steps.first() else { return Value::Null };
        let steps = self.steps.iter().map(|step| {
            json!({
                "callers": self.places.saturating_mul(step.times),
                "waits": step.waits,
                "answered_per_second": step.spread(|round| round.goodput).map(Spread::json),
                "percent_of_peak": step.of_peak(peak).map(Spread::json),
                "refused_per_second": step.spread(|round| round.shed).map(Spread::json),
                "p50_micros": step.micros(0.5),
                "p99_micros": step.micros(0.99),
                "resident_kib": step.resident(),
            })
        });
        steps.collect()
    }
}

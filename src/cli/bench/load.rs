//! The closed loop: so many callers on so many connections, each sending its next request when it has its answer.
//!
//! Must not live here: what is called (`work`), what the server spends on it (`server`), how it is shown (`report`).

use super::super::failure::Failure;
use super::progress::Progress;
use crate::coalescing::Coalescing;
use crate::transport::fault::code_word;
use hdrhistogram::Histogram;
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Interval, interval_at};
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long answers may be waited for when a round is over.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is called again and again.
pub(super) trait Work: Send + Sync + 'static {
    /// What calls.
    type Client: Send + 'static;

    /// A client on this connection.
    fn client(channel: Channel) -> Self::Client;

    /// One call, its answer checked; none where nothing is left to call with.
    fn call(&self, client: &mut Self::Client) -> impl Future<Output = Option<Result<(), Wrong>>> + Send;
}

/// What was wrong with an answer.
#[derive(Debug)]
pub(super) enum Wrong {
    /// It was an error.
    Refused(Box<Status>),
    /// It was not what was asked for, in words.
    Answer(&'static str),
}

impl From<Status> for Wrong {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

/// Stands for a status where the answer was not what was asked for.
const WRONG_ANSWER: &str = "WRONG_ANSWER";

/// Errors by status, with how often and what the first one said.
pub(super) type Errors = BTreeMap<String, (u64, String)>;

/// What came of a round.
#[derive(Debug)]
pub(super) struct Ran {
    /// Answers that were right.
    pub(super) requests: u64,
    /// From the first request to the last answer.
    pub(super) took: Duration,
    /// How long right answers took, in nanoseconds.
    pub(super) latencies: Histogram<u64>,
    /// What was not right.
    pub(super) errors: Errors,
    /// The first error, as a status, where it was one.
    pub(super) refused: Option<Box<Status>>,
}

impl Ran {
    /// Before the first answer.
    pub(super) fn nothing() -> Result<Self, Failure> {
        // From a microsecond to a minute, to three digits.
        let latencies = Histogram::new_with_bounds(1_000, 60_000_000_000, 3).map_err(|error| defect(&error))?;
        Ok(Self { requests: 0, took: Duration::ZERO, latencies, errors: Errors::new(), refused: None })
    }

    /// Counts an answer, and how long it took where it was right.
    pub(super) fn count(&mut self, answer: Result<(), Wrong>, took: Duration) {
        let wrong = match answer {
            Ok(()) => {
                self.requests += 1;
                self.latencies.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
                return;
            }
            Err(wrong) => wrong,
        };
        let (word, said) = match &wrong {
            Wrong::Refused(status) => (code_word(status.code()), status.message()),
            Wrong::Answer(said) => (WRONG_ANSWER, *said),
        };
        let error = self.errors.entry(word.to_owned()).or_insert_with(|| (0, said.to_owned()));
        error.0 += 1;
        if let (Wrong::Refused(status), None) = (wrong, &self.refused) {
            self.refused = Some(status);
        }
    }

    /// The first error, if there was one.
    fn well(self, server: &str) -> Result<(), Failure> {
        match (self.refused, self.errors.into_values().next()) {
            (Some(status), _) => Err(Failure::of_status("bench", server, &status)),
            (None, Some((_, said))) => {
                Err(Failure::local(format!("bench: a wrong answer: {said}"), "the server's log may say more"))
            }
            (None, None) => Ok(()),
        }
    }

    fn join(&mut self, other: Self) -> Result<(), Failure> {
        self.requests += other.requests;
        self.latencies.add(&other.latencies).map_err(|error| defect(&error))?;
        for (word, (count, said)) in other.errors {
            self.errors.entry(word).or_insert((0, said)).0 += count;
        }
        self.refused = self.refused.take().or(other.refused);
        Ok(())
    }
}

pub(super) fn defect(error: &dyn std::fmt::Display) -> Failure {
    Failure::local(format!("bench: {error}"), "this is a defect of jeton: report it")
}

/// Connections to one server, and how many callers each has.
pub(super) struct Links {
    server: String,
    channels: Vec<Channel>,
    callers: u32,
    /// How long from one request of a caller to his next; none: he sends it when he has his answer.
    every: Option<Duration>,
}

impl Links {
    /// Connects.
    pub(super) async fn connect(server: &str, connections: u32, callers: u32) -> Result<Self, Failure> {
        let mut channels = Vec::new();
        for _ in 0..connections {
            channels.push(channel(server).await?);
        }
        Ok(Self { server: server.to_owned(), channels, callers, every: None })
    }

    /// The same connections, for so many requests a second (at least one) however long they take.
    pub(super) fn paced(&self, rate: u32) -> Self {
        let every = Duration::from_secs(u64::try_from(self.size()).unwrap_or(u64::MAX)) / rate.max(1);
        Self { server: self.server.clone(), channels: self.channels.clone(), callers: self.callers, every: Some(every) }
    }

    /// The same connections with so many callers on each, who send their next request when they have their answer.
    pub(super) fn with_callers(&self, callers: u32) -> Self {
        Self { server: self.server.clone(), channels: self.channels.clone(), callers, every: None }
    }

    /// How many call at the same time.
    fn size(&self) -> usize {
        self.channels.len().saturating_mul(usize::try_from(self.callers).unwrap_or(usize::MAX))
    }

    /// When the caller of this number calls: evenly spread, so that they do not all come at once.
    fn pace(&self, number: u32) -> Option<Interval> {
        let every = self.every.filter(|every| !every.is_zero())?;
        let count = u32::try_from(self.size()).unwrap_or(u32::MAX).max(1);
        Some(interval_at(tokio::time::Instant::now() + every * number / count, every))
    }

    /// Calls until `span` is over or nothing is left to call with, and waits for the last answers.
    pub(super) async fn run<W: Work>(&self, work: &Arc<W>, span: Duration, progress: &Progress) -> Result<Ran, Failure> {
        let began = Instant::now();
        let until = began + span;
        let mut callers = JoinSet::new();
        let channels = self.channels.iter().flat_map(|channel| (0..self.callers).map(move |_| channel));
        for (number, channel) in (0..).zip(channels) {
            callers.spawn(caller(Arc::clone(work), W::client(channel.clone()), self.pace(number), until));
        }
        let mut whole = Ran::nothing()?;
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        let overdue = tokio::time::sleep(span + PATIENCE);
        tokio::pin!(overdue);
        loop {
            tokio::select! {
                ended = callers.join_next() => match ended {
                    Some(Ok(ran)) => whole.join(ran?)?,
                    Some(Err(error)) => return Err(defect(&error)),
                    None => break,
                },
                _ = tick.tick() => progress.at(began.elapsed()),
                () = &mut overdue => return Err(Failure::timed_out("bench", &self.server, PATIENCE.as_secs())),
            }
        }
        whole.took = began.elapsed();
        Ok(whole)
    }

    /// The same where any error ends everything: for what must be there before it can be measured.
    pub(super) async fn run_well<W: Work>(&self, work: &Arc<W>, span: Duration, progress: &Progress) -> Result<(), Failure> {
        self.run(work, span, progress).await?.well(&self.server)
    }

    /// Makes work for `count` right answers and does it; what was refused is made up for, as long as most is not. Answers the work that was
    /// done.
    pub(super) async fn run_all<W: Work>(
        &self,
        mut count: usize,
        make: impl Fn(usize) -> Result<W, Failure>,
        span: Duration,
        progress: &Progress,
    ) -> Result<Vec<Arc<W>>, Failure> {
        let mut done = Vec::new();
        while count > 0 {
            let work = Arc::new(make(count)?);
            let ran = self.run(&work, span, progress).await?;
            done.push(work);
            let right = usize::try_from(ran.requests).unwrap_or(usize::MAX);
            if ran.errors.contains_key(WRONG_ANSWER) || right < count.div_ceil(2) {
                ran.well(&self.server)?;
                return Err(Failure::timed_out("bench", &self.server, span.as_secs()));
            }
            count = count.saturating_sub(right);
        }
        Ok(done)
    }
}

/// One connection.
pub(super) async fn channel(server: &str) -> Result<Channel, Failure> {
    let next = "write it like http://127.0.0.1:50051";
    let no_address =
        |why: &dyn std::fmt::Display| Failure::usage(format!("`{server}` is no address that can be measured: {why}"), next);
    if !server.starts_with("http://") {
        return Err(no_address(&"it speaks plain text and shows no caller: measure a replica that listens so on loopback"));
    }
    let endpoint = Endpoint::from_shared(server.to_owned()).map_err(|error| no_address(&error))?;
    let connected = endpoint.connect_timeout(CONNECT_TIMEOUT).connect_with_connector(tower::service_fn(connect)).await;
    connected.map_err(|error| Failure::of_status("bench", server, &Status::from_error(Box::new(error))))
}

/// A connection like the server's own, on which small requests leave together.
async fn connect(uri: Uri) -> io::Result<TokioIo<Coalescing>> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(Coalescing::new(stream)))
}

async fn caller<W: Work>(
    work: Arc<W>,
    mut client: W::Client,
    mut pace: Option<Interval>,
    until: Instant,
) -> Result<Ran, Failure> {
    let mut ran = Ran::nothing()?;
    let mut sent = Instant::now();
    while sent < until {
        if let Some(pace) = &mut pace {
            pace.tick().await;
            sent = Instant::now();
        }
        let Some(answer) = work.call(&mut client).await else { break };
        let answered = Instant::now();
        ran.count(answer, answered - sent);
        sent = answered;
    }
    Ok(ran)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_status_and_never_as_requests() {
        let mut one = Ran::nothing().unwrap();
        one.count(Ok(()), Duration::from_micros(100));
        one.count(Err(Status::unavailable("gone").into()), Duration::from_micros(1));
        one.count(Err(Wrong::Answer("not active")), Duration::from_micros(1));
        let mut two = Ran::nothing().unwrap();
        two.count(Err(Status::unavailable("still gone").into()), Duration::from_micros(1));
        two.count(Ok(()), Duration::from_micros(300));
        one.join(two).unwrap();
        assert_eq!((one.requests, one.latencies.len()), (2, 2));
        let errors: Vec<_> = one.errors.into_iter().collect();
        let expected = [("UNAVAILABLE", 2, "gone"), ("WRONG_ANSWER", 1, "not active")];
        assert_eq!(errors, expected.map(|(word, count, said)| (word.to_owned(), (count, said.to_owned()))));
        assert_eq!(one.refused.unwrap().message(), "gone");
    }
}

//! `jeton watch`: every revocation as a line, for as long as it is let; it goes on by itself where a stream ended.

use super::answer::Answer;
use super::arguments::{Output, Remote, WatchArguments};
use super::call::{DEADLINE, print_line, tell};
use super::connection::{Connection, channel};
use super::failure::{Exit, Failure};
use super::{escape, messages, table};
use crate::api::revocation_service_client::RevocationServiceClient;
use crate::api::watch_request::Message as Say;
use crate::api::watch_response::Message as Told;
use crate::api::{WatchChanges, WatchPing, WatchRequest, WatchStart, WatchStarted};
use crate::clock::Clock;
use crate::random;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

/// How often a proof of freshness is asked for.
const PING_EVERY: Duration = Duration::from_secs(1);
/// Pauses before a stream is begun anew: doubled each time that none began.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The columns of the table and how wide each is.
const COLUMNS: [(&str, usize); 6] = [("at", 32), ("kind", 11), ("target", 24), ("floor", 16), ("reason", 18), ("revision", 0)];

/// Prints until it is interrupted.
pub(super) async fn run(arguments: &WatchArguments, clock: &Clock) -> Result<Exit, Failure> {
    let client = RevocationServiceClient::new(channel(&arguments.remote)?);
    let stands = arguments.after.clone().unwrap_or_default();
    let mut watch = Watch { client, remote: &arguments.remote, clock, stands, has_started: false };
    tokio::select! {
        ended = watch.go_on() => ended,
        // Where it cannot be waited for, the signal ends the process anyway.
        Ok(()) = tokio::signal::ctrl_c() => Ok(Exit::Ok),
    }
}

struct Watch<'a> {
    client: RevocationServiceClient<Connection>,
    remote: &'a Remote,
    clock: &'a Clock,
    /// The revision to go on after.
    stands: String,
    has_started: bool,
}

/// Why a stream ended.
enum Ended {
    /// The server ended it, or is gone.
    Stream(Status),
    /// Nobody reads what is printed.
    ReaderGone,
    Failed(Failure),
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::Stream(status)
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Watch<'_> {
    async fn go_on(&mut self) -> Result<Exit, Failure> {
        let mut pause = FIRST_PAUSE;
        let mut ever_started = false;
        loop {
            self.has_started = false;
            let status = match self.stream(ever_started).await {
                Ok(never) => match never {},
                Err(Ended::Stream(status)) => status,
                Err(Ended::ReaderGone) => return Ok(Exit::Ok),
                Err(Ended::Failed(failure)) => return Err(failure),
            };
            if self.has_started {
                (ever_started, pause) = (true, FIRST_PAUSE);
            }
            if !ever_started || is_final(status.code()) {
                return Err(Failure::of_status("watch", &self.remote.server, &status));
            }
            tell(&format!("interrupted, and goes on by itself: {}", status.message()));
            sleep(pause + random::up_to(pause / 4)).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    async fn stream(&mut self, goes_on: bool) -> Result<Infallible, Ended> {
        let (say, saying) = mpsc::channel(4);
        let start = WatchStart { after_revision: self.stands.clone() };
        let mut pings = Pings { say, sent: Vec::new(), id: 0, proved: Instant::now(), stale: false };
        pings.say(Say::Start(start)).await;
        let begun = timeout(DEADLINE, self.client.watch(ReceiverStream::new(saying))).await;
        let mut told = match begun {
            Ok(begun) => begun?.into_inner(),
            Err(_elapsed) if goes_on => return Err(Status::deadline_exceeded("the server did not answer").into()),
            Err(_elapsed) => return Err(Failure::timed_out("watch", &self.remote.server, DEADLINE.as_secs()).into()),
        };
        let mut longest = Duration::MAX;
        let mut ping = interval(PING_EVERY);
        loop {
            tokio::select! {
                heard = told.message() => match heard?.ok_or_else(|| Status::unavailable("the stream ended"))?.message {
                    Some(Told::Started(started)) => longest = self.started(&started, goes_on)?,
                    Some(Told::Changes(changes)) => self.print(changes)?,
                    Some(Told::Pong(pong)) => {
                        self.stands = pong.revision;
                        pings.proved(pong.id);
                    }
                    None => {}
                },
                _ = ping.tick() => pings.ping(longest).await,
            }
        }
    }

    /// What the server says first; how old what is known may be.
    fn started(&mut self, started: &WatchStarted, goes_on: bool) -> Result<Duration, Ended> {
        if started.snapshot && !self.stands.is_empty() {
            tell("the revision is no part of the log's history: all that is known follows");
        }
        if !goes_on && self.remote.output == Output::Table && self.remote.field.is_empty() {
            shown(print_line(&table::line(COLUMNS.iter().map(|(name, width)| (name.to_uppercase(), *width))))?)?;
        }
        self.has_started = true;
        Ok(Duration::from_millis(u64::try_from(started.max_staleness_ms).unwrap_or_default()))
    }

    fn print(&mut self, changes: WatchChanges) -> Result<(), Ended> {
        let now = i64::try_from(self.clock.now().secs()).unwrap_or(i64::MAX);
        for raised in &changes.raised {
            let answer = messages::raised(raised, &changes.revision);
            shown(print_line(&self.line(&answer, now)?)?)?;
        }
        if !changes.revision.is_empty() {
            self.stands = changes.revision;
        }
        Ok(())
    }

    fn line(&self, answer: &Answer, now: i64) -> Result<String, Failure> {
        if !self.remote.field.is_empty() {
            let mut text = String::new();
            for name in &self.remote.field {
                for line in answer.lines_of(name).map_err(Failure::of_the_answer)? {
                    text.push_str(&format!("{}\n", escape::for_terminal(&line)));
                }
            }
            return Ok(text);
        }
        let cell = |name| answer.get(name).map_or_else(String::new, |value| table::cell(value, now));
        Ok(match self.remote.output {
            Output::Table => table::line(COLUMNS.iter().map(|(name, width)| (cell(name), *width))),
            Output::Json => format!("{}\n", escape::in_json(&serde_json::to_string(answer).unwrap_or_default())),
        })
    }
}

/// What is said on a stream, and how fresh it is by that.
struct Pings {
    say: mpsc::Sender<WatchRequest>,
    /// Pings that are not answered, and when each was sent.
    sent: Vec<(u64, Instant)>,
    id: u64,
    /// When the last ping was sent that was answered; before the first, when it began.
    proved: Instant,
    stale: bool,
}

impl Pings {
    async fn say(&self, message: Say) {
        // Where it is gone, the stream says so.
        let _gone = self.say.send(WatchRequest { message: Some(message) }).await;
    }

    async fn ping(&mut self, longest: Duration) {
        if !self.stale && self.proved.elapsed() > longest {
            self.stale = true;
            tell("stale: nothing was proved fresh for a while; what is revoked now may not be printed yet");
        }
        self.id += 1;
        // So many are never answered at once.
        if self.sent.len() >= 64 {
            self.sent.remove(0);
        }
        self.sent.push((self.id, Instant::now()));
        self.say(Say::Ping(WatchPing { id: self.id })).await;
    }

    fn proved(&mut self, id: u64) {
        if let Some((_, sent)) = self.sent.iter().find(|(sent, _)| *sent == id) {
            self.proved = *sent;
        }
        self.sent.retain(|(sent, _)| *sent > id);
        if std::mem::take(&mut self.stale) {
            tell("fresh again");
        }
    }
}

/// Whether another try would end alike.
const fn is_final(code: Code) -> bool {
    matches!(code, Code::InvalidArgument | Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented)
}

fn shown(is_read: bool) -> Result<(), Ended> {
    if is_read { Ok(()) } else { Err(Ended::ReaderGone) }
}

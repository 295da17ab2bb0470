//! A connection that comes back: made anew when it is asked for after it was lost, with pauses that grow. And how one request goes
//! over it: within its time-out, repeated only where nothing can have happened. Not what is asked.

use super::connection::{Live, Target};
use super::library;
use super::reply::{Refusal, refusal};
use crate::random;
use crate::store::StoreError;
use ::redis::{Cmd, Pipeline, RedisResult, ServerError, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// The pause after a first failed attempt to connect; doubled with each one that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The pause before asking again what a server refused for now.
const REFUSED_PAUSE: Duration = Duration::from_millis(10);

/// One connection, whether it is up or not.
pub(super) struct Link {
    target: Target,
    connect_timeout: Duration,
    response_timeout: Duration,
    state: watch::Sender<State>,
}

#[derive(Clone)]
enum State {
    Up(Arc<Live>),
    Connecting { failures: u32 },
    Down { failures: u32, until: Instant, why: Refusal },
}

/// Whether a request may be sent a second time when its outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reading twice is reading.
    Read,
    /// Never sent again once it may have happened.
    Write,
}

/// What goes down a connection as one piece.
pub(super) trait Request: Send + Sync {
    /// What comes back.
    type Answer: Send;
    fn send(&self, live: &Live) -> impl Future<Output = RedisResult<Self::Answer>> + Send;
    /// The first part's refusal; for reads that of any part.
    fn refused(answer: &Self::Answer, kind: Kind) -> Option<&ServerError>;
}

impl Request for Cmd {
    type Answer = Value;

    async fn send(&self, live: &Live) -> RedisResult<Value> {
        live.connection.clone().send_packed_command(self).await
    }

    fn refused(answer: &Value, _kind: Kind) -> Option<&ServerError> {
        server_error(answer)
    }
}

impl Request for Pipeline {
    type Answer = Vec<Value>;

    async fn send(&self, live: &Live) -> RedisResult<Vec<Value>> {
        live.connection.clone().send_packed_commands(self, 0, self.len()).await
    }

    fn refused(answer: &Vec<Value>, kind: Kind) -> Option<&ServerError> {
        match kind {
            Kind::Read => answer.iter().find_map(server_error),
            Kind::Write => answer.first().and_then(server_error),
        }
    }
}

pub(super) fn server_error(value: &Value) -> Option<&ServerError> {
    match value {
        Value::ServerError(error) => Some(error),
        _ => None,
    }
}

impl Link {
    /// Down until it is asked for.
    pub(super) fn new(target: Target, connect_timeout: Duration, response_timeout: Duration) -> Arc<Self> {
        let down = State::Down { failures: 0, until: Instant::now(), why: Refusal::Lost("not connected to Redis yet") };
        Arc::new(Self { target, connect_timeout, response_timeout, state: watch::Sender::new(down) })
    }

    /// Connects now, if it is not.
    pub(super) async fn connect(self: &Arc<Self>) -> Result<(), StoreError> {
        self.live().await.map(drop).map_err(Refusal::into_error)
    }

    /// Sends and answers within the time-out, over the connection that is handed back.
    pub(super) async fn call<R: Request>(
        self: &Arc<Self>,
        request: &R,
        kind: Kind,
    ) -> Result<(R::Answer, Arc<Live>), StoreError> {
        let mut last = None;
        match timeout(self.response_timeout, self.attempts(request, kind, &mut last)).await {
            Ok(outcome) => outcome.map_err(Refusal::into_error),
            Err(_elapsed) => Err(last.unwrap_or(Refusal::Lost("Redis did not answer in time")).into_error()),
        }
    }

    /// `last` is what a time-out then reports: why the attempts before it failed.
    async fn attempts<R: Request>(
        self: &Arc<Self>,
        request: &R,
        kind: Kind,
        last: &mut Option<Refusal>,
    ) -> Result<(R::Answer, Arc<Live>), Refusal> {
        let mut repeat_lost = kind == Kind::Read;
        let mut reload = true;
        loop {
            let live = self.live().await?;
            let guard = Silence { link: self, live: &live, since: Instant::now() };
            let answer = request.send(&live).await;
            drop(guard);
            let refused = match &answer {
                Ok(answer) => R::refused(answer, kind).map(refusal),
                Err(error) => {
                    let lost = Refusal::lost(error);
                    self.discard(&live, lost);
                    if !repeat_lost {
                        return Err(lost);
                    }
                    repeat_lost = false;
                    continue;
                }
            };
            match (refused, answer) {
                (None, Ok(answer)) => return Ok((answer, live)),
                (Some(Refusal::NoFunction), _) if reload => {
                    reload = false;
                    library::load(&mut live.connection.clone()).await?;
                }
                (Some(passing @ Refusal::Passing(_)), _) => {
                    *last = Some(passing);
                    tokio::time::sleep(jittered(REFUSED_PAUSE)).await;
                }
                (Some(other), _) => {
                    if matches!(other, Refusal::NoPrimary(_)) {
                        self.discard(&live, other);
                    }
                    return Err(other);
                }
                (None, Err(error)) => return Err(Refusal::lost(&error)),
            }
        }
    }

    /// The connection; waits where one is being made, fails at once during the pause after a failure.
    async fn live(self: &Arc<Self>) -> Result<Arc<Live>, Refusal> {
        loop {
            match &*self.state.borrow() {
                State::Up(live) if !live.is_closed() => return Ok(Arc::clone(live)),
                State::Down { until, why, .. } if Instant::now() < *until => return Err(*why),
                _ => {}
            }
            let mine = self.state.send_if_modified(|state| {
                let failures = match state {
                    State::Up(live) if live.is_closed() => 0,
                    State::Down { failures, until, .. } if Instant::now() >= *until => *failures,
                    _ => return false,
                };
                *state = State::Connecting { failures };
                true
            });
            if mine {
                let link = Arc::clone(self);
                #[expect(
                    clippy::disallowed_methods,
                    reason = "ends within the connect time-out; a request given up must not end it for others"
                )]
                drop(tokio::spawn(async move { link.open().await }));
            }
            let mut state = self.state.subscribe();
            let now = state.wait_for(|state| !matches!(state, State::Connecting { .. })).await;
            match now.as_deref() {
                Ok(State::Up(live)) => return Ok(Arc::clone(live)),
                Ok(State::Down { why, .. }) => return Err(*why),
                _ => {}
            }
        }
    }

    async fn open(self: Arc<Self>) {
        let made = timeout(self.connect_timeout, self.target.open()).await;
        let made = made.unwrap_or_else(|_elapsed| Err(self.target.silence()));
        self.state.send_modify(|state| {
            let failures = if let State::Connecting { failures } = state { *failures } else { 0 };
            *state = match made {
                Ok(live) => State::Up(Arc::new(live)),
                Err(why) => State::Down { failures: failures.saturating_add(1), until: Instant::now() + pause(failures), why },
            };
        });
    }

    /// This connection is of no use any more; the next request makes another.
    fn discard(&self, dead: &Arc<Live>, why: Refusal) {
        self.state.send_if_modified(|state| {
            let same = matches!(state, State::Up(live) if Arc::ptr_eq(live, dead));
            if same {
                *state = State::Down { failures: 0, until: Instant::now(), why };
            }
            same
        });
    }
}

/// Discards a connection over which nothing came for the whole time-out: the other end may be gone without a word. A request that its
/// caller gave up earlier proves nothing.
struct Silence<'a> {
    link: &'a Link,
    live: &'a Arc<Live>,
    since: Instant,
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // Only most of it: the request may have waited for the connection first.
        if self.since.elapsed() >= self.link.response_timeout.mul_f32(0.9) {
            self.link.discard(self.live, Refusal::Lost("Redis did not answer in time"));
        }
    }
}

/// How long to leave a server alone that could not be reached so many times before.
fn pause(failures: u32) -> Duration {
    jittered(FIRST_PAUSE.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(LONGEST_PAUSE))
}

/// Between half and the whole of it, so that many clients do not come back at the same moment.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause / 2 + random::up_to(pause / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_second_and_differ() {
        assert!(pause(0) <= FIRST_PAUSE && pause(0) >= FIRST_PAUSE / 2);
        for failures in [10, 31, 32, u32::MAX] {
            let long = pause(failures);
            assert!(long <= LONGEST_PAUSE && long >= LONGEST_PAUSE / 2, "{failures}: {long:?}");
        }
        assert!((0..100).map(|_| pause(20)).any(|other| other != pause(20)));
    }
}

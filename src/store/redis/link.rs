//! A connection that comes back: made anew when it is asked for after it was lost or its primary is another by now, with pauses that
//! grow. What is sent over it is sent once. Not what is asked, nor when it is asked again (`topology`).

use super::connection::{Live, Target};
use super::library;
use super::piece::{Piece, only};
use super::reply::{Refusal, refusal};
use crate::random;
use ::redis::{Cmd, ServerError, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// The pause after a first failed attempt to connect; doubled with each one that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

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

/// What goes down a connection as one piece.
pub(super) trait Request: Send + Sync {
    /// What comes back.
    type Answer: Send;
    fn send(&self, live: &Live) -> impl Future<Output = Result<Self::Answer, Refusal>> + Send;
    /// The refusal of its first part.
    fn refused(answer: &Self::Answer) -> Option<&ServerError>;
}

impl Request for Cmd {
    type Answer = Value;

    async fn send(&self, live: &Live) -> Result<Value, Refusal> {
        only(live.ask(&Piece::of(self.clone())).await?)
    }

    fn refused(answer: &Value) -> Option<&ServerError> {
        server_error(answer)
    }
}

impl Request for Piece {
    type Answer = Vec<Value>;

    async fn send(&self, live: &Live) -> Result<Vec<Value>, Refusal> {
        live.ask(self).await
    }

    fn refused(answer: &Vec<Value>) -> Option<&ServerError> {
        answer.first().and_then(server_error)
    }
}

/// The refusal that this answer is, if it is one.
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
    pub(super) async fn connect(self: &Arc<Self>) -> Result<(), Refusal> {
        self.live().await.map(drop)
    }

    /// Whether it would fail at once.
    pub(super) fn pauses(&self) -> bool {
        matches!(&*self.state.borrow(), State::Down { until, .. } if Instant::now() < *until)
    }

    /// Sends once, and hands back the connection with the answer, which may be a refusal. Not bounded in time: whoever gives up, drops
    /// it. Sent again only where nothing ran because the library is absent, which is then loaded.
    pub(super) async fn send<R: Request>(self: &Arc<Self>, request: &R) -> Result<(R::Answer, Arc<Live>), Refusal> {
        let live = self.live().await?;
        let mut answer = self.over(&live, request).await?;
        if R::refused(&answer).map(refusal) == Some(Refusal::NoFunction) {
            library::load(&mut live.connection.clone()).await?;
            answer = self.over(&live, request).await?;
        }
        if let Some(no_primary @ Refusal::NoPrimary(_)) = R::refused(&answer).map(refusal) {
            self.discard(&live, no_primary);
        }
        Ok((answer, live))
    }

    async fn over<R: Request>(&self, live: &Arc<Live>, request: &R) -> Result<R::Answer, Refusal> {
        let guard = Silence { link: self, live, since: Instant::now() };
        let answer = request.send(live).await;
        drop(guard);
        answer.inspect_err(|lost| self.discard(live, *lost))
    }

    /// The connection; waits where one is being made, fails at once during the pause after a failure.
    async fn live(self: &Arc<Self>) -> Result<Arc<Live>, Refusal> {
        loop {
            match &*self.state.borrow() {
                State::Up(live) if self.target.holds(live) => return Ok(Arc::clone(live)),
                State::Down { until, why, .. } if Instant::now() < *until => return Err(*why),
                _ => {}
            }
            let mine = self.state.send_if_modified(|state| {
                let failures = match state {
                    State::Up(live) if !self.target.holds(live) => 0,
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
        let made = made.unwrap_or_else(|_elapsed| Err(self.target.door.silence()));
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

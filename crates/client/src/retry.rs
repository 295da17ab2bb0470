//! Asking again: what may be asked again, after which pause, until when.

use crate::error::Error;
use crate::random;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Response, Status};

/// When a call may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Whenever it may succeed: twice is the same as once.
    Always,
    /// Only where the first certainly did not happen.
    Unbegun,
}

impl Repeat {
    fn allows(self, after: &Error) -> bool {
        after.is_passing() && (self == Self::Always || after.is_unbegun())
    }
}

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// All attempts and pauses together.
    pub deadline: Duration,
    /// One attempt.
    pub attempt: Duration,
}

/// Calls until there is an answer, the failure is no passing one, or the time is over. `attempt` is told how much time it has.
pub(crate) async fn call<T, F>(repeat: Repeat, patience: Patience, attempt: impl Fn(Duration) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let end = Instant::now() + patience.deadline;
    let mut pauses = Pauses::new(Duration::from_millis(50), Duration::from_secs(1));
    loop {
        let time = end.saturating_duration_since(Instant::now()).min(patience.attempt);
        let error = match timeout(time, attempt(time)).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            Ok(Err(status)) => Error::from(status),
            Err(_elapsed) => Error::NoAnswer(format!("not within {} ms", time.as_millis())),
        };
        let pause = pauses.next(error.retry_after());
        // A try that would begin after the end would be none.
        if !repeat.allows(&error) || Instant::now() + pause >= end {
            return Err(error);
        }
        sleep(pause).await;
    }
}

/// Growing pauses, jittered so that those who failed together do not come back together.
#[derive(Debug)]
pub(crate) struct Pauses {
    first: Duration,
    next: Duration,
    most: Duration,
}

impl Pauses {
    pub(crate) const fn new(first: Duration, most: Duration) -> Self {
        Self { first, next: first, most }
    }

    /// The next pause: not shorter than what the other side asked for, where it did.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let half = self.next / 2;
        self.next = (self.next * 2).min(self.most);
        asked.unwrap_or(half).max(half) + random::up_to(half)
    }

    /// Begins with short ones again.
    pub(crate) const fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tonic::Code;
    use tonic_types::{ErrorDetails, StatusExt as _};

    fn refusal(reason: &str, code: Code, retry: Option<u64>) -> Status {
        let mut details = ErrorDetails::with_error_info(reason, "jeton", HashMap::new());
        if retry.is_some() {
            details.set_retry_info(retry.map(Duration::from_millis));
        }
        Status::with_error_details(code, "no", details)
    }

    #[test]
    fn what_is_safe_is_repeated_and_what_may_have_happened_is_not() {
        for (always, unbegun, status) in [
            (true, false, refusal("STORE_UNAVAILABLE", Code::Unavailable, Some(250))),
            (true, false, refusal("DEADLINE_EXCEEDED", Code::DeadlineExceeded, None)),
            (true, true, refusal("OVERLOADED", Code::ResourceExhausted, Some(250))),
            (true, true, refusal("RATE_LIMITED", Code::ResourceExhausted, Some(1_000))),
            (true, true, refusal("TOO_MANY_FAILURES", Code::ResourceExhausted, Some(1_000))),
            (false, false, refusal("REFRESH_TOKEN_REFUSED", Code::FailedPrecondition, None)),
            (false, false, refusal("INVALID_FIELD", Code::InvalidArgument, None)),
            (true, false, Status::unknown("connection lost")),
            (false, false, Status::unauthenticated("a proxy")),
        ] {
            let error = Error::from(status);
            assert_eq!((Repeat::Always.allows(&error), Repeat::Unbegun.allows(&error)), (always, unbegun), "{error}");
        }
        assert!(Repeat::Unbegun.allows(&Error::NotSent("no connection".into())));
    }

    /// How often a call that is refused so, and the third time answered, is made.
    async fn made(retry: u64) -> usize {
        let made = AtomicUsize::new(0);
        let patience = Patience { deadline: Duration::from_secs(20), attempt: Duration::from_secs(20) };
        let answer = call(Repeat::Always, patience, |_time| {
            let nth = made.fetch_add(1, Ordering::Relaxed);
            let answer = if nth < 2 { Err(refusal("HEALING", Code::Unavailable, Some(retry))) } else { Ok(Response::new(())) };
            async { answer }
        });
        assert_eq!(answer.await.is_ok(), retry == 1);
        made.into_inner()
    }

    #[tokio::test]
    async fn it_is_asked_until_there_is_an_answer_but_not_past_the_end() {
        assert_eq!(made(1).await, 3);
        assert_eq!(made(30_000).await, 1, "a retry that would come too late is not waited for");
    }

    #[tokio::test]
    async fn silence_ends_with_the_deadline() {
        let patience = Patience { deadline: Duration::from_millis(20), attempt: Duration::from_secs(20) };
        let answer: Result<(), _> = call(Repeat::Always, patience, |_time| std::future::pending()).await;
        assert!(matches!(answer, Err(Error::NoAnswer(_))));
    }

    #[test]
    fn pauses_grow_and_are_not_shorter_than_asked() {
        let mut pauses = Pauses::new(Duration::from_millis(50), Duration::from_millis(400));
        for most in [50, 100, 200, 400, 400] {
            let pause = pauses.next(None);
            assert!(pause >= Duration::from_millis(most / 2) && pause <= Duration::from_millis(most), "{pause:?} of {most}");
        }
        assert!(pauses.next(Some(Duration::from_secs(1))) >= Duration::from_secs(1));
        pauses.reset();
        assert!(pauses.next(None) <= Duration::from_millis(50));
    }
}

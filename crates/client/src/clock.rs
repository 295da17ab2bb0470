//! The two times a verifier goes by. Nothing else here reads a clock.

use jeton_domain::time::{Millis, Timestamp};
use std::fmt::Debug;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time. Tests bring one that they move.
pub trait Clock: Debug + Send + Sync {
    /// Now, as tokens count it: what an `exp` is compared with.
    fn now(&self) -> Timestamp;

    /// How long this clock has run: never goes back. For ages.
    fn run(&self) -> Millis;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else asks")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    fn run(&self) -> Millis {
        Millis::new(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

//! The one clock: monotonic, moved by its offset to the store's time. Nothing else reads the system's clock.

use jeton_domain::time::{Millis, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time of the decision. Cheap to clone; clones tell the same time.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
enum Inner {
    /// Milliseconds since the epoch at `started`, moved with the store's clock; when (since `started`) that clock was last looked at, `NEVER` before.
    Running { started: Instant, epoch_at_start: AtomicU64, followed: AtomicU64 },
    /// Stands still until it is told to move: for tests.
    Fixed(AtomicU64),
}

/// A store's clock that is behind by more is not met slowly.
const FAR_BEHIND: Millis = Millis::from_secs(3_600);

/// By what part of it a clock that is ahead of the store's goes slower.
const SLOWER: u64 = 4;

/// The store's clock was not looked at yet.
const NEVER: u64 = u64::MAX;

/// How often it is looked whether it is to go slower, at the most.
const STRETCH: Millis = Millis::new(200);

/// A store's clock that differs by less is left alone: the round trip is as inexact.
const TOLERANCE: Millis = Millis::new(250);

impl Clock {
    /// Starts from the system's clock and runs monotonically from there.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else asks")]
    pub fn system() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        Self(Arc::new(Inner::Running {
            started: Instant::now(),
            epoch_at_start: AtomicU64::new(millis),
            followed: AtomicU64::new(NEVER),
        }))
    }

    /// Stands at `now` until it is moved.
    #[must_use]
    pub fn fixed(now: Timestamp) -> Self {
        Self(Arc::new(Inner::Fixed(AtomicU64::new(now.millis()))))
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now_and_run().0
    }

    /// How long this clock has run: never goes back and follows nobody. For ages.
    #[must_use]
    pub fn run(&self) -> Millis {
        match &*self.0 {
            Inner::Running { started, .. } => Millis::new(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)),
            Inner::Fixed(now) => Millis::new(now.load(Ordering::Relaxed)),
        }
    }

    /// Whether what was asked for when a clock had run for `asked` is provably no older than `longest` at `run`. A millisecond is lost in
    /// rounding.
    #[must_use]
    pub const fn is_fresh(asked: Millis, run: Millis, longest: Millis) -> bool {
        run.minus(asked).plus(Millis::new(1)).get() <= longest.get()
    }

    /// Both at once: (now, how long this clock has run).
    #[must_use]
    pub fn now_and_run(&self) -> (Timestamp, Millis) {
        let run = self.run();
        match &*self.0 {
            Inner::Running { epoch_at_start, .. } => {
                (Timestamp::from_millis(epoch_at_start.load(Ordering::Relaxed).saturating_add(run.get())), run)
            }
            Inner::Fixed(_) => (Timestamp::from_millis(run.get()), run),
        }
    }

    /// Follows the store's clock, where the two differ by more than the round trip can explain: forward at once, back by going slower, so
    /// that no stretch of time is lived through twice when another primary's clock is behind. A fixed clock stays.
    pub fn follow(&self, store: Timestamp) {
        let Inner::Running { epoch_at_start, followed, .. } = &*self.0 else { return };
        let (here, run) = (self.now(), self.run());
        let last = followed.load(Ordering::Relaxed);
        let is_stretch = last == NEVER || run.minus(Millis::new(last)) >= STRETCH;
        if is_stretch {
            followed.store(run.get(), Ordering::Relaxed);
        }
        let ahead = store.since(here);
        let behind = here.since(store);
        if ahead > TOLERANCE {
            epoch_at_start.fetch_add(ahead.get(), Ordering::Relaxed);
        } else if behind > TOLERANCE {
            let slowly = if is_stretch { STRETCH.get() / SLOWER } else { 0 };
            // Nothing was lived through by a clock that was never set.
            let at_once = last == NEVER || behind > FAR_BEHIND;
            let back = if at_once { behind.get() } else { behind.get().min(slowly) };
            let back = |epoch: u64| Some(epoch.saturating_sub(back));
            let _never_refused = epoch_at_start.fetch_update(Ordering::Relaxed, Ordering::Relaxed, back);
        }
    }

    /// Moves a fixed clock forward; a running one stays.
    pub fn advance(&self, by: Millis) {
        if let Inner::Fixed(now) = &*self.0 {
            now.fetch_add(by.get(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_whose_clock_was_never_set_is_followed_without_wrapping() {
        let clock = Clock::system();
        clock.follow(Timestamp::from_millis(5));
        assert!(clock.now() < Timestamp::from_secs(60));
        clock.follow(Timestamp::from_secs(1_700_000_000));
        assert!(clock.now().since(Timestamp::from_secs(1_700_000_000)) < Millis::from_secs(60));
    }

    #[test]
    fn a_store_that_is_behind_is_met_slowly_and_one_that_is_ahead_at_once() {
        let clock = Clock::system();
        clock.follow(clock.now().minus(Millis::from_secs(90)));
        let before = clock.now();
        assert!(before < Clock::system().now().minus(Millis::from_secs(80)), "a clock that was never set is set");
        clock.follow(before.plus(Millis::from_secs(90)));
        assert!(clock.now() >= before.plus(Millis::from_secs(90)));
        for _ in 0..100 {
            clock.follow(before);
        }
        assert!(clock.now() >= before.plus(Millis::from_secs(89)), "no time is lived through twice");
    }
}

//! How many requests a listener works at once, and for how long on one.

use crate::telemetry::limits::CONCURRENCY;
use crate::telemetry::metrics::{self, Level};
use jeton_domain::error::{Error, Result};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

/// In which lane a request asks for its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// That of most.
    Ordinary,
    /// Where places are kept that no other may take: a flood of other requests keeps nobody from revoking.
    Revocation,
}

/// The requests that may still begin.
pub struct Capacity {
    listener: &'static str,
    free: AtomicUsize,
    /// How many are at work, as it is measured.
    level: Level,
    /// How many of them may be revocations only.
    kept: usize,
}

impl Capacity {
    /// At this listener so many at once, and beside them a sixteenth, at least one, that is kept for revocations.
    pub fn new(listener: &'static str, most: usize) -> Arc<Self> {
        let kept = (most / 16).max(1);
        metrics::REQUESTS_IN_FLIGHT_LIMIT.level([listener]).set_count(most);
        let level = metrics::REQUESTS_IN_FLIGHT.level([listener]);
        Arc::new(Self { listener, free: AtomicUsize::new(most.saturating_add(kept)), level, kept })
    }

    /// A place for one more.
    ///
    /// # Errors
    /// `Overloaded`: all are taken.
    pub fn take(self: &Arc<Self>, lane: Lane) -> Result<Place> {
        let kept = match lane {
            Lane::Ordinary => self.kept,
            Lane::Revocation => 0,
        };
        let one_less = |free: usize| if free > kept { free.checked_sub(1) } else { None };
        let taken = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        if taken.is_err() {
            CONCURRENCY.exceeded(|| format!("all over {}", self.listener), None);
            return Err(Error::Overloaded);
        }
        self.level.rise();
        Ok(Place(Arc::clone(self)))
    }
}

/// Given back when the request ends, or its caller goes away.
pub struct Place(Arc<Capacity>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::Relaxed);
        self.0.level.fall();
    }
}

/// What it comes to in so long; none where it takes longer. What need not wait needs no timer.
pub async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    match futures_util::poll!(work.as_mut()) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => tokio::time::timeout(time, work).await.ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back() {
        let capacity = Capacity::new("test", 1);
        let place = capacity.take(Lane::Ordinary);
        assert!(place.is_ok() && capacity.take(Lane::Ordinary).is_err());
        drop(place);
        assert!(capacity.take(Lane::Ordinary).is_ok());
    }

    #[test]
    fn places_are_kept_for_revocations_and_no_more() {
        let capacity = Capacity::new("test", 64);
        let ordinary: Vec<_> = std::iter::from_fn(|| capacity.take(Lane::Ordinary).ok()).collect();
        assert_eq!(ordinary.len(), 64);
        let revocations: Vec<_> = std::iter::from_fn(|| capacity.take(Lane::Revocation).ok()).collect();
        assert_eq!(revocations.len(), 4);
        drop(ordinary);
        let all: Vec<_> = std::iter::from_fn(|| capacity.take(Lane::Revocation).ok()).collect();
        assert_eq!(all.len(), 64, "they may have any place");
    }
}

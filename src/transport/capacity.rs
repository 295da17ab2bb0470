//! How many requests a listener works at once, and for how long on one.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

/// The requests that may still begin.
pub struct Capacity {
    free: AtomicUsize,
}

impl Capacity {
    /// So many at once.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { free: AtomicUsize::new(most) })
    }

    /// A place for one more; none where all are taken.
    pub fn take(self: &Arc<Self>) -> Option<Place> {
        let taken = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(1));
        taken.ok().map(|_| Place(Arc::clone(self)))
    }
}

/// Given back when the request ends, or its caller goes away.
pub struct Place(Arc<Capacity>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::Relaxed);
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
        let capacity = Capacity::new(1);
        let place = capacity.take();
        assert!(place.is_some() && capacity.take().is_none());
        drop(place);
        assert!(capacity.take().is_some());
    }
}

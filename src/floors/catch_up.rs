//! Catch-ups shared by all requests of a replica, with the log and with what else the store says: one running, one queued. Who arrives
//! while one runs waits for the next, so that no request is answered by a catch-up that began before it.

use jeton_domain::error::Result;
use std::future::Future;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

/// Whose turn it is.
#[derive(Debug)]
pub struct Turns<T> {
    /// How many catch-ups began.
    begun: AtomicU64,
    /// Held by the one that runs.
    running: Mutex<()>,
    /// The last that ended: which it was, and what it found.
    last: std::sync::Mutex<Option<(u64, Result<T>)>>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { begun: AtomicU64::new(0), running: Mutex::default(), last: std::sync::Mutex::default() }
    }
}

impl<T: Clone> Turns<T> {
    /// Runs `catch_up`, or takes the answer of one that began after this call.
    ///
    /// # Errors
    /// Those of `catch_up`.
    pub async fn join<F: Future<Output = Result<T>>>(&self, catch_up: impl FnOnce() -> F) -> Result<T> {
        let begun_before = self.begun.load(Ordering::SeqCst);
        let _turn = self.running.lock().await;
        if let Some((turn, found)) = &*self.last.lock().unwrap_or_else(PoisonError::into_inner)
            && *turn > begun_before
        {
            return found.clone();
        }
        let turn = self.begun.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        let found = catch_up().await;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((turn, found.clone()));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floors::Caught;
    use jeton_domain::id::Identity;
    use jeton_domain::revision::Revision;
    use std::sync::Arc;
    use tokio::sync::{Notify, Semaphore};
    use tokio_util::task::TaskTracker;

    fn found(micros: u64) -> Caught {
        Caught { head: Revision { micros, random: 0 }, identity: Identity([0; 8]) }
    }

    #[tokio::test]
    async fn who_arrives_while_one_runs_shares_the_next_and_never_that_one() {
        let tasks = TaskTracker::new();
        let turns = Arc::new(Turns::default());
        let (started, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let first = tasks.spawn({
            let (turns, started, go_on) = (Arc::clone(&turns), Arc::clone(&started), Arc::clone(&go_on));
            async move {
                turns
                    .join(|| async {
                        started.notify_one();
                        go_on.notified().await;
                        Ok(found(1))
                    })
                    .await
            }
        });
        started.notified().await;
        let (runs, arrived) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let later: Vec<_> = (0..10)
            .map(|_| {
                let (turns, runs, arrived) = (Arc::clone(&turns), Arc::clone(&runs), Arc::clone(&arrived));
                tasks.spawn(async move {
                    arrived.add_permits(1);
                    turns
                        .join(|| async {
                            runs.add_permits(1);
                            Ok(found(2))
                        })
                        .await
                })
            })
            .collect();
        // On this runtime's one thread, a task that arrived runs on until it waits for its turn.
        let _all = arrived.acquire_many(10).await.unwrap();
        go_on.notify_one();
        assert_eq!(first.await.unwrap(), Ok(found(1)));
        for one in later {
            assert_eq!(one.await.unwrap(), Ok(found(2)), "never the catch-up that began before it");
        }
        assert_eq!(runs.available_permits(), 1, "one catch-up serves all that waited");
    }
}

//! Asking a task to do once more what it does over and over. Who asks waits for a turn that began after he asked; many share one.

use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Notify, watch};

/// What a task and those who wait for it share.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    asked: AtomicU64,
    wake: Notify,
    done: watch::Sender<u64>,
}

/// A turn that was begun: it serves all who asked before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn(u64);

impl Turns {
    /// Waits until a turn is done that began after this call.
    pub(crate) async fn after_now(&self) {
        let mut done = self.done.subscribe();
        let ticket = self.ask();
        // Fails only where the sender is gone, which is part of `self`.
        if done.wait_for(|done| *done >= ticket).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Asks without waiting; answers the number of the request.
    pub(crate) fn ask(&self) -> u64 {
        let ticket = self.asked.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        self.wake.notify_one();
        ticket
    }

    /// Begins a turn.
    pub(crate) fn begin(&self) -> Turn {
        Turn(self.asked.load(Ordering::Acquire))
    }

    /// Ends a turn well.
    pub(crate) fn end(&self, turn: Turn) {
        self.done.send_modify(|done| *done = turn.0.max(*done));
    }

    /// Waits until somebody has asked since the last time this was waited for.
    pub(crate) async fn asked(&self) {
        self.wake.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_turn_that_began_before_serves_nobody_who_asks_later() {
        let turns = Turns::default();
        let early = turns.begin();
        let waits = turns.after_now();
        tokio::pin!(waits);
        assert!(timeout(Duration::from_millis(1), &mut waits).await.is_err());
        turns.end(early);
        assert!(timeout(Duration::from_millis(1), &mut waits).await.is_err(), "it began too early");
        turns.asked().await;
        turns.end(turns.begin());
        waits.await;
    }
}

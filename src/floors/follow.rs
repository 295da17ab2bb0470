//! Following: catch-ups, the loop that follows in the background, and being there.

use crate::floors::view::Change;
use crate::floors::{Alive, Caught, FOREIGN_SALT, LONG_PAGE, PAGE};
use crate::records::unavailable;
use crate::store::{Durability, Followed, Position};
use crate::telemetry::{self, metrics};
use jeton_domain::error::{Error, Result};
use jeton_domain::revision::Revision;
use jeton_domain::time::Millis;
use std::sync::PoisonError;
use std::time::{Duration, Instant};
use tokio::task::yield_now;
use tokio::time::timeout;
use tracing::Instrument as _;

impl Alive {
    /// Catches up with the log; the catch-up starts after this call, and is shared with all that wait for one. Waiting for the
    /// one before it counts as waiting for the store, so that a store that hangs is told as that before the deadline.
    ///
    /// # Errors
    /// `Restored`, the store.
    pub async fn caught_up(&self) -> Result<Caught> {
        let late = |_elapsed| Error::StoreUnavailable("the log was not read in time".into());
        timeout(self.terms.store_timeout.into(), self.load()).await.map_err(late)?
    }

    /// Catches up however long it takes: for start and background.
    ///
    /// # Errors
    /// `Restored`, the store.
    pub async fn load(&self) -> Result<Caught> {
        let timed = async || {
            let started = Instant::now();
            let caught = self.catch_up().await;
            metrics::caught_up(started);
            caught
        };
        self.turns.join(|| timed().instrument(telemetry::child("log.follow"))).await
    }

    /// Reads the whole log, and registers this replica: for start, before the first request.
    ///
    /// # Errors
    /// `Restored`, `NotDurable`: the background tries again, and until then refuses what rests on it; the store.
    pub async fn join(&self) -> Result<()> {
        let Caught { identity, .. } = self.load().await?;
        // It knew nothing before, so that nothing it knew can be missing, where it was one log all the while. Else the background heals.
        let is_all = self.write().healed(identity, 0);
        self.beat().await?;
        if is_all {
            self.store.healed(self.replica, identity).await.map_err(unavailable)?;
        }
        Ok(())
    }

    /// Waits until the log may have changed, or a proof of freshness is due, and catches up. To be repeated for ever.
    ///
    /// # Errors
    /// The store.
    pub async fn follow(&self) -> Result<()> {
        let cursor = self.read().cursor();
        let due = Duration::from(self.terms.max_staleness) / 4;
        // Late or early, the catch-up tells.
        if let Ok(Err(lost)) = timeout(due, self.store.changed(cursor)).await {
            tracing::debug!(%lost, "waiting for changes of the log");
        }
        self.load().await.map(drop)
    }

    /// Says that this replica is there. Where the log was met under another primary since, so that all replicas acknowledge it, and with it
    /// the marker of that primary's era.
    ///
    /// # Errors
    /// `NotDurable`, the store.
    pub async fn beat(&self) -> Result<()> {
        let anew = if self.is_joined() { None } else { self.read().reign() };
        self.store.beat(self.replica, self.horizon(), anew.is_some()).await.map_err(unavailable)?;
        if anew.is_some() {
            *self.joined.lock().unwrap_or_else(PoisonError::into_inner) = anew;
        }
        Ok(())
    }

    /// Says that this replica ends.
    ///
    /// # Errors
    /// The store.
    pub async fn leave(&self) -> Result<()> {
        self.store.leave(self.replica).await.map_err(unavailable)
    }

    async fn catch_up(&self) -> Result<Caught> {
        let (mut sent, mut position) = (self.clock.run(), self.read().position());
        let mut followed = self.page(position, PAGE).await?;
        loop {
            self.understand(position.cursor, &followed).await?;
            if !followed.more {
                return self.take_in(&followed, sent);
            }
            let (asked, next) = (self.clock.run(), self.after(&followed, position));
            let taken_in = async {
                // The question leaves first: the store looks for the answer while this is taken in.
                yield_now().await;
                self.take_in(&followed, sent)
            };
            let (coming, _) = tokio::try_join!(self.page(next, LONG_PAGE), taken_in)?;
            (sent, position, followed) = (asked, next, coming);
        }
    }

    async fn page(&self, position: Position, limit: usize) -> Result<Followed> {
        self.store.follow(position, limit).await.map_err(unavailable)
    }

    /// Where the view will stand when it has taken in that page.
    fn after(&self, followed: &Followed, position: Position) -> Position {
        let cursor = followed.entries.last().map_or(position.cursor, |last| last.revision);
        let highest = self.read().highest().max(followed.head);
        Position { cursor, highest, era: followed.era.marker }
    }

    /// Takes in what a store answered to a call that was sent at `sent`: the only way into the view.
    pub(super) fn take_in(&self, followed: &Followed, sent: Millis) -> Result<Caught> {
        self.clock.follow(followed.now);
        let caught = Caught { head: followed.head, identity: followed.identity };
        let mut view = self.write();
        // What was revoked before this replica first knew of it took it no time.
        let is_known = view.fresh_at(self.clock.run(), Millis::new(u64::MAX)).is_some();
        // Another answer may have come in between: what follows on an older place may prove nothing, and misses nothing.
        let raised = view.take_in(followed, sent, self.store.durability() == Durability::Replicated)?;
        if is_known {
            let now = self.clock.now();
            raised.iter().for_each(|raised| metrics::revocation_in_view(now.since(raised.at).into()));
        }
        if !raised.is_empty() && self.changes.receiver_count() > 0 {
            let change = Change { raised: raised.into(), upto: view.cursor() };
            drop(self.changes.send(change));
        }
        if view.needs_healing() {
            self.ill.notify_one();
        }
        view.believable().map(|()| caught)
    }

    /// Entries that follow on none that is known here may come from a log made anew, by replicas of another salt.
    pub(super) async fn understand(&self, cursor: Revision, followed: &Followed) -> Result<()> {
        let chained = !followed.gap && (cursor != Revision::START || followed.entries.is_empty());
        if chained || self.records.keep_salt(&self.salt).await? {
            return Ok(());
        }
        Err(Error::RecordUnreadable(FOREIGN_SALT.into()))
    }
}

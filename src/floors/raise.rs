//! Raising floors: what is revoked at the same time is appended together. While one append is under way the next gathers, so that an
//! answer, which brings all since this replica's place, is read once for all of them and not once for each.
//!
//! Must not live here: how the log is read (`follow`), what was lost and is put back (`heal`).

use crate::floors::{Alive, entry};
use crate::records::unavailable;
use crate::store::{Durability, Followed, Position};
use crate::telemetry::{self, metrics};
use bytes::Bytes;
use jeton_domain::error::{Error, Result};
use jeton_domain::id::TargetId;
use jeton_domain::revision::Revision;
use jeton_domain::target::{Reason, Target};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::time::timeout;
use tracing::Instrument as _;

/// What raising a floor came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raise {
    /// Its place in the log.
    pub revision: Revision,
    /// How far it got.
    pub durability: Durability,
    /// Whether nothing had raised this target before: of many who do so at once, one is told so.
    pub is_first: bool,
}

/// What is to be appended.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    target: TargetId,
    entry: Bytes,
}

impl Alive {
    /// Raises the floor of a target. In force, and in this replica's view, when it answers.
    ///
    /// # Errors
    /// `RevokedNotDurable` where it is in force and may yet be lost; the store. An append that was not acknowledged may still have happened;
    /// repeating it is harmless.
    pub async fn raise(self: &Arc<Self>, target: &Target, reason: Reason) -> Result<Raise> {
        let id = target.id(&self.salt);
        let entry = entry::encode(id, target.kind(), reason, self.clock.now());
        let all = |wanted| Arc::clone(self).append_in_time(wanted);
        let together = self.appends.join(Wanted { target: id, entry }, all);
        let raise = together.instrument(telemetry::child("log.append")).await?;
        metrics::REVOCATIONS.add(target.kind().word(), reason.word());
        if raise.durability < self.store.durability() {
            return Err(Error::RevokedNotDurable(raise.revision));
        }
        Ok(raise)
    }

    /// The time is that of one group: who waited for the one before it hears how far its own got all the same.
    async fn append_in_time(self: Arc<Self>, wanted: Vec<Wanted>) -> Result<Vec<Raise>> {
        let late = |_elapsed| Error::StoreUnavailable("the log was not written in time".into());
        timeout(self.terms.store_timeout.into(), self.append_all(wanted)).await.map_err(late)?
    }

    /// Appends them as one. What came of each, in order.
    async fn append_all(&self, wanted: Vec<Wanted>) -> Result<Vec<Raise>> {
        let position = self.position().await?;
        // What came in since that position the answer brings again: nothing that was before is missed.
        let known = self.with_floors(|floors| wanted.iter().map(|one| floors.get(one.target).is_some()).collect::<Vec<_>>());
        let entries: Vec<Bytes> = wanted.iter().map(|one| one.entry.clone()).collect();
        let (followed, durability) = self.append(&entries, position).await?;
        let before = followed.entries.len().checked_sub(wanted.len()).ok_or_else(no_place)?;
        let mut seen = HashSet::new();
        for logged in followed.entries.iter().take(before) {
            seen.extend(entry::decode(logged)?.map(|raised| raised.target));
        }
        let own = followed.entries.iter().skip(before);
        let each = wanted.iter().zip(known).zip(own);
        Ok(each
            .map(|((one, was_raised), logged)| Raise {
                revision: logged.revision,
                durability,
                is_first: seen.insert(one.target) && !was_raised,
            })
            .collect())
    }

    /// From where to append.
    pub(super) async fn position(&self) -> Result<Position> {
        if self.read().is_behind() {
            self.caught_up().await?;
        }
        Ok(self.read().position())
    }

    /// Appends, and takes in what the answer brings, which ends with the last of `entries`; and says how far they got.
    pub(super) async fn append(&self, entries: &[Bytes], position: Position) -> Result<(Followed, Durability)> {
        let sent = self.clock.run();
        let (followed, reached) = self.store.append(entries, position).await.map_err(unavailable)?;
        self.understand(position.cursor, &followed).await?;
        self.take_in(&followed, sent)?;
        if reached == Durability::Replicated {
            self.write().acknowledged(&followed);
        }
        Ok((followed, reached))
    }
}

fn no_place() -> Error {
    Error::Internal("an append was answered without its own entry".into())
}

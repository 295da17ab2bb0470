//! Raising floors: what is revoked at the same time is appended together. While one append is under way the next gathers, so that an
//! answer, which brings all since this replica's place, is read once for all of them and not once for each. What is ended already is in
//! the log once.
//!
//! Must not live here: how the log is read (`follow`), what was lost and is put back (`heal`).

use crate::floors::view::What;
use crate::floors::{Alive, entry};
use crate::records::unavailable;
use crate::store::{Durability, Followed, Position};
use crate::telemetry::{self, metrics};
use bytes::Bytes;
use jeton_domain::error::{Error, Result};
use jeton_domain::id::TargetId;
use jeton_domain::revision::Revision;
use jeton_domain::target::{Reason, Target};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::time::timeout;
use tracing::Instrument as _;

/// What raising a floor came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raise {
    /// Where in the log it was raised.
    pub revision: Revision,
    /// How far it got.
    pub durability: Durability,
    /// Whether nothing had raised this target before: of many who do so at once, one is told so.
    pub is_first: bool,
}

/// What is to be raised.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    what: What,
    entry: Bytes,
}

/// What the view knows before a group is appended.
struct Before {
    turn: u64,
    raised: HashSet<TargetId>,
    /// Ended for ever by the log as it stands, and where.
    ended: HashMap<What, Revision>,
}

impl Alive {
    /// Raises the floor of a target. In force, and in this replica's view, when it answers.
    ///
    /// # Errors
    /// `RevokedNotDurable` where it is in force and may yet be lost; `Healing`; the store. An append that was not acknowledged may still have
    /// happened; repeating it is harmless.
    pub async fn raise(self: &Arc<Self>, target: &Target, reason: Reason) -> Result<Raise> {
        let what = self.what(target);
        let entry = entry::encode(what.target, what.kind, reason, self.clock.now());
        let all = |wanted| Arc::clone(self).append_in_time(wanted);
        let together = self.appends.join(Wanted { what, entry }, all);
        let raise = together.instrument(telemetry::child("log.append")).await?;
        metrics::REVOCATIONS.add(target.word(), reason.word());
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
    ///
    /// What the log has ended for ever is not appended again, however often it is asked for while its replicas do not answer: that append,
    /// be it of nothing, is acknowledged when they have all that was before it. Where the log may be another than the one that had it,
    /// it says nothing, and what is asked for again is appended again.
    async fn append_all(&self, wanted: Vec<Wanted>) -> Result<Vec<Raise>> {
        let position = self.position().await?;
        let Before { turn, mut raised, ended } = self.before(&wanted);
        let mut once = HashSet::new();
        let new: Vec<&Wanted> = wanted.iter().filter(|one| !ended.contains_key(&one.what) && once.insert(one.what)).collect();
        let entries: Vec<Bytes> = new.iter().map(|one| one.entry.clone()).collect();
        let (followed, durability) = self.append(&entries, position).await?;
        if !ended.is_empty() && self.read().turn() != turn {
            return Err(Error::Healing);
        }
        let others = followed.entries.len().checked_sub(entries.len()).ok_or_else(no_place)?;
        let (others, own) = followed.entries.split_at_checked(others).ok_or_else(no_place)?;
        for logged in others {
            raised.extend(entry::decode(logged)?.map(|raised| raised.target));
        }
        let mut places = ended;
        places.extend(new.iter().zip(own).map(|(one, logged)| (one.what, logged.revision)));
        let each = wanted.iter().map(|one| {
            let revision = *places.get(&one.what).ok_or_else(no_place)?;
            Ok(Raise { revision, durability, is_first: raised.insert(one.what.target) })
        });
        each.collect()
    }

    /// What is known of them. What came in since the position that an append names its answer brings again: nothing that was before is missed.
    fn before(&self, wanted: &[Wanted]) -> Before {
        let view = self.read();
        let raised = wanted.iter().map(|one| one.what.target).filter(|target| view.floors().get(*target).is_some());
        let ended = wanted.iter().filter_map(|one| Some((one.what, view.ended(one.what)?.0)));
        Before { turn: view.turn(), raised: raised.collect(), ended: ended.collect() }
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

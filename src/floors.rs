//! Is it still alive? The log of revocations as this replica follows it, raising floors, and settling them.
//!
//! Lives here: `entry` (the log's format), the view and its catch-ups, `raise`, `settle`. Must not live here: what a floor
//! means (`domain`), who may revoke what (`service`), how records are kept (`records`).

mod catch_up;
pub mod entry;
mod settle;

use crate::clock::Clock;
use crate::records::Records;
use crate::records::documents::Ceilings;
use crate::store::{Durability, Followed, Position, Store};
use crate::telemetry::{self, metrics};
use catch_up::Turns;
use jeton_domain::error::{Error, Result};
use jeton_domain::floors::{Floors, Raised};
use jeton_domain::id::{Identity, TargetId};
use jeton_domain::revision::{Born, Revision};
use jeton_domain::target::{Reason, Salt, Target};
use jeton_domain::time::Millis;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tracing::Instrument as _;

/// How long a verifier may believe a token after its `exp` (leeway).
pub const LEEWAY: Millis = Millis::from_secs(60);
/// No log is trimmed of what is younger.
const LEAST_HORIZON: Millis = Millis::from_secs(2 * 3_600);
/// How many entries are fetched at once.
const PAGE: usize = 1_000;

/// Why a replica that was there before its store was emptied and made anew cannot go on.
pub const FOREIGN_SALT: &str = "the store was emptied and has another salt by now: restart this replica";

/// The followed log: answers from memory once it has caught up, and appends.
pub struct Alive {
    store: Arc<dyn Store>,
    records: Records,
    clock: Clock,
    salt: Salt,
    ceilings: RwLock<Ceilings>,
    request_deadline: Millis,
    store_timeout: Millis,
    view: RwLock<View>,
    turns: Turns,
}

impl fmt::Debug for Alive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Alive(..)")
    }
}

/// The log in this replica's memory.
#[derive(Debug, Default)]
struct View {
    floors: Floors,
    cursor: Revision,
    settled: Revision,
}

/// What a catch-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    /// The log's head.
    pub head: Revision,
    /// The primary that answered.
    pub identity: Identity,
}

impl Alive {
    /// Follows the log of `store`. Nothing is read before the first catch-up.
    #[must_use]
    pub fn new(records: Records, salt: Salt, ceilings: Ceilings, request_deadline: Millis, store_timeout: Millis) -> Self {
        Self {
            store: Arc::clone(records.store()),
            clock: records.clock().clone(),
            records,
            salt,
            ceilings: RwLock::new(ceilings),
            request_deadline,
            store_timeout,
            view: RwLock::default(),
            turns: Turns::default(),
        }
    }

    /// The salt of target ids.
    #[must_use]
    pub const fn salt(&self) -> &Salt {
        &self.salt
    }

    /// The longest lifetimes that were ever handed out.
    #[must_use]
    pub fn ceilings(&self) -> Ceilings {
        *self.ceilings.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Catches up with the log; the catch-up starts after this call, and is shared with all that wait for one. Waiting for the
    /// one before it counts as waiting for the store, so that a store that hangs is told as that before the deadline.
    ///
    /// # Errors
    /// The store.
    pub async fn caught_up(&self) -> Result<Caught> {
        let late = |_elapsed| Error::StoreUnavailable("the log was not read in time".into());
        tokio::time::timeout(self.store_timeout.into(), self.load()).await.map_err(late)?
    }

    /// Catches up however long it takes: for start and background.
    ///
    /// # Errors
    /// The store.
    pub async fn load(&self) -> Result<Caught> {
        self.turns.join(|| self.follow().instrument(telemetry::child("log.follow"))).await
    }

    async fn follow(&self) -> Result<Caught> {
        loop {
            let cursor = self.read().cursor;
            let followed =
                self.store.follow(Position { cursor, ..Position::default() }, PAGE).await.map_err(crate::records::unavailable)?;
            self.clock.follow(followed.now);
            self.understand(cursor, &followed).await?;
            let caught = Caught { head: followed.head, identity: followed.identity };
            let more = followed.more;
            self.join(followed)?;
            if !more {
                return Ok(caught);
            }
        }
    }

    /// Entries that follow on none that is known here may come from a log made anew, by replicas of another salt.
    async fn understand(&self, cursor: Revision, followed: &Followed) -> Result<()> {
        let chained = !followed.gap && (cursor != Revision::START || followed.entries.is_empty());
        if chained || self.records.keep_salt(&self.salt).await? {
            return Ok(());
        }
        Err(Error::RecordUnreadable(FOREIGN_SALT.into()))
    }

    /// Takes in what a store answered: the only way into the view.
    fn join(&self, followed: Followed) -> Result<()> {
        if followed.entries.is_empty() && !followed.gap && self.read().settled == followed.settled {
            return Ok(());
        }
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        for logged in &followed.entries {
            view.floors.join(entry::decode(logged)?);
        }
        if let Some(last) = followed.entries.last() {
            if followed.gap || last.revision > view.cursor {
                view.cursor = last.revision;
            }
        } else if followed.gap {
            view.cursor = Revision::START;
        }
        view.settled = followed.settled;
        Ok(())
    }

    /// Raises the floor of a target. In force, and in this replica's view, when it answers.
    ///
    /// # Errors
    /// The store. An append that was not acknowledged may still have happened; repeating it is harmless.
    pub async fn raise(&self, target: &Target, reason: Reason) -> Result<(Revision, Durability)> {
        let entry = entry::encode(target.id(&self.salt), target.kind(), reason, self.clock.now());
        let cursor = self.read().cursor;
        let span = telemetry::child("log.append");
        let position = Position { cursor, highest: cursor, ..Position::default() };
        let (followed, reached) =
            self.store.append(&[entry], position).instrument(span).await.map_err(crate::records::unavailable)?;
        self.understand(cursor, &followed).await?;
        let own = followed.entries.last().map(|own| own.revision);
        self.join(followed)?;
        metrics::REVOCATIONS.add(target.kind().word(), reason.word());
        let revision = own.ok_or_else(|| Error::Internal("an append was answered without its own entry".into()))?;
        Ok((revision, reached))
    }

    /// The floor that kills what was born at `born` and has these targets, as the view knows.
    #[must_use]
    pub fn killing(&self, targets: &[TargetId], born: Born) -> Option<Raised> {
        self.read().floors.killing(targets, born).copied()
    }

    /// Asks the view once, for a judgement of several questions.
    pub fn with_floors<T>(&self, ask: impl FnOnce(&Floors) -> T) -> T {
        ask(&self.read().floors)
    }

    /// How long an entry must stay where every replica sees it: no token that it could kill lives longer.
    fn horizon(&self) -> Millis {
        self.ceilings().access_token.plus(LEEWAY).plus(self.request_deadline).max(LEAST_HORIZON)
    }

    fn read(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }
}

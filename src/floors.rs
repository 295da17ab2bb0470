//! Is it still alive? The log of revocations as this replica follows it, raising floors, settling them, and putting back what a
//! failover lost.
//!
//! Lives here: what the rooms above ask. Below: `view` (the log in memory, what it knows and how fresh it is), `catch_up` (catch-ups
//! shared), `together` (appends shared), `raise`, `follow`, `heal`, `settle`, `watch` (what who follows this view lacks), `health`, `entry` (the log's format). Must not live here: what a floor means (`domain`), who may revoke what
//! (`service`), how records are kept (`records`).

mod catch_up;
pub mod entry;
mod follow;
mod heal;
mod health;
mod raise;
mod settle;
mod together;
mod view;
mod watch;

pub use catch_up::Turns;
pub use health::Health;
pub use raise::Raise;
pub use view::Change;
pub use watch::Backlog;

use crate::clock::Clock;
use crate::random;
use crate::records::documents::Ceilings;
use crate::records::{Records, unavailable};
use crate::store::{Durability, ERA_AHEAD, EraState, Position, Store};
use jeton_domain::error::{Error, Result};
use jeton_domain::floors::{Floors, Raised, is_over};
use jeton_domain::id::{Identity, ReplicaId, TargetId};
use jeton_domain::revision::{Born, Revision};
use jeton_domain::target::{Salt, Target};
use jeton_domain::time::Millis;
use raise::Wanted;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use together::Together;
use tokio::sync::{Notify, broadcast};
use view::{Reign, View, What};

/// How long a verifier may believe a token after its `exp` (leeway).
pub const LEEWAY: Millis = Millis::from_secs(60);
/// No log is trimmed of what is younger.
const LEAST_HORIZON: Millis = Millis::from_secs(2 * 3_600);
/// How many entries are fetched or put back at once.
const PAGE: usize = 1_000;
/// The same where much is to be fetched: by the store in the way that is quickest for that.
const LONG_PAGE: usize = 4_000;
/// How many changes a follower of this view may fall behind before it is cut off.
const CHANGES: usize = 1_024;

/// Why a replica that was there before its store was emptied and made anew cannot go on.
pub const FOREIGN_SALT: &str = "the store was emptied and has another salt by now: restart this replica";

/// Why a store that lost its salt is not used: another would make all its revocations say nothing.
pub const LOST_SALT: &str = "the salt is gone, and revocations that only it explains are there: let a replica that runs put it back, restore \
                             `jeton:{salt}`, or empty the store";

/// Whether something was ever revoked in this store.
///
/// # Errors
/// The store; an entry that cannot be read.
pub async fn is_used(store: &dyn Store) -> Result<bool> {
    let page = store.follow(Position::default(), PAGE).await.map_err(unavailable)?;
    let raises = page.entries.iter().map(|logged| Ok(entry::decode(logged)?.is_some())).collect::<Result<Vec<bool>>>()?;
    Ok(page.settled != Revision::START || raises.contains(&true))
}

/// How fresh the knowledge of revocations behind an answer must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freshness {
    /// Within the configured staleness.
    #[default]
    Default,
    /// At least as fresh as this, and within the configured staleness.
    AtLeast(Revision),
    /// Everything acknowledged before the request arrived.
    Full,
}

/// What the view holds to.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The longest that a request takes.
    pub request_deadline: Millis,
    /// The longest wait for the store.
    pub store_timeout: Millis,
    /// A view whose last proof is older answers nothing by itself.
    pub max_staleness: Millis,
    /// The most entries kept in memory; over it what is settled is asked of the store.
    pub max_entries: usize,
}

/// The followed log: answers from memory, and appends.
pub struct Alive {
    store: Arc<dyn Store>,
    records: Records,
    clock: Clock,
    salt: Salt,
    replica: ReplicaId,
    terms: Terms,
    ceilings: RwLock<Ceilings>,
    view: RwLock<View>,
    turns: Turns<Caught>,
    appends: Together<Wanted, Raise>,
    /// Under which primary all replicas have acknowledged this one, and with it the era's marker.
    joined: Mutex<Option<Reign>>,
    /// Something was lost that this view may know.
    ill: Notify,
    /// Held by the one who heals.
    healing: tokio::sync::Mutex<()>,
    changes: broadcast::Sender<Change>,
}

impl fmt::Debug for Alive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Alive(..)")
    }
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
    /// Follows the log of `store`. Nothing is read before `join`.
    ///
    /// # Errors
    /// No randomness for this replica's id.
    pub fn new(records: Records, salt: Salt, ceilings: Ceilings, terms: Terms) -> Result<Self> {
        Ok(Self {
            store: Arc::clone(records.store()),
            clock: records.clock().clone(),
            records,
            salt,
            replica: ReplicaId(random::bytes()?),
            terms,
            ceilings: RwLock::new(ceilings),
            view: RwLock::default(),
            turns: Turns::default(),
            appends: Together::default(),
            joined: Mutex::default(),
            ill: Notify::new(),
            healing: tokio::sync::Mutex::default(),
            changes: broadcast::Sender::new(CHANGES),
        })
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

    /// The oldest that what is known of the revocations may be behind an answer.
    #[must_use]
    pub const fn max_staleness(&self) -> Millis {
        self.terms.max_staleness
    }

    /// Where the view stands: what it does not know yet lies above.
    #[must_use]
    pub fn seen(&self) -> Revision {
        self.read().cursor()
    }

    /// Makes sure that whatever lives for so long can be revoked, before the first of it is handed out: no floor is forgotten sooner.
    ///
    /// # Errors
    /// The store.
    pub async fn raise_ceilings(&self, least: Ceilings) -> Result<Ceilings> {
        let ceilings = self.records.raise_ceilings(self.ceilings().max(least)).await?;
        *self.ceilings.write().unwrap_or_else(PoisonError::into_inner) = ceilings;
        Ok(ceilings)
    }

    /// Asks the view at `run` of the clock, where it is as fresh as is asked, provably, and holds every floor of the log: (the answer, the
    /// place up to which the view stands). From memory: neither waits nor asks the store; where it is not so, `fresh` makes it so.
    #[must_use]
    pub fn at_once<T>(&self, freshness: Freshness, run: Millis, ask: impl FnOnce(&Floors) -> T) -> Option<(T, Revision)> {
        let view = self.read();
        let place = self.fresh_in(&view, freshness, run).filter(|_| view.is_whole())?;
        Some((ask(view.floors()), place))
    }

    fn fresh_in(&self, view: &View, freshness: Freshness, run: Millis) -> Option<Revision> {
        view.fresh_at(run, self.terms.max_staleness).filter(|place| match freshness {
            Freshness::Default => true,
            Freshness::AtLeast(revision) => view.knows(revision, *place),
            Freshness::Full => false,
        })
    }

    /// Makes the view as fresh as is asked, and answers the place up to which it then stands; and whether it answers by itself: it was so
    /// fresh before, and holds every floor of the log.
    ///
    /// # Errors
    /// `RevisionLost`, `Healing`, `Restored`, the store.
    pub async fn fresh(&self, freshness: Freshness) -> Result<(Revision, bool)> {
        {
            let view = self.read();
            if let Some(place) = self.fresh_in(&view, freshness, self.clock.run()) {
                return Ok((place, view.is_whole()));
            }
        }
        let mut caught = self.caught_up().await?;
        if freshness != Freshness::Default && !self.read().is_healed_under(caught.identity) {
            self.heal_in_time().await?;
            caught = self.caught_up().await?;
        }
        let view = self.read();
        let healed = view.era_state() == EraState::Healed && view.is_healed_under(caught.identity);
        match freshness {
            Freshness::AtLeast(revision) if view.knows(revision, caught.head) => {}
            Freshness::AtLeast(_) | Freshness::Full if !healed => return Err(Error::Healing),
            Freshness::AtLeast(_) => return Err(Error::RevisionLost),
            Freshness::Full => return Ok((caught.head, false)),
            Freshness::Default => {}
        }
        view.fresh_at(self.clock.run(), self.terms.max_staleness).map(|place| (place, false)).ok_or(Error::Healing)
    }

    /// What Issue makes its tokens' `born` of: a catch-up that starts after this call, under a primary whose marker all replicas have, above
    /// everything that this view saw before.
    ///
    /// # Errors
    /// `Healing`, `NotDurable`, `Restored`, the store.
    pub async fn born(&self) -> Result<Caught> {
        // What comes in from now on may lie above what is found: it is raised beside this call, not lost.
        let mut seen = self.read().highest();
        let mut caught = self.caught_up().await?;
        if !self.is_joined() {
            self.beat().await?;
            caught = self.caught_up().await?;
        }
        if caught.head < seen {
            self.heal_in_time().await?;
            seen = self.read().highest();
            caught = self.caught_up().await?;
        }
        if caught.head >= seen && self.is_joined() { Ok(caught) } else { Err(Error::Healing) }
    }

    /// The floor that kills what was born at `born` and has these targets, as the view knows.
    #[must_use]
    pub fn killing(&self, targets: &[TargetId], born: Born) -> Option<Raised> {
        self.read().floors().killing(targets, born)
    }

    /// Where the log has ended a target for ever, and how far that got. None also where the log may lack what this view knows.
    #[must_use]
    pub fn ended(&self, target: &Target) -> Option<(Revision, Durability)> {
        self.read().ended(self.what(target))
    }

    fn what(&self, target: &Target) -> What {
        What { target: target.id(&self.salt), kind: target.kind() }
    }

    /// Asks the view once, for a judgement of several questions.
    pub fn with_floors<T>(&self, ask: impl FnOnce(&Floors) -> T) -> T {
        ask(self.read().floors())
    }

    /// What `with_floors` answers, and whether the view held every floor of the log when it was asked. Where it did not, what is settled
    /// must be asked of the store too, and after it: there it is before the view drops it.
    pub fn with_floors_if_whole<T>(&self, ask: impl FnOnce(&Floors) -> T) -> (T, bool) {
        let view = self.read();
        (ask(view.floors()), view.is_whole())
    }

    /// What the view takes in from now on, in order. Who falls behind is told so, and starts over.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Takes the store's data as it is, where it was restored from an old backup: answers the marker of the new era.
    ///
    /// # Errors
    /// The store.
    pub async fn accept(&self) -> Result<Revision> {
        let position = self.read().position();
        let marker = self.store.accept(position).await.map_err(unavailable)?;
        self.load().await?;
        self.heal().await?;
        Ok(marker)
    }

    /// What is wrong or remarkable with the view, for readiness and `jeton heal`.
    #[must_use]
    pub fn health(&self) -> Health {
        let joined = self.is_joined();
        self.read().health(self.clock.run(), &self.terms, joined)
    }

    /// How long an entry must stay where every replica sees it: no token that it could kill lives longer, by any clock.
    #[must_use]
    pub fn horizon(&self) -> Millis {
        self.ceilings().access_token.plus(LEEWAY).plus(self.terms.request_deadline).plus(ERA_AHEAD).max(LEAST_HORIZON)
    }

    /// Whether no token that it could kill is alive, and Refresh finds it elsewhere.
    fn is_over(&self) -> impl Fn(&Raised) -> bool + use<> {
        let (now, horizon, forgettable) = (self.clock.now(), self.horizon(), self.read().forgettable());
        move |raised| is_over(raised, now, horizon, forgettable)
    }

    /// Whether all replicas of the store have acknowledged this one in the era that it met last.
    fn is_joined(&self) -> bool {
        let joined = *self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        joined.is_some() && joined == self.read().reign()
    }

    fn read(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }
}

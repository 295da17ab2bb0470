//! Watching the log, and looking after it: what a follower is told, how the log is, and taking it as it is (`jeton heal`).

use crate::audit::{Action, Deed};
use crate::service::{Durability, Freshness, Service};
use jeton_domain::error::{Error, Result};
use jeton_domain::revision::Revision;
use jeton_domain::target::Salt;
use jeton_domain::time::{Millis, Timestamp};
use tokio::sync::broadcast;

pub use crate::floors::{Backlog, Change, Health};
pub use crate::store::EraState;

/// What somebody needs who judges tokens by himself.
#[derive(Clone, Debug)]
pub struct Judging {
    /// The key of target ids.
    pub salt: Salt,
    /// A revocation that is older kills no token that is alive.
    pub horizon: Millis,
    /// Knowledge that is older must not be trusted.
    pub max_staleness: Millis,
}

/// How the log is.
#[derive(Debug)]
pub struct Log {
    /// This replica's view of it.
    pub health: Health,
    /// How far the store lets a write get before it is acknowledged.
    pub durability: Durability,
    /// What is wrong, in words.
    pub problems: Vec<String>,
}

impl Service {
    /// What a watcher is told first.
    #[must_use]
    pub fn judging(&self) -> Judging {
        Judging { salt: self.alive.salt().clone(), horizon: self.alive.horizon(), max_staleness: self.alive.max_staleness() }
    }

    /// What the view takes in from now on, in order.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.alive.changes()
    }

    /// What a watcher lacks who stands at `after`, or knows nothing; to be asked for after the changes.
    #[must_use]
    pub fn backlog(&self, after: Option<Revision>) -> Backlog {
        self.alive.backlog(after)
    }

    /// Makes the view know all that was acknowledged before this call, and answers where it then stands.
    ///
    /// # Errors
    /// `Healing`, `Restored`, the store.
    pub async fn caught_up(&self) -> Result<Revision> {
        self.alive.fresh(Freshness::Full).await.map(|(place, _)| place)
    }

    /// How this replica's view of the log is. From memory: no store is asked.
    #[must_use]
    pub fn view(&self) -> Health {
        self.alive.health()
    }

    /// How the log is. Answered from memory but for what the store says of itself.
    pub async fn log(&self) -> Log {
        let store = self.records.store();
        let of_the_store = store.health().await.map_err(|problem| problem.to_string());
        let mut problems =
            of_the_store.map_or_else(|problem| vec![problem], |wrong| wrong.into_iter().map(|wrong| wrong.words).collect());
        let health = self.view();
        problems.extend(health.wrong().into_iter().chain(health.remarkable()));
        Log { health, durability: store.durability(), problems }
    }

    /// Takes the store's data as it is, and answers where the new era begins. Only what was looked at: the same `last_seen` of a restored
    /// log, or none of one that says it is healed.
    ///
    /// # Errors
    /// `Invalid` where the log is another than was looked at; `Healing`; the store.
    pub async fn accept_log(&self, last_seen: Option<Timestamp>) -> Result<Revision> {
        match self.alive.caught_up().await {
            Ok(_) | Err(Error::Restored(_) | Error::ShardRestored(_)) => {}
            Err(problem) => return Err(problem),
        }
        let there = match self.alive.health().era.map(|era| era.state) {
            None | Some(EraState::Healing) => return Err(Error::Healing),
            Some(EraState::Healed) => None,
            Some(EraState::Restored { last_seen }) => Some(last_seen.secs()),
        };
        if there != last_seen.map(Timestamp::secs) {
            return Err(Error::invalid("last_seen", "is not what the log says now: look at it again before you accept it"));
        }
        let mut deed = self.deed(Action::AcceptLog);
        let marker = Deed::while_doing(&mut deed, self.alive.accept()).await?;
        if let Some(deed) = deed {
            deed.text("revision", &marker.to_string()).tell();
        }
        Ok(marker)
    }
}

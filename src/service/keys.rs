//! Signing keys: published, listed, rotated.

use crate::audit::{Action, Deed};
use crate::records::proto::SigningRecord;
use crate::service::Service;
use crate::signing::Signing;
use crate::telemetry::metrics;
use jeton_domain::client::Algorithm;
use jeton_domain::error::{Error, Result};
use jeton_domain::floors::{Floors, Raised};
use jeton_domain::id::TargetId;
use jeton_domain::revision::Revision;
use jeton_domain::target::TargetKind;
use jeton_domain::time::{Millis, Timestamp};
use jsonwebtoken::jwk::JwkSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use crate::signing::{KeyState, KeyStatus};

/// For which burning of a key the signing keys were last read again, beside the schedule.
pub(super) type Reloaded = Mutex<Revision>;

impl Service {
    /// The public keys, and for how long they may be cached. From memory: no store is asked.
    #[must_use]
    pub fn jwks(&self) -> (JwkSet, Millis) {
        self.signing.jwks(self.clock.now())
    }

    /// Every key, newest first.
    ///
    /// # Errors
    /// The store.
    pub async fn list_keys(&self) -> Result<Vec<KeyStatus>> {
        self.refresh_keys().await?;
        Ok(self.known_keys())
    }

    /// Every key as this replica knows it, newest first. From memory: no store is asked.
    #[must_use]
    pub fn known_keys(&self) -> Vec<KeyStatus> {
        self.signing.status(self.clock.now())
    }

    /// Lets the standby key of `algorithm` take over as soon as everybody knows it, and publishes a new one once it has:
    /// (the key that takes over, the new standby where it is made already).
    ///
    /// # Errors
    /// The store.
    pub async fn rotate_key(&self, algorithm: Algorithm) -> Result<(KeyStatus, Option<KeyStatus>)> {
        self.refresh_keys().await?;
        let now = self.clock.now();
        let newest = |signing: &Signing| signing.status(now).into_iter().find(|key| key.algorithm == algorithm);
        let unknown = || Error::KeyUnknown(format!("no signing key of algorithm `{}`", algorithm.word()));
        let standby = newest(&self.signing).ok_or_else(unknown)?;
        let deed = self.deed(Action::RotateKey);
        let mut deed = deed.map(|deed| deed.text("kid", &standby.kid).text("algorithm", algorithm.word()));
        Deed::while_doing(&mut deed, self.change_keys(|held| self.signing.rotate(held, algorithm, now))).await?;
        deed.into_iter().for_each(Deed::tell);
        let taking_over = self.signing.status(now).into_iter().find(|key| key.kid == standby.kid).ok_or_else(unknown)?;
        Ok((taking_over, newest(&self.signing).filter(|key| key.kid != standby.kid)))
    }

    /// Brings the schedule of the signing keys up to date, with whatever other replicas did, and takes it over. For start and background.
    ///
    /// # Errors
    /// The store.
    pub async fn refresh_keys(&self) -> Result<()> {
        let now = self.clock.now();
        self.change_keys(|held| self.signing.advance(held, now)).await?;
        // A store that fell back has the key as it was; the log was healed, and says what became of it.
        let held = self.records.signing_keys().await?.0;
        for kid in held.iter().flat_map(|held| self.burnt_in_the_log(&held.value)) {
            self.change_keys(|held| self.signing.burn(held, std::slice::from_ref(&kid), now)).await?;
            tracing::warn!(kid, "a signing key was burnt again: the store had lost that it was");
        }
        measure(&self.signing.status(now), now);
        Ok(())
    }

    /// Changes the keys and takes over what they are then. Keys that are slow to make are made beside the requests.
    async fn change_keys(&self, change: impl Fn(Option<SigningRecord>) -> Result<Option<SigningRecord>>) -> Result<()> {
        loop {
            let changed = self.records.change_signing_keys(|held| change(held.cloned())).await;
            if changed.is_ok() || !self.signing.is_short() {
                return self.signing.install(&changed?);
            }
            let signing = Arc::clone(&self.signing);
            let made = tokio::task::spawn_blocking(move || signing.restock()).await;
            made.map_err(|ended| Error::Internal(format!("making a key ended: {ended}")))??;
        }
    }

    /// The keys that are revoked and whose document does not say so.
    fn burnt_in_the_log(&self, record: &SigningRecord) -> Vec<String> {
        let is_raised = |kid: &String| self.key_burnt(self.alive.salt().signing_key(kid)).is_some();
        let unburnt = record.keys.iter().filter(|key| key.burnt_at == 0);
        unburnt.map(|key| &key.kid).filter(|kid| is_raised(kid)).cloned().collect()
    }

    /// What burnt the key that has this target, as far as the view knows. A grant may be revoked by any id, that of a key too.
    pub(super) fn key_burnt(&self, target: TargetId) -> Option<Raised> {
        self.alive.with_floors(|floors| floors.get(target)).filter(|raised| raised.kind == TargetKind::SigningKey)
    }

    /// Reads the keys again, root keys too, where the view has a burnt key since they were last read: what a burnt key signs is dead at birth,
    /// and its successor may be one that is not known here. True where they were read. Catch up before.
    pub(super) async fn know_burnt_keys(&self) -> Result<bool> {
        let burnt = self.alive.with_floors(Floors::key_burnt);
        if *self.reloaded.lock().unwrap_or_else(PoisonError::into_inner) >= burnt {
            return Ok(false);
        }
        self.refresh_root_keys().await?;
        self.refresh_keys().await?;
        let mut known = self.reloaded.lock().unwrap_or_else(PoisonError::into_inner);
        *known = burnt.max(*known);
        Ok(true)
    }

    /// Burns keys: their document says so for ever, their successors sign at once. Here it is so though it may be lost yet.
    ///
    /// # Errors
    /// `KeyUnknown`, `NotDurable`, the store.
    pub(super) async fn burn_keys(&self, kids: &[String]) -> Result<()> {
        let now = self.clock.now();
        match self.change_keys(|held| self.signing.burn(held, kids, now)).await {
            Err(undurable @ Error::NotDurable(_)) => {
                self.refresh_keys().await?;
                Err(undurable)
            }
            changed => {
                changed?;
                // They may have been burnt before, by a request that was cut off.
                self.records.confirm_signing_keys().await
            }
        }
    }
}

/// How many keys there are in each state, and how long until the next takes over.
fn measure(keys: &[KeyStatus], now: Timestamp) {
    let states = [KeyState::Standby, KeyState::Active, KeyState::Retired, KeyState::Burnt];
    for algorithm in Algorithm::ALL {
        let of = || keys.iter().filter(|key| key.algorithm == algorithm);
        for state in states {
            let count = of().filter(|key| key.state == state).count();
            metrics::SIGNING_KEYS.level([algorithm.word(), state.word()]).set_count(count);
        }
        if let Some(next) = of().filter(|key| key.state == KeyState::Standby).map(|key| key.activates_at).min() {
            metrics::SIGNING_KEY_ACTIVATION.set_of([algorithm.word()], Duration::from(next.since(now)).as_secs_f64());
        }
    }
}

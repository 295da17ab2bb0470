//! Signing keys: published, listed, rotated.

use crate::service::Service;
use crate::signing::Signing;
use jeton_domain::client::Algorithm;
use jeton_domain::error::{Error, Result};
use jeton_domain::time::{Millis, Timestamp};
use jsonwebtoken::jwk::JwkSet;
use std::sync::{Mutex, PoisonError};

pub use crate::signing::{KeyState, KeyStatus};

/// When the signing keys were last read again because a token named one that is not known here.
#[derive(Debug, Default)]
pub(super) struct Reload(Mutex<Timestamp>);

/// An unknown `kid` leads to at most one read in this time, whoever sends them.
const RELOAD_EVERY: Millis = Millis::from_secs(1);

impl Service {
    /// The public keys, and for how long they may be cached.
    ///
    /// # Errors
    /// None today; the signature leaves room for a schedule that must be read first.
    pub fn jwks(&self) -> Result<(JwkSet, Millis)> {
        Ok(self.signing.jwks(self.clock.now()))
    }

    /// Every key, newest first.
    ///
    /// # Errors
    /// The store.
    pub async fn list_keys(&self) -> Result<Vec<KeyStatus>> {
        self.refresh_keys().await?;
        Ok(self.signing.status(self.clock.now()))
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
        let record = self.records.change_signing_keys(|held| self.signing.rotate(held.cloned(), algorithm, now)).await?;
        self.signing.install(&record)?;
        let taking_over = self.signing.status(now).into_iter().find(|key| key.kid == standby.kid).ok_or_else(unknown)?;
        Ok((taking_over, newest(&self.signing).filter(|key| key.kid != standby.kid)))
    }

    /// Brings the schedule of the signing keys up to date, with whatever other replicas did, and takes it over. For start and background.
    ///
    /// # Errors
    /// The store.
    pub async fn refresh_keys(&self) -> Result<()> {
        let now = self.clock.now();
        let record = self.records.change_signing_keys(|held| self.signing.advance(held.cloned(), now)).await?;
        self.signing.install(&record)
    }

    /// Reads the keys again because a token named one that is not known here; not more often than once a second.
    pub(super) async fn learn_keys(&self) -> Result<bool> {
        let now = self.clock.now();
        {
            let mut last = self.reload.0.lock().unwrap_or_else(PoisonError::into_inner);
            if now.since(*last) < RELOAD_EVERY {
                return Ok(false);
            }
            *last = now;
        }
        self.refresh_keys().await.map(|()| true)
    }

    /// Burns a key: its document says so for ever, its successor signs at once.
    pub(super) async fn burn_key(&self, kid: &str) -> Result<()> {
        let now = self.clock.now();
        let record = self.records.change_signing_keys(|held| self.signing.burn(held.cloned(), kid, now)).await?;
        self.signing.install(&record)
    }
}

//! Signing keys: published, listed, rotated.

use crate::service::Service;
use jeton_domain::client::Algorithm;
use jeton_domain::error::{Error, Result};
use jeton_domain::time::{Millis, Timestamp};
use jsonwebtoken::jwk::JwkSet;

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Published, not signing yet.
    Standby,
    /// Signing.
    Active,
    /// No longer signing; what it signed is still valid.
    Retired,
    /// Everything it signed is dead.
    Burnt,
}

/// A key and its schedule.
#[derive(Clone, Debug)]
pub struct KeyStatus {
    /// Its id.
    pub kid: String,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Where it is in its life.
    pub state: KeyState,
    /// When it was made and published.
    pub created_at: Timestamp,
    /// When it begins to sign.
    pub activates_at: Timestamp,
    /// When it stops signing, where that is known.
    pub retires_at: Option<Timestamp>,
    /// When it is no longer published, where that is known.
    pub removed_at: Option<Timestamp>,
}

impl Service {
    /// The public keys, and for how long they may be cached.
    ///
    /// # Errors
    /// None today; the signature leaves room for a schedule that must be read first.
    pub fn jwks(&self) -> Result<(JwkSet, Millis)> {
        Err(Error::Internal("not built".into()))
    }

    /// Every key, newest first.
    ///
    /// # Errors
    /// The store.
    pub async fn list_keys(&self) -> Result<Vec<KeyStatus>> {
        Err(Error::Internal("not built".into()))
    }

    /// Activates the standby key of `algorithm` and publishes a new one: (active, standby).
    ///
    /// # Errors
    /// The store.
    pub async fn rotate_key(&self, _algorithm: Algorithm) -> Result<(KeyStatus, KeyStatus)> {
        Err(Error::Internal("not built".into()))
    }
}

//! Signing keys: published, listed, rotated.

use crate::service::Service;
use jeton_domain::client::Algorithm;
use jeton_domain::error::{Error, Result};
use jeton_domain::time::Millis;
use jsonwebtoken::jwk::JwkSet;

pub use crate::signing::{KeyState, KeyStatus};

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

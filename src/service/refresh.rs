//! Refresh: a refresh token gets a new access token, without asking the user again (RFC 6749 section 6).

use crate::service::issue::Tokens;
use crate::service::{Credentials, Service};
use jeton_domain::error::{Error, Result};
use jeton_domain::name::{ClientId, ResourceId};
use jeton_domain::scope::Scopes;
use jeton_domain::secret::SecretText;

/// What is presented.
#[derive(Debug)]
pub struct Refresh {
    /// The refresh token.
    pub token: SecretText,
    /// Who presents it.
    pub client: ClientId,
    /// How it proves who it is.
    pub credentials: Credentials,
    /// Narrower scopes; empty: the grant's.
    pub scopes: Scopes,
    /// Narrower resources; empty: the grant's.
    pub resources: Vec<ResourceId>,
    /// The name of this attempt. At most 128 bytes.
    pub request_id: Option<Box<str>>,
}

impl Service {
    /// Refreshes.
    ///
    /// # Errors
    /// `InvalidClient`, `RefreshRefused`, `ReauthenticationRequired`, `InvalidScope`, `InvalidTarget`, the store.
    pub async fn refresh(&self, _asked: Refresh) -> Result<Tokens> {
        Err(Error::Internal("not built".into()))
    }
}

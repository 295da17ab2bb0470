//! Issue: the login service has authenticated a user (or a client itself), and asks for tokens.

use crate::service::{Credentials, Durability, Service};
use jeton_domain::client::GrantType;
use jeton_domain::error::{Error, Result};
use jeton_domain::grant::Binding;
use jeton_domain::id::GrantId;
use jeton_domain::name::{ClientId, ResourceId, SessionId, Subject};
use jeton_domain::revision::Revision;
use jeton_domain::scope::Scopes;
use jeton_domain::secret::SecretText;
use jeton_domain::time::{Millis, Timestamp};
use serde_json::{Map, Value};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Issue {
    /// For whom.
    pub client: ClientId,
    /// Who signed in; none for client credentials.
    pub subject: Option<Subject>,
    /// What was granted.
    pub scopes: Scopes,
    /// For which resources; empty: the owners of the scopes.
    pub resources: Vec<ResourceId>,
    /// The session; none: a new one is made.
    pub session: Option<SessionId>,
    /// When the user signed in; none: now.
    pub auth_time: Option<Timestamp>,
    /// The authentication context class.
    pub acr: Option<String>,
    /// The authentication methods.
    pub amr: Vec<String>,
    /// The flow; none: authorization code with a subject, client credentials without.
    pub method: Option<GrantType>,
    /// For the ID token.
    pub nonce: Option<String>,
    /// Further claims of access tokens.
    pub access_claims: Map<String, Value>,
    /// Further claims of ID tokens.
    pub id_claims: Map<String, Value>,
    /// The sender constraint.
    pub binding: Option<Binding>,
    /// Authorization details (RFC 9396).
    pub authorization_details: Vec<Value>,
    /// How the client proves who it is.
    pub credentials: Credentials,
}

/// The tokens of an Issue or a Refresh.
#[derive(Debug)]
pub struct Tokens {
    /// The access token.
    pub access: SecretText,
    /// How long it is valid.
    pub expires_in: Millis,
    /// The refresh token.
    pub refresh: Option<SecretText>,
    /// How long the refresh token is valid if it is not used.
    pub refresh_expires_in: Millis,
    /// The ID token.
    pub id: Option<SecretText>,
    /// The scopes of the access token.
    pub scopes: Scopes,
    /// What it is bound to; `Some(Binding::Jkt)` makes it a `DPoP` token, anything else `Bearer`.
    pub binding: Option<Binding>,
    /// The grant.
    pub grant: Option<GrantId>,
    /// The session.
    pub session: Option<SessionId>,
    /// What the answer knows.
    pub revision: Revision,
    /// How far the record got; none where nothing was written.
    pub durability: Option<Durability>,
}

impl Service {
    /// Issues tokens.
    ///
    /// # Errors
    /// Fields at fault, what the client may not have, policies not met, a revoked session, the store.
    pub async fn issue(&self, _asked: Issue) -> Result<Tokens> {
        Err(Error::Internal("not built".into()))
    }
}

//! Revoke: one entry in the log, and what was born before it is dead (RFC 7009).

use crate::service::{Credentials, Durability, Service};
use jeton_domain::error::{Error, Result};
use jeton_domain::id::GrantId;
use jeton_domain::name::{ClientId, SessionId, Subject};
use jeton_domain::revision::Revision;
use jeton_domain::secret::SecretText;
use jeton_domain::target::Reason;

/// What to end.
#[derive(Debug)]
pub struct Revoke {
    /// What.
    pub what: What,
    /// Why.
    pub reason: Reason,
    /// Only count.
    pub dry_run: bool,
}

/// What is to be ended, as asked.
#[derive(Debug)]
pub enum What {
    /// A token, of any kind.
    Token {
        /// The token.
        token: SecretText,
        /// The client that asks; where given, the token must be its own.
        client: Option<ClientId>,
        /// How it proves who it is.
        credentials: Credentials,
    },
    /// A grant.
    Grant(GrantId),
    /// A session; the subject is needed to count.
    Session(SessionId, Option<Subject>),
    /// A subject.
    Subject(Subject),
    /// A client.
    Client(ClientId),
    /// A consent.
    Consent(Subject, ClientId),
    /// A signing key.
    SigningKey {
        /// Its id.
        kid: String,
    },
}

/// What a revocation did.
#[derive(Debug, PartialEq, Eq)]
pub enum Revoked {
    /// In force from this revision on.
    Done {
        /// The place in the log.
        revision: Revision,
        /// How far it got.
        durability: Durability,
    },
    /// There was nothing to end: unknown, expired or ended before.
    Nothing,
    /// What would end, by client; none where that is not counted.
    Counted(Option<Vec<(ClientId, u64)>>),
}

impl Service {
    /// Revokes.
    ///
    /// # Errors
    /// `InvalidClient`, `UnauthorizedClient` for a token of another client, the store.
    pub async fn revoke(&self, _asked: Revoke) -> Result<Revoked> {
        Err(Error::Internal("not built".into()))
    }
}

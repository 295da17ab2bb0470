//! Introspect: is this token active, and what does it say (RFC 7662)?

use crate::service::examine::Looked;
use crate::service::explain::TokenKind;
use crate::service::{Freshness, Service};
use crate::telemetry::metrics;
use jeton_domain::error::Result;
use jeton_domain::grant::Binding;
use jeton_domain::id::{GrantId, TargetId};
use jeton_domain::name::ResourceId;
use jeton_domain::revision::{Born, Revision};
use jeton_domain::secret::SecretText;
use serde_json::{Map, Value};

/// What is shown.
#[derive(Debug)]
pub struct Introspect {
    /// The token.
    pub token: SecretText,
    /// The resource that asks.
    pub resource: Option<ResourceId>,
    /// How fresh the answer must be.
    pub freshness: Freshness,
}

/// The answer.
#[derive(Debug)]
pub struct Introspection {
    /// What it says; none where it is not active.
    pub active: Option<Box<Active>>,
    /// What the answer knows.
    pub revision: Revision,
}

/// What an active token says.
#[derive(Clone, Debug, PartialEq)]
pub struct Active {
    /// Whether it is an access token (else a refresh token).
    pub is_access_token: bool,
    /// Scopes, separated by spaces.
    pub scope: String,
    /// The client.
    pub client_id: String,
    /// Seconds since the epoch.
    pub exp: u64,
    /// Seconds since the epoch.
    pub iat: u64,
    /// Seconds since the epoch, where the token says so.
    pub nbf: Option<u64>,
    /// The subject.
    pub sub: String,
    /// The resources.
    pub aud: Vec<String>,
    /// The issuer.
    pub iss: String,
    /// The token's id; empty for a refresh token.
    pub jti: String,
    /// The session.
    pub sid: Option<String>,
    /// The authentication context class.
    pub acr: Option<String>,
    /// The authentication methods.
    pub amr: Vec<String>,
    /// Seconds since the epoch.
    pub auth_time: Option<u64>,
    /// The sender constraint.
    pub binding: Option<Binding>,
    /// Authorization details.
    pub authorization_details: Vec<Value>,
    /// The acting party.
    pub act: Option<Map<String, Value>>,
    /// The grant.
    pub grant: Option<GrantId>,
    /// Further claims.
    pub claims: Map<String, Value>,
    /// For how many seconds this answer may be reused.
    pub cache_seconds: u64,
    /// The targets that would end it.
    pub targets: Vec<TargetId>,
    /// Its place in the order of revocations.
    pub born: Born,
}

impl Service {
    /// Introspects one token.
    ///
    /// # Errors
    /// `RevisionLost`, the store. A token that is not active is no error.
    pub async fn introspect(&self, asked: Introspect) -> Result<Introspection> {
        let (revision, looked) = tokio::try_join!(self.alive.fresh(asked.freshness), self.look_up(asked.token.expose()))?;
        self.introspection(looked, asked.resource.as_ref(), revision).await
    }

    /// Introspects many tokens, one answer each in order.
    ///
    /// # Errors
    /// As `introspect`; never because of one token.
    pub async fn batch_introspect(
        &self,
        tokens: Vec<SecretText>,
        resource: Option<ResourceId>,
        freshness: Freshness,
    ) -> Result<Vec<Introspection>> {
        let texts: Vec<&str> = tokens.iter().map(SecretText::expose).collect();
        let (revision, all) = tokio::try_join!(self.alive.fresh(freshness), self.look_up_all(&texts))?;
        let mut answers = Vec::with_capacity(all.len());
        for looked in all {
            answers.push(self.introspection(looked, resource.as_ref(), revision).await?);
        }
        Ok(answers)
    }

    async fn introspection(&self, looked: Looked, resource: Option<&ResourceId>, revision: Revision) -> Result<Introspection> {
        let examined = self.judge(looked, resource).await?;
        let shown = match examined.kind {
            TokenKind::JwtAccess | TokenKind::OpaqueAccess => true,
            // A resource server has no business with a refresh token.
            TokenKind::Refresh => resource.is_none(),
            TokenKind::Unknown | TokenKind::Id | TokenKind::Code => false,
        };
        let active = examined.verdict.ok().filter(|_| shown).map(Box::new);
        metrics::INTROSPECTIONS.add(if active.is_some() { "active" } else { "inactive" });
        if let Some(token) = &active {
            self.arrived(examined.generation, token);
        }
        Ok(Introspection { active, revision })
    }
}

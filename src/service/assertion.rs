//! Assertions as grants (RFC 7523 section 2.1): an issuer that is configured says who the subject is, and the client gets an access token.
//!
//! No session begins by it here, so there is neither a refresh token nor an ID token; a client that needs more asks its issuer again.

use crate::service::issue::{Issue, Tokens};
use crate::service::{Credentials, Service};
use jeton_domain::assertion::{Assertion, Purpose, Refusal};
use jeton_domain::client::GrantType;
use jeton_domain::details;
use jeton_domain::error::{Error, Result};
use jeton_domain::name::{ClientId, ResourceId};
use jeton_domain::scope::Scopes;
use jeton_domain::secret::SecretText;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What is shown for a token.
#[derive(Debug)]
pub struct Assert {
    /// The assertion.
    pub assertion: SecretText,
    /// Who shows it.
    pub client: ClientId,
    /// How it proves who it is.
    pub credentials: Credentials,
    /// What is asked for.
    pub scopes: Scopes,
    /// For which resources; empty: the owners of the scopes.
    pub resources: Vec<ResourceId>,
    /// None is given for an assertion: no user allowed it.
    pub authorization_details: Vec<Value>,
}

impl Service {
    /// Whether assertions of anybody are taken.
    #[must_use]
    pub fn takes_assertions(&self) -> bool {
        !self.terms().issuers.is_empty()
    }

    /// Gives a token for an assertion.
    ///
    /// # Errors
    /// `InvalidClient`, `UnauthorizedClient`, `AssertionRefused`, as Issue; `KeysUnavailable`.
    pub async fn redeem_assertion(&self, asked: Assert) -> Result<Tokens> {
        let client = self.authenticate(&asked.client, &asked.credentials).await?;
        if !client.may(GrantType::JwtBearer) {
            return Err(Error::UnauthorizedClient(format!("client `{}` may not use `jwt_bearer`", client.id)));
        }
        if !asked.authorization_details.is_empty() {
            let problem = "are not given for an assertion: no user allowed them".into();
            return Err(Error::InvalidAuthorizationDetails { field: details::FIELD.into(), problem });
        }
        let assertion = Assertion::read(asked.assertion.expose(), Purpose::Grant)?;
        let terms = self.terms();
        let known = terms.issuers.find(&assertion.issuer);
        let issuer = known.filter(|issuer| issuer.clients.contains(&client.id)).ok_or(Refusal::OtherIssuer)?;
        let audience = issuer.audience.as_deref().unwrap_or_else(|| self.issuer());
        let until = self.judge_assertion(&assertion, audience, issuer.lifetime, &issuer.keys).await??;
        let subject = issuer.subject(&assertion.subject).map_err(|_no_subject| Refusal::WrongClaim)?;
        let issue = Issue {
            client: asked.client,
            subject: Some(subject),
            scopes: asked.scopes,
            resources: asked.resources,
            session: None,
            auth_time: None,
            acr: None,
            amr: Vec::new(),
            method: Some(GrantType::JwtBearer),
            nonce: None,
            access_claims: Map::new(),
            id_claims: Map::new(),
            binding: None,
            authorization_details: Vec::new(),
            credentials: asked.credentials,
        };
        let narrowed = Arc::new(issuer.narrowed(&client));
        let prepared = self.prepare_for(narrowed, &issue).await?;
        // Refused before, it may be shown again.
        self.count_assertion(&assertion, until).await??;
        self.issue_prepared(prepared, None).await
    }
}

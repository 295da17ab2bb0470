//! Handing out: the tokens of a grant at a generation, the same for Issue and Refresh.

use crate::random;
use crate::service::Service;
use crate::signing::Typ;
use crate::telemetry;
use jeton_domain::audience::Audience;
use jeton_domain::claims::{AccessClaims, IdClaims};
use jeton_domain::client::Client;
use jeton_domain::error::{Error, Result};
use jeton_domain::grant::Grant;
use jeton_domain::id::{Generation, GrantId, KeyId};
use jeton_domain::issue::AccessForm;
use jeton_domain::resource::TokenFormat;
use jeton_domain::secret::SecretText;
use jeton_domain::time::Timestamp;
use jeton_domain::token;

/// What an access token is to be.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// What it is for.
    pub audience: &'a Audience,
    /// How it looks.
    pub form: AccessForm,
    /// The generation of the refresh token that it comes with; 0 without one.
    pub generation: Generation,
    /// The root key that proves it.
    pub key: KeyId,
}

impl Service {
    /// Mints an access token of `grant` at `now`.
    pub(super) fn access_token(&self, grant: &Grant, access: &Access<'_>, now: Timestamp) -> Result<SecretText> {
        if let Some(grant) = visible_id(grant) {
            telemetry::trace::hands_out(grant, access.generation);
        }
        let _span = telemetry::child("sign.access_token").entered();
        let Access { audience, form, generation, key } = *access;
        if form.format == TokenFormat::Opaque {
            return self.tokens.opaque(grant, generation, key, now, form.lifetime, &audience.scopes, &audience.resources);
        }
        let grant_id = visible_id(grant);
        let jti = self.tokens.jti(grant_id, generation, random::bytes()?, key)?;
        let issuer = [self.issuer.as_str()];
        let resources: Vec<&str> = audience.resources.iter().map(|resource| resource.as_str()).collect();
        let claims = AccessClaims {
            iss: self.issuer.as_str(),
            sub: grant.subject.as_str(),
            aud: if resources.is_empty() { &issuer } else { &resources },
            exp: now.plus(form.lifetime).secs(),
            iat: now.secs(),
            jti: &jti,
            client_id: grant.client.as_str(),
            scope: &audience.scopes,
            sid: grant.session.as_ref().map(|session| session.as_str()),
            grant_id,
            born: grant.born,
            auth_time: grant.sign_in.auth_time,
            acr: grant.sign_in.acr.as_deref(),
            amr: &grant.sign_in.amr,
            cnf: grant.binding,
            authorization_details: &audience.details,
            act: grant.act.as_ref(),
            ancestors: &grant.ancestors,
            extra: &grant.access_claims,
        };
        let token = self.tokens.sign(Typ::AtJwt, form.algorithm, &claims, now)?;
        if token.expose().len() > token::MAX_BYTES {
            let problem = "makes, with the resources, claims and details, an access token longer than 16 KiB: ask for less";
            return Err(Error::invalid_scope("scope", problem));
        }
        Ok(token)
    }

    /// Mints an ID token of `grant` at `now`, beside `access_token`. `nonce` at Issue only (OIDC Core section 12.2).
    pub(super) fn id_token(
        &self,
        grant: &Grant,
        client: &Client,
        access_token: &SecretText,
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<SecretText> {
        let _span = telemetry::child("sign.id_token").entered();
        let at_hash = crate::tokens::at_hash(client.id_token_algorithm, access_token.expose());
        let claims = IdClaims {
            iss: self.issuer.as_str(),
            sub: grant.subject.as_str(),
            aud: grant.client.as_str(),
            exp: now.plus(client.id_token_lifetime).secs(),
            iat: now.secs(),
            auth_time: grant.sign_in.auth_time,
            nonce,
            acr: grant.sign_in.acr.as_deref(),
            amr: &grant.sign_in.amr,
            sid: grant.session.as_ref().map(|session| session.as_str()),
            at_hash: &at_hash,
            extra: &grant.id_claims,
        };
        self.tokens.sign(Typ::Jwt, client.id_token_algorithm, &claims, now)
    }
}

/// The grant id that tokens show: none for client credentials.
pub(super) fn visible_id(grant: &Grant) -> Option<GrantId> {
    grant.sign_in.method.has_user().then_some(grant.id)
}

//! The phantom token: a short-lived JWT that says what an access token says, for the service behind a gateway. Outside there is a token that
//! says nothing to who holds it; inside each service reads who asks, without asking anybody.
//!
//! INVARIANT: it is the same token in another form: the same `jti`, grant, `born` and binding, so that whatever ends the one ends the
//! other, and it never outlives it.

use crate::service::Service;
use crate::service::examine::Examined;
use crate::service::explain::TokenKind;
use crate::service::introspect::Active;
use crate::signing::Typ;
use crate::tokens::{Digest, Phantom};
use jeton_domain::access::Asker;
use jeton_domain::claims::AccessClaims;
use jeton_domain::client::Algorithm;
use jeton_domain::error::{Error, Result};
use jeton_domain::name::ResourceId;
use jeton_domain::scope::Scopes;
use jeton_domain::secret::SecretText;
use jeton_domain::time::Timestamp;

impl Service {
    /// That of an access token which is active and for `resource`, signed as the tokens of that are. One is used again until half of its
    /// time is over.
    ///
    /// # Errors
    /// `AccessTokenRefused` where the token is not active (any more); the store, `Internal`.
    pub(super) async fn phantom(&self, token: &SecretText, resource: &ResourceId) -> Result<SecretText> {
        let digest = Digest::of(token.expose());
        if let Some(jwt) = self.tokens.phantom(&digest, self.clock.now()) {
            return Ok(jwt);
        }
        // Before anything is proved under them.
        let keys = self.tokens.keys();
        let looked = self.look_up(token.expose()).await?;
        let Examined { kind, verdict, .. } = self.judge(looked, Asker::Resource(resource.as_str())).await?;
        let (TokenKind::JwtAccess | TokenKind::OpaqueAccess, Ok(says)) = (kind, verdict) else {
            return Err(Error::AccessTokenRefused);
        };
        let now = self.clock.now();
        let (lifetime, ends) = (self.terms().phantom_lifetime, Timestamp::from_secs(says.exp));
        let exp = ends.min(now.plus(lifetime));
        let jwt = self.sign_phantom(&says, resource, now, exp)?;
        let until = if exp == ends { ends } else { now.plus(lifetime.percent(50)) };
        self.tokens.keep_phantom(digest, Phantom { jwt: jwt.clone(), until, keys });
        Ok(jwt)
    }

    fn sign_phantom(&self, says: &Active, resource: &ResourceId, now: Timestamp, exp: Timestamp) -> Result<SecretText> {
        let algorithm = self.registry().resources().find(resource).map_or(Algorithm::EdDsa, |resource| resource.algorithm);
        let audience: Vec<&str> = says.aud.iter().map(String::as_str).collect();
        let scope = Scopes::parse("scope", &says.scope)?;
        let claims = AccessClaims {
            iss: &says.iss,
            sub: &says.sub,
            aud: &audience,
            exp: exp.secs(),
            iat: now.secs(),
            jti: &says.jti,
            client_id: &says.client_id,
            scope: &scope,
            sid: says.sid.as_deref(),
            grant_id: says.grant,
            born: says.born,
            auth_time: says.auth_time.map(Timestamp::from_secs),
            acr: says.acr.as_deref(),
            amr: &says.amr,
            cnf: says.binding,
            authorization_details: &says.authorization_details,
            act: says.act.as_ref(),
            ancestors: &says.ancestors,
            extra: &says.claims,
        };
        self.tokens.sign(Typ::AtJwt, algorithm, &claims, now)
    }
}

//! User info: what is known of the user for whom an access token speaks (OIDC Core section 5.3).
//!
//! What is known is what Issue was given for ID tokens, as far as a record of the grant is kept; the token's scopes say which of it.

use crate::records::grants::Known;
use crate::service::Service;
use crate::service::dpop::{MadeFor, Place, USERINFO_PATH};
use crate::service::examine::Examined;
use crate::service::explain::TokenKind;
use crate::service::introspect::Active;
use jeton_domain::access::Asker;
use jeton_domain::client::GrantType;
use jeton_domain::error::{Error, Result};
use jeton_domain::grant::SignIn;
use jeton_domain::name::ResourceId;
use jeton_domain::scope::{self, OPENID};
use jeton_domain::secret::SecretText;
use jeton_domain::time::Timestamp;
use serde_json::{Map, Value};

/// A request for user info.
pub struct Ask<'a> {
    /// The access token.
    pub token: SecretText,
    /// The method of the request, which a DPoP proof must name.
    pub method: &'a str,
    /// The DPoP proof; none where the token is shown as a bearer token.
    pub dpop: Option<SecretText>,
    /// SHA-256 of the certificate that came with it.
    pub certificate: Option<[u8; 32]>,
}

/// The answer.
pub struct UserInfo {
    /// `sub` is always among them.
    pub claims: Map<String, Value>,
    /// The nonce for the next DPoP proof; none where none need be named.
    pub next_dpop_nonce: Option<String>,
}

impl Service {
    /// The claims of the user. A token that is bound to a key is accepted with a proof of that key, made for this token and this
    /// request (RFC 9449 section 7), and a proof goes with no other token; one that is bound to a certificate with that (RFC 8705 section
    /// 3).
    ///
    /// # Errors
    /// `InvalidDpopProof`, `UseDpopNonce`, `AccessTokenRefused`, `InsufficientScope`, `ReauthenticationRequired`, the store.
    pub async fn user_info(&self, ask: Ask<'_>) -> Result<UserInfo> {
        let token = ask.token.expose();
        let made_for = MadeFor { method: ask.method, at: Place::Ours(USERINFO_PATH), access_token: Some(token) };
        let holder = self.holder_at(&made_for, ask.certificate, ask.dpop.as_ref())?;
        let (_caught, looked) = tokio::try_join!(self.alive.caught_up(), self.look_up(token))?;
        let Examined { kind, generation, grant, verdict, .. } = self.judge(looked, Asker::Anyone).await?;
        let (TokenKind::JwtAccess | TokenKind::OpaqueAccess, Ok(says)) = (kind, verdict) else {
            return Err(Error::AccessTokenRefused);
        };
        if !holder.proof.may_show(says.binding) {
            return Err(Error::AccessTokenRefused);
        }
        if !says.scope.split(' ').any(|scope| scope == OPENID) {
            return Err(Error::InsufficientScope(OPENID.to_owned()));
        }
        // With `openid` it speaks for a user, by whichever flow he signed in.
        self.meets_policy(&self.issuer, &says.sign_in())?;
        self.count_proof(&holder).await?;
        if let Some(sign) = self.sign(generation, &says) {
            self.arrived(&sign);
        }
        let known = match (grant, says.grant) {
            (Some(grant), _) => grant.id_claims,
            (None, Some(id)) => self.records.grants(&[id]).await?.pop().flatten().map(id_claims).unwrap_or_default(),
            (None, None) => Map::new(),
        };
        let asked: Vec<&str> = says.scope.split(' ').flat_map(scope::claims).copied().collect();
        let mut claims: Map<String, Value> = known.into_iter().filter(|(name, _)| asked.contains(&name.as_str())).collect();
        claims.insert("sub".into(), says.sub.into());
        Ok(UserInfo { claims, next_dpop_nonce: holder.next_nonce() })
    }
}

impl Service {
    /// Who shows a token must have signed in as its resource demands, where that is configured. User info is a resource too, the issuer.
    pub(super) fn meets_policy(&self, resource: &ResourceId, sign_in: &SignIn) -> Result<()> {
        let registry = self.registry();
        let Some(resource) = registry.resources().find(resource) else { return Ok(()) };
        resource.policy.check(&resource.id, sign_in, self.clock.now())
    }
}

impl Active {
    /// How its user signed in.
    fn sign_in(&self) -> SignIn {
        let auth_time = self.auth_time.map(Timestamp::from_secs);
        SignIn { auth_time, acr: self.acr.clone(), amr: self.amr.clone(), method: GrantType::AuthorizationCode }
    }
}

fn id_claims(known: Known) -> Map<String, Value> {
    match known {
        Known::Grant(grant) => grant.id_claims,
        Known::OnlyEnded(_) => Map::new(),
    }
}

//! User info: what is known of the user for whom an access token speaks (OIDC Core section 5.3).
//!
//! What is known is what Issue was given for ID tokens, as far as a record of the grant is kept; the token's scopes say which of it.

use crate::records::grants::Known;
use crate::service::Service;
use crate::service::examine::Examined;
use crate::service::explain::TokenKind;
use jeton_domain::access::Asker;
use jeton_domain::error::{Error, Result};
use jeton_domain::scope::{self, OPENID};
use jeton_domain::secret::SecretText;
use serde_json::{Map, Value};

impl Service {
    /// The claims of the user, `sub` always among them. A token that is bound to a key or certificate is not accepted without proof
    /// (RFC 9449 section 7.2).
    ///
    /// # Errors
    /// `AccessTokenRefused`, `InsufficientScope`, the store.
    pub async fn user_info(&self, token: SecretText) -> Result<Map<String, Value>> {
        let (_caught, looked) = tokio::try_join!(self.alive.caught_up(), self.look_up(token.expose()))?;
        let Examined { kind, generation, grant, verdict, .. } = self.judge(looked, Asker::Anyone).await?;
        let (TokenKind::JwtAccess | TokenKind::OpaqueAccess, Ok(says)) = (kind, verdict) else {
            return Err(Error::AccessTokenRefused);
        };
        if says.binding.is_some() {
            return Err(Error::AccessTokenRefused);
        }
        if !says.scope.split(' ').any(|scope| scope == OPENID) {
            return Err(Error::InsufficientScope(OPENID));
        }
        if let Some(sign) = self.sign(generation, &says) {
            self.arrived(&sign);
        }
        let known = match (grant, says.grant) {
            (Some(grant), _) => grant.id_claims,
            (None, Some(id)) => self.records.grants(&[id]).await?.pop().flatten().map(id_claims).unwrap_or_default(),
            (None, None) => Map::new(),
        };
        let asked: Vec<&str> = says.scope.split(' ').flat_map(scope::claims).copied().collect();
        let mut info: Map<String, Value> = known.into_iter().filter(|(name, _)| asked.contains(&name.as_str())).collect();
        info.insert("sub".into(), says.sub.into());
        Ok(info)
    }
}

fn id_claims(known: Known) -> Map<String, Value> {
    match known {
        Known::Grant(grant) => grant.id_claims,
        Known::OnlyEnded(_) => Map::new(),
    }
}

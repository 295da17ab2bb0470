//! What the claims of a genuine JWT access token say. Their types were checked when it was read (`jws`); here they get their meaning.

use super::{ancestry, read_confirmation};
use crate::access::{Ancestor, Belongs};
use crate::grant::Binding;
use crate::id::GrantId;
use crate::name::{ClientId, SessionId, Subject};
use crate::revision::Born;
use crate::time::Timestamp;
use serde_json::{Map, Value};

/// What an access token says.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Who issued it.
    pub iss: String,
    /// For whom it speaks.
    pub sub: String,
    /// The user it speaks for; none where it speaks for its client.
    pub user: Option<Subject>,
    /// The resources it is for.
    pub aud: Vec<String>,
    /// When it expires.
    pub exp: Timestamp,
    /// When it was issued.
    pub iat: Timestamp,
    /// Not valid before, where it says so.
    pub nbf: Option<Timestamp>,
    /// Its id.
    pub jti: String,
    /// The client.
    pub client: ClientId,
    /// The scopes, separated by spaces.
    pub scope: String,
    /// The session.
    pub session: Option<SessionId>,
    /// The grant; none for client credentials.
    pub grant: Option<GrantId>,
    /// Its place in the order of revocations.
    pub born: Born,
    /// When the user signed in.
    pub auth_time: Option<Timestamp>,
    /// The authentication context class.
    pub acr: Option<String>,
    /// The authentication methods.
    pub amr: Vec<String>,
    /// The sender constraint.
    pub binding: Option<Binding>,
    /// Authorization details.
    pub authorization_details: Vec<Value>,
    /// The acting party.
    pub act: Option<Map<String, Value>>,
    /// The tokens that it was exchanged for.
    pub ancestors: Vec<Ancestor>,
    /// Further claims.
    pub extra: Map<String, Value>,
}

impl Said {
    /// Reads the claims. None where one that every access token of ours has is missing or garbled.
    #[must_use]
    pub fn read(mut claims: Map<String, Value>) -> Option<Self> {
        let mut text = |name: &str| match claims.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let (iss, sub, jti) = (text("iss")?, text("sub")?, text("jti")?);
        let client = ClientId::parse("client_id", &text("client_id")?).ok()?;
        let (scope, acr) = (text("scope").unwrap_or_default(), text("acr"));
        let session = match text("sid") {
            Some(sid) => Some(SessionId::parse("sid", &sid).ok()?),
            None => None,
        };
        let grant = match text("grant_id") {
            Some(id) => Some(GrantId::parse(&id)?),
            None => None,
        };
        // Without a grant it is a client's own: no user's targets.
        let user = if grant.is_some() { Some(Subject::parse("sub", &sub).ok()?) } else { None };
        let mut number = |name: &str| claims.remove(name).and_then(|number| number.as_u64());
        let born = Born(number("born")?);
        let mut moment = |name: &str| number(name).map(Timestamp::from_secs);
        let (exp, iat, nbf, auth_time) = (moment("exp")?, moment("iat")?, moment("nbf"), moment("auth_time"));
        let mut strings = |name: &str| match claims.remove(name) {
            Some(Value::String(one)) => Some(vec![one]),
            Some(Value::Array(many)) => many.into_iter().map(|one| one.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        let (aud, amr) = (strings("aud")?, strings("amr").unwrap_or_default());
        let binding = match claims.remove("cnf") {
            Some(cnf) => Some(read_confirmation(&cnf)?),
            None => None,
        };
        let authorization_details = match claims.remove("authorization_details") {
            Some(Value::Array(details)) => details,
            _ => Vec::new(),
        };
        let act = match claims.remove("act") {
            Some(Value::Object(act)) => Some(act),
            _ => None,
        };
        let ancestors = match claims.remove("ancestors") {
            Some(ancestors) => ancestry::read(&ancestors)?,
            None => Vec::new(),
        };
        Some(Self {
            iss,
            sub,
            user,
            aud,
            exp,
            iat,
            nbf,
            jti,
            client,
            scope,
            session,
            grant,
            born,
            auth_time,
            acr,
            amr,
            binding,
            authorization_details,
            act,
            ancestors,
            extra: claims,
        })
    }

    /// What it belongs to, with the key that signed it.
    #[must_use]
    pub fn belongs<'a>(&'a self, kid: &'a str) -> Belongs<'a> {
        Belongs {
            jti: Some(&self.jti),
            grant: self.grant,
            session: self.session.as_ref(),
            subject: self.user.as_ref(),
            client: Some(&self.client),
            kid: Some(kid),
            root_key: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims() -> Map<String, Value> {
        let claims = json!({
            "iss": "https://jeton.internal", "sub": "alice", "aud": "https://orders.internal", "exp": 20, "iat": 10, "jti": "one",
            "client_id": "web", "scope": "orders:read", "sid": "s", "grant_id": GrantId([1; 16]).to_string(), "born": 7,
            "amr": ["pwd"], "act": {"sub": "support"}, "tenant": "t",
        });
        claims.as_object().unwrap().clone()
    }

    #[test]
    fn what_is_said_is_read_and_the_rest_is_further_claims() {
        let said = Said::read(claims()).unwrap();
        assert_eq!(
            (said.exp, said.born, said.aud),
            (Timestamp::from_secs(20), Born(7), vec!["https://orders.internal".to_owned()])
        );
        assert_eq!(said.user.map(|user| user.to_string()), Some("alice".to_owned()));
        assert_eq!(said.extra, Map::from_iter([("tenant".to_owned(), Value::from("t"))]));
    }

    #[test]
    fn a_clients_own_token_has_no_user() {
        let mut claims = claims();
        claims.remove("grant_id");
        let said = Said::read(claims).unwrap();
        assert_eq!((said.user.as_ref(), said.belongs("k").subject), (None, None));
    }

    #[test]
    fn what_is_missing_or_garbled_is_not_guessed() {
        for name in ["iss", "sub", "aud", "exp", "iat", "jti", "client_id", "born"] {
            let mut claims = claims();
            claims.remove(name);
            assert_eq!(Said::read(claims), None, "{name}");
        }
        for (name, garbled) in
            [("grant_id", json!("AA")), ("cnf", json!({})), ("sid", json!("")), ("aud", json!([1])), ("ancestors", json!([{}]))]
        {
            let mut claims = claims();
            claims.insert(name.into(), garbled);
            assert_eq!(Said::read(claims), None, "{name}");
        }
    }
}

//! Claims: what the tokens say (RFC 9068 section 2.2, OIDC Core section 2), and which names callers may not use.

mod ancestry;
mod said;

pub use said::Said;

use crate::access::Ancestor;
use crate::error::{Error, Result};
use crate::exchange;
use crate::grant::Binding;
use crate::id::GrantId;
use crate::revision::Born;
use crate::scope::Scopes;
use crate::time::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// Claims that jeton sets or that would change what a token means: no caller may add one of these.
pub const RESERVED: [&str; 30] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "scope",
    "sid",
    "grant_id",
    "born",
    "auth_time",
    "acr",
    "amr",
    "azp",
    "nonce",
    "at_hash",
    "c_hash",
    "s_hash",
    "cnf",
    "act",
    "may_act",
    "ancestors",
    "authorization_details",
    "active",
    "token_type",
    "events",
    "token_introspection",
    "typ",
];

/// The most bytes that further claims may have as JSON.
pub const EXTRA_MAX_BYTES: usize = 8 * 1024;

/// Checks further claims of a caller.
///
/// # Errors
/// `Error::Invalid` naming `field`: a reserved name, a name too long or with control characters, or too many bytes.
pub fn check_extra(field: &str, claims: &Map<String, Value>) -> Result<()> {
    check_but_for(field, claims, &[])
}

/// The same of an access token, which may say who may act for its subject: [`exchange::MAY_ACT`], in the form that is enforced.
///
/// # Errors
/// As `check_extra`.
pub fn check_access_extra(field: &str, claims: &Map<String, Value>) -> Result<()> {
    if claims.get(exchange::MAY_ACT).is_some_and(|may_act| exchange::who_may_act(may_act).is_none()) {
        return Err(Error::invalid(field, "has a `may_act` that is not an object with `sub` alone (RFC 8693 section 4.4)"));
    }
    check_but_for(field, claims, &[exchange::MAY_ACT])
}

fn check_but_for(field: &str, claims: &Map<String, Value>, allowed: &[&str]) -> Result<()> {
    for name in claims.keys().filter(|name| !allowed.contains(&name.as_str())) {
        if RESERVED.contains(&name.as_str()) {
            return Err(Error::invalid(field, format!("has `{name}`, which jeton sets itself")));
        }
        if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
            return Err(Error::invalid(
                field,
                "has a claim name that is empty, longer than 128 bytes, or has control characters",
            ));
        }
    }
    // Most requests have none, and writing JSON only to measure it is not free.
    if claims.is_empty() {
        return Ok(());
    }
    let bytes = serde_json::to_vec(claims).map_or(usize::MAX, |json| json.len());
    if bytes > EXTRA_MAX_BYTES {
        return Err(Error::invalid(field, "is longer than 8 KiB as JSON"));
    }
    Ok(())
}

/// An access token's claims, the same for every format. Borrowed: made for one signature and dropped.
#[derive(Debug, Serialize)]
pub struct AccessClaims<'a> {
    /// Who issued it.
    pub iss: &'a str,
    /// For whom it speaks.
    pub sub: &'a str,
    /// The resources it is for; a single one is written as a string.
    #[serde(serialize_with = "audience")]
    pub aud: &'a [&'a str],
    /// Seconds since the epoch.
    pub exp: u64,
    /// Seconds since the epoch.
    pub iat: u64,
    /// Its id, with its generation under a MAC.
    pub jti: &'a str,
    /// The client.
    pub client_id: &'a str,
    /// The scopes.
    #[serde(skip_serializing_if = "Scopes::is_empty", serialize_with = "scope")]
    pub scope: &'a Scopes,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<&'a str>,
    /// The grant; absent for client credentials.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "grant_id")]
    pub grant_id: Option<GrantId>,
    /// The log's head at issue, in its microseconds.
    #[serde(serialize_with = "born")]
    pub born: Born,
    /// When the user signed in.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "numeric_date")]
    pub auth_time: Option<Timestamp>,
    /// The authentication context class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<&'a str>,
    /// The authentication methods.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub amr: &'a [String],
    /// The sender constraint.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "confirmation")]
    pub cnf: Option<Binding>,
    /// Authorization details.
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    pub authorization_details: &'a [Value],
    /// The acting party (RFC 8693 section 4.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<&'a Map<String, Value>>,
    /// The tokens that it was exchanged for.
    #[serde(skip_serializing_if = "<[Ancestor]>::is_empty", serialize_with = "ancestry::write")]
    pub ancestors: &'a [Ancestor],
    /// Further claims.
    #[serde(flatten)]
    pub extra: &'a Map<String, Value>,
}

/// An ID token's claims (OIDC Core sections 2 and 3.1.3.6; at refresh 12.2: no `nonce`, no `azp`).
#[derive(Debug, Serialize)]
pub struct IdClaims<'a> {
    /// Who issued it.
    pub iss: &'a str,
    /// Who signed in.
    pub sub: &'a str,
    /// The client.
    pub aud: &'a str,
    /// Seconds since the epoch.
    pub exp: u64,
    /// Seconds since the epoch.
    pub iat: u64,
    /// When the user signed in; the same at every refresh.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "numeric_date")]
    pub auth_time: Option<Timestamp>,
    /// Of the authentication request; at Issue only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<&'a str>,
    /// The authentication context class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<&'a str>,
    /// The authentication methods.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub amr: &'a [String],
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<&'a str>,
    /// The hash of the access token it came with.
    pub at_hash: &'a str,
    /// Further claims.
    #[serde(flatten)]
    pub extra: &'a Map<String, Value>,
}

fn audience<S: Serializer>(aud: &[&str], out: S) -> Result<S::Ok, S::Error> {
    match aud {
        [one] => out.serialize_str(one),
        many => many.serialize(out),
    }
}

fn scope<S: Serializer>(scopes: &Scopes, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(scopes)
}

fn grant_id<S: Serializer>(id: &Option<GrantId>, out: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => out.collect_str(id),
        None => out.serialize_none(),
    }
}

fn born<S: Serializer>(born: &Born, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_u64(born.0)
}

fn numeric_date<S: Serializer>(at: &Option<Timestamp>, out: S) -> Result<S::Ok, S::Error> {
    at.map(Timestamp::secs).serialize(out)
}

fn confirmation<S: Serializer>(binding: &Option<Binding>, out: S) -> Result<S::Ok, S::Error> {
    binding.map(confirmation_json).serialize(out)
}

/// The `cnf` member of a binding (RFC 9449 section 6.1, RFC 8705 section 3.1).
#[must_use]
pub fn confirmation_json(binding: Binding) -> Map<String, Value> {
    let (member, thumbprint) = match binding {
        Binding::Jkt(thumbprint) => ("jkt", thumbprint),
        Binding::X5t(thumbprint) => ("x5t#S256", thumbprint),
    };
    Map::from_iter([(member.to_owned(), Value::String(URL_SAFE_NO_PAD.encode(thumbprint)))])
}

/// Reads a `cnf` claim that `confirmation_json` wrote.
#[must_use]
pub fn read_confirmation(cnf: &Value) -> Option<Binding> {
    let thumbprint =
        |member: &str| -> Option<[u8; 32]> { URL_SAFE_NO_PAD.decode(cnf.get(member)?.as_str()?).ok()?.try_into().ok() };
    thumbprint("jkt").map(Binding::Jkt).or_else(|| thumbprint("x5t#S256").map(Binding::X5t))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_claim_that_jeton_sets_can_be_overridden() {
        for name in RESERVED {
            let claims = Map::from_iter([(name.to_owned(), Value::Bool(true))]);
            assert!(matches!(check_extra("access_token_claims", &claims), Err(Error::Invalid { .. })), "{name}");
        }
        assert_eq!(check_extra("f", &Map::from_iter([("tenant".to_owned(), Value::from("a"))])), Ok(()));
    }

    #[test]
    fn an_access_token_may_say_who_may_act_in_one_form_only() {
        let says = |may_act: Value| check_access_extra("f", &Map::from_iter([("may_act".to_owned(), may_act)]));
        assert_eq!(says(json!({"sub": "orders"})), Ok(()));
        for wrong in [json!("orders"), json!({}), json!({"sub": ""}), json!({"sub": 1}), json!({"sub": "orders", "iss": "i"})] {
            assert!(says(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(check_access_extra("f", &Map::from_iter([("act".to_owned(), json!({"sub": "orders"}))])).is_err());
    }

    #[test]
    fn every_claim_that_is_written_is_reserved() {
        let extra = Map::new();
        let scopes = Scopes::parse("scope", "a").unwrap();
        let details = [Value::from("x")];
        let amr = ["pwd".to_owned()];
        let access = AccessClaims {
            iss: "i",
            sub: "s",
            aud: &["a"],
            exp: 1,
            iat: 1,
            jti: "j",
            client_id: "c",
            scope: &scopes,
            sid: Some("s"),
            grant_id: Some(GrantId([0; 16])),
            born: Born(1),
            auth_time: Some(Timestamp::from_secs(1)),
            acr: Some("a"),
            amr: &amr,
            cnf: Some(Binding::Jkt([0; 32])),
            authorization_details: &details,
            act: Some(&extra),
            ancestors: &[Ancestor { born: Born(1), grant: None, targets: Vec::new() }],
            extra: &extra,
        };
        let id = IdClaims {
            iss: "i",
            sub: "s",
            aud: "c",
            exp: 1,
            iat: 1,
            auth_time: Some(Timestamp::from_secs(1)),
            nonce: Some("n"),
            acr: Some("a"),
            amr: &amr,
            sid: Some("s"),
            at_hash: "h",
            extra: &extra,
        };
        for json in [serde_json::to_value(access).unwrap(), serde_json::to_value(id).unwrap()] {
            for name in json.as_object().unwrap().keys() {
                assert!(RESERVED.contains(&name.as_str()), "{name} is written but not reserved");
            }
        }
    }

    #[test]
    fn a_confirmation_reads_back() {
        for binding in [Binding::Jkt([3; 32]), Binding::X5t([4; 32])] {
            assert_eq!(read_confirmation(&Value::Object(confirmation_json(binding))), Some(binding));
        }
    }
}

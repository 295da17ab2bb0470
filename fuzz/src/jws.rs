//! JWTs: ours (`domain::jws`), DPoP proofs (`domain::dpop`), assertions of clients and issuers, tokens of service accounts (`domain::assertion`). Every signature is believed, so that what comes behind is reached.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::assertion::{self, Assertion, LEEWAY, Purpose};
use jeton_domain::claims::Said;
use jeton_domain::client::Algorithm;
use jeton_domain::dpop::{self, Expected};
use jeton_domain::jwk::Signs;
use jeton_domain::jws::{Key, Keys, NotGenuine, Verified, verify};
use jeton_domain::time::{Millis, Timestamp};
use jeton_domain::token::MAX_BYTES;
use serde_json::{Map, Value};
use std::sync::Arc;

const ISSUER: &str = "https://jeton.internal";
const URI: &str = "https://jeton.internal/oauth2/token";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const WINDOW: Millis = Millis::from_secs(60);

/// The key `k`, which believes everything.
struct Believing;

impl Key for Believing {
    fn kid(&self) -> &'static str {
        "k"
    }

    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDsa
    }

    fn verifies(&self, _message: &[u8], _signature: &[u8]) -> bool {
        true
    }
}

impl Keys for Believing {
    type Key = Self;

    fn by_kid(&self, kid: &str) -> Result<Arc<Self>, NotGenuine> {
        if kid == "k" { Ok(Arc::new(Self)) } else { Err(NotGenuine::UnknownKey) }
    }
}

/// The text, or where the data are two lines that begin like JSON, header and claims as they are, encoded.
fn text(data: &[u8]) -> Option<String> {
    let lines = data.iter().position(|byte| *byte == b'\n').filter(|_| data.first() == Some(&b'{'));
    match lines.and_then(|at| data.split_at_checked(at)) {
        Some((header, claims)) => {
            let claims = claims.get(1..).unwrap_or_default();
            Some(format!("{}.{}.AAAA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims)))
        }
        None => std::str::from_utf8(data).ok().map(str::to_owned),
    }
}

/// The header and claims of what was accepted: three parts, each of which is the one text of its bytes, and JSON.
fn accepted(text: &str) -> Option<[Map<String, Value>; 2]> {
    let parts: Vec<&str> = text.split('.').collect();
    assert_eq!(parts.len(), 3);
    let mut objects = Vec::new();
    for part in &parts {
        let bytes = URL_SAFE_NO_PAD.decode(part);
        assert!(bytes.as_ref().is_ok_and(|bytes| URL_SAFE_NO_PAD.encode(bytes) == **part), "one text for each sequence of bytes");
        objects.push(serde_json::from_slice(&bytes.unwrap_or_default()).unwrap_or_default());
    }
    let [header, claims, _signature] = objects.try_into().ok()?;
    Some([header, claims])
}

/// What is accepted is of our issuer and key, and has every claim that it must have, of its type.
pub fn read_jwt(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (claims, further): (_, &[&str]) = match verify(&text, ISSUER, &Believing) {
        Verified::No(_) => return,
        Verified::Access { claims, .. } => (claims, &["client_id", "jti"]),
        Verified::Id { claims, .. } => (claims, &[]),
    };
    assert!(text.len() <= MAX_BYTES);
    let [header, payload] = accepted(&text).unwrap_or_default();
    assert_eq!(payload, claims);
    assert_eq!((header.get("alg"), header.get("kid")), (Some(&"EdDSA".into()), Some(&"k".into())));
    assert!(!header.contains_key("crit"));
    assert_eq!(claims.get("iss"), Some(&ISSUER.into()));
    for name in ["sub"].iter().chain(further) {
        assert!(claims.get(*name).is_some_and(Value::is_string), "{name}");
    }
    for name in ["exp", "iat"] {
        assert!(claims.get(name).and_then(Value::as_u64).is_some_and(|moment| moment < 1 << 53), "{name}");
    }
    for name in ["nbf", "auth_time", "born"] {
        assert!(claims.get(name).is_none_or(Value::is_u64), "{name}");
    }
    if let Some(said) = Said::read(claims) {
        assert!(!said.aud.is_empty());
        assert_eq!(said.iss, ISSUER);
    }
}

/// What is accepted is of this request and moment, of a public key that is in it, and has an id.
pub fn read_proof(data: &[u8]) {
    let Some(text) = text(data) else { return };
    for access_token in [None, Some("jat_token")] {
        let expected = Expected { method: "POST", uri: URI, access_token, now: NOW, window: WINDOW };
        let Ok(proven) = dpop::check(&text, &expected, |_key, _message, _signature| true) else { continue };
        let [header, claims] = accepted(&text).unwrap_or_default();
        assert_eq!(header.get("typ"), Some(&"dpop+jwt".into()));
        assert!(header.get("alg").and_then(Value::as_str).is_some_and(|alg| dpop::ALGORITHMS.contains(&alg)));
        let jwk = header.get("jwk").and_then(Value::as_object).cloned().unwrap_or_default();
        assert!(jwk.contains_key("x") && ["d", "k", "p", "q"].iter().all(|private| !jwk.contains_key(*private)));
        assert_eq!(claims.get("htm"), Some(&"POST".into()));
        assert!((1..=256).contains(&proven.jti.len()) && claims.get("jti") == Some(&proven.jti.as_str().into()));
        let issued_at = claims.get("iat").and_then(Value::as_u64).map(Timestamp::from_secs).unwrap_or_default();
        assert!(NOW.since(issued_at) <= WINDOW && issued_at.since(NOW) <= WINDOW);
        assert!(proven.until > NOW, "it counts for as long as it is within the window");
        assert!(access_token.is_none() || claims.contains_key("ath"), "it is for the token");
    }
}

/// What is read has each claim that it must have, and one text; what is accepted is for us alone, now, and not for long.
pub fn read_assertion(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let purposes =
        [(Purpose::Client, "client-authentication+jwt"), (Purpose::Grant, "authorization-grant+jwt"), (Purpose::Caller, "jwt")];
    for (purpose, own) in purposes {
        let Ok(read) = Assertion::read(&text, purpose) else { continue };
        assert!(text.len() <= assertion::MAX_BYTES);
        let [header, claims] = accepted(&text).unwrap_or_default();
        assert!(!header.contains_key("crit"));
        let typ = header.get("typ").map(|typ| typ.as_str().unwrap_or_default().to_ascii_lowercase());
        let is_known = |typ: &str| [own, "jwt"].contains(&typ.strip_prefix("application/").unwrap_or(typ));
        assert!(typ.as_deref().is_none_or(is_known), "{typ:?}");
        assert_eq!(header.get("alg").and_then(Value::as_str).and_then(Signs::parse), Some(read.signs));
        assert_eq!(header.get("kid").and_then(Value::as_str), read.kid.as_deref());
        // The token of a service account need not have one: it may be shown again.
        let jti = Some(&read.jti).filter(|jti| purpose != Purpose::Caller || !jti.is_empty() || claims.contains_key("jti"));
        let said = [("iss", Some(&read.issuer)), ("sub", Some(&read.subject)), ("jti", jti)];
        for (name, said) in said.into_iter().filter_map(|(name, said)| Some((name, said?))) {
            assert!((1..=256).contains(&said.len()) && !said.contains('\0') && claims.get(name) == Some(&said.as_str().into()));
        }
        assert_eq!(text.rsplit_once('.').map(|(message, _)| message.as_bytes()), Some(read.message));
        let lifetime = Millis::from_secs(300);
        let Ok(until) = read.judge(&assertion::Expected { audience: ISSUER, now: NOW, lifetime }) else { continue };
        assert!([ISSUER.into(), vec![ISSUER].into()].map(Some).contains(&claims.get("aud").cloned()), "for us alone");
        let moment = |name: &str| claims.get(name).and_then(Value::as_u64).map(Timestamp::from_secs);
        assert!(moment("exp") == Some(until) && until > NOW && until <= NOW.plus(lifetime).plus(LEEWAY));
        for early in ["iat", "nbf"] {
            assert!(moment(early).is_none_or(|moment| moment <= NOW.plus(LEEWAY)), "{early}");
        }
        assert!(moment("iat").is_none_or(|from| until.since(from) <= lifetime));
    }
}

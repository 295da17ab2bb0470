//! Reading a JWT of ours as strictly as RFC 8725 asks: one algorithm a key, keys only by a look-up in memory, everything explicit.
//!
//! Lives here: the compact form, the header, the order of the checks, and that claims have the right type and issuer. Must not live
//! here: signatures (the caller's keys prove them), whether the token expired, is for this resource, or was revoked.

use crate::client::Algorithm;
use crate::json;
use crate::token::MAX_BYTES;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The longest header that is read, encoded.
const MAX_HEADER_BYTES: usize = 1024;
/// The longest `kid` that is looked up.
const MAX_KID_BYTES: usize = 64;
/// The largest integer that every JSON reader keeps exact (RFC 7493 section 2.2).
const MAX_INTEGER: u64 = (1 << 53) - 1;

const REQUIRED: [&str; 5] = ["iss", "sub", "aud", "exp", "iat"];
const REQUIRED_OF_ACCESS: [&str; 2] = ["client_id", "jti"];
const INTEGERS: [&str; 5] = ["exp", "iat", "nbf", "auth_time", "born"];
const STRINGS: [&str; 11] = ["iss", "sub", "jti", "client_id", "sid", "scope", "grant_id", "acr", "azp", "nonce", "at_hash"];

/// What a JWT of ours is: the `typ` of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Typ {
    /// An access token (RFC 9068 section 2.1).
    AtJwt,
    /// An ID token.
    Jwt,
    /// An answer of introspection (RFC 9701 section 5): for its reader, and never a token here.
    TokenIntrospection,
    /// A logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4): for its client, and never a token here.
    Logout,
}

/// What a JWT turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Verified {
    /// An access token that we signed. Whether it expired or was revoked is not judged.
    Access {
        /// The key it was signed with.
        kid: String,
        /// That key's algorithm.
        algorithm: Algorithm,
        /// What it says. `iss sub aud exp iat client_id jti` are there; those and every other registered claim are of the right type.
        claims: Map<String, Value>,
    },
    /// An ID token that we signed.
    Id {
        /// The key it was signed with.
        kid: String,
        /// What it says. `iss sub aud exp iat` are there.
        claims: Map<String, Value>,
    },
    /// Nothing that we signed and could have meant.
    No(NotGenuine),
}

/// Why a JWT is not genuine. For `Explain`, audit and metrics; outward it is only inactive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotGenuine {
    /// Not three parts of canonical base64url, no JSON object, a member twice, too long.
    #[error("malformed")]
    Malformed,
    /// A `crit` member: we sign none, so each is unknown (RFC 7515 section 4.1.11).
    #[error("critical extension unknown")]
    UnknownCrit,
    /// Neither `at+jwt` nor `JWT` (RFC 8725 section 3.11): an answer of introspection too.
    #[error("of another type")]
    WrongTyp,
    /// No `kid`, or none that is published.
    #[error("signed with an unknown key")]
    UnknownKey,
    /// The key was burnt.
    #[error("signed with a burnt key")]
    BurntKey,
    /// Not the algorithm of that key (RFC 8725 section 3.1).
    #[error("not the algorithm of its key")]
    WrongAlgorithm,
    /// The signature is not that key's.
    #[error("signature wrong")]
    WrongSignature,
    /// Another `iss` (RFC 8725 section 3.8).
    #[error("of another issuer")]
    ForeignIssuer,
    /// A registered claim is missing, of another type, or out of range.
    #[error("a claim is missing or of the wrong type")]
    WrongClaim,
}

/// A public key, parsed.
pub trait Key {
    /// Its id.
    fn kid(&self) -> &str;
    /// The one algorithm it is used with (RFC 8725 section 3.1).
    fn algorithm(&self) -> Algorithm;
    /// Whether `signature` is one of `message`.
    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool;
}

/// The keys that are published at this moment, in memory.
pub trait Keys {
    /// What they are.
    type Key: Key;

    /// The key of that id.
    ///
    /// # Errors
    /// `UnknownKey`; `BurntKey` where that is known.
    fn by_kid(&self, kid: &str) -> Result<Arc<Self::Key>, NotGenuine>;

    /// The key, and what its JWT is, by the encoded header exactly as we write it: spares reading it.
    fn by_header(&self, _header: &str) -> Option<(Arc<Self::Key>, Typ)> {
        None
    }
}

impl Typ {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::AtJwt, Self::Jwt, Self::TokenIntrospection, Self::Logout];

    /// The `typ` as written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::AtJwt => "at+jwt",
            Self::Jwt => "JWT",
            Self::TokenIntrospection => "token-introspection+jwt",
            Self::Logout => "logout+jwt",
        }
    }

    /// Reads a `typ`: a media type, compared case-insensitively, its `application/` left out or not (RFC 7515 section 4.1.9).
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        const TREE: &str = "application/";
        let subtype = match word.split_at_checked(TREE.len()) {
            Some((tree, subtype)) if tree.eq_ignore_ascii_case(TREE) => subtype,
            _ => word,
        };
        Self::ALL.into_iter().find(|typ| typ.word().eq_ignore_ascii_case(subtype))
    }
}

/// Checks a compact JWS: form, key, algorithm, type, signature, issuer, types of claims. `exp` is not judged.
pub fn verify(jws: &str, issuer: &str, keys: &impl Keys) -> Verified {
    check(jws, issuer, keys).unwrap_or_else(Verified::No)
}

fn check(jws: &str, issuer: &str, keys: &impl Keys) -> Result<Verified, NotGenuine> {
    if jws.len() > MAX_BYTES {
        return Err(NotGenuine::Malformed);
    }
    let (signed, signature) = jws.rsplit_once('.').ok_or(NotGenuine::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(NotGenuine::Malformed)?;
    if payload.contains('.') {
        return Err(NotGenuine::Malformed);
    }
    let (key, typ) = match keys.by_header(header) {
        Some(found) => found,
        None => read_header(header, keys)?,
    };
    let signature = decode(signature)?;
    if !key.verifies(signed.as_bytes(), &signature) {
        return Err(NotGenuine::WrongSignature);
    }
    let claims = object(&decode(payload)?)?;
    let kid = key.kid().to_owned();
    match typ {
        Typ::AtJwt => {
            check_claims(&REQUIRED_OF_ACCESS, issuer, &claims)?;
            Ok(Verified::Access { kid, algorithm: key.algorithm(), claims })
        }
        Typ::Jwt => {
            check_claims(&[], issuer, &claims)?;
            Ok(Verified::Id { kid, claims })
        }
        // RFC 9701 section 8.1, Back-Channel Logout section 2.6: made for others.
        Typ::TokenIntrospection | Typ::Logout => Err(NotGenuine::WrongTyp),
    }
}

/// Reads a header that is not one of those we write; some verify all the same. `jwk`, `jku`, `x5u`, `x5c` are never looked at.
fn read_header<K: Keys>(header: &str, keys: &K) -> Result<(Arc<K::Key>, Typ), NotGenuine> {
    if header.len() > MAX_HEADER_BYTES {
        return Err(NotGenuine::Malformed);
    }
    let header = object(&decode(header)?)?;
    let text = |member: &str| header.get(member).and_then(Value::as_str);
    if header.contains_key("crit") {
        return Err(NotGenuine::UnknownCrit);
    }
    let typ = text("typ").and_then(Typ::parse).ok_or(NotGenuine::WrongTyp)?;
    let kid = text("kid").filter(|kid| kid.len() <= MAX_KID_BYTES).ok_or(NotGenuine::UnknownKey)?;
    let key = keys.by_kid(kid)?;
    if text("alg") != Some(key.algorithm().word()) {
        return Err(NotGenuine::WrongAlgorithm);
    }
    Ok((key, typ))
}

fn check_claims(further: &[&str], issuer: &str, claims: &Map<String, Value>) -> Result<(), NotGenuine> {
    if claims.get("iss").and_then(Value::as_str) != Some(issuer) {
        return Err(NotGenuine::ForeignIssuer);
    }
    let there = REQUIRED.iter().chain(further).all(|claim| claims.contains_key(*claim));
    let typed = |names: &[&str], right: fn(&Value) -> bool| names.iter().all(|name| claims.get(*name).is_none_or(right));
    let right = there
        && typed(&INTEGERS, |value| value.as_u64().is_some_and(|integer| integer <= MAX_INTEGER))
        && typed(&STRINGS, Value::is_string)
        && typed(&["aud"], |value| value.is_string() || is_list_of_strings(value, 1))
        && typed(&["amr"], |value| is_list_of_strings(value, 0))
        && typed(&["cnf", "act"], Value::is_object)
        && typed(&["authorization_details", "ancestors"], Value::is_array);
    if right { Ok(()) } else { Err(NotGenuine::WrongClaim) }
}

fn is_list_of_strings(value: &Value, at_least: usize) -> bool {
    value.as_array().is_some_and(|list| list.len() >= at_least && list.iter().all(Value::is_string))
}

/// Canonical base64url without padding (RFC 7515 section 2): one text for each sequence of bytes.
fn decode(part: &str) -> Result<Vec<u8>, NotGenuine> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_not_base64url| NotGenuine::Malformed)
}

fn object(json: &[u8]) -> Result<Map<String, Value>, NotGenuine> {
    json::object(json).ok_or(NotGenuine::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typ_is_a_media_type() {
        for (word, typ) in [("at+jwt", Typ::AtJwt), ("application/AT+JWT", Typ::AtJwt), ("APPLICATION/jwt", Typ::Jwt)] {
            assert_eq!(Typ::parse(word), Some(typ), "{word}");
        }
        for word in ["", "application/", "text/jwt", "application/application/jwt", "at+jwt ", "secevent+jwt", "äpplication/jwt"]
        {
            assert_eq!(Typ::parse(word), None, "{word}");
        }
    }
}

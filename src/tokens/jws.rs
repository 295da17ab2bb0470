//! Reading a JWT of ours as strictly as RFC 8725 asks: one algorithm a key, keys only by a look-up in memory, everything explicit.
//!
//! Lives here: the compact form, the header, the signature, and that claims have the right type and issuer. Must not live
//! here: whether the token expired, is for this resource, or was revoked.

use super::Tokens;
use crate::signing::{KeyState, Typ, VerifyingKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::client::Algorithm;
use jeton_domain::error::{Error, Result};
use jeton_domain::time::Timestamp;
use jeton_domain::token::MAX_BYTES;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;
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
    /// Neither `at+jwt` nor `JWT` (RFC 8725 section 3.11).
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

impl Tokens {
    /// Checks a compact JWS: form, key, algorithm, type, signature, issuer, types of claims. `exp` is not judged.
    ///
    /// # Errors
    /// `Error::Internal` where no signing keys are loaded: then nothing can be told of a key.
    pub fn verify(&self, jws: &str, now: Timestamp) -> Result<Verified> {
        match self.check(jws, now) {
            Ok(verified) => Ok(verified),
            Err(NotGenuine::UnknownKey) if !self.signing.is_installed() => {
                Err(Error::Internal("no signing keys are loaded".into()))
            }
            Err(why) => Ok(Verified::No(why)),
        }
    }

    fn check(&self, jws: &str, now: Timestamp) -> Result<Verified, NotGenuine> {
        if jws.len() > MAX_BYTES {
            return Err(NotGenuine::Malformed);
        }
        let (signed, signature) = jws.rsplit_once('.').ok_or(NotGenuine::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(NotGenuine::Malformed)?;
        if payload.contains('.') {
            return Err(NotGenuine::Malformed);
        }
        let (key, typ) = match self.signing.verifier_by_header(header, now) {
            Some(found) => found,
            None => self.key_of(header, now)?,
        };
        let signature = decode(signature)?;
        if !key.verifies(signed.as_bytes(), &signature) {
            return Err(NotGenuine::WrongSignature);
        }
        let claims = object(&decode(payload)?)?;
        self.check_claims(typ, &claims)?;
        let kid = key.kid().to_owned();
        Ok(match typ {
            Typ::AtJwt => Verified::Access { kid, algorithm: key.algorithm(), claims },
            Typ::Jwt => Verified::Id { kid, claims },
        })
    }

    /// Reads a header that is not one of those we write; some verify all the same. `jwk`, `jku`, `x5u`, `x5c` are never looked at.
    fn key_of(&self, header: &str, now: Timestamp) -> Result<(Arc<VerifyingKey>, Typ), NotGenuine> {
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
        let Some(key) = self.signing.verifier(kid, now) else {
            return Err(match self.signing.state(kid, now) {
                Some(KeyState::Burnt) => NotGenuine::BurntKey,
                _ => NotGenuine::UnknownKey,
            });
        };
        if text("alg") != Some(key.algorithm().word()) {
            return Err(NotGenuine::WrongAlgorithm);
        }
        Ok((key, typ))
    }

    fn check_claims(&self, typ: Typ, claims: &Map<String, Value>) -> Result<(), NotGenuine> {
        if claims.get("iss").and_then(Value::as_str) != Some(self.issuer()) {
            return Err(NotGenuine::ForeignIssuer);
        }
        let of_access: &[&str] = if typ == Typ::AtJwt { &REQUIRED_OF_ACCESS } else { &[] };
        let there = REQUIRED.iter().chain(of_access).all(|claim| claims.contains_key(*claim));
        let typed = |names: &[&str], right: fn(&Value) -> bool| names.iter().all(|name| claims.get(*name).is_none_or(right));
        let right = there
            && typed(&INTEGERS, |value| value.as_u64().is_some_and(|integer| integer <= MAX_INTEGER))
            && typed(&STRINGS, Value::is_string)
            && typed(&["aud"], |value| value.is_string() || is_list_of_strings(value, 1))
            && typed(&["amr"], |value| is_list_of_strings(value, 0))
            && typed(&["cnf", "act"], Value::is_object)
            && typed(&["authorization_details"], Value::is_array);
        if right { Ok(()) } else { Err(NotGenuine::WrongClaim) }
    }
}

fn is_list_of_strings(value: &Value, at_least: usize) -> bool {
    value.as_array().is_some_and(|list| list.len() >= at_least && list.iter().all(Value::is_string))
}

/// Canonical base64url without padding (RFC 7515 section 2): one text for each sequence of bytes.
fn decode(part: &str) -> Result<Vec<u8>, NotGenuine> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_not_base64url| NotGenuine::Malformed)
}

fn object(json: &[u8]) -> Result<Map<String, Value>, NotGenuine> {
    match serde_json::from_slice(json) {
        Ok(Strict(Value::Object(members))) => Ok(members),
        Ok(_) | Err(_) => Err(NotGenuine::Malformed),
    }
}

/// JSON in which no object, however deep, has a member twice (RFC 7515 section 4, RFC 7519 section 4): readers differ in
/// which of the two they believe.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, Strict(value))) = object.next_entry::<String, Strict>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

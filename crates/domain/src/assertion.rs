//! Assertions (RFC 7523): a JWT by which a client proves who it is (section 2.2), or an issuer that is trusted who a subject is (2.1).
//!
//! Lives here: how strictly one is read, and what it must say. Must not live here: signatures (the caller's), where keys come from,
//! whether the assertion was shown before, who may present it.

use crate::json;
use crate::jwk::Signs;
use crate::time::{Millis, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use std::fmt;

/// The `client_assertion_type` of a client's (RFC 7523 section 2.2).
pub const CLIENT_ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The longest assertion that is read, in bytes.
pub const MAX_BYTES: usize = 8_192;
/// So far clocks may differ: `iat` and `nbf` may be later than now, and `exp` beyond the longest lifetime.
pub const LEEWAY: Millis = Millis::from_secs(60);

/// The longest `iss`, `sub`, `jti` and `kid` that are read, in bytes.
const MAX_TEXT_BYTES: usize = 256;
/// The largest integer that every JSON reader keeps exact (RFC 7493 section 2.2).
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// What an assertion is for. Where it has a `typ` of its own, that says so, and no other JWT is taken for it (RFC 8725 section 3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A client proves who it is.
    Client,
    /// Tokens are asked for in the name of its subject.
    Grant,
    /// A service that calls proves who it is, by the token of its service account.
    Caller,
}

/// An assertion, read; neither its signature nor what it says is judged. Who shows it is believed, so it cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Assertion<'a> {
    /// The name of its key.
    pub kid: Option<String>,
    /// The algorithm that it says it is signed with.
    pub signs: Signs,
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `jti`: unique among those of its issuer. Empty where there is none, as service accounts may have it.
    pub jti: String,
    /// What is signed.
    pub message: &'a [u8],
    /// The signature.
    pub signature: Vec<u8>,
    /// None where it is anything but one text, alone or in a list.
    audience: Option<String>,
    expires_at: Timestamp,
    issued_at: Option<Timestamp>,
    not_before: Option<Timestamp>,
}

/// What an assertion must say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Whom it is for, letter by letter.
    pub audience: &'a str,
    /// Now.
    pub now: Timestamp,
    /// The longest that it may be valid.
    pub lifetime: Millis,
}

/// Why an assertion is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Not three parts of canonical base64url, no JSON object, a member twice, too long.
    #[error("is malformed")]
    Malformed,
    /// A `crit` member: no extension is known (RFC 7515 section 4.1.11).
    #[error("has a critical extension")]
    UnknownCrit,
    /// The `typ` of something else.
    #[error("has the `typ` of something else")]
    WrongTyp,
    /// None of those that are read.
    #[error("has an `alg` that is not accepted")]
    WrongAlgorithm,
    /// A claim is missing, of another type or out of range.
    #[error("lacks a claim, or has one of another type")]
    WrongClaim,
    /// Not that of the client, or of no issuer that is configured.
    #[error("is of an issuer that may not make it")]
    OtherIssuer,
    /// `aud` is not exactly the one text that it must be.
    #[error("must have this server's issuer identifier as its `aud`, and nothing else")]
    OtherAudience,
    /// Past its `exp`.
    #[error("has expired")]
    Expired,
    /// Valid for longer than one may be.
    #[error("is valid for too long")]
    TooLong,
    /// Not valid yet.
    #[error("is not valid yet")]
    Early,
    /// None of the issuer's keys goes with it, or more than one.
    #[error("names no key of its issuer, or leaves open which")]
    UnknownKey,
    /// The signature is not that key's.
    #[error("has a wrong signature")]
    WrongSignature,
    /// Shown before.
    #[error("was used before: make one for each request")]
    Replayed,
}

impl<'a> Assertion<'a> {
    /// Reads one: form, header, types of claims. `jwk`, `jku`, `x5u`, `x5c` are never looked at.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(text: &'a str, purpose: Purpose) -> Result<Self, Refusal> {
        if text.len() > MAX_BYTES {
            return Err(Refusal::Malformed);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Refusal::Malformed)?;
        let header = object(header)?;
        // Where there was a part more, the payload has a dot and is no base64url.
        let claims = object(payload)?;
        let signature = decode(signature)?;
        if header.contains_key("crit") {
            return Err(Refusal::UnknownCrit);
        }
        check_typ(&header, purpose)?;
        let signs = header.get("alg").and_then(Value::as_str).and_then(Signs::parse).ok_or(Refusal::WrongAlgorithm)?;
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= MAX_TEXT_BYTES => Some(kid.clone()),
            Some(_) => return Err(Refusal::UnknownKey),
        };
        let text = |claim: &str| {
            let text = claims.get(claim).and_then(Value::as_str);
            text.filter(|text| is_name(text)).map(str::to_owned).ok_or(Refusal::WrongClaim)
        };
        Ok(Self {
            kid,
            signs,
            issuer: text("iss")?,
            subject: text("sub")?,
            jti: if purpose == Purpose::Caller && !claims.contains_key("jti") { String::new() } else { text("jti")? },
            message: message.as_bytes(),
            signature,
            audience: sole(claims.get("aud")),
            expires_at: moment(&claims, "exp")?.ok_or(Refusal::WrongClaim)?,
            issued_at: moment(&claims, "iat")?,
            not_before: moment(&claims, "nbf")?,
        })
    }

    /// Judges whom and for how long it is for. Answers the moment from which on it is refused by its time, and need not be remembered.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn judge(&self, expected: &Expected<'_>) -> Result<Timestamp, Refusal> {
        // One that names others too is refused: they could present it here.
        if self.audience.as_deref() != Some(expected.audience) {
            return Err(Refusal::OtherAudience);
        }
        let now = Timestamp::from_secs(expected.now.secs());
        if now >= self.expires_at {
            return Err(Refusal::Expired);
        }
        let is_later = |moment: Option<Timestamp>| moment.is_some_and(|moment| moment > now.plus(LEEWAY));
        if is_later(self.issued_at) || is_later(self.not_before) {
            return Err(Refusal::Early);
        }
        let made_for_long = self.issued_at.is_some_and(|from| self.expires_at.since(from) > expected.lifetime);
        if made_for_long || self.expires_at > now.plus(expected.lifetime).plus(LEEWAY) {
            return Err(Refusal::TooLong);
        }
        Ok(self.expires_at)
    }
}

impl fmt::Debug for Assertion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Assertion(..)")
    }
}

/// `typ` is none, that of any JWT, or the purpose's own.
fn check_typ(header: &Map<String, Value>, purpose: Purpose) -> Result<(), Refusal> {
    const TREE: &str = "application/";
    let own = match purpose {
        Purpose::Client => "client-authentication+jwt",
        Purpose::Grant => "authorization-grant+jwt",
        Purpose::Caller => "JWT",
    };
    let typ = match header.get("typ") {
        None => return Ok(()),
        Some(typ) => typ.as_str().ok_or(Refusal::WrongTyp)?,
    };
    let subtype = match typ.split_at_checked(TREE.len()) {
        Some((tree, subtype)) if tree.eq_ignore_ascii_case(TREE) => subtype,
        _ => typ,
    };
    if ["JWT", own].iter().any(|known| subtype.eq_ignore_ascii_case(known)) { Ok(()) } else { Err(Refusal::WrongTyp) }
}

/// The one text that is there, alone or in a list.
fn sole(value: Option<&Value>) -> Option<String> {
    let text = match value? {
        Value::Array(entries) => match entries.as_slice() {
            [only] => only,
            _ => return None,
        },
        text => text,
    };
    text.as_str().map(str::to_owned)
}

/// A text that can be part of a name that is kept: short, and without a NUL.
fn is_name(text: &str) -> bool {
    (1..=MAX_TEXT_BYTES).contains(&text.len()) && !text.contains('\0')
}

/// Whole seconds since the epoch; anything else is refused, never passed over.
fn moment(claims: &Map<String, Value>, claim: &str) -> Result<Option<Timestamp>, Refusal> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    let seconds = value.as_u64().filter(|seconds| *seconds <= MAX_INTEGER).ok_or(Refusal::WrongClaim)?;
    Ok(Some(Timestamp::from_secs(seconds)))
}

/// Canonical base64url without padding (RFC 7515 section 2).
fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_not_base64url| Refusal::Malformed)
}

fn object(part: &str) -> Result<Map<String, Value>, Refusal> {
    json::object(&decode(part)?).ok_or(Refusal::Malformed)
}

#[cfg(test)]
mod tests;

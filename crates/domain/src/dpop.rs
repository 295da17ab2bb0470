//! DPoP proofs (RFC 9449): what proves that who asks holds the key that tokens are bound to.
//!
//! Lives here: how strictly a proof is read, and what it must say. Below: `uri` (when two URIs are the same). Must not live here: signatures (the caller's), nonces and whether the proof was shown before (the service's).

mod uri;

use crate::json;
use crate::jwk::PublicKey;
use crate::time::{Millis, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The `alg` values that are accepted. `Ed25519` is the younger name of what `EdDSA` is with such a key (RFC 9864).
pub const ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "Ed25519"];

/// The longest proof that is read, in bytes: those of the keys that are accepted are far shorter.
const MAX_BYTES: usize = 4_096;
/// The longest `jti` and `nonce` that are read, in bytes.
const MAX_TEXT_BYTES: usize = 256;
const TYP: &str = "dpop+jwt";

/// The request that a proof must have been made for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its URI, from the configuration and never from what the request says.
    pub uri: &'a str,
    /// The access token that comes with it; none at the token endpoint.
    pub access_token: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
    /// `iat` may be so far from now, to either side.
    pub window: Millis,
}

/// What a proof proves: still to be asked are its nonce, and whether it was shown before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The thumbprint of its key (RFC 7638).
    pub jkt: [u8; 32],
    /// Its id, unique for its key.
    pub jti: String,
    /// Before this it is within the window, and must not count twice.
    pub until: Timestamp,
    /// The nonce that it names.
    pub nonce: Option<String>,
}

/// Why a proof is not accepted. Told outward: who made it learns what to mend, and nobody else learns anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// More than one header, or none that is text.
    #[error("must be in exactly one header")]
    NotOne,
    /// Not three parts of canonical base64url, no JSON object, a member twice, too long.
    #[error("is malformed")]
    Malformed,
    /// A `crit` member: no extension is known (RFC 7515 section 4.1.11).
    #[error("has a critical extension")]
    UnknownCrit,
    /// Another `typ`.
    #[error("has another `typ` than dpop+jwt")]
    WrongTyp,
    /// None of [`ALGORITHMS`].
    #[error("has an `alg` that is not accepted")]
    WrongAlgorithm,
    /// No `jwk`, one with a private member or too weak, or none of its `alg`.
    #[error("has no public `jwk` of its `alg`")]
    WrongKey,
    /// The signature is not that key's.
    #[error("has a wrong signature")]
    WrongSignature,
    /// A claim is missing or of another type.
    #[error("lacks a claim, or has one of another type")]
    WrongClaim,
    /// Made for another method.
    #[error("is for another method")]
    OtherMethod,
    /// Made for another URI.
    #[error("is for another URI")]
    OtherUri,
    /// Made too long ago, or later than now.
    #[error("has an `iat` that is too far from now")]
    OutsideWindow,
    /// Made for another access token, or for none.
    #[error("is for another access token")]
    OtherToken,
    /// Shown before.
    #[error("was used before: make one for each request")]
    Replayed,
    /// The tokens are bound to something else.
    #[error("is of another key than the tokens are bound to")]
    OtherBinding,
    /// An opaque token says what its grant says, and that is not bound.
    #[error("cannot bind an opaque access token of a grant that was obtained without one")]
    UnboundGrant,
}

/// Checks a proof: form, header, key, signature, claims (section 4.3). `verifies` tells whether a signature is one of a message.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(
    proof: &str,
    expected: &Expected<'_>,
    verifies: impl FnOnce(&PublicKey, &[u8], &[u8]) -> bool,
) -> Result<Proven, Refusal> {
    if proof.len() > MAX_BYTES {
        return Err(Refusal::Malformed);
    }
    let (signed, signature) = proof.rsplit_once('.').ok_or(Refusal::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(Refusal::Malformed)?;
    let key = read_header(&object(header)?)?;
    // Where there was a part more, the payload has a dot and is no base64url.
    let claims = object(payload)?;
    if !verifies(&key, signed.as_bytes(), &decode(signature)?) {
        return Err(Refusal::WrongSignature);
    }
    check_claims(&claims, expected, key.thumbprint())
}

fn read_header(header: &Map<String, Value>) -> Result<PublicKey, Refusal> {
    let text = |member: &str| header.get(member).and_then(Value::as_str);
    if header.contains_key("crit") {
        return Err(Refusal::UnknownCrit);
    }
    if text("typ") != Some(TYP) {
        return Err(Refusal::WrongTyp);
    }
    let algorithm = text("alg").filter(|alg| ALGORITHMS.contains(alg)).ok_or(Refusal::WrongAlgorithm)?;
    let jwk = header.get("jwk").and_then(Value::as_object).ok_or(Refusal::WrongKey)?;
    PublicKey::read(jwk).ok().filter(|key| key.goes_with(algorithm)).ok_or(Refusal::WrongKey)
}

fn check_claims(claims: &Map<String, Value>, expected: &Expected<'_>, jkt: [u8; 32]) -> Result<Proven, Refusal> {
    let text = |claim: &str| match claims.get(claim) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(Refusal::WrongClaim),
    };
    let required = |claim: &str| text(claim)?.ok_or(Refusal::WrongClaim);
    let is_short = |text: &&str| (1..=MAX_TEXT_BYTES).contains(&text.len());
    let jti = Some(required("jti")?).filter(is_short).ok_or(Refusal::WrongClaim)?;
    let issued_at = claims.get("iat").and_then(Value::as_u64).map(Timestamp::from_secs).ok_or(Refusal::WrongClaim)?;
    let nonce = text("nonce")?;
    if nonce.is_some_and(|nonce| nonce.len() > MAX_TEXT_BYTES) {
        return Err(Refusal::WrongClaim);
    }
    if required("htm")? != expected.method {
        return Err(Refusal::OtherMethod);
    }
    if !uri::is_same(required("htu")?, expected.uri) {
        return Err(Refusal::OtherUri);
    }
    // Whole seconds, as `iat` has them: then both sides of the window are as wide as it says.
    let (now, window) = (Timestamp::from_secs(expected.now.secs()), expected.window);
    if now.since(issued_at).max(issued_at.since(now)) > window {
        return Err(Refusal::OutsideWindow);
    }
    if let Some(token) = expected.access_token
        && text("ath")? != Some(URL_SAFE_NO_PAD.encode(Sha256::digest(token)).as_str())
    {
        return Err(Refusal::OtherToken);
    }
    let until = issued_at.plus(window).plus(Millis::from_secs(1));
    Ok(Proven { jkt, jti: jti.to_owned(), until, nonce: nonce.map(str::to_owned) })
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

//! Key material: made, read once from its record, ready to sign and verify. When a key is used is in `schedule`.
//!
//! Private bytes live in aws-lc's own key objects, which wipe themselves, and in the record, which is wiped when dropped.

use crate::records::proto;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    ParsedPublicKey, Signature,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::client::Algorithm;
use jeton_domain::error::{Error, Result};
use jeton_domain::jws::Key;
pub use jeton_domain::jws::Typ;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters, EllipticCurveKeyType, Jwk, KeyAlgorithm,
    OctetKeyPairParameters, OctetKeyPairType, PublicKeyUse,
};
use serde::Serialize;
use std::fmt;
use zeroize::Zeroize as _;

/// Bytes of a signature, of either algorithm.
pub const SIGNATURE_BYTES: usize = 64;
const KID_BYTES: usize = 8;

/// A private key, parsed, with the headers of what it signs.
pub struct SigningKey {
    kid: Box<str>,
    pair: Pair,
    headers: Headers,
}

enum Pair {
    EdDsa(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
}

/// A public key, parsed, with the headers of what it verifies.
pub struct VerifyingKey {
    kid: Box<str>,
    algorithm: Algorithm,
    public: ParsedPublicKey,
    headers: Headers,
    jwk: Jwk,
}

/// The encoded header of a JWT, by its `typ`.
#[derive(Clone)]
struct Headers {
    at_jwt: Box<str>,
    jwt: Box<str>,
}

/// Makes a key. Its times are the caller's to set.
///
/// # Errors
/// `Error::Internal` where the system has no randomness.
pub fn generate(algorithm: Algorithm) -> Result<proto::SigningKey> {
    let failed = |Unspecified| Error::Internal("a signing key could not be made".into());
    let (pkcs8, public) = match algorithm {
        Algorithm::EdDsa => {
            let pair = Ed25519KeyPair::generate().map_err(failed)?;
            (pair.to_pkcs8v1().map_err(failed)?, pair.public_key().as_ref().to_vec())
        }
        Algorithm::Es256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
            (pair.to_pkcs8v1().map_err(failed)?, pair.public_key().as_ref().to_vec())
        }
    };
    Ok(proto::SigningKey {
        kid: kid(algorithm, &public)?,
        algorithm: code(algorithm),
        private: pkcs8.as_ref().to_vec(),
        public,
        created_at: 0,
        activates_at: 0,
        retires_at: 0,
        removed_at: 0,
        burnt_at: 0,
    })
}

/// The code of an algorithm in a record.
#[must_use]
pub const fn code(algorithm: Algorithm) -> u32 {
    match algorithm {
        Algorithm::EdDsa => 1,
        Algorithm::Es256 => 2,
    }
}

/// The algorithm of a code; none for one that a newer version wrote.
#[must_use]
pub fn algorithm(code_in_record: u32) -> Option<Algorithm> {
    Algorithm::ALL.into_iter().find(|algorithm| code(*algorithm) == code_in_record)
}

impl SigningKey {
    /// Parses the private half of a record.
    ///
    /// # Errors
    /// `Error::RecordUnreadable`: no private key of this algorithm, or not that of the public key beside it.
    pub fn parse(algorithm: Algorithm, record: &proto::SigningKey) -> Result<Self> {
        let pair = match algorithm {
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(&record.private).map(Pair::EdDsa),
            Algorithm::Es256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &record.private).map(Pair::Es256),
        }
        .map_err(unreadable)?;
        if pair.public() != record.public {
            return Err(Error::RecordUnreadable("the halves of a signing key do not belong together".into()));
        }
        Ok(Self { kid: record.kid.as_str().into(), pair, headers: Headers::of(algorithm, &record.kid)? })
    }

    /// Its id.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::EdDsa(_) => Algorithm::EdDsa,
            Pair::Es256(_) => Algorithm::Es256,
        }
    }

    /// The encoded header of what it signs.
    #[must_use]
    pub fn header(&self, typ: Typ) -> &str {
        self.headers.get(typ)
    }

    /// The signature of `message`: 64 bytes (RFC 8037 section 3.1, RFC 7518 section 3.4).
    ///
    /// # Errors
    /// `Error::Internal` where the system has no randomness (ES256).
    pub fn sign(&self, message: &[u8]) -> Result<Signature> {
        match &self.pair {
            Pair::EdDsa(pair) => pair.try_sign(message),
            Pair::Es256(pair) => pair.sign(&SystemRandom::new(), message),
        }
        .map_err(|Unspecified| Error::Internal("a token could not be signed".into()))
    }
}

impl Pair {
    fn public(&self) -> &[u8] {
        match self {
            Self::EdDsa(pair) => pair.public_key().as_ref(),
            Self::Es256(pair) => pair.public_key().as_ref(),
        }
    }
}

impl VerifyingKey {
    /// Parses the public half of a record.
    ///
    /// # Errors
    /// `Error::RecordUnreadable`: no public key of this algorithm.
    pub fn parse(algorithm: Algorithm, record: &proto::SigningKey) -> Result<Self> {
        let public = match algorithm {
            Algorithm::EdDsa => ParsedPublicKey::new(&ED25519, &record.public),
            Algorithm::Es256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &record.public),
        }
        .map_err(unreadable)?;
        Ok(Self {
            kid: record.kid.as_str().into(),
            algorithm,
            public,
            headers: Headers::of(algorithm, &record.kid)?,
            jwk: jwk(algorithm, &record.kid, &record.public)?,
        })
    }

    /// The encoded header of what its private half signs.
    #[must_use]
    pub fn header(&self, typ: Typ) -> &str {
        self.headers.get(typ)
    }

    /// Itself as published (RFC 7517).
    #[must_use]
    pub const fn jwk(&self) -> &Jwk {
        &self.jwk
    }
}

impl Key for VerifyingKey {
    fn kid(&self) -> &str {
        &self.kid
    }

    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        signature.len() == SIGNATURE_BYTES && self.public.verify_sig(message, signature).is_ok()
    }
}

impl Headers {
    fn of(algorithm: Algorithm, kid: &str) -> Result<Self> {
        #[derive(Serialize)]
        struct Header<'a> {
            alg: &'a str,
            typ: &'a str,
            kid: &'a str,
        }
        let encode = |typ: Typ| {
            serde_json::to_vec(&Header { alg: algorithm.word(), typ: typ.word(), kid })
                .map(|json| URL_SAFE_NO_PAD.encode(json).into_boxed_str())
                .map_err(|e| Error::Internal(format!("a header could not be written: {e}")))
        };
        Ok(Self { at_jwt: encode(Typ::AtJwt)?, jwt: encode(Typ::Jwt)? })
    }

    const fn get(&self, typ: Typ) -> &str {
        match typ {
            Typ::AtJwt => &self.at_jwt,
            Typ::Jwt => &self.jwt,
        }
    }
}

/// The first 8 bytes of the thumbprint (RFC 7638; RFC 8037 section 2), so that the same key has the same name everywhere.
fn kid(algorithm: Algorithm, public: &[u8]) -> Result<String> {
    let canonical = match coordinates(algorithm, public)? {
        (x, None) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#),
        (x, Some(y)) => format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#),
    };
    let thumbprint = digest(&SHA256, canonical.as_bytes());
    Ok(URL_SAFE_NO_PAD.encode(thumbprint.as_ref().get(..KID_BYTES).unwrap_or_default()))
}

fn jwk(algorithm: Algorithm, kid: &str, public: &[u8]) -> Result<Jwk> {
    let (key_algorithm, parameters) = match coordinates(algorithm, public)? {
        (x, None) => (
            KeyAlgorithm::EdDSA,
            AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
                key_type: OctetKeyPairType::OctetKeyPair,
                curve: EllipticCurve::Ed25519,
                x,
            }),
        ),
        (x, Some(y)) => (
            KeyAlgorithm::ES256,
            AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
                key_type: EllipticCurveKeyType::EC,
                curve: EllipticCurve::P256,
                x,
                y,
            }),
        ),
    };
    let common = CommonParameters {
        public_key_use: Some(PublicKeyUse::Signature),
        key_algorithm: Some(key_algorithm),
        key_id: Some(kid.into()),
        ..CommonParameters::default()
    };
    Ok(Jwk { common, algorithm: parameters })
}

/// `x`, and on P-256 `y`, in base64url: from the raw key, or from the uncompressed point (SEC 1 section 2.3.3).
fn coordinates(algorithm: Algorithm, public: &[u8]) -> Result<(String, Option<String>)> {
    let wrong = || Error::RecordUnreadable("a public signing key is of another form".into());
    match algorithm {
        Algorithm::EdDsa => Ok((URL_SAFE_NO_PAD.encode(<[u8; 32]>::try_from(public).map_err(|_wrong_length| wrong())?), None)),
        Algorithm::Es256 => {
            let point = public.strip_prefix(&[4]).ok_or_else(wrong)?;
            let (x, y) = point.split_first_chunk::<32>().ok_or_else(wrong)?;
            let y = <[u8; 32]>::try_from(y).map_err(|_wrong_length| wrong())?;
            Ok((URL_SAFE_NO_PAD.encode(x), Some(URL_SAFE_NO_PAD.encode(y))))
        }
    }
}

fn unreadable(rejected: KeyRejected) -> Error {
    Error::RecordUnreadable(format!("a signing key is refused: {rejected}"))
}

impl Drop for proto::SigningKey {
    fn drop(&mut self) {
        self.private.zeroize();
    }
}

impl fmt::Debug for proto::SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::jwk::ThumbprintHash;

    #[test]
    fn the_kid_begins_the_thumbprint_of_the_jwk() {
        for algorithm in Algorithm::ALL {
            let record = generate(algorithm).unwrap();
            let key = VerifyingKey::parse(algorithm, &record).unwrap();
            let thumbprint = key.jwk().thumbprint(ThumbprintHash::SHA256).unwrap();
            let bytes = URL_SAFE_NO_PAD.decode(thumbprint).unwrap();
            assert_eq!(URL_SAFE_NO_PAD.encode(&bytes[..KID_BYTES]), record.kid);
        }
    }

    #[test]
    fn what_one_half_signs_the_other_verifies_and_another_key_does_not() {
        for algorithm in Algorithm::ALL {
            let [one, two] = [generate(algorithm).unwrap(), generate(algorithm).unwrap()];
            let signature = SigningKey::parse(algorithm, &one).unwrap().sign(b"message").unwrap();
            let verifies =
                |record, message: &[u8]| VerifyingKey::parse(algorithm, record).unwrap().verifies(message, signature.as_ref());
            assert!(verifies(&one, b"message"));
            assert!(!verifies(&one, b"massage"));
            assert!(!verifies(&two, b"message"));
        }
    }

    #[test]
    fn halves_of_two_keys_and_keys_of_another_algorithm_are_refused() {
        let [mut one, two] = [generate(Algorithm::EdDsa).unwrap(), generate(Algorithm::EdDsa).unwrap()];
        assert!(SigningKey::parse(Algorithm::Es256, &one).is_err());
        assert!(VerifyingKey::parse(Algorithm::Es256, &one).is_err());
        one.public.clone_from(&two.public);
        assert!(matches!(SigningKey::parse(Algorithm::EdDsa, &one), Err(Error::RecordUnreadable(_))));
    }

    #[test]
    fn debug_is_silent() {
        let record = generate(Algorithm::EdDsa).unwrap();
        let key = SigningKey::parse(Algorithm::EdDsa, &record).unwrap();
        assert_eq!(format!("{record:?}"), format!("{key:?}"));
        assert!(!format!("{record:?}").contains("private"));
    }
}

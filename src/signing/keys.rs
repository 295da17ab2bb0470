//! Key material: made, read once from its record, ready to sign and verify. When a key is used is in `schedule`.
//!
//! Private bytes live in aws-lc's own key objects, which wipe themselves, and in the record, which is wiped when dropped.

use super::jwk;
use crate::records::{codes, proto};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::client::Algorithm;
use jeton_domain::error::{Error, Result};
use jeton_domain::jws::Key;
pub use jeton_domain::jws::Typ;
use jsonwebtoken::jwk::Jwk;
use serde::Serialize;
use std::fmt;
use zeroize::Zeroize as _;

/// The exponent of every RSA key that is made (RFC 7518 section 6.3.1.2), so that a record need not say it.
pub const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// A private key, parsed, with the headers of what it signs.
pub struct SigningKey {
    kid: Box<str>,
    pair: Pair,
    headers: Headers,
}

enum Pair {
    EdDsa(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
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
    token_introspection: Box<str>,
    logout: Box<str>,
}

/// Makes a key. Its times are the caller's to set. One for RS256 takes a tenth of a second and more: not on an async thread.
///
/// # Errors
/// `Error::Internal` where the system has no randomness.
pub fn generate(algorithm: Algorithm) -> Result<proto::SigningKey> {
    let (private, public) = made(algorithm).map_err(|Unspecified| Error::Internal("a signing key could not be made".into()))?;
    Ok(proto::SigningKey {
        kid: jwk::kid(algorithm, &public)?,
        algorithm: code(algorithm),
        private,
        public,
        created_at: 0,
        activates_at: 0,
        retires_at: 0,
        removed_at: 0,
        burnt_at: 0,
    })
}

/// Both halves as a record has them.
fn made(algorithm: Algorithm) -> Result<(Vec<u8>, Vec<u8>), Unspecified> {
    Ok(match algorithm {
        Algorithm::EdDsa => {
            let pair = Ed25519KeyPair::generate()?;
            (pair.to_pkcs8v1()?.as_ref().to_vec(), pair.public_key().as_ref().to_vec())
        }
        Algorithm::Es256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
            (pair.to_pkcs8v1()?.as_ref().to_vec(), pair.public_key().as_ref().to_vec())
        }
        Algorithm::Rs256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
            let pkcs8: Pkcs8V1Der<'static> = pair.as_der()?;
            (pkcs8.as_ref().to_vec(), modulus(&pair))
        }
    })
}

/// Big-endian, without leading zeros.
fn modulus(pair: &RsaKeyPair) -> Vec<u8> {
    pair.public_key().modulus().big_endian_without_leading_zero().to_vec()
}

/// The code of an algorithm in a record.
#[must_use]
pub fn code(algorithm: Algorithm) -> u32 {
    codes::algorithm_code(algorithm).into()
}

/// The algorithm of a code; none for one that a newer version wrote.
#[must_use]
pub fn algorithm(code_in_record: u32) -> Option<Algorithm> {
    codes::algorithm(code_in_record).ok()
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
            Algorithm::Rs256 => RsaKeyPair::from_pkcs8(&record.private).map(Pair::Rs256),
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
            Pair::Rs256(_) => Algorithm::Rs256,
        }
    }

    /// The encoded header of what it signs.
    #[must_use]
    pub fn header(&self, typ: Typ) -> &str {
        self.headers.get(typ)
    }

    /// The signature of `message`: 64 bytes (RFC 8037 section 3.1, RFC 7518 section 3.4), of RS256 256 (section 3.3).
    ///
    /// # Errors
    /// `Error::Internal` where the system has no randomness (ES256, RS256).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        match &self.pair {
            Pair::EdDsa(pair) => pair.try_sign(message).map(|signature| signature.as_ref().to_vec()),
            Pair::Es256(pair) => pair.sign(&SystemRandom::new(), message).map(|signature| signature.as_ref().to_vec()),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).map(|()| signature)
            }
        }
        .map_err(|Unspecified| Error::Internal("a token could not be signed".into()))
    }
}

impl Pair {
    /// As a record has it. An RSA key of another exponent than ours is none that was made here.
    fn public(&self) -> Vec<u8> {
        match self {
            Self::EdDsa(pair) => pair.public_key().as_ref().to_vec(),
            Self::Es256(pair) => pair.public_key().as_ref().to_vec(),
            Self::Rs256(pair) if pair.public_key().exponent().big_endian_without_leading_zero() == RSA_EXPONENT => modulus(pair),
            Self::Rs256(_) => Vec::new(),
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
            Algorithm::Rs256 => RsaPublicKeyComponents { n: record.public.as_slice(), e: RSA_EXPONENT.as_slice() }
                .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256),
        }
        .map_err(unreadable)?;
        Ok(Self {
            kid: record.kid.as_str().into(),
            algorithm,
            public,
            headers: Headers::of(algorithm, &record.kid)?,
            jwk: jwk::jwk(algorithm, &record.kid, &record.public)?,
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
        self.public.verify_sig(message, signature).is_ok()
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
        Ok(Self {
            at_jwt: encode(Typ::AtJwt)?,
            jwt: encode(Typ::Jwt)?,
            token_introspection: encode(Typ::TokenIntrospection)?,
            logout: encode(Typ::Logout)?,
        })
    }

    const fn get(&self, typ: Typ) -> &str {
        match typ {
            Typ::AtJwt => &self.at_jwt,
            Typ::Jwt => &self.jwt,
            Typ::TokenIntrospection => &self.token_introspection,
            Typ::Logout => &self.logout,
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
        let [mut one, two] = [generate(Algorithm::Rs256).unwrap(), generate(Algorithm::Rs256).unwrap()];
        assert!(SigningKey::parse(Algorithm::Es256, &one).is_err());
        one.public.clone_from(&two.public);
        assert!(matches!(SigningKey::parse(Algorithm::Rs256, &one), Err(Error::RecordUnreadable(_))));
    }

    #[test]
    fn an_rsa_key_has_2048_bits_and_the_common_exponent() {
        let record = generate(Algorithm::Rs256).unwrap();
        assert_eq!((record.public.len(), record.public[0] >> 7), (256, 1));
        let pair = RsaKeyPair::from_pkcs8(&record.private).unwrap();
        assert_eq!(pair.public_key().exponent().big_endian_without_leading_zero(), RSA_EXPONENT);
        let mut short = record.clone();
        short.public.truncate(128);
        assert!(VerifyingKey::parse(Algorithm::Rs256, &short).is_err(), "1024 bits");
    }

    #[test]
    fn debug_is_silent() {
        let record = generate(Algorithm::EdDsa).unwrap();
        let key = SigningKey::parse(Algorithm::EdDsa, &record).unwrap();
        assert_eq!(format!("{record:?}"), format!("{key:?}"));
        assert!(!format!("{record:?}").contains("private"));
    }
}

//! What is signed by others: DPoP proofs (RFC 9449) and assertions (RFC 7523), right but for what a test changes. No tests here.

use crate::world::ISSUER;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::atomic::{AtomicU64, Ordering};

/// Who holds a key.
pub enum Prover {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rs256(RsaKeyPair),
    Ps256(RsaKeyPair),
}

/// A proof in the making. What is set to null is left out.
pub struct Proof<'a> {
    prover: &'a Prover,
    header: Value,
    claims: Value,
}

impl Prover {
    pub fn new() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    pub fn rs256() -> Self {
        Self::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub fn ps256() -> Self {
        Self::Ps256(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
            Self::Rs256(_) => "RS256",
            Self::Ps256(_) => "PS256",
        }
    }

    pub fn jwk(&self) -> Value {
        match self {
            Self::P256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"crv": "P-256", "kty": "EC", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
            }
            Self::Ed25519(pair) => json!({"crv": "Ed25519", "kty": "OKP", "x": URL_SAFE_NO_PAD.encode(pair.public_key())}),
            Self::Rs256(pair) | Self::Ps256(pair) => {
                let public = pair.public_key();
                let [e, n] = [public.exponent(), public.modulus()]
                    .map(|number| URL_SAFE_NO_PAD.encode(number.big_endian_without_leading_zero()));
                json!({"e": e, "kty": "RSA", "n": n})
            }
        }
    }

    /// RFC 7638: the members of `jwk` are in order, and written without blanks.
    pub fn jkt(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.jwk().to_string()))
    }

    /// The same as one of a set: with its algorithm and the name `kid`.
    pub fn named(&self, kid: &str) -> Value {
        let mut jwk = self.jwk();
        jwk["kid"] = kid.into();
        jwk["alg"] = self.algorithm().into();
        jwk
    }

    /// A proof of this moment for the token endpoint, unlike any before.
    pub fn proof(&self, now: i64) -> Proof<'_> {
        Proof {
            prover: self,
            header: json!({"typ": "dpop+jwt", "alg": self.algorithm(), "jwk": self.jwk()}),
            claims: json!({"jti": unlike_any("proof"), "htm": "POST", "htu": format!("{ISSUER}/oauth2/token"), "iat": now}),
        }
    }

    /// An assertion of this moment in which `issuer` speaks of `subject`, unlike any before.
    pub fn assertion(&self, issuer: &str, subject: &str, now: i64) -> Proof<'_> {
        Proof {
            prover: self,
            header: json!({"alg": self.algorithm()}),
            claims: json!({"iss": issuer, "sub": subject, "aud": ISSUER, "jti": unlike_any("assertion"), "iat": now, "exp": now + 60}),
        }
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rs256(pair) | Self::Ps256(pair) => {
                let padding = if matches!(self, Self::Rs256(_)) { &RSA_PKCS1_SHA256 } else { &RSA_PSS_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
        }
    }
}

fn unlike_any(what: &str) -> String {
    static MADE: AtomicU64 = AtomicU64::new(0);
    format!("{what}-{}", MADE.fetch_add(1, Ordering::Relaxed))
}

impl Proof<'_> {
    pub fn header(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.header[member] = value.into();
        self
    }

    pub fn claim(mut self, claim: &str, value: impl Into<Value>) -> Self {
        self.claims[claim] = value.into();
        self
    }

    pub fn signed(self) -> String {
        let prover = self.prover;
        self.signed_by(prover)
    }

    pub fn signed_by(self, signer: &Prover) -> String {
        let [header, claims] = [self.header, self.claims].map(|mut part| {
            part.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            URL_SAFE_NO_PAD.encode(part.to_string())
        });
        let message = format!("{header}.{claims}");
        let signature = signer.sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

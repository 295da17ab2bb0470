//! DPoP proofs (RFC 9449), right but for what a test changes. No tests here.

use crate::world::ISSUER;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::atomic::{AtomicU64, Ordering};

/// Who holds a key.
pub enum Prover {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
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

    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    pub fn jwk(&self) -> Value {
        match self {
            Self::P256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"crv": "P-256", "kty": "EC", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
            }
            Self::Ed25519(pair) => json!({"crv": "Ed25519", "kty": "OKP", "x": URL_SAFE_NO_PAD.encode(pair.public_key())}),
        }
    }

    /// RFC 7638: the members of `jwk` are in order, and written without blanks.
    pub fn jkt(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.jwk().to_string()))
    }

    /// A proof of this moment for the token endpoint, unlike any before.
    pub fn proof(&self, now: i64) -> Proof<'_> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let jti = format!("proof-{}", MADE.fetch_add(1, Ordering::Relaxed));
        Proof {
            prover: self,
            header: json!({"typ": "dpop+jwt", "alg": self.algorithm(), "jwk": self.jwk()}),
            claims: json!({"jti": jti, "htm": "POST", "htu": format!("{ISSUER}/oauth2/token"), "iat": now}),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
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

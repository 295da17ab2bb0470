//! Public keys that are not ours (RFC 7517): that of a DPoP proof, those of a client, those of an issuer whose assertions are taken.
//!
//! Lives here: which keys are read, that they are public, strong enough and for signatures, their thumbprint, which of a set is meant.
//! Must not live here: signatures, and whether a point is on its curve (who verifies finds out), where a set comes from.

use crate::endpoint::Endpoint;
use crate::json;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The `alg` values that are read. `Ed25519` is the younger name of what `EdDSA` is with such a key (RFC 9864).
pub const ALGORITHMS: [&str; 5] = ["ES256", "EdDSA", "Ed25519", "PS256", "RS256"];
/// The most keys of a set.
pub const MAX_KEYS: usize = 32;

/// What no public key has: the private members of every type, and a symmetric key (RFC 7518 section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
/// The longest `kid` that is read, in bytes.
const MAX_KID_BYTES: usize = 128;
/// Bytes of the modulus: 2,048 bits (RFC 7518 section 3.3) to 8,192.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;
/// The least exponent (FIPS 186-5 section 5.4), and the one that nearly all keys have.
const RSA_EXPONENT: u64 = 65_537;
/// Bytes of the largest exponent.
const RSA_EXPONENT_BYTES: usize = 4;

/// Of 2^255 - 19, little endian: a coordinate is below it (RFC 8032 section 5.1.3).
const ED25519_PRIME: [u8; 32] = {
    let mut prime = [0xff; 32];
    (prime[0], prime[31]) = (0xed, 0x7f);
    prime
};
/// The y coordinates of the points whose order divides 8: for such a key everybody can sign.
const ED25519_LOW_ORDER: [[u8; 32]; 5] = {
    let zero = [0; 32];
    let mut one = [0; 32];
    one[0] = 1;
    let mut minus_one = ED25519_PRIME;
    minus_one[0] = 0xec;
    [zero, one, minus_one, ED25519_ORDER_EIGHT[0], ED25519_ORDER_EIGHT[1]]
};
const ED25519_ORDER_EIGHT: [[u8; 32]; 2] = [
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05,
        0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa,
        0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// A public key. Whether its numbers are a point of the curve is found out by who verifies with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// RFC 8037 section 2.
    Ed25519([u8; 32]),
    /// RFC 7518 section 6.2.1.
    P256 {
        /// The x coordinate, big endian.
        x: [u8; 32],
        /// The y coordinate, big endian.
        y: [u8; 32],
    },
    /// RFC 7518 section 6.3.1.
    Rsa {
        /// The modulus, big endian, without leading zeros.
        n: Vec<u8>,
        /// The exponent, the same.
        e: Vec<u8>,
    },
}

/// How a key that is not ours signs (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signs {
    /// Ed25519.
    EdDsa,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// RSA PSS with SHA-256.
    Ps256,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
}

/// Why a key is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unfit {
    /// It holds what only its owner may know.
    #[error("holds a private or symmetric key: publish the public one only, and take this one out of use")]
    Private,
    /// Another type or curve.
    #[error("is of none of the types OKP Ed25519, EC P-256 and RSA")]
    Type,
    /// A member is missing, or no number of its length in canonical base64url.
    #[error("lacks a number, or has one that is not written as RFC 7518 section 6 says")]
    Malformed,
    /// Too short, or of a form for which others can sign.
    #[error("is too weak: RSA needs 2048 to 8192 bits and an odd exponent from 65537 on, Ed25519 a point of high order")]
    Weak,
    /// `use` or `key_ops` name something else.
    #[error("is not for signatures, its `use` or `key_ops` say")]
    Use,
    /// Its `alg` is none that goes with it.
    #[error("names an `alg` that does not go with its type")]
    Algorithm,
    /// Its `kid` is no text of 1 to 128 bytes.
    #[error("has a `kid` that is no text of 1 to 128 bytes")]
    Kid,
}

/// A key of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwk {
    /// Its name; none where its owner gave none.
    pub kid: Option<Box<str>>,
    /// The one algorithm it is used with (RFC 8725 section 3.1): its `alg`; of an RSA key without one RS256.
    pub signs: Signs,
    /// The key.
    pub key: PublicKey,
}

/// The keys of one owner, at most [`MAX_KEYS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet(Vec<Jwk>);

/// Where the keys of an owner are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In the configuration.
    Inline(KeySet),
    /// At an address (`jwks_uri`).
    Uri(Endpoint),
}

impl PublicKey {
    /// Reads a JWK.
    ///
    /// # Errors
    /// Why it is none that is used.
    pub fn read(jwk: &Map<String, Value>) -> Result<Self, Unfit> {
        if PRIVATE.iter().any(|member| jwk.contains_key(*member)) {
            return Err(Unfit::Private);
        }
        let text = |member: &str| jwk.get(member).and_then(Value::as_str);
        let number = |member: &str| text(member).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or(Unfit::Malformed);
        let coordinate = |member: &str| number(member)?.try_into().map_err(|_wrong_length| Unfit::Malformed);
        match (text("kty"), text("crv")) {
            (Some("OKP"), Some("Ed25519")) => ed25519(coordinate("x")?),
            (Some("EC"), Some("P-256")) => Ok(Self::P256 { x: coordinate("x")?, y: coordinate("y")? }),
            (Some("RSA"), _) => rsa(number("n")?, number("e")?),
            _ => Err(Unfit::Type),
        }
    }

    /// Whether it is used with that `alg`.
    #[must_use]
    pub fn goes_with(&self, alg: &str) -> bool {
        Signs::parse(alg).is_some_and(|signs| self.can(signs))
    }

    const fn can(&self, signs: Signs) -> bool {
        match self {
            Self::Ed25519(_) => matches!(signs, Signs::EdDsa),
            Self::P256 { .. } => matches!(signs, Signs::Es256),
            Self::Rsa { .. } => matches!(signs, Signs::Ps256 | Signs::Rs256),
        }
    }

    /// What it signs with where nothing else is said.
    #[must_use]
    pub const fn usual(&self) -> Signs {
        match self {
            Self::Ed25519(_) => Signs::EdDsa,
            Self::P256 { .. } => Signs::Es256,
            Self::Rsa { .. } => Signs::Rs256,
        }
    }

    /// The SHA-256 of its required members, in order and without blanks (RFC 7638).
    #[must_use]
    pub fn thumbprint(&self) -> [u8; 32] {
        let written = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        let canonical = match self {
            Self::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, written(x)),
            Self::P256 { x, y } => format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, written(x), written(y)),
            Self::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, written(e), written(n)),
        };
        Sha256::digest(canonical).into()
    }
}

/// Neither written in another than the one way, nor a point that proves nothing.
fn ed25519(x: [u8; 32]) -> Result<PublicKey, Unfit> {
    let mut y = x;
    // The highest bit is the sign of the other coordinate.
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    let is_reduced = y.iter().rev().lt(ED25519_PRIME.iter().rev());
    if is_reduced && !ED25519_LOW_ORDER.contains(&y) { Ok(PublicKey::Ed25519(x)) } else { Err(Unfit::Weak) }
}

fn rsa(n: Vec<u8>, e: Vec<u8>) -> Result<PublicKey, Unfit> {
    let is_shortest = |number: &[u8]| number.first().is_some_and(|first| *first != 0);
    if !is_shortest(&n) || !is_shortest(&e) {
        return Err(Unfit::Malformed);
    }
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    let is_long = RSA_BYTES.contains(&n.len()) && n.first().is_some_and(|first| n.len() > *RSA_BYTES.start() || *first >= 0x80);
    let exponent = e.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let is_exponent_right = e.len() <= RSA_EXPONENT_BYTES && exponent >= RSA_EXPONENT && is_odd(&e);
    if is_long && is_odd(&n) && is_exponent_right { Ok(PublicKey::Rsa { n, e }) } else { Err(Unfit::Weak) }
}

impl Signs {
    /// Reads the `alg` of a JWS header or a JWK: one of [`ALGORITHMS`].
    #[must_use]
    pub fn parse(alg: &str) -> Option<Self> {
        match alg {
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            "PS256" => Some(Self::Ps256),
            "RS256" => Some(Self::Rs256),
            _ => None,
        }
    }

    /// The `alg` of it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
        }
    }
}

impl Jwk {
    /// Reads a key of a set.
    ///
    /// # Errors
    /// Why it is none that is used.
    pub fn read(jwk: &Map<String, Value>) -> Result<Self, Unfit> {
        let key = PublicKey::read(jwk)?;
        let is_for_signatures = jwk.get("use").is_none_or(|usage| usage == "sig")
            && jwk.get("key_ops").is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify")));
        if !is_for_signatures {
            return Err(Unfit::Use);
        }
        let signs = match jwk.get("alg") {
            None => key.usual(),
            Some(alg) => alg.as_str().and_then(Signs::parse).filter(|signs| key.can(*signs)).ok_or(Unfit::Algorithm)?,
        };
        let kid = match jwk.get("kid") {
            None => None,
            Some(Value::String(kid)) if (1..=MAX_KID_BYTES).contains(&kid.len()) => Some(kid.as_str().into()),
            Some(_) => return Err(Unfit::Kid),
        };
        Ok(Self { kid, signs, key })
    }
}

impl KeySet {
    /// Reads a JWK set (RFC 7517 section 5): the keys that are used, and by its place from 1 on each that is not. None where it is no set
    /// of at most [`MAX_KEYS`].
    #[must_use]
    pub fn read(set: &[u8]) -> Option<(Self, Vec<(usize, Unfit)>)> {
        let set = json::object(set)?;
        let listed = set.get("keys")?.as_array().filter(|listed| listed.len() <= MAX_KEYS)?;
        let mut keys = Vec::with_capacity(listed.len());
        let mut unfit = Vec::new();
        for (place, jwk) in (1..).zip(listed) {
            match jwk.as_object().ok_or(Unfit::Malformed).and_then(Jwk::read) {
                Ok(key) => keys.push(key),
                Err(why) => unfit.push((place, why)),
            }
        }
        Some((Self(keys), unfit))
    }

    /// What is wrong with a set that is registered, beside `unfit`, the keys of it that are not used: there is none, or which is meant is open.
    #[must_use]
    pub fn flaws(&self, unfit: &[(usize, Unfit)]) -> Vec<String> {
        let mut flaws: Vec<String> = unfit.iter().map(|(place, why)| format!("key {place} {why}")).collect();
        if self.is_empty() && unfit.is_empty() {
            flaws.push("holds no key: add one, or remove it".into());
        }
        if let Some(key) = self.iter().find(|key| self.find(key.kid.as_deref(), key.signs).is_none()) {
            let named = |kid: &str| format!("of the `kid` `{}`", kid.escape_debug());
            let which = key.kid.as_deref().map_or_else(|| "without a `kid`".to_owned(), named);
            flaws.push(format!("leaves open which key {which} is meant: give each a `kid` of its own"));
        }
        flaws
    }

    /// The set as JSON, which reads back as the same.
    #[must_use]
    pub fn written(&self) -> String {
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let one = |jwk: &Jwk| {
            let mut members = Map::new();
            let mut add = |name: &str, text: &str| members.insert(name.to_owned(), text.into());
            if let Some(kid) = &jwk.kid {
                add("kid", kid);
            }
            add("alg", jwk.signs.word());
            match &jwk.key {
                PublicKey::Ed25519(x) => {
                    [("kty", "OKP"), ("crv", "Ed25519"), ("x", &number(x))].map(|(name, text)| add(name, text))
                }
                PublicKey::P256 { x, y } => {
                    add("y", &number(y));
                    [("kty", "EC"), ("crv", "P-256"), ("x", &number(x))].map(|(name, text)| add(name, text))
                }
                PublicKey::Rsa { n, e } => {
                    [("kty", "RSA"), ("n", &number(n)), ("e", &number(e))].map(|(name, text)| add(name, text))
                }
            };
            Value::Object(members)
        };
        let keys: Vec<Value> = self.iter().map(one).collect();
        serde_json::json!({ "keys": keys }).to_string()
    }

    /// The one key of that algorithm and name; where none is named, the only one of that algorithm. None where two are.
    #[must_use]
    pub fn find(&self, kid: Option<&str>, signs: Signs) -> Option<&Jwk> {
        let fits = |key: &&Jwk| key.signs == signs && kid.is_none_or(|kid| key.kid.as_deref() == Some(kid));
        let mut found = self.0.iter().filter(fits);
        found.next().filter(|_| found.next().is_none())
    }

    /// Each key.
    pub fn iter(&self) -> impl Iterator<Item = &Jwk> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;

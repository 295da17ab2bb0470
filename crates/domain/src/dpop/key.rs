//! The public key in the header of a proof (RFC 7517), and its thumbprint (RFC 7638).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// What no public key has: the private members of every type, and a symmetric key (RFC 7518 section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

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
}

impl PublicKey {
    /// Reads a JWK that `algorithm` is used with; none where it is none, or holds something private.
    pub(super) fn read(algorithm: &str, jwk: &Map<String, Value>) -> Option<Self> {
        if PRIVATE.iter().any(|member| jwk.contains_key(*member)) {
            return None;
        }
        let text = |member: &str| jwk.get(member).and_then(Value::as_str);
        let number = |member: &str| URL_SAFE_NO_PAD.decode(text(member)?).ok()?.try_into().ok();
        match (algorithm, text("kty")?, text("crv")?) {
            ("EdDSA" | "Ed25519", "OKP", "Ed25519") => Some(Self::Ed25519(number("x")?)),
            ("ES256", "EC", "P-256") => Some(Self::P256 { x: number("x")?, y: number("y")? }),
            _ => None,
        }
    }

    /// The SHA-256 of its required members, in order and without blanks.
    #[must_use]
    pub fn thumbprint(&self) -> [u8; 32] {
        let written = |number: &[u8; 32]| URL_SAFE_NO_PAD.encode(number);
        let canonical = match self {
            Self::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, written(x)),
            Self::P256 { x, y } => format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, written(x), written(y)),
        };
        Sha256::digest(canonical).into()
    }
}

//! A public key as it is published, and the name it has (RFC 7517, RFC 7518 section 6, RFC 8037 section 2, RFC 7638).

use super::keys::RSA_EXPONENT;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::client::Algorithm;
use jeton_domain::error::{Error, Result};
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters, EllipticCurveKeyType, Jwk, KeyAlgorithm,
    OctetKeyPairParameters, OctetKeyPairType, PublicKeyUse, RSAKeyParameters, RSAKeyType,
};

const KID_BYTES: usize = 8;
/// The shortest modulus.
const RSA_BYTES: usize = 256;

/// A public key of a record as published.
///
/// # Errors
/// `Error::RecordUnreadable` where it is none of this algorithm.
pub fn jwk(algorithm: Algorithm, kid: &str, public: &[u8]) -> Result<Jwk> {
    let common = CommonParameters {
        public_key_use: Some(PublicKeyUse::Signature),
        key_algorithm: Some(match algorithm {
            Algorithm::EdDsa => KeyAlgorithm::EdDSA,
            Algorithm::Es256 => KeyAlgorithm::ES256,
            Algorithm::Rs256 => KeyAlgorithm::RS256,
        }),
        key_id: Some(kid.into()),
        ..CommonParameters::default()
    };
    let algorithm = match members(algorithm, public)? {
        Members::Ed25519 { x } => AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
            key_type: OctetKeyPairType::OctetKeyPair,
            curve: EllipticCurve::Ed25519,
            x,
        }),
        Members::P256 { x, y } => AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
            key_type: EllipticCurveKeyType::EC,
            curve: EllipticCurve::P256,
            x,
            y,
        }),
        Members::Rsa { n, e } => AlgorithmParameters::RSA(RSAKeyParameters { key_type: RSAKeyType::RSA, n, e }),
    };
    Ok(Jwk { common, algorithm })
}

/// The first 8 bytes of the thumbprint, so that the same key has the same name everywhere.
///
/// # Errors
/// As `jwk`.
pub fn kid(algorithm: Algorithm, public: &[u8]) -> Result<String> {
    let canonical = match members(algorithm, public)? {
        Members::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#),
        Members::P256 { x, y } => format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#),
        Members::Rsa { n, e } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
    };
    let thumbprint = digest(&SHA256, canonical.as_bytes());
    Ok(URL_SAFE_NO_PAD.encode(thumbprint.as_ref().get(..KID_BYTES).unwrap_or_default()))
}

/// What a key is made of, in base64url.
enum Members {
    Ed25519 { x: String },
    P256 { x: String, y: String },
    Rsa { n: String, e: String },
}

/// From the raw key, the uncompressed point (SEC 1 section 2.3.3), or the modulus.
fn members(algorithm: Algorithm, public: &[u8]) -> Result<Members> {
    let wrong = || Error::RecordUnreadable("a public signing key is of another form".into());
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match algorithm {
        Algorithm::EdDsa => Ok(Members::Ed25519 { x: encode(&<[u8; 32]>::try_from(public).map_err(|_wrong_length| wrong())?) }),
        Algorithm::Es256 => {
            let point = public.strip_prefix(&[4]).ok_or_else(wrong)?;
            let (x, y) = point.split_first_chunk::<32>().ok_or_else(wrong)?;
            let y = <[u8; 32]>::try_from(y).map_err(|_wrong_length| wrong())?;
            Ok(Members::P256 { x: encode(x), y: encode(&y) })
        }
        // In the fewest octets (RFC 7518 section 6.3.1.1), and of 2048 bits at least (section 3.3).
        Algorithm::Rs256 if public.len() >= RSA_BYTES && public.first().is_some_and(|first| *first != 0) => {
            Ok(Members::Rsa { n: encode(public), e: encode(&RSA_EXPONENT) })
        }
        Algorithm::Rs256 => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::{VerifyingKey, generate};
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
}

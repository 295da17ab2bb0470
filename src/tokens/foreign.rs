//! Signatures by keys that are not ours: of DPoP proofs and assertions. Which keys are read at all is the domain's (`jwk`).

use super::Tokens;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use jeton_domain::assertion::{Assertion, Refusal};
use jeton_domain::jwk::{Jwk, PublicKey, Signs};

impl Tokens {
    /// Proves that an assertion is signed with that key.
    ///
    /// # Errors
    /// `WrongSignature`.
    pub fn prove_assertion(&self, assertion: &Assertion<'_>, key: &Jwk) -> Result<(), Refusal> {
        let is_right = verifies(&key.key, key.signs, assertion.message, &assertion.signature);
        if is_right { Ok(()) } else { Err(Refusal::WrongSignature) }
    }
}

/// Whether `signature` is one of `message`. A point that is not on its curve, a signature out of its range (RFC 8725 section 3.4) and a
/// key that does not sign so have none.
pub(super) fn verifies(key: &PublicKey, signs: Signs, message: &[u8], signature: &[u8]) -> bool {
    match (key, signs) {
        (PublicKey::Ed25519(public), Signs::EdDsa) => UnparsedPublicKey::new(&ED25519, public).verify(message, signature),
        // Uncompressed (SEC 1 section 2.3.3).
        (PublicKey::P256 { x, y }, Signs::Es256) => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [&[4], &x[..], y].concat()).verify(message, signature)
        }
        (PublicKey::Rsa { n, e }, Signs::Rs256) => {
            RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
        }
        (PublicKey::Rsa { n, e }, Signs::Ps256) => {
            RsaPublicKeyComponents { n, e }.verify(&RSA_PSS_2048_8192_SHA256, message, signature)
        }
        _ => return false,
    }
    .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    /// Why the domain reads no such key: `verifies` alone takes the signature of nothing by nobody, whatever the message. Points whose
    /// order is 8 do so for one message of eight.
    #[test]
    fn without_that_check_a_point_of_low_order_would_prove_anything() {
        let mut forged = [0; 64];
        forged[0] = 1;
        let one = <[u8; 32]>::try_from(&forged[..32]).unwrap();
        let mut eight = URL_SAFE_NO_PAD.decode("JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU").unwrap();
        let eight: [u8; 32] = std::mem::take(&mut eight).try_into().unwrap();
        for (x, often) in [(one, 256), (eight, 1)] {
            let messages = (0..=255_u8).filter(|message| verifies(&PublicKey::Ed25519(x), Signs::EdDsa, &[*message], &forged));
            assert!(messages.count() >= often);
            let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(x)});
            assert!(jwk.as_object().is_some_and(|jwk: &serde_json::Map<String, Value>| PublicKey::read(jwk).is_err()));
        }
    }

    #[test]
    fn a_point_beside_the_curve_verifies_nothing() {
        let key = PublicKey::P256 { x: [1; 32], y: [2; 32] };
        for signature in [[0; 64], [1; 64]] {
            assert!(!verifies(&key, Signs::Es256, b"message", &signature));
        }
    }
}

//! PKCE (RFC 7636): the verifier that proves who asked for an authorization code. S256 only (RFC 9700 section 2.1.1).

use crate::error::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The SHA-256 that the verifier must have (section 4.2).
pub type Challenge = [u8; 32];

/// The only method (section 4.2).
pub const METHOD: &str = "S256";

/// Reads a code challenge: the base64url form, without padding, of a SHA-256.
///
/// # Errors
/// `Error::Invalid` naming `field`.
pub fn challenge(field: &str, text: &str) -> Result<Challenge> {
    // 32 bytes are 43 characters: longer text is not decoded.
    let bytes = (text.len() == 43).then(|| URL_SAFE_NO_PAD.decode(text).ok()).flatten();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| Error::invalid(field, "is not the base64url form, without padding, of a SHA-256 (RFC 7636 section 4.2)"))
}

/// Whether `verifier` is well formed (section 4.1): 43 to 128 unreserved characters.
#[must_use]
pub fn is_verifier(verifier: &str) -> bool {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    (43..=128).contains(&verifier.len()) && verifier.bytes().all(unreserved)
}

/// Whether what the client shows goes with what the code was asked for with: both or neither (section 4.6, RFC 9700 section 4.8.2).
#[must_use]
pub fn goes_with(challenge: Option<&Challenge>, verifier: Option<&str>) -> bool {
    match (challenge, verifier) {
        (None, None) => true,
        (Some(challenge), Some(verifier)) => is_verifier(verifier) && Sha256::digest(verifier.as_bytes()).ct_eq(challenge).into(),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_the_rfc_goes_together() {
        let challenge = challenge("code_challenge", CHALLENGE).unwrap();
        assert!(goes_with(Some(&challenge), Some(VERIFIER)) && goes_with(None, None));
        assert!(!goes_with(Some(&challenge), None) && !goes_with(None, Some(VERIFIER)));
        assert!(!goes_with(Some(&challenge), Some(&VERIFIER.replace('d', "e"))));
    }

    #[test]
    fn forms_are_exact() {
        for bad in ["", "short", &"a".repeat(42), &"a".repeat(129), &"ä".repeat(43), &format!("{VERIFIER}=")] {
            assert!(!is_verifier(bad), "{bad}");
        }
        assert!(is_verifier(&"~".repeat(128)));
        for bad in ["", VERIFIER.get(1..).unwrap(), &format!("{CHALLENGE}="), &CHALLENGE.replace('-', "+")] {
            assert!(challenge("code_challenge", bad).is_err(), "{bad}");
        }
    }
}

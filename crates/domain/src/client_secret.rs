//! Secrets of confidential clients: 256 random bits, never chosen, and kept as a hash only.

use crate::secret::SecretText;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// Every generated secret begins so, for secret scanners to find leaks.
pub const PREFIX: &str = "jcs_";

/// The secret of these random bytes, in base64url behind [`PREFIX`].
#[must_use]
pub fn of(random: &[u8; 32]) -> SecretText {
    written(PREFIX, random)
}

/// Random bytes in base64url behind a prefix.
pub(crate) fn written(prefix: &str, random: &[u8; 32]) -> SecretText {
    let mut text = String::with_capacity(prefix.len().saturating_add(43));
    text.push_str(prefix);
    URL_SAFE_NO_PAD.encode_string(random, &mut text);
    SecretText::new(text)
}

/// SHA-256 of a secret: what is kept. A plain hash is enough, for nobody guesses 256 bits.
#[must_use]
pub fn hash(secret: &SecretText) -> [u8; 32] {
    Sha256::digest(secret.expose().as_bytes()).into()
}

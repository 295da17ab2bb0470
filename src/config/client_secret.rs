//! Secrets of confidential clients as the configuration has them: a hash, never the secret.

use crate::random;
use jeton_domain::secret::SecretText;
use jeton_domain::{client_secret, hex};
use zeroize::Zeroizing;

/// A new secret of 256 random bits.
///
/// # Panics
/// Where the system gives no randomness: then nothing can be made that is secret.
#[must_use]
#[expect(clippy::expect_used, reason = "only the command line calls it, and without randomness there is no secret to return")]
pub fn generate_secret() -> SecretText {
    let bytes = Zeroizing::new(random::bytes::<32>().expect("the system gives randomness"));
    client_secret::of(&bytes)
}

/// A hash as `secret_hashes` takes it: `sha256:` and 64 hexadecimal digits.
#[must_use]
pub fn written_hash(hash: &[u8; 32]) -> String {
    hex::written_hash(hash)
}

/// Reads an entry of `secret_hashes`. The entry is never repeated in an error: it may be the secret itself.
pub(super) fn parse_hash(text: &str) -> Result<[u8; 32], String> {
    hex::hash(text).ok_or_else(|| {
        "is not `sha256:` and 64 hexadecimal digits: `jeton clients secret` makes a secret and prints its hash".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_secret_is_new_each_time_and_its_written_hash_reads_back() {
        let (one, other) = (generate_secret(), generate_secret());
        assert_ne!(one, other);
        assert_eq!(one.expose().len(), 4 + 43);
        let hash = client_secret::hash(&one);
        assert_eq!(parse_hash(&written_hash(&hash)), Ok(hash));
    }

    #[test]
    fn sha_256_of_abc() {
        let hash = client_secret::hash(&SecretText::new("abc".into()));
        assert_eq!(written_hash(&hash), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_secret_in_place_of_its_hash_is_not_repeated() {
        assert!(!parse_hash("jcs_hunter2").unwrap_err().contains("hunter2"));
        assert!(parse_hash(&format!("sha256:{}", "é".repeat(32))).is_err());
    }
}

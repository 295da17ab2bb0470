//! Secrets of confidential clients as the configuration has them: a hash, never the secret.

use crate::random;
use jeton_domain::secret::SecretText;
use jeton_domain::{caller, client_secret, hex};
use zeroize::Zeroizing;

/// A new secret of 256 random bits.
///
/// # Panics
/// Where the system gives no randomness: then nothing can be made that is secret.
#[must_use]
pub fn generate_secret() -> SecretText {
    client_secret::of(&random_bytes())
}

/// A new key of a caller, of 256 random bits.
///
/// # Panics
/// As `generate_secret`.
#[must_use]
pub fn generate_caller_key() -> SecretText {
    caller::key(&random_bytes())
}

#[expect(clippy::expect_used, reason = "only the command line calls it, and without randomness there is no secret to return")]
fn random_bytes() -> Zeroizing<[u8; 32]> {
    Zeroizing::new(random::bytes::<32>().expect("the system gives randomness"))
}

/// A hash as `secret_hashes` and `key_hashes` take it: `sha256:` and 64 hexadecimal digits.
#[must_use]
pub fn written_hash(hash: &[u8; 32]) -> String {
    hex::written_hash(hash)
}

/// Reads an entry of either. The entry is never repeated in an error: it may be the secret itself. `maker` is the command that makes one.
pub(super) fn parse_hash(text: &str, maker: &str) -> Result<[u8; 32], String> {
    hex::hash(text)
        .ok_or_else(|| format!("is not `sha256:` and 64 hexadecimal digits: `{maker}` makes a secret and prints its hash"))
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
        assert_eq!(parse_hash(&written_hash(&hash), "maker"), Ok(hash));
    }

    #[test]
    fn sha_256_of_abc() {
        let hash = client_secret::hash(&SecretText::new("abc".into()));
        assert_eq!(written_hash(&hash), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_secret_in_place_of_its_hash_is_not_repeated() {
        assert!(!parse_hash("jcs_hunter2", "maker").unwrap_err().contains("hunter2"));
        assert!(parse_hash(&format!("sha256:{}", "é".repeat(32)), "maker").is_err());
    }
}

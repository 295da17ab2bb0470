//! What a dry run hands out, so that only what was looked at is revoked: a MAC over who looked at what, and when. Nothing is kept; it holds
//! for this process alone.

use crate::random;
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::error::Result;
use jeton_domain::time::{Millis, Timestamp};

/// How long what was looked at may be confirmed.
const VALID: Millis = Millis::from_secs(10 * 60);

/// Makes seals, and knows its own.
pub struct Seals(Key);

impl Seals {
    /// Under a key that nobody else has.
    ///
    /// # Errors
    /// `Internal`: the system has no randomness.
    pub fn new() -> Result<Self> {
        Ok(Self(Key::new(HMAC_SHA256, &random::bytes::<32>()?)))
    }

    /// That `caller` looked at `what` now.
    pub fn seal(&self, caller: &str, what: &str, now: Timestamp) -> String {
        let tag = URL_SAFE_NO_PAD.encode(sign(&self.0, &said(caller, what, now)));
        format!("{}.{tag}", now.millis())
    }

    /// Whether `caller` looked at `what`, and not too long ago.
    pub fn proves(&self, seal: &str, caller: &str, what: &str, now: Timestamp) -> bool {
        let Some((at, tag)) = seal.split_once('.') else { return false };
        let (Ok(at), Ok(tag)) = (at.parse().map(Timestamp::from_millis), URL_SAFE_NO_PAD.decode(tag)) else { return false };
        now.since(at) < VALID && verify(&self.0, &said(caller, what, at), &tag).is_ok()
    }
}

/// Names never hold a NUL, so that parts joined by it cannot be mistaken for others.
fn said(caller: &str, what: &str, at: Timestamp) -> Vec<u8> {
    [caller.as_bytes(), &[0], what.as_bytes(), &[0], &at.millis().to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_looked_at_lately_is_proved() {
        let (seals, at) = (Seals::new().unwrap(), Timestamp::from_secs(1_000));
        let seal = seals.seal("ops", "subject\0alice", at);
        let after = |secs| at.plus(Millis::from_secs(secs));
        assert!(seals.proves(&seal, "ops", "subject\0alice", after(599)));
        assert!(!seals.proves(&seal, "ops", "subject\0alice", after(600)), "too old");
        assert!(!seals.proves(&seal, "ops", "subject\0bob", at) && !seals.proves(&seal, "other", "subject\0alice", at));
        assert!(!Seals::new().unwrap().proves(&seal, "ops", "subject\0alice", at), "another process");
        let later = seal.replacen("1000000", "1500000", 1);
        for wrong in ["", ".", "1000000.", seal.get(1..).unwrap(), &later, seal.get(..seal.len() - 1).unwrap()] {
            assert!(!seals.proves(wrong, "ops", "subject\0alice", after(500)), "{wrong}");
        }
    }
}

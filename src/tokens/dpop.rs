//! DPoP proofs (RFC 9449): their signatures, and the nonces that they must name. What else a proof must say is the domain's (`dpop`).
//!
//! A nonce is not kept: it is the MAC of a stretch of time, so that every replica takes what another one gave.

use super::Tokens;
use super::foreign::verifies;
use super::mint::first;
use crate::roots::Use;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::dpop::{self, Expected, Proven, Refusal};
use jeton_domain::error::Result;
use jeton_domain::id::KeyId;
use jeton_domain::time::{Millis, Timestamp};
use subtle::ConstantTimeEq as _;

/// For so long a nonce is given, and for as long again it is taken.
const PERIOD: Millis = Millis::from_secs(300);
const LABEL: &[u8] = b"DPoP nonce";
const MAC_BYTES: usize = 16;
/// Of a nonce: base64url of the root key's id, 4 bytes, and the MAC.
const NONCE_CHARACTERS: usize = 27;

impl Tokens {
    /// Checks a proof, but for its nonce and whether it was shown before.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn dpop_proof(&self, proof: &str, expected: &Expected<'_>) -> Result<Proven, Refusal> {
        dpop::check(proof, expected, |key, message, signature| verifies(key, key.usual(), message, signature))
    }

    /// The nonce that proofs may name now.
    ///
    /// # Errors
    /// `Error::RootKeyMissing`. `Error::Internal` where the active key is burnt.
    pub fn dpop_nonce(&self, now: Timestamp) -> Result<String> {
        let key = self.roots.active();
        let mac: [u8; MAC_BYTES] = first(&self.mint(key, Use::DpopNonce, &[LABEL, &period(now)])?);
        Ok(URL_SAFE_NO_PAD.encode([&key.0[..], &mac].concat()))
    }

    /// Whether a proof may name this nonce now: it was given in this period or the one before, by whatever replica.
    #[must_use]
    pub fn is_dpop_nonce(&self, nonce: &str, now: Timestamp) -> bool {
        let bytes = (nonce.len() == NONCE_CHARACTERS).then(|| URL_SAFE_NO_PAD.decode(nonce).ok()).flatten().unwrap_or_default();
        let Some((key, shown)) = bytes.split_first_chunk::<4>() else { return false };
        [now, now.minus(PERIOD)].into_iter().any(|at| {
            // Of a key that is not here nothing is known: whoever shows it is given another nonce, which costs him one request.
            let mac = self.roots.mac(KeyId(*key), Use::DpopNonce, &[LABEL, &period(at)]).ok().flatten();
            mac.is_some_and(|mac| first::<MAC_BYTES>(&mac).ct_eq(shown).into())
        })
    }
}

/// The number of the period that a moment is in.
const fn period(at: Timestamp) -> [u8; 8] {
    (at.millis() / PERIOD.get()).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roots::Roots;
    use crate::signing::{Settings, Signing};
    use jeton_domain::secret::Secret;
    use std::sync::Arc;

    fn tokens(keys: &[u8]) -> Tokens {
        let roots = Roots::new(&keys.iter().map(|key| Secret::new([*key; 32])).collect::<Vec<_>>()).unwrap();
        let hour = Millis::from_secs(3_600);
        let settings = Settings {
            rotation_period: hour,
            publish_ahead: hour,
            jwks_max_age: hour,
            keep_after_retirement: hour,
            makes_rs256: false,
        };
        Tokens::new(Arc::new(roots), Arc::new(Signing::new(settings)), "https://issuer".into(), 0)
    }

    #[test]
    fn a_nonce_is_taken_in_its_period_and_the_next_by_every_replica() {
        let (one, other) = (tokens(&[1, 2]), tokens(&[2, 1]));
        let given = Timestamp::from_secs(900);
        let nonce = one.dpop_nonce(given).unwrap();
        assert_eq!(nonce.len(), NONCE_CHARACTERS);
        for (at, taken) in [(599, false), (899, false), (900, true), (1_199, true), (1_499, true), (1_500, false)] {
            for tokens in [&one, &other] {
                assert_eq!(tokens.is_dpop_nonce(&nonce, Timestamp::from_secs(at)), taken, "{at}");
            }
        }
        assert!(!tokens(&[3]).is_dpop_nonce(&nonce, given), "of another ring");
    }

    #[test]
    fn what_was_not_given_is_not_taken() {
        let tokens = tokens(&[1]);
        let now = Timestamp::from_secs(1_000);
        let nonce = tokens.dpop_nonce(now).unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(&nonce).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert!(!tokens.is_dpop_nonce(&URL_SAFE_NO_PAD.encode(&bytes), now), "{at}");
            bytes[at] ^= 1;
        }
        for other in ["", "x", &format!("{nonce}A"), &"A".repeat(NONCE_CHARACTERS)] {
            assert!(!tokens.is_dpop_nonce(other, now), "{other}");
        }
    }
}

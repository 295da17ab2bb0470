//! Proving JWTs with the signing keys of this replica. How strictly they are read is the domain's (`jws`).

use super::Tokens;
use crate::signing::{KeyState, Signing, VerifyingKey};
use jeton_domain::error::{Error, Result};
use jeton_domain::jws::{self, Keys, NotGenuine, Typ, Verified};
use jeton_domain::time::Timestamp;
use std::sync::Arc;

impl Tokens {
    /// Checks a compact JWS: form, key, algorithm, type, signature, issuer, types of claims. `exp` is not judged.
    ///
    /// # Errors
    /// `Error::Internal` where no signing keys are loaded: then nothing can be told of a key.
    pub fn verify(&self, jws: &str, now: Timestamp) -> Result<Verified> {
        match jws::verify(jws, self.issuer(), &KeysAt { signing: &self.signing, now }) {
            Verified::No(NotGenuine::UnknownKey) if !self.signing.is_installed() => {
                Err(Error::Internal("no signing keys are loaded".into()))
            }
            verified => Ok(verified),
        }
    }
}

/// The keys that are published at a moment.
struct KeysAt<'a> {
    signing: &'a Signing,
    now: Timestamp,
}

impl Keys for KeysAt<'_> {
    type Key = VerifyingKey;

    fn by_kid(&self, kid: &str) -> Result<Arc<VerifyingKey>, NotGenuine> {
        self.signing.verifier(kid, self.now).ok_or_else(|| match self.signing.state(kid, self.now) {
            Some(KeyState::Burnt) => NotGenuine::BurntKey,
            _ => NotGenuine::UnknownKey,
        })
    }

    fn by_header(&self, header: &str) -> Option<(Arc<VerifyingKey>, Typ)> {
        self.signing.verifier_by_header(header, self.now)
    }
}

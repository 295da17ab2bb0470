//! Tokens that were checked lately, by the hash of their text. What is known of one is judged again each time.

use super::recent::Recent;
use super::view::SaltHash;
use jeton_domain::access::{self, Asker, Dead, Standing};
use jeton_domain::claims::Said;
use jeton_domain::floors::Floors;
use jeton_domain::id::TargetId;
use jeton_domain::time::{Millis, Timestamp};
use sha2::{Digest as _, Sha256};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Parts with a lock of their own, so that threads seldom meet.
const PARTS: usize = 16;
/// A token that is longer is not remembered: it would be checked anew rather than take the place of many.
const MAX_TOKEN_BYTES: usize = 4 * 1_024;

/// SHA-256 of a token. The token itself is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(crate) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

/// A genuine access token.
#[derive(Debug)]
pub(crate) struct Known {
    pub said: Arc<Said>,
    pub proof: Proof,
    targets: Vec<TargetId>,
    told: AtomicBool,
}

/// Why it is taken for genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Its signature; its targets were made with this salt.
    Signature {
        /// Which.
        salted: SaltHash,
    },
    /// jeton's word, which holds until then (on the clock's run).
    Answer {
        /// When it ends.
        until: Millis,
    },
}

impl Known {
    pub(crate) const fn new(said: Arc<Said>, targets: Vec<TargetId>, proof: Proof) -> Self {
        Self { said, proof, targets, told: AtomicBool::new(false) }
    }

    /// Judges it under these floors.
    pub(crate) fn judge(&self, now: Timestamp, resource: &str, floors: &Floors) -> Result<(), Dead> {
        let Said { born, exp, nbf, aud, ancestors, .. } = &*self.said;
        let standing = Standing { born: *born, exp: *exp, nbf: *nbf, audience: aud, targets: &self.targets, ancestors };
        access::judge(&standing, now, Asker::Resource(resource), None, standing.killing(floors))
    }

    /// Whether jeton does not know yet that it was seen. True once.
    pub(crate) fn is_to_be_told(&self) -> bool {
        matches!(self.proof, Proof::Signature { .. }) && !self.told.swap(true, Ordering::Relaxed)
    }
}

/// The tokens that were checked lately, within a bound.
#[derive(Debug)]
pub(crate) struct KnownTokens([Mutex<Recent<TokenHash, Arc<Known>>>; PARTS]);

impl KnownTokens {
    pub(crate) fn new(most: usize) -> Self {
        Self(std::array::from_fn(|_| Mutex::new(Recent::new(most / PARTS))))
    }

    pub(crate) fn get(&self, hash: &TokenHash) -> Option<Arc<Known>> {
        self.part(hash)?.lock().unwrap_or_else(PoisonError::into_inner).get(hash).map(Arc::clone)
    }

    pub(crate) fn insert(&self, hash: TokenHash, token: &str, known: &Arc<Known>) {
        if let Some(part) = self.part(&hash).filter(|_| token.len() <= MAX_TOKEN_BYTES) {
            part.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, Arc::clone(known));
        }
    }

    fn part(&self, hash: &TokenHash) -> Option<&Mutex<Recent<TokenHash, Arc<Known>>>> {
        let TokenHash([first, ..]) = hash;
        self.0.get(usize::from(*first) % PARTS)
    }
}

//! Phantom tokens that were made lately, so that not every request costs a signature. Each is found by the SHA-256 of the token that it
//! stands for. Must not live here: whether that token is alive; who asks for its phantom has just seen that it is.

use super::cache::bounded;
use super::{Digest, Tokens};
use jeton_domain::secret::SecretText;
use jeton_domain::time::Timestamp;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// What an entry takes beside its text.
const ENTRY_BYTES: usize = 32 + 64 + size_of::<Phantom>();

/// A JWT that stands for an access token.
#[derive(Clone, Debug)]
pub struct Phantom {
    /// The JWT.
    pub jwt: SecretText,
    /// It is used again before this.
    pub until: Timestamp,
    /// The number of the keys before it was made.
    pub keys: u64,
}

/// How much of the cache an entry takes.
#[derive(Clone)]
struct Bytewise;

impl Weighter<Digest, Phantom> for Bytewise {
    fn weight(&self, _token: &Digest, phantom: &Phantom) -> u64 {
        u64::try_from(ENTRY_BYTES.saturating_add(phantom.jwt.expose().len())).unwrap_or(u64::MAX)
    }
}

/// Those that are kept, within bounds.
pub(super) struct Phantoms(Cache<Digest, Phantom, Bytewise>);

impl Phantoms {
    /// At most so many bytes; none: nothing is kept.
    pub(super) fn new(bytes: u64) -> Self {
        Self(bounded(bytes, Bytewise))
    }
}

impl Tokens {
    /// The phantom of a token, where one is kept that may be used again.
    #[must_use]
    pub fn phantom(&self, token: &Digest, now: Timestamp) -> Option<SecretText> {
        let phantom = self.phantoms.0.get(token)?;
        (now < phantom.until && phantom.keys == self.keys()).then_some(phantom.jwt)
    }

    /// Keeps one, as long as there is room.
    pub fn keep_phantom(&self, token: Digest, phantom: Phantom) {
        self.phantoms.0.insert(token, phantom);
    }
}

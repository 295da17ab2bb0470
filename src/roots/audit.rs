//! The keys of the audit stream: one proves its lines, the other finds in it tokens and people that it does not name.
//!
//! They are derived from a root key under labels of their own, and a burnt root key still proves what was written under it.

use super::{extract, key_id, mac, mac_key};
use aws_lc_rs::hmac;
use jeton_domain::error::Result;
use jeton_domain::id::KeyId;
use jeton_domain::secret::Secret;
use std::fmt;

/// What stands in the stream as a keyed hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// A token, a code, a client secret.
    Token,
    /// A subject.
    Subject,
    /// A session.
    Session,
}

impl Hidden {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Token => b"k",
            Self::Subject => b"u",
            Self::Session => b"s",
        }
    }
}

/// The keys under one root key.
pub struct AuditKey {
    id: KeyId,
    chain: hmac::Key,
    find: hmac::Key,
}

impl AuditKey {
    /// Derives them.
    ///
    /// # Errors
    /// `Internal`.
    pub fn derive(key: &Secret<32>) -> Result<Self> {
        let prk = extract(key);
        Ok(Self { id: key_id(&prk)?, chain: mac_key(&prk, "jeton v1 audit chain")?, find: mac_key(&prk, "jeton v1 audit find")? })
    }

    /// The root key.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// What proves a line that comes after one with the proof `before`.
    #[must_use]
    pub fn proof(&self, before: &[u8; 32], line: &[u8]) -> [u8; 32] {
        mac(&self.chain, &[before, line])
    }

    /// What stands in the stream in place of this.
    #[must_use]
    pub fn hash(&self, of: Hidden, text: &str) -> [u8; 16] {
        let whole = mac(&self.find, &[of.label(), text.as_bytes()]);
        let mut half = [0; 16];
        half.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        half
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditKey").field("id", &self.id).finish_non_exhaustive()
    }
}

//! The order of root keys, as the decision needs it. The keys themselves live in the service's `roots`.

use crate::id::KeyId;

/// The age of every root key known to the store's ring document, and which of them is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingOrder {
    active: KeyId,
    seqs: Vec<(KeyId, u32)>,
}

impl RingOrder {
    /// `seqs` in any order; a higher number is a newer key.
    #[must_use]
    pub const fn new(active: KeyId, seqs: Vec<(KeyId, u32)>) -> Self {
        Self { active, seqs }
    }

    /// Whether `a` came into the ring after `b`. A key that is not in the ring is older than all.
    #[must_use]
    pub fn newer(&self, a: KeyId, b: KeyId) -> bool {
        a != b && self.seq(a) > self.seq(b)
    }

    /// Whether `a` came into the ring before `b`.
    #[must_use]
    pub fn older(&self, a: KeyId, b: KeyId) -> bool {
        self.newer(b, a)
    }

    /// The newer of the active key and `held`.
    #[must_use]
    pub fn newest(&self, held: KeyId) -> KeyId {
        if self.newer(self.active, held) { self.active } else { held }
    }

    /// The key that this replica was told to hand out under.
    #[must_use]
    pub const fn active(&self) -> KeyId {
        self.active
    }

    /// Every key of the ring document, and its age.
    #[must_use]
    pub fn seqs(&self) -> &[(KeyId, u32)] {
        &self.seqs
    }

    /// Whether the ring document has it.
    #[must_use]
    pub fn contains(&self, key: KeyId) -> bool {
        self.seq(key).is_some()
    }

    fn seq(&self, key: KeyId) -> Option<u32> {
        self.seqs.iter().find(|(id, _)| *id == key).map(|(_, seq)| *seq)
    }
}

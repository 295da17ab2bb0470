//! How the generations of a grant move on: what arrived, one step, a leap forward after a rollback. Verdicts are not made here.

use crate::client::{Client, Rotation};
use crate::grant::{Grant, Lineage};
use crate::id::{Generation, Identity, KeyId};
use crate::ring::RingOrder;
use crate::time::Timestamp;

/// What part of the idle lifetime `near-expiry` waits before it rotates, in hundredths.
const NEAR_EXPIRY_PERCENT: u64 = 70;

impl Lineage {
    /// Whether `generation` is known to have been presented, or an access token of it to have been seen.
    #[must_use]
    pub fn has_arrived(&self, generation: Generation) -> bool {
        generation == self.parent
            || self.newest.checked_sub(generation).is_some_and(|below| self.arrived.checked_shr(below).unwrap_or(0) & 1 == 1)
    }

    /// Makes `to` (above the newest) the newest generation, handed out now.
    pub(crate) fn step(&mut self, to: Generation, now: Timestamp) {
        if self.arrived & 1 == 1 {
            self.parent = self.newest;
        }
        self.arrived = self.arrived.checked_shl(to.saturating_sub(self.newest)).unwrap_or(0);
        self.newest = to;
        self.handed_at = now;
        self.used_at = now;
    }

    /// Goes forward to a genuine generation above the newest: the store lost what lay between, so all of it, the newest
    /// of the record included, may have been used by whoever holds `to`. Says whether no rollback explains it.
    pub(crate) fn forward(&mut self, to: Generation, now: Timestamp, identity: Identity) -> bool {
        let unexplained = self.identity == identity;
        let lost = to.saturating_sub(self.newest);
        self.step(to, now);
        self.arrived |= u32::MAX.checked_shr(31_u32.saturating_sub(lost)).unwrap_or(u32::MAX);
        self.request = None;
        unexplained
    }

    /// Lets the newest generation be minted under `key`, if that is newer than its own.
    pub(crate) fn adopt_key(&mut self, key: KeyId, ring: &RingOrder) {
        if ring.newer(key, self.key) {
            self.key = key;
            self.key_since = self.newest;
        }
    }

    /// Whether a token of `generation` under `key` proves nothing, for a newer key had taken over by then.
    pub(crate) fn outdates(&self, generation: Generation, key: KeyId, ring: &RingOrder) -> bool {
        ring.older(key, self.key) && generation >= self.key_since
    }
}

impl Grant {
    /// Whether whoever presents its tokens has proved himself: by the bound key or certificate, or as a confidential client.
    #[must_use]
    pub const fn is_held(&self, client: &Client) -> bool {
        self.binding.is_some() || client.is_confidential()
    }

    /// Whether a refresh with the newest generation hands out a new one.
    pub(crate) fn rotates(&self, now: Timestamp, client: &Client, ring: &RingOrder) -> bool {
        let lineage = &self.lineage;
        let near_expiry = || {
            let since = lineage.handed_at.max(self.created_at);
            now >= since.plus(self.idle.percent(NEAR_EXPIRY_PERCENT)) || ring.newest(lineage.key) != lineage.key
        };
        match client.rotation {
            Rotation::Always => true,
            Rotation::UnboundPublic => !self.is_held(client) || near_expiry(),
            Rotation::NearExpiry => near_expiry(),
            Rotation::Never => false,
        }
    }
}

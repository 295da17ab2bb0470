//! How the generations of a grant move on: what arrived, one step, a leap forward after a rollback. Verdicts are not made here.

use crate::client::{Client, Rotation};
use crate::grant::{Grant, Lineage};
use crate::id::{Generation, Identity, KeyId};
use crate::ring::RingOrder;
use crate::time::{Millis, Timestamp};

/// What part of the idle lifetime `near-expiry` waits before it rotates, in hundredths.
const NEAR_EXPIRY_PERCENT: u64 = 70;
/// What part of the overlap passes before an answered parent starts it anew, in hundredths. A message travels at most two fifths
/// each way, so whoever still holds the parent when this answer arrives is heard within four fifths of it.
const ANEW_AFTER_PERCENT: u64 = 20;

impl Lineage {
    /// Whether `generation` is known to have been presented, or an access token of it to have been seen.
    #[must_use]
    pub fn has_arrived(&self, generation: Generation) -> bool {
        generation == self.parent
            || self.newest.checked_sub(generation).is_some_and(|below| self.arrived.checked_shr(below).unwrap_or(0) & 1 == 1)
    }

    /// Whether the newest generation was handed out, or its overlap begun anew, less than `overlap` ago.
    pub(crate) fn is_fresh(&self, now: Timestamp, overlap: Millis) -> bool {
        self.handed_at > Timestamp::NEVER && now.since(self.handed_at) < overlap
    }

    /// Keeps what it tells that the newest generation was handed out once more, where a second holder would show.
    ///
    /// For one below it, while it has not arrived: its overlap begins anew, for this reply may be the one that arrives. For
    /// itself, in an overlap begun anew: it arrived, so that whoever still holds the parent cannot begin it anew for ever.
    pub(crate) fn answer_again(&mut self, presented: Generation, now: Timestamp, overlap: Millis) {
        if self.has_arrived(self.newest) || !self.is_fresh(now, overlap) {
            return;
        }
        if presented == self.newest {
            self.arrived |= u32::from(self.began_anew());
        } else if now.since(self.handed_at) >= overlap.percent(ANEW_AFTER_PERCENT) {
            self.used_at = self.used_at.max(self.handed_at);
            self.handed_at = now;
        }
    }

    /// Whether the overlap that is not over yet began anew since the step.
    fn began_anew(&self) -> bool {
        self.handed_at != self.used_at
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

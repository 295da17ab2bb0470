//! The floors that are alive, in memory: the map of a replica's view and of a watching verifier.
//!
//! Lives here: raising, asking, forgetting. Must not live here: how entries are fetched or when (`floors` of the service).

use crate::error::{Cause, Ended};
use crate::id::TargetId;
use crate::revision::{Born, Floor, Revision};
use crate::target::{Reason, TargetKind};
use crate::time::{Millis, Timestamp};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// One target raised, as the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raised {
    /// What was raised.
    pub target: TargetId,
    /// How high.
    pub floor: Floor,
    /// What kind of target it is.
    pub kind: TargetKind,
    /// Why.
    pub reason: Reason,
    /// When, on the store's clock: what its age counts from.
    pub at: Timestamp,
    /// Where in the log.
    pub revision: Revision,
}

impl Raised {
    /// When and why what lies under this floor ended.
    #[must_use]
    pub const fn ended(&self) -> Ended {
        Ended { at: self.at, cause: self.cause() }
    }

    /// Why what lies under this floor ended.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.kind.cause(self.reason)
    }
}

/// The highest floor of each target, and when it was raised. Joining is idempotent and does not depend on order.
#[derive(Clone, Debug, Default)]
pub struct Floors {
    raised: HashMap<TargetId, Raised>,
    key_burnt: Revision,
}

impl Floors {
    /// Joins one entry: the highest floor wins, and of equal floors the latest.
    pub fn join(&mut self, raised: Raised) {
        if raised.kind == TargetKind::SigningKey {
            self.key_burnt = self.key_burnt.max(raised.revision);
        }
        match self.raised.entry(raised.target) {
            Entry::Vacant(slot) => {
                slot.insert(raised);
            }
            Entry::Occupied(mut slot) => {
                let held = slot.get();
                if (raised.floor, raised.revision) > (held.floor, held.revision) {
                    slot.insert(raised);
                }
            }
        }
    }

    /// The floor that kills what was born at `born` and has these targets; none if it lives.
    #[must_use]
    pub fn killing(&self, targets: &[TargetId], born: Born) -> Option<&Raised> {
        if self.raised.is_empty() {
            return None;
        }
        targets.iter().filter_map(|target| self.raised.get(target)).find(|raised| raised.floor.kills(born))
    }

    /// What is known of a target.
    #[must_use]
    pub fn get(&self, target: TargetId) -> Option<&Raised> {
        self.raised.get(&target)
    }

    /// Where the last burning of a signing key is: who read the keys before it may hold one that proves nothing any more.
    #[must_use]
    pub const fn key_burnt(&self) -> Revision {
        self.key_burnt
    }

    /// Forgets what is both settled and older than `horizon`: no token that it could kill is alive.
    pub fn forget(&mut self, now: Timestamp, horizon: Millis, settled: Revision) {
        self.raised.retain(|_, raised| raised.revision > settled || now.since(raised.at) <= horizon);
    }

    /// How many targets are raised.
    #[must_use]
    pub fn len(&self) -> usize {
        self.raised.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.raised.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raised(floor: u64, micros: u64) -> Raised {
        Raised {
            target: TargetId([1; 16]),
            floor: Floor(floor),
            kind: TargetKind::Subject,
            reason: Reason::SignOut,
            at: Timestamp::from_millis(micros / 1_000),
            revision: Revision { micros, random: 7 },
        }
    }

    #[test]
    fn joining_does_not_depend_on_order_or_repetition() {
        let (low, high) = (raised(10, 10), raised(20, 20));
        for order in [[low, high, low], [high, low, high]] {
            let mut floors = Floors::default();
            order.into_iter().for_each(|one| floors.join(one));
            assert_eq!(floors.get(TargetId([1; 16])), Some(&high));
            assert!(floors.killing(&[TargetId([1; 16])], Born(19)).is_some());
            assert!(floors.killing(&[TargetId([1; 16])], Born(20)).is_none());
            assert!(floors.killing(&[TargetId([2; 16])], Born(0)).is_none());
        }
    }

    #[test]
    fn the_last_burning_of_a_key_is_remembered() {
        let mut floors = Floors::default();
        floors.join(raised(5, 5));
        assert_eq!(floors.key_burnt(), Revision::START);
        for micros in [30, 20] {
            floors.join(Raised { kind: TargetKind::SigningKey, floor: Floor::INFINITE, ..raised(0, micros) });
        }
        assert_eq!(floors.key_burnt(), Revision { micros: 30, random: 7 });
    }

    #[test]
    fn nothing_unsettled_and_nothing_young_is_forgotten() {
        let mut floors = Floors::default();
        floors.join(raised(5_000_000, 5_000_000));
        let horizon = Millis::from_secs(10);
        floors.forget(Timestamp::from_secs(100), horizon, Revision::START);
        assert_eq!(floors.len(), 1, "not settled");
        floors.forget(Timestamp::from_secs(15), horizon, Revision { micros: 5_000_000, random: 7 });
        assert_eq!(floors.len(), 1, "not older than the horizon");
        floors.forget(Timestamp::from_secs(16), horizon, Revision { micros: 5_000_000, random: 7 });
        assert!(floors.is_empty());
    }
}

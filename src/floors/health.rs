//! How the view is, and what of it an operator should know, in words without numbers that change: each is told once.

use crate::store::{Era, EraState};
use jeton_domain::error::Error;
use jeton_domain::revision::Revision;
use jeton_domain::time::Millis;

/// How a view is.
#[derive(Clone, Copy, Debug)]
pub struct Health {
    /// How long ago the last proof of freshness was asked for; none before the first.
    pub age: Option<Millis>,
    /// Whether that is longer ago than answers from memory may be.
    pub stale: bool,
    /// Where it stands.
    pub head: Revision,
    /// Up to where the log is settled.
    pub settled: Revision,
    /// How far healing is; none before the first catch-up.
    pub era: Option<Era>,
    /// Whether all that this replica knew was put back under the store's primary.
    pub healed: bool,
    /// Whether all replicas of the store have acknowledged that this one is there, under that primary.
    pub joined: bool,
    /// How many floors it holds.
    pub entries: usize,
    /// The most it holds before what is settled is asked of the store.
    pub max_entries: usize,
    /// Bytes that they take.
    pub bytes: usize,
    /// Whether it holds every floor of the log.
    pub whole: bool,
}

const NOT_READ: &str = "the log of revocations was not read yet";
const STALE: &str =
    "what is known of the revocations is older than `tokens.max_staleness`: introspection has to wait for the store";
const NOT_JOINED: &str = "not all replicas of the store have acknowledged this replica: nothing is issued before they have";
const HEALING: &str = "the store changed its primary: revocations that it may have lost are being put back";
const FULL: &str = "the view of revocations is full, and what is settled is asked of the store: raise `limits.view_entries`";
const NEARLY_FULL: &str =
    "the view of revocations is over 80 % full: raise `limits.view_entries` before introspection slows down";

impl Health {
    /// Whether it is being healed.
    #[must_use]
    pub fn is_healing(&self) -> bool {
        self.era.is_some_and(|era| era.state == EraState::Healing || (era.state == EraState::Healed && !self.healed))
    }

    /// What keeps this replica from answering as it should.
    #[must_use]
    pub fn wrong(&self) -> Vec<String> {
        let restored = match self.era {
            Some(Era { state: EraState::Restored { last_seen }, .. }) => Some(Error::Restored(last_seen).to_string()),
            _ => None,
        };
        let told = [
            (self.era.is_none(), NOT_READ),
            (self.stale && self.is_healing(), HEALING),
            (self.stale && self.era.is_some() && restored.is_none(), STALE),
        ];
        restored.into_iter().chain(words(&told)).collect()
    }

    /// What does not, but is worth a look.
    #[must_use]
    pub fn remarkable(&self) -> Vec<String> {
        let nearly_full = self.entries.saturating_mul(5) > self.max_entries.saturating_mul(4);
        let told = [
            (!self.stale && self.is_healing(), HEALING),
            // Introspect and Refresh rest on it no more than on a replica of the store that is down.
            (!self.joined && self.era.is_some(), NOT_JOINED),
            (!self.whole, FULL),
            (self.whole && nearly_full, NEARLY_FULL),
        ];
        words(&told).collect()
    }
}

fn words(told: &[(bool, &str)]) -> impl Iterator<Item = String> {
    told.iter().filter(|(holds, _)| *holds).map(|(_, words)| (*words).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jeton_domain::time::Timestamp;

    fn well() -> Health {
        Health {
            age: Some(Millis::ZERO),
            stale: false,
            head: Revision::START,
            settled: Revision::START,
            era: Some(Era { marker: Revision::START, state: EraState::Healed }),
            healed: true,
            joined: true,
            entries: 80,
            max_entries: 100,
            bytes: 80 * 64,
            whole: true,
        }
    }

    #[test]
    fn each_is_told_where_it_holds_and_a_fresh_view_that_heals_is_not_wrong() {
        let era = |state| Some(Era { marker: Revision::START, state });
        let healing = Health { era: era(EraState::Healing), ..well() };
        let restored = Health { era: era(EraState::Restored { last_seen: Timestamp::from_secs(7) }), stale: true, ..well() };
        let rows: [(Health, &[&str], &[&str]); 9] = [
            (well(), &[], &[]),
            (Health { age: None, stale: true, era: None, joined: false, ..well() }, &[NOT_READ], &[]),
            (Health { stale: true, ..well() }, &[STALE], &[]),
            (Health { joined: false, ..well() }, &[], &[NOT_JOINED]),
            (healing, &[], &[HEALING]),
            (Health { healed: false, ..well() }, &[], &[HEALING]),
            (Health { stale: true, ..healing }, &[HEALING, STALE], &[]),
            (Health { entries: 81, ..well() }, &[], &[NEARLY_FULL]),
            (Health { entries: 120, whole: false, ..well() }, &[], &[FULL]),
        ];
        for (health, wrong, remarkable) in rows {
            assert_eq!(
                (health.wrong(), health.remarkable()),
                (wrong.iter().map(ToString::to_string).collect(), remarkable.iter().map(ToString::to_string).collect()),
                "{health:?}"
            );
        }
        assert!(restored.wrong().concat().contains("`jeton heal --accept`") && restored.wrong().len() == 1);
    }
}

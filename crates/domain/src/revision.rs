//! A place in the log of revocations, and the `born` of a token: what orders a token against a revocation, instead of a clock.

use std::fmt;

/// A place in the log: the log's microseconds, and 64 random bits so that it is never used twice, even after a rollback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// Microseconds since the epoch as the log counts them: monotonic, below 2^53.
    pub micros: u64,
    /// Random; distinguishes two histories that reached the same microsecond.
    pub random: u64,
}

impl Revision {
    /// Before the first entry of the log.
    pub const START: Self = Self { micros: 0, random: 0 };

    /// Reads what `Display` writes: `<microseconds>-<random>`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (micros, random) = text.split_once('-')?;
        let digits = |part: &str| {
            (!part.is_empty() && part.len() <= 20 && part.bytes().all(|b| b.is_ascii_digit()))
                .then(|| part.parse().ok())
                .flatten()
        };
        Some(Self { micros: digits(micros)?, random: digits(random)? })
    }

    /// The `born` of what is issued while the log's head is here.
    #[must_use]
    pub const fn born(self) -> Born {
        Born(self.micros)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.micros, self.random)
    }
}

/// Places of a lost history: above `tail` and below `marker`, where the next era begins. What was acknowledged there may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The last place that the next era found.
    pub tail: Revision,
    /// Its own first.
    pub marker: Revision,
}

impl Lost {
    /// Whether this place may have been lost.
    #[must_use]
    pub fn holds(&self, revision: Revision) -> bool {
        self.tail < revision && revision < self.marker
    }
}

/// The log's head when a grant was issued, in the log's microseconds (below 2^53, so that JSON keeps it exact).
/// Every token of the grant carries it; a floor above it is death.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Born(pub u64);

/// How high a target was raised: what was born below it is dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Floor(pub u64);

impl Floor {
    /// Above every `born`: tokens, grants, sessions and signing keys are raised to it.
    pub const INFINITE: Self = Self(u64::MAX);

    /// Whether what was born at `born` is dead under this floor.
    #[must_use]
    pub const fn kills(self, born: Born) -> bool {
        self.0 > born.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_reads_back_and_nothing_else_does() {
        let revision = Revision { micros: 1_700_000_000_000_000, random: u64::MAX };
        assert_eq!(Revision::parse(&revision.to_string()), Some(revision));
        for bad in ["", "-", "1", "1-", "-1", "+1-1", "1-1-1", "1-99999999999999999999", " 1-1"] {
            assert_eq!(Revision::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_floor_kills_what_was_born_below_it_only() {
        assert!(Floor(2).kills(Born(1)));
        assert!(!Floor(2).kills(Born(2)));
        assert!(Floor::INFINITE.kills(Born((1 << 53) - 1)));
    }
}

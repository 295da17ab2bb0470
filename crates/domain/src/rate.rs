//! How often something may happen, for each of any number of names, in memory that never grows.
//!
//! A bucket of tokens for each name, which fills by and by; kept as the moment at which it will be full again. A name is a keyed hash and has
//! one place in each of four rows, which it shares with other names: it is over its rate only where all four places are. So a few strangers
//! who use up theirs cost it nothing, and who floods with many names cannot choose whose places he takes.

use crate::time::Millis;
use std::fmt;
use std::iter;
use std::sync::atomic::{AtomicU64, Ordering};

const ROWS: u32 = 4;
/// Bits of a name that are its place in a row: 16,384 places, 128 KiB.
const BITS: u32 = 14;
const NANOS_A_MILLI: u64 = 1_000_000;
const NANOS_A_SECOND: u64 = 1_000_000_000;

/// How often: what one costs, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(u64);

impl Rate {
    /// So many a second; none for 0, which stands for as many as one likes.
    #[must_use]
    pub const fn per_second(number: u32) -> Option<Self> {
        match NANOS_A_SECOND.checked_div(number as u64) {
            Some(each) => Some(Self(each)),
            None => None,
        }
    }
}

/// How far each name has used up its rate.
pub struct Buckets {
    /// What a full bucket holds, in nanoseconds.
    most: u64,
    /// All rows, one after another: the nanosecond at which each bucket will be full.
    full_at: Box<[AtomicU64]>,
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buckets {{ most: {} ns, .. }}", self.most)
    }
}

impl Buckets {
    /// What a name may do in so long it may do at once: not shorter than what one costs at any rate, or that is never allowed.
    #[must_use]
    pub fn new(at_once: Millis) -> Self {
        let full_at = iter::repeat_with(AtomicU64::default).take(1 << (BITS + 2)).collect();
        Self { most: at_once.get().saturating_mul(NANOS_A_MILLI), full_at }
    }

    /// Takes one of this name's, where one is left at its rate. `run` is how long the clock has run.
    pub fn take(&self, name: u64, rate: Rate, run: Millis) -> bool {
        let now = run.get().saturating_mul(NANOS_A_MILLI);
        let one_more = |full_at: u64| Some(with_one_more(full_at, rate, now)).filter(|full_at| self.holds(*full_at, now));
        // In each of its places, whatever the others say.
        let taken = self.places(name).filter(|place| place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok());
        taken.count() > 0
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_spent(&self, name: u64, rate: Rate, run: Millis) -> bool {
        let now = run.get().saturating_mul(NANOS_A_MILLI);
        self.places(name).all(|place| !self.holds(with_one_more(place.load(Ordering::Relaxed), rate, now), now))
    }

    const fn holds(&self, full_at: u64, now: u64) -> bool {
        full_at <= now.saturating_add(self.most)
    }

    fn places(&self, name: u64) -> impl Iterator<Item = &AtomicU64> {
        (0..ROWS).filter_map(move |row| {
            let in_row = (name >> (row * BITS)) & ((1 << BITS) - 1);
            self.full_at.get(usize::try_from((u64::from(row) << BITS) | in_row).ok()?)
        })
    }
}

fn with_one_more(full_at: u64, rate: Rate, now: u64) -> u64 {
    full_at.max(now).saturating_add(rate.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As good as a keyed hash.
    fn hash(number: u64) -> u64 {
        let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    fn rate(per_second: u32) -> Rate {
        Rate::per_second(per_second).unwrap()
    }

    fn taken(buckets: &Buckets, name: u64, per_second: u32, run: u64) -> usize {
        (0..1_000).take_while(|_| buckets.take(name, rate(per_second), Millis::new(run))).count()
    }

    #[test]
    fn a_burst_then_the_rate() {
        let buckets = Buckets::new(Millis::from_secs(3));
        assert_eq!(taken(&buckets, hash(1), 10, 5_000), 30);
        let is_spent_at = |run| buckets.is_spent(hash(1), rate(10), Millis::new(run));
        assert!(is_spent_at(5_099) && !is_spent_at(5_100));
        assert_eq!(taken(&buckets, hash(1), 10, 5_500), 5);
        assert_eq!(taken(&buckets, hash(1), 10, 60_000), 30, "never more than at the beginning");
    }

    #[test]
    fn each_has_a_rate_of_its_own_and_none_is_as_many_as_one_likes() {
        let buckets = Buckets::new(Millis::from_secs(1));
        assert_eq!((taken(&buckets, hash(1), 3, 0), taken(&buckets, hash(2), 700, 0)), (3, 700));
        assert_eq!((taken(&buckets, hash(1), 3, 500), taken(&buckets, hash(2), 700, 500)), (1, 350));
        assert_eq!(Rate::per_second(0), None);
    }

    #[test]
    fn more_than_one_a_millisecond_is_counted_too() {
        let buckets = Buckets::new(Millis::new(2));
        assert_eq!(taken(&buckets, hash(1), 50_000, 7), 100);
        assert_eq!(taken(&buckets, hash(1), 50_000, 8), 50);
    }

    #[test]
    fn asking_whether_some_are_left_takes_none() {
        let buckets = Buckets::new(Millis::from_secs(1));
        let is_spent = || buckets.is_spent(hash(1), rate(1), Millis::new(0));
        assert!((0..10).all(|_| !is_spent()));
        assert!(buckets.take(hash(1), rate(1), Millis::new(0)) && is_spent());
    }

    #[test]
    fn who_uses_up_a_thousand_names_costs_hardly_another_anything() {
        let buckets = Buckets::new(Millis::from_secs(10));
        let is_spent = |name: u64| buckets.is_spent(hash(name), rate(1), Millis::new(0));
        for name in 0..1_000 {
            taken(&buckets, hash(name), 1, 0);
            assert!(is_spent(name));
        }
        let refused = (1_000_000..1_100_000).filter(|name| is_spent(*name)).count();
        assert!(refused < 20, "{refused} of 100,000 share all their places with strangers");
    }
}

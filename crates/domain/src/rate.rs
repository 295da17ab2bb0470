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

/// A rate, and how far each name has used it up.
pub struct Buckets {
    /// What one costs: nanoseconds in which a bucket gets one more.
    each: u64,
    /// What a full bucket holds.
    most: u64,
    /// All rows, one after another: the nanosecond at which each bucket will be full.
    full_at: Box<[AtomicU64]>,
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buckets {{ each: {} ns, most: {} ns, .. }}", self.each, self.most)
    }
}

impl Buckets {
    /// So many a second for each name, and `burst` at once, both at least one.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        let each = NANOS_A_SECOND / u64::from(per_second.max(1));
        let full_at = iter::repeat_with(AtomicU64::default).take(1 << (BITS + 2)).collect();
        Self { each, most: each.saturating_mul(u64::from(burst.max(1))), full_at }
    }

    /// Takes one of this name's, where one is left. `run` is how long the clock has run.
    pub fn take(&self, name: u64, run: Millis) -> bool {
        let now = run.get().saturating_mul(NANOS_A_MILLI);
        let one_more = |full_at: u64| Some(self.with_one_more(full_at, now)).filter(|full_at| self.holds(*full_at, now));
        // In each of its places, whatever the others say.
        let taken = self.places(name).filter(|place| place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok());
        taken.count() > 0
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_spent(&self, name: u64, run: Millis) -> bool {
        let now = run.get().saturating_mul(NANOS_A_MILLI);
        self.places(name).all(|place| !self.holds(self.with_one_more(place.load(Ordering::Relaxed), now), now))
    }

    fn with_one_more(&self, full_at: u64, now: u64) -> u64 {
        full_at.max(now).saturating_add(self.each)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As good as a keyed hash.
    fn hash(number: u64) -> u64 {
        let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    fn taken(buckets: &Buckets, name: u64, run: u64) -> usize {
        (0..1_000).take_while(|_| buckets.take(name, Millis::new(run))).count()
    }

    #[test]
    fn a_burst_then_the_rate() {
        let buckets = Buckets::new(10, 30);
        assert_eq!(taken(&buckets, hash(1), 5_000), 30);
        assert!(buckets.is_spent(hash(1), Millis::new(5_099)) && !buckets.is_spent(hash(1), Millis::new(5_100)));
        assert_eq!(taken(&buckets, hash(1), 5_500), 5);
        assert_eq!(taken(&buckets, hash(1), 60_000), 30, "never more than at the beginning");
    }

    #[test]
    fn more_than_one_a_millisecond_is_counted_too() {
        let buckets = Buckets::new(50_000, 100);
        assert_eq!(taken(&buckets, hash(1), 7), 100);
        assert_eq!(taken(&buckets, hash(1), 8), 50);
    }

    #[test]
    fn asking_whether_some_are_left_takes_none() {
        let buckets = Buckets::new(1, 1);
        assert!((0..10).all(|_| !buckets.is_spent(hash(1), Millis::new(0))));
        assert!(buckets.take(hash(1), Millis::new(0)) && buckets.is_spent(hash(1), Millis::new(0)));
    }

    #[test]
    fn who_uses_up_a_thousand_names_costs_hardly_another_anything() {
        let buckets = Buckets::new(1, 10);
        for name in 0..1_000 {
            taken(&buckets, hash(name), 0);
            assert!(buckets.is_spent(hash(name), Millis::new(0)));
        }
        let refused = (1_000_000..1_100_000).filter(|name| buckets.is_spent(hash(*name), Millis::new(0))).count();
        assert!(refused < 20, "{refused} of 100,000 share all their places with strangers");
    }
}

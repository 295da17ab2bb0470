//! The floors that are alive, in memory: the map of a replica's view and of a watching verifier.
//!
//! Lives here: raising, asking, forgetting, in at most 64 bytes an entry. Must not live here: how entries are fetched or when
//! (`floors` of the service).

use crate::error::{Cause, Ended};
use crate::id::TargetId;
use crate::revision::{Born, Floor, Revision};
use crate::target::{Reason, TargetKind};
use crate::time::{Millis, Timestamp};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher as _;

/// One target raised, as the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raised {
    /// What was raised.
    pub target: TargetId,
    /// What kind of target it is.
    pub kind: TargetKind,
    /// Why.
    pub reason: Reason,
    /// When, on the store's clock: what its age counts from. Anew where it was put back after a failover.
    pub at: Timestamp,
    /// Where in the log it was acknowledged: its floor, whatever became of that log.
    pub origin: Revision,
    /// Where in the log it is now: `origin`, or where it was put back.
    pub place: Revision,
}

impl Raised {
    /// How high.
    #[must_use]
    pub const fn floor(&self) -> Floor {
        self.kind.floor(self.origin)
    }

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
///
/// Split into [`Floors::PARTS`] parts, so that growing, forgetting and reading all of it are done a part at a time.
#[derive(Clone, Debug)]
pub struct Floors {
    parts: Box<[Part]>,
    hasher: DefaultHashBuilder,
    len: usize,
    version: u64,
    key_burnt: Revision,
}

impl Default for Floors {
    fn default() -> Self {
        Self {
            parts: (0..Self::PARTS).map(|_| Part::default()).collect(),
            hasher: DefaultHashBuilder::default(),
            len: 0,
            version: 0,
            key_burnt: Revision::START,
        }
    }
}

impl Floors {
    /// How many parts there are.
    pub const PARTS: usize = 64;

    /// Joins one entry: the highest floor wins, and the latest of its times and places stays with it. True where anything was raised
    /// higher than it was.
    pub fn join(&mut self, raised: Raised) -> bool {
        if raised.kind == TargetKind::SigningKey {
            self.key_burnt = self.key_burnt.max(raised.place);
        }
        let hash = self.hasher.hash_one(raised.target);
        let Some(part) = self.parts.get_mut(part_of(hash)) else { return false };
        let joined = part.join(Entry::of(&raised), hash, &self.hasher);
        self.len = self.len.saturating_add(usize::from(joined == Joined::New));
        if joined == Joined::Known {
            return false;
        }
        self.version = self.version.wrapping_add(1);
        true
    }

    /// The floor that kills what was born at `born` and has these targets; none if it lives.
    #[must_use]
    pub fn killing(&self, targets: &[TargetId], born: Born) -> Option<Raised> {
        if self.len == 0 {
            return None;
        }
        targets.iter().find_map(|target| self.get(*target).filter(|raised| raised.floor().kills(born)))
    }

    /// What is known of a target.
    #[must_use]
    pub fn get(&self, target: TargetId) -> Option<Raised> {
        let hash = self.hasher.hash_one(target);
        self.parts.get(part_of(hash))?.get(target, hash).map(Entry::raised)
    }

    /// Whether a revocation acknowledged at this revision is among them. Looks at every entry.
    #[must_use]
    pub fn hold(&self, origin: Revision) -> bool {
        self.parts.iter().flat_map(Part::entries).any(|entry| entry.origin == origin)
    }

    /// All entries of one part; a part beyond the last is empty.
    pub fn part(&self, part: usize) -> impl Iterator<Item = Raised> {
        self.parts.get(part).into_iter().flat_map(Part::entries).map(Entry::raised)
    }

    /// Another number whenever a floor was raised: what was alive under the same number is alive.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Where the last burning of a signing key is: who read the keys before it may hold one that proves nothing any more.
    #[must_use]
    pub const fn key_burnt(&self) -> Revision {
        self.key_burnt
    }

    /// Forgets of one part what `forgets` says.
    pub fn forget(&mut self, part: usize, forgets: impl Fn(&Raised) -> bool) {
        let Some(part) = self.parts.get_mut(part) else { return };
        let forgotten = part.forget(&self.hasher, |entry| forgets(&entry.raised()));
        self.len = self.len.saturating_sub(forgotten);
    }

    /// How many targets are raised.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory that the entries and their index take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(Part::bytes).sum()
    }
}

/// Whether no token that this could kill is alive any more, and Refresh finds it elsewhere: both conditions under which log and view
/// forget.
#[must_use]
pub fn is_over(raised: &Raised, now: Timestamp, horizon: Millis, settled: Revision) -> bool {
    raised.place <= settled && now.since(raised.at) > horizon
}

/// The upper bits choose the part, the table uses the others.
const fn part_of(hash: u64) -> usize {
    (hash >> 58) as usize
}

/// What joining changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joined {
    New,
    Raised,
    Known,
}

/// 48 bytes. The floor follows from kind and origin.
#[derive(Clone, Copy, Debug)]
struct Entry {
    target: TargetId,
    origin: Revision,
    place_micros: u64,
    /// Milliseconds since the epoch (48 bits), kind, reason.
    at: [u8; 6],
    kind: TargetKind,
    reason: Reason,
}

impl Entry {
    fn of(raised: &Raised) -> Self {
        let Raised { target, kind, reason, at, origin, place } = *raised;
        let [_, _, at @ ..] = at.millis().min((1 << 48) - 1).to_be_bytes();
        Self { target, origin, place_micros: place.micros, at, kind, reason }
    }

    /// Microseconds are used once in a history, so that the random half of the place is not needed to tell what is settled.
    fn raised(&self) -> Raised {
        let Self { target, origin, place_micros, at: [a, b, c, d, e, f], kind, reason } = *self;
        let at = Timestamp::from_millis(u64::from_be_bytes([0, 0, a, b, c, d, e, f]));
        let place = if place_micros == origin.micros { origin } else { Revision { micros: place_micros, random: 0 } };
        Raised { target, kind, reason, at, origin, place }
    }
}

/// Entries lie side by side; the table holds where. A hole is filled by the last.
#[derive(Clone, Debug, Default)]
struct Part {
    entries: Vec<Entry>,
    places: HashTable<u32>,
}

impl Part {
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    fn get(&self, target: TargetId, hash: u64) -> Option<&Entry> {
        let at = self.places.find(hash, |at| self.at(*at).is_some_and(|entry| entry.target == target))?;
        self.at(*at)
    }

    fn at(&self, at: u32) -> Option<&Entry> {
        self.entries.get(usize::try_from(at).ok()?)
    }

    fn join(&mut self, entry: Entry, hash: u64, hasher: &DefaultHashBuilder) -> Joined {
        let Self { entries, places } = self;
        let index = |at: &u32| usize::try_from(*at).unwrap_or(usize::MAX);
        let found = places.find(hash, |at| entries.get(index(at)).is_some_and(|held| held.target == entry.target)).copied();
        if let Some(held) = found.and_then(|at| entries.get_mut(index(&at))) {
            let floor = |entry: &Entry| entry.kind.floor(entry.origin);
            let latest = (held.place_micros.max(entry.place_micros), held.at.max(entry.at));
            // A grant may be revoked by any id: that of a key says no less that it is burnt.
            let burns = |entry: &Entry| entry.kind == TargetKind::SigningKey;
            let raised = (floor(&entry), burns(&entry), entry.origin) > (floor(held), burns(held), held.origin);
            let higher = floor(&entry) > floor(held);
            if raised {
                *held = entry;
            }
            (held.place_micros, held.at) = latest;
            return if higher { Joined::Raised } else { Joined::Known };
        }
        let Ok(at) = u32::try_from(entries.len()) else { return Joined::Known };
        // A sixteenth more, never the double: what is not used yet is memory too.
        if entries.len() == entries.capacity() {
            entries.reserve_exact((entries.len() / 16).max(16));
        }
        entries.push(entry);
        places.insert_unique(hash, at, |at| entries.get(index(at)).map_or(0, |held| hasher.hash_one(held.target)));
        Joined::New
    }

    fn forget(&mut self, hasher: &DefaultHashBuilder, forgets: impl Fn(&Entry) -> bool) -> usize {
        let before = self.entries.len();
        self.entries.retain(|entry| !forgets(entry));
        let forgotten = before.saturating_sub(self.entries.len());
        if forgotten > 0 {
            if self.entries.capacity() / 2 > self.entries.len() {
                self.entries.shrink_to_fit();
            }
            let entries = &self.entries;
            let hash = |at: &u32| {
                usize::try_from(*at).ok().and_then(|at| entries.get(at)).map_or(0, |held| hasher.hash_one(held.target))
            };
            self.places = HashTable::with_capacity(entries.len());
            for at in (0..).take(entries.len()) {
                self.places.insert_unique(hash(&at), at, hash);
            }
        }
        forgotten
    }

    fn bytes(&self) -> usize {
        let entries = self.entries.capacity().saturating_mul(size_of::<Entry>());
        entries.saturating_add(self.places.allocation_size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raised(micros: u64) -> Raised {
        let origin = Revision { micros, random: 7 };
        Raised {
            target: TargetId([1; 16]),
            kind: TargetKind::Subject,
            reason: Reason::SignOut,
            at: Timestamp::from_millis(micros / 1_000),
            origin,
            place: origin,
        }
    }

    fn target(number: u64) -> TargetId {
        let mut id = [0; 16];
        id.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
        TargetId(id)
    }

    #[test]
    fn joining_does_not_depend_on_order_or_repetition() {
        let (low, high) = (raised(10), raised(20));
        for order in [[low, high, low], [high, low, high]] {
            let mut floors = Floors::default();
            for one in order {
                floors.join(one);
            }
            assert_eq!(floors.get(TargetId([1; 16])), Some(high));
            assert!(floors.killing(&[TargetId([1; 16])], Born(19)).is_some());
            assert!(floors.killing(&[TargetId([1; 16])], Born(20)).is_none());
            assert!(floors.killing(&[TargetId([2; 16])], Born(0)).is_none());
            assert!(floors.hold(high.origin) && !floors.hold(low.origin));
        }
    }

    #[test]
    fn what_is_put_back_keeps_its_floor_and_lives_anew() {
        let lost = raised(10_000);
        let again = Raised { at: Timestamp::from_secs(9), place: Revision { micros: 70_000, random: 3 }, ..lost };
        for order in [[lost, again], [again, lost]] {
            let mut floors = Floors::default();
            for one in order {
                floors.join(one);
            }
            let held = floors.get(lost.target).unwrap();
            assert_eq!((held.floor(), held.origin, held.at, held.place.micros), (Floor(10_000), lost.origin, again.at, 70_000));
            assert!(
                !is_over(&held, Timestamp::from_secs(99), Millis::from_secs(10), lost.place),
                "settled where it was is not enough"
            );
            assert!(is_over(&held, Timestamp::from_secs(99), Millis::from_secs(10), again.place));
        }
    }

    #[test]
    fn another_version_whenever_something_was_raised() {
        let mut floors = Floors::default();
        let first = floors.version();
        assert!(floors.join(raised(10)));
        let second = floors.version();
        assert_ne!(first, second);
        assert!(!floors.join(raised(10)) && !floors.join(raised(9)));
        assert_eq!(floors.version(), second);
        assert!(floors.join(raised(11)));
        assert_ne!(floors.version(), second);
    }

    #[test]
    fn the_last_burning_of_a_key_is_remembered() {
        let mut floors = Floors::default();
        floors.join(raised(5));
        assert_eq!(floors.key_burnt(), Revision::START);
        for micros in [30, 20] {
            floors.join(Raised { kind: TargetKind::SigningKey, ..raised(micros) });
        }
        assert_eq!(floors.key_burnt(), Revision { micros: 30, random: 7 });
    }

    #[test]
    fn what_burns_a_key_is_no_other_kind_whatever_is_raised_by_its_id() {
        for kinds in [[TargetKind::SigningKey, TargetKind::Grant], [TargetKind::Grant, TargetKind::SigningKey]] {
            let mut floors = Floors::default();
            for (kind, micros) in kinds.into_iter().zip([10, 20]) {
                floors.join(Raised { kind, ..raised(micros) });
            }
            assert_eq!(floors.get(raised(10).target).unwrap().kind, TargetKind::SigningKey);
        }
    }

    #[test]
    fn nothing_unsettled_and_nothing_young_is_forgotten() {
        let over = |now, settled| is_over(&raised(5_000_000), Timestamp::from_secs(now), Millis::from_secs(10), settled);
        assert!(!over(100, Revision::START), "not settled");
        assert!(!over(15, Revision { micros: 5_000_000, random: 7 }), "not older than the horizon");
        assert!(over(16, Revision { micros: 5_000_000, random: 7 }));
    }

    #[test]
    fn what_is_forgotten_is_gone_and_the_rest_is_found() {
        let mut floors = Floors::default();
        for number in 0..10_000 {
            floors.join(Raised { target: target(number), ..raised(number + 1) });
        }
        for part in 0..Floors::PARTS {
            floors.forget(part, |raised| raised.origin.micros % 3 == 0);
        }
        assert_eq!(floors.len(), (0..Floors::PARTS).map(|part| floors.part(part).count()).sum::<usize>());
        for number in 0..10_000 {
            assert_eq!(floors.get(target(number)).is_none(), (number + 1) % 3 == 0, "{number}");
        }
    }

    #[test]
    fn an_entry_takes_at_most_64_bytes() {
        let mut floors = Floors::default();
        for number in 0..300_000_u64 {
            floors.join(Raised { target: target(number.wrapping_mul(0x9E37_79B9_7F4A_7C15)), ..raised(number) });
            if number >= 20_000 && number % 5_000 == 0 {
                assert!(floors.bytes() / floors.len() <= 64, "{} bytes at {number}", floors.bytes() / floors.len());
            }
        }
    }
}

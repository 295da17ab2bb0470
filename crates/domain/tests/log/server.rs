//! What a Redis server holds of the log, and the scripts that run inside it, each whole or not at all.

use crate::rules::Rules;
use jeton_domain::revision::{Floor, Lost, Revision};
use std::hash::{Hash, Hasher};

/// Ticks are the model's time.
pub type Tick = u8;
/// Places of the log that one tick has.
pub const TICK: u8 = 6;
/// How far a clock may be behind.
pub const SKEW: Tick = 2;
/// At which of its ticks a clock of the log begins: one that is behind shows a time before ours.
pub const EPOCH: Tick = SKEW;
/// How far ahead a new era begins, in places: more than any clock is off.
pub const AHEAD: u8 = (SKEW + 1) * TICK;
/// For so many ticks a log waits for those who may know what it lost.
pub const HEALING: Tick = 1;
/// Who has not been heard of for so many ticks, while others were, is not waited for.
pub const SILENCE: Tick = 1;
/// The most entries of a log, markers and what was put back included.
const ENTRIES: usize = 8;
/// The most eras but the first.
const LOSSES: usize = 4;
/// How many replicas of jeton there are.
pub const REPLICAS: usize = 2;

/// A place in the log. `random` is a counter here that never repeats, whatever a failover forgets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Place {
    pub micros: u8,
    pub random: u8,
}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u16(u16::from(self.micros) << 8 | u16::from(self.random));
    }
}

impl Place {
    pub const START: Self = Self { micros: 0, random: 0 };

    /// When a clock showed it.
    pub const fn tick(self) -> Tick {
        self.micros / TICK
    }

    /// The domain's word for it.
    pub fn revision(self) -> Revision {
        Revision { micros: self.micros.into(), random: self.random.into() }
    }
}

/// A floor above every `born`.
pub const INFINITE: u8 = u8::MAX;

/// The domain's rule, on the model's numbers.
pub fn kills(floor: u8, born: u8) -> bool {
    let floor = if floor == INFINITE { Floor::INFINITE } else { Floor(floor.into()) };
    floor.kills(Revision { micros: born.into(), random: 0 }.born())
}

/// An entry: which revocation (none for an era's marker), how high it raises, and when it was appended (again).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Logged {
    pub place: Place,
    pub of: Option<u8>,
    pub floor: u8,
    pub at: Tick,
}

/// Places of a lost history.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Interval {
    pub tail: Place,
    pub marker: Place,
}

/// The lost intervals, oldest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Intervals {
    all: [Interval; LOSSES],
    count: u8,
}

impl Hash for Intervals {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.all[..usize::from(self.count)].hash(state);
    }
}

impl Intervals {
    pub fn push(&mut self, interval: Interval) {
        self.all[usize::from(self.count)] = interval;
        self.count += 1;
    }

    /// Whether the place may have been lost.
    pub fn hold(&self, place: Place, only_the_last: bool) -> bool {
        let count = usize::from(self.count);
        let from = if only_the_last { count.saturating_sub(1) } else { 0 };
        self.all[from..count]
            .iter()
            .any(|lost| Lost { tail: lost.tail.revision(), marker: lost.marker.revision() }.holds(place.revision()))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Era {
    pub identity: u8,
    pub marker: Place,
    /// Whose word is waited for, and who gave it: a bit a replica.
    pub waits: u8,
    pub posts: u8,
    pub begun: Tick,
    healed: bool,
}

impl Era {
    /// Whether nothing is missing, as far as anybody will wait.
    pub const fn is_healed(&self, now: Tick) -> bool {
        self.healed || now >= self.begun + HEALING
    }

    /// Whether somebody's word is still waited for.
    pub const fn misses(&self, replica: usize) -> bool {
        !self.healed && self.waits & !self.posts & (1 << replica) != 0
    }
}

/// The log's shard on one server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Log {
    entries: [Logged; ENTRIES],
    count: u8,
    pub settled: Place,
    pub era: Option<Era>,
    pub lost: Intervals,
    /// When each replica was last heard of.
    pub beats: [Option<Tick>; REPLICAS],
}

/// The server that runs a script: who it is, its clock in places, and the next random number.
pub struct Server<'a> {
    pub identity: u8,
    pub clock: u8,
    pub now: Tick,
    pub random: &'a mut u8,
    pub rules: &'a Rules,
}

/// What a caller says of itself.
#[derive(Clone, Copy)]
pub struct Position {
    pub highest: Place,
}

impl Hash for Log {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.entries().hash(state);
        (self.settled, self.era, self.lost, self.beats).hash(state);
    }
}

impl Log {
    /// Nothing was revoked yet, and all replicas follow it.
    pub fn of_a_store_that_lost_nothing(rules: &Rules) -> Self {
        let mut log = Self { beats: [Some(0); REPLICAS], ..Self::default() };
        let mut marker = Place::START;
        if rules.the_first_era_has_a_marker {
            marker.micros = 1;
            log.push(Logged { place: marker, ..Logged::default() });
        }
        log.era = Some(Era { identity: 0, marker, waits: 0, posts: 0, begun: 0, healed: true });
        log
    }

    pub fn entries(&self) -> &[Logged] {
        &self.entries[..usize::from(self.count)]
    }

    pub fn head(&self) -> Place {
        self.entries().last().map_or(Place::START, |entry| entry.place)
    }

    pub fn has(&self, place: Place) -> bool {
        self.entries().iter().any(|entry| entry.place == place)
    }

    /// Whether some entry raises for this revocation.
    pub fn raises(&self, revocation: u8) -> bool {
        self.entries().iter().any(|entry| entry.of == Some(revocation))
    }

    /// False where the model's room is used up.
    fn push(&mut self, entry: Logged) -> bool {
        let Some(slot) = self.entries.get_mut(usize::from(self.count)) else { return false };
        *slot = entry;
        self.count += 1;
        true
    }

    /// What every script does first: it looks whether it stands under the primary that the era is of. False: no room.
    pub fn meet(&mut self, caller: Position, server: &mut Server<'_>) -> bool {
        let rules = server.rules;
        match self.era {
            Some(era) => {
                let same = era.identity == server.identity || !rules.identity_is_looked_at;
                if same && !(rules.the_log_holds_its_marker && era.marker > self.head()) {
                    return true;
                }
            }
            None if self.count == 0 && caller.highest == Place::START && !rules.the_first_era_has_a_marker => {
                let marker = Place::START;
                let (identity, begun) = (server.identity, server.now);
                self.era = Some(Era { identity, marker, waits: 0, posts: 0, begun, healed: true });
                return true;
            }
            None => {}
        }
        self.begin(caller, server)
    }

    fn begin(&mut self, caller: Position, server: &mut Server<'_>) -> bool {
        let rules = server.rules;
        let tail = self.head();
        let base = tail.micros.max(server.clock);
        let base = if rules.marker_is_above_the_caller { base.max(caller.highest.micros) } else { base };
        let micros = if rules.marker_is_far_ahead { base + AHEAD } else { base + 1 };
        let marker = Place { micros, random: server.draw() };
        let newest = self.beats.iter().flatten().max();
        let living = |beat: &Option<Tick>| beat.is_some_and(|beat| newest.is_some_and(|newest| beat + SILENCE >= *newest));
        let waits = (0..REPLICAS).filter(|r| living(&self.beats[*r])).fold(0, |waits, r| waits | 1 << r);
        let carried = self.era.filter(|era| !era.is_healed(server.now)).map_or(0, |era| era.waits & !era.posts);
        let waits = if rules.waiting_is_carried_over { waits | carried } else { waits };
        // Where nobody is known, somebody may yet be there: only time tells.
        let waits = if waits == 0 && rules.nobody_known_is_waited_for { u8::MAX } else { waits };
        self.lost.push(Interval { tail, marker });
        self.era = Some(Era { identity: server.identity, marker, waits, posts: 0, begun: server.now, healed: false });
        self.push(Logged { place: marker, ..Logged::default() })
    }

    /// Appends above everything. None: no room.
    pub fn append(
        &mut self,
        of: u8,
        floor: Option<u8>,
        at: Option<Tick>,
        caller: Position,
        server: &mut Server<'_>,
    ) -> Option<()> {
        let micros = server.clock.max(self.head().micros + 1).max(caller.highest.micros + 1);
        let place = Place { micros, random: server.draw() };
        let entry = Logged { place, of: Some(of), floor: floor.unwrap_or(micros), at: at.unwrap_or(server.clock / TICK) };
        self.push(entry).then_some(())
    }

    /// A replica has put back what it knew, it says, under that primary. Whether it is believed.
    pub fn post(&mut self, replica: usize, under: u8, server: &Server<'_>) -> bool {
        let Some(era) = &mut self.era else { return false };
        if server.rules.post_names_the_identity && (server.identity != under || era.identity != under) {
            return false;
        }
        era.posts |= 1 << replica;
        era.healed |= era.waits & !era.posts == 0 || !server.rules.all_must_post;
        true
    }

    /// Moves `settled`, where the exact entry is there.
    pub fn settle(&mut self, upto: Place, rules: &Rules) {
        if self.has(upto) || !rules.settle_needs_the_entry {
            self.settled = self.settled.max(upto);
        }
    }

    /// What was appended before that is as old as if it were appended then.
    pub fn age(&mut self, old: Tick) {
        for entry in &mut self.entries[..usize::from(self.count)] {
            entry.at = entry.at.max(old);
        }
    }

    /// How many entries at the front are settled and older than `horizon`. Never the newest.
    pub fn trimmable(&self, clock: Tick, horizon: Tick, rules: &Rules) -> usize {
        let old = |entry: &Logged| entry.place.tick() + horizon <= clock || !rules.trims_only_the_old;
        let settled = |entry: &Logged| entry.place <= self.settled || !rules.trims_only_the_settled;
        let front = self.entries().iter().take_while(|entry| old(entry) && settled(entry)).count();
        front.min(usize::from(self.count).saturating_sub(1))
    }

    pub fn evict(&mut self) {
        self.trim(usize::from(self.count));
    }

    pub fn trim(&mut self, front: usize) {
        self.entries.rotate_left(front);
        self.count -= u8::try_from(front).unwrap();
        self.entries[usize::from(self.count)..].fill(Logged::default());
    }
}

impl Server<'_> {
    fn draw(&mut self) -> u8 {
        *self.random += 1;
        *self.random
    }
}

/// A grant's record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Record {
    #[default]
    None,
    /// Its stamp.
    Living(u8),
    Ended,
}

/// The grants' shard on one server: the records, and the subject's floor record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Grants {
    pub records: [Record; 3],
    pub floor: u8,
}

//! A replica of jeton: its view of the log, what it is in the middle of, and how it takes in what a script answers.

use crate::rules::{Mode, Rules};
use crate::server::{INFINITE, Intervals, Log, Place, Position, Tick, kills};

/// What can be revoked: all of the one subject, or the first grant.
pub const TARGETS: usize = 2;
pub const SUBJECT: usize = 0;
pub const GRANT: usize = 1;

/// The floor of a target in a view: which revocation raised it, how high, where it stands in the log, and since when.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Held {
    pub of: u8,
    pub floor: u8,
    pub place: Place,
    pub at: Tick,
}

/// A catch-up under way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CatchUp {
    pub sent: Tick,
    /// What had been acknowledged when it began: a bit a revocation.
    pub must: u8,
    /// Whether the request under way arrived before it began.
    pub serves: bool,
    /// What was answered, and not received yet.
    pub answer: Option<Answer>,
}

/// What a script answered: the log as it was then, under which primary, when, after which cursor; and what primary was known when
/// it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Answer {
    pub log: Log,
    pub identity: u8,
    pub now: Tick,
    pub cursor: Place,
    pub known: Option<u8>,
}

/// A request under way. One at a time; introspections take no time and are asked in every state instead.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Request {
    #[default]
    None,
    Issue {
        grant: u8,
        at: Tick,
        step: IssueStep,
    },
    Refresh {
        grant: u8,
        at: Tick,
        /// Whether the decision writes, and the stamp that was read.
        writes: bool,
        stamp: u8,
        /// What had been acknowledged when it arrived.
        must: u8,
        /// The floor record, where it was read too early.
        floor: u8,
        step: RefreshStep,
    },
    /// Appended, and not acknowledged yet: waiting for the answer, or for replicas.
    Revoke {
        revocation: u8,
        at: Tick,
        answer: Option<Answer>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum IssueStep {
    Arrived,
    /// What the catch-up found.
    Caught {
        head: Place,
        era: Place,
    },
    /// Written, and waiting for replicas.
    Put {
        born: u8,
        decided: Tick,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RefreshStep {
    Arrived,
    /// Whether the log was healed then.
    Caught {
        healed: bool,
    },
    /// Decided, and swapped where the decision writes.
    Decided {
        at: Tick,
        healed: bool,
    },
}

/// The background job that settles.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Settling {
    #[default]
    None,
    /// What is to be raised, and up to where.
    Read {
        what: u8,
        upto: Place,
    },
    /// Raised, and waiting for replicas.
    Raised {
        upto: Place,
    },
    Waited {
        upto: Place,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Replica {
    pub up: bool,
    /// It makes no move, though it answers what it can from memory.
    pub stalled: bool,
    /// Since when.
    pub since: Option<Tick>,
    /// It has not left a primary that another has taken over from.
    pub on_former: bool,
    /// Its first beat was acknowledged by all: it may serve.
    pub registered: bool,
    pub cursor: Place,
    /// The highest place it ever saw, in any history.
    pub highest: Place,
    /// As the last answer said.
    pub head: Place,
    pub settled: Place,
    pub healed: bool,
    pub lost: Intervals,
    /// The era that it knows, and whether that era's marker is known to be on all servers.
    pub era: Option<Place>,
    pub confirmed: bool,
    /// The era under which its beat waits for replicas.
    pub joining: Option<Option<Place>>,
    /// Under which primary the view was loaded, or is being loaded.
    pub under: Option<u8>,
    pub loaded: bool,
    /// What of the view the load has met.
    found: [u8; TARGETS],
    /// What of the view the log has lost: a bit a target.
    pub missing: u8,
    pub posted: bool,
    pub held: [Option<Held>; TARGETS],
    /// The sending of the last catch-up that proved the view fresh.
    pub proven: Option<Tick>,
    pub catching: Option<CatchUp>,
    pub request: Request,
    pub settling: Settling,
}

impl Replica {
    /// One that has just started.
    pub fn started() -> Self {
        Self { up: true, ..Self::default() }
    }

    /// One that has been there since the store was new.
    pub fn first(log: &Log) -> Self {
        let head = log.head();
        Self {
            cursor: head,
            highest: head,
            head,
            up: true,
            registered: true,
            healed: true,
            era: Some(head),
            confirmed: true,
            under: Some(0),
            loaded: true,
            proven: Some(0),
            ..Self::default()
        }
    }

    pub const fn position(&self) -> Position {
        Position { highest: self.highest }
    }

    pub const fn is_moving(&self) -> bool {
        self.up && !self.stalled
    }

    /// The floor that its view has for a grant of that number and `born`.
    pub fn kills(&self, grant: u8, born: u8) -> bool {
        let by = |target: usize| self.held[target].is_some_and(|held| kills(held.floor, born));
        by(SUBJECT) || (grant == 0 && by(GRANT))
    }

    /// Whether the default answers from memory: in the tick in which a catch-up that proves it was sent.
    pub fn is_believed(&self, now: Tick) -> bool {
        self.proven.is_some_and(|proven| proven >= now)
    }

    /// Whether a catch-up that says so makes the view believed.
    pub fn proves(healed: bool, mode: Mode, rules: &Rules) -> bool {
        healed || mode == Mode::Replicated && !rules.replicated_waits_for_healing || !rules.default_waits_for_healing
    }

    /// Whether `at_least_as_fresh = place` is answered, where the view holds its origin or not.
    pub fn knows(&self, place: Place, is_held: bool, rules: &Rules) -> bool {
        if !rules.intervals {
            return self.head >= place;
        }
        let known = place <= self.head && !self.lost.hold(place, !rules.all_intervals_are_kept);
        (self.healed || !rules.at_least_waits_for_healing) && (is_held || known)
    }

    /// Joins one entry: the highest floor wins, of equal floors the latest.
    fn join(&mut self, target: usize, entry: Held) {
        let higher = |held: &Held| (entry.floor, entry.place) > (held.floor, held.place);
        if self.held[target].as_ref().is_none_or(higher) {
            self.held[target] = Some(entry);
        }
        self.found[target] = self.found[target].max(entry.floor);
    }

    /// Takes in what a script answers: at most `page` entries after the cursor. Whether that is all, and which revocations were
    /// among them: a bit each.
    pub fn read(&mut self, answer: &Answer, page: usize, rules: &Rules, target: impl Fn(u8) -> usize) -> (bool, u8) {
        let Answer { log, identity, now, mut cursor, .. } = *answer;
        let other = self.under.is_none() || self.under != Some(identity) && rules.identity_is_looked_at;
        let gap = cursor != Place::START && !log.has(cursor);
        if other || gap && rules.pages_are_chained {
            self.under = Some(identity);
            (self.cursor, cursor) = (Place::START, Place::START);
            (self.loaded, self.posted, self.missing, self.found) = (false, false, 0, [0; TARGETS]);
        }
        let mut healed = false;
        if let Some(era) = log.era {
            if self.era.is_none() || rules.the_marker_is_current {
                self.lost = log.lost;
            }
            if self.era != Some(era.marker) {
                self.confirmed = !rules.marker_is_confirmed;
                self.era = Some(era.marker);
            }
            healed = era.is_healed(now);
        }
        // Only with the last page is here what healing put back.
        self.healed = healed && (self.healed || !rules.healed_with_the_last_page);
        self.settled = log.settled;
        let after = || log.entries().iter().filter(|entry| entry.place > cursor);
        let mut seen = 0;
        for entry in after().take(page) {
            if let Some(of) = entry.of {
                seen |= 1 << of;
                self.join(target(of), Held { of, floor: entry.floor, place: entry.place, at: entry.at });
            }
            self.cursor = self.cursor.max(entry.place);
            self.highest = self.highest.max(entry.place);
        }
        if after().count() > page {
            return (false, seen);
        }
        (self.head, self.healed) = (self.cursor, healed);
        if !self.loaded {
            self.loaded = true;
            let lacks = |t: &usize| self.held[*t].is_some_and(|held| self.found[*t] < held.floor);
            self.missing = (0..TARGETS).filter(lacks).fold(0, |missing, t| missing | 1 << t);
            if !rules.what_is_missing_is_put_back {
                self.missing = 0;
            }
        }
        (true, seen)
    }

    /// Whether the log as it stands was seen to have what the view holds of a target.
    pub fn has_met(&self, target: usize) -> bool {
        self.held[target].is_some_and(|held| self.found[target] >= held.floor)
    }

    /// Drops what is settled and older than `horizon`. Whether there was any.
    pub fn forget(&mut self, clock: Tick, horizon: Tick, rules: &Rules) -> bool {
        if rules.view_forgets_only_what_the_log_has && (!self.loaded || self.missing != 0) {
            return false;
        }
        let by_place = rules.age_is_of_the_place && rules.lifetime_begins_anew;
        let since = |held: &Held| if by_place { held.place.tick() } else { held.at };
        let mut any = false;
        for held in &mut self.held {
            let goes = held.is_some_and(|held| {
                (held.place <= self.settled || !rules.view_forgets_only_the_settled)
                    && (since(&held) + horizon <= clock || !rules.view_forgets_only_the_old)
            });
            if goes {
                *held = None;
                any = true;
            }
        }
        any
    }

    /// How high this replica would raise a target once more.
    pub fn floor_again(floor: u8, rules: &Rules) -> Option<u8> {
        (rules.floor_is_the_original || floor == INFINITE).then_some(floor)
    }
}

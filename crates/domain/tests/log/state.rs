//! One state of the world: two shards, two replicas, and what only the model knows of revocations and grants.

use crate::replica::{Replica, Request, TARGETS};
use crate::rules::{Bounds, Rules};
use crate::server::{Grants, Log, Place, REPLICAS, Record, Tick};
use crate::world::Model;

/// How long an access token lives.
pub const LIFETIME: Tick = 2;
/// How long a request takes at most.
pub const DEADLINE: Tick = 1;
/// How many revocations and grants there are at most.
pub const REVOCATIONS: usize = 2;
pub const GRANTS: usize = 3;

/// A revocation, and what only the model knows of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Revocation {
    pub target: usize,
    pub place: Place,
    /// When it was acknowledged, and by whom while that one lives.
    pub acknowledged: Option<Tick>,
    pub by: Option<usize>,
    /// Whether somebody was told its place.
    pub told: bool,
    /// The grants it must kill, and the revocations acknowledged before it: a bit each.
    pub kills: u8,
    pub before: u8,
    /// The living replicas that have seen it.
    pub seen: u8,
    /// Settled, and gone from the log.
    pub trimmed: bool,
    /// Nobody who is left could know of it, and that is said aloud.
    pub void: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Issued {
    #[default]
    No,
    /// Its id is known, its tokens are not.
    Begun,
    Handed,
    GivenUp,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Grant {
    pub issued: Issued,
    pub born: u8,
    /// When its last access token ends.
    pub exp: Tick,
    /// What had been acknowledged when Issue arrived.
    pub after: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Spent {
    pub revokes: [u8; TARGETS],
    pub lost_replies: u8,
    pub repeats: u8,
    pub issues: u8,
    pub refreshes: u8,
    pub settles: u8,
    pub failovers: u8,
    pub grant_failovers: u8,
    pub flushes: u8,
    pub rollbacks: u8,
    pub evictions: u8,
    pub splits: u8,
    pub grant_rollbacks: u8,
    pub crashes: u8,
    pub stalls: u8,
}

/// A primary and its copy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Shard<T> {
    pub primary: T,
    pub copy: T,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub now: Tick,
    /// Which primary of the log it is by now, and whether its clock is behind.
    pub identity: u8,
    pub behind: bool,
    pub log: Shard<Log>,
    /// A primary that another has taken over from, while somebody has not left it.
    pub former: Option<Log>,
    pub grants: Shard<Grants>,
    pub replicas: [Replica; REPLICAS],
    pub revocations: [Option<Revocation>; REVOCATIONS],
    pub issued: [Grant; GRANTS],
    pub random: u8,
    pub stamp: u8,
    pub spent: Spent,
}

impl State {
    /// As it is when nothing has happened yet.
    pub fn first(bounds: &Bounds, rules: &Rules) -> Self {
        let mut state = Self {
            now: 0,
            identity: 0,
            behind: false,
            log: Shard { primary: Log::default(), copy: Log::default() },
            former: None,
            grants: Shard { primary: Grants::default(), copy: Grants::default() },
            replicas: [Replica::started(); REPLICAS],
            revocations: [None; REVOCATIONS],
            issued: [Grant::default(); GRANTS],
            random: 0,
            stamp: 0,
            spent: Spent::default(),
        };
        if !bounds.from_nothing {
            state.log.primary = Log::of_a_store_that_lost_nothing(rules);
            state.log.copy = state.log.primary;
            state.replicas = [Replica::first(&state.log.primary); REPLICAS];
        }
        for g in 0..bounds.granted {
            state.issued[g] = Grant { issued: Issued::Handed, born: state.log.primary.head().micros, exp: 0, after: 0 };
            state.grants.primary.records[g] = Record::Living(0);
        }
        state.grants.copy = state.grants.primary;
        state
    }

    /// Whether no token is left that could be spared, and none to come.
    pub fn is_over(&self, model: &Model) -> bool {
        let idle = self.replicas.iter().all(|replica| replica.request == Request::None);
        let (spent, bounds) = (&self.spent, &model.bounds);
        let none_left = spent.issues == bounds.issues && spent.refreshes == bounds.refreshes;
        idle && none_left && !bounds.skew && self.issued.iter().all(|grant| grant.exp <= self.clock())
    }

    /// What needs no move of its own: a copy that cannot matter is no copy that lags, and what nobody can know of is void.
    pub fn settle_down(&mut self, model: &Model) {
        let bounds = &model.bounds;
        if bounds.failovers + bounds.splits == 0 {
            self.copy_log(model);
        }
        if bounds.grant_failovers == 0 {
            self.copy_grants();
        }
        self.void(model);
        self.age(model);
    }

    /// Ages that no rule tells apart are one.
    fn age(&mut self, model: &Model) {
        let (now, clock, aging) = (self.now, self.clock(), self.aging(&model.rules));
        let old = clock.saturating_sub(model.horizon() + 1);
        for replica in &mut self.replicas {
            replica.proven = replica.proven.filter(|_| replica.is_believed(aging));
            for held in replica.held.iter_mut().flatten() {
                held.at = held.at.max(old);
            }
        }
        for revocation in self.revocations.iter_mut().flatten() {
            let long_ago = now.saturating_sub(1);
            revocation.acknowledged = revocation.acknowledged.map(|at| at.max(long_ago));
        }
        for grant in &mut self.issued {
            grant.exp = if grant.exp <= clock && !model.bounds.skew { 0 } else { grant.exp };
        }
        for log in [&mut self.log.primary, &mut self.log.copy] {
            log.age(old);
        }
    }
}

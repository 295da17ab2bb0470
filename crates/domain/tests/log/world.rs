//! The world of the walk: what may happen in a state, and what it leads to.

use crate::judge::Fault;
use crate::replica::{Request, Settling, TARGETS};
use crate::rules::{Bounds, Rules};
use crate::server::{Log, Tick};
use crate::state::{DEADLINE, GRANTS, LIFETIME, State};
use crate::walk::{After, World};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Move {
    Tick,
    /// The copy of the log's shard gets all that its primary has; of the grants' shard.
    CopyLog,
    CopyGrants,
    /// The copy becomes the primary; its clock may be behind.
    FailOver {
        behind: bool,
    },
    FailOverGrants,
    RollBackGrants,
    Split,
    Reconnect(usize),
    FlushLog,
    /// The log's entries alone are gone.
    Evict,
    /// The log's primary starts again from what its disk had at the beginning, and its copy follows it.
    RollBack,
    Crash(usize),
    Start(usize),
    Stall(usize),
    Resume(usize),
    Beat(usize),
    CatchUp(usize),
    Receive(usize),
    Hear(usize),
    PutBack(usize),
    Post(usize),
    Revoke {
        by: usize,
        target: usize,
    },
    RevokeUnheard {
        by: usize,
        target: usize,
    },
    Repeat(usize),
    Issue(usize),
    Put(usize),
    Refresh {
        by: usize,
        grant: u8,
        writes: bool,
    },
    Decide(usize),
    Judge(usize),
    SettleRead(usize),
    SettleRaise(usize),
    SettleUpTo(usize),
    Trim,
    Forget(usize),
}

pub struct Model {
    pub bounds: Bounds,
    pub rules: Rules,
}

/// Takes one of what may happen only so often.
fn spend(spent: &mut u8, bound: u8) -> Option<()> {
    (*spent < bound).then(|| *spent += 1)
}

impl Model {
    pub fn horizon(&self) -> Tick {
        let deadline = if self.rules.horizon_counts_the_deadline { DEADLINE } else { 0 };
        LIFETIME + deadline
    }

    /// The move made; none where it cannot be made.
    pub fn moved(&self, state: &State, step: Move) -> Option<Result<State, Fault>> {
        let mut next = *state;
        let (bounds, spent) = (&self.bounds, &mut next.spent);
        let () = match step {
            Move::Tick => next.tick(self)?,
            Move::CopyLog => next.copy_log(self)?,
            Move::CopyGrants => next.copy_grants()?,
            Move::FailOver { behind } => {
                spend(&mut spent.failovers, bounds.failovers)?;
                next.fail_over(behind, &self.rules);
            }
            Move::FailOverGrants => {
                spend(&mut spent.grant_failovers, bounds.grant_failovers)?;
                next.fail_over_grants(&self.rules);
            }
            Move::RollBackGrants => {
                spend(&mut spent.grant_rollbacks, bounds.grant_rollbacks)?;
                next.grants.copy = State::first(&self.bounds, &self.rules).grants.primary;
                next.fail_over_grants(&self.rules);
            }
            Move::Split => {
                spend(&mut spent.splits, bounds.splits)?;
                next.split(&self.rules);
            }
            Move::Reconnect(r) => {
                next.replicas[r].on_former.then_some(())?;
                next.reconnect(r, &self.rules);
            }
            Move::FlushLog => {
                spend(&mut spent.flushes, bounds.flushes)?;
                next.log.primary = Log::default();
            }
            Move::Evict => {
                spend(&mut spent.evictions, bounds.evictions)?;
                next.log.primary.evict();
            }
            Move::RollBack => {
                spend(&mut spent.rollbacks, bounds.rollbacks)?;
                next.log.copy = State::first(&self.bounds, &self.rules).log.primary;
                next.fail_over(false, &self.rules);
            }
            Move::Crash(r) => {
                spend(&mut spent.crashes, bounds.crashes)?;
                next.crash(r, &self.rules)?;
            }
            Move::Start(r) => {
                if next.replicas[r].up {
                    return None;
                }
                next.replicas[r].up = true;
            }
            Move::Stall(r) => {
                spend(&mut spent.stalls, bounds.stalls)?;
                next.replicas[r].is_moving().then_some(())?;
                (next.replicas[r].stalled, next.replicas[r].since) = (true, Some(next.now));
            }
            Move::Resume(r) => next.resume(r, &self.rules)?,
            _ if !step.by().is_none_or(|r| next.replicas[r].is_moving()) => return None,
            Move::Beat(r) => next.beat(r, self)?,
            Move::CatchUp(r) => return next.catch_up(r, self).map(|done| done.map(|()| next)),
            Move::Receive(r) => return next.receive(r, self).map(|done| done.map(|()| next)),
            Move::Hear(r) => next.hear(r, self)?,
            Move::PutBack(r) => next.put_back(r, self)?,
            Move::Post(r) => next.post(r, self)?,
            Move::Revoke { by, target } => {
                spend(&mut spent.revokes[target], bounds.revokes[target])?;
                next.revoke(by, target, true, self)?;
            }
            Move::RevokeUnheard { by, target } => {
                spend(&mut spent.revokes[target], bounds.revokes[target])?;
                spend(&mut spent.lost_replies, bounds.lost_replies)?;
                next.revoke(by, target, false, self)?;
            }
            Move::Repeat(r) => {
                spend(&mut spent.repeats, bounds.repeats)?;
                next.repeat(r, self)?;
            }
            Move::Issue(r) => {
                spend(&mut spent.issues, bounds.issues)?;
                next.issue(r)?;
                // Arriving later only makes more be known: alone in its catch-up it arrives just before.
                if next.replicas[r].catching.is_none() {
                    return next.catch_up(r, self).map(|done| done.map(|()| next));
                }
            }
            Move::Put(r) => next.put(r, self)?,
            Move::Refresh { by, grant, writes } => {
                spend(&mut spent.refreshes, bounds.refreshes)?;
                next.refresh(by, grant, writes)?;
            }
            Move::Decide(r) => next.decide(r)?,
            Move::Judge(r) => return next.judge(r, self).map(|done| done.map(|()| next)),
            Move::SettleRead(r) => {
                spend(&mut spent.settles, bounds.settles)?;
                next.settle_read(r, self)?;
            }
            Move::SettleRaise(r) => next.settle_raise(r, self)?,
            Move::SettleUpTo(r) => next.settle_up_to(r, &self.rules)?,
            Move::Trim => next.trim(self)?,
            Move::Forget(r) => next.replicas[r].forget(next.clock(), self.horizon(), &self.rules).then_some(())?,
        };
        Some(Ok(next))
    }
}

impl Move {
    /// Who makes it.
    const fn by(self) -> Option<usize> {
        match self {
            Self::Beat(r)
            | Self::CatchUp(r)
            | Self::Receive(r)
            | Self::Hear(r)
            | Self::PutBack(r)
            | Self::Post(r)
            | Self::Revoke { by: r, .. }
            | Self::RevokeUnheard { by: r, .. }
            | Self::Repeat(r)
            | Self::Issue(r)
            | Self::Put(r)
            | Self::Refresh { by: r, .. }
            | Self::Decide(r)
            | Self::Judge(r)
            | Self::SettleRead(r)
            | Self::SettleRaise(r)
            | Self::SettleUpTo(r)
            | Self::Forget(r) => Some(r),
            _ => None,
        }
    }
}

impl World for Model {
    type State = State;
    type Move = Move;
    type Fault = Fault;

    fn start(&self) -> State {
        let make = |state: &mut State, steps: &[Move]| {
            for step in steps {
                *state = self.moved(state, *step).unwrap().unwrap();
                state.settle_down(self);
            }
        };
        let mut state = State::first(&self.bounds, &self.rules);
        make(&mut state, self.bounds.before);
        for g in 0..self.bounds.granted {
            state.issued[g].exp = state.clock() + LIFETIME;
        }
        make(&mut state, self.bounds.beginning);
        state
    }

    fn moves(&self, state: &State) -> Vec<Move> {
        let bounds = &self.bounds;
        let mut moves = Vec::with_capacity(32);
        let mut may = |possible: bool, step: Move| {
            if possible {
                moves.push(step);
            }
        };
        may(true, Move::Tick);
        may(bounds.failovers + bounds.splits > 0, Move::CopyLog);
        may(bounds.grant_failovers > 0, Move::CopyGrants);
        may(bounds.failovers > 0, Move::FailOver { behind: false });
        may(bounds.failovers > 0 && bounds.skew, Move::FailOver { behind: true });
        may(bounds.grant_failovers > 0, Move::FailOverGrants);
        may(bounds.flushes > 0, Move::FlushLog);
        may(bounds.rollbacks > 0, Move::RollBack);
        may(bounds.grant_rollbacks > 0, Move::RollBackGrants);
        may(bounds.splits > 0, Move::Split);
        may(bounds.evictions > 0, Move::Evict);
        may(bounds.settles > 0, Move::Trim);
        for (r, replica) in state.replicas.iter().enumerate() {
            if !replica.up {
                may(true, Move::Start(r));
                continue;
            }
            may(bounds.crashes > 0, Move::Crash(r));
            if replica.stalled {
                may(true, Move::Resume(r));
                continue;
            }
            may(bounds.stalls > 0, Move::Stall(r));
            may(!replica.registered || !replica.confirmed, Move::Beat(r));
            may(true, Move::CatchUp(r));
            may(bounds.delays, Move::Receive(r));
            may(matches!(replica.request, Request::Revoke { answer: Some(_), .. }), Move::Hear(r));
            may(replica.on_former, Move::Reconnect(r));
            may(replica.missing != 0, Move::PutBack(r));
            may(!replica.posted && !replica.healed, Move::Post(r));
            may(matches!(replica.request, Request::Issue { .. }), Move::Put(r));
            may(matches!(replica.request, Request::Refresh { .. }), Move::Decide(r));
            may(matches!(replica.request, Request::Refresh { .. }), Move::Judge(r));
            may(bounds.settles > 0, Move::Forget(r));
            match replica.settling {
                Settling::None => may(bounds.settles > 0, Move::SettleRead(r)),
                Settling::Read { .. } => may(true, Move::SettleRaise(r)),
                Settling::Raised { .. } | Settling::Waited { .. } => may(true, Move::SettleUpTo(r)),
            }
            if replica.request != Request::None {
                continue;
            }
            may(bounds.issues > 0, Move::Issue(r));
            may(bounds.repeats > 0, Move::Repeat(r));
            for target in 0..TARGETS {
                may(bounds.revokes[target] > 0, Move::Revoke { by: r, target });
                may(bounds.lost_replies > 0, Move::RevokeUnheard { by: r, target });
            }
            for grant in 0..u8::try_from(GRANTS).unwrap() {
                for writes in [true, false] {
                    may(bounds.refreshes > 0, Move::Refresh { by: r, grant, writes });
                }
            }
        }
        moves
    }

    fn after(&self, state: &State, step: Move) -> After<State, Fault> {
        let mut next = match self.moved(state, step) {
            None => return After::Impossible,
            Some(Err(fault)) => return After::Fault(fault),
            Some(Ok(next)) => next,
        };
        next.settle_down(self);
        match next.fault(self) {
            Some(fault) => After::Fault(fault),
            None if self.bounds.ways_back && !next.recovers(self) => After::Fault(Fault::Stuck),
            None if next.is_over(self) => After::Over,
            None => After::Next(next),
        }
    }

    fn ordered(&self, state: &State) -> State {
        if state.replicas[0] <= state.replicas[1] { *state } else { state.swapped() }
    }
}

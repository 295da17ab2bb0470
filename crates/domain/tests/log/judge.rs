//! What must hold in every state, whatever is asked then; and that there is always a way back to a healed log.

use crate::replica::{IssueStep, RefreshStep, Request, SUBJECT};
use crate::rules::{Bounds, Mode};
use crate::server::{REPLICAS, Tick, kills};
use crate::state::{GRANTS, Grant, Issued, REVOCATIONS, Revocation, State};
use crate::world::{Model, Move};

/// What must not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// `fully_fresh` called a token active whose revocation had been acknowledged before it was asked.
    FullyFresh,
    /// The default did, longer ago than a view may be old.
    Default,
    /// The replica that acknowledged it did, at once.
    Own,
    /// Refresh handed out under what was revoked before it arrived.
    Refreshed,
    /// `at_least_as_fresh` was answered with yes, and the answer did not know that revision.
    WrongYes,
    /// It knew that revision, and not one acknowledged before it.
    Behind,
    /// It knew the revision of another's answer, and not what that answer had known.
    Unsteady,
    /// What was issued after a revocation had been acknowledged is killed by it.
    FalseKill,
    /// There is no way back.
    Stuck,
}

impl Request {
    pub const fn is_arrived(&self) -> bool {
        matches!(self, Self::Issue { step: IssueStep::Arrived, .. } | Self::Refresh { step: RefreshStep::Arrived, .. })
    }
}

impl State {
    /// The revocations acknowledged by now: a bit each.
    pub fn acknowledged(&self) -> u8 {
        let is = |e: &usize| self.revocations[*e].is_some_and(|revocation| revocation.acknowledged.is_some());
        (0..REVOCATIONS).filter(is).fold(0, |mask, e| mask | 1 << e)
    }

    /// Whether no failure can lose what was acknowledged.
    pub fn keeps_all(&self, model: &Model) -> bool {
        let Bounds { mode, flushes, rollbacks, evictions, .. } = model.bounds;
        mode == Mode::Replicated && flushes + rollbacks + evictions == 0
    }

    /// A replica that begins to count as there has seen what its view holds.
    pub fn see(&mut self, r: usize) {
        for held in self.replicas[r].held.into_iter().flatten() {
            self.revocation(held.of).seen |= 1 << r;
        }
    }

    /// What nobody who is left could know of is lost, as it is said aloud.
    pub fn void(&mut self, model: &Model) {
        if self.keeps_all(model) {
            return;
        }
        let log = &self.log.primary;
        let era = log.era.filter(|era| era.identity == self.identity);
        let over = era.is_some_and(|era| era.is_healed(self.now));
        let knows = |r: &usize| {
            let replica = &self.replicas[*r];
            let silent = over && !replica.is_moving() && era.is_some_and(|era| era.posts >> r & 1 == 0);
            replica.up && !(silent && model.bounds.heals_in_time)
        };
        let living = (0..REPLICAS).filter(knows).fold(0, |living, r| living | 1 << r);
        for (index, revocation) in self.revocations.iter_mut().enumerate() {
            let Some(revocation) = revocation.as_mut().filter(|revocation| revocation.acknowledged.is_some()) else { continue };
            let kept = log.raises(u8::try_from(index).unwrap()) || revocation.trimmed;
            revocation.void |= !kept && revocation.seen & living == 0;
        }
    }

    /// Whether some token that this revocation must kill is alive as that replica knows.
    fn spares(&self, r: usize, revocation: &Revocation) -> bool {
        (0..GRANTS).any(|g| {
            let grant = &self.issued[g];
            revocation.kills >> g & 1 == 1
                && grant.issued == Issued::Handed
                && self.clock() < grant.exp
                && !self.replicas[r].kills(u8::try_from(g).unwrap(), grant.born)
        })
    }

    /// A `fully_fresh` introspection that arrived when these had been acknowledged.
    pub fn fully_fresh(&self, r: usize, must: u8) -> Result<(), Fault> {
        if !self.replicas[r].registered {
            return Ok(());
        }
        let mut all = self.revocations.iter().enumerate().filter_map(|(e, revocation)| revocation.filter(|_| must >> e & 1 == 1));
        if all.any(|revocation| !revocation.void && self.spares(r, &revocation)) { Err(Fault::FullyFresh) } else { Ok(()) }
    }

    /// Every introspection that needs no catch-up, and every view.
    pub fn fault(&self, model: &Model) -> Option<Fault> {
        (0..REPLICAS).filter(|r| self.replicas[*r].registered).find_map(|r| self.fault_of(r, model))
    }

    fn fault_of(&self, r: usize, model: &Model) -> Option<Fault> {
        let replica = &self.replicas[r];
        let believed = replica.is_believed(self.aging(&model.rules));
        for (e, revocation) in self.revocations.iter().enumerate() {
            let Some(revocation) = revocation else { continue };
            let spared = || self.spares(r, revocation);
            if believed && !revocation.void {
                let acknowledged = revocation.acknowledged;
                if acknowledged.is_some_and(|at| at < self.now) && spared() {
                    return Some(Fault::Default);
                }
                if revocation.by == Some(r) && spared() {
                    return Some(Fault::Own);
                }
            }
            if revocation.told && self.knows(r, e, model) {
                if spared() {
                    return Some(Fault::WrongYes);
                }
                let mut before = self.revocations.iter().enumerate().filter(|(b, _)| revocation.before >> b & 1 == 1);
                if before.any(|(_, before)| before.is_some_and(|before| !before.void && self.spares(r, &before))) {
                    return Some(Fault::Behind);
                }
            }
            if self.is_unsteady(r, revocation, model) {
                return Some(Fault::Unsteady);
            }
        }
        self.is_false_kill(r).then_some(Fault::FalseKill)
    }

    /// Whether `at_least_as_fresh` with a revocation's revision is answered by that replica without asking the store.
    fn knows(&self, r: usize, e: usize, model: &Model) -> bool {
        let Some(revocation) = self.revocations[e] else { return false };
        let replica = &self.replicas[r];
        let held = replica.held[revocation.target].is_some_and(|held| usize::from(held.of) == e);
        replica.knows(revocation.place, held, &model.rules)
    }

    /// Whether this replica answers to the revision of the other's answer and has not what that one had.
    fn is_unsteady(&self, r: usize, revocation: &Revocation, model: &Model) -> bool {
        let (replica, other) = (&self.replicas[r], &self.replicas[1 - r]);
        other.registered
            && revocation.acknowledged.is_some()
            && !revocation.void
            && replica.knows(other.head, false, &model.rules)
            && self.spares(r, revocation)
            && !self.spares(1 - r, revocation)
    }

    /// Whether its view kills what was issued after that had been acknowledged.
    fn is_false_kill(&self, r: usize) -> bool {
        let Some(held) = self.replicas[r].held[SUBJECT] else { return false };
        let later = |grant: &Grant| grant.issued == Issued::Handed && grant.after >> held.of & 1 == 1;
        self.issued.iter().any(|grant| later(grant) && kills(held.floor, grant.born))
    }

    /// The same world with its two replicas in the other order.
    pub fn swapped(&self) -> Self {
        let other = |mask: u8| mask & !0b11 | (mask & 1) << 1 | mask >> 1 & 1;
        let mut swapped = *self;
        swapped.replicas.swap(0, 1);
        let logs = [Some(&mut swapped.log.primary), Some(&mut swapped.log.copy), swapped.former.as_mut()];
        for log in logs.into_iter().flatten() {
            log.beats.swap(0, 1);
            if let Some(era) = &mut log.era {
                (era.waits, era.posts) = (other(era.waits), other(era.posts));
            }
        }
        for revocation in swapped.revocations.iter_mut().flatten() {
            revocation.seen = other(revocation.seen);
            revocation.by = revocation.by.map(|by| 1 - by);
        }
        swapped
    }

    /// Whether all is well again once nothing fails any more and everybody does what is to be done.
    pub fn recovers(&self, model: &Model) -> bool {
        let model = &Model { bounds: Bounds { ticks: Tick::MAX, ways_back: false, ..model.bounds }, rules: model.rules };
        let mut state = *self;
        for _ in 0..12 {
            for r in 0..REPLICAS {
                for step in [
                    Move::Start(r),
                    Move::Resume(r),
                    Move::Reconnect(r),
                    Move::Hear(r),
                    Move::CatchUp(r),
                    Move::Receive(r),
                    Move::PutBack(r),
                    Move::Beat(r),
                ] {
                    state.go(model, step);
                }
                state.go(model, Move::Post(r));
            }
            state.go(model, Move::CopyLog);
            state.go(model, Move::CopyGrants);
            state.go(model, Move::Tick);
        }
        state.replicas.iter().all(|replica| {
            let whole = replica.loaded && replica.healed && replica.registered && replica.confirmed;
            whole && replica.missing == 0
        })
    }

    fn go(&mut self, model: &Model, step: Move) {
        if let Some(Ok(mut next)) = model.moved(self, step) {
            next.settle_down(model);
            *self = next;
        }
    }
}

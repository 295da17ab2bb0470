//! Moves of the world: what is asked of a replica, and the settling beside it.

use crate::judge::Fault;
use crate::replica::{GRANT, Held, IssueStep, RefreshStep, Request, SUBJECT, Settling};
use crate::rules::{Mode, Rules};
use crate::server::{Grants, INFINITE, Place, Record, kills};
use crate::state::{GRANTS, Grant, Issued, LIFETIME, REVOCATIONS, Revocation, State};
use crate::world::Model;

impl State {
    pub fn revocation(&mut self, index: u8) -> &mut Revocation {
        self.revocations[usize::from(index)].as_mut().unwrap()
    }

    /// Revokes: appends, and is acknowledged at once where nothing is waited for. Unheard: the answer is lost.
    pub fn revoke(&mut self, r: usize, target: usize, heard: bool, model: &Model) -> Option<()> {
        let replica = self.replicas[r];
        let index = self.revocations.iter().position(Option::is_none)?;
        if !replica.registered || replica.request != Request::None || (target == GRANT && self.issued[0].issued == Issued::No) {
            return None;
        }
        let of = u8::try_from(index).unwrap();
        let floor = (target == GRANT).then_some(INFINITE);
        let answer = self.append(r, of, floor, model)?;
        let handed = |g: &usize| self.issued[*g].issued == Issued::Handed;
        let kills = if target == GRANT { 1 } else { (0..GRANTS).filter(handed).fold(0, |mask, g| mask | 1 << g) };
        let before = self.acknowledged();
        let place = answer.log.head();
        self.revocations[index] = Some(Revocation {
            target,
            place,
            acknowledged: None,
            by: None,
            told: false,
            kills,
            before,
            seen: 0,
            trimmed: false,
            void: false,
        });
        if !heard {
            return Some(());
        }
        self.replicas[r].request = Request::Revoke { revocation: of, at: self.now, answer: Some(answer) };
        if model.bounds.delays { Some(()) } else { self.hear(r, model) }
    }

    /// The answer to an append comes. It counts for nothing where the view is under another primary by then.
    pub fn hear(&mut self, r: usize, model: &Model) -> Option<()> {
        let rules = &model.rules;
        let Request::Revoke { revocation, answer: Some(answer), at } = self.replicas[r].request else { return None };
        if rules.overtaken_answers_are_dropped && answer.known != self.replicas[r].under {
            self.replicas[r].request = Request::None;
            return Some(());
        }
        if rules.merged_before_acknowledged {
            self.take_in(r, &answer, rules);
        }
        if model.bounds.mode == Mode::Applied && self.replicas[r].confirmed {
            self.acknowledge(r, revocation);
        } else {
            self.replicas[r].request = Request::Revoke { revocation, at, answer: None };
        }
        Some(())
    }

    /// Revokes a grant again that was not acknowledged: nothing is appended, and all that the log holds is waited for.
    pub fn repeat(&mut self, r: usize, model: &Model) -> Option<()> {
        let rules = &model.rules;
        let replica = self.replicas[r];
        let of = replica.held[GRANT]?.of;
        if !replica.registered || replica.request != Request::None || self.revocation(of).acknowledged.is_some() {
            return None;
        }
        let (log, mut server) = self.serve(r, rules);
        log.meet(replica.position(), &mut server).then_some(())?;
        let answer = self.answer(r, rules);
        self.take_in(r, &answer, rules);
        if rules.repeated_in_this_log && !self.replicas[r].has_met(GRANT) {
            return None;
        }
        self.replicas[r].request = Request::Revoke { revocation: of, at: self.now, answer: None };
        Some(())
    }

    pub fn acknowledge(&mut self, r: usize, revocation: u8) {
        let now = self.now;
        let revocation = self.revocation(revocation);
        (revocation.acknowledged, revocation.by, revocation.told) = (Some(now), Some(r), true);
        self.replicas[r].request = Request::None;
    }

    pub fn issue(&mut self, r: usize) -> Option<()> {
        let held = self.replicas[r].held.iter().flatten().fold(0, |held, one| held | 1 << one.of);
        let after = self.acknowledged() | held;
        let replica = &mut self.replicas[r];
        if !replica.registered || replica.request != Request::None {
            return None;
        }
        let index = self.issued.iter().position(|grant| grant.issued == Issued::No)?;
        self.issued[index] = Grant { issued: Issued::Begun, after, ..Grant::default() };
        replica.request = Request::Issue { grant: u8::try_from(index).unwrap(), at: self.now, step: IssueStep::Arrived };
        Some(())
    }

    /// Takes `born`, and writes the record.
    pub fn put(&mut self, r: usize, model: &Model) -> Option<()> {
        let (rules, replica) = (&model.rules, self.replicas[r]);
        let Request::Issue { grant, at, step: IssueStep::Caught { head, era } } = replica.request else { return None };
        let above = |held: &Held| held.floor != INFINITE && kills(held.floor, head.micros);
        let above = !replica.held.iter().flatten().any(above) || !rules.born_is_above_the_view;
        if !replica.confirmed || replica.era != Some(era) || !above {
            return None;
        }
        self.stamp += 1;
        let record = &mut self.grants.primary.records[usize::from(grant)];
        if *record != Record::None && rules.put_only_creates {
            self.issued[usize::from(grant)].issued = Issued::GivenUp;
            self.replicas[r].request = Request::None;
            return Some(());
        }
        *record = Record::Living(self.stamp);
        let (born, decided) = (head.micros, self.clock());
        if model.bounds.mode == Mode::Applied {
            self.hand_out(r, grant, born, decided);
        } else {
            self.replicas[r].request = Request::Issue { grant, at, step: IssueStep::Put { born, decided } };
        }
        Some(())
    }

    pub fn hand_out(&mut self, r: usize, grant: u8, born: u8, decided: u8) {
        let grant = &mut self.issued[usize::from(grant)];
        (grant.issued, grant.born, grant.exp) = (Issued::Handed, born, decided + LIFETIME);
        self.replicas[r].request = Request::None;
    }

    /// A refresh arrives; its record is read at once, beside the catch-up.
    pub fn refresh(&mut self, r: usize, grant: u8, writes: bool) -> Option<()> {
        let (must, floor, at) = (self.acknowledged(), self.grants.primary.floor, self.now);
        let replica = &mut self.replicas[r];
        let handed = self.issued[usize::from(grant)].issued == Issued::Handed;
        if !replica.registered || replica.request != Request::None || !handed {
            return None;
        }
        let Record::Living(stamp) = self.grants.primary.records[usize::from(grant)] else { return None };
        replica.request = Request::Refresh { grant, at, writes, stamp, must, floor, step: RefreshStep::Arrived };
        Some(())
    }

    /// Decides after the catch-up, and swaps where the decision writes.
    pub fn decide(&mut self, r: usize) -> Option<()> {
        let clock = self.clock();
        let replica = &mut self.replicas[r];
        let Request::Refresh { grant, writes, stamp, step: RefreshStep::Caught { healed }, .. } = replica.request else {
            return None;
        };
        let record = &mut self.grants.primary.records[usize::from(grant)];
        let dead = replica.kills(grant, self.issued[usize::from(grant)].born);
        if dead || (writes && *record != Record::Living(stamp)) {
            replica.request = Request::None;
            return Some(());
        }
        if writes {
            self.stamp += 1;
            *record = Record::Living(self.stamp);
        }
        if let Request::Refresh { step, .. } = &mut replica.request {
            *step = RefreshStep::Decided { at: clock, healed };
        }
        Some(())
    }

    /// Reads the floors, and replies.
    pub fn judge(&mut self, r: usize, model: &Model) -> Option<Result<(), Fault>> {
        let rules = &model.rules;
        let Request::Refresh { grant, writes, must, floor, step: RefreshStep::Decided { at, healed }, .. } =
            self.replicas[r].request
        else {
            return None;
        };
        self.replicas[r].request = Request::None;
        let index = usize::from(grant);
        let floor = if rules.floors_are_read_after { self.grants.primary.floor } else { floor };
        let ended = !writes && rules.the_unwritten_is_read_again && self.grants.primary.records[index] == Record::Ended;
        if ended || (rules.floors_are_read && kills(floor, self.issued[index].born)) {
            return Some(Ok(()));
        }
        let from = if rules.exp_is_of_the_decision { at } else { self.clock() };
        self.issued[index].exp = self.issued[index].exp.max(from + LIFETIME);
        // While a log that may have lost something is put in order, it hands out what will be dead then.
        if !healed && !self.keeps_all(model) {
            return Some(Ok(()));
        }
        let dead = (0..REVOCATIONS).filter_map(|e| self.revocations[e].filter(|_| must >> e & 1 == 1));
        let revived = dead.filter(|revocation| !revocation.void).any(|revocation| revocation.kills >> grant & 1 == 1);
        Some(if revived { Err(Fault::Refreshed) } else { Ok(()) })
    }

    pub fn settle_read(&mut self, r: usize, model: &Model) -> Option<()> {
        let replica = self.replicas[r];
        if !replica.registered || replica.settling != Settling::None {
            return None;
        }
        let (log, mut server) = self.serve(r, &model.rules);
        log.meet(replica.position(), &mut server).then_some(())?;
        let settled = log.settled;
        let above: Vec<_> = log.entries().iter().filter(|entry| entry.place > settled).collect();
        let what = above.iter().filter_map(|entry| entry.of).fold(0, |what, of| what | 1 << of);
        let upto = above.last()?.place;
        self.replicas[r].settling = Settling::Read { what, upto };
        Some(())
    }

    pub fn settle_raise(&mut self, r: usize, model: &Model) -> Option<()> {
        let rules = &model.rules;
        let Settling::Read { what, upto } = self.replicas[r].settling else { return None };
        for of in (0..REVOCATIONS).filter(|of| what >> of & 1 == 1) {
            let Revocation { target, place, .. } = self.revocations[of]?;
            let Grants { records, floor } = &mut self.grants.primary;
            if target == SUBJECT {
                *floor = (*floor).max(place.micros);
            } else if records[0] != Record::None || rules.ended_is_written {
                records[0] = Record::Ended;
            }
        }
        let waits = match model.bounds.mode {
            Mode::Replicated => rules.settle_waits,
            Mode::Applied => rules.applied_settle_waits,
        };
        self.replicas[r].settling = if waits { Settling::Raised { upto } } else { Settling::Waited { upto } };
        Some(())
    }

    pub fn settle_up_to(&mut self, r: usize, rules: &Rules) -> Option<()> {
        let Settling::Waited { upto } = self.replicas[r].settling else { return None };
        let (log, _) = self.serve(r, rules);
        let upto: Place = if rules.settles_what_it_read { upto } else { log.head() };
        log.settle(upto, rules);
        self.replicas[r].settling = Settling::None;
        Some(())
    }

    pub fn trim(&mut self, model: &Model) -> Option<()> {
        let front = self.log.primary.trimmable(self.clock(), model.horizon(), &model.rules);
        if front == 0 {
            return None;
        }
        let before = self.log.primary;
        self.log.primary.trim(front);
        for (index, revocation) in self.revocations.iter_mut().enumerate() {
            let (of, after) = (u8::try_from(index).unwrap(), &self.log.primary);
            if let Some(revocation) = revocation {
                revocation.trimmed |= before.raises(of) && !after.raises(of);
            }
        }
        Some(())
    }
}

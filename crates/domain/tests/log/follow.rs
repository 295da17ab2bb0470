//! Moves of the world: time and failures, following the log, and healing it.

use crate::judge::Fault;
use crate::replica::{Answer, CatchUp, Held, IssueStep, RefreshStep, Replica, Request, Settling, TARGETS};
use crate::rules::{Mode, Rules};
use crate::server::{EPOCH, Log, REPLICAS, SILENCE, SKEW, Server, TICK, Tick};
use crate::state::{DEADLINE, Issued, State};
use crate::world::Model;

impl State {
    /// The log that a replica reaches, and its server.
    pub fn serve<'a>(&'a mut self, r: usize, rules: &'a Rules) -> (&'a mut Log, Server<'a>) {
        let clock = self.clock() * TICK;
        let (log, identity) = match &mut self.former {
            Some(former) if self.replicas[r].on_former => (former, self.identity - 1),
            _ => (&mut self.log.primary, self.identity),
        };
        (log, Server { identity, clock, now: self.now, random: &mut self.random, rules })
    }

    /// What a view's age is told by.
    pub const fn aging(&self, rules: &Rules) -> Tick {
        if rules.age_is_monotonic { self.now } else { self.clock() }
    }

    /// What the clock of the log's primary shows, and with it that of every replica.
    pub const fn clock(&self) -> Tick {
        self.now + EPOCH - if self.behind { SKEW } else { 0 }
    }

    pub fn tick(&mut self, model: &Model) -> Option<()> {
        let waited_for = |r: usize| {
            let era = self.log.primary.era.filter(|era| era.identity == self.identity);
            era.is_some_and(|era| era.misses(r) && !era.is_healed(self.now) && era.is_healed(self.now + 1))
        };
        let late = (0..REPLICAS).any(|r| self.replicas[r].is_moving() && waited_for(r));
        if self.now == model.bounds.ticks || late && model.bounds.heals_in_time {
            return None;
        }
        self.now += 1;
        for r in 0..REPLICAS {
            if model.bounds.beats && self.replicas[r].is_moving() && self.replicas[r].registered {
                self.serve(r, &model.rules).0.beats[r] = Some(self.now);
            }
            let at = match self.replicas[r].request {
                Request::None => continue,
                Request::Issue { at, .. } | Request::Refresh { at, .. } | Request::Revoke { at, .. } => at,
            };
            if self.now > at + DEADLINE {
                self.give_up(r, &model.rules);
            }
        }
        Some(())
    }

    /// The request under way is answered `UNAVAILABLE`; a revocation that is in force says its place.
    fn give_up(&mut self, r: usize, rules: &Rules) {
        match self.replicas[r].request {
            Request::Issue { grant, .. } => self.issued[usize::from(grant)].issued = Issued::GivenUp,
            Request::Revoke { revocation, answer: None, .. } => {
                self.revocation(revocation).told |= self.replicas[r].confirmed || !rules.told_under_a_confirmed_era;
            }
            Request::Revoke { .. } | Request::Refresh { .. } | Request::None => {}
        }
        self.replicas[r].request = Request::None;
    }

    pub fn copy_log(&mut self, model: &Model) -> Option<()> {
        let waits = |replica: &Replica| {
            let waits = replica.joining.is_some() || matches!(replica.request, Request::Revoke { answer: None, .. });
            replica.is_moving() && !replica.on_former && waits
        };
        if self.log.copy == self.log.primary && !self.replicas.iter().any(waits) {
            return None;
        }
        self.log.copy = self.log.primary;
        for r in 0..REPLICAS {
            if !self.replicas[r].is_moving() || self.replicas[r].on_former {
                continue;
            }
            if let Some(era) = self.replicas[r].joining.take() {
                let replica = &mut self.replicas[r];
                replica.registered = true;
                replica.confirmed |= era == replica.era;
                self.see(r);
            }
            if let Request::Revoke { revocation, answer: None, .. } = self.replicas[r].request
                && (model.bounds.mode == Mode::Replicated || self.replicas[r].confirmed)
            {
                self.acknowledge(r, revocation);
            }
        }
        Some(())
    }

    pub fn copy_grants(&mut self) -> Option<()> {
        let waits = |replica: &Replica| {
            let put = matches!(replica.request, Request::Issue { step: IssueStep::Put { .. }, .. });
            replica.is_moving() && (put || matches!(replica.settling, Settling::Raised { .. }))
        };
        if self.grants.copy == self.grants.primary && !self.replicas.iter().any(waits) {
            return None;
        }
        self.grants.copy = self.grants.primary;
        for r in 0..REPLICAS {
            if !self.replicas[r].is_moving() {
                continue;
            }
            if let Request::Issue { grant, step: IssueStep::Put { born, decided }, .. } = self.replicas[r].request {
                self.hand_out(r, grant, born, decided);
            }
            if let Settling::Raised { upto } = self.replicas[r].settling {
                self.replicas[r].settling = Settling::Waited { upto };
            }
        }
        Some(())
    }

    /// What waits on a connection to the former primary has failed.
    pub fn fail_over(&mut self, behind: bool, rules: &Rules) {
        self.identity += 1;
        self.behind = behind;
        self.log.primary = self.log.copy;
        self.former = None;
        (0..REPLICAS).for_each(|r| self.reconnect(r, rules));
    }

    pub fn reconnect(&mut self, r: usize, rules: &Rules) {
        self.replicas[r].on_former = false;
        self.replicas[r].joining = None;
        if matches!(self.replicas[r].request, Request::Revoke { answer: None, .. }) {
            self.give_up(r, rules);
        }
        if self.replicas.iter().all(|replica| !replica.on_former) {
            self.former = None;
        }
    }

    /// The copy takes over, and the former primary does not know: it answers whoever has not left it.
    pub fn split(&mut self, rules: &Rules) {
        let former = self.log.primary;
        self.fail_over(false, rules);
        self.former = Some(former);
        for replica in &mut self.replicas {
            replica.on_former = replica.up;
        }
    }

    pub fn fail_over_grants(&mut self, rules: &Rules) {
        self.grants.primary = self.grants.copy;
        for r in 0..REPLICAS {
            if matches!(self.replicas[r].request, Request::Issue { step: IssueStep::Put { .. }, .. }) {
                self.give_up(r, rules);
            }
            if matches!(self.replicas[r].settling, Settling::Raised { .. }) {
                self.replicas[r].settling = Settling::None;
            }
        }
    }

    pub fn crash(&mut self, r: usize, rules: &Rules) -> Option<()> {
        if !self.replicas[r].up {
            return None;
        }
        self.reconnect(r, rules);
        self.give_up(r, rules);
        self.replicas[r] = Replica::default();
        for revocation in self.revocations.iter_mut().flatten() {
            revocation.seen &= !(1 << r);
            revocation.by = revocation.by.filter(|by| *by != r);
        }
        Some(())
    }

    pub fn resume(&mut self, r: usize, rules: &Rules) -> Option<()> {
        let replica = &mut self.replicas[r];
        if !replica.stalled {
            return None;
        }
        replica.stalled = false;
        if rules.silence_is_a_start && replica.since.is_some_and(|since| since + SILENCE < self.now) {
            (replica.registered, replica.confirmed) = (false, false);
        }
        replica.since = None;
        Some(())
    }

    /// A durable beat under the era that the replica knows: at its start, after a silence, and in each new era.
    pub fn beat(&mut self, r: usize, model: &Model) -> Option<()> {
        let replica = self.replicas[r];
        if !replica.loaded || replica.joining.is_some() || (replica.registered && replica.confirmed) {
            return None;
        }
        let now = if model.bounds.beats { self.now } else { 0 };
        let (log, Server { identity, .. }) = self.serve(r, &model.rules);
        let is_its_era = log.era.is_some_and(|era| era.identity == identity && Some(era.marker) == replica.era);
        if model.rules.beat_names_the_era && !is_its_era {
            return None;
        }
        log.beats[r] = Some(now);
        self.replicas[r].joining = Some(replica.era);
        if !model.rules.first_beat_is_durable && !replica.registered {
            (self.replicas[r].registered, self.replicas[r].confirmed) = (true, true);
        }
        Some(())
    }

    /// One page of a catch-up is asked for, and answered.
    pub fn catch_up(&mut self, r: usize, model: &Model) -> Option<Result<(), Fault>> {
        let position = self.replicas[r].position();
        let (log, mut server) = self.serve(r, &model.rules);
        log.meet(position, &mut server).then_some(())?;
        let answer = self.answer(r, &model.rules);
        let (must, sent) = (self.acknowledged(), self.aging(&model.rules));
        let replica = &mut self.replicas[r];
        let arrived = replica.request.is_arrived();
        let catching = replica.catching.get_or_insert(CatchUp { sent, must, serves: arrived, answer: None });
        if catching.answer.is_some() {
            return None;
        }
        catching.answer = Some(answer);
        if model.bounds.delays { Some(Ok(())) } else { self.receive(r, model) }
    }

    pub fn answer(&mut self, r: usize, rules: &Rules) -> Answer {
        let Replica { cursor, under, .. } = self.replicas[r];
        let (log, Server { identity, now, .. }) = self.serve(r, rules);
        Answer { log: *log, identity, now, cursor, known: under }
    }

    /// Takes an answer in.
    fn read(&mut self, r: usize, answer: &Answer, page: usize, rules: &Rules) -> bool {
        let targets = self.revocations.map(|revocation| revocation.map_or(0, |revocation| revocation.target));
        let (complete, seen) = self.replicas[r].read(answer, page, rules, |of| targets[usize::from(of)]);
        if self.replicas[r].registered {
            for (index, revocation) in self.revocations.iter_mut().enumerate() {
                if let Some(revocation) = revocation.as_mut().filter(|_| seen >> index & 1 == 1) {
                    revocation.seen |= 1 << r;
                }
            }
        }
        complete
    }

    /// A page has come. With the last one the catch-up is over, and whoever waited for it goes on.
    pub fn receive(&mut self, r: usize, model: &Model) -> Option<Result<(), Fault>> {
        let rules = &model.rules;
        let now = self.aging(rules);
        let mut catching = self.replicas[r].catching?;
        let answer = catching.answer.take()?;
        if answer.known != self.replicas[r].under && rules.overtaken_answers_are_dropped {
            self.replicas[r].catching = Some(catching);
            return Some(Ok(()));
        }
        let complete = self.read(r, &answer, model.bounds.page, rules);
        if !complete {
            self.replicas[r].catching = Some(catching);
            return Some(Ok(()));
        }
        let replica = &mut self.replicas[r];
        replica.catching = None;
        if Replica::proves(replica.healed, model.bounds.mode, rules) {
            let from = if rules.age_counts_from_the_sending { catching.sent } else { now };
            replica.proven = replica.proven.max(Some(from));
        }
        let (healed, head, era) = (replica.healed, replica.head, replica.era?);
        if catching.serves || !rules.catch_up_after_arrival {
            match &mut replica.request {
                Request::Issue { step: step @ IssueStep::Arrived, .. } => *step = IssueStep::Caught { head, era },
                Request::Refresh { step: step @ RefreshStep::Arrived, .. } => *step = RefreshStep::Caught { healed },
                _ => {}
            }
        }
        if healed || !rules.fully_fresh_waits_for_healing {
            return Some(self.fully_fresh(r, catching.must));
        }
        Some(Ok(()))
    }

    /// Appends what the log has lost.
    pub fn put_back(&mut self, r: usize, model: &Model) -> Option<()> {
        let rules = &model.rules;
        let replica = self.replicas[r];
        if !replica.loaded || replica.missing == 0 {
            return None;
        }
        let (log, mut server) = self.serve(r, rules);
        log.meet(replica.position(), &mut server).then_some(())?;
        for target in (0..TARGETS).filter(|target| replica.missing >> target & 1 == 1) {
            let Some(Held { of, floor, at, .. }) = replica.held[target] else { continue };
            let floor = Replica::floor_again(floor, rules);
            let at = (!rules.lifetime_begins_anew).then_some(at);
            log.append(of, floor, at, replica.position(), &mut server)?;
        }
        self.replicas[r].missing = 0;
        let answer = self.answer(r, rules);
        self.read(r, &answer, usize::MAX, rules);
        Some(())
    }

    /// Says that it has put back all it knew.
    pub fn post(&mut self, r: usize, model: &Model) -> Option<()> {
        let rules = &model.rules;
        let replica = self.replicas[r];
        if !replica.loaded || replica.missing != 0 || replica.posted || replica.healed {
            return None;
        }
        let (log, mut server) = self.serve(r, rules);
        if !rules.post_names_the_identity {
            log.meet(replica.position(), &mut server).then_some(())?;
        }
        log.post(r, replica.under?, &server).then_some(())?;
        self.replicas[r].posted = true;
        Some(())
    }

    /// Appends a revocation and takes in the answer.
    pub fn append(&mut self, r: usize, of: u8, floor: Option<u8>, model: &Model) -> Option<Answer> {
        let position = self.replicas[r].position();
        let (log, mut server) = self.serve(r, &model.rules);
        log.meet(position, &mut server).then_some(())?;
        log.append(of, floor, None, position, &mut server)?;
        Some(self.answer(r, &model.rules))
    }

    pub fn take_in(&mut self, r: usize, answer: &Answer, rules: &Rules) {
        if rules.append_answers_all {
            self.read(r, answer, usize::MAX, rules);
        } else {
            let own = answer.log.entries().len().saturating_sub(1);
            let before = answer.log.entries()[..own].last().map_or(self.replicas[r].cursor, |entry| entry.place);
            self.read(r, &Answer { cursor: before, ..*answer }, usize::MAX, rules);
        }
    }
}

//! The world of the model: a client with one storage and two requests at once, a network that loses and delays, gateways
//! that report or do not, a thief, and a store that a failover rolls back. The decisions are the real ones.

use crate::ghost::{GENERATIONS, Ghost, each};
use crate::grants::{KEY, NOW, World, grant, presented, primary};
use crate::walk;
use jeton_domain::arrival::{self, Arrival, Seen};
use jeton_domain::error::Cause;
use jeton_domain::grant::{Grant, Lineage};
use jeton_domain::refresh::{Decision, Env, Event, Presented, Request, Verdict, request_hash};
use jeton_domain::time::{Millis, Timestamp};

/// Seconds a message travels at most, each way: less than half the overlap. One that would take longer is lost.
const TRAVEL: u8 = 4;
/// Seconds that may pass at once: within the overlap, beyond it, beyond the retry window.
pub const PASSING: [u8; 3] = [TRAVEL, 12, 70];
const NEVER: u8 = u8::MAX;
const IDS: [&[u8]; 2] = [b"first", b"second"];

/// The two decisions that are walked.
#[derive(Clone, Copy)]
pub struct Rules {
    pub refresh: fn(Timestamp, &Grant, Presented, &Request<'_>, &Env<'_>) -> Decision,
    pub seen: fn(Timestamp, &Grant, Arrival, &arrival::Env<'_>) -> Seen,
}

/// How much of everything, and which of the stated limits are taken as such.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub requests_at_once: u8,
    pub request_ids: bool,
    pub reports: bool,
    pub generations: u8,
    pub lost_replies: u8,
    pub thefts: u8,
    pub failovers: u8,
    pub depth: usize,
    pub passing: [u8; 3],
    pub limits: Limits,
}

/// The limits that the documentation states (the last two are narrower than they sound, and were found by this walk).
/// Each is true where the walk does not count it as a fault.
#[derive(Clone, Copy)]
pub struct Limits {
    /// A thief inside the same overlap as his victim gets the same token, as if he had stolen it only now.
    pub thief_inside_overlap: bool,
    /// A thief's round is silent until the other holder, or an access token of his, shows up.
    pub one_silent_round: bool,
    /// A spent token that a failover revives: what the store forgot cannot be held against anybody.
    pub failover_revives: bool,
    /// A late reply is never adopted: the client's deadline is shorter than half the overlap, and after a failover it
    /// does not let an older token take the place of a newer one.
    pub no_late_reply: bool,
    /// All processes of the client share the storage of their token.
    pub shared_storage: bool,
    /// A failover that loses that an overlap began anew makes it end early: what was under way then can get two numbers.
    /// Only that: no other overlap ends too early.
    pub overlap_cut_by_failover: bool,
    /// A request or reply that was under way during a failover makes a token that the failover lost look like one from nowhere:
    /// an alarm, and nobody is harmed.
    pub alarm_after_failover: bool,
}

pub const ALL_LIMITS: Limits = Limits {
    thief_inside_overlap: true,
    one_silent_round: true,
    failover_revives: true,
    no_late_reply: true,
    shared_storage: true,
    overlap_cut_by_failover: true,
    alarm_after_failover: true,
};

/// What must not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// An honest client's grant was ended, though nobody stole anything.
    FalseKill(Cause),
    /// An alarm, though nobody stole anything.
    FalseAlarm,
    /// A living grant's genuine token was refused without a word of why.
    Refused,
    /// Two lines of tokens, both shown to be held, and the grant lives.
    SecondHolder,
    /// A hand-out outside the overlap that has no new number: a fork would not show.
    SameNumber,
    /// An overlap begun anew after its generation was presented: whoever holds the parent could stay inside for ever.
    EndlessOverlap,
    /// Counted only where the limit is not taken.
    InsideOverlap,
    /// Counted only where the limit is not taken.
    SilentRound,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Move {
    Send(u8),
    Serve(u8),
    Deliver(u8),
    Lose(u8),
    LoseToThief(u8),
    Report(u8),
    Pass(u8),
    Steal,
    ThiefRefreshes(u8),
    ThiefUses(u8),
    FailOver(u8),
}

/// The record in the store, times as ages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Record {
    newest: u8,
    parent: u8,
    arrived: u32,
    reported: u8,
    age: u8,
    /// Whether the overlap, not over yet, began anew since n was handed out, and n has not arrived: else it tells nothing.
    anew: bool,
    /// Which request, and the generation it presented.
    request: Option<(u8, u8)>,
    /// Whether it was written under the primary of now.
    current: bool,
    ghost: Ghost,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Slot {
    Idle,
    Sent { presents: u8, age: u8 },
    Replied { brings: u8, age: u8 },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    record: Record,
    /// What it was one and two commits ago.
    past: [Option<Record>; 2],
    failovers: u8,
    lost: u8,
    thefts: u8,
    /// What each process of the client holds; the same where they share the storage.
    holds: [u8; 2],
    /// The access tokens that the client got.
    access: u16,
    slots: [Slot; 2],
    /// The tokens that the thief got.
    thief: u16,
    /// A request or its reply was under way during a failover.
    crossed: bool,
    /// The newest generation was presented in an overlap begun anew.
    shown: bool,
    /// A failover lost that the overlap of the newest generation began anew.
    cut: bool,
}

pub struct Model {
    bounds: Bounds,
    rules: Rules,
    world: World,
    template: Grant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Client(u8),
    Thief,
}

impl State {
    const START: Self = Self {
        record: Record {
            newest: 1,
            parent: 0,
            arrived: 0,
            reported: 0,
            age: NEVER,
            anew: false,
            request: None,
            current: true,
            ghost: Ghost::new(),
        },
        past: [None; 2],
        failovers: 0,
        lost: 0,
        thefts: 0,
        holds: [1; 2],
        access: 1 << 1,
        slots: [Slot::Idle; 2],
        thief: 0,
        crossed: false,
        shown: false,
        cut: false,
    };

    fn moves(&self, bounds: &Bounds) -> Vec<Move> {
        let slots = 0..bounds.requests_at_once;
        let mut moves: Vec<Move> = slots
            .flat_map(|s| [Move::Send(s), Move::Serve(s), Move::Deliver(s), Move::Lose(s), Move::LoseToThief(s)])
            .chain(bounds.passing.map(Move::Pass))
            .chain([Move::Steal, Move::FailOver(1), Move::FailOver(2)])
            .chain(each(self.thief).map(Move::ThiefRefreshes))
            .collect();
        if bounds.reports {
            moves.extend(each(self.access).map(Move::Report).chain(each(self.thief).map(Move::ThiefUses)));
        }
        moves
    }

    fn commit(&mut self, record: Record, bounds: &Bounds) {
        if self.failovers < bounds.failovers {
            self.past = [Some(self.record), self.past[0]];
        }
        let same = self.record.newest == record.newest;
        self.shown &= same;
        self.cut &= same && self.record.age == record.age;
        self.record = record;
    }

    /// Time passes; what travels too long is lost. None where more replies would be lost than the bounds allow.
    fn pass(&mut self, secs: u8, bounds: &Bounds) -> Option<()> {
        let ends = self.record.age < 10 && self.record.age + secs >= 10;
        let travel = if ends && self.cut && bounds.limits.overlap_cut_by_failover { 0 } else { TRAVEL };
        for record in [Some(&mut self.record)].into_iter().chain(self.past.iter_mut().map(Option::as_mut)).flatten() {
            record.age = older(record.age, secs);
            record.anew &= record.age < 10;
        }
        self.travel(secs, travel, bounds)
    }

    /// What is under way travels on for so many seconds, or is lost if that makes it more than `at_most`.
    fn travel(&mut self, secs: u8, at_most: u8, bounds: &Bounds) -> Option<()> {
        for slot in &mut self.slots {
            match slot {
                Slot::Sent { age, .. } if *age + secs <= at_most => *age += secs,
                Slot::Replied { age, .. } if *age + secs <= at_most => *age += secs,
                Slot::Replied { .. } if bounds.limits.no_late_reply => {
                    self.lost += 1;
                    *slot = Slot::Idle;
                }
                Slot::Replied { .. } | Slot::Idle => {}
                Slot::Sent { .. } => *slot = Slot::Idle,
            }
        }
        (self.lost <= bounds.lost_replies).then_some(())
    }
}

/// Ages that no rule tells apart are one.
fn older(age: u8, secs: u8) -> u8 {
    match age {
        NEVER => NEVER,
        _ => match age.saturating_add(secs) {
            age @ 0..10 => age,
            10..60 => 12,
            _ => 60,
        },
    }
}

type After = walk::After<State, Fault>;

impl walk::World for Model {
    type State = State;
    type Move = Move;
    type Fault = Fault;

    fn start(&self) -> State {
        State::START
    }

    fn moves(&self, state: &State) -> Vec<Move> {
        state.moves(&self.bounds)
    }

    fn after(&self, state: &State, step: Move) -> After {
        self.made(state, step)
    }
}

impl Model {
    pub fn new(bounds: Bounds, rules: Rules) -> Self {
        Self { bounds, rules, world: World::new(), template: grant() }
    }

    fn made(&self, state: &State, step: Move) -> After {
        let mut next = *state;
        let bounds = &self.bounds;
        match step {
            Move::Send(slot) => {
                let (at, presents) = (usize::from(slot), state.holds[usize::from(slot)]);
                if state.slots[at] != Slot::Idle {
                    return After::Impossible;
                }
                next.slots[at] = Slot::Sent { presents, age: 0 };
            }
            Move::Serve(slot) => {
                let Slot::Sent { presents, .. } = state.slots[usize::from(slot)] else { return After::Impossible };
                return self.present(state, presents, Who::Client(slot));
            }
            Move::Deliver(slot) => {
                let Slot::Replied { brings, .. } = state.slots[usize::from(slot)] else { return After::Impossible };
                next.slots[usize::from(slot)] = Slot::Idle;
                if bounds.limits.no_late_reply && brings < state.holds[usize::from(slot)] {
                    return After::Next(next);
                }
                next.access |= 1 << brings;
                next.holds[usize::from(slot)] = brings;
                if bounds.limits.shared_storage {
                    next.holds = [brings; 2];
                }
            }
            Move::Lose(slot) | Move::LoseToThief(slot) => {
                let Slot::Replied { brings, .. } = state.slots[usize::from(slot)] else { return After::Impossible };
                next.slots[usize::from(slot)] = Slot::Idle;
                next.lost += 1;
                if matches!(step, Move::LoseToThief(_)) {
                    next.thefts += 1;
                    next.thief |= 1 << brings;
                }
                if next.lost > bounds.lost_replies || next.thefts > bounds.thefts {
                    return After::Impossible;
                }
            }
            Move::Pass(secs) => {
                if next.pass(secs, bounds).is_none() {
                    return After::Impossible;
                }
            }
            Move::Steal => {
                next.thefts += 1;
                next.thief |= 1 << state.holds[0];
                if next.thefts > bounds.thefts {
                    return After::Impossible;
                }
            }
            Move::FailOver(commits) => {
                let Some(mut record) = state.past[usize::from(commits) - 1] else { return After::Impossible };
                record.current = false;
                if !bounds.limits.failover_revives {
                    record.ghost = state.record.ghost;
                }
                let lost = state.record;
                next.record = record;
                next.shown = false;
                next.cut = lost.newest == record.newest && (state.cut || lost.age < record.age);
                next.failovers += 1;
                next.crossed |= state.slots.iter().any(|slot| *slot != Slot::Idle);
                if next.cut && record.age >= 10 && bounds.limits.overlap_cut_by_failover && next.travel(1, 0, bounds).is_none() {
                    return After::Impossible;
                }
                next.past = if commits == 1 && next.failovers < bounds.failovers { [state.past[1], None] } else { [None; 2] };
            }
            Move::ThiefRefreshes(generation) => return self.present(state, generation, Who::Thief),
            Move::Report(generation) | Move::ThiefUses(generation) => return self.report(state, generation),
        }
        After::Next(next)
    }

    fn grant(&self, record: &Record) -> Grant {
        let mut grant = self.template.clone();
        let handed_at = if record.age == NEVER { Timestamp::NEVER } else { NOW.minus(Millis::from_secs(record.age.into())) };
        grant.lineage = Lineage {
            newest: record.newest.into(),
            parent: record.parent.into(),
            arrived: record.arrived,
            reported: record.reported.into(),
            handed_at,
            used_at: if record.age == NEVER { NOW } else { handed_at.minus(Millis::new(record.anew.into())) },
            request: record.request.map(|(slot, presented)| request_hash(IDS[usize::from(slot)], presented.into())),
            identity: if record.current { primary(1) } else { primary(0) },
            ..grant.lineage
        };
        grant
    }

    fn record(&self, lineage: &Lineage, before: &Record, ghost: Ghost) -> Record {
        let small = |generation: u32| u8::try_from(generation).unwrap();
        let age = if lineage.handed_at == Timestamp::NEVER {
            NEVER
        } else {
            u8::try_from(NOW.since(lineage.handed_at).secs()).unwrap()
        };
        let named = |hash| {
            let all = (0..2).flat_map(|slot| (0..GENERATIONS).map(move |generation| (slot, generation)));
            all.into_iter()
                .find(|(slot, generation)| request_hash(IDS[usize::from(*slot)], (*generation).into()) == hash)
                .unwrap()
        };
        Record {
            newest: small(lineage.newest),
            parent: small(lineage.parent),
            arrived: lineage.arrived,
            reported: small(lineage.reported),
            age,
            anew: age < 10 && lineage.handed_at != lineage.used_at && !lineage.has_arrived(lineage.newest),
            request: lineage.request.map(named),
            current: lineage.identity == primary(1) && (before.current || lineage.handed_at == NOW),
            ghost,
        }
    }

    /// A refresh with `generation`, decided and judged.
    fn present(&self, state: &State, generation: u8, who: Who) -> After {
        let id = match who {
            Who::Client(slot) if self.bounds.request_ids => Some(slot),
            _ => None,
        };
        let before = &state.record;
        let request = Request { id: id.map(|slot| IDS[usize::from(slot)]), ..Request::default() };
        let decision = (self.rules.refresh)(NOW, &self.grant(before), presented(generation.into()), &request, &self.world.env());
        let (changed, out) = match decision {
            Decision::HandOut { changed, out } => (changed, out),
            Decision::End { cause, .. } => return self.ended(state, cause),
            Decision::Refuse(_) => return After::Fault(Fault::Refused),
        };
        if out.event == Some(Event::FutureToken) && self.is_false_alarm(state) {
            return After::Fault(Fault::FalseAlarm);
        }
        let gets = u8::try_from(out.generation).unwrap();
        if gets >= GENERATIONS || gets > self.bounds.generations {
            return After::Impossible;
        }
        let in_time = match out.verdict {
            Verdict::Again => before.age < 10 && gets == before.newest,
            Verdict::Next | Verdict::Retry => gets == before.newest + 1,
            Verdict::Forward => gets == generation,
        };
        if !in_time {
            return After::Fault(Fault::SameNumber);
        }
        let (own, others) = match who {
            Who::Client(_) => (state.access, state.thief),
            Who::Thief => (state.thief, state.access),
        };
        let others_only = |generation: u8| others >> generation & 1 == 1 && own >> generation & 1 == 0;
        let limits = &self.bounds.limits;
        let mut ghost = before.ghost;
        let mine = id.is_some_and(|slot| before.request == Some((slot, generation)));
        match out.verdict {
            Verdict::Again if !mine && !ghost.next_to(generation, before.newest) => return After::Fault(Fault::SecondHolder),
            Verdict::Again if !limits.thief_inside_overlap && others_only(gets) => return After::Fault(Fault::InsideOverlap),
            Verdict::Retry if !limits.one_silent_round && others_only(before.newest) => return After::Fault(Fault::SilentRound),
            Verdict::Again => {}
            // Who asked for n holds the line of n, also where a thief caught the reply: he is found when he shows up.
            Verdict::Retry if mine => {
                let newest = before.newest;
                ghost.descend(gets, if before.arrived & 1 == 1 { newest } else { ghost.origin(newest) });
            }
            Verdict::Next | Verdict::Retry if !ghost.all_lead_to(generation) => {
                return After::Fault(Fault::SecondHolder);
            }
            Verdict::Next | Verdict::Retry => {
                ghost.confirm(generation);
                ghost.descend(gets, generation);
            }
            Verdict::Forward if !ghost.all_lead_to(before.newest) => return After::Fault(Fault::SecondHolder),
            Verdict::Forward => go_forward(&mut ghost, before.newest, generation),
        }
        let mut next = *state;
        if let Some(changed) = changed {
            if state.shown && out.verdict == Verdict::Again && changed.lineage.handed_at == NOW {
                return After::Fault(Fault::EndlessOverlap);
            }
            next.commit(self.record(&changed.lineage, before, ghost), &self.bounds);
        }
        next.shown |= out.verdict == Verdict::Again && before.anew && generation == before.newest;
        match who {
            Who::Client(slot) => next.slots[usize::from(slot)] = Slot::Replied { brings: gets, age: 0 },
            Who::Thief => next.thief |= 1 << gets,
        }
        After::Next(next)
    }

    /// An access token of `generation` is seen, decided and judged.
    fn report(&self, state: &State, generation: u8) -> After {
        let before = &state.record;
        let arrival = Arrival { generation: generation.into(), key: KEY };
        let env = arrival::Env { client: &self.world.client, ring: &self.world.ring, identity: self.world.identity };
        let mut ghost = before.ghost;
        let mut next = *state;
        match (self.rules.seen)(NOW, &self.grant(before), arrival, &env) {
            Seen::End(cause) => return self.ended(state, cause),
            Seen::Forward(_, Some(_)) if self.is_false_alarm(state) => return After::Fault(Fault::FalseAlarm),
            Seen::Nothing | Seen::Changed(_) if !ghost.leads_to(generation, before.newest) => {
                return After::Fault(Fault::SecondHolder);
            }
            Seen::Nothing => {}
            Seen::Changed(_) if !ghost.one_line_with(generation) => return After::Fault(Fault::SecondHolder),
            Seen::Changed(grant) => {
                if generation == before.newest {
                    ghost.confirm(generation);
                }
                next.commit(self.record(&grant.lineage, before, ghost), &self.bounds);
            }
            Seen::Forward(..) if !ghost.all_lead_to(before.newest) => return After::Fault(Fault::SecondHolder),
            Seen::Forward(grant, _) => {
                go_forward(&mut ghost, before.newest, generation);
                next.commit(self.record(&grant.lineage, before, ghost), &self.bounds);
            }
        }
        After::Next(next)
    }

    fn is_false_alarm(&self, state: &State) -> bool {
        state.thefts == 0 && !(state.crossed && self.bounds.limits.alarm_after_failover)
    }

    /// Rightly so after a theft; else only a lost reply that is retried later than the window, without gateways to tell.
    fn ended(&self, state: &State, cause: Cause) -> After {
        let always_known = self.bounds.request_ids && self.bounds.requests_at_once == 1;
        let lost = state.lost > 0 || !self.bounds.limits.no_late_reply || !self.bounds.limits.shared_storage;
        let too_late = cause == Cause::RetryExpired && lost && state.record.age == 60 && !always_known;
        if state.thefts > 0 || too_late { After::Over } else { After::Fault(Fault::FalseKill(cause)) }
    }
}

/// The store takes all it lost as one line.
fn go_forward(ghost: &mut Ghost, newest: u8, to: u8) {
    for generation in newest + 1..=to {
        ghost.descend(generation, generation - 1);
    }
    ghost.confirm(to);
}

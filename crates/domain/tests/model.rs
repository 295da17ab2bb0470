//! Walks the refresh and arrival decisions through every interleaving within small bounds: no false alarm, and no
//! undetected second holder but within the limits that `docs/refresh.md` states; and shows that the walk finds each wrong rule.

#![expect(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "how many states were walked is what a person wants to know")]

#[path = "shared/actors.rs"]
mod actors;
#[path = "shared/ghost.rs"]
mod ghost;
#[path = "shared/grants.rs"]
mod grants;
#[path = "shared/walk.rs"]
mod walk;

use actors::{ALL_LIMITS, Bounds, Fault, Limits, Model, PASSING, Rules};
use jeton_domain::arrival::{Arrival, Seen, seen};
use jeton_domain::error::Cause;
use jeton_domain::grant::Grant;
use jeton_domain::refresh::{Decision, Event, Verdict, refresh};
use jeton_domain::time::Millis;
use walk::{Found, Walked, walk};

const REAL: Rules = Rules { refresh, seen };

/// An honest client alone, and a store that may fail over.
const HONEST: Bounds = Bounds {
    requests_at_once: 2,
    request_ids: false,
    reports: true,
    generations: 4,
    lost_replies: 3,
    thefts: 0,
    failovers: 1,
    depth: usize::MAX,
    passing: PASSING,
    limits: ALL_LIMITS,
};

/// The same on a store that keeps what it has, by the second: what a fifth of the overlap must be shows only so.
const BY_THE_SECOND: Bounds = Bounds { failovers: 0, passing: [1, 12, 70], ..HONEST };

/// A thief beside him; the store keeps what it has.
const THIEF: Bounds = Bounds { thefts: 1, failovers: 0, lost_replies: 2, ..HONEST };

/// All at once.
const EVERYTHING: Bounds = Bounds { failovers: 1, generations: 5, depth: 12, ..THIEF };

#[track_caller]
fn holds(name: &str, bounds: Bounds) {
    match walk(&Model::new(bounds, REAL), bounds.depth) {
        Ok(Walked { states, moves, depth }) => println!("{name}: {states} states, {moves} moves, {depth} deep"),
        Err(Found { fault, trace }) => panic!("{name}: {fault:?} after {trace:#?}"),
    }
}

#[track_caller]
fn finds(name: &str, bounds: Bounds, rules: Rules, expected: Fault) {
    match walk(&Model::new(bounds, rules), bounds.depth) {
        Ok(walked) => panic!("{name}: found nothing in {walked:?}"),
        Err(Found { fault, trace }) => {
            println!("{name}: {fault:?} after {trace:?}");
            assert_eq!(fault, expected, "{name}: {trace:#?}");
        }
    }
}

#[test]
fn an_honest_client_is_never_taken_for_two() {
    holds("two requests at once", HONEST);
    holds("two requests at once, by the second", BY_THE_SECOND);
    holds("two requests at once, gateways do not report", Bounds { reports: false, ..BY_THE_SECOND });
    holds("two requests at once, with request ids", Bounds { request_ids: true, lost_replies: 2, ..BY_THE_SECOND });
    holds("request ids and a failover", Bounds { request_ids: true, generations: 3, lost_replies: 2, ..HONEST });
    holds("one at a time, with request ids: never ended at all", Bounds { request_ids: true, requests_at_once: 1, ..HONEST });
}

#[test]
fn a_second_holder_is_found() {
    holds("thief", THIEF);
    holds("thief, gateways do not report", Bounds { reports: false, generations: 5, ..THIEF });
    holds("thief, request ids", Bounds { request_ids: true, generations: 3, ..THIEF });
}

#[test]
fn a_second_holder_is_found_across_a_failover() {
    holds("thief and failover", EVERYTHING);
}

/// Each limit is needed: without it the walk finds what the documentation says aloud.
#[test]
fn every_stated_limit_is_one() {
    let without = |change: fn(&mut Limits), bounds: Bounds| {
        let mut limits = ALL_LIMITS;
        change(&mut limits);
        Bounds { limits, ..bounds }
    };
    let thief = without(|limits| limits.thief_inside_overlap = false, THIEF);
    finds("a thief inside the same 10 s", thief, REAL, Fault::InsideOverlap);
    let silent = without(|limits| limits.one_silent_round = false, THIEF);
    finds("one silent round of a thief", silent, REAL, Fault::SilentRound);
    let revived = without(|limits| limits.failover_revives = false, Bounds { depth: usize::MAX, ..EVERYTHING });
    finds("a spent token that a failover revives", revived, REAL, Fault::SecondHolder);
    let late = without(|limits| limits.no_late_reply = false, HONEST);
    finds("a late reply adopted over a newer one", late, REAL, Fault::FalseKill(Cause::Reuse));
    let apart = without(|limits| limits.shared_storage = false, HONEST);
    finds("a shared token without shared storage", apart, REAL, Fault::FalseKill(Cause::Reuse));
    let cut = without(|limits| limits.overlap_cut_by_failover = false, HONEST);
    finds("an overlap cut short by a failover", cut, REAL, Fault::FalseKill(Cause::Reuse));
    let alarm = without(|limits| limits.alarm_after_failover = false, HONEST);
    finds("an alarm about a token that a failover lost", alarm, REAL, Fault::FalseAlarm);
}

/// A retry answered with the lost number again: two lines share it, and nobody is found.
#[test]
fn the_walk_finds_retries_that_abandon_nothing() {
    let rules = Rules {
        refresh: |now, grant, presented, request, env| match refresh(now, grant, presented, request, env) {
            Decision::HandOut { mut out, .. } if out.verdict == Verdict::Retry => {
                (out.verdict, out.generation) = (Verdict::Next, grant.lineage.newest);
                Decision::HandOut { changed: None, out }
            }
            decision => decision,
        },
        ..REAL
    };
    finds("no abandonment", THIEF, rules, Fault::SameNumber);
}

#[test]
fn the_walk_finds_a_refresh_that_accepts_the_abandoned() {
    let rules = Rules {
        refresh: |now, grant, presented, request, env| match refresh(now, grant, presented, request, env) {
            Decision::End { cause: Cause::Reuse, .. } if !grant.lineage.has_arrived(presented.generation) => {
                refresh(now, &as_parent(grant, presented.generation), presented, request, env)
            }
            decision => decision,
        },
        ..REAL
    };
    finds("the abandoned accepted", Bounds { reports: false, ..THIEF }, rules, Fault::SecondHolder);
}

#[test]
fn the_walk_finds_a_refresh_that_accepts_the_spent() {
    let rules = Rules {
        refresh: |now, grant, presented, request, env| match refresh(now, grant, presented, request, env) {
            Decision::End { cause: Cause::Reuse, .. } if grant.lineage.has_arrived(presented.generation) => {
                refresh(now, &as_parent(grant, presented.generation), presented, request, env)
            }
            decision => decision,
        },
        ..REAL
    };
    finds("the spent accepted", Bounds { reports: false, ..THIEF }, rules, Fault::SecondHolder);
}

#[test]
fn the_walk_finds_an_arrival_that_detects_nothing() {
    let rules = Rules {
        seen: |now, grant, arrival, env| match seen(now, grant, arrival, env) {
            Seen::End(_) => Seen::Nothing,
            seen => seen,
        },
        ..REAL
    };
    finds("abandoned access tokens pass", THIEF, rules, Fault::SecondHolder);
}

#[test]
fn the_walk_finds_an_arrival_that_tells_nothing() {
    fn deaf(_: jeton_domain::time::Timestamp, grant: &Grant, arrival: Arrival, _: &jeton_domain::arrival::Env<'_>) -> Seen {
        // The record is written and says what it said.
        if arrival.generation == grant.lineage.newest { Seen::Changed(Box::new(grant.clone())) } else { Seen::Nothing }
    }
    finds("reports dropped", THIEF, Rules { seen: deaf, ..REAL }, Fault::SecondHolder);
}

#[test]
fn the_walk_finds_a_refresh_without_overlap() {
    let rules = Rules {
        refresh: |now, grant, presented, request, env| {
            refresh(now, grant, presented, request, &jeton_domain::refresh::Env { overlap: Millis::ZERO, ..*env })
        },
        ..REAL
    };
    finds("no overlap", Bounds { failovers: 0, ..HONEST }, rules, Fault::FalseKill(Cause::Reuse));
}

#[test]
fn the_walk_finds_an_overlap_that_never_begins_anew() {
    let rules = Rules {
        refresh: |now, grant, presented, request, env| match refresh(now, grant, presented, request, env) {
            Decision::HandOut { out, .. } if out.verdict == Verdict::Again => Decision::HandOut { changed: None, out },
            decision => decision,
        },
        ..REAL
    };
    finds("never anew", Bounds { failovers: 0, ..HONEST }, rules, Fault::FalseKill(Cause::Reuse));
}

#[test]
fn the_walk_finds_an_overlap_that_begins_anew_too_late() {
    let rules = Rules {
        refresh: |now, grant, presented, request, env| match refresh(now, grant, presented, request, env) {
            Decision::HandOut { out, .. }
                if out.verdict == Verdict::Again
                    && presented.generation < out.generation
                    && now.since(grant.lineage.handed_at) < env.overlap.percent(30) =>
            {
                Decision::HandOut { changed: None, out }
            }
            decision => decision,
        },
        ..REAL
    };
    finds("anew after three tenths", BY_THE_SECOND, rules, Fault::FalseKill(Cause::Reuse));
}

/// Neither of the two may keep the parent alive for as long as it is presented.
#[test]
fn the_walk_finds_an_overlap_without_end() {
    let untold = Rules {
        refresh: |now, grant, presented, request, env| match refresh(now, grant, presented, request, env) {
            Decision::HandOut { out, .. } if out.verdict == Verdict::Again && presented.generation == out.generation => {
                Decision::HandOut { changed: None, out }
            }
            decision => decision,
        },
        ..REAL
    };
    let silent = Bounds { reports: false, ..THIEF };
    finds("n presented tells nothing", silent, untold, Fault::EndlessOverlap);
    let regardless = Rules {
        refresh: |now, grant, presented, request, env| match refresh(now, grant, presented, request, env) {
            Decision::HandOut { changed, out } if out.verdict == Verdict::Again && presented.generation < out.generation => {
                let mut changed = changed.unwrap_or_else(|| Box::new(grant.clone()));
                changed.lineage.handed_at = now;
                Decision::HandOut { changed: Some(changed), out }
            }
            decision => decision,
        },
        ..REAL
    };
    finds("anew though n has arrived", silent, regardless, Fault::EndlessOverlap);
}

#[test]
fn the_walk_finds_a_refresh_that_does_not_go_forward() {
    let rules = Rules {
        refresh: |now, grant, presented, request, env| match refresh(now, grant, presented, request, env) {
            Decision::HandOut { out, .. } if out.verdict == Verdict::Forward => {
                Decision::End { cause: Cause::Reuse, event: Some(Event::Reuse) }
            }
            decision => decision,
        },
        ..REAL
    };
    finds("no going forward", HONEST, rules, Fault::FalseKill(Cause::Reuse));
}

#[test]
fn the_walk_finds_a_going_forward_that_marks_only_what_it_jumped_over() {
    let rules = Rules {
        refresh: |now, grant, presented, request, env| match refresh(now, grant, presented, request, env) {
            Decision::HandOut { changed: Some(mut changed), out } if out.verdict == Verdict::Forward => {
                let below = presented.generation - grant.lineage.newest;
                changed.lineage.arrived &= !(1 << below) | grant.lineage.arrived << below;
                Decision::HandOut { changed: Some(changed), out }
            }
            decision => decision,
        },
        ..REAL
    };
    finds("the newest of the record not marked", HONEST, rules, Fault::FalseKill(Cause::Reuse));
}

#[test]
fn the_walk_finds_a_request_id_that_is_forgotten() {
    let rules = Rules {
        refresh: |now, grant, presented, request, env| {
            refresh(now, grant, presented, &jeton_domain::refresh::Request { id: None, ..*request }, env)
        },
        ..REAL
    };
    let bounds = Bounds { request_ids: true, requests_at_once: 1, ..HONEST };
    finds("request ids ignored", bounds, rules, Fault::FalseKill(Cause::RetryExpired));
}

/// The record as if `generation` were the parent of an n that has not arrived.
fn as_parent(grant: &Grant, generation: u32) -> Grant {
    let mut grant = grant.clone();
    grant.lineage.parent = generation;
    grant.lineage.arrived &= !1;
    grant
}

// The same walks with larger bounds: minutes, within 6 GB of address space. Last walked:
//   honest                               3,807,057 states    77,221,552 moves   41 deep
//   honest, two failovers                5,483,154 states   105,593,227 moves   37 deep
//   honest, request ids                  3,814,675 states    75,104,053 moves   37 deep
//   honest, by the second                1,501,162 states    29,977,796 moves   44 deep
//   honest, by the second, a failover    9,881,110 states   188,432,212 moves   41 deep
//   thief, by the second                 3,622,109 states    83,728,941 moves   44 deep
//   two thefts                             618,622 states    14,417,691 moves   30 deep
//   thief, request ids                     979,267 states    23,236,240 moves   35 deep
//   everything                             638,007 states     7,575,466 moves   13 deep
//   thief                                4,727,573 states   123,726,680 moves   42 deep

#[test]
#[ignore = "takes minutes: part of the soak"]
fn model_long_honest() {
    holds("honest", Bounds { generations: 6, ..HONEST });
    holds("honest, two failovers", Bounds { failovers: 2, ..HONEST });
    holds("honest, request ids", Bounds { generations: 5, request_ids: true, ..HONEST });
    holds("honest, by the second", Bounds { generations: 6, ..BY_THE_SECOND });
    holds("honest, by the second, a failover", Bounds { failovers: 1, ..BY_THE_SECOND });
}

#[test]
#[ignore = "takes minutes: part of the soak"]
fn model_long_thief() {
    holds("thief, by the second", Bounds { passing: BY_THE_SECOND.passing, ..THIEF });
    holds("two thefts", Bounds { thefts: 2, ..THIEF });
    holds("thief, request ids", Bounds { generations: 4, request_ids: true, ..THIEF });
    holds("everything", Bounds { depth: 13, lost_replies: 3, ..EVERYTHING });
    holds("thief", Bounds { generations: 6, lost_replies: 3, ..THIEF });
}

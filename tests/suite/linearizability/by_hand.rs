//! The checker, checked: histories made by hand. What can be put in an order passes; of each kind that cannot one example is found.

use super::history::{Answer, Asked, Moment, Operation, Standing};
use super::model::{ANYBODY, Row, Terms};
use super::search::{Checked, check};
use Answer::{Active, Done, Explained, Handed, Refused, Unknown};
use Asked::{Access, Explain, Introspect, Pass, Refresh, Revoke, Seen, Unproved};

const USUAL: Terms = ANYBODY;
const NO_OVERLAP: Terms = Terms { overlap: 0, ..USUAL };
const HELD: Terms = Terms { is_held: true, ..USUAL };

/// A call from one moment to another.
fn call(asked: Asked, (start, end): (u64, u64), answer: Answer) -> Operation {
    let (start, end) = (Moment::from_micros(start), Moment::from_micros(end));
    Operation { client: 0, asked, start, end: (answer != Unknown).then_some(end), answer }
}

/// Calls one after the other.
fn in_turn(calls: &[(Asked, Answer)]) -> Vec<Operation> {
    (0..).zip(calls).map(|(at, (asked, answer))| call(*asked, (10 * at, 10 * at + 5), *answer)).collect()
}

#[track_caller]
fn rows(history: &[Operation], terms: Terms) -> Vec<Row> {
    let Checked { order, deepest, .. } = check(history, terms);
    order.unwrap_or_else(|| panic!("{deepest}")).into_iter().map(|(_, row)| row).collect()
}

#[track_caller]
fn is_found(history: &[Operation], terms: Terms) {
    let Checked { order, .. } = check(history, terms);
    assert!(order.is_none(), "{order:?}");
}

#[test]
fn each_row_is_taken_in_turn() {
    let history = in_turn(&[
        (Refresh(1, Some(7)), Handed(2)),
        (Refresh(1, None), Handed(2)),
        (Refresh(2, None), Handed(2)),
        (Pass(11), Done),
        (Refresh(1, None), Handed(3)),
        (Pass(61), Done),
        (Introspect(1), Active(false)),
        (Refresh(1, Some(7)), Handed(4)),
        (Explain(2), Explained(Standing::Rotated(4))),
        (Explain(4), Explained(Standing::Accepted(4))),
        (Pass(60), Done),
        (Refresh(1, Some(8)), Refused),
        (Introspect(4), Active(false)),
        (Explain(4), Explained(Standing::Ended)),
        (Revoke, Done),
    ]);
    use Row::{Again, Next, Pass as Passed, Read, Retry, RetryExpired, Revoke as Revoked};
    let expected =
        [Next, Again, Again, Passed, Retry, Passed, Read, Retry, Read, Read, Passed, RetryExpired, Revoked, Read, Read, Revoked];
    assert_eq!(rows(&history, USUAL), expected);
}

#[test]
fn an_answered_parent_starts_the_overlap_anew_until_the_newest_is_presented() {
    let mut calls = vec![(Refresh(1, None), Handed(2)), (Pass(2), Done), (Refresh(1, None), Handed(2)), (Pass(9), Done)];
    calls.push((Refresh(1, None), Handed(2)));
    rows(&in_turn(&calls), USUAL);
    // Too early it does not: after 11 s the newest is taken for lost.
    calls[1] = (Pass(1), Done);
    calls[3] = (Pass(10), Done);
    is_found(&in_turn(&calls), USUAL);
    calls[4] = (Refresh(1, None), Handed(3));
    rows(&in_turn(&calls), USUAL);
    // Presented in such an overlap it has arrived: the parent is a second holder afterwards.
    let arrived = [(Refresh(1, None), Handed(2)), (Pass(2), Done), (Refresh(1, None), Handed(2)), (Refresh(2, None), Handed(2))];
    let then = [(Pass(10), Done), (Refresh(1, None), Refused), (Refresh(2, None), Refused)];
    rows(&in_turn(&[&arrived[..], &then[..]].concat()), USUAL);
}

#[test]
fn who_comes_at_once_shares_one_successor() {
    let at_once = |answers: &[Answer]| answers.iter().map(|it| call(Refresh(1, None), (0, 9), *it)).collect::<Vec<_>>();
    rows(&at_once(&[Handed(2); 4]), USUAL);
    is_found(&at_once(&[Handed(2), Handed(2), Handed(3), Handed(2)]), USUAL);
    // Without an overlap each has one of its own.
    rows(&at_once(&[Handed(4), Handed(2), Handed(3)]), NO_OVERLAP);
    is_found(&at_once(&[Handed(2), Handed(2)]), NO_OVERLAP);
}

#[test]
fn who_is_refused_since_it_was_ended_meanwhile_may_have_taken_a_number() {
    let refreshed = [call(Refresh(1, None), (0, 9), Refused), call(Refresh(1, None), (0, 5), Handed(3))];
    let with = |revoked: &[Operation]| [&refreshed[..], revoked].concat();
    rows(&with(&[call(Revoke, (4, 8), Done)]), NO_OVERLAP);
    is_found(&with(&[]), NO_OVERLAP);
    is_found(&with(&[call(Revoke, (10, 11), Done)]), NO_OVERLAP);
}

#[test]
fn two_successors_of_one_token_are_not_both_accepted() {
    let forked = |last| {
        let lost = [(Refresh(1, None), Handed(2)), (Pass(20), Done), (Refresh(1, None), Handed(3)), (Pass(20), Done)];
        in_turn(&[&lost[..], &[(Refresh(3, None), Handed(4)), (Refresh(2, None), last)]].concat())
    };
    rows(&forked(Refused), USUAL);
    is_found(&forked(Handed(4)), USUAL);
    is_found(&forked(Handed(5)), USUAL);
}

#[test]
fn a_stale_successor_after_a_completed_step_is_found() {
    let stepped = [(Refresh(1, None), Handed(2)), (Pass(20), Done), (Refresh(2, None), Handed(3))];
    let then = |calls: &[(Asked, Answer)]| in_turn(&[&stepped[..], calls].concat());
    rows(&then(&[(Refresh(2, None), Handed(3))]), USUAL);
    is_found(&then(&[(Refresh(2, None), Handed(2))]), USUAL);
    is_found(&then(&[(Explain(3), Explained(Standing::Accepted(2)))]), USUAL);
    is_found(&then(&[(Introspect(1), Active(true))]), USUAL);
    // Nor is a number handed out twice, or one presented that nobody has.
    is_found(&then(&[(Pass(20), Done), (Refresh(3, None), Handed(3))]), USUAL);
    is_found(&then(&[(Refresh(9, None), Refused)]), USUAL);
}

#[test]
fn a_stale_answer_beside_the_step_is_none() {
    let step = [call(Refresh(1, None), (0, 100), Handed(2)), call(Pass(20), (110, 120), Done)];
    let beside = call(Refresh(2, None), (200, 300), Handed(3));
    let seen = |number, start| call(Explain(2), (start, start + 10), Explained(Standing::Accepted(number)));
    let with = |more: &[Operation]| [&step[..], &[beside], more].concat();
    rows(&with(&[seen(2, 210), seen(3, 230)]), USUAL);
    is_found(&with(&[seen(3, 210), seen(2, 230)]), USUAL);
}

#[test]
fn a_refusal_without_a_cause_is_found() {
    is_found(&in_turn(&[(Refresh(1, None), Refused)]), USUAL);
    is_found(&in_turn(&[(Introspect(1), Active(false))]), USUAL);
    is_found(&in_turn(&[(Refresh(1, None), Handed(2)), (Refresh(1, None), Refused)]), USUAL);
    is_found(&in_turn(&[(Refresh(1, None), Handed(2)), (Explain(2), Explained(Standing::Ended))]), USUAL);
    // One that is only refused ends nothing, where that is configured.
    let refused = [(Refresh(1, None), Handed(2)), (Pass(20), Done), (Refresh(2, None), Handed(3)), (Pass(20), Done)];
    let refused = in_turn(&[&refused[..], &[(Refresh(3, None), Handed(4)), (Refresh(1, None), Refused)]].concat());
    let go_on = [refused.clone(), vec![call(Refresh(4, None), (100, 105), Handed(4))]].concat();
    rows(&go_on, Terms { ends_on_reuse: false, ..USUAL });
    is_found(&go_on, USUAL);
}

#[test]
fn nothing_is_accepted_after_an_acknowledged_revocation() {
    let revoke = |end| call(Revoke, (0, end), Done);
    let late = |answer| call(Refresh(1, None), (20, 30), answer);
    rows(&[revoke(10), late(Refused)], USUAL);
    is_found(&[revoke(10), late(Handed(2))], USUAL);
    is_found(&[revoke(10), call(Introspect(1), (20, 30), Active(true))], USUAL);
    // While it is under way either may be first; but who saw it end does not see it live.
    rows(&[revoke(40), late(Handed(2))], USUAL);
    let seen = |answer, start| call(Introspect(1), (start, start + 1), Active(answer));
    rows(&[revoke(40), seen(true, 10), seen(false, 20)], USUAL);
    is_found(&[revoke(40), seen(false, 10), seen(true, 20)], USUAL);
    is_found(&[revoke(40), seen(false, 10), late(Handed(2))], USUAL);
}

#[test]
fn an_unknown_outcome_is_kept_open() {
    let lost = call(Refresh(1, Some(7)), (0, 0), Unknown);
    let seen = |number, start| call(Explain(1), (start, start + 1), Explained(Standing::Accepted(number)));
    // Never, at once, or much later, but not twice.
    rows(&[lost, seen(1, 10)], USUAL);
    rows(&[lost, seen(2, 10)], USUAL);
    rows(&[lost, seen(1, 10), seen(2, 20)], USUAL);
    is_found(&[lost, seen(2, 10), seen(1, 20)], USUAL);
    is_found(&[lost, seen(1, 10), seen(3, 20)], NO_OVERLAP);
    is_found(&[seen(2, 10), call(Refresh(1, None), (20, 20), Unknown)], USUAL);
    rows(&[call(Revoke, (0, 0), Unknown), seen(1, 10), call(Refresh(1, None), (20, 30), Refused)], USUAL);
}

#[test]
fn between_the_decision_to_end_and_the_end_others_are_answered() {
    let before = [(Refresh(1, Some(7)), Handed(2)), (Pass(61), Done)];
    let expired = call(Refresh(1, None), (100, 200), Refused);
    let retried = |span| call(Refresh(1, Some(7)), span, Handed(3));
    let after = call(Refresh(3, None), (300, 310), Refused);
    let with = |more: &[Operation]| [&in_turn(&before)[..], more].concat();
    rows(&with(&[expired, retried((110, 190)), after]), USUAL);
    is_found(&with(&[expired, retried((210, 220)), after]), USUAL);
    is_found(&with(&[expired, call(Refresh(3, None), (300, 310), Handed(3))]), USUAL);
}

#[test]
fn what_ends_the_grant_now_may_only_be_refused_later() {
    let before = [(Refresh(1, None), Handed(2)), (Pass(61), Done)];
    // First it would be a retry that is too late, afterwards it is reuse.
    let late = call(Refresh(1, None), (100, 200), Refused);
    let step = call(Refresh(2, None), (110, 120), Handed(3));
    let history = [&in_turn(&before)[..], &[late, step, call(Refresh(3, None), (300, 310), Handed(3))]].concat();
    rows(&history, Terms { ends_on_reuse: false, ..USUAL });
    is_found(&history, USUAL);
}

#[test]
fn what_changes_nothing_now_may_change_something_later() {
    let before = [(Refresh(1, None), Handed(2)), (Pass(9), Done)];
    // Only after the parent began the overlap anew is it told by the newest that this arrived.
    let newest = call(Refresh(2, None), (100, 200), Handed(2));
    let parent = call(Refresh(1, None), (110, 190), Handed(2));
    let after = [call(Pass(11), (300, 310), Done), call(Explain(1), (320, 330), Explained(Standing::Rotated(2)))];
    rows(&[&in_turn(&before)[..], &[newest, parent], &after].concat(), USUAL);
    let too_early = call(Refresh(2, None), (100, 105), Handed(2));
    is_found(&[&in_turn(&before)[..], &[too_early, parent], &after].concat(), USUAL);
}

#[test]
fn who_proves_himself_gets_the_newest_with_any() {
    let old = [(Refresh(1, None), Handed(2)), (Pass(20), Done), (Refresh(2, None), Handed(3)), (Pass(200), Done)];
    let then = |calls: &[(Asked, Answer)]| in_turn(&[&old[..], calls].concat());
    let held = then(&[(Refresh(1, None), Handed(3)), (Introspect(1), Active(true)), (Refresh(3, None), Handed(4))]);
    rows(&held, HELD);
    is_found(&held, USUAL);
    for wrong in [(Refresh(1, None), Refused), (Refresh(1, None), Handed(4)), (Refresh(2, Some(7)), Handed(2))] {
        is_found(&then(&[wrong]), HELD);
    }
    // Kept for longer than the overlap, where that is configured, from when it was handed out.
    let stays = Terms { stays: 100, ..HELD };
    let kept = [(Refresh(1, None), Handed(1)), (Pass(100), Done), (Refresh(1, None), Handed(2)), (Pass(99), Done)];
    rows(&in_turn(&[&kept[..], &[(Refresh(2, None), Handed(2))]].concat()), stays);
    is_found(&in_turn(&[&kept[..], &[(Refresh(2, None), Handed(3))]].concat()), stays);
    is_found(&in_turn(&[&kept[..], &[(Pass(1), Done), (Refresh(2, None), Handed(2))]].concat()), stays);
}

#[test]
fn who_cannot_prove_himself_gets_and_changes_nothing() {
    let theft = [(Unproved(1), Refused), (Refresh(1, None), Handed(2)), (Pass(20), Done), (Unproved(1), Refused)];
    let then = |call| in_turn(&[&theft[..], &[call]].concat());
    rows(&then((Refresh(2, None), Handed(3))), HELD);
    is_found(&then((Refresh(2, None), Refused)), HELD);
    is_found(&then((Unproved(2), Handed(3))), HELD);
    is_found(&then((Explain(2), Explained(Standing::Accepted(3)))), HELD);
}

#[test]
fn what_a_gateway_sees_has_arrived() {
    let lost = [(Refresh(1, None), Handed(2)), (Seen(2), Done), (Pass(20), Done)];
    let then = |calls: &[(Asked, Answer)]| in_turn(&[&lost[..], calls].concat());
    rows(&then(&[(Refresh(1, None), Refused), (Introspect(2), Active(false))]), USUAL);
    is_found(&then(&[(Refresh(1, None), Handed(3))]), USUAL);
    // Where gateways report, silence is believed for longer.
    let step = [(Refresh(2, None), Handed(3)), (Pass(600), Done)];
    let late = then(&[&step[..], &[(Refresh(2, None), Handed(4))]].concat());
    assert_eq!(rows(&late, USUAL).last(), Some(&Row::LateRetry));
    let unseen: Vec<_> = late.iter().filter(|call| call.asked != Seen(2)).copied().collect();
    is_found(&unseen, USUAL);
    // To one who proved himself it is nothing.
    rows(&then(&[(Refresh(1, None), Handed(2))]), HELD);
}

#[test]
fn an_access_token_of_what_was_taken_for_lost_ends_the_grant() {
    let lost = [(Refresh(1, None), Handed(2)), (Pass(20), Done), (Refresh(1, None), Handed(3)), (Seen(2), Done)];
    let then = |call| in_turn(&[&lost[..], &[call]].concat());
    rows(&then((Refresh(3, None), Refused)), USUAL);
    is_found(&then((Refresh(3, None), Handed(3))), USUAL);
    rows(&then((Refresh(3, None), Handed(3))), Terms { ends_on_reuse: false, ..USUAL });
    // While it is looked at, others are answered.
    let beside = [call(Seen(2), (100, 200), Done), call(Refresh(3, None), (110, 120), Handed(3))];
    let history = |after| [&in_turn(&lost[..3])[..], &beside, &[call(Refresh(3, None), (300, 310), after)]].concat();
    rows(&history(Refused), USUAL);
    is_found(&history(Handed(3)), USUAL);
}

#[test]
fn an_access_token_lives_until_it_ends_and_not_after_its_grant() {
    let at = |seconds, active| in_turn(&[(Pass(seconds), Done), (Access(1, 300), Active(active))]);
    rows(&at(299, true), USUAL);
    rows(&at(300, false), USUAL);
    is_found(&at(299, false), USUAL);
    is_found(&at(300, true), USUAL);
    rows(&in_turn(&[(Revoke, Done), (Access(1, 300), Active(false))]), USUAL);
    is_found(&in_turn(&[(Revoke, Done), (Access(1, 300), Active(true))]), USUAL);
    is_found(&in_turn(&[(Access(2, 300), Active(true))]), USUAL);
}

/// Eight clients at once, eight times, in any order: more than 10^36 ways, which differ in some thousands of places.
#[test]
fn eight_clients_with_eight_calls_each_are_searched_without_looking_twice() {
    let round = |round: u32| {
        let (newest, start) = (round + 1, 100 * u64::from(round));
        let at_once = (0..8).map(move |client| call(Refresh(newest, Some(client)), (start, start + 50), Handed(newest + 1)));
        at_once.chain([call(Pass(20), (start + 60, start + 70), Done)])
    };
    let mut history: Vec<Operation> = (0..8).flat_map(round).collect();
    let found = check(&history, USUAL);
    assert!(found.order.is_some(), "{}", found.deepest);
    // One answer that fits nowhere, in the end: every way has to be tried.
    history.push(call(Introspect(9), (900, 910), Active(false)));
    let none = check(&history, USUAL);
    assert!(none.order.is_none());
    // A round begins in eight chains at most; each of its eight firsts makes a chain, beside which any of the seven others may be taken.
    assert!(none.visited <= 8 * (8 + 8 * (1 << 7)) + 1, "{} places", none.visited);
}

//! The search against one that is plain: small histories at random, whose every order is tried, without memory and without a shortcut.

use super::dice::Dice;
use super::history::{Answer, Asked, Moment, Operation, Standing};
use super::model::{ANYBODY, Chain, Step, Terms};
use super::search::check;

/// Calls of one history: its orders can all be tried.
const CALLS: usize = 7;
/// How many histories are made.
const HISTORIES: usize = 20_000;

/// Calls that are half done: `ending` have decided to end the grant, `too_late` took a number and are to find it ended.
#[derive(Clone, Default)]
struct HalfDone {
    ending: Vec<usize>,
    too_late: Vec<usize>,
}

/// Tries every order of the calls that are left.
fn has_order(history: &[Operation], terms: Terms, chain: &Chain, left: &[usize], half: &HalfDone) -> bool {
    if left.iter().all(|at| !history[*at].is_known()) {
        return true;
    }
    let without = |all: &[usize], one: usize| all.iter().copied().filter(|at| *at != one).collect::<Vec<_>>();
    left.iter().any(|at| {
        let call = &history[*at];
        if left.iter().any(|other| history[*other].end.is_some_and(|end| end < call.start)) {
            return false;
        }
        if half.ending.contains(at) {
            let half = HalfDone { ending: without(&half.ending, *at), ..half.clone() };
            return has_order(history, terms, &chain.ended(), &without(left, *at), &half);
        }
        if half.too_late.contains(at) {
            let half = HalfDone { too_late: without(&half.too_late, *at), ..half.clone() };
            return chain.has_ended() && has_order(history, terms, chain, &without(left, *at), &half);
        }
        match chain.step(call.asked, terms) {
            Step::Taken(answer, then, _) if !call.is_known() || answer == call.answer => {
                has_order(history, terms, &then, &without(left, *at), half)
            }
            Step::Taken(Answer::Handed(_), then, _) if call.answer == Answer::Refused && then != *chain => {
                let half = HalfDone { too_late: [&half.too_late[..], &[*at]].concat(), ..half.clone() };
                has_order(history, terms, &then, left, &half)
            }
            Step::Taken(..) => false,
            Step::Ends(answer, _) => {
                let agrees = !call.is_known() || answer == call.answer;
                let half = HalfDone { ending: [&half.ending[..], &[*at]].concat(), ..half.clone() };
                agrees && has_order(history, terms, chain, left, &half)
            }
            Step::Impossible => false,
        }
    })
}

fn asked(dice: &mut Dice) -> Asked {
    let presented = u32::try_from(1 + dice.below(3)).unwrap();
    match dice.below(13) {
        10 => Asked::Unproved(presented),
        11 => Asked::Access(presented, 60 * dice.below(3)),
        12 => Asked::Seen(presented),
        0 => Asked::Revoke,
        1 => Asked::Introspect(presented),
        2 => Asked::Explain(presented),
        3..6 => Asked::Pass([2, 9, 11, 61][usize::try_from(dice.below(4)).unwrap()]),
        6 => Asked::Refresh(presented, Some(u32::try_from(dice.below(2)).unwrap())),
        _ => Asked::Refresh(presented, None),
    }
}

/// What the chain answers; it is then as the call leaves it.
fn answered(chain: &mut Chain, asked: Asked, terms: Terms) -> Option<Answer> {
    match chain.step(asked, terms) {
        Step::Taken(answer, then, _) => {
            *chain = then;
            Some(answer)
        }
        Step::Ends(answer, _) => {
            *chain = chain.ended();
            Some(answer)
        }
        Step::Impossible => None,
    }
}

/// Calls that are taken one after the other, and last for longer; one answer may be another than it was.
fn history(dice: &mut Dice, terms: Terms) -> Vec<Operation> {
    let mut chain = Chain::issued();
    let mut history = Vec::new();
    while history.len() < CALLS {
        let asked = asked(dice);
        let Some(mut answer) = answered(&mut chain, asked, terms) else { continue };
        if dice.one_in(20) {
            let other = u32::try_from(1 + dice.below(3)).unwrap();
            answer = match answer {
                Answer::Handed(_) | Answer::Refused if dice.one_in(2) => Answer::Refused,
                Answer::Handed(_) | Answer::Refused => Answer::Handed(other),
                Answer::Active(is) => Answer::Active(!is),
                Answer::Explained(_) => Answer::Explained(Standing::Accepted(other)),
                as_it_was => as_it_was,
            };
        }
        let at = 10 * history.len() as u64;
        let is_lost = dice.one_in(10);
        // The clock is moved while nothing else is under way in what is recorded; here it need not be.
        let (start, end) = (at.saturating_sub(dice.below(30)), at + dice.below(30));
        let end = (!is_lost).then_some(Moment::from_micros(end));
        let answer = if is_lost { Answer::Unknown } else { answer };
        history.push(Operation { client: 0, asked, start: Moment::from_micros(start), end, answer });
    }
    history
}

#[test]
fn the_search_finds_what_a_plain_one_finds() {
    let mut dice = Dice(7);
    let mut without_order = 0;
    for number in 0..HISTORIES {
        let (overlap, stays) = (10 * dice.below(2), 61 * dice.below(2));
        let terms = if dice.one_in(3) {
            Terms { overlap, stays, is_held: true, ends_on_reuse: true }
        } else {
            Terms { overlap, ends_on_reuse: dice.one_in(2), ..ANYBODY }
        };
        let history = history(&mut dice, terms);
        let all: Vec<usize> = (0..history.len()).collect();
        let plain = has_order(&history, terms, &Chain::issued(), &all, &HalfDone::default());
        let calls: String = history.iter().map(|call| format!("{call}\n")).collect();
        assert_eq!(check(&history, terms).order.is_some(), plain, "history {number}, {terms:?}:\n{calls}");
        without_order += usize::from(!plain);
    }
    assert!(without_order > HISTORIES / 20 && without_order < HISTORIES / 2, "{without_order} have no order");
}

//! Whether a history is linearizable: whether every call can be given one moment between its beginning and its answer, so that the model,
//! asked in that order, answers the same (Herlihy and Wing 1990). A depth-first search for such an order (Wing and Gong 1993) that never
//! looks twice at the same chain after the same calls (Lowe 2017).
//!
//! A call of unknown outcome has no answer to agree with and no end: it is taken at any moment after its beginning, or never.

use super::history::{Answer, Operation};
use super::model::{Chain, Row, Step, Terms};
use std::collections::HashSet;

/// One bit a call.
type Calls = u128;

/// What became of the search.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The calls in an order that explains all answers, with the rows they were answered by; none: there is no such order.
    pub order: Option<Vec<(usize, Row)>>,
    /// How many places were looked at.
    pub visited: usize,
    /// How far the search got, in words.
    pub deepest: String,
}

/// A place in the search: what was taken, and how the chain is then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    taken: Calls,
    /// Decided to end the grant, and did not do so yet.
    ending: Calls,
    /// Took a number, and are to find that the grant was ended before they answer.
    too_late: Calls,
    chain: Chain,
}

struct Search<'a> {
    history: &'a [Operation],
    terms: Terms,
    known: Calls,
    seen: HashSet<Place>,
    order: Vec<(usize, Row)>,
    deepest: (u32, Option<Place>),
}

/// Searches. A history has at most 128 calls.
pub fn check(history: &[Operation], terms: Terms) -> Checked {
    assert!(history.len() <= 128, "a bit for each of {} calls", history.len());
    let bits = (0..history.len()).filter(|at| history[*at].is_known());
    let known = bits.fold(0, |bits, at| bits | bit(at));
    let (order, deepest) = (Vec::new(), (0, None));
    let mut search = Search { history, terms, known, seen: HashSet::new(), order, deepest };
    let found = search.finds(Place { taken: 0, ending: 0, too_late: 0, chain: Chain::issued() });
    let deepest = search.told();
    Checked { order: found.then_some(search.order), visited: search.seen.len(), deepest }
}

fn bit(at: usize) -> Calls {
    1 << at
}

impl Search<'_> {
    /// Whether all that is left can be ordered from here on.
    fn finds(&mut self, place: Place) -> bool {
        let missing = self.known & !place.taken;
        if missing == 0 {
            return true;
        }
        if !self.seen.insert(place.clone()) {
            return false;
        }
        let depth = (self.known & place.taken).count_ones();
        if depth >= self.deepest.0 {
            self.deepest = (depth, Some(place.clone()));
        }
        let mut calls = self.next(&place);
        // What agrees and could not change anything at any other moment either may as well be now: whatever order there is with it
        // later, there is one with it here. To look never changes anything, and nothing changes what ended.
        let is_idle = |row: &Row| matches!(row, Row::Read | Row::Ended | Row::Unproved);
        if let Some(idle) = calls.iter().position(|(at, _, row)| missing & bit(*at) != 0 && is_idle(row)) {
            calls = vec![calls.swap_remove(idle)];
        }
        for (at, then, row) in calls {
            self.order.push((at, row));
            if self.finds(then) {
                return true;
            }
            self.order.pop();
        }
        false
    }

    /// The calls that may be taken next, and where each leads.
    fn next(&self, place: &Place) -> Vec<(usize, Place, Row)> {
        let left = (0..self.history.len()).filter(|at| place.taken & bit(*at) == 0);
        // Nothing that began after the answer of what is still left.
        let until = left.clone().filter_map(|at| self.history[at].end).min();
        let open = left.filter(|at| until.is_none_or(|until| self.history[*at].start <= until));
        open.filter_map(|at| self.take(place, at).map(|(then, row)| (at, then, row))).collect()
    }

    fn take(&self, place: &Place, at: usize) -> Option<(Place, Row)> {
        let call = &self.history[at];
        let Place { taken, ending, too_late, ref chain } = *place;
        if ending & bit(at) != 0 {
            let then = Place { taken: taken | bit(at), ending: ending & !bit(at), chain: chain.ended(), ..*place };
            return Some((then, Row::Revoke));
        }
        if too_late & bit(at) != 0 {
            let then = Place { taken: taken | bit(at), too_late: too_late & !bit(at), ..place.clone() };
            return chain.has_ended().then_some((then, Row::Ended));
        }
        match chain.step(call.asked, self.terms) {
            Step::Taken(answer, then, row) if !call.is_known() || answer == call.answer => {
                Some((Place { taken: taken | bit(at), chain: then, ..*place }, row))
            }
            Step::Taken(Answer::Handed(_), then, row) if call.answer == Answer::Refused && then != *chain => {
                Some((Place { too_late: too_late | bit(at), chain: then, ..*place }, row))
            }
            Step::Ends(answer, row) if !call.is_known() || call.answer == answer => {
                Some((Place { ending: ending | bit(at), ..place.clone() }, row))
            }
            Step::Taken(..) | Step::Ends(..) | Step::Impossible => None,
        }
    }

    /// The chain where the search came farthest, and the calls that found no place then.
    fn told(&self) -> String {
        let Some(place) = &self.deepest.1 else { return String::new() };
        let left = self.history.iter().enumerate().filter(|(at, _)| place.taken & bit(*at) == 0);
        let is_half_done = |at| match (place.ending & bit(at) != 0, place.too_late & bit(at) != 0) {
            (true, _) => " (decided to end it)",
            (_, true) => " (took a number)",
            _ => "",
        };
        let lines: String = left.map(|(at, call)| format!("{call}{}\n", is_half_done(at))).collect();
        format!("{} calls explained, then {:?}; left:\n{lines}", self.deepest.0, place.chain)
    }
}

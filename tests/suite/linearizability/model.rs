//! The sequential model: one chain of refresh tokens as who holds them sees it. What comes back for what is presented, one call after the
//! other, as `docs/refresh.md` and ADR 0001 say it. No code of the service is used here, and no time passes but by `Pass`.
//!
//! Of an unbound grant of a public client that rotates always, within its lifetimes, whose access tokens no gateway sees; the store loses
//! nothing. So of the table's rows "forward", the code, bound holders and sightings are not here.
//!
//! A refresh that ends the grant is the one thing that is not one step: it *is* a Revoke (`Step::Ends`), decided at one moment and in force at a
//! later one, both before its answer. Between them others are still answered as before.

use super::history::{Answer, Asked, Number, Standing};

/// For so long a lost reply is believed in, in seconds.
const RETRY_WINDOW: u64 = 60;

/// What is configured.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// For so many seconds after a hand-out the same token comes back.
    pub overlap: u64,
    /// Reuse ends the grant; else it is only refused.
    pub ends_on_reuse: bool,
}

/// The chain between two steps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chain {
    now: u64,
    newest: Number,
    /// When the overlap of the newest began; the first token has none.
    overlap_since: Option<u64>,
    /// It began anew, for the parent was answered in it.
    is_anew: bool,
    /// The newest is known to have arrived.
    has_arrived: bool,
    /// The newest below it that is known to have arrived.
    parent: Option<Number>,
    /// The `request_id` that the newest was asked for with, and what was presented then.
    asked_for: Option<(u32, Number)>,
    is_ended: bool,
}

/// The row of the table by which a step was taken, or what else it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    Next,
    Again,
    Retry,
    RetryExpired,
    Reuse,
    Ended,
    Revoke,
    Read,
    Pass,
}

/// What one call does to the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// This is answered, and the chain is then so.
    Taken(Answer, Chain, Row),
    /// It will be refused, and ends the grant before.
    Ends(Row),
    /// No such token was ever handed out.
    Impossible,
}

impl Chain {
    /// A grant that was just issued.
    pub fn issued() -> Self {
        Self {
            now: 0,
            newest: 1,
            overlap_since: None,
            is_anew: false,
            has_arrived: false,
            parent: None,
            asked_for: None,
            is_ended: false,
        }
    }

    /// What the call does here.
    pub fn step(&self, asked: Asked, terms: Terms) -> Step {
        let taken = |answer, row| Step::Taken(answer, self.clone(), row);
        match asked {
            Asked::Refresh(presented, _) | Asked::Introspect(presented) | Asked::Explain(presented)
                if presented > self.newest =>
            {
                Step::Impossible
            }
            Asked::Refresh(presented, request) => self.refreshed(presented, request, terms),
            Asked::Introspect(presented) => taken(Answer::Active(self.accepts(presented, terms)), Row::Read),
            Asked::Explain(_) if self.is_ended => taken(Answer::Explained(Standing::Ended), Row::Read),
            Asked::Explain(presented) if self.accepts(presented, terms) => {
                taken(Answer::Explained(Standing::Accepted(self.newest)), Row::Read)
            }
            Asked::Explain(_) => taken(Answer::Explained(Standing::Rotated(self.newest)), Row::Read),
            Asked::Revoke => Step::Taken(Answer::Done, self.ended(), Row::Revoke),
            Asked::Pass(seconds) => Step::Taken(Answer::Done, Self { now: self.now + seconds, ..self.clone() }, Row::Pass),
        }
    }

    /// The same, ended.
    pub fn ended(&self) -> Self {
        Self { is_ended: true, ..self.clone() }
    }

    /// The first row that matches.
    fn row(&self, presented: Number, request: Option<u32>, terms: Terms) -> Row {
        let age = self.overlap_since.map(|since| self.now - since);
        let within_overlap = age.is_some_and(|age| age < terms.overlap);
        let is_parent = self.parent == Some(presented);
        let is_same_request = request.is_some_and(|request| self.asked_for == Some((request, presented)));
        if self.is_ended {
            Row::Ended
        } else if presented == self.newest {
            if within_overlap { Row::Again } else { Row::Next }
        } else if within_overlap && (is_parent || is_same_request) {
            Row::Again
        } else if is_same_request {
            Row::Retry
        } else if is_parent && !self.has_arrived {
            if age.is_some_and(|age| age < RETRY_WINDOW) { Row::Retry } else { Row::RetryExpired }
        } else {
            Row::Reuse
        }
    }

    fn accepts(&self, presented: Number, terms: Terms) -> bool {
        matches!(self.row(presented, None, terms), Row::Next | Row::Again | Row::Retry)
    }

    fn refreshed(&self, presented: Number, request: Option<u32>, terms: Terms) -> Step {
        let row = self.row(presented, request, terms);
        let chain = match row {
            Row::Next => {
                let arrived = Self { has_arrived: true, ..self.clone() };
                Self { asked_for: request.map(|request| (request, presented)), ..arrived.renewed() }
            }
            Row::Retry => self.renewed(),
            Row::Again => self.answered(presented, terms),
            Row::Reuse if !terms.ends_on_reuse => return Step::Taken(Answer::Refused, self.clone(), row),
            Row::Reuse | Row::RetryExpired => return Step::Ends(row),
            _ => return Step::Taken(Answer::Refused, self.clone(), row),
        };
        Step::Taken(Answer::Handed(chain.newest), chain, row)
    }

    /// With one more number, handed out now.
    fn renewed(&self) -> Self {
        Self {
            newest: self.newest + 1,
            overlap_since: Some(self.now),
            is_anew: false,
            has_arrived: false,
            parent: if self.has_arrived { Some(self.newest) } else { self.parent },
            ..self.clone()
        }
    }

    /// The newest was handed out once more. From a fifth of the overlap on it begins anew for who has not the newest, until that arrives.
    fn answered(&self, presented: Number, terms: Terms) -> Self {
        let is_late = self.overlap_since.is_some_and(|since| 5 * (self.now - since) >= terms.overlap);
        if self.has_arrived {
            self.clone()
        } else if presented == self.newest {
            Self { has_arrived: self.is_anew, ..self.clone() }
        } else if is_late {
            Self { overlap_since: Some(self.now), is_anew: true, ..self.clone() }
        } else {
            self.clone()
        }
    }
}

//! The sequential model: one chain of refresh tokens as who holds them sees it. What comes back for what is presented, one call after the
//! other, as `docs/refresh.md` and ADR 0001 say it. No code of the service is used here, and no time passes but by `Pass`.
//!
//! Of a grant of a public client that rotates always, whose access tokens gateways may see, or of one that is held: bound to a key or a
//! certificate, or of a confidential client. Within its lifetimes; the store loses nothing. So of the table's rows "forward" and the code are
//! not here.
//!
//! A refresh or a sighting that ends the grant is the one thing that is not one step: it *is* a Revoke (`Step::Ends`), decided at one moment
//! and in force at a later one, both before its answer. Between them others are still answered as before. Likewise a refresh may have taken its
//! number when it finds that the grant was ended meanwhile, and is refused.

use super::history::{Answer, Asked, Number, Standing};

/// For so long a lost reply is believed in, in seconds.
const RETRY_WINDOW: u64 = 60;
/// Where one of so many last generations was seen, it is so for the idle lifetime.
const REPORTS_COUNT_FOR: Number = 3;
/// What is further below the newest, and not the parent, is too old to tell anything by.
const TELLS: Number = 31;

/// What is configured.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// For so many seconds after a hand-out the same token comes back.
    pub overlap: u64,
    /// Reuse ends the grant; else it is only refused.
    pub ends_on_reuse: bool,
    /// Who presents a token has proved himself, and nothing is detected.
    pub is_held: bool,
    /// For so many seconds after it was handed out the newest is kept, overlap or not.
    pub stays: u64,
}

impl Terms {
    /// After so many seconds without a refresh a grant expires. No history comes to that.
    pub const IDLE: u64 = 3_600;
}

/// Whoever has the tokens.
pub const ANYBODY: Terms = Terms { overlap: 10, ends_on_reuse: true, is_held: false, stays: 0 };

/// The chain between two steps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chain {
    now: u64,
    newest: Number,
    /// When the overlap of the newest began; the first token has none.
    overlap_since: Option<u64>,
    /// It began anew, for the parent was answered in it.
    is_anew: bool,
    /// Which are known to have arrived: a bit each.
    arrived: u128,
    /// The newest of those that had when the newest was handed out.
    parent: Option<Number>,
    /// The newest of which an access token was seen.
    reported: Option<Number>,
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
    /// After 60 s, where gateways report.
    LateRetry,
    RetryExpired,
    Reuse,
    Unproved,
    Ended,
    Revoke,
    Seen,
    /// Of one that was taken for lost.
    Found,
    Read,
    Pass,
}

/// What one call does to the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// This is answered, and the chain is then so.
    Taken(Answer, Chain, Row),
    /// This will be answered, and the grant is ended before.
    Ends(Answer, Row),
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
            arrived: 0,
            parent: None,
            reported: None,
            asked_for: None,
            is_ended: false,
        }
    }

    /// What the call does here.
    pub fn step(&self, asked: Asked, terms: Terms) -> Step {
        let taken = |answer, row| Step::Taken(answer, self.clone(), row);
        match asked {
            Asked::Refresh(number, _)
            | Asked::Unproved(number)
            | Asked::Introspect(number)
            | Asked::Explain(number)
            | Asked::Access(number, _)
            | Asked::Seen(number)
                if number > self.newest =>
            {
                Step::Impossible
            }
            Asked::Unproved(_) => taken(Answer::Refused, Row::Unproved),
            Asked::Access(_, until) => taken(Answer::Active(!self.is_ended && self.now < until), Row::Read),
            Asked::Seen(number) => self.seen(number, terms),
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

    /// Whether nothing comes back any more, whatever is presented.
    pub const fn has_ended(&self) -> bool {
        self.is_ended
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
        let stays = within_overlap || self.now - self.overlap_since.unwrap_or(0) < terms.stays;
        let is_in_time = |window| age.is_some_and(|age| age < window);
        if self.is_ended {
            Row::Ended
        } else if presented == self.newest {
            if stays { Row::Again } else { Row::Next }
        } else if terms.is_held || (within_overlap && (is_parent || is_same_request)) {
            Row::Again
        } else if is_same_request {
            Row::Retry
        } else if is_parent && !self.has_arrived(self.newest) {
            let is_reported = self.reported.is_some_and(|reported| reported + REPORTS_COUNT_FOR > presented);
            match (is_in_time(RETRY_WINDOW), is_reported && is_in_time(Terms::IDLE)) {
                (true, _) => Row::Retry,
                (false, true) => Row::LateRetry,
                (false, false) => Row::RetryExpired,
            }
        } else {
            Row::Reuse
        }
    }

    fn accepts(&self, presented: Number, terms: Terms) -> bool {
        matches!(self.row(presented, None, terms), Row::Next | Row::Again | Row::Retry | Row::LateRetry)
    }

    fn refreshed(&self, presented: Number, request: Option<u32>, terms: Terms) -> Step {
        let row = self.row(presented, request, terms);
        let chain = match row {
            Row::Next => {
                let arrived = Self { arrived: self.arrived | bit(self.newest), ..self.clone() };
                Self { asked_for: request.map(|request| (request, presented)), ..arrived.renewed() }
            }
            Row::Retry | Row::LateRetry => self.renewed(),
            Row::Again => self.answered(presented, terms),
            Row::Reuse if !terms.ends_on_reuse => return Step::Taken(Answer::Refused, self.clone(), row),
            Row::Reuse | Row::RetryExpired => return Step::Ends(Answer::Refused, row),
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
            parent: if self.has_arrived(self.newest) { Some(self.newest) } else { self.parent },
            ..self.clone()
        }
    }

    /// The newest was handed out once more. From a fifth of the overlap on it begins anew for who has not the newest, until that arrives.
    fn answered(&self, presented: Number, terms: Terms) -> Self {
        let is_late = self.overlap_since.is_some_and(|since| 5 * (self.now - since) >= terms.overlap);
        if terms.is_held || self.has_arrived(self.newest) {
            self.clone()
        } else if presented == self.newest {
            let arrived = if self.is_anew { self.arrived | bit(presented) } else { self.arrived };
            Self { arrived, ..self.clone() }
        } else if is_late {
            Self { overlap_since: Some(self.now), is_anew: true, ..self.clone() }
        } else {
            self.clone()
        }
    }

    /// What it tells that an access token of that number was seen.
    fn seen(&self, number: Number, terms: Terms) -> Step {
        let done = |chain, row| Step::Taken(Answer::Done, chain, row);
        let is_too_old = self.newest - number > TELLS && self.parent != Some(number);
        if terms.is_held || self.is_ended || is_too_old {
            return done(self.clone(), Row::Read);
        }
        if number == self.newest || self.has_arrived(number) {
            let reported = self.reported.max(Some(number));
            return done(Self { arrived: self.arrived | bit(number), reported, ..self.clone() }, Row::Seen);
        }
        if terms.ends_on_reuse { Step::Ends(Answer::Done, Row::Found) } else { done(self.clone(), Row::Read) }
    }

    fn has_arrived(&self, number: Number) -> bool {
        self.parent == Some(number) || self.arrived & bit(number) != 0
    }
}

/// No history has so many numbers.
fn bit(number: Number) -> u128 {
    1 << number
}

//! What happened to one grant: who asked what, when, and what came of it. Only values; nothing of the service, and no rule.

use std::fmt;
use std::time::Duration;

/// Time since the history began, on the clock that never jumps.
pub type Moment = Duration;

/// The number of a refresh token under its grant.
pub type Number = u32;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Refresh with the token of this number, under the `request_id` of that one.
    Refresh(Number, Option<u32>),
    /// Revoke of something that the whole grant belongs to.
    Revoke,
    /// Introspect of a refresh token, with everything acknowledged before.
    Introspect(Number),
    /// Refresh with the token of this number, by who cannot prove what its holder can.
    Unproved(Number),
    /// Explain of a refresh token.
    Explain(Number),
    /// Introspect of an access token that came with the refresh token of this number, and ends at that second of the history.
    Access(Number, u64),
    /// It is told that such an access token was seen.
    Seen(Number),
    /// The clock was moved by so many seconds, while nothing else was under way.
    Pass(u64),
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The refresh token of this number.
    Handed(Number),
    /// The refresh token is not accepted.
    Refused,
    /// It was done.
    Done,
    /// Whether it is active.
    Active(bool),
    /// How the token stands, and the newest number of its grant; of a grant that ended only that is said.
    Explained(Standing),
    /// No answer, or one that says so: it may have happened, and may still happen until the history ends.
    Unknown,
}

/// How a refresh token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Accepted(Number),
    Rotated(Number),
    Ended,
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub client: usize,
    pub asked: Asked,
    pub start: Moment,
    /// None is not before anything.
    pub end: Option<Moment>,
    pub answer: Answer,
}

impl Operation {
    pub fn is_known(&self) -> bool {
        self.answer != Answer::Unknown
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = |moment: Moment| moment.as_micros();
        write!(f, "client {}, {}..", self.client, micros(self.start))?;
        self.end.map_or(Ok(()), |end| write!(f, "{}", micros(end)))?;
        write!(f, " us: {:?} -> {:?}", self.asked, self.answer)
    }
}

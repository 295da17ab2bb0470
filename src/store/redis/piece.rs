//! What goes down a connection as one piece, and how its answers are known to be its own. Not over which connection (`link`).
//!
//! An answer of Redis does not say what it answers: the driver counts. One answer too many (from a proxy that sends a packet twice, or a
//! defect in what counts) and each request is given the answer to another: `nil` would be taken for a grant that does not exist, a log
//! without news for proof that nothing was revoked. So each piece ends with a mark that comes back behind its answers, or the connection
//! is given up.

use super::reply::{Refusal, refusal};
use ::redis::aio::MultiplexedConnection;
use ::redis::{Cmd, Pipeline, Value};
use std::sync::atomic::{AtomicU64, Ordering};

const OUT_OF_STEP: Refusal = Refusal::Lost("Redis answered something else than what it was asked; what is between it and jeton?");

/// Commands, and their mark.
pub(super) struct Piece {
    commands: Pipeline,
    mark: u64,
}

impl Piece {
    /// One command.
    pub(super) fn of(command: Cmd) -> Self {
        std::iter::once(command).collect()
    }

    /// Its commands, without the mark.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Cmd> {
        self.commands.cmd_iter().take(self.commands.len().saturating_sub(1))
    }

    /// Goes once: the answers to its commands, in order. Not bounded in time.
    pub(super) async fn send(&self, connection: &MultiplexedConnection) -> Result<Vec<Value>, Refusal> {
        let sent = connection.clone().send_packed_commands(&self.commands, 0, self.commands.len()).await;
        self.own(sent.map_err(|error| Refusal::lost(&error))?)
    }

    /// The answers, if they are to this piece.
    fn own(&self, mut answers: Vec<Value>) -> Result<Vec<Value>, Refusal> {
        let is_refused = |answer: &Value| matches!(answer, Value::ServerError(_));
        match answers.pop() {
            Some(Value::BulkString(mark)) if mark == self.mark.to_string().as_bytes() => Ok(answers),
            // A server that refuses everything refuses the mark too.
            Some(Value::ServerError(_)) if answers.iter().all(is_refused) => Ok(answers),
            Some(Value::ServerError(error)) if refusal(&error) == Refusal::NotPermitted => Err(Refusal::NotPermitted),
            _ => Err(OUT_OF_STEP),
        }
    }
}

impl FromIterator<Cmd> for Piece {
    /// Marked like no other piece of this process.
    fn from_iter<I: IntoIterator<Item = Cmd>>(all: I) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let all = all.into_iter();
        let mark = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut commands = Pipeline::with_capacity(all.size_hint().0.saturating_add(1));
        all.for_each(|command| {
            commands.add_command(command);
        });
        commands.cmd("ECHO").arg(mark);
        Self { commands, mark }
    }
}

/// The answer to a piece of one command.
pub(super) fn only(answers: Vec<Value>) -> Result<Value, Refusal> {
    answers.into_iter().next().ok_or(OUT_OF_STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(piece: &Piece) -> Value {
        Value::BulkString(piece.mark.to_string().into())
    }

    #[test]
    fn only_its_own_mark_makes_answers_its_own() {
        let (first, second) = (Piece::of(Cmd::new()), Piece::of(Cmd::new()));
        assert_eq!(first.own(vec![Value::Nil, mark(&first)]), Ok(vec![Value::Nil]));
        let foreign = [vec![Value::Nil, mark(&second)], vec![mark(&first), Value::Nil], vec![Value::Nil, Value::Nil], Vec::new()];
        for answers in foreign {
            assert_eq!(first.own(answers.clone()), Err(OUT_OF_STEP), "{answers:?}");
        }
    }
}

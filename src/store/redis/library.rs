//! The functions jeton runs inside Redis: their source, their names, how they get there. Not what the Store makes of their answers.

use super::connection::Live;
use super::link::{Request, server_error};
use super::piece::{Piece, only};
use super::reply::{Refusal, refusal};
use ::redis::aio::MultiplexedConnection;
use ::redis::{Cmd, ServerError, Value};
use std::borrow::Cow;

/// The source of the library, for `FUNCTION LOAD`. An operator whose service user may not load it does so with
/// `jeton doctor --functions | redis-cli -x FUNCTION LOAD`.
pub const FUNCTIONS: &str = include_str!("functions.lua");

pub(super) const SWAP: &str = "jeton2_swap";
pub(super) const LIST_ADD: &str = "jeton2_list_add";
pub(super) const LIST: &str = "jeton2_list";
pub(super) const APPEND: &str = "jeton2_append";
pub(super) const FOLLOW: &str = "jeton2_follow";
pub(super) const SETTLE: &str = "jeton2_settle";
pub(super) const TRIM: &str = "jeton2_trim";
pub(super) const BEAT: &str = "jeton2_beat";
pub(super) const LEAVE: &str = "jeton2_leave";
pub(super) const HEALED: &str = "jeton2_healed";
pub(super) const ACCEPT: &str = "jeton2_accept";
pub(super) const WITNESS: &str = "jeton2_witness";
pub(super) const DUE: &str = "jeton2_due";
pub(super) const VOUCH: &str = "jeton2_vouch";
pub(super) const CONFIRM: &str = "jeton2_confirm";
pub(super) const HELLO: &str = "jeton2_hello";

/// A call of a function; its keys and arguments follow.
pub(super) fn call(function: &str, keys: usize, bytes: usize) -> Cmd {
    let mut cmd = Cmd::with_capacity(16, bytes + 64);
    cmd.arg("FCALL").arg(function).arg(keys);
    cmd
}

/// A call that changes something, and what it still has to be told when its connection is known.
#[derive(Clone)]
pub(super) enum Call {
    /// Nothing.
    Whole(Cmd),
    /// As its last argument, the process at the other end: asked inside Redis that would cost half of the call.
    ToProcess(Cmd),
}

impl Call {
    /// As it goes over that connection.
    pub(super) fn over(&self, live: &Live) -> Cow<'_, Cmd> {
        match self {
            Self::Whole(cmd) => Cow::Borrowed(cmd),
            Self::ToProcess(cmd) => {
                let mut cmd = cmd.clone();
                cmd.arg(live.run_id());
                Cow::Owned(cmd)
            }
        }
    }
}

impl Request for Call {
    type Answer = Value;

    async fn send(&self, live: &Live) -> Result<Value, Refusal> {
        only(live.ask(&Piece::of(self.over(live).into_owned())).await?)
    }

    fn refused(answer: &Value) -> Option<&ServerError> {
        server_error(answer)
    }
}

/// Loads the library where it is absent; another replica may do so at the same moment.
pub(super) async fn load(connection: &mut MultiplexedConnection) -> Result<(), Refusal> {
    let mut cmd = Cmd::new();
    cmd.arg("FUNCTION").arg("LOAD").arg(FUNCTIONS);
    match connection.send_packed_command(&cmd).await.map_err(|error| Refusal::lost(&error))? {
        Value::ServerError(error) => match refusal(&error) {
            Refusal::LibraryExists => Ok(()),
            Refusal::NotPermitted => Err(Refusal::MayNotLoad),
            other => Err(other),
        },
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    /// Two versions of jeton share one Redis during a roll-out: changed source under an old name would not be loaded at all.
    #[test]
    fn a_changed_library_has_a_new_name() {
        let digest = Sha256::digest(FUNCTIONS.as_bytes());
        let front: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            front, "55b63225e7eb5029",
            "a released library changed: give it and its functions the next number, then pin this"
        );
    }

    #[test]
    fn every_name_called_is_in_the_source() {
        for name in
            [SWAP, LIST_ADD, LIST, APPEND, FOLLOW, SETTLE, TRIM, BEAT, LEAVE, HEALED, ACCEPT, WITNESS, DUE, VOUCH, CONFIRM, HELLO]
        {
            let short = name.strip_prefix("jeton2_").unwrap();
            assert!(FUNCTIONS.contains(&format!("register('{short}'")), "{name}");
        }
    }
}

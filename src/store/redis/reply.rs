//! What Redis answers, read: refusals in our words, values without copying. Nothing of the driver's text goes further than this file.

use crate::store::{Era, EraState, Followed, Logged, Member, StoreError};
use ::redis::{ErrorKind, RedisError, ServerError, Value};
use bytes::Bytes;
use jeton_domain::id::Identity;
use jeton_domain::revision::{Lost, Revision};
use jeton_domain::time::Timestamp;

/// Why Redis did not do what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The library is not loaded (any more): nothing ran.
    NoFunction,
    /// The library is there already.
    LibraryExists,
    /// Nothing ran, and it will pass by itself: asked again within the time-out.
    Passing(&'static str),
    /// Nothing ran; this server is no primary (any more): connect again.
    NoPrimary(&'static str),
    /// Nothing ran; the operator has to do something.
    Unfit(&'static str),
    /// The connection is gone; what was sent may or may not have happened.
    Lost(&'static str),
    /// The user's access list lacks a command.
    NotPermitted,
    /// The library is absent and this user may not load it.
    MayNotLoad,
    /// Nothing we know.
    Unknown,
}

impl Refusal {
    /// The driver's error: it concerns the connection, never the command.
    pub(super) fn lost(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Unfit("Redis refuses this user name or password"),
            ErrorKind::Parse => Self::Lost("Redis answered what is not its protocol; is this address a Redis server?"),
            _ => Self::Lost("the connection to Redis was lost"),
        }
    }

    /// In words for the operator.
    pub(super) fn into_error(self) -> StoreError {
        match self {
            Self::Passing(words) | Self::NoPrimary(words) | Self::Unfit(words) | Self::Lost(words) => {
                StoreError::Unavailable(words.to_owned())
            }
            Self::NoFunction => {
                StoreError::Unavailable("Redis keeps losing jeton's function library; who calls FUNCTION FLUSH?".to_owned())
            }
            Self::MayNotLoad => StoreError::Unavailable(
                "jeton's function library is not loaded in Redis and this user may not load it; let a user who may run: \
                 jeton doctor --functions | redis-cli -x FUNCTION LOAD"
                    .to_owned(),
            ),
            Self::NotPermitted => StoreError::Broken(
                "Redis refuses a command to this user: compare its access list with the one in jeton's documentation".to_owned(),
            ),
            Self::LibraryExists | Self::Unknown => broken(),
        }
    }
}

/// What an error reply means.
pub(super) fn refusal(error: &ServerError) -> Refusal {
    let details = error.details().unwrap_or_default();
    match error.code() {
        "LOADING" => Refusal::Passing("Redis is loading its data"),
        "BUSY" => Refusal::Passing("Redis is busy with a script"),
        "TRYAGAIN" => Refusal::Passing("Redis is moving keys between its nodes"),
        "READONLY" => Refusal::NoPrimary("this Redis is a replica; jeton needs the primary"),
        "MASTERDOWN" => Refusal::NoPrimary("this Redis is a replica that lost its primary"),
        "CLUSTERDOWN" => Refusal::Passing("Redis Cluster is down"),
        "NOREPLICAS" => Refusal::Unfit("Redis has fewer replicas than min-replicas-to-write"),
        "MISCONF" => Refusal::Unfit("Redis cannot save to its disk and refuses writes: make room on its disk"),
        "OOM" => Refusal::Unfit("Redis has no memory left: raise maxmemory"),
        "NOAUTH" | "WRONGPASS" => Refusal::Unfit("Redis refuses this user name or password"),
        "UNBLOCKED" => Refusal::Lost("this Redis became a replica while it was waited for"),
        "NOPERM" => Refusal::NotPermitted,
        "MOVED" | "ASK" => Refusal::Unfit("this Redis is a node of a cluster: begin its address with redis+cluster"),
        "ERR" if details.starts_with("Function not found") => Refusal::NoFunction,
        "ERR" if details.contains("already exists") => Refusal::LibraryExists,
        "ERR" if details.starts_with("This instance has cluster support disabled") => {
            Refusal::Unfit("this Redis is no cluster: begin its address with redis instead of redis+cluster")
        }
        "ERR" if details.starts_with("unknown command") => Refusal::Unfit("this Redis is too old; jeton needs 7.0 or later"),
        _ => Refusal::Unknown,
    }
}

/// Another node of a cluster that is to be asked.
pub(super) struct Redirect<'a> {
    /// With this command only; else with all of that slot from now on.
    pub(super) once: bool,
    pub(super) slot: usize,
    /// Empty: the host that answered.
    pub(super) host: &'a str,
    pub(super) port: u16,
}

/// Reads `MOVED 3999 host:port` and `ASK 3999 host:port`.
pub(super) fn redirect(error: &ServerError) -> Option<Redirect<'_>> {
    let once = match error.code() {
        "ASK" => true,
        "MOVED" => false,
        _ => return None,
    };
    let (slot, place) = error.details()?.split_once(' ')?;
    let (host, port) = place.rsplit_once(':')?;
    Some(Redirect { once, slot: slot.parse().ok()?, host, port: port.parse().ok()? })
}

/// What no store of ours answers.
pub(super) fn broken() -> StoreError {
    StoreError::Broken("Redis answered what jeton does not understand; do other programs write to its keys?".to_owned())
}

/// A value that is there or not.
pub(super) fn optional(value: Value) -> Result<Option<Bytes>, StoreError> {
    match value {
        Value::BulkString(bytes) => Ok(Some(bytes.into())),
        Value::Nil => Ok(None),
        other => Err(unexpected(&other)),
    }
}

/// A count, or 0 and 1 for no and yes.
pub(super) fn count(value: &Value) -> Result<u64, StoreError> {
    match value {
        Value::Int(number) => u64::try_from(*number).map_err(|_negative| broken()),
        other => Err(unexpected(other)),
    }
}

/// Text of INFO and the like.
pub(super) fn text(value: &Value) -> Result<&str, StoreError> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).map_err(|_foreign| broken()),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => Ok(text),
        other => Err(unexpected(other)),
    }
}

/// The store's clock as TIME tells it: seconds, microseconds.
pub(super) fn time(value: &Value) -> Result<Timestamp, StoreError> {
    let Value::Array(parts) = value else { return Err(unexpected(value)) };
    let [secs, micros] = parts.as_slice() else { return Err(broken()) };
    let (secs, micros): (u64, u64) = (number(text(secs)?)?, number(text(micros)?)?);
    Ok(Timestamp::from_millis(secs.saturating_mul(1_000).saturating_add(micros / 1_000)))
}

/// Members of a list: member, expiry, member, expiry, ...
pub(super) fn members(value: Value) -> Result<Vec<Member>, StoreError> {
    let Value::Array(flat) = value else { return Err(unexpected(&value)) };
    let mut members = Vec::with_capacity(flat.len() / 2);
    let mut flat = flat.into_iter();
    while let Some(bytes) = flat.next() {
        let expires_at = Timestamp::from_millis(number(text(&flat.next().unwrap_or_default())?)?);
        members.push(Member { bytes: optional(bytes)?.ok_or_else(broken)?, expires_at });
    }
    Ok(members)
}

/// The heading and entries of the log: in one answer, or in two, the entries as `XRANGE` gives them. `identity_of` knows the run id that
/// goes with the replication id.
pub(super) fn followed(value: Value, identity_of: impl FnOnce(&str) -> Identity) -> Result<Followed, StoreError> {
    let Value::Array(flat) = value else { return Err(unexpected(&value)) };
    let length = flat.len();
    let mut flat = flat.into_iter();
    let (heading, rows) = match (flat.next().unwrap_or_default(), length) {
        (Value::Array(heading), 2) => (heading.into_iter().next().unwrap_or_default(), flat.next()),
        (heading, _) => (heading, None),
    };
    let mut words = text(&heading)?.split_ascii_whitespace();
    let mut word = || words.next().ok_or_else(broken);
    let identity = identity_of(word()?);
    let now = Timestamp::from_millis(number(word()?)? / 1_000);
    let (head, settled) = (revision(word()?)?, revision(word()?)?);
    let sure = Some(word()?).filter(|sure| *sure != "-").map(revision).transpose()?;
    let (gap, more) = (word()? == "1", word()? == "1");
    let marker = revision(word()?)?;
    let (state, seen) = (word()?, Timestamp::from_millis(number(word()?)?));
    let state = match state {
        "healing" => EraState::Healing,
        "healed" => EraState::Healed,
        "restored" => EraState::Restored { last_seen: seen },
        _ => return Err(broken()),
    };
    let told = word()? == "1";
    let mut intervals = Vec::new();
    while let Some(tail) = words.next() {
        intervals.push(Lost { tail: revision(tail)?, marker: revision(words.next().unwrap_or_default())? });
    }
    let entries = match rows {
        Some(rows) => self::rows(rows)?,
        None => {
            let mut entries = Vec::with_capacity(length / 2 + 1);
            while let Some(id) = flat.next() {
                entries.push(logged(&id, flat.next().unwrap_or_default())?);
            }
            entries
        }
    };
    let (era, lost) = (Era { marker, state }, told.then_some(intervals));
    Ok(Followed { identity, now, head, settled, sure, entries, gap, more, era, lost })
}

/// Entries of the stream as Redis itself gives them: id, and the one field with its value.
fn rows(rows: Value) -> Result<Vec<Logged>, StoreError> {
    let Value::Array(rows) = rows else { return Err(unexpected(&rows)) };
    let row = |row| {
        let Value::Array(row) = row else { return Err(unexpected(&row)) };
        let [id, Value::Array(fields)] = <[Value; 2]>::try_from(row).map_err(|_other| broken())? else { return Err(broken()) };
        let [_, entry] = <[Value; 2]>::try_from(fields).map_err(|_other| broken())?;
        logged(&id, entry)
    };
    rows.into_iter().map(row).collect()
}

fn logged(id: &Value, entry: Value) -> Result<Logged, StoreError> {
    Ok(Logged { revision: revision(text(id)?)?, entry: optional(entry)?.ok_or_else(broken)? })
}

/// The primary with this replication id in the process with this run id: 64 bits of both, one upon the other, for both are random.
/// `short` of `functions.lua` does the same.
pub(super) fn identity(replid: &str, run_id: &str) -> Identity {
    let bits = |id: &str| {
        let digits = id.chars().filter_map(|digit| digit.to_digit(16)).take(16);
        digits.fold(0_u64, |bits, digit| bits << 4 | u64::from(digit))
    };
    Identity((bits(replid) ^ bits(run_id)).to_be_bytes())
}

/// The value of a field of INFO.
pub(super) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

fn unexpected(value: &Value) -> StoreError {
    match value {
        Value::ServerError(error) => refusal(error).into_error(),
        _ => broken(),
    }
}

/// A place as the log writes it.
pub(super) fn revision(text: &str) -> Result<Revision, StoreError> {
    Revision::parse(text).ok_or_else(broken)
}

fn number(text: &str) -> Result<u64, StoreError> {
    text.parse().map_err(|_garbled| broken())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_the_whole_name() {
        let info = "# Memory\r\nmaxmemory_policy_x:no\r\nmaxmemory_policy:noeviction\r\n";
        assert_eq!(field(info, "maxmemory_policy"), Some("noeviction"));
        assert_eq!(field(info, "role"), None);
    }

    #[test]
    fn another_process_or_history_is_another_identity() {
        let (replid, run_id) = ("00000000000000ff1111111111111111", "f0000000000000002222222222222222");
        let known = identity(replid, run_id);
        assert_eq!(known, Identity([0xf0, 0, 0, 0, 0, 0, 0, 0xff]));
        assert_ne!(known, identity(replid, "e0000000000000002222222222222222"));
        assert_ne!(known, identity("00000000000000fe1111111111111111", run_id));
    }
}

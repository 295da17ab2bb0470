//! What a user of Redis may do: every command on the list, tried in a way that changes nothing. Asking Redis itself (`ACL DRYRUN`) would
//! be one more permission.

use super::super::library;
use super::super::reply::{Refusal, refusal};
use ::redis::{Cmd, Pipeline, Value};

/// Nothing is ever kept under this name but what disappears by itself.
const NOTHING: &str = "jeton:{doctor}:nothing";
/// Text, for a second, so that whatever takes it for something else does nothing.
const TEXT: &str = "jeton:{doctor}:text";

/// Each permission, and the harmless form of its command behind its name.
const HARMLESS: [(&str, &[&str]); 32] = [
    ("+info", &["INFO", "server"]),
    ("+time", &["TIME"]),
    ("+get", &["GET", NOTHING]),
    ("+set", &["SET", TEXT, "", "PX", "1000"]),
    ("+exists", &["EXISTS", NOTHING]),
    ("+getrange", &["GETRANGE", NOTHING, "0", "0"]),
    ("+zadd", &["ZADD", NOTHING, "XX", "0", "nobody"]),
    ("+zrem", &["ZREM", NOTHING, "nobody"]),
    ("+zcard", &["ZCARD", NOTHING]),
    ("+zrange", &["ZRANGE", NOTHING, "0", "0"]),
    ("+zremrangebyscore", &["ZREMRANGEBYSCORE", NOTHING, "0", "0"]),
    ("+pexpireat", &["PEXPIREAT", NOTHING, "0"]),
    ("+xadd", &["XADD", NOTHING, "NOMKSTREAM", "*", "e", ""]),
    ("+xrange", &["XRANGE", NOTHING, "-", "+", "COUNT", "1"]),
    ("+xrevrange", &["XREVRANGE", NOTHING, "+", "-", "COUNT", "1"]),
    ("+xtrim", &["XTRIM", NOTHING, "MAXLEN", "0"]),
    ("+xread", &["XREAD", "COUNT", "1", "STREAMS", NOTHING, "0"]),
    ("+hset", &["HSET", TEXT, "field", ""]),
    ("+hget", &["HGET", NOTHING, "field"]),
    ("+hmget", &["HMGET", NOTHING, "field"]),
    ("+hgetall", &["HGETALL", NOTHING]),
    ("+hdel", &["HDEL", NOTHING, "field"]),
    ("+lrange", &["LRANGE", NOTHING, "0", "0"]),
    ("+rpush", &["RPUSH", TEXT, ""]),
    ("+lpush", &["LPUSH", TEXT, ""]),
    ("+lpop", &["LPOP", NOTHING]),
    ("+wait", &["WAIT", "0", "1"]),
    ("+echo", &["ECHO", ""]),
    ("+cluster|shards", &["CLUSTER", "SHARDS"]),
    ("+cluster|info", &["CLUSTER", "INFO"]),
    ("+asking", &["ASKING"]),
    ("+del", &["DEL", TEXT]),
];
const FCALL: &str = "+fcall";

/// What a user lacks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lacking {
    /// Of `PERMISSIONS`.
    pub(super) permissions: Vec<&'static str>,
    /// The library is absent, and this user may not load it.
    pub(super) library: bool,
}

/// The commands to try, all at once.
pub(super) fn trials() -> Pipeline {
    let mut trials = Pipeline::with_capacity(HARMLESS.len() + 2);
    for (_, words) in HARMLESS {
        let mut cmd = Cmd::new();
        for word in words {
            cmd.arg(word);
        }
        trials.add_command(cmd);
    }
    // A library of no text is refused as such, or because loading is not permitted.
    trials.add_command(library::call(library::HELLO, 0, 0)).cmd("FUNCTION").arg("LOAD").arg("");
    trials
}

/// What the answers tell.
pub(super) fn lacking(answers: &[Value]) -> Lacking {
    let refused = |answer: Option<&Value>| match answer {
        Some(Value::ServerError(error)) => Some(refusal(error)),
        _ => None,
    };
    let names = HARMLESS.iter().map(|(name, _)| *name).chain([FCALL]);
    let permissions =
        names.zip(answers).filter(|(_, answer)| refused(Some(answer)) == Some(Refusal::NotPermitted)).map(|(name, _)| name);
    let is_absent = refused(answers.get(HARMLESS.len())) == Some(Refusal::NoFunction);
    let may_load = refused(answers.get(HARMLESS.len() + 1)) != Some(Refusal::NotPermitted);
    Lacking { permissions: permissions.collect(), library: is_absent && !may_load }
}

#[cfg(test)]
mod tests {
    use super::super::super::PERMISSIONS;
    use super::*;

    #[test]
    fn every_permission_is_tried() {
        let listed: Vec<&str> = PERMISSIONS.split_whitespace().filter(|word| word.starts_with('+')).collect();
        let mut tried: Vec<&str> = HARMLESS.iter().map(|(name, _)| *name).chain([FCALL]).collect();
        tried.sort_unstable();
        for word in &listed {
            assert!(tried.contains(word), "{word} is not tried");
        }
        assert_eq!(tried.len(), listed.len(), "{tried:?}");
    }
}

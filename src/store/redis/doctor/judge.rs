//! What is wrong with a server of Redis by itself, by what it says, and what to change. Pure. Not how it was asked (`doctor`), nor how it
//! goes together with others (`replication`, `cluster`).

use super::super::reply::field;
use crate::store::Diagnosis;
use jeton_domain::time::Millis;
use std::collections::BTreeMap;

const OLDEST_MAJOR: u64 = 7;
/// Memory in use, in hundredths of the limit: from here on it is little, and too little.
const LITTLE_LEFT: u64 = 75;
const TOO_LITTLE_LEFT: u64 = 90;
/// Verifiers allow so much between clocks.
const LEEWAY: Millis = Millis::from_secs(60);
/// So much is no matter of the network any more.
const APART: Millis = Millis::from_secs(1);

/// After so short a silence a busy server is taken for a dead one; after so long a dead one is missed for long.
const HASTY_MS: u64 = 1_000;
const SLOW_MS: u64 = 15_000;

/// After which silence a primary is taken to be down, by those that replace it.
pub(super) fn silence(check: &'static str, at: &str, millis: u64) -> Diagnosis {
    let found = format!("{millis} ms");
    if millis < HASTY_MS {
        let advice = "make it 5000: a server that is busy for a moment is taken for a dead one, and until all have found out two of \
                      them take writes as the primary";
        Diagnosis::fail(check, at, found, advice)
    } else if millis > SLOW_MS {
        let advice = "make it 5000: when a primary fails, nobody signs in and nothing is revoked for so long";
        Diagnosis::warn(check, at, found, advice)
    } else {
        Diagnosis::ok(check, at, found)
    }
}

/// A server with data, and what it said.
#[derive(Debug)]
pub(super) struct Server {
    /// Host and port.
    pub(super) name: String,
    /// All of `INFO`.
    pub(super) info: String,
    /// Settings, where the user may see them.
    pub(super) settings: Option<BTreeMap<String, String>>,
    /// How far its clock is from ours.
    pub(super) apart: Millis,
}

impl Server {
    /// Whether it is a node of a cluster.
    pub(super) fn is_in_a_cluster(&self) -> bool {
        field(&self.info, "cluster_enabled") == Some("1")
    }

    pub(super) fn is(&self, name: &str, value: &str) -> bool {
        field(&self.info, name) == Some(value)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        field(&self.info, name)?.parse().ok()
    }

    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.as_ref()?.get(name).map(String::as_str)
    }

    pub(super) fn ok(&self, check: &'static str, found: impl Into<String>) -> Diagnosis {
        Diagnosis::ok(check, &self.name, found)
    }

    pub(super) fn warn(&self, check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Diagnosis {
        Diagnosis::warn(check, &self.name, found, advice)
    }

    pub(super) fn fail(&self, check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Diagnosis {
        Diagnosis::fail(check, &self.name, found, advice)
    }

    /// What every server must be: a replica becomes primary.
    pub(super) fn of_any(&self) -> Vec<Diagnosis> {
        vec![self.version(), self.eviction(), self.memory(), self.persistence(), self.clock(), self.clients(), self.seen()]
    }

    fn version(&self) -> Diagnosis {
        let version = field(&self.info, "redis_version").unwrap_or("unknown");
        let shown = field(&self.info, "valkey_version").map_or_else(|| format!("Redis {version}"), |own| format!("Valkey {own}"));
        let major = version.split('.').next().and_then(|major| major.parse::<u64>().ok());
        match major {
            Some(major) if major >= OLDEST_MAJOR => self.ok("version", shown),
            _ => self.fail("version", shown, "install 7.0 or later: jeton keeps its own functions inside Redis"),
        }
    }

    fn eviction(&self) -> Diagnosis {
        match field(&self.info, "maxmemory_policy").unwrap_or("unknown") {
            "noeviction" => self.ok("eviction", "maxmemory-policy is noeviction"),
            policy => self.fail(
                "eviction",
                format!("maxmemory-policy is {policy}"),
                "set maxmemory-policy noeviction, on replicas too: anything else drops revocations when memory is short, and jeton \
                 does not serve on it",
            ),
        }
    }

    fn memory(&self) -> Diagnosis {
        let (used, most) = (self.number("used_memory").unwrap_or(0), self.number("maxmemory").unwrap_or(0));
        let machine = self.number("total_system_memory").unwrap_or(0);
        if most == 0 {
            return self.warn(
                "memory",
                "maxmemory is not set",
                "set maxmemory to three quarters of the machine's memory: without a limit the kernel ends Redis when memory is \
                 short; with one, writes are refused and revocations still followed",
            );
        }
        let percent = used.saturating_mul(100) / most;
        let found = format!("{percent} % of {} MiB are used", most >> 20);
        if percent >= TOO_LITTLE_LEFT {
            self.fail("memory", found, "raise maxmemory, or move to a larger machine: when it is full nothing can be revoked")
        } else if percent >= LITTLE_LEFT {
            self.warn(
                "memory",
                found,
                "raise maxmemory in time: when it is full nothing can be revoked. A grant takes 640 bytes at most",
            )
        } else if machine > 0 && most > machine / 100 * 90 {
            self.warn(
                "memory",
                format!("maxmemory is {} MiB of the machine's {} MiB", most >> 20, machine >> 20),
                "set it to three quarters: saving and replication take memory beside it, and the kernel ends Redis where there is none",
            )
        } else {
            self.ok("memory", found)
        }
    }

    fn persistence(&self) -> Diagnosis {
        const APPEND: &str = "set appendonly yes: what a restart loses of the revocations is revoked no more";
        const DISK: &str = "make room on its disk, and look at its log: until it can write again it refuses writes, and a restart would \
                            lose data";
        if self.is("loading", "1") {
            return self.fail("persistence", "it is still loading its data", "wait until it has: it answers nothing before");
        }
        if self.is("aof_enabled", "1") {
            let fsync = self.setting("appendfsync");
            if !self.is("aof_last_write_status", "ok") {
                return self.fail("persistence", "the last write to the append-only file failed", DISK);
            }
            if fsync == Some("no") {
                return self.fail(
                    "persistence",
                    "the append-only file is flushed when the system likes (appendfsync no)",
                    "set appendfsync everysec, or always: a machine that fails loses up to half a minute of revocations",
                );
            }
            let how = fsync.map_or_else(String::new, |how| format!(", appendfsync {how}"));
            return self.ok("persistence", format!("append-only file{how}"));
        }
        if !self.is("rdb_last_bgsave_status", "ok") {
            return self.fail("persistence", "the last save failed", DISK);
        }
        match self.setting("save") {
            Some("") => self.fail(
                "persistence",
                "it keeps nothing: neither an append-only file nor saves",
                format!("{APPEND}; and a primary that comes back empty empties its replicas"),
            ),
            _ => self.warn("persistence", "it saves now and then, and has no append-only file", APPEND),
        }
    }

    fn clock(&self) -> Diagnosis {
        let found = format!("{} ms from the clock of this machine", self.apart.get());
        let advice = "run a time service on both: jeton follows the clock of Redis, verifiers their own, and one second too many \
                      refuses new tokens";
        if self.apart > LEEWAY {
            self.fail("clock", found, advice)
        } else if self.apart > APART {
            self.warn("clock", found, advice)
        } else {
            self.ok("clock", found)
        }
    }

    fn clients(&self) -> Diagnosis {
        let (connected, most) =
            (self.number("connected_clients").unwrap_or(0), self.number("maxclients").unwrap_or(u64::MAX).max(1));
        let found = format!("{connected} of at most {most}");
        if connected.saturating_mul(100) / most >= 80 {
            self.warn("connections", found, "raise maxclients: a replica of jeton that finds no place is not ready")
        } else {
            self.ok("connections", found)
        }
    }

    fn seen(&self) -> Diagnosis {
        match self.settings {
            Some(_) => self.ok("settings", "seen by CONFIG GET"),
            None => self.warn(
                "settings",
                "this user may not run CONFIG GET, so that appendfsync, save, min-replicas-to-write and those of a cluster were not seen",
                "give it +config|get for the time of this, or run this with a user who may: \
                 `jeton doctor --store redis://ADMIN:PASSWORD@HOST`; jeton itself does not need it",
            ),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::store::Verdict;

    const SOUND: &str = "redis_version:7.0.15\r\nconnected_clients:10\r\nmaxclients:10000\r\nused_memory:1048576\r\nmaxmemory:1073741824\r\n\
                         total_system_memory:2147483648\r\nmaxmemory_policy:noeviction\r\nloading:0\r\nrdb_last_bgsave_status:ok\r\n\
                         aof_enabled:1\r\naof_last_write_status:ok\r\nrole:master\r\nconnected_slaves:1\r\n\
                         slave0:ip=10.0.0.2,port=6379,state=online,offset=900,lag=1\r\nmaster_repl_offset:1000\r\ncluster_enabled:0\r\n";

    /// A sound primary with one replica, but for these changes of what it says and of its settings.
    pub(in super::super) fn server(changes: &[(&str, &str)], settings: &[(&str, &str)]) -> Server {
        let info = changes.iter().fold(SOUND.to_owned(), |info, (from, to)| {
            assert!(info.contains(from), "{from}");
            info.replace(from, to)
        });
        let known = [("appendfsync", "everysec"), ("save", ""), ("min-replicas-to-write", "0")];
        let settings = known.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Server { name: "h:6379".into(), info, settings: Some(settings), apart: Millis::new(3) }
    }

    /// What is not ok of a primary for which so many replicas are waited for.
    fn wrong(server: &Server, replicas: u32) -> Vec<(&'static str, Verdict)> {
        let all = server.of_any().into_iter().chain(server.of_primary(replicas, false));
        let wrong: Vec<Diagnosis> = all.filter(|one| one.verdict != Verdict::Ok).collect();
        assert!(wrong.iter().all(|one| !one.advice.is_empty() && !one.found.ends_with('.') && !one.advice.ends_with('.')));
        wrong.into_iter().map(|one| (one.check, one.verdict)).collect()
    }

    /// Changes of what it says and of its settings, how many replicas are waited for, and what is not ok then.
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)], u32, &'a [(&'a str, Verdict)]);

    #[test]
    fn each_fault_is_told_by_itself() {
        assert_eq!(wrong(&server(&[], &[]), 1), []);
        use Verdict::{Fail, Warn};
        let no_file = ("aof_enabled:1", "aof_enabled:0");
        let nobody = [("slave0:ip=10.0.0.2,port=6379,state=online,offset=900,lag=1\r\n", "")];
        let second = [("cluster_enabled:0", "slave1:ip=10.0.0.3,port=6379,state=online,offset=900,lag=0")];
        let rows: [Row<'_>; 25] = [
            (&[("7.0.15", "6.2.14")], &[], 1, &[("version", Fail)]),
            (&[("noeviction", "volatile-lru")], &[], 1, &[("eviction", Fail)]),
            (&[("maxmemory:1073741824", "maxmemory:0")], &[], 1, &[("memory", Warn)]),
            (&[("used_memory:1048576", "used_memory:858993459")], &[], 1, &[("memory", Warn)]),
            (&[("used_memory:1048576", "used_memory:1073741824")], &[], 1, &[("memory", Fail)]),
            (&[("total_system_memory:2147483648", "total_system_memory:1073741824")], &[], 1, &[("memory", Warn)]),
            (&[("loading:0", "loading:1")], &[], 1, &[("persistence", Fail)]),
            (&[("write_status:ok", "write_status:err")], &[], 1, &[("persistence", Fail)]),
            (&[], &[("appendfsync", "no")], 1, &[("persistence", Fail)]),
            (&[no_file], &[("save", "3600 1")], 1, &[("persistence", Warn)]),
            (&[no_file], &[], 1, &[("persistence", Fail)]),
            (&[no_file, ("bgsave_status:ok", "bgsave_status:err")], &[("save", "3600 1")], 1, &[("persistence", Fail)]),
            (&[("connected_clients:10", "connected_clients:9000")], &[], 1, &[("connections", Warn)]),
            (&[("role:master", "role:slave")], &[], 1, &[("role", Fail)]),
            (&[("cluster_enabled:0", "cluster_enabled:1")], &[], 1, &[("role", Fail)]),
            (&[], &[], 0, &[("replicas", Warn)]),
            (&[], &[], 2, &[("replicas", Fail)]),
            (&[("state=online", "state=wait_bgsave")], &[], 1, &[("replicas", Fail)]),
            (&nobody, &[], 0, &[("replicas", Warn)]),
            // One that is not waited for may be elected.
            (&second, &[("min-replicas-to-write", "1")], 1, &[("replicas", Fail)]),
            (&second, &[("min-replicas-to-write", "1")], 2, &[]),
            (&second, &[("min-replicas-to-write", "2")], 2, &[("min-replicas-to-write", Warn)]),
            (&second, &[], 2, &[("min-replicas-to-write", Warn)]),
            (&[], &[("min-replicas-to-write", "1")], 1, &[("min-replicas-to-write", Warn)]),
            (&[("lag=1", "lag=9")], &[], 1, &[("replication", Warn)]),
        ];
        for (changes, settings, replicas, expected) in rows {
            assert_eq!(wrong(&server(changes, settings), replicas), expected, "{changes:?} {settings:?}");
        }
        let too_few = [("connected_slaves:1", "connected_slaves:1\r\nmin_slaves_good_slaves:0")];
        assert_eq!(wrong(&server(&too_few, &[("min-replicas-to-write", "1")]), 1), [("min-replicas-to-write", Fail)]);
        let blind = Server { settings: None, ..server(&[], &[]) };
        assert_eq!(wrong(&blind, 1), [("settings", Warn)]);
        for (apart, expected) in [(900, None), (2_000, Some(Warn)), (61_000, Some(Fail))] {
            let server = Server { apart: Millis::new(apart), ..server(&[], &[]) };
            assert_eq!(wrong(&server, 1), expected.map(|verdict| ("clock", verdict)).into_iter().collect::<Vec<_>>());
        }
    }
}

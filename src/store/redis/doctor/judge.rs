//! What is wrong with a server of Redis, by what it says of itself, and what to change. Pure. Not how it was asked (`doctor`).

use super::super::reply::field;
use crate::store::Diagnosis;
use jeton_domain::time::Millis;
use std::collections::BTreeMap;

const OLDEST_MAJOR: u64 = 7;
/// Memory in use, in hundredths of the limit: from here on it is little, and too little.
const LITTLE_LEFT: u64 = 75;
const TOO_LITTLE_LEFT: u64 = 90;
/// A replica says every second how far it is.
const LATE_SECS: u64 = 2;
/// So many bytes behind the primary a replica is not about to catch up.
const FAR_BEHIND: u64 = 10 << 20;
/// Verifiers allow so much between clocks.
const LEEWAY: Millis = Millis::from_secs(60);
/// So much is no matter of the network any more.
const APART: Millis = Millis::from_secs(1);

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

/// A replica, as its primary sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Follower {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) is_online: bool,
    pub(super) lag: u64,
    pub(super) offset: u64,
}

impl Server {
    /// Whether it is a node of a cluster.
    pub(super) fn is_in_a_cluster(&self) -> bool {
        field(&self.info, "cluster_enabled") == Some("1")
    }

    fn is(&self, name: &str, value: &str) -> bool {
        field(&self.info, name) == Some(value)
    }

    fn number(&self, name: &str) -> Option<u64> {
        field(&self.info, name)?.parse().ok()
    }

    fn setting(&self, name: &str) -> Option<&str> {
        self.settings.as_ref()?.get(name).map(String::as_str)
    }

    fn ok(&self, check: &'static str, found: impl Into<String>) -> Diagnosis {
        Diagnosis::ok(check, &self.name, found)
    }

    fn warn(&self, check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Diagnosis {
        Diagnosis::warn(check, &self.name, found, advice)
    }

    fn fail(&self, check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Diagnosis {
        Diagnosis::fail(check, &self.name, found, advice)
    }

    /// Reads `slave0:ip=10.0.0.2,port=6379,state=online,offset=1,lag=0`.
    pub(super) fn followers(&self) -> Vec<Follower> {
        let lines = self.info.lines().filter(|line| line.starts_with("slave"));
        let follower = |line: &str| {
            let (_, fields) = line.split_once(':')?;
            let of = |name: &str| fields.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
            Some(Follower {
                host: of("ip")?.to_owned(),
                port: of("port")?.parse().ok()?,
                is_online: of("state") == Some("online"),
                lag: of("lag")?.parse().unwrap_or(u64::MAX),
                offset: of("offset")?.parse().unwrap_or(0),
            })
        };
        lines.filter_map(follower).collect()
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
        const DISK: &str = "look at its disk and its log: a restart would lose data";
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
                "this user may not run CONFIG GET, so that appendfsync, save and min-replicas-to-write were not seen",
                "look at them, or run this with a user who may: `jeton doctor --store redis://ADMIN:PASSWORD@HOST`; jeton itself does \
                 not need it",
            ),
        }
    }

    /// What a primary must be beside it, for so many replicas as are waited for.
    pub(super) fn of_primary(&self, replicas: u32) -> Vec<Diagnosis> {
        let role = match (field(&self.info, "role"), field(&self.info, "cluster_enabled")) {
            (_, Some("1")) => self.fail(
                "role",
                "it is a node of a cluster",
                "name the cluster as what it is: the address of one node serves only its own slots",
            ),
            (Some("master"), _) => self.ok("role", "it is a primary"),
            _ => {
                let host = field(&self.info, "master_host").unwrap_or("?");
                let port = field(&self.info, "master_port").unwrap_or("?");
                let advice =
                    format!("name the primary, {host}:{port}: what a replica answers may be old, and it takes no writes");
                return vec![self.fail("role", "it is a replica", advice)];
            }
        };
        let mut all = vec![role, self.replicas(replicas), self.least_replicas()];
        all.extend(self.followers().iter().filter(|follower| follower.is_online).map(|follower| self.lag(follower)));
        all
    }

    fn replicas(&self, wanted: u32) -> Diagnosis {
        let followers = self.followers();
        let online = followers.iter().filter(|follower| follower.is_online).count();
        let (known, online) = (u32::try_from(followers.len()).unwrap_or(u32::MAX), u32::try_from(online).unwrap_or(u32::MAX));
        let found = format!("{online} replicas are in step, {wanted} are waited for");
        match wanted {
            0 if known == 0 => self.warn(
                "replicas",
                "there are none",
                "give it a replica on another machine: until its disk is mended nobody signs in, and what the disk loses is lost",
            ),
            0 => self.warn(
                "replicas",
                found,
                format!("set redis.replicas = {known}: a failover loses what was acknowledged before the replicas had it"),
            ),
            wanted if online < wanted => self.fail(
                "replicas",
                found,
                "bring the others back, or lower redis.replicas: until then no revocation is acknowledged and nothing is issued",
            ),
            wanted if known > wanted => self.fail(
                "replicas",
                found,
                format!("set redis.replicas = {known}: a failover may elect the one that was not waited for"),
            ),
            _ => self.ok("replicas", found),
        }
    }

    fn least_replicas(&self) -> Diagnosis {
        const CHECK: &str = "min-replicas-to-write";
        let good = self.number("min_slaves_good_slaves");
        let least = self.setting(CHECK).and_then(|least| least.parse::<u64>().ok());
        match (least, good) {
            (Some(least), Some(good)) if good < least => self.fail(
                CHECK,
                format!("{least} replicas are demanded and {good} are in step"),
                "bring the others back, or lower min-replicas-to-write: until then every write is refused",
            ),
            (Some(least), _) if least > 0 => self.ok(CHECK, format!("{least}")),
            (None, Some(good)) => self.ok(CHECK, format!("it is set, and {good} replicas are in step")),
            _ if self.followers().is_empty() => self.ok(CHECK, "there are no replicas to demand"),
            _ => self.warn(
                CHECK,
                "no replica is demanded",
                "set min-replicas-to-write 1 and min-replicas-max-lag 10: a primary that is cut off from the others goes on taking \
                 writes, and the failover loses them",
            ),
        }
    }

    fn lag(&self, follower: &Follower) -> Diagnosis {
        const CHECK: &str = "replication";
        let behind = self.number("master_repl_offset").unwrap_or(0).saturating_sub(follower.offset);
        let at = format!("{}:{}", follower.host, follower.port);
        let found = format!("{behind} bytes behind, last heard of {} s ago", follower.lag);
        let advice = "look at the network between them and the replica's machine: every acknowledged revocation waits for it";
        if follower.lag > LATE_SECS || behind > FAR_BEHIND {
            Diagnosis::warn(CHECK, at, found, advice)
        } else {
            Diagnosis::ok(CHECK, at, found)
        }
    }

    /// What a replica must be beside it, to take over from that primary.
    pub(super) fn of_replica(&self, primary: &Self) -> Vec<Diagnosis> {
        let mut all = Vec::new();
        if !self.is("master_link_status", "up") {
            let advice = "look at its log: it has none of what was written since, and may be elected";
            all.push(self.fail("replication", "its connection to the primary is down", advice));
        }
        if self.is("slave_read_only", "0") {
            let advice = "set replica-read-only yes: what is written here alone comes to light when it is elected";
            all.push(self.fail("replication", "it takes writes of its own", advice));
        }
        let most = |server: &Self| server.number("maxmemory").filter(|most| *most > 0).unwrap_or(u64::MAX);
        if most(self) < most(primary) {
            let advice = "give it as much: once elected it would have no room for what it holds";
            all.push(self.warn("memory", "its maxmemory is less than the primary's", advice));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Verdict;

    const SOUND: &str = "redis_version:7.0.15\r\nconnected_clients:10\r\nmaxclients:10000\r\nused_memory:1048576\r\nmaxmemory:1073741824\r\n\
                         total_system_memory:2147483648\r\nmaxmemory_policy:noeviction\r\nloading:0\r\nrdb_last_bgsave_status:ok\r\n\
                         aof_enabled:1\r\naof_last_write_status:ok\r\nrole:master\r\nconnected_slaves:1\r\nmin_slaves_good_slaves:1\r\n\
                         slave0:ip=10.0.0.2,port=6379,state=online,offset=900,lag=1\r\nmaster_repl_offset:1000\r\ncluster_enabled:0\r\n";

    fn server(changes: &[(&str, &str)], settings: &[(&str, &str)]) -> Server {
        let info = changes.iter().fold(SOUND.to_owned(), |info, (from, to)| {
            assert!(info.contains(from), "{from}");
            info.replace(from, to)
        });
        let known = [("appendfsync", "everysec"), ("save", ""), ("min-replicas-to-write", "1")];
        let settings = known.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Server { name: "h:6379".into(), info, settings: Some(settings), apart: Millis::new(3) }
    }

    /// What is not ok of a primary for which so many replicas are waited for.
    fn wrong(server: &Server, replicas: u32) -> Vec<(&'static str, Verdict)> {
        let all = server.of_any().into_iter().chain(server.of_primary(replicas));
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
        let nobody = [("slave0:ip=10.0.0.2,port=6379,state=online,offset=900,lag=1\r\n", ""), ("good_slaves:1", "good_slaves:0")];
        let rows: [Row<'_>; 21] = [
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
            (&nobody, &[("min-replicas-to-write", "0")], 0, &[("replicas", Warn)]),
            (&[], &[("min-replicas-to-write", "0")], 1, &[("min-replicas-to-write", Warn)]),
            (&[("lag=1", "lag=9")], &[], 1, &[("replication", Warn)]),
        ];
        for (changes, settings, replicas, expected) in rows {
            assert_eq!(wrong(&server(changes, settings), replicas), expected, "{changes:?} {settings:?}");
        }
        let demanded = server(&[("good_slaves:1", "good_slaves:0")], &[]);
        assert_eq!(wrong(&demanded, 1), [("min-replicas-to-write", Fail)]);
        let two = [("cluster_enabled:0", "slave1:ip=10.0.0.3,port=6379,state=online,offset=900,lag=0")];
        assert_eq!(wrong(&server(&two, &[]), 1), [("replicas", Fail)], "one that is not waited for may be elected");
        let blind = Server { settings: None, ..server(&[], &[]) };
        assert_eq!(wrong(&blind, 1), [("settings", Warn)]);
        for (apart, expected) in [(900, None), (2_000, Some(Warn)), (61_000, Some(Fail))] {
            let server = Server { apart: Millis::new(apart), ..server(&[], &[]) };
            assert_eq!(wrong(&server, 1), expected.map(|verdict| ("clock", verdict)).into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_replica_must_be_able_to_take_over() {
        let primary = server(&[], &[]);
        let replica = |changes: &[(&str, &str)]| {
            let follows = ("role:master", "role:slave\r\nmaster_link_status:up\r\nslave_read_only:1");
            let changes: Vec<_> = [follows].into_iter().chain(changes.iter().copied()).collect();
            server(&changes, &[]).of_replica(&primary).iter().map(|one| one.check).collect::<Vec<_>>()
        };
        assert_eq!(replica(&[]), Vec::<&str>::new());
        assert_eq!(replica(&[("link_status:up", "link_status:down")]), ["replication"]);
        assert_eq!(replica(&[("read_only:1", "read_only:0")]), ["replication"]);
        assert_eq!(replica(&[("maxmemory:1073741824", "maxmemory:1048576")]), ["memory"]);
    }
}

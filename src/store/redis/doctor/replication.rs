//! What is wrong between a primary and its replicas, by what they say, and what to change. Pure. Not how they were asked (`doctor`).

use super::judge::Server;
use crate::store::Diagnosis;
use crate::store::redis::reply::field;

/// A replica says every second how far it is.
const LATE_SECS: u64 = 2;
/// So many bytes behind the primary a replica is not about to catch up.
const FAR_BEHIND: u64 = 10 << 20;

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

    /// What a primary must be beside it, for so many replicas as are waited for; whether a node of a cluster is meant.
    pub(super) fn of_primary(&self, replicas: u32, in_cluster: bool) -> Vec<Diagnosis> {
        let role = match field(&self.info, "role") {
            _ if self.is_in_a_cluster() && !in_cluster => self.fail(
                "role",
                "it is a node of a cluster",
                "name the cluster as what it is: the address of one node serves only its own slots",
            ),
            Some("master") => self.ok("role", "it is a primary"),
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

    /// A primary that demands all its replicas refuses every write where one is down: those that would not wait for it too, of Refresh, and
    /// of the catch-ups without which introspection soon has no answer.
    fn least_replicas(&self) -> Diagnosis {
        const CHECK: &str = "min-replicas-to-write";
        let good = self.number("min_slaves_good_slaves");
        // Redis tells how many are in step only where some are demanded.
        let none = good.is_none().then_some(0);
        let least = self.setting(CHECK).and_then(|least| least.parse::<u64>().ok()).or(none);
        let known = u64::try_from(self.followers().len()).unwrap_or(u64::MAX);
        match (least, good) {
            (Some(least), Some(good)) if good < least => self.fail(
                CHECK,
                format!("{least} replicas are demanded and {good} are in step"),
                "bring the others back, or lower min-replicas-to-write: until then every write is refused",
            ),
            (Some(least), _) if least > 0 && least >= known => self.warn(
                CHECK,
                format!("{least} of {known} replicas are demanded"),
                format!(
                    "set min-replicas-to-write {}: with redis.replicas nothing is lost that was acknowledged, and so a replica that is \
                     down, or a failover, stops Refresh and introspection too",
                    known.saturating_sub(1)
                ),
            ),
            (Some(0), _) if known > 1 => self.warn(
                CHECK,
                "no replica is demanded",
                "set min-replicas-to-write 1 and min-replicas-max-lag 10: a primary that is cut off from the others goes on taking \
                 writes, and the failover loses them",
            ),
            (Some(0), _) => self.ok(CHECK, "none is demanded"),
            (Some(least), _) => self.ok(CHECK, format!("{least} of {known} replicas are demanded")),
            (None, _) => self.ok(CHECK, format!("it is set, and {} replicas are in step", good.unwrap_or(0))),
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

    /// What a replica must be beside it, to take over from that primary, where that one answered.
    pub(super) fn of_replica(&self, primary: Option<&Self>) -> Vec<Diagnosis> {
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
        if primary.is_some_and(|primary| most(self) < most(primary)) {
            let advice = "give it as much: once elected it would have no room for what it holds";
            all.push(self.warn("memory", "its maxmemory is less than the primary's", advice));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge::tests::server;

    #[test]
    fn a_replica_must_be_able_to_take_over() {
        let primary = server(&[], &[]);
        let replica = |changes: &[(&str, &str)]| {
            let follows = ("role:master", "role:slave\r\nmaster_link_status:up\r\nslave_read_only:1");
            let changes: Vec<_> = [follows].into_iter().chain(changes.iter().copied()).collect();
            server(&changes, &[]).of_replica(Some(&primary)).iter().map(|one| one.check).collect::<Vec<_>>()
        };
        assert_eq!(replica(&[]), Vec::<&str>::new());
        assert_eq!(replica(&[("link_status:up", "link_status:down")]), ["replication"]);
        assert_eq!(replica(&[("read_only:1", "read_only:0")]), ["replication"]);
        assert_eq!(replica(&[("maxmemory:1073741824", "maxmemory:1048576")]), ["memory"]);
    }
}

//! What is wrong with the servers, in sentences that say what to change and why. Every node is asked at the same time, one question and
//! one short time-out each; one that does not answer is a sentence, not the end. Not who is primary (`topology`).

use super::address::Node;
use super::cluster::Cluster;
use super::probe::Probes;
use super::reply::{self, Refusal, field};
use super::sentinel::Sentinels;
use super::shards::{Member, Shard};
use super::slot::SLOTS;
use super::topology::{Servers, Topology};
use crate::store::Wrong;
use crate::telemetry::metrics;
use ::redis::Pipeline;
use futures_util::future::join_all;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a node may take to answer, where requests may not take less.
const PATIENCE: Duration = Duration::from_secs(1);
/// A replica that acknowledged nothing for longer is not in step. They do so every second.
const IN_STEP_SECS: u64 = 5;
/// Changes that wait for longer are not going to be saved: the longest pause between two saves is an hour, unless it was changed.
const UNSAVED_SECS: u64 = 2 * 3_600;
const OLDEST_VERSION: u64 = 7;
/// In thousandths of `maxmemory`.
const WHOLE: u64 = 1_000;
const NEARLY_FULL: u64 = 900;

impl Topology {
    /// What is wrong; nothing where all is well.
    pub(super) async fn health(&self) -> Vec<Wrong> {
        let within = self.settings.response_timeout.min(PATIENCE);
        let replicas = self.settings.replicas;
        match &self.servers {
            Servers::Standalone { node, probes, .. } => Nodes::new(probes, within, replicas).of_one(node).await,
            Servers::Sentinel { sentinels, probes, .. } => {
                let (mut wrong, primary) = of_sentinels(sentinels).await;
                if let Some(node) = primary {
                    wrong.extend(Nodes::new(probes, within, replicas).of_one(&node).await);
                }
                wrong
            }
            Servers::Cluster(cluster) => of_cluster(cluster, within, replicas).await,
        }
    }
}

/// The nodes with data.
struct Nodes<'a> {
    probes: &'a Probes,
    within: Duration,
    /// How many replicas each primary must have.
    replicas: u32,
    /// How much of its memory the fullest primary uses, in thousandths.
    fullest: AtomicU64,
}

impl<'a> Nodes<'a> {
    fn new(probes: &'a Probes, within: Duration, replicas: u32) -> Self {
        Self { probes, within, replicas, fullest: AtomicU64::new(0) }
    }

    fn measure(&self) {
        let thousandths = u32::try_from(self.fullest.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        metrics::STORE_MEMORY_USED.set(f64::from(thousandths) / 1_000.0);
    }

    /// A primary, and the replicas that it names.
    async fn of_one(&self, primary: &Node) -> Vec<Wrong> {
        let info = match self.info(primary).await {
            Ok(info) => info,
            Err(why) => return vec![Wrong::unfit(silent(primary, why))],
        };
        let replicas: Vec<Node> = replicas(&info).map(|replica| replica.node).collect();
        let mut wrong = self.primary(primary, &info);
        wrong.extend(join_all(replicas.iter().map(|node| self.of_replica(node))).await.into_iter().flatten());
        self.measure();
        self.probes.keep(&replicas.iter().chain([primary]).collect::<Vec<_>>());
        wrong
    }

    async fn of_primary(&self, node: &Node) -> Vec<Wrong> {
        self.info(node).await.map_or_else(|why| vec![Wrong::unfit(silent(node, why))], |info| self.primary(node, &info))
    }

    async fn of_replica(&self, node: &Node) -> Vec<Wrong> {
        self.info(node).await.map_or_else(|why| vec![Wrong::remark(silent(node, why))], |info| any(node, &info))
    }

    async fn info(&self, node: &Node) -> Result<String, Refusal> {
        let mut question = Pipeline::with_capacity(1);
        question.cmd("INFO").arg("server").arg("memory").arg("persistence").arg("replication");
        let answers = self.probes.of(node).ask(&question, self.within).await?;
        let info = answers.first().and_then(|info| reply::text(info).ok()).ok_or(Refusal::Unknown)?;
        Ok(info.to_owned())
    }

    fn primary(&self, node: &Node, info: &str) -> Vec<Wrong> {
        let mut wrong = any(node, info);
        if field(info, "role") != Some("master") {
            wrong.push(Wrong::unfit(format!("{node} is a replica; jeton needs the primary")));
            return wrong;
        }
        wrong.extend(persistence(node, info));
        let used = memory_used(info);
        self.fullest.fetch_max(used, Ordering::Relaxed);
        wrong.extend(memory(node, used));
        let in_step = replicas(info).filter(|replica| replica.in_step).count();
        if u32::try_from(in_step).is_ok_and(|in_step| in_step < self.replicas) {
            wrong.push(Wrong::remark(format!(
                "{node} has {in_step} replicas in step and {} are configured: a failover could lose what it acknowledges; \
                 bring the others back",
                self.replicas
            )));
        }
        wrong
    }
}

/// How much of its memory a primary uses, in thousandths; nothing where it has no limit.
fn memory_used(info: &str) -> u64 {
    // What replicas are still to be sent counts for nobody.
    let used = number(info, "used_memory").saturating_sub(number(info, "mem_not_counted_for_evict"));
    used.saturating_mul(WHOLE).checked_div(number(info, "maxmemory")).unwrap_or(0)
}

/// Reading goes on, and so does following the log: introspection is right.
fn memory(node: &Node, used: u64) -> Option<Wrong> {
    let words = if used >= WHOLE {
        "has no memory left: it refuses writes, so that nothing can be issued, refreshed or revoked; raise its maxmemory"
    } else if used >= NEARLY_FULL {
        "uses over 90 % of its memory: raise its maxmemory before it refuses writes, and nothing can be issued, refreshed or revoked"
    } else {
        return None;
    };
    Some(Wrong::remark(format!("{node} {words}")))
}

fn silent(node: &Node, why: Refusal) -> String {
    format!("{node} cannot be asked how it is: {}", why.into_error())
}

/// What no node may be: a replica becomes primary.
fn any(node: &Node, info: &str) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let version = field(info, "redis_version").unwrap_or("unknown");
    if version.split('.').next().and_then(|major| major.parse::<u64>().ok()).is_none_or(|major| major < OLDEST_VERSION) {
        wrong.push(Wrong::unfit(format!("{node} is Redis {version}; jeton needs 7.0 or later")));
    }
    let policy = field(info, "maxmemory_policy").unwrap_or("unknown");
    if policy != "noeviction" {
        wrong.push(Wrong::unfit(format!(
            "{node} would drop revocations when memory is short: its maxmemory-policy is {policy}; set it to noeviction"
        )));
    }
    wrong
}

fn persistence(node: &Node, info: &str) -> Option<Wrong> {
    let is = |name, value| field(info, name) == Some(value);
    if is("loading", "1") {
        return Some(Wrong::remark(format!("{node} is still loading its data")));
    }
    if is("aof_enabled", "1") {
        // Then it refuses every write, and what proves the view fresh is one.
        return (!is("aof_last_write_status", "ok")).then(|| {
            Wrong::unfit(format!(
                "{node} cannot write its append-only file: it refuses writes, and a restart would lose data; make room on its disk"
            ))
        });
    }
    if !is("rdb_last_bgsave_status", "ok") {
        return Some(Wrong::remark(format!(
            "{node} could not save its data: it refuses writes (unless stop-writes-on-bgsave-error is no), and a restart would lose \
             data; make room on its disk and look at its log"
        )));
    }
    // INFO does not tell when it is to save. What it holds may be older than the process: only changes since the last save count.
    let (saved, uptime) = (number(info, "rdb_last_save_time"), number(info, "uptime_in_seconds"));
    let now = number(info, "server_time_usec") / 1_000_000;
    let waiting = now.saturating_sub(saved).min(uptime);
    let unsaved = number(info, "rdb_changes_since_last_save") > 0 && waiting > UNSAVED_SECS;
    unsaved.then(|| {
        let hours = waiting / 3_600;
        Wrong::remark(format!("{node} does not keep its data: nothing was saved for {hours} hours; set appendonly to yes"))
    })
}

fn number(info: &str, name: &str) -> u64 {
    field(info, name).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// A replica as its primary sees it.
struct Replica {
    node: Node,
    in_step: bool,
}

/// Reads `slave0:ip=10.0.0.2,port=6379,state=online,offset=1,lag=0`.
fn replicas(info: &str) -> impl Iterator<Item = Replica> {
    info.lines().filter(|line| line.starts_with("slave")).filter_map(|line| {
        let (_, fields) = line.split_once(':')?;
        let of = |name: &str| fields.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        let lag = of("lag")?.parse().unwrap_or(u64::MAX);
        let in_step = of("state") == Some("online") && lag <= IN_STEP_SECS;
        Some(Replica { node: Node::new(of("ip")?, of("port")?.parse().ok()?), in_step })
    })
}

/// What is wrong with the Sentinels, and whom most of them name.
async fn of_sentinels(sentinels: &Sentinels) -> (Vec<Wrong>, Option<Node>) {
    let said = sentinels.ask(false).await;
    let answered: usize = said.named.iter().map(|(_, votes)| votes).sum();
    let mut wrong = Vec::new();
    if !sentinels.is_most(answered) {
        let why: Vec<String> = said.silent.iter().map(|(node, why)| format!("{node}: {}", why.into_error())).collect();
        wrong.push(Wrong::remark(format!(
            "{answered} of {} Sentinels name a primary, and no failover is followed unless most do ({})",
            sentinels.count(),
            why.join("; ")
        )));
    }
    if said.named.len() > 1 {
        let named: Vec<String> = said.named.iter().map(|(node, votes)| format!("{node} by {votes}")).collect();
        wrong.push(Wrong::remark(format!("the Sentinels do not agree who is primary: they name {}", named.join(", "))));
    }
    (wrong, said.named.into_iter().next().map(|(node, _)| node))
}

async fn of_cluster(cluster: &Cluster, within: Duration, replicas: u32) -> Vec<Wrong> {
    let view = match cluster.refresh().await {
        Ok(view) => view,
        Err(why) => return vec![Wrong::unfit(why.into_error().to_string())],
    };
    let mut wrong = Vec::new();
    if view.served < SLOTS {
        wrong.push(Wrong::unfit(format!(
            "{} of {SLOTS} slots are served: bring back the primaries of the others, or a replica of each",
            view.served
        )));
    }
    if !view.ok {
        wrong.push(Wrong::unfit(
            "Redis Cluster is down: most of its primaries must reach each other, and every slot be served".to_owned(),
        ));
    }
    let nodes = Nodes::new(&cluster.probes, within, replicas);
    let members: Vec<&Member> =
        view.shards.iter().filter(|shard| !shard.slots.is_empty()).flat_map(|shard: &Shard| &shard.members).collect();
    let asked = members.iter().map(async |member| match member.primary {
        true => nodes.of_primary(&member.node).await,
        false => nodes.of_replica(&member.node).await,
    });
    wrong.extend(join_all(asked).await.into_iter().flatten());
    nodes.measure();
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "redis_version:7.0.15\r\nuptime_in_seconds:90000\r\nserver_time_usec:1700090000000000\r\n\
                         used_memory:500\r\nmem_not_counted_for_evict:100\r\nmaxmemory:1000\r\nmaxmemory_policy:noeviction\r\nloading:0\r\nrdb_changes_since_last_save:0\r\n\
                         rdb_last_save_time:1700000000\r\nrdb_last_bgsave_status:ok\r\naof_enabled:0\r\n\
                         aof_last_write_status:ok\r\nrole:master\r\nconnected_slaves:2\r\n\
                         slave0:ip=10.0.0.2,port=6379,state=online,offset=9,lag=1\r\n\
                         slave1:ip=10.0.0.3,port=6380,state=wait_bgsave,offset=0,lag=0\r\n";

    fn said(replacements: &[(&str, &str)]) -> Vec<String> {
        let info = replacements.iter().fold(SOUND.to_owned(), |info, (old, new)| {
            assert!(info.contains(old), "{old}");
            info.replace(old, new)
        });
        let door = super::super::wire::Door::both(&super::super::Address::parse("redis://h").unwrap()).unwrap().0;
        Nodes::new(&Probes::new(door), PATIENCE, 1)
            .primary(&Node::new("h", 1), &info)
            .into_iter()
            .map(|wrong| wrong.words)
            .collect()
    }

    #[test]
    fn each_problem_is_one_sentence_that_says_what_to_change() {
        assert_eq!(said(&[]), Vec::<String>::new());
        for (replacements, says) in [
            (&[("noeviction", "volatile-lru")][..], "set it to noeviction"),
            (&[("7.0.15", "6.2.14")], "7.0 or later"),
            (&[("role:master", "role:slave")], "needs the primary"),
            (&[("loading:0", "loading:1")], "loading"),
            (&[("aof_enabled:0", "aof_enabled:1"), ("write_status:ok", "write_status:err")], "make room on its disk"),
            (&[("bgsave_status:ok", "bgsave_status:err")], "could not save"),
            (&[("used_memory:500", "used_memory:1000")], "over 90 %"),
            (&[("used_memory:500", "used_memory:1100")], "no memory left"),
            (&[("last_save:0", "last_save:1")], "appendonly"),
            (&[("online", "send_bulk")], "0 replicas in step and 1 are configured"),
            (&[("lag=1", "lag=60")], "0 replicas in step"),
        ] {
            let sentences = said(replacements);
            assert!(sentences.len() == 1 && sentences[0].contains(says), "{replacements:?}: {sentences:?}");
        }
        for fine in [
            &[("maxmemory:1000", "maxmemory:0")][..],
            &[("used_memory:500", "used_memory:999")],
            &[("aof_enabled:0", "aof_enabled:1"), ("last_save:0", "last_save:1")],
            &[("90000\r", "60\r"), ("last_save:0", "last_save:1")],
        ] {
            assert_eq!(said(fine), Vec::<String>::new(), "{fine:?}");
        }
    }

    #[test]
    fn replicas_are_read() {
        let found: Vec<_> = replicas(SOUND).map(|replica| (replica.node.to_string(), replica.in_step)).collect();
        assert_eq!(found, [("10.0.0.2:6379".to_owned(), true), ("10.0.0.3:6380".to_owned(), false)]);
    }
}

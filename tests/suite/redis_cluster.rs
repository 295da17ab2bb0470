//! A Redis Cluster for tests: three primaries with a replica each, all on loopback. No tests here.

use crate::redis_server::RedisServer;
use redis::Value;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How many slots there are.
pub const SLOTS: u16 = 16_384;

/// How long anything may take that should happen by itself; a machine that is busy with other tests included.
const PATIENCE: Duration = Duration::from_secs(40);
/// After which silence a node is taken to be down. Shorter ones flap on a busy machine.
const NODE_TIMEOUT: &str = "1500";

/// Six nodes: the first three begin as primaries of a third of the slots each, the others as their replicas.
pub struct RedisCluster {
    /// The nodes.
    pub nodes: Vec<RedisServer>,
    ids: Vec<String>,
    /// They speak TLS with each other.
    tls: bool,
}

impl RedisCluster {
    /// Starts them; all slots are served and the replicas are in step.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with options for every node.
    pub async fn start_with(options: &[&str]) -> Self {
        let cluster = ["--cluster-enabled", "yes", "--cluster-node-timeout", NODE_TIMEOUT, "--repl-diskless-sync-delay", "0"];
        let options = [&cluster, options].concat();
        let start = || RedisServer::start_with(&options);
        let (a, b, c, d, e, f) = tokio::join!(start(), start(), start(), start(), start(), start());
        let nodes = vec![a, b, c, d, e, f];
        let mut ids = Vec::new();
        for node in &nodes {
            ids.push(node.ask::<String>(&["CLUSTER", "MYID"]).await);
        }
        let cluster = Self { nodes, ids, tls: options.contains(&"--tls-cluster") };
        cluster.form().await;
        cluster
    }

    async fn form(&self) {
        let thirds = [(0, 5_461), (5_462, 10_922), (10_923, SLOTS - 1)];
        for (at, (node, (first, last))) in self.nodes.iter().zip(thirds).enumerate() {
            node.ask::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]).await;
            node.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
        }
        for (at, node) in self.nodes.iter().enumerate() {
            for other in &self.nodes[at + 1..] {
                node.ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &self.port_of(other).to_string()]).await;
            }
        }
        self.until("the nodes know each other", async |all| {
            for at in 0..all.nodes.len() {
                if all.known_by(at).await != all.nodes.len() {
                    return false;
                }
            }
            true
        })
        .await;
        for at in 3..self.nodes.len() {
            self.until("a node becomes a replica", async |all| {
                all.nodes[at].try_ask::<()>(&["CLUSTER", "REPLICATE", &all.ids[at - 3]]).await.is_ok()
            })
            .await;
        }
        self.until_whole().await;
    }

    /// Waits until every node that runs finds all slots served, and each primary has its replica in step while that runs.
    pub async fn until_whole(&self) {
        self.until("all slots are served and the replicas are in step", async |all| all.is_whole().await).await;
    }

    /// The address, for `Redis::connect`.
    pub fn url(&self) -> String {
        self.url_of("")
    }

    /// The address with what stands before the `@`: `user:password@`.
    pub fn url_of(&self, login: &str) -> String {
        let places: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        format!("redis+cluster://{login}{}", places.join(","))
    }

    /// The slot of a key, as Redis says.
    pub async fn slot_of(&self, key: &str) -> u16 {
        let node = self.nodes.iter().find(|node| node.runs()).expect("a node runs");
        node.ask(&["CLUSTER", "KEYSLOT", key]).await
    }

    /// Which node is the primary of that slot: all that run say so, and it says so itself.
    pub async fn primary_of(&self, slot: u16) -> usize {
        let mut agreed = None;
        self.until("the nodes agree on a primary", async |all| {
            let mut named = Vec::new();
            for node in all.nodes.iter().filter(|node| node.runs()) {
                named.push(all.primary_told_by(node, slot).await);
            }
            agreed = named.first().copied().flatten().filter(|&first| named.iter().all(|other| *other == Some(first)));
            agreed.is_some_and(|node| all.nodes[node].runs())
        })
        .await;
        agreed.expect("they agree")
    }

    /// Which node is the one replica of that one: in step with it, and known to it as its own.
    pub async fn replica_of(&self, primary: usize) -> usize {
        let mut found = None;
        self.until("the primary has a replica in step", async |all| {
            let node = &all.nodes[primary];
            let known: String = node.ask(&["CLUSTER", "NODES"]).await;
            let replica = known.lines().find(|line| line.contains(&format!("slave {}", all.ids[primary])));
            found = replica.and_then(|line| all.ids.iter().position(|id| line.starts_with(id.as_str())));
            let info: String = node.ask(&["INFO", "replication"]).await;
            let port = found.map(|replica| format!("port={},state=online", all.port_of(&all.nodes[replica])));
            port.is_some_and(|port| info.contains(&port))
        })
        .await;
        found.expect("it has one")
    }

    /// Makes the replica of the slot's primary the primary (`how`: nothing, `FORCE` or `TAKEOVER`), and answers which it is.
    pub async fn fail_over(&self, slot: u16, how: Option<&str>) -> usize {
        let old = self.primary_of(slot).await;
        let replica = self.replica_of(old).await;
        let words: Vec<&str> = ["CLUSTER", "FAILOVER"].into_iter().chain(how).collect();
        // A failover by hand that took more than five seconds is given up by the nodes, without a word.
        let mut asked: Option<Instant> = None;
        self.until("the replica is primary", async |all| {
            if asked.is_none_or(|asked| asked.elapsed() > Duration::from_secs(6)) && all.primary_of(slot).await == old {
                all.nodes[replica].ask::<()>(&words).await;
                asked = Some(Instant::now());
            }
            all.primary_of(slot).await == replica
        })
        .await;
        replica
    }

    /// Begins to move a slot: from now on what is not at its old primary (any more) is asked of the new one.
    pub async fn begin_to_move(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        self.nodes[to].ask::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &self.ids[from]]).await;
        self.nodes[from].ask::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &self.ids[to]]).await;
    }

    /// Moves at most so many keys of a slot that is being moved, and answers how many there were.
    pub async fn move_keys(&self, slot: u16, from: usize, to: usize, most: usize) -> usize {
        let (slot, most) = (slot.to_string(), most.to_string());
        let keys: Vec<String> = self.nodes[from].ask(&["CLUSTER", "GETKEYSINSLOT", &slot, &most]).await;
        for key in &keys {
            let port = self.port_of(&self.nodes[to]).to_string();
            self.nodes[from].ask::<Value>(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]).await;
        }
        keys.len()
    }

    /// Ends the move: the slot is the new primary's.
    pub async fn end_the_move(&self, slot: u16, from: usize, to: usize) {
        let text = slot.to_string();
        let primaries = [to, from];
        for node in primaries {
            self.nodes[node].ask::<()>(&["CLUSTER", "SETSLOT", &text, "NODE", &self.ids[to]]).await;
        }
        self.until("all know where the slot is", async |all| all.primary_of(slot).await == to).await;
    }

    /// Asks until the answer is yes.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds(self).await {
            assert!(Instant::now() < until, "not in {PATIENCE:?}: {what}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where the others know it.
    fn port_of(&self, node: &RedisServer) -> u16 {
        if self.tls { node.tls_port() } else { node.port() }
    }

    /// How many nodes that one has shaken hands with, itself included.
    async fn known_by(&self, node: usize) -> usize {
        let nodes: String = self.nodes[node].ask(&["CLUSTER", "NODES"]).await;
        nodes.lines().filter(|line| self.ids.iter().any(|id| line.starts_with(id.as_str()))).count()
    }

    async fn primary_told_by(&self, node: &RedisServer, slot: u16) -> Option<usize> {
        let nodes: String = node.try_ask(&["CLUSTER", "NODES"]).await.ok()?;
        let holds = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse::<u16>().is_ok_and(|first| first <= slot) && last.parse::<u16>().is_ok_and(|last| slot <= last)
        };
        let line = nodes.lines().find(|line| line.contains("master") && line.split(' ').skip(8).any(holds))?;
        self.ids.iter().position(|id| line.starts_with(id.as_str()))
    }

    async fn is_whole(&self) -> bool {
        let mut replicas = HashMap::new();
        for node in self.nodes.iter().filter(|node| node.runs()) {
            let info: String = node.ask(&["CLUSTER", "INFO"]).await;
            if !info.contains("cluster_state:ok") || !info.contains("cluster_slots_ok:16384") {
                return false;
            }
            let info: String = node.ask(&["INFO", "replication"]).await;
            let has = |text: &str| info.lines().any(|line| line.starts_with(text));
            if has("role:slave") && !has("master_link_status:up") {
                return false;
            }
            replicas.insert(node.port(), info.matches("state=online").count());
        }
        let running = replicas.len();
        replicas.values().sum::<usize>() + 3 == running
    }
}

//! A cluster of three primaries with a replica each, or more.

use super::node::{Node, until, within};
use std::time::Duration;

/// How many slots a cluster has.
const SLOTS: u16 = 16_384;
/// How many primaries.
const PRIMARIES: usize = 3;

/// The deployment. Ends with its value.
pub struct Cluster {
    pub nodes: Vec<Node>,
    ids: Vec<String>,
    /// How many replicas each primary has.
    replicas: usize,
}

impl Cluster {
    /// Starts it with a replica for each primary.
    pub async fn start() -> Self {
        Self::start_with(1).await
    }

    /// Starts it with so many.
    pub async fn start_with(replicas: usize) -> Self {
        let configuration = "cluster-enabled yes\ncluster-node-timeout 1500\ncluster-replica-validity-factor 0\n";
        let (mut nodes, mut ids) = (Vec::new(), Vec::new());
        for _ in 0..PRIMARIES * (1 + replicas) {
            let node = Node::start(configuration).await;
            ids.push(node.ask::<String>(&["CLUSTER", "MYID"]).await);
            nodes.push(node);
        }
        let all = Self { nodes, ids, replicas };
        for (at, node) in all.nodes.iter().enumerate() {
            node.ask::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]).await;
            let bus = all.nodes[0].ask::<Vec<String>>(&["CONFIG", "GET", "cluster-port"]).await[1].clone();
            node.ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &all.nodes[0].port.to_string(), &bus]).await;
        }
        for (at, (first, last)) in [(0, 5_460), (5_461, 10_922), (10_923, SLOTS - 1)].into_iter().enumerate() {
            all.nodes[at].ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
        }
        for at in PRIMARIES..all.nodes.len() {
            until("nodes that know each other", async || {
                all.nodes[at].try_ask::<()>(&["CLUSTER", "REPLICATE", &all.ids[at % PRIMARIES]]).await.is_ok()
            })
            .await;
        }
        all.settled().await;
        all
    }

    /// The address for the service.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis+cluster://jeton:jeton@{}", hosts.join(","))
    }

    /// The slot of a key.
    pub async fn slot_of(&self, key: &str) -> u16 {
        let slot: i64 = self.nodes[0].ask(&["CLUSTER", "KEYSLOT", key]).await;
        u16::try_from(slot).unwrap()
    }

    /// Which node most call the primary of a slot, and a replica of it if it has one.
    pub async fn shard(&self, slot: u16) -> Option<(usize, Option<usize>)> {
        let mut votes = vec![0; self.nodes.len()];
        let mut replicas = vec![None; self.nodes.len()];
        for node in self.nodes.iter().filter(|node| node.runs()) {
            let Ok(table) = node.try_ask::<String>(&["CLUSTER", "NODES"]).await else { continue };
            let place = |id: &str| self.ids.iter().position(|known| known == id);
            for line in table.lines().filter(|line| !line.contains("fail")) {
                let words: Vec<&str> = line.split(' ').collect();
                let Some(at) = place(words[0]) else { continue };
                if words[2].contains("slave") {
                    if let Some(primary) = place(words[3]) {
                        replicas[primary] = Some(at);
                    }
                } else if words[8..].iter().any(|range| holds(range, slot)) {
                    votes[at] += 1;
                }
            }
        }
        let running = self.nodes.iter().filter(|node| node.runs()).count();
        let primary = votes.iter().position(|votes| *votes * 2 > running)?;
        Some((primary, replicas[primary]))
    }

    /// Makes a replica of a slot's primary the primary, in the way that `how` names. Answers from which to which.
    pub async fn fail_over(&self, slot: u16, how: &str) -> (usize, usize) {
        let mut shard = None;
        until("a shard with a replica", async || {
            shard = self.shard(slot).await.and_then(|(primary, replica)| Some((primary, replica?)));
            shard.is_some()
        })
        .await;
        let (primary, replica) = shard.unwrap();
        until("a replica that takes the order", async || {
            self.nodes[replica].try_ask::<()>(&["CLUSTER", "FAILOVER", how]).await.is_ok()
        })
        .await;
        self.failed_over(slot, primary).await;
        (primary, replica)
    }

    /// Waits until another than `before` is the slot's primary.
    pub async fn failed_over(&self, slot: u16, before: usize) {
        until("a failover", async || self.shard(slot).await.is_some_and(|(primary, _)| primary != before)).await;
    }

    /// Moves a slot with all its keys to another primary while it is in use. Answers how many keys it had.
    pub async fn move_slot(&self, slot: u16) -> usize {
        let (from, _) = self.shard(slot).await.expect("the slot is served");
        let mut to = from;
        until("another primary", async || {
            for other in (0..SLOTS).step_by(500) {
                if let Some((primary, _)) = self.shard(other).await
                    && primary != from
                {
                    to = primary;
                    return true;
                }
            }
            false
        })
        .await;
        let (slot, port) = (slot.to_string(), self.nodes[to].port.to_string());
        self.nodes[to].ask::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &self.ids[from]]).await;
        self.nodes[from].ask::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &self.ids[to]]).await;
        let mut moved = 0;
        loop {
            let keys: Vec<String> = self.nodes[from].ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "1"]).await;
            let Some(key) = keys.first() else { break };
            let answer: String =
                self.nodes[from].ask(&["MIGRATE", "127.0.0.1", &port, key, "0", "2000", "AUTH2", "admin", "admin"]).await;
            moved += usize::from(answer == "OK");
        }
        self.nodes[to].ask::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &self.ids[to]]).await;
        for node in self.nodes.iter().filter(|node| node.runs()) {
            // Replicas refuse it, and hear of it from their primaries.
            let _heard: Option<()> = node.try_ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &self.ids[to]]).await.ok();
        }
        moved
    }

    /// Waits until every primary has its replicas in step, and all agree on all slots.
    pub async fn settled(&self) {
        assert!(within(Duration::from_secs(60), async || self.is_settled().await).await, "the cluster did not find together");
    }

    async fn is_settled(&self) -> bool {
        let (known, replicas_each) = (format!("cluster_known_nodes:{}", self.nodes.len()), self.replicas.to_string());
        for node in &self.nodes {
            let Ok(info) = node.try_ask::<String>(&["CLUSTER", "INFO"]).await else { return false };
            let is = |text: &str| info.lines().any(|line| line == text);
            if !(is("cluster_state:ok") && is(&known) && is("cluster_size:3")) {
                return false;
            }
            let (role, link) = (node.info("role").await, node.info("master_link_status").await);
            let replicas = node.info("connected_slaves").await;
            let fits = if role.as_deref() == Some("master") {
                replicas == Some(replicas_each.clone())
            } else {
                link.as_deref() == Some("up")
            };
            if !fits {
                return false;
            }
        }
        true
    }
}

fn holds(range: &str, slot: u16) -> bool {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
}

#[tokio::test]
async fn slots_move_and_primaries_change_by_force() {
    let _turn = super::turn().await;
    let all = Cluster::start().await;
    let slot = all.slot_of("{log}").await;
    let (primary, _) = all.shard(slot).await.unwrap();
    for key in ["{log}:a", "{log}:b"] {
        all.nodes[primary].ask::<()>(&["SET", key, "1"]).await;
    }
    assert_eq!(all.move_slot(slot).await, 2);
    for how in ["FORCE", "TAKEOVER"] {
        let (from, to) = all.fail_over(slot, how).await;
        assert_ne!(from, to);
        all.settled().await;
    }
    let (primary, _) = all.shard(slot).await.unwrap();
    assert_eq!(all.nodes[primary].ask::<i64>(&["EXISTS", "{log}:a", "{log}:b"]).await, 2);
}

//! A primary with two replicas, watched by three sentinels.

use super::node::{Node, within};
use std::time::Duration;

/// The name by which sentinels know the primary.
pub const MASTER: &str = "jeton";

/// How long what takes several elections may take.
const LONG: Duration = Duration::from_secs(60);
/// How long an order to fail over may take before it is given again: longer than a Sentinel takes to give it up.
const ORDERED: Duration = Duration::from_secs(10);

/// How patient the sentinels are.
#[derive(Clone, Copy, Debug)]
pub struct Temper {
    pub down_after: Duration,
    pub failover_timeout: Duration,
}

/// Quick, and steady on a machine with little to spare.
pub const STEADY: Temper = Temper { down_after: Duration::from_millis(1_000), failover_timeout: Duration::from_secs(4) };
/// Takes a busy primary for a dead one.
pub const NERVOUS: Temper = Temper { down_after: Duration::from_millis(300), failover_timeout: Duration::from_secs(1) };

/// The deployment. Ends with its value.
pub struct Sentinels {
    pub nodes: Vec<Node>,
    pub sentinels: Vec<Node>,
}

impl Sentinels {
    /// Starts it; the clocks of its nodes are ahead by so many seconds, that of the first primary first.
    pub async fn start(temper: Temper, clocks: [i32; 3]) -> Self {
        let mut nodes = vec![Node::start_off("", clocks[0]).await];
        for clock in &clocks[1..] {
            nodes.push(Node::start_off(&format!("replicaof 127.0.0.1 {}\n", nodes[0].port), *clock).await);
        }
        let watch = format!(
            "sentinel monitor {MASTER} 127.0.0.1 {} 2\nsentinel auth-user {MASTER} sentinel\nsentinel auth-pass {MASTER} sentinel\n\
             sentinel down-after-milliseconds {MASTER} {}\nsentinel failover-timeout {MASTER} {}\n",
            nodes[0].port,
            temper.down_after.as_millis(),
            temper.failover_timeout.as_millis(),
        );
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            let sentinel = Node::start_sentinel(&watch).await;
            // They look around every ten seconds by default, which is patience that tests have not.
            let quick = ["info-period", "500", "publish-period", "300", "ask-period", "300"];
            // A pause of the machine of two seconds makes them do nothing for 30 (TILT), and then the replicas were without their primary
            // for so long that none is fit to be elected: a failover would never come.
            let undaunted = ["tilt-trigger", "600000"];
            sentinel.ask::<()>(&[&["SENTINEL", "DEBUG"], &quick[..], &undaunted].concat()).await;
            sentinels.push(sentinel);
        }
        let all = Self { nodes, sentinels };
        all.settled().await;
        all
    }

    /// The address for a service that asks the sentinels.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        format!("redis+sentinel://jeton:jeton@{}/{MASTER}", hosts.join(","))
    }

    /// Changes how patient the sentinels are.
    pub async fn be(&self, temper: Temper) {
        for sentinel in &self.sentinels {
            for (name, value) in [("down-after-milliseconds", temper.down_after), ("failover-timeout", temper.failover_timeout)] {
                sentinel.ask::<()>(&["SENTINEL", "SET", MASTER, name, &value.as_millis().to_string()]).await;
            }
        }
    }

    /// Which node most sentinels call the primary.
    pub async fn primary(&self) -> Option<usize> {
        let mut votes = vec![0; self.nodes.len()];
        for sentinel in &self.sentinels {
            let named: Option<(String, u16)> = sentinel.try_ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]).await.ok();
            if let Some(at) = named.and_then(|(_, port)| self.nodes.iter().position(|node| node.port == port)) {
                votes[at] += 1;
            }
        }
        votes.iter().position(|votes| *votes >= 2)
    }

    /// Waits until most sentinels name another primary than `before`, and it is one. Answers which.
    pub async fn failed_over(&self, before: usize) -> usize {
        let mut now = None;
        // A Sentinel that fails to be elected, or to make a replica primary, tries again after twice its `failover-timeout`.
        let came = within(LONG, async || {
            now = self.moved_from(before).await;
            now.is_some()
        })
        .await;
        assert!(came, "no failover in {LONG:?}:\n{}", self.logs());
        now.unwrap()
    }

    async fn moved_from(&self, before: usize) -> Option<usize> {
        let at = self.primary().await.filter(|at| *at != before)?;
        (self.nodes[at].info("role").await.as_deref() == Some("master")).then_some(at)
    }

    /// Fails over by hand, though nothing is wrong. Answers from which node to which.
    pub async fn fail_over(&self) -> (usize, usize) {
        let before = self.primary().await.expect("the sentinels agree");
        // It is refused while another is under way, and undone where a Sentinel still takes who is chosen for a former primary.
        let ordered = async || {
            let _refused = self.sentinels[0].try_ask::<()>(&["SENTINEL", "FAILOVER", MASTER]).await;
            within(ORDERED, async || self.moved_from(before).await.is_some()).await
        };
        let mut orders = 0;
        while !ordered().await {
            orders += 1;
            assert!(orders < 6, "{orders} orders and no failover:\n{}", self.logs());
        }
        (before, self.failed_over(before).await)
    }

    /// Waits until one primary has all others as its replicas, in step with it, and all sentinels know all of it. Answers which it is: a
    /// Sentinel whose order was late may have chosen another meanwhile.
    pub async fn settled(&self) -> usize {
        let mut primary = None;
        let came = within(LONG, async || {
            primary = self.settled_on().await;
            primary.is_some()
        })
        .await;
        assert!(came, "in {LONG:?} primary, replicas and sentinels did not find together:\n{}", self.logs());
        primary.unwrap()
    }

    /// How the logs of all end.
    fn logs(&self) -> String {
        self.nodes.iter().chain(&self.sentinels).map(|node| format!("port {}:\n{}", node.port, last_lines(&node.log()))).collect()
    }

    async fn settled_on(&self) -> Option<usize> {
        let primary = self.primary().await?;
        for (at, node) in self.nodes.iter().enumerate() {
            let (field, expected) = if at == primary { ("connected_slaves", "2") } else { ("master_link_status", "up") };
            if node.info(field).await.as_deref() != Some(expected) {
                return None;
            }
        }
        let offset = self.nodes[primary].info("master_repl_offset").await;
        let offset = offset.and_then(|offset| offset.parse::<u64>().ok())?;
        for (_, node) in self.nodes.iter().enumerate().filter(|(at, _)| *at != primary) {
            let behind = node.info("master_repl_offset").await.and_then(|offset| offset.parse::<u64>().ok());
            if behind.is_none_or(|behind| behind + 1_000_000 < offset) {
                return None;
            }
        }
        for sentinel in &self.sentinels {
            let known: Vec<String> = sentinel.try_ask(&["SENTINEL", "MASTER", MASTER]).await.unwrap_or_default();
            let field = |name: &str| known.iter().position(|word| word == name).and_then(|at| known.get(at + 1));
            let is = |name: &str, value: &str| field(name).is_some_and(|found| found == value);
            if !(is("num-slaves", "2") && is("num-other-sentinels", "2") && is("flags", "master")) {
                return None;
            }
        }
        Some(primary)
    }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    format!("{}\n--\n", lines[lines.len().saturating_sub(12)..].join("\n"))
}

#[tokio::test]
async fn an_isolated_primary_stays_one_while_another_is_elected() {
    let _turn = super::turn().await;
    let all = Sentinels::start(STEADY, [0; 3]).await;
    // `WAIT` speaks of what its own connection wrote.
    let mut connection = all.nodes[0].connection().await;
    let () = redis::cmd("SET").arg("before").arg(1).query_async(&mut connection).await.unwrap();
    let everywhere: u32 = redis::cmd("WAIT").arg(2).arg(0).query_async(&mut connection).await.unwrap();
    assert_eq!(everywhere, 2, "both replicas have what was written before");
    drop(connection);
    all.nodes[0].isolate().await;
    let next = all.failed_over(0).await;
    assert_eq!(all.nodes[0].info("role").await.as_deref(), Some("master"), "nobody told it");
    all.nodes[0].ask::<()>(&["SET", "lost", "1"]).await;
    all.nodes[next].ask::<()>(&["SET", "kept", "1"]).await;
    all.nodes[0].rejoin().await;
    all.settled().await;
    let kept: Vec<i64> = vec![
        all.nodes[0].ask(&["EXISTS", "before"]).await,
        all.nodes[0].ask(&["EXISTS", "lost"]).await,
        all.nodes[0].ask(&["EXISTS", "kept"]).await,
    ];
    assert_eq!(kept, [1, 0, 1], "what it alone had is gone");
    let (from, to) = all.fail_over().await;
    assert_ne!(from, to);
}

#[tokio::test]
async fn sentinels_that_stood_still_fail_over_all_the_same() {
    let _turn = super::turn().await;
    let mut all = Sentinels::start(STEADY, [0; 3]).await;
    for sentinel in &all.sentinels {
        sentinel.pause().await;
    }
    // Longer than what makes them do nothing by default. It is by time that they notice.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for sentinel in &all.sentinels {
        sentinel.resume().await;
    }
    all.nodes[0].kill().await;
    assert_ne!(all.failed_over(0).await, 0);
}

#[tokio::test]
async fn a_process_has_a_clock_that_is_off() {
    if !super::clock_offset::is_possible() {
        eprintln!("no clock can be set off here: `cc` and Linux are needed");
        return;
    }
    let (here, ahead) = (Node::start("").await, Node::start_off("", 90).await);
    let (now, _): (i64, i64) = here.ask(&["TIME"]).await;
    let (then, _): (i64, i64) = ahead.ask(&["TIME"]).await;
    assert!((85..=95).contains(&(then - now)), "{now} {then}");
}

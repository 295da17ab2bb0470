//! A Sentinel deployment for tests: a primary, two replicas, three Sentinels, all on loopback. No tests here.

use crate::redis_server::RedisServer;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The name the Sentinels know the primary by.
pub const NAME: &str = "jeton";

/// How long anything may take that should happen by itself; a machine that is busy with other tests included.
const PATIENCE: Duration = Duration::from_secs(40);
/// Shorter ones flap on a busy machine and make two primaries.
const DOWN_AFTER: Duration = Duration::from_millis(1_500);

/// Three nodes with data, of which the Sentinels make one the primary; the first one to begin with.
pub struct RedisSentinel {
    /// The nodes with data.
    pub nodes: Vec<RedisServer>,
    /// Who watch them; two agree that the primary is down.
    pub sentinels: Vec<RedisServer>,
}

impl RedisSentinel {
    /// Starts them all; the replicas are in step and the Sentinels know of each other.
    pub async fn start() -> Self {
        Self::start_with(&[], DOWN_AFTER).await
    }

    /// The same with options for the nodes with data, and after which silence a Sentinel takes one to be down.
    pub async fn start_with(options: &[&str], down_after: Duration) -> Self {
        let common = ["--repl-diskless-sync-delay", "0"];
        let first = RedisServer::start_with(&[&common, options].concat()).await;
        let port = first.port().to_string();
        let replica = [&common[..], &["--replicaof", "127.0.0.1", &port], options].concat();
        let (second, third) = tokio::join!(RedisServer::start_with(&replica), RedisServer::start_with(&replica));
        let deployment = Self { nodes: vec![first, second, third], sentinels: Vec::new() };
        deployment.until("the replicas are in step", async |all| all.replicas_of(0).await == 2).await;

        let watch = [
            format!("sentinel monitor {NAME} 127.0.0.1 {port} 2"),
            format!("sentinel down-after-milliseconds {NAME} {}", down_after.as_millis()),
            format!("sentinel failover-timeout {NAME} {}", 4 * down_after.as_millis()),
            format!("sentinel parallel-syncs {NAME} 2"),
        ];
        let start = || RedisServer::start_sentinel(watch.join("\n"));
        let (one, two, three) = tokio::join!(start(), start(), start());
        let deployment = Self { sentinels: vec![one, two, three], ..deployment };
        for sentinel in &deployment.sentinels {
            // A pause of the machine of two seconds makes them do nothing for 30 (TILT).
            sentinel.ask::<()>(&["SENTINEL", "DEBUG", "tilt-trigger", "600000"]).await;
        }
        deployment.until("the Sentinels know of each other and of the replicas", async |all| all.is_complete().await).await;
        deployment
    }

    /// The address, for `Redis::connect`.
    pub fn url(&self) -> String {
        self.url_of("")
    }

    /// The address with what stands before the `@`: `user:password@`.
    pub fn url_of(&self, login: &str) -> String {
        let places: Vec<String> = self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port())).collect();
        format!("redis+sentinel://{login}{}/{NAME}", places.join(","))
    }

    /// Which of the nodes a Sentinel names as the primary.
    pub async fn named_by(&self, sentinel: usize) -> usize {
        let (_, port): (String, u16) = self.sentinels[sentinel].ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]).await;
        self.nodes.iter().position(|node| node.port() == port).expect("it names one of the nodes")
    }

    /// Which of the nodes is the primary: all Sentinels that run name it, and it says so itself.
    pub async fn primary(&self) -> usize {
        let mut agreed = None;
        self.until("the Sentinels agree on a primary", async |all| {
            let mut named = Vec::new();
            for sentinel in (0..all.sentinels.len()).filter(|&sentinel| all.sentinels[sentinel].runs()) {
                named.push(all.named_by(sentinel).await);
            }
            agreed = named.first().copied().filter(|first| named.iter().all(|other| other == first));
            match agreed {
                Some(node) if all.nodes[node].runs() => all.nodes[node].info("replication", "role").await == "master",
                _ => false,
            }
        })
        .await;
        agreed.expect("they agree")
    }

    /// Waits until another node than that is the primary, and answers which.
    pub async fn primary_after(&self, old: usize) -> usize {
        self.until("another primary is named", async |all| all.primary().await != old).await;
        self.primary().await
    }

    /// Makes the Sentinels choose another primary while the old one lives, and answers which.
    pub async fn fail_over(&self) -> usize {
        let old = self.primary().await;
        self.sentinels[0].ask::<()>(&["SENTINEL", "FAILOVER", NAME]).await;
        self.primary_after(old).await
    }

    /// How many replicas of that node are in step with it.
    pub async fn replicas_of(&self, node: usize) -> usize {
        let info: String = self.nodes[node].ask(&["INFO", "replication"]).await;
        info.lines().filter(|line| line.starts_with("slave") && line.contains("state=online")).count()
    }

    /// Asks until the answer is yes.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds(self).await {
            assert!(Instant::now() < until, "not in {PATIENCE:?}: {what}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn is_complete(&self) -> bool {
        for sentinel in &self.sentinels {
            if !sentinel.info("sentinel", "master0").await.ends_with("slaves=2,sentinels=3") {
                return false;
            }
        }
        true
    }
}

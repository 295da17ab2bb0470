//! N7: a Redis with too little memory, under each policy.

use super::fleet::{Fleet, Settings};
use super::load::USUAL;
use super::node::{Node, until};
use super::run::{APPLIED, REPLICATED, Run, Terms};
use std::time::Duration;

const EVICTING: [&str; 7] =
    ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl", "allkeys-lru", "allkeys-lfu", "allkeys-random"];

/// A policy that drops revocations is not served on, and the operator is told which it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_replica_is_ready_under_a_policy_that_evicts() {
    let _turn = super::turn().await;
    let redis = Node::start("maxmemory 24mb\n").await;
    let fleet = Fleet::start(Settings { stores: vec![redis.url(); 2], ..Settings::default() }).await;
    for policy in EVICTING {
        redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", policy]).await;
        for at in 0..fleet.len() {
            until("it is not ready, and says why", async || {
                let said = fleet.readiness(at).await;
                said.starts_with("HTTP/1.1 503") && said.contains(policy)
            })
            .await;
        }
        redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
        fleet.ready().await;
    }
}

/// Full under `noeviction`: nothing is acknowledged that is not there, nothing that is there goes, and it recovers by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_loses_nothing() {
    let _turn = super::turn().await;
    let redis = Node::start("maxmemory 24mb\nmaxmemory-policy noeviction\n").await;
    let settings = Settings { stores: vec![redis.url(); 3], ..Settings::default() };
    let terms = Terms { durability: APPLIED.durability, ..REPLICATED };
    let mut run = Run::start("N7 memory", terms, settings, USUAL, 7).await;
    for round in 0..2 {
        let mut filled = 0;
        let mut connection = redis.connection().await;
        for bytes in [1 << 18, 1 << 13, 1 << 6] {
            let value = vec![0_u8; bytes];
            let mut fill = async |at: usize| {
                redis::cmd("SET").arg(format!("filling-{at}")).arg(&value).exec_async(&mut connection).await.is_ok()
            };
            while fill(filled).await {
                filled += 1;
            }
        }
        assert!(filled > 0, "in round {round} there was no memory to fill");
        run.injected("times out of memory");
        is_told(&run).await;
        run.lasting(Duration::from_secs(2)).await;
        let keys: Vec<String> = (0..filled).map(|at| format!("filling-{at}")).collect();
        let words: Vec<&str> = std::iter::once("UNLINK").chain(keys.iter().map(String::as_str)).collect();
        redis.ask::<i64>(&words).await;
        run.revocations(50).await;
    }
    run.conclude().await.is_kept();
}

/// It is ready, for it introspects; what is the matter and what to do, it says in words and as a number.
async fn is_told(run: &Run) {
    let full = |line: &str| line.strip_prefix("jeton_store_memory_used ").is_some_and(|used| used.parse::<f64>().unwrap() > 0.99);
    for at in 0..run.fleet.len() {
        until("that memory is full", async || {
            let said = run.fleet.readiness(at).await;
            said.starts_with("HTTP/1.1 200") && said.contains("no memory left") && said.contains("raise its maxmemory")
        })
        .await;
        until("it is measured", async || run.fleet.metrics(at).await.lines().any(full)).await;
    }
}

//! N10: the store is emptied under the service: by `FLUSHALL`, by a primary that restarts with nothing, and where only the log is gone.

use super::fleet::Settings;
use super::load::USUAL;
use super::node::{Node, until};
use super::run::{APPLIED, REPLICATED, Run, Terms};
use super::sentinels::{STEADY, Sentinels};
use std::time::Duration;

/// Grants and keys are gone, so nobody stays signed in; what was revoked stays dead all the same.
const EMPTIED: Terms = Terms { records_kept: false, ..APPLIED };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_revoked_stays_dead_in_a_store_that_was_emptied() {
    let _turn = super::turn().await;
    let mut redis = Node::start("").await;
    let settings = Settings { stores: vec![redis.url(); 3], ..Settings::default() };
    let mut run = Run::start("N10 emptied", EMPTIED, settings, USUAL, 10).await;
    for flushes in [true, false] {
        if flushes {
            redis.ask::<()>(&["FLUSHALL"]).await;
            run.injected("FLUSHALL");
        } else {
            redis.restart().await;
            run.injected("empty restarts");
        }
        run.lasting(Duration::from_secs(2)).await;
        run.revive().await;
        run.revocations(50).await;
        is_told(&run).await;
    }
    run.conclude().await.is_kept();
}

/// As where the shard of a cluster that holds the log was emptied: grants and keys live, and all that was revoked must be put back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_gone_is_put_back() {
    let _turn = super::turn().await;
    let redis = Node::start("").await;
    let settings = Settings { stores: vec![redis.url(); 3], ..Settings::default() };
    the_log_alone("N10 the log alone, applied", APPLIED, settings, &redis).await;
    let redis = Sentinels::start(STEADY, [0; 3]).await;
    let variables = vec![("JETON_REDIS_REPLICAS".into(), "2".into())];
    let settings = Settings { stores: vec![redis.url(); 3], variables, ..Settings::default() };
    the_log_alone("N10 the log alone, replicated", REPLICATED, settings, &redis.nodes[0]).await;
}

async fn the_log_alone(name: &'static str, terms: Terms, settings: Settings, primary: &Node) {
    let mut run = Run::start(name, terms, settings, USUAL, 11).await;
    run.revocations(200).await;
    let before = run.caller.now();
    let keys: Vec<String> = primary.ask(&["KEYS", "jeton:{log}*"]).await;
    let words: Vec<&str> = std::iter::once("DEL").chain(keys.iter().map(String::as_str)).collect();
    primary.ask::<i64>(&words).await;
    run.mark("the log is gone");
    run.injected("logs emptied");
    run.revocations(100).await;
    is_told(&run).await;
    let judged = run.conclude().await;
    judged.is_kept();
    assert!(judged.survivors(before) > 0, "nothing from before is active: nothing could have come back to life");
}

/// Every replica counts that its place in the log was gone.
async fn is_told(run: &Run) {
    let tells = |line: &str| line.starts_with("jeton_store_calls_total") && line.contains("\"gap\"") && !line.ends_with(" 0");
    for at in 0..run.fleet.len() {
        until("the loss is told", async || run.fleet.metrics(at).await.lines().any(tells)).await;
    }
}

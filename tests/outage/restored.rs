//! N11: one shard of a cluster is restored from a backup, and not the log's: what ended since, and is in no log any more, lives there.

use super::cluster::Cluster;
use super::fleet::Settings;
use super::load::USUAL;
use super::node::{until, within};
use super::run::{REPLICATED, Run, Terms};
use std::time::Duration;

const WITNESSED: &str = "jeton:{log}:witnessed";
/// So many rounds are believed.
const ROUNDS: usize = 6;
/// What was written after the newer copy is gone with the older one.
const RESTORED: Terms = Terms { records_kept: false, ..REPLICATED };

struct Stage {
    redis: Cluster,
    run: Run,
    log: usize,
}

impl Stage {
    async fn start() -> Self {
        let redis = Cluster::start().await;
        let variables = vec![("JETON_REDIS_REPLICAS".into(), "1".into())];
        let settings = Settings { stores: vec![redis.url(); 3], variables, ..Settings::default() };
        let run = Run::start("N11 a shard restored", RESTORED, settings, USUAL, 111).await;
        let (log, _) = redis.shard(redis.slot_of("{log}").await).await.unwrap();
        Self { redis, run, log }
    }

    async fn witnessed(&self, field: &str) -> Option<String> {
        self.redis.nodes[self.log].ask(&["HGET", WITNESSED, field]).await
    }

    /// Lets every slot be told what was settled, now and not in ten minutes.
    async fn round(&self) {
        self.run.revocations(20).await;
        let before = self.witnessed("places").await;
        // One that was spoilt would be tried again in ten minutes.
        until("a round through all slots", async || {
            self.redis.nodes[self.log].ask::<i64>(&["HDEL", WITNESSED, "at"]).await;
            within(Duration::from_secs(4), async || self.witnessed("places").await != before).await
        })
        .await;
    }

    /// That shard comes back with these data, and its replica after it.
    async fn restart(&mut self, shard: (usize, usize), saved: &[u8]) {
        let (primary, replica) = shard;
        self.redis.nodes[replica].kill().await;
        self.redis.nodes[primary].kill().await;
        self.redis.nodes[primary].restore(saved);
        self.redis.nodes[primary].restart().await;
        self.redis.nodes[replica].restart().await;
        self.redis.settled().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_is_restored_alone_brings_nothing_back() {
    let _turn = super::turn().await;
    let mut stage = Stage::start().await;
    until("a first round", async || stage.witnessed("sure").await.is_some()).await;
    let mut shard = None;
    for slot in (0..16_384).step_by(1_000) {
        shard = stage.redis.shard(slot).await.filter(|(primary, _)| *primary != stage.log).or(shard);
    }
    let (primary, replica) = shard.and_then(|(primary, replica)| Some((primary, replica?))).unwrap();
    let older = stage.redis.nodes[primary].saved().await;
    for _ in 0..=ROUNDS {
        stage.round().await;
    }
    let newer = stage.redis.nodes[primary].saved().await;
    stage.run.mark("restores");
    stage.restart((primary, replica), &older).await;
    stage.run.injected("shards restored from a backup");
    let told = format!("127.0.0.1:{} was emptied, or restored", stage.redis.nodes[primary].port);
    for at in 0..stage.run.fleet.len() {
        until("the restore is told", async || {
            let said = stage.run.fleet.readiness(at).await;
            said.starts_with("HTTP/1.1 503") && said.contains(&told)
        })
        .await;
    }
    stage.run.lasting(Duration::from_secs(2)).await;
    stage.run.mark("puts the newer copy in its place");
    stage.restart((primary, replica), &newer).await;
    stage.run.revive().await;
    stage.run.fleet.ready().await;
    stage.run.revocations(20).await;
    stage.run.conclude().await.is_kept();
}

//! N6: a cluster whose primaries change by force, and whose slots move, the log's slot among them; with more than one replica a shard, too.

use super::cluster::Cluster;
use super::fleet::Settings;
use super::load::{Dice, USUAL};
use super::node::Node;
use super::run::{Judged, REPLICATED, Run};
use std::time::Duration;

/// The slot that the log is in.
const LOG: &str = "{log}";

struct Stage {
    redis: Cluster,
    run: Run,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Force,
    TakeOver,
    Kill,
    Reshard,
}

const FAULTS: [Fault; 4] = [Fault::Reshard, Fault::Force, Fault::TakeOver, Fault::Kill];

impl Stage {
    async fn start(name: &'static str, seed: u64) -> Self {
        Self::start_with(name, 1, seed).await
    }

    async fn start_with(name: &'static str, replicas: usize, seed: u64) -> Self {
        let redis = Cluster::start_with(replicas).await;
        let variables = vec![("JETON_REDIS_REPLICAS".into(), replicas.to_string())];
        let settings = Settings { stores: vec![redis.url(); 3], variables, clocks: Vec::new() };
        let run = Run::start(name, REPLICATED, settings, USUAL, seed).await;
        Self { redis, run }
    }

    async fn inject(&mut self, fault: Fault, key: &str) {
        let Self { redis, run } = self;
        let slot = redis.slot_of(key).await;
        match fault {
            Fault::Force => {
                redis.fail_over(slot, "FORCE").await;
                run.injected("failovers by force");
            }
            Fault::TakeOver => {
                redis.fail_over(slot, "TAKEOVER").await;
                run.injected("takeovers");
            }
            Fault::Kill => {
                let (primary, _) = redis.shard(slot).await.expect("the slot is served");
                redis.nodes[primary].kill().await;
                redis.failed_over(slot, primary).await;
                run.lasting(Duration::from_millis(500)).await;
                redis.nodes[primary].restart().await;
                run.injected("primaries killed");
            }
            Fault::Reshard => {
                let keys = redis.move_slot(slot).await;
                run.injected_many("keys moved under load", keys);
                run.injected("slots moved");
            }
        }
        run.lasting(Duration::from_millis(500)).await;
        redis.settled().await;
        run.revive().await;
        run.revocations(20).await;
    }

    async fn conclude(self) -> Judged {
        let nodes: Vec<&Node> = self.redis.nodes.iter().collect();
        self.run.conclude_on(&nodes).await
    }

    /// Slots in which there is something now.
    async fn some_slots(&self, dice: &mut Dice) -> String {
        let at = usize::try_from(dice.below(6)).unwrap();
        self.redis.nodes[at].try_ask::<Option<String>>(&["RANDOMKEY"]).await.ok().flatten().unwrap_or_else(|| LOG.into())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_changes_its_primaries_and_moves_its_slots_keeps_every_promise() {
    let _turn = super::turn().await;
    let mut stage = Stage::start("N6 cluster", 6).await;
    let mut dice = Dice::new(6);
    for _ in 0..5 {
        let key = stage.some_slots(&mut dice).await;
        stage.inject(Fault::Reshard, &key).await;
    }
    for fault in FAULTS {
        stage.inject(fault, LOG).await;
    }
    stage.conclude().await.is_kept();
}

/// Any of them may be elected, and all have acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_with_two_replicas_a_shard_keeps_every_promise() {
    let _turn = super::turn().await;
    let mut stage = Stage::start_with("N6 two replicas a shard", 2, 61).await;
    let mut dice = Dice::new(61);
    for fault in [Fault::Kill, Fault::TakeOver] {
        let key = stage.some_slots(&mut dice).await;
        stage.inject(fault, &key).await;
        stage.inject(fault, LOG).await;
    }
    stage.conclude().await.is_kept();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes hours: `make soak`"]
async fn soak_cluster() {
    for round in 0..super::rounds() {
        let _turn = super::turn().await;
        let mut dice = Dice::new(round);
        let mut stage = Stage::start("soak N6 cluster", 6_000 + round).await;
        for _ in 0..10 {
            let key = if dice.one_in(2) { LOG.into() } else { stage.some_slots(&mut dice).await };
            let fault = FAULTS[usize::try_from(dice.below(4)).unwrap()];
            stage.inject(fault, &key).await;
        }
        stage.conclude().await.is_kept();
    }
}

//! N1 to N5: a primary dies, is cut off, is replaced by hand, comes back from the dead, or is taken for dead again and again.

use super::fleet::Settings;
use super::load::{Dice, USUAL};
use super::node::Node;
use super::run::{APPLIED, Judged, REPLICATED, Run, Terms};
use super::sentinels::{NERVOUS, STEADY, Sentinels};
use jeton::api::Durability;
use std::time::Duration;

/// A fault of a Sentinel deployment. Each ends with all nodes in step.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// N1: kill -9 of the primary, which comes back empty when another was elected.
    Kill,
    /// N2: the primary is cut off from its replicas and the sentinels, not from the service.
    Partition,
    /// N3: `SENTINEL FAILOVER`, while nothing is wrong.
    ByHand,
    /// N4: the primary stands still until another was elected, then goes on.
    Zombie,
    /// N5: impatient sentinels, and a primary that is slow again and again.
    Flapping,
}

const FAULTS: [Fault; 5] = [Fault::ByHand, Fault::Kill, Fault::Partition, Fault::Zombie, Fault::Flapping];

/// The deployment with a fleet of three on it.
struct Stage {
    redis: Sentinels,
    run: Run,
    /// The third replica of the service knows one address only, and ignores every failover. What such a one alone has seen is gone when it
    /// is killed in the end.
    has_stubborn: bool,
}

/// Grants wait for no replica either, so that a failover may end them.
const ONLY_APPLIED: Terms = Terms { records_kept: false, ..APPLIED };

impl Stage {
    async fn start(name: &'static str, terms: Terms, clocks: [i32; 3], seed: u64) -> Self {
        let redis = Sentinels::start(STEADY, clocks).await;
        let has_stubborn = terms.durability == Durability::Replicated;
        let replicas = if has_stubborn { "2" } else { "0" };
        let settings = Settings {
            stores: vec![redis.url(); 3],
            variables: vec![("JETON_REDIS_REPLICAS".into(), replicas.into())],
            clocks: Vec::new(),
        };
        let run = Run::start(name, terms, settings, USUAL, seed).await;
        Self { redis, run, has_stubborn }
    }

    async fn conclude(self) -> Judged {
        let nodes: Vec<&Node> = self.redis.nodes.iter().chain(&self.redis.sentinels).collect();
        self.run.conclude_on(&nodes).await
    }

    /// Injects one fault; `kills` says that every replica of the service dies at the moment when another primary is elected.
    async fn inject(&mut self, fault: Fault, kills: bool) {
        let Self { redis, run, has_stubborn } = self;
        let before = redis.primary().await.expect("the sentinels agree");
        if *has_stubborn {
            // On the primary that is about to go.
            run.fleet.move_to(2, redis.nodes[before].url());
            run.fleet.restart(2).await;
        }
        run.revocations(20).await;
        run.mark(format!("{fault:?} at node {before}, port {}", redis.nodes[before].port));
        match fault {
            Fault::Kill => {
                redis.nodes[before].kill().await;
                redis.failed_over(before).await;
                run.injected("primaries killed");
            }
            Fault::Partition => {
                redis.nodes[before].isolate().await;
                redis.failed_over(before).await;
                run.injected("partitions");
                run.lasting(Duration::from_secs(2)).await;
            }
            Fault::ByHand => {
                redis.fail_over().await;
                run.injected("failovers by hand");
            }
            Fault::Zombie => {
                redis.nodes[before].pause().await;
                redis.failed_over(before).await;
                run.lasting(3 * STEADY.down_after).await;
                run.mark("resumes");
                redis.nodes[before].resume().await;
                run.injected("zombies");
            }
            Fault::Flapping => {
                redis.be(NERVOUS).await;
                for _ in 0..6 {
                    let Some(now) = redis.primary().await else { continue };
                    redis.nodes[now].pause().await;
                    run.lasting(Duration::from_millis(450)).await;
                    redis.nodes[now].resume().await;
                    run.lasting(Duration::from_millis(300)).await;
                }
                redis.be(STEADY).await;
                run.injected("storms of failovers");
            }
        }
        run.mark("failed over");
        if kills {
            run.kill_the_fleet().await;
        }
        run.lasting(Duration::from_millis(500)).await;
        if redis.nodes[before].runs() {
            redis.nodes[before].rejoin().await;
        } else {
            if *has_stubborn {
                // It comes back empty, and for a moment as a primary: nobody may be sent there by hand.
                run.fleet.move_to(2, redis.url());
                run.fleet.restart(2).await;
            }
            redis.nodes[before].restart().await;
        }
        run.mark("rejoined");
        redis.settled().await;
        run.mark("settled");
        if *has_stubborn {
            // It is lost on what is a replica now.
            run.fleet.move_to(2, redis.url());
            run.fleet.kill(2).await;
        }
        run.revive().await;
        run.revocations(20).await;
    }
}

/// What all replicas of Redis acknowledged is never lost, whatever becomes of the service's own replicas.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_all_replicas_acknowledged_survives_every_failover() {
    let _turn = super::turn().await;
    let mut stage = Stage::start("N1-N5, replicated", REPLICATED, [0; 3], 1).await;
    for fault in FAULTS {
        stage.inject(fault, false).await;
    }
    stage.run.sweep().await;
    stage.inject(Fault::Partition, true).await;
    stage.conclude().await.is_kept();
}

/// What only the primary had survives its death, because replicas of the service have seen it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_living_replica_has_seen_is_put_back() {
    let _turn = super::turn_alone().await;
    let mut stage = Stage::start("N1, applied", ONLY_APPLIED, [0; 3], 2).await;
    for _ in 0..2 {
        stage.inject(Fault::Kill, false).await;
    }
    stage.conclude().await.is_kept();
}

/// N9: the clocks of the three nodes are a minute and a half apart on either side, so that every failover jumps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_of_redis_that_are_off_by_ninety_seconds_change_nothing() {
    let _turn = super::turn().await;
    if !super::clock_offset::is_possible() {
        super::summary::say("no clock of a Redis node can be set off here: Linux and `cc` are needed");
        return;
    }
    let mut stage = Stage::start("N9 clocks of the nodes", REPLICATED, [0, 90, -90], 3).await;
    // A replica that starts in between takes the clock that it finds, and judges windows by another than those that went on.
    stage.has_stubborn = false;
    for fault in [Fault::Kill, Fault::ByHand, Fault::ByHand] {
        stage.inject(fault, false).await;
    }
    stage.run.injected("clocks off");
    stage.conclude().await.is_kept();
}

/// The long form: faults in a random order, in runs that are short enough to be judged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes hours: `make soak`"]
async fn soak_failovers() {
    for round in 0..super::rounds() {
        let _turn = super::turn_alone().await;
        let mut dice = Dice::new(round);
        let mut stage = Stage::start("soak N1-N5, replicated", REPLICATED, [0; 3], 1_000 + round).await;
        for _ in 0..10 {
            let fault = FAULTS[usize::try_from(dice.below(5)).unwrap()];
            stage.inject(fault, dice.one_in(3)).await;
        }
        stage.conclude().await.is_kept();
        let mut stage = Stage::start("soak N1, applied", ONLY_APPLIED, [0; 3], 2_000 + round).await;
        for _ in 0..5 {
            stage.inject(Fault::Kill, false).await;
        }
        stage.conclude().await.is_kept();
    }
}

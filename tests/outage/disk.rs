//! N8: a Redis whose disk is full: its append-only file, flushed now and then or always, or its saves.

use super::fleet::Settings;
use super::history::{Freshness, Outcome, Target};
use super::load::USUAL;
use super::node::{Node, until};
use super::run::{APPLIED, REPLICATED, Run, Terms};

/// Acknowledged by the primary alone, and yet nothing is lost.
const KEPT: Terms = Terms { durability: APPLIED.durability, ..REPLICATED };

async fn run(name: &'static str, terms: Terms, redis: &Node, seed: u64) -> Run {
    let settings = Settings { stores: vec![redis.url(); 3], ..Settings::default() };
    Run::start(name, terms, settings, USUAL, seed).await
}

/// Nothing is acknowledged, in words that say why; then nothing is answered either, for nothing proves the view fresh.
async fn is_refused(run: &mut Run, because: &str) {
    run.injected("disks full");
    for at in 0..run.fleet.len() {
        until("it is not ready, and says what to do", async || {
            let said = run.fleet.readiness(at).await;
            said.starts_with("HTTP/1.1 503") && said.contains(because) && said.contains("make room on its disk")
        })
        .await;
        let revoked = run.caller.revoke(at, Target::Subject("nobody".into()), None).await;
        let newest = {
            let history = run.caller.recorder.history();
            assert_eq!(history.revocations[revoked].outcome, Outcome::Unknown("STORE_UNAVAILABLE".into()));
            history.tokens.len() - 1
        };
        for freshness in [Freshness::Full, Freshness::Default] {
            until("what nothing proves fresh is not answered", async || {
                run.caller.introspect(at, &[newest], freshness).await.is_none()
            })
            .await;
        }
    }
}

/// It goes on by itself, also without a restart of Redis.
async fn recovers(run: &Run) {
    run.fleet.ready().await;
    run.revocations(50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_and_there_is_room_again() {
    let _turn = super::turn().await;
    let redis = Node::start("appendonly yes\nappendfsync everysec\n").await;
    let mut run = run("N8 append-only file", KEPT, &redis, 8).await;
    for _ in 0..2 {
        redis.fill_disk().await;
        is_refused(&mut run, "cannot write its append-only file").await;
        redis.make_room().await;
        recovers(&run).await;
    }
    run.conclude_on(&[&redis]).await.is_kept();
}

/// It ends rather than acknowledge what is not on its disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_ends_since_its_disk_is_full_has_lost_nothing() {
    let _turn = super::turn().await;
    let mut redis = Node::start("appendonly yes\nappendfsync always\n").await;
    let mut run = run("N8 append-only file, flushed always", KEPT, &redis, 9).await;
    redis.fill_disk().await;
    until("it ends", async || redis.has_ended()).await;
    run.injected("disks full");
    redis.restart().await;
    recovers(&run).await;
    run.conclude_on(&[&redis]).await.is_kept();
}

/// What it acknowledged in the moment in which its disk was full is gone with it: records of grants too. What was revoked is put back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_dies_with_a_full_disk_brings_nothing_back_to_life() {
    let _turn = super::turn().await;
    let mut redis = Node::start("appendonly yes\nappendfsync everysec\n").await;
    let mut run = run("N8 killed with a full disk", Terms { records_kept: false, ..APPLIED }, &redis, 10).await;
    redis.fill_disk().await;
    is_refused(&mut run, "cannot write its append-only file").await;
    run.injected("primaries killed");
    redis.restart().await;
    recovers(&run).await;
    run.conclude_on(&[&redis]).await.is_kept();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_that_fails_loses_nothing() {
    let _turn = super::turn().await;
    let redis = Node::start("").await;
    redis.ask::<()>(&["CONFIG", "SET", "save", "1 1"]).await;
    let mut run = run("N8 saves", KEPT, &redis, 11).await;
    redis.fill_disk().await;
    is_refused(&mut run, "could not save its data").await;
    redis.make_room().await;
    recovers(&run).await;
    run.conclude_on(&[&redis]).await.is_kept();
}

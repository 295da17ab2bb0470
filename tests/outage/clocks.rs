//! N9: replicas of the service whose clocks are off, in both directions. Those of the nodes are in `failovers`.

use super::fleet::Settings;
use super::history::{Freshness, Outcome};
use super::load::USUAL;
use super::node::Node;
use super::run::{APPLIED, REPLICATED, Run, Terms};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_whose_clocks_are_off_by_ninety_seconds_keep_every_promise() {
    let _turn = super::turn().await;
    if !super::clock_offset::is_possible() {
        super::summary::say("no clock of a replica can be set off here: Linux and `cc` are needed");
        return;
    }
    let redis = Node::start("").await;
    let settings = Settings { stores: vec![redis.url(); 3], clocks: vec![90, -90, 0], ..Settings::default() };
    let terms = Terms { durability: APPLIED.durability, ..REPLICATED };
    let mut run = Run::start("N9 clocks of the replicas", terms, settings, USUAL, 9).await;
    run.injected_many("clocks off", 2);
    run.lasting(Duration::from_secs(3)).await;
    // All tell the time of the store: who made a token and who reads it agree on when it ends.
    let (now, _): (i64, i64) = redis.ask(&["TIME"]).await;
    let newest = run.caller.recorder.history().introspections.iter().rev().find_map(|asked| match asked.outcome {
        Outcome::Done(true) if asked.freshness != Freshness::Full => Some(asked.token),
        _ => None,
    });
    let text = run.caller.recorder.history().tokens[newest.expect("something is active")].text.clone();
    for at in 0..3 {
        let asked = jeton::api::IntrospectRequest { token: text.clone(), ..Default::default() };
        let answer = run.fleet.doors.client(at).introspect(asked).await.unwrap().into_inner();
        let life = answer.exp - answer.iat;
        assert!(
            !answer.active || (now - 30..=now + 30).contains(&answer.iat),
            "issued at {} by a clock that says {now}",
            answer.iat
        );
        assert!(!answer.active || life == 1_800, "it lives for {life} s");
    }
    run.conclude().await.is_kept();
}

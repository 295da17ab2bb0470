//! One Redis, and nothing wrong.

use super::fleet::Settings;
use super::load::USUAL;
use super::node::Node;
use super::run::{APPLIED, Run};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_faults_every_promise_is_kept() {
    let _turn = super::turn().await;
    let redis = Node::start("").await;
    let settings = Settings { stores: vec![redis.url(); 3], ..Settings::default() };
    let run = Run::start("no faults", APPLIED, settings, USUAL, 1).await;
    run.lasting(Duration::from_secs(5)).await;
    run.conclude().await.is_kept();
}

//! N12: between the service and its Redis answers are late, cut, lost or come twice.

use super::fleet::Settings;
use super::load::USUAL;
use super::node::Node;
use super::proxy::{Proxy, Spoil, Weather};
use super::run::{APPLIED, REPLICATED, Run, Terms};
use std::time::Duration;

/// Each kind of weather, and how rare it is: so that work goes on between.
const WEATHERS: [Weather; 7] = [
    Weather { spoil: Spoil::Delay(Duration::from_millis(400)), one_in: 20 },
    Weather { spoil: Spoil::Dribble, one_in: 3 },
    Weather { spoil: Spoil::HalfClose, one_in: 100 },
    Weather { spoil: Spoil::ResetBefore, one_in: 100 },
    Weather { spoil: Spoil::ResetWithin, one_in: 100 },
    Weather { spoil: Spoil::Twice, one_in: 10 },
    Weather { spoil: Spoil::Silence, one_in: 200 },
];

/// One primary, which loses nothing: so everything that is acknowledged holds at once, for everyone.
async fn bad_network(name: &'static str, seed: u64) {
    let _turn = super::turn().await;
    let redis = Node::start("").await;
    let mut proxies = Vec::new();
    for replica in 0..3 {
        proxies.push(Proxy::start(redis.port, seed + replica).await);
    }
    let settings = Settings { stores: proxies.iter().map(Proxy::url).collect(), ..Settings::default() };
    let terms = Terms { durability: APPLIED.durability, ..REPLICATED };
    let mut run = Run::start(name, terms, settings, USUAL, seed).await;
    for weather in WEATHERS {
        for proxy in &proxies {
            proxy.weather(Some(weather));
        }
        run.lasting(Duration::from_millis(1_500)).await;
        for proxy in &proxies {
            proxy.weather(None);
        }
        run.injected("kinds of bad network");
        run.lasting(Duration::from_millis(300)).await;
    }
    for proxy in &proxies {
        assert!(proxy.spoilt() > 0, "it spoilt nothing");
        run.injected_many("answers spoilt", proxy.spoilt());
    }
    run.conclude().await.is_kept();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_that_is_late_cut_or_doubled_breaks_a_promise() {
    bad_network("N12 network", 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes hours: `make soak`"]
async fn soak_network() {
    for round in 0..super::rounds() {
        bad_network("soak N12 network", 12_000 + 10 * round).await;
    }
}

//! N12: between the service and its Redis answers are late, cut, lost or come twice.

use super::fleet::Settings;
use super::load::USUAL;
use super::node::Node;
use super::proxy::{Proxy, Spoil, Weather};
use super::run::{APPLIED, REPLICATED, Run, Terms};
use bytes::Bytes;
use jeton::clock::Clock;
use jeton::store::redis::Redis;
use jeton::store::{Durability, Name, STAMP_BYTES, Store as _, StoreError, Swap, Swapped};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

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

/// What comes twice puts all that follows on its connection out of step. Every second record exists and says which it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_comes_twice_is_taken_for_no_other() {
    const RECORDS: usize = 64;
    let _turn = super::turn().await;
    let redis = Node::start("").await;
    let proxy = Proxy::start(redis.port, 5).await;
    let store = Arc::new(Redis::connect(&proxy.url(), Clock::system()).await.unwrap());
    let name = |at: usize| Name::new(&format!("jeton:{{ab12}}:g:{at}"));
    let value = |at: usize| (at % 2 == 1).then(|| Bytes::from(format!("{at:0width$}", width = STAMP_BYTES)));
    let put = move |at: usize, value: Option<Bytes>, expected| Swap {
        name: name(at),
        expected,
        value,
        expires_at: None,
        needs: Durability::Applied,
    };
    for at in (1..RECORDS).step_by(2) {
        assert_eq!(store.swap(&put(at, value(at), None), &[]).await.unwrap().0, Swapped::Done);
    }
    proxy.weather(Some(Weather { spoil: Spoil::Twice, one_in: 8 }));
    let mut tasks = JoinSet::new();
    for at in 0..RECORDS {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut answered = 0;
            for _ in 0..150 {
                match store.get(&[name(at), name(at + 1)]).await {
                    Ok(read) => {
                        let next = value(at + 1).filter(|_| at + 1 < RECORDS);
                        assert_eq!(read.values, [value(at), next], "record {at} was read");
                        answered += 1;
                    }
                    Err(StoreError::Unavailable(_)) => {}
                    Err(other) => panic!("{other}"),
                }
                // Nobody has that stamp.
                match store.swap(&put(at, None, Some([b'x'; STAMP_BYTES])), &[]).await {
                    Ok((swapped, _)) => assert_eq!(swapped, Swapped::Conflict(value(at)), "record {at} was swapped"),
                    Err(StoreError::Unavailable(_)) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            answered
        });
    }
    let answered: usize = tasks.join_all().await.into_iter().sum();
    assert!(answered > 0 && proxy.spoilt() > 20, "{answered} answers, {} spoilt", proxy.spoilt());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes hours: `make soak`"]
async fn soak_network() {
    for round in 0..super::rounds() {
        bad_network("soak N12 network", 12_000 + 10 * round).await;
    }
}

//! What only a Redis under Sentinel can show: the primary is followed, and only where most Sentinels say so. What every store promises:
//! `store_contract`.

use crate::redis_sentinel::{NAME, RedisSentinel};
use crate::redis_server::RedisServer;
use crate::store_contract::{Log, Names, change, eventually, in_words, made, value};
use jeton::clock::Clock;
use jeton::store::redis::{Redis, Settings};
use jeton::store::{Name, Store, StoreError, Swapped};
use jeton_domain::revision::Revision;
use std::sync::Arc;
use std::time::Duration;

async fn connect(all: &RedisSentinel) -> Arc<dyn Store> {
    Arc::new(Redis::connect(&all.url(), Clock::system()).await.unwrap())
}

/// The value, as soon as the store answers again by itself.
async fn value_of(store: &Arc<dyn Store>, name: &Name) -> Option<bytes::Bytes> {
    let mut found = None;
    eventually_works(async || match store.get(std::slice::from_ref(name)).await {
        Ok(mut read) => {
            found = read.values.remove(0);
            true
        }
        Err(error) => {
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
            false
        }
    })
    .await;
    found
}

/// As long as a failover may take.
async fn eventually_works(mut works: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !works().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asking).await.expect("it works again by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_primary_is_replaced_and_the_store_goes_on_by_itself() {
    let mut all = RedisSentinel::start().await;
    let (store, names) = (connect(&all).await, Names::of("killed"));
    let (kept, new) = (names.fresh(), names.fresh());
    made(&store, &change(&kept, None, Some(1))).await;
    let head = store.append_after(b"entry", Revision::START, Revision::START).await.unwrap().head;
    let before = store.get(&[]).await.unwrap().identity;
    let old = all.primary().await;
    all.until("the replicas have it all", async |all| all.nodes[old].caught_up().await == 2).await;

    all.nodes[old].stop().await;
    assert_eq!(value_of(&store, &kept).await, Some(value(1)));
    assert_ne!(store.get(&[]).await.unwrap().identity, before);
    made(&store, &change(&new, None, Some(2))).await;
    assert!(!store.follow_after(head, 10).await.unwrap().gap);
    let primary = all.primary().await;
    assert_ne!(primary, old);

    // The old one comes back as a primary, and nobody who is there takes it for one.
    all.nodes[old].restart().await;
    assert_eq!(value_of(&store, &new).await, Some(value(2)));
    assert_eq!(value_of(&connect(&all).await, &new).await, Some(value(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_primary_is_followed_though_the_old_one_lives() {
    let all = RedisSentinel::start().await;
    let (store, names) = (connect(&all).await, Names::of("zombie"));
    let name = names.fresh();
    made(&store, &change(&name, None, Some(1))).await;
    all.until("the replicas have it all", async |all| all.nodes[0].caught_up().await == 2).await;
    // Two primaries, and no connection breaks: only what the Sentinels say is another.
    all.nodes[1].ask::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    let port = all.nodes[1].port().to_string();
    let before = store.get(&[]).await.unwrap().identity;
    for (at, sentinel) in all.sentinels.iter().enumerate() {
        sentinel.ask::<()>(&["SENTINEL", "REMOVE", NAME]).await;
        sentinel.ask::<()>(&["SENTINEL", "MONITOR", NAME, "127.0.0.1", &port, "2"]).await;
        if at == 0 {
            // One of three does not move us.
            connect(&all).await.time().await.unwrap();
            assert_eq!(store.get(&[]).await.unwrap().identity, before);
        }
    }
    eventually("the other primary is asked", async || store.get(&[]).await.unwrap().identity != before).await;
    for _ in 0..20 {
        made(&store, &change(&names.fresh(), None, Some(2))).await;
        assert_ne!(store.get(&[]).await.unwrap().identity, before, "not one call goes to the old one any more");
    }
    let keys = async |node: usize| all.nodes[node].ask::<Vec<String>>(&["KEYS", "jeton:{ab12}*"]).await.len();
    assert_eq!((keys(0).await, keys(1).await), (1, 21));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_on_command_leaves_nobody_reading_a_replica() {
    let all = RedisSentinel::start().await;
    let (store, names) = (connect(&all).await, Names::of("commanded"));
    let name = names.fresh();
    made(&store, &change(&name, None, Some(1))).await;
    let new = all.fail_over().await;
    all.nodes[new].ask::<()>(&["SET", name.as_str(), "only the new primary has it"]).await;
    eventually_works(async || {
        let read = store.get(std::slice::from_ref(&name)).await;
        read.is_ok_and(|read| read.values == [Some("only the new primary has it".into())])
    })
    .await;
    let swap = change(&names.fresh(), None, Some(2));
    assert_eq!(store.swap(&swap, &[]).await.unwrap().0, Swapped::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_any_node_is_told() {
    let mut all = RedisSentinel::start().await;
    let settings = Settings { replicas: 2, ..Settings::default() };
    let store = Redis::connect_with(&all.url(), Clock::system(), settings).await.unwrap();
    let until_told = async |all: &RedisSentinel, told: &[&str]| {
        all.until(&format!("{told:?} is told"), async |_| {
            let said = in_words(store.health().await.unwrap());
            said.len() == told.len() && said.iter().zip(told).all(|(said, told)| said.contains(told))
        })
        .await;
    };
    until_told(&all, &[]).await;
    all.nodes[2].ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lfu"]).await;
    let evicts = format!("127.0.0.1:{} would drop revocations", all.nodes[2].port());
    until_told(&all, &[&evicts]).await;
    all.nodes[2].ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    until_told(&all, &[]).await;

    all.sentinels[0].stop().await;
    until_told(&all, &[]).await;
    all.sentinels[1].stop().await;
    until_told(&all, &["1 of 3 Sentinels"]).await;
    // Who is primary is known all the same.
    store.time().await.unwrap();
    Redis::connect(&all.url(), Clock::system()).await.unwrap().time().await.unwrap();
    for sentinel in [0, 1] {
        all.sentinels[sentinel].restart().await;
    }
    all.nodes[1].stop().await;
    until_told(&all, &["1 replicas in step and 2 are configured"]).await;
}

#[tokio::test]
async fn sentinels_that_do_not_know_the_name_or_us_are_told() {
    let node = RedisServer::start().await;
    let lines = [
        format!("sentinel monitor {NAME} 127.0.0.1 {} 1", node.port()),
        "user asks on >hunter2 +sentinel|get-master-addr-by-name".to_owned(),
    ];
    let sentinel = RedisServer::start_sentinel(lines.join("\n")).await;
    let connect = async |name: &str, password: &str| {
        let login = format!("sentinel_user=asks&sentinel_password={password}");
        let url = format!("redis+sentinel://127.0.0.1:{}/{name}?{login}", sentinel.port());
        Redis::connect(&url, Clock::system()).await.map(drop).map_err(|error| error.to_string())
    };
    connect(NAME, "hunter2").await.unwrap();
    let unknown = connect("other", "hunter2").await.unwrap_err();
    assert!(unknown.contains("sentinel monitor"), "{unknown}");
    let refused = connect(NAME, "hunter3").await.unwrap_err();
    assert!(refused.contains("password") && !refused.contains("hunter"), "{refused}");
}

//! What only a Redis Cluster can show: names on several nodes, slots that move, primaries that change. What every store promises:
//! `store_contract`.

use crate::redis_cluster::RedisCluster;
use crate::redis_server::RedisServer;
use crate::store_contract::{Log, change, far_off, in_words, made, member, number, read, value};
use bytes::Bytes;
use jeton::clock::Clock;
use jeton::store::redis::{Redis, Settings};
use jeton::store::{Add, Due, Durability, Name, Position, Store, StoreError, Swap, Swapped};
use jeton_domain::revision::Revision;
use jeton_domain::time::Millis;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

const LOG: &str = "jeton:{log}";
const WITNESSED: &str = "jeton:{log}:witnessed";

async fn connect(all: &RedisCluster) -> Arc<dyn Store> {
    Arc::new(Redis::connect(&all.url(), Clock::system()).await.unwrap())
}

/// Waits for as long as a busy machine may take.
async fn connect_patiently(all: &RedisCluster) -> Arc<dyn Store> {
    connect_with(all, 0).await
}

/// The same, and for so many replicas of each primary.
async fn connect_with(all: &RedisCluster, replicas: u32) -> Arc<dyn Store> {
    let patience = Duration::from_secs(20);
    let settings = Settings { response_timeout: patience, wait_timeout: patience, replicas, ..Settings::default() };
    Arc::new(Redis::connect_with(&all.url(), Clock::system(), settings).await.unwrap())
}

/// Names with tags of their own: on all nodes.
fn scattered(count: usize) -> Vec<Name> {
    (0..count).map(|at| Name::new(&format!("jeton:{{{at:04x}}}:g:{at}"))).collect()
}

/// Names of one slot.
fn together(count: usize) -> Vec<Name> {
    (0..count).map(|at| Name::new(&format!("jeton:{{ab12}}:g:{at}"))).collect()
}

/// How often the nodes answered with that error, or were asked that command.
async fn counted(all: &RedisCluster, section: &str, what: &str) -> u64 {
    let mut sum = 0;
    for node in all.nodes.iter().filter(|node| node.runs()) {
        let info: String = node.ask(&["INFO", section]).await;
        let line = info.lines().find(|line| line.starts_with(&format!("{what}:")));
        let number = line.and_then(|line| line.split(['=', ',']).nth(1)?.parse::<u64>().ok());
        sum += number.unwrap_or(0);
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn names_on_several_nodes_are_answered_in_order() {
    let all = RedisCluster::start().await;
    let store = connect(&all).await;
    let names = scattered(64);
    let absent = Name::new("jeton:{none}:g:1");
    for (at, name) in (0..).zip(&names) {
        made(&store, &change(name, None, Some(at))).await;
    }
    let mut asked: Vec<Name> = names.iter().rev().cloned().collect();
    asked.insert(10, absent.clone());
    let mut expected: Vec<_> = (0..64).rev().map(|at| Some(value(at))).collect();
    expected.insert(10, None);
    let answer = store.get(&asked).await.unwrap();
    assert_eq!(answer.values, expected);
    let first = store.get(&asked[..1]).await.unwrap().identity;
    assert_eq!(answer.identity, first, "that of the first name's primary");

    let (swapped, also) = store.swap(&change(&names[5], Some(5), Some(500)), &asked).await.unwrap();
    assert_eq!(swapped, Swapped::Done);
    expected[64 - 5] = Some(value(500));
    assert_eq!(also.values, expected);
    assert_eq!(also.identity, store.get(&names[5..6]).await.unwrap().identity, "that of the swap's primary");
    let (swapped, also) = store.swap(&change(&names[5], Some(5), None), &names[6..8]).await.unwrap();
    assert_eq!(swapped, Swapped::Conflict(Some(value(500))));
    assert_eq!(also.values, [Some(value(6)), Some(value(7))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_one_node_leads_to_all_and_a_lone_address_is_told_what_is_missing() {
    let all = RedisCluster::start().await;
    for node in [&all.nodes[0], &all.nodes[5]] {
        let url = node.url().replace("redis://", "redis+cluster://");
        let store = Redis::connect(&url, Clock::system()).await.unwrap();
        assert!(store.get(&scattered(32)).await.unwrap().values.iter().all(Option::is_none));
    }
    let store = Redis::connect(&all.nodes[0].url(), Clock::system()).await.unwrap();
    let error = store.get(&scattered(32)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(words) if words.contains("redis+cluster")), "{error:?}");
    let lone = RedisServer::start().await;
    let url = lone.url().replace("redis://", "redis+cluster://");
    let error = Redis::connect(&url, Clock::system()).await.err().unwrap();
    assert!(error.to_string().contains("is no cluster"), "{error}");
}

/// Changes records one after the other, each known to one task only, so that every answer but one is wrong.
struct Load {
    store: Arc<dyn Store>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
    calls: Arc<AtomicU64>,
    unknown: Arc<AtomicU64>,
}

impl Load {
    fn on(store: &Arc<dyn Store>, names: &[Name]) -> Self {
        let (stop, calls, unknown) = <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let mut load = Self { store: Arc::clone(store), stop, tasks: JoinSet::new(), calls, unknown };
        for some in names.chunks(names.len().div_ceil(8)) {
            load.start(some.to_vec());
        }
        load
    }

    fn start(&mut self, names: Vec<Name>) {
        let (store, stop) = (Arc::clone(&self.store), Arc::clone(&self.stop));
        let (calls, unknown) = (Arc::clone(&self.calls), Arc::clone(&self.unknown));
        self.tasks.spawn(async move {
            let mut now = 0;
            while !stop.load(Ordering::Relaxed) {
                for name in &names {
                    let swap = change(name, Some(now), Some(now + 1));
                    match store.swap(&swap, &names).await {
                        Ok((Swapped::Done, read)) => {
                            let own = read.values.iter().zip(&names).find(|(_, other)| *other == name).unwrap().0;
                            assert_eq!(own.as_ref().map(number), Some(now + 1), "{name:?} is read after it is written");
                            assert!(read.values.iter().all(Option::is_some), "one of them is absent: {:?}", read.values);
                        }
                        Ok((conflict, _)) => panic!("{name:?} was {now}: {conflict:?}"),
                        Err(StoreError::Unavailable(_)) => {
                            unknown.fetch_add(1, Ordering::Relaxed);
                            resolve(&store, name, &swap).await;
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                    calls.fetch_add(1, Ordering::Relaxed);
                }
                let values = loop {
                    if let Ok(read) = store.get(&names).await {
                        break read.values;
                    }
                };
                assert!(values.iter().all(|value| value.as_ref().map(number) == Some(now + 1)), "{values:?} at {}", now + 1);
                now += 1;
            }
        });
    }

    /// Waits until so many more calls were answered.
    async fn go_on(&self, calls: u64) {
        let until = self.calls.load(Ordering::Relaxed) + calls;
        while self.calls.load(Ordering::Relaxed) < until {
            assert!(!self.tasks.is_empty());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Ends it; answers how many outcomes were unknown.
    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        println!("{} calls, {} unknown", self.calls.load(Ordering::Relaxed), self.unknown.load(Ordering::Relaxed));
        self.unknown.load(Ordering::Relaxed)
    }
}

/// Makes a swap whose outcome is unknown, unless it was made.
async fn resolve(store: &Arc<dyn Store>, name: &Name, swap: &Swap) {
    loop {
        match store.get(std::slice::from_ref(name)).await {
            Ok(read) if read.values[0] == swap.value => return,
            Ok(_) => match store.swap(swap, &[]).await {
                Ok((Swapped::Done, _)) => return,
                Ok((conflict, _)) => assert_eq!(conflict, Swapped::Conflict(swap.value.clone()), "{name:?}"),
                Err(_) => {}
            },
            Err(_) => {}
        }
    }
}

async fn prepared(store: &Arc<dyn Store>, names: &[Name]) {
    for name in names {
        made(store, &change(name, None, Some(0))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moves_under_swaps_is_not_noticed() {
    let all = RedisCluster::start().await;
    let store = connect_patiently(&all).await;
    let names = together(64);
    prepared(&store, &names).await;
    let load = Load::on(&store, &names);
    let slot = all.slot_of(names[0].as_str()).await;
    for _ in 0..3 {
        let from = all.primary_of(slot).await;
        let to = (from + 1) % 3;
        load.go_on(50).await;
        all.begin_to_move(slot, from, to).await;
        load.go_on(50).await;
        while all.move_keys(slot, from, to, 8).await > 0 {
            load.go_on(20).await;
        }
        load.go_on(50).await;
        all.end_the_move(slot, from, to).await;
    }
    load.go_on(50).await;
    assert_eq!(load.end().await, 0, "nothing was unavailable");
    let (asked, moved) =
        (counted(&all, "errorstats", "errorstat_ASK").await, counted(&all, "errorstats", "errorstat_MOVED").await);
    println!("{asked} ASK, {moved} MOVED");
    assert!(asked > 100 && moved > 0, "{asked} ASK, {moved} MOVED: this shows nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_and_lists_move_with_their_slots() {
    let all = RedisCluster::start().await;
    let store = connect_patiently(&all).await;
    let list = Name::new("jeton:{ab12}:l:alice");
    let expires_at = far_off(&store).await;
    let slot = all.slot_of(list.as_str()).await;
    let from = all.primary_of(slot).await;
    let to = (from + 1) % 3;
    all.begin_to_move(slot, from, to).await;
    for name in ["a", "b"] {
        let member = member("g", name, expires_at);
        let add = Add { list: list.clone(), member, group_bytes: 1, group_cap: 10, list_cap: 10 };
        assert!(store.list_add(&add).await.unwrap().is_empty());
    }
    assert_eq!(store.list(&list, None, 10).await.unwrap().len(), 2);
    all.end_the_move(slot, from, to).await;
    assert_eq!(store.list(&list, None, 10).await.unwrap().len(), 2);

    let first = store.append_after(b"one", Revision::START, Revision::START).await.unwrap().head;
    assert!(store.settle(first, None).await.unwrap());
    let slot = all.slot_of(LOG).await;
    let from = all.primary_of(slot).await;
    let to = (from + 1) % 3;
    all.begin_to_move(slot, from, to).await;
    all.move_keys(slot, from, to, 1).await;
    // It has several keys: while one is here and another there, neither node answers.
    let moving = async {
        all.until("the log is asked for", async |all| counted(all, "errorstats", "errorstat_TRYAGAIN").await > 0).await;
        while all.move_keys(slot, from, to, 1).await > 0 {}
        all.end_the_move(slot, from, to).await;
    };
    let (followed, ()) = tokio::join!(store.append_after(b"two", first, Revision::START), moving);
    let followed = followed.unwrap();
    assert!(!followed.gap && followed.settled == first, "{followed:?}");
    assert!(!store.follow_after(first, 10).await.unwrap().gap);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_by_hand_is_not_noticed() {
    let all = RedisCluster::start().await;
    let store = connect_patiently(&all).await;
    let names = scattered(64);
    prepared(&store, &names).await;
    let load = Load::on(&store, &names);
    let slot = all.slot_of(names[0].as_str()).await;
    for _ in 0..2 {
        load.go_on(50).await;
        all.fail_over(slot, None).await;
    }
    load.go_on(50).await;
    assert_eq!(load.end().await, 0, "nothing was unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_primary_is_replaced_and_the_cluster_serves_on_by_itself() {
    let mut all = RedisCluster::start().await;
    let store = connect(&all).await;
    let names = scattered(64);
    prepared(&store, &names).await;
    let slot = all.slot_of(LOG).await;
    let old = all.primary_of(slot).await;
    let before = store.follow_after(Revision::START, 10).await.unwrap().identity;
    for node in 0..3 {
        all.until("the replicas have it all", async |all| all.nodes[node].caught_up().await == 1).await;
    }
    all.nodes[old].stop().await;
    all.until("the store answers again", async |_| match store.follow_after(Revision::START, 10).await {
        Ok(followed) => followed.identity != before,
        Err(error) => {
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
            false
        }
    })
    .await;
    let values = store.get(&names).await.unwrap().values;
    assert!(values.iter().all(|held| *held == Some(value(0))), "{values:?}");
    for name in &names {
        made(&store, &change(name, Some(0), Some(1))).await;
    }
    all.nodes[old].restart().await;
    all.until_whole().await;
    assert_eq!(read(&store, &names[0]).await, Some(value(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_any_node_is_told_and_nothing_is_absent() {
    let mut all = RedisCluster::start().await;
    let settings = Settings { replicas: 1, ..Settings::default() };
    let store: Arc<dyn Store> = Arc::new(Redis::connect_with(&all.url(), Clock::system(), settings).await.unwrap());
    let until_told = async |all: &RedisCluster, told: &[&str]| {
        all.until(&format!("{told:?} is told"), async |_| {
            let said = in_words(store.health().await.unwrap());
            told.iter().all(|told| said.iter().any(|said| said.contains(told))) && said.is_empty() == told.is_empty()
        })
        .await;
    };
    let names = scattered(64);
    prepared(&store, &names).await;
    until_told(&all, &[]).await;
    all.nodes[4].ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]).await;
    let evicts = format!("127.0.0.1:{} would drop revocations", all.nodes[4].port());
    until_told(&all, &[&evicts]).await;
    all.nodes[4].ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    until_told(&all, &[]).await;

    let replica = all.replica_of(0).await;
    all.nodes[replica].stop().await;
    let alone = format!("127.0.0.1:{} has 0 replicas in step and 1 are configured", all.nodes[0].port());
    until_told(&all, &[&alone]).await;
    all.nodes[0].stop().await;
    until_told(&all, &["slots are served", "Redis Cluster is down"]).await;
    for name in &names {
        let error = store.get(std::slice::from_ref(name)).await.expect_err("the whole cluster is down");
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        let error = store.swap(&change(name, Some(0), Some(1)), &[]).await.expect_err("the whole cluster is down");
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        if error.to_string().contains("Cluster is down") {
            break;
        }
    }
}

/// A cluster whose slots are asked what they hold, and one name on each of two shards that the log is not on.
struct Witnessed {
    all: RedisCluster,
    store: Arc<dyn Store>,
    log: usize,
    shard: usize,
    name: Name,
    other: Name,
}

impl Witnessed {
    async fn start() -> Self {
        let all = RedisCluster::start().await;
        let store = connect_patiently(&all).await;
        let log = all.primary_of(all.slot_of(LOG).await).await;
        let mut on = vec![None; 3];
        for name in scattered(64) {
            let primary = all.primary_of(all.slot_of(name.as_str()).await).await;
            on[primary].get_or_insert(name);
        }
        let shard = (log + 1) % 3;
        let (name, other) = (on[shard].take().unwrap(), on[(log + 2) % 3].take().unwrap());
        for name in [&name, &other] {
            made(&store, &change(name, None, Some(0))).await;
        }
        Self { all, store, log, shard, name, other }
    }

    /// Something is revoked and settled, and every slot told so. Answers what the round began with.
    async fn round(&self) -> Due {
        let position = self.position().await;
        let head = self.store.append(&[Bytes::from("entry")], position).await.unwrap().0.head;
        assert!(self.store.settle(head, None).await.unwrap());
        self.all.nodes[self.log].ask::<()>(&["HDEL", WITNESSED, "at"]).await;
        let due = self.store.due().await.unwrap().expect("none was made for long");
        assert_eq!(self.store.due().await.unwrap(), None, "another makes it");
        assert!(self.store.vouch(head, &due).await.unwrap());
        self.position().await;
        due
    }

    async fn position(&self) -> Position {
        let followed = self.store.follow_after(Revision::START, 1_000).await.unwrap();
        Position { cursor: followed.head, highest: followed.head, era: followed.era.marker }
    }

    /// It is refused, and told, and nothing else is.
    async fn is_refused(&self, store: &Arc<dyn Store>) {
        let node = format!("127.0.0.1:{} was emptied, or restored", self.all.nodes[self.shard].port());
        let is_told = |refused: StoreError| {
            assert!(matches!(&refused, StoreError::Restored(words) if words.contains(&node)), "{refused:?}")
        };
        is_told(store.get(std::slice::from_ref(&self.name)).await.unwrap_err());
        is_told(store.get(&[self.other.clone(), self.name.clone()]).await.unwrap_err());
        is_told(store.swap(&change(&self.name, Some(9), Some(9)), &[]).await.unwrap_err());
        is_told(store.swap(&change(&self.other, Some(9), Some(9)), std::slice::from_ref(&self.name)).await.unwrap_err());
        let replicated = Swap { needs: Durability::Replicated, ..change(&self.name, Some(9), Some(9)) };
        is_told(store.swap(&replicated, &[]).await.unwrap_err());
        let list = Name::new(&self.name.as_str().replace(":g:", ":l:"));
        is_told(store.list(&list, None, 10).await.unwrap_err());
        assert!(read(store, &self.other).await.is_some(), "what lies elsewhere is believed");
        let wrong: Vec<_> = store.health().await.unwrap().into_iter().filter(|wrong| wrong.is_unfit).collect();
        assert!(wrong.iter().any(|wrong| wrong.words.contains(&node)) && wrong.len() == 1, "{wrong:?}");
    }

    async fn accept(&self) {
        self.store.accept(self.position().await).await.unwrap();
        self.position().await;
        assert!(read(&self.store, &self.other).await.is_some());
    }

    /// Comes back with what it held when it was saved, and its replica after it.
    async fn restore(&mut self) {
        self.all.nodes[self.shard].restart().await;
        self.all.until_whole().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_was_emptied_is_not_believed_until_it_is_accepted() {
    let here = Witnessed::start().await;
    assert!(here.round().await.changed, "nothing is known before the first");
    assert!(read(&here.store, &here.name).await.is_some());
    assert!(!here.round().await.changed);
    here.all.nodes[here.shard].ask::<()>(&["FLUSHALL"]).await;
    here.is_refused(&here.store).await;
    here.is_refused(&connect_with(&here.all, 1).await).await;
    here.all.nodes[here.log].ask::<()>(&["HDEL", WITNESSED, "at"]).await;
    let due = here.store.due().await.unwrap().unwrap();
    let refused = here.store.vouch(here.position().await.cursor, &due).await.unwrap_err();
    assert!(matches!(refused, StoreError::Restored(_)), "no round makes it believed: {refused:?}");
    here.is_refused(&here.store).await;

    here.accept().await;
    assert_eq!(read(&here.store, &here.name).await, None);
    assert!(here.round().await.changed, "what the log has is settled again");
    here.all.nodes[here.shard].ask::<()>(&["FLUSHALL"]).await;
    here.is_refused(&here.store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_fell_back_too_far_is_not_believed() {
    let mut here = Witnessed::start().await;
    here.round().await;
    here.all.nodes[here.shard].ask::<()>(&["SAVE"]).await;
    for _ in 0..6 {
        here.round().await;
    }
    here.restore().await;
    assert!(read(&here.store, &here.name).await.is_some(), "nothing that it lacks is forgotten");
    assert!(here.round().await.changed, "and it is settled again");

    here.all.nodes[here.shard].ask::<()>(&["SAVE"]).await;
    for _ in 0..7 {
        here.round().await;
    }
    here.restore().await;
    here.is_refused(&here.store).await;
    here.accept().await;
    assert!(read(&here.store, &here.name).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_shard_may_lack_is_not_forgotten() {
    let here = Witnessed::start().await;
    let forgotten = async || here.store.trim(here.store.time().await.unwrap().0.plus(Millis::from_secs(60))).await.unwrap();
    for round in 0..6 {
        here.round().await;
        assert_eq!(forgotten().await, 0, "{round}");
    }
    here.round().await;
    let all = here.store.follow_after(Revision::START, 10).await.unwrap();
    assert_eq!(all.sure, Some(all.entries[1].revision), "what the first of them settled, after the first of all");
    assert_eq!(forgotten().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_moves_with_its_slot() {
    let here = Witnessed::start().await;
    here.round().await;
    let slot = here.all.slot_of(here.name.as_str()).await;
    here.all.begin_to_move(slot, here.shard, here.log).await;
    assert!(read(&here.store, &here.name).await.is_some());
    while here.all.move_keys(slot, here.shard, here.log, 1).await > 0 {
        assert!(read(&here.store, &here.name).await.is_some());
        assert_eq!(read(&here.store, &Name::new(&here.name.as_str().replace(":g:", ":x:"))).await, None);
    }
    here.all.end_the_move(slot, here.shard, here.log).await;
    assert!(read(&here.store, &here.name).await.is_some());
    here.round().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_another_in_the_middle_of_a_round_spoils_it() {
    let here = Witnessed::start().await;
    here.round().await;
    here.all.nodes[here.log].ask::<()>(&["HDEL", WITNESSED, "at"]).await;
    let due = here.store.due().await.unwrap().unwrap();
    here.all.fail_over(here.all.slot_of(here.name.as_str()).await, None).await;
    assert!(!here.store.vouch(here.position().await.cursor, &due).await.unwrap());
    assert!(here.round().await.changed);
}

/// Else an emptied shard with the log on it would be a cluster that was never used.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_lost_with_its_shard_leaves_that_shard_unbelieved() {
    let mut here = Witnessed::start().await;
    here.round().await;
    here.all.nodes[here.log].ask::<()>(&["FLUSHALL"]).await;
    (here.shard, here.name) = (here.log, Name::new("jeton:{log}:g:1"));
    here.is_refused(&here.store).await;
    here.is_refused(&connect_patiently(&here.all).await).await;
    here.accept().await;
    assert_eq!(read(&here.store, &here.name).await, None);
}

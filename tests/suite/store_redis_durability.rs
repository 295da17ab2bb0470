//! Writes to Redis that wait for its replicas: what is answered when they have it, when they have not, and how many share a wait.

use crate::redis_server::RedisServer;
use crate::store_contract::{Log, Names, eventually};
use bytes::Bytes;
use jeton::clock::Clock;
use jeton::store::redis::{Redis, Settings};
use jeton::store::traced::Traced;
use jeton::store::{Durability, Name, Position, Store, StoreError, Swap, Swapped};
use jeton::telemetry::metrics::STORE_CALLS;
use jeton_domain::id::ReplicaId;
use jeton_domain::revision::Revision;
use jeton_domain::time::Millis;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// So long is waited for replicas that do not answer.
const BRIEFLY: Duration = Duration::from_millis(50);
const HORIZON: Millis = Millis::from_secs(7_200);

async fn primary() -> RedisServer {
    RedisServer::start_with(&["--repl-diskless-sync-delay", "0"]).await
}

async fn replica_of(primary: &RedisServer) -> RedisServer {
    let connected = async || primary.info("replication", "connected_slaves").await.parse::<u32>().unwrap();
    let before = connected().await;
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &primary.port().to_string()]).await;
    eventually("the replica is in step", async || {
        connected().await > before && replica.info("replication", "master_link_status").await == "up"
    })
    .await;
    replica
}

async fn connect(server: &RedisServer, replicas: u32, wait_timeout: Duration) -> Redis {
    let settings =
        Settings { connect_timeout: PATIENCE, response_timeout: PATIENCE, replicas, wait_timeout, ..Settings::default() };
    Redis::connect_with(&server.url(), Clock::system(), settings).await.unwrap()
}

fn create(name: &Name, needs: Durability) -> Swap {
    let value = Some(Bytes::from(format!("value of {}", name.as_str())));
    Swap { name: name.clone(), expected: None, value, expires_at: None, needs }
}

fn is_there(name: &Name) -> Option<Bytes> {
    create(name, Durability::Applied).value
}

async fn read(store: &Redis, name: &Name) -> Option<Bytes> {
    store.get(std::slice::from_ref(name)).await.unwrap().values.remove(0)
}

/// How often a command was called.
async fn calls(server: &RedisServer, command: &str) -> u64 {
    let all: String = server.ask(&["INFO", "commandstats"]).await;
    let line = all.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn what_is_replicated_is_on_the_replica_when_it_is_answered() {
    let primary = primary().await;
    let replica = replica_of(&primary).await;
    let store = connect(&primary, 1, PATIENCE).await;
    assert_eq!(store.durability(), Durability::Replicated);
    let names = Names::default();
    let (name, other) = (names.fresh(), names.fresh());
    store.swap(&create(&other, Durability::Applied), &[]).await.unwrap();
    for round in 0..20 {
        let name = if round == 0 { name.clone() } else { names.fresh() };
        let (swapped, read) = store.swap(&create(&name, Durability::Replicated), &[name.clone(), other.clone()]).await.unwrap();
        assert_eq!(swapped, Swapped::Done);
        assert_eq!(read.values, [is_there(&name), is_there(&other)]);
        assert_eq!(replica.ask::<Option<Vec<u8>>>(&["GET", name.as_str()]).await.map(Bytes::from), is_there(&name));
    }
    let again = store.swap(&create(&name, Durability::Replicated), &[]).await.unwrap();
    assert_eq!(again.0, Swapped::Conflict(is_there(&name)));
    assert_eq!(again.1.identity, store.get(&[]).await.unwrap().identity);

    let (followed, reached) = store.append(&[Bytes::from("a"), Bytes::from("b")], Position::default()).await.unwrap();
    assert_eq!((followed.entries.len(), reached), (3, Durability::Replicated));
    assert_eq!(replica.ask::<u64>(&["XLEN", "jeton:{log}"]).await, 3, "and the first of all logs");
    store.beat(ReplicaId([1; 8]), HORIZON, true).await.unwrap();
    assert_eq!(replica.ask::<u64>(&["HLEN", "jeton:{log}:replicas"]).await, 1);
    let late = names.fresh();
    store.swap(&create(&late, Durability::Applied), &[]).await.unwrap();
    store.confirm(&late).await.unwrap();
    assert!(replica.ask::<bool>(&["EXISTS", late.as_str()]).await, "all before it is there too");
    let marker = store.accept(Position::default()).await.unwrap();
    assert_eq!(replica.ask::<String>(&["HGET", "jeton:{log}:era", "marker"]).await, marker.to_string());
}

#[tokio::test]
async fn where_a_replica_is_missing_the_write_is_in_force_and_not_called_durable() {
    let primary = primary().await;
    let replica = replica_of(&primary).await;
    let store = connect(&primary, 1, BRIEFLY).await;
    store.append_after(b"before", Revision::START, Revision::START).await.unwrap();
    replica.pause().await;
    let names = Names::default();
    let (name, other) = (names.fresh(), names.fresh());
    let words = match store.swap(&create(&name, Durability::Replicated), &[]).await {
        Err(StoreError::NotDurable(words)) => words,
        answered => panic!("{answered:?}"),
    };
    assert!(words.contains("in force") && words.contains("replica"), "{words}");
    assert_eq!(read(&store, &name).await, is_there(&name));
    let conflict = store.swap(&create(&name, Durability::Replicated), &[]).await.unwrap().0;
    assert_eq!(conflict, Swapped::Conflict(is_there(&name)), "what was not written need not be durable");
    let (followed, reached) = store.append(&[Bytes::from("entry")], Position::default()).await.unwrap();
    assert_eq!(reached, Durability::Applied);
    assert_eq!(store.follow_after(Revision::START, 10).await.unwrap().head, followed.head);
    assert!(matches!(store.confirm(&name).await, Err(StoreError::NotDurable(_))));
    assert!(matches!(store.beat(ReplicaId([1; 8]), HORIZON, true).await, Err(StoreError::NotDurable(_))));
    let waits = calls(&primary, "wait").await;
    assert_eq!(store.swap(&create(&other, Durability::Applied), &[]).await.unwrap().0, Swapped::Done);
    store.beat(ReplicaId([1; 8]), HORIZON, false).await.unwrap();
    assert_eq!(calls(&primary, "wait").await, waits, "what need not be replicated waits for nobody");

    replica.resume().await;
    eventually("it is durable again", async || store.confirm(&name).await.is_ok()).await;
    assert!(replica.ask::<bool>(&["EXISTS", name.as_str()]).await);
}

/// Who appends nothing waits for what others appended, whoever they are.
#[tokio::test]
async fn what_the_log_holds_is_waited_for_without_another_entry() {
    let primary = primary().await;
    let replica = replica_of(&primary).await;
    let (store, other) = (connect(&primary, 1, BRIEFLY).await, connect(&primary, 1, BRIEFLY).await);
    let cursor = store.append_after(b"before", Revision::START, Revision::START).await.unwrap().head;
    replica.pause().await;
    let entry = store.append_after(b"entry", cursor, cursor).await.unwrap().head;
    let position = Position { cursor: entry, highest: entry, ..Position::default() };
    let written = async || primary.info("replication", "master_repl_offset").await.parse::<u64>().unwrap();
    for store in [&store, &other] {
        let before = written().await;
        let (followed, reached) = store.append(&[], position).await.unwrap();
        assert_eq!((followed.head, followed.entries.len(), reached), (entry, 0, Durability::Applied));
        assert!(written().await > before, "a wait speaks of what its connection wrote");
    }
    replica.resume().await;
    eventually("all have it", async || other.append(&[], position).await.unwrap().1 == Durability::Replicated).await;
    assert_eq!(replica.ask::<u64>(&["XLEN", "jeton:{log}"]).await, primary.ask::<u64>(&["XLEN", "jeton:{log}"]).await);
    assert_eq!(store.follow_after(cursor, 10).await.unwrap().entries.len(), 1);
}

#[tokio::test]
async fn the_number_that_is_configured_counts_not_the_one_that_is_connected() {
    let primary = primary().await;
    let _replica = replica_of(&primary).await;
    let store = connect(&primary, 2, BRIEFLY).await;
    let name = Names::default().fresh();
    assert!(matches!(store.swap(&create(&name, Durability::Replicated), &[]).await, Err(StoreError::NotDurable(_))));
    // Counted, for an alarm waits for it.
    let (store, counted) = (Traced::new(store), || STORE_CALLS.count(["append", "not_durable"]));
    let before = counted();
    assert_eq!(store.append(&[Bytes::from("entry")], Position::default()).await.unwrap().1, Durability::Applied);
    assert!(counted() > before);
}

#[tokio::test]
async fn without_replicas_nothing_waits() {
    let server = RedisServer::start().await;
    let store = connect(&server, 0, PATIENCE).await;
    assert_eq!(store.durability(), Durability::Applied);
    let name = Names::default().fresh();
    assert_eq!(store.swap(&create(&name, Durability::Replicated), &[]).await.unwrap().0, Swapped::Done);
    assert_eq!(store.append(&[Bytes::from("entry")], Position::default()).await.unwrap().1, Durability::Applied);
    store.confirm(&name).await.unwrap();
    store.beat(ReplicaId([1; 8]), HORIZON, true).await.unwrap();
    store.accept(Position::default()).await.unwrap();
    assert_eq!(calls(&server, "wait").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_durable_writes_share_a_wait() {
    const WRITES: u64 = 1_000;
    let primary = primary().await;
    let _replica = replica_of(&primary).await;
    let store = Arc::new(connect(&primary, 1, PATIENCE).await);
    let names = Names::default();
    let mut tasks = JoinSet::new();
    for _ in 0..WRITES {
        let (store, name) = (Arc::clone(&store), names.fresh());
        tasks.spawn(async move { store.swap(&create(&name, Durability::Replicated), &[]).await.unwrap().0 });
    }
    assert!(tasks.join_all().await.iter().all(|swapped| *swapped == Swapped::Done));
    let waits = calls(&primary, "wait").await;
    println!("{waits} waits for {WRITES} writes");
    assert!((1..=WRITES / 4).contains(&waits), "{waits}");
}

/// Writes given up at any moment, while others go on in the same batches: every answer is that of the write that was asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_durable_write_given_up_hands_its_answer_to_nobody_else() {
    const KEYS: u64 = 100;
    let primary = primary().await;
    let _replica = replica_of(&primary).await;
    let store = Arc::new(connect(&primary, 1, PATIENCE).await);
    let name = |key: u64| Name::new(&format!("jeton:{{{key:04x}}}:g:{key}"));
    for key in 0..KEYS {
        store.swap(&create(&name(key), Durability::Applied), &[]).await.unwrap();
    }
    let mut tasks = JoinSet::new();
    for task in 1..=32_u64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let (mut given_up, mut answered) = (0_u64, 0_u64);
            let mut random = task.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            for _ in 0..500 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let name = name(random % KEYS);
                let patience = (random >> 48) % 8;
                let asked = async {
                    let swapped = store.swap(&create(&name, Durability::Replicated), &[]).await.unwrap().0;
                    assert_eq!(swapped, Swapped::Conflict(is_there(&name)));
                };
                let impatience = async {
                    if patience > 3 {
                        std::future::pending::<()>().await;
                    }
                    for _ in 0..patience {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::select! {
                    biased;
                    () = asked => answered += 1,
                    () = impatience => given_up += 1,
                }
            }
            (given_up, answered)
        });
    }
    let (given_up, answered) = tasks.join_all().await.into_iter().fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    println!("{given_up} given up, {answered} answered");
    assert!(given_up > 1_000 && answered > 1_000, "{given_up} given up, {answered} answered: this shows nothing");
}

#[tokio::test]
async fn a_connection_lost_while_replicas_are_waited_for_leaves_it_unknown() {
    let mut primary = primary().await;
    let replica = replica_of(&primary).await;
    let store = Arc::new(connect(&primary, 1, PATIENCE / 2).await);
    store.confirm(&Name::new("jeton:{ab12}:g:any")).await.unwrap();
    replica.pause().await;
    let name = Names::default().fresh();
    let mut writing = JoinSet::new();
    let (swap, writer) = (create(&name, Durability::Replicated), Arc::clone(&store));
    writing.spawn(async move { writer.swap(&swap, &[]).await });
    eventually("it waits", async || primary.info("clients", "blocked_clients").await == "1").await;
    primary.stop().await;
    let answered = writing.join_next().await.unwrap().unwrap();
    assert!(matches!(answered, Err(StoreError::Unavailable(_))), "{answered:?}");
}

#[tokio::test]
async fn a_primary_that_becomes_a_replica_while_it_waits_leaves_it_unknown() {
    let primary = primary().await;
    let replica = replica_of(&primary).await;
    let other = RedisServer::start().await;
    let store = Arc::new(connect(&primary, 1, PATIENCE / 2).await);
    store.confirm(&Name::new("jeton:{ab12}:g:any")).await.unwrap();
    replica.pause().await;
    let name = Names::default().fresh();
    let mut writing = JoinSet::new();
    let (swap, writer) = (create(&name, Durability::Replicated), Arc::clone(&store));
    writing.spawn(async move { writer.swap(&swap, &[]).await });
    eventually("it waits", async || primary.info("clients", "blocked_clients").await == "1").await;
    primary.ask::<()>(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]).await;
    let answered = writing.join_next().await.unwrap().unwrap();
    assert!(matches!(answered, Err(StoreError::Unavailable(_))), "{answered:?}");
}

#[tokio::test]
async fn functions_flushed_under_the_writer_are_loaded_again() {
    let primary = primary().await;
    let _replica = replica_of(&primary).await;
    let store = connect(&primary, 1, PATIENCE).await;
    let names = Names::default();
    for _ in 0..3 {
        primary.ask::<()>(&["FUNCTION", "FLUSH"]).await;
        assert_eq!(store.swap(&create(&names.fresh(), Durability::Replicated), &[]).await.unwrap().0, Swapped::Done);
        primary.ask::<()>(&["FUNCTION", "FLUSH"]).await;
        store.confirm(&names.fresh()).await.unwrap();
    }
}

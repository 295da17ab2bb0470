//! What only the Redis store can show: outages, lost functions, permissions, memory. What every store promises: `store_contract`.

use crate::redis_server::RedisServer;
use crate::store_contract::{Log, in_words};
use bytes::Bytes;
use jeton::clock::Clock;
use jeton::store::redis::{FUNCTIONS, PERMISSIONS, Redis, Settings};
use jeton::store::{Add, Durability, Member, Name, Position, Store, StoreError, Swap, Swapped};
use jeton_domain::id::ReplicaId;
use jeton_domain::revision::Revision;
use jeton_domain::time::{Millis, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const TIMEOUT: Duration = Duration::from_millis(400);
/// A time-out, and what a busy machine adds to it: soon enough for who would else wait for ever.
const SOON: Duration = Duration::from_secs(15);

async fn connect(server: &RedisServer) -> Redis {
    Redis::connect(&server.url(), Clock::system()).await.unwrap()
}

/// Gives up soon, over one connection.
async fn impatient(server: &RedisServer) -> Redis {
    let settings = Settings {
        connect_timeout: TIMEOUT,
        response_timeout: TIMEOUT,
        connections: std::num::NonZeroUsize::MIN,
        ..Settings::default()
    };
    Redis::connect_with(&server.url(), Clock::system(), settings).await.unwrap()
}

fn create(name: &Name, value: impl Into<Bytes>) -> Swap {
    Swap { name: name.clone(), expected: None, value: Some(value.into()), expires_at: None, needs: Durability::Applied }
}

fn add(list: &Name, member: &str, expires_at: Timestamp) -> Add {
    let member = Member { bytes: Bytes::copy_from_slice(member.as_bytes()), expires_at };
    Add { list: list.clone(), member, group_bytes: 4, group_cap: 10, list_cap: 100 }
}

/// Asks until it works again by itself.
async fn until_it_works(store: &Redis) {
    let until = Instant::now() + SOON;
    while let Err(error) = store.get(&[Name::new("jeton:{ab12}:g:any")]).await {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert!(Instant::now() < until, "it stays away: {error}");
        tokio::task::yield_now().await;
    }
}

async fn refused(asked: impl Future<Output = Result<impl std::fmt::Debug, StoreError>>) -> String {
    let error = tokio::time::timeout(SOON, asked).await.expect("it is given up").expect_err("it answered");
    let StoreError::Unavailable(words) = error else { panic!("{error:?}") };
    words
}

#[tokio::test]
async fn functions_are_loaded_again_after_a_restart_without_persistence() {
    let mut server = RedisServer::start().await;
    let store = connect(&server).await;
    let before = store.follow_after(Revision::START, 10).await.unwrap().identity;
    server.restart().await;
    until_it_works(&store).await;
    let name = Name::new("jeton:{ab12}:g:new");
    assert_eq!(store.swap(&create(&name, "value"), &[]).await.unwrap().0, Swapped::Done);
    assert_ne!(store.follow_after(Revision::START, 10).await.unwrap().identity, before, "another process is another identity");
}

#[tokio::test]
async fn functions_flushed_under_an_open_connection_are_loaded_again() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    for function in ["swap", "append"] {
        server.ask::<()>(&["FUNCTION", "FLUSH"]).await;
        if function == "swap" {
            let (name, other) = (Name::new("jeton:{ab12}:g:x"), Name::new("jeton:{cd34}:f:y"));
            let (swapped, read) = store.swap(&create(&name, "value"), &[name.clone(), other]).await.unwrap();
            assert_eq!(swapped, Swapped::Done);
            assert_eq!(read.values, [Some(Bytes::from("value")), None]);
        } else {
            let appended = store.append_after(b"entry", Revision::START, Revision::START).await.unwrap();
            assert_eq!(appended.entries.last().unwrap().entry, "entry");
        }
    }
}

#[tokio::test]
async fn replicas_that_connect_at_once_share_the_library() {
    let server = RedisServer::start().await;
    let mut connecting = JoinSet::new();
    for _ in 0..16 {
        let url = server.url();
        connecting.spawn(async move { Redis::connect(&url, Clock::system()).await.map(drop) });
    }
    for connected in connecting.join_all().await {
        connected.unwrap();
    }
}

#[tokio::test]
async fn the_identity_of_reads_is_that_of_the_log() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    let read = store.get(&[Name::new("jeton:{ab12}:g:any")]).await.unwrap().identity;
    assert_eq!(store.follow_after(Revision::START, 10).await.unwrap().identity, read);
    assert_eq!(store.append_after(b"entry", Revision::START, Revision::START).await.unwrap().identity, read);
    assert_eq!(connect(&server).await.get(&[]).await.unwrap().identity, read);
}

#[tokio::test]
async fn stopped_is_unavailable_and_restarted_works_again() {
    let mut server = RedisServer::start().await;
    let store = impatient(&server).await;
    let name = Name::new("jeton:{ab12}:g:any");
    server.stop().await;
    for _ in 0..20 {
        let words = refused(store.get(std::slice::from_ref(&name))).await;
        assert!(!words.contains("127.0.0.1") && !words.to_lowercase().contains("os error"), "the driver's words: {words}");
        refused(store.append_after(b"entry", Revision::START, Revision::START)).await;
    }
    server.restart().await;
    until_it_works(&store).await;
}

#[tokio::test]
async fn a_restart_between_two_requests_is_not_noticed() {
    let mut server = RedisServer::start().await;
    let store = connect(&server).await;
    server.restart().await;
    store.follow_after(Revision::START, 10).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_at_once_make_one_connection_for_each_that_was_lost() {
    let server = RedisServer::start().await;
    let settings = Settings { connections: std::num::NonZeroUsize::new(2).unwrap(), ..Settings::default() };
    let store = Arc::new(Redis::connect_with(&server.url(), Clock::system(), settings).await.unwrap());
    let made = async || server.info("stats", "total_connections_received").await.parse::<u64>().unwrap();
    let before = made().await;
    server.ask::<u64>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    let mut tasks = JoinSet::new();
    for _ in 0..500 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.get(&[Name::new("jeton:{ab12}:g:any")]).await.map(drop) });
    }
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
    assert_eq!(made().await - before, 2 + 2, "two for the store, one to kill, one to count");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_left_alone_however_many_ask() {
    const REFUSED: u64 = 50_000;
    let mut server = RedisServer::start().await;
    let store = Arc::new(impatient(&server).await);
    server.stop().await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", server.port())).await.unwrap();
    let accepted = Arc::new(AtomicU64::new(0));
    let mut accepting = JoinSet::new();
    let counted = Arc::clone(&accepted);
    accepting.spawn(async move {
        loop {
            drop(listener.accept().await.unwrap());
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for _ in 0..REFUSED / 50 {
                let name = Name::new("jeton:{ab12}:g:any");
                assert!(matches!(store.get(&[name]).await, Err(StoreError::Unavailable(_))));
            }
        });
    }
    tasks.join_all().await;
    let tried = accepted.load(Ordering::Relaxed);
    println!("{REFUSED} refused, {tried} attempts to connect");
    assert!(tried > 0 && tried < REFUSED / 100, "{tried} attempts to connect");
}

#[tokio::test]
async fn paused_is_unavailable_within_the_time_out() {
    let server = RedisServer::start().await;
    let store = impatient(&server).await;
    let name = Name::new("jeton:{ab12}:g:any");
    server.pause().await;
    for _ in 0..3 {
        refused(store.get(std::slice::from_ref(&name))).await;
        refused(store.swap(&create(&name, "value"), &[])).await;
        let said = in_words(store.health().await.unwrap());
        assert!(said.len() == 1 && said[0].contains("did not answer"), "{said:?}");
    }
    server.resume().await;
    until_it_works(&store).await;
}

#[tokio::test]
async fn busy_is_said_and_passes_within_the_time_out() {
    let server = RedisServer::start_with(&["--busy-reply-threshold", "10"]).await;
    let (patient, impatient) = (connect(&server).await, impatient(&server).await);
    let client = redis::Client::open(server.url()).unwrap();
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
    let mut endless = JoinSet::new();
    endless.spawn(async move {
        redis::cmd("EVAL").arg("while true do end").arg(0).query_async::<redis::Value>(&mut connection).await.is_err()
    });
    let until = Instant::now() + SOON;
    while server.try_ask::<redis::Value>(&["GET", "any"]).await.is_ok() {
        assert!(Instant::now() < until, "it never becomes busy");
    }
    assert!(refused(impatient.get(&[Name::new("jeton:{ab12}:g:any")])).await.contains("busy"));
    let name = Name::new("jeton:{ab12}:g:busy");
    let swap = create(&name, "value");
    let (swapped, ()) = tokio::join!(patient.swap(&swap, &[]), async {
        assert!(server.try_ask::<redis::Value>(&["GET", "any"]).await.is_err());
        server.ask::<()>(&["SCRIPT", "KILL"]).await;
    });
    assert_eq!(swapped.unwrap().0, Swapped::Done);
    assert_eq!(endless.join_all().await, [true]);
}

#[tokio::test]
async fn a_primary_that_became_a_replica_is_refused_until_it_is_primary_again() {
    let server = RedisServer::start().await;
    let other = RedisServer::start().await;
    let store = impatient(&server).await;
    let before = store.follow_after(Revision::START, 10).await.unwrap().identity;
    server.ask::<()>(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]).await;
    for _ in 0..3 {
        refused(store.follow_after(Revision::START, 10)).await;
        refused(store.get(&[Name::new("jeton:{ab12}:g:any")])).await;
    }
    assert!(refused(async { Redis::connect(&server.url(), Clock::system()).await.map(drop) }).await.contains("replica"));
    server.ask::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    until_it_works(&store).await;
    assert_ne!(store.follow_after(Revision::START, 10).await.unwrap().identity, before);
}

#[tokio::test]
async fn follow_is_refused_where_writes_are() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    server.ask::<()>(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    assert!(refused(store.follow_after(Revision::START, 10)).await.contains("replicas"));
}

#[tokio::test]
async fn full_memory_refuses_writes_and_still_follows_and_trims() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    let last = store.append_after(b"entry", Revision::START, Revision::START).await.unwrap().head;
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let name = Name::new("jeton:{ab12}:g:any");
    assert!(refused(store.swap(&create(&name, "value"), &[])).await.contains("memory"));
    refused(store.append_after(b"entry", last, last)).await;
    refused(store.list_add(&add(&Name::new("jeton:{ab12}:l"), "grp1", Timestamp::from_millis(1 << 50)))).await;
    assert_eq!(store.follow_after(Revision::START, 10).await.unwrap().head, last);
    assert!(store.settle(last, None).await.unwrap());
    assert_eq!(store.trim(Timestamp::from_millis(u64::MAX)).await.unwrap(), 1, "all but the newest");
}

#[tokio::test]
async fn a_server_that_would_evict_is_unfit() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "volatile-lru"]).await;
    let said = refused(async { Redis::connect(&server.url(), Clock::system()).await.map(drop) }).await;
    assert!(said.contains("noeviction"), "{said}");
    server.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    let store = connect(&server).await;
    assert_eq!(in_words(store.health().await.unwrap()), Vec::<String>::new());
    server.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let said = in_words(store.health().await.unwrap());
    assert!(said.len() == 1 && said[0].contains("allkeys-lru") && said[0].contains("noeviction"), "{said:?}");
}

#[tokio::test]
async fn the_permissions_listed_suffice_and_a_missing_library_is_said() {
    let server = RedisServer::start().await;
    server.add_user("jeton", "hunter2", PERMISSIONS).await;
    let url = server.url_of("jeton", "hunter2");
    let said = refused(async { Redis::connect(&url, Clock::system()).await.map(drop) }).await;
    assert!(said.contains("FUNCTION LOAD"), "{said}");
    server.ask::<String>(&["FUNCTION", "LOAD", FUNCTIONS]).await;
    server.ask::<()>(&["ACL", "LOG", "RESET"]).await;

    let settings = Settings { replicas: 1, wait_timeout: Duration::from_millis(1), ..Settings::default() };
    let store = Redis::connect_with(&url, Clock::system(), settings).await.unwrap();
    let (name, list) = (Name::new("jeton:{ab12}:g:any"), Name::new("jeton:{ab12}:l"));
    let value = Bytes::from(vec![7; 40]);
    let far = Timestamp::from_millis(1 << 50);
    let stays = Swap { expires_at: Some(far), ..create(&name, value) };
    assert_eq!(store.swap(&stays, std::slice::from_ref(&name)).await.unwrap().0, Swapped::Done);
    let gone = Swap { name: name.clone(), expected: Some([7; 17]), value: None, expires_at: None, needs: Durability::Applied };
    assert_eq!(store.swap(&gone, &[]).await.unwrap().0, Swapped::Done);
    assert!(matches!(store.confirm(&name).await, Err(StoreError::NotDurable(_))), "there is no replica");
    for (before, member) in ["grp1a", "grp1b", "grp2c"].into_iter().enumerate() {
        let capped = Add { group_cap: 1, list_cap: 1, ..add(&list, member, far) };
        assert_eq!(store.list_add(&capped).await.unwrap().len(), before);
    }
    let members = store.list(&list, None, 10).await.unwrap();
    assert_eq!(members.len(), 3);
    store.list_remove(&list, &[members[0].bytes.clone()]).await.unwrap();
    let first = store.append_after(b"one", Revision::START, Revision::START).await.unwrap().head;
    let second = store.append_after(b"two", Revision::START, first).await.unwrap().head;
    assert!(
        !store.settle(second, Some(jeton_domain::id::Identity([9; 8]))).await.unwrap(),
        "under another primary it may be lost"
    );
    assert!(store.settle(second, None).await.unwrap());
    assert_eq!(store.trim(far).await.unwrap(), 2, "the first of all logs, and one more");
    assert_eq!(store.follow_after(first, 10).await.unwrap().settled, second);
    store.changed(first).await.unwrap();
    let replica = ReplicaId([1; 8]);
    store.beat(replica, Millis::new(1), false).await.unwrap();
    assert!(matches!(store.beat(replica, Millis::new(1), true).await, Err(StoreError::NotDurable(_))));
    server.ask::<()>(&["HSET", "jeton:{log}:era", "identity", "another"]).await;
    server.ask::<()>(&["HSET", "jeton:{log}:replicas", "0202020202020202", "1"]).await;
    let met = store.follow_after(second, 10).await.unwrap();
    assert!(store.healed(replica, met.identity).await.unwrap());
    assert!(matches!(store.beat(replica, Millis::from_secs(7_200), true).await, Err(StoreError::NotDurable(_))));
    let full: Vec<&str> = ["RPUSH", "jeton:{log}:lost"].into_iter().chain(["1-1 2-2"; 1_000]).collect();
    server.ask::<()>(&full).await;
    assert!(matches!(store.accept(Position::default()).await, Err(StoreError::NotDurable(_))));
    assert!(store.follow_after(second, 10).await.unwrap().lost.is_some());
    store.leave(replica).await.unwrap();
    store.time().await.unwrap();
    store.health().await.unwrap();
    assert_eq!(server.ask::<Vec<redis::Value>>(&["ACL", "LOG"]).await, []);
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_repeated() {
    let server = RedisServer::start().await;
    server.ask::<()>(&["CONFIG", "SET", "requirepass", "right"]).await;
    for url in [server.url(), server.url_of("default", "hunter2")] {
        let said = refused(async { Redis::connect(&url, Clock::system()).await.map(drop) }).await;
        assert!(said.contains("password") && !said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn tls_with_a_server_that_has_none_is_unavailable() {
    let server = RedisServer::start().await;
    let url = server.url().replace("redis://", "rediss://");
    let error = Redis::connect(&url, Clock::system()).await.err().unwrap();
    assert!(error.to_string().contains("TLS") || error.to_string().contains("authorities"), "{error}");
}

#[tokio::test]
async fn the_log_outlives_a_clock_that_went_back() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    let ahead = Revision { micros: 1 << 52, random: u64::MAX };
    let first = store.append_after(b"one", Revision::START, ahead).await.unwrap().head;
    assert!(first > ahead);
    let second = store.append_after(b"two", first, Revision::START).await.unwrap();
    assert!(second.head > first && !second.gap);
    assert_eq!(second.entries.len(), 1);
    assert_eq!(store.follow_after(first, 10).await.unwrap().entries, second.entries);
}

#[tokio::test]
async fn the_random_half_of_a_revision_is_compared_exactly() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    // As after a failover: what was settled is gone, and the same microsecond holds another entry, one above it.
    server.ask::<String>(&["XADD", "jeton:{log}", "5-18446744073709551614", "e", "one"]).await;
    server.ask::<String>(&["XADD", "jeton:{log}", "9-1", "e", "two"]).await;
    server.ask::<()>(&["SET", "jeton:{log}:settled", "5-18446744073709551613"]).await;
    assert_eq!(store.trim(Timestamp::from_millis(u64::MAX)).await.unwrap(), 0, "not settled");
    assert!(!store.settle(Revision { micros: 5, random: u64::MAX - 2 }, None).await.unwrap());
    assert!(store.settle(Revision { micros: 5, random: u64::MAX - 1 }, None).await.unwrap());
    assert_eq!(store.follow_after(Revision::START, 10).await.unwrap().settled.random, u64::MAX - 1);
    assert_eq!(store.trim(Timestamp::from_millis(u64::MAX)).await.unwrap(), 1);
}

#[tokio::test]
async fn lists_leave_an_hour_after_their_last_member() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    let list = Name::new("jeton:{ab12}:l:alice");
    let (now, _) = store.time().await.unwrap();
    let (late, early) = (now.plus(Millis::from_secs(500)), now.plus(Millis::from_secs(100)));
    store.list_add(&add(&list, "grp1-late", late)).await.unwrap();
    store.list_add(&add(&list, "grp1-early", early)).await.unwrap();
    let at: u64 = server.ask(&["PEXPIRETIME", list.as_str()]).await;
    assert_eq!(at, late.plus(Millis::from_secs(3_600)).millis());
}

/// All keys of an ordinary grant, here the sealed record of 250 bytes and its place in a list of its own.
#[tokio::test]
async fn an_ordinary_grant_takes_at_most_640_bytes() {
    const GRANTS: u64 = 10_000;
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    let (now, _) = store.time().await.unwrap();
    let far = now.plus(Millis::from_secs(86_400 * 30));
    let used = async || server.info("memory", "used_memory").await.parse::<u64>().unwrap();
    let before = used().await;
    for number in 0..GRANTS {
        let id = format!("{number:022}");
        let name = Name::new(&format!("jeton:{{ab12}}:g:{id}"));
        let swap = Swap { expires_at: Some(far), ..create(&name, vec![7; 250]) };
        store.list_add(&add(&Name::new(&format!("jeton:{{ab12}}:l:{id}")), "clntgrant-id-of-16b.", far)).await.unwrap();
        store.swap(&swap, &[]).await.unwrap();
    }
    let each = (used().await - before) / GRANTS;
    println!("{each} bytes a grant, {} by MEMORY USAGE", server.memory_usage("jeton:{ab12}:*").await / GRANTS);
    assert!(each <= 640, "{each}");
}

/// Requests given up at any moment, while others go on over the same connections: every answer names the key it was asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_calls_never_hand_their_reply_to_another() {
    const KEYS: u64 = 200;
    const TASKS: u64 = 32;
    const CALLS: u64 = 2_000;
    let server = RedisServer::start().await;
    let store = Arc::new(connect(&server).await);
    let name = |key: u64| Name::new(&format!("jeton:{{{key:04x}}}:g:{key}"));
    for key in 0..KEYS {
        store.swap(&create(&name(key), format!("value of {key}")), &[]).await.unwrap();
    }
    let mut tasks = JoinSet::new();
    for task in 1..=TASKS {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let (mut given_up, mut answered) = (0_u64, 0_u64);
            let mut random = task.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            for _ in 0..CALLS {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let keys = [random % KEYS, (random >> 16) % KEYS, (random >> 32) % KEYS];
                let patience = (random >> 48) % 5;
                let asked = async {
                    let is = |key: u64| Some(Bytes::from(format!("value of {key}")));
                    match random % 3 {
                        0 => assert_eq!(store.get(&[name(keys[0])]).await.unwrap().values, [is(keys[0])]),
                        1 => {
                            let names = keys.map(name);
                            assert_eq!(store.get(&names).await.unwrap().values, keys.map(is));
                        }
                        _ => {
                            let (swapped, read) = store.swap(&create(&name(keys[0]), "other"), &[name(keys[1])]).await.unwrap();
                            assert_eq!(swapped, Swapped::Conflict(is(keys[0])));
                            assert_eq!(read.values, [is(keys[1])]);
                        }
                    }
                };
                let impatience = async {
                    if patience == 4 {
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
    assert!(given_up > 10_000 && answered > 10_000, "{given_up} given up, {answered} answered: this shows nothing");
}

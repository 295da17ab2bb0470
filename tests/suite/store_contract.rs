//! What every store promises, one async fn a promise, named as in the docs of `Store`, in `records`, `lists` and `log` below;
//! instantiated for every store at the foot.
//!
//! An opener hands a store of its own: nobody else writes to it, but its log need not be empty. It answers `(what must outlive the store,
//! the store)`. What takes long to start is opened once for all promises, which are then tried one after the other. Concurrency and
//! expiry cannot be excepted for any store.

mod lists;
mod log;
mod records;

use crate::redis_cluster::RedisCluster;
use crate::redis_sentinel::RedisSentinel;
use crate::redis_server::RedisServer;
use bytes::Bytes;
use jeton::clock::Clock;
use jeton::store::embedded::Embedded;
use jeton::store::redis::{self, FUNCTIONS, PERMISSIONS, Redis};
use jeton::store::{
    Add, Durability, Followed, Member, Name, Position, STAMP_BYTES, Stamp, Store, StoreError, Swap, Swapped, Wrong,
};
use jeton_domain::revision::Revision;
use jeton_domain::time::{Millis, Timestamp};
use log::{append, far, texts};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Long enough to be seen alive, short enough to wait for.
const SOON: Millis = Millis::new(300);
const LATER: Millis = Millis::from_secs(600);

/// The log as who only knows a cursor calls it.
pub trait Log: Store {
    /// One entry appended.
    fn append_after(
        &self,
        entry: &[u8],
        cursor: Revision,
        highest: Revision,
    ) -> impl Future<Output = Result<Followed, StoreError>> + Send {
        let entry = Bytes::copy_from_slice(entry);
        async move { Ok(self.append(&[entry], Position { cursor, highest, ..Position::default() }).await?.0) }
    }

    /// What came after.
    fn follow_after(&self, cursor: Revision, limit: usize) -> impl Future<Output = Result<Followed, StoreError>> + Send {
        self.follow(Position { cursor, ..Position::default() }, limit)
    }
}

impl<S: Store + ?Sized> Log for S {}

/// What is wrong, in words.
pub fn in_words(wrong: Vec<Wrong>) -> Vec<String> {
    wrong.into_iter().map(|wrong| wrong.words).collect()
}

/// Names that nobody else made who tries another promise.
#[derive(Default)]
pub struct Names {
    promise: &'static str,
    made: AtomicU64,
}

impl Names {
    /// Those of one promise.
    pub fn of(promise: &'static str) -> Self {
        Self { promise, made: AtomicU64::new(0) }
    }

    /// A name not seen before, under one tag with all others as those of one subject.
    pub fn fresh(&self) -> Name {
        Name::new(&format!("jeton:{{ab12}}:{}:{}", self.promise, self.made.fetch_add(1, Ordering::Relaxed)))
    }

    /// One under a tag of its own.
    pub fn anywhere(&self) -> Name {
        Name::new(&format!("jeton:{{{}:{}}}", self.promise, self.made.fetch_add(1, Ordering::Relaxed)))
    }
}

/// The stamp of a value made by `value`.
pub fn stamp(of: u64) -> Stamp {
    let mut stamp = [7; STAMP_BYTES];
    stamp[STAMP_BYTES - 8..].copy_from_slice(&of.to_be_bytes());
    stamp
}

/// A value with that stamp and something behind it.
pub fn value(of: u64) -> Bytes {
    [stamp(of).as_slice(), format!("value {of}").as_bytes()].concat().into()
}

/// The number a value was made of.
pub fn number(value: &Bytes) -> u64 {
    u64::from_be_bytes(value[STAMP_BYTES - 8..STAMP_BYTES].try_into().unwrap())
}

pub fn change(name: &Name, expected: Option<u64>, becomes: Option<u64>) -> Swap {
    Swap {
        name: name.clone(),
        expected: expected.map(stamp),
        value: becomes.map(value),
        expires_at: None,
        needs: Durability::Applied,
    }
}

pub async fn made(store: &Arc<dyn Store>, swap: &Swap) {
    assert_eq!(store.swap(swap, &[]).await.unwrap().0, Swapped::Done, "{swap:?}");
}

pub async fn read(store: &Arc<dyn Store>, name: &Name) -> Option<Bytes> {
    store.get(std::slice::from_ref(name)).await.unwrap().values.remove(0)
}

async fn now(store: &Arc<dyn Store>) -> Timestamp {
    store.time().await.unwrap().0
}

/// Asks until the answer is yes; fails after ten seconds.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asking).await.unwrap_or_else(|_| panic!("not in ten seconds: {what}"));
}

pub fn member(group: &str, name: &str, expires_at: Timestamp) -> Member {
    Member { bytes: format!("{group}{name}").into_bytes().into(), expires_at }
}

/// Adds with a group of one byte.
pub async fn added(store: &Arc<dyn Store>, list: &Name, member: &Member, group_cap: usize, list_cap: usize) -> Vec<Member> {
    let add = Add { list: list.clone(), member: member.clone(), group_bytes: 1, group_cap, list_cap };
    store.list_add(&add).await.unwrap()
}

/// A moment that is not reached.
pub async fn far_off(store: &Arc<dyn Store>) -> Timestamp {
    now(store).await.plus(LATER)
}

pub async fn whole(store: &Arc<dyn Store>, list: &Name) -> Vec<Member> {
    store.list(list, None, 10_000).await.unwrap()
}

/// Polls a call a few times and drops it.
pub async fn give_up_after<T>(polls: usize, call: impl Future<Output = T>) {
    let mut call = pin!(call);
    for _ in 0..=polls {
        tokio::select! {
            biased;
            _ = &mut call => return,
            () = tokio::task::yield_now() => {}
        }
    }
}

/// For durable stores. `open` opens the same one each time; it is closed before it is opened again.
pub async fn what_was_acknowledged_survives_a_reopening(open: impl AsyncFn() -> Arc<dyn Store>) {
    let names = Names::default();
    let (kept, deleted, list) = (names.fresh(), names.fresh(), names.fresh());
    let store = open().await;
    let later = far(&store).await;
    made(&store, &Swap { expires_at: Some(later), ..change(&kept, None, Some(1)) }).await;
    made(&store, &change(&deleted, None, Some(1))).await;
    made(&store, &change(&deleted, Some(1), None)).await;
    let members = [member("g", "1", later), member("g", "2", later)];
    for one in &members {
        added(&store, &list, one, 10, 10).await;
    }
    let (a, b, c) = (append(&store, "a").await, append(&store, "b").await, append(&store, "c").await);
    assert!(store.settle(b, None).await.unwrap());
    let identity = store.follow_after(c, 1).await.unwrap().identity;
    drop(store);

    let store = open().await;
    let answer = store.get(&[kept, deleted]).await.unwrap();
    assert_eq!(answer.values, [Some(value(1)), None]);
    assert_eq!(whole(&store, &list).await, members);
    let followed = store.follow_after(a, 10).await.unwrap();
    assert_eq!((followed.gap, texts(&followed)), (false, vec!["b", "c"]));
    assert_eq!((followed.head, followed.settled, followed.identity, answer.identity), (c, b, identity, identity));
    assert!(append(&store, "d").await.micros > c.micros);
}

/// An embedded store in memory.
pub async fn in_memory() -> ((), Arc<dyn Store>) {
    ((), Arc::new(Embedded::in_memory(Clock::system()).unwrap()))
}

/// An embedded store in a file.
pub async fn embedded_file() -> (TempDir, Arc<dyn Store>) {
    let directory = TempDir::new().unwrap();
    let store = embedded_at(directory.path()).await;
    (directory, store)
}

/// The embedded store of that directory.
pub async fn embedded_at(directory: &Path) -> Arc<dyn Store> {
    Arc::new(Embedded::open(directory, Clock::system()).unwrap())
}

/// A Redis of its own.
pub async fn on_redis() -> (RedisServer, Arc<dyn Store>) {
    let server = RedisServer::start().await;
    let store = patient(&server.url()).await;
    (server, Arc::new(store))
}

/// The primary that Sentinels name, for a user who may do no more than is documented.
pub async fn on_sentinel() -> (Restricted, Arc<dyn Store>) {
    let all = RedisSentinel::start().await;
    let url = all.url_of("jeton:hunter2@");
    let restricted = Restricted { _sentinels: all.sentinels, nodes: all.nodes };
    restricted.admit(&restricted.nodes[..1]).await;
    let store = patient(&url).await;
    (restricted, Arc::new(store))
}

/// A cluster, for a user who may do no more than is documented.
pub async fn on_cluster() -> (Restricted, Arc<dyn Store>) {
    let all = RedisCluster::start().await;
    let url = all.url_of("jeton:hunter2@");
    let restricted = Restricted { _sentinels: Vec::new(), nodes: all.nodes };
    restricted.admit(&restricted.nodes[..3]).await;
    let store = patient(&url).await;
    (restricted, Arc::new(store))
}

/// Servers with a user `jeton` who may do what is documented and cannot load functions.
pub struct Restricted {
    nodes: Vec<RedisServer>,
    _sentinels: Vec<RedisServer>,
}

impl Restricted {
    async fn admit(&self, primaries: &[RedisServer]) {
        for node in &self.nodes {
            node.add_user("jeton", "hunter2", PERMISSIONS).await;
        }
        for primary in primaries {
            primary.ask::<String>(&["FUNCTION", "LOAD", FUNCTIONS]).await;
        }
    }

    async fn denied_nothing(&self) {
        for node in &self.nodes {
            assert_eq!(node.denied().await, []);
        }
    }
}

macro_rules! keeps_every_promise {
    ($tried:ident: $opener:ident) => {
        $tried! { $opener:
            records {
                absent_reads_as_none, get_answers_in_order, large_values_come_back_whole,
                create_only_when_absent, swap_only_when_stamp_matches, conflict_shows_what_is_there, delete_needs_the_stamp,
                one_of_many_concurrent_swaps_wins,
                expired_reads_as_absent, expired_may_be_created_anew, no_expiry_stays,
                reads_after_a_swap_see_what_was_there_before_it_was_sent,
                a_dropped_call_never_hands_its_reply_to_another,
            }
            lists {
                list_is_ordered_by_expiry, surplus_of_a_group_is_its_earliest, surplus_of_a_list_is_its_earliest,
                surplus_stays_and_is_told_again_until_it_is_removed, adding_twice_counts_once, list_pages_by_member,
                expired_members_are_gone_and_no_surplus, removed_members_are_gone,
            }
            log {
                revisions_grow, append_returns_all_after_the_cursor_with_its_own_last, concurrent_appends_are_all_there,
                follow_from_head_is_empty, follow_pages, who_follows_far_misses_nothing_that_comes_meanwhile,
                a_foreign_cursor_is_a_gap, follow_from_start_is_no_gap,
                settle_refuses_a_revision_that_is_gone, settled_never_goes_back, trim_stops_at_the_first_unsettled,
                trim_keeps_what_is_younger, trim_keeps_the_newest_entry,
                several_entries_are_appended_as_one, without_an_entry_the_log_stays_as_it_is,
                changed_wakes_when_something_was_appended,
                an_accepted_era_begins_above_everything, lost_intervals_are_told_to_who_knows_another_era,
                healed_is_refused_under_another_primary,
            }
        }
    };
}

/// Each promise is a test with a store of its own.
macro_rules! each {
    ($opener:ident: $($of:ident { $($promise:ident),+ $(,)? })+) => {
        mod $opener {
            $($(
                #[tokio::test(flavor = "multi_thread")]
                async fn $promise() {
                    let (_alive, store) = super::$opener().await;
                    super::$of::$promise(store, super::Names::of(stringify!($promise))).await;
                }
            )+)+
        }
    };
}

/// All promises are one test with one store.
macro_rules! in_turn {
    ($opener:ident: $($of:ident { $($promise:ident),+ $(,)? })+) => {
        mod $opener {
            #[tokio::test(flavor = "multi_thread")]
            async fn keeps_every_promise() {
                let (servers, store) = super::$opener().await;
                $($(
                    println!("{}", stringify!($promise));
                    super::$of::$promise(std::sync::Arc::clone(&store), super::Names::of(stringify!($promise))).await;
                )+)+
                assert_eq!(super::in_words(store.health().await.unwrap()), Vec::<String>::new());
                servers.denied_nothing().await;
            }
        }
    };
}

keeps_every_promise!(each: in_memory);
keeps_every_promise!(each: embedded_file);
keeps_every_promise!(each: on_redis);
keeps_every_promise!(in_turn: on_sentinel);
keeps_every_promise!(in_turn: on_cluster);

#[tokio::test(flavor = "multi_thread")]
async fn embedded_file_survives_a_reopening() {
    let directory = TempDir::new().unwrap();
    what_was_acknowledged_survives_a_reopening(async || embedded_at(directory.path()).await).await;
}

#[test]
fn every_promise_has_a_test_of_its_name() {
    let docs = include_str!("../../src/store.rs");
    let suite = [
        include_str!("store_contract.rs"),
        include_str!("store_contract/records.rs"),
        include_str!("store_contract/lists.rs"),
        include_str!("store_contract/log.rs"),
    ]
    .concat();
    let promises = docs.split_once("# Promises").unwrap().1.split_once("# Errors").unwrap().0;
    let named: Vec<&str> = promises.split('`').skip(1).step_by(2).filter(|name| name.contains('_')).collect();
    assert!(named.len() > 30, "the list of promises was found: {named:?}");
    // One that is defined and in no macro's list is dead code, which the lints report.
    let missing: Vec<&&str> = named.iter().filter(|name| !suite.contains(&format!("async fn {name}("))).collect();
    assert!(missing.is_empty(), "promised and not tested: {missing:?}");
}

/// A store that waits for as long as a busy machine may take: what these tests are about is not time.
pub async fn patient(url: &str) -> Redis {
    let patience = Duration::from_secs(20);
    let settings = redis::Settings { connect_timeout: patience, response_timeout: patience, ..redis::Settings::default() };
    Redis::connect_with(url, Clock::system(), settings).await.unwrap()
}

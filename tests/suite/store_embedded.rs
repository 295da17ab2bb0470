//! What only the embedded store does: one flush for many, collecting what expired, its file and what is kept of it in memory.

use crate::store_contract::Log;
use crate::store_contract::{Names, added, change, eventually, give_up_after, made, member, read, value, whole};
use jeton::clock::Clock;
use jeton::store::embedded::Embedded;
use jeton::store::{Logged, Name, Store, StoreError, Swap, Swapped};
use jeton_domain::revision::Revision;
use jeton_domain::time::{Millis, Timestamp};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::task::JoinSet;

fn refusal(opened: Result<Embedded, StoreError>) -> StoreError {
    opened.err().expect("it was opened")
}

#[tokio::test]
async fn many_callers_share_a_flush() {
    let directory = TempDir::new().unwrap();
    let store = Arc::new(Embedded::open(directory.path(), Clock::system()).unwrap());
    let names = Names::default();
    for round in 0..10 {
        let before = store.commits();
        let mut tasks = JoinSet::new();
        for _ in 0..64 {
            let (store, swap) = (Arc::clone(&store), change(&names.fresh(), None, Some(1)));
            tasks.spawn(async move { store.swap(&swap, &[]).await.unwrap().0 });
        }
        assert!(tasks.join_all().await.iter().all(|swapped| *swapped == Swapped::Done));
        let commits = store.commits() - before;
        assert!((1..=16).contains(&commits), "round {round}: {commits} commits for 64 swaps");
    }
}

#[tokio::test]
async fn a_conflict_costs_no_flush() {
    let store = Embedded::in_memory(Clock::system()).unwrap();
    let name = Names::default().fresh();
    assert_eq!(store.swap(&change(&name, None, Some(1)), &[]).await.unwrap().0, Swapped::Done);
    let before = store.commits();
    for _ in 0..5 {
        assert_eq!(store.swap(&change(&name, None, Some(2)), &[]).await.unwrap().0, Swapped::Conflict(Some(value(1))));
    }
    assert_eq!(store.commits(), before);
}

#[tokio::test]
async fn what_expired_is_collected_when_nobody_writes() {
    let start = Timestamp::from_secs(1_700_000_000);
    let clock = Clock::fixed(start);
    let embedded = Arc::new(Embedded::in_memory(clock.clone()).unwrap());
    let store: Arc<dyn Store> = embedded.clone();
    let names = Names::default();
    let at = |seconds| start.plus(Millis::from_secs(seconds));
    let expiring = |name: &Name, expected, becomes, at| Swap { expires_at: Some(at), ..change(name, expected, Some(becomes)) };
    for i in 0..600 {
        made(&store, &expiring(&names.fresh(), None, i, at(10 + i % 7))).await;
    }
    let (forever, later, sooner, freed, bound) = (names.fresh(), names.fresh(), names.fresh(), names.fresh(), names.fresh());
    made(&store, &change(&forever, None, Some(1))).await;
    made(&store, &expiring(&later, None, 1, at(10))).await;
    made(&store, &expiring(&later, Some(1), 2, at(100))).await;
    made(&store, &expiring(&sooner, None, 1, at(100))).await;
    made(&store, &expiring(&sooner, Some(1), 2, at(10))).await;
    made(&store, &expiring(&freed, None, 1, at(10))).await;
    made(&store, &change(&freed, Some(1), Some(2))).await;
    made(&store, &change(&bound, None, Some(1))).await;
    made(&store, &expiring(&bound, Some(1), 2, at(10))).await;
    let (mixed, short) = (names.fresh(), names.fresh());
    for (list, name, seconds) in [(&mixed, "1", 100), (&mixed, "2", 10), (&short, "1", 10)] {
        added(&store, list, &member("g", name, at(seconds)), 10, 10).await;
    }
    assert_eq!(embedded.held().unwrap(), 607);

    clock.advance(Millis::from_secs(50));
    eventually("only what is alive is held", async || embedded.held().unwrap() == 4).await;
    assert_eq!(read(&store, &later).await, Some(value(2)));
    assert_eq!(read(&store, &freed).await, Some(value(2)));
    assert_eq!(whole(&store, &mixed).await, [member("g", "1", at(100))]);

    clock.advance(Millis::from_secs(51));
    eventually("what never expires is held", async || embedded.held().unwrap() == 2).await;
    assert_eq!(read(&store, &forever).await, Some(value(1)));
    let commits = embedded.commits();
    made(&store, &expiring(&names.fresh(), None, 1, at(10))).await;
    eventually("what is born expired goes too", async || embedded.held().unwrap() == 2).await;
    assert!(embedded.commits() > commits);
}

#[tokio::test]
async fn dropping_it_flushes_what_was_accepted() {
    let directory = TempDir::new().unwrap();
    let names = Names::default();
    let sent: Vec<Name> = (0..100).map(|_| names.fresh()).collect();
    let store: Arc<dyn Store> = Arc::new(Embedded::open(directory.path(), Clock::system()).unwrap());
    for name in &sent {
        give_up_after(0, store.swap(&change(name, None, Some(1)), &[])).await;
    }
    drop(store);
    let store = Embedded::open(directory.path(), Clock::system()).unwrap();
    assert_eq!(store.get(&sent).await.unwrap().values, vec![Some(value(1)); 100]);
}

#[tokio::test]
async fn collecting_goes_on_after_a_reopening() {
    let directory = TempDir::new().unwrap();
    let clock = Clock::fixed(Timestamp::from_secs(1_700_000_000));
    let soon = clock.now().plus(Millis::from_secs(1));
    let store: Arc<dyn Store> = Arc::new(Embedded::open(directory.path(), clock.clone()).unwrap());
    made(&store, &Swap { expires_at: Some(soon), ..change(&Names::default().fresh(), None, Some(1)) }).await;
    drop(store);
    clock.advance(Millis::from_secs(2));
    let store = Embedded::open(directory.path(), clock).unwrap();
    eventually("it is collected", async || store.held().unwrap() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_memory_is_followed_from_the_file() {
    let directory = TempDir::new().unwrap();
    let store = Arc::new(Embedded::open(directory.path(), Clock::system()).unwrap());
    let mut tasks = JoinSet::new();
    for task in 0..64_u64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut cursor = store.follow_after(Revision::START, 1).await.unwrap().head;
            for i in 0..140 {
                cursor = store.append_after(&(task * 1_000 + i).to_be_bytes(), cursor, Revision::START).await.unwrap().head;
            }
        });
    }
    tasks.join_all().await;
    let all = paged(&store, 1_000).await;
    assert_eq!(all.len(), 64 * 140, "more than the 8,192 that are kept in memory");
    let (in_file, in_memory) = (all[100].revision, all[8_000].revision);
    assert_eq!(store.follow_after(in_file, 50).await.unwrap().entries, all[101..151]);
    assert_eq!(store.follow_after(in_memory, 50).await.unwrap().entries, all[8_001..8_051]);
    for known in [in_file, in_memory] {
        let foreign = store.follow_after(Revision { random: known.random ^ 1, ..known }, 50).await.unwrap();
        assert_eq!((foreign.gap, foreign.more, foreign.entries), (true, true, all[..50].to_vec()));
    }
    let answer = store.append_after(b"last", in_file, Revision::START).await.unwrap();
    assert_eq!((answer.gap, answer.entries.len()), (false, all.len() - 100));
    assert_eq!(answer.entries[..all.len() - 101], all[101..]);

    assert!(store.settle(all[7_999].revision, None).await.unwrap());
    let far = Timestamp::from_millis(answer.head.micros / 1_000 + 1_000);
    assert_eq!(store.trim(far).await.unwrap(), 8_000, "in several commits");
    assert_eq!(paged(&store, 100).await[..960], all[8_000..]);
    assert!(store.follow_after(in_file, 1).await.unwrap().gap);
    drop(store);
    let store = Arc::new(Embedded::open(directory.path(), Clock::system()).unwrap());
    assert_eq!(paged(&store, 10_000).await[..960], all[8_000..]);
}

async fn paged(store: &Arc<Embedded>, limit: usize) -> Vec<Logged> {
    let mut all: Vec<Logged> = Vec::new();
    loop {
        let cursor = all.last().map_or(Revision::START, |last| last.revision);
        let page = store.follow_after(cursor, limit).await.unwrap();
        assert!(!page.gap);
        all.extend(page.entries);
        if !page.more {
            return all;
        }
    }
}

#[tokio::test]
async fn a_place_beyond_all_clocks_is_refused() {
    let store = Embedded::in_memory(Clock::system()).unwrap();
    let beyond = Revision { micros: (1 << 53) - 1, random: 0 };
    let answer = store.append_after(b"entry", Revision::START, beyond).await;
    assert!(matches!(&answer, Err(StoreError::Broken(text)) if text.contains("check the clocks")), "{answer:?}");
    assert!(store.append_after(b"entry", Revision::START, Revision::START).await.is_ok(), "and spoils nothing");
}

#[test]
fn nobody_else_may_read_the_file() {
    let directory = TempDir::new().unwrap();
    let inside = directory.path().join("data");
    let _store = Embedded::open(&inside, Clock::system()).unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(inside.clone()), 0o700);
    assert_eq!(mode(inside.join("jeton.redb")), 0o600);
}

#[test]
fn the_same_process_is_refused_a_second_time_too() {
    let directory = TempDir::new().unwrap();
    let first = Embedded::open(directory.path(), Clock::system()).unwrap();
    let text = refusal(Embedded::open(directory.path(), Clock::system())).to_string();
    assert!(text.contains("another process holds") && text.contains("stop it"), "{text}");
    drop(first);
    Embedded::open(directory.path(), Clock::system()).unwrap();
}

#[test]
fn what_is_no_store_is_refused_and_left_as_it_is() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("jeton.redb");
    fs::write(&file, "a letter to my aunt").unwrap();
    let error = refusal(Embedded::open(directory.path(), Clock::system()));
    assert!(matches!(&error, StoreError::Broken(text) if text.contains("restore it from a backup")), "{error:?}");
    assert_eq!(fs::read(&file).unwrap(), b"a letter to my aunt");
    let error = refusal(Embedded::open(&file, Clock::system()));
    assert!(matches!(&error, StoreError::Unavailable(text) if text.contains("must be a directory")), "{error:?}");
}

//! The embedded store and the end of its process: killed in the middle of writing, a disk that is full, a second process.
//!
//! The writing process is this very test binary, started again with one test that writes only when it is told where.

use crate::store_contract::Log;
use crate::store_contract::{embedded_at, value};
use bytes::Bytes;
use jeton::store::{Add, Durability, Member, Name, Store, Swap, Swapped};
use jeton_domain::id::Identity;
use jeton_domain::revision::Revision;
use jeton_domain::time::{Millis, Timestamp};
use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

/// Where to write; set for the child only.
const DIRECTORY: &str = "JETON_TEST_CRASH_DIRECTORY";
/// The first number to write; set for the child only.
const FROM: &str = "JETON_TEST_CRASH_FROM";
const CHILD_TEST: &str = "store_crash::writes_until_it_is_killed";

/// Added to a number when its record is swapped for the second time.
const SECOND: u64 = 1 << 32;

fn record(number: u64) -> Name {
    Name::new(&format!("{{ab12}}:r:{number}"))
}

fn list(number: u64) -> Name {
    Name::new(&format!("{{ab12}}:l:{}", number / 50))
}

/// The child: writes from many tasks, and prints what was acknowledged.
#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::disallowed_methods,
    reason = "the parent says so in the environment: the command line belongs to the test runner"
)]
async fn writes_until_it_is_killed() {
    let (Ok(directory), Ok(from)) = (std::env::var(DIRECTORY), std::env::var(FROM)) else { return };
    let store = embedded_at(Path::new(&directory)).await;
    let next = Arc::new(AtomicU64::new(from.parse().unwrap()));
    // The test runner has begun a line.
    println!();
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let (store, next) = (Arc::clone(&store), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                write(&store, next.fetch_add(1, Ordering::Relaxed)).await;
            }
        });
    }
    tasks.join_all().await;
}

async fn write(store: &Arc<dyn Store>, number: u64) {
    let created =
        Swap { name: record(number), expected: None, value: Some(value(number)), expires_at: None, needs: Durability::Applied };
    assert_eq!(store.swap(&created, &[]).await.unwrap().0, Swapped::Done);
    println!("record {number}");
    let stamp = value(number)[..17].try_into().unwrap();
    let swapped = Swap { expected: Some(stamp), value: Some(value(number + SECOND)), ..created };
    assert_eq!(store.swap(&swapped, &[]).await.unwrap().0, Swapped::Done);
    println!("swapped {number}");
    let expires_at = store.time().await.unwrap().0.plus(Millis::from_secs(86_400));
    let member = Member { bytes: number.to_be_bytes().to_vec().into(), expires_at };
    let add = Add { list: list(number), member, group_bytes: 1, group_cap: 1_000, list_cap: 1_000 };
    assert!(store.list_add(&add).await.unwrap().is_empty());
    println!("member {number}");
    let head = store.append_after(&number.to_be_bytes(), Revision::START, Revision::START).await.unwrap().head;
    println!("entry {number} {head}");
    if number.is_multiple_of(1_000) {
        // Keeps the log short, and shows that what is forgotten stays so.
        assert!(store.settle(head, None).await.unwrap());
        println!("settled {number} {head}");
        store.trim(Timestamp::from_millis(head.micros / 1_000)).await.unwrap();
    }
}

fn child(directory: &Path, from: u64, limit: Option<u32>) -> Child {
    let binary = std::env::current_exe().unwrap();
    let mut command = match limit {
        None => Command::new(binary),
        Some(kilobytes) => {
            let mut shell = Command::new("sh");
            // A process that ignores the signal gets an error where it writes beyond the limit, as on a full disk.
            shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kilobytes * 2)]).arg(binary);
            shell
        }
    };
    command.args(["--exact", CHILD_TEST, "--nocapture", "--test-threads=1"]);
    command.env(DIRECTORY, directory).env(FROM, from.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

/// Waits for the end of a child; fails where it does not come in a minute.
async fn ended<T>(end: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), end).await.expect("the child neither writes nor ends")
}

/// Reads what the child acknowledges until it ends, kills it after `kill_after` of them; and the signal that ended it.
async fn acknowledged_by(mut child: Child, kill_after: Option<usize>) -> (Acknowledged, Option<i32>) {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Acknowledged::default();
    let mut killed = false;
    while let Some(line) = ended(lines.next_line()).await.unwrap() {
        acknowledged.note(&line);
        if !killed && Some(acknowledged.count) == kill_after {
            child.start_kill().unwrap();
            killed = true;
        }
    }
    let status = ended(child.wait()).await.unwrap();
    (acknowledged, status.signal())
}

/// What was acknowledged, by kind.
#[derive(Default)]
struct Acknowledged {
    records: Vec<u64>,
    swapped: Vec<u64>,
    members: Vec<u64>,
    entries: HashMap<u64, Revision>,
    settled: Revision,
    count: usize,
}

impl Acknowledged {
    fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = || words[1].parse().unwrap();
        let revision = || Revision::parse(words[2]).unwrap();
        match words[0] {
            "record" => self.records.push(number()),
            "swapped" => self.swapped.push(number()),
            "member" => self.members.push(number()),
            "entry" => drop(self.entries.insert(number(), revision())),
            "settled" => self.settled = self.settled.max(revision()),
            _ => return,
        }
        self.count += 1;
    }

    /// The first number that nobody used: tasks run at most 16 ahead of what they print.
    fn beyond(&self, from: u64) -> u64 {
        self.records.iter().copied().max().unwrap_or(from) + 17
    }

    async fn check(&self, store: &Arc<dyn Store>, round: usize) {
        for &number in &self.records {
            let found = store.get(&[record(number)]).await.unwrap().values.remove(0);
            let second = Some(value(number + SECOND));
            assert!(found == second || found == Some(value(number)), "round {round}: record {number} is {found:?}");
        }
        for &number in &self.swapped {
            let found = store.get(&[record(number)]).await.unwrap().values.remove(0);
            assert_eq!(found, Some(value(number + SECOND)), "round {round}: the swap of {number} is lost");
        }
        for &number in &self.members {
            let members = store.list(&list(number), None, 1_000).await.unwrap();
            let there = members.iter().any(|member| *member.bytes == number.to_be_bytes());
            assert!(there, "round {round}: member {number} is lost");
        }
        let followed = store.follow_after(Revision::START, 1_000_000).await.unwrap();
        assert!(followed.settled >= self.settled, "round {round}: settled went back");
        assert!(followed.entries.is_sorted_by(|a, b| a.revision.micros < b.revision.micros));
        let there: HashMap<Revision, Bytes> =
            followed.entries.into_iter().map(|logged| (logged.revision, logged.entry)).collect();
        for (number, revision) in &self.entries {
            // Only what is settled may have been trimmed.
            let found = there.get(revision).map(|entry| entry.as_ref() == number.to_be_bytes());
            assert!(found.unwrap_or(*revision <= followed.settled), "round {round}: entry {number} at {revision} is lost");
        }
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_missing_after_fifty_kills() {
    let directory = TempDir::new().unwrap();
    let (mut from, mut all, mut identity): (u64, Vec<Acknowledged>, Option<Identity>) = (0, Vec::new(), None);
    for round in 0..50 {
        let child = child(directory.path(), from, None);
        let (acknowledged, signal) = acknowledged_by(child, Some(1 + round * 37 % 500)).await;
        assert_eq!(signal, Some(9), "round {round}: it wrote until it was killed");
        let store = embedded_at(directory.path()).await;
        acknowledged.check(&store, round).await;
        let found = store.get(&[record(0)]).await.unwrap().identity;
        assert_eq!(*identity.get_or_insert(found), found, "a file has one identity");
        from = acknowledged.beyond(from);
        all.push(acknowledged);
    }
    let store = embedded_at(directory.path()).await;
    for (round, acknowledged) in all.iter().enumerate() {
        acknowledged.check(&store, round).await;
    }
    let count: usize = all.iter().map(|acknowledged| acknowledged.count).sum();
    assert!(count > 5_000, "only {count} writes were acknowledged");
}

#[tokio::test]
async fn a_failed_write_ends_the_process_and_nothing_acknowledged_is_missing() {
    let directory = TempDir::new().unwrap();
    let (acknowledged, signal) = acknowledged_by(child(directory.path(), 0, Some(1_024)), None).await;
    assert_eq!(signal, Some(6), "it ended itself");
    assert!(acknowledged.count > 100, "only {} writes fitted", acknowledged.count);
    acknowledged.check(&embedded_at(directory.path()).await, 0).await;
}

#[tokio::test]
async fn a_second_process_is_refused_and_told_what_to_do() {
    let directory = TempDir::new().unwrap();
    let store = embedded_at(directory.path()).await;
    let mut second = child(directory.path(), 0, None);
    let mut said = String::new();
    ended(second.stderr.take().unwrap().read_to_string(&mut said)).await.unwrap();
    assert!(!ended(second.wait()).await.unwrap().success());
    let path = directory.path().join("jeton.redb").display().to_string();
    for part in ["another process holds", &path, "stop it", "a directory of its own", "need Redis"] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    assert!(store.health().await.is_ok(), "the first goes on");
    drop(store);
    embedded_at(directory.path()).await;
}

//! The embedded store: one durable file (or memory, for tests), one writer thread, many callers that share one flush.
//!
//! Lives here: the store as its callers see it. Below it: `file` (what lies where on disk), `writer` (the thread and its queue),
//! `batch` (how writes are judged), `members` (a packed list), `log` (the log's newest entries in memory). Must not live here: what the
//! bytes mean. The file belongs to one process; several replicas need the Redis store.

mod batch;
mod file;
mod log;
mod members;
mod writer;

pub use self::file::{FILE_NAME, make_directory};

use crate::clock::Clock;
use crate::store::{Add, Durability, Followed, Member, Name, Position, Read, Store, StoreError, Swap, Swapped, Wrong};
use async_trait::async_trait;
use bytes::Bytes;
use file::{File, unreadable};
use jeton_domain::id::{Identity, ReplicaId};
use jeton_domain::revision::Revision;
use jeton_domain::time::{Millis, Timestamp};
use log::Tail;
use redb::{Database, ReadableDatabase as _, ReadableTableMetadata as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use writer::{Job, Reply, TRIM_CHUNK};

/// How many writes may wait for the writer.
const QUEUE: usize = 4_096;

/// How long a write waits for a place in the queue.
const QUEUE_WAIT: Duration = Duration::from_secs(1);

/// How long a write waits for its flush: a disk that takes longer is not serving.
const FLUSH_WAIT: Duration = Duration::from_secs(5);

/// A store in one file of this machine. Dropping it waits until everything accepted is flushed, and gives up the file.
///
/// A flush that fails ends the process: what a retry would acknowledge may not be on the disk.
// The order of the fields is the order in which they are dropped: the queue is closed, the thread ends, the file is let go.
pub struct Embedded {
    queue: mpsc::Sender<Job>,
    _writer: writer::Thread,
    shared: Arc<Shared>,
}

/// What the callers and the writer both hold.
struct Shared {
    database: Database,
    identity: Identity,
    clock: Clock,
    /// What is flushed of the log. Only the writer changes it, only after a flush.
    tail: RwLock<Tail>,
    /// The newest entry, for who waits for one.
    newest: watch::Sender<Revision>,
    commits: AtomicU64,
}

impl Shared {
    fn tail(&self) -> RwLockReadGuard<'_, Tail> {
        self.tail.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Embedded {
    /// Opens the store in the directory `path`, and makes it (mode 0700; the file in it 0600) where there is none.
    ///
    /// # Errors
    /// `Unavailable` where the directory cannot be used or another process holds the file, `Broken` where the file is not one of ours.
    pub fn open(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        Self::start(file::open(path)?, clock)
    }

    /// A store that is gone when it is dropped: for tests.
    ///
    /// # Errors
    /// `Unavailable` where there is no randomness or no thread to be had.
    pub fn in_memory(clock: Clock) -> Result<Self, StoreError> {
        Self::start(file::in_memory()?, clock)
    }

    fn start(file: File, clock: Clock) -> Result<Self, StoreError> {
        let File { database, identity, tail, next_due } = file;
        let newest = watch::Sender::new(tail.head());
        let shared = Arc::new(Shared { database, identity, clock, tail: RwLock::new(tail), newest, commits: AtomicU64::new(0) });
        let (queue, jobs) = mpsc::channel(QUEUE);
        let writer = writer::Thread::start(Arc::clone(&shared), jobs, next_due)?;
        Ok(Self { queue, _writer: writer, shared })
    }

    /// How many flushes there were since it was opened. Many writes share one.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    /// How many records and lists the file holds, those that expired and await collection included.
    ///
    /// # Errors
    /// `Unavailable` where the file cannot be read.
    pub fn held(&self) -> Result<u64, StoreError> {
        let transaction = self.shared.database.begin_read().map_err(unreadable)?;
        let records = transaction.open_table(file::RECORDS).map_err(unreadable)?.len().map_err(unreadable)?;
        let lists = transaction.open_table(file::LISTS).map_err(unreadable)?.len().map_err(unreadable)?;
        Ok(records.saturating_add(lists))
    }

    async fn write<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue.send_timeout(job(reply), QUEUE_WAIT).await.map_err(|error| {
            StoreError::Unavailable(format!("the embedded store takes no more writes, its disk is too slow or it ended: {error}"))
        })?;
        match tokio::time::timeout(FLUSH_WAIT, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(ended()),
            Err(_) => Err(StoreError::Unavailable("the embedded store's disk did not flush in time".to_owned())),
        }
    }

    fn read(&self, names: &[Name]) -> Result<Read, StoreError> {
        let identity = self.shared.identity;
        if names.is_empty() {
            return Ok(Read { values: Vec::new(), identity });
        }
        let now = self.shared.clock.now();
        let transaction = self.shared.database.begin_read().map_err(unreadable)?;
        let records = transaction.open_table(file::RECORDS).map_err(unreadable)?;
        let value = |name: &Name| -> Result<Option<Bytes>, redb::StorageError> {
            let found = records.get_owned(name.as_str())?;
            Ok(found.and_then(|found| {
                let (until, bytes) = found.value();
                (until > now.millis()).then(|| Bytes::copy_from_slice(bytes))
            }))
        };
        let values = names.iter().map(value).collect::<Result<_, _>>().map_err(unreadable)?;
        Ok(Read { values, identity })
    }
}

fn ended() -> StoreError {
    StoreError::Unavailable("the embedded store's writer has ended: restart the process".to_owned())
}

#[async_trait]
impl Store for Embedded {
    async fn get(&self, names: &[Name]) -> Result<Read, StoreError> {
        self.read(names)
    }

    async fn swap(&self, swap: &Swap, also: &[Name]) -> Result<(Swapped, Read), StoreError> {
        let swapped = self.write(|reply| Job::Swap(swap.clone(), reply)).await?;
        Ok((swapped, self.read(also)?))
    }

    async fn confirm(&self, _name: &Name) -> Result<(), StoreError> {
        Ok(())
    }

    async fn list_add(&self, add: &Add) -> Result<Vec<Member>, StoreError> {
        self.write(|reply| Job::Add(add.clone(), reply)).await
    }

    async fn list_remove(&self, list: &Name, members: &[Bytes]) -> Result<(), StoreError> {
        self.write(|reply| Job::Remove(list.clone(), members.to_vec(), reply)).await
    }

    async fn list(&self, list: &Name, after: Option<&Member>, limit: usize) -> Result<Vec<Member>, StoreError> {
        let now = self.shared.clock.now();
        let transaction = self.shared.database.begin_read().map_err(unreadable)?;
        let lists = transaction.open_table(file::LISTS).map_err(unreadable)?;
        let Some(packed) = lists.get_owned(list.as_str()).map_err(unreadable)? else { return Ok(Vec::new()) };
        let members = members::unpack(packed.value()).ok_or_else(file::garbled)?;
        Ok(members::page(members, after, limit, now))
    }

    async fn append(&self, entries: &[Bytes], position: Position) -> Result<(Followed, Durability), StoreError> {
        let entries = entries.to_vec();
        let followed = self.write(|reply| Job::Append { entries, position, reply }).await?;
        Ok((followed, Durability::Applied))
    }

    async fn follow(&self, position: Position, limit: usize) -> Result<Followed, StoreError> {
        let now = self.shared.clock.now();
        let (log, page) = {
            let tail = self.shared.tail();
            (tail.at(position), tail.page(position.cursor, limit))
        };
        let page = match page {
            Some(page) => page,
            None => {
                let transaction = self.shared.database.begin_read().map_err(unreadable)?;
                let table = transaction.open_table(file::LOG).map_err(unreadable)?;
                // Not beyond the head: what is not published yet has not happened for any other caller.
                log::page(&table, position.cursor, log.head, limit).map_err(unreadable)?
            }
        };
        Ok(page.followed(self.shared.identity, now, log))
    }

    async fn changed(&self, cursor: Revision) -> Result<(), StoreError> {
        let mut newest = self.shared.newest.subscribe();
        newest.wait_for(|newest| *newest != cursor).await.map(drop).map_err(|_closed| ended())
    }

    async fn settle(&self, upto: Revision, _under: Option<Identity>) -> Result<bool, StoreError> {
        self.write(|reply| Job::Settle(upto, reply)).await
    }

    async fn trim(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        let mut trimmed = 0;
        loop {
            let more = self.write(|reply| Job::Trim(older_than, reply)).await?;
            trimmed += more;
            if more < TRIM_CHUNK {
                return Ok(trimmed);
            }
        }
    }

    async fn beat(&self, _replica: ReplicaId, _horizon: Millis, _joins: bool) -> Result<(), StoreError> {
        // The file has one process: nobody waits for another.
        Ok(())
    }

    async fn leave(&self, _replica: ReplicaId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn healed(&self, _replica: ReplicaId, under: Identity) -> Result<bool, StoreError> {
        Ok(under == self.shared.identity)
    }

    async fn accept(&self, position: Position) -> Result<Revision, StoreError> {
        self.write(|reply| Job::Accept(position, reply)).await
    }

    async fn time(&self) -> Result<(Timestamp, Millis), StoreError> {
        Ok((self.shared.clock.now(), Millis::ZERO))
    }

    async fn health(&self) -> Result<Vec<Wrong>, StoreError> {
        if self.queue.is_closed() { Err(ended()) } else { Ok(Vec::new()) }
    }
}

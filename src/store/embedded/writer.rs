//! The writer: one thread that drains the queue into one commit, and answers only after the flush.
//!
//! Not here: how a write is judged (`batch`).

use super::Shared;
use super::batch::{Batch, Done};
use crate::store::{Add, Followed, Member, Name, Position, StoreError, Swap, Swapped};
use bytes::Bytes;
use jeton_domain::revision::Revision;
use jeton_domain::time::Timestamp;
use redb::Durability;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How many writes share a flush at most.
const BATCH: usize = 1_024;

/// How many expired records and lists are collected in one commit at most, so that nobody waits for it.
const COLLECTED: usize = 256;

/// How often the writer looks for what expired when nobody writes.
const IDLE: Duration = Duration::from_secs(1);

/// How many entries of the log are forgotten in one commit at most.
pub(super) const TRIM_CHUNK: u64 = 4_096;

/// Where an answer goes. Its receiver may be gone: then nobody reads it.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A write that waits.
pub(super) enum Job {
    Swap(Swap, Reply<Swapped>),
    Add(Add, Reply<Vec<Member>>),
    Remove(Name, Vec<Bytes>, Reply<()>),
    Append { entries: Vec<Bytes>, position: Position, reply: Reply<Followed> },
    Accept(Position, Reply<Revision>),
    Settle(Revision, Reply<bool>),
    Trim(Timestamp, Reply<u64>),
}

/// The thread. Dropping it waits for its end, which comes when the queue is closed and empty.
pub(super) struct Thread(Option<JoinHandle<()>>);

impl Thread {
    pub(super) fn start(shared: Arc<Shared>, jobs: mpsc::Receiver<Job>, next_due: Timestamp) -> Result<Self, StoreError> {
        let no_thread =
            |error: std::io::Error| StoreError::Unavailable(format!("no thread for the embedded store's writer: {error}"));
        // A runtime of its own, for one thing: to wait for jobs or for time to pass.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(no_thread)?;
        let writer = Writer { shared, next_due };
        let run = move || runtime.block_on(writer.run(jobs));
        let thread = std::thread::Builder::new().name("jeton-store".to_owned()).spawn(run).map_err(no_thread)?;
        Ok(Self(Some(thread)))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if self.0.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the embedded store's writer has panicked");
        }
    }
}

struct Writer {
    shared: Arc<Shared>,
    /// Nothing expires before it.
    next_due: Timestamp,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(BATCH);
        loop {
            let idle = if self.is_due() { Duration::ZERO } else { IDLE };
            match tokio::time::timeout(idle, queue.recv_many(&mut jobs, BATCH)).await {
                Ok(0) => return,
                Err(_) if !self.is_due() => continue,
                Ok(_) | Err(_) => {}
            }
            if let Err(error) = self.commit(&mut jobs) {
                end_process(&error);
            }
        }
    }

    fn is_due(&self) -> bool {
        self.next_due <= self.shared.clock.now()
    }

    fn commit(&mut self, jobs: &mut Vec<Job>) -> Result<(), redb::Error> {
        let mut transaction = self.shared.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        let mut batch = Batch::new(&transaction, &self.shared, self.next_due);
        let mut answers: Vec<Answer> = Vec::with_capacity(jobs.len());
        for job in jobs.drain(..) {
            answers.push(judge(&mut batch, job)?);
        }
        batch.collect(COLLECTED)?;
        let Done { changed, pending, next_due } = batch.done();
        if changed {
            transaction.commit()?;
            self.shared.commits.fetch_add(1, Ordering::Relaxed);
            let head = {
                let mut tail = self.shared.tail.write().unwrap_or_else(PoisonError::into_inner);
                tail.publish(pending);
                tail.head()
            };
            self.shared.newest.send_if_modified(|newest| std::mem::replace(newest, head) != head);
        } else {
            transaction.abort()?;
        }
        self.next_due = next_due;
        answers.into_iter().for_each(|answer| answer());
        Ok(())
    }
}

/// A reply that is held back until the flush.
type Answer = Box<dyn FnOnce()>;

fn judge(batch: &mut Batch<'_>, job: Job) -> Result<Answer, redb::Error> {
    Ok(match job {
        Job::Swap(swap, reply) => held(reply, batch.swap(&swap)?),
        Job::Add(add, reply) => held(reply, batch.add(&add)?),
        Job::Remove(list, members, reply) => held(reply, batch.remove(&list, &members)?),
        Job::Append { entries, position, reply } => held(reply, batch.append(entries, position)?),
        Job::Accept(position, reply) => held(reply, batch.accept(position)?),
        Job::Settle(upto, reply) => held(reply, Ok(batch.settle(upto)?)),
        Job::Trim(older_than, reply) => held(reply, Ok(batch.trim(older_than, TRIM_CHUNK)?)),
    })
}

fn held<T: 'static>(reply: Reply<T>, answer: Result<T, StoreError>) -> Answer {
    Box::new(move || drop(reply.send(answer)))
}

/// After a failed write nobody knows what the disk holds: a retry could acknowledge what is lost. Reading the file anew tells.
fn end_process(error: &redb::Error) -> ! {
    tracing::error!(%error, "the embedded store's file could not be written: ending the process, start it again when the disk is well");
    std::process::abort()
}

//! Writes that are answered when all configured replicas have them: one connection for each primary, whose task sends what waits as one
//! batch with one `WAIT` behind it. While a batch is under way the next one gathers.
//!
//! `WAIT` speaks for the connection that it goes down, so the batch and it are one piece over one connection that never reconnects in
//! between. Its count is compared with the configured number, never with how many happen to be connected. Must not live here: what is
//! written, and what a caller makes of a write that is not durable.

use super::connection::Live;
use super::library::Call;
use super::link::{Link, Request, server_error};
use super::reply::{self, Refusal};
use crate::store::{Durability, StoreError};
use ::redis::{ServerError, Value, cmd};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How many writes share a `WAIT` at most.
const BATCH: usize = 512;
/// How many writes may wait for their batch.
const QUEUE: usize = 4_096;

/// How a batch waits for replicas.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// How many must have it.
    pub(super) replicas: u32,
    /// For how long they are waited for, from 1 ms.
    pub(super) timeout: Duration,
    /// How long a batch may take.
    pub(super) patience: Duration,
}

/// A write that was answered.
pub(super) struct Written {
    /// What its function answered; a refusal where it was not made.
    pub(super) answer: Value,
    /// The connection that it went over.
    pub(super) live: Arc<Live>,
    /// How far it got.
    pub(super) reached: Durability,
}

impl Written {
    /// Nothing was waited for.
    pub(super) fn applied((answer, live): (Value, Arc<Live>)) -> Self {
        Self { answer, live, reached: Durability::Applied }
    }

    /// The answer, if the write got as far as it had to.
    pub(super) fn durable(self, needs: Durability) -> Result<Value, StoreError> {
        if self.reached < needs { Err(not_durable()) } else { Ok(self.answer) }
    }
}

/// In force, and not where it had to be.
pub(super) fn not_durable() -> StoreError {
    StoreError::NotDurable(
        "the write is in force, but not all configured replicas of Redis acknowledged it in time: a failover may lose it; look \
         which replica is down or behind"
            .to_owned(),
    )
}

/// The writer of one primary. Its task ends when this is dropped.
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
}

struct Job {
    call: Call,
    /// Its slot is being moved to this primary.
    asking: bool,
    reply: oneshot::Sender<Result<Written, Refusal>>,
}

impl Writer {
    /// Over a link that nothing else uses.
    pub(super) fn start(link: Arc<Link>, wait: Wait) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        #[expect(clippy::disallowed_methods, reason = "ends with its queue; a write given up must not end it for others")]
        drop(tokio::spawn(run(link, wait, jobs)));
        Self { queue }
    }

    /// Makes a write, and waits for the replicas. Not bounded in time: given up, it may still be made.
    pub(super) async fn write(&self, call: Call, asking: bool) -> Result<Written, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Job { call, asking, reply }).await.map_err(|_closed| ENDED)?;
        answer.await.map_err(|_closed| ENDED)?
    }
}

const ENDED: Refusal = Refusal::Lost("the process ends: nothing is written to Redis any more");

async fn run(link: Arc<Link>, wait: Wait, mut queue: mpsc::Receiver<Job>) {
    let mut jobs = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut jobs, BATCH).await > 0 {
        // Nobody waits any more: its time-out passed before its turn came.
        jobs.retain(|job: &Job| !job.reply.is_closed());
        if !jobs.is_empty() {
            let batch = Batch { jobs: std::mem::take(&mut jobs), wait };
            let sent = timeout(wait.patience, link.send(&batch)).await;
            let outcome = sent.unwrap_or(Err(Refusal::Lost("Redis did not answer in time")));
            answer(batch.jobs, outcome, wait.replicas);
        }
    }
}

fn answer(jobs: Vec<Job>, outcome: Result<(Vec<Value>, Arc<Live>), Refusal>, replicas: u32) {
    let (answers, live, reached) = match outcome.and_then(|(answers, live)| waited(answers, live, replicas)) {
        Ok(waited) => waited,
        Err(refused) => {
            for job in jobs {
                drop(job.reply.send(Err(refused)));
            }
            return;
        }
    };
    let mut answers = answers.into_iter();
    for job in jobs {
        let asked = if job.asking { answers.next() } else { None };
        // A node that may not be asked is not told anything either.
        let refused = asked.filter(|asked| server_error(asked).is_some());
        let answer = answers.next().map(|answer| refused.unwrap_or(answer)).ok_or(Refusal::Unknown);
        drop(job.reply.send(answer.map(|answer| Written { answer, live: Arc::clone(&live), reached })));
    }
}

/// What `WAIT` says of the answers before it. Where it says nothing, nobody knows what became of the writes.
fn waited(mut answers: Vec<Value>, live: Arc<Live>, replicas: u32) -> Result<(Vec<Value>, Arc<Live>, Durability), Refusal> {
    let count = answers.pop().ok_or(Refusal::Unknown)?;
    let acknowledged =
        reply::count(&count).map_err(|_no_count| Refusal::Lost("Redis did not say how many replicas have a write"))?;
    let reached = if acknowledged >= u64::from(replicas) { Durability::Replicated } else { Durability::Applied };
    Ok((answers, live, reached))
}

/// Calls, and `WAIT` behind them.
struct Batch {
    jobs: Vec<Job>,
    wait: Wait,
}

impl Request for Batch {
    type Answer = Vec<Value>;

    async fn send(&self, live: &Live) -> Result<Vec<Value>, Refusal> {
        let calls = self.jobs.iter().flat_map(|job| {
            let asking = job.asking.then(|| cmd("ASKING"));
            asking.into_iter().chain([job.call.over(live).into_owned()])
        });
        let mut wait = cmd("WAIT");
        wait.arg(self.wait.replicas).arg(self.wait.timeout.as_millis().max(1));
        live.ask(&calls.chain([wait]).collect()).await
    }

    /// The batch may be sent again only where nothing of it was made.
    fn refused(answer: &Vec<Value>) -> Option<&ServerError> {
        let (_wait, calls) = answer.split_last()?;
        let first = calls.first().and_then(server_error)?;
        calls.iter().all(|call| server_error(call).is_some()).then_some(first)
    }
}

//! Writes that are answered when all configured replicas have them: one connection for each primary, whose task sends what waits as one
//! batch with one `WAIT` behind it. While a batch is under way the next one gathers.
//!
//! `WAIT` speaks for the connection that it goes down, so the batch and it are one piece over one connection that never reconnects in
//! between. Its count is compared with the configured number, never with how many happen to be connected. Must not live here: what is
//! written, and what a caller makes of a write that is not durable.

use super::connection::Live;
use super::library::Call;
use super::link::{Kind, Link, Request, server_error};
use super::reply::{self, Refusal, broken, refusal};
use crate::store::{Durability, StoreError};
use ::redis::{Cmd, Pipeline, RedisResult, ServerError, Value};
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
}

/// A write that was made.
pub(super) struct Written {
    /// What its function answered.
    pub(super) answer: Value,
    /// The connection that it went over.
    pub(super) live: Arc<Live>,
    /// How far it got.
    pub(super) reached: Durability,
}

impl Written {
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
    response_timeout: Duration,
}

struct Job {
    call: Call,
    reply: oneshot::Sender<Result<Written, StoreError>>,
}

impl Writer {
    /// Over a link that nothing else uses, and whose time-out is longer than that of `wait`.
    pub(super) fn start(link: Arc<Link>, wait: Wait, response_timeout: Duration) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        #[expect(clippy::disallowed_methods, reason = "ends with its queue; a write given up must not end it for others")]
        drop(tokio::spawn(run(link, wait, jobs)));
        Self { queue, response_timeout }
    }

    /// Makes a write, and waits for the replicas. Given up, it may still be made.
    pub(super) async fn write(&self, call: Call) -> Result<Written, StoreError> {
        let (reply, answer) = oneshot::channel();
        let answered = async {
            self.queue.send(Job { call, reply }).await.map_err(|_closed| ended())?;
            answer.await.map_err(|_closed| ended())?
        };
        let late = |_elapsed| Refusal::Lost("Redis did not answer in time").into_error();
        timeout(self.response_timeout, answered).await.map_err(late)?
    }
}

fn ended() -> StoreError {
    StoreError::Unavailable("the process ends: nothing is written to Redis any more".to_owned())
}

async fn run(link: Arc<Link>, wait: Wait, mut queue: mpsc::Receiver<Job>) {
    let mut jobs = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut jobs, BATCH).await > 0 {
        // Nobody waits any more: its time-out passed before its turn came.
        jobs.retain(|job: &Job| !job.reply.is_closed());
        if !jobs.is_empty() {
            let (calls, replies): (Vec<_>, Vec<_>) = jobs.drain(..).map(|job| (job.call, job.reply)).unzip();
            let outcome = link.call(&Batch { calls, wait }, Kind::Write).await;
            answer(replies, outcome, wait.replicas);
        }
    }
}

fn answer(
    replies: Vec<oneshot::Sender<Result<Written, StoreError>>>,
    outcome: Result<(Vec<Value>, Arc<Live>), StoreError>,
    replicas: u32,
) {
    let (answers, live, reached) = match outcome.and_then(|(answers, live)| waited(answers, live, replicas)) {
        Ok(waited) => waited,
        Err(error) => {
            for reply in replies {
                drop(reply.send(Err(error.clone())));
            }
            return;
        }
    };
    for (reply, answer) in replies.into_iter().zip(answers) {
        let written = match server_error(&answer) {
            Some(error) => Err(refusal(error).into_error()),
            None => Ok(Written { answer, live: Arc::clone(&live), reached }),
        };
        drop(reply.send(written));
    }
}

/// What `WAIT` says of the answers before it. Where it says nothing, nobody knows what became of the writes.
fn waited(mut answers: Vec<Value>, live: Arc<Live>, replicas: u32) -> Result<(Vec<Value>, Arc<Live>, Durability), StoreError> {
    let acknowledged = reply::count(&answers.pop().ok_or_else(broken)?)?;
    let reached = if acknowledged >= u64::from(replicas) { Durability::Replicated } else { Durability::Applied };
    Ok((answers, live, reached))
}

/// Calls, and `WAIT` behind them.
struct Batch {
    calls: Vec<Call>,
    wait: Wait,
}

impl Request for Batch {
    type Answer = Vec<Value>;

    async fn send(&self, live: &Live) -> RedisResult<Vec<Value>> {
        let mut pipeline = Pipeline::with_capacity(self.calls.len() + 1);
        for call in &self.calls {
            pipeline.add_command(call.over(live).into_owned());
        }
        let mut wait = Cmd::new();
        wait.arg("WAIT").arg(self.wait.replicas).arg(self.wait.timeout.as_millis().max(1));
        pipeline.add_command(wait);
        live.connection.clone().send_packed_commands(&pipeline, 0, pipeline.len()).await
    }

    /// The batch may be sent again only where nothing of it was made.
    fn refused(answer: &Vec<Value>, _kind: Kind) -> Option<&ServerError> {
        let (_wait, calls) = answer.split_last()?;
        let first = calls.first().and_then(server_error)?;
        calls.iter().all(|call| server_error(call).is_some()).then_some(first)
    }
}

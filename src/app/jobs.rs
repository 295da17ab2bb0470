//! What runs beside the requests: settling revocations, keeping the signing keys on schedule. Each can fail and goes on.

use crate::app::App;
use crate::floors::FOREIGN_SALT;
use crate::random;
use std::future::Future;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often what was revoked is settled.
const SETTLE_EVERY: Duration = Duration::from_secs(1);
/// How often the ring of root keys is read, and the signing keys are read and brought on schedule. Far below the time a standby key is published ahead.
const KEYS_EVERY: Duration = Duration::from_secs(5);

/// Starts the jobs; each ends when `stop` is cancelled, and `tracker` waits for it.
pub fn start(app: &App, tracker: &TaskTracker, stop: &CancellationToken) {
    let alive = app.alive.clone();
    every(SETTLE_EVERY, "settle revocations", tracker, stop, move || {
        let alive = alive.clone();
        async move { alive.settle().await.map(|_settled| ()).map_err(|error| error.to_string()) }
    });
    let (alive, records, end) = (app.alive.clone(), app.records.clone(), stop.clone());
    every(KEYS_EVERY, "keep the salt", tracker, stop, move || {
        let (alive, records, end) = (alive.clone(), records.clone(), end.clone());
        async move {
            if !records.keep_salt(alive.salt()).await.map_err(|error| error.to_string())? {
                tracing::error!("ending: {FOREIGN_SALT}");
                end.cancel();
            }
            Ok(())
        }
    });
    let records = app.records.clone();
    every(KEYS_EVERY, "keep the order of the root keys", tracker, stop, move || {
        let records = records.clone();
        async move { records.register_ring().await.map_err(|error| error.to_string()) }
    });
    let service = app.service.clone();
    every(KEYS_EVERY, "keep the signing keys on schedule", tracker, stop, move || {
        let service = service.clone();
        async move { service.refresh_keys().await.map_err(|error| error.to_string()) }
    });
}

/// Repeats `job` with pauses of `period`, jittered by a quarter so that replicas do not meet.
fn every<F>(
    period: Duration,
    doing: &'static str,
    tracker: &TaskTracker,
    stop: &CancellationToken,
    job: impl Fn() -> F + Send + 'static,
) where
    F: Future<Output = Result<(), String>> + Send,
{
    let stop = stop.clone();
    tracker.spawn(async move {
        while stop.run_until_cancelled(tokio::time::sleep(period.mul_f32(0.75) + random::up_to(period / 2))).await.is_some() {
            // Given up in the middle it is as after a crash: the next start goes on, and nobody waits for thousands of writes.
            if let Some(Err(problem)) = stop.run_until_cancelled(job()).await {
                tracing::warn!(job = doing, problem, "a background job failed; it is tried again");
            }
        }
    });
}

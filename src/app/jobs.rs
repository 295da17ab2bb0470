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
/// How often it is looked whether something is sealed under an older root key.
const RESEALED_EVERY: Duration = Duration::from_secs(600);

/// How often it is looked whether keys of others are to be fetched again.
const FOREIGN_KEYS_EVERY: Duration = Duration::from_secs(5);

/// How often it is looked whether a client or resource was changed elsewhere.
const REGISTRY_EVERY: Duration = Duration::from_millis(500);
/// How often what was seen of access tokens is looked at.
const ARRIVALS_EVERY: Duration = Duration::from_millis(200);
/// How often this replica says that it is there.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// The pause before what waits by itself is begun again; longer where it failed.
const AT_ONCE: Duration = Duration::ZERO;
/// The least pause after a failure.
const AFTER_A_FAILURE: Duration = Duration::from_millis(500);

/// Starts the jobs; each ends when `stop` is cancelled, and `tracker` waits for it.
pub fn start(app: &App, tracker: &TaskTracker, stop: &CancellationToken) {
    let alive = app.alive.clone();
    every(AT_ONCE, "follow the log", tracker, stop, move || {
        let alive = alive.clone();
        async move { alive.follow().await.map_err(|error| error.to_string()) }
    });
    let alive = app.alive.clone();
    every(AT_ONCE, "put back what the store lost", tracker, stop, move || {
        let alive = alive.clone();
        async move { alive.heal_when_ill().await.map_err(|error| error.to_string()) }
    });
    let alive = app.alive.clone();
    every(BEAT_EVERY, "be there", tracker, stop, move || {
        let alive = alive.clone();
        async move { alive.beat().await.map_err(|error| error.to_string()) }
    });
    let alive = app.alive.clone();
    every(SETTLE_EVERY, "settle revocations", tracker, stop, move || {
        let alive = alive.clone();
        async move { alive.settle().await.map(|_settled| ()).map_err(|error| error.to_string()) }
    });
    let service = app.service.clone();
    every(REGISTRY_EVERY, "follow the registry of clients and resources", tracker, stop, move || {
        let service = service.clone();
        async move { service.follow_registry().await.map_err(|error| error.to_string()) }
    });
    let service = app.service.clone();
    every(ARRIVALS_EVERY, "look at what was seen of access tokens", tracker, stop, move || {
        let service = service.clone();
        async move { service.look_at_arrivals().await.map_err(|error| error.to_string()) }
    });
    let service = app.service.clone();
    every(FOREIGN_KEYS_EVERY, "fetch the keys of others", tracker, stop, move || {
        let service = service.clone();
        async move { service.refetch_keys().await }
    });
    let service = app.service.clone();
    every(AT_ONCE, "tell clients of ended sessions", tracker, stop, move || {
        let service = service.clone();
        async move { match service.tell_logouts().await {} }
    });
    let (alive, records, end) = (app.alive.clone(), app.records.clone(), stop.clone());
    every(KEYS_EVERY, "keep the salt", tracker, stop, move || {
        let (alive, records, end) = (alive.clone(), records.clone(), end.clone());
        async move {
            if !records.keep_salt(alive.salt()).await.map_err(|error| error.to_string())? {
                tracing::error!(problem = FOREIGN_SALT, "ending by itself");
                end.cancel();
            }
            Ok(())
        }
    });
    let service = app.service.clone();
    every(KEYS_EVERY, "keep the order of the root keys", tracker, stop, move || {
        let service = service.clone();
        async move { service.refresh_root_keys().await.map_err(|error| error.to_string()) }
    });
    let service = app.service.clone();
    every(RESEALED_EVERY, "seal anew what is under an older root key", tracker, stop, move || {
        let service = service.clone();
        async move { service.reseal().await.map_err(|error| error.to_string()) }
    });
    let service = app.service.clone();
    every(KEYS_EVERY, "keep the signing keys on schedule", tracker, stop, move || {
        let service = service.clone();
        async move { service.refresh_keys().await.map_err(|error| error.to_string()) }
    });
}

/// Repeats `job` with pauses of `period`, jittered by a quarter so that replicas do not meet; after a failure of at least half a second.
/// A failure is told once, and again when it is another.
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
        let mut pause = period;
        let mut told = None;
        while stop.run_until_cancelled(tokio::time::sleep(pause.mul_f32(0.75) + random::up_to(pause / 2))).await.is_some() {
            // Given up in the middle it is as after a crash: the next start goes on, and nobody waits for thousands of writes.
            pause = period;
            match stop.run_until_cancelled(job()).await {
                Some(Err(problem)) => {
                    pause = period.max(AFTER_A_FAILURE);
                    if told.as_ref() != Some(&problem) {
                        tracing::warn!(job = doing, problem, "a background job failed; it is tried again");
                    }
                    told = Some(problem);
                }
                Some(Ok(())) => told = None,
                None => return,
            }
        }
    });
}

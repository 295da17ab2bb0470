//! Streams of revocations that are open beside what is measured, as verifiers keep them: they ask for proofs, and take what they are told.
//!
//! Must not live here: what is measured beside them.

use super::load::channel;
use crate::api::revocation_service_client::RevocationServiceClient;
use crate::api::watch_request::Message as Say;
use crate::api::watch_response::Message as Told;
use crate::api::{WatchPing, WatchRequest, WatchStart};
use crate::cli::failure::Failure;
use futures_util::{StreamExt as _, stream};
use std::future::ready;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, interval_at};
use tonic::Status;
use tonic::transport::Channel;

/// How often each asks for a proof: a quarter of the default of `tokens.max_staleness`, as the client library does.
const PING_EVERY: Duration = Duration::from_millis(500);
/// Streams that share a connection.
const STREAMS: u32 = 100;

/// So many streams, until this is dropped.
pub(super) struct Watchers {
    server: String,
    streams: JoinSet<Status>,
}

impl Watchers {
    /// Opens them, and waits until each was told all that was revoked before.
    ///
    /// # Errors
    /// The server cannot be reached, or ends one.
    pub(super) async fn open(server: &str, count: u32) -> Result<Self, Failure> {
        let (proved, mut proofs) = unbounded_channel();
        let mut all = Self { server: server.to_owned(), streams: JoinSet::new() };
        let now = Instant::now();
        let mut shared = None;
        for number in 0..count {
            let channel = match shared.take() {
                Some(channel) if !number.is_multiple_of(STREAMS) => channel,
                _ => channel(server).await?,
            };
            // Evenly spread, so that they do not all ask at once.
            let pings = interval_at(now + PING_EVERY * number / count, PING_EVERY);
            all.streams.spawn(watch(channel.clone(), pings, proved.clone()));
            shared = Some(channel);
        }
        for _ in 0..count {
            tokio::select! {
                ended = all.streams.join_next() => return Err(all.ended(ended)),
                _ = proofs.recv() => {}
            }
        }
        Ok(all)
    }

    /// Whether all are open yet.
    ///
    /// # Errors
    /// The server ended one.
    pub(super) fn are_open(&mut self) -> Result<(), Failure> {
        match self.streams.try_join_next() {
            Some(ended) => Err(self.ended(Some(ended))),
            None => Ok(()),
        }
    }

    fn ended(&self, ended: Option<Result<Status, tokio::task::JoinError>>) -> Failure {
        let status = ended.and_then(Result::ok).unwrap_or_else(|| Status::unknown("a stream ended"));
        Failure::of_status("watch", &self.server, &status)
    }
}

/// One stream, and how it ended. Says when it was first proved to have been told everything.
async fn watch(channel: Channel, pings: Interval, proved: UnboundedSender<()>) -> Status {
    let start = stream::once(ready(Say::Start(WatchStart::default())));
    let pings = stream::unfold((pings, 0), async |(mut pings, id)| {
        pings.tick().await;
        Some((Say::Ping(WatchPing { id }), (pings, id + 1)))
    });
    let says = start.chain(pings).map(|message| WatchRequest { message: Some(message) });
    let mut told = match RevocationServiceClient::new(channel).watch(Box::pin(says)).await {
        Ok(told) => told.into_inner(),
        Err(refused) => return refused,
    };
    let mut unproved = Some(proved);
    loop {
        match told.message().await {
            Ok(Some(told)) if matches!(told.message, Some(Told::Pong(_))) => {
                // Nobody waits for it once all were.
                unproved.take().map(|proved| proved.send(())).transpose().unwrap_or_default();
            }
            Ok(Some(_)) => {}
            Ok(None) => return Status::unavailable("the stream ended"),
            Err(status) => return status,
        }
    }
}

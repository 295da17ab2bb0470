//! Connections: accepted, served over HTTP/2 with every limit set, told to go when they are old or the server ends.
//!
//! Must not live here: anything about a single call (`layers`).

use super::Settings;
use super::layers::Front;
use crate::coalescing::Coalescing;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The headers of one request.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// Connections are told to go after this long, so that load spreads over new replicas.
pub const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// A peer that is gone is noticed within the sum of both.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long no connection is accepted after one could not be: out of file descriptors, say, asking again at once would take a whole core
/// and cure nothing.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Streams that the peer opens and resets at once (CVE-2023-44487) or that we had to reset end its connection.
const MAX_RESET_STREAMS: usize = 20;
const MAX_LOCAL_ERROR_RESETS: usize = 256;

/// Accepts until `shutdown`, then no more, and waits for the calls at work.
pub async fn serve(listener: TcpListener, front: Front, settings: &Settings, shutdown: &CancellationToken) {
    let connections = TaskTracker::new();
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(settings.max_concurrent_streams)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .max_local_error_reset_streams(MAX_LOCAL_ERROR_RESETS)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
        match accepted.and_then(|(stream, _)| ready(stream)) {
            Ok(stream) => {
                connections.spawn(connection(stream, http.clone(), front.clone(), shutdown.clone()));
            }
            Err(problem) => {
                tracing::debug!(%problem, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

fn ready(stream: TcpStream) -> io::Result<TokioIo<Coalescing>> {
    // Answers never wait for acknowledgements.
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(Coalescing::new(stream)))
}

async fn connection(stream: TokioIo<Coalescing>, http: http2::Builder<TokioExecutor>, front: Front, shutdown: CancellationToken) {
    let mut serving = pin!(http.serve_connection(stream, front));
    let has_to_go = async {
        let _old_or_over = shutdown.run_until_cancelled(tokio::time::sleep(MAX_AGE)).await;
    };
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = has_to_go => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(problem) = ended {
        tracing::debug!(%problem, "a connection broke");
    }
}

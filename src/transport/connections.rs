//! Connections of every listener: accepted, TLS spoken where there is some, told to go when they are old or the server ends.
//!
//! Lives here: every limit of a connection, each set explicitly. Below: `places` (how many there may be), `opening` (who begins in time),
//! `heard_out` (what still comes of who was answered). Must not live here: what is asked over them (`grpc`, `http`, `admin`), certificates (`tls`).

mod heard_out;
mod opening;
mod places;

pub use heard_out::HeardOut;
pub use opening::Opening;
pub use places::Most;
pub(super) use places::Places;

use super::tls::{Peer, Tls};
use crate::coalescing::Coalescing;
use crate::telemetry::limits::{CONNECTIONS, CONNECTIONS_PER_ADDRESS, HANDSHAKES, HANDSHAKES_PER_ADDRESS};
use crate::telemetry::log::Throttle;
use http::Request;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use places::{Place, network};
use std::fmt::Display;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The headers of one request.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// The same over HTTP/1.1, where the line of the request and what is read with it are part of it: gateways pass on whole requests.
const MAX_HEAD_BYTES: usize = 32 * 1024;
const MAX_HEADERS: usize = 100;

/// Connections are told to go after this long, so that load spreads over new replicas, and certificates are shown anew.
pub const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// What was begun then may end, but not for ever. Longer than the longest stream, which ends by itself.
const GRACE: Duration = Duration::from_secs(40 * 60);

/// A peer that is gone is noticed within the sum of both.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Who takes longer to send the headers of a request over HTTP/1.1 is cut off.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);

/// Who waited to be accepted when the server ended is told to go only after this: many have asked already, and are answered.
const LAST_WITHIN: Duration = Duration::from_secs(1);

/// How long no connection is accepted after one could not be: out of file descriptors, say, asking again at once would take a whole core
/// and cure nothing.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Streams that the peer opens and resets at once (CVE-2023-44487) or that we had to reset end its connection.
const MAX_RESET_STREAMS: usize = 20;
const MAX_LOCAL_ERROR_RESETS: usize = 256;

/// A handshake that takes longer is given up, and so is who does not begin to speak HTTP/2.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);

/// The most handshakes at once of one listener, and of them from one address; the next connection is closed.
const MAX_HANDSHAKES: Most = Most { connections: 1_024, from_one_address: 128 };

/// A listening socket, and the TLS that is spoken on it.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    tls: Option<Tls>,
    most: Most,
}

impl Listener {
    /// With TLS, or in plain text.
    #[must_use]
    pub fn new(socket: TcpListener, tls: Option<Tls>) -> Self {
        Self { socket, tls, most: Most::default() }
    }

    /// The same with so many connections at most; the next is closed.
    #[must_use]
    pub const fn with(mut self, most: Most) -> Self {
        self.most = most;
        self
    }
}

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self::new(socket, None)
    }
}

/// A connection that may be served.
pub struct Accepted {
    /// What is read from and written to.
    pub stream: Stream,
    /// Who is at the other end.
    pub peer: Peer,
    /// Where it is: its address, of IPv6 its network, which is one holder's.
    pub address: IpAddr,
    /// Whether both sides agreed on HTTP/2.
    pub is_http2: bool,
    /// When it has to go.
    pub over: CancellationToken,
    /// The tasks of its listener, which the end of it waits for.
    pub tasks: TaskTracker,
}

/// Accepts until `shutdown`, and then who waits already; no more, and waits for the connections that are there. `serve` serves one.
pub async fn accept<F>(listener: Listener, shutdown: &CancellationToken, serve: impl Fn(Accepted) -> F + Clone + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let Listener { socket, tls, most } = listener;
    let connections = TaskTracker::new();
    let places = Places::new([&CONNECTIONS, &CONNECTIONS_PER_ADDRESS], most);
    let handshakes = Places::new([&HANDSHAKES, &HANDSHAKES_PER_ADDRESS], MAX_HANDSHAKES);
    let tracker = connections.clone();
    let begin = move |stream: TcpStream, address: IpAddr, over: CancellationToken| {
        let (Some(place), Ok(stream)) = (places.take(address), ready(stream)) else { return };
        let Some(tls) = tls.clone() else {
            let (stream, tasks) = (Stream::Plain(stream), tracker.clone());
            let plain = Accepted { stream, peer: Peer::default(), address, is_http2: false, over, tasks };
            tracker.spawn(in_place(place, serve(plain)));
            return;
        };
        let Some(shaking) = handshakes.take(address) else { return };
        let (serve, tasks) = (serve.clone(), tracker.clone());
        tracker.spawn(in_place(place, async move {
            let shake = tokio::time::timeout(HANDSHAKE_WITHIN, shake(&tls, stream));
            let shaken = over.run_until_cancelled(shake).await;
            drop(shaking);
            match shaken {
                Some(Ok(Ok((stream, peer, is_http2)))) => serve(Accepted { stream, peer, address, is_http2, over, tasks }).await,
                Some(Ok(Err(problem))) => tracing::debug!(%problem, "a connection was refused by TLS"),
                Some(Err(_late)) => tracing::debug!("a connection took too long to begin with TLS"),
                None => {}
            }
        }));
    };
    while let Some(accepted) = shutdown.run_until_cancelled(socket.accept()).await {
        match accepted {
            Ok((stream, address)) => begin(stream, network(address.ip()), shutdown.clone()),
            Err(problem) => {
                not_accepted(&problem);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let last = CancellationToken::new();
    waiting(socket).for_each(|(stream, address)| begin(stream, network(address), last.clone()));
    connections.close();
    if tokio::time::timeout(LAST_WITHIN, connections.wait()).await.is_err() {
        last.cancel();
        connections.wait().await;
    }
}

/// Who waits to be accepted. Asked of the system, for the runtime may not know of all yet.
fn waiting(socket: TcpListener) -> impl Iterator<Item = (TcpStream, IpAddr)> {
    let socket = socket.into_std().ok();
    std::iter::from_fn(move || {
        let (stream, address) = socket.as_ref()?.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, address.ip()))
    })
}

/// Who comes waits in the meantime, and those who are connected are served.
fn not_accepted(problem: &io::Error) {
    static THROTTLE: Throttle = Throttle::new();
    if let Some(unsaid) = THROTTLE.pass() {
        tracing::warn!(%problem, unsaid, "a connection could not be accepted");
    }
}

async fn in_place(place: Place, serving: impl Future<Output = ()>) {
    serving.await;
    drop(place);
}

fn ready(stream: TcpStream) -> io::Result<Coalescing> {
    // Answers never wait for acknowledgements.
    stream.set_nodelay(true)?;
    Ok(Coalescing::new(stream))
}

/// What is spoken over, who is at the other end, and whether both agreed on HTTP/2.
async fn shake(tls: &Tls, stream: Coalescing) -> io::Result<(Stream, Peer, bool)> {
    let (acceptor, peer) = tls.acceptor();
    let stream = acceptor.accept(stream).await?;
    let (_, connection) = stream.get_ref();
    let (peer, is_http2) = (peer(connection), connection.alpn_protocol() == Some(b"h2"));
    Ok((Stream::Tls(Box::new(stream)), peer, is_http2))
}

/// HTTP/2 with every limit set.
pub fn http2(max_streams: u32) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(max_streams)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .max_local_error_reset_streams(MAX_LOCAL_ERROR_RESETS)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    http
}

/// What HTTP/2 is spoken on: who does not begin in time is cut off.
pub fn over_http2(stream: Stream) -> TokioIo<Opening<Stream>> {
    TokioIo::new(Opening::within(HANDSHAKE_WITHIN, stream))
}

/// HTTP/1.1 with every limit set.
pub fn http1() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN).max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD_BYTES);
    http
}

/// Until it ends, or is old, or the server ends: then it may end what was begun, for as long as the longest stream.
pub async fn until_over<C>(connection: C, shutdown: CancellationToken)
where
    C: GracefulConnection,
    C::Error: Display,
{
    let mut serving = pin!(connection);
    let has_to_go = async {
        let _old_or_over = shutdown.run_until_cancelled(tokio::time::sleep(MAX_AGE)).await;
    };
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = has_to_go => {
            serving.as_mut().graceful_shutdown();
            let Ok(ended) = tokio::time::timeout(GRACE, serving).await else {
                tracing::debug!("a connection did not end though it was told to");
                return;
            };
            ended
        }
    };
    if let Err(problem) = ended {
        tracing::debug!(%problem, "a connection broke");
    }
}

/// Where a request comes from, as in `Accepted`: an extension of those over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CameFrom(pub IpAddr);

/// Tells the request who is at the other end, where that is known: an extension of type `Peer`.
pub fn introduce<B>(peer: &Peer, request: &mut Request<B>) {
    if peer.showed() {
        request.extensions_mut().insert(peer.clone());
    }
}

/// What is read from and written to.
pub enum Stream {
    /// As it is.
    Plain(Coalescing),
    /// Over TLS.
    Tls(Box<TlsStream<Coalescing>>),
}

macro_rules! of_either {
    ($self:ident, $stream:ident => $does:expr) => {
        match $self.get_mut() {
            Self::Plain(stream) => {
                let $stream = Pin::new(stream);
                $does
            }
            Self::Tls(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $does
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        of_either!(self, stream => stream.poll_read(context, buffer))
    }
}

/// Never writes vectors, as `Coalescing` says.
impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        of_either!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_either!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_either!(self, stream => stream.poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::Response;
    use http_body_util::Full;
    use hyper::service::service_fn;
    use std::convert::Infallible;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test(start_paused = true)]
    async fn who_dribbles_headers_is_cut_off() {
        let (near, mut far) = tokio::io::duplex(64);
        let service = service_fn(|_request| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::new()))) });
        let dribbling = async {
            far.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if far.write_all(b"x: y\r\n").await.is_err() {
                    return;
                }
            }
        };
        let began = tokio::time::Instant::now();
        tokio::select! {
            () = until_over(http1().serve_connection(TokioIo::new(near), service), CancellationToken::new()) => {}
            () = dribbling => {}
        }
        assert!(began.elapsed() <= HEADERS_WITHIN + Duration::from_secs(1), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_connection_ends_though_nobody_reads_its_answer() {
        let (near, mut far) = tokio::io::duplex(64);
        far.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let service =
            service_fn(|_request| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(vec![b'x'; 1 << 20])))) });
        let began = tokio::time::Instant::now();
        until_over(http1().serve_connection(TokioIo::new(near), service), CancellationToken::new()).await;
        assert!(began.elapsed() >= MAX_AGE + GRACE, "{:?}", began.elapsed());
    }
}

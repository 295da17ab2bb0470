//! What is said to others over HTTP, and asked of them? GET and POST to addresses that are configured, each on a connection of its own.
//!
//! Lives here: connecting, TLS, and the bounds that hold for whoever answers: time, bytes, connections; no redirect is followed, no proxy
//! of the environment used. Must not live here: what is asked and why, and when it is tried again.

use crate::telemetry::trace;
use crate::tls::{self, Authorities};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jeton_domain::endpoint::Endpoint;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tracing::Instrument as _;

/// The longest head of an answer, in bytes.
const HEAD: usize = 32 << 10;

/// What one exchange may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// Until the answer is whole, waiting for a place and connecting included.
    pub whole: Duration,
    /// The longest body of an answer, in bytes.
    pub body: usize,
    /// How many exchanges at the same moment; others wait.
    pub places: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), whole: Duration::from_secs(10), body: 256 << 10, places: 256 }
    }
}

/// The way out. One for the process.
pub struct Outbound {
    tls: TlsConnector,
    bounds: Bounds,
    places: Semaphore,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outbound(..)")
    }
}

/// What was answered, whatever its status: a redirect too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer. For the log: nothing of it is for who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No connection.
    #[error("it cannot be reached")]
    Unreachable,
    /// No TLS.
    #[error(
        "no TLS with it: its certificate must be for that host, and from an authority that this machine or [outbound] ca_file trusts"
    )]
    Untrusted,
    /// It would be plain HTTP to another machine: a name that leads elsewhere.
    #[error("its name leads to another machine, and http is for this one only")]
    NotLocal,
    /// It answers what is no HTTP, or ends too early.
    #[error("it does not answer in HTTP/1.1")]
    Broken,
    /// Its answer is longer than is read.
    #[error("its answer is too long")]
    TooLong,
    /// It takes too long.
    #[error("it does not answer in time")]
    TooSlow,
}

impl Outbound {
    /// Trusts the authorities of this machine, and beside them those of `ca_file`.
    ///
    /// # Errors
    /// `tls::Problem`: the file.
    pub fn new(ca_file: Option<&Path>, bounds: Bounds) -> Result<Self, tls::Problem> {
        let mut config = Authorities::trusted(ca_file)?.client()?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), bounds, places: Semaphore::new(bounds.places) })
    }

    /// Gets what is there, of the media type `accept`. Dropped, it is over.
    ///
    /// # Errors
    /// `Failure`; a status is none.
    pub async fn get(&self, endpoint: &Endpoint, accept: &'static str) -> Result<Answer, Failure> {
        let mut request = request(Method::GET, endpoint, Bytes::new())?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
        self.exchange(endpoint, request).await
    }

    /// Posts a form. Dropped, it is over, and may have arrived.
    ///
    /// # Errors
    /// `Failure`; a status is none. Of `Broken`, `TooLong` and `TooSlow` it may have arrived.
    pub async fn post_form(&self, endpoint: &Endpoint, form: &[(&str, &str)]) -> Result<Answer, Failure> {
        let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let pairs: Vec<String> = form.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        let mut request = request(Method::POST, endpoint, pairs.join("&").into())?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        self.exchange(endpoint, request).await
    }

    async fn exchange(&self, endpoint: &Endpoint, mut request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let span = trace::outgoing(if request.method() == Method::POST { "POST" } else { "GET" }, endpoint.host());
        trace::inject(&span, request.headers_mut());
        let exchange = async {
            let _place = self.places.acquire().await.map_err(|_closed| Failure::TooSlow)?;
            let connected = timeout(self.bounds.connect, self.connect(endpoint)).await;
            match connected.unwrap_or(Err(Failure::Unreachable))? {
                Stream::Tls(stream) => converse(*stream, request, self.bounds.body).await,
                Stream::Plain(stream) => converse(stream, request, self.bounds.body).await,
            }
        };
        timeout(self.bounds.whole, exchange).instrument(span).await.unwrap_or(Err(Failure::TooSlow))
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Stream, Failure> {
        let unreachable = |_refused| Failure::Unreachable;
        let stream = TcpStream::connect((endpoint.host(), endpoint.port())).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        if !endpoint.is_tls() {
            let is_local = stream.peer_addr().map_err(unreachable)?.ip().to_canonical().is_loopback();
            return if is_local { Ok(Stream::Plain(stream)) } else { Err(Failure::NotLocal) };
        }
        let untrusted = |_certificate| Failure::Untrusted;
        let name = ServerName::try_from(endpoint.host().to_owned()).map_err(|_name| Failure::Untrusted)?;
        Ok(Stream::Tls(Box::new(self.tls.connect(name, stream).await.map_err(untrusted)?)))
    }
}

enum Stream {
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    Plain(TcpStream),
}

fn request(method: Method, endpoint: &Endpoint, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
    let request = Request::builder().method(method).uri(endpoint.target()).header(HOST, endpoint.authority());
    // An endpoint holds nothing that stands in no head.
    request.header(USER_AGENT, "jeton").body(Full::new(body)).map_err(|_head| Failure::Broken)
}

/// One request and its answer; the connection ends with it.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<Answer, Failure> {
    let broken = |_error| Failure::Broken;
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(HEAD).handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        match Limited::new(response.into_body(), most).collect().await {
            Ok(body) => Ok(Answer { status, body: body.to_bytes() }),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Failure::TooLong),
            Err(_cut_off) => Err(Failure::Broken),
        }
    };
    let carried = async {
        // What it has read is answered though it ended.
        _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        answer = answered => answer,
        never = carried => match never {},
    }
}

//! A service of somebody else, over HTTP, that a test plays: real sockets, and TLS where it is asked for.

use crate::certificates::Certificates;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jeton_domain::endpoint::Endpoint;
use percent_encoding::percent_decode_str;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

/// What it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Received {
    /// A field of the form that was posted.
    pub(crate) fn field(&self, name: &str) -> String {
        let mut pairs = self.body.split('&').map(|pair| pair.split_once('=').unwrap());
        let (_, value) = pairs.find(|(key, _)| percent_decode_str(key).decode_utf8().unwrap() == name).unwrap();
        percent_decode_str(value).decode_utf8().unwrap().into_owned()
    }
}

/// What it answers from now on.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// This status, these headers, this body.
    Answer(u16, Vec<(&'static str, String)>, Bytes),
    /// Nothing, ever; the connection stays.
    Silence,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), Bytes::new())
    }
}

/// It listens until it is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

struct Shared {
    received: watch::Sender<Vec<Received>>,
    reply: Mutex<Reply>,
}

impl Receiver {
    /// At its place.
    pub(crate) fn endpoint(&self, target: &str) -> Endpoint {
        Endpoint::parse("uri", &format!("http://{}{target}", self.address)).unwrap()
    }

    /// Answers 200.
    pub(crate) async fn start() -> Self {
        Self::serve("127.0.0.1:0".parse().unwrap(), None).await
    }

    /// At an address that one had that is gone.
    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        Self::serve(address, None).await
    }

    /// Over TLS, with such a certificate.
    pub(crate) async fn start_with(certificates: &Certificates) -> Self {
        let (certificate, key) = certificates.of_the_server();
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_file(certificate).unwrap()],
                PrivateKeyDer::from_pem_file(key).unwrap(),
            );
        Self::serve("127.0.0.1:0".parse().unwrap(), Some(TlsAcceptor::from(Arc::new(config.unwrap())))).await
    }

    async fn serve(address: SocketAddr, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { received: watch::Sender::default(), reply: Mutex::new(Reply::status(200)) });
        let mut serving = JoinSet::new();
        let told = Arc::clone(&shared);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (told, tls) = (Arc::clone(&told), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => told.converse(stream).await,
                        // Who does not trust it hangs up.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                told.converse(stream).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, shared, _serving: serving }
    }

    /// What it answers from now on; whoever waits in its silence goes on waiting.
    pub(crate) fn answers(&self, reply: Reply) {
        *self.shared.reply.lock().unwrap() = reply;
    }

    /// All that it was sent.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.borrow().clone()
    }

    /// Waits until it was sent so many; fails after twenty seconds.
    pub(crate) async fn until(&self, count: usize) -> Vec<Received> {
        let mut received = self.shared.received.subscribe();
        let enough = timeout(Duration::from_secs(20), received.wait_for(|received| received.len() >= count)).await;
        enough.unwrap_or_else(|_| panic!("not sent {count} in twenty seconds, but {}", self.received().len())).unwrap().clone()
    }
}

impl Shared {
    async fn converse(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(async |request: Request<Incoming>| Ok::<_, Infallible>(self.answer(request).await));
        // Who asked may have hung up.
        let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let target = head.uri.path_and_query().unwrap().to_string();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let reply = self.reply.lock().unwrap().clone();
        let received = Received { method: head.method, target, headers: head.headers, body };
        self.received.send_modify(|all| all.push(received));
        match reply {
            Reply::Silence => std::future::pending().await,
            Reply::Answer(status, headers, body) => {
                let response = headers
                    .into_iter()
                    .fold(Response::builder().status(status), |response, (name, value)| response.header(name, value));
                response.body(Full::new(body)).unwrap()
            }
        }
    }
}

//! A server in this process, on a port of its own, and two ways to call it: as a gRPC client does, and as none would.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jeton::app::App;
use jeton::clock::Clock;
use jeton::config::{self, Overrides};
use jeton::service::Service;
use jeton::transport::caller::Admission;
use jeton::transport::grpc::{self, Settings};
use jeton_domain::caller::Callers;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::{ErrorDetail, StatusExt as _};

/// A server, ended with its value.
pub struct Server {
    pub address: SocketAddr,
    pub ready: watch::Sender<bool>,
    pub shutdown: CancellationToken,
    pub tasks: JoinSet<()>,
}

/// Settings under which everyone may call.
pub fn open() -> Settings {
    Settings { admission: Admission::Open, reflection: true, request_deadline: Duration::from_secs(20), ..Settings::default() }
}

/// The operations, on a store in memory, with the clients and resources of the repository's configuration.
pub async fn service() -> Arc<Service> {
    service_for(Callers::default()).await
}

/// The same, where these may call.
pub async fn service_for(callers: Callers) -> Arc<Service> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/jeton.toml");
    let overrides = Overrides { store: Some("memory:".into()), ..Overrides::default() };
    let loaded = config::load(Some(file.as_ref()), &BTreeMap::<String, String>::new(), &overrides).unwrap();
    App::start(&config::Settings { callers, ..loaded.settings }, Clock::system()).await.unwrap().service
}

/// Starts a server.
pub async fn start(settings: Settings) -> Server {
    start_on(service().await, settings).await
}

/// The same on operations that are there.
pub async fn start_on(service: Arc<Service>, settings: Settings) -> Server {
    let listener = grpc::listener::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (ready, told) = watch::channel(true);
    let shutdown = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let serving = grpc::serve(listener, service, settings, told, shutdown.clone());
    tasks.spawn(async { serving.await.unwrap() });
    Server { address, ready, shutdown, tasks }
}

impl Server {
    /// A gRPC client's connection.
    pub async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    /// A connection over which anything can be sent.
    pub async fn raw(&mut self) -> Raw {
        let stream = TokioIo::new(TcpStream::connect(self.address).await.unwrap());
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        self.tasks.spawn(async { drop(connection.await) });
        Raw { sender, address: self.address }
    }
}

type RawBody = UnsyncBoxBody<Bytes, Infallible>;

/// HTTP/2 without the manners of gRPC.
pub struct Raw {
    pub sender: SendRequest<RawBody>,
    address: SocketAddr,
}

/// How a call ended: HTTP status, gRPC status, and the message's bytes with their frame.
pub struct Ended {
    pub http: StatusCode,
    pub status: Status,
    pub body: Bytes,
}

impl Raw {
    /// A request as gRPC wants it, to be spoilt.
    pub fn request(&self, path: &str, body: impl Into<Bytes>) -> Request<RawBody> {
        self.streaming(path, Full::new(body.into()).boxed_unsync())
    }

    /// The same with a body that goes on.
    pub fn streaming(&self, path: &str, body: RawBody) -> Request<RawBody> {
        Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body)
            .unwrap()
    }

    /// Sends it, at once, and waits for the end in the future that it returns.
    pub fn send(&mut self, request: Request<RawBody>) -> impl Future<Output = Ended> + Send + 'static {
        let sent = self.sender.send_request(request);
        async move {
            let answer = sent.await.unwrap();
            let (http, head) = (answer.status(), answer.headers().clone());
            let collected = answer.into_body().collect().await.unwrap();
            let trailers = collected.trailers().cloned().unwrap_or_default();
            let ended = |headers: &HeaderMap| Status::from_header_map(headers);
            let status = ended(&head).or_else(|| ended(&trailers)).expect("every call ends with a status");
            Ended { http, status, body: collected.to_bytes() }
        }
    }

    /// Calls `path` with one framed message.
    pub async fn call(&mut self, path: &str, message: &[u8]) -> Ended {
        let request = self.request(path, framed(message));
        self.send(request).await
    }
}

/// The five bytes before a message.
pub fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat().into()
}

/// What a refusal says.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    pub reason: String,
    pub fields: Vec<String>,
    pub retries: bool,
}

/// Reads a refusal, and sees that it is as every refusal must be: exactly one `ErrorInfo`, in our domain.
pub fn refusal(status: &Status) -> Refusal {
    assert_ne!(status.code(), Code::Ok);
    let details = status.get_error_details_vec();
    let infos: Vec<_> = details.iter().filter(|detail| matches!(detail, ErrorDetail::ErrorInfo(_))).collect();
    assert_eq!(infos.len(), 1, "exactly one ErrorInfo: {status:?}");
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!(info.domain, "jeton");
    let fields = details.bad_request().map(|bad| bad.field_violations.iter().map(|violation| violation.field.clone()).collect());
    Refusal {
        code: status.code(),
        reason: info.reason.clone(),
        fields: fields.unwrap_or_default(),
        retries: details.retry_info().is_some(),
    }
}

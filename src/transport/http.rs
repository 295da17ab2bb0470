//! HTTP: what OAuth clients and resource servers ask without gRPC (RFC 6749, 7009, 7662, 8414, 8628). The same operations, other words.
//!
//! Lives here: the paths, and what holds for every request. Below: `form` (what is sent), `client` (which client asks), `certificate` (by
//! which certificate), `challenge`
//! (how an access token is shown), the endpoints `token`, `device`, `introspect`, `revoke`, `userinfo`, `metadata`, and `answer`. Must not live here: the admin port (`admin`), rules of the domain.

pub(super) mod answer;
mod authorize;
mod certificate;
pub(super) mod challenge;
mod client;
mod device;
pub mod form;
mod introspect;
mod metadata;
mod revoke;
mod token;
mod userinfo;

pub use certificate::Certificates;
pub use metadata::{JWKS_PATH, Pages};

use crate::audit::{Origin, on_behalf};
use crate::service::Service;
use crate::service::dpop::{TOKEN_PATH, USERINFO_PATH};
use crate::service::limits::Source;
use crate::telemetry::limits::{FORMS, FORMS_PER_ADDRESS};
use crate::telemetry::{Sampler, metrics, trace};
use crate::transport::caller::{self, Admission};
use crate::transport::capacity::{Capacity, Lane, within};
use crate::transport::connections::{
    self, Accepted, CameFrom, HeardOut, Listener, Most, Places, http1, http2, introduce, over_http2, until_over,
};
use crate::transport::fault::{Edge, Fault, code_word};
use crate::transport::gateway::Headers;
use axum::Router;
use axum::body::Body;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use challenge::Scheme;
use form::Asked;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Request, StatusCode, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jeton_domain::error::Error;
use std::convert::Infallible;
use std::future::{Future, ready};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::{Instrument as _, Span};

/// The most requests at once on one connection of HTTP/2; the client waits with the next.
const MAX_STREAMS: u32 = 100;

/// How requests are served.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The longest that a request may take, its body read.
    pub request_deadline: Duration,
    /// The most requests at work at once; the next is refused as `OVERLOADED`.
    pub max_in_flight: usize,
    /// Who is let in.
    pub admission: Admission,
    /// Which requests are traced.
    pub sampler: Sampler,
    /// The pages of the login service.
    pub pages: Pages,
    /// How certificates come.
    pub certificates: Certificates,
    /// Who is let in as a gateway, beside the proxies that `certificates` names.
    pub gateways: Admission,
    /// The headers by which services behind gateways are told who asks.
    pub headers: Headers,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            request_deadline: Duration::from_secs(2),
            max_in_flight: 1_024,
            admission: Admission::Authenticated,
            sampler: Sampler::OFF,
            pages: Pages::default(),
            certificates: Certificates::default(),
            gateways: Admission::Authenticated,
            headers: Headers::default(),
        }
    }
}

/// What stands before every endpoint.
#[derive(Clone)]
struct Door(Arc<Behind>);

struct Behind {
    service: Arc<Service>,
    settings: Settings,
    capacity: Arc<Capacity>,
    /// The requests whose form is being read.
    reading: Arc<Places>,
}

/// An endpoint: its path, and its name in spans and counters. Who asks there is a client, and proves it with each request.
#[derive(Clone, Copy)]
struct Endpoint {
    path: &'static str,
    name: &'static str,
    lane: Lane,
}

/// RFC 6749 section 3.2.
const TOKEN: Endpoint = Endpoint { path: TOKEN_PATH, name: "http_token", lane: Lane::Ordinary };
/// RFC 8628 section 3.1. There only where devices are served.
const DEVICE: Endpoint =
    Endpoint { path: "/oauth2/device_authorization", name: "http_device_authorization", lane: Lane::Ordinary };
/// RFC 7662 section 2.
const INTROSPECT: Endpoint = Endpoint { path: "/oauth2/introspect", name: "http_introspect", lane: Lane::Ordinary };
/// RFC 7009 section 2.
const REVOKE: Endpoint = Endpoint { path: "/oauth2/revoke", name: "http_revoke", lane: Lane::Revocation };

/// OpenID Connect Core section 5.3.
const USERINFO: Endpoint = Endpoint { path: USERINFO_PATH, name: "http_userinfo", lane: Lane::Ordinary };

/// What gateways ask about the requests of their clients.
const AUTHORIZE: Endpoint = Endpoint { path: "/oauth2/authorize-request", name: "http_authorize_request", lane: Lane::Ordinary };

/// Every path, where devices are served.
pub const PATHS: [&str; 9] = [
    TOKEN.path,
    DEVICE.path,
    INTROSPECT.path,
    REVOKE.path,
    USERINFO.path,
    AUTHORIZE.path,
    JWKS_PATH,
    metadata::OAUTH_PATH,
    metadata::OPENID_PATH,
];

/// Serves them.
pub fn router(service: Arc<Service>, settings: Settings) -> Router {
    let most = settings.max_in_flight;
    let (capacity, forms) = (Capacity::new("http", most), forms_at_once(most));
    let reading = Places::new([&FORMS, &FORMS_PER_ADDRESS], forms);
    let door = Door(Arc::new(Behind { service, settings, capacity, reading }));
    let devices = if door.0.service.serves_devices() {
        Router::new().route(DEVICE.path, door.form(DEVICE, device::answer))
    } else {
        Router::new()
    };
    Router::new()
        .merge(devices)
        .route(JWKS_PATH, get(metadata::jwks))
        .route(metadata::OAUTH_PATH, get(metadata::discovery))
        .route(metadata::OPENID_PATH, get(metadata::discovery))
        .route(TOKEN.path, door.form(TOKEN, token::answer))
        .route(INTROSPECT.path, door.form(INTROSPECT, introspect::answer))
        .route(REVOKE.path, door.form(REVOKE, revoke::answer))
        .route(USERINFO.path, door.token(USERINFO, userinfo::answer))
        .route(AUTHORIZE.path, door.gateway(AUTHORIZE))
        .fallback(|| async { answer::refusal(&Fault::at(Edge::NotFound)) })
        .method_not_allowed_fallback(|| async {
            let mut answer = answer::refusal(&Fault::at(Edge::MethodNotAllowed));
            *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            answer
        })
        .layer(middleware::from_fn(plain))
        .with_state(door)
}

/// How many forms are being read where so many requests are at work at most: who sends slowly holds up nobody who sends from elsewhere.
fn forms_at_once(most: usize) -> Most {
    Most { connections: most.saturating_mul(4), from_one_address: (most / 4).max(1) }
}

/// A request is for one host, and what its length was is no question (RFC 9112 sections 3.2 and 6.1): a proxy may have believed a
/// `Content-Length` that is gone beside `Transfer-Encoding`, and so nothing after such a request is read as another.
async fn plain(request: Request<Body>, next: Next) -> Response {
    let hosts = request.headers().get_all(HOST).iter().count();
    let is_of_one = hosts == 1 || (hosts == 0 && request.version() != Version::HTTP_11);
    let is_last = !is_of_one || request.headers().contains_key(TRANSFER_ENCODING);
    let mut answer = if is_of_one {
        next.run(request).await
    } else {
        answer::refusal(&Fault::of(&Error::invalid("host", "must be given once (RFC 9112 section 3.2)")))
    };
    if is_last {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

impl Door {
    /// An endpoint that takes a form.
    fn form<F>(&self, endpoint: Endpoint, answer: fn(Arc<Service>, Asked) -> F) -> MethodRouter<Self>
    where
        F: Future<Output = Result<Response, Fault>> + Send + 'static,
    {
        let door = self.clone();
        post(move |request: Request<Body>| async move {
            let (span, from) = (door.span(endpoint, &request), door.source(&request));
            let work = |(service, request)| async {
                let asked = Asked::read(request, &door.0.settings.certificates).await?;
                answer(service, Asked { from, ..asked }).await
            };
            door.at_most(endpoint, from, span, door.read(request), work, answer::refusal).await
        })
    }

    /// An endpoint that takes an access token.
    fn token<F>(&self, endpoint: Endpoint, answer: fn(Arc<Service>, Request<Body>, Certificates) -> F) -> MethodRouter<Self>
    where
        F: Future<Output = Result<Response, Fault>> + Send + 'static,
    {
        let door = self.clone();
        let handler = move |request: Request<Body>| async move {
            let (span, from) = (door.span(endpoint, &request), door.source(&request));
            let scheme = Scheme::of(request.headers());
            let work = |(service, request)| answer(service, request, door.0.settings.certificates.clone());
            door.at_most(endpoint, from, span, door.read(request), work, |fault| challenge::refusal_of(fault, scheme)).await
        };
        get(handler.clone()).post(handler)
    }

    /// The endpoint that gateways ask.
    fn gateway(&self, endpoint: Endpoint) -> MethodRouter<Self> {
        let door = self.clone();
        get(move |request: Request<Body>| async move {
            let (span, from) = (door.span(endpoint, &request), door.source(&request));
            let scheme = Scheme::of(request.headers());
            let (head, _body) = request.into_parts();
            let Settings { certificates, gateways, headers, .. } = &door.0.settings;
            let work = |()| async {
                if !certificates.is_of_a_proxy(&head) {
                    gateways.anyone()?;
                }
                authorize::answer(&door.0.service, &head, certificates, headers).await
            };
            door.at_most(endpoint, from, span, ready(Ok(())), work, |fault| challenge::refusal_of(fault, scheme)).await
        })
    }

    /// Who asks; none where that is not known.
    fn source(&self, request: &Request<Body>) -> Option<Source> {
        caller::source(&self.0.service, request.extensions())
    }

    /// The service, where it is asked at all.
    fn admit(&self) -> Result<Arc<Service>, Fault> {
        self.0.settings.admission.anyone()?;
        Ok(Arc::clone(&self.0.service))
    }

    /// The service, and the request with its form read. That takes none of the places of requests at work.
    async fn read(&self, request: Request<Body>) -> Result<(Arc<Service>, Request<Body>), Fault> {
        let service = self.admit()?;
        let _place = match request.extensions().get::<CameFrom>() {
            Some(&CameFrom(address)) => Some(self.0.reading.take(address).ok_or(Error::Overloaded)?),
            None => None,
        };
        Ok((service, form::whole(request).await?))
    }

    fn span(&self, endpoint: Endpoint, request: &Request<Body>) -> Span {
        trace::request(self.0.settings.sampler, endpoint.name, request.headers())
    }

    /// Within rate, capacity and deadline; traced and counted. What `read` comes to is what `work` begins with: only then it has a place.
    /// `refusal` is how a fault is told at this endpoint.
    async fn at_most<T, W: Future<Output = Result<Response, Fault>>>(
        &self,
        endpoint: Endpoint,
        from: Option<Source>,
        span: Span,
        read: impl Future<Output = Result<T, Fault>>,
        work: impl FnOnce(T) -> W,
        refusal: impl FnOnce(&Fault) -> Response,
    ) -> Response {
        let arrived = Instant::now();
        let answered = async {
            if let (Some(from), Lane::Ordinary) = (from, endpoint.lane) {
                self.0.service.count_call(from)?;
            }
            let both = async {
                let asked = read.await?;
                let _place = self.0.capacity.take(endpoint.lane)?;
                on_behalf(Origin::Http, work(asked)).await
            };
            within(self.0.settings.request_deadline, both).await.unwrap_or_else(|| Err(Fault::of(&Error::DeadlineExceeded)))
        }
        .instrument(span.clone())
        .await;
        let (answer, code) = match answered {
            Ok(answer) => (answer, tonic::Code::Ok),
            Err(fault) => (refusal(&fault), fault.row().code),
        };
        trace::answered(&span, answer.status());
        metrics::request(endpoint.name, code_word(code), arrived.elapsed());
        answer
    }
}

/// Serves `router`, this or the admin's, until `shutdown`; what was begun then may take `drain` to end.
///
/// # Errors
/// None today: it ends where it was told to.
pub async fn serve(
    listener: impl Into<Listener>,
    router: Router,
    drain: Duration,
    shutdown: CancellationToken,
) -> Result<(), Infallible> {
    let serving =
        connections::accept(listener.into(), &shutdown, move |Accepted { stream, peer, address, is_http2, over, tasks }| {
            let router = router.clone();
            let service = service_fn(move |mut request: Request<Incoming>| {
                introduce(&peer, &mut request);
                request.extensions_mut().insert(CameFrom(address));
                // Over HTTP/1.1 hyper sees to it.
                let heard = |body| if is_http2 { Body::new(HeardOut::new(body, tasks.clone())) } else { Body::new(body) };
                router.clone().oneshot(request.map(heard))
            });
            async move {
                if is_http2 {
                    until_over(http2(MAX_STREAMS).serve_connection(over_http2(stream), service), over).await;
                } else {
                    until_over(http1().serve_connection(TokioIo::new(stream), service), over).await;
                }
            }
        });
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        () = serving => Ok(()),
        () = overdue => Ok(()),
    }
}

/// What an operation refused with, as its caller sees it.
fn refused(error: Error) -> Fault {
    super::logged(error)
}

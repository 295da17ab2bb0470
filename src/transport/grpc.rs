//! gRPC: the services of `jeton.v1`, health and reflection behind one front, with every limit set.
//!
//! Lives here: starting and ending the server. Below: `token`, `introspect`, `code`, `device`, `exchange`, `grant`, `key`, `client` and `resource` with their
//! `registration`, `revocation` (messages to operations and back), `unary`, `watchers` (who watches the log), `fields` and `claims` (the form of what is sent), `codec`, `status`, `layers` (what
//! holds for every call), `strangers` (streams that anybody opens), `listener`.

pub mod codec;
pub mod listener;
pub mod status;

mod authorization;
pub(crate) mod claims;
mod client;
mod code;
mod device;
mod exchange;
mod fields;
mod grant;
pub(super) mod introspect;
mod key;
mod layers;
mod polish;
mod registration;
mod resource;
mod revocation;
mod strangers;
mod token;
mod unary;
mod watchers;

/// The API as generated from `proto/jeton/v1`.
pub mod api {
    #![expect(clippy::all, clippy::allow_attributes, clippy::allow_attributes_without_reason, reason = "generated")]
    tonic::include_proto!("jeton.v1");

    /// The descriptors of the API, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/jeton_v1.bin"));
}

/// The part of Envoy's API by which it asks whom it lets pass, as generated from `proto/envoy`.
pub mod gateways {
    #![expect(missing_docs, clippy::all, clippy::allow_attributes, clippy::allow_attributes_without_reason, reason = "generated")]
    include!(concat!(env!("OUT_DIR"), "/envoy.rs"));

    /// Its descriptors, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/envoy.bin"));
}

use crate::service::limits::Source;
use crate::service::{Credentials, Service};
use crate::telemetry::Sampler;
use crate::transport::caller::{self, Admission, Caller, Calling, Permission};
use crate::transport::capacity::Lane;
use crate::transport::connections::{self, Accepted, HeardOut, Listener, http2, introduce, over_http2, until_over};
use crate::transport::fault::Fault;
use crate::transport::gateway::Headers;
use crate::transport::logged;
use api::authorization_code_service_server::{AuthorizationCodeServiceServer, SERVICE_NAME as CODE_SERVICE};
use api::client_service_server::{ClientServiceServer, SERVICE_NAME as CLIENT_SERVICE};
use api::device_service_server::{DeviceServiceServer, SERVICE_NAME as DEVICE_SERVICE};
use api::grant_service_server::{GrantServiceServer, SERVICE_NAME as GRANT_SERVICE};
use api::key_service_server::{KeyServiceServer, SERVICE_NAME as KEY_SERVICE};
use api::resource_service_server::{ResourceServiceServer, SERVICE_NAME as RESOURCE_SERVICE};
use api::revocation_service_server::{RevocationServiceServer, SERVICE_NAME as REVOCATION_SERVICE};
use api::token_service_server::{SERVICE_NAME as TOKEN_SERVICE, TokenServiceServer};
use authorization::Gateways;
use gateways::envoy::service::auth::v3::authorization_server::{AuthorizationServer, SERVICE_NAME as AUTHORIZATION_SERVICE};
use http::{Extensions, HeaderMap};
use hyper::body::Incoming;
use hyper::service::service_fn;
use jeton_domain::error::Error;
use jeton_domain::name::ClientId;
use revocation::Revocations;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use strangers::Strangers;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Status};
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, HealthService};
use watchers::Hub;

pub use layers::METHODS;
pub use watchers::Watching;

/// The largest message that is read.
pub const MAX_REQUEST_BYTES: usize = 256 * 1024;

/// The largest message that is written: a batch of introspections.
const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;

/// How calls are served.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The longest that a call may take; a caller's `grpc-timeout` may only shorten it.
    pub request_deadline: Duration,
    /// The most calls at work at once, over all connections; the next is refused as `OVERLOADED`.
    pub max_in_flight: usize,
    /// The most calls at once on one connection; the client waits with the next.
    pub max_concurrent_streams: u32,
    /// How long calls at work may take to end at shutdown.
    pub drain: Duration,
    /// Who is let in where no callers are configured.
    pub admission: Admission,
    /// Which calls are traced.
    pub sampler: Sampler,
    /// What streams of revocations hold to.
    pub watching: Watching,
    /// The headers by which services behind Envoy are told who asks.
    pub headers: Headers,
    /// Whether whoever asks is told the services and messages that there are.
    pub reflection: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            request_deadline: Duration::from_secs(2),
            max_in_flight: 1_024,
            max_concurrent_streams: 256,
            drain: Duration::from_secs(10),
            admission: Admission::Authenticated,
            sampler: Sampler::OFF,
            watching: Watching::default(),
            headers: Headers::default(),
            reflection: false,
        }
    }
}

/// Why the server could not be started, or ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC server: {0}")]
pub struct ServeError(String);

impl ServeError {
    fn of(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Serves until `shutdown`; then peers are told to go, calls at work end within `settings.drain`, and this returns.
///
/// `ready` is what health answers; it turns to not serving at shutdown by itself. May be called once per listener and
/// runtime, with clones of everything.
///
/// # Errors
/// Where it cannot be started. A drain that takes too long is none.
pub async fn serve(
    listener: impl Into<Listener>,
    service: Arc<Service>,
    settings: Settings,
    ready: watch::Receiver<bool>,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let drain = settings.drain;
    let health = HealthReporter::new();
    report(&health, false).await;
    let (hub, pump) = Hub::new(&service, settings.watching, &shutdown);
    // Streams end after they were told that nothing is served any more.
    let told = CancellationToken::new();
    let front = front(&service, &hub, &settings, &health, &told)?;
    let http = http2(settings.max_concurrent_streams);
    let sources = Arc::clone(&service);
    let serving =
        connections::accept(listener.into(), &shutdown, move |Accepted { stream, peer, address, over, tasks, .. }| {
            let (front, from) = (front.clone(), sources.source_at(address));
            let service = service_fn(move |mut request: http::Request<Incoming>| {
                introduce(&peer, &mut request);
                front.call(request.map(|body| HeardOut::new(body, tasks.clone())), from)
            });
            until_over(http.serve_connection(over_http2(stream), service), over)
        });
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        () = serving => Ok(()),
        () = overdue => {
            tracing::warn!(drain_seconds = drain.as_secs(), "calls were still at work when the time to drain was over");
            Ok(())
        }
        never = follow(&health, ready, &shutdown, &told) => match never {},
        never = pump.run() => match never {},
    }
}

fn front(
    service: &Arc<Service>,
    hub: &Arc<Hub>,
    settings: &Settings,
    health: &HealthReporter,
    over: &CancellationToken,
) -> Result<layers::Front, ServeError> {
    let api = Api { service: Arc::clone(service), admission: settings.admission };
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(api::DESCRIPTORS)
            .register_encoded_file_descriptor_set(gateways::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Of each service the same two limits, which tonic leaves at 4 MiB and none.
    macro_rules! limited {
        ($server:expr) => {
            $server.max_decoding_message_size(MAX_REQUEST_BYTES).max_encoding_message_size(MAX_RESPONSE_BYTES)
        };
    }
    let tokens = limited!(TokenServiceServer::new(api.clone()));
    let gateways = Gateways { api: api.clone(), headers: Arc::new(settings.headers.clone()) };
    let revocations = Revocations { api: api.clone(), hub: Arc::clone(hub) };
    let health = tonic_health::pb::health_server::HealthServer::new(HealthService::from_health_reporter(health.clone()));
    let others = Routes::new(limited!(GrantServiceServer::new(api.clone())))
        .add_service(limited!(AuthorizationCodeServiceServer::new(api.clone())))
        .add_service(limited!(DeviceServiceServer::new(api.clone())))
        .add_service(limited!(KeyServiceServer::new(api.clone())))
        .add_service(limited!(ClientServiceServer::new(api.clone())))
        .add_service(limited!(ResourceServiceServer::new(api.clone())))
        .add_service(limited!(AuthorizationServer::new(gateways)))
        .add_service(limited!(RevocationServiceServer::new(revocations)))
        .add_service(limited!(health));
    let others = if settings.reflection {
        let (v1, v1alpha) = (reflection().build_v1(), reflection().build_v1alpha());
        others.add_service(limited!(v1.map_err(ServeError::of)?)).add_service(limited!(v1alpha.map_err(ServeError::of)?))
    } else {
        others
    };
    Ok(layers::Front::new(api, tokens, others.prepare(), Strangers::new(over), settings))
}

/// Health follows readiness, for the whole server and for each service, until shutdown turns it off, which is `told` then.
async fn follow(
    health: &HealthReporter,
    mut ready: watch::Receiver<bool>,
    shutdown: &CancellationToken,
    told: &CancellationToken,
) -> std::convert::Infallible {
    loop {
        let now = *ready.borrow_and_update();
        report(health, now && !shutdown.is_cancelled()).await;
        tokio::select! {
            changed = ready.changed() => if changed.is_err() { break },
            () = shutdown.cancelled() => break,
        }
    }
    // The one who tells is gone, so what was told last stays, until shutdown.
    shutdown.cancelled().await;
    report(health, false).await;
    told.cancel();
    std::future::pending().await
}

async fn report(health: &HealthReporter, ready: bool) {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    let served = [
        TOKEN_SERVICE,
        CODE_SERVICE,
        DEVICE_SERVICE,
        GRANT_SERVICE,
        KEY_SERVICE,
        CLIENT_SERVICE,
        RESOURCE_SERVICE,
        REVOCATION_SERVICE,
        AUTHORIZATION_SERVICE,
    ];
    for service in [""].into_iter().chain(served) {
        health.set_service_status(service, status).await;
    }
}

/// What implements the services: the operations, and who may call them.
#[derive(Clone, Debug)]
struct Api {
    service: Arc<Service>,
    admission: Admission,
}

impl Api {
    /// Who calls.
    async fn calling(&self, headers: &HeaderMap, extensions: &Extensions, from: Source, lane: Lane) -> Result<Calling, Fault> {
        caller::of(&self.service, self.admission, headers, extensions, from, lane).await.map_err(logged)
    }
}

/// Who calls, as the front found out.
fn caller_of<M>(request: &Request<M>) -> Result<Calling, Fault> {
    let calling = request.extensions().get::<Calling>();
    calling.cloned().ok_or_else(|| logged(Error::Internal("nobody found out who calls".into())))
}

/// The same, where he may do this.
fn allow<M>(request: &Request<M>, permission: Permission) -> Result<Calling, Fault> {
    let calling = caller_of(request)?;
    calling.may(permission).map_err(logged)?;
    Ok(calling)
}

/// What is asked in the name of a client, where the caller may act for it, and be believed whose certificate that showed.
fn acting<T>(calling: &Calling, mut asked: T, of: impl FnOnce(&mut T) -> (&ClientId, &mut Credentials)) -> Result<T, Fault> {
    let (client, credentials) = of(&mut asked);
    calling.may_act_for(client).map_err(logged)?;
    passing_on(calling, credentials)?;
    Ok(asked)
}

/// What a client shows comes from its caller, who is believed whose certificate that is where it may say so.
fn passing_on(caller: &Calling, credentials: &mut Credentials) -> Result<(), Fault> {
    credentials.from = Some(caller.from);
    if credentials.certificate.is_some() { caller.may_assert_certificate().map_err(logged) } else { Ok(()) }
}

/// What concerns the clients of all, where the caller may act for those.
fn acting_for_all<T>(caller: &Caller, asked: T) -> Result<T, Fault> {
    caller.may_act_for_all().map_err(logged)?;
    Ok(asked)
}

/// What an operation refused with, as its caller sees it.
fn refused(error: Error) -> Status {
    status::of(logged(error))
}

/// What `Fields` let pass is there; anything else is a defect, and must not become a default.
fn parsed<T>(value: Option<T>) -> Result<T, Fault> {
    value.ok_or_else(|| logged(Error::Internal("a field was neither read nor refused".into())))
}

//! The whole service in this process, on a store of each kind, called as callers do: over gRPC. No tests here.

use crate::redis_cluster::RedisCluster;
use crate::redis_sentinel::RedisSentinel;
use crate::redis_server::RedisServer;
use jeton::api::client_service_client::ClientServiceClient;
use jeton::api::grant_service_client::GrantServiceClient;
use jeton::api::key_service_client::KeyServiceClient;
use jeton::api::resource_service_client::ResourceServiceClient;
use jeton::api::revocation_service_client::RevocationServiceClient;
use jeton::api::revoke_request::Target;
use jeton::api::token_service_client::TokenServiceClient;
use jeton::api::{self, AuthenticationContext, ClientAuthentication, Grant, IssueRequest, IssueResponse};
use jeton::app::{App, serve};
use jeton::clock::Clock;
use jeton::config::{self, Overrides, RootKeys, Settings};
use jeton::store::Store;
use jeton::store::embedded::Embedded;
use jeton::store::redis::{self, Redis};
use jeton::telemetry::Sampler;
use jeton::transport::caller::Admission;
use jeton::transport::connections::Listener;
use jeton::transport::{grpc, http};
use jeton_domain::client::Client;
use jeton_domain::name::{ClientId, ResourceId};
use jeton_domain::resource::{Resource, Resources};
use jeton_domain::secret::Secret;
use jeton_domain::time::{Millis, Timestamp};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::{ErrorDetail, StatusExt as _};

pub const ORDERS: &str = "https://orders.internal";
pub const PAYMENTS: &str = "https://payments.internal";
pub const ISSUER: &str = "http://127.0.0.1:8080";
pub const WEB_SECRET: &str = "jcs_dev_web_app_never_use_in_production";
pub const JOB_SECRET: &str = "jcs_dev_billing_job_never_use_in_production";

/// What every test of the operations asks for: a refresh token, an ID token, and a JWT for orders.
pub const SCOPES: &str = "openid offline_access orders:read orders:write";

/// Runs tests on each store: `name(world)` becomes `name::memory`, `name::file` and `name::redis`.
#[macro_export]
macro_rules! on_every_store {
    ($($name:ident),* $(,)?) => { $(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn memory() {
                super::$name($crate::world::World::memory().await).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn file() {
                super::$name($crate::world::World::file().await).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn redis() {
                super::$name($crate::world::World::redis(&[]).await).await;
            }
        }
    )* };
}

/// A store, a clock that stands still until it is moved, and the settings that replicas start with.
pub struct World {
    pub clock: Clock,
    pub settings: Settings,
    pub redis: Option<RedisServer>,
    pub sentinel: Option<RedisSentinel>,
    pub cluster: Option<RedisCluster>,
    /// For how long a replica waits for Redis.
    pub patience: Duration,
    /// How many replicas of Redis it waits for, for a second.
    pub replicas: u32,
    /// Which requests are traced.
    pub sampler: Sampler,
    shared: Option<Arc<dyn Store>>,
    _directory: Option<tempfile::TempDir>,
}

/// A running replica, ended with its value.
pub struct Replica {
    pub app: App,
    pub tokens: TokenServiceClient<Channel>,
    pub grants: GrantServiceClient<Channel>,
    pub keys: KeyServiceClient<Channel>,
    pub clients: ClientServiceClient<Channel>,
    pub resources: ResourceServiceClient<Channel>,
    pub revocations: RevocationServiceClient<Channel>,
    pub address: SocketAddr,
    /// Where OAuth is spoken.
    pub http: SocketAddr,
    _ended: DropGuard,
    _serving: JoinSet<()>,
}

impl World {
    pub async fn memory() -> Self {
        Self::memory_through(|store| store)
    }

    /// In memory, and whoever reaches it goes through what is put before it.
    pub fn memory_through(front: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>) -> Self {
        let mut world = Self::new();
        world.shared = Some(front(Arc::new(Embedded::in_memory(world.clock.clone()).unwrap())));
        world
    }

    pub async fn file() -> Self {
        let mut world = Self::new();
        let directory = tempfile::tempdir().unwrap();
        world.shared = Some(Arc::new(Embedded::open(&directory.path().join("data"), world.clock.clone()).unwrap()));
        world._directory = Some(directory);
        world
    }

    /// On a Redis of its own, started with these options.
    pub async fn redis(options: &[&str]) -> Self {
        let mut world = Self::new();
        world.redis = Some(RedisServer::start_with(options).await);
        world
    }

    /// On a primary that Sentinels name.
    pub async fn sentinel() -> Self {
        Self { sentinel: Some(RedisSentinel::start().await), ..Self::new() }
    }

    /// On a cluster.
    pub async fn cluster() -> Self {
        Self { cluster: Some(RedisCluster::start().await), ..Self::new() }
    }

    fn new() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("jeton.toml");
        let overrides = Overrides { store: Some("memory:".into()), ..Overrides::default() };
        let mut settings = config::load(Some(&file), &BTreeMap::<String, String>::new(), &overrides).unwrap().settings;
        settings.root_keys = ring(&[1]);
        // Whoever fails does so from one address, while the clock stands.
        settings.limits.failure_rate = 0;
        let clock = Clock::fixed(Clock::system().now());
        let patience = Duration::from_secs(20);
        Self {
            clock,
            settings,
            redis: None,
            sentinel: None,
            cluster: None,
            patience,
            replicas: 0,
            sampler: Sampler::OFF,
            shared: None,
            _directory: None,
        }
    }

    /// A store handle of its own, as another process would have.
    pub async fn store(&self) -> Arc<dyn Store> {
        if let Some(store) = &self.shared {
            return Arc::clone(store);
        }
        let url = match (&self.redis, &self.sentinel, &self.cluster) {
            (Some(redis), ..) => redis.url(),
            (_, Some(sentinel), _) => sentinel.url(),
            (.., Some(cluster)) => cluster.url(),
            _ => unreachable!("a world has a store"),
        };
        let settings = redis::Settings {
            connect_timeout: self.patience,
            response_timeout: self.patience,
            replicas: self.replicas,
            wait_timeout: Duration::from_secs(1),
            ..Default::default()
        };
        Arc::new(Redis::connect_with(&url, self.clock.clone(), settings).await.unwrap())
    }

    /// A replica with the world's settings.
    pub async fn start(&self) -> Replica {
        self.start_with(&self.settings).await
    }

    /// A replica with settings of its own.
    pub async fn start_with(&self, settings: &Settings) -> Replica {
        self.start_watched(settings, grpc::Watching::default()).await
    }

    /// The same with streams that hold to terms of their own.
    pub async fn start_watched(&self, settings: &Settings, watching: grpc::Watching) -> Replica {
        let mut settings = settings.clone();
        settings.tokens.store_timeout = Millis::new(u64::try_from(self.patience.as_millis()).unwrap());
        settings.limits.request_deadline = settings.tokens.store_timeout.percent(200);
        let app = App::on(self.store().await, &settings, self.clock.clone()).await.unwrap();
        let listener = grpc::listener::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let grpc_settings = grpc::Settings {
            admission: Admission::Open,
            request_deadline: settings.limits.request_deadline.into(),
            watching,
            sampler: self.sampler,
            headers: serve::headers(&settings),
            ..grpc::Settings::default()
        };
        let mut serving = JoinSet::new();
        let http_listener = grpc::listener::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let http_address = http_listener.local_addr().unwrap();
        let http_settings = http::Settings {
            request_deadline: settings.limits.request_deadline.into(),
            max_in_flight: settings.limits.concurrency,
            admission: Admission::Open,
            certificates: serve::certificates(&settings),
            gateways: Admission::Open,
            sampler: self.sampler,
            headers: serve::headers(&settings),
            ..http::Settings::default()
        };
        let router = http::router(Arc::clone(&app.service), http_settings);
        // Over HTTP only: callers of these tests call in plain text.
        let [_, http_tls, _] = serve::tls(&settings, &self.clock).unwrap();
        let served = http::serve(Listener::new(http_listener, http_tls), router, Duration::ZERO, shutdown.clone());
        serving.spawn(async move { served.await.unwrap() });
        let (ready, told) = watch::channel(true);
        let served = grpc::serve(listener, Arc::clone(&app.service), grpc_settings, told, shutdown.clone());
        serving.spawn(async move {
            served.await.unwrap();
            drop(ready);
        });
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Replica {
            app,
            tokens: TokenServiceClient::new(channel.clone()),
            grants: GrantServiceClient::new(channel.clone()),
            keys: KeyServiceClient::new(channel.clone()),
            clients: ClientServiceClient::new(channel.clone()),
            resources: ResourceServiceClient::new(channel.clone()),
            revocations: RevocationServiceClient::new(channel),
            address,
            http: http_address,
            _ended: shutdown.drop_guard(),
            _serving: serving,
        }
    }

    /// Moves the clock forward.
    pub fn pass(&self, seconds: u64) {
        self.clock.advance(Millis::from_secs(seconds));
    }

    /// Now, in seconds since the epoch.
    pub fn now(&self) -> i64 {
        seconds(self.clock.now())
    }

    /// The settings with one client changed.
    pub fn with_client(&self, id: &str, change: impl FnOnce(&mut Client)) -> Settings {
        let mut settings = self.settings.clone();
        let id = ClientId::parse("client_id", id).unwrap();
        change(settings.clients.iter_mut().find(|client| client.id == id).unwrap());
        settings
    }

    /// The settings with one resource changed.
    pub fn with_resource(&self, id: &str, change: impl FnOnce(&mut Resource)) -> Settings {
        let mut settings = self.settings.clone();
        let id = ResourceId::parse("resource", id).unwrap();
        let mut resources: Vec<Resource> = settings.resources.iter().cloned().collect();
        change(resources.iter_mut().find(|resource| resource.id == id).unwrap());
        settings.resources = Resources::new(resources);
        settings
    }
}

/// A ring of root keys, the active one first.
pub fn ring(keys: &[u8]) -> RootKeys {
    keys.iter().map(|key| Secret::new([*key; 32])).collect::<Vec<_>>().into()
}

pub fn seconds(at: Timestamp) -> i64 {
    i64::try_from(at.secs()).unwrap()
}

/// How the web application proves who it is.
pub fn secret(of: &str) -> Option<ClientAuthentication> {
    Some(ClientAuthentication { client_secret: of.into(), ..Default::default() })
}

/// Alice, signed in by password and second factor, lets `client` have `scope`.
pub fn alice(client: &str, scope: &str) -> IssueRequest {
    IssueRequest {
        client_id: client.into(),
        sub: "alice".into(),
        scope: scope.into(),
        authentication: Some(AuthenticationContext { amr: vec!["pwd".into(), "mfa".into()], ..Default::default() }),
        ..Default::default()
    }
}

/// A refresh of the public mobile application.
pub fn mobile(token: &str) -> api::RefreshRequest {
    api::RefreshRequest { refresh_token: token.into(), client_id: "mobile-app".into(), ..Default::default() }
}

/// A refresh of the confidential web application.
pub fn web(token: &str) -> api::RefreshRequest {
    api::RefreshRequest {
        refresh_token: token.into(),
        client_id: "web-app".into(),
        client_authentication: secret(WEB_SECRET),
        ..Default::default()
    }
}

impl Replica {
    pub async fn try_issue(&self, asked: IssueRequest) -> Result<IssueResponse, Status> {
        self.tokens.clone().issue(asked).await.map(tonic::Response::into_inner)
    }

    pub async fn issue(&self, asked: IssueRequest) -> IssueResponse {
        self.try_issue(asked).await.unwrap()
    }

    pub async fn try_refresh(&self, asked: api::RefreshRequest) -> Result<api::RefreshResponse, Status> {
        self.tokens.clone().refresh(asked).await.map(tonic::Response::into_inner)
    }

    pub async fn refresh(&self, asked: api::RefreshRequest) -> api::RefreshResponse {
        self.try_refresh(asked).await.unwrap()
    }

    pub async fn try_revoke(&self, asked: api::RevokeRequest) -> Result<api::RevokeResponse, Status> {
        self.tokens.clone().revoke(asked).await.map(tonic::Response::into_inner)
    }

    /// Revokes, acknowledged.
    pub async fn revoke(&self, target: Target) -> api::RevokeResponse {
        let revoked = self.try_revoke(api::RevokeRequest { target: Some(target), ..Default::default() }).await.unwrap();
        assert!(!revoked.revision.is_empty(), "something was revoked");
        revoked
    }

    /// What would end, by client; none where that is not counted.
    pub async fn count(&self, target: Target) -> Option<BTreeMap<String, i64>> {
        let asked = api::RevokeRequest { target: Some(target), dry_run: true, ..Default::default() };
        let answer = self.try_revoke(asked).await.unwrap();
        assert_eq!(answer.revision, "", "a dry run revokes nothing");
        answer.counted.then(|| answer.grants_by_client.into_iter().map(|count| (count.client_id, count.grants)).collect())
    }

    pub async fn try_introspect(&self, token: &str, resource: &str) -> Result<api::IntrospectResponse, Status> {
        let asked = api::IntrospectRequest { token: token.into(), resource: resource.into(), freshness: fully_fresh() };
        self.tokens.clone().introspect(asked).await.map(tonic::Response::into_inner)
    }

    pub async fn introspect(&self, token: &str) -> api::IntrospectResponse {
        self.try_introspect(token, "").await.unwrap()
    }

    /// Whether it is active; where it is not, that nothing but this and the revision is said (RFC 7662 section 2.2).
    pub async fn active(&self, token: &str) -> bool {
        self.active_for(token, "").await
    }

    /// The same as `resource` asks.
    pub async fn active_for(&self, token: &str, resource: &str) -> bool {
        let answer = self.try_introspect(token, resource).await.unwrap();
        if !answer.active {
            let nothing = api::IntrospectResponse { revision: answer.revision.clone(), ..Default::default() };
            assert_eq!(answer, nothing, "an inactive token says nothing");
        }
        answer.active
    }

    pub async fn explain(&self, token: &str) -> api::ExplainResponse {
        self.explain_for(token, "").await
    }

    pub async fn explain_for(&self, token: &str, resource: &str) -> api::ExplainResponse {
        let asked = api::ExplainRequest { token: token.into(), resource: resource.into() };
        self.tokens.clone().explain(asked).await.unwrap().into_inner()
    }

    pub async fn cause(&self, token: &str) -> api::Cause {
        self.explain(token).await.cause()
    }

    pub async fn grant(&self, grant_id: &str) -> Grant {
        let asked = api::GetGrantRequest { grant_id: grant_id.into() };
        self.grants.clone().get_grant(asked).await.unwrap().into_inner().grant.unwrap()
    }

    pub async fn list(&self, asked: api::ListGrantsRequest) -> api::ListGrantsResponse {
        self.grants.clone().list_grants(asked).await.unwrap().into_inner()
    }

    pub async fn jwks(&self) -> api::GetJwksResponse {
        self.keys.clone().get_jwks(api::GetJwksRequest {}).await.unwrap().into_inner()
    }
}

/// Everything that was acknowledged before the request: a replica of these tests follows the log only when it is asked.
pub fn fully_fresh() -> Option<api::Freshness> {
    Some(api::Freshness { requirement: Some(api::freshness::Requirement::FullyFresh(true)) })
}

/// The code and reason of a refusal, which is as every refusal must be: with exactly one `ErrorInfo`, in our domain.
#[track_caller]
pub fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    let details = status.get_error_details_vec();
    let infos: Vec<_> = details
        .iter()
        .filter_map(|detail| match detail {
            ErrorDetail::ErrorInfo(info) => Some(info),
            _ => None,
        })
        .collect();
    assert_eq!(infos.len(), 1, "exactly one ErrorInfo: {status:?}");
    assert_eq!(infos[0].domain, "jeton");
    (status.code(), infos[0].reason.clone())
}

/// A refresh token that is not accepted: one answer outward, whatever the cause.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) {
    assert_eq!(refusal(answer), (Code::FailedPrecondition, "REFRESH_TOKEN_REFUSED".into()));
}

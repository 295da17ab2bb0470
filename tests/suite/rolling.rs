//! Replicas that are told to stop: one by one they are started anew under load, and no request is lost.

use crate::process::signal;
use crate::redis_server::RedisServer;
use crate::rfc::raw::Asking;
use crate::store_contract::eventually;
use crate::tour::{Home, ROOT_KEY, Server};
use crate::world::{SCOPES, alice, mobile};
use jeton::api::revoke_request::Target;
use jeton::api::token_service_client::TokenServiceClient;
use jeton_client::api::{IntrospectRequest, IssueRequest, IssueResponse, RefreshRequest, RevokeRequest};
use jeton_client::{Client, Error, Settings};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const REPLICAS: usize = 3;
const WORKERS: usize = 6;
/// Between two restarts so many calls are answered, so that each happens in the midst of some.
const BETWEEN: u64 = 200;

/// A free port that is none of those that the system gives to connections: nobody takes it while its replica is away.
fn lasting_port() -> u16 {
    let from = 10_000 + u16::try_from(std::process::id() % 20_000).unwrap();
    (from..32_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// A replica at an address that it comes back to.
struct Replica {
    server: Option<Server>,
    home: Arc<Home>,
    store: String,
}

impl Replica {
    async fn start(store: String) -> Self {
        let mut replica = Self { server: None, home: Arc::new(Home::new()), store };
        replica.start_at(format!("127.0.0.1:{}", lasting_port())).await;
        replica
    }

    async fn start_at(&mut self, address: String) {
        let (home, store) = (Arc::clone(&self.home), self.store.clone());
        let variables = [("JETON_ROOT_KEY", ROOT_KEY), ("JETON_TOKENS_OVERLAP", "1s")];
        let started = tokio::task::spawn_blocking(move || Server::start_at(&address, &home, &store, &variables));
        self.server = Some(started.await.unwrap());
    }

    fn address(&self) -> String {
        self.server.as_ref().unwrap().address.clone()
    }

    /// Told to stop, it ends well by itself; then it is started again.
    async fn restart(&mut self) {
        let mut server = self.server.take().unwrap();
        let address = server.address.trim_start_matches("http://").to_owned();
        let ended = tokio::task::spawn_blocking(move || {
            signal(&server, "-TERM");
            server.process.wait().unwrap().code()
        });
        assert_eq!(ended.await.unwrap(), Some(0));
        self.start_at(address).await;
    }
}

/// What was asked, and what was lost.
#[derive(Default)]
struct Load {
    answered: AtomicU64,
    over: AtomicBool,
}

impl Load {
    fn counted<T>(&self, what: &str, answer: Result<T, Error>) -> T {
        let answer = answer.unwrap_or_else(|lost| panic!("{what} was lost after {}: {lost}", self.answered()));
        self.answered.fetch_add(1, Ordering::Relaxed);
        answer
    }

    fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    async fn issue(&self, client: &Client) -> IssueResponse {
        let asked =
            IssueRequest { client_id: "mobile-app".into(), sub: "alice".into(), scope: SCOPES.into(), ..Default::default() };
        self.counted("issue", client.issue(asked).await)
    }

    /// Signs in, asks whether the token is active, refreshes, and signs out now and then, until the load is over.
    async fn work(self: Arc<Self>, client: Client) {
        let mut held = self.issue(&client).await;
        for turn in 1_u64.. {
            let asked = IntrospectRequest { token: held.access_token.clone(), ..Default::default() };
            assert!(self.counted("introspect", client.introspect(asked).await).active);
            let asked = RefreshRequest {
                refresh_token: held.refresh_token.clone(),
                client_id: "mobile-app".into(),
                ..Default::default()
            };
            let fresh = self.counted("refresh", client.refresh(asked).await);
            (held.access_token, held.refresh_token) = (fresh.access_token, fresh.refresh_token);
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            if turn % 20 == 0 {
                let target = jeton_client::api::revoke_request::Target::GrantId(held.grant_id.clone());
                let revoked = client.revoke(RevokeRequest { target: Some(target), ..Default::default() }).await;
                assert!(!self.counted("revoke", revoked).revision.is_empty());
                held = self.issue(&client).await;
            }
        }
    }
}

/// Each replica restarted so often.
async fn restarted(rounds: usize) {
    let redis = RedisServer::start().await;
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        replicas.push(Replica::start(redis.url()).await);
    }
    let settings = Settings { deadline: Duration::from_secs(20), ..Settings::default() };
    let client = Client::connect(replicas.iter().map(Replica::address)).unwrap().with_settings(settings);
    let load = Arc::new(Load::default());
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(Arc::clone(&load).work(client.clone()));
    }
    let moves_on = async || {
        let enough = load.answered() + BETWEEN;
        eventually("the load goes on", async || load.answered() >= enough).await;
    };
    for _ in 0..rounds {
        for replica in &mut replicas {
            moves_on().await;
            replica.restart().await;
        }
    }
    moves_on().await;
    load.over.store(true, Ordering::Relaxed);
    while let Some(ended) = workers.join_next().await {
        ended.unwrap();
    }
    println!("{} restarts, {} calls answered, none lost", rounds * REPLICAS, load.answered());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_are_restarted_one_by_one_lose_no_request() {
    restarted(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the long form: minutes"]
async fn replicas_that_are_restarted_again_and_again_lose_no_request() {
    restarted(30).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_serves_on_while_it_is_not_ready_until_the_delay_is_over() {
    let home = Home::new();
    let mut server = Server::start(&home, "memory:", &[("JETON_LIMITS_SHUTDOWN_DELAY", "60s")]);
    let admin = server.admin;
    let mut tokens = TokenServiceClient::connect(server.address.clone()).await.unwrap();
    let issued = tokens.issue(alice("mobile-app", SCOPES)).await.unwrap().into_inner();
    signal(&server, "-TERM");
    eventually("it is not ready", async || {
        let said = Asking::get(admin, "/readyz").send().await;
        said.status == 503 && said.body == b"not ready\nshutting down\n"
    })
    .await;
    let endpoint = Endpoint::from_shared(server.address.clone()).unwrap();
    let mut health = HealthClient::new(endpoint.connect().await.unwrap());
    eventually("health says so", async || health.check(HealthCheckRequest::default()).await.unwrap().into_inner().status == 2)
        .await;
    tokens.refresh(mobile(&issued.refresh_token)).await.unwrap();
    let mut late = TokenServiceClient::connect(server.address.clone()).await.unwrap();
    let revoke = jeton::api::RevokeRequest { target: Some(Target::GrantId(issued.grant_id)), ..Default::default() };
    assert!(!late.revoke(revoke).await.unwrap().into_inner().revision.is_empty());
    signal(&server, "-INT");
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
}

//! Replicas that are told to stop: one by one they are started anew under load, and no request is lost.

use crate::load::Load;
use crate::port;
use crate::process::signal;
use crate::redis_server::RedisServer;
use crate::rfc::raw::Asking;
use crate::store_contract::eventually;
use crate::tour::{Home, ROOT_KEY, Server};
use crate::world::{SCOPES, alice, mobile};
use jeton::api::revoke_request::Target;
use jeton::api::token_service_client::TokenServiceClient;
use std::sync::Arc;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const REPLICAS: usize = 3;
const WORKERS: usize = 6;
/// Between two restarts so many calls are answered, so that each happens in the midst of some.
const BETWEEN: usize = 200;

/// A replica at an address that it comes back to.
struct Replica {
    server: Option<Server>,
    home: Arc<Home>,
    store: String,
}

impl Replica {
    async fn start(store: String) -> Self {
        let mut replica = Self { server: None, home: Arc::new(Home::new()), store };
        replica.start_at(port::free().to_string()).await;
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

/// Each replica restarted so often.
async fn restarted(rounds: usize) {
    let redis = RedisServer::start().await;
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        replicas.push(Replica::start(redis.url()).await);
    }
    let addresses: Vec<_> = replicas.iter().map(Replica::address).collect();
    let load = Load::of(&addresses, WORKERS);
    for _ in 0..rounds {
        for replica in &mut replicas {
            load.goes_on(BETWEEN).await;
            replica.restart().await;
        }
    }
    load.goes_on(BETWEEN).await;
    println!("{} restarts, {} calls answered, none lost", rounds * REPLICAS, load.ended().await);
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

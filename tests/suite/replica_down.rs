//! A replica of Redis is down: what must be on it fails and says so, everything else goes on, and jeton stays in service. By the binary,
//! whose jobs and readiness are part of it.

use crate::redis_server::RedisServer;
use crate::rfc::raw::Asking;
use crate::store_contract::eventually;
use crate::tour::{Home, Server};
use crate::world::{SCOPES, alice, fully_fresh, mobile, refusal};
use jeton::api::revoke_request::Target;
use jeton::api::token_service_client::TokenServiceClient;
use jeton::api::{Durability, IntrospectRequest, IssueResponse, RevokeRequest, RevokeResponse};
use jeton::config::RootKeys;
use jeton::roots::Roots;
use std::net::SocketAddr;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// What cannot be said as long as the replica is down.
const MISSING: &str = "has 0 replicas in step and 1 are configured";
const READY: u16 = 200;
/// The active root key, and one before it.
const RING: &str = "5f5e5d5c5b5a595857565554535251504f4e4d4c4b4a49484746454443424140
1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100";
const NOT_JOINED: &str = "not all replicas of the store have acknowledged this replica";

/// `jeton serve`, for which one replica of the primary is configured.
struct Jeton {
    tokens: TokenServiceClient<Channel>,
    admin: SocketAddr,
    _server: Server,
    _home: Home,
}

impl Jeton {
    async fn start(primary: &RedisServer) -> Self {
        let (home, url) = (Home::new(), primary.url());
        let (server, home) = tokio::task::spawn_blocking(move || {
            let variables = [
                ("JETON_ROOT_KEY", RING),
                ("JETON_REDIS_REPLICAS", "1"),
                // Longer than a replica that is up ever takes on a busy machine.
                ("JETON_REDIS_WAIT_TIMEOUT", "1s"),
                ("JETON_TOKENS_STORE_TIMEOUT", "4s"),
                ("JETON_TELEMETRY_LOG_FORMAT", "json"),
            ];
            (Server::start(&home, &url, &variables), home)
        })
        .await
        .unwrap();
        let log = std::fs::read_to_string(home.path().join("log")).unwrap();
        let admin = log.lines().find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            [&line["fields"], &line].into_iter().find_map(|fields| fields["admin"].as_str()?.parse().ok())
        });
        let admin = admin.unwrap_or_else(|| panic!("it tells its admin port:\n{log}"));
        let tokens = TokenServiceClient::connect(server.address.clone()).await.unwrap();
        Self { tokens, admin, _server: server, _home: home }
    }

    async fn issue(&self) -> Result<IssueResponse, Status> {
        self.tokens.clone().issue(alice("mobile-app", SCOPES)).await.map(tonic::Response::into_inner)
    }

    async fn revoke(&self, target: Target) -> Result<RevokeResponse, Status> {
        let asked = RevokeRequest { target: Some(target), ..Default::default() };
        self.tokens.clone().revoke(asked).await.map(tonic::Response::into_inner)
    }

    /// Acknowledged, and on the replica.
    async fn is_revoked(&self, target: Target) {
        let revoked = self.revoke(target).await.unwrap();
        assert!(!revoked.revision.is_empty() && revoked.durability() == Durability::Replicated, "{revoked:?}");
    }

    /// In force, and said to be no more than that.
    async fn is_not_durable(&self, target: Target) {
        assert_eq!(refusal(self.revoke(target).await), (Code::Unavailable, "REVOKED_NOT_DURABLE".into()));
    }

    async fn active(&self, token: &str) -> bool {
        let asked = IntrospectRequest { token: token.into(), freshness: fully_fresh(), ..Default::default() };
        self.tokens.clone().introspect(asked).await.unwrap().into_inner().active
    }

    async fn readyz(&self) -> (u16, String) {
        let said = Asking::get(self.admin, "/readyz").send().await;
        (said.status, String::from_utf8(said.body).unwrap())
    }

    async fn is_ready(&self) {
        eventually("it is ready", async || self.readyz().await.0 == READY).await;
    }

    /// Waits until it says this, and sees that it is in service all the while.
    async fn stays_ready_and_says(&self, words: &str) {
        eventually(words, async || {
            let (status, said) = self.readyz().await;
            assert_eq!(status, READY, "{said}");
            said.contains(words)
        })
        .await;
    }

    async fn is_ready_and_nothing_is_remarkable(&self) {
        eventually("it is ready", async || self.readyz().await == (READY, "ready\n".into())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_be_on_it_fails_and_everything_else_goes_on() {
    let primary = RedisServer::start_with(&["--repl-diskless-sync-delay", "0"]).await;
    let mut replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &primary.port().to_string()]).await;
    eventually("the replica is in step", async || primary.info("replication", "connected_slaves").await == "1").await;
    eventually("it acknowledges", async || primary.ask::<i64>(&["WAIT", "1", "100"]).await == 1).await;
    let jeton = Jeton::start(&primary).await;
    jeton.is_ready_and_nothing_is_remarkable().await;
    let (kept, before, ended) = (jeton.issue().await.unwrap(), jeton.issue().await.unwrap(), jeton.issue().await.unwrap());
    jeton.is_revoked(Target::GrantId(before.grant_id.clone())).await;

    replica.stop().await;
    jeton.stays_ready_and_says(MISSING).await;
    // Twice: that it is known to be revoked says nothing of the replica. What that had before is as safe as it was.
    let twice = async |target: Target| {
        jeton.is_not_durable(target.clone()).await;
        jeton.is_not_durable(target).await;
    };
    let (issued, ..) = tokio::join!(
        jeton.issue(),
        twice(Target::GrantId(ended.grant_id.clone())),
        twice(Target::Token(ended.refresh_token.clone())),
        jeton.is_revoked(Target::GrantId(before.grant_id.clone())),
    );
    assert_eq!(refusal(issued), (Code::Unavailable, "NOT_DURABLE".into()));
    for dead in [&before, &ended] {
        assert!(!jeton.active(&dead.access_token).await, "it is in force all the same");
    }
    let refreshed = jeton.tokens.clone().refresh(mobile(&kept.refresh_token)).await.unwrap().into_inner();
    for alive in [&kept.access_token, &refreshed.access_token, &refreshed.refresh_token] {
        assert!(jeton.active(alive).await);
    }
    let kid = jsonwebtoken::decode_header(&refreshed.access_token).unwrap().kid.unwrap();
    jeton.is_not_durable(Target::Kid(kid)).await;
    assert!(!jeton.active(&refreshed.access_token).await, "the key is burnt all the same");
    // Of a root key all is done before that is said, and once.
    let old = Roots::new(RootKeys::parse(RING).unwrap().keys()).unwrap().ids().last().unwrap().to_string();
    jeton.is_not_durable(Target::RootKeyId(old.clone())).await;
    let after = jeton.tokens.clone().refresh(mobile(&refreshed.refresh_token)).await.unwrap().into_inner();
    jeton.is_not_durable(Target::RootKeyId(old.clone())).await;
    assert!(jeton.active(&after.access_token).await, "signed by a key of after");
    jeton.stays_ready_and_says(MISSING).await;
    // One that starts now is not there for all replicas of Redis to know, and serves what rests on none.
    let late = Jeton::start(&primary).await;
    late.is_ready().await;
    late.stays_ready_and_says(NOT_JOINED).await;
    assert_eq!(refusal(late.issue().await).0, Code::Unavailable);
    assert!(late.active(&refreshed.refresh_token).await && !late.active(&ended.access_token).await);
    late.tokens.clone().refresh(mobile(&refreshed.refresh_token)).await.unwrap();

    replica.restart().await;
    for jeton in [&jeton, &late] {
        jeton.is_ready_and_nothing_is_remarkable().await;
        jeton.is_revoked(Target::GrantId(ended.grant_id.clone())).await;
        jeton.is_revoked(Target::GrantId(before.grant_id.clone())).await;
        jeton.is_revoked(Target::RootKeyId(old.clone())).await;
        jeton.issue().await.unwrap();
    }
}

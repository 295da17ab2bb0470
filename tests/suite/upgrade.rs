//! An earlier build beside this one on one Redis, as in a rolling upgrade and when it is taken back: no request fails, and what either
//! writes the other reads.

use crate::load::Load;
use crate::port;
use crate::redis_server::RedisServer;
use crate::store_contract::eventually;
use crate::tour::ROOT_KEY;
use crate::world::{ORDERS, SCOPES, alice, fully_fresh, mobile};
use jeton::api::authorization_code_service_client::AuthorizationCodeServiceClient;
use jeton::api::client_service_client::ClientServiceClient;
use jeton::api::key_service_client::KeyServiceClient;
use jeton::api::revoke_request::Target;
use jeton::api::token_service_client::TokenServiceClient;
use jeton::api::{self, IntrospectRequest, RevokeRequest};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use tonic::transport::{Channel, Endpoint};

/// Where the binary of the earlier build is.
const EARLIER: &str = "EARLIER_BINARY";
/// How many ask beside the upgrade.
const ASKING: usize = 8;

/// A replica; killed when dropped.
struct Replica {
    process: Child,
    address: String,
    channel: Channel,
    _stdout: BufReader<ChildStdout>,
}

impl Replica {
    async fn start(binary: &str, address: &str, redis: &RedisServer) -> Self {
        let mut process = Command::new(binary)
            .args(["serve", "--config", concat!(env!("CARGO_MANIFEST_DIR"), "/jeton.toml"), "--store", &redis.url()])
            .args(["--grpc-listen", address, "--http-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .env("JETON_ROOT_KEY", ROOT_KEY)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.split_once("gRPC on ").unwrap_or_else(|| panic!("{binary}: {line}")).1;
        let address = address.split(',').next().unwrap().to_owned();
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { process, address, channel, _stdout: stdout }
    }

    /// Ends as a platform ends it, and another build takes its place.
    async fn replaced(mut self, binary: &str, redis: &RedisServer) -> Self {
        let told = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(told.success());
        let ended = tokio::task::block_in_place(|| self.process.wait().unwrap());
        assert_eq!(ended.code(), Some(0));
        let address = self.address.clone();
        drop(self);
        Self::start(binary, &address, redis).await
    }

    fn tokens(&self) -> TokenServiceClient<Channel> {
        TokenServiceClient::new(self.channel.clone())
    }

    async fn is_active(&self, token: &str, resource: &str) -> bool {
        let asked = IntrospectRequest { token: token.into(), resource: resource.into(), freshness: fully_fresh() };
        self.tokens().introspect(asked).await.unwrap().into_inner().active
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// What one writes the other reads: grants, codes, revocations, registrations, keys.
async fn understand_each_other(one: &Replica, other: &Replica, round: usize) {
    let issued = one.tokens().issue(alice("mobile-app", SCOPES)).await.unwrap().into_inner();
    let opaque = alice("mobile-app", "offline_access payments:read");
    let opaque = one.tokens().issue(opaque).await.unwrap().into_inner();
    let renewed = other.tokens().refresh(mobile(&issued.refresh_token)).await.unwrap().into_inner();
    let again = one.tokens().refresh(mobile(&renewed.refresh_token)).await.unwrap().into_inner();
    for (token, resource) in [(&issued.access_token, ORDERS), (&opaque.access_token, ""), (&again.access_token, ORDERS)] {
        assert!(other.is_active(token, resource).await && one.is_active(token, resource).await);
    }
    let target = Some(Target::GrantId(issued.grant_id.clone()));
    one.tokens().revoke(RevokeRequest { target, ..Default::default() }).await.unwrap();
    assert!(!other.is_active(&again.access_token, ORDERS).await);
    other.tokens().refresh(mobile(&again.refresh_token)).await.unwrap_err();

    let code = api::CreateAuthorizationCodeRequest {
        grant: Some(alice("mobile-app", SCOPES)),
        redirect_uri: "http://127.0.0.1/callback".into(),
        code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".into(),
        ..Default::default()
    };
    let code = AuthorizationCodeServiceClient::new(one.channel.clone()).create_authorization_code(code).await.unwrap();
    let redeem = api::ExchangeAuthorizationCodeRequest {
        code: code.into_inner().code,
        client_id: "mobile-app".into(),
        redirect_uri: "http://127.0.0.1/callback".into(),
        code_verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into(),
        ..Default::default()
    };
    AuthorizationCodeServiceClient::new(other.channel.clone()).exchange_authorization_code(redeem).await.unwrap();

    let id = format!("registered-{round}");
    let client = api::Client {
        client_id: id.clone(),
        kind: "public".into(),
        grant_types: vec!["authorization_code".into(), "refresh_token".into()],
        redirect_uris: vec!["https://app.example.com/callback".into()],
        scopes: vec!["offline_access".into(), "orders:read".into()],
        resources: vec![ORDERS.into()],
        ..Default::default()
    };
    let created = api::CreateClientRequest { client: Some(client) };
    ClientServiceClient::new(one.channel.clone()).create_client(created).await.unwrap();
    eventually("the other serves the client", async || {
        other.tokens().issue(alice(&id, "offline_access orders:read")).await.is_ok()
    })
    .await;
    let keys = async |of: &Replica| {
        let listed = KeyServiceClient::new(of.channel.clone()).get_jwks(api::GetJwksRequest {}).await.unwrap();
        listed.into_inner().keys
    };
    assert_eq!(keys(one).await, keys(other).await);
}

#[expect(clippy::disallowed_methods, reason = "which build is the earlier one is for who runs this")]
fn earlier() -> String {
    let binary =
        std::env::var(EARLIER).unwrap_or_else(|_| panic!("{EARLIER} names the binary of an earlier build: `make upgrade`"));
    assert!(PathBuf::from(&binary).exists(), "{binary}");
    binary
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs an earlier build: `make upgrade`"]
async fn an_earlier_build_is_replaced_and_taken_back_on_one_redis_and_no_request_fails() {
    let (earlier, now) = (earlier(), env!("CARGO_BIN_EXE_jeton"));
    let redis = RedisServer::start().await;
    let mut replicas = [
        Replica::start(&earlier, &port::free().to_string(), &redis).await,
        Replica::start(&earlier, &port::free().to_string(), &redis).await,
    ];
    let addresses: Vec<String> = replicas.iter().map(|replica| format!("http://{}", replica.address)).collect();
    let load = Load::of(&addresses, ASKING);
    // Upgraded one after the other, and taken back so.
    for (round, build) in [now, now, &earlier, &earlier].into_iter().enumerate() {
        let [first, second] = replicas;
        understand_each_other(&first, &second, 4 * round).await;
        understand_each_other(&second, &first, 4 * round + 1).await;
        replicas = [second, first.replaced(build, &redis).await];
        understand_each_other(&replicas[0], &replicas[1], 4 * round + 2).await;
        understand_each_other(&replicas[1], &replicas[0], 4 * round + 3).await;
        load.goes_on(20 * ASKING).await;
    }
    println!("{} requests were answered while four replicas were replaced; none failed", load.ended().await);
}

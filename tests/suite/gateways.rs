//! A real Envoy and a real nginx, started by the scripts of `examples/` as they stand, before a service that says what it was asked.
//!
//! `make test` installs both: where one is not there, these tests fail.

use crate::port;
use crate::rfc::proof::Prover;
use crate::rfc::raw::{Answer, Asking};
use crate::tour::{Home, Server};
use crate::world::{World, alice};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Uri};
use jeton::api::revoke_request::Target;
use jeton::api::token_service_client::TokenServiceClient;
use jeton::api::{Confirmation, IssueRequest, RevokeRequest};
use jeton::clock::Clock;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::transport::Channel;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// How long a program may take to listen; a machine that is busy with other tests included.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway before a service. Both end with the value.
struct Gateway {
    at: SocketAddr,
    process: Child,
    _directory: tempfile::TempDir,
    _service: JoinSet<()>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // SIGTERM, so that nginx ends its workers too.
        let told = Command::new("kill").arg(self.process.id().to_string()).status();
        assert!(told.is_ok_and(|told| told.success()) && self.process.wait().is_ok(), "a gateway did not end");
    }
}

/// Waits until somebody listens there.
async fn listens(at: SocketAddr, process: &mut Child) {
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect(at).await.is_err() {
        let ended = process.try_wait().unwrap();
        assert!(
            ended.is_none() && Instant::now() < until,
            "nobody listens on {at}: {ended:?}; `make test-tools` installs what is missing"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Gateway {
    /// `examples/NAME/run`, with a jeton there.
    async fn start(name: &str, grpc: SocketAddr, http: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (service, at, directory) = (listener.local_addr().unwrap(), port::free(), tempfile::tempdir().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async { axum::serve(listener, axum::Router::new().fallback(echo)).await.unwrap() });
        let envoy = Path::new(ROOT).join("target/interop/envoy/envoy/_bin/envoy");
        assert!(envoy.exists(), "{} is not there: run `./.ci/interop`, as `make test` does", envoy.display());
        let mut process = Command::new(Path::new(ROOT).join("examples").join(name).join("run"))
            .env("ENVOY", envoy)
            .env("DIRECTORY", directory.path())
            .env("GATEWAY_PORT", at.port().to_string())
            .env("SERVICE_PORT", service.port().to_string())
            .env("JETON_GRPC_PORT", grpc.port().to_string())
            .env("JETON_HTTP_PORT", http.port().to_string())
            .env("ISSUER", format!("http://{http}"))
            .env("LOG_LEVEL", "error")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        listens(at, &mut process).await;
        Self { at, process, _directory: directory, _service: serving }
    }

    fn get(&self, path: &str, token: &str) -> Asking {
        Asking::get(self.at, path).header("Authorization", &format!("Bearer {token}"))
    }

    async fn status(&self, path: &str, token: &str) -> u16 {
        self.get(path, token).send().await.status
    }
}

/// What the service was asked: each header as often as it came.
async fn echo(uri: Uri, headers: HeaderMap) -> String {
    let headers: Vec<_> = headers.iter().map(|(name, value)| json!([name.as_str(), value.to_str().unwrap()])).collect();
    json!({"path": uri.to_string(), "headers": headers}).to_string()
}

/// All values of a header that the service read.
#[track_caller]
fn read(answer: &Answer, name: &str) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let said = answer.json();
    let of_name = |header: &&Value| header[0].as_str().unwrap().replace('_', "-") == name;
    said["headers"].as_array().unwrap().iter().filter(of_name).map(|header| header[1].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn is_challenged(answer: &Answer, status: u16, challenge: &str) {
    assert_eq!((answer.status, answer.header("www-authenticate")), (status, Some(challenge)), "{answer:?}");
}

/// jeton, the real binary.
struct Jeton {
    grpc: SocketAddr,
    http: SocketAddr,
    tokens: TokenServiceClient<Channel>,
    _server: Server,
    _home: Home,
}

impl Jeton {
    async fn start() -> Self {
        let (home, http) = (Home::new(), port::free());
        let config = home.path().join("jeton.toml");
        let settings = std::fs::read_to_string(Path::new(ROOT).join("jeton.toml")).unwrap();
        std::fs::write(&config, settings.replace("http://127.0.0.1:8080", &format!("http://{http}"))).unwrap();
        let server = Server::start_as(&config, "127.0.0.1:0", &http.to_string(), &home, "memory:", &[]);
        let grpc = server.address.strip_prefix("http://").unwrap().parse().unwrap();
        let tokens = TokenServiceClient::connect(server.address.clone()).await.unwrap();
        Self { grpc, http, tokens, _server: server, _home: home }
    }

    async fn issue(&self, scope: &str, cnf: Option<Confirmation>) -> String {
        let asked = IssueRequest { cnf, ..alice("web-app", scope) };
        self.tokens.clone().issue(asked).await.unwrap().into_inner().access_token
    }

    async fn revoke(&self, token: &str) {
        let asked = RevokeRequest { target: Some(Target::Token(token.into())), ..Default::default() };
        self.tokens.clone().revoke(asked).await.unwrap();
    }
}

const INVALID: &str = "Bearer realm=\"jeton\", error=\"invalid_token\"";
const LACKING: &str = "Bearer realm=\"jeton\", error=\"insufficient_scope\", scope=\"orders:read\"";
const NO_PROOF: &str = "DPoP realm=\"jeton\", algs=\"ES256 EdDSA Ed25519\", error=\"invalid_dpop_proof\"";

/// What holds of every gateway that asks.
async fn asks(jeton: &Jeton, gateway: &Gateway) {
    let good = jeton.issue("orders:read orders:write", None).await;
    // What a client says of itself, under names of ours, is not read.
    let asked = gateway.get("/orders?page=2", &good).header("X-Jeton-Subject", "mallory").header("x-jeton-subject", "mallory");
    let answer = asked.header("X-Jeton-Acr", "gold").header("X-Jeton-Client", "").send().await;
    assert_eq!(read(&answer, "x-jeton-subject"), ["alice"]);
    assert_eq!(read(&answer, "x-jeton-client"), ["web-app"]);
    assert_eq!(read(&answer, "x-jeton-scope"), ["orders:read orders:write"]);
    assert!(read(&answer, "x-jeton-acr").is_empty(), "{answer:?}");
    assert_eq!(answer.json()["path"], "/orders?page=2");
    let other = gateway.get("/orders", &good).header("X-Forwarded-Uri", "/").header("X-Original-URI", "/x").send().await;
    assert_eq!(other.status, 200, "how jeton is told of the request is the gateway's: {other:?}");
    let underscored = gateway.get("/orders", &good).header("x_jeton_subject", "mallory").send().await;
    assert!(underscored.status == 400 || read(&underscored, "x-jeton-subject") == ["alice"], "{underscored:?}");

    let none = Asking::get(gateway.at, "/orders").send().await;
    is_challenged(&none, 401, "Bearer realm=\"jeton\", DPoP realm=\"jeton\", algs=\"ES256 EdDSA Ed25519\"");
    for garbage in ["garbage", "a.b.c", "jat_x"] {
        is_challenged(&gateway.get("/orders", garbage).send().await, 401, INVALID);
    }
    is_challenged(&gateway.get("/payments", &good).send().await, 401, INVALID);
    let narrow = jeton.issue("orders:write", None).await;
    is_challenged(&gateway.get("/orders", &narrow).send().await, 403, LACKING);
    for refused in [
        gateway.get("/orders", &good).header("Authorization", &format!("Bearer {good}")),
        gateway.get(&format!("/orders?access_token={good}"), &good),
    ] {
        let answer = refused.send().await;
        // nginx knows no other word for what is neither allowed nor denied.
        assert!(matches!(answer.status, 400 | 500), "{answer:?}");
    }
    jeton.revoke(&good).await;
    is_challenged(&gateway.get("/orders", &good).send().await, 401, INVALID);

    is_bound(jeton, gateway).await;
    let outside = jeton.issue("payments:read", None).await;
    let answer = gateway.get("/payments/7", &outside).send().await;
    let inside = read(&answer, "authorization");
    let [inside] = inside.as_slice() else { panic!("one token is shown: {answer:?}") };
    let claims = inside.strip_prefix("Bearer ").and_then(|jwt| jwt.split('.').nth(1)).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!((&claims["sub"], &claims["aud"]), (&json!("alice"), &json!("https://payments.internal")));
    assert!(outside.starts_with("jat_") && claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap() <= 60, "{claims}");
    jeton.revoke(&outside).await;
    is_challenged(&gateway.get("/payments/7", &outside).send().await, 401, INVALID);
}

/// A token that is bound to a key passes with a proof, once.
async fn is_bound(jeton: &Jeton, gateway: &Gateway) {
    let prover = Prover::new();
    let token = jeton.issue("orders:read", Some(Confirmation { jkt: prover.jkt(), ..Default::default() })).await;
    let now = i64::try_from(Clock::system().now().secs()).unwrap();
    let proof = |htu: &str| {
        let ath = URL_SAFE_NO_PAD.encode(Sha256::digest(&token));
        prover.proof(now).claim("htm", "GET").claim("htu", format!("http://{}{htu}", gateway.at)).claim("ath", ath).signed()
    };
    let shows = |proof: &str| {
        Asking::get(gateway.at, "/orders").header("Authorization", &format!("DPoP {token}")).header("DPoP", proof).send()
    };
    let right = proof("/orders");
    assert_eq!(read(&shows(&right).await, "x-jeton-subject"), ["alice"]);
    is_challenged(&shows(&right).await, 401, NO_PROOF);
    is_challenged(&shows(&proof("/payments")).await, 401, NO_PROOF);
    is_challenged(&gateway.get("/orders", &token).send().await, 401, INVALID);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_lets_pass_whom_jeton_allows_and_checks_jwts_by_itself() {
    let jeton = Jeton::start().await;
    let gateway = Gateway::start("envoy", jeton.grpc, jeton.http).await;
    asks(&jeton, &gateway).await;
    // By the public keys alone.
    let good = jeton.issue("openid orders:read", None).await;
    let answer = gateway.get("/local", &good).header("X-Jeton-Subject", "mallory").header("X-Jeton-Acr", "gold").send().await;
    assert_eq!(read(&answer, "x-jeton-subject"), ["alice"]);
    assert!(read(&answer, "x-jeton-acr").is_empty(), "{answer:?}");
    let (head, tag) = good.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", tag.chars().rev().collect::<String>());
    for (what, other) in [("forged", forged), ("opaque", jeton.issue("payments:read", None).await), ("garbage", "x".into())] {
        assert_eq!(gateway.status("/local", &other).await, 401, "{what}");
    }
    // It learns of no revocation there; what asks does.
    jeton.revoke(&good).await;
    assert_eq!((gateway.status("/local", &good).await, gateway.status("/orders", &good).await), (200, 401));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_lets_pass_whom_jeton_allows() {
    let jeton = Jeton::start().await;
    let gateway = Gateway::start("nginx", jeton.grpc, jeton.http).await;
    asks(&jeton, &gateway).await;
}

/// It follows the revocations, so that the next request after that is refused; how soon the reference of the client library says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_with_the_client_library_checks_tokens_by_itself() {
    let jeton = Jeton::start().await;
    let (at, directory) = (port::free(), tempfile::tempdir().unwrap());
    let program = Path::new(env!("CARGO_BIN_EXE_jeton")).with_file_name("examples").join("orders");
    assert!(program.exists(), "{} is not there: `cargo build --workspace --examples`, as `make test` does", program.display());
    let mut process = Command::new(Path::new(ROOT).join("examples/service/run"))
        .env("ORDERS", program)
        .env("JETON_SERVER", format!("http://{}", jeton.grpc))
        .env("ISSUER", format!("http://{}", jeton.http))
        .env("LISTEN", at.to_string())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    listens(at, &mut process).await;
    let service = Gateway { at, process, _directory: directory, _service: JoinSet::new() };
    let good = jeton.issue("orders:read", None).await;
    let status = async |expected: u16, token: &str| {
        let until = Instant::now() + PATIENCE;
        while service.status("/orders", token).await != expected {
            assert!(Instant::now() < until, "never {expected}");
            tokio::task::yield_now().await;
        }
    };
    // It reads keys and revocations first.
    status(200, &good).await;
    assert_eq!(service.status("/orders", &jeton.issue("openid orders:write", None).await).await, 403);
    assert_eq!(service.status("/orders", "garbage").await, 401);
    jeton.revoke(&good).await;
    status(401, &good).await;
}

/// The clock is moved, so jeton is in this process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_token_passes_no_gateway_and_without_jeton_none_does() {
    let world = World::memory().await;
    let jeton = world.start().await;
    let token = jeton.issue(alice("web-app", "orders:read")).await.access_token;
    let [envoy, nginx] =
        [Gateway::start("envoy", jeton.address, jeton.http).await, Gateway::start("nginx", jeton.address, jeton.http).await];
    for gateway in [&envoy, &nginx] {
        assert_eq!(gateway.status("/orders", &token).await, 200);
    }
    world.pass(301);
    for gateway in [&envoy, &nginx] {
        is_challenged(&gateway.get("/orders", &token).send().await, 401, INVALID);
    }
    drop(jeton);
    // What it was at work with may end first.
    for (gateway, without) in [(&envoy, 503), (&nginx, 500)] {
        let until = Instant::now() + PATIENCE;
        loop {
            let status = gateway.status("/orders", &token).await;
            if status == without {
                break;
            }
            assert!(status != 200 && Instant::now() < until, "{status} instead of {without}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

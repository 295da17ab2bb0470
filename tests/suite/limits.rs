//! What is accepted at most: connections, calls of one caller, failures of one who asks, slow and large requests; and what is shed.

use crate::rfc::raw::{Asking, basic};
use crate::server::{self, framed, open, refusal, service, start};
use crate::store_contract::eventually;
use crate::tour::{Home, Server};
use crate::world::{JOB_SECRET, WEB_SECRET, World, alice, fully_fresh, secret};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use jeton::api::revoke_request::Target;
use jeton::api::token_service_client::TokenServiceClient;
use jeton::api::{IntrospectRequest, RevokeRequest};
use jeton::telemetry::metrics::LIMITED;
use jeton::transport::caller::Admission;
use jeton::transport::connections::{Listener, Most};
use jeton::transport::http::{JWKS_PATH, router};
use jeton::transport::{grpc, http};
use jeton_domain::caller::{Caller, Callers, Names, hash_of_key};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

const INTROSPECT: &str = "/jeton.v1.TokenService/Introspect";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// HTTP with these settings, ended with its value.
async fn serve_http(settings: http::Settings, most: Most) -> (SocketAddr, DropGuard, JoinSet<()>) {
    let listener = grpc::listener::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let router = router(service().await, http::Settings { admission: Admission::Open, ..settings });
    let serving = http::serve(Listener::new(listener, None).with(most), router, Duration::ZERO, shutdown.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { serving.await.unwrap() });
    (address, shutdown.drop_guard(), tasks)
}

/// All that is answered to these bytes, until the connection ends.
async fn said(stream: &mut TcpStream, bytes: &[u8]) -> String {
    let _refused = stream.write_all(bytes).await;
    let mut all = Vec::new();
    let _reset = stream.read_to_end(&mut all).await;
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn a_connection_too_many_is_closed_and_the_next_served_when_one_ends() {
    let (address, _ended, _serving) = serve_http(http::Settings::default(), Most { connections: 3, from_one_address: 2 }).await;
    let asked = format!("GET {JWKS_PATH} HTTP/1.1\r\nhost: jeton\r\n\r\n");
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut first = [0; 15];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        kept.push(stream);
    }
    let before = LIMITED.count(["connections_per_address"]);
    let mut third = TcpStream::connect(address).await.unwrap();
    assert_eq!(said(&mut third, asked.as_bytes()).await, "");
    assert!(LIMITED.count(["connections_per_address"]) > before);
    drop(kept);
    let closing = format!("GET {JWKS_PATH} HTTP/1.1\r\nhost: jeton\r\nconnection: close\r\n\r\n");
    eventually("there is a place again", async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        said(&mut stream, closing.as_bytes()).await.starts_with("HTTP/1.1 200")
    })
    .await;
}

#[tokio::test]
async fn headers_that_are_too_large_and_bodies_that_never_end_are_refused() {
    let settings = http::Settings { request_deadline: Duration::from_millis(30), ..http::Settings::default() };
    let (address, _ended, _serving) = serve_http(settings, Most::default()).await;
    let large = format!("GET {JWKS_PATH} HTTP/1.1\r\nhost: jeton\r\nx: {}\r\n\r\n", "x".repeat(64 * 1024));
    let answer = said(&mut TcpStream::connect(address).await.unwrap(), large.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = format!("GET {JWKS_PATH} HTTP/1.1\r\nhost: jeton\r\n{}\r\n", "x: y\r\n".repeat(200));
    let answer = said(&mut TcpStream::connect(address).await.unwrap(), many.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let unfinished = "POST /oauth2/token HTTP/1.1\r\nhost: jeton\r\nconnection: close\r\ncontent-length: 100\r\n\
                      content-type: application/x-www-form-urlencoded\r\n\r\ngrant_type";
    let answer = said(&mut TcpStream::connect(address).await.unwrap(), unfinished.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 504") && answer.contains("DEADLINE_EXCEEDED"), "{answer}");
}

/// A connection from another address of this machine.
async fn from_elsewhere(to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

/// A form over HTTP/1.1, with this `Content-Length`.
fn form(path: &str, body: &str, length: usize) -> String {
    let head = "host: jeton\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded";
    format!("POST {path} HTTP/1.1\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}")
}

#[tokio::test]
async fn forms_that_are_sent_slowly_hold_up_nobody_who_sends_from_elsewhere() {
    let settings = http::Settings { request_deadline: Duration::from_secs(60), max_in_flight: 16, ..http::Settings::default() };
    let (address, _ended, _serving) = serve_http(settings, Most::default()).await;
    let before = LIMITED.count(["forms_per_address"]);
    let mut slow = Vec::new();
    for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/userinfo"].repeat(16) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(form(path, "t", 100).as_bytes()).await.unwrap();
        slow.push(stream);
    }
    eventually("who reads more than a quarter at once is refused", async || LIMITED.count(["forms_per_address"]) >= before + 60)
        .await;
    for path in ["/oauth2/introspect", "/oauth2/revoke"] {
        let whole = form(path, "token=x", 7);
        let answer = said(&mut from_elsewhere(address).await, whole.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "it was read and judged: {answer}");
        let answer = said(&mut TcpStream::connect(address).await.unwrap(), whole.as_bytes()).await;
        assert!(answer.contains("OVERLOADED"), "{answer}");
    }
    drop(slow);
    eventually("there is a place again", async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        said(&mut stream, form("/oauth2/revoke", "token=x", 7).as_bytes()).await.starts_with("HTTP/1.1 401")
    })
    .await;
}

#[tokio::test]
async fn who_waits_to_be_accepted_when_the_server_ends_is_answered() {
    let listener = grpc::listener::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let asked = format!("GET {JWKS_PATH} HTTP/1.1\r\nhost: jeton\r\nconnection: close\r\n\r\n");
        stream.write_all(asked.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let router = router(service().await, http::Settings { admission: Admission::Open, ..http::Settings::default() });
    http::serve(listener, router, Duration::from_secs(60), shutdown).await.unwrap();
    for mut stream in waiting {
        let answer = said(&mut stream, b"").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn streams_that_anybody_may_open_have_an_end_and_a_most() {
    const MOST: usize = 1_024;
    let server = start(open()).await;
    let (mut watched, asked) = (Vec::new(), HealthCheckRequest::default());
    let mut clients = Vec::new();
    for _ in 0..MOST / 256 {
        clients.push(HealthClient::new(server.channel().await));
    }
    for client in &clients {
        for _ in 0..256 {
            watched.push(client.clone().watch(asked.clone()).await.unwrap().into_inner());
        }
    }
    let mut one_more = HealthClient::new(server.channel().await);
    let mut reflects = ServerReflectionClient::new(server.channel().await);
    let list = || tokio_stream::iter([ServerReflectionRequest::default()]);
    let over = one_more.watch(asked.clone()).await.map(drop);
    assert_eq!((reason(over), reason(reflects.server_reflection_info(list()).await)), ("OVERLOADED".into(), "OVERLOADED".into()));
    assert!(one_more.check(asked.clone()).await.is_ok(), "it is no stream");
    drop(watched.split_off(1));
    eventually("there is a place again", async || one_more.watch(asked.clone()).await.is_ok()).await;
    assert_eq!(reason(reflects.server_reflection_info(list()).await), "");
    let server::Server { shutdown, mut tasks, .. } = server;
    shutdown.cancel();
    let mut last = watched.pop().unwrap();
    let ended = loop {
        match last.message().await {
            Ok(told) => assert!(told.is_some(), "it ends with a reason"),
            Err(ended) => break refusal(&ended),
        }
    };
    assert_eq!((ended.code, ended.reason.as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn who_is_over_which_limit_is_logged_and_what_was_not_yet_is_counted_as_none() {
    let home = Home::new();
    let own = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/jeton.toml")).unwrap();
    let hash = jeton::config::written_hash(&hash_of_key("jck_busy"));
    let config = home.path().join("jeton.toml");
    let caller = format!("[callers.busy]\nkey_hashes = ['{hash}']\nrpcs = '*'\nclients = '*'\nresources = '*'\n");
    std::fs::write(&config, format!("{own}\n[limits]\ncaller_rate = 1\nfailure_rate = 1\n{caller}")).unwrap();
    let server = Server::start_as(&config, "127.0.0.1:0", "127.0.0.1:0", &home, "memory:", &[]);
    let metrics = String::from_utf8(Asking::get(server.admin, "/metrics").send().await.body).unwrap();
    for none in [
        "jeton_limited_total{limit=\"forms_per_address\"} 0",
        "jeton_limited_total{limit=\"caller_rate\"} 0",
        "jeton_configuration_reloads_total{outcome=\"refused\"} 0",
    ] {
        assert!(metrics.contains(none), "{none}: {metrics}");
    }
    let tokens = TokenServiceClient::connect(server.address.clone()).await.unwrap();
    let introspects = async |key: &str| {
        let mut asked = Request::new(IntrospectRequest { token: "jat_x".into(), ..Default::default() });
        asked.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        reason(tokens.clone().introspect(asked).await)
    };
    let logged = async |words: &str| {
        let log = || std::fs::read_to_string(home.path().join("log")).unwrap();
        eventually(words, async || log().contains(words)).await;
    };
    eventually("it calls too often", async || introspects("jck_busy").await == "RATE_LIMITED").await;
    logged("over a limit, and refused limit=caller_rate by=busy").await;
    eventually("it fails too often", async || introspects("jck_wrong").await == "TOO_MANY_FAILURES").await;
    logged("over a limit, and refused limit=failure_rate by=127.0.0.1").await;
}

/// A caller who may do everything, as often a second, by this key.
fn known(callers: &mut Callers, name: &str, rate: Option<u32>, key: &str) {
    let names = Names { key_hashes: vec![hash_of_key(key)], ..Names::default() };
    callers.add(Caller { name: name.into(), rate, ..Caller::anyone() }, names).unwrap();
}

fn reason(answer: Result<impl Sized, Status>) -> String {
    answer.err().map(|status| refusal(&status).reason).unwrap_or_default()
}

#[tokio::test]
async fn each_caller_calls_as_often_as_it_may_and_no_other_suffers() {
    let mut world = World::memory().await;
    world.settings.limits.caller_rate = 5;
    for (name, rate, key) in [
        ("busy", None, "jck_busy"),
        ("other", None, "jck_other"),
        ("slow", Some(1), "jck_slow"),
        ("unbounded", Some(0), "jck_unbounded"),
    ] {
        known(&mut world.settings.callers, name, rate, key);
    }
    let replica = world.start().await;
    let introspects = async |key: &str| {
        let mut asked = Request::new(IntrospectRequest { token: "jat_x".into(), freshness: fully_fresh(), ..Default::default() });
        asked.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        replica.tokens.clone().introspect(asked).await
    };
    for _ in 0..5 {
        assert_eq!(reason(introspects("jck_busy").await), "");
    }
    let over = refusal(&introspects("jck_busy").await.unwrap_err());
    assert_eq!((over.code, over.reason.as_str(), over.retries), (Code::ResourceExhausted, "RATE_LIMITED", true));
    assert_eq!(reason(introspects("jck_other").await), "");
    assert_eq!(
        (reason(introspects("jck_slow").await), reason(introspects("jck_slow").await)),
        (String::new(), "RATE_LIMITED".into())
    );
    for _ in 0..20 {
        assert_eq!(reason(introspects("jck_unbounded").await), "");
    }
    let mut revoke = Request::new(RevokeRequest { target: Some(Target::Token("jat_x".into())), ..Default::default() });
    revoke.metadata_mut().insert("authorization", "Bearer jck_busy".parse().unwrap());
    assert_eq!(reason(replica.tokens.clone().revoke(revoke).await), "", "nothing keeps it from revoking");
    world.pass(1);
    assert_eq!(reason(introspects("jck_busy").await), "");
}

#[tokio::test]
async fn who_fails_too_often_is_slowed_down_and_locks_nobody_out() {
    let mut world = World::memory().await;
    world.settings.limits.failure_rate = 2;
    let replica = world.start().await;
    let by_http = async |client: &str, with: &str| {
        let asking = Asking::post(replica.http, "/oauth2/introspect").form(&[("token", "jat_x")]);
        asking.header("Authorization", &basic(client, with)).send().await
    };
    for _ in 0..20 {
        assert_eq!(by_http("web-app", "wrong").await.status, 401);
    }
    let over = by_http("web-app", "wrong").await;
    assert_eq!((over.status, over.header("retry-after")), (429, Some("1")));
    assert_eq!(over.json()["reason"], "TOO_MANY_FAILURES");
    // Who attacks under its name costs the client nothing, not even from the same address, and another client neither.
    assert_eq!(by_http("web-app", WEB_SECRET).await.status, 200);
    assert_eq!(by_http("billing-job", "wrong").await.status, 401);
    assert_eq!(by_http("billing-job", JOB_SECRET).await.status, 200);
    // Names that nobody has are one.
    for n in 0..20 {
        assert_eq!(by_http(&format!("nobody-{n}"), "wrong").await.status, 401);
    }
    assert_eq!(by_http("nobody", "wrong").await.status, 429);
    // Over gRPC it is the same bucket, for nobody is known who asks but by his address.
    let by_grpc = async |client: &str, with: &str| {
        let asked = jeton::api::IssueRequest { client_authentication: secret(with), ..alice(client, "openid") };
        reason(replica.try_issue(asked).await)
    };
    assert_eq!(by_grpc("web-app", "wrong").await, "TOO_MANY_FAILURES");
    assert_eq!(by_grpc("web-app", WEB_SECRET).await, "");
    world.pass(1);
    for _ in 0..2 {
        assert_eq!(by_http("web-app", "wrong").await.status, 401, "two a second");
    }
    assert_eq!(by_http("web-app", "wrong").await.status, 429);
}

/// A call that holds its place until it is sent the rest.
fn holding(raw: &mut server::Raw) -> (mpsc::Sender<Bytes>, BoxFuture<'static, server::Ended>) {
    let (sender, receiver) = mpsc::channel(1);
    let frames = ReceiverStream::new(receiver).map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
    let request = raw.streaming(INTROSPECT, StreamBody::new(frames).boxed_unsync());
    (sender, Box::pin(raw.send(request)))
}

#[tokio::test]
async fn five_times_as_many_as_there_are_places_are_shed_at_once_and_hurt_nobody_who_has_one() {
    const PLACES: usize = 16;
    let mut server = start(grpc::Settings { max_in_flight: PLACES, ..open() }).await;
    let issued = TokenServiceClient::new(server.channel().await).issue(alice("mobile-app", "orders:read")).await.unwrap();
    let asked = IntrospectRequest { token: issued.into_inner().access_token, freshness: fully_fresh(), ..Default::default() };
    let message = framed(&prost::Message::encode_to_vec(&asked));
    let (mut raw, mut other) = (server.raw().await, server.raw().await);
    let (senders, held): (Vec<_>, Vec<_>) = (0..PLACES).map(|_| holding(&mut raw)).unzip();
    // Answered after those before it were let in, for it came later on the same connection.
    raw.call(HEALTH, b"").await;
    for _ in 0..4 * PLACES {
        let request = other.request(INTROSPECT, message.clone());
        let shed = refusal(&other.send(request).await.status);
        assert_eq!((shed.code, shed.reason.as_str(), shed.retries), (Code::ResourceExhausted, "OVERLOADED", true));
        assert_eq!(other.call(HEALTH, b"").await.status.code(), Code::Ok);
    }
    let revoked = other.call("/jeton.v1.TokenService/Revoke", b"").await;
    assert_eq!(revoked.status.code(), Code::InvalidArgument, "a place is kept for it: it was read and judged");
    for sender in senders {
        sender.send(message.clone()).await.unwrap();
    }
    for one in held {
        assert_eq!(one.await.status.code(), Code::Ok, "who was let in is answered");
    }
    let request = other.request(INTROSPECT, message);
    assert_eq!(other.send(request).await.status.code(), Code::Ok);
}

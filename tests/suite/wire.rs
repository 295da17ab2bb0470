//! The wire: what is no call, what is too late or too many, and that every refusal has the right code and exactly one `ErrorInfo`. What
//! messages may say is in `fields`.

use crate::server::{Ended, framed, open, refusal, service, start};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use jeton::api;
use jeton::transport::caller::Admission;
use jeton::transport::grpc::{MAX_REQUEST_BYTES, Settings};
use prost::Message as _;
use std::convert::Infallible;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

pub const ISSUE: &str = "/jeton.v1.TokenService/Issue";
const INTROSPECT: &str = "/jeton.v1.TokenService/Introspect";

/// Every method that takes and gives one message.
pub const UNARY: [&str; 32] = [
    ISSUE,
    "/jeton.v1.TokenService/Refresh",
    "/jeton.v1.TokenService/Revoke",
    INTROSPECT,
    "/jeton.v1.TokenService/BatchIntrospect",
    "/jeton.v1.TokenService/Explain",
    "/jeton.v1.TokenService/Exchange",
    "/jeton.v1.DeviceService/StartDeviceAuthorization",
    "/jeton.v1.DeviceService/DescribeDeviceAuthorization",
    "/jeton.v1.DeviceService/ApproveDeviceAuthorization",
    "/jeton.v1.DeviceService/DenyDeviceAuthorization",
    "/jeton.v1.DeviceService/ExchangeDeviceCode",
    "/jeton.v1.GrantService/GetGrant",
    "/jeton.v1.GrantService/ListGrants",
    "/jeton.v1.KeyService/GetJwks",
    "/jeton.v1.KeyService/ListKeys",
    "/jeton.v1.KeyService/RotateKey",
    "/jeton.v1.ClientService/CreateClient",
    "/jeton.v1.ClientService/GetClient",
    "/jeton.v1.ClientService/ListClients",
    "/jeton.v1.ClientService/UpdateClient",
    "/jeton.v1.ClientService/DeleteClient",
    "/jeton.v1.ClientService/RotateClientSecret",
    "/jeton.v1.ResourceService/CreateResource",
    "/jeton.v1.ResourceService/GetResource",
    "/jeton.v1.ResourceService/ListResources",
    "/jeton.v1.ResourceService/UpdateResource",
    "/jeton.v1.ResourceService/DeleteResource",
    "/jeton.v1.RevocationService/GetLog",
    "/jeton.v1.RevocationService/AcceptLog",
    "/envoy.service.auth.v3.Authorization/Check",
    "/grpc.health.v1.Health/Check",
];

fn introspect() -> Vec<u8> {
    api::IntrospectRequest { token: "not-a-token".into(), ..Default::default() }.encode_to_vec()
}

#[tokio::test]
async fn what_is_no_grpc_call_of_ours_is_refused_in_our_words() {
    let mut server = start(open()).await;
    let mut raw = server.raw().await;
    let says = |ended: &Ended| {
        let refusal = refusal(&ended.status);
        (ended.http, refusal.code, refusal.reason)
    };
    let expect = |code, reason: &str| (StatusCode::OK, code, reason.to_owned());

    for path in ["/jeton.v1.TokenService/Steal", "/jeton.v1.KeyService/Steal", "/jeton.v2.TokenService/Issue", "/", "/x"] {
        let ended = raw.call(path, b"").await;
        assert_eq!(says(&ended), expect(Code::Unimplemented, "METHOD_UNKNOWN"), "{path}");
    }

    let ended = raw.call(ISSUE, &vec![0; MAX_REQUEST_BYTES + 1]).await;
    assert_eq!(says(&ended), expect(Code::InvalidArgument, "MESSAGE_TOO_LARGE"));
    assert!(ended.status.message().contains("262144"), "{}", ended.status.message());

    let mut request = raw.request(INTROSPECT, framed(&introspect()));
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    let ended = raw.send(request).await;
    assert_eq!(says(&ended), (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, "NOT_GRPC".to_owned()));

    let mut request = raw.request(INTROSPECT, Bytes::new());
    *request.method_mut() = Method::GET;
    let ended = raw.send(request).await;
    assert_eq!(says(&ended), (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, "NOT_GRPC".to_owned()));

    let mut request = raw.request(INTROSPECT, framed(&introspect()));
    request.headers_mut().insert("grpc-encoding", HeaderValue::from_static("gzip"));
    let ended = raw.send(request).await;
    assert_eq!(says(&ended), expect(Code::Unimplemented, "ENCODING_UNSUPPORTED"));

    // No message, half a header, half a message, a compressed one without an encoding, an unknown flag.
    let broken: [&'static [u8]; 5] = [b"", b"\0\0", b"\0\0\0\0\x05ab", b"\x01\0\0\0\0", b"\x07\0\0\0\0"];
    for body in broken {
        let request = raw.request(INTROSPECT, Bytes::from_static(body));
        let ended = raw.send(request).await;
        assert_eq!(says(&ended), expect(Code::InvalidArgument, "MESSAGE_MALFORMED"), "{body:?}");
    }
}

#[tokio::test]
async fn every_method_refuses_with_one_error_info() {
    let mut server = start(open()).await;
    let mut raw = server.raw().await;
    for path in UNARY {
        for message in [&b""[..], b"\xFF", b"\x0A\x01\xFF", b"\x0A\x01a"] {
            let ended = raw.call(path, message).await;
            if ended.status.code() != Code::Ok {
                refusal(&ended.status);
                assert!(ended.body.is_empty(), "{path}");
            }
        }
    }
}

#[tokio::test]
async fn a_listener_that_is_not_open_lets_nobody_call() {
    let mut server = start(Settings { admission: Admission::Authenticated, ..open() }).await;
    let mut raw = server.raw().await;
    for path in UNARY.iter().filter(|path| path.starts_with("/jeton.")) {
        let refusal = refusal(&raw.call(path, b"").await.status);
        assert_eq!((refusal.code, refusal.reason.as_str()), (Code::Unauthenticated, "CALLER_UNAUTHENTICATED"), "{path}");
    }
}

#[tokio::test]
async fn a_deadline_that_passed_is_deadline_exceeded() {
    let mut server = start(open()).await;
    let mut raw = server.raw().await;
    let mut request = raw.request(INTROSPECT, framed(&introspect()));
    request.headers_mut().insert("grpc-timeout", HeaderValue::from_static("1n"));
    assert_eq!(refusal(&raw.send(request).await.status).code, Code::DeadlineExceeded);

    let mut request = raw.request(INTROSPECT, framed(&introspect()));
    request.headers_mut().insert("grpc-timeout", HeaderValue::from_static("soon"));
    assert_eq!(refusal(&raw.send(request).await.status).fields, ["grpc-timeout"]);

    // A message that never ends: the caller's deadline, and the server's.
    let (_open, body) = unfinished();
    let mut request = raw.streaming(INTROSPECT, body);
    request.headers_mut().insert("grpc-timeout", HeaderValue::from_static("30m"));
    assert_eq!(refusal(&raw.send(request).await.status).code, Code::DeadlineExceeded);

    let mut server = start(Settings { request_deadline: Duration::from_millis(30), ..open() }).await;
    let mut raw = server.raw().await;
    let (_open, body) = unfinished();
    let request = raw.streaming(INTROSPECT, body);
    assert_eq!(refusal(&raw.send(request).await.status).code, Code::DeadlineExceeded);
}

type Unfinished = (mpsc::Sender<Bytes>, http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>);

fn unfinished() -> Unfinished {
    let (sender, receiver) = mpsc::channel(1);
    let frames = ReceiverStream::new(receiver).map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
    (sender, StreamBody::new(frames).boxed_unsync())
}

#[tokio::test]
async fn over_capacity_is_refused_at_once_and_heals() {
    let mut server = start(Settings { max_in_flight: 1, ..open() }).await;
    let mut raw = server.raw().await;
    let (rest, body) = unfinished();
    let request = raw.streaming(INTROSPECT, body);
    let first = raw.send(request);

    let asked = Instant::now();
    let shed = refusal(&raw.call(INTROSPECT, &introspect()).await.status);
    assert_eq!((shed.code, shed.reason.as_str(), shed.retries), (Code::ResourceExhausted, "OVERLOADED", true));
    assert!(asked.elapsed() < Duration::from_secs(10), "refused at once, not when the first ended");
    let health = raw.call("/grpc.health.v1.Health/Check", b"").await;
    assert_eq!(health.status.code(), Code::Ok, "a busy server is not a sick one");
    let revoked = raw.call("/jeton.v1.TokenService/Revoke", b"").await;
    assert_eq!(revoked.status.code(), Code::InvalidArgument, "a place is kept for revocations: it was read and judged");

    rest.send(framed(&introspect())).await.unwrap();
    drop(rest);
    assert_ne!(first.await.status.code(), Code::ResourceExhausted);
    assert_ne!(raw.call(INTROSPECT, &introspect()).await.status.code(), Code::ResourceExhausted);

    // A caller that goes away gives its place back.
    let (_open, body) = unfinished();
    let request = raw.streaming(INTROSPECT, body);
    drop(raw.send(request));
    let healed = async {
        while raw.call(INTROSPECT, &introspect()).await.status.code() == Code::ResourceExhausted {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), healed).await.unwrap();
}

#[tokio::test]
async fn health_follows_readiness_for_the_server_and_each_service() {
    let mut server = start(open()).await;
    let mut health = HealthClient::new(server.channel().await);
    for ready in [true, false, true] {
        server.ready.send(ready).unwrap();
        for service in ["", "TokenService", "GrantService", "KeyService", "RevocationService"] {
            let service = if service.is_empty() { String::new() } else { format!("jeton.v1.{service}") };
            let asked = HealthCheckRequest { service: service.clone() };
            let mut watched = health.watch(asked.clone()).await.unwrap().into_inner();
            let expected = if ready { 1 } else { 2 };
            let told = async { while watched.message().await.unwrap().unwrap().status != expected {} };
            tokio::time::timeout(Duration::from_secs(10), told).await.unwrap();
            assert_eq!(health.check(asked).await.unwrap().into_inner().status, expected, "{service}");
        }
    }
    let unknown = health.check(HealthCheckRequest { service: "no.such".into() }).await.unwrap_err();
    assert_eq!((unknown.code(), refusal(&unknown).reason.as_str()), (Code::NotFound, "NOT_FOUND"));
    server.tasks.abort_all();
}

macro_rules! reflection_test {
    ($name:ident, $version:ident) => {
        #[tokio::test]
        async fn $name() {
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
            };
            let server = start(open()).await;
            let mut client = ServerReflectionClient::new(server.channel().await);
            let ask = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
            let list = tokio_stream::iter([ask(MessageRequest::ListServices(String::new()))]);
            let mut answers = client.server_reflection_info(list).await.unwrap().into_inner();
            let Some(MessageResponse::ListServicesResponse(listed)) = answers.message().await.unwrap().unwrap().message_response
            else {
                panic!("a list of services");
            };
            let names: Vec<_> = listed.service.iter().map(|service| service.name.as_str()).collect();
            for service in ["jeton.v1.TokenService", "jeton.v1.GrantService", "jeton.v1.KeyService", "grpc.health.v1.Health"] {
                assert!(names.contains(&service), "{names:?}");
            }

            // Refused at the end of a stream, not in its head.
            let unknown = tokio_stream::iter([ask(MessageRequest::FileContainingSymbol("no.Such".into()))]);
            let mut answers = client.server_reflection_info(unknown).await.unwrap().into_inner();
            let status = answers.message().await.unwrap_err();
            assert_eq!((status.code(), refusal(&status).reason.as_str()), (Code::NotFound, "NOT_FOUND"));
        }
    };
}

#[tokio::test]
async fn reflection_is_only_where_it_is_meant() {
    use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_client::ServerReflectionClient};
    let server = start(Settings { reflection: false, ..open() }).await;
    let asked = tokio_stream::iter([ServerReflectionRequest::default()]);
    let refused = ServerReflectionClient::new(server.channel().await).server_reflection_info(asked).await.unwrap_err();
    assert_eq!((refused.code(), refusal(&refused).reason), (Code::Unimplemented, "METHOD_UNKNOWN".into()));
}

reflection_test!(reflection_v1_lists_the_services, v1);
reflection_test!(reflection_v1alpha_lists_the_services, v1alpha);

#[tokio::test]
async fn shutdown_lets_a_call_end_and_takes_no_new_connection() {
    let mut server = start(open()).await;
    let address = server.address;
    let mut raw = server.raw().await;
    let (rest, body) = unfinished();
    let request = raw.streaming(INTROSPECT, body);
    let first = raw.send(request);
    // Answered after the first was accepted, for it came later on the same connection.
    raw.call("/grpc.health.v1.Health/Check", b"").await;
    server.shutdown.cancel();
    let closed = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), closed).await.unwrap();
    rest.send(framed(&introspect())).await.unwrap();
    drop(rest);
    first.await;
    drop(raw);
    let ended = async { while server.tasks.join_next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap();
}

#[tokio::test]
async fn shutdown_does_not_wait_longer_than_the_drain() {
    let mut server = start(Settings { drain: Duration::from_millis(20), ..open() }).await;
    let mut raw = server.raw().await;
    let (_open, body) = unfinished();
    let request = raw.streaming(INTROSPECT, body);
    let _first = raw.send(request);
    raw.call("/grpc.health.v1.Health/Check", b"").await;
    server.shutdown.cancel();
    let ended = server.tasks.join_next();
    tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap();
}

#[tokio::test]
async fn calls_and_refusals_are_counted() {
    use jeton::telemetry::metrics::{REFUSALS, REQUESTS};
    let mut server = start(open()).await;
    let count = || (REQUESTS.count(["RotateKey", "INVALID_ARGUMENT"]), REFUSALS.count(["INVALID_FIELD"]));
    let before = count();
    server.raw().await.call("/jeton.v1.KeyService/RotateKey", b"").await;
    // Other tests count in the same process.
    let after = count();
    assert!(after.0 > before.0 && after.1 > before.1, "{before:?} {after:?}");
}

#[tokio::test]
async fn http_refuses_in_json() {
    use http::Request;
    use jeton::transport::http::{JWKS_PATH, router};
    use tower::ServiceExt as _;
    let asked = [
        (Request::get("/nowhere"), StatusCode::NOT_FOUND, "NOT_FOUND"),
        (Request::get("/.well-known/"), StatusCode::NOT_FOUND, "NOT_FOUND"),
        (Request::post(JWKS_PATH), StatusCode::METHOD_NOT_ALLOWED, "METHOD_UNKNOWN"),
    ];
    for (request, status, reason) in asked {
        let answer = router(service().await, jeton::transport::http::Settings::default())
            .oneshot(request.header("host", "localhost").body(String::new()).unwrap())
            .await
            .unwrap();
        assert_eq!((answer.status(), &answer.headers()["content-type"]), (status, &HeaderValue::from_static("application/json")));
        let body: serde_json::Value = serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!((&body["error"], &body["reason"]), (&"invalid_request".into(), &reason.into()));
    }
}

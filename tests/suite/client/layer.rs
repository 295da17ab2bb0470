//! What the layer answers to requests that it does not let through: on HTTP by RFC 6750, on gRPC by a status.

use super::{reached, ready};
use crate::world::{ORDERS, Replica, SCOPES, World, alice};
use axum::body::Body;
use axum::routing::post;
use axum::{Extension, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use jeton::api::{Confirmation, IssueRequest, IssueResponse};
use jeton_client::{CertificateThumbprint, Fallback, Verified, VerifyLayer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceExt as _;

const THUMBPRINT: [u8; 32] = [7; 32];

/// A web service behind the layer.
fn app(layer: &VerifyLayer) -> Router {
    let who = |Extension(token): Extension<Verified>| async move { token.sub.clone() };
    Router::new().route("/", post(who).layer(layer.with_scope("orders:read").with_scope("orders:write")))
}

fn request(authorization: &[&str]) -> Request<Body> {
    let mut request = Request::post("/?page=1");
    for value in authorization {
        request = request.header(AUTHORIZATION, *value);
    }
    request.body(Body::empty()).unwrap()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Status and challenge.
fn told(answer: &Response<Body>) -> (StatusCode, &str) {
    (answer.status(), answer.headers().get(WWW_AUTHENTICATE).map_or("", |value| value.to_str().unwrap()))
}

async fn bound(server: &Replica, cnf: Confirmation) -> IssueResponse {
    server.issue(IssueRequest { cnf: Some(cnf), ..alice("mobile-app", SCOPES) }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc6750_3_a_request_is_challenged_as_it_failed() {
    let world = World::memory().await;
    let server = world.start().await;
    let (client, way) = reached(&server).await;
    let verifier = ready(&world, &client, Fallback::Refuse).await;
    let app = app(&VerifyLayer::new(verifier, ORDERS));
    let ask = async |request| app.clone().oneshot(request).await.unwrap();
    let valid = server.issue(alice("mobile-app", SCOPES)).await.access_token;
    let narrow = server.issue(alice("mobile-app", "offline_access orders:read")).await.access_token;
    let realm = format!("Bearer realm=\"{ORDERS}\"");
    let invalid_token = format!("{realm}, error=\"invalid_token\"");

    assert_eq!(ask(request(&[&bearer(&valid)])).await.status(), StatusCode::OK);
    for (authorization, code, challenge) in [
        (vec![], StatusCode::UNAUTHORIZED, realm.clone()),
        (vec!["Basic YTpi".to_owned()], StatusCode::UNAUTHORIZED, realm.clone()),
        (vec![bearer("nonsense")], StatusCode::UNAUTHORIZED, invalid_token.clone()),
        (vec![bearer(&valid), bearer(&valid)], StatusCode::BAD_REQUEST, format!("{realm}, error=\"invalid_request\"")),
        (
            vec![bearer(&narrow)],
            StatusCode::FORBIDDEN,
            format!("{realm}, error=\"insufficient_scope\", scope=\"orders:read orders:write\""),
        ),
    ] {
        let authorization: Vec<&str> = authorization.iter().map(String::as_str).collect();
        let answer = ask(request(&authorization)).await;
        assert_eq!(told(&answer), (code, challenge.as_str()), "{authorization:?}");
    }
    let mut twice = request(&[&bearer(&valid)]);
    *twice.uri_mut() = format!("/?access_token={valid}").parse().unwrap();
    assert_eq!(ask(twice).await.status(), StatusCode::BAD_REQUEST);

    // What cannot be checked is nobody's fault but ours.
    way.cut();
    world.pass(3);
    let answer = ask(request(&[&bearer(&valid)])).await;
    assert_eq!((told(&answer), &answer.headers()[RETRY_AFTER]), ((StatusCode::SERVICE_UNAVAILABLE, ""), &"1".parse().unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_token_is_no_bearer_token() {
    let world = World::memory().await;
    let server = world.start().await;
    let (client, _way) = reached(&server).await;
    let verifier = ready(&world, &client, Fallback::Refuse).await;
    let app = app(&VerifyLayer::new(verifier, ORDERS));
    let thumbprint = URL_SAFE_NO_PAD.encode(THUMBPRINT);
    let by_key = bound(&server, Confirmation { jkt: thumbprint.clone(), ..Default::default() }).await;
    let by_certificate = bound(&server, Confirmation { x5t_s256: thumbprint, ..Default::default() }).await;
    for (token, certificate, code) in [
        (&by_key, None, StatusCode::UNAUTHORIZED),
        (&by_key, Some(THUMBPRINT), StatusCode::UNAUTHORIZED),
        (&by_certificate, None, StatusCode::UNAUTHORIZED),
        (&by_certificate, Some([8; 32]), StatusCode::UNAUTHORIZED),
        (&by_certificate, Some(THUMBPRINT), StatusCode::OK),
    ] {
        let mut request = request(&[&bearer(&token.access_token)]);
        if let Some(thumbprint) = certificate {
            request.extensions_mut().insert(CertificateThumbprint(thumbprint));
        }
        let answer = app.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), code, "{certificate:?}");
        assert_eq!(told(&answer).1.contains("invalid_token"), code != StatusCode::OK);
    }
}

/// A gRPC service behind the layer.
async fn grpc(layer: VerifyLayer) -> (HealthClient<Channel>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_reporter, health) = tonic_health::server::health_reporter();
    let mut serving = JoinSet::new();
    let server = Server::builder().layer(layer).add_service(health);
    serving.spawn(async move { server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap() });
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    (HealthClient::new(channel), serving)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_grpc_a_request_is_refused_with_a_status() {
    let world = World::memory().await;
    let server = world.start().await;
    let (client, way) = reached(&server).await;
    let verifier = ready(&world, &client, Fallback::Refuse).await;
    let (health, _serving) = grpc(VerifyLayer::new(verifier, ORDERS).with_scope("orders:write")).await;
    let code = async |authorization: Option<String>| {
        let mut request = tonic::Request::new(HealthCheckRequest::default());
        if let Some(value) = authorization {
            request.metadata_mut().insert("authorization", value.parse().unwrap());
        }
        health.clone().check(request).await.map_or_else(|status| status.code(), |_answer| Code::Ok)
    };
    let valid = server.issue(alice("mobile-app", SCOPES)).await.access_token;
    let narrow = server.issue(alice("mobile-app", "offline_access orders:read")).await.access_token;
    assert_eq!(code(Some(bearer(&valid))).await, Code::Ok);
    assert_eq!(code(None).await, Code::Unauthenticated);
    assert_eq!(code(Some(bearer("nonsense"))).await, Code::Unauthenticated);
    assert_eq!(code(Some(bearer("a b"))).await, Code::InvalidArgument);
    assert_eq!(code(Some(bearer(&narrow))).await, Code::PermissionDenied);
    way.cut();
    world.pass(3);
    assert_eq!(code(Some(bearer(&valid))).await, Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_without_a_token_is_told_by_headers_alone() {
    let world = World::memory().await;
    let server = world.start().await;
    let (client, _way) = reached(&server).await;
    let app = app(&VerifyLayer::new(ready(&world, &client, Fallback::Refuse).await, ORDERS));
    let mut request = request(&[]);
    request.headers_mut().insert(CONTENT_TYPE, "application/grpc+proto".parse().unwrap());
    let answer = app.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        (&answer.headers()["grpc-status"], answer.headers().contains_key(WWW_AUTHENTICATE)),
        (&"16".parse().unwrap(), false)
    );
}

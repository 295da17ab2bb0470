//! HTTP: what OAuth clients and resource servers ask without gRPC. Today the public keys.
//!
//! Lives here: paths, headers, JSON errors. Must not live here: the admin port (`admin`), rules of the domain.

use crate::service::Service;
use crate::telemetry::metrics;
use crate::transport::fault::{Edge, Fault};
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use jeton_domain::error::Error;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Where the public keys are.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";

/// The largest body that is read. Nothing of today reads one.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The paths.
pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route(JWKS_PATH, get(jwks))
        .fallback(|| async { refusal(&Fault::at(Edge::NotFound)) })
        .method_not_allowed_fallback(|| async {
            let mut answer = refusal(&Fault::of(&Error::MethodUnknown));
            *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            answer
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(service)
}

/// Serves `router`, this or the admin's, until `shutdown`; what was begun then may take `drain` to end.
///
/// # Errors
/// The listener's.
pub async fn serve(
    listener: tokio::net::TcpListener,
    router: Router,
    drain: Duration,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        ended = async { serving.await } => ended,
        () = overdue => Ok(()),
    }
}

/// RFC 7517 section 5.
async fn jwks(State(service): State<Arc<Service>>, asked: HeaderMap) -> Response {
    let arrived = Instant::now();
    let (keys, max_age) = service.jwks();
    let answer = match serde_json::to_vec(&keys) {
        Ok(body) => cached(&asked, body, max_age.secs()),
        Err(error) => refusal(&super::logged(Error::Internal(error.to_string()))),
    };
    metrics::request("http_jwks", if answer.status().is_server_error() { "error" } else { "OK" }, arrived.elapsed());
    answer
}

/// RFC 9110 sections 8.8.3 and 13.1.2: the body, or that it has not changed.
fn cached(asked: &HeaderMap, body: Vec<u8>, max_age: u64) -> Response {
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(&body));
    let tag = format!("\"{hash}\"");
    let known = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let unchanged = known.map(str::trim).any(|held| held == "*" || held.trim_start_matches("W/") == tag);
    let mut answer = if unchanged { StatusCode::NOT_MODIFIED.into_response() } else { Body::from(body).into_response() };
    let headers = answer.headers_mut();
    if !unchanged {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    }
    insert(headers, CACHE_CONTROL, &format!("public, max-age={max_age}"));
    insert(headers, ETAG, &tag);
    answer
}

/// A refusal as JSON: the OAuth members (RFC 6749 section 5.2) and the reason of the registry.
pub fn refusal(fault: &Fault) -> Response {
    metrics::REFUSALS.add(fault.reason.word());
    let row = fault.row();
    let body = json!({"error": row.oauth, "error_description": fault.message, "reason": fault.reason.word()});
    let mut answer = (row.http, body.to_string()).into_response();
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(after) = row.retry {
        insert(headers, RETRY_AFTER, &after.as_secs().max(1).to_string());
    }
    answer
}

fn insert(headers: &mut HeaderMap, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    fn asked(held: &str) -> HeaderMap {
        HeaderMap::from_iter([(IF_NONE_MATCH, held.parse().unwrap())])
    }

    #[test]
    fn keys_that_have_not_changed_are_not_sent_again() {
        let first = cached(&HeaderMap::new(), b"{}".to_vec(), 300);
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[CACHE_CONTROL], "public, max-age=300");
        assert_eq!(first.headers()[CONTENT_TYPE], "application/jwk-set+json");
        let tag = first.headers()[ETAG].to_str().unwrap();
        for held in [tag, &format!("W/{tag}"), &format!("\"x\", {tag}"), "*"] {
            let again = cached(&asked(held), b"{}".to_vec(), 299);
            assert_eq!((again.status(), &again.headers()[ETAG]), (StatusCode::NOT_MODIFIED, &first.headers()[ETAG]), "{held}");
        }
        assert_eq!(cached(&asked(tag), b"{\"keys\":[]}".to_vec(), 300).status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn refusals_are_json_with_the_reason() {
        let router: Router = Router::new()
            .route("/there", get(|| async { refusal(&Fault::of(&Error::StoreUnavailable("driver words".into()))) }))
            .fallback(|| async { refusal(&Fault::at(Edge::NotFound)) });
        let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
        let away = router.clone().oneshot(get("/away")).await.unwrap();
        assert_eq!(away.status(), StatusCode::NOT_FOUND);
        let there = router.oneshot(get("/there")).await.unwrap();
        assert_eq!(
            (there.status(), &there.headers()[RETRY_AFTER]),
            (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from_static("1"))
        );
        let body = there.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let expected = json!({"error": "temporarily_unavailable", "error_description": "the store does not answer", "reason": "STORE_UNAVAILABLE"});
        assert_eq!(body, expected);
    }
}

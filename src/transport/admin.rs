//! The admin port: is it alive, may it be sent requests, what has it counted; and the operator's `page`. For the platform, never for the
//! world. `host` looks under which name it is asked for.

mod host;
pub mod page;

use crate::telemetry::metrics;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Request, StatusCode};
use page::Page;
use std::sync::Arc;

/// How a replica is, in words for the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// What keeps requests from being sent here; nothing where it is ready.
    pub wrong: Vec<String>,
    /// What does not, but is worth a look.
    pub remarkable: Vec<String>,
}

/// Tells how this replica is. Must answer from memory: it is asked every second.
pub type Saying = Arc<dyn Fn() -> Said + Send + Sync>;

/// The paths: `/livez`, `/readyz`, `/metrics`, and those of the page. To be served by `http::serve`.
pub fn router(saying: Saying, page: &Page) -> Router {
    probes(saying, page.is_local()).merge(page.router())
}

fn probes(saying: Saying, is_local: bool) -> Router {
    Router::new()
        .route("/readyz", get(readyz))
        .route("/metrics", get(exposition))
        .route_layer(middleware::from_fn(move |request: Request<Body>, next: Next| by_our_name(is_local, request, next)))
        // That this is answered says that the event loop turns. Nothing else, so that a store's outage restarts no process.
        .route("/livez", get(|| async { text(StatusCode::OK, "alive\n".into()) }))
        .fallback(|| async { text(StatusCode::NOT_FOUND, "there is /livez, /readyz, /metrics and the page: /\n".into()) })
        .with_state(saying)
}

/// On loopback only to who calls it by an address or `localhost`, so that no stranger's name leads a browser to it.
async fn by_our_name(is_local: bool, request: Request<Body>, next: Next) -> Response {
    match host::asked_for(&request) {
        // Probes of HTTP/1.0 name none; browsers always do.
        Ok(None) => next.run(request).await,
        Ok(Some(host)) if !is_local || host::is_no_strangers(&host) => next.run(request).await,
        Ok(Some(_)) => text(StatusCode::FORBIDDEN, format!("{}\n", host::NOT_OURS)),
        Err(host::NotOne) => text(StatusCode::BAD_REQUEST, format!("{}\n", host::NOT_ONE)),
    }
}

async fn readyz(State(saying): State<Saying>) -> Response {
    let Said { wrong, remarkable } = saying();
    let (status, first) =
        if wrong.is_empty() { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
    let lines = wrong.iter().chain(&remarkable).map(|line| format!("{line}\n"));
    text(status, format!("{first}\n{}", lines.collect::<String>()))
}

async fn exposition() -> Response {
    match metrics::exposition() {
        Ok(body) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], body).into_response(),
        Err(problem) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{problem}\n")),
    }
}

fn text(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    async fn asked(wrong: &[&str], remarkable: &[&str], path: &str) -> (StatusCode, String) {
        let lines = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let said = Said { wrong: lines(wrong), remarkable: lines(remarkable) };
        let asked = probes(Arc::new(move || said.clone()), true).oneshot(Request::get(path).body(Body::empty()).unwrap());
        let answer = asked.await.unwrap();
        let status = answer.status();
        (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn an_outage_is_not_ready_but_alive() {
        assert_eq!(asked(&[], &[], "/readyz").await, (StatusCode::OK, "ready\n".into()));
        let wrong = &["the store does not answer", "no signing key"];
        assert_eq!(
            asked(wrong, &[], "/readyz").await,
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\nthe store does not answer\nno signing key\n".into())
        );
        assert_eq!(asked(wrong, &[], "/livez").await.0, StatusCode::OK);
        assert_eq!(asked(&[], &[], "/else").await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn what_is_worth_a_look_is_told_and_is_ready() {
        assert_eq!(asked(&[], &["nearly full"], "/readyz").await, (StatusCode::OK, "ready\nnearly full\n".into()));
    }

    #[tokio::test]
    async fn no_strangers_name_leads_to_what_is_told_here() {
        let asked = async |is_local: bool, path: &str, hosts: &[&str]| {
            let request = hosts.iter().fold(Request::get(path), |request, host| request.header("host", *host));
            let answer = probes(Arc::new(Said::default), is_local).oneshot(request.body(Body::empty()).unwrap());
            answer.await.unwrap().status()
        };
        for path in ["/readyz", "/metrics"] {
            for ours in ["localhost:9464", "127.0.0.1:9464", "[::1]", "10.0.0.7:9464"] {
                assert_eq!(asked(true, path, &[ours]).await, StatusCode::OK, "{path} {ours}");
            }
            for other in ["evil.example:9464", "127.0.0.1.evil.example"] {
                assert_eq!(asked(true, path, &[other]).await, StatusCode::FORBIDDEN, "{path} {other}");
            }
            for none in [&[""][..], &["localhost", "localhost"]] {
                assert_eq!(asked(true, path, none).await, StatusCode::BAD_REQUEST, "{path} {none:?}");
            }
            assert_eq!(asked(true, path, &[]).await, StatusCode::OK, "a probe of HTTP/1.0");
            assert_eq!(asked(false, path, &["jeton-0.jeton:9464"]).await, StatusCode::OK, "elsewhere names lead to it");
        }
        assert_eq!(asked(true, "/livez", &["evil.example"]).await, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_prometheus_text() {
        metrics::request("admin_test", "OK", std::time::Duration::from_millis(1));
        let (status, body) = asked(&[], &[], "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("# TYPE jeton_requests_total counter\n"), "{body}");
    }
}

//! The admin port: is it alive, may it be sent requests, what has it counted; and the operator's `page`. For the platform, never for the
//! world.

pub mod page;

use crate::telemetry::metrics;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
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
    probes(saying).merge(page.router())
}

fn probes(saying: Saying) -> Router {
    Router::new()
        // That this is answered says that the event loop turns. Nothing else, so that a store's outage restarts no process.
        .route("/livez", get(|| async { text(StatusCode::OK, "alive\n".into()) }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(exposition))
        .fallback(|| async { text(StatusCode::NOT_FOUND, "there is /livez, /readyz, /metrics and the page: /\n".into()) })
        .with_state(saying)
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
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    async fn asked(wrong: &[&str], remarkable: &[&str], path: &str) -> (StatusCode, String) {
        let lines = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let said = Said { wrong: lines(wrong), remarkable: lines(remarkable) };
        let asked = probes(Arc::new(move || said.clone())).oneshot(Request::get(path).body(Body::empty()).unwrap());
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
    async fn metrics_are_prometheus_text() {
        metrics::request("admin_test", "OK", std::time::Duration::from_millis(1));
        let (status, body) = asked(&[], &[], "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("# TYPE jeton_requests_total counter\n"), "{body}");
    }
}

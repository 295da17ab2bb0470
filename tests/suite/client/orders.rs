//! The example of the client library, as it stands there, in front of a real jeton.

use super::{reached, ready};
use crate::world::{ORDERS, World, alice};
use axum::body::Body;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use jeton::api::revoke_request::Target;
use jeton_client::Fallback;
use tower::ServiceExt as _;

#[path = "../../../crates/client/examples/orders.rs"]
#[expect(dead_code, unreachable_pub, reason = "an example is a program of its own")]
mod example;

async fn body(answer: Response<Body>) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_shows_orders_to_who_may_read_them_until_he_signs_out() {
    let world = World::memory().await;
    let server = world.start().await;
    let (client, _way) = reached(&server).await;
    let verifier = ready(&world, &client, Fallback::Introspect).await;
    let app = example::router(&verifier);
    let get = async |path: &str, token: Option<&str>| {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    };
    let held = server.issue(alice("mobile-app", "offline_access orders:read")).await;
    let narrow = server.issue(alice("mobile-app", "offline_access orders:write")).await;

    let answer = get("/orders", None).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers()[WWW_AUTHENTICATE], format!("Bearer realm=\"{ORDERS}\""));
    assert_eq!(body(get("/orders", Some(&held.access_token)).await).await, "the orders of alice\n");
    assert_eq!(get("/orders", Some(&narrow.access_token)).await.status(), StatusCode::FORBIDDEN);
    assert!(body(get("/me", Some(&narrow.access_token)).await).await.starts_with("alice by mobile-app"));

    server.revoke(Target::Token(held.refresh_token)).await;
    verifier.caught_up().await;
    assert_eq!(get("/orders", Some(&held.access_token)).await.status(), StatusCode::UNAUTHORIZED);
}

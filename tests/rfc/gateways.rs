//! Gateways that ask about each request, Envoy over gRPC and the others over HTTP: the same rows for both, by what their client is told and
//! by what the service behind reads.

mod asking;
mod proofs;

use super::Server;
use crate::world::{ORDERS, PAYMENTS, SCOPES, World, alice};
use ::http::Request;
use asking::{Told, Way, request};
use jeton::api::revoke_request::Target;
use jeton::api::{AuthenticationContext, IssueRequest};
use jeton::transport::http;
use serde_json::Value;
use std::sync::Arc;
use tower::ServiceExt as _;

const BEARER: &str = "Bearer realm=\"jeton\"";
const BOTH: &str = "Bearer realm=\"jeton\", DPoP realm=\"jeton\", algs=\"ES256 EdDSA Ed25519\"";

/// 401 with the word `invalid_token`.
#[track_caller]
fn is_invalid(told: &Told, what: &str) {
    assert_eq!(told.refusal(), (401, Some(format!("{BEARER}, error=\"invalid_token\"").as_str())), "{what}: {told:?}");
}

#[tokio::test]
async fn a_request_passes_as_whom_its_token_speaks_for() {
    let server = Server::start().await;
    let token = server.signed_in().await.access_token;
    for way in Way::BOTH {
        let told = request(ORDERS).bearer(&token).demand("scope", "orders:read orders:write").send(&server, way).await;
        assert_eq!(told.status, 200, "{told:?}");
        let read = |name: &str| told.behind(name);
        assert_eq!((read("x-jeton-subject"), read("x-jeton-client")), (Some("alice"), Some("web-app")), "{way:?}");
        assert_eq!(read("x-jeton-scope"), Some(SCOPES));
        assert_eq!((read("x-jeton-acr"), read("authorization")), (None, None), "what is not said is not told: {told:?}");
        assert_eq!(read("x-jeton-auth-time"), Some(server.world.now().to_string().as_str()));
    }
}

#[tokio::test]
async fn who_shows_no_right_token_is_told_what_is_wrong() {
    let server = Server::start().await;
    let tokens = server.signed_in().await;
    let narrow = server.replica.issue(alice("web-app", "orders:read")).await.access_token;
    for way in Way::BOTH {
        let none = request(ORDERS).send(&server, way).await;
        assert_eq!(none.refusal(), (401, Some(BOTH)), "no word where none is shown");
        let other = request(ORDERS).header("authorization", "Basic YTpi").send(&server, way).await;
        assert_eq!(other.refusal(), (401, Some(BOTH)));
        for garbage in ["garbage", "jat_x", "a.b.c"] {
            is_invalid(&request(ORDERS).bearer(garbage).send(&server, way).await, garbage);
        }
        is_invalid(&request(ORDERS).bearer(&tokens.refresh_token).send(&server, way).await, "a refresh token");
        is_invalid(&request(ORDERS).bearer(&tokens.id_token).send(&server, way).await, "an ID token");
        is_invalid(&request(PAYMENTS).bearer(&tokens.access_token).send(&server, way).await, "for another resource");
        let less = request(ORDERS).bearer(&narrow).demand("scope", "orders:read orders:write").send(&server, way).await;
        let lacking = format!("{BEARER}, error=\"insufficient_scope\", scope=\"orders:read orders:write\"");
        assert_eq!(less.refusal(), (403, Some(lacking.as_str())));
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused_on_the_next_request_and_an_expired_one_too() {
    let server = Server::start().await;
    for way in Way::BOTH {
        let token = server.signed_in().await.access_token;
        assert_eq!(request(ORDERS).bearer(&token).send(&server, way).await.status, 200);
        server.replica.revoke(Target::Token(token.clone())).await;
        is_invalid(&request(ORDERS).bearer(&token).send(&server, way).await, "revoked");
        let token = server.signed_in().await.access_token;
        assert_eq!(request(ORDERS).bearer(&token).send(&server, way).await.status, 200);
        server.world.pass(301);
        is_invalid(&request(ORDERS).bearer(&token).send(&server, way).await, "expired");
    }
}

#[tokio::test]
async fn a_sign_in_that_is_not_enough_is_told_what_is_missing() {
    let server = Server::start().await;
    let signed_in = |acr: &str| {
        let authentication = AuthenticationContext { acr: acr.into(), amr: vec!["pwd".into()], ..Default::default() };
        IssueRequest { authentication: Some(authentication), ..alice("web-app", SCOPES) }
    };
    let [gold, bronze] = [server.replica.issue(signed_in("gold")).await, server.replica.issue(signed_in("bronze")).await];
    let job = server.job("/oauth2/token", &[("grant_type", "client_credentials"), ("scope", "orders:read")]).await.tokens();
    let demanding = |token: &str| request(ORDERS).bearer(token).demand("acr", "gold platinum").demand("max_age", "60");
    let missing = |what: &str| format!("{BEARER}, error=\"insufficient_user_authentication\", {what}");
    for way in Way::BOTH {
        let told = demanding(&gold.access_token).send(&server, way).await;
        assert_eq!((told.status, told.behind("x-jeton-acr")), (200, Some("gold")));
        let told = demanding(&bronze.access_token).send(&server, way).await;
        assert_eq!(told.refusal(), (401, Some(missing("acr_values=\"gold platinum\"").as_str())));
        let told = demanding(job["access_token"].as_str().unwrap()).send(&server, way).await;
        let both = missing("acr_values=\"gold platinum\", max_age=\"60\"");
        assert_eq!(told.refusal(), (401, Some(both.as_str())), "a client by itself has not signed in");
    }
    server.world.pass(61);
    for way in Way::BOTH {
        let told = demanding(&gold.access_token).send(&server, way).await;
        assert_eq!(told.refusal(), (401, Some(missing("max_age=\"60\"").as_str())));
    }
}

#[tokio::test]
async fn a_token_comes_once_and_in_the_header_only() {
    let server = Server::start().await;
    let token = server.signed_in().await.access_token;
    let header = format!("Bearer {token}");
    for way in Way::BOTH {
        let asked = || request(ORDERS).bearer(&token);
        for (what, asked) in [
            ("twice", asked().header("authorization", &header)),
            ("in two spellings", asked().header("Authorization", &header)),
            ("joined", request(ORDERS).header("authorization", &format!("{header}, {header}"))),
            ("in the query too", asked().path(&format!("/orders?access_token={token}"))),
            ("in the query", request(ORDERS).path(&format!("/orders?a=b&access%5Ftoken={token}"))),
        ] {
            let told = asked.send(&server, way).await;
            assert_eq!((told.status, told.error().as_str()), (400, "invalid_request"), "{what} by {way:?}: {told:?}");
        }
        assert_eq!(asked().path("/orders?b=access_token").send(&server, way).await.status, 200);
    }
}

#[tokio::test]
async fn a_route_that_is_not_understood_lets_nobody_pass() {
    let server = Server::start().await;
    let token = server.signed_in().await.access_token;
    for way in Way::BOTH {
        for (name, value) in [("scopes", "orders:read"), ("max_age", "an hour"), ("phantom", "1"), ("origin", "api")] {
            let told = request(ORDERS).bearer(&token).demand(name, value).send(&server, way).await;
            assert_eq!((told.status, told.error().as_str()), (400, "invalid_request"), "{name}: {told:?}");
            assert!(told.body.contains(name), "{told:?}");
        }
        let told = request("").bearer(&token).send(&server, way).await;
        assert_eq!(told.status, 400, "without a resource each token would do: {told:?}");
    }
}

/// What clients send to be taken for another: names of ours however spelt, and values that end a header.
#[tokio::test]
async fn no_header_of_a_client_is_read_as_one_of_ours() {
    let server = Server::start().await;
    let token = server.signed_in().await.access_token;
    let forged = [
        "x-jeton-subject",
        "X-JETON-SUBJECT",
        "x_jeton_subject",
        "X-Jeton_Subject",
        "x-jeton-acr",
        "x_jeton_acr",
        "x-jeton-session",
    ];
    let asked = forged.iter().fold(request(ORDERS).bearer(&token), |asked, name| asked.header(name, "mallory"));
    for raw in [false, true] {
        let told = asked.clone().raw(raw).send(&server, Way::Envoy).await;
        assert_eq!((told.status, told.behind("x-jeton-subject")), (200, Some("alice")));
        assert!(told.headers.iter().all(|(_, value)| value != "mallory"), "{told:?}");
        let removed: Vec<&str> = told.removed.iter().map(String::as_str).collect();
        for name in ["x_jeton_subject", "X-Jeton_Subject", "x-jeton-acr", "x_jeton_acr"] {
            assert!(removed.contains(&name), "{name} is left: {removed:?}");
        }
        // Envoy removes after it has set.
        assert!(!removed.iter().any(|name| name.eq_ignore_ascii_case("x-jeton-subject")), "{removed:?}");
    }
    // Over HTTP nothing can be removed, and all that there may be is set.
    let told = asked.send(&server, Way::Forward).await;
    assert_eq!((told.status, told.error().as_str()), (400, "invalid_request"));
    let told = request(ORDERS).bearer(&token).header("x-jeton-acr", "gold").send(&server, Way::Forward).await;
    assert!(told.status == 200 && told.headers.contains(&("x-jeton-acr".into(), String::new())), "{told:?}");

    for value in ["a\r\nx-jeton-subject: mallory", "a\nb", "a\0b"] {
        for (what, asked) in [
            ("a header", request(ORDERS).bearer(&token).header("x-other", value)),
            ("a token", request(ORDERS).bearer(value)),
            ("a path", request(ORDERS).bearer(&token).path(&format!("/orders{value}"))),
            ("a host", request(ORDERS).bearer(&token).host(value)),
        ] {
            let told = asked.send(&server, Way::Envoy).await;
            assert_eq!((told.status, told.error().as_str()), (400, "invalid_request"), "{what} {value:?}: {told:?}");
        }
    }
}

#[tokio::test]
async fn names_that_a_header_cannot_hold_are_told_apart() {
    let server = Server::start().await;
    for way in Way::BOTH {
        for (subject, told) in
            [("alice", "alice"), (" alice", "%20alice"), ("alice ", "alice%20"), ("50%, alice", "50%25,%20alice")]
        {
            let asked = IssueRequest { sub: subject.into(), ..alice("web-app", SCOPES) };
            let token = server.replica.issue(asked).await.access_token;
            let answer = request(ORDERS).bearer(&token).send(&server, way).await;
            assert_eq!(answer.behind("x-jeton-subject"), Some(told), "{subject:?}");
        }
    }
}

#[tokio::test]
async fn a_phantom_says_what_the_token_says_and_dies_with_it() {
    let server = Server::start().await;
    let issued = server.replica.issue(alice("web-app", "offline_access payments:read")).await;
    let token = issued.access_token.as_str();
    assert!(token.starts_with("jat_"), "outside it says nothing");
    let asked = || request(PAYMENTS).bearer(token).demand("scope", "payments:read").demand("phantom", "true");
    let mut phantoms = Vec::new();
    for way in Way::BOTH {
        let told = asked().send(&server, way).await;
        phantoms.push(told.behind("authorization").unwrap().strip_prefix("Bearer ").unwrap().to_owned());
    }
    assert_eq!(phantoms[0], phantoms[1], "not each request is signed for");
    let [of_token, of_phantom] = [server.introspect(token).await.json(), server.introspect(&phantoms[0]).await.json()];
    let without_times = |mut said: Value| {
        for time in ["exp", "iat"] {
            said.as_object_mut().unwrap().remove(time);
        }
        said
    };
    assert_eq!(of_phantom["exp"], server.world.now() + 60);
    assert_eq!(without_times(of_token.clone()), without_times(of_phantom));
    // Until half of its time is over.
    let phantom = async || asked().send(&server, Way::Envoy).await.behind("authorization").unwrap().to_owned();
    server.world.pass(29);
    assert_eq!(phantom().await, format!("Bearer {}", phantoms[0]));
    server.world.pass(1);
    assert_ne!(phantom().await, format!("Bearer {}", phantoms[0]));
    // It never outlives the token.
    server.world.pass(250);
    let last = phantom().await;
    let last = last.strip_prefix("Bearer ").unwrap();
    assert_eq!(server.introspect(last).await.json()["exp"], of_token["exp"]);
    server.replica.revoke(Target::Token(token.to_owned())).await;
    assert!(!server.is_active(last).await, "what ends the one ends the other");
    for way in Way::BOTH {
        is_invalid(&asked().send(&server, way).await, "revoked");
    }
}

/// Neither allowed nor called inactive, and denied in words that no gateway is set to pass over.
#[tokio::test]
async fn without_the_store_nobody_passes() {
    let mut world = World::redis(&[]).await;
    world.patience = std::time::Duration::from_millis(500);
    let replica = world.start().await;
    let mut server = Server { world, replica };
    let tokens = [server.signed_in().await.access_token, server.signed_in().await.access_token];
    assert_eq!(request(ORDERS).bearer(&tokens[0]).send(&server, Way::Envoy).await.status, 200);
    server.world.redis.as_mut().unwrap().stop().await;
    server.world.pass(3);
    for way in Way::BOTH {
        // One that was proved, and one that was not.
        for token in &tokens {
            let told = request(ORDERS).bearer(token).send(&server, way).await;
            assert_eq!((told.status, told.error().as_str()), (503, "temporarily_unavailable"), "{way:?}: {told:?}");
        }
    }
}

#[tokio::test]
async fn only_who_is_let_in_as_a_gateway_may_ask_over_http() {
    let server = Server::start().await;
    let token = server.signed_in().await.access_token;
    let settings = http::Settings { admission: jeton::transport::caller::Admission::Open, ..http::Settings::default() };
    let router = http::router(Arc::clone(&server.replica.app.service), settings);
    let asked = Request::get("/oauth2/authorize-request?resource=https%3A%2F%2Forders.internal")
        .header("host", "jeton")
        .header("x-forwarded-method", "GET")
        .header("x-forwarded-uri", "/")
        .header("authorization", format!("Bearer {token}"));
    let answer = router.oneshot(asked.body(axum::body::Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 401);
}

//! User info (OIDC Core section 5.3), and how an access token is shown (RFC 6750).

use super::Server;
use super::raw::{Answer, Asking, basic};
use crate::world::{SCOPES, WEB_SECRET, alice};
use jeton::api::IssueRequest;
use prost_types::Struct;
use prost_types::value::Kind;
use serde_json::json;

const USERINFO: &str = "/oauth2/userinfo";

/// Asked with a method, the token in the header.
async fn shown(server: &Server, method: &str, token: &str) -> Answer {
    Asking::new(server.replica.http, method, USERINFO).header("Authorization", &format!("Bearer {token}")).send().await
}

/// A refusal, and what the header says of it.
fn told(answer: &Answer) -> ((u16, String), &str) {
    (answer.refusal(), answer.header("www-authenticate").unwrap())
}

/// What the web application issues for alice, of whom these texts are known.
fn known(scope: &str) -> IssueRequest {
    let text = |text: &str| prost_types::Value { kind: Some(Kind::StringValue(text.into())) };
    let fields = [("name", "Alice"), ("email", "alice@example.com"), ("department", "orders")];
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), text(value))).collect();
    IssueRequest { id_token_claims: Some(Struct { fields }), ..alice("web-app", scope) }
}

#[tokio::test]
async fn what_the_scopes_ask_for_is_said_and_no_more() {
    let server = Server::start_with(with_profiles).await;
    let rows = [
        ("openid offline_access orders:read", json!({"sub": "alice"})),
        ("openid offline_access profile orders:read", json!({"sub": "alice", "name": "Alice"})),
        ("openid offline_access email payments:read", json!({"sub": "alice", "email": "alice@example.com"})),
        ("openid offline_access profile email", json!({"sub": "alice", "name": "Alice", "email": "alice@example.com"})),
        // No record of the grant is kept.
        ("openid profile orders:read", json!({"sub": "alice"})),
    ];
    for (scope, expected) in rows {
        let token = server.replica.issue(known(scope)).await.access_token;
        for method in ["GET", "POST"] {
            let answer = shown(&server, method, &token).await;
            assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{scope}: {answer:?}");
            assert_eq!(answer.json(), expected, "{scope}");
        }
    }
}

fn with_profiles(settings: &mut jeton::config::Settings) {
    for client in &mut settings.clients {
        client.scopes.insert("profile");
        client.scopes.insert("email");
    }
}

#[tokio::test]
async fn s011_a_token_comes_in_the_header_and_nowhere_else() {
    let server = Server::start().await;
    let token = server.signed_in().await.access_token;
    let header = format!("Bearer {token}");
    let at = |path: &str| Asking::get(server.replica.http, path).header("Authorization", &header);
    let refused = (400, "invalid_request".to_owned());
    assert_eq!(at(USERINFO).header("Authorization", &header).send().await.refusal(), refused, "twice");
    let query = format!("{USERINFO}?access_token={token}");
    assert_eq!(at(&query).send().await.refusal(), refused, "in the query too");
    assert_eq!(Asking::get(server.replica.http, &query).send().await.refusal(), refused, "in the query");
    let form = server.post(USERINFO, &[("access_token", &token)]);
    assert_eq!(form.header("Authorization", &header).send().await.refusal(), refused, "in the form too");
    assert_eq!(server.post(USERINFO, &[("access_token", &token)]).send().await.refusal(), refused, "in the form");
    assert_eq!(at(USERINFO).send().await.status, 200);
}

#[tokio::test]
async fn s012_a_refusal_says_its_word_and_a_missing_token_none() {
    let server = Server::start().await;
    let none = Asking::get(server.replica.http, USERINFO).send().await;
    let both = "Bearer realm=\"jeton\", DPoP realm=\"jeton\", algs=\"ES256 EdDSA Ed25519\"";
    assert_eq!((none.status, none.header("www-authenticate")), (401, Some(both)));
    assert!(none.body.is_empty());
    for other in [basic("web-app", WEB_SECRET), "Bearer".into(), "Bearer ".into()] {
        let other = Asking::get(server.replica.http, USERINFO).header("Authorization", &other).send().await;
        assert_eq!((other.status, other.header("www-authenticate")), (401, Some(both)));
    }

    let invalid = ((401, "invalid_token".to_owned()), "Bearer realm=\"jeton\", error=\"invalid_token\"");
    for token in ["garbage", "jat_x", "a.b.c"] {
        assert_eq!(told(&shown(&server, "GET", token).await), invalid, "{token}");
    }
    let narrow = server.replica.issue(alice("web-app", "orders:read")).await.access_token;
    let lacking = "Bearer realm=\"jeton\", error=\"insufficient_scope\", scope=\"openid\"";
    assert_eq!(told(&shown(&server, "GET", &narrow).await), ((403, "insufficient_scope".into()), lacking));

    let tokens = server.signed_in().await;
    assert_eq!(shown(&server, "GET", &tokens.access_token).await.status, 200);
    server.replica.revoke(jeton::api::revoke_request::Target::Token(tokens.access_token.clone())).await;
    assert_eq!(told(&shown(&server, "GET", &tokens.access_token).await), invalid, "revoked");
    let expired = server.signed_in().await.access_token;
    server.world.pass(301);
    assert_eq!(told(&shown(&server, "GET", &expired).await), invalid, "expired");
}

#[tokio::test]
async fn s076_a_bound_token_shown_as_bearer_is_refused() {
    let server = Server::start().await;
    for cnf in [
        jeton::api::Confirmation { jkt: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".into(), ..Default::default() },
        jeton::api::Confirmation { x5t_s256: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".into(), ..Default::default() },
    ] {
        let bound = server.replica.issue(IssueRequest { cnf: Some(cnf), ..alice("web-app", SCOPES) }).await;
        assert_eq!(shown(&server, "GET", &bound.access_token).await.refusal(), (401, "invalid_token".into()));
    }
}

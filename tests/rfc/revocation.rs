//! The revocation endpoint (RFC 7009).

use super::Server;
use super::raw::basic;
use crate::world::{SCOPES, WEB_SECRET, alice};

const REVOKE: &str = "/oauth2/revoke";

#[tokio::test]
async fn s038_only_its_own_client_revokes_a_token() {
    let server = Server::start().await;
    let tokens = server.signed_in().await;
    let fields = [("token", tokens.refresh_token.as_str())];
    assert_eq!(server.post(REVOKE, &fields).send().await.refusal(), (401, "invalid_client".into()));
    assert_eq!(server.job(REVOKE, &fields).await.refusal(), (400, "unauthorized_client".into()));
    assert!(server.is_active(&tokens.refresh_token).await, "it stays valid");
    assert_eq!(server.web(REVOKE, &fields).await.status, 200);
    assert!(!server.is_active(&tokens.refresh_token).await);
}

#[tokio::test]
async fn s039_what_is_unknown_or_over_is_answered_like_what_was_revoked() {
    let server = Server::start().await;
    let tokens = server.signed_in().await;
    let mut answers = Vec::new();
    for token in [tokens.refresh_token.as_str(), &tokens.refresh_token, "garbage", "jrt_x", &tokens.id_token] {
        let answer = server.web(REVOKE, &[("token", token)]).await;
        answers.push((answer.status, answer.body));
    }
    answers.dedup();
    assert_eq!(answers, [(200, b"{}".to_vec())]);
}

#[tokio::test]
async fn s040_a_wrong_hint_finds_the_token_all_the_same() {
    let server = Server::start().await;
    for hint in ["access_token", "refresh_token", "unknown"] {
        let tokens = server.signed_in().await;
        for token in [&tokens.access_token, &tokens.refresh_token] {
            assert_eq!(server.web(REVOKE, &[("token", token), ("token_type_hint", hint)]).await.status, 200);
            assert!(!server.is_active(token).await, "{hint}");
        }
    }
}

#[tokio::test]
async fn s041_a_refresh_token_takes_its_access_tokens_with_it_and_not_the_other_way_round() {
    let server = Server::start().await;
    let tokens = server.signed_in().await;
    server.web(REVOKE, &[("token", &tokens.access_token)]).await;
    assert!(!server.is_active(&tokens.access_token).await);
    let refreshed = server.refresh(&tokens.refresh_token).await.tokens();
    let (access, refresh) = (refreshed["access_token"].as_str().unwrap(), refreshed["refresh_token"].as_str().unwrap());
    assert!(server.is_active(access).await);
    server.web(REVOKE, &[("token", refresh)]).await;
    assert!(!server.is_active(access).await);
}

#[tokio::test]
async fn a_public_client_revokes_its_own_token_by_naming_itself() {
    let server = Server::start().await;
    let tokens = server.replica.issue(alice("mobile-app", SCOPES)).await;
    let named = [("token", tokens.refresh_token.as_str()), ("client_id", "mobile-app")];
    assert_eq!(server.post(REVOKE, &named).send().await.status, 200);
    assert!(!server.replica.active(&tokens.refresh_token).await);
    let nothing = server.post(REVOKE, &[]).header("Authorization", &basic("web-app", WEB_SECRET)).send().await;
    assert_eq!(nothing.refusal(), (400, "invalid_request".into()));
}

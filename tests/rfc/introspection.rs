//! The introspection endpoint (RFC 7662).

use super::raw::basic;
use super::{Server, job_serves_orders};
use crate::world::{ORDERS, PAYMENTS, WEB_SECRET, alice};
use serde_json::json;

const INTROSPECT: &str = "/oauth2/introspect";

#[tokio::test]
async fn s046_who_does_not_authenticate_is_told_nothing() {
    let server = Server::start().await;
    let token = server.signed_in().await.access_token;
    let fields = [("token", token.as_str())];
    assert_eq!(server.post(INTROSPECT, &fields).send().await.refusal(), (401, "invalid_client".into()));
    let public = [("token", token.as_str()), ("client_id", "mobile-app")];
    assert_eq!(server.post(INTROSPECT, &public).send().await.refusal(), (401, "invalid_client".into()));
    let wrong = server.post(INTROSPECT, &fields).header("Authorization", &basic("web-app", "wrong")).send().await;
    assert_eq!(wrong.refusal(), (401, "invalid_client".into()));
    let nothing = server.post(INTROSPECT, &[]).header("Authorization", &basic("web-app", WEB_SECRET)).send().await;
    assert_eq!(nothing.refusal(), (400, "invalid_request".into()));
}

#[tokio::test]
async fn s047_of_an_inactive_token_nothing_else_is_said() {
    let server = Server::start().await;
    let tokens = server.signed_in().await;
    server.replica.revoke(jeton::api::revoke_request::Target::Token(tokens.access_token.clone())).await;
    for token in [tokens.access_token.as_str(), "garbage", "jat_x", &tokens.id_token] {
        let answer = server.introspect(token).await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, br#"{"active":false}"#.as_slice()), "{token}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn s048_a_caller_outside_the_audience_sees_no_active_token() {
    let server = Server::start_with(job_serves_orders).await;
    let orders = server.replica.issue(alice("mobile-app", "orders:read")).await.access_token;
    let payments = server.replica.issue(alice("mobile-app", "payments:read")).await.access_token;
    let active = async |token: &str| server.job(INTROSPECT, &[("token", token)]).await.json()["active"].clone();
    assert_eq!(active(&orders).await, json!(true));
    assert_eq!(active(&payments).await, json!(false));
    assert!(!server.is_active(&orders).await, "the web application serves nothing, and it is not its own");
}

#[tokio::test]
async fn s049_what_is_active_is_so_by_its_signature_its_lifetime_and_revocations() {
    let server = Server::start().await;
    let token = server.signed_in().await.access_token;
    assert!(server.is_active(&token).await);
    let (front, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{front}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, signature.get(1..).unwrap());
    assert!(!server.is_active(&forged).await);
    server.world.pass(301);
    assert!(!server.is_active(&token).await);
}

#[tokio::test]
async fn s050_a_refresh_token_is_nothing_to_a_resource_server() {
    let server = Server::start_with(job_serves_orders).await;
    let tokens = server.signed_in().await;
    let job = server.job(INTROSPECT, &[("token", &tokens.refresh_token)]).await;
    assert_eq!(job.json(), json!({"active": false}));
    assert!(server.is_active(&tokens.refresh_token).await, "it is the web application's own");
}

#[tokio::test]
async fn s051_what_a_token_is_bound_to_is_said() {
    let server = Server::start().await;
    let jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    let cnf = Some(jeton::api::Confirmation { jkt: jkt.into(), ..Default::default() });
    let bound = server.replica.issue(jeton::api::IssueRequest { cnf, ..alice("web-app", "orders:read") }).await;
    let said = server.introspect(&bound.access_token).await.json();
    assert_eq!((&said["cnf"], &said["token_type"]), (&json!({"jkt": jkt}), &json!("DPoP")));
}

#[tokio::test]
async fn s052_an_answer_may_be_kept_for_as_long_as_it_holds_and_not_longer() {
    let server = Server::start().await;
    let token = server.signed_in().await.access_token;
    let age = async || {
        let answer = server.introspect(&token).await;
        let control = answer.header("cache-control").unwrap().to_owned();
        control.strip_prefix("private, max-age=").map(|age| age.parse::<u64>().unwrap())
    };
    assert_eq!(age().await, Some(2));
    server.world.pass(298);
    assert_eq!(age().await, Some(1));
}

#[tokio::test]
async fn s055_two_callers_see_different_scopes() {
    let server = Server::start_with(|settings| {
        job_serves_orders(settings);
        let resources = settings.resources.iter().cloned().map(|mut resource| {
            resource.format = jeton_domain::resource::TokenFormat::Jwt;
            resource
        });
        settings.resources = jeton_domain::resource::Resources::new(resources.collect());
    })
    .await;
    let asked = jeton::api::IssueRequest {
        resource: vec![ORDERS.into(), PAYMENTS.into()],
        ..alice("web-app", "openid orders:read payments:read")
    };
    let token = server.replica.issue(asked).await.access_token;
    assert_eq!(server.introspect(&token).await.json()["scope"], "openid orders:read payments:read");
    assert_eq!(server.job(INTROSPECT, &[("token", &token)]).await.json()["scope"], "orders:read");
}

#[tokio::test]
async fn jwt_and_opaque_tokens_say_the_same_things() {
    let server = Server::start().await;
    let said = async |scope: &str| {
        let token = server.replica.issue(alice("web-app", scope)).await.access_token;
        let said = server.introspect(&token).await.json();
        said.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(said("orders:read").await, said("payments:read").await);
}

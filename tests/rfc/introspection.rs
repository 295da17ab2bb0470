//! The introspection endpoint (RFC 7662).

use super::raw::basic;
use super::{Server, job_serves_orders};
use crate::world::{ORDERS, PAYMENTS, WEB_SECRET, alice};
use serde_json::json;

/// A JWT, its signature verified with the keys that are published.
async fn read(server: &Server, jwt: &str) -> (jsonwebtoken::Header, serde_json::Value) {
    use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
    let keys = super::raw::Asking::get(server.replica.http, "/.well-known/jwks.json").send().await;
    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&keys.body).unwrap();
    let header = decode_header(jwt).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    validation.set_audience(&["web-app"]);
    let key = DecodingKey::from_jwk(keys.find(header.kid.as_ref().unwrap()).unwrap()).unwrap();
    let claims = decode(jwt, &key, &validation).unwrap().claims;
    (header, claims)
}

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

/// Asked by the web application for the answer as a JWT.
async fn as_jwt(server: &Server, token: &str) -> String {
    let asked = server.post(INTROSPECT, &[("token", token)]).header("Authorization", &basic("web-app", WEB_SECRET));
    let answer = asked.header("Accept", "application/json;q=0.1, application/token-introspection+jwt").send().await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/token-introspection+jwt")));
    String::from_utf8(answer.body).unwrap()
}

#[tokio::test]
async fn s053_an_answer_as_a_jwt_is_for_who_asked_and_says_the_same() {
    let server = Server::start().await;
    let token = server.signed_in().await.access_token;
    let plain = server.introspect(&token).await.json();
    let (header, claims) = read(&server, &as_jwt(&server, &token).await).await;
    assert_eq!(header.typ.as_deref(), Some("token-introspection+jwt"));
    let members: Vec<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["aud", "iat", "iss", "token_introspection"], "neither `sub` nor `exp`");
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(crate::world::ISSUER), &json!("web-app")));
    assert_eq!(claims["iat"], json!(server.world.now()));
    assert_eq!(claims["token_introspection"], plain);
    let (_, inactive) = read(&server, &as_jwt(&server, "garbage").await).await;
    assert_eq!(inactive["token_introspection"], json!({"active": false}));
    for accept in ["application/json", "*/*", "application/token-introspection+jwt;q=0", "application/jwt"] {
        let asked = server.post(INTROSPECT, &[("token", &token)]).header("Authorization", &basic("web-app", WEB_SECRET));
        assert_eq!(asked.header("Accept", accept).send().await.json(), plain, "{accept}");
    }
}

#[tokio::test]
async fn s053_it_is_signed_with_the_algorithm_of_the_clients_id_tokens() {
    let server = Server::start_with(super::web_signs_with_rs256).await;
    let token = server.signed_in().await.access_token;
    assert_eq!(read(&server, &as_jwt(&server, &token).await).await.0.alg, jsonwebtoken::Algorithm::RS256);
}

#[tokio::test]
async fn s054_an_answer_as_a_jwt_is_no_token() {
    let server = Server::start().await;
    let token = server.signed_in().await.access_token;
    let jwt = as_jwt(&server, &token).await;
    assert_eq!(server.introspect(&jwt).await.json(), json!({"active": false}));
    assert_eq!(server.refresh(&jwt).await.refusal(), (400, "invalid_grant".into()));
    assert_eq!(server.web("/oauth2/revoke", &[("token", &jwt)]).await.status, 200);
    assert!(server.is_active(&token).await);
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

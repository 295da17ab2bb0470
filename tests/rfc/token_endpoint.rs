//! The token endpoint: requests, answers, client authentication (RFC 6749), refresh.

use super::Server;
use super::raw::{Asking, basic};
use crate::world::{JOB_SECRET, ORDERS, PAYMENTS, WEB_SECRET, alice, mobile};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

const TOKEN: &str = "/oauth2/token";
const JOB: [(&str, &str); 2] = [("grant_type", "client_credentials"), ("scope", "orders:read")];

fn claims(jwt: &Value) -> Value {
    let payload = jwt.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn header(jwt: &Value) -> Value {
    let header = jwt.as_str().unwrap().split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

#[tokio::test]
async fn s001_only_post_reaches_the_token_endpoint() {
    let server = Server::start().await;
    for method in ["GET", "PUT", "DELETE"] {
        let answer = Asking::new(server.replica.http, method, "/oauth2/token?grant_type=client_credentials").send().await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
        assert!(answer.json()["error_description"].as_str().unwrap().contains("the header Allow"), "{answer:?}");
    }
}

#[tokio::test]
async fn s002_a_repeated_parameter_is_refused_an_unknown_one_ignored_an_empty_one_absent() {
    let server = Server::start().await;
    let with = async |more: &[(&str, &str)]| server.job(TOKEN, &[JOB.as_slice(), more].concat()).await;
    assert_eq!(with(&[("scope", "orders:read")]).await.refusal(), (400, "invalid_request".into()));
    assert_eq!(with(&[("unknown", "1"), ("unknown", "2")]).await.refusal(), (400, "invalid_request".into()));
    with(&[("unknown", "1")]).await.tokens();
    with(&[("resource", "")]).await.tokens();
    let empty = server.job(TOKEN, &[("grant_type", ""), ("scope", "orders:read")]).await;
    assert_eq!(empty.refusal(), (400, "invalid_request".into()));
}

#[tokio::test]
async fn s003_answers_with_tokens_are_never_stored() {
    let server = Server::start().await;
    server.job(TOKEN, &JOB).await.tokens();
    let tokens = server.signed_in().await;
    server.refresh(&tokens.refresh_token).await.tokens();
}

#[tokio::test]
async fn s004_expires_in_is_the_lifetime_of_the_token() {
    let server = Server::start().await;
    let tokens = server.job(TOKEN, &JOB).await.tokens();
    let claims = claims(&tokens["access_token"]);
    assert_eq!(tokens["expires_in"], json!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap()));
}

#[tokio::test]
async fn s005_the_scope_granted_is_said() {
    let server = Server::start().await;
    // The scopes of another resource than the one named are not granted.
    let fields = [("grant_type", "client_credentials"), ("scope", "orders:read payments:read"), ("resource", ORDERS)];
    assert_eq!(server.job(TOKEN, &fields).await.tokens()["scope"], "orders:read");
}

#[tokio::test]
async fn s006_who_fails_to_authenticate_by_header_is_told_how() {
    let server = Server::start().await;
    let wrong = [basic("billing-job", "wrong"), basic("nobody", JOB_SECRET), "Basic !".into(), "Bearer x".into(), "Basic".into()];
    for credentials in wrong {
        let answer = server.post(TOKEN, &JOB).header("Authorization", &credentials).send().await;
        assert_eq!(answer.refusal(), (401, "invalid_client".into()), "{credentials}");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Basic "), "{credentials}");
    }
}

#[tokio::test]
async fn s007_two_ways_of_authenticating_are_refused() {
    let server = Server::start().await;
    let fields = [JOB.as_slice(), &[("client_secret", JOB_SECRET)]].concat();
    assert_eq!(server.job(TOKEN, &fields).await.refusal(), (400, "invalid_request".into()));
    let other = [JOB.as_slice(), &[("client_id", "web-app")]].concat();
    assert_eq!(server.job(TOKEN, &other).await.refusal(), (400, "invalid_request".into()));
    let twice = server.post(TOKEN, &JOB).header("Authorization", &basic("billing-job", JOB_SECRET));
    let twice = twice.header("Authorization", &basic("billing-job", JOB_SECRET)).send().await;
    assert_eq!(twice.refusal(), (400, "invalid_request".into()));
    let same = [JOB.as_slice(), &[("client_id", "billing-job")]].concat();
    server.job(TOKEN, &same).await.tokens();
}

#[tokio::test]
async fn s008_what_is_said_of_an_error_is_plain_text_whatever_was_sent() {
    let server = Server::start().await;
    for hostile in ["\u{1b}[31m\r\nSet-Cookie: a=b", "\"}\\", "ä\u{0}", "<script>"] {
        let name = format!("x{hostile}");
        let requests: [&[(&str, &str)]; 4] = [
            &[(&name, "1"), (&name, "2")],
            &[("grant_type", hostile)],
            &[("grant_type", "client_credentials"), ("scope", hostile)],
            &[("grant_type", "client_credentials"), ("resource", hostile)],
        ];
        for fields in requests {
            // `refusal` judges the text.
            let answer = server.job(TOKEN, fields).await;
            assert_eq!(answer.refusal().0, 400, "{fields:?}");
            assert_eq!(answer.header("set-cookie"), None);
        }
    }
}

#[tokio::test]
async fn s010_a_flow_that_the_client_may_not_use_is_refused_and_passwords_are_never_taken() {
    let server = Server::start().await;
    let web = server.web(TOKEN, &JOB).await;
    assert_eq!(web.refusal(), (400, "unauthorized_client".into()));
    let password = [("grant_type", "password"), ("username", "alice"), ("password", "secret")];
    assert_eq!(server.web(TOKEN, &password).await.refusal(), (400, "unsupported_grant_type".into()));
}

#[tokio::test]
async fn s013_a_jwt_says_what_it_is_and_is_signed() {
    let server = Server::start().await;
    let tokens = server.job(TOKEN, &JOB).await.tokens();
    let header = header(&tokens["access_token"]);
    assert_eq!((&header["typ"], &header["alg"]), (&json!("at+jwt"), &json!("EdDSA")));
    assert!(server.replica.active(tokens["access_token"].as_str().unwrap()).await);
}

#[tokio::test]
async fn s014_a_jwt_has_every_claim_that_it_must_have() {
    let server = Server::start().await;
    let claims = claims(&server.job(TOKEN, &JOB).await.tokens()["access_token"]);
    for claim in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        assert!(claims.get(claim).is_some(), "{claim}");
    }
}

#[tokio::test]
async fn s015_the_audience_follows_the_resource() {
    let server = Server::start().await;
    let asked = |resource: &'static str| [("grant_type", "client_credentials"), ("scope", "orders:read"), ("resource", resource)];
    let orders = server.job(TOKEN, &asked(ORDERS)).await.tokens();
    assert_eq!(claims(&orders["access_token"])["aud"], json!(ORDERS));
    assert_eq!(server.job(TOKEN, &asked("https://nowhere.internal")).await.refusal(), (400, "invalid_target".into()));
    // Formats that do not go together.
    let both = [("grant_type", "client_credentials"), ("resource", ORDERS), ("resource", PAYMENTS)];
    assert_eq!(server.job(TOKEN, &both).await.refusal(), (400, "invalid_target".into()));
}

#[tokio::test]
async fn s018_a_token_of_another_client_is_refused_and_stays_as_it_is() {
    let server = Server::start().await;
    let mobiles = server.replica.issue(alice("mobile-app", crate::world::SCOPES)).await;
    let tokens = server.signed_in().await;
    let of_mobile = [("grant_type", "refresh_token"), ("refresh_token", mobiles.refresh_token.as_str())];
    assert_eq!(server.web(TOKEN, &of_mobile).await.refusal(), (400, "invalid_grant".into()));
    let unproved = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh_token.as_str()), ("client_id", "web-app")];
    assert_eq!(server.post(TOKEN, &unproved).send().await.refusal(), (401, "invalid_client".into()));
    server.replica.refresh(mobile(&mobiles.refresh_token)).await;
    server.refresh(&tokens.refresh_token).await.tokens();
}

#[tokio::test]
async fn s019_scope_shrinks_for_the_access_token_and_never_grows() {
    let server = Server::start().await;
    let tokens = server.signed_in().await;
    let with = async |token: &str, scope: &str| {
        server.web(TOKEN, &[("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)]).await
    };
    let narrowed = with(&tokens.refresh_token, "orders:read").await.tokens();
    assert_eq!(narrowed["scope"], "orders:read");
    let next = narrowed["refresh_token"].as_str().unwrap();
    assert_eq!(with(next, "orders:read payments:read").await.refusal(), (400, "invalid_scope".into()));
    // The refresh token kept all of the grant's.
    let whole = server.refresh(next).await.tokens();
    assert!(whole["scope"].as_str().unwrap().contains("orders:write"));
}

#[tokio::test]
async fn s024_a_retry_by_the_name_of_its_attempt_succeeds() {
    let server = Server::start().await;
    let tokens = server.replica.issue(alice("mobile-app", crate::world::SCOPES)).await;
    let fields = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh_token.as_str()), ("client_id", "mobile-app")];
    let attempt = async || server.post(TOKEN, &fields).header("Idempotency-Key", "\"attempt-1\"").send().await.tokens();
    let lost = attempt().await;
    server.world.pass(3_600);
    let again = attempt().await;
    assert_ne!(lost["refresh_token"], again["refresh_token"], "a new number in the place of the one that was lost");
}

#[tokio::test]
async fn a_public_client_names_itself_and_a_confidential_one_may_send_its_secret_in_the_form() {
    let server = Server::start().await;
    let fields = [JOB.as_slice(), &[("client_id", "billing-job"), ("client_secret", JOB_SECRET)]].concat();
    server.post(TOKEN, &fields).send().await.tokens();
    let nobody = server.post(TOKEN, &JOB).send().await;
    assert_eq!(nobody.refusal(), (401, "invalid_client".into()));
}

#[tokio::test]
async fn what_is_no_form_is_refused() {
    let server = Server::start().await;
    let job = basic("billing-job", JOB_SECRET);
    let json = server.post(TOKEN, &[]).body("{}").header("Content-Type", "application/json").header("Authorization", &job);
    assert_eq!(json.send().await.refusal(), (400, "invalid_request".into()));
    let large = server.post(TOKEN, &[]).body(vec![b'a'; 70_000]).header("Authorization", &job).send().await;
    assert_eq!(large.refusal(), (413, "invalid_request".into()));
    let bytes = server.post(TOKEN, &[]).body(b"grant_type=\xff".to_vec()).header("Authorization", &job).send().await;
    assert_eq!(bytes.refusal(), (400, "invalid_request".into()));
}

#[tokio::test]
async fn a_path_that_is_not_there_is_told_so() {
    let server = Server::start().await;
    let missing = server.post("/oauth2/nothing", &[]).header("Authorization", &basic("web-app", WEB_SECRET)).send().await;
    assert_eq!(missing.refusal().0, 404);
}

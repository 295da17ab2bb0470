//! Authorization codes (RFC 6749 section 4.1, RFC 7636, OpenID Connect Core section 3.1).

use super::Server;
use super::raw::Answer;
use crate::world::{ORDERS, SCOPES, alice, refusal};
use jeton::api::authorization_code_service_client::AuthorizationCodeServiceClient;
use jeton::api::{CreateAuthorizationCodeRequest, CreateAuthorizationCodeResponse, IssueRequest};
use jeton::config::Settings;
use jeton_domain::redirect::RedirectUri;
use tonic::{Code, Status};

// The example of RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const PLACE: &str = "https://app.example.com/cb";

pub fn with_places(settings: &mut Settings) {
    for client in &mut settings.clients {
        client.redirect_uris = vec![RedirectUri::parse("redirect_uris", PLACE).unwrap()];
    }
}

pub(super) fn asked(client: &str, scope: &str) -> CreateAuthorizationCodeRequest {
    CreateAuthorizationCodeRequest {
        grant: Some(IssueRequest { nonce: "n-0S6_WzA2Mj".into(), ..alice(client, scope) }),
        redirect_uri: PLACE.into(),
        code_challenge: CHALLENGE.into(),
        code_challenge_method: "S256".into(),
        ..Default::default()
    }
}

impl Server {
    pub(super) async fn with_codes() -> Self {
        Self::start_with(with_places).await
    }

    pub(super) async fn try_code(
        &self,
        asked: CreateAuthorizationCodeRequest,
    ) -> Result<CreateAuthorizationCodeResponse, Status> {
        let mut codes = AuthorizationCodeServiceClient::connect(format!("http://{}", self.replica.address)).await.unwrap();
        codes.create_authorization_code(asked).await.map(tonic::Response::into_inner)
    }

    pub async fn code(&self, client: &str, scope: &str) -> String {
        self.try_code(asked(client, scope)).await.unwrap().code
    }

    /// Redeemed by the web application, with these fields besides.
    pub async fn redeem(&self, code: &str, fields: &[(&str, &str)]) -> Answer {
        let all = [&[("grant_type", "authorization_code"), ("code", code)], fields].concat();
        self.web("/oauth2/token", &all).await
    }
}

pub const RIGHT: [(&str, &str); 2] = [("redirect_uri", PLACE), ("code_verifier", VERIFIER)];

fn claims(jwt: &serde_json::Value) -> serde_json::Value {
    use base64::Engine as _;
    let payload = jwt.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn a_code_gives_the_tokens_of_its_grant_once() {
    let server = Server::with_codes().await;
    let code = server.code("web-app", SCOPES).await;
    let tokens = server.redeem(&code, &RIGHT).await.tokens();
    assert_eq!(claims(&tokens["id_token"])["nonce"], "n-0S6_WzA2Mj");
    assert!(server.is_active(tokens["access_token"].as_str().unwrap()).await);
    let refreshed = server.refresh(tokens["refresh_token"].as_str().unwrap()).await.tokens();
    assert_eq!(claims(&refreshed["id_token"]).get("nonce"), None, "OIDC Core section 12.2");
    assert_eq!(server.redeem(&code, &RIGHT).await.refusal(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn a_code_that_is_redeemed_again_later_ends_its_grant() {
    let server = Server::with_codes().await;
    let code = server.code("web-app", SCOPES).await;
    let tokens = server.redeem(&code, &RIGHT).await.tokens();
    assert_eq!(server.redeem(&code, &RIGHT).await.refusal(), (400, "invalid_grant".into()));
    assert!(server.is_active(tokens["access_token"].as_str().unwrap()).await, "within the overlap it is a double click");
    server.world.pass(11);
    assert_eq!(server.redeem(&code, &RIGHT).await.refusal(), (400, "invalid_grant".into()));
    assert!(!server.is_active(tokens["access_token"].as_str().unwrap()).await);
}

#[tokio::test]
async fn s090_verifier_and_challenge_go_together_or_nothing_is_given_and_nothing_consumed() {
    let server = Server::with_codes().await;
    let code = server.code("web-app", SCOPES).await;
    let wrong = [
        vec![("redirect_uri", PLACE)],
        vec![("redirect_uri", PLACE), ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl")],
        vec![("redirect_uri", PLACE), ("code_verifier", "short")],
        vec![("redirect_uri", PLACE), ("code_verifier", CHALLENGE)],
        vec![("code_verifier", VERIFIER)],
        vec![("redirect_uri", "https://app.example.com/cb/"), ("code_verifier", VERIFIER)],
    ];
    for fields in &wrong {
        assert_eq!(server.redeem(&code, fields).await.refusal(), (400, "invalid_grant".into()), "{fields:?}");
    }
    server.redeem(&code, &RIGHT).await.tokens();
    let unproved = server.try_code(CreateAuthorizationCodeRequest { code_challenge: String::new(), ..asked("web-app", SCOPES) });
    let code = unproved.await.unwrap().code;
    assert_eq!(server.redeem(&code, &RIGHT).await.refusal(), (400, "invalid_grant".into()), "a verifier without a challenge");
    server.redeem(&code, &[("redirect_uri", PLACE)]).await.tokens();
}

#[tokio::test]
async fn s090_a_public_client_needs_a_challenge_and_only_s256_is_one() {
    let server = Server::with_codes().await;
    let without = CreateAuthorizationCodeRequest { code_challenge: String::new(), ..asked("mobile-app", SCOPES) };
    assert_eq!(refusal(server.try_code(without).await), (Code::InvalidArgument, "INVALID_FIELD".into()));
    let plain = CreateAuthorizationCodeRequest { code_challenge_method: "plain".into(), ..asked("mobile-app", SCOPES) };
    assert_eq!(refusal(server.try_code(plain).await), (Code::InvalidArgument, "INVALID_FIELD".into()));
    let code = server.code("mobile-app", SCOPES).await;
    let fields =
        [&[("grant_type", "authorization_code"), ("code", &code), ("client_id", "mobile-app")], RIGHT.as_slice()].concat();
    server.post("/oauth2/token", &fields).send().await.tokens();
}

#[tokio::test]
async fn a_code_is_sent_only_where_its_client_registered_to_be() {
    let server = Server::with_codes().await;
    for place in ["https://evil.example.com/cb", "https://app.example.com/cb?x=1", "http://app.example.com/cb", "javascript:x"] {
        let asked = CreateAuthorizationCodeRequest { redirect_uri: place.into(), ..asked("web-app", SCOPES) };
        assert_eq!(refusal(server.try_code(asked).await), (Code::InvalidArgument, "INVALID_FIELD".into()), "{place}");
    }
    let unnamed = CreateAuthorizationCodeRequest { redirect_uri: String::new(), ..asked("web-app", SCOPES) };
    let code = server.try_code(unnamed).await.unwrap().code;
    server.redeem(&code, &[("code_verifier", VERIFIER)]).await.tokens();
}

#[tokio::test]
async fn a_code_of_another_client_or_too_late_is_refused() {
    let server = Server::with_codes().await;
    let mobiles = server.code("mobile-app", SCOPES).await;
    assert_eq!(server.redeem(&mobiles, &RIGHT).await.refusal(), (400, "invalid_grant".into()));
    let code = server.code("web-app", SCOPES).await;
    let by_nobody = [("grant_type", "authorization_code"), ("code", code.as_str()), ("client_id", "web-app")];
    assert_eq!(server.post("/oauth2/token", &by_nobody).send().await.refusal(), (401, "invalid_client".into()));
    server.world.pass(60);
    assert_eq!(server.redeem(&code, &RIGHT).await.refusal(), (400, "invalid_grant".into()));
    assert_eq!(server.redeem("jac_garbage", &RIGHT).await.refusal(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn a_code_without_offline_access_gives_no_refresh_token() {
    let server = Server::with_codes().await;
    for scope in ["openid orders:read", "payments:read"] {
        let code = server.code("web-app", scope).await;
        let tokens = server.redeem(&code, &RIGHT).await.tokens();
        assert_eq!(tokens.get("refresh_token"), None);
        assert!(server.is_active(tokens["access_token"].as_str().unwrap()).await, "{scope}");
        server.world.pass(200);
        assert!(server.is_active(tokens["access_token"].as_str().unwrap()).await, "{scope}");
    }
}

#[tokio::test]
async fn what_is_revoked_before_the_redemption_is_not_given() {
    let server = Server::with_codes().await;
    let code = server.code("web-app", SCOPES).await;
    server.replica.revoke(jeton::api::revoke_request::Target::Sub("alice".into())).await;
    assert_eq!(server.redeem(&code, &RIGHT).await.refusal(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn a_grant_is_listed_once_its_code_is_redeemed() {
    let server = Server::with_codes().await;
    let listed = async || {
        let asked = jeton::api::ListGrantsRequest { sub: "alice".into(), ..Default::default() };
        server.replica.list(asked).await.grants.len()
    };
    let code = server.code("web-app", SCOPES).await;
    assert_eq!(listed().await, 0);
    server.redeem(&code, &[RIGHT.as_slice(), &[("resource", ORDERS)]].concat()).await.tokens();
    assert_eq!(listed().await, 1);
}

#[tokio::test]
async fn a_code_is_no_token() {
    let server = Server::with_codes().await;
    let code = server.code("web-app", SCOPES).await;
    assert_eq!(server.introspect(&code).await.json(), serde_json::json!({"active": false}));
    assert_eq!(server.refresh(&code).await.refusal(), (400, "invalid_grant".into()));
    // Revoked before it is redeemed, it gives nothing.
    assert_eq!(server.web("/oauth2/revoke", &[("token", &code)]).await.status, 200);
    assert_eq!(server.redeem(&code, &RIGHT).await.refusal(), (400, "invalid_grant".into()));
}

//! A sign-in that is not enough (RFC 9470): what is missing is told wherever tokens are asked for or shown, and nothing is consumed.

use super::Server;
use super::codes::{RIGHT, asked, with_places};
use super::raw::{Answer, Asking, basic};
use crate::world::{ISSUER, ORDERS, Replica, SCOPES, WEB_SECRET, alice, refusal};
use jeton::api::device_service_client::DeviceServiceClient;
use jeton::api::{ApproveDeviceAuthorizationRequest, AuthenticationContext, CreateAuthorizationCodeRequest, IssueRequest};
use jeton_domain::name::ResourceId;
use jeton_domain::policy::AuthenticationPolicy;
use jeton_domain::resource::{Resource, Resources};
use jeton_domain::scope::Scopes;
use jeton_domain::time::Millis;
use serde_json::Value;
use tonic::Code;

const TOKEN: &str = "/oauth2/token";
const GOLD: &str = "urn:example:gold";

/// Gold or silver, not older than a minute.
fn demanding() -> AuthenticationPolicy {
    AuthenticationPolicy {
        acr_values: vec![GOLD.into(), "urn:example:silver".into()],
        amr_values: Vec::new(),
        max_age: Some(Millis::from_secs(60)),
    }
}

/// The sign-in of alice, with this `acr`.
fn signed_in(acr: &str, scope: &str) -> IssueRequest {
    let authentication = AuthenticationContext { acr: acr.into(), amr: vec!["pwd".into()], ..Default::default() };
    IssueRequest { authentication: Some(authentication), ..alice("web-app", scope) }
}

async fn start() -> Server {
    Server::start_with(|settings| {
        with_places(settings);
        settings.login.verification_uri = Some("https://login.example.com/device".into());
    })
    .await
}

/// Another replica of the same deployment, whose orders demand more.
async fn stricter(server: &Server) -> Replica {
    server.world.start_with(&server.world.with_resource(ORDERS, |orders| orders.policy = demanding())).await
}

async fn ask(replica: &Replica, fields: &[(&str, &str)]) -> Answer {
    Asking::post(replica.http, TOKEN).form(fields).header("Authorization", &basic("web-app", WEB_SECRET)).send().await
}

/// What is missing: `acr_values` and `max_age`, each where it is.
#[track_caller]
fn is_missing(answer: &Answer, acr_values: Option<&str>, max_age: Option<&str>) {
    assert_eq!(answer.refusal(), (400, "insufficient_user_authentication".into()));
    let body = answer.json();
    let member = |name: &str| body.get(name).and_then(Value::as_str);
    assert_eq!((member("acr_values"), member("max_age"), member("resource")), (acr_values, max_age, Some(ORDERS)), "{body}");
    assert!(body["error_description"].as_str().unwrap().contains("sign the user in again"), "{body}");
}

const BOTH: Option<&str> = Some("urn:example:gold urn:example:silver");

#[tokio::test]
async fn rfc9470_a_refresh_tells_what_is_missing_and_consumes_nothing() {
    let server = start().await;
    let strict = stricter(&server).await;
    let issued = server.replica.issue(signed_in("urn:example:bronze", SCOPES)).await;
    let fields = [("grant_type", "refresh_token"), ("refresh_token", issued.refresh_token.as_str())];
    is_missing(&ask(&strict, &fields).await, BOTH, None);
    server.world.pass(61);
    is_missing(&ask(&strict, &fields).await, BOTH, Some("60"));
    ask(&server.replica, &fields).await.tokens();
    // Good enough, and then too old.
    let golden = strict.issue(signed_in(GOLD, SCOPES)).await;
    let fields = [("grant_type", "refresh_token"), ("refresh_token", golden.refresh_token.as_str())];
    let next = ask(&strict, &fields).await.tokens();
    server.world.pass(61);
    let fields = [("grant_type", "refresh_token"), ("refresh_token", next["refresh_token"].as_str().unwrap())];
    is_missing(&ask(&strict, &fields).await, None, Some("60"));
    server.refresh(next["refresh_token"].as_str().unwrap()).await.tokens();
}

#[tokio::test]
async fn rfc9470_a_code_tells_what_is_missing_when_it_is_made_and_when_it_is_redeemed() {
    let server = start().await;
    let strict = stricter(&server).await;
    let create = |acr: &str| CreateAuthorizationCodeRequest { grant: Some(signed_in(acr, SCOPES)), ..asked("web-app", SCOPES) };
    let mut codes = jeton::api::authorization_code_service_client::AuthorizationCodeServiceClient::connect(format!(
        "http://{}",
        strict.address
    ))
    .await
    .unwrap();
    let weak = codes.create_authorization_code(create("urn:example:bronze")).await;
    assert_eq!(refusal(weak), (Code::FailedPrecondition, "REAUTHENTICATION_REQUIRED".into()));
    let code = server.try_code(create("urn:example:bronze")).await.unwrap().code;
    let fields = [&[("grant_type", "authorization_code"), ("code", code.as_str())], RIGHT.as_slice()].concat();
    is_missing(&ask(&strict, &fields).await, BOTH, None);
    ask(&server.replica, &fields).await.tokens();
}

#[tokio::test]
async fn rfc9470_a_device_is_told_what_is_missing_and_keeps_its_code() {
    let server = start().await;
    let strict = stricter(&server).await;
    let told = server.web("/oauth2/device_authorization", &[("scope", SCOPES)]).await.tokens();
    let mut devices = DeviceServiceClient::connect(format!("http://{}", strict.address)).await.unwrap();
    let allow = |acr: &str| ApproveDeviceAuthorizationRequest {
        user_code: told["user_code"].as_str().unwrap().into(),
        grant: Some(signed_in(acr, "")),
    };
    let weak = devices.approve_device_authorization(allow("urn:example:bronze")).await;
    assert_eq!(refusal(weak), (Code::FailedPrecondition, "REAUTHENTICATION_REQUIRED".into()));
    devices.approve_device_authorization(allow(GOLD)).await.unwrap();
    server.world.pass(61);
    let code = told["device_code"].as_str().unwrap();
    let fields = [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", code)];
    is_missing(&ask(&strict, &fields).await, None, Some("60"));
    ask(&server.replica, &fields).await.tokens();
}

#[tokio::test]
async fn rfc9470_3_user_info_challenges_by_the_policy_of_the_issuer_where_that_is_a_resource() {
    let server = start().await;
    let issuer = || Resource {
        id: ResourceId::parse("resource", ISSUER).unwrap(),
        scopes: Scopes::default(),
        details_types: Vec::new(),
        policy: demanding(),
        ..server.world.settings.resources.iter().next().unwrap().clone()
    };
    let mut settings = server.world.settings.clone();
    settings.resources = Resources::new(settings.resources.iter().cloned().chain([issuer()]).collect());
    let strict = server.world.start_with(&settings).await;
    let shown = async |token: &str| {
        Asking::get(strict.http, "/oauth2/userinfo").header("Authorization", &format!("Bearer {token}")).send().await
    };
    let golden = strict.issue(signed_in(GOLD, SCOPES)).await.access_token;
    assert_eq!(shown(&golden).await.status, 200);
    let weak = strict.issue(signed_in("urn:example:bronze", SCOPES)).await.access_token;
    let answer = shown(&weak).await;
    assert_eq!(answer.refusal(), (401, "insufficient_user_authentication".into()));
    let challenge = "Bearer realm=\"jeton\", error=\"insufficient_user_authentication\", \
                     acr_values=\"urn:example:gold urn:example:silver\"";
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
    server.world.pass(61);
    let answer = shown(&golden).await;
    assert_eq!(answer.refusal(), (401, "insufficient_user_authentication".into()));
    let challenge = "Bearer realm=\"jeton\", error=\"insufficient_user_authentication\", max_age=\"60\"";
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
}

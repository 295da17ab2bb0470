//! Authorization details (RFC 9396): asked for, granted, narrowed, told to whom they are for.

use super::codes::{RIGHT, asked};
use super::raw::Answer;
use super::{Server, job_serves_orders};
use crate::world::{ORDERS, PAYMENTS, SCOPES, alice, refusal};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton::api::device_service_client::DeviceServiceClient;
use jeton::api::{
    ApproveDeviceAuthorizationRequest, CreateAuthorizationCodeRequest, DescribeDeviceAuthorizationRequest, IssueRequest,
};
use jeton::config::Settings;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as ProtoValue};
use serde_json::{Value, json};
use tonic::Code;

const TOKEN: &str = "/oauth2/token";
const READ: &str = r#"{"type":"order","actions":["read"],"identifier":"7"}"#;
const BOTH: &str = r#"{"type":"order","actions":["read","write"],"identifier":"7"}"#;
const WIRED: &str = r#"{"type":"payment","actions":["initiate"],"amount":{"currency":"EUR","sum":"5.00"}}"#;

fn array(objects: &[&str]) -> String {
    format!("[{}]", objects.join(","))
}

fn values(objects: &[&str]) -> Value {
    serde_json::from_str(&array(objects)).unwrap()
}

fn proto(value: &Value) -> ProtoValue {
    let kind = match value {
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Value::Array(values) => Kind::ListValue(ListValue { values: values.iter().map(proto).collect() }),
        Value::Object(_) => Kind::StructValue(structure(value)),
        other => unreachable!("{other}"),
    };
    ProtoValue { kind: Some(kind) }
}

fn structure(value: &Value) -> Struct {
    Struct { fields: value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), proto(value))).collect() }
}

fn structures(objects: &[&str]) -> Vec<Struct> {
    values(objects).as_array().unwrap().iter().map(structure).collect()
}

fn claims(jwt: &Value) -> Value {
    let payload = jwt.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// Payments have JWTs too, so that one token may be for both.
fn both_are_jwts(settings: &mut Settings) {
    let mut resources: Vec<_> = settings.resources.iter().cloned().collect();
    resources.iter_mut().for_each(|resource| resource.format = jeton_domain::resource::TokenFormat::Jwt);
    settings.resources = jeton_domain::resource::Resources::new(resources);
    job_serves_orders(settings);
}

impl Server {
    async fn job_asks(&self, scope: &str, details: &str) -> Answer {
        let fields = [("grant_type", "client_credentials"), ("scope", scope), ("authorization_details", details)];
        self.job(TOKEN, &fields).await
    }

    async fn narrowed(&self, refresh_token: &str, more: &[(&str, &str)]) -> Answer {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        self.web(TOKEN, &[fields.as_slice(), more].concat()).await
    }

    /// A code of alice for these.
    async fn code_for(&self, scope: &str, objects: &[&str]) -> String {
        let CreateAuthorizationCodeRequest { grant, .. } = asked("web-app", scope);
        let grant = IssueRequest { authorization_details: structures(objects), ..grant.unwrap() };
        let asked = CreateAuthorizationCodeRequest { grant: Some(grant), ..asked("web-app", scope) };
        self.try_code(asked).await.unwrap().code
    }
}

#[tokio::test]
async fn s088_unknown_types_and_fields_and_wrong_shapes_are_refused() {
    let server = Server::start().await;
    let granted = server.job_asks("orders:read", &array(&[BOTH])).await.tokens();
    assert_eq!(granted["authorization_details"], values(&[BOTH]));
    assert_eq!(claims(&granted["access_token"])["authorization_details"], values(&[BOTH]));
    let long = array(&[&format!(r#"{{"type":"order","identifier":"{}"}}"#, "x".repeat(8_192))]);
    for wrong in [
        r#"[{"type":"refund"}]"#,
        r#"[{"type":"order","colour":"red"}]"#,
        r#"[{"type":"order","actions":"read"}]"#,
        r#"[{"type":"order","actions":[1]}]"#,
        r#"[{"type":"order","identifier":7}]"#,
        r#"[{"type":"payment","actions":["initiate"]}]"#,
        r#"[{"type":7}]"#,
        r#"[{"actions":["read"]}]"#,
        r#"[{"type":"order","type":"order"}]"#,
        r#"[{"type":"order"}"#,
        r#"{"type":"order"}"#,
        r#"["order"]"#,
        "[]",
        "order",
        &long,
        &array(&[READ; 17]),
    ] {
        let refused = server.job_asks("orders:read", wrong).await.refusal();
        assert_eq!(refused, (400, "invalid_authorization_details".into()), "{wrong}");
    }
    // Of a resource that is not asked for, and of a type that the client may not be given.
    let wired = array(&[WIRED]);
    let fields = [("grant_type", "client_credentials"), ("resource", ORDERS), ("authorization_details", wired.as_str())];
    assert_eq!(server.job(TOKEN, &fields).await.refusal(), (400, "invalid_authorization_details".into()));
    let strict = Server::start_with(|settings| settings.clients.iter_mut().for_each(|client| client.details_types.clear())).await;
    assert_eq!(strict.job_asks("orders:read", &array(&[READ])).await.refusal(), (400, "invalid_authorization_details".into()));
}

#[tokio::test]
async fn s088_grpc_asks_the_same() {
    let server = Server::with_codes().await;
    let ask = |objects: &[&str]| IssueRequest { authorization_details: structures(objects), ..alice("web-app", SCOPES) };
    let issued = server.replica.issue(ask(&[READ])).await;
    assert_eq!(issued.authorization_details, structures(&[READ]));
    let wrong = [r#"{"type":"refund"}"#, r#"{"type":"order","colour":"red"}"#, r#"{"type":"order","identifier":7}"#];
    for wrong in wrong {
        let expected = || (Code::InvalidArgument, "INVALID_AUTHORIZATION_DETAILS".to_owned());
        assert_eq!(refusal(server.replica.try_issue(ask(&[wrong])).await), expected(), "{wrong}");
        let code = CreateAuthorizationCodeRequest { grant: Some(ask(&[wrong])), ..asked("web-app", SCOPES) };
        assert_eq!(refusal(server.try_code(code).await), expected(), "{wrong}");
    }
}

#[tokio::test]
async fn s030_details_on_refresh_only_narrow_and_the_grant_keeps_its_own() {
    let server = Server::with_codes().await;
    let code = server.code_for(SCOPES, &[BOTH]).await;
    let first = server.redeem(&code, &[RIGHT.as_slice(), &[("authorization_details", &array(&[READ]))]].concat()).await.tokens();
    assert_eq!(first["authorization_details"], values(&[READ]), "a code may be narrowed, too");
    assert_eq!(claims(&first["access_token"])["authorization_details"], values(&[READ]));
    let refresh_token = first["refresh_token"].as_str().unwrap();
    for more in [
        r#"[{"type":"order","actions":["read","delete"],"identifier":"7"}]"#,
        r#"[{"type":"order","actions":["read"],"identifier":"8"}]"#,
        r#"[{"type":"order","actions":["read"]}]"#,
        r#"[{"type":"order","actions":[],"identifier":"7"}]"#,
        &array(&[READ, WIRED]),
        "[]",
    ] {
        let refused = server.narrowed(refresh_token, &[("authorization_details", more)]).await.refusal();
        assert_eq!(refused, (400, "invalid_authorization_details".into()), "{more}");
    }
    let again = server.narrowed(refresh_token, &[("authorization_details", &array(&[READ]))]).await.tokens();
    assert_eq!(again["authorization_details"], values(&[READ]));
    let whole = server.refresh(again["refresh_token"].as_str().unwrap()).await.tokens();
    assert_eq!(whole["authorization_details"], values(&[BOTH]), "the refresh token has what was granted");
}

#[tokio::test]
async fn rfc9396_7_each_resource_is_told_what_is_for_it() {
    let server = Server::start_with(both_are_jwts).await;
    let scope = "offline_access orders:read payments:read";
    let grant = IssueRequest { authorization_details: structures(&[BOTH, WIRED]), ..alice("web-app", scope) };
    let issued = server.replica.issue(grant).await;
    let both = server.refresh(&issued.refresh_token).await.tokens();
    assert_eq!(both["authorization_details"], values(&[BOTH, WIRED]));
    let orders = server.narrowed(&issued.refresh_token, &[("resource", ORDERS)]).await.tokens();
    assert_eq!(orders["authorization_details"], values(&[BOTH]));
    let wired = array(&[WIRED]);
    let other = [("resource", ORDERS), ("authorization_details", wired.as_str())];
    let refused = server.narrowed(&issued.refresh_token, &other).await.refusal();
    assert_eq!(refused, (400, "invalid_authorization_details".into()), "named, and not for the resource that is named");
    // Section 9.2: the client sees all, the server of orders what is for it.
    let token = both["access_token"].as_str().unwrap();
    assert_eq!(server.introspect(token).await.json()["authorization_details"], values(&[BOTH, WIRED]));
    let seen = server.job("/oauth2/introspect", &[("token", token)]).await.json();
    assert_eq!(seen["authorization_details"], values(&[BOTH]));
}

#[tokio::test]
async fn rfc9396_details_alone_name_the_resource_and_an_opaque_token_says_what_its_grant_says() {
    let server = Server::start().await;
    let issued = server.job_asks("", &array(&[WIRED])).await.tokens();
    let token = issued["access_token"].as_str().unwrap();
    assert!(token.starts_with("jat_"));
    let said = server.job("/oauth2/introspect", &[("token", token)]).await.json();
    assert_eq!((&said["aud"], &said["authorization_details"]), (&json!([PAYMENTS]), &values(&[WIRED])));
    let other = r#"{"type":"payment","actions":["initiate"],"amount":{"currency":"EUR","sum":"9.00"}}"#;
    let grant =
        IssueRequest { authorization_details: structures(&[WIRED, other]), ..alice("web-app", "offline_access payments:write") };
    let refresh_token = server.replica.issue(grant).await.refresh_token;
    let whole = [("authorization_details", array(&[WIRED, other]))];
    server.narrowed(&refresh_token, &whole.each_ref().map(|(name, value)| (*name, value.as_str()))).await.tokens();
    let refused = server.narrowed(&refresh_token, &[("authorization_details", &array(&[WIRED]))]).await.refusal();
    assert_eq!(refused, (400, "invalid_authorization_details".into()));
}

#[tokio::test]
async fn rfc9396_a_device_asks_its_user_narrows_and_the_poll_gives_no_more() {
    let server =
        Server::start_with(|settings| settings.login.verification_uri = Some("https://login.example.com/device".into())).await;
    let mut devices = DeviceServiceClient::connect(format!("http://{}", server.replica.address)).await.unwrap();
    let begin = async |details: &str| {
        let fields = [("scope", SCOPES), ("authorization_details", details)];
        server.web("/oauth2/device_authorization", &fields).await
    };
    let refused = begin(r#"[{"type":"order","colour":"red"}]"#).await.refusal();
    assert_eq!(refused, (400, "invalid_authorization_details".into()));
    let told = begin(&array(&[BOTH])).await.tokens();
    let user_code = told["user_code"].as_str().unwrap().to_owned();
    let asked = DescribeDeviceAuthorizationRequest { user_code: user_code.clone() };
    let described = devices.describe_device_authorization(asked).await.unwrap().into_inner();
    assert_eq!(described.authorization_details, structures(&[BOTH]));
    let allow = |objects: &[&str]| ApproveDeviceAuthorizationRequest {
        user_code: user_code.clone(),
        grant: Some(IssueRequest { authorization_details: structures(objects), ..alice("web-app", "") }),
    };
    let more = devices.approve_device_authorization(allow(&[WIRED])).await;
    assert_eq!(refusal(more), (Code::InvalidArgument, "INVALID_AUTHORIZATION_DETAILS".into()));
    devices.approve_device_authorization(allow(&[READ])).await.unwrap();
    let code = told["device_code"].as_str().unwrap();
    let fields = [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", code)];
    let both = array(&[BOTH]);
    let wider = [fields.as_slice(), &[("authorization_details", both.as_str())]].concat();
    assert_eq!(server.web(TOKEN, &wider).await.refusal(), (400, "invalid_authorization_details".into()));
    let tokens = server.web(TOKEN, &fields).await.tokens();
    assert_eq!(tokens["authorization_details"], values(&[READ]), "what was refused consumed nothing");
}

#[tokio::test]
async fn s089_types_of_details_are_advertised_where_there_are_some() {
    let document = async |server: &Server| {
        super::raw::Asking::get(server.replica.http, "/.well-known/oauth-authorization-server").send().await.json()
    };
    let types = document(&Server::start().await).await;
    assert_eq!(types["authorization_details_types_supported"], json!(["order", "payment"]));
    let none = Server::start_with(|settings| {
        let mut resources: Vec<_> = settings.resources.iter().cloned().collect();
        resources.iter_mut().for_each(|resource| resource.details_types.clear());
        settings.resources = jeton_domain::resource::Resources::new(resources);
    });
    assert_eq!(document(&none.await).await.get("authorization_details_types_supported"), None);
}

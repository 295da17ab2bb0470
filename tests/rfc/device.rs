//! The device flow (RFC 8628): the device speaks HTTP, the login service gRPC.

use super::Server;
use super::raw::{Answer, Asking};
use crate::world::{ORDERS, Replica, SCOPES, WEB_SECRET, World, alice, mobile, refusal, secret};
use jeton::api::device_service_client::DeviceServiceClient;
use jeton::api::revoke_request::Target;
use jeton::api::{
    ApproveDeviceAuthorizationRequest, ApproveDeviceAuthorizationResponse, Confirmation, DenyDeviceAuthorizationRequest,
    DescribeDeviceAuthorizationRequest, DescribeDeviceAuthorizationResponse, ExchangeDeviceCodeRequest, IssueRequest,
    ListGrantsRequest, StartDeviceAuthorizationRequest,
};
use jeton::config::Settings;
use jeton_domain::client::GrantType;
use jeton_domain::device::Guesses;
use serde_json::Value;
use tonic::transport::Channel;
use tonic::{Code, Status};

const PAGE: &str = "https://login.example.com/device";
const START: &str = "/oauth2/device_authorization";
const TOKEN: &str = "/oauth2/token";
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

pub(super) fn with_page(settings: &mut Settings) {
    settings.login.verification_uri = Some(PAGE.into());
}

/// What a device was told.
pub(super) struct Device {
    pub(super) code: String,
    user_code: String,
}

/// What the television of alice does and what its page does, at one replica.
impl Replica {
    async fn devices(&self) -> DeviceServiceClient<Channel> {
        DeviceServiceClient::connect(format!("http://{}", self.address)).await.unwrap()
    }

    /// The mobile application, which is public, asks.
    pub(super) async fn begin(&self, scope: &str) -> Device {
        let fields = [("client_id", "mobile-app"), ("scope", scope)];
        let told = Asking::post(self.http, START).form(&fields).send().await.tokens();
        Device { code: told["device_code"].as_str().unwrap().into(), user_code: told["user_code"].as_str().unwrap().into() }
    }

    pub(super) async fn poll(&self, device: &Device) -> Answer {
        self.poll_with(&device.code).await
    }

    pub(super) async fn poll_with(&self, code: &str) -> Answer {
        let fields = [("grant_type", DEVICE_CODE), ("device_code", code), ("client_id", "mobile-app")];
        Asking::post(self.http, TOKEN).form(&fields).send().await
    }

    pub(super) async fn waits(&self, device: &Device, word: &str) {
        assert_eq!(self.poll(device).await.refusal(), (400, word.into()));
    }

    async fn try_describe(&self, user_code: &str) -> Result<DescribeDeviceAuthorizationResponse, Status> {
        let asked = DescribeDeviceAuthorizationRequest { user_code: user_code.into() };
        self.devices().await.describe_device_authorization(asked).await.map(tonic::Response::into_inner)
    }

    async fn try_approve(&self, user_code: &str, grant: IssueRequest) -> Result<ApproveDeviceAuthorizationResponse, Status> {
        let asked = ApproveDeviceAuthorizationRequest { user_code: user_code.into(), grant: Some(grant) };
        self.devices().await.approve_device_authorization(asked).await.map(tonic::Response::into_inner)
    }

    /// Alice allows all that was asked for.
    pub(super) async fn approve(&self, device: &Device) -> ApproveDeviceAuthorizationResponse {
        self.try_approve(&device.user_code, alice("mobile-app", "")).await.unwrap()
    }

    async fn try_deny(&self, user_code: &str) -> Result<(), Status> {
        let asked = DenyDeviceAuthorizationRequest { user_code: user_code.into() };
        self.devices().await.deny_device_authorization(asked).await.map(drop)
    }

    async fn grants_of_alice(&self) -> usize {
        self.list(ListGrantsRequest { sub: "alice".into(), ..Default::default() }).await.grants.len()
    }
}

pub(super) async fn server() -> Server {
    Server::start_with(with_page).await
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn unknown<T: std::fmt::Debug>(answer: Result<T, Status>) {
    assert_eq!(refusal(answer), (Code::NotFound, "USER_CODE_UNKNOWN".into()));
}

#[tokio::test]
async fn a_device_is_authorized_on_another_screen_and_refreshes_from_then_on() {
    let server = server().await;
    let told = server.post(START, &[("client_id", "mobile-app"), ("scope", SCOPES)]).send().await.tokens();
    assert_eq!((&told["verification_uri"], &told["expires_in"], &told["interval"]), (&PAGE.into(), &600.into(), &5.into()));
    let user_code = text(&told["user_code"]);
    assert_eq!(told["verification_uri_complete"], format!("{PAGE}?user_code={user_code}"));
    let device = Device { code: text(&told["device_code"]).into(), user_code: user_code.into() };
    assert!(device.code.starts_with("jdc_"));
    server.replica.waits(&device, "authorization_pending").await;

    // Typed as people type.
    let typed = user_code.to_lowercase().replace('-', "");
    let described = server.replica.try_describe(&typed).await.unwrap();
    assert_eq!((described.client_id.as_str(), described.scope.as_str(), described.expires_in), ("mobile-app", SCOPES, 600));
    server.world.pass(60);
    let approved = server.replica.approve(&device).await;
    assert_eq!(server.replica.grants_of_alice().await, 0, "nobody holds anything of it yet");

    let tokens = server.replica.poll(&device).await.tokens();
    assert_eq!(tokens["scope"], SCOPES);
    let access = server.replica.introspect(text(&tokens["access_token"])).await;
    assert_eq!((access.sub.as_str(), access.sid, access.grant_id), ("alice", approved.sid, approved.grant_id.clone()));
    assert_eq!(access.auth_time, server.world.now(), "when she signed in");
    assert!(tokens["id_token"].is_string());
    assert_eq!(server.replica.grants_of_alice().await, 1);
    let grant = server.replica.grant(&approved.grant_id).await;
    assert_eq!(grant.authentication.unwrap().method(), jeton::api::GrantType::DeviceCode);
    server.replica.refresh(mobile(text(&tokens["refresh_token"]))).await;
}

#[tokio::test]
async fn s091_who_polls_too_soon_must_wait_five_seconds_longer() {
    let server = server().await;
    let device = server.replica.begin(SCOPES).await;
    server.replica.waits(&device, "authorization_pending").await;
    server.world.pass(5);
    server.replica.waits(&device, "authorization_pending").await;
    server.world.pass(4);
    server.replica.waits(&device, "slow_down").await;
    server.world.pass(5);
    server.replica.waits(&device, "slow_down").await;
    server.world.pass(15);
    server.replica.waits(&device, "authorization_pending").await;
    server.world.pass(10);
    server.replica.waits(&device, "slow_down").await;
    server.replica.approve(&device).await;
    server.replica.poll(&device).await.tokens();
}

#[tokio::test]
async fn s091_codes_expire_by_the_clock() {
    let server = server().await;
    let device = server.replica.begin(SCOPES).await;
    server.world.pass(599);
    server.replica.waits(&device, "authorization_pending").await;
    server.replica.try_describe(&device.user_code).await.unwrap();
    server.world.pass(1);
    server.replica.waits(&device, "expired_token").await;
    unknown(server.replica.try_describe(&device.user_code).await);
    unknown(server.replica.try_approve(&device.user_code, alice("mobile-app", "")).await);
    unknown(server.replica.try_deny(&device.user_code).await);
    let allowed = server.replica.begin(SCOPES).await;
    server.replica.approve(&allowed).await;
    server.world.pass(600);
    server.replica.waits(&allowed, "expired_token").await;
    assert_eq!(server.replica.grants_of_alice().await, 0);
    server.world.pass(2 * 3_600);
    server.replica.waits(&allowed, "invalid_grant").await;
}

#[tokio::test]
async fn s091_a_code_is_redeemed_once_and_a_lost_reply_is_answered_again() {
    let server = server().await;
    for scope in [SCOPES, "offline_access payments:read", "openid orders:read", "payments:read"] {
        let device = server.replica.begin(scope).await;
        server.replica.approve(&device).await;
        let before = server.replica.grants_of_alice().await;
        let lost = server.replica.poll(&device).await.tokens();
        server.world.pass(9);
        let again = server.replica.poll(&device).await.tokens();
        assert_eq!(lost.get("refresh_token"), again.get("refresh_token"), "{scope}");
        for tokens in [&lost, &again] {
            assert!(server.replica.active(text(&tokens["access_token"])).await, "{scope}");
        }
        assert!(server.replica.grants_of_alice().await <= before + 1, "{scope}");
        server.world.pass(1);
        server.replica.waits(&device, "invalid_grant").await;
        assert!(server.replica.active(text(&again["access_token"])).await, "a device that polls on harms nobody: {scope}");
    }
}

#[tokio::test]
async fn a_code_whose_refresh_token_came_back_is_spent() {
    let server = server().await;
    let device = server.replica.begin(SCOPES).await;
    server.replica.approve(&device).await;
    let tokens = server.replica.poll(&device).await.tokens();
    let next = server.replica.refresh(mobile(text(&tokens["refresh_token"]))).await;
    server.replica.waits(&device, "invalid_grant").await;
    server.replica.refresh(mobile(&next.refresh_token)).await;
}

#[tokio::test]
async fn many_polls_at_once_are_one_grant() {
    let server = server().await;
    let device = server.replica.begin(SCOPES).await;
    server.replica.approve(&device).await;
    let polls = futures_util::future::join_all((0..16).map(|_| server.replica.poll(&device))).await;
    let tokens: Vec<Value> = polls.iter().map(Answer::tokens).collect();
    assert!(tokens.iter().all(|one| one["refresh_token"] == tokens[0]["refresh_token"]));
    assert_eq!(server.replica.grants_of_alice().await, 1);
}

#[tokio::test]
async fn s091_guessing_is_limited_and_right_codes_do_not_count() {
    let server = server().await;
    let device = server.replica.begin(SCOPES).await;
    for _ in 0..2 * Guesses::MOST {
        server.replica.try_describe(&device.user_code).await.unwrap();
    }
    // Every other letter in the place of its last.
    let (front, last) = device.user_code.split_at(8);
    let wrong = "BCDFGHJKLMNPQRSTVWXZ".chars().map(|letter| format!("{front}{letter}")).filter(|code| !code.ends_with(last));
    for code in wrong.clone().chain(wrong).take(usize::try_from(Guesses::MOST).unwrap()) {
        unknown(server.replica.try_describe(&code).await);
    }
    let limited = (Code::ResourceExhausted, "TOO_MANY_GUESSES".to_owned());
    assert_eq!(refusal(server.replica.try_describe("BBBB-BBBB").await), limited);
    assert_eq!(refusal(server.replica.try_approve("BBBB-BBBB", alice("mobile-app", "")).await), limited);
    assert_eq!(refusal(server.replica.try_deny("BBBB-BBBB").await), limited);
    assert_eq!(refusal(server.replica.try_describe(&device.user_code).await), limited, "the right one no more than others");
    server.world.pass(1);
    server.replica.approve(&device).await;
}

#[tokio::test]
async fn a_denied_device_is_told_so_and_gets_nothing() {
    let server = server().await;
    let device = server.replica.begin(SCOPES).await;
    server.replica.try_deny(&device.user_code).await.unwrap();
    server.replica.try_deny(&device.user_code).await.unwrap();
    server.replica.waits(&device, "access_denied").await;
    unknown(server.replica.try_describe(&device.user_code).await);
    unknown(server.replica.try_approve(&device.user_code, alice("mobile-app", "")).await);
    server.replica.waits(&device, "access_denied").await;
}

#[tokio::test]
async fn the_first_who_approves_decides() {
    let server = server().await;
    let device = server.replica.begin(SCOPES).await;
    let approved = server.replica.approve(&device).await;
    let again = server.replica.approve(&device).await;
    assert_eq!((approved.grant_id, approved.sid), (again.grant_id, again.sid), "safe to repeat");
    let mallory = IssueRequest { sub: "mallory".into(), ..alice("mobile-app", "") };
    unknown(server.replica.try_approve(&device.user_code, mallory).await);
    unknown(server.replica.try_deny(&device.user_code).await);
    let tokens = server.replica.poll(&device).await.tokens();
    assert_eq!(server.replica.introspect(text(&tokens["access_token"])).await.sub, "alice");
}

#[tokio::test]
async fn another_client_cannot_poll_with_the_code_and_harms_nothing() {
    let server = server().await;
    let device = server.replica.begin(SCOPES).await;
    server.replica.approve(&device).await;
    let fields = [("grant_type", DEVICE_CODE), ("device_code", device.code.as_str())];
    assert_eq!(server.web(TOKEN, &fields).await.refusal(), (400, "invalid_grant".into()));
    assert_eq!(server.job(TOKEN, &fields).await.refusal(), (400, "unauthorized_client".into()));
    let unproved = [&fields[..], &[("client_id", "web-app")]].concat();
    assert_eq!(server.post(TOKEN, &unproved).send().await.refusal(), (401, "invalid_client".into()));
    for nothing in ["jdc_", "jdc_AAAAAAAAAAAAAAAAAAAAAA", "jrt_x", "x"] {
        let fields = [("grant_type", DEVICE_CODE), ("device_code", nothing), ("client_id", "mobile-app")];
        assert_eq!(server.post(TOKEN, &fields).send().await.refusal(), (400, "invalid_grant".into()), "{nothing}");
    }
    server.replica.poll(&device).await.tokens();
}

#[tokio::test]
async fn what_is_revoked_between_approval_and_poll_is_dead() {
    let server = server().await;
    let approved = async || {
        let device = server.replica.begin(SCOPES).await;
        let approved = server.replica.approve(&device).await;
        (device, approved)
    };
    let (first, of_first) = approved().await;
    let (second, of_second) = approved().await;
    server.replica.revoke(Target::GrantId(of_first.grant_id)).await;
    server.replica.waits(&first, "access_denied").await;
    let session = jeton::api::SessionTarget { sid: of_second.sid, ..Default::default() };
    server.replica.revoke(Target::Session(session)).await;
    server.replica.waits(&second, "access_denied").await;
    for scope in [SCOPES, "openid orders:read"] {
        let device = server.replica.begin(scope).await;
        server.replica.approve(&device).await;
        server.replica.revoke(Target::Sub("alice".into())).await;
        server.replica.waits(&device, "access_denied").await;
    }
    // Once the log has forgotten, the records say it.
    let (third, _) = approved().await;
    let (fourth, of_fourth) = approved().await;
    server.replica.revoke(Target::GrantId(of_fourth.grant_id)).await;
    server.replica.app.alive.settle().await.unwrap();
    server.replica.waits(&fourth, "access_denied").await;
    let tokens = server.replica.poll(&third).await.tokens();
    server.replica.revoke(Target::Sub("alice".into())).await;
    server.replica.waits(&third, "access_denied").await;
    assert!(!server.replica.active(text(&tokens["access_token"])).await);
    assert_eq!(server.replica.grants_of_alice().await, 0);
}

#[tokio::test]
async fn the_user_may_narrow_what_was_asked_for_and_nobody_widens_it() {
    let server = server().await;
    let device = server.replica.begin("openid offline_access orders:read orders:write").await;
    let approve = async |grant: IssueRequest| server.replica.try_approve(&device.user_code, grant).await;
    let wider = approve(alice("mobile-app", "orders:read payments:read")).await;
    assert_eq!(refusal(wider), (Code::InvalidArgument, "INVALID_SCOPE".into()));
    let invalid = [
        alice("web-app", ""),
        IssueRequest { nonce: "n".into(), ..alice("mobile-app", "") },
        IssueRequest { sub: String::new(), ..alice("mobile-app", "") },
        IssueRequest {
            authentication: Some(jeton::api::AuthenticationContext {
                method: jeton::api::GrantType::Password.into(),
                ..Default::default()
            }),
            ..alice("mobile-app", "")
        },
    ];
    for grant in invalid {
        assert_eq!(refusal(approve(grant.clone()).await), (Code::InvalidArgument, "INVALID_FIELD".into()), "{grant:?}");
    }
    approve(alice("mobile-app", "openid orders:read")).await.unwrap();
    let tokens = server.replica.poll(&device).await.tokens();
    assert_eq!((text(&tokens["scope"]), tokens.get("refresh_token")), ("openid orders:read", None));
}

#[tokio::test]
async fn a_device_asks_for_what_its_client_may_have_or_is_refused_at_once() {
    let server = server().await;
    let asked =
        async |fields: &[(&str, &str)]| server.post(START, &[fields, &[("client_id", "mobile-app")]].concat()).send().await;
    assert_eq!(asked(&[("scope", "admin")]).await.refusal(), (400, "invalid_scope".into()));
    let foreign = [("scope", "orders:read"), ("resource", "https://nowhere.internal")];
    assert_eq!(asked(&foreign).await.refusal(), (400, "invalid_target".into()));
    assert_eq!(asked(&[("scope", "orders:read"), ("scope", "orders:read")]).await.refusal(), (400, "invalid_request".into()));
    asked(&[("scope", "orders:read"), ("resource", ORDERS)]).await.tokens();
    let named = server.post(START, &[("client_id", "web-app"), ("scope", "orders:read")]).send().await;
    assert_eq!(named.refusal(), (401, "invalid_client".into()));
    server.web(START, &[("scope", "orders:read")]).await.tokens();
    assert_eq!(server.job(START, &[("scope", "orders:read")]).await.refusal(), (400, "unauthorized_client".into()));
    assert_eq!(Asking::get(server.replica.http, START).send().await.status, 405);
}

#[tokio::test]
async fn a_grant_bound_to_a_certificate_is_handed_to_its_holder_only() {
    let server = server().await;
    let mut devices = server.replica.devices().await;
    let asked = StartDeviceAuthorizationRequest {
        client_id: "web-app".into(),
        client_authentication: secret(WEB_SECRET),
        scope: SCOPES.into(),
        ..Default::default()
    };
    let told = devices.start_device_authorization(asked).await.unwrap().into_inner();
    let thumbprint = "A".repeat(43);
    let cnf = Some(Confirmation { x5t_s256: thumbprint.clone(), ..Default::default() });
    server.replica.try_approve(&told.user_code, IssueRequest { cnf, ..alice("web-app", "") }).await.unwrap();
    let mut poll = ExchangeDeviceCodeRequest {
        device_code: told.device_code,
        client_id: "web-app".into(),
        client_authentication: secret(WEB_SECRET),
        ..Default::default()
    };
    let unproved = devices.exchange_device_code(poll.clone()).await;
    assert_eq!(refusal(unproved), (Code::FailedPrecondition, "REFRESH_TOKEN_REFUSED".into()));
    poll.client_authentication.as_mut().unwrap().certificate_thumbprint = thumbprint;
    let tokens = devices.exchange_device_code(poll).await.unwrap().into_inner().tokens.unwrap();
    assert!(server.replica.active(&tokens.access_token).await);
}

/// A device code is proved by no root key.
#[tokio::test]
async fn what_a_user_allowed_outlives_the_root_key_of_that_time() {
    let mut world = World::memory().await;
    with_page(&mut world.settings);
    let old = world.start().await;
    let device = old.begin(SCOPES).await;
    old.approve(&device).await;
    let server = world.start_with(&Settings { root_keys: crate::world::ring(&[2, 1]), ..world.settings.clone() }).await;
    let burnt = old.app.records.roots().active().to_string();
    server.revoke(Target::RootKeyId(burnt)).await;
    let tokens = server.poll(&device).await.tokens();
    assert!(server.active(text(&tokens["access_token"])).await);
    server.refresh(mobile(text(&tokens["refresh_token"]))).await;
}

/// What one replica began, another describes, a third approves under a newer root key, and any answers the poll.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_on_one_store_serve_one_device() {
    let mut world = World::redis(&[]).await;
    with_page(&mut world.settings);
    let first = world.start().await;
    let device = first.begin(SCOPES).await;
    let mut rolled = world.settings.clone();
    rolled.root_keys = crate::world::ring(&[2, 1]);
    let second = world.start_with(&rolled).await;
    first.waits(&device, "authorization_pending").await;
    second.waits(&device, "slow_down").await;
    second.try_describe(&device.user_code).await.unwrap();
    let third = world.start_with(&Settings { root_keys: crate::world::ring(&[1, 2]), ..rolled }).await;
    second.approve(&device).await;
    let tokens = third.poll(&device).await.tokens();
    assert_eq!(second.poll(&device).await.tokens()["refresh_token"], tokens["refresh_token"]);
    assert!(second.active(text(&tokens["access_token"])).await);
    let revoked = third.begin(SCOPES).await;
    third.approve(&revoked).await;
    second.revoke(Target::Sub("alice".into())).await;
    third.waits(&revoked, "access_denied").await;

    let redis = world.redis.as_ref().unwrap();
    let keys: Vec<String> = redis.ask(&["KEYS", "*"]).await;
    let of_devices: Vec<&String> = keys.iter().filter(|key| key.contains(":d:") || key.contains(":u:")).collect();
    assert_eq!(of_devices.len(), 4, "{keys:?}");
    for key in of_devices {
        let dumped: Vec<u8> = redis.ask(&["DUMP", key]).await;
        let said = key.clone() + &String::from_utf8_lossy(&dumped);
        for word in [
            "alice",
            "mobile-app",
            "orders",
            device.code.get(4..24).unwrap(),
            &device.user_code,
            &device.user_code.replace('-', ""),
        ] {
            assert!(!said.contains(word), "{key} says {word}");
        }
        assert!(redis.ask::<i64>(&["PTTL", key]).await > 0, "{key} is forgotten some day");
    }
}

#[tokio::test]
async fn s089_devices_are_advertised_where_they_are_served_and_only_there() {
    let server = server().await;
    let path = "/.well-known/oauth-authorization-server";
    let document = Asking::get(server.replica.http, path).send().await.json();
    assert_eq!(document["device_authorization_endpoint"], format!("{}{START}", crate::world::ISSUER));
    let advertised = |document: &Value| document["grant_types_supported"].as_array().unwrap().contains(&DEVICE_CODE.into());
    assert!(advertised(&document));

    let server = Server::start().await;
    let document = Asking::get(server.replica.http, path).send().await.json();
    assert_eq!((document.get("device_authorization_endpoint"), advertised(&document)), (None, false));
    let fields = [("client_id", "mobile-app"), ("scope", SCOPES)];
    assert_eq!(server.post(START, &fields).send().await.refusal().0, 404);
    let fields = [("grant_type", DEVICE_CODE), ("device_code", "jdc_x"), ("client_id", "mobile-app")];
    assert_eq!(server.post(TOKEN, &fields).send().await.refusal(), (400, "unsupported_grant_type".into()));
    let asked = StartDeviceAuthorizationRequest { client_id: "mobile-app".into(), scope: SCOPES.into(), ..Default::default() };
    let started = server.replica.devices().await.start_device_authorization(asked).await;
    assert_eq!(refusal(started), (Code::PermissionDenied, "UNAUTHORIZED_CLIENT".into()));
}

#[tokio::test]
async fn a_client_that_may_not_have_devices_is_refused() {
    let mut world = World::memory().await;
    with_page(&mut world.settings);
    world.settings = world.with_client("mobile-app", |client| client.grant_types.retain(|one| *one != GrantType::DeviceCode));
    let replica = world.start().await;
    let fields = [("client_id", "mobile-app"), ("scope", SCOPES)];
    let refused = Asking::post(replica.http, START).form(&fields).send().await;
    assert_eq!(refused.refusal(), (400, "unauthorized_client".into()));
}

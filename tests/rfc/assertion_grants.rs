//! Assertions as grants (RFC 7523 section 2.1): of issuers that are configured, once, and no more than was allowed.

use super::Server;
use super::assertions::set;
use super::proof::{Proof, Prover};
use super::raw::Answer;
use crate::on_every_store;
use crate::world::{ISSUER, JOB_SECRET, ORDERS, PAYMENTS, Replica, World, alice, refusal};
use jeton::api::revoke_request::Target;
use jeton::api::{ConsentTarget, IssueRequest};
use jeton::config::Settings;
use jeton_domain::client::GrantType;
use jeton_domain::issuer::{Issuer, Issuers};
use jeton_domain::jwk::KeySource;
use jeton_domain::name::{ClientId, ResourceId};
use jeton_domain::policy::AuthenticationPolicy;
use jeton_domain::scope::Scopes;
use jeton_domain::time::Millis;
use serde_json::{Value, json};
use tonic::Code;

const TOKEN: &str = "/oauth2/token";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const PARTNER: &str = "https://partner.example.com";

on_every_store! {
    rfc7523_2_1_an_assertion_gives_one_token_on_all_replicas_that_dies_with_its_subject_and_client,
}

/// The partner's assertions may be shown by the billing job, for reading orders and payments.
fn trusts(settings: &mut Settings, prover: &Prover) {
    let resources = [ORDERS, PAYMENTS].map(|id| ResourceId::parse("resource", id).unwrap());
    settings.issuers = Issuers::new(vec![Issuer {
        id: PARTNER.into(),
        keys: KeySource::Inline(set(&[prover.jwk()])),
        audience: None,
        lifetime: Millis::from_secs(600),
        subject_prefix: "partner:".into(),
        clients: vec![ClientId::parse("client_id", "billing-job").unwrap(), ClientId::parse("client_id", "web-app").unwrap()],
        scopes: Scopes::parse("scope", "orders:read payments:read").unwrap(),
        resources: resources.to_vec(),
    }]);
    let job = settings.clients.iter_mut().find(|client| client.id.as_str() == "billing-job").unwrap();
    job.grant_types.push(GrantType::JwtBearer);
}

async fn ask(replica: &Replica, scope: &str, assertion: &str) -> Answer {
    let fields = [
        ("grant_type", JWT_BEARER),
        ("assertion", assertion),
        ("scope", scope),
        ("client_id", "billing-job"),
        ("client_secret", JOB_SECRET),
    ];
    super::raw::Asking::post(replica.http, TOKEN).form(&fields).send().await
}

#[track_caller]
fn is_refused(answer: &Answer, why: &str) {
    assert_eq!(answer.refusal(), (400, "invalid_grant".into()), "{why}");
    assert_eq!(answer.json()["reason"], "ASSERTION_REFUSED", "{why}");
}

struct Trusting {
    server: Server,
    prover: Prover,
}

impl Trusting {
    async fn start() -> Self {
        let prover = Prover::new();
        Self { server: Server::start_with(|settings| trusts(settings, &prover)).await, prover }
    }

    /// The partner speaks of its carol.
    fn made(&self) -> Proof<'_> {
        self.prover.assertion(PARTNER, "carol", self.server.world.now())
    }

    async fn ask(&self, assertion: &str) -> Answer {
        ask(&self.server.replica, "orders:read", assertion).await
    }
}

async fn rfc7523_2_1_an_assertion_gives_one_token_on_all_replicas_that_dies_with_its_subject_and_client(mut world: World) {
    let prover = Prover::ed25519();
    world.settings = world.with_resource(PAYMENTS, |payments| payments.policy = AuthenticationPolicy::default());
    trusts(&mut world.settings, &prover);
    let [one, two] = [world.start().await, world.start().await];
    let made = || prover.assertion(PARTNER, "carol", world.now()).signed();
    let ends = [
        Target::Sub("partner:carol".into()),
        Target::ClientId("billing-job".into()),
        Target::Consent(ConsentTarget { sub: "partner:carol".into(), client_id: "billing-job".into() }),
    ];
    // A JWT, and an opaque token, which has a record.
    for scope in ["orders:read", "payments:read"] {
        for end in ends.clone() {
            let assertion = made();
            let tokens = ask(&one, scope, &assertion).await.tokens();
            assert_eq!((&tokens["scope"], tokens.get("refresh_token"), tokens.get("id_token")), (&json!(scope), None, None));
            let token = tokens["access_token"].as_str().unwrap();
            let said = two.introspect(token).await;
            assert!(said.active, "{scope}");
            assert_eq!((said.sub.as_str(), said.client_id.as_str(), said.sid.as_str()), ("partner:carol", "billing-job", ""));
            assert_eq!(said.auth_time, 0, "when and how she signed in is not known here");
            for replica in [&one, &two] {
                is_refused(&ask(replica, scope, &assertion).await, "shown before");
            }
            one.revoke(end).await;
            assert!(!two.active(token).await, "{scope}");
        }
    }
}

#[tokio::test]
async fn rfc7523_3_an_assertion_is_of_an_issuer_that_is_configured_for_us_and_of_now() {
    let trusting = Trusting::start().await;
    let now = trusting.server.world.now();
    for (claim, value) in [
        ("iss", json!("https://other.example.com")),
        ("iss", json!(format!("{PARTNER}/"))),
        ("iss", json!(ISSUER)),
        ("iss", json!("billing-job")),
        ("aud", json!([ISSUER, PARTNER])),
        ("aud", json!(PARTNER)),
        ("aud", Value::Null),
        ("exp", json!(now)),
        ("exp", json!(now + 601)),
        ("exp", Value::Null),
        ("iat", json!(now + 61)),
        ("nbf", json!(now + 61)),
        ("jti", Value::Null),
        ("sub", Value::Null),
        ("sub", json!("")),
        ("sub", json!("x".repeat(255))),
    ] {
        let why = format!("{claim} {value}");
        is_refused(&trusting.ask(&trusting.made().claim(claim, value).signed()).await, &why);
    }
    for (member, value) in [
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("typ", json!("at+jwt")),
        ("typ", json!("client-authentication+jwt")),
        ("kid", json!("x")),
        ("crit", json!(["exp"])),
    ] {
        let why = format!("{member} {value}");
        is_refused(&trusting.ask(&trusting.made().header(member, value).signed()).await, &why);
    }
    is_refused(&trusting.ask(&trusting.made().signed_by(&Prover::new())).await, "another key");
    is_refused(
        &trusting.ask(&trusting.made().header("jwk", Prover::new().jwk()).signed_by(&Prover::new())).await,
        "a key in the header",
    );
    for text in ["x", "a.b.c"] {
        is_refused(&trusting.ask(text).await, text);
    }
    // Nothing of ours is one, though we signed it.
    let own = trusting.server.signed_in().await;
    for token in [&own.access_token, &own.id_token, &own.refresh_token] {
        is_refused(&trusting.ask(token).await, "a token of ours");
    }
    trusting.ask(&trusting.made().signed()).await.tokens();
    trusting.ask(&trusting.made().header("typ", "authorization-grant+jwt").signed()).await.tokens();
}

#[tokio::test]
async fn rfc7523_2_1_an_assertion_gives_what_issuer_and_client_may_both_and_policies_hold() {
    let trusting = Trusting::start().await;
    let server = &trusting.server;
    // `payments:write` is the client's and not the issuer's, `orders:write` neither's; `openid` needs a sign-in here.
    for scope in ["payments:write", "orders:write", "openid orders:read", "offline_access orders:read"] {
        let answer = ask(&server.replica, scope, &trusting.made().signed()).await;
        assert_eq!(answer.refusal(), (400, "invalid_scope".into()), "{scope}");
    }
    // What was refused before may be shown again.
    let assertion = trusting.made().signed();
    assert_eq!(ask(&server.replica, "orders:write", &assertion).await.status, 400);
    ask(&server.replica, "orders:read", &assertion).await.tokens();
    // Payments demand a second factor, and who asserts does not say.
    let mfa = ask(&server.replica, "payments:read", &trusting.made().signed()).await;
    assert_eq!(mfa.refusal(), (400, "insufficient_user_authentication".into()));
    // Another client: configured for the issuer, not for the flow.
    let fields = [("grant_type", JWT_BEARER), ("assertion", &trusting.made().signed()), ("scope", "orders:read")];
    assert_eq!(server.web(TOKEN, &fields).await.refusal(), (400, "unauthorized_client".into()));
    assert_eq!(server.post(TOKEN, &fields).send().await.refusal(), (401, "invalid_client".into()));
    assert_eq!(server.job(TOKEN, &fields[..1]).await.refusal(), (400, "invalid_request".into()), "no assertion");
}

#[tokio::test]
async fn rfc7523_2_1_nobody_else_is_called_as_the_subjects_of_an_issuer() {
    let trusting = Trusting::start().await;
    let server = &trusting.server;
    let issued = server.replica.try_issue(IssueRequest { sub: "partner:carol".into(), ..alice("web-app", "orders:read") }).await;
    assert_eq!(refusal(issued), (Code::InvalidArgument, "INVALID_FIELD".into()));
    server.replica.issue(IssueRequest { sub: "partner".into(), ..alice("web-app", "orders:read") }).await;
    // Nor a client, whose own tokens have its id as their subject.
    let called = |id: &str| {
        let prover = &trusting.prover;
        let named = ClientId::parse("client_id", id).unwrap();
        Server::start_with(move |settings| {
            trusts(settings, prover);
            settings.clients.iter_mut().find(|client| client.id.as_str() == "billing-job").unwrap().id = named;
        })
    };
    for (id, refused) in [("partner:carol", true), ("partner", false)] {
        let fields =
            [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", JOB_SECRET), ("scope", "orders:read")];
        let answer = called(id).await.post(TOKEN, &fields).send().await;
        if refused {
            assert_eq!(answer.refusal(), (400, "invalid_request".into()));
        } else {
            assert_eq!(answer.status, 200);
        }
    }
    // A caller vouches for its users by other flows.
    let mut asked = alice("billing-job", "orders:read");
    asked.authentication.as_mut().unwrap().method = jeton::api::GrantType::JwtBearer.into();
    assert_eq!(refusal(server.replica.try_issue(asked).await), (Code::InvalidArgument, "INVALID_FIELD".into()));
}

#[tokio::test]
async fn rfc9396_no_details_are_given_that_no_user_allowed() {
    let trusting = Trusting::start().await;
    let assertion = trusting.made().signed();
    let fields = [("grant_type", JWT_BEARER), ("assertion", &assertion), ("scope", "orders:read")];
    let details = [("authorization_details", r#"[{"type":"order"}]"#)];
    let refused = trusting.server.job(TOKEN, &[fields.as_slice(), &details].concat()).await.refusal();
    assert_eq!(refused, (400, "invalid_authorization_details".into()));
    trusting.server.job(TOKEN, &fields).await.tokens();
}

#[tokio::test]
async fn s089_assertions_are_advertised_where_an_issuer_is_configured() {
    let advertised = async |server: &Server| {
        let path = "/.well-known/oauth-authorization-server";
        let document = super::raw::Asking::get(server.replica.http, path).send().await.json();
        document["grant_types_supported"].as_array().unwrap().contains(&json!(JWT_BEARER))
    };
    assert!(advertised(&Trusting::start().await.server).await);
    assert!(!advertised(&Server::start().await).await);
}

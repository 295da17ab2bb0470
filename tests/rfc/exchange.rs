//! Token exchange (RFC 8693).

use super::Server;
use super::codes::{RIGHT, with_places};
use super::proof::Prover;
use super::raw::{Answer, basic};
use crate::world::{JOB_SECRET, ORDERS, PAYMENTS, SCOPES, WEB_SECRET, alice, secret};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton::api::revoke_request::Target;
use jeton::api::{Confirmation, IssueRequest, RevokeRequest};
use jeton::config::Settings;
use jeton_domain::client::{Client, GrantType};
use jeton_domain::name::{ClientId, ResourceId};
use serde_json::{Value, json};

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const TOKEN: &str = "/oauth2/token";

/// The billing job is the server of both resources, and exchanges what it is sent. So is and does the shipping job, by the same secret.
pub fn with_exchange(settings: &mut Settings) {
    with_places(settings);
    let job = settings.clients.iter_mut().find(|client| client.id.as_str() == "billing-job").unwrap();
    job.grant_types.push(GrantType::TokenExchange);
    job.serves = [ORDERS, PAYMENTS].map(|id| ResourceId::parse("serves", id).unwrap()).into();
    let shipping = Client { id: ClientId::parse("client_id", "shipping-job").unwrap(), ..job.clone() };
    settings.clients.push(shipping);
}

/// The same, and what it exchanges alone names nobody.
fn with_impersonation(settings: &mut Settings) {
    with_exchange(settings);
    settings.clients.iter_mut().for_each(|client| client.impersonates = client.id.as_str() == "billing-job");
}

/// What an exchange names beside its tokens.
fn fields<'a>(token: &'a str, further: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let subject = [("grant_type", GRANT_TYPE), ("subject_token", token), ("subject_token_type", ACCESS_TOKEN)];
    [subject.as_slice(), further].concat()
}

pub fn acting(token: &str) -> [(&str, &str); 2] {
    [("actor_token", token), ("actor_token_type", ACCESS_TOKEN)]
}

fn text(tokens: &Value, member: &str) -> String {
    tokens[member].as_str().unwrap().to_owned()
}

fn claims(jwt: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[track_caller]
fn refused(answer: &Answer) {
    assert_eq!(answer.refusal(), (400, "invalid_request".into()));
    assert_eq!(answer.json()["reason"], "EXCHANGE_REFUSED");
}

impl Server {
    async fn with_exchange() -> Self {
        Self::start_with(with_exchange).await
    }

    /// Exchanged by the billing job.
    pub async fn exchange(&self, token: &str, further: &[(&str, &str)]) -> Answer {
        self.job(TOKEN, &fields(token, further)).await
    }

    async fn exchanged(&self, token: &str, further: &[(&str, &str)]) -> String {
        text(&self.exchange(token, further).await.tokens(), "access_token")
    }

    /// Exchanged by the shipping job.
    async fn shipped(&self, token: &str) -> Answer {
        let asked = self.post(TOKEN, &fields(token, &[])).header("Authorization", &basic("shipping-job", JOB_SECRET));
        asked.send().await
    }

    /// Whether it is active to the server of its resource.
    async fn lives(&self, token: &str) -> bool {
        self.job("/oauth2/introspect", &[("token", token)]).await.json()["active"].as_bool().unwrap()
    }

    /// What alice holds with the mobile application.
    async fn alices(&self, scope: &str) -> String {
        self.replica.issue(alice("mobile-app", scope)).await.access_token
    }
}

#[tokio::test]
async fn s084_the_parameters_are_named_and_nothing_but_an_access_token_is_given() {
    let server = Server::with_exchange().await;
    let token = server.alices("openid offline_access orders:read orders:write").await;
    let tokens = server.exchange(&token, &[("requested_token_type", ACCESS_TOKEN)]).await.tokens();
    let members: Vec<&str> = tokens.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["access_token", "expires_in", "issued_token_type", "scope", "token_type"]);
    assert_eq!((&tokens["issued_token_type"], &tokens["token_type"]), (&json!(ACCESS_TOKEN), &json!("Bearer")));
    assert!(server.lives(&text(&tokens, "access_token")).await);

    let other = "urn:ietf:params:oauth:token-type:id_token";
    let subject = [("grant_type", GRANT_TYPE), ("subject_token", token.as_str())];
    let typed = |named: &'static str| [&subject[..], &[("subject_token_type", named)]].concat();
    let wrong = [
        subject.to_vec(),
        vec![("grant_type", GRANT_TYPE), ("subject_token_type", ACCESS_TOKEN)],
        typed(other),
        typed("urn:ietf:params:oauth:token-type:jwt"),
        typed("urn:ietf:params:oauth:token-type:refresh_token"),
        typed("access_token"),
        fields(&token, &[("actor_token", &token)]),
        fields(&token, &[("actor_token_type", ACCESS_TOKEN)]),
        fields(&token, &[("actor_token", &token), ("actor_token_type", other)]),
        fields(&token, &[("requested_token_type", other)]),
        fields(&token, &[("subject_token", &token)]),
    ];
    for asked in wrong {
        let answer = server.job(TOKEN, &asked).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{asked:?}");
    }
}

#[tokio::test]
async fn s084_an_audience_is_named_as_a_resource_is() {
    let server = Server::with_exchange().await;
    let token = server.alices("orders:read").await;
    for named in [[("resource", ORDERS)], [("audience", ORDERS)]] {
        let exchanged = server.exchanged(&token, &named).await;
        assert_eq!(claims(&exchanged)["aud"], ORDERS);
    }
    let both = server.exchange(&token, &[("resource", ORDERS), ("audience", PAYMENTS)]).await;
    assert_eq!(both.refusal(), (400, "invalid_target".into()), "their tokens differ in format");
    for named in
        [("resource", "https://unknown.internal"), ("resource", "orders"), ("audience", "orders"), ("audience", "https://a#b")]
    {
        assert_eq!(server.exchange(&token, &[named]).await.refusal(), (400, "invalid_target".into()), "{named:?}");
    }
}

#[tokio::test]
async fn s084_only_a_client_that_may_exchanges_what_is_its_business() {
    let server = Server::with_exchange().await;
    let tokens = server.signed_in().await;
    let asked = fields(&tokens.access_token, &[]);
    assert_eq!(server.web(TOKEN, &asked).await.refusal(), (400, "unauthorized_client".into()), "it is not among its grant types");
    let public = [asked.as_slice(), &[("client_id", "mobile-app")]].concat();
    assert_eq!(server.post(TOKEN, &public).send().await.refusal(), (400, "unauthorized_client".into()));
    assert_eq!(server.post(TOKEN, &asked).send().await.refusal(), (401, "invalid_client".into()));
    let wrong = server.post(TOKEN, &asked).header("Authorization", &basic("billing-job", WEB_SECRET)).send().await;
    assert_eq!(wrong.refusal(), (401, "invalid_client".into()));

    let nobodys = Server::start_with(|settings| {
        with_exchange(settings);
        settings.clients.iter_mut().for_each(|client| client.serves.clear());
    })
    .await;
    refused(&nobodys.exchange(&nobodys.alices("orders:read").await, &[]).await);
    let own = [("grant_type", "client_credentials"), ("scope", "orders:read")];
    let own = text(&nobodys.job(TOKEN, &own).await.tokens(), "access_token");
    nobodys.exchange(&own, &[]).await.tokens();
}

#[tokio::test]
async fn s084_other_tokens_are_none_to_exchange() {
    let server = Server::with_exchange().await;
    let held = server.signed_in().await;
    let code = server.code("web-app", SCOPES).await;
    let forged = format!("{}A", held.access_token);
    for token in [&held.refresh_token, &held.id_token, &code, &forged, "nothing"] {
        refused(&server.exchange(token, &[]).await);
        refused(&server.exchange(&held.access_token, &acting(token)).await);
    }
    server.refresh(&held.refresh_token).await.tokens();
    server.redeem(&code, &RIGHT).await.tokens();
    server.replica.revoke(Target::Token(held.access_token.clone())).await;
    refused(&server.exchange(&held.access_token, &[]).await);
}

#[tokio::test]
async fn s085_act_names_who_acts_and_inside_who_did_before() {
    let server = Server::with_exchange().await;
    for (scope, resource) in [("orders:read", ORDERS), ("payments:read", PAYMENTS)] {
        let first = server.exchanged(&server.alices(scope).await, &[("resource", resource)]).await;
        let said = server.replica.introspect(&first).await;
        assert_eq!((said.sub.as_str(), said.client_id.as_str(), said.scope.as_str()), ("alice", "billing-job", scope));
        let first_said = server.job("/oauth2/introspect", &[("token", &first)]).await.json();
        assert_eq!((&first_said["act"], &first_said["client_id"]), (&json!({"sub": "billing-job"}), &json!("billing-job")));
        let second = text(&server.shipped(&first).await.tokens(), "access_token");
        let second_said = server.job("/oauth2/introspect", &[("token", &second)]).await.json();
        let nested = json!({"sub": "shipping-job", "act": {"sub": "billing-job"}});
        assert_eq!((&second_said["act"], &second_said["client_id"]), (&nested, &json!("shipping-job")));
        if resource == ORDERS {
            assert_eq!(claims(&second)["act"], nested);
            assert_eq!(claims(&second)["client_id"], "shipping-job");
        }
    }
}

#[tokio::test]
async fn s085_an_actor_token_names_who_acts() {
    let server = Server::with_exchange().await;
    let alices = server.alices("orders:read").await;
    let support = server.replica.issue(IssueRequest { sub: "support-bob".into(), ..alice("web-app", "orders:read") }).await;
    let delegated = server.exchanged(&alices, &acting(&support.access_token)).await;
    assert_eq!((&claims(&delegated)["sub"], &claims(&delegated)["act"]), (&json!("alice"), &json!({"sub": "support-bob"})));
    refused(&server.exchange(&alices, &acting(&delegated)).await);
}

#[tokio::test]
async fn s085_the_chain_is_bounded() {
    let server = Server::with_exchange().await;
    let mut token = server.alices("orders:read").await;
    for _ in 0..jeton_domain::exchange::MAX_ANCESTORS {
        token = server.exchanged(&token, &[]).await;
        assert!(server.lives(&token).await);
    }
    refused(&server.exchange(&token, &[]).await);
    assert!(token.len() < 4_096, "{} bytes", token.len());
}

#[tokio::test]
async fn s085_who_impersonates_is_named_nowhere_and_hides_nobody() {
    let server = Server::start_with(with_impersonation).await;
    let alices = server.alices("orders:read").await;
    let first = claims(&server.exchanged(&alices, &[]).await);
    assert_eq!((&first["sub"], &first["client_id"], first.get("act")), (&json!("alice"), &json!("billing-job"), None));
    let delegated = text(&server.shipped(&alices).await.tokens(), "access_token");
    assert_eq!(claims(&server.exchanged(&delegated, &[]).await)["act"], json!({"sub": "shipping-job"}));
    let bobs = server.replica.issue(IssueRequest { sub: "bob".into(), ..alice("web-app", "orders:read") }).await;
    assert_eq!(claims(&server.exchanged(&alices, &acting(&bobs.access_token)).await)["act"], json!({"sub": "bob"}));
}

#[tokio::test]
async fn s085_may_act_is_enforced_and_stays() {
    for settings in [with_exchange, with_impersonation] {
        let server = Server::start_with(settings).await;
        for scope in ["orders:read", "payments:read"] {
            let (billing, shipping, bobs) = (
                may_act(&server, scope, "billing-job").await,
                may_act(&server, scope, "shipping-job").await,
                may_act(&server, scope, "bob").await,
            );
            let first = server.exchanged(&billing, &[]).await;
            refused(&server.shipped(&billing).await);
            refused(&server.exchange(&shipping, &[]).await);
            refused(&server.exchange(&bobs, &[]).await);
            let bob = server.replica.issue(IssueRequest { sub: "bob".into(), ..alice("web-app", scope) }).await.access_token;
            server.exchange(&bobs, &acting(&bob)).await.tokens();
            refused(&server.exchange(&billing, &acting(&bob)).await);
            refused(&server.shipped(&first).await);
            let said = server.job("/oauth2/introspect", &[("token", &first)]).await.json();
            assert_eq!(said["may_act"], json!({"sub": "billing-job"}));
        }
    }
}

/// Alice's token, for which this party alone may act.
async fn may_act(server: &Server, scope: &str, party: &str) -> String {
    let value = |kind| prost_types::Value { kind: Some(kind) };
    let sub = value(prost_types::value::Kind::StringValue(party.into()));
    let may_act = prost_types::Struct { fields: [("sub".to_owned(), sub)].into() };
    let may_act = value(prost_types::value::Kind::StructValue(may_act));
    let claims = prost_types::Struct { fields: [("may_act".to_owned(), may_act)].into() };
    let asked = IssueRequest { access_token_claims: Some(claims), ..alice("mobile-app", scope) };
    server.replica.issue(asked).await.access_token
}

#[tokio::test]
async fn s086_it_ends_no_later_than_its_subject_token_and_its_actors() {
    let server = Server::with_exchange().await;
    for (scope, resource) in [("orders:read", ORDERS), ("payments:read", PAYMENTS)] {
        let alices = server.alices(scope).await;
        server.world.pass(200);
        let bobs = server.replica.issue(IssueRequest { sub: "bob".into(), ..alice("web-app", scope) }).await.access_token;
        for (tokens, left) in [
            (server.exchange(&alices, &[]).await.tokens(), 100),
            (server.exchange(&bobs, &acting(&alices)).await.tokens(), 100),
            (server.exchange(&bobs, &[]).await.tokens(), 300),
        ] {
            assert_eq!(tokens["expires_in"], left, "{resource}");
            assert_eq!(server.replica.introspect(&text(&tokens, "access_token")).await.exp, server.world.now() + left);
        }
        let last = server.exchanged(&alices, &[]).await;
        server.world.pass(100);
        assert!(!server.lives(&alices).await && !server.lives(&last).await);
        refused(&server.exchange(&alices, &[]).await);
    }
}

#[tokio::test]
async fn s086_it_has_no_scope_that_its_subject_token_lacks() {
    let server = Server::with_exchange().await;
    let token = server.alices("openid orders:read orders:write").await;
    let tokens = server.exchange(&token, &[]).await.tokens();
    assert_eq!(tokens["scope"], "orders:read", "the client may not be given the other, and user info is no resource");
    for scope in ["payments:read", "orders:read payments:read", "orders:write", "openid"] {
        assert_eq!(server.exchange(&token, &[("scope", scope)]).await.refusal(), (400, "invalid_scope".into()), "{scope}");
    }
    let elsewhere = server.exchange(&token, &[("resource", PAYMENTS)]).await.tokens();
    assert_eq!(elsewhere.get("scope"), None, "where its subject may nothing it may nothing");
}

#[tokio::test]
async fn s086_it_dies_with_its_subject_token_and_what_that_belongs_to() {
    let server = Server::with_exchange().await;
    let revocations: [fn(&jeton::api::IssueResponse) -> Target; 4] = [
        |held| Target::Token(held.access_token.clone()),
        |held| Target::Token(held.refresh_token.clone()),
        |held| Target::GrantId(held.grant_id.clone()),
        |_| Target::ClientId("mobile-app".into()),
    ];
    for revoked in revocations {
        for scope in ["offline_access orders:read", "offline_access payments:read"] {
            let held = server.replica.issue(alice("mobile-app", scope)).await;
            let first = server.exchanged(&held.access_token, &[]).await;
            let second = text(&server.shipped(&first).await.tokens(), "access_token");
            assert!(server.lives(&first).await && server.lives(&second).await);
            server.replica.revoke(revoked(&held)).await;
            assert!(!server.lives(&first).await && !server.lives(&second).await);
        }
    }
}

#[tokio::test]
async fn s086_a_client_revokes_what_it_got_and_nothing_more() {
    let server = Server::with_exchange().await;
    let alices = server.alices("orders:read").await;
    let first = server.exchanged(&alices, &[]).await;
    let second = text(&server.shipped(&first).await.tokens(), "access_token");
    assert_eq!(server.web("/oauth2/revoke", &[("token", &first)]).await.refusal(), (400, "unauthorized_client".into()));
    assert_eq!(server.job("/oauth2/revoke", &[("token", &first)]).await.status, 200);
    assert!(!server.lives(&first).await && !server.lives(&second).await);
    assert!(server.lives(&alices).await);
    // However many: they are of no grant but their own.
    for _ in 0..20 {
        let one = server.exchanged(&alices, &[]).await;
        assert_eq!(server.job("/oauth2/revoke", &[("token", &one)]).await.status, 200);
    }
    assert!(server.lives(&alices).await);
}

#[tokio::test]
async fn a_bound_token_is_exchanged_for_a_bound_one_only() {
    let server = Server::with_exchange().await;
    let (holder, own) = (Prover::new(), Prover::new());
    let exchange = async |token: &str, prover: Option<&Prover>| {
        let asked = server.post(TOKEN, &fields(token, &[])).header("Authorization", &basic("billing-job", JOB_SECRET));
        match prover {
            Some(prover) => asked.header("DPoP", &prover.proof(server.world.now()).signed()).send().await,
            None => asked.send().await,
        }
    };
    for scope in ["orders:read", "payments:read"] {
        let cnf = Some(Confirmation { jkt: holder.jkt(), ..Default::default() });
        let sent = server.replica.issue(IssueRequest { cnf: cnf.clone(), ..alice("mobile-app", scope) }).await.access_token;
        refused(&exchange(&sent, None).await);
        let tokens = exchange(&sent, Some(&own)).await.tokens();
        assert_eq!(tokens["token_type"], "DPoP");
        let said = server.replica.introspect(&text(&tokens, "access_token")).await;
        assert_eq!(said.cnf.unwrap().jkt, own.jkt(), "the client's own key");

        let own_token = IssueRequest {
            client_id: "billing-job".into(),
            scope: scope.into(),
            client_authentication: secret(JOB_SECRET),
            cnf,
            ..Default::default()
        };
        let own_token = server.replica.issue(own_token).await.access_token;
        refused(&exchange(&own_token, None).await);
        assert_eq!(exchange(&own_token, Some(&own)).await.refusal(), (400, "invalid_dpop_proof".into()), "another key");
        assert_eq!(exchange(&own_token, Some(&holder)).await.tokens()["token_type"], "DPoP");
    }
    // A proof counts once here too.
    let proof = own.proof(server.world.now()).signed();
    let token = server.alices("orders:read").await;
    for expected in [200, 400] {
        let asked = server.post(TOKEN, &fields(&token, &[])).header("Authorization", &basic("billing-job", JOB_SECRET));
        assert_eq!(asked.header("DPoP", &proof).send().await.status, expected);
    }
}

#[tokio::test]
async fn what_a_user_holds_is_listed_without_what_was_exchanged() {
    let server = Server::with_exchange().await;
    let held = server.replica.issue(alice("mobile-app", "offline_access payments:read")).await;
    let exchanged = server.exchange(&held.access_token, &[]).await.tokens();
    let asked = jeton::api::ListGrantsRequest { sub: "alice".into(), page_size: 10, ..Default::default() };
    let listed: Vec<String> = server.replica.list(asked).await.grants.into_iter().map(|grant| grant.grant_id).collect();
    assert_eq!(listed, [held.grant_id.as_str()]);
    let grant_id = server.replica.introspect(&text(&exchanged, "access_token")).await.grant_id;
    let grant = server.replica.grant(&grant_id).await;
    assert!(grant.active && grant.client_id == "billing-job");
    server
        .replica
        .try_revoke(RevokeRequest { target: Some(Target::GrantId(held.grant_id)), ..Default::default() })
        .await
        .unwrap();
    assert!(!server.replica.grant(&grant_id).await.active, "it is over when its token is");
}

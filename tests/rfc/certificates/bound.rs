//! Tokens that are bound to the certificate that was shown for them (RFC 8705 sections 3, 4 and 7.1).

use super::{Mutual, TOKEN, subject};
use crate::authority::Identity;
use crate::rfc::codes::{RIGHT, asked};
use crate::rfc::proof::Prover;
use crate::rfc::raw::{Answer, Asking, basic};
use crate::world::{JOB_SECRET, SCOPES, WEB_SECRET};
use serde_json::{Value, json};

const USERINFO: &str = "/oauth2/userinfo";

/// All clients of the development configuration bind.
async fn binding() -> Mutual {
    Mutual::start(|settings| settings.clients.iter_mut().for_each(|client| client.mutual_tls.binds = true)).await
}

fn any() -> Identity {
    Identity::self_signed(subject)
}

fn of<'a>(tokens: &'a Value, member: &str) -> &'a str {
    tokens[member].as_str().unwrap()
}

impl Mutual {
    async fn job(&self, scope: &str, shows: Option<&Identity>) -> Answer {
        let asking = self.form(&[("grant_type", "client_credentials"), ("scope", scope)], shows);
        asking.header("Authorization", &basic("billing-job", JOB_SECRET)).send().await
    }

    /// What a public or confidential client says besides.
    fn of_client(&self, client: &str, fields: &[(&str, &str)], shows: Option<&Identity>) -> Asking {
        match client {
            "web-app" => self.form(fields, shows).header("Authorization", &basic("web-app", WEB_SECRET)),
            _ => self.form(&[fields, &[("client_id", client)]].concat(), shows),
        }
    }

    async fn redeem(&self, client: &str, scope: &str, shows: Option<&Identity>) -> Answer {
        let code = self.server.try_code(asked(client, scope)).await.unwrap().code;
        let fields = [&[("grant_type", "authorization_code"), ("code", code.as_str())], RIGHT.as_slice()].concat();
        self.of_client(client, &fields, shows).send().await
    }

    async fn refresh(&self, client: &str, token: &str, shows: Option<&Identity>) -> Answer {
        self.of_client(client, &[("grant_type", "refresh_token"), ("refresh_token", token)], shows).send().await
    }

    /// That a token says that it is bound to a certificate, over gRPC and over HTTP.
    async fn is_bound(&self, token: &str, to: &Identity) {
        let said = self.server.replica.introspect(token).await;
        assert!(said.active && said.token_type == "Bearer");
        assert_eq!(said.cnf.unwrap().x5t_s256, to.thumbprint());
        let asking = self.asking(self.server.post("/oauth2/introspect", &[("token", token)]), None);
        for (client, secret) in [("web-app", WEB_SECRET), ("billing-job", JOB_SECRET)] {
            if client != said.client_id {
                continue;
            }
            let answer = asking.header("Authorization", &basic(client, secret)).send().await;
            assert_eq!(answer.json()["cnf"], json!({"x5t#S256": to.thumbprint()}));
            return;
        }
    }

    async fn user_info(&self, token: &str, shows: Option<&Identity>) -> Answer {
        let asking = Asking::get(self.server.replica.http, USERINFO).header("Authorization", &format!("Bearer {token}"));
        self.asking(asking, shows).send().await
    }
}

/// There must be a certificate.
#[track_caller]
fn is_missing(answer: &Answer) {
    assert_eq!(answer.refusal(), (400, "invalid_request".into()));
    assert!(answer.json()["error_description"].as_str().unwrap().contains("client_certificate"), "{answer:?}");
}

#[tokio::test]
async fn s080_a_token_is_bound_to_the_certificate_that_was_shown_for_it() {
    let (mutual, own) = (binding().await, any());
    for scope in ["orders:read", "payments:read"] {
        let tokens = mutual.job(scope, Some(&own)).await.tokens();
        assert_eq!(tokens["token_type"], "Bearer");
        mutual.is_bound(of(&tokens, "access_token"), &own).await;
        is_missing(&mutual.job(scope, None).await);
    }
    let unbinding = Mutual::start(|_settings| {}).await;
    let tokens = unbinding.job("orders:read", Some(&own)).await.tokens();
    assert_eq!(
        unbinding.server.replica.introspect(of(&tokens, "access_token")).await.cnf,
        None,
        "where the client does not bind"
    );
}

#[tokio::test]
async fn s080_at_user_info_a_bound_token_comes_with_its_certificate() {
    let (mutual, own) = (binding().await, any());
    let tokens = mutual.redeem("mobile-app", SCOPES, Some(&own)).await.tokens();
    let token = of(&tokens, "access_token");
    assert_eq!(mutual.user_info(token, Some(&own)).await.json()["sub"], "alice");
    for other in [None, Some(&any())] {
        assert_eq!(mutual.user_info(token, other).await.refusal(), (401, "invalid_token".into()));
    }
    let unbound = Mutual::start(|_settings| {}).await;
    let tokens = unbound.redeem("mobile-app", SCOPES, Some(&own)).await.tokens();
    assert_eq!(unbound.user_info(of(&tokens, "access_token"), Some(&own)).await.status, 200, "not bound, and shown all the same");
}

#[tokio::test]
async fn s082_the_refresh_token_of_a_public_client_is_bound_too() {
    let (mutual, own, other) = (binding().await, any(), any());
    is_missing(&mutual.redeem("mobile-app", SCOPES, None).await);
    for scope in [SCOPES, "openid offline_access payments:read"] {
        let tokens = mutual.redeem("mobile-app", scope, Some(&own)).await.tokens();
        mutual.is_bound(of(&tokens, "access_token"), &own).await;
        let token = of(&tokens, "refresh_token");
        for wrong in [Some(&other), None] {
            assert_eq!(mutual.refresh("mobile-app", token, wrong).await.refusal(), (400, "invalid_grant".into()));
        }
        let refreshed = mutual.refresh("mobile-app", token, Some(&own)).await.tokens();
        mutual.is_bound(of(&refreshed, "access_token"), &own).await;
    }
}

#[tokio::test]
async fn s082_a_confidential_client_may_exchange_its_certificate() {
    let (mutual, own, next) = (binding().await, any(), any());
    let tokens = mutual.redeem("web-app", SCOPES, Some(&own)).await.tokens();
    mutual.is_bound(of(&tokens, "access_token"), &own).await;
    let refreshed = mutual.refresh("web-app", of(&tokens, "refresh_token"), Some(&next)).await.tokens();
    mutual.is_bound(of(&refreshed, "access_token"), &next).await;
    mutual.is_bound(of(&tokens, "access_token"), &own).await;
    is_missing(&mutual.refresh("web-app", of(&refreshed, "refresh_token"), None).await);
    // An opaque token says what its grant says, and that must not hold the certificate.
    let opaque = mutual.redeem("web-app", "openid offline_access payments:read", Some(&own)).await;
    assert_eq!(opaque.refusal(), (400, "invalid_target".into()));
}

#[tokio::test]
async fn a_certificate_and_a_key_are_not_bound_together() {
    let (mutual, own) = (binding().await, any());
    let proof = Prover::new();
    let proof = proof.proof(mutual.server.world.now()).signed();
    let asking =
        mutual.asking(mutual.server.post(TOKEN, &[("grant_type", "client_credentials"), ("scope", "orders:read")]), Some(&own));
    let answer = asking.header("Authorization", &basic("billing-job", JOB_SECRET)).header("DPoP", &proof).send().await;
    assert_eq!(answer.refusal(), (400, "invalid_dpop_proof".into()));
}

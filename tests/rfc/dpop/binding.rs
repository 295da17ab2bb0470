//! What is handed out for a proof is bound to its key.

use super::{JOB, OPAQUE_JOB, asking, job};
use crate::rfc::Server;
use crate::rfc::codes::{RIGHT, asked};
use crate::rfc::proof::Prover;
use crate::rfc::raw::{Answer, basic};
use crate::world::{Replica, SCOPES, WEB_SECRET, alice, refusal};
use jeton::api::revoke_request::Target;
use jeton::api::{
    ClientAuthentication, Confirmation, CreateAuthorizationCodeRequest, IssueRequest, RefreshRequest, RevokeRequest,
};
use serde_json::Value;

/// The public mobile application refreshes.
async fn mobile(replica: &Replica, token: &str, proofs: &[&str]) -> Answer {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "mobile-app")];
    asking(replica, &fields, proofs).send().await
}

/// The public mobile application redeems a code.
async fn redeem(replica: &Replica, code: &str, proofs: &[&str]) -> Answer {
    let fields = [("grant_type", "authorization_code"), ("code", code), ("client_id", "mobile-app")];
    asking(replica, &[fields.as_slice(), &RIGHT].concat(), proofs).send().await
}

/// What the mobile application got for a code and a proof of this key.
pub async fn bound(server: &Server, prover: &Prover, scope: &str) -> Value {
    let code = server.code("mobile-app", scope).await;
    redeem(&server.replica, &code, &[&server.proof(prover).signed()]).await.tokens()
}

pub fn text<'a>(tokens: &'a Value, member: &str) -> &'a str {
    tokens[member].as_str().unwrap()
}

#[tokio::test]
async fn s075_a_bound_token_says_so_whatever_it_was_given_for() {
    let server = Server::with_codes().await;
    for prover in [Prover::new(), Prover::ed25519()] {
        let mut given = Vec::new();
        for fields in [JOB, OPAQUE_JOB] {
            given.push(job(&server.replica, &fields, &[&server.proof(&prover).signed()]).await.tokens());
        }
        for scope in [SCOPES, "openid offline_access payments:read"] {
            let first = bound(&server, &prover, scope).await;
            let proof = server.proof(&prover).signed();
            let refreshed = mobile(&server.replica, text(&first, "refresh_token"), &[&proof]).await.tokens();
            given.extend([first, refreshed]);
        }
        for tokens in given {
            assert_eq!(tokens["token_type"], "DPoP", "{tokens}");
            let said = server.replica.introspect(text(&tokens, "access_token")).await;
            assert!(said.active);
            assert_eq!((said.token_type.as_str(), said.cnf.unwrap().jkt), ("DPoP", prover.jkt()));
        }
    }
}

#[tokio::test]
async fn s077_a_refresh_token_is_bound_to_the_key_it_was_got_with() {
    let server = Server::with_codes().await;
    let (prover, thief) = (Prover::new(), Prover::new());
    let tokens = bound(&server, &prover, SCOPES).await;
    let token = text(&tokens, "refresh_token");
    let stolen = mobile(&server.replica, token, &[&server.proof(&thief).signed()]).await;
    assert_eq!(stolen.refusal(), (400, "invalid_grant".into()), "another key");
    assert_eq!(mobile(&server.replica, token, &[]).await.refusal(), (400, "invalid_grant".into()), "no proof");
    let refreshed = mobile(&server.replica, token, &[&server.proof(&prover).signed()]).await.tokens();
    let next = text(&refreshed, "refresh_token");
    assert_eq!(mobile(&server.replica, next, &[&server.proof(&thief).signed()]).await.refusal(), (400, "invalid_grant".into()));
    mobile(&server.replica, next, &[&server.proof(&prover).signed()]).await.tokens();
}

#[tokio::test]
async fn s077_of_a_confidential_client_too() {
    let server = Server::with_codes().await;
    let (prover, other) = (Prover::new(), Prover::new());
    let web = async |fields: &[(&str, &str)], proof: String| {
        let web = basic("web-app", WEB_SECRET);
        asking(&server.replica, fields, &[&proof]).header("Authorization", &web).send().await
    };
    let code = server.code("web-app", SCOPES).await;
    let redemption = [[("grant_type", "authorization_code"), ("code", &code)].as_slice(), &RIGHT].concat();
    let tokens = web(&redemption, server.proof(&prover).signed()).await.tokens();
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", text(&tokens, "refresh_token"))];
    assert_eq!(web(&refresh, server.proof(&other).signed()).await.refusal(), (400, "invalid_grant".into()));
    web(&refresh, server.proof(&prover).signed()).await.tokens();
}

#[tokio::test]
async fn a_proof_of_a_refresh_binds_its_access_token_and_never_the_grant() {
    let server = Server::start().await;
    let prover = Prover::new();
    let issued = server.replica.issue(alice("mobile-app", SCOPES)).await;
    let tokens = mobile(&server.replica, &issued.refresh_token, &[&server.proof(&prover).signed()]).await.tokens();
    assert_eq!(tokens["token_type"], "DPoP");
    assert_eq!(server.replica.introspect(text(&tokens, "access_token")).await.cnf.unwrap().jkt, prover.jkt());
    // A thief could else keep the grant for himself.
    let next = mobile(&server.replica, text(&tokens, "refresh_token"), &[]).await.tokens();
    assert_eq!(next["token_type"], "Bearer");

    let opaque = server.replica.issue(alice("mobile-app", "offline_access payments:read")).await.refresh_token;
    let refused = mobile(&server.replica, &opaque, &[&server.proof(&prover).signed()]).await;
    Server::is_no_proof(&refused, "an opaque token says what its grant says");
    mobile(&server.replica, &opaque, &[]).await.tokens();
}

#[tokio::test]
async fn a_key_and_a_certificate_are_not_bound_together() {
    let server = Server::start().await;
    let certificate = "A".repeat(43);
    let cnf = Some(Confirmation { x5t_s256: certificate.clone(), ..Default::default() });
    let token = server.replica.issue(IssueRequest { cnf, ..alice("mobile-app", SCOPES) }).await.refresh_token;
    let shown = |dpop_proof: String| RefreshRequest {
        client_authentication: Some(ClientAuthentication {
            certificate_thumbprint: certificate.clone(),
            dpop_proof,
            ..Default::default()
        }),
        ..crate::world::mobile(&token)
    };
    let both = server.replica.try_refresh(shown(server.proof(&Prover::new()).signed())).await;
    assert_eq!(refusal(both).1, "INVALID_DPOP_PROOF");
    assert_eq!(server.replica.refresh(shown(String::new())).await.token_type, "Bearer");
}

#[tokio::test]
async fn a_proof_is_not_passed_over_where_it_says_nothing() {
    let server = Server::start().await;
    let proof = || Some(ClientAuthentication { dpop_proof: server.proof(&Prover::new()).signed(), ..Default::default() });
    let revoke = RevokeRequest {
        target: Some(Target::Token("jrt_x".into())),
        token_client_id: "mobile-app".into(),
        client_authentication: proof(),
        ..Default::default()
    };
    assert_eq!(refusal(server.replica.try_revoke(revoke).await).1, "INVALID_FIELD");
    let grant = IssueRequest { client_authentication: proof(), ..alice("mobile-app", SCOPES) };
    let code = server.try_code(CreateAuthorizationCodeRequest { grant: Some(grant), ..asked("mobile-app", SCOPES) });
    assert_eq!(refusal(code.await).1, "INVALID_FIELD");
}

#[tokio::test]
async fn s079_a_code_for_a_key_is_redeemed_with_that_key_only() {
    let server = Server::with_codes().await;
    let (prover, other) = (Prover::new(), Prover::new());
    let asked = CreateAuthorizationCodeRequest { dpop_jkt: prover.jkt(), ..asked("mobile-app", SCOPES) };
    let code = server.try_code(asked).await.unwrap().code;
    let wrong = redeem(&server.replica, &code, &[&server.proof(&other).signed()]).await;
    assert_eq!(wrong.refusal(), (400, "invalid_grant".into()), "another key");
    assert_eq!(redeem(&server.replica, &code, &[]).await.refusal(), (400, "invalid_grant".into()), "no proof");
    let tokens = redeem(&server.replica, &code, &[&server.proof(&prover).signed()]).await.tokens();
    assert_eq!(tokens["token_type"], "DPoP", "and nothing was consumed");
}

#[tokio::test]
async fn who_holds_nothing_makes_no_proof_count() {
    let server = Server::with_codes().await;
    let prover = Prover::new();
    let tokens = bound(&server, &prover, SCOPES).await;
    let proof = server.proof(&prover).signed();
    let unknown = mobile(&server.replica, "jrt_unknown", &[&proof]).await;
    assert_eq!(unknown.refusal(), (400, "invalid_grant".into()));
    let fields = [JOB.as_slice(), &[("client_id", "billing-job")]].concat();
    assert_eq!(asking(&server.replica, &fields, &[&proof]).send().await.refusal(), (401, "invalid_client".into()));
    mobile(&server.replica, text(&tokens, "refresh_token"), &[&proof]).await.tokens();
}

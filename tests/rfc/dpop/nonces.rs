//! Nonces (RFC 9449 section 8), and proofs that a gateway passes on over gRPC.

use super::{JOB, job};
use crate::rfc::Server;
use crate::rfc::codes::{RIGHT, with_places};
use crate::rfc::proof::Prover;
use crate::rfc::raw::Answer;
use crate::world::{JOB_SECRET, SCOPES, mobile, refusal, refused, secret};
use jeton::api::authorization_code_service_client::AuthorizationCodeServiceClient;
use jeton::api::{ClientAuthentication, Confirmation, ExchangeAuthorizationCodeRequest, IssueRequest, RefreshRequest};
use jeton::config::Settings;
use serde_json::Value;
use tonic::Code;
use tonic_types::StatusExt as _;

fn with_nonces(settings: &mut Settings) {
    settings.tokens.dpop_nonce = true;
}

#[tokio::test]
async fn s078_a_nonce_that_is_required_is_given_taken_for_a_while_and_replaced() {
    let server = Server::start_with(with_nonces).await;
    let prover = Prover::new();
    let with = async |nonce: Option<&str>| {
        let proof = server.proof(&prover).claim("nonce", nonce.map_or(Value::Null, Value::from));
        job(&server.replica, &JOB, &[&proof.signed()]).await
    };
    let asked_for = |answer: Answer| {
        assert_eq!(answer.refusal(), (400, "use_dpop_nonce".into()));
        answer.header("dpop-nonce").unwrap().to_owned()
    };
    let first = asked_for(with(None).await);
    assert_eq!(asked_for(with(Some("made-up")).await), first);
    let answer = with(Some(&first)).await;
    answer.tokens();
    assert_eq!(answer.header("dpop-nonce"), Some(first.as_str()));
    server.world.pass(300);
    let answer = with(Some(&first)).await;
    answer.tokens();
    let second = answer.header("dpop-nonce").unwrap().to_owned();
    assert_ne!(second, first, "a new one comes with what is given");
    with(Some(&second)).await.tokens();
    server.world.pass(300);
    let third = asked_for(with(Some(&first)).await);
    // Another replica gives and takes the same.
    let other = server.world.start().await;
    let proof = server.proof(&prover).claim("nonce", third.as_str()).signed();
    job(&other, &JOB, &[&proof]).await.tokens();
    // Who sends no proof needs no nonce.
    assert_eq!(job(&server.replica, &JOB, &[]).await.header("dpop-nonce"), None);
}

#[tokio::test]
async fn s078_where_none_is_required_a_wrong_one_is_refused_all_the_same() {
    let server = Server::start().await;
    let prover = Prover::new();
    let plain = job(&server.replica, &JOB, &[&server.proof(&prover).signed()]).await;
    plain.tokens();
    assert_eq!(plain.header("dpop-nonce"), None);
    let wrong = job(&server.replica, &JOB, &[&server.proof(&prover).claim("nonce", "made-up").signed()]).await;
    assert_eq!(wrong.refusal(), (400, "use_dpop_nonce".into()));
    let nonce = wrong.header("dpop-nonce").unwrap();
    job(&server.replica, &JOB, &[&server.proof(&prover).claim("nonce", nonce).signed()]).await.tokens();
}

/// How a client that gave its proof to a gateway proves itself through it.
fn passed_on(of: &str, proof: String) -> Option<ClientAuthentication> {
    Some(ClientAuthentication { dpop_proof: proof, ..secret(of).unwrap() })
}

#[tokio::test]
async fn over_grpc_the_same_proofs_count() {
    let server = Server::start_with(|settings| {
        with_places(settings);
        with_nonces(settings);
    })
    .await;
    let prover = Prover::new();
    let asked = |proof: String| IssueRequest {
        client_id: "billing-job".into(),
        scope: "orders:read".into(),
        client_authentication: passed_on(JOB_SECRET, proof),
        ..Default::default()
    };
    let unnamed = server.replica.try_issue(asked(server.proof(&prover).signed())).await.unwrap_err();
    let info = unnamed.get_details_error_info().unwrap();
    assert_eq!(info.reason, "USE_DPOP_NONCE");
    let nonce = info.metadata["dpop_nonce"].as_str();
    let fresh = || server.proof(&prover).claim("nonce", nonce).signed();

    let proof = fresh();
    let issued = server.replica.issue(asked(proof.clone())).await;
    assert_eq!((issued.token_type.as_str(), issued.dpop_nonce.as_str()), ("DPoP", nonce));
    let replayed = refusal(server.replica.try_issue(asked(proof)).await);
    assert_eq!(replayed, (Code::InvalidArgument, "INVALID_DPOP_PROOF".into()));
    let contradicts =
        IssueRequest { cnf: Some(Confirmation { jkt: Prover::new().jkt(), ..Default::default() }), ..asked(fresh()) };
    assert_eq!(refusal(server.replica.try_issue(contradicts).await).1, "INVALID_DPOP_PROOF");

    let code = server.code("mobile-app", SCOPES).await;
    let public = |proof: String| Some(ClientAuthentication { dpop_proof: proof, ..Default::default() });
    let exchange = ExchangeAuthorizationCodeRequest {
        code,
        client_id: "mobile-app".into(),
        redirect_uri: RIGHT[0].1.into(),
        code_verifier: RIGHT[1].1.into(),
        client_authentication: public(fresh()),
        ..Default::default()
    };
    let mut codes = AuthorizationCodeServiceClient::connect(format!("http://{}", server.replica.address)).await.unwrap();
    let tokens = codes.exchange_authorization_code(exchange).await.unwrap().into_inner().tokens.unwrap();
    assert_eq!(tokens.token_type, "DPoP");
    let refresh = |proof: String| RefreshRequest { client_authentication: public(proof), ..mobile(&tokens.refresh_token) };
    refused(server.replica.try_refresh(RefreshRequest { client_authentication: None, ..refresh(fresh()) }).await);
    let refreshed = server.replica.refresh(refresh(fresh())).await;
    assert_eq!((refreshed.token_type.as_str(), refreshed.dpop_nonce.as_str()), ("DPoP", nonce));
}

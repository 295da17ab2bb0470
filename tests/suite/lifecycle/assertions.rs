//! Client assertions over gRPC, wherever a client's credentials can be given.

use crate::on_every_store;
use crate::rfc::assertions::give_keys;
use crate::rfc::proof::Prover;
use crate::world::{Replica, SCOPES, WEB_SECRET, World, alice, refusal, web};
use jeton::api::authorization_code_service_client::AuthorizationCodeServiceClient;
use jeton::api::revoke_request::Target;
use jeton::api::{self, ClientAuthentication, IssueRequest, RevokeRequest};
use tonic::{Code, Status};

on_every_store! {
    a_client_proves_by_an_assertion_over_grpc_what_it_proves_over_http,
}

fn by(assertion: &str) -> Option<ClientAuthentication> {
    Some(ClientAuthentication { client_assertion: assertion.into(), ..Default::default() })
}

/// Nobody is anybody: one answer, whatever was wrong.
#[track_caller]
fn is_nobody<T: std::fmt::Debug>(answer: Result<T, Status>) {
    assert_eq!(refusal(answer), (Code::Unauthenticated, "INVALID_CLIENT".into()));
}

async fn refresh(server: &Replica, token: &str, proof: Option<ClientAuthentication>) -> Result<api::RefreshResponse, Status> {
    server.try_refresh(api::RefreshRequest { client_authentication: proof, ..web(token) }).await
}

async fn a_client_proves_by_an_assertion_over_grpc_what_it_proves_over_http(mut world: World) {
    let prover = Prover::new();
    for client in ["web-app", "billing-job"] {
        give_keys(&mut world.settings, client, &[prover.named("one")]);
    }
    let [server, other] = [world.start().await, world.start().await];
    let made = |client: &str| prover.assertion(client, client, world.now()).header("kid", "one").signed();
    let issued = server.issue(alice("web-app", SCOPES)).await;
    let once = made("web-app");
    refresh(&server, &issued.refresh_token, by(&once)).await.unwrap();
    is_nobody(refresh(&other, &issued.refresh_token, by(&once)).await);
    is_nobody(refresh(&server, &issued.refresh_token, by(&made("billing-job"))).await);
    let forged = prover.assertion("web-app", "web-app", world.now()).signed_by(&Prover::new());
    is_nobody(refresh(&server, &issued.refresh_token, by(&forged)).await);
    let both = ClientAuthentication { client_secret: WEB_SECRET.into(), ..by(&made("web-app")).unwrap() };
    let refused = refusal(refresh(&server, &issued.refresh_token, Some(both)).await);
    assert_eq!(refused, (Code::InvalidArgument, "INVALID_FIELD".into()));

    // A client for itself; the redemption of a code; a revocation.
    let own = |proof| IssueRequest { client_id: "billing-job".into(), client_authentication: proof, ..Default::default() };
    is_nobody(server.try_issue(own(None)).await);
    let job = server.issue(IssueRequest { scope: "orders:read".into(), ..own(by(&made("billing-job"))) }).await;
    let revoke = |proof| RevokeRequest {
        target: Some(Target::Token(job.access_token.clone())),
        token_client_id: "billing-job".into(),
        client_authentication: proof,
        ..Default::default()
    };
    is_nobody(server.try_revoke(revoke(by(&forged))).await);
    assert!(server.active(&job.access_token).await);
    server.try_revoke(revoke(by(&made("billing-job")))).await.unwrap();
    assert!(!server.active(&job.access_token).await);
    let mut codes = AuthorizationCodeServiceClient::connect(format!("http://{}", server.address)).await.unwrap();
    let grant = Some(alice("web-app", SCOPES));
    let code =
        codes.create_authorization_code(api::CreateAuthorizationCodeRequest { grant, ..Default::default() }).await.unwrap();
    let redeem = |proof| api::ExchangeAuthorizationCodeRequest {
        code: code.get_ref().code.clone(),
        client_id: "web-app".into(),
        client_authentication: proof,
        ..Default::default()
    };
    is_nobody(codes.exchange_authorization_code(redeem(by(&once))).await);
    codes.exchange_authorization_code(redeem(by(&made("web-app")))).await.unwrap();
}

//! Issue: who gets which tokens.

use crate::on_every_store;
use crate::world::{ISSUER, JOB_SECRET, ORDERS, PAYMENTS, SCOPES, World, alice, mobile, refusal, refused, secret};
use jeton::api::{AuthenticationContext, GrantType, IssueRequest};
use jeton_domain::client::{Algorithm, GrantType as MayUse};
use jeton_domain::resource::TokenFormat;
use jeton_domain::time::Millis;
use tonic::Code;

on_every_store! {
    oidc_core_11_a_refresh_token_only_where_offline_access_was_asked_for,
    oidc_core_11_offline_access_is_ignored_where_the_client_may_not_refresh,
    oidc_core_3_1_an_id_token_only_with_openid,
    rfc6749_3_3_scopes_outside_the_client_are_refused,
    rfc8707_2_the_owners_of_the_scopes_are_the_audience_where_none_is_named,
    rfc8707_2_several_resources_agree_on_a_form_or_are_refused,
    rfc6749_4_4_a_client_speaks_for_itself_with_a_jwt_or_an_opaque_token,
    rfc6749_4_4_a_client_that_speaks_for_itself_must_prove_who_it_is,
    rfc9700_4_15_no_user_is_called_like_a_client,
    rfc9470_a_sign_in_that_does_not_meet_the_policy_gets_no_token,
}

async fn oidc_core_11_a_refresh_token_only_where_offline_access_was_asked_for(world: World) {
    let server = world.start().await;
    let online = server.issue(alice("mobile-app", "openid orders:read")).await;
    assert_eq!((online.refresh_token.as_str(), online.refresh_token_expires_in), ("", 0));
    assert!(!online.grant_id.is_empty() && !online.sid.is_empty(), "and yet it can be revoked");
    let offline = server.issue(alice("mobile-app", SCOPES)).await;
    assert!(offline.refresh_token.starts_with("jrt_"));
    assert_eq!(offline.refresh_token_expires_in, 14 * 86_400);
    assert_eq!(offline.scope, SCOPES);
}

async fn oidc_core_11_offline_access_is_ignored_where_the_client_may_not_refresh(world: World) {
    let settings = world.with_client("mobile-app", |client| client.grant_types.retain(|kind| *kind != MayUse::RefreshToken));
    let server = world.start_with(&settings).await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    assert_eq!(issued.refresh_token, "");
    assert_eq!(issued.scope, "openid orders:read orders:write", "and what was not granted is not said to be");
    // One that was handed out while it might is not accepted any more, and says so in its own way.
    let before = world.start().await.issue(alice("mobile-app", SCOPES)).await;
    let refused = server.try_refresh(mobile(&before.refresh_token)).await;
    assert_eq!(refusal(refused), (Code::PermissionDenied, "UNAUTHORIZED_CLIENT".into()));
}

async fn oidc_core_3_1_an_id_token_only_with_openid(world: World) {
    let server = world.start().await;
    assert_eq!(server.issue(alice("mobile-app", "offline_access orders:read")).await.id_token, "");
    let issued = server.issue(alice("mobile-app", "openid")).await;
    assert!(!issued.id_token.is_empty());
    let said = server.introspect(&issued.access_token).await;
    assert_eq!(said.aud, [ISSUER], "a token for no resource is for the issuer");
}

async fn rfc6749_3_3_scopes_outside_the_client_are_refused(world: World) {
    let server = world.start().await;
    for scope in ["openid admin", "orders:read address"] {
        let refused = server.try_issue(alice("mobile-app", scope)).await;
        assert_eq!(refusal(refused), (Code::InvalidArgument, "INVALID_SCOPE".into()), "{scope}");
    }
    for unknown in ["https://unknown.internal", "https://orders.internal/other"] {
        let asked = IssueRequest { resource: vec![unknown.into()], ..alice("mobile-app", SCOPES) };
        assert_eq!(refusal(server.try_issue(asked).await), (Code::InvalidArgument, "INVALID_TARGET".into()), "{unknown}");
    }
    let nobody = server.try_issue(alice("no-such-app", SCOPES)).await;
    assert_eq!(refusal(nobody), (Code::InvalidArgument, "INVALID_FIELD".into()));
}

async fn rfc8707_2_the_owners_of_the_scopes_are_the_audience_where_none_is_named(world: World) {
    let server = world.start().await;
    let orders = server.issue(alice("mobile-app", "orders:read profile")).await;
    assert_eq!(server.introspect(&orders.access_token).await.aud, [ORDERS]);
    let payments = server.issue(alice("mobile-app", "payments:read")).await;
    assert!(payments.access_token.starts_with("jat_"), "the resource chooses the format");
    assert_eq!(server.introspect(&payments.access_token).await.aud, [PAYMENTS]);
    // Named, it gets the scopes that it owns, and those of OpenID Connect.
    let asked = IssueRequest { resource: vec![ORDERS.into()], ..alice("mobile-app", "openid orders:read payments:read") };
    assert_eq!(server.issue(asked).await.scope, "openid orders:read");
}

async fn rfc8707_2_several_resources_agree_on_a_form_or_are_refused(world: World) {
    let both = || alice("mobile-app", "offline_access orders:read payments:read");
    let server = world.start().await;
    assert_eq!(refusal(server.try_issue(both()).await), (Code::InvalidArgument, "INVALID_TARGET".into()), "JWT and opaque");

    let with = |format, algorithm| {
        world.with_resource(PAYMENTS, |resource| {
            resource.format = format;
            resource.algorithm = algorithm;
            resource.access_token_lifetime = Millis::from_secs(60);
        })
    };
    let differs = world.start_with(&with(TokenFormat::Jwt, Algorithm::Es256)).await;
    assert_eq!(refusal(differs.try_issue(both()).await), (Code::InvalidArgument, "INVALID_TARGET".into()), "EdDSA and ES256");
    let agrees = world.start_with(&with(TokenFormat::Jwt, Algorithm::EdDsa)).await;
    let issued = agrees.issue(both()).await;
    assert_eq!(issued.expires_in, 60, "the shorter lifetime");
    assert_eq!(agrees.introspect(&issued.access_token).await.aud, [ORDERS, PAYMENTS]);
    assert!(agrees.active_for(&issued.access_token, PAYMENTS).await && agrees.active_for(&issued.access_token, ORDERS).await);
    // Where they come to differ, a refresh for one of them still works; for both it is refused and consumes nothing.
    let refused = server.try_refresh(mobile(&issued.refresh_token)).await;
    assert_eq!(refusal(refused), (Code::InvalidArgument, "INVALID_TARGET".into()));
    let one =
        server.refresh(jeton::api::RefreshRequest { resource: vec![PAYMENTS.into()], ..mobile(&issued.refresh_token) }).await;
    assert!(one.access_token.starts_with("jat_"));
    assert_eq!(server.introspect(&one.access_token).await.aud, [PAYMENTS]);
}

fn job(scope: &str) -> IssueRequest {
    IssueRequest {
        client_id: "billing-job".into(),
        scope: scope.into(),
        authentication: Some(AuthenticationContext { method: GrantType::ClientCredentials.into(), ..Default::default() }),
        client_authentication: secret(JOB_SECRET),
        ..Default::default()
    }
}

async fn rfc6749_4_4_a_client_speaks_for_itself_with_a_jwt_or_an_opaque_token(world: World) {
    let server = world.start().await;
    for (scope, resource, prefix) in [("orders:read", ORDERS, "ey"), ("payments:read", PAYMENTS, "jat_")] {
        let issued = server.issue(job(scope)).await;
        assert!(issued.access_token.starts_with(prefix));
        let beside = [&issued.refresh_token, &issued.id_token, &issued.sid];
        assert!(beside.iter().all(|text| text.is_empty()), "{issued:?}");
        assert_eq!(issued.grant_id.is_empty(), resource == ORDERS, "an opaque token is read from a record");
        let said = server.introspect(&issued.access_token).await;
        assert_eq!((said.sub.as_str(), said.client_id.as_str(), said.auth_time), ("billing-job", "billing-job", 0));
        assert_eq!((said.aud.as_slice(), said.sid.as_str(), said.grant_id.as_str()), ([resource.to_owned()].as_slice(), "", ""));
        assert_eq!(said.exp - said.iat, issued.expires_in);
        world.pass(300);
        assert!(!server.active(&issued.access_token).await, "it lives as long as it says");
    }
    let offline = server.try_issue(job("openid orders:read")).await;
    assert_eq!(refusal(offline), (Code::InvalidArgument, "INVALID_SCOPE".into()));
    let page = server.list(jeton::api::ListGrantsRequest { sub: "billing-job".into(), ..Default::default() }).await;
    assert_eq!(page.grants, [], "no subject allowed anything");
}

async fn rfc6749_4_4_a_client_that_speaks_for_itself_must_prove_who_it_is(world: World) {
    let server = world.start().await;
    for proof in [None, secret("jcs_wrong"), secret("")] {
        let asked = IssueRequest { client_authentication: proof, ..job("orders:read") };
        assert_eq!(refusal(server.try_issue(asked).await), (Code::Unauthenticated, "INVALID_CLIENT".into()));
    }
    let asked = IssueRequest { client_id: "mobile-app".into(), client_authentication: None, ..job("orders:read") };
    assert_eq!(refusal(server.try_issue(asked).await), (Code::PermissionDenied, "UNAUTHORIZED_CLIENT".into()));
    // For a user the caller vouches; what is given must be right all the same.
    let asked = IssueRequest { client_authentication: secret("jcs_wrong"), ..alice("web-app", SCOPES) };
    assert_eq!(refusal(server.try_issue(asked).await), (Code::Unauthenticated, "INVALID_CLIENT".into()));
}

async fn rfc9700_4_15_no_user_is_called_like_a_client(world: World) {
    let server = world.start().await;
    let asked = IssueRequest { sub: "billing-job".into(), ..alice("mobile-app", SCOPES) };
    assert_eq!(refusal(server.try_issue(asked).await), (Code::InvalidArgument, "INVALID_FIELD".into()));
}

async fn rfc9470_a_sign_in_that_does_not_meet_the_policy_gets_no_token(world: World) {
    let server = world.start().await;
    let weak = IssueRequest { authentication: None, ..alice("mobile-app", "offline_access payments:read") };
    let status = server.try_issue(weak).await;
    assert_eq!(refusal(status), (Code::FailedPrecondition, "REAUTHENTICATION_REQUIRED".into()));
    let page = server.list(jeton::api::ListGrantsRequest { sub: "alice".into(), ..Default::default() }).await;
    assert_eq!(page.grants, []);
    refused(server.try_refresh(mobile("jrt_nothing")).await);
}

//! Refresh: a new access token without the user, and what does not consume the token.

use crate::on_every_store;
use crate::world::{ORDERS, PAYMENTS, SCOPES, World, alice, mobile, refusal, refused, secret, web};
use jeton::api::{IssueResponse, RefreshRequest};
use jeton_domain::client::Rotation;
use tonic::Code;
use tonic_types::StatusExt as _;

on_every_store! {
    rfc6749_6_a_confidential_client_must_authenticate,
    rfc6749_6_a_public_client_need_not_and_has_nothing_to_show,
    rfc6749_10_4_a_token_of_another_client_is_refused_and_stays_valid,
    rfc6749_6_scope_may_shrink_never_grow,
    rfc8707_2_2_resources_may_shrink_never_grow,
    rfc9700_4_14_2_a_public_client_gets_a_new_token_each_time,
    a_confidential_client_keeps_its_token_until_near_expiry,
    a_refresh_never_ends_the_access_token_before,
    idle_expiry_counts_from_the_last_use,
    rfc9700_4_14_2_rotation_never_moves_the_absolute_end,
    rfc9470_a_policy_that_is_not_met_any_more_consumes_nothing_and_heals,
    rfc9470_a_sign_in_too_old_is_told_the_age,
    what_is_no_refresh_token_is_refused_in_the_same_words,
}

async fn rfc6749_6_a_confidential_client_must_authenticate(world: World) {
    let server = world.start().await;
    let issued = server.issue(alice("web-app", SCOPES)).await;
    let before = server.grant(&issued.grant_id).await;
    for proof in [None, secret("jcs_wrong"), secret("")] {
        let asked = RefreshRequest { client_authentication: proof, ..web(&issued.refresh_token) };
        assert_eq!(refusal(server.try_refresh(asked).await), (Code::Unauthenticated, "INVALID_CLIENT".into()));
    }
    assert_eq!(server.grant(&issued.grant_id).await, before, "nothing was consumed");
    let refreshed = server.refresh(web(&issued.refresh_token)).await;
    assert!(server.active(&refreshed.access_token).await && server.active(&issued.access_token).await);
    // The same with a name that no client has.
    let asked = RefreshRequest { client_id: "no-such-app".into(), ..web(&issued.refresh_token) };
    assert_eq!(refusal(server.try_refresh(asked).await), (Code::Unauthenticated, "INVALID_CLIENT".into()));
}

async fn rfc6749_6_a_public_client_need_not_and_has_nothing_to_show(world: World) {
    let server = world.start().await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let asked = RefreshRequest { client_authentication: secret("jcs_anything"), ..mobile(&issued.refresh_token) };
    assert_eq!(refusal(server.try_refresh(asked).await), (Code::Unauthenticated, "INVALID_CLIENT".into()));
    let refreshed = server.refresh(mobile(&issued.refresh_token)).await;
    assert_eq!((refreshed.token_type.as_str(), refreshed.expires_in), ("Bearer", 300));
    assert_eq!((&refreshed.grant_id, &refreshed.sid, &refreshed.scope), (&issued.grant_id, &issued.sid, &issued.scope));
}

async fn rfc6749_10_4_a_token_of_another_client_is_refused_and_stays_valid(world: World) {
    let server = world.start().await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let before = server.grant(&issued.grant_id).await;
    refused(server.try_refresh(web(&issued.refresh_token)).await);
    assert_eq!(server.grant(&issued.grant_id).await, before);
    server.refresh(mobile(&issued.refresh_token)).await;
}

async fn rfc6749_6_scope_may_shrink_never_grow(world: World) {
    let server = world.start().await;
    let issued = server.issue(alice("mobile-app", "openid offline_access orders:read orders:write")).await;
    let before = server.grant(&issued.grant_id).await;
    for wider in ["orders:read payments:read", "profile", "admin"] {
        let asked = RefreshRequest { scope: wider.into(), ..mobile(&issued.refresh_token) };
        assert_eq!(refusal(server.try_refresh(asked).await), (Code::InvalidArgument, "INVALID_SCOPE".into()), "{wider}");
    }
    assert_eq!(server.grant(&issued.grant_id).await, before, "nothing was consumed");
    let asked = RefreshRequest { scope: "orders:read".into(), ..mobile(&issued.refresh_token) };
    let narrow = server.refresh(asked).await;
    assert_eq!(narrow.scope, "orders:read");
    assert_eq!(server.introspect(&narrow.access_token).await.scope, "orders:read");
    world.pass(11);
    let full = server.refresh(mobile(&narrow.refresh_token)).await;
    assert_eq!(full.scope, issued.scope, "the refresh token keeps the scopes of the grant");
    assert_eq!(server.introspect(&full.access_token).await.scope, issued.scope);
}

async fn rfc8707_2_2_resources_may_shrink_never_grow(world: World) {
    let settings = world.with_resource(PAYMENTS, |resource| resource.format = jeton_domain::resource::TokenFormat::Jwt);
    let server = world.start_with(&settings).await;
    let issued = server.issue(alice("mobile-app", "openid offline_access orders:read payments:read")).await;
    let of = |resource: &str| RefreshRequest { resource: vec![resource.into()], ..mobile(&issued.refresh_token) };
    let narrow = server.refresh(of(ORDERS)).await;
    assert_eq!(narrow.scope, "openid offline_access orders:read", "the scopes that it owns");
    assert!(!server.active_for(&narrow.access_token, PAYMENTS).await);
    world.pass(11);
    let only = server.issue(alice("mobile-app", SCOPES)).await;
    let before = server.grant(&only.grant_id).await;
    let asked = RefreshRequest { resource: vec![PAYMENTS.into()], ..mobile(&only.refresh_token) };
    assert_eq!(refusal(server.try_refresh(asked).await), (Code::InvalidArgument, "INVALID_TARGET".into()));
    assert_eq!(server.grant(&only.grant_id).await, before);
    let full = server.refresh(mobile(&narrow.refresh_token)).await;
    assert!(server.active_for(&full.access_token, PAYMENTS).await);
}

async fn rfc9700_4_14_2_a_public_client_gets_a_new_token_each_time(world: World) {
    let server = world.start().await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let mut token = issued.refresh_token;
    for generation in 2..6 {
        let refreshed = server.refresh(mobile(&token)).await;
        assert_ne!(refreshed.refresh_token, token);
        assert_eq!(server.grant(&issued.grant_id).await.generation, generation);
        // Within ten seconds nothing new is handed out, and nothing is written for the newest.
        let record = server.grant(&issued.grant_id).await;
        world.pass(9);
        assert_eq!(server.refresh(mobile(&refreshed.refresh_token)).await.refresh_token, refreshed.refresh_token);
        assert_eq!(server.grant(&issued.grant_id).await, record);
        // Its parent is answered with it too, for ten seconds from then on: this reply may be the one that arrives.
        assert_eq!(server.refresh(mobile(&token)).await.refresh_token, refreshed.refresh_token);
        world.pass(9);
        assert_eq!(server.refresh(mobile(&refreshed.refresh_token)).await.refresh_token, refreshed.refresh_token);
        world.pass(1);
        token = refreshed.refresh_token;
    }
}

async fn a_confidential_client_keeps_its_token_until_near_expiry(world: World) {
    let server = world.start().await;
    let issued = server.issue(alice("web-app", SCOPES)).await;
    for _ in 0..9 {
        world.pass(86_400);
        assert_eq!(server.refresh(web(&issued.refresh_token)).await.refresh_token, issued.refresh_token);
    }
    world.pass(86_400);
    let rotated = server.refresh(web(&issued.refresh_token)).await;
    assert_ne!(rotated.refresh_token, issued.refresh_token, "70 % of 14 days have passed");
    world.pass(3_600);
    // It has proved who it is: a slow process of its own may still come with the old one.
    assert_eq!(server.refresh(web(&issued.refresh_token)).await.refresh_token, rotated.refresh_token);
    let never = world.with_client("web-app", |client| client.rotation = Rotation::Never);
    let other = world.start_with(&never).await;
    world.pass(13 * 86_400);
    assert_eq!(other.refresh(web(&rotated.refresh_token)).await.refresh_token, rotated.refresh_token);
}

async fn a_refresh_never_ends_the_access_token_before(world: World) {
    let server = world.start().await;
    for scope in [SCOPES, "offline_access payments:read"] {
        let issued = server.issue(alice("mobile-app", scope)).await;
        let refreshed = server.refresh(mobile(&issued.refresh_token)).await;
        assert!(server.active(&issued.access_token).await && server.active(&refreshed.access_token).await);
        world.pass(299);
        assert!(server.active(&issued.access_token).await);
        world.pass(1);
        assert!(!server.active(&issued.access_token).await);
    }
}

async fn idle_expiry_counts_from_the_last_use(world: World) {
    let server = world.start().await;
    let idle = 14 * 86_400;
    for asked in [mobile as fn(&str) -> RefreshRequest, web] {
        let client = asked("").client_id;
        let IssueResponse { refresh_token, .. } = server.issue(alice(&client, SCOPES)).await;
        world.pass(idle - 1);
        let used = server.refresh(asked(&refresh_token)).await;
        assert_eq!(used.refresh_token_expires_in, i64::try_from(idle).unwrap());
        world.pass(idle - 1);
        assert!(server.active(&used.refresh_token).await);
        world.pass(1);
        assert!(!server.active(&used.refresh_token).await);
        refused(server.try_refresh(asked(&used.refresh_token)).await);
    }
}

async fn rfc9700_4_14_2_rotation_never_moves_the_absolute_end(world: World) {
    let server = world.start().await;
    for asked in [mobile as fn(&str) -> RefreshRequest, web] {
        let client = asked("").client_id;
        let issued = server.issue(alice(&client, SCOPES)).await;
        let end = server.grant(&issued.grant_id).await.absolute_expires_at;
        assert_eq!(end, world.now() + 90 * 86_400);
        let mut token = issued.refresh_token;
        for _ in 0..8 {
            world.pass(11 * 86_400);
            token = server.refresh(asked(&token)).await.refresh_token;
        }
        world.pass(2 * 86_400 - 1);
        let last = server.refresh(asked(&token)).await;
        assert_eq!(last.refresh_token_expires_in, 1);
        assert_eq!(server.grant(&issued.grant_id).await.absolute_expires_at, end);
        world.pass(1);
        refused(server.try_refresh(asked(&last.refresh_token)).await);
        refused(server.try_refresh(asked(&token)).await);
    }
}

async fn rfc9470_a_policy_that_is_not_met_any_more_consumes_nothing_and_heals(world: World) {
    let before = world.start().await;
    let weak = jeton::api::IssueRequest { authentication: None, ..alice("mobile-app", SCOPES) };
    let issued = before.issue(weak).await;
    let strict = world.with_resource(ORDERS, |resource| {
        resource.policy.amr_values = vec!["mfa".into()];
        resource.policy.acr_values = vec!["urn:acr:2".into(), "urn:acr:3".into()];
    });
    let server = world.start_with(&strict).await;
    let record = server.grant(&issued.grant_id).await;
    for _ in 0..2 {
        let status = server.try_refresh(mobile(&issued.refresh_token)).await.unwrap_err();
        let said = status.get_error_details().error_info().unwrap().metadata.clone();
        assert_eq!(refusal::<()>(Err(status)), (Code::FailedPrecondition, "REAUTHENTICATION_REQUIRED".into()));
        assert_eq!(
            (said["resource"].as_str(), said["amr_values"].as_str(), said["acr_values"].as_str()),
            (ORDERS, "mfa", "urn:acr:2 urn:acr:3")
        );
        assert!(!server.active(&issued.refresh_token).await);
    }
    assert_eq!(server.grant(&issued.grant_id).await, record, "the token was not consumed");
    let explained = server.explain(&issued.refresh_token).await;
    assert_eq!(explained.cause(), jeton::api::Cause::PolicyNotMet);
    let unmet = explained.unmet.unwrap();
    assert_eq!((unmet.resource.as_str(), unmet.amr_values.as_slice()), (ORDERS, ["mfa".to_owned()].as_slice()));

    let healed = world.start().await;
    assert!(healed.active(&issued.refresh_token).await);
    let refreshed = healed.refresh(mobile(&issued.refresh_token)).await;
    assert!(healed.active(&refreshed.access_token).await);
}

async fn rfc9470_a_sign_in_too_old_is_told_the_age(world: World) {
    let strict =
        world.with_resource(ORDERS, |resource| resource.policy.max_age = Some(jeton_domain::time::Millis::from_secs(3_600)));
    let server = world.start_with(&strict).await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    world.pass(3_600);
    let refreshed = server.refresh(mobile(&issued.refresh_token)).await;
    world.pass(1);
    let status = server.try_refresh(mobile(&refreshed.refresh_token)).await.unwrap_err();
    let said = status.get_error_details().error_info().unwrap().metadata.clone();
    assert_eq!((said["max_age"].as_str(), said.contains_key("amr_values")), ("3600", false));
    assert_eq!(refusal::<()>(Err(status)), (Code::FailedPrecondition, "REAUTHENTICATION_REQUIRED".into()));
}

async fn what_is_no_refresh_token_is_refused_in_the_same_words(world: World) {
    let server = world.start().await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let opaque = server.issue(alice("mobile-app", "payments:read")).await;
    let elsewhere = World::memory().await.start().await.issue(alice("mobile-app", SCOPES)).await;
    let token = &issued.refresh_token;
    let flipped = token.replacen("jrt_A", "jrt_B", 1);
    let cut = token.get(..token.len() - 1).unwrap();
    let as_code = token.replacen("jrt_", "jac_", 1);
    let texts = [
        "garbage",
        "jrt_",
        "jrt_AAAA",
        cut,
        &flipped,
        &as_code,
        &issued.access_token,
        &opaque.access_token,
        &elsewhere.refresh_token,
    ];
    let mut said = std::collections::BTreeSet::new();
    // One that is too long for a refresh token is named as a field at fault.
    for text in texts.into_iter().filter(|text| text.len() <= 512) {
        let answer = server.try_refresh(mobile(text)).await;
        said.insert(format!("{:?}", answer.as_ref().map_err(|status| (status.code(), status.message(), status.details()))));
        refused(answer);
    }
    assert_eq!(said.len(), 1, "one answer outward: {said:?}");
    server.refresh(mobile(token)).await;
}

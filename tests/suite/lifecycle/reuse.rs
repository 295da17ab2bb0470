//! Spent tokens, lost replies, forgeries: what ends a grant and what does not (RFC 9700 section 4.14.2).

use crate::on_every_store;
use crate::world::{SCOPES, World, alice, mobile, refused, web};
use jeton::api::{Cause, RefreshRequest};
use jeton_domain::client::ReusePolicy;

on_every_store! {
    rfc9700_4_14_2_a_spent_token_ends_the_grant_and_its_access_tokens,
    a_lost_reply_is_answered_with_a_new_number,
    a_lost_reply_retried_under_its_request_id_is_answered_at_any_time,
    a_lost_reply_retried_too_late_ends_the_grant_without_theft,
    the_second_last_within_the_overlap_is_reuse,
    a_client_may_only_refuse_reuse,
    a_confidential_client_has_nothing_to_detect,
    a_forged_generation_ends_nobodys_session,
}

async fn rfc9700_4_14_2_a_spent_token_ends_the_grant_and_its_access_tokens(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    for scope in [SCOPES, "offline_access payments:read"] {
        let first = server.issue(alice("mobile-app", scope)).await;
        let bystander = server.issue(alice("mobile-app", scope)).await;
        world.pass(20);
        let second = server.refresh(mobile(&first.refresh_token)).await;
        world.pass(20);
        let third = server.refresh(mobile(&second.refresh_token)).await;
        world.pass(20);
        refused(other.try_refresh(mobile(&first.refresh_token)).await);
        for replica in [&server, &other] {
            for token in [&first.access_token, &second.access_token, &third.access_token, &third.refresh_token] {
                assert!(!replica.active(token).await, "it ended on every replica");
            }
            for token in [&first.refresh_token, &second.refresh_token, &third.refresh_token] {
                refused(replica.try_refresh(mobile(token)).await);
            }
            let explained = replica.explain(&third.refresh_token).await;
            assert_eq!((explained.cause(), explained.ended_at), (Cause::Reuse, world.now()));
            assert!(replica.active(&bystander.access_token).await && replica.active(&bystander.refresh_token).await);
        }
        server.app.alive.settle().await.unwrap();
        let grant = other.grant(&first.grant_id).await;
        assert_eq!((grant.active, grant.cause(), grant.ended_at), (false, Cause::Reuse, world.now()));
    }
}

async fn a_lost_reply_is_answered_with_a_new_number(world: World) {
    let server = world.start().await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let lost = server.refresh(mobile(&issued.refresh_token)).await;
    world.pass(59);
    let retried = server.refresh(mobile(&issued.refresh_token)).await;
    assert_ne!(retried.refresh_token, lost.refresh_token);
    world.pass(59);
    let once_more = server.refresh(mobile(&issued.refresh_token)).await;
    world.pass(11);
    let next = server.refresh(mobile(&once_more.refresh_token)).await;
    world.pass(11);
    // What was abandoned and yet comes is a second holder.
    refused(server.try_refresh(mobile(&lost.refresh_token)).await);
    refused(server.try_refresh(mobile(&next.refresh_token)).await);
    assert_eq!(server.cause(&next.refresh_token).await, Cause::Reuse);
}

async fn a_lost_reply_retried_under_its_request_id_is_answered_at_any_time(world: World) {
    let server = world.start().await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let asked = || RefreshRequest { request_id: "attempt-1".into(), ..mobile(&issued.refresh_token) };
    let lost = server.refresh(asked()).await;
    assert_eq!(server.refresh(asked()).await.refresh_token, lost.refresh_token, "at once it is the same token");
    world.pass(7 * 86_400);
    let retried = server.refresh(asked()).await;
    assert_ne!(retried.refresh_token, lost.refresh_token);
    world.pass(3_600);
    let next = server.refresh(mobile(&retried.refresh_token)).await;
    assert!(server.active(&next.access_token).await);
    world.pass(3_600);
    // Another name for the attempt proves nothing.
    let other = RefreshRequest { request_id: "attempt-2".into(), ..mobile(&issued.refresh_token) };
    refused(server.try_refresh(other).await);
    assert_eq!(server.cause(&next.refresh_token).await, Cause::Reuse);
}

async fn a_lost_reply_retried_too_late_ends_the_grant_without_theft(world: World) {
    let server = world.start().await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let lost = server.refresh(mobile(&issued.refresh_token)).await;
    world.pass(60);
    assert!(!server.active(&issued.refresh_token).await);
    assert_eq!(server.cause(&issued.refresh_token).await, Cause::Rotated, "looking does not end it");
    assert!(server.active(&lost.refresh_token).await);
    refused(server.try_refresh(mobile(&issued.refresh_token)).await);
    assert_eq!(server.cause(&lost.refresh_token).await, Cause::RetryExpired);
    assert!(!server.active(&lost.access_token).await);
}

async fn the_second_last_within_the_overlap_is_reuse(world: World) {
    let server = world.start().await;
    let first = server.issue(alice("mobile-app", SCOPES)).await;
    let second = server.refresh(mobile(&first.refresh_token)).await;
    world.pass(10);
    let third = server.refresh(mobile(&second.refresh_token)).await;
    assert_eq!(server.refresh(mobile(&second.refresh_token)).await.refresh_token, third.refresh_token, "the parent may");
    refused(server.try_refresh(mobile(&first.refresh_token)).await);
    assert_eq!(server.cause(&third.refresh_token).await, Cause::Reuse);
}

async fn a_client_may_only_refuse_reuse(world: World) {
    let settings = world.with_client("mobile-app", |client| client.reuse = ReusePolicy::Refuse);
    let server = world.start_with(&settings).await;
    let first = server.issue(alice("mobile-app", SCOPES)).await;
    let second = server.refresh(mobile(&first.refresh_token)).await;
    world.pass(20);
    let third = server.refresh(mobile(&second.refresh_token)).await;
    world.pass(20);
    refused(server.try_refresh(mobile(&first.refresh_token)).await);
    assert!(server.active(&third.access_token).await);
    server.refresh(mobile(&third.refresh_token)).await;
}

async fn a_confidential_client_has_nothing_to_detect(world: World) {
    let settings = world.with_client("web-app", |client| client.rotation = jeton_domain::client::Rotation::Always);
    let server = world.start_with(&settings).await;
    let first = server.issue(alice("web-app", SCOPES)).await;
    let mut token = first.refresh_token.clone();
    for _ in 0..40 {
        world.pass(20);
        token = server.refresh(web(&token)).await.refresh_token;
    }
    world.pass(20);
    assert_eq!(server.refresh(web(&first.refresh_token)).await.refresh_token, token);
}

async fn a_forged_generation_ends_nobodys_session(world: World) {
    use jeton_domain::token::{Numbered, Presented, parse};
    let server = world.start().await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let Presented::Numbered(genuine) = parse(&issued.refresh_token) else { panic!("a refresh token") };
    world.pass(20);
    let newest = server.refresh(mobile(&issued.refresh_token)).await;
    world.pass(20);
    let record = server.grant(&issued.grant_id).await;
    for generation in [0, 1, 2, 3, u32::MAX] {
        let forged = Numbered { generation, tag: [7; 32], ..genuine.clone() };
        let text = forged.encode().expose().to_owned();
        refused(server.try_refresh(mobile(&text)).await);
        assert!(!server.active(&text).await);
        assert_eq!(server.cause(&text).await, Cause::NotGenuine);
        let revoked = jeton::api::revoke_request::Target::Token(text);
        let asked = jeton::api::RevokeRequest { target: Some(revoked), ..Default::default() };
        assert_eq!(server.try_revoke(asked).await.unwrap(), jeton::api::RevokeResponse::default());
    }
    assert_eq!(server.grant(&issued.grant_id).await, record);
    server.refresh(mobile(&newest.refresh_token)).await;
}

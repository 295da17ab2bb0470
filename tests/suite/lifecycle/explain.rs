//! Explain: the exact cause, for the operator. Those of revocations are shown with each in `revoke`, of reuse in `reuse`.

use crate::on_every_store;
use crate::world::{ORDERS, PAYMENTS, SCOPES, World, alice, mobile, web};
use jeton::api::{Cause, TokenKind};

on_every_store! {
    an_active_token_is_explained_too,
    each_cause_is_told_apart,
    expiry_says_which_lifetime_and_when,
}

async fn an_active_token_is_explained_too(world: World) {
    let server = world.start().await;
    let jwt = server.issue(alice("mobile-app", SCOPES)).await;
    let opaque = server.issue(alice("mobile-app", "offline_access payments:read")).await;
    for (token, kind, generation, has_grant) in [
        (&jwt.access_token, TokenKind::JwtAccessToken, 1, true),
        (&opaque.access_token, TokenKind::OpaqueAccessToken, 1, true),
        (&jwt.refresh_token, TokenKind::RefreshToken, 1, true),
    ] {
        let said = server.explain(token).await;
        assert_eq!((said.active, said.kind(), said.cause()), (true, kind, Cause::Unspecified));
        assert_eq!((said.generation, said.grant.is_some(), said.ended_at), (generation, has_grant, 0));
        assert!(said.explanation.starts_with("active: "), "{}", said.explanation);
        assert!(!said.revision.is_empty());
        let says = said.says.unwrap();
        assert_eq!((says.sub.as_str(), says.client_id.as_str(), says.active), ("alice", "mobile-app", true));
        assert_eq!(says.aud, server.introspect(token).await.aud);
    }
    let mut token = jwt.refresh_token;
    for _ in 0..3 {
        world.pass(20);
        token = server.refresh(mobile(&token)).await.refresh_token;
    }
    let said = server.explain(&token).await;
    assert_eq!((said.generation, said.newest_generation), (4, 4));
    assert!(said.explanation.contains("generation 4 of 4"), "{}", said.explanation);
}

async fn each_cause_is_told_apart(world: World) {
    let server = world.start().await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let elsewhere = World::memory().await.start().await;
    let foreign = elsewhere.issue(alice("mobile-app", SCOPES)).await;
    let foreign_opaque = elsewhere.issue(alice("mobile-app", "payments:read")).await;
    let cut = issued.refresh_token.get(..40).unwrap();
    let mut signature = issued.access_token.clone().into_bytes();
    let near_end = signature.len() - 10;
    signature[near_end] = if signature[near_end] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(signature).unwrap();
    for (token, resource, cause) in [
        ("garbage", "", Cause::Malformed),
        (cut, "", Cause::Malformed),
        (&foreign.refresh_token, "", Cause::Unknown),
        (&foreign_opaque.access_token, "", Cause::Unknown),
        (&foreign.access_token, "", Cause::NotGenuine),
        (&forged, "", Cause::NotGenuine),
        (&issued.id_token, "", Cause::Foreign),
        (&issued.access_token, PAYMENTS, Cause::Audience),
        (&issued.access_token, ORDERS, Cause::Unspecified),
    ] {
        let said = server.explain_for(token, resource).await;
        assert_eq!((said.cause(), said.active), (cause, cause == Cause::Unspecified), "{token}: {}", said.explanation);
        assert!(!said.explanation.contains(token), "no token in what is said");
        assert_eq!(said.says.is_some(), said.active, "of a dead one nothing is said that it claims");
    }
    world.pass(20);
    let second = server.refresh(mobile(&issued.refresh_token)).await;
    world.pass(20);
    let third = server.refresh(mobile(&second.refresh_token)).await;
    world.pass(20);
    let said = server.explain(&issued.refresh_token).await;
    assert_eq!((said.cause(), said.generation, said.newest_generation), (Cause::Rotated, 1, 3));
    assert!(said.explanation.contains("generation 1 of 3"), "{}", said.explanation);
    assert!(said.grant.unwrap().active, "and to look at it ends nothing");
    assert!(server.active(&third.refresh_token).await);
}

async fn expiry_says_which_lifetime_and_when(world: World) {
    let server = world.start().await;
    for (client, asked) in [("mobile-app", mobile as fn(&str) -> jeton::api::RefreshRequest), ("web-app", web)] {
        let issued = server.issue(alice(client, SCOPES)).await;
        let opaque = server.issue(alice(client, "payments:read")).await;
        world.pass(400);
        for token in [&issued.access_token, &opaque.access_token] {
            let said = server.explain(token).await;
            assert_eq!((said.cause(), said.ended_at), (Cause::Expired, world.now() - 100));
        }
        let mut token = issued.refresh_token;
        world.pass(10 * 86_400);
        token = server.refresh(asked(&token)).await.refresh_token;
        world.pass(14 * 86_400 + 7);
        let said = server.explain(&token).await;
        assert_eq!((said.cause(), said.ended_at), (Cause::ExpiredIdle, world.now() - 7));

        let mut token = server.issue(alice(client, SCOPES)).await.refresh_token;
        for _ in 0..8 {
            world.pass(11 * 86_400);
            token = server.refresh(asked(&token)).await.refresh_token;
        }
        world.pass(2 * 86_400 + 7);
        let said = server.explain(&token).await;
        assert_eq!((said.cause(), said.ended_at), (Cause::ExpiredAbsolute, world.now() - 7));
    }
}

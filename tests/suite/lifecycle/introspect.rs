//! Introspect: what is active, and that nothing else is said of what is not (RFC 7662).

use crate::on_every_store;
use crate::world::{ISSUER, ORDERS, PAYMENTS, SCOPES, World, alice, fully_fresh, mobile, refusal, web};
use jeton::api::{BatchIntrospectRequest, Freshness, IntrospectRequest, IntrospectResponse, IssueRequest};
use jeton::api::{freshness::Requirement, revoke_request::Target};
use tonic::Code;

on_every_store! {
    rfc7662_2_2_an_inactive_token_says_nothing,
    rfc7662_4_who_is_not_in_the_audience_hears_inactive,
    a_refresh_token_is_shown_to_nobody_but_the_one_who_does_not_ask_as_a_resource,
    looking_at_a_refresh_token_never_writes,
    a_token_expires_to_the_second,
    rfc6749_many_tokens_are_answered_in_order_and_a_bad_one_fails_no_other,
    a_revision_can_be_asked_for,
    a_client_that_is_gone_has_no_refresh_token,
}

async fn rfc7662_2_2_an_inactive_token_says_nothing(world: World) {
    let server = world.start().await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let opaque = server.issue(alice("mobile-app", "payments:read")).await.access_token;
    let elsewhere = World::memory().await.start().await;
    let foreign = elsewhere.issue(alice("mobile-app", SCOPES)).await;
    let foreign_opaque = elsewhere.issue(alice("mobile-app", "payments:read")).await.access_token;
    let mut texts = vec![
        "garbage".to_owned(),
        "jrt_".into(),
        "jac_AAAA".into(),
        "jdc_AAAA".into(),
        "..".into(),
        "e30.e30.e30".into(),
        "ключ".into(),
        "a".repeat(16 * 1024),
        issued.id_token.clone(),
        issued.refresh_token.replacen("jrt_", "jac_", 1),
        foreign.access_token,
        foreign.refresh_token,
        foreign.id_token,
        foreign_opaque,
    ];
    for token in [&issued.access_token, &issued.refresh_token, &opaque] {
        for end in [token.len() - 1, token.len() / 2] {
            texts.push(token.get(..end).unwrap().to_owned());
        }
        texts.push(format!("{token}A"));
    }
    for text in texts {
        assert!(!server.active(&text).await, "{text}");
    }
    for token in [&issued.access_token, &issued.refresh_token, &opaque] {
        assert!(server.active(token).await);
    }
}

async fn rfc7662_4_who_is_not_in_the_audience_hears_inactive(world: World) {
    let server = world.start().await;
    for (scope, mine, other) in [("orders:read", ORDERS, PAYMENTS), ("payments:read", PAYMENTS, ORDERS)] {
        let token = server.issue(alice("mobile-app", scope)).await.access_token;
        assert!(server.active(&token).await && server.active_for(&token, mine).await);
        for outside in [other, ISSUER, "https://unknown.internal"] {
            assert!(!server.active_for(&token, outside).await, "{outside}");
        }
    }
    let for_issuer = server.issue(alice("mobile-app", "openid profile")).await.access_token;
    assert!(server.active_for(&for_issuer, ISSUER).await && !server.active_for(&for_issuer, ORDERS).await);
}

async fn a_refresh_token_is_shown_to_nobody_but_the_one_who_does_not_ask_as_a_resource(world: World) {
    let server = world.start().await;
    let asked = IssueRequest { sid: "s-1".into(), ..alice("mobile-app", SCOPES) };
    let issued = server.issue(asked).await;
    for resource in [ORDERS, PAYMENTS, ISSUER] {
        assert!(!server.active_for(&issued.refresh_token, resource).await);
    }
    let said = server.introspect(&issued.refresh_token).await;
    let cache = said.cache.clone().unwrap();
    assert_eq!(cache.max_age, 0, "a refresh may spend it at any moment");
    assert_eq!(
        said,
        IntrospectResponse {
            active: true,
            scope: SCOPES.into(),
            client_id: "mobile-app".into(),
            exp: world.now() + 14 * 86_400,
            iat: world.now(),
            sub: "alice".into(),
            aud: vec![ORDERS.into()],
            iss: ISSUER.into(),
            sid: "s-1".into(),
            amr: vec!["pwd".into(), "mfa".into()],
            auth_time: world.now(),
            grant_id: issued.grant_id,
            revision: said.revision.clone(),
            cache: Some(cache),
            ..Default::default()
        }
    );
}

async fn looking_at_a_refresh_token_never_writes(world: World) {
    let server = world.start().await;
    for asked in [mobile as fn(&str) -> jeton::api::RefreshRequest, web] {
        let client = asked("").client_id;
        let issued = server.issue(alice(&client, SCOPES)).await;
        world.pass(20);
        let second = server.refresh(asked(&issued.refresh_token)).await;
        world.pass(20);
        let name = jeton::records::name::grant(jeton_domain::id::GrantId::parse(&issued.grant_id).unwrap());
        let record = || async { world.store().await.get(std::slice::from_ref(&name)).await.unwrap().values };
        let before = record().await;
        for token in [&issued.refresh_token, &second.refresh_token, &issued.access_token, &second.access_token] {
            for _ in 0..2 {
                server.introspect(token).await;
                server.explain(token).await;
            }
        }
        assert_eq!(record().await, before, "not even a stamp has changed");
        // Nor has the newest arrived by it: the reply that brought it may still be lost.
        assert!(server.active(&issued.refresh_token).await);
        assert_ne!(
            server.refresh(asked(&issued.refresh_token)).await.refresh_token == second.refresh_token,
            client == "mobile-app"
        );
    }
}

async fn a_token_expires_to_the_second(world: World) {
    let server = world.start().await;
    for scope in ["orders:read", "payments:read"] {
        let issued = server.issue(alice("mobile-app", scope)).await;
        let said = server.introspect(&issued.access_token).await;
        assert_eq!((said.exp - said.iat, said.iat), (issued.expires_in, world.now()));
        assert!(said.cache.unwrap().max_age <= 2);
        world.pass(299);
        let said = server.introspect(&issued.access_token).await;
        assert!(said.active && said.cache.unwrap().max_age <= 1, "no answer outlives the token");
        world.pass(1);
        assert!(!server.active(&issued.access_token).await);
    }
}

async fn rfc6749_many_tokens_are_answered_in_order_and_a_bad_one_fails_no_other(world: World) {
    let server = world.start().await;
    let jwt = server.issue(alice("mobile-app", SCOPES)).await;
    let opaque = server.issue(alice("web-app", "offline_access payments:read")).await;
    let foreign = World::memory().await.start().await.issue(alice("mobile-app", "payments:read")).await;
    let tokens = vec![
        "garbage".to_owned(),
        opaque.access_token.clone(),
        String::new(),
        foreign.access_token,
        jwt.access_token.clone(),
        "x".repeat(17 * 1024),
        jwt.refresh_token.clone(),
        jwt.id_token.clone(),
        opaque.access_token.clone(),
        opaque.refresh_token.clone(),
    ];
    for (resource, expected) in [
        ("", [false, true, false, false, true, false, true, false, true, true]),
        (ORDERS, [false, false, false, false, true, false, false, false, false, false]),
        (PAYMENTS, [false, true, false, false, false, false, false, false, true, false]),
    ] {
        let asked = BatchIntrospectRequest { tokens: tokens.clone(), resource: resource.into(), freshness: fully_fresh() };
        let results = server.tokens.clone().batch_introspect(asked).await.unwrap().into_inner().results;
        assert_eq!(results.iter().map(|result| result.active).collect::<Vec<_>>(), expected);
        for (result, token) in results.iter().zip(&tokens) {
            if result.active {
                assert_eq!(*result, server.try_introspect(token, resource).await.unwrap(), "the same as alone");
            } else {
                let nothing = IntrospectResponse { revision: result.revision.clone(), ..Default::default() };
                assert_eq!(*result, nothing);
            }
        }
    }
    let none = server.tokens.clone().batch_introspect(BatchIntrospectRequest::default()).await.unwrap().into_inner();
    assert_eq!(none.results, []);
}

async fn a_revision_can_be_asked_for(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let revoked = server.revoke(Target::Sub("alice".into())).await.revision;
    let ask = |replica: &crate::world::Replica, requirement| {
        let freshness = Some(Freshness { requirement: Some(requirement) });
        let asked = IntrospectRequest { token: issued.access_token.clone(), freshness, ..Default::default() };
        let mut tokens = replica.tokens.clone();
        async move { tokens.introspect(asked).await.map(tonic::Response::into_inner) }
    };
    for requirement in [Requirement::AtLeastAsFresh(revoked.clone()), Requirement::FullyFresh(true)] {
        let answer = ask(&other, requirement).await.unwrap();
        assert_eq!((answer.active, answer.revision.as_str()), (false, revoked.as_str()));
    }
    // One that this log never had, before its head and after it.
    let (micros, _) = revoked.split_once('-').unwrap();
    let ahead = format!("{}-1", micros.parse::<u64>().unwrap() + 1_000_000);
    let refused = ask(&other, Requirement::AtLeastAsFresh(ahead)).await;
    assert_eq!(refusal(refused), (Code::FailedPrecondition, "REVISION_LOST".into()));
    let refused = ask(&other, Requirement::AtLeastAsFresh("yesterday".into())).await;
    assert_eq!(refusal(refused), (Code::InvalidArgument, "INVALID_FIELD".into()));
}

async fn a_client_that_is_gone_has_no_refresh_token(world: World) {
    let issued = world.start().await.issue(alice("mobile-app", SCOPES)).await;
    let mut settings = world.settings.clone();
    settings.clients.retain(|client| client.id.as_str() != "mobile-app");
    let server = world.start_with(&settings).await;
    assert!(!server.active(&issued.refresh_token).await);
    assert_eq!(server.cause(&issued.refresh_token).await, jeton::api::Cause::ClientUnknown);
    let refused = server.try_refresh(mobile(&issued.refresh_token)).await;
    assert_eq!(refusal(refused), (Code::Unauthenticated, "INVALID_CLIENT".into()));
    assert!(world.start().await.active(&issued.refresh_token).await);
}

//! Grants: read, listed, capped.

use crate::on_every_store;
use crate::world::{ORDERS, SCOPES, World, alice, mobile, refusal, refused, web};
use jeton::api::revoke_request::Target;
use jeton::api::{
    AuthenticationContext, Cause, GetGrantRequest, Grant, GrantType, IssueRequest, ListGrantsRequest, SessionTarget,
};
use tonic::Code;

on_every_store! {
    a_grant_says_what_was_allowed_and_how_it_stands,
    a_grant_that_nobody_knows_is_not_found,
    grants_are_listed_those_that_end_first_first_page_by_page,
    a_list_is_narrowed_by_client_and_session,
    a_client_with_too_many_grants_loses_the_oldest_which_says_so,
    a_subject_with_too_many_grants_loses_the_oldest_of_all_clients,
    signing_out_gives_its_place_free,
}

fn of(sub: &str) -> ListGrantsRequest {
    ListGrantsRequest { sub: sub.into(), ..Default::default() }
}

async fn a_grant_says_what_was_allowed_and_how_it_stands(world: World) {
    let server = world.start().await;
    let authentication = AuthenticationContext {
        auth_time: world.now() - 5,
        acr: "urn:acr:2".into(),
        amr: vec!["pwd".into()],
        method: GrantType::DeviceCode.into(),
    };
    let asked = IssueRequest { sid: "s-1".into(), authentication: Some(authentication.clone()), ..alice("mobile-app", SCOPES) };
    let issued = server.issue(asked).await;
    let created = world.now();
    let expected = Grant {
        grant_id: issued.grant_id.clone(),
        sub: "alice".into(),
        client_id: "mobile-app".into(),
        sid: "s-1".into(),
        scope: SCOPES.into(),
        resource: vec![ORDERS.into()],
        authentication: Some(authentication),
        created_at: created,
        last_used_at: created,
        idle_expires_at: created + 14 * 86_400,
        absolute_expires_at: created + 90 * 86_400,
        generation: 1,
        active: true,
        ..Default::default()
    };
    assert_eq!(server.grant(&issued.grant_id).await, expected);
    assert_eq!(server.list(of("alice")).await.grants.as_slice(), std::slice::from_ref(&expected));
    world.pass(60);
    server.refresh(mobile(&issued.refresh_token)).await;
    let used = Grant { generation: 2, last_used_at: created + 60, idle_expires_at: created + 60 + 14 * 86_400, ..expected };
    assert_eq!(server.grant(&issued.grant_id).await, used);
    world.pass(14 * 86_400);
    let expired = Grant { active: false, cause: Cause::ExpiredIdle.into(), ended_at: used.idle_expires_at, ..used };
    assert_eq!(server.grant(&issued.grant_id).await, expired);
    assert_eq!(server.list(of("alice")).await.grants, [], "only living ones are listed");
}

async fn a_grant_that_nobody_knows_is_not_found(world: World) {
    let server = world.start().await;
    let stateless = server.issue(alice("mobile-app", "orders:read")).await;
    for (grant_id, expected) in [
        (stateless.grant_id.as_str(), (Code::NotFound, "GRANT_UNKNOWN")),
        ("q83vEjRWeJCrze8SNFZ4kA", (Code::NotFound, "GRANT_UNKNOWN")),
        ("no id", (Code::InvalidArgument, "INVALID_FIELD")),
        ("", (Code::InvalidArgument, "INVALID_FIELD")),
    ] {
        let answer = server.grants.clone().get_grant(GetGrantRequest { grant_id: grant_id.into() }).await;
        assert_eq!(refusal(answer), (expected.0, expected.1.into()), "{grant_id}");
    }
    // It has no record, and can be revoked all the same.
    server.revoke(Target::GrantId(stateless.grant_id)).await;
    assert!(!server.active(&stateless.access_token).await);
}

async fn grants_are_listed_those_that_end_first_first_page_by_page(world: World) {
    let server = world.start().await;
    let mut made = Vec::new();
    for turn in 0..7 {
        let client = if turn % 2 == 0 { "mobile-app" } else { "web-app" };
        made.push(server.issue(alice(client, SCOPES)).await.grant_id);
        world.pass(1);
    }
    server.issue(IssueRequest { sub: "bob".into(), ..alice("mobile-app", SCOPES) }).await;
    server.revoke(Target::GrantId(made.remove(3))).await;
    for page_size in [1, 2, 3, 6, 7, 1_000] {
        let (mut seen, mut page_token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = server.list(ListGrantsRequest { page_size, page_token, ..of("alice") }).await;
            assert!(page.grants.len() <= usize::try_from(page_size).unwrap());
            assert!(page.grants.iter().all(|grant| grant.active && grant.sub == "alice"));
            seen.extend(page.grants.into_iter().map(|grant| grant.grant_id));
            page_token = page.next_page_token;
            pages += 1;
            assert!(pages < 20, "it ends");
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, made, "pages of {page_size}");
    }
    for (page_size, page_token) in [(-1, ""), (1_001, ""), (0, "garbage"), (0, "AAAA")] {
        let asked = ListGrantsRequest { page_size, page_token: page_token.into(), ..of("alice") };
        let answer = server.grants.clone().list_grants(asked).await;
        assert_eq!(refusal(answer), (Code::InvalidArgument, "INVALID_FIELD".into()), "{page_size} {page_token}");
    }
    assert_eq!(server.list(of("nobody")).await.grants, []);
}

async fn a_list_is_narrowed_by_client_and_session(world: World) {
    let server = world.start().await;
    for (client, sid) in [("mobile-app", "s-1"), ("web-app", "s-1"), ("mobile-app", "s-2"), ("web-app", "s-3")] {
        server.issue(IssueRequest { sid: sid.into(), ..alice(client, SCOPES) }).await;
        world.pass(1);
    }
    let find = async |client_id: &str, sid: &str| {
        let asked = ListGrantsRequest { client_id: client_id.into(), sid: sid.into(), page_size: 1, ..of("alice") };
        let first = server.list(asked.clone()).await;
        let rest = if first.next_page_token.is_empty() {
            Vec::new()
        } else {
            server.list(ListGrantsRequest { page_token: first.next_page_token, page_size: 100, ..asked }).await.grants
        };
        first.grants.into_iter().chain(rest).map(|grant| (grant.client_id, grant.sid)).collect::<Vec<_>>()
    };
    let pair = |client: &str, sid: &str| (client.to_owned(), sid.to_owned());
    assert_eq!(find("mobile-app", "").await, [pair("mobile-app", "s-1"), pair("mobile-app", "s-2")]);
    assert_eq!(find("", "s-1").await, [pair("mobile-app", "s-1"), pair("web-app", "s-1")]);
    assert_eq!(find("web-app", "s-3").await, [pair("web-app", "s-3")]);
    assert_eq!(find("web-app", "s-2").await, []);
    assert_eq!(find("billing-job", "").await, []);
}

async fn a_client_with_too_many_grants_loses_the_oldest_which_says_so(world: World) {
    let settings = world.with_client("mobile-app", |client| client.grants_per_subject = 3);
    let (server, other) = (world.start_with(&settings).await, world.start_with(&settings).await);
    let elsewhere = server.issue(alice("web-app", SCOPES)).await;
    let bobs = server.issue(IssueRequest { sub: "bob".into(), ..alice("mobile-app", SCOPES) }).await;
    let mut held = Vec::new();
    for turn in 0..6 {
        let scope = if turn % 2 == 0 { SCOPES } else { "offline_access payments:read" };
        held.push(server.issue(alice("mobile-app", scope)).await);
        world.pass(1);
        let evicted = held.len().saturating_sub(3);
        for (at, issued) in held.iter().enumerate() {
            for replica in [&server, &other] {
                assert_eq!(replica.active(&issued.refresh_token).await, at >= evicted, "{at} of {}", held.len());
                assert!(replica.active(&issued.access_token).await, "its access token runs out by itself");
                if at < evicted {
                    refused(replica.try_refresh(mobile(&issued.refresh_token)).await);
                    assert_eq!(replica.cause(&issued.refresh_token).await, Cause::Evicted);
                    let grant = replica.grant(&issued.grant_id).await;
                    assert_eq!((grant.active, grant.cause()), (false, Cause::Evicted));
                }
            }
        }
    }
    assert_eq!(server.list(ListGrantsRequest { client_id: "mobile-app".into(), ..of("alice") }).await.grants.len(), 3);
    server.refresh(web(&elsewhere.refresh_token)).await;
    server.refresh(mobile(&bobs.refresh_token)).await;
}

async fn a_subject_with_too_many_grants_loses_the_oldest_of_all_clients(world: World) {
    let mut settings = world.settings.clone();
    settings.limits.grants_per_subject = 2;
    let server = world.start_with(&settings).await;
    let first = server.issue(alice("web-app", SCOPES)).await;
    world.pass(1);
    let second = server.issue(alice("mobile-app", SCOPES)).await;
    world.pass(1);
    let third = server.issue(alice("mobile-app", SCOPES)).await;
    refused(server.try_refresh(web(&first.refresh_token)).await);
    assert_eq!(server.cause(&first.refresh_token).await, Cause::Evicted);
    for issued in [second, third] {
        server.refresh(mobile(&issued.refresh_token)).await;
    }
}

/// Otherwise who signs in and out on one device would be signed out on another, with two grants alive at most.
async fn signing_out_gives_its_place_free(world: World) {
    let settings = world.with_client("mobile-app", |client| client.grants_per_subject = 3);
    let server = world.start_with(&settings).await;
    let phone = server.issue(alice("mobile-app", SCOPES)).await;
    for turn in 0..8 {
        world.pass(1);
        let tablet = server.issue(alice("mobile-app", SCOPES)).await;
        server
            .revoke(match turn % 4 {
                0 => Target::Token(tablet.refresh_token),
                1 => Target::GrantId(tablet.grant_id),
                _ => Target::Session(SessionTarget { sid: tablet.sid, ..Default::default() }),
            })
            .await;
        // Whether or not it was settled before the next comes.
        if turn < 4 {
            server.app.alive.settle().await.unwrap();
        }
        assert!(server.active(&phone.refresh_token).await, "turn {turn}");
    }
    // Four are one too many, though the dead are more.
    for _ in 0..3 {
        world.pass(1);
        assert!(server.active(&phone.refresh_token).await);
        server.issue(alice("mobile-app", SCOPES)).await;
    }
    assert_eq!(server.cause(&phone.refresh_token).await, Cause::Evicted);
}

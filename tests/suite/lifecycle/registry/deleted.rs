//! A client that is deleted is gone, whatever is done at that moment, and leaves the next of its name nothing.

use super::{by_alice, faulty, for_itself, is_no_client, till, with};
use crate::on_every_store;
use crate::world::{World, refusal};
use jeton::api::{Cause, IssueRequest, IssueResponse, RefreshResponse};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tonic::Code;

on_every_store! {
    a_deleted_client_is_dead_on_a_replica_that_has_not_looked,
    the_secret_of_a_deleted_client_is_none_of_the_next_of_that_name,
    a_client_that_is_deleted_while_it_refreshes_keeps_nothing,
}

async fn a_deleted_client_is_dead_on_a_replica_that_has_not_looked(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    server.register_shop().await;
    let (_, held) = server.register(till()).await;
    other.follow().await;
    let (by_user, by_itself) = (other.issue(by_alice()).await, other.issue(for_itself(&held)).await);
    let revision = server.delete("till").await.unwrap();
    assert!(!revision.is_empty());

    // The other has not looked at the registry since: the revocation tells it.
    is_no_client(other.try_issue(for_itself(&held)).await);
    is_no_client(other.try_refresh(with(&by_user.refresh_token, &held)).await);
    for replica in [&server, &other] {
        for token in [&by_user.access_token, &by_user.refresh_token, &by_itself.access_token] {
            assert!(!replica.active(token).await);
        }
        assert_eq!(replica.cause(&by_user.refresh_token).await, Cause::ClientRevoked);
        assert_eq!(refusal(replica.registered("till").await), (Code::NotFound, "REGISTRATION_UNKNOWN".into()));
    }
    assert!(!server.delete("till").await.unwrap().is_empty(), "safe to repeat");

    let (_, new) = server.register(till()).await;
    assert_ne!(new, held);
    is_no_client(server.try_refresh(with(&by_user.refresh_token, &held)).await);
    let old = server.try_refresh(with(&by_user.refresh_token, &new)).await;
    assert_eq!(refusal(old), (Code::FailedPrecondition, "REFRESH_TOKEN_REFUSED".into()), "another client of that name");
    assert!(server.active(&server.issue(for_itself(&new)).await.access_token).await);
}

async fn the_secret_of_a_deleted_client_is_none_of_the_next_of_that_name(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    server.register_shop().await;
    let (_, held) = server.register(till()).await;
    other.follow().await;
    server.delete("till").await.unwrap();
    let (_, new) = server.register(till()).await;
    // The other still holds the first: its revocation tells of the second.
    is_no_client(other.try_issue(for_itself(&held)).await);
    other.issue(for_itself(&new)).await;
}

async fn a_client_that_is_deleted_while_it_refreshes_keeps_nothing(world: World) {
    let (server, other) = (Arc::new(world.start().await), Arc::new(world.start().await));
    server.register_shop().await;
    let (_, held) = server.register(till()).await;
    other.follow().await;
    let all_refresh = Arc::new(tokio::sync::Barrier::new(8 + 1));
    let mut refreshing = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (replica, held) = (Arc::clone(if number % 2 == 0 { &server } else { &other }), held.clone());
        let all_refresh = Arc::clone(&all_refresh);
        refreshing.spawn(async move {
            let issued: IssueResponse = replica.issue(IssueRequest { sub: format!("user-{number}"), ..by_alice() }).await;
            all_refresh.wait().await;
            let mut tokens = vec![issued.access_token];
            let mut token = issued.refresh_token;
            loop {
                match replica.try_refresh(with(&token, &held)).await {
                    Ok(RefreshResponse { access_token, refresh_token, .. }) => {
                        tokens.push(access_token);
                        token = refresh_token;
                    }
                    Err(ended) => return (tokens, token, ended),
                }
            }
        });
    }
    all_refresh.wait().await;
    server.delete("till").await.unwrap();
    while let Some(ended) = refreshing.join_next().await {
        let (tokens, last, status) = ended.unwrap();
        assert!(matches!(status.code(), Code::Unauthenticated | Code::FailedPrecondition), "{status:?}");
        for token in tokens.iter().chain([&last]) {
            assert!(!other.active(token).await);
        }
    }
}

#[tokio::test]
async fn what_a_deletion_that_was_cut_off_left_is_none_of_the_next_client_of_that_name() {
    let (store, world) = faulty();
    let (server, other) = (world.start().await, world.start().await);
    server.register_shop().await;
    server.register(till()).await;
    other.follow().await;
    let issued = other.issue(by_alice()).await;
    store.appends_nothing.store(true, Ordering::SeqCst);
    assert_eq!(server.delete("till").await.unwrap_err().code(), Code::Unavailable);
    store.appends_nothing.store(false, Ordering::SeqCst);

    // The other has not looked since, and takes the name for one that is there.
    let (_, new) = other.register(till()).await;
    let old = other.try_refresh(with(&issued.refresh_token, &new)).await;
    assert_eq!(refusal(old), (Code::FailedPrecondition, "REFRESH_TOKEN_REFUSED".into()));
    assert!(!other.active(&issued.access_token).await);
    assert!(other.active(&other.issue(for_itself(&new)).await.access_token).await);
}

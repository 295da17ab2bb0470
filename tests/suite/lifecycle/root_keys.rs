//! Root keys: rolled out without refusing a valid token, burnt for ever.

use super::registry;
use crate::on_every_store;
use crate::world::{Replica, SCOPES, World, alice, mobile, refusal, ring};
use jeton::api::revoke_request::Target;
use jeton::api::{Cause, Client, ListClientsRequest, RevokeRequest, RevokeResponse};
use jeton::app::App;
use jeton::config::Settings;
use jeton::records::name;
use jeton::roots::Roots;
use jeton::store::{Durability, STAMP_BYTES, Swap};
use tonic::Code;

on_every_store! {
    root_keys_are_appended_everywhere_and_then_made_first,
    a_replica_with_a_foreign_root_key_does_not_start_and_leaves_no_trace,
    what_a_burnt_root_key_proves_is_dead_everywhere_and_for_ever,
    a_burnt_root_key_can_leave_the_ring,
    a_root_key_that_nothing_replaces_is_not_burnt,
    a_root_key_that_the_store_forgot_was_burnt_is_burnt_again,
    a_grant_with_the_id_of_a_root_key_burns_none,
    who_had_it_first_goes_on_under_the_other,
}

const OPAQUE: &str = "offline_access payments:read";

fn with(world: &World, keys: &[u8]) -> Settings {
    Settings { root_keys: ring(keys), ..world.settings.clone() }
}

/// What names a root key.
fn id(key: u8) -> String {
    Roots::new(ring(&[key]).keys()).unwrap().active().to_string()
}

async fn burn(replica: &Replica, key: u8) -> RevokeResponse {
    replica.revoke(Target::RootKeyId(id(key))).await
}

async fn root_keys_are_appended_everywhere_and_then_made_first(world: World) {
    let old = world.start().await;
    let mut held = Vec::new();
    for scope in [SCOPES, "offline_access payments:read"] {
        held.push(old.issue(alice("mobile-app", scope)).await);
    }
    let appended = world.start_with(&with(&world, &[1, 2])).await;
    let first = world.start_with(&with(&world, &[2, 1])).await;
    for scope in [SCOPES, "offline_access payments:read"] {
        held.push(first.issue(alice("mobile-app", scope)).await);
    }
    for issued in &held {
        let mut token = issued.refresh_token.clone();
        for replica in [&first, &appended, &first] {
            assert!(replica.active(&issued.access_token).await && replica.active(&token).await);
            token = replica.refresh(mobile(&token)).await.refresh_token;
            world.pass(11);
        }
        appended.revoke(Target::Token(token.clone())).await;
        assert!(!first.active(&token).await);
    }
    // Out of order: this replica lacks a key that is in use. It cannot tell, and says so.
    let issued = first.issue(alice("mobile-app", "offline_access payments:read")).await;
    for token in [&issued.access_token, &issued.refresh_token] {
        let missing = (Code::Unavailable, "ROOT_KEY_MISSING".to_owned());
        assert_eq!(refusal(old.try_introspect(token, "").await), missing);
        let asked = RevokeRequest { target: Some(Target::Token(token.clone())), ..Default::default() };
        assert_eq!(refusal(old.try_revoke(asked).await), missing);
        if token.starts_with("jrt_") {
            assert_eq!(refusal(old.try_refresh(mobile(token)).await), missing);
        }
    }
    assert!(first.active(&issued.access_token).await);
    first.refresh(mobile(&issued.refresh_token)).await;
}

async fn a_replica_with_a_foreign_root_key_does_not_start_and_leaves_no_trace(world: World) {
    let server = world.start().await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let ring_before = world.store().await.get(&[name::ring()]).await.unwrap().values;
    let foreign = with(&world, &[9]);
    let refused = App::on(world.store().await, &foreign, world.clock.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("root key"), "{refused}");
    assert_eq!(world.store().await.get(&[name::ring()]).await.unwrap().values, ring_before);
    server.refresh(mobile(&issued.refresh_token)).await;
}

async fn what_a_burnt_root_key_proves_is_dead_everywhere_and_for_ever(world: World) {
    let old = world.start().await;
    let [stays, moves] = [old.issue(alice("mobile-app", OPAQUE)).await, old.issue(alice("mobile-app", OPAQUE)).await];
    drop(old);
    let (server, other) = (world.start_with(&with(&world, &[2, 1])).await, world.start_with(&with(&world, &[2, 1])).await);
    let moved = server.refresh(mobile(&moves.refresh_token)).await;
    let new = server.issue(alice("mobile-app", SCOPES)).await;
    assert_eq!(server.count(Target::RootKeyId(id(1))).await, None);
    for token in [&stays.access_token, &stays.refresh_token, &moves.access_token, &new.access_token] {
        assert!(server.active(token).await && other.active(token).await, "a dry run ends nothing");
    }

    burn(&server, 1).await;
    for replica in [&other, &server] {
        for dead in [&stays.access_token, &stays.refresh_token, &moves.access_token] {
            assert!(!replica.active(dead).await);
            assert_eq!(replica.cause(dead).await, Cause::KeyBurnt);
        }
        assert!(!replica.active(&new.access_token).await, "a signing key of its time signed it");
        let refused = refusal(replica.try_refresh(mobile(&stays.refresh_token)).await);
        assert_eq!(refused, (Code::FailedPrecondition, "REFRESH_TOKEN_REFUSED".to_owned()));
        for lives in [&moved.access_token, &moved.refresh_token, &new.refresh_token] {
            assert!(replica.active(lives).await, "the other key proves it");
        }
    }
    let again = other.refresh(mobile(&new.refresh_token)).await;
    assert_eq!(burn(&other, 1).await.revision, burn(&server, 1).await.revision, "it is burnt once");
    assert!(server.active(&again.access_token).await && other.active(&again.access_token).await, "signed by a key of after");

    // The log forgets. Grants live on.
    world.pass(world.settings.tokens.access_token_ceiling.secs() + 3 * 3_600);
    for replica in [&server, &other] {
        replica.app.alive.settle().await.unwrap();
    }
    let late = world.start_with(&with(&world, &[2, 1])).await;
    for replica in [&late, &server, &other] {
        assert!(!replica.active(&stays.refresh_token).await);
        assert!(refusal(replica.try_refresh(mobile(&stays.refresh_token)).await).1 == "REFRESH_TOKEN_REFUSED");
    }
    assert!(late.active(&late.refresh(mobile(&moved.refresh_token)).await.access_token).await);
}

async fn a_burnt_root_key_can_leave_the_ring(world: World) {
    let old = world.start().await;
    old.register(Client { client_id: "till".into(), ..registry::mobile() }).await;
    let moves = old.issue(alice("mobile-app", OPAQUE)).await;
    drop(old);
    let server = world.start_with(&with(&world, &[2, 1])).await;
    let moved = server.refresh(mobile(&moves.refresh_token)).await;
    burn(&server, 1).await;
    let without = world.start_with(&with(&world, &[2])).await;
    assert!(without.active(&moved.refresh_token).await);
    assert!(!without.active(&moves.access_token).await);
    let listed = without.clients.clone().list_clients(ListClientsRequest::default()).await.unwrap().into_inner();
    assert!(listed.clients.into_iter().any(|known| known.client.unwrap().client_id == "till"));
    let next = without.refresh(mobile(&moved.refresh_token)).await;
    assert!(server.active(&next.access_token).await);
}

async fn a_root_key_that_nothing_replaces_is_not_burnt(world: World) {
    let old = world.start().await;
    let issued = old.issue(alice("mobile-app", OPAQUE)).await;
    let tried = async |replica: &Replica, id: &str| {
        let asked = RevokeRequest { target: Some(Target::RootKeyId(id.into())), ..Default::default() };
        refusal(replica.try_revoke(asked).await)
    };
    let invalid = (Code::InvalidArgument, "INVALID_FIELD".to_owned());
    assert_eq!(tried(&old, &id(1)).await, invalid);
    assert_eq!(tried(&old, "no id").await, invalid);
    assert_eq!(tried(&old, &id(9)).await, (Code::NotFound, "KEY_UNKNOWN".to_owned()));
    let new = world.start_with(&with(&world, &[2, 1])).await;
    assert_eq!(tried(&new, &id(2)).await, invalid);
    assert_eq!(tried(&old, &id(1)).await, invalid, "that one has no other");
    let counted = RevokeRequest { target: Some(Target::RootKeyId(id(1))), dry_run: true, ..Default::default() };
    assert_eq!(refusal(old.try_revoke(counted).await), invalid);
    assert!(new.active(&issued.refresh_token).await && old.active(&issued.refresh_token).await);
}

/// A store that fell back has the ring as it was. Who knew better lets nothing pass in between, and says it again: by the log, and without.
async fn a_root_key_that_the_store_forgot_was_burnt_is_burnt_again(world: World) {
    let old = world.start().await;
    let issued = old.issue(alice("mobile-app", OPAQUE)).await;
    let (server, other) = (world.start_with(&with(&world, &[2, 1])).await, world.start_with(&with(&world, &[2, 1])).await);
    let (store, names) = (world.store().await, [name::ring()]);
    let ring = async || store.get(&names).await.unwrap().values.remove(0).unwrap();
    let before = ring().await;
    burn(&server, 1).await;
    for forgets in [false, true] {
        if forgets {
            world.pass(world.settings.tokens.access_token_ceiling.secs() + 3 * 3_600);
            for replica in [&server, &other] {
                replica.app.alive.settle().await.unwrap();
            }
        }
        let expected = ring().await[..STAMP_BYTES].try_into().ok();
        let value = Some(before.clone());
        let fallen = Swap { name: name::ring(), expected, value, expires_at: None, needs: Durability::Applied };
        store.swap(&fallen, &[]).await.unwrap();
        for replica in [&other, &server] {
            assert_eq!(refusal(replica.try_refresh(mobile(&issued.refresh_token)).await).1, "REFRESH_TOKEN_REFUSED");
            assert!(!replica.active(&issued.access_token).await);
        }
        server.app.service.refresh_root_keys().await.unwrap();
        let late = world.start_with(&with(&world, &[2, 1])).await;
        assert!(late.app.records.roots().is_burnt(old.app.records.roots().active()));
        assert!(!late.active(&issued.refresh_token).await);
    }
}

/// A grant may be revoked by any id, also by that under which a root key is burnt.
async fn a_grant_with_the_id_of_a_root_key_burns_none(world: World) {
    let server = world.start_with(&with(&world, &[2, 1])).await;
    for key in [1, 2] {
        let root_key = Roots::new(ring(&[key]).keys()).unwrap().active();
        let target = server.app.alive.salt().root_key(root_key);
        server.revoke(Target::GrantId(jeton_domain::id::GrantId(target.0).to_string())).await;
    }
    server.app.service.refresh_root_keys().await.unwrap();
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    server.refresh(mobile(&issued.refresh_token)).await;
    assert_eq!(server.app.records.roots().in_use().len(), 2);
}

/// That it was burnt is learnt before a token is made; who has no other can make none, and says so.
async fn who_had_it_first_goes_on_under_the_other(world: World) {
    let (alone, old) = (world.start().await, world.start_with(&with(&world, &[1, 2])).await);
    let server = world.start_with(&with(&world, &[2, 1])).await;
    burn(&server, 1).await;
    let issued = old.issue(alice("mobile-app", SCOPES)).await;
    assert!(server.active(&issued.access_token).await);
    server.refresh(mobile(&issued.refresh_token)).await;
    assert_eq!(old.app.service.root_keys_wrong(), None);
    alone.app.service.refresh_root_keys().await.unwrap();
    assert!(alone.app.service.root_keys_wrong().unwrap().contains(&id(1)));
}

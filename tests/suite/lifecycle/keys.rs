//! Signing keys: published ahead, rotated without refusing a valid token, burnt for ever.

use super::claims::verified;
use crate::on_every_store;
use crate::world::{ORDERS, Replica, SCOPES, World, alice, mobile, refusal};
use jeton::api::revoke_request::Target;
use jeton::api::{Cause, KeyState, ListKeysRequest, RevokeRequest, RotateKeyRequest, SigningKey};
use jeton_domain::client::Algorithm;
use std::collections::BTreeMap;
use tonic::Code;

on_every_store! {
    a_key_that_the_store_forgot_was_burnt_is_burnt_again,
    a_store_without_its_salt_is_not_used,
    a_standby_key_is_always_published,
    a_rotation_refuses_no_valid_token,
    keys_rotate_by_schedule_and_replicas_agree,
    a_retired_key_stays_as_long_as_a_token_for_the_issuer_itself,
    a_burnt_key_ends_what_it_signed_and_nothing_else,
    keys_burnt_one_after_another_leave_every_replica_signing,
    an_unknown_key_cannot_be_burnt_or_rotated,
    keys_for_rs256_are_made_where_they_are_needed_and_known_everywhere,
    keys_for_rs256_leave_the_key_set_where_nobody_needs_them_any_more,
}

async fn kid(server: &Replica, jwt: &str) -> String {
    verified(server, jwt).await.0.kid.unwrap()
}

async fn keys(server: &Replica) -> Vec<SigningKey> {
    server.keys.clone().list_keys(ListKeysRequest {}).await.unwrap().into_inner().keys
}

async fn states(server: &Replica, alg: &str) -> BTreeMap<String, KeyState> {
    keys(server).await.into_iter().filter(|key| key.alg == alg).map(|key| (key.kid.clone(), key.state())).collect()
}

fn count(states: &BTreeMap<String, KeyState>, state: KeyState) -> usize {
    states.values().filter(|one| **one == state).count()
}

async fn rotate(server: &Replica) -> (SigningKey, Option<SigningKey>) {
    let asked = RotateKeyRequest { alg: "EdDSA".into() };
    let done = server.keys.clone().rotate_key(asked).await.unwrap().into_inner();
    (done.active.unwrap(), done.standby)
}

/// Until a key that was just made is known to everybody who may have cached the key set.
fn known_after(world: &World) -> u64 {
    world.settings.signing.jwks_max_age.secs() + jeton::signing::NOTICE.secs()
}

async fn refresh_keys(replicas: [&Replica; 2]) {
    for replica in replicas {
        replica.app.service.refresh_keys().await.unwrap();
    }
}

async fn a_standby_key_is_always_published(world: World) {
    let server = world.start().await;
    let published = server.jwks().await;
    assert_eq!(published.max_age, i64::try_from(world.settings.signing.jwks_max_age.secs()).unwrap());
    for alg in ["EdDSA", "ES256"] {
        let states = states(&server, alg).await;
        assert_eq!((count(&states, KeyState::Active), count(&states, KeyState::Standby)), (1, 1), "{alg}");
        let of_alg: Vec<_> = published.keys.iter().filter(|key| key.alg == alg).map(|key| key.kid.clone()).collect();
        assert_eq!(of_alg.len(), 2);
        assert!(of_alg.iter().all(|kid| states.contains_key(kid)));
    }
    assert!(published.keys.iter().all(|key| key.r#use == "sig"));
}

async fn a_rotation_refuses_no_valid_token(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    let mut alive = Vec::new();
    for round in 0..4 {
        let before = server.issue(alice("mobile-app", SCOPES)).await;
        let signed_by = kid(&server, &before.access_token).await;
        let (active, _) = rotate(&server).await;
        assert_ne!(active.kid, signed_by, "round {round}");
        // Asked again nothing changes.
        assert_eq!(rotate(&other).await.0.kid, active.kid);
        alive.push(before);
        world.pass(known_after(&world));
        refresh_keys([&other, &server]).await;
        for replica in [&server, &other] {
            let after = replica.issue(alice("mobile-app", SCOPES)).await;
            assert_eq!(kid(&other, &after.access_token).await, active.kid, "it has taken over");
            assert_eq!(kid(&other, &after.id_token).await, active.kid);
            alive.push(after);
            let states = states(replica, "EdDSA").await;
            assert_eq!((count(&states, KeyState::Active), count(&states, KeyState::Standby)), (1, 1));
        }
        for issued in &alive {
            let lives = world.now() < server.explain(&issued.refresh_token).await.grant.unwrap().created_at + 300;
            for replica in [&server, &other] {
                assert_eq!(replica.active(&issued.access_token).await, lives, "round {round}");
            }
        }
    }
    for issued in &alive {
        let refreshed = other.refresh(mobile(&issued.refresh_token)).await;
        assert!(server.active(&refreshed.access_token).await);
    }
}

async fn keys_rotate_by_schedule_and_replicas_agree(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    let first = server.issue(alice("mobile-app", SCOPES)).await;
    let mut signers = vec![kid(&server, &first.access_token).await];
    let period = world.settings.signing.rotation_period.secs();
    for _ in 0..3 {
        // One second before the change, one replica having read the keys last when the period began.
        world.pass(period - 1);
        let last = server.issue(alice("mobile-app", SCOPES)).await;
        assert_eq!(kid(&other, &last.access_token).await, *signers.last().unwrap());
        world.pass(1);
        let [one, two] = [server.issue(alice("mobile-app", SCOPES)).await, other.issue(alice("mobile-app", SCOPES)).await];
        let signer = kid(&server, &one.access_token).await;
        assert_eq!(signer, kid(&server, &two.access_token).await, "both change at the same moment, without a word");
        assert!(!signers.contains(&signer));
        signers.push(signer);
        for token in [&last.access_token, &one.access_token, &two.access_token] {
            assert!(server.active(token).await && other.active(token).await);
        }
        refresh_keys([&other, &server]).await;
    }
    let states = states(&server, "EdDSA").await;
    assert!(!states.contains_key(&signers[0]), "long retired keys go");
}

async fn a_retired_key_stays_as_long_as_a_token_for_the_issuer_itself(world: World) {
    let minute = jeton_domain::time::Millis::from_secs(60);
    let mut settings = world.with_resource(ORDERS, |resource| resource.access_token_lifetime = minute);
    settings.clients.iter_mut().for_each(|client| client.id_token_lifetime = minute);
    settings.tokens.access_token_ceiling = minute;
    let server = world.start_with(&settings).await;
    world.pass(known_after(&world));
    let issued = server.issue(alice("mobile-app", "openid profile")).await;
    rotate(&server).await;
    world.pass(u64::try_from(issued.expires_in).unwrap() - 1);
    server.app.service.refresh_keys().await.unwrap();
    assert!(server.active(&issued.access_token).await, "its key is still published");
    verified(&server, &issued.access_token).await;
}

async fn a_burnt_key_ends_what_it_signed_and_nothing_else(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    let jwt = server.issue(alice("mobile-app", SCOPES)).await;
    let opaque = server.issue(alice("mobile-app", "offline_access payments:read")).await;
    let burnt = kid(&server, &jwt.access_token).await;
    server.revoke(Target::Kid(burnt.clone())).await;
    let lives = async |replica: &Replica, when: &str| {
        assert!(!replica.active(&jwt.access_token).await, "{when}");
        assert_eq!(replica.cause(&jwt.access_token).await, Cause::KeyBurnt, "{when}");
        for token in [&opaque.access_token, &opaque.refresh_token, &jwt.refresh_token] {
            assert!(replica.active(token).await, "{when}");
        }
        let again = replica.issue(alice("mobile-app", SCOPES)).await;
        let refreshed = replica.refresh(mobile(&again.refresh_token)).await;
        for token in [&again.access_token, &refreshed.access_token] {
            for anyone in [&server, &other] {
                assert!(anyone.active(token).await, "what is signed after it, {when}");
            }
            assert_ne!(kid(replica, token).await, burnt);
        }
        assert_ne!(kid(replica, &refreshed.id_token).await, burnt);
        assert!(replica.jwks().await.keys.iter().all(|key| key.kid != burnt), "{when}");
        assert_eq!(states(replica, "EdDSA").await.get(&burnt), Some(&KeyState::Burnt), "{when}");
    };
    lives(&other, "on a replica that was not asked").await;
    lives(&server, "here").await;
    other.app.alive.settle().await.unwrap();
    let fresh = world.start().await;
    lives(&fresh, "on a replica that starts afterwards").await;
    lives(&other, "settled").await;
    // Burning is for ever, and repeating it is harmless.
    server.revoke(Target::Kid(burnt)).await;
}

async fn keys_burnt_one_after_another_leave_every_replica_signing(world: World) {
    let (server, other, reader) = (world.start().await, world.start().await, world.start().await);
    let mut dead = Vec::new();
    for round in 0..4 {
        let issued = other.issue(alice("mobile-app", "orders:read")).await;
        assert!(server.active(&issued.access_token).await, "round {round}");
        assert!(!reader.active("e30.e30.e30").await);
        assert!(reader.active(&issued.access_token).await, "round {round}: signed with a key that this replica has not seen yet");
        assert!(other.active(&issued.access_token).await, "round {round}");
        server.revoke(Target::Kid(kid(&other, &issued.access_token).await)).await;
        dead.push(issued.access_token);
        for token in &dead {
            for replica in [&server, &other, &reader] {
                assert!(!replica.active(token).await, "round {round}");
            }
        }
    }
    // A standby can be burnt too: another takes its place.
    let standby = states(&server, "EdDSA").await.into_iter().find(|(_, state)| *state == KeyState::Standby).unwrap().0;
    server.revoke(Target::Kid(standby.clone())).await;
    let states = states(&other, "EdDSA").await;
    assert_eq!((count(&states, KeyState::Active), count(&states, KeyState::Standby)), (1, 1));
    assert_eq!(states[&standby], KeyState::Burnt);
    assert!(other.active(&other.issue(alice("mobile-app", "orders:read")).await.access_token).await);
}

async fn an_unknown_key_cannot_be_burnt_or_rotated(world: World) {
    let server = world.start().await;
    let asked = RevokeRequest { target: Some(Target::Kid("no-such-key".into())), ..Default::default() };
    assert_eq!(refusal(server.try_revoke(asked).await), (Code::NotFound, "KEY_UNKNOWN".into()));
    for alg in ["", "HS256", "none", "eddsa"] {
        let answer = server.keys.clone().rotate_key(RotateKeyRequest { alg: alg.into() }).await;
        assert_eq!(refusal(answer), (Code::InvalidArgument, "INVALID_FIELD".into()), "{alg}");
    }
    let of_none = server.keys.clone().rotate_key(RotateKeyRequest { alg: "RS256".into() }).await;
    assert_eq!(refusal(of_none), (Code::NotFound, "KEY_UNKNOWN".into()), "nothing is configured for it");
    assert_eq!(server.count(Target::Kid(keys(&server).await[0].kid.clone())).await, None);
    let es256 = world.with_resource(ORDERS, |resource| resource.algorithm = Algorithm::Es256);
    let other = world.start_with(&es256).await;
    let issued = other.issue(alice("mobile-app", "orders:read")).await;
    let eddsa = states(&server, "EdDSA").await.into_iter().find(|(_, state)| *state == KeyState::Active).unwrap().0;
    server.revoke(Target::Kid(eddsa)).await;
    assert!(other.active(&issued.access_token).await && server.active(&issued.access_token).await);
}

async fn keys_for_rs256_are_made_where_they_are_needed_and_known_everywhere(world: World) {
    let rs256 = "RS256";
    let needs_none = world.start().await;
    assert!(states(&needs_none, rs256).await.is_empty());
    let mut settings = world.with_resource(ORDERS, |resource| resource.algorithm = Algorithm::Rs256);
    settings.clients.iter_mut().for_each(|client| client.id_token_algorithm = Algorithm::Rs256);
    let needs = world.start_with(&settings).await;
    let issued = needs.issue(alice("mobile-app", SCOPES)).await;
    for jwt in [&issued.access_token, &issued.id_token] {
        assert_eq!(verified(&needs, jwt).await.0.alg, jsonwebtoken::Algorithm::RS256);
    }
    assert!(needs_none.active(&issued.access_token).await, "signed with a key that this replica has not seen yet");
    for replica in [&needs, &needs_none] {
        let states = states(replica, rs256).await;
        assert_eq!((count(&states, KeyState::Active), count(&states, KeyState::Standby)), (1, 1));
        let published = replica.jwks().await.keys;
        let published: Vec<_> = published.iter().filter(|key| key.alg == rs256).collect();
        assert_eq!(published.len(), 2);
        assert!(published.iter().all(|key| key.kty == "RSA" && key.n.len() == 342 && key.e == "AQAB" && key.x.is_empty()));
    }
    // Whoever needs none lets them rotate and burns them like every other; the next is made by who does.
    world.pass(known_after(&world));
    let before = needs.issue(alice("mobile-app", SCOPES)).await;
    needs_none.keys.clone().rotate_key(RotateKeyRequest { alg: rs256.into() }).await.unwrap();
    refresh_keys([&needs_none, &needs]).await;
    let next = needs.issue(alice("mobile-app", SCOPES)).await;
    let signer = kid(&needs, &next.access_token).await;
    assert_ne!(signer, kid(&needs, &before.access_token).await);
    needs_none.revoke(Target::Kid(signer)).await;
    assert!(!needs.active(&next.access_token).await && needs.active(&before.access_token).await);
    let after = needs.issue(alice("mobile-app", SCOPES)).await;
    assert!(needs_none.active(&after.access_token).await);
}

async fn keys_for_rs256_leave_the_key_set_where_nobody_needs_them_any_more(world: World) {
    let settings = world.with_resource(ORDERS, |resource| resource.algorithm = Algorithm::Rs256);
    let needs = world.start_with(&settings).await;
    needs.issue(alice("mobile-app", SCOPES)).await;
    drop(needs);
    let needs_none = world.start().await;
    let (turn, ahead) = (world.settings.signing.rotation_period.secs(), world.settings.signing.publish_ahead.secs());
    // The standby's turn comes; it gets no successor, and goes when what it may have signed is dead.
    for (seconds, published) in [(0, 2), (turn, 2), (ahead, 1), (ahead, 1), (2 * 3_600, 0)] {
        world.pass(seconds);
        needs_none.app.service.refresh_keys().await.unwrap();
        let keys = needs_none.jwks().await.keys;
        assert_eq!(keys.iter().filter(|key| key.alg == "RS256").count(), published, "{seconds} s later");
        assert!(keys.iter().any(|key| key.alg == "EdDSA"));
    }
}

/// A store that fell back has the key's document as it was, and the log was healed.
async fn a_key_that_the_store_forgot_was_burnt_is_burnt_again(world: World) {
    let server = world.start().await;
    let document = async || server.app.records.signing_keys().await.unwrap().0.unwrap().value;
    let before = document().await;
    let kid = server.jwks().await.keys[0].kid.clone();
    server.revoke(Target::Kid(kid.clone())).await;
    server.app.records.change_signing_keys(|_| Ok(Some(before.clone()))).await.unwrap();
    server.app.service.refresh_keys().await.unwrap();
    let key = document().await.keys.into_iter().find(|key| key.kid == kid);
    assert!(key.is_none_or(|key| key.burnt_at != 0 && key.private.is_empty()));
}

/// With another salt its revocations would say nothing.
async fn a_store_without_its_salt_is_not_used(world: World) {
    let server = world.start().await;
    server.revoke(Target::Sub("alice".into())).await;
    let (store, name) = (world.store().await, jeton::records::name::salt());
    let held = store.get(std::slice::from_ref(&name)).await.unwrap().values.remove(0).unwrap();
    let expected = held[..jeton::store::STAMP_BYTES].try_into().ok();
    let gone = jeton::store::Swap { name, expected, value: None, expires_at: None, needs: jeton::store::Durability::Applied };
    store.swap(&gone, &[]).await.unwrap();
    drop(server);
    let refused = jeton::app::App::on(store, &world.settings, world.clock.clone()).await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("the salt is gone"), "{refused}");
}

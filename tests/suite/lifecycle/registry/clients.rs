//! Clients and resources that are registered serve, and change.

use super::{SHOP, by_alice, fields_of, for_itself, is_no_client, shop, till, with};
use crate::on_every_store;
use crate::rfc::proof::Prover;
use crate::world::{Replica, World, refusal};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton::api::{Client, ClientAuthentication, CreateResourceRequest, DeleteClientRequest, IssueRequest, Resource};
use jeton_domain::hex::written_hash;
use std::sync::Arc;
use tonic::{Code, Response};
use tonic_types::StatusExt as _;

on_every_store! {
    what_is_registered_serves_on_every_replica_and_after_a_restart,
    a_new_secret_and_the_old_one_are_both_valid_for_a_while,
    a_secret_that_leaked_ends_at_once,
    two_operators_do_not_overwrite_each_other,
    a_client_with_keys_needs_no_secret,
    a_client_with_a_certificate_needs_no_secret,
    a_longer_lifetime_is_allowed_for_before_it_is_used,
    keys_for_rs256_are_there_when_a_client_is_registered_for_it,
    a_policy_holds_from_the_next_refresh_on,
}

async fn what_is_registered_serves_on_every_replica_and_after_a_restart(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    server.register_shop().await;
    let (till_now, held) = server.register(till()).await;
    assert!(held.starts_with("jcs_") && held.len() == 47, "256 bits");
    assert_eq!((till_now.secrets, till_now.read_only), (1, false));
    let defaults = till_now.client.unwrap();
    assert_eq!((defaults.idle_lifetime, defaults.absolute_lifetime, defaults.id_token_lifetime), (1_209_600, 7_776_000, 3_600));

    assert!(server.active(&server.issue(for_itself(&held)).await.access_token).await, "the one that answered knows it");
    is_no_client(other.try_issue(for_itself(&held)).await);
    other.follow().await;
    let issued = other.issue(by_alice()).await;
    let refreshed = other.refresh(with(&issued.refresh_token, &held)).await;
    assert!(server.active_for(&refreshed.access_token, SHOP).await);
    is_no_client(other.try_issue(for_itself("jcs_wrong")).await);

    let again = world.start().await;
    assert_eq!(again.registered("till").await.unwrap(), server.registered("till").await.unwrap());
    assert!(again.active(&again.issue(for_itself(&held)).await.access_token).await);
}

async fn a_new_secret_and_the_old_one_are_both_valid_for_a_while(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    server.register_shop().await;
    let (_, old) = server.register(till()).await;
    let new = server.rotate(Some(60)).await;
    assert_ne!(old, new);
    let now = server.registered("till").await.unwrap();
    assert_eq!((now.secrets, now.old_secrets_end_at), (2, world.now() + 60));
    other.follow().await;
    for replica in [&server, &other] {
        replica.issue(for_itself(&old)).await;
        replica.issue(for_itself(&new)).await;
    }
    world.pass(60);
    for replica in [&server, &other] {
        is_no_client(replica.try_issue(for_itself(&old)).await);
        replica.issue(for_itself(&new)).await;
    }
    assert_eq!(server.registered("till").await.unwrap().secrets, 1);
    // Whoever did not get the answer asks again, and nobody is locked out.
    let (lost, newest) = (server.rotate(None).await, server.rotate(None).await);
    for held in [&new, &lost, &newest] {
        server.issue(for_itself(held)).await;
    }
    assert_eq!(server.registered("till").await.unwrap().old_secrets_end_at, world.now() + 24 * 3_600);
    // What is said last holds for all of them.
    let last = server.rotate(Some(60)).await;
    assert_eq!(server.registered("till").await.unwrap().old_secrets_end_at, world.now() + 60);
    world.pass(60);
    for held in [&new, &lost, &newest] {
        is_no_client(server.try_issue(for_itself(held)).await);
    }
    server.issue(for_itself(&last)).await;
}

async fn a_secret_that_leaked_ends_at_once(world: World) {
    let server = world.start().await;
    server.register_shop().await;
    let (_, leaked) = server.register(till()).await;
    let other_leaked = server.rotate(Some(600)).await;
    let new = server.rotate(Some(0)).await;
    for held in [&leaked, &other_leaked] {
        is_no_client(server.try_issue(for_itself(held)).await);
    }
    server.issue(for_itself(&new)).await;
}

async fn two_operators_do_not_overwrite_each_other(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    server.register_shop().await;
    let (first, held) = server.register(till()).await;
    other.follow().await;
    let narrower = Client { grants_per_subject: 3, ..till() };
    let changed = server.try_update(narrower.clone(), &first.etag).await.unwrap();
    assert_ne!(changed.etag, first.etag);
    let late = other.try_update(Client { grants_per_subject: 9, ..till() }, &first.etag).await;
    assert_eq!(refusal(late), (Code::FailedPrecondition, "REGISTRATION_CHANGED".into()));
    assert_eq!(server.registered("till").await.unwrap(), changed);
    server.issue(for_itself(&held)).await;

    let attempts = (1..=16).map(|count| {
        let asked = Client { grants_per_subject: count, ..till() };
        let replica = if count % 2 == 0 { &server } else { &other };
        replica.try_update(asked, &changed.etag)
    });
    let ended = futures_util::future::join_all(attempts).await;
    let won: Vec<_> = ended.into_iter().filter_map(Result::ok).collect();
    assert_eq!(won.len(), 1, "one of many that read the same");
    other.follow().await;
    assert_eq!(other.registered("till").await.unwrap(), won[0]);

    assert_eq!(refusal(server.try_register(till()).await), (Code::AlreadyExists, "REGISTRATION_EXISTS".into()));
    let stale = DeleteClientRequest { client_id: "till".into(), etag: first.etag };
    let stale = server.clients.clone().delete_client(stale).await.map(Response::into_inner);
    assert_eq!(refusal(stale), (Code::FailedPrecondition, "REGISTRATION_CHANGED".into()));
}

async fn a_client_with_keys_needs_no_secret(world: World) {
    let prover = Prover::new();
    let jwks = serde_json::json!({ "keys": [prover.named("one")] }).to_string();
    let (server, other) = (world.start().await, world.start().await);
    server.register_shop().await;
    let (made, held) = server.register(Client { jwks, ..till() }).await;
    assert_eq!((held.as_str(), made.secrets), ("", 0));
    other.follow().await;
    let by_key = |replica: &Replica| {
        let assertion = prover.assertion("till", "till", world.now()).header("kid", "one").signed();
        let client_authentication = Some(ClientAuthentication { client_assertion: assertion, ..Default::default() });
        let asked = IssueRequest { client_authentication, ..for_itself("") };
        let mut tokens = replica.tokens.clone();
        async move { tokens.issue(asked).await.map(Response::into_inner) }
    };
    by_key(&server).await.unwrap();
    by_key(&other).await.unwrap();
    assert_eq!(fields_of(&server.try_update(till(), &made.etag).await.unwrap_err()), ["client.jwks"], "it would have nothing");
    let secret = server.rotate(None).await;
    server.issue(for_itself(&secret)).await;
    by_key(&server).await.unwrap();
    let now = server.registered("till").await.unwrap();
    let changed = server.try_update(till(), &now.etag).await.unwrap();
    assert_eq!(changed.client.unwrap().jwks, "");
    is_no_client(by_key(&server).await);
    server.issue(for_itself(&secret)).await;
}

async fn a_client_with_a_certificate_needs_no_secret(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    server.register_shop().await;
    let [first, next] = [[1_u8; 32], [2; 32]];
    let known_by = |hashes: &[[u8; 32]]| Client {
        self_signed_certificates: hashes.iter().map(written_hash).collect(),
        tls_client_certificate_bound_access_tokens: true,
        ..till()
    };
    let (made, held) = server.register(known_by(&[first])).await;
    assert_eq!((held.as_str(), made.secrets), ("", 0));
    assert_eq!(made.client.unwrap().self_signed_certificates, [written_hash(&first)]);
    other.follow().await;
    let shown = |replica: &Replica, hash: [u8; 32]| {
        let certificate_thumbprint = URL_SAFE_NO_PAD.encode(hash);
        let client_authentication = Some(ClientAuthentication { certificate_thumbprint, ..Default::default() });
        let asked = IssueRequest { client_authentication, ..for_itself("") };
        let mut tokens = replica.tokens.clone();
        async move { tokens.issue(asked).await.map(Response::into_inner) }
    };
    for replica in [&server, &other] {
        let token = shown(replica, first).await.unwrap().access_token;
        let cnf = replica.introspect(&token).await.cnf.unwrap();
        assert_eq!(cnf.x5t_s256, URL_SAFE_NO_PAD.encode(first), "it is bound");
        is_no_client(shown(replica, next).await);
        is_no_client(replica.try_issue(for_itself("")).await);
    }
    let both = server.try_update(known_by(&[first, next]), &made.etag).await.unwrap();
    let after = server.try_update(known_by(&[next]), &both.etag).await.unwrap();
    shown(&server, next).await.unwrap();
    is_no_client(shown(&server, first).await);
    assert_eq!(fields_of(&server.try_update(till(), &after.etag).await.unwrap_err()), ["client.jwks"], "it would have nothing");
}

async fn a_longer_lifetime_is_allowed_for_before_it_is_used(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    let horizon = other.app.alive.horizon();
    let asked = CreateResourceRequest { resource: Some(Resource { access_token_lifetime: 86_400, ..shop() }) };
    server.resources.clone().create_resource(asked).await.unwrap();
    server.register(Client { absolute_lifetime: 315_360_000, ..till() }).await;
    other.follow().await;
    for replica in [&server, &other] {
        let ceilings = replica.app.alive.ceilings();
        assert_eq!((ceilings.access_token.secs(), ceilings.grant.secs()), (86_400, 315_360_000));
        assert!(replica.app.alive.horizon() > horizon, "no revocation is forgotten while such a token lives");
    }
    // The key that signed is published until the last of them is over.
    let issued = other.issue(by_alice()).await;
    let signed_by = jsonwebtoken::decode_header(&issued.access_token).unwrap().kid.unwrap();
    other.keys.clone().rotate_key(jeton::api::RotateKeyRequest { alg: "EdDSA".into() }).await.unwrap();
    world.pass(80_000);
    for replica in [&server, &other] {
        replica.app.service.refresh_keys().await.unwrap();
        assert!(replica.jwks().await.keys.iter().any(|key| key.kid == signed_by));
        assert!(replica.active(&issued.access_token).await);
    }
}

async fn keys_for_rs256_are_there_when_a_client_is_registered_for_it(mut world: World) {
    world.settings.resources = world
        .settings
        .resources
        .iter()
        .cloned()
        .map(|mut resource| {
            resource.algorithm = jeton_domain::client::Algorithm::EdDsa;
            resource
        })
        .map(Arc::new)
        .collect();
    for client in &mut world.settings.clients {
        client.id_token_algorithm = jeton_domain::client::Algorithm::EdDsa;
    }
    let (server, other) = (world.start().await, world.start().await);
    assert!(server.jwks().await.keys.iter().all(|key| key.alg != "RS256"));
    let asked = CreateResourceRequest { resource: Some(Resource { algorithm: "RS256".into(), ..shop() }) };
    server.resources.clone().create_resource(asked).await.unwrap();
    let (_, held) = server.register(till()).await;
    other.follow().await;
    for replica in [&server, &other] {
        let token = replica.issue(for_itself(&held)).await.access_token;
        assert_eq!(jsonwebtoken::decode_header(&token).unwrap().alg, jsonwebtoken::Algorithm::RS256);
        assert!(server.active(&token).await && other.active(&token).await);
    }
}

async fn a_policy_holds_from_the_next_refresh_on(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    let plain = server.register_shop().await;
    let (_, held) = server.register(till()).await;
    other.follow().await;
    let issued = server.issue(IssueRequest { authentication: None, ..by_alice() }).await;
    let strict = Resource { amr_values: vec!["mfa".into()], ..shop() };
    let strict = server.update_policy(strict, &plain.etag).await;
    other.follow().await;
    for replica in [&server, &other] {
        let refused = replica.try_refresh(with(&issued.refresh_token, &held)).await.unwrap_err();
        assert_eq!(refused.get_error_details().error_info().unwrap().metadata["amr_values"], "mfa");
        assert_eq!(refusal::<()>(Err(refused)), (Code::FailedPrecondition, "REAUTHENTICATION_REQUIRED".into()));
    }
    server.update_policy(shop(), &strict.etag).await;
    server.refresh(with(&issued.refresh_token, &held)).await;
}

//! What the file names, what the store has, and what a replica holds: which of them is meant.

use super::{SHOP, faulty, for_itself, is_no_client, mobile, shop, till};
use crate::on_every_store;
use crate::world::{ORDERS, World, alice, refusal};
use jeton::api::{
    Client, CreateResourceRequest, DeleteResourceRequest, GetResourceRequest, IssueRequest, ListClientsRequest,
    ListResourcesRequest, Resource, RotateClientSecretRequest,
};
use jeton::records::name;
use jeton::store::{Durability, Name, STAMP_BYTES, Store, Swap, Swapped};
use jeton_domain::client::{Client as DomainClient, ClientKind};
use jeton_domain::name::ClientId;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tonic::{Code, Response};

on_every_store! {
    what_the_file_names_is_changed_there_only,
    where_the_file_names_what_is_registered_the_file_is_meant_and_it_is_said,
    what_the_store_lost_is_put_back,
}

/// Everything that is registered, as it lies in the store.
async fn parts(store: &Arc<dyn Store>) -> Vec<(Name, Option<bytes::Bytes>)> {
    let names: Vec<Name> = (0..1_024).map(name::registry_part).chain([name::registry()]).collect();
    let values = store.get(&names).await.unwrap().values;
    names.into_iter().zip(values).collect()
}

/// Makes the store say what it said.
async fn fall_back(store: &Arc<dyn Store>, to: Vec<(Name, Option<bytes::Bytes>)>) {
    for ((name, value), (_, now)) in to.into_iter().zip(parts(store).await) {
        let expected = now.as_ref().map(|now| now[..STAMP_BYTES].try_into().unwrap());
        if now != value {
            let swap = Swap { name, expected, value, expires_at: None, needs: Durability::Applied };
            assert_eq!(store.swap(&swap, &[]).await.unwrap().0, Swapped::Done);
        }
    }
}

async fn what_the_file_names_is_changed_there_only(world: World) {
    let server = world.start().await;
    server.register_shop().await;
    let of_file = server.registered("mobile-app").await.unwrap();
    assert!(of_file.read_only && of_file.etag.is_empty());
    let read_only = (Code::FailedPrecondition, "REGISTRATION_READ_ONLY".to_owned());
    let mobile = Client { client_id: "mobile-app".into(), ..till() };
    assert_eq!(refusal(server.try_register(mobile.clone()).await), read_only);
    assert_eq!(refusal(server.try_update(mobile, "x").await), read_only);
    assert_eq!(refusal(server.delete("mobile-app").await), read_only);
    let asked = RotateClientSecretRequest { client_id: "web-app".into(), old_valid_for: None };
    assert_eq!(refusal(server.clients.clone().rotate_client_secret(asked).await.map(Response::into_inner)), read_only);
    let orders = Resource { resource: ORDERS.into(), ..shop() };
    let asked = CreateResourceRequest { resource: Some(orders) };
    assert_eq!(refusal(server.resources.clone().create_resource(asked).await.map(Response::into_inner)), read_only);
    let asked = GetResourceRequest { resource: ORDERS.into() };
    let orders = server.resources.clone().get_resource(asked).await.unwrap().into_inner().resource.unwrap();
    assert!(orders.read_only);

    // One that a client names stays, whoever it is.
    server.register(till()).await;
    let asked = DeleteResourceRequest { resource: SHOP.into(), etag: String::new() };
    let in_use = server.resources.clone().delete_resource(asked.clone()).await.map(Response::into_inner);
    assert_eq!(refusal(in_use), (Code::FailedPrecondition, "REGISTRATION_IN_USE".into()));
    server.delete("till").await.unwrap();
    server.resources.clone().delete_resource(asked).await.unwrap();
    let listed = server.resources.clone().list_resources(ListResourcesRequest::default()).await.unwrap().into_inner();
    assert!(listed.resources.iter().all(|one| one.read_only), "those of the file are left");
}

async fn where_the_file_names_what_is_registered_the_file_is_meant_and_it_is_said(world: World) {
    let server = world.start().await;
    server.register_shop().await;
    let (_, held) = server.register(till()).await;
    assert_eq!(server.app.service.registry_remarks(), Vec::<String>::new());
    let mut settings = world.settings.clone();
    let mut public: DomainClient = settings.clients.iter().find(|client| client.id.as_str() == "mobile-app").unwrap().clone();
    public.id = ClientId::parse("client_id", "till").unwrap();
    assert_eq!(public.kind, ClientKind::Public);
    settings.clients.push(public);
    let newer = world.start_with(&settings).await;
    let said = newer.app.service.registry_remarks();
    assert!(said.len() == 1 && said[0].contains("client `till` is in the configuration file and registered"), "{said:?}");
    is_no_client(newer.try_issue(for_itself(&held)).await);
    assert!(newer.registered("till").await.unwrap().read_only);
    assert_eq!(refusal(newer.delete("till").await).1, "REGISTRATION_READ_ONLY");
    let listed = newer.clients.clone().list_clients(ListClientsRequest::default()).await.unwrap().into_inner().clients;
    let named = listed.iter().filter(|one| one.client.as_ref().unwrap().client_id == "till").count();
    assert_eq!(named, 1, "once");
}

async fn what_the_store_lost_is_put_back(world: World) {
    let (server, store) = (world.start().await, world.store().await);
    let nothing = parts(&store).await;
    server.register_shop().await;
    let (_, old) = server.register(till()).await;
    let before = parts(&store).await;
    let (_, gone) = server.register(Client { client_id: "kiosk".into(), ..till() }).await;
    let with_kiosk = parts(&store).await;
    let new = server.rotate(Some(0)).await;
    server.delete("kiosk").await.unwrap();
    let kiosk = |held: &str| IssueRequest { client_id: "kiosk".into(), ..for_itself(held) };

    // To before the secret was taken back and a client deleted; to before that; to nothing.
    for lost in [with_kiosk, before, nothing] {
        fall_back(&store, lost).await;
        server.follow().await;
        let again = world.start().await;
        for replica in [&server, &again] {
            is_no_client(replica.try_issue(for_itself(&old)).await);
            is_no_client(replica.try_issue(kiosk(&gone)).await);
            assert!(replica.active(&replica.issue(for_itself(&new)).await.access_token).await);
        }
    }
}

#[tokio::test]
async fn a_registry_that_is_stale_is_read_again_or_nobody_is_called_unknown() {
    let (store, world) = faulty();
    let (server, other) = (world.start().await, world.start().await);
    server.register_shop().await;
    let (_, old) = server.register(till()).await;
    other.follow().await;
    let new = server.rotate(Some(0)).await;
    other.issue(for_itself(&old)).await;
    let before = store.gets.load(Ordering::SeqCst);
    other.issue(for_itself(&old)).await;
    assert_eq!(store.gets.load(Ordering::SeqCst), before, "while it is fresh the store is not asked");

    world.pass(world.settings.tokens.max_staleness.secs() + 1);
    *store.fails_after.lock().unwrap() = Some((0, false));
    let unanswered = other.try_issue(for_itself(&new)).await;
    assert_eq!(refusal(unanswered), (Code::Unavailable, "STORE_UNAVAILABLE".into()));
    is_no_client(other.try_issue(for_itself(&old)).await);
    other.issue(for_itself(&new)).await;
}

#[tokio::test]
async fn a_registry_that_cannot_be_read_keeps_no_client_of_the_file_from_being_served() {
    let world = World::memory().await;
    let (server, store) = (world.start().await, world.store().await);
    server.register_shop().await;
    let (_, held) = server.register(till()).await;
    let sound = parts(&store).await;
    let ruined = sound.iter().map(|(name, value)| {
        let value = value.as_ref().map(|value| bytes::Bytes::from([&value[..STAMP_BYTES], b"of another version"].concat()));
        (name.clone(), value)
    });
    fall_back(&store, ruined.collect()).await;

    let again = world.start().await;
    again.issue(alice("mobile-app", "openid offline_access orders:read")).await;
    let (code, _) = refusal(again.try_issue(for_itself(&held)).await);
    assert_ne!(code, Code::Unauthenticated, "what cannot be read is not absent");
    fall_back(&store, sound).await;
    again.issue(for_itself(&held)).await;
}

#[tokio::test]
async fn a_change_whose_mark_was_lost_is_found_all_the_same() {
    let (store, world) = faulty();
    let (server, other) = (world.start().await, world.start().await);
    // The part is read and swapped; then the process is cut off.
    *store.fails_after.lock().unwrap() = Some((2, false));
    let cut_off = server.try_register(Client { client_id: "kiosk".into(), ..mobile() }).await;
    assert_eq!(refusal(cut_off), (Code::Unavailable, "STORE_UNAVAILABLE".into()));
    let mut rounds = 0;
    while other.registered("kiosk").await.is_err() {
        other.follow().await;
        rounds += 1;
        assert!(rounds <= 32, "one round through all parts finds it");
    }
    assert_eq!(refusal(server.try_register(Client { client_id: "kiosk".into(), ..mobile() }).await).1, "REGISTRATION_EXISTS");
}

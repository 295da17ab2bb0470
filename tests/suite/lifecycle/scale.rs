//! However many clients there are: what it costs the store, counted and never timed.

use super::logout::{end, session, signs_in, tells};
use super::registry::{faulty, mobile};
use crate::faulty::Faulty;
use crate::receiver::Receiver;
use crate::store_contract::eventually;
use crate::world::{Replica, World, alice};
use jeton::api::{Client, ListClientsRequest, RefreshRequest};
use jeton::records::name;
use jeton_domain::name::ClientId;
use std::sync::atomic::Ordering;

/// Registers those of these numbers.
async fn register(server: &Replica, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let texts = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
        let (scopes, grant_types) = (texts(["offline_access", "orders:read"]), texts(["authorization_code", "refresh_token"]));
        server.register(Client { client_id: format!("c{number:03}"), scopes, grant_types, ..mobile() }).await;
    }
}

/// How often records are read until `done`.
async fn reads(store: &Faulty, done: impl Future<Output = ()>) -> usize {
    let before = store.gets.load(Ordering::SeqCst);
    done.await;
    store.gets.load(Ordering::SeqCst) - before
}

/// What is read for a change that another replica follows, for a start, a page of all, and a refresh.
async fn costs(store: &Faulty, world: &World, server: &Replica, other: &Replica, newest: usize) -> [usize; 4] {
    other.follow().await;
    register(server, newest..newest + 1).await;
    let follow = reads(store, other.follow()).await;
    let client = format!("c{newest:03}");
    let issued = other.issue(alice(&client, "offline_access orders:read")).await;
    let refresh = reads(store, async {
        let refresh_token = issued.refresh_token.clone();
        let asked = RefreshRequest { client_id: client.clone(), refresh_token, ..Default::default() };
        other.refresh(asked).await;
    });
    let refresh = refresh.await;
    let page = reads(store, async {
        let asked = ListClientsRequest { page_size: 10, ..Default::default() };
        assert_eq!(other.clients.clone().list_clients(asked).await.unwrap().into_inner().clients.len(), 10);
    });
    let page = page.await;
    let start = reads(store, async { drop(world.start().await) }).await;
    [follow, refresh, page, start]
}

#[tokio::test]
async fn what_it_costs_the_store_does_not_grow_with_the_clients() {
    let (store, world) = faulty();
    let (server, other) = (world.start().await, world.start().await);
    register(&server, 0..10).await;
    let of_few = costs(&store, &world, &server, &other, 10).await;
    register(&server, 11..500).await;
    let of_many = costs(&store, &world, &server, &other, 500).await;
    assert_eq!(of_many, of_few);
    let [follow, refresh, page, _] = of_many;
    assert!((follow, page) == (2, 0) && refresh <= 2, "{of_many:?}");
}

#[tokio::test]
async fn only_clients_that_are_to_be_told_are_looked_at_and_the_others_in_turn() {
    let receiver = Receiver::start().await;
    let (store, mut world) = faulty();
    world.settings = world.with_client("web-app", |client| client.backchannel_logout_uri = Some(receiver.endpoint("/")));
    let told = world.settings.clients.iter().find(|client| client.id.as_str() == "web-app").unwrap().clone();
    let others = (0..500).map(|number| {
        let id = ClientId::parse("client_id", &format!("other-{number}")).unwrap();
        jeton_domain::client::Client { id, ..told.clone() }
    });
    world.settings.clients.extend(others);
    let server = world.start().await;
    server.issue(signs_in("web-app", "s-1")).await;
    let _job = tells(&server);
    let index = name::clients_to_tell();
    let looks = || {
        let lists = store.lists.lock().unwrap();
        let looks = lists.iter().filter(|list| **list == index).count();
        (looks, lists.len() - looks)
    };
    eventually("it is looked twice", async || looks().0 >= 2).await;
    end(&server, session("s-1")).await;
    receiver.until(1).await;
    eventually("nobody is to be told any more", async || world.store().await.list(&index, None, 10).await.unwrap().is_empty())
        .await;
    let (looks, lists) = looks();
    // In turn 32, and of who is told some more: what waits, what came meanwhile, and whose sessions end.
    assert!(lists <= looks * 33 + 10, "{lists} lists were read in {looks} looks at 501 clients");
}

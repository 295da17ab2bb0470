//! What is asked for wrongly, and what is listed.

use super::{SHOP, fields_of, shop, till};
use crate::world::World;
use jeton::api::{Client, CreateResourceRequest, ListClientsRequest, Resource, RotateClientSecretRequest, UpdateClientRequest};

#[tokio::test]
async fn what_is_wrong_is_named_by_its_field() {
    let world = World::memory().await;
    let server = world.start().await;
    server.register_shop().await;
    let refused = async |client: Client| fields_of(&server.try_register(client).await.unwrap_err());
    let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let cases = [
        (Client { client_id: "ä".into(), ..till() }, &["client.client_id"][..]),
        (Client { kind: String::new(), ..till() }, &["client.kind"]),
        (Client { kind: "secret".into(), ..till() }, &["client.kind"]),
        (Client { grant_types: strings(&["password", "magic"]), ..till() }, &["client.grant_types[1]"]),
        (Client { grant_types: strings(&["password", "password"]), ..till() }, &["client.grant_types[1]"]),
        (Client { grant_types: Vec::new(), ..till() }, &["client.grant_types"]),
        (Client { kind: "public".into(), ..till() }, &["client.grant_types"]),
        (Client { kind: "public".into(), jwks: "{}".into(), ..till() }, &["client.jwks"]),
        (Client { jwks: "{}".into(), ..till() }, &["client.jwks"]),
        (Client { jwks: "{}".into(), jwks_uri: "https://a".into(), ..till() }, &["client.jwks_uri"]),
        (Client { jwks_uri: "http://elsewhere/keys".into(), ..till() }, &["client.jwks_uri"]),
        (Client { backchannel_logout_uri: "http://elsewhere/".into(), ..till() }, &["client.backchannel_logout_uri"]),
        (Client { jwks: r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#.into(), ..till() }, &["client.jwks"]),
        (Client { scopes: strings(&["shop:read", "nobody:owns"]), ..till() }, &["client.scopes[1]"]),
        (Client { scopes: strings(&["two words"]), ..till() }, &["client.scopes[0]"]),
        (Client { scopes: strings(&["shop:read", "orders:read"]), ..till() }, &["client.scopes[1]"]),
        (Client { resources: strings(&[SHOP, "https://nowhere"]), ..till() }, &["client.resources[1]"]),
        (Client { resources: strings(&[SHOP, "no uri"]), ..till() }, &["client.resources[1]"]),
        (Client { serves: strings(&[SHOP, SHOP]), ..till() }, &["client.serves[1]"]),
        (Client { redirect_uris: strings(&["https://a/#b"]), ..till() }, &["client.redirect_uris[0]"]),
        (Client { redirect_uris: (0..65).map(|n| format!("https://a/{n}")).collect(), ..till() }, &["client.redirect_uris"]),
        (Client { redirect_uris: vec!["https://a".into(); 300], ..till() }, &["client.redirect_uris"]),
        (Client { idle_lifetime: 59, ..till() }, &["client.idle_lifetime"]),
        (Client { idle_lifetime: -1, ..till() }, &["client.idle_lifetime"]),
        (Client { idle_lifetime: 7_776_001, ..till() }, &["client.idle_lifetime"]),
        (Client { absolute_lifetime: i64::MAX, ..till() }, &["client.absolute_lifetime"]),
        (Client { grants_per_subject: 1_001, ..till() }, &["client.grants_per_subject"]),
        (Client { rotation: "often".into(), reuse: "ignore".into(), ..till() }, &["client.rotation", "client.reuse"]),
        (Client { id_token_algorithm: "none".into(), id_token_lifetime: 9, ..till() }, &["client.id_token_algorithm"]),
        (
            Client { id_token_lifetime: 9, grants_per_subject: 2_000, ..till() },
            &["client.id_token_lifetime", "client.grants_per_subject"],
        ),
    ];
    for (client, expected) in cases {
        assert_eq!(refused(client.clone()).await, expected, "{client:?}");
    }
    let refused = async |resource: Resource| {
        let asked = CreateResourceRequest { resource: Some(resource) };
        fields_of(&server.resources.clone().create_resource(asked).await.unwrap_err())
    };
    let other = || Resource { resource: "urn:other".into(), scopes: Vec::new(), ..shop() };
    let cases = [
        (Resource { resource: "no uri".into(), ..other() }, &["resource.resource"][..]),
        (Resource { scopes: strings(&["a", "shop:read"]), ..other() }, &["resource.scopes[1]"]),
        (Resource { scopes: strings(&["openid"]), ..other() }, &["resource.scopes[0]"]),
        (
            Resource { format: "opaque".into(), scopes: (0..65).map(|n| format!("s{n}")).collect(), ..other() },
            &["resource.scopes"],
        ),
        (Resource { format: "jwe".into(), algorithm: "none".into(), ..other() }, &["resource.format", "resource.algorithm"]),
        (Resource { access_token_lifetime: 86_401, ..other() }, &["resource.access_token_lifetime"]),
        (Resource { max_age: -1, ..other() }, &["resource.max_age"]),
        (Resource { amr_values: strings(&["mfa", "ä"]), ..other() }, &["resource.amr_values[1]"]),
        (Resource { acr_values: (0..17).map(|n| format!("a{n}")).collect(), ..other() }, &["resource.acr_values"]),
    ];
    for (resource, expected) in cases {
        assert_eq!(refused(resource.clone()).await, expected, "{resource:?}");
    }
    let asked = RotateClientSecretRequest { client_id: "till".into(), old_valid_for: Some(-1) };
    assert_eq!(fields_of(&server.clients.clone().rotate_client_secret(asked).await.unwrap_err()), ["old_valid_for"]);
    let asked = UpdateClientRequest { client: Some(till()), etag: String::new() };
    assert_eq!(fields_of(&server.clients.clone().update_client(asked).await.unwrap_err()), ["etag"]);
    let (made, _) = server.register(till()).await;
    let public = Client { kind: "public".into(), grant_types: strings(&["password"]), ..till() };
    assert_eq!(fields_of(&server.try_update(public, &made.etag).await.unwrap_err()), ["client.kind"]);
}

#[tokio::test]
async fn pages_hold_every_client_once_and_in_order() {
    let world = World::memory().await;
    let server = world.start().await;
    server.register_shop().await;
    for number in 0..25 {
        server.register(Client { client_id: format!("c{number:02}"), ..till() }).await;
    }
    let (mut names, mut page_token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let asked = ListClientsRequest { page_size: 7, page_token };
        let page = server.clients.clone().list_clients(asked).await.unwrap().into_inner();
        assert!(page.clients.len() <= 7);
        names.extend(page.clients.into_iter().map(|one| one.client.unwrap().client_id));
        pages += 1;
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    let of_file = world.settings.clients.iter().map(|client| client.id.to_string());
    let mut expected: Vec<String> = (0..25).map(|number| format!("c{number:02}")).chain(of_file).collect();
    expected.sort();
    assert_eq!((names, pages), (expected.clone(), expected.len().div_ceil(7)));
    let asked = ListClientsRequest { page_size: 101, ..Default::default() };
    assert_eq!(fields_of(&server.clients.clone().list_clients(asked).await.unwrap_err()), ["page_size"]);
}

//! Clients and resources that are registered at run time: every replica follows, nobody overwrites another, what is deleted stays dead.
//!
//! No job runs in a world: a replica follows where a test says so, or where its registry is older than `max_staleness`.

use crate::faulty::Faulty;
use crate::world::{ORDERS, Replica, World, alice, refusal, secret};
use jeton::api::{
    Client, CreateClientRequest, CreateResourceRequest, DeleteClientRequest, GetClientRequest, IssueRequest, RefreshRequest,
    RegisteredClient, RegisteredResource, Resource, RotateClientSecretRequest, UpdateClientRequest, UpdateResourceRequest,
};
use std::sync::Arc;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

mod clients;
mod deleted;
mod followed;
mod refused;

const SHOP: &str = "https://shop.internal";

fn shop() -> Resource {
    Resource { resource: SHOP.into(), scopes: vec!["shop:read".into(), "shop:write".into()], ..Default::default() }
}

/// A confidential client for users and for itself.
fn till() -> Client {
    Client {
        client_id: "till".into(),
        kind: "confidential".into(),
        grant_types: ["authorization_code", "client_credentials", "refresh_token"].map(str::to_owned).to_vec(),
        scopes: ["openid", "offline_access", "shop:read"].map(str::to_owned).to_vec(),
        resources: vec![SHOP.into()],
        rotation: "always".into(),
        ..Default::default()
    }
}

impl Replica {
    async fn register_shop(&self) -> RegisteredResource {
        let asked = CreateResourceRequest { resource: Some(shop()) };
        self.resources.clone().create_resource(asked).await.unwrap().into_inner().resource.unwrap()
    }

    async fn try_register(&self, client: Client) -> Result<(RegisteredClient, String), Status> {
        let made = self.clients.clone().create_client(CreateClientRequest { client: Some(client) }).await?.into_inner();
        Ok((made.client.unwrap(), made.client_secret))
    }

    pub(super) async fn register(&self, client: Client) -> (RegisteredClient, String) {
        self.try_register(client).await.unwrap()
    }

    async fn try_update(&self, client: Client, etag: &str) -> Result<RegisteredClient, Status> {
        let asked = UpdateClientRequest { client: Some(client), etag: etag.into() };
        self.clients.clone().update_client(asked).await.map(|made| made.into_inner().client.unwrap())
    }

    async fn update_policy(&self, resource: Resource, etag: &str) -> RegisteredResource {
        let asked = UpdateResourceRequest { resource: Some(resource), etag: etag.into() };
        self.resources.clone().update_resource(asked).await.unwrap().into_inner().resource.unwrap()
    }

    async fn rotate(&self, old_valid_for: Option<i64>) -> String {
        let asked = RotateClientSecretRequest { client_id: "till".into(), old_valid_for };
        self.clients.clone().rotate_client_secret(asked).await.unwrap().into_inner().client_secret
    }

    async fn delete(&self, client: &str) -> Result<String, Status> {
        let asked = DeleteClientRequest { client_id: client.into(), etag: String::new() };
        self.clients.clone().delete_client(asked).await.map(|gone| gone.into_inner().revision)
    }

    async fn registered(&self, client: &str) -> Result<RegisteredClient, Status> {
        let asked = GetClientRequest { client_id: client.into() };
        self.clients.clone().get_client(asked).await.map(|found| found.into_inner().client.unwrap())
    }

    pub(super) async fn follow(&self) {
        self.app.service.follow_registry().await.unwrap();
    }
}

/// The till asks for itself.
fn for_itself(held: &str) -> IssueRequest {
    IssueRequest {
        client_id: "till".into(),
        scope: "shop:read".into(),
        client_authentication: secret(held),
        ..Default::default()
    }
}

fn by_alice() -> IssueRequest {
    alice("till", "openid offline_access shop:read")
}

fn with(token: &str, held: &str) -> RefreshRequest {
    RefreshRequest {
        refresh_token: token.into(),
        client_id: "till".into(),
        client_authentication: secret(held),
        ..Default::default()
    }
}

#[track_caller]
fn is_no_client<T: std::fmt::Debug>(answer: Result<T, Status>) {
    assert_eq!(refusal(answer), (Code::Unauthenticated, "INVALID_CLIENT".into()));
}

/// The fields that a refusal names.
fn fields_of(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    details.bad_request().unwrap().field_violations.iter().map(|violation| violation.field.clone()).collect()
}

/// A world whose store has faults.
pub(super) fn faulty() -> (Arc<Faulty>, World) {
    let mut faulty = None;
    let world = World::memory_through(|store| {
        let store = Arc::new(Faulty::over(store));
        faulty = Some(Arc::clone(&store));
        store
    });
    (faulty.unwrap(), world)
}

/// A public client of the file's resources.
pub(super) fn mobile() -> Client {
    Client {
        kind: "public".into(),
        grant_types: vec!["password".into()],
        scopes: vec!["orders:read".into()],
        resources: vec![ORDERS.into()],
        ..Default::default()
    }
}

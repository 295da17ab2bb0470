//! Clients and resources that are registered at run time: every replica follows, nobody overwrites another, what is deleted stays dead.
//!
//! No job runs in a world: a replica follows where a test says so, or where its registry is older than `max_staleness`.

use crate::faulty::Faulty;
use crate::on_every_store;
use crate::rfc::proof::Prover;
use crate::world::{ORDERS, Replica, World, alice, refusal, secret};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton::api::{
    Cause, Client, ClientAuthentication, CreateClientRequest, CreateResourceRequest, DeleteClientRequest, DeleteResourceRequest,
    GetClientRequest, GetResourceRequest, IssueRequest, IssueResponse, ListClientsRequest, ListResourcesRequest, RefreshRequest,
    RefreshResponse, RegisteredClient, RegisteredResource, Resource, RotateClientSecretRequest, UpdateClientRequest,
    UpdateResourceRequest,
};
use jeton::records::name;
use jeton::store::{Durability, Name, STAMP_BYTES, Store, Swap, Swapped};
use jeton_domain::client::{Client as DomainClient, ClientKind};
use jeton_domain::hex::written_hash;
use jeton_domain::name::ClientId;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

on_every_store! {
    what_is_registered_serves_on_every_replica_and_after_a_restart,
    a_new_secret_and_the_old_one_are_both_valid_for_a_while,
    a_secret_that_leaked_ends_at_once,
    two_operators_do_not_overwrite_each_other,
    a_deleted_client_is_dead_on_a_replica_that_has_not_looked,
    the_secret_of_a_deleted_client_is_none_of_the_next_of_that_name,
    a_client_that_is_deleted_while_it_refreshes_keeps_nothing,
    a_policy_holds_from_the_next_refresh_on,
    what_the_file_names_is_changed_there_only,
    where_the_file_names_what_is_registered_the_file_is_meant_and_it_is_said,
    what_the_store_lost_is_put_back,
    a_client_with_keys_needs_no_secret,
    a_client_with_a_certificate_needs_no_secret,
    a_longer_lifetime_is_allowed_for_before_it_is_used,
    keys_for_rs256_are_there_when_a_client_is_registered_for_it,
}

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

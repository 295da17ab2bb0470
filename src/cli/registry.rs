//! `jeton clients` and `jeton resources`: what is registered at a running server, made, shown and changed.

use super::answer::{Answer, Value};
use super::arguments::{
    ClientArguments, ClientsCommand, NamedClient, NamedResource, Remote, ResourceArguments, ResourcesCommand,
    RotateSecretArguments,
};
use super::call::{answered, request};
use super::connection::{Connection, channel};
use super::failure::Failure;
use crate::api;
use crate::api::client_service_client::ClientServiceClient;
use crate::api::resource_service_client::ResourceServiceClient;

/// What a page of a list asks for.
const A_PAGE: i32 = 100;

const CLIENT_COLUMNS: &[&str] = &["client_id", "kind", "grant_types", "resources", "read_only", "updated_at"];
const RESOURCE_COLUMNS: &[&str] = &["resource", "scopes", "format", "access_token_lifetime", "read_only", "updated_at"];

pub(super) async fn clients(command: ClientsCommand) -> Result<(Answer, Remote), Failure> {
    Ok(match command {
        ClientsCommand::Create(arguments) => (create_client(&arguments).await?, arguments.remote),
        ClientsCommand::Show(arguments) => (show_client(&arguments).await?, arguments.remote),
        ClientsCommand::List(remote) => (list_clients(&remote).await?, remote),
        ClientsCommand::Update(arguments) => (update_client(&arguments).await?, arguments.remote),
        ClientsCommand::Delete(arguments) => (delete_client(&arguments).await?, arguments.remote),
        ClientsCommand::RotateSecret(arguments) => (rotate_secret(&arguments).await?, arguments.remote),
    })
}

pub(super) async fn resources(command: ResourcesCommand) -> Result<(Answer, Remote), Failure> {
    Ok(match command {
        ResourcesCommand::Create(arguments) => (create_resource(&arguments).await?, arguments.remote),
        ResourcesCommand::Show(arguments) => (show_resource(&arguments).await?, arguments.remote),
        ResourcesCommand::List(remote) => (list_resources(&remote).await?, remote),
        ResourcesCommand::Update(arguments) => (update_resource(&arguments).await?, arguments.remote),
        ResourcesCommand::Delete(arguments) => (delete_resource(&arguments).await?, arguments.remote),
    })
}

fn of_clients(remote: &Remote) -> Result<ClientServiceClient<Connection>, Failure> {
    channel(remote).map(ClientServiceClient::new)
}

fn of_resources(remote: &Remote) -> Result<ResourceServiceClient<Connection>, Failure> {
    channel(remote).map(ResourceServiceClient::new)
}

async fn create_client(arguments: &ClientArguments) -> Result<Answer, Failure> {
    let asked = with_client_arguments(api::Client::default(), arguments);
    let message = api::CreateClientRequest { client: Some(asked) };
    let remote = &arguments.remote;
    let made = answered("clients create", remote, of_clients(remote)?.create_client(request(message))).await?;
    Ok(client(made.client.unwrap_or_default()).text("client_secret", made.client_secret))
}

async fn get_client(id: &str, operation: &str, remote: &Remote) -> Result<api::RegisteredClient, Failure> {
    let message = api::GetClientRequest { client_id: id.to_owned() };
    let found = answered(operation, remote, of_clients(remote)?.get_client(request(message))).await?;
    Ok(found.client.unwrap_or_default())
}

async fn show_client(arguments: &NamedClient) -> Result<Answer, Failure> {
    get_client(&arguments.client, "clients show", &arguments.remote).await.map(client)
}

async fn list_clients(remote: &Remote) -> Result<Answer, Failure> {
    let mut service = of_clients(remote)?;
    let (mut rows, mut page_token) = (Vec::new(), String::new());
    loop {
        let message = api::ListClientsRequest { page_size: A_PAGE, page_token: page_token.clone() };
        let page = answered("clients list", remote, service.list_clients(request(message))).await?;
        rows.extend(page.clients.into_iter().map(client));
        // A server that answers the same place twice would keep us here for ever.
        if page.next_page_token.is_empty() || page.next_page_token == page_token {
            return Ok(Answer::default().with("clients", Value::Objects(CLIENT_COLUMNS, rows)));
        }
        page_token = page.next_page_token;
    }
}

/// It has no etag to be changed by.
fn read_only(operation: &str, id: &str) -> Failure {
    let what = format!("{operation}: `{id}` is in the configuration file, and changed there only");
    Failure::refused(what, "change the file: it is read again while the server runs")
}

/// What is not given stays as it is, for the etag makes sure that it is so still.
async fn update_client(arguments: &ClientArguments) -> Result<Answer, Failure> {
    let remote = &arguments.remote;
    let held = get_client(&arguments.client, "clients update", remote).await?;
    if held.read_only {
        return Err(read_only("clients update", &arguments.client));
    }
    let client_now = with_client_arguments(held.client.unwrap_or_default(), arguments);
    let etag = arguments.etag.clone().unwrap_or(held.etag);
    let message = api::UpdateClientRequest { client: Some(client_now), etag };
    let changed = answered("clients update", remote, of_clients(remote)?.update_client(request(message))).await?;
    Ok(client(changed.client.unwrap_or_default()))
}

async fn delete_client(arguments: &NamedClient) -> Result<Answer, Failure> {
    let etag = arguments.etag.clone().unwrap_or_default();
    let message = api::DeleteClientRequest { client_id: arguments.client.clone(), etag };
    let remote = &arguments.remote;
    let gone = answered("clients delete", remote, of_clients(remote)?.delete_client(request(message))).await?;
    Ok(Answer::default().text("revision", gone.revision))
}

async fn rotate_secret(arguments: &RotateSecretArguments) -> Result<Answer, Failure> {
    let message = api::RotateClientSecretRequest { client_id: arguments.client.clone(), old_valid_for: arguments.old_valid_for };
    let remote = &arguments.remote;
    let call = of_clients(remote)?;
    let made = answered("clients rotate-secret", remote, { call }.rotate_client_secret(request(message))).await?;
    Ok(client(made.client.unwrap_or_default()).text("client_secret", made.client_secret))
}

async fn create_resource(arguments: &ResourceArguments) -> Result<Answer, Failure> {
    let resource_now = with_resource_arguments(api::Resource::default(), arguments);
    let message = api::CreateResourceRequest { resource: Some(resource_now) };
    let remote = &arguments.remote;
    let made = answered("resources create", remote, of_resources(remote)?.create_resource(request(message))).await?;
    Ok(resource(made.resource.unwrap_or_default()))
}

async fn get_resource(id: &str, operation: &str, remote: &Remote) -> Result<api::RegisteredResource, Failure> {
    let message = api::GetResourceRequest { resource: id.to_owned() };
    let found = answered(operation, remote, of_resources(remote)?.get_resource(request(message))).await?;
    Ok(found.resource.unwrap_or_default())
}

async fn show_resource(arguments: &NamedResource) -> Result<Answer, Failure> {
    get_resource(&arguments.resource, "resources show", &arguments.remote).await.map(resource)
}

async fn list_resources(remote: &Remote) -> Result<Answer, Failure> {
    let mut service = of_resources(remote)?;
    let (mut rows, mut page_token) = (Vec::new(), String::new());
    loop {
        let message = api::ListResourcesRequest { page_size: A_PAGE, page_token: page_token.clone() };
        let page = answered("resources list", remote, service.list_resources(request(message))).await?;
        rows.extend(page.resources.into_iter().map(resource));
        if page.next_page_token.is_empty() || page.next_page_token == page_token {
            return Ok(Answer::default().with("resources", Value::Objects(RESOURCE_COLUMNS, rows)));
        }
        page_token = page.next_page_token;
    }
}

async fn update_resource(arguments: &ResourceArguments) -> Result<Answer, Failure> {
    let remote = &arguments.remote;
    let held = get_resource(&arguments.resource, "resources update", remote).await?;
    if held.read_only {
        return Err(read_only("resources update", &arguments.resource));
    }
    let resource_now = with_resource_arguments(held.resource.unwrap_or_default(), arguments);
    let etag = arguments.etag.clone().unwrap_or(held.etag);
    let message = api::UpdateResourceRequest { resource: Some(resource_now), etag };
    let changed = answered("resources update", remote, of_resources(remote)?.update_resource(request(message))).await?;
    Ok(resource(changed.resource.unwrap_or_default()))
}

async fn delete_resource(arguments: &NamedResource) -> Result<Answer, Failure> {
    let etag = arguments.etag.clone().unwrap_or_default();
    let message = api::DeleteResourceRequest { resource: arguments.resource.clone(), etag };
    let remote = &arguments.remote;
    answered("resources delete", remote, of_resources(remote)?.delete_resource(request(message))).await?;
    Ok(Answer::default())
}

fn with_client_arguments(held: api::Client, given: &ClientArguments) -> api::Client {
    api::Client {
        client_id: given.client.clone(),
        kind: given.kind.clone().unwrap_or(held.kind),
        grant_types: list(&given.grant_type, held.grant_types),
        scopes: words(given.scope.as_deref(), held.scopes),
        resources: list(&given.resource, held.resources),
        redirect_uris: list(&given.redirect_uri, held.redirect_uris),
        serves: list(&given.serves, held.serves),
        impersonates: given.impersonates.unwrap_or(held.impersonates),
        idle_lifetime: given.idle_lifetime.unwrap_or(held.idle_lifetime),
        absolute_lifetime: given.absolute_lifetime.unwrap_or(held.absolute_lifetime),
        rotation: given.rotation.clone().unwrap_or(held.rotation),
        reuse: given.reuse.clone().unwrap_or(held.reuse),
        grants_per_subject: given.grants_per_subject.unwrap_or(held.grants_per_subject),
        id_token_algorithm: given.id_token_algorithm.clone().unwrap_or(held.id_token_algorithm),
        id_token_lifetime: given.id_token_lifetime.unwrap_or(held.id_token_lifetime),
        jwks: given.jwks.clone().unwrap_or(held.jwks),
        jwks_uri: given.jwks_uri.clone().unwrap_or(held.jwks_uri),
        backchannel_logout_uri: given.backchannel_logout_uri.clone().unwrap_or(held.backchannel_logout_uri),
        authorization_details_types: list(&given.authorization_details_type, held.authorization_details_types),
        tls_client_auth_subject_dn: given.tls_client_auth_subject_dn.clone().unwrap_or(held.tls_client_auth_subject_dn),
        tls_client_auth_san_dns: given.tls_client_auth_san_dns.clone().unwrap_or(held.tls_client_auth_san_dns),
        tls_client_auth_san_uri: given.tls_client_auth_san_uri.clone().unwrap_or(held.tls_client_auth_san_uri),
        tls_client_auth_san_ip: given.tls_client_auth_san_ip.clone().unwrap_or(held.tls_client_auth_san_ip),
        tls_client_auth_san_email: given.tls_client_auth_san_email.clone().unwrap_or(held.tls_client_auth_san_email),
        self_signed_certificates: list(&given.self_signed_certificate, held.self_signed_certificates),
        tls_client_certificate_bound_access_tokens: given
            .tls_client_certificate_bound_access_tokens
            .unwrap_or(held.tls_client_certificate_bound_access_tokens),
    }
}

fn with_resource_arguments(held: api::Resource, given: &ResourceArguments) -> api::Resource {
    api::Resource {
        resource: given.resource.clone(),
        scopes: words(given.scope.as_deref(), held.scopes),
        format: given.format.clone().unwrap_or(held.format),
        algorithm: given.algorithm.clone().unwrap_or(held.algorithm),
        access_token_lifetime: given.access_token_lifetime.unwrap_or(held.access_token_lifetime),
        acr_values: list(&given.acr, held.acr_values),
        amr_values: list(&given.amr, held.amr_values),
        max_age: given.max_age.unwrap_or(held.max_age),
        authorization_details_types: list(&given.authorization_details_type, held.authorization_details_types),
    }
}

/// What is given, else what was; an empty word alone is an empty list.
fn list(given: &[String], held: Vec<String>) -> Vec<String> {
    if given.is_empty() { held } else { given.iter().filter(|word| !word.is_empty()).cloned().collect() }
}

fn words(given: Option<&str>, held: Vec<String>) -> Vec<String> {
    given.map_or(held, |given| given.split_ascii_whitespace().map(str::to_owned).collect())
}

fn client(message: api::RegisteredClient) -> Answer {
    let api::RegisteredClient { client, etag, read_only, created_at, updated_at, secrets, old_secrets_end_at, warnings } =
        message;
    let client = client.unwrap_or_default();
    Answer::default()
        .text("client_id", client.client_id)
        .text("kind", client.kind)
        .texts("grant_types", client.grant_types)
        .texts("scopes", client.scopes)
        .texts("resources", client.resources)
        .texts("authorization_details_types", client.authorization_details_types)
        .texts("redirect_uris", client.redirect_uris)
        .texts("serves", client.serves)
        .with("impersonates", Value::Flag(client.impersonates))
        .seconds("idle_lifetime", client.idle_lifetime)
        .seconds("absolute_lifetime", client.absolute_lifetime)
        .text("rotation", client.rotation)
        .text("reuse", client.reuse)
        .number("grants_per_subject", client.grants_per_subject.into())
        .text("id_token_algorithm", client.id_token_algorithm)
        .seconds("id_token_lifetime", client.id_token_lifetime)
        .text("jwks", client.jwks)
        .text("jwks_uri", client.jwks_uri)
        .text("tls_client_auth_subject_dn", client.tls_client_auth_subject_dn)
        .text("tls_client_auth_san_dns", client.tls_client_auth_san_dns)
        .text("tls_client_auth_san_uri", client.tls_client_auth_san_uri)
        .text("tls_client_auth_san_ip", client.tls_client_auth_san_ip)
        .text("tls_client_auth_san_email", client.tls_client_auth_san_email)
        .texts("self_signed_certificates", client.self_signed_certificates)
        .with("tls_client_certificate_bound_access_tokens", Value::Flag(client.tls_client_certificate_bound_access_tokens))
        .text("backchannel_logout_uri", client.backchannel_logout_uri)
        .number("secrets", secrets.into())
        .time("old_secrets_end_at", old_secrets_end_at)
        .with("read_only", Value::Flag(read_only))
        .time("created_at", created_at)
        .time("updated_at", updated_at)
        .texts("warnings", warnings)
        .text("etag", etag)
}

fn resource(message: api::RegisteredResource) -> Answer {
    let api::RegisteredResource { resource, etag, read_only, created_at, updated_at } = message;
    let resource = resource.unwrap_or_default();
    Answer::default()
        .text("resource", resource.resource)
        .texts("scopes", resource.scopes)
        .texts("authorization_details_types", resource.authorization_details_types)
        .text("format", resource.format)
        .text("algorithm", resource.algorithm)
        .seconds("access_token_lifetime", resource.access_token_lifetime)
        .texts("acr_values", resource.acr_values)
        .texts("amr_values", resource.amr_values)
        .seconds("max_age", resource.max_age)
        .with("read_only", Value::Flag(read_only))
        .time("created_at", created_at)
        .time("updated_at", updated_at)
        .text("etag", etag)
}

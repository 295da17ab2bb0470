//! `jeton.v1.ClientService`: clients that are registered at run time.

mod certificates;

use super::fields::{Fields, signed};
use super::registration::{self, page};
use super::{Api, allow, api, parsed, refused, status};
use crate::service::clients::{ClientState, KEEP, MAX_KEEP};
use crate::transport::caller::Permission;
use crate::transport::fault::Fault;
use api::client_service_server::ClientService;
use jeton_domain::client::{Algorithm, Client, ClientKind, GrantType, MutualTls, ReusePolicy, Rotation};
use jeton_domain::details;
use jeton_domain::endpoint::Endpoint;
use jeton_domain::error::{Error, Result as Judged};
use jeton_domain::jwk::{KeySet, KeySource, MAX_KEYS};
use jeton_domain::name::ClientId;
use jeton_domain::redirect::RedirectUri;
use jeton_domain::time::Millis;
use tonic::{Request, Response, Status};

/// The words of the kinds; the second is confidential.
const KINDS: [&str; 2] = ["public", "confidential"];

#[tonic::async_trait]
impl ClientService for Api {
    async fn create_client(
        &self,
        request: Request<api::CreateClientRequest>,
    ) -> Result<Response<api::CreateClientResponse>, Status> {
        let read = allow(&request, Permission::WriteRegistry).and_then(|_caller| {
            let mut fields = Fields::default();
            let client = client(&mut fields, request.into_inner().client);
            fields.done().and_then(|()| parsed(client))
        });
        let client = read.map_err(status::of)?;
        let (client, secret) = self.service.create_client(client).await.map_err(refused)?;
        Ok(Response::new(api::CreateClientResponse {
            client: Some(registered(&client)),
            client_secret: secret.map(|secret| secret.expose().to_owned()).unwrap_or_default(),
        }))
    }

    async fn get_client(&self, request: Request<api::GetClientRequest>) -> Result<Response<api::GetClientResponse>, Status> {
        let read = allow(&request, Permission::ReadRegistry).and_then(|_caller| id(&request.into_inner().client_id));
        let id = read.map_err(status::of)?;
        let client = self.service.get_client(&id).await.map_err(refused)?;
        Ok(Response::new(api::GetClientResponse { client: Some(registered(&client)) }))
    }

    async fn list_clients(
        &self,
        request: Request<api::ListClientsRequest>,
    ) -> Result<Response<api::ListClientsResponse>, Status> {
        let read = allow(&request, Permission::ReadRegistry).and_then(|_caller| {
            let asked = request.into_inner();
            page(asked.page_size, &asked.page_token)
        });
        let asked = read.map_err(status::of)?;
        let page = self.service.list_clients(&asked).await.map_err(refused)?;
        Ok(Response::new(api::ListClientsResponse {
            clients: page.entries.iter().map(registered).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    async fn update_client(
        &self,
        request: Request<api::UpdateClientRequest>,
    ) -> Result<Response<api::UpdateClientResponse>, Status> {
        let read = allow(&request, Permission::WriteRegistry).and_then(|_caller| {
            let mut fields = Fields::default();
            let asked = request.into_inner();
            let etag = registration::etag(&mut fields, &asked.etag);
            let etag = fields.required("etag", etag);
            let client = client(&mut fields, asked.client);
            fields.done().and_then(|()| Ok((parsed(client)?, parsed(etag)?)))
        });
        let (client, etag) = read.map_err(status::of)?;
        let client = self.service.update_client(client, &etag).await.map_err(refused)?;
        Ok(Response::new(api::UpdateClientResponse { client: Some(registered(&client)) }))
    }

    async fn delete_client(
        &self,
        request: Request<api::DeleteClientRequest>,
    ) -> Result<Response<api::DeleteClientResponse>, Status> {
        let read = allow(&request, Permission::WriteRegistry).and_then(|_caller| {
            let mut fields = Fields::default();
            let asked = request.into_inner();
            let id = fields.get(ClientId::parse("client_id", &asked.client_id));
            let etag = registration::etag(&mut fields, &asked.etag);
            fields.done().and_then(|()| Ok((parsed(id)?, etag)))
        });
        let (id, etag) = read.map_err(status::of)?;
        let revision = self.service.delete_client(&id, etag.as_deref()).await.map_err(refused)?;
        Ok(Response::new(api::DeleteClientResponse { revision: revision.to_string() }))
    }

    async fn rotate_client_secret(
        &self,
        request: Request<api::RotateClientSecretRequest>,
    ) -> Result<Response<api::RotateClientSecretResponse>, Status> {
        let read = allow(&request, Permission::WriteRegistry).and_then(|_caller| {
            let mut fields = Fields::default();
            let asked = request.into_inner();
            let id = fields.get(ClientId::parse("client_id", &asked.client_id));
            let keep = asked.old_valid_for.map_or(Some(KEEP), |seconds| fields.get(keep(seconds)));
            fields.done().and_then(|()| Ok((parsed(id)?, parsed(keep)?)))
        });
        let (id, keep) = read.map_err(status::of)?;
        let (client, secret) = self.service.rotate_client_secret(&id, keep).await.map_err(refused)?;
        Ok(Response::new(api::RotateClientSecretResponse {
            client: Some(registered(&client)),
            client_secret: secret.expose().to_owned(),
        }))
    }
}

fn id(text: &str) -> Result<ClientId, Fault> {
    Ok(ClientId::parse("client_id", text)?)
}

fn keep(seconds: i64) -> Judged<Millis> {
    let keep = u64::try_from(seconds).ok().map(Millis::from_secs).filter(|keep| *keep <= MAX_KEEP);
    keep.ok_or_else(|| Error::invalid("old_valid_for", format!("must be between 0 and {} seconds", MAX_KEEP.secs())))
}

fn client(fields: &mut Fields, message: Option<api::Client>) -> Option<Client> {
    let api::Client {
        client_id,
        kind,
        grant_types,
        scopes,
        resources,
        redirect_uris,
        serves,
        idle_lifetime,
        absolute_lifetime,
        rotation,
        reuse,
        grants_per_subject,
        id_token_algorithm,
        id_token_lifetime,
        jwks,
        jwks_uri,
        backchannel_logout_uri,
        impersonates,
        authorization_details_types,
        tls_client_auth_subject_dn: subject,
        tls_client_auth_san_dns: dns,
        tls_client_auth_san_uri: uri,
        tls_client_auth_san_ip: ip,
        tls_client_auth_san_email: email,
        self_signed_certificates,
        tls_client_certificate_bound_access_tokens: binds,
    } = fields.required("client", message)?;
    let id = fields.get(ClientId::parse("client.client_id", &client_id));
    let is_confidential =
        registration::word(fields, "client.kind", &kind, KINDS, |word| KINDS.contains(&word).then_some(word == "confidential"));
    let is_confidential = fields.required("client.kind", is_confidential);
    let ways = GrantType::ALL.map(GrantType::word);
    let grant_types = registration::each(fields, "client.grant_types", &grant_types, |field, text| {
        GrantType::parse(text).ok_or_else(|| registration::none_of(field, ways))
    });
    let redirect_uris = registration::each(fields, "client.redirect_uris", &redirect_uris, RedirectUri::parse);
    let field = "client.authorization_details_types";
    let details_types = registration::each(fields, field, &authorization_details_types, details::parse_name);
    let (scopes, resources, serves) = (
        registration::scopes(fields, "client.scopes", &scopes),
        registration::resources(fields, "client.resources", &resources),
        registration::resources(fields, "client.serves", &serves),
    );
    let rotation = registration::word(fields, "client.rotation", &rotation, Rotation::ALL.map(Rotation::word), Rotation::parse);
    let reuse = registration::word(fields, "client.reuse", &reuse, ReusePolicy::ALL.map(ReusePolicy::word), ReusePolicy::parse);
    let algorithms = Algorithm::ALL.map(Algorithm::word);
    let field = "client.id_token_algorithm";
    let id_token_algorithm = registration::word(fields, field, &id_token_algorithm, algorithms, Algorithm::parse);
    let logout_uri = Some(&backchannel_logout_uri).filter(|uri| !uri.is_empty());
    let backchannel_logout_uri = logout_uri.and_then(|uri| fields.get(Endpoint::parse("client.backchannel_logout_uri", uri)));
    let keys = keys(fields, &jwks, &jwks_uri, is_confidential);
    let mutual_tls = certificates::read(fields, [&subject, &dns, &uri, &ip, &email], &self_signed_certificates, binds);
    let mut lifetime = |field, seconds, bounds| registration::lifetime(fields, field, seconds, bounds);
    Some(Client {
        idle_lifetime: lifetime("client.idle_lifetime", idle_lifetime, Client::IDLE_LIFETIME),
        absolute_lifetime: lifetime("client.absolute_lifetime", absolute_lifetime, Client::ABSOLUTE_LIFETIME),
        id_token_lifetime: lifetime("client.id_token_lifetime", id_token_lifetime, Client::ID_TOKEN_LIFETIME),
        grants_per_subject: registration::count(
            fields,
            "client.grants_per_subject",
            grants_per_subject,
            Client::GRANTS_PER_SUBJECT,
        ),
        rotation: rotation.unwrap_or_default(),
        reuse: reuse.unwrap_or_default(),
        id_token_algorithm: id_token_algorithm.unwrap_or_default(),
        grant_types,
        scopes,
        resources,
        details_types,
        redirect_uris,
        serves,
        backchannel_logout_uri,
        impersonates,
        kind: if is_confidential? { ClientKind::Confidential { secret_hashes: Vec::new(), keys } } else { ClientKind::Public },
        mutual_tls,
        id: id?,
    })
}

/// The keys of a client's assertions, which a public one cannot have.
fn keys(fields: &mut Fields, text: &str, uri: &str, is_confidential: Option<bool>) -> Option<KeySource> {
    let field = match (text.is_empty(), uri.is_empty()) {
        (true, true) => return None,
        (false, false) => {
            fields.wrong(
                "client.jwks_uri",
                "is given beside jwks: keep one, so that it is plain which keys hold (RFC 7591 section 2)",
            );
            return None;
        }
        (false, true) => "client.jwks",
        (true, false) => "client.jwks_uri",
    };
    if is_confidential == Some(false) {
        fields.wrong(field, "is given to a public client, which cannot keep a key");
        return None;
    }
    if !uri.is_empty() {
        return fields.get(Endpoint::parse(field, uri)).map(KeySource::Uri);
    }
    let Some((keys, unfit)) = KeySet::read(text.as_bytes()) else {
        let problem = format!("is no JWK set of at most {MAX_KEYS} keys, as JSON (RFC 7517 section 5)");
        fields.wrong("client.jwks", &problem);
        return None;
    };
    for flaw in keys.flaws(&unfit) {
        fields.wrong("client.jwks", &flaw);
    }
    Some(KeySource::Inline(keys))
}

fn registered(state: &ClientState) -> api::RegisteredClient {
    let ClientState { client, registered, retiring, warnings } = state;
    let valid = match &client.kind {
        ClientKind::Public => 0,
        ClientKind::Confidential { secret_hashes, .. } => secret_hashes.len(),
    };
    let last = retiring.iter().map(|one| one.until).max();
    let at = registered.as_ref();
    api::RegisteredClient {
        client: Some(message(client)),
        etag: at.map(|at| at.etag.clone()).unwrap_or_default(),
        read_only: at.is_none(),
        created_at: at.map_or(0, |at| signed(at.created_at.secs())),
        updated_at: at.map_or(0, |at| signed(at.changed_at.secs())),
        secrets: i32::try_from(valid.saturating_add(retiring.len())).unwrap_or(i32::MAX),
        old_secrets_end_at: last.map_or(0, |at| signed(at.secs())),
        warnings: warnings.clone(),
    }
}

fn message(client: &Client) -> api::Client {
    let Client {
        id,
        kind,
        grant_types,
        scopes,
        resources,
        details_types,
        redirect_uris,
        serves,
        impersonates,
        idle_lifetime,
        absolute_lifetime,
        rotation,
        reuse,
        grants_per_subject,
        id_token_algorithm,
        id_token_lifetime,
        mutual_tls: MutualTls { authenticates, binds },
        backchannel_logout_uri,
    } = client;
    let [public, confidential] = KINDS;
    let (jwks, jwks_uri) = match kind {
        ClientKind::Confidential { keys: Some(KeySource::Inline(keys)), .. } => (keys.written(), String::new()),
        ClientKind::Confidential { keys: Some(KeySource::Uri(endpoint)), .. } => (String::new(), endpoint.as_str().into()),
        ClientKind::Confidential { keys: None, .. } | ClientKind::Public => (String::new(), String::new()),
    };
    let ([subject, dns, uri, ip, email], self_signed_certificates) = certificates::written(authenticates.as_ref());
    api::Client {
        client_id: id.to_string(),
        kind: if client.is_confidential() { confidential } else { public }.into(),
        grant_types: grant_types.iter().map(|way| way.word().into()).collect(),
        scopes: scopes.iter().map(str::to_owned).collect(),
        resources: resources.iter().map(ToString::to_string).collect(),
        redirect_uris: redirect_uris.iter().map(|uri| uri.as_str().to_owned()).collect(),
        serves: serves.iter().map(ToString::to_string).collect(),
        idle_lifetime: signed(idle_lifetime.secs()),
        absolute_lifetime: signed(absolute_lifetime.secs()),
        rotation: rotation.word().into(),
        reuse: reuse.word().into(),
        grants_per_subject: i32::try_from(*grants_per_subject).unwrap_or(i32::MAX),
        id_token_algorithm: id_token_algorithm.word().into(),
        id_token_lifetime: signed(id_token_lifetime.secs()),
        jwks,
        jwks_uri,
        backchannel_logout_uri: backchannel_logout_uri.as_ref().map(|uri| uri.as_str().into()).unwrap_or_default(),
        impersonates: *impersonates,
        authorization_details_types: details_types.iter().map(ToString::to_string).collect(),
        tls_client_auth_subject_dn: subject,
        tls_client_auth_san_dns: dns,
        tls_client_auth_san_uri: uri,
        tls_client_auth_san_ip: ip,
        tls_client_auth_san_email: email,
        self_signed_certificates,
        tls_client_certificate_bound_access_tokens: *binds,
    }
}

//! A registered client or resource as a message, and back. Whoever gives them a new field is told so here by the compiler.

mod certificates;

use crate::records::codes;
use crate::records::proto::{ClientRecord, ResourceRecord, SecretRecord};
use jeton_domain::client::{Client, ClientKind};
use jeton_domain::details::DetailsType;
use jeton_domain::endpoint::Endpoint;
use jeton_domain::error::{Error, Result};
use jeton_domain::jwk::{KeySet, KeySource};
use jeton_domain::name::{ClientId, ResourceId};
use jeton_domain::policy::AuthenticationPolicy;
use jeton_domain::redirect::RedirectUri;
use jeton_domain::resource::Resource;
use jeton_domain::scope::Scopes;
use jeton_domain::time::{Millis, Timestamp};
use prost::Message as _;
use std::sync::Arc;

/// A client with its secrets: those of `client.kind` are valid for good, and beside them those that others took the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredClient {
    /// The client.
    pub client: Arc<Client>,
    /// What is still valid for a while.
    pub retiring: Vec<Retiring>,
}

/// A secret that is valid for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retiring {
    /// SHA-256 of it.
    pub hash: [u8; 32],
    /// Valid before this.
    pub until: Timestamp,
}

/// The message of a client.
#[must_use]
pub fn client_record(stored: &StoredClient) -> Vec<u8> {
    let Client {
        id: _,
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
        mutual_tls,
        backchannel_logout_uri,
    } = &*stored.client;
    let (confidential, hashes, keys) = match kind {
        ClientKind::Public => (false, [].as_slice(), None),
        ClientKind::Confidential { secret_hashes, keys } => (true, secret_hashes.as_slice(), keys.as_ref()),
    };
    let valid = hashes.iter().map(|hash| SecretRecord { hash: hash.to_vec(), until: 0 });
    let retiring = stored.retiring.iter().map(|one| SecretRecord { hash: one.hash.to_vec(), until: one.until.millis() });
    let (jwks, jwks_uri) = match keys {
        Some(KeySource::Inline(keys)) => (keys.written(), String::new()),
        Some(KeySource::Uri(endpoint)) => (String::new(), endpoint.as_str().into()),
        None => (String::new(), String::new()),
    };
    let record = ClientRecord {
        confidential,
        secrets: valid.chain(retiring).collect(),
        grant_types: grant_types.iter().map(|way| codes::grant_type_code(*way).into()).collect(),
        scopes: scopes.iter().map(str::to_owned).collect(),
        resources: resources.iter().map(ToString::to_string).collect(),
        redirect_uris: redirect_uris.iter().map(|uri| uri.as_str().to_owned()).collect(),
        serves: serves.iter().map(ToString::to_string).collect(),
        idle_lifetime: idle_lifetime.get(),
        absolute_lifetime: absolute_lifetime.get(),
        rotation: codes::rotation_code(*rotation).into(),
        reuse: codes::reuse_code(*reuse).into(),
        grants_per_subject: *grants_per_subject,
        id_token_algorithm: codes::algorithm_code(*id_token_algorithm).into(),
        id_token_lifetime: id_token_lifetime.get(),
        jwks,
        jwks_uri,
        backchannel_logout_uri: backchannel_logout_uri.as_ref().map(|uri| uri.as_str().into()).unwrap_or_default(),
        impersonates: *impersonates,
        details_types: details_types.iter().map(ToString::to_string).collect(),
        mutual_tls: certificates::record(mutual_tls),
    };
    record.encode_to_vec()
}

/// The client of a message.
///
/// # Errors
/// `RecordUnreadable`: a newer version wrote it.
pub fn client(id: &str, body: &[u8]) -> Result<StoredClient> {
    let record = ClientRecord::decode(body).map_err(|_garbled| unreadable())?;
    let (mut secret_hashes, mut retiring) = (Vec::new(), Vec::new());
    for secret in &record.secrets {
        let hash = secret.hash.as_slice().try_into().map_err(|_garbled| unreadable())?;
        if secret.until == 0 {
            secret_hashes.push(hash);
        } else {
            retiring.push(Retiring { hash, until: Timestamp::from_millis(secret.until) });
        }
    }
    let client = Client {
        id: ClientId::parse("client_id", id).map_err(|_garbled| unreadable())?,
        kind: if record.confidential {
            ClientKind::Confidential { secret_hashes, keys: keys(&record.jwks, &record.jwks_uri)? }
        } else {
            ClientKind::Public
        },
        grant_types: record.grant_types.into_iter().map(codes::grant_type).collect::<Result<_>>()?,
        scopes: scopes(record.scopes),
        resources: resources(&record.resources)?,
        details_types: record.details_types.into_iter().map(String::into_boxed_str).collect(),
        redirect_uris: redirect_uris(&record.redirect_uris)?,
        serves: resources(&record.serves)?,
        impersonates: record.impersonates,
        idle_lifetime: Millis::new(record.idle_lifetime),
        absolute_lifetime: Millis::new(record.absolute_lifetime),
        rotation: codes::rotation(record.rotation)?,
        reuse: codes::reuse(record.reuse)?,
        grants_per_subject: record.grants_per_subject,
        id_token_algorithm: codes::algorithm(record.id_token_algorithm)?,
        id_token_lifetime: Millis::new(record.id_token_lifetime),
        mutual_tls: certificates::read(record.mutual_tls)?,
        backchannel_logout_uri: logout_uri(&record.backchannel_logout_uri)?,
    };
    Ok(StoredClient { client: Arc::new(client), retiring })
}

fn logout_uri(text: &str) -> Result<Option<Endpoint>> {
    let uri = Some(text).filter(|text| !text.is_empty());
    uri.map(|text| Endpoint::parse("backchannel_logout_uri", text)).transpose().map_err(|_garbled| unreadable())
}

/// The message of a resource.
#[must_use]
pub fn resource_record(resource: &Resource) -> Vec<u8> {
    let Resource { id: _, scopes, details_types, format, algorithm, access_token_lifetime, policy } = resource;
    let AuthenticationPolicy { acr_values, amr_values, max_age } = policy;
    let record = ResourceRecord {
        scopes: scopes.iter().map(str::to_owned).collect(),
        format: codes::format_code(*format).into(),
        algorithm: codes::algorithm_code(*algorithm).into(),
        access_token_lifetime: access_token_lifetime.get(),
        acr_values: acr_values.clone(),
        amr_values: amr_values.clone(),
        max_age: max_age.map_or(0, Millis::get),
        details_types: details_types.iter().map(ToString::to_string).collect(),
    };
    record.encode_to_vec()
}

/// The resource of a message.
///
/// # Errors
/// `RecordUnreadable`: a newer version wrote it.
pub fn resource(id: &str, body: &[u8]) -> Result<Resource> {
    let record = ResourceRecord::decode(body).map_err(|_garbled| unreadable())?;
    Ok(Resource {
        id: ResourceId::parse("resource", id).map_err(|_garbled| unreadable())?,
        scopes: scopes(record.scopes),
        details_types: declared(&record.details_types)?,
        format: codes::format(record.format)?,
        algorithm: codes::algorithm(record.algorithm)?,
        access_token_lifetime: Millis::new(record.access_token_lifetime),
        policy: AuthenticationPolicy {
            acr_values: record.acr_values,
            amr_values: record.amr_values,
            max_age: Some(Millis::new(record.max_age)).filter(|age| *age != Millis::ZERO),
        },
    })
}

fn scopes(texts: Vec<String>) -> Scopes {
    texts.into_iter().map(String::into_boxed_str).collect()
}

fn resources(texts: &[String]) -> Result<Vec<ResourceId>> {
    texts.iter().map(|text| ResourceId::parse("resource", text).map_err(|_garbled| unreadable())).collect()
}

fn declared(texts: &[String]) -> Result<Vec<DetailsType>> {
    texts.iter().map(|text| DetailsType::parse("details_types", text).map_err(|_garbled| unreadable())).collect()
}

fn redirect_uris(texts: &[String]) -> Result<Vec<RedirectUri>> {
    texts.iter().map(|text| RedirectUri::parse("redirect_uri", text).map_err(|_garbled| unreadable())).collect()
}

fn keys(text: &str, uri: &str) -> Result<Option<KeySource>> {
    if !uri.is_empty() {
        return Endpoint::parse("jwks_uri", uri).map(|endpoint| Some(KeySource::Uri(endpoint))).map_err(|_garbled| unreadable());
    }
    if text.is_empty() {
        return Ok(None);
    }
    let read = KeySet::read(text.as_bytes()).filter(|(_, unfit)| unfit.is_empty()).ok_or_else(unreadable)?;
    Ok(Some(KeySource::Inline(read.0)))
}

fn unreadable() -> Error {
    Error::RecordUnreadable("a registered client or resource was written by a newer version".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jeton_domain::client::{Algorithm, GrantType, KnownBy, MutualTls, ReusePolicy, Rotation};
    use jeton_domain::resource::TokenFormat;

    fn uris(names: &[&str]) -> Vec<ResourceId> {
        names.iter().map(|name| ResourceId::parse("resource", name).unwrap()).collect()
    }

    /// One of each type.
    fn keys() -> KeySet {
        let rsa = format!("4{}E", "A".repeat(341));
        let set = format!(
            r#"{{"keys":[{{"kid":"1","kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}},
            {{"kty":"EC","crv":"P-256","x":"{0}","y":"{0}"}},{{"kid":"3","alg":"PS256","kty":"RSA","n":"{rsa}","e":"AQAB"}}]}}"#,
            "A".repeat(43)
        );
        let (keys, unfit) = KeySet::read(set.as_bytes()).unwrap();
        assert_eq!((keys.iter().count(), unfit), (3, Vec::new()));
        keys
    }

    /// No field has the value that an empty message has.
    fn full_client() -> StoredClient {
        let client = Client {
            id: ClientId::parse("client_id", "shop").unwrap(),
            kind: ClientKind::Confidential { secret_hashes: vec![[1; 32], [2; 32]], keys: Some(KeySource::Inline(keys())) },
            grant_types: GrantType::ALL.to_vec(),
            scopes: Scopes::parse("scopes", "openid b a").unwrap(),
            resources: uris(&["urn:b", "urn:a"]),
            details_types: vec!["payment".into()],
            redirect_uris: vec![RedirectUri::parse("redirect_uri", "https://shop/cb").unwrap()],
            serves: uris(&["urn:s"]),
            impersonates: true,
            idle_lifetime: Millis::new(61_001),
            absolute_lifetime: Millis::new(61_002),
            rotation: Rotation::NearExpiry,
            reuse: ReusePolicy::Refuse,
            grants_per_subject: 7,
            id_token_algorithm: Algorithm::Es256,
            id_token_lifetime: Millis::new(11_003),
            mutual_tls: MutualTls { authenticates: Some(KnownBy::Thumbprints(vec![[4; 32]])), binds: true },
            backchannel_logout_uri: Some(Endpoint::parse("uri", "https://shop/logout").unwrap()),
        };
        let retiring = vec![Retiring { hash: [3; 32], until: Timestamp::from_millis(17) }];
        StoredClient { client: Arc::new(client), retiring }
    }

    #[test]
    fn a_client_reads_back_whole() {
        let full = full_client();
        assert_eq!(client("shop", &client_record(&full)), Ok(full.clone()));
        let keys = Some(KeySource::Uri(Endpoint::parse("jwks_uri", "https://shop/keys").unwrap()));
        let kind = ClientKind::Confidential { secret_hashes: Vec::new(), keys };
        let elsewhere = StoredClient { client: Arc::new(Client { kind, ..Client::clone(&full.client) }), retiring: Vec::new() };
        assert_eq!(client("shop", &client_record(&elsewhere)), Ok(elsewhere));
        let public = Client { kind: ClientKind::Public, ..Client::clone(&full.client) };
        let public = StoredClient { client: Arc::new(public), retiring: Vec::new() };
        assert_eq!(client("shop", &client_record(&public)), Ok(public));
    }

    #[test]
    fn a_resource_reads_back_whole() {
        let full = Resource {
            id: ResourceId::parse("resource", "urn:r").unwrap(),
            scopes: Scopes::parse("scopes", "b a").unwrap(),
            details_types: vec![DetailsType::parse("details_types", "payment(actions!,amount:object)").unwrap()],
            format: TokenFormat::Opaque,
            algorithm: Algorithm::Rs256,
            access_token_lifetime: Millis::new(12_001),
            policy: AuthenticationPolicy {
                acr_values: vec!["high".into()],
                amr_values: vec!["pwd".into(), "mfa".into()],
                max_age: Some(Millis::new(1_001)),
            },
        };
        assert_eq!(resource("urn:r", &resource_record(&full)), Ok(full.clone()));
        let policy = AuthenticationPolicy::default();
        let plain = Resource { policy, format: TokenFormat::Jwt, ..full };
        assert_eq!(resource("urn:r", &resource_record(&plain)), Ok(plain));
    }

    #[test]
    fn what_a_newer_version_wrote_is_unreadable_and_not_absent() {
        let record = ClientRecord { rotation: 9, reuse: 1, id_token_algorithm: 1, ..ClientRecord::default() };
        assert!(matches!(client("shop", &record.encode_to_vec()), Err(Error::RecordUnreadable(_))));
        let record = ResourceRecord { format: 9, algorithm: 1, ..ResourceRecord::default() };
        assert!(matches!(resource("urn:r", &record.encode_to_vec()), Err(Error::RecordUnreadable(_))));
    }
}

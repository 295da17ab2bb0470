//! The token endpoint (RFC 6749 section 3.2): a grant of some type in, tokens out.
//!
//! Must not live here: whether the grant is good.

use super::answer::{DPOP_NONCE, insert, unstored};
use super::challenge::DPOP;
use super::client::client;
use super::form::Asked;
use super::refused;
use crate::service::assertion::Assert;
use crate::service::code::Redeem;
use crate::service::device::Poll;
use crate::service::exchange::Exchange;
use crate::service::issue::{Issue, Tokens};
use crate::service::refresh::{MAX_REQUEST_ID_BYTES, Refresh};
use crate::service::{Credentials, Service};
use crate::transport::fault::{Edge, Fault};
use axum::response::Response;
use http::HeaderMap;
use jeton_domain::client::GrantType;
use jeton_domain::details;
use jeton_domain::dpop;
use jeton_domain::error::Error;
use jeton_domain::exchange::{ACCESS_TOKEN, Role, Types};
use jeton_domain::grant::Binding;
use jeton_domain::name::{ClientId, ResourceId};
use jeton_domain::redirect::RedirectUri;
use jeton_domain::resource::MAX_NAMED;
use jeton_domain::scope::Scopes;
use jeton_domain::secret::SecretText;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The values of `grant_type` that are always answered. Never `password` (RFC 9700 section 2.4).
const GRANT_TYPES: [&str; 4] = ["authorization_code", "refresh_token", "client_credentials", TOKEN_EXCHANGE];

/// RFC 8628 section 3.4; answered where devices are served.
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// RFC 7523 section 2.1; answered where some issuer is configured.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// RFC 8693 section 2.1.
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The values of `grant_type` that are answered as things are configured.
pub fn grant_types(service: &Service) -> Vec<&'static str> {
    let configured = [service.serves_devices().then_some(DEVICE_CODE), service.takes_assertions().then_some(JWT_BEARER)];
    GRANT_TYPES.into_iter().chain(configured.into_iter().flatten()).collect()
}

pub async fn answer(service: Arc<Service>, mut asked: Asked) -> Result<Response, Fault> {
    let grant_type = asked.form.required("grant_type")?;
    // The client first: who is nobody learns nothing of what is wrong besides.
    let (id, mut credentials) = client(&mut asked)?;
    credentials.dpop = dpop_proof(&asked.headers)?;
    let mut is_exchanged = false;
    let tokens = match grant_type.expose() {
        "authorization_code" => code(&service, &mut asked, id, credentials).await?,
        "refresh_token" => refresh(&service, &mut asked, id, credentials).await?,
        "client_credentials" => client_credentials(&service, &mut asked, id, credentials).await?,
        TOKEN_EXCHANGE => {
            is_exchanged = true;
            exchange(&service, &mut asked, id, credentials).await?
        }
        DEVICE_CODE if service.serves_devices() => device(&service, &mut asked, id, credentials).await?,
        JWT_BEARER if service.takes_assertions() => assertion(&service, &mut asked, id, credentials).await?,
        _ => return Err(Fault::at(Edge::GrantTypeUnsupported)),
    };
    let mut body = said(&tokens);
    if is_exchanged && let Some(members) = body.as_object_mut() {
        // RFC 8693 section 2.2.1.
        members.insert("issued_token_type".into(), ACCESS_TOKEN.into());
    }
    let mut answer = unstored(&body);
    if let Some(nonce) = &tokens.next_dpop_nonce {
        insert(answer.headers_mut(), DPOP_NONCE, nonce);
    }
    Ok(answer)
}

/// RFC 6749 section 4.1.3.
async fn code(service: &Service, asked: &mut Asked, client: ClientId, credentials: Credentials) -> Result<Tokens, Fault> {
    let code = asked.form.required("code")?;
    let redirect_uri = asked.form.text("redirect_uri").map(|text| RedirectUri::parse("redirect_uri", &text)).transpose()?;
    let verifier = asked.form.take("code_verifier");
    let (_, resources) = audience(asked)?;
    let authorization_details = details(asked)?;
    let redeem = Redeem { code, client, credentials, redirect_uri, verifier, resources, authorization_details };
    service.redeem_code(redeem).await.map_err(refused)
}

/// RFC 8628 section 3.4.
async fn device(service: &Service, asked: &mut Asked, client: ClientId, credentials: Credentials) -> Result<Tokens, Fault> {
    let code = asked.form.required("device_code")?;
    let authorization_details = details(asked)?;
    service.redeem_device_code(Poll { code, client, credentials, authorization_details }).await.map_err(refused)
}

/// RFC 7523 section 2.1.
async fn assertion(service: &Service, asked: &mut Asked, client: ClientId, credentials: Credentials) -> Result<Tokens, Fault> {
    let assertion = asked.form.required("assertion")?;
    let (scopes, resources) = audience(asked)?;
    let authorization_details = details(asked)?;
    let assert = Assert { assertion, client, credentials, scopes, resources, authorization_details };
    service.redeem_assertion(assert).await.map_err(refused)
}

/// RFC 6749 section 6. The header `Idempotency-Key` names the attempt.
async fn refresh(service: &Service, asked: &mut Asked, client: ClientId, credentials: Credentials) -> Result<Tokens, Fault> {
    let token = asked.form.required("refresh_token")?;
    let (scopes, resources) = audience(asked)?;
    let authorization_details = details(asked)?;
    let request_id = request_id(&asked.headers)?;
    let refresh = Refresh { token, client, credentials, scopes, resources, authorization_details, request_id };
    service.refresh(refresh).await.map_err(refused)
}

/// RFC 8693 section 2.1. An audience is named as a resource is: by its identifier.
async fn exchange(service: &Service, asked: &mut Asked, client: ClientId, credentials: Credentials) -> Result<Tokens, Fault> {
    let subject = asked.form.required(Role::Subject.parameter())?;
    let actor = asked.form.take(Role::Actor.parameter());
    let [of_subject, of_actor, requested] =
        ["subject_token_type", "actor_token_type", "requested_token_type"].map(|name| asked.form.text(name));
    let types = Types { subject: of_subject.as_deref(), actor: of_actor.as_deref(), requested: requested.as_deref() };
    types.check(actor.is_some())?;
    let (scopes, mut resources) = audience(asked)?;
    named(asked, "audience", &mut resources)?;
    let authorization_details = details(asked)?;
    let exchange = Exchange { client, credentials, subject, actor, scopes, resources, authorization_details };
    service.exchange(exchange).await.map_err(refused)
}

/// RFC 6749 section 4.4.
async fn client_credentials(
    service: &Service,
    asked: &mut Asked,
    client: ClientId,
    credentials: Credentials,
) -> Result<Tokens, Fault> {
    let (scopes, resources) = audience(asked)?;
    let issue = Issue {
        client,
        subject: None,
        scopes,
        resources,
        session: None,
        auth_time: None,
        acr: None,
        amr: Vec::new(),
        method: Some(GrantType::ClientCredentials),
        nonce: None,
        access_claims: Map::new(),
        id_claims: Map::new(),
        binding: None,
        authorization_details: details(asked)?,
        credentials,
    };
    service.issue(issue).await.map_err(refused)
}

/// What the access token is to be for.
pub fn audience(asked: &mut Asked) -> Result<(Scopes, Vec<ResourceId>), Fault> {
    let scopes = Scopes::parse("scope", asked.form.text("scope").as_deref().unwrap_or_default())?;
    let mut resources = Vec::new();
    named(asked, "resource", &mut resources)?;
    Ok((scopes, resources))
}

/// Adds the resources that a parameter names, each once.
fn named(asked: &mut Asked, parameter: &str, resources: &mut Vec<ResourceId>) -> Result<(), Fault> {
    let named = asked.form.several(parameter);
    if named.len() > MAX_NAMED {
        let problem = format!("is given more than {MAX_NAMED} times");
        return Err(Fault::of(&Error::invalid_target(parameter, problem)));
    }
    for text in named {
        let resource = ResourceId::parse(parameter, &text)?;
        if !resources.contains(&resource) {
            resources.push(resource);
        }
    }
    Ok(())
}

/// The authorization details that are asked for (RFC 9396 section 6); empty where the parameter is not given.
pub fn details(asked: &mut Asked) -> Result<Vec<Value>, Fault> {
    let given = asked.form.take(details::FIELD);
    Ok(given.map(|text| details::parse(text.expose())).transpose()?.unwrap_or_default())
}

/// The DPoP proof (RFC 9449 section 4.1): in exactly one header, or none.
pub fn dpop_proof(headers: &HeaderMap) -> Result<Option<SecretText>, Fault> {
    let mut given = headers.get_all(DPOP).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(one), None) if let Ok(proof) = one.to_str() => Ok(Some(SecretText::new(proof.to_owned()))),
        _ => Err(Fault::of(&Error::InvalidDpopProof(dpop::Refusal::NotOne))),
    }
}

/// The name that the client gave this attempt: a string of a structured field (RFC 9651 section 3.3.3), or plain.
fn request_id(headers: &HeaderMap) -> Result<Option<Box<str>>, Fault> {
    let mut given = headers.get_all("idempotency-key").iter();
    let Some(one) = given.next() else { return Ok(None) };
    let wrong = |problem: &str| Err(Fault::of(&Error::invalid("idempotency-key", problem)));
    if given.next().is_some() {
        return wrong("is given more than once");
    }
    let Ok(text) = one.to_str() else { return wrong("may contain printable ASCII characters only") };
    let name = text.trim();
    let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
    if name.is_empty() || name.len() > MAX_REQUEST_ID_BYTES {
        return wrong(&format!("must have 1 to {MAX_REQUEST_ID_BYTES} characters"));
    }
    Ok(Some(name.into()))
}

/// RFC 6749 section 5.1.
fn said(tokens: &Tokens) -> Value {
    let mut body = json!({
        "access_token": tokens.access.expose(),
        "token_type": Binding::token_type(tokens.binding),
        "expires_in": tokens.expires_in.secs(),
    });
    let optional = [("refresh_token", &tokens.refresh), ("id_token", &tokens.id)];
    let given = optional.into_iter().filter_map(|(name, token)| Some((name.to_owned(), token.as_ref()?.expose().into())));
    if let Some(members) = body.as_object_mut() {
        members.extend(given);
        // An empty list of scopes is none (RFC 6749 section 3.3).
        members.extend((!tokens.scopes.is_empty()).then(|| ("scope".to_owned(), tokens.scopes.to_string().into())));
        // RFC 9396 section 7.
        if !tokens.authorization_details.is_empty() {
            members.insert(details::FIELD.into(), tokens.authorization_details.clone().into());
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::fault::Reason;

    #[test]
    fn an_attempt_has_one_name() {
        let named = |values: &[&'static str]| {
            let headers = values.iter().map(|value| ("idempotency-key".parse().unwrap(), http::HeaderValue::from_static(value)));
            request_id(&headers.collect()).map_err(|fault| fault.reason)
        };
        assert_eq!(named(&[]), Ok(None));
        assert_eq!(named(&["\"a-1\""]), Ok(Some("a-1".into())));
        assert_eq!(named(&["a-1"]), Ok(Some("a-1".into())));
        for wrong in [&["a", "b"][..], &[""], &["\"\""]] {
            assert_eq!(named(wrong), Err(Reason::InvalidField), "{wrong:?}");
        }
    }
}

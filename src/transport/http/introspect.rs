//! The introspection endpoint (RFC 7662, RFC 9701): callers authenticate as clients do, and each sees what is its business.
//!
//! What a token says is written once, as the message of gRPC, whoever asks first; here it becomes JSON.

use super::answer::{insert, unstored, unstored_text};
use super::client::client;
use super::form::Asked;
use super::refused;
use crate::service::Service;
use crate::transport::fault::Fault;
use crate::transport::grpc::{api, claims, introspect};
use axum::response::Response;
use http::HeaderMap;
use http::header::{ACCEPT, CACHE_CONTROL, PRAGMA};
use jeton_domain::details;
use jeton_domain::error::Result;
use jeton_domain::name::ClientId;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Of an answer as a JWT.
const MEDIA_TYPE: &str = "application/token-introspection+jwt";

pub async fn answer(service: Arc<Service>, mut asked: Asked) -> std::result::Result<Response, Fault> {
    let (id, credentials) = client(&mut asked)?;
    let token = asked.form.required("token")?;
    let introspection = service.introspect_as(&id, &credentials, token, introspect::write).await.map_err(refused)?;
    let max_age = introspection.active.as_ref().map(|active| active.cache_seconds);
    let message = introspect::message(&introspection).map_err(refused)?;
    let said = said(&service, &id, message).map_err(refused)?;
    let mut answer = if wants_jwt(&asked.headers) {
        let jwt = service.introspection_jwt(&id, &said).map_err(refused)?;
        unstored_text(MEDIA_TYPE, jwt.expose().to_owned())
    } else {
        unstored(&Value::Object(said))
    };
    if let Some(max_age @ 1..) = max_age {
        // The same advice as over gRPC, for who asked only.
        insert(answer.headers_mut(), CACHE_CONTROL, &format!("private, max-age={max_age}"));
        answer.headers_mut().remove(PRAGMA);
    }
    Ok(answer)
}

/// Whether the caller accepts a JWT (RFC 9701 section 4): named, and not with a weight of nothing (RFC 9110 section 12.4.2).
fn wants_jwt(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    accepted.into_iter().any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|media_type| media_type.eq_ignore_ascii_case(MEDIA_TYPE));
        is_named && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// RFC 7662 section 2.2. Of an inactive token nothing else is said.
fn said(service: &Service, asker: &ClientId, token: api::IntrospectResponse) -> Result<Map<String, Value>> {
    let mut said = Map::from_iter([("active".to_owned(), token.active.into())]);
    if !token.active {
        return Ok(said);
    }
    if let Some(claims) = token.claims {
        said.extend(claims::object("claims", claims)?);
    }
    let scope = service.scopes_seen(asker, &token.client_id, &token.scope);
    let texts = [
        ("scope", scope),
        ("client_id", token.client_id.clone()),
        ("token_type", token.token_type),
        ("sub", token.sub),
        ("iss", token.iss),
        ("jti", token.jti),
        ("sid", token.sid),
        ("acr", token.acr),
        ("grant_id", token.grant_id),
    ];
    said.extend(texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name.to_owned(), text.into())));
    let moments = [("exp", token.exp), ("iat", token.iat), ("nbf", token.nbf), ("auth_time", token.auth_time)];
    said.extend(moments.into_iter().filter(|(_, at)| *at != 0).map(|(name, at)| (name.to_owned(), at.into())));
    for (name, list) in [("aud", token.aud), ("amr", token.amr)] {
        if !list.is_empty() {
            said.insert(name.into(), list.into());
        }
    }
    if let Some(cnf) = token.cnf {
        let (name, thumbprint) = if cnf.jkt.is_empty() { ("x5t#S256", cnf.x5t_s256) } else { ("jkt", cnf.jkt) };
        said.insert("cnf".into(), json!({ name: thumbprint }));
    }
    let details = claims::details(details::FIELD, token.authorization_details)?;
    let details = service.details_seen(asker, &token.client_id, details);
    if !details.is_empty() {
        said.insert(details::FIELD.into(), details.into());
    }
    if let Some(act) = token.act {
        said.insert("act".into(), claims::object("act", act)?.into());
    }
    Ok(said)
}

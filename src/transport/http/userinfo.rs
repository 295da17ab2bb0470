//! The user info endpoint (OIDC Core section 5.3). The access token comes in the header Authorization, and nowhere else (RFC 6750
//! section 2.1; RFC 9700 section 4.3.2).

use super::answer::{challenge, unstored};
use super::form::{Asked, Form, is_form};
use super::refused;
use crate::service::Service;
use crate::transport::fault::Fault;
use axum::body::Body;
use axum::response::Response;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request};
use jeton_domain::error::Error;
use jeton_domain::secret::SecretText;
use serde_json::Value;
use std::sync::Arc;

pub async fn answer(service: Arc<Service>, request: Request<Body>) -> Result<Response, Fault> {
    nowhere_else(Form::parse(request.uri().query().unwrap_or_default())?)?;
    let shown = bearer(request.headers());
    if is_form(request.headers()) {
        nowhere_else(Asked::read(request).await?.form)?;
    }
    let Some(token) = shown? else { return Ok(challenge()) };
    Ok(unstored(&Value::Object(service.user_info(token).await.map_err(refused)?)))
}

fn nowhere_else(mut form: Form) -> Result<(), Fault> {
    match form.take("access_token") {
        None => Ok(()),
        Some(_) => Err(wrong("access_token", "belongs into the header Authorization, and nowhere else (RFC 6750 section 2.1)")),
    }
}

/// The token of `Authorization: Bearer`; none where none is shown in this way.
fn bearer(headers: &HeaderMap) -> Result<Option<SecretText>, Fault> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let Some(one) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(wrong("authorization", "is given more than once"));
    }
    let Some((scheme, token)) = one.to_str().ok().and_then(|text| text.split_once(' ')) else { return Ok(None) };
    Ok(scheme.eq_ignore_ascii_case("bearer").then(|| SecretText::new(token.trim().to_owned())))
}

fn wrong(field: &str, problem: &str) -> Fault {
    Fault::of(&Error::invalid(field, problem))
}

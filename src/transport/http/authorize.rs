//! Forward authentication: nginx (`auth_request`), Traefik (`ForwardAuth`), Caddy (`forward_auth`) and others ask by a request of their own
//! whether one of a client may pass.
//!
//! That request has the headers of the client's; how its line was, the gateway tells in headers of its own, which are believed because
//! only gateways may ask. The demands are its query.

use super::answer::{DPOP_NONCE, insert, never_stored};
use super::certificate::Certificates;
use super::challenge::challenge;
use super::form::Form;
use crate::service::Service;
use crate::transport::fault::Fault;
use crate::transport::gateway::{Asks, Headers, authorized};
use axum::response::{IntoResponse as _, Response};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use jeton_domain::error::{Error, Result};
use jeton_domain::gateway::{Asked, Demand};

/// By which headers gateways tell the method, whichever they know.
const METHOD: [&str; 2] = ["x-forwarded-method", "x-original-method"];
/// The path with its query.
const TARGET: [&str; 2] = ["x-forwarded-uri", "x-original-uri"];
const SCHEME: [&str; 1] = ["x-forwarded-proto"];
const HOST: [&str; 1] = ["x-forwarded-host"];

/// The answer: 200 with what the service behind is told, or what the client is told instead.
pub async fn answer(service: &Service, head: &Parts, certificates: &Certificates, ours: &Headers) -> Result<Response, Fault> {
    let given = Form::parse(head.uri.query().unwrap_or_default())?;
    // Here nothing can be said that makes a gateway remove a header.
    if let Some(copy) = head.headers.keys().find(|name| name.as_str().contains('_') && ours.is_copy(name.as_str())) {
        return Err(Fault::of(&Error::invalid(copy.as_str(), "would be taken for a header of the gateway")));
    }
    let certificate = certificates.behind_a_proxy(head)?.map(|certificate| certificate.thumbprint);
    let asks = || {
        Ok(Asks {
            demand: Demand::read("", given.iter())?,
            asked: Asked::new(
                required(&head.headers, &METHOD)?,
                told(&head.headers, &SCHEME)?.unwrap_or_default(),
                told(&head.headers, &HOST)?.unwrap_or_default(),
                required(&head.headers, &TARGET)?,
            )?,
            shown: &head.headers,
            certificate,
        })
    };
    let Some(authorized) = authorized(service, asks()).await? else { return Ok(challenge()) };
    let mut answer = StatusCode::OK.into_response();
    let headers = answer.headers_mut();
    never_stored(headers);
    // One that says nothing is told all the same: a gateway that copies what it is told then copies over what the client sent.
    for (name, value) in ours.told(&authorized.identity) {
        headers.insert(name, value.unwrap_or_else(|| HeaderValue::from_static("")));
    }
    if let Some(phantom) = &authorized.phantom {
        insert(headers, AUTHORIZATION, &format!("Bearer {}", phantom.expose()));
    }
    if let Some(nonce) = &authorized.next_dpop_nonce {
        insert(headers, DPOP_NONCE, nonce);
    }
    Ok(answer)
}

/// What one of these headers says; none where none is there.
fn told<'a>(headers: &'a HeaderMap, names: &[&'static str]) -> Result<Option<&'a str>> {
    let mut given = names.iter().flat_map(|name| headers.get_all(*name));
    let Some(one) = given.next() else { return Ok(None) };
    let wrong = |problem: &str| Error::invalid(names.first().copied().unwrap_or_default(), problem);
    if given.next().is_some() {
        return Err(wrong("is given more than once: a gateway must replace what its client sends"));
    }
    one.to_str().map(Some).map_err(|_bytes| wrong("is no text"))
}

fn required<'a>(headers: &'a HeaderMap, names: &[&'static str]) -> Result<&'a str> {
    told(headers, names)?.ok_or_else(|| Error::invalid(names.join("|").as_str(), "is missing: a gateway must tell it"))
}

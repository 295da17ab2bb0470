//! Forward authentication: nginx (`auth_request`), Traefik (`ForwardAuth`), Caddy (`forward_auth`) and others ask by a request of their own
//! whether one of a client may pass.
//!
//! That request has the headers of the client's; how its line was, the gateway tells in headers of its own (`gateway::forwarded`). The
//! demands are its query.

use super::answer::{DPOP_NONCE, insert, never_stored};
use super::certificate::Certificates;
use super::challenge::challenge;
use super::form::Form;
use crate::service::Service;
use crate::transport::fault::Fault;
use crate::transport::gateway::{Headers, authorized, forwarded};
use axum::response::{IntoResponse as _, Response};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderValue, StatusCode};

/// The answer: 200 with what the service behind is told, or what the client is told instead.
pub async fn answer(service: &Service, head: &Parts, certificates: &Certificates, ours: &Headers) -> Result<Response, Fault> {
    let given = Form::parse(head.uri.query().unwrap_or_default())?;
    forwarded::without_copies(&head.headers, ours).map_err(|error| Fault::of(&error))?;
    let certificate = certificates.behind_a_proxy(head)?.map(|certificate| certificate.thumbprint);
    let asks = forwarded::asks(head, &given, certificate);
    let Some(authorized) = authorized(service, asks).await? else { return Ok(challenge()) };
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

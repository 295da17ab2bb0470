//! The device authorization endpoint (RFC 8628 section 3.1). The polling is a grant type of the token endpoint.

use super::answer::unstored;
use super::client::client;
use super::form::Asked;
use super::{refused, token};
use crate::service::Service;
use crate::service::device::Start;
use crate::transport::fault::Fault;
use axum::response::Response;
use serde_json::json;
use std::sync::Arc;

pub async fn answer(service: Arc<Service>, mut asked: Asked) -> Result<Response, Fault> {
    let (client, credentials) = client(&mut asked)?;
    let (scopes, resources) = token::audience(&mut asked)?;
    let authorization_details = token::details(&mut asked)?;
    let start = Start { client, credentials, scopes, resources, authorization_details };
    let started = service.start_device(start).await.map_err(refused)?;
    Ok(unstored(&json!({
        "device_code": started.device_code.expose(),
        "user_code": started.user_code.shown(),
        "verification_uri": started.verification_uri,
        "verification_uri_complete": started.verification_uri_complete,
        "expires_in": started.expires_in.secs(),
        "interval": started.interval.secs(),
    })))
}

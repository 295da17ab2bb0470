//! The revocation endpoint (RFC 7009). A hint of the token's type is not needed: a token says what it is.

use super::answer::unstored;
use super::client::client;
use super::form::Asked;
use super::refused;
use crate::service::Service;
use crate::service::revoke::{Revoke, What};
use crate::transport::fault::Fault;
use axum::response::Response;
use jeton_domain::target::Reason;
use serde_json::json;
use std::sync::Arc;

pub async fn answer(service: Arc<Service>, mut asked: Asked) -> Result<Response, Fault> {
    let (id, credentials) = client(&mut asked)?;
    let token = asked.form.required("token")?;
    let what = What::Token { token, client: Some(id), credentials };
    service.revoke(Revoke { what, reason: Reason::Unspecified, dry_run: false }).await.map_err(refused)?;
    // What was unknown, expired or revoked before is answered alike (section 2.2).
    Ok(unstored(&json!({})))
}

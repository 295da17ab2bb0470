//! The user info endpoint (OIDC Core section 5.3). The access token comes in the header Authorization, and nowhere else (RFC 6750
//! section 2.1; RFC 9700 section 4.3.2).

use super::answer::{DPOP_NONCE, insert, unstored};
use super::certificate::Certificates;
use super::challenge::{Presented, challenge, presented};
use super::form::{Asked, Form, is_form};
use super::refused;
use crate::service::Service;
use crate::service::userinfo::Ask;
use crate::transport::fault::Fault;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use jeton_domain::error::Error;
use serde_json::Value;
use std::sync::Arc;

pub async fn answer(service: Arc<Service>, request: Request<Body>, certificates: Certificates) -> Result<Response, Fault> {
    nowhere_else(Form::parse(request.uri().query().unwrap_or_default())?)?;
    let shown = presented(request.headers());
    let method = request.method().clone();
    let certificate = if is_form(request.headers()) {
        let Asked { form, certificate, .. } = Asked::read(request, &certificates).await?;
        nowhere_else(form)?;
        certificate
    } else {
        certificates.of(&request.into_parts().0)?
    };
    let certificate = certificate.map(|certificate| certificate.thumbprint);
    let Some(Presented { token, dpop }) = shown? else { return Ok(challenge()) };
    let said = service.user_info(Ask { token, method: method.as_str(), dpop, certificate }).await.map_err(refused)?;
    let mut answer = unstored(&Value::Object(said.claims));
    if let Some(nonce) = &said.next_dpop_nonce {
        insert(answer.headers_mut(), DPOP_NONCE, nonce);
    }
    Ok(answer)
}

fn nowhere_else(mut form: Form) -> Result<(), Fault> {
    match form.take("access_token") {
        None => Ok(()),
        Some(_) => {
            let problem = "belongs into the header Authorization, and nowhere else (RFC 6750 section 2.1)";
            Err(Fault::of(&Error::invalid("access_token", problem)))
        }
    }
}

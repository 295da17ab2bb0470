//! Envoy's `Authorization`: whether a request may pass, in the words of Envoy's filter `ext_authz`.
//!
//! INVARIANT: whatever is wrong, a request that is not allowed is told so as denied, never as a failure of this call, which Envoy may be
//! set to let pass (`failure_mode_allow`). Only who may not ask, or asks what is no message, is refused by a status.

use super::gateways::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use super::gateways::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use super::gateways::envoy::service::auth::v3::authorization_server::Authorization;
use super::gateways::envoy::service::auth::v3::check_response::HttpResponse;
use super::gateways::envoy::service::auth::v3::{CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse};
use super::gateways::envoy::r#type::v3::HttpStatus;
use super::gateways::google;
use super::{Api, allow, refused, status};
use crate::service::authorize::Authorized;
use crate::transport::caller::Permission;
use crate::transport::fault::Fault;
use crate::transport::gateway::envoy::Shown;
use crate::transport::gateway::{Headers, authorized};
use crate::transport::http::answer::DPOP_NONCE;
use crate::transport::http::challenge::{DPOP, Scheme, challenge, refusal_of};
use http::HeaderName;
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http_body_util::BodyExt as _;
use jeton_domain::error::Error;
use std::sync::Arc;
use tonic::{Code, Request, Response, Status};

/// Answers Envoys.
#[derive(Debug)]
pub struct Gateways {
    pub api: Api,
    pub headers: Arc<Headers>,
}

#[tonic::async_trait]
impl Authorization for Gateways {
    async fn check(&self, request: Request<CheckRequest>) -> std::result::Result<Response<CheckResponse>, Status> {
        let caller = allow(&request, Permission::Authorize).map_err(status::of)?;
        let context = request.into_inner().attributes.unwrap_or_default();
        let answer = match Shown::of(&context, &self.headers) {
            Ok(shown) => {
                let (scheme, asks) = (Scheme::of(&shown.headers), shown.asks(&context));
                if let Ok(asks) = &asks {
                    caller.may_introspect_for(Some(&asks.demand.resource)).map_err(refused)?;
                }
                match authorized(&self.api.service, asks).await {
                    Ok(Some(authorized)) => allowed(&self.headers, &authorized, shown.copies),
                    Ok(None) => denied(Code::Unauthenticated, challenge()).await?,
                    Err(fault) => refusal(&fault, scheme).await?,
                }
            }
            Err(error) => refusal(&Fault::of(&error), Scheme::Bearer).await?,
        };
        Ok(Response::new(answer))
    }
}

fn allowed(ours: &Headers, authorized: &Authorized, mut remove: Vec<String>) -> CheckResponse {
    let mut headers = Vec::new();
    for (name, value) in ours.told(&authorized.identity) {
        match value {
            Some(value) => headers.extend(text(&value).map(|value| overwrites(name, value))),
            None => remove.push(name.as_str().to_owned()),
        }
    }
    // Envoy removes after it has set.
    remove.retain(|name| !headers.iter().any(|set| set.header.as_ref().is_some_and(|set| set.key.eq_ignore_ascii_case(name))));
    if let Some(phantom) = &authorized.phantom {
        headers.push(overwrites(&AUTHORIZATION, format!("Bearer {}", phantom.expose())));
        remove.push(DPOP.as_str().to_owned());
    }
    let nonce = authorized.next_dpop_nonce.iter().map(|nonce| overwrites(&DPOP_NONCE, nonce.clone()));
    let passes = OkHttpResponse { headers, headers_to_remove: remove, response_headers_to_add: nonce.collect() };
    let status = google::rpc::Status { code: Code::Ok.into(), message: String::new() };
    CheckResponse { status: Some(status), http_response: Some(HttpResponse::OkResponse(passes)) }
}

async fn refusal(fault: &Fault, scheme: Scheme) -> std::result::Result<CheckResponse, Status> {
    denied(fault.row().code, refusal_of(fault, scheme)).await
}

/// An answer over HTTP, as Envoy is to give it.
async fn denied(code: Code, answer: axum::response::Response) -> std::result::Result<CheckResponse, Status> {
    let (head, body) = answer.into_parts();
    let broken = |problem: axum::Error| refused(Error::Internal(format!("the answer to a gateway: {problem}")));
    let body = body.collect().await.map_err(broken)?.to_bytes();
    let headers = head.headers.iter().filter(|(name, _)| **name != CONTENT_LENGTH);
    let headers = headers.filter_map(|(name, value)| Some(overwrites(name, text(value)?)));
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus { code: i32::from(head.status.as_u16()) }),
        headers: headers.collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let status = google::rpc::Status { code: code.into(), message: String::new() };
    Ok(CheckResponse { status: Some(status), http_response: Some(HttpResponse::DeniedResponse(denied)) })
}

fn overwrites(name: &HeaderName, value: String) -> HeaderValueOption {
    let header = HeaderValue { key: name.as_str().to_owned(), value, raw_value: Vec::new() };
    HeaderValueOption { header: Some(header), append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into() }
}

/// All of ours are visible ASCII.
fn text(value: &http::HeaderValue) -> Option<String> {
    value.to_str().ok().map(str::to_owned)
}

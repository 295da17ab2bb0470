//! Envoy's `Authorization`: whether a request may pass, in the words of Envoy's filter `ext_authz`.
//!
//! INVARIANT: whatever is wrong, a request that is not allowed is told so as denied, never as a failure of this call, which Envoy may be
//! set to let pass (`failure_mode_allow`). Only who may not ask, or asks what is no message, is refused by a status.

use super::gateways::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use super::gateways::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use super::gateways::envoy::service::auth::v3::attribute_context::HttpRequest;
use super::gateways::envoy::service::auth::v3::authorization_server::Authorization;
use super::gateways::envoy::service::auth::v3::check_response::HttpResponse;
use super::gateways::envoy::service::auth::v3::{
    AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse,
};
use super::gateways::envoy::r#type::v3::HttpStatus;
use super::gateways::google;
use super::{Api, allow, refused, status};
use crate::service::authorize::Authorized;
use crate::transport::caller::Permission;
use crate::transport::fault::Fault;
use crate::transport::gateway::{Asks, Headers, authorized, not_a_header};
use crate::transport::http::answer::DPOP_NONCE;
use crate::transport::http::challenge::{DPOP, Scheme, challenge, refusal_of};
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName};
use http_body_util::BodyExt as _;
use jeton_domain::error::{Error, Result};
use jeton_domain::gateway::{Asked, Demand};
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tonic::{Code, Request, Response, Status};

/// What a demand is called outward.
const DEMANDS: &str = "context_extensions.";

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

/// What a request shows.
struct Shown<'a> {
    request: &'a HttpRequest,
    /// How tokens and proofs come, and nothing else.
    headers: HeaderMap,
    /// Headers that some servers take for ours.
    copies: Vec<String>,
}

impl<'a> Shown<'a> {
    fn of(context: &'a AttributeContext, ours: &Headers) -> Result<Self> {
        let request = context.request.as_ref().and_then(|request| request.http.as_ref());
        let request = request.ok_or_else(|| Error::invalid("attributes.request.http", "is missing: only HTTP is judged"))?;
        let raw = request.header_map.iter().flat_map(|map| &map.headers).map(|header| {
            let HeaderValue { key, value, raw_value } = header;
            (key.as_str(), if raw_value.is_empty() { value.as_bytes() } else { raw_value })
        });
        let named = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let (mut headers, mut copies) = (HeaderMap::new(), Vec::new());
        for (name, value) in named.chain(raw) {
            // A pseudo-header of HTTP/2 begins with a colon.
            if value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) || name.bytes().any(|b| b.is_ascii_control()) {
                return Err(not_a_header("headers"));
            }
            match [AUTHORIZATION, DPOP].into_iter().find(|shows| name.eq_ignore_ascii_case(shows.as_str())) {
                Some(shows) => {
                    let value = http::HeaderValue::from_bytes(value).map_err(|_unprintable| not_a_header(shows.as_str()))?;
                    headers.append(shows, value);
                }
                None if ours.is_copy(name) => copies.push(name.to_owned()),
                None => {}
            }
        }
        Ok(Self { request, headers, copies })
    }

    fn asks(&self, context: &'a AttributeContext) -> Result<Asks<'_>> {
        let HttpRequest { method, scheme, host, path, .. } = self.request;
        let demands = context.context_extensions.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Ok(Asks {
            demand: Demand::read(DEMANDS, demands)?,
            asked: Asked::new(method, scheme, host, path)?,
            shown: &self.headers,
            certificate: thumbprint(context.source.as_ref().map_or("", |source| &source.certificate))?,
        })
    }
}

/// SHA-256 of the certificate that the client showed to Envoy, which has seen that it has the key.
fn thumbprint(certificate: &str) -> Result<Option<[u8; 32]>> {
    if certificate.is_empty() {
        return Ok(None);
    }
    let pem: Vec<u8> = percent_decode_str(certificate).collect();
    let der = CertificateDer::from_pem_slice(&pem).map_err(|_none| Error::invalid("source.certificate", "is no certificate"))?;
    Ok(Some(Sha256::digest(der).into()))
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

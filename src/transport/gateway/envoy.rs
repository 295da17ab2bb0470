//! What Envoy tells of a request by the message of its filter `ext_authz`, read.

use super::{Asks, Headers, not_a_header};
use crate::transport::grpc::gateways::envoy::config::core::v3::HeaderValue;
use crate::transport::grpc::gateways::envoy::service::auth::v3::AttributeContext;
use crate::transport::grpc::gateways::envoy::service::auth::v3::attribute_context::HttpRequest;
use crate::transport::http::challenge::DPOP;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jeton_domain::error::{Error, Result};
use jeton_domain::gateway::{Asked, Demand};
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

/// What a demand is called outward.
const DEMANDS: &str = "context_extensions.";

/// What a request shows.
pub struct Shown<'a> {
    request: &'a HttpRequest,
    /// How tokens and proofs come, and nothing else.
    pub headers: HeaderMap,
    /// Headers that some servers take for ours, as they are spelt.
    pub copies: Vec<String>,
}

impl<'a> Shown<'a> {
    /// Reads the headers.
    ///
    /// # Errors
    /// `Invalid`: it is no request of HTTP, or has a header that none can be.
    pub fn of(context: &'a AttributeContext, ours: &Headers) -> Result<Self> {
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

    /// The request, and what its route demands.
    ///
    /// # Errors
    /// `Invalid`, `InvalidScope`, `InvalidTarget`: a demand that is not understood, what no request is made of, what is no certificate.
    pub fn asks(&self, context: &'a AttributeContext) -> Result<Asks<'_>> {
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

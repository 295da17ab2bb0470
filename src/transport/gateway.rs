//! What gateways ask, over gRPC (Envoy) and HTTP (nginx, Traefik, Caddy) alike: which headers of a request count, what the service
//! behind is told, and how that is kept from being forged.
//!
//! INVARIANT: what the service behind reads in one of our headers is ours: a copy that came with the request is overwritten or removed,
//! however it is spelt. Below: what Envoy tells (`envoy`), what others do (`forwarded`). Must not live here: whether a request may pass
//! (the service), how either transport answers.

pub mod envoy;
pub mod forwarded;

use super::fault::Fault;
use super::grpc::introspect;
use super::http::challenge::{Presented, presented};
use super::logged;
use crate::service::Service;
use crate::service::authorize::{Authorize, Authorized, Identity, Words};
use crate::telemetry::metrics;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use jeton_domain::error::{Error, Result};
use jeton_domain::gateway::{Asked, Demand, in_header};

/// The headers by which the service behind is told who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// The subject.
    pub subject: HeaderName,
    /// The client.
    pub client: HeaderName,
    /// The scopes, with a space between.
    pub scope: HeaderName,
    /// The session.
    pub session: HeaderName,
    /// The authentication context class.
    pub acr: HeaderName,
    /// When the user signed in, in seconds since the epoch.
    pub auth_time: HeaderName,
}

impl Default for Headers {
    fn default() -> Self {
        Self {
            subject: HeaderName::from_static("x-jeton-subject"),
            client: HeaderName::from_static("x-jeton-client"),
            scope: HeaderName::from_static("x-jeton-scope"),
            session: HeaderName::from_static("x-jeton-session"),
            acr: HeaderName::from_static("x-jeton-acr"),
            auth_time: HeaderName::from_static("x-jeton-auth-time"),
        }
    }
}

/// A header of ours, and what it says; none where the token does not say it.
pub type Told<'a> = (&'a HeaderName, Option<HeaderValue>);

impl Headers {
    /// What the service behind is told.
    pub fn told(&self, identity: &Identity) -> [Told<'_>; 6] {
        let Identity { subject, client, scope, session, sign_in, .. } = identity;
        let scopes: Vec<_> = scope.split(' ').map(in_header).collect();
        let auth_time = sign_in.auth_time.map(|at| HeaderValue::from(at.secs()));
        [
            (&self.subject, value(&in_header(subject))),
            (&self.client, value(&in_header(client))),
            (&self.scope, value(&scopes.join(" "))),
            (&self.session, session.as_deref().and_then(|session| value(&in_header(session)))),
            (&self.acr, sign_in.acr.as_deref().and_then(|acr| value(&in_header(acr)))),
            (&self.auth_time, auth_time),
        ]
    }

    /// Whether a header of a request would be taken for one of ours by a server that takes an underscore for a dash.
    pub fn is_copy(&self, name: &str) -> bool {
        let same = |ours: &HeaderName| {
            let dashed = name.bytes().map(|b| if b == b'_' { b'-' } else { b.to_ascii_lowercase() });
            dashed.eq(ours.as_str().bytes())
        };
        [&self.subject, &self.client, &self.scope, &self.session, &self.acr, &self.auth_time].into_iter().any(same)
    }
}

/// What says nothing is not told.
fn value(text: &str) -> Option<HeaderValue> {
    if text.is_empty() { None } else { HeaderValue::from_str(text).ok() }
}

/// A request, its route's demands, and what it shows: the headers by which tokens and proofs come, each as often as it came.
pub struct Asks<'a> {
    /// The request.
    pub asked: Asked<'a>,
    /// What its route demands.
    pub demand: Demand,
    /// How tokens and proofs come.
    pub shown: &'a HeaderMap,
    /// SHA-256 of the certificate that its client showed to the gateway.
    pub certificate: Option<[u8; 32]>,
}

/// Whether it may pass; none where it shows no token.
pub async fn authorized(service: &Service, asks: Result<Asks<'_>>) -> std::result::Result<Option<Authorized>, Fault> {
    let answered = async {
        let Asks { asked, demand, shown, certificate } = asks?;
        let Some(Presented { token, dpop }) = presents(shown)? else { return Ok(None) };
        let authorize = Authorize { asked, demand: &demand, token, dpop, certificate };
        service.authorize(authorize, WORDS).await.map(Some).map_err(logged)
    }
    .await;
    metrics::AUTHORIZATIONS.add(match &answered {
        Ok(Some(_)) => "allowed",
        Ok(None) => "challenged",
        Err(fault) => fault.reason.word(),
    });
    answered
}

/// The access token that a request shows, with its proof; none where it shows none.
///
/// # Errors
/// There are two tokens, or two headers made one; there is not one proof.
pub fn presents(shown: &HeaderMap) -> std::result::Result<Option<Presented>, Fault> {
    // A gateway may have written two as one, with a comma between (RFC 9110 section 5.3): no token has one.
    if shown.get_all(AUTHORIZATION).iter().any(|one| one.as_bytes().contains(&b',')) {
        return Err(Fault::of(&Error::invalid("authorization", "is given more than once")));
    }
    presented(shown)
}

/// What a token says is written once, as the message of Introspect, whoever asks first.
const WORDS: Words = Words { write: introspect::write, read: introspect::identity };

/// A header of a request that cannot be one.
pub fn not_a_header(name: &str) -> Error {
    Error::invalid(name, "has a character that no header may have")
}

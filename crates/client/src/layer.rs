//! A layer of tower that lets only valid access tokens through, for axum and for tonic services.
//!
//! Lives here: where a token stands in a request, and how a refusal is written (RFC 6750 section 3, gRPC). Must not live here: whether the
//! token is valid (`verifier`).

use crate::verifier::{Refused, Verified, Verifier};
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use jeton_domain::grant::Binding;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tower::{Layer, Service};

/// Lets a request through only with an access token that is valid for one resource, and has certain scopes.
///
/// The token stands in `Authorization: Bearer` (RFC 6750 section 2.1) and nowhere else. What it says is put into the extensions of the
/// request as [`Verified`]. Other requests are answered here:
///
/// | | HTTP | gRPC |
/// |---|---|---|
/// | no token | 401, `WWW-Authenticate` without an error | `UNAUTHENTICATED` |
/// | not valid, or bound to a key or certificate that was not proved | 401 `invalid_token` | `UNAUTHENTICATED` |
/// | two tokens, or in two places | 400 `invalid_request` | `INVALID_ARGUMENT` |
/// | valid, but without a scope that is needed | 403 `insufficient_scope` | `PERMISSION_DENIED` |
/// | cannot be checked now | 503, `Retry-After` | `UNAVAILABLE` |
///
/// A token bound to a DPoP key is refused: this layer checks no proofs. One bound to a certificate (RFC 8705) is accepted where a layer
/// around this one put the same [`CertificateThumbprint`] into the extensions, for it knows the connection.
///
/// ```no_run
/// # use jeton_client::{Client, Verifier, VerifierSettings, VerifyLayer};
/// # fn run() -> Result<(), jeton_client::Error> {
/// let client = Client::connect(["http://127.0.0.1:50051"])?;
/// let verifier = Verifier::start(client, VerifierSettings::new("http://127.0.0.1:8080"));
/// let orders = VerifyLayer::new(verifier, "https://orders.internal");
/// let app: axum::Router = axum::Router::new()
///     .route("/orders", axum::routing::get(|| async { "orders" }).layer(orders.with_scope("orders:read")));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct VerifyLayer {
    verifier: Verifier,
    resource: Arc<str>,
    scopes: Arc<[Box<str>]>,
}

/// The SHA-256 thumbprint of the certificate that the caller's connection was made with: for a layer around this one to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateThumbprint(pub [u8; 32]);

impl VerifyLayer {
    /// Demands a token that is valid for this resource: its identifier URI, as jeton is configured with it.
    #[must_use]
    pub fn new(verifier: Verifier, resource: impl Into<Arc<str>>) -> Self {
        Self { verifier, resource: resource.into(), scopes: Arc::new([]) }
    }

    /// The same, demanding this scope too.
    #[must_use]
    pub fn with_scope(&self, scope: &str) -> Self {
        let scopes = self.scopes.iter().map(AsRef::as_ref).chain([scope]).map(Box::from).collect();
        Self { scopes, ..self.clone() }
    }

    async fn check(
        &self,
        found: Result<String, Problem>,
        certificate: Option<CertificateThumbprint>,
    ) -> Result<Verified, Problem> {
        let token = found?;
        let verified = self.verifier.verify(&token, &self.resource).await.map_err(|refused| match refused {
            Refused::Stale | Refused::Unavailable(_) => Problem::Unavailable,
            Refused::NotGenuine(_) | Refused::Dead(_) | Refused::Inactive => Problem::InvalidToken,
        })?;
        let proved = match verified.binding {
            None => true,
            Some(Binding::Jkt(_)) => false,
            Some(Binding::X5t(thumbprint)) => certificate == Some(CertificateThumbprint(thumbprint)),
        };
        if !proved {
            return Err(Problem::InvalidToken);
        }
        if !self.scopes.iter().all(|scope| verified.has_scope(scope)) {
            return Err(Problem::InsufficientScope);
        }
        Ok(verified)
    }

    fn refusal<R: Default>(&self, problem: Problem, is_grpc: bool) -> Response<R> {
        if is_grpc {
            return problem.status().into_http();
        }
        let mut answer = Response::new(R::default());
        *answer.status_mut() = problem.code();
        let said = match problem {
            Problem::Unavailable => (RETRY_AFTER, HeaderValue::from_static("1")),
            _ => (WWW_AUTHENTICATE, self.challenge(problem)),
        };
        answer.headers_mut().extend([said]);
        answer
    }

    /// RFC 6750 section 3. Without a token there is no error to speak of (section 3.1).
    fn challenge(&self, problem: Problem) -> HeaderValue {
        let realm = self.resource.replace('\\', "\\\\").replace('"', "\\\"");
        let mut text = format!("Bearer realm=\"{realm}\"");
        if let Some(error) = problem.error() {
            text.push_str(&format!(", error=\"{error}\""));
        }
        if problem == Problem::InsufficientScope {
            text.push_str(&format!(", scope=\"{}\"", self.scopes.join(" ")));
        }
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Bearer realm=\"\""))
    }
}

/// Why a request is not let through, as far as its sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    NoToken,
    InvalidRequest,
    InvalidToken,
    InsufficientScope,
    Unavailable,
}

impl Problem {
    const fn code(self) -> StatusCode {
        match self {
            Self::NoToken | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::InsufficientScope => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// RFC 6750 section 3.1.
    const fn error(self) -> Option<&'static str> {
        match self {
            Self::NoToken | Self::Unavailable => None,
            Self::InvalidRequest => Some("invalid_request"),
            Self::InvalidToken => Some("invalid_token"),
            Self::InsufficientScope => Some("insufficient_scope"),
        }
    }

    fn status(self) -> Status {
        match self {
            Self::NoToken => Status::unauthenticated("an access token is needed"),
            Self::InvalidToken => Status::unauthenticated("the access token is not valid"),
            Self::InvalidRequest => Status::invalid_argument("the request has more than one access token, or a garbled one"),
            Self::InsufficientScope => Status::permission_denied("the access token lacks a scope"),
            Self::Unavailable => Status::unavailable("the access token cannot be checked now"),
        }
    }
}

/// The token of a request.
fn token_of<B>(request: &Request<B>) -> Result<String, Problem> {
    let mut headers = request.headers().get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (headers.next(), headers.next()) else {
        return Err(if request.headers().contains_key(AUTHORIZATION) { Problem::InvalidRequest } else { Problem::NoToken });
    };
    let text = header.to_str().map_err(|_not_visible| Problem::InvalidRequest)?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Problem::NoToken);
    }
    let query = request.uri().query().unwrap_or_default();
    let in_query = query.split('&').any(|pair| pair.split('=').next() == Some("access_token"));
    let token = token.trim_start_matches(' ');
    let is_one = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
    if in_query || !is_one { Err(Problem::InvalidRequest) } else { Ok(token.to_owned()) }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

impl<S> Layer<S> for VerifyLayer {
    type Service = Verify<S>;

    fn layer(&self, inner: S) -> Verify<S> {
        Verify { inner, layer: self.clone() }
    }
}

/// A service behind a [`VerifyLayer`].
#[derive(Clone)]
pub struct Verify<S> {
    inner: S,
    layer: VerifyLayer,
}

impl<S> fmt::Debug for Verify<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verify")
            .field("resource", &self.layer.resource)
            .field("scopes", &self.layer.scopes)
            .finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for Verify<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The one that was asked whether it is ready, not a clone of it.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let layer = self.layer.clone();
        Box::pin(async move {
            let certificate = request.extensions().get::<CertificateThumbprint>().copied();
            match layer.check(token_of(&request), certificate).await {
                Ok(verified) => {
                    request.extensions_mut().insert(verified);
                    inner.call(request).await
                }
                Err(problem) => Ok(layer.refusal(problem, is_grpc(request.headers()))),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(headers: &[&str], uri: &str) -> Result<String, Problem> {
        let mut request = Request::get(uri);
        for header in headers {
            request = request.header(AUTHORIZATION, *header);
        }
        token_of(&request.body(()).unwrap())
    }

    #[test]
    fn a_token_stands_in_one_place_once() {
        for header in ["Bearer abc.d-e_f~+/=", "bearer abc.d-e_f~+/=", "BEARER   abc.d-e_f~+/="] {
            assert_eq!(found(&[header], "/orders?page=2"), Ok("abc.d-e_f~+/=".into()), "{header}");
        }
        for headers in [&[][..], &["Basic YTpi"], &["DPoP abc"], &["Bearertoken"]] {
            assert_eq!(found(headers, "/orders"), Err(Problem::NoToken), "{headers:?}");
        }
        assert_eq!(found(&[], "/orders?access_token=abc"), Err(Problem::NoToken), "a URL is no place for a token");
        for headers in [
            &["Bearer a", "Bearer b"][..],
            &["Bearer a", "Basic YTpi"],
            &["Bearer"],
            &["Bearer "],
            &["Bearer a b"],
            &["Bearer a, Bearer b"],
        ] {
            assert_eq!(found(headers, "/orders"), Err(Problem::InvalidRequest), "{headers:?}");
        }
        for uri in ["/orders?access_token=abc", "/orders?x=1&access_token=", "/orders?access_token"] {
            assert_eq!(found(&["Bearer abc"], uri), Err(Problem::InvalidRequest), "{uri}");
        }
    }
}

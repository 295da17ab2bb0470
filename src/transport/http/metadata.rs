//! What is published: the public keys (RFC 7517), and what this server can do (RFC 8414, OpenID Connect Discovery 1.0).
//!
//! INVARIANT: everything that is advertised works, and nothing else is advertised.

use super::answer::{insert, refusal};
use super::{DEVICE, Door, INTROSPECT, REVOKE, TOKEN, USERINFO};
use crate::telemetry::metrics;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use jeton_domain::client::Algorithm;
use jeton_domain::dpop;
use jeton_domain::error::Error;
use jeton_domain::jwk;
use jeton_domain::pkce;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::time::Instant;

/// Where the public keys are.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";
/// RFC 8414 section 3.
pub const OAUTH_PATH: &str = "/.well-known/oauth-authorization-server";
/// OpenID Connect Discovery 1.0 section 4.
pub const OPENID_PATH: &str = "/.well-known/openid-configuration";

/// For how long what this server can do may be cached: it changes with its configuration only.
const DISCOVERY_MAX_AGE: u64 = 300;

/// The pages of the login service, which are not jeton's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// Where a user signs in and consents (RFC 6749 section 3.1).
    pub authorization: Option<String>,
    /// Where a user signs out (OpenID Connect RP-Initiated Logout 1.0).
    pub end_session: Option<String>,
}

/// RFC 7517 section 5.
pub(super) async fn jwks(State(door): State<Door>, asked: HeaderMap) -> Response {
    let arrived = Instant::now();
    let (keys, max_age) = door.0.service.jwks();
    let answer = match serde_json::to_vec(&keys) {
        Ok(body) => cached(&asked, body, "application/jwk-set+json", max_age.secs()),
        Err(error) => refusal(&super::refused(Error::Internal(error.to_string()))),
    };
    metrics::request("http_jwks", if answer.status().is_server_error() { "error" } else { "OK" }, arrived.elapsed());
    answer
}

/// The same document at both places: one server.
pub(super) async fn discovery(State(door): State<Door>, asked: HeaderMap) -> Response {
    let arrived = Instant::now();
    let answer = cached(&asked, door.advertised().to_string().into_bytes(), "application/json", DISCOVERY_MAX_AGE);
    metrics::request("http_discovery", "OK", arrived.elapsed());
    answer
}

impl Door {
    fn advertised(&self) -> Value {
        let issuer = self.0.service.issuer();
        let at = |path: &str| format!("{issuer}{path}");
        let algorithms: Vec<&str> = self.0.service.algorithms().map(Algorithm::word).collect();
        let certificates = &self.0.settings.certificates;
        let by_name = certificates.vouched.then_some("tls_client_auth");
        let by_thumbprint = certificates.asked.then_some("self_signed_tls_client_auth");
        let authenticated: Vec<&str> = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
            .into_iter()
            .chain(by_name)
            .chain(by_thumbprint)
            .collect();
        let methods = [authenticated.as_slice(), &["none"]].concat();
        let mut document = json!({
            "issuer": issuer,
            "jwks_uri": at(JWKS_PATH),
            "token_endpoint": at(TOKEN.path),
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": jwk::ALGORITHMS,
            "introspection_endpoint": at(INTROSPECT.path),
            "introspection_endpoint_auth_methods_supported": authenticated,
            "introspection_endpoint_auth_signing_alg_values_supported": jwk::ALGORITHMS,
            "introspection_signing_alg_values_supported": algorithms,
            "revocation_endpoint": at(REVOKE.path),
            "revocation_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_signing_alg_values_supported": jwk::ALGORITHMS,
            "userinfo_endpoint": at(USERINFO.path),
            "grant_types_supported": super::token::grant_types(&self.0.service),
            "response_types_supported": if self.0.settings.pages.authorization.is_some() { json!(["code"]) } else { json!([]) },
            "code_challenge_methods_supported": [pkce::METHOD],
            "dpop_signing_alg_values_supported": dpop::ALGORITHMS,
            "scopes_supported": self.0.service.scopes(),
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
            "backchannel_logout_supported": true,
            "backchannel_logout_session_supported": true,
        });
        let types = self.0.service.details_types();
        let optional = [
            ("authorization_endpoint", self.0.settings.pages.authorization.clone()),
            ("end_session_endpoint", self.0.settings.pages.end_session.clone()),
            ("device_authorization_endpoint", self.0.service.serves_devices().then(|| at(DEVICE.path))),
        ];
        let bound = certificates.asked.then(|| ("tls_client_certificate_bound_access_tokens".to_owned(), true.into()));
        let given = optional.into_iter().filter_map(|(name, place)| Some((name.to_owned(), place?.into())));
        if let Some(members) = document.as_object_mut() {
            members.extend(given);
            members.extend(bound);
            if !types.is_empty() {
                members.insert("authorization_details_types_supported".into(), types.into());
            }
        }
        document
    }
}

/// RFC 9110 sections 8.8.3 and 13.1.2: the body, or that it has not changed.
fn cached(asked: &HeaderMap, body: Vec<u8>, media_type: &'static str, max_age: u64) -> Response {
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(&body));
    let tag = format!("\"{hash}\"");
    let known = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let unchanged = known.map(str::trim).any(|held| held == "*" || held.trim_start_matches("W/") == tag);
    let mut answer = if unchanged { StatusCode::NOT_MODIFIED.into_response() } else { Body::from(body).into_response() };
    let headers = answer.headers_mut();
    if !unchanged {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    insert(headers, CACHE_CONTROL, &format!("public, max-age={max_age}"));
    insert(headers, ETAG, &tag);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWK_SET: &str = "application/jwk-set+json";

    fn asked(held: &str) -> HeaderMap {
        HeaderMap::from_iter([(IF_NONE_MATCH, held.parse().unwrap())])
    }

    #[test]
    fn keys_that_have_not_changed_are_not_sent_again() {
        let first = cached(&HeaderMap::new(), b"{}".to_vec(), JWK_SET, 300);
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[CACHE_CONTROL], "public, max-age=300");
        assert_eq!(first.headers()[CONTENT_TYPE], JWK_SET);
        let tag = first.headers()[ETAG].to_str().unwrap();
        for held in [tag, &format!("W/{tag}"), &format!("\"x\", {tag}"), "*"] {
            let again = cached(&asked(held), b"{}".to_vec(), JWK_SET, 299);
            assert_eq!((again.status(), &again.headers()[ETAG]), (StatusCode::NOT_MODIFIED, &first.headers()[ETAG]), "{held}");
        }
        assert_eq!(cached(&asked(tag), b"{\"keys\":[]}".to_vec(), JWK_SET, 300).status(), StatusCode::OK);
    }
}

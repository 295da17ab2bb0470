//! Answers over HTTP: JSON that nobody stores, and refusals in OAuth's words (RFC 6749 sections 5.1 and 5.2).

use crate::telemetry::metrics;
use crate::transport::fault::{Fault, Reason};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

/// RFC 9449 section 8.
pub const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// JSON that carries a token or a secret, or must not be stored for another reason.
pub fn unstored(body: &Value) -> Response {
    unstored_text("application/json", body.to_string())
}

/// The same of another media type.
pub fn unstored_text(media_type: &'static str, body: String) -> Response {
    let mut answer = body.into_response();
    never_stored(answer.headers_mut());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

/// A refusal as JSON: the OAuth members (RFC 6749 section 5.2), the reason of the registry, and what the fault says to machines.
pub fn refusal(fault: &Fault) -> Response {
    metrics::REFUSALS.add(fault.reason.word());
    let row = fault.row();
    let mut body: Map<String, Value> =
        fault.metadata.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))).collect();
    body.insert("error".into(), row.oauth.into());
    body.insert("error_description".into(), described(&fault.message).into());
    body.insert("reason".into(), json!(fault.reason.word()));
    let mut answer = (row.http, Value::Object(body).to_string()).into_response();
    let headers = answer.headers_mut();
    never_stored(headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if fault.reason == Reason::InvalidClient {
        insert(headers, WWW_AUTHENTICATE, "Basic realm=\"jeton\", charset=\"UTF-8\"");
    }
    let nonce = fault.metadata.iter().find(|(name, _)| *name == "dpop_nonce");
    if let Some((_, nonce)) = nonce {
        insert(headers, DPOP_NONCE, nonce);
    }
    if let Some(after) = row.retry {
        insert(headers, RETRY_AFTER, &after.as_secs().max(1).to_string());
    }
    answer
}

/// Nobody stores it (RFC 6749 section 5.1).
pub fn never_stored(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
}

/// Only what RFC 6749 section 5.2 allows in a description: printable ASCII but `"` and `\`.
pub fn described(text: &str) -> String {
    let allowed = |c| match c {
        '"' => '\'',
        '\\' => '/',
        ' '..='~' => c,
        _ => '?',
    };
    text.chars().map(allowed).collect()
}

/// Sets a header, where the value can be one.
pub fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use http_body_util::BodyExt as _;
    use jeton_domain::error::{ClientRefusal, Error};

    async fn said(fault: &Fault) -> (StatusCode, HeaderMap, Value) {
        let answer = refusal(fault);
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, headers, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_refusal_is_json_that_nobody_stores() {
        let (status, headers, body) = said(&Fault::of(&Error::StoreUnavailable("driver words".into()))).await;
        assert_eq!((status, headers[RETRY_AFTER].as_bytes()), (StatusCode::SERVICE_UNAVAILABLE, b"1".as_slice()));
        assert_eq!(headers[CACHE_CONTROL], "no-store");
        let expected = json!({"error": "temporarily_unavailable", "error_description": "the store does not answer", "reason": "STORE_UNAVAILABLE"});
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn who_did_not_prove_himself_is_told_how() {
        let (status, headers, body) = said(&Fault::of(&Error::InvalidClient(ClientRefusal::Unknown))).await;
        assert_eq!((status, &body["error"]), (StatusCode::UNAUTHORIZED, &json!("invalid_client")));
        assert!(headers[WWW_AUTHENTICATE].to_str().unwrap().starts_with("Basic "));
    }

    #[tokio::test]
    async fn a_description_is_plain_ascii_whatever_was_sent() {
        let (.., body) = said(&Fault::of(&Error::invalid("a\"\\\u{1b}[31mä\r\n", "is wrong"))).await;
        let text = body["error_description"].as_str().unwrap();
        assert!(text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\'), "{text}");
    }
}

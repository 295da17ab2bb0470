//! What gateways tell of a request (`transport::gateway`): Envoy by a message, others by headers and a query.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use jeton::transport::gateway::envoy::Shown;
use jeton::transport::gateway::{Asks, Headers, forwarded, presents};
use jeton::transport::grpc::gateways::envoy::service::auth::v3::attribute_context::{HttpRequest, Request as Told};
use jeton::transport::grpc::gateways::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use jeton::transport::http::form::Form;
use jeton_domain::name::ResourceId;
use prost::Message as _;

/// What the service behind is told by, and reads whether with dashes or with underscores.
const OURS: [&str; 6] =
    ["x-jeton-subject", "x-jeton-client", "x-jeton-scope", "x-jeton-session", "x-jeton-acr", "x-jeton-auth-time"];

/// Where the data begin with a zero the message of Envoy, else lines: a query, then headers.
pub fn read(data: &[u8]) {
    match data.split_first() {
        Some((0, message)) => {
            let Ok(asked) = CheckRequest::decode(message) else { return };
            of_envoy(&asked.attributes.unwrap_or_default());
        }
        _ => {
            if let Ok(text) = std::str::from_utf8(data) {
                of_headers(text);
            }
        }
    }
}

/// Every header that may be taken for one of ours is found, and of the others those alone are looked at by which tokens come.
fn of_envoy(context: &AttributeContext) {
    let Ok(shown) = Shown::of(context, &Headers::default()) else { return };
    let http = context.request.as_ref().and_then(|request| request.http.clone()).unwrap_or_default();
    let raw = http.header_map.iter().flat_map(|map| &map.headers).map(|header| &header.key);
    let names: Vec<&String> = http.headers.keys().chain(raw).collect();
    for name in &names {
        let is_ours = OURS.contains(&name.to_ascii_lowercase().replace('_', "-").as_str());
        assert_eq!(is_ours, shown.copies.contains(name), "{name:?}");
    }
    for shows in ["authorization", "dpop"] {
        let given = names.iter().filter(|name| name.eq_ignore_ascii_case(shows)).count();
        assert_eq!(shown.headers.get_all(shows).iter().count(), given, "{shows}");
    }
    assert!(shown.headers.keys().all(|name| matches!(name.as_str(), "authorization" | "dpop")));
    if let Ok(asks) = shown.asks(context) {
        is_sound(&asks, &http.path);
        assert!(context.source.as_ref().is_none_or(|source| source.certificate.is_empty()) || asks.certificate.is_some());
    }
}

/// The same request told by Envoy is read as the same.
fn of_headers(text: &str) {
    let Some((query, lines)) = text.split_once('\n') else { return };
    let mut headers = HeaderMap::new();
    for (name, value) in lines.lines().filter_map(|line| line.split_once(": ")) {
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) else { return };
        headers.append(name, value);
    }
    let Ok(given) = Form::parse(query) else { return };
    let (mut head, ()) = Request::new(()).into_parts();
    head.headers = headers;
    if forwarded::without_copies(&head.headers, &Headers::default()).is_ok() {
        assert!(
            !head
                .headers
                .keys()
                .any(|name| name.as_str().contains('_') && OURS.contains(&name.as_str().replace('_', "-").as_str()))
        );
    }
    let Ok(asks) = forwarded::asks(&head, &given, None) else { return };
    let text = |names: &[&str]| {
        let value = names.iter().find_map(|name| head.headers.get(*name)).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let path = text(&["x-forwarded-uri", "x-original-uri"]);
    is_sound(&asks, &path);
    let http = HttpRequest {
        method: text(&["x-forwarded-method", "x-original-method"]),
        scheme: text(&["x-forwarded-proto"]),
        host: text(&["x-forwarded-host"]),
        path,
        ..HttpRequest::default()
    };
    let context = AttributeContext {
        request: Some(Told { http: Some(http) }),
        context_extensions: given.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        ..AttributeContext::default()
    };
    let shown = Shown::of(&context, &Headers::default());
    let same = shown.as_ref().ok().and_then(|shown| shown.asks(&context).ok());
    let said = |asks: &Asks<'_>| (asks.demand.clone(), asks.asked.method().to_owned(), asks.asked.uri(None));
    assert_eq!(same.as_ref().map(said), Some(said(&asks)));
}

/// What is accepted is a request whose address can be taken for no other, of a known resource, with one token at the most.
fn is_sound(asks: &Asks<'_>, path: &str) {
    let uri = asks.asked.uri(None);
    assert!(!uri.contains(' ') && !uri.chars().any(char::is_control), "{uri:?}");
    let (scheme, rest) = uri.split_once("://").unwrap_or_default();
    assert!(scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')), "{uri:?}");
    let host = rest.split('/').next().unwrap_or_default();
    assert!(!host.contains(['@', '?', '#', '\\']), "{uri:?}");
    assert!(asks.asked.method().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !asks.asked.method().is_empty());
    let mut query = path.split_once('?').unwrap_or_default().1.split('&');
    assert!(!query.any(|pair| pair.starts_with("access_token=")), "a token in the query is refused: {path:?}");
    let demand = &asks.demand;
    assert_eq!(ResourceId::parse("resource", &demand.resource.to_string()).as_ref(), Ok(&demand.resource));
    let origin = asks.asked.uri(Some("https://api.example.com"));
    assert!(origin.starts_with("https://api.example.com/"), "{origin:?}");
    if let Ok(Some(presented)) = presents(asks.shown) {
        let given: Vec<_> = asks.shown.get_all(AUTHORIZATION).iter().collect();
        assert_eq!(given.len(), 1);
        let token = presented.token.expose();
        assert!(!token.contains(',') && given.iter().all(|one| one.to_str().is_ok_and(|one| one.trim_end().ends_with(token))));
    }
}

//! Who may ask for the page at all: the page itself, and whoever types its address. Browsers carry requests of any site to loopback, and a
//! name of a stranger can be made to lead there (DNS rebinding).

use super::refusal;
use crate::transport::admin::host::{NOT_ONE, NOT_OURS, asked_for, is_of_this_machine, one};
use crate::transport::fault::{Edge, Fault};
use axum::body::Body;
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CACHE_CONTROL, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{Method, Request};

/// What a browser says of who asks (Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What every answer says. No script at all, nothing from elsewhere, in nobody's frame, kept by nobody. Addresses hold nothing worth hiding;
/// `no-referrer` would make browsers hide the origin of a form, too.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (X_FRAME_OPTIONS, "DENY"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "same-origin"),
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Stands before every address of the page.
pub async fn stand(is_local: bool, request: Request<Body>, next: Next) -> Response {
    let mut answer = match passes(&request, is_local) {
        Ok(()) => next.run(request).await,
        Err(fault) => refusal(&fault, false),
    };
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// A request that changes something, or brings what is secret, must say that it is the page's own; any other must not say otherwise.
fn passes<B>(request: &Request<B>, is_local: bool) -> Result<(), Fault> {
    let refuse = |what| Err(Fault::at(Edge::CrossSite { what }));
    let Ok(Some(host)) = asked_for(request) else {
        return refuse(NOT_ONE);
    };
    if is_local && !is_of_this_machine(&host) {
        return refuse(NOT_OURS);
    }
    let headers = request.headers();
    if one(headers, &FETCH_SITE).is_some_and(|site| !matches!(site, Ok("same-origin" | "none"))) {
        return refuse("another site asks for the page");
    }
    match one(headers, &ORIGIN) {
        None if request.method() == Method::POST => refuse("the request does not say that it comes from the page itself"),
        Some(origin) if !origin.is_ok_and(|origin| is_origin_of(origin, &host)) => refuse("another site asks for the page"),
        None | Some(_) => Ok(()),
    }
}

/// Whether an origin (RFC 6454 section 6.1) is that host. A proxy before the page may speak TLS for it.
fn is_origin_of(origin: &str, host: &Authority) -> bool {
    let authority = ["http://", "https://"].into_iter().find_map(|scheme| origin.strip_prefix(scheme));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes_with(method: Method, is_local: bool, headers: &[(&str, &str)]) -> bool {
        let request =
            headers.iter().fold(Request::builder().method(method), |request, (name, value)| request.header(*name, *value));
        passes(&request.body(()).unwrap(), is_local).is_ok()
    }

    #[test]
    fn only_names_of_this_machine_lead_to_loopback() {
        let opened = |host| passes_with(Method::GET, true, &[("host", host)]);
        for ours in ["localhost", "LOCALHOST:9464", "127.0.0.1:9464", "127.8.0.1", "[::1]:9464", "[::ffff:127.0.0.1]"] {
            assert!(opened(ours), "{ours}");
        }
        for other in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9464", "10.0.0.1", "0.0.0.0", "", "a b"] {
            assert!(!opened(other), "{other}");
        }
        assert!(!passes_with(Method::GET, true, &[]) && !passes_with(Method::GET, true, &[("host", "localhost"); 2]));
        assert!(
            passes_with(Method::GET, false, &[("host", "jeton.example")]),
            "elsewhere names lead to it, and callers are known"
        );
        let http2 = Request::get("https://localhost:9464/").body(()).unwrap();
        assert!(passes(&http2, true).is_ok());
    }

    #[test]
    fn a_form_says_that_it_is_the_pages_own() {
        const HOST: (&str, &str) = ("host", "localhost:9464");
        let sent = |headers: &[(&str, &str)]| passes_with(Method::POST, true, &[&[HOST][..], headers].concat());
        assert!(sent(&[("origin", "http://localhost:9464")]) && sent(&[("origin", "https://LOCALHOST:9464")]));
        for origin in
            ["null", "http://localhost:3000", "http://localhost", "http://evil.example", "localhost:9464", "file://", ""]
        {
            assert!(!sent(&[("origin", origin)]), "{origin}");
        }
        assert!(!sent(&[]), "nothing says where it comes from");
        assert!(!sent(&[("origin", "http://localhost:9464"); 2]));
        assert!(!sent(&[("origin", "http://localhost:9464"), ("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn another_site_opens_nothing() {
        let opened =
            |headers: &[(&str, &str)]| passes_with(Method::GET, true, &[&[("host", "localhost:9464")][..], headers].concat());
        assert!(opened(&[]) && opened(&[("sec-fetch-site", "none")]) && opened(&[("sec-fetch-site", "same-origin")]));
        for site in ["cross-site", "same-site", "", "?"] {
            assert!(!opened(&[("sec-fetch-site", site)]), "{site}");
        }
        assert!(!opened(&[("origin", "http://evil.example")]));
    }
}

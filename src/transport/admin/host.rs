//! Under which name the admin port is asked for. A name of a stranger can be made to lead a browser to loopback (DNS rebinding); an address
//! cannot, for nobody is asked where it leads.

use http::header::{HOST, HeaderName};
use http::uri::Authority;
use http::{HeaderMap, Request};
use std::net::IpAddr;

/// What is said to who names another.
pub const NOT_OURS: &str = "the admin port listens on loopback and was asked for under a name that is not this machine's";

/// What is said to who names several, or what is none.
pub const NOT_ONE: &str = "the request does not name one host";

/// A header is there more than once, or is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOne;

/// The host and port that is asked for, where the request names one. Over HTTP/2 it is no header (RFC 9113 section 8.3.1).
pub fn asked_for<B>(request: &Request<B>) -> Result<Option<Authority>, NotOne> {
    match one(request.headers(), &HOST) {
        Some(host) => host.and_then(|host| host.parse().map_err(|_garbled| NotOne)).map(Some),
        None => Ok(request.uri().authority().cloned()),
    }
}

/// Whether it can be no stranger's: an address, or the one name that leads to this machine wherever it is looked up.
pub fn is_no_strangers(host: &Authority) -> bool {
    is_localhost(host) || address(host).is_some()
}

/// Whether it is this machine's, by name or address.
pub fn is_of_this_machine(host: &Authority) -> bool {
    is_localhost(host) || address(host).is_some_and(|address| address.to_canonical().is_loopback())
}

fn is_localhost(host: &Authority) -> bool {
    host.host().eq_ignore_ascii_case("localhost")
}

fn address(host: &Authority) -> Option<IpAddr> {
    host.host().trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// The value of a header; an error where there are several or it is no text.
pub fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Result<&'a str, NotOne>> {
    let mut given = headers.get_all(name).iter();
    let first = given.next()?;
    Some(match (first.to_str(), given.next()) {
        (Ok(text), None) => Ok(text),
        _ => Err(NotOne),
    })
}

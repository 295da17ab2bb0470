//! What other gateways tell of a request, by headers and the query of one of their own.
//!
//! These headers are believed because only gateways may ask.

use super::{Asks, Headers};
use crate::transport::http::form::Form;
use http::HeaderMap;
use http::request::Parts;
use jeton_domain::error::{Error, Result};
use jeton_domain::gateway::{Asked, Demand};

/// By which headers gateways tell the method, whichever they know.
const METHOD: [&str; 2] = ["x-forwarded-method", "x-original-method"];
/// The path with its query.
const TARGET: [&str; 2] = ["x-forwarded-uri", "x-original-uri"];
const SCHEME: [&str; 1] = ["x-forwarded-proto"];
const HOST: [&str; 1] = ["x-forwarded-host"];

/// Refuses a copy of one of our headers: here nothing can be said that makes a gateway remove it.
///
/// # Errors
/// `Invalid`, naming it.
pub fn without_copies(headers: &HeaderMap, ours: &Headers) -> Result<()> {
    match headers.keys().find(|name| name.as_str().contains('_') && ours.is_copy(name.as_str())) {
        Some(copy) => Err(Error::invalid(copy.as_str(), "would be taken for a header of the gateway")),
        None => Ok(()),
    }
}

/// The request, and what its route demands: `given` in the query.
///
/// # Errors
/// `Invalid`, `InvalidScope`, `InvalidTarget`: a demand that is not understood, what no request is made of, what is told twice.
pub fn asks<'a>(head: &'a Parts, given: &Form, certificate: Option<[u8; 32]>) -> Result<Asks<'a>> {
    Ok(Asks {
        demand: Demand::read("", given.iter())?,
        asked: Asked::new(
            required(&head.headers, &METHOD)?,
            told(&head.headers, &SCHEME)?.unwrap_or_default(),
            told(&head.headers, &HOST)?.unwrap_or_default(),
            required(&head.headers, &TARGET)?,
        )?,
        shown: &head.headers,
        certificate,
    })
}

/// What one of these headers says; none where none is there.
fn told<'a>(headers: &'a HeaderMap, names: &[&'static str]) -> Result<Option<&'a str>> {
    let mut given = names.iter().flat_map(|name| headers.get_all(*name));
    let Some(one) = given.next() else { return Ok(None) };
    let wrong = |problem: &str| Error::invalid(names.first().copied().unwrap_or_default(), problem);
    if given.next().is_some() {
        return Err(wrong("is given more than once: a gateway must replace what its client sends"));
    }
    one.to_str().map(Some).map_err(|_bytes| wrong("is no text"))
}

fn required<'a>(headers: &'a HeaderMap, names: &[&'static str]) -> Result<&'a str> {
    told(headers, names)?.ok_or_else(|| Error::invalid(names.join("|").as_str(), "is missing: a gateway must tell it"))
}

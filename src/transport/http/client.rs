//! Which client asks, and how it proves who it is (RFC 6749 section 2.3): by header, in the form, by an assertion (RFC 7523), by the
//! certificate that came with the request (RFC 8705), or not at all.
//!
//! Must not live here: whether the proof is right.

use super::form::{Asked, decoded};
use crate::service::Credentials;
use crate::transport::fault::Fault;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jeton_domain::assertion::{Assertion, CLIENT_ASSERTION_TYPE, Purpose};
use jeton_domain::error::{ClientRefusal, Error};
use jeton_domain::name::ClientId;
use jeton_domain::secret::SecretText;

/// The client of a request, and what it shows.
///
/// # Errors
/// `invalid_client` where it does not say who it is; `invalid_request` where it shows two things at once, or two names.
pub fn client(asked: &mut Asked) -> Result<(ClientId, Credentials), Fault> {
    let header = basic(&asked.headers)?;
    let named = asked.form.text("client_id");
    let secret = asked.form.take("client_secret");
    let assertion = assertion(asked)?;
    for (field, is_there) in [("client_secret", secret.is_some()), ("client_assertion", assertion.is_some())] {
        if header.is_some() && is_there {
            return Err(wrong(
                field,
                "comes beside the header Authorization: a client authenticates in one way (RFC 6749 section 2.3)",
            ));
        }
    }
    // RFC 7521 section 4.2: an assertion says itself whose it is.
    let named = named.or_else(|| Assertion::read(assertion.as_ref()?.expose(), Purpose::Client).ok().map(|read| read.subject));
    let (id, secret) = match header {
        Some((id, _)) if named.as_ref().is_some_and(|named| *named != id) => {
            return Err(wrong("client_id", "is another than in the header Authorization"));
        }
        Some((id, secret)) => (id, Some(secret)),
        None => (named.ok_or_else(missing)?, secret),
    };
    // Whoever it is, it is none of ours.
    let id = ClientId::parse("client_id", &id).map_err(|_malformed| Fault::of(&Error::InvalidClient(ClientRefusal::Unknown)))?;
    let certificate = asked.certificate.take().map(Box::new);
    Ok((id, Credentials { secret, assertion, certificate, from: asked.from, ..Credentials::default() }))
}

/// A client assertion, which comes with its type (RFC 7521 section 4.2).
fn assertion(asked: &mut Asked) -> Result<Option<SecretText>, Fault> {
    let kind = asked.form.text("client_assertion_type");
    let assertion = asked.form.take("client_assertion");
    match (kind.as_deref(), &assertion) {
        (None, None) | (Some(CLIENT_ASSERTION_TYPE), Some(_)) => Ok(assertion),
        (Some(_), Some(_)) => Err(Fault::of(&Error::InvalidClient(ClientRefusal::Method))),
        (None, Some(_)) => Err(wrong("client_assertion_type", "must be given beside client_assertion")),
        (Some(_), None) => Err(wrong("client_assertion", "must be given beside client_assertion_type")),
    }
}

/// The name and password of `Authorization: Basic` (RFC 7617), each form-encoded (RFC 6749 section 2.3.1).
fn basic(headers: &HeaderMap) -> Result<Option<(String, SecretText)>, Fault> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let Some(one) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(wrong("authorization", "is given more than once"));
    }
    let malformed = || Fault::of(&Error::InvalidClient(ClientRefusal::Wrong));
    let (scheme, credentials) = one.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let pair = STANDARD.decode(credentials.trim()).ok().map(zeroize::Zeroizing::new).ok_or_else(malformed)?;
    let (id, secret) = std::str::from_utf8(&pair).ok().and_then(|pair| pair.split_once(':')).ok_or_else(malformed)?;
    let decoded = |text| decoded(text).map_err(|_bytes| malformed());
    Ok(Some((decoded(id)?, SecretText::new(decoded(secret)?))))
}

fn missing() -> Fault {
    Fault::of(&Error::InvalidClient(ClientRefusal::Missing))
}

fn wrong(field: &str, problem: &str) -> Fault {
    Fault::of(&Error::invalid(field, problem))
}

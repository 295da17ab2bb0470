//! Who calls, and may they? What a caller shows is read here; a listener lets in whom it shows to be one, or everybody.
//!
//! Must not live here: which caller that is (`service`), what each may do (the domain's `caller`), clients: a caller is not a client.

use crate::service::Service;
use crate::service::callers::Shown;
use crate::service::limits::Source;
use crate::transport::capacity::Lane;
use crate::transport::connections::CameFrom;
use crate::transport::tls::Peer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap};
use jeton_domain::error::{Error, Result};
use jeton_domain::secret::SecretText;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

pub use jeton_domain::caller::{Caller, Permission};

/// Who is let in at a listener where no callers are configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Everyone.
    Open,
    /// Nobody.
    Authenticated,
}

static ANYONE: LazyLock<Arc<Caller>> = LazyLock::new(|| Arc::new(Caller::anyone()));

impl Admission {
    /// Loopback is open for development. Anything else only where the operator says `insecure`, or where who connects proves in another
    /// way who he is: `known`.
    #[must_use]
    pub const fn of_listener(address: SocketAddr, insecure: bool, known: bool) -> Self {
        if insecure || known || address.ip().is_loopback() { Self::Open } else { Self::Authenticated }
    }

    /// Whoever it is, where everyone is let in.
    ///
    /// # Errors
    /// `CallerUnknown`.
    pub fn anyone(self) -> Result<Arc<Caller>> {
        match self {
            Self::Open => Ok(Arc::clone(&ANYONE)),
            Self::Authenticated => Err(Error::CallerUnknown("no caller is configured, and the listener is not open")),
        }
    }
}

/// Who calls.
#[derive(Clone, Debug)]
pub struct Calling {
    /// What it is, and may do.
    pub caller: Arc<Caller>,
    /// As whom its calls and failures are counted.
    pub from: Source,
}

impl Deref for Calling {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// Who calls from there: where callers are configured it is one of them, on loopback too, and calls no more often than it may. Nothing keeps it
/// from revoking.
///
/// # Errors
/// `CallerUnknown`, `TooManyFailures`, `RateLimited`, `KeysUnavailable`.
pub async fn of(
    service: &Service,
    admission: Admission,
    headers: &HeaderMap,
    extensions: &Extensions,
    from: Source,
    lane: Lane,
) -> Result<Calling> {
    let caller = shows(service, admission, extensions, Some(from), || bearer(headers)).await?;
    // Where nobody is configured, whoever it is has an address and no name.
    if Arc::ptr_eq(&caller, &ANYONE) {
        return Ok(Calling { caller, from });
    }
    let from = service.source_of(&caller);
    if lane == Lane::Ordinary {
        service.count_call(from)?;
    }
    Ok(Calling { caller, from })
}

/// Who it is where that may be a person at a browser, which knows no `Bearer`: a key may come as the password of `Basic`, under any name.
///
/// # Errors
/// `CallerUnknown`, `TooManyFailures`, `RateLimited`, `KeysUnavailable`.
pub async fn at_a_browser(
    service: &Service,
    admission: Admission,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Arc<Caller>> {
    let password = password(headers);
    let shown = || password.as_ref().map_or_else(|| bearer(headers), |password| Ok(Some(password.expose())));
    let caller = shows(service, admission, extensions, source(service, extensions), shown).await?;
    counted(service, &caller)?;
    Ok(caller)
}

/// Who asks over HTTP, by where the request comes from; none where that is not known.
pub fn source(service: &Service, extensions: &Extensions) -> Option<Source> {
    extensions.get::<CameFrom>().map(|CameFrom(address)| service.source_at(*address))
}

/// One more call of a caller; where nobody is configured, whoever it is has no name, and is not counted.
fn counted(service: &Service, caller: &Arc<Caller>) -> Result<()> {
    if Arc::ptr_eq(caller, &ANYONE) { Ok(()) } else { service.count_call(service.source_of(caller)) }
}

async fn shows<'a>(
    service: &Service,
    admission: Admission,
    extensions: &'a Extensions,
    from: Option<Source>,
    bearer: impl FnOnce() -> Result<Option<&'a str>>,
) -> Result<Arc<Caller>> {
    let callers = service.callers();
    if callers.is_empty() {
        return admission.anyone();
    }
    let certificate = extensions.get::<Peer>().and_then(Peer::certificate);
    service.caller(&callers, Shown { certificate, bearer: bearer()?, from }).await
}

/// The password of `Basic` (RFC 7617 section 2), where that is what is shown, once.
fn password(headers: &HeaderMap) -> Option<SecretText> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(one), None) = (given.next(), given.next()) else { return None };
    let (_, encoded) = one.to_str().ok()?.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))?;
    let decoded = SecretText::new(String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?);
    let (_, password) = decoded.expose().split_once(':')?;
    (!password.is_empty()).then(|| SecretText::new(password.to_owned()))
}

/// What stands behind `Bearer` (RFC 6750 section 2.1). Anything else in that header is nothing that a caller shows.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let Some(one) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(Error::CallerUnknown("it shows more than one `authorization`"));
    }
    let text = one.to_str().ok().and_then(|text| text.split_once(' '));
    let shown = text.filter(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty());
    shown.map(|(_, token)| Some(token)).ok_or(Error::CallerUnknown("its `authorization` is no Bearer"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_loopback_is_open_by_default() {
        let admitted = |address: &str, insecure| Admission::of_listener(address.parse().unwrap(), insecure, false);
        assert_eq!(admitted("127.0.0.1:1", false), Admission::Open);
        assert_eq!(admitted("[::1]:1", false), Admission::Open);
        assert_eq!(admitted("0.0.0.0:1", false), Admission::Authenticated);
        assert_eq!(admitted("10.1.2.3:1", false), Admission::Authenticated);
        assert_eq!(admitted("0.0.0.0:1", true), Admission::Open);
        assert_eq!(Admission::of_listener("0.0.0.0:1".parse().unwrap(), false, true), Admission::Open);
        assert!(Admission::Authenticated.anyone().is_err());
        assert!(Admission::Open.anyone().unwrap().may(Permission::Explain).is_ok());
    }

    #[test]
    fn what_is_shown_is_read_in_one_form() {
        let read = |values: &[&'static str]| {
            let headers = values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_static(value))).collect();
            bearer(&headers).map(|shown| shown.map(str::to_owned))
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["Bearer jck_x"]), Ok(Some("jck_x".into())));
        assert_eq!(read(&["bearer jck_x"]), Ok(Some("jck_x".into())));
        let typed = |value: &'static str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            password(&headers).map(|password| password.expose().to_owned())
        };
        assert_eq!(typed("Basic YW5uYTpqY2tfeA=="), Some("jck_x".into()), "anna:jck_x");
        for none in ["Bearer YW5uYTpqY2tfeA==", "Basic YW5uYTo=", "Basic YW5uYQ==", "Basic ?", "Basic"] {
            assert_eq!(typed(none), None, "{none}");
        }
        for wrong in [&["Bearer jck_x", "Bearer jck_x"][..], &["Basic eA=="], &["Bearer"], &["Bearer "], &["jck_x"], &[""]] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}

//! The certificate that came with a request: that of the connection, or the one that a proxy passes on (RFC 9440).
//!
//! INVARIANT: a header is looked at only where the connection's own certificate is that of a proxy; from anybody else it is as if it was
//! not there. Must not live here: what a certificate proves.

use crate::transport::fault::Fault;
use crate::transport::tls::Peer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use jeton_domain::certificate::{Certificate, CertificateName};
use jeton_domain::error::Error;

/// How certificates come over HTTP.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// Whether clients are asked for one at all.
    pub asked: bool,
    /// Whether there are authorities that are believed whom one names.
    pub vouched: bool,
    /// The names of the proxies' own certificates.
    pub proxies: Vec<CertificateName>,
    /// The header by which a proxy passes on its client's.
    pub header: HeaderName,
}

impl Default for Certificates {
    fn default() -> Self {
        Self { asked: false, vouched: false, proxies: Vec::new(), header: HeaderName::from_static("client-cert") }
    }
}

impl Certificates {
    /// That of who asks; none where none was shown. A proxy's own is never its client's.
    ///
    /// # Errors
    /// `invalid_request`: a proxy passes on more than one, or what is none.
    pub fn of(&self, request: &Parts) -> Result<Option<Certificate>, Fault> {
        let Some(peer) = request.extensions.get::<Peer>() else { return Ok(None) };
        let Some(own) = peer.certificate() else { return Ok(None) };
        if self.is_of_a_proxy(request) { self.passed_on(request, peer) } else { Ok(Some(own.clone())) }
    }

    /// Whether it is a proxy that asks.
    pub fn is_of_a_proxy(&self, request: &Parts) -> bool {
        let own = request.extensions.get::<Peer>().and_then(Peer::certificate);
        own.is_some_and(|own| self.proxies.iter().any(|name| own.is_of(name)))
    }

    /// That of a client for whom a proxy asks; of anybody else none.
    ///
    /// # Errors
    /// As `of`.
    pub fn behind_a_proxy(&self, request: &Parts) -> Result<Option<Certificate>, Fault> {
        match request.extensions.get::<Peer>() {
            Some(peer) if self.is_of_a_proxy(request) => self.passed_on(request, peer),
            _ => Ok(None),
        }
    }

    fn passed_on(&self, request: &Parts, peer: &Peer) -> Result<Option<Certificate>, Fault> {
        let Some(der) = passed_on(&request.headers, &self.header).map_err(|problem| self.wrong(problem))? else {
            return Ok(None);
        };
        match peer.passed_on(der) {
            Some(certificate) => Ok(Some(certificate)),
            None => Err(self.wrong("holds no certificate that can be read and is valid now")),
        }
    }

    fn wrong(&self, problem: &str) -> Fault {
        Fault::of(&Error::invalid(self.header.as_str(), problem))
    }
}

/// The one byte sequence of a header (RFC 9440 section 2.2, RFC 9651 section 3.3.5): base64 between colons, and nothing else.
fn passed_on(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Vec<u8>>, &'static str> {
    let mut given = headers.get_all(name).iter();
    let Some(one) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err("is given more than once");
    }
    let text = one.as_bytes().strip_prefix(b":").and_then(|text| text.strip_suffix(b":"));
    let der = text.and_then(|text| STANDARD.decode(text).ok()).filter(|der| !der.is_empty());
    der.map(Some).ok_or("is no byte sequence as RFC 9440 writes it: base64 between colons")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_passed_on_in_exactly_one_form() {
        let name = HeaderName::from_static("client-cert");
        let read = |values: &[&'static str]| {
            let headers = values.iter().map(|value| (name.clone(), http::HeaderValue::from_static(value))).collect();
            passed_on(&headers, &name)
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[":AAEC:"]), Ok(Some(vec![0, 1, 2])));
        assert_eq!(read(&[":AAE=:"]), Ok(Some(vec![0, 1])));
        let wrong = [
            &[":AAEC:", ":AAEC:"][..],
            &[":AAEC:, :AAEC:"],
            &[":AAEC:,:AAEC:"],
            &["AAEC"],
            &[":AAEC"],
            &["AAEC:"],
            &["::"],
            &[":"],
            &[""],
            &[":AAE:"],
            &[":AA-_:"],
            &[":AA EC:"],
            &[":AAEC:;a=1"],
            &["\"AAEC\""],
            &["-----BEGIN CERTIFICATE-----"],
        ];
        for values in wrong {
            assert!(read(values).is_err(), "{values:?}");
        }
    }
}

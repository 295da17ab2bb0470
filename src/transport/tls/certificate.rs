//! Reading a certificate: strictly, and its names only where an authority vouches for them.

use super::{Lasts, unix};
use jeton_domain::certificate::{Certificate, DistinguishedName, Names};
use jeton_domain::time::Timestamp;
use sha2::{Digest as _, Sha256};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

/// A certificate that was shown, with those that came with it. None where it cannot be read.
#[must_use]
pub fn read(
    der: &CertificateDer<'_>,
    chain: &[CertificateDer<'_>],
    vouches: Option<&dyn ClientCertVerifier>,
    now: Timestamp,
) -> Option<Certificate> {
    let read = parse(der)?;
    let is_vouched = vouches.is_some_and(|authorities| authorities.verify_client_cert(der, chain, unix(now)).is_ok());
    Some(Certificate {
        thumbprint: Sha256::digest(der).into(),
        vouched: if is_vouched { names(&read) } else { None },
        not_before: moment(read.validity().not_before),
        not_after: moment(read.validity().not_after),
    })
}

/// From when until when a certificate is valid; none where it cannot be read.
#[must_use]
pub fn lasts(der: &CertificateDer<'_>) -> Option<Lasts> {
    parse(der).as_ref().map(lasting)
}

fn lasting(read: &X509Certificate<'_>) -> Lasts {
    Lasts { from: moment(read.validity().not_before), until: moment(read.validity().not_after) }
}

/// What a certificate says of itself, whoever vouches for it or not: to be told to an operator, and believed by nobody.
#[derive(Clone, Debug)]
pub struct Described {
    /// Whom it names. Nobody, where anything in its names is not what it should be.
    pub names: Names,
    /// From when until when it is valid.
    pub lasts: Lasts,
    /// Whether it may vouch for others.
    pub is_authority: bool,
}

/// Describes a certificate. None where it cannot be read.
#[must_use]
pub fn describe(der: &CertificateDer<'_>) -> Option<Described> {
    let read = parse(der)?;
    let constraints = read.basic_constraints().ok()?;
    Some(Described {
        names: names(&read).unwrap_or_default(),
        lasts: lasting(&read),
        is_authority: constraints.is_some_and(|constraints| constraints.value.ca),
    })
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    let (rest, read) = X509Certificate::from_der(der).ok()?;
    rest.is_empty().then_some(read)
}

fn moment(at: ASN1Time) -> Timestamp {
    Timestamp::from_secs(u64::try_from(at.timestamp()).unwrap_or(0))
}

/// None where anything in the names is not what it should be: then nothing of them is believed.
fn names(certificate: &X509Certificate<'_>) -> Option<Names> {
    let mut names = Names { subject: subject(certificate.subject())?, ..Names::default() };
    let Some(alternative) = certificate.subject_alternative_name().ok()? else { return Some(names) };
    for name in &alternative.value.general_names {
        match name {
            GeneralName::DNSName(host) => names.dns.push(visible(host)?),
            GeneralName::URI(uri) => names.uris.push(visible(uri)?),
            GeneralName::RFC822Name(mailbox) => names.emails.push(visible(mailbox)?),
            GeneralName::IPAddress(bytes) => names.ips.push(address(bytes)?),
            GeneralName::Invalid(..) => return None,
            _ => {}
        }
    }
    Some(names)
}

/// The subject; none of it where a value is of a kind that has no text. None at all where a text hides something.
fn subject(subject: &X509Name<'_>) -> Option<Option<DistinguishedName>> {
    let mut steps = Vec::new();
    let mut has_text = true;
    for step in subject.iter_rdn() {
        let mut attributes = Vec::new();
        for attribute in step.iter() {
            if attribute.as_slice().contains(&0) {
                return None;
            }
            match attribute.as_str() {
                Ok(text) if text.chars().any(char::is_control) => return None,
                Ok(text) => attributes.push((attribute.attr_type().to_id_string(), text.to_owned())),
                Err(_other_kind) => has_text = false,
            }
        }
        steps.push(attributes);
    }
    Some(if has_text { DistinguishedName::of(steps) } else { None })
}

/// Text of ASCII characters that are seen (RFC 5280 section 4.2.1.6: IA5String).
fn visible(text: &str) -> Option<String> {
    let is_visible = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
    is_visible.then(|| text.to_owned())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).ok().map(|bytes| IpAddr::from(Ipv4Addr::from(bytes)));
    four.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(|bytes| IpAddr::from(Ipv6Addr::from(bytes))))
}

//! Certificates of clients (RFC 5280, RFC 8705): what one proves, and the one name by which a client is known.
//!
//! Must not live here: reading certificates, and who vouches for one (the transport's). Below: `distinguished` (RFC 4514).

mod distinguished;

pub use distinguished::DistinguishedName;

use crate::hex;
use crate::time::Timestamp;
use std::fmt;
use std::net::IpAddr;

/// The longest name that is read, in bytes.
const MAX_BYTES: usize = 1_024;

/// A certificate whose key its holder proved to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of its DER (RFC 8705 section 3.1 `x5t#S256`).
    pub thumbprint: [u8; 32],
    /// Whom an authority that is trusted for this says it to be. None: no such authority does, and then what the certificate says of
    /// itself is not even here.
    pub vouched: Option<Names>,
    /// It is not valid before this.
    pub not_before: Timestamp,
    /// It is not valid after this.
    pub not_after: Timestamp,
}

/// Whom a certificate is for, as an authority says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The subject; none where it is empty, or cannot be compared.
    pub subject: Option<DistinguishedName>,
    /// The `dNSName` entries of its subject alternative name.
    pub dns: Vec<String>,
    /// The `uniformResourceIdentifier` entries.
    pub uris: Vec<String>,
    /// The `iPAddress` entries.
    pub ips: Vec<IpAddr>,
    /// The `rfc822Name` entries.
    pub emails: Vec<String>,
}

/// The name that a client's certificate must have: of one kind, so that no other entry of the certificate can stand for it (RFC 8705
/// section 2.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// The whole subject.
    SubjectDn(DistinguishedName),
    /// A host.
    Dns(String),
    /// A URI, letter by letter. A certificate with two has no name (as SPIFFE has it).
    Uri(String),
    /// An address.
    Ip(IpAddr),
    /// A mailbox.
    Email(String),
}

impl Certificate {
    /// One of which only the thumbprint is known: who passed it on looked at the rest.
    #[must_use]
    pub const fn known_by_thumbprint(thumbprint: [u8; 32]) -> Self {
        Self { thumbprint, vouched: None, not_before: Timestamp::NEVER, not_after: Timestamp::from_millis(u64::MAX) }
    }

    /// Whether it is valid at `now`.
    #[must_use]
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Whether an authority says that it is for `name`.
    #[must_use]
    pub fn is_of(&self, name: &CertificateName) -> bool {
        self.vouched.as_ref().is_some_and(|names| names.have(name))
    }
}

impl Names {
    fn have(&self, name: &CertificateName) -> bool {
        match name {
            CertificateName::SubjectDn(subject) => self.subject.as_ref() == Some(subject),
            CertificateName::Dns(host) => self.dns.iter().any(|dns| dns.eq_ignore_ascii_case(host)),
            CertificateName::Uri(uri) => matches!(self.uris.as_slice(), [only] if only == uri),
            CertificateName::Ip(address) => self.ips.contains(address),
            CertificateName::Email(mailbox) => self.emails.iter().any(|email| is_same_mailbox(email, mailbox)),
        }
    }
}

/// Of a mailbox only the host is compared without regard to case (RFC 5280 section 7.5).
fn is_same_mailbox(one: &str, other: &str) -> bool {
    match (one.rsplit_once('@'), other.rsplit_once('@')) {
        (Some((local, host)), Some((other_local, other_host))) => local == other_local && host.eq_ignore_ascii_case(other_host),
        _ => false,
    }
}

/// Reads a name.
type Read = fn(&str) -> Result<CertificateName, &'static str>;

impl CertificateName {
    /// The settings that say it, and how each is read (RFC 8705 section 2.1.2).
    pub const SETTINGS: [(&'static str, Read); 5] = [
        ("tls_client_auth_subject_dn", Self::subject_dn),
        ("tls_client_auth_san_dns", Self::dns),
        ("tls_client_auth_san_uri", Self::uri),
        ("tls_client_auth_san_ip", Self::ip),
        ("tls_client_auth_san_email", Self::email),
    ];

    /// The setting that says it, alone in a list.
    #[must_use]
    pub const fn setting(&self) -> &'static [&'static str] {
        match self {
            Self::SubjectDn(_) => &["tls_client_auth_subject_dn"],
            Self::Dns(_) => &["tls_client_auth_san_dns"],
            Self::Uri(_) => &["tls_client_auth_san_uri"],
            Self::Ip(_) => &["tls_client_auth_san_ip"],
            Self::Email(_) => &["tls_client_auth_san_email"],
        }
    }

    /// Reads a subject (RFC 4514).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn subject_dn(text: &str) -> Result<Self, &'static str> {
        DistinguishedName::parse(plain(text)?).map(Self::SubjectDn)
    }

    /// Reads a host.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn dns(text: &str) -> Result<Self, &'static str> {
        let is_label = |label: &str| {
            !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) && label.len() <= 63
        };
        if plain(text)?.split('.').all(is_label) {
            Ok(Self::Dns(text.into()))
        } else {
            Err("is no host name such as client.example.com; there are no wildcards")
        }
    }

    /// Reads a URI.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn uri(text: &str) -> Result<Self, &'static str> {
        let is_absolute = plain(text)?.split_once(':').is_some_and(|(scheme, rest)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
                && !rest.is_empty()
        });
        if is_absolute && text.chars().all(|c| c.is_ascii_graphic()) {
            Ok(Self::Uri(text.into()))
        } else {
            Err("is no absolute URI such as spiffe://example.com/billing")
        }
    }

    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn ip(text: &str) -> Result<Self, &'static str> {
        text.parse().map(Self::Ip).map_err(|_no_address| "is no IP address such as 192.0.2.1 or 2001:db8::1")
    }

    /// Reads a mailbox.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn email(text: &str) -> Result<Self, &'static str> {
        let is_mailbox = plain(text)?.rsplit_once('@').is_some_and(|(local, host)| !local.is_empty() && Self::dns(host).is_ok());
        if is_mailbox && text.chars().all(|c| c.is_ascii_graphic()) {
            Ok(Self::Email(text.into()))
        } else {
            Err("is no mailbox such as billing@example.com")
        }
    }
}

impl fmt::Display for CertificateName {
    /// The text that its setting reads back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SubjectDn(name) => name.fmt(f),
            Self::Dns(text) | Self::Uri(text) | Self::Email(text) => f.write_str(text),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// Reads the hash of a certificate's DER: `sha256:` and 64 hexadecimal digits.
///
/// # Errors
/// What is wrong with it.
pub fn thumbprint(text: &str) -> Result<[u8; 32], &'static str> {
    hex::hash(text).ok_or("is not `sha256:` and 64 hexadecimal digits, the hash of a certificate's DER")
}

/// Text that can be a name: not empty, not too long, nothing in it that is not seen.
fn plain(text: &str) -> Result<&str, &'static str> {
    if text.is_empty() {
        return Err("must not be empty");
    }
    if text.len() > MAX_BYTES {
        return Err("is longer than 1,024 bytes");
    }
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            subject: Some(DistinguishedName::parse("CN=billing,O=Example").unwrap()),
            dns: vec!["Billing.example.com".into(), "*.wild.example.com".into()],
            uris: vec!["spiffe://example.com/billing".into()],
            ips: vec!["192.0.2.1".parse().unwrap()],
            emails: vec!["Billing@Example.com".into()],
        }
    }

    fn vouched(names: Names) -> Certificate {
        Certificate { vouched: Some(names), ..Certificate::known_by_thumbprint([1; 32]) }
    }

    #[test]
    fn a_name_is_found_among_entries_of_its_own_kind_only() {
        let certificate = vouched(names());
        let right = [
            CertificateName::subject_dn("CN=billing,O=Example"),
            CertificateName::dns("billing.example.com"),
            CertificateName::uri("spiffe://example.com/billing"),
            CertificateName::ip("192.0.2.1"),
            CertificateName::email("Billing@example.com"),
        ];
        for name in right {
            let name = name.unwrap();
            assert!(certificate.is_of(&name), "{name:?}");
            assert!(!Certificate::known_by_thumbprint([1; 32]).is_of(&name), "nobody vouches: {name:?}");
        }
        let wrong = [
            CertificateName::subject_dn("CN=billing"),
            CertificateName::dns("wild.example.com"),
            CertificateName::dns("x.wild.example.com"),
            CertificateName::dns("billing"),
            CertificateName::dns("192.0.2.1"),
            CertificateName::uri("spiffe://Example.com/billing"),
            CertificateName::uri("spiffe://example.com/billing/more"),
            CertificateName::ip("192.0.2.2"),
            CertificateName::email("billing@example.com"),
        ];
        for name in wrong {
            let name = name.unwrap();
            assert!(!certificate.is_of(&name), "{name:?}");
        }
    }

    #[test]
    fn each_setting_reads_back_what_it_says() {
        let texts = ["CN=billing,O=Example", "Billing.example.com", "spiffe://example.com/a", "2001:db8::1", "A@Example.com"];
        for ((setting, read), text) in CertificateName::SETTINGS.into_iter().zip(texts) {
            let name = read(text).unwrap();
            assert_eq!((name.setting(), name.to_string().as_str()), ([setting].as_slice(), text));
        }
    }

    #[test]
    fn a_certificate_with_two_uris_has_none() {
        let two = Names { uris: vec!["spiffe://example.com/billing".into(), "spiffe://example.com/admin".into()], ..names() };
        assert!(!vouched(two).is_of(&CertificateName::uri("spiffe://example.com/billing").unwrap()));
    }

    #[test]
    fn what_cannot_be_a_name_is_told() {
        for bad in ["", "*.example.com", "a..b", "a b", "a\0.example.com", "ä.example.com"] {
            assert!(CertificateName::dns(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "example.com/x", "1x:y", "spiffe:", "spiffe://a b", "spiffe://a\0b"] {
            assert!(CertificateName::uri(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "@example.com", "a@", "a", "a\0@example.com"] {
            assert!(CertificateName::email(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "192.0.2", "192.0.2.1/24", "::g"] {
            assert!(CertificateName::ip(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn it_is_valid_from_its_first_moment_to_its_last() {
        let (first, last) = (Timestamp::from_secs(10), Timestamp::from_secs(20));
        let certificate = Certificate { not_before: first, not_after: last, ..Certificate::known_by_thumbprint([1; 32]) };
        let valid = |seconds| certificate.is_valid_at(Timestamp::from_secs(seconds));
        assert_eq!([9, 10, 20, 21].map(valid), [false, true, true, false]);
    }
}

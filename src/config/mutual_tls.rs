//! What the certificate of a client is for, in its section of the file (RFC 8705).

use super::section::Section;
use jeton_domain::certificate::{self, CertificateName};
use jeton_domain::client::{KnownBy, MutualTls};

const CERTIFICATES: &str = "self_signed_certificates";

/// Whether any key says how the client is known by its certificate.
pub(super) fn is_given(section: &Section<'_>) -> bool {
    CertificateName::SETTINGS.iter().map(|(key, _)| *key).chain([CERTIFICATES]).any(|key| section.is_given(key))
}

pub(super) fn read(section: &Section<'_>) -> MutualTls {
    let mut given: Vec<(&'static str, KnownBy)> = Vec::new();
    for (key, parse) in CertificateName::SETTINGS {
        let name = section.text(key, |text| parse(text).map_err(str::to_owned));
        given.extend(name.map(|name| (key, KnownBy::Name(name))));
    }
    let thumbprints = thumbprints(section);
    if !thumbprints.is_empty() {
        given.push((CERTIFICATES, KnownBy::Thumbprints(thumbprints)));
    }
    let mut given = given.into_iter();
    let authenticates = given.next().map(|(_, known)| known);
    given.for_each(|(other, _)| section.mistake(other, KnownBy::ONE_WAY));
    MutualTls { authenticates, binds: section.switch("tls_client_certificate_bound_access_tokens") }
}

fn thumbprints(section: &Section<'_>) -> Vec<[u8; 32]> {
    let entries = section.list(CERTIFICATES);
    let read = (1..).zip(&entries).filter_map(|(number, entry)| {
        let wrong = |problem| section.entry_mistake(CERTIFICATES, entry, format!("entry {number} {problem}"));
        certificate::thumbprint(&entry.text).map_err(wrong).ok()
    });
    read.collect()
}

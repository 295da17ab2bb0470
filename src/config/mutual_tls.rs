//! What the certificate of a client is for, in its section of the file (RFC 8705).

use super::client_secret::parse_hash;
use super::section::Section;
use jeton_domain::certificate::CertificateName;
use jeton_domain::client::{KnownBy, MutualTls};

/// More valid certificates at once than an exchange needs.
const MAX_CERTIFICATES: usize = 8;

type Parse = fn(&str) -> Result<CertificateName, &'static str>;

/// The keys that name it, of which one may be given (RFC 8705 section 2.1.2).
const NAMES: [(&str, Parse); 5] = [
    ("tls_client_auth_subject_dn", CertificateName::subject_dn),
    ("tls_client_auth_san_dns", CertificateName::dns),
    ("tls_client_auth_san_uri", CertificateName::uri),
    ("tls_client_auth_san_ip", CertificateName::ip),
    ("tls_client_auth_san_email", CertificateName::email),
];

/// Whether any key says how the client is known by its certificate.
pub(super) fn is_given(section: &Section<'_>) -> bool {
    NAMES.iter().map(|(key, _)| *key).chain(["self_signed_certificates"]).any(|key| section.is_given(key))
}

pub(super) fn read(section: &Section<'_>, confidential: bool) -> MutualTls {
    let mut given: Vec<(&'static str, KnownBy)> = Vec::new();
    for (key, parse) in NAMES {
        let name = section.text(key, |text| parse(text).map_err(str::to_owned));
        given.extend(name.map(|name| (key, KnownBy::Name(name))));
    }
    let thumbprints = thumbprints(section);
    if !thumbprints.is_empty() {
        given.push(("self_signed_certificates", KnownBy::Thumbprints(thumbprints)));
    }
    let mut given = given.into_iter();
    let authenticates = given.next();
    for (other, _) in given {
        section.mistake(other, "is given beside another: a client's certificate is known in one way (RFC 8705 section 2.1.2)");
    }
    if let Some((key, _)) = authenticates
        && !confidential
    {
        section.mistake(key, "is given to a public client, which does not authenticate: remove it, or kind = \"confidential\"");
    }
    let binds = section.switch("tls_client_certificate_bound_access_tokens");
    MutualTls { authenticates: authenticates.map(|(_, known)| known), binds }
}

fn thumbprints(section: &Section<'_>) -> Vec<[u8; 32]> {
    const KEY: &str = "self_signed_certificates";
    let entries = section.list(KEY);
    if entries.len() > MAX_CERTIFICATES {
        section.mistake(KEY, format!("are {}: {MAX_CERTIFICATES} are the most, two while one replaces the other", entries.len()));
    }
    let mut hashes = Vec::new();
    for (number, entry) in (1..).zip(&entries) {
        match parse_hash(&entry.text) {
            Ok(hash) if hashes.contains(&hash) => {
                section.entry_mistake(KEY, entry, format!("entry {number} repeats an earlier one: remove it"));
            }
            Ok(hash) => hashes.push(hash),
            Err(problem) => section.entry_mistake(KEY, entry, format!("entry {number} {problem}")),
        }
    }
    hashes
}

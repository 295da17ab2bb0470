//! What a client's certificate is for, in messages of `ClientService`.

use super::super::fields::Fields;
use super::super::registration;
use jeton_domain::certificate::{CertificateName, thumbprint};
use jeton_domain::client::{KnownBy, MutualTls};
use jeton_domain::error::Error;
use jeton_domain::hex::written_hash;

const CERTIFICATES: &str = "client.self_signed_certificates";

/// By names in the order of [`CertificateName::SETTINGS`], or by hashes.
pub fn read(fields: &mut Fields, names: [&str; 5], certificates: &[String], binds: bool) -> MutualTls {
    let mut given = Vec::new();
    for ((setting, parse), text) in CertificateName::SETTINGS.into_iter().zip(names).filter(|(_, text)| !text.is_empty()) {
        let field = format!("client.{setting}");
        let name = fields.get(parse(text).map_err(|problem| Error::invalid(&field, problem)));
        given.push((field, name.map(KnownBy::Name)));
    }
    if !certificates.is_empty() {
        let hash = |field: &str, text: &str| thumbprint(text).map_err(|problem| Error::invalid(field, problem));
        let hashes = registration::each(fields, CERTIFICATES, certificates, hash);
        given.push((CERTIFICATES.to_owned(), Some(KnownBy::Thumbprints(hashes))));
    }
    let mut given = given.into_iter();
    let authenticates = given.next().and_then(|(_, known)| known);
    given.for_each(|(field, _)| fields.wrong(&field, KnownBy::ONE_WAY));
    MutualTls { authenticates, binds }
}

/// The same back: five names of which one is written at most, and hashes.
pub fn written(known: Option<&KnownBy>) -> ([String; 5], Vec<String>) {
    match known {
        Some(KnownBy::Name(name)) => {
            let text = |(setting, _)| if name.setting().contains(&setting) { name.to_string() } else { String::new() };
            (CertificateName::SETTINGS.map(text), Vec::new())
        }
        Some(KnownBy::Thumbprints(hashes)) => (<[String; 5]>::default(), hashes.iter().map(written_hash).collect()),
        None => Default::default(),
    }
}

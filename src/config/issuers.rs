//! The issuers of the file, `[issuers."https://..."]`, whose assertions are taken as grants, into those of the domain.

use super::clients::{named_resources, names};
use super::keys;
use super::mistake::quoted;
use super::resources::{problem_of, scopes};
use super::section::Section;
use jeton_domain::issuer::{Issuer, Issuers};
use jeton_domain::name::ClientId;
use jeton_domain::registration;
use jeton_domain::resource::Resources;

/// The most issuers.
const MAX_ISSUERS: usize = 64;
/// The longest prefix, so that it leaves room for a subject.
const MAX_PREFIX_BYTES: usize = 64;

/// Reads each section; what is wrong is reported, and an issuer without keys or prefix left out.
pub(super) fn read<'a>(sections: impl Iterator<Item = (&'a str, Section<'a>)>, resources: &Resources) -> Issuers {
    let mut issuers: Vec<Issuer> = Vec::new();
    for (name, section) in sections {
        if issuers.len() >= MAX_ISSUERS {
            section.mistake_of_name(format!("is one more than {MAX_ISSUERS}, the most"));
        }
        let issuer = one(name, &section, &issuers, resources);
        issuers.extend(issuer);
        section.refuse_unknown_keys(&[]);
    }
    Issuers::new(issuers)
}

fn one(name: &str, section: &Section<'_>, before: &[Issuer], resources: &Resources) -> Option<Issuer> {
    let source = keys::read(section);
    if keys::given(section).is_none() {
        section.mistake("jwks", "is missing: write its keys, or jwks_uri where they are");
    }
    let subject_prefix = section.text("subject_prefix", prefix);
    let own_resources = named_resources(section, "resources");
    let scopes = scopes(section, &section.list("scopes"));
    registration::audience(&scopes, &own_resources, resources)
        .iter()
        .for_each(|problem| section.report(problem, &names(problem, resources)));
    let issuer = Issuer {
        id: name.into(),
        keys: source?,
        audience: section.text("audience", |text| Ok(text.to_owned())),
        lifetime: section.duration("assertion_lifetime"),
        subject_prefix: subject_prefix?.into(),
        clients: clients(section),
        scopes,
        resources: own_resources,
    };
    let is_shared = |other: &&Issuer| {
        issuer.subject_prefix.starts_with(&*other.subject_prefix) || other.subject_prefix.starts_with(&*issuer.subject_prefix)
    };
    if let Some(other) = before.iter().find(is_shared) {
        let problem =
            format!("begins as that of issuer {} does: their subjects could be taken for each other", quoted(&other.id));
        section.mistake("subject_prefix", problem);
    }
    Some(issuer)
}

fn prefix(text: &str) -> Result<String, String> {
    let is_right = (1..=MAX_PREFIX_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if is_right {
        return Ok(text.into());
    }
    Err(format!(
        "must have 1 to {MAX_PREFIX_BYTES} printable ASCII characters, such as \"partner:\": its subjects are not those of others"
    ))
}

fn clients(section: &Section<'_>) -> Vec<ClientId> {
    let mut clients = Vec::new();
    for entry in section.list("clients") {
        match ClientId::parse("clients", &entry.text) {
            Ok(client) => clients.push(client),
            Err(error) => section.entry_mistake("clients", &entry, format!("{} {}", quoted(&entry.text), problem_of(error))),
        }
    }
    clients
}

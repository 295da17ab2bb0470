//! The resources of the file, `[resources."https://..."]`, into those of the domain.

use super::mistake::quoted;
use super::section::Section;
use super::value::Entry;
use jeton_domain::Error;
use jeton_domain::client::Algorithm;
use jeton_domain::details::DetailsType;
use jeton_domain::name::ResourceId;
use jeton_domain::policy::AuthenticationPolicy;
use jeton_domain::resource::{Resource, Resources, TokenFormat};
use jeton_domain::scope::Scopes;
use std::sync::Arc;

/// Reads each section; what is wrong is reported, and a resource without a valid identifier left out.
pub(super) fn read<'a>(sections: impl Iterator<Item = (&'a str, Section<'a>)>) -> Resources {
    let read: Vec<_> = sections.filter_map(|(name, section)| Some((one(name, &section)?, section))).collect();
    let resources: Resources = read.iter().map(|(resource, _)| Arc::clone(resource)).collect();
    for (resource, section) in read {
        resource.problems(&resources).iter().for_each(|problem| section.report(problem, &[]));
    }
    resources
}

fn one(name: &str, section: &Section<'_>) -> Option<Arc<Resource>> {
    let id = ResourceId::parse("resource", name).map_err(|error| section.mistake_of_name(problem_of(error)));
    section.refuse_unknown_keys(&[]);
    let resource = Resource {
        scopes: scopes(section, &section.list("scopes")),
        details_types: details_types(section),
        format: section.word("format", TokenFormat::parse).unwrap_or_default(),
        algorithm: section.word("algorithm", Algorithm::parse).unwrap_or_default(),
        access_token_lifetime: section.duration("access_token_lifetime"),
        policy: AuthenticationPolicy {
            acr_values: values(section, "acr_values"),
            amr_values: values(section, "amr_values"),
            max_age: section.optional_duration("max_age"),
        },
        id: id.ok()?,
    };
    Some(Arc::new(resource))
}

fn details_types(section: &Section<'_>) -> Vec<DetailsType> {
    const KEY: &str = "authorization_details_types";
    let one = |entry: &Entry| match DetailsType::parse(KEY, &entry.text) {
        Ok(declared) => Some(declared),
        Err(error) => {
            section.entry_mistake(KEY, entry, format!("{} {}", quoted(&entry.text), problem_of(error)));
            None
        }
    };
    section.list(KEY).iter().filter_map(one).collect()
}

/// The entries of `scopes` as a set.
pub(super) fn scopes(section: &Section<'_>, entries: &[Entry]) -> Scopes {
    let mut set = Scopes::default();
    for entry in entries {
        match Scopes::parse("scopes", &entry.text) {
            Ok(_) if set.contains(&entry.text) => {
                section.entry_mistake("scopes", entry, format!("{} is named twice", quoted(&entry.text)));
            }
            Ok(_) => set.insert(&entry.text),
            Err(error) => section.entry_mistake("scopes", entry, format!("{} {}", quoted(&entry.text), problem_of(error))),
        }
    }
    set
}

fn values(section: &Section<'_>, key: &'static str) -> Vec<String> {
    section.list(key).into_iter().map(|entry| entry.text).collect()
}

/// What the domain says is wrong, without the field, which the place names already.
pub(super) fn problem_of(error: Error) -> String {
    match error {
        Error::Invalid { problem, .. } | Error::InvalidScope { problem, .. } | Error::InvalidTarget { problem, .. } => problem,
        other => other.to_string(),
    }
}

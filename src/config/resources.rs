//! The resources of the file, `[resources."https://..."]`, into those of the domain.

use super::mistake::quoted;
use super::section::Section;
use super::value::Entry;
use jeton_domain::Error;
use jeton_domain::client::Algorithm;
use jeton_domain::grant::Grant;
use jeton_domain::name::ResourceId;
use jeton_domain::policy::AuthenticationPolicy;
use jeton_domain::resource::{Resource, Resources, TokenFormat};
use jeton_domain::scope::Scopes;

/// The most values of `acr_values` and of `amr_values`.
const MAX_VALUES: usize = 16;

/// Reads each section; what is wrong is reported, and a resource without a valid identifier left out.
pub(super) fn read<'a>(sections: impl Iterator<Item = (&'a str, Section<'a>)>) -> Resources {
    let mut resources: Vec<Resource> = Vec::new();
    for (name, section) in sections {
        if let Some(resource) = one(name, &section, &resources) {
            resources.push(resource);
        }
        section.refuse_unknown_keys(&[]);
    }
    Resources::new(resources)
}

fn one(name: &str, section: &Section<'_>, before: &[Resource]) -> Option<Resource> {
    let id = ResourceId::parse("resource", name).map_err(|error| section.mistake_of_name(problem_of(error)));
    let scopes = own_scopes(section, before);
    let format = section.word("format", parse_format).unwrap_or_default();
    if format == TokenFormat::Opaque && scopes.len() > Grant::MAX_OPAQUE_SCOPES {
        let (count, max) = (scopes.len(), Grant::MAX_OPAQUE_SCOPES);
        section.mistake(
            "scopes",
            format!("are {count}, and opaque access tokens allow {max}: use format = \"jwt\" or fewer scopes"),
        );
    }
    let resource = Resource {
        id: id.ok()?,
        scopes,
        format,
        algorithm: section.word("algorithm", Algorithm::parse).unwrap_or_default(),
        access_token_lifetime: section.duration("access_token_lifetime"),
        policy: AuthenticationPolicy {
            acr_values: values(section, "acr_values"),
            amr_values: values(section, "amr_values"),
            max_age: section.optional_duration("max_age"),
        },
    };
    Some(resource)
}

fn own_scopes(section: &Section<'_>, before: &[Resource]) -> Scopes {
    let entries = section.list("scopes");
    for entry in &entries {
        if Scopes::is_oidc(&entry.text) {
            let problem = format!("{} belongs to OpenID Connect and to no resource: remove it", quoted(&entry.text));
            section.entry_mistake("scopes", entry, problem);
        } else if let Some(owner) = before.iter().find(|resource| resource.scopes.contains(&entry.text)) {
            let problem = format!(
                "{} is owned by {} already: a scope belongs to one resource",
                quoted(&entry.text),
                quoted(owner.id.as_str())
            );
            section.entry_mistake("scopes", entry, problem);
        }
    }
    scopes(section, &entries)
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
    if set.len() > Scopes::MAX {
        section.mistake("scopes", format!("are {}: {} are the most", set.len(), Scopes::MAX));
    }
    set
}

fn values(section: &Section<'_>, key: &'static str) -> Vec<String> {
    let entries = section.list(key);
    if entries.len() > MAX_VALUES {
        section.mistake(key, format!("are {}: {MAX_VALUES} are the most", entries.len()));
    }
    for entry in &entries {
        if !entry.text.chars().all(|c| c.is_ascii_graphic()) || entry.text.len() > Scopes::MAX_TOKEN_BYTES {
            let problem = format!("{} is not a word of at most 128 printable ASCII characters", quoted(&entry.text));
            section.entry_mistake(key, entry, problem);
        }
    }
    entries.into_iter().map(|entry| entry.text).collect()
}

fn parse_format(word: &str) -> Option<TokenFormat> {
    match word {
        "jwt" => Some(TokenFormat::Jwt),
        "opaque" => Some(TokenFormat::Opaque),
        _ => None,
    }
}

/// What the domain says is wrong, without the field, which the place names already.
pub(super) fn problem_of(error: Error) -> String {
    match error {
        Error::Invalid { problem, .. } | Error::InvalidScope { problem, .. } | Error::InvalidTarget { problem, .. } => problem,
        other => other.to_string(),
    }
}

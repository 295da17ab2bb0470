//! The clients of the file, `[clients.NAME]`, into those of the domain; their references to resources and scopes resolved.

use super::client_secret::parse_hash;
use super::keys;
use super::mistake::quoted;
use super::mutual_tls;
use super::resources::{problem_of, scopes};
use super::section::Section;
use super::value::{Entry, parse_word};
use jeton_domain::client::{Algorithm, Client, ClientKind, GrantType, ReusePolicy, Rotation};
use jeton_domain::details::{self, DetailsType};
use jeton_domain::endpoint::Endpoint;
use jeton_domain::name::{ClientId, ResourceId};
use jeton_domain::redirect::RedirectUri;
use jeton_domain::registration::Problem;
use jeton_domain::resource::Resources;
use jeton_domain::scope::OIDC;

/// More valid secrets at once than a replacement needs.
const MAX_SECRETS: usize = 8;

/// Reads each section; what is wrong is reported, and a client without a valid identifier or kind left out.
pub(super) fn read<'a>(sections: impl Iterator<Item = (&'a str, Section<'a>)>, resources: &Resources) -> Vec<Client> {
    let mut clients = Vec::new();
    for (name, section) in sections {
        clients.extend(one(name, &section, resources));
        section.refuse_unknown_keys(&[]);
    }
    clients
}

fn one(name: &str, section: &Section<'_>, resources: &Resources) -> Option<Client> {
    let id = ClientId::parse("client", name).map_err(|error| section.mistake_of_name(problem_of(error)));
    let kind = kind(section);
    let mutual_tls = mutual_tls::read(section);
    let grant_types = grant_types(section);
    let own_resources = named_resources(section, "resources");
    let serves = named_resources(section, "serves");
    let redirect_uris = redirect_uris(section);
    let scopes = scopes(section, &section.list("scopes"));
    let details_types = details_types(section);
    let client = Client {
        grant_types,
        scopes,
        resources: own_resources,
        details_types,
        redirect_uris,
        serves,
        impersonates: section.switch("impersonates"),
        idle_lifetime: section.duration("idle_lifetime"),
        absolute_lifetime: section.duration("absolute_lifetime"),
        rotation: section.word("rotation", Rotation::parse).unwrap_or_default(),
        reuse: section.word("reuse", ReusePolicy::parse).unwrap_or_default(),
        grants_per_subject: section.count("grants_per_subject"),
        id_token_algorithm: section.word("id_token_algorithm", Algorithm::parse).unwrap_or_default(),
        id_token_lifetime: section.duration("id_token_lifetime"),
        mutual_tls,
        backchannel_logout_uri: section
            .text("backchannel_logout_uri", |text| Endpoint::parse("backchannel_logout_uri", text).map_err(problem_of)),
        id: id.ok()?,
        kind: kind?,
    };
    check(&client, section, resources);
    Some(client)
}

fn kind(section: &Section<'_>) -> Option<ClientKind> {
    let mut secret_hashes = Vec::new();
    let entries = section.list("secret_hashes");
    for (number, entry) in (1..).zip(&entries) {
        match parse_hash(&entry.text, "jeton clients secret") {
            Ok(hash) if secret_hashes.contains(&hash) => {
                section.entry_mistake("secret_hashes", entry, format!("entry {number} repeats an earlier one: remove it"));
            }
            Ok(hash) => secret_hashes.push(hash),
            Err(problem) => section.entry_mistake("secret_hashes", entry, format!("entry {number} {problem}")),
        }
    }
    if entries.len() > MAX_SECRETS {
        section.mistake(
            "secret_hashes",
            format!("are {}: {MAX_SECRETS} are the most, two while one replaces the other", entries.len()),
        );
    }
    let confidential = section.word("kind", |word| match word {
        "confidential" => Some(true),
        "public" => Some(false),
        _ => None,
    })?;
    let keys = keys::read(section);
    let proves_otherwise = keys::given(section).is_some() || mutual_tls::is_given(section);
    if confidential && entries.is_empty() && section.is_sound("secret_hashes") && !proves_otherwise {
        let problem = "is missing: a confidential client authenticates, so `jeton clients secret` makes a secret and its \
                       hash; or jwks or jwks_uri name its keys; or its certificate is known; or kind = \"public\"";
        section.mistake("secret_hashes", problem);
    }
    if !confidential && !entries.is_empty() {
        section.mistake(
            "secret_hashes",
            "is given to a public client, which cannot keep a secret: remove it, or kind = \"confidential\"",
        );
    }
    if let Some(key) = keys::given(section).filter(|_| !confidential) {
        section.mistake(key, "is given to a public client, which cannot keep a key: remove it, or kind = \"confidential\"");
    }
    Some(if confidential { ClientKind::Confidential { secret_hashes, keys } } else { ClientKind::Public })
}

fn grant_types(section: &Section<'_>) -> Vec<GrantType> {
    let words = GrantType::ALL.map(GrantType::word);
    parsed(section, "grant_types", |text| parse_word(text, &words, GrantType::parse))
}

fn redirect_uris(section: &Section<'_>) -> Vec<RedirectUri> {
    parsed(section, "redirect_uris", |text| {
        RedirectUri::parse("redirect_uris", text).map_err(|error| format!("{} {}", quoted(text), problem_of(error)))
    })
}

pub(super) fn named_resources(section: &Section<'_>, key: &'static str) -> Vec<ResourceId> {
    parsed(section, key, |text| ResourceId::parse(key, text).map_err(|error| format!("{} {}", quoted(text), problem_of(error))))
}

fn details_types(section: &Section<'_>) -> Vec<Box<str>> {
    parsed(section, "authorization_details_types", |text| {
        details::parse_name("type", text).map_err(|error| format!("{} {}", quoted(text), problem_of(error)))
    })
}

/// The entries that can be read; what is wrong with the others is reported.
fn parsed<T>(section: &Section<'_>, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
    let entries = section.list(key);
    let one = |entry: &Entry| parse(&entry.text).map_err(|problem| section.entry_mistake(key, entry, problem)).ok();
    entries.iter().filter_map(one).collect()
}

/// What does not go together, by the rules of the domain. Of a client that may be registered whatever its secrets are: those are its own.
fn check(client: &Client, section: &Section<'_>, resources: &Resources) {
    client.problems(resources).iter().for_each(|problem| section.report(problem, &names(problem, resources)));
}

/// The names that may have been meant.
pub(super) fn names<'a>(problem: &Problem, resources: &'a Resources) -> Vec<&'a str> {
    match problem.fields {
        ["scopes", ..] => resources.iter().flat_map(|resource| resource.scopes.iter()).chain(OIDC).collect(),
        ["authorization_details_types", ..] => {
            resources.iter().flat_map(|resource| &resource.details_types).map(DetailsType::name).collect()
        }
        _ => resources.iter().map(|resource| resource.id.as_str()).collect(),
    }
}

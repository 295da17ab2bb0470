//! The clients of the file, `[clients.NAME]`, into those of the domain; their references to resources and scopes resolved.

use super::client_secret::parse_hash;
use super::duration::written;
use super::keys;
use super::mistake::{quoted, suggestion};
use super::resources::{problem_of, scopes};
use super::section::Section;
use super::value::parse_word;
use jeton_domain::client::{Algorithm, Client, ClientKind, GrantType, ReusePolicy, Rotation};
use jeton_domain::name::{ClientId, ResourceId};
use jeton_domain::redirect::RedirectUri;
use jeton_domain::resource::Resources;
use jeton_domain::scope::{OFFLINE_ACCESS, OIDC, Scopes};

/// More valid secrets at once than a replacement needs.
const MAX_SECRETS: usize = 8;
/// The most places of one client.
const MAX_REDIRECT_URIS: usize = 64;

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
    let grant_types = grant_types(section);
    let own_resources = named_resources(section, "resources", resources);
    let serves = named_resources(section, "serves", resources);
    let redirect_uris = redirect_uris(section);
    let scopes = own_scopes(section, &own_resources, resources);
    let client = Client {
        id: id.ok()?,
        kind: kind?,
        grant_types,
        scopes,
        resources: own_resources,
        redirect_uris,
        serves,
        idle_lifetime: section.duration("idle_lifetime"),
        absolute_lifetime: section.duration("absolute_lifetime"),
        rotation: section.word("rotation", parse_rotation).unwrap_or_default(),
        reuse: section.word("reuse", parse_reuse).unwrap_or_default(),
        grants_per_subject: section.count("grants_per_subject"),
        id_token_algorithm: section.word("id_token_algorithm", Algorithm::parse).unwrap_or_default(),
        id_token_lifetime: section.duration("id_token_lifetime"),
    };
    check(&client, section);
    Some(client)
}

fn kind(section: &Section<'_>) -> Option<ClientKind> {
    let mut secret_hashes = Vec::new();
    let entries = section.list("secret_hashes");
    for (number, entry) in (1..).zip(&entries) {
        match parse_hash(&entry.text) {
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
    if confidential && entries.is_empty() && section.is_sound("secret_hashes") && keys::given(section).is_none() {
        let problem = "is missing: a confidential client authenticates, so `jeton clients secret` makes a secret and its \
                       hash; or jwks or jwks_uri name its keys; or kind = \"public\"";
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
    let parse = |text: &str| GrantType::ALL.into_iter().find(|grant_type| grant_type.word() == text);
    let mut grant_types = Vec::new();
    let entries = section.list("grant_types");
    for entry in &entries {
        match parse_word(&entry.text, &words, parse) {
            Ok(grant_type) if grant_types.contains(&grant_type) => {
                section.entry_mistake("grant_types", entry, format!("{} is named twice", quoted(&entry.text)));
            }
            Ok(grant_type) => grant_types.push(grant_type),
            Err(problem) => section.entry_mistake("grant_types", entry, problem),
        }
    }
    if entries.is_empty() && section.is_sound("grant_types") && section.list("serves").is_empty() {
        section.mistake("grant_types", format!("is empty: name at least one of {}", words.join(", ")));
    }
    grant_types
}

pub(super) fn named_resources(section: &Section<'_>, key: &'static str, resources: &Resources) -> Vec<ResourceId> {
    let mut own: Vec<ResourceId> = Vec::new();
    for entry in section.list(key) {
        match resources.iter().find(|resource| resource.id.as_str() == entry.text) {
            None => {
                let hint = suggestion(&entry.text, resources.iter().map(|resource| resource.id.as_str()));
                let problem = format!("{} is not configured: add [resources.\"URI\"] for it{hint}", quoted(&entry.text));
                section.entry_mistake(key, &entry, problem);
            }
            Some(resource) if own.contains(&resource.id) => {
                section.entry_mistake(key, &entry, format!("{} is named twice", quoted(&entry.text)));
            }
            Some(resource) => own.push(resource.id.clone()),
        }
    }
    own
}

fn redirect_uris(section: &Section<'_>) -> Vec<RedirectUri> {
    let mut uris = Vec::new();
    let entries = section.list("redirect_uris");
    if entries.len() > MAX_REDIRECT_URIS {
        section.mistake("redirect_uris", format!("are {}: {MAX_REDIRECT_URIS} are the most", entries.len()));
    }
    for entry in &entries {
        match RedirectUri::parse("redirect_uris", &entry.text) {
            Ok(uri) if uris.contains(&uri) => {
                section.entry_mistake("redirect_uris", entry, format!("{} is named twice", quoted(&entry.text)));
            }
            Ok(uri) => uris.push(uri),
            Err(error) => section.entry_mistake("redirect_uris", entry, format!("{} {}", quoted(&entry.text), problem_of(error))),
        }
    }
    uris
}

pub(super) fn own_scopes(section: &Section<'_>, own: &[ResourceId], resources: &Resources) -> Scopes {
    let entries = section.list("scopes");
    for entry in entries.iter().filter(|entry| !Scopes::is_oidc(&entry.text)) {
        match resources.owner(&entry.text) {
            None => {
                let known = resources.iter().flat_map(|resource| resource.scopes.iter()).chain(OIDC);
                let hint = suggestion(&entry.text, known);
                let problem = format!("{} is owned by no resource: add it to the scopes of one{hint}", quoted(&entry.text));
                section.entry_mistake("scopes", entry, problem);
            }
            // A list with an unknown resource in it was reported; what is missing in it may be that one.
            Some(owner) if !own.contains(&owner.id) && section.is_sound("resources") => {
                let problem = format!("{} belongs to {}: add that to resources", quoted(&entry.text), quoted(owner.id.as_str()));
                section.entry_mistake("scopes", entry, problem);
            }
            Some(_) => {}
        }
    }
    scopes(section, &entries)
}

/// What does not go together.
fn check(client: &Client, section: &Section<'_>) {
    let lifetimes_sound = section.is_sound("idle_lifetime") && section.is_sound("absolute_lifetime");
    if lifetimes_sound && client.idle_lifetime > client.absolute_lifetime {
        let (idle, absolute) = (written(client.idle_lifetime), written(client.absolute_lifetime));
        let key = if section.is_given("idle_lifetime") { "idle_lifetime" } else { "absolute_lifetime" };
        section.mistake(
            key,
            format!(
                "idle_lifetime ({idle}) is longer than absolute_lifetime ({absolute}): shorten the one or lengthen the other"
            ),
        );
    }
    check_flows(client, section);
    let rotates_rarely = matches!(client.rotation, Rotation::NearExpiry | Rotation::Never);
    if rotates_rarely && !client.is_confidential() && client.may(GrantType::RefreshToken) {
        section.warning(
            "rotation",
            "a stolen refresh token is not detected between rotations, for this public client cannot prove itself unless \
             its tokens are bound to a key: use \"unbound-public\" or \"always\", or bind its tokens (DPoP, certificate)",
        );
    }
}

fn check_flows(client: &Client, section: &Section<'_>) {
    if !section.is_sound("grant_types") {
        return;
    }
    if client.may(GrantType::ClientCredentials) && !client.is_confidential() {
        section.mistake(
            "grant_types",
            "client_credentials is for confidential clients only (RFC 6749 section 4.4): remove it, or kind = \
             \"confidential\"",
        );
    }
    if client.may(GrantType::JwtBearer) && !client.is_confidential() {
        section.mistake(
            "grant_types",
            "jwt_bearer is for confidential clients only, for whoever found an assertion could else use it: remove it, or kind = \
             \"confidential\"",
        );
    }
    let refreshes = client.may(GrantType::RefreshToken);
    let signs_in = client.grant_types.iter().any(|way| way.signs_in() && *way != GrantType::RefreshToken);
    if refreshes && !signs_in {
        section.mistake(
            "grant_types",
            "refresh_token comes with no flow that gives one: add authorization_code, device_code or password, or remove it",
        );
    } else if refreshes && section.is_sound("scopes") && !client.scopes.contains(OFFLINE_ACCESS) {
        section.warning(
            "scopes",
            "refresh_token is allowed, but no refresh token is ever issued without the scope offline_access: add it to \
             scopes",
        );
    } else if !refreshes && client.scopes.contains(OFFLINE_ACCESS) {
        section.warning(
            "scopes",
            "offline_access gives no refresh token to a client without the grant type refresh_token: add that, or remove \
             the scope",
        );
    }
}

fn parse_rotation(word: &str) -> Option<Rotation> {
    match word {
        "always" => Some(Rotation::Always),
        "unbound-public" => Some(Rotation::UnboundPublic),
        "near-expiry" => Some(Rotation::NearExpiry),
        "never" => Some(Rotation::Never),
        _ => None,
    }
}

fn parse_reuse(word: &str) -> Option<ReusePolicy> {
    match word {
        "end-grant" => Some(ReusePolicy::EndGrant),
        "refuse" => Some(ReusePolicy::Refuse),
        _ => None,
    }
}

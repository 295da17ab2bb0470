//! Registrations: what must hold of a client and of a resource, whoever registers it, the configuration file or an operator at run time
//! (RFC 7591 section 2 has the word). Every rule that needs more than one value stands here; the form of one value is its type's.

mod certificates;
mod redirects;

use crate::client::{Client, GrantType, Rotation};
use crate::details::DetailsType;
use crate::grant::Grant;
use crate::name::ResourceId;
use crate::resource::{Resource, Resources, TokenFormat};
use crate::scope::{OFFLINE_ACCESS, OPENID, Scopes};
use crate::secret::shown;
use crate::time::Millis;

/// What is wrong, or probably not meant, with a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The settings that it rests on, as configuration and API name them; the first is the one to change.
    pub fields: &'static [&'static str],
    /// Which entry of the first, where that is a list, from 0.
    pub entry: Option<usize>,
    /// What is wrong and what would be right.
    pub words: String,
    /// A name in it that nobody knows, for who wants to say which was meant.
    pub unknown: Option<String>,
    /// Whether it must be refused. Else it is probably not meant.
    pub is_mistake: bool,
}

/// What a number must lie between, and what it is where it is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds<T> {
    /// At least this.
    pub least: T,
    /// At most this.
    pub most: T,
    /// Where it is not given.
    pub default: T,
}

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 3_600;

impl Client {
    /// Of the idle lifetime.
    pub const IDLE_LIFETIME: Bounds<Millis> = seconds(MINUTE, 3_650 * DAY, 14 * DAY);
    /// Of the absolute lifetime.
    pub const ABSOLUTE_LIFETIME: Bounds<Millis> = seconds(MINUTE, 3_650 * DAY, 90 * DAY);
    /// Of the lifetime of ID tokens.
    pub const ID_TOKEN_LIFETIME: Bounds<Millis> = seconds(10, DAY, 3_600);
    /// Of the most grants of one subject.
    pub const GRANTS_PER_SUBJECT: Bounds<u32> = Bounds { least: 1, most: 1_000, default: 100 };
    /// The most redirect URIs.
    pub const MAX_REDIRECT_URIS: usize = 64;
    /// The most resources that it names, and the most that it serves.
    pub const MAX_RESOURCES: usize = 256;

    /// What is wrong with it beside these resources; nothing where it may be registered.
    #[must_use]
    pub fn problems(&self, known: &Resources) -> Vec<Problem> {
        let mut found = Vec::new();
        found.extend(self.outside_bounds());
        found.extend(twice(&["grant_types"], &self.grant_types, |way| way.word()));
        found.extend(audience(&self.scopes, &self.resources, known));
        found.extend(self.details(known));
        found.extend(named(&["serves"], &self.serves, known));
        found.extend(twice(&["redirect_uris"], &self.redirect_uris, |uri| uri.as_str()));
        found.extend(too_many(&["redirect_uris"], self.redirect_uris.len(), Self::MAX_REDIRECT_URIS));
        found.extend(certificates::problems(self));
        found.extend(redirects::problems(self));
        found.extend(self.flows());
        found.extend(self.detection());
        found.extend((self.backchannel_logout_uri.is_some() && !self.scopes.contains(OPENID)).then(|| {
            let words = "is never called: a client learns of sessions by ID tokens, so add openid to scopes";
            doubt(&["backchannel_logout_uri", "scopes"], words)
        }));
        found
    }

    /// What is wrong with its types of authorization details.
    fn details(&self, known: &Resources) -> Vec<Problem> {
        const TYPES: &[&str] = &["authorization_details_types"];
        let told = |(at, name): (usize, &str)| match known.owner_of_details(name) {
            None => {
                let words = format!("`{}` is declared by no resource", shown(name));
                Some(Problem { unknown: Some(name.to_string()), ..mistake(TYPES, Some(at), words) })
            }
            Some((owner, _)) if !self.resources.contains(&owner.id) => {
                let words = format!("`{name}` belongs to `{}`: add that to resources", owner.id);
                Some(mistake(&["authorization_details_types", "resources"], Some(at), words))
            }
            Some(_) => None,
        };
        let mut found: Vec<Problem> = self.details_types.iter().map(AsRef::as_ref).enumerate().filter_map(told).collect();
        found.extend(twice(TYPES, &self.details_types, AsRef::as_ref));
        found.extend(too_many(TYPES, self.details_types.len(), Self::MAX_RESOURCES));
        found
    }

    fn outside_bounds(&self) -> impl Iterator<Item = Problem> {
        let lifetimes = [
            outside(&["idle_lifetime"], self.idle_lifetime, Self::IDLE_LIFETIME, Millis::written),
            outside(&["absolute_lifetime"], self.absolute_lifetime, Self::ABSOLUTE_LIFETIME, Millis::written),
            outside(&["id_token_lifetime"], self.id_token_lifetime, Self::ID_TOKEN_LIFETIME, Millis::written),
            outside(&["grants_per_subject"], self.grants_per_subject, Self::GRANTS_PER_SUBJECT, |count| count.to_string()),
        ];
        let is_longer = self.idle_lifetime > self.absolute_lifetime;
        let words = format!(
            "idle_lifetime ({}) is longer than absolute_lifetime ({}): shorten the one or lengthen the other",
            self.idle_lifetime.written(),
            self.absolute_lifetime.written()
        );
        let longer = is_longer.then(|| mistake(&["idle_lifetime", "absolute_lifetime"], None, words));
        lifetimes.into_iter().chain([longer]).flatten()
    }

    fn flows(&self) -> Vec<Problem> {
        const FLOWS: &[&str] = &["grant_types"];
        let mut found = Vec::new();
        if self.grant_types.is_empty() && self.serves.is_empty() {
            let words = GrantType::ALL.map(GrantType::word).join(", ");
            found.push(mistake(FLOWS, None, format!("is empty: name at least one of {words}")));
        }
        if self.may(GrantType::ClientCredentials) && !self.is_confidential() {
            let words = "client_credentials is for confidential clients only (RFC 6749 section 4.4): remove it, or kind = \"confidential\"";
            found.push(mistake(FLOWS, None, words.into()));
        }
        if self.may(GrantType::JwtBearer) && !self.is_confidential() {
            let words = "jwt_bearer is for confidential clients only, for whoever found an assertion could else use it: remove it, or kind = \
                         \"confidential\"";
            found.push(mistake(FLOWS, None, words.into()));
        }
        found.extend(self.exchanges());
        let refreshes = self.may(GrantType::RefreshToken);
        let signs_in = self.grant_types.iter().any(|way| way.signs_in() && *way != GrantType::RefreshToken);
        if refreshes && !signs_in {
            let words =
                "refresh_token comes with no flow that gives one: add authorization_code, device_code or password, or remove it";
            found.push(mistake(FLOWS, None, words.into()));
        } else if refreshes && !self.scopes.contains(OFFLINE_ACCESS) {
            found.push(doubt(
                &["scopes", "grant_types"],
                "refresh_token is allowed, but no refresh token is ever issued without the scope offline_access: add it to scopes",
            ));
        } else if !refreshes && self.scopes.contains(OFFLINE_ACCESS) {
            found.push(doubt(
                &["scopes", "grant_types"],
                "offline_access gives no refresh token to a client without the grant type refresh_token: add that, or remove the scope",
            ));
        }
        found
    }

    fn exchanges(&self) -> Option<Problem> {
        let exchanges = self.may(GrantType::TokenExchange);
        if exchanges && !self.is_confidential() {
            let words = "token_exchange is for confidential clients only: who acts for a subject proves who it is; remove it, or kind = \
                         \"confidential\"";
            return Some(mistake(&["grant_types"], None, words.into()));
        }
        if exchanges && self.resources.is_empty() {
            let words = "is empty, and token_exchange gives tokens for these: name them, or remove it";
            return Some(mistake(&["resources", "grant_types"], None, words.into()));
        }
        let words = "says something of token_exchange, which is not among grant_types: add it, or remove this";
        (self.impersonates && !exchanges).then(|| mistake(&["impersonates", "grant_types"], None, words.into()))
    }

    fn detection(&self) -> Option<Problem> {
        let rotates_rarely = matches!(self.rotation, Rotation::NearExpiry | Rotation::Never);
        (rotates_rarely && !self.is_confidential() && self.may(GrantType::RefreshToken)).then(|| {
            doubt(
                &["rotation"],
                "a stolen refresh token is not detected between rotations, for this public client cannot prove itself unless its \
                 tokens are bound to a key: use \"unbound-public\" or \"always\", or bind its tokens (DPoP, certificate)",
            )
        })
    }
}

impl Resource {
    /// Of the lifetime of its access tokens.
    pub const ACCESS_TOKEN_LIFETIME: Bounds<Millis> = seconds(10, DAY, 300);
    /// Of the greatest age of a sign-in, where one is demanded.
    pub const MAX_AGE: Bounds<Millis> = seconds(1, 3_650 * DAY, 0);
    /// The most values of `acr_values` and of `amr_values`.
    pub const MAX_VALUES: usize = 16;
    /// The longest of them, in bytes.
    pub const MAX_VALUE_BYTES: usize = 128;

    /// What is wrong with it beside the other resources; nothing where it may be registered.
    #[must_use]
    pub fn problems(&self, others: &Resources) -> Vec<Problem> {
        let mut found = Vec::new();
        found.extend(outside(
            &["access_token_lifetime"],
            self.access_token_lifetime,
            Self::ACCESS_TOKEN_LIFETIME,
            Millis::written,
        ));
        found.extend(self.policy.max_age.and_then(|age| outside(&["max_age"], age, Self::MAX_AGE, Millis::written)));
        for (at, scope) in self.scopes.iter().enumerate() {
            if Scopes::is_oidc(scope) {
                let words = format!("`{scope}` belongs to OpenID Connect and to no resource: remove it");
                found.push(mistake(&["scopes"], Some(at), words));
            } else if let Some(owner) = others.owner(scope).filter(|owner| owner.id != self.id) {
                let words = format!("`{scope}` is owned by `{}` already: a scope belongs to one resource", owner.id);
                found.push(mistake(&["scopes"], Some(at), words));
            }
        }
        found.extend(too_many(&["scopes"], self.scopes.len(), Scopes::MAX));
        let (count, max) = (self.scopes.len(), Grant::MAX_OPAQUE_SCOPES);
        if self.format == TokenFormat::Opaque && count > max {
            let words = format!("are {count}, and opaque access tokens allow {max}: use format = \"jwt\" or fewer scopes");
            found.push(mistake(&["scopes", "format"], None, words));
        }
        found.extend(self.details(others));
        found.extend(words(&["acr_values"], &self.policy.acr_values));
        found.extend(words(&["amr_values"], &self.policy.amr_values));
        found
    }
}

impl Resource {
    /// What is wrong with the types of authorization details that it declares.
    fn details(&self, others: &Resources) -> Vec<Problem> {
        const TYPES: &[&str] = &["authorization_details_types"];
        let told = |(at, declared): (usize, &DetailsType)| {
            let name = declared.name();
            let before = self.details_types.iter().take(at).any(|before| before.name() == name);
            let owner = others.owner_of_details(name).map(|(owner, _)| owner).filter(|owner| owner.id != self.id);
            match owner {
                _ if before => Some(mistake(TYPES, Some(at), format!("`{name}` is declared twice"))),
                Some(owner) => {
                    let words = format!("`{name}` is declared by `{}` already: a type belongs to one resource", owner.id);
                    Some(mistake(TYPES, Some(at), words))
                }
                None => None,
            }
        };
        let mut found: Vec<Problem> = self.details_types.iter().enumerate().filter_map(told).collect();
        found.extend(too_many(TYPES, self.details_types.len(), Self::MAX_VALUES));
        found
    }
}

/// What is wrong with the scopes and resources that somebody may be given.
#[must_use]
pub fn audience(scopes: &Scopes, resources: &[ResourceId], known: &Resources) -> Vec<Problem> {
    let mut found = named(&["resources"], resources, known);
    let own = scopes.iter().enumerate().filter(|(_, scope)| !Scopes::is_oidc(scope));
    found.extend(own.filter_map(|(at, scope)| match known.owner(scope) {
        None => {
            let words = format!("`{}` is owned by no resource: add it to the scopes of one", shown(scope));
            Some(Problem { unknown: Some(scope.into()), ..mistake(&["scopes"], Some(at), words) })
        }
        Some(owner) if !resources.contains(&owner.id) => {
            let words = format!("`{scope}` belongs to `{}`: add that to resources", owner.id);
            Some(mistake(&["scopes", "resources"], Some(at), words))
        }
        Some(_) => None,
    }));
    found.extend(too_many(&["scopes"], scopes.len(), Scopes::MAX));
    found
}

const fn seconds(least: u64, most: u64, default: u64) -> Bounds<Millis> {
    Bounds { least: Millis::from_secs(least), most: Millis::from_secs(most), default: Millis::from_secs(default) }
}

fn mistake(fields: &'static [&'static str], entry: Option<usize>, words: String) -> Problem {
    Problem { fields, entry, words, unknown: None, is_mistake: true }
}

fn doubt(fields: &'static [&'static str], words: &str) -> Problem {
    Problem { fields, entry: None, words: words.into(), unknown: None, is_mistake: false }
}

/// Entries that are there already.
fn twice<'a, T: PartialEq>(
    fields: &'static [&'static str],
    entries: &'a [T],
    text: impl Fn(&'a T) -> &'a str,
) -> impl Iterator<Item = Problem> {
    let again = |at: usize, entry: &T| entries.iter().take(at).any(|before| before == entry);
    let told = move |(at, entry)| mistake(fields, Some(at), format!("`{}` is named twice", shown(text(entry))));
    entries.iter().enumerate().filter(move |(at, entry)| again(*at, entry)).map(told)
}

/// Resources that are named.
fn named(fields: &'static [&'static str], own: &[ResourceId], known: &Resources) -> Vec<Problem> {
    let unknown = own.iter().enumerate().filter(|(_, id)| known.find(id).is_none()).map(|(at, id)| {
        let words = format!("`{}` is no known resource: add it first", shown(id.as_str()));
        Problem { unknown: Some(id.to_string()), ..mistake(fields, Some(at), words) }
    });
    let too_many = too_many(fields, own.len(), Client::MAX_RESOURCES);
    unknown.chain(twice(fields, own, ResourceId::as_str)).chain(too_many).collect()
}

/// Words of a policy (RFC 8176, OpenID Connect Core section 2).
fn words(fields: &'static [&'static str], values: &[String]) -> Vec<Problem> {
    let is_sound = |value: &str| {
        !value.is_empty() && value.len() <= Resource::MAX_VALUE_BYTES && value.chars().all(|c| c.is_ascii_graphic())
    };
    let unsound = values.iter().enumerate().filter(|(_, value)| !is_sound(value)).map(|(at, value)| {
        let cut: String = shown(value).chars().take(64).collect();
        let words = format!("`{}` is not a word of at most 128 printable ASCII characters", cut.escape_debug());
        mistake(fields, Some(at), words)
    });
    unsound.chain(too_many(fields, values.len(), Resource::MAX_VALUES)).collect()
}

fn too_many(fields: &'static [&'static str], count: usize, max: usize) -> Option<Problem> {
    (count > max).then(|| mistake(fields, None, format!("are {count}: {max} are the most")))
}

fn outside<T: Copy + PartialOrd>(
    fields: &'static [&'static str],
    value: T,
    bounds: Bounds<T>,
    written: impl Fn(T) -> String,
) -> Option<Problem> {
    let Bounds { least, most, .. } = bounds;
    let words = || format!("is {}, outside {} to {}", written(value), written(least), written(most));
    (value < least || value > most).then(|| mistake(fields, None, words()))
}

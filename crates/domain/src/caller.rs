//! Callers: the services that call this one, what each may do, and by what each is known.
//!
//! A caller is not a client: it passes on what clients ask, and a client proves who it is beside it. Must not live here: reading
//! certificates and headers (the transport's), signatures of service-account tokens (`service`).

mod known;

pub use known::{Callers, Names, Unsound};

use crate::client_secret;
use crate::error::{Error, Result};
use crate::jwk::KeySource;
use crate::name::{ClientId, ResourceId};
use crate::secret::SecretText;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

/// Every generated key of a caller begins so, for secret scanners to find leaks.
pub const KEY_PREFIX: &str = "jck_";

/// The key of these random bytes, in base64url behind [`KEY_PREFIX`].
#[must_use]
pub fn key(random: &[u8; 32]) -> SecretText {
    client_secret::written(KEY_PREFIX, random)
}

/// SHA-256 of a key: what is kept.
#[must_use]
pub fn hash_of_key(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// What a method needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Issue tokens and authorization codes, decide about devices: for who signs users in.
    Issue,
    /// Refresh, redeem a code, ask for a device.
    Refresh,
    /// Exchange tokens.
    Exchange,
    /// Revoke anything.
    Revoke,
    /// Introspect one or many.
    Introspect,
    /// Learn the exact cause of a token's state: for operators only.
    Explain,
    /// Read grants.
    ReadGrants,
    /// Read public keys and schedules.
    ReadKeys,
    /// Rotate signing keys.
    RotateKeys,
    /// Read clients and resources.
    ReadRegistry,
    /// Register, change and delete clients and resources: for operators only.
    WriteRegistry,
    /// Follow the revocations.
    Watch,
    /// See how the log is, and accept what it lost: for operators only.
    Heal,
    /// Ask, as a gateway, whether a request may pass.
    Authorize,
}

/// Which of its kind something concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach<T: Ord> {
    /// Every one, those to come too.
    All,
    /// These.
    Some(BTreeSet<T>),
}

/// A service that calls, and what it may do. By default nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What it is called in the configuration, in logs and in spans.
    pub name: Box<str>,
    /// The methods that it may call.
    pub permissions: Reach<Permission>,
    /// The clients that it may act for.
    pub clients: Reach<ClientId>,
    /// The resources that it may introspect for.
    pub resources: Reach<ResourceId>,
    /// Whether it is believed which certificate a client showed it.
    pub may_assert_certificates: bool,
    /// Whether it is believed which access tokens arrived where it watches.
    pub may_report_arrivals: bool,
    /// How often it may call one replica; 0: as often as it likes; none: as any other caller.
    pub rate: Option<u32>,
}

/// Whose service-account tokens are taken for callers'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenTerms {
    /// Their `iss`.
    pub issuer: Box<str>,
    /// Their one `aud`.
    pub audience: Box<str>,
    /// The keys that they are signed with.
    pub keys: KeySource,
}

impl Permission {
    /// Every one.
    pub const ALL: [Self; 14] = [
        Self::Issue,
        Self::Refresh,
        Self::Exchange,
        Self::Revoke,
        Self::Introspect,
        Self::Explain,
        Self::ReadGrants,
        Self::ReadKeys,
        Self::RotateKeys,
        Self::ReadRegistry,
        Self::WriteRegistry,
        Self::Watch,
        Self::Heal,
        Self::Authorize,
    ];

    /// The word of the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Refresh => "refresh",
            Self::Exchange => "exchange",
            Self::Revoke => "revoke",
            Self::Introspect => "introspect",
            Self::Explain => "explain",
            Self::ReadGrants => "read_grants",
            Self::ReadKeys => "read_keys",
            Self::RotateKeys => "rotate_keys",
            Self::ReadRegistry => "read_registry",
            Self::WriteRegistry => "write_registry",
            Self::Watch => "watch",
            Self::Heal => "heal",
            Self::Authorize => "authorize",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.word() == word)
    }

    /// Whether what it allows is done in the name of a client.
    #[must_use]
    pub const fn is_for_clients(self) -> bool {
        matches!(self, Self::Issue | Self::Refresh | Self::Exchange | Self::Revoke | Self::ReadGrants)
    }
}

impl<T: Ord> Reach<T> {
    /// Whether it has this one.
    #[must_use]
    pub fn has(&self, one: &T) -> bool {
        match self {
            Self::All => true,
            Self::Some(some) => some.contains(one),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Some(some) if some.is_empty())
    }
}

impl<T: Ord> Default for Reach<T> {
    fn default() -> Self {
        Self::Some(BTreeSet::new())
    }
}

impl Caller {
    /// One who may do nothing.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            permissions: Reach::default(),
            clients: Reach::default(),
            resources: Reach::default(),
            may_assert_certificates: false,
            may_report_arrivals: false,
            rate: None,
        }
    }

    /// Whoever it is, where no callers are configured and everybody is let in: may do everything.
    #[must_use]
    pub fn anyone() -> Self {
        Self {
            permissions: Reach::All,
            clients: Reach::All,
            resources: Reach::All,
            may_assert_certificates: true,
            may_report_arrivals: true,
            ..Self::new("anyone")
        }
    }

    /// Whether it may call methods that need this.
    ///
    /// # Errors
    /// `CallerRefused`, saying what is missing; as those of all that follow here.
    pub fn may(&self, permission: Permission) -> Result<()> {
        let word = permission.word();
        self.lacks(self.permissions.has(&permission), || format!("may not `{word}`: add it to `rpcs`"))
    }

    /// Whether it may act for a client.
    ///
    /// # Errors
    /// `CallerRefused`.
    pub fn may_act_for(&self, client: &ClientId) -> Result<()> {
        self.lacks(self.clients.has(client), || format!("may not act for client `{client}`: add it to `clients`"))
    }

    /// Whether it may do what names no client, or concerns those of all.
    ///
    /// # Errors
    /// `CallerRefused`.
    pub fn may_act_for_all(&self) -> Result<()> {
        let missing = || "may act for some clients only, and this concerns all: it needs \"*\" in `clients`".to_owned();
        self.lacks(self.clients == Reach::All, missing)
    }

    /// Whether it may do what concerns this client, or where none is named those of all.
    ///
    /// # Errors
    /// `CallerRefused`.
    pub fn may_concern(&self, client: Option<&ClientId>) -> Result<()> {
        client.map_or_else(|| self.may_act_for_all(), |client| self.may_act_for(client))
    }

    /// Whether it may introspect for a resource, or without saying for which.
    ///
    /// # Errors
    /// `CallerRefused`.
    pub fn may_introspect_for(&self, resource: Option<&ResourceId>) -> Result<()> {
        let may = resource.map_or(self.resources == Reach::All, |resource| self.resources.has(resource));
        self.lacks(may, || match resource {
            Some(resource) => format!("may not introspect for resource `{resource}`: add it to `resources`"),
            None => "may introspect for some resources only: the request must name one of them as its `resource`".to_owned(),
        })
    }

    /// Whether it is believed which certificate a client showed it.
    ///
    /// # Errors
    /// `CallerRefused`.
    pub fn may_assert_certificate(&self) -> Result<()> {
        self.lacks(self.may_assert_certificates, || "may not assert certificates: set may_assert_certificates".to_owned())
    }

    /// Whether it is believed which tokens arrived.
    ///
    /// # Errors
    /// `CallerRefused`.
    pub fn may_report_arrivals(&self) -> Result<()> {
        self.lacks(self.may_report_arrivals, || "may not report arrivals: set may_report_arrivals".to_owned())
    }

    fn lacks(&self, may: bool, missing: impl FnOnce() -> String) -> Result<()> {
        if may { Ok(()) } else { Err(Error::CallerRefused(format!("caller `{}` {}", self.name, missing()))) }
    }
}

#[cfg(test)]
mod tests;

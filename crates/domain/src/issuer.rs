//! Issuers whose assertions are taken as grants (RFC 7523 section 2.1): who may show them, for what, and what their subjects are called here.

use crate::client::Client;
use crate::error::Result;
use crate::jwk::KeySource;
use crate::name::{ClientId, ResourceId, Subject};
use crate::scope::Scopes;
use crate::time::Millis;

/// An issuer as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Its `iss`, letter by letter.
    pub id: Box<str>,
    /// Its keys.
    pub keys: KeySource,
    /// The `aud` of what it makes for us; none: our own issuer identifier.
    pub audience: Option<String>,
    /// The longest that its assertions may be valid.
    pub lifetime: Millis,
    /// Stands before each `sub` of it. Never empty, and neither begins nor is begun by that of another: so nobody's subjects are another's.
    pub subject_prefix: Box<str>,
    /// The clients that may show its assertions.
    pub clients: Vec<ClientId>,
    /// The scopes that they may be given for one.
    pub scopes: Scopes,
    /// The resources that they may be given tokens for.
    pub resources: Vec<ResourceId>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issuers(Vec<Issuer>);

impl Issuer {
    /// What its `sub` is called here.
    ///
    /// # Errors
    /// `Invalid` where that is no subject.
    pub fn subject(&self, sub: &str) -> Result<Subject> {
        Subject::parse("sub", &format!("{}{sub}", self.subject_prefix))
    }

    /// The client as it is for its assertions: it may have what both of them may.
    #[must_use]
    pub fn narrowed(&self, client: &Client) -> Client {
        let mut narrowed = client.clone();
        narrowed.scopes = client.scopes.filtered(|scope| self.scopes.contains(scope));
        narrowed.resources.retain(|resource| self.resources.contains(resource));
        narrowed
    }
}

impl Issuers {
    /// As configured.
    #[must_use]
    pub const fn new(issuers: Vec<Issuer>) -> Self {
        Self(issuers)
    }

    /// Each.
    pub fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one of that `iss`.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Issuer> {
        self.iter().find(|issuer| *issuer.id == *id)
    }

    /// The one whose subjects are called so. No other way of signing in gives such a subject.
    #[must_use]
    pub fn of_subject(&self, subject: &Subject) -> Option<&Issuer> {
        self.iter().find(|issuer| subject.as_str().starts_with(&*issuer.subject_prefix))
    }
}

//! Resources: the services that tokens are for, and how their access tokens look.

use crate::client::Algorithm;
use crate::name::ResourceId;
use crate::policy::AuthenticationPolicy;
use crate::scope::Scopes;
use crate::time::Millis;

/// A resource server as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its identifier URI, which becomes `aud`.
    pub id: ResourceId,
    /// The scopes it owns. A scope belongs to one resource at most.
    pub scopes: Scopes,
    /// The format of its access tokens.
    pub format: TokenFormat,
    /// The algorithm of its JWTs.
    pub algorithm: Algorithm,
    /// How long its access tokens are valid.
    pub access_token_lifetime: Millis,
    /// What it demands of the sign-in.
    pub policy: AuthenticationPolicy,
}

/// How an access token looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TokenFormat {
    /// A signed JWT (RFC 9068), which a gateway can check by itself.
    #[default]
    Jwt,
    /// A derived token that says nothing to who holds it.
    Opaque,
}

/// The resources that are known. A small set, looked through in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources(Vec<Resource>);

impl Resources {
    /// The resources in the order of the configuration.
    #[must_use]
    pub const fn new(resources: Vec<Resource>) -> Self {
        Self(resources)
    }

    /// The resource of that id.
    #[must_use]
    pub fn find(&self, id: &ResourceId) -> Option<&Resource> {
        self.0.iter().find(|resource| resource.id == *id)
    }

    /// The resource that owns a scope.
    #[must_use]
    pub fn owner(&self, scope: &str) -> Option<&Resource> {
        self.0.iter().find(|resource| resource.scopes.contains(scope))
    }

    /// In order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Resource> {
        self.0.iter()
    }
}

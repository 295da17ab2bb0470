//! Resources: the services that tokens are for, and how their access tokens look.

use crate::client::Algorithm;
use crate::details::DetailsType;
use crate::name::ResourceId;
use crate::policy::AuthenticationPolicy;
use crate::scope::Scopes;
use crate::time::Millis;
use std::sync::Arc;

/// A resource server as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its identifier URI, which becomes `aud`.
    pub id: ResourceId,
    /// The scopes it owns. A scope belongs to one resource at most.
    pub scopes: Scopes,
    /// The types of authorization details that it understands. A type belongs to one resource at most.
    pub details_types: Vec<DetailsType>,
    /// The format of its access tokens.
    pub format: TokenFormat,
    /// The algorithm of its JWTs.
    pub algorithm: Algorithm,
    /// How long its access tokens are valid.
    pub access_token_lifetime: Millis,
    /// What it demands of the sign-in.
    pub policy: AuthenticationPolicy,
}

impl Resource {
    /// Its declaration of a type of authorization details.
    #[must_use]
    pub fn details_type(&self, name: &str) -> Option<&DetailsType> {
        self.details_types.iter().find(|declared| declared.name() == name)
    }
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

impl TokenFormat {
    /// Every one, the default first.
    pub const ALL: [Self; 2] = [Self::Jwt, Self::Opaque];

    /// The word for it in settings and on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Opaque => "opaque",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.word() == word)
    }
}

/// The most resources that one request may name.
pub const MAX_NAMED: usize = 64;

/// The resources that are known, found by their id and by the scopes they own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    all: Vec<Arc<Resource>>,
    /// Places in `all`, in the order of the ids. Of two that have one id the first is meant.
    by_id: Vec<usize>,
    /// Each scope and the place of its owner, in the order of the scopes. Of two owners the first is meant.
    owners: Vec<(Box<str>, usize)>,
}

impl Resources {
    /// The resources in this order.
    #[must_use]
    pub fn new(resources: Vec<Resource>) -> Self {
        resources.into_iter().map(Arc::new).collect()
    }

    /// The resource of that id.
    #[must_use]
    pub fn find(&self, id: &ResourceId) -> Option<&Resource> {
        let at = self.by_id.binary_search_by(|at| self.at(*at).map(|resource| &resource.id).cmp(&Some(id))).ok()?;
        self.by_id.get(at).and_then(|at| self.at(*at))
    }

    /// The resource that owns a scope.
    #[must_use]
    pub fn owner(&self, scope: &str) -> Option<&Resource> {
        let at = self.owners.binary_search_by(|(owned, _)| (**owned).cmp(scope)).ok()?;
        self.owners.get(at).and_then(|(_, at)| self.at(*at))
    }

    /// The resource that declares a type of authorization details, and its declaration.
    #[must_use]
    pub fn owner_of_details(&self, name: &str) -> Option<(&Resource, &DetailsType)> {
        self.iter().find_map(|resource| Some(resource).zip(resource.details_type(name)))
    }

    /// In order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Resource> {
        self.all.iter().map(AsRef::as_ref)
    }

    /// In order, to be kept.
    pub fn shared(&self) -> impl ExactSizeIterator<Item = &Arc<Resource>> {
        self.all.iter()
    }

    fn at(&self, place: usize) -> Option<&Resource> {
        self.all.get(place).map(AsRef::as_ref)
    }
}

impl FromIterator<Arc<Resource>> for Resources {
    fn from_iter<T: IntoIterator<Item = Arc<Resource>>>(resources: T) -> Self {
        let all: Vec<Arc<Resource>> = resources.into_iter().collect();
        let mut ids: Vec<(&ResourceId, usize)> = all.iter().enumerate().map(|(at, resource)| (&resource.id, at)).collect();
        ids.sort();
        ids.dedup_by_key(|(id, _)| *id);
        let by_id = ids.into_iter().map(|(_, at)| at).collect();
        let owned =
            |(at, resource): (usize, &Arc<Resource>)| resource.scopes.iter().map(|scope| (scope.into(), at)).collect::<Vec<_>>();
        let mut owners: Vec<(Box<str>, usize)> = all.iter().enumerate().flat_map(owned).collect();
        owners.sort();
        owners.dedup_by(|later, first| later.0 == first.0);
        Self { all, by_id, owners }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(id: &str, scopes: &str, format: TokenFormat) -> Resource {
        Resource {
            id: ResourceId::parse("resource", id).unwrap(),
            scopes: Scopes::parse("scopes", scopes).unwrap(),
            details_types: Vec::new(),
            format,
            algorithm: Algorithm::EdDsa,
            access_token_lifetime: Millis::from_secs(300),
            policy: AuthenticationPolicy::default(),
        }
    }

    #[test]
    fn one_of_many_is_found_by_its_id_and_by_its_scopes() {
        let many: Vec<Resource> =
            (0..300).rev().map(|n| resource(&format!("urn:r:{n}"), &format!("s{n}:a s{n}:b"), TokenFormat::Jwt)).collect();
        let known = Resources::new(many.clone());
        for one in &many {
            assert_eq!(known.find(&one.id), Some(one));
            assert!(one.scopes.iter().all(|scope| known.owner(scope) == Some(one)));
        }
        assert_eq!(known.find(&ResourceId::parse("resource", "urn:r:300").unwrap()), None);
        assert_eq!(known.owner("s300:a"), None);
        assert!(known.iter().eq(&many), "in the order they came");
    }

    #[test]
    fn of_two_with_one_id_or_one_scope_the_first_is_meant() {
        let first = resource("urn:b", "s", TokenFormat::Jwt);
        let same_id = resource("urn:b", "t", TokenFormat::Opaque);
        let same_scope = resource("urn:a", "s", TokenFormat::Opaque);
        let known = Resources::new(vec![first.clone(), same_id, same_scope]);
        assert_eq!((known.find(&first.id), known.owner("s")), (Some(&first), Some(&first)));
    }
}

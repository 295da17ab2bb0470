//! What one access token is for: which of a grant's scopes, resources and details, and whether the sign-in is good enough for them.
//!
//! Shared by Issue, Refresh and introspection. Must not live here: generations, lifetimes, formats of tokens.

use crate::details;
use crate::error::{Error, Result};
use crate::grant::{Grant, SignIn};
use crate::name::ResourceId;
use crate::resource::Resources;
use crate::scope::Scopes;
use crate::secret::shown;
use crate::time::Timestamp;
use serde_json::Value;

/// The scopes, resources and authorization details of one access token, in the grant's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// Its `scope`.
    pub scopes: Scopes,
    /// Its `aud`.
    pub resources: Vec<ResourceId>,
    /// Its `authorization_details`.
    pub details: Vec<Value>,
}

/// Narrows a grant to what a request asks for (RFC 6749 section 6, RFC 8707 section 2.2, RFC 9396 section 6).
///
/// No scopes, or an empty set, asks for all of the grant's; no resources, no details ask for the grant's. The scopes of the token
/// are those asked for that its resources own, and those of OpenID Connect; its details those of its resources.
///
/// # Errors
/// `Error::InvalidScope` naming `scope`, `Error::InvalidTarget` naming `resource`, `Error::InvalidAuthorizationDetails`: outside
/// the grant. `Error::InvalidTarget` too for a resource that is no longer configured: its policy cannot be checked.
pub fn narrow(
    grant: &Grant,
    scopes: Option<&Scopes>,
    resources: &[ResourceId],
    details: &[Value],
    known: &Resources,
) -> Result<Audience> {
    let asked = scopes.filter(|scopes| !scopes.is_empty()).unwrap_or(&grant.scopes);
    if let Some(outside) = asked.first_outside(&grant.scopes) {
        let problem = format!("`{}` is not among the scopes of the grant", shown(outside));
        return Err(Error::invalid_scope("scope", problem));
    }
    if let Some(outside) = resources.iter().find(|resource| !grant.resources.contains(resource)) {
        return Err(target(format!("`{}` is not among the resources of the grant", shown(outside.as_str()))));
    }
    let named = |resource: &&ResourceId| resources.is_empty() || resources.contains(resource);
    let resources: Vec<ResourceId> = grant.resources.iter().filter(named).cloned().collect();
    if let Some(gone) = resources.iter().find(|resource| known.find(resource).is_none()) {
        return Err(target(format!("`{gone}` is no longer configured; name the others of the grant")));
    }
    let owned = |scope: &str| known.owner(scope).is_some_and(|owner| resources.contains(&owner.id));
    let scopes = grant.scopes.filtered(|scope| asked.contains(scope) && (Scopes::is_oidc(scope) || owned(scope)));
    let details = details::narrow(&grant.authorization_details, details, &resources, known)?;
    Ok(Audience { scopes, resources, details })
}

/// Whether the sign-in meets the authentication policy of every one of `resources` at `now` (RFC 9470).
///
/// # Errors
/// `Error::ReauthenticationRequired` for the first that is not met; `Error::InvalidTarget` naming `resource` for one that is
/// not configured.
pub fn policies_met(now: Timestamp, resources: &[ResourceId], known: &Resources, sign_in: &SignIn) -> Result<()> {
    for id in resources {
        let resource = known.find(id).ok_or_else(|| target(format!("`{id}` is not configured")))?;
        resource.policy.check(id, sign_in, now)?;
    }
    Ok(())
}

fn target(problem: String) -> Error {
    Error::invalid_target("resource", problem)
}

//! The decision of Issue: which tokens, with which scopes, for which resources, for how long.
//!
//! Lives here: what a client may have. Must not live here: ids, randomness and writing (`service::issue`).

use crate::audience::policies_met;
use crate::claims::{check_access_extra, check_extra};
use crate::client::{Algorithm, Client, GrantType};
use crate::details;
use crate::error::{Error, Result};
use crate::grant::{Grant, SignIn};
use crate::name::{ResourceId, Subject};
use crate::resource::{Resource, Resources, TokenFormat};
use crate::scope::{OFFLINE_ACCESS, OPENID, Scopes};
use crate::secret::shown;
use crate::time::{Millis, Timestamp};
use serde_json::{Map, Value};

/// What is asked for, names parsed.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Who signed in; none for client credentials.
    pub subject: Option<&'a Subject>,
    /// What was granted.
    pub scopes: &'a Scopes,
    /// For which resources; empty: the owners of the scopes.
    pub resources: &'a [ResourceId],
    /// Whether a session was named.
    pub has_session: bool,
    /// When the user signed in; none: now.
    pub auth_time: Option<Timestamp>,
    /// The authentication context class.
    pub acr: Option<&'a str>,
    /// The authentication methods.
    pub amr: &'a [String],
    /// The flow; none: authorization code with a subject, client credentials without.
    pub method: Option<GrantType>,
    /// Whether a `nonce` was given.
    pub has_nonce: bool,
    /// Further claims of access tokens.
    pub access_claims: &'a Map<String, Value>,
    /// Further claims of ID tokens.
    pub id_claims: &'a Map<String, Value>,
    /// Authorization details (RFC 9396).
    pub authorization_details: &'a [Value],
}

/// What is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The grant's scopes: what was asked for and belongs to its resources or to OpenID Connect.
    pub scopes: Scopes,
    /// The grant's resources; empty: the token is for the issuer itself (user info).
    pub resources: Vec<ResourceId>,
    /// How the subject signed in.
    pub sign_in: SignIn,
    /// How the access token looks.
    pub access: AccessForm,
    /// Whether a refresh token is handed out.
    pub refreshable: bool,
    /// Whether an ID token is handed out.
    pub id_token: bool,
}

impl Plan {
    /// Whether a record of the grant must be kept: a refresh token is derived from it, an opaque token is read from it.
    #[must_use]
    pub const fn needs_record(&self) -> bool {
        self.refreshable || matches!(self.access.format, TokenFormat::Opaque)
    }
}

/// How an access token for some resources looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessForm {
    /// Its format.
    pub format: TokenFormat,
    /// Its algorithm, where it is a JWT.
    pub algorithm: Algorithm,
    /// How long it is valid: the shortest of its resources.
    pub lifetime: Millis,
}

impl AccessForm {
    /// Of a token for no resource but the issuer itself.
    pub const ISSUER: Self = Self { format: TokenFormat::Jwt, algorithm: Algorithm::EdDsa, lifetime: Millis::from_secs(300) };

    /// The form that all of `resources` agree on.
    ///
    /// # Errors
    /// `Error::InvalidTarget` where format or algorithm differ, or a resource is not known any more.
    pub fn of(resources: &[ResourceId], known: &Resources) -> Result<Self> {
        let mut form: Option<Self> = None;
        for id in resources {
            let Some(resource) = known.find(id) else {
                return Err(target(format!("`{id}` is not configured (any more)")));
            };
            let next = Self { format: resource.format, algorithm: resource.algorithm, lifetime: resource.access_token_lifetime };
            form = Some(match form {
                None => next,
                Some(held) if held.format == next.format && held.algorithm == next.algorithm => {
                    Self { lifetime: held.lifetime.min(next.lifetime), ..held }
                }
                Some(_) => {
                    return Err(target(
                        "names resources whose access tokens differ in format or algorithm: ask for one token each".into(),
                    ));
                }
            });
        }
        Ok(form.unwrap_or(Self::ISSUER))
    }

    /// Whether a token of this form can say these scopes and resources of a new grant.
    ///
    /// # Errors
    /// `Error::InvalidScope`, `Error::InvalidTarget`: too many for an opaque token.
    pub fn can_say(&self, scopes: &Scopes, resources: &[ResourceId]) -> Result<()> {
        if self.format == TokenFormat::Jwt {
            return Ok(());
        }
        if scopes.len() > Grant::MAX_OPAQUE_SCOPES {
            let problem = format!("has more than {} scopes, too many for opaque access tokens", Grant::MAX_OPAQUE_SCOPES);
            return Err(Error::invalid_scope("scope", problem));
        }
        if resources.len() > Grant::MAX_OPAQUE_RESOURCES {
            return Err(target(format!("names more than {} resources with opaque access tokens", Grant::MAX_OPAQUE_RESOURCES)));
        }
        Ok(())
    }
}

/// How far ahead of ours a login service's clock may be.
const LEEWAY: Millis = Millis::from_secs(60);

/// Decides what `client` gets for what is asked.
///
/// `is_client` tells whether a name is a client's id: no user may be called so (RFC 9700 section 4.15).
///
/// # Errors
/// `UnauthorizedClient`, `Invalid`, `InvalidScope`, `InvalidTarget`, `InvalidAuthorizationDetails`, `ReauthenticationRequired`.
pub fn plan(
    now: Timestamp,
    asked: &Asked<'_>,
    client: &Client,
    known: &Resources,
    is_client: impl Fn(&str) -> bool,
) -> Result<Plan> {
    let sign_in = sign_in(now, asked, client, is_client)?;
    let signs_in = sign_in.method.signs_in();
    check_access_extra("access_token_claims", asked.access_claims)?;
    check_extra("id_token_claims", asked.id_claims)?;
    check_scopes(asked.scopes, client, known, signs_in)?;
    let resources = resources(asked.scopes, asked.resources, asked.authorization_details, client, known)?;
    policies_met(now, &resources, known, &sign_in)?;
    let access = AccessForm::of(&resources, known)?;
    let may_refresh = signs_in && client.may(GrantType::RefreshToken);
    let scopes = asked.scopes.filtered(|scope| match scope {
        // OIDC Core section 11: ignored where the client may not have a refresh token.
        OFFLINE_ACCESS => may_refresh,
        _ => Scopes::is_oidc(scope) || known.owner(scope).is_some_and(|owner| resources.contains(&owner.id)),
    });
    access.can_say(&scopes, &resources)?;
    let refreshable = may_refresh && scopes.contains(OFFLINE_ACCESS);
    let id_token = signs_in && scopes.contains(OPENID);
    Ok(Plan { scopes, resources, sign_in, access, refreshable, id_token })
}

/// Whether `client` may ask a user for these scopes, resources and details, before one has signed in.
///
/// # Errors
/// `InvalidScope`, `InvalidTarget`, `InvalidAuthorizationDetails`.
pub fn may_ask(scopes: &Scopes, asked: &[ResourceId], details: &[Value], client: &Client, known: &Resources) -> Result<()> {
    check_scopes(scopes, client, known, true)?;
    AccessForm::of(&resources(scopes, asked, details, client, known)?, known).map(|_form| ())
}

fn sign_in(now: Timestamp, asked: &Asked<'_>, client: &Client, is_client: impl Fn(&str) -> bool) -> Result<SignIn> {
    let method =
        asked.method.unwrap_or(if asked.subject.is_some() { GrantType::AuthorizationCode } else { GrantType::ClientCredentials });
    if matches!(method, GrantType::RefreshToken | GrantType::TokenExchange) {
        return Err(Error::invalid("authentication.method", "must be the flow by which the user signed in"));
    }
    if !client.may(method) {
        return Err(Error::UnauthorizedClient(format!(
            "client `{}` may not use `{}`: add it to its `grant_types` if it should",
            client.id,
            method.word()
        )));
    }
    match asked.subject {
        None if method.has_user() => return Err(Error::invalid("sub", "must name the user who signed in")),
        Some(_) if !method.has_user() => {
            return Err(Error::invalid("sub", "must be empty for client credentials: the client speaks for itself"));
        }
        Some(subject) if is_client(subject.as_str()) => {
            return Err(Error::invalid("sub", "is the id of a client: no user may be called so"));
        }
        Some(_) | None => {}
    }
    if !method.has_user() {
        let without_user = [
            ("sid", asked.has_session),
            ("nonce", asked.has_nonce),
            ("id_token_claims", !asked.id_claims.is_empty()),
            ("authentication.auth_time", asked.auth_time.is_some()),
            ("authentication.acr", asked.acr.is_some()),
            ("authentication.amr", !asked.amr.is_empty()),
        ];
        if let Some((field, _)) = without_user.into_iter().find(|(_, given)| *given) {
            return Err(Error::invalid(field, "must be empty for client credentials: no user signed in"));
        }
        return Ok(SignIn { auth_time: None, acr: None, amr: Vec::new(), method });
    }
    if !method.signs_in() {
        // When and how is between the user and who asserts it.
        return Ok(SignIn { auth_time: None, acr: None, amr: Vec::new(), method });
    }
    let auth_time = asked.auth_time.unwrap_or(now);
    if auth_time > now.plus(LEEWAY) {
        return Err(Error::invalid("authentication.auth_time", "is in the future"));
    }
    Ok(SignIn { auth_time: Some(auth_time), acr: asked.acr.map(str::to_owned), amr: asked.amr.to_vec(), method })
}

fn check_scopes(asked: &Scopes, client: &Client, known: &Resources, signs_in: bool) -> Result<()> {
    let refuse = |problem: String| Err(Error::invalid_scope("scope", problem));
    if let Some(outside) = asked.first_outside(&client.scopes) {
        return refuse(format!("has `{}`, which client `{}` may not be given", shown(outside), client.id));
    }
    for scope in asked.iter() {
        if Scopes::is_oidc(scope) {
            if !signs_in {
                return refuse(format!("has `{scope}`, which needs a user who signed in"));
            }
        } else if known.owner(scope).is_none() {
            return refuse(format!("has `{scope}`, which no configured resource owns"));
        }
    }
    Ok(())
}

/// The resources of a token: those that are named, else the owners of the scopes and of the details.
fn resources(
    scopes: &Scopes,
    asked: &[ResourceId],
    details: &[Value],
    client: &Client,
    known: &Resources,
) -> Result<Vec<ResourceId>> {
    check_details(details, client, known)?;
    let mut resources: Vec<ResourceId> = Vec::new();
    let named = asked.iter().map(|id| (id, known.find(id)));
    let of_scopes = scopes.iter().filter_map(|scope| known.owner(scope));
    let of_details =
        details.iter().filter_map(|detail| known.owner_of_details(details::type_of(detail)?)).map(|(owner, _)| owner);
    let owners = of_scopes.chain(of_details).map(|owner: &Resource| (&owner.id, Some(owner)));
    let wanted: Vec<_> = if asked.is_empty() { owners.collect() } else { named.collect() };
    for (id, found) in wanted {
        if found.is_none() {
            return Err(target(format!("`{}` is not a configured resource", shown(id.as_str()))));
        }
        if !client.resources.contains(id) {
            return Err(target(format!("`{id}` is not among the resources of client `{}`", client.id)));
        }
        if !resources.contains(id) {
            resources.push(id.clone());
        }
    }
    details::check_owners(details, &resources, known)?;
    if resources.is_empty() && !scopes.contains(OPENID) {
        return Err(target("must name a resource, or `scope` one that a resource owns".into()));
    }
    Ok(resources)
}

fn check_details(asked: &[Value], client: &Client, known: &Resources) -> Result<()> {
    details::check(asked, known)?;
    let is_outside = |name: &&str| !client.may_have_details(name);
    match asked.iter().filter_map(details::type_of).find(is_outside) {
        Some(name) => {
            let problem = format!("has the type `{name}`, which client `{}` may not be given", client.id);
            Err(Error::InvalidAuthorizationDetails { field: details::FIELD.into(), problem })
        }
        None => Ok(()),
    }
}

fn target(problem: String) -> Error {
    Error::invalid_target("resource", problem)
}

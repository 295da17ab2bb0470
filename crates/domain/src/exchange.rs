//! Token exchange (RFC 8693): a client that was sent an access token gets one for itself, to act for the same subject elsewhere.
//!
//! Lives here: what comes of an exchange, of tokens that are proved and alive. Must not live here: whether they are (`access`), and
//! whose business they are (`access::Asker`).

use crate::access::Ancestor;
use crate::audience::{Audience, policies_met};
use crate::client::Client;
use crate::details;
use crate::dpop;
use crate::error::{Error, Result};
use crate::grant::{Binding, Proof, SignIn};
use crate::issue::AccessForm;
use crate::name::{ClientId, ResourceId, Subject};
use crate::resource::Resources;
use crate::scope::Scopes;
use crate::secret::shown;
use crate::time::{Millis, Timestamp};
use serde_json::{Map, Value};

/// The type of the tokens that are taken and given (RFC 8693 section 3).
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The claim that says who may act for the subject of a token (RFC 8693 section 4.4).
pub const MAY_ACT: &str = "may_act";

/// The most tokens that may stand behind an exchanged one: each makes it longer and its life the work of one more look.
pub const MAX_ANCESTORS: usize = 8;

/// A token of an exchange, as the request names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// That of whom the new token speaks for.
    Subject,
    /// That of who is to act for him.
    Actor,
}

impl Role {
    /// The parameter that carries it.
    #[must_use]
    pub const fn parameter(self) -> &'static str {
        match self {
            Self::Subject => "subject_token",
            Self::Actor => "actor_token",
        }
    }
}

/// Why no token is exchanged. Told outward: who asks has proved who it is, and holds the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Not an active access token that is the business of who asks. One reason outward.
    #[error("`{}` is not an active access token of the client, or for a resource that it serves", .0.parameter())]
    Inactive(Role),
    /// It is bound, and the key or certificate of the new one was not proved.
    #[error("`{}` is bound to a key: it is exchanged for a bound token only, so prove a key, or its own where it is the client's", .0.parameter())]
    Unproved(Role),
    /// The subject token names another party that may act.
    #[error("`may_act` of `subject_token` names another party")]
    MayNotAct,
    /// Who acts is one party: for whom it may act itself is another matter.
    #[error("`actor_token` was itself exchanged for one that acts for its subject")]
    ActorIsDelegated,
    /// More than [`MAX_ANCESTORS`].
    #[error("more than {MAX_ANCESTORS} tokens would stand behind the new one")]
    TooDeep,
}

/// An access token that is proved, alive, and the business of who asks.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// For whom it speaks.
    pub sub: &'a str,
    /// The client it was issued to.
    pub client: &'a ClientId,
    /// Its scopes.
    pub scopes: &'a Scopes,
    /// The resources it is for.
    pub audience: &'a [String],
    /// Its authorization details.
    pub details: &'a [Value],
    /// When it expires.
    pub exp: Timestamp,
    /// How its subject signed in.
    pub sign_in: &'a SignIn,
    /// What it is bound to.
    pub binding: Option<Binding>,
    /// Who acts for its subject already.
    pub act: Option<&'a Map<String, Value>>,
    /// Its further claims.
    pub claims: &'a Map<String, Value>,
    /// What a token that it is exchanged for depends on of it.
    pub life: &'a Ancestor,
    /// The tokens that it was exchanged for itself.
    pub ancestors: &'a [Ancestor],
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The token of whom the new one speaks for.
    pub subject: Shown<'a>,
    /// That of who acts for him; none: the client.
    pub actor: Option<Shown<'a>>,
    /// Narrower scopes; empty: those of the subject token that the resources own and the client may be given.
    pub scopes: &'a Scopes,
    /// The resources; empty: the owners of the scopes, or those of the subject token that the client may be given tokens for.
    pub resources: &'a [ResourceId],
    /// Narrower authorization details; empty: those of the subject token that are of the resources and that the client may be given.
    pub details: &'a [Value],
    /// What the client proved beside who it is.
    pub proof: &'a Proof,
}

/// What is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What it is for.
    pub audience: Audience,
    /// How it looks. It ends no later than any token that it is exchanged for.
    pub form: AccessForm,
    /// What it is bound to.
    pub binding: Option<Binding>,
    /// Who acts.
    pub act: Option<Map<String, Value>>,
    /// The tokens that it is exchanged for, and theirs.
    pub ancestors: Vec<Ancestor>,
}

/// The types of tokens as a request names them (RFC 8693 section 2.1).
#[derive(Clone, Copy, Debug, Default)]
pub struct Types<'a> {
    /// Of the subject token.
    pub subject: Option<&'a str>,
    /// Of the actor token.
    pub actor: Option<&'a str>,
    /// Of the token that is asked for.
    pub requested: Option<&'a str>,
}

impl Types<'_> {
    /// Whether all that must be named is, and nothing but access tokens.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn check(&self, has_actor: bool) -> Result<()> {
        if self.subject.is_none() {
            return Err(Error::invalid("subject_token_type", "must be given"));
        }
        match (has_actor, self.actor) {
            (true, None) => return Err(Error::invalid("actor_token_type", "must be given beside `actor_token`")),
            (false, Some(_)) => return Err(Error::invalid("actor_token_type", "goes with `actor_token` only")),
            (true, Some(_)) | (false, None) => {}
        }
        let named =
            [("subject_token_type", self.subject), ("actor_token_type", self.actor), ("requested_token_type", self.requested)];
        match named.into_iter().find(|(_, named)| named.is_some_and(|named| named != ACCESS_TOKEN)) {
            Some((field, _)) => Err(Error::invalid(field, format!("must be {ACCESS_TOKEN}: nothing else is exchanged"))),
            None => Ok(()),
        }
    }
}

/// Who may act by a claim [`MAY_ACT`]: an object with `sub` alone. None for any other, of which not all could be enforced.
#[must_use]
pub fn who_may_act(claim: &Value) -> Option<&str> {
    let members = claim.as_object().filter(|members| members.len() == 1)?;
    members.get("sub").and_then(Value::as_str).filter(|sub| Subject::parse("sub", sub).is_ok())
}

/// Decides what `client` gets for what it shows.
///
/// # Errors
/// `ExchangeRefused`, `InvalidAuthorizationDetails`, `InvalidDpopProof`, `InvalidScope`, `InvalidTarget`, `ReauthenticationRequired`.
pub fn plan(now: Timestamp, asked: &Asked<'_>, client: &Client, known: &Resources) -> Result<Plan> {
    let Asked { subject, actor, .. } = asked;
    if actor.is_some_and(|actor| actor.act.is_some()) {
        return Err(Refusal::ActorIsDelegated.into());
    }
    let acting = actor.map_or(client.id.as_str(), |actor| actor.sub);
    if subject.claims.get(MAY_ACT).is_some_and(|may_act| who_may_act(may_act) != Some(acting)) {
        return Err(Refusal::MayNotAct.into());
    }
    let binding = binding(asked, client)?;
    let ancestors = ancestors(asked)?;
    let audience = audience(asked, client, known)?;
    policies_met(now, &audience.resources, known, subject.sign_in)?;
    let form = AccessForm::of(&audience.resources, known)?;
    form.can_say(&audience.scopes, &audience.resources)?;
    let exp = actor.map_or(subject.exp, |actor| actor.exp.min(subject.exp));
    // Whole seconds, as tokens say them.
    let left = Millis::from_secs(exp.secs().saturating_sub(now.secs()));
    let form = AccessForm { lifetime: form.lifetime.min(left), ..form };
    Ok(Plan { audience, form, binding, act: act(asked, client), ancestors })
}

/// Who acts. Who did so before is told inside (RFC 8693 section 4.1), and never left out.
fn act(asked: &Asked<'_>, client: &Client) -> Option<Map<String, Value>> {
    let before = asked.subject.act;
    let acting = match asked.actor {
        Some(actor) => actor.sub,
        None if client.impersonates => return before.cloned(),
        None => client.id.as_str(),
    };
    let mut act = Map::from_iter([("sub".to_owned(), Value::from(acting))]);
    act.extend(before.map(|before| ("act".to_owned(), Value::Object(before.clone()))));
    Some(act)
}

/// What the new token is bound to. What was bound is not made a bearer token: the client's own is exchanged by who holds its key; one that
/// it was sent, whose key it cannot have, for one that is bound to a key or certificate of its own.
fn binding(asked: &Asked<'_>, client: &Client) -> Result<Option<Binding>> {
    let shown = [(Role::Subject, Some(asked.subject)), (Role::Actor, asked.actor)];
    let bound: Vec<_> =
        shown.into_iter().filter_map(|(role, token)| token.and_then(|token| Some((role, token, token.binding?)))).collect();
    let own = bound.iter().find(|(_, token, _)| *token.client == client.id).map(|(.., binding)| *binding);
    let offered = asked.proof.binds(own, client)?.or(asked.proof.x5t.map(Binding::X5t).filter(|_| !bound.is_empty()));
    for (role, token, binding) in bound {
        let is_own = *token.client == client.id;
        if offered.is_none() || is_own && !asked.proof.proves(binding) {
            let proved = asked.proof.jkt.is_some();
            return Err(if proved { dpop::Refusal::OtherBinding.into() } else { Refusal::Unproved(role).into() });
        }
    }
    Ok(offered)
}

fn ancestors(asked: &Asked<'_>) -> Result<Vec<Ancestor>> {
    let shown = std::iter::once(&asked.subject).chain(&asked.actor);
    let ancestors: Vec<Ancestor> = shown.flat_map(|token| std::iter::once(token.life).chain(token.ancestors)).cloned().collect();
    if ancestors.len() > MAX_ANCESTORS { Err(Refusal::TooDeep.into()) } else { Ok(ancestors) }
}

/// Scopes and details are the subject token's or fewer. Resources are those that the client may be given tokens for, also others than the subject
/// token is for: of those it has no scope.
fn audience(asked: &Asked<'_>, client: &Client, known: &Resources) -> Result<Audience> {
    let Asked { subject, scopes, .. } = asked;
    let refuse = |problem: String| Err(Error::invalid_scope("scope", problem));
    if let Some(outside) = scopes.first_outside(subject.scopes) {
        return refuse(format!("has `{}`, which is not among the scopes of the subject token", shown(outside)));
    }
    if let Some(outside) = scopes.first_outside(&client.scopes) {
        return refuse(format!("has `{}`, which client `{}` may not be given", shown(outside), client.id));
    }
    if let Some(oidc) = scopes.iter().find(|scope| Scopes::is_oidc(scope)) {
        return refuse(format!("has `{oidc}`, which belongs to no resource: it is not given by token exchange"));
    }
    let resources = resources(asked, client, known)?;
    let owned = |scope: &str| known.owner(scope).is_some_and(|owner| resources.contains(&owner.id));
    let wanted = |scope: &str| scopes.is_empty() || scopes.contains(scope);
    let scopes = subject.scopes.filtered(|scope| wanted(scope) && client.scopes.contains(scope) && owned(scope));
    let may = |detail: &&Value| details::type_of(detail).is_some_and(|name| client.may_have_details(name));
    let details: Vec<Value> = subject.details.iter().filter(may).cloned().collect();
    let details = details::narrow(&details, asked.details, &resources, known)?;
    Ok(Audience { scopes, resources, details })
}

fn resources(asked: &Asked<'_>, client: &Client, known: &Resources) -> Result<Vec<ResourceId>> {
    let refuse = |problem: String| Err(Error::invalid_target("resource", problem));
    let wanted: Vec<ResourceId> = if !asked.resources.is_empty() {
        asked.resources.to_vec()
    } else if !asked.scopes.is_empty() {
        asked.scopes.iter().filter_map(|scope| known.owner(scope)).map(|owner| owner.id.clone()).collect()
    } else {
        let given = client.resources.iter().filter(|id| asked.subject.audience.iter().any(|audience| audience == id.as_str()));
        given.cloned().collect()
    };
    let mut resources: Vec<ResourceId> = Vec::with_capacity(wanted.len());
    for id in wanted {
        if known.find(&id).is_none() {
            return refuse(format!("`{}` is not a configured resource", shown(id.as_str())));
        }
        if !client.resources.contains(&id) {
            return refuse(format!("`{id}` is not among the resources of client `{}`", client.id));
        }
        if !resources.contains(&id) {
            resources.push(id);
        }
    }
    if resources.is_empty() {
        return refuse(format!("must be named: client `{}` may have no token for those of the subject token", client.id));
    }
    Ok(resources)
}

#[cfg(test)]
mod tests;

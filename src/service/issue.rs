//! Issue: the login service has authenticated a user (or a client itself), and asks for tokens.

use crate::audit::{Action, Deed};
use crate::random;
use crate::records::GRACE;
use crate::records::floors;
use crate::records::grants::{Listed, keep_until, listed};
use crate::service::dpop::Holder;
use crate::service::hand_out::Access;
use crate::service::{Credentials, Durability, Service};
use crate::telemetry;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::audience::Audience;
use jeton_domain::client::{Client, GrantType};
use jeton_domain::error::{Cause, Ended, Error, Result};
use jeton_domain::floors::Raised;
use jeton_domain::grant::{Binding, Grant, Lineage};
use jeton_domain::id::{GrantId, TargetId};
use jeton_domain::issue::{self, Plan};
use jeton_domain::name::{ClientId, ResourceId, SessionId, Subject};
use jeton_domain::resource::TokenFormat;
use jeton_domain::revision::{Born, Revision};
use jeton_domain::scope::Scopes;
use jeton_domain::secret::{Secret, SecretText};
use jeton_domain::target::slot;
use jeton_domain::time::{Millis, Timestamp};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long who is refused waits at most until what was written for him is taken back: he has to be told why in time.
const TAKING_BACK: Duration = Duration::from_millis(500);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Issue {
    /// For whom.
    pub client: ClientId,
    /// Who signed in; none for client credentials.
    pub subject: Option<Subject>,
    /// What was granted.
    pub scopes: Scopes,
    /// For which resources; empty: the owners of the scopes.
    pub resources: Vec<ResourceId>,
    /// The session; none: a new one is made.
    pub session: Option<SessionId>,
    /// When the user signed in; none: now.
    pub auth_time: Option<Timestamp>,
    /// The authentication context class.
    pub acr: Option<String>,
    /// The authentication methods.
    pub amr: Vec<String>,
    /// The flow; none: authorization code with a subject, client credentials without.
    pub method: Option<GrantType>,
    /// For the ID token.
    pub nonce: Option<String>,
    /// Further claims of access tokens.
    pub access_claims: Map<String, Value>,
    /// Further claims of ID tokens.
    pub id_claims: Map<String, Value>,
    /// The sender constraint.
    pub binding: Option<Binding>,
    /// Authorization details (RFC 9396).
    pub authorization_details: Vec<Value>,
    /// How the client proves who it is.
    pub credentials: Credentials,
}

/// The tokens of an Issue or a Refresh.
#[derive(Debug)]
pub struct Tokens {
    /// The access token.
    pub access: SecretText,
    /// How long it is valid.
    pub expires_in: Millis,
    /// The refresh token.
    pub refresh: Option<SecretText>,
    /// How long the refresh token is valid if it is not used.
    pub refresh_expires_in: Millis,
    /// The ID token.
    pub id: Option<SecretText>,
    /// The scopes of the access token.
    pub scopes: Scopes,
    /// The authorization details of the access token.
    pub authorization_details: Vec<Value>,
    /// What it is bound to; `Some(Binding::Jkt)` makes it a `DPoP` token, anything else `Bearer`.
    pub binding: Option<Binding>,
    /// The grant.
    pub grant: Option<GrantId>,
    /// The session.
    pub session: Option<SessionId>,
    /// What the answer knows.
    pub revision: Revision,
    /// How far the record got; none where nothing was written.
    pub durability: Option<Durability>,
    /// The nonce that the next DPoP proof must name; none where it need not name one.
    pub next_dpop_nonce: Option<String>,
}

impl Tokens {
    /// Tells that they were handed out. The grant it says already.
    pub(super) fn told<'a>(&self, deed: Deed<'a>) -> Deed<'a> {
        let tokens = [Some(&self.access), self.refresh.as_ref(), self.id.as_ref()];
        deed.session(self.session.as_ref()).text("scope", &self.scopes.to_string()).handed_out(tokens.into_iter().flatten())
    }
}

/// What is granted, before anything of it is written.
pub(super) struct Prepared {
    pub client: Arc<Client>,
    pub now: Timestamp,
    pub plan: Plan,
    pub grant: Grant,
    /// The session's target, where it was named.
    pub session: Vec<TargetId>,
    /// The log's head that it is born at.
    pub head: Revision,
    /// What its holder proved; a DPoP proof is not counted yet.
    pub holder: Holder,
}

impl Service {
    /// Issues tokens.
    ///
    /// # Errors
    /// Fields at fault, what the client may not have, a DPoP proof that is none, policies not met, a revoked session, the store.
    pub async fn issue(&self, asked: Issue) -> Result<Tokens> {
        if asked.method == Some(GrantType::JwtBearer) {
            let problem = "must be a flow by which a user signed in: assertions go to the token endpoint";
            return Err(Error::invalid("authentication.method", problem));
        }
        let prepared = self.prepare(&asked).await?;
        self.issue_prepared(prepared, asked.nonce.as_deref()).await
    }

    /// Issues what was decided.
    ///
    /// # Errors
    /// A DPoP proof that was used before, a revoked session, the store.
    pub(super) async fn issue_prepared(&self, prepared: Prepared, nonce: Option<&str>) -> Result<Tokens> {
        let Prepared { client, now, plan, mut grant, session, head, holder } = prepared;
        let binding = holder.proof.binds(grant.binding, &client)?;
        grant.bind(binding, &client);
        if plan.access.format == TokenFormat::Opaque {
            grant.says(binding)?;
        }
        self.count_proof(&holder).await?;
        let has_id = plan.needs_record() || grant.sign_in.method.has_user();
        let deed = self.deed(Action::Issue);
        let deed = deed.map(|deed| deed.client(&client.id).subject(&grant.subject).text("flow", grant.sign_in.method.word()));
        let mut deed = deed.map(|deed| deed.grant(has_id.then_some(grant.id)));
        let durability = if plan.needs_record() {
            let kept = Deed::while_doing(&mut deed, self.keep(&grant, &client, &session, now)).await;
            if kept.is_err() {
                self.take_back(&grant, now).await;
            }
            Some(kept?)
        } else {
            refuse_dead(&grant, self.records.read_killing_floor(&session, grant.born).await?)?;
            None
        };
        // The record keeps its own: this is what these tokens say.
        grant.binding = binding;
        let generation = grant.lineage.newest;
        let details = grant.authorization_details.clone();
        let audience = Audience { scopes: plan.scopes, resources: plan.resources, details };
        let access = Access { audience: &audience, form: plan.access, generation, key: grant.lineage.key };
        let access = self.access_token(&grant, &access, now)?;
        let id = if plan.id_token { Some(self.id_token(&grant, &client, &access, nonce, now)?) } else { None };
        let refresh =
            if plan.refreshable { Some(self.tokens.refresh_token(&grant, generation, grant.lineage.key)?) } else { None };
        let tokens = Tokens {
            access,
            expires_in: plan.access.lifetime,
            refresh,
            refresh_expires_in: grant.expires_at().since(now),
            id,
            scopes: audience.scopes,
            authorization_details: audience.details,
            binding: grant.binding,
            grant: has_id.then_some(grant.id),
            session: grant.session,
            revision: head,
            durability,
            next_dpop_nonce: holder.next_nonce(),
        };
        if let Some(deed) = deed {
            tokens.told(deed).tell();
        }
        Ok(tokens)
    }

    /// Decides what is granted, and where in the order of revocations it is born. Nothing is written yet.
    pub(super) async fn prepare(&self, asked: &Issue) -> Result<Prepared> {
        self.prepare_for(self.issuing_client(asked).await?, asked).await
    }

    /// The same for a client that proved who it is, where it had to.
    pub(super) async fn prepare_for(&self, client: Arc<Client>, asked: &Issue) -> Result<Prepared> {
        let holder = self.holder(&asked.credentials)?;
        let now = self.clock.now();
        let plan = self.plan(now, asked, &client)?;
        let mut grant = self.new_grant(now, asked, &client, &plan)?;
        // The floor is read beside the catch-up, so that what is refused takes no other grant's place; what decides is read after it.
        // A session that was only just made cannot have been revoked.
        let session = if asked.session.is_some() { self.session_target(&grant) } else { Vec::new() };
        let (caught, floor) = tokio::try_join!(self.alive.born(), self.records.read_killing_floor(&session, Born::default()))?;
        self.know_burnt_keys().await?;
        // The one that was active until now may be burnt.
        grant.lineage.key = self.records.roots().active();
        self.still_registered(&client).await?;
        grant.born = caught.head.born();
        grant.lineage.identity = caught.identity;
        refuse_dead(&grant, self.alive.killing(&session, grant.born).or(floor))?;
        self.join_session(&client, &grant, now).await?;
        Ok(Prepared { client, now, plan, grant, session, head: caught.head, holder })
    }

    /// The client that the tokens are for. The caller vouches for the user; a client that speaks for itself must prove who it is.
    async fn issuing_client(&self, asked: &Issue) -> Result<Arc<Client>> {
        let speaks_for_itself = asked.subject.is_none() || asked.method == Some(GrantType::ClientCredentials);
        if speaks_for_itself || !asked.credentials.is_empty() {
            return self.authenticate(&asked.client, &asked.credentials).await;
        }
        let registry = self.registry_for(&asked.client).await?;
        registry.client(&asked.client).cloned().ok_or_else(|| Error::invalid("client_id", "is not a configured client"))
    }

    fn plan(&self, now: Timestamp, asked: &Issue, client: &Client) -> Result<Plan> {
        let _span = telemetry::child("decide").entered();
        let (field, subject) = named_subject(asked)?;
        let is_asserted = asked.method == Some(GrantType::JwtBearer);
        if let Some(issuer) = self.terms().issuers.of_subject(&subject).filter(|_| !is_asserted) {
            let problem = format!("begins as the subjects of issuer `{}` do: nobody else may be called so", issuer.id);
            return Err(Error::invalid(field, problem));
        }
        let question = issue::Asked {
            subject: asked.subject.as_ref(),
            scopes: &asked.scopes,
            resources: &asked.resources,
            has_session: asked.session.is_some(),
            auth_time: asked.auth_time,
            acr: asked.acr.as_deref(),
            amr: &asked.amr,
            method: asked.method,
            has_nonce: asked.nonce.is_some(),
            access_claims: &asked.access_claims,
            id_claims: &asked.id_claims,
            authorization_details: &asked.authorization_details,
        };
        let registry = self.registry();
        issue::plan(now, &question, client, registry.resources(), |name| registry.is_client(name))
    }

    fn new_grant(&self, now: Timestamp, asked: &Issue, client: &Client, plan: &Plan) -> Result<Grant> {
        let signs_in = plan.sign_in.method.signs_in();
        let (_, subject) = named_subject(asked)?;
        let [mut id, new_session, nonce] = random::several::<16, 3>()?;
        let session = match &asked.session {
            Some(session) => Some(session.clone()),
            None if signs_in => Some(SessionId::parse("sid", &URL_SAFE_NO_PAD.encode(new_session))?),
            None => None,
        };
        let [a, b] = slot(&subject, self.alive.salt());
        id.iter_mut().zip([a, b]).for_each(|(to, from)| *to = from);
        let (idle, absolute) = if plan.refreshable {
            (client.idle_lifetime, client.absolute_lifetime)
        } else {
            (plan.access.lifetime, plan.access.lifetime)
        };
        Ok(Grant {
            id: GrantId(id),
            subject,
            client: client.id.clone(),
            session,
            scopes: plan.scopes.clone(),
            resources: plan.resources.clone(),
            sign_in: plan.sign_in.clone(),
            binding: asked.binding,
            born: Born::default(),
            created_at: now,
            idle,
            absolute_end: now.plus(absolute),
            nonce: Secret::new(nonce),
            lineage: Lineage::new(now, self.records.roots().active(), plan.refreshable),
            ended: None,
            authorization_details: asked.authorization_details.clone(),
            access_claims: asked.access_claims.clone(),
            id_claims: asked.id_claims.clone(),
            tokens_revoked: 0,
            act: None,
            ancestors: Vec::new(),
        })
    }

    /// Lists the grant, writes it, and ends those that have to make room for it.
    async fn keep(&self, grant: &Grant, client: &Client, session: &[TargetId], now: Timestamp) -> Result<Durability> {
        let surplus = self.list(grant, client).await?;
        let durability = self.write(grant, session).await?;
        self.make_room(grant, &surplus, now).await?;
        Ok(durability)
    }

    /// What is handed to nobody must neither live nor take a place. It is ended, not deleted: a write whose outcome is unknown may yet
    /// arrive, and only creates. A store that is gone cannot be told: then it lives until it expires unused.
    async fn take_back(&self, grant: &Grant, now: Timestamp) {
        let keep_until = now.plus(self.alive.ceilings().access_token).plus(GRACE);
        let ended = self.records.end_grant(grant.id, Ended { at: now, cause: Cause::Evicted }, keep_until);
        let unlisted = async {
            let Some((subject, own)) = listed(grant, self.alive.salt()) else { return Ok(()) };
            self.records.unlist_grants(subject, &[own]).await
        };
        // One that fails does not keep the other from being done.
        let both = async { tokio::join!(ended, unlisted) };
        if !matches!(timeout(TAKING_BACK, both).await, Ok((Ok(_), Ok(())))) {
            tracing::debug!(grant_id = %grant.id, "a grant that was handed to nobody may not be taken back");
        }
    }

    /// Takes a place in the subject's list, before the grant is there that it names. Answers those that have to make room for it.
    pub(super) async fn list(&self, grant: &Grant, client: &Client) -> Result<Vec<Listed>> {
        let Some((subject, own)) = listed(grant, self.alive.salt()) else { return Ok(Vec::new()) };
        let client_cap = usize::try_from(client.grants_per_subject).unwrap_or(usize::MAX);
        let subject_cap = self.terms().grants_per_subject;
        let mut surplus = self.records.list_grant(subject, &own, client_cap, subject_cap).await?;
        if surplus.is_empty() {
            return Ok(surplus);
        }
        // The dead make room first. The list is not asked anew: that would bring back a place that another Issue has just taken away.
        let left = self.unlist_dead(subject).await?;
        surplus.retain(|one| left.contains(one));
        let is_of_client = |one: &Listed| one.client_tag == own.client_tag;
        let of_client = left.iter().filter(|one| is_of_client(one)).count().saturating_sub(client_cap);
        let mut making_room: Vec<Listed> = surplus.extract_if(.., |one| is_of_client(one)).take(of_client).collect();
        let of_all = left.len().saturating_sub(making_room.len()).saturating_sub(subject_cap);
        making_room.extend(surplus.into_iter().take(of_all));
        Ok(making_room)
    }

    /// Ends what has to make room for a grant, once that is written. Then only it leaves the list: an Issue that is cut off before has
    /// left too many in it, and the next one ends them.
    pub(super) async fn make_room(&self, grant: &Grant, surplus: &[Listed], now: Timestamp) -> Result<()> {
        let Some((subject, _)) = listed(grant, self.alive.salt()).filter(|_| !surplus.is_empty()) else { return Ok(()) };
        for evicted in surplus {
            let ended = Ended { at: now, cause: Cause::Evicted };
            // Its opaque tokens run out by themselves, and point into its record until then.
            let keep_until = evicted.expires_at.plus(self.alive.ceilings().access_token).plus(GRACE);
            let mut deed = self.deed(Action::Evict).map(|deed| deed.subject(&grant.subject).grant(Some(evicted.id)));
            Deed::while_doing(&mut deed, self.records.end_grant(evicted.id, ended, keep_until)).await?;
            deed.into_iter().for_each(Deed::tell);
        }
        self.records.unlist_grants(subject, surplus).await
    }

    fn session_target(&self, grant: &Grant) -> Vec<TargetId> {
        grant.session.iter().map(|session| self.alive.salt().session(session)).collect()
    }

    pub(super) async fn write(&self, grant: &Grant, session: &[TargetId]) -> Result<Durability> {
        let until = keep_until(grant, self.alive.ceilings().access_token);
        match self.records.create_grant(grant, until, &floors::names(session)).await? {
            (true, read) => {
                refuse_dead(grant, self.records.killing_floor(session, read, grant.born)?)?;
                Ok(self.records.store().durability())
            }
            // A revocation of this very id came first, or it had to make room for another, or 112 random bits collided: whichever it
            // was, nothing may be handed out.
            (false, _) => Err(Error::Contended),
        }
    }
}

/// Who the tokens are for, the user or the client itself, and the field that says so.
fn named_subject(asked: &Issue) -> Result<(&'static str, Subject)> {
    match &asked.subject {
        Some(subject) => Ok(("sub", subject.clone())),
        None => Ok(("client_id", Subject::parse("client_id", asked.client.as_str())?)),
    }
}

/// A grant of a revoked session would be dead when handed out. One whose subject or client is revoked at this very moment was
/// born before, and is dead too; but who signs in again lives.
fn refuse_dead(grant: &Grant, ended: Option<Raised>) -> Result<()> {
    match (ended, &grant.session) {
        (Some(_), Some(session)) => Err(Error::SessionRevoked(session.to_string())),
        _ => Ok(()),
    }
}

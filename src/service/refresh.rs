//! Refresh: a refresh token gets a new access token, without asking the user again (RFC 6749 section 6).

use crate::audit::{Action, Deed};
use crate::floors::Caught;
use crate::records::floors;
use crate::records::grants::{Known, LoadedGrant};
use crate::service::dpop::Holder;
use crate::service::hand_out::Access;
use crate::service::issue::Tokens;
use crate::service::{Credentials, Durability, Service};
use crate::telemetry::metrics;
use jeton_domain::access::Belongs;
use jeton_domain::audience::Audience;
use jeton_domain::client::{Client, GrantType};
use jeton_domain::details;
use jeton_domain::error::{Cause, Error, RefreshRefusal, Result};
use jeton_domain::floors::Raised;
use jeton_domain::grant::{Binding, Grant, Proof};
use jeton_domain::id::{GrantId, TargetId};
use jeton_domain::issue::AccessForm;
use jeton_domain::name::{ClientId, ResourceId};
use jeton_domain::refresh::{self, Decision, Env, Event, HandOut, Request, Verdict};
use jeton_domain::resource::{Resources, TokenFormat};
use jeton_domain::revision::Revision;
use jeton_domain::scope::Scopes;
use jeton_domain::secret::SecretText;
use jeton_domain::target::{Reason, Target};
use jeton_domain::time::Timestamp;
use jeton_domain::token::{Numbered, NumberedKind, Opaque, Presented, parse};
use serde_json::Value;

/// The longest name of an attempt, in bytes.
pub const MAX_REQUEST_ID_BYTES: usize = 128;

/// What is presented.
#[derive(Debug)]
pub struct Refresh {
    /// The refresh token.
    pub token: SecretText,
    /// Who presents it.
    pub client: ClientId,
    /// How it proves who it is.
    pub credentials: Credentials,
    /// Narrower scopes; empty: the grant's.
    pub scopes: Scopes,
    /// Narrower resources; empty: the grant's.
    pub resources: Vec<ResourceId>,
    /// Narrower authorization details; empty: the grant's.
    pub authorization_details: Vec<Value>,
    /// The name of this attempt. At most [`MAX_REQUEST_ID_BYTES`].
    pub request_id: Option<Box<str>>,
}

/// A refresh token or a code, and who presents it for what.
pub(super) struct Shown<'a> {
    pub presented: Numbered,
    pub client: &'a Client,
    pub holder: &'a Holder,
    pub scopes: &'a Scopes,
    pub resources: &'a [ResourceId],
    pub details: &'a [Value],
    pub request_id: Option<&'a str>,
    /// How far the write must get before anything is handed out.
    pub needs: Durability,
}

/// What is to be handed out.
pub(super) struct Given {
    pub grant: Box<Grant>,
    pub out: HandOut,
    pub form: AccessForm,
    pub now: Timestamp,
    pub head: Revision,
    pub next_nonce: Option<String>,
}

/// The decision over a grant.
struct Answer {
    /// The grant as it is then.
    grant: Box<Grant>,
    /// Whether it is another than before.
    is_changed: bool,
    /// The targets whose floors outlive the log.
    targets: Vec<TargetId>,
    /// What is to be done.
    outcome: Outcome,
}

/// What the decision came to.
enum Outcome {
    /// Hand out.
    HandOut(AccessForm, Option<Binding>, HandOut),
    /// Revoke the grant, then refuse.
    End(Cause),
}

impl Service {
    /// Refreshes.
    ///
    /// # Errors
    /// `InvalidClient`, `InvalidDpopProof`, `UseDpopNonce`, `RefreshRefused`, `ReauthenticationRequired`, `InvalidScope`, `InvalidTarget`,
    /// `InvalidAuthorizationDetails`, the store.
    pub async fn refresh(&self, asked: Refresh) -> Result<Tokens> {
        let mut deed = self.deed(Action::Refresh).map(|deed| deed.client(&asked.client).presented(&asked.token));
        let refreshed = self.decide_refresh(&asked, &mut deed).await;
        deed.into_iter().for_each(|deed| Self::tell_refresh(deed, &refreshed));
        metrics::REFRESHES.add(match &refreshed {
            Ok((verdict, _)) => verdict.word(),
            Err(Error::RefreshRefused(refusal)) => refusal.word(),
            Err(Error::ReauthenticationRequired(_)) => "policy",
            Err(Error::InvalidDpopProof(_) | Error::UseDpopNonce(_)) => "proof",
            Err(Error::InvalidClient(_)) => "client",
            Err(_) => "error",
        });
        refreshed.map(|(_, tokens)| tokens)
    }

    /// What was handed out, and that a grant was ended for how it was used. Any other refusal changes nothing.
    fn tell_refresh(deed: Deed<'_>, refreshed: &Result<(Verdict, Tokens)>) {
        match refreshed {
            Ok((verdict, tokens)) => tokens.told(deed.text("verdict", verdict.word())).tell(),
            Err(Error::RefreshRefused(refusal @ (RefreshRefusal::Reuse | RefreshRefusal::RetryExpired))) => {
                deed.text("verdict", refusal.word()).tell();
            }
            Err(_) => {}
        }
    }

    async fn decide_refresh(&self, asked: &Refresh, deed: &mut Option<Deed<'_>>) -> Result<(Verdict, Tokens)> {
        let Presented::Numbered(presented @ Numbered { kind: NumberedKind::Refresh, .. }) = parse(asked.token.expose()) else {
            return Err(Error::RefreshRefused(RefreshRefusal::Malformed));
        };
        let client = self.authenticate(&asked.client, &asked.credentials).await?;
        if !client.may(GrantType::RefreshToken) {
            return Err(Error::UnauthorizedClient(format!("client `{}` may not use `refresh_token`", client.id)));
        }
        let holder = self.holder(&asked.credentials)?;
        let shown = Shown {
            presented,
            client: &client,
            holder: &holder,
            scopes: &asked.scopes,
            resources: &asked.resources,
            details: &asked.authorization_details,
            request_id: asked.request_id.as_deref(),
            // A rotation that a failover loses is answered by going forward.
            needs: Durability::Applied,
        };
        let loaded = self.load(&shown).await?;
        *deed = deed.take().map(|deed| deed.grant(Some(shown.presented.grant)));
        let given = Deed::while_doing(deed, self.decide(&shown, loaded, |_| Ok(()))).await?;
        Ok((given.out.verdict, self.give(given, &client, None)?))
    }

    /// Loads the grant that something was presented for, beside a catch-up that starts now. Where it is genuine, the holder's DPoP
    /// proof is counted.
    pub(super) async fn load(&self, shown: &Shown<'_>) -> Result<(Caught, LoadedGrant)> {
        self.know_root_keys([shown.presented.key]).await?;
        let (caught, loaded) = tokio::try_join!(self.alive.caught_up(), self.records.grant(shown.presented.grant))?;
        self.know_burnt_keys().await?;
        if shown.holder.proof.jkt.is_some() {
            self.presented_grant(loaded.known()?, shown.client, &shown.presented)?;
            self.count_proof(shown.holder).await?;
        }
        Ok((caught, loaded))
    }

    /// Lets the domain decide what is handed out for a refresh token or a code, and writes what that changes. `terms` are what must hold
    /// of the grant besides: where they do not, nothing is consumed.
    pub(super) async fn decide(
        &self,
        shown: &Shown<'_>,
        (caught, loaded): (Caught, LoadedGrant),
        terms: impl Fn(&Grant) -> Result<()>,
    ) -> Result<Given> {
        let Shown { presented, client, .. } = shown;
        let now = self.clock.now();
        let ring = self.records.roots().order();
        let registry = self.registry();
        let decided = self
            .records
            .decide_grant(
                loaded,
                self.alive.ceilings().access_token,
                shown.needs,
                |known, identity| {
                    let grant = self.presented_grant(known, client, presented)?;
                    terms(&grant)?;
                    let targets = self.floor_targets(&grant);
                    let revoked = self.killing(&grant, &targets).map(|raised| raised.cause());
                    let env = Env {
                        client,
                        resources: registry.resources(),
                        revoked,
                        ring: &ring,
                        identity,
                        overlap: self.terms().overlap,
                        proof: &shown.holder.proof,
                    };
                    let request = Request {
                        id: shown.request_id.map(str::as_bytes),
                        scopes: Some(shown.scopes),
                        resources: shown.resources,
                        details: shown.details,
                    };
                    let of = refresh::Presented { key: presented.key, generation: presented.generation };
                    match refresh::refresh(now, &grant, of, &request, &env) {
                        Decision::HandOut { changed, out } => {
                            // Refused here nothing is consumed: the configuration may have changed since the grant was made.
                            let is_changed = changed.is_some();
                            let grant = changed.unwrap_or(grant);
                            let (form, binding) =
                                Self::form(&grant, &out.audience, &shown.holder.proof, client, registry.resources())?;
                            let outcome = Outcome::HandOut(form, binding, out);
                            Ok(Answer { grant, is_changed, targets, outcome })
                        }
                        Decision::End { cause, .. } => {
                            Ok(Answer { grant, is_changed: false, targets, outcome: Outcome::End(cause) })
                        }
                        Decision::Refuse(error) => Err(error),
                    }
                },
                |answer| answer.is_changed.then_some(&*answer.grant),
                |answer| floors::names(&answer.targets),
            )
            .await?;
        let Answer { mut grant, targets, outcome, .. } = decided.answer;
        if let Some(raised) = self.records.killing_floor(&targets, decided.also, grant.born)? {
            return Err(Error::RefreshRefused(RefreshRefusal::Ended(raised.cause())));
        }
        match outcome {
            Outcome::End(cause) => Err(Error::RefreshRefused(self.end(presented.grant, cause).await?)),
            Outcome::HandOut(form, binding, out) => {
                if out.event == Some(Event::FutureToken) {
                    tracing::error!(grant_id = %grant.id, "a refresh token newer than its grant was presented although the store lost nothing: its root key and its record may both have leaked");
                }
                // The record keeps its own: this is what these tokens say.
                grant.binding = binding;
                Ok(Given { grant, out, form, now, head: caught.head, next_nonce: shown.holder.next_nonce() })
            }
        }
    }

    /// The grant that a token was presented for: it exists, it is this client's, the tag is genuine.
    pub(super) fn presented_grant(&self, known: Option<Known>, client: &Client, presented: &Numbered) -> Result<Box<Grant>> {
        let refuse = |refusal| Err(Error::RefreshRefused(refusal));
        let grant = match known {
            None => return refuse(RefreshRefusal::Unknown),
            Some(Known::OnlyEnded(ended)) => return refuse(RefreshRefusal::Ended(ended.cause)),
            Some(Known::Grant(grant)) => grant,
        };
        if grant.client != client.id {
            return refuse(RefreshRefusal::OtherClient);
        }
        if !self.tokens.prove(presented, &grant.nonce)? {
            return refuse(RefreshRefusal::NotGenuine);
        }
        Ok(grant)
    }

    /// A second holder was proved, or a retry came too late: the grant is revoked by the normal path. Answers what to refuse with.
    pub(super) async fn end(&self, grant: GrantId, cause: Cause) -> Result<RefreshRefusal> {
        let (reason, refusal) = match cause {
            Cause::RetryExpired => (Reason::RetryExpired, RefreshRefusal::RetryExpired),
            _ => (Reason::Reuse, RefreshRefusal::Reuse),
        };
        self.raise_and_tell(&Target::Grant(grant), reason, None).await?;
        tracing::warn!(grant_id = %grant, cause = refusal.word(), "a grant was ended for how its tokens were used");
        Ok(refusal)
    }

    /// How the access token will look, and what it is bound to. By the resources by which its audience was decided.
    pub(super) fn form(
        grant: &Grant,
        audience: &Audience,
        proof: &Proof,
        client: &Client,
        known: &Resources,
    ) -> Result<(AccessForm, Option<Binding>)> {
        let form = AccessForm::of(&audience.resources, known)?;
        let binding = proof.binds(grant.binding, client)?;
        if form.format != TokenFormat::Opaque {
            return Ok((form, binding));
        }
        grant.says(binding)?;
        if audience.details != details::of_resources(&grant.authorization_details, &audience.resources, known) {
            let problem = "cannot be narrowed for an opaque access token, which says what its grant says: leave them out".into();
            return Err(Error::InvalidAuthorizationDetails { field: details::FIELD.into(), problem });
        }
        let bits = Opaque::bits_of_scopes(grant, &audience.scopes).zip(Opaque::bits_of_resources(grant, &audience.resources));
        if bits.is_some() {
            return Ok((form, binding));
        }
        let problem = "names what an opaque access token cannot say for a grant of so many scopes: ask for less";
        Err(Error::invalid_target("resource", problem))
    }

    /// Mints what was decided. `nonce` at the redemption of a code only (OIDC Core section 12.2).
    pub(super) fn give(&self, given: Given, client: &Client, nonce: Option<&str>) -> Result<Tokens> {
        let Given { grant, out, form, now, head, next_nonce } = given;
        let audience = out.audience;
        let access = Access { audience: &audience, form, generation: out.generation, key: out.key };
        let access = self.access_token(&grant, &access, now)?;
        let id = if grant.has_openid() { Some(self.id_token(&grant, client, &access, nonce, now)?) } else { None };
        let refresh =
            if grant.lineage.refreshable { Some(self.tokens.refresh_token(&grant, out.generation, out.key)?) } else { None };
        Ok(Tokens {
            access,
            expires_in: form.lifetime,
            refresh,
            refresh_expires_in: grant.expires_at().since(now),
            id,
            scopes: audience.scopes,
            authorization_details: audience.details,
            binding: grant.binding,
            grant: Some(grant.id),
            session: grant.session.clone(),
            revision: head,
            durability: None,
            next_dpop_nonce: next_nonce,
        })
    }

    /// The targets of a grant whose floors outlive the log: not the grant's own, which its record says.
    pub(super) fn floor_targets(&self, grant: &Grant) -> Vec<TargetId> {
        Belongs { session: grant.session.as_ref(), subject: grant.user(), client: Some(&grant.client), ..Belongs::default() }
            .targets(self.alive.salt())
    }

    /// What killed a grant, as the view knows; `targets` are its `floor_targets`.
    pub(super) fn killing(&self, grant: &Grant, targets: &[TargetId]) -> Option<Raised> {
        self.alive.with_floors(|floors| {
            floors.killing(targets, grant.born).or_else(|| floors.killing(&[TargetId(grant.id.0)], grant.born))
        })
    }

    /// Every target of a grant.
    pub(super) fn targets(&self, grant: &Grant) -> Vec<TargetId> {
        let mut targets = self.floor_targets(grant);
        targets.push(TargetId(grant.id.0));
        targets
    }
}

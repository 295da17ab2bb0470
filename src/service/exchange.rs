//! Token exchange: a client that was sent an access token gets one for itself, to act for the same subject elsewhere (RFC 8693).
//!
//! What is given carries the targets of what was shown (`domain::access::Ancestor`), so that whatever ends the one ends the other,
//! by the same look into the same view. It has a grant of its own, in no subject's list, and no refresh token.

use crate::audit::{Action, Deed};
use crate::random;
use crate::service::Credentials;
use crate::service::Service;
use crate::service::examine::{Examined, Looked};
use crate::service::explain::TokenKind;
use crate::service::hand_out::{Access, visible_id};
use crate::service::introspect::Active;
use crate::service::issue::Tokens;
use jeton_domain::access::{Ancestor, Asker};
use jeton_domain::client::{Client, GrantType};
use jeton_domain::error::{Error, Result};
use jeton_domain::exchange::{self, Asked, Plan, Refusal, Role, Shown};
use jeton_domain::grant::{Grant, Lineage, SignIn};
use jeton_domain::id::GrantId;
use jeton_domain::name::{ClientId, ResourceId, SessionId, Subject};
use jeton_domain::resource::TokenFormat;
use jeton_domain::revision::Born;
use jeton_domain::scope::Scopes;
use jeton_domain::secret::{Secret, SecretText};
use jeton_domain::target::slot;
use jeton_domain::time::{Millis, Timestamp};
use serde_json::{Map, Value};

/// What is asked for.
#[derive(Debug)]
pub struct Exchange {
    /// Who asks.
    pub client: ClientId,
    /// How it proves who it is.
    pub credentials: Credentials,
    /// The access token of whom the new one speaks for.
    pub subject: SecretText,
    /// That of who acts for him; none: the client.
    pub actor: Option<SecretText>,
    /// Narrower scopes; empty: those of the subject token.
    pub scopes: Scopes,
    /// The resources; empty: the owners of the scopes, or those of the subject token.
    pub resources: Vec<ResourceId>,
    /// Narrower authorization details (RFC 9396); empty: those of the subject token.
    pub authorization_details: Vec<Value>,
}

/// A token that was shown, proved, alive, and the client's business.
struct Held {
    says: Active,
    client: ClientId,
    scopes: Scopes,
    sign_in: SignIn,
    life: Ancestor,
}

impl Held {
    /// `record`: the grant whose record says of its end.
    fn new(says: Active, record: Option<GrantId>) -> Result<Self> {
        let client = ClientId::parse("client_id", &says.client_id)?;
        let scopes = Scopes::parse("scope", &says.scope)?;
        let method = if says.grant.is_some() { GrantType::TokenExchange } else { GrantType::ClientCredentials };
        let sign_in =
            SignIn { auth_time: says.auth_time.map(Timestamp::from_secs), acr: says.acr.clone(), amr: says.amr.clone(), method };
        let life = Ancestor { born: says.born, grant: record, targets: says.targets.clone() };
        Ok(Self { says, client, scopes, sign_in, life })
    }

    fn shown(&self) -> Shown<'_> {
        Shown {
            sub: &self.says.sub,
            client: &self.client,
            scopes: &self.scopes,
            audience: &self.says.aud,
            details: &self.says.authorization_details,
            exp: Timestamp::from_secs(self.says.exp),
            sign_in: &self.sign_in,
            binding: self.says.binding,
            act: self.says.act.as_ref(),
            claims: &self.says.claims,
            life: &self.life,
            ancestors: &self.says.ancestors,
        }
    }
}

impl Service {
    /// Exchanges an access token.
    ///
    /// # Errors
    /// `InvalidClient`, `UnauthorizedClient`, `ExchangeRefused`, `InvalidAuthorizationDetails`, `InvalidDpopProof`, `UseDpopNonce`, `InvalidScope`, `InvalidTarget`,
    /// `ReauthenticationRequired`, the store.
    pub async fn exchange(&self, asked: Exchange) -> Result<Tokens> {
        let client = self.authenticate(&asked.client, &asked.credentials).await?;
        if !client.may(GrantType::TokenExchange) || !client.is_confidential() {
            return Err(Error::UnauthorizedClient(format!("client `{}` may not use `token_exchange`", client.id)));
        }
        let holder = self.holder(&asked.credentials)?;
        let shown: Vec<&str> = std::iter::once(&asked.subject).chain(&asked.actor).map(SecretText::expose).collect();
        let (caught, looked) = tokio::try_join!(self.alive.born(), self.look_up_all(&shown))?;
        self.still_registered(&client).await?;
        self.know_burnt_keys().await?;
        let mut held = Vec::with_capacity(looked.len());
        for (looked, role) in looked.into_iter().zip([Role::Subject, Role::Actor]) {
            held.push(self.held(looked, role, &client).await?);
        }
        let mut held = held.into_iter();
        let (Some(subject), actor) = (held.next(), held.next()) else {
            return Err(Error::Internal("each token that is shown has one answer".into()));
        };
        let now = self.clock.now();
        let question = Asked {
            subject: subject.shown(),
            actor: actor.as_ref().map(Held::shown),
            scopes: &asked.scopes,
            resources: &asked.resources,
            details: &asked.authorization_details,
            proof: &holder.proof,
        };
        let plan = exchange::plan(now, &question, &client, self.registry().resources())?;
        let grant = self.exchanged(now, subject, &client, &plan, caught.head.born())?;
        self.count_proof(&holder).await?;
        let is_opaque = plan.form.format == TokenFormat::Opaque;
        let deed = self.deed(Action::Exchange);
        let mut deed = deed.map(|deed| {
            let deed = deed.client(&client.id).subject(&grant.subject).grant(visible_id(&grant));
            deed.presented(&asked.subject)
        });
        let written = async { if is_opaque { self.write(&grant, &[]).await.map(Some) } else { Ok(None) } };
        let durability = Deed::while_doing(&mut deed, written).await?;
        let access = Access { audience: &plan.audience, form: plan.form, generation: 0, key: grant.lineage.key };
        let tokens = Tokens {
            access: self.access_token(&grant, &access, now)?,
            expires_in: plan.form.lifetime,
            refresh: None,
            refresh_expires_in: Millis::ZERO,
            id: None,
            scopes: plan.audience.scopes,
            authorization_details: plan.audience.details,
            binding: grant.binding,
            grant: visible_id(&grant),
            session: grant.session,
            revision: caught.head,
            durability,
            next_dpop_nonce: holder.next_nonce(),
        };
        if let Some(deed) = deed {
            tokens.told(deed).tell();
        }
        Ok(tokens)
    }

    /// A token that was shown, where it is an active access token and the client's business: its own, or for a resource that it serves.
    async fn held(&self, looked: Looked, role: Role, client: &Client) -> Result<Held> {
        let asker = Asker::Client { target: self.alive.salt().client(&client.id), serves: &client.serves };
        let Examined { kind, generation, grant, verdict, .. } = self.judge(looked, asker).await?;
        let (TokenKind::JwtAccess | TokenKind::OpaqueAccess, Ok(says)) = (kind, verdict) else {
            return Err(Refusal::Inactive(role).into());
        };
        if let Some(sign) = self.sign(generation, &says) {
            self.arrived(&sign);
        }
        let record = grant.map(|grant| grant.id).or(says.grant);
        Held::new(says, record)
    }

    /// The grant of the one token that is given.
    fn exchanged(&self, now: Timestamp, subject: Held, client: &Client, plan: &Plan, born: Born) -> Result<Grant> {
        let Held { says, sign_in, .. } = subject;
        let [mut id, nonce] = random::several::<16, 2>()?;
        let user = Subject::parse("sub", &says.sub)?;
        id.iter_mut().zip(slot(&user, self.alive.salt())).for_each(|(to, from)| *to = from);
        Ok(Grant {
            id: GrantId(id),
            subject: user,
            client: client.id.clone(),
            session: says.sid.map(|sid| SessionId::parse("sid", &sid)).transpose()?,
            scopes: plan.audience.scopes.clone(),
            resources: plan.audience.resources.clone(),
            sign_in,
            binding: plan.binding,
            born,
            created_at: now,
            idle: plan.form.lifetime,
            absolute_end: now.plus(plan.form.lifetime),
            nonce: Secret::new(nonce),
            lineage: Lineage::new(now, self.records.roots().active(), false),
            ended: None,
            authorization_details: plan.audience.details.clone(),
            access_claims: says.claims,
            id_claims: Map::new(),
            tokens_revoked: 0,
            act: plan.act.clone(),
            ancestors: plan.ancestors.clone(),
        })
    }
}

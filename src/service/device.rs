//! The device flow (RFC 8628): a device asks, its user decides on another screen, the device polls and is handed tokens.
//!
//! What is granted is decided when the user approves, as by Issue, and born then: whatever is revoked between that and the poll is dead.
//! The grant gets its record and its place in the subject's list when the device redeems its code, for until then nobody holds anything.

use crate::audit::{Action, Deed};
use crate::random;
use crate::records::devices::LoadedDevice;
use crate::records::floors;
use crate::records::grants::{Known, keep_until};
use crate::service::issue::{Issue, Prepared, Tokens};
use crate::service::refresh::Given;
use crate::service::{Credentials, Durability, Service};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::audience::{Audience, narrow, policies_met};
use jeton_domain::client::{Client, GrantType};
use jeton_domain::device::{Authorization, Polled, State, UserCode};
use jeton_domain::error::{DeviceRefusal, Error, RefreshRefusal, Result};
use jeton_domain::grant::{Grant, Proof};
use jeton_domain::id::{DeviceId, GrantId, TargetId};
use jeton_domain::issue::{self, AccessForm};
use jeton_domain::name::{ClientId, ResourceId, SessionId};
use jeton_domain::refresh::{HandOut, Verdict};
use jeton_domain::resource::{Resources, TokenFormat};
use jeton_domain::revision::Revision;
use jeton_domain::scope::Scopes;
use jeton_domain::secret::SecretText;
use jeton_domain::time::{Millis, Timestamp};
use jeton_domain::token::{DEVICE_PREFIX, Presented, parse};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::sync::{Arc, PoisonError};

/// What holds for every device.
#[derive(Clone, Debug)]
pub struct DeviceTerms {
    /// The page where a user types his code (RFC 8628 section 3.2). None: no device is served.
    pub verification_uri: Option<String>,
    /// For how long a device code may be redeemed.
    pub lifetime: Millis,
    /// How long a device waits between two polls, at first.
    pub interval: Millis,
}

/// A device asks.
#[derive(Debug)]
pub struct Start {
    /// Its client.
    pub client: ClientId,
    /// How it proves who it is.
    pub credentials: Credentials,
    /// The scopes it wants.
    pub scopes: Scopes,
    /// The resources it wants; empty: the owners of the scopes.
    pub resources: Vec<ResourceId>,
    /// The authorization details it wants.
    pub authorization_details: Vec<Value>,
}

/// What a device is told (RFC 8628 section 3.2).
#[derive(Debug)]
pub struct Started {
    /// What it polls with.
    pub device_code: SecretText,
    /// What its user types.
    pub user_code: UserCode,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it, for a QR code.
    pub verification_uri_complete: String,
    /// For how long.
    pub expires_in: Millis,
    /// How long it waits between two polls.
    pub interval: Millis,
}

/// What the user is asked about.
#[derive(Debug)]
pub struct Described {
    /// The client that asks.
    pub client: ClientId,
    /// The scopes it wants.
    pub scopes: Scopes,
    /// The resources it wants; empty: the owners of the scopes.
    pub resources: Vec<ResourceId>,
    /// The authorization details it wants.
    pub authorization_details: Vec<Value>,
    /// For how long the user may decide.
    pub expires_in: Millis,
}

/// The user allows it.
#[derive(Debug)]
pub struct Approve {
    /// The code that he typed.
    pub user_code: UserCode,
    /// What is issued when the device polls. No scopes: those that it asked for; no resources, no authorization details: the same.
    pub issue: Issue,
}

/// What was allowed.
#[derive(Debug)]
pub struct Approved {
    /// The grant that begins when the device polls.
    pub grant: GrantId,
    /// Its session.
    pub session: Option<SessionId>,
    /// What the answer knows.
    pub revision: Revision,
    /// How far the record got.
    pub durability: Durability,
}

/// A device polls (RFC 8628 section 3.4).
#[derive(Debug)]
pub struct Poll {
    /// Its device code.
    pub code: SecretText,
    /// Its client.
    pub client: ClientId,
    /// How it proves who it is.
    pub credentials: Credentials,
    /// Narrower authorization details for the access token; empty: the grant's.
    pub authorization_details: Vec<Value>,
}

/// What a poll came to, before it is written.
struct Answer {
    outcome: Result<(Box<Grant>, AccessForm, Audience)>,
    targets: Vec<TargetId>,
}

impl Service {
    /// Whether devices are served.
    #[must_use]
    pub fn serves_devices(&self) -> bool {
        self.terms().device.verification_uri.is_some()
    }

    /// Begins a device authorization.
    ///
    /// # Errors
    /// `InvalidClient`, `UnauthorizedClient`, `InvalidScope`, `InvalidTarget`, `InvalidAuthorizationDetails`, the store.
    pub async fn start_device(&self, asked: Start) -> Result<Started> {
        let terms = self.terms();
        let DeviceTerms { verification_uri: Some(page), lifetime, interval } = &terms.device else {
            return Err(Error::UnauthorizedClient("no device is served here: `login.verification_uri` is not configured".into()));
        };
        let client = self.device_client(&asked.client, &asked.credentials).await?;
        let Start { scopes, resources, authorization_details: details, .. } = asked;
        issue::may_ask(&scopes, &resources, &details, &client, self.registry().resources())?;
        let device_code = SecretText::new(format!("{DEVICE_PREFIX}{}", URL_SAFE_NO_PAD.encode(random::bytes::<32>()?)));
        let authorization = Authorization {
            client: client.id.clone(),
            scopes,
            resources,
            details,
            expires_at: self.clock.now().plus(*lifetime),
            interval: *interval,
            polled_at: Timestamp::NEVER,
            state: State::Pending,
        };
        let mut deed = self.deed(Action::StartDevice).map(|deed| deed.client(&client.id).handed_out([&device_code]));
        let work = self.records.create_device(named(&device_code), &authorization);
        let user_code = Deed::while_doing(&mut deed, work).await?;
        deed.into_iter().for_each(Deed::tell);
        let joint = if page.contains('?') { '&' } else { '?' };
        Ok(Started {
            device_code,
            user_code,
            verification_uri: page.clone(),
            verification_uri_complete: format!("{page}{joint}user_code={}", user_code.shown()),
            expires_in: *lifetime,
            interval: *interval,
        })
    }

    /// What the page shows to the user before he decides.
    ///
    /// # Errors
    /// `UserCodeUnknown`, `TooManyGuesses`, the store.
    pub async fn describe_device(&self, code: &UserCode) -> Result<Described> {
        let (_, known) = self.typed(code).await?;
        let now = self.clock.now();
        if !known.is_waiting(now) {
            return Err(Error::UserCodeUnknown);
        }
        let Authorization { client, scopes, resources, details: authorization_details, expires_at, .. } = known;
        Ok(Described { client, scopes, resources, authorization_details, expires_in: expires_at.since(now) })
    }

    /// The user allows a device what he may have narrowed. Safe to repeat.
    ///
    /// # Errors
    /// As Issue; `UserCodeUnknown`, `TooManyGuesses`.
    pub async fn approve_device(&self, asked: Approve) -> Result<Approved> {
        asked.issue.credentials.without_proof()?;
        let (loaded, known) = self.typed(&asked.user_code).await?;
        let Prepared { now, grant, head, .. } =
            self.prepare(&issue_of(asked.issue, &known, self.registry().resources())?).await?;
        let subject = grant.subject.clone();
        let decide = |held: Option<Authorization>| {
            let held = held.ok_or(Error::UserCodeUnknown)?;
            let changed = held.approve(now, grant.clone())?;
            let of_record = changed.as_ref().unwrap_or(&held).grant().map(|grant| (grant.id, grant.session.clone()));
            Ok((changed, of_record.ok_or_else(|| Error::Internal("what was approved has no grant".into()))?))
        };
        let mut deed = self.deed(Action::ApproveDevice).map(|deed| deed.client(&known.client).subject(&subject));
        let work = self.records.decide_device(loaded, Durability::Replicated, decide, |_| Vec::new());
        let ((grant, session), _) = Deed::while_doing(&mut deed, work).await?;
        if let Some(deed) = deed {
            deed.grant(Some(grant)).session(session.as_ref()).tell();
        }
        Ok(Approved { grant, session, revision: head, durability: self.records.store().durability() })
    }

    /// The user refuses a device. Safe to repeat.
    ///
    /// # Errors
    /// `UserCodeUnknown`, `TooManyGuesses`, the store.
    pub async fn deny_device(&self, code: &UserCode) -> Result<()> {
        let (loaded, known) = self.typed(code).await?;
        let decide = |held: Option<Authorization>| {
            let held = held.ok_or(Error::UserCodeUnknown)?;
            Ok((held.deny(self.clock.now())?, ()))
        };
        let mut deed = self.deed(Action::DenyDevice).map(|deed| deed.client(&known.client));
        let work = self.records.decide_device(loaded, Durability::Replicated, decide, |()| Vec::new());
        Deed::while_doing(&mut deed, work).await?;
        deed.into_iter().for_each(Deed::tell);
        Ok(())
    }

    /// Answers a poll: tokens, once.
    ///
    /// # Errors
    /// `DeviceRefused`; `RefreshRefused` (one answer outward) for a code that is unknown, another client's or spent; `InvalidClient`,
    /// `UnauthorizedClient`, `ReauthenticationRequired`, `InvalidTarget`, `InvalidAuthorizationDetails`, the store.
    pub async fn redeem_device_code(&self, asked: Poll) -> Result<Tokens> {
        if parse(asked.code.expose()) != Presented::Device {
            return Err(Error::RefreshRefused(RefreshRefusal::Malformed));
        }
        let client = self.device_client(&asked.client, &asked.credentials).await?;
        let holder = self.holder(&asked.credentials)?;
        let (caught, loaded) = tokio::try_join!(self.alive.caught_up(), self.records.device(named(&asked.code)))?;
        self.know_burnt_keys().await?;
        let now = self.clock.now();
        let is_decided = loaded.known()?.is_some_and(|known| known.grant().is_some());
        if is_decided {
            self.count_proof(&holder).await?;
        }
        // A redemption that a failover loses would let the code be redeemed again; a pause that it loses is no harm.
        let needs = if is_decided { Durability::Replicated } else { Durability::Applied };
        let decide = |held: Option<Authorization>| {
            let held = held.ok_or(Error::RefreshRefused(RefreshRefusal::Unknown))?;
            let Polled { changed, outcome } = held.poll(now, &client.id, self.terms().overlap);
            let answer = match outcome {
                // Refused here nothing is consumed.
                Ok(grant) => {
                    let targets = self.floor_targets(&grant);
                    let redeemable = self.redeemable(grant, &targets, holder.proof, &client, &asked.authorization_details)?;
                    Answer { outcome: Ok(redeemable), targets }
                }
                Err(refusal) => Answer { targets: Vec::new(), outcome: Err(refusal) },
            };
            Ok((changed, answer))
        };
        let also = |answer: &Answer| floors::names(&answer.targets);
        let work = async {
            let (Answer { outcome, targets }, read) = self.records.decide_device(loaded, needs, decide, also).await?;
            let (mut grant, form, audience) = outcome?;
            // The device code is proved by no root key, and outlives the one of the time when it was allowed.
            if self.records.roots().is_burnt(grant.lineage.key) {
                grant.lineage.key = self.records.roots().active();
            }
            if self.records.killing_floor(&targets, read, grant.born)?.is_some() {
                return Err(Error::DeviceRefused(DeviceRefusal::Denied));
            }
            if grant.lineage.refreshable || form.format == TokenFormat::Opaque {
                self.keep_redeemed(&grant, &client, &targets).await?;
            }
            Ok((grant, form, audience))
        };
        let mut deed = self.deed(Action::RedeemDevice).map(|deed| deed.client(&client.id).presented(&asked.code));
        let (mut grant, form, audience) = Deed::while_doing(&mut deed, work).await?;
        // The record keeps its own: this is what these tokens say.
        grant.binding = holder.proof.binds(grant.binding, &client)?;
        let (generation, key) = (grant.lineage.newest, grant.lineage.key);
        let out = HandOut { verdict: Verdict::Next, generation, key, audience, event: None };
        let next_nonce = holder.next_nonce();
        let tokens = self.give(Given { grant, out, form, now, head: caught.head, next_nonce }, &client, None)?;
        if let Some(deed) = deed {
            tokens.told(deed.grant(tokens.grant)).tell();
        }
        Ok(tokens)
    }
}

impl Service {
    async fn device_client(&self, id: &ClientId, credentials: &Credentials) -> Result<Arc<Client>> {
        let client = self.authenticate(id, credentials).await?;
        if client.may(GrantType::DeviceCode) {
            return Ok(client);
        }
        Err(Error::UnauthorizedClient(format!("client `{}` may not use `device_code`", client.id)))
    }

    /// The authorization that a user code stands for. A code that stands for none was a guess.
    async fn typed(&self, code: &UserCode) -> Result<(LoadedDevice, Authorization)> {
        let guesses = || self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        guesses().take(self.clock.run())?;
        let found = self.records.device_of_user_code(code).await;
        if !matches!(found, Ok(None)) {
            guesses().give_back();
        }
        let loaded = found?.ok_or(Error::UserCodeUnknown)?;
        let known = loaded.known()?.ok_or(Error::UserCodeUnknown)?;
        Ok((loaded, known))
    }

    /// What was allowed is alive, its holder is who he must be, and it can be handed out as things are configured now.
    fn redeemable(
        &self,
        mut grant: Box<Grant>,
        targets: &[TargetId],
        proof: Proof,
        client: &Client,
        details: &[Value],
    ) -> Result<(Box<Grant>, AccessForm, Audience)> {
        if grant.binding.is_some_and(|binding| !proof.proves(binding)) {
            return Err(Error::RefreshRefused(RefreshRefusal::WrongProof));
        }
        if self.killing(&grant, targets).is_some() {
            return Err(Error::DeviceRefused(DeviceRefusal::Denied));
        }
        let binding = proof.binds(grant.binding, client)?;
        grant.bind(binding, client);
        let registry = self.registry();
        let known = registry.resources();
        let audience = narrow(&grant, None, &[], details, known)?;
        // The user may have decided long ago, and what is demanded of him may be another by now.
        policies_met(self.clock.now(), &audience.resources, known, &grant.sign_in)?;
        let (form, _) = Self::form(&grant, &audience, &proof, client, known)?;
        Ok((grant, form, audience))
    }

    /// Gives the grant its place in the subject's list and its record, if a poll whose reply was lost has not.
    async fn keep_redeemed(&self, grant: &Grant, client: &Client, targets: &[TargetId]) -> Result<()> {
        let surplus = self.list(grant, client).await?;
        let until = keep_until(grant, self.alive.ceilings().access_token);
        let (is_new, read) = self.records.create_grant(grant, until, &floors::names(targets)).await?;
        if is_new {
            if self.records.killing_floor(targets, read, grant.born)?.is_some() {
                return Err(Error::DeviceRefused(DeviceRefusal::Denied));
            }
            return self.make_room(grant, &surplus, grant.created_at).await;
        }
        match self.records.grant(grant.id).await?.known()? {
            Some(known) if known.ended().is_some() => Err(Error::DeviceRefused(DeviceRefusal::Denied)),
            Some(Known::Grant(held))
                if held.nonce == grant.nonce && held.lineage.newest == grant.lineage.newest && held.binding == grant.binding =>
            {
                Ok(())
            }
            // Its refresh token came back: the reply had arrived.
            _ => Err(Error::RefreshRefused(RefreshRefusal::CodeUsed)),
        }
    }
}

/// The name of a device code in the store.
fn named(code: &SecretText) -> DeviceId {
    let hash: [u8; 32] = Sha256::digest(code.expose().as_bytes()).into();
    let mut id = [0; 16];
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    DeviceId(id)
}

/// What is issued for a device: what the user was asked for, and no more.
fn issue_of(asked: Issue, known: &Authorization, resources: &Resources) -> Result<Issue> {
    if asked.client != known.client {
        return Err(Error::invalid("grant.client_id", "is another client than the one that asks"));
    }
    if asked.method.is_some_and(|method| method != GrantType::DeviceCode) {
        return Err(Error::invalid("grant.authentication.method", "must be device code, or left out"));
    }
    if asked.nonce.is_some() {
        return Err(Error::invalid("grant.nonce", "must be empty: a device sends none (RFC 8628 section 3.1)"));
    }
    let Issue { scopes, resources: chosen, authorization_details: details, .. } = asked;
    let Audience { scopes, resources, details } = known.narrowed(Audience { scopes, resources: chosen, details }, resources)?;
    Ok(Issue { method: Some(GrantType::DeviceCode), scopes, resources, authorization_details: details, ..asked })
}

//! Logout: clients that learnt of a session are told when it ended (OpenID Connect Back-Channel Logout 1.0), off the path of any request.
//!
//! Settling lists what each client is to be told before the log may forget it. Whom to look at is for `parties`. Each client has turns of its
//! own, taken by one replica at a time, so that one that hangs delays no other; what is not told for certain is told again.

mod parties;

use crate::random;
use crate::records::sessions::{Joining, Logout};
use crate::service::Service;
use crate::signing::Typ;
use crate::telemetry::metrics;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt as _, future};
use jeton_domain::client::Client;
use jeton_domain::error::{Error, Result};
use jeton_domain::grant::Grant;
use jeton_domain::id::TargetId;
use jeton_domain::logout::{self, Answered, Events, GIVE_UP_AFTER, LIFETIME, LogoutClaims};
use jeton_domain::scope::OPENID;
use jeton_domain::time::{Millis, Timestamp};
use parties::{Look, PAGE, Parties, Party};
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// How often it is looked whether a client is to be told something.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How much of what waits is looked at, and counted, in one turn.
const SEEN: usize = 1_000;
/// How many logouts a client that answers is told at once.
const AT_ONCE: usize = 4;
/// How long a client may take to answer.
const ANSWERS: Duration = Duration::from_secs(5);
/// For so long one turn begins to tell.
const BEGINS: Duration = Duration::from_secs(8);
/// After this a replica that has the turn is taken for dead: longer than `BEGINS` and `ANSWERS` together.
const TURN: Millis = Millis::from_secs(20);
/// When one whose record cannot be read is tried again.
const UNREADABLE_WAITS: Millis = Millis::from_secs(600);

impl Service {
    /// A client that wants to be told learns of the session of a grant by an ID token. To be called before the floors are read that decide
    /// whether the grant is handed out: a revocation then finds it here, or is found.
    pub(super) async fn join_session(&self, client: &Client, grant: &Grant, now: Timestamp) -> Result<()> {
        let (Some(_), Some(session), true) = (&client.backchannel_logout_uri, &grant.session, grant.scopes.contains(OPENID))
        else {
            return Ok(());
        };
        let (salt, subject) = (self.alive.salt(), &grant.subject);
        let until = now.plus(client.absolute_lifetime);
        self.records.join_session(&Joining { session, subject, client: &client.id, born: grant.born, until }, salt).await?;
        // What was settled just before it came to be known did not find it.
        let targets = [salt.session(session), salt.subject(subject)];
        match self.records.read_killing_floor(&targets, grant.born).await? {
            Some(raised) => self.records.log_out(&raised, salt).await,
            None => Ok(()),
        }
    }

    /// Tells clients, for ever.
    pub async fn tell_logouts(&self) -> Infallible {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut looks, mut turns) = (FuturesUnordered::new(), FuturesUnordered::new());
        let (mut parties, mut at_it) = (Parties::default(), HashSet::<TargetId>::new());
        let mut waiting = HashMap::<TargetId, usize>::new();
        loop {
            tokio::select! {
                _ = ticks.tick(), if looks.is_empty() => {
                    parties.follow(self.registry(), self.alive.salt());
                    let after = parties.page.clone();
                    looks.push(async move { self.records.clients_to_tell(after.as_ref(), PAGE).await });
                },
                Some(page) = looks.next(), if !looks.is_empty() => {
                    if let Some(all) = page.as_ref().ok().and_then(|page| parties.all_of(page)) {
                        waiting.retain(|client, _| all.contains(client));
                    }
                    // That the store fails is told by those who need it first.
                    for look in parties.looks(page.unwrap_or_default()) {
                        if at_it.insert(look.party.target) {
                            turns.push(self.turn(look));
                        }
                    }
                },
                Some((client, count)) = turns.next(), if !turns.is_empty() => {
                    at_it.remove(&client);
                    if count > 0 { waiting.insert(client, count) } else { waiting.remove(&client) };
                    metrics::LOGOUTS_WAITING.set_count(waiting.values().sum());
                }
            }
        }
    }

    /// One turn of a client, and how much waited for it.
    async fn turn(&self, look: Look) -> (TargetId, usize) {
        let Look { party, is_listed } = look;
        let count = self.tell_what_is_due(&party, is_listed).await.unwrap_or_else(|problem| {
            tracing::debug!(client_id = %party.id, %problem, "a client was not told of logouts; it is tried again");
            0
        });
        (party.target, count)
    }

    async fn tell_what_is_due(&self, party: &Party, is_listed: bool) -> Result<usize> {
        let waiting = self.records.logouts(party.target, SEEN).await?;
        let now = self.clock.now();
        match (waiting.is_empty(), is_listed) {
            (true, true) => self.records.unlist_client(party.target).await?,
            (false, false) => self.records.list_client(party.target, now).await?,
            _ => {}
        }
        let due: Vec<TargetId> = waiting.iter().filter(|one| one.due <= now).map(|one| one.session).collect();
        if due.is_empty() {
            return Ok(waiting.len());
        }
        let Some(turn) = self.records.take_turn(party.target, TURN).await? else { return Ok(waiting.len()) };
        let (began, mut due, mut failures, mut done) = (Instant::now(), due.into_iter(), turn.failures, 0_usize);
        while began.elapsed() < BEGINS {
            // One that failed is not met with more than one until it answers.
            let some: Vec<TargetId> = due.by_ref().take(if failures > 0 { 1 } else { AT_ONCE }).collect();
            if some.is_empty() {
                break;
            }
            let answers = future::try_join_all(some.into_iter().map(|session| self.tell_if_readable(party, session))).await?;
            let answered = answers.iter().filter(|answer| **answer != Answered::Again).count();
            done = done.saturating_add(answered);
            failures = if answered > 0 { 0 } else { failures.saturating_add(1) };
            if failures > 0 {
                break;
            }
        }
        self.records.end_turn(party.target, &turn, failures, logout::pause_after(failures)).await?;
        Ok(waiting.len().saturating_sub(done))
    }

    /// Tells a client of one session; one whose record cannot be read keeps none behind it waiting.
    async fn tell_if_readable(&self, party: &Party, session: TargetId) -> Result<Answered> {
        match self.tell(party, session).await {
            Err(problem @ (Error::RecordUnreadable(_) | Error::RootKeyMissing(_))) => {
                tracing::error!(client_id = %party.id, %problem, "the record of a logout cannot be read; it is tried again");
                let due = self.clock.now().plus(UNREADABLE_WAITS);
                self.records.put_off_logout(session, party.target, due).await?;
                Ok(Answered::Again)
            }
            answered => answered,
        }
    }

    /// Tells a client of one session.
    async fn tell(&self, party: &Party, session: TargetId) -> Result<Answered> {
        let Some(logout) = self.records.logout(session, &party.id).await? else {
            // It was told before, and listed again meanwhile.
            self.forget(party, session).await?;
            return Ok(Answered::Told);
        };
        let age = self.clock.now().since(logout.ended);
        if age > GIVE_UP_AFTER {
            tracing::warn!(client_id = %party.id, "a client could not be told of a logout in a day: given up");
            metrics::LOGOUTS.add("given_up");
            return self.tell_no_more(party, session, &logout, Answered::Refused).await;
        }
        let token = self.logout_token(party, &logout)?;
        let form = [("logout_token", token.expose())];
        let problem = match timeout(ANSWERS, self.outbound.post_form(&party.uri, &form)).await {
            Ok(Ok(answer)) => match logout::answered(answer.status) {
                Answered::Told => {
                    metrics::LOGOUTS.add("told");
                    return self.tell_no_more(party, session, &logout, Answered::Told).await;
                }
                Answered::Refused => {
                    tracing::warn!(client_id = %party.id, "a client refused a logout token: it is not told again");
                    metrics::LOGOUTS.add("refused");
                    return self.tell_no_more(party, session, &logout, Answered::Refused).await;
                }
                Answered::Again => format!("it answered {}", answer.status),
            },
            Ok(Err(failure)) => failure.to_string(),
            Err(_elapsed) => "it does not answer in time".to_owned(),
        };
        tracing::info!(client_id = %party.id, problem, "a client was not told of a logout; it is tried again");
        metrics::LOGOUTS.add("failed");
        self.records.put_off_logout(session, party.target, self.clock.now().plus(logout::pause_at(age))).await?;
        Ok(Answered::Again)
    }

    async fn tell_no_more(&self, party: &Party, session: TargetId, logout: &Logout, answer: Answered) -> Result<Answered> {
        self.records.logout_is_told(session, &party.id, logout).await?;
        self.forget(party, session).await?;
        Ok(answer)
    }

    /// Takes it from the list; and puts it back where the session ended anew meanwhile, which is in its record before it is in the list.
    async fn forget(&self, party: &Party, session: TargetId) -> Result<()> {
        self.records.forget_logout(session, party.target).await?;
        if self.records.logout(session, &party.id).await?.is_some() {
            self.records.put_off_logout(session, party.target, self.clock.now()).await?;
        }
        Ok(())
    }

    fn logout_token(&self, party: &Party, logout: &Logout) -> Result<jeton_domain::secret::SecretText> {
        let now = self.clock.now();
        let jti = URL_SAFE_NO_PAD.encode(random::bytes::<16>()?);
        let claims = LogoutClaims {
            iss: self.issuer.as_str(),
            sub: &logout.subject,
            aud: party.id.as_str(),
            iat: now.secs(),
            exp: now.plus(LIFETIME).secs(),
            jti: &jti,
            sid: &logout.session,
            events: Events::default(),
        };
        self.tokens.sign(Typ::Logout, party.algorithm, &claims, now)
    }
}

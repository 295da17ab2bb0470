//! Introspect: is this token active, and what does it say (RFC 7662)?
//!
//! A token that was proved lately is answered from memory, without waiting: what it says was written down then. Whether it lives is asked
//! each time: the floors of a view that is provably fresh, the clock, the keys, and who asks.

use crate::service::examine::{Examined, Looked};
use crate::service::explain::TokenKind;
use crate::service::{Credentials, Freshness, Service};
use crate::signing::Typ;
use crate::telemetry::metrics;
use crate::tokens::{Digest, Proved};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jeton_domain::access::{self, Ancestor, Dead, Standing};
use jeton_domain::details;
use jeton_domain::error::{ClientRefusal, Error, Result};
use jeton_domain::grant::Binding;
use jeton_domain::id::{GrantId, TargetId};
use jeton_domain::name::ClientId;
use jeton_domain::revision::{Born, Revision};
use jeton_domain::secret::SecretText;
use jeton_domain::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;

pub use crate::tokens::Written;
pub use jeton_domain::access::Asker;

/// Of how many tokens of one batch the store is asked at once, where the view is not whole.
const AT_ONCE: usize = 64;

/// What is shown.
#[derive(Debug)]
pub struct Introspect<'a> {
    /// The token.
    pub token: SecretText,
    /// Who asks.
    pub asker: Asker<'a>,
    /// How fresh the answer must be.
    pub freshness: Freshness,
}

/// How whoever asks writes down what a token says: once for many answers.
pub type Write = fn(Active) -> Written;

/// The answer.
#[derive(Debug)]
pub struct Introspection {
    /// What it says; none where it is not active.
    pub active: Option<Answer>,
    /// What the answer knows.
    pub revision: Revision,
}

/// What is said of an active token.
#[derive(Debug)]
pub struct Answer {
    /// What it says.
    pub written: Written,
    /// For how many seconds this answer may be reused.
    pub cache_seconds: u64,
}

/// What an active token says.
#[derive(Clone, Debug, PartialEq)]
pub struct Active {
    /// Whether it is an access token (else a refresh token).
    pub is_access_token: bool,
    /// Scopes, separated by spaces.
    pub scope: String,
    /// The client.
    pub client_id: String,
    /// Seconds since the epoch.
    pub exp: u64,
    /// Seconds since the epoch.
    pub iat: u64,
    /// Seconds since the epoch, where the token says so.
    pub nbf: Option<u64>,
    /// The subject.
    pub sub: String,
    /// The resources.
    pub aud: Vec<String>,
    /// The issuer.
    pub iss: String,
    /// The token's id; empty for a refresh token.
    pub jti: String,
    /// The session.
    pub sid: Option<String>,
    /// The authentication context class.
    pub acr: Option<String>,
    /// The authentication methods.
    pub amr: Vec<String>,
    /// Seconds since the epoch.
    pub auth_time: Option<u64>,
    /// The sender constraint.
    pub binding: Option<Binding>,
    /// Authorization details.
    pub authorization_details: Vec<Value>,
    /// The acting party.
    pub act: Option<Map<String, Value>>,
    /// The grant.
    pub grant: Option<GrantId>,
    /// Further claims.
    pub claims: Map<String, Value>,
    /// The targets that would end it.
    pub targets: Vec<TargetId>,
    /// Its place in the order of revocations.
    pub born: Born,
    /// The tokens that it was exchanged for.
    pub ancestors: Vec<Ancestor>,
}

impl Active {
    /// What the life of an access token depends on.
    pub(super) fn standing(&self) -> Standing<'_> {
        let exp = Timestamp::from_secs(self.exp);
        let nbf = self.nbf.map(Timestamp::from_secs);
        Standing { born: self.born, exp, nbf, audience: &self.aud, targets: &self.targets, ancestors: &self.ancestors }
    }
}

/// A token that was shown: known already, or looked up.
enum Shown {
    Recalled(Arc<Proved>),
    Looked(Looked),
}

/// Who asks, what the answer knows, and what becomes of a token that is proved for it.
#[derive(Clone, Copy)]
struct Asking<'a> {
    asker: Asker<'a>,
    revision: Revision,
    /// The number of the keys before it was proved.
    keys: u64,
    write: Write,
    /// Whether the view needed no catching up.
    is_fresh: bool,
}

impl Asking<'_> {
    /// What was asked for the answer, in a word: the view of the revocations alone, or the store.
    const fn source(&self, needs_record: bool) -> &'static str {
        if self.is_fresh && !needs_record { "view" } else { "store" }
    }
}

impl Service {
    /// Introspects one token. Does not wait where it is known and the view is fresh.
    ///
    /// # Errors
    /// `RevisionLost`, `Healing`, the store. A token that is not active is no error.
    pub async fn introspect(&self, asked: Introspect<'_>, write: Write) -> Result<Introspection> {
        let Introspect { token, asker, freshness } = asked;
        let token = (token.expose(), Digest::of(token.expose()));
        if let Some(answer) = self.introspect_at_once(&token.1, asker, freshness) {
            return Ok(answer);
        }
        // Boxed, so that what need not wait has little to carry.
        let answers = Box::pin(self.introspect_each(&[token], asker, freshness, write)).await?;
        answers.into_iter().next().ok_or_else(|| Error::Internal("one token has one answer".into()))
    }

    /// Introspects one token for a client that proves who it is: its own tokens, and those for the resources that it serves.
    ///
    /// # Errors
    /// `InvalidClient`, also for a public client, which cannot prove who it is; as `introspect`.
    pub async fn introspect_as(
        &self,
        client: &ClientId,
        credentials: &Credentials,
        token: SecretText,
        write: Write,
    ) -> Result<Introspection> {
        let client = self.authenticate(client, credentials).await?;
        if !client.is_confidential() {
            return Err(Error::InvalidClient(ClientRefusal::Method));
        }
        let asker = Asker::Client { target: self.alive.salt().client(&client.id), serves: &client.serves };
        self.introspect(Introspect { token, asker, freshness: Freshness::Default }, write).await
    }

    /// An answer as a JWT for the client that asked, signed with the algorithm of its ID tokens (RFC 9701 section 5). It says neither
    /// `sub` nor `exp` itself, so that nobody can take it for a token.
    ///
    /// # Errors
    /// `InvalidClient` where there is no such client; `Internal`.
    pub fn introspection_jwt(&self, asker: &ClientId, answer: &Map<String, Value>) -> Result<SecretText> {
        #[derive(Serialize)]
        struct Claims<'a> {
            iss: &'a str,
            aud: &'a str,
            iat: u64,
            token_introspection: &'a Map<String, Value>,
        }
        let now = self.clock.now();
        let registry = self.registry();
        let client = registry.client(asker).ok_or(Error::InvalidClient(ClientRefusal::Unknown))?;
        let claims = Claims { iss: self.issuer(), aud: asker.as_str(), iat: now.secs(), token_introspection: answer };
        self.tokens.sign(Typ::TokenIntrospection, client.id_token_algorithm, &claims, now)
    }

    /// Which of a token's scopes a client sees: all of its own token, else those of the resources that it serves.
    #[must_use]
    pub fn scopes_seen(&self, asker: &ClientId, owner: &str, scope: &str) -> String {
        if asker.as_str() == owner {
            return scope.to_owned();
        }
        let registry = self.registry();
        let serves = registry.serves(asker);
        let is_served = |scope: &&str| registry.resources().owner(scope).is_some_and(|owner| serves.contains(&owner.id));
        scope.split(' ').filter(is_served).collect::<Vec<_>>().join(" ")
    }

    /// Which of a token's authorization details a client sees, by the same rule (RFC 9396 section 9.2).
    #[must_use]
    pub fn details_seen(&self, asker: &ClientId, owner: &str, details: Vec<Value>) -> Vec<Value> {
        if asker.as_str() == owner {
            return details;
        }
        let registry = self.registry();
        details::of_resources(&details, registry.serves(asker), registry.resources())
    }

    /// Introspects many tokens, one answer each in order.
    ///
    /// # Errors
    /// As `introspect`; never because of one token.
    pub async fn batch_introspect(
        &self,
        tokens: Vec<SecretText>,
        asker: Asker<'_>,
        freshness: Freshness,
        write: Write,
    ) -> Result<Vec<Introspection>> {
        let tokens: Vec<_> = tokens.iter().map(|token| (token.expose(), Digest::of(token.expose()))).collect();
        self.introspect_each(&tokens, asker, freshness, write).await
    }

    /// From memory; none where that is not enough to tell.
    fn introspect_at_once(&self, token: &Digest, asker: Asker<'_>, freshness: Freshness) -> Option<Introspection> {
        let proved = self.tokens.recall(token)?;
        let (now, run) = self.clock.now_and_run();
        let (killing, revision) = self.alive.at_once(freshness, run, |floors| proved.killing(floors))?;
        let judged = access::judge(&proved.standing(), now, asker, None, killing);
        Some(self.recalled(token, &proved, judged, now, (revision, "cache")))
    }

    async fn introspect_each(
        &self,
        tokens: &[(&str, Digest)],
        asker: Asker<'_>,
        freshness: Freshness,
        write: Write,
    ) -> Result<Vec<Introspection>> {
        let keys = self.tokens.keys();
        let recalled: Vec<_> = tokens.iter().map(|(_, digest)| self.tokens.recall(digest)).collect();
        let unknown = tokens.iter().zip(&recalled).filter(|(_, recalled)| recalled.is_none());
        let unknown: Vec<&str> = unknown.map(|((token, _), _)| *token).collect();
        let ((revision, is_fresh), looked) = tokio::try_join!(self.alive.fresh(freshness), self.look_up_all(&unknown))?;
        let mut looked = looked.into_iter();
        let asking = Asking { asker, revision, keys, write, is_fresh };
        let mut answers = Vec::with_capacity(tokens.len());
        for ((_, token), recalled) in tokens.iter().zip(recalled) {
            let shown = recalled.map(Shown::Recalled).or_else(|| looked.next().map(Shown::Looked));
            let shown = shown.ok_or_else(|| Error::Internal("each token is known or looked up".into()))?;
            answers.push(self.shown(token, shown, asking));
        }
        stream::iter(answers).buffered(AT_ONCE).try_collect().await
    }

    async fn shown(&self, token: &Digest, shown: Shown, asking: Asking<'_>) -> Result<Introspection> {
        match shown {
            Shown::Recalled(proved) => {
                let judged = self.judge_access(&proved.standing(), proved.grant(), None, asking.asker).await?;
                Ok(self.recalled(token, &proved, judged, self.clock.now(), (asking.revision, asking.source(false))))
            }
            Shown::Looked(looked) => Ok(self.looked_up(token, self.judge(looked, asking.asker).await?, asking)),
        }
    }

    /// The answer for a token that was known.
    fn recalled(
        &self,
        token: &Digest,
        proved: &Proved,
        judged: Result<(), Dead>,
        now: Timestamp,
        (revision, source): (Revision, &'static str),
    ) -> Introspection {
        if let Err(Dead::Expired | Dead::Ended(_)) = judged {
            self.tokens.forget(token);
        }
        if let (Ok(()), Some(sign)) = (&judged, proved.sign()) {
            self.arrived(sign);
        }
        let answer =
            || Answer { written: proved.written().clone(), cache_seconds: self.cache_seconds(proved.standing().exp, now) };
        counted(judged.ok().map(|()| answer()), revision, source)
    }

    /// The answer for a token that was looked up. An access token that is active is kept.
    fn looked_up(&self, token: &Digest, examined: Examined, asking: Asking<'_>) -> Introspection {
        let Asking { asker, revision, keys, write, .. } = asking;
        let source = asking.source(matches!(examined.kind, TokenKind::OpaqueAccess | TokenKind::Refresh | TokenKind::Code));
        let answer = match (examined.kind, examined.verdict) {
            (TokenKind::JwtAccess | TokenKind::OpaqueAccess, Ok(says)) => {
                let sign = self.sign(examined.generation, &says);
                sign.iter().for_each(|sign| self.arrived(sign));
                let cache_seconds = self.cache_seconds(says.standing().exp, self.clock.now());
                let record = examined.grant.map(|grant| grant.id).or(says.grant);
                let proved = Arc::new(Proved::new(&says.standing(), record, keys).saying(write(says), sign));
                self.tokens.remember(*token, Arc::clone(&proved));
                Some(Answer { written: proved.written().clone(), cache_seconds })
            }
            // A refresh may spend it at any moment. A resource server has no business with it.
            (TokenKind::Refresh, Ok(says)) if asker.owns(&says.targets) => {
                Some(Answer { written: write(says), cache_seconds: 0 })
            }
            (_, Ok(_) | Err(_)) => None,
        };
        counted(answer, revision, source)
    }

    fn cache_seconds(&self, exp: Timestamp, now: Timestamp) -> u64 {
        exp.since(now).min(self.alive.max_staleness()).secs()
    }
}

fn counted(active: Option<Answer>, revision: Revision, source: &'static str) -> Introspection {
    metrics::INTROSPECTIONS.add(if active.is_some() { "active" } else { "inactive" }, source);
    Introspection { active, revision }
}

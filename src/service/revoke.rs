//! Revoke: one entry in the log, and what was born before it is dead (RFC 7009).

use crate::floors::Raise;
use crate::records::grants::Known;
use crate::service::{Credentials, Durability, Service};
use jeton_domain::error::{Error, Result};
use jeton_domain::grant::Grant;
use jeton_domain::id::GrantId;
use jeton_domain::name::{ClientId, Subject};
use jeton_domain::revision::Revision;
use jeton_domain::secret::{SecretText, shown};
use jeton_domain::target::{Reason, Target};
use std::collections::BTreeMap;

/// What to end.
#[derive(Debug)]
pub struct Revoke {
    /// What.
    pub what: What,
    /// Why.
    pub reason: Reason,
    /// Only count.
    pub dry_run: bool,
}

/// What is to be ended, as asked.
#[derive(Debug)]
pub enum What {
    /// A token, of any kind.
    Token {
        /// The token.
        token: SecretText,
        /// The client that asks; where given, the token must be its own.
        client: Option<ClientId>,
        /// How it proves who it is.
        credentials: Credentials,
    },
    /// Anything else that can be raised.
    Target {
        /// It.
        target: Target,
        /// Whose it is; needed to count the grants of a session.
        subject: Option<Subject>,
    },
}

impl From<Target> for What {
    fn from(target: Target) -> Self {
        Self::Target { target, subject: None }
    }
}

/// What a revocation did.
#[derive(Debug, PartialEq, Eq)]
pub enum Revoked {
    /// In force from this revision on.
    Done {
        /// The place in the log.
        revision: Revision,
        /// How far it got.
        durability: Durability,
    },
    /// There was nothing to end: unknown, expired or ended before.
    Nothing,
    /// What would end, by client; none where that is not counted.
    Counted(Option<Vec<(ClientId, u64)>>),
}

impl Revoked {
    /// The one that is later in the log.
    pub(super) fn later(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Done { revision: one, .. }, Self::Done { revision, .. }) if one >= revision => self,
            _ => other,
        }
    }
}

impl From<Raise> for Revoked {
    fn from(Raise { revision, durability, .. }: Raise) -> Self {
        Self::Done { revision, durability }
    }
}

impl Service {
    /// Revokes.
    ///
    /// # Errors
    /// `InvalidClient`, `UnauthorizedClient` for a token of another client, `KeyUnknown`, the store.
    pub async fn revoke(&self, asked: Revoke) -> Result<Revoked> {
        let Revoke { what, reason, dry_run } = asked;
        let (target, subject) = match what {
            What::Token { token, client, credentials } => {
                return self.revoke_token(&token, client.as_ref(), &credentials, reason, dry_run).await;
            }
            What::Target { target, subject } => (target, subject),
        };
        if dry_run {
            self.alive.caught_up().await?;
            return self.count(&target, subject.as_ref()).await.map(Revoked::Counted);
        }
        if let Target::RootKey(key) = target {
            return self.burn_root_key(key, reason).await;
        }
        // Whatever is known of a key, its document must say that it is burnt, too.
        if matches!(target, Target::SigningKey { .. }) {
            return self.raise_and_tell(&target, reason, None).await.map(Revoked::from);
        }
        self.raise(&target, reason, None).await
    }

    /// Whether a client is named that is not known here: one that is gone, or a name that is misspelt. It is revoked all the same.
    #[must_use]
    pub fn names_unknown_client(&self, what: &What) -> bool {
        match what {
            What::Target { target: Target::Client(client) | Target::Consent(_, client), .. } => {
                self.registry().client(client).is_none()
            }
            What::Token { .. } | What::Target { .. } => false,
        }
    }

    /// A token is parsed and proved first; one that is unknown, expired or not genuine is done already (RFC 7009 section 2.2).
    async fn revoke_token(
        &self,
        token: &SecretText,
        client: Option<&ClientId>,
        credentials: &Credentials,
        reason: Reason,
        dry_run: bool,
    ) -> Result<Revoked> {
        credentials.without_proof()?;
        let client = match client {
            Some(client) => Some(self.authenticate(client, credentials).await?.id.clone()),
            None if credentials.is_empty() => None,
            None => return Err(Error::invalid("token_client_id", "must name the client that authenticates")),
        };
        let (_, looked) = tokio::try_join!(self.alive.caught_up(), self.look_up(token.expose()))?;
        let Some(found) = looked.revocable(self.clock.now(), self.alive.ceilings().access_token, |id| self.may_be_lost(id))
        else {
            return Ok(if dry_run { Revoked::Counted(Some(Vec::new())) } else { Revoked::Nothing });
        };
        if client.is_some_and(|client| client != found.client) {
            return Err(Error::UnauthorizedClient("the token was issued to another client".into()));
        }
        if let (false, Some(done)) = (dry_run, self.done(&found.target)) {
            return Ok(done);
        }
        match (dry_run, found.target, found.record) {
            (true, target, _) => self.count(&target, None).await.map(Revoked::Counted),
            (false, target @ Target::Token { .. }, Some(grant)) => {
                let raise = self.raise_and_tell(&target, reason, Some(token)).await?;
                // Many may revoke one token at once: the first in the log counts it.
                if raise.is_first && self.count_token(grant).await? {
                    return self.raise(&Target::Grant(grant), reason, Some(token)).await;
                }
                Ok(raise.into())
            }
            (false, target, _) => self.raise_and_tell(&target, reason, Some(token)).await.map(Revoked::from),
        }
    }

    /// Counts one more token of a grant revoked by itself; whether that is so many that the grant ends.
    async fn count_token(&self, id: GrantId) -> Result<bool> {
        let loaded = self.records.grant(id).await?;
        let decided = self
            .records
            .decide_grant(
                loaded,
                self.alive.ceilings().access_token,
                Durability::Applied,
                |known, _| {
                    let Some(Known::Grant(mut grant)) = known else { return Ok(None) };
                    grant.tokens_revoked = grant.tokens_revoked.saturating_add(1);
                    Ok(Some(grant))
                },
                |counted| counted.as_deref(),
                |_| Vec::new(),
            )
            .await?;
        Ok(decided.answer.is_some_and(|grant| grant.tokens_revoked >= Grant::TOKENS_REVOKED_MAX))
    }

    /// One entry in the log; none where that has ended the target for ever.
    async fn raise(&self, target: &Target, reason: Reason, shown: Option<&SecretText>) -> Result<Revoked> {
        if self.alive.ended(target).is_some() {
            // A store that is gone acknowledges nothing, and another primary may lack what the one before it had.
            self.alive.caught_up().await?;
            if let Some(done) = self.done(target) {
                return Ok(done);
            }
        }
        self.raise_and_tell(target, reason, shown).await.map(Revoked::from)
    }

    /// Where the log has ended the target for ever, and that got as far as this store's writes do. What did not is waited for by raising it
    /// again. Catch up before.
    pub(super) fn done(&self, target: &Target) -> Option<Revoked> {
        let (revision, durability) = self.alive.ended(target)?;
        (durability >= self.records.store().durability()).then_some(Revoked::Done { revision, durability })
    }

    /// Whether a failover may lose that this grant was ended: as long as its entry is in the log its record may be on no replica yet, for
    /// that is written by the entry, acknowledged or not.
    fn may_be_lost(&self, grant: GrantId) -> bool {
        let id = Target::Grant(grant).id(self.alive.salt());
        self.records.store().durability() == Durability::Replicated && self.alive.with_floors(|floors| floors.get(id).is_some())
    }

    /// The living grants that would end, by client; none where they are not counted. Catch up before.
    async fn count(&self, target: &Target, subject: Option<&Subject>) -> Result<Option<Vec<(ClientId, u64)>>> {
        if let Target::RootKey(key) = target {
            self.replaceable_root_key(*key).await?;
        }
        let living = match target {
            Target::Token { .. } => Vec::new(),
            Target::Grant(id) => match self.records.grant(*id).await?.known()? {
                Some(Known::Grant(grant)) => self.living(vec![*grant]).await?,
                Some(Known::OnlyEnded(_)) | None => Vec::new(),
            },
            Target::Session(session) => {
                let needs = || Error::invalid("session.sub", "must name the subject to count the grants of a session");
                let subject = subject.ok_or_else(needs)?;
                let grants = self.grants_of(subject).await?;
                grants.into_iter().filter(|grant| grant.session.as_ref() == Some(session)).collect()
            }
            Target::Subject(subject) => self.grants_of(subject).await?,
            Target::Consent(subject, client) => {
                self.grants_of(subject).await?.into_iter().filter(|grant| grant.client == *client).collect()
            }
            Target::SigningKey { kid } if self.signing.state(kid, self.clock.now()).is_none() => {
                return Err(Error::KeyUnknown(format!("no signing key `{}` is known", shown(kid))));
            }
            Target::Client(_) | Target::SigningKey { .. } | Target::RootKey(_) => return Ok(None),
        };
        let mut counts = BTreeMap::<ClientId, u64>::new();
        for grant in living {
            let count = counts.entry(grant.client).or_default();
            *count = count.saturating_add(1);
        }
        Ok(Some(counts.into_iter().collect()))
    }
}

//! Grants, read: one by its id, or a subject's.

use crate::audit::Action;
use crate::records::floors;
use crate::records::grants::{Known, Listed};
use crate::service::Service;
use crate::service::explain::WhyNot;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::access::{Asker, Dead, Standing};
use jeton_domain::error::{Ended, Error, Expiry, Result};
use jeton_domain::grant::Grant;
use jeton_domain::id::{GrantId, TargetId};
use jeton_domain::name::{ClientId, SessionId, Subject};
use jeton_domain::target::Target;
use jeton_domain::time::Timestamp;

/// A grant and whether it lives.
#[derive(Clone, Debug)]
pub struct GrantState {
    /// The grant.
    pub grant: Grant,
    /// None: it lives.
    pub why_not: Option<WhyNot>,
    /// When it ended, where that is known.
    pub ended_at: Option<Timestamp>,
}

/// Which grants are asked for.
#[derive(Clone, Debug)]
pub struct ListGrants {
    /// Whose.
    pub subject: Subject,
    /// Only this client's.
    pub client: Option<ClientId>,
    /// Only this session's.
    pub session: Option<SessionId>,
    /// The most to answer. 1 to 1,000.
    pub limit: usize,
    /// Where to go on, from the page before.
    pub page_token: Option<String>,
}

/// A page of grants.
#[derive(Clone, Debug, Default)]
pub struct GrantPage {
    /// The grants.
    pub grants: Vec<GrantState>,
    /// Where to go on.
    pub next: Option<String>,
}

impl Service {
    /// One grant, living or ended.
    ///
    /// # Errors
    /// `GrantUnknown`, the store.
    pub async fn grant(&self, id: GrantId) -> Result<GrantState> {
        if let Some(deed) = self.deed(Action::ReadGrants) {
            deed.grant(Some(id)).tell();
        }
        let (_, loaded) = tokio::try_join!(self.alive.caught_up(), self.records.grant(id))?;
        match loaded.known()? {
            Some(Known::Grant(grant)) => self.states(vec![*grant]).await?.pop().ok_or(Error::GrantUnknown),
            Some(Known::OnlyEnded(_)) | None => Err(Error::GrantUnknown),
        }
    }

    /// The living grants of a subject.
    ///
    /// # Errors
    /// `Invalid` for a page token that is not ours, the store.
    pub async fn list_grants(&self, asked: ListGrants) -> Result<GrantPage> {
        if let Some(deed) = self.deed(Action::ReadGrants) {
            deed.subject(&asked.subject).tell();
        }
        let subject = Target::Subject(asked.subject.clone()).id(self.alive.salt());
        let mut after = asked.page_token.as_deref().map(read_page_token).transpose()?;
        self.alive.caught_up().await?;
        let mut page = GrantPage::default();
        loop {
            let wanted = asked.limit.saturating_sub(page.grants.len());
            let listed = self.records.listed_grants(subject, after.as_ref(), wanted).await?;
            let Some(last) = listed.last().copied() else { return Ok(page) };
            let ids: Vec<GrantId> = listed.iter().map(|listed| listed.id).collect();
            let mut grants = recorded(self.records.grants(&ids).await?);
            grants.retain(|grant| {
                asked.client.as_ref().is_none_or(|client| grant.client == *client)
                    && (asked.session.is_none() || grant.session == asked.session)
            });
            page.grants.extend(self.states(grants).await?.into_iter().filter(|state| state.why_not.is_none()));
            if listed.len() < wanted {
                return Ok(page);
            }
            if page.grants.len() >= asked.limit {
                page.next = Some(page_token(&last));
                return Ok(page);
            }
            after = Some(last);
        }
    }

    /// Every living grant of a subject.
    pub(super) async fn grants_of(&self, subject: &Subject) -> Result<Vec<Grant>> {
        let subject = Target::Subject(subject.clone()).id(self.alive.salt());
        let listed = self.records.listed_grants(subject, None, usize::MAX).await?;
        let ids: Vec<GrantId> = listed.iter().map(|listed| listed.id).collect();
        let grants = self.records.grants(&ids).await?;
        self.living(recorded(grants)).await
    }

    /// Takes what is dead out of a subject's list: it holds nobody's place. Answers what is left. Catch up before.
    ///
    /// One without a record stays: it is being issued.
    pub(super) async fn unlist_dead(&self, subject: TargetId) -> Result<Vec<Listed>> {
        let listed = self.records.listed_grants(subject, None, usize::MAX).await?;
        let ids: Vec<GrantId> = listed.iter().map(|listed| listed.id).collect();
        let known = self.records.grants(&ids).await?;
        let written: Vec<GrantId> = ids.iter().zip(&known).filter_map(|(id, known)| known.as_ref().map(|_| *id)).collect();
        let living: Vec<GrantId> = self.living(recorded(known)).await?.iter().map(|grant| grant.id).collect();
        let is_dead = |listed: &Listed| written.contains(&listed.id) && !living.contains(&listed.id);
        let (dead, left): (Vec<Listed>, Vec<Listed>) = listed.into_iter().partition(is_dead);
        if !dead.is_empty() {
            self.records.unlist_grants(subject, &dead).await?;
        }
        Ok(left)
    }

    /// Those of `grants` that live, as the view and the floor records know.
    pub(super) async fn living(&self, grants: Vec<Grant>) -> Result<Vec<Grant>> {
        let states = self.states(grants).await?;
        Ok(states.into_iter().filter(|state| state.why_not.is_none()).map(|state| state.grant).collect())
    }

    /// Whether each grant lives: its record, the view, and the floor records of all its targets, read at once.
    async fn states(&self, grants: Vec<Grant>) -> Result<Vec<GrantState>> {
        let now = self.clock.now();
        let targets: Vec<Vec<TargetId>> = grants.iter().map(|grant| self.floor_targets(grant)).collect();
        // The view before the store: what it drops is there by then, in floor records and in the grants' own.
        let ask = |grant: &Grant| {
            let targets = self.targets(grant);
            self.alive.with_floors_if_whole(|floors| floors.killing(&targets, grant.born))
        };
        let asked: Vec<_> = grants.iter().map(ask).collect();
        let dropped: Vec<GrantId> =
            grants.iter().zip(&asked).filter(|(_, (_, is_whole))| !is_whole).map(|(grant, _)| grant.id).collect();
        let mut again = if dropped.is_empty() { Vec::new() } else { self.records.grants(&dropped).await? }.into_iter();
        let names: Vec<_> = targets.iter().flat_map(|targets| floors::names(targets)).collect();
        let mut values = self.records.read_raw(&names).await?.into_iter();
        let mut states = Vec::with_capacity(grants.len());
        for ((grant, targets), (raised, is_whole)) in grants.into_iter().zip(targets).zip(asked) {
            let values = values.by_ref().take(targets.len()).collect();
            let raised = raised.or(self.records.killing_floor(&targets, values, grant.born)?);
            let since = if is_whole { None } else { again.next().flatten().and_then(|known| known.ended()) };
            let ended = grant.ended.or(raised.map(|raised| raised.ended())).or(since);
            let ended = ended.or(self.ancestors_ended(&grant).await?);
            let expired = if now >= grant.absolute_end {
                Some((Expiry::Absolute, grant.absolute_end))
            } else if now >= grant.expires_at() {
                Some((Expiry::Idle, grant.expires_at()))
            } else {
                None
            };
            let (why_not, ended_at) = match (ended, expired) {
                (Some(ended), _) => (Some(WhyNot::Ended(ended.cause)), Some(ended.at)),
                (None, Some((expiry, at))) => (Some(WhyNot::GrantExpired(expiry)), Some(at)),
                (None, None) => (None, None),
            };
            states.push(GrantState { grant, why_not, ended_at });
        }
        Ok(states)
    }

    /// The end of a token that a grant's token was exchanged for.
    async fn ancestors_ended(&self, grant: &Grant) -> Result<Option<Ended>> {
        if grant.ancestors.is_empty() {
            return Ok(None);
        }
        let (born, exp, ancestors) = (grant.born, grant.absolute_end, &grant.ancestors);
        let standing = Standing { born, exp, nbf: None, audience: &[], targets: &[], ancestors };
        match self.judge_access(&standing, None, None, Asker::Anyone).await? {
            Err(Dead::Ended(ended)) => Ok(Some(ended)),
            Ok(()) | Err(Dead::Expired | Dead::Audience | Dead::NotYet) => Ok(None),
        }
    }

    /// Whether one grant lives.
    pub(super) async fn state(&self, grant: Grant) -> Result<GrantState> {
        self.states(vec![grant]).await?.pop().ok_or_else(|| Error::Internal("one grant has one state".into()))
    }
}

/// The grants of which more is known than their end.
fn recorded(known: Vec<Option<Known>>) -> Vec<Grant> {
    let grant = |known| match known {
        Known::Grant(grant) => Some(*grant),
        Known::OnlyEnded(_) => None,
    };
    known.into_iter().flatten().filter_map(grant).collect()
}

fn page_token(last: &Listed) -> String {
    let mut bytes = Vec::with_capacity(32);
    bytes.extend_from_slice(&last.client_tag);
    bytes.extend_from_slice(&last.id.0);
    bytes.extend_from_slice(&last.expires_at.millis().to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read_page_token(token: &str) -> Result<Listed> {
    let refuse = || Error::invalid("page_token", "is not the `next_page_token` of a page before");
    let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(refuse)?;
    let (tag, rest) = bytes.split_at(8);
    let (id, millis) = rest.split_at(16);
    let expires_at = u64::from_be_bytes(millis.try_into().map_err(|_garbled| refuse())?);
    Ok(Listed {
        client_tag: tag.try_into().map_err(|_garbled| refuse())?,
        id: GrantId::from_slice(id).ok_or_else(refuse)?,
        expires_at: Timestamp::from_millis(expires_at),
    })
}

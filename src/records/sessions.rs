//! Sessions as clients know them: who learnt of one by an ID token, and to whom it was told that it ended.
//!
//! A session has one record, a subject a list of its sessions. What was told stays in the record, so that whatever is listed again
//! (`logouts`) is told once.

use crate::records::logouts::target_of;
use crate::records::proto::{Participant, SessionRecord};
use crate::records::{Decided, GRACE, Records, Step, name, unavailable};
use crate::store::Durability;
use futures_util::{TryStreamExt as _, stream};
use jeton_domain::error::{Error, Result};
use jeton_domain::floors::Raised;
use jeton_domain::id::TargetId;
use jeton_domain::name::{ClientId, SessionId, Subject};
use jeton_domain::revision::Born;
use jeton_domain::target::{Salt, TargetKind};
use jeton_domain::time::Timestamp;

/// The most sessions of one subject that are known; those that end first are forgotten.
const MAX_SESSIONS: usize = 1_000;
/// How many sessions are read, and ended, at once.
const AT_ONCE: usize = 16;
const PAGE: usize = 256;
/// The most subjects of one session that one client is to be told of; whom it learnt of first is forgotten.
const MAX_SUBJECTS: usize = 8;

/// Who learns of which session.
#[derive(Clone, Copy, Debug)]
pub struct Joining<'a> {
    /// Which.
    pub session: &'a SessionId,
    /// Whose.
    pub subject: &'a Subject,
    /// Who.
    pub client: &'a ClientId,
    /// The log's head at its grant.
    pub born: Born,
    /// Until when it may rest on it.
    pub until: Timestamp,
}

/// A session that ended, of which a client is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logout {
    /// Its id.
    pub session: String,
    /// Whose it was.
    pub subject: String,
    /// When it ended.
    pub ended: Timestamp,
}

impl Records {
    /// A client learns of a session.
    ///
    /// # Errors
    /// `NotDurable`, the store; `RecordUnreadable`, `RootKeyMissing`.
    pub async fn join_session(&self, joining: &Joining<'_>, salt: &Salt) -> Result<()> {
        let (id, now) = (salt.session(joining.session), self.clock.now());
        let name = name::session(id);
        let loaded = self.read_one::<SessionRecord>(&name).await?;
        let known = loaded.0.as_ref().map_or(joining.until, |held| last(&held.value).max(joining.until));
        // The list first: who is cut off leaves a session listed that is unknown, never one that its subject's end does not reach.
        let sessions = name::sessions_of(salt.subject(joining.subject));
        let surplus = self.enlist(&sessions, id, known, MAX_SESSIONS).await?;
        self.store.list_remove(&sessions, &surplus).await.map_err(unavailable)?;
        let decide = |held: Option<&SessionRecord>, _| {
            let mut record = held.cloned().unwrap_or_default();
            joining.session.as_str().clone_into(&mut record.session);
            let [client, subject] = [joining.client.as_str(), joining.subject.as_str()];
            // Whom another follows in the session ends for himself, and the client is still to be told of it.
            let is_other = |one: &Participant| one.client != client || (one.subject != subject && !one.told);
            record.participants.retain(|one| is_other(one) && one.until > now.millis());
            let is_full = record.participants.iter().filter(|one| one.client == client).count() >= MAX_SUBJECTS;
            if let Some(first) = record.participants.iter().position(|one| is_full && one.client == client) {
                record.participants.remove(first);
            }
            let (client, subject) = (client.to_owned(), subject.to_owned());
            let (born, until) = (joining.born.0, joining.until.millis());
            record.participants.push(Participant { client, subject, born, until, ended: 0, told: false });
            let keep_until = last(&record).plus(GRACE);
            Ok((Step::Write(record, Some(keep_until)), ()))
        };
        self.decide(&name, loaded, Durability::Replicated, decide, |()| Vec::new()).await.map(|_written| ())
    }

    /// Where a session, or all of a subject, is ended: each client that learnt of it before waits to be told. Safe to repeat.
    ///
    /// # Errors
    /// `NotDurable`, the store; `RecordUnreadable`, `RootKeyMissing`.
    pub async fn log_out(&self, raised: &Raised, salt: &Salt) -> Result<()> {
        match raised.kind {
            TargetKind::Session => self.log_out_of(raised.target, raised, salt).await,
            TargetKind::Subject => {
                let (sessions, mut after) = (name::sessions_of(raised.target), None);
                loop {
                    let page = self.store.list(&sessions, after.as_ref(), PAGE).await.map_err(unavailable)?;
                    let ids = page.iter().map(target_of).collect::<Result<Vec<_>>>()?;
                    let each = stream::iter(ids.into_iter().map(Ok));
                    each.try_for_each_concurrent(AT_ONCE, |id| self.log_out_of(id, raised, salt)).await?;
                    after = page.into_iter().nth(PAGE - 1);
                    if after.is_none() {
                        return Ok(());
                    }
                }
            }
            // The user stays signed in.
            TargetKind::Token | TargetKind::Grant | TargetKind::Client | TargetKind::Consent | TargetKind::SigningKey => Ok(()),
        }
    }

    async fn log_out_of(&self, session: TargetId, raised: &Raised, salt: &Salt) -> Result<()> {
        let name = name::session(session);
        let loaded = self.read_one::<SessionRecord>(&name).await?;
        if loaded.0.is_none() {
            return Ok(());
        }
        let decide = |held: Option<&SessionRecord>, _| {
            let mut record = held.cloned().unwrap_or_default();
            let (mut waiting, mut changed) = (Vec::new(), false);
            for one in record.participants.iter_mut().filter(|one| is_ended(one, raised, salt)) {
                if one.ended == 0 {
                    one.ended = raised.at.millis().max(1);
                    changed = true;
                }
                let client = ClientId::parse("client_id", &one.client).map_err(garbled)?;
                if !one.told && !waiting.contains(&client) {
                    waiting.push(client);
                }
            }
            let keep_until = last(&record).plus(GRACE);
            Ok((if changed { Step::Write(record, Some(keep_until)) } else { Step::Confirm }, waiting))
        };
        let Decided { answer, .. } = self.decide(&name, loaded, Durability::Replicated, decide, |_| Vec::new()).await?;
        for client in answer {
            let untold = self.await_logout(session, salt.client(&client), raised.at).await?;
            if untold > 0 {
                tracing::error!(client_id = %client, count = untold, "more logouts wait for this client than are kept: it is not told of these");
            }
        }
        Ok(())
    }

    /// What that client is to be told of that session, of one subject after the other; none where it was told, or learnt of it anew.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`, `RootKeyMissing`.
    pub async fn logout(&self, session: TargetId, client: &ClientId) -> Result<Option<Logout>> {
        let (held, _) = self.read_one::<SessionRecord>(&name::session(session)).await?;
        Ok(held.and_then(|held| {
            let record = held.value;
            let one = record.participants.into_iter().find(|one| one.client == client.as_str() && one.ended > 0 && !one.told)?;
            Some(Logout { session: record.session, subject: one.subject, ended: Timestamp::from_millis(one.ended) })
        }))
    }

    /// That client was told, or will never be.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`, `RootKeyMissing`.
    pub async fn logout_is_told(&self, session: TargetId, client: &ClientId, logout: &Logout) -> Result<()> {
        let name = name::session(session);
        let loaded = self.read_one::<SessionRecord>(&name).await?;
        let of = (client.as_str(), logout.subject.as_str(), logout.ended.millis());
        let is_it = |one: &Participant| (one.client.as_str(), one.subject.as_str(), one.ended) == of && !one.told;
        let decide = |held: Option<&SessionRecord>, _| {
            let Some(held) = held.filter(|held| held.participants.iter().any(is_it)) else { return Ok((Step::Keep, ())) };
            let mut record = held.clone();
            record.participants.iter_mut().filter(|one| is_it(one)).for_each(|one| one.told = true);
            let keep_until = last(&record).plus(GRACE);
            Ok((Step::Write(record, Some(keep_until)), ()))
        };
        self.decide(&name, loaded, Durability::Applied, decide, |()| Vec::new()).await.map(|_written| ())
    }
}

/// Whether that client's part of the session is under this floor.
fn is_ended(one: &Participant, raised: &Raised, salt: &Salt) -> bool {
    let is_meant = raised.kind == TargetKind::Session
        || Subject::parse("sub", &one.subject).is_ok_and(|subject| salt.subject(&subject) == raised.target);
    is_meant && raised.floor().kills(Born(one.born))
}

/// When the last client that knows it may have forgotten it.
fn last(record: &SessionRecord) -> Timestamp {
    Timestamp::from_millis(record.participants.iter().map(|one| one.until).max().unwrap_or_default())
}

fn garbled(_: Error) -> Error {
    Error::RecordUnreadable("a session's record is garbled".into())
}

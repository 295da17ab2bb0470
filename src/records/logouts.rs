//! What clients are yet to be told of ended sessions: a list for each client, ordered by when, and one list of the clients that have such.
//!
//! The client's list is written first, and a client leaves the one list only when its own is empty, which is read again after that. Who is
//! cut off between leaves at the most a client that waits and is not in the one list: whoever finds it puts it back.

use crate::records::proto::LogoutTurnRecord;
use crate::records::{GRACE, Records, Step, name, unavailable};
use crate::store::{Add, Durability, Member, Name};
use bytes::Bytes;
use jeton_domain::error::{Error, Result};
use jeton_domain::id::TargetId;
use jeton_domain::logout::GIVE_UP_AFTER;
use jeton_domain::time::{Millis, Timestamp};

/// The most that one client waits to be told; what is due first is forgotten.
const MAX_WAITING: usize = 10_000;
/// More clients than there can be.
const MAX_CLIENTS: usize = 1_000_000;
/// What is to be told leaves its list so long after it is due: well after it was given up.
const LISTED: Millis = Millis::new(2 * GIVE_UP_AFTER.get());

/// Something that a client is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The end of this session.
    pub session: TargetId,
    /// When.
    pub due: Timestamp,
}

/// A client that is to be told something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToTell {
    /// Which.
    pub client: TargetId,
    place: Member,
}

/// The right to tell a client, of one replica at a time.
#[derive(Clone, Debug)]
pub struct Turn {
    holder: [u8; 16],
    /// How often telling it failed in a row.
    pub failures: u32,
}

impl Records {
    /// A page of the clients that are to be told something, in no order that means anything.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`.
    pub async fn clients_to_tell(&self, after: Option<&ToTell>, limit: usize) -> Result<Vec<ToTell>> {
        let after = after.map(|one| &one.place);
        let members = self.store.list(&name::clients_to_tell(), after, limit).await.map_err(unavailable)?;
        members.into_iter().map(|place| Ok(ToTell { client: target_of(&place)?, place })).collect()
    }

    /// What a client is to be told, what is due first first: at most `limit`.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`.
    pub async fn logouts(&self, client: TargetId, limit: usize) -> Result<Vec<Waiting>> {
        let members = self.store.list(&name::logouts_of(client), None, limit).await.map_err(unavailable)?;
        members.iter().map(|member| Ok(Waiting { session: target_of(member)?, due: member.expires_at.minus(LISTED) })).collect()
    }

    /// That client is to be told of that session then, durably. Answers how many it is not told of, for too many wait.
    ///
    /// # Errors
    /// `NotDurable`, the store.
    pub async fn await_logout(&self, session: TargetId, client: TargetId, due: Timestamp) -> Result<usize> {
        let list = name::logouts_of(client);
        let surplus = self.enlist(&list, session, due.plus(LISTED), MAX_WAITING).await?;
        if !surplus.is_empty() {
            self.store.list_remove(&list, &surplus).await.map_err(unavailable)?;
        }
        self.confirm(&list, Durability::Replicated).await?;
        self.list_client(client, due).await?;
        self.confirm(&name::clients_to_tell(), Durability::Replicated).await?;
        Ok(surplus.len())
    }

    /// That client is to be told of that session then, and was to be before.
    ///
    /// # Errors
    /// The store.
    pub async fn put_off_logout(&self, session: TargetId, client: TargetId, due: Timestamp) -> Result<()> {
        self.enlist(&name::logouts_of(client), session, due.plus(LISTED), MAX_WAITING).await?;
        self.list_client(client, due).await
    }

    /// That client has no longer to be told anything of that session.
    ///
    /// # Errors
    /// The store.
    pub async fn forget_logout(&self, session: TargetId, client: TargetId) -> Result<()> {
        let member = Bytes::copy_from_slice(&session.0);
        self.store.list_remove(&name::logouts_of(client), &[member]).await.map_err(unavailable)
    }

    /// That client has something to be told, since then.
    ///
    /// # Errors
    /// The store.
    pub async fn list_client(&self, client: TargetId, since: Timestamp) -> Result<()> {
        // It leaves when nothing waits for it any more, and no sooner because this was long ago.
        let since = since.max(self.clock().now());
        self.enlist(&name::clients_to_tell(), client, since.plus(LISTED), MAX_CLIENTS).await.map(drop)
    }

    /// Where a client has nothing to be told it leaves the list of those that have.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`.
    pub async fn unlist_client(&self, client: TargetId) -> Result<()> {
        let member = Bytes::copy_from_slice(&client.0);
        self.store.list_remove(&name::clients_to_tell(), &[member]).await.map_err(unavailable)?;
        // What came to be told just before did perhaps find it there.
        if self.logouts(client, 1).await?.is_empty() { Ok(()) } else { self.list_client(client, self.clock.now()).await }
    }

    /// Takes the turn to tell a client, for so long; none where another replica has it, or the client is left alone.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`, `RootKeyMissing`.
    pub async fn take_turn(&self, client: TargetId, lasts: Millis) -> Result<Option<Turn>> {
        let (name, now, holder) = (name::logout_turn(client), self.clock.now(), crate::random::bytes::<16>()?);
        let loaded = self.read_one::<LogoutTurnRecord>(&name).await?;
        let decide = |held: Option<&LogoutTurnRecord>, _| {
            let failures = held.map_or(0, |held| held.failures);
            if held.is_some_and(|held| held.not_before > now.millis()) {
                return Ok((Step::Keep, None));
            }
            let not_before = now.plus(lasts);
            let record = LogoutTurnRecord { not_before: not_before.millis(), failures, holder: holder.to_vec() };
            Ok((Step::Write(record, Some(not_before.plus(GRACE))), Some(Turn { holder, failures })))
        };
        Ok(self.decide(&name, loaded, Durability::Applied, decide, |_| Vec::new()).await?.answer)
    }

    /// Gives the turn back, to be taken again in so long. Nothing where another replica has it by now.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`, `RootKeyMissing`.
    pub async fn end_turn(&self, client: TargetId, turn: &Turn, failures: u32, pause: Millis) -> Result<()> {
        let name = name::logout_turn(client);
        let loaded = self.read_one::<LogoutTurnRecord>(&name).await?;
        let not_before = self.clock.now().plus(pause);
        let decide = |held: Option<&LogoutTurnRecord>, _| {
            if held.is_none_or(|held| held.holder != turn.holder) {
                return Ok((Step::Keep, ()));
            }
            let record = LogoutTurnRecord { not_before: not_before.millis(), failures, holder: Vec::new() };
            Ok((Step::Write(record, Some(not_before.plus(GRACE))), ()))
        };
        self.decide(&name, loaded, Durability::Applied, decide, |()| Vec::new()).await.map(|_written| ())
    }

    /// Puts one into a list, or moves it there; answers what is too much.
    pub(super) async fn enlist(&self, list: &Name, one: TargetId, expires_at: Timestamp, cap: usize) -> Result<Vec<Bytes>> {
        let member = Member { bytes: Bytes::copy_from_slice(&one.0), expires_at };
        let group_bytes = one.0.len();
        let add = Add { list: list.clone(), member, group_bytes, group_cap: cap, list_cap: cap };
        Ok(self.store.list_add(&add).await.map_err(unavailable)?.into_iter().map(|member| member.bytes).collect())
    }
}

/// The target that is a member of a list.
pub(super) fn target_of(member: &Member) -> Result<TargetId> {
    let id = member.bytes.as_ref().try_into().map(TargetId);
    id.map_err(|_length| Error::RecordUnreadable("a list of sessions or of clients is garbled".into()))
}

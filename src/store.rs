//! Bytes: records swapped whole, capped lists, one log. What a store is, and the promises each implementation keeps.
//!
//! Lives here: the trait, its values, and the implementations `embedded` (a file, or in memory for tests) and `redis` below it. Must not live
//! here: what the bytes mean (`records`), sealing, keys, tokens, or any rule of the domain.
//!
//! Every promise below is the name of a test in `tests/suite/store_contract.rs` that runs over every implementation.

pub mod embedded;
pub mod redis;
pub mod traced;

use async_trait::async_trait;
use bytes::Bytes;
use jeton_domain::id::{Identity, ReplicaId};
use jeton_domain::revision::{Lost, Revision};
use jeton_domain::time::{Millis, Timestamp};
use std::sync::Arc;

/// The name of a record or list. Made by `records` only; begins with the tag that places it (`{ab12}` in Redis Cluster).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Takes the text: ASCII, at most 128 bytes.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How many bytes at the front of a value a swap compares: format version, root key id and the random stamp.
pub const STAMP_BYTES: usize = 17;

/// The front of a value: fresh and random at every swap, never a counter.
pub type Stamp = [u8; STAMP_BYTES];

/// One record changed, if it is still what was read.
#[derive(Clone, Debug)]
pub struct Swap {
    /// Which.
    pub name: Name,
    /// The stamp it must have now; none: it must not exist.
    pub expected: Option<Stamp>,
    /// What it becomes; none: it is deleted.
    pub value: Option<Bytes>,
    /// When it may be forgotten, on the store's clock; none: never. Expired records read as absent.
    pub expires_at: Option<Timestamp>,
    /// How far it must get before it is answered. `Replicated` is more only where the store has replicas configured.
    pub needs: Durability,
}

/// What became of a swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// It was made.
    Done,
    /// The record is another than expected: its value now, or none.
    Conflict(Option<Bytes>),
}

/// Values read, in the order of the names.
#[derive(Clone, Debug)]
pub struct Read {
    /// One for each name; none where there is no such record or it expired.
    pub values: Vec<Option<Bytes>>,
    /// The primary that answered for the first name, or for the swap.
    pub identity: Identity,
}

/// One member of a list: a prefix that groups members for the cap, and the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The whole member, group first.
    pub bytes: Bytes,
    /// When it leaves the list by itself, on the store's clock. Members are ordered by it, then by bytes.
    pub expires_at: Timestamp,
}

/// A member added to a list, with the caps that are to hold.
#[derive(Clone, Debug)]
pub struct Add {
    /// The list.
    pub list: Name,
    /// The member. Adding one that is there only moves its expiry.
    pub member: Member,
    /// How many bytes at its front are the group.
    pub group_bytes: usize,
    /// The most members of its group, itself included; surplus are those that expire first, never itself. At least 1.
    pub group_cap: usize,
    /// The most members of the list, without the surplus of the group; surplus are those that expire first, never itself. At least 1.
    pub list_cap: usize,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its place.
    pub revision: Revision,
    /// What was appended: at most 1 KiB.
    pub entry: Bytes,
}

/// Where a follower stands, and what it has seen: every call on the log says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The last entry it has; `Revision::START` for who begins.
    pub cursor: Revision,
    /// The highest place it ever saw, in this or in a lost history: a new era begins, and what it appends lies, above it.
    pub highest: Revision,
    /// The marker of the era that it knows.
    pub era: Revision,
}

/// How far ahead of everything a new era begins: no clock of a node is off by more.
pub const ERA_AHEAD: Millis = Millis::from_secs(600);

/// The entry that is an era's marker: format version 1, and zeros for the rest. It raises nothing.
pub const MARKER: [u8; 40] = {
    let mut marker = [0; 40];
    marker[0] = 1;
    marker
};

/// Under which primary the log stands, and whether what one before it had lost was put back.
///
/// An era begins when the log is met under another primary than before (or is made anew): with a marker, an entry well ahead of every
/// clock and every place that could have been acknowledged, so that nothing born after it is killed by what is healed into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Era {
    /// The place of its marker; `Revision::START` for the first era of a store that never lost anything.
    pub marker: Revision,
    /// How far healing is.
    pub state: EraState,
}

/// How far healing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EraState {
    /// Replicas that may know what was lost have not all put it back.
    Healing,
    /// Nothing that a living replica knew is missing.
    Healed,
    /// The data is older than any replica could heal: a backup was restored. Nothing of it is believed until the operator accepts it.
    Restored {
        /// When a replica was last there, as the data says.
        last_seen: Timestamp,
    },
}

/// What following the log answered.
#[derive(Clone, Debug)]
pub struct Followed {
    /// The primary that answered, as the very script says that read.
    pub identity: Identity,
    /// The store's clock when it answered.
    pub now: Timestamp,
    /// The place of the newest entry; `Revision::START` for a log that never had one.
    pub head: Revision,
    /// Up to here entries are settled.
    pub settled: Revision,
    /// Up to here they are settled in every shard, though each may have fallen back as far as one is believed: no other is forgotten. None
    /// where there are no shards, or none was asked yet: then what is settled is sure.
    pub sure: Option<Revision>,
    /// What comes after the place asked for, in order.
    pub entries: Vec<Logged>,
    /// The place asked for is not in the log (any more): `entries` begin at the log's beginning instead.
    pub gap: bool,
    /// There is more: follow again from the last of `entries`.
    pub more: bool,
    /// The era.
    pub era: Era,
    /// All intervals of lost places, oldest first, each ended before the next begins; given only where the asker knows another era, or none.
    pub lost: Option<Vec<Lost>>,
}

/// How far a write got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// The primary has it (embedded: the file has it, flushed).
    #[default]
    Applied,
    /// All configured replicas have it.
    Replicated,
}

/// A round through all shards, begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The primaries as they are now, in words that are others when one of them is another.
    pub primaries: String,
    /// Whether they are another than after the last round: what was settled since may be lost, and is to be settled again.
    pub changed: bool,
}

/// What is wrong with a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// In a sentence that says what to change and why.
    pub words: String,
    /// Whether nothing that rests on the store may be asked for here. Else it serves, and is worth a look.
    pub is_unfit: bool,
}

impl Wrong {
    /// It must not serve.
    #[must_use]
    pub const fn unfit(words: String) -> Self {
        Self { words, is_unfit: true }
    }

    /// It serves, and is worth a look.
    #[must_use]
    pub const fn remark(words: String) -> Self {
        Self { words, is_unfit: false }
    }
}

/// What a store refuses with. Never says `absent` for `unknown`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It did not answer, or not in time. A write may or may not have happened.
    #[error("{0}")]
    Unavailable(String),
    /// It answered what no store of ours answers.
    #[error("{0}")]
    Broken(String),
    /// The write was made and is in force, but not all configured replicas acknowledged it in time: a failover may lose it.
    #[error("{0}")]
    NotDurable(String),
    /// What it holds there is older than what was revoked and is forgotten elsewhere: nothing that rests on it is believed.
    #[error("{0}")]
    Restored(String),
}

/// How one thing stands with a deployment, found out before it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// What was looked at, in a word or two.
    pub check: &'static str,
    /// Which server or setting; empty where it is the whole.
    pub at: String,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found, in a sentence without full stop.
    pub found: String,
    /// What to change and why; empty where nothing need be.
    pub advice: String,
}

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Unwise, or not to be seen.
    Warn,
    /// Not fit to serve so, or a promise would be broken.
    Fail,
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl Diagnosis {
    /// As it should be.
    #[must_use]
    pub fn ok(check: &'static str, at: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check, at: at.into(), verdict: Verdict::Ok, found: found.into(), advice: String::new() }
    }

    /// Unwise.
    #[must_use]
    pub fn warn(check: &'static str, at: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, advice: advice.into(), ..Self::ok(check, at, found) }
    }

    /// Not fit.
    #[must_use]
    pub fn fail(check: &'static str, at: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, advice: advice.into(), ..Self::ok(check, at, found) }
    }
}

/// What every store offers. All times are on the store's clock.
///
/// # Promises
/// - `absent_reads_as_none`, `get_answers_in_order`, `large_values_come_back_whole` (64 KiB).
/// - `create_only_when_absent`, `swap_only_when_stamp_matches`, `conflict_shows_what_is_there`, `delete_needs_the_stamp`.
/// - `one_of_many_concurrent_swaps_wins`.
/// - `expired_reads_as_absent`, `expired_may_be_created_anew`, `no_expiry_stays`.
/// - `reads_after_a_swap_see_what_was_there_before_it_was_sent`: the reads of `swap` begin after it was sent, and under its own tag after
///   it was made.
/// - `list_is_ordered_by_expiry`, `surplus_of_a_group_is_its_earliest`, `surplus_of_a_list_is_its_earliest`,
///   `surplus_stays_and_is_told_again_until_it_is_removed`, `adding_twice_counts_once`, `list_pages_by_member`,
///   `expired_members_are_gone_and_no_surplus`, `removed_members_are_gone`.
/// - `revisions_grow`, `append_returns_all_after_the_cursor_with_its_own_last`, `concurrent_appends_are_all_there`,
///   `follow_from_head_is_empty`, `follow_pages`, `who_follows_far_misses_nothing_that_comes_meanwhile`,
///   `a_foreign_cursor_is_a_gap`, `follow_from_start_is_no_gap`.
/// - `settle_refuses_a_revision_that_is_gone`, `settled_never_goes_back`, `trim_stops_at_the_first_unsettled`,
///   `trim_keeps_what_is_younger`, `trim_keeps_the_newest_entry`.
/// - `several_entries_are_appended_as_one`, `without_an_entry_the_log_stays_as_it_is`, `changed_wakes_when_something_was_appended`, `an_accepted_era_begins_above_everything`,
///   `lost_intervals_are_told_to_who_knows_another_era`, `healed_is_refused_under_another_primary`.
/// - `a_dropped_call_never_hands_its_reply_to_another`.
/// - Durable stores: `what_was_acknowledged_survives_a_reopening`.
///
/// # Errors
/// Every method: `StoreError::Unavailable` where the store cannot be reached or does not answer within its time-out.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Several records at once.
    async fn get(&self, names: &[Name]) -> Result<Read, StoreError>;

    /// One record changed if its stamp is unchanged, and `also` read: what is under its tag after it was made, the rest not before it
    /// was sent.
    async fn swap(&self, swap: &Swap, also: &[Name]) -> Result<(Swapped, Read), StoreError>;

    /// Waits until all that was written under this name is as durable as `durability()` says: for who finds that it was written before.
    async fn confirm(&self, name: &Name) -> Result<(), StoreError>;

    /// A member added; what is more than the caps allow, earliest first. It stays until it is removed, so that who is cut off before he has
    /// ended what it names leaves it to be told again.
    async fn list_add(&self, add: &Add) -> Result<Vec<Member>, StoreError>;

    /// Members removed.
    async fn list_remove(&self, list: &Name, members: &[Bytes]) -> Result<(), StoreError>;

    /// Members in order of expiry, at most `limit`, after the given one.
    async fn list(&self, list: &Name, after: Option<&Member>, limit: usize) -> Result<Vec<Member>, StoreError>;

    /// Entries appended as one; answers everything after the position's cursor, its own last (`more` is never set), and how far they got,
    /// and all that the log held before them: below `durability()` they are in force and may yet be lost. Their places are above `highest`
    /// and every place before. Without an entry the log stays as it is, and what it holds is waited for.
    async fn append(&self, entries: &[Bytes], position: Position) -> Result<(Followed, Durability), StoreError>;

    /// What came after the position's cursor, at most `limit` entries. The log's primary answers as if it wrote: a replica refuses.
    async fn follow(&self, position: Position, limit: usize) -> Result<Followed, StoreError>;

    /// Waits until there may be something after `cursor`, or for a while. A hint: only `follow` tells.
    async fn changed(&self, cursor: Revision) -> Result<(), StoreError>;

    /// Says that all entries up to and including `upto` are settled, `under` that primary (none: whichever it is). False where that exact entry
    /// is not in the log, or its primary is another: what was settled under the one before may be lost with it.
    async fn settle(&self, upto: Revision, under: Option<Identity>) -> Result<bool, StoreError>;

    /// Forgets entries from the front that are settled and whose place in time is before `older_than`; never the newest. Answers how many.
    async fn trim(&self, older_than: Timestamp) -> Result<u64, StoreError>;

    /// A replica is there, and will be told of as living until it leaves or is silent for a while. Where it `joins` (at its start, and
    /// under each new primary) this is as durable as the store can make it, and so is all that the log's primary wrote before.
    async fn beat(&self, replica: ReplicaId, horizon: Millis, joins: bool) -> Result<(), StoreError>;

    /// A replica ends: healing does not wait for it.
    async fn leave(&self, replica: ReplicaId) -> Result<(), StoreError>;

    /// This replica has put back all that it knew and the log had lost under that primary. False where the primary is another by now.
    /// When the last of the living has said so, or ten seconds after the era began, the log is healed.
    async fn healed(&self, replica: ReplicaId, under: Identity) -> Result<bool, StoreError>;

    /// The operator takes the data as it is: a new era begins, and what it lost stays lost. Answers its marker.
    async fn accept(&self, position: Position) -> Result<Revision, StoreError>;

    /// Whether it is time that every shard is asked again up to where it holds what was settled; who is told so has to do it. None where
    /// it is not, and always where nothing is lost but together with the log.
    async fn due(&self) -> Result<Option<Due>, StoreError> {
        Ok(None)
    }

    /// Writes into every shard that all up to `upto` is settled there. False where a primary is another than when this round was begun.
    ///
    /// # Errors
    /// `Restored` where one of them holds less than is sure.
    async fn vouch(&self, upto: Revision, round: &Due) -> Result<bool, StoreError> {
        let _ = (upto, round);
        Ok(true)
    }

    /// The store's clock, and how long the answer took.
    async fn time(&self) -> Result<(Timestamp, Millis), StoreError>;

    /// What is wrong with it, in words for the operator; nothing where it is fit to serve. Every node is asked.
    async fn health(&self) -> Result<Vec<Wrong>, StoreError>;

    /// The most that its writes reach.
    fn durability(&self) -> Durability {
        Durability::Applied
    }
}

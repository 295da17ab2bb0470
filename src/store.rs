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
use jeton_domain::id::Identity;
use jeton_domain::revision::Revision;
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
    /// The primary that answered.
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

/// A member added to a list, with the caps that hold afterwards.
#[derive(Clone, Debug)]
pub struct Add {
    /// The list.
    pub list: Name,
    /// The member. Adding one that is there only moves its expiry.
    pub member: Member,
    /// How many bytes at its front are the group.
    pub group_bytes: usize,
    /// The most members of its group, itself included; those that expire first fall out, never itself. At least 1.
    pub group_cap: usize,
    /// The most members of the list, itself included; those that expire first fall out, never itself. At least 1.
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

/// What following the log answered.
#[derive(Clone, Debug)]
pub struct Followed {
    /// The primary that answered.
    pub identity: Identity,
    /// The store's clock when it answered.
    pub now: Timestamp,
    /// The place of the newest entry; `Revision::START` for a log that never had one.
    pub head: Revision,
    /// Up to here entries are settled.
    pub settled: Revision,
    /// What comes after the place asked for, in order.
    pub entries: Vec<Logged>,
    /// The place asked for is not in the log (any more): `entries` begin at the log's beginning instead.
    pub gap: bool,
    /// There is more: follow again from the last of `entries`.
    pub more: bool,
}

/// How far a write got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// The primary has it (embedded: the file has it, flushed).
    Applied,
    /// All configured replicas have it.
    Replicated,
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
}

/// What every store offers. All times are on the store's clock.
///
/// # Promises
/// - `absent_reads_as_none`, `get_answers_in_order`, `large_values_come_back_whole` (64 KiB).
/// - `create_only_when_absent`, `swap_only_when_stamp_matches`, `conflict_shows_what_is_there`, `delete_needs_the_stamp`.
/// - `one_of_many_concurrent_swaps_wins`.
/// - `expired_reads_as_absent`, `expired_may_be_created_anew`, `no_expiry_stays`.
/// - `reads_after_a_swap_see_what_was_there_before_it_was_sent`: the reads of `swap` begin after the swap was made.
/// - `list_is_ordered_by_expiry`, `group_cap_evicts_the_earliest_of_the_group`, `list_cap_evicts_the_earliest`,
///   `adding_twice_counts_once`, `list_pages_by_member`, `expired_members_are_gone_and_not_evicted`, `removed_members_are_gone`.
/// - `revisions_grow`, `append_returns_all_after_the_cursor_with_its_own_last`, `concurrent_appends_are_all_there`,
///   `follow_from_head_is_empty`, `follow_pages`, `a_foreign_cursor_is_a_gap`, `follow_from_start_is_no_gap`.
/// - `settle_refuses_a_revision_that_is_gone`, `settled_never_goes_back`, `trim_stops_at_the_first_unsettled`,
///   `trim_keeps_what_is_younger`, `trim_keeps_the_newest_entry`.
/// - `a_dropped_call_never_hands_its_reply_to_another`.
/// - Durable stores: `what_was_acknowledged_survives_a_reopening`.
///
/// # Errors
/// Every method: `StoreError::Unavailable` where the store cannot be reached or does not answer within its time-out.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Several records at once.
    async fn get(&self, names: &[Name]) -> Result<Read, StoreError>;

    /// One record changed if its stamp is unchanged, and `also` read after it.
    async fn swap(&self, swap: &Swap, also: &[Name]) -> Result<(Swapped, Read), StoreError>;

    /// A member added; what fell out because of a cap, earliest first.
    async fn list_add(&self, add: &Add) -> Result<Vec<Member>, StoreError>;

    /// Members removed.
    async fn list_remove(&self, list: &Name, members: &[Bytes]) -> Result<(), StoreError>;

    /// Members in order of expiry, at most `limit`, after the given one.
    async fn list(&self, list: &Name, after: Option<&Member>, limit: usize) -> Result<Vec<Member>, StoreError>;

    /// An entry appended; answers everything after `cursor`, the new entry last (`more` is never set).
    /// The entry's place is above `not_below` and every place before it.
    async fn append(&self, entry: &[u8], cursor: Revision, not_below: Revision) -> Result<Followed, StoreError>;

    /// What came after `cursor`, at most `limit` entries.
    async fn follow(&self, cursor: Revision, limit: usize) -> Result<Followed, StoreError>;

    /// Says that all entries up to and including `upto` are settled. False where that exact entry is not in the log.
    async fn settle(&self, upto: Revision) -> Result<bool, StoreError>;

    /// Forgets entries from the front that are settled and whose place in time is before `older_than`; never the newest. Answers how many.
    async fn trim(&self, older_than: Timestamp) -> Result<u64, StoreError>;

    /// The store's clock, and how long the answer took.
    async fn time(&self) -> Result<(Timestamp, Millis), StoreError>;

    /// Whether it is fit to serve now: nothing, or what is wrong in words for the operator.
    async fn health(&self) -> Result<(), StoreError>;

    /// The most that its writes reach.
    fn durability(&self) -> Durability {
        Durability::Applied
    }
}

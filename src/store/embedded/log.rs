//! The log's newest entries in memory, so that following costs no read of the file; and pages read from the file for who is far behind.

use crate::store::{Era, EraState, Followed, Logged, Position};
use bytes::Bytes;
use jeton_domain::id::Identity;
use jeton_domain::revision::{Lost, Revision};
use jeton_domain::time::Timestamp;
use redb::{ReadableTable, StorageError};
use std::collections::VecDeque;

/// How many entries are kept in memory: an entry is at most 1 KiB, seldom over 100 bytes.
const KEPT: usize = 8_192;

/// The end of the log, as it is flushed.
pub(super) struct Tail {
    entries: VecDeque<Logged>,
    /// How many entries the file has.
    total: usize,
    settled: Revision,
    /// What the operator accepted to be lost, oldest first.
    lost: Vec<Lost>,
}

/// What a follower is told of the log beside its entries.
pub(super) struct At {
    pub(super) head: Revision,
    pub(super) settled: Revision,
    pub(super) era: Revision,
    pub(super) lost: Option<Vec<Lost>>,
}

/// What a batch does to the log, not flushed yet.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) appended: Vec<Logged>,
    pub(super) settled: Option<Revision>,
    pub(super) lost: Vec<Lost>,
    /// How many entries were forgotten, and the last of them.
    pub(super) trimmed: Option<(usize, Revision)>,
}

/// Entries after a place.
pub(super) struct Page {
    pub(super) entries: Vec<Logged>,
    pub(super) gap: bool,
    pub(super) more: bool,
}

impl Tail {
    pub(super) fn load(
        log: &impl ReadableTable<(u64, u64), &'static [u8]>,
        settled: Revision,
        lost: Vec<Lost>,
    ) -> Result<Self, StorageError> {
        let newest_first: Vec<Logged> = log
            .iter()?
            .rev()
            .take(KEPT)
            .map(|entry| entry.map(|(place, entry)| logged(place.value(), entry.value())))
            .collect::<Result<_, _>>()?;
        let total = usize::try_from(log.len()?).unwrap_or(usize::MAX);
        Ok(Self { entries: newest_first.into_iter().rev().collect(), total, settled, lost })
    }

    /// The newest entry. The log never forgets it.
    pub(super) fn head(&self) -> Revision {
        self.entries.back().map_or(Revision::START, |newest| newest.revision)
    }

    pub(super) fn settled(&self) -> Revision {
        self.settled
    }

    /// The log as `position` has to be told of it.
    pub(super) fn at(&self, position: Position) -> At {
        let era = self.lost.last().map_or(Revision::START, |lost| lost.marker);
        let lost = (era != position.era).then(|| self.lost.clone());
        At { head: self.head(), settled: self.settled, era, lost }
    }

    /// What comes after `cursor`; none where only the file can tell.
    pub(super) fn page(&self, cursor: Revision, limit: usize) -> Option<Page> {
        if cursor == self.head() {
            return Some(Page { entries: Vec::new(), gap: false, more: false });
        }
        let whole = self.entries.len() == self.total;
        let (from, gap) = match self.entries.binary_search_by_key(&cursor, |entry| entry.revision) {
            Ok(found) => (found + 1, false),
            Err(_) if whole => (0, cursor != Revision::START),
            Err(_) => return None,
        };
        let limit = limit.max(1);
        let more = self.entries.len() - from > limit;
        Some(Page { entries: self.entries.range(from..).take(limit).cloned().collect(), gap, more })
    }

    /// Takes over what a batch did, once it is flushed.
    pub(super) fn publish(&mut self, pending: Pending) {
        self.total += pending.appended.len();
        self.entries.extend(pending.appended);
        self.settled = pending.settled.unwrap_or(self.settled);
        self.lost.extend(pending.lost);
        if let Some((count, last)) = pending.trimmed {
            self.total = self.total.saturating_sub(count);
            self.entries.drain(..self.entries.partition_point(|entry| entry.revision <= last));
        }
        self.entries.drain(..self.entries.len().saturating_sub(KEPT));
    }
}

impl Page {
    pub(super) fn followed(self, identity: Identity, now: Timestamp, log: At) -> Followed {
        let Self { entries, gap, more } = self;
        let At { head, settled, era, lost } = log;
        // Its one process knows all that anybody was told: there is nothing to wait for.
        let era = Era { marker: era, state: EraState::Healed };
        Followed { identity, now, head, settled, sure: None, entries, gap, more, era, lost }
    }
}

/// What comes after `cursor` up to and including `last`, from the file.
pub(super) fn page(
    log: &impl ReadableTable<(u64, u64), &'static [u8]>,
    cursor: Revision,
    last: Revision,
    limit: usize,
) -> Result<Page, StorageError> {
    let known = cursor == Revision::START || log.get(key(cursor))?.is_some();
    let from = if known { cursor } else { Revision::START };
    let limit = limit.max(1);
    let mut entries = Vec::new();
    for entry in log.range(key(from)..=key(last))? {
        let (place, entry) = entry?;
        if place.value() == key(from) {
            continue;
        }
        if entries.len() == limit {
            return Ok(Page { entries, gap: !known, more: true });
        }
        entries.push(logged(place.value(), entry.value()));
    }
    Ok(Page { entries, gap: !known, more: false })
}

pub(super) fn key(revision: Revision) -> (u64, u64) {
    (revision.micros, revision.random)
}

pub(super) fn revision((micros, random): (u64, u64)) -> Revision {
    Revision { micros, random }
}

fn logged(place: (u64, u64), entry: &[u8]) -> Logged {
    Logged { revision: revision(place), entry: Bytes::copy_from_slice(entry) }
}

//! A batch: writes judged one after the other inside one transaction, and what expired collected. Not when it is flushed (`writer`).
//!
//! Whatever expires has an entry in `EXPIRIES` at or before its time. A record that is swapped for one that expires later keeps its old
//! entry: when that falls due it is moved on, so that a swap mostly writes one table.

use super::file::{ABOUT, EXPIRIES, LIST, LISTS, LOG, LOST, NEVER, RECORD, RECORDS, SETTLED, garbled, random};
use super::log::{self, Page, Pending};
use super::{Shared, members};
use crate::store::{Add, ERA_AHEAD, Followed, Logged, MARKER, Member, Name, Position, StoreError, Swap, Swapped};
use bytes::Bytes;
use jeton_domain::revision::{Lost, Revision};
use jeton_domain::time::Timestamp;
use redb::{ReadableTable as _, Table, TableError, WriteTransaction};

/// Revisions stay below it, so that JSON keeps a `born` exact.
const MICROS_END: u64 = 1 << 53;

/// Writes judged but not flushed.
pub(super) struct Batch<'txn> {
    tables: Tables<'txn>,
    shared: &'txn Shared,
    now: Timestamp,
    done: Done,
}

/// What a batch comes to.
pub(super) struct Done {
    /// Whether there is anything to flush.
    pub(super) changed: bool,
    /// What becomes of the log.
    pub(super) pending: Pending,
    /// When something may expire next.
    pub(super) next_due: Timestamp,
}

/// What a judgement may end in: the storage failed, or this write is refused and the batch goes on.
type Judged<T> = Result<Result<T, StoreError>, redb::Error>;

impl<'txn> Batch<'txn> {
    pub(super) fn new(transaction: &'txn WriteTransaction, shared: &'txn Shared, next_due: Timestamp) -> Self {
        let done = Done { changed: false, pending: Pending::default(), next_due };
        Self { tables: Tables::of(transaction), shared, now: shared.clock.now(), done }
    }

    pub(super) fn done(self) -> Done {
        self.done
    }

    pub(super) fn swap(&mut self, swap: &Swap) -> Judged<Swapped> {
        let name = swap.name.as_str();
        let records = self.tables.records()?;
        let (until, alive) = match records.get(name)? {
            None => (None, false),
            Some(found) => {
                let (until, bytes) = found.value();
                let fits = swap.expected.is_some_and(|stamp| bytes.starts_with(&stamp));
                let alive = until > self.now.millis();
                if alive && !fits {
                    return Ok(Ok(Swapped::Conflict(Some(Bytes::copy_from_slice(bytes)))));
                }
                (Some(until), alive)
            }
        };
        if !alive && swap.expected.is_some() {
            return Ok(Ok(Swapped::Conflict(None)));
        }
        match &swap.value {
            Some(value) => {
                let expires_at = swap.expires_at.map_or(NEVER, Timestamp::millis);
                records.insert(name, (expires_at, value.as_ref()))?;
                self.done.changed = true;
                if until.is_none_or(|until| expires_at < until) {
                    self.look_at(expires_at, RECORD, name)?;
                }
            }
            None => self.done.changed |= records.remove(name)?.is_some(),
        }
        Ok(Ok(Swapped::Done))
    }

    pub(super) fn add(&mut self, add: &Add) -> Judged<Vec<Member>> {
        let Some(members) = self.members(&add.list)? else { return Ok(Err(garbled())) };
        let first = earliest(&members);
        let members = members::add(members, add, self.now);
        self.write_list(add.list.as_str(), first, &members)?;
        Ok(Ok(members::surplus(members, add)))
    }

    pub(super) fn remove(&mut self, list: &Name, gone: &[Bytes]) -> Judged<()> {
        let Some(members) = self.members(list)? else { return Ok(Err(garbled())) };
        let (first, before) = (earliest(&members), members.len());
        let members = members::remove(members, gone, self.now);
        if members.len() < before {
            self.write_list(list.as_str(), first, &members)?;
        }
        Ok(Ok(()))
    }

    pub(super) fn append(&mut self, entries: Vec<Bytes>, position: Position) -> Judged<Followed> {
        let least = self.now.millis().saturating_mul(1_000);
        for entry in entries {
            if let Err(refused) = self.place(entry, least, position)? {
                return Ok(Err(refused));
            }
        }
        let head = self.head();
        let tail = self.shared.tail();
        let pending = &self.done.pending;
        let page = match tail.page(position.cursor, usize::MAX) {
            Some(mut page) => {
                page.entries.extend_from_slice(&pending.appended);
                page
            }
            None => log::page(self.tables.log()?, position.cursor, head, usize::MAX)?,
        };
        let settled = pending.settled.unwrap_or(tail.settled());
        let at = log::At { head, settled, ..tail.at(position) };
        Ok(Ok(Page { more: false, ..page }.followed(self.shared.identity, self.now, at)))
    }

    /// Begins a new era: a marker well ahead of everything.
    pub(super) fn accept(&mut self, position: Position) -> Judged<Revision> {
        let tail = self.head();
        let highest = self.now.millis().saturating_mul(1_000).max(tail.micros).max(position.highest.micros);
        let least = highest.saturating_add(ERA_AHEAD.get().saturating_mul(1_000));
        let marker = match self.place(Bytes::from_static(&MARKER), least, position)? {
            Ok(marker) => marker,
            Err(refused) => return Ok(Err(refused)),
        };
        self.tables.lost()?.insert(log::key(marker), log::key(tail))?;
        self.done.pending.lost.push(Lost { tail, marker });
        Ok(Ok(marker))
    }

    /// One more entry: not below `least` microseconds, above everything that is there or was seen.
    fn place(&mut self, entry: Bytes, least: u64, position: Position) -> Judged<Revision> {
        let micros = least.max(self.head().micros.max(position.highest.micros).saturating_add(1));
        if micros >= MICROS_END {
            return Ok(Err(StoreError::Broken(format!("revision {micros} microseconds is not a time: check the clocks"))));
        }
        let random = match random() {
            Ok(random) => random,
            Err(error) => return Ok(Err(error)),
        };
        let revision = Revision { micros, random };
        self.tables.log()?.insert(log::key(revision), entry.as_ref())?;
        self.done.pending.appended.push(Logged { revision, entry });
        self.done.changed = true;
        Ok(Ok(revision))
    }

    fn head(&self) -> Revision {
        self.done.pending.appended.last().map_or_else(|| self.shared.tail().head(), |last| last.revision)
    }

    pub(super) fn settle(&mut self, upto: Revision) -> Result<bool, redb::Error> {
        if self.tables.log()?.get(log::key(upto))?.is_none() {
            return Ok(false);
        }
        if upto > self.settled() {
            self.tables.about()?.insert(SETTLED, log::key(upto))?;
            self.done.pending.settled = Some(upto);
            self.done.changed = true;
        }
        Ok(true)
    }

    pub(super) fn trim(&mut self, older_than: Timestamp, limit: u64) -> Result<u64, redb::Error> {
        let settled = self.settled();
        let young = older_than.millis().saturating_mul(1_000);
        let log = self.tables.log()?;
        let newest = log.last()?.map(|(place, _)| log::revision(place.value()));
        let mut trimmed = 0;
        while trimmed < limit {
            let Some(first) = log.first()?.map(|(place, _)| log::revision(place.value())) else { break };
            if first > settled || first.micros >= young || Some(first) == newest {
                break;
            }
            log.remove(log::key(first))?;
            trimmed += 1;
            let before = self.done.pending.trimmed.map_or(0, |(count, _)| count);
            self.done.pending.trimmed = Some((before + 1, first));
            self.done.changed = true;
        }
        Ok(trimmed)
    }

    /// Forgets at most `limit` records and lists that fell due, if they expired indeed.
    pub(super) fn collect(&mut self, limit: usize) -> Result<(), redb::Error> {
        if self.now < self.done.next_due {
            return Ok(());
        }
        for _ in 0..limit {
            let first = self.tables.expiries()?.first()?.map(|(entry, _)| {
                let (due, kind, name) = entry.value();
                (due, kind, name.to_owned())
            });
            self.done.next_due = Timestamp::from_millis(first.as_ref().map_or(NEVER, |(due, _, _)| *due));
            let Some((due, kind, name)) = first else { return Ok(()) };
            if due > self.now.millis() {
                return Ok(());
            }
            self.tables.expiries()?.remove((due, kind, name.as_str()))?;
            self.done.changed = true;
            if kind == LIST { self.collect_list(&Name::new(&name))? } else { self.collect_record(&name)? }
        }
        Ok(())
    }

    fn collect_record(&mut self, name: &str) -> Result<(), redb::Error> {
        let records = self.tables.records()?;
        let Some(until) = records.get(name)?.map(|found| found.value().0) else { return Ok(()) };
        if until > self.now.millis() {
            return self.look_at(until, RECORD, name);
        }
        records.remove(name)?;
        Ok(())
    }

    fn collect_list(&mut self, list: &Name) -> Result<(), redb::Error> {
        match self.members(list)? {
            // A due entry is gone, so that the list needs another whatever its first member was.
            Some(members) => self.write_list(list.as_str(), None, &members::remove(members, &[], self.now)),
            None => Ok(()),
        }
    }

    /// A list's members; none if it is garbled.
    fn members(&mut self, list: &Name) -> Result<Option<Vec<Member>>, redb::Error> {
        let packed = self.tables.lists()?.get(list.as_str())?;
        Ok(packed.map_or(Some(Vec::new()), |packed| members::unpack(packed.value())))
    }

    /// Writes a list whose first member expired at `first` before.
    fn write_list(&mut self, list: &str, first: Option<Timestamp>, members: &[Member]) -> Result<(), redb::Error> {
        self.done.changed = true;
        let lists = self.tables.lists()?;
        let Some(earliest) = earliest(members) else {
            lists.remove(list)?;
            return Ok(());
        };
        lists.insert(list, members::pack(members).as_slice())?;
        if first.is_none_or(|first| earliest < first) { self.look_at(earliest.millis(), LIST, list) } else { Ok(()) }
    }

    fn look_at(&mut self, due: u64, kind: u8, name: &str) -> Result<(), redb::Error> {
        if due != NEVER {
            self.tables.expiries()?.insert((due, kind, name), ())?;
            self.done.next_due = self.done.next_due.min(Timestamp::from_millis(due));
        }
        Ok(())
    }

    fn settled(&self) -> Revision {
        self.done.pending.settled.unwrap_or_else(|| self.shared.tail().settled())
    }
}

fn earliest(members: &[Member]) -> Option<Timestamp> {
    members.first().map(|first| first.expires_at)
}

/// The tables of a transaction, opened when first needed: most batches touch two of them.
struct Tables<'txn> {
    transaction: &'txn WriteTransaction,
    records: Option<Table<'txn, &'static str, (u64, &'static [u8])>>,
    lists: Option<Table<'txn, &'static str, &'static [u8]>>,
    log: Option<Table<'txn, (u64, u64), &'static [u8]>>,
    expiries: Option<Table<'txn, (u64, u8, &'static str), ()>>,
    about: Option<Table<'txn, &'static str, (u64, u64)>>,
    lost: Option<Table<'txn, (u64, u64), (u64, u64)>>,
}

macro_rules! opened {
    ($table:ident, $definition:ident, $key:ty, $value:ty) => {
        fn $table(&mut self) -> Result<&mut Table<'txn, $key, $value>, TableError> {
            match &mut self.$table {
                Some(table) => Ok(table),
                closed => Ok(closed.insert(self.transaction.open_table($definition)?)),
            }
        }
    };
}

impl<'txn> Tables<'txn> {
    fn of(transaction: &'txn WriteTransaction) -> Self {
        Self { transaction, records: None, lists: None, log: None, expiries: None, about: None, lost: None }
    }

    opened!(records, RECORDS, &'static str, (u64, &'static [u8]));
    opened!(lists, LISTS, &'static str, &'static [u8]);
    opened!(log, LOG, (u64, u64), &'static [u8]);
    opened!(expiries, EXPIRIES, (u64, u8, &'static str), ());
    opened!(about, ABOUT, &'static str, (u64, u64));
    opened!(lost, LOST, (u64, u64), (u64, u64));
}

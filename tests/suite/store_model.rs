//! Random operations on a store and on a plain model of it, which must agree at every step; instantiated for every store at the foot.
//!
//! The model knows no time: what expires does so long ago or in ten minutes. What the contract says about time is tested there.

use crate::store_contract::Log;
use crate::store_contract::{Names, embedded_file, in_memory, on_cluster, on_redis, on_sentinel, stamp, value};
use bytes::Bytes;
use jeton::store::{Add, Durability, Followed, Logged, Member, Name, STAMP_BYTES, Store, Swap, Swapped};
use jeton_domain::revision::Revision;
use jeton_domain::time::{Millis, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Records and lists are chosen among so many, so that operations meet.
const NAMES: usize = 3;

/// More entries than a run appends.
const ALL: usize = 100_000;

#[derive(Clone, Debug)]
enum Expected {
    Absent,
    Current,
    Number(u64),
}

#[derive(Clone, Copy, Debug)]
enum Expiry {
    Never,
    Past,
    Later(u64),
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Start,
    /// One of all that ever were, trimmed or not.
    Known(usize),
    /// The random part of a known one is another.
    Foreign(usize),
}

#[derive(Clone, Debug)]
enum Operation {
    Get(Vec<usize>),
    Swap {
        record: usize,
        expected: Expected,
        becomes: Option<u64>,
        expiry: Expiry,
        also: Vec<usize>,
    },
    Add {
        list: usize,
        group: u8,
        member: u8,
        expiry: Expiry,
        group_cap: usize,
        list_cap: usize,
    },
    Remove {
        list: usize,
        members: Vec<(u8, u8)>,
    },
    List {
        list: usize,
        after: Option<(u64, u8, u8)>,
        limit: usize,
    },
    Append {
        entry: Vec<u8>,
        cursor: Place,
        not_below: Place,
    },
    Follow {
        cursor: Place,
        limit: usize,
    },
    Settle(Place),
    /// What is older than that place; none: all.
    Trim(Option<usize>),
}

fn operation() -> impl Strategy<Value = Operation> {
    let name = || 0..NAMES;
    let expected =
        prop_oneof![2 => Just(Expected::Absent), 3 => Just(Expected::Current), 1 => (0..6_u64).prop_map(Expected::Number)];
    let later = || (0..6_u64).prop_map(Expiry::Later);
    let record_expiry = prop_oneof![4 => Just(Expiry::Never), 3 => later(), 1 => Just(Expiry::Past)];
    let member_expiry = prop_oneof![8 => later(), 1 => Just(Expiry::Past)];
    let known = || 0..1_000_usize;
    let place =
        || prop_oneof![1 => Just(Place::Start), 5 => known().prop_map(Place::Known), 1 => known().prop_map(Place::Foreign)];
    prop_oneof![
        2 => vec(name(), 0..4).prop_map(Operation::Get),
        6 => (name(), expected, option::weighted(0.8, 0..6_u64), record_expiry, vec(name(), 0..3))
            .prop_map(|(record, expected, becomes, expiry, also)| Operation::Swap { record, expected, becomes, expiry, also }),
        6 => (name(), 0..3_u8, 0..4_u8, member_expiry, 1..4_usize, 1..7_usize)
            .prop_map(|(list, group, member, expiry, group_cap, list_cap)| Operation::Add { list, group, member, expiry, group_cap, list_cap }),
        1 => (name(), vec((0..3_u8, 0..4_u8), 1..3)).prop_map(|(list, members)| Operation::Remove { list, members }),
        3 => (name(), option::of((0..6_u64, 0..3_u8, 0..4_u8)), 1..8_usize)
            .prop_map(|(list, after, limit)| Operation::List { list, after, limit }),
        4 => (vec(any::<u8>(), 0..100), place(), place())
            .prop_map(|(entry, cursor, not_below)| Operation::Append { entry, cursor, not_below }),
        4 => (place(), 1..8_usize).prop_map(|(cursor, limit)| Operation::Follow { cursor, limit }),
        2 => place().prop_map(Operation::Settle),
        1 => option::of(known()).prop_map(Operation::Trim),
    ]
}

/// What a store must be like.
struct Model {
    base: Timestamp,
    records: BTreeMap<usize, Bytes>,
    lists: [BTreeSet<(Timestamp, Bytes)>; NAMES],
    log: Vec<Logged>,
    settled: Revision,
    /// Every place the log ever had, as far as this run knows.
    places: Vec<Revision>,
}

impl Model {
    fn at(&self, expiry: Expiry) -> Option<Timestamp> {
        match expiry {
            Expiry::Never => None,
            Expiry::Past => Some(self.base.minus(Millis::from_secs(60))),
            Expiry::Later(step) => Some(self.base.plus(Millis::from_secs(600)).plus(Millis::new(step))),
        }
    }

    fn place(&self, place: Place) -> Revision {
        let known = |i: usize| self.places.get(i % self.places.len().max(1)).copied().unwrap_or_default();
        match place {
            Place::Start => Revision::START,
            Place::Known(i) => known(i),
            Place::Foreign(i) => Revision { random: known(i).random ^ 1, ..known(i) },
        }
    }

    fn head(&self) -> Revision {
        self.log.last().map_or(Revision::START, |last| last.revision)
    }

    fn read(&self, records: &[usize]) -> Vec<Option<Bytes>> {
        records.iter().map(|record| self.records.get(record).cloned()).collect()
    }

    fn swap(&mut self, record: usize, expected: Option<[u8; STAMP_BYTES]>, becomes: Option<Bytes>, expired: bool) -> Swapped {
        let current = self.records.get(&record);
        if current.map(|bytes| &bytes[..STAMP_BYTES]) != expected.as_ref().map(<[u8; STAMP_BYTES]>::as_slice) {
            return Swapped::Conflict(current.cloned());
        }
        match becomes.filter(|_| !expired) {
            Some(bytes) => self.records.insert(record, bytes),
            None => self.records.remove(&record),
        };
        Swapped::Done
    }

    fn add(&mut self, list: usize, add: &Add) -> Vec<Member> {
        let members = &mut self.lists[list];
        members.retain(|(_, bytes)| *bytes != add.member.bytes);
        if add.member.expires_at > self.base {
            members.insert((add.member.expires_at, add.member.bytes.clone()));
        }
        let group = &add.member.bytes[..add.group_bytes];
        let (mut members, mut surplus) = (members.clone(), BTreeSet::new());
        while members.iter().filter(|(_, bytes)| bytes.starts_with(group)).count() > add.group_cap {
            let others = |(_, bytes): &&(Timestamp, Bytes)| bytes.starts_with(group) && *bytes != add.member.bytes;
            let earliest = members.iter().find(others).cloned().unwrap();
            members.remove(&earliest);
            surplus.insert(earliest);
        }
        while members.len() > add.list_cap {
            let earliest = members.iter().find(|(_, bytes)| *bytes != add.member.bytes).cloned().unwrap();
            members.remove(&earliest);
            surplus.insert(earliest);
        }
        surplus.into_iter().map(|(expires_at, bytes)| Member { bytes, expires_at }).collect()
    }

    fn list(&self, list: usize, after: Option<&Member>, limit: usize) -> Vec<Member> {
        let beyond = |expires_at: Timestamp, bytes: &Bytes| {
            after.is_none_or(|after| (expires_at, bytes) > (after.expires_at, &after.bytes))
        };
        let members = self.lists[list].iter().filter(|(expires_at, bytes)| beyond(*expires_at, bytes));
        members.take(limit).map(|(expires_at, bytes)| Member { bytes: bytes.clone(), expires_at: *expires_at }).collect()
    }

    /// (entries, gap, more)
    fn follow(&self, cursor: Revision, limit: usize) -> (Vec<Logged>, bool, bool) {
        let found = self.log.iter().position(|logged| logged.revision == cursor);
        let after = &self.log[found.map_or(0, |found| found + 1)..];
        let gap = found.is_none() && cursor != Revision::START;
        (after.iter().take(limit).cloned().collect(), gap, after.len() > limit)
    }

    fn settle(&mut self, upto: Revision) -> bool {
        let there = self.log.iter().any(|logged| logged.revision == upto);
        if there {
            self.settled = self.settled.max(upto);
        }
        there
    }

    fn trim(&mut self, older_than: Timestamp) -> u64 {
        let goes = |logged: &Logged| logged.revision <= self.settled && logged.revision.micros < older_than.millis() * 1_000;
        let count = self.log.iter().take_while(|logged| goes(logged)).count().min(self.log.len().saturating_sub(1));
        self.log.drain(..count);
        count as u64
    }
}

fn shown(followed: Followed) -> ((Vec<Logged>, bool, bool), Revision, Revision) {
    ((followed.entries, followed.gap, followed.more), followed.head, followed.settled)
}

fn member(group: u8, member: u8) -> Bytes {
    Bytes::copy_from_slice(&[group, member])
}

async fn play(store: &Arc<dyn Store>, names: &Names, operations: Vec<Operation>) -> Result<(), TestCaseError> {
    let records: [Name; NAMES] = std::array::from_fn(|_| names.anywhere());
    let lists: [Name; NAMES] = std::array::from_fn(|_| names.anywhere());
    let named = |chosen: &[usize]| chosen.iter().map(|i| records[*i].clone()).collect::<Vec<_>>();
    let found = store.follow_after(Revision::START, ALL).await.unwrap();
    let mut model = Model {
        base: store.time().await.unwrap().0,
        records: BTreeMap::new(),
        lists: Default::default(),
        places: found.entries.iter().map(|logged| logged.revision).collect(),
        log: found.entries,
        settled: found.settled,
    };
    for operation in operations {
        match operation.clone() {
            Operation::Get(chosen) => {
                prop_assert_eq!(store.get(&named(&chosen)).await.unwrap().values, model.read(&chosen), "{:?}", operation);
            }
            Operation::Swap { record, expected, becomes, expiry, also } => {
                let expected = match expected {
                    Expected::Absent => None,
                    Expected::Current => model.records.get(&record).map(|bytes| bytes[..STAMP_BYTES].try_into().unwrap()),
                    Expected::Number(number) => Some(stamp(number)),
                };
                let (becomes, expires_at) = (becomes.map(value), model.at(expiry));
                let swap = Swap {
                    name: records[record].clone(),
                    expected,
                    value: becomes.clone(),
                    expires_at,
                    needs: Durability::Applied,
                };
                let (swapped, read) = store.swap(&swap, &named(&also)).await.unwrap();
                prop_assert_eq!(
                    swapped,
                    model.swap(record, expected, becomes, matches!(expiry, Expiry::Past)),
                    "{:?}",
                    operation
                );
                prop_assert_eq!(read.values, model.read(&also), "{:?}", operation);
            }
            Operation::Add { list, group, member: one, expiry, group_cap, list_cap } => {
                let member = Member { bytes: member(group, one), expires_at: model.at(expiry).unwrap() };
                let add = Add { list: lists[list].clone(), member, group_bytes: 1, group_cap, list_cap };
                prop_assert_eq!(store.list_add(&add).await.unwrap(), model.add(list, &add), "{:?}", operation);
            }
            Operation::Remove { list, members } => {
                let gone: Vec<Bytes> = members.into_iter().map(|(group, one)| member(group, one)).collect();
                store.list_remove(&lists[list], &gone).await.unwrap();
                model.lists[list].retain(|(_, bytes)| !gone.contains(bytes));
            }
            Operation::List { list, after, limit } => {
                let expires_at = |step| model.at(Expiry::Later(step)).unwrap();
                let after = after.map(|(step, group, one)| Member { bytes: member(group, one), expires_at: expires_at(step) });
                let page = store.list(&lists[list], after.as_ref(), limit).await.unwrap();
                prop_assert_eq!(page, model.list(list, after.as_ref(), limit), "{:?}", operation);
            }
            Operation::Append { entry, cursor, not_below } => {
                let (cursor, not_below) = (model.place(cursor), model.place(not_below));
                let answer = store.append_after(&entry, cursor, not_below).await.unwrap();
                let revision = answer.head;
                prop_assert!(
                    revision.micros > model.head().micros.max(not_below.micros),
                    "{:?} was placed at {}",
                    operation,
                    revision
                );
                model.log.push(Logged { revision, entry: entry.into() });
                model.places.push(revision);
                let expected = (model.follow(cursor, ALL), revision, model.settled);
                prop_assert_eq!(shown(answer), expected, "{:?}", operation);
            }
            Operation::Follow { cursor, limit } => {
                let cursor = model.place(cursor);
                let answer = store.follow_after(cursor, limit).await.unwrap();
                let expected = (model.follow(cursor, limit), model.head(), model.settled);
                prop_assert_eq!(shown(answer), expected, "{:?}", operation);
            }
            Operation::Settle(upto) => {
                let upto = model.place(upto);
                prop_assert_eq!(store.settle(upto, None).await.unwrap(), model.settle(upto), "{:?}", operation);
            }
            Operation::Trim(place) => {
                let far = model.base.plus(Millis::from_secs(3_600));
                let older_than = place.map_or(far, |i| Timestamp::from_millis(model.place(Place::Known(i)).micros / 1_000));
                prop_assert_eq!(store.trim(older_than).await.unwrap(), model.trim(older_than), "{:?}", operation);
            }
        }
    }
    for (i, list) in lists.iter().enumerate() {
        prop_assert_eq!(store.list(list, None, 1_000).await.unwrap(), model.list(i, None, 1_000));
    }
    prop_assert_eq!(store.get(&records).await.unwrap().values, model.read(&[0, 1, 2]));
    prop_assert_eq!(store.follow_after(Revision::START, ALL).await.unwrap().entries, model.log);
    Ok(())
}

/// 200 runs of about 40 operations on one store, each with names of its own.
fn agrees(store: &Arc<dyn Store>, runtime: &tokio::runtime::Runtime) {
    let config = ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
    let names = Names::default();
    TestRunner::new(config)
        .run(&vec(operation(), 30..50), |operations| runtime.block_on(play(store, &names, operations)))
        .unwrap_or_else(|error| panic!("the store and its model disagree: {error}"));
}

macro_rules! agrees_with_the_model {
    ($opener:ident) => {
        mod $opener {
            #[test]
            fn agrees_with_the_model() {
                let runtime = tokio::runtime::Runtime::new().unwrap();
                let (_alive, store) = runtime.block_on(super::$opener());
                super::agrees(&store, &runtime);
            }
        }
    };
}

agrees_with_the_model!(in_memory);
agrees_with_the_model!(embedded_file);
agrees_with_the_model!(on_redis);
agrees_with_the_model!(on_sentinel);
agrees_with_the_model!(on_cluster);

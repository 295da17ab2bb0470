//! How what is registered at run time lies in the store: in parts, each changed as a whole, and an index of which changed.
//!
//! A replica reads the index again and again, and then the parts whose mark is another. A mark is written after its part, so that who sees
//! the mark sees the change; a change whose mark was never written is found by the round through all parts that goes on beside. What a
//! replica holds and the store has lost (a failover, a restored backup) it puts back: of two states of one name the one that was changed
//! more often is the newer, and a deleted name leaves a trace until nothing of it can live any more.

use super::entry::{Entry, Kind, Value};
use super::stored::{Part, Stored};
use crate::random;
use crate::records::proto::{Registration, RegistryIndexRecord, RegistryPartRecord};
use crate::records::{Records, Step, name, stamp};
use crate::store::Durability;
use jeton_domain::error::{Error, Result};
use jeton_domain::time::Timestamp;

/// In how many parts all of it lies.
pub(in crate::records) const PARTS: usize = 1_024;
/// How many are read at once.
const AT_ONCE: usize = 64;
/// How many are read again each time, whatever their marks say.
pub(super) const ROUND: usize = 32;
/// The bytes of a mark.
const MARK_BYTES: usize = 8;
/// The most that is registered at run time: clients and resources together.
pub const MAX_REGISTERED: usize = 50_000;
/// The longest that one may be, as a message.
const MAX_BODY_BYTES: usize = 32 * 1_024;
/// The longest that a part may be: several times what so many bring by chance.
const MAX_PART_BYTES: usize = 512 * 1_024;

/// A mark.
pub(super) type Mark = [u8; MARK_BYTES];

impl Kind {
    /// The part that a name falls into.
    pub(super) fn part_of(self, id: &str) -> usize {
        let mut hash = crc32fast::Hasher::new();
        hash.update(&self.code().to_be_bytes());
        hash.update(id.as_bytes());
        usize::try_from(hash.finalize()).unwrap_or_default() % PARTS
    }
}

impl Records {
    /// What is registered now, by what was `held` and what changed since; all of it where nothing was held. Where it `heals`, what the
    /// store has lost is put back, but for the traces of what was deleted before that moment.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`, `RootKeyMissing`.
    pub async fn follow_registry(&self, held: &Stored, heals: Option<Timestamp>) -> Result<Stored> {
        let marks = marks_of(self.read_one::<RegistryIndexRecord>(&name::registry()).await?.0.map(|index| index.value));
        let mut now = Stored { marks: marks.iter().copied().map(Some).collect(), ..held.clone() };
        for numbers in held.due(&marks).chunks(AT_ONCE) {
            let names: Vec<_> = numbers.iter().copied().map(name::registry_part).collect();
            let found = self.read_raw(&names).await?;
            for ((number, name), found) in numbers.iter().copied().zip(&names).zip(found) {
                let mut stamp = found.as_ref().and_then(stamp);
                if stamp.is_some_and(|stamp| held.is_of(number, stamp)) {
                    continue;
                }
                let found = self.open::<RegistryPartRecord>(name, found)?;
                let mut read = Part::of(&found.map(|found| found.value).unwrap_or_default())?;
                let lost = heals.map(|before| held.held(number).ahead_of(&read, before)).unwrap_or_default();
                if !lost.is_empty() {
                    tracing::warn!(count = lost.len(), "registrations were put back: the store had lost how they are");
                    read = self.put_back(number, &lost).await?;
                    stamp = None;
                    now.wrote(number);
                }
                now.take_in(number, read, stamp);
            }
        }
        now.round = (now.round + ROUND) % PARTS;
        Ok(now)
    }

    /// Changes one: `change` sees how it is and answers what it becomes (none: deleted), or refuses. Answers how it is then, and takes it
    /// into `held`. Durable when it answers.
    ///
    /// # Errors
    /// What `change` refuses with, `RegistryFull`, `Contended`, the store.
    pub async fn change_registered(
        &self,
        kind: Kind,
        id: &str,
        held: &mut Stored,
        forget_before: Timestamp,
        mut change: impl FnMut(Option<&Entry>) -> Result<Option<Value>>,
    ) -> Result<Entry> {
        let number = kind.part_of(id);
        let etag = random::bytes()?;
        let now = self.clock().now();
        let changed = self
            .change_part(number, |record| {
                let mut registrations = record.registrations.clone();
                let before = registrations.extract_if(.., |one| one.kind == kind.code() && one.id == id).last();
                let before = before.as_ref().map(|before| Entry::of(kind, before)).transpose()?;
                let value = change(before.as_ref())?;
                let is_new = before.as_ref().is_none_or(|before| before.value.is_none());
                let entry = Entry {
                    change: before.as_ref().map_or(0, |before| before.change).saturating_add(1),
                    etag,
                    created_at: if is_new { now } else { before.map_or(now, |before| before.created_at) },
                    changed_at: now,
                    value,
                };
                let own = entry.record(kind, id);
                if own.body.len() > MAX_BODY_BYTES {
                    return Err(Error::invalid(kind.word(), format!("is longer than {MAX_BODY_BYTES} bytes as a whole")));
                }
                registrations.push(own);
                registrations.retain(|one| !one.body.is_empty() || one.changed_at >= forget_before.millis());
                Ok((RegistryPartRecord { registrations }, entry))
            })
            .await?;
        let (record, entry) = changed;
        held.take_in(number, Part::of(&record)?, None);
        held.wrote(number);
        Ok(entry)
    }

    /// Puts registrations back that are newer than what is there.
    async fn put_back(&self, number: usize, lost: &[Registration]) -> Result<Part> {
        let (record, ()) = self
            .change_part(number, |record| {
                let mut registrations = record.registrations.clone();
                for one in lost {
                    let is_same = |other: &Registration| other.kind == one.kind && other.id == one.id;
                    if registrations.iter().any(|other| is_same(other) && other.change >= one.change) {
                        continue;
                    }
                    registrations.retain(|other| !is_same(other));
                    registrations.push(one.clone());
                }
                Ok((RegistryPartRecord { registrations }, ()))
            })
            .await?;
        Part::of(&record)
    }

    /// Changes a part, then its mark. Answers the part as it is then.
    async fn change_part<D>(
        &self,
        number: usize,
        mut change: impl FnMut(&RegistryPartRecord) -> Result<(RegistryPartRecord, D)>,
    ) -> Result<(RegistryPartRecord, D)> {
        let name = name::registry_part(number);
        let loaded = self.read_one::<RegistryPartRecord>(&name).await?;
        let decided = self
            .decide(
                &name,
                loaded,
                Durability::Replicated,
                |held, _| {
                    let (changed, answer) = change(&held.cloned().unwrap_or_default())?;
                    if prost::Message::encoded_len(&changed) > MAX_PART_BYTES {
                        return Err(Error::RegistryFull("its part of the registry holds too much".into()));
                    }
                    Ok((Step::Write(changed.clone(), None), (changed, answer)))
                },
                |_| Vec::new(),
            )
            .await?;
        self.mark(number).await?;
        Ok(decided.answer)
    }

    /// Says that a part changed.
    async fn mark(&self, number: usize) -> Result<()> {
        let name = name::registry();
        let mark: Mark = random::bytes()?;
        let loaded = self.read_one::<RegistryIndexRecord>(&name).await?;
        self.decide(
            &name,
            loaded,
            // As durable as its part, for who sees the revocation of a client looks here whether it was deleted.
            Durability::Replicated,
            |held, _| {
                let mut marks = marks_of(held.cloned());
                if let Some(held) = marks.get_mut(number) {
                    *held = mark;
                }
                Ok((Step::Write(RegistryIndexRecord { marks: marks.into_flattened() }, None), ()))
            },
            |()| Vec::new(),
        )
        .await
        .map(|_decided| ())
    }
}

/// The marks of all parts.
fn marks_of(index: Option<RegistryIndexRecord>) -> Vec<Mark> {
    let bytes = index.map(|index| index.marks).unwrap_or_default();
    let (marks, _) = bytes.as_chunks::<MARK_BYTES>();
    marks.iter().copied().chain(std::iter::repeat(Mark::default())).take(PARTS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_lies_in_the_part_that_it_always_did() {
        assert_eq!((Kind::Client.part_of("till"), Kind::Resource.part_of("https://shop.internal")), (101, 825));
    }
}

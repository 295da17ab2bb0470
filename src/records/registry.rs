//! Clients and resources that are registered at run time, in the store: in parts, each changed as a whole, and an index of which changed.
//!
//! A replica holds all of it, reads the index again and again, and then the parts whose mark is another. A mark is written after its part,
//! so that who sees the mark sees the change; a change whose mark was never written is found by the round through all parts that goes on
//! beside. What a replica holds and the store has lost (a failover, a restored backup) it puts back: of two states of one name the one
//! that was changed more often is the newer, and a deleted name leaves a trace until nothing of it can live any more.
//!
//! Must not live here: what may be registered (`domain`), who asks for what (`clients`).

use crate::random;
use crate::records::documents::Ceilings;
use crate::records::proto::{Registration, RegistryIndexRecord, RegistryPartRecord};
use crate::records::registered::{self, StoredClient};
use crate::records::{Records, Step, name};
use crate::store::Durability;
use jeton_domain::client::{Algorithm, Client};
use jeton_domain::error::{Error, Result};
use jeton_domain::name::ClientId;
use jeton_domain::resource::Resource;
use jeton_domain::time::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;

/// In how many parts all of it lies.
const PARTS: usize = 1_024;
/// How many are read at once.
const AT_ONCE: usize = 64;
/// How many are read again each time, whatever their marks say.
const ROUND: usize = 32;
/// The bytes of a mark.
const MARK_BYTES: usize = 8;
/// The most that is registered at run time: clients and resources together.
pub const MAX_REGISTERED: usize = 50_000;
/// The longest that one may be, as a message.
const MAX_BODY_BYTES: usize = 32 * 1_024;
/// The longest that a part may be: several times what so many bring by chance.
const MAX_PART_BYTES: usize = 512 * 1_024;

/// A mark.
type Mark = [u8; MARK_BYTES];

/// What kind of thing is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A client.
    Client,
    /// A resource.
    Resource,
}

/// One that is registered, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How often it was changed.
    pub change: u64,
    /// Another after each change.
    pub etag: [u8; 8],
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was changed last, or deleted.
    pub changed_at: Timestamp,
    /// What it is; none: it was deleted.
    pub value: Option<Value>,
}

/// What is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A client.
    Client(StoredClient),
    /// A resource.
    Resource(Arc<Resource>),
}

/// What is registered at run time, as a replica holds it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Under which mark each part was read; none: it is to be read, whatever its mark says.
    marks: Vec<Option<Mark>>,
    parts: Vec<Arc<Part>>,
    /// Where the round through all parts goes on.
    round: usize,
}

impl Default for Stored {
    fn default() -> Self {
        Self { marks: vec![None; PARTS], parts: vec![Arc::default(); PARTS], round: 0 }
    }
}

/// The names that fall into one part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Part {
    clients: HashMap<Box<str>, Entry>,
    resources: HashMap<Box<str>, Entry>,
}

impl Kind {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Client, Self::Resource];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Resource => "resource",
        }
    }

    const fn code(self) -> u32 {
        match self {
            Self::Client => 1,
            Self::Resource => 2,
        }
    }

    /// The part that a name falls into.
    fn part_of(self, id: &str) -> usize {
        let mut hash = crc32fast::Hasher::new();
        hash.update(&self.code().to_be_bytes());
        hash.update(id.as_bytes());
        usize::try_from(hash.finalize()).unwrap_or_default() % PARTS
    }
}

impl Value {
    /// Of which kind it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Client(_) => Kind::Client,
            Self::Resource(_) => Kind::Resource,
        }
    }

    /// The client, where it is one.
    #[must_use]
    pub const fn client(&self) -> Option<&StoredClient> {
        match self {
            Self::Client(client) => Some(client),
            Self::Resource(_) => None,
        }
    }

    /// The resource, where it is one.
    #[must_use]
    pub const fn resource(&self) -> Option<&Arc<Resource>> {
        match self {
            Self::Resource(resource) => Some(resource),
            Self::Client(_) => None,
        }
    }

    fn record(&self) -> Vec<u8> {
        match self {
            Self::Client(client) => registered::client_record(client),
            Self::Resource(resource) => registered::resource_record(resource),
        }
    }
}

impl Entry {
    fn of(record: &Registration) -> Result<Self> {
        let value = match (record.body.is_empty(), record.kind) {
            (true, _) => None,
            (false, 1) => Some(Value::Client(registered::client(&record.id, &record.body)?)),
            (false, 2) => Some(Value::Resource(Arc::new(registered::resource(&record.id, &record.body)?))),
            (false, _) => {
                return Err(Error::RecordUnreadable("a newer version registered what is no client and no resource".into()));
            }
        };
        Ok(Self {
            change: record.change,
            etag: record.etag.as_slice().try_into().unwrap_or_default(),
            created_at: Timestamp::from_millis(record.created_at),
            changed_at: Timestamp::from_millis(record.changed_at),
            value,
        })
    }

    fn record(&self, kind: Kind, id: &str) -> Registration {
        Registration {
            kind: kind.code(),
            id: id.to_owned(),
            change: self.change,
            etag: self.etag.to_vec(),
            created_at: self.created_at.millis(),
            changed_at: self.changed_at.millis(),
            body: self.value.as_ref().map(Value::record).unwrap_or_default(),
        }
    }
}

impl Part {
    fn of(record: &RegistryPartRecord) -> Result<Self> {
        let mut part = Self::default();
        for one in &record.registrations {
            let kind = Kind::ALL.into_iter().find(|kind| kind.code() == one.kind);
            let kind = kind.ok_or_else(|| Error::RecordUnreadable("a newer version registered another kind".into()))?;
            part.of_kind_mut(kind).insert(one.id.as_str().into(), Entry::of(one)?);
        }
        Ok(part)
    }

    const fn of_kind(&self, kind: Kind) -> &HashMap<Box<str>, Entry> {
        match kind {
            Kind::Client => &self.clients,
            Kind::Resource => &self.resources,
        }
    }

    const fn of_kind_mut(&mut self, kind: Kind) -> &mut HashMap<Box<str>, Entry> {
        match kind {
            Kind::Client => &mut self.clients,
            Kind::Resource => &mut self.resources,
        }
    }

    /// What this replica knows to be newer than `read`, but for the traces of what was deleted before that moment.
    fn ahead_of(&self, read: &Self, forget_before: Timestamp) -> Vec<Registration> {
        let ahead = |kind: Kind| {
            let others = read.of_kind(kind);
            let is_newer = move |id: &str, entry: &Entry| others.get(id).is_none_or(|other| other.change < entry.change);
            let is_known = move |entry: &Entry| entry.value.is_some() || entry.changed_at >= forget_before;
            let newer = self.of_kind(kind).iter().filter(move |(id, entry)| is_newer(id, entry) && is_known(entry));
            newer.map(move |(id, entry)| entry.record(kind, id))
        };
        Kind::ALL.into_iter().flat_map(ahead).collect()
    }
}

impl Stored {
    /// What is known of a name.
    #[must_use]
    pub fn entry(&self, kind: Kind, id: &str) -> Option<&Entry> {
        self.parts.get(kind.part_of(id))?.of_kind(kind).get(id)
    }

    /// The client of that id.
    #[must_use]
    pub fn client(&self, id: &ClientId) -> Option<&StoredClient> {
        self.entry(Kind::Client, id.as_str())?.value.as_ref()?.client()
    }

    /// Every one of a kind that is registered, in no order.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = (&str, &Entry, &Value)> {
        let entries = self.parts.iter().flat_map(move |part| part.of_kind(kind));
        entries.filter_map(|(id, entry)| Some((&**id, entry, entry.value.as_ref()?)))
    }

    /// Whether nothing is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        Kind::ALL.into_iter().all(|kind| self.all(kind).next().is_none())
    }

    /// How many are registered.
    #[must_use]
    pub fn len(&self) -> usize {
        Kind::ALL.into_iter().map(|kind| self.all(kind).count()).sum()
    }

    /// Whether it says what another says, and was made of it.
    #[must_use]
    pub fn is_unchanged(&self, since: &Self) -> bool {
        self.parts.iter().zip(&since.parts).all(|(own, others)| Arc::ptr_eq(own, others))
    }

    /// Whether the resources are those of another.
    #[must_use]
    pub fn same_resources(&self, other: &Self) -> bool {
        self.parts.iter().zip(&other.parts).all(|(own, others)| Arc::ptr_eq(own, others) || own.resources == others.resources)
    }

    /// The longest lifetimes that it can hand out.
    #[must_use]
    pub fn longest(&self) -> Ceilings {
        let of_client = |client: &Client| Ceilings { access_token: client.id_token_lifetime, grant: client.absolute_lifetime };
        let clients = self.all(Kind::Client).filter_map(|(.., value)| Some(of_client(&value.client()?.client)));
        let resources = self.all(Kind::Resource).filter_map(|(.., value)| value.resource());
        let of_resources = resources
            .map(|resource| Ceilings { access_token: resource.access_token_lifetime, grant: resource.access_token_lifetime });
        clients.chain(of_resources).fold(Ceilings::default(), Ceilings::max)
    }

    /// Whether something of it is signed with RS256.
    #[must_use]
    pub fn uses_rs256(&self) -> bool {
        let of = |value: &Value| match value {
            Value::Client(client) => client.client.id_token_algorithm,
            Value::Resource(resource) => resource.algorithm,
        };
        Kind::ALL.into_iter().any(|kind| self.all(kind).any(|(.., value)| of(value) == Algorithm::Rs256))
    }

    fn held(&self, number: usize) -> Arc<Part> {
        self.parts.get(number).map(Arc::clone).unwrap_or_default()
    }

    fn take_in(&mut self, number: usize, part: Part) {
        // One that says the same stays, so that nothing built on it is built again.
        if let Some(held) = self.parts.get_mut(number).filter(|held| ***held != part) {
            *held = Arc::new(part);
        }
    }

    /// This replica wrote a part: what came before it and after it is not known.
    fn wrote(&mut self, number: usize) {
        if let Some(mark) = self.marks.get_mut(number) {
            *mark = None;
        }
    }

    /// The parts to be read: those whose mark is another, and the next of the round.
    fn due(&self, marks: &[Mark]) -> Vec<usize> {
        let in_round = |number: usize| (number + PARTS - self.round) % PARTS < ROUND;
        let is_read = |number: usize| self.marks.get(number).copied().flatten() == marks.get(number).copied();
        let is_due = |number: &usize| !is_read(*number) || in_round(*number);
        (0..PARTS).filter(is_due).collect()
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
            let (found, _) = self.read::<RegistryPartRecord>(&names).await?;
            for (number, found) in numbers.iter().copied().zip(found) {
                let mut read = Part::of(&found.map(|found| found.value).unwrap_or_default())?;
                let lost = heals.map(|before| held.held(number).ahead_of(&read, before)).unwrap_or_default();
                if !lost.is_empty() {
                    tracing::warn!(count = lost.len(), "registrations were put back: the store had lost how they are");
                    read = self.put_back(number, &lost).await?;
                    now.wrote(number);
                }
                now.take_in(number, read);
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
                let before = before.as_ref().map(Entry::of).transpose()?;
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
                Ok((Some(RegistryPartRecord { registrations }), entry))
            })
            .await?;
        let (record, entry) = changed;
        held.take_in(number, Part::of(&record)?);
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
                Ok((Some(RegistryPartRecord { registrations }), ()))
            })
            .await?;
        Part::of(&record)
    }

    /// Changes a part, then its mark. Answers the part as it is then.
    async fn change_part<D>(
        &self,
        number: usize,
        mut change: impl FnMut(&RegistryPartRecord) -> Result<(Option<RegistryPartRecord>, D)>,
    ) -> Result<(RegistryPartRecord, D)> {
        let name = name::registry_part(number);
        let loaded = self.read_one::<RegistryPartRecord>(&name).await?;
        let decided = self
            .decide(
                &name,
                loaded,
                Durability::Replicated,
                |held, _| {
                    let held = held.cloned().unwrap_or_default();
                    let (changed, answer) = change(&held)?;
                    let Some(changed) = changed else { return Ok((Step::Keep, (held, answer))) };
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

//! What is registered at run time, as a replica holds it: in the parts that it has in the store, so that what did not change is shared.

use super::entry::{Entry, Kind, Value};
use super::parts::{Mark, PARTS, ROUND};
use crate::records::documents::Ceilings;
use crate::records::proto::{Registration, RegistryPartRecord};
use crate::records::registered::StoredClient;
use crate::store::Stamp;
use jeton_domain::client::Algorithm;
use jeton_domain::error::{Error, Result};
use jeton_domain::name::ClientId;
use jeton_domain::time::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;

/// What is registered at run time, as a replica holds it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Under which mark each part was read; none: it is to be read, whatever its mark says.
    pub(super) marks: Vec<Option<Mark>>,
    pub(super) parts: Vec<Arc<Part>>,
    /// The stamp of what each part was read from: what has it still says the same, and need not be opened.
    pub(super) stamps: Vec<Option<Stamp>>,
    /// Where the round through all parts goes on.
    pub(super) round: usize,
}

impl Default for Stored {
    fn default() -> Self {
        Self { marks: vec![None; PARTS], parts: vec![Arc::default(); PARTS], stamps: vec![None; PARTS], round: 0 }
    }
}

/// The names that fall into one part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    clients: HashMap<Box<str>, Entry>,
    resources: HashMap<Box<str>, Entry>,
    /// How many of them are registered, the longest lifetimes that they can hand out, and whether one is signed with RS256: so that who
    /// asks for that of all looks at the parts alone.
    count: usize,
    longest: Ceilings,
    uses_rs256: bool,
}

impl Part {
    pub(super) fn of(record: &RegistryPartRecord) -> Result<Self> {
        let mut part = Self::default();
        for one in &record.registrations {
            let kind = Kind::ALL.into_iter().find(|kind| kind.code() == one.kind);
            let kind = kind
                .ok_or_else(|| Error::RecordUnreadable("a newer version registered what is no client and no resource".into()))?;
            let entry = Entry::of(kind, one)?;
            if let Some(value) = &entry.value {
                part.count = part.count.saturating_add(1);
                part.longest = part.longest.max(longest(value));
                part.uses_rs256 |= algorithm(value) == Algorithm::Rs256;
            }
            part.of_kind_mut(kind).insert(one.id.as_str().into(), entry);
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
    pub(super) fn ahead_of(&self, read: &Self, forget_before: Timestamp) -> Vec<Registration> {
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
        self.len() == 0
    }

    /// How many are registered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.count).sum()
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
        self.parts.iter().map(|part| part.longest).fold(Ceilings::default(), Ceilings::max)
    }

    /// Whether something of it is signed with RS256.
    #[must_use]
    pub fn uses_rs256(&self) -> bool {
        self.parts.iter().any(|part| part.uses_rs256)
    }

    pub(super) fn held(&self, number: usize) -> Arc<Part> {
        self.parts.get(number).map(Arc::clone).unwrap_or_default()
    }

    /// Whether a part was read from what has this stamp.
    pub(super) fn is_of(&self, number: usize, stamp: Stamp) -> bool {
        self.stamps.get(number).copied().flatten() == Some(stamp)
    }

    /// A part as it is, by what has that stamp; none: that is not known.
    pub(super) fn take_in(&mut self, number: usize, part: Part, stamp: Option<Stamp>) {
        if let Some(held) = self.stamps.get_mut(number) {
            *held = stamp;
        }
        // One that says the same stays, so that nothing built on it is built again.
        if let Some(held) = self.parts.get_mut(number).filter(|held| ***held != part) {
            *held = Arc::new(part);
        }
    }

    /// This replica wrote a part: what came before it and after it is not known.
    pub(super) fn wrote(&mut self, number: usize) {
        if let Some(mark) = self.marks.get_mut(number) {
            *mark = None;
        }
    }

    /// The parts to be read: those whose mark is another, and the next of the round.
    pub(super) fn due(&self, marks: &[Mark]) -> Vec<usize> {
        let in_round = |number: usize| (number + PARTS - self.round) % PARTS < ROUND;
        let is_read = |number: usize| self.marks.get(number).copied().flatten() == marks.get(number).copied();
        let is_due = |number: &usize| !is_read(*number) || in_round(*number);
        (0..PARTS).filter(is_due).collect()
    }
}

/// The longest lifetimes that one can hand out.
fn longest(value: &Value) -> Ceilings {
    match value {
        Value::Client(StoredClient { client, .. }) => {
            Ceilings { access_token: client.id_token_lifetime, grant: client.absolute_lifetime }
        }
        Value::Resource(resource) => {
            Ceilings { access_token: resource.access_token_lifetime, grant: resource.access_token_lifetime }
        }
    }
}

/// What one has signed.
fn algorithm(value: &Value) -> Algorithm {
    match value {
        Value::Client(client) => client.client.id_token_algorithm,
        Value::Resource(resource) => resource.algorithm,
    }
}

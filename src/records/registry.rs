//! Clients and resources as they are known at one moment: those of the configuration file and those that were registered at run time.
//!
//! Lives here: what is known of them (`Registry`), one registration (`entry`), all of those at run time as a replica holds them (`stored`)
//! and as they lie in the store (`parts`), whether a client proved who it is (`authenticate`). Must not live here: what may be registered
//! (`domain`), who asks for what (`service`).
//!
//! What the file names nobody changes: where a name is registered too, the file's is meant.

mod authenticate;
mod entry;
mod parts;
mod stored;

pub use entry::{Entry, Kind, Value};
pub use parts::MAX_REGISTERED;
pub(super) use parts::PARTS;
pub use stored::Stored;

use crate::clock::Clock;
use crate::records::documents::Ceilings;
use jeton_domain::client::Client;
use jeton_domain::name::{ClientId, ResourceId};
use jeton_domain::resource::{Resource, Resources};
use jeton_domain::revision::Revision;
use jeton_domain::time::Millis;
use std::collections::HashMap;
use std::sync::Arc;

/// The clients and resources that are known. Never changed: another takes its place.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// Those of the file.
    clients: Arc<HashMap<ClientId, Arc<Client>>>,
    of_file: Arc<Resources>,
    /// Those of the file, then the others in the order of their ids.
    resources: Arc<Resources>,
    stored: Stored,
    has_stored: bool,
    remarks: Arc<[String]>,
    /// Where the view of revocations stood before the store was asked.
    since: Revision,
    /// When the store was asked, on the clock's run; none: never yet.
    asked: Option<Millis>,
}

impl Registry {
    /// As configured. What is registered at run time is not known yet.
    #[must_use]
    pub fn new(clients: Vec<Client>, resources: Resources) -> Self {
        let resources = Arc::new(resources);
        Self {
            clients: Arc::new(clients.into_iter().map(|client| (client.id.clone(), Arc::new(client))).collect()),
            of_file: Arc::clone(&resources),
            resources,
            ..Self::default()
        }
    }

    /// With others in the file. What is registered at run time stays as it is known.
    #[must_use]
    pub fn configured(&self, clients: Vec<Client>, resources: Resources) -> Self {
        let of_file = Self::new(clients, resources);
        let now = Self { clients: of_file.clients, of_file: of_file.of_file, ..self.clone() };
        let now = Self { resources: now.joined(&now.stored), ..now };
        Self { remarks: now.remarkable().into(), ..now }
    }

    /// With what is registered as the store says that was asked at `asked` of the clock's run, when the view stood at `since`.
    #[must_use]
    pub fn with(&self, stored: Stored, since: Revision, asked: Millis) -> Self {
        let now = Self { since, asked: Some(asked), ..self.clone() };
        if stored.is_unchanged(&self.stored) { Self { stored, ..now } } else { now.holding(stored) }
    }

    /// With what this replica has registered itself.
    #[must_use]
    pub fn holding(&self, stored: Stored) -> Self {
        let resources = if stored.same_resources(&self.stored) { Arc::clone(&self.resources) } else { self.joined(&stored) };
        let now = Self { resources, has_stored: !stored.is_empty(), stored, ..self.clone() };
        Self { remarks: now.remarkable().into(), ..now }
    }

    fn joined(&self, stored: &Stored) -> Arc<Resources> {
        let own = stored.all(Kind::Resource).filter_map(|(.., value)| value.resource());
        let mut others: Vec<&Arc<Resource>> = own.filter(|resource| self.of_file.find(&resource.id).is_none()).collect();
        others.sort_by(|one, other| one.id.cmp(&other.id));
        Arc::new(self.of_file.shared().chain(others).map(Arc::clone).collect())
    }

    /// What is registered at run time.
    #[must_use]
    pub const fn stored(&self) -> &Stored {
        &self.stored
    }

    /// Whether it may be answered from: it is provably no older than `max_staleness`, or is of the file alone.
    #[must_use]
    pub fn is_fresh(&self, run: Millis, max_staleness: Millis) -> bool {
        self.asked.is_some_and(|asked| !self.has_stored || Clock::is_fresh(asked, run, max_staleness))
    }

    /// When the store was asked last, on the clock's run.
    #[must_use]
    pub const fn asked(&self) -> Option<Millis> {
        self.asked
    }

    /// Where the view of revocations stood before the store was asked: what was deleted by a revocation above it may still be in it.
    #[must_use]
    pub const fn since(&self) -> Revision {
        self.since
    }

    /// The client of that id.
    #[must_use]
    pub fn client(&self, id: &ClientId) -> Option<&Arc<Client>> {
        self.clients.get(id).or_else(|| self.stored.client(id).map(|stored| &stored.client))
    }

    /// The resources that a client is the server of; none where it is not known.
    #[must_use]
    pub fn serves(&self, id: &ClientId) -> &[ResourceId] {
        self.client(id).map(|client| client.serves.as_slice()).unwrap_or_default()
    }

    /// Whether a name is the id of a client.
    #[must_use]
    pub fn is_client(&self, name: &str) -> bool {
        ClientId::parse("client_id", name).is_ok_and(|id| self.client(&id).is_some())
    }

    /// Whether the file names this client.
    #[must_use]
    pub fn client_of_file(&self, id: &ClientId) -> Option<&Arc<Client>> {
        self.clients.get(id)
    }

    /// Whether the file names this resource.
    #[must_use]
    pub fn resource_of_file(&self, id: &ResourceId) -> Option<&Resource> {
        self.of_file.find(id)
    }

    /// Every client.
    pub fn clients(&self) -> impl Iterator<Item = &Arc<Client>> {
        let stored = self.stored.all(Kind::Client).filter_map(|(.., value)| value.client()).map(|stored| &stored.client);
        self.clients.values().chain(stored.filter(|client| !self.clients.contains_key(&client.id)))
    }

    /// Whether its clients are the very ones of another; it may say no where they only say the same.
    #[must_use]
    pub fn has_clients_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.clients, &other.clients) && self.stored.is_unchanged(&other.stored)
    }

    /// The clients of the file.
    pub fn clients_of_file(&self) -> impl Iterator<Item = &Arc<Client>> {
        self.clients.values()
    }

    /// The resources of the file.
    pub fn resources_of_file(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.of_file.shared()
    }

    /// The resources.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        &self.resources
    }

    /// The longest lifetimes that what is registered at run time can hand out.
    #[must_use]
    pub fn longest(&self) -> Ceilings {
        self.stored.longest()
    }

    /// Whether something that is registered at run time is signed with RS256.
    #[must_use]
    pub fn uses_rs256(&self) -> bool {
        self.stored.uses_rs256()
    }

    /// What an operator should know: names that are registered and that the file has too, scopes that two resources own.
    #[must_use]
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    fn remarkable(&self) -> Vec<String> {
        let hidden = |what: &str, command: &str, id: &str| {
            format!(
                "{what} `{id}` is in the configuration file and registered at run time too: the file's is meant; take it out of the \
                 file, or delete the other (`jeton {command} delete {id}`)"
            )
        };
        let is_stored = |kind: Kind, id: &str| self.stored.entry(kind, id).is_some_and(|entry| entry.value.is_some());
        let clients = self.clients.keys().map(ClientId::as_str).filter(|id| is_stored(Kind::Client, id));
        let of_file = self.of_file.shared().map(|resource| resource.id.as_str()).filter(|id| is_stored(Kind::Resource, id));
        let hidden =
            clients.map(|id| hidden("client", "clients", id)).chain(of_file.map(|id| hidden("resource", "resources", id)));
        let resources = self.stored.all(Kind::Resource).filter_map(|(.., value)| value.resource());
        let shared = resources.flat_map(|resource| resource.scopes.iter().map(move |scope| (resource, scope))).filter_map(
            |(resource, scope)| {
                let owner = self.resources.owner(scope).filter(|owner| owner.id != resource.id)?;
                Some(format!(
                    "scope `{scope}` of resource `{}` is owned by `{}`: take it out of one of them",
                    resource.id, owner.id
                ))
            },
        );
        let mut all: Vec<String> = hidden.chain(shared).collect();
        all.sort();
        all
    }
}

//! Which clients are looked at: those that the store lists as to be told something, and beside them, in turn, some of all that may be. So
//! a look costs the store the same however many are registered, and one that is missing in that list is found.

use crate::records::logouts::ToTell;
use crate::records::registry::Registry;
use jeton_domain::client::{Algorithm, Client};
use jeton_domain::endpoint::Endpoint;
use jeton_domain::id::TargetId;
use jeton_domain::name::ClientId;
use jeton_domain::target::Salt;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

/// How many of the list are looked at each time, at the most: the next ones the next time.
pub const PAGE: usize = 1_000;
/// How many are looked at each time, whatever the list says.
const ROUND: usize = 32;

/// A client that is told.
#[derive(Clone, Debug)]
pub struct Party {
    pub id: ClientId,
    pub target: TargetId,
    pub uri: Endpoint,
    pub algorithm: Algorithm,
}

/// A client to be looked at.
#[derive(Clone, Debug)]
pub struct Look {
    pub party: Arc<Party>,
    /// Whether the store lists it.
    pub is_listed: bool,
}

/// The clients that are told where they have something to be.
#[derive(Default)]
pub struct Parties {
    registry: Arc<Registry>,
    all: BTreeMap<TargetId, Arc<Party>>,
    /// Where the list goes on.
    pub page: Option<ToTell>,
    /// Where the round goes on.
    round: Option<TargetId>,
}

impl Parties {
    /// Those of the registry as it is now.
    pub fn follow(&mut self, registry: Arc<Registry>, salt: &Salt) {
        if registry.has_clients_of(&self.registry) {
            return;
        }
        let known: HashMap<&ClientId, TargetId> = self.all.values().map(|party| (&party.id, party.target)).collect();
        let party = |client: &Arc<Client>| {
            let uri = client.backchannel_logout_uri.clone()?;
            let target = known.get(&client.id).copied().unwrap_or_else(|| salt.client(&client.id));
            let party = Party { id: client.id.clone(), target, uri, algorithm: client.id_token_algorithm };
            Some((target, Arc::new(party)))
        };
        self.all = registry.clients().filter_map(party).collect();
        self.registry = registry;
    }

    /// All clients of the list, where this page of it is the whole.
    pub fn all_of(&self, page: &[ToTell]) -> Option<HashSet<TargetId>> {
        (self.page.is_none() && page.len() < PAGE).then(|| page.iter().map(|one| one.client).collect())
    }

    /// Whom to look at now, by the page of the list that was read from where it goes on.
    pub fn looks(&mut self, page: Vec<ToTell>) -> Vec<Look> {
        let listed = page.iter().filter_map(|one| self.all.get(&one.client));
        let listed: Vec<Look> = listed.map(|party| Look { party: Arc::clone(party), is_listed: true }).collect();
        self.page = page.into_iter().nth(PAGE.saturating_sub(1));
        let begins = self.round.map_or(Bound::Unbounded, Bound::Excluded);
        let next: Vec<Arc<Party>> =
            self.all.range((begins, Bound::Unbounded)).take(ROUND).map(|(_, party)| Arc::clone(party)).collect();
        self.round = if next.len() < ROUND { None } else { next.last().map(|party| party.target) };
        listed.into_iter().chain(next.into_iter().map(|party| Look { party, is_listed: false })).collect()
    }
}

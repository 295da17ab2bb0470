//! The registry: what this replica knows of clients and resources, how it follows the store, and how they are changed.
//!
//! Requests are answered from memory. What must be certain is certain all the same: a client that was deleted is dead by a revocation, and
//! who issues reads the registry again where it has seen such a one since. What may be stale (a secret that was taken back, a policy) is
//! so for less than `max_staleness`: an older registry is read again before it is answered from, or the request is refused as unavailable.

use crate::floors::LEEWAY;
use crate::random;
use crate::records::GRACE;
use crate::records::documents::Ceilings;
use crate::records::registry::{Entry, Kind, MAX_REGISTERED, Registry, Value};
use crate::service::Service;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::client::Client;
use jeton_domain::client_secret;
use jeton_domain::error::{ClientRefusal, Error, Result};
use jeton_domain::name::ClientId;
use jeton_domain::registration::Problem;
use jeton_domain::secret::SecretText;
use jeton_domain::time::{Millis, Timestamp};
use std::sync::Arc;
use zeroize::Zeroizing;

/// A replica that has not followed for so long believes the store, and puts nothing back.
const HEALS_FOR: Millis = Millis::from_secs(3_600);

/// What is said of a registration beside what it is. All absent for one of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// What an update must name.
    pub etag: String,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub changed_at: Timestamp,
}

impl Registered {
    pub(super) fn of(entry: &Entry) -> Self {
        Self { etag: written(&entry.etag), created_at: entry.created_at, changed_at: entry.changed_at }
    }
}

/// A page of registrations.
#[derive(Clone, Debug)]
pub struct RegistryPage<T> {
    /// In the order of their names.
    pub entries: Vec<T>,
    /// Where to go on.
    pub next: Option<String>,
}

/// Which are asked for.
#[derive(Clone, Debug)]
pub struct ListRegistered {
    /// The most to answer. 1 to 1,000.
    pub limit: usize,
    /// Where to go on, from the page before.
    pub page_token: Option<String>,
}

impl Service {
    /// Clients and resources as this replica knows them. From memory.
    pub(super) fn registry(&self) -> Arc<Registry> {
        self.in_force(|held| &held.registry)
    }

    /// The same, and read again first where it may be stale.
    pub(super) async fn fresh_registry(&self) -> Result<Arc<Registry>> {
        let registry = self.registry();
        if registry.is_fresh(self.clock.run(), self.alive.max_staleness()) {
            return Ok(registry);
        }
        self.follow_registry().await?;
        Ok(self.registry())
    }

    /// The same, for what a client asks: one of the file has nothing to do with what the store holds.
    pub(super) async fn registry_for(&self, client: &ClientId) -> Result<Arc<Registry>> {
        let registry = self.registry();
        if registry.client_of_file(client).is_some() { Ok(registry) } else { self.fresh_registry().await }
    }

    /// Takes in what was registered at any replica until now. For start and background.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`, `RootKeyMissing`. Then the registry stays as it was.
    pub async fn follow_registry(&self) -> Result<()> {
        self.following.join(|| self.read_registry()).await
    }

    async fn read_registry(&self) -> Result<()> {
        let _turn = self.registering.lock().await;
        let before = self.registry();
        let (since, run) = (self.alive.seen(), self.clock.run());
        let is_recent = before.asked().is_some_and(|asked| run.minus(asked) < HEALS_FOR);
        let heals = is_recent.then(|| self.traces_end());
        let stored = self.records.follow_registry(before.stored(), heals).await?;
        self.take_over(&before, before.with(stored, since, run)).await
    }

    /// What an operator should know of the registry, in words.
    #[must_use]
    pub fn registry_remarks(&self) -> Vec<String> {
        self.registry().remarks().to_vec()
    }

    /// Makes sure of what a registry needs, and answers from it then.
    async fn take_over(&self, before: &Registry, registry: Registry) -> Result<()> {
        if !registry.stored().is_unchanged(before.stored()) {
            self.provide_for(registry.longest(), registry.uses_rs256()).await?;
        }
        self.put_in_force(|held| held.registry = Arc::new(registry));
        Ok(())
    }

    /// Before what lives so long is handed out, or is signed with RS256: the store knows that lifetime, and there are keys.
    pub(super) async fn provide_for(&self, longest: Ceilings, uses_rs256: bool) -> Result<()> {
        let known = self.alive.ceilings();
        if known.max(longest) != known {
            self.alive.raise_ceilings(longest).await?;
        }
        let keep = self.alive.ceilings().access_token.plus(LEEWAY);
        if self.signing.allow_for(keep, uses_rs256) {
            self.refresh_keys().await?;
        }
        Ok(())
    }

    /// Changes one registration: `change` sees how it is and answers what it becomes (none: deleted), or refuses.
    pub(super) async fn change_registered(
        &self,
        kind: Kind,
        id: &str,
        change: impl FnMut(Option<&Entry>) -> Result<Option<Value>>,
    ) -> Result<Entry> {
        let _turn = self.registering.lock().await;
        let before = self.registry();
        let mut stored = before.stored().clone();
        let entry = self.records.change_registered(kind, id, &mut stored, self.traces_end(), change).await?;
        self.take_over(&before, before.holding(stored)).await?;
        Ok(entry)
    }

    /// The traces of what was deleted before this need not be kept: nothing of it can live.
    fn traces_end(&self) -> Timestamp {
        self.clock.now().minus(self.alive.ceilings().grant.plus(GRACE).plus(GRACE))
    }

    /// Refuses one more where there are too many.
    pub(super) fn has_place(registry: &Registry) -> Result<()> {
        if registry.stored().len() < MAX_REGISTERED {
            return Ok(());
        }
        Err(Error::RegistryFull(format!("{MAX_REGISTERED} clients and resources are registered, and no more can be")))
    }

    /// What issues to a client that was deleted since this replica read the registry would outlive it: where the view has a revocation of
    /// the client that is newer than that, the registry is read again. Catch up before.
    pub(super) async fn still_registered(&self, client: &Client) -> Result<()> {
        let registry = self.registry();
        if registry.client_of_file(&client.id).is_some() {
            return Ok(());
        }
        let target = self.alive.salt().client(&client.id);
        let (raised, is_whole) = self.alive.with_floors_if_whole(|floors| floors.killing(&[target], registry.since().born()));
        if raised.is_none() && is_whole {
            return Ok(());
        }
        self.follow_registry().await?;
        // Another may have its name by now, and this one proved that it is the first.
        let is_there = self.registry().client(&client.id).is_some_and(|now| now.kind == client.kind);
        if is_there { Ok(()) } else { Err(Error::InvalidClient(ClientRefusal::Unknown)) }
    }
}

/// A secret that nobody has yet, and its hash.
pub(super) fn new_secret() -> Result<(SecretText, [u8; 32])> {
    let secret = client_secret::of(&Zeroizing::new(random::bytes::<32>()?));
    let hash = client_secret::hash(&secret);
    Ok((secret, hash))
}

/// The mistakes among problems, by their fields of the API; the doubts, in words.
pub(super) fn judged(of: &str, problems: Vec<Problem>) -> Result<Vec<String>> {
    let (mistakes, doubts): (Vec<Problem>, Vec<Problem>) = problems.into_iter().partition(|problem| problem.is_mistake);
    if mistakes.is_empty() {
        return Ok(doubts.into_iter().map(|doubt| doubt.words).collect());
    }
    let named = |problem: Problem| {
        let field = problem.fields.first().copied().unwrap_or_default();
        let entry = problem.entry.map(|at| format!("[{at}]")).unwrap_or_default();
        (format!("{of}.{field}{entry}"), problem.words)
    };
    Err(Error::RegistrationUnsound(mistakes.into_iter().map(named).collect()))
}

/// Refuses where what is asked for names another state than this one.
pub(super) fn same_etag(entry: &Entry, etag: Option<&str>, what: &str) -> Result<()> {
    if etag.is_none_or(|etag| etag == written(&entry.etag)) {
        return Ok(());
    }
    Err(Error::RegistrationChanged(format!("{what} was changed since it was read: its etag is another")))
}

fn written(etag: &[u8; 8]) -> String {
    URL_SAFE_NO_PAD.encode(etag)
}

/// The page of names, in their order, that comes after the one that `asked` ends with.
pub(super) fn page_of<T>(asked: &ListRegistered, mut all: Vec<(&str, T)>) -> Result<RegistryPage<T>> {
    let refuse = || Error::invalid("page_token", "is not the `next_page_token` of a page before");
    let after = match &asked.page_token {
        None => None,
        Some(token) => {
            let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_other| refuse())?;
            Some(String::from_utf8(bytes).map_err(|_other| refuse())?)
        }
    };
    all.retain(|(name, _)| after.as_deref().is_none_or(|after| *name > after));
    let more = all.len() > asked.limit;
    if more {
        // Only those of the page are put in order.
        all.select_nth_unstable_by_key(asked.limit, |(name, _)| *name);
        all.truncate(asked.limit);
    }
    all.sort_unstable_by_key(|(name, _)| *name);
    let next = all.last().filter(|_| more).map(|(name, _)| URL_SAFE_NO_PAD.encode(name));
    Ok(RegistryPage { entries: all.into_iter().map(|(_, entry)| entry).collect(), next })
}

//! The keys of others that are at an address, `jwks_uri`: kept, and fetched again beside the requests.
//!
//! A request waits for a fetch only where nothing that is kept can answer it, and never for that of another address. Must not live here:
//! connections and their bounds (`outbound`), which keys of a set are read (the domain's `jwk`).

use crate::clock::Clock;
use crate::outbound::Outbound;
use crate::service::Service;
use futures_util::future::join_all;
use jeton_domain::assertion::{Assertion, Refusal};
use jeton_domain::client::ClientKind;
use jeton_domain::endpoint::Endpoint;
use jeton_domain::error::{Error, Result};
use jeton_domain::jwk::{Jwk, KeySet, KeySource, MAX_KEYS};
use jeton_domain::time::Millis;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::task::TaskTracker;

/// Keys that were fetched longer ago are fetched again, so that one that was taken away is not believed for long.
const FRESH: Millis = Millis::from_secs(300);
/// Keys that were fetched longer ago, and could not be since, are believed no more.
const STALE: Millis = Millis::from_secs(3_600);
/// The least time between two fetches of one address, whatever keys are asked for.
const PAUSE: Millis = Millis::from_secs(10);
const MEDIA_TYPES: &str = "application/jwk-set+json, application/json";

/// What was fetched, by its address.
#[derive(Debug)]
pub(super) struct ForeignKeys {
    clock: Clock,
    outbound: Arc<Outbound>,
    places: Mutex<HashMap<Endpoint, Arc<Place>>>,
    /// Fetches, at most one of each place. They end by the bounds of `outbound`; nothing is lost where the process ends first.
    begun: TaskTracker,
}

/// One address.
#[derive(Debug, Default)]
struct Place {
    held: Mutex<Held>,
    /// Held by who fetches; whoever comes meanwhile shares what he gets.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone, Debug, Default)]
struct Held {
    keys: Option<Fetched>,
    tried_at: Option<Millis>,
}

#[derive(Clone, Debug)]
struct Fetched {
    keys: Arc<KeySet>,
    /// When they were asked for, by the process's own clock.
    at: Millis,
}

impl ForeignKeys {
    pub fn new(clock: Clock, outbound: Arc<Outbound>) -> Arc<Self> {
        Arc::new(Self { clock, outbound, places: Mutex::default(), begun: TaskTracker::new() })
    }

    fn place(&self, endpoint: &Endpoint) -> Arc<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(places.entry(endpoint.clone()).or_default())
    }

    /// Fetches, unless that was tried a moment ago. What is wrong, for the log.
    ///
    /// Who waits for it may go: it goes on, for one that is too slow for requests would else be tried in vain again and again.
    async fn fetch(self: &Arc<Self>, endpoint: &Endpoint, place: &Arc<Place>) -> Result<(), String> {
        let turn = Arc::clone(&place.turn).lock_owned().await;
        let now = self.clock.run();
        if !place.begins(now) {
            return Ok(());
        }
        let (keys, endpoint, place) = (Arc::clone(self), endpoint.clone(), Arc::clone(place));
        let fetching = async move {
            let _turn = turn;
            let keys = fetch_keys(&keys.outbound, &endpoint).await.map_err(|problem| format!("{endpoint}: {problem}"))?;
            place.held().keys = Some(Fetched { keys: Arc::new(keys), at: now });
            Ok(())
        };
        self.begun.spawn(fetching).await.map_err(|ended| ended.to_string())?
    }
}

/// The keys that are at an address now.
///
/// # Errors
/// Why there are none, in words for the operator.
pub async fn fetch_keys(outbound: &Outbound, endpoint: &Endpoint) -> Result<KeySet, String> {
    let answer = outbound.get(endpoint, MEDIA_TYPES).await.map_err(|failure| failure.to_string())?;
    if answer.status != 200 {
        return Err(format!("it answers {} and no keys", answer.status));
    }
    let (keys, unfit) =
        KeySet::read(&answer.body).ok_or_else(|| format!("what is there is no JWK set of at most {MAX_KEYS} keys"))?;
    for (place, why) in unfit {
        tracing::debug!(%endpoint, place, %why, "a key is not used");
    }
    Ok(keys)
}

impl Place {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is believed now.
    fn keys(&self, now: Millis) -> Option<Arc<KeySet>> {
        let held = self.held();
        held.keys.as_ref().filter(|fetched| now.minus(fetched.at) <= STALE).map(|fetched| Arc::clone(&fetched.keys))
    }

    /// Whether a fetch may begin now: then it does.
    fn begins(&self, now: Millis) -> bool {
        let mut held = self.held();
        let begins = held.tried_at.is_none_or(|tried| now.minus(tried) >= PAUSE);
        if begins {
            held.tried_at = Some(now);
        }
        begins
    }

    fn is_fresh(&self, now: Millis) -> bool {
        self.held().keys.as_ref().is_some_and(|fetched| now.minus(fetched.at) < FRESH)
    }
}

impl Service {
    /// The key that an assertion must be signed with.
    ///
    /// # Errors
    /// `KeysUnavailable` where none were fetched, or too long ago.
    pub(super) async fn key_of(&self, source: &KeySource, assertion: &Assertion<'_>) -> Result<Result<Jwk, Refusal>> {
        let find = |keys: &KeySet| keys.find(assertion.kid.as_deref(), assertion.signs).cloned();
        let endpoint = match source {
            KeySource::Inline(keys) => return Ok(find(keys).ok_or(Refusal::UnknownKey)),
            KeySource::Uri(endpoint) => endpoint,
        };
        let place = self.foreign_keys.place(endpoint);
        if let Some(key) = place.keys(self.clock.run()).and_then(|keys| find(&keys)) {
            return Ok(Ok(key));
        }
        if let Err(problem) = self.foreign_keys.fetch(endpoint, &place).await {
            tracing::debug!(problem, "keys could not be fetched");
        }
        let keys = place.keys(self.clock.run()).ok_or_else(|| Error::KeysUnavailable(endpoint.to_string()))?;
        Ok(find(&keys).ok_or(Refusal::UnknownKey))
    }

    /// Fetches the keys at every address that is configured, where they are not fresh, side by side; forgets those of others.
    ///
    /// # Errors
    /// What could not be fetched, in words for the log.
    pub async fn refetch_keys(&self) -> Result<(), String> {
        let now = self.clock.run();
        let configured: HashSet<Endpoint> = self.key_addresses();
        {
            let mut places = self.foreign_keys.places.lock().unwrap_or_else(PoisonError::into_inner);
            places.retain(|endpoint, _| configured.contains(endpoint));
        }
        let fetches = configured.iter().map(|endpoint| async move {
            let place = self.foreign_keys.place(endpoint);
            if place.is_fresh(now) { Ok(()) } else { self.foreign_keys.fetch(endpoint, &place).await }
        });
        let problems: Vec<String> = join_all(fetches).await.into_iter().filter_map(|fetched| fetched.err()).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    fn key_addresses(&self) -> HashSet<Endpoint> {
        let of = |source: &KeySource| match source {
            KeySource::Uri(endpoint) => Some(endpoint.clone()),
            KeySource::Inline(_) => None,
        };
        let registry = self.registry();
        let clients = registry.clients().filter_map(|client| match &client.kind {
            ClientKind::Confidential { keys: Some(source), .. } => of(source),
            _ => None,
        });
        let terms = self.terms();
        let of_callers = terms.caller_tokens.as_ref().and_then(|terms| of(&terms.keys));
        clients.chain(terms.issuers.iter().filter_map(|issuer| of(&issuer.keys))).chain(of_callers).collect()
    }
}

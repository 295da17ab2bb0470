//! What do we know? Typed, sealed records: their names, their TTLs, and the load-decide-swap loop.
//!
//! Lives here: grants, sessions and what clients are to be told of them, devices, floors, clients and resources, proofs that were shown, the service's own documents,
//! and what is sealed anew (`reseal`). Must not live here: rules about them (`domain`),
//! how bytes are kept (`store`), how they are sealed (`roots`).

pub mod devices;
pub mod documents;
pub mod floors;
pub mod grants;
pub mod logouts;
pub mod name;
pub mod registered;
pub mod registry;
mod reseal;
pub mod sessions;
pub mod proto {
    //! The messages of `proto/jeton/records/v1`, as generated.
    tonic::include_proto!("jeton.records.v1");
}
pub mod codes;
mod shown;

use crate::clock::Clock;
use crate::random;
use crate::roots::{self, Roots};
use crate::store::{Durability, Name, Read, STAMP_BYTES, Stamp, Store, StoreError, Swap, Swapped};
use crate::telemetry;
use bytes::Bytes;
use jeton_domain::error::{Error, Result};
use jeton_domain::id::Identity;
use jeton_domain::time::{Millis, Timestamp};
use prost::Message;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// What is kept longer than the decision needs, so that a clock that differs a little finds no gap.
pub const GRACE: Millis = Millis::from_secs(3_600);

const _: () = assert!(roots::FRONT_BYTES == STAMP_BYTES, "the front of a sealed value is what a swap compares");

/// How often a lost race is run again before the request is given up as contended.
const ATTEMPTS: u32 = 8;

/// Records in a store, sealed under the ring of root keys. Cheap to clone.
#[derive(Clone)]
pub struct Records {
    store: Arc<dyn Store>,
    roots: Arc<Roots>,
    clock: Clock,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Records(..)")
    }
}

/// A record as read: what it says, and the stamp that a swap must find.
#[derive(Clone, Debug)]
pub struct Held<T> {
    /// What it says.
    pub value: T,
    stamp: Stamp,
}

/// What becomes of a record after a decision.
#[derive(Debug)]
pub enum Step<T> {
    /// It stays.
    Keep,
    /// It stays, and was perhaps written just now by a request that was cut off: it must be as durable as if it were written here.
    Confirm,
    /// It becomes this, forgotten after the given moment (none: never).
    Write(T, Option<Timestamp>),
}

/// What a decision led to.
#[derive(Debug)]
pub struct Decided<D> {
    /// The decision.
    pub answer: D,
    /// The records read after it, in order.
    pub also: Vec<Option<Bytes>>,
}

impl Records {
    /// Over a store, sealed under `roots`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, roots: Arc<Roots>, clock: Clock) -> Self {
        Self { store, roots, clock }
    }

    /// The clock that expiry is decided on.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The root keys.
    #[must_use]
    pub const fn roots(&self) -> &Arc<Roots> {
        &self.roots
    }

    /// The store below.
    #[must_use]
    pub const fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Reads several records.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`, `RootKeyMissing`.
    pub async fn read<T: Message + Default>(&self, names: &[Name]) -> Result<(Vec<Option<Held<T>>>, Identity)> {
        let Read { values, identity } = self.store.get(names).await.map_err(unavailable)?;
        let held = names.iter().zip(values).map(|(name, value)| self.open(name, value)).collect::<Result<_>>()?;
        Ok((held, identity))
    }

    /// Reads one record.
    ///
    /// # Errors
    /// As `read`.
    pub async fn read_one<T: Message + Default>(&self, name: &Name) -> Result<(Option<Held<T>>, Identity)> {
        let (mut held, identity) = self.read(std::slice::from_ref(name)).await?;
        Ok((held.pop().flatten(), identity))
    }

    /// Loads (or takes what was loaded), decides, swaps, and reads `also` after the swap; on a lost race decides again,
    /// at most eight times with jittered pauses. An unknown outcome of a swap is resolved by reading: one's own stamp is success.
    ///
    /// `decide` sees the record as it is now and the identity of the primary it came from.
    ///
    /// # Errors
    /// What `decide` refuses with, `Contended`, the store.
    pub async fn decide<T, D>(
        &self,
        name: &Name,
        loaded: (Option<Held<T>>, Identity),
        needs: Durability,
        mut decide: impl FnMut(Option<&T>, Identity) -> Result<(Step<T>, D)>,
        also: impl Fn(&D) -> Vec<Name>,
    ) -> Result<Decided<D>>
    where
        T: Message + Default,
    {
        let (mut held, mut identity) = loaded;
        let mut refused = None;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(random::up_to(Duration::from_millis(1_u64 << attempt.min(7)))).await;
            }
            let (step, answer) = {
                let _span = telemetry::child("decide").entered();
                decide(held.as_ref().map(|held| &held.value), identity)?
            };
            let names = also(&answer);
            let (value, expires_at) = match step {
                Step::Write(value, expires_at) => (value, expires_at),
                kept => {
                    if matches!(kept, Step::Confirm) {
                        self.confirm(name, needs).await?;
                    }
                    return Ok(Decided { answer, also: self.read_raw(&names).await? });
                }
            };
            let sealed = self.roots.seal(name.as_str(), &Zeroizing::new(value.encode_to_vec()))?;
            let swap = Swap {
                name: name.clone(),
                expected: held.as_ref().map(|held| held.stamp),
                value: Some(sealed.clone()),
                expires_at,
                needs,
            };
            match self.store.swap(&swap, &names).await {
                Ok((Swapped::Done, read)) => return Ok(Decided { answer, also: read.values }),
                Ok((Swapped::Conflict(now), read)) => {
                    held = self.open(name, now)?;
                    identity = read.identity;
                }
                Err(undurable @ StoreError::NotDurable(_)) => return Err(unavailable(undurable)),
                Err(lost) => {
                    let read =
                        self.store.get(std::slice::from_ref(name)).await.map_err(|_still_lost| unavailable(lost.clone()))?;
                    refused = Some(lost);
                    let now = read.values.into_iter().next().flatten();
                    if now.as_ref().and_then(stamp) == stamp(&sealed) {
                        self.confirm(name, needs).await?;
                        return Ok(Decided { answer, also: self.read_raw(&names).await? });
                    }
                    held = self.open(name, now)?;
                    identity = read.identity;
                }
            }
        }
        Err(refused.map_or(Error::Contended, unavailable))
    }

    /// Writes a new record as durably as the store can, and reads `also` after it. False where one is there already: only creates.
    ///
    /// # Errors
    /// `NotDurable`, the store.
    async fn create<T: Message>(
        &self,
        name: Name,
        value: &T,
        keep_until: Timestamp,
        also: &[Name],
    ) -> Result<(bool, Vec<Option<Bytes>>)> {
        let sealed = self.roots.seal(name.as_str(), &Zeroizing::new(value.encode_to_vec()))?;
        let needs = Durability::Replicated;
        let swap = Swap { name, expected: None, value: Some(sealed.clone()), expires_at: Some(keep_until), needs };
        match self.store.swap(&swap, also).await {
            Ok((swapped, read)) => Ok((matches!(swapped, Swapped::Done), read.values)),
            Err(undurable @ StoreError::NotDurable(_)) => Err(unavailable(undurable)),
            Err(lost) => {
                // What is there now tells whether it happened: nothing else has this stamp.
                let names: Vec<Name> = std::iter::once(&swap.name).chain(also).cloned().collect();
                let mut now = self.read_raw(&names).await.map_err(|_still_lost| unavailable(lost.clone()))?.into_iter();
                let is_own = now.next().flatten().is_some_and(|held| held == sealed);
                if !is_own {
                    return Err(unavailable(lost));
                }
                self.confirm(&swap.name, needs).await?;
                Ok((true, now.collect()))
            }
        }
    }

    async fn confirm(&self, name: &Name, needs: Durability) -> Result<()> {
        if needs == Durability::Applied || self.store.durability() == Durability::Applied {
            return Ok(());
        }
        self.store.confirm(name).await.map_err(unavailable)
    }

    /// Opens one record of a raw read.
    ///
    /// # Errors
    /// `RecordUnreadable`, `RootKeyMissing`.
    pub fn open<T: Message + Default>(&self, name: &Name, value: Option<Bytes>) -> Result<Option<Held<T>>> {
        let Some(value) = value else { return Ok(None) };
        let stamp = stamp(&value).ok_or_else(|| Error::RecordUnreadable("it is too short".into()))?;
        let plain = self.roots.open(name.as_str(), &value)?;
        let value =
            T::decode(plain.as_slice()).map_err(|_garbled| Error::RecordUnreadable("it is not the expected message".into()))?;
        Ok(Some(Held { value, stamp }))
    }

    /// Reads several records as they are, in order; `open` and `killing_floor` read them.
    ///
    /// # Errors
    /// The store.
    pub async fn read_raw(&self, names: &[Name]) -> Result<Vec<Option<Bytes>>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.store.get(names).await.map_err(unavailable)?.values)
    }
}

/// What a store's refusal is to the domain: never `absent`, never `revoked`.
#[must_use]
pub fn unavailable(error: StoreError) -> Error {
    match error {
        StoreError::Unavailable(problem) | StoreError::Broken(problem) => Error::StoreUnavailable(problem),
        StoreError::NotDurable(problem) => Error::NotDurable(problem),
        StoreError::Restored(problem) => Error::ShardRestored(problem),
    }
}

fn stamp(value: &Bytes) -> Option<Stamp> {
    value.get(..STAMP_BYTES)?.try_into().ok()
}

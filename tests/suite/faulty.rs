//! A store with faults that are switched on: what must be survived, and what must be found. No tests here.

use async_trait::async_trait;
use bytes::Bytes;
use jeton::store::{
    Add, Durability, Followed, Member, Name, Position, Read, STAMP_BYTES, Store, StoreError, Swap, Swapped, Wrong,
};
use jeton_domain::id::{Identity, ReplicaId};
use jeton_domain::revision::Revision;
use jeton_domain::time::{Millis, Timestamp};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

type Answer<T> = Result<T, StoreError>;

/// A store over a real one.
pub struct Faulty {
    store: Arc<dyn Store>,
    /// How often records were read.
    pub gets: AtomicUsize,
    /// The lists that were read, one after the other.
    pub lists: Mutex<Vec<Name>>,
    /// Swaps are made and their replies lost.
    pub loses: AtomicBool,
    /// Nothing is appended.
    pub appends_nothing: AtomicBool,
    /// Nothing is swapped.
    pub swaps_nothing: AtomicBool,
    /// A record is overwritten, whatever was expected of it.
    pub compares_nothing: AtomicBool,
    /// What is swapped or appended is done, and never answered.
    pub hangs: AtomicBool,
    /// How many calls hang.
    pub hanging: AtomicUsize,
    /// How many calls on records and lists are answered before one fails; whether that one is made all the same.
    pub fails_after: Mutex<Option<(usize, bool)>>,
}

impl Faulty {
    /// Without a fault as yet.
    pub fn over(store: Arc<dyn Store>) -> Self {
        let [loses, appends_nothing, swaps_nothing, compares_nothing, hangs] = [(); 5].map(|()| AtomicBool::new(false));
        Self {
            store,
            gets: AtomicUsize::new(0),
            lists: Mutex::default(),
            loses,
            appends_nothing,
            swaps_nothing,
            compares_nothing,
            hangs,
            hanging: AtomicUsize::new(0),
            fails_after: Mutex::default(),
        }
    }

    async fn counted<T>(&self, call: impl Future<Output = Answer<T>> + Send) -> Answer<T> {
        let fault = {
            let mut left = self.fails_after.lock().unwrap();
            let now = *left;
            *left = now.and_then(|(calls, made)| Some((calls.checked_sub(1)?, made)));
            now
        };
        match fault {
            Some((0, made)) => {
                if made {
                    drop(call.await);
                }
                Err(StoreError::Unavailable("it fails once".into()))
            }
            _ => call.await,
        }
    }

    /// The answer, or none ever.
    async fn answered<T>(&self, answer: T) -> T {
        if self.hangs.load(Ordering::SeqCst) {
            self.hanging.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        answer
    }

    /// Swaps whatever is there.
    async fn overwrite(&self, swap: &Swap, also: &[Name]) -> Answer<(Swapped, Read)> {
        loop {
            let found = self.store.get(std::slice::from_ref(&swap.name)).await?.values.remove(0);
            let expected = found.map(|bytes| bytes[..STAMP_BYTES].try_into().unwrap());
            let (swapped, read) = self.store.swap(&Swap { expected, ..swap.clone() }, also).await?;
            if swapped == Swapped::Done {
                return Ok((swapped, read));
            }
        }
    }
}

#[async_trait]
impl Store for Faulty {
    async fn get(&self, names: &[Name]) -> Answer<Read> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.counted(self.store.get(names)).await
    }

    async fn swap(&self, swap: &Swap, also: &[Name]) -> Answer<(Swapped, Read)> {
        if self.swaps_nothing.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("full".into()));
        }
        if self.compares_nothing.load(Ordering::SeqCst) && swap.expected.is_some() {
            return self.overwrite(swap, also).await;
        }
        let answer = self.answered(self.counted(self.store.swap(swap, also)).await).await;
        if self.loses.load(Ordering::SeqCst) { Err(StoreError::Unavailable("lost".into())) } else { answer }
    }

    async fn list_add(&self, add: &Add) -> Answer<Vec<Member>> {
        self.counted(self.store.list_add(add)).await
    }

    async fn list_remove(&self, list: &Name, members: &[Bytes]) -> Answer<()> {
        self.counted(self.store.list_remove(list, members)).await
    }

    async fn list(&self, list: &Name, after: Option<&Member>, limit: usize) -> Answer<Vec<Member>> {
        self.lists.lock().unwrap().push(list.clone());
        self.counted(self.store.list(list, after, limit)).await
    }

    async fn append(&self, entries: &[Bytes], position: Position) -> Answer<(Followed, Durability)> {
        if self.appends_nothing.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("full".into()));
        }
        self.answered(self.store.append(entries, position).await).await
    }

    async fn follow(&self, position: Position, limit: usize) -> Answer<Followed> {
        self.store.follow(position, limit).await
    }

    async fn changed(&self, cursor: Revision) -> Answer<()> {
        self.store.changed(cursor).await
    }

    async fn confirm(&self, name: &Name) -> Answer<()> {
        self.store.confirm(name).await
    }

    async fn beat(&self, replica: ReplicaId, horizon: Millis, joins: bool) -> Answer<()> {
        self.store.beat(replica, horizon, joins).await
    }

    async fn leave(&self, replica: ReplicaId) -> Answer<()> {
        self.store.leave(replica).await
    }

    async fn healed(&self, replica: ReplicaId, under: Identity) -> Answer<bool> {
        self.store.healed(replica, under).await
    }

    async fn accept(&self, position: Position) -> Answer<Revision> {
        self.store.accept(position).await
    }

    async fn settle(&self, upto: Revision, under: Option<Identity>) -> Answer<bool> {
        self.store.settle(upto, under).await
    }

    async fn trim(&self, older_than: Timestamp) -> Answer<u64> {
        self.store.trim(older_than).await
    }

    async fn time(&self) -> Answer<(Timestamp, Millis)> {
        self.store.time().await
    }

    async fn health(&self) -> Answer<Vec<Wrong>> {
        self.store.health().await
    }
}

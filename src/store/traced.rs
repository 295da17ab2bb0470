//! A store whose calls are spans, and are counted and timed by operation and outcome.
//!
//! Lives here: watching. Must not live here: retrying, caching, or anything that changes an answer.

use super::{Add, Due, Durability, Followed, Member, Name, Position, Read, Store, StoreError, Swap, Swapped, Wrong};
use crate::telemetry::{self, metrics};
use async_trait::async_trait;
use bytes::Bytes;
use jeton_domain::id::{Identity, ReplicaId};
use jeton_domain::revision::Revision;
use jeton_domain::time::{Millis, Timestamp};
use std::future::Future;
use std::time::Instant;
use tracing::Instrument as _;

/// Watches `S`.
#[derive(Debug)]
pub struct Traced<S>(S);

impl<S> Traced<S> {
    /// Watches this store.
    pub const fn new(store: S) -> Self {
        Self(store)
    }
}

/// Counts a call that is dropped before it is answered as `dropped`: that is how a deadline looks from here.
struct Call {
    operation: &'static str,
    outcome: &'static str,
    started: Instant,
}

impl Drop for Call {
    fn drop(&mut self) {
        metrics::store_call(self.operation, self.outcome, self.started);
        metrics::STORE_CALLS_IN_FLIGHT.level([]).fall();
    }
}

/// `name` is the span, `store.` and the operation.
async fn watched<T>(
    name: &'static str,
    call: impl Future<Output = Result<T, StoreError>>,
    ok: impl FnOnce(&T) -> &'static str,
) -> Result<T, StoreError> {
    let operation = name.strip_prefix("store.").unwrap_or(name);
    metrics::STORE_CALLS_IN_FLIGHT.level([]).rise();
    let mut watch = Call { operation, outcome: "dropped", started: Instant::now() };
    let answer = call.instrument(telemetry::child(name)).await;
    watch.outcome = match &answer {
        Ok(value) => ok(value),
        Err(StoreError::Unavailable(_)) => "unavailable",
        Err(StoreError::Broken(_)) => "broken",
        Err(StoreError::NotDurable(_)) => "not_durable",
        Err(StoreError::Restored(_)) => "restored",
    };
    answer
}

const fn done<T>(_answer: &T) -> &'static str {
    "ok"
}

/// Whether the caller's place was still in the log. Who lost it is told once, by whichever call comes first.
const fn place(answer: &Followed) -> &'static str {
    if answer.gap { "gap" } else { "ok" }
}

#[async_trait]
impl<S: Store> Store for Traced<S> {
    async fn get(&self, names: &[Name]) -> Result<Read, StoreError> {
        watched("store.get", self.0.get(names), done).await
    }

    async fn swap(&self, swap: &Swap, also: &[Name]) -> Result<(Swapped, Read), StoreError> {
        let outcome = |answer: &(Swapped, Read)| match answer.0 {
            Swapped::Done => "ok",
            Swapped::Conflict(_) => "conflict",
        };
        watched("store.swap", self.0.swap(swap, also), outcome).await
    }

    async fn confirm(&self, name: &Name) -> Result<(), StoreError> {
        watched("store.confirm", self.0.confirm(name), done).await
    }

    async fn list_add(&self, add: &Add) -> Result<Vec<Member>, StoreError> {
        watched("store.list_add", self.0.list_add(add), done).await
    }

    async fn list_remove(&self, list: &Name, members: &[Bytes]) -> Result<(), StoreError> {
        watched("store.list_remove", self.0.list_remove(list, members), done).await
    }

    async fn list(&self, list: &Name, after: Option<&Member>, limit: usize) -> Result<Vec<Member>, StoreError> {
        watched("store.list", self.0.list(list, after, limit), done).await
    }

    async fn append(&self, entries: &[Bytes], position: Position) -> Result<(Followed, Durability), StoreError> {
        let whole = self.0.durability();
        let outcome = |(followed, reached): &(Followed, Durability)| match place(followed) {
            "ok" if *reached < whole => "not_durable",
            place => place,
        };
        watched("store.append", self.0.append(entries, position), outcome).await
    }

    async fn follow(&self, position: Position, limit: usize) -> Result<Followed, StoreError> {
        watched("store.follow", self.0.follow(position, limit), place).await
    }

    async fn changed(&self, cursor: Revision) -> Result<(), StoreError> {
        // Waiting is no work: neither a span nor timed.
        self.0.changed(cursor).await
    }

    async fn settle(&self, upto: Revision, under: Option<Identity>) -> Result<bool, StoreError> {
        let outcome = |settled: &bool| if *settled { "ok" } else { "gone" };
        watched("store.settle", self.0.settle(upto, under), outcome).await
    }

    async fn trim(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        watched("store.trim", self.0.trim(older_than), done).await
    }

    async fn beat(&self, replica: ReplicaId, horizon: Millis, joins: bool) -> Result<(), StoreError> {
        watched("store.beat", self.0.beat(replica, horizon, joins), done).await
    }

    async fn leave(&self, replica: ReplicaId) -> Result<(), StoreError> {
        watched("store.leave", self.0.leave(replica), done).await
    }

    async fn healed(&self, replica: ReplicaId, under: Identity) -> Result<bool, StoreError> {
        let outcome = |taken: &bool| if *taken { "ok" } else { "gone" };
        watched("store.healed", self.0.healed(replica, under), outcome).await
    }

    async fn accept(&self, position: Position) -> Result<Revision, StoreError> {
        watched("store.accept", self.0.accept(position), done).await
    }

    async fn due(&self) -> Result<Option<Due>, StoreError> {
        watched("store.due", self.0.due(), done).await
    }

    async fn vouch(&self, upto: Revision, round: &Due) -> Result<bool, StoreError> {
        let outcome = |complete: &bool| if *complete { "ok" } else { "gone" };
        watched("store.vouch", self.0.vouch(upto, round), outcome).await
    }

    async fn time(&self) -> Result<(Timestamp, Millis), StoreError> {
        watched("store.time", self.0.time(), done).await
    }

    async fn health(&self) -> Result<Vec<Wrong>, StoreError> {
        watched("store.health", self.0.health(), done).await
    }

    fn durability(&self) -> Durability {
        self.0.durability()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::embedded::Embedded;

    #[tokio::test]
    async fn a_place_that_is_gone_is_counted_whichever_call_is_told_first() {
        let store = Traced::new(Embedded::in_memory(Clock::system()).unwrap());
        let gone = Position { cursor: Revision { micros: 7, random: 7 }, ..Position::default() };
        let counted = || ["append", "follow"].map(|operation| metrics::STORE_CALLS.count([operation, "gap"]));
        let [append, follow] = counted();
        store.append(&[Bytes::from_static(b"entry")], gone).await.unwrap();
        assert_eq!(counted(), [append + 1, follow]);
        store.follow(gone, 1).await.unwrap();
        assert_eq!(counted(), [append + 1, follow + 1]);
    }
}

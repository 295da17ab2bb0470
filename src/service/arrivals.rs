//! Arrivals: that an access token was seen tells that the reply which brought it arrived, or that two parties hold a refresh token.
//!
//! Lives here: the queue between who sees tokens and the store, off the path of any request, and what becomes of a sighting. Must not
//! live here: what it means (`domain::arrival`). Losing one only makes Refresh lenient, so nothing here waits, retries or grows.

use crate::records::grants::Known;
use crate::service::introspect::Active;
use crate::service::{Durability, Service};
use crate::telemetry::metrics;
use crate::tokens::{Sign, Tokens};
use futures_util::{StreamExt as _, stream};
use jeton_domain::arrival::{Arrival, Env, Seen, seen, tells};
use jeton_domain::error::{Cause, RefreshRefusal, Result};
use jeton_domain::grant::Grant;
use jeton_domain::id::{Generation, GrantId, TargetId};
use jeton_domain::name::ClientId;
use jeton_domain::refresh::Event;
use jeton_domain::time::Millis;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Mutex, mpsc};

/// How many sightings may wait; further ones are dropped.
const QUEUE: usize = 4_096;
/// How many are taken out of the queue at once.
const BATCH: usize = 256;
/// How many grants are read and written at once.
const AT_ONCE: usize = 32;
/// How many generations are remembered as told; two that fall on one place are told more often.
const TOLD: usize = 1 << 16;
/// A generation that is seen again and again is told about once in so long.
const TELL_EVERY: Millis = Millis::from_secs(600);

/// What was seen and not yet looked at.
#[derive(Debug)]
pub(super) struct Arrivals {
    told: Told,
    queue: mpsc::Sender<Sighting>,
    waiting: Mutex<mpsc::Receiver<Sighting>>,
}

/// An access token that was seen. Its `jti` proves itself once it is looked at.
#[derive(Debug)]
struct Sighting {
    grant: GrantId,
    jti: String,
    /// Its place among what was told, to be forgotten where nothing came of it.
    mark: Mark,
}

impl Default for Arrivals {
    fn default() -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        Self { told: Told::default(), queue, waiting: Mutex::new(waiting) }
    }
}

impl Arrivals {
    fn add(&self, mark: Mark, grant: GrantId, jti: String) {
        if self.queue.try_send(Sighting { grant, jti, mark }).is_err() {
            self.told.forget(mark);
            metrics::ARRIVALS.add("dropped");
        }
    }

    async fn batch(&self) -> Vec<Sighting> {
        let mut waiting = self.waiting.lock().await;
        metrics::ARRIVALS_WAITING.set_count(waiting.len());
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Ok(sighting) = waiting.try_recv()
        {
            batch.push(sighting);
        }
        batch
    }
}

/// The generations that were told of lately. Each has one place in a table that never grows, and pushes out what was there.
#[derive(Debug)]
struct Told {
    places: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// What stands in the table for a generation, during one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark(u64);

impl Default for Told {
    fn default() -> Self {
        Self { places: (0..TOLD).map(|_| AtomicU64::new(0)).collect(), hasher: RandomState::new() }
    }
}

impl Told {
    /// The mark of what was not told in this period; from now on it was.
    fn first(&self, grant: GrantId, generation: Generation, run: Millis) -> Option<Mark> {
        let mark = Mark(self.hasher.hash_one((grant, generation, run.get() / TELL_EVERY.get())));
        let place = self.place(mark)?;
        // Mostly it was told, and reading disturbs no other core.
        let is_first = place.load(Ordering::Relaxed) != mark.0 && place.swap(mark.0, Ordering::Relaxed) != mark.0;
        is_first.then_some(mark)
    }

    fn forget(&self, mark: Mark) {
        if let Some(place) = self.place(mark) {
            let _of_another = place.compare_exchange(mark.0, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn place(&self, mark: Mark) -> Option<&AtomicU64> {
        self.places.get(usize::try_from(mark.0).unwrap_or_default() % TOLD)
    }
}

/// What came of a sighting.
enum Outcome {
    /// The word it is counted under.
    Kept(&'static str),
    /// The record to swap in, and what to report then.
    Changed(&'static str, Box<Grant>, Option<Event>),
    /// Two holders are proved.
    Reuse,
}

impl Service {
    /// What it tells that an access token of that generation is seen; none where that is nothing to anybody.
    pub(super) fn sign(&self, generation: Generation, token: &Active) -> Option<Sign> {
        let grant = token.grant.filter(|_| token.is_access_token && generation > 0)?;
        let registry = self.registry();
        let client = registry.client(&ClientId::parse("client_id", &token.client_id).ok()?)?;
        tells(client, token.binding.is_some()).then(|| Sign { grant, generation, jti: token.jti.as_str().into() })
    }

    /// An access token was found active. Returns at once, mostly after one look into memory.
    pub(super) fn arrived(&self, sign: &Sign) {
        if let Some(mark) = self.arrivals.told.first(sign.grant, sign.generation, self.clock.run()) {
            self.arrivals.add(mark, sign.grant, sign.jti.to_string());
        }
    }

    /// Verifiers elsewhere saw access tokens of these grants, with these `jti`s. Returns at once.
    pub fn arrivals(&self, seen: Vec<(GrantId, String)>) {
        for (grant, jti) in seen {
            let generation = Tokens::generation_of(&jti);
            if generation > 0
                && let Some(mark) = self.arrivals.told.first(grant, generation, self.clock.run())
            {
                self.arrivals.add(mark, grant, jti);
            }
        }
    }

    /// Looks at all that waits. To be repeated in the background.
    ///
    /// # Errors
    /// The store, or a root key that is missing here. What it concerns is not tried again; it is told when it is seen the next time.
    pub async fn look_at_arrivals(&self) -> Result<()> {
        loop {
            let batch = self.arrivals.batch().await;
            if batch.is_empty() {
                return Ok(());
            }
            let each = stream::iter(batch).map(|sighting| self.look_at(sighting)).buffer_unordered(AT_ONCE);
            each.collect::<Vec<_>>().await.into_iter().collect::<Result<()>>()?;
        }
    }

    async fn look_at(&self, sighting: Sighting) -> Result<()> {
        let found = self.take_in(&sighting).await;
        if found.is_err() {
            self.arrivals.told.forget(sighting.mark);
        }
        metrics::ARRIVALS.add(found.as_ref().unwrap_or(&"failed"));
        found.map(drop)
    }

    /// Answers in a word what came of it.
    async fn take_in(&self, sighting: &Sighting) -> Result<&'static str> {
        let Some((key, generation)) = self.tokens.read_jti(Some(sighting.grant), &sighting.jti)? else { return Ok("forged") };
        let loaded = self.records.grant(sighting.grant).await?;
        let arrival = Arrival { generation, key };
        let ring = self.records.roots().order();
        let registry = self.registry();
        let now = self.clock.now();
        let decided = self
            .records
            .decide_grant(
                loaded,
                self.alive.ceilings().access_token,
                Durability::Applied,
                |known, identity| {
                    let Some(Known::Grant(grant)) = known else { return Ok(Outcome::Kept("nothing")) };
                    // One that is over can be over for reuse, and is not to be so again.
                    let is_over = self.killing(&grant, &self.floor_targets(&grant)).is_some() || now >= grant.expires_at();
                    let Some(client) = registry.client(&grant.client).filter(|_| !is_over) else {
                        return Ok(Outcome::Kept("nothing"));
                    };
                    Ok(match seen(now, &grant, arrival, &Env { client, ring: &ring, identity }) {
                        Seen::Nothing => Outcome::Kept("nothing"),
                        Seen::Changed(grant) => Outcome::Changed("arrived", grant, None),
                        Seen::Forward(grant, event) => Outcome::Changed("forward", grant, event),
                        Seen::End(_) => Outcome::Reuse,
                    })
                },
                |outcome| match outcome {
                    Outcome::Changed(_, grant, _) => Some(grant),
                    Outcome::Kept(_) | Outcome::Reuse => None,
                },
                |_| Vec::new(),
            )
            .await?;
        match decided.answer {
            Outcome::Kept(word) => Ok(word),
            Outcome::Changed(word, grant, event) => {
                if event == Some(Event::FutureToken) {
                    tracing::error!(grant_id = %grant.id, "an access token newer than its grant was seen although the store lost nothing: its root key and its record may both have leaked");
                }
                Ok(word)
            }
            Outcome::Reuse => {
                // Another replica may have seen it too.
                self.alive.caught_up().await?;
                if self.alive.with_floors(|floors| floors.get(TargetId(sighting.grant.0))).is_some() {
                    return Ok("nothing");
                }
                self.end(sighting.grant, Cause::Reuse).await.map(RefreshRefusal::word)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANT: GrantId = GrantId([7; 16]);

    #[test]
    fn a_generation_is_told_once_in_a_while() {
        let told = Told::default();
        let now = Millis::from_secs(1_700_000_000);
        let mark = told.first(GRANT, 1, now).unwrap();
        assert_eq!(told.first(GRANT, 1, now.plus(Millis::new(1))), None);
        assert!(told.first(GRANT, 2, now).is_some() && told.first(GrantId([8; 16]), 1, now).is_some());
        assert!(told.first(GRANT, 1, now.plus(TELL_EVERY)).is_some());
        told.forget(mark);
        assert_eq!(told.first(GRANT, 1, now), Some(mark));
    }

    #[tokio::test]
    async fn what_finds_no_place_is_dropped_and_can_be_told_again() {
        let arrivals = Arrivals::default();
        let see = |generation: Generation| {
            if let Some(mark) = arrivals.told.first(GRANT, generation, Millis::ZERO) {
                arrivals.add(mark, GRANT, String::new());
            }
        };
        let before = metrics::ARRIVALS.count(["dropped"]);
        let most = Generation::try_from(QUEUE).unwrap();
        (1..=2 * most).for_each(see);
        assert!(metrics::ARRIVALS.count(["dropped"]) >= before + u64::from(most / 2));
        while !arrivals.batch().await.is_empty() {}
        see(2 * most);
        assert_eq!(arrivals.batch().await.len(), 1);
    }
}

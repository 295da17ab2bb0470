//! Concurrent calls on one grant are as if they had come one after the other: on every store, through gRPC on two replicas, histories are
//! recorded and an order is searched that explains every answer. The model of what is explained is in `model`.

mod at_random;
mod by_hand;
mod clients;
mod dice;
mod history;
mod model;
mod search;

use crate::faulty::Faulty;
use crate::world::{Replica, World};
use clients::{Mode, history};
use dice::Dice;
use history::Operation;
use jeton_domain::client::ReusePolicy;
use jeton_domain::time::Millis;
use model::{Row, Terms};
use search::check;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// All who present the newest, or its parent, get one and the same.
const WITHIN: Mode = Mode {
    name: "within the overlap",
    terms: Terms { overlap: 10, ends_on_reuse: true },
    rounds: 4,
    passes: &[0, 1, 2, 3],
    strays: 16,
    rows: &[Row::Next, Row::Again],
};
/// Each of those who present the newest at once gets a number of its own: the first the next one, and the others take that for lost.
const PAST: Mode = Mode {
    name: "past the overlap",
    terms: Terms { overlap: 0, ends_on_reuse: false },
    rounds: 1,
    passes: &[],
    strays: 8,
    rows: &[Row::Next, Row::Retry, Row::Reuse],
};
/// In and out of every window.
const MOVING: Mode = Mode {
    name: "while time passes",
    terms: Terms { overlap: 10, ends_on_reuse: false },
    rounds: 5,
    passes: &[3, 9, 11, 11, 41, 61, 61],
    strays: 16,
    rows: &[Row::Next, Row::Again, Row::Retry, Row::Reuse, Row::RetryExpired],
};
/// The same until reuse ends it.
const ENDING: Mode = Mode {
    name: "where reuse ends the grant",
    terms: Terms { ends_on_reuse: true, ..MOVING.terms },
    strays: 200,
    rows: &[Row::Next, Row::Again, Row::Reuse],
    ..MOVING
};

/// What was checked.
#[derive(Debug, Default)]
struct Sum {
    histories: usize,
    calls: usize,
    /// Calls beside which another client's was under way.
    beside: usize,
    unknown: usize,
    rows: BTreeMap<Row, usize>,
    /// The longest search.
    visited: usize,
}

impl Sum {
    fn add(&mut self, history: &[Operation], order: &[(usize, Row)], visited: usize) {
        let is_beside = |one: &Operation| {
            let at_once = |other: &Operation| {
                other.client != one.client
                    && one.end.is_none_or(|end| other.start < end)
                    && other.end.is_none_or(|end| one.start < end)
            };
            history.iter().any(at_once)
        };
        self.histories += 1;
        self.calls += history.len();
        self.beside += history.iter().filter(|call| is_beside(call)).count();
        self.unknown += history.iter().filter(|call| !call.is_known()).count();
        for (_, row) in order {
            *self.rows.entry(*row).or_default() += 1;
        }
        self.visited = self.visited.max(visited);
    }

    fn told(&self) -> String {
        let Self { histories, calls, beside, unknown, ref rows, visited } = *self;
        let mut told = format!(
            "{histories} histories of {calls} calls, {beside} beside another, {unknown} of unknown outcome: all have an order, found in at most {visited} places"
        );
        for (row, count) in rows {
            write!(told, ", {row:?} {count}").unwrap();
        }
        told
    }

    /// It saw what it is there for.
    fn is_worth_something(&self, mode: Mode) {
        assert!(self.beside > self.calls / 2, "calls were beside each other: {self:?}");
        for row in mode.rows.iter().chain(&[Row::Revoke, Row::Ended, Row::Read]) {
            assert!(self.rows.contains_key(row), "{row:?} was met: {self:?}");
        }
    }
}

/// Two replicas that hold to the terms of `mode`.
async fn replicas(world: &World, mode: Mode) -> [Arc<Replica>; 2] {
    let reuse = if mode.terms.ends_on_reuse { ReusePolicy::EndGrant } else { ReusePolicy::Refuse };
    let mut settings = world.with_client("mobile-app", |client| client.reuse = reuse);
    settings.tokens.overlap = Millis::from_secs(mode.terms.overlap);
    [Arc::new(world.start_with(&settings).await), Arc::new(world.start_with(&settings).await)]
}

/// Records `count` histories of each mode and finds an order for each.
async fn have_an_order(store: &str, world: &World, count: usize, dice: &mut Dice) {
    let mut unknown = 0;
    for mode in [WITHIN, PAST, MOVING, ENDING] {
        let replicas = replicas(world, mode).await;
        let mut sum = Sum::default();
        for number in 0..count {
            let history = history(world, &replicas, mode, dice).await;
            let checked = check(&history, mode.terms);
            let Some(order) = checked.order else {
                let calls: String = history.iter().map(|call| format!("{call}\n")).collect();
                panic!("{store}, {}, history {number}: no order explains\n{calls}{}", mode.name, checked.deepest);
            };
            sum.add(&history, &order, checked.visited);
        }
        say(&format!("{store}, {}: {}", mode.name, sum.told()));
        sum.is_worth_something(mode);
        unknown += sum.unknown;
    }
    assert!(unknown > 0, "calls were given up");
}

/// Says a line past the capture of the test harness.
fn say(line: &str) {
    writeln!(std::io::stderr(), "linearizability: {line}").unwrap();
}

/// How many deployments the long form takes, with 500 histories of each mode on each: `LINEARIZABILITY_ROUNDS`, else a few.
#[expect(clippy::disallowed_methods, reason = "no setting of the service")]
fn rounds() -> u64 {
    std::env::var("LINEARIZABILITY_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20)
}

macro_rules! on_each {
    ($($store:ident, $world:expr, $count:expr;)*) => { $(
        mod $store {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn every_concurrent_history_has_an_order() {
                have_an_order(stringify!($store), &$world, $count, &mut Dice(1)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "takes hours: `make soak`"]
            async fn soak() {
                for round in 0..rounds() {
                    have_an_order(stringify!($store), &$world, 500, &mut Dice(1_000 + round)).await;
                }
            }
        }
    )* };
}

// With how many histories of each mode.
on_each! {
    memory, World::memory().await, 50;
    file, World::file().await, 50;
    redis, World::redis(&[]).await, 50;
    sentinel, World::sentinel().await, 50;
    cluster, World::cluster().await, 50;
}

/// Rotation that reads and then writes, whatever was written between, is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_compares_nothing_is_found() {
    let mut faulty = None;
    let world = World::memory_through(|store| {
        let naive = Arc::new(Faulty::over(store));
        faulty = Some(Arc::clone(&naive));
        naive
    });
    let replicas = replicas(&world, PAST).await;
    faulty.unwrap().compares_nothing.store(true, Ordering::SeqCst);
    let mut dice = Dice(1);
    let mut found = 0;
    for _ in 0..20 {
        found += usize::from(check(&history(&world, &replicas, PAST, &mut dice).await, PAST.terms).order.is_none());
    }
    say(&format!("on a store that compares nothing {found} of 20 histories have no order"));
    assert!(found > 10, "{found}");
}

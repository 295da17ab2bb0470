//! Concurrent calls on one grant are as if they had come one after the other: on every store, through gRPC on two replicas, histories are
//! recorded and an order is searched that explains every answer. The model of what is explained is in `model`.

mod at_random;
mod by_hand;
mod clients;
mod dice;
mod history;
mod holder;
mod model;
mod search;

use crate::faulty::Faulty;
use crate::world::{Replica, World};
use clients::{Mode, history};
use dice::Dice;
use history::{Asked, Operation};
use jeton_domain::client::{ReusePolicy, Rotation};
use jeton_domain::time::Millis;
use model::{ANYBODY, Row, Terms};
use search::check;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// All who present the newest, or its parent, get one and the same.
const WITHIN: Mode = Mode {
    name: "within the overlap",
    terms: ANYBODY,
    rounds: 4,
    passes: &[0, 1, 2, 3],
    strays: 16,
    gateways: 0,
    rows: &[Row::Next, Row::Again],
};
/// Each of those who present the newest at once gets a number of its own: the first the next one, and the others take that for lost.
const PAST: Mode = Mode {
    name: "past the overlap",
    terms: Terms { overlap: 0, ends_on_reuse: false, ..ANYBODY },
    rounds: 1,
    passes: &[],
    strays: 8,
    gateways: 0,
    rows: &[Row::Next, Row::Retry, Row::Reuse],
};
/// In and out of every window.
const MOVING: Mode = Mode {
    name: "while time passes",
    terms: Terms { ends_on_reuse: false, ..ANYBODY },
    rounds: 5,
    passes: &[3, 9, 11, 11, 41, 61, 61],
    strays: 16,
    gateways: 0,
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

/// Gateways see access tokens, and tell.
const SEEN: Mode = Mode {
    name: "where gateways report",
    passes: &[11, 61, 61, 301],
    gateways: 10,
    rows: &[Row::Next, Row::Again, Row::Retry, Row::LateRetry, Row::Reuse, Row::Seen],
    ..MOVING
};
/// The same until one sees what was taken for lost.
const FOUND: Mode = Mode {
    name: "where gateways find a second holder",
    terms: ENDING.terms,
    passes: &[11, 11, 41],
    strays: 200,
    rows: &[Row::Next, Row::Again, Row::Retry, Row::Seen, Row::Found],
    ..SEEN
};
/// Who presents a token proves himself: by a key, a certificate or as a client. A new token each time.
const HELD: Mode = Mode {
    name: "of one who proves himself",
    terms: Terms { is_held: true, ..ANYBODY },
    strays: 4,
    gateways: 8,
    rows: &[Row::Next, Row::Again, Row::Unproved],
    ..MOVING
};
/// The same where the newest is kept for most of the idle lifetime.
const KEPT: Mode = Mode {
    name: "kept by one who proves himself",
    terms: Terms { stays: Terms::IDLE / 10 * 7, ..HELD.terms },
    passes: &[3, 11, Terms::IDLE / 10 * 7],
    ..HELD
};

/// So many histories meet each row, however seldom it is.
const MOST: usize = 500;

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

    /// The rows that it is there for and did not meet.
    fn missing(&self, mode: Mode) -> Vec<Row> {
        let expected = mode.rows.iter().chain(&[Row::Revoke, Row::Ended, Row::Read]);
        expected.filter(|row| !self.rows.contains_key(row)).copied().collect()
    }
}

/// Two replicas that hold to the terms of `mode`.
async fn replicas(world: &World, mode: Mode) -> [Arc<Replica>; 2] {
    let mut settings = world.settings.clone();
    for client in &mut settings.clients {
        client.reuse = if mode.terms.ends_on_reuse { ReusePolicy::EndGrant } else { ReusePolicy::Refuse };
        client.rotation = if mode.terms.stays > 0 { Rotation::UnboundPublic } else { Rotation::Always };
        client.idle_lifetime = Millis::from_secs(Terms::IDLE);
    }
    settings.tokens.overlap = Millis::from_secs(mode.terms.overlap);
    [Arc::new(world.start_with(&settings).await), Arc::new(world.start_with(&settings).await)]
}

/// Records `count` histories of each mode, or more until each row that it is there for was met, and finds an order for each.
async fn have_an_order(store: &str, world: &World, count: usize, dice: &mut Dice) {
    let mut unknown = 0;
    for mode in [WITHIN, PAST, MOVING, ENDING, SEEN, FOUND, HELD, KEPT] {
        let replicas = replicas(world, mode).await;
        let mut sum = Sum::default();
        while sum.histories < count || (!sum.missing(mode).is_empty() && sum.histories < MOST) {
            let history = history(world, &replicas, mode, dice).await;
            let checked = check(&history, mode.terms);
            let Some(order) = checked.order else {
                let calls: String = history.iter().map(|call| format!("{call}\n")).collect();
                panic!("{store}, {}, history {}: no order explains\n{calls}{}", mode.name, sum.histories, checked.deepest);
            };
            sum.add(&history, &order, checked.visited);
        }
        say(&format!("{store}, {}: {}", mode.name, sum.told()));
        assert!(sum.beside > sum.calls / 2, "calls were beside each other");
        assert_eq!(sum.missing(mode), [], "{}: each row was met", mode.name);
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
    std::env::var("LINEARIZABILITY_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(5)
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
    memory, World::memory().await, 20;
    file, World::file().await, 20;
    redis, World::redis(&[]).await, 20;
    sentinel, World::sentinel().await, 20;
    cluster, World::cluster().await, 20;
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

/// What the service does is not what a model says that leaves something out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_leaves_something_out_is_found() {
    let world = World::memory().await;
    let mut dice = Dice(2);
    let is_told = |call: &Operation| matches!(call.asked, Asked::Seen(_));
    for (mode, terms, left_out) in [
        (SEEN, SEEN.terms, "what gateways see"),
        (FOUND, FOUND.terms, "that a gateway finds a second holder"),
        (HELD, ANYBODY, "that who holds it proves himself"),
        (KEPT, HELD.terms, "how long the newest is kept"),
    ] {
        let replicas = replicas(&world, mode).await;
        let (mut found, mut all) = (0, 0);
        while found < 3 {
            assert!(all < MOST, "{left_out}: {found} found");
            let mut history = history(&world, &replicas, mode, &mut dice).await;
            assert!(check(&history, mode.terms).order.is_some());
            history.retain(|call| !is_told(call));
            found += usize::from(check(&history, terms).order.is_none());
            all += 1;
        }
        say(&format!("by a model that leaves out {left_out} {found} of {all} histories have no order"));
    }
}

//! The eras of the log in Redis: when one begins, how it heals, when nothing is believed. What every store promises of it:
//! `store_contract`.
//!
//! Time is moved as an operator could: in the hash that keeps it.

use crate::redis_server::RedisServer;
use crate::store_contract::{Log, eventually};
use bytes::Bytes;
use jeton::clock::Clock;
use jeton::store::redis::Redis;
use jeton::store::{ERA_AHEAD, EraState, Followed, MARKER, Position, Store, StoreError};
use jeton_domain::id::ReplicaId;
use jeton_domain::revision::{Lost, Revision};
use jeton_domain::time::{Millis, Timestamp};

const ERA: &str = "jeton:{log}:era";
const REPLICAS: &str = "jeton:{log}:replicas";
const HORIZON: Millis = Millis::from_secs(7_200);
const ONE: ReplicaId = ReplicaId([1; 8]);
const OTHER: ReplicaId = ReplicaId([2; 8]);
const ONE_WRITTEN: &str = "0101010101010101";
const OTHER_WRITTEN: &str = "0202020202020202";

/// A server that keeps what it holds over a restart.
async fn durable() -> RedisServer {
    RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await
}

/// Comes back with what it held, as another process.
async fn restart(server: &mut RedisServer) {
    server.restart().await;
    eventually("its data are loaded", async || server.try_ask::<String>(&["PING"]).await.is_ok()).await;
}

async fn connect(server: &RedisServer) -> Redis {
    Redis::connect(&server.url(), Clock::system()).await.unwrap()
}

async fn look(store: &Redis) -> Followed {
    store.follow_after(Revision::START, 1_000).await.unwrap()
}

async fn append(store: &Redis, position: Position) -> Revision {
    store.append(&[Bytes::from("entry")], position).await.unwrap().0.head
}

/// Who stands there and saw nothing higher.
fn at(revision: Revision, era: Revision) -> Position {
    Position { cursor: revision, highest: revision, era }
}

/// How far ahead of each of these a marker lies at least.
fn assert_well_ahead(marker: Revision, of: &[u64]) {
    for micros in of {
        assert!(marker.micros > micros + ERA_AHEAD.get() * 1_000, "{marker} is not well ahead of {micros}");
    }
}

/// Puts the last beat of a replica so far back.
async fn silent_for(server: &RedisServer, replica: &str, silence: Millis) -> Timestamp {
    let last: u64 = server.ask(&["HGET", REPLICAS, replica]).await;
    let last = Timestamp::from_millis(last).minus(silence);
    server.ask::<()>(&["HSET", REPLICAS, replica, &last.millis().to_string()]).await;
    last
}

#[tokio::test]
async fn a_store_never_used_is_healed_whoever_comes_first() {
    for first in ["follow", "append", "beat", "leave"] {
        let server = RedisServer::start().await;
        let store = connect(&server).await;
        match first {
            "append" => drop(append(&store, Position::default()).await),
            "beat" => store.beat(ONE, HORIZON, true).await.unwrap(),
            "leave" => store.leave(ONE).await.unwrap(),
            _ => {}
        }
        let Followed { era, lost, entries, now, .. } = look(&store).await;
        assert_eq!((era.marker, era.state, lost), (Revision::START, EraState::Healed, None), "{first}");
        // So that who met it knows a place, and meets an emptied log as emptied.
        assert_eq!(entries[0].entry, MARKER[..], "{first}");
        assert_eq!(entries.len(), 1 + usize::from(first == "append"), "{first}");
        assert!(entries[0].revision.micros < now.plus(Millis::from_secs(60)).millis() * 1_000, "not ahead of the clock");
    }
}

#[tokio::test]
async fn under_another_primary_an_era_begins_well_ahead() {
    let mut server = durable().await;
    let store = connect(&server).await;
    let tail = append(&store, Position::default()).await;
    let before = look(&store).await;
    let highest = Revision { micros: tail.micros + 3_600_000_000, random: 9 };
    restart(&mut server).await;
    let seen = Position { cursor: tail, highest, era: Revision::START };
    let after = store.follow(seen, 10).await.unwrap();
    assert_ne!(after.identity, before.identity);
    let marker = after.era.marker;
    assert_well_ahead(marker, &[tail.micros, highest.micros, before.now.millis() * 1_000]);
    assert_eq!((after.gap, after.head, after.entries.len()), (false, marker, 1));
    assert_eq!((after.entries[0].revision, &after.entries[0].entry[..]), (marker, &MARKER[..]));
    assert_eq!(after.lost, Some(vec![Lost { tail, marker }]));
    let again = store.follow(at(marker, marker), 10).await.unwrap();
    assert_eq!((again.era.marker, again.entries.len(), again.lost), (marker, 0, None), "it begins once");

    restart(&mut server).await;
    let (answer, _) = store.append(&[Bytes::from("entry")], at(marker, marker)).await.unwrap();
    let second = answer.era.marker;
    assert_well_ahead(second, &[marker.micros]);
    let places: Vec<_> = answer.entries.iter().map(|logged| logged.revision).collect();
    assert_eq!(places, [second, answer.head], "the append that meets it lies in it");
    assert_eq!(answer.lost, Some(vec![Lost { tail, marker }, Lost { tail: marker, marker: second }]));
}

#[tokio::test]
async fn what_is_emptied_under_its_callers_is_a_new_era() {
    let server = RedisServer::start().await;
    let (one, other) = (connect(&server).await, connect(&server).await);
    let seen = append(&one, Position::default()).await;
    server.ask::<()>(&["FLUSHALL"]).await;
    let met = one.follow(at(seen, Revision::START), 10).await.unwrap();
    assert_eq!((met.gap, met.era.state), (true, EraState::Healing));
    assert_well_ahead(met.era.marker, &[seen.micros]);
    assert_eq!(met.lost, Some(vec![Lost { tail: Revision::START, marker: met.era.marker }]));
    assert!(other.healed(OTHER, met.identity).await.unwrap());
    assert_eq!(look(&one).await.era.state, EraState::Healing, "nobody knows who else lives");

    // Somebody new is first, and cannot know.
    let seen = append(&one, at(met.head, met.era.marker)).await;
    server.ask::<()>(&["FLUSHALL"]).await;
    let new = connect(&server).await;
    new.beat(OTHER, HORIZON, true).await.unwrap();
    let first = append(&new, Position::default()).await;
    assert_eq!(look(&new).await.era.state, EraState::Healed);
    let met = one.follow(at(seen, met.era.marker), 10).await.unwrap();
    assert_eq!((met.gap, met.era.state), (true, EraState::Healing), "who knows more says so");
    assert_well_ahead(met.era.marker, &[seen.micros, first.micros]);
    assert_eq!(met.lost, Some(vec![Lost { tail: first, marker: met.era.marker }]));
    assert!(new.healed(OTHER, met.identity).await.unwrap());
    assert_eq!(look(&new).await.era.state, EraState::Healing);
}

#[tokio::test]
async fn a_beat_that_meets_the_era_first_puts_it_above_what_its_process_saw() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    let seen = append(&store, Position { highest: Revision { micros: 1 << 51, random: 3 }, ..Position::default() }).await;
    server.ask::<()>(&["FLUSHALL"]).await;
    store.beat(ONE, HORIZON, false).await.unwrap();
    let met = look(&connect(&server).await).await;
    assert_well_ahead(met.era.marker, &[seen.micros]);
    assert_eq!(met.era.state, EraState::Healing);
}

#[tokio::test]
async fn it_is_healed_when_the_last_of_the_living_has_said_so() {
    const SILENT: ReplicaId = ReplicaId([3; 8]);
    const GONE: ReplicaId = ReplicaId([4; 8]);
    let mut server = durable().await;
    let store = connect(&server).await;
    for replica in [ONE, OTHER, SILENT, GONE] {
        store.beat(replica, HORIZON, true).await.unwrap();
    }
    silent_for(&server, "0303030303030303", Millis::from_secs(6)).await;
    store.leave(GONE).await.unwrap();
    let before = look(&store).await.identity;
    restart(&mut server).await;
    let met = look(&store).await;
    assert_eq!(met.era.state, EraState::Healing);
    assert!(!store.healed(ONE, before).await.unwrap(), "under the primary before");
    assert!(store.healed(ONE, met.identity).await.unwrap());
    assert!(store.healed(ONE, met.identity).await.unwrap());
    assert!(store.healed(SILENT, met.identity).await.unwrap(), "nobody waits for it, and it is heard");
    assert_eq!(look(&store).await.era.state, EraState::Healing, "one is missing");
    assert!(store.healed(OTHER, met.identity).await.unwrap());
    let healed = look(&store).await;
    assert_eq!((healed.era.state, healed.era.marker), (EraState::Healed, met.era.marker));

    // Who leaves is not waited for, whether before or meanwhile.
    restart(&mut server).await;
    let met = look(&store).await;
    assert!(store.healed(ONE, met.identity).await.unwrap());
    store.leave(OTHER).await.unwrap();
    assert_eq!(look(&store).await.era.state, EraState::Healed);
}

#[tokio::test]
async fn it_is_healed_after_ten_seconds() {
    let mut server = durable().await;
    let store = connect(&server).await;
    store.beat(ONE, HORIZON, true).await.unwrap();
    restart(&mut server).await;
    assert_eq!(look(&store).await.era.state, EraState::Healing);
    let since: u64 = server.ask(&["HGET", ERA, "since"]).await;
    let aged = async |millis: u64| server.ask::<()>(&["HSET", ERA, "since", &(since - millis).to_string()]).await;
    aged(1_000).await;
    assert_eq!(look(&store).await.era.state, EraState::Healing);
    aged(10_000).await;
    assert_eq!(look(&store).await.era.state, EraState::Healed);
    assert_eq!(server.ask::<String>(&["HGET", ERA, "state"]).await, "healed", "it is written down");
}

#[tokio::test]
async fn a_clock_that_went_back_does_not_heal_for_ever() {
    let mut server = durable().await;
    let store = connect(&server).await;
    store.beat(ONE, HORIZON, true).await.unwrap();
    restart(&mut server).await;
    look(&store).await;
    let since: u64 = server.ask(&["HGET", ERA, "since"]).await;
    server.ask::<()>(&["HSET", ERA, "since", &(since + 3_600_000).to_string()]).await;
    assert_eq!(look(&store).await.era.state, EraState::Healing);
    let anew: u64 = server.ask(&["HGET", ERA, "since"]).await;
    assert!(anew < since + 3_600_000, "counted anew from now");
}

#[tokio::test]
async fn data_older_than_any_replica_could_heal_are_not_believed_until_they_are_accepted() {
    let mut server = durable().await;
    let store = connect(&server).await;
    let tail = append(&store, Position::default()).await;
    for replica in [ONE, OTHER] {
        store.beat(replica, HORIZON, true).await.unwrap();
    }
    silent_for(&server, ONE_WRITTEN, HORIZON.plus(Millis::from_secs(60))).await;
    let last_seen = silent_for(&server, OTHER_WRITTEN, HORIZON.plus(Millis::from_secs(1))).await;
    let restored = EraState::Restored { last_seen };
    restart(&mut server).await;

    // A beat that comes first hides nothing.
    let new = connect(&server).await;
    new.beat(ONE, HORIZON, true).await.unwrap();
    let met = look(&store).await;
    assert_eq!(met.era.state, restored);
    assert_eq!(met.lost, Some(vec![Lost { tail, marker: met.era.marker }]));
    assert!(append(&store, at(met.head, met.era.marker)).await > met.head, "it is for the caller to refuse");
    assert!(store.healed(ONE, met.identity).await.unwrap());
    server.ask::<()>(&["HSET", ERA, "since", "1"]).await;
    assert_eq!(look(&store).await.era.state, restored, "neither being there nor time makes it believed");
    restart(&mut server).await;
    let still = look(&store).await;
    assert_eq!(still.era.state, restored, "nor another primary");
    assert_ne!(still.era.marker, met.era.marker);

    let marker = store.accept(at(still.head, still.era.marker)).await.unwrap();
    assert_well_ahead(marker, &[still.head.micros]);
    let accepted = look(&store).await;
    assert_eq!((accepted.era.marker, accepted.era.state), (marker, EraState::Healed));
    restart(&mut server).await;
    let next = look(&store).await;
    assert_eq!(next.era.state, EraState::Healing, "one replica is there, and knows it");
    assert!(store.healed(ONE, next.identity).await.unwrap());
    assert_eq!(look(&store).await.era.state, EraState::Healed);
}

#[tokio::test]
async fn a_planned_stop_of_everything_is_no_restore() {
    let mut server = durable().await;
    let store = connect(&server).await;
    let tail = append(&store, Position::default()).await;
    for replica in [ONE, OTHER] {
        store.beat(replica, HORIZON, true).await.unwrap();
        store.leave(replica).await.unwrap();
    }
    restart(&mut server).await;
    let met = look(&connect(&server).await).await;
    assert_eq!(met.era.state, EraState::Healed, "there is nobody to wait for");
    assert_eq!(met.lost, Some(vec![Lost { tail, marker: met.era.marker }]));
}

#[tokio::test]
async fn who_knows_more_than_the_log_is_waited_for_though_it_never_registered() {
    let mut server = durable().await;
    let store = connect(&server).await;
    let tail = append(&store, Position::default()).await;
    restart(&mut server).await;
    let seen = Revision { micros: tail.micros + 1, random: 0 };
    let met = store.follow(Position { cursor: tail, highest: seen, era: Revision::START }, 10).await.unwrap();
    assert_eq!(met.era.state, EraState::Healing);
}

#[tokio::test]
async fn a_replica_that_joins_clears_away_who_was_silent_for_a_horizon() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    for replica in [ONE, OTHER] {
        store.beat(replica, HORIZON, true).await.unwrap();
    }
    silent_for(&server, ONE_WRITTEN, HORIZON.plus(Millis::from_secs(1))).await;
    store.beat(OTHER, HORIZON, false).await.unwrap();
    assert_eq!(server.ask::<u64>(&["HLEN", REPLICAS]).await, 2);
    store.beat(OTHER, HORIZON, true).await.unwrap();
    assert_eq!(server.ask::<Vec<String>>(&["HKEYS", REPLICAS]).await, [OTHER_WRITTEN]);
}

#[tokio::test]
async fn intervals_of_lost_places_stay_bounded_and_cover_all() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    let mut markers = vec![Revision::START];
    for _ in 0..1_003 {
        markers.push(store.accept(Position::default()).await.unwrap());
    }
    let lost = look(&store).await.lost.unwrap();
    assert_eq!(lost.len(), 1_000);
    assert_eq!(lost[0], Lost { tail: Revision::START, marker: markers[4] }, "the oldest are one");
    assert!(lost.windows(2).all(|pair| pair[1].tail == pair[0].marker));
    assert_eq!(lost.last().unwrap().marker, markers[1_003]);
}

#[tokio::test]
async fn a_place_beyond_all_clocks_is_refused_and_spoils_nothing() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    let beyond = Position { highest: Revision { micros: (1 << 53) - 1, random: 0 }, ..Position::default() };
    let refused = [
        store.append(&[Bytes::from("entry")], beyond).await.map(drop),
        store.follow(beyond, 1).await.map(drop),
        store.accept(beyond).await.map(drop),
    ];
    assert!(refused.iter().all(|answer| matches!(answer, Err(StoreError::Broken(_)))), "{refused:?}");
    assert_eq!(look(&store).await.era.marker, Revision::START);
    append(&store, Position::default()).await;
}

#[tokio::test]
async fn another_history_under_the_same_process_is_another_primary() {
    let server = RedisServer::start().await;
    let primary = RedisServer::start_with(&["--repl-diskless-sync-delay", "0"]).await;
    let store = connect(&server).await;
    let tail = append(&store, Position::default()).await;
    let before = look(&store).await;
    server.ask::<()>(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]).await;
    server.ask::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    let met = look(&store).await;
    assert_ne!(met.identity, before.identity);
    assert_well_ahead(met.era.marker, &[tail.micros]);
    assert!(!store.healed(ONE, before.identity).await.unwrap());
}

//! What a stream may and may not make a verifier believe.

use super::*;
use jeton_domain::revision::Born;

const ALICE: [u8; 16] = [1; 16];
const KEY: [u8; 16] = [2; 16];
const TWO_SECONDS: i64 = 2_000;

fn started(snapshot: bool, salt: u8) -> Message {
    Message::Started(WatchStarted { salt: vec![salt; 32], snapshot, horizon: 7_200, max_staleness_ms: TWO_SECONDS })
}

fn floor(target: [u8; 16], floor: u64, kind: Kind) -> RaisedFloor {
    RaisedFloor { target: target.to_vec(), floor, kind: kind.into(), reason: RevocationReason::SignOut.into(), at: 1_000 }
}

fn changes(raised: &[RaisedFloor], revision: &str) -> Message {
    Message::Changes(WatchChanges { raised: raised.to_vec(), revision: revision.into() })
}

fn pong(id: u64, revision: &str) -> Message {
    Message::Pong(WatchPong { id, revision: revision.into() })
}

fn is_fresh(watched: &Watched, run: u64) -> bool {
    watched.read().as_ref().is_some_and(|view| view.is_fresh(Millis::new(run)))
}

fn kills(watched: &Watched, born: u64) -> bool {
    watched.read().as_ref().is_some_and(|view| view.floors.killing(&[TargetId(ALICE)], Born(born)).is_some())
}

const COMPLETED: Learnt = Learnt::Changes { completed: true, burnt: false };

/// A view that knows of alice's revocation at 10, proved by a ping of this time.
fn watched(run: u64) -> Watched {
    let watched = Watched::default();
    let mut stream = Stream::new(&watched, 10);
    assert_eq!(stream.take(started(true, 7)), Ok(Learnt::Began(Millis::new(500))));
    assert_eq!(stream.take(changes(&[floor(ALICE, 10, Kind::Subject)], "10-1")), Ok(COMPLETED));
    let ping = stream.ping(Millis::new(run)).unwrap();
    assert_eq!(stream.take(pong(ping, "10-1")), Ok(Learnt::Proved(ping)));
    watched
}

#[test]
fn age_counts_from_the_sending_of_the_ping_that_came_back() {
    let watched = watched(5_000);
    assert!(is_fresh(&watched, 5_000) && is_fresh(&watched, 7_000) && !is_fresh(&watched, 7_001));
    let mut stream = Stream::new(&watched, 10);
    stream.take(started(false, 7)).unwrap();
    let early = stream.ping(Millis::new(9_000)).unwrap();
    assert_eq!(stream.take(pong(early, "")), Ok(Learnt::Nothing), "what was lacking is not told yet");
    stream.take(changes(&[], "10-1")).unwrap();
    let [first, second] = [6_000, 8_000].map(|run| stream.ping(Millis::new(run)).unwrap());
    stream.take(pong(first, "")).unwrap();
    assert!(is_fresh(&watched, 8_000) && !is_fresh(&watched, 8_001), "the later one did not come back");
    stream.take(pong(second, "")).unwrap();
    assert!(is_fresh(&watched, 10_000));
}

#[test]
fn a_key_that_was_burnt_is_told_in_the_last_of_what_was_lacking_too() {
    let watched = watched(5_000);
    let mut stream = Stream::new(&watched, 10);
    stream.take(started(false, 7)).unwrap();
    let burnt = changes(&[floor(KEY, Floor::INFINITE.0, Kind::SigningKey)], "20-1");
    assert_eq!(stream.take(burnt.clone()), Ok(Learnt::Changes { completed: true, burnt: true }));
    assert_eq!(stream.take(burnt), Ok(Learnt::Changes { completed: false, burnt: true }));
}

#[test]
fn a_snapshot_judges_only_when_it_is_complete_and_proved() {
    let watched = watched(5_000);
    let mut stream = Stream::new(&watched, 10);
    stream.take(started(true, 7)).unwrap();
    let early = stream.ping(Millis::new(6_000)).unwrap();
    stream.take(changes(&[], "")).unwrap();
    assert_eq!(stream.take(pong(early, "")), Ok(Learnt::Nothing), "half a snapshot is not proved");
    assert!(kills(&watched, 9) && !is_fresh(&watched, 7_001), "what was known judges, and ages");
    assert_eq!(stream.take(changes(&[], "20-1")), Ok(COMPLETED));
    assert!(kills(&watched, 9), "complete is not proved yet");
    let late = stream.ping(Millis::new(6_500)).unwrap();
    assert_eq!(stream.take(pong(late, "20-1")), Ok(Learnt::Proved(late)));
    assert!(!kills(&watched, 9), "the snapshot is what is known now");
    assert_eq!((watched.revision(), is_fresh(&watched, 8_500)), ("20-1".to_owned(), true));
}

#[test]
fn a_stream_that_is_cut_in_its_snapshot_leaves_what_was_known() {
    let watched = watched(5_000);
    let mut stream = Stream::new(&watched, 10);
    stream.take(started(true, 8)).unwrap();
    stream.take(changes(&[floor([2; 16], 30, Kind::Subject)], "")).unwrap();
    drop(stream);
    assert_eq!(watched.revision(), "10-1", "from there it goes on");
    assert!(kills(&watched, 9) && is_fresh(&watched, 7_000) && !is_fresh(&watched, 7_001));
}

#[test]
fn what_comes_twice_or_late_lowers_nothing() {
    let watched = watched(5_000);
    let mut stream = Stream::new(&watched, 10);
    stream.take(started(false, 7)).unwrap();
    for high in [30, 20, 30] {
        stream.take(changes(&[floor(ALICE, high, Kind::Subject)], "30-1")).unwrap();
    }
    assert!(kills(&watched, 29) && !kills(&watched, 30));
}

#[test]
fn another_salt_is_told_apart() {
    let watched = watched(5_000);
    let salted = || watched.read().as_ref().map(|view| view.salted);
    let first = salted();
    for (salt, is_first) in [(7, true), (8, false), (8, false), (7, true)] {
        let mut stream = Stream::new(&watched, 10);
        stream.take(started(true, salt)).unwrap();
        stream.take(changes(&[], "40-1")).unwrap();
        let ping = stream.ping(Millis::new(5_000)).unwrap();
        stream.take(pong(ping, "")).unwrap();
        assert_eq!(salted() == first, is_first);
    }
}

#[test]
fn a_floor_is_as_high_as_told_whatever_kind_a_newer_version_calls_it() {
    for (told, kind, born, dead) in [
        (u64::MAX, Kind::Session, 99, true),
        (u64::MAX, Kind::Subject, 99, true),
        (u64::MAX, Kind::Unspecified, 99, true),
        (10, Kind::Consent, 9, true),
        (10, Kind::Consent, 10, false),
        (10, Kind::Unspecified, 10, false),
        (10, Kind::Grant, 10, false),
    ] {
        let raised = raised(&floor(ALICE, told, kind)).unwrap();
        assert_eq!(raised.floor().kills(Born(born)), dead, "{told} {kind:?} {born}");
    }
}

#[test]
fn a_stream_that_is_not_as_it_must_be_is_given_up() {
    let bad_floor = RaisedFloor { target: vec![1; 15], ..floor(ALICE, 1, Kind::Grant) };
    let starts = |salt: usize, horizon, max_staleness_ms| {
        Message::Started(WatchStarted { salt: vec![7; salt], snapshot: true, horizon, max_staleness_ms })
    };
    let cases: [&[Message]; 8] = [
        &[changes(&[], "1-1")],
        &[started(true, 7), started(true, 7)],
        &[started(true, 7), pong(1, "1-1")],
        &[started(false, 7)],
        &[started(true, 7), changes(&[bad_floor], "1-1")],
        &[starts(31, 7_200, 2_000)],
        &[starts(32, 0, 2_000)],
        &[starts(32, 7_200, -1)],
    ];
    for messages in cases {
        let watched = Watched::default();
        let mut stream = Stream::new(&watched, 10);
        let last = messages.iter().map(|message| stream.take(message.clone())).last().unwrap();
        assert!(matches!(last, Err(Broken::Protocol(_))), "{messages:?}");
        assert!(watched.read().is_none());
    }
    let watched = watched(5_000);
    let mut stream = Stream::new(&watched, 10);
    assert!(stream.take(started(false, 8)).is_err(), "another salt is another history");
}

#[test]
fn more_than_may_be_held_is_said_and_pings_have_a_bound() {
    let watched = watched(5_000);
    let mut stream = Stream::new(&watched, 10);
    stream.take(started(false, 7)).unwrap();
    let many: Vec<RaisedFloor> = (2..12).map(|target| floor([target; 16], 20, Kind::Client)).collect();
    assert_eq!(stream.take(changes(&many, "20-1")), Err(Broken::TooMany(10)));
    assert_eq!(std::iter::repeat_with(|| stream.ping(Millis::ZERO)).take_while(Option::is_some).count(), MAX_PINGS);
}

#[test]
fn what_is_older_than_the_horizon_is_forgotten() {
    let watched = watched(5_000);
    let sweep = |now| (0..Floors::PARTS).for_each(|part| watched.forget(part, Timestamp::from_secs(now)));
    sweep(8_200);
    assert!(kills(&watched, 9));
    sweep(8_201);
    assert!(!kills(&watched, 9));
}

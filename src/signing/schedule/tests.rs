//! The schedule, row by row and at random: who signs, who is published, who is let go.

use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

const ED: Algorithm = Algorithm::EdDsa;
const START: Timestamp = Timestamp::from_secs(1_000_000);

fn settings() -> Settings {
    Settings {
        rotation_period: Millis::from_secs(1_000),
        publish_ahead: Millis::from_secs(200),
        jwks_max_age: Millis::from_secs(100),
        keep_after_retirement: Millis::from_secs(300),
        makes_rs256: true,
    }
}

fn at(secs: u64) -> Timestamp {
    START.plus(Millis::from_secs(secs))
}

/// A schedule whose keys are called k1, k2, ...
struct World {
    schedule: Schedule,
    settings: Settings,
    made: u32,
}

impl World {
    fn new(settings: Settings) -> Self {
        let mut world = Self { schedule: Schedule::default(), settings, made: 0 };
        assert!(world.act(|schedule, settings, make| schedule.advance(START, settings, make)).unwrap());
        world
    }

    fn act(&mut self, act: impl FnOnce(&mut Schedule, &Settings, &mut Make<'_>) -> Result<bool>) -> Result<bool> {
        let made = &mut self.made;
        act(&mut self.schedule, &self.settings, &mut |_| {
            *made += 1;
            Ok(format!("k{made}"))
        })
    }

    fn advance(&mut self, now: Timestamp) -> bool {
        self.act(|schedule, settings, make| schedule.advance(now, settings, make)).unwrap()
    }

    fn rotate(&mut self, algorithm: Algorithm, now: Timestamp) -> bool {
        self.act(|schedule, settings, make| schedule.rotate(algorithm, now, settings, make)).unwrap()
    }

    fn burn(&mut self, kid: &str, now: Timestamp) -> Result<bool> {
        self.act(|schedule, settings, make| schedule.burn(kid, now, settings, make))
    }

    fn signer(&self, now: Timestamp) -> String {
        self.schedule.signer(ED, now).unwrap().kid.clone()
    }

    fn in_state(&self, state: KeyState, algorithm: Algorithm, now: Timestamp) -> Vec<&Entry> {
        let here = |entry: &&Entry| entry.algorithm == algorithm && self.schedule.state(&entry.kid, now) == Some(state);
        self.schedule.iter().filter(here).collect()
    }

    fn standby(&self, now: Timestamp) -> Entry {
        let standby = self.in_state(KeyState::Standby, ED, now);
        assert_eq!(standby.len(), 1, "{:?}", self.schedule);
        standby[0].clone()
    }
}

#[test]
fn the_first_key_signs_at_once_and_its_successor_is_published() {
    let world = World::new(settings());
    assert_eq!(world.signer(START), "k1");
    let standby = world.standby(START);
    assert_eq!((standby.created_at, standby.activates_at), (START, at(1_000)));
    assert_eq!(world.signer(at(999)), "k1");
    assert_eq!(world.signer(at(1_000)), standby.kid);
    assert_eq!(world.schedule.state("k1", at(1_000)), Some(KeyState::Retired));
}

#[test]
fn nothing_changes_until_something_is_due() {
    let mut world = World::new(settings());
    assert!(!world.advance(at(999)));
    assert!(world.advance(at(1_000)));
    assert!(!world.advance(at(1_000)));
    assert_eq!(world.schedule.iter().count(), 9);
    assert!(!world.advance(at(1_329)));
    assert!(world.advance(at(1_330)));
    assert_eq!(world.schedule.state("k1", at(1_330)), None);
    assert_eq!(world.schedule.iter().count(), 6);
}

#[test]
fn rotate_waits_until_every_cache_has_the_standby_and_asking_again_changes_nothing() {
    let mut world = World::new(settings());
    assert!(world.rotate(ED, at(10)));
    assert_eq!(world.standby(at(10)).activates_at, at(130));
    assert!(!world.rotate(ED, at(20)));
    assert_eq!((world.signer(at(129)), world.signer(at(130))), ("k1".into(), "k2".into()));
}

#[test]
fn rotate_is_at_once_where_the_standby_was_published_long_enough() {
    let mut world = World::new(settings());
    assert!(world.rotate(ED, at(130)));
    assert_eq!(world.signer(at(130)), "k2");
    let standby = world.standby(at(130));
    assert_eq!((standby.created_at, standby.activates_at), (at(130), at(1_130)));
    assert_eq!(world.schedule.find("k1", at(130)).unwrap().removed_at, Some(at(460)));
}

#[test]
fn rotate_leaves_the_other_algorithm_alone() {
    let mut world = World::new(settings());
    let before = world.schedule.signer(Algorithm::Es256, at(130)).cloned();
    world.rotate(ED, at(130));
    assert_eq!(world.schedule.signer(Algorithm::Es256, at(130)).cloned(), before);
}

#[test]
fn the_successor_of_a_burnt_key_signs_at_once() {
    let mut world = World::new(settings());
    assert_eq!(world.burn("k1", at(5)), Ok(true));
    assert_eq!(world.signer(at(5)), "k2");
    assert_eq!(world.schedule.state("k1", at(5)), Some(KeyState::Burnt));
    assert!(!world.schedule.find("k1", at(5)).unwrap().is_published(at(5)));
    world.standby(at(5));
    assert_eq!(world.burn("k1", at(6)), Ok(false));
    // Listed until nothing it signed can live, then unknown, which proves nothing either.
    assert_eq!(world.schedule.state("k1", at(334)), Some(KeyState::Burnt));
    assert_eq!(world.schedule.state("k1", at(335)), None);
}

#[test]
fn a_burnt_standby_is_replaced_and_the_signer_stays() {
    let mut world = World::new(settings());
    assert_eq!(world.burn("k2", at(900)), Ok(true));
    let standby = world.standby(at(900));
    assert_eq!(standby.activates_at, at(1_100));
    assert_eq!(world.signer(at(1_099)), "k1");
    assert_eq!(world.signer(at(1_100)), standby.kid);
}

#[test]
fn a_burnt_signer_without_successor_is_replaced_at_once() {
    let mut world = World::new(settings());
    // k2 signs since 1,000; nobody advanced, so it has no successor.
    assert_eq!(world.burn("k2", at(1_500)), Ok(true));
    assert_eq!(world.in_state(KeyState::Active, ED, at(1_500)).len(), 1);
    assert_eq!(world.standby(at(1_500)).activates_at, at(2_500));
}

#[test]
fn a_burnt_retired_key_changes_nothing_else() {
    let mut world = World::new(settings());
    world.advance(at(1_000));
    let signer = world.signer(at(1_100));
    assert_eq!(world.burn("k1", at(1_100)), Ok(true));
    assert_eq!(world.signer(at(1_100)), signer);
    assert_eq!(world.schedule.state("k1", at(1_100)), Some(KeyState::Burnt));
}

#[test]
fn who_makes_none_for_rs256_leaves_those_of_another_replica_as_they_are() {
    let with = settings();
    let without = Settings { makes_rs256: false, ..with };
    let rsa =
        |world: &World| world.schedule.iter().filter(|entry| entry.algorithm == Algorithm::Rs256).cloned().collect::<Vec<_>>();
    let mut world = World::new(without);
    assert!(rsa(&world).is_empty());
    assert!(!world.rotate(Algorithm::Rs256, at(1)));
    world.settings = with;
    assert!(world.advance(at(10)));
    let made = rsa(&world);
    assert_eq!(world.schedule.signer(Algorithm::Rs256, at(10)), made.first(), "the first one signs at once");
    world.settings = without;
    world.advance(at(1_000));
    assert_eq!(rsa(&world), made);
    // The standby takes over by its schedule, and can be let take over, and be burnt; who makes them makes the next.
    assert_eq!(world.schedule.signer(Algorithm::Rs256, at(1_010)), made.get(1));
    world.burn(&made[1].kid, at(1_020)).unwrap();
    assert_eq!(world.schedule.signer(Algorithm::Rs256, at(1_020)), None);
    world.settings = with;
    assert!(world.advance(at(1_030)));
    assert_eq!(world.in_state(KeyState::Active, Algorithm::Rs256, at(1_030)).len(), 1);
    assert_eq!(world.in_state(KeyState::Standby, Algorithm::Rs256, at(1_030)).len(), 1);
}

fn without_rs256() -> Settings {
    Settings { makes_rs256: false, ..settings() }
}

/// The keys for RS256 that are published.
fn published_rs256(world: &World, now: Timestamp) -> usize {
    world.schedule.iter().filter(|entry| entry.algorithm == Algorithm::Rs256 && entry.is_published(now)).count()
}

#[test]
fn keys_of_an_algorithm_that_nobody_signs_with_any_more_go_when_what_they_signed_is_dead() {
    let mut world = World::new(settings());
    world.settings = without_rs256();
    // The standby begins at 1,000, is alone for 200 seconds, retires after 200 more, and is gone 330 later.
    for (now, published) in [(999, 2), (1_199, 2), (1_200, 2), (1_399, 1), (1_400, 1), (1_729, 1), (1_730, 0)] {
        world.advance(at(now));
        assert_eq!(published_rs256(&world, at(now)), published, "{now}");
        assert_eq!(world.schedule.signer(Algorithm::Rs256, at(now)).is_some(), now < 1_400, "{now}");
    }
    world.standby(at(1_730));
    world.settings = settings();
    world.advance(at(1_731));
    assert_eq!(world.schedule.signer(Algorithm::Rs256, at(1_731)).unwrap().activates_at, at(1_731), "as if it were new");
}

#[test]
fn as_long_as_one_replica_signs_with_it_an_algorithm_rotates_as_ever() {
    let (mut mixed, mut alone) = (World::new(settings()), World::new(settings()));
    for now in (0..6_000).step_by(50).map(at) {
        for settings in [without_rs256(), settings(), without_rs256()] {
            mixed.settings = settings;
            mixed.advance(now);
        }
        alone.advance(now);
        let rs256 = |world: &World| {
            let entries = world.schedule.iter().filter(|entry| entry.algorithm == Algorithm::Rs256);
            entries.map(|entry| (entry.activates_at, entry.retires_at, entry.removed_at)).collect::<Vec<_>>()
        };
        assert_eq!(rs256(&mixed), rs256(&alone), "{now:?}");
    }
}

#[test]
fn who_comes_back_before_the_last_key_retires_keeps_it() {
    let mut world = World::new(without_rs256());
    world.settings = settings();
    world.advance(at(0));
    world.settings = without_rs256();
    world.advance(at(1_200));
    let signer = world.schedule.signer(Algorithm::Rs256, at(1_399)).unwrap().clone();
    assert_eq!(signer.retires_at, Some(at(1_400)));
    world.settings = settings();
    assert!(world.advance(at(1_399)));
    assert_eq!(world.schedule.state(&signer.kid, at(1_500)), Some(KeyState::Active));
    let standby = world.in_state(KeyState::Standby, Algorithm::Rs256, at(1_399));
    assert_eq!(standby.iter().map(|entry| entry.activates_at).collect::<Vec<_>>(), [at(2_000)]);
}

#[test]
fn an_unknown_key_cannot_be_burnt() {
    assert!(matches!(World::new(settings()).burn("k99", at(1)), Err(Error::KeyUnknown(_))));
}

#[test]
fn a_key_set_is_never_cached_past_the_next_activation() {
    let world = World::new(settings());
    assert_eq!(world.schedule.jwks_max_age(START, &world.settings), Millis::from_secs(100));
    assert_eq!(world.schedule.jwks_max_age(at(960), &world.settings), Millis::from_secs(40));
}

#[test]
fn a_clock_that_is_behind_signs_with_the_first_key() {
    let world = World::new(settings());
    assert_eq!(world.signer(START.minus(Millis::from_secs(60))), "k1");
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Advance,
    Rotate(Algorithm),
    Nothing,
}

fn acts() -> impl Strategy<Value = Vec<(u64, u64, Act)>> {
    let act = prop_oneof![Just(Act::Advance), Just(Act::Rotate(ED)), Just(Act::Rotate(Algorithm::Es256)), Just(Act::Nothing)];
    // Seconds that pass, seconds that the other replica is behind, and what happens.
    proptest::collection::vec((0..150_u64, 0..=NOTICE.secs(), act), 1..60)
}

fn any_settings() -> impl Strategy<Value = Settings> {
    (1..2_000_u64, 0..500_u64, 0..300_u64, 0..600_u64).prop_map(|(rotation, ahead, max_age, keep)| Settings {
        rotation_period: Millis::from_secs(rotation),
        publish_ahead: Millis::from_secs(ahead),
        jwks_max_age: Millis::from_secs(max_age),
        keep_after_retirement: Millis::from_secs(keep),
        makes_rs256: true,
    })
}

/// What the property tests watch: two replicas, one of them up to `NOTICE` behind, and everybody who fetched or signed.
struct Watch {
    world: World,
    history: Vec<(Timestamp, Schedule)>,
    caches: Vec<(Timestamp, HashSet<String>)>,
    signed: Vec<(Timestamp, String)>,
}

impl Watch {
    /// Lets the time run over every moment at which something changes by itself.
    fn moments(&self, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
        let mut moments = self.world.schedule.iter().map(|entry| entry.activates_at).collect::<Vec<_>>();
        moments.retain(|moment| from < *moment && *moment < to);
        moments.push(to);
        moments.sort_unstable();
        moments
    }

    fn look(&mut self, now: Timestamp, behind: u64) {
        let before = now.minus(Millis::from_secs(behind));
        let known = |(at, _): &&(Timestamp, Schedule)| *at <= before;
        let late = self.history.iter().rev().find(known).map_or_else(|| self.history[0].1.clone(), |(_, known)| known.clone());
        for schedule in [&self.world.schedule, &late] {
            for algorithm in Algorithm::ALL {
                let active =
                    |entry: &&Entry| entry.algorithm == algorithm && schedule.state(&entry.kid, now) == Some(KeyState::Active);
                assert_eq!(schedule.iter().filter(active).count(), 1, "exactly one key signs: {schedule:?}");
                let kid = &schedule.signer(algorithm, now).unwrap().kid;
                for (until, cached) in &self.caches {
                    assert!(*until <= now || cached.contains(kid), "{kid} misses in a cache at {now:?}: {schedule:?}");
                }
                self.signed.push((now, kid.clone()));
            }
            let published = schedule.iter().filter(|entry| entry.is_published(now)).map(|entry| entry.kid.clone());
            self.caches.push((now.plus(schedule.jwks_max_age(now, &self.world.settings)), published.collect()));
        }
        let keep = self.world.settings.keep_after_retirement;
        for (at, kid) in self.signed.iter().filter(|(at, _)| at.plus(keep) > now) {
            let published = self.world.schedule.find(kid, now).is_some_and(|entry| entry.is_published(now));
            assert!(published, "{kid} signed at {at:?} and is gone at {now:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rotation_never_makes_a_valid_token_fail(settings in any_settings(), acts in acts()) {
        let world = World::new(settings);
        let history = vec![(START, world.schedule.clone())];
        let mut watch = Watch { world, history, caches: Vec::new(), signed: Vec::new() };
        let mut now = START;
        for (seconds, behind, act) in acts {
            let next = now.plus(Millis::from_secs(seconds));
            for moment in watch.moments(now, next) {
                watch.look(moment, behind);
            }
            now = next;
            match act {
                Act::Advance => drop(watch.world.advance(now)),
                Act::Rotate(algorithm) => drop(watch.world.rotate(algorithm, now)),
                Act::Nothing => {}
            }
            watch.history.push((now, watch.world.schedule.clone()));
            watch.look(now, behind);
        }
    }

    #[test]
    fn burning_anything_at_any_time_leaves_one_signer_and_one_standby(
        settings in any_settings(), acts in acts(), burns in proptest::collection::vec((0..60_usize, 0..12_usize), 1..8),
    ) {
        let mut world = World::new(settings);
        let mut now = START;
        for (step, (seconds, _, act)) in acts.into_iter().enumerate() {
            now = now.plus(Millis::from_secs(seconds));
            match act {
                Act::Rotate(algorithm) => drop(world.rotate(algorithm, now)),
                Act::Advance | Act::Nothing => drop(world.advance(now)),
            }
            for (_, which) in burns.iter().filter(|(at, _)| *at == step) {
                let kid = world.schedule.iter().nth(*which).map(|entry| entry.kid.clone());
                if let Some(kid) = kid {
                    prop_assert!(world.burn(&kid, now).is_ok());
                    prop_assert_eq!(world.schedule.state(&kid, now), Some(KeyState::Burnt));
                }
            }
            for algorithm in Algorithm::ALL {
                prop_assert_eq!(world.in_state(KeyState::Active, algorithm, now).len(), 1);
                prop_assert_eq!(world.in_state(KeyState::Standby, algorithm, now).len(), 1);
            }
        }
    }
}

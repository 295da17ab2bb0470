//! The keys of a record, at each moment of their life.

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn signing() -> Signing {
    signing_with(false)
}

fn signing_with(makes_rs256: bool) -> Signing {
    Signing::new(Settings {
        rotation_period: Millis::from_secs(1_000),
        publish_ahead: Millis::from_secs(200),
        jwks_max_age: Millis::from_secs(100),
        keep_after_retirement: Millis::from_secs(300),
        makes_rs256,
    })
}

fn first_record(signing: &Signing) -> SigningRecord {
    loop {
        match signing.advance(None, NOW) {
            Err(_) if signing.is_short() => signing.restock().unwrap(),
            made => return made.unwrap().unwrap(),
        }
    }
}

fn later(secs: u64) -> Timestamp {
    NOW.plus(Millis::from_secs(secs))
}

#[test]
fn a_first_record_has_a_signer_and_a_standby_of_each_algorithm() {
    let signing = signing_with(true);
    assert!(!signing.is_installed());
    assert!(signing.signer(Algorithm::EdDsa, NOW).is_err());
    let record = first_record(&signing);
    signing.install(&record).unwrap();
    assert!(signing.is_installed());
    for algorithm in Algorithm::ALL {
        let states = signing.status(NOW).into_iter().filter(|key| key.algorithm == algorithm).map(|key| key.state);
        assert_eq!(states.collect::<Vec<_>>(), [KeyState::Standby, KeyState::Active]);
        assert_eq!(signing.signer(algorithm, NOW).unwrap().algorithm(), algorithm);
    }
    assert_eq!(signing.advance(Some(record), NOW).unwrap(), None);
}

#[test]
fn a_key_that_is_slow_to_make_is_made_before_it_is_needed_and_none_is_lost() {
    let signing = signing_with(true);
    assert!(matches!(signing.advance(None, NOW), Err(Error::Internal(_))));
    signing.restock().unwrap();
    assert!(!signing.is_short());
    let made = signing.stock.lock().unwrap().made.clone();
    assert!(signing.advance(None, NOW).is_err() && signing.is_short(), "the first of two");
    assert_eq!(signing.stock.lock().unwrap().made, made, "back in stock");
    signing.restock().unwrap();
    let record = signing.advance(None, NOW).unwrap().unwrap();
    assert!(record.keys.iter().any(|key| key.kid == made[0].kid) && signing.stock.lock().unwrap().made.is_empty());
}

#[test]
fn replicas_with_the_same_record_agree_at_every_moment() {
    let [one, two] = [signing(), signing()];
    let record = first_record(&one);
    one.install(&record).unwrap();
    two.install(&record).unwrap();
    for secs in [0, 999, 1_000, 1_001, 5_000] {
        let kid = |signing: &Signing| signing.signer(Algorithm::Es256, later(secs)).unwrap().kid().to_owned();
        assert_eq!(kid(&one), kid(&two));
        assert_eq!(one.jwks(later(secs)), two.jwks(later(secs)));
    }
}

#[test]
fn keys_that_stay_are_not_parsed_again() {
    let signing = signing();
    let record = first_record(&signing);
    signing.install(&record).unwrap();
    let before = signing.signer(Algorithm::EdDsa, NOW).unwrap();
    let rotated = signing.rotate(Some(record), Algorithm::EdDsa, later(130)).unwrap().unwrap();
    signing.install(&rotated).unwrap();
    assert_eq!(signing.state(before.kid(), later(130)), Some(KeyState::Retired));
    let same = signing.set().signing.get(before.kid()).is_some_and(|after| Arc::ptr_eq(after, &before));
    assert!(same);
}

#[test]
fn a_change_has_another_number_and_the_same_again_has_none() {
    let signing = signing();
    let record = first_record(&signing);
    signing.install(&record).unwrap();
    let first = signing.changes();
    signing.install(&record).unwrap();
    assert_eq!(signing.changes(), first);
    let kid = record.keys[0].kid.clone();
    signing.install(&signing.burn(Some(record), &[&kid], NOW).unwrap().unwrap()).unwrap();
    assert_ne!(signing.changes(), first);
}

#[test]
fn a_burnt_key_loses_its_private_half_and_every_use() {
    let signing = signing();
    let record = Some(first_record(&signing));
    let kid = record.as_ref().unwrap().keys[0].kid.clone();
    let burnt = signing.burn(record, &[&kid], NOW).unwrap().unwrap();
    assert!(burnt.keys[0].private.is_empty() && !burnt.keys[1].private.is_empty());
    signing.install(&burnt).unwrap();
    assert_eq!(signing.state(&kid, NOW), Some(KeyState::Burnt));
    assert!(signing.verifier(&kid, NOW).is_none());
    assert!(signing.status(NOW).iter().any(|key| key.kid == kid && key.state == KeyState::Burnt));
    assert_eq!(signing.burn(Some(burnt), &[&kid], NOW).unwrap(), None);
    assert!(matches!(signing.burn(None, &["unknown"], NOW), Err(Error::KeyUnknown(_))));
}

#[test]
fn what_is_burnt_stays_so_whatever_an_older_record_says() {
    let signing = signing();
    let older = first_record(&signing);
    signing.install(&older).unwrap();
    let burnt = signing.signer(Algorithm::EdDsa, NOW).unwrap();
    signing.install(&signing.burn(Some(older.clone()), &[burnt.kid()], NOW).unwrap().unwrap()).unwrap();
    // Read before the key was burnt, taken over after.
    signing.install(&older).unwrap();
    assert_eq!(signing.state(burnt.kid(), NOW), Some(KeyState::Burnt));
    assert!(signing.verifier(burnt.kid(), NOW).is_none());
    assert!(signing.verifier_by_header(burnt.header(Typ::AtJwt), NOW).is_none());
    assert_ne!(signing.signer(Algorithm::EdDsa, NOW).unwrap().kid(), burnt.kid());
}

#[test]
fn the_key_set_shows_no_private_half() {
    let signing = signing_with(true);
    signing.install(&first_record(&signing)).unwrap();
    let (set, max_age) = signing.jwks(NOW);
    assert_eq!((set.keys.len(), max_age), (6, Millis::from_secs(100)));
    let published = serde_json::to_value(&set).unwrap();
    let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    for key in published["keys"].as_array().unwrap() {
        assert!(private.iter().all(|member| key.get(member).is_none()), "{key}");
        assert_eq!(key["use"], "sig");
    }
    assert_eq!(signing.jwks(later(960)).1, Millis::from_secs(40));
}

#[test]
fn what_a_newer_version_added_stays_as_it_is() {
    let signing = signing();
    let mut record = first_record(&signing);
    let mut newer = record.keys[0].clone();
    newer.kid = "newer".into();
    newer.algorithm = 4;
    record.keys.push(newer.clone());
    signing.install(&record).unwrap();
    assert!(signing.verifier("newer", NOW).is_none());
    let advanced = signing.advance(Some(record), later(5_000)).unwrap().unwrap();
    assert!(advanced.keys.contains(&newer));
}

#[test]
fn a_record_that_cannot_be_read_leaves_the_keys_as_they_were() {
    let signing = signing();
    let mut record = first_record(&signing);
    signing.install(&record).unwrap();
    let kid = signing.signer(Algorithm::EdDsa, NOW).unwrap().kid().to_owned();
    record.keys[0].kid = "another".into();
    record.keys[0].private = vec![1, 2, 3];
    assert!(matches!(signing.install(&record), Err(Error::RecordUnreadable(_))));
    assert_eq!(signing.signer(Algorithm::EdDsa, NOW).unwrap().kid(), kid);
}

//! With which key? The signing keys of this moment, and their schedule.
//!
//! Lives here: making keys (`keys`), when each signs (`schedule`), the parsed key set, the JWKS (`jwk`). Must not live here: reading and
//! writing the record (`records` does, in its load-decide-swap loop, and calls `install`), JWTs (`tokens`), any I/O.

mod jwk;
pub mod keys;
pub mod schedule;

pub use keys::{SigningKey, Typ, VerifyingKey};
pub use schedule::{KeyState, NOTICE, Settings};

use crate::records::proto::{self, SigningRecord};
use jeton_domain::client::Algorithm;
use jeton_domain::error::{Error, Result};
use jeton_domain::time::{Millis, Timestamp};
use jsonwebtoken::jwk::JwkSet;
use schedule::{Entry, Make, Schedule};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// The keys of this replica, swapped as a whole, and how keys rotate.
pub struct Signing {
    settings: RwLock<Settings>,
    set: RwLock<Arc<KeySet>>,
    changes: AtomicU64,
    stock: Mutex<Stock>,
}

/// Keys that are slow to make, made before they are needed.
#[derive(Default)]
struct Stock {
    made: Vec<proto::SigningKey>,
    is_short: bool,
}

/// A key and its schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// Its id.
    pub kid: String,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Where it is in its life.
    pub state: KeyState,
    /// When it was made and published.
    pub created_at: Timestamp,
    /// When it begins to sign.
    pub activates_at: Timestamp,
    /// When it stops signing, where that is known.
    pub retires_at: Option<Timestamp>,
    /// When it is no longer published, where that is known.
    pub removed_at: Option<Timestamp>,
}

/// A record, parsed.
#[derive(Default)]
struct KeySet {
    schedule: Schedule,
    signing: HashMap<Box<str>, Arc<SigningKey>>,
    verifying: HashMap<Box<str>, Published>,
    headers: HashMap<Box<str>, (Published, Typ)>,
}

/// A public key and when it goes.
#[derive(Clone)]
struct Published {
    key: Arc<VerifyingKey>,
    removed_at: Option<Timestamp>,
}

impl Signing {
    /// Without keys, until a record is installed.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings: RwLock::new(settings), set: RwLock::default(), changes: AtomicU64::new(0), stock: Mutex::default() }
    }

    /// How keys rotate.
    #[must_use]
    pub fn settings(&self) -> Settings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure that keys are published for at least `keep` after they signed last, and that there are keys for RS256 where one is
    /// `asked_for`. Whether a key has to be made for it.
    pub fn allow_for(&self, keep: Millis, asked_for: bool) -> bool {
        let mut settings = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        settings.keep_after_retirement = settings.keep_after_retirement.max(keep);
        let is_new = asked_for && !settings.makes_rs256;
        settings.makes_rs256 |= asked_for;
        is_new
    }

    /// Takes over a record. Keys that are here already are not parsed again. Keys of an algorithm that only a newer version knows are left out.
    ///
    /// # Errors
    /// `Error::RecordUnreadable` where a key cannot be parsed; the keys stay as they were.
    pub fn install(&self, record: &SigningRecord) -> Result<()> {
        let mut held = self.set.write().unwrap_or_else(PoisonError::into_inner);
        let set = KeySet::parse(record, &held)?;
        let is_changed = set.schedule != held.schedule;
        *held = Arc::new(set);
        // After it: who reads the number and then a key has the key of that number, or of a later one.
        if is_changed {
            self.changes.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }

    /// How often the keys changed: under the same number each proves what it did.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Whether a record was installed.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        !self.set().verifying.is_empty()
    }

    /// The key that signs now.
    ///
    /// # Errors
    /// `Error::Internal` where no record was installed yet.
    pub fn signer(&self, algorithm: Algorithm, now: Timestamp) -> Result<Arc<SigningKey>> {
        let set = self.set();
        let key = set.schedule.signer(algorithm, now).and_then(|entry| set.signing.get(entry.kid.as_str()));
        key.map(Arc::clone).ok_or_else(|| Error::Internal(format!("no {} signing key is loaded", algorithm.word())))
    }

    /// The public key of that id; none where it is unknown, burnt or removed. A standby key is answered too: another
    /// replica's clock may be ahead.
    #[must_use]
    pub fn verifier(&self, kid: &str, now: Timestamp) -> Option<Arc<VerifyingKey>> {
        self.set().verifying.get(kid).and_then(|published| published.at(now))
    }

    /// The public key, and what its JWT is, by the encoded header that we write: `verifier` without reading the header.
    #[must_use]
    pub fn verifier_by_header(&self, header: &str, now: Timestamp) -> Option<(Arc<VerifyingKey>, Typ)> {
        let set = self.set();
        let (published, typ) = set.headers.get(header)?;
        Some((published.at(now)?, *typ))
    }

    /// Where a key is in its life; none where it is unknown or removed.
    #[must_use]
    pub fn state(&self, kid: &str, now: Timestamp) -> Option<KeyState> {
        self.set().schedule.state(kid, now)
    }

    /// The public keys, and for how long they may be cached (RFC 7517 section 5).
    #[must_use]
    pub fn jwks(&self, now: Timestamp) -> (JwkSet, Millis) {
        let set = self.set();
        let published = set.schedule.iter().filter(|entry| entry.is_published(now));
        let keys =
            published.filter_map(|entry| set.verifying.get(entry.kid.as_str())).map(|published| published.key.jwk().clone());
        (JwkSet { keys: keys.collect() }, set.schedule.jwks_max_age(now, &self.settings()))
    }

    /// Every key that is published or burnt, newest first.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> Vec<KeyStatus> {
        let set = self.set();
        let status = |entry: &Entry| {
            Some(KeyStatus {
                kid: entry.kid.clone(),
                algorithm: entry.algorithm,
                state: set.schedule.state(&entry.kid, now)?,
                created_at: entry.created_at,
                activates_at: entry.activates_at,
                retires_at: entry.retires_at,
                removed_at: entry.removed_at,
            })
        };
        set.schedule.iter().rev().filter_map(status).collect()
    }

    /// The record brought up to date; none where it is. A missing record gets its first keys, which sign at once.
    ///
    /// # Errors
    /// `Error::Internal` where a key cannot be made, or has to be made first: see `restock`.
    pub fn advance(&self, record: Option<SigningRecord>, now: Timestamp) -> Result<Option<SigningRecord>> {
        self.change(record, |schedule, make| schedule.advance(now, &self.settings(), make))
    }

    /// The record with the standby of `algorithm` signing as soon as everybody has it, and a new standby once it does;
    /// none where that is so already.
    ///
    /// # Errors
    /// As `advance`.
    pub fn rotate(&self, record: Option<SigningRecord>, algorithm: Algorithm, now: Timestamp) -> Result<Option<SigningRecord>> {
        self.change(record, |schedule, make| schedule.rotate(algorithm, now, &self.settings(), make))
    }

    /// The record with the key burnt for ever, its private half gone, and its successor signing; none where that is so already.
    ///
    /// # Errors
    /// `Error::KeyUnknown`; as `advance`.
    pub fn burn(&self, record: Option<SigningRecord>, kid: &str, now: Timestamp) -> Result<Option<SigningRecord>> {
        self.change(record, |schedule, make| schedule.burn(kid, now, &self.settings(), make))
    }

    /// Whether a change was refused because a key has to be made first that takes long.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner).is_short
    }

    /// Makes the key that a change lacked; then that change is to be tried again. Takes a tenth of a second and more: not on an async
    /// thread.
    ///
    /// # Errors
    /// `Error::Internal` where it cannot be made.
    pub fn restock(&self) -> Result<()> {
        let key = keys::generate(Algorithm::Rs256)?;
        let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        stock.made.push(key);
        stock.is_short = false;
        Ok(())
    }

    /// Makes a key, or takes one that was made ahead.
    fn make(&self, algorithm: Algorithm) -> Result<proto::SigningKey> {
        if algorithm != Algorithm::Rs256 {
            return keys::generate(algorithm);
        }
        let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        let made = stock.made.pop();
        stock.is_short |= made.is_none();
        made.ok_or_else(|| Error::Internal("an RSA key has to be made first".into()))
    }

    /// Lets `act` change the schedule of a record, and makes the record follow. Keys of algorithms that only a newer version
    /// knows stay as they are. What was taken from stock for a change that failed goes back.
    fn change(
        &self,
        record: Option<SigningRecord>,
        act: impl FnOnce(&mut Schedule, &mut Make<'_>) -> Result<bool>,
    ) -> Result<Option<SigningRecord>> {
        let record = record.unwrap_or_default();
        let mut schedule = schedule_of(&record);
        let mut material = record.keys;
        let held = material.len();
        let acted = act(&mut schedule, &mut |algorithm| {
            let key = self.make(algorithm)?;
            let kid = key.kid.clone();
            material.push(key);
            Ok(kid)
        });
        if !matches!(acted, Ok(true)) {
            let unused = material.drain(held..).filter(|key| keys::algorithm(key.algorithm) == Some(Algorithm::Rs256));
            self.stock.lock().unwrap_or_else(PoisonError::into_inner).made.extend(unused);
            return acted.map(|_unchanged| None);
        }
        material.retain_mut(|key| match (keys::algorithm(key.algorithm), schedule.iter().find(|entry| entry.kid == key.kid)) {
            (Some(_), Some(entry)) => {
                write(entry, key);
                true
            }
            (Some(_), None) => false,
            (None, _) => true,
        });
        Ok(Some(SigningRecord { keys: material }))
    }

    fn set(&self) -> Arc<KeySet> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeySet {
    fn parse(record: &SigningRecord, before: &Self) -> Result<Self> {
        let mut set = Self { schedule: schedule_of(record), ..Self::default() };
        // A record that was read before a key was burnt may be taken over after one that says so.
        set.schedule.remember_burnt(&before.schedule);
        for key in &record.keys {
            let kid = key.kid.as_str();
            let is_burnt = set.schedule.is_burnt(kid);
            let Some(algorithm) = keys::algorithm(key.algorithm).filter(|_| !is_burnt) else { continue };
            let signing = match before.signing.get(kid) {
                Some(known) => Arc::clone(known),
                None => Arc::new(SigningKey::parse(algorithm, key)?),
            };
            let verifying = match before.verifying.get(kid) {
                Some(known) => Arc::clone(&known.key),
                None => Arc::new(VerifyingKey::parse(algorithm, key)?),
            };
            let published = Published { key: verifying, removed_at: moment(key.removed_at) };
            for typ in Typ::ALL {
                set.headers.insert(published.key.header(typ).into(), (published.clone(), typ));
            }
            set.signing.insert(kid.into(), signing);
            set.verifying.insert(kid.into(), published);
        }
        Ok(set)
    }
}

impl Published {
    fn at(&self, now: Timestamp) -> Option<Arc<VerifyingKey>> {
        self.removed_at.is_none_or(|removed_at| removed_at > now).then(|| Arc::clone(&self.key))
    }
}

fn schedule_of(record: &SigningRecord) -> Schedule {
    let entry = |key: &proto::SigningKey| {
        Some(Entry {
            kid: key.kid.clone(),
            algorithm: keys::algorithm(key.algorithm)?,
            created_at: Timestamp::from_millis(key.created_at),
            activates_at: Timestamp::from_millis(key.activates_at),
            retires_at: moment(key.retires_at),
            removed_at: moment(key.removed_at),
            burnt_at: moment(key.burnt_at),
        })
    };
    Schedule::new(record.keys.iter().filter_map(entry).collect())
}

fn write(entry: &Entry, key: &mut proto::SigningKey) {
    use zeroize::Zeroize as _;

    let millis = |at: Option<Timestamp>| at.map_or(0, Timestamp::millis);
    key.created_at = entry.created_at.millis();
    key.activates_at = entry.activates_at.millis();
    key.retires_at = millis(entry.retires_at);
    key.removed_at = millis(entry.removed_at);
    key.burnt_at = millis(entry.burnt_at);
    if entry.burnt_at.is_some() {
        key.private.zeroize();
    }
}

fn moment(millis: u64) -> Option<Timestamp> {
    (millis != 0).then(|| Timestamp::from_millis(millis))
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signing").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
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
        signing.install(&signing.burn(Some(record), &kid, NOW).unwrap().unwrap()).unwrap();
        assert_ne!(signing.changes(), first);
    }

    #[test]
    fn a_burnt_key_loses_its_private_half_and_every_use() {
        let signing = signing();
        let record = Some(first_record(&signing));
        let kid = record.as_ref().unwrap().keys[0].kid.clone();
        let burnt = signing.burn(record, &kid, NOW).unwrap().unwrap();
        assert!(burnt.keys[0].private.is_empty() && !burnt.keys[1].private.is_empty());
        signing.install(&burnt).unwrap();
        assert_eq!(signing.state(&kid, NOW), Some(KeyState::Burnt));
        assert!(signing.verifier(&kid, NOW).is_none());
        assert!(signing.status(NOW).iter().any(|key| key.kid == kid && key.state == KeyState::Burnt));
        assert_eq!(signing.burn(Some(burnt), &kid, NOW).unwrap(), None);
        assert!(matches!(signing.burn(None, "unknown", NOW), Err(Error::KeyUnknown(_))));
    }

    #[test]
    fn what_is_burnt_stays_so_whatever_an_older_record_says() {
        let signing = signing();
        let older = first_record(&signing);
        signing.install(&older).unwrap();
        let burnt = signing.signer(Algorithm::EdDsa, NOW).unwrap();
        signing.install(&signing.burn(Some(older.clone()), burnt.kid(), NOW).unwrap().unwrap()).unwrap();
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
}

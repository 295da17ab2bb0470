//! With which key? The signing keys of this moment, and their schedule.
//!
//! Lives here: making keys (`keys`), when each signs (`schedule`) and how their record changes (`rotation`), the parsed key set, the JWKS (`jwk`). Must not live here: reading and
//! writing the record (`records` does, in its load-decide-swap loop, and calls `install`), JWTs (`tokens`), any I/O.

mod jwk;
pub mod keys;
mod rotation;
pub mod schedule;

pub use keys::{SigningKey, Typ, VerifyingKey};
pub use schedule::{KeyState, NOTICE, Settings};

use crate::records::proto::{self, SigningRecord};
use jeton_domain::client::Algorithm;
use jeton_domain::error::{Error, Result};
use jeton_domain::time::{Millis, Timestamp};
use jsonwebtoken::jwk::JwkSet;
use rotation::Stock;
use schedule::{Entry, Schedule};
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

fn moment(millis: u64) -> Option<Timestamp> {
    (millis != 0).then(|| Timestamp::from_millis(millis))
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signing").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

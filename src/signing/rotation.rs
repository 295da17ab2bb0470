//! How the record of the keys changes: on schedule, where it is asked for, and where a key is burnt. Keys that are slow to make are made
//! before.

use super::keys;
use super::schedule::{Entry, Make, Schedule};
use super::{Signing, schedule_of};
use crate::records::proto::{self, SigningRecord};
use jeton_domain::client::Algorithm;
use jeton_domain::error::{Error, Result};
use jeton_domain::time::Timestamp;
use std::sync::PoisonError;

/// Keys that are slow to make, made before they are needed.
#[derive(Default)]
pub(super) struct Stock {
    pub(super) made: Vec<proto::SigningKey>,
    pub(super) is_short: bool,
}

impl Signing {
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

    /// The record with these keys burnt for ever, their private halves gone, and their successors signing; none where that is so already.
    ///
    /// # Errors
    /// `Error::KeyUnknown`; as `advance`.
    pub fn burn(&self, record: Option<SigningRecord>, kids: &[impl AsRef<str>], now: Timestamp) -> Result<Option<SigningRecord>> {
        let settings = self.settings();
        self.change(record, |schedule, make| {
            kids.iter().try_fold(false, |changed, kid| Ok(schedule.burn(kid.as_ref(), now, &settings, make)? || changed))
        })
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

//! When each signing key is published, signs, retires and goes. Pure: times in, times out; the keys themselves are in `keys`.
//!
//! The state of a key follows from its times alone, so replicas agree without writing anything at the moment of a change.
//! For each algorithm that is in use one key signs, and its successor is already published with the moment it takes over.
//!
//! INVARIANT, all three guarded by `rotation_never_makes_a_valid_token_fail`: at any time exactly one key of an algorithm signs;
//! whoever may still cache a key set has every key that signs; a key stays published while something it signed can live.
//! A burnt key is the one exception: its successor signs at once.

use jeton_domain::client::Algorithm;
use jeton_domain::error::{Error, Result};
use jeton_domain::secret::shown;
use jeton_domain::time::{Millis, Timestamp};

/// How keys rotate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a key signs.
    pub rotation_period: Millis,
    /// How long a key is published before it signs. Where it is shorter, `jwks_max_age` and `NOTICE` are taken.
    pub publish_ahead: Millis,
    /// The longest that a key set may be cached.
    pub jwks_max_age: Millis,
    /// How long a key is still published after it signed last: the longest token lifetime and the leeway of verifiers.
    pub keep_after_retirement: Millis,
    /// Whether keys for RS256 are made: only where something is configured for it, for they are slow to make and to sign with. Those
    /// that another replica made, whose configuration differs, are published and burnt here like every other.
    pub makes_rs256: bool,
}

/// The longest that replicas take to notice a change of the keys, their clocks' differences included.
pub const NOTICE: Millis = Millis::from_secs(30);

/// Makes a key, published from now on, and answers its id.
pub type Make<'a> = dyn FnMut(Algorithm) -> Result<String> + 'a;

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Published, not signing yet.
    Standby,
    /// Signing.
    Active,
    /// No longer signing; what it signed is still valid.
    Retired,
    /// Everything it signed is dead.
    Burnt,
}

impl KeyState {
    /// The word for it, in metrics and for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Burnt => "burnt",
        }
    }
}

/// A key, by name, and its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub kid: String,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// When it was made, and published.
    pub created_at: Timestamp,
    /// When it begins to sign.
    pub activates_at: Timestamp,
    /// When it stops signing: when its successor begins; none while it has no successor.
    pub retires_at: Option<Timestamp>,
    /// When it is no longer published; none while that is not known.
    pub removed_at: Option<Timestamp>,
    /// When it was burnt.
    pub burnt_at: Option<Timestamp>,
}

/// All keys of all algorithms, in the order they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule(Vec<Entry>);

impl Settings {
    /// How long a key must have been published before everybody who verifies has it.
    const fn known_after(&self) -> Millis {
        self.jwks_max_age.plus(NOTICE)
    }

    fn ahead(&self) -> Millis {
        self.publish_ahead.max(self.known_after())
    }

    /// The algorithms that keys are made for, and what is signed here is signed with.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> + use<> {
        let settings = *self;
        Algorithm::ALL.into_iter().filter(move |algorithm| settings.makes(*algorithm))
    }

    fn makes(&self, algorithm: Algorithm) -> bool {
        self.makes_rs256 || algorithm != Algorithm::Rs256
    }

    const fn gone_after(&self) -> Millis {
        self.keep_after_retirement.plus(NOTICE)
    }
}

impl Schedule {
    /// From entries in the order they were made.
    #[must_use]
    pub const fn new(entries: Vec<Entry>) -> Self {
        Self(entries)
    }

    /// In the order they were made.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.0.iter()
    }

    /// The key of that id, if it is still published or burnt.
    #[must_use]
    pub fn find(&self, kid: &str, now: Timestamp) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.kid == kid && !entry.is_gone(now))
    }

    /// Whether the key of that id was burnt.
    #[must_use]
    pub fn is_burnt(&self, kid: &str) -> bool {
        self.0.iter().any(|entry| entry.kid == kid && entry.burnt_at.is_some())
    }

    /// Burnt is for ever: what was burnt in `before` is burnt here.
    pub fn remember_burnt(&mut self, before: &Self) {
        for burnt in before.0.iter().filter(|entry| entry.burnt_at.is_some()) {
            for entry in self.0.iter_mut().filter(|entry| entry.kid == burnt.kid && entry.burnt_at.is_none()) {
                *entry = burnt.clone();
            }
        }
    }

    /// Brings everything up to date: removes what is due, makes the first key and every missing standby, lets algorithms go that nobody
    /// signs with any more. Whether anything changed.
    ///
    /// # Errors
    /// What `make` refuses with.
    pub fn advance(&mut self, now: Timestamp, settings: &Settings, make: &mut Make<'_>) -> Result<bool> {
        let before = self.0.len();
        self.0.retain(|entry| !entry.is_gone(now));
        let mut changed = self.0.len() != before;
        // Tokens may live longer now than when the end of a key was written down.
        for entry in self.0.iter_mut().filter(|entry| entry.burnt_at.is_none()) {
            let due = entry.retires_at.filter(|at| *at > now).map(|at| at.plus(settings.gone_after()));
            if due > entry.removed_at {
                entry.removed_at = due;
                changed = true;
            }
        }
        for algorithm in Algorithm::ALL {
            changed |= if settings.makes(algorithm) {
                self.fill(algorithm, now, settings, make)?
            } else {
                self.let_go(algorithm, now, settings)
            };
        }
        Ok(changed)
    }

    /// Lets the standby take over as soon as everybody has it: at once where it was published long enough. Whether anything changed;
    /// asked again before the standby took over, nothing does.
    ///
    /// # Errors
    /// What `make` refuses with.
    pub fn rotate(&mut self, algorithm: Algorithm, now: Timestamp, settings: &Settings, make: &mut Make<'_>) -> Result<bool> {
        let mut changed = self.advance(now, settings, make)?;
        if let Some(standby) = self.last(algorithm).filter(|standby| standby.activates_at > now) {
            let due = standby.created_at.plus(settings.known_after()).max(now);
            if due < standby.activates_at {
                self.take_over(algorithm, due, settings);
                changed = true;
                self.advance(now, settings, make)?;
            }
        }
        Ok(changed)
    }

    /// Burns a key for ever. Where it was signing, its successor signs at once, whether or not every cache has it yet.
    /// Whether anything changed: burning a burnt key changes nothing.
    ///
    /// # Errors
    /// `Error::KeyUnknown`, and what `make` refuses with.
    pub fn burn(&mut self, kid: &str, now: Timestamp, settings: &Settings, make: &mut Make<'_>) -> Result<bool> {
        let Some(entry) = self.find(kid, now).cloned() else {
            return Err(Error::KeyUnknown(format!("no signing key `{}` is known", shown(kid))));
        };
        if entry.burnt_at.is_some() {
            return Ok(false);
        }
        let state = self.state(kid, now);
        for burnt in self.0.iter_mut().filter(|key| key.kid == kid) {
            burnt.burnt_at = Some(now);
            burnt.retires_at = Some(now.min(entry.retires_at.unwrap_or(now)));
            burnt.removed_at = Some(now.plus(settings.gone_after()));
        }
        match state {
            Some(KeyState::Active) => self.take_over(entry.algorithm, now, settings),
            // The key that signs has no successor any more, until the next standby is made.
            Some(KeyState::Standby) => {
                if let Some(signer) = self.signer_at(entry.algorithm, now) {
                    signer.stay();
                }
            }
            _ => {}
        }
        self.advance(now, settings, make)?;
        Ok(true)
    }

    /// The key that signs. On a clock that is behind all of them, the first that will.
    #[must_use]
    pub fn signer(&self, algorithm: Algorithm, now: Timestamp) -> Option<&Entry> {
        let may = |entry: &&Entry| entry.algorithm == algorithm && entry.may_sign(now);
        let begun = self.0.iter().filter(may).filter(|entry| entry.activates_at <= now).max_by_key(|entry| entry.activates_at);
        begun.or_else(|| self.0.iter().filter(may).min_by_key(|entry| entry.activates_at))
    }

    /// Where a key is in its life; none where it is not published and not burnt.
    #[must_use]
    pub fn state(&self, kid: &str, now: Timestamp) -> Option<KeyState> {
        let entry = self.find(kid, now)?;
        Some(if entry.burnt_at.is_some() {
            KeyState::Burnt
        } else if !entry.may_sign(now) {
            KeyState::Retired
        } else if self.signer(entry.algorithm, now) == Some(entry) {
            KeyState::Active
        } else {
            KeyState::Standby
        })
    }

    /// How long a key set fetched now may be cached: never past the moment the next key begins to sign.
    #[must_use]
    pub fn jwks_max_age(&self, now: Timestamp, settings: &Settings) -> Millis {
        let next = self.0.iter().filter(|entry| entry.burnt_at.is_none() && entry.activates_at > now);
        next.map(|entry| entry.activates_at.since(now)).fold(settings.jwks_max_age, Millis::min)
    }

    /// Makes the first key, and the standby of one that has none.
    fn fill(&mut self, algorithm: Algorithm, now: Timestamp, settings: &Settings, make: &mut Make<'_>) -> Result<bool> {
        let mut changed = false;
        if self.last(algorithm).is_none() {
            match self.signer_at(algorithm, now) {
                // It was let go, and is wanted after all.
                Some(signer) => signer.stay(),
                None => self.0.push(Entry::new(make(algorithm)?, algorithm, now, now)),
            }
            changed = true;
        }
        let Some(signer) = self.last(algorithm).filter(|last| last.activates_at <= now) else { return Ok(changed) };
        let takes_over = signer.activates_at.plus(settings.rotation_period).max(now.plus(settings.ahead()));
        let standby = Entry::new(make(algorithm)?, algorithm, now, takes_over);
        if let Some(signer) = self.last(algorithm) {
            signer.retire(takes_over, settings);
        }
        self.0.push(standby);
        Ok(true)
    }

    /// Lets an algorithm go that no replica makes keys for any more. Who does makes a successor as soon as the last in line begins: one
    /// that is alone for as long as a key is published ahead is nobody's. It retires after as long again, so that who comes back before
    /// keeps it. Whether anything changed.
    fn let_go(&mut self, algorithm: Algorithm, now: Timestamp, settings: &Settings) -> bool {
        let ahead = settings.ahead();
        let alone = self.last(algorithm).filter(|last| last.activates_at.plus(ahead) <= now);
        alone.map(|last| last.retire(now.plus(ahead), settings)).is_some()
    }

    /// The last in line begins at `at`, and who signs before it stops then.
    fn take_over(&mut self, algorithm: Algorithm, at: Timestamp, settings: &Settings) {
        for signer in self.0.iter_mut().filter(|entry| entry.algorithm == algorithm && entry.burnt_at.is_none()) {
            if signer.retires_at.is_some_and(|retires_at| retires_at > at) {
                signer.retire(at, settings);
            }
        }
        if let Some(successor) = self.last(algorithm) {
            successor.activates_at = successor.activates_at.min(at);
        }
    }

    /// The last in line: the one that has no successor.
    fn last(&mut self, algorithm: Algorithm) -> Option<&mut Entry> {
        let in_line = |entry: &&mut Entry| entry.algorithm == algorithm && entry.burnt_at.is_none() && entry.retires_at.is_none();
        self.0.iter_mut().filter(in_line).max_by_key(|entry| entry.activates_at)
    }

    fn signer_at(&mut self, algorithm: Algorithm, now: Timestamp) -> Option<&mut Entry> {
        let kid = self.signer(algorithm, now)?.kid.clone();
        self.0.iter_mut().find(|entry| entry.kid == kid)
    }
}

impl Entry {
    const fn new(kid: String, algorithm: Algorithm, created_at: Timestamp, activates_at: Timestamp) -> Self {
        Self { kid, algorithm, created_at, activates_at, retires_at: None, removed_at: None, burnt_at: None }
    }

    fn retire(&mut self, at: Timestamp, settings: &Settings) {
        self.retires_at = Some(at);
        self.removed_at = Some(at.plus(settings.gone_after()));
    }

    /// It goes on to sign, until it has a successor again.
    const fn stay(&mut self) {
        self.retires_at = None;
        self.removed_at = None;
    }

    /// Whether it is neither published nor listed any more.
    #[must_use]
    pub fn is_gone(&self, now: Timestamp) -> bool {
        self.removed_at.is_some_and(|removed_at| removed_at <= now)
    }

    /// Whether what it signs, or signed, can be verified.
    #[must_use]
    pub fn is_published(&self, now: Timestamp) -> bool {
        self.burnt_at.is_none() && !self.is_gone(now)
    }

    fn may_sign(&self, now: Timestamp) -> bool {
        self.burnt_at.is_none() && self.retires_at.is_none_or(|retires_at| retires_at > now)
    }
}

#[cfg(test)]
mod tests;

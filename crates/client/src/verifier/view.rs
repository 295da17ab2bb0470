//! The log of revocations as it is streamed: what is known, where it stands, and how fresh it provably is. No I/O: messages are
//! handed in.

use crate::api::watch_response::Message;
use crate::api::{RaisedFloor, RevocationReason, TargetKind as Kind, WatchChanges, WatchPong, WatchStarted};
use jeton_domain::floors::{Floors, Raised};
use jeton_domain::id::TargetId;
use jeton_domain::revision::{Floor, Revision};
use jeton_domain::secret::Secret;
use jeton_domain::target::{Reason, Salt, TargetKind};
use jeton_domain::time::{Millis, Timestamp};
use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The most pings under way.
const MAX_PINGS: usize = 64;

/// What is known of revocations; nothing before the first proof of freshness.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    view: RwLock<Option<View>>,
}

/// SHA-256 of a salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SaltHash([u8; 32]);

/// The log up to a place.
#[derive(Debug)]
pub(crate) struct View {
    pub salt: Salt,
    /// Tells salts apart: ids of targets that were made with another mean nothing.
    pub salted: SaltHash,
    pub floors: Floors,
    pub revision: String,
    horizon: Millis,
    max_staleness: Millis,
    /// When (on the clock's run) the ping was sent that last proved it fresh.
    proved: Millis,
}

impl View {
    /// Whether nothing that was acknowledged longer ago than may be can be missing.
    pub(crate) fn is_fresh(&self, run: Millis) -> bool {
        run.minus(self.proved) <= self.max_staleness
    }

    /// Joins what was raised; answers how many floors there are.
    fn join(&mut self, raised: Vec<Raised>, revision: String) -> usize {
        for raised in raised {
            self.floors.join(raised);
        }
        if !revision.is_empty() {
            self.revision = revision;
        }
        self.floors.len()
    }
}

impl Watched {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Option<View>> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<View>> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a stream should go on; empty: at the beginning.
    pub(crate) fn revision(&self) -> String {
        self.read().as_ref().map(|view| view.revision.clone()).unwrap_or_default()
    }

    /// Whether this signing key was burnt, as far as is known.
    pub(crate) fn is_burnt(&self, kid: &str) -> bool {
        self.read().as_ref().is_some_and(|view| view.floors.get(view.salt.signing_key(kid)).is_some())
    }

    /// Knows nothing any more.
    pub(crate) fn forget_all(&self) {
        *self.write() = None;
    }

    /// Forgets, of one part, what no token is old enough for.
    pub(crate) fn forget(&self, part: usize, now: Timestamp) {
        if let Some(view) = self.write().as_mut() {
            let horizon = view.horizon;
            view.floors.forget(part, |raised| now.since(raised.at) > horizon);
        }
    }
}

/// Why a stream is given up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// The other side says what it must not.
    #[error("the stream of revocations is not as it must be: {0}")]
    Protocol(&'static str),
    /// More than may be held.
    #[error("there are more revocations than `max_floors`, {0}: raise it, for until then nothing is known of any")]
    TooMany(usize),
}

/// What a message changed, beside the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learnt {
    /// Nothing more.
    Nothing,
    /// This is how often a ping is due.
    Began(Millis),
    /// Revocations.
    Changes {
        /// Nothing is lacking any more: a ping will prove it.
        completed: bool,
        /// A signing key was burnt.
        burnt: bool,
    },
    /// A ping came back: all that was acknowledged before it was sent is known.
    Proved(u64),
}

/// One stream, from its beginning.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    watched: &'a Watched,
    max_floors: usize,
    started: bool,
    /// A snapshot is built aside. It takes the place of what was known when it is proved fresh: until then the old one, which ages,
    /// judges, and never one that lacks something.
    building: Option<View>,
    /// Whether all was told that was lacking at the beginning.
    complete: bool,
    pings: VecDeque<(u64, Millis)>,
    next_ping: u64,
}

impl<'a> Stream<'a> {
    pub(crate) const fn new(watched: &'a Watched, max_floors: usize) -> Self {
        Self { watched, max_floors, started: false, building: None, complete: false, pings: VecDeque::new(), next_ping: 1 }
    }

    /// Whether all that was known when it began was told.
    pub(crate) const fn is_complete(&self) -> bool {
        self.complete
    }

    /// A ping that is about to be sent, at `run`. None where so many are under way that the other side is gone.
    pub(crate) fn ping(&mut self, run: Millis) -> Option<u64> {
        if self.pings.len() >= MAX_PINGS {
            return None;
        }
        let id = self.next_ping;
        self.next_ping = self.next_ping.wrapping_add(1);
        self.pings.push_back((id, run));
        Some(id)
    }

    /// Takes a message in.
    ///
    /// # Errors
    /// Where the stream must be given up; what is known stays, and ages.
    pub(crate) fn take(&mut self, message: Message) -> Result<Learnt, Broken> {
        match message {
            Message::Started(started) if !self.started => self.start(&started),
            Message::Started(_) => Err(Broken::Protocol("it begins twice")),
            _ if !self.started => Err(Broken::Protocol("it does not begin at its beginning")),
            Message::Changes(changes) => self.change(changes),
            Message::Pong(pong) => self.prove(pong),
        }
    }

    fn start(&mut self, started: &WatchStarted) -> Result<Learnt, Broken> {
        let salt =
            <[u8; 32]>::try_from(started.salt.as_slice()).map_err(|_length| Broken::Protocol("the salt has not 32 bytes"))?;
        let positive = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
        let horizon = positive(started.horizon).map(Millis::from_secs).ok_or(Broken::Protocol("it has no horizon"))?;
        let max_staleness = positive(started.max_staleness_ms).map(Millis::new);
        let max_staleness = max_staleness.ok_or(Broken::Protocol("it has no greatest staleness"))?;
        let mut view = self.watched.write();
        if started.snapshot {
            self.building = Some(View {
                salt: Salt::new(&Secret::new(salt)),
                salted: SaltHash(Sha256::digest(salt).into()),
                floors: Floors::default(),
                revision: String::new(),
                horizon,
                max_staleness,
                proved: Millis::ZERO,
            });
        } else {
            let known = view.as_mut().filter(|view| *view.salt.expose() == salt);
            let known = known.ok_or(Broken::Protocol("it goes on where nothing is known"))?;
            (known.horizon, known.max_staleness) = (horizon, max_staleness);
        }
        self.started = true;
        Ok(Learnt::Began(Millis::new(max_staleness.get() / 4)))
    }

    fn change(&mut self, changes: WatchChanges) -> Result<Learnt, Broken> {
        let raised: Vec<Raised> =
            changes.raised.iter().map(raised).collect::<Option<_>>().ok_or(Broken::Protocol("a target has not 16 bytes"))?;
        let burnt = raised.iter().any(|raised| raised.kind == TargetKind::SigningKey);
        let stands = !changes.revision.is_empty();
        let held = match &mut self.building {
            Some(view) => view.join(raised, changes.revision),
            None => {
                let mut known = self.watched.write();
                let view = known.as_mut().ok_or(Broken::Protocol("there is nothing to change"))?;
                view.join(raised, changes.revision)
            }
        };
        if held > self.max_floors {
            return Err(Broken::TooMany(self.max_floors));
        }
        let completed = stands && !self.complete;
        self.complete |= completed;
        Ok(Learnt::Changes { completed, burnt })
    }

    fn prove(&mut self, pong: WatchPong) -> Result<Learnt, Broken> {
        if !(1..self.next_ping).contains(&pong.id) {
            return Err(Broken::Protocol("a pong answers no ping"));
        }
        // A later one came back before: it said more.
        let Some(at) = self.pings.iter().position(|(id, _)| *id == pong.id) else { return Ok(Learnt::Nothing) };
        let sent = self.pings.drain(..=at).next_back().map_or(Millis::ZERO, |(_, sent)| sent);
        if !self.complete {
            return Ok(Learnt::Nothing);
        }
        let mut known = self.watched.write();
        if let Some(built) = self.building.take() {
            *known = Some(built);
        }
        let view = known.as_mut().ok_or(Broken::Protocol("there is nothing to prove"))?;
        view.proved = view.proved.max(sent);
        if !pong.revision.is_empty() {
            view.revision = pong.revision;
        }
        Ok(Learnt::Proved(pong.id))
    }
}

/// A floor as told. None where the target is none. What a newer version says of kind or reason is not known here; how high is.
fn raised(told: &RaisedFloor) -> Option<Raised> {
    let said = match told.kind() {
        Kind::Token => TargetKind::Token,
        Kind::Grant | Kind::Unspecified => TargetKind::Grant,
        Kind::Session => TargetKind::Session,
        Kind::Subject => TargetKind::Subject,
        Kind::Client => TargetKind::Client,
        Kind::Consent => TargetKind::Consent,
        Kind::SigningKey => TargetKind::SigningKey,
    };
    let is_infinite = |kind: TargetKind| kind.floor(Revision::START) == Floor::INFINITE;
    let infinite = told.floor == Floor::INFINITE.0;
    let kind = match (infinite, is_infinite(said)) {
        (true, false) => TargetKind::Grant,
        (false, true) => TargetKind::Subject,
        _ => said,
    };
    let reason = match told.reason() {
        RevocationReason::Unspecified => Reason::Unspecified,
        RevocationReason::SignOut => Reason::SignOut,
        RevocationReason::ConsentWithdrawn => Reason::ConsentWithdrawn,
        RevocationReason::AccountDisabled => Reason::AccountDisabled,
        RevocationReason::CredentialChanged => Reason::CredentialChanged,
        RevocationReason::Leaked => Reason::Leaked,
        RevocationReason::Incident => Reason::Incident,
        RevocationReason::Administrative => Reason::Administrative,
        RevocationReason::Reuse => Reason::Reuse,
        RevocationReason::RetryExpired => Reason::RetryExpired,
    };
    let origin = Revision { micros: if infinite { 0 } else { told.floor }, random: 0 };
    let at = Timestamp::from_secs(u64::try_from(told.at).unwrap_or(u64::MAX));
    Some(Raised { target: TargetId::from_slice(&told.target)?, kind, reason, at, origin, place: origin })
}

#[cfg(test)]
mod tests;

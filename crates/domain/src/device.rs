//! The device flow (RFC 8628): codes that people type, the states of a device authorization, what a poll is answered, how often may be
//! guessed.
//!
//! Must not live here: randomness, hashes of codes, and the making of tokens.

use crate::audience::Audience;
use crate::details;
use crate::error::{DeviceRefusal, Error, RefreshRefusal, Result};
use crate::grant::Grant;
use crate::name::{ClientId, ResourceId};
use crate::resource::Resources;
use crate::scope::Scopes;
use crate::time::{Millis, Timestamp};
use serde_json::Value;
use std::fmt;

/// What is added to a device's interval each time it polls too soon (section 3.5).
pub const SLOW_DOWN: Millis = Millis::from_secs(5);
/// How much sooner than its interval a poll may come: a network is not even, and the clocks of two replicas are not one.
const JITTER: Millis = Millis::new(500);

/// What a user types to find the authorization of his device (section 6.1): eight letters, shown in two groups. Never printed by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UserCode([u8; Self::LETTERS]);

impl UserCode {
    /// How many letters it has.
    pub const LETTERS: usize = 8;
    /// The letters: no vowels, so that no words come about, and none that look alike.
    pub const ALPHABET: [u8; 20] = *b"BCDFGHJKLMNPQRSTVWXZ";

    /// The code of a random number: any 64 bits, of which the 20^8 codes are even to one part in 700 million.
    #[must_use]
    pub fn of(number: u64) -> Self {
        let mut left = number;
        Self([(); Self::LETTERS].map(|()| {
            let letter = Self::ALPHABET.into_iter().cycle().nth(usize::try_from(left % 20).unwrap_or_default());
            left /= 20;
            letter.unwrap_or(b'B')
        }))
    }

    /// Reads what was typed: in any case, with dashes and spaces anywhere.
    ///
    /// # Errors
    /// `Error::Invalid` naming `field`, which repeats nothing of what was typed.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let typed = text.bytes().filter(|byte| !matches!(byte, b'-' | b' ')).map(|byte| byte.to_ascii_uppercase());
        let typed: Vec<u8> = typed.take(Self::LETTERS + 1).collect();
        match <[u8; Self::LETTERS]>::try_from(typed) {
            Ok(letters) if letters.iter().all(|letter| Self::ALPHABET.contains(letter)) => Ok(Self(letters)),
            _ => Err(Error::invalid(field, "is not a user code: eight consonants, such as BCDF-GHJK")),
        }
    }

    /// The letters, for hashing.
    #[must_use]
    pub const fn letters(&self) -> &[u8; Self::LETTERS] {
        &self.0
    }

    /// As it is shown to the user: `XXXX-XXXX`.
    #[must_use]
    pub fn shown(&self) -> String {
        let (first, second) = self.0.split_at(Self::LETTERS / 2);
        first.iter().chain(b"-").chain(second).copied().map(char::from).collect()
    }
}

impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserCode(..)")
    }
}

/// What a device asked for, and how far that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// The client that asked.
    pub client: ClientId,
    /// The scopes it asked for.
    pub scopes: Scopes,
    /// The resources it asked for; empty: the owners of the scopes.
    pub resources: Vec<ResourceId>,
    /// The authorization details it asked for.
    pub details: Vec<Value>,
    /// Before this it must be approved and its code redeemed.
    pub expires_at: Timestamp,
    /// How long the device waits between two polls.
    pub interval: Millis,
    /// When it polled last while nothing was decided.
    pub polled_at: Timestamp,
    /// What was decided.
    pub state: State,
}

/// How far a device authorization is. One that is past its time is expired, whatever is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The user has not decided.
    Pending,
    /// The user refused.
    Denied,
    /// The user allowed this grant, which is in no record of its own yet.
    Approved(Box<Grant>),
    /// The device was handed the tokens of this grant.
    Redeemed {
        /// When.
        at: Timestamp,
        /// The grant.
        grant: Box<Grant>,
    },
}

/// What a poll comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polled {
    /// What is to be written before anything is answered; none: nothing.
    pub changed: Option<Authorization>,
    /// The grant whose first tokens are handed out, or why not.
    pub outcome: Result<Box<Grant>>,
}

impl Authorization {
    /// Whether the user may still decide.
    #[must_use]
    pub fn is_waiting(&self, now: Timestamp) -> bool {
        self.state == State::Pending && now < self.expires_at
    }

    /// What may be granted of what is chosen: all that the device asked for where nothing is, and never more. Where it named no
    /// resources, Issue decides which may be chosen.
    ///
    /// # Errors
    /// `InvalidScope`, `InvalidTarget`, `InvalidAuthorizationDetails`.
    pub fn narrowed(&self, chosen: Audience, known: &Resources) -> Result<Audience> {
        let Audience { scopes, resources, details } = chosen;
        if scopes.first_outside(&self.scopes).is_some() {
            return Err(Error::invalid_scope("scope", "has what the device did not ask for: it may only be narrowed"));
        }
        if !self.resources.is_empty() && resources.iter().any(|resource| !self.resources.contains(resource)) {
            return Err(Error::invalid_target("resource", "names what the device did not ask for: it may only be narrowed"));
        }
        details::check_within(&self.details, &details)?;
        let details = match (details.is_empty(), resources.is_empty()) {
            (false, _) => details,
            (true, true) => self.details.clone(),
            (true, false) => details::of_resources(&self.details, &resources, known),
        };
        Ok(Audience {
            scopes: if scopes.is_empty() { self.scopes.clone() } else { scopes },
            resources: if resources.is_empty() { self.resources.clone() } else { resources },
            details,
        })
    }

    /// The user allows `grant`. None where the same user did so before: then the grant of then stays.
    ///
    /// # Errors
    /// `UserCodeUnknown`: expired, or decided otherwise.
    pub fn approve(&self, now: Timestamp, grant: Grant) -> Result<Option<Self>> {
        match &self.state {
            State::Pending if self.is_waiting(now) => Ok(Some(Self { state: State::Approved(Box::new(grant)), ..self.clone() })),
            State::Approved(held) | State::Redeemed { grant: held, .. }
                if now < self.expires_at && held.subject == grant.subject =>
            {
                Ok(None)
            }
            State::Pending | State::Denied | State::Approved(_) | State::Redeemed { .. } => Err(Error::UserCodeUnknown),
        }
    }

    /// The user refuses. None where that was so before.
    ///
    /// # Errors
    /// `UserCodeUnknown`: expired, or approved before.
    pub fn deny(&self, now: Timestamp) -> Result<Option<Self>> {
        match &self.state {
            State::Pending if self.is_waiting(now) => Ok(Some(Self { state: State::Denied, ..self.clone() })),
            State::Denied if now < self.expires_at => Ok(None),
            State::Pending | State::Denied | State::Approved(_) | State::Redeemed { .. } => Err(Error::UserCodeUnknown),
        }
    }

    /// The grant that was allowed, where one was.
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        match &self.state {
            State::Approved(grant) | State::Redeemed { grant, .. } => Some(grant),
            State::Pending | State::Denied => None,
        }
    }

    /// `client`, which has authenticated, presents the device code (sections 3.4 and 3.5).
    ///
    /// Tokens are handed out once. Within `overlap` the same poll is answered again, for its reply may have been lost.
    #[must_use]
    pub fn poll(&self, now: Timestamp, client: &ClientId, overlap: Millis) -> Polled {
        let refuse = |error| Polled { changed: None, outcome: Err(error) };
        if *client != self.client {
            return refuse(Error::RefreshRefused(RefreshRefusal::OtherClient));
        }
        match &self.state {
            State::Redeemed { at, grant } if now.since(*at) < overlap => Polled { changed: None, outcome: Ok(grant.clone()) },
            State::Redeemed { .. } => refuse(Error::RefreshRefused(RefreshRefusal::CodeUsed)),
            State::Denied => refuse(Error::DeviceRefused(DeviceRefusal::Denied)),
            _ if now >= self.expires_at => refuse(Error::DeviceRefused(DeviceRefusal::Expired)),
            State::Approved(grant) => {
                let grant = Box::new(begun(grant, now));
                let state = State::Redeemed { at: now, grant: grant.clone() };
                Polled { changed: Some(Self { state, ..self.clone() }), outcome: Ok(grant) }
            }
            State::Pending => self.wait(now),
        }
    }

    fn wait(&self, now: Timestamp) -> Polled {
        let is_too_soon = self.polled_at > Timestamp::NEVER && now.since(self.polled_at).plus(JITTER) < self.interval;
        let (interval, refusal) = if is_too_soon {
            (self.interval.plus(SLOW_DOWN), DeviceRefusal::SlowDown)
        } else {
            (self.interval, DeviceRefusal::Pending)
        };
        let changed = Self { interval, polled_at: now, ..self.clone() };
        Polled { changed: Some(changed), outcome: Err(Error::DeviceRefused(refusal)) }
    }
}

/// A grant that was allowed some time ago and begins now: its lifetimes do, too. Its `born` stays, so that whatever was revoked since the
/// user allowed it is dead.
fn begun(grant: &Grant, now: Timestamp) -> Grant {
    let mut begun = grant.clone();
    begun.absolute_end = now.plus(grant.absolute_end.since(grant.created_at));
    begun.created_at = now;
    begun.lineage.used_at = now;
    begun
}

/// How many wrong user codes may be tried: a bucket that fills again. What is right is given back.
#[derive(Clone, Copy, Debug)]
pub struct Guesses {
    left: u32,
    filled_at: Millis,
}

impl Guesses {
    /// So many at once.
    pub const MOST: u32 = 30;
    /// And one more each such time.
    pub const ONE_MORE: Millis = Millis::from_secs(1);

    /// Full. `run` is how long the clock has run.
    #[must_use]
    pub const fn new(run: Millis) -> Self {
        Self { left: Self::MOST, filled_at: run }
    }

    /// Takes one, where there is one.
    ///
    /// # Errors
    /// `TooManyGuesses`.
    pub fn take(&mut self, run: Millis) -> Result<()> {
        let more = run.minus(self.filled_at).get() / Self::ONE_MORE.get();
        if more > 0 {
            self.left = self.left.saturating_add(u32::try_from(more).unwrap_or(u32::MAX)).min(Self::MOST);
            self.filled_at = self.filled_at.plus(Millis::new(more.saturating_mul(Self::ONE_MORE.get())));
        }
        self.left = self.left.checked_sub(1).ok_or(Error::TooManyGuesses)?;
        Ok(())
    }

    /// Gives one back: it was no guess.
    pub fn give_back(&mut self) {
        self.left = self.left.saturating_add(1).min(Self::MOST);
    }
}

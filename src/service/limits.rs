//! How often a caller may call, and how often somebody may fail to prove who he is.
//!
//! INVARIANT: nobody is locked out by what others do under his name. Failures count by who asks (the caller, else the address) *and* the client
//! that he says he is; and what costs next to nothing to check (a secret, a key, a certificate) is checked all the same: only what is wrong, and
//! what costs a signature or a read of the store, is refused unlooked.

use crate::service::Service;
use crate::telemetry::limits::{CALLER_RATE, FAILURE_RATE};
use jeton_domain::caller::Caller;
use jeton_domain::error::{Error, Result};
use jeton_domain::name::ClientId;
use jeton_domain::rate::{Buckets, Rate};
use jeton_domain::time::Millis;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;

/// Who calls may do so as often at once as in this time.
const CALLS_AT_ONCE: Millis = Millis::from_secs(1);
/// Who fails, in this: a deployment with a wrong secret is no attack.
const FAILURES_AT_ONCE: Millis = Millis::from_secs(10);

/// How often, a second; 0: as often as one likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Calls of one caller that has no rate of its own, or one address.
    pub caller_rate: u32,
    /// Failures to prove who one is, of one who asks and one client.
    pub failure_rate: u32,
}

/// Who asks: a keyed hash, so that nobody can choose with whom he shares it; and from where, of who has no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    key: u64,
    address: Option<IpAddr>,
    /// How often it may call.
    rate: Option<Rate>,
}

/// Who is to be proved.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) enum Whom<'a> {
    Caller,
    Client(&'a ClientId),
    /// A client that nobody knows: all of them are one, for anybody can think of names.
    Nobody,
}

/// What is left to each.
pub(super) struct Left {
    hasher: RandomState,
    calls: Buckets,
    /// How often those may call that have no rate of their own.
    rate: Option<Rate>,
    failures: Buckets,
    failure_rate: Option<Rate>,
}

impl fmt::Debug for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Left(..)")
    }
}

impl Left {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            hasher: RandomState::new(),
            calls: Buckets::new(CALLS_AT_ONCE),
            rate: Rate::per_second(limits.caller_rate),
            failures: Buckets::new(FAILURES_AT_ONCE),
            failure_rate: Rate::per_second(limits.failure_rate),
        }
    }
}

impl Service {
    /// Who asks from this address.
    #[must_use]
    pub fn source_at(&self, address: IpAddr) -> Source {
        Source { key: self.left.hasher.hash_one(address), address: Some(address), rate: self.left.rate }
    }

    /// Who asks as this caller.
    #[must_use]
    pub fn source_of(&self, caller: &Caller) -> Source {
        let rate = caller.rate.map_or(self.left.rate, Rate::per_second);
        Source { key: self.left.hasher.hash_one(&*caller.name), address: None, rate }
    }

    /// One more call.
    ///
    /// # Errors
    /// `RateLimited`.
    pub fn count_call(&self, from: Source) -> Result<()> {
        if from.rate.is_none_or(|rate| self.left.calls.take(from.key, rate, self.clock.run())) {
            return Ok(());
        }
        CALLER_RATE.exceeded(|| self.named(from), None);
        Err(Error::RateLimited)
    }

    /// Whether what is shown may be looked at though that costs something.
    ///
    /// # Errors
    /// `TooManyFailures`.
    pub(super) fn may_fail(&self, from: Option<Source>, whom: Whom<'_>) -> Result<()> {
        let Some((rate, name)) = self.failing(from, whom) else { return Ok(()) };
        if self.left.failures.is_spent(name, rate, self.clock.run()) { Err(self.too_many(from, whom)) } else { Ok(()) }
    }

    /// What is answered where it proved nothing: this, as long as he may fail.
    pub(super) fn failed(&self, from: Option<Source>, whom: Whom<'_>, refusal: Error) -> Error {
        let Some((rate, name)) = self.failing(from, whom) else { return refusal };
        if self.left.failures.take(name, rate, self.clock.run()) { refusal } else { self.too_many(from, whom) }
    }

    /// How often they may fail, and the name under which that is counted.
    fn failing(&self, from: Option<Source>, whom: Whom<'_>) -> Option<(Rate, u64)> {
        let (rate, from) = (self.left.failure_rate?, from?);
        Some((rate, self.left.hasher.hash_one((from.key, whom))))
    }

    fn too_many(&self, from: Option<Source>, whom: Whom<'_>) -> Error {
        let client = match whom {
            Whom::Client(client) => Some(client.as_str()),
            Whom::Caller | Whom::Nobody => None,
        };
        FAILURE_RATE.exceeded(|| from.map(|from| self.named(from)).unwrap_or_default(), client);
        Error::TooManyFailures
    }

    /// Who asks, for the log: an address, or the caller whom a hash stands for, as long as there is one.
    fn named(&self, from: Source) -> String {
        let callers = self.callers();
        let name = || callers.iter().find(|caller| self.source_of(caller).key == from.key).map(|caller| caller.name.to_string());
        from.address.map(|address| address.to_string()).or_else(name).unwrap_or_default()
    }
}

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
use jeton_domain::rate::Buckets;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;

/// Who fails may go on for this many seconds' worth at once: a deployment with a wrong secret is no attack.
const FAILURES_AT_ONCE: u32 = 10;

/// How often, a second; 0: as often as one likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Calls of one caller.
    pub caller_rate: u32,
    /// Failures to prove who one is, of one who asks and one client.
    pub failure_rate: u32,
}

/// Who asks: a keyed hash, so that nobody can choose with whom he shares it; and from where, of who has no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    key: u64,
    address: Option<IpAddr>,
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
    calls: Option<Buckets>,
    failures: Option<Buckets>,
}

impl fmt::Debug for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Left(..)")
    }
}

impl Left {
    pub(super) fn new(limits: Limits) -> Self {
        let buckets = |per_second: u32, seconds: u32| {
            (per_second > 0).then(|| Buckets::new(per_second, per_second.saturating_mul(seconds)))
        };
        Self {
            hasher: RandomState::new(),
            calls: buckets(limits.caller_rate, 1),
            failures: buckets(limits.failure_rate, FAILURES_AT_ONCE),
        }
    }
}

impl Service {
    /// Who asks from this address.
    #[must_use]
    pub fn source_at(&self, address: IpAddr) -> Source {
        Source { key: self.left.hasher.hash_one(address), address: Some(address) }
    }

    /// Who asks as this caller.
    #[must_use]
    pub fn source_of(&self, caller: &Caller) -> Source {
        Source { key: self.left.hasher.hash_one(&*caller.name), address: None }
    }

    /// One more call.
    ///
    /// # Errors
    /// `RateLimited`.
    pub fn count_call(&self, from: Source) -> Result<()> {
        let Some(calls) = &self.left.calls else { return Ok(()) };
        if calls.take(from.key, self.clock.run()) {
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
        let Some((failures, name)) = self.failures(from, whom) else { return Ok(()) };
        if failures.is_spent(name, self.clock.run()) { Err(self.too_many(from, whom)) } else { Ok(()) }
    }

    /// What is answered where it proved nothing: this, as long as he may fail.
    pub(super) fn failed(&self, from: Option<Source>, whom: Whom<'_>, refusal: Error) -> Error {
        let Some((failures, name)) = self.failures(from, whom) else { return refusal };
        if failures.take(name, self.clock.run()) { refusal } else { self.too_many(from, whom) }
    }

    fn failures(&self, from: Option<Source>, whom: Whom<'_>) -> Option<(&Buckets, u64)> {
        let (failures, from) = (self.left.failures.as_ref()?, from?);
        Some((failures, self.left.hasher.hash_one((from.key, whom))))
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
        let name = || callers.iter().find(|caller| self.source_of(caller) == from).map(|caller| caller.name.to_string());
        from.address.map(|address| address.to_string()).or_else(name).unwrap_or_default()
    }
}

//! Which service calls: by its certificate, by a static key, or by the token of its Kubernetes service account.
//!
//! One reader for all ways in which a request comes. What a caller may do is the domain's (`caller`); where certificates and headers come
//! from is the transport's.

use crate::service::Service;
use crate::service::limits::{Source, Whom};
use jeton_domain::assertion::{Assertion, Purpose};
use jeton_domain::caller::{self, Caller, Callers, TokenTerms};
use jeton_domain::certificate::Certificate;
use jeton_domain::error::{Error, Result};
use jeton_domain::time::{Millis, Timestamp};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The longest that a service account's token may be valid.
const LONGEST: Millis = Millis::from_secs(24 * 3_600);
/// A token that was proved is believed so long without being proved again.
const REMEMBERED: Millis = Millis::from_secs(60);
/// The most tokens that are remembered.
const MAX_REMEMBERED: usize = 1_024;

/// What a caller shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown<'a> {
    /// The certificate of its connection.
    pub certificate: Option<&'a Certificate>,
    /// What stands behind `Bearer` in its `authorization`. Secret.
    pub bearer: Option<&'a str>,
    /// From where; none: failures are not counted.
    pub from: Option<Source>,
}

/// Tokens that were proved lately, by their SHA-256.
#[derive(Debug, Default)]
pub(super) struct Remembered(RwLock<HashMap<[u8; 32], Proved>>);

/// Whose token it is, and until when that is believed.
type Proved = (Box<str>, Timestamp);

impl Remembered {
    fn caller(&self, token: &[u8; 32], callers: &Callers, now: Timestamp) -> Option<Arc<Caller>> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (account, _) = held.get(token).filter(|(_, until)| now < *until)?;
        callers.by_service_account(account).cloned()
    }

    /// Where what it was proved by still holds: asked under the lock, so that nothing is put after it was all forgotten.
    fn put(&self, token: [u8; 32], proved: Proved, now: Timestamp, still_holds: impl FnOnce() -> bool) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !still_holds() {
            return;
        }
        if held.len() >= MAX_REMEMBERED {
            held.retain(|_, (_, until)| now < *until);
        }
        if held.len() < MAX_REMEMBERED {
            held.insert(token, proved);
        }
    }

    /// All of them: they are taken by other terms from now on.
    pub(super) fn forget(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Service {
    /// Who may call, and what.
    #[must_use]
    pub fn callers(&self) -> Arc<Callers> {
        self.in_force(|held| &held.callers)
    }

    /// Which of these callers calls.
    ///
    /// # Errors
    /// `CallerUnknown`: nobody who is configured; two things are shown and one is wrong, or they are two callers'. `TooManyFailures`,
    /// `KeysUnavailable`.
    pub async fn caller(&self, callers: &Callers, shown: Shown<'_>) -> Result<Arc<Caller>> {
        match self.known_caller(callers, shown).await {
            Err(refused @ Error::CallerUnknown(_)) => Err(self.failed(shown.from, Whom::Caller, refused)),
            known => known,
        }
    }

    async fn known_caller(&self, callers: &Callers, shown: Shown<'_>) -> Result<Arc<Caller>> {
        let by_certificate = shown.certificate.and_then(|certificate| callers.by_certificate(certificate)).cloned();
        let by_bearer = match shown.bearer {
            None => None,
            Some(key) if key.starts_with(caller::KEY_PREFIX) => {
                let known = callers.by_key(caller::hash_of_key(key)).cloned();
                Some(known.ok_or(Error::CallerUnknown("its key is nobody's"))?)
            }
            Some(token) => Some(self.caller_by_token(callers, token, shown.from).await?),
        };
        match (by_certificate, by_bearer) {
            (Some(one), Some(other)) if !Arc::ptr_eq(&one, &other) => {
                Err(Error::CallerUnknown("its certificate and what stands in `authorization` are two callers'"))
            }
            (Some(caller), _) | (None, Some(caller)) => Ok(caller),
            (None, None) if shown.certificate.is_some() => Err(Error::CallerUnknown("its certificate is nobody's")),
            (None, None) => Err(Error::CallerUnknown("it shows nothing")),
        }
    }

    async fn caller_by_token(&self, callers: &Callers, token: &str, from: Option<Source>) -> Result<Arc<Caller>> {
        let unknown = Error::CallerUnknown;
        let terms = self.terms();
        let TokenTerms { issuer, audience, keys } =
            terms.caller_tokens.as_ref().ok_or(unknown("its key is none, and tokens are not taken"))?;
        let (hash, now) = (caller::hash_of_key(token), self.clock.now());
        if let Some(caller) = self.proved_callers.caller(&hash, callers, now) {
            return Ok(caller);
        }
        let read = Assertion::read(token, Purpose::Caller).map_err(|_wrong| unknown("its token is none of a service account"))?;
        if read.issuer != **issuer {
            return Err(unknown("its token is of another issuer"));
        }
        self.may_fail(from, Whom::Caller)?;
        let until = match self.judge_assertion(&read, audience, LONGEST, keys).await? {
            Ok(until) => until.min(now.plus(REMEMBERED)),
            Err(refusal) => {
                tracing::debug!(%refusal, "the token of a service account is refused");
                return Err(unknown("its token is refused"));
            }
        };
        let caller = callers.by_service_account(&read.subject).ok_or(unknown("its service account is nobody's"))?;
        self.proved_callers.put(hash, (read.subject.into(), until), now, || self.terms().caller_tokens == terms.caller_tokens);
        Ok(Arc::clone(caller))
    }
}

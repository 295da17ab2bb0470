//! Which client asks, having proved it (RFC 6749 section 2.3): by one secret, by one assertion, by a certificate, or, where it is public, by nothing.
//!
//! What else the holder of a token proved is not here: `dpop`.

use crate::service::limits::{Source, Whom};
use crate::service::{Credentials, Service};
use crate::telemetry::log::Throttle;
use jeton_domain::assertion::{Assertion, Expected, Purpose, Refusal};
use jeton_domain::client::{Client, ClientKind};
use jeton_domain::error::{ClientRefusal, Error, Result};
use jeton_domain::jwk::KeySource;
use jeton_domain::name::ClientId;
use jeton_domain::secret::{SecretText, shown};
use jeton_domain::time::{Millis, Timestamp};
use std::sync::Arc;

impl Service {
    /// The client, having proved who it is. Why it did not, only the log tells.
    ///
    /// # Errors
    /// `InvalidClient`, one answer outward; `TooManyFailures`; `Invalid` where it authenticates in two ways; the store, which counts
    /// assertions.
    pub(super) async fn authenticate(&self, id: &ClientId, credentials: &Credentials) -> Result<Arc<Client>> {
        let proved = self.prove_client(id, credentials).await;
        let Err(Error::InvalidClient(refusal)) = proved else { return proved };
        tell(id, refusal);
        Err(self.failed(credentials.from, self.whom(id), Error::InvalidClient(refusal)))
    }

    fn whom<'a>(&self, id: &'a ClientId) -> Whom<'a> {
        if self.registry().client(id).is_some() { Whom::Client(id) } else { Whom::Nobody }
    }

    async fn prove_client(&self, id: &ClientId, credentials: &Credentials) -> Result<Arc<Client>> {
        if matches!(self.whom(id), Whom::Nobody) {
            // Whether another replica knows it is asked of the store.
            self.may_fail(credentials.from, Whom::Nobody)?;
        }
        match (&credentials.secret, &credentials.assertion) {
            (Some(_), Some(_)) => {
                let problem = "comes beside a secret: a client authenticates in one way (RFC 6749 section 2.3)";
                Err(Error::invalid("client_assertion", problem))
            }
            (secret, None) => {
                let registry = self.registry_for(id).await?;
                registry.authenticate(id, secret.as_ref(), credentials.certificate.as_deref(), self.clock.now()).cloned()
            }
            (None, Some(assertion)) => self.authenticate_by_assertion(id, assertion, credentials.from).await,
        }
    }

    /// RFC 7523 section 3. The assertion is counted as soon as it is known to be genuine, whatever becomes of the request: who makes one
    /// makes another for the next.
    async fn authenticate_by_assertion(
        &self,
        id: &ClientId,
        assertion: &SecretText,
        from: Option<Source>,
    ) -> Result<Arc<Client>> {
        let refused = |refusal| Error::InvalidClient(ClientRefusal::Assertion(refusal));
        let registry = self.registry_for(id).await?;
        let client = registry.client(id).ok_or(Error::InvalidClient(ClientRefusal::Unknown))?;
        let ClientKind::Confidential { keys: Some(keys), .. } = &client.kind else {
            return Err(Error::InvalidClient(ClientRefusal::Method));
        };
        let assertion = Assertion::read(assertion.expose(), Purpose::Client).map_err(refused)?;
        if [&assertion.issuer, &assertion.subject].iter().any(|name| *name != id.as_str()) {
            return Err(refused(Refusal::OtherIssuer));
        }
        self.may_fail(from, Whom::Client(id))?;
        let lifetime = self.terms().client_assertion_lifetime;
        let until = self.judge_assertion(&assertion, self.issuer(), lifetime, keys).await?.map_err(refused)?;
        self.count_assertion(&assertion, until).await?.map_err(refused)?;
        Ok(Arc::clone(client))
    }

    /// Judges whom an assertion is for, its time, and that one of these keys signed it. It has to be counted then, and until when it
    /// must not count again is answered.
    ///
    /// # Errors
    /// `KeysUnavailable`.
    pub(super) async fn judge_assertion(
        &self,
        assertion: &Assertion<'_>,
        audience: &str,
        lifetime: Millis,
        keys: &KeySource,
    ) -> Result<Result<Timestamp, Refusal>> {
        // What costs nothing is looked at first, so that keys are fetched for nothing that is refused anyway.
        let until = match assertion.judge(&Expected { audience, now: self.clock.now(), lifetime }) {
            Ok(until) => until,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let key = self.key_of(keys, assertion).await?;
        Ok(key.and_then(|key| self.tokens.prove_assertion(assertion, &key)).map(|()| until))
    }

    /// Counts it; refused where it was counted before, on whichever replica.
    ///
    /// # Errors
    /// The store.
    pub(super) async fn count_assertion(&self, assertion: &Assertion<'_>, until: Timestamp) -> Result<Result<(), Refusal>> {
        let id = self.alive.salt().assertion(&assertion.issuer, &assertion.jti);
        Ok(if self.records.count_shown(id, until).await? { Ok(()) } else { Err(Refusal::Replayed) })
    }
}

/// A line a second at most. Those that are not known have lines of their own, for anybody can be unknown as often as he likes.
fn tell(id: &ClientId, refusal: ClientRefusal) {
    static KNOWN: Throttle = Throttle::new();
    static UNKNOWN: Throttle = Throttle::new();
    let throttle = if refusal == ClientRefusal::Unknown { &UNKNOWN } else { &KNOWN };
    if let Some(unsaid) = throttle.pass() {
        tracing::info!(client_id = shown(id.as_str()), cause = %refusal, unsaid, "a client did not authenticate");
    }
}

//! Whether a client proved who it is (RFC 6749 section 2.3).

use super::Registry;
use crate::records::registered::Retiring;
use jeton_domain::certificate::Certificate;
use jeton_domain::client::{Client, ClientKind};
use jeton_domain::client_secret;
use jeton_domain::error::{ClientRefusal, Error, Result};
use jeton_domain::name::ClientId;
use jeton_domain::secret::SecretText;
use jeton_domain::time::Timestamp;
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

impl Registry {
    /// The client, having proved who it is at `now`: a confidential one by a secret or its certificate, a public one by nothing. What is
    /// given must match; but a certificate beside another proof is not for this, it is what tokens may be bound to.
    /// By an assertion, whose keys are asked for elsewhere: the service's `authenticate`.
    ///
    /// # Errors
    /// `InvalidClient`; one answer outward, whatever the cause.
    pub fn authenticate(
        &self,
        id: &ClientId,
        secret: Option<&SecretText>,
        certificate: Option<&Certificate>,
        now: Timestamp,
    ) -> Result<&Arc<Client>> {
        let client = self.client(id);
        let right = secret.is_some_and(|secret| self.secret_matches(client, secret, now));
        let refusal = match client {
            None => ClientRefusal::Unknown,
            Some(client) if client.is_confidential() => match secret {
                Some(_) if right => return Ok(client),
                Some(_) => ClientRefusal::Wrong,
                None => match (&client.mutual_tls.authenticates, certificate) {
                    (Some(known), Some(shown)) if known.knows(shown) => return Ok(client),
                    (Some(_), Some(_)) => ClientRefusal::Wrong,
                    _ => ClientRefusal::Missing,
                },
            },
            Some(client) if secret.is_none() => return Ok(client),
            Some(_) => ClientRefusal::Method,
        };
        Err(Error::InvalidClient(refusal))
    }

    /// Compares with every secret that is valid, and hashes for an unknown client too, so that time tells nothing.
    fn secret_matches(&self, client: Option<&Arc<Client>>, secret: &SecretText, now: Timestamp) -> bool {
        let presented = client_secret::hash(secret);
        let Some(client) = client else { return false };
        let valid = match &client.kind {
            ClientKind::Confidential { secret_hashes, .. } => secret_hashes.as_slice(),
            ClientKind::Public => return false,
        };
        let valid = valid.iter().chain(self.retiring(client).iter().filter(|one| now < one.until).map(|one| &one.hash));
        valid.fold(0_u8, |found, hash| found | hash.ct_eq(&presented).unwrap_u8()) == 1
    }

    /// The secrets that others took the place of; none of a client of the file.
    fn retiring(&self, client: &Client) -> &[Retiring] {
        if self.clients.contains_key(&client.id) {
            return &[];
        }
        self.stored.client(&client.id).map(|stored| stored.retiring.as_slice()).unwrap_or_default()
    }
}

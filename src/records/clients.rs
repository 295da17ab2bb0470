//! Clients and resources as configured, and whether a client proved who it is (RFC 6749 section 2.3).

use jeton_domain::client::{Client, ClientKind};
use jeton_domain::error::{ClientRefusal, Error, Result};
use jeton_domain::name::ClientId;
use jeton_domain::resource::Resources;
use jeton_domain::secret::SecretText;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use subtle::ConstantTimeEq as _;

/// The clients and resources that are known.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    clients: HashMap<ClientId, Client>,
    resources: Resources,
}

impl Registry {
    /// As configured.
    #[must_use]
    pub fn new(clients: Vec<Client>, resources: Resources) -> Self {
        Self { clients: clients.into_iter().map(|client| (client.id.clone(), client)).collect(), resources }
    }

    /// The client of that id.
    #[must_use]
    pub fn client(&self, id: &ClientId) -> Option<&Client> {
        self.clients.get(id)
    }

    /// Whether a name is the id of a client.
    #[must_use]
    pub fn is_client(&self, name: &str) -> bool {
        ClientId::parse("client_id", name).is_ok_and(|id| self.clients.contains_key(&id))
    }

    /// Every client.
    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        self.clients.values()
    }

    /// The resources.
    #[must_use]
    pub const fn resources(&self) -> &Resources {
        &self.resources
    }

    /// The client, having proved who it is: a confidential one by its secret, a public one by nothing. What is given must match.
    /// By an assertion, whose keys are asked for elsewhere: the service's `authenticate`.
    ///
    /// # Errors
    /// `InvalidClient`; one answer outward, whatever the cause.
    pub fn authenticate(&self, id: &ClientId, secret: Option<&SecretText>) -> Result<&Client> {
        let client = self.clients.get(id);
        let right = secret.is_some_and(|secret| self.secret_matches(client, secret));
        let refusal = match client {
            None => ClientRefusal::Unknown,
            Some(client) if client.is_confidential() => match secret {
                Some(_) if right => return Ok(client),
                Some(_) => ClientRefusal::Wrong,
                None => ClientRefusal::Missing,
            },
            Some(client) if secret.is_none() => return Ok(client),
            Some(_) => ClientRefusal::Method,
        };
        Err(Error::InvalidClient(refusal))
    }

    /// Compares with every secret that is valid, and hashes for an unknown client too, so that time tells nothing.
    fn secret_matches(&self, client: Option<&Client>, secret: &SecretText) -> bool {
        let presented: [u8; 32] = Sha256::digest(secret.expose().as_bytes()).into();
        match client.map(|client| &client.kind) {
            Some(ClientKind::Confidential { secret_hashes, .. }) => {
                secret_hashes.iter().fold(0_u8, |found, hash| found | hash.ct_eq(&presented).unwrap_u8()) == 1
            }
            Some(ClientKind::Public) | None => false,
        }
    }
}

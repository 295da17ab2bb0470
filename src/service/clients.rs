//! Clients, registered at run time: made, read, changed, deleted, given another secret.

use crate::audit::{Action, Deed};
use crate::records::registered::{Retiring, StoredClient};
use crate::records::registry::{Entry, Kind, Registry, Value};
use crate::service::Service;
use crate::service::registry::{ListRegistered, Registered, RegistryPage, judged, new_secret, page_of, same_etag};
use jeton_domain::client::{Client, ClientKind};
use jeton_domain::error::{Error, Result};
use jeton_domain::name::ClientId;
use jeton_domain::registration::Problem;
use jeton_domain::revision::Revision;
use jeton_domain::secret::{SecretText, shown};
use jeton_domain::target::{Reason, Target};
use jeton_domain::time::{Millis, Timestamp};
use std::sync::Arc;

/// The longest that old secrets may stay valid.
pub const MAX_KEEP: Millis = Millis::from_secs(90 * 24 * 3_600);
/// How long they do where nothing is said.
pub const KEEP: Millis = Millis::from_secs(24 * 3_600);
/// The most secrets that are valid at once: two while one replaces the other, and those whose reply was lost.
const MAX_SECRETS: usize = 8;

/// A client as it is known.
#[derive(Clone, Debug)]
pub struct ClientState {
    /// The client.
    pub client: Arc<Client>,
    /// None: it is of the configuration file.
    pub registered: Option<Registered>,
    /// The secrets that another took the place of and that are still valid.
    pub retiring: Vec<Retiring>,
    /// What is probably not meant, in words.
    pub warnings: Vec<String>,
}

impl Service {
    /// Registers a client; of a confidential one the secret too, told once. What secrets `client` has are not looked at.
    ///
    /// # Errors
    /// `RegistrationUnsound`, `RegistrationExists`, `RegistrationFixed`, `RegistryFull`, the store.
    pub async fn create_client(&self, mut client: Client) -> Result<(ClientState, Option<SecretText>)> {
        let registry = self.fresh_registry().await?;
        not_of_file(&registry, &client.id)?;
        Self::has_place(&registry)?;
        judged("client", client.problems(registry.resources()))?;
        let is_known_by_certificate = client.mutual_tls.authenticates.is_some();
        let secret = match &mut client.kind {
            ClientKind::Confidential { secret_hashes, keys: None } if !is_known_by_certificate => {
                let (secret, hash) = new_secret()?;
                *secret_hashes = vec![hash];
                Some(secret)
            }
            ClientKind::Confidential { .. } | ClientKind::Public => None,
        };
        let stored = StoredClient { client: Arc::new(client), retiring: Vec::new() };
        let id = &stored.client.id;
        let mut deed = self.deed(Action::CreateClient).map(|deed| deed.client(id).handed_out(&secret));
        let mut is_ended = false;
        let entry = loop {
            let mut has_trace = false;
            let work = self.change_registered(Kind::Client, id.as_str(), |entry| {
                has_trace = entry.is_some_and(|entry| entry.value.is_none());
                match entry {
                    Some(_) if !has_trace => {
                        Err(Error::RegistrationExists(format!("client `{}` is registered already", shown(id.as_str()))))
                    }
                    Some(_) if !is_ended => Err(Error::Contended),
                    _ => Ok(Some(Value::Client(stored.clone()))),
                }
            });
            let registered = Deed::while_doing(&mut deed, work).await;
            if is_ended || !has_trace {
                break registered?;
            }
            // The one that was deleted may have been so by a call that was cut off before its grants were ended. The store tells, for
            // what this replica holds may be older.
            self.raise_and_tell(&Target::Client(id.clone()), Reason::Administrative, None).await?;
            is_ended = true;
        };
        deed.into_iter().for_each(Deed::tell);
        Ok((self.client_state(&entry, &stored), secret))
    }

    /// One client.
    ///
    /// # Errors
    /// `RegistrationUnknown`, the store.
    pub async fn get_client(&self, id: &ClientId) -> Result<ClientState> {
        let registry = self.fresh_registry().await?;
        if let Some(client) = registry.client_of_file(id) {
            return Ok(self.of_file(client));
        }
        let entry = registry.stored().entry(Kind::Client, id.as_str());
        let found = entry.and_then(|entry| Some((entry, entry.value.as_ref()?.client()?)));
        found.map(|(entry, stored)| self.client_state(entry, stored)).ok_or_else(|| unknown(id))
    }

    /// All clients, in pages.
    ///
    /// # Errors
    /// `Invalid` for a page token that is not ours, the store.
    pub async fn list_clients(&self, asked: &ListRegistered) -> Result<RegistryPage<ClientState>> {
        let registry = self.fresh_registry().await?;
        let of_file = registry.clients_of_file().map(|client| (client.id.as_str(), (client, None)));
        let others = registry.stored().all(Kind::Client).filter_map(|(id, entry, value)| {
            let stored = value.client().filter(|stored| registry.client_of_file(&stored.client.id).is_none())?;
            Some((id, (&stored.client, Some((entry, stored)))))
        });
        let page = page_of(asked, of_file.chain(others).collect())?;
        let state = |(client, registered): (&Arc<Client>, Option<(&Entry, &StoredClient)>)| {
            registered.map_or_else(|| self.of_file(client), |(entry, stored)| self.client_state(entry, stored))
        };
        Ok(RegistryPage { entries: page.entries.into_iter().map(state).collect(), next: page.next })
    }

    /// Makes a client what is said here, where it is as it was read. Its secrets stay.
    ///
    /// # Errors
    /// `RegistrationUnsound`, `RegistrationUnknown`, `RegistrationChanged`, `RegistrationFixed`, `Invalid` for another kind, the store.
    pub async fn update_client(&self, client: Client, etag: &str) -> Result<ClientState> {
        let registry = self.fresh_registry().await?;
        not_of_file(&registry, &client.id)?;
        judged("client", client.problems(registry.resources()))?;
        let mut now = None;
        let work = self.change_registered(Kind::Client, client.id.as_str(), |entry| {
            let (entry, held) = living(entry, &client.id)?;
            same_etag(entry, Some(etag), "the client")?;
            let client = Client { kind: with_secrets_of(&held.client, &client)?, ..client.clone() };
            let changed = StoredClient { client: Arc::new(client), retiring: self.still_valid(held) };
            now = Some(changed.clone());
            Ok(Some(Value::Client(changed)))
        });
        let mut deed = self.deed(Action::UpdateClient).map(|deed| deed.client(&client.id));
        let entry = Deed::while_doing(&mut deed, work).await?;
        deed.into_iter().for_each(Deed::tell);
        now.map(|stored| self.client_state(&entry, &stored)).ok_or_else(|| unknown(&client.id))
    }

    /// Deletes a client, where it is as it was read, and ends its grants. Safe to repeat.
    ///
    /// # Errors
    /// `RegistrationUnknown`, `RegistrationChanged`, `RegistrationFixed`, `RevokedNotDurable`, the store: then it is to be repeated.
    pub async fn delete_client(&self, id: &ClientId, etag: Option<&str>) -> Result<Revision> {
        not_of_file(&*self.fresh_registry().await?, id)?;
        // First the client goes, then its tokens: who has seen the revocation and looks, finds no client.
        let work = self.change_registered(Kind::Client, id.as_str(), |entry| {
            let entry = entry.ok_or_else(|| unknown(id))?;
            if entry.value.is_some() {
                same_etag(entry, etag, "the client")?;
            }
            Ok(None)
        });
        let mut deed = self.deed(Action::DeleteClient).map(|deed| deed.client(id));
        Deed::while_doing(&mut deed, work).await?;
        deed.into_iter().for_each(Deed::tell);
        let raised = self.raise_and_tell(&Target::Client(id.clone()), Reason::Administrative, None).await?;
        tracing::info!(client_id = %id, revision = %raised.revision, "a client was deleted, and its grants ended");
        Ok(raised.revision)
    }

    /// Gives a confidential client another secret, told once; those that it has stay valid for `keep`, and no longer.
    ///
    /// # Errors
    /// `RegistrationUnknown`, `RegistrationFixed`, `Invalid` for a public client or too many secrets, the store.
    pub async fn rotate_client_secret(&self, id: &ClientId, keep: Millis) -> Result<(ClientState, SecretText)> {
        not_of_file(&*self.fresh_registry().await?, id)?;
        let (secret, hash) = new_secret()?;
        let mut now = None;
        let work = self.change_registered(Kind::Client, id.as_str(), |entry| {
            let (_, held) = living(entry, id)?;
            let ClientKind::Confidential { secret_hashes, keys } = &held.client.kind else {
                return Err(Error::invalid("client_id", "is a public client, which has no secret"));
            };
            let until = self.clock.now().plus(keep);
            let mut retiring = if keep == Millis::ZERO { Vec::new() } else { self.still_valid(held) };
            if keep != Millis::ZERO {
                retiring.extend(secret_hashes.iter().map(|hash| Retiring { hash: *hash, until }));
            }
            retiring.iter_mut().for_each(|one| one.until = one.until.min(until));
            if retiring.len() >= MAX_SECRETS {
                let problem = "must be 0: so many secrets of the client are valid already that no more can be";
                return Err(Error::invalid("old_valid_for", problem));
            }
            let kind = ClientKind::Confidential { secret_hashes: vec![hash], keys: keys.clone() };
            let changed = StoredClient { client: Arc::new(Client { kind, ..Client::clone(&held.client) }), retiring };
            now = Some(changed.clone());
            Ok(Some(Value::Client(changed)))
        });
        let deed = self.deed(Action::RotateClientSecret);
        let mut deed = deed.map(|deed| deed.client(id).text("old_valid_for", &keep.written()).handed_out([&secret]));
        let entry = Deed::while_doing(&mut deed, work).await?;
        deed.into_iter().for_each(Deed::tell);
        let state = now.map(|stored| self.client_state(&entry, &stored)).ok_or_else(|| unknown(id))?;
        Ok((state, secret))
    }

    fn still_valid(&self, stored: &StoredClient) -> Vec<Retiring> {
        let now: Timestamp = self.clock.now();
        stored.retiring.iter().filter(|one| now < one.until).copied().collect()
    }

    fn of_file(&self, client: &Arc<Client>) -> ClientState {
        ClientState { warnings: self.doubts(client), client: Arc::clone(client), registered: None, retiring: Vec::new() }
    }

    fn client_state(&self, entry: &Entry, stored: &StoredClient) -> ClientState {
        ClientState {
            client: Arc::clone(&stored.client),
            registered: Some(Registered::of(entry)),
            retiring: self.still_valid(stored),
            warnings: self.doubts(&stored.client),
        }
    }

    /// What is probably not meant with a client, beside the resources of this moment: it may have become a mistake since it was registered.
    fn doubts(&self, client: &Client) -> Vec<String> {
        let told = |problem: Problem| format!("{} {}", problem.fields.first().copied().unwrap_or_default(), problem.words);
        client.problems(self.registry().resources()).into_iter().map(told).collect()
    }
}

/// The kind of a client with the keys that it is to have, and the secrets that it had.
fn with_secrets_of(held: &Client, asked: &Client) -> Result<ClientKind> {
    match (&held.kind, &asked.kind) {
        (ClientKind::Public, ClientKind::Public) => Ok(ClientKind::Public),
        (ClientKind::Confidential { secret_hashes, .. }, ClientKind::Confidential { keys, .. }) => {
            if secret_hashes.is_empty() && keys.is_none() && asked.mutual_tls.authenticates.is_none() {
                let problem =
                    "must not be empty: the client has neither secret nor certificate. Give it one first (rotate-secret)";
                return Err(Error::invalid("client.jwks", problem));
            }
            Ok(ClientKind::Confidential { secret_hashes: secret_hashes.clone(), keys: keys.clone() })
        }
        _ => Err(Error::invalid("client.kind", "cannot change: delete the client, and register it anew")),
    }
}

fn living<'a>(entry: Option<&'a Entry>, id: &ClientId) -> Result<(&'a Entry, &'a StoredClient)> {
    entry.and_then(|entry| Some((entry, entry.value.as_ref()?.client()?))).ok_or_else(|| unknown(id))
}

fn not_of_file(registry: &Registry, id: &ClientId) -> Result<()> {
    match registry.client_of_file(id) {
        Some(_) => {
            Err(Error::RegistrationFixed(format!("client `{id}` is in the configuration file, and is changed there only")))
        }
        None => Ok(()),
    }
}

fn unknown(id: &ClientId) -> Error {
    Error::RegistrationUnknown(format!("no client `{}` is known", shown(id.as_str())))
}

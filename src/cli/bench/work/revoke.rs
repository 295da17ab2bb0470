//! Revoke: grants that nobody holds, refresh tokens, and all of a client.

use super::{CLIENT, Client, First, Issued, Operation, Sizes, locked};
use crate::api::{self, revoke_request};
use crate::cli::bench::load::{Work, Wrong};
use crate::random;
use jeton_domain::id::GrantId;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tonic::transport::Channel;

/// Revoke: so many grants, by ids that nobody holds.
pub(in crate::cli::bench) struct RevokeGrants {
    left: AtomicUsize,
    first: First,
}

impl RevokeGrants {
    pub(in crate::cli::bench) fn new(count: usize) -> Self {
        Self { left: AtomicUsize::new(count), first: First::default() }
    }
}

impl Work for RevokeGrants {
    type Client = Client;

    fn client(channel: Channel) -> Client {
        Client::new(channel)
    }

    async fn call(&self, client: &mut Client) -> Option<Result<(), Wrong>> {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).ok()?;
        let Ok(id) = random::bytes() else { return Some(Err(Wrong::Answer("no randomness for the id of a grant"))) };
        let target = Some(revoke_request::Target::GrantId(GrantId(id).to_string()));
        let request = api::RevokeRequest { target, ..Default::default() };
        Some(self.first.revoked(client, request).await)
    }
}

/// Revoke: refresh tokens, each once, as when a user signs out.
pub(in crate::cli::bench) struct Revoke {
    tokens: Mutex<Vec<String>>,
    first: First,
}

impl Revoke {
    pub(in crate::cli::bench) fn new(issued: Vec<Issued>) -> Self {
        Self { tokens: Mutex::new(issued.into_iter().map(|issued| issued.refresh).collect()), first: First::default() }
    }
}

impl Work for Revoke {
    type Client = Client;

    fn client(channel: Channel) -> Client {
        Client::new(channel)
    }

    async fn call(&self, client: &mut Client) -> Option<Result<(), Wrong>> {
        let token = locked(&self.tokens).pop()?;
        let request = api::RevokeRequest {
            target: Some(revoke_request::Target::Token(token)),
            reason: api::RevocationReason::SignOut.into(),
            ..Default::default()
        };
        Some(self.first.revoked(client, request).await)
    }
}

impl Operation for Revoke {
    fn sizes(&self) -> Option<Sizes> {
        self.first.0.get().copied()
    }
}

/// Revoke: everything of the client, once.
#[derive(Default)]
pub(in crate::cli::bench) struct RevokeClient {
    is_done: AtomicBool,
    first: First,
}

impl Work for RevokeClient {
    type Client = Client;

    fn client(channel: Channel) -> Client {
        Client::new(channel)
    }

    async fn call(&self, client: &mut Client) -> Option<Result<(), Wrong>> {
        if self.is_done.swap(true, Ordering::Relaxed) {
            return None;
        }
        let target = Some(revoke_request::Target::ClientId(CLIENT.into()));
        let request = api::RevokeRequest { target, reason: api::RevocationReason::Incident.into(), ..Default::default() };
        Some(self.first.revoked(client, request).await)
    }
}

impl Operation for RevokeClient {
    fn sizes(&self) -> Option<Sizes> {
        self.first.0.get().copied()
    }
}

impl First {
    /// Revokes, and learns the sizes of it.
    async fn revoked(&self, client: &mut Client, request: api::RevokeRequest) -> Result<(), Wrong> {
        let length = self.request(&request);
        let answer = client.revoke(request).await?.into_inner();
        if answer.revision.is_empty() {
            return Err(Wrong::Answer("revoke ended nothing"));
        }
        self.learn(length, &answer);
        Ok(())
    }
}

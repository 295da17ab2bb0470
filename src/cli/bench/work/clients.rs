//! Registers clients, so many, on a store that has none of them yet.

use super::{First, Operation, Sizes};
use crate::api;
use crate::api::client_service_client::ClientServiceClient;
use crate::cli::bench::load::{Work, Wrong};
use std::sync::atomic::{AtomicUsize, Ordering};
use tonic::transport::Channel;

/// CreateClient: confidential clients that are told of logouts.
pub(in crate::cli::bench) struct RegisterClients {
    next: AtomicUsize,
    end: usize,
    first: First,
}

impl RegisterClients {
    pub(in crate::cli::bench) fn new(count: usize) -> Self {
        Self { next: AtomicUsize::new(0), end: count, first: First::default() }
    }

    fn request(number: usize) -> api::CreateClientRequest {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let client = api::Client {
            client_id: format!("bench-{number}"),
            kind: "confidential".into(),
            grant_types: texts(&["authorization_code", "refresh_token"]),
            scopes: texts(&["openid", "offline_access", "orders:read"]),
            resources: texts(&["https://orders.internal"]),
            redirect_uris: vec![format!("https://bench-{number}.invalid/callback")],
            backchannel_logout_uri: format!("https://bench-{number}.invalid/logout"),
            ..Default::default()
        };
        api::CreateClientRequest { client: Some(client) }
    }
}

impl Work for RegisterClients {
    type Client = ClientServiceClient<Channel>;

    fn client(channel: Channel) -> Self::Client {
        Self::Client::new(channel)
    }

    async fn call(&self, client: &mut Self::Client) -> Option<Result<(), Wrong>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.end {
            return None;
        }
        let request = Self::request(number);
        let length = self.first.request(&request);
        let answer = match client.create_client(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return Some(Err(status.into())),
        };
        if answer.client_secret.is_empty() {
            return Some(Err(Wrong::Answer("a confidential client was registered without a secret")));
        }
        self.first.learn(length, &answer);
        Some(Ok(()))
    }
}

impl Operation for RegisterClients {
    fn sizes(&self) -> Option<Sizes> {
        self.first.0.get().copied()
    }
}

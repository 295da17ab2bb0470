//! Who asks while something happens to the replicas: through the client library, at whichever of them, and nothing asked is lost.

use crate::store_contract::eventually;
use crate::world::ORDERS;
use jeton_client::{Client, Settings, api};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// Those who ask while something happens, each one request after another, at whichever replica.
pub struct Load {
    ended: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Load {
    /// So many of them.
    pub fn of(addresses: &[String], asking: usize) -> Self {
        let (ended, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for _ in 0..asking {
            tasks.spawn(asks(addresses.to_vec(), ended.clone(), answered.clone()));
        }
        Self { ended, answered, tasks }
    }

    /// Waits until so many more were answered.
    pub async fn goes_on(&self, count: usize) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("they are asked on", async || self.answered.load(Ordering::Relaxed) >= before + count).await;
    }

    /// How many requests were answered. None failed.
    pub async fn ended(mut self) -> usize {
        self.ended.store(true, Ordering::Relaxed);
        while let Some(asked) = self.tasks.join_next().await {
            asked.unwrap();
        }
        self.answered.load(Ordering::Relaxed)
    }
}

/// Issue, refresh, introspect, revoke, again and again.
async fn asks(addresses: Vec<String>, ended: Arc<AtomicBool>, answered: Arc<AtomicUsize>) {
    // A replica may take a while to start where others build and test beside it.
    let settings = Settings { deadline: Duration::from_secs(60), ..Settings::default() };
    let client = Client::connect(addresses).unwrap().with_settings(settings);
    while !ended.load(Ordering::Relaxed) {
        let issue = api::IssueRequest {
            client_id: "mobile-app".into(),
            sub: "bob".into(),
            scope: "offline_access orders:read".into(),
            ..Default::default()
        };
        let issued = client.issue(issue).await.unwrap();
        let refresh =
            api::RefreshRequest { refresh_token: issued.refresh_token, client_id: "mobile-app".into(), ..Default::default() };
        let renewed = client.refresh(refresh).await.unwrap();
        let asked = |token: &str| api::IntrospectRequest { token: token.into(), resource: ORDERS.into(), ..Default::default() };
        assert!(client.introspect(asked(&renewed.access_token)).await.unwrap().active);
        let target = Some(api::revoke_request::Target::GrantId(issued.grant_id));
        let revoked = client.revoke(api::RevokeRequest { target, ..Default::default() }).await.unwrap();
        let known = api::Freshness { requirement: Some(api::freshness::Requirement::AtLeastAsFresh(revoked.revision)) };
        let asked = api::IntrospectRequest { freshness: Some(known), ..asked(&renewed.access_token) };
        assert!(!client.introspect(asked).await.unwrap().active);
        answered.fetch_add(5, Ordering::Relaxed);
    }
}

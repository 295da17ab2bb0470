//! Whether requests may be sent here, in words: what the store says of itself, asked in the background, answered from memory.

use crate::store::Store;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the store is asked.
const EVERY: Duration = Duration::from_secs(1);
/// What is wrong once it was told to stop.
const SHUTTING_DOWN: &str = "shutting down";

/// What is known of readiness now.
#[derive(Debug)]
pub struct Readiness {
    wrong: RwLock<Vec<String>>,
    ready: watch::Sender<bool>,
}

impl Readiness {
    /// Not ready yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { wrong: RwLock::new(vec!["starting".into()]), ready: watch::Sender::new(false) })
    }

    /// Follows it: true while ready.
    pub fn follow(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Asks `store` again and again until `stop`; then it is not ready any more.
    pub async fn watch(self: Arc<Self>, store: Arc<dyn Store>, stop: CancellationToken) {
        loop {
            let wrong = match store.health().await {
                Ok(wrong) => wrong.into_iter().map(|problem| format!("store: {problem}")).collect(),
                Err(problem) => vec![format!("store: {problem}")],
            };
            self.tell(wrong);
            if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                self.tell(vec![SHUTTING_DOWN.into()]);
                return;
            }
        }
    }

    /// What is wrong now, in words; nothing while ready.
    pub fn wrong(&self) -> Vec<String> {
        self.wrong.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, wrong: Vec<String>) {
        let ready = wrong.is_empty();
        let mut held = self.wrong.write().unwrap_or_else(PoisonError::into_inner);
        if *held != wrong {
            match wrong.first() {
                None => tracing::info!("ready"),
                Some(first) if first == SHUTTING_DOWN => tracing::info!(problem = first, "not ready"),
                Some(first) => tracing::warn!(problem = first, "not ready"),
            }
            *held = wrong;
        }
        drop(held);
        self.ready.send_replace(ready);
    }
}

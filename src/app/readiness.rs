//! Whether requests may be sent here, in words: what the store says of itself and how the view is, asked in the background, answered from
//! memory.

use crate::app::App;
use crate::app::reload::Remarks;
use crate::audit::Audit;
use crate::floors::{Alive, Health};
use crate::service::Service;
use crate::store::{Store, Wrong};
use crate::telemetry::metrics;
use crate::transport::admin::Said;
use crate::transport::tls::Tls;
use std::collections::BTreeSet;
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
    said: RwLock<Said>,
    ready: watch::Sender<bool>,
}

impl Readiness {
    /// Not ready yet.
    pub fn new() -> Arc<Self> {
        let said = Said { wrong: vec!["starting".into()], remarkable: Vec::new() };
        Arc::new(Self { said: RwLock::new(said), ready: watch::Sender::new(false) })
    }

    /// Follows it: true while ready.
    pub fn follow(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Looks at the store, the view of it, the registry, the audit stream, the configuration and TLS again and again until `stop`; then it is not ready any
    /// more.
    pub fn watch(
        self: Arc<Self>,
        app: &App,
        remarks: Arc<Remarks>,
        tls: [Option<Tls>; 3],
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + use<> {
        let found = (app.store.clone(), app.alive.clone(), app.service.clone(), app.audit.clone());
        self.looking(found, remarks, tls, stop)
    }

    async fn looking(
        self: Arc<Self>,
        (store, alive, service, audit): (Arc<dyn Store>, Arc<Alive>, Arc<Service>, Audit),
        configuration: Arc<Remarks>,
        tls: [Option<Tls>; 3],
        stop: CancellationToken,
    ) {
        loop {
            let of_the_store = store.health().await.unwrap_or_else(|problem| vec![Wrong::unfit(problem.to_string())]);
            let health = alive.health();
            measure(&health);
            let of_the_store = |unfit| {
                let told = of_the_store.iter().filter(move |wrong| wrong.is_unfit == unfit);
                told.map(|wrong| format!("store: {}", wrong.words))
            };
            let remarkable =
                of_the_store(false).chain(health.remarkable()).chain(service.registry_remarks()).chain(audit.remark());
            self.tell(Said {
                wrong: of_the_store(true).chain(health.wrong()).chain(service.root_keys_wrong()).collect(),
                remarkable: remarkable.chain(configuration.words()).chain(of_tls(&tls)).collect(),
            });
            if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                self.tell(Said { wrong: vec![SHUTTING_DOWN.into()], remarkable: Vec::new() });
                return;
            }
        }
    }

    /// What is known now, in words.
    pub fn said(&self) -> Said {
        self.said.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, said: Said) {
        let ready = said.wrong.is_empty();
        let mut held = self.said.write().unwrap_or_else(PoisonError::into_inner);
        if held.wrong != said.wrong {
            match said.wrong.first() {
                None => tracing::info!("ready"),
                Some(first) if first == SHUTTING_DOWN => tracing::info!(problem = first, "not ready"),
                Some(first) => tracing::warn!(problem = first, "not ready"),
            }
        }
        for remark in said.remarkable.iter().filter(|remark| !held.remarkable.contains(remark)) {
            tracing::warn!(remark, "worth a look");
        }
        *held = said;
        drop(held);
        self.ready.send_replace(ready);
    }
}

/// Each once: listeners share their files.
fn of_tls(listeners: &[Option<Tls>]) -> BTreeSet<String> {
    listeners.iter().flatten().flat_map(Tls::remarks).collect()
}

fn measure(health: &Health) {
    metrics::VIEW_ENTRIES.set_count(health.entries);
    metrics::VIEW_ENTRIES_LIMIT.set_count(health.max_entries);
    metrics::VIEW_BYTES.set_count(health.bytes);
    metrics::VIEW_WHOLE.set_count(usize::from(health.whole));
    if let Some(age) = health.age {
        metrics::VIEW_AGE.set(Duration::from(age).as_secs_f64());
    }
}

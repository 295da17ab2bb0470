//! Another configuration while the service runs: clients, resources, callers and terms are exchanged, all of them or none.
//!
//! Must not live here: which settings can be exchanged so (`config`), what becomes of those that cannot (`app`).

use crate::records::documents::Ceilings;
use crate::service::{InForce, Service, Terms};
use jeton_domain::caller::Callers;
use jeton_domain::client::Client;
use jeton_domain::error::Result;
use jeton_domain::resource::Resources;

/// What of a configuration the operations rest on.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The clients of the file.
    pub clients: Vec<Client>,
    /// The resources of the file.
    pub resources: Resources,
    /// Who calls.
    pub callers: Callers,
    /// What the operations hold to.
    pub terms: Terms,
    /// The longest lifetimes that can be handed out under it.
    pub longest: Ceilings,
    /// Whether anything is signed with RS256.
    pub uses_rs256: bool,
}

impl Service {
    /// This configuration from now on: each request that begins after it is answered by it, on connections that are open too.
    ///
    /// # Errors
    /// The store. Then everything is as it was.
    pub async fn reconfigure(&self, to: Configuration) -> Result<()> {
        let Configuration { clients, resources, callers, terms, longest, uses_rs256 } = to;
        let _turn = self.registering.lock().await;
        let registry = self.registry().configured(clients, resources);
        self.provide_for(longest, uses_rs256).await?;
        // Nothing fails from here on.
        let takes_others = self.terms().caller_tokens != terms.caller_tokens;
        self.put_in_force(|held| *held = InForce::of(registry, callers, terms));
        if takes_others {
            self.proved_callers.forget();
        }
        Ok(())
    }
}

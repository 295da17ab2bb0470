//! Root keys: what the store says of them, and the burning of one.

use crate::records::Records;
use crate::service::Service;
use crate::service::revoke::Revoked;
use jeton_domain::error::{Error, Result};
use jeton_domain::floors::Raised;
use jeton_domain::id::KeyId;
use jeton_domain::target::{Reason, Target};

impl Service {
    /// Brings what is known of the root keys up to date, with whatever other replicas did. For background, and where the log says that one
    /// was burnt.
    ///
    /// # Errors
    /// The store; as `Records::register_ring`.
    pub async fn refresh_root_keys(&self) -> Result<()> {
        self.records.register_ring().await?;
        // A store that fell back has the ring as it was; the log was healed, and says what became of it.
        for key in self.records.roots().in_use() {
            if self.root_key_burnt(key).is_some() {
                // Of its signing keys the log says so, too.
                self.records.burn_root_key(key, &[]).await?;
                tracing::warn!(%key, "a root key was burnt again: the store had lost that it was");
            }
        }
        Ok(())
    }

    /// Seals anew what is kept for ever and is under an older root key. For background.
    ///
    /// # Errors
    /// As `Records::reseal`.
    pub async fn reseal(&self) -> Result<()> {
        let count = Records::reseal(&self.records).await?;
        if count > 0 {
            tracing::info!(count, "documents and registrations were sealed anew, under the newest root key");
        }
        Ok(())
    }

    /// Burns a root key: what it proves is dead, and so are the signing keys of its time, which it sealed; what it sealed that is kept for
    /// ever is sealed anew. To be repeated until it succeeds; what was made after the first time stays.
    pub(super) async fn burn_root_key(&self, key: KeyId, reason: Reason) -> Result<Revoked> {
        self.records.register_ring().await?;
        let roots = self.records.roots();
        if roots.registered(key) && !roots.is_replaceable(key) {
            let problem =
                "is the newest root key that this replica has: roll out another, and make it the first, before this one is burnt";
            return Err(Error::invalid("root_key_id", problem));
        }
        self.refresh_keys().await?;
        let of_its_time: Vec<String> = self.known_keys().into_iter().map(|signing| signing.kid).collect();
        // From here on everything is sealed under another.
        for kid in self.records.burn_root_key(key, &of_its_time).await? {
            // One that is gone meanwhile signs nothing.
            if self.known_keys().iter().any(|known| known.kid == kid) {
                self.raise(&Target::SigningKey { kid }, reason, None).await?;
            }
        }
        let raised = self.raise(&Target::RootKey(key), reason, None).await?;
        self.reseal().await?;
        Ok(raised)
    }

    /// What burnt a root key, as far as the view knows.
    pub(super) fn root_key_burnt(&self, key: KeyId) -> Option<Raised> {
        let target = self.alive.salt().root_key(key);
        self.alive.with_floors(|floors| floors.get(target))
    }
}

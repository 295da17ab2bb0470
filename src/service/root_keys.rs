//! Root keys: what the store says of them, and the burning of one.
//!
//! INVARIANT: once a replica knows that one is burnt, by the log or by the ring document, it proves nothing here any more, whatever the store
//! says later.

use crate::records::Records;
use crate::service::Service;
use crate::service::revoke::Revoked;
use futures_util::future::join_all;
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
        let roots = self.records.roots();
        // What the log says holds here at once, and is said in the ring document where that does not say it, or has lost it.
        roots.in_use().into_iter().filter(|key| self.root_key_burnt(*key).is_some()).for_each(|key| roots.burn(key));
        self.records.register_ring().await
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

    /// Burns a root key: what it proves is dead, and so are all signing keys, which were sealed under it or may have been; what it sealed
    /// that is kept for ever is sealed anew. Does all of it before it says that not every replica of the store has it.
    /// To be repeated until it succeeds; signing keys that were made after the first time stay.
    pub(super) async fn burn_root_key(&self, key: KeyId, reason: Reason) -> Result<Revoked> {
        self.replaceable_root_key(key).await?;
        self.alive.caught_up().await?;
        self.refresh_keys().await?;
        let mut of_its_time: Vec<String> = self.known_keys().into_iter().map(|signing| signing.kid).collect();
        // From here on everything is sealed under another.
        let kids = self.records.burn_root_key(key, &of_its_time).await?;
        // One that is gone meanwhile signs nothing.
        of_its_time.retain(|kid| kids.contains(kid));
        let targets = of_its_time.iter().map(|kid| Target::SigningKey { kid: kid.clone() });
        let ends = [Target::RootKey(key)].into_iter().chain(targets).map(|target| self.end_key(target, reason));
        // Side by side: each may wait for a replica of the store that is gone.
        let (ended, confirmed, burnt) = tokio::join!(join_all(ends), self.records.confirm_ring(), self.burn_keys(&of_its_time));
        // In force from where the last of it is.
        let last = ended.into_iter().try_fold(Revoked::Nothing, |one, other| Ok::<_, Error>(one.later(other?)))?;
        confirmed.and(burnt)?;
        if let Err(problem) = self.reseal().await {
            tracing::error!(%problem, "what is under an older root key is yet to be sealed anew; it is tried again");
        }
        Ok(last)
    }

    /// One entry in the log, where there is none yet.
    async fn end_key(&self, target: Target, reason: Reason) -> Result<Revoked> {
        match self.done(&target) {
            Some(done) => Ok(done),
            None => self.tell_end(&target, reason, None, self.alive.raise(&target, reason)).await.map(Revoked::from),
        }
    }

    /// Refuses a root key that is not known, or that nothing would replace here.
    pub(super) async fn replaceable_root_key(&self, key: KeyId) -> Result<()> {
        self.records.register_ring().await?;
        let roots = self.records.roots();
        if !roots.registered(key) {
            return Err(Error::KeyUnknown(format!("no root key `{key}` is known")));
        }
        if !roots.is_replaceable(key) {
            let problem =
                "is the newest root key that this replica has: roll out another, and make it the first, before this one is burnt";
            return Err(Error::invalid("root_key_id", problem));
        }
        Ok(())
    }

    /// What burnt a root key, as far as the view knows.
    pub(super) fn root_key_burnt(&self, key: KeyId) -> Option<Raised> {
        self.key_burnt(self.alive.salt().root_key(key))
    }

    /// What is wrong with the root keys, in words: why this replica can make no token.
    #[must_use]
    pub fn root_keys_wrong(&self) -> Option<String> {
        let roots = self.records.roots();
        let words = || {
            let active = roots.active();
            format!("root keys: `{active}` is burnt, and no other is in this replica's ring: append one, and start it again")
        };
        roots.is_burnt(roots.active()).then(words)
    }
}

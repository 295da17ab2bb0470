//! Sealing anew: what is kept for ever moves to the newest root key, so that an older one can leave the ring one day.
//!
//! Everything else is sealed anew when it changes, or ends by itself.

use crate::records::registry::PARTS;
use crate::records::{Records, name, stamp, unavailable};
use crate::store::{Durability, Name, Swap, Swapped};
use bytes::Bytes;
use jeton_domain::error::Result;

/// How many are read at once.
const AT_ONCE: usize = 64;

impl Records {
    /// Seals under the active root key what of the service's documents, and of what is registered at run time, is under an older one.
    /// Answers how many that were. What others change meanwhile is left to them.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`, `RootKeyMissing`, of one or more: the others are sealed all the same.
    pub async fn reseal(&self) -> Result<usize> {
        let documents = [name::salt(), name::ceilings(), name::signing(), name::registry()];
        let names: Vec<Name> = documents.into_iter().chain((0..PARTS).map(name::registry_part)).collect();
        let (mut resealed, mut problem) = (0_usize, None);
        for names in names.chunks(AT_ONCE) {
            for (name, held) in names.iter().zip(self.read_raw(names).await?) {
                let Some(held) = held.filter(|held| self.roots.is_outdated(held)) else { continue };
                match self.reseal_one(name, &held).await {
                    Ok(is_done) => resealed = resealed.saturating_add(usize::from(is_done)),
                    Err(error) => problem = problem.or(Some(error)),
                }
            }
        }
        problem.map_or(Ok(resealed), Err)
    }

    async fn reseal_one(&self, name: &Name, held: &Bytes) -> Result<bool> {
        let plain = self.roots.open(name.as_str(), held)?;
        let swap = Swap {
            name: name.clone(),
            expected: stamp(held),
            value: Some(self.roots.seal(name.as_str(), &plain)?),
            expires_at: None,
            needs: Durability::Replicated,
        };
        let (swapped, _) = self.store.swap(&swap, &[]).await.map_err(unavailable)?;
        Ok(matches!(swapped, Swapped::Done))
    }
}

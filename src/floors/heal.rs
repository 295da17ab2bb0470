//! Healing: after a failover the log may lack what this view knows. It is put back: in a new place, with its floor, its lifetime begun
//! anew. Idempotent, by every replica, in the background; no Refresh waits for it.

use crate::floors::{Alive, LONG_PAGE, PAGE, entry};
use crate::records::unavailable;
use crate::store::Position;
use bytes::Bytes;
use jeton_domain::error::{Error, Result};
use jeton_domain::floors::{Floors, Raised};
use jeton_domain::id::Identity;
use jeton_domain::revision::Revision;
use tokio::time::timeout;

/// How often it is begun anew where the primary changes under it, before the next round of the background tries again.
const ATTEMPTS: u32 = 4;

impl Alive {
    /// Waits until something was lost that this view may know, and puts it back. To be repeated for ever.
    ///
    /// # Errors
    /// The store; the next round tries again.
    pub async fn heal_when_ill(&self) -> Result<()> {
        if !self.read().needs_healing() {
            self.ill.notified().await;
        }
        self.heal().await
    }

    /// The same where a request waits for it.
    pub(super) async fn heal_in_time(&self) -> Result<()> {
        timeout(self.terms.store_timeout.into(), self.heal()).await.unwrap_or(Err(Error::Healing))
    }

    /// Puts back what the log lacks, and says so.
    ///
    /// # Errors
    /// `Healing` where the primary changes again and again; the store.
    pub async fn heal(&self) -> Result<()> {
        let _one_at_a_time = self.healing.lock().await;
        for _ in 0..ATTEMPTS {
            self.read().believable()?;
            if !self.read().needs_healing() {
                return Ok(());
            }
            let turn = self.read().turn();
            let Some((found, identity)) = self.whole_log().await? else { continue };
            let is_over = self.is_over();
            // One part at a time, so that no introspection waits for the whole.
            let missing: Vec<Raised> = (0..Floors::PARTS).flat_map(|part| self.read().missing(part, &found, &is_over)).collect();
            drop(found);
            let Some(identity) = self.put_back(&missing, identity).await? else { continue };
            // Before it is said that all is back: what takes its `born` from now on does so above the marker that all replicas have.
            self.beat().await?;
            if self.read().turn() != turn {
                continue;
            }
            if !self.store.healed(self.replica, identity).await.map_err(unavailable)? {
                continue;
            }
            let is_all = self.write().healed(identity, turn);
            if !missing.is_empty() {
                tracing::warn!(entries = missing.len(), "put back revocations that the store had lost");
            }
            // What the others are told, this view is too.
            self.load().await?;
            if is_all {
                return Ok(());
            }
        }
        Err(Error::Healing)
    }

    /// What the log holds under one primary; none where it changed meanwhile.
    pub(super) async fn whole_log(&self) -> Result<Option<(Floors, Identity)>> {
        let known = self.read().position();
        let mut found = Floors::default();
        let mut cursor = Revision::START;
        let mut under = None;
        loop {
            let page = self.store.follow(Position { cursor, ..known }, LONG_PAGE).await.map_err(unavailable)?;
            if page.gap || *under.get_or_insert(page.identity) != page.identity {
                return Ok(None);
            }
            for logged in &page.entries {
                if let Some(raised) = entry::decode(logged)? {
                    found.join(raised);
                }
            }
            cursor = page.entries.last().map_or(cursor, |last| last.revision);
            if !page.more {
                return Ok(Some((found, page.identity)));
            }
        }
    }

    /// Appends what is missing. None where the primary changed meanwhile.
    async fn put_back(&self, missing: &[Raised], identity: Identity) -> Result<Option<Identity>> {
        let now = self.clock.now();
        for page in missing.chunks(PAGE) {
            let entries: Vec<Bytes> = page.iter().map(|lost| entry::put_back(lost, now)).collect();
            let (followed, _) = self.append(&entries, self.position().await?).await?;
            if followed.identity != identity {
                return Ok(None);
            }
        }
        Ok(Some(identity))
    }
}

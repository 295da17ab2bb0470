//! Settling: writing floors where Refresh finds them when the log has forgotten. Idempotent, by any replica, in the background.

use crate::floors::{Alive, PAGE, entry};
use crate::records::grants::listed;
use crate::records::{GRACE, unavailable};
use crate::store::Position;
use jeton_domain::error::Result;
use jeton_domain::floors::Raised;
use jeton_domain::id::GrantId;
use jeton_domain::target::TargetKind;
use std::sync::PoisonError;

impl Alive {
    /// Settles what is not settled yet, then lets the log and the view forget what is settled and past the horizon.
    /// Answers how many entries were settled.
    ///
    /// # Errors
    /// The store; what was settled until then stays so.
    pub async fn settle(&self) -> Result<u64> {
        let caught = self.load().await?;
        // Another replica may hand out longer-lived tokens than this one was told of.
        let ceilings = self.records.raise_ceilings(self.ceilings()).await?;
        *self.ceilings.write().unwrap_or_else(PoisonError::into_inner) = ceilings;
        if caught.head == self.read().settled {
            return self.forget().await.map(|()| 0);
        }
        let mut cursor = self.read().settled;
        let mut settled = 0_u64;
        loop {
            let page = self.store.follow(Position { cursor, ..Position::default() }, PAGE).await.map_err(unavailable)?;
            let Some(last) = page.entries.last().map(|last| last.revision) else { break };
            let unsettled = page.entries.iter().filter(|logged| logged.revision > page.settled);
            for logged in unsettled {
                self.settle_one(&entry::decode(logged)?).await?;
                settled = settled.saturating_add(1);
            }
            if last > page.settled && !self.store.settle(last).await.map_err(unavailable)? {
                break;
            }
            cursor = last;
            if !page.more {
                break;
            }
        }
        self.forget().await?;
        Ok(settled)
    }

    async fn settle_one(&self, raised: &Raised) -> Result<()> {
        let now = self.clock.now();
        match raised.kind {
            // No access token outlives the horizon, and the log keeps it for that long.
            TargetKind::Token => Ok(()),
            // Its document says burnt since before it was acknowledged.
            TargetKind::SigningKey => Ok(()),
            TargetKind::Grant => {
                let id = GrantId(raised.target.0);
                let keep_until = now.plus(self.horizon()).plus(GRACE);
                let was = self.records.end_grant(id, raised.ended(), keep_until).await?;
                match was.and_then(|was| listed(&was, &self.salt)) {
                    Some((subject, listed)) => self.records.unlist_grants(subject, &[listed]).await,
                    None => Ok(()),
                }
            }
            TargetKind::Session | TargetKind::Subject | TargetKind::Client | TargetKind::Consent => {
                let keep_until = now.plus(self.ceilings().grant.max(self.horizon())).plus(GRACE);
                self.records.raise_floor(raised, keep_until).await
            }
        }
    }

    async fn forget(&self) -> Result<()> {
        let (now, horizon) = (self.clock.now(), self.horizon());
        self.store.trim(now.minus(horizon)).await.map_err(unavailable)?;
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let settled = view.settled;
        view.floors.forget(now, horizon, settled);
        Ok(())
    }
}

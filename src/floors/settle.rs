//! Settling: writing floors where Refresh finds them when the log has forgotten. Idempotent, by any replica, in the background.

use crate::floors::{Alive, PAGE, entry};
use crate::records::grants::listed;
use crate::records::{GRACE, unavailable};
use crate::store::{Followed, Position};
use futures_util::TryStreamExt as _;
use futures_util::stream;
use jeton_domain::error::Result;
use jeton_domain::floors::{Floors, Raised};
use jeton_domain::id::GrantId;
use jeton_domain::revision::Revision;
use jeton_domain::target::TargetKind;
use jeton_domain::time::Millis;

/// How many floors are written at once.
const AT_ONCE: usize = 64;
/// How long a view that was too full stays partial before it tries to hold all again.
const PARTIAL: Millis = Millis::from_secs(600);

impl Alive {
    /// Settles what is not settled yet, then lets the log and the view forget what is settled and past the horizon.
    /// Answers how many entries were settled.
    ///
    /// # Errors
    /// The store; what was settled until then stays so.
    pub async fn settle(&self) -> Result<u64> {
        let caught = self.load().await?;
        // Another replica may hand out longer-lived tokens than this one was told of.
        self.raise_ceilings(self.ceilings()).await?;
        let known = self.read().position();
        let mut cursor = self.read().settled();
        let mut settled = 0_u64;
        while cursor != caught.head {
            let page = self.store.follow(Position { cursor, ..known }, PAGE).await.map_err(unavailable)?;
            let Some(last) = page.entries.last().map(|last| last.revision) else { break };
            settled = settled.saturating_add(self.settle_page(&page, |place| place > page.settled).await?);
            // All of the page is where Refresh finds it, on every replica.
            if last > page.settled && !self.store.settle(last, Some(page.identity)).await.map_err(unavailable)? {
                break;
            }
            cursor = last;
            if !page.more {
                break;
            }
        }
        self.forget().await?;
        self.vouch().await?;
        Ok(settled)
    }

    /// Makes sure of what is settled, where the shards of the store can lose it without the log: then it may be forgotten.
    async fn vouch(&self) -> Result<()> {
        let (upto, sure) = {
            let view = self.read();
            (view.settled(), view.sure())
        };
        if upto == Revision::START || sure == Some(upto) {
            return Ok(());
        }
        let Some(round) = self.store.due().await.map_err(unavailable)? else { return Ok(()) };
        if round.changed {
            self.settle_again(sure.unwrap_or_default(), upto).await?;
        }
        self.store.vouch(upto, &round).await.map_err(unavailable)?;
        Ok(())
    }

    /// Settles again what lies after `sure` and was settled once: a shard whose primary is another may have lost it.
    async fn settle_again(&self, sure: Revision, upto: Revision) -> Result<()> {
        let known = self.read().position();
        let mut cursor = sure;
        loop {
            let page = self.store.follow(Position { cursor, ..known }, PAGE).await.map_err(unavailable)?;
            self.settle_page(&page, |place| place <= upto).await?;
            match page.entries.last() {
                Some(last) if page.more && last.revision < upto => cursor = last.revision,
                _ => return Ok(()),
            }
        }
    }

    /// Settles what `is_meant` of a page, and answers how many entries those were.
    async fn settle_page(&self, page: &Followed, is_meant: impl Fn(Revision) -> bool) -> Result<u64> {
        // Of several that raise one target the highest is enough. Grants by themselves: their ids are as their callers say.
        let [mut grants, mut others] = [Floors::default(), Floors::default()];
        let mut count = 0_u64;
        for logged in page.entries.iter().filter(|logged| is_meant(logged.revision)) {
            if let Some(raised) = entry::decode(logged)? {
                let of_kind = if raised.kind == TargetKind::Grant { &mut grants } else { &mut others };
                of_kind.join(raised);
                count = count.saturating_add(1);
            }
        }
        let all = |floors: &Floors| (0..Floors::PARTS).flat_map(|part| floors.part(part)).collect::<Vec<_>>();
        let each = stream::iter(all(&grants).into_iter().chain(all(&others)).map(Ok));
        each.try_for_each_concurrent(AT_ONCE, async |raised| self.settle_one(&raised).await).await?;
        Ok(count)
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
                self.records.raise_floor(raised, keep_until).await?;
                // After the floor: who learns of a session reads that once he is known here.
                self.records.log_out(raised, &self.salt).await
            }
        }
    }

    async fn forget(&self) -> Result<()> {
        self.store.trim(self.clock.now().minus(self.horizon())).await.map_err(unavailable)?;
        let now = self.clock.run();
        let too_many = (self.read().floors().len() > self.terms.max_entries).then_some(now);
        let is_over = self.is_over();
        for part in 0..Floors::PARTS {
            // One part at a time, so that no introspection waits for the whole.
            self.write().forget(part, &is_over, too_many);
        }
        if self.read().dropped_for(now).is_some_and(|dropped| dropped > PARTIAL) {
            self.remember(&is_over).await?;
        }
        Ok(())
    }

    /// Takes in again what was dropped, where that has become few enough. The log is read aside, while the view goes on following: what
    /// comes in meanwhile is in the view, and nothing but this job drops.
    async fn remember(&self, is_over: impl Fn(&Raised) -> bool) -> Result<()> {
        let turn = self.read().turn();
        let Some((found, under)) = self.whole_log().await? else { return Ok(()) };
        for part in 0..Floors::PARTS {
            if !self.write().remember(under, turn, found.part(part).filter(|raised| !is_over(raised))) {
                return Ok(());
            }
        }
        if self.read().floors().len() <= self.terms.max_entries {
            self.write().whole_again();
        }
        Ok(())
    }
}

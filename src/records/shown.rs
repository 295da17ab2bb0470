//! Proofs that were shown and count once, whichever replica they are shown to: of DPoP (RFC 9449 section 11.1), and assertions (RFC 7523
//! section 3).

use crate::records::proto::ShownRecord;
use crate::records::{Records, name};
use jeton_domain::error::Result;
use jeton_domain::id::TargetId;
use jeton_domain::time::{Millis, Timestamp};

/// For so long a proof is remembered after it is too old: clocks of replicas differ, by less than this.
const MARGIN: Millis = Millis::from_secs(60);

impl Records {
    /// Counts a proof that is accepted until the given moment. False where it was counted before.
    ///
    /// # Errors
    /// `NotDurable`, the store. Whether it counted is not known then: it must not be accepted.
    pub async fn count_shown(&self, id: TargetId, until: Timestamp) -> Result<bool> {
        let (is_first, _) = self.create(name::shown(id), &ShownRecord {}, until.plus(MARGIN), &[]).await?;
        Ok(is_first)
    }
}

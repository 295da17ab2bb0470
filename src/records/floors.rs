//! Floor records: how high a target was raised, once the log may have forgotten it. Refresh and Issue read them.

use crate::records::codes::{kind, kind_code, reason, reason_code};
use crate::records::proto::FloorRecord;
use crate::records::{Decided, Records, Step, name};
use crate::store::{Durability, Name};
use bytes::Bytes;
use jeton_domain::error::Result;
use jeton_domain::floors::Raised;
use jeton_domain::id::TargetId;
use jeton_domain::revision::{Born, Revision};
use jeton_domain::time::Timestamp;

impl Records {
    /// Raises a target's floor record; never lowers it.
    ///
    /// # Errors
    /// The store.
    pub async fn raise_floor(&self, raised: &Raised, expires_at: Timestamp) -> Result<()> {
        let name = name::floor(raised.target);
        let loaded = self.read_one::<FloorRecord>(&name).await?;
        let Decided { answer: (), .. } = self
            .decide(
                &name,
                loaded,
                Durability::Replicated,
                |held, _| {
                    if held.is_some_and(|held| held.floor >= raised.floor().0) {
                        return Ok((Step::Confirm, ()));
                    }
                    Ok((Step::Write(encode(raised), Some(expires_at)), ()))
                },
                |()| Vec::new(),
            )
            .await?;
        Ok(())
    }

    /// The floor among `values` (read under the names of `targets`, in order) that kills what was born at `born`.
    ///
    /// # Errors
    /// `RecordUnreadable`, `RootKeyMissing`.
    pub fn killing_floor(&self, targets: &[TargetId], values: Vec<Option<Bytes>>, born: Born) -> Result<Option<Raised>> {
        for (target, value) in targets.iter().zip(values) {
            // Most targets have none: their names need not be spelled again.
            let Some(value) = value else { continue };
            if let Some(held) = self.open::<FloorRecord>(&name::floor(*target), Some(value))? {
                let raised = decode(*target, &held.value)?;
                if raised.floor().kills(born) {
                    return Ok(Some(raised));
                }
            }
        }
        Ok(None)
    }

    /// Reads the floor records of `targets` and answers the one that kills what was born at `born`.
    ///
    /// # Errors
    /// The store; `RecordUnreadable`, `RootKeyMissing`.
    pub async fn read_killing_floor(&self, targets: &[TargetId], born: Born) -> Result<Option<Raised>> {
        let values = self.read_raw(&names(targets)).await?;
        self.killing_floor(targets, values, born)
    }
}

/// The names of the floor records of `targets`, in order.
#[must_use]
pub fn names(targets: &[TargetId]) -> Vec<Name> {
    targets.iter().map(|target| name::floor(*target)).collect()
}

/// The record of a floor.
#[must_use]
pub fn encode(raised: &Raised) -> FloorRecord {
    FloorRecord {
        floor: raised.floor().0,
        at: raised.at.millis(),
        kind: kind_code(raised.kind).into(),
        reason: reason_code(raised.reason).into(),
    }
}

/// The floor of a record. Its place is known no more: it is in no log that a record would be read for.
///
/// # Errors
/// `RecordUnreadable`: a newer version wrote it.
pub fn decode(target: TargetId, record: &FloorRecord) -> Result<Raised> {
    Ok(Raised {
        target,
        kind: kind(record.kind)?,
        reason: reason(record.reason)?,
        at: Timestamp::from_millis(record.at),
        origin: Revision { micros: record.floor, random: 0 },
        place: Revision::START,
    })
}

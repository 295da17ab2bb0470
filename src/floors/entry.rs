//! The format of a log entry: 40 bytes, pinned by golden vectors.
//!
//! `version 1 | kind 1 | reason 1 | flags 1 | target 16 | floor 8 | at 6 | reserved 6`, big-endian. A floor of zero is the
//! entry's own place. More bytes may follow: a newer version's, not looked at.

use crate::records::codes::{kind, kind_code, reason, reason_code};
use crate::store::Logged;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use jeton_domain::error::{Error, Result};
use jeton_domain::floors::Raised;
use jeton_domain::id::TargetId;
use jeton_domain::revision::{Floor, Revision};
use jeton_domain::target::{Reason, TargetKind};
use jeton_domain::time::Timestamp;

const VERSION: u8 = 1;
const BYTES: usize = 40;

/// An entry that raises `target`, made at `at`.
#[must_use]
pub fn encode(target: TargetId, of: TargetKind, why: Reason, at: Timestamp) -> Bytes {
    let own_place = Floor(0);
    let floor = match of.floor(Revision::START) {
        Floor::INFINITE => Floor::INFINITE,
        _ => own_place,
    };
    let mut bytes = BytesMut::with_capacity(BYTES);
    bytes.put_u8(VERSION);
    bytes.put_u8(kind_code(of));
    bytes.put_u8(reason_code(why));
    bytes.put_u8(0);
    bytes.put_slice(&target.0);
    bytes.put_u64(floor.0);
    bytes.put_uint(at.millis().min((1 << 48) - 1), 6);
    bytes.put_uint(0, 6);
    bytes.freeze()
}

/// Reads an entry at its place.
///
/// # Errors
/// `RecordUnreadable`: garbled, or written by a newer version. What cannot be read is never skipped.
pub fn decode(logged: &Logged) -> Result<Raised> {
    let mut bytes = logged.entry.as_ref();
    if bytes.len() < BYTES || bytes.get_u8() != VERSION {
        return Err(Error::RecordUnreadable("a log entry is garbled or was written by a newer version".into()));
    }
    let kind = kind(bytes.get_u8().into())?;
    let reason = reason(bytes.get_u8().into())?;
    bytes.advance(1);
    let mut target = [0; 16];
    bytes.copy_to_slice(&mut target);
    let floor = match bytes.get_u64() {
        0 => Floor(logged.revision.micros),
        floor => Floor(floor),
    };
    let at = Timestamp::from_millis(bytes.get_uint(6));
    Ok(Raised { target: TargetId(target), floor, kind, reason, at, revision: logged.revision })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn an_entry_is_what_it_always_was() {
        let at = Timestamp::from_millis(0x0199_aabb_ccdd);
        let subject = encode(TargetId([0x11; 16]), TargetKind::Subject, Reason::AccountDisabled, at);
        assert_eq!(
            hex(&subject),
            "01040300111111111111111111111111111111110000000000000000\
             0199aabbccdd000000000000"
        );
        let key = encode(TargetId([0x22; 16]), TargetKind::SigningKey, Reason::Leaked, at);
        assert_eq!(
            hex(&key),
            "0107050022222222222222222222222222222222ffffffffffffffff\
             0199aabbccdd000000000000"
        );
    }

    #[test]
    fn an_entry_reads_back_with_its_own_place_as_floor() {
        let revision = Revision { micros: 77, random: 5 };
        let entry = encode(TargetId([3; 16]), TargetKind::Consent, Reason::ConsentWithdrawn, Timestamp::from_millis(9));
        let raised = decode(&Logged { revision, entry: entry.clone() }).unwrap();
        assert_eq!((raised.floor, raised.kind, raised.revision), (Floor(77), TargetKind::Consent, revision));
        for cut in 0..entry.len() {
            assert!(decode(&Logged { revision, entry: entry.slice(..cut) }).is_err());
        }
    }
}

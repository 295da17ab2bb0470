//! The format of a log entry: 40 bytes, 56 where it was put back; pinned by golden vectors.
//!
//! `version 1 | kind 1 | reason 1 | flags 1 | target 16 | floor 8 | at 6 | reserved 6 [| origin 16]`, big-endian. A floor of zero is
//! the entry's own place; the origin is there where the first flag is set. Kind zero is an era's marker. More bytes may follow: a newer
//! version's, not looked at.

use crate::records::codes::{kind, kind_code, reason, reason_code};
use crate::store::{Logged, MARKER};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use jeton_domain::error::{Error, Result};
use jeton_domain::floors::Raised;
use jeton_domain::id::TargetId;
use jeton_domain::revision::{Floor, Revision};
use jeton_domain::target::{Reason, TargetKind};
use jeton_domain::time::Timestamp;

const VERSION: u8 = 1;
const BYTES: usize = 40;
const ORIGIN_BYTES: usize = 16;
/// It was acknowledged elsewhere, in a log that lost it.
const PUT_BACK: u8 = 1;

/// An entry that raises `target`, made at `at`.
#[must_use]
pub fn encode(target: TargetId, of: TargetKind, why: Reason, at: Timestamp) -> Bytes {
    write(target, of, why, at, None)
}

/// An entry that puts back what the log has lost, with a lifetime that starts at `at`.
#[must_use]
pub fn put_back(lost: &Raised, at: Timestamp) -> Bytes {
    write(lost.target, lost.kind, lost.reason, at, Some(lost.origin))
}

fn write(target: TargetId, of: TargetKind, why: Reason, at: Timestamp, origin: Option<Revision>) -> Bytes {
    let own_place = Floor(0);
    let floor = match of.floor(origin.unwrap_or_default()) {
        Floor::INFINITE => Floor::INFINITE,
        floor => origin.map_or(own_place, |_| floor),
    };
    let mut bytes = BytesMut::with_capacity(BYTES + ORIGIN_BYTES);
    bytes.put_u8(VERSION);
    bytes.put_u8(kind_code(of));
    bytes.put_u8(reason_code(why));
    bytes.put_u8(if origin.is_some() { PUT_BACK } else { 0 });
    bytes.put_slice(&target.0);
    bytes.put_u64(floor.0);
    bytes.put_uint(at.millis().min((1 << 48) - 1), 6);
    bytes.put_uint(0, 6);
    if let Some(origin) = origin {
        bytes.put_u64(origin.micros);
        bytes.put_u64(origin.random);
    }
    bytes.freeze()
}

/// Reads an entry at its place; none for an era's marker, which raises nothing.
///
/// # Errors
/// `RecordUnreadable`: garbled, or written by a newer version. What cannot be read is never skipped.
pub fn decode(logged: &Logged) -> Result<Option<Raised>> {
    if logged.entry == MARKER[..] {
        return Ok(None);
    }
    let garbled = || Error::RecordUnreadable("a log entry is garbled or was written by a newer version".into());
    let place = logged.revision;
    let mut bytes = logged.entry.as_ref();
    if bytes.len() < BYTES || bytes.get_u8() != VERSION {
        return Err(garbled());
    }
    let kind = kind(bytes.get_u8().into())?;
    let reason = reason(bytes.get_u8().into())?;
    let flags = bytes.get_u8();
    let mut target = [0; 16];
    bytes.copy_to_slice(&mut target);
    let floor = bytes.get_u64();
    let at = Timestamp::from_millis(bytes.get_uint(6));
    bytes.advance(6);
    let origin = match flags & PUT_BACK {
        0 => place,
        _ if bytes.len() < ORIGIN_BYTES => return Err(garbled()),
        _ => Revision { micros: bytes.get_u64(), random: bytes.get_u64() },
    };
    let raised = Raised { target: TargetId(target), kind, reason, at, origin, place };
    // What it says and what it means must be the same to every reader.
    if floor != 0 && Floor(floor) != raised.floor() { Err(garbled()) } else { Ok(Some(raised)) }
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
        let raised = decode(&Logged { revision, entry: entry.clone() }).unwrap().unwrap();
        assert_eq!((raised.floor(), raised.kind, raised.place), (Floor(77), TargetKind::Consent, revision));
        for cut in 0..entry.len() {
            assert!(decode(&Logged { revision, entry: entry.slice(..cut) }).is_err());
        }
    }

    #[test]
    fn what_is_put_back_keeps_its_origin() {
        let origin = Revision { micros: 0x77, random: 0x55 };
        let (target, kind, reason) = (TargetId([3; 16]), TargetKind::Subject, Reason::SignOut);
        let lost = Raised { target, kind, reason, at: Timestamp::from_millis(9), origin, place: origin };
        let entry = put_back(&lost, Timestamp::from_millis(0x0199_aabb_ccdd));
        assert_eq!(
            hex(&entry),
            "01040101030303030303030303030303030303030000000000000077\
             0199aabbccdd0000000000000000000000000077000000000000005\
             5"
        );
        let place = Revision { micros: 900, random: 1 };
        let raised = decode(&Logged { revision: place, entry: entry.clone() }).unwrap().unwrap();
        assert_eq!(raised, Raised { at: Timestamp::from_millis(0x0199_aabb_ccdd), place, ..lost });
        for cut in 0..entry.len() {
            assert!(decode(&Logged { revision: place, entry: entry.slice(..cut) }).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_marker_raises_nothing() {
        let marker = Logged { revision: Revision { micros: 1, random: 1 }, entry: Bytes::from_static(&MARKER) };
        assert_eq!(decode(&marker), Ok(None));
    }
}

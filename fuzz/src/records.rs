//! What is read from the store: records once opened (`records`), entries of the log (`floors::entry`).

use bytes::Bytes;
use jeton::floors::entry;
use jeton::records::proto::{DeviceRecord, FloorRecord, GrantRecord};
use jeton::records::{devices, floors, grants, registered};
use jeton::store::Logged;
use jeton_domain::id::{GrantId, TargetId};
use jeton_domain::revision::Revision;
use jeton_domain::time::Timestamp;
use prost::Message as _;

const ID: GrantId = GrantId([7; 16]);

/// A grant that is read is written so that it reads back whole.
pub fn read_grant(data: &[u8]) {
    let Ok(record) = GrantRecord::decode(data) else { return };
    let Ok(known) = grants::decode(ID, &record) else { return };
    let Some(grant) = known.grant() else { return };
    let written = grants::encode(grant).encode_to_vec();
    let again = GrantRecord::decode(written.as_slice()).ok().and_then(|record| grants::decode(ID, &record).ok());
    assert_eq!(again.as_ref(), Some(&known));
    let once_more = again.as_ref().and_then(|known| known.grant()).map(|grant| grants::encode(grant).encode_to_vec());
    assert_eq!(once_more, Some(written), "one spelling for each grant");
}

/// So is a device authorization.
pub fn read_device(data: &[u8]) {
    let Ok(record) = DeviceRecord::decode(data) else { return };
    let Ok(known) = devices::decode(&record) else { return };
    let written = devices::encode(&known).encode_to_vec();
    let again = DeviceRecord::decode(written.as_slice()).ok().and_then(|record| devices::decode(&record).ok());
    assert_eq!(again, Some(known));
}

/// A client or resource that is registered, too: which of both the first byte says.
pub fn read_registered(data: &[u8]) {
    match data.split_first() {
        Some((0, body)) => {
            let Ok(known) = registered::client("till", body) else { return };
            let again = registered::client("till", &registered::client_record(&known));
            assert_eq!(again.as_ref(), Ok(&known));
        }
        Some((_, body)) => {
            let Ok(known) = registered::resource("https://shop.internal", body) else { return };
            let again = registered::resource("https://shop.internal", &registered::resource_record(&known));
            assert_eq!(again.as_ref(), Ok(&known));
        }
        None => {}
    }
}

/// A floor that is read is as high as the record says, or higher, and stays so.
pub fn read_floor(data: &[u8]) {
    let Ok(record) = FloorRecord::decode(data) else { return };
    let target = TargetId([3; 16]);
    let Ok(raised) = floors::decode(target, &record) else { return };
    assert!(raised.floor().0 >= record.floor, "a floor is never lowered");
    let written = floors::encode(&raised);
    let again = floors::decode(target, &written).ok();
    let same = again.map(|again| (again.target, again.kind, again.reason, again.at, again.floor()));
    assert_eq!(same, Some((target, raised.kind, raised.reason, raised.at, raised.floor())));
    assert_eq!(again.map(|again| floors::encode(&again)), Some(written), "one spelling for each floor");
}

/// An entry that is read at a place is put back so that it raises the same floor, wherever it comes to stand.
pub fn read_entry(data: &[u8]) {
    let mut rest = data;
    let Some((place, entry)) = rest.split_first_chunk::<16>() else { return };
    rest = entry;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let (micros, random) = place.split_at(8);
    let revision = Revision { micros: number(micros), random: number(random) };
    let logged = Logged { revision, entry: Bytes::copy_from_slice(rest) };
    let Ok(Some(raised)) = entry::decode(&logged) else { return };
    let elsewhere = Revision { micros: revision.micros.saturating_add(1), random: 0 };
    let back = Logged { revision: elsewhere, entry: entry::put_back(&raised, Timestamp::from_secs(1)) };
    let again = entry::decode(&back).ok().flatten();
    let same = again.map(|again| (again.target, again.kind, again.reason, again.origin, again.place));
    assert_eq!(same, Some((raised.target, raised.kind, raised.reason, raised.origin, elsewhere)));
}

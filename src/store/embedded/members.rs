//! A list as it lies in the file: its members in order, packed into one value. Pure.
//!
//! A list has few members (grants of a subject), so one read and one write of the whole cost less than a tree entry for each of them.

use crate::store::{Add, Member};
use bytes::{Buf as _, BufMut as _, Bytes};
use jeton_domain::time::Timestamp;

/// Packs members: expiry (8 bytes), length (4), the member.
pub(super) fn pack(members: &[Member]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(members.iter().map(|member| 12 + member.bytes.len()).sum());
    for member in members {
        packed.put_u64(member.expires_at.millis());
        packed.put_u32(u32::try_from(member.bytes.len()).unwrap_or(u32::MAX));
        packed.put_slice(&member.bytes);
    }
    packed
}

/// Reads what `pack` wrote; none if it is anything else.
pub(super) fn unpack(packed: &[u8]) -> Option<Vec<Member>> {
    let mut rest = Bytes::copy_from_slice(packed);
    let mut members = Vec::new();
    while rest.has_remaining() {
        let expires_at = Timestamp::from_millis(rest.try_get_u64().ok()?);
        let length = usize::try_from(rest.try_get_u32().ok()?).ok()?;
        let bytes = (length <= rest.len()).then(|| rest.split_to(length))?;
        members.push(Member { bytes, expires_at });
    }
    Some(members)
}

/// The list with a member added and without what expired.
pub(super) fn add(mut members: Vec<Member>, add: &Add, now: Timestamp) -> Vec<Member> {
    members.retain(|member| member.expires_at > now && member.bytes != add.member.bytes);
    if add.member.expires_at > now {
        let place = members.partition_point(|member| order(member) < order(&add.member));
        members.insert(place, add.member.clone());
    }
    members
}

/// What is more than the caps allow once a member was added, earliest first: never the one added.
pub(super) fn surplus(mut members: Vec<Member>, add: &Add) -> Vec<Member> {
    let group = add.member.bytes.get(..add.group_bytes).unwrap_or(&add.member.bytes);
    let in_all = members.len();
    let in_group = members.iter().filter(|member| member.bytes.starts_with(group)).count();
    let mut earliest = |too_many: usize, of: &[u8]| -> Vec<Member> {
        let is_one = |member: &mut Member| member.bytes.starts_with(of) && member.bytes != add.member.bytes;
        members.extract_if(.., is_one).take(too_many).collect()
    };
    let mut surplus = earliest(in_group.saturating_sub(add.group_cap), group);
    let left = in_all.saturating_sub(surplus.len());
    surplus.extend(earliest(left.saturating_sub(add.list_cap), &[]));
    surplus.sort_by(|a, b| order(a).cmp(&order(b)));
    surplus
}

/// What is left of the list without those members and without what expired.
pub(super) fn remove(mut members: Vec<Member>, gone: &[Bytes], now: Timestamp) -> Vec<Member> {
    members.retain(|member| member.expires_at > now && !gone.contains(&member.bytes));
    members
}

/// At most `limit` members that come after the given one and have not expired.
pub(super) fn page(members: Vec<Member>, after: Option<&Member>, limit: usize, now: Timestamp) -> Vec<Member> {
    let comes_after = |member: &Member| after.is_none_or(|after| order(member) > order(after));
    members.into_iter().filter(|member| member.expires_at > now && comes_after(member)).take(limit).collect()
}

fn order(member: &Member) -> (Timestamp, &[u8]) {
    (member.expires_at, &member.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(text: &'static str, expires_at: u64) -> Member {
        Member { bytes: Bytes::from_static(text.as_bytes()), expires_at: Timestamp::from_millis(expires_at) }
    }

    #[test]
    fn packed_members_come_back_and_anything_else_is_refused() {
        let members = vec![member("a1", 1), member("", 2), member("b", 3)];
        let packed = pack(&members);
        assert_eq!(unpack(&packed), Some(members));
        assert_eq!(unpack(&[]), Some(Vec::new()));
        for cut in [1, 8, 11, 13, packed.len() - 1] {
            assert_eq!(unpack(&packed[..cut]), None, "cut at {cut}");
        }
    }
}

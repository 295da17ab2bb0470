//! Which slot of a cluster a key is in. Not who serves it (`cluster`).

/// How many slots a cluster has.
pub(super) const SLOTS: usize = 16_384;

/// The slot of a key: of its hash tag, where it has one (Redis Cluster specification, "Hash tags").
pub(super) fn of(key: &str) -> usize {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag).filter(|tag| !tag.is_empty());
    usize::from(crc16(tag.unwrap_or(key).as_bytes())) % SLOTS
}

/// CRC-16/XMODEM: polynomial 0x1021, from zero.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _bit| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(of("foo"), 12_182);
        assert_eq!(of("foo{}{bar}"), of("foo{}{bar}".trim()), "an empty tag is none");
        assert_eq!(usize::from(crc16(b"foo{}{bar}")) % SLOTS, of("foo{}{bar}"));
        for (key, tag) in [("{user1000}.following", "user1000"), ("foo{{bar}}zap", "{bar"), ("foo{bar}{zap}", "bar")] {
            assert_eq!(of(key), of(tag), "{key}");
        }
        assert_eq!(of("jeton:{log}:settled"), of("jeton:{log}"));
    }
}

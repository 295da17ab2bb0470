//! Hexadecimal text of 32 bytes: root keys, and hashes as settings name them (`sha256:` and 64 digits).

use zeroize::Zeroizing;

/// How the text of a hash begins.
const SHA_256: &str = "sha256:";

/// The text of a SHA-256 hash.
#[must_use]
pub fn written_hash(hash: &[u8; 32]) -> String {
    format!("{SHA_256}{}", encode_32(hash).as_str())
}

/// Reads the text of a SHA-256 hash.
#[must_use]
pub fn hash(text: &str) -> Option<[u8; 32]> {
    text.strip_prefix(SHA_256).and_then(decode_32)
}

/// 64 hexadecimal digits, in lower case. Wiped when dropped, for they may be a key.
#[must_use]
pub fn encode_32(bytes: &[u8; 32]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(64));
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0xf] {
            text.extend(char::from_digit(nibble.into(), 16));
        }
    }
    text
}

/// The bytes of exactly 64 hexadecimal digits, of either case.
#[must_use]
pub fn decode_32(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

const fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

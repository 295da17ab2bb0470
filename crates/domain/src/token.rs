//! The formats of the tokens we hand out: what is in them, and how they are told apart. Nothing here proves a token genuine.
//!
//! Lives here: prefixes, fields, encoding, checksum, strict reading. Must not live here: keys and tags (the service's
//! `tokens` makes and compares them), JWT claims, and what a token is worth.
//!
//! The prefix and the checksum let a secret scanner find a leaked token offline; the checksum proves nothing.

use crate::grant::Grant;
use crate::id::{Generation, GrantId, KeyId};
use crate::name::ResourceId;
use crate::scope::Scopes;
use crate::secret::SecretText;
use crate::time::{Millis, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use zeroize::Zeroizing;

/// The longest token that is looked at, in bytes.
pub const MAX_BYTES: usize = 16 * 1024;
/// The prefix of a refresh token.
pub const REFRESH_PREFIX: &str = "jrt_";
/// The prefix of an authorization code.
pub const CODE_PREFIX: &str = "jac_";
/// The prefix of an opaque access token.
pub const OPAQUE_PREFIX: &str = "jat_";
/// The prefix of a device code.
pub const DEVICE_PREFIX: &str = "jdc_";
/// The format version that is written and read.
pub const VERSION: u8 = 1;

const NUMBERED_BYTES: usize = 1 + 4 + 16 + 4 + 32 + 4;
const OPAQUE_BYTES: usize = 1 + 4 + 16 + 4 + 5 + 3 + 8 + 2 + 8 + 16 + 4;
const MAX_U40: u64 = (1 << 40) - 1;
const MAX_U24: u64 = (1 << 24) - 1;

/// Which of the two numbered tokens it is. They have one layout and differ in prefix and in the label of their tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NumberedKind {
    /// A refresh token, generation 1 and up.
    Refresh,
    /// An authorization code: generation 0 of its grant.
    Code,
}

/// A refresh token or an authorization code, as read. `Debug` leaves the tag out.
#[derive(Clone, PartialEq, Eq)]
pub struct Numbered {
    /// Which.
    pub kind: NumberedKind,
    /// The root key that its tag was made under.
    pub key: KeyId,
    /// The grant it belongs to.
    pub grant: GrantId,
    /// Its number under the grant.
    pub generation: Generation,
    /// HMAC-SHA-256; proves it together with the grant's nonce.
    pub tag: [u8; 32],
}

/// An opaque access token, as read. `Debug` leaves the tag out.
#[derive(Clone, PartialEq, Eq)]
pub struct Opaque {
    /// The root key that its tag was made under.
    pub key: KeyId,
    /// The grant it belongs to.
    pub grant: GrantId,
    /// The generation of the grant that it was handed out with.
    pub generation: Generation,
    /// When it was issued, in whole seconds below 2^40.
    pub issued_at: Timestamp,
    /// How long it is valid, in whole seconds below 2^24 (194 days).
    pub lifetime: Millis,
    /// Bit i: the i-th scope of the grant.
    pub scope_bits: u64,
    /// Bit i: the i-th resource of the grant.
    pub resource_bits: u16,
    /// Random; makes its `jti` its own.
    pub random: [u8; 8],
    /// The first half of an HMAC-SHA-256; proves it together with the grant's nonce.
    pub tag: [u8; 16],
}

/// What a text looks like. None of it is proved.
#[derive(Clone, PartialEq, Eq)]
pub enum Presented<'a> {
    /// A refresh token or an authorization code.
    Numbered(Numbered),
    /// An opaque access token.
    Opaque(Opaque),
    /// Three parts of base64url between dots: a compact JWS (RFC 7515 section 3.1).
    Jws(&'a str),
    /// A device code, by its prefix and alphabet.
    Device,
    /// Nothing of ours.
    Unknown,
}

/// Tells what a presented text is. Strict: only the exact form that `encode` writes is read; everything else is `Unknown`.
#[must_use]
pub fn parse(text: &str) -> Presented<'_> {
    if text.len() > MAX_BYTES {
        return Presented::Unknown;
    }
    let known = if let Some(body) = text.strip_prefix(REFRESH_PREFIX) {
        Numbered::parse(NumberedKind::Refresh, body).map(Presented::Numbered)
    } else if let Some(body) = text.strip_prefix(CODE_PREFIX) {
        Numbered::parse(NumberedKind::Code, body).map(Presented::Numbered)
    } else if let Some(body) = text.strip_prefix(OPAQUE_PREFIX) {
        Opaque::parse(body).map(Presented::Opaque)
    } else if let Some(body) = text.strip_prefix(DEVICE_PREFIX) {
        is_base64url(body).then_some(Presented::Device)
    } else {
        is_compact_jws(text).then_some(Presented::Jws(text))
    };
    known.unwrap_or(Presented::Unknown)
}

impl NumberedKind {
    /// The prefix of its text.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Refresh => REFRESH_PREFIX,
            Self::Code => CODE_PREFIX,
        }
    }
}

impl Numbered {
    /// How long its text is.
    pub const CHARACTERS: usize = REFRESH_PREFIX.len() + (NUMBERED_BYTES * 4).div_ceil(3);

    /// The bytes that the tag covers: all before it.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(NUMBERED_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.key.0);
        bytes.extend_from_slice(&self.grant.0);
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes
    }

    /// The text that is handed out.
    #[must_use]
    pub fn encode(&self) -> SecretText {
        let mut bytes = Zeroizing::new(self.body());
        bytes.extend_from_slice(&self.tag);
        finish(self.kind.prefix(), bytes)
    }

    /// Reads what comes after the prefix.
    fn parse(kind: NumberedKind, text: &str) -> Option<Self> {
        let bytes = decode::<NUMBERED_BYTES>(text)?;
        let mut rest = checked(bytes.as_slice())?;
        let token = Self {
            kind,
            key: KeyId(take(&mut rest)?),
            grant: GrantId(take(&mut rest)?),
            generation: u32::from_be_bytes(take(&mut rest)?),
            tag: take(&mut rest)?,
        };
        rest.is_empty().then_some(token)
    }
}

impl Opaque {
    /// The longest lifetime that it can say.
    pub const MAX_LIFETIME: Millis = Millis::from_secs(MAX_U24);
    /// How long its text is.
    pub const CHARACTERS: usize = OPAQUE_PREFIX.len() + (OPAQUE_BYTES * 4).div_ceil(3);

    /// When it expires.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.issued_at.plus(self.lifetime)
    }

    /// The bits of some of a grant's scopes; none where one is not the grant's or is beyond the 64th.
    #[must_use]
    pub fn bits_of_scopes(grant: &Grant, scopes: &Scopes) -> Option<u64> {
        scopes.iter().try_fold(0_u64, |bits, scope| {
            let place = grant.scopes.iter().position(|held| held == scope)?;
            Some(bits | 1_u64.checked_shl(u32::try_from(place).ok()?)?)
        })
    }

    /// The bits of some of a grant's resources; none where one is not the grant's or is beyond the 16th.
    #[must_use]
    pub fn bits_of_resources(grant: &Grant, resources: &[ResourceId]) -> Option<u16> {
        resources.iter().try_fold(0_u16, |bits, resource| {
            let place = grant.resources.iter().position(|held| held == resource)?;
            Some(bits | 1_u16.checked_shl(u32::try_from(place).ok()?)?)
        })
    }

    /// The scopes it was issued for, in the grant's order; none where a bit points past the grant's list.
    #[must_use]
    pub fn scopes(&self, grant: &Grant) -> Option<Scopes> {
        let pointed = pointed(self.scope_bits, grant.scopes.iter())?;
        Some(pointed.into_iter().map(Into::into).collect())
    }

    /// The resources it was issued for, in the grant's order; none where a bit points past the grant's list.
    #[must_use]
    pub fn resources(&self, grant: &Grant) -> Option<Vec<ResourceId>> {
        let pointed = pointed(self.resource_bits.into(), grant.resources.iter())?;
        Some(pointed.into_iter().cloned().collect())
    }

    /// The bytes that the tag covers: all before it. Times are cut to whole seconds and to what their fields hold.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(OPAQUE_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.key.0);
        bytes.extend_from_slice(&self.grant.0);
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        let [_, _, _, issued_at @ ..] = self.issued_at.secs().min(MAX_U40).to_be_bytes();
        bytes.extend_from_slice(&issued_at);
        let [_, _, _, _, _, lifetime @ ..] = self.lifetime.secs().min(MAX_U24).to_be_bytes();
        bytes.extend_from_slice(&lifetime);
        bytes.extend_from_slice(&self.scope_bits.to_be_bytes());
        bytes.extend_from_slice(&self.resource_bits.to_be_bytes());
        bytes.extend_from_slice(&self.random);
        bytes
    }

    /// The text that is handed out.
    #[must_use]
    pub fn encode(&self) -> SecretText {
        let mut bytes = Zeroizing::new(self.body());
        bytes.extend_from_slice(&self.tag);
        finish(OPAQUE_PREFIX, bytes)
    }

    /// Reads what comes after the prefix.
    fn parse(text: &str) -> Option<Self> {
        let bytes = decode::<OPAQUE_BYTES>(text)?;
        let mut rest = checked(bytes.as_slice())?;
        let token = Self {
            key: KeyId(take(&mut rest)?),
            grant: GrantId(take(&mut rest)?),
            generation: u32::from_be_bytes(take(&mut rest)?),
            issued_at: Timestamp::from_secs(number::<5>(&mut rest)?),
            lifetime: Millis::from_secs(number::<3>(&mut rest)?),
            scope_bits: u64::from_be_bytes(take(&mut rest)?),
            resource_bits: u16::from_be_bytes(take(&mut rest)?),
            random: take(&mut rest)?,
            tag: take(&mut rest)?,
        };
        rest.is_empty().then_some(token)
    }
}

/// Appends the checksum and writes the text.
fn finish(prefix: &str, mut bytes: Zeroizing<Vec<u8>>) -> SecretText {
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_be_bytes());
    let mut text = String::with_capacity(prefix.len() + bytes.len().div_ceil(3) * 4);
    text.push_str(prefix);
    URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
    SecretText::new(text)
}

/// Exactly `N` bytes of canonical base64url without padding (RFC 4648 section 5; section 3.5: trailing bits zero).
fn decode<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    if text.len() != (N * 4).div_ceil(3) {
        return None;
    }
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}

/// What lies between the version and the checksum, where both are right.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (before, checksum) = bytes.split_last_chunk::<4>()?;
    let (version, fields) = before.split_first()?;
    (*version == VERSION && crc32fast::hash(before) == u32::from_be_bytes(*checksum)).then_some(fields)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

fn number<const N: usize>(rest: &mut &[u8]) -> Option<u64> {
    let bytes = take::<N>(rest)?;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// What the bits point at; none where one points past the list.
fn pointed<T>(mut bits: u64, list: impl Iterator<Item = T>) -> Option<Vec<T>> {
    let mut pointed = Vec::new();
    for item in list {
        if bits & 1 == 1 {
            pointed.push(item);
        }
        bits >>= 1;
    }
    (bits == 0).then_some(pointed)
}

fn is_base64url(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn is_compact_jws(text: &str) -> bool {
    let mut parts = text.split('.');
    let three = [parts.next(), parts.next(), parts.next()].into_iter().all(|part| part.is_some_and(is_base64url));
    three && parts.next().is_none()
}

impl fmt::Debug for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Numbered")
            .field("kind", &self.kind)
            .field("key", &self.key)
            .field("grant", &self.grant)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opaque")
            .field("key", &self.key)
            .field("grant", &self.grant)
            .field("generation", &self.generation)
            .field("issued_at", &self.issued_at)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbered(token) => token.fmt(f),
            Self::Opaque(token) => token.fmt(f),
            Self::Jws(_) => f.write_str("Jws(..)"),
            Self::Device => f.write_str("Device"),
            Self::Unknown => f.write_str("Unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(kind: NumberedKind) -> Numbered {
        Numbered { kind, key: KeyId([0xA1; 4]), grant: GrantId([0xB2; 16]), generation: 7, tag: [0xC3; 32] }
    }

    fn opaque() -> Opaque {
        Opaque {
            key: KeyId([0xA1; 4]),
            grant: GrantId([0xB2; 16]),
            generation: u32::MAX,
            issued_at: Timestamp::from_secs(1_700_000_000),
            lifetime: Millis::from_secs(300),
            scope_bits: 0b101,
            resource_bits: 1 << 15,
            random: [0xD4; 8],
            tag: [0xE5; 16],
        }
    }

    fn texts() -> [String; 3] {
        [
            numbered(NumberedKind::Refresh).encode().expose().to_owned(),
            numbered(NumberedKind::Code).encode().expose().to_owned(),
            opaque().encode().expose().to_owned(),
        ]
    }

    #[test]
    fn what_is_encoded_reads_back() {
        for kind in [NumberedKind::Refresh, NumberedKind::Code] {
            let token = numbered(kind);
            assert_eq!(parse(token.encode().expose()), Presented::Numbered(token));
        }
        assert_eq!(parse(opaque().encode().expose()), Presented::Opaque(opaque()));
    }

    #[test]
    fn golden_encodings() {
        let [refresh, code, opaque] = texts();
        assert_eq!(refresh, "jrt_AaGhoaGysrKysrKysrKysrKysrKyAAAAB8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDdjbUyQ");
        assert_eq!(code, "jac_AaGhoaGysrKysrKysrKysrKysrKyAAAAB8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDdjbUyQ");
        assert_eq!(opaque, "jat_AaGhoaGysrKysrKysrKysrKysrKy_____wBlU_EAAAEsAAAAAAAAAAWAANTU1NTU1NTU5eXl5eXl5eXl5eXl5eXl5TYujyg");
    }

    #[test]
    fn every_flipped_bit_is_unknown() {
        for text in texts() {
            for at in 0..text.len() * 8 {
                let mut bytes = text.clone().into_bytes();
                bytes[at / 8] ^= 1 << (at % 8);
                let flipped = String::from_utf8_lossy(&bytes);
                assert_eq!(parse(&flipped), Presented::Unknown, "bit {at} of {text}");
            }
        }
    }

    #[test]
    fn every_other_length_is_unknown() {
        for text in texts() {
            for length in 0..text.len() {
                assert_eq!(parse(text.get(..length).unwrap()), Presented::Unknown, "{length} bytes of {text}");
            }
            for suffix in ["A", "=", "==", " ", "\n", "\0", "."] {
                assert_eq!(parse(&format!("{text}{suffix}")), Presented::Unknown);
                assert_eq!(parse(&format!("{suffix}{text}")), Presented::Unknown);
            }
        }
    }

    #[test]
    fn another_version_is_unknown_though_its_checksum_is_right() {
        let mut bytes = Zeroizing::new(numbered(NumberedKind::Refresh).body());
        bytes[0] = 2;
        bytes.extend_from_slice(&[0; 32]);
        assert_eq!(parse(finish(REFRESH_PREFIX, bytes).expose()), Presented::Unknown);
    }

    #[test]
    fn a_body_under_the_prefix_of_another_layout_is_unknown() {
        let [refresh, _, opaque] = texts();
        assert_eq!(parse(&refresh.replacen("jrt_", "jat_", 1)), Presented::Unknown);
        assert_eq!(parse(&opaque.replacen("jat_", "jrt_", 1)), Presented::Unknown);
    }

    #[test]
    fn padding_standard_alphabet_and_trailing_bits_are_unknown() {
        let text = texts()[0].clone();
        // 61 bytes end in a character of which four bits must be zero.
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let (before, last) = text.split_at(text.len() - 1);
        let value = alphabet.find(last).unwrap();
        for trailing in 1..16 {
            let other = char::from(alphabet.as_bytes()[value + trailing]);
            assert_eq!(parse(&format!("{before}{other}")), Presented::Unknown);
        }
        assert_eq!(parse(&text.replace('-', "+").replace('_', "/")), Presented::Unknown);
    }

    #[test]
    fn others_are_told_by_their_look() {
        assert_eq!(parse("eyJh.eyJi.c2ln"), Presented::Jws("eyJh.eyJi.c2ln"));
        assert_eq!(parse("jdc_abcDEF"), Presented::Device);
        for unknown in [
            "", ".", "..", "a.b", "a.b.", ".b.c", "a..c", "a.b.c.d", "a.b.c=", "a b.c.d", "jdc_", "jdc_a b", "jrt_", "JRT_a", "ä",
        ] {
            assert_eq!(parse(unknown), Presented::Unknown, "{unknown:?}");
        }
        assert_eq!(parse(&format!("a.b.{}", "c".repeat(MAX_BYTES))), Presented::Unknown);
        assert!(matches!(parse(&format!("a.b.{}", "c".repeat(MAX_BYTES - 4))), Presented::Jws(_)));
    }

    #[test]
    fn times_beyond_their_fields_are_cut_and_stay_readable() {
        let mut token = opaque();
        token.issued_at = Timestamp::from_millis(u64::MAX);
        token.lifetime = Opaque::MAX_LIFETIME.plus(Millis::from_secs(1));
        let Presented::Opaque(read) = parse(token.encode().expose()) else { panic!("an opaque token") };
        assert_eq!(read.lifetime, Opaque::MAX_LIFETIME);
        assert_eq!(read.body(), token.body());
    }

    #[test]
    fn debug_shows_no_tag_and_no_token() {
        let shown = format!("{:?} {:?} {:?}", numbered(NumberedKind::Code), opaque(), parse("eyJh.eyJi.c2ln"));
        assert!(!shown.contains("tag") && !shown.contains("195") && !shown.contains("229") && !shown.contains("eyJ"), "{shown}");
    }
}

//! Mutations of what is derived or random: refresh tokens, authorization codes, opaque access tokens, device codes. No tests here.

use super::forge::{b64, unb64, with_trailing_bit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jeton::api::Cause::{self, Malformed, NotGenuine, Unknown};
use std::ops::Range;

/// A field of a layout, where it is, and what a token is whose field is another, the checksum mended.
pub type Field = (&'static str, Range<usize>, Cause);

/// Of refresh tokens and authorization codes.
pub const NUMBERED: &[Field] = &[
    ("version", 0..1, Malformed),
    ("root key", 1..5, NotGenuine),
    ("grant", 5..21, Unknown),
    ("generation", 21..25, NotGenuine),
    ("tag", 25..57, NotGenuine),
];

/// Of opaque access tokens.
pub const OPAQUE: &[Field] = &[
    ("version", 0..1, Malformed),
    ("root key", 1..5, NotGenuine),
    ("grant", 5..21, Unknown),
    ("generation", 21..25, NotGenuine),
    ("time of issue", 25..30, NotGenuine),
    ("lifetime", 30..33, NotGenuine),
    ("scopes", 33..41, NotGenuine),
    ("resources", 41..43, NotGenuine),
    ("random", 43..51, NotGenuine),
    ("tag", 51..67, NotGenuine),
];

/// The generation in either layout.
const GENERATION: Range<usize> = 21..25;

/// A valid token, and one of the same kind of another grant.
pub struct Derived {
    pub text: String,
    pub other: String,
    pub fields: &'static [Field],
}

/// A mutation: its name, what it is, and why it is refused.
pub type Mutation = (String, String, Cause);

/// With the checksum that belongs to it.
fn checked(prefix: &str, body: &[u8]) -> String {
    format!("{prefix}{}", b64([body, &crc32(body)].concat()))
}

/// CRC-32 as everybody knows it (ISO 3309), a bit at a time.
fn crc32(bytes: &[u8]) -> [u8; 4] {
    let shift = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), shift));
    (!crc).to_be_bytes()
}

impl Derived {
    fn prefix(&self) -> &str {
        self.text.split_at(4).0
    }

    /// Without the checksum.
    fn body(text: &str) -> Vec<u8> {
        let mut bytes = unb64(text.split_at(4).1);
        bytes.truncate(bytes.len() - 4);
        bytes
    }

    /// With some bytes changed, the checksum mended.
    fn with(&self, range: Range<usize>, change: impl FnOnce(&mut [u8])) -> String {
        let mut body = Self::body(&self.text);
        change(&mut body[range]);
        checked(self.prefix(), &body)
    }

    /// All of them.
    pub fn mutations(&self) -> Vec<Mutation> {
        let mut all = self.of_fields();
        all.extend(self.of_generation());
        let cut = |by: usize| self.text.split_at(self.text.len() - by).0.to_owned();
        let body = self.text.split_at(4).1;
        let mut bytes = unb64(body);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let mine = Self::body(&self.text);
        let malformed = [
            ("checksum flipped", format!("{}{}", self.prefix(), b64(&bytes))),
            ("checksum missing", format!("{}{}", self.prefix(), b64(&mine))),
            ("a byte more, checksum right", checked(self.prefix(), &[&mine[..], &[0]].concat())),
            ("a byte less, checksum right", checked(self.prefix(), &mine[..mine.len() - 1])),
            ("a character less", cut(1)),
            ("four characters less", cut(4)),
            ("cut in the middle", cut(self.text.len() / 2)),
            ("a character more", format!("{}A", self.text)),
            ("four characters more", format!("{}AAAA", self.text)),
            ("not canonical", with_trailing_bit(&self.text)),
            ("padded", format!("{}==", self.text)),
            ("standard alphabet", format!("{}{}", self.prefix(), Self::in_standard_alphabet(&mine))),
            ("all in upper case", self.text.to_uppercase()),
            ("all in lower case", self.text.to_lowercase()),
            ("prefix in upper case", format!("{}{body}", self.prefix().to_uppercase())),
            ("prefix twice", format!("{}{}", self.prefix(), self.text)),
            ("prefix missing", body.to_owned()),
            ("prefix of nothing of ours", format!("jxx_{body}")),
            ("prefix with a minus", self.text.replacen('_', "-", 1)),
            ("a space at the front", format!(" {}", self.text)),
            ("a space at the end", format!("{} ", self.text)),
            ("a newline at the end", format!("{}\n", self.text)),
            ("a NUL at the end", format!("{}\0", self.text)),
            ("a space of no width inside", self.text.replacen('_', "_\u{200b}", 1)),
            ("in quotes", format!("\"{}\"", self.text)),
            ("percent-encoded", self.text.replacen('_', "%5F", 1)),
            ("the scheme at the front", format!("Bearer {}", self.text)),
            ("twice, with a comma", format!("{0},{0}", self.text)),
            ("of another layout", self.as_another_layout()),
        ];
        all.extend(malformed.map(|(name, text)| (name.to_owned(), text, Malformed)));
        let tag = self.fields.last().unwrap().1.clone();
        let theirs = Self::body(&self.other);
        let from_other = |range: Range<usize>| self.with(range.clone(), |bytes| bytes.copy_from_slice(&theirs[range]));
        let forged = [
            ("tag of zeros", self.with(tag.clone(), |bytes| bytes.fill(0))),
            ("tag of ones", self.with(tag.clone(), |bytes| bytes.fill(0xff))),
            ("tag of another grant", from_other(tag)),
            ("grant of another", from_other(5..21)),
            ("another root key's name", self.with(1..5, |bytes| bytes.fill(0xee))),
        ];
        all.extend(forged.map(|(name, text)| (name.to_owned(), text, NotGenuine)));
        all.push(("grant of nobody".into(), self.with(5..21, |bytes| bytes.fill(0)), Unknown));
        all
    }

    fn of_fields(&self) -> Vec<Mutation> {
        let mut all = Vec::new();
        for (field, range, cause) in self.fields {
            for (which, at) in [("first", range.start), ("last", range.end - 1)] {
                if which == "last" && range.len() == 1 {
                    continue;
                }
                let flipped = self.with(at..at + 1, |byte| byte[0] ^= 1);
                all.push((format!("a bit of the {which} byte of {field}, checksum right"), flipped, *cause));
                let mut bytes = unb64(self.text.split_at(4).1);
                bytes[at] ^= 0x80;
                let flipped = format!("{}{}", self.prefix(), b64(bytes));
                all.push((format!("a bit of the {which} byte of {field}"), flipped, Malformed));
            }
        }
        all
    }

    fn of_generation(&self) -> Vec<Mutation> {
        let is = u32::from_be_bytes(Self::body(&self.text)[GENERATION].try_into().unwrap());
        let others = [("one more", is + 1), ("two more", is + 2), ("the highest", u32::MAX), ("one less", is.wrapping_sub(1))];
        let of = |(name, generation): (&str, u32)| {
            let text = self.with(GENERATION, |bytes| bytes.copy_from_slice(&generation.to_be_bytes()));
            (format!("a generation that is {name}"), text, NotGenuine)
        };
        // Below the generation of a code there is the highest only, which is among them.
        others.into_iter().filter(|(name, _)| is > 0 || *name != "one less").map(of).collect()
    }

    /// With a byte that the two alphabets write differently: so its tag is wrong too, which is not what is found.
    fn in_standard_alphabet(body: &[u8]) -> String {
        let mut body = body.to_vec();
        let tag = body.len() - 8;
        body[tag..].fill(0xff);
        let text = STANDARD_NO_PAD.encode([&body[..], &crc32(&body)].concat());
        assert!(text.contains(['+', '/']));
        text
    }

    fn as_another_layout(&self) -> String {
        let body = self.text.split_at(4).1;
        format!("{}{body}", if self.prefix() == "jat_" { "jrt_" } else { "jat_" })
    }
}

/// Of a device code, which is random and has no fields: whatever is changed it is none that is known.
pub fn of_device_code(text: &str) -> Vec<(String, String)> {
    let body = text.split_at(4).1;
    let changed = |at: usize| {
        let mut bytes = text.to_owned().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let all = [
        ("first character", changed(4)),
        ("a character inside", changed(text.len() / 2)),
        ("last character", changed(text.len() - 1)),
        ("a character less", text.split_at(text.len() - 1).0.to_owned()),
        ("a character more", format!("{text}A")),
        ("not canonical", with_trailing_bit(text)),
        ("padded", format!("{text}=")),
        ("in upper case", text.to_uppercase()),
        ("prefix missing", body.to_owned()),
        ("prefix twice", format!("jdc_{text}")),
        ("nothing behind the prefix", "jdc_".to_owned()),
        ("prefix of a refresh token", format!("jrt_{body}")),
        ("prefix of a code", format!("jac_{body}")),
        ("a space at the front", format!(" {text}")),
        ("a space at the end", format!("{text} ")),
        ("a newline at the end", format!("{text}\n")),
        ("a NUL at the end", format!("{text}\0")),
        ("percent-encoded", text.replacen('_', "%5F", 1)),
        ("a pattern", "jdc_*".to_owned()),
        ("a path", format!("jdc_../{body}")),
    ];
    all.map(|(name, text)| (name.to_owned(), text)).into()
}

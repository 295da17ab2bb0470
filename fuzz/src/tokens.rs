//! Texts that may be tokens (`domain::token`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::id::{GrantId, KeyId};
use jeton_domain::time::{Millis, Timestamp};
use jeton_domain::token::{MAX_BYTES, Numbered, NumberedKind, Opaque, Presented, parse};

/// A text, or where the data begin with a zero the fields of a token that we might have made.
pub fn read(data: &[u8]) {
    match data.split_first() {
        Some((0, fields)) => of_fields(fields),
        _ => {
            if let Ok(text) = std::str::from_utf8(data) {
                of_text(text);
            }
        }
    }
}

/// What is read is written again letter by letter: nothing has two texts.
fn of_text(text: &str) {
    match parse(text) {
        Presented::Numbered(token) => assert_eq!(token.encode().expose(), text),
        Presented::Opaque(token) => assert_eq!(token.encode().expose(), text),
        Presented::Jws(jws) => {
            assert_eq!(jws, text);
            assert_eq!(text.bytes().filter(|byte| *byte == b'.').count(), 2);
        }
        Presented::Device => assert!(text.starts_with("jdc_")),
        Presented::Unknown => return,
    }
    assert!(text.len() <= MAX_BYTES && text.is_ascii());
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')));
}

/// What is written is read again, and is nothing else.
fn of_fields(fields: &[u8]) {
    let mut rest = fields;
    let (Some(key), Some(grant), Some(generation)) = (take::<4>(&mut rest), take::<16>(&mut rest), take::<4>(&mut rest)) else {
        return;
    };
    let (key, grant, generation) = (KeyId(key), GrantId(grant), u32::from_be_bytes(generation));
    let mut others = rest;
    if let Some(tag) = take::<32>(&mut rest) {
        for kind in [NumberedKind::Refresh, NumberedKind::Code] {
            let token = Numbered { kind, key, grant, generation, tag };
            let text = token.encode();
            assert_eq!(text.expose().len(), Numbered::CHARACTERS);
            let tail = text.expose().get(4..).unwrap_or_default();
            assert!(URL_SAFE_NO_PAD.decode(tail).is_ok(), "canonical");
            assert_eq!(parse(text.expose()), Presented::Numbered(token));
        }
    }
    let (Some(issued_at), Some(lifetime), Some(scopes)) =
        (take::<5>(&mut others), take::<3>(&mut others), take::<8>(&mut others))
    else {
        return;
    };
    let (Some(resources), Some(random), Some(tag)) = (take::<2>(&mut others), take::<8>(&mut others), take::<16>(&mut others))
    else {
        return;
    };
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let token = Opaque {
        key,
        grant,
        generation,
        issued_at: Timestamp::from_secs(number(&issued_at)),
        lifetime: Millis::from_secs(number(&lifetime)),
        scope_bits: u64::from_be_bytes(scopes),
        resource_bits: u16::from_be_bytes(resources),
        random,
        tag,
    };
    let text = token.encode();
    assert_eq!(text.expose().len(), Opaque::CHARACTERS);
    assert_eq!(parse(text.expose()), Presented::Opaque(token));
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

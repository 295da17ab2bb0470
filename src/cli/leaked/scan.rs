//! Finding tokens in a text of any size: read in pieces, each place looked at once. Not what becomes of them.

use jeton_domain::leak::{Found, LOOKAHEAD, begins};
use std::io::{self, Read};
use std::ops::ControlFlow;
use zeroize::Zeroizing;

/// How compressed texts begin, in which no token can be seen; what they are, and what unpacks them.
const COMPRESSED: [(&[u8], &str, &str); 4] = [
    (b"\x1f\x8b", "gzip", "zcat"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstdcat"),
    (b"\xfd7zXZ\0", "xz", "xzcat"),
    (b"PK\x03\x04", "zip", "unzip -p"),
];

/// How much is read at once.
const PIECE: u64 = 256 * 1024;

/// Hands every token in the text to `take`, until that is content or the text ends.
///
/// # Errors
/// What reading fails with; what stood before it was handed over.
pub(super) fn scan(mut text: impl Read, mut take: impl FnMut(Found, &str) -> ControlFlow<()>) -> io::Result<()> {
    let mut held = Zeroizing::new(Vec::new());
    let mut piece = Zeroizing::new(Vec::new());
    let mut is_first = true;
    loop {
        piece.clear();
        let read = text.by_ref().take(PIECE).read_to_end(&mut piece);
        if let Some((_, format, reader)) = COMPRESSED.iter().find(|(magic, ..)| is_first && piece.starts_with(magic)) {
            let problem = format!("it is compressed ({format}); unpack it: {reader} FILE | jeton revoke --leaked -");
            return Err(io::Error::other(problem));
        }
        is_first = false;
        let ended = !matches!(&read, Ok(bytes) if u64::try_from(*bytes) == Ok(PIECE));
        // Without the zeros of UTF-16, in which some systems write their logs.
        held.extend(piece.iter().filter(|byte| **byte != 0));
        let told = if ended { held.len() } else { held.len().saturating_sub(LOOKAHEAD) };
        let mut at = 0;
        while at < told {
            let rest = held.get(at..).unwrap_or_default();
            match begins(rest) {
                Some((found, token)) => {
                    at += token.len();
                    if take(found, token).is_break() {
                        return Ok(());
                    }
                }
                None => at += next(rest),
            }
        }
        held.drain(..at);
        if ended {
            return read.map(drop);
        }
    }
}

/// How far it is to where a token may begin next.
fn next(text: &[u8]) -> usize {
    let rest = text.iter().skip(1);
    rest.take_while(|byte| !matches!(byte, b'e' | b'j')).count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use jeton_domain::id::{GrantId, KeyId};
    use jeton_domain::token::{Numbered, NumberedKind};

    #[test]
    fn what_is_compressed_is_said_to_be() {
        let found = |text: &[u8]| scan(text, |_, _| ControlFlow::Continue(())).map_err(|error| error.to_string());
        assert!(found(b"\x1f\x8b\x08jrt_").unwrap_err().contains("zcat"));
        assert!(found(b"plain \x1f\x8b").is_ok());
    }

    fn token(generation: u32) -> String {
        let token =
            Numbered { kind: NumberedKind::Refresh, key: KeyId([1; 4]), grant: GrantId([2; 16]), generation, tag: [4; 32] };
        token.encode().expose().to_owned()
    }

    fn found(text: impl Read) -> Vec<String> {
        let mut all = Vec::new();
        scan(text, |_, token| {
            all.push(token.to_owned());
            ControlFlow::Continue(())
        })
        .unwrap();
        all
    }

    #[test]
    fn every_token_is_found_once_wherever_pieces_end() {
        let piece = usize::try_from(PIECE).unwrap();
        let tokens = [token(1), token(2), token(3)];
        for before in [0, 1, piece - LOOKAHEAD - 40, piece - LOOKAHEAD, piece - 40, piece, piece + 7] {
            for filling in [b"x", b"j", b"e"] {
                let mut text = filling.repeat(before);
                text.extend_from_slice(tokens[0].as_bytes());
                text.extend_from_slice(tokens[1].as_bytes());
                text.extend(filling.repeat(piece));
                text.extend_from_slice(tokens[2].as_bytes());
                assert_eq!(found(text.as_slice()), tokens, "{before} of {filling:?}");
            }
        }
    }

    #[test]
    fn every_encoding_that_systems_write_logs_in() {
        let tokens = [token(1), token(2)];
        let text = format!("{{\"refresh_token\":\"{}\"}}\r\nénd {}", tokens[0], tokens[1]);
        let wide = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        for bytes in [text.clone().into_bytes(), wide(u16::to_le_bytes), wide(u16::to_be_bytes)] {
            assert_eq!(found(bytes.as_slice()), tokens);
        }
    }

    #[test]
    fn what_stood_before_a_failure_was_handed_over() {
        struct Breaks;
        impl Read for Breaks {
            fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        let text = token(1);
        let mut count = 0;
        let ended = scan(text.as_bytes().chain(Breaks), |_, _| {
            count += 1;
            ControlFlow::Continue(())
        });
        assert!(ended.is_err() && count == 1);
    }
}

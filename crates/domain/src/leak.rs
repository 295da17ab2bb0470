//! Tokens of ours in the midst of any text: how whoever finds a leak finds what leaked, offline.
//!
//! Lives here: what tells that a token begins at a place. Must not live here: reading files, asking whether it is alive.

use crate::client::Algorithm;
use crate::token::{self, DEVICE_PREFIX, Numbered, NumberedKind, Opaque, Presented};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// How much must follow a place in a text to tell whether a token begins there, in bytes.
pub const LOOKAHEAD: usize = token::MAX_BYTES;
/// The longest header of a JWT that is read: ours are a tenth of it.
const HEADER_MAX: usize = 1_024;
/// The signature of a JWT of ours: 64 bytes.
const SIGNATURE_CHARACTERS: usize = 86;
/// The same by RS256: 256 bytes.
const RS256_CHARACTERS: usize = 342;
/// The fewest characters of a device code: 128 bits. It has no checksum.
const DEVICE_CHARACTERS: usize = 22;

/// What kind of token was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Found {
    /// A refresh token; its checksum is right.
    Refresh,
    /// A JWT that calls itself an access token (RFC 9068 section 2.1), under an algorithm of ours. It may be another issuer's.
    JwtAccess,
    /// An opaque access token; its checksum is right.
    OpaqueAccess,
    /// An authorization code; its checksum is right.
    Code,
    /// What looks like a device code.
    Device,
}

impl Found {
    /// Every kind, in the order in which they are told.
    pub const ALL: [Self; 5] = [Self::Refresh, Self::JwtAccess, Self::OpaqueAccess, Self::Code, Self::Device];
}

/// The token that a text begins with, whatever comes after it.
///
/// None where the text ends too early: give it [`LOOKAHEAD`] bytes, or all there are.
#[must_use]
pub fn begins(text: &[u8]) -> Option<(Found, &str)> {
    match text.first()? {
        b'e' => jwt(text).map(|jwt| (Found::JwtAccess, jwt)),
        b'j' => ours(text),
        _ => None,
    }
}

fn ours(text: &[u8]) -> Option<(Found, &str)> {
    let device = DEVICE_PREFIX.len() + text.strip_prefix(DEVICE_PREFIX.as_bytes()).map_or(0, base64url);
    for (length, least) in [(Numbered::CHARACTERS, 0), (Opaque::CHARACTERS, 0), (device, DEVICE_PREFIX.len() + DEVICE_CHARACTERS)]
    {
        let Some(token) = text.get(..length).filter(|_| length >= least).and_then(|token| str::from_utf8(token).ok()) else {
            continue;
        };
        let found = match token::parse(token) {
            Presented::Numbered(Numbered { kind: NumberedKind::Refresh, .. }) => Found::Refresh,
            Presented::Numbered(Numbered { kind: NumberedKind::Code, .. }) => Found::Code,
            Presented::Opaque(_) => Found::OpaqueAccess,
            Presented::Device => Found::Device,
            Presented::Jws(_) | Presented::Unknown => continue,
        };
        return Some((found, token));
    }
    None
}

fn jwt(text: &[u8]) -> Option<&str> {
    // `{"`, as every JSON object with a member begins.
    text.strip_prefix(b"eyJ")?;
    let header = base64url(text.get(..HEADER_MAX).unwrap_or(text));
    let rest = text.get(header..)?.strip_prefix(b".")?;
    let payload = base64url(rest.get(..token::MAX_BYTES).unwrap_or(rest));
    let characters = signature_characters(text.get(..header)?)?;
    let signature = rest.get(payload..)?.strip_prefix(b".")?.get(..characters)?;
    if payload == 0 || base64url(signature) != characters {
        return None;
    }
    let jwt = str::from_utf8(text.get(..header + 1 + payload + 1 + characters)?).ok()?;
    (jwt.len() <= token::MAX_BYTES).then_some(jwt)
}

/// How long the signature of an access token with this header is; none for the header of anything else.
fn signature_characters(header: &[u8]) -> Option<usize> {
    let json = URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    let header: Map<String, Value> = serde_json::from_slice(&json).unwrap_or_default();
    let says = |name| header.get(name).and_then(Value::as_str);
    match says("alg").and_then(Algorithm::parse).filter(|_| says("typ") == Some("at+jwt"))? {
        Algorithm::EdDsa | Algorithm::Es256 => Some(SIGNATURE_CHARACTERS),
        Algorithm::Rs256 => Some(RS256_CHARACTERS),
    }
}

/// How many characters of base64url a text begins with.
fn base64url(text: &[u8]) -> usize {
    let is_other = |byte: &u8| !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'_');
    text.iter().position(is_other).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{GrantId, KeyId};
    use crate::time::{Millis, Timestamp};

    fn numbered(kind: NumberedKind) -> String {
        let token = Numbered { kind, key: KeyId([1; 4]), grant: GrantId([2; 16]), generation: 3, tag: [4; 32] };
        token.encode().expose().to_owned()
    }

    fn opaque() -> String {
        let token = Opaque {
            key: KeyId([1; 4]),
            grant: GrantId([2; 16]),
            generation: 3,
            issued_at: Timestamp::from_secs(1_700_000_000),
            lifetime: Millis::from_secs(300),
            scope_bits: 1,
            resource_bits: 1,
            random: [5; 8],
            tag: [4; 16],
        };
        token.encode().expose().to_owned()
    }

    fn signed(header: &str) -> String {
        format!("{}.e30.{}", URL_SAFE_NO_PAD.encode(header), "A".repeat(SIGNATURE_CHARACTERS))
    }

    #[test]
    fn a_token_is_found_whatever_follows_and_not_where_a_character_is_missing() {
        let access = signed(r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k"}"#);
        let device = format!("jdc_{}", "b".repeat(43));
        for (token, kind) in [
            (numbered(NumberedKind::Refresh), Found::Refresh),
            (numbered(NumberedKind::Code), Found::Code),
            (opaque(), Found::OpaqueAccess),
            (access, Found::JwtAccess),
            (device, Found::Device),
        ] {
            for after in ["", " ", "\"", "\\n", ".", "=", "&x=y", "\u{fffd}"] {
                assert_eq!(begins(format!("{token}{after}").as_bytes()), Some((kind, token.as_str())), "{after:?}");
            }
            if kind != Found::Device {
                for after in ["more", "-", "_", "jrt_", "eyJ"] {
                    assert_eq!(begins(format!("{token}{after}").as_bytes()), Some((kind, token.as_str())), "{after:?}");
                }
                for length in 0..token.len() {
                    assert_eq!(begins(&token.as_bytes()[..length]), None, "{length} bytes of {token}");
                }
                assert_eq!(begins(format!(" {token}").as_bytes()), None);
            }
        }
    }

    #[test]
    fn what_is_not_ours_is_not_found() {
        for text in [
            numbered(NumberedKind::Refresh).replacen("jrt_", "jat_", 1),
            numbered(NumberedKind::Refresh).replacen("jrt_A", "jrt_B", 1),
            "jdc_connection_pool".into(),
            "jrt_".into(),
            "eyJ".into(),
            "eyJ.eyJ.".into(),
            signed(r#"{"alg":"EdDSA","typ":"JWT"}"#),
            signed(r#"{"alg":"RS512","typ":"at+jwt"}"#),
            signed(r#"{"alg":"none","typ":"at+jwt"}"#),
            signed(r#"{"alg":"EdDSA","typ":["at+jwt"]}"#),
            signed(r#"{"alg":"EdDSA","typ":"at+jwt""#),
            format!("{}..{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","typ":"at+jwt"}"#), "A".repeat(86)),
        ] {
            assert_eq!(begins(text.as_bytes()), None, "{text}");
        }
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"at+jwt"}"#);
        let rs256 = format!("{header}.e30.{}", "A".repeat(RS256_CHARACTERS));
        assert_eq!(
            begins(format!("{rs256} and more").as_bytes()),
            Some((Found::JwtAccess, rs256.as_str())),
            "whole, as long as its signature is"
        );
        assert_eq!(begins(rs256.strip_suffix('A').unwrap().as_bytes()), None);
        let long = signed(r#"{"alg":"EdDSA","typ":"at+jwt"}"#).replacen("e30", &"A".repeat(token::MAX_BYTES), 1);
        assert_eq!(begins(long.as_bytes()), None);
    }
}

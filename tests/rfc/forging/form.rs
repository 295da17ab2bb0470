//! Mutations of the compact form (RFC 7515 section 7.1) and of the signature, of whatever it is: a JWT of ours, a DPoP proof. No tests here.

use super::forge::{Jws, b64, changed, der, unb64, with_trailing_bit};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::json;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    Form,
    Signature,
}

use Wrong::{Form, Signature};

pub type Row = (&'static str, Wrong, fn(&Jws) -> String);

/// The order of the group of Ed25519 (RFC 8032 section 5.1), little-endian.
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0x10,
];

/// The order of the group of P-256 (FIPS 186-4 section D.1.2.3), big-endian.
pub const N: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e,
    0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// Of every kind of key.
pub const FORM: &[Row] = &[
    ("one part", Form, |f| f.parts()[0].clone()),
    ("two parts", Form, |f| f.parts()[..2].join(".")),
    ("four parts", Form, |f| f.valid().replacen('.', ".e30.", 1)),
    ("five parts, as a JWE has", Form, |f| format!("{}.x.x", f.valid())),
    ("many parts", Form, |f| format!("{}{}", f.valid(), ".x".repeat(500))),
    ("a dot at the end", Form, |f| format!("{}.", f.valid())),
    ("a dot at the front", Form, |f| format!(".{}", f.valid())),
    ("two dots in a row", Form, |f| f.valid().replacen('.', "..", 1)),
    ("only dots", Form, |_| "..".into()),
    ("no header", Form, |f| format!(".{}", f.parts()[1..].join("."))),
    ("header padded", Form, |f| f.valid().replacen('.', "=.", 1)),
    ("payload padded as it must be elsewhere, signed so", Form, |f| {
        let claims = (0..3).map(|n| format!("{}{}", f.claims, " ".repeat(n))).find(|claims| claims.len() % 3 == 1).unwrap();
        f.signed(format!("{}.{}", f.parts()[0], URL_SAFE.encode(claims)))
    }),
    ("payload not canonical, signed so", Form, |f| {
        let claims = (0..3).map(|n| format!("{}{}", f.claims, " ".repeat(n))).find(|claims| claims.len() % 3 == 1).unwrap();
        f.signed(format!("{}.{}", f.parts()[0], with_trailing_bit(&b64(claims))))
    }),
    ("standard alphabet, signed so", Form, |f| {
        let encode = |n| STANDARD.encode(changed(f.claims.clone(), "x", json!(format!("{}???>>>", " ".repeat(n)))).to_string());
        let payload = (0..9).map(encode).find(|text| text.contains(['+', '/']) && !text.contains('=')).unwrap();
        f.signed(format!("{}.{payload}", f.parts()[0]))
    }),
    ("signature padded", Form, |f| format!("{}==", f.valid())),
    ("signature not canonical", Form, |f| {
        let [header, payload, signature] = f.parts();
        format!("{header}.{payload}.{}", with_trailing_bit(&signature))
    }),
    ("signature in hexadecimal behind an `x`", Form, |f| {
        let [header, payload, _] = f.parts();
        let hex: String = f.signature().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{header}.{payload}.0x{hex}:")
    }),
    ("a newline at the end", Form, |f| format!("{}\n", f.valid())),
    ("a newline inside", Form, |f| f.valid().replacen('.', "\r\n.", 1)),
    ("a space at the front", Form, |f| format!(" {}", f.valid())),
    ("a space at the end", Form, |f| format!("{} ", f.valid())),
    ("a space inside", Form, |f| f.valid().replacen('.', " .", 1)),
    ("a tab at the end", Form, |f| format!("{}\t", f.valid())),
    ("a NUL inside", Form, |f| f.valid().replacen('.', "\0.", 1)),
    ("a NUL at the end", Form, |f| format!("{}\0", f.valid())),
    ("a NUL and more at the end", Form, |f| format!("{0}\0{0}", f.valid())),
    ("a byte order mark", Form, |f| format!("\u{feff}{}", f.valid())),
    ("a space of no width", Form, |f| f.valid().replacen('.', "\u{200b}.", 1)),
    ("a dot of full width", Form, |f| f.valid().replacen('.', "\u{ff0e}", 1)),
    ("a percent-encoded dot", Form, |f| f.valid().replacen('.', "%2E", 1)),
    ("percent-encoded altogether", Form, |f| f.valid().bytes().map(|byte| format!("%{byte:02X}")).collect()),
    ("a plus for a dot", Form, |f| f.valid().replacen('.', "+", 1)),
    ("the scheme at the front", Form, |f| format!("Bearer {}", f.valid())),
    ("in quotes", Form, |f| format!("\"{}\"", f.valid())),
    ("twice, with a comma", Form, |f| format!("{0},{0}", f.valid())),
    ("twice, with a space", Form, |f| format!("{0} {0}", f.valid())),
    ("encoded once more", Form, |f| b64(f.valid())),
    ("JSON serialisation, flattened", Form, |f| {
        let [header, payload, signature] = f.parts();
        json!({"protected": header, "payload": payload, "signature": signature}).to_string()
    }),
    ("JSON serialisation, general", Form, |f| {
        let [header, payload, signature] = f.parts();
        json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]}).to_string()
    }),
    ("another payload", Signature, |f| {
        let [header, _, signature] = f.parts();
        format!("{header}.{}.{signature}", b64(changed(f.claims.clone(), "iat", json!(1)).to_string()))
    }),
    ("the same payload with a space", Signature, |f| {
        let [header, _, signature] = f.parts();
        format!("{header}.{}.{signature}", b64(format!("{} ", f.claims)))
    }),
    ("a header more, not signed", Signature, |f| f.with_member_unsigned("x", json!(1))),
    ("`zip`, not signed", Signature, |f| f.with_member_unsigned("zip", json!("DEF"))),
    ("`b64` false, not signed", Signature, |f| f.with_member_unsigned("b64", json!(false))),
    ("`cty` of a nested JWT, not signed", Signature, |f| f.with_member_unsigned("cty", json!("JWT"))),
    ("no signature", Signature, |f| format!("{}.", f.parts()[..2].join("."))),
    ("the first bit of the signature", Signature, |f| {
        let mut signature = f.signature();
        signature[0] ^= 0x80;
        f.with_signature(signature)
    }),
    ("a bit of the first byte of the signature", Signature, |f| f.flipped(0)),
    ("a bit in the first half of the signature", Signature, |f| f.flipped(16)),
    ("a bit at the end of the first half of the signature", Signature, |f| f.flipped(31)),
    ("a bit at the begin of the second half of the signature", Signature, |f| f.flipped(32)),
    ("a bit in the second half of the signature", Signature, |f| f.flipped(48)),
    ("a bit of the last byte of the signature", Signature, |f| f.flipped(f.signature().len() - 1)),
    ("signature cut by a byte", Signature, |f| f.with_signature(&f.signature()[..f.signature().len() - 1])),
    ("signature cut at the front", Signature, |f| f.with_signature(&f.signature()[1..])),
    ("half of the signature", Signature, |f| f.with_signature(&f.signature()[..f.signature().len() / 2])),
    ("one byte for a signature", Signature, |f| f.with_signature([1])),
    ("signature extended by a byte", Signature, |f| f.with_signature([f.signature(), vec![0]].concat())),
    ("signature extended at the front", Signature, |f| f.with_signature([vec![0], f.signature()].concat())),
    ("signature twice", Signature, |f| f.with_signature([f.signature(), f.signature()].concat())),
    ("signature of zeros", Signature, |f| f.with_signature(vec![0; f.signature().len()])),
    ("signature of ones", Signature, |f| f.with_signature(vec![0xff; f.signature().len()])),
    ("signature is the number one", Signature, |f| f.with_signature([vec![0; f.signature().len() - 1], vec![1]].concat())),
    ("signature backwards", Signature, |f| f.with_signature(f.signature().into_iter().rev().collect::<Vec<_>>())),
    ("signature halves swapped", Signature, |f| {
        let signature = f.signature();
        let (front, back) = signature.split_at(signature.len() / 2);
        f.with_signature([back, front].concat())
    }),
    ("signature as text", Signature, |f| f.with_signature(b64(f.signature()))),
    ("signature of another payload", Signature, |f| {
        f.with_signature(unb64(f.with_claim("iat", json!(1)).rsplit_once('.').unwrap().1))
    }),
    ("signature of the header alone", Signature, |f| {
        f.with_signature(unb64(f.signed(f.parts()[0].clone()).rsplit_once('.').unwrap().1))
    }),
    ("signature of the payload alone", Signature, |f| {
        f.with_signature(unb64(f.signed(f.parts()[1].clone()).rsplit_once('.').unwrap().1))
    }),
    ("signature of what is not encoded", Signature, |f| {
        f.with_signature(unb64(f.signed(format!("{}.{}", f.header, f.claims).replace('.', "")).rsplit_once('.').unwrap().1))
    }),
    ("the signed text for a signature", Signature, |f| f.with_signature(f.parts()[..2].join("."))),
];

/// Of a key of Ed25519.
pub const ED25519: &[Row] = &[
    ("s beyond the order of the group", Signature, |f| {
        let mut signature = f.signature();
        let mut carry = 0;
        for (byte, order) in signature[32..].iter_mut().zip(L) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
        }
        f.with_signature(signature)
    }),
    ("s is the order of the group", Signature, |f| f.with_signature([&f.signature()[..32], &L].concat())),
    ("s is zero", Signature, |f| f.with_signature([&f.signature()[..32], &[0; 32]].concat())),
    ("R is zero", Signature, |f| f.with_signature([&[0; 32], &f.signature()[32..]].concat())),
    // The neutral element, with which a reader that multiplies by the cofactor may be content.
    ("R is the neutral element and s zero", Signature, |f| f.with_signature([&[1][..], &[0; 63]].concat())),
    ("R with its sign changed", Signature, |f| {
        let mut signature = f.signature();
        signature[31] ^= 0x80;
        f.with_signature(signature)
    }),
];

/// Of a key of P-256.
pub const P256: &[Row] = &[
    ("r is zero", Signature, |f| f.with_signature([&[0; 32], &f.signature()[32..]].concat())),
    ("s is zero", Signature, |f| f.with_signature([&f.signature()[..32], &[0; 32]].concat())),
    ("r is the order of the group", Signature, |f| f.with_signature([&N, &f.signature()[32..]].concat())),
    ("s is the order of the group", Signature, |f| f.with_signature([&f.signature()[..32], &N].concat())),
    ("r and s are the order of the group", Signature, |f| f.with_signature([N, N].concat())),
    ("r beyond the order of the group", Signature, |f| f.with_signature([&[0xff; 32], &f.signature()[32..]].concat())),
    ("s beyond the order of the group", Signature, |f| f.with_signature([&f.signature()[..32], &[0xff; 32]].concat())),
    ("r and s are one", Signature, |f| {
        let one = [&[0; 31][..], &[1]].concat();
        f.with_signature([one.clone(), one].concat())
    }),
    ("signature in DER", Signature, |f| {
        let signature = f.signature();
        let integer = |bytes: &[u8]| der(2, &[&[0], bytes].concat());
        f.with_signature(der(0x30, &[integer(&signature[..32]), integer(&signature[32..])].concat()))
    }),
    ("signature in DER of zeros", Signature, |f| f.with_signature([0x30, 6, 2, 1, 0, 2, 1, 0])),
];

/// Of an RSA key.
pub const RSA: &[Row] = &[
    ("signature with a zero at its front", Signature, |f| f.with_signature([&[0][..], &f.signature()].concat())),
    ("signature one less", Signature, |f| {
        let mut signature = f.signature();
        let last = signature.iter().rposition(|byte| *byte > 0).unwrap();
        signature[last] -= 1;
        f.with_signature(signature)
    }),
    ("signature is the padding of an empty hash", Signature, |f| {
        let length = f.signature().len();
        f.with_signature([&[0, 1][..], &vec![0xff; length - 3], &[0]].concat())
    }),
    ("signature cut to 2,040 bits", Signature, |f| f.with_signature(&f.signature()[..255])),
];

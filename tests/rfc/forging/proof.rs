//! Mutations of a DPoP proof, by what is wrong with it (RFC 9449 section 4.3). No tests here.

use super::forge::{Jws, changed};
use jeton_domain::dpop::Refusal::{
    self, Malformed, OtherMethod, OtherUri, OutsideWindow, UnknownCrit, WrongAlgorithm, WrongClaim, WrongKey, WrongSignature,
    WrongTyp,
};
use serde_json::{Value, json};

pub type Row = (&'static str, Refusal, fn(&Jws) -> String);

/// The key in the header with one member changed; null removes it.
fn with_key(f: &Jws, member: &str, value: Value) -> String {
    f.with_member("jwk", changed(f.header["jwk"].clone(), member, value))
}

fn at(f: &Jws, seconds: i64) -> String {
    f.with_claim("iat", json!(f.claims["iat"].as_i64().unwrap() + seconds))
}

pub const PROOF: &[Row] = &[
    ("header is a list", Malformed, |f| f.with_header("[]")),
    ("header goes on after its end", Malformed, |f| f.with_header(format!("{}{{}}", f.header))),
    ("header begins with a byte order mark", Malformed, |f| f.with_header(format!("\u{feff}{}", f.header))),
    ("header is not UTF-8", Malformed, |f| f.with_header(b"{\"alg\":\"\xff\"}")),
    ("`typ` twice", Malformed, |f| f.with_prefixed_header(r#""typ":"dpop+jwt""#)),
    ("`jwk` twice", Malformed, |f| f.with_prefixed_header(r#""jwk":{}"#)),
    ("a member of the key twice", Malformed, |f| {
        f.with_header(f.header.to_string().replacen("\"kty\"", "\"kty\":\"oct\",\"kty\"", 1))
    }),
    ("`crit`", UnknownCrit, |f| f.with_member("crit", json!(["exp"]))),
    ("`crit` empty", UnknownCrit, |f| f.with_member("crit", json!([]))),
    ("no `typ`", WrongTyp, |f| f.with_member("typ", Value::Null)),
    ("`typ` of a JWT", WrongTyp, |f| f.with_member("typ", json!("JWT"))),
    ("`typ` of an access token", WrongTyp, |f| f.with_member("typ", json!("at+jwt"))),
    ("`typ` with its tree", WrongTyp, |f| f.with_member("typ", json!("application/dpop+jwt"))),
    ("`typ` in upper case", WrongTyp, |f| f.with_member("typ", json!("DPOP+JWT"))),
    ("`typ` a list", WrongTyp, |f| f.with_member("typ", json!(["dpop+jwt"]))),
    ("no `alg`", WrongAlgorithm, |f| f.with_member("alg", Value::Null)),
    ("none", WrongAlgorithm, |f| f.with_member("alg", json!("none"))),
    ("None", WrongAlgorithm, |f| f.with_member("alg", json!("None"))),
    ("HS256", WrongAlgorithm, |f| f.with_member("alg", json!("HS256"))),
    ("RS256", WrongAlgorithm, |f| f.with_member("alg", json!("RS256"))),
    ("ES384", WrongAlgorithm, |f| f.with_member("alg", json!("ES384"))),
    ("Ed448", WrongAlgorithm, |f| f.with_member("alg", json!("Ed448"))),
    ("the algorithm in lower case", WrongAlgorithm, |f| {
        f.with_member("alg", json!(f.header["alg"].as_str().unwrap().to_lowercase()))
    }),
    ("the algorithm of another type of key", WrongKey, |f| {
        f.with_member("alg", json!(if f.header["alg"] == "ES256" { "EdDSA" } else { "ES256" }))
    }),
    ("no `jwk`", WrongKey, |f| f.with_member("jwk", Value::Null)),
    ("`jwk` a text", WrongKey, |f| f.with_member("jwk", json!(f.header["jwk"].to_string()))),
    ("`jwk` a list", WrongKey, |f| f.with_member("jwk", json!([f.header["jwk"]]))),
    ("`jwk` empty", WrongKey, |f| f.with_member("jwk", json!({}))),
    ("`jwk` a secret", WrongKey, |f| f.with_member("jwk", json!({"kty": "oct", "k": "AAAA"}))),
    ("the key by name", WrongKey, |f| {
        f.with_header(changed(changed(f.header.clone(), "jwk", Value::Null), "kid", json!("1")).to_string())
    }),
    ("the key by address", WrongKey, |f| {
        f.with_header(
            changed(changed(f.header.clone(), "jwk", Value::Null), "jku", json!("https://attacker.example/")).to_string(),
        )
    }),
    ("no `kty`", WrongKey, |f| with_key(f, "kty", Value::Null)),
    ("another `kty`", WrongKey, |f| with_key(f, "kty", json!("RSA"))),
    ("no `crv`", WrongKey, |f| with_key(f, "crv", Value::Null)),
    ("another `crv`", WrongKey, |f| with_key(f, "crv", json!("P-384"))),
    ("`crv` of key agreement", WrongKey, |f| with_key(f, "crv", json!("X25519"))),
    ("no `x`", WrongKey, |f| with_key(f, "x", Value::Null)),
    ("`x` too short", WrongKey, |f| with_key(f, "x", json!("AAAA"))),
    ("`x` too long", WrongKey, |f| with_key(f, "x", json!("A".repeat(44)))),
    ("`x` padded", WrongKey, |f| with_key(f, "x", json!(format!("{}=", f.header["jwk"]["x"].as_str().unwrap())))),
    ("`x` a number", WrongKey, |f| with_key(f, "x", json!(1))),
    ("`x` not canonical", WrongKey, |f| {
        with_key(f, "x", json!(super::forge::with_trailing_bit(f.header["jwk"]["x"].as_str().unwrap())))
    }),
    ("the private `d`", WrongKey, |f| with_key(f, "d", json!("AAAA"))),
    ("the private `d` null", WrongKey, |f| f.with_header(f.header.to_string().replacen("\"kty\"", "\"d\":null,\"kty\"", 1))),
    ("the private `p`", WrongKey, |f| with_key(f, "p", json!("AAAA"))),
    ("the symmetric `k`", WrongKey, |f| with_key(f, "k", json!("AAAA"))),
    ("`x` of another key", WrongSignature, |f| with_key(f, "x", json!("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))),
    ("no `jti`", WrongClaim, |f| f.with_claim("jti", Value::Null)),
    ("`jti` empty", WrongClaim, |f| f.with_claim("jti", json!(""))),
    ("`jti` a number", WrongClaim, |f| f.with_claim("jti", json!(1))),
    ("`jti` too long", WrongClaim, |f| f.with_claim("jti", json!("j".repeat(257)))),
    ("no `htm`", WrongClaim, |f| f.with_claim("htm", Value::Null)),
    ("`htm` a list", WrongClaim, |f| f.with_claim("htm", json!(["POST"]))),
    ("no `htu`", WrongClaim, |f| f.with_claim("htu", Value::Null)),
    ("`htu` a list", WrongClaim, |f| f.with_claim("htu", json!([f.claims["htu"]]))),
    ("no `iat`", WrongClaim, |f| f.with_claim("iat", Value::Null)),
    ("`iat` a text", WrongClaim, |f| f.with_claim("iat", json!(f.claims["iat"].to_string()))),
    ("`iat` with a fraction", WrongClaim, |f| f.with_raw("iat", &format!("{}.0", f.claims["iat"]))),
    ("`iat` negative", WrongClaim, |f| f.with_claim("iat", json!(-1))),
    ("`iat` beyond 2^64", WrongClaim, |f| f.with_raw("iat", "99999999999999999999")),
    ("`nonce` a number", WrongClaim, |f| f.with_claim("nonce", json!(1))),
    ("`nonce` too long", WrongClaim, |f| f.with_claim("nonce", json!("n".repeat(257)))),
    ("`jti` twice", Malformed, |f| f.with_prefixed_claims(r#""jti":"other""#)),
    ("`htu` twice, once escaped", Malformed, |f| f.with_prefixed_claims(r#""\u0068tu":"https://attacker.example/""#)),
    ("`iat` beyond every number", Malformed, |f| f.with_raw("iat", "1e999")),
    ("claims are a list", Malformed, |f| f.with_payload("[]")),
    ("claims too long", Malformed, |f| f.with_claim("big", json!("x".repeat(4_096)))),
    ("claims are empty", Malformed, |f| f.with_payload("")),
    ("claims go on after their end", Malformed, |f| f.with_payload(format!("{} 1", f.claims))),
    ("claims are not UTF-8", Malformed, |f| f.with_payload(b"{\"jti\":\"\xff\"}")),
    ("another method", OtherMethod, |f| f.with_claim("htm", json!("GET"))),
    ("the method in lower case", OtherMethod, |f| f.with_claim("htm", json!("post"))),
    ("the method with a blank", OtherMethod, |f| f.with_claim("htm", json!("POST "))),
    ("another path", OtherUri, |f| f.with_claim("htu", json!(format!("{}/", f.claims["htu"].as_str().unwrap())))),
    ("another endpoint", OtherUri, |f| f.with_claim("htu", json!(f.claims["htu"].as_str().unwrap().replace("token", "revoke")))),
    ("another host", OtherUri, |f| f.with_claim("htu", json!("https://attacker.example/oauth2/token"))),
    ("another scheme", OtherUri, |f| f.with_claim("htu", json!(f.claims["htu"].as_str().unwrap().replacen("http", "https", 1)))),
    ("a user before the host", OtherUri, |f| {
        f.with_claim("htu", json!(f.claims["htu"].as_str().unwrap().replacen("//", "//x@", 1)))
    }),
    ("no more than a path", OtherUri, |f| f.with_claim("htu", json!("/oauth2/token"))),
    ("`htu` empty", OtherUri, |f| f.with_claim("htu", json!(""))),
    ("a second too old", OutsideWindow, |f| at(f, -61)),
    ("a second too far ahead", OutsideWindow, |f| at(f, 61)),
    ("an hour old", OutsideWindow, |f| at(f, -3_600)),
    ("`iat` in milliseconds", OutsideWindow, |f| f.with_claim("iat", json!(f.claims["iat"].as_i64().unwrap() * 1_000))),
    ("`iat` zero", OutsideWindow, |f| f.with_claim("iat", json!(0))),
    ("`iat` the highest", OutsideWindow, |f| f.with_claim("iat", json!(u64::MAX))),
];

/// Of a key of Ed25519.
pub const ED25519_KEY: &[Row] = &[
    // Points of low order.
    ("`x` of zeros", WrongKey, |f| with_key(f, "x", json!("A".repeat(43)))),
    ("`x` is the neutral element", WrongKey, |f| with_key(f, "x", json!(format!("AQ{}", "A".repeat(41))))),
];

/// Of a key of P-256.
pub const P256_KEY: &[Row] = &[
    ("`x` of zeros", WrongSignature, |f| with_key(f, "x", json!("A".repeat(43)))),
    ("no `y`", WrongKey, |f| with_key(f, "y", Value::Null)),
    ("`y` too short", WrongKey, |f| with_key(f, "y", json!("AAAA"))),
    ("`y` of another point", WrongSignature, |f| with_key(f, "y", f.header["jwk"]["x"].clone())),
    ("the point at infinity", WrongSignature, |f| {
        let key = changed(f.header["jwk"].clone(), "x", json!("A".repeat(43)));
        f.with_member("jwk", changed(key, "y", json!("A".repeat(43))))
    }),
];

//! Mutations of a JWT of ours, by what is wrong with it (RFC 8725). No tests here.

use super::forge::{Forge, b64, changed, prefixed};
use jeton::api::Cause;
use jeton::signing::KeyState;
use jeton::tokens::NotGenuine::{
    self, ForeignIssuer, Malformed, UnknownCrit, UnknownKey, WrongAlgorithm, WrongClaim, WrongSignature, WrongTyp,
};
use serde_json::{Value, json};

pub type Row = (&'static str, NotGenuine, fn(&Forge) -> String);

/// A genuine token by its name, the cause why it is not active, and how it is made.
pub type Meant = (&'static str, Cause, fn(&Forge) -> String);

pub const HEADER: &[Row] = &[
    ("header is no JSON", Malformed, |f| f.with_header("header")),
    ("header is empty", Malformed, |f| f.with_header("")),
    ("header is a list", Malformed, |f| f.with_header("[]")),
    ("header is a text", Malformed, |f| f.with_header("\"EdDSA\"")),
    ("header is null", Malformed, |f| f.with_header("null")),
    ("header goes on after its end", Malformed, |f| f.with_header(format!("{}{{}}", f.header))),
    ("header ends too soon", Malformed, |f| f.with_header(f.header.to_string().replace('}', ""))),
    ("header begins with a byte order mark", Malformed, |f| f.with_header(format!("\u{feff}{}", f.header))),
    ("header has a NUL at its end", Malformed, |f| f.with_header(format!("{}\0", f.header))),
    ("header has a comment", Malformed, |f| f.with_header(format!("/**/{}", f.header))),
    ("header has a comma too many", Malformed, |f| f.with_header(f.header.to_string().replace('}', ",}"))),
    ("header in single quotes", Malformed, |f| f.with_header(f.header.to_string().replace('"', "'"))),
    ("header is not UTF-8", Malformed, |f| f.with_header(b"{\"alg\":\"\xff\"}")),
    ("header has half a surrogate pair", Malformed, |f| f.with_prefixed_header(r#""x":"\ud800""#)),
    ("header has a number beyond every number", Malformed, |f| f.with_prefixed_header(r#""x":1e999"#)),
    ("header has NaN", Malformed, |f| f.with_prefixed_header(r#""x":NaN"#)),
    ("header nested too deep", Malformed, |f| f.with_prefixed_header(&format!("\"x\":{}{}", "[".repeat(200), "]".repeat(200)))),
    ("header too long", Malformed, |f| f.with_member("x", json!("x".repeat(1024)))),
    ("`alg` twice", Malformed, |f| f.with_prefixed_header(r#""alg":"none""#)),
    ("`alg` twice, once escaped", Malformed, |f| f.with_prefixed_header(r#""\u0061lg":"none""#)),
    ("`kid` twice", Malformed, |f| f.with_prefixed_header(r#""kid":"x""#)),
    ("`typ` twice", Malformed, |f| f.with_prefixed_header(r#""typ":"JWT""#)),
    ("a member of the header twice, deep inside", Malformed, |f| f.with_prefixed_header(r#""x":[{"a":1,"a":2}]"#)),
    ("`crit` of b64", UnknownCrit, |f| {
        f.with_header(changed(changed(f.header.clone(), "b64", json!(false)), "crit", json!(["b64"])).to_string())
    }),
    ("`crit` of exp", UnknownCrit, |f| f.with_member("crit", json!(["exp"]))),
    ("`crit` of what is not there", UnknownCrit, |f| f.with_member("crit", json!(["x"]))),
    ("`crit` twice the same", UnknownCrit, |f| f.with_member("crit", json!(["b64", "b64"]))),
    ("`crit` empty", UnknownCrit, |f| f.with_member("crit", json!([]))),
    ("`crit` a text", UnknownCrit, |f| f.with_member("crit", json!("b64"))),
    ("`crit` null", UnknownCrit, |f| f.with_prefixed_header(r#""crit":null"#)),
    ("no `typ`", WrongTyp, |f| f.with_member("typ", Value::Null)),
    ("`typ` null", WrongTyp, |f| f.with_header(prefixed(&changed(f.header.clone(), "typ", Value::Null), r#""typ":null"#))),
    ("`typ` empty", WrongTyp, |f| f.with_member("typ", json!(""))),
    ("`typ` of a logout token", WrongTyp, |f| f.with_member("typ", json!("logout+jwt"))),
    ("`typ` of a DPoP proof", WrongTyp, |f| f.with_member("typ", json!("dpop+jwt"))),
    ("`typ` of a security event", WrongTyp, |f| f.with_member("typ", json!("secevent+jwt"))),
    ("`typ` of a JWS", WrongTyp, |f| f.with_member("typ", json!("JOSE"))),
    ("`typ` of an answer of introspection", WrongTyp, |f| f.with_member("typ", json!("token-introspection+jwt"))),
    ("the header of an answer of introspection", WrongTyp, |f| {
        f.with_header(format!(r#"{{"alg":"{}","typ":"token-introspection+jwt","kid":"{}"}}"#, f.algorithm.word(), f.own.kid()))
    }),
    ("`typ` a number", WrongTyp, |f| f.with_member("typ", json!(1))),
    ("`typ` a list", WrongTyp, |f| f.with_member("typ", json!(["at+jwt"]))),
    ("`typ` with a space", WrongTyp, |f| f.with_member("typ", json!("at+jwt "))),
    ("`typ` with a parameter", WrongTyp, |f| f.with_member("typ", json!("at+jwt;v=1"))),
    ("`typ` of another tree", WrongTyp, |f| f.with_member("typ", json!("text/at+jwt"))),
    ("`typ` of the tree twice", WrongTyp, |f| f.with_member("typ", json!("application/application/at+jwt"))),
    ("header and payload swapped", WrongTyp, |f| {
        let [header, payload, signature] = f.parts();
        format!("{payload}.{header}.{signature}")
    }),
    ("the claims for a header, signed so", WrongTyp, |f| f.with_header(f.claims.to_string())),
];

fn unsigned(f: &Forge, alg: &str) -> String {
    format!("{}.{}.", b64(changed(f.header.clone(), "alg", json!(alg)).to_string()), f.parts()[1])
}

pub const ALGORITHM: &[Row] = &[
    ("none, unsigned", WrongAlgorithm, |f| unsigned(f, "none")),
    ("None, unsigned", WrongAlgorithm, |f| unsigned(f, "None")),
    ("NONE, unsigned", WrongAlgorithm, |f| unsigned(f, "NONE")),
    ("nOnE, unsigned", WrongAlgorithm, |f| unsigned(f, "nOnE")),
    ("none with a space, unsigned", WrongAlgorithm, |f| unsigned(f, "none ")),
    ("none, signed", WrongAlgorithm, |f| f.with_member("alg", json!("none"))),
    ("none, under the old signature", WrongAlgorithm, |f| f.with_member_unsigned("alg", json!("none"))),
    ("HS256 with the numbers of the public key as secret", WrongAlgorithm, |f| {
        let jwk = f.jwk();
        f.hs256(super::forge::unb64(jwk["x"].as_str().or(jwk["n"].as_str()).unwrap()))
    }),
    ("HS256 with their text as secret", WrongAlgorithm, |f| {
        let jwk = f.jwk();
        f.hs256(jwk["x"].as_str().or(jwk["n"].as_str()).unwrap())
    }),
    ("HS256 with the published key as secret", WrongAlgorithm, |f| f.hs256(f.jwk().to_string())),
    ("HS256 with the published key and a newline as secret", WrongAlgorithm, |f| f.hs256(format!("{}\n", f.jwk()))),
    ("HS256 with the key in DER as secret", WrongAlgorithm, |f| f.hs256(f.spki())),
    ("HS256 with the key in PEM as secret", WrongAlgorithm, |f| f.hs256(f.pem())),
    ("HS256 with PEM without its last newline as secret", WrongAlgorithm, |f| f.hs256(f.pem().trim_end())),
    ("HS256 with a blank before PEM as secret", WrongAlgorithm, |f| f.hs256(format!(" {}", f.pem()))),
    ("HS256 with the lines of PEM ended as elsewhere", WrongAlgorithm, |f| f.hs256(f.pem().replace('\n', "\r\n"))),
    ("HS256 with the name of the key as secret", WrongAlgorithm, |f| f.hs256(f.own.kid())),
    ("HS256 with an empty secret", WrongAlgorithm, |f| f.hs256("")),
    ("HS256 with a secret of zeros", WrongAlgorithm, |f| f.hs256([0; 32])),
    ("HS256, signed", WrongAlgorithm, |f| f.with_member("alg", json!("HS256"))),
    ("HS512", WrongAlgorithm, |f| f.with_member("alg", json!("HS512"))),
    ("RS384", WrongAlgorithm, |f| f.with_member("alg", json!("RS384"))),
    ("RS512", WrongAlgorithm, |f| f.with_member("alg", json!("RS512"))),
    ("PS256", WrongAlgorithm, |f| f.with_member("alg", json!("PS256"))),
    ("ES384", WrongAlgorithm, |f| f.with_member("alg", json!("ES384"))),
    ("ES256K", WrongAlgorithm, |f| f.with_member("alg", json!("ES256K"))),
    ("Ed448", WrongAlgorithm, |f| f.with_member("alg", json!("Ed448"))),
    ("an algorithm of encryption", WrongAlgorithm, |f| f.with_member("alg", json!("RSA-OAEP"))),
    ("encryption with the key itself", WrongAlgorithm, |f| f.with_member("alg", json!("dir"))),
    ("encryption with a password, a long time", WrongAlgorithm, |f| {
        let header = changed(f.header.clone(), "p2c", json!(2_147_483_647));
        f.with_header(changed(header, "alg", json!("PBES2-HS256+A128KW")).to_string())
    }),
    ("another algorithm of ours", WrongAlgorithm, |f| f.with_member("alg", json!(f.other_algorithm().word()))),
    ("the algorithm in lower case", WrongAlgorithm, |f| f.with_member("alg", json!(f.algorithm.word().to_lowercase()))),
    ("the algorithm with a blank", WrongAlgorithm, |f| f.with_member("alg", json!(format!("{} ", f.algorithm.word())))),
    ("the algorithm with a newline", WrongAlgorithm, |f| f.with_member("alg", json!(format!("{}\n", f.algorithm.word())))),
    ("a name we do not write", WrongAlgorithm, |f| f.with_member("alg", json!("Ed25519"))),
    ("no `alg`", WrongAlgorithm, |f| f.with_member("alg", Value::Null)),
    ("`alg` empty", WrongAlgorithm, |f| f.with_member("alg", json!(""))),
    ("`alg` a number", WrongAlgorithm, |f| f.with_member("alg", json!(256))),
    ("`alg` a list", WrongAlgorithm, |f| f.with_member("alg", json!([f.algorithm.word()]))),
    ("`alg` an object", WrongAlgorithm, |f| f.with_member("alg", json!({"name": f.algorithm.word()}))),
    ("the key of another algorithm", WrongAlgorithm, |f| {
        f.with_member("kid", json!(f.kid_of(f.other_algorithm(), KeyState::Active)))
    }),
];

pub const KEY: &[Row] = &[
    ("no `kid`", UnknownKey, |f| f.with_member("kid", Value::Null)),
    ("`kid` unknown", UnknownKey, |f| f.with_member("kid", json!("unknown"))),
    ("`kid` empty", UnknownKey, |f| f.with_member("kid", json!(""))),
    ("`kid` a number", UnknownKey, |f| f.with_member("kid", json!(1))),
    ("`kid` a list", UnknownKey, |f| f.with_member("kid", json!([f.own.kid()]))),
    ("`kid` an object", UnknownKey, |f| f.with_member("kid", json!({"kid": f.own.kid()}))),
    ("`kid` a path", UnknownKey, |f| f.with_member("kid", json!("../../../../dev/null"))),
    ("`kid` a path to itself", UnknownKey, |f| f.with_member("kid", json!(format!("./{}", f.own.kid())))),
    ("`kid` an address", UnknownKey, |f| f.with_member("kid", json!("https://attacker.example/key"))),
    ("`kid` a query", UnknownKey, |f| f.with_member("kid", json!("x' UNION SELECT 'secret"))),
    ("`kid` a command", UnknownKey, |f| f.with_member("kid", json!("key|/usr/bin/id"))),
    ("`kid` a pattern", UnknownKey, |f| f.with_member("kid", json!("*"))),
    ("`kid` a prefix of ours", UnknownKey, |f| f.with_member("kid", json!(f.own.kid().split_at(8).0))),
    ("`kid` in another case", UnknownKey, |f| {
        let flip = |c: char| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        f.with_member("kid", json!(f.own.kid().chars().map(flip).collect::<String>()))
    }),
    ("`kid` with a NUL behind it", UnknownKey, |f| f.with_member("kid", json!(format!("{}\0", f.own.kid())))),
    ("`kid` with a blank behind it", UnknownKey, |f| f.with_member("kid", json!(format!("{} ", f.own.kid())))),
    ("`kid` with a newline behind it", UnknownKey, |f| f.with_member("kid", json!(format!("{}\n", f.own.kid())))),
    ("`kid` padded", UnknownKey, |f| f.with_member("kid", json!(format!("{}=", f.own.kid())))),
    ("`kid` too long", UnknownKey, |f| f.with_member("kid", json!("k".repeat(65)))),
    ("`kid` of the standby key", WrongSignature, |f| f.with_member("kid", json!(f.kid_of(f.algorithm, KeyState::Standby)))),
    ("signed with another key", WrongSignature, |f| f.by_attacker(&f.header)),
    ("`kid` of another key", UnknownKey, |f| f.by_attacker_with("kid", json!(f.attacker.kid()))),
    ("`jwk` without `kid`", UnknownKey, |f| {
        f.by_attacker(&changed(changed(f.header.clone(), "jwk", f.attackers_jwk()), "kid", Value::Null))
    }),
    ("`jwk` beside our `kid`", WrongSignature, |f| f.by_attacker_with("jwk", f.attackers_jwk())),
    ("`jwk` of our own with the attacker's signature", WrongSignature, |f| f.by_attacker_with("jwk", f.jwk())),
    ("`jku`", WrongSignature, |f| f.by_attacker_with("jku", json!("https://attacker.example/jwks.json"))),
    ("`x5u`", WrongSignature, |f| f.by_attacker_with("x5u", json!("https://attacker.example/cert.pem"))),
    ("`x5u` of a file", WrongSignature, |f| f.by_attacker_with("x5u", json!("file:///etc/passwd"))),
    ("`x5c`", WrongSignature, |f| f.by_attacker_with("x5c", json!(["MIIB"]))),
    ("`x5t`", WrongSignature, |f| f.by_attacker_with("x5t", json!("AAAA"))),
    ("`x5t#S256`", WrongSignature, |f| f.by_attacker_with("x5t#S256", json!("AAAA"))),
];

pub const CLAIMS: &[Row] = &[
    ("no `iss`", ForeignIssuer, |f| f.with_claim("iss", Value::Null)),
    ("`iss` null", ForeignIssuer, |f| f.with_raw("iss", "null")),
    ("`iss` empty", ForeignIssuer, |f| f.with_claim("iss", json!(""))),
    ("another `iss`", ForeignIssuer, |f| f.with_claim("iss", json!("https://attacker.example"))),
    ("`iss` with a slash more", ForeignIssuer, |f| f.with_claim("iss", json!(format!("{}/", f.claims["iss"].as_str().unwrap())))),
    ("`iss` with a path more", ForeignIssuer, |f| f.with_claim("iss", json!(format!("{}/x", f.claims["iss"].as_str().unwrap())))),
    ("`iss` with a blank more", ForeignIssuer, |f| f.with_claim("iss", json!(format!("{} ", f.claims["iss"].as_str().unwrap())))),
    ("`iss` with a NUL more", ForeignIssuer, |f| f.with_claim("iss", json!(format!("{}\0", f.claims["iss"].as_str().unwrap())))),
    ("`iss` in upper case", ForeignIssuer, |f| f.with_claim("iss", json!(f.claims["iss"].as_str().unwrap().to_uppercase()))),
    ("`iss` with another scheme", ForeignIssuer, |f| {
        f.with_claim("iss", json!(f.claims["iss"].as_str().unwrap().replacen("http", "ftp", 1)))
    }),
    ("`iss` a list", ForeignIssuer, |f| f.with_claim("iss", json!([f.claims["iss"]]))),
    ("no claims", ForeignIssuer, |f| f.with_payload("{}")),
    ("no `exp`", WrongClaim, |f| f.with_claim("exp", Value::Null)),
    ("`exp` null", WrongClaim, |f| f.with_raw("exp", "null")),
    ("`exp` a text", WrongClaim, |f| f.with_claim("exp", json!(f.claims["exp"].to_string()))),
    ("`exp` a list", WrongClaim, |f| f.with_claim("exp", json!([f.claims["exp"]]))),
    ("`exp` an object", WrongClaim, |f| f.with_claim("exp", json!({}))),
    ("`exp` true", WrongClaim, |f| f.with_claim("exp", json!(true))),
    ("`exp` with a fraction", WrongClaim, |f| f.with_raw("exp", &format!("{}.5", f.claims["exp"]))),
    ("`exp` with a fraction of nothing", WrongClaim, |f| f.with_raw("exp", &format!("{}.0", f.claims["exp"]))),
    ("`exp` with an exponent", WrongClaim, |f| f.with_raw("exp", "2e9")),
    ("`exp` negative", WrongClaim, |f| f.with_claim("exp", json!(-1))),
    ("`exp` minus zero", WrongClaim, |f| f.with_raw("exp", "-0")),
    ("`exp` beyond 2^53", WrongClaim, |f| f.with_claim("exp", json!(1_u64 << 53))),
    ("`exp` beyond 2^63", WrongClaim, |f| f.with_claim("exp", json!(1_u64 << 63))),
    ("`exp` beyond 2^64", WrongClaim, |f| f.with_raw("exp", "99999999999999999999")),
    ("`exp` of hundreds of digits", WrongClaim, |f| f.with_raw("exp", &"9".repeat(300))),
    ("`exp` beyond every number", Malformed, |f| f.with_raw("exp", "1e999")),
    ("`exp` with zeros at its front", Malformed, |f| f.with_raw("exp", "0001700000300")),
    ("`exp` with a plus", Malformed, |f| f.with_raw("exp", "+1700000300")),
    ("`exp` in hexadecimal", Malformed, |f| f.with_raw("exp", "0xffffffff")),
    ("`exp` Infinity", Malformed, |f| f.with_raw("exp", "Infinity")),
    ("no `iat`", WrongClaim, |f| f.with_claim("iat", Value::Null)),
    ("`iat` a text", WrongClaim, |f| f.with_claim("iat", json!("now"))),
    ("`iat` negative", WrongClaim, |f| f.with_claim("iat", json!(-1))),
    ("`iat` with a fraction", WrongClaim, |f| f.with_claim("iat", json!(1.5))),
    ("`iat` beyond 2^53", WrongClaim, |f| f.with_claim("iat", json!(u64::MAX))),
    ("`nbf` a text", WrongClaim, |f| f.with_claim("nbf", json!("0"))),
    ("`nbf` null", WrongClaim, |f| f.with_raw("nbf", "null")),
    ("`nbf` a list", WrongClaim, |f| f.with_claim("nbf", json!([]))),
    ("`nbf` negative", WrongClaim, |f| f.with_claim("nbf", json!(-1))),
    ("`nbf` with a fraction", WrongClaim, |f| f.with_claim("nbf", json!(0.5))),
    ("`nbf` beyond 2^64", WrongClaim, |f| f.with_raw("nbf", "99999999999999999999")),
    ("`auth_time` true", WrongClaim, |f| f.with_claim("auth_time", json!(true))),
    ("`auth_time` negative", WrongClaim, |f| f.with_claim("auth_time", json!(-1))),
    ("`born` a text", WrongClaim, |f| f.with_claim("born", json!("1"))),
    ("`born` with a fraction", WrongClaim, |f| f.with_claim("born", json!(1.5))),
    ("`born` beyond 2^53", WrongClaim, |f| f.with_claim("born", json!(1_u64 << 53))),
    ("no `aud`", WrongClaim, |f| f.with_claim("aud", Value::Null)),
    ("`aud` null", WrongClaim, |f| f.with_raw("aud", "null")),
    ("`aud` a number", WrongClaim, |f| f.with_claim("aud", json!(1))),
    ("`aud` an empty list", WrongClaim, |f| f.with_claim("aud", json!([]))),
    ("`aud` a mixed list", WrongClaim, |f| f.with_claim("aud", json!(["https://orders.internal", 1]))),
    ("`aud` a list in a list", WrongClaim, |f| f.with_claim("aud", json!([["https://orders.internal"]]))),
    ("`aud` an object", WrongClaim, |f| f.with_claim("aud", json!({"https://orders.internal": true}))),
    ("no `sub`", WrongClaim, |f| f.with_claim("sub", Value::Null)),
    ("`sub` null", WrongClaim, |f| f.with_raw("sub", "null")),
    ("`sub` a number", WrongClaim, |f| f.with_claim("sub", json!(0))),
    ("`sub` a list", WrongClaim, |f| f.with_claim("sub", json!(["alice", "admin"]))),
    ("no `client_id`", WrongClaim, |f| f.with_claim("client_id", Value::Null)),
    ("`client_id` a number", WrongClaim, |f| f.with_claim("client_id", json!(1))),
    ("`client_id` a list", WrongClaim, |f| f.with_claim("client_id", json!(["web-app"]))),
    ("no `jti`", WrongClaim, |f| f.with_claim("jti", Value::Null)),
    ("`jti` a number", WrongClaim, |f| f.with_claim("jti", json!(1))),
    ("`scope` a list", WrongClaim, |f| f.with_claim("scope", json!(["orders:read"]))),
    ("`scope` null", WrongClaim, |f| f.with_raw("scope", "null")),
    ("`sid` a number", WrongClaim, |f| f.with_claim("sid", json!(1))),
    ("`grant_id` a number", WrongClaim, |f| f.with_claim("grant_id", json!(1))),
    ("`acr` a list", WrongClaim, |f| f.with_claim("acr", json!(["urn:x"]))),
    ("`azp` a list", WrongClaim, |f| f.with_claim("azp", json!([]))),
    ("`nonce` a number", WrongClaim, |f| f.with_claim("nonce", json!(1))),
    ("`amr` a text", WrongClaim, |f| f.with_claim("amr", json!("pwd"))),
    ("`amr` with a number", WrongClaim, |f| f.with_claim("amr", json!(["pwd", 1]))),
    ("`cnf` a text", WrongClaim, |f| f.with_claim("cnf", json!("jkt"))),
    ("`cnf` a list", WrongClaim, |f| f.with_claim("cnf", json!([]))),
    ("`act` a list", WrongClaim, |f| f.with_claim("act", json!([]))),
    ("`authorization_details` an object", WrongClaim, |f| f.with_claim("authorization_details", json!({}))),
    ("`exp` twice", Malformed, |f| f.with_prefixed_claims(r#""exp":9999999999"#)),
    ("`aud` twice", Malformed, |f| f.with_prefixed_claims(r#""aud":"https://other.internal""#)),
    ("`iss` twice, the same", Malformed, |f| f.with_prefixed_claims(&format!("\"iss\":{}", f.claims["iss"]))),
    ("`sub` twice, once escaped", Malformed, |f| f.with_prefixed_claims(r#""s\u0075b":"admin""#)),
    ("a member of the claims twice, deep inside", Malformed, |f| f.with_prefixed_claims(r#""x":{"sub":"a","sub":"b"}"#)),
    ("claims are a list", Malformed, |f| f.with_payload("[]")),
    ("claims are null", Malformed, |f| f.with_payload("null")),
    ("claims are a text", Malformed, |f| f.with_payload(Value::from(f.claims.to_string()).to_string())),
    ("claims are a JWT", Malformed, |f| f.with_payload(f.valid())),
    ("claims too long", Malformed, |f| f.with_claim("big", json!("x".repeat(16 * 1024)))),
    ("claims are empty", Malformed, |f| f.with_payload("")),
    ("claims go on after their end", Malformed, |f| f.with_payload(format!("{} 1", f.claims))),
    ("claims are there twice", Malformed, |f| f.with_payload(format!("{0}{0}", f.claims))),
    ("claims end too soon", Malformed, |f| f.with_payload(f.claims.to_string().chars().take(40).collect::<String>())),
    ("claims begin with a byte order mark", Malformed, |f| f.with_payload(format!("\u{feff}{}", f.claims))),
    ("claims have a NUL at their end", Malformed, |f| f.with_payload(format!("{}\0", f.claims))),
    ("claims in UTF-16", Malformed, |f| {
        f.with_payload(f.claims.to_string().encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>())
    }),
    ("claims are not UTF-8", Malformed, |f| f.with_payload([prefixed(&f.claims, "\"x\":\"").as_bytes(), b"\xff"].concat())),
    ("claims with a character written too long", Malformed, |f| {
        f.with_payload([b"{\"x\":\"\xc0\x80\",", &f.claims.to_string().as_bytes()[1..]].concat())
    }),
    ("claims with half a surrogate pair", Malformed, |f| f.with_prefixed_claims(r#""x":"\udfff""#)),
    ("claims with a raw newline in a text", Malformed, |f| f.with_prefixed_claims("\"x\":\"\n\"")),
    ("claims in single quotes", Malformed, |f| f.with_payload(f.claims.to_string().replace('"', "'"))),
    ("claims compressed", Malformed, |f| f.with_payload([0x78, 0x9c, 0xab, 0x56, 0x4a, 0xad, 0x28, 0x50, 0xb2, 0x32])),
    ("claims nested too deep", Malformed, |f| f.with_prefixed_claims(&format!("\"x\":{}{}", "[".repeat(200), "]".repeat(200)))),
];

/// Genuine by its signature, and not active all the same.
pub const MEANING: &[Meant] = &[
    ("`typ` of an ID token, signed so", Cause::Foreign, |f| f.with_member("typ", json!("JWT"))),
    ("no `born`", Cause::Foreign, |f| f.with_claim("born", Value::Null)),
    ("`client_id` empty", Cause::Foreign, |f| f.with_claim("client_id", json!(""))),
    ("`client_id` with a newline", Cause::Foreign, |f| f.with_claim("client_id", json!("web-app\n"))),
    ("`client_id` too long", Cause::Foreign, |f| f.with_claim("client_id", json!("w".repeat(1_000)))),
    ("`sub` empty", Cause::Foreign, |f| f.with_claim("sub", json!(""))),
    ("`sub` too long", Cause::Foreign, |f| f.with_claim("sub", json!("a".repeat(1_000)))),
    ("`sid` empty", Cause::Foreign, |f| f.with_claim("sid", json!(""))),
    ("`sid` too long", Cause::Foreign, |f| f.with_claim("sid", json!("s".repeat(1_000)))),
    ("`grant_id` too short", Cause::Foreign, |f| f.with_claim("grant_id", json!("AA"))),
    ("`grant_id` padded", Cause::Foreign, |f| f.with_claim("grant_id", json!("AAAAAAAAAAAAAAAAAAAAAA=="))),
    ("`cnf` of nothing", Cause::Foreign, |f| f.with_claim("cnf", json!({}))),
    ("`cnf` of a short thumbprint", Cause::Foreign, |f| f.with_claim("cnf", json!({"jkt": "AA"}))),
    ("`cnf` of a thumbprint that is a number", Cause::Foreign, |f| f.with_claim("cnf", json!({"jkt": 1}))),
    ("`exp` zero", Cause::Expired, |f| f.with_claim("exp", json!(0))),
    ("`exp` now", Cause::Expired, |f| f.with_claim("exp", f.claims["iat"].clone())),
    ("`exp` past", Cause::Expired, |f| f.with_claim("exp", json!(f.claims["iat"].as_u64().unwrap() - 1))),
    ("`nbf` to come", Cause::NotYet, |f| f.with_claim("nbf", json!(f.claims["iat"].as_u64().unwrap() + 1))),
    ("`nbf` far away", Cause::NotYet, |f| f.with_claim("nbf", json!((1_u64 << 53) - 1))),
];

//! Keys with one defect each.

use super::*;
use serde_json::json;

/// The key of RFC 8037 appendix A.2.
fn ed25519_key() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
}

fn p256_key() -> Value {
    json!({"kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"})
}

/// Of so many bits; nobody knows whether it is the product of two primes.
fn rsa_key(bits: usize) -> Value {
    let mut n = vec![0xff; bits.div_ceil(8)];
    n[0] >>= (8 - bits % 8) % 8;
    json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(n), "e": "AQAB"})
}

fn read(jwk: &Value) -> Result<Jwk, Unfit> {
    Jwk::read(jwk.as_object().unwrap())
}

fn with(mut jwk: Value, member: &str, value: impl Into<Value>) -> Result<Jwk, Unfit> {
    jwk[member] = value.into();
    read(&jwk)
}

#[test]
fn each_type_is_read_and_has_one_algorithm() {
    for (jwk, signs) in [(ed25519_key(), Signs::EdDsa), (p256_key(), Signs::Es256), (rsa_key(2_048), Signs::Rs256)] {
        let plain = read(&jwk).unwrap();
        assert_eq!((plain.signs, plain.kid.as_deref()), (signs, None));
        assert_eq!(with(jwk, "kid", "k").unwrap().kid.as_deref(), Some("k"));
    }
    assert_eq!(with(rsa_key(2_048), "alg", "PS256").unwrap().signs, Signs::Ps256);
    assert_eq!(with(ed25519_key(), "alg", "Ed25519").unwrap().signs, Signs::EdDsa);
    for (jwk, alg) in [(p256_key(), "RS256"), (rsa_key(2_048), "ES256"), (ed25519_key(), "HS256"), (rsa_key(2_048), "none")] {
        assert_eq!(with(jwk, "alg", alg), Err(Unfit::Algorithm), "{alg}");
    }
}

#[test]
fn the_thumbprint_of_an_rsa_key_is_that_of_rfc_7638() {
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W\
             -5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyr\
             dkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let key = read(&json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256"})).unwrap().key;
    assert_eq!(URL_SAFE_NO_PAD.encode(key.thumbprint()), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

#[test]
fn weak_keys_are_refused() {
    for (bits, right) in [(1_024, false), (2_047, false), (2_048, true), (2_049, true), (8_192, true), (8_193, false)] {
        assert_eq!(read(&rsa_key(bits)).is_ok(), right, "{bits}");
    }
    for (e, why) in [
        (vec![3], Unfit::Weak),
        (vec![1], Unfit::Weak),
        (vec![1, 0, 0], Unfit::Weak),
        (vec![1, 0, 1, 0, 1], Unfit::Weak),
        (vec![0, 1, 0, 1], Unfit::Malformed),
        (vec![], Unfit::Malformed),
    ] {
        assert_eq!(with(rsa_key(2_048), "e", URL_SAFE_NO_PAD.encode(&e)), Err(why), "{e:?}");
    }
    let mut even = vec![0xff; 256];
    even[255] = 0xfe;
    assert_eq!(with(rsa_key(2_048), "n", URL_SAFE_NO_PAD.encode(&even)), Err(Unfit::Weak));
    let mut longer = vec![0xff; 257];
    longer[0] = 0;
    assert_eq!(with(rsa_key(2_048), "n", URL_SAFE_NO_PAD.encode(&longer)), Err(Unfit::Malformed));
}

#[test]
fn points_for_which_everybody_signs_are_refused() {
    let point = |y: [u8; 32]| with(ed25519_key(), "x", URL_SAFE_NO_PAD.encode(y));
    for mut y in ED25519_LOW_ORDER {
        assert_eq!(point(y), Err(Unfit::Weak), "{y:x?}");
        y[31] |= 0x80;
        assert_eq!(point(y), Err(Unfit::Weak), "{y:x?}");
    }
    // The prime and what is above it: other ways to write 0 and more.
    for first in 0xed..=0xff {
        let mut y = ED25519_PRIME;
        y[0] = first;
        assert_eq!(point(y), Err(Unfit::Weak), "{first:x}");
    }
    let mut below = ED25519_PRIME;
    below[0] = 0xeb;
    assert!(point(below).is_ok());
}

#[test]
fn only_public_keys_for_signatures_are_read() {
    for jwk in [ed25519_key(), p256_key(), rsa_key(2_048)] {
        for member in PRIVATE {
            assert_eq!(with(jwk.clone(), member, "AA"), Err(Unfit::Private), "{member}");
        }
        assert!(with(jwk.clone(), "use", "sig").is_ok());
        assert_eq!(with(jwk.clone(), "use", "enc"), Err(Unfit::Use));
        assert!(with(jwk.clone(), "key_ops", json!(["verify"])).is_ok());
        for ops in [json!(["encrypt"]), json!([]), json!("verify")] {
            assert_eq!(with(jwk.clone(), "key_ops", ops.clone()), Err(Unfit::Use), "{ops}");
        }
        for kid in [json!(""), json!(7), json!("k".repeat(129))] {
            assert_eq!(with(jwk.clone(), "kid", kid.clone()), Err(Unfit::Kid), "{kid}");
        }
    }
    assert_eq!(read(&json!({"kty": "oct", "k": "AAAA"})), Err(Unfit::Private));
    for (jwk, member, value) in
        [(ed25519_key(), "crv", "Ed448"), (ed25519_key(), "kty", "EC"), (p256_key(), "crv", "P-384"), (p256_key(), "kty", "ec")]
    {
        assert_eq!(with(jwk, member, value), Err(Unfit::Type), "{member} {value}");
    }
    for (jwk, member) in [(ed25519_key(), "x"), (p256_key(), "y"), (rsa_key(2_048), "n")] {
        for value in [json!(1), json!("AA=="), json!("A"), Value::Null] {
            assert_eq!(with(jwk.clone(), member, value.clone()), Err(Unfit::Malformed), "{member} {value}");
        }
    }
}

fn set(keys: &[Value]) -> (KeySet, Vec<(usize, Unfit)>) {
    KeySet::read(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

#[test]
fn of_a_set_the_one_key_is_found_that_is_meant() {
    let named = |mut jwk: Value, kid: &str| {
        jwk["kid"] = kid.into();
        jwk
    };
    let (keys, unfit) =
        set(&[named(p256_key(), "a"), named(ed25519_key(), "b"), named(rsa_key(2_048), "c"), rsa_key(1_024), json!(1)]);
    assert_eq!(unfit, [(4, Unfit::Weak), (5, Unfit::Malformed)]);
    let kid = |kid, signs| keys.find(kid, signs).and_then(|key| key.kid.as_deref());
    assert_eq!(kid(Some("a"), Signs::Es256), Some("a"));
    assert_eq!(kid(None, Signs::EdDsa), Some("b"));
    for (named, signs) in
        [(Some("a"), Signs::EdDsa), (Some("c"), Signs::Ps256), (Some("d"), Signs::Rs256), (Some(""), Signs::Es256)]
    {
        assert_eq!(kid(named, signs), None, "{named:?} {signs:?}");
    }
    let (keys, _) = set(&[named(p256_key(), "a"), p256_key()]);
    assert!(keys.find(Some("a"), Signs::Es256).is_some());
    assert_eq!(keys.find(None, Signs::Es256), None, "two could be meant");
    let (keys, _) = set(&[named(p256_key(), "a"), named(p256_key(), "a")]);
    assert_eq!(keys.find(Some("a"), Signs::Es256), None, "two of one name");
}

#[test]
fn what_is_no_set_is_none() {
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
        assert_eq!(KeySet::read(text.as_bytes()), None, "{text}");
    }
    let many = json!({"keys": vec![p256_key(); MAX_KEYS + 1]}).to_string();
    assert_eq!(KeySet::read(many.as_bytes()), None);
    assert!(set(&[]).0.is_empty());
}

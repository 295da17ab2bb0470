//! Assertions with one defect each. Signatures are made and verified elsewhere.

use super::*;
use serde_json::json;

const ISSUER: &str = "https://tokens.example.com";
const NOW: u64 = 1_000_000;

fn expected() -> Expected<'static> {
    Expected { audience: ISSUER, now: Timestamp::from_millis(NOW * 1_000 + 999), lifetime: Millis::from_secs(300) }
}

fn parts() -> (Value, Value) {
    let claims = json!({"iss": "app", "sub": "app", "aud": ISSUER, "jti": "one", "iat": NOW, "exp": NOW + 60});
    (json!({"alg": "ES256", "kid": "k"}), claims)
}

fn written(header: &str, claims: &str) -> String {
    let [header, claims, signature] = [header, claims, "signed"].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{claims}.{signature}")
}

fn judged(text: &str) -> Result<Timestamp, Refusal> {
    Assertion::read(text, Purpose::Client)?.judge(&expected())
}

fn with(change: impl FnOnce(&mut Value, &mut Value)) -> Result<Timestamp, Refusal> {
    let (mut header, mut claims) = parts();
    change(&mut header, &mut claims);
    for part in [&mut header, &mut claims] {
        part.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    }
    judged(&written(&header.to_string(), &claims.to_string()))
}

fn claim(name: &str, value: Value) -> Result<Timestamp, Refusal> {
    with(|_, claims| claims[name] = value)
}

#[test]
fn what_is_right_is_read_whole() {
    let (header, claims) = parts();
    let text = written(&header.to_string(), &claims.to_string());
    let read = Assertion::read(&text, Purpose::Client).unwrap();
    let said = [read.issuer.as_str(), &read.subject, &read.jti, read.kid.as_deref().unwrap()];
    assert_eq!((said, read.signs), (["app", "app", "one", "k"], Signs::Es256));
    assert_eq!(read.signature, b"signed");
    assert!(text.as_bytes().starts_with(read.message) && text.len() == read.message.len() + ".c2lnbmVk".len());
    assert_eq!(format!("{read:?}"), "Assertion(..)");
    assert_eq!(read.judge(&expected()), Ok(Timestamp::from_secs(NOW + 60)));
}

#[test]
fn it_is_for_this_issuer_alone() {
    for aud in [json!(ISSUER), json!([ISSUER])] {
        assert_eq!(claim("aud", aud.clone()), Ok(Timestamp::from_secs(NOW + 60)), "{aud}");
    }
    let others = [
        Value::Null,
        json!([]),
        json!([[ISSUER]]),
        json!([ISSUER, ISSUER]),
        json!([ISSUER, "https://other.example.com"]),
        json!(format!("{ISSUER}/")),
        json!(format!("{ISSUER}/oauth2/token")),
        json!("HTTPS://tokens.example.com"),
        json!(""),
        json!({"iss": ISSUER}),
    ];
    for aud in others {
        assert_eq!(claim("aud", aud.clone()), Err(Refusal::OtherAudience), "{aud}");
    }
}

#[test]
fn its_time_is_short_and_now() {
    for (exp, right) in [
        (NOW - 1, Err(Refusal::Expired)),
        (NOW, Err(Refusal::Expired)),
        (NOW + 1, Ok(NOW + 1)),
        (NOW + 300, Ok(NOW + 300)),
        (NOW + 301, Err(Refusal::TooLong)),
        (MAX_INTEGER, Err(Refusal::TooLong)),
    ] {
        assert_eq!(claim("exp", json!(exp)), right.map(Timestamp::from_secs), "{exp}");
    }
    // Without `iat` the clock of who made it may be ahead by the leeway.
    for (exp, right) in [(NOW + 360, true), (NOW + 361, false)] {
        let judged = with(|_, claims| (claims["iat"], claims["exp"]) = (Value::Null, json!(exp)));
        assert_eq!(judged.is_ok(), right, "{exp}");
    }
    // Made long ago for now.
    assert_eq!(claim("iat", json!(NOW - 241)), Err(Refusal::TooLong));
    assert!(claim("iat", json!(NOW - 240)).is_ok());
    for name in ["iat", "nbf"] {
        assert!(claim(name, json!(NOW + 60)).is_ok(), "{name}");
        assert_eq!(claim(name, json!(NOW + 61)), Err(Refusal::Early), "{name}");
        assert!(claim(name, Value::Null).is_ok(), "{name}");
    }
}

#[test]
fn claims_are_of_their_types() {
    for name in ["iss", "sub", "jti", "exp"] {
        assert_eq!(claim(name, Value::Null), Err(Refusal::WrongClaim), "{name}");
    }
    for name in ["iss", "sub", "jti"] {
        for value in [json!(""), json!(1), json!(["app"]), json!("x".repeat(257)), json!("a\0b")] {
            assert_eq!(claim(name, value.clone()), Err(Refusal::WrongClaim), "{name} {value}");
        }
    }
    for name in ["exp", "iat", "nbf"] {
        for value in [json!(NOW.to_string()), json!(1_000_030.5), json!(-1), json!(1e300), json!([NOW]), json!(1_u64 << 53)] {
            assert_eq!(claim(name, value.clone()), Err(Refusal::WrongClaim), "{name} {value}");
        }
    }
}

#[test]
fn its_header_says_what_it_may() {
    let header = |member: &str, value: Value| with(|header, _| header[member] = value);
    for alg in ["none", "None", "HS256", "HS512", "ES384", "RS512", "es256", ""] {
        assert_eq!(header("alg", json!(alg)), Err(Refusal::WrongAlgorithm), "{alg}");
    }
    assert_eq!(header("alg", Value::Null), Err(Refusal::WrongAlgorithm));
    for alg in crate::jwk::ALGORITHMS {
        assert!(header("alg", json!(alg)).is_ok(), "{alg}");
    }
    assert_eq!(header("crit", json!(["exp"])), Err(Refusal::UnknownCrit));
    for typ in [Value::Null, json!("JWT"), json!("jwt"), json!("application/jwt"), json!("client-authentication+jwt")] {
        assert!(header("typ", typ.clone()).is_ok(), "{typ}");
    }
    for typ in ["at+jwt", "dpop+jwt", "logout+jwt", "authorization-grant+jwt", "token-introspection+jwt", ""] {
        assert_eq!(header("typ", json!(typ)), Err(Refusal::WrongTyp), "{typ}");
    }
    for kid in [json!(1), json!(["k"]), json!("k".repeat(257))] {
        assert_eq!(header("kid", kid.clone()), Err(Refusal::UnknownKey), "{kid}");
    }
    let grant = written(r#"{"alg":"ES256","typ":"authorization-grant+jwt"}"#, &parts().1.to_string());
    assert!(Assertion::read(&grant, Purpose::Grant).is_ok());
    let client = written(r#"{"alg":"ES256","typ":"client-authentication+jwt"}"#, &parts().1.to_string());
    assert_eq!(Assertion::read(&client, Purpose::Grant), Err(Refusal::WrongTyp));
}

#[test]
fn other_forms_are_refused() {
    let (header, claims) = parts();
    let (header, claims) = (header.to_string(), claims.to_string());
    let right = written(&header, &claims);
    assert!(judged(&right).is_ok());
    for malformed in [
        String::new(),
        "a.b".into(),
        "..".into(),
        format!("{right}."),
        format!(".{right}"),
        format!("{right}="),
        format!(" {right}"),
        right.replacen('.', "..", 1),
        written("[]", &claims),
        written(&header, "null"),
        written(&header, &claims.replacen('{', r#"{"iss":"other","#, 1)),
        written(&header.replacen('{', r#"{"alg":"none","#, 1), &claims),
        written(&header, &format!("{claims}{}", " ".repeat(MAX_BYTES))),
    ] {
        assert_eq!(judged(&malformed), Err(Refusal::Malformed), "{malformed}");
    }
}

#[test]
fn a_service_account_says_its_audience_in_a_list_and_may_have_no_jti() {
    let account = |change: &dyn Fn(&mut Value)| {
        let mut claims = json!({"iss": "k8s", "sub": "system:serviceaccount:a:b", "aud": [ISSUER], "iat": NOW, "exp": NOW + 60});
        change(&mut claims);
        let text = written(r#"{"alg":"RS256","kid":"k"}"#, &claims.to_string());
        Assertion::read(&text, Purpose::Caller).and_then(|read| read.judge(&expected()))
    };
    let right = Ok(Timestamp::from_secs(NOW + 60));
    assert_eq!(account(&|_| {}), right);
    assert_eq!(account(&|claims| claims["aud"] = json!(ISSUER)), right);
    assert_eq!(account(&|claims| claims["jti"] = json!("one")), right);
    for aud in [json!([]), json!([ISSUER, "https://kubernetes.default.svc"]), json!(["other"]), json!([[ISSUER]]), json!([1])] {
        assert_eq!(account(&|claims| claims["aud"] = aud.clone()), Err(Refusal::OtherAudience), "{aud}");
    }
    assert_eq!(account(&|claims| claims["jti"] = json!(1)), Err(Refusal::WrongClaim));
    assert_eq!(account(&|claims| _ = claims.as_object_mut().unwrap().remove("exp")), Err(Refusal::WrongClaim), "without an end");
}

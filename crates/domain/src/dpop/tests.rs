//! Proofs with one defect each. Signatures are made and verified elsewhere: here the signature of a proof is the word `signed`.

use super::*;
use serde_json::json;

const TOKEN: &str = "jat_of_a_resource";

/// The key of RFC 8037 appendix A.3, whose thumbprint is told there.
fn key() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
}

fn expected() -> Expected<'static> {
    Expected {
        method: "POST",
        uri: "https://tokens.example.com/oauth2/token",
        access_token: None,
        now: Timestamp::from_millis(1_000_999),
        window: Millis::from_secs(60),
    }
}

fn parts() -> (Value, Value) {
    let claims = json!({"jti": "one", "htm": "POST", "htu": "https://tokens.example.com/oauth2/token", "iat": 1_000});
    (json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": key()}), claims)
}

fn written(header: &str, claims: &str) -> String {
    let [header, claims, signature] = [header, claims, "signed"].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{claims}.{signature}")
}

fn checked(proof: &str, expected: &Expected<'_>) -> Result<Proven, Refusal> {
    check(proof, expected, |_, message, signature| {
        signature == b"signed" && proof.starts_with(std::str::from_utf8(message).unwrap())
    })
}

fn with(change: impl FnOnce(&mut Value, &mut Value)) -> Result<Proven, Refusal> {
    let (mut header, mut claims) = parts();
    change(&mut header, &mut claims);
    checked(&written(&header.to_string(), &claims.to_string()), &expected())
}

#[test]
fn a_proof_tells_the_thumbprint_of_its_key() {
    let proven = with(|_, claims| claims["nonce"] = json!("n")).unwrap();
    assert_eq!(URL_SAFE_NO_PAD.encode(proven.jkt), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!((proven.jti.as_str(), proven.nonce.as_deref()), ("one", Some("n")));
    assert_eq!(proven.until, Timestamp::from_secs(1_061));
    // RFC 9449 section 6.1: the key of its examples.
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"});
    let proven = with(|header, _| {
        header["alg"] = json!("ES256");
        header["jwk"] = jwk;
    });
    assert_eq!(URL_SAFE_NO_PAD.encode(proven.unwrap().jkt), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
}

#[test]
fn a_header_says_what_it_must_and_its_key_is_public() {
    let header = |member: &str, value: Value| with(|header, _| header[member] = value);
    assert_eq!(header("crit", json!([])), Err(Refusal::UnknownCrit));
    for typ in [json!("JWT"), json!("DPoP+jwt"), json!("application/dpop+jwt"), json!(1), Value::Null] {
        assert_eq!(header("typ", typ), Err(Refusal::WrongTyp));
    }
    for alg in ["none", "HS256", "RS256", "ES384", "eddsa", ""] {
        assert_eq!(header("alg", json!(alg)), Err(Refusal::WrongAlgorithm), "{alg}");
    }
    assert_eq!(header("alg", json!("ES256")), Err(Refusal::WrongKey), "the key is of another algorithm");
    assert!(header("alg", json!("Ed25519")).is_ok());
    assert_eq!(header("jwk", json!("text")), Err(Refusal::WrongKey));
    for (member, value) in [("kty", "EC"), ("crv", "Ed448"), ("x", "AA"), ("x", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURp")] {
        assert_eq!(with(|header, _| header["jwk"][member] = json!(value)), Err(Refusal::WrongKey), "{member} {value}");
    }
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        assert_eq!(with(|header, _| header["jwk"][member] = json!("AA")), Err(Refusal::WrongKey), "{member}");
    }
}

#[test]
fn claims_are_there_and_of_the_request() {
    let claim = |name: &str, value: Value| with(|_, claims| claims[name] = value);
    for name in ["jti", "htm", "htu", "iat"] {
        let without = with(|_, claims| _ = claims.as_object_mut().unwrap().remove(name));
        assert_eq!(without, Err(Refusal::WrongClaim), "{name}");
        assert_eq!(claim(name, json!([])), Err(Refusal::WrongClaim), "{name}");
    }
    for (name, value) in [("jti", json!("")), ("jti", json!("x".repeat(257))), ("iat", json!(999.5)), ("iat", json!(-1))] {
        assert_eq!(claim(name, value), Err(Refusal::WrongClaim), "{name}");
    }
    assert_eq!(claim("nonce", json!(7)), Err(Refusal::WrongClaim));
    assert_eq!(claim("htm", json!("post")), Err(Refusal::OtherMethod));
    assert_eq!(claim("htu", json!("https://other.example.com/oauth2/token")), Err(Refusal::OtherUri));
    for (iat, right) in [(939, false), (940, true), (1_060, true), (1_061, false)] {
        assert_eq!(claim("iat", json!(iat)).is_ok(), right, "{iat}");
    }
    assert_eq!(claim("iat", json!(u64::MAX)), Err(Refusal::OutsideWindow));
}

#[test]
fn beside_an_access_token_the_proof_is_for_it() {
    let (header, claims) = parts();
    let at_resource = Expected { access_token: Some(TOKEN), ..expected() };
    let with = |ath: Option<Value>| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().extend(ath.map(|ath| ("ath".to_owned(), ath)));
        checked(&written(&header.to_string(), &claims.to_string()), &at_resource)
    };
    assert!(with(Some(json!(URL_SAFE_NO_PAD.encode(Sha256::digest(TOKEN))))).is_ok());
    assert_eq!(with(None), Err(Refusal::OtherToken));
    assert_eq!(with(Some(json!(URL_SAFE_NO_PAD.encode(Sha256::digest("another"))))), Err(Refusal::OtherToken));
    assert_eq!(with(Some(json!(1))), Err(Refusal::WrongClaim));
}

#[test]
fn other_forms_are_refused() {
    let (header, claims) = parts();
    let (header, claims) = (header.to_string(), claims.to_string());
    let right = written(&header, &claims);
    assert!(checked(&right, &expected()).is_ok());
    let twice = claims.replacen('{', r#"{"jti":"two","#, 1);
    let long = written(&header, &format!("{}{}", claims, " ".repeat(4_096)));
    for malformed in [
        String::new(),
        "a.b".into(),
        format!("{right}."),
        format!(".{right}"),
        format!("{right}="),
        format!("{right}, {right}"),
        written(&header, "[]"),
        written("{", &claims),
        written(&header, &twice),
        long,
    ] {
        assert_eq!(checked(&malformed, &expected()), Err(Refusal::Malformed), "{malformed}");
    }
    let unsigned = right.rsplit_once('.').unwrap().0;
    assert_eq!(checked(&format!("{unsigned}."), &expected()), Err(Refusal::WrongSignature));
}

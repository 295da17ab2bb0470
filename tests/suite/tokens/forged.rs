//! RFC 8725: forged and mistaken JWTs, each derived from a valid one, each refused for its own reason, under every algorithm.

use super::{ISSUER, NOW, first_keys, roots, settings, signing};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton::signing::{KeyState, Signing, SigningKey, Typ, keys};
use jeton::tokens::NotGenuine::{
    BurntKey, ForeignIssuer, Malformed, UnknownCrit, UnknownKey, WrongAlgorithm, WrongClaim, WrongSignature, WrongTyp,
};
use jeton::tokens::{NotGenuine, Tokens, Verified};
use jeton_domain::client::Algorithm;
use jeton_domain::time::Millis;
use serde_json::{Value, json};
use std::sync::Arc;

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A valid token, and what an attacker or a careless issuer has at hand.
struct Forge {
    signing: Arc<Signing>,
    tokens: Tokens,
    algorithm: Algorithm,
    own: Arc<SigningKey>,
    attacker: SigningKey,
}

impl Forge {
    fn new(algorithm: Algorithm) -> Self {
        let signing = Arc::new(signing());
        Self {
            tokens: Tokens::new(Arc::new(roots(&[1])), Arc::clone(&signing), ISSUER.into(), 0),
            own: signing.signer(algorithm, NOW).unwrap(),
            attacker: SigningKey::parse(algorithm, &keys::generate(algorithm).unwrap()).unwrap(),
            signing,
            algorithm,
        }
    }

    fn other_algorithm(&self) -> Algorithm {
        let own = Algorithm::ALL.into_iter().position(|algorithm| algorithm == self.algorithm).unwrap();
        Algorithm::ALL[(own + 1) % Algorithm::ALL.len()]
    }

    fn kid_of(&self, algorithm: Algorithm, state: KeyState) -> String {
        let found = self.signing.status(NOW).into_iter().find(|key| key.algorithm == algorithm && key.state == state);
        found.unwrap().kid
    }

    fn header(&self) -> Value {
        json!({"alg": self.algorithm.word(), "typ": "at+jwt", "kid": self.own.kid()})
    }

    fn claims() -> Value {
        json!({
            "iss": ISSUER, "sub": "alice", "aud": ["https://orders.internal"], "client_id": "mobile-app", "jti": "unique",
            "iat": NOW.secs(), "exp": NOW.secs() + 300, "scope": "orders:read", "amr": ["pwd"], "born": 1,
        })
    }

    /// Parts as given, signed by a key.
    fn signed_by(key: &SigningKey, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let signed = format!("{}.{}", b64(header), b64(payload));
        let signature = key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", b64(signature))
    }

    fn valid(&self) -> String {
        Self::signed_by(&self.own, self.header().to_string(), Self::claims().to_string())
    }

    fn parts(&self) -> [String; 3] {
        self.valid().split('.').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()
    }

    fn signature(&self) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(&self.parts()[2]).unwrap()
    }

    /// The valid token with another signature.
    fn with_signature(&self, signature: impl AsRef<[u8]>) -> String {
        let [header, payload, _] = self.parts();
        format!("{header}.{payload}.{}", b64(signature))
    }

    /// Our own key signs another header.
    fn with_header(&self, header: impl AsRef<[u8]>) -> String {
        Self::signed_by(&self.own, header, Self::claims().to_string())
    }

    /// Our own key signs the header with one member changed; null removes it.
    fn with_member(&self, name: &str, value: Value) -> String {
        self.with_header(changed(self.header(), name, value).to_string())
    }

    /// Our own key signs another payload.
    fn with_payload(&self, payload: impl AsRef<[u8]>) -> String {
        Self::signed_by(&self.own, self.header().to_string(), payload)
    }

    /// Our own key signs the claims with one changed; null removes it.
    fn with_claim(&self, name: &str, value: Value) -> String {
        self.with_payload(changed(Self::claims(), name, value).to_string())
    }

    /// The attacker signs, under our `kid` or another header.
    fn by_attacker(&self, header: &Value) -> String {
        Self::signed_by(&self.attacker, header.to_string(), Self::claims().to_string())
    }

    fn attackers_jwk(&self) -> Value {
        let key = keys::generate(self.algorithm).unwrap();
        serde_json::to_value(keys::VerifyingKey::parse(self.algorithm, &key).unwrap().jwk()).unwrap()
    }

    fn hs256(&self, secret: &[u8]) -> String {
        let header = changed(self.header(), "alg", json!("HS256"));
        let signed = format!("{}.{}", b64(header.to_string()), b64(Self::claims().to_string()));
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
        format!("{signed}.{}", b64(mac))
    }

    fn refusal(&self, jws: &str) -> Option<NotGenuine> {
        match self.tokens.verify(jws, NOW).unwrap() {
            Verified::No(why) => Some(why),
            Verified::Access { .. } | Verified::Id { .. } => None,
        }
    }
}

fn changed(mut object: Value, name: &str, value: Value) -> Value {
    let members = object.as_object_mut().unwrap();
    match value {
        Value::Null => drop(members.remove(name)),
        value => drop(members.insert(name.into(), value)),
    }
    object
}

/// JSON text with a member more at its front, be it there already or not.
fn prefixed(object: &Value, member: &str) -> String {
    object.to_string().replacen('{', &format!("{{{member},"), 1)
}

/// The last character with one of its unused bits set.
fn with_trailing_bit(part: &str) -> String {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (before, last) = part.split_at(part.len() - 1);
    let value = alphabet.find(last).unwrap();
    format!("{before}{}", char::from(alphabet.as_bytes()[value ^ 1]))
}

fn der(signature: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let mut integer = vec![0x02, 33, 0];
        integer.extend_from_slice(bytes);
        integer
    };
    let (r, s) = signature[..64].split_at(32);
    let body = [integer(r), integer(s)].concat();
    [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat()
}

type Row = (&'static str, NotGenuine, fn(&Forge) -> String);

const FORM: &[Row] = &[
    ("nothing", Malformed, |_| String::new()),
    ("one part", Malformed, |f| f.parts()[0].clone()),
    ("two parts", Malformed, |f| f.parts()[..2].join(".")),
    ("four parts", Malformed, |f| f.valid().replacen('.', ".e30.", 1)),
    ("five parts, as a JWE has", Malformed, |f| format!("{}.x.x", f.valid())),
    ("a dot at the end", Malformed, |f| format!("{}.", f.valid())),
    ("a dot at the front", Malformed, |f| format!(".{}", f.valid())),
    ("no signature", WrongSignature, |f| format!("{}.", f.parts()[..2].join("."))),
    ("signature padded", Malformed, |f| format!("{}==", f.valid())),
    ("header padded", Malformed, |f| f.valid().replacen('.', "=.", 1)),
    ("a newline at the end", Malformed, |f| format!("{}\n", f.valid())),
    ("a space at the front", Malformed, |f| format!(" {}", f.valid())),
    ("the scheme at the front", Malformed, |f| format!("Bearer {}", f.valid())),
    ("a NUL inside", Malformed, |f| f.valid().replacen('.', "\0.", 1)),
    ("signature not canonical", Malformed, |f| {
        let [header, payload, signature] = f.parts();
        format!("{header}.{payload}.{}", with_trailing_bit(&signature))
    }),
    ("payload not canonical, signed so", Malformed, |f| {
        let claims = (0..3).map(|n| format!("{}{}", Forge::claims(), " ".repeat(n))).find(|claims| claims.len() % 3 == 1);
        let signed = format!("{}.{}", f.parts()[0], with_trailing_bit(&b64(claims.unwrap())));
        format!("{signed}.{}", b64(f.own.sign(signed.as_bytes()).unwrap()))
    }),
    ("longer than 16 KiB", Malformed, |f| f.with_claim("big", json!("x".repeat(16 * 1024)))),
    ("one bit of the signature", WrongSignature, |f| {
        let mut signature = f.signature();
        signature[40] ^= 1;
        f.with_signature(signature)
    }),
    ("signature cut", WrongSignature, |f| f.with_signature(&f.signature()[..63])),
    ("signature extended", WrongSignature, |f| f.with_signature([f.signature(), vec![0]].concat())),
    ("signature of zeros", WrongSignature, |f| f.with_signature([0; 64])),
    ("signature of zeros, as long as one", WrongSignature, |f| f.with_signature(vec![0; f.signature().len()])),
    ("signature is the number one", WrongSignature, |f| f.with_signature([vec![0; f.signature().len() - 1], vec![1]].concat())),
    ("signature halves swapped", WrongSignature, |f| {
        let (r, s) = (f.signature()[..32].to_vec(), f.signature()[32..].to_vec());
        f.with_signature([s, r].concat())
    }),
    ("signature in DER", WrongSignature, |f| f.with_signature(der(&f.signature()))),
    ("signature of another token", WrongSignature, |f| {
        let other = f.with_claim("sub", json!("bob"));
        f.with_signature(URL_SAFE_NO_PAD.decode(other.rsplit_once('.').unwrap().1).unwrap())
    }),
    ("another payload", WrongSignature, |f| {
        let [header, _, signature] = f.parts();
        format!("{header}.{}.{signature}", b64(changed(Forge::claims(), "sub", json!("admin")).to_string()))
    }),
    ("another header", WrongSignature, |f| {
        let [_, payload, signature] = f.parts();
        format!("{}.{payload}.{signature}", b64(changed(f.header(), "typ", json!("JWT")).to_string()))
    }),
];

const HEADER: &[Row] = &[
    ("header is no JSON", Malformed, |f| f.with_header("header")),
    ("header is a list", Malformed, |f| f.with_header("[]")),
    ("header is null", Malformed, |f| f.with_header("null")),
    ("header goes on after its end", Malformed, |f| f.with_header(format!("{}{{}}", f.header()))),
    ("header begins with a byte order mark", Malformed, |f| f.with_header(format!("\u{feff}{}", f.header()))),
    ("header is not UTF-8", Malformed, |f| f.with_header(b"{\"alg\":\"\xff\"}")),
    ("header too long", Malformed, |f| f.with_member("x", json!("x".repeat(1024)))),
    ("`alg` twice", Malformed, |f| f.with_header(prefixed(&f.header(), r#""alg":"none""#))),
    ("`alg` twice, once escaped", Malformed, |f| f.with_header(prefixed(&f.header(), r#""\u0061lg":"none""#))),
    ("`kid` twice", Malformed, |f| f.with_header(prefixed(&f.header(), r#""kid":"x""#))),
    ("a member twice, deep inside", Malformed, |f| f.with_header(prefixed(&f.header(), r#""x":[{"a":1,"a":2}]"#))),
    ("`crit` of b64", UnknownCrit, |f| {
        f.with_header(changed(changed(f.header(), "b64", json!(false)), "crit", json!(["b64"])).to_string())
    }),
    ("`crit` of exp", UnknownCrit, |f| f.with_member("crit", json!(["exp"]))),
    ("`crit` empty", UnknownCrit, |f| f.with_member("crit", json!([]))),
    ("`crit` null", UnknownCrit, |f| f.with_header(prefixed(&f.header(), r#""crit":null"#))),
    ("no `typ`", WrongTyp, |f| f.with_member("typ", Value::Null)),
    ("`typ` of a logout token", WrongTyp, |f| f.with_member("typ", json!("logout+jwt"))),
    ("`typ` of a DPoP proof", WrongTyp, |f| f.with_member("typ", json!("dpop+jwt"))),
    ("`typ` of an answer of introspection", WrongTyp, |f| f.with_member("typ", json!("token-introspection+jwt"))),
    ("the header of an answer of introspection", WrongTyp, |f| {
        f.with_header(format!(r#"{{"alg":"{}","typ":"token-introspection+jwt","kid":"{}"}}"#, f.algorithm.word(), f.own.kid()))
    }),
    ("`typ` a number", WrongTyp, |f| f.with_member("typ", json!(1))),
    ("`typ` with a space", WrongTyp, |f| f.with_member("typ", json!("at+jwt "))),
    ("`typ` of another tree", WrongTyp, |f| f.with_member("typ", json!("text/at+jwt"))),
];

const ALGORITHM: &[Row] = &[
    ("none, unsigned", WrongAlgorithm, |f| {
        format!("{}.{}.", b64(changed(f.header(), "alg", json!("none")).to_string()), f.parts()[1])
    }),
    ("None, unsigned", WrongAlgorithm, |f| {
        format!("{}.{}.", b64(changed(f.header(), "alg", json!("nOnE")).to_string()), f.parts()[1])
    }),
    ("none, signed", WrongAlgorithm, |f| f.with_member("alg", json!("none"))),
    ("HS256 with the public key as secret", WrongAlgorithm, |f| {
        let (set, _) = f.signing.jwks(NOW);
        let jwk = serde_json::to_value(set.find(f.own.kid())).unwrap();
        f.hs256(&URL_SAFE_NO_PAD.decode(jwk["x"].as_str().or(jwk["n"].as_str()).unwrap()).unwrap())
    }),
    ("HS256 with the published key as secret", WrongAlgorithm, |f| {
        let (set, _) = f.signing.jwks(NOW);
        f.hs256(&serde_json::to_vec(set.find(f.own.kid()).unwrap()).unwrap())
    }),
    ("HS256 with an empty secret", WrongAlgorithm, |f| f.hs256(b"")),
    ("RS512", WrongAlgorithm, |f| f.with_member("alg", json!("RS512"))),
    ("PS256", WrongAlgorithm, |f| f.with_member("alg", json!("PS256"))),
    ("the other algorithm", WrongAlgorithm, |f| f.with_member("alg", json!(f.other_algorithm().word()))),
    ("the algorithm in lower case", WrongAlgorithm, |f| f.with_member("alg", json!(f.algorithm.word().to_lowercase()))),
    ("a name we do not write", WrongAlgorithm, |f| f.with_member("alg", json!("Ed25519"))),
    ("no `alg`", WrongAlgorithm, |f| f.with_member("alg", Value::Null)),
    ("`alg` a list", WrongAlgorithm, |f| f.with_member("alg", json!([f.algorithm.word()]))),
    ("the key of the other algorithm", WrongAlgorithm, |f| {
        f.with_member("kid", json!(f.kid_of(f.other_algorithm(), KeyState::Active)))
    }),
];

const KEY: &[Row] = &[
    ("no `kid`", UnknownKey, |f| f.with_member("kid", Value::Null)),
    ("`kid` unknown", UnknownKey, |f| f.with_member("kid", json!("unknown"))),
    ("`kid` empty", UnknownKey, |f| f.with_member("kid", json!(""))),
    ("`kid` a number", UnknownKey, |f| f.with_member("kid", json!(1))),
    ("`kid` a path", UnknownKey, |f| f.with_member("kid", json!("../../../../dev/null"))),
    ("`kid` a query", UnknownKey, |f| f.with_member("kid", json!("x' UNION SELECT 'secret"))),
    ("`kid` with a NUL behind it", UnknownKey, |f| f.with_member("kid", json!(format!("{}\0", f.own.kid())))),
    ("`kid` too long", UnknownKey, |f| f.with_member("kid", json!("k".repeat(65)))),
    ("`kid` of the standby key", WrongSignature, |f| f.with_member("kid", json!(f.kid_of(f.algorithm, KeyState::Standby)))),
    ("signed with another key", WrongSignature, |f| f.by_attacker(&f.header())),
    ("`kid` of another key", UnknownKey, |f| f.by_attacker(&changed(f.header(), "kid", json!(f.attacker.kid())))),
    ("`jwk` without `kid`", UnknownKey, |f| {
        f.by_attacker(&changed(changed(f.header(), "jwk", f.attackers_jwk()), "kid", Value::Null))
    }),
    ("`jwk` beside our `kid`", WrongSignature, |f| f.by_attacker(&changed(f.header(), "jwk", f.attackers_jwk()))),
    ("`jku`", WrongSignature, |f| f.by_attacker(&changed(f.header(), "jku", json!("https://attacker.example/jwks.json")))),
    ("`x5u`", WrongSignature, |f| f.by_attacker(&changed(f.header(), "x5u", json!("https://attacker.example/cert.pem")))),
    ("`x5c`", WrongSignature, |f| f.by_attacker(&changed(f.header(), "x5c", json!(["MIIB"])))),
];

const CLAIMS: &[Row] = &[
    ("no `iss`", ForeignIssuer, |f| f.with_claim("iss", Value::Null)),
    ("another `iss`", ForeignIssuer, |f| f.with_claim("iss", json!("https://attacker.example"))),
    ("`iss` with a slash more", ForeignIssuer, |f| f.with_claim("iss", json!(format!("{ISSUER}/")))),
    ("`iss` in upper case", ForeignIssuer, |f| f.with_claim("iss", json!(ISSUER.to_uppercase()))),
    ("`iss` a list", ForeignIssuer, |f| f.with_claim("iss", json!([ISSUER]))),
    ("no `exp`", WrongClaim, |f| f.with_claim("exp", Value::Null)),
    ("`exp` a text", WrongClaim, |f| f.with_claim("exp", json!("1700000300"))),
    ("`exp` with a fraction", WrongClaim, |f| f.with_claim("exp", json!(1_700_000_300.5))),
    ("`exp` negative", WrongClaim, |f| f.with_claim("exp", json!(-1))),
    ("`exp` beyond 2^53", WrongClaim, |f| f.with_claim("exp", json!(1_u64 << 53))),
    ("`exp` beyond 2^64", WrongClaim, |f| {
        f.with_payload(Forge::claims().to_string().replace("1700000300", "99999999999999999999"))
    }),
    ("`exp` beyond every number", Malformed, |f| f.with_payload(Forge::claims().to_string().replace("1700000300", "1e999"))),
    ("`exp` null", WrongClaim, |f| f.with_payload(Forge::claims().to_string().replace("1700000300", "null"))),
    ("no `iat`", WrongClaim, |f| f.with_claim("iat", Value::Null)),
    ("`iat` a text", WrongClaim, |f| f.with_claim("iat", json!("now"))),
    ("`nbf` a text", WrongClaim, |f| f.with_claim("nbf", json!("0"))),
    ("`auth_time` true", WrongClaim, |f| f.with_claim("auth_time", json!(true))),
    ("`born` with a fraction", WrongClaim, |f| f.with_claim("born", json!(1.5))),
    ("no `aud`", WrongClaim, |f| f.with_claim("aud", Value::Null)),
    ("`aud` a number", WrongClaim, |f| f.with_claim("aud", json!(1))),
    ("`aud` an empty list", WrongClaim, |f| f.with_claim("aud", json!([]))),
    ("`aud` a mixed list", WrongClaim, |f| f.with_claim("aud", json!(["https://orders.internal", 1]))),
    ("`aud` an object", WrongClaim, |f| f.with_claim("aud", json!({"https://orders.internal": true}))),
    ("no `sub`", WrongClaim, |f| f.with_claim("sub", Value::Null)),
    ("`sub` a number", WrongClaim, |f| f.with_claim("sub", json!(0))),
    ("no `client_id`", WrongClaim, |f| f.with_claim("client_id", Value::Null)),
    ("no `jti`", WrongClaim, |f| f.with_claim("jti", Value::Null)),
    ("`scope` a list", WrongClaim, |f| f.with_claim("scope", json!(["orders:read"]))),
    ("`sid` a number", WrongClaim, |f| f.with_claim("sid", json!(1))),
    ("`amr` a text", WrongClaim, |f| f.with_claim("amr", json!("pwd"))),
    ("`cnf` a text", WrongClaim, |f| f.with_claim("cnf", json!("jkt"))),
    ("`act` a list", WrongClaim, |f| f.with_claim("act", json!([]))),
    ("`authorization_details` an object", WrongClaim, |f| f.with_claim("authorization_details", json!({}))),
    ("`exp` twice", Malformed, |f| f.with_payload(prefixed(&Forge::claims(), r#""exp":9999999999"#))),
    ("`sub` twice, once escaped", Malformed, |f| f.with_payload(prefixed(&Forge::claims(), r#""s\u0075b":"admin""#))),
    ("a member twice, deep inside", Malformed, |f| f.with_payload(prefixed(&Forge::claims(), r#""act":{"sub":"a","sub":"b"}"#))),
    ("claims are a list", Malformed, |f| f.with_payload("[]")),
    ("claims are a JWT", Malformed, |f| f.with_payload(f.valid())),
    ("claims are empty", Malformed, |f| f.with_payload("")),
    ("claims go on after their end", Malformed, |f| f.with_payload(format!("{} 1", Forge::claims()))),
    ("claims are not UTF-8", Malformed, |f| {
        f.with_payload([prefixed(&Forge::claims(), "\"x\":\"").as_bytes(), b"\xff"].concat())
    }),
    ("claims nested too deep", Malformed, |f| {
        f.with_payload(prefixed(&Forge::claims(), &format!("\"x\":{}{}", "[".repeat(200), "]".repeat(200))))
    }),
];

fn refused(rows: &[Row]) {
    for algorithm in Algorithm::ALL {
        let forge = Forge::new(algorithm);
        assert_eq!(forge.refusal(&forge.valid()), None, "what they are derived from is valid");
        for (name, why, forged) in rows {
            assert_eq!(forge.refusal(&forged(&forge)), Some(*why), "{name} ({})", algorithm.word());
        }
    }
}

#[test]
fn rfc8725_forms_that_are_not_ours_are_refused() {
    refused(FORM);
}

#[test]
fn rfc8725_headers_are_read_strictly() {
    refused(HEADER);
}

#[test]
fn rfc8725_3_1_the_algorithm_is_that_of_the_key() {
    refused(ALGORITHM);
}

#[test]
fn rfc8725_3_10_keys_are_only_looked_up() {
    refused(KEY);
}

#[test]
fn rfc8725_3_8_claims_have_their_type_and_issuer() {
    refused(CLAIMS);
}

#[test]
fn every_flipped_bit_of_a_token_is_refused() {
    for algorithm in Algorithm::ALL {
        let forge = Forge::new(algorithm);
        let valid = forge.valid();
        for at in (0..valid.len() * 8).step_by(5) {
            let mut bytes = valid.clone().into_bytes();
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(forge.refusal(&String::from_utf8_lossy(&bytes)).is_some(), "bit {at}");
        }
    }
}

#[test]
fn rfc7515_4_members_we_do_not_know_are_ignored() {
    for algorithm in Algorithm::ALL {
        let forge = Forge::new(algorithm);
        assert_eq!(forge.refusal(&forge.with_member("x", json!({"y": [1]}))), None);
        assert_eq!(forge.refusal(&forge.with_member("typ", json!("APPLICATION/AT+jwt"))), None);
        assert_eq!(forge.refusal(&forge.with_claim("nickname", json!(["al"]))), None);
        assert_eq!(forge.refusal(&forge.with_claim("aud", json!("https://orders.internal"))), None);
    }
}

#[test]
fn a_standby_key_verifies_already_for_another_replicas_clock_may_be_ahead() {
    let forge = Forge::new(Algorithm::EdDsa);
    let later = NOW.plus(settings().rotation_period);
    let ahead = forge.tokens.sign(Typ::AtJwt, Algorithm::EdDsa, &Forge::claims(), later).unwrap();
    assert_ne!(forge.signing.signer(Algorithm::EdDsa, later).unwrap().kid(), forge.own.kid());
    assert!(matches!(forge.tokens.verify(ahead.expose(), NOW), Ok(Verified::Access { .. })));
}

#[test]
fn a_burnt_key_verifies_nothing_and_says_so() {
    let signing = Arc::new(signing());
    let record = Some(first_keys().clone());
    let tokens = Tokens::new(Arc::new(roots(&[1])), Arc::clone(&signing), ISSUER.into(), 0);
    let jwt = tokens.sign(Typ::AtJwt, Algorithm::EdDsa, &Forge::claims(), NOW).unwrap();
    assert!(matches!(tokens.verify(jwt.expose(), NOW), Ok(Verified::Access { .. })));

    let kid = signing.signer(Algorithm::EdDsa, NOW).unwrap().kid().to_owned();
    signing.install(&signing.burn(record, &kid, NOW).unwrap().unwrap()).unwrap();
    assert_eq!(tokens.verify(jwt.expose(), NOW), Ok(Verified::No(BurntKey)));
    assert!(signing.jwks(NOW).0.find(&kid).is_none());
    let next = tokens.sign(Typ::AtJwt, Algorithm::EdDsa, &Forge::claims(), NOW).unwrap();
    assert!(matches!(tokens.verify(next.expose(), NOW), Ok(Verified::Access { .. })));
}

#[test]
fn a_removed_key_is_unknown_without_anybody_removing_it() {
    let forge = Forge::new(Algorithm::Es256);
    let retired = NOW.plus(settings().rotation_period);
    let gone = retired.plus(settings().keep_after_retirement).plus(jeton::signing::NOTICE);
    let jwt = forge.valid();
    let until = gone.minus(Millis::new(1));
    assert!(matches!(forge.tokens.verify(&jwt, until), Ok(Verified::Access { .. })));
    assert_eq!(forge.tokens.verify(&jwt, gone), Ok(Verified::No(UnknownKey)));
}

//! What an attacker or a careless issuer makes of a valid JWT or DPoP proof. No tests here.

use crate::rfc::proof::Prover;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton::signing::{KeyState, Signing, SigningKey, keys};
use jeton_domain::client::Algorithm;
use jeton_domain::time::Timestamp;
use serde_json::{Value, json};
use std::ops::Deref;
use std::sync::Arc;

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn unb64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// How bytes are signed.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A compact JWS in the making, and its own key.
pub struct Jws {
    pub header: Value,
    pub claims: Value,
    sign: Sign,
}

/// A valid JWT of ours, and all the keys there are.
pub struct Forge {
    jws: Jws,
    pub signing: Arc<Signing>,
    pub algorithm: Algorithm,
    pub own: Arc<SigningKey>,
    pub attacker: SigningKey,
    now: Timestamp,
}

impl Deref for Forge {
    type Target = Jws;

    fn deref(&self) -> &Jws {
        &self.jws
    }
}

impl Jws {
    /// Of a DPoP proof.
    pub fn of_proof(prover: Arc<Prover>, claims: Value) -> Self {
        let header = json!({"typ": "dpop+jwt", "alg": prover.algorithm(), "jwk": prover.jwk()});
        Self { header, claims, sign: Box::new(move |message| prover.sign(message)) }
    }

    /// What is signed as it is, by this key.
    pub fn signed(&self, message: String) -> String {
        format!("{message}.{}", b64((self.sign)(message.as_bytes())))
    }

    fn made(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        self.signed(format!("{}.{}", b64(header), b64(payload)))
    }

    pub fn valid(&self) -> String {
        self.made(self.header.to_string(), self.claims.to_string())
    }

    pub fn parts(&self) -> [String; 3] {
        self.valid().split('.').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()
    }

    pub fn signature(&self) -> Vec<u8> {
        unb64(&self.parts()[2])
    }

    /// The valid one with another signature.
    pub fn with_signature(&self, signature: impl AsRef<[u8]>) -> String {
        let [header, payload, _] = self.parts();
        format!("{header}.{payload}.{}", b64(signature))
    }

    /// The valid one with one bit of its signature changed.
    pub fn flipped(&self, byte: usize) -> String {
        let mut signature = self.signature();
        signature[byte] ^= 1;
        self.with_signature(signature)
    }

    /// The right key signs another header.
    pub fn with_header(&self, header: impl AsRef<[u8]>) -> String {
        self.made(header, self.claims.to_string())
    }

    /// The right key signs the header with one member changed; null removes it.
    pub fn with_member(&self, name: &str, value: Value) -> String {
        self.with_header(changed(self.header.clone(), name, value).to_string())
    }

    /// The header with one member changed, under the old signature.
    pub fn with_member_unsigned(&self, name: &str, value: Value) -> String {
        let [_, payload, signature] = self.parts();
        format!("{}.{payload}.{signature}", b64(changed(self.header.clone(), name, value).to_string()))
    }

    /// The right key signs another payload.
    pub fn with_payload(&self, payload: impl AsRef<[u8]>) -> String {
        self.made(self.header.to_string(), payload)
    }

    /// The right key signs the claims with one changed; null removes it.
    pub fn with_claim(&self, name: &str, value: Value) -> String {
        self.with_payload(changed(self.claims.clone(), name, value).to_string())
    }

    /// The right key signs the claims with one written as this text.
    pub fn with_raw(&self, name: &str, raw: &str) -> String {
        let claims = changed(self.claims.clone(), name, Value::Null);
        self.with_payload(prefixed(&claims, &format!("\"{name}\":{raw}")))
    }

    /// The right key signs the header with one member more at its front, be it there already or not.
    pub fn with_prefixed_header(&self, member: &str) -> String {
        self.with_header(prefixed(&self.header, member))
    }

    /// The same of the claims.
    pub fn with_prefixed_claims(&self, member: &str) -> String {
        self.with_payload(prefixed(&self.claims, member))
    }
}

impl Forge {
    /// Over a key set, with the claims of a valid token.
    pub fn new(algorithm: Algorithm, signing: Arc<Signing>, claims: Value, now: Timestamp) -> Self {
        let own = signing.signer(algorithm, now).unwrap();
        let header = json!({"alg": algorithm.word(), "typ": "at+jwt", "kid": own.kid()});
        let signer = Arc::clone(&own);
        let jws = Jws { header, claims, sign: Box::new(move |message| signer.sign(message).unwrap()) };
        let attacker = SigningKey::parse(algorithm, &keys::generate(algorithm).unwrap()).unwrap();
        Self { jws, signing, algorithm, own, attacker, now }
    }

    pub fn other_algorithm(&self) -> Algorithm {
        if self.algorithm == Algorithm::EdDsa { Algorithm::Es256 } else { Algorithm::EdDsa }
    }

    pub fn kid_of(&self, algorithm: Algorithm, state: KeyState) -> String {
        let found = self.signing.status(self.now).into_iter().find(|key| key.algorithm == algorithm && key.state == state);
        found.unwrap().kid
    }

    /// The attacker signs, under our `kid` or another header.
    pub fn by_attacker(&self, header: &Value) -> String {
        let message = format!("{}.{}", b64(header.to_string()), b64(self.claims.to_string()));
        let signature = self.attacker.sign(message.as_bytes()).unwrap();
        format!("{message}.{}", b64(signature))
    }

    /// The same with one member changed.
    pub fn by_attacker_with(&self, name: &str, value: Value) -> String {
        self.by_attacker(&changed(self.header.clone(), name, value))
    }

    pub fn attackers_jwk(&self) -> Value {
        let key = keys::generate(self.algorithm).unwrap();
        serde_json::to_value(keys::VerifyingKey::parse(self.algorithm, &key).unwrap().jwk()).unwrap()
    }

    /// Our key as it is published.
    pub fn jwk(&self) -> Value {
        serde_json::to_value(self.signing.jwks(self.now).0.find(self.own.kid())).unwrap()
    }

    /// Our public key as `SubjectPublicKeyInfo` (RFC 5280 section 4.1).
    pub fn spki(&self) -> Vec<u8> {
        let jwk = self.jwk();
        let number = |name: &str| unb64(jwk[name].as_str().unwrap());
        let (algorithm, key): (&[u8], Vec<u8>) = match self.algorithm {
            Algorithm::EdDsa => (&[0x06, 3, 0x2b, 0x65, 0x70], number("x")),
            Algorithm::Es256 => (
                &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
                [vec![4], number("x"), number("y")].concat(),
            ),
            Algorithm::Rs256 => (
                &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0],
                der(0x30, &[der(2, &[vec![0], number("n")].concat()), der(2, &number("e"))].concat()),
            ),
        };
        der(0x30, &[der(0x30, algorithm), der(3, &[vec![0], key].concat())].concat())
    }

    /// The same as PEM (RFC 7468).
    pub fn pem(&self) -> String {
        let text = base64::engine::general_purpose::STANDARD.encode(self.spki());
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// Signed by a secret that everybody knows.
    pub fn hs256(&self, secret: impl AsRef<[u8]>) -> String {
        let header = changed(self.header.clone(), "alg", json!("HS256"));
        let message = format!("{}.{}", b64(header.to_string()), b64(self.claims.to_string()));
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref()), message.as_bytes());
        format!("{message}.{}", b64(mac))
    }
}

pub fn changed(mut object: Value, name: &str, value: Value) -> Value {
    let members = object.as_object_mut().unwrap();
    match value {
        Value::Null => drop(members.remove(name)),
        value => drop(members.insert(name.into(), value)),
    }
    object
}

/// JSON text with a member more at its front.
pub fn prefixed(object: &Value, member: &str) -> String {
    object.to_string().replacen('{', &format!("{{{member},"), 1)
}

/// The last character with one of its unused bits set.
pub fn with_trailing_bit(part: &str) -> String {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (before, last) = part.split_at(part.len() - 1);
    let value = alphabet.find(last).unwrap();
    format!("{before}{}", char::from(alphabet.as_bytes()[value ^ 1]))
}

/// Of ASN.1, what has this tag.
pub fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ 0..=127 => vec![u8::try_from(short).unwrap()],
        middle @ 128..=255 => vec![0x81, u8::try_from(middle).unwrap()],
        long => [&[0x82][..], &u16::try_from(long).unwrap().to_be_bytes()].concat(),
    };
    [vec![tag], length, content.to_vec()].concat()
}

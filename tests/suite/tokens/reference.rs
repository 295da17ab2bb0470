//! Our signer and reader against an independent one: the jsonwebtoken crate, in both directions.

use super::{ISSUER, NOW, first_keys, roots, signing, tokens_of};
use jeton::signing::Typ;
use jeton::tokens::{Tokens, Verified};
use jeton_domain::client::Algorithm;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What stands before the PKCS#1 key, which the reference takes, in the PKCS#8 of an RSA key of 2048 bits.
const PKCS8_HEAD: usize = 26;

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "alice", "aud": ["https://orders.internal"], "client_id": "mobile-app",
        "iat": NOW.secs(), "exp": NOW.secs() + 300, "jti": "unique", "scope": "orders:read", "nested": {"a": [1, 2.5, null, true]},
    })
}

fn theirs(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
    }
}

#[test]
fn the_reference_verifies_what_we_sign_with_the_key_set_we_publish() {
    let signing = Arc::new(signing());
    let tokens = Tokens::new(Arc::new(roots(&[1])), Arc::clone(&signing), ISSUER.into(), 0);
    // As a gateway gets it: over the wire.
    let published = serde_json::to_string(&signing.jwks(NOW).0).unwrap();
    let published = serde_json::from_str::<JwkSet>(&published).unwrap();
    assert_eq!(published.keys.len(), 6);

    for algorithm in Algorithm::ALL {
        let jwt = tokens.sign(Typ::AtJwt, algorithm, &claims(), NOW).unwrap();
        let header = decode_header(jwt.expose()).unwrap();
        assert_eq!((header.alg, header.typ.as_deref()), (theirs(algorithm), Some("at+jwt")));
        let jwk = published.find(&header.kid.unwrap()).unwrap();
        let mut validation = Validation::new(theirs(algorithm));
        validation.set_audience(&["https://orders.internal"]);
        validation.set_issuer(&[ISSUER]);
        validation.validate_exp = false;
        let read = decode::<Value>(jwt.expose(), &DecodingKey::from_jwk(jwk).unwrap(), &validation).unwrap();
        assert_eq!(read.claims, claims());
    }
}

#[test]
fn we_verify_what_the_reference_signs_whatever_the_order_of_its_header() {
    let record = first_keys();
    let tokens = tokens_of(roots(&[1]), signing());
    for algorithm in Algorithm::ALL {
        let code = jeton::signing::keys::code(algorithm);
        let key = record.keys.iter().find(|key| key.algorithm == code).unwrap();
        let mut header = Header::new(theirs(algorithm));
        header.kid = Some(key.kid.clone());
        header.typ = Some("application/at+JWT".into());
        let private = match algorithm {
            Algorithm::EdDsa => EncodingKey::from_ed_der(&key.private),
            Algorithm::Es256 => EncodingKey::from_ec_der(&key.private),
            Algorithm::Rs256 => EncodingKey::from_rsa_der(&key.private[PKCS8_HEAD..]),
        };
        let jwt = encode(&header, &claims(), &private).unwrap();
        let Verified::Access { kid, algorithm: read, claims: said } = tokens.verify(&jwt, NOW).unwrap() else {
            panic!("an access token");
        };
        assert_eq!((kid, read), (key.kid.clone(), algorithm));
        assert_eq!(Value::Object(said), claims());
    }
}

#[test]
fn an_id_token_is_told_from_an_access_token() {
    let tokens = tokens_of(roots(&[1]), signing());
    let jwt = tokens.sign(Typ::Jwt, Algorithm::Es256, &claims(), NOW).unwrap();
    let Verified::Id { claims: said, .. } = tokens.verify(jwt.expose(), NOW).unwrap() else { panic!("an ID token") };
    assert_eq!(said.get("sub"), Some(&json!("alice")));
    assert_eq!(said, claims().as_object().cloned().unwrap_or_else(Map::new));
}

//! RFC 8725: forged and mistaken JWTs of the forging kit, each derived from a valid one, each refused for its own reason, under every
//! algorithm. What the whole service answers to them is in `rfc/forging.rs`.

use super::{ISSUER, NOW, first_keys, roots, settings, signing};
use crate::rfc::forging::forge::Forge;
use crate::rfc::forging::form::{self, Wrong};
use crate::rfc::forging::jwt::{ALGORITHM, CLAIMS, HEADER, KEY, Row};
use jeton::signing::{Signing, Typ};
use jeton::tokens::NotGenuine::{self, BurntKey, Malformed, UnknownKey, WrongSignature};
use jeton::tokens::{Tokens, Verified};
use jeton_domain::client::Algorithm;
use jeton_domain::time::Millis;
use serde_json::{Value, json};
use std::sync::Arc;

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "alice", "aud": ["https://orders.internal"], "client_id": "mobile-app", "jti": "unique",
        "iat": NOW.secs(), "exp": NOW.secs() + 300, "scope": "orders:read", "amr": ["pwd"], "born": 1,
    })
}

fn forge(algorithm: Algorithm) -> Forge {
    Forge::new(algorithm, Arc::new(signing()), claims(), NOW)
}

fn tokens(signing: &Arc<Signing>) -> Tokens {
    Tokens::new(Arc::new(roots(&[1])), Arc::clone(signing), ISSUER.into(), 0)
}

fn refusal(forge: &Forge, jws: &str) -> Option<NotGenuine> {
    match tokens(&forge.signing).verify(jws, NOW).unwrap() {
        Verified::No(why) => Some(why),
        Verified::Access { .. } | Verified::Id { .. } => None,
    }
}

fn refused(rows: &[Row]) {
    for algorithm in Algorithm::ALL {
        let forge = forge(algorithm);
        assert_eq!(refusal(&forge, &forge.valid()), None, "what they are derived from is valid");
        for (name, why, forged) in rows {
            assert_eq!(refusal(&forge, &forged(&forge)), Some(*why), "{name} ({})", algorithm.word());
        }
    }
}

#[test]
fn rfc8725_forms_that_are_not_ours_are_refused() {
    for (algorithm, of_key) in [(Algorithm::EdDsa, form::ED25519), (Algorithm::Es256, form::P256), (Algorithm::Rs256, form::RSA)]
    {
        let forge = forge(algorithm);
        assert_eq!(refusal(&forge, ""), Some(Malformed));
        for (name, wrong, forged) in form::FORM.iter().chain(of_key) {
            let why = if *wrong == Wrong::Form { Malformed } else { WrongSignature };
            assert_eq!(refusal(&forge, &forged(&forge)), Some(why), "{name} ({})", algorithm.word());
        }
    }
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
        let forge = forge(algorithm);
        let valid = forge.valid();
        for at in (0..valid.len() * 8).step_by(5) {
            let mut bytes = valid.clone().into_bytes();
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(refusal(&forge, &String::from_utf8_lossy(&bytes)).is_some(), "bit {at}");
        }
    }
}

#[test]
fn rfc7515_4_members_we_do_not_know_are_ignored() {
    for algorithm in Algorithm::ALL {
        let forge = forge(algorithm);
        for (member, value) in [("x", json!({"y": [1]})), ("zip", json!("DEF")), ("b64", json!(false)), ("cty", json!("JWT"))] {
            assert_eq!(refusal(&forge, &forge.with_member(member, value)), None, "{member}");
        }
        assert_eq!(refusal(&forge, &forge.with_member("typ", json!("APPLICATION/AT+jwt"))), None);
        assert_eq!(refusal(&forge, &forge.with_claim("nickname", json!(["al"]))), None);
        assert_eq!(refusal(&forge, &forge.with_claim("aud", json!("https://orders.internal"))), None);
    }
}

#[test]
fn a_standby_key_verifies_already_for_another_replicas_clock_may_be_ahead() {
    let forge = forge(Algorithm::EdDsa);
    let later = NOW.plus(settings().rotation_period);
    let ahead = tokens(&forge.signing).sign(Typ::AtJwt, Algorithm::EdDsa, &claims(), later).unwrap();
    assert_ne!(forge.signing.signer(Algorithm::EdDsa, later).unwrap().kid(), forge.own.kid());
    assert!(matches!(tokens(&forge.signing).verify(ahead.expose(), NOW), Ok(Verified::Access { .. })));
}

#[test]
fn a_burnt_key_verifies_nothing_and_says_so() {
    let signing = Arc::new(signing());
    let record = Some(first_keys().clone());
    let tokens = tokens(&signing);
    let jwt = tokens.sign(Typ::AtJwt, Algorithm::EdDsa, &claims(), NOW).unwrap();
    assert!(matches!(tokens.verify(jwt.expose(), NOW), Ok(Verified::Access { .. })));

    let kid = signing.signer(Algorithm::EdDsa, NOW).unwrap().kid().to_owned();
    signing.install(&signing.burn(record, &[&kid], NOW).unwrap().unwrap()).unwrap();
    assert_eq!(tokens.verify(jwt.expose(), NOW), Ok(Verified::No(BurntKey)));
    assert!(signing.jwks(NOW).0.find(&kid).is_none());
    let next = tokens.sign(Typ::AtJwt, Algorithm::EdDsa, &claims(), NOW).unwrap();
    assert!(matches!(tokens.verify(next.expose(), NOW), Ok(Verified::Access { .. })));
}

#[test]
fn a_removed_key_is_unknown_without_anybody_removing_it() {
    let forge = forge(Algorithm::Es256);
    let retired = NOW.plus(settings().rotation_period);
    let gone = retired.plus(settings().keep_after_retirement).plus(jeton::signing::NOTICE);
    let jwt = forge.valid();
    let until = gone.minus(Millis::new(1));
    assert!(matches!(tokens(&forge.signing).verify(&jwt, until), Ok(Verified::Access { .. })));
    assert_eq!(tokens(&forge.signing).verify(&jwt, gone), Ok(Verified::No(UnknownKey)));
}

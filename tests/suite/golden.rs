//! Golden vectors: formats that tokens and records already out there depend on. The values were computed independently of this code.

use crate::tokens::{grant, tokens_of};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton::records::proto::{DeviceRecord, FloorRecord, GrantRecord, SigningKey, SigningRecord};
use jeton::records::{devices, floors, grants, registered};
use jeton::roots::Roots;
use jeton::signing::{Signing, Typ};
use jeton::tokens::{Tokens, Verified, at_hash};
use jeton_domain::client::Algorithm;
use jeton_domain::id::{GrantId, KeyId, TargetId};
use jeton_domain::secret::Secret;
use jeton_domain::time::{Millis, Timestamp};
use jeton_domain::token::{Opaque, Presented, parse};
use prost::Message as _;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

struct Golden(Value);

/// Written in this order.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    client_id: &'a str,
    exp: u64,
    iat: u64,
    jti: &'a str,
}

impl Golden {
    fn read() -> Self {
        Self(serde_json::from_str(include_str!("../golden/tokens.json")).unwrap())
    }

    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        let hex = self.text(name);
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2).unwrap(), 16).unwrap()).collect()
    }

    fn array<const N: usize>(&self, name: &str) -> [u8; N] {
        self.bytes(name).try_into().unwrap()
    }

    fn roots(&self) -> Roots {
        Roots::new(&[Secret::new(self.array("root_key"))]).unwrap()
    }

    fn key(&self) -> KeyId {
        KeyId(self.array("key_id"))
    }

    fn grant_id(&self) -> GrantId {
        GrantId(self.array("grant_id"))
    }

    fn tokens(&self) -> Tokens {
        tokens_of(self.roots(), crate::tokens::signing())
    }

    fn opaque(&self) -> Opaque {
        let Presented::Opaque(token) = parse(self.text("opaque_access_token")) else { panic!("an opaque access token") };
        token
    }
}

#[test]
fn root_key_ids_and_check_values() {
    let (golden, roots) = (Golden::read(), Golden::read().roots());
    assert_eq!(roots.active(), golden.key());
    assert_eq!(roots.check(golden.key()), Some(golden.array("check")));
}

#[test]
fn refresh_tokens_and_codes() {
    let (golden, tokens) = (Golden::read(), Golden::read().tokens());
    let mut grant = grant(golden.key());
    grant.id = golden.grant_id();
    grant.nonce = Secret::new(golden.array("nonce"));
    let generation = u32::try_from(golden.0["generation"].as_u64().unwrap()).unwrap();
    let refresh = tokens.refresh_token(&grant, generation, golden.key()).unwrap();
    assert_eq!(refresh.expose(), golden.text("refresh_token"));
    let code = tokens.authorization_code(&grant, 0, golden.key()).unwrap();
    assert_eq!(code.expose(), golden.text("authorization_code"));
}

#[test]
fn opaque_access_tokens() {
    let (golden, tokens) = (Golden::read(), Golden::read().tokens());
    let token = golden.opaque();
    assert_eq!((token.key, token.grant, token.random), (golden.key(), golden.grant_id(), golden.array("random")));
    assert_eq!((token.generation, token.scope_bits, token.resource_bits), (7, 5, 2));
    assert_eq!((token.issued_at, token.lifetime), (NOW, Millis::from_secs(300)));
    assert_eq!(tokens.prove_opaque(&token, &Secret::new(golden.array("nonce"))), Ok(true));
    assert_eq!(token.encode().expose(), golden.text("opaque_access_token"));
}

#[test]
fn token_ids() {
    let (golden, tokens) = (Golden::read(), Golden::read().tokens());
    let (key, random) = (golden.key(), golden.array("random"));
    assert_eq!(tokens.jti(Some(golden.grant_id()), 7, random, key).unwrap(), golden.text("jti"));
    assert_eq!(tokens.jti(None, 0, random, key).unwrap(), golden.text("jti_without_grant"));
    assert_eq!(tokens.read_jti(Some(golden.grant_id()), golden.text("jti")), Ok(Some((key, 7))));
}

#[test]
fn sealed_records() {
    let (golden, roots) = (Golden::read(), Golden::read().roots());
    let plain = roots.open(golden.text("sealed_name"), &golden.bytes("sealed")).unwrap();
    assert_eq!(plain.as_slice(), golden.text("sealed_plain").as_bytes());
}

/// The replica that has just this signing key.
fn signing_with(golden: &Golden, key: &str, algorithm: u32) -> Tokens {
    let key = SigningKey {
        kid: golden.text(&format!("{key}_kid")).into(),
        algorithm,
        private: golden.bytes(&format!("{key}_pkcs8")),
        public: golden.bytes(&format!("{key}_public")),
        created_at: 1,
        activates_at: 1,
        retires_at: 0,
        removed_at: 0,
        burnt_at: 0,
    };
    let signing = Signing::new(crate::tokens::settings());
    signing.install(&SigningRecord { keys: vec![key] }).unwrap();
    Tokens::new(Arc::new(golden.roots()), Arc::new(signing), "https://jeton.internal".into(), 0)
}

fn claims(golden: &Golden) -> Claims<'_> {
    Claims {
        iss: "https://jeton.internal",
        sub: "alice",
        aud: "https://orders.internal",
        client_id: "mobile-app",
        exp: 1_700_000_300,
        iat: 1_700_000_000,
        jti: golden.text("jti"),
    }
}

#[test]
fn eddsa_jwts_and_their_hashes() {
    let golden = Golden::read();
    let tokens = signing_with(&golden, "signing_key", 1);
    let jwt = tokens.sign(Typ::AtJwt, Algorithm::EdDsa, &claims(&golden), NOW).unwrap();
    assert_eq!(jwt.expose(), golden.text("jwt"));
    assert!(matches!(tokens.verify(golden.text("jwt"), NOW), Ok(Verified::Access { .. })));
    assert_eq!(at_hash(Algorithm::EdDsa, jwt.expose()), golden.text("at_hash_eddsa"));
    for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
        assert_eq!(at_hash(algorithm, jwt.expose()), golden.text("at_hash_es256"));
    }
    // RFC 8037 appendix A.3 gives the thumbprint of this key.
    let thumbprint = URL_SAFE_NO_PAD.decode("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k").unwrap();
    assert_eq!(golden.text("signing_key_kid"), URL_SAFE_NO_PAD.encode(&thumbprint[..8]));
}

#[test]
fn rs256_jwts() {
    let golden = Golden::read();
    let tokens = signing_with(&golden, "rsa_signing_key", 3);
    let jwt = tokens.sign(Typ::AtJwt, Algorithm::Rs256, &claims(&golden), NOW).unwrap();
    assert_eq!(jwt.expose(), golden.text("rsa_jwt"));
    assert!(matches!(tokens.verify(golden.text("rsa_jwt"), NOW), Ok(Verified::Access { .. })));
}

/// A field that only a newer version knows: number 1000, a one.
const NEWER: [u8; 3] = [0xC0, 0x3E, 1];

/// Records as they are in stores out there: each is read, also with what a newer version added, and written as it was, so that an earlier
/// version beside this one reads it.
#[test]
fn records_are_what_they_always_were() {
    let golden = Golden(serde_json::from_str(include_str!("../golden/records.json")).unwrap());
    let same = |name: &str, again: &dyn Fn(&[u8]) -> Vec<u8>| {
        let bytes = golden.bytes(name);
        assert_eq!(again(&bytes), bytes, "{name}");
        assert_eq!(again(&[&bytes[..], &NEWER].concat()), bytes, "{name}, of a newer version");
    };
    let id = GrantId([7; 16]);
    for name in ["grant", "grant_of_today"] {
        same(name, &|bytes| {
            let known = grants::decode(id, &GrantRecord::decode(bytes).unwrap()).unwrap();
            let grants::Known::Grant(grant) = known else { panic!("{known:?}") };
            assert_eq!(
                (grant.subject.as_str(), grant.lineage.newest, grant.tokens_revoked),
                ("alice", 5, if name == "grant" { 0 } else { 15 })
            );
            grants::encode(&grant).encode_to_vec()
        });
    }
    same("device", &|bytes| devices::encode(&devices::decode(&DeviceRecord::decode(bytes).unwrap()).unwrap()).encode_to_vec());
    same("floor", &|bytes| {
        floors::encode(&floors::decode(TargetId([1; 16]), &FloorRecord::decode(bytes).unwrap()).unwrap()).encode_to_vec()
    });
    same("client", &|bytes| registered::client_record(&registered::client("shop", bytes).unwrap()));
    same("resource", &|bytes| registered::resource_record(&registered::resource("urn:r", bytes).unwrap()));
}

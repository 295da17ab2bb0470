//! Tokens made and proved, against the real ring and real signing keys.

mod forged;
mod reference;

use jeton::records::proto::SigningRecord;
use jeton::roots::Roots;
use jeton::signing::{Settings, Signing, Typ};
use jeton::tokens::{NotGenuine, Tokens, Verified};
use jeton_domain::client::{Algorithm, GrantType};
use jeton_domain::error::Error;
use jeton_domain::grant::{Grant, Lineage, SignIn};
use jeton_domain::id::{GrantId, Identity, KeyId};
use jeton_domain::name::{ClientId, ResourceId, Subject};
use jeton_domain::revision::Born;
use jeton_domain::scope::Scopes;
use jeton_domain::secret::Secret;
use jeton_domain::time::{Millis, Timestamp};
use jeton_domain::token::{Numbered, NumberedKind, Opaque, Presented, parse};
use serde_json::Map;
use std::sync::{Arc, LazyLock};

pub const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
pub const ISSUER: &str = "https://jeton.internal";

pub fn settings() -> Settings {
    Settings {
        rotation_period: Millis::from_secs(86_400),
        publish_ahead: Millis::from_secs(3_600),
        jwks_max_age: Millis::from_secs(600),
        keep_after_retirement: Millis::from_secs(7_200),
        makes_rs256: true,
    }
}

/// The first keys of each algorithm: the same for every test, as those for RS256 are slow to make.
pub fn first_keys() -> &'static SigningRecord {
    static FIRST: LazyLock<SigningRecord> = LazyLock::new(|| {
        let signing = Signing::new(settings());
        loop {
            match signing.advance(None, NOW) {
                Err(_) if signing.is_short() => signing.restock().unwrap(),
                made => return made.unwrap().unwrap(),
            }
        }
    });
    &FIRST
}

pub fn signing() -> Signing {
    let signing = Signing::new(settings());
    signing.install(first_keys()).unwrap();
    signing
}

pub fn roots(keys: &[u8]) -> Roots {
    Roots::new(&keys.iter().map(|key| Secret::new([*key; 32])).collect::<Vec<_>>()).unwrap()
}

pub fn tokens_of(roots: Roots, signing: Signing) -> Tokens {
    Tokens::new(Arc::new(roots), Arc::new(signing), ISSUER.into(), 0)
}

pub fn grant(key: KeyId) -> Grant {
    Grant {
        id: GrantId([9; 16]),
        subject: Subject::parse("sub", "alice").unwrap(),
        client: ClientId::parse("client", "mobile-app").unwrap(),
        session: None,
        scopes: Scopes::parse("scope", "openid orders:read orders:write").unwrap(),
        resources: ["https://orders.internal", "https://payments.internal"]
            .map(|resource| ResourceId::parse("resource", resource).unwrap())
            .to_vec(),
        sign_in: SignIn { auth_time: Some(NOW), acr: None, amr: vec![], method: GrantType::AuthorizationCode },
        binding: None,
        born: Born(1),
        created_at: NOW,
        idle: Millis::from_secs(60),
        absolute_end: NOW.plus(Millis::from_secs(600)),
        nonce: Secret::new([7; 16]),
        lineage: Lineage {
            refreshable: true,
            newest: 1,
            parent: 0,
            arrived: 0,
            reported: 0,
            handed_at: Timestamp::NEVER,
            used_at: NOW,
            key,
            key_since: 0,
            request: None,
            identity: Identity([0; 8]),
            code: None,
        },
        ended: None,
        authorization_details: vec![],
        access_claims: Map::new(),
        id_claims: Map::new(),
        tokens_revoked: 0,
        act: None,
        ancestors: Vec::new(),
    }
}

fn world() -> (Tokens, Grant) {
    let roots = roots(&[1]);
    let grant = grant(roots.active());
    (tokens_of(roots, signing()), grant)
}

fn numbered(text: &str) -> Numbered {
    let Presented::Numbered(token) = parse(text) else { panic!("a refresh token or code") };
    token
}

fn opaque(text: &str) -> Opaque {
    let Presented::Opaque(token) = parse(text) else { panic!("an opaque access token") };
    token
}

#[test]
fn a_refresh_token_is_derived_and_proves_itself() {
    let (tokens, grant) = world();
    let text = tokens.refresh_token(&grant, 7, grant.lineage.key).unwrap();
    assert_eq!(text, tokens.refresh_token(&grant, 7, grant.lineage.key).unwrap());
    let token = numbered(text.expose());
    assert_eq!((token.kind, token.grant, token.generation), (NumberedKind::Refresh, grant.id, 7));
    assert_eq!(tokens.prove(&token, &grant.nonce), Ok(true));
}

#[test]
fn nothing_but_the_very_token_is_proved() {
    let (tokens, grant) = world();
    let token = numbered(tokens.refresh_token(&grant, 7, grant.lineage.key).unwrap().expose());
    let other = |change: fn(&mut Numbered)| {
        let mut other = token.clone();
        change(&mut other);
        tokens.prove(&other, &grant.nonce)
    };
    assert_eq!(tokens.prove(&token, &Secret::new([8; 16])), Ok(false));
    assert_eq!(other(|token| token.generation = 8), Ok(false));
    assert_eq!(other(|token| token.grant.0[15] ^= 1), Ok(false));
    assert_eq!(other(|token| token.tag[31] ^= 1), Ok(false));
    assert_eq!(other(|token| token.kind = NumberedKind::Code), Ok(false));
    assert_eq!(other(|token| token.key.0[0] ^= 1), Ok(false));
}

#[test]
fn a_code_and_a_refresh_token_of_the_same_generation_differ() {
    let (tokens, grant) = world();
    let code = numbered(tokens.authorization_code(&grant, 0, grant.lineage.key).unwrap().expose());
    let refresh = numbered(tokens.refresh_token(&grant, 0, grant.lineage.key).unwrap().expose());
    assert_eq!((code.kind, code.generation), (NumberedKind::Code, 0));
    assert_ne!(code.tag, refresh.tag);
    assert_eq!(tokens.prove(&code, &grant.nonce), Ok(true));
}

#[test]
fn an_opaque_token_says_its_scopes_and_resources_by_the_grant() {
    let (tokens, grant) = world();
    let scopes = Scopes::parse("scope", "orders:write openid").unwrap();
    let now = Timestamp::from_millis(1_700_000_000_999);
    let text = tokens.opaque(&grant, 3, grant.lineage.key, now, Millis::new(300_999), &scopes, &grant.resources[1..]).unwrap();
    let token = opaque(text.expose());
    assert_eq!(tokens.prove_opaque(&token, &grant.nonce), Ok(true));
    assert_eq!(token.scopes(&grant).unwrap().to_string(), "openid orders:write");
    assert_eq!(token.resources(&grant).unwrap(), grant.resources[1..]);
    assert_eq!((token.issued_at, token.lifetime), (NOW, Millis::from_secs(300)));
    assert_eq!(token.expires_at(), NOW.plus(Millis::from_secs(300)));

    let other = |change: fn(&mut Opaque)| {
        let mut other = token.clone();
        change(&mut other);
        (tokens.prove_opaque(&other, &grant.nonce), other.scopes(&grant).is_some(), other.resources(&grant).is_some())
    };
    assert_eq!(other(|token| token.lifetime = Millis::from_secs(301)).0, Ok(false));
    assert_eq!(other(|token| token.random[0] ^= 1).0, Ok(false));
    assert_eq!(other(|token| token.tag[0] ^= 1).0, Ok(false));
    assert_eq!(other(|token| token.scope_bits = 1 << 3), (Ok(false), false, true));
    assert_eq!(other(|token| token.resource_bits = 1 << 15), (Ok(false), true, false));
}

#[test]
fn an_opaque_token_cannot_say_what_is_not_the_grants() {
    let (tokens, mut grant) = world();
    let key = grant.lineage.key;
    let foreign = Scopes::parse("scope", "admin").unwrap();
    let none = Scopes::default();
    let minute = Millis::from_secs(60);
    let elsewhere = [ResourceId::parse("resource", "https://elsewhere.internal").unwrap()];
    assert!(matches!(tokens.opaque(&grant, 1, key, NOW, minute, &foreign, &[]), Err(Error::Internal(_))));
    assert!(matches!(tokens.opaque(&grant, 1, key, NOW, minute, &none, &elsewhere), Err(Error::Internal(_))));
    assert!(matches!(tokens.opaque(&grant, 1, key, NOW, Millis::new(999), &none, &[]), Err(Error::Internal(_))));
    assert!(matches!(tokens.opaque(&grant, 1, key, NOW, Millis::from_secs(1 << 24), &none, &[]), Err(Error::Internal(_))));

    grant.scopes = Scopes::parse("scope", &(0..65).map(|n| format!("s{n}")).collect::<Vec<_>>().join(" ")).unwrap();
    let last = |n: u32| Scopes::parse("scope", &format!("s{n}")).unwrap();
    assert!(tokens.opaque(&grant, 1, key, NOW, minute, &last(63), &[]).is_ok());
    assert!(matches!(tokens.opaque(&grant, 1, key, NOW, minute, &last(64), &[]), Err(Error::Internal(_))));
}

#[test]
fn the_jti_of_an_opaque_token_is_made_of_its_fields() {
    let (tokens, grant) = world();
    let text = tokens.opaque(&grant, 3, grant.lineage.key, NOW, Millis::from_secs(60), &Scopes::default(), &[]).unwrap();
    let token = opaque(text.expose());
    let jti = tokens.jti(Some(token.grant), token.generation, token.random, token.key).unwrap();
    assert_eq!(tokens.read_jti(Some(grant.id), &jti), Ok(Some((grant.lineage.key, 3))));
}

#[test]
fn a_jti_proves_its_generation_for_its_grant_only() {
    let (tokens, grant) = world();
    let jti = tokens.jti(Some(grant.id), 3, [5; 8], grant.lineage.key).unwrap();
    assert_eq!(jti.len(), 32);
    assert_eq!(tokens.read_jti(None, &jti), Ok(None));
    assert_eq!(tokens.read_jti(Some(GrantId([8; 16])), &jti), Ok(None));
    for at in 0..jti.len() * 8 {
        let mut bytes = jti.clone().into_bytes();
        bytes[at / 8] ^= 1 << (at % 8);
        assert_eq!(tokens.read_jti(Some(grant.id), &String::from_utf8_lossy(&bytes)), Ok(None), "bit {at}");
    }
    for bad in ["", "A", &format!("{jti}A"), &"=".repeat(32)] {
        assert_eq!(tokens.read_jti(Some(grant.id), bad), Ok(None), "{bad:?}");
    }
    let alone = tokens.jti(None, 0, [5; 8], grant.lineage.key).unwrap();
    assert_eq!(tokens.read_jti(None, &alone), Ok(Some((grant.lineage.key, 0))));
}

#[test]
fn a_root_key_that_is_missing_here_is_an_error_and_an_unknown_or_burnt_one_proves_nothing() {
    let (old, new) = (roots(&[1]), roots(&[2]));
    let (old_key, new_key) = (old.active(), new.active());
    let grant = grant(old_key);
    let text = tokens_of(old, signing()).refresh_token(&grant, 1, old_key).unwrap();
    let token = numbered(text.expose());

    let new = Arc::new(new);
    let tokens = Tokens::new(Arc::clone(&new), Arc::new(signing()), ISSUER.into(), 0);
    assert_eq!(tokens.prove(&token, &grant.nonce), Ok(false));
    assert!(matches!(tokens.refresh_token(&grant, 1, old_key), Err(Error::Internal(_))));
    new.learn(vec![(old_key, 1), (new_key, 2)], vec![]);
    assert_eq!(tokens.prove(&token, &grant.nonce), Err(Error::RootKeyMissing(old_key.to_string())));
    assert_eq!(tokens.refresh_token(&grant, 1, old_key), Err(Error::RootKeyMissing(old_key.to_string())));
    new.learn(vec![(old_key, 1), (new_key, 2)], vec![old_key]);
    assert_eq!(tokens.prove(&token, &grant.nonce), Ok(false));
}

#[test]
fn without_signing_keys_nothing_is_told_about_a_jwt() {
    let tokens = tokens_of(roots(&[1]), Signing::new(settings()));
    let (signing, claims) = (self::signing(), serde_json::json!({"sub": "alice"}));
    let jwt = tokens_of(roots(&[1]), signing).sign(Typ::AtJwt, Algorithm::EdDsa, &claims, NOW).unwrap();
    assert!(matches!(tokens.verify(jwt.expose(), NOW), Err(Error::Internal(_))));
    assert_eq!(tokens.verify("a.b.c", NOW), Ok(Verified::No(NotGenuine::Malformed)));
}

//! What the tokens say, read by another library with the published keys.

use crate::on_every_store;
use crate::world::{ISSUER, ORDERS, PAYMENTS, Replica, SCOPES, WEB_SECRET, World, alice, mobile, refusal, secret, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton::api::{AuthenticationContext, Confirmation, GrantType, IssueRequest, RefreshRequest};
use jeton::tokens::at_hash;
use jeton_domain::client::Algorithm;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Header, Validation, decode, decode_header};
use prost_types::value::Kind;
use prost_types::{Struct, Value as ProtoValue};
use serde_json::{Value, json};
use tonic::Code;

on_every_store! {
    rfc9068_2_2_the_claims_of_an_access_token_exactly,
    oidc_core_2_the_claims_of_an_id_token_exactly,
    oidc_core_12_2_a_refreshed_id_token_has_the_same_identity_a_new_iat_and_no_nonce,
    a_jwt_and_an_opaque_token_say_the_same,
    further_claims_are_said_and_never_override,
    rfc8705_3_a_sender_constraint_is_said_and_demanded,
    algorithms_are_chosen_by_resource_and_client,
}

/// Header and claims, the signature checked with the key that the service publishes under the header's `kid`.
pub async fn verified(server: &Replica, jwt: &str) -> (Header, Value) {
    let header = decode_header(jwt).unwrap();
    let published = server.jwks().await.keys;
    let key = published.iter().find(|key| Some(&key.kid) == header.kid.as_ref()).expect("its key is published");
    let mut jwk = json!({"kty": key.kty, "use": key.r#use, "alg": key.alg, "kid": key.kid});
    for (name, member) in [("crv", &key.crv), ("x", &key.x), ("y", &key.y), ("n", &key.n), ("e", &key.e)] {
        if !member.is_empty() {
            jwk[name] = member.clone().into();
        }
    }
    let jwk: Jwk = serde_json::from_value(jwk).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.validate_aud = false;
    validation.validate_exp = false;
    validation.set_issuer(&[ISSUER]);
    let claims = decode::<Value>(jwt, &DecodingKey::from_jwk(&jwk).unwrap(), &validation).unwrap().claims;
    (header, claims)
}

fn structure(of: &[(&str, Kind)]) -> Struct {
    let field = |(name, kind): &(&str, Kind)| ((*name).to_owned(), ProtoValue { kind: Some(kind.clone()) });
    Struct { fields: of.iter().map(field).collect() }
}

fn text(text: &str) -> Kind {
    Kind::StringValue(text.into())
}

/// A sign-in of which everything is said.
fn whole(world: &World, client: &str, scope: &str) -> IssueRequest {
    let kind = if scope.contains("payments") { "payment" } else { "order" };
    let amount = Kind::StructValue(structure(&[("sum", Kind::NumberValue(5.0))]));
    let member = if kind == "payment" { ("amount", amount) } else { ("identifier", text("7")) };
    IssueRequest {
        sid: "s-1".into(),
        nonce: "n-1".into(),
        authentication: Some(AuthenticationContext {
            auth_time: world.now() - 77,
            acr: "urn:acr:2".into(),
            amr: vec!["pwd".into(), "mfa".into()],
            method: GrantType::Password.into(),
        }),
        access_token_claims: Some(structure(&[("tenant", text("t-1"))])),
        id_token_claims: Some(structure(&[("name", text("Alice"))])),
        authorization_details: vec![structure(&[("type", text(kind)), member])],
        ..alice(client, scope)
    }
}

async fn rfc9068_2_2_the_claims_of_an_access_token_exactly(world: World) {
    let server = world.start().await;
    let issued = server.issue(whole(&world, "mobile-app", SCOPES)).await;
    assert_eq!((issued.token_type.as_str(), issued.expires_in), ("Bearer", 300));
    let (header, claims) = verified(&server, &issued.access_token).await;
    assert_eq!((header.typ.as_deref(), header.alg), (Some("at+jwt"), jsonwebtoken::Algorithm::EdDSA));
    let now = world.now();
    let (jti, born) = (claims["jti"].clone(), claims["born"].clone());
    assert_eq!(
        claims,
        json!({
            "iss": ISSUER, "sub": "alice", "aud": ORDERS, "client_id": "mobile-app", "scope": SCOPES,
            "iat": now, "exp": now + 300, "jti": jti, "born": born, "sid": "s-1", "grant_id": issued.grant_id,
            "auth_time": now - 77, "acr": "urn:acr:2", "amr": ["pwd", "mfa"], "tenant": "t-1",
            "authorization_details": [{"type": "order", "identifier": "7"}],
        })
    );
    assert_eq!(jti.as_str().unwrap().len(), 32);
    assert!(born.as_u64().unwrap() < 1 << 53);
    world.pass(11);
    let refreshed = server.refresh(mobile(&issued.refresh_token)).await;
    let (_, again) = verified(&server, &refreshed.access_token).await;
    assert_ne!(again["jti"], jti);
    assert_eq!((&again["iat"], &again["exp"]), (&json!(now + 11), &json!(now + 311)));
    for same in ["iss", "sub", "aud", "client_id", "scope", "born", "sid", "grant_id", "auth_time", "acr", "amr", "tenant"] {
        assert_eq!(again[same], claims[same], "{same}");
    }
    assert_eq!(again["authorization_details"], claims["authorization_details"]);
}

async fn oidc_core_2_the_claims_of_an_id_token_exactly(world: World) {
    let server = world.start().await;
    let issued = server.issue(whole(&world, "mobile-app", SCOPES)).await;
    let (header, claims) = verified(&server, &issued.id_token).await;
    assert_eq!(header.typ.as_deref(), Some("JWT"));
    let now = world.now();
    let lifetime = claims["exp"].as_i64().unwrap() - now;
    assert_eq!(
        claims,
        json!({
            "iss": ISSUER, "sub": "alice", "aud": "mobile-app", "iat": now, "exp": now + lifetime, "auth_time": now - 77,
            "nonce": "n-1", "acr": "urn:acr:2", "amr": ["pwd", "mfa"], "sid": "s-1", "name": "Alice",
            "at_hash": at_hash(Algorithm::EdDsa, &issued.access_token),
        })
    );
}

async fn oidc_core_12_2_a_refreshed_id_token_has_the_same_identity_a_new_iat_and_no_nonce(world: World) {
    let server = world.start().await;
    let issued = server.issue(whole(&world, "mobile-app", SCOPES)).await;
    let (_, first) = verified(&server, &issued.id_token).await;
    world.pass(3_600);
    let refreshed = server.refresh(mobile(&issued.refresh_token)).await;
    let (_, second) = verified(&server, &refreshed.id_token).await;
    for same in ["iss", "sub", "aud", "auth_time", "acr", "amr", "sid", "name"] {
        assert_eq!(second[same], first[same], "{same}");
    }
    assert_eq!(second["iat"], json!(world.now()));
    assert!(second.get("nonce").is_none() && second.get("azp").is_none());
    assert_eq!(second["at_hash"], json!(at_hash(Algorithm::EdDsa, &refreshed.access_token)));
    // Without `openid` there is none, though the token that is asked for is narrower only.
    let plain = server.issue(alice("mobile-app", "offline_access orders:read")).await;
    assert_eq!(server.refresh(mobile(&plain.refresh_token)).await.id_token, "");
}

async fn a_jwt_and_an_opaque_token_say_the_same(world: World) {
    let server = world.start().await;
    let jwt = server.issue(whole(&world, "mobile-app", "offline_access orders:read")).await;
    let opaque = server.issue(whole(&world, "mobile-app", "offline_access payments:read")).await;
    let (one, other) = (server.introspect(&jwt.access_token).await, server.introspect(&opaque.access_token).await);
    assert!(one.active && other.active);
    assert_eq!((one.scope.as_str(), other.scope.as_str()), ("offline_access orders:read", "offline_access payments:read"));
    assert_eq!((one.aud.as_slice(), other.aud.as_slice()), ([ORDERS.to_owned()].as_slice(), [PAYMENTS.to_owned()].as_slice()));
    assert_eq!((&one.grant_id, &other.grant_id), (&jwt.grant_id, &opaque.grant_id));
    assert_eq!((one.jti.len(), other.jti.len()), (32, 32));
    // The key that proves it is a target of each: of the JWT the one that signed, of the other a root key.
    let (one_cache, other_cache) = (one.cache.clone().unwrap(), other.cache.clone().unwrap());
    assert_eq!((one_cache.targets.len(), other_cache.targets.len()), (7, 7));
    assert_ne!(one_cache.targets[6], other_cache.targets[6]);
    assert_eq!((one_cache.max_age, one_cache.born), (other_cache.max_age, other_cache.born));
    assert!(one_cache.max_age <= 2);
    let mut alike = other.clone();
    for (to, from) in [(&mut alike.scope, &one.scope), (&mut alike.grant_id, &one.grant_id), (&mut alike.jti, &one.jti)] {
        to.clone_from(from);
    }
    (alike.aud, alike.cache) = (one.aud.clone(), one.cache.clone());
    assert_eq!(other.authorization_details[0].fields["type"].kind, Some(text("payment")), "each those of its resource");
    alike.authorization_details.clone_from(&one.authorization_details);
    assert_eq!(alike, one);
    assert_eq!((one.sub.as_str(), one.client_id.as_str(), one.iss.as_str()), ("alice", "mobile-app", ISSUER));
    assert_eq!((one.auth_time, one.acr.as_str()), (world.now() - 77, "urn:acr:2"));
    assert_eq!(one.authorization_details[0].fields["type"].kind, Some(text("order")));
    assert_eq!(one.claims.unwrap().fields["tenant"].kind, Some(text("t-1")));
}

async fn further_claims_are_said_and_never_override(world: World) {
    let server = world.start().await;
    for reserved in ["sub", "iss", "aud", "exp", "born", "grant_id", "jti", "cnf", "at_hash", "active"] {
        let claims = Some(structure(&[(reserved, text("mallory"))]));
        for asked in [
            IssueRequest { access_token_claims: claims.clone(), ..alice("mobile-app", SCOPES) },
            IssueRequest { id_token_claims: claims.clone(), ..alice("mobile-app", SCOPES) },
        ] {
            assert_eq!(refusal(server.try_issue(asked).await), (Code::InvalidArgument, "INVALID_FIELD".into()), "{reserved}");
        }
    }
    let issued = server.issue(whole(&world, "web-app", SCOPES)).await;
    let refreshed = server.refresh(web(&issued.refresh_token)).await;
    assert_eq!(verified(&server, &refreshed.access_token).await.1["tenant"], "t-1");
    assert_eq!(verified(&server, &refreshed.id_token).await.1["name"], "Alice");
    assert!(verified(&server, &refreshed.id_token).await.1.get("tenant").is_none());
}

async fn rfc8705_3_a_sender_constraint_is_said_and_demanded(world: World) {
    let server = world.start().await;
    let [mine, other] = [[7; 32], [8; 32]].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    let cnf = Confirmation { x5t_s256: mine.clone(), ..Default::default() };
    for scope in ["offline_access orders:read", "offline_access payments:read"] {
        let issued = server.issue(IssueRequest { cnf: Some(cnf.clone()), ..alice("mobile-app", scope) }).await;
        assert_eq!(server.introspect(&issued.access_token).await.cnf.as_ref(), Some(&cnf));
        assert_eq!(server.introspect(&issued.refresh_token).await.cnf.as_ref(), Some(&cnf));
        let with = |thumbprint: &str| RefreshRequest {
            client_authentication: Some(jeton::api::ClientAuthentication {
                certificate_thumbprint: thumbprint.into(),
                ..Default::default()
            }),
            ..mobile(&issued.refresh_token)
        };
        for wrong in [mobile(&issued.refresh_token), with(&other)] {
            crate::world::refused(server.try_refresh(wrong).await);
        }
        let refreshed = server.refresh(with(&mine)).await;
        assert_eq!(server.introspect(&refreshed.access_token).await.cnf.as_ref(), Some(&cnf));
        // Who has proved himself may come with any generation of his.
        assert_eq!(refreshed.refresh_token, server.refresh(with(&mine)).await.refresh_token);
    }
    let dpop = Confirmation { jkt: mine, ..Default::default() };
    let issued = server.issue(IssueRequest { cnf: Some(dpop), ..alice("mobile-app", "orders:read") }).await;
    assert_eq!(issued.token_type, "DPoP");
    assert_eq!(server.introspect(&issued.access_token).await.token_type, "DPoP");
}

async fn algorithms_are_chosen_by_resource_and_client(world: World) {
    let mut settings = world.with_resource(ORDERS, |resource| resource.algorithm = Algorithm::Es256);
    for client in &mut settings.clients {
        client.id_token_algorithm = Algorithm::Es256;
    }
    let server = world.start_with(&settings).await;
    let issued = server.issue(alice("web-app", SCOPES)).await;
    for jwt in [&issued.access_token, &issued.id_token] {
        assert_eq!(verified(&server, jwt).await.0.alg, jsonwebtoken::Algorithm::ES256);
    }
    let (_, id) = verified(&server, &issued.id_token).await;
    assert_eq!(id["at_hash"], json!(at_hash(Algorithm::Es256, &issued.access_token)));
    assert!(server.active(&issued.access_token).await);
    let asked = RefreshRequest { client_authentication: secret(WEB_SECRET), ..web(&issued.refresh_token) };
    assert!(server.active(&server.refresh(asked).await.access_token).await);
}

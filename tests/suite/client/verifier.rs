//! Tokens checked by the library: as the service would, a revocation at once, and nothing believed that may be over.

use super::{reached, ready, soon};
use crate::on_every_store;
use crate::rfc::with_exchange;
use crate::world::{JOB_SECRET, ORDERS, PAYMENTS, Replica, SCOPES, WEB_SECRET, World, alice, secret};
use futures_util::FutureExt as _;
use jeton::api::revoke_request::Target;
use jeton::api::{ConsentTarget, ExchangeRequest, IssueRequest, IssueResponse, RotateKeyRequest, SessionTarget};
use jeton_client::{Cause, Dead, Fallback, NotGenuine, Refused, Verified, Verifier};
use jeton_domain::client::Algorithm;
use jsonwebtoken::decode_header;

on_every_store! {
    what_is_revoked_in_any_way_is_refused_without_asking,
    a_rotation_of_keys_refuses_no_valid_token,
}

/// How old knowledge of revocations may be.
const MAX_STALENESS: u64 = 2;

fn ended(refused: Result<Verified, Refused>) -> Option<Cause> {
    match refused {
        Err(Refused::Dead(Dead::Ended(ended))) => Some(ended.cause),
        _ => None,
    }
}

fn kid(jwt: &str) -> String {
    decode_header(jwt).unwrap().kid.unwrap()
}

/// What memory says: nothing is awaited.
#[track_caller]
fn at_once(verifier: &Verifier, token: &str, resource: &str) -> Result<Verified, Refused> {
    verifier.verify(token, resource).now_or_never().expect("it is answered from memory")
}

/// Opaque tokens for payments.
async fn opaque(server: &Replica) -> IssueResponse {
    let asked = IssueRequest { client_authentication: secret(WEB_SECRET), ..alice("web-app", "offline_access payments:read") };
    server.issue(asked).await
}

/// What to revoke so that it ends for this cause.
fn target(cause: Cause, held: &IssueResponse) -> Target {
    let (sub, client_id) = ("alice".to_owned(), "mobile-app".to_owned());
    match cause {
        Cause::TokenRevoked => Target::Token(held.access_token.clone()),
        Cause::GrantRevoked => Target::Token(held.refresh_token.clone()),
        Cause::SessionRevoked => Target::Session(SessionTarget { sid: held.sid.clone(), sub: String::new() }),
        Cause::SubjectRevoked => Target::Sub(sub),
        Cause::ConsentRevoked => Target::Consent(ConsentTarget { sub, client_id }),
        Cause::ClientRevoked => Target::ClientId(client_id),
        other => panic!("nobody asks for {other:?}"),
    }
}

async fn what_is_revoked_in_any_way_is_refused_without_asking(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    let (client, _way) = reached(&server).await;
    // It never asks, so that whatever it refuses it knows from the stream.
    let verifier = ready(&world, &client, Fallback::Refuse).await;
    let bobs = server.issue(IssueRequest { sub: "bob".into(), ..alice("web-app", SCOPES) }).await;
    for cause in [
        Cause::TokenRevoked,
        Cause::GrantRevoked,
        Cause::SessionRevoked,
        Cause::SubjectRevoked,
        Cause::ConsentRevoked,
        Cause::ClientRevoked,
    ] {
        let held = server.issue(alice("mobile-app", SCOPES)).await;
        let again = server.issue(alice("mobile-app", SCOPES)).await;
        for token in [&held.access_token, &again.access_token] {
            assert!(at_once(&verifier, token, ORDERS).is_ok(), "{cause:?}: what was issued later lives");
        }
        // At another replica than the one that is watched.
        other.revoke(target(cause, &held)).await;
        soon(verifier.caught_up()).await;
        assert_eq!(ended(at_once(&verifier, &held.access_token, ORDERS)), Some(cause));
        assert!(at_once(&verifier, &bobs.access_token, ORDERS).is_ok(), "{cause:?}: nobody else's");
    }

    other.revoke(Target::Kid(kid(&bobs.access_token))).await;
    soon(verifier.caught_up()).await;
    assert_eq!(ended(at_once(&verifier, &bobs.access_token, ORDERS)), Some(Cause::KeyBurnt));
    let next = other.issue(alice("mobile-app", SCOPES)).await;
    assert!(soon(verifier.verify(&next.access_token, ORDERS)).await.is_ok(), "signed with the key that took over");
    server.app.service.refresh_keys().await.unwrap();
    let late = ready(&world, &client, Fallback::Refuse).await;
    let burnt = at_once(&late, &bobs.access_token, ORDERS);
    assert_eq!(burnt, Err(Refused::NotGenuine(NotGenuine::BurntKey)), "it is not looked for");
}

async fn a_rotation_of_keys_refuses_no_valid_token(world: World) {
    let server = world.start().await;
    let (client, _way) = reached(&server).await;
    let verifier = ready(&world, &client, Fallback::Refuse).await;
    let known_after = world.settings.signing.jwks_max_age.secs() + jeton::signing::NOTICE.secs();
    let mut kids = Vec::new();
    for round in 0..3 {
        let before = server.issue(alice("mobile-app", SCOPES)).await;
        server.keys.clone().rotate_key(RotateKeyRequest { alg: Algorithm::EdDsa.word().into() }).await.unwrap();
        assert!(soon(verifier.verify(&before.access_token, ORDERS)).await.is_ok(), "round {round}");
        world.pass(known_after);
        server.app.service.refresh_keys().await.unwrap();
        soon(verifier.caught_up()).await;
        let after = server.issue(alice("mobile-app", SCOPES)).await;
        assert_ne!(kid(&before.access_token), kid(&after.access_token));
        assert!(soon(verifier.verify(&after.access_token, ORDERS)).await.is_ok(), "round {round}");
        kids.push(kid(&before.access_token));
    }
    kids.dedup();
    assert_eq!(kids.len(), 3, "each round had a key of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_is_seen_without_anybody_asking_for_it() {
    let world = World::memory().await;
    let server = world.start().await;
    let (client, _way) = reached(&server).await;
    let verifier = ready(&world, &client, Fallback::Refuse).await;
    let held = server.issue(alice("mobile-app", SCOPES)).await;
    assert!(at_once(&verifier, &held.access_token, ORDERS).is_ok());
    server.revoke(Target::GrantId(held.grant_id)).await;
    let refused = async {
        while at_once(&verifier, &held.access_token, ORDERS).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon(refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_says_is_what_the_service_says() {
    let world = World::memory().await;
    let server = world.start().await;
    let (client, _way) = reached(&server).await;
    let verifier = ready(&world, &client, Fallback::Introspect).await;
    let jwt = server.issue(alice("mobile-app", SCOPES)).await;
    let opaque = opaque(&server).await;
    for (held, resource) in [(jwt, ORDERS), (opaque, PAYMENTS)] {
        let said = soon(verifier.verify(&held.access_token, resource)).await.unwrap();
        let answer = server.introspect(&held.access_token).await;
        assert_eq!((said.sub.as_str(), said.client.as_str(), &said.scope), ("alice", answer.client_id.as_str(), &answer.scope));
        assert_eq!((&said.jti, &said.aud, &said.amr), (&answer.jti, &answer.aud, &answer.amr));
        assert_eq!((said.exp.secs(), said.iat.secs()), (answer.exp.unsigned_abs(), answer.iat.unsigned_abs()));
        assert_eq!(said.auth_time.map(|at| at.secs()), Some(answer.auth_time.unsigned_abs()));
        assert_eq!(said.session.as_ref().map(ToString::to_string), Some(answer.sid));
        assert_eq!(said.grant.map(|grant| grant.to_string()), Some(held.grant_id));
        assert_eq!(said.born.0, answer.cache.unwrap().born.unsigned_abs());
        assert!(said.has_scope(answer.scope.split(' ').next().unwrap()) && !said.has_scope("orders") && !said.has_scope(""));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_exchanged_says_who_acts_and_dies_with_what_it_was_exchanged_for() {
    let mut world = World::memory().await;
    with_exchange(&mut world.settings);
    let server = world.start().await;
    let (client, _way) = reached(&server).await;
    let verifier = ready(&world, &client, Fallback::Introspect).await;
    for resource in [ORDERS, PAYMENTS] {
        let held = server.issue(alice("mobile-app", SCOPES)).await;
        let asked = ExchangeRequest {
            client_id: "billing-job".into(),
            client_authentication: secret(JOB_SECRET),
            subject_token: held.access_token.clone(),
            resource: vec![resource.into()],
            ..Default::default()
        };
        let exchanged = server.tokens.clone().exchange(asked).await.unwrap().into_inner().access_token;
        let said = soon(verifier.verify(&exchanged, resource)).await.unwrap();
        assert_eq!((said.sub.as_str(), said.client.as_str(), said.ancestors.len()), ("alice", "billing-job", 1));
        assert_eq!(said.act.as_ref().and_then(|act| act["sub"].as_str()), Some("billing-job"));
        server.revoke(Target::Token(held.access_token)).await;
        soon(verifier.caught_up()).await;
        assert_eq!(ended(at_once(&verifier, &exchanged, resource)), Some(Cause::TokenRevoked), "{resource}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_valid_here_is_refused() {
    let world = World::memory().await;
    let server = world.start().await;
    let (client, _way) = reached(&server).await;
    let verifier = ready(&world, &client, Fallback::Refuse).await;
    let held = server.issue(alice("mobile-app", SCOPES)).await;
    assert!(at_once(&verifier, &held.access_token, ORDERS).is_ok());
    for elsewhere in [PAYMENTS, "https://orders.internal/", ""] {
        assert_eq!(at_once(&verifier, &held.access_token, elsewhere), Err(Refused::Dead(Dead::Audience)), "{elsewhere}");
    }
    let forged = held.access_token.replace(".ey", ".fy");
    let (signed, _) = held.access_token.rsplit_once('.').unwrap();
    for (token, why) in [
        (held.id_token.as_str(), NotGenuine::WrongTyp),
        (held.refresh_token.as_str(), NotGenuine::WrongTyp),
        ("jat_AAAA", NotGenuine::Malformed),
        ("", NotGenuine::Malformed),
        (forged.as_str(), NotGenuine::WrongSignature),
        (&format!("{signed}."), NotGenuine::Malformed),
        (&format!("{signed}.AAAA"), NotGenuine::WrongSignature),
    ] {
        assert_eq!(at_once(&verifier, token, ORDERS), Err(Refused::NotGenuine(why)), "{token}");
    }
    let unknown = jsonwebtoken::Header { kid: Some("unknown".into()), typ: Some("at+jwt".into()), ..Default::default() };
    let foreign = jsonwebtoken::encode(&unknown, &serde_json::json!({}), &jsonwebtoken::EncodingKey::from_secret(b"x")).unwrap();
    assert_eq!(soon(verifier.verify(&foreign, ORDERS)).await, Err(Refused::NotGenuine(NotGenuine::UnknownKey)));

    let opaque = opaque(&server).await;
    assert_eq!(soon(verifier.verify(&opaque.access_token, "")).await, Err(Refused::Dead(Dead::Audience)));
    assert_eq!(soon(verifier.verify(&opaque.access_token, ORDERS)).await, Err(Refused::Inactive));

    let lifetime = u64::try_from(held.expires_in).unwrap();
    world.pass(lifetime - 1);
    soon(verifier.caught_up()).await;
    assert!(at_once(&verifier, &held.access_token, ORDERS).is_ok());
    world.pass(1);
    soon(verifier.caught_up()).await;
    assert_eq!(at_once(&verifier, &held.access_token, ORDERS), Err(Refused::Dead(Dead::Expired)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_trusts_itself_for_as_long_as_it_may_and_not_longer() {
    let world = World::memory().await;
    let server = world.start().await;
    let (client, way) = reached(&server).await;
    let refuses = ready(&world, &client, Fallback::Refuse).await;
    let asks = ready(&world, &client, Fallback::Introspect).await;
    let [held, dead] = [server.issue(alice("mobile-app", SCOPES)).await, server.issue(alice("mobile-app", SCOPES)).await];
    server.revoke(Target::GrantId(dead.grant_id)).await;
    for verifier in [&refuses, &asks] {
        soon(verifier.caught_up()).await;
    }
    way.cut();
    world.pass(MAX_STALENESS);
    for verifier in [&refuses, &asks] {
        assert!(verifier.is_fresh());
        assert!(at_once(verifier, &held.access_token, ORDERS).is_ok());
    }
    // Revoked while nobody can tell it.
    server.revoke(Target::GrantId(held.grant_id)).await;
    world.clock.advance(jeton_domain::time::Millis::new(1));
    assert!(!refuses.is_fresh());
    assert_eq!(at_once(&refuses, &held.access_token, ORDERS), Err(Refused::Stale));
    let asked = soon(asks.verify(&held.access_token, ORDERS)).await;
    assert!(matches!(asked, Err(Refused::Unavailable(_))), "{asked:?}");
    for verifier in [&refuses, &asks] {
        let refused = at_once(verifier, &dead.access_token, ORDERS);
        assert_eq!(ended(refused), Some(Cause::GrantRevoked), "what is known to be dead stays dead");
        assert!(matches!(at_once(verifier, &held.access_token, PAYMENTS), Err(Refused::Dead(Dead::Audience))));
    }

    way.mend();
    for verifier in [&refuses, &asks] {
        soon(verifier.caught_up()).await;
        assert!(verifier.is_fresh());
        assert_eq!(ended(at_once(verifier, &held.access_token, ORDERS)), Some(Cause::GrantRevoked), "it went on where it stood");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_it_knows_anything_it_asks_or_refuses() {
    let world = World::memory().await;
    let server = world.start().await;
    let (client, way) = reached(&server).await;
    let held = server.issue(alice("mobile-app", SCOPES)).await;
    way.cut();
    let settings = |fallback| jeton_client::VerifierSettings {
        clock: std::sync::Arc::new(super::WorldClock(world.clock.clone())),
        fallback,
        ..jeton_client::VerifierSettings::new(crate::world::ISSUER)
    };
    let patience = jeton_client::Settings { deadline: std::time::Duration::from_millis(300), ..Default::default() };
    let hasty = client.with_settings(patience);
    let refuses = Verifier::start(hasty.clone(), settings(Fallback::Refuse));
    let asks = Verifier::start(hasty, settings(Fallback::Introspect));
    assert_eq!(soon(refuses.verify(&held.access_token, ORDERS)).await, Err(Refused::Stale));
    assert!(matches!(soon(asks.verify(&held.access_token, ORDERS)).await, Err(Refused::Unavailable(_))));
    way.mend();
    soon(refuses.ready()).await;
    assert!(at_once(&refuses, &held.access_token, ORDERS).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opaque_token_is_asked_for_once_and_again_when_the_answer_is_over() {
    let world = World::memory().await;
    let server = world.start().await;
    let (client, way) = reached(&server).await;
    let verifier = ready(&world, &client, Fallback::Refuse).await;
    let held = opaque(&server).await;
    assert!(soon(verifier.verify(&held.access_token, PAYMENTS)).await.is_ok());
    way.cut();
    assert!(at_once(&verifier, &held.access_token, PAYMENTS).is_ok(), "the answer holds for a while");
    world.pass(MAX_STALENESS);
    let asked = soon(verifier.verify(&held.access_token, PAYMENTS)).await;
    assert!(matches!(asked, Err(Refused::Unavailable(_))), "{asked:?}");

    way.mend();
    assert!(soon(verifier.verify(&held.access_token, PAYMENTS)).await.is_ok());
    server.revoke(Target::Sub("alice".into())).await;
    soon(verifier.caught_up()).await;
    assert_eq!(ended(at_once(&verifier, &held.access_token, PAYMENTS)), Some(Cause::SubjectRevoked), "the answer is undone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_was_seen_alive_is_told_once_where_it_has_a_grant() {
    let world = World::memory().await;
    let server = world.start().await;
    let (client, way) = reached(&server).await;
    let verifier = ready(&world, &client, Fallback::Refuse).await;
    let job = IssueRequest {
        client_id: "billing-job".into(),
        scope: "orders:read".into(),
        authentication: None,
        client_authentication: secret(JOB_SECRET),
        ..Default::default()
    };
    let [first, dead, last] = [SCOPES; 3].map(|scope| server.issue(alice("mobile-app", scope)));
    let (first, own, dead, last) = (first.await, server.issue(job).await, dead.await, last.await);
    server.revoke(Target::Token(dead.access_token.clone())).await;
    soon(verifier.caught_up()).await;
    let mut jtis = Vec::new();
    for _ in 0..3 {
        jtis.clear();
        assert!(at_once(&verifier, &dead.access_token, ORDERS).is_err());
        for held in [&first, &own, &last] {
            jtis.push(at_once(&verifier, &held.access_token, ORDERS).unwrap().jti.clone());
        }
    }
    soon(async {
        while way.heard(&jtis[2]) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(way.heard(&dead.grant_id), 0, "the dead tell nothing");
    assert_eq!(jtis.iter().map(|jti| way.heard(jti)).collect::<Vec<_>>(), [1, 0, 1]);
    assert_eq!(way.heard(&first.grant_id), 1);
}

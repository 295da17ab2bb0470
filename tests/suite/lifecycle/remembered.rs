//! Introspect from memory: a token that was proved is not proved again, and dies all the same, at once.

use super::claims::verified;
use crate::on_every_store;
use crate::server::{self, framed, open};
use crate::world::{ISSUER, JOB_SECRET, ORDERS, PAYMENTS, Replica, World, alice, fully_fresh, mobile, refusal, refused, secret};
use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use jeton::api::revoke_request::Target;
use jeton::api::token_service_client::TokenServiceClient;
use jeton::api::{
    self, BatchIntrospectRequest, Cause, Confirmation, ConsentTarget, IntrospectRequest, IntrospectResponse, IssueRequest,
    IssueResponse, SessionTarget,
};
use jeton::config::Settings;
use jeton_domain::time::Millis;
use prost::Message as _;
use std::convert::Infallible;
use tonic::{Code, Status};

on_every_store! {
    each_revocation_kills_what_is_known_at_once,
    what_is_known_expires_to_the_second,
    what_is_known_is_judged_anew_for_each_who_asks,
    whatever_room_there_is_the_answers_are_the_same,
    a_view_that_does_not_hold_all_asks_the_store,
    what_was_dropped_is_remembered_before_memory_is_enough,
}

const JWT: &str = "offline_access orders:read";
const OPAQUE: &str = "offline_access payments:read";

/// As a gateway asks: answered from memory where the view is fresh. Replicas of these tests follow the log only when they are asked to.
async fn ask(server: &Replica, token: &str, resource: &str) -> Result<IntrospectResponse, Status> {
    let asked = IntrospectRequest { token: token.into(), resource: resource.into(), freshness: None };
    server.tokens.clone().introspect(asked).await.map(tonic::Response::into_inner)
}

async fn lives(server: &Replica, token: &str) -> bool {
    ask(server, token, "").await.unwrap().active
}

async fn catch_up(server: &Replica) {
    server.try_introspect("nothing", "").await.unwrap();
}

/// Alice with a session of this name, for orders (JWT) and for payments (opaque).
async fn held(server: &Replica, sid: &str) -> [IssueResponse; 2] {
    let asked = |scope| IssueRequest { sid: sid.into(), ..alice("mobile-app", scope) };
    [server.issue(asked(JWT)).await, server.issue(asked(OPAQUE)).await]
}

type Row = (&'static str, fn(&[IssueResponse; 2], &str) -> Target, [bool; 2], Cause);

/// What is revoked, which of JWT and opaque token live on, and what the others are told.
const REVOCATIONS: [Row; 9] = [
    ("JWT", |held, _| Target::Token(held[0].access_token.clone()), [false, true], Cause::TokenRevoked),
    ("opaque token", |held, _| Target::Token(held[1].access_token.clone()), [true, false], Cause::TokenRevoked),
    ("refresh token", |held, _| Target::Token(held[0].refresh_token.clone()), [false, true], Cause::GrantRevoked),
    ("grant", |held, _| Target::GrantId(held[1].grant_id.clone()), [true, false], Cause::GrantRevoked),
    (
        "session",
        |_, sid| Target::Session(SessionTarget { sid: sid.into(), ..Default::default() }),
        [false, false],
        Cause::SessionRevoked,
    ),
    ("subject", |_, _| Target::Sub("alice".into()), [false, false], Cause::SubjectRevoked),
    ("client", |_, _| Target::ClientId("mobile-app".into()), [false, false], Cause::ClientRevoked),
    (
        "consent",
        |_, _| Target::Consent(ConsentTarget { sub: "alice".into(), client_id: "mobile-app".into() }),
        [false, false],
        Cause::ConsentRevoked,
    ),
    (
        "another consent",
        |_, _| Target::Consent(ConsentTarget { sub: "alice".into(), client_id: "web-app".into() }),
        [true, true],
        Cause::Unspecified,
    ),
];

async fn each_revocation_kills_what_is_known_at_once(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    for (name, target, live, _) in REVOCATIONS {
        let held = held(&server, name).await;
        catch_up(&other).await;
        for replica in [&server, &other] {
            for one in &held {
                assert!(lives(replica, &one.access_token).await && lives(replica, &one.access_token).await, "{name}");
            }
        }
        server.revoke(target(&held, name)).await;
        for (one, live) in held.iter().zip(live) {
            assert_eq!(lives(&server, &one.access_token).await, live, "{name}, here");
            assert!(lives(&other, &one.access_token).await, "{name}, where it is not known yet");
        }
        catch_up(&other).await;
        for (one, live) in held.iter().zip(live) {
            for replica in [&server, &other] {
                for _ in 0..2 {
                    assert_eq!(lives(replica, &one.access_token).await, live, "{name}, everywhere");
                }
            }
        }
    }
    let [jwt, opaque] = held(&server, "keys").await;
    catch_up(&other).await;
    let kid = verified(&server, &jwt.access_token).await.0.kid.unwrap();
    for replica in [&server, &other] {
        assert!(lives(replica, &jwt.access_token).await && lives(replica, &opaque.access_token).await);
    }
    server.revoke(Target::Kid(kid)).await;
    assert!(!lives(&server, &jwt.access_token).await && lives(&server, &opaque.access_token).await);
    catch_up(&other).await;
    assert!(!lives(&other, &jwt.access_token).await && lives(&other, &opaque.access_token).await);
}

async fn what_is_known_expires_to_the_second(world: World) {
    let server = world.start().await;
    for scope in [JWT, OPAQUE] {
        let issued = server.issue(alice("mobile-app", scope)).await;
        assert_eq!(ask(&server, &issued.access_token, "").await.unwrap().cache.unwrap().max_age, 2);
        world.pass(298);
        for left in [2, 1] {
            catch_up(&server).await;
            let said = ask(&server, &issued.access_token, "").await.unwrap();
            assert!(said.active && said.exp - world.now() == left, "from memory");
            assert!(said.cache.unwrap().max_age <= left, "no answer outlives the token");
            world.pass(1);
        }
        for _ in 0..2 {
            assert!(!lives(&server, &issued.access_token).await);
        }
    }
}

async fn what_is_known_is_judged_anew_for_each_who_asks(world: World) {
    let server = world.start().await;
    for (scope, mine, other) in [(JWT, ORDERS, PAYMENTS), (OPAQUE, PAYMENTS, ORDERS)] {
        let issued = server.issue(alice("mobile-app", scope)).await;
        for (resource, active) in [(other, false), (mine, true), ("", true), (other, false), (ISSUER, false), (mine, true)] {
            let said = ask(&server, &issued.access_token, resource).await.unwrap();
            assert_eq!(said.active, active, "{resource}");
            if !active {
                assert_eq!(said, IntrospectResponse { revision: said.revision.clone(), ..Default::default() });
            }
        }
        assert_eq!(server.explain_for(&issued.access_token, other).await.cause(), Cause::Audience);
    }
}

async fn whatever_room_there_is_the_answers_are_the_same(world: World) {
    for token_cache_bytes in [0, 1, 1_500, 4_000, 64 << 20] {
        let mut settings: Settings = world.settings.clone();
        settings.limits.token_cache_bytes = token_cache_bytes;
        let server = world.start_with(&settings).await;
        let mut held = Vec::new();
        for number in 0..12 {
            let asked =
                IssueRequest { sub: format!("user-{number}"), ..alice("mobile-app", if number % 2 == 0 { JWT } else { OPAQUE }) };
            held.push(server.issue(asked).await);
        }
        for _ in 0..2 {
            for (number, one) in held.iter().enumerate() {
                let said = ask(&server, &one.access_token, "").await.unwrap();
                assert_eq!((said.active, said.sub), (true, format!("user-{number}")), "{token_cache_bytes} bytes");
            }
        }
        for number in [3, 8] {
            server.revoke(Target::Sub(format!("user-{number}"))).await;
        }
        for (number, one) in held.iter().enumerate() {
            assert_eq!(lives(&server, &one.access_token).await, ![3, 8].contains(&number), "{token_cache_bytes} bytes");
        }
    }
}

async fn a_view_that_does_not_hold_all_asks_the_store(world: World) {
    let mut settings = world.settings.clone();
    settings.limits.view_entries = 1;
    let server = world.start_with(&settings).await;
    let settle_too_many = async || {
        for id in ["AAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBA"] {
            server.revoke(Target::GrantId(id.into())).await;
        }
        server.app.alive.settle().await.unwrap();
        assert!(!server.app.alive.health().whole, "what is settled is in memory no more");
    };
    for (name, target, live, cause) in REVOCATIONS {
        let held = held(&server, name).await;
        let alive = self::held(&server, &format!("{name}, alive")).await;
        assert!(lives(&server, &held[0].access_token).await && lives(&server, &held[1].access_token).await, "{name}");
        server.revoke(target(&held, name)).await;
        settle_too_many().await;
        for (one, live) in held.iter().zip(live) {
            for _ in 0..2 {
                assert_eq!(lives(&server, &one.access_token).await, live, "{name}, known");
                assert_eq!(server.active(&one.access_token).await, live, "{name}, fully fresh");
            }
            let explained = server.explain(&one.access_token).await;
            assert_eq!(explained.cause(), if live { Cause::Unspecified } else { cause }, "{name}");
            let ends_the_grant = !live && cause != Cause::TokenRevoked;
            assert_eq!(server.active(&one.refresh_token).await, !ends_the_grant, "{name}");
            assert_eq!(server.grant(&one.grant_id).await.active, !ends_the_grant, "{name}");
            if ends_the_grant {
                refused(server.try_refresh(mobile(&one.refresh_token)).await);
            }
        }
        let spared = !matches!(cause, Cause::SubjectRevoked | Cause::ClientRevoked | Cause::ConsentRevoked);
        let tokens = alive.iter().map(|one| one.access_token.clone()).collect();
        let batch = BatchIntrospectRequest { tokens, freshness: fully_fresh(), ..Default::default() };
        let answers = server.tokens.clone().batch_introspect(batch).await.unwrap().into_inner().results;
        assert!(answers.iter().all(|answer| answer.active == spared), "{name}, never seen before");
    }
    // Evicted first, revoked then: only the first lets access tokens live.
    let settings_of_one = world.with_client("mobile-app", |client| client.grants_per_subject = 1);
    let evicting = world.start_with(&settings_of_one).await;
    let [evicted, _] = held(&evicting, "evicted").await;
    catch_up(&server).await;
    assert!(lives(&server, &evicted.access_token).await, "an evicted grant's access tokens run out");
    server.revoke(Target::GrantId(evicted.grant_id)).await;
    settle_too_many().await;
    assert!(!lives(&server, &evicted.access_token).await && !server.active(&evicted.access_token).await);
    // A client's own token has no grant that is shown, but a record.
    let own = IssueRequest {
        client_id: "billing-job".into(),
        scope: "payments:read".into(),
        client_authentication: secret(JOB_SECRET),
        ..Default::default()
    };
    let own = server.issue(own).await.access_token;
    assert!(lives(&server, &own).await);
    server.revoke(Target::Token(own.clone())).await;
    settle_too_many().await;
    assert!(!lives(&server, &own).await);
    // In time it holds all again, if that has become less.
    for seconds in [3 * 3_600, 601] {
        world.pass(seconds);
        server.app.alive.settle().await.unwrap();
    }
    assert!(server.app.alive.health().whole);
}

/// What was dropped is in memory again before the view answers from there alone: a token that outlives the room's being short is dead.
async fn what_was_dropped_is_remembered_before_memory_is_enough(world: World) {
    let mut settings = world.with_resource(ORDERS, |resource| resource.access_token_lifetime = Millis::from_secs(4 * 3_600));
    settings.tokens.access_token_ceiling = Millis::from_secs(4 * 3_600);
    settings.limits.view_entries = 2;
    let server = world.start_with(&settings).await;
    for id in ["AAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBA"] {
        server.revoke(Target::GrantId(id.into())).await;
    }
    world.pass(2 * 3_600);
    let dead = server.issue(alice("mobile-app", JWT)).await;
    assert!(lives(&server, &dead.access_token).await);
    server.revoke(Target::GrantId(dead.grant_id)).await;
    // What was settled is seen to be by the next, which drops it.
    for _ in 0..2 {
        server.app.alive.settle().await.unwrap();
    }
    let health = server.app.alive.health();
    assert!(!health.whole && health.entries == 0, "three are one too many: {health:?}");
    // The first two are over; the third is as young as the token it kills.
    world.pass(3 * 3_600);
    catch_up(&server).await;
    for _ in 0..2 {
        server.app.alive.settle().await.unwrap();
    }
    let health = server.app.alive.health();
    assert!(health.whole && health.entries == 1, "{health:?}");
    assert!(!lives(&server, &dead.access_token).await);
}

#[tokio::test]
async fn what_is_known_needs_no_store() {
    let mut world = World::redis(&[]).await;
    let server = world.start().await;
    let (known, new) = (held(&server, "s-1").await, held(&server, "s-2").await);
    let mut said = Vec::new();
    for one in &known {
        said.push(ask(&server, &one.access_token, "").await.unwrap());
    }
    world.redis.as_mut().unwrap().stop().await;
    for (one, said) in known.iter().zip(said) {
        assert_eq!(ask(&server, &one.access_token, "").await.unwrap(), said);
    }
    assert!(lives(&server, &new[0].access_token).await, "its signature proves it");
    world.pass(1);
    assert!(lives(&server, &known[0].access_token).await && lives(&server, &known[1].access_token).await, "younger than 2 s");
}

#[tokio::test]
async fn what_is_known_is_written_as_protobuf_writes_it() {
    const INTROSPECT: &str = "/jeton.v1.TokenService/Introspect";
    let mut server = server::start(open()).await;
    let mut client = TokenServiceClient::new(server.channel().await);
    let claims = |name: &str| {
        let value = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue("a".into())) };
        Some(prost_types::Struct { fields: [("b".to_owned(), value.clone()), (name.to_owned(), value)].into() })
    };
    let details = |kind: &str| {
        let value = |kind| prost_types::Value { kind: Some(kind) };
        let amount = prost_types::value::Kind::StructValue(claims("sum").unwrap());
        let name = value(prost_types::value::Kind::StringValue(kind.into()));
        let member = if kind == "order" { ("identifier", name.clone()) } else { ("amount", value(amount)) };
        vec![prost_types::Struct { fields: [("type".to_owned(), name), (member.0.to_owned(), member.1)].into() }]
    };
    let full = |scope| IssueRequest {
        sid: "s-1".into(),
        access_token_claims: claims("tenant"),
        authorization_details: details(if scope == JWT { "order" } else { "payment" }),
        cnf: Some(Confirmation { jkt: "A".repeat(43), x5t_s256: String::new() }),
        ..alice("mobile-app", scope)
    };
    let plain = |scope| IssueRequest { authentication: None, ..alice("mobile-app", scope) };
    let own = IssueRequest {
        client_id: "billing-job".into(),
        scope: "orders:read".into(),
        client_authentication: secret(JOB_SECRET),
        ..Default::default()
    };
    let mut raw = server.raw().await;
    for (what, asked) in [
        ("JWT", plain(JWT)),
        ("JWT with all there is", full(JWT)),
        ("opaque token with all there is", full(OPAQUE)),
        ("a client's own", own),
    ] {
        let token = client.issue(asked).await.unwrap().into_inner().access_token;
        let message = IntrospectRequest { token: token.clone(), ..Default::default() }.encode_to_vec();
        let first = raw.call(INTROSPECT, &message).await;
        let again = raw.call(INTROSPECT, &message).await;
        let halves = framed(&message);
        let (head, tail) = (halves.slice(..9), halves.slice(9..));
        let frames = [head, Bytes::new(), tail].map(|data| Ok::<_, Infallible>(Frame::data(data)));
        let pieces = raw.streaming(INTROSPECT, StreamBody::new(tokio_stream::iter(frames)).boxed_unsync());
        let pieces = raw.send(pieces).await;
        for ended in [&first, &again, &pieces] {
            assert_eq!((ended.status.code(), ended.status.message()), (Code::Ok, ""), "{what}");
            assert_eq!(ended.body, first.body, "{what}");
        }
        let said = IntrospectResponse::decode(&first.body[5..]).unwrap();
        assert!(said.active, "{what}");
        assert_eq!(framed(&said.encode_to_vec()), first.body, "{what}: field by field in the order of their numbers");
        let batch = BatchIntrospectRequest { tokens: vec![token], ..Default::default() }.encode_to_vec();
        let batch = raw.call("/jeton.v1.TokenService/BatchIntrospect", &batch).await;
        let batch = api::BatchIntrospectResponse::decode(&batch.body[5..]).unwrap();
        assert_eq!(batch.results, [said], "{what}");
    }
    let nothing =
        raw.call(INTROSPECT, &IntrospectRequest { token: "nothing".into(), ..Default::default() }.encode_to_vec()).await;
    let said = IntrospectResponse::decode(&nothing.body[5..]).unwrap();
    assert_eq!(said, IntrospectResponse { revision: said.revision.clone(), ..Default::default() });
    assert_eq!(framed(&said.encode_to_vec()), nothing.body);
    let missing = refusal::<()>(Err(raw.call(INTROSPECT, &[]).await.status));
    assert_eq!(missing, (Code::InvalidArgument, "INVALID_FIELD".into()));
}

//! Exchange: what was exchanged dies with what it was exchanged for, whichever way that ends, on every replica, known or not.

use super::claims::verified;
use crate::on_every_store;
use crate::rfc::with_exchange;
use crate::world::{JOB_SECRET, ORDERS, PAYMENTS, Replica, World, alice, refusal, secret};
use jeton::api::revoke_request::Target;
use jeton::api::{
    self, Cause, ConsentTarget, ExchangeRequest, ExchangeResponse, IntrospectRequest, IssueRequest, IssueResponse, SessionTarget,
};
use serde_json::json;
use tonic::{Code, Status};

on_every_store! {
    each_revocation_kills_what_was_exchanged,
    where_the_view_does_not_hold_all_too,
    a_burnt_key_kills_what_was_exchanged_for_what_it_signed,
    what_was_revoked_before_kills_nothing,
}

const JWT: &str = "offline_access orders:read";
const OPAQUE: &str = "offline_access payments:read";

fn ask(token: &str, resource: &str) -> ExchangeRequest {
    ExchangeRequest {
        client_id: "billing-job".into(),
        client_authentication: secret(JOB_SECRET),
        subject_token: token.into(),
        resource: vec![resource.into()],
        ..Default::default()
    }
}

async fn exchange(server: &Replica, asked: ExchangeRequest) -> Result<ExchangeResponse, Status> {
    server.tokens.clone().exchange(asked).await.map(tonic::Response::into_inner)
}

/// From memory where the view is fresh. Replicas of these tests follow the log only when they are asked to.
async fn lives(server: &Replica, token: &str) -> bool {
    let asked = IntrospectRequest { token: token.into(), ..Default::default() };
    server.tokens.clone().introspect(asked).await.unwrap().into_inner().active
}

async fn catch_up(server: &Replica) {
    server.try_introspect("nothing", "").await.unwrap();
}

/// Alice's token, and a JWT and an opaque token that it was exchanged for.
struct Held {
    subject: IssueResponse,
    exchanged: [ExchangeResponse; 2],
}

async fn held(server: &Replica, sid: &str, scope: &str) -> Held {
    let subject = server.issue(IssueRequest { sid: sid.into(), ..alice("mobile-app", scope) }).await;
    let mut exchanged = Vec::new();
    for resource in [ORDERS, PAYMENTS] {
        exchanged.push(exchange(server, ask(&subject.access_token, resource)).await.unwrap());
    }
    Held { subject, exchanged: exchanged.try_into().unwrap() }
}

type Row = (&'static str, fn(&Held, &str) -> Target, [bool; 2], Cause);

/// What is revoked, which of JWT and opaque token live on, and what the others are told.
const REVOCATIONS: [Row; 13] = [
    ("token", |held, _| Target::Token(held.subject.access_token.clone()), [false, false], Cause::TokenRevoked),
    ("refresh token", |held, _| Target::Token(held.subject.refresh_token.clone()), [false, false], Cause::GrantRevoked),
    ("grant", |held, _| Target::GrantId(held.subject.grant_id.clone()), [false, false], Cause::GrantRevoked),
    (
        "session",
        |_, sid| Target::Session(SessionTarget { sid: sid.into(), ..Default::default() }),
        [false, false],
        Cause::SessionRevoked,
    ),
    ("subject", |_, _| Target::Sub("alice".into()), [false, false], Cause::SubjectRevoked),
    ("client", |_, _| Target::ClientId("mobile-app".into()), [false, false], Cause::ClientRevoked),
    ("consent", |_, _| consent("mobile-app"), [false, false], Cause::ConsentRevoked),
    ("the client that exchanged", |_, _| Target::ClientId("billing-job".into()), [false, false], Cause::ClientRevoked),
    ("consent to it", |_, _| consent("billing-job"), [false, false], Cause::ConsentRevoked),
    ("JWT", |held, _| Target::Token(held.exchanged[0].access_token.clone()), [false, true], Cause::TokenRevoked),
    ("opaque token", |held, _| Target::Token(held.exchanged[1].access_token.clone()), [true, false], Cause::TokenRevoked),
    ("its grant", |held, _| Target::GrantId(held.exchanged[1].grant_id.clone()), [true, false], Cause::GrantRevoked),
    ("another consent", |_, _| consent("web-app"), [true, true], Cause::Unspecified),
];

fn consent(client_id: &str) -> Target {
    Target::Consent(ConsentTarget { sub: "alice".into(), client_id: client_id.into() })
}

async fn started(world: &mut World) -> Replica {
    with_exchange(&mut world.settings);
    world.start().await
}

async fn each_revocation_kills_what_was_exchanged(mut world: World) {
    let server = started(&mut world).await;
    let other = world.start().await;
    for (name, target, live, cause) in REVOCATIONS {
        for scope in [JWT, OPAQUE] {
            let sid = format!("{name}, {scope}");
            let held = held(&server, &sid, scope).await;
            catch_up(&other).await;
            for replica in [&server, &other] {
                for one in &held.exchanged {
                    assert!(lives(replica, &one.access_token).await && lives(replica, &one.access_token).await, "{name}");
                }
            }
            server.revoke(target(&held, &sid)).await;
            for (one, live) in held.exchanged.iter().zip(live) {
                assert_eq!(lives(&server, &one.access_token).await, live, "{name}, here");
                assert!(lives(&other, &one.access_token).await, "{name}, where it is not known yet");
            }
            catch_up(&other).await;
            for (one, live) in held.exchanged.iter().zip(live) {
                for replica in [&server, &other] {
                    assert_eq!(lives(replica, &one.access_token).await, live, "{name}, everywhere");
                    assert_eq!(replica.cause(&one.access_token).await, if live { Cause::Unspecified } else { cause }, "{name}");
                }
            }
            // What was exchanged has no say over what it was exchanged for.
            let is_its_own = name.contains("it") || name.starts_with("the client") || ["JWT", "opaque token"].contains(&name);
            if is_its_own || live == [true, true] {
                assert!(lives(&server, &held.subject.access_token).await, "{name}");
            }
        }
    }
}

async fn where_the_view_does_not_hold_all_too(mut world: World) {
    world.settings.limits.view_entries = 1;
    let server = started(&mut world).await;
    for (name, target, live, cause) in REVOCATIONS {
        for scope in [JWT, OPAQUE] {
            let [sid, other] = ["known", "new"].map(|which| format!("{name}, {scope}, {which}"));
            let (known, new) = (held(&server, &sid, scope).await, held(&server, &other, scope).await);
            for one in &known.exchanged {
                assert!(lives(&server, &one.access_token).await, "{name}");
            }
            server.revoke(target(&known, &sid)).await;
            for id in ["AAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBA"] {
                server.revoke(Target::GrantId(id.into())).await;
            }
            server.app.alive.settle().await.unwrap();
            assert!(!server.app.alive.health().whole, "what is settled is in memory no more");
            for (one, live) in known.exchanged.iter().zip(live) {
                for _ in 0..2 {
                    assert_eq!(lives(&server, &one.access_token).await, live, "{name}, known");
                }
                assert_eq!(server.cause(&one.access_token).await, if live { Cause::Unspecified } else { cause }, "{name}");
            }
            let is_spared = live == [true, true] || !matches!(name, "subject" | "client" | "consent");
            let is_spared = is_spared && !["the client that exchanged", "consent to it"].contains(&name);
            for one in &new.exchanged {
                assert_eq!(lives(&server, &one.access_token).await, is_spared, "{name}, never seen before");
            }
        }
    }
}

async fn a_burnt_key_kills_what_was_exchanged_for_what_it_signed(mut world: World) {
    let server = started(&mut world).await;
    let [by_key, by_record] = [held(&server, "s-1", JWT).await, held(&server, "s-2", OPAQUE).await];
    let kid = verified(&server, &by_key.subject.access_token).await.0.kid.unwrap();
    for held in [&by_key, &by_record] {
        assert!(lives(&server, &held.exchanged[1].access_token).await);
    }
    server.revoke(Target::Kid(kid)).await;
    assert!(!lives(&server, &by_key.exchanged[1].access_token).await, "who holds the key makes subject tokens");
    assert!(lives(&server, &by_record.exchanged[1].access_token).await);
}

/// The client that exchanges, or the consent to it, may have been revoked since the subject token was born: that ended what it had then.
async fn what_was_revoked_before_kills_nothing(mut world: World) {
    let server = started(&mut world).await;
    let alices = server.issue(alice("mobile-app", JWT)).await.access_token;
    server.revoke(Target::ClientId("billing-job".into())).await;
    server.revoke(consent("billing-job")).await;
    for resource in [ORDERS, PAYMENTS] {
        let exchanged = exchange(&server, ask(&alices, resource)).await.unwrap();
        assert!(lives(&server, &exchanged.access_token).await);
        server.revoke(Target::Token(exchanged.access_token.clone())).await;
        assert!(!lives(&server, &exchanged.access_token).await);
    }
    server.revoke(Target::Sub("alice".into())).await;
    let refused = refusal(exchange(&server, ask(&alices, ORDERS)).await);
    assert_eq!(refused, (Code::FailedPrecondition, "EXCHANGE_REFUSED".into()));
}

#[tokio::test]
async fn rfc8693_what_is_given_says_what_its_subject_token_says_and_who_acts() {
    let mut world = World::memory().await;
    let server = started(&mut world).await;
    let cnf = api::Confirmation { jkt: "A".repeat(43), ..Default::default() };
    let alices = server.issue(IssueRequest { sid: "s-1".into(), ..alice("mobile-app", "orders:read") }).await;
    let before = server.introspect(&alices.access_token).await;
    let [jwt, opaque] = [ORDERS, PAYMENTS].map(|resource| exchange(&server, ask(&alices.access_token, resource)));
    let (jwt, opaque) = (jwt.await.unwrap(), opaque.await.unwrap());
    assert_eq!((jwt.scope.as_str(), opaque.scope.as_str()), ("orders:read", ""));
    assert_eq!((jwt.durability(), opaque.durability()), (api::Durability::Unspecified, api::Durability::Applied));
    for (given, resource) in [(&jwt, ORDERS), (&opaque, PAYMENTS)] {
        let said = server.introspect(&given.access_token).await;
        assert_eq!(
            (said.aud, said.client_id, said.sub),
            (vec![resource.to_owned()], "billing-job".to_owned(), before.sub.clone())
        );
        assert_eq!((said.sid, said.amr, said.auth_time), (before.sid.clone(), before.amr.clone(), before.auth_time));
        assert_eq!((said.grant_id == given.grant_id, said.grant_id != before.grant_id), (true, true), "a grant of its own");
        assert_eq!(said.act.unwrap().fields["sub"].kind, Some(prost_types::value::Kind::StringValue("billing-job".into())));
        let ancestor = &said.cache.unwrap().ancestors[0];
        let subject = before.cache.as_ref().unwrap();
        assert_eq!((&ancestor.targets, ancestor.born), (&subject.targets, subject.born));
    }
    let claims = verified(&server, &jwt.access_token).await.1;
    assert_eq!((&claims["act"], &claims["client_id"]), (&json!({"sub": "billing-job"}), &json!("billing-job")));
    assert_eq!(claims["ancestors"].as_array().unwrap().len(), 1);

    let refused = |asked| exchange(&server, asked);
    let reason = |answer| refusal::<ExchangeResponse>(answer).1;
    let unknown = ExchangeRequest { resource: vec!["https://unknown".into()], ..ask(&alices.access_token, ORDERS) };
    assert_eq!(reason(refused(unknown).await), "INVALID_TARGET");
    let wider = ExchangeRequest { scope: "payments:read".into(), ..ask(&alices.access_token, ORDERS) };
    assert_eq!(reason(refused(wider).await), "INVALID_SCOPE");
    let other = ExchangeRequest { client_id: "web-app".into(), ..ask(&alices.access_token, ORDERS) };
    assert_eq!(reason(refused(other).await), "INVALID_CLIENT");
    let bound = server.issue(IssueRequest { cnf: Some(cnf), ..alice("mobile-app", "orders:read") }).await.access_token;
    assert_eq!(reason(refused(ask(&bound, ORDERS)).await), "EXCHANGE_REFUSED");
}

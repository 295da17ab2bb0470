//! Back-channel logout (OpenID Connect Back-Channel Logout 1.0): who is told that a session ended, what, how often, and by whom.

use super::claims::verified;
use crate::on_every_store;
use crate::receiver::{Received, Receiver, Reply};
use crate::store_contract::eventually;
use crate::world::{ISSUER, Replica, SCOPES, World, alice};
use jeton::api::revoke_request::Target;
use jeton::api::{Client, ConsentTarget, CreateClientRequest, IssueRequest, SessionTarget};
use jeton::records::name;
use jeton::records::proto::LogoutTurnRecord;
use jeton_domain::client::Algorithm;
use jeton_domain::id::TargetId;
use jeton_domain::name::{ClientId, SessionId};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::task::JoinSet;

on_every_store! {
    a_client_is_told_of_a_session_that_ended,
    a_client_is_told_by_the_algorithm_of_its_id_tokens,
    a_client_that_is_registered_at_run_time_is_told,
    only_who_learnt_of_a_session_that_ended_is_told,
    the_end_of_a_subject_is_the_end_of_its_sessions,
    what_was_told_is_not_told_again,
    whom_another_follows_in_a_session_is_told_of_all_the_same,
    who_cannot_be_reached_is_told_when_he_is_back,
    who_fails_is_told_again_and_given_up_after_a_day,
    who_refuses_is_not_told_again,
    one_that_hangs_delays_no_other_and_no_revocation,
    what_a_replica_that_ended_left_undone_another_does,
    of_two_replicas_one_tells,
}

/// Tells clients as long as it lives, as the replica's job does.
pub(super) fn tells(replica: &Replica) -> JoinSet<()> {
    let service = Arc::clone(&replica.app.service);
    let mut job = JoinSet::new();
    job.spawn(async move { match service.tell_logouts().await {} });
    job
}

/// This client is told here.
fn tell(world: &mut World, client: &str, receiver: &Receiver) {
    world.settings = world.with_client(client, |client| client.backchannel_logout_uri = Some(receiver.endpoint("/logout?x=1")));
}

pub(super) fn signs_in(client: &str, sid: &str) -> IssueRequest {
    IssueRequest { sid: sid.into(), ..alice(client, SCOPES) }
}

pub(super) fn session(sid: &str) -> Target {
    Target::Session(SessionTarget { sid: sid.into(), ..Default::default() })
}

async fn settle(replica: &Replica) {
    replica.app.alive.settle().await.unwrap();
}

/// Ended, and settled.
pub(super) async fn end(replica: &Replica, target: Target) {
    replica.revoke(target).await;
    settle(replica).await;
}

/// What a logout token says, unproved.
fn said(received: &Received) -> Value {
    jsonwebtoken::dangerous::insecure_decode::<Value>(received.field("logout_token").as_bytes()).unwrap().claims
}

fn sids(received: &[Received]) -> Vec<String> {
    received.iter().map(|received| said(received)["sid"].as_str().unwrap().to_owned()).collect()
}

async fn a_client_is_told_of_a_session_that_ended(mut world: World) {
    let receiver = Receiver::start().await;
    tell(&mut world, "web-app", &receiver);
    let server = world.start().await;
    let issued = server.issue(IssueRequest { nonce: "n-1".into(), ..signs_in("web-app", "s-1") }).await;
    let (_, id) = verified(&server, &issued.id_token).await;
    let _job = tells(&server);
    end(&server, session("s-1")).await;

    let [told] = receiver.until(1).await.try_into().unwrap();
    assert_eq!((told.method.as_str(), told.target.as_str()), ("POST", "/logout?x=1"));
    assert_eq!(told.headers["content-type"], "application/x-www-form-urlencoded");
    let (header, claims) = verified(&server, &told.field("logout_token")).await;
    assert_eq!(header.typ.as_deref(), Some("logout+jwt"));
    let jti = claims["jti"].as_str().unwrap();
    assert!(jti.len() >= 22, "{jti}");
    let right = json!({
        "iss": ISSUER, "aud": "web-app", "sub": id["sub"], "sid": id["sid"], "iat": world.now(), "exp": world.now() + 120,
        "jti": jti, "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    assert_eq!(claims, right, "and no nonce");
    assert!(!server.active(&told.field("logout_token")).await, "it is no token here");
}

async fn a_client_is_told_by_the_algorithm_of_its_id_tokens(mut world: World) {
    let receiver = Receiver::start().await;
    tell(&mut world, "web-app", &receiver);
    world.settings = world.with_client("web-app", |client| client.id_token_algorithm = Algorithm::Es256);
    let server = world.start().await;
    server.issue(signs_in("web-app", "s-1")).await;
    let _job = tells(&server);
    end(&server, session("s-1")).await;
    let told = receiver.until(1).await;
    let (header, _) = verified(&server, &told[0].field("logout_token")).await;
    assert_eq!(header.alg, jsonwebtoken::Algorithm::ES256);
}

async fn a_client_that_is_registered_at_run_time_is_told(world: World) {
    let (receiver, server) = (Receiver::start().await, world.start().await);
    let client = Client {
        client_id: "till".into(),
        kind: "public".into(),
        grant_types: vec!["authorization_code".into()],
        scopes: vec!["openid".into()],
        backchannel_logout_uri: receiver.endpoint("/").to_string(),
        ..Default::default()
    };
    let asked = CreateClientRequest { client: Some(client.clone()) };
    let registered = server.clients.clone().create_client(asked).await.unwrap().into_inner().client.unwrap();
    assert_eq!(registered.client.unwrap().backchannel_logout_uri, client.backchannel_logout_uri);
    server.issue(IssueRequest { sid: "s-1".into(), ..alice("till", "openid") }).await;
    let _job = tells(&server);
    end(&server, session("s-1")).await;
    assert_eq!(said(&receiver.until(1).await[0])["aud"], "till");
}

async fn only_who_learnt_of_a_session_that_ended_is_told(mut world: World) {
    let (web, mobile) = (Receiver::start().await, Receiver::start().await);
    tell(&mut world, "web-app", &web);
    tell(&mut world, "mobile-app", &mobile);
    let server = world.start().await;
    let in_web = server.issue(signs_in("web-app", "s-1")).await;
    server.issue(IssueRequest { scope: "orders:read".into(), ..signs_in("mobile-app", "s-1") }).await;
    server.issue(signs_in("mobile-app", "s-2")).await;
    let _job = tells(&server);
    // None of these is a sign-out: the user is signed in as before.
    end(&server, Target::GrantId(in_web.grant_id)).await;
    end(&server, Target::Consent(ConsentTarget { sub: "alice".into(), client_id: "web-app".into() })).await;
    end(&server, Target::ClientId("web-app".into())).await;
    end(&server, session("nobody's")).await;
    end(&server, session("s-1")).await;
    assert_eq!(sids(&web.until(1).await), ["s-1"]);
    assert_eq!(sids(&mobile.received()), Vec::<String>::new(), "it was given no ID token in that session");
    end(&server, session("s-2")).await;
    assert_eq!(sids(&mobile.until(1).await), ["s-2"]);
    assert_eq!(web.received().len(), 1);
}

async fn the_end_of_a_subject_is_the_end_of_its_sessions(mut world: World) {
    let receiver = Receiver::start().await;
    tell(&mut world, "web-app", &receiver);
    let server = world.start().await;
    server.issue(signs_in("web-app", "s-1")).await;
    server.issue(signs_in("web-app", "s-2")).await;
    server.issue(IssueRequest { sub: "bob".into(), ..signs_in("web-app", "bob's") }).await;
    server.revoke(Target::Sub("alice".into())).await;
    // Who signs in again stays signed in, though all that was before is settled only now.
    server.issue(signs_in("web-app", "s-3")).await;
    settle(&server).await;
    let _job = tells(&server);
    let told = receiver.until(2).await;
    assert_eq!(sids(&told).into_iter().collect::<BTreeSet<_>>(), ["s-1", "s-2"].map(str::to_owned).into());
    end(&server, session("bob's")).await;
    let told = receiver.until(3).await;
    assert_eq!((said(&told[2])["sub"].clone(), told.len()), (json!("bob"), 3));
}

async fn what_was_told_is_not_told_again(mut world: World) {
    let receiver = Receiver::start().await;
    tell(&mut world, "web-app", &receiver);
    let server = world.start().await;
    for sid in ["s-1", "s-2"] {
        server.issue(signs_in("web-app", sid)).await;
    }
    let _job = tells(&server);
    end(&server, session("s-1")).await;
    receiver.until(1).await;
    end(&server, session("s-1")).await;
    end(&server, Target::Sub("alice".into())).await;
    assert_eq!(sids(&receiver.until(2).await), ["s-1", "s-2"]);
    // Settled again, as after a failover, it is listed again and found to be told.
    let first = server.app.alive.salt().session(&SessionId::parse("sid", "s-1").unwrap());
    server.app.records.put_off_logout(first, web(&server), world.clock.now()).await.unwrap();
    eventually("it is forgotten", async || waiting(&server).await == 0).await;
    assert_eq!(receiver.received().len(), 2);
}

async fn whom_another_follows_in_a_session_is_told_of_all_the_same(mut world: World) {
    let receiver = Receiver::start().await;
    tell(&mut world, "web-app", &receiver);
    let server = world.start().await;
    let takes_over = |sub: &str| IssueRequest { sub: sub.into(), ..signs_in("web-app", "s-1") };
    let subs = |told: &[Received]| -> BTreeSet<String> {
        told.iter().map(|told| said(told)["sub"].as_str().unwrap().to_owned()).collect()
    };
    server.issue(takes_over("alice")).await;
    server.revoke(Target::Sub("alice".into())).await;
    // Before that is settled, and again before it is told.
    server.issue(takes_over("bob")).await;
    settle(&server).await;
    server.issue(takes_over("bob")).await;
    let _job = tells(&server);
    assert_eq!(subs(&receiver.until(1).await), ["alice"].map(str::to_owned).into());
    // Several of one client and one moment, each told.
    server.issue(takes_over("carol")).await;
    end(&server, session("s-1")).await;
    assert_eq!(subs(&receiver.until(3).await[1..]), ["bob", "carol"].map(str::to_owned).into());
    eventually("nothing waits", async || waiting(&server).await == 0).await;
    assert_eq!(receiver.received().len(), 3);
}

fn web(replica: &Replica) -> TargetId {
    replica.app.alive.salt().client(&ClientId::parse("client_id", "web-app").unwrap())
}

/// What waits to be told to the web application.
async fn waiting(replica: &Replica) -> usize {
    replica.app.records.logouts(web(replica), 100).await.unwrap().len()
}

/// Waits until the web application was not told, and the turn to tell it is over.
async fn until_put_off(world: &World, replica: &Replica) {
    let records = &replica.app.records;
    let is_put_off = async || {
        let due = records.logouts(web(replica), 1).await.unwrap()[0].due;
        let (turn, _) = records.read_one::<LogoutTurnRecord>(&name::logout_turn(web(replica))).await.unwrap();
        due > world.clock.now() && turn.is_some_and(|turn| turn.value.holder.is_empty())
    };
    eventually("it was tried and put off", is_put_off).await;
}

async fn who_cannot_be_reached_is_told_when_he_is_back(mut world: World) {
    let receiver = Receiver::start().await;
    tell(&mut world, "web-app", &receiver);
    let address = receiver.address;
    drop(receiver);
    let server = world.start().await;
    server.issue(signs_in("web-app", "s-1")).await;
    let _job = tells(&server);
    end(&server, session("s-1")).await;
    until_put_off(&world, &server).await;
    let receiver = Receiver::start_at(address).await;
    world.pass(30);
    assert_eq!(sids(&receiver.until(1).await), ["s-1"]);
    eventually("nothing waits", async || waiting(&server).await == 0).await;
}

async fn who_fails_is_told_again_and_given_up_after_a_day(mut world: World) {
    let receiver = Receiver::start().await;
    tell(&mut world, "web-app", &receiver);
    let server = world.start().await;
    for sid in ["s-1", "s-2"] {
        server.issue(signs_in("web-app", sid)).await;
    }
    receiver.answers(Reply::status(503));
    let _job = tells(&server);
    end(&server, session("s-1")).await;
    for attempt in 1..=3 {
        receiver.until(attempt).await;
        until_put_off(&world, &server).await;
        world.pass(60 * 60);
    }
    let told = receiver.until(4).await;
    assert_eq!(sids(&told), ["s-1"; 4]);
    until_put_off(&world, &server).await;
    let jtis: BTreeSet<String> = told.iter().map(|told| said(told)["jti"].to_string()).collect();
    assert_eq!(jtis.len(), told.len(), "each attempt has an id of its own");
    world.pass(24 * 3_600);
    eventually("it is given up", async || waiting(&server).await == 0).await;
    receiver.answers(Reply::status(204));
    end(&server, session("s-2")).await;
    assert_eq!(sids(&receiver.until(5).await)[4..], ["s-2"]);
}

async fn who_refuses_is_not_told_again(mut world: World) {
    let receiver = Receiver::start().await;
    tell(&mut world, "web-app", &receiver);
    let server = world.start().await;
    for sid in ["s-1", "s-2"] {
        server.issue(signs_in("web-app", sid)).await;
    }
    receiver.answers(Reply::status(400));
    let _job = tells(&server);
    end(&server, session("s-1")).await;
    eventually("nothing waits", async || waiting(&server).await == 0).await;
    receiver.answers(Reply::status(200));
    world.pass(3_600);
    end(&server, session("s-2")).await;
    assert_eq!(sids(&receiver.until(2).await), ["s-1", "s-2"]);
}

async fn one_that_hangs_delays_no_other_and_no_revocation(mut world: World) {
    let (web, mobile) = (Receiver::start().await, Receiver::start().await);
    tell(&mut world, "web-app", &web);
    tell(&mut world, "mobile-app", &mobile);
    let server = world.start().await;
    web.answers(Reply::Silence);
    for sid in ["s-1", "s-2"] {
        server.issue(signs_in("web-app", sid)).await;
        server.issue(signs_in("mobile-app", sid)).await;
    }
    let _job = tells(&server);
    end(&server, session("s-1")).await;
    web.until(1).await;
    // While it hangs: revoked, settled, and told to the other.
    let before = web.received().len();
    end(&server, session("s-2")).await;
    assert_eq!(sids(&mobile.until(2).await), ["s-1", "s-2"]);
    assert_eq!((before, waiting(&server).await), (1, 2), "nothing is lost to the one that hangs");
}

async fn what_a_replica_that_ended_left_undone_another_does(mut world: World) {
    let receiver = Receiver::start().await;
    tell(&mut world, "web-app", &receiver);
    let (dies, lives) = (world.start().await, world.start().await);
    for sid in ["s-1", "s-2"] {
        dies.issue(signs_in("web-app", sid)).await;
    }
    // One session it has settled and is telling; the other is in the log only.
    receiver.answers(Reply::Silence);
    let job = tells(&dies);
    end(&dies, session("s-1")).await;
    receiver.until(1).await;
    dies.revoke(session("s-2")).await;
    drop((job, dies));
    receiver.answers(Reply::status(200));
    let _job = tells(&lives);
    settle(&lives).await;
    world.pass(30);
    let told = sids(&receiver.until(3).await);
    assert_eq!(told[0], "s-1", "without an answer");
    assert_eq!(told[1..].iter().collect::<BTreeSet<_>>(), [&"s-1".to_owned(), &"s-2".to_owned()].into());
    eventually("nothing waits", async || waiting(&lives).await == 0).await;
}

async fn of_two_replicas_one_tells(mut world: World) {
    let receiver = Receiver::start().await;
    tell(&mut world, "web-app", &receiver);
    let replicas = [world.start().await, world.start().await];
    let all: Vec<String> = (0..20).map(|at| format!("s-{at}")).collect();
    for sid in all.iter().map(String::as_str).chain(["last"]) {
        replicas[0].issue(signs_in("web-app", sid)).await;
    }
    let _jobs = [tells(&replicas[0]), tells(&replicas[1])];
    for (sid, replica) in all.iter().zip(replicas.iter().cycle()) {
        replica.revoke(session(sid)).await;
    }
    let both = [&replicas[0], &replicas[1]].map(|replica| async move { settle(replica).await });
    futures_util::future::join_all(both).await;
    receiver.until(20).await;
    eventually("nothing waits", async || waiting(&replicas[0]).await == 0).await;
    end(&replicas[1], session("last")).await;
    let mut told = sids(&receiver.until(21).await);
    assert_eq!((told.len(), told.pop().unwrap()), (21, "last".to_owned()));
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), all.into_iter().collect());
}

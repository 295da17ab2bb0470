//! That an access token was seen tells that the reply which brought it arrived, or that two parties hold a refresh token.

use crate::on_every_store;
use crate::world::{Replica, SCOPES, World, alice, mobile, refused, web};
use bytes::Bytes;
use jeton::api::{BatchIntrospectRequest, Cause, Confirmation, IssueRequest};
use jeton::records::name;
use jeton::telemetry::metrics::{ARRIVALS, REVOCATIONS};
use jeton_domain::client::{ReusePolicy, Rotation};
use jeton_domain::id::GrantId;

on_every_store! {
    a_lost_reply_is_retried_for_as_long_as_the_grant_lives_where_gateways_report,
    an_access_token_of_an_abandoned_generation_ends_the_grant_as_reuse,
    a_client_that_only_refuses_reuse_loses_nothing_by_it,
    where_there_is_nothing_to_detect_nothing_is_written,
    a_thousand_introspections_of_one_token_are_one_write,
    what_a_verifier_elsewhere_saw_counts_if_it_is_proved,
}

/// Scopes for a JWT, and for an opaque access token.
const BOTH: [&str; 2] = [SCOPES, "offline_access payments:read"];

fn id(grant: &str) -> GrantId {
    GrantId::parse(grant).unwrap()
}

async fn record(world: &World, grant: &str) -> Option<Bytes> {
    world.store().await.get(&[name::grant(id(grant))]).await.unwrap().values.remove(0)
}

impl Replica {
    /// A gateway asks about the token, and the background looks at what was seen.
    async fn sees(&self, token: &str) {
        assert!(self.active(token).await);
        self.app.service.look_at_arrivals().await.unwrap();
    }
}

async fn a_lost_reply_is_retried_for_as_long_as_the_grant_lives_where_gateways_report(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    for scope in BOTH {
        let first = server.issue(alice("mobile-app", scope)).await;
        let second = server.refresh(mobile(&first.refresh_token)).await;
        other.sees(&second.access_token).await;
        world.pass(20);
        let lost = server.refresh(mobile(&second.refresh_token)).await;
        world.pass(7 * 86_400);
        let retried = server.refresh(mobile(&second.refresh_token)).await;
        assert_ne!(retried.refresh_token, lost.refresh_token);
        other.sees(&retried.access_token).await;
        // It arrived now, so that who comes with the one before it is a second holder.
        world.pass(20);
        refused(server.try_refresh(mobile(&second.refresh_token)).await);
        assert_eq!(server.cause(&retried.refresh_token).await, Cause::Reuse);
    }
}

async fn an_access_token_of_an_abandoned_generation_ends_the_grant_as_reuse(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    for scope in BOTH {
        let issued = server.issue(alice("mobile-app", scope)).await;
        let stolen = server.refresh(mobile(&issued.refresh_token)).await;
        world.pass(20);
        let retried = server.refresh(mobile(&issued.refresh_token)).await;
        assert_ne!(retried.refresh_token, stolen.refresh_token, "the reply seemed lost");
        server.sees(&retried.access_token).await;
        assert!(server.active(&retried.refresh_token).await, "nothing is wrong yet");
        let ended = || REVOCATIONS.count(["grant", "reuse"]);
        let (before, seen) = (ended(), ARRIVALS.count(["reuse"]));
        other.sees(&stolen.access_token).await;
        assert!(ended() > before && ARRIVALS.count(["reuse"]) > seen);
        for replica in [&server, &other] {
            for token in [&issued.access_token, &stolen.access_token, &retried.access_token, &retried.refresh_token] {
                assert!(!replica.active(token).await);
                assert_eq!(replica.cause(token).await, Cause::Reuse);
            }
            refused(replica.try_refresh(mobile(&retried.refresh_token)).await);
        }
    }
}

async fn a_client_that_only_refuses_reuse_loses_nothing_by_it(world: World) {
    let settings = world.with_client("mobile-app", |client| client.reuse = ReusePolicy::Refuse);
    let server = world.start_with(&settings).await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let stolen = server.refresh(mobile(&issued.refresh_token)).await;
    world.pass(20);
    let retried = server.refresh(mobile(&issued.refresh_token)).await;
    server.sees(&stolen.access_token).await;
    server.sees(&retried.access_token).await;
    world.pass(20);
    server.refresh(mobile(&retried.refresh_token)).await;
}

async fn where_there_is_nothing_to_detect_nothing_is_written(world: World) {
    let server = world.start().await;
    let never = world.start_with(&world.with_client("mobile-app", |client| client.rotation = Rotation::Never)).await;
    let always = world.start_with(&world.with_client("web-app", |client| client.rotation = Rotation::Always)).await;
    let bound = IssueRequest {
        cnf: Some(Confirmation { x5t_s256: "A".repeat(43), ..Default::default() }),
        ..alice("mobile-app", SCOPES)
    };
    for (replica, asked) in [
        (&server, alice("web-app", SCOPES)),
        (&server, bound),
        (&server, alice("mobile-app", "orders:read")),
        (&always, alice("web-app", "offline_access payments:read")),
        (&never, alice("mobile-app", SCOPES)),
    ] {
        let issued = replica.issue(asked.clone()).await;
        let before = record(&world, &issued.grant_id).await;
        replica.sees(&issued.access_token).await;
        let jti = replica.introspect(&issued.access_token).await.jti;
        replica.app.service.arrivals(vec![(id(&issued.grant_id), jti)]);
        replica.app.service.look_at_arrivals().await.unwrap();
        assert_eq!(record(&world, &issued.grant_id).await, before, "{asked:?}");
    }
    // Nor does it end anything: it is its holder's own slow process.
    let issued = always.issue(alice("web-app", SCOPES)).await;
    world.pass(20);
    let slow = always.refresh(web(&issued.refresh_token)).await;
    world.pass(20);
    let next = always.refresh(web(&slow.refresh_token)).await;
    for token in [&issued.access_token, &slow.access_token, &next.access_token] {
        always.sees(token).await;
    }
    assert!(always.active(&next.refresh_token).await);
}

async fn a_thousand_introspections_of_one_token_are_one_write(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    for scope in BOTH {
        let issued = server.issue(alice("mobile-app", scope)).await;
        let before = record(&world, &issued.grant_id).await;
        server.sees(&issued.access_token).await;
        let once = record(&world, &issued.grant_id).await;
        assert_ne!(once, before, "the first generation arrived");
        for round in 0..10 {
            for replica in [&server, &other] {
                let tokens = vec![issued.access_token.clone(); 50];
                let asked = BatchIntrospectRequest { tokens, ..Default::default() };
                let answer = replica.tokens.clone().batch_introspect(asked).await.unwrap().into_inner();
                assert!(answer.results.len() == 50 && answer.results.iter().all(|result| result.active));
                replica.app.service.look_at_arrivals().await.unwrap();
            }
            assert_eq!(record(&world, &issued.grant_id).await, once, "not even its stamp has changed, round {round}");
        }
    }
}

async fn what_a_verifier_elsewhere_saw_counts_if_it_is_proved(world: World) {
    let (server, gateway) = (world.start().await, world.start().await);
    for scope in BOTH {
        let issued = server.issue(alice("mobile-app", scope)).await;
        let bystander = server.issue(alice("mobile-app", scope)).await;
        let stolen = server.refresh(mobile(&issued.refresh_token)).await;
        world.pass(20);
        let retried = server.refresh(mobile(&issued.refresh_token)).await;
        // Looked up on another replica, so that this one has seen nothing of it yet.
        let jti = gateway.introspect(&stolen.access_token).await.jti;
        let other = if jti.ends_with('A') { 'B' } else { 'A' };
        let mut forged = jti.clone();
        forged.pop();
        forged.push(other);
        for (grant, jti) in [(&issued, &forged), (&bystander, &jti), (&issued, &"no jti".to_owned()), (&issued, &String::new())] {
            let fresh = world.start().await;
            fresh.app.service.arrivals(vec![(id(&grant.grant_id), jti.clone())]);
            fresh.app.service.look_at_arrivals().await.unwrap();
            assert!(server.active(&retried.refresh_token).await && server.active(&bystander.refresh_token).await, "{jti}");
        }
        server.app.service.arrivals(vec![(id(&issued.grant_id), jti)]);
        server.app.service.look_at_arrivals().await.unwrap();
        assert_eq!(server.cause(&retried.refresh_token).await, Cause::Reuse);
        assert!(server.active(&bystander.refresh_token).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_outage_swallowed_is_told_when_it_is_seen_again() {
    let mut world = World::redis(&["--appendonly", "yes"]).await;
    world.patience = std::time::Duration::from_millis(400);
    let server = world.start().await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let before = record(&world, &issued.grant_id).await;
    assert!(server.active(&issued.access_token).await);
    world.redis.as_mut().unwrap().stop().await;
    let failed = ARRIVALS.count(["failed"]);
    assert!(server.app.service.look_at_arrivals().await.is_err());
    assert!(ARRIVALS.count(["failed"]) > failed);
    server.app.service.look_at_arrivals().await.unwrap();
    world.redis.as_mut().unwrap().restart().await;
    world.patience = std::time::Duration::from_secs(20);
    assert_eq!(record(&world, &issued.grant_id).await, before);
    while server.try_introspect(&issued.access_token, "").await.is_err() {
        tokio::task::yield_now().await;
    }
    server.app.service.look_at_arrivals().await.unwrap();
    assert_ne!(record(&world, &issued.grant_id).await, before);
}

//! How fresh an introspection is: from memory while that is provably young, never from older knowledge, never a wrong yes to a revision.

use crate::on_every_store;
use crate::world::{Replica, SCOPES, World, alice, refusal};
use jeton::api::freshness::Requirement;
use jeton::api::revoke_request::Target;
use jeton::api::{Freshness, IntrospectRequest, IntrospectResponse};
use jeton_domain::time::Millis;
use std::time::Duration;
use tonic::{Code, Status};

on_every_store!(
    by_default_an_answer_is_from_memory_and_no_older_than_max_staleness,
    following_brings_a_revocation_without_being_asked,
    a_revision_is_known_or_lost_and_never_guessed,
);

async fn ask(replica: &Replica, token: &str, requirement: Option<Requirement>) -> Result<IntrospectResponse, Status> {
    let freshness = requirement.map(|requirement| Freshness { requirement: Some(requirement) });
    let asked = IntrospectRequest { token: token.into(), freshness, ..Default::default() };
    replica.tokens.clone().introspect(asked).await.map(tonic::Response::into_inner)
}

/// As a gateway asks that says nothing of freshness.
async fn active(replica: &Replica, token: &str) -> bool {
    ask(replica, token, None).await.unwrap().active
}

async fn by_default_an_answer_is_from_memory_and_no_older_than_max_staleness(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    let token = server.issue(alice("mobile-app", SCOPES)).await.access_token;
    assert!(active(&other, &token).await);
    let revision = server.revoke(Target::Sub("alice".into())).await.revision;
    assert!(!active(&server, &token).await, "who revoked knows at once");
    assert!(active(&other, &token).await, "nobody told this one, and it may answer from memory");
    world.clock.advance(world.settings.tokens.max_staleness);
    let answer = ask(&other, &token, None).await.unwrap();
    assert_eq!((answer.active, answer.revision), (false, revision), "older knowledge is not trusted");
}

async fn following_brings_a_revocation_without_being_asked(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    let token = server.issue(alice("mobile-app", SCOPES)).await.access_token;
    server.revoke(Target::Sub("alice".into())).await;
    other.app.alive.follow().await.unwrap();
    assert!(!active(&other, &token).await);
}

async fn a_revision_is_known_or_lost_and_never_guessed(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    let token = server.issue(alice("mobile-app", SCOPES)).await.access_token;
    let at_least = |revision: &str| Some(Requirement::AtLeastAsFresh(revision.into()));
    let revoked = server.revoke(Target::Sub("alice".into())).await.revision;
    let answer = ask(&other, &token, at_least(&revoked)).await.unwrap();
    assert_eq!((answer.active, answer.revision.as_str()), (false, revoked.as_str()));
    // The operator takes the data as it is: what was acknowledged beyond its end is known to be lost, whatever place the log reaches.
    let (micros, random) = revoked.split_once('-').unwrap();
    let lost = format!("{}-{random}", micros.parse::<u64>().unwrap() + 1_000);
    server.app.alive.accept().await.unwrap();
    let later = server.revoke(Target::Sub("bob".into())).await.revision;
    for replica in [&server, &other] {
        let refused = ask(replica, &token, at_least(&lost)).await;
        assert_eq!(refusal(refused), (Code::FailedPrecondition, "REVISION_LOST".into()));
        for known in [&revoked, &later] {
            assert!(!ask(replica, &token, at_least(known)).await.unwrap().active);
        }
    }
    let born = server.issue(alice("mobile-app", SCOPES)).await.access_token;
    assert!(active(&server, &born).await, "what is born in the new era is not killed by the old");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_store_a_jwt_is_answered_for_max_staleness_and_not_a_moment_longer() {
    let mut world = World::redis(&[]).await;
    world.patience = Duration::from_millis(400);
    let server = world.start().await;
    let token = server.issue(alice("mobile-app", SCOPES)).await.access_token;
    let dead = server.issue(alice("mobile-app", SCOPES)).await;
    server.revoke(Target::GrantId(dead.grant_id)).await;
    world.redis.as_mut().unwrap().stop().await;
    let staleness = world.settings.tokens.max_staleness.get();
    for passed in [0, staleness / 2, staleness - staleness / 2 - 1] {
        world.clock.advance(Millis::new(passed));
        assert!(active(&server, &token).await);
        assert!(!active(&server, &dead.access_token).await);
    }
    world.clock.advance(Millis::new(1));
    for token in [&token, &dead.access_token] {
        assert_eq!(refusal(ask(&server, token, None).await), (Code::Unavailable, "STORE_UNAVAILABLE".into()));
    }
    world.redis.as_mut().unwrap().restart().await;
}

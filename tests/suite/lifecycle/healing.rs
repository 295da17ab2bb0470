//! A Redis that comes back without what it acknowledged: replicas put back what they know, and what nobody knows is told to be lost.
//! Never does a revoked token come back to life silently, nor does one die that was born after.

use crate::redis_server::RedisServer;
use crate::world::{Replica, SCOPES, World, alice, fully_fresh, mobile, refusal, refused};
use jeton::api::freshness::Requirement;
use jeton::api::revoke_request::Target;
use jeton::api::{
    AcceptLogRequest, ConsentTarget, Freshness, GetLogRequest, IntrospectRequest, IntrospectResponse, IssueRequest, SessionTarget,
};
use jeton::records::name;
use jeton::store::Name;
use jeton_domain::name::{ClientId, Subject};
use jeton_domain::target as domain;
use tonic::{Code, Status};

async fn ask(replica: &Replica, token: &str, freshness: Option<Freshness>) -> Result<IntrospectResponse, Status> {
    let asked = IntrospectRequest { token: token.into(), freshness, ..Default::default() };
    replica.tokens.clone().introspect(asked).await.map(tonic::Response::into_inner)
}

fn at_least(revision: &str) -> Option<Freshness> {
    Some(Freshness { requirement: Some(Requirement::AtLeastAsFresh(revision.into())) })
}

impl World {
    fn server(&mut self) -> &mut RedisServer {
        self.redis.as_mut().unwrap()
    }

    /// Keeps what is there now for the next start.
    async fn saved(&mut self) {
        self.server().ask::<()>(&["SAVE"]).await;
    }

    /// Killed, and started with what was saved last.
    async fn rolled_back(&mut self) {
        self.server().restart().await;
    }

    /// As if the era had begun longer ago than healing takes.
    async fn healing_took_its_time(&mut self) {
        self.server().ask::<i64>(&["HINCRBY", "jeton:{log}:era", "since", "-11000"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_living_replica_knows_is_put_back() {
    let mut world = World::redis(&[]).await;
    let (server, other) = (world.start().await, world.start().await);
    let before = server.issue(alice("mobile-app", SCOPES)).await;
    let in_session = server.issue(alice("mobile-app", SCOPES)).await;
    world.saved().await;
    let by_subject = server.revoke(Target::Sub("alice".into())).await.revision;
    let session = SessionTarget { sid: in_session.sid.clone(), sub: String::new() };
    let by_session = server.revoke(Target::Session(session)).await.revision;
    world.rolled_back().await;

    // The other never saw them: until the log is healed it cannot tell.
    assert_eq!(refusal(ask(&other, &before.access_token, fully_fresh()).await), (Code::Unavailable, "HEALING".into()));
    assert_eq!(refusal(ask(&other, &before.access_token, at_least(&by_subject)).await), (Code::Unavailable, "HEALING".into()));
    let since = server.issue(alice("mobile-app", SCOPES)).await;
    assert!(!server.active(&before.access_token).await, "this one has put back what it knew");
    for replica in [&server, &other] {
        for dead in [&before, &in_session] {
            assert!(!replica.active(&dead.access_token).await);
            assert!(!replica.active(&dead.refresh_token).await);
        }
        for revision in [&by_subject, &by_session] {
            assert!(
                !ask(replica, &before.access_token, at_least(revision)).await.unwrap().active,
                "it is known, wherever it lies now"
            );
        }
        assert!(replica.active(&since.access_token).await, "what is born after is not killed by what is put back");
    }
    refused(other.try_refresh(mobile(&before.refresh_token)).await);
    other.refresh(mobile(&since.refresh_token)).await;
    // And where Refresh finds it when the log has forgotten.
    assert!(other.app.alive.settle().await.unwrap() >= 2);
    assert_eq!(world.start().await.app.alive.settle().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_knows_any_more_is_told_to_be_lost() {
    let mut world = World::redis(&[]).await;
    let (server, other) = (world.start().await, world.start().await);
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let kept = server.revoke(Target::Sub("bob".into())).await.revision;
    world.saved().await;
    let lost = server.revoke(Target::Sub("alice".into())).await.revision;
    drop(server);
    world.rolled_back().await;
    assert_eq!(
        refusal(ask(&other, &issued.access_token, at_least(&lost)).await),
        (Code::Unavailable, "HEALING".into()),
        "it may live yet"
    );
    world.healing_took_its_time().await;
    let told = ask(&other, &issued.access_token, at_least(&lost)).await;
    assert_eq!(refusal(told), (Code::FailedPrecondition, "REVISION_LOST".into()), "never a wrong yes");
    // The log grows past it, which proves nothing.
    let later = other.revoke(Target::Sub("carol".into())).await.revision;
    let told = ask(&other, &issued.access_token, at_least(&lost)).await;
    assert_eq!(refusal(told), (Code::FailedPrecondition, "REVISION_LOST".into()));
    for revision in [&kept, &later] {
        assert!(ask(&other, &issued.access_token, at_least(revision)).await.unwrap().active);
    }
    let fresh = world.start().await;
    let told = ask(&fresh, &issued.access_token, at_least(&lost)).await;
    assert_eq!(refusal(told), (Code::FailedPrecondition, "REVISION_LOST".into()), "who starts later is told, too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_emptied_brings_nothing_back_to_life() {
    let mut world = World::redis(&[]).await;
    let (server, other) = (world.start().await, world.start().await);
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let revoked = server.revoke(Target::GrantId(issued.grant_id.clone())).await.revision;
    world.server().ask::<()>(&["FLUSHALL"]).await;
    // Whoever comes first: one that knows it, or one that does not.
    assert_eq!(refusal(ask(&other, &issued.access_token, fully_fresh()).await), (Code::Unavailable, "HEALING".into()));
    assert!(!ask(&server, &issued.access_token, at_least(&revoked)).await.unwrap().active);
    world.healing_took_its_time().await;
    for replica in [&server, &other] {
        assert!(!replica.active(&issued.access_token).await);
        refused(replica.try_refresh(mobile(&issued.refresh_token)).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_backup_is_refused_until_it_is_accepted() {
    let mut world = World::redis(&[]).await;
    let server = world.start().await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    world.saved().await;
    drop(server);
    // The replica was last there three hours ago, as the data says.
    let beats: Vec<String> = world.server().ask(&["HGETALL", "jeton:{log}:replicas"]).await;
    let [replica, beat] = beats.as_slice() else { panic!("{beats:?}") };
    let long_ago = (beat.parse::<u64>().unwrap() - 3 * 3_600_000).to_string();
    world.server().ask::<()>(&["HSET", "jeton:{log}:replicas", replica, &long_ago]).await;
    world.saved().await;
    world.rolled_back().await;
    let server = world.start().await;
    let restored = |answer| assert_eq!(refusal::<()>(answer), (Code::Unavailable, "RESTORED".into()));
    restored(server.try_introspect(&issued.access_token, "").await.map(drop));
    restored(ask(&server, &issued.access_token, None).await.map(drop));
    restored(server.try_refresh(mobile(&issued.refresh_token)).await.map(drop));
    restored(server.try_issue(alice("mobile-app", SCOPES)).await.map(drop));
    server.app.alive.accept().await.unwrap();
    assert!(server.active(&issued.access_token).await);
    server.refresh(mobile(&issued.refresh_token)).await;
}

/// One shard of a cluster loses a floor that the log has forgotten; the grants that it kills lie elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_floor_that_is_lost_with_its_shard_brings_no_grant_back_silently() {
    let world = World::cluster().await;
    let server = world.start().await;
    let all = world.cluster.as_ref().unwrap();
    let on = async |name: &Name| all.primary_of(all.slot_of(name.as_str()).await).await;
    let (log, salt) = (on(&Name::new("jeton:{log}")).await, server.app.alive.salt());
    let mut found = None;
    for number in 0..200 {
        let sub = format!("user-{number}");
        let subject = Subject::parse("sub", &sub).unwrap();
        let consent = domain::Target::Consent(subject.clone(), ClientId::parse("client_id", "mobile-app").unwrap()).id(salt);
        let shards = (on(&name::floor(consent)).await, on(&name::grants_of(domain::Target::Subject(subject).id(salt))).await);
        if shards.0 != log && shards.0 != shards.1 {
            found = Some((sub, shards.0));
            break;
        }
    }
    let (sub, shard) = found.expect("some lie apart");
    let issued = server.issue(IssueRequest { sub: sub.clone(), ..alice("mobile-app", SCOPES) }).await;
    server.revoke(Target::Consent(ConsentTarget { sub, client_id: "mobile-app".into() })).await;
    for _ in 0..8 {
        server.app.alive.settle().await.unwrap();
        all.nodes[log].ask::<i64>(&["HDEL", "jeton:{log}:witnessed", "at"]).await;
    }
    world.pass(3 * 3_600);
    for _ in 0..2 {
        server.app.alive.settle().await.unwrap();
    }
    assert_eq!(server.app.alive.health().entries, 0, "it is in its record alone");
    refused(server.try_refresh(mobile(&issued.refresh_token)).await);

    all.nodes[shard].ask::<()>(&["FLUSHALL"]).await;
    let unavailable = (Code::Unavailable, "RESTORED".into());
    assert_eq!(refusal(server.try_refresh(mobile(&issued.refresh_token)).await), unavailable);
    assert_eq!(refusal(ask(&server, &issued.refresh_token, fully_fresh()).await), unavailable);
    let log = server.revocations.clone().get_log(GetLogRequest {}).await.unwrap().into_inner();
    assert!(log.problems.iter().any(|problem| problem.contains("was emptied, or restored")), "{:?}", log.problems);

    // The operator's word, and nothing less.
    server.revocations.clone().accept_log(AcceptLogRequest { last_seen: log.last_seen }).await.unwrap();
    server.refresh(mobile(&issued.refresh_token)).await;
}

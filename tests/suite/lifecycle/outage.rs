//! A Redis that fails: `UNAVAILABLE` and when to come back, never inactive, never refused, never revoked; and it heals by itself.

use crate::redis_server::RedisServer;
use crate::store_contract::eventually;
use crate::world::{Replica, SCOPES, World, alice, fully_fresh, mobile, refusal};
use futures_util::future::join_all;
use jeton::api::revoke_request::Target;
use jeton::api::{
    BatchIntrospectRequest, Durability, ExplainRequest, GetGrantRequest, IssueResponse, ListGrantsRequest, RevokeRequest,
};
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// How long a replica waits for Redis. Its requests may take twice as long.
const PATIENCE: Duration = Duration::from_millis(400);
/// What a busy machine may add.
const BUSY: Duration = Duration::from_secs(5);

struct Held {
    orders: IssueResponse,
    payments: IssueResponse,
    revoked: IssueResponse,
    /// Revoked while nobody answers: that may still happen.
    uncertain: IssueResponse,
}

impl Held {
    async fn new(server: &Replica) -> Self {
        let held = Self {
            orders: server.issue(alice("mobile-app", SCOPES)).await,
            payments: server.issue(alice("mobile-app", "offline_access payments:read")).await,
            revoked: server.issue(alice("mobile-app", SCOPES)).await,
            uncertain: server.issue(alice("mobile-app", SCOPES)).await,
        };
        server.revoke(Target::GrantId(held.revoked.grant_id.clone())).await;
        held
    }

    /// Every operation, each on tokens of every kind.
    async fn calls(&self, server: &Replica) -> Vec<(&'static str, Result<(), Status>)> {
        let revoke = |target| RevokeRequest { target: Some(target), ..Default::default() };
        let batch = BatchIntrospectRequest {
            tokens: vec![self.orders.access_token.clone()],
            freshness: fully_fresh(),
            ..Default::default()
        };
        let explain = ExplainRequest { token: self.orders.refresh_token.clone(), ..Default::default() };
        let grant = GetGrantRequest { grant_id: self.orders.grant_id.clone() };
        let list = ListGrantsRequest { sub: "alice".into(), ..Default::default() };
        let (mut tokens, mut other, mut grants, mut lists) =
            (server.tokens.clone(), server.tokens.clone(), server.grants.clone(), server.grants.clone());
        let done = tokio::join!(
            server.try_issue(alice("mobile-app", SCOPES)),
            server.try_issue(alice("mobile-app", "orders:read")),
            server.try_refresh(mobile(&self.orders.refresh_token)),
            server.try_refresh(mobile(&self.payments.refresh_token)),
            server.try_introspect(&self.orders.access_token, ""),
            server.try_introspect(&self.payments.access_token, ""),
            server.try_introspect(&self.orders.refresh_token, ""),
            server.try_introspect(&self.revoked.access_token, ""),
            server.try_revoke(revoke(Target::Token(self.uncertain.refresh_token.clone()))),
            server.try_revoke(revoke(Target::Token(self.uncertain.access_token.clone()))),
            server.try_revoke(revoke(Target::GrantId(self.uncertain.grant_id.clone()))),
            tokens.batch_introspect(batch),
            other.explain(explain),
            grants.get_grant(grant),
            lists.list_grants(list),
        );
        vec![
            ("issue", done.0.map(drop)),
            ("issue without a record", done.1.map(drop)),
            ("refresh", done.2.map(drop)),
            ("refresh, opaque", done.3.map(drop)),
            ("introspect a JWT", done.4.map(drop)),
            ("introspect an opaque token", done.5.map(drop)),
            ("introspect a refresh token", done.6.map(drop)),
            ("introspect what was revoked", done.7.map(drop)),
            ("revoke a refresh token", done.8.map(drop)),
            ("revoke an access token", done.9.map(drop)),
            ("revoke a grant", done.10.map(drop)),
            ("introspect many", done.11.map(drop)),
            ("explain", done.12.map(drop)),
            ("read a grant", done.13.map(drop)),
            ("list grants", done.14.map(drop)),
        ]
    }

    /// Every operation says that it cannot tell, in time, and when to come back.
    async fn nothing_is_known(&self, server: &Replica) {
        let asked = Instant::now();
        for (what, answer) in self.calls(server).await {
            let status = answer.expect_err(what);
            let retry = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
            assert!(retry.is_some_and(|delay| !delay.is_zero()), "{what}: {status:?}");
            assert_eq!(refusal::<()>(Err(status)), (Code::Unavailable, "STORE_UNAVAILABLE".into()), "{what}");
        }
        assert!(asked.elapsed() < PATIENCE * 2 + BUSY, "{:?}", asked.elapsed());
    }

    /// By itself, without a restart, everything is as it was.
    async fn heals(&self, server: &Replica) {
        let healing = async {
            while self.calls(server).await.iter().any(|(_, answer)| answer.is_err()) {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), healing).await.expect("it heals by itself");
        for issued in [&self.orders, &self.payments] {
            assert!(server.active(&issued.access_token).await);
        }
        for token in [&self.revoked.access_token, &self.revoked.refresh_token] {
            assert!(!server.active(token).await, "what was acknowledged stays revoked");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc7009_2_2_1_a_redis_that_is_gone_is_unavailable_and_heals() {
    let mut world = World::redis(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    world.patience = PATIENCE;
    let server = world.start().await;
    let held = Held::new(&server).await;
    for _ in 0..2 {
        world.redis.as_mut().unwrap().stop().await;
        held.nothing_is_known(&server).await;
        held.nothing_is_known(&server).await;
        assert_eq!(server.jwks().await.keys.len(), 4, "public keys are in memory");
        world.redis.as_mut().unwrap().restart().await;
        held.heals(&server).await;
    }
    // An error of the store neither consumed the token nor counts as reuse.
    world.pass(20);
    let refreshed = server.refresh(mobile(&held.payments.refresh_token)).await;
    assert!(server.active(&refreshed.access_token).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc7009_2_2_1_a_redis_that_hangs_is_unavailable_and_heals() {
    let mut world = World::redis(&[]).await;
    world.patience = PATIENCE;
    let server = world.start().await;
    let held = Held::new(&server).await;
    for _ in 0..2 {
        world.redis.as_ref().unwrap().pause().await;
        held.nothing_is_known(&server).await;
        world.redis.as_ref().unwrap().resume().await;
        held.heals(&server).await;
    }
    world.pass(20);
    server.refresh(mobile(&held.orders.refresh_token)).await;
}

/// The grant's record says that it ended before any replica of Redis has it: who asks again may not take that for done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_settled_and_is_on_no_replica_is_not_called_done() {
    let (world, mut replica) = with_a_replica().await;
    let server = world.start().await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    replica.stop().await;
    let revoke = async || {
        let target = Some(Target::Token(issued.refresh_token.clone()));
        server.try_revoke(RevokeRequest { target, ..Default::default() }).await
    };
    let not_durable = (Code::Unavailable, "REVOKED_NOT_DURABLE".to_owned());
    assert_eq!(refusal(revoke().await), not_durable);
    server.app.alive.settle().await.unwrap_err();
    assert_eq!(refusal(revoke().await), not_durable);

    replica.restart().await;
    world.acknowledges().await;
    assert_eq!(revoke().await.unwrap().durability(), Durability::Replicated);
    assert!(server.app.alive.settle().await.unwrap() >= 1);
}

/// A primary, with one replica that has all that it has; and a world that waits for it.
async fn with_a_replica() -> (World, RedisServer) {
    let mut world = World::redis(&["--repl-diskless-sync-delay", "0"]).await;
    world.replicas = 1;
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &world.primary().port().to_string()]).await;
    world.acknowledges().await;
    (world, replica)
}

impl World {
    fn primary(&self) -> &RedisServer {
        self.redis.as_ref().unwrap()
    }

    async fn acknowledges(&self) {
        eventually("the replica acknowledges", async || self.primary().ask::<i64>(&["WAIT", "1", "100"]).await == 1).await;
    }

    /// How many entries the log has.
    async fn logged(&self) -> u64 {
        self.primary().ask(&["XLEN", "jeton:{log}"]).await
    }
}

/// What revoking that so often at once is told; each time it is in force, and not on the replica.
async fn not_durable(server: &Replica, target: &Target, times: usize) -> HashSet<String> {
    let asked = RevokeRequest { target: Some(target.clone()), ..Default::default() };
    let told = join_all((0..times).map(|_| server.try_revoke(asked.clone()))).await;
    let revision = |answer: Result<_, Status>| {
        let status = answer.unwrap_err();
        let info = status.get_error_details().error_info().unwrap().clone();
        assert_eq!((status.code(), info.reason.as_str()), (Code::Unavailable, "REVOKED_NOT_DURABLE"), "{status:?}");
        info.metadata["revision"].clone()
    };
    told.into_iter().map(revision).collect()
}

/// Whoever asks again and again while no replica of Redis answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_again_until_it_is_acknowledged_is_in_the_log_once() {
    let (world, mut replica) = with_a_replica().await;
    let (server, other) = (world.start().await, world.start().await);
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let (token, grant) = (Target::Token(issued.refresh_token.clone()), Target::GrantId(issued.grant_id.clone()));
    replica.stop().await;
    let before = world.logged().await;
    let told = not_durable(&server, &token, 8).await;
    assert_eq!((told.len(), world.logged().await), (1, before + 1), "{told:?}");
    other.app.alive.load().await.unwrap();
    let again = tokio::join!(not_durable(&server, &grant, 8), not_durable(&other, &token, 8), not_durable(&other, &grant, 8));
    for again in [again.0, again.1, again.2] {
        assert_eq!(again, told, "by whichever replica");
    }
    assert!(!other.active(&issued.access_token).await);
    assert_eq!(world.logged().await, before + 1);

    replica.restart().await;
    world.acknowledges().await;
    for server in [&server, &other] {
        let revoked = server.revoke(grant.clone()).await;
        assert_eq!((revoked.durability(), told.contains(&revoked.revision)), (Durability::Replicated, true));
    }
    assert_eq!(replica.ask::<u64>(&["XLEN", "jeton:{log}"]).await, before + 1);
    // All of a subject is another revocation each time: it ends what was issued since.
    let all = async || server.revoke(Target::Sub("alice".into())).await.revision;
    assert_ne!(all().await, all().await);
    assert_eq!(world.logged().await, before + 3);
}

/// A primary that comes back without what it did not have replicated is another: what it lost is appended again, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_lost_with_another_primary_is_appended_again_and_once() {
    let (mut world, mut replica) = with_a_replica().await;
    let server = world.start().await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let grant = Target::GrantId(issued.grant_id.clone());
    let before = world.logged().await;
    world.primary().ask::<()>(&["SAVE"]).await;
    replica.stop().await;
    let first = not_durable(&server, &grant, 2).await;
    world.redis.as_mut().unwrap().restart().await;
    assert_eq!(world.logged().await, before, "it is lost");

    // Of a connection that broke nobody knows what became of a write over it.
    let is_in_force = async || {
        let asked = RevokeRequest { target: Some(grant.clone()), ..Default::default() };
        refusal(server.try_revoke(asked).await).1 == "REVOKED_NOT_DURABLE"
    };
    eventually("it is in force again", is_in_force).await;
    let second = not_durable(&server, &grant, 8).await;
    assert!(second.len() == 1 && second.is_disjoint(&first), "{first:?} {second:?}");
    server.app.alive.heal().await.unwrap_err();
    assert_eq!(not_durable(&server, &grant, 8).await, second, "though nothing else is sure yet");
    assert_eq!(world.logged().await, before + 2, "with the marker of its era");

    replica.restart().await;
    world.acknowledges().await;
    assert_eq!(server.revoke(grant.clone()).await.durability(), Durability::Replicated);
    server.app.alive.heal().await.unwrap();
    assert_eq!(server.revoke(grant).await.durability(), Durability::Replicated);
    assert_eq!(replica.ask::<u64>(&["XLEN", "jeton:{log}"]).await, before + 2);
    drop(server);
    assert!(!world.start().await.active(&issued.access_token).await, "nobody is left who knew it");
}

/// What all replicas of Redis have is on them, however often it is asked for; under another primary that must be shown again, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_dead_on_all_replicas_is_appended_no_more_and_under_another_primary_waited_for_once() {
    let mut world = World::sentinel().await;
    world.replicas = 2;
    let server = world.start().await;
    let sentinel = world.sentinel.as_ref().unwrap();
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let targets = [Target::Token(issued.refresh_token.clone()), Target::GrantId(issued.grant_id.clone())];
    // Each time acknowledged by all, and all times by the same entry.
    let revoke = async |times: usize| {
        let mut revisions = HashSet::new();
        for target in targets.iter().cycle().take(times) {
            let asked = RevokeRequest { target: Some(target.clone()), ..Default::default() };
            let revoked = server.try_revoke(asked).await.unwrap();
            assert_eq!(revoked.durability(), Durability::Replicated);
            revisions.insert(revoked.revision);
        }
        assert_eq!(revisions.len(), 1, "{revisions:?}");
        revisions
    };
    let length = async |node: usize| sentinel.nodes[node].ask::<u64>(&["XLEN", "jeton:{log}"]).await;
    let empty = length(0).await;
    let first = revoke(8).await;
    assert_eq!(length(0).await, empty + 1);

    let primary = sentinel.fail_over().await;
    sentinel.until("its replicas are in step", async |all| all.replicas_of(primary).await == 2).await;
    let alive = &server.app.alive;
    sentinel.until("what was lost is put back", async |_| alive.load().await.is_ok() && alive.heal().await.is_ok()).await;
    let waits = async || {
        let commands: String = sentinel.nodes[primary].ask(&["INFO", "commandstats"]).await;
        let line = commands.lines().find_map(|line| line.strip_prefix("cmdstat_wait:calls=")?.split(',').next());
        line.map_or(0, |calls| calls.parse::<u64>().unwrap())
    };
    let before = (length(primary).await, waits().await);
    assert_eq!(revoke(8).await, first, "its log has it too");
    assert_eq!(
        (length(primary).await, waits().await),
        (before.0, before.1 + 1),
        "what the replicas of another have says nothing"
    );
}

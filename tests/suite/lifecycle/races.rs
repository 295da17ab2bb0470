//! Many at once: one new generation for all, and nothing alive after an acknowledged revocation.

use crate::on_every_store;
use crate::world::{SCOPES, World, alice, mobile, refusal, web};
use jeton::api::revoke_request::Target;
use jeton::api::{ConsentTarget, IssueRequest, SessionTarget};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::task::JoinSet;
use tonic::Code;

on_every_store! {
    sixty_four_tasks_with_one_token_make_one_generation_and_hold_the_same,
    revoke_racing_refresh_leaves_nothing_alive_once_acknowledged,
    issue_racing_revoke_is_ordered_one_way_or_the_other,
    settling_by_many_replicas_at_once_loses_nothing,
    many_at_the_cap_never_exceed_it,
    many_revocations_of_one_token_at_once_count_once,
}

/// Records, floors and the log on different nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_racing_refresh_leaves_nothing_alive_on_a_cluster() {
    revoke_racing_refresh_leaves_nothing_alive_once_acknowledged(World::cluster().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_the_cap_never_exceed_it_on_a_cluster() {
    many_at_the_cap_never_exceed_it(World::cluster().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settling_by_many_replicas_at_once_loses_nothing_under_sentinel() {
    settling_by_many_replicas_at_once_loses_nothing(World::sentinel().await).await;
}

async fn sixty_four_tasks_with_one_token_make_one_generation_and_hold_the_same(world: World) {
    let replicas = [Arc::new(world.start().await), Arc::new(world.start().await)];
    for asked in [mobile as fn(&str) -> jeton::api::RefreshRequest, web] {
        let client = asked("").client_id;
        let issued = replicas[0].issue(alice(&client, SCOPES)).await;
        // A confidential client rotates only near expiry.
        world.pass(11 * 86_400);
        let mut token = issued.refresh_token;
        let mut tasks = JoinSet::new();
        for task in 0..64 {
            let (replica, asked) = (Arc::clone(&replicas[task % 2]), asked(&token));
            tasks.spawn(async move { replica.refresh(asked).await });
        }
        let refreshed = tasks.join_all().await;
        let held: BTreeSet<_> = refreshed.iter().map(|one| one.refresh_token.clone()).collect();
        assert_eq!(held.len(), 1, "everyone holds the same token");
        assert!(!held.contains(&token));
        assert_eq!(replicas[0].grant(&issued.grant_id).await.generation, 2, "exactly one new generation");
        for one in &refreshed {
            assert!(replicas[1].active(&one.access_token).await);
        }
        world.pass(11 * 86_400);
        token = held.into_iter().next().unwrap();
        replicas[1].refresh(asked(&token)).await;
        assert_eq!(replicas[0].grant(&issued.grant_id).await.generation, 3);
    }
}

/// How many revocations race. Each with refreshes on two replicas at the same moment.
const RACES: usize = 1_000;
const AT_ONCE: usize = 50;

async fn revoke_racing_refresh_leaves_nothing_alive_once_acknowledged(world: World) {
    let replicas = [Arc::new(world.start().await), Arc::new(world.start().await)];
    let race = |number: usize| {
        let [server, other] = replicas.clone();
        let sub = format!("user-{number}");
        let scope = if number.is_multiple_of(2) { SCOPES } else { "offline_access payments:read" };
        let asked = IssueRequest { sub: sub.clone(), ..alice("mobile-app", scope) };
        async move {
            let issued = server.issue(asked).await;
            let target = match number % 5 {
                0 => Target::Token(issued.refresh_token.clone()),
                1 => Target::GrantId(issued.grant_id.clone()),
                2 => Target::Session(SessionTarget { sid: issued.sid.clone(), ..Default::default() }),
                3 => Target::Sub(sub),
                _ => Target::Consent(ConsentTarget { sub, client_id: "mobile-app".into() }),
            };
            let (_, one, two) = tokio::join!(
                server.revoke(target),
                server.try_refresh(mobile(&issued.refresh_token)),
                other.try_refresh(mobile(&issued.refresh_token)),
            );
            let mut tokens = vec![issued.access_token, issued.refresh_token];
            let mut before = 0;
            for refreshed in [one, two] {
                match refreshed {
                    Ok(refreshed) => {
                        before += 1;
                        tokens.extend([refreshed.access_token, refreshed.refresh_token]);
                    }
                    refused => crate::world::refused(refused),
                }
            }
            for token in &tokens {
                assert!(!other.active(token).await && !server.active(token).await, "alive after the acknowledgement");
            }
            for token in tokens.iter().filter(|token| token.starts_with("jrt_")) {
                crate::world::refused(other.try_refresh(mobile(token)).await);
            }
            before
        }
    };
    let mut refreshed = 0;
    for first in (0..RACES).step_by(AT_ONCE) {
        let mut tasks = JoinSet::new();
        for number in first..first + AT_ONCE {
            tasks.spawn(race(number));
        }
        refreshed += tasks.join_all().await.into_iter().sum::<usize>();
        replicas[first / AT_ONCE % 2].app.alive.settle().await.unwrap();
    }
    assert!(refreshed > 0 && refreshed < 2 * RACES, "sometimes one was first, sometimes the other: {refreshed}");
}

async fn issue_racing_revoke_is_ordered_one_way_or_the_other(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    for round in 0..40 {
        let sub = format!("user-{round}");
        let asked = || IssueRequest { sub: sub.clone(), ..alice("mobile-app", "offline_access payments:read") };
        let (issued, _, late) =
            tokio::join!(other.issue(asked()), server.revoke(Target::Sub(sub.clone())), server.issue(asked()));
        // Whichever it was, every replica sees it alike, before and after settling.
        let mut seen = Vec::new();
        for _ in 0..2 {
            for replica in [&server, &other] {
                for one in [&issued, &late] {
                    let alive = replica.active(&one.access_token).await;
                    assert_eq!(replica.active(&one.refresh_token).await, alive);
                    assert_eq!(replica.grant(&one.grant_id).await.active, alive);
                    seen.push(alive);
                }
            }
            server.app.alive.settle().await.unwrap();
        }
        assert!(seen.chunks(2).all(|pair| pair == &seen[..2]), "round {round}: {seen:?}");
        let after = other.issue(asked()).await;
        assert!(server.active(&after.access_token).await, "round {round}");
    }
}

async fn settling_by_many_replicas_at_once_loses_nothing(world: World) {
    let replicas = [world.start().await, world.start().await, world.start().await];
    let mut dead = Vec::new();
    for round in 0..10 {
        let sub = format!("user-{round}");
        let issued = replicas[0].issue(IssueRequest { sub: sub.clone(), ..alice("mobile-app", SCOPES) }).await;
        replicas[1].revoke(if round % 2 == 0 { Target::Sub(sub) } else { Target::GrantId(issued.grant_id.clone()) }).await;
        dead.push(issued);
        let [one, two, three] = replicas.each_ref().map(|replica| replica.app.alive.settle());
        tokio::try_join!(one, two, three).unwrap();
        world.pass(1_000);
    }
    world.pass(3 * 3_600);
    for replica in &replicas {
        replica.app.alive.settle().await.unwrap();
    }
    let fresh = world.start().await;
    for issued in &dead {
        crate::world::refused(fresh.try_refresh(mobile(&issued.refresh_token)).await);
    }
}

async fn many_at_the_cap_never_exceed_it(world: World) {
    let settings = world.with_client("mobile-app", |client| client.grants_per_subject = 4);
    let replicas = [Arc::new(world.start_with(&settings).await), Arc::new(world.start_with(&settings).await)];
    let mut tasks = JoinSet::new();
    for task in 0..32 {
        let replica = Arc::clone(&replicas[task % 2]);
        tasks.spawn(async move { replica.try_issue(alice("mobile-app", SCOPES)).await });
    }
    let mut living = 0;
    for issued in tasks.join_all().await {
        // Who was evicted before it was written has nothing to hand out.
        let Ok(issued) = issued.as_ref() else {
            assert_eq!(refusal(issued), (Code::Unavailable, "CONTENDED".into()));
            continue;
        };
        let alive = replicas[0].active(&issued.refresh_token).await;
        let grant = replicas[1].grant(&issued.grant_id).await;
        assert_eq!(grant.active, alive);
        living += usize::from(alive);
        if !alive {
            assert_eq!(grant.cause(), jeton::api::Cause::Evicted);
        }
    }
    assert_eq!(living, 4);
}

async fn many_revocations_of_one_token_at_once_count_once(world: World) {
    let replicas = [Arc::new(world.start().await), Arc::new(world.start().await)];
    for scope in [SCOPES, "offline_access payments:read"] {
        let issued = replicas[0].issue(alice("mobile-app", scope)).await;
        let mut tasks = JoinSet::new();
        for task in 0..64 {
            let (replica, token) = (Arc::clone(&replicas[task % 2]), issued.access_token.clone());
            tasks.spawn(async move { replica.revoke(Target::Token(token)).await });
        }
        tasks.join_all().await;
        assert!(!replicas[0].active(&issued.access_token).await);
        let refreshed = replicas[1].refresh(mobile(&issued.refresh_token)).await;
        assert!(replicas[0].active(&refreshed.access_token).await, "one token of 16 was revoked, and the grant lives");
        // The others count as before: this one and fourteen more leave it alive, the next ends it.
        for round in 2..=16 {
            let one = replicas[0].refresh(mobile(&refreshed.refresh_token)).await;
            assert!(replicas[0].active(&refreshed.refresh_token).await, "round {round}");
            replicas[1].revoke(Target::Token(one.access_token)).await;
        }
        assert!(!replicas[0].active(&refreshed.refresh_token).await);
    }
}

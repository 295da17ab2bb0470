//! N2 where both sides go on: a replica of the service is cut off together with the old primary, and both primaries acknowledge, for
//! neither waits for replicas. What is judged was handed out before: no side can end what only the other knows.

use super::caller::{Held, Wanted};
use super::fleet::{APPS, Settings};
use super::history::Target;
use super::node::{Node, until};
use super::proxy::{Proxy, Spoil, Weather};
use super::run::{APPLIED, Run, Terms};
use super::sentinels::{MASTER, STEADY, Sentinels};
use redis::Value;

const LOG: &str = "jeton:{log}";
/// Grants that only the old primary had are gone with it.
const ONLY_APPLIED: Terms = Terms { records_kept: false, ..APPLIED };
const CUT: Weather = Weather { spoil: Spoil::Silence, one_in: 1 };
/// The replica of the service that is on the old primary's side.
const CUT_OFF: usize = 2;

async fn length(node: &Node) -> u64 {
    node.ask(&["XLEN", LOG]).await
}

/// Signs so many in by that replica.
async fn sign_in(run: &Run, replica: usize, name: &str, count: usize) -> Vec<Held> {
    let mut held = Vec::new();
    for number in 0..count {
        let (sub, sid) = (format!("{name}-{number}"), format!("{name}-session-{number}"));
        let wanted = Wanted { client: APPS[number % 3].into(), sub, sid, opaque: number % 2 == 0 };
        held.push(run.caller.issue(replica, wanted).await.expect("it serves"));
    }
    held
}

/// Each is ended in another way; all is acknowledged.
async fn end(run: &Run, replica: usize, held: &[Held]) {
    for (number, held) in held.iter().enumerate() {
        let target = match number % 5 {
            0 => Target::Grant(held.grant),
            1 => Target::Subject(held.sub.clone()),
            2 => Target::Session(held.sid.clone()),
            3 => Target::Consent(held.sub.clone(), held.client.clone()),
            _ => Target::Token(held.access),
        };
        let revoked = run.caller.revoke(replica, target, None).await;
        let outcome = run.caller.recorder.history().revocations[revoked].outcome.clone();
        assert!(outcome.done().is_some_and(|done| !done.revision.is_empty()), "{replica}: {outcome:?}");
    }
}

/// Waits until both replicas have all that the primary has: what is lost with it is not what this is about.
async fn all_have_it(primary: &Node) {
    let mut connection = primary.connection().await;
    redis::cmd("SET").arg("last").arg(1).exec_async(&mut connection).await.unwrap();
    until("replicas that have all", async || {
        let have: redis::RedisResult<u32> = redis::cmd("WAIT").arg(2).arg(500).query_async(&mut connection).await;
        have.is_ok_and(|have| have == 2)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_both_sides_of_a_split_acknowledged_is_kept_when_they_join() {
    let _turn = super::turn().await;
    let redis = Sentinels::start(STEADY, [0; 3]).await;
    let mut proxies = Vec::new();
    for (seed, sentinel) in (130..).zip(&redis.sentinels) {
        proxies.push(Proxy::start(sentinel.port, seed).await);
    }
    let hosts: Vec<String> = proxies.iter().map(|proxy| proxy.address.to_string()).collect();
    let cut_off = format!("redis+sentinel://jeton:jeton@{}/{MASTER}", hosts.join(","));
    let stores = vec![redis.url(), redis.url(), cut_off];
    let mut run = Run::idle("N2 split, applied", ONLY_APPLIED, Settings { stores, ..Settings::default() }).await;
    let mut before = run.caller.now();
    for round in 0..2 {
        let held = sign_in(&run, round, &format!("before-{round}"), 40).await;
        before = run.caller.now();
        let old = redis.primary().await.expect("the sentinels agree");
        redis.settled().await;
        all_have_it(&redis.nodes[old]).await;
        run.mark(format!("splits at node {old}"));
        for proxy in &proxies {
            proxy.weather(Some(CUT));
        }
        redis.nodes[old].isolate().await;
        let new = redis.failed_over(old).await;
        run.injected("splits");
        for replica in [0, 1] {
            until("a replica that follows the sentinels", async || {
                let revoked = run.caller.revoke(replica, Target::Subject("nobody".into()), None).await;
                let outcome = run.caller.recorder.history().revocations[revoked].outcome.clone();
                let Some(revision) = outcome.done().map(|done| done.revision.clone()) else { return false };
                !redis.nodes[new].ask::<Value>(&["XRANGE", LOG, &revision, &revision]).await.as_sequence().unwrap().is_empty()
            })
            .await;
        }
        let from = (length(&redis.nodes[old]).await, length(&redis.nodes[new]).await);
        let [here, there, _living] = [&held[..15], &held[15..30], &held[30..]];
        end(&run, CUT_OFF, here).await;
        end(&run, round, there).await;
        for (replica, name) in [(CUT_OFF, "old"), (round, "new")] {
            let own = sign_in(&run, replica, &format!("{name}-side-{round}"), 10).await;
            end(&run, replica, &own).await;
        }
        let upto = (length(&redis.nodes[old]).await, length(&redis.nodes[new]).await);
        assert!(upto.0 >= from.0 + 25 && upto.1 >= from.1 + 25, "both sides are written: {from:?}, {upto:?}");
        for proxy in &proxies {
            proxy.weather(None);
        }
        run.mark("joins");
        redis.nodes[old].rejoin().await;
        redis.settled().await;
        run.revive().await;
        run.fleet.ready().await;
    }
    let judged = run.conclude().await;
    judged.is_kept();
    assert!(judged.survivors(before) > 0, "nothing from before is active: nothing could have come back to life");
}

//! Positive controls: what must lose something, does, and the checker finds it. Where one of these does not, the other runs prove
//! nothing. Each is tried a bounded number of times, for a loss needs luck.

use super::checker::{Promise, Rule, Rules, check};
use super::fleet::Settings;
use super::history::{
    Acknowledged, Freshness, Grant, GrantAt, History, Introspection, Kind, Outcome, Recorder, Refresh, Revocation, Span, Target,
    TokenAt,
};
use super::load::USUAL;
use super::node::Node;
use super::run::{REPLICATED, Run, Terms};
use super::sentinels::{STEADY, Sentinels};
use super::summary;
use jeton::api::Durability;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Judged as if all replicas had acknowledged, which they have not.
const CONTROL: Terms = Terms { is_control: true, ..REPLICATED };
/// How often a control may fail to show what it must.
const TRIES: u64 = 5;

/// Tries until `run` shows loss, and says how much.
async fn must_lose(what: &str, mut run: impl AsyncFnMut(u64) -> usize) {
    for attempt in 0..TRIES {
        let lost = run(attempt).await;
        if lost > 0 {
            summary::say(&format!("control: {what} lost {lost}, as it must (try {})", attempt + 1));
            return;
        }
    }
    panic!("{what} lost nothing in {TRIES} tries: these runs would not see a loss");
}

/// No replica is waited for, the primary is cut off, and whoever knew is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_wait_a_partition_loses_revocations() {
    let _turn = super::turn().await;
    must_lose("no WAIT under a partition", async |attempt| {
        let redis = Sentinels::start(STEADY, [0; 3]).await;
        let terms = Terms { durability: Durability::Applied, ..CONTROL };
        let settings = Settings { stores: vec![redis.nodes[0].url(); 2], ..Settings::default() };
        let mut run = Run::start("control: no WAIT under a partition", terms, settings, USUAL, attempt).await;
        redis.nodes[0].isolate().await;
        redis.failed_over(0).await;
        run.injected("partitions");
        run.revocations(50).await;
        run.kill_the_fleet().await;
        redis.nodes[0].rejoin().await;
        let primary = redis.settled().await;
        for at in 0..2 {
            run.fleet.move_to(at, redis.nodes[primary].url());
        }
        run.conclude().await.verdict.broken(Rule::Revived)
    })
    .await;
}

/// One of two replicas is waited for, and the sentinels choose the other: the service ignores the failover, and whoever knew is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_one_of_two_loses_revocations_in_a_failover_by_hand() {
    let _turn = super::turn().await;
    must_lose("WAIT 1 of two under SENTINEL FAILOVER", async |attempt| {
        let redis = Sentinels::start(STEADY, [0; 3]).await;
        let variables = vec![("JETON_REDIS_REPLICAS".into(), "1".into())];
        let settings = Settings { stores: vec![redis.nodes[0].url(); 2], variables, ..Settings::default() };
        let mut run = Run::start("control: WAIT 1 of two", CONTROL, settings, USUAL, attempt).await;
        redis.fail_over().await;
        run.injected("failovers by hand");
        run.kill_the_fleet().await;
        let primary = redis.settled().await;
        for at in 0..2 {
            run.fleet.move_to(at, redis.nodes[primary].url());
        }
        run.conclude().await.verdict.broken(Rule::Revived)
    })
    .await;
}

/// Revocations as keys that may be evicted: the memory fills up with what came later.
#[tokio::test]
async fn an_evicting_policy_loses_revocations() {
    let _turn = super::turn().await;
    for policy in ["volatile-lru", "allkeys-lru"] {
        must_lose(&format!("maxmemory-policy {policy}"), async |_| {
            let redis = Node::start(&format!("maxmemory 24mb\nmaxmemory-policy {policy}\n")).await;
            let (recorder, mut history) = (Recorder::new(), History::default());
            let mut connection = redis.connection().await;
            let mut tokens = Vec::new();
            for at in 0..20_000_usize {
                let (grant, token) = made(&mut history, &recorder, at);
                let start = recorder.now();
                redis::cmd("SET").arg(at).arg("revoked").arg("EX").arg(3_600).exec_async(&mut connection).await.unwrap();
                acknowledged(&mut history, grant, Span { start, end: recorder.now() });
                tokens.push((at, token));
            }
            for filling in 0..24_u32 {
                let value = vec![0_u8; 1 << 20];
                let stored = redis::cmd("SET").arg(format!("filling-{filling}")).arg(value).exec_async(&mut connection).await;
                if stored.is_err() {
                    break;
                }
            }
            for (at, token) in tokens {
                let start = recorder.now();
                let revoked: bool = redis::cmd("EXISTS").arg(at).query_async(&mut connection).await.unwrap();
                seen(&mut history, token, Span { start, end: recorder.now() }, !revoked);
            }
            check(&history, rules()).broken(Rule::Revived)
        })
        .await;
    }
}

/// Rotation as two commands with nothing between them that compares: read the old, write the new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_naive_rotation_spends_tokens_twice() {
    let _turn = super::turn().await;
    must_lose("naive GET/SET rotation", async |attempt| {
        let redis = Arc::new(Node::start("").await);
        let (recorder, history) = (Arc::new(Recorder::new()), Arc::new(std::sync::Mutex::new(History::default())));
        for at in 0..50 {
            let text = format!("refresh-{attempt}-{at}");
            let token = {
                let mut history = history.lock().unwrap();
                let (grant, _) = made(&mut history, &recorder, at);
                let now = recorder.now();
                history.token(&text, grant, Kind::Refresh, Span { start: now, end: now })
            };
            redis.ask::<()>(&["SET", &text, "alive"]).await;
            let mut clients = JoinSet::new();
            for client in 0..2 {
                let (redis, recorder, history, text) =
                    (Arc::clone(&redis), Arc::clone(&recorder), Arc::clone(&history), text.clone());
                clients.spawn(async move {
                    let mut connection = redis.connection().await;
                    let start = recorder.now();
                    let alive: Option<String> = redis::cmd("GET").arg(&text).query_async(&mut connection).await.unwrap();
                    let next = format!("{text}-{client}");
                    if alive.is_some() {
                        redis::cmd("SET").arg(&next).arg("alive").exec_async(&mut connection).await.unwrap();
                        redis::cmd("DEL").arg(&text).exec_async(&mut connection).await.unwrap();
                    }
                    let span = Span { start, end: recorder.now() };
                    let mut history = history.lock().unwrap();
                    let outcome = if alive.is_some() {
                        let next = history.token(&next, at, Kind::Refresh, span);
                        Outcome::Done((next, next))
                    } else {
                        Outcome::Refused("REFRESH_TOKEN_REFUSED".into())
                    };
                    history.refreshes.push(Refresh { presented: token, span, replica: client, outcome });
                });
            }
            clients.join_all().await;
        }
        let tokens: Vec<(TokenAt, String)> = {
            let history = history.lock().unwrap();
            let all = history.tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Refresh);
            all.map(|(at, token)| (at, token.text.clone())).collect()
        };
        for (token, text) in tokens {
            let start = recorder.now();
            let active: i64 = redis.ask(&["EXISTS", &text]).await;
            seen(&mut history.lock().unwrap(), token, Span { start, end: recorder.now() }, active == 1);
        }
        check(&history.lock().unwrap(), rules()).broken(Rule::DoubleSpend)
    })
    .await;
}

fn rules() -> Rules {
    Rules {
        max_staleness: Duration::ZERO,
        promise: Promise::Replicated,
        calm: Duration::ZERO,
        lifetime: Duration::MAX,
        records_kept: true,
        views_kept: true,
    }
}

fn made(history: &mut History, recorder: &Recorder, at: usize) -> (GrantAt, TokenAt) {
    let now = recorder.now();
    let issued = Span { start: now, end: now };
    let name = |kind: &str| format!("{kind}-{at}");
    let (client, sub, sid) = (name("client"), name("sub"), name("sid"));
    let grant = history.grant(Grant { id: name("grant"), client, sub, sid, issued, rotates: true, honest: true });
    (grant, history.token(&name("access"), grant, Kind::Opaque, issued))
}

fn acknowledged(history: &mut History, grant: GrantAt, span: Span) {
    let outcome = Outcome::Done(Acknowledged { revision: "1".into(), durable: true });
    history.revocation(Revocation { target: Target::Grant(grant), span, replica: 0, outcome });
}

fn seen(history: &mut History, token: TokenAt, span: Span, active: bool) {
    let outcome = Outcome::Done(active);
    history.introspections.push(Introspection { token, freshness: Freshness::Full, span, replica: 0, outcome });
}

//! Keys at an address (`jwks_uri`): fetched seldom, believed for a bounded time, and nobody waits for those of another.

use super::{give_keys, give_source, job};
use crate::receiver::{Receiver, Reply};
use crate::rfc::Server;
use crate::rfc::proof::Prover;
use bytes::Bytes;
use jeton_domain::endpoint::Endpoint;
use jeton_domain::jwk::KeySource;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// The billing job, its keys at an address that the test plays, and beside it the web application, whose keys are known.
struct Deployment {
    server: Server,
    keys: Receiver,
}

fn published(keys: &[Value]) -> Reply {
    Reply::Answer(200, Vec::new(), Bytes::from(json!({ "keys": keys }).to_string()))
}

impl Deployment {
    async fn start(first: Reply, webs: &Prover) -> Self {
        let keys = Receiver::start().await;
        keys.answers(first);
        let endpoint = Endpoint::parse("jwks_uri", &format!("http://{}/jwks.json?x=1", keys.address)).unwrap();
        let server = Server::start_with(|settings| {
            give_source(settings, "billing-job", KeySource::Uri(endpoint));
            give_keys(settings, "web-app", &[webs.jwk()]);
        })
        .await;
        Self { server, keys }
    }

    /// What the token endpoint answers the job with an assertion signed so.
    async fn status(&self, prover: &Prover, kid: &str) -> u16 {
        job(&self.server.replica, &self.server.assertion(prover).header("kid", kid).signed()).await.status
    }

    fn fetches(&self) -> usize {
        self.keys.received().len()
    }
}

#[tokio::test]
async fn s092_keys_at_an_address_are_fetched_once_and_again_when_another_is_named() {
    let [old, new] = [Prover::new(), Prover::ed25519()];
    let deployment = Deployment::start(published(&[old.named("old")]), &new).await;
    assert_eq!(deployment.fetches(), 0, "nobody asked for them yet");
    for _ in 0..3 {
        assert_eq!(deployment.status(&old, "old").await, 200);
    }
    let [fetched] = <[_; 1]>::try_from(deployment.keys.received()).unwrap();
    assert_eq!((fetched.method.as_str(), fetched.target.as_str()), ("GET", "/jwks.json?x=1"));
    assert_eq!(fetched.headers["accept"], "application/jwk-set+json, application/json");

    // Another key is there now. Made-up names make no storm.
    deployment.keys.answers(published(&[old.named("old"), new.named("new")]));
    for nth in 0..20 {
        assert_eq!(deployment.status(&new, &format!("made-up-{nth}")).await, 401);
    }
    assert_eq!(deployment.status(&new, "new").await, 401, "it was looked a moment ago");
    assert_eq!(deployment.fetches(), 1);
    deployment.server.world.pass(10);
    let at_once = futures_util::future::join_all((0..8).map(|_| deployment.status(&new, "new"))).await;
    assert_eq!((at_once, deployment.fetches()), (vec![200; 8], 2), "one fetch for all that wait");
    // What is refused anyway is no reason to fetch.
    deployment.server.world.pass(10);
    let expired = deployment.server.assertion(&new).header("kid", "x").claim("exp", 1).signed();
    assert_eq!((job(&deployment.server.replica, &expired).await.status, deployment.fetches()), (401, 2));
}

#[tokio::test]
async fn s092_a_key_that_was_taken_away_is_believed_for_minutes_and_what_cannot_be_fetched_for_an_hour() {
    let [old, new] = [Prover::new(), Prover::new()];
    let deployment = Deployment::start(published(&[old.named("old"), new.named("new")]), &new).await;
    let service = &deployment.server.replica.app.service;
    service.refetch_keys().await.unwrap();
    service.refetch_keys().await.unwrap();
    assert_eq!(deployment.fetches(), 1, "before anybody asked, and not again while they are fresh");
    deployment.keys.answers(published(&[new.named("new")]));
    deployment.server.world.pass(299);
    service.refetch_keys().await.unwrap();
    assert_eq!(deployment.status(&old, "old").await, 200);
    deployment.server.world.pass(1);
    service.refetch_keys().await.unwrap();
    assert_eq!((deployment.status(&old, "old").await, deployment.status(&new, "new").await), (401, 200));

    let elsewhere = Receiver::start().await;
    elsewhere.answers(published(&[old.named("old")]));
    let wrong = [
        Reply::status(500),
        Reply::status(204),
        Reply::Answer(302, vec![("location", format!("http://{}/", elsewhere.address))], Bytes::new()),
        Reply::Answer(200, Vec::new(), Bytes::from_static(b"<html>")),
        Reply::Answer(200, Vec::new(), Bytes::from(vec![b' '; 300_000])),
    ];
    for reply in wrong {
        deployment.keys.answers(reply);
        deployment.server.world.pass(600);
        let problem = service.refetch_keys().await.unwrap_err();
        assert!(problem.contains("/jwks.json"), "{problem}");
        assert_eq!(deployment.status(&new, "new").await, 200, "{problem}");
        assert_eq!(deployment.status(&old, "old").await, 401, "{problem}");
    }
    assert_eq!(elsewhere.received().len(), 0, "no redirect is followed");
    deployment.server.world.pass(600);
    assert_eq!(deployment.status(&new, "new").await, 200, "an hour ago");
    deployment.server.world.pass(1);
    let answer = job(&deployment.server.replica, &deployment.server.assertion(&new).header("kid", "new").signed()).await;
    assert_eq!(answer.refusal(), (503, "temporarily_unavailable".into()));
    assert_eq!((answer.json()["reason"].as_str(), answer.header("retry-after")), (Some("KEYS_UNAVAILABLE"), Some("10")));
    deployment.keys.answers(published(&[new.named("new")]));
    deployment.server.world.pass(10);
    assert_eq!(deployment.status(&new, "new").await, 200, "it heals");
}

#[tokio::test]
async fn s092_what_is_published_is_not_believed_where_it_is_weak_or_private() {
    let prover = Prover::rs256();
    let mut private = prover.named("private");
    private["d"] = json!("AAAA");
    let mut other_use = prover.named("use");
    other_use["use"] = json!("enc");
    let deployment = Deployment::start(published(&[private, other_use, prover.named("right")]), &prover).await;
    assert_eq!(deployment.status(&prover, "private").await, 401);
    assert_eq!(deployment.status(&prover, "use").await, 401);
    assert_eq!(deployment.status(&prover, "right").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s092_nobody_waits_for_the_keys_of_another() {
    let webs = Prover::new();
    let deployment = Deployment::start(Reply::Silence, &webs).await;
    let server = &deployment.server;
    let hanging = deployment.status(&webs, "x");
    let others = async {
        while deployment.fetches() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for _ in 0..3 {
            let made = webs.assertion("web-app", "web-app", server.world.now()).signed();
            let answer = super::asking(&server.replica, "/oauth2/introspect", &[("token", "x")], &made).send().await;
            assert_eq!(answer.json(), json!({"active": false}));
        }
    };
    tokio::select! {
        status = hanging => panic!("nothing is answered there, and yet {status}"),
        () = others => {}
    }
}

/// An address that is slower than the deadline of requests would else never be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s092_keys_arrive_though_who_asked_for_them_is_gone() {
    let prover = Prover::new();
    let keys = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::parse("jwks_uri", &format!("http://{}", keys.local_addr().unwrap())).unwrap();
    let server = Server::start_with(|settings| give_source(settings, "billing-job", KeySource::Uri(endpoint))).await;
    let asked = || server.assertion(&prover).header("kid", "a").signed();
    let gone = asked();
    let mut fetching = tokio::select! {
        answer = job(&server.replica, &gone) => panic!("{answer:?}"),
        accepted = keys.accept() => accepted.unwrap().0,
    };
    let mut head = [0; 16];
    fetching.read_exact(&mut head).await.unwrap();
    let body = json!({"keys": [prover.named("a")]}).to_string();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    fetching.write_all(answer.as_bytes()).await.unwrap();
    // The clock stands still: nothing is fetched a second time.
    job(&server.replica, &asked()).await.tokens();
}

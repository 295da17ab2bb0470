//! What is asked again, and that it is as if it had been asked once.

use super::{BUSY, reached, soon};
use crate::port;
use crate::world::{SCOPES, World, alice, mobile};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jeton::api::revoke_request::Target;
use jeton_client::api::{self, IntrospectRequest, IssueRequest, RefreshRequest, RevokeRequest};
use jeton_client::{Client, Error, Settings};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

fn issue(client: &str) -> IssueRequest {
    IssueRequest { client_id: client.into(), sub: "alice".into(), scope: SCOPES.into(), ..Default::default() }
}

fn refresh(token: &str) -> RefreshRequest {
    RefreshRequest { refresh_token: token.into(), client_id: "mobile-app".into(), ..Default::default() }
}

async fn generation(server: &crate::world::Replica, grant_id: &str) -> u32 {
    server.grant(grant_id).await.generation
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_whose_replies_are_lost_is_one_refresh() {
    let world = World::memory().await;
    let server = world.start().await;
    let (client, way) = reached(&server).await;
    let mut held = client.issue(issue("mobile-app")).await.unwrap();
    for newest in 2..5 {
        // Past the overlap, so that only the name of the attempt makes it one.
        world.pass(11);
        way.lose(2);
        let answer = soon(client.refresh(refresh(&held.refresh_token))).await.unwrap();
        assert_eq!((way.to_lose(), generation(&server, &held.grant_id).await), (0, newest));
        assert_ne!(answer.refresh_token, held.refresh_token);
        held.refresh_token = answer.refresh_token;
    }
    assert!(server.active(&held.refresh_token).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_retries_of_a_refresh_have_one_name() {
    let world = World::memory().await;
    let server = world.start().await;
    let (client, way) = reached(&server).await;
    let client = client.with_settings(Settings { deadline: BUSY, ..Settings::default() });
    let held = client.issue(issue("mobile-app")).await.unwrap();
    let refreshed = client.refresh(refresh(&held.refresh_token));
    let hours_later = async {
        way.cut_at_the_next_reply().await;
        // By then only the name tells the retry from a thief's try.
        world.pass(5 * 3_600);
        way.mend();
    };
    // What is to be lost is said before anything is asked.
    let ((), answer) = soon(async { tokio::join!(biased; hours_later, refreshed) }).await;
    assert!(server.active(&answer.unwrap().refresh_token).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_the_caller_chose_for_the_attempt_is_kept() {
    let world = World::memory().await;
    let server = world.start().await;
    let (client, _way) = reached(&server).await;
    let held = client.issue(issue("mobile-app")).await.unwrap();
    let asked = RefreshRequest { request_id: "mine".into(), ..refresh(&held.refresh_token) };
    client.refresh(asked.clone()).await.unwrap();
    // Nothing of the answer was stored, days pass: the same attempt again is a retry, and no reuse.
    world.pass(3 * 86_400);
    let answer = client.refresh(asked).await.unwrap();
    assert!(server.active(&answer.refresh_token).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_and_introspect_are_repeated_until_they_are_answered() {
    let world = World::memory().await;
    let server = world.start().await;
    let (client, way) = reached(&server).await;
    let held = client.issue(issue("mobile-app")).await.unwrap();
    let question = IntrospectRequest { token: held.access_token.clone(), ..Default::default() };
    way.lose(2);
    assert!(soon(client.introspect(question.clone())).await.unwrap().active);
    way.lose(2);
    let target = Some(api::revoke_request::Target::Sub("alice".into()));
    let revoked = soon(client.revoke(RevokeRequest { target, ..Default::default() })).await.unwrap();
    assert!(!revoked.revision.is_empty() && way.to_lose() == 0);
    assert!(!server.active(&held.access_token).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_that_may_have_happened_is_not_repeated() {
    let world = World::memory().await;
    let server = world.start().await;
    let (client, way) = reached(&server).await;
    way.lose(1);
    let lost = soon(client.issue(issue("mobile-app"))).await.unwrap_err();
    assert!(matches!(lost, Error::NoAnswer(_)) && !lost.is_unbegun(), "{lost}");
    let listed = server.list(jeton::api::ListGrantsRequest { sub: "alice".into(), ..Default::default() }).await;
    assert_eq!(listed.grants.len(), 1, "it happened, once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_that_certainly_did_not_happen_is_repeated() {
    let world = World::memory().await;
    let server = world.start().await;
    let patience = Settings { deadline: Duration::from_millis(200), ..Settings::default() };
    let nobody = Client::connect([format!("http://{}", port::free())]).unwrap().with_settings(patience);
    let unsent = soon(nobody.issue(issue("mobile-app"))).await.unwrap_err();
    assert!(matches!(unsent, Error::NotSent(_)) && unsent.is_unbegun(), "{unsent}");

    // One replica of two is gone: sooner or later the other is asked.
    let patience = Settings { deadline: Duration::from_secs(50), ..Settings::default() };
    let client = Client::connect([port::free(), server.address].map(|address| format!("http://{address}"))).unwrap();
    let client = client.with_settings(patience);
    for _ in 0..10 {
        soon(client.issue(issue("mobile-app"))).await.unwrap();
    }
    let listed = server.list(jeton::api::ListGrantsRequest { sub: "alice".into(), ..Default::default() }).await;
    assert_eq!(listed.grants.len(), 10, "each once");
}

/// Two ways of HTTP/2 to say that a stream was not looked at: the connection ends before it, or it is refused by itself.
const LEAVES: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const REFUSES: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_that_was_sent_and_never_looked_at_is_repeated() {
    let world = World::memory().await;
    let server = world.start().await;
    for (count, says) in [(1, LEAVES), (2, REFUSES)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::connect([format!("http://{}", listener.local_addr().unwrap())]).unwrap();
        let upstream = server.address;
        let mut way = JoinSet::new();
        way.spawn(async move {
            let mut first = listener.accept().await.unwrap().0;
            // Settings, and those of the client acknowledged.
            first.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0]).await.unwrap();
            let mut heard = Vec::new();
            while !heard.windows(5).any(|said| said == b"Issue" || said == [1, 4, 0, 0, 0]) {
                assert!(first.read_buf(&mut heard).await.unwrap() > 0);
            }
            first.write_all(says).await.unwrap();
            first.shutdown().await.unwrap();
            let forward = async |mut client: TcpStream| {
                let mut server = TcpStream::connect(upstream).await.unwrap();
                _ = copy_bidirectional(&mut client, &mut server).await;
            };
            loop {
                let (client, _) = listener.accept().await.unwrap();
                forward(client).await;
            }
        });
        soon(client.issue(issue("mobile-app"))).await.unwrap();
        let listed = server.list(jeton::api::ListGrantsRequest { sub: "alice".into(), ..Default::default() }).await;
        assert_eq!(listed.grants.len(), count, "it happened, once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_told_with_its_reason_and_not_repeated() {
    let world = World::memory().await;
    let server = world.start().await;
    let (client, _way) = reached(&server).await;
    let held = server.issue(alice("mobile-app", SCOPES)).await;
    server.revoke(Target::Sub("alice".into())).await;
    crate::world::refused(server.try_refresh(mobile(&held.refresh_token)).await);
    let refused = client.refresh(refresh(&held.refresh_token)).await.unwrap_err();
    assert_eq!(refused.reason(), Some("REFRESH_TOKEN_REFUSED"));
    let wrong = client.issue(IssueRequest { scope: "unknown".into(), ..issue("mobile-app") }).await.unwrap_err();
    assert_eq!(wrong.reason(), Some("INVALID_SCOPE"));
    let fields: Vec<_> = wrong.refusal().unwrap().fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["scope"]);
}

#[tokio::test]
async fn an_address_that_is_none_is_said() {
    for wrong in [&[][..], &["not an address"]] {
        assert!(matches!(Client::connect(wrong.iter().copied()), Err(Error::NotSent(_))), "{wrong:?}");
    }
}

#[tokio::test]
async fn what_waited_for_a_connection_that_ended_was_not_sent() {
    let (near, far) = tokio::io::duplex(64);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(near)).await.unwrap();
    drop((connection, far));
    let refused = sender.send_request(http::Request::new(Empty::<Bytes>::new())).await.unwrap_err();
    let error = Error::from(tonic::Status::from_error(Box::new(refused)));
    assert!(matches!(error, Error::NotSent(_)) && error.is_unbegun(), "{error}");
}

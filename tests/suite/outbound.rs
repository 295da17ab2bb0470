//! What is said to others: to the one that is meant and no other, and never more waited for, or read, than is bounded.

use crate::certificates::Certificates;
use crate::receiver::{Receiver, Reply};
use bytes::Bytes;
use http::Method;
use jeton::outbound::{Answer, Bounds, Failure, Outbound};
use jeton_domain::endpoint::Endpoint;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

fn outbound() -> Outbound {
    Outbound::new(None, Bounds::default()).unwrap()
}

fn endpoint(text: &str) -> Endpoint {
    Endpoint::parse("uri", text).unwrap()
}

#[tokio::test]
async fn it_gets_and_posts_what_it_is_told_to() {
    let receiver = Receiver::start().await;
    receiver.answers(Reply::Answer(200, Vec::new(), Bytes::from_static(b"{\"keys\":[]}")));
    let answer = outbound().get(&receiver.endpoint("/jwks?x=1"), "application/jwk-set+json").await;
    assert_eq!(answer, Ok(Answer { status: 200, body: Bytes::from_static(b"{\"keys\":[]}") }));
    receiver.answers(Reply::status(204));
    let form = [("logout_token", "a.b-c_d"), ("odd", "a&b=c d\u{e9}")];
    let answer = outbound().post_form(&receiver.endpoint(""), &form).await;
    assert_eq!(answer, Ok(Answer { status: 204, body: Bytes::new() }));

    let [got, posted] = receiver.received().try_into().unwrap();
    assert_eq!((got.method, got.target.as_str(), got.body.as_str()), (Method::GET, "/jwks?x=1", ""));
    assert_eq!(got.headers["accept"], "application/jwk-set+json");
    assert_eq!(got.headers["host"], receiver.address.to_string());
    assert_eq!((posted.method, posted.target.as_str()), (Method::POST, "/"));
    assert_eq!(posted.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(posted.body, "logout%5Ftoken=a%2Eb%2Dc%5Fd&odd=a%26b%3Dc%20d%C3%A9");
}

#[tokio::test]
async fn over_tls_only_who_is_trusted_under_its_name_is_spoken_to() {
    let (ours, other) = (Certificates::of(&["localhost"]), Certificates::new());
    let receiver = Receiver::start_with(&ours).await;
    let port = receiver.address.port();
    let trusting = |certificates: &Certificates| Outbound::new(Some(&certificates.authority()), Bounds::default()).unwrap();
    let (named, numbered) = (endpoint(&format!("https://localhost:{port}/x")), endpoint(&format!("https://127.0.0.1:{port}/x")));
    assert_eq!(trusting(&ours).get(&named, "*/*").await.map(|answer| answer.status), Ok(200));
    for (refused, place) in [(trusting(&other), &named), (outbound(), &named), (trusting(&ours), &numbered)] {
        assert_eq!(refused.get(place, "*/*").await, Err(Failure::Untrusted), "{place}");
    }
    assert_eq!(receiver.received().len(), 1, "nothing was said to who is not trusted");
    let plain = Receiver::start().await;
    let place = endpoint(&format!("https://{}/", plain.address));
    assert_eq!(trusting(&ours).get(&place, "*/*").await, Err(Failure::Untrusted));
    assert!(Outbound::new(Some("/no/such/file.pem".as_ref()), Bounds::default()).is_err());
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let (receiver, elsewhere) = (Receiver::start().await, Receiver::start().await);
    for status in [301, 302, 303, 307, 308] {
        let location = vec![("location", format!("http://{}/", elsewhere.address))];
        receiver.answers(Reply::Answer(status, location, Bytes::new()));
        let answer = outbound().post_form(&receiver.endpoint("/"), &[("a", "b")]).await;
        assert_eq!(answer.map(|answer| answer.status), Ok(status));
    }
    assert_eq!((receiver.received().len(), elsewhere.received().len()), (5, 0));
}

#[tokio::test]
async fn an_answer_is_read_as_far_as_it_is_bounded() {
    let receiver = Receiver::start().await;
    let bounds = Bounds { body: 1_000, ..Bounds::default() };
    let outbound = Outbound::new(None, bounds).unwrap();
    let sized = |length| Reply::Answer(200, Vec::new(), Bytes::from(vec![b'x'; length]));
    receiver.answers(sized(1_000));
    let answer = outbound.get(&receiver.endpoint("/"), "*/*").await;
    assert_eq!(answer.map(|answer| answer.body.len()), Ok(1_000));
    receiver.answers(sized(1_001));
    assert_eq!(outbound.get(&receiver.endpoint("/"), "*/*").await, Err(Failure::TooLong));
    receiver.answers(Reply::Answer(200, vec![("x-long", "x".repeat(64 << 10))], Bytes::new()));
    assert_eq!(outbound.get(&receiver.endpoint("/"), "*/*").await, Err(Failure::Broken), "nor is a head without end");
}

#[tokio::test]
async fn who_says_nothing_or_nonsense_is_given_up() {
    let receiver = Receiver::start().await;
    receiver.answers(Reply::Silence);
    let impatient = Bounds { whole: Duration::from_millis(100), places: 1, ..Bounds::default() };
    let outbound = Outbound::new(None, impatient).unwrap();
    assert_eq!(outbound.get(&receiver.endpoint("/"), "*/*").await, Err(Failure::TooSlow));
    receiver.answers(Reply::status(200));
    assert_eq!(outbound.get(&receiver.endpoint("/"), "*/*").await.map(|answer| answer.status), Ok(200), "its place is free");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = endpoint(&format!("http://{}/", listener.local_addr().unwrap()));
    let nonsense = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-nonsense\r\n\r\n").await.unwrap();
    };
    let (answer, ()) = tokio::join!(outbound.get(&place, "*/*"), nonsense);
    assert_eq!(answer, Err(Failure::Broken));
    drop(listener);
    assert_eq!(outbound.get(&place, "*/*").await, Err(Failure::Unreachable));
}

//! Requests as bytes that no client library sends: what is not one plain request is refused, or is the last of its connection, and
//! nothing that a header says of places is believed (RFC 9112; CVE-2023-27487, CVE-2026-26205, CVE-2026-26308).

use super::Server;
use super::raw::{Answer, Asking, answers, basic, encoded};
use crate::faulty::Faulty;
use crate::world::{ISSUER, JOB_SECRET, ORDERS, SCOPES, World, alice};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

const TOKEN: &str = "/oauth2/token";
const METADATA: &str = "/.well-known/oauth-authorization-server";
const BODY: &str = "grant_type=client_credentials&scope=orders%3Aread";

impl Server {
    /// A request of the billing job to the token endpoint, with these header lines and this body.
    fn bytes(&self, headers: &str, body: &str) -> String {
        let who = basic("billing-job", JOB_SECRET);
        format!(
            "POST {TOKEN} HTTP/1.1\r\nHost: {}\r\nAuthorization: {who}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n{headers}\r\n{body}",
            self.replica.http
        )
    }

    /// The last of its connection.
    fn last(&self, headers: &str, body: &str) -> String {
        self.bytes(&format!("Connection: close\r\n{headers}"), body)
    }

    async fn answers(&self, bytes: &str) -> Vec<Answer> {
        answers(self.replica.http, bytes.as_bytes()).await
    }
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

fn length(body: &str) -> String {
    format!("Content-Length: {}\r\n", body.len())
}

fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

#[tokio::test]
async fn rfc9112_9_3_requests_of_one_connection_are_answered_in_their_order() {
    let server = Server::start().await;
    let right = server.bytes(&length(BODY), BODY);
    let wrong = server.bytes(&length("grant_type=x"), "grant_type=x");
    let last = server.last(&length(BODY), BODY);
    let all = server.answers(&format!("{right}{wrong}{last}")).await;
    assert_eq!(statuses(&all), [200, 400, 200]);
    assert_ne!(all[0].json()["access_token"], all[2].json()["access_token"]);
}

/// Of two lengths a proxy may believe the other one: what comes after such a request is never taken for another.
#[tokio::test]
async fn rfc9112_6_3_nothing_is_smuggled_behind_a_request_of_two_lengths() {
    let server = Server::start().await;
    let hidden = server.last(&length(BODY), BODY);
    for headers in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".to_owned(),
        "Transfer-Encoding: gzip, chunked, identity\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n".to_owned(),
        " Transfer-Encoding: chunked\r\n".to_owned(),
        "X: 1\r\n Transfer-Encoding: chunked\r\n".to_owned(),
        format!("Content-Length: {}\r\nContent-Length: 4\r\n", BODY.len()),
        format!("Content-Length: {}, 4\r\n", BODY.len()),
        format!("Content-Length: +{}\r\n", BODY.len()),
        "Content-Length: -1\r\n".to_owned(),
        "Content-Length: 0x10\r\n".to_owned(),
        "Content-Length: 99999999999999999999\r\n".to_owned(),
    ] {
        let all = server.answers(&format!("{}{hidden}", server.bytes(&headers, &chunked(BODY)))).await;
        assert!(all.len() <= 1, "{headers}: {:?}", statuses(&all));
        let is_plain = headers == "Transfer-Encoding: chunked\r\n";
        assert!(!is_plain || statuses(&all) == [200], "a chunked body alone is right: {all:?}");
    }
}

#[tokio::test]
async fn rfc9112_lines_that_are_read_in_two_ways_are_refused() {
    let server = Server::start().await;
    for headers in [
        "X: 1\r\n folded\r\n",
        "X : 1\r\n",
        "X\u{0}: 1\r\n",
        "X: \u{0}\r\n",
        "X\r\n",
        ": 1\r\n",
        "X: 1\r2\r\n",
        "Host: elsewhere.example.com\r\n",
    ] {
        let all = server.answers(&server.last(&format!("{headers}{}", length(BODY)), BODY)).await;
        assert_eq!(statuses(&all), [400], "{headers:?}");
    }
    let many = "X: 1\r\n".repeat(200);
    assert_eq!(statuses(&server.answers(&server.last(&format!("{many}{}", length(BODY)), BODY)).await), [431]);
    let without_host = server.last(&length(BODY), BODY).replacen(&format!("Host: {}\r\n", server.replica.http), "", 1);
    assert_eq!(statuses(&server.answers(&without_host).await), [400], "RFC 9112 section 3.2");
    for line in
        ["POST  /oauth2/token HTTP/1.1", "POST /oauth2/token", "POST /oauth2/token HTTP/3.0", "PO ST /oauth2/token HTTP/1.1"]
    {
        let bytes = server.last(&length(BODY), BODY).replacen(&format!("POST {TOKEN} HTTP/1.1"), line, 1);
        let all = server.answers(&bytes).await;
        assert!(all.iter().all(|answer| answer.status == 400) && all.len() <= 1, "{line}: {:?}", statuses(&all));
    }
}

#[tokio::test]
async fn http_1_0_is_answered_and_the_connection_ends() {
    let server = Server::start().await;
    let old = server.bytes(&length(BODY), BODY).replacen("HTTP/1.1", "HTTP/1.0", 1);
    let hostless = old.replacen(&format!("Host: {}\r\n", server.replica.http), "", 1);
    for bytes in [&old, &hostless] {
        assert_eq!(statuses(&server.answers(&format!("{bytes}{old}")).await), [200]);
    }
    let chunks = server.bytes("Transfer-Encoding: chunked\r\n", &chunked(BODY)).replacen("HTTP/1.1", "HTTP/1.0", 1);
    assert_eq!(statuses(&server.answers(&chunks).await), [400]);
}

/// CVE-2023-27487, CVE-2026-26205: a path is what it is, letter by letter, and no header names another.
#[tokio::test]
async fn v20_a_path_is_what_it_is() {
    let server = Server::start().await;
    for path in [
        "//oauth2/token",
        "/oauth2//token",
        "/oauth2/token/",
        "/oauth2/./token",
        "/oauth2/x/../token",
        "/oauth2/%74oken",
        "/oauth2%2Ftoken",
        "/oauth2/token;x=1",
        "/OAUTH2/TOKEN",
        "*",
    ] {
        let asking =
            Asking::post(server.replica.http, path).body(BODY).header("Authorization", &basic("billing-job", JOB_SECRET));
        assert_eq!(asking.send().await.status, 404, "{path}");
    }
    for (name, value) in
        [("X-Original-URL", TOKEN), ("X-Rewrite-URL", TOKEN), ("X-Envoy-Original-Path", TOKEN), ("X-Forwarded-Prefix", "/oauth2")]
    {
        let asking = Asking::post(server.replica.http, "/nothing").body(BODY).header(name, value);
        assert_eq!(asking.header("Authorization", &basic("billing-job", JOB_SECRET)).send().await.status, 404, "{name}");
    }
    for (name, value) in [("X-HTTP-Method-Override", "POST"), ("X-Method-Override", "POST")] {
        let asking = Asking::get(server.replica.http, &format!("{TOKEN}?{BODY}")).header(name, value);
        assert_eq!(asking.send().await.status, 405, "{name}");
    }
}

/// What is published names the configured issuer, whatever a request says of hosts.
#[tokio::test]
async fn v20_no_header_moves_the_issuer() {
    let server = Server::start().await;
    let right = Asking::get(server.replica.http, METADATA).send().await;
    assert_eq!(right.json()["issuer"], ISSUER);
    let at = |line: &str, host: &str, more: &str| format!("{line}\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n");
    let line = format!("GET {METADATA} HTTP/1.1");
    for bytes in [
        at(&line, "evil.example.com", ""),
        at(&line, "evil.example.com:443", "X-Forwarded-Host: evil.example.com\r\nX-Forwarded-Proto: https\r\n"),
        at(&line, "x", "Forwarded: host=evil.example.com;proto=https\r\nX_Forwarded_Host: evil.example.com\r\n"),
        at(&format!("GET http://evil.example.com{METADATA} HTTP/1.1"), "evil.example.com", ""),
        at(&format!("GET https://evil.example.com:1{METADATA} HTTP/1.1"), "other.example.com", ""),
    ] {
        let all = server.answers(&bytes).await;
        assert_eq!((statuses(&all), &all[0].body), (vec![200], &right.body), "{bytes}");
    }
    for line in ["OPTIONS * HTTP/1.1", "CONNECT evil.example.com:443 HTTP/1.1"] {
        let all = server.answers(&at(line, "evil.example.com", "")).await;
        assert!(matches!(statuses(&all)[..], [404 | 405 | 400]), "{line}: {all:?}");
    }
}

/// CVE-2026-26308, CVE-2025-64484: who asks is what the one header Authorization or the form says.
#[tokio::test]
async fn v20_nobody_is_who_another_header_says() {
    let server = Server::start().await;
    let job = basic("billing-job", JOB_SECRET);
    for (name, value) in [
        ("X_Authorization", job.as_str()),
        ("Proxy-Authorization", &job),
        ("X-Forwarded-Authorization", &job),
        ("X-Client-Id", "billing-job"),
        ("Client_Id", "billing-job"),
        ("X-Forwarded-User", "billing-job"),
        ("X-Forwarded-Client-Cert", "Hash=00;Subject=\"CN=billing-job\""),
        ("Cookie", "client_id=billing-job"),
    ] {
        let answer = Asking::post(server.replica.http, TOKEN).body(BODY).header(name, value).send().await;
        assert_eq!(answer.refusal(), (401, "invalid_client".into()), "{name}");
    }
    let in_query = format!("{TOKEN}?client_id=billing-job&client_secret={}", encoded(JOB_SECRET));
    let answer = Asking::post(server.replica.http, &in_query).body(BODY).send().await;
    assert_eq!(answer.refusal(), (401, "invalid_client".into()), "RFC 6749 section 2.3.1: never in the address");
    let both = Asking::post(server.replica.http, TOKEN).body(BODY).header("Authorization", &format!("{job}, {job}"));
    assert_eq!(both.send().await.refusal(), (401, "invalid_client".into()));
}

/// As on the wire: a body is a form of at most 64 KiB, whole or in chunks, and of one content type.
#[tokio::test]
async fn a_body_is_a_form_of_at_most_64_kib_however_it_comes() {
    let server = Server::start().await;
    let padded = |bytes: usize| format!("{BODY}&x={}", "y".repeat(bytes - BODY.len() - 3));
    let (most, more) = (padded(64 * 1024), padded(64 * 1024 + 1));
    for (body, expected) in [(&most, 200), (&more, 413)] {
        assert_eq!(server.answers(&server.last(&length(body), body)).await[0].status, expected);
        let all = server.answers(&server.last("Transfer-Encoding: chunked\r\n", &chunked(body))).await;
        assert_eq!(all[0].status, expected, "in one chunk");
    }
    let cases = ["application/json", "multipart/form-data; boundary=x", "text/plain", "", "application/x-www-form-urlencoded-x"];
    for content_type in cases {
        for path in [TOKEN, "/oauth2/introspect", "/oauth2/revoke"] {
            let asking = Asking::post(server.replica.http, path).body(BODY).header("Content-Type", content_type);
            let answer = asking.header("Authorization", &basic("billing-job", JOB_SECRET)).send().await;
            assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{path} {content_type}");
        }
    }
    let twice = Asking::post(server.replica.http, TOKEN).body(BODY).header("Content-Type", "application/x-www-form-urlencoded");
    let twice = twice.header("Content-Type", "text/plain").header("Authorization", &basic("billing-job", JOB_SECRET));
    assert_eq!(twice.send().await.refusal(), (400, "invalid_request".into()));
    let coded = Asking::post(server.replica.http, TOKEN).body(BODY).header("Content-Encoding", "gzip");
    let coded = coded.header("Authorization", &basic("billing-job", JOB_SECRET)).send().await;
    assert_eq!(coded.refusal(), (415, "invalid_request".into()), "what is not decoded is not read as if it were plain");
}

/// As many resources as over gRPC, and no more.
#[tokio::test]
async fn one_request_names_at_most_64_resources_over_either_interface() {
    let server = Server::start().await;
    let named = |count: usize| vec![("resource", ORDERS); count];
    let ask = async |count| {
        server.job(TOKEN, &[&[("grant_type", "client_credentials"), ("scope", "orders:read")], &named(count)[..]].concat()).await
    };
    ask(64).await.tokens();
    assert_eq!(ask(65).await.refusal(), (400, "invalid_target".into()));
    let asked = |count| jeton::api::IssueRequest { resource: vec![ORDERS.into(); count], ..alice("web-app", SCOPES) };
    server.replica.issue(asked(64)).await;
    assert!(server.replica.try_issue(asked(65)).await.is_err());
}

/// A server whose store can be made to fail.
async fn fragile() -> (Server, Arc<Faulty>) {
    let kept = Arc::new(OnceLock::new());
    let world = World::memory_through({
        let kept = Arc::clone(&kept);
        move |store| {
            let faulty = Arc::new(Faulty::over(store));
            assert!(kept.set(Arc::clone(&faulty)).is_ok());
            faulty
        }
    });
    let replica = world.start().await;
    (Server { world, replica }, Arc::clone(kept.get().unwrap()))
}

/// CVE-2020-15223: what the store did not do was not done, and is not said to be.
#[tokio::test]
async fn s042_a_store_that_fails_is_503_at_every_endpoint_and_never_an_answer() {
    let (server, faulty) = fragile().await;
    let tokens = server.replica.issue(alice("mobile-app", SCOPES)).await;
    let mobile = async |path: &str, fields: &[(&str, &str)]| {
        server.post(path, &[&[("client_id", "mobile-app")], fields].concat()).send().await
    };
    for token in [&tokens.access_token, &tokens.refresh_token] {
        faulty.appends_nothing.store(true, Ordering::SeqCst);
        let answer = mobile("/oauth2/revoke", &[("token", token)]).await;
        faulty.appends_nothing.store(false, Ordering::SeqCst);
        assert_eq!(answer.refusal(), (503, "temporarily_unavailable".into()), "{token}");
        assert!(answer.header("retry-after").is_some());
    }
    let active = async |token: &str| server.replica.active(token).await;
    assert!(active(&tokens.access_token).await, "nothing was revoked");
    faulty.swaps_nothing.store(true, Ordering::SeqCst);
    let fields = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh_token.as_str())];
    assert_eq!(mobile(TOKEN, &fields).await.refusal(), (503, "temporarily_unavailable".into()));
    faulty.swaps_nothing.store(false, Ordering::SeqCst);
    let next = mobile(TOKEN, &fields).await.tokens();
    assert!(active(next["access_token"].as_str().unwrap()).await, "statement 26: nothing was consumed");
    assert_eq!(mobile("/oauth2/revoke", &[("token", &tokens.refresh_token)]).await.status, 200);
    assert!(!active(&tokens.access_token).await);
}

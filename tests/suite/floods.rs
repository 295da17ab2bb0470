//! HTTP/2, frame by frame: who does harm by it, and who takes every descriptor, keeps nobody from being answered; and who is refused before
//! all that he sends has come keeps his connection.

use crate::store_contract::eventually;
use crate::tour::{Home, Server};
use crate::world::alice;
use jeton::api::token_service_client::TokenServiceClient;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// What no flood may add to the memory of the process.
const BOUND_KIB: u64 = 96 * 1024;

/// RFC 9113 section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [length.as_slice(), &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Its kind, its flags, its stream.
async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> (u8, u8, u32) {
    let mut head = [0; 9];
    from.read_exact(&mut head).await.unwrap();
    let [length @ .., kind, flags, _, _, _, _] = head;
    let [a, b, c] = length;
    let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
    from.read_exact(&mut payload).await.unwrap();
    assert_ne!(kind, GOAWAY, "{}", String::from_utf8_lossy(&payload));
    (kind, flags, u32::from_be_bytes(head[5..].try_into().unwrap()))
}

/// The header block of a call, in HPACK (RFC 7541): fields without indexing, of names in the static table and of one that is not.
fn call() -> Vec<u8> {
    // `:method: POST`, `:scheme: http`.
    let mut block = vec![0x83, 0x86];
    let path = (&b"\x04"[..], "/jeton.v1.TokenService/Introspect");
    for (name, value) in [path, (b"\x01", "jeton"), (b"\x0f\x10", "application/grpc"), (b"\x00\x02te", "trailers")] {
        block.extend(name);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    }
    block
}

/// All frames of each flood.
fn floods() -> Vec<(&'static str, Vec<u8>)> {
    let opened = frame(HEADERS, END_HEADERS, 1, &call());
    let reset =
        |stream| [frame(HEADERS, END_HEADERS, stream, &call()), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat();
    let resets = (0..20_000).flat_map(|n| reset(2 * n + 1));
    let headers = b"\x00\x01x\x01y".repeat(2_000);
    let continued = std::iter::once(frame(HEADERS, 0, 1, &call()));
    let continued = continued.chain((0..2_000).map(|_| frame(CONTINUATION, 0, 1, &headers))).flatten();
    vec![
        ("streams that are reset at once (CVE-2023-44487)", resets.collect()),
        ("a header block without end", continued.collect()),
        ("empty frames of data", [opened, frame(DATA, 0, 1, b"").repeat(200_000)].concat()),
        ("pings", frame(PING, 0, 0, &[0; 8]).repeat(200_000)),
        ("settings", frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(200_000)),
        ("frames of a kind that nobody knows", frame(0xfe, 0, 0, &[0; 1_000]).repeat(20_000)),
    ]
}

/// Sends it all, or until the connection is ended; what is answered is read and dropped.
async fn flood(at: SocketAddr, frames: &[u8]) {
    let (mut from, mut to) = TcpStream::connect(at).await.unwrap().into_split();
    let sending = async {
        let hello = [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat();
        let _ended = to.write_all(&[&hello, frames].concat()).await;
        let _ended = to.shutdown().await;
    };
    let reading = async {
        let mut dropped = vec![0; 64 * 1024];
        while from.read(&mut dropped).await.is_ok_and(|read| read > 0) {}
    };
    timeout(Duration::from_secs(60), async { tokio::join!(sending, reading) }).await.expect("the connection ends");
}

/// All that is refused is answered when its headers came, but what follows them is not held against the caller.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_before_his_message_came_keeps_his_connection() {
    let home = Home::new();
    let server = Server::start(&home, "memory:", &[]);
    let connection = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).await.unwrap();
    connection.set_nodelay(true).unwrap();
    let (mut from, mut to) = connection.into_split();
    to.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()).await.unwrap();
    let overdue = [call(), b"\x00\x0cgrpc-timeout\x021n".to_vec()].concat();
    for stream in (0..1_000).map(|n| 2 * n + 1) {
        to.write_all(&frame(HEADERS, END_HEADERS, stream, &overdue)).await.unwrap();
        loop {
            let (kind, flags, of) = read_frame(&mut from).await;
            if (kind, of) == (HEADERS, stream) {
                assert!(flags & END_STREAM != 0, "an answer without a message");
                break;
            }
        }
        to.write_all(&frame(DATA, END_STREAM, stream, &[0; 5])).await.unwrap();
    }
    to.write_all(&frame(PING, 0, 0, &[0; 8])).await.unwrap();
    while read_frame(&mut from).await.0 != PING {}
}

async fn issues(client: &mut TokenServiceClient<Channel>) {
    client.issue(alice("mobile-app", "orders:read")).await.expect("whoever means well is answered");
}

fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_take_no_memory_and_nothing_from_others() {
    let home = Home::new();
    let server = Server::start(&home, "memory:", &[]);
    let at = server.address.strip_prefix("http://").unwrap().parse().unwrap();
    let mut client = TokenServiceClient::connect(server.address.clone()).await.unwrap();
    issues(&mut client).await;
    let before = resident_kib(server.process.id());
    for (what, frames) in floods() {
        let honest = async {
            for _ in 0..20 {
                issues(&mut client).await;
            }
        };
        tokio::join!(flood(at, &frames), flood(at, &frames), honest);
        let after = resident_kib(server.process.id());
        assert!(after < before + BOUND_KIB, "{what}: from {before} to {after} KiB");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_every_descriptor_stops_nobody_who_is_connected_nor_the_server() {
    let home = Home::new();
    let server = Server::start(&home, "memory:", &[]);
    let process = server.process.id();
    let at: SocketAddr = server.address.strip_prefix("http://").unwrap().parse().unwrap();
    let mut client = TokenServiceClient::connect(server.address.clone()).await.unwrap();
    issues(&mut client).await;
    let open = fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    let most = format!("--nofile={0}:{0}", open + 20);
    assert!(Command::new("prlimit").args(["--pid", &process.to_string(), &most]).status().unwrap().success());
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(TcpStream::connect(at).await.unwrap());
    }
    eventually("all descriptors are taken", async || fs::read_dir(format!("/proc/{process}/fd")).unwrap().count() >= open + 20)
        .await;
    for _ in 0..20 {
        issues(&mut client).await;
    }
    // Told once a second at most, in which the configuration is looked at twice.
    let log = || fs::read_to_string(home.path().join("log")).unwrap();
    eventually("it is told thrice", async || {
        log().matches("WARN jeton::transport::connections: a connection could not").count() > 2
    })
    .await;
    assert!(!log().contains("the configuration is not taken"), "that none can be opened is no mistake in it: {}", log());
    drop(held);
    let endpoint = Endpoint::from_shared(server.address.clone()).unwrap();
    eventually("who comes anew is let in", async || endpoint.connect().await.is_ok()).await;
    issues(&mut TokenServiceClient::new(endpoint.connect().await.unwrap())).await;
}

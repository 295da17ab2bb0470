//! No token, code, secret or key reaches a log, a trace, a metric, the audit stream, the store or a refusal: tokens that are real are put into
//! every field of every method and every parameter of every path that is served, at the most verbose level.
//!
//! Methods and paths are the server's own tables, fields are those of its descriptors: what is added is swept too.

use crate::lifecycle::canary::{Canaries, Logged};
use crate::rfc::raw::{Asking, basic};
use crate::server::framed;
use crate::store_contract::eventually;
use crate::traces::{Collector, at};
use crate::world::{Replica, WEB_SECRET, World, alice, mobile, ring, web};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jeton::api;
use jeton::api::authorization_code_service_client::AuthorizationCodeServiceClient;
use jeton::api::device_service_client::DeviceServiceClient;
use jeton::telemetry::{self, Sampler, Settings, metrics};
use jeton::transport::{grpc, http as paths};
use prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::Status;
use tonic_types::StatusExt as _;

/// How deep fields are looked for: a value of a list of a claim.
const DEPTH: usize = 5;
/// What stands in answers where a caller asked for it, and nowhere else.
const CALLER_KEY: &str = "jck_canary0123456789abcdefghijklmnopqrstuvwxyzA";

/// Every message by its full name, and the message that each method takes.
struct Descriptors {
    messages: BTreeMap<String, DescriptorProto>,
    takes: BTreeMap<String, String>,
}

impl Descriptors {
    fn read() -> Self {
        let mut read = Self { messages: BTreeMap::new(), takes: BTreeMap::new() };
        for set in [
            grpc::api::DESCRIPTORS,
            grpc::gateways::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            for file in FileDescriptorSet::decode(set).unwrap().file {
                let package = file.package().to_owned();
                for message in file.message_type {
                    read.add(&format!(".{package}"), message);
                }
                for service in file.service {
                    for method in &service.method {
                        let name = format!("{package}.{}/{}", service.name(), method.name());
                        read.takes.insert(name, method.input_type().to_owned());
                    }
                }
            }
        }
        read
    }

    fn add(&mut self, scope: &str, message: DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        for nested in message.nested_type.clone() {
            self.add(&name, nested);
        }
        self.messages.insert(name, message);
    }

    /// One message for each field that holds text, with nothing but that text in it: (where, encoded).
    fn filled(&self, message: &str, text: &str, depth: usize) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        let Some(message) = self.messages.get(message).filter(|_| depth > 0) else { return all };
        for field in &message.field {
            let number = u32::try_from(field.number()).unwrap();
            match field.r#type() {
                Type::String | Type::Bytes => all.push((field.name().to_owned(), delimited(number, text.as_bytes()))),
                Type::Message => {
                    for (path, inner) in self.filled(field.type_name(), text, depth - 1) {
                        all.push((format!("{}.{path}", field.name()), delimited(number, &inner)));
                    }
                }
                _ => {}
            }
        }
        all
    }
}

fn delimited(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut encoded);
    prost::encoding::encode_varint(bytes.len() as u64, &mut encoded);
    encoded.extend_from_slice(bytes);
    encoded
}

/// What a method takes gladly, so that what is put beside it is looked at.
fn good(method: &str, tokens: &api::IssueResponse) -> Vec<u8> {
    let scope = "openid orders:read";
    match method {
        "jeton.v1.TokenService/Issue" => alice("mobile-app", scope).encode_to_vec(),
        "jeton.v1.TokenService/Refresh" => mobile(&tokens.refresh_token).encode_to_vec(),
        "jeton.v1.TokenService/Introspect" => {
            api::IntrospectRequest { token: tokens.access_token.clone(), ..Default::default() }.encode_to_vec()
        }
        "jeton.v1.AuthorizationCodeService/CreateAuthorizationCode" => {
            let grant = Some(alice("web-app", scope));
            api::CreateAuthorizationCodeRequest { grant, ..Default::default() }.encode_to_vec()
        }
        "jeton.v1.ClientService/CreateClient" => {
            let client = api::Client {
                client_id: "till".into(),
                kind: "confidential".into(),
                grant_types: vec!["client_credentials".into()],
                ..Default::default()
            };
            api::CreateClientRequest { client: Some(client) }.encode_to_vec()
        }
        _ => Vec::new(),
    }
}

/// Everything that a Redis is asked, as MONITOR tells it.
struct Monitor {
    seen: Arc<Mutex<Vec<u8>>>,
    _reading: JoinSet<()>,
}

impl Monitor {
    async fn of(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(b"MONITOR\r\n").await.unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (kept, mut reading) = (Arc::clone(&seen), JoinSet::new());
        reading.spawn(async move {
            let mut part = vec![0; 64 << 10];
            while let Ok(count @ 1..) = stream.read(&mut part).await {
                kept.lock().unwrap().extend_from_slice(&part[..count]);
            }
        });
        let monitor = Self { seen, _reading: reading };
        eventually("MONITOR begins", async || monitor.text().starts_with("+OK")).await;
        monitor
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }
}

/// Real tokens of every kind, none of them spent.
async fn tokens(server: &Replica, canaries: &mut Canaries) -> (api::IssueResponse, Vec<String>) {
    let issued = server.issue(alice("mobile-app", "openid offline_access orders:read")).await;
    let opaque = server.issue(alice("web-app", "offline_access payments:read")).await;
    let address = format!("http://{}", server.address);
    let code = api::CreateAuthorizationCodeRequest { grant: Some(alice("web-app", "openid orders:read")), ..Default::default() };
    let code = AuthorizationCodeServiceClient::connect(address.clone()).await.unwrap().create_authorization_code(code).await;
    let device = api::StartDeviceAuthorizationRequest {
        client_id: "mobile-app".into(),
        scope: "orders:read".into(),
        ..Default::default()
    };
    let device = DeviceServiceClient::connect(address).await.unwrap().start_device_authorization(device).await;
    let all = vec![
        issued.refresh_token.clone(),
        issued.access_token.clone(),
        issued.id_token.clone(),
        opaque.access_token,
        opaque.refresh_token,
        code.unwrap().into_inner().code,
        device.unwrap().into_inner().device_code,
        WEB_SECRET.into(),
        CALLER_KEY.into(),
    ];
    all.iter().for_each(|token| canaries.text(token));
    (issued, all)
}

/// Puts a token into each field of each method, and answers how each call was refused.
async fn every_field(server: &Replica, issued: &api::IssueResponse, all: &[String]) -> (usize, String) {
    let descriptors = Descriptors::read();
    let stream = TokioIo::new(TcpStream::connect(server.address).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let mut carried = JoinSet::new();
    carried.spawn(async { drop(connection.await) });
    let (mut calls, mut said) = (0, String::new());
    for method in grpc::METHODS {
        let takes = descriptors.takes.get(method).unwrap_or_else(|| panic!("{method} is in no descriptor"));
        for field in 0..descriptors.filled(takes, "", DEPTH).len() {
            // Each field is given two kinds of tokens, and each kind comes to many fields.
            for token in [&all[(calls + field) % all.len()], &all[(calls + 3) % all.len()]] {
                let (path, filled) = descriptors.filled(takes, token, DEPTH).swap_remove(field);
                let body = framed(&[good(method, issued), filled].concat());
                let request = Request::post(format!("http://{}/{method}", server.address))
                    .header("content-type", "application/grpc")
                    .header("te", "trailers")
                    .header("authorization", format!("Bearer {token}"))
                    .body(Full::new(body))
                    .unwrap();
                sender.ready().await.unwrap();
                let answer = sender.send_request(request).await.unwrap();
                calls += 1;
                let mut status = Status::from_header_map(answer.headers());
                // A stream that nothing is wrong with has no end.
                if status.is_none() && !method.ends_with("/Watch") {
                    let trailers = answer.into_body().collect().await.unwrap().trailers().cloned();
                    status = trailers.as_ref().and_then(Status::from_header_map);
                }
                if let Some(status) = status {
                    let details = status.get_error_details_vec();
                    said.push_str(&format!("{method} {path}: {} {details:?}\n", status.message()));
                }
            }
        }
    }
    (calls, said)
}

/// Puts a token into each parameter and header of each path, and answers how each was refused.
async fn every_parameter(server: &Replica, all: &[String]) -> (usize, String) {
    const PARAMETERS: [&str; 22] = [
        "grant_type",
        "code",
        "redirect_uri",
        "code_verifier",
        "client_id",
        "client_secret",
        "refresh_token",
        "scope",
        "resource",
        "device_code",
        "token",
        "token_type_hint",
        "assertion",
        "client_assertion",
        "client_assertion_type",
        "subject_token",
        "subject_token_type",
        "actor_token",
        "actor_token_type",
        "audience",
        "authorization_details",
        "canary",
    ];
    const HEADERS: [&str; 7] =
        ["authorization", "dpop", "idempotency-key", "client-cert", "x-forwarded-uri", "accept", "traceparent"];
    let (mut calls, mut said) = (0, String::new());
    let mut tell = |what: &str, answer: crate::rfc::raw::Answer| {
        if answer.status >= 400 {
            let challenge = answer.header("www-authenticate").unwrap_or_default().to_owned();
            said.push_str(&format!("{what}: {challenge} {}\n", String::from_utf8_lossy(&answer.body)));
        }
    };
    for path in paths::PATHS.into_iter().chain(["/none"]) {
        let grant_types = ["refresh_token", "authorization_code", "urn:ietf:params:oauth:grant-type:device_code"];
        for (at, parameter) in PARAMETERS.into_iter().enumerate() {
            for grant_type in grant_types.into_iter().take(if path == paths::PATHS[0] { 3 } else { 1 }) {
                let token = &all[(at + calls) % all.len()];
                let mut form = vec![("grant_type", grant_type), ("client_id", "mobile-app")];
                form.retain(|(name, _)| *name != parameter);
                form.push((parameter, token.as_str()));
                tell(&format!("{path} {parameter}"), Asking::post(server.http, path).form(&form).send().await);
                calls += 1;
            }
        }
        for header in HEADERS {
            for scheme in ["", "Bearer ", "DPoP "] {
                let token = &all[calls % all.len()];
                let value = format!("{scheme}{token}");
                let with = |asking: Asking| asking.header(header, &value);
                tell(&format!("GET {path} {header}"), with(Asking::get(server.http, path)).send().await);
                tell(
                    &format!("POST {path} {header}"),
                    with(Asking::post(server.http, path)).form(&[("token", token)]).send().await,
                );
                calls += 2;
            }
        }
        let authenticated = Asking::post(server.http, path).header("authorization", &basic("web-app", &all[7]));
        tell(path, authenticated.form(&[("grant_type", "refresh_token"), ("refresh_token", &all[0])]).send().await);
    }
    (calls, said)
}

/// On one thread, which is the one whose log is read.
#[tokio::test]
async fn nothing_secret_is_told_whatever_is_put_where() {
    let (collector, endpoint, _collecting) = Collector::start().await;
    let logged = Logged::default();
    let writer = logged.clone();
    let settings = Settings { collector: at(&endpoint), ratio: 1.0, level: "trace".into(), ..Settings::default() };
    let (subscriber, telemetry) = telemetry::build(&settings, move || writer.clone()).unwrap();
    // With a single one, what a test on another thread meets first is taken to interest nobody.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let installed = tracing::subscriber::set_default(subscriber);

    let home = tempfile::tempdir().unwrap();
    let mut world = World::redis(&[]).await;
    world.sampler = Sampler::new(1.0);
    world.settings.root_keys = ring(&[0xC5]);
    world.settings.audit.file = Some(home.path().join("audit.log"));
    world.settings.login.verification_uri = Some("https://login.internal/device".into());
    let monitor = Monitor::of(world.redis.as_ref().unwrap().port()).await;
    let server = world.start().await;

    let mut canaries = Canaries::default();
    canaries.bytes(&[0xC5; 32]);
    let (issued, all) = tokens(&server, &mut canaries).await;
    let (calls, mut said) = every_field(&server, &issued, &all).await;
    assert!(calls > 300, "{calls} calls are not all fields");
    let (asked, over_http) = every_parameter(&server, &all).await;
    assert!(asked > 500, "{asked} requests are not all parameters");
    said.push_str(&over_http);
    // What went well is told too: the spent one is presented again.
    let web_issued = server.issue(alice("web-app", "openid offline_access orders:read")).await;
    canaries.text(&web_issued.refresh_token);
    canaries.text(&server.refresh(web(&web_issued.refresh_token)).await.access_token);

    server.app.audit.close().await;
    drop(installed);
    telemetry.shutdown().await;
    let log = String::from_utf8_lossy(&logged.0.lock().unwrap()).into_owned();
    let audit = std::fs::read_to_string(home.path().join("audit.log")).unwrap();
    let traces = format!("{:?}", collector.spans());
    let (metrics, store) = (metrics::exposition().unwrap(), monitor.text());
    for (place, text, known) in [
        ("the log", &log, " TRACE "),
        ("the traces", &traces, "jeton.v1.TokenService/Introspect"),
        ("the metrics", &metrics, "jeton_refusals_total{reason=\"INVALID_FIELD\"}"),
        ("the audit stream", &audit, "\"action\":\"refresh\""),
        ("the store", &store, "\"fcall\""),
        ("refusals", &said, "client_id"),
    ] {
        assert!(text.to_lowercase().contains(&known.to_lowercase()), "{place} was read");
        let hits = canaries.occur_in(text);
        let lines: Vec<&str> = text.lines().filter(|line| hits.iter().any(|hit| line.contains(hit.as_str()))).take(3).collect();
        assert!(hits.is_empty(), "in {place}: {hits:?}\n{}", lines.join("\n"));
    }
    // It can fail: what is put there is found.
    assert!(!canaries.occur_in(&format!("{log}{}", all[1])).is_empty());
}

//! `jeton doctor`: a good deployment is all well, and each fault of a configuration or a Redis is told with what to change.

mod cluster;
mod sentinel;

use crate::authority::Authority;
use crate::port;
use crate::receiver::{Receiver, Reply};
use crate::redis_server::RedisServer;
use crate::traces::Collector;
use crate::world::{World, ring};
use jeton::clock::Clock;
use jeton::config::written_hash;
use jeton::store::redis::{Address, Expected, FUNCTIONS, PERMISSIONS, examine};
use jeton::store::{Diagnosis, Verdict};
use jeton_domain::caller::hash_of_key;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use rcgen::date_time_ymd;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

const ROOT_KEY: (&str, &str) = ("JETON_ROOT_KEY", crate::tour::ROOT_KEY);
const PATIENCE: Duration = Duration::from_secs(20);
/// What makes a Redis fit.
const SOUND: [&str; 6] = ["--appendonly", "yes", "--maxmemory", "256mb", "--maxmemory-policy", "noeviction"];

/// A primary and a replica, as the documentation wants them.
struct Deployment {
    primary: RedisServer,
    replica: RedisServer,
}

impl Deployment {
    async fn sound() -> Self {
        let primary = RedisServer::start_with(&SOUND).await;
        let port = primary.port().to_string();
        let replica = RedisServer::start_with(&[&SOUND[..], &["--replicaof", "127.0.0.1", &port]].concat()).await;
        while primary.caught_up().await != 1 || !primary.info("replication", "slave0").await.contains("online") {
            tokio::task::yield_now().await;
        }
        Self { primary, replica }
    }

    /// Passwords last: this test asks without.
    async fn locked(self) -> Self {
        for server in [&self.replica, &self.primary] {
            server.ask::<()>(&["CONFIG", "SET", "masterauth", "hunter2", "requirepass", "hunter2"]).await;
        }
        self
    }

    async fn examined(&self, replicas: u32) -> Vec<Diagnosis> {
        examined(&self.primary.url_of("default", "hunter2"), replicas).await
    }
}

async fn examined(url: &str, replicas: u32) -> Vec<Diagnosis> {
    let all = examine(&Address::parse(url).unwrap(), &Clock::system(), Expected { replicas, timeout: PATIENCE }).await;
    for one in &all {
        assert!(!one.found.contains("hunter2") && !one.advice.contains("hunter2"), "{one:?}");
        assert_eq!(one.advice.is_empty(), one.verdict == Verdict::Ok, "{one:?}");
    }
    all
}

/// What is not ok, but for how long anything took: other tests run beside this one.
fn wrong(all: &[Diagnosis]) -> Vec<(&str, Verdict)> {
    let slow = |one: &&Diagnosis| one.verdict == Verdict::Warn && ["round trip", "write", "replication"].contains(&one.check);
    all.iter().filter(|one| one.verdict != Verdict::Ok && !slow(one)).map(|one| (one.check, one.verdict)).collect()
}

#[tokio::test]
async fn a_good_deployment_is_all_well() {
    let deployment = Deployment::sound().await.locked().await;
    let all = deployment.examined(1).await;
    assert_eq!(wrong(&all), [], "{all:?}");
    for server in [&deployment.primary, &deployment.replica] {
        let at = format!("127.0.0.1:{}", server.port());
        assert!(all.iter().filter(|one| one.at == at).count() >= 7, "both were asked: {all:?}");
    }
}

#[tokio::test]
async fn each_fault_of_a_redis_is_told() {
    use Verdict::{Fail, Warn};
    let deployment = Deployment::sound().await;
    let set = async |server: &RedisServer, name: &str, value: &str| server.ask::<()>(&["CONFIG", "SET", name, value]).await;
    let all = |at: &[(&'static str, Verdict)]| [&[("login", Warn)], at].concat();
    let Deployment { primary, replica } = &deployment;
    assert_eq!(wrong(&examined(&primary.url(), 1).await), all(&[]));
    assert_eq!(wrong(&examined(&primary.url(), 0).await), all(&[("replicas", Warn)]));
    assert_eq!(wrong(&examined(&replica.url(), 0).await), all(&[("role", Fail), ("write", Fail)]));

    for server in [primary, replica] {
        set(server, "maxmemory-policy", "allkeys-lru").await;
        assert_eq!(wrong(&examined(&primary.url(), 1).await), all(&[("eviction", Fail)]), "on every node");
        set(server, "maxmemory-policy", "noeviction").await;
        set(server, "appendonly", "no").await;
        assert_eq!(wrong(&examined(&primary.url(), 1).await), all(&[("persistence", Fail)]));
        set(server, "appendonly", "yes").await;
    }
    set(primary, "maxmemory", "0").await;
    let said = examined(&primary.url(), 1).await;
    assert_eq!(wrong(&said), all(&[("memory", Warn), ("memory", Warn)]), "and the replica has less: {said:?}");
    set(primary, "maxmemory", "1mb").await;
    assert!(wrong(&examined(&primary.url(), 1).await).contains(&("memory", Fail)));
    set(primary, "maxmemory", "256mb").await;

    set(primary, "min-replicas-to-write", "1").await;
    let said = examined(&primary.url(), 1).await;
    assert_eq!(wrong(&said), all(&[("min-replicas-to-write", Warn)]), "with the replica down nothing goes on: {said:?}");
    set(primary, "min-replicas-to-write", "0").await;
    let powerless = "resetpass >hunter2 -@all +info +time +config|get";
    replica.add_user("other", "hunter2", powerless).await;
    primary.add_user("other", "hunter2", "~* &* +@all").await;
    let said = examined(&primary.url_of("other", "hunter2"), 1).await;
    let at = format!("127.0.0.1:{}", replica.port());
    assert_eq!(wrong(&said), [("permissions", Fail)], "access lists are not replicated: {said:?}");
    assert!(said.iter().any(|one| one.check == "permissions" && one.at == at), "{said:?}");

    // One more is waited for than there are.
    let expected = Expected { replicas: 2, timeout: Duration::from_millis(400) };
    let said = examine(&Address::parse(&primary.url()).unwrap(), &Clock::system(), expected).await;
    assert_eq!(wrong(&said), all(&[("replicas", Fail), ("write", Fail)]), "{said:?}");
    let none = RedisServer::start_with(&SOUND).await;
    assert_eq!(wrong(&examined(&none.url(), 0).await), all(&[("replicas", Warn)]));
    let mut gone = RedisServer::start().await;
    gone.stop().await;
    assert_eq!(wrong(&examined(&gone.url(), 0).await), all(&[("connection", Fail)]));
}

#[tokio::test]
async fn a_user_who_may_too_little_is_told_what_he_lacks_and_nothing_is_changed() {
    use Verdict::{Fail, Warn};
    let server = RedisServer::start_with(&SOUND).await;
    let url = server.url_of("jeton", "hunter2");
    let user = async |rules: &str| {
        let words = ["ACL", "SETUSER", "jeton", "reset", "on", ">hunter2"];
        server.ask::<()>(&words.into_iter().chain(rules.split_whitespace()).collect::<Vec<_>>()).await;
    };
    user(PERMISSIONS).await;
    let rest = [("settings", Warn), ("replicas", Warn)];
    let said = examined(&url, 0).await;
    assert_eq!(wrong(&said), [&rest[..], &[("functions", Fail)]].concat(), "he may not load the library: {said:?}");
    server.ask::<String>(&["FUNCTION", "LOAD", FUNCTIONS]).await;
    assert_eq!(wrong(&examined(&url, 0).await), rest);

    user(&PERMISSIONS.replace("+xadd", "").replace("+fcall", "")).await;
    let said = examined(&url, 0).await;
    assert_eq!(wrong(&said), [&rest[..], &[("permissions", Fail)]].concat());
    assert!(said.iter().any(|one| one.found == "the user lacks +xadd +fcall"), "{said:?}");
    user(&PERMISSIONS.replace("~jeton:*", "~other:*")).await;
    assert!(wrong(&examined(&url, 0).await).contains(&("permissions", Fail)), "the names are part of it");
    assert_eq!(wrong(&examined(&server.url_of("jeton", "wrong"), 0).await), [("connection", Fail)]);

    server.ask::<()>(&["DEL", "jeton:{doctor}"]).await;
    assert_eq!(server.ask::<Vec<String>>(&["KEYS", "*"]).await, Vec::<String>::new());
}

/// A collector of spans.
struct Taking;

#[tonic::async_trait]
impl TraceService for Taking {
    async fn export(&self, asked: Request<ExportTraceServiceRequest>) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let told = asked.into_inner().resource_spans;
        assert!(told.iter().all(|resource| resource.scope_spans.is_empty()), "no span is made up for it");
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// What `jeton doctor` says of a configuration: check, where, verdict.
fn diagnosed(configuration: &str, variables: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, Vec<[String; 3]>) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jeton.toml");
    std::fs::write(&file, configuration).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_jeton"))
        .args(["doctor", "--output", "json", "--config"])
        .arg(&file)
        .args(arguments)
        .env_remove("KUBERNETES_SERVICE_HOST")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let checks = told["checks"].as_array().cloned().unwrap_or_default();
    let row = |check: &Value| ["check", "at", "verdict"].map(|name| check[name].as_str().unwrap_or_default().to_owned());
    (output.status.code(), checks.iter().map(row).filter(|[_, _, verdict]| verdict != "ok").collect())
}

const GOOD: &str = r#"
issuer = "https://tokens.example.com"
store = "embedded:data"
insecure = true

[listen]
grpc = "127.0.0.1:50051"

[limits]
connections = 100

[resources."https://orders.internal"]
scopes = ["orders:read"]
access_token_lifetime = "5m"

[clients.app]
kind = "public"
redirect_uris = ["https://app.example.com/callback"]
grant_types = ["authorization_code", "refresh_token"]
scopes = ["openid", "offline_access", "orders:read"]
resources = ["https://orders.internal"]
"#;

#[test]
fn what_is_unwise_in_a_configuration_is_told() {
    let quiet = GOOD.replace("insecure = true\n", "");
    let rows = |rows: &[[&str; 3]]| rows.iter().map(|row| row.map(str::to_owned)).collect::<Vec<_>>();
    // Only who is called from this machine has nothing to be told.
    let loopback = ["listeners", "grpc 127.0.0.1:50051", "warn"];
    assert_eq!(diagnosed(&quiet, &[ROOT_KEY], &[]), (Some(0), rows(&[loopback])));

    let with = |from: &str, to: &str| {
        assert!(quiet.contains(from), "{from}");
        quiet.replace(from, to)
    };
    let kind = "kind = \"public\"";
    for (configuration, expected) in [
        (with("https://tokens", "http://tokens"), ["issuer", "http://tokens.example.com", "warn"]),
        (with(kind, "kind = \"public\"\nrotation = \"never\""), ["client", "app", "warn"]),
        (with(kind, "kind = \"public\"\nrotation = \"near-expiry\""), ["client", "app", "warn"]),
        (with(kind, "kind = \"public\"\nreuse = \"refuse\""), ["client", "app", "warn"]),
        (with("\"5m\"", "\"12h\""), ["resource", "https://orders.internal", "warn"]),
        (with("\n[listen]", "\n[tokens]\noverlap = \"60s\"\n\n[listen]"), ["overlap", "tokens.overlap", "warn"]),
        (with("\n[listen]", "\n[tokens]\nmax_staleness = \"1m\"\n\n[listen]"), ["staleness", "tokens.max_staleness", "warn"]),
        (with("embedded:data", "memory:"), ["store", "memory:", "fail"]),
        (with("connections = 100", "connections = 100000"), ["open files", "limits.connections", "warn"]),
        (with("\n[listen]", "\n[audit]\nfile = \"/none/audit.log\"\n\n[listen]"), ["audit", "/none/audit.log", "fail"]),
    ] {
        let (code, told) = diagnosed(&configuration, &[ROOT_KEY], &[]);
        assert!(told.contains(&expected.map(str::to_owned)), "{expected:?}: {told:?}");
        assert_eq!(code, Some(i32::from(expected[2] == "fail")), "{told:?}");
    }
    let open = diagnosed(GOOD, &[ROOT_KEY], &["--grpc-listen", "0.0.0.0:50051"]);
    assert!(open.0 == Some(1) && open.1.contains(&["listeners", "grpc 0.0.0.0:50051", "fail"].map(str::to_owned)), "{open:?}");
    let pod = diagnosed(&quiet, &[ROOT_KEY, ("KUBERNETES_SERVICE_HOST", "10.0.0.1")], &[]);
    assert_eq!(pod, (Some(0), rows(&[loopback, ["store", "embedded:data", "warn"]])));
    assert_eq!(diagnosed(&quiet, &[], &[]), (Some(0), rows(&[loopback, ["root key", "", "warn"]])));
    let development = include_str!("../../jeton.toml");
    let (code, told) = diagnosed(development, &[ROOT_KEY], &[]);
    let published = |client: &str| told.contains(&["client", client, "fail"].map(str::to_owned));
    assert!(code == Some(1) && published("web-app") && published("billing-job"), "{told:?}");
    assert_eq!(diagnosed("store = 7", &[ROOT_KEY], &[]), (Some(1), Vec::new()), "mistakes are told as by `serve`");
}

#[test]
fn what_is_unwise_in_callers_is_told() {
    let hash = |of: &str| written_hash(&hash_of_key(of));
    let caller = |lines: &str| format!("{}[callers.it]\n{lines}\n", GOOD.replace("insecure = true\n", ""));
    let key = format!("key_hashes = ['{}']\n", hash("jck_x"));
    let sample = format!("sha256:{}", "0123456789abcdef".repeat(4));
    for (lines, expected) in [
        (format!("{key}rpcs = 'refresh'\nclients = 'app'"), None),
        (key.clone(), Some("warn")),
        (format!("{key}rpcs = 'refresh'\nclients = 'application'"), Some("warn")),
        (format!("{key}rpcs = 'introspect'\nresources = 'https://order.internal'"), Some("warn")),
        (format!("{key}rpcs = 'introspect'\nresources = '*'\nmay_report_arrivals = true"), Some("warn")),
        (format!("{key}rpcs = 'read_keys'\nmay_assert_certificates = true"), Some("warn")),
        (format!("key_hashes = ['{}']\nrpcs = 'read_keys'", hash("")), Some("fail")),
        (format!("key_hashes = ['{sample}']\nrpcs = 'read_keys'"), Some("fail")),
    ] {
        let (code, told) = diagnosed(&caller(&lines), &[ROOT_KEY], &[]);
        let verdict = told.iter().find(|[check, at, _]| check == "caller" && at == "it").map(|[_, _, verdict]| verdict.as_str());
        assert_eq!((code, verdict), (Some(i32::from(expected == Some("fail"))), expected), "{lines}: {told:?}");
    }
    // All that is wrong with one, at once.
    let lines = format!(
        "key_hashes = ['{sample}']\nrpcs = 'introspect'\nclients = 'a b'\nresources = 'https://c'\nmay_report_arrivals = true"
    );
    let told = diagnosed(&caller(&lines), &[ROOT_KEY], &[]).1;
    let verdicts: Vec<&str> =
        told.iter().filter(|[check, at, _]| check == "caller" && at == "it").map(|[_, _, verdict]| verdict.as_str()).collect();
    assert_eq!(verdicts, ["fail", "warn", "warn", "warn"], "{told:?}");
}

#[test]
fn what_is_wrong_with_certificates_is_told() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).display().to_string();
    let (authority, other) = (Authority::new(), Authority::new());
    let ended = other.client(|params| params.not_after = date_time_ymd(2020, 1, 1));
    for (name, identity) in [
        ("good", authority.server_of(&["tokens.example.com"])),
        ("wildcard", authority.server_of(&["*.example.com"])),
        ("elsewhere", authority.server_of(&["elsewhere.example.com"])),
        ("nameless", authority.server_of(&[])),
        ("ended", ended),
    ] {
        let (_, key) = identity.write(home.path(), name);
        fs::set_permissions(key, fs::Permissions::from_mode(0o640)).unwrap();
    }
    let (_, open) = authority.server_of(&["tokens.example.com"]).write(home.path(), "open");
    fs::set_permissions(open, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(at("authority.pem"), authority.pem()).unwrap();
    fs::write(at("two.pem"), authority.pem() + &other.pem()).unwrap();
    let diagnosed = |certificate: &str, authorities: &str, more: &str| {
        let tls = format!(
            "[tls]\ncertificate_file = '{}'\nkey_file = '{}'\n",
            at(&format!("{certificate}.pem")),
            at(&format!("{certificate}.key"))
        );
        let callers =
            format!("caller_ca_file = '{}'\n[callers.it]\n{more}rpcs = 'read_keys'\n", at(&format!("{authorities}.pem")));
        let configuration = GOOD.replace("insecure = true\n", "") + &tls + &callers;
        let told = diagnosed(&configuration, &[ROOT_KEY], &[]).1;
        told.into_iter().filter(|[check, ..]| ["TLS", "authorities", "caller"].contains(&check.as_str())).collect::<Vec<_>>()
    };
    let named = "spiffe_ids = 'spiffe://example.com/it'\n";
    let tls = |name: &str, verdict: &str| vec![["TLS".to_owned(), at(name), verdict.to_owned()]];
    let authorities = |verdict: &str| vec![["authorities", "tls.caller_ca_file", verdict].map(str::to_owned)];
    for (certificate, bundle, expected) in [
        ("good", "authority", Vec::new()),
        ("wildcard", "two", Vec::new()),
        ("elsewhere", "authority", tls("elsewhere.pem", "warn")),
        ("nameless", "authority", tls("nameless.pem", "fail")),
        ("open", "authority", tls("open.key", "warn")),
        ("good", "good", authorities("warn")),
        ("good", "ended", authorities("fail")),
    ] {
        assert_eq!(diagnosed(certificate, bundle, named), expected, "{certificate}, {bundle}");
    }
    let caller = vec![["caller", "it", "warn"].map(str::to_owned)];
    assert_eq!(diagnosed("good", "authority", "dns_names = '192.0.2.1'\n"), caller);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_it_asks_for_keys_and_tells_its_spans_is_reached() {
    let keys = Receiver::start().await;
    let at = format!("http://{}/jwks", keys.address);
    let configuration = |otlp: &str| {
        let tokens = format!("[caller_tokens]\nissuer = 'i'\naudience = 'a'\njwks_uri = '{at}'\n");
        let caller = "[callers.it]\nservice_accounts = 'a/b'\nrpcs = 'read_keys'\n";
        format!(
            "{}{tokens}{caller}[telemetry]\notlp_endpoint = '{otlp}'\n[audit]\notlp_endpoint = '{otlp}'\n",
            GOOD.replace("insecure = true\n", "")
        )
    };
    let told = async |otlp: &str| {
        let configuration = configuration(otlp);
        let (_, told) = tokio::task::block_in_place(|| diagnosed(&configuration, &[ROOT_KEY], &[]));
        told.into_iter()
            .filter(|[check, ..]| ["caller tokens", "collector", "audit"].contains(&check.as_str()))
            .collect::<Vec<_>>()
    };
    let row = |check: &str, at: &str, verdict: &str| [check, at, verdict].map(str::to_owned);
    // A port that is closed, and one where something else is.
    let closed = port::free();
    let nobody = format!("http://{closed}");
    keys.answers(Reply::status(403));
    assert_eq!(
        told(&nobody).await,
        [row("caller tokens", &at, "fail"), row("collector", &nobody, "warn"), row("audit", &nobody, "warn")]
    );
    let of_no_use = json!({"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}).to_string();
    keys.answers(Reply::Answer(200, Vec::new(), of_no_use.into()));
    let elsewhere = format!("http://{}", keys.address);
    assert_eq!(
        told(&elsewhere).await,
        [row("caller tokens", &at, "fail"), row("collector", &elsewhere, "warn"), row("audit", &elsewhere, "warn")]
    );
    let of_use =
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}).to_string();
    keys.answers(Reply::Answer(200, Vec::new(), of_use.into()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = format!("http://{}", listener.local_addr().unwrap());
    let taking = Server::builder().add_service(TraceServiceServer::new(Taking));
    let mut tasks = JoinSet::new();
    tasks.spawn(taking.serve_with_incoming(TcpIncoming::from(listener)));
    assert_eq!(told(&collector).await, [row("audit", &collector, "warn")], "this one takes spans alone");
    let (_, endpoint, _collecting) = Collector::start().await;
    assert_eq!(told(&endpoint).await, Vec::<[String; 3]>::new());
}

#[tokio::test]
async fn the_command_asks_the_redis_of_the_configuration() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]).await;
    let url = server.url();
    let told = tokio::task::spawn_blocking(move || diagnosed(GOOD, &[ROOT_KEY], &["--store", &url])).await.unwrap();
    let at = format!("127.0.0.1:{}", server.port());
    assert!(told.0 == Some(1) && told.1.contains(&["eviction".to_owned(), at, "fail".to_owned()]), "{told:?}");
}

/// With another, `serve` would not start, or could not read what the replicas beside it write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_key_that_the_store_was_not_used_with_is_told() {
    let mut world = World::redis(&SOUND).await;
    let url = world.redis.as_ref().unwrap().url();
    let told = async |keys: &[u8]| {
        let (ring, url) = (keys.iter().map(|key| format!("{key:02x}").repeat(32)).collect::<Vec<_>>().join("\n"), url.clone());
        let diagnosed = || diagnosed(GOOD, &[("JETON_ROOT_KEY", ring.as_str())], &["--store", &url]).1;
        let rows = tokio::task::block_in_place(diagnosed);
        rows.into_iter().filter(|[check, ..]| check == "root key").collect::<Vec<_>>()
    };
    let wrong = [["root key", "store", "fail"].map(str::to_owned)];
    assert!(told(&[1]).await.is_empty() && told(&[2]).await.is_empty(), "nothing is sealed yet, and asking seals nothing");
    drop(world.start().await);
    assert!(told(&[1]).await.is_empty());
    assert_eq!(told(&[2]).await, wrong);
    world.settings.root_keys = ring(&[1, 2]);
    drop(world.start().await);
    assert_eq!(told(&[2]).await, wrong, "what is sealed under the first is not opened by the second");
    world.settings.root_keys = ring(&[3, 1]);
    drop(world.start().await);
    assert!(told(&[3, 1]).await.is_empty());
    assert_eq!(told(&[1]).await, wrong, "the replicas beside it write under a newer one");
}

/// For whom jeton's own user may not load them: read from the binary, with no configuration.
#[tokio::test]
async fn the_functions_are_had_from_the_command() {
    let command = || Command::new(env!("CARGO_BIN_EXE_jeton")).args(["doctor", "--functions"]).current_dir("/").output().unwrap();
    let output = tokio::task::spawn_blocking(command).await.unwrap();
    assert!(output.status.success());
    let functions = String::from_utf8(output.stdout).unwrap();
    let server = RedisServer::start().await;
    assert_eq!(server.ask::<String>(&["FUNCTION", "LOAD", &functions]).await, "jeton2");
}

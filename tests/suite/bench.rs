//! `jeton bench` against the real server: every operation really happens, and is told in numbers.

use crate::redis_server::RedisServer;
use crate::rfc::raw::Asking;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// For a second and few grants, on a machine that is busy with other tests.
const SMALL: [&str; 6] = ["--connections", "2", "--concurrency", "4", "--seconds", "1"];
const GRANTS: [&str; 2] = ["--grants", "300"];

/// `jeton serve` in memory of its own directory; killed when dropped.
struct Server {
    process: Child,
    grpc: String,
    admin: SocketAddr,
    #[cfg_attr(not(feature = "bench"), expect(dead_code, reason = "only that build offers one"))]
    noop: Option<String>,
    _home: tempfile::TempDir,
    // Kept open, so that the server can go on printing.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    fn start(overlap: &str, options: &[&str]) -> Self {
        Self::start_with(overlap, options, &[])
    }

    fn start_with(overlap: &str, options: &[&str], variables: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_jeton"))
            .args(["serve", "--config", &format!("{ROOT}/jeton.toml")])
            .args(["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(options)
            .env("JETON_TOKENS_OVERLAP", overlap)
            .env("JETON_ROOT_KEY", "11".repeat(32))
            .envs(variables.iter().copied())
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut noop = None;
        let (grpc, admin) = loop {
            let mut line = String::new();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "serve ended before it listened");
            if let Some(address) = line.strip_prefix("no-op for `jeton bench` on ") {
                noop = Some(format!("http://{}", address.trim()));
            }
            if let Some((grpc, others)) = line.strip_prefix("jeton serves gRPC on ").and_then(|rest| rest.split_once(',')) {
                let admin = others.split_once("admin on ").unwrap().1.split(',').next().unwrap().parse().unwrap();
                break (format!("http://{grpc}"), admin);
            }
        };
        Self { process, grpc, admin, noop, _home: home, _stdout: lines }
    }

    fn bench(&self, options: &[&str]) -> Output {
        self.bench_with(&[SMALL.as_slice(), options].concat())
    }

    fn bench_with(&self, options: &[&str]) -> Output {
        let server_pid = self.process.id().to_string();
        Command::new(env!("CARGO_BIN_EXE_jeton"))
            .args(["bench", "--server", &self.grpc, "--server-pid", &server_pid, "--output", "json"])
            .args(options)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn operations(output: &Output) -> Vec<Value> {
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{told}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    let json: Value = serde_json::from_str(&told).unwrap();
    json["operations"].as_array().unwrap().clone()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("a number is missing: {value}"))
}

fn is_measured(told: &Value) {
    assert!(number(&told["requests"]) > 0.0, "{told}");
    assert!(number(&told["requests_per_second"]["median"]) > 0.0, "{told}");
    let latency = &told["latency_micros"];
    let [p50, p99, p999] = ["p50", "p99", "p99.9"].map(|name| number(&latency[name]));
    assert!(0.0 < p50 && p50 <= p99 && p99 <= p999, "{told}");
    assert!(number(&told["server_cpu_micros_per_request"]["median"]) > 0.0, "{told}");
    assert_eq!(told["errors"], serde_json::json!({}), "{told}");
}

#[test]
fn every_operation_is_measured_and_really_happens() {
    let server = Server::start("1s", &[]);
    let told = operations(&server.bench(&[GRANTS.as_slice(), &["--overlap", "1"]].concat()));
    let names: Vec<&str> = told.iter().map(|one| one["operation"].as_str().unwrap()).collect();
    let expected =
        ["issue", "refresh", "introspect-jwt", "introspect-opaque", "introspect-cached", "introspect-opaque-cached", "revoke"];
    assert_eq!(names, expected);
    told.iter().for_each(is_measured);
    for at in [2, 3, 6] {
        let asked = number(&told[at]["requests"]);
        assert!(asked <= 300.0, "{}: a token came twice: {asked}", names[at]);
    }
}

#[test]
fn grants_and_revocations_are_there_before_anything_is_measured() {
    let server = Server::start("10s", &[]);
    let before = ["--other-grants", "200", "--revocations", "1500", "--operation", "introspect-opaque-cached"];
    let told = operations(&server.bench(&[GRANTS.as_slice(), &before].concat()));
    let [told] = told.as_slice() else { panic!("one operation: {told:?}") };
    is_measured(told);
    assert!(number(&told["requests"]) > 300.0, "the same tokens again and again: {told}");
}

#[test]
fn at_several_sizes_all_is_measured_at_each() {
    let server = Server::start("10s", &[]);
    let sizes = ["--other-grants", "10,200", "--revocations", "0,100,300"];
    let cached = ["--operation", "introspect-opaque-cached,introspect-cached", "--known", "50"];
    let told = operations(&server.bench(&[GRANTS.as_slice(), &sizes, &cached].concat()));
    told.iter().for_each(is_measured);
    let told: Vec<_> = told.iter().map(|one| (&one["operation"], &one["other_grants"], &one["revocations"])).collect();
    let [jwt, opaque] = ["introspect-cached", "introspect-opaque-cached"].map(Value::from);
    let [none, ten, hundred, most, more] = [0, 10, 100, 200, 300].map(Value::from);
    let at = |grants, revocations| [(&jwt, grants, revocations), (&opaque, grants, revocations)];
    assert_eq!(told, [at(&ten, &none), at(&most, &hundred), at(&most, &more)].concat());
}

#[test]
fn sizes_that_fall_are_refused() {
    let server = Server::start("10s", &[]);
    let output = server.bench(&["--operation", "nothing", "--revocations", "20,10"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn all_of_a_client_is_revoked_by_one_call_and_every_token_is_dead() {
    let server = Server::start("10s", &[]);
    let told = operations(&server.bench(&[GRANTS.as_slice(), &["--operation", "revoke-client", "--rounds", "2"]].concat()));
    let [told] = told.as_slice() else { panic!("one operation: {told:?}") };
    is_measured(told);
    assert_eq!(told["requests"], 2, "one a round");
}

#[test]
fn so_many_clients_are_registered_once_each() {
    let server = Server::start("10s", &[]);
    let told = operations(&server.bench(&["--operation", "register-clients", "--grants", "40", "--rounds", "1"]));
    let [told] = told.as_slice() else { panic!("one operation: {told:?}") };
    is_measured(told);
    assert_eq!(told["requests"], 40);
    let again = server.bench(&["--operation", "register-clients", "--grants", "40", "--rounds", "1"]);
    assert!(!again.status.success(), "they are there already");
}

#[tokio::test]
async fn what_one_replica_revokes_the_others_enforce_and_the_load_goes_on() {
    let redis = RedisServer::start().await;
    let servers = [(); 3].map(|()| Server::start("1s", &["--store", &redis.url()]));
    let [_, second, third] = servers.each_ref().map(|server| server.grpc.as_str());
    let others = ["--replica", second, "--replica", third];
    let few = ["--operation", "enforcement", "--grants", "30", "--overlap", "1", "--load", "40", "--seconds", "30"];
    let callers = ["--connections", "1", "--concurrency", "4"];
    let output = servers[0].bench_with(&[others.as_slice(), &few, &callers].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["operations"], serde_json::json!([]));
    let told = &told["enforcement"];
    assert_eq!(told["replicas"], 3);
    assert_eq!((&told["revoke"]["count"], &told["enforced"]["count"]), (&Value::from(30), &Value::from(60)), "{told}");
    assert!(number(&told["question"]["count"]) >= 60.0, "{told}");
    for measured in ["revoke", "enforced", "question"] {
        let [p50, p99, max] = ["p50", "p99", "max"].map(|share| number(&told[measured]["latency_micros"][share]));
        assert!(p50 <= p99 && p99 <= max && max > 0.0, "{measured}: {told}");
    }
    for operation in ["issue", "refresh", "introspect", "revoke"] {
        assert!(number(&told["load"][operation]["requests"]) > 0.0, "{operation}: {told}");
        assert_eq!(told["load"][operation]["errors"], serde_json::json!({}), "{operation}: {told}");
    }
}

#[tokio::test]
async fn what_is_watched_is_measured_beside_a_trickle_of_revocations() {
    let server = Server::start("10s", &[]);
    let watched = ["--watchers", "120", "--trickle", "20", "--operation", "introspect-cached"];
    let told = operations(&server.bench(&[GRANTS.as_slice(), &watched].concat()));
    let [told] = told.as_slice() else { panic!("one operation: {told:?}") };
    is_measured(told);
    let metrics = Asking::get(server.admin, "/metrics").send().await.body;
    let metrics = String::from_utf8(metrics).unwrap();
    let entries = metrics.lines().find_map(|line| line.strip_prefix("jeton_watched_entries_total ")).unwrap();
    assert!(entries.parse::<f64>().unwrap() >= 120.0, "each stream was told of a revocation: {entries}");
}

#[test]
fn enforcement_needs_another_replica() {
    let server = Server::start("1s", &[]);
    let output = server.bench(&["--operation", "enforcement"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn beyond_capacity_callers_are_answered_or_refused_and_nothing_else() {
    let server = Server::start_with("10s", &[], &[("JETON_LIMITS_CONCURRENCY", "2")]);
    let output = server.bench(&["--operation", "overload", "--places", "2"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{told}");
    let told = told["overload"].as_array().unwrap();
    let callers: Vec<_> = told.iter().map(|step| step["callers"].as_u64().unwrap()).collect();
    assert_eq!(callers, [2, 4, 10, 10]);
    for step in told {
        assert!(number(&step["answered_per_second"]["min"]) > 0.0 && number(&step["resident_kib"]) > 0.0, "{step}");
    }
    assert!(number(&told[3]["refused_per_second"]["min"]) > 0.0, "{told:?}");
}

#[test]
fn a_benchmark_of_errors_is_a_failure() {
    let server = Server::start("10s", &[]);
    let refused = server.bench(&["--operation", "refresh", "--overlap", "1", "--grants", "8"]);
    // The warm-up refreshed all eight grants. After a second they come again, within the server's ten seconds, and nothing rotates.
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let json: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert!(number(&json["operations"][0]["errors"]["WRONG_ANSWER"]["count"]) > 0.0, "{json}");
}

#[test]
fn a_process_that_is_not_there_is_no_server() {
    let output = Command::new(env!("CARGO_BIN_EXE_jeton")).args(["bench", "--server-pid", "4294967295"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[cfg(feature = "bench")]
#[test]
fn the_no_op_takes_turns_with_the_operation() {
    let server = Server::start("10s", &["--noop-listen", "127.0.0.1:0"]);
    let noop = server.noop.clone().expect("serve tells where the no-op listens");
    let told =
        operations(&server.bench(&["--operation", "introspect-opaque", "--noop", &noop, "--rounds", "2", "--grants", "300"]));
    let [told] = told.as_slice() else { panic!("one operation: {told:?}") };
    is_measured(told);
    is_measured(&told["noop"]);
    let ratio = &told["ratio"]["server_cpu"];
    assert!(number(&ratio["min"]) > 0.0 && number(&ratio["min"]) <= number(&ratio["max"]), "{ratio}");
}

#[cfg(not(feature = "bench"))]
#[test]
fn a_build_that_serves_has_no_no_op() {
    for arguments in [&["serve", "--noop-listen", "127.0.0.1:0"][..], &["bench", "--noop", "http://127.0.0.1:1"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_jeton")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("unexpected argument"), "{output:?}");
    }
}

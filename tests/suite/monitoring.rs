//! Alarms and dashboard against a running server: `promtool` reads what it tells, the rules and their tests; what is named in an
//! expression exists; and of each alarm docs/operations.md says what it means and what to do.

use crate::authority::Authority;
use crate::rfc::raw::Asking;
use crate::store_contract::eventually;
use crate::tls::Served;
use crate::tour::{Home, Server};
use crate::world::{ORDERS, alice, mobile};
use jeton::api::revoke_request::Target;
use jeton::api::token_service_client::TokenServiceClient;
use jeton::api::{IntrospectRequest, RevokeRequest};
use serde_json::Value as Json;
use serde_yaml_ng::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The labels that Prometheus gives to all that it scrapes.
const TARGET: [&str; 2] = ["pod", "job"];

/// What `promtool` says of it, where it is not content with what it is given.
fn promtool(arguments: &[&str], input: &str) -> Result<(), String> {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("this test needs promtool: `make test` installs it (Debian, Ubuntu: prometheus)");
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(()) } else { Err(told) }
}

/// What a server tells that did each thing once.
async fn scrape() -> String {
    let home = Home::new();
    let server = Server::start(&home, "memory:", &[]);
    let mut tokens = TokenServiceClient::connect(server.address.clone()).await.unwrap();
    let issued = tokens.issue(alice("mobile-app", "offline_access orders:read")).await.unwrap().into_inner();
    tokens.refresh(mobile(&issued.refresh_token)).await.unwrap();
    let asked = IntrospectRequest { token: issued.access_token.clone(), resource: ORDERS.into(), ..Default::default() };
    assert!(tokens.introspect(asked).await.unwrap().into_inner().active);
    tokens.revoke(RevokeRequest { target: Some(Target::Token(issued.refresh_token)), ..Default::default() }).await.unwrap();
    let gateway =
        Asking::get(server.http, &format!("/oauth2/authorize-request?resource={ORDERS}")).header("X-Forwarded-Method", "GET");
    assert_eq!(gateway.header("X-Forwarded-Uri", "/").send().await.status, 401);
    let answer = Asking::get(server.admin, "/metrics").send().await;
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body).unwrap()
}

/// What one tells that speaks TLS.
async fn scrape_with_tls() -> String {
    let (home, authority) = (Home::new(), Authority::new());
    authority.server().write(home.path(), "server");
    let mut command = Command::new(env!("CARGO_BIN_EXE_jeton"));
    command
        .args(["serve", "--store", "memory:", "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
        .args(["--admin-listen", "127.0.0.1:0", "--config"])
        .arg(format!("{ROOT}/jeton.toml"))
        .envs([("JETON_TLS_CERTIFICATE_FILE", "server.pem"), ("JETON_TLS_KEY_FILE", "server.key")]);
    let served = Served::start(home, &mut command);
    let trusting = authority.trusted(None);
    let metrics = async || {
        let answer = Asking::get(served.admin, "/metrics").over(&trusting).send().await;
        String::from_utf8(answer.body).unwrap()
    };
    eventually("its certificate is measured", async || metrics().await.contains("jeton_certificate_expiry_seconds{")).await;
    metrics().await
}

/// The series of a metric by its name: of each the labels.
type Series = BTreeMap<String, Vec<BTreeMap<String, String>>>;

fn labels(text: &str) -> impl Iterator<Item = (String, String, String)> {
    // No value of ours has a comma or a quotation mark in it.
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(str::to_owned);
    pairs.map(|pair| {
        let (name, rest) = pair.split_at(pair.find(['=', '!']).unwrap_or_else(|| panic!("no label: {pair}")));
        let (operator, value) = rest.split_at(rest.find('"').unwrap());
        (name.to_owned(), operator.to_owned(), value.trim_matches('"').to_owned())
    })
}

fn series(scrape: &str) -> Series {
    let mut series = Series::new();
    for line in scrape.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
        let labels = labels(inside).map(|(name, _, value)| (name, value)).collect();
        series.entry(name.to_owned()).or_default().push(labels);
    }
    series
}

/// What an expression names that is in no scrape: metrics, labels, words of labels.
fn unknown(expression: &str, series: &Series) -> Vec<String> {
    let mut unknown = Vec::new();
    let part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut known: BTreeSet<&str> = TARGET.into();
    for rest in expression.split("jeton_").skip(1) {
        let (name, rest) = rest.split_at(rest.find(|character| !part(character)).unwrap_or(rest.len()));
        let name = format!("jeton_{name}");
        let Some(found) = series.get(&name) else {
            unknown.push(name);
            continue;
        };
        known.extend(found.iter().flat_map(BTreeMap::keys).map(String::as_str));
        let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
        for (label, operator, value) in labels(inside).filter(|(label, ..)| !TARGET.contains(&label.as_str())) {
            let words: BTreeSet<&str> = found.iter().filter_map(|labels| labels.get(&label)).map(String::as_str).collect();
            let wanted = if operator.ends_with('~') { value.split('|').collect() } else { vec![value.as_str()] };
            let gone = wanted.into_iter().filter(|word| !words.contains(word));
            unknown.extend(gone.map(|word| format!("{name}{{{label}=\"{word}\"}}")));
        }
    }
    for by in expression.split("by (").skip(1) {
        let by = by.split(')').next().unwrap().split(',').map(str::trim);
        unknown.extend(by.filter(|label| !known.contains(label)).map(|label| format!("by ({label})")));
    }
    unknown
}

/// The groups of rules that are under `spec` of the manifest.
fn rules() -> Value {
    let manifest = fs::read_to_string(format!("{ROOT}/k8s/monitoring/alerts.yaml")).unwrap();
    let manifest: Value = serde_yaml_ng::from_str(&manifest).unwrap();
    manifest["spec"].clone()
}

fn alerts(rules: &Value) -> BTreeMap<String, String> {
    let groups = rules["groups"].as_sequence().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_sequence().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rules.map(|rule| (text(&rule["alert"]), text(&rule["expr"]))).collect()
}

/// Rules in a directory beside their tests, as the tests name them.
fn tested(rules: &str) -> (tempfile::TempDir, [String; 2]) {
    let home = tempfile::tempdir().unwrap();
    let [rules_at, tests_at] = ["jeton.rules.yaml", "alerts.test.yaml"].map(|name| home.path().join(name));
    fs::write(&rules_at, rules).unwrap();
    fs::copy(format!("{ROOT}/k8s/monitoring/alerts.test.yaml"), &tests_at).unwrap();
    let paths = [rules_at, tests_at].map(|path| path.to_str().unwrap().to_owned());
    (home, paths)
}

/// The expressions of the dashboard, as Grafana sends them.
fn shown() -> Vec<String> {
    let dashboard = fs::read_to_string(format!("{ROOT}/k8s/monitoring/dashboard.json")).unwrap();
    let dashboard: Json = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap()).map(|target| target["expr"].as_str().unwrap());
    let asked = dashboard["templating"]["list"].as_array().unwrap().iter().filter(|variable| variable["type"] == "query");
    let asked = asked.map(|variable| variable["definition"].as_str().unwrap());
    let asked = asked.map(|asked| asked.strip_prefix("label_values(").unwrap().split(',').next().unwrap());
    targets.chain(asked).map(|text| text.replace("$pod", ".*").replace("$__rate_interval", "5m")).collect()
}

#[tokio::test]
async fn alarms_and_dashboard_name_what_a_running_server_tells() {
    let scrape = scrape().await;
    let with_tls = scrape_with_tls().await;
    for scrape in [&scrape, &with_tls] {
        promtool(&["check", "metrics"], scrape).unwrap();
    }
    let mut series = series(&with_tls);
    series.extend(self::series(&scrape));
    let page = fs::read_to_string(Path::new(ROOT).join("docs/operations.md")).unwrap();
    let limits = page.lines().find(|line| line.starts_with("| `jeton_limited_total`")).unwrap().rsplit_once(" | ").unwrap().1;
    let named: BTreeSet<&str> = limits.split('`').skip(1).step_by(2).collect();
    assert_eq!(series["jeton_limited_total"].iter().map(|labels| &*labels["limit"]).collect::<BTreeSet<_>>(), named);
    let shown = shown();
    assert!(shown.len() > 15, "{shown:?}");
    let all = alerts(&rules());
    for expression in all.values().chain(&shown) {
        assert_eq!(unknown(expression, &series), Vec::<String>::new(), "{expression}");
    }

    for (planted, expected) in [
        ("jeton_requests", "jeton_requests"),
        ("rate(jeton_requests_total{outcome=\"FINE\"}[5m])", "jeton_requests_total{outcome=\"FINE\"}"),
        ("sum by (reason) (jeton_requests_total)", "by (reason)"),
        ("jeton_view_entries{a=\"b\"} + jeton_watchers", "jeton_view_entries{a=\"b\"}"),
    ] {
        assert_eq!(unknown(planted, &series), [expected], "{planted}");
    }
}

#[test]
fn alarms_fire_when_they_should_and_only_then() {
    let rules = rules();
    let text = serde_yaml_ng::to_string(&rules).unwrap();
    let (_home, [rules_at, tests_at]) = tested(&text);
    promtool(&["check", "rules", &rules_at], "").unwrap();
    promtool(&["test", "rules", &tests_at], "").unwrap();
    // A threshold that nothing reaches is noticed.
    let slow = "> 0.25";
    assert!(text.contains(slow));
    let (_home, [_, tests_at]) = tested(&text.replace(slow, "> 25"));
    assert!(promtool(&["test", "rules", &tests_at], "").is_err());

    // For each alarm there is a time at which it fires, and one at which it does not.
    let tests: Value =
        serde_yaml_ng::from_str(&fs::read_to_string(format!("{ROOT}/k8s/monitoring/alerts.test.yaml")).unwrap()).unwrap();
    let tests = tests["tests"].as_sequence().unwrap().iter();
    let tests: Vec<&Value> = tests.flat_map(|test| test["alert_rule_test"].as_sequence().unwrap()).collect();
    let named = |fires: bool| -> BTreeSet<String> {
        let tests =
            tests.iter().filter(|test| test["exp_alerts"].as_sequence().is_some_and(|alerts| !alerts.is_empty()) == fires);
        tests.map(|test| test["alertname"].as_str().unwrap().to_owned()).collect()
    };
    let all: BTreeSet<String> = alerts(&rules).into_keys().collect();
    assert!(all.len() > 15);
    assert_eq!(named(true), all);
    assert_eq!(named(false), all);
}

#[test]
fn every_expression_of_the_dashboard_is_one() {
    let check = |expressions: &[String]| {
        let rules =
            expressions.iter().enumerate().map(|(n, expr)| serde_json::json!({"record": format!("panel:{n}"), "expr": expr}));
        let groups = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules.collect::<Vec<_>>()}]});
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), groups.to_string()).unwrap();
        promtool(&["check", "rules", file.path().to_str().unwrap()], "")
    };
    check(&shown()).unwrap();
    assert!(check(&["sum by (a) (rate(b))".into()]).is_err());
}

#[test]
fn of_each_alarm_operations_says_what_it_means_and_what_to_do() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/operations.md")).unwrap();
    let section = page.split("\n## Alarms\n").nth(1).expect("a section").split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect();
    for row in &rows {
        assert_eq!(row.len(), 3, "an alarm, what it means, what to do: {row:?}");
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
    }
    let said: BTreeSet<String> = rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    assert_eq!(said.len(), rows.len(), "an alarm has one row");
    assert_eq!(said, alerts(&rules()).into_keys().collect());
}

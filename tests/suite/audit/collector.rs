//! The stream at a collector: what it has proves itself, and what it does not take is told.

use super::{DOCUMENTATION, ROOT_KEY, asked};
use crate::authority::Authority;
use crate::port;
use crate::store_contract::eventually;
use crate::tour::{Home, Server};
use crate::traces::Collector;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Told;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use tonic::Status;
use tonic::transport::{Identity, Server as Listening, ServerTlsConfig};

/// A server whose stream goes to a collector there.
fn telling(home: &Home, endpoint: &str, variables: &[(&str, &str)]) -> Server {
    Server::start(home, "memory:", &[&[ROOT_KEY, ("JETON_AUDIT_OTLP_ENDPOINT", endpoint)], variables].concat())
}

async fn ends(server: &mut Server) {
    assert!(Command::new("kill").args(["-TERM", &server.process.id().to_string()]).status().unwrap().success());
    eventually("it ended", async || server.process.try_wait().unwrap().is_some()).await;
}

fn logged(home: &Home) -> String {
    fs::read_to_string(home.path().join("log")).unwrap()
}

fn text(value: &Option<AnyValue>) -> String {
    match value.as_ref().and_then(|value| value.value.clone()) {
        Some(Told::StringValue(text)) => text,
        Some(Told::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    }
}

const ISSUE: [&str; 7] =
    ["issue", "--client", "mobile-app", "--subject", "alice", "--scope", "openid offline_access orders:read"];

/// Its spans go there too, and both over TLS. One answer to a batch is lost.
#[tokio::test]
async fn at_a_collector_each_line_is_a_record_and_none_is_lost_while_it_is_away() {
    let (home, authority, address) = (Home::new(), Authority::new(), port::free());
    let trusted = home.path().join("authority.pem");
    fs::write(&trusted, authority.pem()).unwrap();
    let endpoint = format!("https://{address}");
    let variables = [
        ("JETON_OUTBOUND_CA_FILE", trusted.to_str().unwrap()),
        ("JETON_TELEMETRY_OTLP_ENDPOINT", endpoint.as_str()),
        ("JETON_TELEMETRY_TRACE_SAMPLE_RATIO", "1"),
    ];
    let mut server = telling(&home, &endpoint, &variables);
    let first = asked(&home, &server, &[&ISSUE[..], &["--field", "refresh_token"]].concat());
    eventually("it is told", async || logged(&home).contains("cannot be written; it is tried again")).await;
    let shown = authority.server();
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(shown.pem(), shown.key()));
    let (collector, _, _collecting) = Collector::start_at(address, Listening::builder().tls_config(tls).unwrap()).await;
    collector.answers([Err(Status::unavailable("the answer is lost"))]);
    eventually("it is written again", async || logged(&home).contains("the audit stream is written again")).await;
    asked(&home, &server, &["refresh", &first, "--client", "mobile-app"]);
    ends(&mut server).await;

    let records = collector.records();
    let told: Vec<String> = records.iter().map(|record| text(&record.body)).collect();
    assert!(told.len() > told.iter().collect::<BTreeSet<_>>().len(), "some stand there twice");
    for record in &records {
        let line: Value = serde_json::from_str(&text(&record.body)).unwrap();
        let told = |KeyValue { key, value, .. }: &KeyValue| (key.clone(), text(value));
        let member = |name: &str| (format!("jeton.audit.{name}"), line[name].to_string().trim_matches('"').to_owned());
        assert_eq!(record.attributes.iter().map(told).collect::<Vec<_>>(), ["chain", "seq", "action"].map(member));
        assert!(record.event_name == "jeton.audit" && record.time_unix_nano > 0, "{record:?}");
        let trace: String = record.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(trace, line["trace_id"].as_str().unwrap_or_default());
        assert_eq!(
            !trace.is_empty(),
            ["issue", "refresh"].contains(&line["action"].as_str().unwrap()),
            "what was asked is sampled"
        );
    }
    assert!(!collector.spans().is_empty());

    // As the page says it is proved, from an export in which the last came first.
    let export = |line: &String| json!({"body": {"stringValue": line}, "eventName": "jeton.audit"});
    let mut all: Vec<Value> = told.iter().rev().map(export).collect();
    all.push(json!({"body": {"kvlistValue": {}}, "eventName": "of another"}));
    let exported = json!({"resourceLogs": [{}, {"scopeLogs": [{}, {"logRecords": all}]}]});
    fs::write(home.path().join("exported.json"), exported.to_string()).unwrap();
    let (_, command) = DOCUMENTATION.split_once("each once:\n\n").unwrap();
    let (command, _) = command.split_once("\n\n").unwrap();
    let proved = home.paste(command, &[ROOT_KEY]);
    let said = String::from_utf8(proved.stdout).unwrap();
    assert!(proved.status.success() && said.ends_with("whole: 4 lines\n"), "{said}");
    fs::write(home.path().join("exported.json"), "{}").unwrap();
    let nothing = home.paste(command, &[ROOT_KEY]);
    assert!(!nothing.status.success(), "nothing is not whole");
}

#[tokio::test]
async fn what_a_collector_refuses_or_does_not_answer_is_told() {
    let home = Home::new();
    let (collector, endpoint, _collecting) = Collector::start().await;
    let partial_success = Some(ExportLogsPartialSuccess { rejected_log_records: 1, error_message: "quota\u{1b}[2J".into() });
    collector.answers([Ok(ExportLogsServiceResponse { partial_success })]);
    let mut server = telling(&home, &endpoint, &[]);
    eventually("it is told", async || logged(&home).contains("refused lines of the audit stream lines=1 why=quota?[2J")).await;
    ends(&mut server).await;
    let lines: Vec<String> = collector.records().iter().map(|record| text(&record.body)).collect();
    let lost: Vec<&String> = lines.iter().filter(|line| line.contains("\"action\":\"lost\",\"lines\":1")).collect();
    assert_eq!(lost.len(), 1, "{lines:?}");

    // One that takes connections and says nothing, to metrics neither: no request waits for it, the page knows, and the process ends all the same.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let metrics = [("JETON_TELEMETRY_OTLP_ENDPOINT", endpoint.as_str()), ("JETON_TELEMETRY_METRICS_INTERVAL", "1s")];
    let mut server = telling(&home, &endpoint, &metrics);
    asked(&home, &server, &ISSUE);
    eventually("it is worth a look", async || logged(&home).contains("the audit stream cannot be written: the log says why"))
        .await;
    ends(&mut server).await;
    assert!(logged(&home).contains("the last lines of the audit stream were not written lines=1\n"), "{}", logged(&home));
}

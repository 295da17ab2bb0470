//! Log records to a collector, each batch acknowledged: for a thread that waits.
//!
//! Must not live here: what they say.

use super::collector::{Collector, WITHIN, cause, late};
use super::resource;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{self as proto, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use std::error::Error as _;
use std::fmt;
use std::io;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};

type Client = LogsServiceClient<Channel>;

/// The most characters of what a collector says that are told.
const MAX_SAID: usize = 200;

/// Sends records, one batch after another.
pub struct LogSender {
    collector: Collector,
    /// Its own, so that it goes on whatever becomes of that of the process; with a thread, so that somebody answers on a connection while
    /// nothing is sent.
    runtime: Option<Runtime>,
    /// None: the next batch goes over a new connection.
    client: Option<Client>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord(proto::LogRecord);

/// The records that a collector has seen and will not take: they are not to be sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// How many.
    pub count: usize,
    /// Why, as it says.
    pub why: String,
}

impl fmt::Debug for LogSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogSender(..)")
    }
}

impl LogSender {
    /// Sends to that collector, once there is something to send.
    ///
    /// # Errors
    /// No thread is to be had.
    pub fn to(collector: Collector) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("log sender").enable_all().build()?;
        Ok(Self { collector, runtime: Some(runtime), client: None })
    }

    /// Sends them, and waits until the collector took them, or `given_up`. Not to be called inside a runtime.
    ///
    /// # Errors
    /// It did not take them, as far as is known.
    pub fn send(&mut self, records: Vec<LogRecord>, given_up: impl Future<Output = ()>) -> io::Result<Refused> {
        let problem = |problem: String| io::Error::other(format!("collector {}: {problem}", self.collector.shown()));
        let runtime = self.runtime.as_ref().ok_or_else(|| problem("there is no runtime".into()))?;
        let client = match self.client.take() {
            Some(client) => client,
            None => {
                let _inside = runtime.enter();
                self.collector.channel().map(LogsServiceClient::new).map_err(|error| problem(error.to_string()))?
            }
        };
        let records = records.into_iter().map(|LogRecord(record)| record).collect();
        let sent = runtime.block_on(async {
            tokio::select! {
                sent = export(client.clone(), records) => sent,
                () = given_up => Err(late()),
            }
        });
        // What failed may have failed for its connection.
        self.client = sent.is_ok().then_some(client);
        sent.map_err(problem)
    }
}

impl Collector {
    /// Whether it takes log records: it is sent none.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub async fn takes_records(&self) -> Result<(), String> {
        let client = self.channel().map(LogsServiceClient::new).map_err(|error| error.to_string())?;
        timeout(WITHIN, export(client, Vec::new())).await.map_err(|_elapsed| late())?.map(drop)
    }
}

async fn export(mut client: Client, records: Vec<proto::LogRecord>) -> Result<Refused, String> {
    let sent = records.len();
    let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records: records, ..ScopeLogs::default() }];
    let logs = ResourceLogs { resource: Some(of_the_process()), scope_logs, ..ResourceLogs::default() };
    let answer = client.export(ExportLogsServiceRequest { resource_logs: vec![logs] }).await;
    let partial = answer.map_err(|status| words(&status))?.into_inner().partial_success.unwrap_or_default();
    let count = usize::try_from(partial.rejected_log_records).unwrap_or_default().min(sent);
    Ok(Refused { count, why: plain(&partial.error_message) })
}

impl Drop for LogSender {
    fn drop(&mut self) {
        // It waits for nothing, wherever that is done.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl LogRecord {
    /// With that name and that text.
    #[must_use]
    pub fn new(name: &str, text: &str) -> Self {
        Self(proto::LogRecord {
            severity_number: SeverityNumber::Info.into(),
            severity_text: "INFO".into(),
            body: Some(AnyValue { value: Some(Value::StringValue(text.into())) }),
            event_name: name.into(),
            ..proto::LogRecord::default()
        })
    }

    /// It happened then (RFC 3339); what is no moment is left out.
    #[must_use]
    pub fn at(mut self, time: &str) -> Self {
        let at = time.parse::<prost_types::Timestamp>().ok();
        let nanos = at.and_then(|at| u64::try_from(i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos)).ok());
        self.0.time_unix_nano = nanos.unwrap_or_default();
        self.0.observed_time_unix_nano = self.0.time_unix_nano;
        self
    }

    /// It belongs to that trace, in hex; what is none is left out.
    #[must_use]
    pub fn of_trace(mut self, trace: &str) -> Self {
        let trace = opentelemetry::TraceId::from_hex(trace).map(opentelemetry::TraceId::to_bytes);
        self.0.trace_id = trace.map(Vec::from).unwrap_or_default();
        self
    }

    /// With an attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.attribute(name, Value::StringValue(value.into()));
        self
    }

    /// With a number as an attribute.
    #[must_use]
    pub fn with_number(mut self, name: &str, value: u64) -> Self {
        self.attribute(name, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)));
        self
    }

    fn attribute(&mut self, name: &str, value: Value) {
        self.0.attributes.push(attribute(name, value));
    }
}

fn attribute(name: &str, value: Value) -> KeyValue {
    KeyValue { key: name.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn of_the_process() -> Resource {
    let attributes =
        resource().iter().map(|(name, value)| attribute(name.as_str(), Value::StringValue(value.to_string()))).collect();
    Resource { attributes, ..Resource::default() }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope { name: "jeton".into(), version: env!("CARGO_PKG_VERSION").into(), ..InstrumentationScope::default() }
}

fn words(status: &Status) -> String {
    match (status.source(), status.code()) {
        (Some(source), _) => cause(source),
        (None, Code::Unimplemented) => "it takes no log records over gRPC".into(),
        (None, code) => format!("it answers {code:?}: {}", plain(status.message())),
    }
}

/// Somebody else's words, which may be shown.
fn plain(said: &str) -> String {
    let shown = said.chars().take(MAX_SAID);
    shown.map(|character| if character.is_ascii_graphic() || character == ' ' { character } else { '?' }).collect()
}

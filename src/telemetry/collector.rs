//! The collector, which takes OTLP over gRPC: where it is, whom we trust there, and what sends spans, metrics and records to it.
//!
//! Must not live here: what is sent.

use super::{StartError, resource};
use crate::tls::{self, Authorities};
use jeton_domain::secret::shown_address;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::{InstrumentationScope, SpanId, TraceId};
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{ExporterBuildError, LogExporter, MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _, SdkLogRecord, SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::trace::SpanExporter as _;
use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::runtime::Handle;

/// How long it may take to take some: the last of them delay the end of the process.
pub(super) const WITHIN: Duration = Duration::from_secs(3);
/// The same of records, whose sender waits for it, and may have to try once more before the process ends.
const RECORDS_WITHIN: Duration = Duration::from_millis(1_500);
/// Who says what is sent.
const SCOPE: &str = "jeton";

/// A collector.
#[derive(Clone, Debug)]
pub struct Collector {
    endpoint: String,
    /// None: it speaks plain text.
    trusted: Option<Authorities>,
}

impl Collector {
    /// At `endpoint`, such as `http://127.0.0.1:4317`. Of `https` the authorities of this machine are trusted, and those of `ca_file`.
    ///
    /// # Errors
    /// `tls::Problem`: the file.
    pub fn at(endpoint: &str, ca_file: Option<&Path>) -> Result<Self, tls::Problem> {
        let trusted = endpoint.starts_with("https:").then(|| Authorities::trusted(ca_file)).transpose()?;
        Ok(Self { endpoint: endpoint.into(), trusted })
    }

    /// Where it is, without what may be secret.
    #[must_use]
    pub fn shown(&self) -> String {
        shown_address(&self.endpoint)
    }

    /// Whether it takes spans: it is sent none.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub async fn takes_spans(&self) -> Result<(), String> {
        let exporter = self.spans().map_err(|error| error.to_string())?;
        exporter.export(Vec::new()).await.map_err(|error| error.to_string())
    }

    /// Whether it takes records: it is sent none.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub async fn takes_records(&self) -> Result<(), String> {
        let exporter = self.logs().map_err(|error| error.to_string())?;
        exporter.export(LogBatch::new(&[])).await.map_err(|error| error.to_string())
    }

    /// What sends it records, for a thread of its own. Call it inside the runtime.
    ///
    /// # Errors
    /// `StartError::Endpoint`.
    pub fn records(&self) -> Result<Records, StartError> {
        Ok(Records {
            exporter: self.logs()?,
            logger: SdkLoggerProvider::builder().build().logger(SCOPE),
            scope: InstrumentationScope::builder(SCOPE).build(),
            runtime: Handle::current(),
        })
    }

    pub(super) fn spans(&self) -> Result<SpanExporter, StartError> {
        self.aimed(SpanExporter::builder().with_tonic(), WITHIN).build().map_err(|error| self.unusable(&error))
    }

    pub(super) fn metrics(&self) -> Result<MetricExporter, StartError> {
        self.aimed(MetricExporter::builder().with_tonic(), WITHIN).build().map_err(|error| self.unusable(&error))
    }

    fn logs(&self) -> Result<LogExporter, StartError> {
        let built = self.aimed(LogExporter::builder().with_tonic(), RECORDS_WITHIN).build();
        let mut exporter = built.map_err(|error| self.unusable(&error))?;
        exporter.set_resource(&resource());
        Ok(exporter)
    }

    fn aimed<B: WithExportConfig + WithTonicConfig>(&self, builder: B, within: Duration) -> B {
        let builder = builder.with_endpoint(self.endpoint.as_str()).with_timeout(within);
        match &self.trusted {
            Some(trusted) => builder.with_tls_config(ClientTlsConfig::new().trust_anchors(trusted.anchors())),
            None => builder,
        }
    }

    fn unusable(&self, error: &ExporterBuildError) -> StartError {
        StartError::Endpoint { endpoint: self.shown(), problem: error.to_string() }
    }
}

/// Sends records, one batch after another.
pub struct Records {
    exporter: LogExporter,
    logger: SdkLogger,
    scope: InstrumentationScope,
    runtime: Handle,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Records(..)")
    }
}

/// Something that happened, with a name and a text.
#[derive(Debug)]
pub struct Record(SdkLogRecord);

impl Records {
    /// One to be sent.
    #[must_use]
    pub fn record(&self, name: &'static str, text: &str) -> Record {
        let mut record = self.logger.create_log_record();
        record.set_event_name(name);
        record.set_severity_number(Severity::Info);
        record.set_severity_text(Severity::Info.name());
        record.set_body(AnyValue::String(text.to_owned().into()));
        Record(record)
    }

    /// Sends them, and waits until the collector took them. Call it outside the runtime.
    ///
    /// # Errors
    /// It did not, as far as is known.
    pub fn send(&self, records: &[Record]) -> io::Result<()> {
        let batch: Vec<_> = records.iter().map(|Record(record)| (record, &self.scope)).collect();
        self.runtime.block_on(self.exporter.export(LogBatch::new(&batch))).map_err(io::Error::other)
    }
}

impl Record {
    /// It happened then (RFC 3339); what is no moment is left out.
    #[must_use]
    pub fn at(mut self, time: &str) -> Self {
        let at = time.parse::<prost_types::Timestamp>().ok().and_then(|time| SystemTime::try_from(time).ok());
        if let Some(at) = at {
            self.0.set_timestamp(at);
            self.0.set_observed_timestamp(at);
        }
        self
    }

    /// It belongs to that trace, in hex; what is none is left out.
    #[must_use]
    pub fn of_trace(mut self, trace: &str) -> Self {
        if let Ok(trace) = TraceId::from_hex(trace) {
            self.0.set_trace_context(trace, SpanId::INVALID, None);
        }
        self
    }

    /// With an attribute.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<AnyValue>) -> Self {
        self.0.add_attribute(name, value);
        self
    }
}

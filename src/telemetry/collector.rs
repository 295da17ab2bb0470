//! The collector, which takes OTLP over gRPC: where it is, whom we trust there, and how we are connected to it.
//!
//! Everything has a limit of time, the handshake of TLS and the end of an answer too: a peer may do the half.
//!
//! Must not live here: what is sent. Log records, each batch acknowledged, are sent by `log_sender`.

use super::StartError;
use crate::tls::{self, Authorities};
use hyper_util::client::legacy::connect::HttpConnector;
use jeton_domain::secret::shown_address;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as Exports};
use std::error::Error;
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

/// How long it may take to be reached, and to take some spans or metrics.
pub(super) const WITHIN: Duration = Duration::from_secs(3);
/// A request that waits for so long asks whether the connection is alive, and waits so long for the answer.
const ALIVE: Duration = Duration::from_secs(1);

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

    pub(super) fn spans(&self) -> Result<Bounded<SpanExporter>, StartError> {
        let built = SpanExporter::builder().with_tonic().with_channel(self.channel()?).build();
        built.map(Bounded::new).map_err(|error| self.unusable(&error))
    }

    pub(super) fn metrics(&self) -> Result<Bounded<MetricExporter>, StartError> {
        let built = MetricExporter::builder().with_tonic().with_channel(self.channel()?).build();
        built.map(Bounded::new).map_err(|error| self.unusable(&error))
    }

    /// Connected when it is first used. To be called inside a runtime, which keeps the connection; one that is dead is found by a request
    /// that waits, and given up.
    pub(super) fn channel(&self) -> Result<Channel, StartError> {
        let endpoint = Endpoint::from_shared(self.endpoint.clone()).map_err(|error| self.unusable(&error))?;
        let endpoint = endpoint.connect_timeout(WITHIN).http2_keep_alive_interval(ALIVE).keep_alive_timeout(ALIVE);
        let endpoint = match &self.trusted {
            Some(trusted) => endpoint.tls_config(ClientTlsConfig::new().trust_anchors(trusted.anchors())),
            None => Ok(endpoint),
        };
        let mut by_tcp = HttpConnector::new();
        by_tcp.enforce_http(false);
        by_tcp.set_nodelay(true);
        // With a connector of one's own the limit holds for the handshake of TLS, too.
        Ok(endpoint.map_err(|error| self.unusable(&error))?.connect_with_connector_lazy(by_tcp))
    }

    fn unusable(&self, error: &(dyn Error + 'static)) -> StartError {
        StartError::Endpoint { endpoint: self.shown(), problem: cause(error) }
    }
}

/// An exporter whose every export ends in time. They are driven by threads of their own.
#[derive(Debug)]
pub(super) struct Bounded<E> {
    exporter: E,
    runtime: Handle,
}

impl<E> Bounded<E> {
    fn new(exporter: E) -> Self {
        Self { exporter, runtime: Handle::current() }
    }

    async fn in_time(&self, work: impl Future<Output = OTelSdkResult> + Send) -> OTelSdkResult {
        let bounded = {
            let _inside = self.runtime.enter();
            timeout(WITHIN, work)
        };
        bounded.await.unwrap_or(Err(OTelSdkError::Timeout(WITHIN)))
    }
}

impl Exports for Bounded<SpanExporter> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.in_time(self.exporter.export(batch)).await
    }

    fn shutdown_with_timeout(&self, within: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(within)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl PushMetricExporter for Bounded<MetricExporter> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.in_time(self.exporter.export(metrics)).await
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, within: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(within)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

/// What an error comes from, in its own words: those above it repeat it.
pub(super) fn cause(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// It did not answer.
pub(super) fn late() -> String {
    "it does not answer in time".into()
}

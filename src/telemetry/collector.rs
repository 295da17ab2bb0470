//! The collector, which takes OTLP over gRPC: where it is, whom we trust there, and how we are connected to it.
//!
//! Must not live here: what is sent. Log records, each batch acknowledged, are sent by `log_sender`.

use super::StartError;
use super::log_sender::LogSender;
use crate::tls::{self, Authorities};
use jeton_domain::secret::shown_address;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithTonicConfig as _};
use opentelemetry_sdk::trace::SpanExporter as _;
use std::error::Error;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

/// How long it may take to be reached, and to take some.
pub(super) const WITHIN: Duration = Duration::from_secs(3);

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
        let taken = timeout(WITHIN, exporter.export(Vec::new())).await.map_err(|_elapsed| late())?;
        taken.map_err(|error| error.to_string())
    }

    /// Whether it takes log records: it is sent none.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub async fn takes_records(&self) -> Result<(), String> {
        let client = LogSender::client(self).map_err(|error| error.to_string())?;
        LogSender::export(client, Vec::new(), WITHIN).await.map(|_refused| ())
    }

    pub(super) fn spans(&self) -> Result<SpanExporter, StartError> {
        let built = SpanExporter::builder().with_tonic().with_channel(self.channel()?).build();
        built.map_err(|error| self.unusable(&error))
    }

    pub(super) fn metrics(&self) -> Result<MetricExporter, StartError> {
        let built = MetricExporter::builder().with_tonic().with_channel(self.channel()?).build();
        built.map_err(|error| self.unusable(&error))
    }

    /// Connected when it is first used, within bounds of time. To be called inside a runtime, which keeps the connection.
    pub(super) fn channel(&self) -> Result<Channel, StartError> {
        let endpoint = Endpoint::from_shared(self.endpoint.clone()).map_err(|error| self.unusable(&error))?;
        let endpoint = endpoint.connect_timeout(WITHIN).timeout(WITHIN);
        let endpoint = match &self.trusted {
            Some(trusted) => endpoint.tls_config(ClientTlsConfig::new().trust_anchors(trusted.anchors())),
            None => Ok(endpoint),
        };
        Ok(endpoint.map_err(|error| self.unusable(&error))?.connect_lazy())
    }

    fn unusable(&self, error: &(dyn Error + 'static)) -> StartError {
        StartError::Endpoint { endpoint: self.shown(), problem: cause(error) }
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

//! What is the process doing? Spans, counters, logs.
//!
//! Lives here: where traces and logs go (`start`, `collector`, `log_sender`), the sampling decision and spans (`trace`), counters and histograms
//! (`metrics`), what they did lately (`rates`), what was over a limit (`limits`), the form of a log line (`log`). Any room may name this one.
//! Must not live here: tokens, secrets, keys, names of subjects; what is counted is chosen from fixed words, what is logged may name a caller, an address or a client.

pub mod collector;
pub mod limits;
pub mod log;
pub mod log_sender;
pub mod metrics;
pub mod rates;
pub mod trace;

pub use collector::Collector;
pub use trace::{Sampler, child};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{Sampler as SdkSampler, SdkTracerProvider};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, FilterFn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::reload;

/// Where traces and logs go.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The collector. None: neither traces nor metrics are sent.
    pub collector: Option<Collector>,
    /// The share of requests without a trace of their caller that are traced, 0 to 1.
    pub ratio: f64,
    /// So often metrics are sent to the collector too; none: they are not.
    pub metrics_every: Option<Duration>,
    /// The form of a log line.
    pub format: Format,
    /// What is logged, as `tracing` directives: `info`, or `info,jeton=debug`.
    pub level: String,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        Self { collector: None, ratio: 0.01, metrics_every: None, format: Format::Text, level: "info".into() }
    }
}

/// Why telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The level is no list of directives.
    #[error("log level `{level}` is not understood, try `info`: {problem}")]
    Level {
        /// As given.
        level: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The endpoint is no URL, or not one of a collector.
    #[error("OTLP endpoint `{endpoint}` cannot be used, try `http://127.0.0.1:4317`: {problem}")]
    Endpoint {
        /// As given.
        endpoint: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is a subscriber already.
    #[error("telemetry was started before")]
    Twice,
}

/// Keeps telemetry going; what was recorded is sent when it is shut down, or at the latest dropped.
#[derive(Debug)]
#[must_use = "dropping it ends tracing"]
pub struct Telemetry {
    sampler: Sampler,
    level: Level,
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

/// The least level that is logged, which may be another from now on. Clones are the same.
#[derive(Clone)]
pub struct Level(Arc<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Level(..)")
    }
}

impl Level {
    /// This from now on, as `Settings::level`.
    ///
    /// # Errors
    /// It is not understood: then it is as it was.
    pub fn exchange(&self, level: &str) -> Result<(), StartError> {
        let problem = |problem: String| StartError::Level { level: level.into(), problem };
        (self.0)(filter(level)?).map_err(|error| problem(error.to_string()))
    }
}

/// How long the last spans and metrics may take.
const FLUSHED_WITHIN: Duration = Duration::from_secs(4);

/// Starts telemetry for the process: logs to standard error, traces and metrics to the collector. Call it inside the runtime.
///
/// # Errors
/// Settings that cannot be used; a second start.
pub fn start(settings: &Settings) -> Result<Telemetry, StartError> {
    let (subscriber, mut telemetry) = build(settings, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_already| StartError::Twice)?;
    if let (Some(collector), Some(every)) = (&settings.collector, settings.metrics_every) {
        telemetry.metrics = Some(metrics::push(collector.metrics()?, every));
    }
    Ok(telemetry)
}

/// The same for a subscriber that the caller installs, with logs to `writer`.
///
/// # Errors
/// Settings that cannot be used.
pub fn build<W>(settings: &Settings, writer: W) -> Result<(impl Subscriber + Send + Sync + 'static, Telemetry), StartError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter(&settings.level)?);
    let level = Level(Arc::new(move |filter| handle.reload(filter)));
    let logs = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(false)
        .event_format(log::Lines::new(settings.format))
        .with_filter(filter);
    let traces = settings.collector.as_ref().map(exporting).transpose()?;
    let exported = traces.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("jeton"))
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            // Only our own spans: those of h2, or of the exporter itself, would feed on themselves.
            .with_filter(FilterFn::new(|metadata| metadata.is_span() && metadata.target() == trace::TARGET))
    });
    let sampler = if traces.is_some() { Sampler::new(settings.ratio) } else { Sampler::OFF };
    let subscriber = tracing_subscriber::registry().with(exported).with(logs);
    Ok((subscriber, Telemetry { sampler, level, traces, metrics: None }))
}

fn filter(level: &str) -> Result<EnvFilter, StartError> {
    let problem = |problem: String| StartError::Level { level: level.into(), problem };
    let spans = format!("{}=info", trace::TARGET);
    // Our spans must be known to the log layer at any level, so that a line finds its trace.
    let filter = EnvFilter::builder().parse(level).map_err(|error| problem(error.to_string()))?;
    Ok(filter.add_directive(spans.parse().map_err(|error| problem(format!("{error}")))?))
}

/// Spans are made only for requests that are sampled, so the pipeline takes them all.
fn exporting(collector: &Collector) -> Result<SdkTracerProvider, StartError> {
    Ok(SdkTracerProvider::builder()
        .with_sampler(SdkSampler::AlwaysOn)
        .with_resource(resource())
        .with_batch_exporter(collector.spans()?)
        .build())
}

fn resource() -> Resource {
    let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    Resource::builder().with_service_name("jeton").with_attribute(version).build()
}

impl Telemetry {
    /// Decides which requests are traced.
    #[must_use]
    pub const fn sampler(&self) -> Sampler {
        self.sampler
    }

    /// What is logged, to be exchanged.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level.clone()
    }

    /// Sends what was recorded, within a few seconds. To be awaited before the runtime ends, for the exporters run on it.
    pub async fn shutdown(mut self) {
        let (traces, metrics) = (self.traces.take(), self.metrics.take());
        let (ended, sent) = oneshot::channel();
        // A thread that nobody waits for longer than that: the metrics' own waits for ever.
        let flushing = std::thread::Builder::new().name("last spans".into()).spawn(move || {
            let pushed = metrics.map(|metrics| metrics.force_flush());
            let traced = traces.map(|traces| traces.shutdown_with_timeout(collector::WITHIN));
            let _nobody_waits = ended.send([pushed, traced].into_iter().flatten().all(|sent| sent.is_ok()));
        });
        let sent = async { flushing.is_ok() && sent.await.unwrap_or_default() };
        if timeout(FLUSHED_WITHIN, sent).await != Ok(true) {
            tracing::warn!("the last spans or metrics did not reach the collector");
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // Reached without `shutdown` only when something else went wrong: a short wait, and no word about it.
        if let Some(traces) = self.traces.take() {
            drop(traces.shutdown_with_timeout(Duration::from_millis(500)));
        }
    }
}

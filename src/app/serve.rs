//! `jeton serve`: listens, says where, serves until told to stop, drains.

use crate::app::readiness::Readiness;
use crate::app::reload::{Loading, Reload, Remarks};
use crate::app::{App, StartError, collector, jobs};
use crate::cli;
use crate::clock::Clock;
use crate::config::{Loaded, LogFormat, Settings};
use crate::telemetry::rates::{self, Rates};
use crate::telemetry::{self, Telemetry};
use crate::transport::admin::page::{self, Page};
use crate::transport::admin::{self, Saying};
use crate::transport::caller::Admission;
use crate::transport::connections::{Listener, Most};
use crate::transport::gateway::Headers;
use crate::transport::grpc::listener;
use crate::transport::tls::{Asks, Files, Problem, Speaks, Tls};
use crate::transport::{grpc, http};
use std::fmt::Display;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Calls at work may end at shutdown: within their deadline, and this.
const DRAIN_BEYOND_DEADLINE: Duration = Duration::from_secs(5);

/// How long telling the store so may take.
const LEAVE: Duration = Duration::from_secs(1);

/// Why serving ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The rooms could not be built.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Logs or traces could not be started.
    #[error(transparent)]
    Telemetry(#[from] telemetry::StartError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {what}: {problem}; another process may hold it: choose another with --{what}-listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// For what.
        what: &'static str,
        /// What is wrong.
        problem: io::Error,
    },
    /// There is no TLS to be had.
    #[error("TLS of the {what} listener: {problem}")]
    Tls {
        /// Which.
        what: &'static str,
        /// What is wrong.
        problem: Problem,
    },
    /// A listener ended by itself.
    #[error("the {what} listener ended: {problem}")]
    Ended {
        /// Which.
        what: &'static str,
        /// Why.
        problem: String,
    },
    /// A job found that this replica cannot go on.
    #[error("this replica cannot go on; the last error in the log says why")]
    GaveUp,
    /// The process cannot be told to stop.
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
}

/// Serves until SIGTERM or SIGINT. What was `loaded` is read again by `load_again`: at SIGHUP, and when its files change.
///
/// # Errors
/// `ServeError`, in words for the operator.
pub async fn serve(loaded: Loaded, load_again: Loading) -> Result<(), ServeError> {
    let settings = &loaded.settings;
    let telemetry = telemetry::start(&telemetry_settings(settings)?)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if settings.insecure {
        let (plain_text, everybody_may_call) = (settings.tls.is_none(), settings.callers.is_empty());
        tracing::warn!(plain_text, everybody_may_call, "INSECURE: keep this port from the network");
    }
    let served = run(loaded, load_again, &telemetry).await;
    telemetry.shutdown().await;
    served
}

async fn run(loaded: Loaded, load_again: Loading, telemetry: &Telemetry) -> Result<(), ServeError> {
    let settings = &loaded.settings;
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let hangup = signal(SignalKind::hangup()).map_err(ServeError::Signals)?;
    let grpc_listener = listen(settings.listen.grpc, "grpc")?;
    let http_listener = listen(settings.listen.http, "http")?;
    let admin_listener = listen(settings.listen.admin, "admin")?;
    let clock = Clock::system();
    let tls = tls(settings, &clock)?;
    let [grpc_tls, http_tls, admin_tls] = tls.clone();
    let app = App::start(settings, clock.clone()).await?;

    // It leaves first, while it serves, and stops then.
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let leave = stop.child_token();
    let drain = Duration::from(settings.limits.request_deadline).saturating_add(DRAIN_BEYOND_DEADLINE);
    let most = Most { connections: settings.limits.connections, from_one_address: settings.limits.connections_per_address };
    let readiness = Readiness::new();
    let addresses = [&grpc_listener, &http_listener, &admin_listener].map(|listener| listener.local_addr());
    let grpc_settings = grpc::Settings {
        request_deadline: settings.limits.request_deadline.into(),
        max_in_flight: settings.limits.concurrency,
        max_concurrent_streams: settings.limits.max_streams,
        drain,
        admission: Admission::of_listener(settings.listen.grpc, settings.insecure, false),
        sampler: telemetry.sampler(),
        watching: grpc::Watching { most: settings.limits.watchers, ..grpc::Watching::default() },
        headers: headers(settings),
        reflection: settings.listen.reflection.unwrap_or(settings.listen.grpc.ip().to_canonical().is_loopback()),
    };
    for (listener, tls) in ["grpc", "http", "admin"].into_iter().zip(&tls) {
        if let Some(tls) = tls {
            tracker.spawn(tls.clone().follow(listener, stop.clone()));
        }
    }
    let grpc_listener = Listener::new(grpc_listener, grpc_tls).with(most);
    let grpc = grpc::serve(grpc_listener, app.service.clone(), grpc_settings, readiness.follow(), stop.clone());
    let http_settings = http::Settings {
        request_deadline: settings.limits.request_deadline.into(),
        max_in_flight: settings.limits.concurrency,
        // Over HTTP it is the clients who prove who they are, each request for itself.
        admission: Admission::of_listener(settings.listen.http, settings.insecure, settings.tls.is_some()),
        sampler: telemetry.sampler(),
        pages: http::Pages {
            authorization: settings.login.authorization_endpoint.clone(),
            end_session: settings.login.end_session_endpoint.clone(),
        },
        certificates: certificates(settings),
        gateways: Admission::of_listener(settings.listen.http, settings.insecure, false),
        headers: headers(settings),
    };
    let http_listener = Listener::new(http_listener, http_tls).with(most);
    let http = http::serve(http_listener, http::router(app.service.clone(), http_settings), drain, stop.clone());
    let mut listeners = JoinSet::new();
    listeners.spawn(ended("gRPC", stop.clone(), grpc));
    listeners.spawn(ended("HTTP", stop.clone(), http));
    // The admin port answers to the end, so that the platform sees that readiness is off.
    let last = CancellationToken::new();
    let told = readiness.clone();
    let saying: Saying = Arc::new(move || told.said());
    let rates = Arc::new(Rates::default());
    let page = page(settings, &app, &saying, &rates, clock, telemetry)?;
    let admin_listener = Listener::new(admin_listener, admin_tls).with(most);
    let admin = http::serve(admin_listener, admin::router(saying, &page), drain, last.clone());
    let mut to_the_end = JoinSet::new();
    to_the_end.spawn(ended("admin", stop.clone(), admin));

    jobs::start(&app, &tracker, &stop);
    let remarks = Arc::new(Remarks::default());
    tracker.spawn(readiness.watch(&app, remarks.clone(), tls.clone(), leave.clone()));
    let reload = Reload::new(load_again, loaded.clone(), app.service.clone(), tls, telemetry.level(), remarks);
    tracker.spawn(reload.follow(hangup, stop.clone()));
    tracker.spawn(sampling(rates, stop.clone()));
    tracker.close();
    if let [Ok(grpc), Ok(http), Ok(admin)] = addresses {
        tracing::info!(%grpc, %http, %admin, store = settings.store.shown(), "listening");
        // Standard output is the audit stream's where that goes there.
        if settings.audit.file.as_deref() != Some(Path::new("-")) {
            say(&format!(
                "jeton serves gRPC on {grpc}, HTTP on {http}, admin on {admin}, on {}\n\n{}",
                settings.store.shown(),
                first_steps(settings, grpc)
            ));
        }
    }
    let told_to = tokio::select! {
        _ = terminate.recv() => {
            leave.cancel();
            if let Some(delay) = settings.limits.shutdown_delay {
                linger(delay.into(), &mut interrupt, &stop).await;
            }
            true
        }
        _ = interrupt.recv() => true,
        () = stop.cancelled() => false,
    };
    tracing::info!("stopping: calls at work may end");
    stop.cancel();
    let served = all_ended(listeners).await;
    tracker.wait().await;
    app.audit.close().await;
    // Whoever heals does not wait for this replica then. Where the store is gone, it finds out by itself.
    if let Ok(Err(problem)) = tokio::time::timeout(LEAVE, app.alive.leave()).await {
        tracing::info!(%problem, "the store was not told that this replica ends");
    }
    last.cancel();
    let answered = all_ended(to_the_end).await;
    tracing::info!("stopped");
    served.and(answered).and(if told_to { Ok(()) } else { Err(ServeError::GaveUp) })
}

/// Serves on, not ready, until nobody is sent here any more; told again, or ended by itself, it waits no longer.
async fn linger(delay: Duration, interrupt: &mut Signal, stop: &CancellationToken) {
    tracing::info!(seconds = delay.as_secs_f64(), "leaving: not ready, and serving on");
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        _ = interrupt.recv() => {}
        () = stop.cancelled() => {}
    }
}

/// The tour where its client is configured, plain text is spoken and nobody has to say who calls; else it would be refused.
fn first_steps(settings: &Settings, grpc: SocketAddr) -> String {
    if settings.tls.is_none()
        && settings.callers.is_empty()
        && settings.clients.iter().any(|client| client.id.as_str() == cli::TOUR_CLIENT)
    {
        return cli::tour(grpc);
    }
    let nothing = "No client is configured, so nothing can be issued: `jeton config example` shows how.\n\n";
    format!("{}{}\n", if settings.clients.is_empty() { nothing } else { "" }, cli::TOUR_END)
}

/// The operator's page. Off loopback only callers open it, whatever `insecure` says: who opens it can end everything.
fn page(
    settings: &Settings,
    app: &App,
    saying: &Saying,
    rates: &Arc<Rates>,
    clock: Clock,
    telemetry: &Telemetry,
) -> Result<Page, StartError> {
    let at = settings.listen.admin;
    let settings = page::Settings {
        admission: Admission::of_listener(at, false, false),
        is_local: at.ip().to_canonical().is_loopback(),
        request_deadline: settings.limits.request_deadline.into(),
        sampler: telemetry.sampler(),
        store: settings.store.shown(),
    };
    Ok(Page::new(app.service.clone(), saying.clone(), rates.clone(), clock, settings)?)
}

/// Looks at the counters again and again until `stop`.
async fn sampling(rates: Arc<Rates>, stop: CancellationToken) {
    rates.sample(Instant::now());
    while stop.run_until_cancelled(tokio::time::sleep(rates::EVERY)).await.is_some() {
        rates.sample(Instant::now());
    }
}

/// Waits for all; the first failure of any is the answer.
async fn all_ended(mut listeners: JoinSet<Result<(), ServeError>>) -> Result<(), ServeError> {
    let mut served = Ok(());
    while let Some(ended) = listeners.join_next().await {
        // A listener that panicked ended too; the panic hook has told it.
        served = served.and(ended.unwrap_or(Ok(())));
    }
    served
}

fn listen(address: SocketAddr, what: &'static str) -> Result<TcpListener, ServeError> {
    listener::listen(address).map_err(|problem| ServeError::Listen { address, what, problem })
}

/// TLS of the three, where there is some: gRPC, HTTP, admin.
///
/// # Errors
/// A file cannot be read, or they do not go together.
pub fn tls(settings: &Settings, clock: &Clock) -> Result<[Option<Tls>; 3], ServeError> {
    let Some([grpc, http, admin]) = tls_files(settings) else { return Ok([None, None, None]) };
    let load = |what, speaks, files| {
        Tls::load(files, speaks, clock.clone()).map(Some).map_err(|problem| ServeError::Tls { what, problem })
    };
    Ok([load("gRPC", Speaks::Http2, grpc)?, load("HTTP", Speaks::Http, http)?, load("admin", Speaks::Http, admin)?])
}

/// The files of TLS of the three, and whom each asks, where there is TLS.
pub(super) fn tls_files(settings: &Settings) -> Option<[Files; 3]> {
    let told = settings.tls.as_ref()?;
    let all = !settings.callers.any_by_bearer();
    let callers = told.callers.clone().map_or(Asks::Nobody, |authorities| Asks::Callers { authorities, all });
    // Probes and scrapers show none.
    let operators = told.callers.clone().map_or(Asks::Nobody, |authorities| Asks::Callers { authorities, all: false });
    let clients = if told.client_certificates { Asks::Clients(told.clients.clone()) } else { Asks::Nobody };
    let files = |asks| Files { certificate: told.certificate.clone(), key: told.key.clone(), asks };
    Some([files(callers), files(clients), files(operators)])
}

/// How certificates of clients come over HTTP.
#[must_use]
pub fn certificates(settings: &Settings) -> http::Certificates {
    let Some(told) = settings.tls.as_ref().filter(|tls| tls.client_certificates) else { return http::Certificates::default() };
    let standard = http::Certificates::default();
    http::Certificates {
        asked: true,
        vouched: told.clients.is_some(),
        proxies: told.proxies.clone(),
        // The configuration has refused what is no name.
        header: told.proxy_header.to_ascii_lowercase().parse().unwrap_or(standard.header),
    }
}

/// How services behind gateways are told who asks.
#[must_use]
pub fn headers(settings: &Settings) -> Headers {
    let (told, standard) = (&settings.gateway, Headers::default());
    // The configuration has refused what is no name.
    let name = |text: &str, standard| text.to_ascii_lowercase().parse().unwrap_or(standard);
    Headers {
        subject: name(&told.subject_header, standard.subject),
        client: name(&told.client_header, standard.client),
        scope: name(&told.scope_header, standard.scope),
        session: name(&told.session_header, standard.session),
        acr: name(&told.acr_header, standard.acr),
        auth_time: name(&told.auth_time_header, standard.auth_time),
    }
}

/// A listener that ends by itself ends the process.
async fn ended<E: Display>(
    what: &'static str,
    stop: CancellationToken,
    serving: impl Future<Output = Result<(), E>>,
) -> Result<(), ServeError> {
    let served = serving.await.map_err(|problem| ServeError::Ended { what, problem: problem.to_string() });
    stop.cancel();
    served
}

/// To standard output; that nobody reads it is no reason not to serve.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    if let Err(problem) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        tracing::debug!(%problem, "standard output is closed");
    }
}

fn telemetry_settings(settings: &Settings) -> Result<telemetry::Settings, StartError> {
    let told = &settings.telemetry;
    Ok(telemetry::Settings {
        collector: collector(settings, told.otlp_endpoint.as_deref())?,
        ratio: told.trace_sample_ratio,
        metrics_every: told.metrics_interval.map(Into::into),
        format: match told.log_format {
            LogFormat::Text => telemetry::Format::Text,
            LogFormat::Json => telemetry::Format::Json,
        },
        level: told.log_level.word().into(),
    })
}

//! W3C context in, spans out over OTLP: seen by a collector that this test is.

use crate::port;
use crate::server::{open, start};
use crate::store_contract::eventually;
use crate::tour::{self, Home};
use crate::world::{alice, mobile};
use http::HeaderMap;
use jeton::api::IntrospectRequest;
use jeton::api::token_service_client::TokenServiceClient;
use jeton::telemetry::{self, Format, Sampler, Settings, trace};
use jeton::transport::grpc;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// What arrived.
#[derive(Clone, Default)]
pub struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    records: Arc<Mutex<Vec<LogRecord>>>,
    /// What is said to the next batches of records, which it has all the same; then they are taken.
    answers: Arc<Mutex<VecDeque<Result<ExportLogsServiceResponse, Status>>>>,
}

impl Collector {
    /// Listens, for as long as the tasks are held: itself, and its address.
    pub async fn start() -> (Self, String, JoinSet<()>) {
        let address = "127.0.0.1:0".parse().unwrap();
        let (collector, address, tasks) = Self::start_at(address, Server::builder()).await;
        (collector, format!("http://{address}"), tasks)
    }

    /// The same there, by a server that speaks so.
    pub async fn start_at(address: SocketAddr, mut server: Server) -> (Self, SocketAddr, JoinSet<()>) {
        let collector = Self::default();
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let receiver =
            server.add_service(TraceServiceServer::new(collector.clone())).add_service(LogsServiceServer::new(collector.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(async { receiver.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap() });
        (collector, address, tasks)
    }

    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    pub fn records(&self) -> Vec<LogRecord> {
        self.records.lock().unwrap().clone()
    }

    pub fn answers(&self, next: impl IntoIterator<Item = Result<ExportLogsServiceResponse, Status>>) {
        self.answers.lock().unwrap().extend(next);
    }
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(&self, request: Request<ExportLogsServiceRequest>) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let scopes = request.into_inner().resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
        self.records.lock().unwrap().extend(scopes.flat_map(|scope| scope.log_records));
        self.answers.lock().unwrap().pop_front().unwrap_or_else(|| Ok(ExportLogsServiceResponse::default())).map(Response::new)
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(&self, request: Request<ExportTraceServiceRequest>) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.spans.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Calls once with this `traceparent`, does some work under a request's span, and answers what arrived at the collector.
async fn exported(traceparent: &str, ratio: f64) -> Vec<Span> {
    let (collector, endpoint, _collecting) = Collector::start().await;
    let settings = Settings { collector: at(&endpoint), ratio, ..Settings::default() };
    let (subscriber, telemetry) = telemetry::build(&settings, std::io::sink).unwrap();
    let installed = tracing::subscriber::set_default(subscriber);
    let sampler = telemetry.sampler();
    let server = start(grpc::Settings { sampler, ..open() }).await;

    let mut request = Request::new(IntrospectRequest { token: "t".into(), ..Default::default() });
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    // Whether the token is active does not matter here.
    drop(TokenServiceClient::new(server.channel().await).introspect(request).await);

    let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), traceparent.parse().unwrap())]);
    let work = async {
        telemetry::child("decide")
            .in_scope(|| assert!(telemetry::child("never.none").is_none() == (ratio == 0.0 && traceparent.ends_with("00"))));
        async { tokio::task::yield_now().await }.instrument(telemetry::child("store.swap")).await;
    };
    work.instrument(trace::request(sampler, "jeton.v1.TokenService/Refresh", &headers)).await;

    let over_http = trace::request(sampler, "http_token", &headers);
    trace::answered(&over_http, http::StatusCode::BAD_REQUEST);
    drop(over_http);

    telemetry.shutdown().await;
    drop(installed);
    collector.spans()
}

/// A collector there, without TLS.
pub fn at(endpoint: &str) -> Option<telemetry::Collector> {
    Some(telemetry::Collector::at(endpoint, None).unwrap())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_sampled_call_continues_its_callers_trace() {
    let spans = exported(&format!("00-{TRACE}-{PARENT}-01"), 0.0).await;
    let named =
        |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span `{name}` in {spans:?}"));
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
    for request in ["Introspect", "Refresh"] {
        assert_eq!(hex(&named(&format!("jeton.v1.TokenService/{request}")).parent_span_id), PARENT);
        assert_eq!(named(&format!("jeton.v1.TokenService/{request}")).kind, 2, "a server's span");
    }
    for child in ["decide", "store.swap"] {
        assert_eq!(named(child).parent_span_id, named("jeton.v1.TokenService/Refresh").span_id);
    }
    assert_eq!(named("never.none").parent_span_id, named("decide").span_id);
    let attributes = |name: &str| named(name).attributes.iter().map(|attribute| attribute.key.clone()).collect::<Vec<_>>();
    let of_grpc = attributes("jeton.v1.TokenService/Introspect");
    for told in ["rpc.system", "rpc.method", "rpc.grpc.status_code"] {
        assert!(of_grpc.iter().any(|key| key == told), "{of_grpc:?}");
    }
    let of_http = attributes("http_token");
    assert!(of_http.iter().any(|key| key == "http.response.status_code"), "{of_http:?}");
    assert!(!of_http.iter().any(|key| key.starts_with("rpc.")), "{of_http:?}");
}

#[tokio::test]
async fn an_unsampled_call_exports_nothing() {
    let spans = exported(&format!("00-{TRACE}-{PARENT}-00"), 0.0).await;
    assert_eq!(spans, []);
}

#[tokio::test]
async fn without_an_endpoint_there_is_no_span_whatever_the_caller_says() {
    let (subscriber, telemetry) = telemetry::build(&Settings { ratio: 1.0, ..Settings::default() }, std::io::sink).unwrap();
    let _installed = tracing::subscriber::set_default(subscriber);
    assert_eq!(telemetry.sampler(), Sampler::OFF);
    let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), format!("00-{TRACE}-{PARENT}-01").parse().unwrap())]);
    assert!(trace::request(telemetry.sampler(), "s/m", &headers).is_none());
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_log_line_of_a_sampled_call_has_its_trace() {
    for format in [Format::Text, Format::Json] {
        let lines = Lines::default();
        let kept = lines.clone();
        // Nobody listens there; the spans are lost, the lines are not. The level leaves spans out, which must not cost the trace.
        let settings = Settings { collector: at("http://127.0.0.1:9"), format, level: "warn".into(), ..Settings::default() };
        let (subscriber, telemetry) = telemetry::build(&settings, move || kept.clone()).unwrap();
        let installed = tracing::subscriber::set_default(subscriber);
        let headers =
            HeaderMap::from_iter([("traceparent".parse().unwrap(), format!("00-{TRACE}-{PARENT}-01").parse().unwrap())]);
        trace::request(telemetry.sampler(), "s/m", &headers).in_scope(|| {
            telemetry::child("decide").in_scope(|| tracing::warn!("seen"));
        });
        tracing::warn!("outside");
        drop(installed);
        telemetry.shutdown().await;
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let line = |word: &str| text.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("no {word} in {text}"));
        assert!(line("seen").contains(TRACE), "{text}");
        assert!(!line("outside").contains("trace_id"), "{text}");
    }
}

/// A collector that is not ours, and says what it was sent. It is killed when this is dropped.
struct Rotel {
    endpoint: String,
    process: Child,
    home: tempfile::TempDir,
}

/// A span in its words.
#[derive(Debug)]
struct Told {
    trace: String,
    id: String,
    parent: String,
    name: String,
    /// Trace and span.
    link: Option<(String, String)>,
}

impl Rotel {
    async fn start() -> Self {
        let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/interop/rotel/rotel/rotel-agent");
        assert!(agent.exists(), "{} is not there: run `./.ci/interop`, as `make test` does", agent.display());
        let home = tempfile::tempdir().unwrap();
        let (grpc, http) = (port::free().to_string(), port::free().to_string());
        let process = Command::new(agent)
            .args(["start", "--otlp-grpc-endpoint", &grpc, "--otlp-http-endpoint", &http, "--exporter", "blackhole"])
            .args([
                "--debug-log",
                "traces",
                "--debug-log",
                "metrics",
                "--debug-log",
                "logs",
                "--debug-log-verbosity",
                "detailed",
                "--pid-file",
            ])
            .arg(home.path().join("pid"))
            .stdout(std::fs::File::create(home.path().join("out")).unwrap())
            .stderr(std::fs::File::create(home.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let rotel = Self { endpoint: format!("http://{grpc}"), process, home };
        eventually("it listens", async || tokio::net::TcpStream::connect(&grpc).await.is_ok()).await;
        rotel
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.home.path().join("out")).unwrap()
    }

    fn spans(&self) -> Vec<Told> {
        let text = self.text();
        let told = |span: &str| {
            let values = |label: &str| -> Vec<String> {
                let lines = span.lines().filter_map(|line| line.trim_start_matches([' ', '-', '>']).split_once(':'));
                lines.filter(|(name, _)| name.trim() == label).map(|(_, value)| value.trim().to_owned()).collect()
            };
            let (traces, ids) = (values("Trace ID"), values("ID"));
            Told {
                trace: traces[0].clone(),
                id: ids[0].clone(),
                parent: values("Parent ID")[0].clone(),
                name: values("Name")[0].clone(),
                link: traces.get(1).cloned().zip(ids.get(1).cloned()),
            }
        };
        text.split("\nSpan #").skip(1).filter(|span| span.contains("Status code")).map(told).collect()
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[tokio::test]
async fn at_a_real_receiver_a_refresh_is_one_trace_from_its_caller_to_the_store() {
    let rotel = Rotel::start().await;
    let home = Home::new();
    let variables = [
        ("JETON_TELEMETRY_OTLP_ENDPOINT", rotel.endpoint.as_str()),
        ("JETON_TELEMETRY_METRICS_INTERVAL", "1h"),
        ("JETON_TELEMETRY_TRACE_SAMPLE_RATIO", "0"),
        ("JETON_AUDIT_OTLP_ENDPOINT", rotel.endpoint.as_str()),
    ];
    let mut server = tour::Server::start(&home, "memory:", &variables);
    let mut tokens = TokenServiceClient::connect(server.address.clone()).await.unwrap();
    let mut issue = Request::new(alice("mobile-app", "openid offline_access orders:read"));
    issue.metadata_mut().insert("traceparent", format!("00-{}-{PARENT}-01", TRACE.replace('0', "1")).parse().unwrap());
    let issued = tokens.issue(issue).await.unwrap().into_inner();
    let mut refresh = Request::new(mobile(&issued.refresh_token));
    refresh.metadata_mut().insert("traceparent", format!("00-{TRACE}-{PARENT}-01").parse().unwrap());
    tokens.refresh(refresh).await.unwrap();
    // What was recorded is sent at the end, which waits for who is connected.
    drop(tokens);
    assert!(Command::new("kill").args(["-TERM", &server.process.id().to_string()]).status().unwrap().success());
    eventually("it ended", async || server.process.try_wait().unwrap().is_some()).await;

    let of_the_refresh = || rotel.spans().into_iter().filter(|span| span.trace == TRACE).collect::<Vec<_>>();
    let is_request = |span: &&Told| span.name == "jeton.v1.TokenService/Refresh";
    eventually("the request arrived", async || of_the_refresh().iter().any(|span| is_request(&span))).await;
    eventually("the metrics arrived", async || rotel.text().contains("jeton.requests")).await;
    eventually("the audit stream arrived", async || rotel.text().contains(r#""action":"end""#)).await;
    let spans = of_the_refresh();
    let request = spans.iter().find(is_request).unwrap();
    assert_eq!(request.parent, PARENT);
    let known: HashSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    for span in spans.iter().filter(|span| !is_request(span)) {
        assert!(known.contains(span.parent.as_str()), "{} hangs in the air: {spans:?}", span.name);
    }
    let names: HashSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    for name in ["decide", "log.follow", "store.follow", "store.get", "store.swap", "sign.access_token", "sign.id_token"] {
        assert!(names.contains(name), "no `{name}` in {names:?}");
    }
    // The generations of one grant are joined, and its id is told to nobody.
    let issued_by = rotel.spans().into_iter().find(|span| span.name == "jeton.v1.TokenService/Issue").unwrap();
    let [first, second] = [&issued_by, request].map(|span| span.link.clone().unwrap_or_else(|| panic!("no link: {span:?}")));
    assert_eq!(first.0, second.0);
    assert_eq!((first.1.as_str(), second.1.as_str()), ("0000000000000002", "0000000000000003"));
    assert_ne!(first.0, hex(&jeton_domain::id::GrantId::parse(&issued.grant_id).unwrap().0));
}

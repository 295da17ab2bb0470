//! Replicas of the service as processes of their own, so that they can be killed, and so that their clocks can be off.

use super::clock_offset;
use super::node::{PATIENCE, until};
use jeton::api::token_service_client::TokenServiceClient;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::{Channel, Endpoint};

/// How old the default introspection's knowledge may be.
pub const MAX_STALENESS: Duration = Duration::from_secs(1);
/// How long an access token lives: longer than any history.
pub const LIFETIME: Duration = Duration::from_secs(1_800);
pub const ORDERS: &str = "https://orders.internal";
pub const PAYMENTS: &str = "https://payments.internal";
/// Public clients, whose refresh tokens rotate.
pub const APPS: [&str; 3] = ["app-1", "app-2", "app-3"];
/// A confidential client, which may show an older refresh token at any time.
pub const WEB: &str = "web";
pub const WEB_SECRET: &str = "jcs_dev_web_app_never_use_in_production";

const CONFIGURATION: &str = r#"
issuer = "http://127.0.0.1:8080"

[tokens]
overlap = "1s"
max_staleness = "1s"
store_timeout = "1s"

[limits]
request_deadline = "3s"

[signing]
publish_ahead = "10s"
jwks_max_age = "1s"

[resources."https://orders.internal"]
scopes = ["orders:read"]
access_token_lifetime = "30m"

[resources."https://payments.internal"]
scopes = ["payments:read"]
format = "opaque"
access_token_lifetime = "30m"

[clients.web]
kind = "confidential"
secret_hashes = ["sha256:4fbd2060fdbb046eb3014bcb57fcd5fb6f1f71ff332c00e9413858839a85ec23"]
"#;
const CLIENT: &str = r#"grant_types = ["authorization_code", "refresh_token"]
scopes = ["offline_access", "orders:read", "payments:read"]
resources = ["https://orders.internal", "https://payments.internal"]
"#;

/// What a fleet is started with.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The store of each replica; there are as many as this.
    pub stores: Vec<String>,
    /// Variables of the environment that outrank the configuration.
    pub variables: Vec<(String, String)>,
    /// For how many seconds the clock of each is ahead; none where none is.
    pub clocks: Vec<i32>,
}

/// The replicas, killed with this value.
pub struct Fleet {
    settings: Settings,
    directory: tempfile::TempDir,
    processes: Vec<Option<Process>>,
    pub doors: Arc<Doors>,
}

/// Where each replica is reached, also while they come and go.
pub struct Doors(RwLock<Vec<Channel>>);

impl Doors {
    /// How many replicas there are.
    pub fn len(&self) -> usize {
        self.0.read().unwrap().len()
    }

    /// A client of one replica.
    pub fn client(&self, at: usize) -> TokenServiceClient<Channel> {
        let channel = self.0.read().unwrap()[at].clone();
        TokenServiceClient::new(channel).max_decoding_message_size(8 << 20)
    }
}

struct Process {
    child: Child,
    admin: SocketAddr,
}

impl Fleet {
    /// Starts them, ready.
    pub async fn start(settings: Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clients: String = APPS.iter().map(|app| format!("\n[clients.{app}]\nkind = \"public\"\n{CLIENT}")).collect();
        std::fs::write(directory.path().join("jeton.toml"), format!("{CONFIGURATION}{CLIENT}{clients}")).unwrap();
        let nobody = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let doors = Arc::new(Doors(RwLock::new(vec![nobody; settings.stores.len()])));
        let processes = settings.stores.iter().map(|_| None).collect();
        let mut fleet = Self { settings, directory, processes, doors };
        for at in 0..fleet.len() {
            fleet.restart(at).await;
        }
        fleet.ready().await;
        fleet
    }

    pub fn len(&self) -> usize {
        self.settings.stores.len()
    }

    /// Kills one as a failing machine would.
    pub async fn kill(&mut self, at: usize) {
        if let Some(mut process) = self.processes[at].take() {
            process.child.kill().await.unwrap();
        }
    }

    /// Kills all at the same moment: nobody is left who has seen anything.
    pub async fn kill_all(&mut self) {
        for process in self.processes.iter_mut().flatten() {
            process.child.start_kill().unwrap();
        }
        for at in 0..self.len() {
            self.kill(at).await;
        }
    }

    /// Gives one another store to start with the next time.
    pub fn move_to(&mut self, at: usize, store: String) {
        self.settings.stores[at] = store;
    }

    /// Starts one anew, and again for as long as it cannot start, as who supervises it would.
    pub async fn restart(&mut self, at: usize) {
        self.kill(at).await;
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(process) = self.launch(at).await {
                self.processes[at] = Some(process);
                return;
            }
            assert!(Instant::now() < end, "replica {at} does not start in {PATIENCE:?}:\n{}", self.log(at));
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Starts all that do not run, also those that ended by themselves. Says how many those were.
    pub async fn revive(&mut self) -> usize {
        let mut ended = 0;
        for at in 0..self.len() {
            let gone = match &mut self.processes[at] {
                Some(process) => process.child.try_wait().unwrap().is_some(),
                None => true,
            };
            if gone {
                ended += usize::from(self.processes[at].take().is_some());
                self.restart(at).await;
            }
        }
        ended
    }

    /// Waits until all say that they are ready.
    pub async fn ready(&self) {
        for at in 0..self.len() {
            let mut said = String::new();
            until(&format!("replica {at} is ready"), async || {
                said = self.readiness(at).await;
                if !said.starts_with("HTTP/1.1 200") {
                    sleep(Duration::from_millis(50)).await;
                }
                said.starts_with("HTTP/1.1 200")
            })
            .await;
        }
    }

    /// What one says of its readiness.
    pub async fn readiness(&self, at: usize) -> String {
        self.administration(at, "/readyz").await
    }

    /// What one counted.
    pub async fn metrics(&self, at: usize) -> String {
        self.administration(at, "/metrics").await
    }

    async fn administration(&self, at: usize, path: &str) -> String {
        let Some(process) = &self.processes[at] else { return "it does not run".into() };
        let ask = async {
            let mut stream = TcpStream::connect(process.admin).await?;
            stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n").as_bytes()).await?;
            let mut said = String::new();
            stream.read_to_string(&mut said).await?;
            std::io::Result::Ok(said)
        };
        timeout(Duration::from_secs(2), ask).await.map_or_else(|_| "no answer".into(), |said| said.unwrap_or_default())
    }

    /// What one logged, in all its lives.
    pub fn log(&self, at: usize) -> String {
        std::fs::read_to_string(self.directory.path().join(format!("{at}.log"))).unwrap_or_default()
    }

    /// The warnings and errors of all, in short.
    pub fn complaints(&self) -> String {
        let mut told = String::new();
        for at in 0..self.len() {
            let log = self.log(at);
            let lines: Vec<&str> = log.lines().filter(|line| line.contains("ERROR") || line.contains("WARN")).collect();
            for line in lines.iter().take(12) {
                told.push_str(&format!("[{at}] {line}\n"));
            }
        }
        told
    }

    async fn launch(&self, at: usize) -> Option<Process> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.directory.path().join(format!("{at}.log")));
        let mut command = Command::new(env!("CARGO_BIN_EXE_jeton"));
        command
            .args(["serve", "--config", "jeton.toml", "--store", &self.settings.stores[at]])
            .args(["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .current_dir(self.directory.path())
            .env("JETON_ROOT_KEY", "11".repeat(32))
            .envs(self.settings.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.unwrap())
            .kill_on_drop(true);
        if let Some(clock) = self.settings.clocks.get(at).filter(|clock| **clock != 0) {
            command.envs(clock_offset::variables(*clock));
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = timeout(PATIENCE, lines.next_line()).await.ok()?.unwrap()?;
        // Later lines are a few, and fit into the pipe.
        let address = |before: &str| said.split(before).nth(1)?.split(',').next()?.parse::<SocketAddr>().ok();
        let (grpc, admin) = (address("gRPC on ")?, address("admin on ")?);
        let endpoint = Endpoint::from_shared(format!("http://{grpc}")).unwrap().connect_timeout(Duration::from_secs(1));
        self.doors.0.write().unwrap()[at] = endpoint.connect_lazy();
        Some(Process { child, admin })
    }
}

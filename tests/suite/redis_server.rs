//! Real `redis-server`s for tests: each on a port and in a directory of its own. No tests here.

use crate::port;
use redis::{Cmd, FromRedisValue, Value};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long a server may take to start or to answer; a machine that is busy with other tests included.
const PATIENCE: Duration = Duration::from_secs(20);

/// In options, the port that `RedisServer::tls_port` tells.
const TLS_PORT: &str = "TLS_PORT";

/// A server that is killed when this is dropped.
pub struct RedisServer {
    port: u16,
    tls_port: u16,
    kind: Kind,
    directory: tempfile::TempDir,
    process: Option<Child>,
    paused: AtomicBool,
}

enum Kind {
    /// Holds data; with these options.
    Data(Vec<String>),
    /// Watches a primary; with this configuration, which it rewrites.
    Sentinel(String),
}

impl RedisServer {
    /// Starts one that keeps nothing on disk.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with options such as `["--maxmemory-policy", "allkeys-lru"]`; `["--appendonly", "yes"]` keeps what it holds.
    pub async fn start_with(options: &[&str]) -> Self {
        Self::launched(Kind::Data(options.iter().map(|&option| option.to_owned()).collect())).await
    }

    /// Starts a Sentinel with these lines in its configuration.
    pub async fn start_sentinel(configuration: String) -> Self {
        Self::launched(Kind::Sentinel(configuration)).await
    }

    async fn launched(kind: Kind) -> Self {
        let mut server = Self {
            port: 0,
            tls_port: 0,
            kind,
            directory: tempfile::tempdir().unwrap(),
            process: None,
            paused: AtomicBool::new(false),
        };
        loop {
            (server.port, server.tls_port) = (port::free().port(), port::free().port());
            server.configure();
            if server.launch().await {
                return server;
            }
        }
    }

    /// Its address, for `Redis::connect`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its address with the credentials of a user.
    pub fn url_of(&self, user: &str, password: &str) -> String {
        format!("redis://{user}:{password}@127.0.0.1:{}", self.port)
    }

    /// Makes a user with these rules and no others.
    pub async fn add_user(&self, user: &str, password: &str, rules: &str) {
        let password = format!(">{password}");
        let words: Vec<&str> = ["ACL", "SETUSER", user, "reset", "on", &password].into_iter().chain(rules.split(' ')).collect();
        self.ask::<()>(&words).await;
    }

    /// What it denied to anybody since it started, in Redis' own words.
    pub async fn denied(&self) -> Vec<Value> {
        self.ask(&["ACL", "LOG"]).await
    }

    /// Where it speaks TLS, if its options say `--tls-port` and `TLS_PORT` (a Sentinel's: `tls-port TLS_PORT`).
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// Its port on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it was neither stopped nor paused.
    pub fn runs(&self) -> bool {
        self.process.is_some() && !self.paused.load(Ordering::Relaxed)
    }

    /// Kills it as a failing machine would.
    pub async fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().await.unwrap();
        self.paused.store(false, Ordering::Relaxed);
    }

    /// Starts it anew on the same port; without persistence it comes back empty.
    pub async fn restart(&mut self) {
        if self.process.is_some() {
            self.stop().await;
        }
        assert!(self.launch().await, "port {} was taken in between", self.port);
    }

    /// Leaves its connections open and answers nothing.
    pub async fn pause(&self) {
        self.signal("-STOP").await;
        self.paused.store(true, Ordering::Relaxed);
    }

    /// Goes on where it was paused.
    pub async fn resume(&self) {
        self.signal("-CONT").await;
        self.paused.store(false, Ordering::Relaxed);
    }

    /// One command over a connection of its own, and what it answered.
    pub async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).await.unwrap()
    }

    /// The same where an error is an answer too.
    pub async fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut cmd = Cmd::new();
        for word in words {
            cmd.arg(word);
        }
        cmd.query_async(&mut connection).await
    }

    /// The value of a field of `INFO`.
    pub async fn info(&self, section: &str, field: &str) -> String {
        let info: String = self.ask(&["INFO", section]).await;
        field_of(&info, field).unwrap_or_else(|| panic!("INFO {section} has no {field}")).to_owned()
    }

    /// How many replicas say that they have all that this server wrote.
    ///
    /// Not by `WAIT`, which speaks of what its own connection wrote.
    pub async fn caught_up(&self) -> usize {
        let info: String = self.ask(&["INFO", "replication"]).await;
        let all = format!(",offset={},", field_of(&info, "master_repl_offset").expect("the offset"));
        info.lines().filter(|line| line.starts_with("slave") && line.contains(&all)).count()
    }

    /// Bytes that all keys matching the pattern take, by `MEMORY USAGE`: without the share of the key space's own tables.
    pub async fn memory_usage(&self, pattern: &str) -> u64 {
        let keys: Vec<String> = self.ask(&["KEYS", pattern]).await;
        let mut sum = 0;
        for key in keys {
            sum += self.ask::<Option<u64>>(&["MEMORY", "USAGE", &key, "SAMPLES", "0"]).await.unwrap_or(0);
        }
        sum
    }

    async fn signal(&self, signal: &str) {
        let pid = self.process.as_ref().and_then(Child::id).expect("it runs").to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
    }

    fn configuration(&self) -> PathBuf {
        self.directory.path().join("sentinel.conf")
    }

    fn configure(&self) {
        if let Kind::Sentinel(lines) = &self.kind {
            let directory = self.directory.path().display();
            let lines = lines.replace(TLS_PORT, &self.tls_port.to_string());
            let whole = format!("port {}\nbind 127.0.0.1\ndir {directory}\n{lines}\n", self.port);
            std::fs::write(self.configuration(), whole).unwrap();
        }
    }

    /// False where another process took the port first.
    async fn launch(&mut self) -> bool {
        let port = self.port;
        let mut command = Command::new("redis-server");
        match &self.kind {
            Kind::Sentinel(_) => command.arg(self.configuration()).arg("--sentinel"),
            Kind::Data(options) => command
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no", "--dir"])
                .arg(self.directory.path())
                .args(options.iter().map(|option| option.replace(TLS_PORT, &self.tls_port.to_string()))),
        };
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().expect(
                "these tests need redis-server 7.0 or later: `apt-get install redis-server`, or the package of your system",
            );
        let pid = process.id().map(|id| id.to_string());
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if process.try_wait().unwrap().is_some() {
                return false;
            }
            let asked = timeout(Duration::from_secs(1), self.try_ask::<Value>(&["INFO"])).await;
            let answer = asked.ok().and_then(Result::ok).and_then(|info| redis::from_redis_value::<String>(info).ok());
            match answer {
                // It answers before it has read what it kept.
                Some(info) if field_of(&info, "loading") == Some("1") => sleep(Duration::from_millis(5)).await,
                Some(info) if field_of(&info, "process_id").map(str::to_owned) == pid => {
                    self.process = Some(process);
                    return true;
                }
                Some(_) => return false,
                None => sleep(Duration::from_millis(5)).await,
            }
        }
        panic!("redis-server did not answer on port {port} in {PATIENCE:?}");
    }
}

fn field_of<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

//! One redis-server process, as an operator would run it: users with passwords, a configuration file, a clock that may be off.

use super::clock_offset;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, RedisResult, Value};
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long a server may take to do what it was told, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long one answer of a server may take.
const ANSWER: Duration = Duration::from_secs(2);
/// What still goes onto a disk that is full: the end of it cuts a write in two.
const A_LITTLE: u64 = 3_000;

/// The users of every node, each with its name for a password. The tests' own may do everything; replicas log in as `link`,
/// sentinels as `sentinel`, the service as `jeton`. A user that is switched off cuts exactly the links of those who use it.
const USERS: [(&str, &str); 3] = [
    ("admin", "~* &* +@all"),
    ("link", "+psync +replconf +ping"),
    (
        "sentinel",
        "&* -@all +multi +slaveof +ping +exec +subscribe +config|rewrite +role +publish +info +client|setname +client|kill +script|kill",
    ),
];

/// A server that is killed when this is dropped.
pub struct Node {
    pub port: u16,
    directory: tempfile::TempDir,
    /// For how many seconds its clock is ahead.
    pub clock_ahead: i32,
    sentinel: bool,
    process: Option<Child>,
}

impl Node {
    /// Starts a server that holds data, with these lines of configuration besides.
    pub async fn start(configuration: &str) -> Self {
        Self::start_off(configuration, 0).await
    }

    /// The same with its clock so many seconds ahead; only where `clock_offset` can.
    pub async fn start_off(configuration: &str, clock_ahead: i32) -> Self {
        let mut text = format!(
            "{configuration}\nsave \"\"\nrepl-diskless-sync-delay 0\nrepl-ping-replica-period 1\nmasteruser link\nmasterauth link\nuser default off\n"
        );
        let jeton = ("jeton", jeton::store::redis::PERMISSIONS);
        for (name, rules) in USERS.iter().copied().chain([jeton]) {
            // A restart that comes back empty needs the functions again.
            let load = if name == "jeton" { "+function|load" } else { "" };
            writeln!(text, "user {name} on >{name} {rules} {load}").unwrap();
        }
        Self::start_as(&text, clock_ahead, false).await
    }

    /// Starts a sentinel.
    pub async fn start_sentinel(configuration: &str) -> Self {
        Self::start_as(configuration, 0, true).await
    }

    async fn start_as(configuration: &str, clock_ahead: i32, sentinel: bool) -> Self {
        let mut node = Self { port: 0, directory: tempfile::tempdir().unwrap(), clock_ahead, sentinel, process: None };
        loop {
            node.port = free_port();
            let bus = free_port();
            let bus = if configuration.contains("cluster-enabled") { format!("cluster-port {bus}\n") } else { String::new() };
            let directory = node.directory.path().display();
            let own = format!("port {}\nbind 127.0.0.1\ndir {directory}\nlogfile log\nenable-debug-command local\n", node.port);
            let own = if sentinel { own.replace("enable-debug-command local\n", "") } else { own };
            std::fs::write(node.file(), format!("{own}{bus}{configuration}")).unwrap();
            if node.launch().await {
                return node;
            }
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("redis.conf")
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Saves what it holds now, and answers it.
    pub async fn saved(&self) -> Vec<u8> {
        self.ask::<()>(&["SAVE"]).await;
        std::fs::read(self.dump()).unwrap()
    }

    /// What it begins with at its next start, instead of nothing.
    pub fn restore(&self, saved: &[u8]) {
        std::fs::write(self.dump(), saved).unwrap();
    }

    fn dump(&self) -> PathBuf {
        self.directory.path().join("dump.rdb")
    }

    /// Its address as the service is given it.
    pub fn url(&self) -> String {
        format!("redis://jeton:jeton@127.0.0.1:{}", self.port)
    }

    /// Kills it as a failing machine would.
    pub async fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        if process.try_wait().unwrap().is_none() {
            process.kill().await.unwrap();
        }
    }

    /// Whether it was started and not killed.
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Starts it anew; without persistence it comes back empty.
    pub async fn restart(&mut self) {
        if self.runs() {
            self.kill().await;
        }
        assert!(self.launch().await, "port {} was taken in between:\n{}", self.port, self.log());
    }

    /// Leaves its connections open and answers nothing.
    pub async fn pause(&self) {
        self.signal("-STOP").await;
    }

    /// Goes on where it was paused.
    pub async fn resume(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let pid = self.process.as_ref().and_then(Child::id).expect("it runs").to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
    }

    /// From now on its files cannot grow by more than a little, as on a disk that is full.
    pub async fn fill_disk(&self) {
        let files = std::fs::read_dir(self.directory.path().join("appendonlydir")).into_iter().flatten();
        let largest = files.map(|file| file.unwrap().metadata().unwrap().len()).max().unwrap_or(0);
        self.limit_files(&(largest + A_LITTLE).to_string()).await;
    }

    /// Undoes `fill_disk`; so does a restart.
    pub async fn make_room(&self) {
        self.limit_files("unlimited").await;
    }

    async fn limit_files(&self, bytes: &str) {
        let pid = self.process.as_ref().and_then(Child::id).expect("it runs").to_string();
        let limit = format!("--fsize={bytes}:");
        let mut command = Command::new("prlimit");
        assert!(command.args(["--pid", &pid, &limit]).status().await.expect("`prlimit`, of Linux").success());
    }

    /// Whether it ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.try_wait().unwrap().is_some())
    }

    /// Cuts what comes from other nodes and from sentinels, and nothing else: the service goes on talking to it.
    pub async fn isolate(&self) {
        for user in ["link", "sentinel"] {
            self.ask::<()>(&["ACL", "SETUSER", user, "off"]).await;
            self.ask::<i64>(&["CLIENT", "KILL", "USER", user]).await;
        }
    }

    /// Undoes `isolate`.
    pub async fn rejoin(&self) {
        for user in ["link", "sentinel"] {
            self.ask::<()>(&["ACL", "SETUSER", user, "on"]).await;
        }
        // Who tried to log in meanwhile holds a connection as nobody, and would wait a while before trying another.
        self.ask::<i64>(&["CLIENT", "KILL", "USER", "default"]).await;
    }

    /// One command over a connection of its own, as the tests' own user, and what it answered.
    pub async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// The same where an error is an answer too.
    pub async fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let mut connection = self.try_connection().await?;
        let mut cmd = Cmd::new();
        for word in words {
            cmd.arg(word);
        }
        cmd.query_async(&mut connection).await
    }

    /// A connection as the tests' own user.
    pub async fn connection(&self) -> MultiplexedConnection {
        self.try_connection().await.unwrap()
    }

    async fn try_connection(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(ANSWER)).set_response_timeout(Some(ANSWER));
        let login = if self.sentinel { "" } else { "admin:admin@" };
        let client = redis::Client::open(format!("redis://{login}127.0.0.1:{}", self.port))?;
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// A field of `INFO`; none where it is not there, or the server does not answer.
    pub async fn info(&self, field: &str) -> Option<String> {
        let info: String = self.try_ask(&["INFO", "everything"]).await.ok()?;
        field_of(&info, field).map(str::to_owned)
    }

    /// False where another process took the port first.
    async fn launch(&mut self) -> bool {
        // A limit on its files is to be an error for it, as a full disk is, and not its end.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec redis-server \"$@\"", "sh"]).arg(self.file());
        if self.sentinel {
            command.arg("--sentinel");
        }
        if self.clock_ahead != 0 {
            command.envs(clock_offset::variables(self.clock_ahead));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let mut process = command.spawn().expect("these tests need redis-server 7.0 or later");
        let pid = process.id().map(|id| id.to_string());
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if process.try_wait().unwrap().is_some() {
                return false;
            }
            let asked = timeout(ANSWER, self.try_ask::<Value>(&["INFO", "server"])).await;
            let answer = asked.ok().and_then(Result::ok).and_then(|info| redis::from_redis_value::<String>(info).ok());
            match answer {
                Some(info) if field_of(&info, "process_id").map(str::to_owned) == pid => {
                    self.process = Some(process);
                    return true;
                }
                Some(_) => return false,
                None => sleep(Duration::from_millis(5)).await,
            }
        }
        panic!("redis-server did not answer on port {} in {PATIENCE:?}:\n{}", self.port, self.log());
    }
}

/// Waits until `holds`; `what` is told if it never does.
pub async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    assert!(within(PATIENCE, holds).await, "in {PATIENCE:?} it never came about: {what}");
}

/// Waits until `holds`, at most so long; says whether it does.
pub async fn within(patience: Duration, mut holds: impl AsyncFnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    while !holds().await {
        if Instant::now() > end {
            return false;
        }
        sleep(Duration::from_millis(20)).await;
    }
    true
}

fn field_of<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// Below the ports that the system hands out by itself: who connects to a server that is down must not be given its port.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 1_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

//! TLS of the listeners: the real binary, certificates of an authority that only these tests know, exchanged while it runs.

use crate::authority::{Authority, Identity};
use crate::store_contract::eventually;
use crate::tour::Home;
use jeton::config::written_hash;
use jeton_domain::caller::hash_of_key;
use rcgen::{CertificateParams, DnType, date_time_ymd};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;

/// `jeton serve` that speaks TLS; killed when dropped.
pub struct Served {
    home: Home,
    process: Child,
    grpc: SocketAddr,
    http: SocketAddr,
    pub admin: SocketAddr,
    _stdout: BufReader<ChildStdout>,
}

const KEYS: &str = "/.well-known/jwks.json";

/// Who signs what.
struct Parties {
    servers: Authority,
    callers: Authority,
}

impl Parties {
    fn new() -> Self {
        Self { servers: Authority::new(), callers: Authority::new() }
    }

    fn serve(&self) -> Served {
        let home = Home::new();
        self.servers.server().write(home.path(), "server");
        fs::write(home.path().join("servers.pem"), self.servers.pem()).unwrap();
        fs::write(home.path().join("callers.pem"), self.callers.pem()).unwrap();
        let own = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/jeton.toml")).unwrap();
        let everything = "any_certificate = true\nrpcs = '*'\nclients = '*'\nresources = '*'\n";
        fs::write(home.path().join("callers.toml"), format!("{own}\n[callers.everybody]\n{everything}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_jeton"));
        command
            .args(["serve", "--store", "memory:", "--grpc-listen", "127.0.0.1:0"])
            .args(["--http-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--config", "callers.toml"])
            .envs([("JETON_TLS_CERTIFICATE_FILE", "server.pem"), ("JETON_TLS_KEY_FILE", "server.key")])
            .env("JETON_TLS_CALLER_CA_FILE", "callers.pem");
        Served::start(home, &mut command)
    }
}

fn log(home: &Home) -> String {
    fs::read_to_string(home.path().join("log")).unwrap()
}

impl Served {
    /// Runs it in that directory, which has `servers.pem`, until it listens.
    pub fn start(home: Home, command: &mut Command) -> Self {
        let mut process = command
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(home.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = |after: &str| {
            let rest = line.split_once(after).unwrap_or_else(|| panic!("{line}{}", log(&home))).1;
            rest.split(',').next().unwrap().parse().unwrap()
        };
        let (grpc, http, admin) = (address("gRPC on "), address("HTTP on "), address("admin on "));
        Self { home, process, grpc, http, admin, _stdout: stdout }
    }

    /// A command of a caller that shows a certificate, or none.
    fn called(&self, shows: Option<&Identity>, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jeton"));
        command.args(arguments).args(["--server", &format!("https://{}", self.grpc), "--ca-file"]);
        command.arg(self.home.path().join("servers.pem")).stdin(Stdio::null());
        if let Some(shown) = shows {
            let (certificate, key) = shown.write(self.home.path(), "caller");
            command.arg("--caller-certificate-file").arg(certificate).arg("--caller-key-file").arg(key);
        }
        command
    }

    #[track_caller]
    pub fn is_let_in(&self, shows: Option<&Identity>) -> bool {
        let Output { status, stdout, stderr } = self.called(shows, &["keys", "list", "--output", "json"]).output().unwrap();
        let said = String::from_utf8_lossy(&stderr).into_owned() + &String::from_utf8_lossy(&stdout);
        match status.code() {
            Some(0) => true,
            Some(3) => false,
            other => panic!("{other:?}: {said}\n{}", log(&self.home)),
        }
    }

    /// Waits until something is logged.
    fn logged(&self, words: &str) {
        let begun = Instant::now();
        while !log(&self.home).contains(words) {
            assert!(begun.elapsed() < Duration::from_secs(60), "never logged: {words}\n{}", log(&self.home));
            std::thread::yield_now();
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn billing(params: &mut CertificateParams) {
    params.distinguished_name.push(DnType::CommonName, "billing");
}

async fn shaken(to: SocketAddr, config: &Arc<ClientConfig>, protocols: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::clone(config);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(to).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect("127.0.0.1".try_into().unwrap(), stream).await
}

/// The key set, asked for from another address of this machine.
async fn answered_elsewhere(to: SocketAddr, config: &Arc<ClientConfig>) -> std::io::Result<String> {
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.2:0".parse().unwrap())?;
    let mut config = ClientConfig::clone(config);
    config.alpn_protocols = vec![b"http/1.1".into()];
    let connector = TlsConnector::from(Arc::new(config));
    asked(connector.connect("127.0.0.1".try_into().unwrap(), socket.connect(to).await?).await?, KEYS).await
}

/// What is answered to a request over HTTP/1.1.
async fn answered(to: SocketAddr, config: &Arc<ClientConfig>, path: &str) -> std::io::Result<String> {
    asked(shaken(to, config, &["http/1.1"]).await?, path).await
}

async fn asked(mut stream: TlsStream<TcpStream>, path: &str) -> std::io::Result<String> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The certificate that a server shows.
async fn shown(to: SocketAddr, config: &Arc<ClientConfig>) -> Vec<u8> {
    let stream = shaken(to, config, &["http/1.1"]).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn who_speaks_no_tls_stops_nobody_who_does() {
    let parties = Parties::new();
    let served = parties.serve();
    let garbage: Vec<u8> = (0..4_096_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let beginnings =
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0x16, 3, 1, 0xff, 0xff], &garbage, b""];
    let mut held = Vec::new();
    for bytes in beginnings.into_iter().cycle().take(500) {
        let mut stream = std::net::TcpStream::connect(served.grpc).unwrap();
        // It may be ended before all was sent.
        let _ended = stream.write_all(bytes);
        held.push(stream);
    }
    assert!(served.is_let_in(Some(&parties.callers.client(billing))));
}

#[test]
fn only_a_caller_of_the_right_authority_is_let_in() {
    let parties = Parties::new();
    let served = parties.serve();
    assert!(served.is_let_in(Some(&parties.callers.client(billing))));
    assert!(!served.is_let_in(None), "none is shown");
    assert!(!served.is_let_in(Some(&parties.servers.client(billing))), "of another authority");
    assert!(!served.is_let_in(Some(&Identity::self_signed(billing))), "of nobody");
    let expired = parties.callers.client(|params| {
        billing(params);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    assert!(!served.is_let_in(Some(&expired)), "expired");
    let not_yet = parties.callers.client(|params| params.not_before = date_time_ymd(3000, 1, 1));
    assert!(!served.is_let_in(Some(&not_yet)), "not valid yet");
    let for_servers = parties.callers.client(|params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    assert!(!served.is_let_in(Some(&for_servers)), "for servers only");
}

#[tokio::test]
async fn a_server_is_believed_by_its_authority_only_and_plain_text_is_not_answered() {
    let parties = Parties::new();
    let served = parties.serve();
    let trusting = parties.servers.trusted(None);
    let discovery = "/.well-known/openid-configuration";
    assert!(answered(served.http, &trusting, discovery).await.unwrap().starts_with("HTTP/1.1 200"));
    assert!(answered(served.admin, &trusting, "/livez").await.unwrap().ends_with("alive\n"));
    assert!(answered(served.http, &parties.callers.trusted(None), discovery).await.is_err(), "of another authority");
    for listener in [served.grpc, served.http, served.admin] {
        let mut plain = TcpStream::connect(listener).await.unwrap();
        plain.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _reset = plain.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
}

#[tokio::test]
async fn the_operators_page_asks_for_a_certificate_and_probes_do_not() {
    let parties = Parties::new();
    let served = parties.serve();
    let none = parties.servers.trusted(None);
    assert!(answered(served.admin, &none, "/livez").await.unwrap().starts_with("HTTP/1.1 200"));
    assert!(answered(served.admin, &none, "/").await.unwrap().starts_with("HTTP/1.1 401"));
    let operator = parties.servers.trusted(Some(&parties.callers.client(billing)));
    let page = answered(served.admin, &operator, "/").await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<dd>everybody</dd>"), "{page}");
    let stranger = parties.servers.trusted(Some(&parties.servers.client(billing)));
    assert!(answered(served.admin, &stranger, "/").await.is_err(), "of another authority");
}

#[tokio::test]
async fn what_is_spoken_is_agreed_on() {
    let parties = Parties::new();
    let served = parties.serve();
    let config = parties.servers.trusted(Some(&parties.callers.client(billing)));
    let agreed = async |to, protocols: &[&str]| {
        let stream = shaken(to, &config, protocols).await.ok()?;
        stream.get_ref().1.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned())
    };
    assert_eq!(agreed(served.http, &["h2", "http/1.1"]).await.as_deref(), Some("h2"));
    assert_eq!(agreed(served.http, &["http/1.1"]).await.as_deref(), Some("http/1.1"));
    assert_eq!(agreed(served.grpc, &["h2"]).await.as_deref(), Some("h2"));
    assert_eq!(agreed(served.grpc, &["http/1.1"]).await, None, "gRPC is HTTP/2");
}

#[tokio::test]
async fn certificates_are_exchanged_while_a_stream_runs() {
    let parties = Parties::new();
    let served = parties.serve();
    let caller = parties.callers.client(billing);
    let mut watching = served
        .called(Some(&caller), &["watch", "--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap());
    let mut told = async |client: &str| {
        let Output { status, stderr, .. } =
            served.called(Some(&caller), &["revoke", "--client", client, "--reason", "incident"]).output().unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        let mut line = String::new();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the stream ended");
        line
    };
    told("mobile-app").await;
    let trusting = parties.servers.trusted(None);
    let before = shown(served.http, &trusting).await;

    // A certificate without its key is of no use, and changes nothing.
    let next = parties.servers.server();
    fs::write(served.file("server.pem"), next.pem()).unwrap();
    served.logged("is not the key of the certificate");
    assert_eq!(shown(served.http, &trusting).await, before);
    let admin = async |path: &str| answered(served.admin, &trusting, path).await.unwrap_or_default();
    let is_sound = |sound: &'static str| {
        async move |said: String| {
            ["grpc", "http", "admin"]
                .iter()
                .all(|listener| said.contains(&format!("jeton_tls_sound{{listener=\"{listener}\"}} {sound}\n")))
        }
    };
    eventually("that is told", async || {
        let ready = admin("/readyz").await;
        ready.contains("\nready\nTLS: `server.key` is not the key of the certificate: what was read before stays in use\n")
    })
    .await;
    eventually("that is measured", async || is_sound("0")(admin("/metrics").await).await).await;
    fs::write(served.file("server.key"), next.key()).unwrap();
    served.logged("the files were read again");
    eventually("it is well again", async || is_sound("1")(admin("/metrics").await).await).await;
    eventually("nothing is told", async || admin("/readyz").await.ends_with("\nready\n")).await;
    let begun = Instant::now();
    for listener in [served.http, served.admin] {
        while shown(listener, &trusting).await != next.der() {
            assert!(begun.elapsed() < Duration::from_secs(60), "never shown\n{}", log(&served.home));
        }
    }
    // Callers of other authorities from now on: who is connected stays, who comes is judged anew.
    let others = Authority::new();
    let other = others.client(billing);
    assert!(!served.is_let_in(Some(&other)));
    fs::write(served.file("callers.pem"), parties.callers.pem() + &others.pem()).unwrap();
    while !served.is_let_in(Some(&other)) {
        assert!(begun.elapsed() < Duration::from_secs(120), "never let in\n{}", log(&served.home));
    }
    told("web-app").await;
    fs::write(served.file("callers.pem"), "no certificate").unwrap();
    served.logged("holds no certificate as PEM");
    assert!(served.is_let_in(Some(&other)), "what was read before stays in use");
    told("billing-job").await;
    // One that ends is told in time, and one that has ended is told.
    let ended = parties.servers.client(|params| params.not_after = date_time_ymd(2020, 1, 1));
    ended.write(served.file("").as_path(), "server");
    served.logged("has expired: exchange it, with its key");
    watching.kill().unwrap();
    watching.wait().unwrap();
}

#[test]
fn who_shows_a_key_is_connected_while_some_are_known_by_one() {
    let parties = Parties::new();
    let served = parties.serve();
    let key = served.file("key");
    fs::write(&key, "jck_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG").unwrap();
    let is_let_in_by_key = || {
        let asked = ["keys", "list", "--caller-token-file", key.to_str().unwrap()];
        served.called(None, &asked).output().unwrap().status.code() == Some(0)
    };
    assert!(!is_let_in_by_key(), "a certificate is demanded of everybody");
    let before = fs::read_to_string(served.file("callers.toml")).unwrap();
    let hash = written_hash(&hash_of_key(&fs::read_to_string(&key).unwrap()));
    let known = format!("{before}[callers.by_key]\nkey_hashes = ['{hash}']\nrpcs = '*'\n");
    fs::write(served.file("callers.toml"), known).unwrap();
    served.logged("setting=[callers.by_key] change=is new");
    assert!(is_let_in_by_key());
    assert!(served.is_let_in(Some(&parties.callers.client(billing))), "and by a certificate as before");
    // Files that are of no use are a mistake like any other: the caller stays.
    fs::write(served.file("callers.pem"), "no certificate").unwrap();
    fs::write(served.file("callers.toml"), before).unwrap();
    served.logged("[tls] `callers.pem` holds no certificate as PEM");
    assert!(is_let_in_by_key());
    fs::write(served.file("callers.pem"), parties.callers.pem()).unwrap();
    served.logged("setting=[callers.by_key] change=is gone");
    assert!(!is_let_in_by_key());
}

#[test]
fn files_that_do_not_go_together_are_told_at_the_start() {
    let home = Home::new();
    let (ours, other) = (Identity::self_signed(billing), Identity::self_signed(billing));
    let (certificate, key) = ours.write(home.path(), "ours");
    let (_, other_key) = other.write(home.path(), "other");
    fs::write(home.path().join("empty"), "").unwrap();
    let empty = home.path().join("empty");
    let cases: [(&Path, &Path, &str); 5] = [
        (&certificate, &other_key, "is not the key of the certificate"),
        (&empty, &key, "holds no certificate as PEM"),
        (&certificate, &empty, "holds no private key as PEM"),
        (&key, &key, "holds no certificate as PEM"),
        (Path::new("/no/such/file"), &key, "`/no/such/file` cannot be read"),
    ];
    for (certificate, key, expected) in cases {
        for (command, stderr) in [("serve", true), ("doctor", false)] {
            let output = Command::new(env!("CARGO_BIN_EXE_jeton"))
                .args([command, "--store", "memory:", "--config"])
                .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("jeton.toml"))
                .args(["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
                .env("JETON_TLS_CERTIFICATE_FILE", certificate)
                .env("JETON_TLS_KEY_FILE", key)
                .current_dir(home.path())
                .output()
                .unwrap();
            let said = String::from_utf8(if stderr { output.stderr } else { output.stdout }).unwrap();
            assert_eq!(output.status.code(), Some(1), "{command}: {said}");
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains(expected), "{command}, {expected}: {said}");
        }
    }
}

#[tokio::test]
async fn who_connects_and_says_nothing_keeps_nobody_out() {
    let parties = Parties::new();
    let served = parties.serve();
    let mut silent = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(served.http).await.unwrap();
        stream.write_all(b"\x16\x03\x01").await.unwrap();
        silent.push(stream);
    }
    let trusting = parties.servers.trusted(None);
    let over = "jeton_limited_total{limit=\"handshakes_per_address\"} 72";
    eventually("an eighth of the handshakes is taken, and no more", async || {
        answered(served.admin, &trusting, "/metrics").await.unwrap().contains(over)
    })
    .await;
    assert!(answered_elsewhere(served.http, &trusting).await.unwrap().starts_with("HTTP/1.1 200"));
    for mut stream in silent {
        let mut rest = Vec::new();
        let _cut_off = stream.read_to_end(&mut rest).await;
    }
    assert!(answered(served.http, &trusting, KEYS).await.unwrap().starts_with("HTTP/1.1 200"));
}

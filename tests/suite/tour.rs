//! The tour of the README and the one that `serve` prints, run as they stand by a shell against the real binary.

use crate::redis_server::RedisServer;
use jeton::cli::{TOUR_END, tour};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::{env, fs};

const README: &str = include_str!("../../README.md");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn the_readme_shows_the_tour_that_serve_prints() {
    let printed = tour("127.0.0.1:50051".parse().unwrap());
    let shown = fenced(README, "sh").concat();
    for command in indented(&printed).lines() {
        assert!(shown.lines().any(|line| line == command), "the README lacks, or words differently:\n{command}");
    }
}

#[test]
fn the_tours_work_as_printed_on_the_embedded_store() {
    let home = Home::new();
    let server = Server::start(&home, &format!("embedded:{}", home.path().join("data").display()), &[]);
    server.tours_work(&home);
}

#[tokio::test]
async fn the_tours_work_as_printed_on_redis() {
    let home = Home::new();
    let redis = RedisServer::start().await;
    let root_key = Command::new(env!("CARGO_BIN_EXE_jeton")).args(["keys", "generate-root"]).output().unwrap();
    let root_key = String::from_utf8(root_key.stdout).unwrap();
    let server = Server::start(&home, &redis.url(), &[("JETON_ROOT_KEY", root_key.trim_end())]);
    server.tours_work(&home);
}

#[test]
fn fences_and_indents_are_found() {
    let page = "a\n```sh\nb\n```\n```console\nc\n```\n    d\n```sh\ne\nf\n```\n";
    assert_eq!(fenced(page, "sh"), ["b\n", "e\nf\n"]);
    assert_eq!(indented("x\n    y \\\n        z\n\n    w\n"), "y \\\n    z\nw\n");
}

/// A ring of one root key, for those who share a store.
pub const ROOT_KEY: &str = "1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100";

/// The contents of the fenced blocks of a language.
pub fn fenced(page: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    let opening = format!("```{language}");
    for line in page.lines() {
        if line == opening {
            block = Some(String::new());
        } else if line == "```" {
            blocks.extend(block.take());
        } else if let Some(block) = &mut block {
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks
}

/// The lines that stand four spaces in, without those.
fn indented(text: &str) -> String {
    text.lines().filter_map(|line| line.strip_prefix("    ")).map(|line| format!("{line}\n")).collect()
}

/// A directory of its own, with `bin/jeton`.
pub struct Home(tempfile::TempDir);

impl Home {
    pub fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir(home.path().join("bin")).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_jeton"), home.path().join("bin/jeton")).unwrap();
        home
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs `script` as someone would who pastes it; the first command that fails ends it.
    pub fn paste(&self, script: &str, variables: &[(&str, &str)]) -> Output {
        let mut paths = vec![self.path().join("bin")];
        paths.extend(env::split_paths(&path_variable()));
        Command::new("sh")
            .args(["-eu", "-c", script])
            .current_dir(self.path())
            .env_remove("JETON_SERVER")
            .env_remove("JETON_CLIENT_SECRET")
            .env("PATH", env::join_paths(paths).unwrap())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "a shell needs the path of its commands")]
fn path_variable() -> std::ffi::OsString {
    env::var_os("PATH").unwrap()
}

/// `jeton serve` with the repository's configuration on ports of its own; killed when dropped.
pub struct Server {
    pub process: Child,
    printed: String,
    /// As a client wants it: `http://127.0.0.1:PORT`.
    pub address: String,
    /// Where OAuth is spoken.
    pub http: SocketAddr,
    /// Where probes and metrics are.
    pub admin: SocketAddr,
    // Kept open, so that the server can go on printing.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    pub fn start(home: &Home, store: &str, variables: &[(&str, &str)]) -> Self {
        Self::start_at("127.0.0.1:0", home, store, variables)
    }

    /// The same where gRPC is to listen at an address.
    pub fn start_at(grpc: &str, home: &Home, store: &str, variables: &[(&str, &str)]) -> Self {
        Self::start_as(&Path::new(ROOT).join("jeton.toml"), grpc, "127.0.0.1:0", home, store, variables)
    }

    /// The same with a configuration of one's own, and HTTP at an address.
    pub fn start_as(config: &Path, grpc: &str, http: &str, home: &Home, store: &str, variables: &[(&str, &str)]) -> Self {
        let log = home.path().join("log");
        let mut process = Command::new(env!("CARGO_BIN_EXE_jeton"))
            .arg("serve")
            .arg("--config")
            .arg(config)
            .args(["--store", store, "--grpc-listen", grpc, "--http-listen", http, "--admin-listen", "127.0.0.1:0"])
            .current_dir(home.path())
            .env_remove("JETON_ROOT_KEY")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut printed = String::new();
        while !printed.lines().any(|line| line == TOUR_END) {
            if stdout.read_line(&mut printed).unwrap() == 0 {
                let status = process.wait().unwrap();
                panic!(
                    "serve ended ({status}) before it had printed the tour:\n{printed}\n{}",
                    fs::read_to_string(&log).unwrap()
                );
            }
        }
        let listens = |what: &str| -> SocketAddr {
            let rest = printed.split_once(&format!(" {what} on ")).unwrap_or_else(|| panic!("{what} is not in {printed}")).1;
            rest.split([',', '\n']).next().unwrap().parse().unwrap()
        };
        let (address, http, admin) = (format!("http://{}", listens("gRPC")), listens("HTTP"), listens("admin"));
        Self { process, address, http, admin, printed, _stdout: stdout }
    }

    /// Whether the tour was printed.
    pub fn tours(&self) -> bool {
        self.printed.contains("export JETON_SERVER=")
    }

    pub fn tours_work(&self, home: &Home) {
        let printed = indented(&self.printed);
        let export = format!("export JETON_SERVER={}", self.address);
        assert!(printed.lines().any(|line| line == export), "the bound port is named: {printed}");
        self.tour_works(&home.paste(&printed, &[]), &printed);

        let blocks = fenced(README, "sh");
        let [first, rest @ ..] = blocks.as_slice() else { panic!("the README has no sh blocks") };
        let tour = fenced_of_the_tour(first, rest);
        self.tour_works(&home.paste(&tour, &[("JETON_SERVER", &self.address)]), &tour);
        // Every other command of the README, in the order in which a reader meets it, in one shell.
        let whole = blocks.concat();
        let output = home.paste(&whole, &[("JETON_SERVER", &self.address)]);
        assert!(output.status.success(), "the README's commands failed:\n{whole}\n{}", told(&output));
    }

    fn tour_works(&self, output: &Output, script: &str) {
        let told = told(output);
        assert!(output.status.success(), "{script}\n{told}");
        let shown = String::from_utf8(output.stdout.clone()).unwrap();
        let [alive, dead] = shown.lines().filter_map(|line| line.strip_prefix("active ")).map(str::trim).collect::<Vec<_>>()[..]
        else {
            panic!("two introspections were expected\n{told}")
        };
        assert_eq!((alive, dead), ("true", "false"), "{told}");
        for expected in
            ["alice", "mobile-app", "https://orders.internal", "offline_access", "exit code 4: the token is not active"]
        {
            assert!(shown.contains(expected), "`{expected}` is missing\n{told}");
        }
        assert!(output.stderr.is_empty(), "{told}");
    }
}

/// The tour's blocks are the first ones, to the one that ends with the introspection of the dead token.
fn fenced_of_the_tour(first: &str, rest: &[String]) -> String {
    let mut tour = first.to_owned();
    for block in rest {
        if tour.contains("exit code $?") {
            break;
        }
        tour.push_str(block);
    }
    tour
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\nstdout:\n{}\nstderr:\n{}", output.status, text(&output.stdout), text(&output.stderr))
}

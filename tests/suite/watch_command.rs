//! `jeton watch` and `jeton heal`, the real binary against the real server.

use crate::tour::{Home, Server};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

fn jeton(server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jeton"));
    command.args(arguments).env("JETON_SERVER", &server.address).env_remove("JETON_CLIENT_SECRET").stdin(Stdio::null());
    command
}

fn done(server: &Server, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = jeton(server, arguments).output().unwrap();
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn revoke(server: &Server, what: &str, name: &str) -> String {
    done(server, &["revoke", what, name, "--reason", "incident", "--field", "revision"]).trim().to_owned()
}

/// A command that goes on, read line by line; killed when dropped.
struct Watching {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Watching {
    fn start(server: &Server, arguments: &[&str]) -> Self {
        let mut command = jeton(server, &["watch"]);
        let mut process = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "it ended: {}", self.remarks());
        line.trim_end().to_owned()
    }

    fn json(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    fn remarks(&mut self) -> String {
        let mut text = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Interrupts it; the exit code.
    fn interrupt(&mut self) -> Option<i32> {
        assert!(Command::new("kill").args(["-INT", &self.process.id().to_string()]).status().unwrap().success());
        self.process.wait().unwrap().code()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn every_revocation_is_a_line_and_a_stream_that_ended_goes_on() {
    let home = Home::new();
    let store = format!("embedded:{}", home.path().join("data").display());
    let server = Server::start(&home, &store, &[]);
    let first = revoke(&server, "--session", "s-1");
    let mut watching = Watching::start(&server, &["--output", "json"]);
    let known = watching.json();
    assert_eq!((&known["kind"], &known["floor"]), (&"TARGET_KIND_SESSION".into(), &u64::MAX.into()));
    assert_eq!((&known["reason"], &known["revision"]), (&"REVOCATION_REASON_INCIDENT".into(), &first.as_str().into()));

    let second = revoke(&server, "--subject", "bob");
    let change = watching.json();
    let micros: u64 = second.split('-').next().unwrap().parse().unwrap();
    assert_eq!((&change["kind"], &change["floor"]), (&"TARGET_KIND_SUBJECT".into(), &micros.into()));
    assert_eq!(change["revision"], second);
    assert!(change["at"].as_i64().unwrap() > 1_700_000_000 && change["target"].as_str().unwrap().len() == 24);

    let address = server.address.trim_start_matches("http://").to_owned();
    drop(server);
    let server = Server::start_at(&address, &home, &store, &[]);
    let third = revoke(&server, "--session", "s-3");
    assert_eq!(watching.json()["revision"], third, "what was printed is not printed again");
    assert_eq!(watching.interrupt(), Some(0));
    assert!(watching.remarks().contains("interrupted, and goes on by itself"));

    let mut after = Watching::start(&server, &["--after", &second]);
    assert!(after.line().starts_with("AT "));
    let row = after.line();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert!(row.contains(" session ") && row.contains(" all ") && cells.last() == Some(&third.as_str()), "{row}");
    assert_eq!(after.interrupt(), Some(0));
    let mut field = Watching::start(&server, &["--after", &second, "--field", "revision"]);
    assert_eq!(field.line(), third);
}

#[test]
fn what_would_fail_again_ends_it_with_what_to_do() {
    let home = Home::new();
    let server = Server::start(&home, "memory:", &[]);
    let refused = jeton(&server, &["watch", "--after", "yesterday"]).output().unwrap();
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(text.contains("start.after_revision") && text.contains("`jeton watch --help`"), "{text}");
}

#[test]
fn heal_shows_the_log_and_accepts_it() {
    let home = Home::new();
    let server = Server::start(&home, "memory:", &[]);
    let revision = revoke(&server, "--session", "s-1");
    let log: Value = serde_json::from_str(&done(&server, &["heal", "--output", "json"])).unwrap();
    assert_eq!((&log["state"], &log["revision"]), (&"LOG_STATE_HEALED".into(), &revision.as_str().into()));
    assert_eq!((&log["entries"], &log["whole"]), (&1.into(), &true.into()));
    assert_eq!((log.get("problems"), &log["durability"]), (None, &"DURABILITY_APPLIED".into()));
    assert!(log["bytes"].as_i64().unwrap() > 0 && log["age_ms"].as_i64().unwrap() >= 0);

    let accepted = jeton(&server, &["heal", "--accept", "--field", "revision"]).output().unwrap();
    let (told, marker) = (String::from_utf8(accepted.stderr).unwrap(), String::from_utf8(accepted.stdout).unwrap());
    assert!(accepted.status.success(), "{told}");
    assert!(told.contains("accepting a log that is healed"), "{told}");
    let micros = |revision: &str| revision.split('-').next().unwrap().parse::<u64>().unwrap();
    assert!(micros(&marker) > micros(&revision) + 500_000_000, "the new era begins well ahead: {marker}");
}

//! The audit stream of the real binary: who did what is in it, no token and no name is, and whatever is done to it is found.

mod collector;

use crate::faulty::Faulty;
use crate::rfc::raw::Asking;
use crate::store_contract::eventually;
use crate::tour::{Home, Server};
use crate::world::{SCOPES, World, alice, mobile};
use jeton::api::revoke_request::Target;
use jeton::api::{CreateResourceRequest, Resource, RevokeRequest};
use jeton::audit::Action;
use jeton::store::Store;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const ROOT_KEY: (&str, &str) = ("JETON_ROOT_KEY", "2f2e2d2c2b2a292827262524232221201f1e1d1c1b1a19181716151413121110");
const DOCUMENTATION: &str = include_str!("../../docs/audit.md");

fn jeton(home: &Home) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jeton"));
    command.current_dir(home.path()).env("JETON_STORE", "memory:").env(ROOT_KEY.0, ROOT_KEY.1).env_remove("JETON_CONFIG");
    command
}

/// What a command prints, which must succeed.
fn asked(home: &Home, server: &Server, arguments: &[&str]) -> String {
    let output = jeton(home).args(arguments).args(["--server", &server.address]).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn verified(home: &Home, files: &[&Path]) -> Output {
    jeton(home).args(["audit", "verify"]).args(files).output().unwrap()
}

/// The exit code, and what is said.
fn judged(home: &Home, files: &[&Path]) -> (Option<i32>, String) {
    let Output { status, stdout, .. } = verified(home, files);
    (status.code(), String::from_utf8(stdout).unwrap())
}

async fn has_lines(file: &Path, lines: usize) {
    let what = format!("{} has {lines} lines", file.display());
    eventually(&what, async || fs::read_to_string(file).is_ok_and(|text| text.lines().count() >= lines)).await;
}

fn found(home: &Home, file: &Path, what: &[&str]) -> Vec<Value> {
    let output = jeton(home).args(["audit", "find"]).args(what).arg(file).output().unwrap();
    assert_eq!(output.status.success(), !output.stdout.is_empty(), "{output:?}");
    read(&String::from_utf8(output.stdout).unwrap())
}

fn read(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn actions(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn who_did_what_is_in_the_stream_and_whatever_is_done_to_it_is_found() {
    let home = Home::new();
    let file = home.path().join("audit.log");
    let variables = [ROOT_KEY, ("JETON_AUDIT_FILE", file.to_str().unwrap())];
    let mut server = Server::start(&home, "memory:", &variables);
    let issue =
        ["issue", "--client", "mobile-app", "--subject", "alice-in-chains", "--scope", "openid offline_access orders:read"];
    let issued = asked(&home, &server, &[&issue[..], &["--output", "json"]].concat());
    let issued: Value = serde_json::from_str(&issued).unwrap();
    let [access, first, grant] = ["access_token", "refresh_token", "grant_id"].map(|name| issued[name].as_str().unwrap());
    let second = asked(&home, &server, &["refresh", first, "--client", "mobile-app", "--field", "refresh_token"]);
    asked(&home, &server, &["revoke", access, "--reason", "leaked"]);
    asked(&home, &server, &["revoke", "--subject", "alice-in-chains"]);
    asked(
        &home,
        &server,
        &[
            "clients",
            "create",
            "till",
            "--kind",
            "confidential",
            "--grant-type",
            "client_credentials",
            "--scope",
            "orders:read",
            "--resource",
            "https://orders.internal",
        ],
    );
    asked(&home, &server, &["explain", &second]);
    assert!(Command::new("kill").args(["-TERM", &server.process.id().to_string()]).status().unwrap().success());
    assert!(server.process.wait().unwrap().success());
    drop(server);

    let text = fs::read_to_string(&file).unwrap();
    let lines = read(&text);
    let done = ["begin", "issue", "refresh", "revoke", "revoke", "create_client", "explain", "end"];
    assert_eq!(actions(&lines), done, "{text}");
    assert_eq!((&lines[2]["verdict"], &lines[2]["grant_id"]), (&"next".into(), &grant.into()));
    assert_eq!((&lines[3]["kind"], &lines[3]["reason"]), (&"token".into(), &"leaked".into()));
    assert_eq!((&lines[4]["kind"], &lines[1]["by"], &lines[1]["caller"]), (&"subject".into(), &"grpc".into(), &"anyone".into()));
    for hidden in [access, first, &second, "alice-in-chains", issued["sid"].as_str().unwrap()] {
        assert!(!text.contains(hidden), "{hidden} is in\n{text}");
    }
    assert_eq!(actions(&found(&home, &file, &["--token", first])), ["issue", "refresh"]);
    assert_eq!(actions(&found(&home, &file, &["--token", access])), ["issue", "revoke"]);
    assert_eq!(actions(&found(&home, &file, &["--subject", "alice-in-chains"])), ["issue", "revoke"]);
    assert_eq!(found(&home, &file, &["--subject", "bob"]), Vec::<Value>::new());
    assert_eq!(actions(&found(&home, &file, &["--grant", grant])), ["issue", "refresh"]);
    let no_id = jeton(&home).args(["audit", "find", "--grant", "issue"]).arg(&file).output().unwrap();
    assert_eq!(no_id.status.code(), Some(2), "a word that stands in many lines is the id of no grant");

    // A process that is killed in the middle of a line, and one after it.
    fs::write(&file, format!("{text}{{\"chain\":\"")).unwrap();
    let server = Server::start(&home, "memory:", &variables);
    asked(&home, &server, &issue);
    eventually("the line is written", async || fs::read_to_string(&file).unwrap().lines().count() == done.len() + 3).await;
    drop(server);
    let (code, said) = judged(&home, &[&file]);
    assert!(code == Some(0) && said.contains("whole: 11 lines"), "{said}");
    assert!(said.contains("followed by") && said.contains("open"), "{said}");

    let whole = fs::read_to_string(&file).unwrap();
    // Rotated, and named as a shell names them: the newest first.
    let (older, newer) = whole.split_at(text.len() + whole.split_at(text.len()).1.find('\n').unwrap() + 1);
    let [rotated, now] = ["audit.log.1", "audit.now"].map(|name| home.path().join(name));
    fs::write(&rotated, older).unwrap();
    fs::write(&now, newer).unwrap();
    let (code, said) = judged(&home, &[&now, &rotated]);
    assert!(code == Some(0) && said.contains("whole: 11 lines"), "{said}");
    let spoilt = |spoil: &dyn Fn(&mut Vec<String>)| {
        let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
        spoil(&mut lines);
        let spoilt = home.path().join("spoilt.log");
        fs::write(&spoilt, lines.join("\n") + "\n").unwrap();
        judged(&home, &[&spoilt])
    };
    for (at, spoil) in [
        (4, &(|lines: &mut Vec<String>| drop(lines.remove(3))) as &dyn Fn(&mut Vec<String>)),
        (4, &|lines| lines[3] = lines[3].replace("leaked", "sign_out")),
        (4, &|lines| lines.swap(3, 4)),
        (5, &|lines| lines.insert(4, lines[3].clone())),
        (1, &|lines| drop(lines.remove(0))),
        (8, &|lines| drop(lines.drain(7..9))),
    ] {
        let (code, said) = spoilt(spoil);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.starts_with(&format!("line {at}: ")), "line {at}: {said}");
    }
}

#[tokio::test]
async fn a_rotation_that_fails_breaks_no_chain_and_a_running_process_vouches_for_no_copy() {
    let home = Home::new();
    let at = |name: &str| home.path().join(name);
    for name in ["a", "b/audit.log", "c"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    // In one step, whatever the process is about.
    let lead_to = |directory: &str| {
        symlink(at(directory), at("next")).unwrap();
        fs::rename(at("next"), at("here")).unwrap();
    };
    lead_to("a");
    let [file, first, second] = ["here/audit.log", "a/audit.log", "c/audit.log"].map(at);
    let variables = [ROOT_KEY, ("JETON_AUDIT_FILE", file.to_str().unwrap())];
    let issue = ["issue", "--client", "mobile-app", "--subject", "alice", "--scope", "orders:read"];
    let server = Server::start(&home, "memory:", &variables);
    // A directory stands where the next file is to be.
    lead_to("b");
    let is_refused = async || fs::read_to_string(at("log")).unwrap().contains("no other can be begun in its place");
    eventually("it is refused", is_refused).await;
    asked(&home, &server, &issue);
    has_lines(&first, 2).await;
    lead_to("c");
    has_lines(&second, 1).await;
    asked(&home, &server, &issue);
    has_lines(&second, 2).await;
    let text = fs::read_to_string(&first).unwrap();
    assert_eq!(actions(&read(&text)), ["begin", "issue", "end"], "{text}");
    let (code, said) = judged(&home, &[&first, &second]);
    assert!(code == Some(0) && said.contains("whole: 5 lines"), "{said}");

    // It is killed, and another goes on.
    drop(server);
    let server = Server::start(&home, "memory:", &variables);
    asked(&home, &server, &issue);
    has_lines(&second, 4).await;
    let (code, said) = judged(&home, &[&second]);
    assert!(code == Some(0) && said.contains("of which nothing is here") && said.contains("without its end"), "{said}");

    let text = fs::read_to_string(&second).unwrap();
    let cut: String = text.lines().take(3).map(|line| format!("{line}\n")).collect();
    fs::write(at("copy"), cut).unwrap();
    fs::rename(at("copy"), &second).unwrap();
    has_lines(&second, 4).await;
    let (code, said) = judged(&home, &[&first, &second]);
    let found = format!("{}:4: follows line 3 of chain ", second.display());
    assert!(code == Some(1) && said.starts_with(&found) && said.contains("the last of it that is here is line 1"), "{said}");

    let other = jeton(&home).env(ROOT_KEY.0, "08".repeat(32)).args(["audit", "verify"]).arg(&first).output().unwrap();
    let said = String::from_utf8(other.stdout).unwrap();
    assert!(other.status.code() == Some(1) && !said.contains("was changed"), "{said}");
    assert!(said.starts_with("line 1: is under root key ") && said.contains("3 of 3 lines cannot be verified"), "{said}");
}

#[tokio::test]
async fn a_stream_that_cannot_be_written_is_told_and_costs_no_request() {
    let home = Home::new();
    let config = Path::new(ROOT).join("jeton.toml");
    let serve = |audit: &str| {
        let mut command = jeton(&home);
        command.arg("serve").arg("--config").arg(&config).env("JETON_AUDIT_FILE", audit);
        command.args(["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(home.path().join("log")).unwrap());
        command
    };
    let full = serve("/dev/full").output().unwrap();
    let log = fs::read_to_string(home.path().join("log")).unwrap();
    assert!(full.status.code() == Some(1) && log.contains("[audit] file `/dev/full` cannot be written"), "{log}");

    let mut process = serve("-").spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(read(&line)[0]["action"], "begin", "nothing else stands on standard output");
    // Whoever read it is gone.
    let address = |of: &str| {
        let log = fs::read_to_string(home.path().join("log")).unwrap();
        let listening = log.lines().find(|line| line.contains("listening"))?.split(&format!("{of}=")).nth(1)?.to_owned();
        listening.split(' ').next().map(str::to_owned)
    };
    eventually("it listens", async || address("admin").is_some()).await;
    let [grpc, admin] = ["grpc", "admin"].map(|of| address(of).unwrap());
    let issue = ["issue", "--client", "mobile-app", "--subject", "alice", "--scope", "orders:read"];
    eventually("the metrics tell", async || {
        let issued = jeton(&home).args(issue).args(["--server", &format!("http://{grpc}")]).output().unwrap();
        assert!(issued.status.success(), "{issued:?}");
        let metrics = Asking::get(admin.parse().unwrap(), "/metrics").send().await.body;
        String::from_utf8(metrics).unwrap().contains("\njeton_audit_failing 1\n")
    })
    .await;
    process.kill().unwrap();
    process.wait().unwrap();
}

/// Gives a call up as soon as the store has done what it asks and does not answer, `before` others having been.
async fn cut_off(call: impl Future, store: &Faulty, file: &Path, before: usize) {
    let done = eventually("it is done and not answered", async || store.hanging.load(Ordering::SeqCst) > before);
    tokio::select! {
        _answer = call => panic!("it was answered"),
        () = done => {}
    }
    has_lines(file, before + 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hangs_up_is_in_the_stream_with_what_may_be_done() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("audit.log");
    let mut faulty = None;
    let mut world = World::memory_through(|store| Arc::clone(faulty.insert(Arc::new(Faulty::over(store)))) as Arc<dyn Store>);
    let store = faulty.unwrap();
    world.settings.audit.file = Some(file.clone());
    let server = world.start().await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    store.hangs.store(true, Ordering::SeqCst);
    cut_off(server.try_refresh(mobile(&issued.refresh_token)), &store, &file, 0).await;
    cut_off(server.try_issue(alice("mobile-app", SCOPES)), &store, &file, 1).await;
    let resource = Resource { resource: "https://shop.internal".into(), scopes: vec!["shop:read".into()], ..Default::default() };
    let asked = CreateResourceRequest { resource: Some(resource) };
    cut_off(server.resources.clone().create_resource(asked), &store, &file, 2).await;
    let asked = RevokeRequest { target: Some(Target::Token(issued.access_token.clone())), ..Default::default() };
    cut_off(server.try_revoke(asked), &store, &file, 3).await;
    // The key's own document says that it is burnt before the log does.
    let kid = server.jwks().await.keys.first().unwrap().kid.clone();
    let asked = RevokeRequest { target: Some(Target::Kid(kid.clone())), ..Default::default() };
    cut_off(server.try_revoke(asked), &store, &file, 4).await;
    store.hangs.store(false, Ordering::SeqCst);
    assert!(!server.active(&issued.access_token).await, "it was done");
    // What is refused was not done.
    assert!(server.try_refresh(mobile("jrt_none")).await.is_err());
    server.app.audit.close().await;

    let lines = read(&fs::read_to_string(&file).unwrap());
    assert_eq!(actions(&lines), ["begin", "issue", "refresh", "issue", "create_resource", "revoke", "revoke", "end"]);
    let unknown = |line: &Value| line.get("outcome").is_some_and(|outcome| outcome == "unknown");
    assert_eq!(lines.iter().map(unknown).collect::<Vec<_>>(), [false, false, true, true, true, true, true, false]);
    assert_eq!((&lines[2]["grant_id"], &lines[2]["by"]), (&issued.grant_id.into(), &"grpc".into()));
    assert_eq!((&lines[4]["resource"], &lines[5]["kind"]), (&"https://shop.internal".into(), &"token".into()));
    assert_eq!((&lines[6]["kind"], &lines[6]["kid"]), (&"signing_key".into(), &kid.into()));
}

#[test]
fn the_documentation_names_every_action_and_no_other() {
    let table = DOCUMENTATION.split_once("| action |").unwrap().1.split_once("\n\n").unwrap().0;
    let words =
        table.lines().filter_map(|line| line.strip_prefix("| ")).flat_map(|line| line.split(" |").next().unwrap().split(", "));
    let documented: BTreeSet<&str> = words.map(|word| word.trim_matches('`')).collect();
    let told = Action::ALL.iter().map(|action| action.word()).chain(["begin", "end", "lost"]);
    assert_eq!(documented, told.collect());
}

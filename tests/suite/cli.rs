//! The command line as scripts see it: the real binary, its output, its exit codes. Most of what needs a server is in `tour`.

use crate::port;
use crate::server;
use crate::world::{Replica, SCOPES, World, alice};
use jeton::api::IssueRequest;
use jeton::api::token_service_client::TokenServiceClient;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::thread;

fn jeton(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jeton"));
    command.args(arguments).stdin(Stdio::null());
    for variable in ["JETON_SERVER", "JETON_CLIENT_SECRET", "JETON_CONFIG"] {
        command.env_remove(variable);
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    jeton(arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("ended by itself")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Answers every connection with `reply` once something was read, until the test ends; keeps them open if it is empty.
fn listener_that_replies(reply: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut open = Vec::new();
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut first = [0; 24];
            connection.read_exact(&mut first).unwrap();
            connection.write_all(reply).unwrap();
            if reply.is_empty() {
                open.push(connection);
            }
        }
    });
    address
}

#[test]
fn every_command_that_the_issue_spells_has_a_help_with_the_exit_codes() {
    for command in [
        "",
        "serve",
        "issue",
        "refresh",
        "introspect",
        "revoke",
        "codes",
        "codes create",
        "codes exchange",
        "devices",
        "devices start",
        "devices describe",
        "devices approve",
        "devices deny",
        "devices poll",
        "grants",
        "grants list",
        "grants show",
        "keys",
        "keys list",
        "keys rotate",
        "keys generate-root",
        "clients",
        "clients secret",
        "config",
        "config check",
        "config example",
        "explain",
        "exchange",
        "doctor",
        "watch",
        "heal",
        "bench",
    ] {
        let mut arguments: Vec<&str> = command.split_whitespace().collect();
        arguments.push("--help");
        let output = run(&arguments);
        assert_eq!(code(&output), 0, "{command}");
        let text = stdout(&output);
        for line in [
            "0  done",
            "1  refused by the server",
            "2  the command line is wrong",
            "3  the server cannot be reached",
            "4  `introspect` only",
        ] {
            assert!(text.contains(line), "`jeton {command} --help` lacks `{line}`:\n{text}");
        }
    }
}

#[test]
fn the_options_are_spelled_as_scripts_rely_on_them() {
    for (command, options) in [
        ("serve", "--config --store --grpc-listen --http-listen --admin-listen --insecure"),
        ("issue", "--client --subject --scope --resource --session --acr --amr --auth-time --method --client-secret-file"),
        ("refresh", "--client --scope --resource --authorization-details --request-id --client-secret-file"),
        (
            "codes create",
            "--client --subject --scope --resource --authorization-details --session --acr --amr --auth-time --nonce --redirect-uri --code-challenge --dpop-jkt",
        ),
        ("codes exchange", "--client --redirect-uri --code-verifier --resource --authorization-details --client-secret-file"),
        ("devices start", "--client --scope --resource --authorization-details --client-secret-file"),
        ("devices describe", "USER_CODE"),
        (
            "devices approve",
            "USER_CODE --client --subject --scope --resource --authorization-details --session --acr --amr --auth-time",
        ),
        ("devices deny", "USER_CODE"),
        ("devices poll", "DEVICE_CODE --client --authorization-details --client-secret-file"),
        ("introspect", "--resource"),
        ("revoke", "--grant --session --subject --client --leaked --reason --dry-run --client-secret-file"),
        ("explain", "--resource"),
        ("exchange", "--client --actor-token-file --scope --resource --client-secret-file"),
        ("doctor", "--config --store --grpc-listen --http-listen --admin-listen --insecure --output"),
        ("watch", "--after"),
        ("heal", "--accept"),
        (
            "bench",
            "--operation --concurrency --connections --seconds --rounds --grants --known --other-grants --revocations --overlap --server-pid --server --replica --load --output",
        ),
    ] {
        let text = stdout(&run(&command.split(' ').chain(["--help"]).collect::<Vec<_>>()));
        let mut options: Vec<&str> = options.split(' ').collect();
        if !["serve", "doctor", "bench"].contains(&command) {
            options.extend(["--server", "--output", "--field", "JETON_SERVER"]);
        }
        for option in options {
            assert!(text.contains(option), "`jeton {command} --help` lacks {option}:\n{text}");
        }
    }
}

#[test]
fn docs_cli_md_tells_every_command_and_exit_code() {
    let page = include_str!("../../docs/cli.md");
    for command in [
        "jeton serve",
        "jeton issue",
        "jeton refresh",
        "jeton introspect",
        "jeton revoke",
        "jeton codes create",
        "jeton codes exchange",
        "jeton devices start",
        "jeton devices describe",
        "jeton devices approve",
        "jeton devices deny",
        "jeton devices poll",
        "jeton grants list",
        "jeton grants show",
        "jeton keys list",
        "jeton keys rotate",
        "jeton keys generate-root",
        "jeton clients secret",
        "jeton config check",
        "jeton config example",
        "jeton explain",
        "jeton exchange",
        "jeton doctor",
        "jeton watch",
        "jeton heal",
        "jeton bench",
    ] {
        assert!(page.contains(command), "docs/cli.md lacks `{command}`");
    }
    for row in ["| 0 |", "| 1 |", "| 2 |", "| 3 |", "| 4 |"] {
        assert!(page.contains(row), "docs/cli.md lacks the row {row}");
    }
}

#[test]
fn a_wrong_command_line_is_2_and_told_on_standard_error() {
    for arguments in [
        &["refresh", "jrt_x"][..],
        &["exchange", "jat_x"],
        &["exchange", "jat_x", "--client", "c", "--actor-token-file", "no/such/file"],
        &["issue"],
        &["revoke"],
        &["revoke", "jrt_x", "--grant", "g"],
        &["revoke", "--leaked", "no/such/file"],
        &["revoke", "--leaked", "-", "--subject", "alice"],
        &["revoke", "--leaked", "-", "--reason", "incident"],
        &["nonsense"],
        &["introspect", "jat_x", "--output", "xml"],
        &["introspect", "jat_x", "--output", "json", "--field", "sub"],
        &["refresh", "jrt_x", "--client", "web-app", "--client-secret", "never"],
        &["introspect", "jat_x", "--server", "127.0.0.1:50051"],
        &["introspect", "jat_x", "--server", "ftp://127.0.0.1:50051"],
        &["introspect", "jat_x", "--server", "https://127.0.0.1:50051", "--ca-file", "no/such/file"],
        &["introspect", "jat_x", "--server", "https://127.0.0.1:50051", "--caller-key-file", "no/such/file"],
        &["refresh", "jrt_x", "--client", "web-app", "--client-secret-file", "no/such/file"],
        &["issue", "--client", "mobile-app", "--method", "magic"],
        &["issue", "--client", "mobile-app", "--authorization-details", "{}"],
        &["codes", "create", "--subject", "alice"],
        &["codes", "exchange", "jac_x"],
        &["devices", "poll", "jdc_x"],
        &["devices", "approve", "--client", "mobile-app"],
        &["bench", "--seconds", "0"],
    ] {
        let output = run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_3_with_what_to_do() {
    let server = format!("http://{}", port::free());
    for arguments in [
        &["issue", "--client", "mobile-app", "--subject", "alice"][..],
        &["refresh", "jrt_x", "--client", "mobile-app"],
        &["introspect", "jat_x"],
        &["revoke", "--subject", "alice"],
        &["codes", "create", "--client", "mobile-app", "--subject", "alice"],
        &["codes", "exchange", "jac_x", "--client", "mobile-app"],
        &["devices", "start", "--client", "mobile-app"],
        &["devices", "describe", "BCDF-GHJK"],
        &["devices", "approve", "BCDF-GHJK", "--client", "mobile-app", "--subject", "alice"],
        &["devices", "deny", "BCDF-GHJK"],
        &["devices", "poll", "jdc_x", "--client", "mobile-app"],
        &["grants", "list", "--subject", "alice"],
        &["grants", "show", "-g"],
        &["keys", "list"],
        &["keys", "rotate"],
        &["explain", "jrt_x"],
        &["exchange", "jat_x", "--client", "billing-job"],
        &["watch"],
        &["heal"],
        &["heal", "--accept"],
        &["bench", "--seconds", "1"],
    ] {
        let output = jeton(arguments).env("JETON_SERVER", &server).output().unwrap();
        assert_eq!(code(&output), 3, "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}");
        let text = stderr(&output);
        let [what, next] = text.lines().collect::<Vec<_>>()[..] else { panic!("two lines, not:\n{text}") };
        assert!(what.starts_with("error: ") && what.contains(&server) && what.contains("refused"), "{what}");
        assert!(next.starts_with("next: ") && next.contains("`jeton serve`"), "{next}");
        assert!(!text.contains("jrt_x") && !text.contains("jat_x"), "the token is repeated: {text}");
    }
}

#[test]
fn the_option_goes_before_the_variable() {
    let (option, variable) = (format!("http://{}", port::free()), "http://127.0.0.2:9");
    let output = jeton(&["keys", "list", "--server", &option]).env("JETON_SERVER", variable).output().unwrap();
    assert!(stderr(&output).contains(&option), "{}", stderr(&output));
}

#[test]
fn a_server_of_another_protocol_is_3() {
    let server = format!("http://{}", listener_that_replies(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"));
    let output = run(&["keys", "list", "--server", &server]);
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(stderr(&output).contains("--server"), "{}", stderr(&output));
}

#[test]
fn a_server_that_never_answers_is_3_at_the_deadline() {
    let server = format!("http://{}", listener_that_replies(b""));
    for command in [&["keys", "list"][..], &["watch"]] {
        let output = jeton(command).args(["--server", &server]).output().unwrap();
        assert_eq!(code(&output), 3, "{}", stderr(&output));
        assert!(stderr(&output).contains("did not answer"), "{}", stderr(&output));
    }
}

#[test]
fn a_token_can_come_from_standard_input() {
    let output = run(&["introspect", "-", "--server", &format!("http://{}", port::free())]);
    assert_eq!(code(&output), 2, "nothing comes from it");
    assert!(stderr(&output).contains("standard input is empty"), "{}", stderr(&output));

    let mut child = jeton(&["introspect", "-", "--server", &format!("http://{}", port::free())])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"jat_x\n").unwrap();
    assert_eq!(code(&child.wait_with_output().unwrap()), 3, "it is read, then the server is asked");
}

#[test]
fn a_root_key_is_64_hexadecimal_digits_and_new_each_time() {
    let (one, other) = (run(&["keys", "generate-root"]), run(&["keys", "generate-root"]));
    assert_eq!(code(&one), 0);
    let key = stdout(&one);
    assert_eq!(key.len(), 65);
    assert!(key.ends_with('\n') && key.trim_end().bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{key}");
    assert_ne!(key, stdout(&other));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output =
        jeton(&["keys", "generate-root"]).stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
}

#[test]
fn a_disk_that_is_full_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output =
        jeton(&["keys", "generate-root"]).stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("standard output cannot be written"), "{}", stderr(&output));
}

/// The binary against a server of its own: exit code, JSON, standard error.
struct Shell {
    url: String,
    _replica: Replica,
}

impl Shell {
    async fn start() -> Self {
        let mut world = World::memory().await;
        world.settings.login.verification_uri = Some("https://login.example.com/device".into());
        let replica = world.start().await;
        Self { url: format!("http://{}", replica.address), _replica: replica }
    }

    fn run(&self, arguments: &[&str]) -> (i32, Value, String) {
        let output = run(&[arguments, &["--server", &self.url, "--output", "json"]].concat());
        let json = serde_json::from_str(&stdout(&output)).unwrap_or(Value::Null);
        (code(&output), json, stderr(&output))
    }

    #[track_caller]
    fn done(&self, arguments: &[&str]) -> Value {
        let (code, json, said) = self.run(arguments);
        assert_eq!((code, said.as_str()), (0, ""), "{arguments:?}");
        json
    }

    /// Refused for this reason, and told what to do next.
    #[track_caller]
    fn refused(&self, arguments: &[&str], reason: &str, next: &str) {
        let (code, json, said) = self.run(arguments);
        assert_eq!((code, json), (1, Value::Null), "{arguments:?}: {said}");
        assert!(said.contains(reason) && said.lines().any(|line| line.starts_with("next: ") && line.contains(next)), "{said}");
    }
}

const CALLBACK: &str = "http://127.0.0.1:9/callback";
/// Of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_is_made_and_redeemed() {
    let shell = Shell::start().await;
    let details = r#"[{"type":"order","actions":["read","write"]}]"#;
    let create = ["codes", "create", "--client", "mobile-app", "--subject", "alice", "--scope", SCOPES];
    let bound = ["--redirect-uri", CALLBACK, "--code-challenge", CHALLENGE, "--authorization-details", details];
    let made = shell.done(&[&create[..], &bound].concat());
    assert_eq!(made["expires_in"], 60);
    let code = made["code"].as_str().unwrap();
    let exchange = ["codes", "exchange", code, "--client", "mobile-app", "--redirect-uri", CALLBACK];
    let right = [&exchange[..], &["--code-verifier", VERIFIER]].concat();
    let next = "make a new one with `jeton codes create`";
    shell.refused(&exchange, "REFRESH_TOKEN_REFUSED", next);
    shell.refused(&[&exchange[..], &["--code-verifier", CHALLENGE]].concat(), "REFRESH_TOKEN_REFUSED", next);
    let wider = [&right[..], &["--authorization-details", r#"[{"type":"order","actions":["delete"]}]"#]].concat();
    shell.refused(&wider, "INVALID_AUTHORIZATION_DETAILS", "of a grant no more than it has");
    let tokens = shell.done(&right);
    assert_eq!(tokens["authorization_details"], json!([{"type": "order", "actions": ["read", "write"]}]));
    shell.refused(&right, "REFRESH_TOKEN_REFUSED", next);
    let narrow = r#"[{"type":"order","actions":["read"]}]"#;
    let refresh =
        ["refresh", tokens["refresh_token"].as_str().unwrap(), "--client", "mobile-app", "--authorization-details", narrow];
    assert_eq!(shell.done(&refresh)["authorization_details"], json!([{"type": "order", "actions": ["read"]}]));
    let told = shell.done(&["explain", code]);
    assert_eq!((&told["active"], &told["kind"]), (&json!(false), &json!("TOKEN_KIND_AUTHORIZATION_CODE")));
    assert!(told["explanation"].as_str().unwrap().contains("redeemed already"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_started_described_allowed_and_polls() {
    let shell = Shell::start().await;
    let begin = || {
        let told = shell.done(&["devices", "start", "--client", "mobile-app", "--scope", SCOPES]);
        (told["device_code"].as_str().unwrap().to_owned(), told["user_code"].as_str().unwrap().to_owned())
    };
    let (device, user_code) = begin();
    let poll = ["devices", "poll", &device, "--client", "mobile-app"];
    shell.refused(&poll, "AUTHORIZATION_PENDING", "`jeton devices approve USER_CODE`");
    shell.refused(&poll, "SLOW_DOWN", "5 s longer");
    let described = shell.done(&["devices", "describe", &user_code.to_lowercase()]);
    assert_eq!((&described["client_id"], &described["scope"]), (&json!("mobile-app"), &json!(SCOPES)));
    let approve = ["devices", "approve", &user_code, "--client", "mobile-app", "--subject", "alice", "--scope", "orders:read"];
    assert!(shell.done(&approve)["grant_id"].is_string());
    assert_eq!(shell.done(&poll)["scope"], "orders:read");
    let told = shell.done(&["explain", &device]);
    assert_eq!(told["kind"], "TOKEN_KIND_DEVICE_CODE");
    assert!(told["explanation"].as_str().unwrap().contains("a device code is no token"), "{told}");

    let (device, user_code) = begin();
    assert_eq!(shell.done(&["devices", "deny", &user_code]), json!({}));
    shell.refused(&["devices", "poll", &device, "--client", "mobile-app"], "DEVICE_DENIED", "stop polling");
    shell.refused(&["devices", "describe", &user_code], "USER_CODE_UNKNOWN", "as the device shows it");
    shell.refused(&["devices", "poll", "jdc_x", "--client", "mobile-app"], "REFRESH_TOKEN_REFUSED", "begin anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_a_typo_is_revoked_and_warned_of() {
    let shell = Shell::start().await;
    for arguments in [&["revoke", "--client", "mobile-ap"][..], &["revoke", "--client", "mobile-ap", "--subject", "alice"]] {
        let (code, json, said) = shell.run(arguments);
        assert!(code == 0 && json["revision"].is_string(), "{arguments:?}: {said}");
        assert!(said.starts_with("warning: client `mobile-ap` is not known to this server"), "{said}");
        assert!(said.contains("It is revoked all the same"), "{said}");
        let (code, _, said) = shell.run(&[arguments, &["--dry-run"]].concat());
        assert!(code == 0 && said.contains("Nothing was revoked: without --dry-run it would be"), "{said}");
    }
    shell.done(&["revoke", "--client", "mobile-app"]);
    shell.done(&["revoke", "--subject", "nobody"]);
    let issued = shell.done(&["issue", "--client", "mobile-app", "--subject", "alice", "--scope", SCOPES]);
    let revoke = ["revoke", issued["refresh_token"].as_str().unwrap()];
    shell.done(&revoke);
    let foreign = World::memory().await.start().await.issue(alice("mobile-app", SCOPES)).await;
    for token in ["jrt_cut", &foreign.refresh_token, &foreign.access_token] {
        let (code, json, said) = shell.run(&["revoke", token]);
        assert_eq!((code, json), (0, json!({})), "{said}");
        assert!(said.starts_with("warning: nothing was ended") && !said.contains(token), "{said}");
    }
    shell.refused(&["revoke", "--grant", "typo"], "INVALID_FIELD", "correct what is named");
    shell.refused(&["revoke", "--kid", "typo"], "KEY_UNKNOWN", "`jeton keys list`");
}

/// What leaked, and how `revoke --leaked` tells it.
struct Leak {
    /// A log with everything in it, some of it twice.
    text: String,
    /// Every token in it that is alive.
    alive: Vec<String>,
    found: Value,
}

impl Leak {
    async fn new(issue: impl AsyncFn(IssueRequest) -> jeton::api::IssueResponse, elsewhere: &Replica) -> Self {
        use jeton_domain::token::{Numbered, Presented, parse};
        let (one, two) = (issue(alice("mobile-app", SCOPES)).await, issue(alice("mobile-app", SCOPES)).await);
        let opaque = issue(alice("mobile-app", "payments:read")).await.access_token;
        let foreign = elsewhere.issue(alice("mobile-app", SCOPES)).await;
        let Presented::Numbered(genuine) = parse(&two.refresh_token) else { panic!("a refresh token") };
        let forged = Numbered { tag: [7; 32], ..genuine };
        let text = format!(
            "2026-01-01 GET /?token={access}&x=1 200\r\n{{\"refresh_token\":\"{refresh}\",\"id_token\":\"{id}\"}}\n\
             {refresh} {two} jrt_cut jdc_pool eyJhbGciOiJub25lIn0.e30.AA {foreign_access} {foreign_refresh}\n\
             x{opaque}x {forged} {access}",
            access = one.access_token,
            refresh = one.refresh_token,
            id = one.id_token,
            two = two.refresh_token,
            foreign_access = foreign.access_token,
            foreign_refresh = foreign.refresh_token,
            forged = forged.encode().expose(),
        );
        let found = json!({
            "refresh_tokens": 4, "jwt_access_tokens": 2, "opaque_access_tokens": 1, "authorization_codes": 0, "device_codes": 0,
        });
        Self { text, alive: vec![one.access_token, one.refresh_token, two.refresh_token, opaque], found }
    }

    /// Nothing that is shown is any part of a token.
    fn is_not_shown(&self, output: &Output) {
        for shown in [stdout(output), stderr(output)] {
            for token in self.text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| part.len() > 20) {
                assert!(!shown.contains(token), "{shown}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_token_in_a_text_is_found_revoked_and_never_shown() {
    let server = server::start(server::open()).await;
    let tokens = TokenServiceClient::new(server.channel().await);
    let active = async |token: &str| {
        let freshness = crate::world::fully_fresh();
        let asked = jeton::api::IntrospectRequest { token: token.into(), freshness, ..Default::default() };
        tokens.clone().introspect(asked).await.unwrap().into_inner().active
    };
    let elsewhere = World::memory().await.start().await;
    let leak = Leak::new(async |asked| tokens.clone().issue(asked).await.unwrap().into_inner(), &elsewhere).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("leaked.log");
    std::fs::write(&file, &leak.text).unwrap();
    let file = file.to_str().unwrap();
    let url = format!("http://{}", server.address);
    let json = |arguments: &[&str]| {
        let output = run(&[&["revoke", "--leaked", file, "--output", "json"], arguments].concat());
        leak.is_not_shown(&output);
        (code(&output), serde_json::from_str::<Value>(&stdout(&output)).unwrap(), stderr(&output))
    };

    let asks_nobody = format!("http://{}", port::free());
    assert_eq!(json(&["--dry-run", "--server", &asks_nobody]), (0, json!({ "found": leak.found }), String::new()));

    let (failed, told, said) = json(&["--server", &asks_nobody]);
    assert_eq!((failed, &told["failed"], &told["failures"][0]["tokens"]), (1, &json!(7), &json!(7)), "{told}");
    assert!(said.contains("7 of 7 tokens may still be alive"), "{said}");
    for token in &leak.alive {
        assert!(active(token).await);
    }

    // What another deployment issued, and what was forged, is nothing here.
    let done = json!({ "found": leak.found, "revoked": 4, "unknown_or_over": 3, "failed": 0 });
    assert_eq!(json(&["--server", &url]), (0, done.clone(), String::new()));
    for token in &leak.alive {
        assert!(!active(token).await);
    }
    assert_eq!(json(&["--server", &url]).1, done, "what is revoked already is no failure");

    let mut child = jeton(&["revoke", "--leaked", "-", "--server", &url, "--field", "revoked"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(leak.text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stdout(&output).as_str()), (0, "4\n"));
}

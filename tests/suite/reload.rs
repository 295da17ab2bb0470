//! The configuration read again by a process that runs: under load, with a mistake in it, with a caller less and a client more.

use crate::process::signal;
use crate::rfc::raw::Asking;
use crate::server::refusal;
use crate::store_contract::eventually;
use crate::tour::{Home, Server};
use crate::world::{ORDERS, alice, mobile};
use jeton::api::IntrospectRequest;
use jeton::api::token_service_client::TokenServiceClient;
use jeton::config::written_hash;
use jeton_domain::caller::hash_of_key;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

const OPERATOR: &str = "jck_operator_operator_operator_operator_operat0";
const BILLING: &str = "jck_billing_billing_billing_billing_billing_bi0";
/// What `tests` ask, one after another, as often as they can.
const ASKING: usize = 4;

/// A process, its configuration and its log.
struct Running {
    home: Home,
    server: Server,
}

fn caller(name: &str, key: &str) -> String {
    let hash = written_hash(&hash_of_key(key));
    format!("[callers.{name}]\nkey_hashes = ['{hash}']\nrpcs = '*'\nclients = '*'\nresources = '*'\n")
}

/// The configuration of development, with what is appended.
fn written(home: &Path, appended: &[&str]) {
    let own = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/jeton.toml")).unwrap();
    fs::write(home.join("jeton.toml"), format!("{own}\n{}", appended.join("\n"))).unwrap();
}

impl Running {
    fn start(appended: &[&str]) -> Self {
        let home = Home::new();
        written(home.path(), appended);
        let server = Server::start_as(&home.path().join("jeton.toml"), "127.0.0.1:0", "127.0.0.1:0", &home, "memory:", &[]);
        Self { home, server }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap()
    }

    /// Waits until the log has it so often.
    async fn logged(&self, words: &str, times: usize) {
        eventually(&format!("logged: {words}"), async || self.log().matches(words).count() >= times).await;
    }

    async fn connect(&self) -> TokenServiceClient<Channel> {
        TokenServiceClient::new(Endpoint::from_shared(self.server.address.clone()).unwrap().connect().await.unwrap())
    }

    /// What the admin port answers.
    async fn admin(&self, path: &str) -> String {
        let answer = Asking::get(self.server.admin, path).send().await;
        assert_eq!(answer.status, 200, "it serves all the same");
        String::from_utf8(answer.body).unwrap()
    }

    fn hangs_up(&self) {
        signal(&self.server, "-HUP");
    }
}

/// With a caller's key.
fn by<T>(key: &str, asked: T) -> Request<T> {
    let mut request = Request::new(asked);
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    request
}

async fn introspects(tokens: &mut TokenServiceClient<Channel>, key: &str) -> Result<(), Status> {
    let asked = IntrospectRequest { token: "jat_x".into(), resource: ORDERS.into(), freshness: None };
    tokens.introspect(by(key, asked)).await.map(drop)
}

/// One request after another, of all kinds, until told to end: how many were answered. Any that is refused is a failure.
async fn asks(mut tokens: TokenServiceClient<Channel>, ended: Arc<AtomicBool>, answered: Arc<AtomicUsize>) {
    while !ended.load(Ordering::Relaxed) {
        let issued = tokens.issue(by(OPERATOR, alice("mobile-app", "offline_access orders:read"))).await.unwrap().into_inner();
        let refreshed = tokens.refresh(by(OPERATOR, mobile(&issued.refresh_token))).await.unwrap().into_inner();
        let asked = IntrospectRequest { token: refreshed.access_token, resource: ORDERS.into(), freshness: None };
        assert!(tokens.introspect(by(OPERATOR, asked)).await.unwrap().into_inner().active);
        answered.fetch_add(3, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_is_taken_under_load_and_no_request_fails() {
    let (operator, billing) = (caller("operator", OPERATOR), caller("billing", BILLING));
    let running = Running::start(&[&operator, &billing]);
    assert!(!running.server.tours(), "it could not be followed without a key");
    let (ended, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut load = JoinSet::new();
    for _ in 0..ASKING {
        load.spawn(asks(running.connect().await, ended.clone(), answered.clone()));
    }
    let mut tokens = running.connect().await;
    introspects(&mut tokens, BILLING).await.unwrap();

    // More: a client, a resource of it, and a rule.
    let reports = "[resources.'https://reports.internal']\nscopes = ['reports:read']\n";
    let desk = "[clients.desk]\nkind = 'public'\ngrant_types = ['authorization_code']\nscopes = ['reports:read']\nredirect_uris = ['https://desk/cb']\n\
                resources = ['https://reports.internal']\n";
    let asked = || by(OPERATOR, alice("desk", "reports:read"));
    assert_eq!(refusal(&tokens.issue(asked()).await.unwrap_err()).fields, ["client_id"]);
    let grants = "[limits]\ngrants_per_subject = 900\n";
    written(running.home.path(), &[&operator, &billing, reports, desk, grants]);
    running.logged("the configuration was read again changes=3", 1).await;
    assert_eq!(tokens.issue(asked()).await.unwrap().into_inner().scope, "reports:read");
    for line in [
        "setting=[clients.desk] change=is new",
        "setting=[resources.\"https://reports.internal\"] change=is new",
        "setting=[limits] grants_per_subject change=was `1000`, is `900`",
    ] {
        assert!(running.log().contains(line), "{line}\n{}", running.log());
    }

    // A mistake: nothing of it, though a caller is withdrawn and a client changed beside it.
    written(running.home.path(), &[&operator, reports, desk, "[limits]\ngrants_per_subject = 0\nconcurency = 7\n"]);
    running.logged("the configuration is not taken: the one before stays in force", 2).await;
    eventually("it is told", async || running.admin("/readyz").await.contains("[limits] grants_per_subject: is 0, outside"))
        .await;
    assert!(running.admin("/metrics").await.contains("\njeton_configuration_sound 0\n"));
    assert!(running.log().contains("concurency: is not known; did you mean `concurrency`?"));
    introspects(&mut tokens, BILLING).await.unwrap();

    // Without the caller, at once: the next request of the connection that was open is refused.
    written(running.home.path(), &[&operator, reports, desk, "[limits]\nconcurrency = 1000\n"]);
    running.hangs_up();
    running.logged("setting=[callers.billing] change=is gone", 1).await;
    assert_eq!(refusal(&introspects(&mut tokens, BILLING).await.unwrap_err()).reason, "CALLER_UNAUTHENTICATED");
    let waits = "configuration: [limits] concurrency was `1024`, is `1000`: it is taken at the next start only";
    eventually("what waits is told", async || running.admin("/readyz").await.contains(waits)).await;
    let metrics = running.admin("/metrics").await;
    assert!(metrics.contains("\njeton_configuration_restart_needed 1\n") && metrics.contains("\njeton_configuration_sound 1\n"));

    // Another key of the operator would end the load, so it ends first.
    let before = answered.load(Ordering::Relaxed);
    eventually("the load goes on", async || answered.load(Ordering::Relaxed) > before + 3 * ASKING).await;
    ended.store(true, Ordering::Relaxed);
    while let Some(asked) = load.join_next().await {
        asked.unwrap();
    }
    written(running.home.path(), &[&caller("operator", BILLING), reports, desk]);
    running.logged("setting=[callers.operator] key_hashes change=is another; it is not shown", 1).await;
    assert_eq!(refusal(&introspects(&mut tokens, OPERATOR).await.unwrap_err()).reason, "CALLER_UNAUTHENTICATED");
    introspects(&mut tokens, BILLING).await.unwrap();
    for key in [OPERATOR, BILLING] {
        assert!(!running.log().contains(&written_hash(&hash_of_key(key))));
    }
}

#[tokio::test]
async fn a_level_is_taken_and_what_is_gone_is_no_configuration() {
    let running = Running::start(&[&caller("operator", OPERATOR)]);
    let mut tokens = running.connect().await;
    let quiet = [&*caller("operator", OPERATOR), "[telemetry]\nlog_level = 'error'\n"];
    written(running.home.path(), &quiet);
    running.hangs_up();
    // It says so by no line: that it was taken is counted.
    let taken = "jeton_configuration_reloads_total{outcome=\"taken\"} 1";
    eventually("it is taken", async || running.admin("/metrics").await.contains(taken)).await;
    _ = introspects(&mut tokens, BILLING).await.unwrap_err();
    assert!(!running.log().contains("CALLER_UNAUTHENTICATED"), "a warning, and errors only are logged");
    // As a full disk leaves it.
    fs::write(running.home.path().join("jeton.toml"), "").unwrap();
    running.logged("[callers]: the last one is gone, and everybody might call then", 1).await;
    assert_eq!(introspects(&mut tokens, BILLING).await.unwrap_err().code(), Code::Unauthenticated, "callers stay known");
    fs::remove_file(running.home.path().join("jeton.toml")).unwrap();
    running.logged("jeton.toml: cannot be read", 1).await;
    introspects(&mut tokens, OPERATOR).await.unwrap();
    assert_eq!(introspects(&mut tokens, BILLING).await.unwrap_err().code(), Code::Unauthenticated, "callers stay known");
    written(running.home.path(), &[&caller("operator", BILLING)]);
    running.logged("setting=[telemetry] log_level change=was `error`, is `info`", 1).await;
    eventually("warnings are logged", async || {
        _ = introspects(&mut tokens, OPERATOR).await.unwrap_err();
        running.log().contains("CALLER_UNAUTHENTICATED")
    })
    .await;
}

//! How the process ends, and what it says by its exit code.

use super::redis_server::RedisServer;
use super::store_contract::eventually;
use super::tour::{Home, Server};
use std::process::Command;

const ROOT_KEY: (&str, &str) = ("JETON_ROOT_KEY", crate::tour::ROOT_KEY);

/// Sends it a signal.
pub fn signal(server: &Server, signal: &str) {
    let sent = Command::new("kill").args([signal, &server.process.id().to_string()]).status().unwrap();
    assert!(sent.success(), "kill {signal}: {sent}");
}

#[test]
fn told_to_stop_it_ends_well() {
    let home = Home::new();
    for told in ["-TERM", "-INT"] {
        let mut server = Server::start(&home, &format!("embedded:{}", home.path().join("data").display()), &[]);
        signal(&server, told);
        assert_eq!(server.process.wait().unwrap().code(), Some(0), "{told}");
    }
}

#[tokio::test]
async fn a_replica_that_cannot_go_on_ends_with_a_failure() {
    let redis = RedisServer::start().await;
    let (home, other) = (Home::new(), Home::new());
    let mut first = Server::start(&home, &redis.url(), &[ROOT_KEY]);
    // While it sleeps the store is emptied, and another replica makes a new salt.
    signal(&first, "-STOP");
    let _: () = redis.ask(&["FLUSHALL"]).await;
    let _second = Server::start(&other, &redis.url(), &[ROOT_KEY]);
    signal(&first, "-CONT");
    assert_eq!(first.process.wait().unwrap().code(), Some(1));
}

#[tokio::test]
async fn why_a_client_did_not_authenticate_only_the_log_tells() {
    let home = Home::new();
    let server = Server::start(&home, "memory:", &[("JETON_LIMITS_FAILURE_RATE", "0")]);
    let log = || std::fs::read_to_string(home.path().join("log")).unwrap();
    let wrong = "jcs_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (client, cause) in [("billing-job", "the credential is wrong"), ("nobody", "no such client"), (wrong, "no such client")] {
        let named = if client == wrong { "(a secret)" } else { client };
        // A line a second at most tells of it.
        eventually("the log tells", async || {
            let asked = Command::new(env!("CARGO_BIN_EXE_jeton"))
                .args(["issue", "--server", &server.address, "--client", client, "--scope", "orders:read"])
                .env("JETON_CLIENT_SECRET", wrong)
                .output()
                .unwrap();
            let told = String::from_utf8(asked.stderr).unwrap();
            assert!(told.contains("INVALID_CLIENT") && !told.contains(cause), "{told}");
            log().lines().any(|line| line.contains(named) && line.contains(cause))
        })
        .await;
    }
    assert!(!log().contains(wrong));
}

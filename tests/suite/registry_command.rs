//! Clients and resources registered by the command line, with real processes: every replica follows by itself.

use crate::redis_cluster::RedisCluster;
use crate::redis_server::RedisServer;
use crate::store_contract::eventually;
use crate::tour::{Home, ROOT_KEY, Server};
use serde_json::Value;
use std::process::{Command, Output, Stdio};

fn jeton(server: &Server, secret: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jeton"));
    command.args(arguments).env("JETON_SERVER", &server.address).env_remove("JETON_CONFIG").stdin(Stdio::null());
    command.env("JETON_CLIENT_SECRET", secret).output().unwrap()
}

#[track_caller]
fn done(server: &Server, arguments: &[&str]) -> Value {
    let output = jeton(server, "", &[arguments, &["--output", "json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn refused(server: &Server, arguments: &[&str]) -> String {
    let output = jeton(server, "", arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn issues(server: &Server, secret: &str) -> Option<String> {
    let output = jeton(server, secret, &["issue", "--client", "till", "--scope", "shop:read", "--field", "access_token"]);
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
}

fn is_active(server: &Server, token: &str) -> bool {
    jeton(server, "", &["introspect", token, "--fully-fresh"]).status.code() == Some(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_register_and_every_replica_follows_on_one_redis() {
    let redis = RedisServer::start().await;
    operators_register_and_every_replica_follows(&redis.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_register_and_every_replica_follows_on_a_cluster() {
    let cluster = RedisCluster::start().await;
    operators_register_and_every_replica_follows(&cluster.url()).await;
}

async fn operators_register_and_every_replica_follows(store: &str) {
    let homes = [Home::new(), Home::new()];
    let [server, other] = homes.each_ref().map(|home| Server::start(home, store, &[("JETON_ROOT_KEY", ROOT_KEY)]));

    done(&server, &["resources", "create", "https://shop.internal", "--scope", "shop:read"]);
    let create = ["clients", "create", "till", "--kind", "confidential", "--grant-type", "client_credentials"];
    let create = [create.as_slice(), &["--scope", "shop:read", "--resource", "https://shop.internal"]].concat();
    let made = done(&server, &create);
    let old = made["client_secret"].as_str().unwrap().to_owned();
    assert!(refused(&server, &create).contains("REGISTRATION_EXISTS"));
    eventually("the other replica knows the client", async || issues(&other, &old).is_some()).await;

    let new = done(&other, &["clients", "rotate-secret", "till", "--old-valid-for", "3600"]);
    let new = new["client_secret"].as_str().unwrap().to_owned();
    eventually("the new secret is known", async || issues(&server, &new).is_some()).await;
    assert!(issues(&server, &old).is_some() && issues(&other, &old).is_some(), "the old one is still valid");
    done(&server, &["clients", "rotate-secret", "till", "--old-valid-for", "0"]);
    eventually("the others are not valid any more", async || issues(&other, &new).is_none()).await;

    // What is not given stays, and an etag that is not that of this moment changes nothing.
    let stale = done(&server, &["clients", "show", "till"])["etag"].as_str().unwrap().to_owned();
    let changed = done(&server, &["clients", "update", "till", "--grants-per-subject", "7"]);
    assert_eq!((&changed["grants_per_subject"], &changed["scopes"]), (&Value::from(7), &made["scopes"]));
    let late = refused(&server, &["clients", "update", "till", "--grants-per-subject", "8", "--etag", &stale]);
    assert!(late.contains("REGISTRATION_CHANGED"), "{late}");
    let wrong = refused(&server, &["clients", "update", "till", "--scope", "shop:raed"]);
    assert!(wrong.contains("client.scopes[0]"), "{wrong}");
    let listed = done(&server, &["clients", "list"]);
    let listed = listed["clients"].as_array().unwrap();
    assert!(listed.iter().any(|one| one["client_id"] == "till" && one["read_only"] == false));
    assert!(listed.iter().any(|one| one["client_id"] == "mobile-app" && one["read_only"] == true));
    let of_file: [&[&str]; 3] = [
        &["clients", "delete", "mobile-app"],
        &["clients", "update", "mobile-app", "--scope", "openid"],
        &["resources", "update", "https://orders.internal", "--scope", "orders:read"],
    ];
    for asked in of_file {
        let told = refused(&server, asked);
        assert!(told.contains("configuration file"), "{asked:?}: {told}");
    }
    assert!(refused(&server, &["resources", "delete", "https://shop.internal"]).contains("`till`"));

    // By a certificate instead of a secret, and back.
    let hash = format!("sha256:{}", "a1".repeat(32));
    let known = done(&server, &["clients", "update", "till", "--self-signed-certificate", &hash]);
    assert_eq!(known["self_signed_certificates"], serde_json::json!([hash]));
    let twice = refused(&server, &["clients", "update", "till", "--tls-client-auth-san-dns", "till.internal"]);
    assert!(twice.contains("client.self_signed_certificates") && twice.contains("given beside another"), "{twice}");
    let named = ["--self-signed-certificate", "", "--tls-client-auth-san-dns", "till.internal"];
    let named = done(&server, &[&["clients", "update", "till"], named.as_slice()].concat());
    assert_eq!((&named["tls_client_auth_san_dns"], named.get("self_signed_certificates")), (&"till.internal".into(), None));
    done(&server, &["clients", "update", "till", "--tls-client-auth-san-dns", ""]);

    // A policy, a deletion: seen elsewhere by themselves.
    done(&server, &["resources", "update", "https://shop.internal", "--amr", "mfa", "--access-token-lifetime", "60"]);
    eventually("the other replica knows the resource", async || {
        done(&other, &["resources", "show", "https://shop.internal"])["amr_values"] == serde_json::json!(["mfa"])
    })
    .await;
    let newest = done(&server, &["clients", "rotate-secret", "till"])["client_secret"].as_str().unwrap().to_owned();
    let token = issues(&server, &newest).unwrap();
    assert!(is_active(&other, &token));
    done(&other, &["clients", "delete", "till"]);
    assert!(issues(&server, &newest).is_none() && !is_active(&server, &token), "at once, on every replica");
    done(&server, &["resources", "delete", "https://shop.internal"]);
    let gone = refused(&server, &["resources", "show", "https://shop.internal"]);
    assert!(gone.contains("REGISTRATION_UNKNOWN"), "{gone}");
}

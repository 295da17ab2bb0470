//! Redis over TLS: real servers, with a certificate of an authority that only these tests know. If `redis-server` was built without TLS
//! they fail: it says so itself, and `ready` repeats it.

use crate::certificates::Certificates;
use crate::redis_cluster::RedisCluster;
use crate::redis_sentinel::NAME;
use crate::redis_server::RedisServer;
use crate::store_contract::{Names, change, in_words, made, read, value};
use jeton::clock::Clock;
use jeton::store::redis::Redis;
use jeton::store::{Name, Store, StoreError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

impl Certificates {
    /// What a server is started with, without the dashes of the command line.
    fn options(&self) -> [(&'static str, String); 5] {
        let ((certificate, key), text) = (self.of_the_server(), |path: PathBuf| path.display().to_string());
        [
            ("tls-port", "TLS_PORT".to_owned()),
            ("tls-cert-file", text(certificate)),
            ("tls-key-file", text(key)),
            ("tls-ca-cert-file", text(self.authority())),
            ("tls-auth-clients", "no".to_owned()),
        ]
    }

    fn arguments(&self) -> Vec<String> {
        self.options().into_iter().flat_map(|(name, value)| [format!("--{name}"), value]).collect()
    }
}

/// Fails, in its own words, where the installed `redis-server` speaks no TLS.
fn ready() {
    let answer = Command::new("redis-server").args(["--tls-port", "0", "--port", "no"]).output().unwrap();
    let said = String::from_utf8_lossy(&answer.stdout).into_owned() + &String::from_utf8_lossy(&answer.stderr);
    assert!(!said.contains("tls-port"), "these tests need a redis-server that was built with TLS; this one says: {said}");
}

async fn started(options: &[String]) -> RedisServer {
    RedisServer::start_with(&options.iter().map(String::as_str).collect::<Vec<_>>()).await
}

async fn connect(place: &str, authority: &Path) -> Result<Arc<dyn Store>, StoreError> {
    let url = format!("{place}?ca_file={}", authority.display());
    Ok(Arc::new(Redis::connect(&url, Clock::system()).await?))
}

async fn works(store: &Arc<dyn Store>) {
    let name = Names::of("tls").fresh();
    made(store, &change(&name, None, Some(1))).await;
    assert_eq!(read(store, &name).await, Some(value(1)));
    assert_eq!(in_words(store.health().await.unwrap()), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_of_ones_own_authority_is_trusted_and_no_other() {
    ready();
    let (ours, other) = (Certificates::new(), Certificates::new());
    let server = started(&ours.arguments()).await;
    server.add_user("jeton", "hunter2", "allkeys allcommands").await;
    let place = format!("rediss://jeton:hunter2@127.0.0.1:{}", server.tls_port());
    works(&connect(&place, &ours.authority()).await.unwrap()).await;
    let refused = connect(&place, &other.authority()).await.err().unwrap().to_string();
    assert!(refused.contains("certificate") && !refused.contains("hunter2"), "{refused}");
    // The name in the address is checked, not only who signed.
    let renamed = place.replace("127.0.0.1", "127.0.0.2");
    assert!(connect(&renamed, &ours.authority()).await.is_err());
    let plain = format!("rediss://127.0.0.1:{}", server.port());
    assert!(connect(&plain, &ours.authority()).await.is_err());
    let missing = connect(&place, Path::new("/no/such/file.pem")).await.err().unwrap().to_string();
    assert!(missing.contains("`/no/such/file.pem`"), "{missing}");
}

#[tokio::test]
async fn sentinels_and_the_primary_they_name_are_asked_over_tls() {
    ready();
    let certificates = Certificates::new();
    let node = started(&certificates.arguments()).await;
    let lines: Vec<String> = certificates.options().into_iter().map(|(name, value)| format!("{name} {value}")).collect();
    let monitor = format!("tls-replication yes\nsentinel monitor {NAME} 127.0.0.1 {} 1", node.tls_port());
    let sentinel = RedisServer::start_sentinel(format!("{}\n{monitor}", lines.join("\n"))).await;
    let place = format!("rediss+sentinel://127.0.0.1:{}/{NAME}", sentinel.tls_port());
    works(&connect(&place, &certificates.authority()).await.unwrap()).await;
}

#[tokio::test]
async fn all_nodes_of_a_cluster_are_asked_over_tls() {
    ready();
    let certificates = Certificates::new();
    let among_themselves = ["--tls-cluster", "yes", "--tls-replication", "yes"].map(str::to_owned);
    let arguments = [certificates.arguments(), among_themselves.to_vec()].concat();
    let all = RedisCluster::start_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let place = format!("rediss+cluster://127.0.0.1:{}", all.nodes[0].tls_port());
    let store = connect(&place, &certificates.authority()).await.unwrap();
    works(&store).await;
    let scattered: Vec<Name> = (0..32).map(|at| Name::new(&format!("jeton:{{{at}}}:g:1"))).collect();
    for name in &scattered {
        made(&store, &change(name, None, Some(2))).await;
    }
    assert!(store.get(&scattered).await.unwrap().values.iter().all(|held| *held == Some(value(2))));
    // A redirection names the port for TLS too.
    let slot = all.slot_of(scattered[0].as_str()).await;
    all.fail_over(slot, None).await;
    made(&store, &change(&scattered[0], Some(2), Some(3))).await;
}

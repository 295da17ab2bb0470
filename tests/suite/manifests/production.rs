//! The production overlay: what it promises, and that a real jeton starts with exactly what it mounts, on a Redis with replicas.

use super::{PRODUCTION, at, items, jeton, objects, of_kind, settings, text};
use crate::authority::Authority;
use crate::redis_server::RedisServer;
use crate::rfc::raw::Asking;
use crate::store_contract::eventually;
use crate::tls::Served;
use crate::tour::Home;
use rcgen::SanType;
use serde_yaml_ng::Value;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// A setting of one line, as it is written.
fn set<'a>(toml: &'a str, key: &str) -> &'a str {
    let line = toml.lines().find(|line| line.split(" = ").next() == Some(key)).unwrap_or_else(|| panic!("{key} is not set"));
    line.split_once(" = ").unwrap().1.trim_matches('"')
}

/// The files that a volume of the pod has, by their paths in the container, each with what it comes from: `secret/NAME/KEY`.
fn mounted(pod: &Value, volume: &str) -> BTreeMap<String, String> {
    let mount = items(pod, "containers.0.volumeMounts").iter().find(|mount| text(mount, "name") == volume).unwrap();
    let volume = items(pod, "volumes").iter().find(|named| text(named, "name") == volume).unwrap();
    let mut files = BTreeMap::new();
    for source in items(volume, "projected.sources") {
        for kind in ["secret", "configMap"].into_iter().filter(|kind| !at(source, kind).is_null()) {
            let name = text(source, &format!("{kind}.name"));
            for item in items(source, &format!("{kind}.items")) {
                let path = format!("{}/{}", text(mount, "mountPath"), text(item, "path"));
                files.insert(path, format!("{kind}/{name}/{}", text(item, "key")));
            }
        }
    }
    files
}

#[test]
fn production_is_three_replicas_over_zones_that_call_by_mutual_tls_and_survive_an_eviction() {
    let objects = objects(PRODUCTION);
    let deployment = jeton(&objects);
    let pod = at(deployment, "spec.template.spec");
    let labels = at(deployment, "spec.selector.matchLabels");
    assert!(at(deployment, "spec.replicas").is_null(), "a number here would undo the autoscaler's at every apply");
    let scaler = of_kind(&objects, "HorizontalPodAutoscaler")[0];
    assert_eq!(at(scaler, "spec.minReplicas"), &Value::from(3));
    assert_eq!((text(scaler, "spec.scaleTargetRef.kind"), text(scaler, "spec.scaleTargetRef.name")), ("Deployment", "jeton"));
    let budget = of_kind(&objects, "PodDisruptionBudget")[0];
    assert_eq!(at(budget, "spec.selector.matchLabels"), labels);
    assert_eq!(at(budget, "spec.maxUnavailable"), &Value::from(1));
    let zones = &items(pod, "topologySpreadConstraints")[0];
    assert_eq!(text(zones, "topologyKey"), "topology.kubernetes.io/zone");
    assert_eq!(text(zones, "whenUnsatisfiable"), "DoNotSchedule");
    assert_eq!(at(zones, "labelSelector.matchLabels"), labels);
    // What it takes to stop: nobody sends any more, calls end, the store is told, the admin port, the audit stream, the last spans.
    let pause = at(pod, "containers.0.lifecycle.preStop.sleep.seconds").as_u64().unwrap();
    assert!(at(pod, "terminationGracePeriodSeconds").as_u64().unwrap() >= pause + 10 + 1 + 10 + 3 + 3);
    assert!(at(pod, "securityContext.fsGroup").as_u64().is_some(), "else the key cannot be read");
}

/// The command of the pod with its environment, its files and nothing else; its ports are taken, so others.
struct Pod {
    home: Home,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Pod {
    /// With what the references name.
    fn new(pod: &Value, toml: &str, references: &BTreeMap<&str, String>) -> Self {
        let home = Home::new();
        let here = home.path().display().to_string();
        for (path, reference) in mounted(pod, "tls") {
            let file = format!("{here}{path}");
            fs::create_dir_all(std::path::Path::new(&file).parent().unwrap()).unwrap();
            fs::write(&file, references.get(reference.as_str()).unwrap_or_else(|| panic!("{reference}"))).unwrap();
            // As the volume's `defaultMode` says.
            fs::set_permissions(&file, Permissions::from_mode(0o440)).unwrap();
        }
        let config = format!("{here}/jeton.toml");
        fs::write(&config, toml.replace("\"/etc/", &format!("\"{here}/etc/"))).unwrap();
        let arguments = items(pod, "containers.0.args").iter().map(|argument| argument.as_str().unwrap());
        let arguments = arguments.map(|argument| argument.replace("/etc/jeton/jeton.toml", &config)).collect();
        let environment = items(pod, "containers.0.env").iter().map(|variable| {
            let from = at(variable, "valueFrom.secretKeyRef");
            let reference = format!("secret/{}/{}", text(from, "name"), text(from, "key"));
            (text(variable, "name").to_owned(), references[reference.as_str()].clone())
        });
        let environment = environment.collect();
        Self { home, arguments, environment }
    }

    fn command(&self, arguments: &[String]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jeton"));
        command.args(arguments).env_clear().envs(self.environment.iter().cloned());
        command
    }
}

#[tokio::test]
async fn jeton_starts_with_exactly_what_production_mounts() {
    let objects = objects(PRODUCTION);
    let pod = at(jeton(&objects), "spec.template.spec");
    let toml = settings(&objects);
    let sound = ["--appendonly", "yes", "--maxmemory", "64mb", "--maxmemory-policy", "noeviction"];
    let redis = RedisServer::start_with(&[&sound[..], &["--repl-diskless-sync-delay", "0"]].concat()).await;
    let port = redis.port().to_string();
    let mut replicas = Vec::new();
    for _ in 0..set(toml, "replicas").parse().unwrap() {
        replicas.push(RedisServer::start_with(&[&sound[..], &["--replicaof", "127.0.0.1", &port]].concat()).await);
    }
    for replica in &replicas {
        eventually("a replica is in step", async || replica.info("replication", "master_link_status").await == "up").await;
    }

    let (servers, callers) = (Authority::new(), Authority::new());
    let scraped = text(of_kind(&objects, "ServiceMonitor")[0], "spec.endpoints.0.tlsConfig.serverName");
    let issuer = set(toml, "issuer").strip_prefix("https://").unwrap();
    let server = servers.server_of(&["127.0.0.1", scraped, issuer]);
    let root_key = Command::new(env!("CARGO_BIN_EXE_jeton")).args(["keys", "generate-root"]).output().unwrap().stdout;
    let references = BTreeMap::from([
        ("secret/jeton-root-keys/root-keys", String::from_utf8(root_key).unwrap()),
        ("secret/jeton-store/url", redis.url()),
        ("secret/jeton-tls/tls.crt", server.pem()),
        ("secret/jeton-tls/tls.key", server.key()),
        ("configMap/jeton-caller-ca/ca.crt", callers.pem()),
    ]);
    let pod_here = Pod::new(pod, toml, &references);

    // `doctor` reads what `serve` does, and finds nothing that is wrong.
    let [serve, config, ..] = pod_here.arguments.as_slice() else { panic!("{:?}", pod_here.arguments) };
    assert_eq!(serve, "serve");
    let found = pod_here.command(&["doctor".into(), config.clone(), "--output=json".into()]).output().unwrap();
    let told = String::from_utf8_lossy(&[found.stdout.clone(), found.stderr].concat()).into_owned();
    assert!(found.status.success(), "{told}");
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).expect(&told);
    // What Redis takes for an answer, or lacks, depends on this machine.
    let configured =
        ["configuration", "TLS", "listeners", "issuer", "root key", "overlap", "staleness", "clients", "client", "resource"];
    let wrong =
        |check: &serde_json::Value| check["verdict"] != "ok" && configured.iter().any(|configured| check["check"] == *configured);
    assert!(!found["checks"].as_array().unwrap().iter().any(wrong), "{told}");

    let listens = ["--grpc-listen", "--http-listen", "--admin-listen"];
    let elsewhere = listens.iter().flat_map(|option| [(*option).to_owned(), "127.0.0.1:0".to_owned()]);
    let arguments: Vec<String> = pod_here.arguments.iter().cloned().chain(elsewhere).collect();
    fs::write(pod_here.home.path().join("servers.pem"), servers.pem()).unwrap();
    let mut command = pod_here.command(&arguments);
    let served = Served::start(pod_here.home, &mut command);

    // The kubelet shows no certificate.
    let trusting = servers.trusted(None);
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let path = text(pod, &format!("containers.0.{probe}.httpGet.path"));
        eventually(probe, async || Asking::get(served.admin, path).over(&trusting).send().await.status == 200).await;
    }
    let named = |authority: &Authority, uri: &str| {
        let uri = SanType::URI(uri.try_into().unwrap());
        authority.client(|params| params.subject_alt_names.push(uri))
    };
    let gateway = "spiffe://cluster.local/ns/gateway/sa/envoy";
    assert!(served.is_let_in(Some(&named(&callers, gateway))));
    assert!(!served.is_let_in(Some(&named(&Authority::new(), gateway))), "of an authority that nobody trusts");
    assert!(!served.is_let_in(None));
}

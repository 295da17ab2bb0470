//! A short run of every target: the corpus, and what a deterministic mutator makes of it.

use jeton_fuzz::{TARGETS, driver};

fn short(name: &str, runs: usize) {
    for target in TARGETS.iter().filter(|target| target.name == name) {
        driver::run(target, runs);
    }
}

#[test]
fn tokens() {
    short("tokens", 50_000);
}

#[test]
fn jwt() {
    short("jwt", 10_000);
}

#[test]
fn dpop() {
    short("dpop", 10_000);
}

#[test]
fn form() {
    short("form", 5_000);
}

#[test]
fn grants() {
    short("grants", 20_000);
}

#[test]
fn devices() {
    short("devices", 20_000);
}

#[test]
fn log() {
    short("log", 50_000);
}

#[test]
fn config() {
    short("config", 200);
}

#[test]
fn assertions() {
    short("assertions", 10_000);
}

#[test]
fn sealed() {
    short("sealed", 2_000);
}

#[test]
fn floors() {
    short("floors", 50_000);
}

#[test]
fn registered() {
    short("registered", 10_000);
}

#[test]
fn names() {
    short("names", 20_000);
}

#[test]
fn gateways() {
    short("gateways", 20_000);
}

#[test]
fn callers() {
    short("callers", 20_000);
}

#[test]
fn certificates() {
    short("certificates", 10_000);
}

#[test]
fn audit() {
    short("audit", 2_000);
}

#[test]
fn every_target_is_here_and_has_a_small_corpus() {
    let here = include_str!("short.rs");
    for target in TARGETS {
        assert!(here.contains(&format!("short(\"{}\"", target.name)), "{}", target.name);
        let corpus = driver::corpus(&target);
        assert!(!corpus.is_empty() && corpus.iter().map(Vec::len).sum::<usize>() < 256 * 1024, "{}", target.name);
    }
}

#[test]
fn what_must_not_be_is_found() {
    let wrong = jeton_fuzz::Target { name: "form", read: |data| assert!(!data.contains(&b'%'), "planted") };
    assert!(std::panic::catch_unwind(|| driver::run(&wrong, 1_000)).is_err());
}

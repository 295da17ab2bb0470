//! What the documents say that can be compared with the repository: files they link to, tests, metrics and log lines they
//! name. Whether a sentence is true is for who reads it.

use jeton::store::redis::PERMISSIONS;
use jeton::telemetry::metrics::{self, Instrument};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Every file below the repository's root with one of these extensions, by its path from there.
pub fn files(extensions: &[&str]) -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.starts_with('.') || name == "target" || name == "data" {
                continue;
            }
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extensions.iter().any(|one| extension == *one)) {
                let text = fs::read_to_string(&path).unwrap();
                found.insert(path.strip_prefix(root).unwrap().to_path_buf(), text);
            }
        }
    }
    found
}

fn document(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The lines that are no code between fences.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The targets of links, without those that lead out of the repository.
fn links(text: &str) -> Vec<&str> {
    let targets = prose(text).flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

/// The anchors of a document's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let slug = |heading: &str| {
        let kept = heading.trim().to_lowercase().replace(' ', "-");
        kept.chars().filter(|character| character.is_alphanumeric() || matches!(character, '-' | '_')).collect()
    };
    prose(text).filter(|line| line.starts_with('#')).map(|line| slug(line.trim_start_matches('#'))).collect()
}

/// The links of the document at `path` that lead nowhere.
fn dead_links(path: &Path, text: &str, documents: &BTreeMap<PathBuf, String>, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let dead = |target: &&str| {
        let (file, anchor) = target.split_once('#').unwrap_or((*target, ""));
        let mut to = if file.is_empty() { path.to_path_buf() } else { path.parent().unwrap().to_path_buf() };
        for part in Path::new(file).components() {
            match part {
                Component::ParentDir => assert!(to.pop(), "{target} leads out of the repository"),
                other => to.push(other),
            }
        }
        !exists(&to) || (!anchor.is_empty() && !documents.get(&to).is_some_and(|text| anchors(text).contains(anchor)))
    };
    links(text).into_iter().filter(dead).map(|target| format!("{}: {target}", path.display())).collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn is_name(word: &str) -> bool {
    word.contains('_') && word.chars().all(|character| matches!(character, 'a'..='z' | '0'..='9' | '_'))
}

/// The names in a list `a`, `b` that begins with `text`.
fn listed(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.strip_prefix('`').and_then(|open| open.split_once('`')) {
        names.push(name);
        rest = after.strip_prefix(',').unwrap_or_default().trim_start();
    }
    names
}

/// The tests by which a document shows something: behind "Shown by", or in the last column of a table headed so.
fn shown_by(text: &str) -> Vec<&str> {
    let mut names: Vec<&str> = text.split("Shown by").skip(1).flat_map(listed).collect();
    for table in text.split("| shown by |\n").skip(1) {
        let rows = table.lines().skip(1).take_while(|row| row.starts_with('|'));
        names.extend(rows.filter_map(|row| row.trim_end_matches([' ', '|']).rsplit("| ").next()).flat_map(listed));
    }
    names
}

/// The names of all tests, the promises of stores included.
pub fn tests(sources: &BTreeMap<PathBuf, String>) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for (path, source) in sources.iter().filter(|(path, _)| path.extension().is_some_and(|extension| extension == "rs")) {
        let promises = path.starts_with("tests/suite/store_contract");
        let mut marked = false;
        let mut listed = false;
        for line in source.lines().map(str::trim_start) {
            let name = line.split_once("fn ").and_then(|(_, rest)| rest.split_once('(')).map(|(name, _)| name);
            match name {
                None if line.starts_with("on_every_store! {") => listed = true,
                None if listed && line.starts_with('}') => listed = false,
                None if listed => {
                    names.insert(line.trim_end_matches(','));
                }
                Some(name) => {
                    if marked || (promises && line.starts_with("pub async fn")) {
                        names.insert(name);
                    }
                    marked = false;
                }
                None if line.starts_with("#[test]") || line.starts_with("#[tokio::test") => marked = true,
                None => {}
            }
        }
    }
    names
}

fn words(sources: &BTreeMap<PathBuf, String>) -> BTreeSet<&str> {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    sources.values().flat_map(|source| source.split(move |character| !is_part(character))).collect()
}

#[test]
fn every_link_leads_to_a_file_and_heading_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = files(&["md"]);
    assert!(documents.len() > 8, "the documents were not found");
    let dead = documents.iter().flat_map(|(path, text)| dead_links(path, text, &documents, |to| root.join(to).exists()));
    let dead: Vec<String> = dead.collect();
    assert!(dead.is_empty(), "links that lead nowhere:\n{}", dead.join("\n"));
}

#[test]
fn every_test_that_is_named_exists() {
    let sources = files(&["rs", "proto", "toml", "lua"]);
    let sources: BTreeMap<_, _> = sources.into_iter().filter(|(path, _)| !path.ends_with("documents.rs")).collect();
    let (tests, words) = (tests(&sources), words(&sources));
    assert!(tests.len() > 100, "the tests were not found");
    for page in ["ARCHITECTURE.md", "docs/threats.md"] {
        let text = document(page);
        let named = shown_by(&text);
        assert!(named.len() > 20, "{page} shows nothing by tests");
        let gone: Vec<&str> = named.into_iter().filter(|name| !tests.contains(name)).collect();
        assert!(gone.is_empty(), "{page} names tests that do not exist: {gone:?}");
        let gone: Vec<&str> = quoted(&text).into_iter().filter(|word| is_name(word) && !words.contains(word)).collect();
        assert!(gone.is_empty(), "{page} names what is not in the source: {gone:?}");
    }
}

#[test]
fn the_architecture_fits_on_a_page_or_two() {
    assert!(document("ARCHITECTURE.md").lines().count() <= 150);
}

#[test]
fn the_readme_leads_to_every_page() {
    let readme = document("README.md");
    let pages = files(&["md"]);
    let pages = pages.keys().filter(|path| path.parent() == Some(Path::new("docs"))).map(|path| path.to_str().unwrap());
    let missing: Vec<&str> = pages.filter(|page| !links(&readme).contains(page)).collect();
    assert!(missing.is_empty(), "README.md does not link to {missing:?}");
}

#[test]
fn every_decision_is_in_the_list_of_decisions() {
    let list = document("docs/adr/README.md");
    let decisions = files(&["md"]);
    let decisions = decisions.keys().filter(|path| path.starts_with("docs/adr")).map(|path| path.file_name().unwrap());
    let missing: Vec<_> =
        decisions.filter(|name| *name != "README.md" && !links(&list).contains(&name.to_str().unwrap())).collect();
    assert!(missing.is_empty(), "docs/adr/README.md does not list {missing:?}");
}

#[test]
fn operations_names_every_metric_log_line_and_permission() {
    let page = document("docs/operations.md");
    let table = page.split("## Metrics").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = table.lines().filter(|row| row.starts_with("| `jeton_")).map(|row| row.split('|').collect::<Vec<_>>());
    let documented: BTreeMap<String, Vec<String>> =
        rows.map(|cells| (quoted(cells[1])[0].to_owned(), quoted(cells[2]).into_iter().map(str::to_owned).collect())).collect();
    let exposed = |metric: &&'static dyn Instrument| {
        let labels = metric.labels().iter().map(ToString::to_string).collect();
        (format!("{}{}", metric.name().replace('.', "_"), metric.suffix()), labels)
    };
    assert_eq!(documented, metrics::INSTRUMENTS.iter().map(exposed).collect(), "metrics");

    let log = page.split("## Log").nth(1).unwrap().split("\n## ").next().unwrap();
    let sources = files(&["rs"]);
    let is_logged =
        |line: &str| sources.iter().any(|(path, source)| path.starts_with("src") && source.contains(&format!("\"{line}\"")));
    let cells = log.lines().filter(|row| row.starts_with('|')).filter_map(|row| row.split('|').nth(2));
    let lines: Vec<&str> = cells.flat_map(quoted).filter(|line| line.contains(' ')).collect();
    assert!(lines.len() > 8, "the log lines were not found");
    let gone: Vec<&str> = lines.into_iter().filter(|line| !is_logged(line)).collect();
    assert!(gone.is_empty(), "nothing logs {gone:?}");

    let permissions: Vec<&str> = page.split_whitespace().collect();
    let missing: Vec<&str> = PERMISSIONS.split_whitespace().filter(|word| !permissions.contains(word)).collect();
    assert!(missing.is_empty(), "permissions that are not told: {missing:?}");
}

#[test]
fn a_dead_link_and_a_test_that_is_gone_are_found() {
    let page = "# A\n[a](b.md#there) [b](#a) [c](../x.rs) [d](https://e.org/f)\n```\n[e](gone.md)\n```\n";
    let documents = BTreeMap::from([("docs/a.md".into(), page.into()), ("docs/b.md".into(), "## There\n".into())]);
    let known = |to: &Path| documents.contains_key(to) || to == Path::new("x.rs");
    let dead = |text: &str| dead_links(Path::new("docs/a.md"), text, &documents, known).len();
    assert_eq!(dead(page), 0);
    for wrong in ["[a](c.md)", "[a](b.md#elsewhere)", "[a](#b)", "[a](../y.rs)", "[a](b.md) [b](c.md)"] {
        assert_eq!(dead(wrong), 1, "{wrong}");
    }
    let page = "It is. Shown by `a_b`,\n`c_d`. Then `e_f`.\n\n| what | shown by |\n|---|---|\n| `x_y` | `g_h`, `i_j` |\n";
    assert_eq!(shown_by(page), ["a_b", "c_d", "g_h", "i_j"]);
    let source = "on_every_store! {\n    e_f,\n}\n#[tokio::test]\nasync fn a_b() {}\nfn helper_of(it: u8) {}\n#[test]\n#[ignore = \"slow\"]\nfn c_d() {}\n";
    let sources = BTreeMap::from([("tests/x.rs".into(), source.into())]);
    assert_eq!(tests(&sources), BTreeSet::from(["a_b", "c_d", "e_f"]));
}

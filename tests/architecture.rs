//! The rooms of the house (`ARCHITECTURE.md`) and what each may name. Reads the source, so that a wrong word fails with its reason.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Room, and the rooms it may name besides itself. Each names only rooms below it, so that a question has one place where
/// it is answered and nothing goes round in a circle.
const ROOMS: [(&str, &str); 21] = [
    ("main", "app cli config transport telemetry clock"),
    // `serve` prints the tour, and `doctor` what it found, which is a matter of the command line.
    ("app", "cli config transport service tokens floors signing records audit store roots outbound tls telemetry clock random"),
    ("cli", "api transport clock coalescing random"),
    // The address of a Redis is read where it is used.
    ("config", "store random"),
    ("transport", "api service audit telemetry clock coalescing random"),
    // Generated code, which encodes by the transport's codec.
    ("api", "transport"),
    ("service", "tokens floors signing records audit store roots outbound telemetry clock random"),
    ("tokens", "signing records roots telemetry clock random"),
    ("floors", "records store roots telemetry clock random"),
    ("signing", "records roots telemetry clock random"),
    ("records", "store roots telemetry clock random"),
    ("audit", "roots telemetry clock random"),
    // Sealing binds the stamp, whose length the store fixes.
    ("roots", "store telemetry clock random"),
    ("store", "tls telemetry clock coalescing random"),
    ("outbound", "tls telemetry"),
    // The collector may be at the other end of a connection with TLS.
    ("telemetry", "tls"),
    ("tls", ""),
    ("clock", ""),
    ("coalescing", ""),
    ("random", ""),
    ("lib", ""),
];

/// A word of foreign code, the paths (beginnings) in which it may stand, and why nowhere else.
const WORDS: [(&str, &[&str], &str); 15] = [
    ("redis::", &["src/store/redis"], "another store must be able to take its place"),
    ("redb::", &["src/store/embedded"], "another store must be able to take its place"),
    (
        "tonic::",
        &["src/transport", "src/cli", "src/telemetry/collector", "src/telemetry/log_sender"],
        "services speak the domain's words, not a transport's",
    ),
    ("tonic_types::", &["src/transport", "src/cli"], "services speak the domain's words, not a transport's"),
    ("axum::", &["src/transport"], "services speak the domain's words, not a transport's"),
    ("http::", &["src/transport", "src/telemetry", "src/outbound"], "services speak the domain's words, not a transport's"),
    ("prost::", &["src/transport", "src/records", "src/cli"], "messages are for the wire and for records"),
    ("prost_types::", &["src/transport", "src/cli", "src/telemetry"], "messages are for the wire"),
    ("clap::", &["src/cli"], "arguments are read in one place"),
    ("toml_edit::", &["src/config"], "the file is read in one place, mistakes are told with their line"),
    ("opentelemetry", &["src/telemetry"], "rooms make spans with `tracing`; where they go is decided in one place"),
    ("env::var", &["src/config"], "a setting that is read elsewhere is neither checked nor documented"),
    ("rand::fill", &["src/random"], "what draws randomness is looked at in one place"),
    ("SystemTime::now", &["src/clock"], "tests move the clock, and the store's time is followed there"),
    ("Status::", &["src/transport/grpc/status.rs", "src/cli"], "one table decides what a refusal is on the wire"),
];

/// The lines of code with their numbers: no comments, no generated-code macros, nothing after `mod tests`.
fn code(source: &str) -> impl Iterator<Item = (usize, String)> {
    let lines = source.lines().enumerate().take_while(|(_, line)| !line.starts_with("mod tests {"));
    lines.map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default().replace("tonic::include_proto!", "")))
}

/// Whether `word` stands in `line` as a path's beginning: `redis::` is not in `store::redis::` or `my_redis::`.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).unwrap_or_default();
        !before.ends_with(|character: char| character.is_alphanumeric() || character == '_')
            && (!before.ends_with("::") || before.ends_with("std::") || before.ends_with("tonic::") || before.ends_with(" ::"))
    })
}

/// Whether `word` is a module of our own in this file: `use crate::store::redis::{self, Redis};`.
fn is_ours(source: &str, word: &str) -> bool {
    let module = word.trim_end_matches("::");
    let ours = |line: &str| {
        let mut parts = line.split(|character: char| !character.is_alphanumeric() && character != '_');
        parts.any(|part| part == module)
            && (line.contains(&format!("{module}::{{self")) || !line.contains(&format!("{module}::")))
    };
    source.lines().any(|line| line.starts_with("use crate::") && ours(line))
}

/// The rooms that a line names: after `crate::` or `jeton::`, several in braces.
fn rooms_in(line: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for root in ["crate::", "jeton::"] {
        for (at, _) in line.match_indices(root) {
            let rest = line.get(at + root.len()..).unwrap_or_default();
            let list = rest.strip_prefix('{').map_or(rest, |list| list.rsplit_once('}').map_or(list, |(list, _)| list));
            let parts = if rest.starts_with('{') { list.split(',').collect() } else { vec![rest] };
            let word = |part: &str| {
                part.trim().chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect::<String>()
            };
            rooms.extend(parts.into_iter().map(word).filter(|room| ROOMS.iter().any(|(known, _)| known == room)));
        }
    }
    rooms
}

/// What in the file at `path` breaks a rule, in words.
fn faults(path: &str, source: &str) -> Vec<String> {
    let room = path.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default();
    let Some((_, may)) = ROOMS.iter().find(|(known, _)| *known == room) else {
        return vec![format!("{path}: `{room}` is no room: give it a line in tests/architecture.rs and ARCHITECTURE.md")];
    };
    // As often as the file is deep, `super::` is the root.
    let supers = "super::".repeat(path.split('/').count() - 1);
    let mut faults = Vec::new();
    for (number, line) in code(source) {
        let line = line.replace(&supers, "crate::");
        for named in rooms_in(&line).into_iter().filter(|named| named != room && !may.split(' ').any(|allowed| allowed == named))
        {
            faults.push(format!("{path}:{number}: `{room}` may not name `{named}`: a room names only rooms below it ({may})"));
        }
        for (word, places, reason) in WORDS.iter().filter(|(word, ..)| names(&line, word) && !is_ours(source, word)) {
            if !places.iter().any(|place| path.starts_with(place)) {
                faults.push(format!("{path}:{number}: `{word}` may stand only in {}: {reason}", places.join(", ")));
            }
        }
    }
    faults
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

#[test]
fn every_room_names_only_what_it_may() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    sources(&root.join("src"), &mut found).unwrap();
    assert!(found.len() > 30, "the source was not found");
    let all = found.iter().flat_map(|path| {
        let relative = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        faults(&relative, &fs::read_to_string(path).unwrap())
    });
    let all: Vec<String> = all.collect();
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

/// What in a file of the client library breaks its rule: it is used where there is no server.
fn faults_of_a_library(path: &str, source: &str) -> Vec<String> {
    let names_us = |line: &str| {
        names(line, "jeton::") || line.trim_start().starts_with("jeton.") || line.trim_start().starts_with("jeton =")
    };
    let wrong = code(source).filter(|(_, line)| names_us(line));
    wrong.map(|(number, line)| format!("{path}:{number}: `{}`: the library stands on the domain alone", line.trim())).collect()
}

#[test]
fn the_libraries_name_no_room() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    let mut found = vec![root.join("client/Cargo.toml"), root.join("domain/Cargo.toml")];
    for directory in ["client/src", "client/examples", "domain/src"] {
        sources(&root.join(directory), &mut found).unwrap();
    }
    assert!(found.len() > 40, "the source was not found");
    let all = found.iter().flat_map(|path| faults_of_a_library(&path.to_string_lossy(), &fs::read_to_string(path).unwrap()));
    let all: Vec<String> = all.collect();
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

#[test]
fn the_rooms_are_in_no_circle() {
    let order: Vec<&str> = ROOMS.iter().map(|(room, _)| *room).collect();
    let place = |room: &str| order.iter().position(|known| *known == room).unwrap();
    for (room, may) in ROOMS {
        for below in may.split_whitespace() {
            let looks_down = place(below) > place(room) || (room, below) == ("api", "transport");
            assert!(looks_down, "`{room}` may name `{below}`, which is above it");
        }
    }
}

#[test]
fn a_wrong_word_is_found_and_a_right_one_is_not() {
    for (path, line) in [
        ("src/store/redis.rs", "use crate::records::Records;"),
        ("src/service/issue.rs", "use crate::{clock::Clock, transport::fault};"),
        ("src/store/redis.rs", "use super::super::{clock::Clock, records::Records};"),
        ("src/service/issue.rs", "fn status() -> tonic::Status {"),
        ("src/records.rs", "let client = redis::Client::open(url);"),
        ("src/records.rs", "use redb::Database;"),
        ("src/app.rs", "use crate::store::redis::Redis;\nredis::Client::open(url);"),
        ("src/app.rs", "let home = std::env::var(\"HOME\");"),
        ("src/transport/grpc/token.rs", "return Err(Status::internal(\"no\"));"),
        ("src/helpers.rs", ""),
    ] {
        assert_eq!(faults(path, &format!("\n{line}\n")).len(), 1, "{path}: {line}");
    }
    for line in ["use jeton::store::Store;", "jeton.workspace = true", "jeton = { path = \"../..\" }"] {
        assert_eq!(faults_of_a_library("crates/client/src/x.rs", line).len(), 1, "{line}");
    }
    for line in ["use jeton_domain::jws;", "jeton-domain.workspace = true", "name = \"jeton-client\"", "// see jeton::store"] {
        assert_eq!(faults_of_a_library("crates/client/src/x.rs", line), Vec::<String>::new(), "{line}");
    }
    for (path, line) in [
        ("src/records.rs", "// a word about redis::Client and crate::transport"),
        ("src/app.rs", "use crate::store::redis::Redis;"),
        ("src/app.rs", "use crate::store::redis::{self, Redis};\nlet settings = redis::Settings::default();"),
        ("src/app.rs", "use crate::transport::{grpc, http};\nhttp::serve();"),
        ("src/service/issue.rs", "use super::transport::Word;"),
        ("src/store/redis/link.rs", "use redis::Client;"),
        ("src/records.rs", "tonic::include_proto!(\"jeton.records.v1\");"),
        ("src/service/issue.rs", "use crate::{clock::Clock, tokens::Typ};"),
        ("src/app.rs", "mod tests {\nuse redis::Client;"),
    ] {
        assert_eq!(faults(path, &format!("{line}\n")), Vec::<String>::new(), "{path}: {line}");
    }
}

/// The warnings and errors that a file logs, in the fixed words of each: the last text of a macro, without what stands in braces.
fn warnings(source: &str) -> Vec<Vec<String>> {
    let source = source.split("\nmod tests {").next().unwrap_or_default();
    let begins = ["tracing::warn!(", "tracing::error!("]
        .into_iter()
        .flat_map(|macro_| source.match_indices(macro_).map(move |(at, found)| at + found.len()));
    begins.filter_map(|at| last_text(source.get(at..)?)).map(|text| fixed_words(&text)).collect()
}

/// The last text in quotation marks before the parenthesis that ends the macro.
fn last_text(inside: &str) -> Option<String> {
    let (mut depth, mut text, mut last) = (1, None::<String>, None);
    let mut characters = inside.chars();
    while let Some(character) = characters.next() {
        match (&mut text, character) {
            (Some(held), '\\') => held.extend(characters.next()),
            (Some(_), '"') => last = text.take(),
            (Some(held), other) => held.push(other),
            (None, '"') => text = Some(String::new()),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
        if depth == 0 {
            break;
        }
    }
    last
}

/// What of a format is the same in every line.
fn fixed_words(format: &str) -> Vec<String> {
    let pieces = format.split('{').map(|piece| piece.rsplit('}').next().unwrap_or_default().trim());
    pieces.filter(|piece| !piece.is_empty()).map(str::to_owned).collect()
}

#[test]
fn operations_says_what_to_do_for_each_warning_and_error() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let table = page.split("\n## Log\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| warn |") || line.starts_with("| error |")).collect();
    let is_told = |words: &[String]| rows.iter().any(|row| words.iter().all(|word| row.contains(word.as_str())));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files).unwrap();
    let mut found = 0;
    for file in files {
        for words in warnings(&fs::read_to_string(&file).unwrap()).into_iter().filter(|words| !words.is_empty()) {
            found += 1;
            assert!(is_told(&words), "{}: {words:?} has no row in the table of docs/operations.md, Log", file.display());
        }
    }
    assert!(found > 25, "{found}");
    let planted = "tracing::error!(%problem, why = \"x\", \"lost {count} (of all) \\\"things\\\"\");";
    assert_eq!(warnings(planted), [["lost", "(of all) \"things\""]]);
    assert!(!is_told(&warnings(planted)[0]));
}

//! What the machine gives: files that may be open at once, and the place of the audit stream.

use crate::audit::BEGINS;
use crate::config::Settings;
use crate::store::Diagnosis;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

/// What Linux tells of the limits of this process.
const LIMITS: &str = "/proc/self/limits";
/// The listeners, each of which may have so many connections.
const LISTENERS: usize = 3;
/// Files that are open beside connections: the store, the log, the audit stream, calls of others.
const OTHER_FILES: usize = 256;

/// All that there are.
pub fn examine(settings: &Settings) -> Vec<Diagnosis> {
    let open = fs::read_to_string(LIMITS).ok().and_then(|limits| open_files(&limits, settings.limits.connections));
    let audit = settings.audit.file.as_deref().map(audit);
    open.into_iter().chain(audit).collect()
}

/// As many files may be open as there may be connections. None where the system does not tell, or sets no limit.
fn open_files(limits: &str, connections: usize) -> Option<Diagnosis> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft: usize = line.split_ascii_whitespace().next()?.parse().ok()?;
    let at = "limits.connections";
    let needed = connections.saturating_mul(LISTENERS).saturating_add(OTHER_FILES);
    Some(if soft < needed {
        let found = format!(
            "{connections} for each of {LISTENERS} listeners, and this process may have {soft} files open: who connects when they are taken waits"
        );
        let advice = format!(
            "let the process that serves have {needed} (`ulimit -n`, `LimitNOFILE=`), or allow fewer connections; asked is what this command may"
        );
        Diagnosis::warn("open files", at, found, advice)
    } else {
        Diagnosis::ok("open files", at, format!("{soft} may be open, enough for all connections"))
    })
}

/// The stream can be written there, and nothing else is.
fn audit(file: &Path) -> Diagnosis {
    let at = file.display().to_string();
    if file == Path::new("-") {
        return Diagnosis::ok("audit", at, "it goes to standard output");
    }
    match judge(file) {
        Ok(Stands::Unwritten) => Diagnosis::ok("audit", at, "it can be begun there"),
        Ok(Stands::Ours) => Diagnosis::ok("audit", at, "it can be written"),
        Ok(Stands::Held) => Diagnosis::ok("audit", at, "a process writes it now; a second one does not start on it"),
        Ok(Stands::Foreign) => {
            let advice = "give the stream a file of its own: what else is written there breaks it";
            Diagnosis::fail("audit", at, "the file holds what is no audit stream", advice)
        }
        Err(problem) => {
            let advice = "name a file in a directory that is there and may be written by the user that jeton runs as: it does not start else";
            Diagnosis::fail("audit", at, format!("it cannot be written: {problem}"), advice)
        }
    }
}

/// What is there.
enum Stands {
    Unwritten,
    Ours,
    Held,
    Foreign,
}

/// Nothing is left behind, and nothing that is there is changed.
fn judge(file: &Path) -> io::Result<Stands> {
    let mut held = match OpenOptions::new().read(true).append(true).open(file) {
        Err(problem) if problem.kind() == ErrorKind::NotFound => {
            // Made, and taken away again: no question but this is answered as the start will be.
            drop(File::create_new(file)?);
            fs::remove_file(file)?;
            return Ok(Stands::Unwritten);
        }
        opened => opened?,
    };
    if !held.metadata()?.is_file() {
        // A pipe holds nothing to look at, and who reads from it waits.
        return Ok(Stands::Ours);
    }
    match held.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Stands::Held),
        Err(TryLockError::Error(problem)) => return Err(problem),
    }
    let mut first = Vec::new();
    held.by_ref().take(u64::try_from(BEGINS.len()).unwrap_or(u64::MAX)).read_to_end(&mut first)?;
    Ok(if first.is_empty() || first == BEGINS.as_bytes() { Stands::Ours } else { Stands::Foreign })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Verdict;

    const TOLD: &str = "Limit                     Soft Limit           Hard Limit           Units     \n\
                        Max processes             63340                63340                processes \n\
                        Max open files            1024                 1048576              files     \n";

    #[test]
    fn fewer_files_than_connections_are_told() {
        let verdict = |connections| open_files(TOLD, connections).unwrap().verdict;
        assert_eq!((verdict(256), verdict(257)), (Verdict::Ok, Verdict::Warn));
        assert!(open_files(&TOLD.replace("1024 ", "unlimited "), 20_000).is_none());
    }

    #[test]
    fn the_place_of_the_audit_stream_is_looked_at_and_left_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        let verdict = |name: &str| audit(&at(name)).verdict;
        assert_eq!(verdict("audit.log"), Verdict::Ok);
        assert!(!at("audit.log").exists());
        fs::write(at("audit.log"), "{\"chain\":\"x\",\"seq\":1}\n").unwrap();
        fs::write(at("log"), "2026-11-27T03:00:00Z  INFO jeton: listening\n").unwrap();
        assert_eq!(
            [verdict("audit.log"), verdict("log"), verdict("none/audit.log")],
            [Verdict::Ok, Verdict::Fail, Verdict::Fail]
        );
        let held = File::open(at("audit.log")).unwrap();
        held.lock().unwrap();
        assert!(audit(&at("audit.log")).found.contains("a process writes it now"));
        assert_eq!(audit(Path::new("-")).verdict, Verdict::Ok);
    }
}

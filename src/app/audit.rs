//! `jeton audit`: whether an audit stream is whole, and where a token or a subject is in it. By the ring of root keys, and no server.

use super::{StartError, root_key};
use crate::audit::{Verified, Verifier};
use crate::config::Settings;
use crate::roots::{AuditKey, Hidden};
use jeton_domain::id::GrantId;
use jeton_domain::secret::SecretText;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

/// No line is as long.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// Why it could not be told.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Without the ring nothing can be proved.
    #[error(transparent)]
    RootKey(#[from] StartError),
    /// A file cannot be read.
    #[error("`{file}` cannot be read: {problem}")]
    File {
        /// It.
        file: String,
        /// What is wrong.
        problem: io::Error,
    },
}

/// What is looked for.
#[derive(Debug)]
pub enum Sought {
    /// A token, a code, a client secret; `-` reads it from standard input.
    Token(SecretText),
    /// A grant.
    Grant(GrantId),
    /// A subject.
    Subject(String),
    /// A session.
    Session(String),
}

/// Reads the files, one after the other as one stream, the oldest first; `-` is standard input.
///
/// # Errors
/// `AuditError`. A stream that is broken is none.
pub fn verify(settings: &Settings, files: &[PathBuf]) -> Result<Verified, AuditError> {
    let keys = keys(settings)?;
    let mut verifier = Verifier::new(&keys);
    for file in in_order(files)? {
        if files.len() > 1 {
            verifier.file(file.display().to_string());
        }
        each_line(file, |line| verifier.line(line))?;
    }
    Ok(verifier.done())
}

/// The lines that concern it, as they stand.
///
/// # Errors
/// `AuditError`.
pub fn find(settings: &Settings, files: &[PathBuf], sought: &Sought) -> Result<Vec<String>, AuditError> {
    let keys = keys(settings)?;
    let hashes = match sought {
        Sought::Token(token) if token.expose() == "-" => {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line).map_err(unreadable(Path::new("-")))?;
            Verifier::hashes(&keys, Hidden::Token, line.trim_end_matches(['\r', '\n']))
        }
        Sought::Token(token) => Verifier::hashes(&keys, Hidden::Token, token.expose()),
        // It stands there as it is.
        Sought::Grant(grant) => vec![grant.to_string()],
        Sought::Subject(subject) => Verifier::hashes(&keys, Hidden::Subject, subject),
        Sought::Session(session) => Verifier::hashes(&keys, Hidden::Session, session),
    };
    let hashes: Vec<String> = hashes.iter().map(|hash| format!("\"{hash}\"")).collect();
    let mut found = Vec::new();
    for file in in_order(files)? {
        each_line(file, |line| {
            let line = String::from_utf8_lossy(line);
            if hashes.iter().any(|hash| line.contains(hash)) {
                // No line of ours has what acts on a terminal, but somebody may have changed the file.
                found.push(line.replace(char::is_control, "\u{fffd}"));
            }
        })?;
    }
    Ok(found)
}

/// One to say for a stream: what is wrong, else that it is whole.
#[must_use]
pub fn told(found: &Verified) -> String {
    let lines = found.breaks.iter().map(ToString::to_string).chain(found.chains.iter().cloned());
    let verdict = match (found.breaks.len(), found.unverified) {
        (0, _) if found.lines == 0 => "nothing: no line of an audit stream is here".to_owned(),
        (0, _) if found.lost > 0 => format!("whole: {} lines, which say that {} others were lost", found.lines, found.lost),
        (0, _) => format!("whole: {} lines", found.lines),
        (breaks, 0) if found.lost > 0 => {
            format!("broken at {breaks} of {} lines, which say that {} others were lost", found.lines, found.lost)
        }
        (breaks, 0) => format!("broken at {breaks} of {} lines", found.lines),
        (_, unverified) => format!("not whole: {unverified} of {} lines cannot be verified with this ring", found.lines),
    };
    lines.chain([verdict]).map(|line| format!("{line}\n")).collect()
}

fn keys(settings: &Settings) -> Result<Vec<AuditKey>, AuditError> {
    let ring = root_key::held(settings)?;
    Ok(ring.iter().map(AuditKey::derive).collect::<Result<_, _>>().map_err(StartError::from)?)
}

fn unreadable(file: &Path) -> impl Fn(io::Error) -> AuditError {
    move |problem| AuditError::File { file: file.display().to_string(), problem }
}

/// As they were written, by the times of their first lines: a shell names the newest first. As they are named where one cannot tell, or can be
/// read but once.
fn in_order(files: &[PathBuf]) -> Result<Vec<&PathBuf>, AuditError> {
    let is_read_again = |file: &PathBuf| file.metadata().is_ok_and(|known| known.is_file());
    if files.len() < 2 || !files.iter().all(is_read_again) {
        return Ok(files.iter().collect());
    }
    let mut ordered = Vec::with_capacity(files.len());
    for file in files {
        let mut first = Vec::new();
        let opened = BufReader::new(File::open(file).map_err(unreadable(file))?);
        opened.take(MAX_LINE_BYTES).read_until(b'\n', &mut first).map_err(unreadable(file))?;
        ordered.extend(Verifier::time_of(&first).map(|time| (time, file)));
    }
    if ordered.len() < files.len() {
        return Ok(files.iter().collect());
    }
    ordered.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(ordered.into_iter().map(|(_, file)| file).collect())
}

fn each_line(file: &Path, mut take: impl FnMut(&[u8])) -> Result<(), AuditError> {
    let mut lines: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(file).map_err(unreadable(file))?))
    };
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).map_err(unreadable(file))? > 0 {
        take(line.strip_suffix(b"\n").unwrap_or(&line));
        line.clear();
    }
    Ok(())
}

//! The file as text and as TOML, and which line an offset is in.

use super::mistake::{Place, Report};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use toml_edit::Document;

/// Larger than any configuration; what is larger is another file.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// A configuration file: its name in mistakes and its text.
pub(super) struct Source {
    name: String,
    text: String,
    /// The offset of every line end.
    ends: Vec<usize>,
}

impl Source {
    /// No file: everything is at its default.
    pub(super) fn none() -> Self {
        Self::new("jeton.toml".into(), String::new())
    }

    fn new(name: String, text: String) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Self { name, text, ends }
    }

    /// Reads the file; a mistake where it cannot be read.
    pub(super) fn read(path: &Path, report: &Report) -> Option<Self> {
        let name = path.display().to_string();
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            report.mistake(Place::outside(name), format!("cannot be read: {error}"));
            return None;
        }
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
            report.mistake(Place::outside(name), format!("is larger than {MAX_BYTES} bytes: this is no configuration"));
            return None;
        }
        match String::from_utf8(bytes) {
            Ok(text) => Some(Self::new(name, text)),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let line = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count() + 1;
                report.mistake(Place { line, text: format!("{name}:{line}") }, "is not UTF-8");
                None
            }
        }
    }

    /// The TOML of it; where it is none, that is the only mistake.
    pub(super) fn parse(&self, report: &Report) -> Option<Document<&str>> {
        match Document::parse(self.text.as_str()) {
            Ok(document) => Some(document),
            Err(error) => {
                let offset = error.span().map_or(0, |span| span.start);
                let line = self.line(offset);
                let before = self.text.get(..offset).unwrap_or_default();
                let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
                // The message alone: what the error displays repeats the line, which may hold a password.
                let message = error.message().lines().collect::<Vec<_>>().join(", ");
                report.mistake(Place { line, text: format!("{}:{line}:{column}", self.name) }, format!("is not TOML: {message}"));
                None
            }
        }
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.ends.partition_point(|end| *end < offset) + 1
    }

    /// `jeton.toml:12: [limits] concurrency`; without a line where none is known.
    pub(super) fn place(&self, line: Option<usize>, what: &str) -> Place {
        let line = line.unwrap_or_default();
        let at = if line == 0 { self.name.clone() } else { format!("{}:{line}", self.name) };
        Place { line, text: format!("{at}: {what}") }
    }
}

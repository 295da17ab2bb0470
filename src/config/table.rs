//! The table of settings: every key, its type and bounds, its default, what it means.
//!
//! Reading, environment variables, the example file and the reference all follow it. The defaults stand here and nowhere else.

mod declared;
mod process;

pub(super) use declared::{CALLER, CLIENT, ISSUER, RESOURCE};
pub(super) use process::SETTINGS;

use jeton_domain::time::Millis;

/// What the file declares, one section each.
pub(super) const DECLARED: [&Group; 4] = [&RESOURCE, &CLIENT, &ISSUER, &CALLER];

/// A key of a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    pub(super) absent: Absent,
    /// What the example shows, in plain words, where there is no default to show.
    pub(super) sample: &'static str,
    pub(super) doc: &'static str,
    /// Whether it is taken when the file is read again; else when the process starts.
    pub(super) reloads: bool,
    /// Whether what it holds is never shown.
    pub(super) secret: bool,
}

/// The type of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Duration {
        min: Millis,
        max: Millis,
    },
    Count {
        min: u64,
        max: u64,
    },
    /// From 0 to 1.
    Ratio,
    Switch,
    /// One of a few.
    Word(&'static [&'static str]),
    /// Anything of this shape.
    Text(&'static str),
    /// A secret-bearing or lengthy list of this.
    List(&'static str),
}

/// What holds where a key is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// This, in plain words.
    Takes(&'static str),
    /// There is none.
    Off,
    /// It must be given.
    Mistake,
}

/// A section of the file: `[name]`, or the top of the file where the name is empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) section: &'static str,
    pub(super) doc: &'static str,
    pub(super) rows: &'static [Row],
}

impl Kind {
    /// The type's name, for people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Duration { .. } => "duration",
            Self::Count { .. } => "whole number",
            Self::Ratio => "number",
            Self::Switch => "switch",
            Self::Word(_) => "word",
            Self::Text(_) => "text",
            Self::List(_) => "list",
        }
    }
}

impl Group {
    /// Whether one of its rows is taken when the file is read again. Of what the file declares each is.
    pub(super) fn reloads(&self, row: &Row) -> bool {
        row.reloads || DECLARED.iter().any(|declared| declared.section == self.section)
    }

    /// The environment variable of one of its keys.
    pub(super) fn variable(&self, key: &str) -> String {
        let path = if self.section.is_empty() { key.into() } else { format!("{}_{key}", self.section) };
        format!("JETON_{}", path.to_ascii_uppercase())
    }
}

const fn row(key: &'static str, kind: Kind, absent: Absent, doc: &'static str) -> Row {
    Row { key, kind, absent, sample: "", doc, reloads: false, secret: false }
}

impl Row {
    const fn sample(mut self, sample: &'static str) -> Self {
        self.sample = sample;
        self
    }

    const fn reloads(mut self) -> Self {
        self.reloads = true;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

const fn secs(min: u64, max: u64) -> Kind {
    Kind::Duration { min: Millis::from_secs(min), max: Millis::from_secs(max) }
}

const fn millis(min: u64, max: u64) -> Kind {
    Kind::Duration { min: Millis::new(min), max: Millis::new(max) }
}

const fn count(min: u64, max: u64) -> Kind {
    Kind::Count { min, max }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

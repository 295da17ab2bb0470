//! One section of the file, with what the environment and the command line say instead: read key by key along its rows.
//!
//! A value that is wrong is reported, and its default taken, so that reading goes on to the next mistake.

use super::mistake::{Place, Report, quoted, suggestion};
use super::source::Source;
use super::table::{Absent, DECLARED, Group, Kind, Row, SETTINGS};
use super::value::{Entry, Given};
use jeton_domain::registration::Problem;
use jeton_domain::time::Millis;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use toml_edit::{Item, TableLike};

/// What outranks the file: by key, the value in plain words and where it is from.
pub(super) type Outranking = BTreeMap<&'static str, (String, Place)>;

pub(super) struct Section<'a> {
    group: &'static Group,
    /// `[limits]`, or nothing at the top of the file.
    title: String,
    source: &'a Source,
    table: Option<&'a dyn TableLike>,
    header: Option<usize>,
    outranking: Outranking,
    report: &'a Report,
    failed: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Section<'a> {
    pub(super) fn new(group: &'static Group, title: String, source: &'a Source, report: &'a Report) -> Self {
        Self {
            group,
            title,
            source,
            table: None,
            header: None,
            outranking: Outranking::new(),
            report,
            failed: RefCell::default(),
        }
    }

    /// With what outranks the file.
    pub(super) fn outranked(mut self, outranking: Outranking) -> Self {
        self.outranking = outranking;
        self
    }

    /// With its table of the file, found under `name` in `parent`.
    pub(super) fn under(mut self, parent: &'a dyn TableLike, name: &str) -> Self {
        self.header = line_of(self.source, parent, name);
        if let Some(item) = parent.get(name) {
            self.table = item.as_table_like();
            if self.table.is_none() {
                self.report.mistake(self.header(), format!("must be a section: {} on a line of its own", self.title));
            }
        }
        self
    }

    /// With the whole file as its table.
    pub(super) fn at_top(mut self, table: &'a dyn TableLike) -> Self {
        self.table = Some(table);
        self
    }

    /// Its table of the file, where there is one.
    pub(super) const fn table(&self) -> Option<&'a dyn TableLike> {
        self.table
    }

    /// The section itself.
    pub(super) fn header(&self) -> Place {
        self.source.place(self.header, &self.title)
    }

    /// A key of it: where it was given, else where it would be.
    pub(super) fn place(&self, key: &str) -> Place {
        if let Some((_, place)) = self.outranking.get(key) {
            return place.clone();
        }
        let line = self.table.and_then(|table| line_of(self.source, table, key)).or(self.header);
        self.source.place(line, format!("{} {key}", self.title).trim_start())
    }

    /// An entry of a list of it.
    pub(super) fn entry_place(&self, key: &str, entry: &Entry) -> Place {
        match entry.offset {
            Some(offset) => self.source.place(Some(self.source.line(offset)), format!("{} {key}", self.title).trim_start()),
            None => self.place(key),
        }
    }

    /// Whether anyone gave it.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.outranking.contains_key(key) || self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Whether nothing wrong was found in it so far.
    pub(super) fn is_sound(&self, key: &str) -> bool {
        !self.failed.borrow().contains(key)
    }

    /// Reports what is wrong with a key.
    pub(super) fn mistake(&self, key: &'static str, problem: impl Into<String>) {
        self.failed.borrow_mut().insert(key);
        self.report.mistake(self.place(key), problem);
    }

    /// Reports what is wrong with an entry of a list.
    pub(super) fn entry_mistake(&self, key: &'static str, entry: &Entry, problem: impl Into<String>) {
        self.failed.borrow_mut().insert(key);
        self.report.mistake(self.entry_place(key, entry), problem);
    }

    /// Reports what is wrong with the section's own name.
    pub(super) fn mistake_of_name(&self, problem: impl Into<String>) {
        self.report.mistake(self.header(), problem);
    }

    /// Reports what is probably not meant.
    pub(super) fn warning(&self, key: &str, problem: &str) {
        self.report.warning(&self.place(key), problem);
    }

    /// Reports what the rules of registrations say, where all that it rests on was read; `known` are the names that may have been meant.
    pub(super) fn report(&self, problem: &Problem, known: &[&str]) {
        let Some(first) = problem.fields.first().filter(|_| problem.fields.iter().all(|field| self.is_sound(field))) else {
            return;
        };
        let given = problem.fields.iter().find(|field| problem.is_mistake && self.is_given(field));
        let field = given.unwrap_or(first);
        let hint = problem.unknown.as_ref().map(|name| suggestion(name, known.iter().copied())).unwrap_or_default();
        let words = format!("{}{hint}", problem.words);
        match problem.entry.and_then(|at| self.list(field).into_iter().nth(at)) {
            _ if !problem.is_mistake => self.warning(field, &words),
            Some(entry) => self.entry_mistake(field, &entry, words),
            None => self.mistake(field, words),
        }
    }

    pub(super) fn duration(&self, key: &'static str) -> Millis {
        self.read(key, |row, given| given.duration(row)).unwrap_or_default()
    }

    pub(super) fn optional_duration(&self, key: &'static str) -> Option<Millis> {
        self.read(key, |row, given| given.duration(row))
    }

    /// A whole number, which its row bounds to what `T` can hold.
    pub(super) fn count<T: TryFrom<u64> + Default>(&self, key: &'static str) -> T {
        self.optional_count(key).unwrap_or_default()
    }

    pub(super) fn optional_count<T: TryFrom<u64>>(&self, key: &'static str) -> Option<T> {
        self.read(key, |row, given| {
            T::try_from(given.count(row)?).ok().ok_or_else(|| "is larger than this machine can count".to_owned())
        })
    }

    pub(super) fn ratio(&self, key: &'static str) -> f64 {
        self.read(key, |row, given| given.ratio(row)).unwrap_or_default()
    }

    pub(super) fn switch(&self, key: &'static str) -> bool {
        self.read(key, |row, given| given.switch(row)).unwrap_or_default()
    }

    pub(super) fn optional_switch(&self, key: &'static str) -> Option<bool> {
        self.read(key, |row, given| given.switch(row))
    }

    pub(super) fn word<T>(&self, key: &'static str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.read(key, |row, given| given.word(row, &parse))
    }

    /// A text that `parse` accepts.
    pub(super) fn text<T>(&self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.read(key, |_, given| parse(&given.text()?))
    }

    pub(super) fn list(&self, key: &'static str) -> Vec<Entry> {
        self.read(key, |_, given| given.list()).unwrap_or_default()
    }

    fn read<T>(&self, key: &'static str, convert: impl Fn(&Row, Given<'_>) -> Result<T, String>) -> Option<T> {
        let Some(row) = self.group.rows.iter().find(|row| row.key == key) else {
            self.mistake(key, "is not in the table of settings: a defect of jeton");
            return None;
        };
        let given = match self.outranking.get(key) {
            Some((words, _)) => Some(Given::Words(words)),
            None => self.table.and_then(|table| table.get(key)).map(Given::Toml),
        };
        self.report.said(&self.title, row, self.group.reloads(row), given.map(Given::words));
        match given.map(|given| convert(row, given)) {
            Some(Ok(value)) => return Some(value),
            Some(Err(problem)) => self.mistake(key, problem),
            None if row.absent == Absent::Mistake => {
                let choice = if let Kind::Word(words) = row.kind { format!(" ({})", words.join(", ")) } else { String::new() };
                self.mistake(key, format!("is missing{choice}: write {}", super::render::assignment(row)));
            }
            None => {}
        }
        match row.absent {
            Absent::Takes(words) => convert(row, Given::Words(words)).ok(),
            Absent::Off | Absent::Mistake => None,
        }
    }

    /// Reports keys that no row names, except those in `others`.
    pub(super) fn refuse_unknown_keys(&self, others: &[&str]) {
        let Some(table) = self.table else { return };
        let own = self.group.rows.iter().map(|row| row.key);
        for (key, item) in table.iter() {
            if own.clone().any(|known| known == key) || others.contains(&key) {
                continue;
            }
            let what = if self.title.is_empty() && item.is_table_like() { format!("[{}]", quoted(key)) } else { quoted(key) };
            let line = line_of(self.source, table, key).or(self.header);
            let place = self.source.place(line, format!("{} {}", self.title, what.replace('`', "")).trim_start());
            let hint =
                elsewhere(self.group.section, key).unwrap_or_else(|| suggestion(key, own.clone().chain(others.iter().copied())));
            self.report.mistake(place, format!("is not known{hint}"));
        }
    }
}

/// Where a key belongs that stands in the wrong section.
fn elsewhere(here: &str, key: &str) -> Option<String> {
    let mut groups = SETTINGS.iter().chain(DECLARED).filter(|group| group.section != here);
    let group = groups.find(|group| group.rows.iter().any(|row| row.key == key))?;
    Some(match group.section {
        "" => format!(" here; `{key}` belongs to the top of the file, above the first [section]"),
        "callers" => format!(" here; `{key}` belongs to a caller, [callers.NAME]"),
        "clients" => format!(" here; `{key}` belongs to a client, [clients.NAME]"),
        "issuers" => format!(" here; `{key}` belongs to an issuer, [issuers.\"ISS\"]"),
        "resources" => format!(" here; `{key}` belongs to a resource, [resources.\"URI\"]"),
        section => format!(" here; `{key}` belongs to [{section}]"),
    })
}

/// The line that a key of `table` stands in; for a section without a header of its own, that of its first key.
fn line_of(source: &Source, table: &dyn TableLike, key: &str) -> Option<usize> {
    let (key, item) = table.get_key_value(key)?;
    let span = key.span().or_else(|| item.span()).or_else(|| first_span(item));
    span.map(|span| source.line(span.start))
}

fn first_span(item: &Item) -> Option<std::ops::Range<usize>> {
    let table = item.as_table_like()?;
    let (key, item) = table.iter().next()?;
    let key = table.get_key_value(key).and_then(|(key, _)| key.span());
    key.or_else(|| item.span())
}

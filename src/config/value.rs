//! One value as it was given, in TOML or as plain words, turned into the type of its row.
//!
//! Errors say what is wrong and what would be right; they repeat what was written only where it cannot be a secret.

use super::duration;
use super::mistake::{quoted, suggestion};
use super::table::{Kind, Row};
use jeton_domain::time::Millis;
use toml_edit::{Item, Value};

/// A value as given.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    /// In the file: of the type that TOML says.
    Toml(&'a Item),
    /// From the environment, the command line or the table of defaults: read as the type that the row wants.
    Words(&'a str),
}

/// An entry of a list, and where in the file it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) text: String,
    pub(super) offset: Option<usize>,
}

impl Given<'_> {
    /// In plain words, the same wherever it was given.
    pub(super) fn words(self) -> String {
        let item = match self {
            Self::Words(text) => return text.into(),
            Self::Toml(item) => item,
        };
        let number = || item.as_integer().map(|number| number.to_string()).or_else(|| Some(item.as_float()?.to_string()));
        let entries = || self.list().ok().map(|all| all.into_iter().map(|entry| entry.text).collect::<Vec<_>>().join(" "));
        let text = item.as_str().map(str::to_owned).or_else(number).or_else(|| Some(item.as_bool()?.to_string()));
        text.or_else(entries).unwrap_or_default()
    }

    pub(super) fn text(self) -> Result<String, String> {
        match self {
            Self::Words(text) => Ok(text.into()),
            Self::Toml(item) => item.as_str().map(Into::into).ok_or_else(|| expected(item, "text in quotes")),
        }
    }

    pub(super) fn duration(self, row: &Row) -> Result<Millis, String> {
        let Kind::Duration { min, max } = row.kind else { return Err(defect(row)) };
        let duration = match self {
            Self::Words(text) => duration::parse(text)?,
            Self::Toml(item) if item.is_integer() => {
                return Err("is a number without a unit: write a duration such as \"10s\" (ms, s, m, h, d)".into());
            }
            Self::Toml(item) => duration::parse(item.as_str().ok_or_else(|| expected(item, "a duration such as \"10s\""))?)?,
        };
        if duration < min || duration > max {
            let (is, min, max) = (duration::written(duration), duration::written(min), duration::written(max));
            return Err(format!("is {is}, outside {min} to {max}"));
        }
        Ok(duration)
    }

    pub(super) fn count(self, row: &Row) -> Result<u64, String> {
        let Kind::Count { min, max } = row.kind else { return Err(defect(row)) };
        let wanted = format!("a whole number from {min} to {max}");
        let number = match self {
            Self::Words(text) => text.parse::<i64>().ok().ok_or_else(|| format!("is not {wanted}"))?,
            Self::Toml(item) => item.as_integer().ok_or_else(|| expected(item, &wanted))?,
        };
        let count = u64::try_from(number).ok().filter(|count| (min..=max).contains(count));
        count.ok_or_else(|| format!("is {number}, outside {min} to {max}"))
    }

    pub(super) fn ratio(self, row: &Row) -> Result<f64, String> {
        let Kind::Ratio = row.kind else { return Err(defect(row)) };
        let wanted = "a number from 0 to 1";
        let number = match self {
            Self::Words(text) => text.parse::<f64>().ok().ok_or_else(|| format!("is not {wanted}"))?,
            Self::Toml(item) => match (item.as_float(), item.as_integer()) {
                (Some(number), _) => number,
                (None, Some(0)) => 0.0,
                (None, Some(1)) => 1.0,
                (None, Some(number)) => return Err(format!("is {number}, outside 0 to 1")),
                (None, None) => return Err(expected(item, wanted)),
            },
        };
        if (0.0..=1.0).contains(&number) { Ok(number) } else { Err(format!("is {number}, outside 0 to 1")) }
    }

    pub(super) fn switch(self, row: &Row) -> Result<bool, String> {
        let Kind::Switch = row.kind else { return Err(defect(row)) };
        match self {
            Self::Words("true" | "1") => Ok(true),
            Self::Words("false" | "0") => Ok(false),
            Self::Words(_) => Err("is neither `true` nor `false`".into()),
            Self::Toml(item) => item.as_bool().ok_or_else(|| expected(item, "`true` or `false`, without quotes")),
        }
    }

    pub(super) fn word<T>(self, row: &Row, parse: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        let Kind::Word(words) = row.kind else { return Err(defect(row)) };
        parse_word(&self.text()?, words, parse)
    }

    /// An array of texts, or one text with spaces between.
    pub(super) fn list(self) -> Result<Vec<Entry>, String> {
        let split = |text: &str, offset: Option<usize>| {
            text.split_ascii_whitespace().map(|word| Entry { text: word.into(), offset }).collect::<Vec<_>>()
        };
        let item = match self {
            Self::Words(text) => return Ok(split(text, None)),
            Self::Toml(item) => item,
        };
        if let Some(text) = item.as_str() {
            return Ok(split(text, None));
        }
        let array = item.as_array().ok_or_else(|| expected(item, "an array of texts, or one text with spaces between"))?;
        let mut entries = Vec::with_capacity(array.len());
        for value in array {
            let text =
                value.as_str().ok_or_else(|| format!("has an entry that is {}: all must be texts in quotes", kind_of(value)))?;
            if text.is_empty() || text.contains(char::is_whitespace) {
                return Err("has an entry that is empty or holds a space: write one word in each".into());
            }
            entries.push(Entry { text: text.into(), offset: value.span().map(|span| span.start) });
        }
        Ok(entries)
    }
}

/// Which of `words` it is.
pub(super) fn parse_word<T>(text: &str, words: &[&str], parse: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    let known = words.contains(&text).then(|| parse(text)).flatten();
    known.ok_or_else(|| {
        let nearest = suggestion(text, words.iter().copied());
        format!("{} is none of {}{nearest}", quoted(text), words.join(", "))
    })
}

fn expected(item: &Item, wanted: &str) -> String {
    let found = item.as_value().map_or("a table", kind_of);
    format!("is {found}: it must be {wanted}")
}

const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "a truth value",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "an array",
        Value::InlineTable(_) => "a table",
    }
}

fn defect(row: &Row) -> String {
    format!("is a {} in the table of settings and read as something else: a defect of jeton", row.kind.name())
}

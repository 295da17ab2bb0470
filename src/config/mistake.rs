//! What is wrong with the settings, and where: collected while reading, told all at once.

use super::reload::Said;
use super::table::Row;
use jeton_domain::secret::shown_address;
use std::cell::RefCell;
use std::fmt;

/// Everything that is wrong, in the order of the file. `Display` is one line each, and a last one that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    place: Place,
    problem: String,
}

/// Where a value was given: `jeton.toml:12: [limits] concurrency`, `JETON_STORE` or `--store`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The line of the file; 0 where it is not from the file.
    pub(super) line: usize,
    pub(super) text: String,
}

impl Place {
    /// Somewhere that is no line of the file.
    pub(super) fn outside(text: impl Into<String>) -> Self {
        Self { line: 0, text: text.into() }
    }
}

impl Mistakes {
    /// Nothing was reported, and yet there are no settings: the table of settings has a default that cannot be read.
    pub(super) fn defect() -> Self {
        let place = Place::outside("the table of settings");
        Self(vec![Mistake { place, problem: "has a default that cannot be read: a defect of jeton".into() }])
    }

    /// Each by itself; its `Display` is one line.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place.text, self.problem)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.0 {
            writeln!(f, "{mistake}")?;
        }
        let (count, them) =
            if self.0.len() == 1 { ("1 mistake".into(), "it") } else { (format!("{} mistakes", self.0.len()), "them") };
        write!(
            f,
            "{count} in the configuration: correct {them} and run `jeton config check`; `jeton config example` shows every \
             setting"
        )
    }
}

impl std::error::Error for Mistakes {}

/// Collects while the settings are read.
#[derive(Debug, Default)]
pub(super) struct Report {
    mistakes: RefCell<Vec<Mistake>>,
    warnings: RefCell<Vec<(usize, String)>>,
    said: RefCell<Said>,
}

impl Report {
    pub(super) fn mistake(&self, place: Place, problem: impl Into<String>) {
        self.mistakes.borrow_mut().push(Mistake { place, problem: problem.into() });
    }

    pub(super) fn warning(&self, place: &Place, problem: &str) {
        self.warnings.borrow_mut().push((place.line, format!("{}: {problem}", place.text)));
    }

    /// Notes what a setting is said to be; none: nothing is said of it.
    pub(super) fn said(&self, section: &str, row: &'static Row, reloads: bool, words: Option<String>) {
        self.said.borrow_mut().note(section, row, reloads, words);
    }

    /// The warnings in the order of the file, and what every setting is said to be.
    ///
    /// # Errors
    /// The mistakes, where there are any.
    pub(super) fn conclude(self) -> Result<(Vec<String>, Said), Mistakes> {
        let mut mistakes = self.mistakes.into_inner();
        if !mistakes.is_empty() {
            mistakes.sort_by_key(|mistake| mistake.place.line);
            return Err(Mistakes(mistakes));
        }
        let mut warnings = self.warnings.into_inner();
        warnings.sort_by_key(|(line, _)| *line);
        Ok((warnings.into_iter().map(|(_, text)| text).collect(), self.said.into_inner()))
    }
}

/// What someone wrote, fit to be repeated: escaped, cut where it is long, and without what may be a secret.
pub(super) fn quoted(text: &str) -> String {
    const MAX_CHARS: usize = 64;
    let text = text.split(' ').map(shown_address).collect::<Vec<_>>().join(" ");
    let cut = text.chars().nth(MAX_CHARS).map_or("", |_| "...");
    format!("`{}{cut}`", text.chars().take(MAX_CHARS).collect::<String>().escape_debug())
}

/// `; did you mean X?` where one of `known` is near enough to `text`, else nothing.
pub(super) fn suggestion<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let length = text.chars().count();
    if length > 128 {
        return String::new();
    }
    let near = length.div_ceil(2).min(3);
    let nearest = known.into_iter().map(|word| (distance(text, word), word)).filter(|(far, _)| *far <= near).min();
    nearest.map_or_else(String::new, |(_, word)| format!("; did you mean {}?", quoted(word)))
}

/// The fewest characters to insert, remove or replace (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (at, x) in one.chars().enumerate() {
        let mut diagonal = at;
        let mut left = at + 1;
        let mut next = vec![left];
        for (y, up) in other.chars().zip(row.iter().copied().skip(1)) {
            left = (diagonal + usize::from(x != y)).min(left + 1).min(up + 1);
            diagonal = up;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (one, other, expected) in [("", "", 0), ("", "ab", 2), ("ab", "", 2), ("kitten", "sitting", 3), ("grpc", "gprc", 2)] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        assert_eq!(suggestion("gprc", ["http", "grpc", "admin"]), "; did you mean `grpc`?");
        assert_eq!(suggestion("zzzzzz", ["http", "grpc"]), "");
    }

    #[test]
    fn what_is_repeated_is_escaped_and_cut() {
        assert_eq!(quoted("a\u{1b}[31m\n"), "`a\\u{1b}[31m\\n`");
        assert!(quoted(&"x".repeat(10_000)).len() < 80);
        assert_eq!(quoted("https://a?key=hunter2 jck_hunter2"), "`https://a?*** (a secret)`");
    }
}

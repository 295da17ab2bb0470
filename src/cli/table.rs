//! An answer as a table for people: pairs for one thing, columns for many, times in words and in full.

use super::answer::{Answer, Value};
use super::escape;

const SECONDS_A_DAY: i64 = 86_400;
/// A list of more characters stands one below the other.
const WIDE: usize = 100;

/// The table, each line ended. `now` in seconds since the Unix epoch.
pub(super) fn render(answer: &Answer, now: i64) -> String {
    match answer.rows() {
        Some((_, [])) => "none\n".to_owned(),
        Some((names, rows)) => columns(names, rows, now, ""),
        None => pairs(answer, now, ""),
    }
}

/// One line of a table whose other lines are not known: as wide as the widest that is usual.
pub(super) fn line(cells: impl Iterator<Item = (String, usize)>) -> String {
    let padded: String = cells.map(|(content, width)| format!("{content:width$}  ")).collect();
    format!("{}\n", padded.trim_end())
}

fn pairs(answer: &Answer, now: i64, indent: &str) -> String {
    let width = answer.fields().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let deeper = format!("{indent}  ");
    let mut text = String::new();
    for (name, value) in answer.fields() {
        match value {
            Value::Object(inner) => text.push_str(&format!("{indent}{name}\n{}", pairs(inner, now, &deeper))),
            Value::Objects(_, rows) if rows.is_empty() => text.push_str(&format!("{indent}{name:width$}  none\n")),
            Value::Objects(names, rows) => text.push_str(&format!("{indent}{name}\n{}", columns(names, rows, now, &deeper))),
            Value::Texts(texts) if texts.iter().map(String::len).sum::<usize>() > WIDE => {
                let margin = format!("\n{indent}{:width$}  ", "");
                let lines: Vec<String> = texts.iter().map(|text| escape::for_terminal(text)).collect();
                text.push_str(&format!("{indent}{name:width$}  {}\n", lines.join(&margin)));
            }
            plain => text.push_str(&format!("{indent}{name:width$}  {}\n", cell(plain, now))),
        }
    }
    text
}

fn columns(names: &[&str], rows: &[Answer], now: i64, indent: &str) -> String {
    let cells =
        |row: &Answer| names.iter().map(|name| row.get(name).map_or_else(String::new, |value| cell(value, now))).collect();
    let mut lines: Vec<Vec<String>> = vec![names.iter().map(|name| (*name).to_uppercase()).collect()];
    lines.extend(rows.iter().map(cells));
    let mut text = String::new();
    for line in &lines {
        let mut padded = indent.to_owned();
        for (column, content) in line.iter().enumerate() {
            let width =
                lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default();
            padded.push_str(&format!("{content:width$}  "));
        }
        text.push_str(padded.trim_end());
        text.push('\n');
    }
    text
}

/// A value in a few words.
pub(super) fn cell(value: &Value, now: i64) -> String {
    let text = match value {
        Value::Text(text) => text.clone(),
        Value::Texts(texts) => texts.join(" "),
        Value::Number(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::Floor(u64::MAX) => "all".to_owned(),
        Value::Floor(floor) => floor.to_string(),
        Value::Time(at) => format!("{} ({})", relative(*at, now), absolute(*at)),
        Value::Seconds(seconds) => duration(*seconds),
        Value::Word(name, prefix) => name.strip_prefix(prefix).unwrap_or(name).to_lowercase(),
        other @ (Value::Object(_) | Value::Objects(..) | Value::Json(_)) => serde_json::to_string(other).unwrap_or_default(),
    };
    escape::for_terminal(&text)
}

/// `in 4m 59s`, `3h 2m ago`, `now`.
fn relative(at: i64, now: i64) -> String {
    match at.saturating_sub(now) {
        0 => "now".to_owned(),
        ahead @ 1.. => format!("in {}", duration(ahead)),
        behind => format!("{} ago", duration(behind.saturating_neg())),
    }
}

/// The two largest units: `4m 59s`, `14d`.
fn duration(seconds: i64) -> String {
    let units = [("d", SECONDS_A_DAY), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (word, unit) in units {
        let count = rest / unit;
        rest %= unit;
        if count > 0 {
            parts.push(format!("{count}{word}"));
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() { format!("{seconds}s") } else { parts.join(" ") }
}

/// RFC 3339 in UTC, to the second. The civil calendar by the proleptic Gregorian rule, years counted from March.
fn absolute(at: i64) -> String {
    let (days, second) = (at.div_euclid(SECONDS_A_DAY), at.rem_euclid(SECONDS_A_DAY));
    // Days since 1 March 0000, in eras of 400 years that are all alike.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_words_and_in_full() {
        for (seconds, text) in
            [(299, "4m 59s"), (300, "5m"), (3_600 * 24 * 14, "14d"), (3_605, "1h"), (93_600, "1d 2h"), (0, "0s"), (-3, "-3s")]
        {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(relative(100, 100), "now");
        assert_eq!(relative(i64::MIN, i64::MAX).split(' ').next_back(), Some("ago"));
        for (at, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_795_392_000, "2026-11-23T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(absolute(at), text);
        }
    }

    #[test]
    fn pairs_for_one_thing() {
        let inner = Answer::default().text("sub", "alice\u{1b}[2J".into());
        let answer = Answer::default().with("active", Value::Flag(true)).time("exp", 1_299).object("grant", Some(inner));
        assert_eq!(
            render(&answer, 1_000),
            "active  true\nexp     in 4m 59s (1970-01-01T00:21:39Z)\ngrant\n  sub  alice\\u{1b}[2J\n"
        );
    }

    #[test]
    fn a_long_list_stands_one_below_the_other() {
        let answer = Answer::default().texts("targets", vec!["a".repeat(60), "b".repeat(60)]);
        assert_eq!(render(&answer, 0), format!("targets  {}\n         {}\n", "a".repeat(60), "b".repeat(60)));
    }

    #[test]
    fn columns_for_many() {
        let row = |id: &str, client: &str| Answer::default().text("grant_id", id.into()).text("client_id", client.into());
        let rows = vec![row("g1", "mobile-app"), row("g22222222", "")];
        let answer = Answer::default().with("grants", Value::Objects(&["grant_id", "client_id"], rows));
        assert_eq!(render(&answer, 0), "GRANT_ID   CLIENT_ID\ng1         mobile-app\ng22222222\n");
        let nothing = || Value::Objects(&["grant_id"], Vec::new());
        assert_eq!(render(&Answer::default().with("grants", nothing()), 0), "none\n");
        let counted = Answer::default().with("counted", Value::Flag(true)).with("grants", nothing());
        assert_eq!(render(&counted, 0), "counted  true\ngrants   none\n");
    }
}

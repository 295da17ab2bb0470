//! An answer as a table for people: pairs for one thing, columns for many, times in words and in full.

use super::answer::{Answer, Value};
use super::escape;
use jeton_domain::time::utc;

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

/// One line of a table: each cell as wide as its column.
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
    let mut widths = vec![0; names.len()];
    for cells in &lines {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = cell.chars().count().max(*width);
        }
    }
    lines.into_iter().map(|cells| indent.to_owned() + &line(cells.into_iter().zip(widths.iter().copied()))).collect()
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
        Value::Time(at) => format!("{} ({})", relative(*at, now), utc(*at)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_words() {
        for (seconds, text) in
            [(299, "4m 59s"), (300, "5m"), (3_600 * 24 * 14, "14d"), (3_605, "1h"), (93_600, "1d 2h"), (0, "0s"), (-3, "-3s")]
        {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(relative(100, 100), "now");
        assert_eq!(relative(i64::MIN, i64::MAX).split(' ').next_back(), Some("ago"));
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

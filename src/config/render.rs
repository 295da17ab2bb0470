//! The table of settings for people: the example file and the reference.

use super::duration::written;
use super::environment::OTHERS;
use super::table::{Absent, CALLER, CLIENT, Group, ISSUER, Kind, RESOURCE, Row, SETTINGS};

/// The columns that a comment of the example fills.
const WIDTH: usize = 100;

/// A complete configuration file with every setting explained, at its default.
///
/// Lines that begin with `#` and no space are settings that are off.
#[must_use]
pub fn example() -> String {
    let mut text = String::from(
        "# The configuration of jeton: every setting, at its default.\n\
         # Lines that begin with # and no space show what can be set; the others are in force.\n\
         # Each setting is an environment variable too, but for those of sections with a name of yours, which outranks this file:\n\
         # JETON_STORE, JETON_LISTEN_GRPC, and so on.\n\
         # `jeton config check` tells all mistakes at once.\n",
    );
    for group in &SETTINGS {
        if group.section.is_empty() {
            text.push('\n');
        } else {
            text.push_str(&format!("\n{}[{}]\n", comment(group.doc), group.section));
        }
        for (at, row) in group.rows.iter().enumerate() {
            let off = if row.absent == Absent::Off { "#" } else { "" };
            let gap = if at > 0 { "\n" } else { "" };
            text.push_str(&format!("{gap}{}{off}{}\n", documented(row), assignment(row)));
        }
    }
    let declared = [
        (&RESOURCE, "\"https://orders.internal\""),
        (&CLIENT, "web-app"),
        (&ISSUER, "\"https://partner.example.com\""),
        (&CALLER, "billing"),
    ];
    for (group, name) in declared {
        text.push_str(&format!("\n{}#[{}.{name}]\n", comment(group.doc), group.section));
        for row in group.rows {
            text.push_str(&format!("{}#{}\n", documented(row), assignment(row)));
        }
    }
    text
}

/// The reference of all settings: `docs/configuration.md`.
#[must_use]
pub fn reference_markdown() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         <!-- Generated from the table of settings (src/config/table.rs). A test compares; do not edit. -->\n\n\
         jeton reads one file: the one that `--config` names, else `JETON_CONFIG`, else `jeton.toml` in the working directory, \
         else none: every setting has a default. An environment variable outranks the file, the command line both; \
         a variable that is empty counts as not set.\n\n\
         `jeton config check` tells all mistakes at once, each with its line. `jeton config example` prints a complete file.\n\n\
         - **durations** are a whole number and a unit, in quotes: `\"250ms\"`, `\"10s\"`, `\"15m\"`, `\"12h\"`, `\"30d\"`.\n\
         - **lists** are an array of texts, `[\"a\", \"b\"]`, or one text with spaces between, `\"a b\"`.\n\
         - relative paths start at the working directory.\n\n\
         ## While jeton runs\n\n\
         The file is read again within seconds of a change, and at once at SIGHUP. All of it is taken, or nothing: a mistake is logged with \
         its field, and what was in force stays. What changed is logged setting by setting. A setting is taken `now`, which is for the next \
         request on any connection, or at the next `start`, and until then the log, `/readyz` and the metric \
         `jeton_configuration_restart_needed` tell that it waits. Resources, clients, issuers and callers are taken `now`, whole. \
         [docs/operations.md](operations.md#the-configuration-read-again) says more.\n",
    );
    for group in &SETTINGS {
        let title = if group.section.is_empty() { "The top of the file".into() } else { format!("`[{}]`", group.section) };
        text.push_str(&format!("\n## {title}\n\n{}\n\n", escaped(group.doc)));
        text.push_str("| setting | variable | type | default | taken | meaning |\n|---|---|---|---|---|---|\n");
        for row in group.rows {
            let variable = group.variable(row.key);
            text.push_str(&format!(
                "| `{}` | `{variable}` | {} | {} | {} | {} |\n",
                row.key,
                shape(row),
                absent(row),
                if group.reloads(row) { "now" } else { "start" },
                escaped(row.doc)
            ));
        }
    }
    let declared = [
        (&RESOURCE, "`[resources.\"URI\"]`"),
        (&CLIENT, "`[clients.NAME]`"),
        (&ISSUER, "`[issuers.\"ISS\"]`"),
        (&CALLER, "`[callers.NAME]`"),
    ];
    for (group, title) in declared {
        text.push_str(&format!("\n## {title}\n\n{}\n\n", escaped(group.doc)));
        text.push_str("| setting | type | default | meaning |\n|---|---|---|---|\n");
        for row in group.rows {
            text.push_str(&format!("| `{}` | {} | {} | {} |\n", row.key, shape(row), absent(row), escaped(row.doc)));
        }
    }
    text.push_str("\n## Other variables\n\n| variable | meaning |\n|---|---|\n");
    for (name, doc) in OTHERS {
        text.push_str(&format!("| `{name}` | {} |\n", escaped(doc)));
    }
    text.push_str(
        "\nAny other variable that begins with `JETON_` is warned about, for it is probably misspelt; those that Kubernetes \
         sets for a service called `jeton` are not.\n",
    );
    text
}

/// `key = value` as TOML: the sample, else the default.
pub(super) fn assignment(row: &Row) -> String {
    let words = match row.absent {
        Absent::Takes(words) if row.sample.is_empty() => words,
        _ => row.sample,
    };
    let value = match row.kind {
        Kind::Count { .. } | Kind::Ratio | Kind::Switch => words.into(),
        Kind::Text(_) if words.contains('"') => format!("'{words}'"),
        Kind::Duration { .. } | Kind::Word(_) | Kind::Text(_) => format!("\"{words}\""),
        Kind::List(_) => {
            let entries: Vec<String> = words.split_ascii_whitespace().map(|word| format!("\"{word}\"")).collect();
            format!("[{}]", entries.join(", "))
        }
    };
    format!("{} = {value}", row.key)
}

fn documented(row: &Row) -> String {
    let bounds = match row.kind {
        Kind::Duration { min, max } => format!(" {} to {}.", written(min), written(max)),
        Kind::Count { min, max } => format!(" {min} to {max}."),
        Kind::Word(words) => format!(" One of {}.", words.join(", ")),
        Kind::Ratio | Kind::Switch | Kind::Text(_) | Kind::List(_) => String::new(),
    };
    let default = match (row.absent, row.sample.is_empty()) {
        (Absent::Takes(words), false) if !words.is_empty() => format!(" Default: {words}."),
        (Absent::Takes(_), false) => " Default: none.".into(),
        (Absent::Off, _) => " Not set by default.".into(),
        (Absent::Mistake, _) => " Must be given.".into(),
        (Absent::Takes(_), true) => String::new(),
    };
    comment(&format!("{}{bounds}{default}", row.doc))
}

fn shape(row: &Row) -> String {
    match row.kind {
        Kind::Duration { min, max } => format!("duration, {} to {}", written(min), written(max)),
        Kind::Count { min, max } => format!("whole number, {min} to {max}"),
        Kind::Ratio => "number, 0 to 1".into(),
        Kind::Switch => "`true` or `false`".into(),
        Kind::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::Text(of) => of.into(),
        Kind::List(of) => format!("list of {of}"),
    }
}

fn absent(row: &Row) -> String {
    match row.absent {
        Absent::Takes("") => "none".into(),
        Absent::Takes(words) => format!("`{words}`"),
        Absent::Off => "not set".into(),
        Absent::Mistake => "must be given".into(),
    }
}

/// As comment lines of the example.
fn comment(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from("#");
    for word in text.split_ascii_whitespace() {
        if line.len() + 1 + word.len() > WIDTH && line.len() > 1 {
            lines.push_str(&line);
            lines.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    format!("{lines}{line}\n")
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

impl Group {
    /// Every row's variable, with the key it sets.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.rows.iter().map(|row| (row.key, self.variable(row.key)))
    }
}

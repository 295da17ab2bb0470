//! What is taken of a configuration that is read again while the process runs, and in what it differs from the one in force.
//!
//! Which settings those are says the table, row by row. Must not live here: anything that acts on a setting.

use super::Loaded;
use super::mistake::quoted;
use super::settings::{Gateway, Limits, Settings, Telemetry, Tls, Tokens};
use super::table::{Absent, Kind, Row};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

/// The section whose settings are taken only where it is there before and after.
const TLS: &str = "[tls]";
/// The setting of the top that names a file with more of the configuration.
const ROOT_KEY_FILE: &str = "root_key_file";

/// A setting that is another than before. No secret is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `[limits] grants_per_subject`, or a whole section: `[clients.web-app]`.
    pub setting: String,
    /// What became of it.
    pub words: String,
    /// Whether it is not taken before the process starts again.
    pub needs_restart: bool,
}

/// What every setting is said to be, by its section and key.
#[derive(Clone, Default)]
pub(super) struct Said(BTreeMap<(String, &'static str), Value>);

#[derive(Clone, PartialEq)]
struct Value {
    words: Option<Words>,
    is_list: bool,
    reloads: bool,
}

#[derive(Clone, PartialEq)]
enum Words {
    Shown(String),
    /// Of a secret its SHA-256.
    Hidden([u8; 32]),
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Said({})", self.0.len())
    }
}

impl Said {
    /// Notes one; where nothing is said of it, its default.
    pub(super) fn note(&mut self, section: &str, row: &'static Row, reloads: bool, words: Option<String>) {
        let words = words.or(match row.absent {
            Absent::Takes(words) => Some(words.into()),
            Absent::Off | Absent::Mistake => None,
        });
        let words = words.map(|words| if row.secret { Words::Hidden(Sha256::digest(words).into()) } else { Words::Shown(words) });
        let is_list = matches!(row.kind, Kind::List(_));
        self.0.insert((section.into(), row.key), Value { words, is_list, reloads });
    }

    fn sections(&self) -> BTreeSet<&str> {
        self.0.keys().map(|(section, _)| section.as_str()).collect()
    }
}

impl Value {
    /// What became of it since it was `before`.
    fn since(&self, before: &Self) -> String {
        match (&before.words, &self.words) {
            (Some(Words::Shown(before)), Some(Words::Shown(now))) if self.is_list => {
                let [before, now] = [before, now].map(|list| list.split_ascii_whitespace().collect::<BTreeSet<_>>());
                let named = |what: &str, entries: Vec<&str>| {
                    (!entries.is_empty()).then(|| format!("{what} {}", quoted(&entries.join(" "))))
                };
                let parts = [
                    named("gained", now.difference(&before).copied().collect()),
                    named("lost", before.difference(&now).copied().collect()),
                ];
                let parts: Vec<String> = parts.into_iter().flatten().collect();
                if parts.is_empty() { "is in another order".into() } else { parts.join(", ") }
            }
            (Some(Words::Shown(before)), Some(Words::Shown(now))) => format!("was {}, is {}", quoted(before), quoted(now)),
            (None, Some(Words::Shown(now))) => format!("was not set, is {}", quoted(now)),
            (Some(Words::Shown(before)), None) => format!("was {}, is not set", quoted(before)),
            _ => "is another; it is not shown".into(),
        }
    }
}

impl Loaded {
    /// The files that these settings were read from: the configuration, and those with more of it that it names.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let root_keys = self.said.0.get(&(String::new(), ROOT_KEY_FILE)).and_then(|value| match &value.words {
            Some(Words::Shown(path)) => Some(PathBuf::from(path)),
            _ => None,
        });
        self.file.iter().cloned().chain(root_keys).collect()
    }

    /// These, with what of `new` is taken while the process runs; and all in which both differ, in the order of their sections.
    #[must_use]
    pub fn reloaded(&self, new: Self) -> (Self, Vec<Change>) {
        let toggles_tls = self.settings.tls.is_some() != new.settings.tls.is_some();
        let is_taken = |section: &str, value: &Value| value.reloads && !(toggles_tls && section == TLS);
        let mut changes = Vec::new();
        let (before, now) = (self.said.sections(), new.said.sections());
        for (words, sections) in [("is new", now.difference(&before)), ("is gone", before.difference(&now))] {
            let change = |section: &&str| Change { setting: (*section).into(), words: words.into(), needs_restart: false };
            changes.extend(sections.map(change));
        }
        let mut said = Said::default();
        for ((section, key), value) in &new.said.0 {
            let before = self.said.0.get(&(section.clone(), *key));
            if let Some(before) = before.filter(|before| *before != value) {
                let setting = format!("{section} {key}").trim_start().into();
                changes.push(Change { setting, words: value.since(before), needs_restart: !is_taken(section, value) });
            }
            let in_force = if is_taken(section, value) { value } else { before.unwrap_or(value) };
            said.0.insert((section.clone(), *key), in_force.clone());
        }
        if self.settings.root_keys != new.settings.root_keys {
            let words = "holds other keys, or in another order".into();
            changes.push(Change { setting: ROOT_KEY_FILE.into(), words, needs_restart: true });
        }
        let settings = self.settings.taking(new.settings);
        (Self { settings, warnings: new.warnings, file: self.file.clone(), said }, changes)
    }
}

impl Settings {
    /// These, with what of `new` is taken while the process runs: the rows of the table that say so, and all that the file declares.
    fn taking(&self, new: Self) -> Self {
        let tls = match (&self.tls, new.tls) {
            (Some(now), Some(new)) => {
                Some(Tls { certificate: new.certificate, key: new.key, callers: new.callers, ..now.clone() })
            }
            (now, _) => now.clone(),
        };
        Self {
            tls,
            callers: new.callers,
            caller_tokens: new.caller_tokens,
            tokens: Tokens { store_timeout: self.tokens.store_timeout, max_staleness: self.tokens.max_staleness, ..new.tokens },
            limits: Limits { grants_per_subject: new.limits.grants_per_subject, ..self.limits },
            telemetry: Telemetry { log_level: new.telemetry.log_level, ..self.telemetry.clone() },
            gateway: Gateway { phantom_lifetime: new.gateway.phantom_lifetime, ..self.gateway.clone() },
            clients: new.clients,
            issuers: new.issuers,
            resources: new.resources,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::duration::written;
    use super::super::table::{Group, SETTINGS};
    use super::super::{Overrides, load};
    use super::*;
    use std::collections::BTreeMap;

    /// What needs others beside it has them here.
    const BASE: &str = "\
        [tls]\ncertificate_file = 'a'\nkey_file = 'b'\ncaller_ca_file = 'c'\nclient_certificates = true\nclient_ca_file = 'd'\n\
        [caller_tokens]\nissuer = 'i'\naudience = 'a'\njwks_uri = 'https://a.example.com'\n\
        [telemetry]\notlp_endpoint = 'https://a.example.com'\n\
        [callers.any]\nany_certificate = true\nrpcs = 'introspect'\nresources = '*'\n\
        [callers.key]\nkey_hashes = ['sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef']\n";

    fn loaded(text: &str, variables: &[(String, String)]) -> Option<Loaded> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("jeton.toml");
        std::fs::write(&path, text).unwrap();
        let variables: BTreeMap<_, _> = variables.iter().cloned().collect();
        load(Some(&path), &variables, &Overrides::default()).ok().map(|loaded| Loaded { file: None, ..loaded })
    }

    /// Some values that a setting may have.
    fn others(row: &Row) -> Vec<String> {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        match row.kind {
            Kind::Duration { min, max } => vec![written(min), written(max), "2d".into()],
            Kind::Count { min, max } => vec![min.to_string(), max.to_string()],
            Kind::Ratio => texts(&["0.5"]),
            Kind::Switch => texts(&["true", "false"]),
            Kind::Word(words) => texts(words),
            Kind::Text("URL") => texts(&["https://other.example.com"]),
            Kind::Text("URI") => texts(&["https://b.example.com"]),
            Kind::Text("IP address and port") => texts(&["127.0.0.1:1"]),
            Kind::Text("store") => texts(&["memory:"]),
            Kind::Text("header") => texts(&["X-Other"]),
            Kind::Text(_) => texts(&["/other"]),
            Kind::List(_) => vec![row.sample.into()],
        }
    }

    #[test]
    fn what_is_taken_is_what_the_table_says() {
        let base = loaded(BASE, &[]).unwrap();
        let changed = |group: &Group, row: &Row| {
            let other =
                |value: String| loaded(BASE, &[(group.variable(row.key), value)]).filter(|other| other.settings != base.settings);
            others(row).into_iter().find_map(other)
        };
        for (group, row) in SETTINGS.iter().flat_map(|group| group.rows.iter().map(move |row| (group, row))) {
            // Its file must be there, keys are in one place, and authorities of clients are for who asks them.
            if ["root_key_file", "jwks", "client_certificates"].contains(&row.key) {
                continue;
            }
            let place = format!("[{}] {}", group.section, row.key);
            let new = changed(group, row).unwrap_or_else(|| panic!("{place}: no other value is known here"));
            let (taken, changes) = base.reloaded(new.clone());
            let [Change { setting, words, needs_restart }] = &changes[..] else { panic!("{place}: {changes:?}") };
            assert!(place.ends_with(setting.as_str()), "{place}: {setting}");
            assert_eq!(*needs_restart, !row.reloads, "{place}");
            assert_eq!(taken.settings == new.settings, row.reloads, "{place}");
            assert_eq!(taken.settings == base.settings, !row.reloads, "{place}");
            assert_eq!(words == "is another; it is not shown", row.secret, "{place}: {words}");
            // What waits is told again, and nothing where it is as it was.
            assert_eq!(taken.reloaded(new).1.len(), usize::from(!row.reloads), "{place}");
            assert_eq!(taken.reloaded(base.clone()).1.len(), usize::from(row.reloads), "{place}");
        }
    }

    #[test]
    fn what_differs_is_told_in_words_and_a_secret_is_not() {
        let base = loaded(BASE, &[]).unwrap();
        let told = |text: String| -> Vec<String> {
            let changes = base.reloaded(loaded(&text, &[]).unwrap()).1;
            let line =
                |change: Change| format!("{} {}{}", change.setting, change.words, if change.needs_restart { " !" } else { "" });
            changes.into_iter().map(line).collect()
        };
        assert_eq!(told(BASE.into()), Vec::<String>::new());
        assert_eq!(told(BASE.replace("'introspect'", "['explain', 'introspect']")), ["[callers.any] rpcs gained `explain`"]);
        assert_eq!(
            told(BASE.replace("'introspect'", "'authorize'")),
            ["[callers.any] rpcs gained `authorize`, lost `introspect`"]
        );
        assert_eq!(told(BASE.replace("sha256:01", "sha256:ff")), ["[callers.key] key_hashes is another; it is not shown"]);
        assert_eq!(told(BASE.replace("callers.key", "callers.other")), ["[callers.other] is new", "[callers.key] is gone"]);
        assert_eq!(told(format!("[limits]\nwatchers = 7\n{BASE}")), ["[limits] watchers was `10000`, is `7` !"]);
        let without_tls = told(
            BASE.split("[caller_tokens]")
                .next()
                .map(|tls| BASE.replace(tls, "").replace("any_certificate = true", "service_accounts = 'a/b'"))
                .unwrap(),
        );
        assert!(without_tls.contains(&"[tls] certificate_file was `a`, is not set !".to_owned()), "{without_tls:?}");
        let keys = "[caller_tokens] jwks_uri was `https://a.example.com`, is `https://a.example.com/jwks?***`";
        assert_eq!(
            told(BASE.replace("jwks_uri = 'https://a.example.com", "jwks_uri = 'https://a.example.com/jwks?key=hunter2")),
            [keys]
        );
        let long = told(BASE.replace("'i'", &format!("'{}'", "i".repeat(200))));
        assert!(long.iter().all(|line| line.len() < 150), "{long:?}");
    }
}

//! The configuration: a file, and behind a line `---` variables of the environment.

use jeton::config::{Overrides, load};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;

/// What loads, loads the same again; what does not, is told in lines that a terminal shows as they are.
pub fn read(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (_, variables) = text.split_once("\n---\n").unwrap_or_default();
    let file_length = text.find("\n---\n").unwrap_or(data.len());
    let variables: BTreeMap<String, String> = variables
        .lines()
        .filter_map(|line| line.split_once('='))
        // These name files.
        .filter(|(name, _)| !name.ends_with("_FILE") && *name != "JETON_CONFIG")
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let Ok(mut file) = tempfile::NamedTempFile::new() else { return };
    if file.write_all(data.get(..file_length).unwrap_or(data)).is_err() || file.flush().is_err() {
        return;
    }
    // Nothing of a real deployment is looked for.
    let overrides = Overrides { store: Some("memory:".into()), ..Overrides::default() };
    let loaded = || load(Some(file.path()), &variables, &overrides);
    match (loaded(), loaded()) {
        (Ok(one), Ok(two)) => {
            assert_eq!(format!("{:?}", one.settings), format!("{:?}", two.settings));
            assert_eq!(one.warnings, two.warnings);
            for warning in &one.warnings {
                is_shown_as_it_is(warning);
            }
        }
        (Err(one), Err(two)) => {
            let told = one.to_string();
            assert_eq!(told, two.to_string());
            told.lines().for_each(is_shown_as_it_is);
        }
        (one, two) => assert_eq!(one.is_ok(), two.is_ok(), "it loads or it does not"),
    }
    assert!(fs::metadata(file.path()).is_ok(), "it stays");
}

fn is_shown_as_it_is(line: &str) {
    assert!(!line.chars().any(char::is_control), "{line:?}");
}

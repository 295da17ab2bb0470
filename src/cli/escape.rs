//! Text of a server made fit for a terminal: what would move the cursor, change colours or reorder text is shown, not done.

use std::fmt::Write as _;

/// `text` with control and direction-changing characters as `\u{..}`.
pub(super) fn for_terminal(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if acts(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// JSON in which such characters stand as `\uXXXX`, which reads back as the same. Line ends between members stay.
pub(super) fn in_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        // All of them lie in the first plane; a write into a String does not fail.
        if character != '\n' && acts(character) && write!(shown, "\\u{:04x}", u32::from(character)).is_ok() {
            continue;
        }
        shown.push(character);
    }
    shown
}

fn acts(character: char) -> bool {
    character.is_control() || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_shown() {
        assert_eq!(for_terminal("a\u{1b}[31mb\u{9b}c\u{202e}d\n"), "a\\u{1b}[31mb\\u{9b}c\\u{202e}d\\u{a}");
        assert_eq!(for_terminal("Zoë 🦀"), "Zoë 🦀");
    }

    #[test]
    fn json_stays_the_same_json() {
        let json = serde_json::to_string_pretty(&serde_json::json!({"a": "x\u{9b}y\u{7f}\u{1b}\n"})).unwrap();
        let shown = in_json(&json);
        assert!(!shown.replace('\n', "").chars().any(char::is_control));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap()["a"], "x\u{9b}y\u{7f}\u{1b}\n");
    }
}

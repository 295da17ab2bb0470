//! Distinguished names: their text (RFC 4514) and when two are the same. Types are compared as object identifiers, values letter by
//! letter, attributes of one step in any order.

use std::fmt;

/// A name in steps from the root, each of one or more attributes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DistinguishedName(Vec<Vec<Attribute>>);

/// An object identifier in dots, and a value.
type Attribute = (String, String);

/// The words of RFC 4514 section 3, and two that are usual beside them.
const WORDS: [(&str, &str); 11] = [
    ("CN", "2.5.4.3"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("C", "2.5.4.6"),
    ("STREET", "2.5.4.9"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("serialNumber", "2.5.4.5"),
    ("emailAddress", "1.2.840.113549.1.9.1"),
];

const MALFORMED: &str = "is no distinguished name such as CN=billing,O=Example,C=DE (RFC 4514): the last step first";
const UNKNOWN_TYPE: &str = "has an attribute type that is neither one of CN, L, ST, O, OU, C, STREET, DC, UID, serialNumber, \
                            emailAddress nor an object identifier such as 2.5.4.97";

impl DistinguishedName {
    /// From steps beginning at the root, of attributes by object identifier. None where one is empty or holds what is not seen.
    #[must_use]
    pub fn of(steps: Vec<Vec<(String, String)>>) -> Option<Self> {
        let is_plain = |(_, value): &Attribute| !value.is_empty() && !value.chars().any(char::is_control);
        let sound = !steps.is_empty() && steps.iter().all(|step| !step.is_empty() && step.iter().all(is_plain));
        sound.then(|| Self(steps.into_iter().map(in_order).collect()))
    }

    /// Reads the text of RFC 4514, in which the last step comes first. Values in hexadecimal (`#...`) are not read.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut steps = vec![Vec::new()];
        let mut rest = text;
        loop {
            let (kind, after) = rest.split_once('=').ok_or(MALFORMED)?;
            let (value, ended_by, after) = value(after)?;
            steps.last_mut().ok_or(MALFORMED)?.push((identifier(kind.trim())?, value));
            match ended_by {
                Some(',') => steps.push(Vec::new()),
                Some(_plus) => {}
                None => break,
            }
            rest = after;
        }
        steps.reverse();
        Self::of(steps).ok_or(MALFORMED)
    }
}

impl fmt::Display for DistinguishedName {
    /// The text that reads back as this name, never longer than one that it was read from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().rev().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            for (at, (identifier, value)) in step.iter().enumerate() {
                let word = WORDS.iter().find(|(_, known)| known == identifier).map_or(identifier.as_str(), |(word, _)| word);
                write!(f, "{}{word}=", if at == 0 { "" } else { "+" })?;
                write_value(f, value)?;
            }
        }
        Ok(())
    }
}

fn write_value(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    let last = value.chars().count().saturating_sub(1);
    for (at, character) in value.chars().enumerate() {
        let is_escaped = match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => true,
            ' ' => at == 0 || at == last,
            '#' => at == 0,
            _ => false,
        };
        write!(f, "{}{character}", if is_escaped { "\\" } else { "" })?;
    }
    Ok(())
}

fn in_order(mut step: Vec<Attribute>) -> Vec<Attribute> {
    step.sort();
    step
}

/// The object identifier of an attribute type.
fn identifier(kind: &str) -> Result<String, &'static str> {
    if let Some((_, identifier)) = WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(kind)) {
        return Ok((*identifier).to_owned());
    }
    let is_number = |part: &str| part.parse::<u64>().is_ok_and(|number| number.to_string() == part);
    if kind.contains('.') && kind.split('.').all(is_number) { Ok(kind.to_owned()) } else { Err(UNKNOWN_TYPE) }
}

/// A value up to the `,` or `+` that ends it, and what follows. Spaces around it count only where they are escaped.
fn value(text: &str) -> Result<(String, Option<char>, &str), &'static str> {
    let text = text.trim_start_matches(' ');
    if text.starts_with('#') {
        return Err("has a value in hexadecimal, which is not read: write it as text");
    }
    let mut bytes = Vec::new();
    // How much of it stays when the spaces at its end go.
    let mut kept = 0;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            ',' | '+' => return Ok((read(bytes, kept)?, Some(character), text.get(at + 1..).ok_or(MALFORMED)?)),
            '"' | ';' | '<' | '>' | '\0' => return Err(MALFORMED),
            '\\' => {
                let (_, escaped) = characters.next().ok_or(MALFORMED)?;
                match escaped {
                    ' ' | '"' | '#' | '+' | ',' | ';' | '<' | '=' | '>' | '\\' => push(&mut bytes, escaped),
                    high => {
                        let (_, low) = characters.next().ok_or(MALFORMED)?;
                        let digit = |character: char| character.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                        let (high, low) = digit(high).zip(digit(low)).ok_or(MALFORMED)?;
                        bytes.push(high << 4 | low);
                    }
                }
                kept = bytes.len();
            }
            ' ' => bytes.push(b' '),
            _ => {
                push(&mut bytes, character);
                kept = bytes.len();
            }
        }
    }
    Ok((read(bytes, kept)?, None, ""))
}

fn push(bytes: &mut Vec<u8>, character: char) {
    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn read(mut bytes: Vec<u8>, kept: usize) -> Result<String, &'static str> {
    bytes.truncate(kept);
    String::from_utf8(bytes).map_err(|_bytes| MALFORMED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> DistinguishedName {
        DistinguishedName::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"))
    }

    #[test]
    fn the_last_step_of_the_text_is_the_last_of_the_name() {
        let steps = [("2.5.4.6", "DE"), ("2.5.4.10", "Example"), ("2.5.4.3", "billing")];
        let steps = steps.map(|(kind, value)| vec![(kind.to_owned(), value.to_owned())]).to_vec();
        assert_eq!(parsed("CN=billing,O=Example,C=DE"), DistinguishedName::of(steps).unwrap());
    }

    #[test]
    fn one_name_has_many_texts() {
        let name = parsed("CN=Doe\\, J\\+,OU=Sales+L=Bonn,DC=example");
        for same in [
            "cn=Doe\\2C J\\2b,l=Bonn+ou=Sales,dc=example",
            "2.5.4.3=Doe\\, J\\+, 2.5.4.11=Sales + L = Bonn , 0.9.2342.19200300.100.1.25=example",
            "CN=Doe\\2c\\20J\\+,OU=Sales+L=Bonn,DC=example",
        ] {
            assert_eq!(parsed(same), name, "{same}");
        }
        assert_eq!(parsed("CN=\\e4\\b8\\ad"), parsed("CN=中"));
        assert_eq!(parsed("CN=a=b"), parsed("CN=a\\=b"));
    }

    #[test]
    fn its_text_reads_back_and_is_not_longer() {
        for (text, written) in [
            ("cn=Doe\\2C J\\2b,l=Bonn+ou=Sales,2.5.4.6=DE", "CN=Doe\\, J\\+,OU=Sales+L=Bonn,C=DE"),
            ("CN=\\ ", "CN=\\ "),
            ("CN=\\  a \\ ,O=\\#1 #2=\\;", "CN=\\  a \\ ,O=\\#1 #2=\\;"),
            ("2.5.4.97=\\e4\\b8\\ad\\\\\\\"", "2.5.4.97=中\\\\\\\""),
        ] {
            let name = parsed(text);
            assert_eq!(name.to_string(), written);
            assert_eq!(parsed(written), name, "{text}");
            assert!(written.len() <= text.len(), "{text}");
        }
    }

    #[test]
    fn other_names_are_others() {
        let name = parsed("CN=billing,O=Example");
        for other in [
            "O=Example,CN=billing",
            "CN=billing+O=Example",
            "CN=billing",
            "CN=Billing,O=Example",
            "CN=billing,O=Example,C=DE",
            "CN=billing\\ ,O=Example",
            "CN=billing\\,O\\=Example",
            "OU=billing,O=Example",
        ] {
            assert_ne!(parsed(other), name, "{other}");
        }
    }

    #[test]
    fn what_is_no_name_is_told() {
        for bad in [
            "",
            "billing",
            "CN=",
            "CN= ",
            "=x",
            "CN=a,",
            "CN=a,,O=b",
            "CN=a+",
            "CN=a;O=b",
            "CN=\"a\"",
            "CN=a\\",
            "CN=a\\0",
            "CN=a\\zz",
            "CN=\\ff",
            "CN=#04024869",
            "XX=a",
            "2.5.04.3=a",
            "2..3=a",
            "CN=a\\00b",
            "CN=a\u{7}",
        ] {
            assert!(DistinguishedName::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(DistinguishedName::of(vec![]), None);
        assert_eq!(DistinguishedName::of(vec![vec![("2.5.4.3".into(), "a\0b".into())]]), None);
    }
}

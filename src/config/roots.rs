//! The ring of root keys as the operator gives it: hexadecimal text, from a file or the environment.
//!
//! Must not live here: what is derived from it.

use super::mistake::{Place, Report};
use jeton_domain::secret::Secret;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use zeroize::Zeroizing;

/// The root keys, the active one first. Never shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootKeys(Vec<Secret<32>>);

/// What is wrong with a ring, and in which line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingMistake {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong; never a digit of a key.
    pub problem: String,
}

impl RootKeys {
    /// The most keys a ring may have.
    pub const MAX: usize = 16;

    /// Reads keys of 64 hexadecimal digits, separated by commas or line ends; `#` begins a comment.
    ///
    /// # Errors
    /// Every mistake: a key of another length, not hexadecimal, all zero, given twice; too many keys.
    pub fn parse(text: &str) -> Result<Self, Vec<RingMistake>> {
        let mut keys: Vec<Secret<32>> = Vec::new();
        let mut mistakes = Vec::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.split('#').next().unwrap_or_default();
            for word in content.split(',').map(str::trim).filter(|word| !word.is_empty()) {
                match key(word) {
                    Ok(key) if keys.contains(&key) => {
                        mistakes.push(RingMistake { line, problem: "holds the same key twice: remove one".into() });
                    }
                    Ok(key) => keys.push(key),
                    Err(problem) => mistakes.push(RingMistake { line, problem }),
                }
            }
        }
        if keys.len() > Self::MAX {
            mistakes.push(RingMistake { line: 1, problem: format!("holds {} keys; {} are enough", keys.len(), Self::MAX) });
        }
        if mistakes.is_empty() { Ok(Self(keys)) } else { Err(mistakes) }
    }

    /// The keys, the active one first.
    #[must_use]
    pub fn keys(&self) -> &[Secret<32>] {
        &self.0
    }

    /// Whether none was given.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<Secret<32>>> for RootKeys {
    fn from(keys: Vec<Secret<32>>) -> Self {
        Self(keys)
    }
}

/// A root key as [`RootKeys::parse`] reads it.
#[must_use]
pub fn written_key(key: &Secret<32>) -> Zeroizing<String> {
    jeton_domain::hex::encode_32(key.expose())
}

fn key(word: &str) -> Result<Secret<32>, String> {
    const NEXT: &str = "`jeton keys generate-root` makes one";
    if !word.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(format!("a key is not hexadecimal; {NEXT}"));
    }
    if word.len() != 64 {
        return Err(format!("a key has {} hexadecimal digits and not 64; {NEXT}", word.len()));
    }
    let bytes = Zeroizing::new(jeton_domain::hex::decode_32(word).ok_or_else(|| format!("a key is not hexadecimal; {NEXT}"))?);
    if bytes.iter().all(|byte| *byte == 0) {
        return Err(format!("a key is all zeros and protects nothing; {NEXT}"));
    }
    Ok(Secret::new(*bytes))
}

/// A ring file is a few hundred bytes; what is larger is another file.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Reads the ring file that `place` names; mistakes go to `report`.
pub(super) fn read_file(path: &Path, place: &Place, report: &Report) -> RootKeys {
    let mut text = Zeroizing::new(String::new());
    let read = File::open(path).and_then(|file| {
        let open_to_others = others_may_read(&file);
        file.take(MAX_FILE_BYTES).read_to_string(&mut text).map(|_| open_to_others)
    });
    let open_to_others = match read {
        Ok(open_to_others) => open_to_others,
        Err(error) => {
            report.mistake(place.clone(), format!("{} cannot be read: {error}", path.display()));
            return RootKeys::default();
        }
    };
    if open_to_others {
        report.warning(place, &format!("{} can be read by every user of this machine: chmod 600 it", path.display()));
    }
    let keys = match RootKeys::parse(&text) {
        Ok(keys) => keys,
        Err(mistakes) => {
            for RingMistake { line, problem } in mistakes {
                report.mistake(place.clone(), format!("{}:{line}: {problem}", path.display()));
            }
            return RootKeys::default();
        }
    };
    if keys.is_empty() {
        report.mistake(place.clone(), format!("{} holds no key: run `jeton keys generate-root`", path.display()));
    }
    keys
}

#[cfg(unix)]
fn others_may_read(file: &File) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn others_may_read(_: &File) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_lines_and_comments_the_active_one_first() {
        let (a, b, c) = ("a1".repeat(32), "B2".repeat(32), "c3".repeat(32));
        let ring = RootKeys::parse(&format!("# ring\n{a}, {b}, # two\n\n{c}\n")).unwrap();
        assert_eq!(ring.keys(), [Secret::new([0xA1; 32]), Secret::new([0xB2; 32]), Secret::new([0xC3; 32])]);
        assert!(!format!("{ring:?}").contains("161"), "{ring:?}");
    }

    #[test]
    fn every_mistake_with_its_line_and_no_digit_of_a_key() {
        let (good, zero) = ("a1".repeat(32), "0".repeat(64));
        let text = format!("{good}\nf00f\n{}\n{zero}\n{good}", "zz".repeat(32));
        let mistakes = RootKeys::parse(&text).unwrap_err();
        assert_eq!(mistakes.iter().map(|mistake| mistake.line).collect::<Vec<_>>(), [2, 3, 4, 5]);
        assert!(!format!("{mistakes:?}").contains("f00f"));
    }

    #[test]
    fn what_is_written_reads_back() {
        let key = Secret::new(std::array::from_fn(|at| u8::try_from(at * 8).unwrap()));
        assert_eq!(RootKeys::parse(&written_key(&key)).unwrap().keys(), [key]);
    }

    #[test]
    fn nothing_is_an_empty_ring() {
        assert!(RootKeys::parse(" \n# none yet\n,\n").unwrap().is_empty());
    }
}

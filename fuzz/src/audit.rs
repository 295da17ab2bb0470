//! Files of the audit stream (`audit::verify`), which somebody may have changed.

use jeton::app::audit::told;
use jeton::audit::Verifier;
use jeton::roots::AuditKey;
use jeton_domain::secret::Secret;
use std::sync::LazyLock;

/// The key of the stream in the corpus.
static KEYS: LazyLock<Vec<AuditKey>> = LazyLock::new(|| AuditKey::derive(&Secret::new([1; 32])).into_iter().collect());
/// All that was ever written under it.
const WRITTEN: &str = include_str!("../corpus/audit/whole");

/// What is found whole was written so, but for the rest of a line that a process did not finish, which is told. What is told has one line
/// for each thing, whatever stands in the file.
pub fn read(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let mut verifier = Verifier::new(&KEYS);
    lines.iter().for_each(|line| verifier.line(line));
    let found = verifier.done();
    assert_eq!(found.lines, u64::try_from(lines.len()).unwrap_or_default());
    assert!(found.breaks.iter().all(|at| (1..=found.lines).contains(&at.line)));
    if found.breaks.is_empty() {
        assert_eq!(found.unverified, 0);
        let unfinished = lines.iter().filter(|line| !WRITTEN.lines().any(|written| written.as_bytes() == **line)).count();
        let says = |line: &str, text: &str| line.contains(text);
        let is_after_one = |line: &str| says(line, "\"torn_bytes\":") && !says(line, "\"torn_bytes\":0");
        let torn = WRITTEN.lines().filter(|line| is_after_one(line)).count();
        assert!(unfinished <= torn, "{unfinished} lines were never written");
    }
    let text = told(&found);
    assert_eq!(text.lines().count(), found.breaks.len() + found.chains.len() + 1, "{text:?}");
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
}

//! What ran and what was lost: a line for each run, and the sum. Goes to standard error, past the capture of the test harness.

use super::checker::{Notes, Rule, Verdict};
use super::history::{History, Moment};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Mutex;

/// The sum over all runs of this process.
static TOTAL: Mutex<Sum> = Mutex::new(Sum {
    injected: BTreeMap::new(),
    runs: 0,
    operations: 0,
    histories: 0,
    acknowledged: 0,
    unknown: 0,
    lost: 0,
    introspections: 0,
    findings: 0,
});

#[derive(Clone, Debug, Default)]
struct Sum {
    injected: BTreeMap<&'static str, usize>,
    runs: usize,
    operations: usize,
    /// A history is what happened to one grant.
    histories: usize,
    acknowledged: usize,
    unknown: usize,
    /// Acknowledged revocations of which something was active again.
    lost: usize,
    introspections: usize,
    findings: usize,
}

impl Sum {
    fn told(&self) -> String {
        let mut told = format!(
            "{} operations, {} histories, {} introspections, {} revocations acknowledged, {} of them lost, {} unknown, {} findings",
            self.operations, self.histories, self.introspections, self.acknowledged, self.lost, self.unknown, self.findings
        );
        for (what, count) in &self.injected {
            write!(told, ", {count} {what}").unwrap();
        }
        told
    }
}

/// Tells of a run that was judged, and adds it to the sum unless it is one that must lose something.
pub fn add(
    name: &str,
    is_control: bool,
    injected: &BTreeMap<&'static str, usize>,
    history: &History,
    verdict: &Verdict,
    calm: Moment,
) {
    let acknowledged = history.revocations.iter().filter(|revocation| revocation.outcome.done().is_some()).count();
    let run = Sum {
        injected: injected.clone(),
        runs: 1,
        operations: history.operations(),
        histories: history.grants.len(),
        acknowledged,
        unknown: verdict.notes.open_revocations,
        lost: verdict.broken(Rule::Revived),
        introspections: history.introspections.len(),
        findings: verdict.findings.len(),
    };
    let Notes { flickers, late_refreshes, revisions_lost, exposed, .. } = verdict.notes;
    let notes =
        format!("{flickers} flickers, {late_refreshes} late refreshes, {revisions_lost} revisions lost, {exposed} exposed");
    say(&format!("{name} ({:.1} s): {}; {notes}", calm.as_secs_f64(), run.told()));
    if is_control {
        return;
    }
    let mut total = TOTAL.lock().unwrap();
    for (what, count) in injected {
        *total.injected.entry(what).or_default() += count;
    }
    total.runs += 1;
    total.operations += run.operations;
    total.histories += run.histories;
    total.acknowledged += run.acknowledged;
    total.unknown += run.unknown;
    total.lost += run.lost;
    total.introspections += run.introspections;
    total.findings += run.findings;
    say(&format!("so far, {} runs: {}", total.runs, total.told()));
}

/// Says a line, whatever becomes of the test.
pub fn say(line: &str) {
    writeln!(std::io::stderr(), "outage: {line}").unwrap();
}

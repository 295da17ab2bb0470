//! What `jeton doctor` found, shown: a line for each check, and for what is not well what to change and why.
//!
//! Must not live here: the checks.

use super::answer::{Answer, Value};
use super::arguments::Output;
use super::call::print;
use super::escape;
use super::failure::Exit;
use std::process::ExitCode;

/// The verdicts, as they are spelled.
const VERDICTS: [&str; 3] = ["ok", "warn", FAIL];
const FAIL: &str = "fail";

/// How one thing stands.
#[derive(Clone, Copy, Debug)]
pub struct Finding<'a> {
    /// `ok`, `warn` or `fail`.
    pub verdict: &'static str,
    /// What was looked at.
    pub check: &'a str,
    /// Which server, setting or client; empty where it is the whole.
    pub at: &'a str,
    /// What was found, in a sentence.
    pub found: &'a str,
    /// What to change and why; empty where nothing need be.
    pub advice: &'a str,
}

/// Shows what was found. The exit code is 1 where anything fails.
#[must_use]
pub fn doctor(findings: &[Finding<'_>], output: Output) -> ExitCode {
    let text = match output {
        Output::Table => table(findings),
        Output::Json => escape::in_json(&serde_json::to_string_pretty(&answer(findings)).unwrap_or_default()) + "\n",
    };
    match print(&text) {
        Ok(_) if count(findings, FAIL) == 0 => Exit::Ok,
        Ok(_) => Exit::Refused,
        Err(failure) => failure.exit,
    }
    .into()
}

fn count(findings: &[Finding<'_>], verdict: &str) -> usize {
    findings.iter().filter(|finding| finding.verdict == verdict).count()
}

fn table(findings: &[Finding<'_>]) -> String {
    let widest = |text: for<'a> fn(&Finding<'a>) -> &'a str| {
        findings.iter().map(|finding| text(finding).chars().count()).max().unwrap_or_default()
    };
    let (check, at) = (widest(|finding| finding.check), widest(|finding| finding.at));
    let mut text = String::new();
    for finding in findings {
        let line = format!("{:4}  {:check$}  {:at$}  {}", finding.verdict, finding.check, finding.at, finding.found);
        text.push_str(&escape::for_terminal(&line));
        if !finding.advice.is_empty() {
            text.push_str("\n      -> ");
            text.push_str(&escape::for_terminal(finding.advice));
        }
        text.push('\n');
    }
    let counts = VERDICTS.map(|verdict| format!("{} {verdict}", count(findings, verdict)));
    text + &counts.join(", ") + "\n"
}

fn answer(findings: &[Finding<'_>]) -> Answer {
    let row = |finding: &Finding<'_>| {
        Answer::default()
            .text("verdict", finding.verdict.to_owned())
            .text("check", finding.check.to_owned())
            .text("at", finding.at.to_owned())
            .text("found", finding.found.to_owned())
            .text("advice", finding.advice.to_owned())
    };
    let counted = VERDICTS.into_iter().fold(Answer::default(), |answer, verdict| {
        answer.with(verdict, Value::Number(i64::try_from(count(findings, verdict)).unwrap_or(i64::MAX)))
    });
    counted.with("checks", Value::Objects(&[], findings.iter().map(row).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_well_has_its_advice_below() {
        let sound = Finding { verdict: "ok", check: "version", at: "h:1", found: "Redis 7", advice: "" };
        let wrong = Finding { verdict: "fail", check: "memory", at: "", found: "none\u{1b}", advice: "set it: it is needed" };
        assert_eq!(
            table(&[sound, wrong]),
            "ok    version  h:1  Redis 7\n\
             fail  memory        none\\u{1b}\n      -> set it: it is needed\n\
             1 ok, 0 warn, 1 fail\n"
        );
        assert_eq!(
            serde_json::to_string(&answer(&[wrong])).unwrap(),
            "{\"ok\":0,\"warn\":0,\"fail\":1,\"checks\":[{\"verdict\":\"fail\",\"check\":\"memory\",\
             \"found\":\"none\\u001b\",\"advice\":\"set it: it is needed\"}]}"
        );
    }
}

//! Judges a history. Knows what a client of the service was promised, and nothing of how the promise is kept: no code of the
//! service is used here.
//!
//! The rules, each a [`Rule`]:
//! - **Revived**: once a revocation is acknowledged, no `fully_fresh` introspection that begins later, and none that is at least
//!   as fresh as its revision, calls active what it covers, on any replica; a default one not later than `max_staleness` after it.
//! - **Undead**: after the calm, what was seen dead is dead, and all replicas agree. **Forgotten**: so is what was seen dead during
//!   the faults and has no acknowledged revocation, where some replica that knew of it lived.
//! - **FalseLogout**: no refresh is refused, and after the calm no token inactive, that no revocation could cover.
//! - **FalseReuse**: no chain of an honest client ends as `reuse` or `retry_expired`.
//! - **DoubleSpend**: of two successors of one refresh token at most one is active, and a spent one is not. What the verdict table
//!   allows is no breach: within the overlap several requests get the *same* successor; a retry gets a new one and the one before
//!   it is abandoned; the parent of the newest may be shown once more. Its stated exception, a spent token that a failover
//!   revives until the newest is presented again, is why this is judged after the calm, when the newest was.
//! - **Unavailable**: after the calm every call is answered. **Undurable**: no acknowledgement claims less than is configured.
//!   **Defect**: an answer that no fault explains.
//!
//! An unknown outcome is kept open: such a revocation allows death from its beginning on, and demands nothing.

mod by_hand;
mod chains;
mod lives;

use super::history::{GrantAt, History, Moment, Outcome, Revocation, RevocationAt, Span, Target, TokenAt};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

/// What was promised in this run.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub max_staleness: Duration,
    pub promise: Promise,
    /// From here on nothing is broken, and what is judged in the end is judged.
    pub calm: Moment,
    /// No token of the history ends by itself: the history is shorter.
    pub lifetime: Duration,
    /// The store kept its records; it was not emptied.
    pub records_kept: bool,
    /// Some replica of the service that had seen everything lived at every moment.
    pub views_kept: bool,
}

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// It holds at once and for ever.
    Replicated,
    /// A failover may hide it until those who know of it have put it back: it holds after the calm. `at_least_as_fresh` holds always.
    Applied,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    Revived,
    Undead,
    Forgotten,
    FalseLogout,
    FalseReuse,
    DoubleSpend,
    Unavailable,
    Undurable,
    Defect,
}

/// What broke a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum About {
    /// A revocation did not hold; a grant that shows it is told with the finding.
    Revocation(RevocationAt),
    Grant(GrantAt),
    /// One call among those of its kind.
    Call(usize),
}

/// A rule broken, in words.
#[derive(Clone, Debug)]
pub struct Finding {
    pub rule: Rule,
    pub about: About,
    pub grant: Option<GrantAt>,
    pub words: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.words)
    }
}

/// What is legal and yet worth telling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Tokens that were called inactive for a while, during a fault.
    pub flickers: usize,
    /// Refreshes that were answered although their grant had been revoked; what they handed out was dead.
    pub late_refreshes: usize,
    /// Revocations whose outcome is unknown.
    pub open_revocations: usize,
    /// `REVISION_LOST`.
    pub revisions_lost: usize,
    /// Active answers that `Promise::Applied` allows and `Promise::Replicated` would not.
    pub exposed: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub findings: Vec<Finding>,
    pub notes: Notes,
}

impl Verdict {
    /// How many revocations or grants broke this rule.
    pub fn broken(&self, rule: Rule) -> usize {
        let broken = self.findings.iter().filter(|finding| finding.rule == rule).map(|finding| finding.about);
        broken.collect::<HashSet<About>>().len()
    }

    /// The first findings of each rule, a line each, and what happened to the grants of the first of all.
    pub fn told(&self, history: &History) -> String {
        let mut told: HashMap<Rule, usize> = HashMap::new();
        let lines = self.findings.iter().filter(|finding| {
            let count = told.entry(finding.rule).or_default();
            *count += 1;
            *count <= 8
        });
        let mut text: String = lines.map(|finding| format!("{finding}\n")).collect();
        let grants: BTreeSet<GrantAt> = self.findings.iter().filter_map(|finding| finding.grant).collect();
        for grant in grants.into_iter().take(6) {
            text.push_str(&history.story(grant));
        }
        text
    }
}

/// Judges `history` by `rules`.
pub fn check(history: &History, rules: Rules) -> Verdict {
    let mut revocations: HashMap<&Target, Vec<RevocationAt>> = HashMap::new();
    for (at, revocation) in history.revocations.iter().enumerate() {
        revocations.entry(&revocation.target).or_default().push(at);
    }
    let mut checker = Checker { history, rules, revocations, verdict: Verdict::default() };
    checker.durations();
    checker.issues();
    checker.acknowledgements();
    checker.introspections();
    checker.the_dead_stay_dead();
    checker.refreshes();
    checker.successors();
    checker.explanations();
    checker.verdict
}

struct Checker<'a> {
    history: &'a History,
    rules: Rules,
    revocations: HashMap<&'a Target, Vec<RevocationAt>>,
    verdict: Verdict,
}

impl<'a> Checker<'a> {
    fn find(&mut self, rule: Rule, about: About, words: String) {
        let grant = if let About::Grant(grant) = about { Some(grant) } else { None };
        self.find_by(rule, about, grant, words);
    }

    fn find_by(&mut self, rule: Rule, about: About, grant: Option<GrantAt>, words: String) {
        self.verdict.findings.push(Finding { rule, about, grant, words });
    }

    fn durations(&mut self) {
        let last = self.history.introspections.iter().map(|asked| asked.span.end).max().unwrap_or_default();
        if last >= self.rules.lifetime {
            self.find(
                Rule::Defect,
                About::Call(0),
                format!("the history takes {last:?}, and tokens end after {:?}", self.rules.lifetime),
            );
        }
    }

    /// Every revocation of something that would end this token.
    fn touching(&self, token: TokenAt) -> impl Iterator<Item = (RevocationAt, &'a Revocation)> + use<'a> {
        let targets = self.history.targets(token);
        let found: Vec<RevocationAt> =
            targets.iter().filter_map(|target| self.revocations.get(target)).flatten().copied().collect();
        let history = self.history;
        found.into_iter().map(move |at| (at, &history.revocations[at]))
    }

    fn issued(&self, token: TokenAt) -> Span {
        self.history.grants[self.history.tokens[token].grant].issued
    }

    /// Whether an acknowledged revocation ends this token, whoever was first where both were under way.
    fn ends(&self, revocation: &Revocation, token: TokenAt) -> bool {
        let is_done = revocation.outcome.done().is_some();
        is_done && (is_for_ever(&revocation.target) || self.issued(token).is_before(revocation.span))
    }

    /// Whether some revocation may have ended this token by the end of `seen`.
    fn may_have_ended(&self, token: TokenAt, seen: Span) -> bool {
        let issued = self.issued(token);
        self.touching(token).any(|(_, revocation)| {
            let born_after =
                revocation.outcome.done().is_some() && !is_for_ever(&revocation.target) && revocation.span.is_before(issued);
            !revocation.outcome.is_refused() && !born_after && revocation.span.start < seen.end
        })
    }

    fn issues(&mut self) {
        for (at, failure) in self.history.failures.iter().enumerate() {
            let by = About::Call(at);
            let calm = failure.span.start > self.rules.calm;
            match &failure.outcome {
                Outcome::Refused(reason) if reason == "SESSION_REVOKED" => {
                    let revoked = self
                        .revocations
                        .get(&Target::Session(failure.sid.clone()))
                        .is_some_and(|all| all.iter().any(|at| self.history.revocations[*at].span.start < failure.span.end));
                    if !revoked {
                        self.find(Rule::FalseLogout, by, format!("Issue was refused for session {}, never revoked", failure.sid));
                    }
                }
                Outcome::Refused(reason) => self.find(Rule::Defect, by, format!("Issue was refused: {reason}")),
                Outcome::Unknown(reason) if calm => self.find(Rule::Unavailable, by, format!("Issue: {reason}")),
                Outcome::Unknown(_) | Outcome::Done(()) => {}
            }
        }
    }

    fn acknowledgements(&mut self) {
        for (at, revocation) in self.history.revocations.iter().enumerate() {
            let by = About::Revocation(at);
            let what = &revocation.target;
            match &revocation.outcome {
                Outcome::Done(acknowledged) if !acknowledged.durable => {
                    self.find(Rule::Undurable, by, format!("the revocation of {what:?} got less far than is configured"));
                }
                Outcome::Done(_) => {}
                Outcome::Unknown(reason) => {
                    self.verdict.notes.open_revocations += 1;
                    if revocation.span.start > self.rules.calm {
                        self.find(Rule::Unavailable, by, format!("Revoke of {what:?}: {reason}"));
                    }
                }
                Outcome::Refused(reason) if reason == "KEY_UNKNOWN" && !self.rules.records_kept => {}
                Outcome::Refused(reason) => self.find(Rule::Defect, by, format!("Revoke of {what:?} was refused: {reason}")),
            }
        }
    }
}

/// Whether it ends what comes later, too.
fn is_for_ever(target: &Target) -> bool {
    match target {
        Target::Token(_) | Target::Grant(_) | Target::Session(_) | Target::Key(_) => true,
        Target::Subject(_) | Target::Client(_) | Target::Consent(..) => false,
    }
}

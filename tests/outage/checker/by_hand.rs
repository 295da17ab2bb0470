//! The checker, checked: histories made by hand. What is right passes; of each kind of wrong one example is found, and nothing else.

use super::super::history::{
    Acknowledged, Explanation, Failure, Freshness, Grant, History, Introspection, Kind, Outcome, Refresh, Revocation, Span,
    Target, TokenAt,
};
use super::{Notes, Promise, Rule, Rules, check};
use std::time::Duration;

const SECOND: u64 = 1_000;
/// When the faults are over.
const CALM: u64 = 100 * SECOND;

const RULES: Rules = Rules {
    max_staleness: Duration::from_secs(2),
    promise: Promise::Replicated,
    calm: Duration::from_millis(CALM),
    lifetime: Duration::from_secs(900),
    records_kept: true,
    views_kept: true,
};

fn at(start: u64) -> Span {
    Span { start: Duration::from_millis(start), end: Duration::from_millis(start + 10) }
}

/// A history, its newest token and grant at hand.
#[derive(Default)]
struct Story {
    history: History,
    texts: usize,
}

impl Story {
    /// A grant that is issued at `start`: its refresh and access token.
    fn issue(&mut self, start: u64) -> (TokenAt, TokenAt) {
        self.issue_as(start, Kind::Jwt("kid".into()))
    }

    fn issue_as(&mut self, start: u64, kind: Kind) -> (TokenAt, TokenAt) {
        let number = self.history.grants.len();
        let grant = Grant {
            id: format!("g{number}"),
            client: "app".into(),
            sub: "alice".into(),
            sid: format!("s{number}"),
            issued: at(start),
            rotates: true,
            honest: true,
        };
        let grant = self.history.grant(grant);
        (self.token(grant, Kind::Refresh, start), self.token(grant, kind, start))
    }

    fn token(&mut self, grant: usize, kind: Kind, start: u64) -> TokenAt {
        self.texts += 1;
        self.history.token(&format!("t{}", self.texts), grant, kind, at(start))
    }

    fn revoke(&mut self, target: Target, start: u64) -> usize {
        self.revoke_so(target, start, Outcome::Done(Acknowledged { revision: start.to_string(), durable: true }))
    }

    fn revoke_so(&mut self, target: Target, start: u64, outcome: Outcome<Acknowledged>) -> usize {
        self.history.revocation(Revocation { target, span: at(start), replica: 0, outcome })
    }

    fn see(&mut self, token: TokenAt, freshness: Freshness, start: u64, active: bool) {
        self.see_so(token, freshness, start, Outcome::Done(active));
    }

    fn see_so(&mut self, token: TokenAt, freshness: Freshness, start: u64, outcome: Outcome<bool>) {
        self.history.introspections.push(Introspection { token, freshness, span: at(start), replica: 1, outcome });
    }

    /// A refresh that hands out new tokens.
    fn refresh(&mut self, presented: TokenAt, start: u64) -> (TokenAt, TokenAt) {
        let grant = self.history.tokens[presented].grant;
        let next = self.token(grant, Kind::Refresh, start);
        let access = self.token(grant, Kind::Jwt("kid".into()), start);
        self.refresh_so(presented, start, Outcome::Done((next, access)));
        (next, access)
    }

    fn refresh_so(&mut self, presented: TokenAt, start: u64, outcome: Outcome<(TokenAt, TokenAt)>) {
        self.history.refreshes.push(Refresh { presented, span: at(start), replica: 2, outcome });
    }

    #[track_caller]
    fn breaks(&self, rules: Rules, expected: &[Rule]) {
        let verdict = check(&self.history, rules);
        let found: Vec<Rule> = verdict.findings.iter().map(|finding| finding.rule).collect();
        assert_eq!(found, expected, "{}", verdict.told(&self.history));
    }

    #[track_caller]
    fn is_right(&self) {
        self.breaks(RULES, &[]);
    }
}

fn unknown<T>() -> Outcome<T> {
    Outcome::Unknown("STORE_UNAVAILABLE".into())
}

fn refused<T>(reason: &str) -> Outcome<T> {
    Outcome::Refused(reason.into())
}

#[test]
fn a_life_without_faults_is_right() {
    let mut story = Story::default();
    let (first, access) = story.issue(0);
    story.see(access, Freshness::Default, 100, true);
    let (second, newer) = story.refresh(first, 1_000);
    story.see(access, Freshness::Full, 2_000, true);
    story.see(newer, Freshness::Full, 2_000, true);
    let revoked = story.revoke(Target::Grant(0), 3_000);
    for token in [first, second, access, newer] {
        story.see(token, Freshness::AtLeast(revoked), 4_000, false);
        story.see(token, Freshness::Full, CALM + 1, false);
    }
    story.refresh_so(second, 5_000, refused("REFRESH_TOKEN_REFUSED"));
    story.is_right();
}

#[test]
fn what_is_acknowledged_is_dead_for_whoever_asks_freshly() {
    let targets = [
        Target::Token(1),
        Target::Grant(0),
        Target::Session("s0".into()),
        Target::Subject("alice".into()),
        Target::Client("app".into()),
        Target::Consent("alice".into(), "app".into()),
        Target::Key("kid".into()),
    ];
    for target in targets {
        let mut story = Story::default();
        let (_, access) = story.issue(0);
        let revoked = story.revoke(target, 1_000);
        // Asked before the acknowledgement came: either way is legal.
        story.see(access, Freshness::Full, 1_010, true);
        story.see(access, Freshness::Default, 1_010 + 2_000, true);
        story.is_right();
        story.see(access, Freshness::Full, 1_011, true);
        story.breaks(RULES, &[Rule::Revived]);
        story.see(access, Freshness::AtLeast(revoked), 1_011, true);
        story.breaks(RULES, &[Rule::Revived; 2]);
        story.see(access, Freshness::Default, 1_011 + 2_000, true);
        story.breaks(RULES, &[Rule::Revived; 3]);
    }
}

#[test]
fn another_revision_asks_for_no_more_than_the_staleness() {
    let mut story = Story::default();
    let (_, access) = story.issue(0);
    story.issue(0);
    let other = story.revoke(Target::Grant(1), 500);
    story.revoke(Target::Grant(0), 1_000);
    story.see(access, Freshness::AtLeast(other), 1_010 + 2_000, true);
    story.is_right();
    story.see(access, Freshness::AtLeast(other), 1_011 + 2_000, true);
    story.breaks(RULES, &[Rule::Revived]);
}

#[test]
fn what_comes_after_lives_unless_the_target_is_dead_for_ever() {
    for (target, lives) in [
        (Target::Subject("alice".into()), true),
        (Target::Client("app".into()), true),
        (Target::Consent("alice".into(), "app".into()), true),
        (Target::Key("kid".into()), false),
    ] {
        let mut story = Story::default();
        story.revoke(target, 0);
        let (_, access) = story.issue(1_000);
        story.see(access, Freshness::Full, CALM + 1, lives);
        story.is_right();
        story.see(access, Freshness::Full, CALM + SECOND, !lives);
        let wrong = if lives { [Rule::FalseLogout].as_slice() } else { &[Rule::Revived, Rule::Undead] };
        story.breaks(RULES, wrong);
    }
}

#[test]
fn who_is_issued_while_it_is_revoked_may_live_or_die() {
    for active in [true, false] {
        let mut story = Story::default();
        story.revoke(Target::Subject("alice".into()), 1_000);
        let (_, access) = story.issue(1_005);
        story.see(access, Freshness::Full, CALM + 1, active);
        story.is_right();
    }
}

#[test]
fn an_unknown_outcome_is_kept_open_until_it_is_seen() {
    for active in [true, false] {
        let mut story = Story::default();
        let (refresh, access) = story.issue(0);
        story.revoke_so(Target::Grant(0), 1_000, unknown());
        story.see(access, Freshness::Full, CALM + 1, active);
        story.see(refresh, Freshness::Full, CALM + 1, active);
        story.is_right();
        if active {
            // It happens late.
            story.see(access, Freshness::Full, CALM + SECOND, false);
            story.is_right();
        } else {
            story.see(access, Freshness::Full, CALM + SECOND, true);
            story.breaks(RULES, &[Rule::Undead]);
        }
    }
}

#[test]
fn what_was_seen_dead_is_not_forgotten_while_somebody_lives_who_saw_it() {
    let mut story = Story::default();
    let (_, access) = story.issue(0);
    story.revoke_so(Target::Grant(0), 1_000, unknown());
    story.see(access, Freshness::Default, 2_000, false);
    story.see(access, Freshness::Full, CALM + 1, true);
    story.breaks(RULES, &[Rule::Forgotten]);
    story.breaks(Rules { views_kept: false, ..RULES }, &[]);
}

#[test]
fn before_it_is_revoked_nothing_is_dead() {
    let mut story = Story::default();
    let (refresh, access) = story.issue(0);
    story.see(access, Freshness::Full, 500, false);
    assert_eq!(check(&story.history, RULES).notes, Notes { flickers: 1, ..Notes::default() });
    story.is_right();
    story.see(access, Freshness::Full, CALM + 1, false);
    story.breaks(RULES, &[Rule::FalseLogout]);
    story.refresh_so(refresh, 600, refused("REFRESH_TOKEN_REFUSED"));
    story.breaks(RULES, &[Rule::FalseLogout, Rule::FalseLogout]);
    // An emptied store knows no grant, and has other keys.
    story.breaks(Rules { records_kept: false, ..RULES }, &[]);
}

#[test]
fn an_applied_revocation_may_hide_until_the_calm_but_never_from_who_names_its_revision() {
    let rules = Rules { promise: Promise::Applied, ..RULES };
    let mut story = Story::default();
    let (_, access) = story.issue(0);
    let revoked = story.revoke(Target::Grant(0), 1_000);
    story.see(access, Freshness::Full, 2_000, true);
    story.see_so(access, Freshness::AtLeast(revoked), 2_000, refused("REVISION_LOST"));
    story.breaks(rules, &[]);
    assert_eq!(check(&story.history, rules).notes, Notes { exposed: 1, revisions_lost: 1, ..Notes::default() });
    story.breaks(RULES, &[Rule::Revived]);
    story.see(access, Freshness::AtLeast(revoked), 2_000, true);
    story.breaks(rules, &[Rule::Revived]);
    story.see(access, Freshness::Full, CALM + 1, true);
    story.breaks(rules, &[Rule::Revived, Rule::Revived]);
}

#[test]
fn a_refresh_after_a_revocation_hands_out_nothing_that_lives() {
    let mut story = Story::default();
    let (first, _) = story.issue(0);
    story.revoke(Target::Session("s0".into()), 1_000);
    let (_, access) = story.refresh(first, 2_000);
    story.see(access, Freshness::Full, 3_000, false);
    story.is_right();
    assert_eq!(check(&story.history, RULES).notes.late_refreshes, 1);
    story.see(access, Freshness::Full, 4_000, true);
    story.breaks(RULES, &[Rule::Revived]);
    story.refresh(first, CALM + 1);
    story.breaks(RULES, &[Rule::Revived, Rule::Revived]);
}

#[test]
fn a_spent_token_and_a_second_successor_are_found() {
    let mut story = Story::default();
    let (first, _) = story.issue(0);
    let (second, _) = story.refresh(first, 1_000);
    let (third, _) = story.refresh(second, 2_000);
    let (newest, _) = story.refresh(third, CALM + 1);
    for token in [third, newest] {
        story.see(token, Freshness::Full, CALM + SECOND, true);
    }
    story.see(first, Freshness::Full, CALM + SECOND, false);
    story.is_right();
    story.see(second, Freshness::Full, CALM + SECOND, true);
    story.breaks(RULES, &[Rule::DoubleSpend]);
    story.history.grants[0].rotates = false;
    story.is_right();
}

#[test]
fn a_retry_abandons_what_came_before_it() {
    let mut story = Story::default();
    let (first, _) = story.issue(0);
    let (lost, _) = story.refresh(first, 1_000);
    let (kept, _) = story.refresh(first, 5_000);
    // While faults last a failover may have taken back the retry.
    story.see(lost, Freshness::Full, 6_000, true);
    story.see(kept, Freshness::Full, 6_000, true);
    story.is_right();
    story.see(kept, Freshness::Full, CALM + 1, true);
    story.see(lost, Freshness::Full, CALM + 1, false);
    story.is_right();
    story.see(lost, Freshness::Full, CALM + 1, true);
    story.breaks(RULES, &[Rule::DoubleSpend]);
}

#[test]
fn the_same_successor_again_is_no_second_one() {
    let mut story = Story::default();
    let (first, _) = story.issue(0);
    let (second, _) = story.refresh(first, 1_000);
    let access = story.token(0, Kind::Jwt("kid".into()), 1_005);
    story.refresh_so(first, 1_005, Outcome::Done((second, access)));
    story.refresh_so(second, CALM + 1, Outcome::Done((second, access)));
    story.see(second, Freshness::Full, CALM + SECOND, true);
    story.is_right();
}

#[test]
fn an_honest_client_is_never_taken_for_two() {
    for (cause, rules) in
        [("REUSE", vec![Rule::FalseReuse]), ("RETRY_EXPIRED", vec![Rule::FalseReuse]), ("GRANT_REVOKED", vec![])]
    {
        let mut story = Story::default();
        let (first, _) = story.issue(0);
        story.revoke(Target::Grant(0), 1_000);
        story.history.explanations.push(Explanation { token: first, cause: cause.into() });
        story.breaks(RULES, &rules);
        story.history.grants[0].honest = false;
        story.is_right();
    }
}

#[test]
fn after_the_calm_everything_is_answered() {
    let mut story = Story::default();
    let (first, access) = story.issue(0);
    for start in [1_000, CALM + 1] {
        story.see_so(access, Freshness::Full, start, unknown());
        story.refresh_so(first, start, unknown());
        story.revoke_so(Target::Token(access), start, unknown());
        story.history.failures.push(Failure { sid: String::new(), span: at(start), outcome: unknown() });
        let broken: &[Rule] = if start > CALM { &[Rule::Unavailable; 4] } else { &[] };
        story.breaks(RULES, broken);
    }
    let mut story = Story::default();
    let (_, access) = story.issue(0);
    let revoked = story.revoke(Target::Token(access), 1_000);
    story.see_so(access, Freshness::AtLeast(revoked), CALM + 1, refused("REVISION_LOST"));
    story.breaks(RULES, &[Rule::Unavailable]);
}

#[test]
fn answers_that_no_fault_explains_are_found() {
    let mut story = Story::default();
    let (first, access) = story.issue(0);
    story.see_so(access, Freshness::Full, 1_000, refused("INTERNAL"));
    story.refresh_so(first, 1_000, refused("INVALID_FIELD"));
    story.revoke_so(Target::Token(access), 1_000, refused("INTERNAL"));
    story.history.failures.push(Failure { sid: "s0".into(), span: at(1_000), outcome: refused("INVALID_SCOPE") });
    story.breaks(RULES, &[Rule::Defect; 4]);

    let mut story = Story::default();
    let revoked = Outcome::Done(Acknowledged { revision: "r".into(), durable: false });
    story.revoke_so(Target::Subject("bob".into()), 1_000, revoked);
    story.history.failures.push(Failure { sid: "s7".into(), span: at(1_000), outcome: refused("SESSION_REVOKED") });
    story.breaks(RULES, &[Rule::FalseLogout, Rule::Undurable]);
    story.revoke_so(Target::Session("s7".into()), 1_005, unknown());
    story.breaks(RULES, &[Rule::Undurable]);

    let mut story = Story::default();
    let (_, access) = story.issue(0);
    story.see(access, Freshness::Full, 901 * SECOND, true);
    story.breaks(RULES, &[Rule::Defect]);
}

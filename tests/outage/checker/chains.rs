//! Every refresh against what came before: who was honest goes on, and nothing is spent twice.

use super::super::history::{GrantAt, Kind, Moment, Outcome, Span, TokenAt};
use super::{About, Checker, Rule};
use std::collections::HashMap;

impl Checker<'_> {
    pub fn refreshes(&mut self) {
        for refresh in &self.history.refreshes {
            let grant = self.history.tokens[refresh.presented].grant;
            let (calm, honest) = (refresh.span.start > self.rules.calm, self.history.grants[grant].honest);
            let told = format!("the refresh of grant {grant} at {:?} on replica {}", refresh.span.start, refresh.replica);
            match &refresh.outcome {
                Outcome::Done(_) => {
                    let ended = self.touching(refresh.presented).any(|(_, revocation)| {
                        self.ends(revocation, refresh.presented) && revocation.span.is_before(refresh.span)
                    });
                    if ended && calm {
                        self.find(
                            Rule::Revived,
                            About::Grant(grant),
                            format!("{told} was answered after an acknowledged revocation"),
                        );
                    } else if ended {
                        self.verdict.notes.late_refreshes += 1;
                    }
                }
                Outcome::Refused(reason) if reason == "REFRESH_TOKEN_REFUSED" => {
                    let allowed = !honest || !self.rules.records_kept || self.may_have_ended(refresh.presented, refresh.span);
                    if !allowed {
                        self.find(
                            Rule::FalseLogout,
                            About::Grant(grant),
                            format!("{told} was refused, and nothing had ended it"),
                        );
                    }
                }
                Outcome::Refused(reason) => self.find(Rule::Defect, About::Grant(grant), format!("{told} was refused: {reason}")),
                Outcome::Unknown(reason) if calm => {
                    self.find(Rule::Unavailable, About::Grant(grant), format!("{told}: {reason}"))
                }
                Outcome::Unknown(_) => {}
            }
        }
    }

    /// Which refresh tokens of a grant that rotates were active after the calm.
    pub fn successors(&mut self) {
        let mut active: HashMap<GrantAt, Vec<(TokenAt, Moment)>> = HashMap::new();
        for asked in &self.history.introspections {
            let token = &self.history.tokens[asked.token];
            let counts = token.kind == Kind::Refresh && self.history.grants[token.grant].rotates;
            if counts && asked.outcome == Outcome::Done(true) && asked.span.start > self.rules.calm {
                active.entry(token.grant).or_default().push((asked.token, asked.span.start));
            }
        }
        let mut handed: HashMap<GrantAt, Vec<(TokenAt, TokenAt, Span)>> = HashMap::new();
        for refresh in &self.history.refreshes {
            if let Outcome::Done((next, _)) = refresh.outcome {
                let grant = self.history.tokens[refresh.presented].grant;
                handed.entry(grant).or_default().push((refresh.presented, next, refresh.span));
            }
        }
        for (grant, seen) in active {
            let Some(steps) = handed.get(&grant) else { continue };
            let rivals = |one: TokenAt, other: TokenAt| {
                let parent = |of: TokenAt| steps.iter().filter(move |(from, to, _)| *to == of && from != to);
                one != other && parent(one).any(|(from, ..)| parent(other).any(|(again, ..)| from == again))
            };
            let all_handed = steps.iter().map(|(.., span)| span.end).max().unwrap_or_default();
            let seen: Vec<TokenAt> = seen.into_iter().filter(|(_, at)| *at > all_handed).map(|(token, _)| token).collect();
            if let Some((one, other)) =
                seen.iter().enumerate().find_map(|(at, one)| Some((one, seen[..at].iter().find(|other| rivals(*one, **other))?)))
            {
                self.find(
                    Rule::DoubleSpend,
                    About::Grant(grant),
                    format!("of grant {grant}, both {one} and {other} are active: one token was spent twice"),
                );
            }
            let last = steps.iter().filter(|(.., span)| span.start > self.rules.calm).max_by_key(|(.., span)| span.end);
            if let Some((presented, newest, _)) = last
                && let Some(spent) = seen.iter().find(|token| *token != presented && *token != newest)
            {
                self.find(
                    Rule::DoubleSpend,
                    About::Grant(grant),
                    format!("of grant {grant}, {spent} is active, and {newest} came after it"),
                );
            }
        }
    }

    pub fn explanations(&mut self) {
        for explained in &self.history.explanations {
            let grant = self.history.tokens[explained.token].grant;
            if self.history.grants[grant].honest && matches!(explained.cause.as_str(), "REUSE" | "RETRY_EXPIRED") {
                self.find(
                    Rule::FalseReuse,
                    About::Grant(grant),
                    format!("grant {grant} of an honest client ended: {}", explained.cause),
                );
            }
        }
    }
}

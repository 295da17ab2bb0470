//! Every introspection against every revocation: who must be dead is dead, and nobody else.

use super::super::history::{Freshness, Introspection, Kind, Moment, Outcome, TokenAt};
use super::{About, Checker, Promise, Rule, Rules};
use std::collections::HashMap;

impl Checker<'_> {
    pub fn introspections(&mut self) {
        let mut flickered = vec![false; self.history.tokens.len()];
        for asked in &self.history.introspections {
            let calm = asked.span.start > self.rules.calm;
            let by = About::Grant(self.history.tokens[asked.token].grant);
            match &asked.outcome {
                Outcome::Done(true) => self.active(asked),
                Outcome::Done(false) => {
                    let token = &self.history.tokens[asked.token];
                    // A spent refresh token is inactive, and whoever was taken for two may be so with everything.
                    let is_allowed = token.kind == Kind::Refresh
                        || !self.history.grants[token.grant].honest
                        || !self.rules.records_kept
                        || self.may_have_ended(asked.token, asked.span);
                    if is_allowed {
                        continue;
                    }
                    if calm {
                        self.find(Rule::FalseLogout, by, format!("{} is inactive, and nothing ended it", self.asked(asked)));
                    } else if !flickered[asked.token] {
                        flickered[asked.token] = true;
                        self.verdict.notes.flickers += 1;
                    }
                }
                Outcome::Refused(reason) if reason == "REVISION_LOST" => {
                    self.verdict.notes.revisions_lost += 1;
                    if calm && self.rules.promise == Promise::Replicated {
                        self.find(Rule::Unavailable, by, format!("{}: an acknowledged revision is lost", self.asked(asked)));
                    }
                }
                Outcome::Refused(reason) => self.find(Rule::Defect, by, format!("{} was refused: {reason}", self.asked(asked))),
                Outcome::Unknown(reason) if calm => {
                    self.find(Rule::Unavailable, by, format!("{}: {reason}", self.asked(asked)));
                }
                Outcome::Unknown(_) => {}
            }
        }
    }

    /// An answer that calls a token active, against every revocation that was acknowledged before it was asked for.
    fn active(&mut self, asked: &Introspection) {
        let Rules { max_staleness, promise, calm, .. } = self.rules;
        for (at, revocation) in self.touching(asked.token) {
            if !self.ends(revocation, asked.token) {
                continue;
            }
            let since = revocation.span.end;
            let (is_breach, always) = match asked.freshness {
                Freshness::Full => (asked.span.start > since, false),
                Freshness::AtLeast(of) if of == at => (asked.span.start > since, true),
                Freshness::AtLeast(_) | Freshness::Default => (asked.span.start > since + max_staleness, false),
            };
            if !is_breach {
                continue;
            }
            if always || promise == Promise::Replicated || asked.span.start > calm {
                let later = asked.span.start.saturating_sub(since);
                let acknowledged = (&revocation.target, revocation.replica);
                let words = format!("{} is active {later:?} after {acknowledged:?}", self.asked(asked));
                let grant = self.history.tokens[asked.token].grant;
                self.find_by(Rule::Revived, About::Revocation(at), Some(grant), words);
            } else {
                self.verdict.notes.exposed += 1;
            }
        }
    }

    fn asked(&self, asked: &Introspection) -> String {
        let Introspection { token, freshness, span, replica, .. } = asked;
        let kind = &self.history.tokens[*token].kind;
        let grant = self.history.tokens[*token].grant;
        format!("token {token} of grant {grant} ({kind:?}) at {:?} on replica {replica}, {freshness:?},", span.start)
    }

    pub fn the_dead_stay_dead(&mut self) {
        let mut dead: HashMap<TokenAt, Moment> = HashMap::new();
        let mut dead_before: HashMap<TokenAt, Moment> = HashMap::new();
        for asked in self.history.introspections.iter().filter(|asked| asked.outcome == Outcome::Done(false)) {
            let is_jwt = matches!(self.history.tokens[asked.token].kind, Kind::Jwt(_));
            let calm = asked.span.start > self.rules.calm;
            if calm && asked.freshness == Freshness::Full {
                let first = dead.entry(asked.token).or_insert(asked.span.end);
                *first = asked.span.end.min(*first);
            } else if !calm && is_jwt && self.rules.views_kept && self.may_have_ended(asked.token, asked.span) {
                dead_before.insert(asked.token, asked.span.end);
            }
        }
        let active = |asked: &&Introspection| asked.outcome == Outcome::Done(true) && asked.freshness == Freshness::Full;
        let (history, calm) = (self.history, self.rules.calm);
        for asked in history.introspections.iter().filter(active).filter(|asked| asked.span.start > calm) {
            let by = About::Grant(history.tokens[asked.token].grant);
            if dead.get(&asked.token).is_some_and(|seen| *seen < asked.span.start) {
                self.find(Rule::Undead, by, format!("{} is active, and was seen dead", self.asked(asked)));
            }
            if dead_before.contains_key(&asked.token) {
                self.find(Rule::Forgotten, by, format!("{} is active, and was seen dead during the faults", self.asked(asked)));
            }
        }
    }
}

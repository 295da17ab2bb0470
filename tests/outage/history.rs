//! What a run recorded: who asked what, when, and what came of it. Only values; nothing of the service, and no rule.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Time since the run began, on the clock that never jumps.
pub type Moment = Duration;

/// From before a request left to after its answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: Moment,
    pub end: Moment,
}

impl Span {
    /// Whether this was over when that one began.
    pub fn is_before(self, other: Self) -> bool {
        self.end < other.start
    }
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It was done.
    Done(T),
    /// It was not done, for this reason.
    Refused(String),
    /// It may or may not have been done, now or later: no answer, or one that says so.
    Unknown(String),
}

impl<T> Outcome<T> {
    pub fn done(&self) -> Option<&T> {
        match self {
            Self::Done(value) => Some(value),
            Self::Refused(_) | Self::Unknown(_) => None,
        }
    }

    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// Which grant of the history.
pub type GrantAt = usize;
/// Which token of the history.
pub type TokenAt = usize;
/// Which revocation of the history.
pub type RevocationAt = usize;

/// A grant, as its Issue made it.
#[derive(Clone, Debug)]
pub struct Grant {
    pub id: String,
    pub client: String,
    pub sub: String,
    pub sid: String,
    pub issued: Span,
    /// A refresh hands out a new refresh token, and a spent one is worth nothing.
    pub rotates: bool,
    /// Whoever holds it keeps the rules of a client: one request at a time, the newest token kept.
    pub honest: bool,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Refresh,
    Opaque,
    /// Signed with the key of this id.
    Jwt(String),
}

/// A token, handed out the first time.
#[derive(Clone, Debug)]
pub struct Token {
    pub text: String,
    pub grant: GrantAt,
    pub kind: Kind,
    pub handed: Span,
}

/// What a revocation ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    Token(TokenAt),
    Grant(GrantAt),
    Session(String),
    Subject(String),
    Client(String),
    Consent(String, String),
    Key(String),
}

/// An acknowledgement of a revocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// Empty where there was nothing to end.
    pub revision: String,
    /// It got as far as the deployment is configured to take it.
    pub durable: bool,
}

#[derive(Clone, Debug)]
pub struct Revocation {
    pub target: Target,
    pub span: Span,
    pub replica: usize,
    pub outcome: Outcome<Acknowledged>,
}

/// A refresh: the refresh and the access token it handed out.
#[derive(Clone, Debug)]
pub struct Refresh {
    pub presented: TokenAt,
    pub span: Span,
    pub replica: usize,
    pub outcome: Outcome<(TokenAt, TokenAt)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    Default,
    /// As the acknowledgement of this revocation.
    AtLeast(RevocationAt),
    Full,
}

/// Whether a token is active.
#[derive(Clone, Debug)]
pub struct Introspection {
    pub token: TokenAt,
    pub freshness: Freshness,
    pub span: Span,
    pub replica: usize,
    pub outcome: Outcome<bool>,
}

/// Why a refresh token is dead, as the operator is told.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub token: TokenAt,
    pub cause: String,
}

/// An Issue that handed nothing out.
#[derive(Clone, Debug)]
pub struct Failure {
    pub sid: String,
    pub span: Span,
    pub outcome: Outcome<()>,
}

#[derive(Clone, Debug, Default)]
pub struct History {
    pub grants: Vec<Grant>,
    pub tokens: Vec<Token>,
    pub failures: Vec<Failure>,
    pub revocations: Vec<Revocation>,
    pub refreshes: Vec<Refresh>,
    pub introspections: Vec<Introspection>,
    pub explanations: Vec<Explanation>,
    known: HashMap<String, TokenAt>,
}

impl History {
    pub fn grant(&mut self, grant: Grant) -> GrantAt {
        self.grants.push(grant);
        self.grants.len() - 1
    }

    /// A token that was handed out; the same text is the same token.
    pub fn token(&mut self, text: &str, grant: GrantAt, kind: Kind, handed: Span) -> TokenAt {
        if let Some(at) = self.known.get(text) {
            return *at;
        }
        self.tokens.push(Token { text: text.into(), grant, kind, handed });
        self.known.insert(text.into(), self.tokens.len() - 1);
        self.tokens.len() - 1
    }

    pub fn revocation(&mut self, revocation: Revocation) -> RevocationAt {
        self.revocations.push(revocation);
        self.revocations.len() - 1
    }

    /// How many calls there were.
    pub fn operations(&self) -> usize {
        self.grants.len() + self.failures.len() + self.revocations.len() + self.refreshes.len() + self.introspections.len()
    }

    /// All that happened to a grant, a line each, in order of time; introspections of its tokens only where the answer is another than
    /// the last.
    pub fn story(&self, grant: GrantAt) -> String {
        let Grant { client, sub, sid, issued, honest, .. } = &self.grants[grant];
        let mut lines = vec![(issued.start, format!("issued to {client} for {sub} in {sid}, honest: {honest}"), *issued)];
        let tokens: Vec<TokenAt> = (0..self.tokens.len()).filter(|at| self.tokens[*at].grant == grant).collect();
        let targets: HashSet<Target> = tokens.iter().flat_map(|token| self.targets(*token)).collect();
        for revocation in self.revocations.iter().filter(|revocation| targets.contains(&revocation.target)) {
            let Revocation { target, span, replica, outcome } = revocation;
            lines.push((span.start, format!("revocation of {target:?} at {replica}: {outcome:?}"), *span));
        }
        for refresh in self.refreshes.iter().filter(|refresh| tokens.contains(&refresh.presented)) {
            let Refresh { presented, span, replica, outcome } = refresh;
            lines.push((span.start, format!("refresh with {presented} at {replica}: {outcome:?}"), *span));
        }
        let mut last = HashMap::new();
        for asked in self.introspections.iter().filter(|asked| tokens.contains(&asked.token)) {
            let Introspection { token, freshness, span, replica, outcome } = asked;
            if last.insert(*token, outcome.clone()).is_none_or(|before| before != *outcome) {
                lines.push((span.start, format!("introspection of {token}, {freshness:?}, at {replica}: {outcome:?}"), *span));
            }
        }
        for explained in self.explanations.iter().filter(|explained| tokens.contains(&explained.token)) {
            lines.push((Moment::MAX, format!("{} is explained: {}", explained.token, explained.cause), *issued));
        }
        lines.sort_by_key(|(start, ..)| *start);
        let told = lines.into_iter().map(|(_, what, span)| format!("  {:?}..{:?} {what}\n", span.start, span.end));
        format!("grant {grant}:\n{}", told.collect::<String>())
    }

    /// What a revocation of which ends this token.
    pub fn targets(&self, token: TokenAt) -> Vec<Target> {
        let token_of = &self.tokens[token];
        let grant = &self.grants[token_of.grant];
        let mut targets = vec![
            Target::Token(token),
            Target::Grant(token_of.grant),
            Target::Session(grant.sid.clone()),
            Target::Subject(grant.sub.clone()),
            Target::Client(grant.client.clone()),
            Target::Consent(grant.sub.clone(), grant.client.clone()),
        ];
        if let Kind::Jwt(kid) = &token_of.kind {
            targets.push(Target::Key(kid.clone()));
        }
        targets
    }
}

/// Where all that call record what they see.
pub struct Recorder {
    began: Instant,
    history: Mutex<History>,
}

impl Recorder {
    pub fn new() -> Self {
        Self { began: Instant::now(), history: Mutex::default() }
    }

    pub fn now(&self) -> Moment {
        self.began.elapsed()
    }

    /// The history so far, to add to or to look at; never across an await.
    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }
}

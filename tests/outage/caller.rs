//! Calls as a careful client makes them, each recorded with its span and outcome.

use super::fleet::{Doors, ORDERS, PAYMENTS, WEB, WEB_SECRET};
use super::history::{
    Acknowledged, Explanation, Failure, Freshness, Grant, Introspection, Kind, Moment, Outcome, Recorder, Refresh, Revocation,
    RevocationAt, Span, Target, TokenAt,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton::api;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetail, StatusExt as _};

/// After this a client gives up, and adopts no reply that comes later.
const PATIENCE: Duration = Duration::from_secs(4);
/// How many tokens are asked for at once: they fit into a message.
const BATCH: usize = 150;

/// What is held of a grant.
#[derive(Clone, Debug)]
pub struct Held {
    pub grant: usize,
    pub client: String,
    pub sub: String,
    pub sid: String,
    /// The newest refresh token.
    pub refresh: TokenAt,
    pub access: TokenAt,
    /// The name of a refresh that was not answered yet, to be repeated.
    pub pending: Option<String>,
}

/// What to ask Issue for.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub client: String,
    pub sub: String,
    pub sid: String,
    pub opaque: bool,
}

/// Who calls, and where it is recorded.
#[derive(Clone)]
pub struct Caller {
    pub recorder: Arc<Recorder>,
    pub doors: Arc<Doors>,
    /// What an acknowledgement must say that it reached.
    pub durability: api::Durability,
}

impl Caller {
    async fn call<T>(&self, answer: impl Future<Output = Result<Response<T>, Status>>) -> (Span, Outcome<T>) {
        let start = self.recorder.now();
        let outcome = match timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => Outcome::Done(answer.into_inner()),
            Ok(Err(status)) => refusal(&status),
            Err(_elapsed) => Outcome::Unknown("no answer".into()),
        };
        (Span { start, end: self.recorder.now() }, outcome)
    }

    /// Issues; none where that was not done.
    pub async fn issue(&self, replica: usize, wanted: Wanted) -> Option<Held> {
        let (scope, resource) = if wanted.opaque { ("payments:read", PAYMENTS) } else { ("orders:read", ORDERS) };
        let asked = api::IssueRequest {
            client_id: wanted.client.clone(),
            sub: wanted.sub.clone(),
            sid: wanted.sid.clone(),
            scope: format!("offline_access {scope}"),
            resource: vec![resource.into()],
            ..Default::default()
        };
        let mut client = self.doors.client(replica);
        let (span, outcome) = self.call(client.issue(limited(asked))).await;
        let mut history = self.recorder.history();
        let answer = match outcome {
            Outcome::Done(answer) => answer,
            Outcome::Refused(reason) => {
                history.failures.push(Failure { sid: wanted.sid, span, outcome: Outcome::Refused(reason) });
                return None;
            }
            Outcome::Unknown(reason) => {
                history.failures.push(Failure { sid: wanted.sid, span, outcome: Outcome::Unknown(reason) });
                return None;
            }
        };
        let Wanted { client, sub, sid, .. } = wanted;
        let rotates = client != WEB;
        let id = answer.grant_id;
        let made = Grant { id, client: client.clone(), sub: sub.clone(), sid: sid.clone(), issued: span, rotates, honest: true };
        let grant = history.grant(made);
        let refresh = history.token(&answer.refresh_token, grant, Kind::Refresh, span);
        let access = history.token(&answer.access_token, grant, kind(&answer.access_token), span);
        Some(Held { grant, client, sub, sid, refresh, access, pending: None })
    }

    /// Presents a refresh token once.
    pub async fn refresh(&self, replica: usize, held: &Held, request_id: &str) -> Outcome<(TokenAt, TokenAt)> {
        let secret = || api::ClientAuthentication { client_secret: WEB_SECRET.into(), ..Default::default() };
        let asked = api::RefreshRequest {
            refresh_token: self.text(held.refresh),
            client_id: held.client.clone(),
            client_authentication: (held.client == WEB).then(secret),
            request_id: request_id.into(),
            ..Default::default()
        };
        let mut client = self.doors.client(replica);
        let (span, outcome) = self.call(client.refresh(limited(asked))).await;
        let mut history = self.recorder.history();
        let outcome = match outcome {
            Outcome::Done(answer) => {
                let next = history.token(&answer.refresh_token, held.grant, Kind::Refresh, span);
                let access = history.token(&answer.access_token, held.grant, kind(&answer.access_token), span);
                Outcome::Done((next, access))
            }
            Outcome::Refused(reason) => Outcome::Refused(reason),
            Outcome::Unknown(reason) => Outcome::Unknown(reason),
        };
        history.refreshes.push(Refresh { presented: held.refresh, span, replica, outcome: outcome.clone() });
        outcome
    }

    /// Revokes; a refresh token stands for its grant.
    pub async fn revoke(&self, replica: usize, target: Target, by_refresh_token: Option<TokenAt>) -> RevocationAt {
        use api::revoke_request::Target as Asked;
        let asked = match (&target, by_refresh_token) {
            (_, Some(token)) | (&Target::Token(token), None) => Asked::Token(self.text(token)),
            (Target::Grant(grant), None) => Asked::GrantId(self.recorder.history().grants[*grant].id.clone()),
            (Target::Session(sid), None) => Asked::Session(api::SessionTarget { sid: sid.clone(), sub: String::new() }),
            (Target::Subject(sub), None) => Asked::Sub(sub.clone()),
            (Target::Client(client), None) => Asked::ClientId(client.clone()),
            (Target::Consent(sub, client), None) => {
                Asked::Consent(api::ConsentTarget { sub: sub.clone(), client_id: client.clone() })
            }
            (Target::Key(kid), None) => Asked::Kid(kid.clone()),
        };
        let mut client = self.doors.client(replica);
        let asked = api::RevokeRequest { target: Some(asked), ..Default::default() };
        let (span, outcome) = self.call(client.revoke(limited(asked))).await;
        let outcome = match outcome {
            Outcome::Done(answer) => {
                let durable = answer.revision.is_empty() || answer.durability() as i32 >= self.durability as i32;
                Outcome::Done(Acknowledged { revision: answer.revision, durable })
            }
            Outcome::Refused(reason) => Outcome::Refused(reason),
            Outcome::Unknown(reason) => Outcome::Unknown(reason),
        };
        self.recorder.history().revocation(Revocation { target, span, replica, outcome })
    }

    /// Asks whether tokens are active, all in one call where there are several. None where that was not answered.
    pub async fn introspect(&self, replica: usize, tokens: &[TokenAt], freshness: Freshness) -> Option<Vec<bool>> {
        let wanted = self.freshness(freshness);
        let freshness = if wanted.is_some() { freshness } else { Freshness::Default };
        let mut client = self.doors.client(replica);
        let (span, outcome) = if let [token] = tokens {
            let asked = api::IntrospectRequest { token: self.text(*token), freshness: wanted, ..Default::default() };
            let (span, outcome) = self.call(client.introspect(limited(asked))).await;
            (span, map(outcome, |answer| vec![answer.active]))
        } else {
            let texts = tokens.iter().map(|token| self.text(*token)).collect();
            let asked = api::BatchIntrospectRequest { tokens: texts, freshness: wanted, ..Default::default() };
            let (span, outcome) = self.call(client.batch_introspect(limited(asked))).await;
            (span, map(outcome, |answer| answer.results.iter().map(|one| one.active).collect()))
        };
        let mut history = self.recorder.history();
        for (at, token) in tokens.iter().enumerate() {
            let outcome = map(outcome.clone(), |answers| answers[at]);
            history.introspections.push(Introspection { token: *token, freshness, span, replica, outcome });
        }
        outcome.done().cloned()
    }

    /// The same for any number.
    pub async fn introspect_all(&self, replica: usize, tokens: &[TokenAt], freshness: Freshness) {
        for some in tokens.chunks(BATCH) {
            self.introspect(replica, some, freshness).await;
        }
    }

    /// Asks why a refresh token is dead.
    pub async fn explain(&self, replica: usize, token: TokenAt) -> Option<String> {
        let asked = api::ExplainRequest { token: self.text(token), ..Default::default() };
        let mut client = self.doors.client(replica);
        let (_, outcome) = self.call(client.explain(limited(asked))).await;
        let cause = outcome.done()?.cause().as_str_name().trim_start_matches("CAUSE_").to_owned();
        self.recorder.history().explanations.push(Explanation { token, cause: cause.clone() });
        Some(cause)
    }

    /// Now, on the clock of the record.
    pub fn now(&self) -> Moment {
        self.recorder.now()
    }

    fn text(&self, token: TokenAt) -> String {
        self.recorder.history().tokens[token].text.clone()
    }

    fn freshness(&self, freshness: Freshness) -> Option<api::Freshness> {
        use api::freshness::Requirement;
        let requirement = match freshness {
            Freshness::Default => None,
            Freshness::Full => Some(Requirement::FullyFresh(true)),
            Freshness::AtLeast(of) => {
                let history = self.recorder.history();
                let revision = history.revocations[of].outcome.done().map(|done| done.revision.clone());
                revision.filter(|revision| !revision.is_empty()).map(Requirement::AtLeastAsFresh)
            }
        };
        requirement.map(|requirement| api::Freshness { requirement: Some(requirement) })
    }
}

fn map<T, U>(outcome: Outcome<T>, by: impl FnOnce(T) -> U) -> Outcome<U> {
    match outcome {
        Outcome::Done(value) => Outcome::Done(by(value)),
        Outcome::Refused(reason) => Outcome::Refused(reason),
        Outcome::Unknown(reason) => Outcome::Unknown(reason),
    }
}

/// A request whose deadline travels with it.
fn limited<T>(asked: T) -> Request<T> {
    let mut request = Request::new(asked);
    request.set_timeout(PATIENCE);
    request
}

/// A refusal is one only if it says so in the service's own words; everything else may have happened.
fn refusal<T>(status: &Status) -> Outcome<T> {
    let reason = status.get_error_details_vec().into_iter().find_map(|detail| match detail {
        ErrorDetail::ErrorInfo(info) if info.domain == "jeton" => Some(info.reason),
        _ => None,
    });
    match (reason, status.code()) {
        (None, code) => Outcome::Unknown(format!("{code:?}")),
        (Some(reason), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted) => {
            Outcome::Unknown(reason)
        }
        (Some(reason), _) => Outcome::Refused(reason),
    }
}

/// What an access token is: a JWT names its key in its header.
fn kind(access: &str) -> Kind {
    if access.starts_with("jat_") {
        return Kind::Opaque;
    }
    let header = URL_SAFE_NO_PAD.decode(access.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    Kind::Jwt(header["kid"].as_str().unwrap().into())
}

//! What is measured: the operations, on real grants of many subjects, every answer checked.
//!
//! The client is `mobile-app` of the development configuration: it is public, so that each refresh rotates.

mod clients;
mod revoke;

pub(super) use clients::RegisterClients;
pub(super) use revoke::{Revoke, RevokeClient, RevokeGrants};

use super::load::{Work, Wrong};
use crate::api;
use crate::api::token_service_client::TokenServiceClient;
use crate::random;
use jeton_domain::error::Error;
use prost::Message;
use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tonic::transport::Channel;

pub(super) const CLIENT: &str = "mobile-app";
/// How often a subject signs in: so many members has his list of grants.
const GRANTS_A_SUBJECT: usize = 4;
/// The server counts the overlap in milliseconds.
const MARGIN: Duration = Duration::from_millis(5);

pub(super) type Client = TokenServiceClient<Channel>;

/// How long a request and its answer are, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) request: usize,
    pub(super) response: usize,
}

/// The sizes of the first call of some work.
#[derive(Debug, Default)]
struct First(OnceLock<Sizes>);

impl First {
    /// The length of a request, while it is still to be learned.
    fn request(&self, message: &impl Message) -> Option<usize> {
        self.0.get().is_none().then(|| message.encoded_len())
    }

    fn learn(&self, request: Option<usize>, response: &impl Message) {
        if let Some(request) = request {
            self.0.get_or_init(|| Sizes { request, response: response.encoded_len() });
        }
    }
}

/// Work whose messages a no-op can imitate.
pub(super) trait Operation: Work {
    /// How long its messages are; none before the first answer.
    fn sizes(&self) -> Option<Sizes>;

    /// How long to wait before the next round, so that there is enough to call with.
    fn rest(&self) -> Duration {
        Duration::ZERO
    }
}

/// The format of the access tokens that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Jwt,
    Opaque,
}

/// Issue: without end, or so many whose tokens are kept.
pub(super) struct Issue {
    format: Format,
    /// The front of the subjects' names: no other run has them.
    run: String,
    next: AtomicUsize,
    /// Where it ends.
    end: Option<usize>,
    kept: Option<Mutex<Vec<Issued>>>,
    first: First,
}

/// The tokens of one grant.
pub(super) struct Issued {
    pub(super) access: String,
    pub(super) refresh: String,
}

impl Issue {
    /// Issues as long as it is called.
    pub(super) fn endless() -> Result<Self, Error> {
        let run = u64::from_be_bytes(random::bytes()?);
        Ok(Self {
            format: Format::Jwt,
            run: format!("bench-{run:016x}"),
            next: AtomicUsize::new(0),
            end: None,
            kept: None,
            first: First::default(),
        })
    }

    /// Issues so many grants, and lets their tokens go.
    pub(super) fn some(count: usize) -> Result<Self, Error> {
        Ok(Self { end: Some(count), ..Self::endless()? })
    }

    /// Issues so many grants, and keeps their tokens.
    pub(super) fn keeping(count: usize, format: Format) -> Result<Self, Error> {
        Ok(Self { format, kept: Some(Mutex::new(Vec::with_capacity(count))), ..Self::some(count)? })
    }

    /// What was kept.
    pub(super) fn kept(&self) -> Vec<Issued> {
        self.kept.as_ref().map_or_else(Vec::new, |kept| mem::take(&mut *locked(kept)))
    }

    fn request(&self, number: usize) -> api::IssueRequest {
        let (scope, resource, amr) = match self.format {
            Format::Jwt => ("offline_access orders:read", "https://orders.internal", &["pwd"][..]),
            Format::Opaque => ("offline_access payments:read", "https://payments.internal", &["pwd", "mfa"][..]),
        };
        api::IssueRequest {
            client_id: CLIENT.into(),
            sub: format!("{}-{}", self.run, number / GRANTS_A_SUBJECT),
            scope: scope.into(),
            resource: vec![resource.into()],
            authentication: Some(api::AuthenticationContext {
                amr: amr.iter().map(|method| (*method).to_owned()).collect(),
                method: api::GrantType::AuthorizationCode.into(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}

impl Work for Issue {
    type Client = Client;

    fn client(channel: Channel) -> Client {
        Client::new(channel)
    }

    async fn call(&self, client: &mut Client) -> Option<Result<(), Wrong>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if self.end.is_some_and(|end| number >= end) {
            return None;
        }
        let request = self.request(number);
        let length = self.first.request(&request);
        let answer = match client.issue(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return Some(Err(status.into())),
        };
        if answer.access_token.is_empty() || answer.refresh_token.is_empty() {
            return Some(Err(Wrong::Answer("issue answered without its tokens")));
        }
        self.first.learn(length, &answer);
        if let Some(kept) = &self.kept {
            locked(kept).push(Issued { access: answer.access_token, refresh: answer.refresh_token });
        }
        Some(Ok(()))
    }
}

impl Operation for Issue {
    fn sizes(&self) -> Option<Sizes> {
        self.first.0.get().copied()
    }
}

/// Refresh: each grant in turn, with its newest token.
pub(super) struct Refresh {
    overlap: Duration,
    /// Newest tokens, that which waits longest first, and since when.
    chains: Mutex<VecDeque<(String, Option<Instant>)>>,
    first: First,
}

impl Refresh {
    /// No grant comes again within `overlap`: the server would hand out the same token once more, and write nothing.
    pub(super) fn new(issued: Vec<Issued>, overlap: Duration) -> Self {
        let chains = issued.into_iter().map(|issued| (issued.refresh, None)).collect();
        Self { overlap: overlap + MARGIN, chains: Mutex::new(chains), first: First::default() }
    }

    fn next(&self) -> Option<String> {
        let rested = |(_, since): &mut (String, Option<Instant>)| since.is_none_or(|since| since.elapsed() > self.overlap);
        locked(&self.chains).pop_front_if(rested).map(|(token, _)| token)
    }
}

impl Work for Refresh {
    type Client = Client;

    fn client(channel: Channel) -> Client {
        Client::new(channel)
    }

    async fn call(&self, client: &mut Client) -> Option<Result<(), Wrong>> {
        let token = self.next()?;
        let request = api::RefreshRequest { refresh_token: token.clone(), client_id: CLIENT.into(), ..Default::default() };
        let length = self.first.request(&request);
        let answer = match client.refresh(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return Some(Err(status.into())),
        };
        if answer.access_token.is_empty() || answer.refresh_token.is_empty() {
            return Some(Err(Wrong::Answer("refresh answered without its tokens")));
        }
        if answer.refresh_token == token {
            return Some(Err(Wrong::Answer("refresh rotated nothing: --overlap is below the server's `tokens.overlap`")));
        }
        self.first.learn(length, &answer);
        locked(&self.chains).push_back((answer.refresh_token, Some(Instant::now())));
        Some(Ok(()))
    }
}

impl Operation for Refresh {
    fn sizes(&self) -> Option<Sizes> {
        self.first.0.get().copied()
    }

    fn rest(&self) -> Duration {
        let newest = locked(&self.chains).back().and_then(|(_, since)| *since);
        newest.map_or(Duration::ZERO, |since| (since + self.overlap + MARGIN).saturating_duration_since(Instant::now()))
    }
}

/// Introspect: many distinct access tokens, one after another.
pub(super) struct Introspect {
    tokens: Arc<[String]>,
    next: AtomicUsize,
    /// Where it ends; without it the tokens come again and again.
    end: Option<usize>,
    /// What the answers must say of them.
    active: bool,
    first: First,
}

impl Introspect {
    /// Each once: none was seen before.
    pub(super) fn once(issued: Vec<Issued>) -> Self {
        let tokens: Arc<[String]> = issued.into_iter().map(|issued| issued.access).collect();
        Self { end: Some(tokens.len()), tokens, next: AtomicUsize::new(0), active: true, first: First::default() }
    }

    /// The first so many of them once.
    pub(super) fn some(&self, count: usize) -> Self {
        Self { end: Some(count.min(self.tokens.len())), ..self.again() }
    }

    /// The same again and again.
    pub(super) fn again(&self) -> Self {
        let tokens = Arc::clone(&self.tokens);
        Self { tokens, next: AtomicUsize::new(0), end: None, active: true, first: First::default() }
    }

    /// Each once, now that all are revoked.
    pub(super) fn dead(&self) -> Self {
        Self { active: false, ..self.some(self.tokens.len()) }
    }
}

impl Work for Introspect {
    type Client = Client;

    fn client(channel: Channel) -> Client {
        Client::new(channel)
    }

    async fn call(&self, client: &mut Client) -> Option<Result<(), Wrong>> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        if self.end.is_some_and(|end| turn >= end) {
            return None;
        }
        let token = self.tokens.get(turn % self.tokens.len().max(1))?.clone();
        let request = api::IntrospectRequest { token, ..Default::default() };
        let length = self.first.request(&request);
        let answer = match client.introspect(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return Some(Err(status.into())),
        };
        if answer.active != self.active || self.active && answer.client_id != CLIENT {
            let wrong =
                if self.active { "introspect called a living token not active" } else { "introspect called a dead token active" };
            return Some(Err(Wrong::Answer(wrong)));
        }
        self.first.learn(length, &answer);
        Some(Ok(()))
    }
}

impl Operation for Introspect {
    fn sizes(&self) -> Option<Sizes> {
        self.first.0.get().copied()
    }
}

/// The no-op, with messages as long as those of an operation.
#[cfg(feature = "bench")]
pub(super) struct Noop {
    payload: String,
    response_bytes: u32,
}

#[cfg(feature = "bench")]
impl Noop {
    pub(super) fn like(sizes: Sizes) -> Self {
        let response_bytes = u32::try_from(sizes.response).unwrap_or(u32::MAX);
        Self { payload: "x".repeat(sizes.request), response_bytes }
    }
}

#[cfg(feature = "bench")]
impl Work for Noop {
    type Client = crate::transport::noop::api::noop_service_client::NoopServiceClient<Channel>;

    fn client(channel: Channel) -> Self::Client {
        Self::Client::new(channel)
    }

    async fn call(&self, client: &mut Self::Client) -> Option<Result<(), Wrong>> {
        let request =
            crate::transport::noop::api::NoopRequest { payload: self.payload.clone(), response_bytes: self.response_bytes };
        Some(match client.noop(request).await {
            Ok(answer) if answer.get_ref().payload.len() == usize::try_from(self.response_bytes).unwrap_or_default() => Ok(()),
            Ok(_) => Err(Wrong::Answer("the no-op answered with another length")),
            Err(status) => Err(status.into()),
        })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(count: usize) -> Vec<Issued> {
        (0..count).map(|n| Issued { access: format!("a{n}"), refresh: format!("r{n}") }).collect()
    }

    #[test]
    fn no_grant_is_refreshed_twice_within_the_overlap() {
        let refresh = Refresh::new(issued(2), Duration::from_secs(60));
        assert_eq!((refresh.next().as_deref(), refresh.next().as_deref(), refresh.next()), (Some("r0"), Some("r1"), None));
        locked(&refresh.chains).push_back(("r2".into(), Some(Instant::now())));
        assert_eq!(refresh.next(), None);
        assert!(refresh.rest() > Duration::from_secs(59));
        let long_ago = Instant::now().checked_sub(Duration::from_secs(61)).unwrap();
        locked(&refresh.chains).push_front(("r3".into(), Some(long_ago)));
        assert_eq!(refresh.next().as_deref(), Some("r3"));
    }

    #[test]
    fn every_subject_signs_in_a_few_times_and_no_two_runs_share_one() {
        let [one, other] = [Issue::endless().unwrap(), Issue::endless().unwrap()];
        assert_eq!(one.request(0).sub, one.request(3).sub);
        assert_ne!(one.request(3).sub, one.request(4).sub);
        assert_ne!(one.request(0).sub, other.request(0).sub);
    }
}

//! `jeton revoke --leaked`: every token of ours in a text is revoked, and what became of them is counted. No token is ever shown.
//!
//! Must not live here: how tokens are found (`scan`, and the domain).

mod scan;

use super::answer::{Answer, Value};
use super::arguments::Remote;
use super::call::{DEADLINE, request, show};
use super::connection::{Connection, channel};
use super::failure::{Exit, Failure};
use crate::api::revoke_request::Target;
use crate::api::token_service_client::TokenServiceClient;
use crate::api::{RevocationReason, RevokeRequest};
use crate::clock::Clock;
use crate::transport::fault::code_word;
use futures_util::{StreamExt as _, stream};
use jeton_domain::leak::Found;
use jeton_domain::secret::SecretText;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;
use tokio::sync::mpsc;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// How many calls are under way at once.
const CALLS: usize = 64;
/// How many tokens may wait to be revoked before reading waits for them.
const WAITING: usize = 1_024;

/// What became of one token.
enum Became {
    /// It was only counted.
    Found,
    /// It is revoked.
    Revoked,
    /// There was nothing to end: unknown here, expired, or ended long ago.
    Over,
    /// It may be alive.
    Failed(Box<Status>),
}

#[derive(Default)]
struct Counts {
    found: BTreeMap<Found, i64>,
    revoked: i64,
    over: i64,
    /// By reason: how often, and what the first one said.
    failures: BTreeMap<String, (i64, String)>,
}

/// Revokes what is found in `file`, `-` for standard input; only counts it for a dry run. Goes on over failures.
pub(super) async fn run(file: &Path, dry_run: bool, remote: &Remote, clock: &Clock) -> Result<Exit, Failure> {
    let name = if file == Path::new("-") { "standard input".to_owned() } else { format!("`{}`", file.display()) };
    let unreadable = |error: &io::Error| {
        Failure::usage(
            format!("{name} cannot be read: {error}"),
            "--leaked names a file of any kind; what was found in it is done",
        )
    };
    let text: Box<dyn Read + Send> = match file {
        file if file == Path::new("-") => Box::new(io::stdin()),
        file => Box::new(File::open(file).map_err(|error| unreadable(&error))?),
    };
    let client = TokenServiceClient::new(channel(remote)?);
    let (found, mut waiting) = mpsc::channel(WAITING);
    let reading = tokio::task::spawn_blocking(move || read(text, &found));
    let tokens = stream::poll_fn(move |context| waiting.poll_recv(context));
    let mut became = tokens.map(|(kind, token)| revoke(client.clone(), kind, token, dry_run)).buffer_unordered(CALLS);
    let mut counts = Counts::default();
    while let Some((kind, became)) = became.next().await {
        counts.add(kind, became);
    }
    show(&counts.answer(dry_run), remote, clock)?;
    match reading.await {
        Ok(Ok(())) => counts.exit(),
        Ok(Err(error)) => Err(unreadable(&error)),
        Err(panicked) => Err(Failure::local(format!("reading {name} ended: {panicked}"), "this is a defect of jeton: report it")),
    }
}

/// Finds each token once; they are told apart by their hash, so that many take little memory.
fn read(text: impl Read, found: &mpsc::Sender<(Found, SecretText)>) -> io::Result<()> {
    let mut known = HashSet::<[u8; 32]>::new();
    scan::scan(text, |kind, token| {
        if known.insert(Sha256::digest(token).into()) && found.blocking_send((kind, SecretText::new(token.to_owned()))).is_err() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })
}

async fn revoke(mut client: TokenServiceClient<Connection>, kind: Found, token: SecretText, dry_run: bool) -> (Found, Became) {
    if dry_run {
        return (kind, Became::Found);
    }
    let target = Some(Target::Token(token.expose().to_owned()));
    let message = RevokeRequest { target, reason: RevocationReason::Leaked.into(), ..Default::default() };
    let late = |_elapsed| Status::deadline_exceeded(format!("no answer within {} s", DEADLINE.as_secs()));
    let answer = tokio::time::timeout(DEADLINE, client.revoke(request(message))).await.map_err(late).flatten();
    let became = match answer.map(|answer| answer.into_inner().revision.is_empty()) {
        Ok(true) => Became::Over,
        Ok(false) => Became::Revoked,
        Err(status) => Became::Failed(Box::new(status)),
    };
    (kind, became)
}

impl Counts {
    fn add(&mut self, kind: Found, became: Became) {
        *self.found.entry(kind).or_default() += 1;
        match became {
            Became::Found => {}
            Became::Revoked => self.revoked += 1,
            Became::Over => self.over += 1,
            Became::Failed(status) => {
                let details = status.get_error_details();
                let reason = details.error_info().map_or_else(|| code_word(status.code()).to_owned(), |info| info.reason.clone());
                let said = match status.code() {
                    Code::Unavailable if details.error_info().is_none() => "the server cannot be reached",
                    _ => status.message(),
                };
                self.failures.entry(reason).or_insert_with(|| (0, said.to_owned())).0 += 1;
            }
        }
    }

    fn failed(&self) -> i64 {
        self.failures.values().map(|(count, _)| count).sum()
    }

    fn answer(&self, dry_run: bool) -> Answer {
        let count = |kind| Value::Number(self.found.get(&kind).copied().unwrap_or_default());
        let found = Found::ALL.into_iter().fold(Answer::default(), |answer, kind| answer.with(word(kind), count(kind)));
        let answer = Answer::default().with("found", Value::Object(found));
        if dry_run {
            return answer;
        }
        let failure = |(reason, (count, said)): (&String, &(i64, String))| {
            let answer = Answer::default().text("reason", reason.clone()).with("tokens", Value::Number(*count));
            answer.text("said", said.clone())
        };
        let answer = answer
            .with("revoked", Value::Number(self.revoked))
            .with("unknown_or_over", Value::Number(self.over))
            .with("failed", Value::Number(self.failed()));
        if self.failures.is_empty() {
            return answer;
        }
        let failures = self.failures.iter().map(failure).collect();
        answer.with("failures", Value::Objects(&["reason", "tokens", "said"], failures))
    }

    fn exit(&self) -> Result<Exit, Failure> {
        match self.failed() {
            0 => Ok(Exit::Ok),
            failed => {
                let all: i64 = self.found.values().sum();
                Err(Failure::local(
                    format!("revoke: {failed} of {all} tokens may still be alive"),
                    "run it again when the reasons above are mended: what is revoked already stays so",
                ))
            }
        }
    }
}

/// What a kind is called in the answer.
const fn word(kind: Found) -> &'static str {
    match kind {
        Found::Refresh => "refresh_tokens",
        Found::JwtAccess => "jwt_access_tokens",
        Found::OpaqueAccess => "opaque_access_tokens",
        Found::Code => "authorization_codes",
        Found::Device => "device_codes",
    }
}

//! How soon the other replicas enforce what one of them acknowledged as revoked: from the answer of Revoke to the first answer of
//! Introspect, as fresh as it is by default, that does not call the token active.
//!
//! One revocation follows the other, each on the next replica. The others are asked by one caller each, again and again since before
//! Revoke is sent; so nothing is missed, and no moment is told more exactly than one such question takes, and the pause before it.
//! Beside it all four operations are called on all replicas, at a pace.

use super::enforced::Enforced;
use super::load::{Links, Ran, Work, Wrong, channel};
use super::report::Series;
use super::work::{CLIENT, Client, Format, Introspect, Issue, Issued, Refresh, Revoke};
use super::{Bench, no_randomness, to_usize};
use crate::api::{self, revoke_request};
use crate::cli::failure::Failure;
use futures_util::future::{join, try_join, try_join_all};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tonic::transport::Channel;

/// The longest measurement: access tokens live for five minutes.
const LONGEST: Duration = Duration::from_secs(200);
/// A token that is active for longer after its revocation is an error.
const PATIENCE: Duration = Duration::from_secs(10);
/// The four operations.
const OPERATIONS: u32 = 4;

impl Bench<'_> {
    /// Measures with as many revocations as there are `--grants`, or until its seconds are over.
    pub(super) async fn enforcement(&self) -> Result<Enforced, Failure> {
        if self.arguments.replica.is_empty() {
            let next = "name each of the others by --replica URL";
            return Err(Failure::usage("enforcement is measured between replicas on one store", next));
        }
        let span = Duration::from_secs(self.arguments.seconds.into()).min(LONGEST);
        let servers = || std::iter::once(&self.arguments.server).chain(&self.arguments.replica);
        let clients = try_join_all(servers().map(|server| channel(server))).await?;
        let clients: Vec<Client> = clients.into_iter().map(Client::new).collect();
        let load = Load::new(self, servers().map(String::as_str).collect(), span).await?;
        let issued = self.issued(to_usize(self.arguments.grants), Format::Jwt).await?;
        self.progress.begin("enforcement".into(), span);
        let measured = async {
            let pause = Duration::from_millis(self.arguments.pause.into());
            let measured = Measured::revoke_each(&clients, &issued, Instant::now() + span, pause).await;
            load.is_over.store(true, Ordering::Relaxed);
            measured
        };
        let (measured, load) = join(measured, load.run(self, span)).await;
        let Measured { revoked, enforced, questions, early } = measured?;
        Ok(Enforced {
            replicas: clients.len(),
            asked_load: self.arguments.load,
            load: load?,
            revoked,
            enforced,
            questions,
            early,
        })
    }
}

/// What was measured of the revocations.
struct Measured {
    revoked: Ran,
    enforced: Ran,
    questions: Ran,
    early: u64,
}

/// One revocation.
struct One {
    asked: Instant,
    acknowledged: Instant,
    others: Vec<Seen>,
}

/// When another replica did not call it active any more, and how long each question to it took.
struct Seen {
    inactive: Instant,
    questions: Vec<Duration>,
}

impl Measured {
    async fn revoke_each(clients: &[Client], issued: &[Issued], until: Instant, pause: Duration) -> Result<Self, Failure> {
        let (revoked, enforced, questions) = (Ran::nothing()?, Ran::nothing()?, Ran::nothing()?);
        let mut measured = Self { revoked, enforced, questions, early: 0 };
        for (turn, issued) in issued.iter().enumerate() {
            if Instant::now() >= until {
                break;
            }
            match one(clients, turn % clients.len().max(1), issued, pause).await {
                Ok(one) => measured.add(&one),
                Err(wrong) => measured.enforced.count(Err(wrong), Duration::ZERO),
            }
        }
        Ok(measured)
    }

    fn add(&mut self, one: &One) {
        self.revoked.count(Ok(()), one.acknowledged - one.asked);
        for Seen { inactive, questions } in &one.others {
            self.early += u64::from(*inactive < one.acknowledged);
            self.enforced.count(Ok(()), inactive.saturating_duration_since(one.acknowledged));
            questions.iter().for_each(|took| self.questions.count(Ok(()), *took));
        }
    }
}

/// Revokes one grant on the replica of this number, and asks the others until none calls its access token active.
async fn one(clients: &[Client], revoking: usize, issued: &Issued, pause: Duration) -> Result<One, Wrong> {
    let others = || clients.iter().enumerate().filter(|(at, _)| *at != revoking).map(|(_, client)| client.clone());
    let active = try_join_all(others().map(|client| is_active(client, &issued.access))).await?;
    if active.contains(&false) {
        return Err(Wrong::Answer("introspect called a living token not active"));
    }
    let Some(client) = clients.get(revoking) else { return Err(Wrong::Answer("no replica was given")) };
    let seen = try_join_all(others().map(|client| inactive(client, &issued.access, pause)));
    let ((asked, acknowledged), others) = try_join(revoke(client.clone(), &issued.refresh), seen).await?;
    Ok(One { asked, acknowledged, others })
}

/// When it was asked for, and when it was acknowledged.
async fn revoke(mut client: Client, token: &str) -> Result<(Instant, Instant), Wrong> {
    let request = api::RevokeRequest { target: Some(revoke_request::Target::Token(token.to_owned())), ..Default::default() };
    let asked = Instant::now();
    let answer = client.revoke(request).await?;
    if answer.get_ref().revision.is_empty() {
        return Err(Wrong::Answer("revoke ended nothing"));
    }
    Ok((asked, Instant::now()))
}

/// Asks again and again until it is not active.
async fn inactive(client: Client, token: &str, pause: Duration) -> Result<Seen, Wrong> {
    let (began, mut questions) = (Instant::now(), Vec::new());
    loop {
        let sent = Instant::now();
        let active = is_active(client.clone(), token).await?;
        let answered = Instant::now();
        questions.push(answered - sent);
        if !active {
            return Ok(Seen { inactive: answered, questions });
        }
        if answered - began > PATIENCE {
            return Err(Wrong::Answer("a revoked token stayed active on another replica"));
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

async fn is_active(mut client: Client, token: &str) -> Result<bool, Wrong> {
    let answer = client.introspect(api::IntrospectRequest { token: token.to_owned(), ..Default::default() }).await?.into_inner();
    if answer.active && answer.client_id != CLIENT {
        return Err(Wrong::Answer("introspect told of another token"));
    }
    Ok(answer.active)
}

/// The four operations on all replicas, at a pace, until it is over.
struct Load {
    is_over: Arc<AtomicBool>,
    replicas: Vec<Links>,
    issue: Arc<Until<Issue>>,
    refresh: Arc<Until<Refresh>>,
    introspect: Arc<Until<Introspect>>,
    revoke: Arc<Until<Revoke>>,
}

impl Load {
    async fn new(bench: &Bench<'_>, servers: Vec<&str>, span: Duration) -> Result<Self, Failure> {
        let arguments = bench.arguments;
        let replicas = if arguments.load == 0 { Vec::new() } else { servers };
        let (rate, count) = (arguments.load.div_ceil(OPERATIONS), to_usize(arguments.load.div_ceil(OPERATIONS)));
        let connected = replicas.iter().map(|server| Links::connect(server, arguments.connections, arguments.concurrency));
        let replicas: Vec<_> = try_join_all(connected).await?.iter().map(|links| links.paced(rate)).collect();
        // So many each second: a grant that was refreshed rests for the overlap, one that was revoked is gone.
        let each_second = count.saturating_mul(replicas.len());
        let overlap = Duration::from_secs(arguments.overlap.into());
        let resting = bench.issued(each_second.saturating_mul(2 * (to_usize(arguments.overlap) + 1)), Format::Jwt).await?;
        let seconds = usize::try_from(span.as_secs()).unwrap_or(usize::MAX).saturating_add(1);
        let living = bench.issued(each_second.saturating_mul(seconds), Format::Jwt).await?;
        let is_over = Arc::<AtomicBool>::default();
        Ok(Self {
            issue: Until::new(Issue::endless().map_err(no_randomness)?, &is_over),
            refresh: Until::new(Refresh::new(resting, overlap), &is_over),
            introspect: Until::new(bench.known(&mut None, Format::Jwt).await?.again(), &is_over),
            revoke: Until::new(Revoke::new(living), &is_over),
            is_over,
            replicas,
        })
    }

    /// By operation, as many rounds as replicas.
    async fn run(&self, bench: &Bench<'_>, span: Duration) -> Result<Vec<(&'static str, Series)>, Failure> {
        let progress = &bench.progress;
        let all = self.replicas.iter().map(|links| async move {
            tokio::try_join!(
                links.run(&self.issue, span, progress),
                links.run(&self.refresh, span, progress),
                links.run(&self.introspect, span, progress),
                links.run(&self.revoke, span, progress),
            )
        });
        let mut series = ["issue", "refresh", "introspect", "revoke"].map(|name| (name, Series::new()));
        for (issue, refresh, introspect, revoke) in try_join_all(all).await? {
            for ((_, series), ran) in series.iter_mut().zip([issue, refresh, introspect, revoke]) {
                series.add(ran, None);
            }
        }
        Ok(if self.replicas.is_empty() { Vec::new() } else { series.into() })
    }
}

/// Work that ends when it is told to.
struct Until<W> {
    work: W,
    is_over: Arc<AtomicBool>,
}

impl<W> Until<W> {
    fn new(work: W, is_over: &Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(Self { work, is_over: Arc::clone(is_over) })
    }
}

impl<W: Work> Work for Until<W> {
    type Client = W::Client;

    fn client(channel: Channel) -> Self::Client {
        W::client(channel)
    }

    async fn call(&self, client: &mut Self::Client) -> Option<Result<(), Wrong>> {
        if self.is_over.load(Ordering::Relaxed) {
            return None;
        }
        self.work.call(client).await
    }
}

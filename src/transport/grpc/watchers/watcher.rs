//! One watcher: what it says is heard, what it lacks and what changes is told, until one of both ends it.

use super::{Asker, Event, Hub, RING};
use crate::random;
use crate::service::watch::Backlog;
use crate::telemetry::metrics;
use crate::transport::caller::Caller;
use crate::transport::fault::Fault;
use crate::transport::grpc::api::watch_request::Message;
use crate::transport::grpc::api::{WatchPing, WatchRequest};
use crate::transport::grpc::codec::Encoded;
use crate::transport::grpc::revocation::{self, CHUNK};
use crate::transport::grpc::status;
use crate::transport::logged;
use jeton_domain::error::Error;
use jeton_domain::revision::Revision;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// Messages that may wait for the connection to take them.
const BUFFER: usize = 4;
/// For so long a watcher may be told what it lacks, at the most.
const BACKLOG: Duration = Duration::from_secs(60);
/// Pings that may wait for a proof; older ones are given up.
const PINGS: usize = 64;

/// What a watcher is sent.
pub type Told = ReceiverStream<Result<Encoded, Status>>;

impl Hub {
    /// One watcher more.
    ///
    /// # Errors
    /// `Overloaded`.
    pub fn watch(self: &Arc<Self>, caller: Arc<Caller>, requests: Streaming<WatchRequest>) -> Result<Told, Fault> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_full| Error::Overloaded)?;
        let (to, told) = mpsc::channel(BUFFER.saturating_add(1));
        // However slow its reader is, there is room for the end.
        let end = to.clone().try_reserve_owned().map_err(|_defect| Error::Overloaded)?;
        let mut watcher =
            Watcher { hub: Arc::clone(self), caller, requests, to, stands: None, proving: Vec::new(), pings: Vec::new() };
        self.tasks.spawn(async move {
            if let Some(status) = watcher.watch().await {
                end.send(Err(status));
            }
            drop(place);
        });
        Ok(ReceiverStream::new(told))
    }
}

struct Watcher {
    hub: Arc<Hub>,
    caller: Arc<Caller>,
    requests: Streaming<WatchRequest>,
    to: mpsc::Sender<Result<Encoded, Status>>,
    /// The place from which another stream may go on.
    stands: Option<Revision>,
    /// The pings that the proof under way answers.
    proving: Vec<u64>,
    /// Those that came later.
    pings: Vec<u64>,
}

/// Why a stream ends.
enum Stop {
    /// Its watcher is gone, or has said all that it had to.
    Done,
    /// It is to be begun anew, from where it stands.
    Cut,
    /// What it says or asks for is refused.
    Refused(Fault),
    /// What it says cannot be read.
    Unreadable(Status),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Refused(fault)
    }
}

type Step = Result<(), Stop>;

impl Watcher {
    /// What it ends with; nothing where it ends well.
    async fn watch(&mut self) -> Option<Status> {
        let (shutdown, to, longest) = (self.hub.shutdown.clone(), self.to.clone(), self.hub.terms.longest);
        let longest = longest.saturating_add(random::up_to(longest / 4));
        let stop = tokio::select! {
            biased;
            () = shutdown.cancelled() => Stop::Refused(Error::ShuttingDown.into()),
            () = to.closed() => Stop::Done,
            () = sleep(longest) => Stop::Cut,
            stopped = self.follow() => match stopped {
                Err(stop) => stop,
                Ok(never) => match never {},
            },
        };
        match stop {
            Stop::Done => None,
            Stop::Cut => Some(status::of(Error::WatchCut(self.stands).into())),
            Stop::Refused(fault) => Some(status::of(fault)),
            Stop::Unreadable(status) => Some(status),
        }
    }

    async fn follow(&mut self) -> Result<Infallible, Stop> {
        let mut silence = pin!(sleep(self.hub.terms.silence));
        let first = tokio::select! {
            first = self.requests.message() => first.map_err(Stop::Unreadable)?.ok_or(Stop::Done)?,
            () = &mut silence => return Err(Stop::Cut),
        };
        let after = revocation::start(first)?;
        let mut events = self.hub.events.subscribe();
        self.tell_backlog(after, &mut events).await?;
        silence.as_mut().reset(self.silent_until());
        let mut proof = None;
        loop {
            tokio::select! {
                said = self.requests.message() => {
                    self.hear(said.map_err(Stop::Unreadable)?.ok_or(Stop::Done)?)?;
                    silence.as_mut().reset(self.silent_until());
                }
                event = events.recv() => match event {
                    Ok(event) => self.tell(event).await?,
                    Err(RecvError::Lagged(_) | RecvError::Closed) => return Err(Stop::Cut),
                },
                proved = answer(&mut proof) => {
                    proof = None;
                    self.proved(proved, &mut events).await?;
                }
                () = &mut silence => return Err(Stop::Cut),
            }
            if proof.is_none() && !self.pings.is_empty() {
                let (asker, answer): (Asker, _) = oneshot::channel();
                self.proving = std::mem::take(&mut self.pings);
                proof = self.hub.askers.try_send(asker).is_ok().then_some(answer);
            }
        }
    }

    fn silent_until(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(self.hub.terms.silence).unwrap_or(now)
    }

    fn hear(&mut self, said: WatchRequest) -> Step {
        match said.message {
            Some(Message::Ping(WatchPing { id })) => {
                if self.pings.len() == PINGS {
                    self.pings.remove(0);
                }
                self.pings.push(id);
            }
            Some(Message::Arrivals(told)) => {
                let seen = revocation::arrivals(told)?;
                // A client reports unasked, and loses nothing where it is not believed: the operator is told, and the stream goes on.
                match self.caller.may_report_arrivals() {
                    Ok(()) => self.hub.service.arrivals(seen),
                    Err(error) => drop(logged(error)),
                }
            }
            Some(Message::Start(_)) => return Err(Fault::of(&Error::invalid("start", "may be said once, first")).into()),
            // Said by a newer version.
            None => {}
        }
        Ok(())
    }

    /// Tells what it lacks, and takes `events` to where its changes go on.
    async fn tell_backlog(&mut self, after: Option<Revision>, events: &mut broadcast::Receiver<Event>) -> Step {
        let hub = Arc::clone(&self.hub);
        let mut backlog = hub.service.backlog(after);
        self.stands = backlog.after();
        self.say(revocation::started(&hub.service.judging(), backlog.after().is_none())).await?;
        loop {
            let turn = hub.backlogs.acquire().await;
            // Who takes longer makes others wait for nothing: few are told at once.
            let told = timeout(BACKLOG, self.tell_pieces(&mut backlog)).await;
            drop(turn);
            let rest = told.map_err(|_elapsed| Stop::Cut)??;
            if events.len() <= RING {
                self.say_changes(revocation::changes(&rest, Some(backlog.upto())), rest.len()).await?;
                self.stands = Some(backlog.upto());
                return Ok(());
            }
            // So much changed meanwhile that it is told as what it lacks, too.
            self.say_changes(revocation::changes(&rest, None), rest.len()).await?;
            *events = hub.events.subscribe();
            backlog = hub.service.backlog(Some(backlog.upto()));
        }
    }

    /// Tells it in messages of one size, but for the rest.
    async fn tell_pieces(&mut self, backlog: &mut Backlog) -> Result<Vec<jeton_domain::floors::Raised>, Stop> {
        let mut held = Vec::new();
        while let Some(mut piece) = backlog.next().await.map_err(|error| Stop::Refused(logged(error)))? {
            held.append(&mut piece);
            let whole = held.len() / CHUNK * CHUNK;
            for chunk in held.chunks_exact(CHUNK) {
                self.say_changes(revocation::changes(chunk, None), chunk.len()).await?;
            }
            held.drain(..whole);
        }
        Ok(held)
    }

    async fn tell(&mut self, event: Event) -> Step {
        match event {
            Event::Over => Err(Stop::Cut),
            Event::Changes { message, entries, upto } => {
                self.say_changes(message, entries).await?;
                self.stands = upto.or(self.stands);
                Ok(())
            }
        }
    }

    /// Answers the pings of a proof, after all that was known when it was made; or leaves them unanswered.
    async fn proved(&mut self, proved: Option<Revision>, events: &mut broadcast::Receiver<Event>) -> Step {
        let proving = std::mem::take(&mut self.proving);
        let Some(revision) = proved else { return Ok(()) };
        loop {
            match events.try_recv() {
                Ok(event) => self.tell(event).await?,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Lagged(_) | TryRecvError::Closed) => return Err(Stop::Cut),
            }
        }
        self.stands = self.stands.max(Some(revision));
        for id in proving {
            self.say(revocation::pong(id, self.stands)).await?;
        }
        Ok(())
    }

    async fn say_changes(&self, message: Encoded, entries: usize) -> Step {
        self.say(message).await?;
        metrics::WATCHED.add_many(entries);
        Ok(())
    }

    async fn say(&self, message: Encoded) -> Step {
        self.to.send_timeout(Ok(message), self.hub.terms.patience).await.map_err(|error| match error {
            SendTimeoutError::Timeout(_) => Stop::Cut,
            SendTimeoutError::Closed(_) => Stop::Done,
        })
    }
}

/// What a proof under way comes to.
async fn answer(proof: &mut Option<oneshot::Receiver<Revision>>) -> Option<Revision> {
    match proof {
        Some(proof) => proof.await.ok(),
        None => std::future::pending().await,
    }
}

//! Everybody who watches the log: changes are encoded once and told to all, pings are proved together.
//!
//! Lives here: what all streams share. Below: `watcher` (one stream). Must not live here: what the messages say (`revocation`).

mod watcher;

pub use watcher::Told;

use super::codec::Encoded;
use super::revocation::{CHUNK, changes};
use crate::service::Service;
use crate::service::watch::Change;
use crate::telemetry::metrics;
use crate::transport::connections::MAX_AGE;
use jeton_domain::floors::Raised;
use jeton_domain::revision::Revision;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};
use tokio::time::{Instant, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What streams of revocations hold to.
#[derive(Clone, Copy, Debug)]
pub struct Watching {
    /// The most streams at once; the next is refused as `OVERLOADED`.
    pub most: usize,
    /// Who says nothing for so long is ended.
    pub silence: Duration,
    /// Who takes nothing for so long, while there is something to tell, is ended.
    pub patience: Duration,
    /// A stream is ended after this, and up to a quarter of it longer.
    pub longest: Duration,
}

impl Default for Watching {
    fn default() -> Self {
        Self { most: 10_000, silence: Duration::from_secs(60), patience: Duration::from_secs(5), longest: MAX_AGE }
    }
}

/// How many events a stream may fall behind.
const RING: usize = 1_024;
/// How many streams at once are told what they lack: each holds a part of the view in memory.
const BACKLOGS: usize = 16;
/// Between two messages of changes there is this, and a little for each who is told: a storm of revocations is told in fewer and larger
/// messages, which cost a fixed share of the machine. What comes after a pause is told at once.
const PAUSE: Duration = Duration::from_millis(2);
const PAUSE_FOR_EACH: Duration = Duration::from_micros(20);
/// Between two proofs; who asks within it shares the next.
const BETWEEN_PROOFS: Duration = Duration::from_millis(5);
/// The same where the last failed.
const AFTER_A_FAILURE: Duration = Duration::from_millis(250);
const EVERY_SECOND: Duration = Duration::from_secs(1);

/// What all streams are told.
#[derive(Clone, Debug)]
enum Event {
    /// Floors were raised.
    Changes {
        message: Encoded,
        entries: usize,
        /// Where a stream stands after it; none where more belongs to it.
        upto: Option<Revision>,
    },
    /// What was told is not enough any more: begin anew.
    Over,
}

/// Who waits for a proof of freshness: told where the view stood that proved it. Not told where there is none.
type Asker = oneshot::Sender<Revision>;

/// What all streams share.
pub struct Hub {
    service: Arc<Service>,
    terms: Watching,
    events: broadcast::Sender<Event>,
    askers: mpsc::Sender<Asker>,
    places: Arc<Semaphore>,
    backlogs: Semaphore,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Hub {
    /// What streams share, and what must run for them to be told anything.
    pub fn new(service: &Arc<Service>, terms: Watching, shutdown: &CancellationToken) -> (Arc<Self>, Pump) {
        // Nobody waits for more than one proof at a time.
        let (askers, asked) = mpsc::channel(terms.most.max(1));
        let events = broadcast::Sender::new(RING);
        let hub = Arc::new(Self {
            service: Arc::clone(service),
            terms,
            events: events.clone(),
            askers,
            places: Arc::new(Semaphore::new(terms.most)),
            backlogs: Semaphore::new(BACKLOGS),
            tasks: TaskTracker::new(),
            shutdown: shutdown.clone(),
        });
        let changes = service.changes();
        let now = Instant::now();
        let teller = Teller { changes, events, waiting: Vec::new(), upto: None, proofs: Vec::new(), pause_until: now };
        let prover = Prover { service: Arc::clone(service), asked };
        (Arc::clone(&hub), Pump { hub, teller, prover })
    }
}

/// Tells and proves, as long as it runs.
pub struct Pump {
    hub: Arc<Hub>,
    teller: Teller,
    prover: Prover,
}

impl Pump {
    /// Runs for ever.
    pub async fn run(self) -> Infallible {
        let Self { hub, mut teller, prover } = self;
        let (proofs, proved) = mpsc::channel(1);
        tokio::select! {
            never = prover.run(proofs) => match never {},
            never = teller.run(&hub, proved) => match never {},
        }
    }
}

/// What a proof came to: where the view stands, and who asked.
type Proof = (Revision, Vec<Asker>);

/// Proves freshness for all who ask, by catch-ups that begin after they asked.
struct Prover {
    service: Arc<Service>,
    asked: mpsc::Receiver<Asker>,
}

impl Prover {
    async fn run(mut self, proofs: mpsc::Sender<Proof>) -> Infallible {
        loop {
            let Some(first) = self.asked.recv().await else { return std::future::pending().await };
            let mut askers = vec![first];
            while let Ok(asker) = self.asked.try_recv() {
                askers.push(asker);
            }
            let pause = match self.service.caught_up().await {
                Ok(revision) => match proofs.send((revision, askers)).await {
                    Ok(()) => BETWEEN_PROOFS,
                    Err(_ended) => return std::future::pending().await,
                },
                // No proof is no answer: what the watchers know grows old.
                Err(_unproved) => AFTER_A_FAILURE,
            };
            sleep(pause).await;
        }
    }
}

/// Tells changes of the view to all streams.
struct Teller {
    changes: broadcast::Receiver<Change>,
    events: broadcast::Sender<Event>,
    /// What is not told yet.
    waiting: Vec<Raised>,
    upto: Option<Revision>,
    /// Proofs that are told after it.
    proofs: Vec<Proof>,
    pause_until: Instant,
}

impl Teller {
    async fn run(&mut self, hub: &Hub, mut proved: mpsc::Receiver<Proof>) -> Infallible {
        let horizon = || hub.service.judging().horizon;
        let mut told_horizon = horizon();
        let mut every_second = interval(EVERY_SECOND);
        loop {
            tokio::select! {
                change = self.changes.recv() => match change {
                    Ok(change) => self.take(change),
                    Err(RecvError::Lagged(_)) => self.start_over(),
                    Err(RecvError::Closed) => return std::future::pending().await,
                },
                () = sleep_until(self.pause_until), if !self.waiting.is_empty() => self.tell(),
                Some(proof) = proved.recv() => self.prove(proof),
                _ = every_second.tick() => {
                    metrics::WATCHERS.set_count(hub.terms.most.saturating_sub(hub.places.available_permits()));
                    if horizon() != told_horizon {
                        told_horizon = horizon();
                        self.start_over();
                    }
                }
            }
        }
    }

    fn take(&mut self, change: Change) {
        self.keep(change);
        if self.waiting.len() >= CHUNK || Instant::now() >= self.pause_until {
            self.tell();
        }
    }

    fn keep(&mut self, Change { raised, upto }: Change) {
        self.waiting.extend_from_slice(&raised);
        self.upto = Some(upto);
    }

    /// All that the view took in until the proof was made is told before it.
    fn prove(&mut self, proof: Proof) {
        loop {
            match self.changes.try_recv() {
                Ok(change) => self.keep(change),
                Err(TryRecvError::Lagged(_)) => self.start_over(),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        self.proofs.push(proof);
        if self.waiting.is_empty() || Instant::now() >= self.pause_until {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let watchers = u32::try_from(self.events.receiver_count()).unwrap_or(u32::MAX);
        let waiting = std::mem::take(&mut self.waiting);
        // Where nobody watches: who begins to from now on finds them in the view.
        if watchers > 0 && !waiting.is_empty() {
            let last = waiting.len().div_ceil(CHUNK);
            for (at, chunk) in (1..).zip(waiting.chunks(CHUNK)) {
                let upto = self.upto.filter(|_| at == last);
                self.send(Event::Changes { message: changes(chunk, upto), entries: chunk.len(), upto });
            }
            let pause = PAUSE_FOR_EACH.saturating_mul(watchers).saturating_add(PAUSE);
            self.pause_until = Instant::now().checked_add(pause).unwrap_or(self.pause_until);
        }
        for (revision, askers) in self.proofs.drain(..) {
            for asker in askers {
                let _gone = asker.send(revision);
            }
        }
    }

    /// Something was missed here, or does not hold any more that was told at the start.
    fn start_over(&mut self) {
        self.waiting.clear();
        self.send(Event::Over);
    }

    fn send(&self, event: Event) {
        // Refused where nobody watches.
        drop(self.events.send(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jeton_domain::id::TargetId;
    use jeton_domain::target::{Reason, TargetKind};
    use jeton_domain::time::Timestamp;

    fn change(first: u64, count: u64) -> Change {
        let raised = (first..first + count).map(|micros| {
            let place = Revision { micros, random: 1 };
            let target = TargetId([0; 16]);
            let (kind, reason, at) = (TargetKind::Subject, Reason::SignOut, Timestamp::from_secs(1));
            Raised { target, kind, reason, at, origin: place, place }
        });
        Change { raised: raised.collect(), upto: Revision { micros: first + count - 1, random: 1 } }
    }

    fn teller() -> (Teller, broadcast::Sender<Change>, broadcast::Receiver<Event>) {
        let (view, events) = (broadcast::Sender::new(4), broadcast::Sender::new(RING));
        let told = events.subscribe();
        let (waiting, proofs, pause_until) = (Vec::new(), Vec::new(), Instant::now());
        (Teller { changes: view.subscribe(), events, waiting, upto: None, proofs, pause_until }, view, told)
    }

    /// How many entries each message has, and after which micros a stream stands then.
    fn told(events: &mut broadcast::Receiver<Event>) -> Vec<(usize, Option<u64>)> {
        let mut told = Vec::new();
        while let Ok(event) = events.try_recv() {
            told.push(match event {
                Event::Changes { entries, upto, .. } => (entries, upto.map(|upto| upto.micros)),
                Event::Over => (0, None),
            });
        }
        told
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_a_pause_is_told_at_once_and_a_storm_in_fewer_messages() {
        let (mut teller, _view, mut events) = teller();
        for micros in 1..=500 {
            teller.take(change(micros, 1));
        }
        assert_eq!(told(&mut events), [(1, Some(1))]);
        teller.take(change(501, 2_000));
        assert_eq!(told(&mut events), [(1_000, None), (1_000, None), (499, Some(2_500))], "only the last says where it stands");
    }

    #[tokio::test(start_paused = true)]
    async fn a_proof_is_answered_after_all_that_was_known_when_it_was_made() {
        let (mut teller, view, mut events) = teller();
        let prove = |teller: &mut Teller| {
            let (asker, answer) = oneshot::channel();
            teller.prove((Revision { micros: 9, random: 1 }, vec![asker]));
            answer
        };
        let mut answer = prove(&mut teller);
        assert_eq!(answer.try_recv().map(|stands| stands.micros), Ok(9), "at once where there is nothing to tell");
        teller.take(change(1, 1));
        // Taken in by the view before the proof, and not seen here yet.
        view.send(change(2, 1)).unwrap();
        let mut answer = prove(&mut teller);
        assert!(answer.try_recv().is_err(), "not before the pause is over");
        tokio::time::advance(Duration::from_secs(1)).await;
        teller.tell();
        assert_eq!(told(&mut events), [(1, Some(1)), (1, Some(2))]);
        assert!(answer.try_recv().is_ok());
    }

    #[tokio::test]
    async fn who_missed_changes_lets_every_stream_begin_anew() {
        let (mut teller, view, mut events) = teller();
        for micros in 1..=8 {
            view.send(change(micros, 1)).unwrap();
        }
        teller.prove((Revision::START, Vec::new()));
        assert_eq!(told(&mut events), [(0, None), (4, Some(8))]);
    }
}

//! The stream that feeds the view: opened, pinged, opened again where it is cut. Ends when its task does.

use super::Shared;
use super::turns::Turn;
use super::view::{Broken, Learnt, Stream};
use crate::api::watch_request::Message;
use crate::api::{WatchArrivals, WatchPing, WatchRequest, WatchStart};
use crate::error::Error;
use crate::retry::Pauses;
use jeton_domain::floors::Floors;
use jeton_domain::time::Millis;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc::{self, Sender};
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;

/// How often to ping until the other side says how old knowledge may be.
const FIRST_PERIOD: Duration = Duration::from_millis(500);
/// What waits to be sent: where so much does, the connection is stuck.
const QUEUE: usize = 16;
/// The longest wait for a stream to begin.
const BEGIN: Duration = Duration::from_secs(10);
/// A connection on which no ping comes back for so many periods is given up for another.
const SILENT_PERIODS: u32 = 20;
/// For so long at least the beginning of a stream is waited for, message by message.
const UNTOLD: Duration = Duration::from_secs(60);
/// Who asks while so many pings are under way shares the next.
const MAX_ASKED: usize = 4;
/// The pause where there are more revocations than may be held.
const TOO_MANY_PAUSE: Duration = Duration::from_secs(60);

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("{0}")]
    Refused(Error),
    #[error("{0}")]
    Broken(#[from] Broken),
    #[error("jeton ended the stream of revocations")]
    Ended,
    #[error("jeton does not answer pings on the stream of revocations")]
    Silent,
}

impl Cut {
    /// jeton ends every stream some time, so that watchers spread over new replicas.
    fn is_usual(&self) -> bool {
        matches!(self, Self::Refused(error) if error.reason() == Some("WATCH_CUT"))
    }
}

/// Watches, for ever.
pub(crate) async fn watch(shared: &Shared) {
    let mut pauses = Pauses::new(Duration::from_millis(100), Duration::from_secs(5));
    let mut told = None;
    loop {
        let mut proved = false;
        let cut = match follow(shared, &mut proved).await {
            Ok(never) => match never {},
            Err(cut) => cut,
        };
        if proved {
            pauses.reset();
            told = None;
        }
        let problem = cut.to_string();
        if cut.is_usual() {
            tracing::debug!(problem, "the stream of revocations ended; it is opened again");
        } else if told.as_ref() != Some(&problem) {
            tracing::warn!(problem, "the stream of revocations was cut; it is opened again");
            told = Some(problem);
        }
        let pause = match cut {
            Cut::Broken(Broken::TooMany(_)) => {
                shared.watched.forget_all();
                TOO_MANY_PAUSE
            }
            Cut::Refused(error) => pauses.next(error.retry_after()),
            Cut::Broken(Broken::Protocol(_)) | Cut::Ended | Cut::Silent => pauses.next(None),
        };
        sleep(pause).await;
    }
}

/// Follows one stream to its end.
async fn follow(shared: &Shared, proved: &mut bool) -> Result<std::convert::Infallible, Cut> {
    let (say, said) = mpsc::channel(QUEUE);
    let mut pinger = Pinger { shared, say, begun: VecDeque::new() };
    pinger.send(Message::Start(WatchStart { after_revision: shared.watched.revision() }))?;
    let mut stream = Stream::new(&shared.watched, shared.settings.max_floors);
    let opened = timeout(BEGIN, shared.client.watch(ReceiverStream::new(said))).await.map_err(|_elapsed| Cut::Silent)?;
    let mut messages = opened.map_err(Cut::Refused)?;

    let mut tick = ticks(FIRST_PERIOD);
    let mut heard = Instant::now();
    let mut part = 0;
    loop {
        tokio::select! {
            message = messages.message() => {
                let message = message.map_err(|status| Cut::Refused(status.into()))?.ok_or(Cut::Ended)?;
                // A message of a newer version says nothing to us.
                let Some(message) = message.message else { continue };
                // What is told at the beginning may take long. After it only a proof is a sign of life.
                if !*proved {
                    heard = Instant::now();
                }
                match stream.take(message)? {
                    Learnt::Began(period) => tick = ticks(period.into()),
                    Learnt::Changes { completed, burnt } => {
                        if burnt {
                            shared.keys.are_outdated();
                        }
                        if completed {
                            pinger.ping(&mut stream)?;
                        }
                    }
                    Learnt::Proved(id) => {
                        pinger.proved(id);
                        heard = Instant::now();
                        *proved = true;
                    }
                    Learnt::Nothing => {}
                }
            }
            _ = tick.tick() => {
                let patience = tick.period() * SILENT_PERIODS;
                // Who has much to tell to many begins late.
                if heard.elapsed() > if stream.is_complete() { patience } else { patience.max(UNTOLD) } {
                    return Err(Cut::Silent);
                }
                let arrivals = shared.arrivals.take();
                if !arrivals.is_empty() {
                    pinger.send(Message::Arrivals(WatchArrivals { arrivals }))?;
                }
                // Before all is told nothing is heard there: pings would only gather.
                if stream.is_complete() {
                    pinger.ping(&mut stream)?;
                }
                shared.watched.forget(part, shared.settings.clock.now());
                part = (part + 1) % Floors::PARTS;
            }
            () = shared.turns.asked(), if stream.is_complete() && pinger.begun.len() < MAX_ASKED => pinger.ping(&mut stream)?,
        }
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let period = period.max(Duration::from_millis(10));
    let mut tick = interval_at(Instant::now() + period, period);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick
}

/// What is said on a stream.
struct Pinger<'a> {
    shared: &'a Shared,
    say: Sender<WatchRequest>,
    /// The turns that pings are for.
    begun: VecDeque<(u64, Turn)>,
}

impl Pinger<'_> {
    /// Its time is taken before it is sent: knowledge is never younger than it looks.
    fn ping(&mut self, stream: &mut Stream<'_>) -> Result<(), Cut> {
        let turn = self.shared.turns.begin();
        let run: Millis = self.shared.settings.clock.run();
        let id = stream.ping(run).ok_or(Cut::Silent)?;
        self.begun.push_back((id, turn));
        self.send(Message::Ping(WatchPing { id }))
    }

    /// The answer to a ping answers those before it.
    fn proved(&mut self, id: u64) {
        while let Some((_, turn)) = self.begun.pop_front_if(|(begun, _)| *begun <= id) {
            self.shared.turns.end(turn);
        }
    }

    fn send(&self, message: Message) -> Result<(), Cut> {
        self.say.try_send(WatchRequest { message: Some(message) }).map_err(|_full_or_closed| Cut::Silent)
    }
}

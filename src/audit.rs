//! Who did what to which grant? A stream of lines apart from the log, each of which proves the one before it.
//!
//! Lives here: taking in what was done without waiting, and writing it down beside the requests. Below: `deed` (what a line says), `chain` (how
//! lines prove each other), `sink` (where they go), `writer` (the thread that writes), `verify` (whether a stream is whole). Must not live
//! here: what is told of and when (`service`), and no token, secret or name of a person in the clear.

mod chain;
mod deed;
mod sink;
mod verify;
mod writer;

pub use chain::BEGINS;
pub use deed::{Action, Deed};
pub use sink::Place;
pub use verify::{Break, Verified, Verifier};

use crate::clock::Clock;
use crate::roots::{AuditKey, Hidden};
use crate::telemetry::metrics;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::caller::Caller;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// How many lines may wait to be written; further ones are lost, and counted.
const QUEUE: usize = 8_192;
/// How long the last lines may take at shutdown.
const CLOSES: Duration = Duration::from_secs(3);

/// The stream, or none. Cheap to clone.
#[derive(Clone, Default)]
pub struct Audit(Option<Arc<Stream>>);

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Audit(on)" } else { "Audit(off)" })
    }
}

struct Stream {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    key: Arc<AuditKey>,
    clock: Clock,
}

/// What the one who writes shares with those who tell.
#[derive(Debug)]
struct Shared {
    /// Told, and not written yet.
    waiting: AtomicUsize,
    /// Told and never written, since the stream last said so.
    lost: AtomicU64,
    /// The place cannot be written, or flushed.
    is_failing: AtomicBool,
    /// It is to end.
    closing: watch::Sender<bool>,
    done: watch::Sender<bool>,
}

enum Message {
    /// What was done, as the members of a JSON object.
    Done(String),
    Close,
}

/// On whose behalf something is done: by whom a request came.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A caller, over gRPC.
    Caller(Arc<Caller>),
    /// A caller, by the operator's page.
    Page(Arc<Caller>),
    /// An OAuth client, over HTTP.
    Http,
}

tokio::task_local! {
    static ORIGIN: Origin;
}

/// Does `work` on behalf of `origin`. What is done outside of it is done by jeton itself.
pub async fn on_behalf<T>(origin: Origin, work: impl Future<Output = T>) -> T {
    ORIGIN.scope(origin, work).await
}

impl Audit {
    /// Writes to `place` from now on, with the moments of `clock`.
    ///
    /// # Errors
    /// The place cannot be written, which of a collector is found out later; or another process writes there. No thread or randomness is
    /// to be had.
    pub fn start(place: &Place, key: AuditKey, clock: Clock) -> io::Result<Self> {
        let (queue, told) = sync_channel(QUEUE);
        let shared = Arc::new(Shared {
            waiting: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            closing: watch::Sender::new(false),
            done: watch::Sender::new(false),
        });
        let key = Arc::new(key);
        let writer = writer::Writer::open(place, Arc::clone(&key), clock.clone(), told, Arc::clone(&shared))?;
        std::thread::Builder::new().name("audit".into()).spawn(move || writer.run())?;
        Ok(Self(Some(Arc::new(Stream { queue, shared, key, clock }))))
    }

    /// Begins to tell what was done, on behalf of whom the current request came from. None where nobody listens.
    #[must_use]
    pub fn deed(&self, action: Action) -> Option<Deed<'_>> {
        self.0.as_deref().map(|stream| Deed::new(stream, action))
    }

    /// What an operator should know of it, in words.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        let is_failing = self.0.as_ref().is_some_and(|stream| stream.shared.is_failing.load(Ordering::Relaxed));
        is_failing.then(|| "the audit stream cannot be written: the log says why".to_owned())
    }

    /// Writes what waits, for a few seconds at most, and says in the stream that it ends.
    pub async fn close(&self) {
        let Some(stream) = &self.0 else { return };
        stream.shared.closing.send_replace(true);
        // Where the queue is full the writer is at work, and looks whether it is to end.
        let _full = stream.queue.try_send(Message::Close);
        let mut done = stream.shared.done.subscribe();
        let _late = timeout(CLOSES, done.wait_for(|done| *done)).await;
        let lines = stream.shared.waiting.load(Ordering::Relaxed);
        if lines > 0 {
            metrics::AUDIT_LOST.add_many(lines);
            tracing::error!(lines, "the last lines of the audit stream were not written");
        }
    }
}

impl Stream {
    fn hash(&self, of: Hidden, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.key.hash(of, text))
    }

    fn tell(&self, action: Action, line: String) {
        self.shared.wait(1);
        if self.queue.try_send(Message::Done(line)).is_ok() {
            metrics::AUDIT_LINES.add(action.word());
        } else {
            self.shared.wait_no_more(1);
            if self.shared.lose(1) {
                tracing::error!("lines of the audit stream are lost from here on, until it has room again");
            }
        }
    }
}

impl Shared {
    fn wait(&self, lines: usize) {
        metrics::AUDIT_WAITING.set_count(self.waiting.fetch_add(lines, Ordering::Relaxed).saturating_add(lines));
    }

    fn wait_no_more(&self, lines: usize) {
        metrics::AUDIT_WAITING.set_count(self.waiting.fetch_sub(lines, Ordering::Relaxed).saturating_sub(lines));
    }

    fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    fn fail(&self, is_failing: bool) {
        self.is_failing.store(is_failing, Ordering::Relaxed);
        metrics::AUDIT_FAILING.set_count(usize::from(is_failing));
    }

    /// Never silently: counted, and said in the stream as soon as that can be written. Whether they are the first since then.
    fn lose(&self, lines: usize) -> bool {
        metrics::AUDIT_LOST.add_many(lines);
        self.lost.fetch_add(u64::try_from(lines).unwrap_or(u64::MAX), Ordering::Relaxed) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jeton_domain::id::GrantId;
    use jeton_domain::secret::Secret;
    use std::io::{BufRead as _, BufReader};
    use std::process::Command;

    fn key() -> AuditKey {
        AuditKey::derive(&Secret::new([5; 32])).unwrap()
    }

    #[tokio::test]
    async fn what_a_slow_place_costs_is_counted_and_told_and_nobody_waits() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let audit = Audit::start(&Place::File(path.clone()), key(), Clock::system()).unwrap();
        // Nobody reads: the pipe is full soon, and then the queue.
        let before = metrics::AUDIT_LOST.count([]);
        let mut told = 0_u64;
        while metrics::AUDIT_LOST.count([]) == before {
            audit.deed(Action::Explain).unwrap().grant(Some(GrantId([1; 16]))).tell();
            told += 1;
        }
        assert!(told >= QUEUE as u64);
        let reader = std::thread::spawn(move || {
            let keys = [key()];
            let (mut verifier, mut explained, mut lost) = (Verifier::new(&keys), 0, 0);
            for line in BufReader::new(std::fs::File::open(path).unwrap()).lines().map(Result::unwrap) {
                verifier.line(line.as_bytes());
                let line: serde_json::Value = serde_json::from_str(&line).unwrap();
                match line["action"].as_str().unwrap() {
                    "explain" => explained += 1,
                    "lost" => lost += line["lines"].as_u64().unwrap(),
                    "end" => break,
                    _ => {}
                }
            }
            (verifier.done().breaks, explained, lost)
        });
        audit.close().await;
        assert_eq!(reader.join().unwrap(), (vec![], told - 1, 1), "each is there, or told to be lost");
    }

    #[tokio::test]
    async fn a_file_is_one_processs_and_another_goes_on_where_it_was_moved_away() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("audit.log"), directory.path().join("audit.log.1"));
        let audit = Audit::start(&Place::File(path.clone()), key(), Clock::system()).unwrap();
        let refused = Audit::start(&Place::File(path.clone()), key(), Clock::system()).unwrap_err();
        assert!(refused.to_string().contains("another process"), "{refused}");
        std::fs::rename(&path, &moved).unwrap();
        while !path.exists() {
            audit.deed(Action::Explain).unwrap().tell();
            tokio::task::yield_now().await;
        }
        audit.close().await;
        let keys = [key()];
        let verify = |files: &[&std::path::Path]| {
            let mut verifier = Verifier::new(&keys);
            let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
            text.lines().for_each(|line| verifier.line(line.as_bytes()));
            verifier.done()
        };
        let whole = verify(&[&moved, &path]);
        assert_eq!((whole.breaks, whole.chains.len()), (vec![], 2));
        assert_eq!(verify(&[&path]).breaks, []);
        assert!(!verify(&[&path, &moved]).breaks.is_empty());
    }
}

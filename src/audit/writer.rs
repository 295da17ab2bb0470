//! The thread that writes: seals what was told, in order, and never gives a line up while the process goes on.
//!
//! While the place cannot be written it tries again every second; what does not find room in the queue meanwhile is lost, counted, and told
//! in the stream as soon as that can be written. When the process ends it tries for some seconds, and says what it could not write.

use super::chain::{Chain, END};
use super::deed::written;
use super::sink::{Place, Sink, Written};
use super::{Message, Shared};
use crate::clock::Clock;
use crate::roots::AuditKey;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How many lines are written at once.
const BATCH: usize = 1_024;
/// After this what was written is made to outlive the machine; as often it is looked whether the file was moved away.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// The pause before the place is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long a place may take to answer: as long as OTLP says.
const ANSWERS: Duration = Duration::from_secs(10);
/// At the end: how long an answer may take from then on, how long it is tried again, and the pause. One answer, these tries and another answer
/// are less than `CLOSES`.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_millis(800);
const LAST_RETRY: Duration = Duration::from_millis(100);

pub(super) struct Writer {
    told: Receiver<Message>,
    shared: Arc<Shared>,
    clock: Clock,
    key: Arc<AuditKey>,
    sink: Sink,
    chain: Chain,
    /// Sealed lines, and how many of their bytes are written.
    sealed: Vec<u8>,
    written: usize,
    /// How many of them are of what was told.
    of_told: usize,
    /// Since when something is not synced.
    unsynced: Option<Instant>,
    /// When no file could last be begun in the place of one that was moved away.
    refused: Option<Instant>,
    /// Whether what was written could last not be flushed.
    is_unflushed: bool,
    /// Since when it is to end.
    ending: Option<Instant>,
}

impl Writer {
    /// Opens the place and seals the first line.
    pub(super) fn open(
        place: &Place,
        key: Arc<AuditKey>,
        clock: Clock,
        told: Receiver<Message>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let (sink, tail) = Sink::open(place)?;
        let (chain, line) = Chain::begin(Arc::clone(&key), &written(clock.now()), tail.last.as_ref(), tail.torn)?;
        let sealed = line.into_bytes();
        let (unsynced, refused, ending, is_unflushed) = (None, None, None, false);
        let (written, of_told) = (0, 0);
        let mut writer =
            Self { told, shared, clock, key, sink, chain, sealed, written, of_told, unsynced, refused, is_unflushed, ending };
        if writer.sink.is_at_hand() {
            // What cannot be written at the start is told the operator, who is there.
            while writer.written < writer.sealed.len() {
                writer.write_some()?;
            }
            writer.sealed.clear();
            writer.written = 0;
        }
        Ok(writer)
    }

    pub(super) fn run(mut self) {
        loop {
            let goes_on = self.gather();
            // With another line or at the end: one that is refused itself is no reason for the next.
            if !goes_on || !self.sealed.is_empty() {
                self.tell_lost();
            }
            if !goes_on {
                self.seal(END, None);
            }
            let is_written = self.write_all();
            if self.unsynced.is_some_and(|since| !goes_on || since.elapsed() >= SYNC_EVERY) {
                self.sync();
            }
            if !goes_on || !is_written {
                break;
            }
        }
        self.shared.done.send_replace(true);
    }

    /// Seals what waits, at least one line, or none for as long as there is something to sync or look at. False: it is to end.
    fn gather(&mut self) -> bool {
        match self.told.recv_timeout(SYNC_EVERY) {
            Ok(message) => {
                self.follow_the_file();
                if !self.take(message) {
                    return self.end();
                }
            }
            Err(RecvTimeoutError::Timeout) => self.follow_the_file(),
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        for _ in 1..BATCH {
            match self.told.try_recv() {
                Ok(message) => {
                    if !self.take(message) {
                        return self.end();
                    }
                }
                Err(TryRecvError::Empty) if self.shared.is_closing() => return false,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        true
    }

    /// Seals what was told after it was told to end, too.
    fn end(&mut self) -> bool {
        while let Ok(message) = self.told.try_recv() {
            self.take(message);
        }
        false
    }

    fn take(&mut self, message: Message) -> bool {
        let Message::Done(members) = message else { return false };
        let line = self.chain.seal(&members);
        self.sealed.extend_from_slice(line.as_bytes());
        self.of_told = self.of_told.saturating_add(1);
        true
    }

    fn seal(&mut self, action: &str, count: Option<u64>) {
        let count = count.map(|count| format!(",\"lines\":{count}")).unwrap_or_default();
        let line = self.chain.seal(&format!("{}{count}", self.said(action)));
        self.sealed.extend_from_slice(line.as_bytes());
    }

    fn said(&self, action: &str) -> String {
        format!("\"time\":\"{}\",\"action\":\"{action}\"", written(self.clock.now()))
    }

    fn tell_lost(&mut self) {
        let lost = self.shared.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::error!(lines = lost, "lines of the audit stream were lost");
            self.seal("lost", Some(lost));
        }
    }

    /// Where the file was moved away, ends the chain in it and begins another in a new one. Only between lines.
    fn follow_the_file(&mut self) {
        let Some(place) = self.sink.moved() else { return };
        if self.refused.is_some_and(|at| at.elapsed() < RETRY) {
            return;
        }
        self.refused = None;
        if let Err(problem) = self.begin_another(&place) {
            // The old file is held open, and its chain goes on.
            self.refused = Some(Instant::now());
            tracing::error!(%problem, "the audit file was moved away, and no other can be begun in its place");
        }
    }

    /// The chain that was written ends only when the other is there: nothing may stand after its end. The other follows it, and not what
    /// somebody has put into the place meanwhile.
    fn begin_another(&mut self, place: &Place) -> io::Result<()> {
        let (sink, tail) = Sink::open(place)?;
        let mut ended = self.chain.clone();
        let end = ended.seal(&self.said(END));
        let (chain, line) = Chain::begin(Arc::clone(&self.key), &written(self.clock.now()), Some(&ended.last()), tail.torn)?;
        self.sealed.extend_from_slice(end.as_bytes());
        self.write_all();
        self.sync();
        (self.sink, self.chain) = (sink, chain);
        self.sealed.extend_from_slice(line.as_bytes());
        Ok(())
    }

    /// Writes what is sealed. False: it is to end, and could not.
    fn write_all(&mut self) -> bool {
        let (mut tried, mut told) = (false, false);
        while self.written < self.sealed.len() {
            let began = Instant::now();
            let Err(problem) = self.write_some() else { continue };
            // Who is not at hand may have closed a connection that nothing was sent on: another is tried before a word is said.
            if !std::mem::replace(&mut tried, true) && !self.sink.is_at_hand() && began.elapsed() < RETRY {
                continue;
            }
            self.shared.fail(true);
            if !told {
                tracing::error!(%problem, "the audit stream cannot be written; it is tried again");
                told = true;
            }
            match self.ending() {
                None => self.pause(),
                Some(since) if since.elapsed() < LAST => std::thread::sleep(LAST_RETRY),
                Some(_) => return false,
            }
        }
        if told {
            tracing::info!("the audit stream is written again");
        }
        self.shared.wait_no_more(std::mem::take(&mut self.of_told));
        self.sealed.clear();
        self.written = 0;
        true
    }

    /// Until it is to be tried again, or to end.
    fn pause(&self) {
        let began = Instant::now();
        while began.elapsed() < RETRY && !self.shared.is_closing() {
            std::thread::sleep(LAST_RETRY);
        }
    }

    /// Since when it is to end, if it is.
    fn ending(&mut self) -> Option<Instant> {
        if self.ending.is_none() && self.shared.is_closing() {
            self.ending = Some(Instant::now());
        }
        self.ending
    }

    /// When a place that has to answer is not waited for any more.
    fn given_up(&self) -> impl Future<Output = ()> + use<> {
        let mut closing = self.shared.closing.subscribe();
        async move {
            let last = async {
                let _ended = closing.wait_for(|closing| *closing).await;
                sleep(LAST_ANSWERS).await;
            };
            tokio::select! {
                () = sleep(ANSWERS) => {}
                () = last => {}
            }
        }
    }

    fn write_some(&mut self) -> io::Result<()> {
        let given_up = self.given_up();
        let Written { bytes, refused } = self.sink.write(self.sealed.get(self.written..).unwrap_or_default(), given_up)?;
        if bytes == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        if refused.count > 0 {
            tracing::error!(lines = refused.count, why = refused.why, "the collector refused lines of the audit stream");
            self.shared.lose(refused.count);
        } else if !refused.why.is_empty() {
            tracing::warn!(why = refused.why, "the collector took the audit stream, and has something to say of it");
        }
        self.written = self.written.saturating_add(bytes);
        self.unsynced.get_or_insert_with(Instant::now);
        self.shared.fail(self.is_unflushed);
        Ok(())
    }

    fn sync(&mut self) {
        match self.sink.sync() {
            Ok(()) => {
                self.unsynced = None;
                if std::mem::take(&mut self.is_unflushed) {
                    self.shared.fail(false);
                }
            }
            Err(problem) => {
                self.shared.fail(true);
                if !std::mem::replace(&mut self.is_unflushed, true) {
                    tracing::error!(%problem, "the audit stream was written and not flushed");
                }
            }
        }
    }
}

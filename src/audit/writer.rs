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
use crate::telemetry::metrics;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

/// How many lines are written at once.
const BATCH: usize = 1_024;
/// After this what was written is made to outlive the machine; as often it is looked whether the file was moved away.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// The pause before the place is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long a place may take to answer.
const ANSWERS: Duration = Duration::from_secs(3);
/// At the end: how long it is tried again, the pause, and how long the last try may take. Less than `CLOSES` together.
const LAST: Duration = Duration::from_millis(1_500);
const LAST_RETRY: Duration = Duration::from_millis(100);
const LAST_ANSWERS: Duration = Duration::from_secs(1);

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
    /// Since when something is not synced.
    unsynced: Option<Instant>,
    /// When no file could last be begun in the place of one that was moved away.
    refused: Option<Instant>,
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
        let (sealed, unsynced, refused, ending) = (line.into_bytes(), None, None, None);
        let mut writer = Self { told, shared, clock, key, sink, chain, sealed, written: 0, unsynced, refused, ending };
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
            self.tell_lost();
            if !goes_on {
                self.seal(END, None);
            }
            self.write_all();
            if self.unsynced.is_some_and(|since| !goes_on || since.elapsed() >= SYNC_EVERY) {
                self.sync();
            }
            if !goes_on {
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
                    return false;
                }
            }
            Err(RecvTimeoutError::Timeout) => self.follow_the_file(),
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        for _ in 1..BATCH {
            match self.told.try_recv() {
                Ok(message) => {
                    if !self.take(message) {
                        return false;
                    }
                }
                Err(TryRecvError::Empty) if self.shared.is_closing.load(Ordering::Relaxed) => return false,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        true
    }

    fn take(&mut self, message: Message) -> bool {
        let Message::Done(members) = message else { return false };
        let waiting = self.shared.waiting.fetch_sub(1, Ordering::Relaxed).saturating_sub(1);
        metrics::AUDIT_WAITING.set_count(waiting);
        let line = self.chain.seal(&members);
        self.sealed.extend_from_slice(line.as_bytes());
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

    fn write_all(&mut self) {
        let mut told = false;
        while self.written < self.sealed.len() {
            let Err(problem) = self.write_some() else { continue };
            self.shared.is_failing.store(true, Ordering::Relaxed);
            metrics::AUDIT_FAILING.set_count(1);
            if !told {
                tracing::error!(%problem, "the audit stream cannot be written; it is tried again");
                told = true;
            }
            let unwritten = self.sealed.get(self.written..).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
            metrics::AUDIT_WAITING.set_count(self.shared.waiting.load(Ordering::Relaxed).saturating_add(unwritten));
            match self.ending() {
                None => std::thread::sleep(RETRY),
                Some(since) if since.elapsed() < LAST => std::thread::sleep(LAST_RETRY),
                Some(_) => {
                    tracing::error!(lines = unwritten, %problem, "the last lines of the audit stream were not written");
                    self.shared.lose(unwritten);
                    break;
                }
            }
        }
        if told && self.written == self.sealed.len() {
            tracing::info!("the audit stream is written again");
        }
        self.sealed.clear();
        self.written = 0;
    }

    /// Since when it is to end, if it is.
    fn ending(&mut self) -> Option<Instant> {
        if self.ending.is_none() && self.shared.is_closing.load(Ordering::Relaxed) {
            self.ending = Some(Instant::now());
        }
        self.ending
    }

    fn write_some(&mut self) -> io::Result<()> {
        let within = self.ending().map_or(ANSWERS, |_ending| LAST_ANSWERS);
        let Written { bytes, refused } = self.sink.write(self.sealed.get(self.written..).unwrap_or_default(), within)?;
        if bytes == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        if refused.count > 0 {
            tracing::error!(lines = refused.count, why = refused.why, "the collector refused lines of the audit stream");
            self.shared.lose(refused.count);
        }
        self.written = self.written.saturating_add(bytes);
        self.unsynced.get_or_insert_with(Instant::now);
        self.shared.is_failing.store(false, Ordering::Relaxed);
        metrics::AUDIT_FAILING.set_count(0);
        Ok(())
    }

    fn sync(&mut self) {
        match self.sink.sync() {
            Ok(()) => self.unsynced = None,
            Err(problem) => {
                metrics::AUDIT_FAILING.set_count(1);
                tracing::error!(%problem, "the audit stream was written and not flushed");
            }
        }
    }
}

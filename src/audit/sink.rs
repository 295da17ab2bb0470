//! Where the stream goes: a file that grows, standard output, or a collector.
//!
//! One process writes a file. Where it was moved away another is begun in its place, so that whoever rotates logs by renaming may do it.

use super::chain::{Follows, Line};
use crate::telemetry::Collector;
use crate::telemetry::log_sender::{LogRecord, LogSender, Refused};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Where to write.
#[derive(Clone, Debug)]
pub enum Place {
    /// To the end of this file, which is made where it is not there.
    File(PathBuf),
    /// To standard output.
    Output,
    /// To a collector, each line as a log record.
    Collector(Collector),
}

/// What a record is called.
const EVENT: &str = "jeton.audit";
/// The most that a collector is sent at once: a quarter of what it takes by default.
const SENT_BYTES: usize = 1 << 20;
/// How much of the end of a file is read for its last line; no line is as long.
const TAIL_BYTES: u64 = 64 << 10;

/// An open place.
pub(super) enum Sink {
    File { path: PathBuf, file: File },
    Output,
    Collector(Box<LogSender>),
}

/// What came of writing.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// How many bytes are done with.
    pub(super) bytes: usize,
    /// The lines among them that the place will not take.
    pub(super) refused: Refused,
}

impl Written {
    fn of(bytes: usize) -> Self {
        Self { bytes, ..Self::default() }
    }
}

/// How a file ends.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// The last line, where it is one of ours.
    pub(super) last: Option<Follows>,
    /// So many bytes stand after it, without an end.
    pub(super) torn: usize,
}

impl Sink {
    /// Opens it, and tells what is there.
    pub(super) fn open(place: &Place) -> io::Result<(Self, Tail)> {
        let path = match place {
            Place::Output => return Ok((Self::Output, Tail::default())),
            Place::Collector(collector) => {
                return Ok((Self::Collector(Box::new(LogSender::to(collector.clone())?)), Tail::default()));
            }
            Place::File(path) => path.clone(),
        };
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
        file.try_lock().map_err(|held| match held {
            fs::TryLockError::WouldBlock => io::Error::other("another process writes there: give each its own file"),
            fs::TryLockError::Error(error) => error,
        })?;
        let tail = tail(&mut file)?;
        if tail.torn > 0 {
            file.write_all(b"\n")?;
        }
        Ok((Self::File { path, file }, tail))
    }

    /// Whether it can be written where it is opened, too; else only in a thread of its own, and it may be there later.
    pub(super) const fn is_at_hand(&self) -> bool {
        !matches!(self, Self::Collector(_))
    }

    /// Writes some of it, which begins with a line; where somebody has to answer, until that is `given_up`.
    pub(super) fn write(&mut self, bytes: &[u8], given_up: impl Future<Output = ()>) -> io::Result<Written> {
        match self {
            Self::File { file, .. } => file.write(bytes).map(Written::of),
            Self::Output => {
                let mut out = io::stdout().lock();
                // All or nothing: what a buffer took counts as written only when it is out.
                out.write_all(bytes).and_then(|()| out.flush()).map(|()| Written::of(bytes.len()))
            }
            Self::Collector(sender) => {
                let lines = first_lines(bytes);
                let each = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                let refused = sender.send(each.map(record).collect(), given_up)?;
                Ok(Written { bytes: lines.len(), refused })
            }
        }
    }

    /// Makes what was written outlive the machine.
    pub(super) fn sync(&self) -> io::Result<()> {
        match self {
            Self::File { file, .. } => match file.sync_data() {
                // A pipe keeps nothing.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
                synced => synced,
            },
            Self::Output | Self::Collector(_) => Ok(()),
        }
    }

    /// The place of a file that was moved away.
    pub(super) fn moved(&self) -> Option<Place> {
        match self {
            Self::File { path, file } if !is_there(path, file) => Some(Place::File(path.clone())),
            Self::File { .. } | Self::Output | Self::Collector(_) => None,
        }
    }
}

/// As many whole lines as are sent at once: at least one.
fn first_lines(bytes: &[u8]) -> &[u8] {
    let is_end = |byte: &u8| *byte == b'\n';
    let most = bytes.get(..SENT_BYTES).unwrap_or(bytes);
    let end = most.iter().rposition(is_end).or_else(|| bytes.iter().position(is_end));
    end.and_then(|end| bytes.get(..=end)).unwrap_or(bytes)
}

/// A line as it stands, and by what it is found and put in order.
fn record(line: &[u8]) -> LogRecord {
    let record = LogRecord::new(EVENT, &String::from_utf8_lossy(line));
    let Some(read) = Line::read(line) else { return record };
    let place = record.at(&read.time).of_trace(&read.trace_id).with("jeton.audit.chain", &read.chain);
    place.with_number("jeton.audit.seq", read.seq).with("jeton.audit.action", &read.action)
}

fn is_there(path: &Path, file: &File) -> bool {
    let there = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    match (fs::metadata(path), file.metadata()) {
        (Ok(named), Ok(held)) => there(&named) == there(&held),
        (Err(error), _) => error.kind() != io::ErrorKind::NotFound,
        (Ok(_), Err(_)) => true,
    }
}

fn tail(file: &mut File) -> io::Result<Tail> {
    let length = file.metadata()?.len();
    // A pipe too, which has no places.
    if length == 0 {
        return Ok(Tail::default());
    }
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let torn = end.rsplit(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len);
    let whole = end.len().checked_sub(torn).and_then(|whole| end.get(..whole.saturating_sub(1))).unwrap_or_default();
    let last = whole.rsplit(|byte| *byte == b'\n').next().and_then(Line::read);
    Ok(Tail { last: last.as_ref().map(Line::as_last), torn })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_are_sent_and_no_more_than_is_taken_but_for_one_that_is_longer() {
        let line = [&b"x".repeat(400)[..], b"\n"].concat();
        assert_eq!(first_lines(&line), line);
        let many = line.repeat(4_000);
        let sent = first_lines(&many).len();
        assert!(sent <= SENT_BYTES && sent > SENT_BYTES - line.len() && sent.is_multiple_of(line.len()), "{sent}");
        let long = [&b"y".repeat(SENT_BYTES)[..], b"\n"].concat();
        assert_eq!(first_lines(&[&long[..], &line].concat()), long);
    }
}

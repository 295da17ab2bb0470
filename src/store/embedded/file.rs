//! What lies where in the embedded store's file, and how it is opened. Not how it is written (`batch`).

use super::log::{self, Tail};
use crate::random;
use crate::store::StoreError;
use jeton_domain::id::Identity;
use jeton_domain::revision::{Lost, Revision};
use jeton_domain::time::Timestamp;
use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Builder, Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageBackend, TableDefinition};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Name to (milliseconds when it expires, value).
pub(super) const RECORDS: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("records");

/// Name to members, packed by `members`.
pub(super) const LISTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("lists");

/// Place in the log (microseconds, random) to entry.
pub(super) const LOG: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("log");

/// What the operator accepted to be lost: (marker) to (last place found before it), both microseconds and random.
pub(super) const LOST: TableDefinition<'_, (u64, u64), (u64, u64)> = TableDefinition::new("lost");

/// When to look whether something expired: (milliseconds, `RECORD` or `LIST`, name).
pub(super) const EXPIRIES: TableDefinition<'_, (u64, u8, &str), ()> = TableDefinition::new("expiries");

/// The few values of which there is one: `FORMAT`, `IDENTITY`, `SETTLED`.
pub(super) const ABOUT: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("about");

/// In `EXPIRIES`: a record.
pub(super) const RECORD: u8 = 0;
/// In `EXPIRIES`: a list, whose first member expires then or later.
pub(super) const LIST: u8 = 1;

/// In `RECORDS`: it does not expire.
pub(super) const NEVER: u64 = u64::MAX;

/// In `ABOUT`: up to where the log is settled.
pub(super) const SETTLED: &str = "settled";
const FORMAT: &str = "format";
const IDENTITY: &str = "identity";

/// The layout above. A file with another is refused.
const THIS_FORMAT: (u64, u64) = (1, 0);

/// The file's name in its directory.
pub const FILE_NAME: &str = "jeton.redb";

/// How much of the file is kept in memory at most, in bytes.
const CACHE: usize = 256 << 20;

/// A store's file, opened, and what is kept of it in memory.
pub(super) struct File {
    pub(super) database: Database,
    pub(super) identity: Identity,
    pub(super) tail: Tail,
    /// When something may expire next.
    pub(super) next_due: Timestamp,
}

pub(super) fn open(directory: &Path) -> Result<File, StoreError> {
    let unusable = |error: io::Error| {
        StoreError::Unavailable(format!(
            "cannot use `{}` for the embedded store: {error}; it must be a directory that this user may write",
            directory.display()
        ))
    };
    make_directory(directory).map_err(unusable)?;
    let path = directory.join(FILE_NAME);
    let file =
        fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(unusable)?;
    // A new file is only there after a power cut when its directory is flushed too.
    fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(unusable)?;
    let backend = FileBackend::new(file).map_err(|error| refused(&path, error))?;
    prepare(&path, backend)
}

/// Makes the directory of a store, for this user only, where there is none.
///
/// # Errors
/// The system's.
pub fn make_directory(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

pub(super) fn in_memory() -> Result<File, StoreError> {
    prepare(Path::new("memory"), InMemoryBackend::new())
}

fn prepare(path: &Path, backend: impl StorageBackend) -> Result<File, StoreError> {
    let shown = path.display().to_string();
    let database = Builder::new()
        .set_cache_size(CACHE)
        .set_repair_callback(move |session| {
            tracing::info!(path = shown, progress = session.progress(), "checking the store's file after an unclean stop");
        })
        .create_with_backend(backend)
        .map_err(|error| refused(path, error))?;
    let (format, identity) = found_or_made(&database)?;
    if format != THIS_FORMAT {
        return Err(StoreError::Broken(format!(
            "`{}` is of format {}, this version of jeton writes format {}: start the version that wrote it",
            path.display(),
            format.0,
            THIS_FORMAT.0
        )));
    }
    let (tail, next_due) = remembered(&database).map_err(unreadable)?;
    Ok(File { database, identity, tail, next_due })
}

/// Format and identity of the file. In a new one all tables are made, so that every reader finds them.
fn found_or_made(database: &Database) -> Result<((u64, u64), Identity), StoreError> {
    let fresh = random()?;
    let found_or_made = || -> Result<_, redb::Error> {
        let transaction = database.begin_write()?;
        let (format, identity) = {
            let mut about = transaction.open_table(ABOUT)?;
            let format = about.get(FORMAT)?.map(|format| format.value());
            let identity = about.get(IDENTITY)?.map(|identity| identity.value().0);
            if let (Some(format), Some(identity)) = (format, identity) {
                return Ok((format, Identity(identity.to_be_bytes())));
            }
            about.insert(FORMAT, THIS_FORMAT)?;
            about.insert(IDENTITY, (fresh, 0))?;
            transaction.open_table(RECORDS)?;
            transaction.open_table(LISTS)?;
            transaction.open_table(LOG)?;
            transaction.open_table(EXPIRIES)?;
            transaction.open_table(LOST)?;
            (THIS_FORMAT, Identity(fresh.to_be_bytes()))
        };
        transaction.commit()?;
        Ok((format, identity))
    };
    found_or_made().map_err(unreadable)
}

fn remembered(database: &Database) -> Result<(Tail, Timestamp), redb::Error> {
    let transaction = database.begin_read()?;
    let settled = transaction.open_table(ABOUT)?.get(SETTLED)?.map_or(Revision::START, |settled| log::revision(settled.value()));
    let lost = transaction.open_table(LOST)?;
    let lost = lost
        .iter()?
        .map(|lost| lost.map(|(marker, tail)| Lost { tail: log::revision(tail.value()), marker: log::revision(marker.value()) }));
    let lost = lost.collect::<Result<_, _>>()?;
    let tail = Tail::load(&transaction.open_table(LOG)?, settled, lost)?;
    let next_due = transaction.open_table(EXPIRIES)?.first()?.map_or(NEVER, |(due, _)| due.value().0);
    Ok((tail, Timestamp::from_millis(next_due)))
}

/// 64 random bits.
pub(super) fn random() -> Result<u64, StoreError> {
    random::bytes().map(u64::from_be_bytes).map_err(|none| StoreError::Unavailable(none.to_string()))
}

fn refused(path: &Path, error: DatabaseError) -> StoreError {
    let path = path.display();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => StoreError::Unavailable(format!(
            "another process holds `{path}`: stop it, or give this one a directory of its own (`--store embedded:PATH`); \
             replicas that share a store need Redis (`--store redis://HOST`)"
        )),
        DatabaseError::Storage(redb::StorageError::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
            StoreError::Unavailable(format!("cannot read `{path}`: {error}"))
        }
        error => StoreError::Broken(format!(
            "`{path}` is not a whole store of jeton ({error}): restore it from a backup, or move it away"
        )),
    }
}

pub(super) fn unreadable(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Unavailable(format!("the embedded store's file cannot be read: {}", error.into()))
}

pub(super) fn garbled() -> StoreError {
    StoreError::Broken("the embedded store's file holds a list that it did not write: restore it from a backup".to_owned())
}

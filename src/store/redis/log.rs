//! The log in Redis: one stream under one primary at a time, its eras, and who is there. What each call asks of `functions.lua`.
//! Must not live here: records and lists, how a call gets to the primary.

use super::connection::Live;
use super::library::{self, Call};
use super::link::{Request, jittered, server_error};
use super::primary::{Command, LISTENING};
use super::reply::{self, Refusal};
use super::topology::Kind;
use super::{EXACT, Redis, bounded};
use crate::random;
use crate::store::{Durability, ERA_AHEAD, Followed, Logged, Position, Store as _, StoreError};
use ::redis::{Cmd, ServerError, Value};
use bytes::Bytes;
use jeton_domain::id::{Identity, ReplicaId};
use jeton_domain::revision::Revision;
use jeton_domain::time::{Millis, Timestamp};
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(super) const STREAM: &str = "jeton:{log}";
const SETTLED: &str = "jeton:{log}:settled";
/// What who looks at the era may touch, in the order in which the functions take it.
const KEYS: [&str; 6] = [STREAM, SETTLED, "jeton:{log}:era", "jeton:{log}:lost", "jeton:{log}:replicas", WITNESSED];
/// Up to where every slot of a cluster says that all is settled there.
pub(super) const WITNESSED: &str = "jeton:{log}:witnessed";

/// From so many entries on, reading them apart is worth a second command.
const FAR: usize = 2_000;

/// The pause before an error of listening is told, so that who asks again and again does not spin.
const PAUSE: Duration = Duration::from_millis(100);

/// What this process keeps of the log.
#[derive(Default)]
pub(super) struct Log {
    /// The highest microsecond that a caller ever saw: some calls that may begin an era have no position.
    seen: AtomicU64,
}

impl Log {
    /// Remembers a place. An era that begins above it, and what is appended there, must stay numbers that Lua can tell apart.
    pub(super) fn see(&self, place: Revision) -> Result<(), StoreError> {
        if place.micros >= EXACT - ERA_AHEAD.get() * 2_000 {
            return Err(StoreError::Broken("a revision lies beyond the log's last possible microsecond".to_owned()));
        }
        self.seen.fetch_max(place.micros, Ordering::Relaxed);
        Ok(())
    }

    /// A function that looks at the era.
    fn call(&self, function: &str, arguments: impl FnOnce(&mut Cmd) -> Result<(), StoreError>) -> Result<Call, StoreError> {
        let mut cmd = library::call(function, KEYS.len(), 256);
        for key in KEYS {
            cmd.arg(key);
        }
        arguments(&mut cmd)?;
        cmd.arg(self.seen.load(Ordering::Relaxed)).arg(random()?);
        Ok(Call::ToProcess(cmd))
    }
}

fn random() -> Result<u64, StoreError> {
    random::bytes().map(u64::from_be_bytes).map_err(|none| StoreError::Broken(none.to_string()))
}

fn hex(id: [u8; 8]) -> String {
    format!("{:016x}", u64::from_be_bytes(id))
}

pub(super) async fn append(redis: &Redis, entries: &[Bytes], position: Position) -> Result<(Followed, Durability), StoreError> {
    redis.log.see(position.highest)?;
    let mut randoms = Vec::with_capacity(entries.len());
    let call = redis.log.call(library::APPEND, |cmd| {
        cmd.arg(position.cursor.to_string()).arg(position.era.to_string());
        for entry in entries {
            let random = random()?;
            cmd.arg(random).arg(entry.as_ref());
            randoms.push(random);
        }
        Ok(())
    })?;
    let written = redis.write(STREAM, &call).await?;
    let mut followed = reply::followed(written.answer, |replid| written.live.learn(replid))?;
    // The last is the head, each before it one microsecond earlier.
    let (head, count) = (followed.head.micros, u64::try_from(entries.len()).unwrap_or(u64::MAX));
    followed.entries.extend((1..).zip(randoms).zip(entries).map(|((nth, random), entry)| {
        let micros = head.saturating_add(nth).saturating_sub(count);
        Logged { revision: Revision { micros, random }, entry: entry.clone() }
    }));
    redis.learn(&followed)?;
    Ok((followed, written.reached))
}

pub(super) async fn follow(redis: &Redis, position: Position, limit: usize) -> Result<Followed, StoreError> {
    redis.log.see(position.highest)?;
    if limit >= FAR
        && let Some(followed) = follow_far(redis, position, limit).await?
    {
        return Ok(followed);
    }
    let (answer, live) = redis.call(STREAM, &asked(redis, position, limit)?, Kind::Read).await?;
    let followed = reply::followed(answer, |replid| live.learn(replid))?;
    redis.learn(&followed)?;
    Ok(followed)
}

fn asked(redis: &Redis, position: Position, limit: usize) -> Result<Call, StoreError> {
    redis.log.call(library::FOLLOW, |cmd| {
        cmd.arg(position.cursor.to_string()).arg(position.era.to_string()).arg(bounded(limit));
        Ok(())
    })
}

/// None where the cursor is not in the log, which is to be asked in one step then.
async fn follow_far(redis: &Redis, position: Position, limit: usize) -> Result<Option<Followed>, StoreError> {
    let is_from_start = position.cursor == Revision::START;
    let mut entries = Cmd::new();
    entries.arg("XRANGE").arg(STREAM);
    // With the cursor itself: only where that is there was nothing missed.
    let (from, count) =
        if is_from_start { ("-".to_owned(), limit) } else { (position.cursor.to_string(), limit.saturating_add(1)) };
    entries.arg(from).arg("+").arg("COUNT").arg(bounded(count));
    let far = Far { whole: asked(redis, position, limit)?, heading: asked(redis, position, 0)?, entries };
    let (answer, live) = redis.call(STREAM, &far, Kind::Read).await?;
    let mut followed = reply::followed(answer, |replid| live.learn(replid))?;
    redis.learn(&followed)?;
    if !is_from_start {
        if followed.gap || followed.entries.first().is_none_or(|first| first.revision != position.cursor) {
            return Ok(None);
        }
        followed.entries.remove(0);
    }
    // Where the log was made anew in between, all of it lies above that heading.
    let until = followed.entries.partition_point(|logged| logged.revision <= followed.head);
    followed.entries.truncate(until);
    followed.more = followed.entries.last().map_or(position.cursor, |last| last.revision) != followed.head;
    Ok(Some(followed))
}

/// Much of the log: its heading, and then its entries by Redis' own command, which is much cheaper than a function.
/// Both over one connection, so that one process answers them. What is appended in between is left for the next time.
struct Far {
    /// The same in one step, for where only one command can be sent.
    whole: Call,
    heading: Call,
    entries: Cmd,
}

impl Request for Far {
    type Answer = Value;

    async fn send(&self, live: &Live) -> Result<Value, Refusal> {
        let both = [self.heading.over(live).into_owned(), self.entries.clone()];
        let mut answers = live.ask(&both.into_iter().collect()).await?;
        match answers.iter().position(|answer| Self::refused(answer).is_some()) {
            Some(refused) => Ok(answers.swap_remove(refused)),
            None => Ok(Value::Array(answers)),
        }
    }

    fn refused(answer: &Value) -> Option<&ServerError> {
        server_error(answer)
    }
}

impl Command for Far {
    fn over(&self, live: &Live) -> Cow<'_, Cmd> {
        self.whole.over(live)
    }
}

pub(super) async fn changed(redis: &Redis, cursor: Revision) -> Result<(), StoreError> {
    let mut cmd = Cmd::new();
    cmd.arg("XREAD").arg("BLOCK").arg(LISTENING.as_millis()).arg("COUNT").arg(1);
    cmd.arg("STREAMS").arg(STREAM).arg(cursor.to_string());
    match redis.topology.listen(STREAM, &cmd).await {
        Ok(_hint) => Ok(()),
        Err(error) => {
            tokio::time::sleep(jittered(PAUSE)).await;
            Err(error)
        }
    }
}

pub(super) async fn settle(redis: &Redis, upto: Revision, under: Option<Identity>) -> Result<bool, StoreError> {
    let mut cmd = library::call(library::SETTLE, 2, 128);
    cmd.arg(STREAM).arg(SETTLED).arg(upto.to_string()).arg(under.map(|under| hex(under.0)).unwrap_or_default());
    let (answer, _) = redis.call(STREAM, &Call::ToProcess(cmd), Kind::Write).await?;
    Ok(reply::count(&answer)? == 1)
}

pub(super) async fn trim(redis: &Redis, older_than: Timestamp) -> Result<u64, StoreError> {
    let micros = older_than.millis().saturating_mul(1_000).min(EXACT - 1);
    let mut cmd = library::call(library::TRIM, 3, 96);
    cmd.arg(STREAM).arg(SETTLED).arg(WITNESSED).arg(micros);
    let (answer, _) = redis.call(STREAM, &cmd, Kind::Write).await?;
    reply::count(&answer)
}

pub(super) async fn beat(redis: &Redis, replica: ReplicaId, horizon: Millis, joins: bool) -> Result<(), StoreError> {
    let call = redis.log.call(library::BEAT, |cmd| {
        cmd.arg(hex(replica.0)).arg(horizon.get().min(EXACT - 1)).arg(u8::from(joins));
        Ok(())
    })?;
    let answer = if joins {
        redis.write(STREAM, &call).await?.durable(redis.durability())?
    } else {
        redis.call(STREAM, &call, Kind::Write).await?.0
    };
    reply::count(&answer).map(drop)
}

pub(super) async fn leave(redis: &Redis, replica: ReplicaId) -> Result<(), StoreError> {
    let call = redis.log.call(library::LEAVE, |cmd| {
        cmd.arg(hex(replica.0));
        Ok(())
    })?;
    let (answer, _) = redis.call(STREAM, &call, Kind::Write).await?;
    reply::count(&answer).map(drop)
}

pub(super) async fn healed(redis: &Redis, replica: ReplicaId, under: Identity) -> Result<bool, StoreError> {
    let call = redis.log.call(library::HEALED, |cmd| {
        cmd.arg(hex(replica.0)).arg(hex(under.0));
        Ok(())
    })?;
    let (answer, _) = redis.call(STREAM, &call, Kind::Write).await?;
    Ok(reply::count(&answer)? == 1)
}

pub(super) async fn accept(redis: &Redis, position: Position) -> Result<Revision, StoreError> {
    redis.log.see(position.highest)?;
    let call = redis.log.call(library::ACCEPT, |_cmd| Ok(()))?;
    let answer = redis.write(STREAM, &call).await?.durable(redis.durability())?;
    let marker = reply::revision(reply::text(&answer)?)?;
    redis.log.see(marker)?;
    Ok(marker)
}

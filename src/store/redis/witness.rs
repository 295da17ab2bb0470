//! What each slot of a cluster says it holds: the place in the log up to which all is settled there (ADR 0014). A record is believed only
//! with the witness of its slot beside it, read from the same node after it. Must not live here: what is settled, and when (`floors`).

use super::connection::Live;
use super::library::{self, Call};
use super::log::WITNESSED;
use super::primary::Primary;
use super::reply::{self, Refusal};
use super::slot::{self, SLOTS};
use super::topology::{Kind, Servers};
use super::{Redis, get};
use crate::store::{Due, Durability, Name, StoreError, Wrong};
use ::redis::{Cmd, Value};
use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jeton_domain::revision::Revision;
use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

/// How many slots are asked, or told, at once.
const AT_ONCE: usize = 256;
/// How many are asked in one go whether there is a witness at all.
const PAGE: usize = 1_024;
/// Below this there is a number in every slot.
const NUMBERS: u32 = 1 << 17;
/// Before every place of a log: what has no witness is not there yet.
const FIRST: Revision = Revision { micros: 0, random: 1 };

/// The witnesses of a cluster.
pub(super) struct Witnesses {
    /// A number that is in each slot: those of records are not in all.
    tags: Box<[u32]>,
    /// What every slot has to say at least. Kept where the log has lost it: who was here knows better.
    sure: RwLock<Revision>,
}

/// A witness to be asked for.
pub(super) struct Asked {
    slot: usize,
    name: Name,
}

impl Witnesses {
    pub(super) fn new() -> Self {
        let mut tags = vec![None; SLOTS].into_boxed_slice();
        let mut missing = SLOTS;
        let mut numbers = 0..NUMBERS;
        while let (1.., Some(number)) = (missing, numbers.next()) {
            if let Some(held @ None) = tags.get_mut(slot::of(&name(number))) {
                *held = Some(number);
                missing = missing.saturating_sub(1);
            }
        }
        let tags = tags.iter().map(|tag| tag.unwrap_or_default()).collect();
        Self { tags, sure: RwLock::new(Revision::START) }
    }

    /// What the log says is sure.
    pub(super) fn learn(&self, sure: Option<Revision>) {
        if let Some(sure) = sure {
            *self.sure.write().unwrap_or_else(PoisonError::into_inner) = sure;
        }
    }

    fn sure(&self) -> Revision {
        *self.sure.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The witness of a slot.
    fn of(&self, slot: usize) -> Asked {
        Asked { slot, name: Name::new(&name(self.tags.get(slot).copied().unwrap_or_default())) }
    }

    /// The witnesses of those names, each once; none while nothing is sure yet.
    pub(super) fn beside<'a>(&self, names: impl Iterator<Item = &'a Name>) -> Vec<Asked> {
        if self.sure() == Revision::START {
            return Vec::new();
        }
        let mut seen = HashSet::new();
        names.map(|name| slot::of(name.as_str())).filter(|slot| seen.insert(*slot)).map(|slot| self.of(slot)).collect()
    }
}

/// Beside the records of the slot, and of no kind that they have.
fn name(tag: u32) -> String {
    format!("jeton:{{{tag}}}:w")
}

fn place(value: Value) -> Result<Revision, StoreError> {
    reply::optional(value.clone())?.map_or(Ok(Revision::START), |_| reply::revision(reply::text(&value)?))
}

/// Sends `commands`, and behind them asks the witnesses; answers what the commands answered, where those are believed.
pub(super) async fn believed(
    redis: &Redis,
    mut commands: Vec<(&str, Cmd)>,
    asked: &[Asked],
    kind: Kind,
) -> Result<(Vec<Value>, Arc<Live>), StoreError> {
    let count = commands.len();
    commands.extend(asked.iter().map(|asked| (asked.name.as_str(), get(&asked.name))));
    let (mut values, live) = redis.topology.call_all(commands, kind).await?;
    believe(redis, asked, values.drain(count..))?;
    Ok((values, live))
}

/// Refuses where one of those that were asked says less than is sure.
fn believe(redis: &Redis, asked: &[Asked], answers: impl Iterator<Item = Value>) -> Result<(), StoreError> {
    let Some(witnesses) = &redis.witnesses else { return Ok(()) };
    for (asked, answer) in asked.iter().zip(answers) {
        if place(answer)? < witnesses.sure() {
            return Err(StoreError::Restored(words(redis, asked.slot)));
        }
    }
    Ok(())
}

fn words(redis: &Redis, slot: usize) -> String {
    let Servers::Cluster(cluster) = &redis.topology.servers else { return String::new() };
    let primary = cluster.primary(slot);
    let node = primary.as_ref().and_then(|primary| primary.node()).map_or_else(|| "a node".to_owned(), ToString::to_string);
    format!(
        "{node} was emptied, or restored from a backup that is older than what the log remembers, and what was revoked may be alive \
         there again: put a newer copy of its data in place, or take them as they are with `jeton heal --accept`"
    )
}

/// Learns what is sure, for start. A log that does not know has lost it, if any slot has a witness: then all must have one.
pub(super) async fn look(redis: &Redis) -> Result<(), StoreError> {
    let Some(witnesses) = &redis.witnesses else { return Ok(()) };
    let mut cmd = Cmd::new();
    cmd.arg("HMGET").arg(WITNESSED).arg("sure").arg("at");
    let (answer, _) = redis.call(WITNESSED, &cmd, Kind::Read).await?;
    let Value::Array(fields) = answer else { return Err(reply::broken()) };
    let [sure, at] = fields.try_into().map_err(|_other| reply::broken())?;
    if sure != Value::Nil {
        witnesses.learn(Some(place(sure)?));
    } else if at == Value::Nil && any(redis, witnesses).await? {
        let mut cmd = Cmd::new();
        cmd.arg("HSET").arg(WITNESSED).arg("sure").arg(FIRST.to_string());
        redis.call(WITNESSED, &cmd, Kind::Read).await?;
        witnesses.learn(Some(FIRST));
    }
    Ok(())
}

/// Whether some slot has a witness.
async fn any(redis: &Redis, witnesses: &Witnesses) -> Result<bool, StoreError> {
    let all: Vec<Asked> = (0..SLOTS).map(|slot| witnesses.of(slot)).collect();
    for some in all.chunks(PAGE) {
        let commands = some.iter().map(|asked| (asked.name.as_str(), get(&asked.name))).collect();
        let (values, _) = redis.topology.call_all(commands, Kind::Read).await?;
        if values.iter().any(|value| matches!(value, Value::BulkString(_))) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) async fn due(redis: &Redis) -> Result<Option<Due>, StoreError> {
    if redis.witnesses.is_none() {
        return Ok(None);
    }
    look(redis).await?;
    let mut cmd = library::call(library::DUE, 1, 32);
    cmd.arg(WITNESSED);
    let (answer, _) = redis.call(WITNESSED, &cmd, Kind::Write).await?;
    if answer == Value::Nil {
        return Ok(None);
    }
    let primaries = primaries(redis).await?;
    Ok(Some(Due { changed: reply::text(&answer)? != primaries, primaries }))
}

pub(super) async fn vouch(redis: &Redis, upto: Revision, round: &Due) -> Result<bool, StoreError> {
    let Some(witnesses) = &redis.witnesses else { return Ok(true) };
    let told = stream::iter((0..SLOTS).map(Ok));
    told.try_for_each_concurrent(AT_ONCE, async |slot| tell(redis, &witnesses.of(slot), witnesses.sure(), upto).await).await?;
    // One that was replaced meanwhile may have lost what was settled before it was told.
    if primaries(redis).await? != round.primaries {
        return Ok(false);
    }
    let mut cmd = library::call(library::VOUCH, 1, 64 + round.primaries.len());
    cmd.arg(WITNESSED).arg(upto.to_string()).arg(&round.primaries);
    redis.call(WITNESSED, &cmd, Kind::Write).await?;
    Ok(true)
}

/// Tells a slot that all up to `upto` is settled there, if what it says is no less than is sure; its replicas too, where they are waited for.
async fn tell(redis: &Redis, asked: &Asked, sure: Revision, upto: Revision) -> Result<(), StoreError> {
    let key = asked.name.as_str();
    let mut cmd = library::call(library::WITNESS, 1, 96);
    cmd.arg(key).arg(sure.to_string()).arg(upto.to_string());
    let answer = match redis.topology.settings.replicas {
        0 => redis.call(key, &cmd, Kind::Read).await?.0,
        _ => redis.write(key, &Call::Whole(cmd)).await?.durable(Durability::Replicated)?,
    };
    if reply::count(&answer)? == 1 { Ok(()) } else { Err(StoreError::Restored(words(redis, asked.slot))) }
}

/// Who the primaries are, all of them as they say themselves.
async fn primaries(redis: &Redis) -> Result<String, StoreError> {
    let Servers::Cluster(cluster) = &redis.topology.servers else { return Ok(String::new()) };
    let shards = cluster.refresh().await.map_err(Refusal::into_error)?.shards;
    let members = shards.iter().filter(|shard| !shard.slots.is_empty()).flat_map(|shard| &shard.members);
    let nodes = members.filter(|member| member.primary).map(|member| cluster.at(&member.node));
    let mut said = try_join_all(nodes.map(identity)).await.map_err(Refusal::into_error)?;
    said.sort_unstable();
    Ok(said.join(" "))
}

async fn identity(primary: Arc<Primary>) -> Result<String, Refusal> {
    let (answer, _) = primary.send(&library::call(library::HELLO, 0, 0)).await?;
    let Value::Array(parts) = &answer else { return Err(Refusal::Unknown) };
    let words: Vec<&str> = parts.iter().map(reply::text).collect::<Result<_, _>>().map_err(|_foreign| Refusal::Unknown)?;
    match words.as_slice() {
        ["master", replid, run_id] => Ok(format!("{:016x}", u64::from_be_bytes(reply::identity(replid, run_id).0))),
        _ => Err(Refusal::NoPrimary("this Redis is a replica; jeton needs the primary")),
    }
}

/// The nodes that are not believed: of each one slot is asked, another each time.
pub(super) async fn health(redis: &Redis) -> Vec<Wrong> {
    let (Some(witnesses), Servers::Cluster(cluster)) = (&redis.witnesses, &redis.topology.servers) else { return Vec::new() };
    if witnesses.sure() == Revision::START {
        return Vec::new();
    }
    let asked: Vec<Asked> = cluster.some_slots().into_iter().map(|slot| witnesses.of(slot)).collect();
    let answers = stream::iter(asked).map(async |asked| {
        let (answer, _) = redis.call(asked.name.as_str(), &get(&asked.name), Kind::Read).await.ok()?;
        let StoreError::Restored(words) = believe(redis, &[asked], std::iter::once(answer)).err()? else { return None };
        Some(Wrong::unfit(words))
    });
    answers.buffer_unordered(AT_ONCE).filter_map(async |wrong| wrong).collect().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_a_witness_in_it() {
        let witnesses = Witnesses::new();
        for slot in 0..SLOTS {
            assert_eq!(slot::of(witnesses.of(slot).name.as_str()), slot);
        }
    }

    #[test]
    fn what_was_sure_stays_so_where_the_log_does_not_know() {
        let witnesses = Witnesses::new();
        let name = Name::new("jeton:{ab12}:g:1");
        assert!(witnesses.beside(std::iter::once(&name)).is_empty(), "nothing is sure yet");
        witnesses.learn(Some(FIRST));
        witnesses.learn(None);
        assert_eq!(witnesses.sure(), FIRST);
        let asked = witnesses.beside([&name, &name].into_iter());
        assert_eq!(asked.iter().map(|asked| asked.slot).collect::<Vec<_>>(), [slot::of(name.as_str())]);
    }
}

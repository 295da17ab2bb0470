//! The Redis store: records are strings, lists are sorted sets, the log is one stream.
//!
//! Lives here: what each method of `Store` asks of Redis. Below: the log (`log`), the functions that run inside Redis (`functions.lua`,
//! `library`), which primary a key is on (`topology`: by `sentinel` or `cluster`), the connections to one (`primary`), writes that wait
//! for replicas (`writer`), how a connection is made (`wire`, `connection`) and comes back (`link`), how answers are known to be ours
//! (`piece`) and read (`reply`), what is wrong with the servers (`health`), which shard of a cluster is believed (`witness`).
//!
//! What a user of Redis needs who may do nothing else is [`PERMISSIONS`]; functions run with their caller's permissions, so what they
//! call is on it. At connect go `AUTH` and `SELECT` (where the address says so), never `CLIENT SETINFO`. `FUNCTION LOAD` is tried
//! only where the library is absent; another user may have loaded it.
//!
//! Every name is one key with the hash tag that `records` gave it; a command names keys of one tag only, so that it is one node's.

mod address;
mod cluster;
mod connection;
mod doctor;
mod health;
mod library;
mod link;
mod log;
mod piece;
mod primary;
mod probe;
mod reply;
mod sentinel;
mod shards;
mod slot;
mod topology;
mod wire;
mod witness;
mod writer;

pub use address::Address;
pub use doctor::{Expected, examine};
pub use library::FUNCTIONS;

use self::connection::Live;
use self::library::Call;
use self::log::{Log, STREAM};
use self::primary::Command;
use self::reply::broken;
use self::topology::{Kind, Servers, Topology};
use self::witness::{Asked, Witnesses};
use self::writer::{Written, not_durable};
use super::{Add, Due, Durability, Followed, Member, Name, Position, Read, Store, StoreError, Swap, Swapped, Wrong};
use crate::clock::Clock;
use ::redis::{Cmd, Value};
use async_trait::async_trait;
use bytes::Bytes;
use jeton_domain::id::{Identity, ReplicaId};
use jeton_domain::revision::Revision;
use jeton_domain::time::{Millis, Timestamp};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

/// The rules of `ACL SETUSER` for a user that can be jeton and nothing else.
pub const PERMISSIONS: &str = "~jeton:* -@all +fcall +info +time +get +set +del +exists +getrange +zadd +zrem +zcard +zrange \
                               +zremrangebyscore +pexpireat +xadd +xrange +xrevrange +xtrim +xread +hset +hget +hmget +hgetall +hdel \
                               +lrange +rpush +lpush +lpop +wait +echo +cluster|shards +cluster|info +asking";

/// The first number Lua cannot tell from its neighbour. No clock of ours gets near it.
const EXACT: u64 = 1 << 53;

/// How the store behaves on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Making a connection, with log-in: at most so long.
    pub connect_timeout: Duration,
    /// From being asked to having answered, retries included: at most so long.
    pub response_timeout: Duration,
    /// Connections to each primary that requests are spread over, each shared by many requests at once.
    pub connections: NonZeroUsize,
    /// How many replicas each primary has: all of them must have what is to be `Replicated`. None: nothing waits.
    pub replicas: u32,
    /// For how long they are waited for. A write may have to wait twice, for the batch before its own too.
    pub wait_timeout: Duration,
}

impl Default for Settings {
    /// One second each; one connection a core; no replicas.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
            connections: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            replicas: 0,
            wait_timeout: Duration::from_millis(500),
        }
    }
}

/// A Redis, 7.0 or later: one primary, or what Sentinels watch, or a cluster.
pub struct Redis {
    topology: Topology,
    log: Log,
    /// None where records lie beside the log.
    witnesses: Option<Witnesses>,
    clock: Clock,
}

impl Redis {
    /// Connects to every primary of the deployment at this [`Address`], and loads the functions where they are absent.
    ///
    /// # Errors
    /// `Broken` for an address that is none; `Unavailable` where a primary cannot be reached, refuses us, is a replica or would evict.
    pub async fn connect(url: &str, clock: Clock) -> Result<Self, StoreError> {
        Self::connect_with(url, clock, Settings::default()).await
    }

    /// The same with settings of one's own.
    ///
    /// # Errors
    /// As `connect`.
    pub async fn connect_with(url: &str, clock: Clock, settings: Settings) -> Result<Self, StoreError> {
        let address = Address::parse(url).map_err(|problem| StoreError::Broken(format!("the address of Redis {problem}")))?;
        Self::open(&address, clock, settings).await
    }

    /// The same with an address that was read before.
    ///
    /// # Errors
    /// As `connect`.
    pub async fn open(address: &Address, clock: Clock, settings: Settings) -> Result<Self, StoreError> {
        let topology = Topology::connect(address, settings).await?;
        let witnesses = matches!(topology.servers, Servers::Cluster(_)).then(Witnesses::new);
        let redis = Self { topology, log: Log::default(), witnesses, clock };
        witness::look(&redis).await?;
        Ok(redis)
    }

    /// What the log says of itself, for calls that are not told.
    fn learn(&self, followed: &Followed) -> Result<(), StoreError> {
        if let Some(witnesses) = &self.witnesses {
            witnesses.learn(followed.sure);
        }
        self.log.see(followed.head)
    }

    /// The witnesses to be read beside what those names hold.
    fn beside<'a>(&self, names: impl Iterator<Item = &'a Name>) -> Vec<Asked> {
        self.witnesses.as_ref().map_or_else(Vec::new, |witnesses| witnesses.beside(names))
    }

    async fn call<C: Command>(&self, key: &str, cmd: &C, kind: Kind) -> Result<(Value, Arc<Live>), StoreError> {
        self.topology.call(key, cmd, kind).await
    }

    /// A write that gets as far as writes of this store do, if the replicas are there in time.
    async fn write(&self, key: &str, call: &Call) -> Result<Written, StoreError> {
        self.topology.write(key, call).await
    }
}

fn read_of(live: &Live, values: impl Iterator<Item = Value>) -> Result<Read, StoreError> {
    Ok(Read { values: values.map(reply::optional).collect::<Result<_, _>>()?, identity: live.identity() })
}

fn swapped(answer: Value) -> Result<Swapped, StoreError> {
    match answer {
        Value::Int(1) => Ok(Swapped::Done),
        other => Ok(Swapped::Conflict(reply::optional(other)?)),
    }
}

/// The front of a name, which places it.
fn placed(name: &Name) -> &str {
    name.as_str().split_inclusive('}').next().unwrap_or_default()
}

fn time() -> Cmd {
    let mut cmd = Cmd::with_capacity(1, 4);
    cmd.arg("TIME");
    cmd
}

fn get(name: &Name) -> Cmd {
    let mut cmd = Cmd::with_capacity(2, name.as_str().len() + 3);
    cmd.arg("GET").arg(name.as_str());
    cmd
}

/// A limit as Lua and Redis take it. No answer gets near it.
fn bounded(limit: usize) -> usize {
    limit.min(1 << 30)
}

/// A moment as Redis takes it: neither 0 nor beyond what it can add to.
fn moment(at: Timestamp) -> u64 {
    at.millis().clamp(1, EXACT - 1)
}

#[async_trait]
impl Store for Redis {
    async fn get(&self, names: &[Name]) -> Result<Read, StoreError> {
        let asked = self.beside(names.iter());
        if let ([name], []) = (names, asked.as_slice()) {
            let (value, live) = self.call(name.as_str(), &get(name), Kind::Read).await?;
            return read_of(&live, std::iter::once(value));
        }
        let mut commands: Vec<_> = names.iter().map(|name| (name.as_str(), get(name))).collect();
        if commands.is_empty() {
            commands.push((STREAM, time()));
        }
        let (values, live) = witness::believed(self, commands, &asked, Kind::Read).await?;
        read_of(&live, values.into_iter().take(names.len()))
    }

    async fn swap(&self, swap: &Swap, also: &[Name]) -> Result<(Swapped, Read), StoreError> {
        let name = swap.name.as_str();
        let mut cmd = library::call(library::SWAP, 1, name.len() + swap.value.as_ref().map_or(0, Bytes::len) + 32);
        cmd.arg(name).arg(swap.expected.as_ref().map_or(&[][..], |stamp| &stamp[..]));
        match swap.expires_at {
            Some(at) => cmd.arg(moment(at)),
            None => cmd.arg(""),
        };
        if let Some(value) = &swap.value {
            cmd.arg(value.as_ref());
        }
        if swap.needs.min(self.durability()) == Durability::Replicated {
            let Written { answer, live, reached } = self.write(name, &Call::Whole(cmd)).await?;
            let swapped = swapped(answer)?;
            if swapped == Swapped::Done && reached < swap.needs {
                return Err(not_durable());
            }
            let identity = live.identity();
            // Its own slot is asked too, after it was written.
            let asked = self.beside(also.iter().chain([&swap.name]));
            if also.is_empty() && asked.is_empty() {
                return Ok((swapped, Read { values: Vec::new(), identity }));
            }
            let reads = also.iter().map(|name| (name.as_str(), get(name))).collect();
            let (values, _) = witness::believed(self, reads, &asked, Kind::Read).await?;
            let values = values.into_iter().map(reply::optional).collect::<Result<_, _>>()?;
            return Ok((swapped, Read { values, identity }));
        }
        let asked = self.beside(also.iter().chain([&swap.name]));
        let mut commands = Vec::with_capacity(1 + also.len());
        commands.push((name, cmd));
        commands.extend(also.iter().map(|name| (name.as_str(), get(name))));
        let (values, live) = witness::believed(self, commands, &asked, Kind::Write).await?;
        let mut values = values.into_iter();
        let swapped = swapped(values.next().ok_or_else(broken)?)?;
        Ok((swapped, read_of(&live, values)?))
    }

    async fn confirm(&self, name: &Name) -> Result<(), StoreError> {
        if self.durability() == Durability::Applied {
            return Ok(());
        }
        let key = format!("{}:c", placed(name));
        let mut cmd = library::call(library::CONFIRM, 1, key.len());
        cmd.arg(&key);
        self.write(&key, &Call::Whole(cmd)).await?.durable(Durability::Replicated).map(drop)
    }

    async fn list_add(&self, add: &Add) -> Result<Vec<Member>, StoreError> {
        let (name, member) = (add.list.as_str(), add.member.bytes.as_ref());
        let group = member.get(..add.group_bytes).unwrap_or(member);
        let mut cmd = library::call(library::LIST_ADD, 1, name.len() + member.len() + group.len() + 32);
        cmd.arg(name)
            .arg(member)
            .arg(moment(add.member.expires_at))
            .arg(group)
            .arg(bounded(add.group_cap))
            .arg(bounded(add.list_cap));
        let (answer, _) = self.call(name, &cmd, Kind::Write).await?;
        reply::members(answer)
    }

    async fn list_remove(&self, list: &Name, members: &[Bytes]) -> Result<(), StoreError> {
        if members.is_empty() {
            return Ok(());
        }
        let mut cmd = Cmd::new();
        cmd.arg("ZREM").arg(list.as_str());
        for member in members {
            cmd.arg(member.as_ref());
        }
        let (answer, _) = self.call(list.as_str(), &cmd, Kind::Write).await?;
        reply::count(&answer).map(drop)
    }

    async fn list(&self, list: &Name, after: Option<&Member>, limit: usize) -> Result<Vec<Member>, StoreError> {
        let mut cmd = library::call(library::LIST, 1, list.as_str().len() + 64);
        cmd.arg(list.as_str()).arg(bounded(limit));
        if let Some(after) = after {
            cmd.arg(moment(after.expires_at)).arg(after.bytes.as_ref());
        }
        let asked = self.beside(std::iter::once(list));
        let (answers, _) = witness::believed(self, vec![(list.as_str(), cmd)], &asked, Kind::Read).await?;
        reply::members(answers.into_iter().next().ok_or_else(broken)?)
    }

    async fn append(&self, entries: &[Bytes], position: Position) -> Result<(Followed, Durability), StoreError> {
        log::append(self, entries, position).await
    }

    async fn follow(&self, position: Position, limit: usize) -> Result<Followed, StoreError> {
        log::follow(self, position, limit).await
    }

    async fn changed(&self, cursor: Revision) -> Result<(), StoreError> {
        log::changed(self, cursor).await
    }

    async fn settle(&self, upto: Revision, under: Option<Identity>) -> Result<bool, StoreError> {
        log::settle(self, upto, under).await
    }

    async fn trim(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        log::trim(self, older_than).await
    }

    async fn beat(&self, replica: ReplicaId, horizon: Millis, joins: bool) -> Result<(), StoreError> {
        log::beat(self, replica, horizon, joins).await
    }

    async fn leave(&self, replica: ReplicaId) -> Result<(), StoreError> {
        log::leave(self, replica).await
    }

    async fn healed(&self, replica: ReplicaId, under: Identity) -> Result<bool, StoreError> {
        log::healed(self, replica, under).await
    }

    async fn accept(&self, position: Position) -> Result<Revision, StoreError> {
        log::accept(self, position).await
    }

    async fn due(&self) -> Result<Option<Due>, StoreError> {
        witness::due(self).await
    }

    async fn vouch(&self, upto: Revision, round: &Due) -> Result<bool, StoreError> {
        witness::vouch(self, upto, round).await
    }

    async fn time(&self) -> Result<(Timestamp, Millis), StoreError> {
        let asked = self.clock.now();
        let (answer, _) = self.call(STREAM, &time(), Kind::Read).await?;
        Ok((reply::time(&answer)?, self.clock.now().since(asked)))
    }

    async fn health(&self) -> Result<Vec<Wrong>, StoreError> {
        let (mut wrong, unbelieved) = tokio::join!(self.topology.health(), witness::health(self));
        wrong.extend(unbelieved);
        Ok(wrong)
    }

    fn durability(&self) -> Durability {
        if self.topology.settings.replicas > 0 { Durability::Replicated } else { Durability::Applied }
    }
}

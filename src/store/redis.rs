//! The Redis store: records are strings, lists are sorted sets, the log is one stream.
//!
//! Lives here: what each method of `Store` asks of Redis. Below: the functions that run inside Redis (`functions.lua`, `library`),
//! which primary a key is on (`topology`: by `sentinel` or `cluster`), how a connection is made (`wire`, `connection`) and comes back
//! (`link`), how replies are read (`reply`), what is wrong with the servers (`health`). Must not live here: waiting for replicas.
//!
//! What a user of Redis needs who may do nothing else is [`PERMISSIONS`]; functions run with their caller's permissions, so what they
//! call is on it. At connect go `AUTH` and `SELECT` (where the address says so), never `CLIENT SETINFO`. `FUNCTION LOAD` is tried
//! only where the library is absent; another user may have loaded it.
//!
//! Every name is one key with the hash tag that `records` gave it; a command names keys of one tag only, so that it is one node's.

mod address;
mod cluster;
mod connection;
mod health;
mod library;
mod link;
mod primary;
mod probe;
mod reply;
mod sentinel;
mod shards;
mod slot;
mod topology;
mod wire;

pub use address::Address;
pub use library::FUNCTIONS;

use self::connection::Live;
use self::reply::broken;
use self::topology::{Kind, Topology};
use super::{Add, Durability, Followed, Logged, Member, Name, Position, Read, Store, StoreError, Swap, Swapped};
use crate::clock::Clock;
use crate::random;
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
                               +zremrangebyscore +pexpireat +xadd +xrange +xrevrange +xtrim +cluster|shards +cluster|info +asking";

const LOG: &str = "jeton:{log}";
const SETTLED: &str = "jeton:{log}:settled";

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
    /// How many replicas each primary has.
    pub replicas: u32,
}

impl Default for Settings {
    /// One second each; one connection a core; no replicas.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
            connections: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            replicas: 0,
        }
    }
}

/// A Redis, 7.0 or later: one primary, or what Sentinels watch, or a cluster.
pub struct Redis {
    topology: Topology,
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
        Ok(Self { topology: Topology::connect(address, settings).await?, clock })
    }

    async fn call(&self, key: &str, cmd: &Cmd, kind: Kind) -> Result<(Value, Arc<Live>), StoreError> {
        self.topology.call(key, cmd, kind).await
    }
}

fn read_of(live: &Live, values: impl Iterator<Item = Value>) -> Result<Read, StoreError> {
    Ok(Read { values: values.map(reply::optional).collect::<Result<_, _>>()?, identity: live.identity() })
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
        if let [name] = names {
            let (value, live) = self.call(name.as_str(), &get(name), Kind::Read).await?;
            return read_of(&live, std::iter::once(value));
        }
        let mut commands: Vec<_> = names.iter().map(|name| (name.as_str(), get(name))).collect();
        if commands.is_empty() {
            commands.push((LOG, time()));
        }
        let (values, live) = self.topology.call_all(commands, Kind::Read).await?;
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
        let mut commands = Vec::with_capacity(1 + also.len());
        commands.push((name, cmd));
        commands.extend(also.iter().map(|name| (name.as_str(), get(name))));
        let (values, live) = self.topology.call_all(commands, Kind::Write).await?;
        let mut values = values.into_iter();
        let swapped = match values.next() {
            Some(Value::Int(1)) => Swapped::Done,
            Some(other) => Swapped::Conflict(reply::optional(other)?),
            None => return Err(broken()),
        };
        Ok((swapped, read_of(&live, values)?))
    }

    async fn confirm(&self, _name: &Name) -> Result<(), StoreError> {
        Ok(())
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
        let (answer, _) = self.call(list.as_str(), &cmd, Kind::Read).await?;
        reply::members(answer)
    }

    async fn append(&self, entries: &[Bytes], position: Position) -> Result<(Followed, Durability), StoreError> {
        let Position { cursor, highest, .. } = position;
        let [entry] = entries else { return Err(broken()) };
        if highest.micros >= EXACT - 1 {
            return Err(StoreError::Broken("a revision lies beyond the log's last possible microsecond".to_owned()));
        }
        let random = random::bytes().map_err(|none| StoreError::Broken(none.to_string()))?;
        let mut cmd = library::call(library::APPEND, 2, entry.len() + 160);
        cmd.arg(LOG).arg(SETTLED).arg(entry.as_ref()).arg(cursor.to_string()).arg(highest.micros).arg(u64::from_be_bytes(random));
        let (answer, live) = self.call(LOG, &cmd, Kind::Write).await?;
        let mut followed = reply::followed(answer, |replid| live.learn(replid))?;
        followed.entries.push(Logged { revision: followed.head, entry: entry.clone() });
        Ok((followed, Durability::Applied))
    }

    async fn follow(&self, position: Position, limit: usize) -> Result<Followed, StoreError> {
        let mut cmd = library::call(library::FOLLOW, 2, 128);
        cmd.arg(LOG).arg(SETTLED).arg(position.cursor.to_string()).arg(bounded(limit));
        let (answer, live) = self.call(LOG, &cmd, Kind::Read).await?;
        reply::followed(answer, |replid| live.learn(replid))
    }

    async fn changed(&self, _cursor: Revision) -> Result<(), StoreError> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(())
    }

    async fn settle(&self, upto: Revision) -> Result<bool, StoreError> {
        let mut cmd = library::call(library::SETTLE, 2, 96);
        cmd.arg(LOG).arg(SETTLED).arg(upto.to_string());
        let (answer, _) = self.call(LOG, &cmd, Kind::Write).await?;
        Ok(reply::count(&answer)? == 1)
    }

    async fn trim(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        let micros = older_than.millis().saturating_mul(1_000).min(EXACT - 1);
        let mut cmd = library::call(library::TRIM, 2, 96);
        cmd.arg(LOG).arg(SETTLED).arg(micros);
        let (answer, _) = self.call(LOG, &cmd, Kind::Write).await?;
        reply::count(&answer)
    }

    async fn beat(&self, _replica: ReplicaId, _horizon: Millis, _joins: bool) -> Result<(), StoreError> {
        Ok(())
    }

    async fn leave(&self, _replica: ReplicaId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn healed(&self, _replica: ReplicaId, _under: Identity) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn accept(&self, _position: Position) -> Result<Revision, StoreError> {
        Err(broken())
    }

    async fn time(&self) -> Result<(Timestamp, Millis), StoreError> {
        let asked = self.clock.now();
        let (answer, _) = self.call(LOG, &time(), Kind::Read).await?;
        Ok((reply::time(&answer)?, self.clock.now().since(asked)))
    }

    async fn health(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.topology.health().await)
    }
}

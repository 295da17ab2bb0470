//! Which primary a key is on, and how a command gets an answer from it: sent again where nothing ran, or to another node where one says
//! so, within the time-out. Not what is asked (`redis`), nor how it goes over a connection (`link`).
//!
//! A redirection is one command's: while a slot moves, of two keys in it one may be here and the other there. So several commands go
//! together, and those that were refused go again one by one.

use super::Settings;
use super::address::{Address, Deployment, Node};
use super::cluster::Cluster;
use super::connection::{Live, Place, Target};
use super::library::Call;
use super::link::{jittered, server_error};
use super::piece::Piece;
use super::primary::{Asking, Command, LISTENING, Primary};
use super::probe::Probes;
use super::reply::{self, Redirect, Refusal, refusal};
use super::sentinel::Sentinels;
use super::slot;
use super::wire::Door;
use super::writer::Written;
use crate::store::StoreError;
use ::redis::{Cmd, ServerError, Value};
use futures_util::future::try_join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// The pause before asking again what was refused for now, at the most.
const PAUSE: Duration = Duration::from_millis(10);
/// So many redirections are followed without a pause: two nodes may send us to each other for a while.
const REDIRECTIONS: u32 = 2;

const SILENT: Refusal = Refusal::Lost("Redis did not answer in time");
const MOVING: Refusal = Refusal::Passing("Redis is moving keys between its nodes");
const UNSERVED: Refusal = Refusal::Passing("no node of Redis Cluster serves the slot of this key");

/// Whether a command may be sent a second time when its outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reading twice is reading.
    Read,
    /// Never sent again once it may have happened.
    Write,
}

/// The servers of a deployment.
pub(super) struct Topology {
    pub(super) servers: Servers,
    pub(super) settings: Settings,
    _watch: Option<Job>,
}

pub(super) enum Servers {
    /// One primary, always at that place.
    Standalone { primary: Arc<Primary>, node: Node, probes: Probes },
    /// One primary, where the Sentinels say.
    Sentinel { primary: Arc<Primary>, sentinels: Arc<Sentinels>, probes: Probes },
    /// Several primaries.
    Cluster(Arc<Cluster>),
}

/// What is done beside requests, until this is dropped.
struct Job(AbortHandle);

impl Drop for Job {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Job {
    fn start(work: impl Future<Output = ()> + Send + 'static) -> Self {
        #[expect(clippy::disallowed_methods, reason = "writes nothing and ends with the store, which aborts it")]
        Self(tokio::spawn(work).abort_handle())
    }
}

/// Commands for one primary, with the place of each among all.
struct Group {
    primary: Option<Arc<Primary>>,
    places: Vec<usize>,
    slots: Vec<usize>,
    commands: Piece,
}

/// A command of many: its place among them, and its slot.
struct Placed {
    place: usize,
    slot: usize,
    cmd: Cmd,
}

impl Group {
    fn new(primary: Option<Arc<Primary>>, placed: Vec<Placed>) -> Self {
        let places = placed.iter().map(|command| command.place).collect();
        let slots = placed.iter().map(|command| command.slot).collect();
        Self { primary, places, slots, commands: placed.into_iter().map(|command| command.cmd).collect() }
    }
}

impl Topology {
    /// Connects to every primary.
    pub(super) async fn connect(address: &Address, settings: Settings) -> Result<Self, StoreError> {
        let (door, sentinel_door) = Door::both(address)?;
        let (servers, watch) = match &address.deployment {
            Deployment::Standalone(node) => {
                let place = Place::Fixed(node.clone());
                let primary = Primary::new(Target { place, door: Arc::clone(&door) }, &settings);
                (Servers::Standalone { primary, node: node.clone(), probes: Probes::new(door) }, None)
            }
            Deployment::Sentinel(nodes, name) => {
                let sentinels = Sentinels::new(name, nodes, &sentinel_door, settings.connect_timeout);
                let place = Place::Named(Arc::clone(&sentinels));
                let primary = Primary::new(Target { place, door: Arc::clone(&door) }, &settings);
                let watch = Job::start(Arc::clone(&sentinels).watch());
                (Servers::Sentinel { primary, sentinels, probes: Probes::new(door) }, Some(watch))
            }
            Deployment::Cluster(nodes) => {
                let cluster = Cluster::connect(nodes, &door, settings).await.map_err(Refusal::into_error)?;
                let watch = Job::start(Arc::clone(&cluster).watch());
                (Servers::Cluster(cluster), Some(watch))
            }
        };
        if let Servers::Standalone { primary, .. } | Servers::Sentinel { primary, .. } = &servers {
            primary.connect().await.map_err(Refusal::into_error)?;
        }
        Ok(Self { servers, settings, _watch: watch })
    }

    /// One command, and the connection that it was answered over. All keys it names are in the slot of `key`.
    pub(super) async fn call<C: Command>(&self, key: &str, cmd: &C, kind: Kind) -> Result<(Value, Arc<Live>), StoreError> {
        let deadline = Instant::now() + self.settings.response_timeout;
        let Written { answer, live, .. } =
            self.within(deadline, slot::of(key), &Ordinary(cmd), kind).await.map_err(Refusal::into_error)?;
        Ok((answer, live))
    }

    /// One write that waits for replicas, where that is configured.
    pub(super) async fn write(&self, key: &str, call: &Call) -> Result<Written, StoreError> {
        let deadline = Instant::now() + self.settings.response_timeout;
        self.within(deadline, slot::of(key), &Waiting(call), Kind::Write).await.map_err(Refusal::into_error)
    }

    /// One question that waits for something to happen. Refusals are not followed: who asks asks again.
    pub(super) async fn listen(&self, key: &str, cmd: &Cmd) -> Result<Value, StoreError> {
        let primary = self.primary(slot::of(key)).ok_or_else(|| UNSERVED.into_error())?;
        let patience = LISTENING.saturating_add(self.settings.response_timeout);
        let answer = timeout(patience, primary.listen(cmd)).await.unwrap_or(Err(SILENT)).map_err(Refusal::into_error)?;
        match server_error(&answer) {
            Some(error) => {
                self.suspect();
                Err(refusal(error).into_error())
            }
            None => Ok(answer),
        }
    }

    /// Several commands with a key each, at least one: grouped by primary, sent together, answered in their order, with the connection
    /// that answered the first.
    ///
    /// Where that one writes, the others read: on the same primary after it, elsewhere at the same time.
    pub(super) async fn call_all(&self, commands: Vec<(&str, Cmd)>, kind: Kind) -> Result<(Vec<Value>, Arc<Live>), StoreError> {
        let deadline = Instant::now() + self.settings.response_timeout;
        let count = commands.len();
        let groups = self.groups(commands);
        let answered = match groups.as_slice() {
            [all] => return self.together(deadline, all, kind).await.map_err(Refusal::into_error),
            several => {
                let kinds = std::iter::once(kind).chain(std::iter::repeat(Kind::Read));
                let sent = several.iter().zip(kinds).map(|(group, kind)| self.together(deadline, group, kind));
                try_join_all(sent).await.map_err(Refusal::into_error)?
            }
        };
        let mut all = vec![Value::Nil; count];
        let mut first = None;
        for (group, (answers, live)) in groups.iter().zip(answered) {
            for (place, answer) in group.places.iter().zip(answers) {
                if let Some(held) = all.get_mut(*place) {
                    *held = answer;
                }
            }
            first.get_or_insert(live);
        }
        Ok((all, first.ok_or_else(reply::broken)?))
    }

    /// The group of the first command is the first.
    fn groups(&self, commands: Vec<(&str, Cmd)>) -> Vec<Group> {
        let mut groups: Vec<(Option<Arc<Primary>>, Vec<Placed>)> = Vec::with_capacity(1);
        for (place, (key, cmd)) in commands.into_iter().enumerate() {
            let slot = slot::of(key);
            let primary = self.primary(slot);
            let placed = Placed { place, slot, cmd };
            let known = groups.iter_mut().find(|(known, _)| match (known, &primary) {
                (Some(known), Some(primary)) => Arc::ptr_eq(known, primary),
                (None, None) => true,
                _ => false,
            });
            match known {
                Some((_, group)) => group.push(placed),
                None => groups.push((primary, vec![placed])),
            }
        }
        groups.into_iter().map(|(primary, placed)| Group::new(primary, placed)).collect()
    }

    async fn together(&self, deadline: Instant, group: &Group, kind: Kind) -> Result<(Vec<Value>, Arc<Live>), Refusal> {
        let (mut answers, mut first) = match self.at_once(deadline, group).await {
            Ok((answers, live)) => (answers, Some(live)),
            // It may have happened.
            Err(lost @ Refusal::Lost(_)) if kind == Kind::Write => return Err(lost),
            Err(_) => (vec![Value::Nil; group.slots.len()], None),
        };
        // What is read after a write is read anew after the write is made.
        let again = first.is_none() || (kind == Kind::Write && answers.first().is_some_and(is_refused));
        for (at, (cmd, (slot, answer))) in group.commands.iter().zip(group.slots.iter().zip(&mut answers)).enumerate() {
            if again || is_refused(answer) {
                let kind = if at == 0 { kind } else { Kind::Read };
                let Written { answer: better, live, .. } = self.within(deadline, *slot, &Ordinary(cmd), kind).await?;
                *answer = better;
                if at == 0 {
                    first = Some(live);
                }
            }
        }
        first.map(|live| (answers, live)).ok_or(Refusal::Unknown)
    }

    async fn at_once(&self, deadline: Instant, group: &Group) -> Result<(Vec<Value>, Arc<Live>), Refusal> {
        let Some(primary) = &group.primary else { return Err(UNSERVED) };
        let answered = timeout_at(deadline, primary.send(&group.commands)).await;
        if !matches!(&answered, Ok(Ok(_))) {
            self.suspect();
        }
        answered.unwrap_or(Err(SILENT))
    }

    async fn within(&self, deadline: Instant, slot: usize, errand: &impl Errand, kind: Kind) -> Result<Written, Refusal> {
        let mut last = None;
        let answered = timeout_at(deadline, self.attempts(slot, errand, kind, &mut last)).await;
        if !matches!(&answered, Ok(Ok(_))) {
            self.suspect();
        }
        answered.unwrap_or_else(|_elapsed| Err(last.unwrap_or(SILENT)))
    }

    /// `last` is what a time-out then reports: why the attempts before it failed.
    async fn attempts(
        &self,
        slot: usize,
        errand: &impl Errand,
        kind: Kind,
        last: &mut Option<Refusal>,
    ) -> Result<Written, Refusal> {
        let mut repeat_lost = kind == Kind::Read;
        let mut redirections = 0;
        // Another than the slot's primary, for one attempt.
        let mut other: Option<Arc<Primary>> = None;
        loop {
            let refused = match self.attempt(slot, errand, other.take()).await {
                Ok((primary, written)) => match server_error(&written.answer) {
                    None => return Ok(written),
                    Some(error) => match self.redirected(error, &primary) {
                        Some(asked) => {
                            other = asked;
                            *last = Some(MOVING);
                            redirections += 1;
                            if redirections > REDIRECTIONS {
                                sleep(jittered(PAUSE)).await;
                            }
                            continue;
                        }
                        None => refusal(error),
                    },
                },
                Err(refused) => refused,
            };
            match refused {
                Refusal::Lost(_) if repeat_lost => repeat_lost = false,
                Refusal::Passing(_) | Refusal::NoPrimary(_) => {
                    *last = Some(refused);
                    self.suspect();
                    sleep(jittered(PAUSE)).await;
                }
                other => return Err(other),
            }
        }
    }

    /// Asks `other`, which only answers who was sent by another node, or the slot's primary.
    async fn attempt(
        &self,
        slot: usize,
        errand: &impl Errand,
        other: Option<Arc<Primary>>,
    ) -> Result<(Arc<Primary>, Written), Refusal> {
        let asking = other.is_some();
        let primary = other.or_else(|| self.primary(slot)).ok_or(UNSERVED)?;
        let written = errand.go(&primary, asking).await?;
        Ok((primary, written))
    }

    /// Follows a redirection: to a node that is to be asked once, or where the map says now.
    fn redirected(&self, error: &ServerError, from: &Primary) -> Option<Option<Arc<Primary>>> {
        let Servers::Cluster(cluster) = &self.servers else { return None };
        let Redirect { once, slot, host, port } = reply::redirect(error)?;
        // A node that does not know its own host means the one that was asked.
        let node = Node::new(if host.is_empty() { &from.node()?.host } else { host }, port);
        if once {
            return Some(Some(cluster.at(&node)));
        }
        cluster.moved(slot, &node);
        Some(None)
    }

    fn primary(&self, slot: usize) -> Option<Arc<Primary>> {
        match &self.servers {
            Servers::Standalone { primary, .. } | Servers::Sentinel { primary, .. } => Some(Arc::clone(primary)),
            Servers::Cluster(cluster) => cluster.primary(slot),
        }
    }

    /// Something went wrong that another map may mend.
    fn suspect(&self) {
        if let Servers::Cluster(cluster) = &self.servers {
            cluster.suspect();
        }
    }
}

/// A command on its way to a primary.
trait Errand: Sync {
    /// Goes once. `asking`: see [`Asking`].
    fn go(&self, primary: &Primary, asking: bool) -> impl Future<Output = Result<Written, Refusal>> + Send;
}

/// Over one of the links that requests share.
struct Ordinary<'a, C>(&'a C);

impl<C: Command> Errand for Ordinary<'_, C> {
    async fn go(&self, primary: &Primary, asking: bool) -> Result<Written, Refusal> {
        let sent = if asking { primary.send(&Asking(self.0)).await } else { primary.send(self.0).await };
        sent.map(Written::applied)
    }
}

/// By the writer, which waits for replicas.
struct Waiting<'a>(&'a Call);

impl Errand for Waiting<'_> {
    async fn go(&self, primary: &Primary, asking: bool) -> Result<Written, Refusal> {
        primary.write(self.0, asking).await
    }
}

fn is_refused(answer: &Value) -> bool {
    server_error(answer).is_some()
}

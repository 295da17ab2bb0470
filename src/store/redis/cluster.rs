//! Which primary of a cluster serves which slot: learnt from its nodes, corrected where one of them says better. Not what is sent there.

use super::Settings;
use super::address::Node;
use super::connection::{Place, Target};
use super::link::jittered;
use super::primary::Primary;
use super::probe::Probes;
use super::reply::Refusal;
use super::shards::{self, View};
use super::slot::SLOTS;
use super::wire::Door;
use crate::random;
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesUnordered;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Notify;

/// How old the map may get while nothing hints that it is wrong.
const EVERY: Duration = Duration::from_secs(15);
/// Between two times that the nodes are asked, at the most: each pause is between half of it and the whole.
const PAUSE: Duration = Duration::from_millis(200);
/// How many nodes are asked at once. Their epochs tell who is behind.
const ASKED: usize = 3;

/// A cluster, as known.
pub(super) struct Cluster {
    seeds: Vec<Node>,
    door: Arc<Door>,
    settings: Settings,
    pub(super) probes: Probes,
    map: RwLock<Map>,
    suspected: Notify,
    turn: AtomicUsize,
}

/// Who serves what. A primary stays the same, with its connections, as long as its node is one.
struct Map {
    primaries: Vec<Arc<Primary>>,
    /// The place of each slot's primary among `primaries`; beyond them where nobody serves it.
    slots: Box<[u16]>,
}

impl Cluster {
    /// Learns the map and connects to every primary.
    pub(super) async fn connect(seeds: &[Node], door: &Arc<Door>, settings: Settings) -> Result<Arc<Self>, Refusal> {
        let cluster = Arc::new(Self {
            seeds: seeds.to_vec(),
            door: Arc::clone(door),
            settings,
            probes: Probes::new(Arc::clone(door)),
            map: RwLock::new(Map { primaries: Vec::new(), slots: [u16::MAX; SLOTS].into() }),
            suspected: Notify::new(),
            turn: AtomicUsize::new(0),
        });
        cluster.refresh().await?;
        try_join_all(cluster.primaries().iter().map(|primary| primary.connect())).await?;
        Ok(cluster)
    }

    /// The primary of a slot; none where nobody is known to serve it.
    pub(super) fn primary(&self, slot: usize) -> Option<Arc<Primary>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.primaries.get(usize::from(*map.slots.get(slot)?)).map(Arc::clone)
    }

    /// A slot of each primary that has any, each time another.
    pub(super) fn some_slots(&self) -> Vec<usize> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let middle = random::below(SLOTS);
        let mut found = HashMap::new();
        for (slot, at) in map.slots.iter().enumerate().cycle().skip(middle).take(SLOTS).filter(|(_, at)| **at != u16::MAX) {
            found.entry(*at).or_insert(slot);
        }
        found.into_values().collect()
    }

    /// The primary at that place, though it may hold no slot yet.
    pub(super) fn at(&self, node: &Node) -> Arc<Primary> {
        self.map.write().unwrap_or_else(PoisonError::into_inner).at(node, |node| self.new_primary(node)).1
    }

    /// A node said that this slot is served there now.
    pub(super) fn moved(&self, slot: usize, node: &Node) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let (at, _) = map.at(node, |node| self.new_primary(node));
        if let Some(held) = map.slots.get_mut(slot) {
            *held = at;
        }
        drop(map);
        self.suspect();
    }

    /// Something hints that the map is wrong: it is learnt anew, soon.
    pub(super) fn suspect(&self) {
        self.suspected.notify_one();
    }

    /// Keeps the map true.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            drop(tokio::time::timeout(jittered(EVERY), self.suspected.notified()).await);
            // Whom it cannot learn from now, it asks again: what hints at a wrong map then comes again too.
            drop(self.refresh().await);
            tokio::time::sleep(jittered(PAUSE)).await;
        }
    }

    /// Learns the map anew. The nodes that are asked change from time to time, until some answer.
    pub(super) async fn refresh(&self) -> Result<View, Refusal> {
        let known: Vec<Node> = self.primaries().iter().filter_map(|primary| primary.node().cloned()).collect();
        let mut seen = HashSet::new();
        let mut nodes: Vec<&Node> = known.iter().chain(&self.seeds).filter(|node| seen.insert(*node)).collect();
        // The seeds last: some may have been of another cluster for long.
        let turn = self.turn.fetch_add(ASKED, Ordering::Relaxed);
        if let Some(known) = nodes.get_mut(..known.len()).filter(|known| !known.is_empty()) {
            let middle = turn % known.len();
            known.rotate_left(middle);
        }
        let mut why = Refusal::Lost("no node of Redis Cluster can be reached: do they run at the addresses given?");
        for some in nodes.chunks(ASKED) {
            match self.views(some).await {
                Ok(view) => {
                    self.install(&view);
                    return Ok(view);
                }
                Err(refused) => why = refused,
            }
        }
        Err(why)
    }

    /// The best view of those nodes: of one that finds the cluster in order rather than of another, then the newest.
    async fn views(&self, nodes: &[&Node]) -> Result<View, Refusal> {
        let questions = shards::questions();
        let mut answers: FuturesUnordered<_> = nodes
            .iter()
            .map(async |&node| {
                let answers = self.probes.of(node).ask(&questions, self.settings.connect_timeout).await?;
                shards::view(&answers, node, self.door.is_tls())
            })
            .collect();
        let (mut views, mut why) = (Vec::new(), Refusal::Unknown);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(view) => views.push(view),
                Err(refused) => why = refused,
            }
            if 2 * views.len() > nodes.len() {
                break;
            }
        }
        views.into_iter().max_by_key(|view| (view.ok, view.epoch)).ok_or(why)
    }

    fn install(&self, view: &View) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Map { primaries: Vec::new(), slots: [u16::MAX; SLOTS].into() };
        for shard in &view.shards {
            let Some(primary) = shard.members.iter().find(|member| member.primary) else { continue };
            let (at, _) = next.at(&primary.node, |node| map.find(node).unwrap_or_else(|| self.new_primary(node)));
            for (first, last) in &shard.slots {
                if let Some(slots) = next.slots.get_mut(*first..=*last) {
                    slots.fill(at);
                }
            }
        }
        *map = next;
        drop(map);
        let members = view.shards.iter().flat_map(|shard| &shard.members).map(|member| &member.node);
        self.probes.keep(&members.chain(&self.seeds).collect::<Vec<_>>());
    }

    /// All that are known.
    pub(super) fn primaries(&self) -> Vec<Arc<Primary>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).primaries.clone()
    }

    fn new_primary(&self, node: &Node) -> Arc<Primary> {
        Primary::new(Target { place: Place::Fixed(node.clone()), door: Arc::clone(&self.door) }, &self.settings)
    }
}

impl Map {
    fn find(&self, node: &Node) -> Option<Arc<Primary>> {
        self.primaries.iter().find(|primary| primary.node() == Some(node)).map(Arc::clone)
    }

    /// The primary of that node and its place, made where it is new.
    fn at(&mut self, node: &Node, make: impl FnOnce(&Node) -> Arc<Primary>) -> (u16, Arc<Primary>) {
        let known = self.primaries.iter().position(|primary| primary.node() == Some(node));
        let at = known.unwrap_or(self.primaries.len());
        let primary = self.primaries.get(at).map_or_else(|| make(node), Arc::clone);
        if known.is_none() {
            self.primaries.push(Arc::clone(&primary));
        }
        (u16::try_from(at).unwrap_or(u16::MAX), primary)
    }
}

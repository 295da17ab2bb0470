//! A cluster: every node that one of them tells of is asked, how it is and how it finds the others.

use super::judge::{Server, silence};
use super::{Asked, Examination, WRITTEN, transport, trip, unreached, user, write};
use crate::store::Diagnosis;
use crate::store::redis::address::Node;
use crate::store::redis::reply::{Refusal, field};
use crate::store::redis::shards::{self, View};
use crate::store::redis::slot::{self, SLOTS};
use std::collections::BTreeMap;

/// After which silence a node is taken to be down.
pub(super) const NODE_TIMEOUT: &str = "cluster-node-timeout";
/// Whether all slots must be served for any to be.
pub(super) const FULL_COVERAGE: &str = "cluster-require-full-coverage";
/// With fewer primaries no majority is left when one fails.
const FEWEST: usize = 3;

/// A node that answered, and how it finds the cluster.
struct Met {
    asked: Asked,
    server: Server,
    view: Result<View, Refusal>,
}

/// The nodes that answered, each once, though it may be known by several names.
#[derive(Default)]
struct Nodes {
    met: Vec<Met>,
    /// The place of each among them.
    places: BTreeMap<Node, Option<usize>>,
}

/// Asks the seeds, whom they tell of, and so on.
pub(super) async fn examine(examination: &Examination<'_>, seeds: &[Node]) -> Vec<Diagnosis> {
    let (mut nodes, mut all) = (Nodes::default(), Vec::new());
    let mut waiting: Vec<Node> = seeds.iter().rev().cloned().collect();
    while let Some(node) = waiting.pop() {
        if nodes.places.contains_key(&node) {
            continue;
        }
        let place = match meet(examination, &node).await {
            Ok(met) => {
                if let Ok(view) = &met.view {
                    waiting.extend(view.shards.iter().flat_map(|shard| &shard.members).map(|member| member.node.clone()));
                    waiting.extend(view.shards.iter().flat_map(|shard| shard.down.iter().cloned()));
                }
                let (place, is_new) = nodes.add(met);
                all.extend(is_new.then(|| transport(&examination.door, &node)));
                Some(place)
            }
            Err(why) => {
                all.push(unreached(&node, why));
                None
            }
        };
        nodes.places.insert(node, place);
    }
    all.extend(nodes.newest().map(primaries));
    for (place, met) in nodes.met.iter().enumerate() {
        all.extend(nodes.judged(place, met, examination.expected.replicas).await);
    }
    all
}

async fn meet(examination: &Examination<'_>, node: &Node) -> Result<Met, Refusal> {
    let (asked, server) = examination.ask(node).await?;
    let answers = asked.all_answers(&shards::questions()).await;
    let view = answers.and_then(|answers| shards::view(&answers, node, examination.door.is_tls()));
    Ok(Met { asked, server, view })
}

impl Nodes {
    /// Its place, and whether it was not met before under another name.
    fn add(&mut self, met: Met) -> (usize, bool) {
        let run_id = |met: &Met| field(&met.server.info, "run_id").map(str::to_owned);
        match self.met.iter().position(|known| run_id(known) == run_id(&met)) {
            Some(place) => (place, false),
            None => {
                self.met.push(met);
                (self.met.len() - 1, true)
            }
        }
    }

    fn is(&self, node: &Node, place: usize) -> bool {
        self.places.get(node) == Some(&Some(place))
    }

    /// The view of who has heard the latest.
    fn newest(&self) -> Option<&View> {
        self.met.iter().filter_map(|met| met.view.as_ref().ok()).max_by_key(|view| view.epoch)
    }

    async fn judged(&self, place: usize, met: &Met, replicas: u32) -> Vec<Diagnosis> {
        let Met { asked, server, view } = met;
        let mut all = server.of_any();
        all.extend(user(asked).await);
        let view = match view {
            Ok(view) => view,
            Err(why) => {
                let advice = "begin the address as what the server is, and give the user +cluster|shards +cluster|info: jeton learns \
                              there which node serves what";
                all.push(server.fail("cluster", why.into_error().to_string(), advice));
                return all;
            }
        };
        all.push(finds(view, &server.name, self.newest().map_or(0, |newest| newest.epoch)));
        all.extend(server.of_member());
        let own = view.shards.iter().find(|shard| shard.members.iter().any(|member| self.is(&member.node, place)));
        if !server.is("role", "master") {
            let primary = own.and_then(|own| own.members.iter().find(|member| member.primary));
            let primary = primary.and_then(|primary| self.met.get((*self.places.get(&primary.node)?)?));
            all.extend(server.of_replica(primary.map(|primary| &primary.server)));
            return all;
        }
        let Some(own) = own.filter(|own| !own.slots.is_empty()) else {
            let advice = "give it slots, or make it a replica: so it serves nothing, and nobody's place is taken by it";
            all.push(server.warn("role", "it is a primary without slots", advice));
            return all;
        };
        all.extend(server.of_primary(replicas, true));
        all.push(trip(asked).await);
        all.push(write(asked, &key_in(&own.slots), replicas).await);
        all
    }
}

/// A name in one of these slots, under which something may be written.
fn key_in(slots: &[(usize, usize)]) -> String {
    let is_there = |key: &String| slots.iter().any(|(first, last)| (*first..=*last).contains(&slot::of(key)));
    let numbered = (0..u32::MAX).map(|number| WRITTEN.replace('}', &format!("{number}}}")));
    [WRITTEN.to_owned()].into_iter().chain(numbered).find(is_there).unwrap_or_default()
}

fn primaries(view: &View) -> Diagnosis {
    const CHECK: &str = "primaries";
    let count = view.shards.iter().filter(|shard| !shard.slots.is_empty()).count();
    let found = format!("{count} share the slots");
    if count < FEWEST {
        let advice = "spread the slots over three or more, on machines of their own: with fewer no majority is left when one fails, and no \
                      replica takes over";
        return Diagnosis::fail(CHECK, "", found, advice);
    }
    Diagnosis::ok(CHECK, "", found)
}

/// How a node finds the cluster, where the newest epoch that any has heard of is that.
fn finds(view: &View, at: &str, newest: u64) -> Diagnosis {
    const CHECK: &str = "cluster";
    let unserved = unserved(view);
    if !unserved.is_empty() {
        return Diagnosis::fail(
            CHECK,
            at,
            format!("it finds nobody who serves the slots {}", unserved.join(", ")),
            "bring back their primary or a replica of it, or give them to another (`redis-cli --cluster fix`): all names in them are \
             unavailable",
        );
    }
    if !view.ok || view.served < SLOTS {
        return Diagnosis::fail(
            CHECK,
            at,
            format!("it finds the cluster down: {} of {SLOTS} slots are served", view.served),
            "let all nodes reach each other, at the cluster's own port too, and bring back those that are down",
        );
    }
    if view.epoch < newest {
        return Diagnosis::warn(
            CHECK,
            at,
            format!("it has heard of epoch {} and others of {newest}", view.epoch),
            "run this again in some seconds; if it stays so, it does not hear of the others, and sends jeton to nodes of the past",
        );
    }
    Diagnosis::ok(CHECK, at, format!("all {SLOTS} slots are served, epoch {newest}"))
}

/// The slots without a primary that is up, as ranges.
fn unserved(view: &View) -> Vec<String> {
    let served = view.shards.iter().filter(|shard| shard.members.iter().any(|member| member.primary));
    let mut ranges: Vec<(usize, usize)> = served.flat_map(|shard| shard.slots.iter().copied()).collect();
    ranges.sort_unstable();
    ranges.push((SLOTS, SLOTS));
    let (mut next, mut gaps) = (0, Vec::new());
    for (first, last) in ranges {
        if first > next {
            gaps.push(if first == next + 1 { next.to_string() } else { format!("{next}-{}", first - 1) });
        }
        next = next.max(last + 1);
    }
    gaps
}

impl Server {
    /// The settings of a node, where the user may see them.
    fn of_member(&self) -> Vec<Diagnosis> {
        let timeout = self.setting(NODE_TIMEOUT).and_then(|millis| millis.parse().ok());
        let coverage = self.setting(FULL_COVERAGE).map(|whole| match whole {
            "no" => self.ok(FULL_COVERAGE, "no: what is lost stops nothing else"),
            _ => self.warn(
                FULL_COVERAGE,
                "every slot must be served for any to be",
                "set cluster-require-full-coverage no: else one primary that is lost with its replicas stops all the others, and nobody \
                 is signed out or in",
            ),
        });
        timeout.map(|millis| silence(NODE_TIMEOUT, &self.name, millis)).into_iter().chain(coverage).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge::tests::server;
    use super::*;
    use crate::store::Verdict::{self, Fail, Ok as Well, Warn};
    use crate::store::redis::shards::{Member, Shard};

    fn view(ranges: &[(usize, usize)]) -> View {
        let members = |port| vec![Member { node: Node::new("h", port), primary: true }];
        let shards =
            ranges.iter().zip(1..).map(|(range, port)| Shard { slots: vec![*range], members: members(port), down: Vec::new() });
        View { ok: true, served: SLOTS, epoch: 7, shards: shards.collect() }
    }

    #[test]
    fn how_a_node_finds_the_cluster_is_told() {
        let whole = [(10_923, 16_383), (0, 5_461), (5_462, 10_922)];
        let found = |view: &View| finds(view, "h:1", 7).verdict;
        assert_eq!(found(&view(&whole)), Well);
        assert_eq!(found(&View { epoch: 6, ..view(&whole) }), Warn);
        assert_eq!(found(&View { ok: false, ..view(&whole) }), Fail);
        assert_eq!(found(&View { served: 16_383, ..view(&whole) }), Fail);
        assert_eq!(unserved(&view(&[(1, 5_461), (5_463, 16_382)])), ["0", "5462", "16383"]);
        let mut lost = view(&whole);
        lost.shards[1].members.clear();
        assert_eq!(unserved(&lost), ["0-5461"]);
        assert_eq!(found(&lost), Fail);
        assert_eq!(primaries(&view(&whole)).verdict, Well);
        assert_eq!(primaries(&view(&[(0, 8_000), (8_001, 16_383)])).verdict, Fail);
    }

    #[test]
    fn the_settings_of_a_node_are_judged() {
        let told = |timeout: &str, coverage: &str| {
            let all = server(&[], &[(NODE_TIMEOUT, timeout), (FULL_COVERAGE, coverage)]).of_member();
            all.into_iter().filter(|one| one.verdict != Well).map(|one| (one.check, one.verdict)).collect::<Vec<_>>()
        };
        let none: Vec<(&str, Verdict)> = Vec::new();
        assert_eq!(told("5000", "no"), none);
        assert_eq!(told("300", "no"), [(NODE_TIMEOUT, Fail)]);
        assert_eq!(told("60000", "no"), [(NODE_TIMEOUT, Warn)]);
        assert_eq!(told("15000", "yes"), [(FULL_COVERAGE, Warn)]);
        assert_eq!(server(&[], &[]).of_member().len(), 0, "what is not seen is told once, as not seen");
    }

    #[test]
    fn a_name_is_found_in_every_slot() {
        for slot in [0, 8_191, 16_383] {
            let key = key_in(&[(slot, slot)]);
            assert!(key.starts_with("jeton:{doctor") && slot::of(&key) == slot, "{key}");
        }
        assert_eq!(key_in(&[(0, SLOTS - 1)]), WRITTEN);
    }
}

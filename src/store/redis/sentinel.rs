//! Who is primary, by what the Sentinels say (<https://redis.io/docs/reference/sentinel-clients/>). Nothing is remembered but what most of
//! them said last, and how often that changed, so that connections to who is primary no longer are given up (`Place::term`).

use super::address::Node;
use super::link::jittered;
use super::probe::Probe;
use super::reply::{self, Refusal};
use super::wire::Door;
use ::redis::{Pipeline, Value};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often they are asked whether another is primary by now, at the most: each pause is between half of it and the whole.
const EVERY: Duration = Duration::from_secs(1);

/// The Sentinels of one primary.
pub(super) struct Sentinels {
    name: String,
    probes: Vec<Arc<Probe>>,
    /// One that is down must not keep the others' answer from being used within the time-out for connecting.
    patience: Duration,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    primary: Option<Node>,
    term: u64,
}

/// What all that answered in time said.
pub(super) struct Said {
    /// Who was named, and by how many; most often named first.
    pub(super) named: Vec<(Node, usize)>,
    /// Why others named nobody.
    pub(super) silent: Vec<(Node, Refusal)>,
}

impl Sentinels {
    pub(super) fn new(name: &str, nodes: &[Node], door: &Arc<Door>, connect_timeout: Duration) -> Arc<Self> {
        let probes = nodes.iter().map(|node| Probe::new(node.clone(), Arc::clone(door))).collect();
        Arc::new(Self { name: name.to_owned(), probes, patience: connect_timeout / 2, last: Mutex::default() })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.probes.len()
    }

    /// The primary, and the number of its term in our eyes.
    pub(super) async fn primary(&self) -> Result<(Node, u64), Refusal> {
        self.learn(&self.ask(true).await)
    }

    /// Counts how often another was named.
    pub(super) fn term(&self) -> u64 {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).term
    }

    /// Asks again and again, so that a switch is seen that broke no connection of ours: the old primary may live on, cut off from the
    /// others.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(jittered(EVERY)).await;
            // Who named nobody says nothing: where the primary was, it is.
            drop(self.primary().await);
        }
    }

    /// Asks all at once; where `hastily`, until most agree.
    pub(super) async fn ask(&self, hastily: bool) -> Said {
        let mut question = Pipeline::with_capacity(1);
        question.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name);
        let mut answers: FuturesUnordered<_> = self
            .probes
            .iter()
            .map(async |probe| (probe, probe.ask(&question, self.patience).await.and_then(|answer| named(&answer))))
            .collect();
        let mut said = Said { named: Vec::new(), silent: Vec::new() };
        while let Some((probe, answer)) = answers.next().await {
            match answer {
                Err(why) => said.silent.push((probe.node.clone(), why)),
                Ok(node) => match said.named.iter_mut().find(|(known, _)| *known == node) {
                    Some((_, votes)) => *votes += 1,
                    None => said.named.push((node, 1)),
                },
            }
            said.named.sort_by_key(|(_, votes)| std::cmp::Reverse(*votes));
            if hastily && said.named.first().is_some_and(|(_, votes)| self.is_most(*votes)) {
                break;
            }
        }
        said
    }

    /// Whether so many are more than half of all.
    pub(super) fn is_most(&self, votes: usize) -> bool {
        2 * votes > self.probes.len()
    }

    /// Once a primary is known, only most of all Sentinels make us take another for it: a few that were cut off name one of the past.
    fn learn(&self, said: &Said) -> Result<(Node, u64), Refusal> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let named = said.named.first().filter(|(_, votes)| last.primary.is_none() || self.is_most(*votes)).map(|(node, _)| node);
        if let Some(node) = named.filter(|node| last.primary.as_ref() != Some(node)) {
            last.primary = Some(node.clone());
            last.term += 1;
        }
        let silence = said.silent.first().map_or(Refusal::Lost(UNREACHABLE), |(_, why)| *why);
        last.primary.clone().map(|node| (node, last.term)).ok_or(silence)
    }
}

const UNREACHABLE: &str = "no Sentinel can be reached: do they run at the addresses given?";

/// Host and port, or nothing where the Sentinel does not know the name.
fn named(answers: &[Value]) -> Result<Node, Refusal> {
    let [answer] = answers else { return Err(Refusal::Unknown) };
    match answer {
        Value::Nil => {
            Err(Refusal::Unfit("the Sentinels know no primary by the name in the address: see `sentinel monitor` there"))
        }
        Value::Array(parts) => match parts.as_slice() {
            [host, port] => {
                let text = |value| reply::text(value).map_err(|_foreign| Refusal::Unknown);
                Ok(Node::new(text(host)?, text(port)?.parse().map_err(|_word| Refusal::Unknown)?))
            }
            _ => Err(Refusal::Unknown),
        },
        _ => Err(Refusal::Unknown),
    }
}

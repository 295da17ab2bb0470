//! A connection to a server of any kind, for questions about itself: who is primary, who has which slot, how are you. Made when it is
//! asked for and kept. Requests never go over it.

use super::address::Node;
use super::reply::{Refusal, refusal};
use super::wire::{Door, Wire};
use ::redis::{Pipeline, Value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// One server to ask.
pub(super) struct Probe {
    pub(super) node: Node,
    door: Arc<Door>,
    wire: Mutex<Option<Arc<Wire>>>,
}

impl Probe {
    pub(super) fn new(node: Node, door: Arc<Door>) -> Arc<Self> {
        Arc::new(Self { node, door, wire: Mutex::new(None) })
    }

    /// The answers, if all are given, and that soon.
    pub(super) async fn ask(&self, questions: &Pipeline, within: Duration) -> Result<Vec<Value>, Refusal> {
        let Ok(answered) = timeout(within, self.answers(questions)).await else {
            self.forget();
            return Err(self.door.silence());
        };
        if answered.is_err() {
            self.forget();
        }
        let answers = answered?;
        match answers.iter().find_map(|answer| if let Value::ServerError(error) = answer { Some(error) } else { None }) {
            Some(error) => Err(refusal(error)),
            None => Ok(answers),
        }
    }

    async fn answers(&self, questions: &Pipeline) -> Result<Vec<Value>, Refusal> {
        let wire = {
            let mut held = self.wire.lock().await;
            match &*held {
                Some(wire) if !wire.is_closed() => Arc::clone(wire),
                _ => Arc::clone(held.insert(Arc::new(self.door.enter(&self.node).await?))),
            }
        };
        let mut connection = wire.connection.clone();
        connection.send_packed_commands(questions, 0, questions.len()).await.map_err(|error| Refusal::lost(&error))
    }

    fn forget(&self) {
        // Who holds it is making another.
        if let Ok(mut held) = self.wire.try_lock() {
            *held = None;
        }
    }
}

/// The probes of all servers with data that were met.
pub(super) struct Probes {
    door: Arc<Door>,
    known: StdMutex<HashMap<Node, Arc<Probe>>>,
}

impl Probes {
    pub(super) fn new(door: Arc<Door>) -> Self {
        Self { door, known: StdMutex::default() }
    }

    /// That of this node.
    pub(super) fn of(&self, node: &Node) -> Arc<Probe> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(node.clone()).or_insert_with(|| Probe::new(node.clone(), Arc::clone(&self.door))))
    }

    /// Forgets nodes that are not of the deployment any more.
    pub(super) fn keep(&self, nodes: &[&Node]) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|node, _| nodes.contains(&node));
    }
}

//! One connection to one primary: where it is now, and what was learnt of it before anything else goes over the connection. Not when
//! it is made anew (`link`), nor what is asked over it.

use super::address::Node;
use super::library;
use super::piece::Piece;
use super::reply::{self, Refusal, refusal};
use super::sentinel::Sentinels;
use super::wire::{Door, Wire};
use ::redis::aio::MultiplexedConnection;
use ::redis::{Pipeline, Value};
use jeton_domain::id::Identity;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a primary is and how it is entered: all that a connection to it needs.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) place: Place,
    pub(super) door: Arc<Door>,
}

/// Where a primary is.
#[derive(Clone)]
pub(super) enum Place {
    /// Always there.
    Fixed(Node),
    /// Where the Sentinels say, each time.
    Named(Arc<Sentinels>),
}

/// A connection that was made. Ends when the last request that uses it is done.
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    wire: Wire,
    /// In which term of its place it was made.
    term: u64,
    /// The process at the other end: it cannot change under a connection.
    run_id: String,
    /// What the last answer that carried it said; the replication id may change under a connection.
    identity: AtomicU64,
}

impl Place {
    async fn find(&self) -> Result<(Node, u64), Refusal> {
        match self {
            Self::Fixed(node) => Ok((node.clone(), 0)),
            Self::Named(sentinels) => sentinels.primary().await,
        }
    }

    /// Changes when the primary is another.
    fn term(&self) -> u64 {
        match self {
            Self::Fixed(_) => 0,
            Self::Named(sentinels) => sentinels.term(),
        }
    }
}

impl Target {
    /// Finds the primary, connects, loads the library where it is absent, and learns who answers. Bounded by the caller.
    pub(super) async fn open(&self) -> Result<Live, Refusal> {
        let (node, term) = self.place.find().await?;
        let wire = self.door.enter(&node).await?;
        let mut connection = wire.connection.clone();
        let hello = match hello(&mut connection).await {
            Err(Refusal::NoFunction) => {
                library::load(&mut connection).await?;
                hello(&mut connection).await?
            }
            known => known?,
        };
        if hello.role != "master" {
            return Err(Refusal::NoPrimary("this Redis is a replica; jeton needs the primary"));
        }
        if hello.evicts {
            return Err(Refusal::Unfit(
                "Redis would drop revocations when memory is short: set its maxmemory-policy to noeviction",
            ));
        }
        let identity = AtomicU64::new(u64::from_be_bytes(reply::identity(&hello.replid, &hello.run_id).0));
        Ok(Live { connection, wire, term, run_id: hello.run_id, identity })
    }

    /// Whether that connection is of use: open, and to who is the primary as far as we know.
    pub(super) fn holds(&self, live: &Live) -> bool {
        !live.wire.is_closed() && live.term == self.place.term()
    }
}

impl Live {
    /// Sends once: the answers, which are to just this. Not bounded in time.
    pub(super) async fn ask(&self, piece: &Piece) -> Result<Vec<Value>, Refusal> {
        piece.send(&self.connection).await
    }

    /// The process at the other end.
    pub(super) fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The primary as last learnt.
    pub(super) fn identity(&self) -> Identity {
        Identity(self.identity.load(Ordering::Acquire).to_be_bytes())
    }

    /// An answer carried this replication id.
    pub(super) fn learn(&self, replid: &str) -> Identity {
        let identity = reply::identity(replid, &self.run_id);
        self.identity.store(u64::from_be_bytes(identity.0), Ordering::Release);
        identity
    }
}

/// What a server says of itself.
struct Hello {
    role: String,
    replid: String,
    run_id: String,
    evicts: bool,
}

async fn hello(connection: &mut MultiplexedConnection) -> Result<Hello, Refusal> {
    let mut questions = Pipeline::with_capacity(2);
    questions.add_command(library::call(library::HELLO, 0, 0)).cmd("INFO").arg("memory");
    let answers = connection.send_packed_commands(&questions, 0, 2).await.map_err(|error| Refusal::lost(&error))?;
    let parts = match answers.as_slice() {
        [Value::ServerError(error), _] | [_, Value::ServerError(error)] => return Err(refusal(error)),
        [Value::Array(parts), memory] => parts.iter().chain([memory]).map(reply::text).collect::<Result<Vec<_>, _>>(),
        _ => return Err(Refusal::Unknown),
    };
    let parts = parts.map_err(|_foreign| Refusal::Unknown)?;
    let [role, replid, run_id, memory] = parts.as_slice() else { return Err(Refusal::Unknown) };
    let evicts = reply::field(memory, "maxmemory_policy") != Some("noeviction");
    Ok(Hello { role: (*role).to_owned(), replid: (*replid).to_owned(), run_id: (*run_id).to_owned(), evicts })
}

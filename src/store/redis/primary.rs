//! One primary and the connections to it. Not which keys it holds (`topology`).

use super::Settings;
use super::address::Node;
use super::connection::{Live, Place, Target};
use super::link::{Link, Request};
use super::reply::Refusal;
use ::redis::{Cmd, Pipeline, RedisResult, ServerError, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A primary. All its links go to the same target; a link of another kind to it is made of that target too, here.
pub(super) struct Primary {
    target: Target,
    links: Box<[Arc<Link>]>,
    next: AtomicUsize,
}

impl Primary {
    /// Not connected yet.
    pub(super) fn new(target: Target, settings: &Settings) -> Arc<Self> {
        let link = |_| Link::new(target.clone(), settings.connect_timeout, settings.response_timeout);
        let links = (0..settings.connections.get()).map(link).collect();
        Arc::new(Self { target, links, next: AtomicUsize::new(0) })
    }

    /// Connects now, whatever is not.
    pub(super) async fn connect(&self) -> Result<(), Refusal> {
        for link in &self.links {
            link.connect().await?;
        }
        Ok(())
    }

    /// Its place, where that is always the same.
    pub(super) const fn node(&self) -> Option<&Node> {
        match &self.target.place {
            Place::Fixed(node) => Some(node),
            Place::Named(_) => None,
        }
    }

    /// Sends once over one of the links that requests are spread over: the next in turn, but none that pauses while another does not.
    /// See `Link::send`.
    pub(super) async fn send<R: Request>(&self, request: &R) -> Result<(R::Answer, Arc<Live>), Refusal> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.links.len().max(1);
        let mut in_turn = self.links.iter().cycle().skip(turn).take(self.links.len());
        let link = in_turn.find(|link| !link.pauses()).or(self.links.get(turn));
        link.ok_or(Refusal::Unknown)?.send(request).await
    }
}

/// A command of a slot that is being moved to the node it is sent to, which else would send us back.
pub(super) struct Asking<'a>(pub(super) &'a Cmd);

impl Request for Asking<'_> {
    type Answer = Value;

    async fn send(&self, live: &Live) -> RedisResult<Value> {
        let mut both = Pipeline::with_capacity(2);
        both.cmd("ASKING").add_command(self.0.clone());
        let answers = live.connection.clone().send_packed_commands(&both, 0, 2).await?;
        let refused = answers.iter().position(|answer| Self::refused(answer).is_some());
        Ok(answers.into_iter().nth(refused.unwrap_or(1)).unwrap_or_default())
    }

    fn refused(answer: &Value) -> Option<&ServerError> {
        super::link::server_error(answer)
    }
}

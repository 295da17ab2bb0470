//! One primary and the connections to it. Not which keys it holds (`topology`).

use super::Settings;
use super::address::Node;
use super::connection::{Live, Place, Target};
use super::library::Call;
use super::link::{Link, Request};
use super::reply::Refusal;
use super::writer::{Wait, Writer, Written};
use ::redis::{Cmd, ServerError, Value};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// For how long a primary is asked to wait for a new entry of the log, before it is asked again.
pub(super) const LISTENING: Duration = Duration::from_millis(500);

/// A primary. All its links go to the same target.
pub(super) struct Primary {
    target: Target,
    links: Box<[Arc<Link>]>,
    next: AtomicUsize,
    /// None where nothing waits for replicas.
    writer: Option<Writer>,
    /// On it requests wait for something to happen, so that no other may go over it.
    listening: Arc<Link>,
}

impl Primary {
    /// Not connected yet.
    pub(super) fn new(target: Target, settings: &Settings) -> Arc<Self> {
        let Settings { connect_timeout, response_timeout, connections, replicas, wait_timeout } = *settings;
        let link = |timeout| Link::new(target.clone(), connect_timeout, timeout);
        let links = (0..connections.get()).map(|_| link(response_timeout)).collect();
        let listening = link(LISTENING.saturating_add(response_timeout));
        let patience = wait_timeout.saturating_add(response_timeout);
        let wait = Wait { replicas, timeout: wait_timeout, patience };
        let writer = (replicas > 0).then(|| Writer::start(link(patience), wait));
        Arc::new(Self { target, links, next: AtomicUsize::new(0), writer, listening })
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

    /// Writes, and waits for its replicas where that is configured. `asking`: see [`Asking`].
    pub(super) async fn write(&self, call: &Call, asking: bool) -> Result<Written, Refusal> {
        match &self.writer {
            Some(writer) => writer.write(call.clone(), asking).await,
            None if asking => self.send(&Asking(call)).await.map(Written::applied),
            None => self.send(call).await.map(Written::applied),
        }
    }

    /// Sends what waits for something to happen, at most for [`LISTENING`].
    pub(super) async fn listen(&self, cmd: &Cmd) -> Result<Value, Refusal> {
        self.listening.send(cmd).await.map(|(answer, _)| answer)
    }
}

/// A command of a slot that is being moved to the node it is sent to, which else would send us back.
pub(super) struct Asking<'a, R>(pub(super) &'a R);

/// A command that is sent behind another, as one piece.
pub(super) trait Command: Request<Answer = Value> {
    /// As it goes over that connection.
    fn over(&self, live: &Live) -> Cow<'_, Cmd>;
}

impl Command for Cmd {
    fn over(&self, _live: &Live) -> Cow<'_, Cmd> {
        Cow::Borrowed(self)
    }
}

impl Command for Call {
    fn over(&self, live: &Live) -> Cow<'_, Cmd> {
        Self::over(self, live)
    }
}

impl<R: Command> Request for Asking<'_, R> {
    type Answer = Value;

    async fn send(&self, live: &Live) -> Result<Value, Refusal> {
        let both = [::redis::cmd("ASKING"), self.0.over(live).into_owned()];
        let answers = live.ask(&both.into_iter().collect()).await?;
        let refused = answers.iter().position(|answer| Self::refused(answer).is_some());
        Ok(answers.into_iter().nth(refused.unwrap_or(1)).unwrap_or_default())
    }

    fn refused(answer: &Value) -> Option<&ServerError> {
        super::link::server_error(answer)
    }
}

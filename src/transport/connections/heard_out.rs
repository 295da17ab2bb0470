//! Who is answered before all that he sends has come is heard out: a refusal needs no message, but the message is on its way.
//!
//! A stream that is answered and given up is soon forgotten; what comes for it then counts as a mistake of the peer, and some hundred of those
//! end the connection with all calls on it, in a busy hour those of a gateway that made none.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// What takes longer or is more is not heard: it is no single message, or of somebody who means to keep us.
const WITHIN: Duration = Duration::from_secs(5);
const AT_MOST_BYTES: usize = 64 * 1024;

/// The body of a request over HTTP/2. What was not read of it when it is given up is read then, and forgotten.
#[derive(Debug)]
pub struct HeardOut {
    body: Option<Incoming>,
    tasks: TaskTracker,
}

impl HeardOut {
    /// Heard out by one of these tasks, where it has not come by then.
    pub const fn new(body: Incoming, tasks: TaskTracker) -> Self {
        Self { body: Some(body), tasks }
    }
}

impl Body for HeardOut {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl Drop for HeardOut {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        let mut rest = Rest { body, bytes: 0 };
        // Mostly it is here already.
        if rest.poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            let heard = async move { std::future::poll_fn(|context| rest.poll(context)).await };
            self.tasks.spawn_on(async { drop(tokio::time::timeout(WITHIN, heard).await) }, &runtime);
        }
    }
}

struct Rest {
    body: Incoming,
    bytes: usize,
}

impl Rest {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => self.bytes = self.bytes.saturating_add(frame.data_ref().map_or(0, Bytes::len)),
                Some(Err(_)) | None => return Poll::Ready(()),
            }
            if self.bytes > AT_MOST_BYTES {
                return Poll::Ready(());
            }
        }
    }
}

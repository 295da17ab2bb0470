//! Streams that anybody may open: the watch of health, and reflection. No deadline ends them, so they have places of their own, and end
//! when the server does.

use super::status;
use crate::telemetry::limits::STREAMS_OF_STRANGERS;
use crate::transport::fault::Fault;
use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::Either;
use jeton_domain::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::body::Body;

/// The most at once; the next is refused as `OVERLOADED`.
const MOST: usize = 1_024;

/// The streams that there are.
pub struct Strangers {
    places: Arc<Semaphore>,
    over: CancellationToken,
}

impl Strangers {
    /// Until `over`.
    pub fn new(over: &CancellationToken) -> Self {
        Self { places: Arc::new(Semaphore::new(MOST)), over: over.clone() }
    }

    /// The answer, whose body has a place until it ends or nobody reads it any more.
    ///
    /// # Errors
    /// `Overloaded`: all are taken.
    pub async fn hold<L>(
        &self,
        answer: impl Future<Output = Response<Either<L, Body>>>,
    ) -> Result<Response<Either<L, Body>>, Fault> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            STREAMS_OF_STRANGERS.exceeded(|| "all over grpc".into(), None);
            return Err(Fault::of(&Error::Overloaded));
        };
        let over = Box::pin(self.over.clone().cancelled_owned());
        Ok(answer.await.map(|body| match body {
            Either::Right(body) => Either::Right(Body::new(Held { body: Some(body), over, _place: place })),
            left @ Either::Left(_) => left,
        }))
    }
}

/// What is told to the end, or until the server ends.
struct Held {
    /// None: it was ended.
    body: Option<Body>,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: OwnedSemaphorePermit,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let told = Pin::new(body).poll_frame(context);
        if told.is_pending() && self.over.as_mut().poll(context).is_ready() {
            self.body = None;
            let mut trailers = HeaderMap::new();
            let written = status::of(Fault::of(&Error::ShuttingDown)).add_header(&mut trailers);
            return Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))));
        }
        told
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }
}

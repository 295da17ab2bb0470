//! One plain message in, one out: what nearly every call is, without the machinery of streams.
//!
//! Lives here: the five bytes before a message, the frames of a request and of an answer (the gRPC protocol over HTTP/2). Must not live
//! here: messages that are compressed, or missing, or more than one; tonic answers those.

use super::MAX_REQUEST_BYTES;
use super::layers::GRPC_STATUS;
use crate::transport::fault::{Edge, Fault};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// One byte whether a message is compressed, four of its length.
const PREFIX_BYTES: usize = 5;
const STATUS: HeaderName = HeaderName::from_static(GRPC_STATUS);
const OK: HeaderValue = HeaderValue::from_static("0");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// All that a request's body holds. Mostly that came in one piece, which is not copied.
///
/// # Errors
/// It is larger than one message may be, or broke off.
pub async fn read<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Result<Bytes, Fault> {
    let (mut first, mut whole) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_broken| Fault::at(Edge::MessageMalformed))?.into_data() else { continue };
        if first.is_empty() {
            first = data;
        } else if !data.is_empty() {
            if whole.is_empty() {
                whole.put_slice(&first);
            }
            whole.put_slice(&data);
        }
        if first.len().max(whole.len()) > PREFIX_BYTES + MAX_REQUEST_BYTES {
            return Err(Fault::at(Edge::MessageTooLarge { limit: MAX_REQUEST_BYTES }));
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// The one message that a body holds; none where it holds anything else.
#[must_use]
pub fn message(body: &Bytes) -> Option<Bytes> {
    let mut message = body.clone();
    let is_plain = message.try_get_u8() == Ok(0);
    let length = usize::try_from(message.try_get_u32().ok()?).ok()?;
    (is_plain && length == message.len()).then_some(message)
}

/// An answer that is one message, which `write` writes, of about `bytes`.
pub fn answer(bytes: usize, write: impl FnOnce(&mut BytesMut)) -> Response<Unary> {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + bytes);
    framed.put_bytes(0, PREFIX_BYTES);
    write(&mut framed);
    let length = u32::try_from(framed.len() - PREFIX_BYTES).unwrap_or(u32::MAX);
    if let Some([_plain, prefix @ ..]) = framed.first_chunk_mut::<PREFIX_BYTES>() {
        *prefix = length.to_be_bytes();
    }
    let mut answer = Response::new(Unary { message: Some(framed.freeze()), ended: false });
    answer.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    answer
}

/// The body of an answer: its message, and that all went well.
#[derive(Debug)]
pub struct Unary {
    message: Option<Bytes>,
    ended: bool,
}

impl Body for Unary {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        self.ended = true;
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(STATUS, OK);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

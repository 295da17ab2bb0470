//! Who connects to speak HTTP/2 begins in time: nothing else ends a connection on which nothing is ever said.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// What a client of HTTP/2 says first has so many bytes (RFC 9113 section 3.4). From then on it is asked whether it is still there.
const PREFACE_BYTES: usize = 24;

/// A stream whose first bytes must come in time; after them it is as it was.
#[derive(Debug)]
pub struct Opening<S> {
    stream: S,
    awaited: Option<Awaited>,
}

#[derive(Debug)]
struct Awaited {
    bytes: usize,
    deadline: Pin<Box<Sleep>>,
}

impl<S> Opening<S> {
    /// The time runs from now on.
    pub fn within(time: Duration, stream: S) -> Self {
        Self { stream, awaited: Some(Awaited { bytes: PREFACE_BYTES, deadline: Box::pin(sleep(time)) }) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opening<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(awaited) = &mut self.awaited else { return read };
        awaited.bytes = awaited.bytes.saturating_sub(buffer.filled().len() - before);
        if awaited.bytes == 0 {
            self.awaited = None;
        } else if read.is_pending() && awaited.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long to begin")));
        }
        read
    }
}

/// Never writes vectors, as `Coalescing` says.
impl<S: AsyncWrite + Unpin> AsyncWrite for Opening<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const TIME: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn who_dribbles_the_first_bytes_is_given_up() {
        let (near, mut far) = tokio::io::duplex(64);
        let dribbling = async {
            for _ in 0..PREFACE_BYTES {
                sleep(Duration::from_secs(1)).await;
                far.write_all(b"P").await.unwrap();
            }
        };
        let mut opening = Opening::within(TIME, near);
        let mut read = Vec::new();
        tokio::select! {
            ended = opening.read_to_end(&mut read) => assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut),
            () = dribbling => panic!("it was waited for"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_began_in_time_may_be_silent() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut opening = Opening::within(TIME, near);
        far.write_all(&[7; PREFACE_BYTES]).await.unwrap();
        let mut read = [0; PREFACE_BYTES + 1];
        opening.read_exact(&mut read[..PREFACE_BYTES]).await.unwrap();
        sleep(TIME * 100).await;
        far.write_all(&[8]).await.unwrap();
        assert_eq!(opening.read_u8().await.unwrap(), 8);
    }
}

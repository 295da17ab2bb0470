//! A connection on which what several tasks have ready leaves in one system call. Both servers and clients use it.
//!
//! Must not live here: anything that knows what is sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection that lets a write wait for its turn once, and that says it cannot write vectors.
///
/// Waiting: whoever has something to send wakes the task that writes, and tokio runs a woken task next, before all others
/// that are ready. So each answer and each request to Redis would be a system call of its own, however many wait. Asked to
/// write, this connection therefore goes to the end of the queue first: those who are ready add theirs, and all of it
/// leaves at once. Where nobody else is ready that takes less than a microsecond.
///
/// Vectors: h2 copies an answer's data into its write buffer only below 256 bytes if the connection writes vectors, below
/// 1,024 if it does not; a larger one forces a system call of its own. Most of our answers lie between.
#[derive(Debug)]
pub struct Coalescing {
    stream: TcpStream,
    /// Others had their turn since the last write.
    waited: bool,
}

impl Coalescing {
    /// Wraps a connection, of either side.
    #[must_use]
    pub const fn new(stream: TcpStream) -> Self {
        Self { stream, waited: false }
    }

    /// The connection below.
    #[must_use]
    pub const fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsyncRead for Coalescing {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Coalescing {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.waited {
            self.waited = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        self.waited = false;
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    async fn pair() -> (Coalescing, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Coalescing::new(near), listener.accept().await.unwrap().0)
    }

    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn a_write_waits_once_wakes_its_task_and_then_happens() {
        let (mut near, mut far) = pair().await;
        near.stream.writable().await.unwrap();
        let wakes = Arc::new(Wakes(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        for _ in 0..2 {
            let before = wakes.0.load(Ordering::SeqCst);
            assert!(Pin::new(&mut near).poll_write(&mut context, b"one").is_pending());
            assert_eq!(wakes.0.load(Ordering::SeqCst), before + 1, "nobody else would wake it");
            assert!(matches!(Pin::new(&mut near).poll_write(&mut context, b"one, two"), Poll::Ready(Ok(8))));
        }
        let mut read = [0; 16];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"one, twoone, two");
    }

    #[tokio::test]
    async fn more_than_a_socket_takes_arrives_whole() {
        let (mut near, mut far) = pair().await;
        let sent = vec![7; 8 << 20];
        let reading = async {
            let mut read = Vec::new();
            far.read_to_end(&mut read).await.unwrap();
            read
        };
        let writing = async {
            near.write_all(&sent).await.unwrap();
            near.shutdown().await.unwrap();
        };
        let (read, ()) = tokio::join!(reading, writing);
        assert!(read == sent);
    }
}

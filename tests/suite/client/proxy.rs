//! The way between a client and a replica: it can be cut, mended, and made to lose replies. No tests here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The type of an HTTP/2 frame with which an answer begins (RFC 9113 section 6.2).
const HEADERS: u8 = 1;

/// Forwards connections while it is open; ended with its value.
pub struct Proxy {
    pub address: SocketAddr,
    open: watch::Sender<bool>,
    lost: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub async fn before(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, opened) = watch::channel(true);
        let lost = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let to_lose = Arc::clone(&lost);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                if *opened.borrow() {
                    let (opened, to_lose) = (opened.clone(), Arc::clone(&to_lose));
                    connections.spawn(forward(client, upstream, opened, to_lose));
                }
            }
        });
        Self { address, open, lost, _tasks: tasks }
    }

    /// Ends every connection, and each that is made from now on.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    pub fn mend(&self) {
        self.open.send_replace(true);
    }

    /// Loses the next replies, and with each its connection: the request was answered, nobody hears it.
    pub fn lose(&self, replies: usize) {
        self.lost.store(replies, Ordering::SeqCst);
    }

    /// How many replies are still to be lost.
    pub fn to_lose(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

async fn forward(client: TcpStream, upstream: SocketAddr, mut open: watch::Receiver<bool>, to_lose: Arc<AtomicUsize>) {
    let server = TcpStream::connect(upstream).await.unwrap();
    server.set_nodelay(true).unwrap();
    client.set_nodelay(true).unwrap();
    let ((mut from_client, to_client), (from_server, mut to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
        () = replies(from_server, to_client, &to_lose) => {}
        _ = open.wait_for(|open| !open) => {}
    }
}

/// Forwards frame by frame, until a reply is to be lost.
async fn replies(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, to_lose: &AtomicUsize) {
    let mut header = [0; 9];
    while from.read_exact(&mut header).await.is_ok() {
        let [a, b, c, kind, ..] = header;
        let one_less = |replies: usize| replies.checked_sub(1);
        if kind == HEADERS && to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            return;
        }
        let mut frame = header.to_vec();
        frame.resize(header.len() + usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap(), 0);
        if from.read_exact(&mut frame[header.len()..]).await.is_err() || to.write_all(&frame).await.is_err() {
            return;
        }
    }
}

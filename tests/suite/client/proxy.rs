//! The way between a client and a replica: it can be cut, mended, listened to, and made to lose replies. No tests here.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
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
    way: Way,
    _tasks: JoinSet<()>,
}

/// What all connections share.
#[derive(Clone)]
struct Way {
    open: watch::Sender<bool>,
    to_lose: Arc<AtomicUsize>,
    cut_then: Arc<AtomicBool>,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Proxy {
    pub async fn before(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let way =
            Way { open: watch::Sender::new(true), to_lose: Arc::default(), cut_then: Arc::default(), heard: Arc::default() };
        let mut tasks = JoinSet::new();
        let shared = way.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                if *shared.open.borrow() {
                    connections.spawn(shared.clone().forward(client, upstream));
                }
            }
        });
        Self { address, way, _tasks: tasks }
    }

    /// Ends every connection, and each that is made from now on.
    pub fn cut(&self) {
        self.way.open.send_replace(false);
    }

    pub fn mend(&self) {
        self.way.open.send_replace(true);
    }

    /// Loses the next replies, and with each its connection: the request was answered, nobody hears it.
    pub fn lose(&self, replies: usize) {
        self.way.to_lose.store(replies, Ordering::SeqCst);
    }

    /// Loses the next reply, and is cut from then on; answers when it is.
    pub async fn cut_at_the_next_reply(&self) {
        self.way.cut_then.store(true, Ordering::SeqCst);
        self.lose(1);
        self.way.open.subscribe().wait_for(|open| !open).await.unwrap();
    }

    /// How often clients said this.
    pub fn heard(&self, text: &str) -> usize {
        let heard = self.way.heard.lock().unwrap();
        heard.windows(text.len()).filter(|said| *said == text.as_bytes()).count()
    }

    /// How many replies are still to be lost.
    pub fn to_lose(&self) -> usize {
        self.way.to_lose.load(Ordering::SeqCst)
    }
}

impl Way {
    async fn forward(self, client: TcpStream, upstream: SocketAddr) {
        let server = TcpStream::connect(upstream).await.unwrap();
        server.set_nodelay(true).unwrap();
        client.set_nodelay(true).unwrap();
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let mut open = self.open.subscribe();
        tokio::select! {
            () = self.requests(from_client, to_server) => {}
            () = self.replies(from_server, to_client) => {}
            _ = open.wait_for(|open| !open) => {}
        }
    }

    async fn requests(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut bytes).await {
            self.heard.lock().unwrap().extend_from_slice(&bytes[..read]);
            if to.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    }

    /// Forwards frame by frame, until a reply is to be lost.
    async fn replies(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut header = [0; 9];
        while from.read_exact(&mut header).await.is_ok() {
            let [a, b, c, kind, ..] = header;
            let one_less = |replies: usize| replies.checked_sub(1);
            if kind == HEADERS && self.to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
                if self.cut_then.swap(false, Ordering::SeqCst) {
                    self.open.send_replace(false);
                }
                return;
            }
            let mut frame = header.to_vec();
            frame.resize(header.len() + usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap(), 0);
            if from.read_exact(&mut frame[header.len()..]).await.is_err() || to.write_all(&frame).await.is_err() {
                return;
            }
        }
    }
}

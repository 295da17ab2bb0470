//! A TCP proxy between the service and one Redis, which spoils what passes through it.

use super::load::Dice;
use socket2::SockRef;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// What happens to an answer on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// It comes up to this much later.
    Delay(Duration),
    /// It comes a byte at a time.
    Dribble,
    /// It does not come, the connection says that nothing ever will, and requests still go through.
    HalfClose,
    /// It does not come; the connection is reset instead.
    ResetBefore,
    /// Half of it comes, then the connection is reset.
    ResetWithin,
    /// It comes twice.
    Twice,
    /// It does not come, nor anything later, and nothing says so.
    Silence,
}

/// How often what happens.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub spoil: Spoil,
    /// One in so many answers.
    pub one_in: u64,
}

/// A proxy before one address; ends with its value.
pub struct Proxy {
    pub address: SocketAddr,
    state: Arc<State>,
    _ended: DropGuard,
}

struct State {
    to: SocketAddr,
    weather: Mutex<Option<Weather>>,
    dice: Mutex<Dice>,
    spoilt: Mutex<usize>,
}

impl State {
    /// What becomes of the next answer.
    fn fate(&self) -> Option<Spoil> {
        let Weather { spoil, one_in } = (*self.weather.lock().unwrap())?;
        if !self.dice.lock().unwrap().one_in(one_in) {
            return None;
        }
        *self.spoilt.lock().unwrap() += 1;
        Some(spoil)
    }
}

impl Proxy {
    /// Forwards to that port of this machine.
    pub async fn start(port: u16, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        let dice = Mutex::new(Dice::new(seed));
        let state = Arc::new(State { to, weather: Mutex::default(), dice, spoilt: Mutex::default() });
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (accepting, shared) = (stop.clone(), Arc::clone(&state));
        tasks.clone().spawn(async move {
            while let Some(Ok((near, _))) = accepting.run_until_cancelled(listener.accept()).await {
                let (shared, ended) = (Arc::clone(&shared), accepting.clone());
                tasks.spawn(async move { ended.run_until_cancelled(connection(near, &shared)).await });
            }
        });
        Self { address, state, _ended: stop.drop_guard() }
    }

    /// Changes what happens from now on.
    pub fn weather(&self, weather: Option<Weather>) {
        *self.state.weather.lock().unwrap() = weather;
    }

    /// How many answers were spoilt.
    pub fn spoilt(&self) -> usize {
        *self.state.spoilt.lock().unwrap()
    }

    /// The address for the service.
    pub fn url(&self) -> String {
        format!("redis://jeton:jeton@{}", self.address)
    }
}

async fn connection(near: TcpStream, state: &State) {
    let Ok(far) = TcpStream::connect(state.to).await else { return };
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let ((near_reads, near_writes), (far_reads, far_writes)) = (near.into_split(), far.into_split());
    // The one that ends first ends both, but for a half-close, which goes on until the client hangs up.
    tokio::select! {
        () = requests(near_reads, far_writes) => {}
        () = answers(far_reads, near_writes, state) => {}
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let answer = &buffer[..read];
        let sent = match state.fate() {
            None => to.write_all(answer).await,
            Some(Spoil::Delay(most)) => {
                let pause = state.dice.lock().unwrap().below(u64::try_from(most.as_millis()).unwrap().max(1));
                sleep(Duration::from_millis(pause)).await;
                to.write_all(answer).await
            }
            Some(Spoil::Dribble) => dribble(&mut to, answer).await,
            Some(Spoil::Twice) => to.write_all(&[answer, answer].concat()).await,
            Some(Spoil::ResetBefore) => return reset(to),
            Some(Spoil::ResetWithin) => {
                let half = to.write_all(&answer[..read / 2]).await;
                if half.is_ok() {
                    tokio::task::yield_now().await;
                }
                return reset(to);
            }
            Some(Spoil::HalfClose) => {
                let closed = to.shutdown().await;
                while closed.is_ok() && matches!(from.read(&mut buffer).await, Ok(1..)) {}
                return;
            }
            Some(Spoil::Silence) => {
                while let Ok(1..) = from.read(&mut buffer).await {}
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn dribble(to: &mut OwnedWriteHalf, answer: &[u8]) -> std::io::Result<()> {
    // A long answer would take a second; its beginning is what is looked at most.
    let (slowly, rest) = answer.split_at(answer.len().min(200));
    for byte in slowly {
        to.write_all(&[*byte]).await?;
        tokio::task::yield_now().await;
    }
    to.write_all(rest).await
}

/// Closing it, once the other half is dropped too, sends a reset.
fn reset(to: OwnedWriteHalf) {
    SockRef::from(to.as_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    to.forget();
}

/// Answers with what was sent to it, for the tests of this file.
async fn echo() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut buffer = [0; 64];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    stream.write_all(&buffer[..read]).await.unwrap();
                }
            });
        }
    });
    (address, tasks)
}

#[tokio::test]
async fn each_kind_of_weather_is_what_it_says() {
    let (echo, _tasks) = echo().await;
    let proxy = Proxy::start(echo.port(), 1).await;
    let ask = async |spoil: Option<Spoil>| {
        proxy.weather(spoil.map(|spoil| Weather { spoil, one_in: 1 }));
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        let mut got = vec![0; 4];
        let first = tokio::time::timeout(Duration::from_millis(300), stream.read_exact(&mut got)).await;
        (first.map(|read| read.map(|_| got).map_err(|error| error.kind())), stream)
    };
    use std::io::ErrorKind::{ConnectionReset, UnexpectedEof};
    for harmless in [None, Some(Spoil::Delay(Duration::from_millis(50))), Some(Spoil::Dribble)] {
        assert_eq!(ask(harmless).await.0, Ok(Ok(b"ping".to_vec())), "{harmless:?}");
    }
    let (first, mut stream) = ask(Some(Spoil::Twice)).await;
    assert_eq!(first, Ok(Ok(b"ping".to_vec())));
    let mut again = [0; 4];
    stream.read_exact(&mut again).await.unwrap();
    assert_eq!(&again, b"ping");
    assert_eq!(ask(Some(Spoil::ResetBefore)).await.0, Ok(Err(ConnectionReset)));
    assert_eq!(ask(Some(Spoil::ResetWithin)).await.0, Ok(Err(ConnectionReset)));
    let (first, mut stream) = ask(Some(Spoil::HalfClose)).await;
    assert_eq!(first, Ok(Err(UnexpectedEof)));
    stream.write_all(b"more").await.unwrap();
    assert!(ask(Some(Spoil::Silence)).await.0.is_err());
    assert_eq!(proxy.spoilt(), 7);
}

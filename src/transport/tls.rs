//! TLS of listeners: what one shows, whom it asks for a certificate, and that both are read again when the files change.
//!
//! Below: `contents` (the files, read), `lasting` (how long certificates last, told in time).
//!
//! INVARIANT: what a certificate says of its holder is believed only where an authority vouches for it (`certificate`); that somebody has
//! its key is proved by every handshake that shows one (`clients`). Must not live here: what a client or caller may do.

pub mod certificate;
mod clients;
mod contents;
mod lasting;

pub use certificate::Described;
pub use lasting::Lasts;

use crate::clock::Clock;
use crate::telemetry::metrics;
use contents::{Contents, certificates};
use jeton_domain::certificate::Certificate;
use jeton_domain::time::Timestamp;
use lasting::Holder;
use std::fmt;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::time_provider::TimeProvider;
use tokio_rustls::rustls::{ServerConfig, ServerConnection};
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a listener shows, and whom it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Its certificate and those between it and its authority, PEM.
    pub certificate: PathBuf,
    /// The key of the certificate, PEM.
    pub key: PathBuf,
    /// Whom it asks for a certificate.
    pub asks: Asks,
}

/// Who is asked for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Nobody.
    Nobody,
    /// Everybody: who shows one that none of these authorities vouches for is not connected, nor who shows none where all must.
    Callers {
        /// The authorities.
        authorities: PathBuf,
        /// Whether everybody must.
        all: bool,
    },
    /// Everybody, but nobody must. Whom a certificate names is believed where one of these authorities vouches for it.
    Clients(Option<PathBuf>),
}

/// What is spoken over TLS, as ALPN calls it (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// gRPC.
    Http2,
    /// HTTP, by choice of who connects.
    Http,
}

/// Why a listener has no TLS. For the operator: says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Problem(String);

impl Problem {
    fn of(file: &Path, problem: impl fmt::Display) -> Self {
        Self(format!("`{}` {problem}", file.display()))
    }
}

/// The TLS of a listener, as its files say now. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    speaks: Speaks,
    clock: Clock,
    loaded: RwLock<Arc<Loaded>>,
    /// Why the files are of no use as they are now.
    refused: RwLock<Option<Problem>>,
}

/// Files that were read and go together, of a listener that does not use them yet.
pub struct Ready {
    of: Tls,
    loaded: Arc<Loaded>,
}

/// What was read.
struct Loaded {
    files: Files,
    config: Arc<ServerConfig>,
    /// Who vouches for clients.
    vouches: Option<Arc<dyn ClientCertVerifier>>,
    lasts: Lasts,
    /// Of each of those authorities.
    authorities_last: Vec<Lasts>,
    /// SHA-256 of all that was read.
    read: [u8; 32],
}

/// The connection's other end.
#[derive(Clone, Default)]
pub struct Peer(Option<Showed>);

/// It showed a certificate.
#[derive(Clone)]
struct Showed {
    certificate: Arc<Certificate>,
    loaded: Arc<Loaded>,
    clock: Clock,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({:?})", self.loaded().files)
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ready({:?})", self.loaded.files)
    }
}

impl Peer {
    /// Whether it showed a certificate.
    #[must_use]
    pub const fn showed(&self) -> bool {
        self.0.is_some()
    }

    /// The certificate that it showed, while that is valid; the handshake proved that it has the key.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        let Showed { certificate, clock, .. } = self.0.as_ref()?;
        certificate.is_valid_at(clock.now()).then_some(certificate)
    }

    /// A certificate that it passes on, whose key somebody proved to it to have. None where that is none, or is not valid now.
    #[must_use]
    pub fn passed_on(&self, der: Vec<u8>) -> Option<Certificate> {
        let Showed { loaded, clock, .. } = self.0.as_ref()?;
        let now = clock.now();
        certificate::read(&der.into(), &[], loaded.vouches.as_deref(), now).filter(|passed_on| passed_on.is_valid_at(now))
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// One cannot be read, or they do not go together.
    pub fn load(files: Files, speaks: Speaks, clock: Clock) -> Result<Self, Problem> {
        let loaded = Contents::read(&files)?.load(files, speaks, &clock)?;
        Ok(Self(Arc::new(Inner { speaks, clock, loaded: RwLock::new(Arc::new(loaded)), refused: RwLock::default() })))
    }

    /// Reads other files, to be used instead.
    ///
    /// # Errors
    /// As `load`.
    pub fn ready(&self, files: Files) -> Result<Ready, Problem> {
        let loaded = Contents::read(&files)?.load(files, self.0.speaks, &self.0.clock)?;
        Ok(Ready { of: self.clone(), loaded: Arc::new(loaded) })
    }

    /// From when until when the certificate that is shown is valid.
    #[must_use]
    pub fn lasts(&self) -> Lasts {
        self.loaded().lasts
    }

    /// What an operator should know of it, in words.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let refused = self.0.refused.read().unwrap_or_else(PoisonError::into_inner);
        let refused = refused.as_ref().map(|problem| format!("TLS: {problem}: what was read before stays in use"));
        let (loaded, now) = (self.loaded(), self.0.clock.now());
        let remarks = loaded.all(now).filter_map(|(holder, file, lasts)| lasts.remark(holder, file, now));
        refused.into_iter().chain(remarks).collect()
    }

    /// Follows the files until `stop`, and measures how long they last; `listener` is its word in metrics. What is connected stays as it is.
    /// Files that do not go together change nothing, and are told.
    pub async fn follow(self, listener: &'static str, stop: CancellationToken) {
        self.measure(listener);
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let looking = self.clone();
            let Ok(looked) = tokio::task::spawn_blocking(move || looking.look()).await else { continue };
            let mut refused = self.0.refused.write().unwrap_or_else(PoisonError::into_inner);
            let before = mem::replace(&mut *refused, looked.as_ref().err().cloned());
            drop(refused);
            match looked {
                Ok(false) => {}
                Ok(true) => {
                    let ends = self.lasts().until.secs();
                    tracing::info!(certificate = %self.loaded().files.certificate.display(), ends, "TLS: the files were read again");
                }
                Err(problem) if before.as_ref() == Some(&problem) => {}
                Err(problem) => {
                    tracing::error!(%problem, "TLS: the files changed and are of no use; what was read before stays in use");
                }
            }
            self.measure(listener);
        }
    }

    fn measure(&self, listener: &'static str) {
        let is_sound = self.0.refused.read().unwrap_or_else(PoisonError::into_inner).is_none();
        metrics::TLS_SOUND.level([listener]).set_count(usize::from(is_sound));
        let now = self.0.clock.now();
        for (holder, _, lasts) in self.loaded().all(now) {
            lasts.measure(listener, holder, now);
        }
    }

    /// Whether the files are others than before; they are used from now on.
    fn look(&self) -> Result<bool, Problem> {
        let before = self.loaded();
        let contents = Contents::read(&before.files)?;
        if contents.hash() == before.read {
            return Ok(false);
        }
        let loaded = contents.load(before.files.clone(), self.0.speaks, &self.0.clock)?;
        let mut held = self.0.loaded.write().unwrap_or_else(PoisonError::into_inner);
        // Where others were made ready meanwhile, those are meant.
        let is_meant = Arc::ptr_eq(&held, &before);
        if is_meant {
            *held = Arc::new(loaded);
        }
        Ok(is_meant)
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.0.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What accepts a connection now, and tells who it is with.
    pub(super) fn acceptor(&self) -> (TlsAcceptor, impl Fn(&ServerConnection) -> Peer + Send + use<>) {
        let (loaded, clock) = (self.loaded(), self.0.clock.clone());
        let acceptor = TlsAcceptor::from(Arc::clone(&loaded.config));
        let peer = move |connection: &ServerConnection| {
            let shown = connection.peer_certificates().and_then(<[_]>::split_first);
            let read = shown.and_then(|(own, chain)| certificate::read(own, chain, loaded.vouches.as_deref(), clock.now()));
            let showed =
                |certificate| Showed { certificate: Arc::new(certificate), loaded: Arc::clone(&loaded), clock: clock.clone() };
            Peer(read.map(showed))
        };
        (acceptor, peer)
    }
}

impl Loaded {
    /// How long what it rests on lasts: its own certificate, and the next to end of the authorities.
    fn all(&self, now: Timestamp) -> impl Iterator<Item = (Holder, &Path, Lasts)> {
        let authorities = Lasts::first(self.authorities_last.iter().copied(), now).zip(self.files.asks.authorities());
        let own = (Holder::Listener, self.files.certificate.as_path(), self.lasts);
        [own].into_iter().chain(authorities.map(|(lasts, file)| (Holder::Authorities, file, lasts)))
    }
}

impl Asks {
    /// The file with those who vouch, where there is one.
    fn authorities(&self) -> Option<&Path> {
        match self {
            Self::Callers { authorities, .. } => Some(authorities),
            Self::Clients(authorities) => authorities.as_deref(),
            Self::Nobody => None,
        }
    }
}

impl Ready {
    /// They are used from now on. What is connected stays as it is.
    pub fn exchange(self) {
        *self.of.0.loaded.write().unwrap_or_else(PoisonError::into_inner) = self.loaded;
    }
}

/// What the certificates in a file say of themselves, for an operator.
///
/// # Errors
/// It cannot be read.
pub fn describe(file: &Path) -> Result<Vec<Described>, Problem> {
    let text = std::fs::read(file).map_err(|problem| Problem::of(file, format!("cannot be read: {problem}")))?;
    let unreadable = || Problem::of(file, "holds a certificate that cannot be read: it must be X.509, version 3");
    certificates(&text, file)?.iter().map(|der| certificate::describe(der).ok_or_else(unreadable)).collect()
}

/// The time of handshakes is that of decisions.
#[derive(Debug)]
struct Time(Clock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix(self.0.now()))
    }
}

fn unix(at: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(at.secs()))
}

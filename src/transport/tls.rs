//! TLS of listeners: what one shows, whom it asks for a certificate, and that both are read again when the files change.
//!
//! INVARIANT: what a certificate says of its holder is believed only where an authority vouches for it (`certificate`); that somebody has
//! its key is proved by every handshake that shows one (`clients`). Must not live here: what a client or caller may do.

mod certificate;
mod clients;

pub use certificate::Described;

use crate::clock::Clock;
use clients::Clients;
use jeton_domain::certificate::Certificate;
use jeton_domain::time::Timestamp;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::time_provider::TimeProvider;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection, crypto, sign};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

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
    not_after: Timestamp,
    /// SHA-256 of all that was read.
    read: [u8; 32],
}

/// What the files hold.
struct Contents {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    authorities: Option<Vec<u8>>,
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
        Ok(Self(Arc::new(Inner { speaks, clock, loaded: RwLock::new(Arc::new(loaded)) })))
    }

    /// Reads other files, to be used instead.
    ///
    /// # Errors
    /// As `load`.
    pub fn ready(&self, files: Files) -> Result<Ready, Problem> {
        let loaded = Contents::read(&files)?.load(files, self.0.speaks, &self.0.clock)?;
        Ok(Ready { of: self.clone(), loaded: Arc::new(loaded) })
    }

    /// When the certificate that is shown ends.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.loaded().not_after
    }

    /// Follows the files until `stop`. What is connected stays as it is. Files that do not go together change nothing, and are told.
    pub async fn follow(self, stop: CancellationToken) {
        let mut refused = None;
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let looking = self.clone();
            let Ok(looked) = tokio::task::spawn_blocking(move || looking.look()).await else { continue };
            match looked {
                Ok(false) => refused = None,
                Ok(true) => {
                    refused = None;
                    let ends = self.not_after().secs();
                    tracing::info!(certificate = %self.loaded().files.certificate.display(), ends, "TLS: the files were read again");
                }
                Err(problem) if refused.as_ref() == Some(&problem) => {}
                Err(problem) => {
                    tracing::error!(%problem, "TLS: the files changed and are of no use; what was read before stays in use");
                    refused = Some(problem);
                }
            }
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

impl Ready {
    /// They are used from now on. What is connected stays as it is.
    pub fn exchange(self) {
        *self.of.0.loaded.write().unwrap_or_else(PoisonError::into_inner) = self.loaded;
    }
}

impl Contents {
    fn read(files: &Files) -> Result<Self, Problem> {
        let read = |file: &Path| std::fs::read(file).map_err(|problem| Problem::of(file, format!("cannot be read: {problem}")));
        let authorities = match &files.asks {
            Asks::Callers { authorities: file, .. } | Asks::Clients(Some(file)) => Some(read(file)?),
            Asks::Nobody | Asks::Clients(None) => None,
        };
        Ok(Self { certificate: read(&files.certificate)?, key: Zeroizing::new(read(&files.key)?), authorities })
    }

    fn hash(&self) -> [u8; 32] {
        let parts = [Some(&self.certificate), Some(&*self.key), self.authorities.as_ref()];
        let each = parts.map(|part| Sha256::digest(part.map(Vec::as_slice).unwrap_or_default()));
        Sha256::digest(each.concat()).into()
    }

    fn load(&self, files: Files, speaks: Speaks, clock: &Clock) -> Result<Loaded, Problem> {
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let chain = certificates(&self.certificate, &files.certificate)?;
        let not_after = chain.first().and_then(certificate::ends).ok_or_else(|| {
            Problem::of(&files.certificate, "begins with no certificate that can be read: it must be X.509, version 3")
        })?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_no_key| Problem::of(&files.key, "holds no private key as PEM (PKCS #8, PKCS #1 or SEC 1)"))?;
        let key = provider.key_provider.load_private_key(key).map_err(|_no_key| {
            Problem::of(
                &files.key,
                "holds a private key of a kind that is not spoken: RSA from 2,048 bits, P-256, P-384 or Ed25519",
            )
        })?;
        let shown = sign::CertifiedKey::new(chain, key);
        shown.keys_match().map_err(|_other_key| Problem::of(&files.key, "is not the key of the certificate"))?;
        let vouches = self.vouches(&files, &provider)?;
        let builder = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(Time(clock.clone())))
            .with_safe_default_protocol_versions()
            .map_err(|problem| Problem(problem.to_string()))?;
        let builder = match (&files.asks, &vouches) {
            (Asks::Nobody, _) => builder.with_no_client_auth(),
            (Asks::Callers { .. }, None) => return Err(Problem("no authority of callers is known".into())),
            (Asks::Callers { .. }, Some(authorities)) => builder.with_client_cert_verifier(Arc::clone(authorities)),
            (Asks::Clients(_), _) => {
                builder.with_client_cert_verifier(Arc::new(Clients::new(provider.signature_verification_algorithms)))
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(sign::SingleCertAndKey::from(shown)));
        config.alpn_protocols = match speaks {
            Speaks::Http2 => vec![b"h2".to_vec()],
            Speaks::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        if files.asks != Asks::Nobody {
            // Each connection proves its certificate anew, by the authorities of that moment.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Loaded { files, config: Arc::new(config), vouches, not_after, read: self.hash() })
    }

    /// Who vouches for those who connect.
    fn vouches(
        &self,
        files: &Files,
        provider: &Arc<crypto::CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, Problem> {
        let (Some(text), Asks::Callers { authorities: file, .. } | Asks::Clients(Some(file))) = (&self.authorities, &files.asks)
        else {
            return Ok(None);
        };
        let mut roots = RootCertStore::empty();
        for authority in certificates(text, file)? {
            roots
                .add(authority)
                .map_err(|problem| Problem::of(file, format!("holds a certificate of no authority: {problem}")))?;
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        if matches!(files.asks, Asks::Callers { all: false, .. }) {
            builder = builder.allow_unauthenticated();
        }
        let verifier = builder.build();
        verifier.map(Some).map_err(|problem| Problem::of(file, problem))
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

fn certificates(text: &[u8], file: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_none) => Err(Problem::of(file, "holds no certificate as PEM")),
        Err(problem) => Err(Problem::of(file, format!("is no PEM: {problem}"))),
    }
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

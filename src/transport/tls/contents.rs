//! The files of TLS: read, and what a listener does by them, where they go together.

use super::clients::Clients;
use super::{Asks, Files, Loaded, Problem, Speaks, Time, certificate};
use crate::clock::Clock;
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto, sign};
use zeroize::Zeroizing;

/// What the files hold.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    authorities: Option<Vec<u8>>,
}

impl Contents {
    pub(super) fn read(files: &Files) -> Result<Self, Problem> {
        let read = |file: &Path| std::fs::read(file).map_err(|problem| Problem::of(file, format!("cannot be read: {problem}")));
        let authorities = files.asks.authorities().map(read).transpose()?;
        Ok(Self { certificate: read(&files.certificate)?, key: Zeroizing::new(read(&files.key)?), authorities })
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        let parts = [Some(&self.certificate), Some(&*self.key), self.authorities.as_ref()];
        let each = parts.map(|part| Sha256::digest(part.map(Vec::as_slice).unwrap_or_default()));
        Sha256::digest(each.concat()).into()
    }

    pub(super) fn load(&self, files: Files, speaks: Speaks, clock: &Clock) -> Result<Loaded, Problem> {
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let chain = certificates(&self.certificate, &files.certificate)?;
        let lasts = chain.first().and_then(certificate::lasts).ok_or_else(|| {
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
        let authorities = self.authorities(&files)?;
        let authorities_last = authorities.iter().filter_map(certificate::lasts).collect();
        let vouches = vouches(authorities, &files, &provider)?;
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
        Ok(Loaded { files, config: Arc::new(config), vouches, lasts, authorities_last, read: self.hash() })
    }

    /// Those who vouch for who connects.
    fn authorities(&self, files: &Files) -> Result<Vec<CertificateDer<'static>>, Problem> {
        let both = self.authorities.as_ref().zip(files.asks.authorities());
        both.map_or(Ok(Vec::new()), |(text, file)| certificates(text, file))
    }
}

/// Who vouches for those who connect, where that is anybody.
fn vouches(
    authorities: Vec<CertificateDer<'static>>,
    files: &Files,
    provider: &Arc<crypto::CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Problem> {
    let Some(file) = files.asks.authorities() else { return Ok(None) };
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).map_err(|problem| Problem::of(file, format!("holds a certificate of no authority: {problem}")))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if matches!(files.asks, Asks::Callers { all: false, .. }) {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map(Some).map_err(|problem| Problem::of(file, problem))
}

/// Every certificate of a file.
///
/// # Errors
/// There is none, or it is no PEM.
pub(super) fn certificates(text: &[u8], file: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_none) => Err(Problem::of(file, "holds no certificate as PEM")),
        Err(problem) => Err(Problem::of(file, format!("is no PEM: {problem}"))),
    }
}

//! Whom do we trust at the other end of a connection that we make? TLS of clients: authorities, and the means.
//!
//! Must not live here: who is connected to, or what is said (`store`, `outbound`, `telemetry`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, TrustAnchor};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// Authorities that sign the certificates of others.
#[derive(Clone)]
pub struct Authorities(RootCertStore);

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.0.len())
    }
}

/// Why there is no TLS to be had. For the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A file of authorities is none.
    #[error("`{}` cannot be read as PEM certificates", .0.display())]
    Unreadable(PathBuf),
    /// The provider speaks no version.
    #[error("no TLS version is left to speak")]
    NoVersion,
}

impl Authorities {
    /// Those that this machine trusts (`SSL_CERT_FILE` names others). May be none.
    #[must_use]
    pub fn of_the_machine() -> Self {
        Self::of(rustls_native_certs::load_native_certs().certs)
    }

    /// Those of the machine, and beside them those of this file.
    ///
    /// # Errors
    /// As `of_file`.
    pub fn trusted(ca_file: Option<&Path>) -> Result<Self, Problem> {
        let own = ca_file.map(Self::of_file).transpose()?;
        let machine = Self::of_the_machine();
        Ok(own.into_iter().fold(machine, Self::and))
    }

    /// Those of a PEM file.
    ///
    /// # Errors
    /// `Problem::Unreadable`: the file, or a certificate in it.
    pub fn of_file(file: &Path) -> Result<Self, Problem> {
        let certificates = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
        certificates.map(Self::of).map_err(|_unreadable| Problem::Unreadable(file.into()))
    }

    fn of(certificates: Vec<CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        // Machines carry some that are no authority by today's rules; what is left is counted by who needs one.
        let (_trusted, _unreadable) = roots.add_parsable_certificates(certificates);
        Self(roots)
    }

    /// Both.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0.roots);
        self
    }

    /// Each of them.
    pub fn anchors(&self) -> impl Iterator<Item = TrustAnchor<'static>> {
        self.0.roots.iter().cloned()
    }

    /// Whether nobody is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// TLS that trusts them, checks the name of the host, and shows no certificate of its own; by a provider of these connections only.
    ///
    /// # Errors
    /// `Problem::NoVersion`.
    pub fn client(self) -> Result<ClientConfig, Problem> {
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_versions| Problem::NoVersion)?;
        Ok(config.with_root_certificates(self.0).with_no_client_auth())
    }
}

//! An authority that only these tests know, and what it signed.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::path::PathBuf;
use tempfile::TempDir;

/// An authority, and a certificate of it for the loopback interface.
pub(crate) struct Certificates {
    directory: TempDir,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        Self::of(&["127.0.0.1", "localhost"])
    }

    /// The certificate is for these hosts.
    pub(crate) fn of(hosts: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // By the same name as the certificate's it would be taken for that.
        params.distinguished_name.push(DnType::CommonName, "authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let hosts = hosts.iter().map(|host| (*host).to_owned());
        let certificate = CertificateParams::new(hosts.collect::<Vec<_>>()).unwrap().signed_by(&key, &authority).unwrap();
        let write = |name, text: String| std::fs::write(directory.path().join(name), text).unwrap();
        write("authority.pem", authority.pem());
        write("certificate.pem", certificate.pem());
        write("key.pem", key.serialize_pem());
        Self { directory }
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// What a server shows: its certificate, and the key of it.
    pub(crate) fn of_the_server(&self) -> (PathBuf, PathBuf) {
        (self.directory.path().join("certificate.pem"), self.directory.path().join("key.pem"))
    }
}

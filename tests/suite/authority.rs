//! An authority that only these tests know, and certificates of it or of nobody. No tests here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub struct Identity {
    certificate: Certificate,
    key: KeyPair,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // By the same name as the certificate's it would be taken for that.
        params.distinguished_name.push(DnType::CommonName, "authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// For a server on the loopback interface.
    pub fn server(&self) -> Identity {
        self.server_of(&["127.0.0.1", "localhost"])
    }

    /// For a server of these hosts.
    pub fn server_of(&self, hosts: &[&str]) -> Identity {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        self.sign(CertificateParams::new(hosts).unwrap())
    }

    /// For a client that the parameters describe.
    pub fn client(&self, describe: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::default();
        describe(&mut params);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        Identity { certificate: params.signed_by(&key, &self.0).unwrap(), key }
    }

    /// How one who trusts this authority speaks TLS, with a certificate or without.
    pub fn trusted(&self, shows: Option<&Identity>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem().as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match shows {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::from_pem_slice(identity.key().as_bytes()).unwrap();
                config.with_client_auth_cert(vec![identity.certificate.der().clone()], key).unwrap()
            }
        })
    }
}

impl Identity {
    /// One that nobody but itself vouches for.
    pub fn self_signed(describe: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::default();
        describe(&mut params);
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub fn key(&self) -> String {
        self.key.serialize_pem()
    }

    pub fn der(&self) -> &[u8] {
        self.certificate.der()
    }

    /// SHA-256 of the certificate.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.der()).into()
    }

    /// The same as `x5t#S256`.
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.hash())
    }

    /// Writes both into a directory, as `NAME.pem` and `NAME.key`.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (directory.join(format!("{name}.pem")), directory.join(format!("{name}.key")));
        std::fs::write(&certificate, self.pem()).unwrap();
        std::fs::write(&key, self.key()).unwrap();
        (certificate, key)
    }
}

//! The connection of a command: whom it trusts, and what the caller shows.

use super::arguments::Remote;
use super::call::read_file;
use super::failure::Failure;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};
use zeroize::Zeroizing;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection that shows with every call what this caller has to show.
pub(super) type Connection = InterceptedService<Channel, Bearer>;

/// The key or token of this caller; nothing where it has none.
#[derive(Clone)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(shown) = &self.0 {
            request.metadata_mut().insert("authorization", shown.clone());
        }
        Ok(request)
    }
}

pub(super) fn channel(remote: &Remote) -> Result<Connection, Failure> {
    let server = &remote.server;
    let next = "write it like http://127.0.0.1:50051 or https://jeton.internal:50051";
    let is_tls = server.starts_with("https://");
    if !is_tls && !server.starts_with("http://") {
        return Err(Failure::usage(format!("`{server}` is no address that a client can call"), next));
    }
    let mut endpoint = Endpoint::from_shared(server.clone())
        .map_err(|error| Failure::usage(format!("`{server}` is no address that a client can call: {error}"), next))?;
    if is_tls {
        endpoint = endpoint.tls_config(tls(remote)?).map_err(|error| {
            Failure::usage(
                format!("there is no TLS by these files: {error}"),
                "name files of PEM: authorities, a certificate, its key",
            )
        })?;
    }
    Ok(InterceptedService::new(endpoint.connect_timeout(CONNECT_TIMEOUT).connect_lazy(), bearer(remote)?))
}

fn bearer(remote: &Remote) -> Result<Bearer, Failure> {
    const OPTION: &str = "--caller-token-file";
    let Some(file) = &remote.caller_token_file else { return Ok(Bearer(None)) };
    let text = Zeroizing::new(format!("Bearer {}", Zeroizing::new(read_file(OPTION, file)?).trim()));
    let mut shown: MetadataValue<Ascii> = text.parse().map_err(|_no_header| {
        let what = format!("{} holds no key or token of a caller", file.display());
        Failure::usage(what, "`jeton callers new-key` makes a key, Kubernetes projects tokens of service accounts")
    })?;
    shown.set_sensitive(true);
    Ok(Bearer(Some(shown)))
}

/// Whom to trust, and what to show.
fn tls(remote: &Remote) -> Result<ClientTlsConfig, Failure> {
    let read = |file: &Path| {
        let unreadable =
            |error| Failure::usage(format!("cannot read {}: {error}", file.display()), "name a file that can be read");
        fs::read(file).map(Zeroizing::new).map_err(unreadable)
    };
    let mut tls = match &remote.ca_file {
        Some(file) => {
            let pem = read(file)?;
            if !CertificateDer::pem_slice_iter(&pem).any(|found| found.is_ok()) {
                let what = format!("{} holds no certificate", file.display());
                return Err(Failure::usage(what, "name a PEM file with the certificates of authorities"));
            }
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem.as_slice()))
        }
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let (Some(certificate), Some(key)) = (&remote.caller_certificate_file, &remote.caller_key_file) {
        tls = tls.identity(Identity::from_pem(read(certificate)?.as_slice(), read(key)?.as_slice()));
    }
    Ok(tls)
}

//! One connection to one Redis process: how it is made, and what was learnt of the server before anything else goes over it.
//! Not when it is made anew (`link`), nor what is asked over it.

use super::library;
use super::reply::{self, Refusal, refusal};
use crate::coalescing::Coalescing;
use crate::store::StoreError;
use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo, Value,
};
use jeton_domain::id::Identity;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// How many requests may wait for the connection's task to write them: what one write() then carries. The driver's own 50 is reached
/// by a few dozen concurrent requests.
const QUEUE: usize = 512;

/// Where Redis is and who we are there. Not printable: it holds the password.
#[derive(Clone)]
pub(super) struct Target {
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    login: RedisConnectionInfo,
}

/// A connection that was made. Ends when the last request that uses it is done.
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    driver: Driver,
    /// The process at the other end: it cannot change under a connection.
    run_id: String,
    /// What the last answer that carried it said; the replication id may change under a connection.
    identity: AtomicU64,
}

impl Target {
    /// Reads `redis://[user:password@]host[:port][/db]`, or `rediss://` for TLS.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let wrong =
            || StoreError::Broken("this is no Redis address; one looks like redis://user:password@host:6379/0".to_owned());
        let info: ConnectionInfo = url.into_connection_info().map_err(|_url_with_password| wrong())?;
        let (host, port, tls) = match info.addr() {
            ConnectionAddr::Tcp(host, port) => (host.clone(), *port, None),
            ConnectionAddr::TcpTls { host, port, insecure: false, .. } => (host.clone(), *port, Some(tls()?)),
            _ => return Err(wrong()),
        };
        // CLIENT SETINFO would be one more command to permit, and Redis 7.0 does not know it.
        let login = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name();
        Ok(Self { host, port, tls, login })
    }

    /// Connects, loads the library where it is absent, and learns who answers. Bounded by the caller.
    pub(super) async fn open(&self) -> Result<Live, Refusal> {
        let unreachable = |_refused| Refusal::Lost("Redis cannot be reached: does it run at that address?");
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let stream = Coalescing::new(stream);
        match &self.tls {
            None => self.log_in(stream).await,
            Some(connector) => {
                let untrusted = |_certificate| {
                    Refusal::Lost("no TLS with Redis: is its certificate from an authority this machine trusts (SSL_CERT_FILE)?")
                };
                let name = ServerName::try_from(self.host.clone())
                    .map_err(|_name| Refusal::Unfit("the host is no name TLS could check"))?;
                self.log_in(connector.connect(name, stream).await.map_err(untrusted)?).await
            }
        }
    }

    /// What it means that connecting took too long.
    pub(super) fn silence(&self) -> Refusal {
        Refusal::Lost(match self.tls {
            None => "Redis did not answer in time",
            Some(_) => "Redis did not answer in time; does it speak TLS on this port?",
        })
    }

    async fn log_in(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Live, Refusal> {
        // No time-out of its own: the caller's covers waiting, sending and retrying together.
        let config =
            AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None).set_pipeline_buffer_size(QUEUE);
        let made = MultiplexedConnection::new_with_config(&self.login, stream, config).await;
        let (mut connection, driver) = made.map_err(|error| Refusal::lost(&error))?;
        #[expect(clippy::disallowed_methods, reason = "holds no state of ours and ends with the connection, which aborts it")]
        let driver = Driver(tokio::spawn(driver).abort_handle());
        let (role, replid, run_id) = match hello(&mut connection).await {
            Err(Refusal::NoFunction) => {
                library::load(&mut connection).await?;
                hello(&mut connection).await?
            }
            known => known?,
        };
        if role != "master" {
            return Err(Refusal::NoPrimary("this Redis is a replica; jeton needs the primary"));
        }
        let identity = AtomicU64::new(u64::from_be_bytes(reply::identity(&replid, &run_id).0));
        Ok(Live { connection, driver, run_id, identity })
    }
}

impl Live {
    /// Whether nothing can come over it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.driver.0.is_finished()
    }

    /// The process at the other end.
    pub(super) fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The primary as last learnt.
    pub(super) fn identity(&self) -> Identity {
        Identity(self.identity.load(Ordering::Acquire).to_be_bytes())
    }

    /// An answer carried this replication id.
    pub(super) fn learn(&self, replid: &str) -> Identity {
        let identity = reply::identity(replid, &self.run_id);
        self.identity.store(u64::from_be_bytes(identity.0), Ordering::Release);
        identity
    }
}

/// The task that reads and writes; without it, it is over.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn hello(connection: &mut MultiplexedConnection) -> Result<(String, String, String), Refusal> {
    let answer =
        connection.send_packed_command(&library::call(library::HELLO, 0, 0)).await.map_err(|error| Refusal::lost(&error))?;
    let parts = match answer {
        Value::Array(parts) => parts,
        Value::ServerError(error) => return Err(refusal(&error)),
        _ => return Err(Refusal::Unknown),
    };
    let word = |at: usize| parts.get(at).and_then(|value| reply::text(value).ok()).map(str::to_owned).ok_or(Refusal::Unknown);
    Ok((word(0)?, word(1)?, word(2)?))
}

/// TLS with the machine's certificate authorities, and a provider of this connection only.
fn tls() -> Result<TlsConnector, StoreError> {
    let mut roots = RootCertStore::empty();
    let (trusted, _unreadable) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if trusted == 0 {
        return Err(StoreError::Broken(
            "rediss:// needs certificate authorities and this machine has none; name a file of them in SSL_CERT_FILE".to_owned(),
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_versions| StoreError::Broken("no TLS version is left to talk to Redis with".to_owned()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_errors_do_not_repeat_them() {
        for good in ["redis://127.0.0.1", "redis://u:p@redis.internal:6380/3", "redis://:p@[::1]:6379"] {
            assert!(Target::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "embedded:x",
            "redis+unix:///tmp/s",
            "http://u:hunter2@h",
            "redis://u:hunter2@h:x",
            "rediss://u:hunter2@h/#insecure",
        ] {
            let error = Target::parse(bad).err().expect(bad).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}

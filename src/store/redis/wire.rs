//! A connection to one process: TCP, TLS, log-in. Not what kind of server answers there (`connection`), nor what is asked.

use super::address::{Address, Login, Node};
use super::reply::Refusal;
use crate::coalescing::Coalescing;
use crate::store::StoreError;
use crate::tls::Authorities;
use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// How many requests may wait for the connection's task to write them: what one write() then carries. The driver's own 50 is reached
/// by a few dozen concurrent requests.
const QUEUE: usize = 512;

/// How servers of one kind are entered. Not printable: it holds the password.
pub(super) struct Door {
    tls: Option<TlsConnector>,
    login: RedisConnectionInfo,
}

/// A connection that was made. Ends when the last request that uses it is done.
pub(super) struct Wire {
    pub(super) connection: MultiplexedConnection,
    driver: Driver,
}

impl Door {
    /// The doors of the servers with data and of the Sentinels.
    pub(super) fn both(address: &Address) -> Result<(Arc<Self>, Arc<Self>), StoreError> {
        let tls = address.tls.then(|| tls(address.ca_file.as_deref())).transpose()?;
        let door = |login: Option<&Login>, database| {
            // CLIENT SETINFO would be one more command to permit, and Redis 7.0 does not know it.
            let mut info =
                RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name().set_db(database);
            if let Some(login) = login {
                info = info.set_password(login.password.expose());
                if let Some(user) = &login.user {
                    info = info.set_username(user);
                }
            }
            Arc::new(Self { tls: tls.clone(), login: info })
        };
        Ok((door(address.login.as_ref(), i64::from(address.database)), door(address.sentinel_login.as_ref(), 0)))
    }

    /// Whether TLS is spoken behind it.
    pub(super) const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Connects and logs in. Bounded by the caller.
    pub(super) async fn enter(&self, node: &Node) -> Result<Wire, Refusal> {
        let unreachable = |_refused| Refusal::Lost("Redis cannot be reached: does it run at that address?");
        let stream = TcpStream::connect((&*node.host, node.port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let stream = Coalescing::new(stream);
        match &self.tls {
            None => self.log_in(stream).await,
            Some(connector) => {
                let untrusted = |_certificate| {
                    Refusal::Lost(
                        "no TLS with Redis: is its certificate for this host, and from an authority that ca_file of the address \
                         names or this machine trusts (SSL_CERT_FILE)?",
                    )
                };
                let name = ServerName::try_from(node.host.to_string())
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

    async fn log_in(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Wire, Refusal> {
        // No time-out of its own: the caller's covers waiting, sending and retrying together.
        let config =
            AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None).set_pipeline_buffer_size(QUEUE);
        let made = MultiplexedConnection::new_with_config(&self.login, stream, config).await;
        let (connection, driver) = made.map_err(|error| Refusal::lost(&error))?;
        #[expect(clippy::disallowed_methods, reason = "holds no state of ours and ends with the connection, which aborts it")]
        let driver = Driver(tokio::spawn(driver).abort_handle());
        Ok(Wire { connection, driver })
    }
}

impl Wire {
    /// Whether nothing can come over it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.driver.0.is_finished()
    }
}

/// The task that reads and writes; without it, it is over.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// TLS with the authorities of that file, or the machine's.
fn tls(ca_file: Option<&Path>) -> Result<TlsConnector, StoreError> {
    let authorities = match ca_file {
        Some(file) => Authorities::of_file(file)
            .map_err(|problem| StoreError::Broken(format!("the ca_file of the address is of no use: {problem}")))?,
        None => Authorities::of_the_machine(),
    };
    if authorities.is_empty() {
        return Err(StoreError::Broken(
            "rediss:// needs certificate authorities and there are none; name a file of them by ?ca_file=PATH in the address, or in \
             SSL_CERT_FILE"
                .to_owned(),
        ));
    }
    let config = authorities.client().map_err(|problem| StoreError::Broken(problem.to_string()))?;
    Ok(TlsConnector::from(Arc::new(config)))
}

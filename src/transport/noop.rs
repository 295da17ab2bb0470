//! The no-op that measurements compare with: a method that does nothing, on a stock tonic server of the same process.
//!
//! Must not live here: anything that makes it cheaper or dearer than what tonic's own guide shows.

/// The API as generated from `proto/jeton/bench/v1`.
pub mod api {
    #![expect(clippy::allow_attributes, clippy::allow_attributes_without_reason, reason = "generated")]
    tonic::include_proto!("jeton.bench.v1");
}

use api::noop_service_server::{NoopService, NoopServiceServer};
use api::{NoopRequest, NoopResponse};
use std::io;
use std::net::SocketAddr;
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// The longest payload, in bytes.
const MAX_BYTES: u32 = 65_536;

/// The server; it ends when this is dropped.
#[derive(Debug)]
pub struct Noop {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Noop {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves at `address` inside the runtime of the caller.
///
/// # Errors
/// The system's, such as an address that is in use.
pub fn start(address: SocketAddr) -> io::Result<Noop> {
    // What `Server::serve` does too; only so is the address known that the system chose.
    let incoming = TcpIncoming::bind(address)?.with_nodelay(Some(true));
    let address = incoming.local_addr()?;
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let served = Server::builder().add_service(NoopServiceServer::new(Nothing)).serve_with_incoming(incoming).await;
        if let Err(problem) = served {
            tracing::error!(%problem, "the no-op ended");
        }
    });
    Ok(Noop { address, _serving: serving })
}

struct Nothing;

#[tonic::async_trait]
impl NoopService for Nothing {
    async fn noop(&self, request: Request<NoopRequest>) -> Result<Response<NoopResponse>, Status> {
        let length = usize::try_from(request.get_ref().response_bytes.min(MAX_BYTES)).unwrap_or_default();
        Ok(Response::new(NoopResponse { payload: "x".repeat(length) }))
    }
}

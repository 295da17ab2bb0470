//! The client library against the real service, over gRPC: what it repeats, what it believes, and what its layer lets through.

mod layer;
mod orders;
mod proxy;
mod retries;
mod verifier;

use crate::world::{ISSUER, Replica, World};
use jeton::clock::Clock;
use jeton_client::{Client, Fallback, Millis, Timestamp, Verifier, VerifierSettings};
use proxy::Proxy;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How long anything may take on a machine that is busy with other tests.
const BUSY: Duration = Duration::from_secs(60);

/// The world's clock, as the library asks.
#[derive(Debug)]
struct WorldClock(Clock);

impl jeton_client::Clock for WorldClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn run(&self) -> Millis {
        self.0.run()
    }
}

/// A client that reaches the replica over a way that can be cut.
async fn reached(server: &Replica) -> (Client, Proxy) {
    let proxy = Proxy::before(server.address).await;
    (Client::connect([format!("http://{}", proxy.address)]).unwrap(), proxy)
}

/// A verifier that knows all it needs.
async fn ready(world: &World, client: &Client, fallback: Fallback) -> Verifier {
    let clock = Arc::new(WorldClock(world.clock.clone()));
    let settings = VerifierSettings { clock, fallback, ..VerifierSettings::new(ISSUER) };
    let verifier = Verifier::start(client.clone(), settings);
    soon(verifier.ready()).await;
    verifier
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(BUSY, work).await.expect("it ends")
}

//! A web service that lets nobody in without an access token of jeton, and shows orders only to who may read them.
//!
//! `README.md` beside this crate's manifest says how to run it against a jeton on the same machine. `JETON_SERVER`, `ISSUER` and `LISTEN`
//! name another one, and where to listen.

use axum::routing::get;
use axum::{Extension, Router};
use jeton_client::{Client, Verified, Verifier, VerifierSettings, VerifyLayer};
use std::error::Error;
use tokio::net::TcpListener;

/// What this service is called in the configuration of jeton, and so in the `aud` of its tokens.
const RESOURCE: &str = "https://orders.internal";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let jeton = setting("JETON_SERVER", "http://127.0.0.1:50051");
    let client = Client::connect([jeton.as_str()])?;
    let verifier = Verifier::start(client, VerifierSettings::new(setting("ISSUER", "http://127.0.0.1:8080")));
    let listener = TcpListener::bind(setting("LISTEN", "127.0.0.1:8090")).await?;
    tracing::info!(listening = %listener.local_addr()?, jeton, "serving orders");
    axum::serve(listener, router(&verifier)).with_graceful_shutdown(interrupted()).await?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a program of its own, configured by its environment")]
fn setting(name: &str, otherwise: &str) -> String {
    std::env::var(name).unwrap_or_else(|_unset| otherwise.to_owned())
}

/// The paths. Whoever holds a valid token for this service may ask who he is; for the orders he needs a scope.
pub fn router(verifier: &Verifier) -> Router {
    let valid = VerifyLayer::new(verifier.clone(), RESOURCE);
    Router::new().route("/me", get(me).layer(valid.clone())).route("/orders", get(orders).layer(valid.with_scope("orders:read")))
}

async fn me(Extension(token): Extension<Verified>) -> String {
    format!("{} by {}, until {}\n", token.sub, token.client, token.exp.secs())
}

async fn orders(Extension(token): Extension<Verified>) -> String {
    format!("the orders of {}\n", token.sub)
}

async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!(%error, "interrupts are not heard");
        std::future::pending::<()>().await;
    }
}

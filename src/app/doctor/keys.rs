//! Whether the keys of others that are at an address, `jwks_uri`, are there and of use.

use crate::config::Settings;
use crate::outbound::{Bounds, Outbound};
use crate::service::fetch_keys;
use crate::store::Diagnosis;
use futures_util::future::join_all;
use jeton_domain::client::ClientKind;
use jeton_domain::endpoint::Endpoint;
use jeton_domain::jwk::KeySource;

/// One for each address.
pub async fn examine(settings: &Settings) -> Vec<Diagnosis> {
    let of_callers = settings.caller_tokens.iter().map(|terms| ("caller tokens", &terms.keys));
    let of_issuers = settings.issuers.iter().map(|issuer| ("issuer of assertions", &issuer.keys));
    let of_clients = settings.clients.iter().filter_map(|client| match &client.kind {
        ClientKind::Confidential { keys: Some(keys), .. } => Some(("client", keys)),
        _ => None,
    });
    let addresses: Vec<(&'static str, &Endpoint)> = of_callers
        .chain(of_issuers)
        .chain(of_clients)
        .filter_map(|(check, source)| match source {
            KeySource::Uri(endpoint) => Some((check, endpoint)),
            KeySource::Inline(_) => None,
        })
        .collect();
    if addresses.is_empty() {
        return Vec::new();
    }
    let outbound = match Outbound::new(settings.outbound.ca_file.as_deref(), Bounds::default()) {
        Ok(outbound) => outbound,
        Err(problem) => {
            let advice = "let [outbound] ca_file name a file of PEM that this user may read: jeton does not start with this one";
            return vec![Diagnosis::fail("outbound", "ca_file", problem.to_string(), advice)];
        }
    };
    join_all(addresses.into_iter().map(|(check, endpoint)| one(&outbound, check, endpoint))).await
}

async fn one(outbound: &Outbound, check: &'static str, endpoint: &Endpoint) -> Diagnosis {
    let at = endpoint.to_string();
    match fetch_keys(outbound, endpoint).await {
        Ok(keys) if keys.is_empty() => {
            let advice =
                "publish one that is of use (OKP Ed25519, EC P-256, RSA from 2,048 bits): who signs with another is refused";
            Diagnosis::fail(check, at, "none of the keys there is of use", advice)
        }
        Ok(keys) => Diagnosis::ok(check, at, format!("its keys are there: {}", keys.iter().count())),
        Err(problem) => {
            let advice = "let this machine reach jwks_uri, without signing in, and trust its certificate ([outbound] ca_file); or write the keys \
                          as jwks: until they are fetched who is known by them is refused";
            Diagnosis::fail(check, at, problem, advice)
        }
    }
}

//! `jeton doctor`: what is unwise in a configuration that is right, and whether its store is fit, before it goes live.
//!
//! Below: `certificates` (what listeners show and whom they believe), `callers`, `keys` (those of others that are at an address),
//! `machine` (open files, the place of the audit stream).
//! Must not live here: what is a mistake (`config`, which refuses it), how a store is examined (`store`).

mod callers;
mod certificates;
mod keys;
mod machine;

use super::{collector, open_store};
use crate::cli::{self, Finding, Output};
use crate::clock::Clock;
use crate::config::{Loaded, Settings, StoreUrl};
use crate::records::Records;
use crate::roots::Roots;
use crate::store::{Diagnosis, redis};
use crate::telemetry::Collector;
use jeton_domain::client::{Client, ClientKind, ReusePolicy, Rotation};
use jeton_domain::client_secret;
use jeton_domain::error::Error;
use jeton_domain::resource::{Resource, TokenFormat};
use jeton_domain::secret::SecretText;
use jeton_domain::time::Millis;
use std::process::ExitCode;
use std::sync::Arc;

/// What Redis must have loaded, for who may load it where jeton may not.
pub const FUNCTIONS: &str = redis::FUNCTIONS;

/// The client secrets of the configuration for development, which everybody can read.
const PUBLISHED: [&str; 2] = ["jcs_dev_web_app_never_use_in_production", "jcs_dev_billing_job_never_use_in_production"];
/// A double click and a quick retry fit into it, and a message that takes its time.
const OVERLAP: [Millis; 2] = [Millis::from_secs(5), Millis::from_secs(30)];
/// For longer nobody expects a revoked token to be believed.
const STALE: Millis = Millis::from_secs(10);
/// A verifier that does not introspect believes a JWT for so long.
const LONG_JWT: Millis = Millis::from_secs(3_600);

/// Examines settings, and the store that they name.
pub async fn examine(loaded: &Loaded, in_kubernetes: bool, clock: &Clock) -> Vec<Diagnosis> {
    let settings = &loaded.settings;
    let file = loaded.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
    let warnings = loaded.warnings.iter().map(|warning| {
        Diagnosis::warn("configuration", "", warning.clone(), "correct it: it is right as it stands, and probably not meant")
    });
    let mut all: Vec<Diagnosis> = warnings.collect();
    if all.is_empty() {
        all.push(Diagnosis::ok("configuration", file, "without mistakes"));
    }
    all.extend(certificates::examine(settings, clock));
    all.extend(callers::examine(settings));
    all.extend([listeners(settings), issuer(settings)]);
    all.extend(root_keys(settings));
    all.extend([overlap(settings), staleness(settings)]);
    if settings.clients.is_empty() {
        let advice = "configure them: without one nothing can be issued";
        all.push(Diagnosis::fail("clients", "", "there are none", advice));
    }
    all.extend(settings.clients.iter().map(client));
    all.extend(settings.resources.iter().map(resource));
    all.extend(kept(settings, in_kubernetes));
    all.extend(machine::examine(settings));
    all.extend(keys::examine(settings).await);
    all.extend(collectors(settings).await);
    if let StoreUrl::Redis(address) = &settings.store {
        let expected = redis::Expected { replicas: settings.redis.replicas, timeout: settings.tokens.store_timeout.into() };
        all.extend(redis::examine(address, clock, expected).await);
        all.extend(root_key_of_store(settings, clock).await);
    }
    all
}

/// Shows what was found, and says by the exit code whether nothing fails.
#[must_use]
pub fn show(all: &[Diagnosis], output: Output) -> ExitCode {
    let findings: Vec<Finding<'_>> = all
        .iter()
        .map(|Diagnosis { check, at, verdict, found, advice }| Finding { verdict: verdict.word(), check, at, found, advice })
        .collect();
    cli::doctor(&findings, output)
}

fn listeners(settings: &Settings) -> Diagnosis {
    let grpc = settings.listen.grpc;
    let at = format!("grpc {grpc}");
    if grpc.ip().to_canonical().is_loopback() {
        return Diagnosis::warn(
            "listeners",
            at,
            "only this machine can call",
            "where callers are elsewhere, listen on an address that they reach: grpc under [listen], or --grpc-listen",
        );
    }
    if settings.insecure && (settings.tls.is_none() || settings.callers.is_empty()) {
        return Diagnosis::fail(
            "listeners",
            at,
            match (settings.tls.is_some(), settings.callers.is_empty()) {
                (true, true) => "every caller may do everything",
                (false, true) => "plain text, and every caller may do everything",
                (_, false) => "plain text",
            },
            "keep the port to a network that encrypts by itself and lets only your services in, or listen on 127.0.0.1 behind what \
             does: who reaches it can issue tokens for anybody",
        );
    }
    Diagnosis::ok("listeners", at, "callers are authenticated")
}

fn issuer(settings: &Settings) -> Diagnosis {
    let issuer = &settings.issuer;
    if issuer.starts_with("https://") {
        return Diagnosis::ok("issuer", issuer, "https");
    }
    Diagnosis::warn(
        "issuer",
        issuer,
        "it is no https address",
        "set issuer to the address under which verifiers fetch the keys: they may demand https, and it cannot be changed later without \
         refusing every token",
    )
}

/// Each by its id, the active one first.
fn root_keys(settings: &Settings) -> Vec<Diagnosis> {
    // Two that are the same, and none on Redis, are mistakes that were told before.
    let Ok(roots) = Roots::new(settings.root_keys.keys()) else {
        return vec![Diagnosis::warn(
            "root key",
            "",
            "it is made beside the data",
            "give it by root_key_file or JETON_ROOT_KEY, and keep a copy elsewhere: who copies the data copies the key with it, and \
             lost together nothing can be read",
        )];
    };
    let found =
        |key| if key == roots.active() { "the first of the ring: it seals and proves what is made" } else { "in the ring too" };
    roots.ids().map(|key| Diagnosis::ok("root key", key.to_string(), found(key))).collect()
}

/// Whether what is in the store was sealed under these keys; none where it does not answer, which is told otherwise.
async fn root_key_of_store(settings: &Settings, clock: &Clock) -> Option<Diagnosis> {
    let store = open_store(settings, clock).await.ok()?;
    let roots = Roots::new(settings.root_keys.keys()).ok()?;
    let known = Records::new(store, Arc::new(roots), clock.clone()).is_ours().await;
    Some(match known {
        Ok(true) => Diagnosis::ok("root key", "store", "it opens what the store holds"),
        Ok(false) => Diagnosis::ok("root key", "store", "nothing is sealed yet"),
        Err(problem @ (Error::RootKeyMissing(_) | Error::RecordUnreadable(_))) => Diagnosis::fail(
            "root key",
            "store",
            problem.to_string(),
            "give all root keys that this store was used with, the newest first, or name another store: what is sealed under a key \
             that is missing cannot be read",
        ),
        Err(problem) => {
            let advice = "run this once more when the store answers: whether the key is the right one could not be seen";
            Diagnosis::warn("root key", "store", problem.to_string(), advice)
        }
    })
}

fn overlap(settings: &Settings) -> Diagnosis {
    let overlap = settings.tokens.overlap;
    let (at, found) = ("tokens.overlap", format!("{} s", overlap.secs()));
    let [least, most] = OVERLAP;
    if overlap < least {
        Diagnosis::warn(
            "overlap",
            at,
            found,
            "make it 10s: a client whose reply is slow to come, or with two tabs, is logged out",
        )
    } else if overlap > most {
        Diagnosis::warn("overlap", at, found, "make it 10s: a thief is not told from his victim within it")
    } else {
        Diagnosis::ok("overlap", at, found)
    }
}

fn staleness(settings: &Settings) -> Diagnosis {
    let stale = settings.tokens.max_staleness;
    let (at, found) = ("tokens.max_staleness", format!("{} ms", stale.get()));
    if stale > STALE {
        let advice =
            "make it 2s: for so long a replica cut off from its store, and who reuses its answers, believe a revoked token";
        Diagnosis::warn("staleness", at, found, advice)
    } else {
        Diagnosis::ok("staleness", at, found)
    }
}

fn client(client: &Client) -> Diagnosis {
    let warn = |found: &str, advice: &str| Diagnosis::warn("client", client.id.as_str(), found, advice);
    let published = PUBLISHED.map(|secret| client_secret::hash(&SecretText::new(secret.to_owned())));
    match &client.kind {
        ClientKind::Confidential { secret_hashes, .. } => {
            if secret_hashes.iter().any(|hash| published.contains(hash)) {
                return Diagnosis::fail(
                    "client",
                    client.id.as_str(),
                    "its secret is that of the configuration for development",
                    "make another with `jeton clients secret`: everybody can read that one",
                );
            }
        }
        ClientKind::Public => match (client.rotation, client.reuse) {
            (Rotation::NearExpiry | Rotation::Never, _) => {
                return warn(
                    "it cannot prove itself, and its refresh tokens hardly ever rotate",
                    "set rotation = \"unbound-public\": until a token rotates a thief is not found (docs/refresh.md)",
                );
            }
            (_, ReusePolicy::Refuse) => {
                return warn(
                    "it cannot prove itself, and a token used twice is only refused",
                    "set reuse = \"end-grant\": else the thief keeps what he has (docs/refresh.md)",
                );
            }
            (Rotation::Always | Rotation::UnboundPublic, ReusePolicy::EndGrant) => {}
        },
    }
    let kind = if client.is_confidential() { "confidential" } else { "public, its refresh tokens rotate" };
    Diagnosis::ok("client", client.id.as_str(), kind)
}

fn resource(resource: &Resource) -> Diagnosis {
    let lifetime = resource.access_token_lifetime;
    let found = format!("access tokens for {} s", lifetime.secs());
    if resource.format == TokenFormat::Jwt && lifetime > LONG_JWT {
        let advice = "make access_token_lifetime 5m: a verifier that does not introspect believes a revoked JWT until it expires";
        return Diagnosis::warn("resource", resource.id.as_str(), found, advice);
    }
    Diagnosis::ok("resource", resource.id.as_str(), found)
}

/// Who takes the spans, and who the audit stream. Authorities that cannot be read are told with what is outbound.
async fn collectors(settings: &Settings) -> Vec<Diagnosis> {
    let set = |endpoint: &Option<String>| collector(settings, endpoint.as_deref()).ok().flatten();
    let (of_spans, of_records) = (set(&settings.telemetry.otlp_endpoint), set(&settings.audit.otlp_endpoint));
    let judged = |what, collector: &Collector, taken: Result<(), String>, advice: &str| match taken {
        Ok(()) => Diagnosis::ok(what, collector.shown(), "it takes OTLP"),
        Err(problem) => Diagnosis::warn(what, collector.shown(), problem, advice),
    };
    let mut found = Vec::new();
    if let Some(collector) = of_spans {
        let advice = "let telemetry.otlp_endpoint name a collector that takes OTLP over gRPC (often port 4317), reached from here: what it \
                      does not take is dropped";
        found.push(judged("collector", &collector, collector.takes_spans().await, advice));
    }
    if let Some(collector) = of_records {
        let advice = "let audit.otlp_endpoint name a collector that takes OTLP over gRPC and has a pipeline for logs, reached from here: what \
                      it does not take waits, and is lost when too much waits";
        found.push(judged("audit", &collector, collector.takes_records().await, advice));
    }
    found
}

/// A store of one machine.
fn kept(settings: &Settings, in_kubernetes: bool) -> Option<Diagnosis> {
    let at = settings.store.shown();
    match &settings.store {
        StoreUrl::Redis(_) => None,
        StoreUrl::Memory => Some(Diagnosis::fail(
            "store",
            at,
            "nothing is kept when the process ends",
            "set store to embedded:PATH, or to a Redis: every restart ends every session and forgets every revocation",
        )),
        StoreUrl::Embedded(_) if in_kubernetes => Some(Diagnosis::warn(
            "store",
            at,
            "a file of one pod",
            "use a Redis, or one replica with a volume that outlives it: two pods cannot share the file, and a roll-out stops the first \
             before the second starts",
        )),
        StoreUrl::Embedded(_) => Some(Diagnosis::ok("store", at, "a file of this machine, for one process")),
    }
}

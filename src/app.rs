//! The process, wired: the store opened, the keys made, the rooms built on each other, jobs started and stopped.
//!
//! Must not live here: anything that a request decides or does.

pub mod audit;
pub mod doctor;
mod jobs;
mod readiness;
pub mod reload;
mod root_key;
pub mod serve;

use crate::audit::{Audit, Place};
use crate::clock::Clock;
use crate::config::{Settings, StoreUrl};
use crate::floors::{self, Alive};
use crate::outbound::{self, Outbound};
use crate::records::Records;
use crate::records::documents::Ceilings;
use crate::roots::{AuditKey, Roots};
use crate::service::device::DeviceTerms;
use crate::service::limits::Limits;
use crate::service::reconfigure::Configuration;
use crate::service::{Service, Terms, dpop};
use crate::signing::{self, Signing};
use crate::store::embedded::Embedded;
use crate::store::redis::{self, Redis};
use crate::store::traced::Traced;

use crate::store::{Store, StoreError};
use crate::telemetry::Collector;
use crate::tls;
use crate::tokens::Tokens;
use jeton_domain::client::Algorithm;
use jeton_domain::error::Error;
use jeton_domain::issue::AccessForm;
use jeton_domain::name::ResourceId;
use jeton_domain::secret::Secret;
use jeton_domain::time::Millis;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The rooms of a running service.
pub struct App {
    /// The operations.
    pub service: Arc<Service>,
    /// The followed log.
    pub alive: Arc<Alive>,
    /// The records.
    pub records: Records,
    /// The store below all.
    pub store: Arc<dyn Store>,
    /// Where it is told what was done.
    pub audit: Audit,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("App(..)")
    }
}

/// Why the service does not start. For the operator: says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened or reached.
    #[error("the store `{store}` cannot be used: {problem}")]
    Store {
        /// The store, without its password.
        store: String,
        /// What is wrong.
        problem: StoreError,
    },
    /// The root key beside the data cannot be made or read.
    #[error("{0}")]
    RootKey(String),
    /// The audit stream cannot be begun.
    #[error("[audit] {place} cannot be written: {problem}")]
    Audit {
        /// The setting and what it says.
        place: String,
        /// What is wrong.
        problem: io::Error,
    },
    /// The authorities of others cannot be read.
    #[error("[outbound] ca_file: {0}")]
    Authorities(#[from] tls::Problem),
    /// A document of the service cannot be read or written.
    #[error("{0}")]
    Documents(Error),
}

impl From<Error> for StartError {
    fn from(error: Error) -> Self {
        Self::Documents(error)
    }
}

impl App {
    /// Opens the store that `settings` name, and builds the service on it.
    ///
    /// # Errors
    /// `StartError`, in words for the operator.
    pub async fn start(settings: &Settings, clock: Clock) -> Result<Self, StartError> {
        // Before the data is made, so that there never is data without its key.
        root_key::ring(settings)?;
        let store = open_store(settings, &clock).await?;
        Self::on(store, settings, clock).await
    }

    /// Builds the service on a store that is open.
    ///
    /// # Errors
    /// `StartError`, in words for the operator.
    pub async fn on(store: Arc<dyn Store>, settings: &Settings, clock: Clock) -> Result<Self, StartError> {
        let outbound = Arc::new(Outbound::new(settings.outbound.ca_file.as_deref(), outbound::Bounds::default())?);
        let ring = root_key::ring(settings)?;
        let roots = Arc::new(Roots::new(&ring)?);
        let records = Records::new(Arc::clone(&store), Arc::clone(&roots), clock.clone());
        records.register_ring().await?;
        if !records.has_salt().await? && floors::is_used(store.as_ref()).await? {
            return Err(Error::RecordUnreadable(floors::LOST_SALT.into()).into());
        }
        let salt = records.salt().await?;
        let ceilings = records.raise_ceilings(ceilings(settings)).await?;
        let view = floors::Terms {
            request_deadline: settings.limits.request_deadline,
            store_timeout: settings.tokens.store_timeout,
            max_staleness: settings.tokens.max_staleness,
            max_entries: settings.limits.view_entries,
        };
        let alive = Arc::new(Alive::new(records.clone(), salt, ceilings, view)?);
        let signing = Arc::new(Signing::new(signing::Settings {
            rotation_period: settings.signing.rotation_period,
            publish_ahead: settings.signing.publish_ahead,
            jwks_max_age: settings.signing.jwks_max_age,
            keep_after_retirement: ceilings.access_token.plus(floors::LEEWAY),
            makes_rs256: signs_with(settings, Algorithm::Rs256),
        }));
        let issuer = ResourceId::parse("issuer", &settings.issuer)?;
        let tokens = Tokens::new(roots, Arc::clone(&signing), settings.issuer.clone(), settings.limits.token_cache_bytes);
        let configured = configuration(settings);
        let service = Service::new(Arc::clone(&alive), records.clone(), tokens, signing, outbound, issuer, configured);
        let audit = begin_audit(settings, ring.first(), &clock)?;
        let limits = Limits { caller_rate: settings.limits.caller_rate, failure_rate: settings.limits.failure_rate };
        let service = Arc::new(service.telling(audit.clone()).limiting(limits));
        service.refresh_keys().await?;
        match service.follow_registry().await {
            // The clients of the file are served all the same; nobody else is, until it can be read.
            Err(problem @ (Error::Restored(_) | Error::RecordUnreadable(_))) => {
                tracing::error!(%problem, "registered clients and resources cannot be read: starting without them");
            }
            followed => followed?,
        }
        match alive.join().await {
            // It can be told, and mended, only where it runs; until then it refuses what rests on it.
            Err(problem @ (Error::Restored(_) | Error::NotDurable(_))) => tracing::error!(%problem, "starting all the same"),
            joined => joined?,
        }
        Ok(Self { service, alive, records, store, audit })
    }
}

/// The stream that is set, under the key that the ring begins with.
fn begin_audit(settings: &Settings, key: Option<&Secret<32>>, clock: &Clock) -> Result<Audit, StartError> {
    let (place, shown) = match (&settings.audit.file, collector(settings, settings.audit.otlp_endpoint.as_deref())?) {
        (Some(file), _) if file == Path::new("-") => (Place::Output, "file `-`".to_owned()),
        (Some(file), _) => (Place::File(file.clone()), format!("file `{}`", file.display())),
        (None, Some(collector)) => (Place::Collector(collector.clone()), format!("otlp_endpoint `{}`", collector.shown())),
        (None, None) => return Ok(Audit::default()),
    };
    let Some(key) = key else { return Ok(Audit::default()) };
    let refused = |problem| StartError::Audit { place: shown, problem };
    Audit::start(&place, AuditKey::derive(key)?, clock.clone()).map_err(refused)
}

/// The collector that is set there.
fn collector(settings: &Settings, endpoint: Option<&str>) -> Result<Option<Collector>, tls::Problem> {
    endpoint.map(|endpoint| Collector::at(endpoint, settings.outbound.ca_file.as_deref())).transpose()
}

async fn open_store(settings: &Settings, clock: &Clock) -> Result<Arc<dyn Store>, StartError> {
    let refused = |problem| StartError::Store { store: settings.store.shown(), problem };
    Ok(match &settings.store {
        StoreUrl::Embedded(path) => Arc::new(Traced::new(Embedded::open(path, clock.clone()).map_err(refused)?)),
        StoreUrl::Memory => Arc::new(Traced::new(Embedded::in_memory(clock.clone()).map_err(refused)?)),
        StoreUrl::Redis(address) => {
            Arc::new(Traced::new(Redis::open(address, clock.clone(), redis(settings)).await.map_err(refused)?))
        }
    })
}

/// What the operations rest on.
#[must_use]
pub fn configuration(settings: &Settings) -> Configuration {
    let terms = Terms {
        overlap: settings.tokens.overlap,
        code_lifetime: settings.tokens.code_lifetime,
        device: DeviceTerms {
            verification_uri: settings.login.verification_uri.clone(),
            lifetime: settings.tokens.device_code_lifetime,
            interval: settings.tokens.device_poll_interval,
        },
        dpop: dpop::Terms { window: settings.tokens.dpop_window, requires_nonce: settings.tokens.dpop_nonce },
        caller_tokens: settings.caller_tokens.clone(),
        issuers: settings.issuers.clone(),
        client_assertion_lifetime: settings.tokens.client_assertion_lifetime,
        phantom_lifetime: settings.gateway.phantom_lifetime,
        grants_per_subject: usize::try_from(settings.limits.grants_per_subject).unwrap_or(usize::MAX),
    };
    Configuration {
        clients: settings.clients.clone(),
        resources: settings.resources.clone(),
        callers: settings.callers.clone(),
        terms,
        longest: ceilings(settings),
        uses_rs256: signs_with(settings, Algorithm::Rs256),
    }
}

/// The longest lifetimes that this configuration can hand out; a token for the issuer itself has no resource that shortens it.
fn ceilings(settings: &Settings) -> Ceilings {
    let access_tokens = settings.tokens.access_token_ceiling.max(AccessForm::ISSUER.lifetime);
    let id_tokens = settings.clients.iter().map(|client| client.id_token_lifetime);
    let grants = settings.clients.iter().map(|client| client.absolute_lifetime);
    Ceilings { access_token: id_tokens.fold(access_tokens, Millis::max), grant: grants.fold(access_tokens, Millis::max) }
}

/// Whether some resource or client is configured for an algorithm.
fn signs_with(settings: &Settings, algorithm: Algorithm) -> bool {
    settings.resources.iter().any(|resource| resource.algorithm == algorithm)
        || settings.clients.iter().any(|client| client.id_token_algorithm == algorithm)
}

fn redis(settings: &Settings) -> redis::Settings {
    let timeout = settings.tokens.store_timeout.into();
    redis::Settings {
        connect_timeout: timeout,
        response_timeout: timeout,
        replicas: settings.redis.replicas,
        wait_timeout: settings.redis.wait_timeout.into(),
        ..redis::Settings::default()
    }
}

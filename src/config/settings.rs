//! The settings as plain data: what the rest of the process is built from. Must not live here: how they are read or checked.

use super::roots::RootKeys;
use super::store_url::StoreUrl;
use jeton_domain::caller::{Callers, TokenTerms};
use jeton_domain::certificate::CertificateName;
use jeton_domain::client::Client;
use jeton_domain::issuer::Issuers;
use jeton_domain::resource::Resources;
use jeton_domain::time::Millis;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Everything the process is told from outside, checked as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The `iss` of all tokens: an absolute http(s) URL without query, fragment and trailing slash (RFC 8414 section 2).
    pub issuer: String,
    /// Where grants, keys and revocations are kept.
    pub store: StoreUrl,
    /// The addresses that are listened on.
    pub listen: Listen,
    /// TLS of the listeners; none: they speak plain text.
    pub tls: Option<Tls>,
    /// Who calls, and what each may do. None: everybody may everything who is let in at all.
    pub callers: Callers,
    /// Whose service-account tokens callers are known by.
    pub caller_tokens: Option<TokenTerms>,
    /// Listening beyond loopback without TLS, or without knowing the caller, was asked for in so many words.
    pub insecure: bool,
    /// The ring of root keys, the active one first. Empty is possible on the embedded store only.
    pub root_keys: RootKeys,
    /// The pages of the login service.
    pub login: Login,
    /// How the store is used where it is Redis.
    pub redis: Redis,
    /// Rules of time that hold for all tokens.
    pub tokens: Tokens,
    /// The schedule of signing keys.
    pub signing: Signing,
    /// What is accepted at most.
    pub limits: Limits,
    /// Logs and traces.
    pub telemetry: Telemetry,
    /// Who did what to which grant.
    pub audit: Audit,
    /// What is asked of others and told them.
    pub outbound: Outbound,
    /// What services behind gateways are told.
    pub gateway: Gateway,
    /// The clients, ordered as in the file.
    pub clients: Vec<Client>,
    /// Whose assertions are taken as grants, ordered as in the file.
    pub issuers: Issuers,
    /// The resources, ordered as in the file.
    pub resources: Resources,
}

/// The addresses that are listened on. Port 0 lets the system choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// gRPC: the four operations, grants, keys, health.
    pub grpc: SocketAddr,
    /// Whether reflection is served there; none: where that is loopback.
    pub reflection: Option<bool>,
    /// HTTP: OAuth, discovery, the JWKS.
    pub http: SocketAddr,
    /// Liveness, readiness, metrics, and the operator's page.
    pub admin: SocketAddr,
}

/// TLS of the listeners: files of PEM, which are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate that is shown, with those between it and its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities of gRPC callers.
    pub callers: Option<PathBuf>,
    /// Whether OAuth clients are asked for a certificate.
    pub client_certificates: bool,
    /// The authorities that are believed whom such a certificate names.
    pub clients: Option<PathBuf>,
    /// The names of the proxies that pass such certificates on.
    pub proxies: Vec<CertificateName>,
    /// The header by which they do.
    pub proxy_header: String,
}

/// The pages of the login service, which clients are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// Where a user signs in and consents.
    pub authorization_endpoint: Option<String>,
    /// Where a user signs out.
    pub end_session_endpoint: Option<String>,
    /// Where a user types the code that his device shows; none: no device is served.
    pub verification_uri: Option<String>,
}

/// How the store is used where it is Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redis {
    /// How many replicas each primary has, all of which must have what is to be durable. 0: nothing waits.
    pub replicas: u32,
    /// They are waited for so long; where there are any, at most half of `Tokens::store_timeout`.
    pub wait_timeout: Millis,
}

/// Rules of time that hold for all tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// For this long after a refresh the same token is handed out again. 1 s to 60 s.
    pub overlap: Millis,
    /// How long an authorization code may be redeemed. 1 s to 10 minutes.
    pub code_lifetime: Millis,
    /// How long a device code may be redeemed. 1 to 30 minutes.
    pub device_code_lifetime: Millis,
    /// How long a device waits between two polls. 1 s to 60 s.
    pub device_poll_interval: Millis,
    /// The `iat` of a DPoP proof may be so far from now, to either side. 1 s to 5 minutes.
    pub dpop_window: Millis,
    /// Whether DPoP proofs must name a nonce of ours.
    pub dpop_nonce: bool,
    /// The longest that an assertion of a client may be valid. 10 s to an hour.
    pub client_assertion_lifetime: Millis,
    /// The longest wait for one answer of the store; at most the deadline of a request.
    pub store_timeout: Millis,
    /// A view of the revocations that is older is not trusted.
    pub max_staleness: Millis,
    /// The largest access-token lifetime of all resources; 5 minutes where there is none. Derived, never set.
    pub access_token_ceiling: Millis,
}

/// The schedule of signing keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signing {
    /// A key signs for this long.
    pub rotation_period: Millis,
    /// A key is published this long before it signs; at least `jwks_max_age`.
    pub publish_ahead: Millis,
    /// The `max-age` of the published JWKS at most.
    pub jwks_max_age: Millis,
}

/// What is accepted at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A request is answered within this time, or refused.
    pub request_deadline: Millis,
    /// Requests in work at the same moment, over all connections.
    pub concurrency: usize,
    /// Requests in work at the same moment on one connection (RFC 9113 section 5.1.2).
    pub max_streams: u32,
    /// Connections of one listener at the same moment.
    pub connections: usize,
    /// Of these from one address.
    pub connections_per_address: usize,
    /// Calls of one caller a second; 0: as many as it likes.
    pub caller_rate: u32,
    /// Failures a second to prove who asks, of one who asks and one client; 0: as many as he likes.
    pub failure_rate: u32,
    /// How long it is served once readiness is off; none: not at all.
    pub shutdown_delay: Option<Millis>,
    /// Living grants of one subject, over all clients.
    pub grants_per_subject: u32,
    /// Revocations held in memory, at most 64 bytes each; over it what is settled is asked of the store.
    pub view_entries: usize,
    /// Streams of revocations that are open at the same moment.
    pub watchers: usize,
    /// Bytes of proved access tokens held in memory; 0 holds none.
    pub token_cache_bytes: u64,
}

/// Logs and traces.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// Where spans are sent (OTLP over gRPC); none are made where it is absent.
    pub otlp_endpoint: Option<String>,
    /// The share of requests that is traced where the caller did not decide, from 0 to 1.
    pub trace_sample_ratio: f64,
    /// So often metrics are sent there too; none: they are not.
    pub metrics_interval: Option<Millis>,
    /// How a log line looks.
    pub log_format: LogFormat,
    /// The least level that is logged.
    pub log_level: LogLevel,
}

/// The audit stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// The file that it is written to; `-` is standard output.
    pub file: Option<PathBuf>,
    /// The collector that it is sent to, and not to a file. Neither: there is no stream.
    pub otlp_endpoint: Option<String>,
}

/// What is asked of others and told them, over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    /// Authorities that are trusted beside the machine's.
    pub ca_file: Option<PathBuf>,
}

/// What services behind gateways are told. The headers differ, and have no other meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The header with the subject.
    pub subject_header: String,
    /// The header with the client.
    pub client_header: String,
    /// The header with the scopes.
    pub scope_header: String,
    /// The header with the session.
    pub session_header: String,
    /// The header with the authentication context.
    pub acr_header: String,
    /// The header with the moment of the sign-in.
    pub auth_time_header: String,
    /// The longest that a JWT is valid which stands for a token. 10 s to 10 minutes.
    pub phantom_lifetime: Millis,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The least level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Someone must act.
    Error,
    /// Someone should look.
    Warn,
    /// What happened.
    Info,
    /// Why it happened. Compiled out of release builds.
    Debug,
}

impl LogFormat {
    /// Reads the word of the settings.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

impl LogLevel {
    /// Reads the word of the settings.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug].into_iter().find(|level| level.word() == word)
    }

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

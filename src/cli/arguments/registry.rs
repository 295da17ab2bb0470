//! The arguments of `jeton clients` and `jeton resources` that call a server.

use super::Remote;
use crate::cli::EXIT_CODES;
use clap::{Args, Subcommand};

/// `jeton clients ...`, of a running server
#[derive(Debug, Subcommand)]
pub enum ClientsCommand {
    /// Register a client; the secret of a confidential one is printed once
    #[command(after_help = EXIT_CODES)]
    Create(ClientArguments),
    /// One client
    #[command(after_help = EXIT_CODES)]
    Show(NamedClient),
    /// All clients, those of the configuration file too
    #[command(after_help = EXIT_CODES)]
    List(Remote),
    /// Change what is given of a client, if nobody changed it meanwhile; an empty list is written as ''
    #[command(after_help = EXIT_CODES)]
    Update(ClientArguments),
    /// Delete a client: its grants end, its tokens are dead
    #[command(after_help = EXIT_CODES)]
    Delete(NamedClient),
    /// Give a client a new secret, printed once; those that it has stay valid for a while
    #[command(after_help = EXIT_CODES)]
    RotateSecret(RotateSecretArguments),
}

/// `jeton resources ...`
#[derive(Debug, Subcommand)]
pub enum ResourcesCommand {
    /// Register a resource
    #[command(after_help = EXIT_CODES)]
    Create(ResourceArguments),
    /// One resource
    #[command(after_help = EXIT_CODES)]
    Show(NamedResource),
    /// All resources, those of the configuration file too
    #[command(after_help = EXIT_CODES)]
    List(Remote),
    /// Change what is given of a resource, if nobody changed it meanwhile; an empty list is written as ''
    #[command(after_help = EXIT_CODES)]
    Update(ResourceArguments),
    /// Delete a resource that no client names
    #[command(after_help = EXIT_CODES)]
    Delete(NamedResource),
}

/// `jeton clients create`, `jeton clients update`
#[derive(Args, Debug)]
pub struct ClientArguments {
    /// Its id
    #[arg(value_name = "CLIENT")]
    pub client: String,
    /// Whether it can keep a secret: confidential or public. Never changes
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// A way of obtaining tokens that it may use; may be repeated
    #[arg(long, value_name = "TYPE")]
    pub grant_type: Vec<String>,
    /// The scopes it may be given, separated by spaces
    #[arg(long, value_name = "SCOPES")]
    pub scope: Option<String>,
    /// A resource it may be given tokens for; may be repeated
    #[arg(long, value_name = "URI")]
    pub resource: Vec<String>,
    /// A type of authorization details that it may be given; may be repeated
    #[arg(long, value_name = "TYPE")]
    pub authorization_details_type: Vec<String>,
    /// Where its authorization codes may be sent; may be repeated
    #[arg(long, value_name = "URI")]
    pub redirect_uri: Vec<String>,
    /// A resource it is the server of; may be repeated
    #[arg(long, value_name = "URI")]
    pub serves: Vec<String>,
    /// Whether what it exchanges without an actor token does not name it as the acting party [default: false]
    #[arg(long, value_name = "BOOL")]
    pub impersonates: Option<bool>,
    /// A grant that is not used for so many seconds expires [default: 14 days]
    #[arg(long, value_name = "SECONDS")]
    pub idle_lifetime: Option<i64>,
    /// However used, a grant expires after so many seconds [default: 90 days]
    #[arg(long, value_name = "SECONDS")]
    pub absolute_lifetime: Option<i64>,
    /// When a refresh hands out a new refresh token: always, unbound-public, near-expiry or never [default: unbound-public]
    #[arg(long, value_name = "WORD")]
    pub rotation: Option<String>,
    /// What a proved second holder of a refresh token leads to: end-grant or refuse [default: end-grant]
    #[arg(long, value_name = "WORD")]
    pub reuse: Option<String>,
    /// The most living grants of one subject [default: 100]
    #[arg(long, value_name = "COUNT")]
    pub grants_per_subject: Option<i32>,
    /// The algorithm of its ID tokens: EdDSA, ES256 or RS256 [default: EdDSA]
    #[arg(long, value_name = "ALG")]
    pub id_token_algorithm: Option<String>,
    /// For how many seconds its ID tokens are valid [default: an hour]
    #[arg(long, value_name = "SECONDS")]
    pub id_token_lifetime: Option<i64>,
    /// The public keys that its assertions are signed with: a JWK set as JSON; '' takes them away
    #[arg(long, value_name = "JSON")]
    pub jwks: Option<String>,
    /// Where those keys are instead; '' takes it away
    #[arg(long, value_name = "URI")]
    pub jwks_uri: Option<String>,
    /// It authenticates by a certificate of this subject (RFC 4514); '' takes it away, as with each of these
    #[arg(long, value_name = "DN")]
    pub tls_client_auth_subject_dn: Option<String>,
    /// By a certificate for this host
    #[arg(long, value_name = "HOST")]
    pub tls_client_auth_san_dns: Option<String>,
    /// By a certificate for this URI and no other
    #[arg(long, value_name = "URI")]
    pub tls_client_auth_san_uri: Option<String>,
    /// By a certificate for this IP address
    #[arg(long, value_name = "IP")]
    pub tls_client_auth_san_ip: Option<String>,
    /// By a certificate for this mailbox
    #[arg(long, value_name = "MAILBOX")]
    pub tls_client_auth_san_email: Option<String>,
    /// By the certificate of this hash of its DER, `sha256:` and 64 hexadecimal digits, whoever signed it; may be repeated
    #[arg(long, value_name = "HASH")]
    pub self_signed_certificate: Vec<String>,
    /// Whether its tokens are bound to the certificate that it shows, and it must show one [default: false]
    #[arg(long, value_name = "BOOL")]
    pub tls_client_certificate_bound_access_tokens: Option<bool>,
    /// Where it is told that a session ended in which it was given an ID token; '' takes it away
    #[arg(long, value_name = "URI")]
    pub backchannel_logout_uri: Option<String>,
    /// With update: change it only if this is still its etag [default: that of this moment]
    #[arg(long, value_name = "ETAG", allow_hyphen_values = true)]
    pub etag: Option<String>,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// A client by its id.
#[derive(Args, Debug)]
pub struct NamedClient {
    /// Its id
    #[arg(value_name = "CLIENT")]
    pub client: String,
    /// With delete: only if this is still its etag
    #[arg(long, value_name = "ETAG", allow_hyphen_values = true)]
    pub etag: Option<String>,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// `jeton clients rotate-secret`
#[derive(Args, Debug)]
pub struct RotateSecretArguments {
    /// Its id
    #[arg(value_name = "CLIENT")]
    pub client: String,
    /// For how many seconds the secrets that it has stay valid; 0 ends them at once [default: a day]
    #[arg(long, value_name = "SECONDS")]
    pub old_valid_for: Option<i64>,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// `jeton resources create`, `jeton resources update`
#[derive(Args, Debug)]
pub struct ResourceArguments {
    /// Its identifier
    #[arg(value_name = "URI")]
    pub resource: String,
    /// The scopes it owns, separated by spaces
    #[arg(long, value_name = "SCOPES")]
    pub scope: Option<String>,
    /// A type of authorization details that it understands, as TYPE(MEMBER,MEMBER:SHAPE!,...); may be repeated
    #[arg(long, value_name = "DECLARATION")]
    pub authorization_details_type: Vec<String>,
    /// How its access tokens look: jwt or opaque [default: jwt]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// The algorithm of its JWTs: EdDSA, ES256 or RS256 [default: EdDSA]
    #[arg(long, value_name = "ALG")]
    pub algorithm: Option<String>,
    /// For how many seconds its access tokens are valid [default: 300]
    #[arg(long, value_name = "SECONDS")]
    pub access_token_lifetime: Option<i64>,
    /// The sign-in must have one of these acr values; may be repeated
    #[arg(long, value_name = "ACR")]
    pub acr: Vec<String>,
    /// The sign-in must have this authentication method; may be repeated: all of them
    #[arg(long, value_name = "METHOD")]
    pub amr: Vec<String>,
    /// The sign-in must be no older than so many seconds; 0: of any age
    #[arg(long, value_name = "SECONDS")]
    pub max_age: Option<i64>,
    /// With update: change it only if this is still its etag [default: that of this moment]
    #[arg(long, value_name = "ETAG", allow_hyphen_values = true)]
    pub etag: Option<String>,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// A resource by its identifier.
#[derive(Args, Debug)]
pub struct NamedResource {
    /// Its identifier
    #[arg(value_name = "URI")]
    pub resource: String,
    /// With delete: only if this is still its etag
    #[arg(long, value_name = "ETAG", allow_hyphen_values = true)]
    pub etag: Option<String>,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

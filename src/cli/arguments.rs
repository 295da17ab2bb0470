//! The arguments of the commands that call a server, spelled as scripts rely on them. Must not live here: what is sent
//! for them (`call`).

mod audit;
mod bench;
mod flows;
mod registry;

pub use self::audit::{AuditArguments, AuditCommand, AuditFindArguments};
pub use self::bench::{BenchArguments, BenchOperation};
pub use self::flows::{
    CodesCommand, CodesCreateArguments, CodesExchangeArguments, DevicesApproveArguments, DevicesCommand, DevicesPollArguments,
    DevicesStartArguments, DevicesUserCodeArguments, GrantArguments,
};
pub use self::registry::{
    ClientArguments, ClientsCommand, NamedClient, NamedResource, ResourceArguments, ResourcesCommand, RotateSecretArguments,
};

use super::EXIT_CODES;
use clap::{Args, Subcommand, ValueEnum};
use jeton_domain::secret::SecretText;
use std::path::PathBuf;

/// A command that calls a running server.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Issue tokens, as a login service does after it has authenticated the user
    #[command(after_help = EXIT_CODES)]
    Issue(IssueArguments),
    /// Get a new access token for a refresh token
    #[command(after_help = EXIT_CODES)]
    Refresh(RefreshArguments),
    /// Get an access token for one that a client was sent, to act for the same subject elsewhere
    #[command(after_help = EXIT_CODES)]
    Exchange(ExchangeArguments),
    /// Ask whether a token is active, and what it says
    #[command(after_help = EXIT_CODES)]
    Introspect(IntrospectArguments),
    /// End a token, a grant, or everything of a session, subject, client, consent, signing key or root key
    #[command(after_help = EXIT_CODES)]
    Revoke(RevokeArguments),
    /// Ask exactly why a token is or is not active (for the operator, never for end users)
    #[command(after_help = EXIT_CODES)]
    Explain(ExplainArguments),
    /// Authorization codes: made by the login service, redeemed by the client
    #[command(subcommand, after_help = EXIT_CODES)]
    Codes(CodesCommand),
    /// Devices without a browser: they ask, a user decides elsewhere, they poll
    #[command(subcommand, after_help = EXIT_CODES)]
    Devices(DevicesCommand),
    /// What subjects allowed clients
    #[command(subcommand, after_help = EXIT_CODES)]
    Grants(GrantsCommand),
    /// Signing keys and root keys
    #[command(subcommand, after_help = EXIT_CODES)]
    Keys(KeysCommand),
    /// `jeton clients`, but for the secret that no server is asked for: see `Command::Clients`.
    #[command(skip)]
    Clients(Box<ClientsCommand>),
    /// Resources: those of the configuration file, and those registered at run time
    #[command(subcommand, after_help = EXIT_CODES)]
    Resources(ResourcesCommand),
    /// Print every revocation as it is made, until interrupted
    #[command(after_help = EXIT_CODES)]
    Watch(WatchArguments),
    /// Show how the log of revocations is; take it as it is after a restore
    #[command(after_help = EXIT_CODES)]
    Heal(HealArguments),
    /// Measure a running server
    #[command(after_help = EXIT_CODES)]
    Bench(BenchArguments),
}

/// Which server, and how its answer is shown.
#[derive(Args, Clone, Debug)]
pub struct Remote {
    /// The server's gRPC address
    #[arg(
        long,
        env = "JETON_SERVER",
        default_value = "http://127.0.0.1:50051",
        value_name = "URL",
        help_heading = "Server and output"
    )]
    pub server: String,
    /// The authorities that are trusted at an https address, PEM [default: those of this machine]
    #[arg(long, env = "JETON_CA_FILE", value_name = "FILE", help_heading = "Server and output")]
    pub ca_file: Option<PathBuf>,
    /// The certificate of this caller, PEM
    #[arg(
        long,
        env = "JETON_CALLER_CERTIFICATE_FILE",
        value_name = "FILE",
        requires = "caller_key_file",
        help_heading = "Server and output"
    )]
    pub caller_certificate_file: Option<PathBuf>,
    /// The private key of that certificate, PEM
    #[arg(
        long,
        env = "JETON_CALLER_KEY_FILE",
        value_name = "FILE",
        requires = "caller_certificate_file",
        help_heading = "Server and output"
    )]
    pub caller_key_file: Option<PathBuf>,
    /// The file with this caller's key or service-account token
    #[arg(long, env = "JETON_CALLER_TOKEN_FILE", value_name = "FILE", help_heading = "Server and output")]
    pub caller_token_file: Option<PathBuf>,
    /// A table for people, or JSON for scripts with the field names of the API
    #[arg(long, value_enum, default_value_t = Output::Table, value_name = "FORM", help_heading = "Server and output")]
    pub output: Output,
    /// Print only this field of the answer; may be repeated: one field after the other
    #[arg(long, conflicts_with = "output", value_name = "NAME", help_heading = "Server and output")]
    pub field: Vec<String>,
}

/// How an answer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Aligned, times in words.
    Table,
    /// One JSON object, field names as in the proto.
    Json,
}

/// `jeton issue`
#[derive(Args, Debug)]
pub struct IssueArguments {
    /// What is issued.
    #[command(flatten)]
    pub grant: GrantArguments,
    /// The flow that the sign-in came by [default: authorization_code]
    #[arg(long, value_enum, value_name = "FLOW")]
    pub method: Option<SignInMethod>,
    /// A file with the client's secret, for client credentials [default: JETON_CLIENT_SECRET]
    #[arg(long, value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// The flow that a sign-in came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum SignInMethod {
    /// RFC 6749 section 4.1
    AuthorizationCode,
    /// RFC 8628
    DeviceCode,
    /// The login service checked a password itself
    Password,
    /// RFC 6749 section 4.4: the client for itself, without a user
    ClientCredentials,
}

/// `jeton refresh`
#[derive(Args, Debug)]
pub struct RefreshArguments {
    /// The refresh token; - reads it from standard input
    #[arg(value_name = "TOKEN", value_parser = secret)]
    pub token: SecretText,
    /// The client that presents it
    #[arg(long, value_name = "CLIENT")]
    pub client: String,
    /// Narrower scopes for the access token, separated by spaces [default: those of the grant]
    #[arg(long, value_name = "SCOPES")]
    pub scope: Option<String>,
    /// A narrower resource for the access token; may be repeated [default: those of the grant]
    #[arg(long, value_name = "URI")]
    pub resource: Vec<String>,
    /// Narrower authorization details for the access token: a JSON array [default: those of the grant]
    #[arg(long, value_name = "JSON")]
    pub authorization_details: Option<String>,
    /// A name for this attempt, the same for every retry of it
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub request_id: Option<String>,
    /// A file with the client's secret [default: JETON_CLIENT_SECRET]
    #[arg(long, value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// `jeton exchange`
#[derive(Args, Debug)]
pub struct ExchangeArguments {
    /// The access token of whom the new one speaks for; - reads it from standard input
    #[arg(value_name = "TOKEN", value_parser = secret)]
    pub token: SecretText,
    /// The client that asks: the token is its own, or for a resource that it serves
    #[arg(long, value_name = "CLIENT")]
    pub client: String,
    /// A file with the access token of who is to act for the subject [default: the client acts]
    #[arg(long, value_name = "FILE")]
    pub actor_token_file: Option<PathBuf>,
    /// Narrower scopes, separated by spaces [default: those of the token]
    #[arg(long, value_name = "SCOPES")]
    pub scope: Option<String>,
    /// A resource that the new token is for; may be repeated [default: the owners of the scopes, or those of the token]
    #[arg(long, value_name = "URI")]
    pub resource: Vec<String>,
    /// Narrower authorization details, as a JSON array of objects (RFC 9396) [default: those of the token]
    #[arg(long, value_name = "JSON")]
    pub authorization_details: Option<String>,
    /// A file with the client's secret [default: JETON_CLIENT_SECRET]
    #[arg(long, value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// `jeton introspect`
#[derive(Args, Debug)]
pub struct IntrospectArguments {
    /// The token, access or refresh; - reads it from standard input
    #[arg(value_name = "TOKEN", value_parser = secret)]
    pub token: SecretText,
    /// The resource that asks: a token that is not for it is inactive
    #[arg(long, value_name = "URI")]
    pub resource: Option<String>,
    /// Knows everything that was acknowledged before this question
    #[arg(long, conflicts_with = "at_least_as_fresh")]
    pub fully_fresh: bool,
    /// Knows at least this revision, as `jeton revoke` prints it
    #[arg(long, value_name = "REVISION")]
    pub at_least_as_fresh: Option<String>,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// `jeton revoke`
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["token", "grant", "session", "subject", "client", "kid", "root_key", "leaked"]))]
pub struct RevokeArguments {
    /// A token, access or refresh (a refresh token ends its grant); - reads it from standard input
    #[arg(value_name = "TOKEN", value_parser = secret, conflicts_with_all = ["grant", "session", "subject", "kid", "root_key"])]
    pub token: Option<SecretText>,
    /// A grant
    #[arg(long, value_name = "ID", allow_hyphen_values = true, conflicts_with_all = ["session", "subject", "client", "kid", "root_key"])]
    pub grant: Option<String>,
    /// A session, every grant of it; --dry-run needs --subject too
    #[arg(long, value_name = "ID", allow_hyphen_values = true, conflicts_with_all = ["client", "kid", "root_key"])]
    pub session: Option<String>,
    /// Everything of a subject; with --client what it allowed that client
    #[arg(long, value_name = "SUBJECT", allow_hyphen_values = true, conflicts_with_all = ["kid", "root_key"])]
    pub subject: Option<String>,
    /// Everything of a client; with TOKEN the client that asks
    #[arg(long, value_name = "CLIENT", conflicts_with_all = ["kid", "root_key"])]
    pub client: Option<String>,
    /// A signing key: it is burnt for ever, and everything it signed is dead
    #[arg(long, value_name = "KID", allow_hyphen_values = true)]
    pub kid: Option<String>,
    /// A root key, by its id (`jeton doctor` tells them): it is burnt for ever; what it proves is dead, and all signing keys are burnt with it
    #[arg(long, value_name = "ID", allow_hyphen_values = true, conflicts_with = "kid")]
    pub root_key: Option<String>,
    /// Every token of ours in a text of any kind and size, such as a dump or a log, for the reason `leaked`; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["token", "grant", "session", "subject", "client", "kid", "root_key", "reason"])]
    pub leaked: Option<PathBuf>,
    /// Why; kept with the revocation, and counted
    #[arg(long, value_enum, value_name = "REASON")]
    pub reason: Option<RevokeReason>,
    /// Tell how many grants would end, and end none; those of --client, --kid or --root-key alone are not counted. With --leaked only the tokens
    /// found are counted, and no server is asked
    #[arg(long)]
    pub dry_run: bool,
    /// A file with the secret of the client that asks [default: JETON_CLIENT_SECRET]
    #[arg(long, value_name = "FILE", requires = "token", requires = "client")]
    pub client_secret_file: Option<PathBuf>,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// Why something is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum RevokeReason {
    /// The user signed out
    SignOut,
    /// The user withdrew consent
    ConsentWithdrawn,
    /// The account was disabled or deleted
    AccountDisabled,
    /// A password or another credential changed
    CredentialChanged,
    /// The token leaked, or may have
    Leaked,
    /// A security incident
    Incident,
    /// An administrator decided so
    Administrative,
}

/// `jeton explain`
#[derive(Args, Debug)]
pub struct ExplainArguments {
    /// The token, of any kind; - reads it from standard input
    #[arg(value_name = "TOKEN", value_parser = secret)]
    pub token: SecretText,
    /// The resource that would ask: its audience and authentication policy are judged too
    #[arg(long, value_name = "URI")]
    pub resource: Option<String>,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// `jeton grants ...`
#[derive(Debug, Subcommand)]
pub enum GrantsCommand {
    /// The living grants of a subject
    #[command(after_help = EXIT_CODES)]
    List(GrantsListArguments),
    /// One grant, living or ended
    #[command(after_help = EXIT_CODES)]
    Show(GrantsShowArguments),
}

/// `jeton grants list`
#[derive(Args, Debug)]
pub struct GrantsListArguments {
    /// The subject
    #[arg(long, value_name = "SUBJECT", allow_hyphen_values = true)]
    pub subject: String,
    /// Only those of this client
    #[arg(long, value_name = "CLIENT")]
    pub client: Option<String>,
    /// Only those of this session
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub session: Option<String>,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// `jeton grants show`
#[derive(Args, Debug)]
pub struct GrantsShowArguments {
    /// The grant
    #[arg(value_name = "GRANT_ID", allow_hyphen_values = true)]
    pub grant: String,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// `jeton keys ...`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Every signing key with its schedule
    #[command(after_help = EXIT_CODES)]
    List(KeysListArguments),
    /// Activate the standby signing key and publish a new one; no valid token is refused because of it
    #[command(after_help = EXIT_CODES)]
    Rotate(KeysRotateArguments),
    /// Print a new root key for JETON_ROOT_KEY or the root key file; asks no server
    #[command(after_help = EXIT_CODES)]
    GenerateRoot,
}

/// `jeton keys list`
#[derive(Args, Debug)]
pub struct KeysListArguments {
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// `jeton keys rotate`
#[derive(Args, Debug)]
pub struct KeysRotateArguments {
    /// The algorithm whose key to rotate
    #[arg(long, value_enum, default_value_t = KeyAlgorithm::EdDsa)]
    pub alg: KeyAlgorithm,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// An algorithm of signing keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyAlgorithm {
    /// RFC 8037
    #[value(name = "EdDSA")]
    EdDsa,
    /// RFC 7518 section 3.4
    #[value(name = "ES256")]
    Es256,
    /// RFC 7518 section 3.3
    #[value(name = "RS256")]
    Rs256,
}

/// `jeton watch`
#[derive(Args, Debug)]
pub struct WatchArguments {
    /// Print only what comes after this revision [default: all that is known, then every change]
    #[arg(long, value_name = "REVISION")]
    pub after: Option<String>,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// `jeton heal`
#[derive(Args, Debug)]
pub struct HealArguments {
    /// Take the store's data as it is, after a backup was restored: what was revoked since stays lost
    #[arg(long)]
    pub accept: bool,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

#[expect(clippy::unnecessary_wraps, reason = "clap wants a fallible parser")]
fn secret(text: &str) -> Result<SecretText, std::convert::Infallible> {
    Ok(SecretText::new(text.to_owned()))
}

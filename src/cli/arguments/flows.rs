//! The arguments of `jeton codes` and `jeton devices`, and what they share with `jeton issue`: what a user allowed.

use super::{Remote, secret};
use crate::cli::EXIT_CODES;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use jeton_domain::secret::SecretText;
use std::path::PathBuf;

/// What a user allowed a client, as the login service says.
#[derive(Args, Debug)]
pub struct GrantArguments {
    /// The client the tokens are for
    #[arg(long, value_name = "CLIENT")]
    pub client: String,
    /// The user who signed in; none for client credentials
    #[arg(long, value_name = "SUBJECT", allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub subject: Option<String>,
    /// The scopes, separated by spaces: offline_access asks for a refresh token, openid for an ID token
    #[arg(long, value_name = "SCOPES")]
    pub scope: Option<String>,
    /// A resource the access token is for; may be repeated [default: the owners of the scopes]
    #[arg(long, value_name = "URI")]
    pub resource: Vec<String>,
    /// Authorization details (RFC 9396): a JSON array of objects with a type
    #[arg(long, value_name = "JSON")]
    pub authorization_details: Option<String>,
    /// The session of the sign-in [default: a new one]
    #[arg(long, value_name = "SESSION", allow_hyphen_values = true)]
    pub session: Option<String>,
    /// The authentication context class of the sign-in
    #[arg(long, value_name = "ACR")]
    pub acr: Option<String>,
    /// An authentication method of the sign-in, such as pwd or mfa; may be repeated
    #[arg(long, value_name = "METHOD")]
    pub amr: Vec<String>,
    /// When the user signed in, in seconds since the Unix epoch [default: now]
    #[arg(long, value_name = "UNIX")]
    pub auth_time: Option<i64>,
    /// The nonce of the authentication request, for the ID token
    #[arg(long, value_name = "NONCE", allow_hyphen_values = true)]
    pub nonce: Option<String>,
}

/// `jeton codes ...`
#[derive(Debug, Subcommand)]
pub enum CodesCommand {
    /// Make a code, as a login service does after sign-in and consent
    #[command(after_help = EXIT_CODES)]
    Create(CodesCreateArguments),
    /// Redeem a code, as its client does
    #[command(after_help = EXIT_CODES)]
    Exchange(CodesExchangeArguments),
}

/// `jeton codes create`
#[derive(Args, Debug)]
pub struct CodesCreateArguments {
    /// What is issued when the code is redeemed.
    #[command(flatten)]
    pub grant: GrantArguments,
    /// Where the code is sent: one of the client's redirect_uris [default: the only one]
    #[arg(long, value_name = "URI")]
    pub redirect_uri: Option<String>,
    /// The PKCE challenge, S256; a public client needs one
    #[arg(long, value_name = "CHALLENGE", allow_hyphen_values = true)]
    pub code_challenge: Option<String>,
    /// The thumbprint of the DPoP key that must be proved when the code is redeemed
    #[arg(long, value_name = "JKT", allow_hyphen_values = true)]
    pub dpop_jkt: Option<String>,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// `jeton codes exchange`
#[derive(Args, Debug)]
pub struct CodesExchangeArguments {
    /// The code; - reads it from standard input
    #[arg(value_name = "CODE", value_parser = secret)]
    pub code: SecretText,
    /// The client that presents it
    #[arg(long, value_name = "CLIENT")]
    pub client: String,
    /// The redirect URI that the code was made with
    #[arg(long, value_name = "URI")]
    pub redirect_uri: Option<String>,
    /// The PKCE verifier, where the code has a challenge
    #[arg(long, value_name = "VERIFIER", allow_hyphen_values = true, value_parser = secret)]
    pub code_verifier: Option<SecretText>,
    /// A narrower resource for the access token; may be repeated [default: those of the grant]
    #[arg(long, value_name = "URI")]
    pub resource: Vec<String>,
    /// Narrower authorization details for the access token: a JSON array [default: those of the grant]
    #[arg(long, value_name = "JSON")]
    pub authorization_details: Option<String>,
    /// A file with the client's secret [default: JETON_CLIENT_SECRET]
    #[arg(long, value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// `jeton devices ...`
#[derive(Debug, Subcommand)]
pub enum DevicesCommand {
    /// Begin a device authorization, as a device does
    #[command(after_help = EXIT_CODES)]
    Start(DevicesStartArguments),
    /// What the device of a user code asks for, as the page shows it to the user
    #[command(after_help = EXIT_CODES)]
    Describe(DevicesUserCodeArguments),
    /// Allow a device, as the page does when the user agreed
    #[command(after_help = EXIT_CODES)]
    Approve(DevicesApproveArguments),
    /// Refuse a device
    #[command(after_help = EXIT_CODES)]
    Deny(DevicesUserCodeArguments),
    /// Poll once for the tokens, as a device does
    #[command(after_help = EXIT_CODES)]
    Poll(DevicesPollArguments),
}

/// `jeton devices start`
#[derive(Args, Debug)]
pub struct DevicesStartArguments {
    /// The device's client
    #[arg(long, value_name = "CLIENT")]
    pub client: String,
    /// The scopes it asks for, separated by spaces
    #[arg(long, value_name = "SCOPES")]
    pub scope: Option<String>,
    /// A resource it asks for; may be repeated [default: the owners of the scopes]
    #[arg(long, value_name = "URI")]
    pub resource: Vec<String>,
    /// Authorization details it asks for: a JSON array of objects with a type
    #[arg(long, value_name = "JSON")]
    pub authorization_details: Option<String>,
    /// A file with the client's secret [default: JETON_CLIENT_SECRET]
    #[arg(long, value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// `jeton devices describe` and `jeton devices deny`
#[derive(Args, Debug)]
pub struct DevicesUserCodeArguments {
    /// The code that the user typed, in any case, with or without dash
    #[arg(value_name = "USER_CODE")]
    pub user_code: String,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// `jeton devices approve`
#[derive(Args, Debug)]
pub struct DevicesApproveArguments {
    /// The code that the user typed, in any case, with or without dash
    #[arg(value_name = "USER_CODE")]
    pub user_code: String,
    /// What is issued when the device polls; what is left out is as the device asked.
    #[command(flatten)]
    pub grant: GrantArguments,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

/// `jeton devices poll`
#[derive(Args, Debug)]
pub struct DevicesPollArguments {
    /// The device code; - reads it from standard input
    #[arg(value_name = "DEVICE_CODE", value_parser = secret)]
    pub device_code: SecretText,
    /// The device's client
    #[arg(long, value_name = "CLIENT")]
    pub client: String,
    /// Narrower authorization details for the access token: a JSON array [default: those of the grant]
    #[arg(long, value_name = "JSON")]
    pub authorization_details: Option<String>,
    /// A file with the client's secret [default: JETON_CLIENT_SECRET]
    #[arg(long, value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// Server and output.
    #[command(flatten)]
    pub remote: Remote,
}

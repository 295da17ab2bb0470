//! The arguments of `jeton audit`, which asks no server.

use super::super::EXIT_CODES;
use super::secret;
use clap::{Args, Subcommand};
use jeton_domain::id::GrantId;
use jeton_domain::secret::SecretText;
use std::path::PathBuf;

/// `jeton audit ...`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check that no line of an audit stream was changed, moved, taken out or put in, and say where
    #[command(after_help = EXIT_CODES)]
    Verify(AuditArguments),
    /// Print the lines that a token, a grant, a subject or a session stands in
    #[command(after_help = EXIT_CODES)]
    Find(AuditFindArguments),
}

/// Which stream, and the ring of root keys that proves it.
#[derive(Args, Debug)]
pub struct AuditArguments {
    /// The files of one stream, in any order, as they were rotated; - reads standard input, and then they are read as they are named
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The configuration file that names the ring [default: JETON_CONFIG, else ./jeton.toml where it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `jeton audit find`
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["token", "grant", "subject", "session"]))]
pub struct AuditFindArguments {
    /// Where to look.
    #[command(flatten)]
    pub audit: AuditArguments,
    /// A token, a code or a client secret; - reads it from standard input
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    pub token: Option<SecretText>,
    /// A grant, by its id
    #[arg(long, value_name = "GRANT_ID", allow_hyphen_values = true, value_parser = grant_id)]
    pub grant: Option<GrantId>,
    /// A subject
    #[arg(long, value_name = "SUBJECT", allow_hyphen_values = true)]
    pub subject: Option<String>,
    /// A session
    #[arg(long, value_name = "SESSION_ID", allow_hyphen_values = true)]
    pub session: Option<String>,
}

/// Words of the stream that are no id would be found in every line.
fn grant_id(text: &str) -> Result<GrantId, &'static str> {
    GrantId::parse(text).ok_or("it is no id of a grant: `jeton grants list` tells them")
}

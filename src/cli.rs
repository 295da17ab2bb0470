//! The command line: what can be typed, and the commands that call a server over gRPC.
//!
//! Lives here: arguments, how answers and failures are shown, exit codes. Must not live here: the commands that are the
//! service itself (`serve`, `audit`, `config`, `clients secret`, `callers new-key`), which `main` hands to `app` and `config`.

mod answer;
mod arguments;
mod bench;
mod call;
mod connection;
mod doctor;
mod escape;
mod failure;
mod flows;
mod heal;
mod leaked;
mod messages;
mod registry;
mod table;
mod tour;
mod watch;

pub use self::arguments::{
    AuditArguments, AuditCommand, AuditFindArguments, BenchArguments, BenchOperation, ClientArguments, ClientCommand,
    ClientsCommand, CodesCommand, CodesCreateArguments, CodesExchangeArguments, DevicesApproveArguments, DevicesCommand,
    DevicesPollArguments, DevicesStartArguments, DevicesUserCodeArguments, ExchangeArguments, ExplainArguments, GrantArguments,
    GrantsCommand, GrantsListArguments, GrantsShowArguments, HealArguments, IntrospectArguments, IssueArguments, KeyAlgorithm,
    KeysCommand, KeysListArguments, KeysRotateArguments, NamedClient, NamedResource, Output, RefreshArguments, Remote,
    ResourceArguments, ResourcesCommand, RevokeArguments, RevokeReason, RotateSecretArguments, SignInMethod, WatchArguments,
};
pub use self::call::run_client;
pub use self::doctor::{Finding, doctor};
pub use self::failure::Exit;
pub use self::tour::{TOUR_CLIENT, TOUR_END, tour};

use clap::{Args, Parser, Subcommand};
use std::fmt;
use std::path::PathBuf;

/// What the exit codes mean; the end of every `--help`.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused by the server, the answer lacks what was asked for, the configuration has mistakes, or a check failed
  2  the command line is wrong
  3  the server cannot be reached, or cannot serve now: try again
  4  `introspect` only: the token is not active";

/// The arguments of the process.
#[derive(Debug, Parser)]
#[command(
    name = "jeton",
    version,
    about = "The token service of a microservice platform: issue, refresh, revoke and introspect tokens over gRPC",
    long_about = None,
    after_help = EXIT_CODES,
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArguments,
}

impl Cli {
    /// The command; `serve` where none was named.
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

/// What jeton can be told to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until told to stop (the default)
    Serve(ServeArguments),
    /// Commands that call a running server, and `keys generate-root`.
    #[command(flatten)]
    Client(Box<ClientCommand>),
    /// Clients: those of the configuration file, and those registered at run time
    #[command(subcommand, after_help = EXIT_CODES)]
    Clients(AllClientsCommand),
    /// Callers: the services that call this one
    #[command(subcommand, after_help = EXIT_CODES)]
    Callers(CallersCommand),
    /// The audit stream: is it whole, and where does a token stand in it?
    #[command(subcommand, after_help = EXIT_CODES)]
    Audit(AuditCommand),
    /// The configuration file
    #[command(subcommand, after_help = EXIT_CODES)]
    Config(ConfigCommand),
    /// Check this configuration and its store before it goes live, and say what to change and why
    #[command(after_help = EXIT_CODES)]
    Doctor(DoctorArguments),
}

/// How to serve. Each overrides the environment, which overrides the file.
#[derive(Args, Clone, Default)]
#[command(after_help = EXIT_CODES)]
pub struct ServeArguments {
    /// The configuration file [default: JETON_CONFIG, else ./jeton.toml where it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where records are kept: embedded:PATH, memory:, redis://HOST:PORT or rediss://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Where gRPC listens [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDRESS")]
    pub grpc_listen: Option<String>,
    /// Where HTTP listens, for the JWKS [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub http_listen: Option<String>,
    /// Where liveness, readiness and metrics listen [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDRESS")]
    pub admin_listen: Option<String>,
    /// Listen beyond this machine without TLS and without authenticated callers
    #[arg(long)]
    pub insecure: bool,
    /// Where the no-op listens that `jeton bench` compares with
    #[cfg(feature = "bench")]
    #[arg(long, value_name = "ADDRESS")]
    pub noop_listen: Option<std::net::SocketAddr>,
}

impl fmt::Debug for ServeArguments {
    /// Without the store, whose address may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeArguments").field("config", &self.config).field("insecure", &self.insecure).finish_non_exhaustive()
    }
}

/// `jeton doctor`
#[derive(Args, Clone, Debug)]
pub struct DoctorArguments {
    /// As it would be served.
    #[command(flatten)]
    pub serve: ServeArguments,
    /// A table for people, or JSON for scripts
    #[arg(long, value_enum, default_value_t = Output::Table, value_name = "FORM")]
    pub output: Output,
    /// Only print jeton's functions for Redis, for `redis-cli -x FUNCTION LOAD` by a user who may
    #[arg(long)]
    pub functions: bool,
}

/// `jeton clients ...`
#[derive(Debug, Subcommand)]
pub enum AllClientsCommand {
    /// Make a client secret, and the hash of it for the configuration; asks no server
    #[command(after_help = EXIT_CODES)]
    Secret,
    /// Commands that call a running server.
    #[command(flatten)]
    Registered(Box<ClientsCommand>),
}

/// `jeton callers ...`
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum CallersCommand {
    /// Make a key of a caller, and the hash of it for the configuration; asks no server
    #[command(after_help = EXIT_CODES)]
    NewKey,
}

/// `jeton config ...`
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration as a whole; every mistake is told, by line
    #[command(after_help = EXIT_CODES)]
    Check {
        /// The configuration file [default: JETON_CONFIG, else ./jeton.toml where it exists]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print a documented configuration with every setting
    #[command(after_help = EXIT_CODES)]
    Example,
}

/// Reads the arguments of the process. Help, version and mistakes are answered here and end the process (0, 0 and 2).
#[must_use]
pub fn parse() -> Cli {
    Cli::parse()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_what_is_done_without_a_command() {
        let cli = Cli::try_parse_from(["jeton", "--store", "redis://127.0.0.1", "--insecure"]).unwrap();
        let Command::Serve(serve) = cli.into_command() else { panic!("another command") };
        assert_eq!(serve.store.as_deref(), Some("redis://127.0.0.1"));
        assert!(serve.insecure);
    }

    #[test]
    fn no_secret_is_in_the_debug_form_of_the_arguments() {
        for arguments in [["jeton", "introspect", "jat_secret"], ["jeton", "--store", "redis://u:jat_secret@h"]] {
            assert!(!format!("{:?}", Cli::try_parse_from(arguments).unwrap()).contains("jat_secret"));
        }
    }

    #[test]
    fn what_others_made_may_begin_with_a_dash() {
        let of_others = ["ID", "GRANT_ID", "SESSION", "SUBJECT", "ETAG", "CHALLENGE", "JKT", "VERIFIER", "NONCE", "KID"];
        let mut seen = std::collections::HashSet::new();
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            for argument in command.get_arguments() {
                let name = argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
                if of_others.contains(&name) {
                    assert!(argument.is_allow_hyphen_values_set(), "{} of {}", argument.get_id(), command.get_name());
                    seen.insert(name.to_owned());
                }
            }
            commands.extend(command.get_subcommands().cloned());
        }
        assert_eq!(seen.len(), of_others.len(), "{seen:?}");
        let cli =
            Cli::try_parse_from(["jeton", "clients", "delete", "till", "--etag", "-lDDSXGETQM", "--output", "json"]).unwrap();
        assert!(format!("{cli:?}").contains("-lDDSXGETQM"));
    }
}

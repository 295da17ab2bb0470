//! The process: reads the command line, hands over, and says how it went. Nothing else ends the process.

use jeton::app::audit::{self, Sought};
use jeton::app::doctor;
use jeton::app::serve::serve;
use jeton::cli::{
    self, AllClientsCommand, AuditArguments, AuditCommand, AuditFindArguments, CallersCommand, ClientCommand, Command,
    ConfigCommand, DoctorArguments, ServeArguments,
};
use jeton::clock::Clock;
use jeton::config::{self, Environment, Loaded, Mistakes, Overrides, ProcessEnvironment, environment};
use jeton_domain::secret::SecretText;
use std::fmt::Display;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Refused: a configuration with mistakes, a store that cannot be used.
const REFUSED: u8 = 1;

fn main() -> ExitCode {
    let command = cli::parse().into_command();
    let runtime = match command {
        Command::Serve(_) => tokio::runtime::Builder::new_multi_thread().enable_all().build(),
        Command::Client(_)
        | Command::Clients(_)
        | Command::Callers(_)
        | Command::Audit(_)
        | Command::Config(_)
        | Command::Doctor(_) => tokio::runtime::Builder::new_current_thread().enable_all().build(),
    };
    match runtime {
        Ok(runtime) => runtime.block_on(run(command)),
        Err(problem) => failed(&problem),
    }
}

async fn run(command: Command) -> ExitCode {
    match command {
        Command::Client(command) => call(*command).await,
        Command::Clients(AllClientsCommand::Registered(command)) => call(ClientCommand::Clients(command)).await,
        Command::Serve(arguments) => start(arguments).await,
        Command::Audit(AuditCommand::Verify(arguments)) => verify(&arguments),
        Command::Audit(AuditCommand::Find(arguments)) => find(arguments),
        Command::Config(ConfigCommand::Check { config }) => check(config.as_deref()),
        Command::Config(ConfigCommand::Example) => print(&config::example()),
        Command::Doctor(arguments) if arguments.functions => print(doctor::FUNCTIONS),
        Command::Doctor(arguments) => examine(arguments).await,
        Command::Callers(CallersCommand::NewKey) => {
            let key = config::generate_caller_key();
            let hash = config::written_hash(&jeton_domain::caller::hash_of_key(key.expose()));
            print(&format!(
                "{}\n\nThe caller keeps the key; the configuration keeps its hash:\n\n    key_hashes = [\"{hash}\"]\n",
                key.expose()
            ))
        }
        Command::Clients(AllClientsCommand::Secret) => {
            let secret = config::generate_secret();
            let hash = config::written_hash(&jeton_domain::client_secret::hash(&secret));
            print(&format!(
                "{}\n\nThe client keeps the secret; the configuration keeps its hash:\n\n    secret_hashes = [\"{hash}\"]\n",
                secret.expose()
            ))
        }
    }
}

/// Calls a running server.
async fn call(command: ClientCommand) -> ExitCode {
    let secret = ProcessEnvironment.read(environment::CLIENT_SECRET).map(SecretText::new);
    cli::run_client(command, secret, &Clock::system()).await
}

/// As it is to be served.
fn load(arguments: &ServeArguments) -> Result<Loaded, Mistakes> {
    let overrides = Overrides {
        store: arguments.store.clone(),
        grpc_listen: arguments.grpc_listen.clone(),
        http_listen: arguments.http_listen.clone(),
        admin_listen: arguments.admin_listen.clone(),
        insecure: arguments.insecure,
    };
    config::load(arguments.config.as_deref(), &ProcessEnvironment, &overrides)
}

async fn examine(arguments: DoctorArguments) -> ExitCode {
    match load(&arguments.serve) {
        Ok(loaded) => {
            let in_kubernetes = ProcessEnvironment.read(environment::KUBERNETES).is_some();
            let found = doctor::examine(&loaded, in_kubernetes, &Clock::system()).await;
            doctor::show(&found, arguments.output)
        }
        Err(mistakes) => failed(&mistakes),
    }
}

async fn start(arguments: ServeArguments) -> ExitCode {
    let loaded = match load(&arguments) {
        Ok(loaded) => loaded,
        Err(mistakes) => return failed(&mistakes),
    };
    #[cfg(feature = "bench")]
    let _noop = match arguments.noop_listen.map(jeton::transport::noop::start).transpose() {
        Ok(None) => None,
        Ok(Some(noop)) => {
            print(&format!("no-op for `jeton bench` on {}\n", noop.address()));
            Some(noop)
        }
        Err(problem) => return failed(&format!("cannot listen for the no-op: {problem}")),
    };
    // The same file again, also where it was found and not named: without it there is no configuration, and not the defaults.
    let again = ServeArguments { config: loaded.file.clone().or(arguments.config), ..arguments };
    match serve(loaded, Arc::new(move || load(&again))).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => failed(&problem),
    }
}

fn verify(arguments: &AuditArguments) -> ExitCode {
    let loaded = match config::load(arguments.config.as_deref(), &ProcessEnvironment, &Overrides::default()) {
        Ok(loaded) => loaded,
        Err(mistakes) => return failed(&mistakes),
    };
    match audit::verify(&loaded.settings, &arguments.files) {
        Ok(found) => {
            print(&audit::told(&found));
            if found.is_whole() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) }
        }
        Err(problem) => failed(&problem),
    }
}

fn find(arguments: AuditFindArguments) -> ExitCode {
    let AuditFindArguments { audit: AuditArguments { files, config }, token, grant, subject, session } = arguments;
    let loaded = match config::load(config.as_deref(), &ProcessEnvironment, &Overrides::default()) {
        Ok(loaded) => loaded,
        Err(mistakes) => return failed(&mistakes),
    };
    let sought = [token.map(Sought::Token), grant.map(Sought::Grant), subject.map(Sought::Subject), session.map(Sought::Session)];
    let sought = sought.into_iter().flatten();
    match sought.map(|sought| audit::find(&loaded.settings, &files, &sought)).collect::<Result<Vec<_>, _>>() {
        Ok(found) if found.iter().all(Vec::is_empty) => failed(&"nothing of it is in this stream"),
        Ok(found) => print(&found.concat().iter().map(|line| format!("{line}\n")).collect::<String>()),
        Err(problem) => failed(&problem),
    }
}

fn check(file: Option<&Path>) -> ExitCode {
    match config::load(file, &ProcessEnvironment, &Overrides::default()) {
        Ok(loaded) => {
            let warnings: String = loaded.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
            let right = match loaded.file {
                Some(file) => format!("the configuration is right: {}", file.display()),
                None => "there is no configuration file; the defaults are right, but configure no client".into(),
            };
            print(&format!("{warnings}{right}\n"))
        }
        Err(mistakes) => failed(&mistakes),
    }
}

/// A reader that is gone is no failure of ours.
fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    ExitCode::SUCCESS
}

fn failed(problem: &dyn Display) -> ExitCode {
    let _gone = writeln!(std::io::stderr().lock(), "error: {problem}");
    ExitCode::from(REFUSED)
}

//! The process.

use jeton::cli::{self, Command};
use jeton::clock::Clock;
use jeton::config::{Environment as _, ProcessEnvironment, environment};
use jeton_domain::secret::SecretText;
use std::io::Write as _;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match cli::parse().into_command() {
        Command::Client(command) => {
            let secret = ProcessEnvironment.read(environment::CLIENT_SECRET).map(SecretText::new);
            cli::run_client(*command, secret, &Clock::system()).await
        }
        Command::Serve(_) | Command::Config(_) | Command::Clients(_) => {
            let told = std::io::stderr().write_all(b"error: not wired yet\n");
            ExitCode::from(if told.is_ok() { 2 } else { 3 })
        }
    }
}

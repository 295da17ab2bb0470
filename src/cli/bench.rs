//! `jeton bench`: a closed loop of requests against a running server, measured.

use super::arguments::BenchArguments;
use super::failure::Failure;

/// Measures and prints.
///
/// # Errors
/// Always in this build.
pub(super) async fn run(arguments: &BenchArguments) -> Result<(), Failure> {
    Err(Failure::local(
        format!("bench of {:?} is not in this build", arguments.operation),
        "use a build that has it: CHANGELOG.md names the version",
    ))
}

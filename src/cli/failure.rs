//! What went wrong with a command: one line that says what, one that says what to do next, and the exit code.

use super::escape;
use std::error::Error as _;
use std::fmt;
use std::process::ExitCode;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The exit codes, as `--help` and `docs/cli.md` tell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Refused by the server, or the answer lacks what was asked for.
    Refused = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The server cannot be reached, or cannot serve now.
    Unreachable = 3,
    /// `introspect`: the token is not active.
    Inactive = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failed command, ready to be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    what: String,
    next: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, next) = (escape::for_terminal(&self.what), escape::for_terminal(&self.next));
        writeln!(f, "error: {what}")?;
        writeln!(f, "next: {next}")
    }
}

impl Failure {
    pub(super) fn refused(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, what: what.into(), next: next.into() }
    }

    pub(super) fn usage(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, what: what.into(), next: next.into() }
    }

    pub(super) fn of_the_answer(what: String) -> Self {
        Self { exit: Exit::Refused, what, next: "`--output json` shows the whole answer".into() }
    }

    pub(super) fn local(what: String, next: &str) -> Self {
        Self { exit: Exit::Refused, what, next: next.into() }
    }

    pub(super) fn timed_out(operation: &str, server: &str, seconds: u64) -> Self {
        Self {
            exit: Exit::Unreachable,
            what: format!("{operation}: {server} did not answer within {seconds} s"),
            next: format!(
                "is {server} the gRPC address of a jeton? Its log and `/readyz` on its admin port say what it waits for"
            ),
        }
    }

    /// What a call ended with. An answer without `ErrorInfo` is not jeton's own: a connection that failed, or another server.
    pub(super) fn of_status(operation: &str, server: &str, status: &Status) -> Self {
        let details = status.get_error_details();
        let Some(info) = details.error_info() else { return Self::of_foreign(operation, server, status) };
        let mut what = format!("{operation} was refused: {}: {}", info.reason, status.message());
        for violation in details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default() {
            if !status.message().contains(&format!("`{}`", violation.field)) {
                what.push_str(&format!("; field `{}`: {}", violation.field, violation.description));
            }
        }
        let exit = match (status.code(), info.reason.as_str()) {
            (Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled, _) | (_, "OVERLOADED" | "RATE_LIMITED") => {
                Exit::Unreachable
            }
            _ => Exit::Refused,
        };
        Self { exit, what, next: next_step(operation, status.code(), &info.reason, &details) }
    }

    fn of_foreign(operation: &str, server: &str, status: &Status) -> Self {
        let mut cause = status.source();
        let mut root = status.message().to_owned();
        while let Some(error) = cause {
            root = error.to_string();
            cause = error.source();
        }
        let (exit, what) = match status.code() {
            Code::Unavailable => (Exit::Unreachable, format!("{operation}: {server} cannot be reached: {root}")),
            Code::Cancelled | Code::DeadlineExceeded => {
                (Exit::Unreachable, format!("{operation}: {server} did not answer in time, or closed the connection"))
            }
            _ if status.source().is_some() => (Exit::Unreachable, format!("{operation}: {server} does not speak gRPC: {root}")),
            code => (Exit::Refused, format!("{operation}: {server} answered {code:?}: {root}")),
        };
        let is_tls = server.starts_with("https:");
        let next = match status.code() {
            Code::Unavailable if root.contains("invalid peer certificate") => {
                "name the authority of its certificate with `--ca-file` or JETON_CA_FILE, and the server by a name that the certificate has".into()
            }
            Code::Unavailable => {
                format!("is the server running at {server}? `jeton serve` starts one, `--server` or JETON_SERVER names another")
            }
            _ if is_tls => format!(
                "is {server} the gRPC address? If it knows its callers by their certificates, show one that it trusts with `--caller-certificate-file` and `--caller-key-file`"
            ),
            _ => format!(
                "is {server} the gRPC address (50051 by default) of a jeton of this version? `--server` or JETON_SERVER names another; write https:// where it speaks TLS"
            ),
        };
        Self { exit, what, next }
    }
}

fn next_step(operation: &str, code: Code, reason: &str, details: &ErrorDetails) -> String {
    match (reason, code) {
        ("REFRESH_TOKEN_REFUSED", _) if operation == "codes exchange" => {
            "a code is redeemed once, within its time, by its client, with the redirect URI and verifier that it was made for: make a new one with `jeton codes create`; `jeton explain CODE` tells the operator why".into()
        }
        ("REFRESH_TOKEN_REFUSED", _) if operation == "devices poll" => {
            "a device code is redeemed once, and by its own client: begin anew with `jeton devices start`".into()
        }
        ("AUTHORIZATION_PENDING", _) => {
            "let the user decide (`jeton devices approve USER_CODE` does), and poll again after the interval that `jeton devices start` told".into()
        }
        ("SLOW_DOWN", _) => "from now on wait 5 s longer between two polls".into(),
        ("DEVICE_CODE_EXPIRED", _) => "begin anew with `jeton devices start`".into(),
        ("DEVICE_DENIED", _) => "stop polling; `jeton devices start` begins anew if the user wants it".into(),
        ("USER_CODE_UNKNOWN", _) => {
            "is it typed as the device shows it? One that expired or was decided is not known any more: let the device begin anew".into()
        }
        ("TOO_MANY_GUESSES", _) => "wait: one code a second can be tried".into(),
        ("RATE_LIMITED", _) => "wait a moment: `limits.caller_rate`, or the caller's own `rate`, says how often it may call".into(),
        ("TOO_MANY_FAILURES", _) => "correct the client's or the caller's credential, and wait a moment".into(),
        ("INVALID_AUTHORIZATION_DETAILS", _) => {
            "`authorization_details_types` of the resource and of the client say what may be asked for; of a grant no more than it has".into()
        }
        ("REFRESH_TOKEN_REFUSED", _) => "sign the user in again; `jeton explain TOKEN` tells the operator why".into(),
        ("REAUTHENTICATION_REQUIRED", _) => {
            let kept = match operation {
                "refresh" => "; the refresh token was not consumed",
                "codes exchange" | "devices poll" => "; the code was not consumed",
                _ => "",
            };
            format!("sign the user in again{}{kept}", missing(details))
        }
        ("EXCHANGE_REFUSED", _) => {
            "exchange a token that is valid and the client's business; `jeton explain TOKEN` tells the operator about it".into()
        }
        ("INVALID_DPOP_PROOF" | "USE_DPOP_NONCE", _) => {
            "a client of such tokens makes a proof for each request; the command line makes none: sign the user in again for tokens that are not bound".into()
        }
        ("REVOKED_NOT_DURABLE", _) => "it is in force, but not on every replica yet: repeat the command until it succeeds".into(),
        ("SESSION_REVOKED", _) => "that session was revoked for good: leave --session out, or name a new one".into(),
        ("ROOT_KEY_MISSING", _) => "append the key to the ring of every replica: JETON_ROOT_KEY or the root key file".into(),
        ("REGISTRATION_CHANGED", _) => "somebody changed it meanwhile: look at it again, and repeat the command if it is still right".into(),
        ("REGISTRATION_READ_ONLY", _) => "change it in the configuration file of the server: it is read again while that runs".into(),
        ("REGISTRATION_IN_USE", _) => "take it out of the client that is named first: `jeton clients update`".into(),
        ("REGISTRATION_UNKNOWN", _) => "`jeton clients list` and `jeton resources list` show those there are".into(),
        ("REGISTRATION_EXISTS", _) => "`jeton clients show` or `jeton resources show` tells how it is; `update` changes it".into(),
        ("REGISTRY_FULL", _) => "delete what is not used any more, or make it shorter".into(),
        ("RESTORED", _) => "restore a newer backup, or accept what was lost: `jeton heal --accept`".into(),
        ("REVISION_LOST", _) => "ask again without that revision".into(),
        (_, Code::InvalidArgument) => format!("correct what is named; `jeton {operation} --help` says what is expected"),
        ("CALLER_UNAUTHENTICATED", _) => {
            "show who calls: `--caller-certificate-file` with `--caller-key-file`, or `--caller-token-file`; the server's log says what is wrong".into()
        }
        (_, Code::Unauthenticated) => {
            "is --client right? Its secret comes from JETON_CLIENT_SECRET or --client-secret-file; a public client has none: unset it".into()
        }
        ("CALLER_REFUSED", _) => "the configuration of the server says what this caller may do, under [callers]".into(),
        (_, Code::PermissionDenied) if operation == "issue" => {
            "the configuration of the server says what this client may do; without --subject it asks for itself, as client_credentials".into()
        }
        (_, Code::PermissionDenied) => "the configuration of the server says what this client or caller may do".into(),
        (_, Code::NotFound) => "`jeton grants list` and `jeton keys list` show what there is; `jeton doctor` the root keys".into(),
        (_, Code::Unavailable | Code::ResourceExhausted | Code::Aborted | Code::DeadlineExceeded) => {
            let wait = details.retry_info().and_then(|retry| retry.retry_delay).map_or(1, |delay| delay.as_secs().max(1));
            format!("try again in {wait} s; if it stays so, `/readyz` on the server's admin port and its log say why")
        }
        (_, Code::Unimplemented) => "the server is older than this command: use the `jeton` of its version".into(),
        (_, Code::Internal | Code::Unknown | Code::DataLoss) => "the server's log of this moment says what happened".into(),
        _ => format!("`jeton {operation} --help`; docs/errors.md explains {reason}"),
    }
}

/// What a sign-in lacks (RFC 9470), from the metadata of `REAUTHENTICATION_REQUIRED`.
fn missing(details: &ErrorDetails) -> String {
    let Some(info) = details.error_info() else { return String::new() };
    let mut text = String::new();
    for (name, words, unit) in [
        ("acr_values", "one of these acr values:", ""),
        ("amr_values", "all of these amr values:", ""),
        ("max_age", "not longer ago than", " s"),
    ] {
        if let Some(value) = info.metadata.get(name).filter(|value| !value.is_empty()) {
            let joined = match (text.is_empty(), name) {
                (true, "max_age") => "",
                (true, _) => " with",
                (false, _) => ",",
            };
            text.push_str(&format!("{joined} {words} {value}{unit}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn status(code: Code, reason: &str, metadata: &[(&str, &str)]) -> Status {
        let metadata: HashMap<String, String> = metadata.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Status::with_error_details(code, "what happened", ErrorDetails::with_error_info(reason, "jeton", metadata))
    }

    fn told(status: &Status) -> (Exit, String) {
        let failure = Failure::of_status("refresh", "http://x", status);
        (failure.exit, failure.to_string())
    }

    #[test]
    fn a_refused_refresh_says_what_to_do() {
        let (exit, text) = told(&status(Code::FailedPrecondition, "REFRESH_TOKEN_REFUSED", &[]));
        assert_eq!(exit, Exit::Refused);
        assert_eq!(
            text,
            "error: refresh was refused: REFRESH_TOKEN_REFUSED: what happened\n\
             next: sign the user in again; `jeton explain TOKEN` tells the operator why\n"
        );
    }

    #[test]
    fn reauthentication_says_what_is_missing() {
        let (exit, text) =
            told(&status(Code::FailedPrecondition, "REAUTHENTICATION_REQUIRED", &[("amr_values", "mfa"), ("max_age", "300")]));
        assert_eq!(exit, Exit::Refused);
        assert!(
            text.contains(
                "sign the user in again with all of these amr values: mfa, not longer ago than 300 s; the refresh token was not consumed"
            ),
            "{text}"
        );
    }

    #[test]
    fn codes_and_devices_are_told_what_is_next() {
        for (operation, reason, next) in [
            ("codes exchange", "REFRESH_TOKEN_REFUSED", "make a new one with `jeton codes create`"),
            ("devices poll", "REFRESH_TOKEN_REFUSED", "begin anew with `jeton devices start`"),
            ("devices poll", "AUTHORIZATION_PENDING", "poll again after the interval"),
            ("devices poll", "SLOW_DOWN", "5 s longer"),
            ("devices poll", "DEVICE_CODE_EXPIRED", "begin anew"),
            ("devices poll", "DEVICE_DENIED", "stop polling"),
            ("devices approve", "USER_CODE_UNKNOWN", "as the device shows it"),
            ("devices describe", "TOO_MANY_GUESSES", "one code a second"),
            ("issue", "RATE_LIMITED", "`limits.caller_rate`"),
            ("issue", "TOO_MANY_FAILURES", "correct the client's or the caller's credential"),
            ("codes exchange", "REAUTHENTICATION_REQUIRED", "the code was not consumed"),
            ("codes create", "INVALID_AUTHORIZATION_DETAILS", "`authorization_details_types`"),
        ] {
            let failure = Failure::of_status(operation, "http://x", &status(Code::FailedPrecondition, reason, &[])).to_string();
            assert!(failure.contains(next), "{operation}: {failure}");
        }
    }

    #[test]
    fn a_store_that_is_gone_is_no_refusal() {
        assert_eq!(told(&status(Code::Unavailable, "STORE_UNAVAILABLE", &[])).0, Exit::Unreachable);
        for (reason, exit) in [
            ("OVERLOADED", Exit::Unreachable),
            ("RATE_LIMITED", Exit::Unreachable),
            ("TOO_MANY_FAILURES", Exit::Refused),
            ("REGISTRY_FULL", Exit::Refused),
        ] {
            assert_eq!(told(&status(Code::ResourceExhausted, reason, &[])).0, exit, "{reason}");
        }
    }

    #[test]
    fn every_field_at_fault_is_named_once() {
        let mut details = ErrorDetails::with_error_info("INVALID_FIELD", "jeton", HashMap::new());
        details.add_bad_request_violation("scope", "is too long").add_bad_request_violation("sub", "has a control character");
        let (exit, text) = told(&Status::with_error_details(Code::InvalidArgument, "`scope` is too long", details));
        assert_eq!(exit, Exit::Refused);
        assert_eq!(text.matches("is too long").count(), 1);
        assert!(text.contains("field `sub`: has a control character"), "{text}");
    }

    #[test]
    fn what_a_server_says_cannot_move_the_cursor() {
        let (_, text) = told(&Status::with_error_details(
            Code::Internal,
            "\u{1b}[2Jx\ny",
            ErrorDetails::with_error_info("INTERNAL", "jeton", HashMap::new()),
        ));
        assert!(!text.contains('\u{1b}') && text.lines().count() == 2, "{text}");
    }
}

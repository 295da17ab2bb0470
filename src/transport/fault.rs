//! The one table of refusals: what each error looks like to a gRPC caller and to an OAuth client.
//!
//! Lives here: reasons, codes, OAuth words, retry hints, outward texts; nowhere else is one chosen. Must not live here:
//! the making of a gRPC status or an HTTP answer, which only write down what a `Fault` says.
//! `docs/errors.md` is rendered from this file.

#![deny(clippy::wildcard_enum_match_arm)]

use http::StatusCode;
use jeton_domain::error::{Error, Unmet};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;
use tonic::Code;

/// The domain of every `google.rpc.ErrorInfo` of ours.
pub const DOMAIN: &str = "jeton";

/// The most field violations one answer names: it must fit the header list of any client.
const MAX_VIOLATIONS: usize = 16;

/// The longest text of one part of an answer, in bytes.
const MAX_TEXT_BYTES: usize = 512;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// The registry of reasons: the word of every `ErrorInfo`. A word, once released, never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The reason as it goes over the wire.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

reasons! {
    /// A field is missing, malformed or out of bounds.
    InvalidField = "INVALID_FIELD",
    /// A scope is at fault.
    InvalidScope = "INVALID_SCOPE",
    /// A resource is at fault.
    InvalidTarget = "INVALID_TARGET",
    /// The bytes are no message of the method.
    MessageMalformed = "MESSAGE_MALFORMED",
    /// The message is too large.
    MessageTooLarge = "MESSAGE_TOO_LARGE",
    /// Not a gRPC request.
    NotGrpc = "NOT_GRPC",
    /// A message encoding that is not spoken here.
    EncodingUnsupported = "ENCODING_UNSUPPORTED",
    /// No such method.
    MethodUnknown = "METHOD_UNKNOWN",
    /// No such path, or no such service or symbol for health and reflection.
    NotFound = "NOT_FOUND",
    /// The client did not prove who it is.
    InvalidClient = "INVALID_CLIENT",
    /// The client may not do this.
    UnauthorizedClient = "UNAUTHORIZED_CLIENT",
    /// The refresh token is not accepted.
    RefreshTokenRefused = "REFRESH_TOKEN_REFUSED",
    /// The sign-in does not meet a policy.
    ReauthenticationRequired = "REAUTHENTICATION_REQUIRED",
    /// The session was revoked.
    SessionRevoked = "SESSION_REVOKED",
    /// No such grant.
    GrantUnknown = "GRANT_UNKNOWN",
    /// No such key.
    KeyUnknown = "KEY_UNKNOWN",
    /// The revision is of a lost history.
    RevisionLost = "REVISION_LOST",
    /// The caller may not call this.
    CallerRefused = "CALLER_REFUSED",
    /// The store does not answer.
    StoreUnavailable = "STORE_UNAVAILABLE",
    /// Too many changes of one grant at once.
    Contended = "CONTENDED",
    /// A root key is missing on this replica.
    RootKeyMissing = "ROOT_KEY_MISSING",
    /// A record cannot be read.
    RecordUnreadable = "RECORD_UNREADABLE",
    /// Too late.
    DeadlineExceeded = "DEADLINE_EXCEEDED",
    /// At capacity.
    Overloaded = "OVERLOADED",
    /// Going down.
    ShuttingDown = "SHUTTING_DOWN",
    /// A defect of ours.
    Internal = "INTERNAL",
}

/// One row of the table: everything that a reason fixes.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The gRPC code.
    pub code: Code,
    /// The HTTP status of the OAuth and JSON answers.
    pub http: StatusCode,
    /// The OAuth error word (RFC 6749 section 5.2, RFC 8707 section 2, RFC 9470 section 3).
    pub oauth: &'static str,
    /// After how long a retry may succeed; none: the same request fails again.
    pub retry: Option<Duration>,
    /// What happened, for the documentation.
    pub meaning: &'static str,
    /// What to do, for the documentation.
    pub remedy: &'static str,
}

/// A refusal as it goes outward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Why.
    pub reason: Reason,
    /// For people. Tells an attacker nothing.
    pub message: Cow<'static, str>,
    /// The fields at fault.
    pub violations: Vec<Violation>,
    /// For machines: members of `ErrorInfo.metadata`.
    pub metadata: Vec<(&'static str, String)>,
}

/// A field at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field as the API names it.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

/// What the transport refuses by itself, before an operation has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Not a `POST` with `application/grpc`.
    NotGrpc,
    /// A compressed message.
    EncodingUnsupported,
    /// More than so many bytes.
    MessageTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Framing is broken or the message is missing.
    MessageMalformed,
    /// Health or reflection was asked for what is not served; HTTP for a path that is not there.
    NotFound,
}

impl Fault {
    /// What an error looks like outward.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        match error {
            Error::Invalid { field, problem } => Self::field(Reason::InvalidField, field, problem),
            Error::InvalidScope { field, problem } => Self::field(Reason::InvalidScope, field, problem),
            Error::InvalidTarget { field, problem } => Self::field(Reason::InvalidTarget, field, problem),
            Error::InvalidClient(_) => Self::new(Reason::InvalidClient, "client authentication failed"),
            Error::UnauthorizedClient(text) => Self::new(Reason::UnauthorizedClient, clipped(text)),
            Error::RefreshRefused(_) => Self::new(Reason::RefreshTokenRefused, "the refresh token is not accepted"),
            Error::ReauthenticationRequired(unmet) => Self::reauthentication(unmet),
            Error::SessionRevoked(_) => {
                Self::new(Reason::SessionRevoked, "the session was revoked: sign the user in anew, under another session id")
            }
            Error::GrantUnknown => Self::new(Reason::GrantUnknown, "no grant of that id is known"),
            Error::KeyUnknown(text) => Self::new(Reason::KeyUnknown, clipped(text)),
            Error::RevisionLost => Self::new(Reason::RevisionLost, "the revision is not part of this log's history"),
            Error::CallerRefused(text) => Self::new(Reason::CallerRefused, clipped(text)),
            Error::StoreUnavailable(_) => Self::new(Reason::StoreUnavailable, "the store does not answer"),
            Error::Contended => Self::new(Reason::Contended, "too many requests changed this grant at once"),
            Error::RootKeyMissing(_) => Self::new(Reason::RootKeyMissing, "this replica lacks a key that is in use"),
            Error::RecordUnreadable(_) => Self::new(Reason::RecordUnreadable, "a stored record cannot be read"),
            Error::DeadlineExceeded => Self::new(Reason::DeadlineExceeded, "the deadline passed before the answer was ready"),
            Error::Overloaded => Self::new(Reason::Overloaded, "the server is at capacity"),
            Error::ShuttingDown => Self::new(Reason::ShuttingDown, "the server is shutting down"),
            Error::MethodUnknown => Self::new(Reason::MethodUnknown, "no such method"),
            Error::Internal(_) => Self::new(Reason::Internal, "internal error"),
        }
    }

    /// What the transport's own refusals look like outward.
    #[must_use]
    pub fn at(edge: Edge) -> Self {
        match edge {
            Edge::NotGrpc => Self::new(Reason::NotGrpc, "a gRPC request is a POST with content-type application/grpc"),
            Edge::EncodingUnsupported => Self::new(Reason::EncodingUnsupported, "compressed messages are not accepted"),
            Edge::MessageTooLarge { limit } => Self {
                metadata: vec![("limit_bytes", limit.to_string())],
                ..Self::new(Reason::MessageTooLarge, format!("the message is larger than {limit} bytes"))
            },
            Edge::MessageMalformed => Self::new(Reason::MessageMalformed, "the request carries no well-formed message"),
            Edge::NotFound => Self::new(Reason::NotFound, "there is nothing of that name"),
        }
    }

    /// A field that cannot be decoded, or none that could be named.
    #[must_use]
    pub fn undecodable(field: &str, problem: &str) -> Self {
        if field.is_empty() {
            return Self::new(Reason::MessageMalformed, clipped(problem));
        }
        Self::field(Reason::InvalidField, field, problem)
    }

    /// The row of its reason.
    #[must_use]
    pub const fn row(&self) -> Row {
        self.reason.row()
    }

    /// Adds a field at fault, within the bound of an answer.
    pub fn add(&mut self, field: &str, problem: &str) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation { field: clipped(field), problem: clipped(problem) });
        }
    }

    fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, message: message.into(), violations: Vec::new(), metadata: Vec::new() }
    }

    fn field(reason: Reason, field: &str, problem: &str) -> Self {
        let mut fault = Self::new(reason, clipped(&format!("`{field}` {problem}")));
        fault.add(field, problem);
        fault
    }

    fn reauthentication(unmet: &Unmet) -> Self {
        let mut metadata = vec![("resource", clipped(&unmet.resource))];
        if !unmet.acr_values.is_empty() {
            metadata.push(("acr_values", clipped(&unmet.acr_values.join(" "))));
        }
        if !unmet.amr_values.is_empty() {
            metadata.push(("amr_values", clipped(&unmet.amr_values.join(" "))));
        }
        if let Some(seconds) = unmet.max_age_seconds {
            metadata.push(("max_age", seconds.to_string()));
        }
        let message = "the sign-in does not meet the authentication policy of the resource: sign the user in again";
        Self { metadata, ..Self::new(Reason::ReauthenticationRequired, message) }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::of(&error)
    }
}

impl Reason {
    /// Everything that this reason fixes.
    #[must_use]
    pub const fn row(self) -> Row {
        match self {
            Self::InvalidField => row(
                Code::InvalidArgument,
                400,
                "invalid_request",
                0,
                "A field is missing, malformed or out of bounds.",
                "Correct the fields named in `BadRequest`.",
            ),
            Self::InvalidScope => row(
                Code::InvalidArgument,
                400,
                "invalid_scope",
                0,
                "A scope is malformed, unknown, not allowed for the client, or wider than the grant.",
                "Ask for scopes that the client is configured for, and at Refresh for no more than was granted.",
            ),
            Self::InvalidTarget => row(
                Code::InvalidArgument,
                400,
                "invalid_target",
                0,
                "A resource is malformed, unknown, not allowed, or does not go with the others.",
                "Ask for resources that the client is configured for; those of different token formats one by one.",
            ),
            Self::MessageMalformed => row(
                Code::InvalidArgument,
                400,
                "invalid_request",
                0,
                "The bytes are no message of the method.",
                "Generate the client from this version's `proto/`.",
            ),
            Self::MessageTooLarge => row(
                Code::InvalidArgument,
                413,
                "invalid_request",
                0,
                "The message is larger than `limit_bytes` of the metadata.",
                "Send less; split a batch.",
            ),
            Self::NotGrpc => row(
                Code::InvalidArgument,
                415,
                "invalid_request",
                0,
                "The request on the gRPC port is not a `POST` with `application/grpc`.",
                "Use a gRPC client; JSON over HTTP is on the HTTP port.",
            ),
            Self::EncodingUnsupported => {
                row(Code::Unimplemented, 415, "invalid_request", 0, "The message is compressed.", "Send it uncompressed.")
            }
            Self::MethodUnknown => row(
                Code::Unimplemented,
                404,
                "invalid_request",
                0,
                "This version has no such method.",
                "Compare the client's `proto/` with the server's; reflection lists the services.",
            ),
            Self::NotFound => row(
                Code::NotFound,
                404,
                "invalid_request",
                0,
                "Health or reflection does not know the name asked for, or the HTTP port the path.",
                "Check the name.",
            ),
            Self::InvalidClient => row(
                Code::Unauthenticated,
                401,
                "invalid_client",
                0,
                "The client is unknown, or did not prove who it is. The text never says which.",
                "Check the client id and its credential; the log and the counters of the server have the cause.",
            ),
            Self::UnauthorizedClient => row(
                Code::PermissionDenied,
                400,
                "unauthorized_client",
                0,
                "The client may not do this.",
                "Allow it in the client's configuration, or use another flow.",
            ),
            Self::RefreshTokenRefused => row(
                Code::FailedPrecondition,
                400,
                "invalid_grant",
                0,
                "The refresh token is malformed, unknown, expired, revoked, spent, or another client's. The text never says which.",
                "Sign the user in again. `jeton explain` tells the operator the exact cause.",
            ),
            Self::ReauthenticationRequired => row(
                Code::FailedPrecondition,
                400,
                "insufficient_user_authentication",
                0,
                "The sign-in does not meet what the resource demands now (RFC 9470). The refresh token is not consumed.",
                "Sign the user in again with `acr_values`, `amr_values` and `max_age` of the metadata.",
            ),
            Self::SessionRevoked => row(
                Code::FailedPrecondition,
                400,
                "access_denied",
                0,
                "Issue names a session that was revoked.",
                "Sign the user in anew, under another session id.",
            ),
            Self::GrantUnknown => {
                row(Code::NotFound, 404, "invalid_request", 0, "No grant of that id is known (any more).", "Check the id.")
            }
            Self::KeyUnknown => row(
                Code::NotFound,
                404,
                "invalid_request",
                0,
                "No signing key of that id or algorithm is known.",
                "`jeton keys list` shows those there are.",
            ),
            Self::RevisionLost => row(
                Code::FailedPrecondition,
                412,
                "invalid_request",
                0,
                "The revision asked for belongs to a history that the store has lost.",
                "Ask without it; revoke again what that revision acknowledged.",
            ),
            Self::CallerRefused => row(
                Code::PermissionDenied,
                403,
                "access_denied",
                0,
                "The caller may not call this method.",
                "Grant the caller the permission, or let it authenticate.",
            ),
            Self::StoreUnavailable => row(
                Code::Unavailable,
                503,
                "temporarily_unavailable",
                1_000,
                "The store did not answer, or not in time. A token is never called inactive for this.",
                "Retry. Operator: look at the store; readiness says what is wrong.",
            ),
            Self::Contended => row(
                Code::Unavailable,
                503,
                "temporarily_unavailable",
                100,
                "Too many requests changed one grant at once.",
                "Retry; let one process refresh at a time.",
            ),
            Self::RootKeyMissing => row(
                Code::Unavailable,
                503,
                "temporarily_unavailable",
                5_000,
                "A root key that is in use is not in this replica's ring. The log names it.",
                "Operator: append the key to the ring of every replica, before it is made the first.",
            ),
            Self::RecordUnreadable => row(
                Code::Unavailable,
                503,
                "temporarily_unavailable",
                5_000,
                "A record is there and cannot be read: another root key, tampered with, or from a newer version.",
                "Operator: the log says which; compare versions and rings of the replicas.",
            ),
            Self::DeadlineExceeded => row(
                Code::DeadlineExceeded,
                504,
                "temporarily_unavailable",
                0,
                "The deadline of the request passed: the caller's `grpc-timeout` or the server's own. What was asked for may have happened.",
                "Retry: Refresh, Revoke and Introspect are safe to repeat. Give more time if it stays so.",
            ),
            Self::Overloaded => row(
                Code::ResourceExhausted,
                503,
                "temporarily_unavailable",
                250,
                "Too many requests at once. This one was not begun.",
                "Retry with growing pauses; add replicas.",
            ),
            Self::ShuttingDown => row(
                Code::Unavailable,
                503,
                "temporarily_unavailable",
                100,
                "This replica is going down.",
                "Retry at another replica.",
            ),
            Self::Internal => {
                row(Code::Internal, 500, "server_error", 0, "A defect of jeton. The log has the details.", "Report it.")
            }
        }
    }
}

#[rustfmt::skip]
const fn row(code: Code, http: u16, oauth: &'static str, retry_ms: u64, meaning: &'static str, remedy: &'static str) -> Row {
    let http = match StatusCode::from_u16(http) { Ok(status) => status, Err(_) => StatusCode::INTERNAL_SERVER_ERROR };
    let retry = if retry_ms == 0 { None } else { Some(Duration::from_millis(retry_ms)) };
    Row { code, http, oauth, retry, meaning, remedy }
}

/// The code as the gRPC documentation spells it.
#[must_use]
pub const fn code_word(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The registry as `docs/errors.md` has it.
#[must_use]
pub fn documentation() -> String {
    let mut text = String::from(
        "# Errors\n\n\
         Every refusal over gRPC carries exactly one `google.rpc.ErrorInfo` with domain `jeton` and one of these reasons,\n\
         a `google.rpc.BadRequest` where fields are at fault, and a `google.rpc.RetryInfo` where a retry may succeed.\n\
         Over HTTP the same refusal is JSON: `error` (the OAuth word), `error_description` and `reason`.\n\n\
         This page is rendered from `src/transport/fault.rs` and compared with it by a test.\n\n\
         | reason | gRPC | HTTP | OAuth `error` | retry after |\n|---|---|---|---|---|\n",
    );
    for reason in Reason::ALL {
        let row = reason.row();
        let retry = row.retry.map_or_else(|| "-".to_owned(), |after| format!("{} ms", after.as_millis()));
        // Writing to a String cannot fail.
        _ = writeln!(
            text,
            "| [`{word}`](#{anchor}) | `{code}` | {http} | `{oauth}` | {retry} |",
            word = reason.word(),
            anchor = reason.word().to_ascii_lowercase(),
            code = code_word(row.code),
            http = row.http.as_u16(),
            oauth = row.oauth,
        );
    }
    for reason in Reason::ALL {
        let row = reason.row();
        _ = write!(text, "\n## `{}`\n\n{}\n\nWhat to do: {}\n", reason.word(), row.meaning, row.remedy);
    }
    text
}

fn clipped(text: &str) -> String {
    text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;

//! The registry of reasons: what each fixes, and the page that is rendered from it.
//!
//! Lives here: words, codes, statuses, retry hints, what they mean and what to do. Must not live here: which error has
//! which reason (`fault`).

use http::StatusCode;
use std::fmt::Write as _;
use std::time::Duration;
use tonic::Code;

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

macro_rules! reasons {
    ($($name:ident = $word:literal, $code:ident, $http:literal, $oauth:literal, $retry_ms:literal, $meaning:literal, $remedy:literal;)*) => {
        /// The registry of reasons: the word of every `ErrorInfo`. A word, once released, never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)*
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

            /// Everything that this reason fixes.
            #[must_use]
            pub const fn row(self) -> Row {
                match self {
                    $(Self::$name => Row {
                        code: Code::$code,
                        http: status($http),
                        oauth: $oauth,
                        retry: if $retry_ms == 0 { None } else { Some(Duration::from_millis($retry_ms)) },
                        meaning: $meaning,
                        remedy: $remedy,
                    },)*
                }
            }
        }
    };
}

// Reason = word, gRPC code, HTTP status, OAuth word, retry after so many milliseconds (0: not), meaning, what to do.
reasons! {
    InvalidField = "INVALID_FIELD", InvalidArgument, 400, "invalid_request", 0,
        "A field is missing, malformed or out of bounds.",
        "Correct the fields named in `BadRequest`.";
    InvalidScope = "INVALID_SCOPE", InvalidArgument, 400, "invalid_scope", 0,
        "A scope is malformed, unknown, not allowed for the client, or wider than the grant.",
        "Ask for scopes that the client is configured for, and at Refresh for no more than was granted.";
    InvalidTarget = "INVALID_TARGET", InvalidArgument, 400, "invalid_target", 0,
        "A resource is malformed, unknown, not allowed, or does not go with the others.",
        "Ask for resources that the client is configured for; those of different token formats one by one.";
    InvalidAuthorizationDetails = "INVALID_AUTHORIZATION_DETAILS", InvalidArgument, 400, "invalid_authorization_details", 0,
        "Authorization details are of a type that no resource declares or the client may not be given, not of its shape, or more than was \
         granted.",
        "Ask for types that the resource declares in `authorization_details_types`, and of a grant for no more than it has.";
    MessageMalformed = "MESSAGE_MALFORMED", InvalidArgument, 400, "invalid_request", 0,
        "The bytes are no message of the method.",
        "Generate the client from this version's `proto/`.";
    MessageTooLarge = "MESSAGE_TOO_LARGE", InvalidArgument, 413, "invalid_request", 0,
        "The message is larger than `limit_bytes` of the metadata.",
        "Send less; split a batch.";
    NotGrpc = "NOT_GRPC", InvalidArgument, 415, "invalid_request", 0,
        "The request on the gRPC port is not a `POST` with `application/grpc`.",
        "Use a gRPC client; JSON over HTTP is on the HTTP port.";
    EncodingUnsupported = "ENCODING_UNSUPPORTED", Unimplemented, 415, "invalid_request", 0,
        "The message is compressed.",
        "Send it uncompressed.";
    MethodUnknown = "METHOD_UNKNOWN", Unimplemented, 404, "invalid_request", 0,
        "This version has no such method.",
        "Compare the client's `proto/` with the server's; reflection lists the services where it is on (`listen.reflection`).";
    NotFound = "NOT_FOUND", NotFound, 404, "invalid_request", 0,
        "Health or reflection does not know the name asked for, or the HTTP port the path.",
        "Check the name.";
    InvalidClient = "INVALID_CLIENT", Unauthenticated, 401, "invalid_client", 0,
        "The client is unknown, or did not prove who it is. The text never says which.",
        "Check the client id and its credential against the configuration.";
    UnauthorizedClient = "UNAUTHORIZED_CLIENT", PermissionDenied, 400, "unauthorized_client", 0,
        "The client may not do this.",
        "Allow it in the client's configuration, or use another flow.";
    GrantTypeUnsupported = "UNSUPPORTED_GRANT_TYPE", InvalidArgument, 400, "unsupported_grant_type", 0,
        "The `grant_type` is none that the token endpoint answers.",
        "Use one of `grant_types_supported` of the metadata; passwords are never taken here.";
    RefreshTokenRefused = "REFRESH_TOKEN_REFUSED", FailedPrecondition, 400, "invalid_grant", 0,
        "The refresh token or authorization code is malformed, unknown, expired, revoked, spent, or another client's, or what is shown beside \
         it is wrong. The text never says which.",
        "Sign the user in again. `jeton explain` tells the operator the exact cause.";
    AssertionRefused = "ASSERTION_REFUSED", FailedPrecondition, 400, "invalid_grant", 0,
        "The assertion that is shown as a grant is malformed, of another issuer or audience, too long or not of now, used before, or not signed \
         with a key of its issuer.",
        "Get a new assertion from its issuer. Operator: `[issuers]` says whose are taken, from which clients.";
    InvalidDpopProof = "INVALID_DPOP_PROOF", InvalidArgument, 400, "invalid_dpop_proof", 0,
        "The DPoP proof is malformed, of another request, too old, used before, or of another key than the tokens are bound to.",
        "Make a new proof for each request and each retry, by a clock that is right: for `POST` at `token_endpoint` of the metadata, or for user \
         info or the request to a gateway, and the access token that is shown there (401 then).";
    UseDpopNonce = "USE_DPOP_NONCE", FailedPrecondition, 400, "use_dpop_nonce", 0,
        "The DPoP proof names no nonce where one is required, or one that is not valid (any more).",
        "Repeat the request with a new proof that names `dpop_nonce` of the metadata (over HTTP the header `DPoP-Nonce`; 401 at user info and gateways).";
    ReauthenticationRequired = "REAUTHENTICATION_REQUIRED", FailedPrecondition, 400, "insufficient_user_authentication", 0,
        "The sign-in does not meet what the resource demands now (RFC 9470). The refresh token is not consumed.",
        "Sign the user in again with `acr_values`, `amr_values` and `max_age` of the metadata.";
    ExchangeRefused = "EXCHANGE_REFUSED", FailedPrecondition, 400, "invalid_request", 0,
        "The subject or the actor token of an exchange is no active access token of the client or for a resource that it `serves`, is bound \
         to a key that is not proved, or names another party in `may_act`; or too many tokens would stand behind the new one (RFC 8693).",
        "Exchange the access token that came with the request, while it is valid. `jeton explain` tells the operator what is wrong with it.";
    AccessTokenRefused = "ACCESS_TOKEN_REFUSED", Unauthenticated, 401, "invalid_token", 0,
        "The access token shown at user info, or to a gateway, is malformed, expired, revoked, bound to what is not proved, or no access token. The text never says which.",
        "Refresh, or sign the user in again. `jeton explain` tells the operator the exact cause.";
    InsufficientScope = "INSUFFICIENT_SCOPE", PermissionDenied, 403, "insufficient_scope", 0,
        "The access token lacks the `scope` of the metadata.",
        "Ask for a token with that scope.";
    SessionRevoked = "SESSION_REVOKED", FailedPrecondition, 400, "access_denied", 0,
        "Issue names a session that was revoked.",
        "Sign the user in anew, under another session id.";
    AuthorizationPending = "AUTHORIZATION_PENDING", FailedPrecondition, 400, "authorization_pending", 0,
        "A device polls, and the user has not decided yet (RFC 8628).",
        "Poll again after the interval.";
    SlowDown = "SLOW_DOWN", FailedPrecondition, 400, "slow_down", 0,
        "A device polls more often than its interval allows. The interval is 5 seconds longer from now on.",
        "Wait 5 seconds longer between two polls.";
    DeviceCodeExpired = "DEVICE_CODE_EXPIRED", FailedPrecondition, 400, "expired_token", 0,
        "The device code is past its time.",
        "Begin a new device authorization.";
    DeviceDenied = "DEVICE_DENIED", FailedPrecondition, 400, "access_denied", 0,
        "The user refused the device, or what he allowed was revoked before the device polled.",
        "Stop polling; begin a new device authorization if the user wants one.";
    UserCodeUnknown = "USER_CODE_UNKNOWN", NotFound, 404, "invalid_request", 0,
        "No device waits for a decision under that user code: unknown, expired, or decided before. The text never says which.",
        "Let the user look at the device again.";
    TooManyGuesses = "TOO_MANY_GUESSES", ResourceExhausted, 429, "temporarily_unavailable", 1_000,
        "Too many user codes were tried at this replica that are none.",
        "Retry later. Let the login service slow down who types wrong codes.";
    GrantUnknown = "GRANT_UNKNOWN", NotFound, 404, "invalid_request", 0,
        "No grant of that id is known (any more).",
        "Check the id.";
    RegistrationUnknown = "REGISTRATION_UNKNOWN", NotFound, 404, "invalid_request", 0,
        "No client or resource of that name is known.",
        "`jeton clients list` and `jeton resources list` show those there are.";
    RegistrationExists = "REGISTRATION_EXISTS", AlreadyExists, 409, "invalid_request", 0,
        "A client or resource of that name is there already.",
        "Read it; update it if it is to be another. A retry of a create whose answer was lost ends so too.";
    RegistrationChanged = "REGISTRATION_CHANGED", FailedPrecondition, 412, "invalid_request", 0,
        "The client or resource was changed since it was read: its `etag` is another.",
        "Read it again, and decide again. A retry of an update whose answer was lost ends so too.";
    RegistrationReadOnly = "REGISTRATION_READ_ONLY", FailedPrecondition, 409, "invalid_request", 0,
        "The client or resource is one of the configuration file.",
        "Change it there: it is read again while jeton runs.";
    RegistrationInUse = "REGISTRATION_IN_USE", FailedPrecondition, 409, "invalid_request", 0,
        "The resource is named by a client.",
        "Take it out of that client first.";
    RegistryFull = "REGISTRY_FULL", ResourceExhausted, 507, "invalid_request", 60_000,
        "So many clients and resources are registered, or so long ones, that there is no place for more.",
        "Delete some, or make it shorter.";
    KeyUnknown = "KEY_UNKNOWN", NotFound, 404, "invalid_request", 0,
        "No signing key of that id or algorithm, or no root key of that id, is known.",
        "`jeton keys list` shows the signing keys there are, `jeton doctor` the root keys of its ring.";
    RevisionLost = "REVISION_LOST", FailedPrecondition, 412, "invalid_request", 0,
        "The revision asked for belongs to a history that the store has lost.",
        "Ask without it; revoke again what that revision acknowledged.";
    WatchCut = "WATCH_CUT", Aborted, 409, "temporarily_unavailable", 0,
        "A stream of revocations was ended: its reader was too slow, was silent for a minute, or watched for half an hour.",
        "Watch again after `revision` of the metadata; without one from the beginning. Nothing is missed.";
    CallerUnauthenticated = "CALLER_UNAUTHENTICATED", Unauthenticated, 401, "access_denied", 0,
        "The service that calls is none that is configured, or did not prove who it is. The text never says which.",
        "Show the certificate, key or service-account token of a caller. Operator: the log says what is wrong.";
    CallerRefused = "CALLER_REFUSED", PermissionDenied, 403, "access_denied", 0,
        "The caller may not do this. The text says what it lacks.",
        "Write what it lacks into its section [callers.NAME] of the configuration, or do it as another caller.";
    CrossSite = "CROSS_SITE", PermissionDenied, 403, "access_denied", 0,
        "The operator's page was asked for by another site, or under a name that is not this machine's.",
        "Open it by its own address, where it listens on loopback by `localhost` or an IP address, and use its own buttons.";
    DryRunMissing = "DRY_RUN_MISSING", FailedPrecondition, 409, "invalid_request", 0,
        "A revocation on the operator's page comes without what its dry run handed out: that is missing, another's, or too old.",
        "Look at what would end, and confirm that within ten minutes.";
    StoreUnavailable = "STORE_UNAVAILABLE", Unavailable, 503, "temporarily_unavailable", 1_000,
        "The store did not answer, or not in time. A token is never called inactive for this.",
        "Retry. Operator: look at the store; readiness says what is wrong.";
    KeysUnavailable = "KEYS_UNAVAILABLE", Unavailable, 503, "temporarily_unavailable", 10_000,
        "The keys of the client or issuer are at a `jwks_uri` that could not be fetched, and none are kept that are young enough.",
        "Retry after the pause. Operator: the log says what is wrong with the address.";
    NotDurable = "NOT_DURABLE", Unavailable, 503, "temporarily_unavailable", 1_000,
        "Not all configured replicas of the store acknowledged the write in time. Nothing was handed out.",
        "Retry. Operator: a replica of the store is gone or slow; readiness says which.";
    RevokedNotDurable = "REVOKED_NOT_DURABLE", Unavailable, 503, "temporarily_unavailable", 1_000,
        "The revocation is in force from `revision` of the metadata on, but not all configured replicas of the store acknowledged it: \
         a failover may lose it.",
        "Repeat it until it is acknowledged. Operator: a replica of the store is gone or slow; readiness says which.";
    Healing = "HEALING", Unavailable, 503, "temporarily_unavailable", 250,
        "The store changed its primary, and replicas are putting back what it may have lost.",
        "Retry; it takes at most ten seconds.";
    Restored = "RESTORED", Unavailable, 503, "temporarily_unavailable", 30_000,
        "The store, or a shard of it, holds data older than any replica can heal: a backup was restored, or a shard emptied. Nothing of it is believed.",
        "Operator: restore a newer backup, or accept what was lost with `jeton heal --accept`.";
    Contended = "CONTENDED", Unavailable, 503, "temporarily_unavailable", 100,
        "Too many requests changed one grant at once.",
        "Retry; let one process refresh at a time.";
    RootKeyMissing = "ROOT_KEY_MISSING", Unavailable, 503, "temporarily_unavailable", 5_000,
        "A root key that is in use is not in this replica's ring. The log names it.",
        "Operator: append the key to the ring of every replica, before it is made the first.";
    RecordUnreadable = "RECORD_UNREADABLE", Unavailable, 503, "temporarily_unavailable", 5_000,
        "A record is there and cannot be read: another root key, tampered with, or from a newer version.",
        "Operator: the log says which; compare versions and rings of the replicas.";
    DeadlineExceeded = "DEADLINE_EXCEEDED", DeadlineExceeded, 504, "temporarily_unavailable", 0,
        "The deadline of the request passed: the caller's `grpc-timeout` or the server's own. What was asked for may have happened.",
        "Retry: Refresh, Revoke and Introspect are safe to repeat. Give more time if it stays so.";
    Overloaded = "OVERLOADED", ResourceExhausted, 503, "temporarily_unavailable", 1_000,
        "Too many requests at once. This one was not begun.",
        "Retry with growing pauses; add replicas.";
    RateLimited = "RATE_LIMITED", ResourceExhausted, 429, "temporarily_unavailable", 1_000,
        "The caller (over HTTP: the address that asks) calls this replica more often than `limits.caller_rate`, or its own `rate`, allows. This call was not begun.",
        "Retry with growing pauses. Operator: raise it, or look what calls so often.";
    TooManyFailures = "TOO_MANY_FAILURES", ResourceExhausted, 429, "temporarily_unavailable", 1_000,
        "From here it was tried too often lately to be this client, or a caller, by what does not prove it (`limits.failure_rate`). A right \
         secret, key or certificate is taken all the same; assertions and tokens are not looked at.",
        "Correct what is shown; retry after the pause.";
    ShuttingDown = "SHUTTING_DOWN", Unavailable, 503, "temporarily_unavailable", 100,
        "This replica is going down.",
        "Retry at another replica.";
    Internal = "INTERNAL", Internal, 500, "server_error", 0,
        "A defect of jeton. The log has the details.",
        "Report it.";
}

const fn status(code: u16) -> StatusCode {
    match StatusCode::from_u16(code) {
        Ok(status) => status,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
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
         This page is rendered from `src/transport/fault/reason.rs` and compared with it by a test.\n\n\
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

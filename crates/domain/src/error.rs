//! The one error enum. What each refusal looks like on the wire is decided in one place only: the fault table of the transport.
//!
//! Texts are for operators: lower case, no full stop, input in backticks, never a secret, a key name or a driver's words.

use crate::assertion;
use crate::dpop;
use crate::exchange;
use crate::revision::Revision;
use crate::time::Timestamp;

/// What a rule, a service or a store refuses with.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every refusal there is. A new variant must be given its answer in the fault table: that `match` has no wildcard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A field of the request is at fault.
    #[error("`{field}` {problem}")]
    Invalid {
        /// The field as the API names it.
        field: String,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// A scope is unknown, not allowed for the client, or wider than the grant (RFC 6749 section 5.2 `invalid_scope`).
    #[error("`{field}` {problem}")]
    InvalidScope {
        /// The field as the API names it.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A resource is unknown, not allowed, or does not go with the others (RFC 8707 section 2 `invalid_target`).
    #[error("`{field}` {problem}")]
    InvalidTarget {
        /// The field as the API names it.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Authorization details are of no known type, not of its shape, or more than was granted (RFC 9396 section 5
    /// `invalid_authorization_details`).
    #[error("`{field}` {problem}")]
    InvalidAuthorizationDetails {
        /// The field as the API names it.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The client did not prove who it is (RFC 6749 section 5.2 `invalid_client`). One text outward, whatever the cause.
    #[error("client authentication failed: {0}")]
    InvalidClient(ClientRefusal),
    /// The client may not do this (RFC 6749 section 5.2 `unauthorized_client`).
    #[error("{0}")]
    UnauthorizedClient(String),
    /// The refresh token, or code, is not accepted (RFC 6749 section 5.2 `invalid_grant`). One reason outward.
    #[error("the refresh token is not accepted: {0}")]
    RefreshRefused(RefreshRefusal),
    /// The assertion that is shown as a grant is not accepted (RFC 7523 section 3.1 `invalid_grant`).
    #[error("the assertion {0}")]
    AssertionRefused(#[from] assertion::Refusal),
    /// The DPoP proof is not accepted (RFC 9449 section 5 `invalid_dpop_proof`).
    #[error("the DPoP proof {0}")]
    InvalidDpopProof(#[from] dpop::Refusal),
    /// The DPoP proof must name a nonce that is valid: this one (RFC 9449 section 8 `use_dpop_nonce`).
    #[error("the DPoP proof must name a nonce that is valid")]
    UseDpopNonce(String),
    /// The sign-in does not meet what the resource demands now (RFC 9470). The token is not consumed.
    #[error("the sign-in does not meet the authentication policy of `{}`", .0.resource)]
    ReauthenticationRequired(Unmet),
    /// The subject or the actor token is not accepted for an exchange (RFC 8693 section 2.2.2 `invalid_request`).
    #[error("no token is exchanged: {0}")]
    ExchangeRefused(#[from] exchange::Refusal),
    /// The access token shown for its own sake is not accepted (RFC 6750 section 3.1 `invalid_token`). One reason outward.
    #[error("the access token is not accepted")]
    AccessTokenRefused,
    /// The access token lacks one of these scopes (RFC 6750 section 3.1 `insufficient_scope`).
    #[error("the access token lacks a scope of `{0}`")]
    InsufficientScope(String),
    /// Issue names a session that was revoked.
    #[error("session `{0}` was revoked: sign the user in anew, under another session id")]
    SessionRevoked(String),
    /// A device that polls is not handed tokens (RFC 8628 section 3.5).
    #[error("{0}")]
    DeviceRefused(DeviceRefusal),
    /// No device waits for a decision under that user code: unknown, expired, or decided before. One reason outward.
    #[error("no device waits for that user code")]
    UserCodeUnknown,
    /// Too many user codes were tried that are none (RFC 8628 section 5.1).
    #[error("too many wrong user codes were tried")]
    TooManyGuesses,
    /// No grant of that id is known.
    #[error("no grant of that id is known")]
    GrantUnknown,
    /// No client or resource of that name is known.
    #[error("{0}")]
    RegistrationUnknown(String),
    /// A client or resource of that name is there already.
    #[error("{0}")]
    RegistrationExists(String),
    /// Somebody changed the client or resource since it was read.
    #[error("{0}")]
    RegistrationChanged(String),
    /// The configuration file names the client or resource: it is changed there only.
    #[error("{0}")]
    RegistrationFixed(String),
    /// The resource cannot be deleted: a client names it.
    #[error("{0}")]
    RegistrationInUse(String),
    /// The registry, or this registration of it, would be larger than it may be.
    #[error("{0}")]
    RegistryFull(String),
    /// Several fields of a registration are at fault: each with what is wrong.
    #[error("{}", .0.iter().map(|(field, problem)| format!("`{field}` {problem}")).collect::<Vec<_>>().join("; "))]
    RegistrationUnsound(Vec<(String, String)>),
    /// No signing key of that id or algorithm is known.
    #[error("{0}")]
    KeyUnknown(String),
    /// The revision asked for belongs to a history that is gone.
    #[error("the revision is not part of this log's history")]
    RevisionLost,
    /// A watcher was ended that may go on: it was too slow or silent, or watched long enough. After this revision, where it stands at one.
    #[error("the stream was ended: watch again{}", .0.map(|revision| format!(" after revision `{revision}`")).unwrap_or_default())]
    WatchCut(Option<Revision>),
    /// Nobody knows the caller. Why, for the log only.
    #[error("the caller is not known: {0}")]
    CallerUnknown(&'static str),
    /// The caller may not do this.
    #[error("{0}")]
    CallerRefused(String),
    /// The store did not answer, or not in time. Nothing is known to have happened.
    #[error("the store does not answer: {0}")]
    StoreUnavailable(String),
    /// The keys of a client or issuer, which are at an address, could not be fetched, and none are kept that are young enough.
    #[error("no keys from `{0}`")]
    KeysUnavailable(String),
    /// It was done and is in force, but not all configured replicas of the store acknowledged it in time: a failover may lose it.
    #[error("not acknowledged by all replicas of the store: {0}")]
    NotDurable(String),
    /// The revocation is in force from this revision on, but not all configured replicas of the store acknowledged it in time.
    #[error("the revocation is in force from revision `{0}` on, but not all replicas of the store acknowledged it")]
    RevokedNotDurable(Revision),
    /// The store changed its primary, and what it may have lost is being put back.
    #[error("the log of revocations is being healed after a failover")]
    Healing,
    /// The store's data is older than any replica could heal: a backup was restored.
    #[error(
        "a replica was last here {} seconds after the epoch, longer ago than replicas can heal: restore a newer backup, or accept what \
         was lost with `jeton heal --accept`",
        .0.secs()
    )]
    Restored(Timestamp),
    /// The same of one shard of the store, in words for the operator.
    #[error("{0}")]
    ShardRestored(String),
    /// The outcome was lost to a race too often.
    #[error("too many requests changed this grant at once")]
    Contended,
    /// A root key that the store knows is missing on this replica.
    #[error("root key `{0}` is in use but not in this replica's ring: append it to the ring file or to JETON_ROOT_KEY")]
    RootKeyMissing(String),
    /// A record is there and cannot be read: wrong root key, tampered with, or written by a newer version.
    #[error("a stored record cannot be read: {0}")]
    RecordUnreadable(String),
    /// The deadline of the request passed.
    #[error("the deadline passed before the answer was ready")]
    DeadlineExceeded,
    /// Too many requests at once; this one was not begun.
    #[error("the server is at capacity")]
    Overloaded,
    /// The caller calls more often than it may; this call was not begun.
    #[error("too many calls of one caller")]
    RateLimited,
    /// Who asks failed too often lately to prove who he is. What he shows now was not looked at, or is wrong too.
    #[error("too many failures to prove who asks")]
    TooManyFailures,
    /// The server is going down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// No such method.
    #[error("no such method")]
    MethodUnknown,
    /// A defect of ours.
    #[error("internal error")]
    Internal(String),
}

impl Error {
    /// A field at fault.
    #[must_use]
    pub fn invalid(field: &str, problem: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), problem: problem.into() }
    }

    /// A scope at fault.
    #[must_use]
    pub fn invalid_scope(field: &str, problem: impl Into<String>) -> Self {
        Self::InvalidScope { field: field.into(), problem: problem.into() }
    }

    /// A resource at fault.
    #[must_use]
    pub fn invalid_target(field: &str, problem: impl Into<String>) -> Self {
        Self::InvalidTarget { field: field.into(), problem: problem.into() }
    }
}

/// Why a client was not believed. For audit and metrics; an attacker sees one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientRefusal {
    /// No client of that id.
    #[error("no such client")]
    Unknown,
    /// A confidential client came without authentication.
    #[error("a confidential client must authenticate")]
    Missing,
    /// What it presented is wrong.
    #[error("the credential is wrong")]
    Wrong,
    /// A way to authenticate that this client has not registered.
    #[error("this way of authenticating is not registered for the client")]
    Method,
    /// Its assertion is not accepted.
    #[error("the client assertion {0}")]
    Assertion(#[from] assertion::Refusal),
}

/// Why a refresh token was not accepted. Outward there is one reason; this is for `Explain`, audit and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefreshRefusal {
    /// Not a refresh token of ours: prefix, length, alphabet or checksum.
    #[error("malformed")]
    Malformed,
    /// No such grant.
    #[error("unknown grant")]
    Unknown,
    /// The grant belongs to another client.
    #[error("another client's")]
    OtherClient,
    /// The tag does not prove it, or its key proves nothing.
    #[error("not genuine")]
    NotGenuine,
    /// The key or certificate it is bound to was not proved.
    #[error("sender constraint not proved")]
    WrongProof,
    /// The grant was ended, or a floor is above its `born`.
    #[error("ended: {0}")]
    Ended(Cause),
    /// Past its idle or absolute lifetime.
    #[error("expired: {0}")]
    Expired(Expiry),
    /// The redirect URI or the PKCE verifier does not go with the authorization code.
    #[error("redirect URI or verifier does not go with the code")]
    CodeMismatch,
    /// An authorization code was presented again.
    #[error("code already used")]
    CodeUsed,
    /// This use proved a second holder; the grant is ended now.
    #[error("reuse detected")]
    Reuse,
    /// The predecessor came back too late; the grant is ended now.
    #[error("retried too late")]
    RetryExpired,
}

impl RefreshRefusal {
    /// The word for it in metrics and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::OtherClient => "other_client",
            Self::NotGenuine => "not_genuine",
            Self::WrongProof => "wrong_proof",
            Self::Ended(cause) => cause.word(),
            Self::Expired(Expiry::Idle) => "expired_idle",
            Self::Expired(Expiry::Absolute) => "expired_absolute",
            Self::Expired(Expiry::Code) => "expired_code",
            Self::CodeMismatch => "code_mismatch",
            Self::CodeUsed => "code_used",
            Self::Reuse => "reuse",
            Self::RetryExpired => "retry_expired",
        }
    }
}

/// Why a device that polls is not handed tokens (RFC 8628 section 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceRefusal {
    /// The user has not decided yet.
    #[error("the user has not decided yet")]
    Pending,
    /// The same, and the device polls too often: its interval is longer by 5 seconds from now on.
    #[error("the device polls too often")]
    SlowDown,
    /// The device code is past its time.
    #[error("the device code has expired")]
    Expired,
    /// The user refused, or what he allowed was revoked since.
    #[error("the user refused, or what he allowed was revoked")]
    Denied,
}

/// Which lifetime passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Expiry {
    /// Not used for the idle lifetime.
    #[error("idle")]
    Idle,
    /// The absolute lifetime of the grant.
    #[error("absolute")]
    Absolute,
    /// The code's.
    #[error("code")]
    Code,
}

/// Why a grant ended: kept in its record, told by `Explain`, counted in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Cause {
    /// This token was revoked.
    #[error("token revoked")]
    TokenRevoked,
    /// This grant was revoked.
    #[error("grant revoked")]
    GrantRevoked,
    /// Its session was revoked.
    #[error("session revoked")]
    SessionRevoked,
    /// Everything of the subject was revoked.
    #[error("subject revoked")]
    SubjectRevoked,
    /// Everything of the client was revoked.
    #[error("client revoked")]
    ClientRevoked,
    /// The subject withdrew the consent to the client.
    #[error("consent withdrawn")]
    ConsentRevoked,
    /// Its signing key or root key was burnt.
    #[error("its key burnt")]
    KeyBurnt,
    /// Two holders were proved.
    #[error("reuse of a spent token")]
    Reuse,
    /// A lost reply was retried too late.
    #[error("retry came too late")]
    RetryExpired,
    /// The client has too many grants of this subject; this was the oldest.
    #[error("evicted by a newer grant")]
    Evicted,
}

impl Cause {
    /// The word for it in metrics and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::TokenRevoked => "token_revoked",
            Self::GrantRevoked => "grant_revoked",
            Self::SessionRevoked => "session_revoked",
            Self::SubjectRevoked => "subject_revoked",
            Self::ClientRevoked => "client_revoked",
            Self::ConsentRevoked => "consent_revoked",
            Self::KeyBurnt => "key_burnt",
            Self::Reuse => "ended_by_reuse",
            Self::RetryExpired => "ended_by_retry",
            Self::Evicted => "evicted",
        }
    }
}

/// When and why a grant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
}

/// What a sign-in lacks for a resource (RFC 9470 section 3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unmet {
    /// The resource whose policy is not met.
    pub resource: String,
    /// `acr` values of which one is required; empty where the `acr` is not at fault.
    pub acr_values: Vec<String>,
    /// `amr` values that are all required; empty where the `amr` is not at fault.
    pub amr_values: Vec<String>,
    /// The most seconds since the sign-in, where it is too old or of unknown age.
    pub max_age_seconds: Option<u64>,
}

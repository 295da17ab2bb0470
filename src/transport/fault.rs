//! The one table of refusals: what each error looks like to a gRPC caller and to an OAuth client.
//!
//! Lives here: which reason and outward text each error has, and in `reason` what that fixes; nowhere else is one chosen.
//! Must not live here: the making of a gRPC status or an HTTP answer, which only write down what a `Fault` says.

#![deny(clippy::wildcard_enum_match_arm)]

mod reason;

pub use reason::{Reason, Row, code_word, documentation};

use jeton_domain::error::{DeviceRefusal, Error, Unmet};
use std::borrow::Cow;

/// The domain of every `google.rpc.ErrorInfo` of ours.
pub const DOMAIN: &str = "jeton";

/// The most field violations one answer names: it must fit the header list of any client.
const MAX_VIOLATIONS: usize = 16;

/// The longest text of one part of an answer, in bytes.
const MAX_TEXT_BYTES: usize = 512;

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
    /// The operator's page, asked for by another site or under a foreign name.
    CrossSite {
        /// By what it shows.
        what: &'static str,
    },
    /// A revocation on the operator's page that nobody looked at first.
    DryRunMissing,
    /// A compressed message.
    EncodingUnsupported,
    /// More than so many bytes.
    MessageTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Framing is broken or the message is missing.
    MessageMalformed,
    /// A grant type that the token endpoint does not answer.
    GrantTypeUnsupported,
    /// HTTP for a path that is there, by a method that it does not answer.
    MethodNotAllowed,
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
            Error::InvalidAuthorizationDetails { field, problem } => {
                Self::field(Reason::InvalidAuthorizationDetails, field, problem)
            }
            Error::InvalidClient(_) => Self::new(Reason::InvalidClient, "client authentication failed"),
            Error::UnauthorizedClient(text) => Self::new(Reason::UnauthorizedClient, clipped(text)),
            Error::RefreshRefused(_) => {
                Self::new(Reason::RefreshTokenRefused, "the refresh token or authorization code is not accepted")
            }
            Error::AssertionRefused(refusal) => Self::new(Reason::AssertionRefused, format!("the assertion {refusal}")),
            Error::InvalidDpopProof(refusal) => Self::new(Reason::InvalidDpopProof, format!("the DPoP proof {refusal}")),
            Error::UseDpopNonce(nonce) => Self {
                metadata: vec![("dpop_nonce", nonce.clone())],
                ..Self::new(Reason::UseDpopNonce, "the DPoP proof must name the nonce that is given here")
            },
            Error::ReauthenticationRequired(unmet) => Self::reauthentication(unmet),
            Error::ExchangeRefused(refusal) => Self::new(Reason::ExchangeRefused, refusal.to_string()),
            Error::AccessTokenRefused => Self::new(Reason::AccessTokenRefused, "the access token is not accepted"),
            Error::InsufficientScope(scope) => Self {
                metadata: vec![("scope", clipped(scope))],
                ..Self::new(Reason::InsufficientScope, "the access token lacks a scope")
            },
            Error::SessionRevoked(_) => {
                Self::new(Reason::SessionRevoked, "the session was revoked: sign the user in anew, under another session id")
            }
            Error::DeviceRefused(DeviceRefusal::Pending) => {
                Self::new(Reason::AuthorizationPending, "the user has not decided yet")
            }
            Error::DeviceRefused(DeviceRefusal::SlowDown) => {
                Self::new(Reason::SlowDown, "the user has not decided yet: wait 5 seconds longer between two polls")
            }
            Error::DeviceRefused(DeviceRefusal::Expired) => Self::new(Reason::DeviceCodeExpired, "the device code has expired"),
            Error::DeviceRefused(DeviceRefusal::Denied) => Self::new(Reason::DeviceDenied, "the device was not authorized"),
            Error::UserCodeUnknown => Self::new(Reason::UserCodeUnknown, "no device waits for that user code"),
            Error::TooManyGuesses => Self::new(Reason::TooManyGuesses, "too many wrong user codes were tried"),
            Error::GrantUnknown => Self::new(Reason::GrantUnknown, "no grant of that id is known"),
            Error::RegistrationUnknown(text) => Self::new(Reason::RegistrationUnknown, clipped(text)),
            Error::RegistrationExists(text) => Self::new(Reason::RegistrationExists, clipped(text)),
            Error::RegistrationChanged(text) => Self::new(Reason::RegistrationChanged, clipped(text)),
            Error::RegistrationFixed(text) => Self::new(Reason::RegistrationReadOnly, clipped(text)),
            Error::RegistrationInUse(text) => Self::new(Reason::RegistrationInUse, clipped(text)),
            Error::RegistryFull(text) => Self::new(Reason::RegistryFull, clipped(text)),
            Error::RegistrationUnsound(problems) => Self::fields(problems),
            Error::KeyUnknown(text) => Self::new(Reason::KeyUnknown, clipped(text)),
            Error::RevisionLost => Self::new(Reason::RevisionLost, "the revision is not part of this log's history"),
            Error::WatchCut(revision) => Self {
                metadata: revision.iter().map(|revision| ("revision", revision.to_string())).collect(),
                ..Self::new(Reason::WatchCut, "the stream was ended: watch again, from where it stood")
            },
            Error::CallerUnknown(_) => Self::new(Reason::CallerUnauthenticated, "caller authentication failed"),
            Error::CallerRefused(text) => Self::new(Reason::CallerRefused, clipped(text)),
            Error::StoreUnavailable(_) => Self::new(Reason::StoreUnavailable, "the store does not answer"),
            Error::KeysUnavailable(_) => {
                Self::new(Reason::KeysUnavailable, "the keys that it must be signed with could not be fetched")
            }
            Error::NotDurable(_) => Self::new(Reason::NotDurable, "not all replicas of the store acknowledged the write in time"),
            Error::RevokedNotDurable(revision) => Self {
                metadata: vec![("revision", revision.to_string())],
                ..Self::new(
                    Reason::RevokedNotDurable,
                    "the revocation is in force, but not all replicas of the store acknowledged it in time",
                )
            },
            Error::Healing => Self::new(Reason::Healing, "revocations are being put back after a failover of the store"),
            Error::Restored(_) | Error::ShardRestored(_) => {
                Self::new(Reason::Restored, "the store was restored from an old backup")
            }
            Error::Contended => Self::new(Reason::Contended, "too many requests changed this grant at once"),
            Error::RootKeyMissing(_) => Self::new(Reason::RootKeyMissing, "this replica lacks a key that is in use"),
            Error::RecordUnreadable(_) => Self::new(Reason::RecordUnreadable, "a stored record cannot be read"),
            Error::DeadlineExceeded => Self::new(Reason::DeadlineExceeded, "the deadline passed before the answer was ready"),
            Error::Overloaded => Self::new(Reason::Overloaded, "the server is at capacity"),
            Error::RateLimited => Self::new(Reason::RateLimited, "the caller calls more often than it may"),
            Error::TooManyFailures => Self::new(Reason::TooManyFailures, "there were too many failures to prove who asks"),
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
            Edge::CrossSite { what } => Self::new(Reason::CrossSite, what),
            Edge::DryRunMissing => Self::new(Reason::DryRunMissing, "nobody looked at what would end, or too long ago"),
            Edge::EncodingUnsupported => Self::new(Reason::EncodingUnsupported, "compressed messages are not accepted"),
            Edge::MessageTooLarge { limit } => Self {
                metadata: vec![("limit_bytes", limit.to_string())],
                ..Self::new(Reason::MessageTooLarge, format!("the message is larger than {limit} bytes"))
            },
            Edge::MessageMalformed => Self::new(Reason::MessageMalformed, "the request carries no well-formed message"),
            Edge::GrantTypeUnsupported => Self::new(
                Reason::GrantTypeUnsupported,
                "`grant_type` is none that is answered here: `grant_types_supported` of the metadata names them",
            ),
            Edge::MethodNotAllowed => Self::new(
                Reason::MethodUnknown,
                "this address does not answer that HTTP method: the header Allow names those that it answers",
            ),
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

    fn fields(problems: &[(String, String)]) -> Self {
        let mut all = problems.iter();
        let first = all.next().map(|(field, problem)| Self::field(Reason::InvalidField, field, problem));
        let mut fault = first.unwrap_or_else(|| Self::new(Reason::InvalidField, "a field is at fault"));
        all.for_each(|(field, problem)| fault.add(field, problem));
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

fn clipped(text: &str) -> String {
    text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;

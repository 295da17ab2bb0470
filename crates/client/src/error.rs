//! Why a call failed: what jeton said, or that it said nothing.

use std::collections::HashMap;
use std::error::Error as _;
use std::time::Duration;
use tonic::{Code, ConnectError, Status};
use tonic_types::StatusExt as _;

/// The domain of jeton's own refusals.
const DOMAIN: &str = "jeton";

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// jeton refused, and says why.
    #[error("jeton refused: {0}")]
    Refused(Box<Refusal>),
    /// Nothing was sent, for want of a connection or of something that could be sent; or jeton never looked at it, and said so. It did not happen.
    #[error("jeton was not asked: {0}")]
    NotSent(String),
    /// It was sent, and no answer of jeton's came: the connection was lost, or the time was over. It may have happened.
    #[error("jeton did not answer: {0}")]
    NoAnswer(String),
}

/// What jeton refused with. The reasons are listed in `docs/errors.md`, with what to do about each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One word, such as `REFRESH_TOKEN_REFUSED`.
    pub reason: String,
    /// For people. Its wording may change.
    pub message: String,
    /// The gRPC code.
    pub code: Code,
    /// For machines, such as `revision` of `REVOKED_NOT_DURABLE` or `max_age` of `REAUTHENTICATION_REQUIRED`.
    pub metadata: HashMap<String, String>,
    /// The fields at fault, and what is wrong with each.
    pub fields: Vec<(String, String)>,
    /// After how long a retry may succeed; none where it will not.
    pub retry_after: Option<Duration>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.reason)
    }
}

impl Error {
    /// jeton's reason; none where it did not speak.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.refusal().map(|refusal| refusal.reason.as_str())
    }

    /// What the refusal says under this key.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.refusal()?.metadata.get(key).map(String::as_str)
    }

    /// After how long a retry may succeed, where jeton says so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.refusal()?.retry_after
    }

    /// The refusal; none where jeton did not speak.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::NotSent(_) | Self::NoAnswer(_) => None,
        }
    }

    /// Whether the same may succeed later: it passes by itself, and is nothing about what was asked.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Refused(refusal) => {
                refusal.retry_after.is_some() || matches!(refusal.code, Code::Unavailable | Code::DeadlineExceeded)
            }
            Self::NotSent(_) | Self::NoAnswer(_) => true,
        }
    }

    /// Whether it certainly did not happen.
    #[must_use]
    pub fn is_unbegun(&self) -> bool {
        match self {
            // Refused before it was begun.
            Self::Refused(refusal) => matches!(refusal.reason.as_str(), "OVERLOADED" | "RATE_LIMITED" | "TOO_MANY_FAILURES"),
            Self::NotSent(_) => true,
            Self::NoAnswer(_) => false,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let spoke = details.error_info().filter(|info| info.domain == DOMAIN);
        if let Some(info) = spoke {
            let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
            return Self::Refused(Box::new(Refusal {
                reason: info.reason.clone(),
                message: status.message().to_owned(),
                code: status.code(),
                metadata: info.metadata.clone(),
                fields: violations.iter().map(|field| (field.field.clone(), field.description.clone())).collect(),
                retry_after: details.retry_info().and_then(|info| info.retry_delay),
            }));
        }
        if never_begun(&status) {
            return Self::NotSent(status.message().to_owned());
        }
        let passing = [
            Code::Unavailable,
            Code::Unknown,
            Code::Internal,
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::ResourceExhausted,
            Code::Aborted,
        ];
        if passing.contains(&status.code()) {
            return Self::NoAnswer(format!("{}: {}", status.code(), status.message()));
        }
        // Somebody between us and jeton decided: a proxy that lets nobody through, a server that is another.
        Self::Refused(Box::new(Refusal {
            reason: String::new(),
            message: status.message().to_owned(),
            code: status.code(),
            metadata: HashMap::new(),
            fields: Vec::new(),
            retry_after: None,
        }))
    }
}

/// Whether the call ended before there was a connection, waited for one that was told to go, or was never looked at.
fn never_begun(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        // Over HTTP/2 hyper cancels only what it has not begun to send.
        let waited_in_vain = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
        if waited_in_vain || error.is::<ConnectError>() || error.downcast_ref::<h2::Error>().is_some_and(was_passed_over) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether the server said that it never looked at it: a stream after the last one that it takes before it goes (RFC 9113 section 6.8), or
/// one that it refuses (section 8.7).
fn was_passed_over(error: &h2::Error) -> bool {
    error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    #[test]
    fn a_refusal_says_reason_metadata_and_when_to_retry() {
        let mut details =
            ErrorDetails::with_error_info("REVOKED_NOT_DURABLE", DOMAIN, [("revision".to_owned(), "7-1".to_owned())]);
        details.set_retry_info(Some(Duration::from_secs(1)));
        let error = Error::from(Status::with_error_details(Code::Unavailable, "in force", details));
        assert_eq!((error.reason(), error.metadata("revision")), (Some("REVOKED_NOT_DURABLE"), Some("7-1")));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
        assert!(error.is_passing() && !error.is_unbegun());
    }

    #[test]
    fn what_jeton_did_not_say_is_not_taken_for_its_word() {
        let details = ErrorDetails::with_error_info("OVERLOADED", "proxy.example", HashMap::new());
        for status in [Status::unavailable("x"), Status::unknown("x"), Status::with_error_details(Code::Internal, "x", details)] {
            let error = Error::from(status);
            assert!(matches!(error, Error::NoAnswer(_)) && error.is_passing() && !error.is_unbegun(), "{error}");
        }
        let refused = Error::from(Status::permission_denied("x"));
        assert!(!refused.is_passing() && !refused.is_unbegun());
    }
}

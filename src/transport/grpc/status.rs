//! The only place where a `tonic::Status` is made: it writes down what a `Fault` says (google.rpc error model, AIP-193).

use crate::telemetry::metrics;
use crate::transport::fault::{DOMAIN, Fault, Reason};
use http::{HeaderMap, Response};
use jeton_domain::error::Error;
use std::collections::HashMap;
use std::sync::LazyLock;
use tonic::Status;
use tonic::body::Body;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// A refusal as an answer. What floods are answered with is written once.
#[must_use]
pub fn answer(fault: Fault) -> Response<Body> {
    static OVERLOADED: LazyLock<HeaderMap> = LazyLock::new(|| headers(Fault::of(&Error::Overloaded)));
    static RATE_LIMITED: LazyLock<HeaderMap> = LazyLock::new(|| headers(Fault::of(&Error::RateLimited)));
    let written = match fault.reason {
        Reason::Overloaded => &OVERLOADED,
        Reason::RateLimited => &RATE_LIMITED,
        _ => return of(fault).into_http(),
    };
    metrics::REFUSALS.add(fault.reason.word());
    let mut answer = Response::new(Body::empty());
    *answer.headers_mut() = (*written).clone();
    answer
}

fn headers(fault: Fault) -> HeaderMap {
    written(fault).into_http::<Body>().into_parts().0.headers
}

/// The status of a refusal: exactly one `ErrorInfo`, `BadRequest` where fields are at fault, `RetryInfo` where a retry may succeed.
#[must_use]
pub fn of(fault: Fault) -> Status {
    metrics::REFUSALS.add(fault.reason.word());
    written(fault)
}

fn written(fault: Fault) -> Status {
    let row = fault.row();
    let metadata: HashMap<_, _> = fault.metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let mut details = ErrorDetails::with_error_info(fault.reason.word(), DOMAIN, metadata);
    if !fault.violations.is_empty() {
        let violations = fault.violations.into_iter().map(|violation| FieldViolation {
            field: violation.field,
            description: violation.problem,
            reason: fault.reason.word().to_owned(),
            localized_message: None,
        });
        details.set_bad_request(violations.collect::<Vec<_>>());
    }
    if row.retry.is_some() {
        details.set_retry_info(row.retry);
    }
    Status::with_error_details(row.code, fault.message, details)
}

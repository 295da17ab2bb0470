//! The only place where a `tonic::Status` is made: it writes down what a `Fault` says (google.rpc error model, AIP-193).

use crate::telemetry::metrics;
use crate::transport::fault::{DOMAIN, Fault};
use std::collections::HashMap;
use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// The status of a refusal: exactly one `ErrorInfo`, `BadRequest` where fields are at fault, `RetryInfo` where a retry may succeed.
#[must_use]
pub fn of(fault: Fault) -> Status {
    metrics::REFUSALS.add(fault.reason.word());
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

//! Refusals that tonic, health and reflection make themselves get the code and the `ErrorInfo` of ours.

use super::layers::{GRPC_STATUS, code_of};
use super::{MAX_REQUEST_BYTES, status};
use crate::transport::fault::{Edge, Fault};
use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use jeton_domain::error::Error;
use tonic::body::Body;
use tonic::{Code, Status};

/// The answer with exactly one `ErrorInfo` where it is a refusal. One of `ours` refuses only in its headers; a stream of
/// another service may still do so at its end.
pub fn answer(answer: Response<Body>, is_ours: bool) -> Response<Body> {
    if let Some(refusal) = repaired(answer.headers()) {
        return refusal.into_http();
    }
    if is_ours || answer.headers().contains_key(GRPC_STATUS) {
        return answer;
    }
    answer.map(|body| {
        Body::new(body.map_frame(|mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                repair_trailers(trailers);
            }
            frame
        }))
    })
}

fn repair_trailers(trailers: &mut HeaderMap) {
    let Some(refusal) = repaired(trailers) else { return };
    let mut headers = HeaderMap::new();
    if refusal.add_header(&mut headers).is_ok() {
        *trailers = headers;
    }
}

/// What takes the place of a refusal that carries no details.
fn repaired(headers: &HeaderMap) -> Option<Status> {
    let code = code_of(headers);
    let has_details = headers.get("grpc-status-details-bin").is_some_and(|details| !details.is_empty());
    (code != Code::Ok && !has_details).then(|| status::of(fault(code, headers)))
}

/// Which of our refusals another's code means.
fn fault(code: Code, headers: &HeaderMap) -> Fault {
    match code {
        Code::OutOfRange => Fault::at(Edge::MessageTooLarge { limit: MAX_REQUEST_BYTES }),
        Code::Unimplemented if has_message(headers, b"compressed") => Fault::at(Edge::EncodingUnsupported),
        Code::Unimplemented => Fault::of(&Error::MethodUnknown),
        Code::NotFound => Fault::at(Edge::NotFound),
        Code::Cancelled | Code::DeadlineExceeded => Fault::of(&Error::DeadlineExceeded),
        Code::ResourceExhausted => Fault::of(&Error::Overloaded),
        Code::Unavailable => Fault::of(&Error::ShuttingDown),
        // tonic says so of broken framing, of a missing message and of reflection's own decode errors; our own
        // defects come with details.
        Code::Internal | Code::InvalidArgument => Fault::at(Edge::MessageMalformed),
        Code::Ok
        | Code::Unknown
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::DataLoss
        | Code::Unauthenticated => Fault::of(&Error::Internal("a refusal of tonic's that is not known".into())),
    }
}

fn has_message(headers: &HeaderMap, part: &[u8]) -> bool {
    headers.get("grpc-message").is_some_and(|message| message.as_bytes().windows(part.len()).any(|window| window == part))
}

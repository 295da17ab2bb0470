//! Which requests are traced, and the spans of those that are (W3C Trace Context level 1).
//!
//! A span costs whether it is exported or not, so the decision comes first: a request that is not sampled has no span,
//! and what happens under it asks once for the current span and finds none.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jeton_domain::id::{Generation, GrantId};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use sha2::{Digest as _, Sha256};
use std::sync::atomic::{AtomicU32, Ordering};
use tracing::{Span, field, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of every span of ours.
pub const TARGET: &str = "jeton::trace";

/// Decides which requests are traced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// So many of the 2^32 values of the sequence are sampled; none: tracing is off.
    below: Option<f64>,
}

/// Steps of the golden ratio: any stretch of the sequence is spread evenly, so that 1 % is one of each hundred.
static SEQUENCE: AtomicU32 = AtomicU32::new(0);
const STEP: u32 = 0x9E37_79B1;

impl Sampler {
    /// No request is traced, whatever its caller says.
    pub const OFF: Self = Self { below: None };

    /// Follows the caller's decision; without one, traces this share of requests, 0 to 1.
    #[must_use]
    pub fn new(ratio: f64) -> Self {
        let ratio = if ratio.is_nan() { 0.0 } else { ratio.clamp(0.0, 1.0) };
        Self { below: Some(ratio * 4_294_967_296.0) }
    }

    /// Whether a request with this `traceparent` is traced.
    fn takes(self, parent: Option<Parent>) -> bool {
        let Some(below) = self.below else { return false };
        match parent {
            Some(parent) => parent == Parent::Sampled,
            None => below > 0.0 && f64::from(SEQUENCE.fetch_add(STEP, Ordering::Relaxed)) < below,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parent {
    Sampled,
    Unsampled,
}

/// The caller's decision; none where there is no `traceparent` or it is not well formed, and so to be ignored (section 3.2.2).
fn parent(headers: &HeaderMap) -> Option<Parent> {
    let bytes = headers.get("traceparent")?.as_bytes();
    let (head, flags) = bytes.split_at_checked(53)?;
    let well_formed = head.iter().enumerate().all(|(at, b)| match at {
        2 | 35 | 52 => *b == b'-',
        _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
    });
    let [high, low, rest @ ..] = flags else { return None };
    let version_0 = head.starts_with(b"00");
    if !well_formed || head.starts_with(b"ff") || (version_0 && !rest.is_empty()) || rest.first().is_some_and(|b| *b != b'-') {
        return None;
    }
    let hex = |b: u8| char::from(b).to_digit(16).filter(|_| !b.is_ascii_uppercase());
    hex(*high)?;
    Some(if hex(*low)? & 1 == 1 { Parent::Sampled } else { Parent::Unsampled })
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// The span of one request, continuing its caller's trace; `Span::none()` where it is not sampled. A call of gRPC is named
/// `service/method`, any other request has no `/` in its name.
#[must_use]
pub fn request(sampler: Sampler, name: &'static str, headers: &HeaderMap) -> Span {
    let parent = parent(headers);
    if !sampler.takes(parent) {
        return Span::none();
    }
    let span = info_span!(
        target: TARGET,
        parent: None,
        "request",
        otel.name = name,
        otel.kind = "server",
        rpc.system = field::Empty,
        rpc.service = field::Empty,
        rpc.method = field::Empty,
        rpc.grpc.status_code = field::Empty,
        jeton.caller = field::Empty,
        http.response.status_code = field::Empty,
        otel.status_code = field::Empty,
    );
    if let Some((service, method)) = name.split_once('/') {
        span.record("rpc.system", "grpc").record("rpc.service", service).record("rpc.method", method);
    }
    if parent.is_some() {
        let context = TraceContextPropagator::new().extract(&Headers(headers));
        // Refused only by a subscriber that exports nothing.
        drop(span.set_parent(context));
    }
    span
}

/// Says which service calls, in the span of its request.
pub fn called_by(name: &str) {
    let span = Span::current();
    if !span.is_none() {
        span.record("jeton.caller", name);
    }
}

/// Says how a call of gRPC ended.
pub fn ended(span: &Span, grpc_code: i32, our_fault: bool) {
    end(span, "rpc.grpc.status_code", grpc_code, our_fault);
}

/// Says how a request over HTTP ended.
pub fn answered(span: &Span, status: StatusCode) {
    end(span, "http.response.status_code", status.as_u16().into(), status.is_server_error());
}

fn end(span: &Span, code_field: &'static str, code: i32, our_fault: bool) {
    if span.is_none() {
        return;
    }
    span.record(code_field, code);
    if our_fault {
        span.record("otel.status_code", "ERROR");
    }
}

/// A span under the current one; `Span::none()`, within nanoseconds, where the request is not sampled.
///
/// For async work: `work.instrument(telemetry::child("store.swap"))`; else `child("decide").in_scope(|| ..)`.
#[must_use]
pub fn child(name: &'static str) -> Span {
    let current = Span::current();
    if current.is_none() {
        return Span::none();
    }
    info_span!(target: TARGET, parent: &current, "child", otel.name = name)
}

/// A span of a request to somebody else over HTTP; `Span::none()` where this one is not sampled.
#[must_use]
pub fn outgoing(method: &'static str, host: &str) -> Span {
    let current = Span::current();
    if current.is_none() {
        return Span::none();
    }
    info_span!(
        target: TARGET,
        parent: &current,
        "outgoing",
        otel.name = method,
        otel.kind = "client",
        http.request.method = method,
        server.address = host,
    )
}

/// Writes the headers by which the spans of whom we ask continue this one.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    struct Written<'a>(&'a mut HeaderMap);
    impl Injector for Written<'_> {
        fn set(&mut self, key: &str, value: String) {
            let name = HeaderName::from_bytes(key.as_bytes());
            // What there is nothing to say of is not said.
            if let (Ok(name), Ok(value), false) = (name, HeaderValue::from_str(&value), value.is_empty()) {
                self.0.insert(name, value);
            }
        }
    }
    if !span.is_none() {
        TraceContextPropagator::new().inject_context(&span.context(), &mut Written(headers));
    }
}

/// Joins the current span to all that hand out tokens of the same grant, by a link into a trace that stands for the grant: its id is a hash of
/// the grant's, and the span's is the generation, so that neither is told to who does not know it.
pub fn hands_out(grant: GrantId, generation: Generation) {
    let current = Span::current();
    if current.is_none() {
        return;
    }
    let digest = Sha256::new_with_prefix(b"jeton grant ").chain_update(grant.0).finalize();
    let trace = digest.first_chunk::<16>().map_or(TraceId::INVALID, |id| TraceId::from_bytes(*id));
    let span = SpanId::from(u64::from(generation).saturating_add(1));
    current.add_link(SpanContext::new(trace, span, TraceFlags::default(), true, TraceState::NONE));
}

/// The trace of the current span, as 32 hexadecimal digits.
#[must_use]
pub fn current_trace_id() -> Option<String> {
    opentelemetry::Context::map_current(|context| {
        let span = context.span();
        let context = span.span_context();
        context.is_valid().then(|| context.trace_id().to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(traceparent: &str) -> HeaderMap {
        HeaderMap::from_iter([("traceparent".parse().unwrap(), traceparent.parse().unwrap())])
    }

    #[test]
    fn the_callers_decision_is_followed_whatever_the_ratio() {
        let unsampled = SAMPLED.replace("-01", "-00");
        assert_eq!(parent(&headers(SAMPLED)), Some(Parent::Sampled));
        assert!(Sampler::new(0.0).takes(parent(&headers(SAMPLED))));
        assert!(!Sampler::new(1.0).takes(parent(&headers(&unsampled))));
        assert!(!Sampler::OFF.takes(parent(&headers(SAMPLED))));
    }

    #[test]
    fn a_malformed_parent_is_no_parent() {
        let bad = [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            &format!("{SAMPLED}-x"),
            &SAMPLED.to_uppercase(),
        ];
        for bad in bad {
            assert_eq!(parent(&headers(bad)), None, "{bad}");
        }
        // A later version may say more after the flags.
        assert_eq!(parent(&headers(&(SAMPLED.replacen("00", "01", 1) + "-x"))), Some(Parent::Sampled));
    }

    #[test]
    fn the_ratio_is_kept() {
        let taken = |ratio| (0..10_000).filter(|_| Sampler::new(ratio).takes(None)).count();
        assert_eq!((taken(0.0), taken(1.0)), (0, 10_000));
        // Tests in other threads draw from the same sequence.
        assert!((50..=200).contains(&taken(0.01)));
    }
}

//! What holds for every call, whatever its method: form, capacity, deadline, trace, counters, and an `ErrorInfo` on every refusal.
//!
//! One service instead of a stack of layers. The token service is reached without a router, and Introspect without tonic's streams.

use super::api::token_service_server::TokenServiceServer;
use super::strangers::Strangers;
use super::unary::{self, Unary};
use super::{Api, Settings, introspect, polish, status};
use crate::audit::{Origin, on_behalf};
use crate::service::limits::Source;
use crate::telemetry::{Sampler, metrics, trace};
use crate::transport::capacity::{Capacity, Lane, Place, within};
use crate::transport::connections::HeardOut;
use crate::transport::fault::{Edge, Fault, Reason, code_word};
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{Either, Full};
use jeton_domain::error::Error;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Code;
use tonic::body::Body;
use tonic::service::Routes;
use tracing::Instrument as _;

/// The header or trailer that says how a call ended.
pub const GRPC_STATUS: &str = "grpc-status";

type Answer = Response<Either<Unary, Body>>;

/// What comes of a call: always an answer.
type Answering = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

/// Stands before all services.
#[derive(Clone)]
pub struct Front(Arc<Behind>);

/// What stands behind it.
struct Behind {
    api: Api,
    tokens: TokenServiceServer<Api>,
    others: Routes,
    strangers: Strangers,
    capacity: Arc<Capacity>,
    request_deadline: Duration,
    sampler: Sampler,
}

impl Front {
    pub fn new(api: Api, tokens: TokenServiceServer<Api>, others: Routes, strangers: Strangers, settings: &Settings) -> Self {
        let Settings { request_deadline, sampler, max_in_flight, .. } = *settings;
        let capacity = Capacity::new("grpc", max_in_flight);
        Self(Arc::new(Behind { api, tokens, others, strangers, capacity, request_deadline, sampler }))
    }

    /// Answers a call from there.
    pub fn call(&self, request: Request<HeardOut>, from: Source) -> Answering {
        let arrived = Instant::now();
        let called = Called::of(request.uri().path());
        let span = trace::request(self.0.sampler, called.name, request.headers());
        let (behind, ended) = (Arc::clone(&self.0), span.clone());
        Box::pin(
            async move {
                let answer = match admit(&request, called, &behind.capacity, behind.request_deadline) {
                    Ok(admitted) => match within(admitted.deadline, behind.answer(called, request, from)).await {
                        Some(answer) => answer,
                        None => refusal(Fault::of(&Error::DeadlineExceeded)),
                    },
                    Err(fault) => refusal(fault),
                };
                let code = code_of(answer.headers());
                trace::ended(&ended, code.into(), metrics::is_our_fault(code_word(code)));
                metrics::request(called.method, code_word(code), arrived.elapsed());
                Ok(answer)
            }
            .instrument(span),
        )
    }
}

impl Behind {
    async fn answer(&self, called: Called, mut request: Request<HeardOut>, from: Source) -> Answer {
        if !called.has_caller {
            let answer = self.answer_by_tonic(called, request.map(Body::new));
            if !called.is_stream_of_strangers {
                return Box::pin(answer).await;
            }
            return match Box::pin(self.strangers.hold(answer)).await {
                Ok(answer) => answer,
                Err(fault) => refusal(fault),
            };
        }
        let caller = match self.api.calling(request.headers(), request.extensions(), from, called.lane).await {
            Ok(caller) => caller,
            Err(fault) => return refusal(fault),
        };
        trace::called_by(&caller.name);
        let Some(introspects) = called.introspects.filter(|_| !request.headers().contains_key("grpc-encoding")) else {
            let origin = Origin::Caller(Arc::clone(&caller.caller));
            request.extensions_mut().insert(caller);
            let answer = Box::pin(self.answer_by_tonic(called, request.map(Body::new)));
            return on_behalf(origin, answer).await;
        };
        let (mut head, body) = request.into_parts();
        let body = match unary::read(body).await {
            Ok(body) => body,
            Err(fault) => return refusal(fault),
        };
        let answered = match introspects {
            Introspects::One => introspect::call(&self.api, &caller, &body).await,
            Introspects::Many => Box::pin(introspect::call_batch(&self.api, &caller, &body)).await,
        };
        match answered {
            Some(Ok(answer)) => answer.map(Either::Left),
            Some(Err(refused)) => refused.into_http().map(Either::Right),
            None => {
                head.extensions.insert(caller);
                let request = Request::from_parts(head, Body::new(Full::new(body)));
                Box::pin(self.answer_by_tonic(called, request)).await
            }
        }
    }

    async fn answer_by_tonic(&self, called: Called, request: Request<Body>) -> Answer {
        use tower::Service as _;
        let Ok(answer) = if called.is_token_service {
            self.tokens.clone().call(request).await
        } else {
            Box::pin(self.others.clone().call(request)).await
        };
        polish::answer(answer, called.is_ours).map(Either::Right)
    }
}

/// What is called, in the words of spans and counters; never words of the request.
#[derive(Clone, Copy)]
struct Called {
    /// Service and method.
    name: &'static str,
    method: &'static str,
    is_token_service: bool,
    introspects: Option<Introspects>,
    /// Its answers carry their `ErrorInfo` already, and are single messages.
    is_ours: bool,
    /// Callers need a permission for it. Health and reflection say nothing of anybody, and are everybody's.
    has_caller: bool,
    /// Answered even at capacity: a busy server is not a sick one.
    is_health: bool,
    /// Anybody may open it, and as long as he likes.
    is_stream_of_strangers: bool,
    lane: Lane,
}

/// What is answered without the machinery of streams.
#[derive(Clone, Copy)]
enum Introspects {
    One,
    Many,
}

const INTROSPECT: &str = "jeton.v1.TokenService/Introspect";
const BATCH_INTROSPECT: &str = "jeton.v1.TokenService/BatchIntrospect";

/// Every method, Introspect first.
pub const METHODS: [&str; 38] = [
    INTROSPECT,
    "jeton.v1.TokenService/Refresh",
    "jeton.v1.TokenService/Issue",
    REVOKE,
    BATCH_INTROSPECT,
    "jeton.v1.TokenService/Explain",
    "jeton.v1.TokenService/Exchange",
    "jeton.v1.AuthorizationCodeService/CreateAuthorizationCode",
    "jeton.v1.AuthorizationCodeService/ExchangeAuthorizationCode",
    "jeton.v1.DeviceService/StartDeviceAuthorization",
    "jeton.v1.DeviceService/DescribeDeviceAuthorization",
    "jeton.v1.DeviceService/ApproveDeviceAuthorization",
    "jeton.v1.DeviceService/DenyDeviceAuthorization",
    "jeton.v1.DeviceService/ExchangeDeviceCode",
    "jeton.v1.GrantService/GetGrant",
    "jeton.v1.GrantService/ListGrants",
    "jeton.v1.KeyService/GetJwks",
    "jeton.v1.KeyService/ListKeys",
    "jeton.v1.KeyService/RotateKey",
    "jeton.v1.ClientService/CreateClient",
    "jeton.v1.ClientService/GetClient",
    "jeton.v1.ClientService/ListClients",
    "jeton.v1.ClientService/UpdateClient",
    "jeton.v1.ClientService/DeleteClient",
    "jeton.v1.ClientService/RotateClientSecret",
    "jeton.v1.ResourceService/CreateResource",
    "jeton.v1.ResourceService/GetResource",
    "jeton.v1.ResourceService/ListResources",
    "jeton.v1.ResourceService/UpdateResource",
    "jeton.v1.ResourceService/DeleteResource",
    WATCH,
    "jeton.v1.RevocationService/GetLog",
    "jeton.v1.RevocationService/AcceptLog",
    "envoy.service.auth.v3.Authorization/Check",
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// It has places of its own.
const REVOKE: &str = "jeton.v1.TokenService/Revoke";

/// Counted, admitted and timed until it begins: a stream takes no place and no deadline ends it.
const WATCH: &str = "jeton.v1.RevocationService/Watch";

impl Called {
    fn of(path: &str) -> Self {
        let name = METHODS.into_iter().find(|name| path.strip_prefix('/') == Some(name)).unwrap_or("unknown");
        let (service, method) = name.split_once('/').unwrap_or(("", name));
        let has_caller = service.starts_with("jeton.") || service == super::AUTHORIZATION_SERVICE;
        Self {
            name,
            method,
            introspects: match name {
                INTROSPECT => Some(Introspects::One),
                BATCH_INTROSPECT => Some(Introspects::Many),
                _ => None,
            },
            is_token_service: service == super::TOKEN_SERVICE,
            has_caller,
            is_ours: has_caller && name != WATCH,
            is_health: service.starts_with("grpc.health."),
            is_stream_of_strangers: name == "grpc.health.v1.Health/Watch" || service.starts_with("grpc.reflection."),
            lane: if name == REVOKE { Lane::Revocation } else { Lane::Ordinary },
        }
    }
}

/// A call that may begin.
struct Admitted {
    deadline: Duration,
    _place: Option<Place>,
}

fn admit<B>(request: &Request<B>, called: Called, capacity: &Arc<Capacity>, longest: Duration) -> Result<Admitted, Fault> {
    if request.method() != Method::POST || !is_grpc(request.headers()) {
        return Err(Fault::at(Edge::NotGrpc));
    }
    let deadline = deadline(request.headers(), longest)?;
    let place = if called.is_health { None } else { Some(capacity.take(called.lane)?) };
    Ok(Admitted { deadline, _place: place })
}

/// `application/grpc`, alone or with `+proto` (the gRPC protocol over HTTP/2, Requests).
fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes) else { return false };
    match content_type.strip_prefix(b"application/grpc") {
        Some([]) | Some([b';', ..]) => true,
        Some(rest) => matches!(rest.strip_prefix(b"+proto"), Some([] | [b';', ..])),
        None => false,
    }
}

/// An answer needs this long to reach the caller before he gives up.
const MARGIN: Duration = Duration::from_millis(2);

/// How long the call may take: the caller's time, but at most the server's.
fn deadline(headers: &HeaderMap, longest: Duration) -> Result<Duration, Fault> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(longest) };
    let asked = parse_timeout(value.as_bytes())
        .ok_or_else(|| Error::invalid("grpc-timeout", "must be at most 8 digits and a unit out of H, M, S, m, u, n"))?;
    match asked.checked_sub(MARGIN) {
        Some(left) if !left.is_zero() => Ok(left.min(longest)),
        _ => Err(Fault::of(&Error::DeadlineExceeded)),
    }
}

fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 3_600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

fn refusal(fault: Fault) -> Answer {
    let (reason, row) = (fault.reason, fault.row());
    let mut answer = status::answer(fault).map(Either::Right);
    // Who does not speak gRPC reads no trailers.
    if reason == Reason::NotGrpc {
        *answer.status_mut() = row.http;
    }
    answer
}

/// The code of an answer; OK where it says none yet, for then its message follows.
pub fn code_of(headers: &HeaderMap) -> Code {
    headers.get(GRPC_STATUS).map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_may_only_shorten_the_deadline() {
        let longest = Duration::from_secs(2);
        let asked =
            |value: &str| deadline(&HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), value.parse().unwrap())]), longest);
        assert_eq!(deadline(&HeaderMap::new(), longest).unwrap(), longest);
        assert_eq!(asked("1H").unwrap(), longest);
        assert_eq!(asked("99999999H").unwrap(), longest);
        assert_eq!(asked("100m").unwrap(), Duration::from_millis(98));
        for soon in ["0S", "1n", "1u", "2m"] {
            assert_eq!(asked(soon).unwrap_err().reason.word(), "DEADLINE_EXCEEDED", "{soon}");
        }
        for bad in ["", "S", "1", "1s", "-1S", "100000000S", "1 S"] {
            assert_eq!(asked(bad).unwrap_err().violations[0].field, "grpc-timeout", "{bad}");
        }
    }

    #[test]
    fn only_grpc_is_grpc() {
        let with = |value: &str| is_grpc(&HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]));
        for good in ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"] {
            assert!(with(good), "{good}");
        }
        for bad in ["application/grpc-web", "application/grpc+json", "application/json", ""] {
            assert!(!with(bad), "{bad}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn words_of_a_request_never_become_labels() {
        assert_eq!(Called::of("/jeton.v1.TokenService/Introspect").method, "Introspect");
        assert!(Called::of("/jeton.v1.TokenService/Issue").is_token_service);
        assert_eq!(Called::of("/jeton.v1.TokenService/Evil{\"}").method, "unknown");
    }
}

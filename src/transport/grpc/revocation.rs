//! `jeton.v1.RevocationService`: the log as it is watched and looked after; its messages. How many watch at once is for `watchers`.

use super::codec::Encoded;
use super::fields::{Fields, signed};
use super::watchers::{Hub, Told};
use super::{Api, allow, api, refused, status, token};
use crate::service::watch::{EraState, Judging, Log};
use crate::transport::caller::Permission;
use crate::transport::fault::Fault;
use api::revocation_service_server::RevocationService;
use api::watch_request::Message as Said;
use api::watch_response::Message;
use bytes::Bytes;
use jeton_domain::error::Error;
use jeton_domain::floors::Raised;
use jeton_domain::id::GrantId;
use jeton_domain::revision::Revision;
use jeton_domain::target::{Reason, TargetKind};
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// The most floors in a message.
pub const CHUNK: usize = 1_000;
/// The most arrivals in a message.
const MAX_ARRIVALS: usize = 1_000;
/// The `jti` of every access token: 24 bytes in base64url.
const JTI_BYTES: usize = 32;

/// What implements the service.
#[derive(Clone)]
pub struct Revocations {
    pub api: Api,
    pub hub: Arc<Hub>,
}

#[tonic::async_trait]
impl RevocationService for Revocations {
    type WatchStream = Told;

    async fn watch(&self, request: Request<Streaming<api::WatchRequest>>) -> Result<Response<Told>, Status> {
        let watched = allow(&request, Permission::Watch).and_then(|caller| self.hub.watch(caller.caller, request.into_inner()));
        watched.map(Response::new).map_err(status::of)
    }

    async fn get_log(&self, request: Request<api::GetLogRequest>) -> Result<Response<api::GetLogResponse>, Status> {
        allow(&request, Permission::Heal).map_err(status::of)?;
        Ok(Response::new(log(self.api.service.log().await)))
    }

    async fn accept_log(&self, request: Request<api::AcceptLogRequest>) -> Result<Response<api::AcceptLogResponse>, Status> {
        let read = allow(&request, Permission::Heal).and_then(|_caller| {
            let mut fields = Fields::default();
            let last_seen = fields.moment("last_seen", request.into_inner().last_seen);
            fields.done().map(|()| last_seen)
        });
        let last_seen = read.map_err(status::of)?;
        let marker = self.api.service.accept_log(last_seen).await.map_err(refused)?;
        Ok(Response::new(api::AcceptLogResponse { revision: marker.to_string() }))
    }
}

fn log(log: Log) -> api::GetLogResponse {
    let Log { health, durability, problems } = log;
    let (state, last_seen) = match health.era.map(|era| era.state) {
        None => (api::LogState::Unspecified, 0),
        Some(EraState::Restored { last_seen }) => (api::LogState::Restored, signed(last_seen.secs())),
        Some(EraState::Healed | EraState::Healing) if health.is_healing() => (api::LogState::Healing, 0),
        Some(EraState::Healed | EraState::Healing) => (api::LogState::Healed, 0),
    };
    api::GetLogResponse {
        revision: health.head.to_string(),
        settled: health.settled.to_string(),
        age_ms: health.age.map_or(-1, |age| signed(age.get())),
        state: state.into(),
        last_seen,
        entries: count(health.entries),
        bytes: count(health.bytes),
        whole: health.whole,
        durability: token::durability(Some(durability)).into(),
        problems,
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The place that a watcher asks to go on after, as its first message says.
pub fn start(first: api::WatchRequest) -> Result<Option<Revision>, Fault> {
    let Some(Said::Start(start)) = first.message else {
        return Err(Fault::of(&Error::invalid("start", "must be said first")));
    };
    let mut fields = Fields::default();
    let field = "start.after_revision";
    let after = fields.optional(&start.after_revision, |text| {
        Revision::parse(text).ok_or_else(|| Error::invalid(field, "is not a revision of ours"))
    });
    fields.done().map(|()| after)
}

/// The tokens that a watcher saw.
pub fn arrivals(told: api::WatchArrivals) -> Result<Vec<(GrantId, String)>, Fault> {
    let mut fields = Fields::default();
    if told.arrivals.len() > MAX_ARRIVALS {
        fields.wrong("arrivals.arrivals", &format!("are more than {MAX_ARRIVALS}"));
        return fields.done().map(|()| Vec::new());
    }
    let mut seen = Vec::with_capacity(told.arrivals.len());
    for (at, api::Arrival { grant_id, jti }) in told.arrivals.into_iter().enumerate() {
        let is_jti = jti.len() == JTI_BYTES && jti.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        match GrantId::parse(&grant_id) {
            Some(grant) if is_jti => seen.push((grant, jti)),
            Some(_) => fields.wrong(&format!("arrivals.arrivals[{at}].jti"), "is not the `jti` of an access token"),
            None => fields.wrong(&format!("arrivals.arrivals[{at}].grant_id"), "is not the id of a grant"),
        }
    }
    fields.done().map(|()| seen)
}

/// The first message.
pub fn started(judging: &Judging, snapshot: bool) -> Encoded {
    response(Message::Started(api::WatchStarted {
        salt: judging.salt.expose().to_vec(),
        snapshot,
        horizon: signed(judging.horizon.secs()),
        max_staleness_ms: signed(judging.max_staleness.get()),
    }))
}

/// Floors raised, and where a stream stands after them.
pub fn changes(raised: &[Raised], upto: Option<Revision>) -> Encoded {
    let raised = raised.iter().map(raised_floor).collect();
    response(Message::Changes(api::WatchChanges { raised, revision: shown(upto) }))
}

/// The answer to a ping.
pub fn pong(id: u64, stands: Option<Revision>) -> Encoded {
    response(Message::Pong(api::WatchPong { id, revision: shown(stands) }))
}

fn response(message: Message) -> Encoded {
    Encoded::of(&api::WatchResponse { message: Some(message) })
}

fn shown(revision: Option<Revision>) -> String {
    revision.map(|revision| revision.to_string()).unwrap_or_default()
}

fn raised_floor(raised: &Raised) -> api::RaisedFloor {
    let kind = match raised.kind {
        TargetKind::Token => api::TargetKind::Token,
        TargetKind::Grant => api::TargetKind::Grant,
        TargetKind::Session => api::TargetKind::Session,
        TargetKind::Subject => api::TargetKind::Subject,
        TargetKind::Client => api::TargetKind::Client,
        TargetKind::Consent => api::TargetKind::Consent,
        TargetKind::SigningKey => api::TargetKind::SigningKey,
    };
    let reason = match raised.reason {
        Reason::Unspecified => api::RevocationReason::Unspecified,
        Reason::SignOut => api::RevocationReason::SignOut,
        Reason::ConsentWithdrawn => api::RevocationReason::ConsentWithdrawn,
        Reason::AccountDisabled => api::RevocationReason::AccountDisabled,
        Reason::CredentialChanged => api::RevocationReason::CredentialChanged,
        Reason::Leaked => api::RevocationReason::Leaked,
        Reason::Incident => api::RevocationReason::Incident,
        Reason::Administrative => api::RevocationReason::Administrative,
        Reason::Reuse => api::RevocationReason::Reuse,
        Reason::RetryExpired => api::RevocationReason::RetryExpired,
    };
    api::RaisedFloor {
        target: Bytes::copy_from_slice(&raised.target.0),
        floor: raised.floor().0,
        kind: kind.into(),
        reason: reason.into(),
        at: signed(raised.at.secs()),
    }
}

//! Introspect: the busiest method. What a token says is written down once, and sent as often as it is asked for.
//!
//! Must not live here: whether a token is active.

use super::fields::{self, Fields, MAX_TOKEN_BYTES, signed};
use super::unary::{self, Unary};
use super::{Api, api, claims, refused, status};
use crate::service::authorize::Identity;
use crate::service::introspect::{Active, Answer, Asker, Introspect, Introspection, Written};
use crate::transport::caller::{Caller, Permission};
use bytes::{BufMut, Bytes, BytesMut};
use http::Response;
use jeton_domain::access::Ancestor;
use jeton_domain::error::{Error, Result};
use jeton_domain::grant::{Binding, SignIn};
use jeton_domain::name::ResourceId;
use jeton_domain::secret::SecretText;
use jeton_domain::time::Timestamp;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, int64};
use tonic::Status;

const MAX_BATCH: usize = 1_000;

/// The answers of a batch.
const RESULTS: u32 = 1;
/// The numbers of the fields that differ from answer to answer.
const REVISION: u32 = 21;
const CACHE: u32 = 22;
const MAX_AGE: u32 = 1;

/// The whole of a call whose body was read. None where it is not one plain message of ours: then tonic tells what is wrong with it.
pub(super) async fn call(api: &Api, caller: &Caller, body: &Bytes) -> Option<std::result::Result<Response<Unary>, Status>> {
    let asked = api::IntrospectRequest::decode(unary::message(body)?).ok()?;
    let answered = answer(api, caller, asked).await;
    Some(answered.map(|answer| unary::answer(most_bytes(&answer), |message| encode(&answer, message))))
}

/// The same of many tokens.
pub(super) async fn call_batch(api: &Api, caller: &Caller, body: &Bytes) -> Option<std::result::Result<Response<Unary>, Status>> {
    let asked = api::BatchIntrospectRequest::decode(unary::message(body)?).ok()?;
    let answered = answer_all(api, caller, asked).await;
    Some(answered.map(|answers| unary::answer(answers.iter().map(most_bytes).sum(), |message| encode_all(&answers, message))))
}

/// What is asked, answered, to a caller who may introspect.
pub(super) async fn answer(
    api: &Api,
    caller: &Caller,
    asked: api::IntrospectRequest,
) -> std::result::Result<Introspection, Status> {
    caller.may(Permission::Introspect).map_err(refused)?;
    let mut fields = Fields::default();
    let token = fields.token("token", asked.token, MAX_TOKEN_BYTES);
    let resource = fields.optional(&asked.resource, |text| ResourceId::parse("resource", text));
    let freshness = fields.freshness("freshness", asked.freshness);
    fields.done().map_err(status::of)?;
    caller.may_introspect_for(resource.as_ref()).map_err(refused)?;
    let asker = Asker::from(resource.as_ref());
    api.service.introspect(Introspect { token, asker, freshness }, write).await.map_err(refused)
}

/// What is asked of many, answered in order.
pub(super) async fn answer_all(
    api: &Api,
    caller: &Caller,
    asked: api::BatchIntrospectRequest,
) -> std::result::Result<Vec<Introspection>, Status> {
    caller.may(Permission::Introspect).map_err(refused)?;
    let mut fields = Fields::default();
    if asked.tokens.len() > MAX_BATCH {
        fields.wrong("tokens", &format!("has more than {MAX_BATCH} members"));
    }
    let resource = fields.optional(&asked.resource, |text| ResourceId::parse("resource", text));
    let freshness = fields.freshness("freshness", asked.freshness);
    fields.done().map_err(status::of)?;
    caller.may_introspect_for(resource.as_ref()).map_err(refused)?;
    // One that is too long is none of ours. It must not fail the others, so it is shown as what is none either.
    let fitting = |token: String| SecretText::new(if token.len() > MAX_TOKEN_BYTES { String::new() } else { token });
    let tokens = asked.tokens.into_iter().map(fitting).collect();
    api.service.batch_introspect(tokens, Asker::from(resource.as_ref()), freshness, write).await.map_err(refused)
}

/// What a token says: first `IntrospectResponse` up to its revision, then `CacheAdvice` after its age.
pub fn write(active: Active) -> Written {
    let advice = api::CacheAdvice {
        max_age: 0,
        targets: active.targets.iter().map(|target| target.0.to_vec().into()).collect(),
        born: signed(active.born.0),
        ancestors: active.ancestors.iter().map(ancestor).collect(),
    };
    let says = says(active);
    let mut bytes = BytesMut::with_capacity(says.encoded_len() + advice.encoded_len());
    says.encode_raw(&mut bytes);
    let second_at = bytes.len();
    advice.encode_raw(&mut bytes);
    Written::new(bytes.freeze(), second_at)
}

/// What a token says, without what the answer knows.
pub fn says(active: Active) -> api::IntrospectResponse {
    let token_type = if active.is_access_token { Binding::token_type(active.binding) } else { "" };
    api::IntrospectResponse {
        active: true,
        scope: active.scope,
        client_id: active.client_id,
        token_type: token_type.to_owned(),
        exp: signed(active.exp),
        iat: signed(active.iat),
        nbf: active.nbf.map_or(0, signed),
        sub: active.sub,
        aud: active.aud,
        iss: active.iss,
        jti: active.jti,
        sid: active.sid.unwrap_or_default(),
        acr: active.acr.unwrap_or_default(),
        amr: active.amr,
        auth_time: active.auth_time.map_or(0, signed),
        cnf: active.binding.map(fields::confirmation),
        authorization_details: claims::written_all(active.authorization_details),
        act: active.act.map(claims::written),
        grant_id: active.grant.map(|id| id.to_string()).unwrap_or_default(),
        claims: Some(active.claims).filter(|claims| !claims.is_empty()).map(claims::written),
        revision: String::new(),
        cache: None,
    }
}

fn ancestor(ancestor: &Ancestor) -> api::Ancestor {
    api::Ancestor {
        targets: ancestor.targets.iter().map(|target| target.0.to_vec().into()).collect(),
        born: signed(ancestor.born.0),
    }
}

/// The answer as protobuf would write it, field by field in the order of their numbers.
fn encode(answer: &Introspection, buffer: &mut impl BufMut) {
    if let Some(Answer { written, .. }) = &answer.active {
        buffer.put_slice(written.first());
    }
    prost::encoding::string::encode(REVISION, &answer.revision.to_string(), buffer);
    if let Some(Answer { written, cache_seconds }) = &answer.active {
        let max_age = signed(*cache_seconds);
        let age_length = if max_age == 0 { 0 } else { int64::encoded_len(MAX_AGE, &max_age) };
        encode_key(CACHE, WireType::LengthDelimited, buffer);
        encode_varint(length(age_length + written.second().len()), buffer);
        if max_age != 0 {
            int64::encode(MAX_AGE, &max_age, buffer);
        }
        buffer.put_slice(written.second());
    }
}

/// The answers of a batch, each with its length before it.
fn encode_all(answers: &[Introspection], buffer: &mut impl BufMut) {
    let mut one = BytesMut::new();
    for answer in answers {
        one.clear();
        encode(answer, &mut one);
        encode_key(RESULTS, WireType::LengthDelimited, buffer);
        encode_varint(length(one.len()), buffer);
        buffer.put_slice(&one);
    }
}

/// The answer as a message.
pub fn message(answer: &Introspection) -> Result<api::IntrospectResponse> {
    let mut bytes = BytesMut::with_capacity(most_bytes(answer));
    encode(answer, &mut bytes);
    let unreadable = |_| Error::Internal("what a token says was written so that it cannot be read".into());
    api::IntrospectResponse::decode(bytes.freeze()).map_err(unreadable)
}

/// What the answer takes at most.
fn most_bytes(answer: &Introspection) -> usize {
    // Two numbers of 20 digits and the line between them; the lengths and the age are varints.
    const BETWEEN: usize = 96;
    answer.active.as_ref().map_or(BETWEEN, |Answer { written, .. }| written.first().len() + written.second().len() + BETWEEN)
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// For whom an access token speaks that was written so.
///
/// # Errors
/// `Internal`: it was not.
pub fn identity(written: &Written) -> Result<Identity> {
    let unreadable = || Error::Internal("what a token says was written so that it cannot be read".into());
    let said = api::IntrospectResponse::decode(written.first()).map_err(|_unreadable| unreadable())?;
    let mut fields = Fields::default();
    let binding = fields.binding("cnf", said.cnf.as_ref());
    fields.done().map_err(|_unreadable| unreadable())?;
    let told = |text: String| if text.is_empty() { None } else { Some(text) };
    let auth_time = u64::try_from(said.auth_time).ok().filter(|at| *at != 0).map(Timestamp::from_secs);
    let method = Identity::method(!said.grant_id.is_empty());
    Ok(Identity {
        subject: said.sub,
        client: said.client_id,
        scope: said.scope,
        session: told(said.sid),
        sign_in: SignIn { auth_time, acr: told(said.acr), amr: said.amr, method },
        binding,
    })
}

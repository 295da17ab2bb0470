//! Every answer of the API, field by field as the proto names it, in the order in which a reader wants it.

use super::answer::{Answer, Value};
use crate::api;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_types::value::Kind;

const GRANT_COLUMNS: &[&str] = &["grant_id", "client_id", "sid", "scope", "generation", "last_used_at", "absolute_expires_at"];
const KEY_COLUMNS: &[&str] = &["kid", "alg", "state", "created_at", "activates_at", "retires_at", "removed_at"];
const ANCESTOR_COLUMNS: &[&str] = &["born", "targets"];
const COUNT_COLUMNS: &[&str] = &["client_id", "grants"];

pub(super) fn issued(message: api::IssueResponse) -> Answer {
    let durability = message.durability();
    Answer::default()
        .text("access_token", message.access_token)
        .text("token_type", message.token_type)
        .seconds("expires_in", message.expires_in)
        .text("refresh_token", message.refresh_token)
        .seconds("refresh_token_expires_in", message.refresh_token_expires_in)
        .text("id_token", message.id_token)
        .text("scope", message.scope)
        .json("authorization_details", list(message.authorization_details))
        .text("grant_id", message.grant_id)
        .text("sid", message.sid)
        .text("revision", message.revision)
        .durability(durability)
}

pub(super) fn refreshed(message: api::RefreshResponse) -> Answer {
    Answer::default()
        .text("access_token", message.access_token)
        .text("token_type", message.token_type)
        .seconds("expires_in", message.expires_in)
        .text("refresh_token", message.refresh_token)
        .seconds("refresh_token_expires_in", message.refresh_token_expires_in)
        .text("id_token", message.id_token)
        .text("scope", message.scope)
        .json("authorization_details", list(message.authorization_details))
        .text("grant_id", message.grant_id)
        .text("sid", message.sid)
        .text("revision", message.revision)
}

pub(super) fn exchanged(message: api::ExchangeResponse) -> Answer {
    let durability = message.durability();
    Answer::default()
        .text("access_token", message.access_token)
        .text("token_type", message.token_type)
        .seconds("expires_in", message.expires_in)
        .text("scope", message.scope)
        .text("grant_id", message.grant_id)
        .text("sid", message.sid)
        .text("revision", message.revision)
        .json("authorization_details", list(message.authorization_details))
        .durability(durability)
}

pub(super) fn coded(message: api::CreateAuthorizationCodeResponse) -> Answer {
    let durability = message.durability();
    Answer::default()
        .text("code", message.code)
        .seconds("expires_in", message.expires_in)
        .text("grant_id", message.grant_id)
        .text("sid", message.sid)
        .text("revision", message.revision)
        .durability(durability)
}

pub(super) fn started(message: api::StartDeviceAuthorizationResponse) -> Answer {
    Answer::default()
        .text("device_code", message.device_code)
        .text("user_code", message.user_code)
        .text("verification_uri", message.verification_uri)
        .text("verification_uri_complete", message.verification_uri_complete)
        .seconds("expires_in", message.expires_in)
        .seconds("interval", message.interval)
}

pub(super) fn described(message: api::DescribeDeviceAuthorizationResponse) -> Answer {
    Answer::default()
        .text("client_id", message.client_id)
        .text("scope", message.scope)
        .texts("resource", message.resource)
        .json("authorization_details", list(message.authorization_details))
        .seconds("expires_in", message.expires_in)
}

pub(super) fn approved(message: api::ApproveDeviceAuthorizationResponse) -> Answer {
    let durability = message.durability();
    Answer::default()
        .text("grant_id", message.grant_id)
        .text("sid", message.sid)
        .text("revision", message.revision)
        .durability(durability)
}

pub(super) fn introspected(message: api::IntrospectResponse) -> Answer {
    let cache = message.cache.map(|cache| {
        let answer = dependent(cache.targets, cache.born).seconds("max_age", cache.max_age);
        if cache.ancestors.is_empty() {
            return answer;
        }
        let ancestors = cache.ancestors.into_iter().map(|ancestor| dependent(ancestor.targets, ancestor.born)).collect();
        answer.with("ancestors", Value::Objects(ANCESTOR_COLUMNS, ancestors))
    });
    Answer::default()
        .with("active", Value::Flag(message.active))
        .text("scope", message.scope)
        .text("client_id", message.client_id)
        .text("token_type", message.token_type)
        .time("exp", message.exp)
        .time("iat", message.iat)
        .time("nbf", message.nbf)
        .text("sub", message.sub)
        .texts("aud", message.aud)
        .text("iss", message.iss)
        .text("jti", message.jti)
        .text("sid", message.sid)
        .text("acr", message.acr)
        .texts("amr", message.amr)
        .time("auth_time", message.auth_time)
        .object("cnf", message.cnf.map(confirmation))
        .json("authorization_details", list(message.authorization_details))
        .json("act", message.act.map(object))
        .text("grant_id", message.grant_id)
        .json("claims", message.claims.map(object))
        .text("revision", message.revision)
        .object("cache", cache)
}

/// What the life of a token depends on.
fn dependent(targets: Vec<bytes::Bytes>, born: i64) -> Answer {
    let targets = targets.iter().map(|target| STANDARD.encode(target)).collect();
    Answer::default().texts("targets", targets).number("born", born)
}

pub(super) fn revoked(message: api::RevokeResponse, dry_run: bool) -> Answer {
    let durability = message.durability();
    let answer = Answer::default().text("revision", message.revision).durability(durability);
    if !dry_run {
        return answer;
    }
    let count = |count: api::ClientCount| {
        Answer::default().text("client_id", count.client_id).with("grants", Value::Number(count.grants))
    };
    let answer = answer.with("counted", Value::Flag(message.counted));
    if !message.counted {
        return answer;
    }
    let counts = message.grants_by_client.into_iter().map(count).collect();
    answer.with("grants_by_client", Value::Objects(COUNT_COLUMNS, counts))
}

pub(super) fn explained(message: api::ExplainResponse) -> Answer {
    let (kind, cause) = (message.kind(), message.cause());
    let unmet = message.unmet.map(|unmet| {
        Answer::default()
            .text("resource", unmet.resource)
            .texts("acr_values", unmet.acr_values)
            .texts("amr_values", unmet.amr_values)
            .seconds("max_age", unmet.max_age)
    });
    let answer = Answer::default().with("active", Value::Flag(message.active)).text("explanation", message.explanation);
    let answer = match kind {
        api::TokenKind::Unspecified => answer,
        kind => answer.with("kind", Value::Word(kind.as_str_name(), "TOKEN_KIND_")),
    };
    answer
        .cause(cause)
        .number("generation", message.generation.into())
        .number("newest_generation", message.newest_generation.into())
        .time("ended_at", message.ended_at)
        .object("unmet", unmet)
        .object("says", message.says.map(introspected))
        .object("grant", message.grant.map(grant))
        .text("revision", message.revision)
}

pub(super) fn grants(grants: Vec<api::Grant>) -> Answer {
    Answer::default().with("grants", Value::Objects(GRANT_COLUMNS, grants.into_iter().map(grant).collect()))
}

pub(super) fn grant(message: api::Grant) -> Answer {
    let cause = message.cause();
    let authentication = message.authentication.map(|context| {
        let method = context.method();
        let answer = Answer::default().time("auth_time", context.auth_time).text("acr", context.acr).texts("amr", context.amr);
        match method {
            api::GrantType::Unspecified => answer,
            method => answer.with("method", Value::Word(method.as_str_name(), "GRANT_TYPE_")),
        }
    });
    Answer::default()
        .text("grant_id", message.grant_id)
        .with("active", Value::Flag(message.active))
        .cause(cause)
        .time("ended_at", message.ended_at)
        .text("sub", message.sub)
        .text("client_id", message.client_id)
        .text("sid", message.sid)
        .text("scope", message.scope)
        .texts("resource", message.resource)
        .object("authentication", authentication)
        .object("cnf", message.cnf.map(confirmation))
        .json("authorization_details", list(message.authorization_details))
        .time("created_at", message.created_at)
        .time("last_used_at", message.last_used_at)
        .time("idle_expires_at", message.idle_expires_at)
        .time("absolute_expires_at", message.absolute_expires_at)
        .number("generation", message.generation.into())
}

pub(super) fn keys(message: api::ListKeysResponse) -> Answer {
    Answer::default().with("keys", Value::Objects(KEY_COLUMNS, message.keys.into_iter().map(key).collect()))
}

pub(super) fn rotated(message: api::RotateKeyResponse) -> Answer {
    Answer::default().object("active", message.active.map(key)).object("standby", message.standby.map(key))
}

/// One floor raised, and where the stream stands after its message.
pub(super) fn raised(message: &api::RaisedFloor, revision: &str) -> Answer {
    Answer::default()
        .with("kind", Value::Word(message.kind().as_str_name(), "TARGET_KIND_"))
        .text("target", STANDARD.encode(&message.target))
        .with("floor", Value::Floor(message.floor))
        .with("reason", Value::Word(message.reason().as_str_name(), "REVOCATION_REASON_"))
        .time("at", message.at)
        .text("revision", revision.to_owned())
}

pub(super) fn log(message: api::GetLogResponse) -> Answer {
    let (state, durability) = (message.state(), message.durability());
    Answer::default()
        .with("state", Value::Word(state.as_str_name(), "LOG_STATE_"))
        .time("last_seen", message.last_seen)
        .text("revision", message.revision)
        .text("settled", message.settled)
        .with("age_ms", Value::Number(message.age_ms))
        .with("entries", Value::Number(message.entries))
        .with("bytes", Value::Number(message.bytes))
        .with("whole", Value::Flag(message.whole))
        .durability(durability)
        .texts("problems", message.problems)
}

fn key(message: api::SigningKey) -> Answer {
    let state = message.state();
    Answer::default()
        .text("kid", message.kid)
        .text("alg", message.alg)
        .with("state", Value::Word(state.as_str_name(), "KEY_STATE_"))
        .time("created_at", message.created_at)
        .time("activates_at", message.activates_at)
        .time("retires_at", message.retires_at)
        .time("removed_at", message.removed_at)
}

fn confirmation(message: api::Confirmation) -> Answer {
    Answer::default().text("jkt", message.jkt).text("x5t#S256", message.x5t_s256)
}

impl Answer {
    fn durability(self, durability: api::Durability) -> Self {
        match durability {
            api::Durability::Unspecified => self,
            reached => self.with("durability", Value::Word(reached.as_str_name(), "DURABILITY_")),
        }
    }

    fn cause(self, cause: api::Cause) -> Self {
        match cause {
            api::Cause::Unspecified => self,
            cause => self.with("cause", Value::Word(cause.as_str_name(), "CAUSE_")),
        }
    }
}

fn list(structs: Vec<prost_types::Struct>) -> Option<serde_json::Value> {
    if structs.is_empty() { None } else { Some(structs.into_iter().map(object).collect()) }
}

fn object(message: prost_types::Struct) -> serde_json::Value {
    message.fields.into_iter().map(|(name, value)| (name, json(value))).collect()
}

/// `google.protobuf.Value` has only floating-point numbers: one that is whole is shown so.
fn json(value: prost_types::Value) -> serde_json::Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(flag)) => flag.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json).collect(),
        Some(Kind::StructValue(members)) => object(members),
        Some(Kind::NumberValue(number)) => {
            let whole = format!("{number:.0}").parse::<i64>().ok().filter(|_| number.fract() == 0.0);
            whole.map_or_else(|| number.into(), Into::into)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inactive_token_says_active_false_and_nothing_empty() {
        let message = api::IntrospectResponse { revision: "r1".into(), ..Default::default() };
        assert_eq!(serde_json::to_string(&introspected(message)).unwrap(), r#"{"active":false,"revision":"r1"}"#);
    }

    #[test]
    fn claims_are_the_json_that_was_issued() {
        let number = |number| prost_types::Value { kind: Some(Kind::NumberValue(number)) };
        let claims = prost_types::Struct { fields: [("limit".into(), number(1500.0)), ("rate".into(), number(0.5))].into() };
        let message = api::IntrospectResponse { active: true, claims: Some(claims), exp: 7, ..Default::default() };
        assert_eq!(
            serde_json::to_string(&introspected(message)).unwrap(),
            r#"{"active":true,"exp":7,"claims":{"limit":1500,"rate":0.5}}"#
        );
    }

    #[test]
    fn a_thumbprint_has_its_name_of_the_rfc() {
        let cnf = confirmation(api::Confirmation { x5t_s256: "abc".into(), ..Default::default() });
        assert_eq!(serde_json::to_string(&cnf).unwrap(), r#"{"x5t#S256":"abc"}"#);
    }

    #[test]
    fn a_dry_run_that_counts_nothing_says_so() {
        let answer = revoked(api::RevokeResponse::default(), true);
        assert_eq!(serde_json::to_string(&answer).unwrap(), r#"{"counted":false}"#);
    }
}

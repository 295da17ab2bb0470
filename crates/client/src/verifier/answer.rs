//! What Introspect says, as what a token says and for how long that holds.

use super::known::{Known, Proof};
use crate::api::{self, Confirmation, IntrospectRequest, IntrospectResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::access::Ancestor;
use jeton_domain::claims::Said;
use jeton_domain::grant::Binding;
use jeton_domain::id::{GrantId, TargetId};
use jeton_domain::name::{ClientId, SessionId, Subject};
use jeton_domain::revision::Born;
use jeton_domain::time::{Millis, Timestamp};
use prost_types::value::Kind;
use prost_types::{Struct, Value as ProtoValue};
use serde_json::{Map, Number, Value};
use std::sync::Arc;

/// Asks about a token on behalf of a resource.
pub(crate) fn question(token: &str, resource: &str) -> IntrospectRequest {
    IntrospectRequest { token: token.to_owned(), resource: resource.to_owned(), freshness: None }
}

/// What is known by an answer to a question of this time (on the clock's run). None where it is not an active access token, or says what
/// none does.
pub(crate) fn read(answer: IntrospectResponse, asked: Millis) -> Option<Known> {
    if !answer.active || answer.token_type.is_empty() {
        return None;
    }
    let grant = if answer.grant_id.is_empty() { None } else { Some(GrantId::parse(&answer.grant_id)?) };
    let user = if grant.is_some() { Some(Subject::parse("sub", &answer.sub).ok()?) } else { None };
    let session = if answer.sid.is_empty() { None } else { Some(SessionId::parse("sid", &answer.sid).ok()?) };
    let binding = match &answer.cnf {
        Some(cnf) => Some(binding(cnf)?),
        None => None,
    };
    let cache = answer.cache.unwrap_or_default();
    let targets = cache.targets.iter().map(|target| TargetId::from_slice(target)).collect::<Option<_>>()?;
    let said = Said {
        iss: answer.iss,
        user,
        sub: answer.sub,
        aud: answer.aud,
        exp: moment(answer.exp)?,
        iat: moment(answer.iat)?,
        nbf: moment(answer.nbf),
        jti: answer.jti,
        client: ClientId::parse("client_id", &answer.client_id).ok()?,
        scope: answer.scope,
        session,
        grant,
        born: Born(u64::try_from(cache.born).ok()?),
        auth_time: moment(answer.auth_time),
        acr: Some(answer.acr).filter(|acr| !acr.is_empty()),
        amr: answer.amr,
        binding,
        authorization_details: answer.authorization_details.into_iter().map(|details| Value::Object(object(details))).collect(),
        act: answer.act.map(object),
        ancestors: cache.ancestors.iter().map(ancestor).collect::<Option<_>>()?,
        extra: answer.claims.map(object).unwrap_or_default(),
    };
    let until = asked.plus(Millis::from_secs(u64::try_from(cache.max_age).unwrap_or(0)));
    Some(Known::new(Arc::new(said), targets, Proof::Answer { until }))
}

/// A token that this one was exchanged for. Its grant is of use to who reads records only.
fn ancestor(told: &api::Ancestor) -> Option<Ancestor> {
    let targets = told.targets.iter().map(|target| TargetId::from_slice(target)).collect::<Option<_>>()?;
    Some(Ancestor { born: Born(u64::try_from(told.born).ok()?), grant: None, targets })
}

/// Seconds since the epoch; 0 is not said.
fn moment(secs: i64) -> Option<Timestamp> {
    u64::try_from(secs).ok().filter(|secs| *secs > 0).map(Timestamp::from_secs)
}

/// None for a constraint that is not known here: what cannot be checked must not look unconstrained.
fn binding(cnf: &Confirmation) -> Option<Binding> {
    let thumbprint = |text: &str| <[u8; 32]>::try_from(URL_SAFE_NO_PAD.decode(text).ok()?).ok();
    thumbprint(&cnf.jkt).map(Binding::Jkt).or_else(|| thumbprint(&cnf.x5t_s256).map(Binding::X5t))
}

fn object(members: Struct) -> Map<String, Value> {
    members.fields.into_iter().map(|(name, value)| (name, json(value))).collect()
}

/// JSON's only number is a double here; a whole one is written as such.
fn json(value: ProtoValue) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(value),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::NumberValue(number)) => whole(number).map_or(Value::Null, Value::Number),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(json).collect()),
        Some(Kind::StructValue(members)) => Value::Object(object(members)),
    }
}

fn whole(number: f64) -> Option<Number> {
    // Digits of a whole double below 2^53 are those of the integer.
    let is_whole = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    let integer = is_whole.then(|| format!("{number:.0}").parse::<i64>().ok()).flatten();
    integer.map(Number::from).or_else(|| Number::from_f64(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::CacheAdvice;

    fn active() -> IntrospectResponse {
        IntrospectResponse {
            active: true,
            scope: "orders:read".into(),
            client_id: "web-app".into(),
            token_type: "Bearer".into(),
            exp: 20,
            iat: 10,
            sub: "alice".into(),
            aud: vec!["https://orders.internal".into()],
            iss: "https://jeton.internal".into(),
            grant_id: GrantId([1; 16]).to_string(),
            cache: Some(CacheAdvice { max_age: 2, targets: vec![vec![7; 16]], born: 5, ancestors: Vec::new() }),
            ..Default::default()
        }
    }

    #[test]
    fn an_answer_holds_for_as_long_as_it_says() {
        let known = read(active(), Millis::from_secs(100)).unwrap();
        assert_eq!(known.proof, Proof::Answer { until: Millis::from_secs(102) });
        assert_eq!((known.said.born, known.said.exp, known.said.nbf), (Born(5), Timestamp::from_secs(20), None));
    }

    #[test]
    fn what_is_inactive_a_refresh_token_or_garbled_is_not_known() {
        assert!(read(IntrospectResponse { active: false, ..active() }, Millis::ZERO).is_none());
        assert!(read(IntrospectResponse { token_type: String::new(), ..active() }, Millis::ZERO).is_none());
        assert!(read(IntrospectResponse { cnf: Some(Confirmation::default()), ..active() }, Millis::ZERO).is_none());
        let short = CacheAdvice { targets: vec![vec![7; 15]], ..CacheAdvice::default() };
        assert!(read(IntrospectResponse { cache: Some(short), ..active() }, Millis::ZERO).is_none());
    }

    #[test]
    fn numbers_stay_whole() {
        for (number, text) in [(3.0, "3"), (-1.0, "-1"), (1.5, "1.5"), (0.0, "0"), (1e300, "1e+300")] {
            assert_eq!(whole(number).map(|number| number.to_string()).as_deref(), Some(text));
        }
        assert_eq!(whole(f64::NAN), None);
    }
}

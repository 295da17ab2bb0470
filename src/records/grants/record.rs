//! What the record of a grant says.

use super::Known;
use crate::records::codes::{cause, cause_code, grant_type, grant_type_code};
use crate::records::proto;
use jeton_domain::access::Ancestor;
use jeton_domain::error::{Ended, Error, Result};
use jeton_domain::grant::{Binding, Code, Grant, Lineage, SignIn};
use jeton_domain::id::{GrantId, Identity, KeyId, RequestHash, TargetId};
use jeton_domain::name::{ClientId, ResourceId, SessionId, Subject};
use jeton_domain::redirect::RedirectUri;
use jeton_domain::revision::Born;
use jeton_domain::scope::Scopes;
use jeton_domain::secret::Secret;
use jeton_domain::time::{Millis, Timestamp};
use serde_json::{Map, Value};

/// What is stored of a grant.
#[must_use]
pub fn encode(grant: &Grant) -> proto::GrantRecord {
    let lineage = &grant.lineage;
    let (jkt, x5t) = match grant.binding {
        Some(Binding::Jkt(thumbprint)) => (thumbprint.to_vec(), Vec::new()),
        Some(Binding::X5t(thumbprint)) => (Vec::new(), thumbprint.to_vec()),
        None => Default::default(),
    };
    let since_created = |at: Timestamp| at.since(grant.created_at).get();
    proto::GrantRecord {
        ended: grant.ended.map(|ended| proto::Ended { at: ended.at.millis(), cause: cause_code(ended.cause).into() }),
        subject: grant.subject.to_string(),
        client: grant.client.to_string(),
        session: grant.session.as_ref().map(ToString::to_string).unwrap_or_default(),
        scopes: grant.scopes.iter().map(str::to_owned).collect(),
        resources: grant.resources.iter().map(ToString::to_string).collect(),
        auth_time: grant.sign_in.auth_time.map_or(0, Timestamp::millis),
        acr: grant.sign_in.acr.clone().unwrap_or_default(),
        amr: grant.sign_in.amr.clone(),
        method: grant_type_code(grant.sign_in.method).into(),
        jkt,
        x5t,
        born: grant.born.0,
        created_at: grant.created_at.millis(),
        idle: grant.idle.get(),
        absolute: since_created(grant.absolute_end),
        nonce: grant.nonce.expose().to_vec(),
        refreshable: lineage.refreshable,
        newest: lineage.newest,
        parent: lineage.parent,
        arrived: lineage.arrived,
        reported: lineage.reported,
        handed_after: if lineage.handed_at == Timestamp::NEVER { 0 } else { since_created(lineage.handed_at).saturating_add(1) },
        used_after: since_created(lineage.used_at),
        key: lineage.key.0.to_vec(),
        key_since: lineage.key_since,
        request: lineage.request.map(|hash| hash.0.to_vec()).unwrap_or_default(),
        identity: lineage.identity.0.to_vec(),
        code: lineage.code.as_ref().map(|code| proto::Code {
            until: code.until.millis(),
            challenge: code.challenge.map(Vec::from).unwrap_or_default(),
            redirect_uri: code.redirect_uri.as_ref().map(ToString::to_string).unwrap_or_default(),
            nonce: code.nonce.as_deref().unwrap_or_default().to_owned(),
            jkt: code.jkt.map(Vec::from).unwrap_or_default(),
        }),
        authorization_details: json(&grant.authorization_details, grant.authorization_details.is_empty()),
        access_claims: json(&grant.access_claims, grant.access_claims.is_empty()),
        id_claims: json(&grant.id_claims, grant.id_claims.is_empty()),
        tokens_revoked: grant.tokens_revoked.into(),
        act: grant.act.as_ref().map(|act| json(act, false)).unwrap_or_default(),
        ancestors: grant.ancestors.iter().map(ancestor_record).collect(),
    }
}

/// Reads what is stored of the grant of that id.
///
/// # Errors
/// `RecordUnreadable`: garbled, or written by a newer version.
pub fn decode(id: GrantId, record: &proto::GrantRecord) -> Result<Known> {
    let ended = match record.ended {
        Some(ended) => Some(Ended { at: Timestamp::from_millis(ended.at), cause: cause(ended.cause)? }),
        None => None,
    };
    if let (Some(ended), true) = (ended, record.subject.is_empty()) {
        return Ok(Known::OnlyEnded(ended));
    }
    let created_at = Timestamp::from_millis(record.created_at);
    let after_created = |millis: u64| created_at.plus(Millis::new(millis));
    let garbled = |_| Error::RecordUnreadable("a grant's record is garbled".into());
    let bytes = |_| Error::RecordUnreadable("a grant's record has a field of the wrong length".into());
    Ok(Known::Grant(Box::new(Grant {
        id,
        subject: Subject::parse("sub", &record.subject).map_err(garbled)?,
        client: ClientId::parse("client_id", &record.client).map_err(garbled)?,
        session: some(&record.session).map(|session| SessionId::parse("sid", session)).transpose().map_err(garbled)?,
        scopes: record.scopes.iter().map(|scope| scope.as_str().into()).collect::<Scopes>(),
        resources: record.resources.iter().map(|id| ResourceId::parse("resource", id)).collect::<Result<_>>().map_err(garbled)?,
        sign_in: SignIn {
            auth_time: (record.auth_time > 0).then(|| Timestamp::from_millis(record.auth_time)),
            acr: some(&record.acr).map(str::to_owned),
            amr: record.amr.clone(),
            method: grant_type(record.method)?,
        },
        binding: match (record.jkt.as_slice(), record.x5t.as_slice()) {
            ([], []) => None,
            (jkt, []) => Some(Binding::Jkt(jkt.try_into().map_err(bytes)?)),
            (_, x5t) => Some(Binding::X5t(x5t.try_into().map_err(bytes)?)),
        },
        born: Born(record.born),
        created_at,
        idle: Millis::new(record.idle),
        absolute_end: after_created(record.absolute),
        nonce: Secret::new(record.nonce.as_slice().try_into().map_err(bytes)?),
        lineage: Lineage {
            refreshable: record.refreshable,
            newest: record.newest,
            parent: record.parent,
            arrived: record.arrived,
            reported: record.reported,
            handed_at: record.handed_after.checked_sub(1).map_or(Timestamp::NEVER, after_created),
            used_at: after_created(record.used_after),
            key: KeyId(record.key.as_slice().try_into().map_err(bytes)?),
            key_since: record.key_since,
            request: if record.request.is_empty() {
                None
            } else {
                Some(RequestHash(record.request.as_slice().try_into().map_err(bytes)?))
            },
            identity: Identity(record.identity.as_slice().try_into().map_err(bytes)?),
            code: record.code.as_ref().map(code).transpose()?,
        },
        ended,
        authorization_details: read_json::<Vec<Value>>(&record.authorization_details)?,
        access_claims: read_json::<Map<String, Value>>(&record.access_claims)?,
        id_claims: read_json::<Map<String, Value>>(&record.id_claims)?,
        tokens_revoked: u8::try_from(record.tokens_revoked).unwrap_or(u8::MAX),
        act: some(&record.act).map(read_json::<Map<String, Value>>).transpose()?,
        ancestors: record.ancestors.iter().map(ancestor).collect::<Result<_>>()?,
    })))
}

fn ancestor_record(ancestor: &Ancestor) -> proto::Ancestor {
    proto::Ancestor {
        born: ancestor.born.0,
        grant: ancestor.grant.map(|grant| grant.0.to_vec()).unwrap_or_default(),
        targets: ancestor.targets.iter().flat_map(|target| target.0).collect(),
    }
}

fn ancestor(record: &proto::Ancestor) -> Result<Ancestor> {
    let garbled = || Error::RecordUnreadable("what a token was exchanged for is garbled".into());
    let grant = match record.grant.as_slice() {
        [] => None,
        id => Some(GrantId::from_slice(id).ok_or_else(garbled)?),
    };
    let (targets, []) = record.targets.as_chunks::<16>() else { return Err(garbled()) };
    let targets = targets.iter().copied().map(TargetId).collect();
    Ok(Ancestor { born: Born(record.born), grant, targets })
}

fn code(code: &proto::Code) -> Result<Code> {
    let garbled = || Error::RecordUnreadable("a code's terms are garbled".into());
    let hash = |bytes: &[u8]| match bytes {
        [] => Ok(None),
        bytes => bytes.try_into().map(Some).map_err(|_length| garbled()),
    };
    let redirect_uri = some(&code.redirect_uri).map(|uri| RedirectUri::parse("redirect_uri", uri)).transpose();
    Ok(Code {
        until: Timestamp::from_millis(code.until),
        challenge: hash(&code.challenge)?,
        redirect_uri: redirect_uri.map_err(|_form| garbled())?,
        nonce: some(&code.nonce).map(Into::into),
        jkt: hash(&code.jkt)?,
    })
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// As text; none where it is empty.
pub fn json(value: &impl serde::Serialize, empty: bool) -> String {
    if empty { String::new() } else { serde_json::to_string(value).unwrap_or_default() }
}

/// The same back.
///
/// # Errors
/// `RecordUnreadable`.
pub fn read_json<T: Default + serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    if text.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_str(text)
        .map_err(|_garbled| Error::RecordUnreadable("claims or authorization details of a record are garbled".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jeton_domain::client::GrantType;
    use jeton_domain::error::Cause;
    use prost::Message as _;
    use serde_json::json;

    fn full() -> Grant {
        let created_at = Timestamp::from_millis(1_700_000_000_123);
        Grant {
            id: GrantId([7; 16]),
            subject: Subject::parse("sub", "alice").unwrap(),
            client: ClientId::parse("client_id", "mobile-app").unwrap(),
            session: Some(SessionId::parse("sid", "s-1").unwrap()),
            scopes: Scopes::parse("scope", "openid offline_access orders:read").unwrap(),
            resources: vec![ResourceId::parse("resource", "https://orders.internal").unwrap()],
            sign_in: SignIn {
                auth_time: Some(created_at.minus(Millis::from_secs(9))),
                acr: Some("urn:acr:2".into()),
                amr: vec!["pwd".into(), "mfa".into()],
                method: GrantType::DeviceCode,
            },
            binding: Some(Binding::X5t([9; 32])),
            born: Born(1_700_000_000_000_001),
            created_at,
            idle: Millis::from_secs(60),
            absolute_end: created_at.plus(Millis::from_secs(600)),
            nonce: Secret::new([3; 16]),
            lineage: Lineage {
                refreshable: true,
                newest: 5,
                parent: 4,
                arrived: 0b11,
                reported: 4,
                handed_at: created_at,
                used_at: created_at.plus(Millis::new(1)),
                key: KeyId([1, 2, 3, 4]),
                key_since: 2,
                request: Some(RequestHash([5; 16])),
                identity: Identity([6; 8]),
                code: Some(Code {
                    until: created_at,
                    challenge: Some([8; 32]),
                    redirect_uri: Some(RedirectUri::parse("redirect_uri", "https://app/cb").unwrap()),
                    nonce: Some("n-0S6".into()),
                    jkt: Some([9; 32]),
                }),
            },
            ended: Some(Ended { at: created_at.plus(Millis::new(5)), cause: Cause::Evicted }),
            authorization_details: vec![json!({"type": "payment", "amount": 5})],
            access_claims: Map::from_iter([("tenant".to_owned(), json!("a"))]),
            id_claims: Map::from_iter([("name".to_owned(), json!({"given": "Alice"}))]),
            tokens_revoked: 15,
            act: Some(Map::from_iter([("sub".to_owned(), json!("orders"))])),
            ancestors: vec![
                Ancestor { born: Born(3), grant: Some(GrantId([8; 16])), targets: vec![TargetId([1; 16]), TargetId([2; 16])] },
                Ancestor { born: Born(4), grant: None, targets: vec![TargetId([3; 16])] },
            ],
        }
    }

    #[test]
    fn a_grant_reads_back_whole() {
        let bytes = encode(&full()).encode_to_vec();
        let record = proto::GrantRecord::decode(bytes.as_slice()).unwrap();
        assert_eq!(decode(full().id, &record), Ok(Known::Grant(Box::new(full()))));
    }

    #[test]
    fn a_grant_of_which_only_the_end_is_known_is_that() {
        let record = proto::GrantRecord { ended: Some(proto::Ended { at: 5, cause: 2 }), ..Default::default() };
        let ended = Ended { at: Timestamp::from_millis(5), cause: Cause::GrantRevoked };
        assert_eq!(decode(GrantId([0; 16]), &record), Ok(Known::OnlyEnded(ended)));
    }

    #[test]
    fn what_a_newer_version_wrote_is_unreadable_and_not_absent() {
        let record = proto::GrantRecord { ended: Some(proto::Ended { at: 5, cause: 99 }), ..Default::default() };
        assert!(matches!(decode(GrantId([0; 16]), &record), Err(Error::RecordUnreadable(_))));
    }
}

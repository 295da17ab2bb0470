//! The fields of messages: each is bounded, and named where it is at fault.

use crate::server::{Server, open, refusal, start};
use crate::wire::ISSUE;
use jeton::api;
use prost::Message as _;
use tonic::Code;

async fn refused(server: &mut Server, path: &str, message: &[u8]) -> (Code, String, Vec<String>) {
    let ended = server.raw().await.call(path, message).await;
    let refusal = refusal(&ended.status);
    (refusal.code, refusal.reason, refusal.fields)
}

fn invalid(reason: &str, fields: &[&str]) -> (Code, String, Vec<String>) {
    (Code::InvalidArgument, reason.into(), fields.iter().map(ToString::to_string).collect())
}

fn valid_issue() -> api::IssueRequest {
    api::IssueRequest {
        client_id: "mobile-app".into(),
        sub: "alice".into(),
        scope: "openid orders:read".into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn fields_of_issue_are_bounded_and_named() {
    type Spoil = fn(&mut api::IssueRequest);
    fn claims(value: prost_types::value::Kind) -> Option<prost_types::Struct> {
        Some(prost_types::Struct { fields: [("c".to_owned(), prost_types::Value { kind: Some(value) })].into() })
    }
    fn auth(request: &mut api::IssueRequest) -> &mut api::AuthenticationContext {
        request.authentication.get_or_insert_default()
    }
    let rows: Vec<(Spoil, &str, &str)> = vec![
        (|r| r.client_id = String::new(), "INVALID_FIELD", "client_id"),
        (|r| r.client_id = "x".repeat(129), "INVALID_FIELD", "client_id"),
        (|r| r.client_id = "a\0b".into(), "INVALID_FIELD", "client_id"),
        (|r| r.sub = "x".repeat(256), "INVALID_FIELD", "sub"),
        (|r| r.sub = "al\u{1b}[31mice".into(), "INVALID_FIELD", "sub"),
        (|r| r.sub = "älice".into(), "INVALID_FIELD", "sub"),
        (|r| r.scope = (0..10_000).map(|n| format!("s{n} ")).collect(), "INVALID_SCOPE", "scope"),
        (|r| r.scope = "a\"b".into(), "INVALID_SCOPE", "scope"),
        (|r| r.resource = vec!["https://a".into(), "orders".into()], "INVALID_TARGET", "resource[1]"),
        (|r| r.resource = vec!["https://a".into(); 65], "INVALID_TARGET", "resource"),
        (|r| r.resource = vec![String::new()], "INVALID_TARGET", "resource[0]"),
        (|r| r.sid = "x".repeat(129), "INVALID_FIELD", "sid"),
        (|r| r.sid = "a\nb".into(), "INVALID_FIELD", "sid"),
        (|r| auth(r).auth_time = -1, "INVALID_FIELD", "authentication.auth_time"),
        (|r| auth(r).auth_time = i64::MAX, "INVALID_FIELD", "authentication.auth_time"),
        (|r| auth(r).acr = "x".repeat(256), "INVALID_FIELD", "authentication.acr"),
        (|r| auth(r).amr = vec!["pwd".into(); 17], "INVALID_FIELD", "authentication.amr"),
        (|r| auth(r).amr = vec!["pwd".into(), String::new()], "INVALID_FIELD", "authentication.amr[1]"),
        (|r| auth(r).amr = vec!["x".repeat(65)], "INVALID_FIELD", "authentication.amr[0]"),
        (|r| auth(r).method = 99, "INVALID_FIELD", "authentication.method"),
        (|r| auth(r).method = api::GrantType::ClientCredentials.into(), "INVALID_FIELD", "sub"),
        (
            |r| {
                auth(r).method = api::GrantType::Password.into();
                r.sub = String::new();
            },
            "INVALID_FIELD",
            "sub",
        ),
        (|r| r.nonce = "x".repeat(513), "INVALID_FIELD", "nonce"),
        (|r| r.nonce = "a\0".into(), "INVALID_FIELD", "nonce"),
        (
            |r| r.access_token_claims = claims(prost_types::value::Kind::NumberValue(f64::NAN)),
            "INVALID_FIELD",
            "access_token_claims.c",
        ),
        (
            |r| r.id_token_claims = claims(prost_types::value::Kind::StringValue("x".repeat(9_000))),
            "INVALID_FIELD",
            "id_token_claims",
        ),
        (|r| r.cnf = Some(api::Confirmation { jkt: "abc".into(), ..Default::default() }), "INVALID_FIELD", "cnf.jkt"),
        (|r| r.cnf = Some(api::Confirmation { jkt: "A".repeat(43), x5t_s256: "A".repeat(43) }), "INVALID_FIELD", "cnf"),
        (|r| r.cnf = Some(api::Confirmation { x5t_s256: "=".repeat(43), ..Default::default() }), "INVALID_FIELD", "cnf.x5t_s256"),
        (
            |r| r.authorization_details = vec![prost_types::Struct::default()],
            "INVALID_AUTHORIZATION_DETAILS",
            "authorization_details[0].type",
        ),
        (
            |r| r.authorization_details = vec![prost_types::Struct::default(); 17],
            "INVALID_AUTHORIZATION_DETAILS",
            "authorization_details",
        ),
        (
            |r| {
                r.client_authentication = Some(api::ClientAuthentication { client_secret: "x".repeat(513), ..Default::default() })
            },
            "INVALID_FIELD",
            "client_authentication.client_secret",
        ),
        (
            |r| {
                r.client_authentication = Some(api::ClientAuthentication { dpop_proof: "x".repeat(16_385), ..Default::default() })
            },
            "INVALID_FIELD",
            "client_authentication.dpop_proof",
        ),
        (
            |r| {
                r.client_authentication =
                    Some(api::ClientAuthentication { certificate_thumbprint: "x".into(), ..Default::default() });
            },
            "INVALID_FIELD",
            "client_authentication.certificate_thumbprint",
        ),
    ];
    let mut server = start(open()).await;
    for (at, (spoil, reason, field)) in rows.into_iter().enumerate() {
        let mut request = valid_issue();
        spoil(&mut request);
        assert_eq!(refused(&mut server, ISSUE, &request.encode_to_vec()).await, invalid(reason, &[field]), "row {at}");
    }
}

#[tokio::test]
async fn all_violations_are_named_at_once() {
    let mut server = start(open()).await;
    let request = api::IssueRequest { sub: "\0".into(), sid: "\n".into(), nonce: "x".repeat(1_000), ..Default::default() };
    let expected = invalid("INVALID_FIELD", &["client_id", "sub", "sid", "nonce"]);
    assert_eq!(refused(&mut server, ISSUE, &request.encode_to_vec()).await, expected);
}

#[tokio::test]
async fn fields_of_the_other_methods_are_bounded_and_named() {
    use api::revoke_request::Target;
    let revoke = |target: Option<Target>| api::RevokeRequest { target, ..Default::default() };
    let refresh = |token: &str| api::RefreshRequest { refresh_token: token.into(), client_id: "c".into(), ..Default::default() };
    let page = |size| api::ListGrantsRequest { sub: "alice".into(), page_size: size, ..Default::default() };
    let typed = |text: &str| api::DenyDeviceAuthorizationRequest { user_code: text.into() };
    let fresh = api::freshness::Requirement::AtLeastAsFresh("yesterday".into());
    let fresh = Some(api::Freshness { requirement: Some(fresh) });
    let session = api::SessionTarget { sid: "s".into(), sub: "\0".into() };
    let consent = api::ConsentTarget { sub: "alice".into(), client_id: String::new() };
    let rows: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("TokenService/Refresh", refresh("").encode_to_vec(), &["refresh_token"]),
        ("TokenService/Refresh", refresh(&"x".repeat(513)).encode_to_vec(), &["refresh_token"]),
        (
            "TokenService/Refresh",
            api::RefreshRequest { client_id: "c".into(), request_id: "\0".into(), ..refresh("t") }.encode_to_vec(),
            &["request_id"],
        ),
        (
            "TokenService/Refresh",
            api::RefreshRequest { client_id: String::new(), request_id: "x".repeat(129), ..refresh("t") }.encode_to_vec(),
            &["client_id", "request_id"],
        ),
        ("TokenService/Revoke", revoke(None).encode_to_vec(), &["target"]),
        ("TokenService/Revoke", revoke(Some(Target::Token(String::new()))).encode_to_vec(), &["token"]),
        ("TokenService/Revoke", revoke(Some(Target::GrantId("?".into()))).encode_to_vec(), &["grant_id"]),
        ("TokenService/Revoke", revoke(Some(Target::Session(session))).encode_to_vec(), &["session.sub"]),
        ("TokenService/Revoke", revoke(Some(Target::Sub(String::new()))).encode_to_vec(), &["sub"]),
        ("TokenService/Revoke", revoke(Some(Target::ClientId("\n".into()))).encode_to_vec(), &["client_id"]),
        ("TokenService/Revoke", revoke(Some(Target::Consent(consent))).encode_to_vec(), &["consent.client_id"]),
        ("TokenService/Revoke", revoke(Some(Target::Kid(String::new()))).encode_to_vec(), &["kid"]),
        ("TokenService/Revoke", revoke(Some(Target::Kid("\0".into()))).encode_to_vec(), &["kid"]),
        (
            "TokenService/Revoke",
            api::RevokeRequest { reason: 99, ..revoke(Some(Target::Sub("alice".into()))) }.encode_to_vec(),
            &["reason"],
        ),
        (
            "TokenService/Revoke",
            api::RevokeRequest { token_client_id: "c".into(), ..revoke(Some(Target::Sub("alice".into()))) }.encode_to_vec(),
            &["token_client_id"],
        ),
        ("TokenService/Introspect", vec![], &["token"]),
        (
            "TokenService/Introspect",
            api::IntrospectRequest { token: "x".repeat(16_385), ..Default::default() }.encode_to_vec(),
            &["token"],
        ),
        (
            "TokenService/Introspect",
            api::IntrospectRequest { token: "t".into(), freshness: fresh, ..Default::default() }.encode_to_vec(),
            &["freshness.at_least_as_fresh"],
        ),
        (
            "TokenService/BatchIntrospect",
            api::BatchIntrospectRequest { tokens: vec!["t".into(); 1_001], ..Default::default() }.encode_to_vec(),
            &["tokens"],
        ),
        ("TokenService/Explain", vec![], &["token"]),
        ("TokenService/Exchange", vec![], &["client_id", "subject_token"]),
        ("DeviceService/StartDeviceAuthorization", vec![], &["client_id"]),
        ("DeviceService/DescribeDeviceAuthorization", vec![], &["user_code"]),
        ("DeviceService/ApproveDeviceAuthorization", vec![], &["user_code"]),
        ("DeviceService/DenyDeviceAuthorization", typed(&"B".repeat(100_000)).encode_to_vec(), &["user_code"]),
        ("DeviceService/DenyDeviceAuthorization", typed("AEIO-UAEI").encode_to_vec(), &["user_code"]),
        ("DeviceService/ExchangeDeviceCode", vec![], &["device_code", "client_id"]),
        ("GrantService/GetGrant", vec![], &["grant_id"]),
        ("GrantService/ListGrants", vec![], &["sub"]),
        ("GrantService/ListGrants", page(-1).encode_to_vec(), &["page_size"]),
        ("GrantService/ListGrants", page(1_001).encode_to_vec(), &["page_size"]),
        (
            "GrantService/ListGrants",
            api::ListGrantsRequest { page_token: "x".repeat(1_025), ..page(0) }.encode_to_vec(),
            &["page_token"],
        ),
        ("KeyService/RotateKey", vec![], &["alg"]),
        (
            "TokenService/Revoke",
            api::RevokeRequest { reason: api::RevocationReason::Reuse.into(), ..revoke(Some(Target::Sub("alice".into()))) }
                .encode_to_vec(),
            &["reason"],
        ),
        ("RevocationService/AcceptLog", api::AcceptLogRequest { last_seen: -1 }.encode_to_vec(), &["last_seen"]),
        ("RevocationService/AcceptLog", api::AcceptLogRequest { last_seen: 7 }.encode_to_vec(), &["last_seen"]),
        ("KeyService/RotateKey", api::RotateKeyRequest { alg: "none".into() }.encode_to_vec(), &["alg"]),
    ];
    let mut server = start(open()).await;
    for (at, (method, message, fields)) in rows.into_iter().enumerate() {
        let path = format!("/jeton.v1.{method}");
        assert_eq!(refused(&mut server, &path, &message).await, invalid("INVALID_FIELD", fields), "row {at} of {method}");
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_names_its_field() {
    let mut server = start(open()).await;
    // client_id (1), and authentication (6) with acr (2) in it.
    let rows: [(&[u8], &str); 2] =
        [(&[0x0A, 0x02, 0xC3, 0x28], "client_id"), (&[0x32, 0x03, 0x12, 0x01, 0xFF], "authentication.acr")];
    for (message, field) in rows {
        assert_eq!(refused(&mut server, ISSUE, message).await, invalid("INVALID_FIELD", &[field]));
    }
    // A length beyond the end, a wire type that there is not, and claims nested a hundred deep.
    let mut deep = vec![];
    for _ in 0..120 {
        deep = nested(&deep);
    }
    let claims = [&[0x42][..], &varint(deep.len()), &deep].concat();
    assert_eq!(refused(&mut server, ISSUE, &[0x0A, 0x7F]).await, invalid("INVALID_FIELD", &["client_id"]));
    assert_eq!(refused(&mut server, ISSUE, &[0x0F]).await, invalid("MESSAGE_MALFORMED", &[]));
    let (code, reason, fields) = refused(&mut server, ISSUE, &claims).await;
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    assert!(fields[0].starts_with("access_token_claims"), "{fields:?}");
}

/// A Struct with one member, that is the Struct given.
fn nested(inner: &[u8]) -> Vec<u8> {
    let value = [&[0x2A][..], &varint(inner.len()), inner].concat();
    let entry = [&[0x0A, 0x01, b'a', 0x12][..], &varint(value.len()), &value].concat();
    [&[0x0A][..], &varint(entry.len()), &entry].concat()
}

fn varint(length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(length.try_into().unwrap(), &mut out);
    out
}

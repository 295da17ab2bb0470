//! Every row of the table is reached and says what it should.

use super::*;
use jeton_domain::assertion;
use jeton_domain::dpop;
use jeton_domain::error::{Cause, ClientRefusal, DeviceRefusal, Expiry, RefreshRefusal};
use jeton_domain::exchange;
use jeton_domain::revision::Revision;
use jeton_domain::time::Timestamp;
use std::collections::HashSet;
use std::path::Path;
use tonic::Code;

const SECRET: &str = "driver: redis://user:hunter2@10.0.0.7 key jeton:{ab12}:g:x";

fn errors() -> Vec<(Error, Reason, Code)> {
    let named = |make: fn(String, String) -> Error| make("scope".into(), "is wrong".into());
    vec![
        (Error::invalid("sub", "must not be empty"), Reason::InvalidField, Code::InvalidArgument),
        (named(|field, problem| Error::InvalidScope { field, problem }), Reason::InvalidScope, Code::InvalidArgument),
        (named(|field, problem| Error::InvalidTarget { field, problem }), Reason::InvalidTarget, Code::InvalidArgument),
        (
            named(|field, problem| Error::InvalidAuthorizationDetails { field, problem }),
            Reason::InvalidAuthorizationDetails,
            Code::InvalidArgument,
        ),
        (Error::InvalidClient(ClientRefusal::Unknown), Reason::InvalidClient, Code::Unauthenticated),
        (Error::UnauthorizedClient("no".into()), Reason::UnauthorizedClient, Code::PermissionDenied),
        (Error::RefreshRefused(RefreshRefusal::Reuse), Reason::RefreshTokenRefused, Code::FailedPrecondition),
        (Error::AssertionRefused(assertion::Refusal::Replayed), Reason::AssertionRefused, Code::FailedPrecondition),
        (Error::InvalidDpopProof(dpop::Refusal::Replayed), Reason::InvalidDpopProof, Code::InvalidArgument),
        (Error::UseDpopNonce("n".into()), Reason::UseDpopNonce, Code::FailedPrecondition),
        (Error::ReauthenticationRequired(Unmet::default()), Reason::ReauthenticationRequired, Code::FailedPrecondition),
        (Error::ExchangeRefused(exchange::Refusal::MayNotAct), Reason::ExchangeRefused, Code::FailedPrecondition),
        (Error::AccessTokenRefused, Reason::AccessTokenRefused, Code::Unauthenticated),
        (Error::InsufficientScope("openid".into()), Reason::InsufficientScope, Code::PermissionDenied),
        (Error::SessionRevoked("s".into()), Reason::SessionRevoked, Code::FailedPrecondition),
        (Error::DeviceRefused(DeviceRefusal::Pending), Reason::AuthorizationPending, Code::FailedPrecondition),
        (Error::DeviceRefused(DeviceRefusal::SlowDown), Reason::SlowDown, Code::FailedPrecondition),
        (Error::DeviceRefused(DeviceRefusal::Expired), Reason::DeviceCodeExpired, Code::FailedPrecondition),
        (Error::DeviceRefused(DeviceRefusal::Denied), Reason::DeviceDenied, Code::FailedPrecondition),
        (Error::UserCodeUnknown, Reason::UserCodeUnknown, Code::NotFound),
        (Error::TooManyGuesses, Reason::TooManyGuesses, Code::ResourceExhausted),
        (Error::GrantUnknown, Reason::GrantUnknown, Code::NotFound),
        (Error::RegistrationUnknown("no".into()), Reason::RegistrationUnknown, Code::NotFound),
        (Error::RegistrationExists("no".into()), Reason::RegistrationExists, Code::AlreadyExists),
        (Error::RegistrationChanged("no".into()), Reason::RegistrationChanged, Code::FailedPrecondition),
        (Error::RegistrationFixed("no".into()), Reason::RegistrationReadOnly, Code::FailedPrecondition),
        (Error::RegistrationInUse("no".into()), Reason::RegistrationInUse, Code::FailedPrecondition),
        (Error::RegistryFull("no".into()), Reason::RegistryFull, Code::ResourceExhausted),
        (
            Error::RegistrationUnsound(vec![("client.scopes".into(), "is wrong".into())]),
            Reason::InvalidField,
            Code::InvalidArgument,
        ),
        (Error::KeyUnknown("no such key".into()), Reason::KeyUnknown, Code::NotFound),
        (Error::RevisionLost, Reason::RevisionLost, Code::FailedPrecondition),
        (Error::WatchCut(Some(Revision { micros: 7, random: 9 })), Reason::WatchCut, Code::Aborted),
        (Error::CallerUnknown("no"), Reason::CallerUnauthenticated, Code::Unauthenticated),
        (Error::CallerRefused("no".into()), Reason::CallerRefused, Code::PermissionDenied),
        (Error::StoreUnavailable(SECRET.into()), Reason::StoreUnavailable, Code::Unavailable),
        (Error::KeysUnavailable(SECRET.into()), Reason::KeysUnavailable, Code::Unavailable),
        (Error::NotDurable(SECRET.into()), Reason::NotDurable, Code::Unavailable),
        (Error::RevokedNotDurable(Revision { micros: 7, random: 9 }), Reason::RevokedNotDurable, Code::Unavailable),
        (Error::Healing, Reason::Healing, Code::Unavailable),
        (Error::Restored(Timestamp::from_secs(5)), Reason::Restored, Code::Unavailable),
        (Error::ShardRestored(SECRET.into()), Reason::Restored, Code::Unavailable),
        (Error::Contended, Reason::Contended, Code::Unavailable),
        (Error::RootKeyMissing(SECRET.into()), Reason::RootKeyMissing, Code::Unavailable),
        (Error::RecordUnreadable(SECRET.into()), Reason::RecordUnreadable, Code::Unavailable),
        (Error::DeadlineExceeded, Reason::DeadlineExceeded, Code::DeadlineExceeded),
        (Error::Overloaded, Reason::Overloaded, Code::ResourceExhausted),
        (Error::RateLimited, Reason::RateLimited, Code::ResourceExhausted),
        (Error::TooManyFailures, Reason::TooManyFailures, Code::ResourceExhausted),
        (Error::ShuttingDown, Reason::ShuttingDown, Code::Unavailable),
        (Error::MethodUnknown, Reason::MethodUnknown, Code::Unimplemented),
        (Error::Internal(SECRET.into()), Reason::Internal, Code::Internal),
    ]
}

fn edges() -> Vec<(Edge, Reason, Code)> {
    vec![
        (Edge::NotGrpc, Reason::NotGrpc, Code::InvalidArgument),
        (Edge::CrossSite { what: "another site asks" }, Reason::CrossSite, Code::PermissionDenied),
        (Edge::DryRunMissing, Reason::DryRunMissing, Code::FailedPrecondition),
        (Edge::EncodingUnsupported, Reason::EncodingUnsupported, Code::Unimplemented),
        (Edge::MessageTooLarge { limit: 9 }, Reason::MessageTooLarge, Code::InvalidArgument),
        (Edge::MessageMalformed, Reason::MessageMalformed, Code::InvalidArgument),
        (Edge::GrantTypeUnsupported, Reason::GrantTypeUnsupported, Code::InvalidArgument),
        (Edge::NotFound, Reason::NotFound, Code::NotFound),
    ]
}

#[test]
fn every_row_is_reached_with_its_code() {
    let mut reached = HashSet::new();
    let faults = errors().into_iter().map(|(error, reason, code)| (Fault::of(&error), reason, code));
    let edges = edges().into_iter().map(|(edge, reason, code)| (Fault::at(edge), reason, code));
    for (fault, reason, code) in faults.chain(edges) {
        assert_eq!((fault.reason, fault.row().code), (reason, code));
        assert!(!fault.message.is_empty(), "{reason:?}");
        assert!(fault.row().http.is_client_error() || fault.row().http.is_server_error(), "{reason:?}");
        reached.insert(reason);
    }
    assert_eq!(reached.len(), Reason::ALL.len(), "a reason that no error has, or one without a row in this test");
}

#[test]
fn words_are_screaming_snake_and_unique() {
    let words: HashSet<_> = Reason::ALL.iter().map(|reason| reason.word()).collect();
    assert_eq!(words.len(), Reason::ALL.len());
    for word in words {
        assert!(word.len() <= 63 && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{word}");
    }
}

#[test]
fn unavailable_and_exhausted_say_when_to_retry_and_nothing_else_does() {
    for reason in Reason::ALL {
        let row = reason.row();
        let retries = matches!(row.code, Code::Unavailable | Code::ResourceExhausted);
        assert_eq!(row.retry.is_some(), retries, "{reason:?}");
    }
}

#[test]
fn an_attacker_learns_nothing() {
    for (error, reason, _) in errors() {
        let fault = Fault::of(&error);
        assert!(!format!("{fault:?}").contains("hunter2"), "{reason:?}");
    }
    let clients = [ClientRefusal::Unknown, ClientRefusal::Missing, ClientRefusal::Wrong, ClientRefusal::Method];
    let texts: HashSet<_> = clients.map(|cause| format!("{:?}", Fault::of(&Error::InvalidClient(cause)))).into();
    assert_eq!(texts.len(), 1);
    let refusals = [
        RefreshRefusal::Malformed,
        RefreshRefusal::Unknown,
        RefreshRefusal::OtherClient,
        RefreshRefusal::NotGenuine,
        RefreshRefusal::WrongProof,
        RefreshRefusal::Ended(Cause::Reuse),
        RefreshRefusal::Expired(Expiry::Idle),
        RefreshRefusal::CodeUsed,
        RefreshRefusal::Reuse,
        RefreshRefusal::RetryExpired,
    ];
    let texts: HashSet<_> = refusals.map(|cause| format!("{:?}", Fault::of(&Error::RefreshRefused(cause)))).into();
    assert_eq!(texts.len(), 1);
}

#[test]
fn reauthentication_says_what_is_missing() {
    let unmet = Unmet {
        resource: "https://payments.internal".into(),
        acr_values: vec!["gold".into(), "silver".into()],
        amr_values: vec!["mfa".into()],
        max_age_seconds: Some(300),
    };
    let fault = Fault::of(&Error::ReauthenticationRequired(unmet));
    let expected =
        [("resource", "https://payments.internal"), ("acr_values", "gold silver"), ("amr_values", "mfa"), ("max_age", "300")];
    assert_eq!(fault.metadata, expected.map(|(key, value)| (key, value.to_owned())));
}

#[test]
fn a_refusal_stays_small_whatever_was_sent() {
    let mut fault = Fault::of(&Error::invalid(&"ä".repeat(10_000), "x".repeat(10_000)));
    for n in 0..1_000 {
        fault.add(&format!("f{n}"), &"ö".repeat(1_000));
    }
    assert_eq!(fault.violations.len(), MAX_VIOLATIONS);
    assert!(fault.message.len() <= MAX_TEXT_BYTES);
    assert!(fault.violations.iter().all(|violation| violation.field.len() + violation.problem.len() <= 2 * MAX_TEXT_BYTES));
}

#[test]
fn the_documentation_is_this_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = std::fs::read_to_string(root.join("docs/errors.md")).unwrap_or_default();
    if committed != documentation() {
        let expected = root.join("target/tmp/errors.md");
        std::fs::create_dir_all(root.join("target/tmp")).unwrap();
        std::fs::write(&expected, documentation()).unwrap();
        panic!("docs/errors.md is not what the table says: look at and copy target/tmp/errors.md over it");
    }
}

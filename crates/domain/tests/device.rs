//! The device flow's rules: codes, polls, what the user decides, guesses.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "shared/grants.rs"]
#[expect(dead_code, reason = "shared with the tests of other decisions")]
mod grants;

use grants::{DAY, grant, resource_id, scopes};
use jeton_domain::audience::Audience;
use jeton_domain::device::{Authorization, Guesses, Polled, State, UserCode};
use jeton_domain::error::{DeviceRefusal, Error, RefreshRefusal, Result};
use jeton_domain::grant::Grant;
use jeton_domain::name::{ClientId, Subject};
use jeton_domain::resource::Resources;
use jeton_domain::time::{Millis, Timestamp};

const OVERLAP: Millis = Millis::from_secs(10);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + seconds)
}

fn client() -> ClientId {
    ClientId::parse("client_id", "television").unwrap()
}

/// Begun at 0, for ten minutes, to be polled every five seconds.
fn pending() -> Authorization {
    Authorization {
        client: client(),
        scopes: scopes("openid orders:read"),
        resources: Vec::new(),
        details: Vec::new(),
        expires_at: at(600),
        interval: Millis::from_secs(5),
        polled_at: Timestamp::NEVER,
        state: State::Pending,
    }
}

/// Polls, and writes what is to be written.
fn poll(authorization: &mut Authorization, seconds: u64) -> Result<Box<Grant>> {
    let polled = authorization.poll(at(seconds), &client(), OVERLAP);
    if let Some(changed) = polled.changed {
        *authorization = changed;
    }
    polled.outcome
}

const fn refused<T>(refusal: DeviceRefusal) -> Result<T> {
    Err(Error::DeviceRefused(refusal))
}

#[test]
fn a_code_reads_back_however_it_is_typed() {
    let code = UserCode::of(0);
    assert_eq!(code.shown(), "BBBB-BBBB");
    let code = UserCode::parse("user_code", "wdjb-mjht").unwrap();
    for typed in ["WDJBMJHT", "wdjbmjht", "WDJB MJHT", " wdjb--mjht ", "W-D-J-B-M-J-H-T"] {
        assert_eq!(UserCode::parse("user_code", typed).unwrap(), code, "{typed}");
    }
    assert_eq!((code.shown().as_str(), format!("{code:?}").as_str()), ("WDJB-MJHT", "UserCode(..)"));
    for typed in ["", "WDJB-MJH", "WDJB-MJHTT", "WDJB-MJHA", "WDJB-MJH0", "WDJB_MJHT", "WDJB-MJH\u{442}", &"W".repeat(100_000)] {
        let Err(Error::Invalid { field, problem }) = UserCode::parse("user_code", typed) else { panic!("{typed}") };
        assert_eq!(field, "user_code");
        assert!(!problem.contains("WDJB"), "what was typed is not repeated");
    }
}

#[test]
fn every_number_is_a_code_and_different_ones_below_their_count_differ() {
    let numbers = (0..20_000).chain((0..8).map(|place| 20_u64.pow(place))).chain([20_u64.pow(8) - 1, 20_u64.pow(8), u64::MAX]);
    for number in numbers {
        let code = UserCode::of(number);
        assert_eq!(UserCode::parse("user_code", &code.shown()), Ok(code));
        assert_eq!(code, UserCode::of(number % 20_u64.pow(8)));
        let spelled = code.letters().iter().rev().fold(0, |number, letter| {
            number * 20 + u64::try_from(UserCode::ALPHABET.iter().position(|known| known == letter).unwrap()).unwrap()
        });
        assert_eq!(spelled, number % 20_u64.pow(8), "the letters are its digits");
    }
}

#[test]
fn who_polls_too_soon_waits_five_seconds_longer_each_time() {
    let mut device = pending();
    assert_eq!(poll(&mut device, 0), refused(DeviceRefusal::Pending));
    assert_eq!(poll(&mut device, 5), refused(DeviceRefusal::Pending));
    assert_eq!(poll(&mut device, 9), refused(DeviceRefusal::SlowDown));
    assert_eq!(device.interval, Millis::from_secs(10));
    assert_eq!(poll(&mut device, 18), refused(DeviceRefusal::SlowDown));
    assert_eq!(device.interval, Millis::from_secs(15));
    assert_eq!(poll(&mut device, 33), refused(DeviceRefusal::Pending));
    assert_eq!(device.interval, Millis::from_secs(15), "it stays");
}

#[test]
fn it_expires_on_the_clock_and_a_denial_stays_one() {
    let mut device = pending();
    assert_eq!(poll(&mut device, 599), refused(DeviceRefusal::Pending));
    assert_eq!(poll(&mut device, 600), refused(DeviceRefusal::Expired));
    assert_eq!(device.deny(at(600)), Err(Error::UserCodeUnknown));
    let mut device = device.deny(at(599)).unwrap().unwrap();
    assert_eq!(device.deny(at(599)), Ok(None), "safe to repeat");
    assert_eq!(poll(&mut device, 599), refused(DeviceRefusal::Denied));
    assert!(!device.is_waiting(at(1)));
}

#[test]
fn another_client_is_refused_and_changes_nothing() {
    let other = ClientId::parse("client_id", "other").unwrap();
    let polled = pending().poll(at(0), &other, OVERLAP);
    let refusal = Err(Error::RefreshRefused(RefreshRefusal::OtherClient));
    assert_eq!(polled, Polled { changed: None, outcome: refusal });
}

#[test]
fn scopes_may_be_narrowed_and_never_widened() {
    let resources = |ids: &[&str]| ids.iter().map(|id| resource_id(id)).collect::<Vec<_>>();
    let device = Authorization { resources: resources(&["https://a", "https://b"]), ..pending() };
    let narrow = |device: &Authorization, to: &str, ids: &[&str]| {
        let chosen = Audience { scopes: scopes(to), resources: resources(ids), details: Vec::new() };
        device.narrowed(chosen, &Resources::default()).map(|Audience { scopes, resources, .. }| (scopes, resources))
    };
    let narrowed = |to: &str, ids: &[&str]| narrow(&device, to, ids);
    assert_eq!(narrowed("", &[]), Ok((device.scopes.clone(), device.resources.clone())));
    assert_eq!(narrowed("openid", &["https://b"]), Ok((scopes("openid"), resources(&["https://b"]))));
    assert!(matches!(narrowed("openid orders:write", &[]), Err(Error::InvalidScope { .. })));
    assert!(matches!(narrowed("openid", &["https://b", "https://c"]), Err(Error::InvalidTarget { .. })));
    let named = Ok((pending().scopes, resources(&["https://c"])));
    assert_eq!(narrow(&pending(), "", &["https://c"]), named, "it named none");
}

#[test]
fn guesses_run_out_and_come_back_one_a_second() {
    let mut guesses = Guesses::new(Millis::ZERO);
    for _ in 0..Guesses::MOST {
        guesses.take(Millis::new(999)).unwrap();
    }
    assert_eq!(guesses.take(Millis::new(999)), Err(Error::TooManyGuesses));
    guesses.give_back();
    assert_eq!(guesses.take(Millis::new(999)), Ok(()));
    assert_eq!(guesses.take(Millis::new(2_500)), Ok(()));
    assert_eq!(guesses.take(Millis::new(2_500)), Ok(()));
    assert_eq!(guesses.take(Millis::new(2_999)), Err(Error::TooManyGuesses), "the half second before is not lost");
    assert_eq!(guesses.take(Millis::new(3_000)), Ok(()));
    for _ in 0..Guesses::MOST {
        guesses.take(Millis::from_secs(1_000)).unwrap();
    }
    assert_eq!(guesses.take(Millis::from_secs(1_000)), Err(Error::TooManyGuesses), "never more than at the beginning");
}

#[test]
fn tokens_are_handed_out_once_and_again_within_the_overlap() {
    let allowed = Grant { created_at: at(100), absolute_end: at(100).plus(DAY), ..grant() };
    let mut device = pending().approve(at(100), allowed.clone()).unwrap().unwrap();
    let given = poll(&mut device, 400).unwrap();
    assert_eq!((given.id, given.born, &given.scopes), (allowed.id, allowed.born, &allowed.scopes));
    assert_eq!((given.created_at, given.absolute_end, given.lineage.used_at), (at(400), at(400).plus(DAY), at(400)), "begun now");
    assert_eq!(poll(&mut device, 409), Ok(given), "the reply was lost");
    let spent = Err(Error::RefreshRefused(RefreshRefusal::CodeUsed));
    assert_eq!(poll(&mut device, 410), spent);
    assert_eq!(poll(&mut device, 10_000), spent);
}

#[test]
fn what_was_allowed_too_late_or_redeemed_too_late_is_expired() {
    assert_eq!(pending().approve(at(600), grant()), Err(Error::UserCodeUnknown));
    let mut device = pending().approve(at(599), grant()).unwrap().unwrap();
    assert_eq!(poll(&mut device, 600), refused(DeviceRefusal::Expired));
    let mut device = pending().approve(at(599), grant()).unwrap().unwrap();
    let given = poll(&mut device, 599).unwrap();
    assert_eq!(poll(&mut device, 605), Ok(given), "a lost reply is answered, though the code expired since");
}

#[test]
fn the_first_decision_stays() {
    let allowed = pending().approve(at(1), grant()).unwrap().unwrap();
    assert_eq!(allowed.approve(at(2), grant()), Ok(None), "safe to repeat");
    let mallory = Grant { subject: Subject::parse("sub", "mallory").unwrap(), ..grant() };
    assert_eq!(allowed.approve(at(2), mallory), Err(Error::UserCodeUnknown));
    assert_eq!(allowed.deny(at(2)), Err(Error::UserCodeUnknown));
    let denied = pending().deny(at(1)).unwrap().unwrap();
    assert_eq!(denied.approve(at(2), grant()), Err(Error::UserCodeUnknown));
    assert_eq!((allowed.grant().is_some(), denied.grant()), (true, None));
}

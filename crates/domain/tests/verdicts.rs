//! The refresh decision and the arrival decision, row by row and check by check. How they hold together is for `model.rs`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "shared/grants.rs"]
mod grants;

use grants::{DAY, KEY, NOW, OLD_KEY, OVERLAP, World, grant, presented, primary, resource, resource_id, scopes};
use jeton_domain::arrival::{self, Arrival, Seen, seen};
use jeton_domain::client::{ClientKind, ReusePolicy, Rotation};
use jeton_domain::error::{Cause, Ended, Error, Expiry, RefreshRefusal};
use jeton_domain::grant::{Binding, Code, Grant, Proof};
use jeton_domain::id::{Generation, KeyId};
use jeton_domain::refresh::{Decision, Env, Event, HandOut, Presented, Request, Verdict, refresh, request_hash, would_accept};
use jeton_domain::resource::Resources;
use jeton_domain::ring::RingOrder;
use jeton_domain::time::{Millis, Timestamp};

/// A decision as the table tells it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Gives(Verdict, Generation),
    Ends(Cause),
    Refuses(RefreshRefusal),
    AsksAnew,
    Other,
}
use Told::{Ends, Gives, Refuses};
use Verdict::{Again, Forward, Next, Retry};

fn told(decision: &Decision) -> Told {
    match decision {
        Decision::HandOut { out, .. } => Gives(out.verdict, out.generation),
        Decision::End { cause, event } => {
            assert_eq!(*event, (*cause == Cause::Reuse).then_some(Event::Reuse), "only reuse raises the alarm");
            Ends(*cause)
        }
        Decision::Refuse(Error::RefreshRefused(refusal)) => Refuses(*refusal),
        Decision::Refuse(Error::ReauthenticationRequired(_)) => Told::AsksAnew,
        Decision::Refuse(_) => Told::Other,
    }
}

fn ask(now: Timestamp, grant: &Grant, generation: Generation, env: &Env<'_>) -> Decision {
    refresh(now, grant, presented(generation), &Request::default(), env)
}

fn written(decision: Decision) -> (Option<Grant>, HandOut) {
    match decision {
        Decision::HandOut { changed, out } => (changed.map(|grant| *grant), out),
        other => panic!("nothing was handed out: {other:?}"),
    }
}

/// Refreshes and keeps what is written.
fn go(now: Timestamp, grant: &mut Grant, generation: Generation, env: &Env<'_>) -> HandOut {
    let (changed, out) = written(ask(now, grant, generation, env));
    *grant = changed.unwrap_or_else(|| grant.clone());
    out
}

fn secs(secs: u64) -> Millis {
    Millis::from_secs(secs)
}

/// n = 9 was handed out `age` seconds ago, for 8; of those below it 8 and 6 arrived, 7 is abandoned.
fn nine(age: u64) -> Grant {
    let mut grant = grant();
    let lineage = &mut grant.lineage;
    (lineage.newest, lineage.parent, lineage.arrived) = (9, 8, 0b1010);
    (lineage.handed_at, lineage.used_at) = (NOW.minus(secs(age)), NOW.minus(secs(age)));
    lineage.request = Some(request_hash(b"mine", 8));
    grant
}

/// The same, and n arrived too.
fn nine_arrived(age: u64) -> Grant {
    let mut grant = nine(age);
    grant.lineage.arrived |= 1;
    grant
}

/// n = 9 was handed out `age + 8` seconds ago; that its parent was answered `age` seconds ago began its overlap anew.
fn anew(age: u64) -> Grant {
    with(nine(age + 8), |grant| grant.lineage.handed_at = NOW.minus(secs(age)))
}

fn coded(newest: Generation, arrived: u32, age: u64) -> Grant {
    let mut grant = grant();
    grant.lineage.code = Some(Code { until: NOW.plus(secs(1)), challenge: None, redirect_uri: None, nonce: None, jkt: None });
    (grant.lineage.newest, grant.lineage.arrived) = (newest, arrived);
    grant.lineage.handed_at = if newest == 0 { Timestamp::NEVER } else { NOW.minus(secs(age)) };
    grant
}

fn with<T>(mut value: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut value);
    value
}

#[test]
fn every_row_of_the_verdict_table() {
    let reported = |age| with(nine(age), |grant| grant.lineage.reported = 6);
    let reported_long_ago = |age| with(nine(age), |grant| grant.lineage.reported = 5);
    let expired_code = with(coded(0, 0, 0), |grant| grant.lineage.code.as_mut().unwrap().until = NOW);
    let bound = |grant| with(grant, |grant: &mut Grant| grant.binding = Some(Binding::Jkt([5; 32])));
    let none: Option<&'static [u8]> = None;
    let mine: Option<&'static [u8]> = Some(b"mine");
    let reuse = Ends(Cause::Reuse);
    type Row = (&'static str, Grant, Generation, Option<&'static [u8]>, Told);
    let rows: Vec<Row> = vec![
        ("above n: forward", nine(30), 11, none, Gives(Forward, 11)),
        ("above n, just handed out: forward", nine(1), 10, none, Gives(Forward, 10)),
        ("the code, in time: next", coded(0, 0, 0), 0, none, Gives(Next, 1)),
        ("the code, too late: refused", expired_code, 0, none, Refuses(RefreshRefusal::Expired(Expiry::Code))),
        ("the code again within the overlap: refused", coded(1, 0b10, 9), 0, none, Refuses(RefreshRefusal::CodeUsed)),
        ("the code again later, 1 not arrived: ends", coded(1, 0b10, 10), 0, none, Ends(Cause::RetryExpired)),
        ("the code again later, 1 arrived: reuse", coded(1, 0b11, 10), 0, none, reuse),
        ("the code again, 1 rotated: reuse", coded(2, 0b110, 1), 0, none, reuse),
        ("n within the overlap: again", nine(9), 9, none, Gives(Again, 9)),
        ("n: next", nine(10), 9, none, Gives(Next, 10)),
        ("n as Issue made it: next", grant(), 1, none, Gives(Next, 2)),
        ("the parent within the overlap: again", nine(9), 8, none, Gives(Again, 9)),
        ("the parent within the overlap, n arrived: again", nine_arrived(9), 8, none, Gives(Again, 9)),
        ("the parent within the overlap begun anew: again", anew(9), 8, none, Gives(Again, 9)),
        ("the parent after the overlap begun anew: retry", anew(10), 8, none, Gives(Retry, 10)),
        ("the same request within the overlap: again", nine(9), 8, mine, Gives(Again, 9)),
        ("the same request, n not arrived: retry", nine(61), 8, mine, Gives(Retry, 10)),
        ("the same request, n arrived: retry at any time", nine_arrived(3_000), 8, mine, Gives(Retry, 10)),
        ("the same id with another token: reuse", nine(61), 6, mine, reuse),
        ("the parent, n not arrived: retry", nine(59), 8, none, Gives(Retry, 10)),
        ("the parent, n not arrived, 60 s: ends, no alarm", nine(60), 8, none, Ends(Cause::RetryExpired)),
        ("the parent, n not arrived, one of three seen: retry", reported(3_000), 8, none, Gives(Retry, 10)),
        ("the parent, n not arrived, seen too long ago: ends", reported_long_ago(60), 8, none, Ends(Cause::RetryExpired)),
        ("the parent, n arrived: reuse", nine_arrived(10), 8, none, reuse),
        ("abandoned: reuse", nine(30), 7, none, reuse),
        ("abandoned, within the overlap: reuse", nine(1), 7, none, reuse),
        ("older than the parent: reuse", nine(1), 6, none, reuse),
        ("never heard of: reuse", nine(1), 2, none, reuse),
        ("held, below n: again at any age", bound(nine_arrived(3_000)), 3, none, Gives(Again, 9)),
        ("held, abandoned: again", bound(nine(3_000)), 7, none, Gives(Again, 9)),
        ("held, above n: forward", bound(nine(30)), 10, none, Gives(Forward, 10)),
        ("held, n: next where the policy rotates", bound(nine(30)), 9, none, Gives(Next, 10)),
    ];
    let world = with(World::new(), |world| world.proof = Proof { jkt: Some([5; 32]), x5t: None });
    for (name, grant, generation, id, expected) in rows {
        let request = Request { id, ..Request::default() };
        let decision = refresh(NOW, &grant, presented(generation), &request, &world.env());
        assert_eq!(told(&decision), expected, "{name}");
        assert_eq!(decision, refresh(NOW, &grant, presented(generation), &request, &world.env()), "{name}: pure");
        if id.is_none() {
            let accepts = would_accept(NOW, &grant, presented(generation), &world.env());
            assert_eq!(accepts.is_ok(), matches!(expected, Gives(..)), "{name}: would_accept");
        }
        if let Decision::HandOut { changed, out } = decision {
            let lineage = changed.map_or_else(|| grant.lineage.clone(), |grant| grant.lineage);
            assert_eq!(lineage.newest, out.generation, "{name}: what is handed out is what is newest");
            assert!(lineage.parent < lineage.newest, "{name}");
        }
    }
}

#[test]
fn an_authenticated_confidential_client_is_held() {
    let world = with(World::new(), |world| world.client.kind = ClientKind::Confidential { secret_hashes: vec![], keys: None });
    assert_eq!(told(&ask(NOW, &nine_arrived(3_000), 3, &world.env())), Gives(Again, 9));
}

/// Each check of the order, as a change to a request that would be accepted.
struct Check {
    name: &'static str,
    spoil: fn(&mut Case),
    refusal: Told,
}

struct Case {
    world: World,
    grant: Grant,
    presented: Presented,
    revoked: Option<Cause>,
    now: Timestamp,
    scope: &'static str,
}

impl Case {
    fn decide(&self) -> Decision {
        let scopes = scopes(self.scope);
        let request = Request { scopes: Some(&scopes), ..Request::default() };
        let env = Env { revoked: self.revoked, ..self.world.env() };
        refresh(self.now, &self.grant, self.presented, &request, &env)
    }
}

fn fine() -> Case {
    let grant = with(nine(30), |grant| grant.binding = Some(Binding::X5t([5; 32])));
    let world = with(World::new(), |world| world.proof = Proof { jkt: None, x5t: Some([5; 32]) });
    Case { world, grant, presented: presented(9), revoked: None, now: NOW, scope: "" }
}

/// In the order in which they are made: where two fail, the first is told.
const CHECKS: [Check; 9] = [
    Check {
        name: "no refresh tokens",
        spoil: |case| case.grant.lineage.refreshable = false,
        refusal: Refuses(RefreshRefusal::NotGenuine),
    },
    Check {
        name: "key taken over from",
        spoil: |case| case.presented.key = OLD_KEY,
        refusal: Refuses(RefreshRefusal::NotGenuine),
    },
    Check {
        name: "sender constraint",
        spoil: |case| case.world.proof.x5t = Some([6; 32]),
        refusal: Refuses(RefreshRefusal::WrongProof),
    },
    Check {
        name: "ended",
        spoil: |case| case.grant.ended = Some(Ended { at: NOW, cause: Cause::Evicted }),
        refusal: Refuses(RefreshRefusal::Ended(Cause::Evicted)),
    },
    Check {
        name: "floor above born",
        spoil: |case| case.revoked = Some(Cause::SubjectRevoked),
        refusal: Refuses(RefreshRefusal::Ended(Cause::SubjectRevoked)),
    },
    Check {
        name: "absolute lifetime",
        spoil: |case| case.grant.absolute_end = case.now,
        refusal: Refuses(RefreshRefusal::Expired(Expiry::Absolute)),
    },
    Check {
        name: "idle lifetime",
        spoil: |case| case.grant.lineage.used_at = case.now.minus(case.grant.idle),
        refusal: Refuses(RefreshRefusal::Expired(Expiry::Idle)),
    },
    Check { name: "generation", spoil: reused, refusal: Ends(Cause::Reuse) },
    Check { name: "request", spoil: |case| case.scope = "admin", refusal: Told::Other },
];

/// A generation can only be at fault where the holder proves nothing: lifts the constraint, so that this check alone fails.
fn reused(case: &mut Case) {
    if case.world.proof.x5t == Some([5; 32]) {
        case.grant.binding = None;
    }
    case.presented.generation = 7;
}

#[test]
fn each_check_refuses_by_itself_and_the_first_wins() {
    assert_eq!(told(&fine().decide()), Gives(Next, 10));
    for (at, first) in CHECKS.iter().enumerate() {
        let case = with(fine(), first.spoil);
        assert_eq!(told(&case.decide()), first.refusal, "{}", first.name);
        for second in &CHECKS[at + 1..] {
            let both = with(with(fine(), first.spoil), second.spoil);
            assert_eq!(told(&both.decide()), first.refusal, "{} before {}", first.name, second.name);
        }
    }
}

#[test]
fn a_request_that_is_refused_consumes_nothing_and_heals() {
    let mut world = World::new();
    let strict = with(resource("https://pay", "pay"), |pay| {
        pay.policy.acr_values = vec!["gold".into()];
        pay.policy.amr_values = vec!["mfa".into()];
        pay.policy.max_age = Some(secs(60));
    });
    let lenient =
        std::mem::replace(&mut world.resources, Resources::new(vec![resource("https://orders", "orders:read"), strict]));
    let mut grant = nine(30);
    let decision = ask(NOW, &grant, 9, &world.env());
    let Decision::Refuse(Error::ReauthenticationRequired(unmet)) = &decision else { panic!("{decision:?}") };
    assert_eq!(unmet.resource, "https://pay");
    assert_eq!((&unmet.acr_values[..], &unmet.amr_values[..]), (&["gold".to_owned()][..], &["mfa".to_owned()][..]));
    assert_eq!(unmet.max_age_seconds, Some(60));
    assert_eq!(would_accept(NOW, &grant, presented(9), &world.env()), Ok(()), "the generation itself is fine");

    let orders = [resource_id("https://orders")];
    let narrow = Request { resources: &orders, ..Request::default() };
    let (_, out) = written(refresh(NOW, &grant, presented(9), &narrow, &world.env()));
    assert_eq!(out.audience.resources, orders, "a token for the other resource is not affected");

    for generation in [9, 8, 10] {
        assert_eq!(told(&ask(NOW, &grant, generation, &world.env())), Told::AsksAnew);
    }
    assert_eq!(told(&ask(NOW, &grant, 7, &world.env())), Ends(Cause::Reuse), "the generation is looked at first");
    world.resources = lenient;
    assert_eq!(go(NOW, &mut grant, 9, &world.env()).generation, 10, "it heals");
}

#[test]
fn a_token_is_narrowed_and_the_grant_is_not() {
    let world = World::new();
    let grant = nine(30);
    let orders = [resource_id("https://orders")];
    let decide = |scope: &str, resources: &[_]| {
        let scopes = scopes(scope);
        refresh(NOW, &grant, presented(9), &Request { scopes: Some(&scopes), resources, ..Request::default() }, &world.env())
    };
    let both = [resource_id("https://pay"), resource_id("https://orders")];
    for (scope, resources, expected, audience) in [
        ("", &[][..], "openid offline_access orders:read orders:write pay", 2),
        ("", &orders[..], "openid offline_access orders:read orders:write", 1),
        ("pay orders:read", &[], "orders:read pay", 2),
        ("pay orders:read openid", &orders, "openid orders:read", 1),
        ("openid", &both, "openid", 2),
    ] {
        let (changed, out) = written(decide(scope, resources));
        assert_eq!((out.audience.scopes.to_string().as_str(), out.audience.resources.len()), (expected, audience), "{scope}");
        let changed = changed.unwrap();
        assert_eq!((&changed.scopes, &changed.resources), (&grant.scopes, &grant.resources), "the refresh token keeps them");
    }
    assert_eq!(written(decide("", &both)).1.audience.resources, grant.resources, "in the grant's order");
    assert!(matches!(decide("openid admin", &[]), Decision::Refuse(Error::InvalidScope { field, .. }) if field == "scope"));
    let foreign = [resource_id("https://foreign")];
    assert!(matches!(decide("", &foreign), Decision::Refuse(Error::InvalidTarget { field, .. }) if field == "resource"));
    let gone = with(World::new(), |world| world.resources = Resources::new(vec![resource("https://orders", "orders:read")]));
    let decision = ask(NOW, &grant, 9, &gone.env());
    assert!(
        matches!(decision, Decision::Refuse(Error::InvalidTarget { field, .. }) if field == "resource"),
        "its policy is unknown"
    );
}

#[test]
fn rotation_policies() {
    let rotated = |rotation, held: bool, age: u64, key: KeyId| {
        let world = with(World::new(), |world| {
            world.client.rotation = rotation;
            world.proof.jkt = Some([5; 32]);
        });
        let mut grant = nine(age);
        grant.created_at = Timestamp::NEVER;
        grant.lineage.key = key;
        grant.binding = held.then_some(Binding::Jkt([5; 32]));
        told(&ask(NOW, &grant, 9, &world.env())) == Gives(Next, 10)
    };
    let near = DAY.percent(70).secs();
    for held in [false, true] {
        assert!(rotated(Rotation::Always, held, 10, KEY));
        assert!(!rotated(Rotation::Never, held, near, OLD_KEY));
        assert!(!rotated(Rotation::NearExpiry, held, near - 1, KEY));
        assert!(rotated(Rotation::NearExpiry, held, near, KEY));
        assert!(rotated(Rotation::NearExpiry, held, 10, OLD_KEY), "a newer root key is taken at once");
    }
    assert!(rotated(Rotation::UnboundPublic, false, 10, KEY));
    assert!(!rotated(Rotation::UnboundPublic, true, near - 1, KEY));
    assert!(rotated(Rotation::UnboundPublic, true, near, KEY));
    let world = with(World::new(), |world| world.client.rotation = Rotation::NearExpiry);
    assert_eq!(told(&ask(NOW, &grant(), 1, &world.env())), Gives(Again, 1), "never handed out counts from Issue");
}

#[test]
fn lifetimes_end_on_the_clock_and_renewing_never_moves_the_absolute_end() {
    let world = World::new();
    let mut held = nine(0);
    let end = held.absolute_end;
    let mut now = NOW;
    while now < end {
        let generation = held.lineage.newest;
        go(now, &mut held, generation, &world.env());
        assert_eq!(held.absolute_end, end);
        now = now.plus(secs(86_399)).min(Timestamp::from_millis(end.millis() - 1)).max(now.plus(Millis::new(1)));
    }
    assert_eq!(now, end);
    let refused = told(&ask(end, &held, held.lineage.newest, &world.env()));
    assert_eq!(refused, Refuses(RefreshRefusal::Expired(Expiry::Absolute)), "renewed in the last millisecond");

    let idle = nine(0);
    let last = NOW.plus(DAY).minus(Millis::new(1));
    assert_eq!(told(&ask(last, &idle, 9, &world.env())), Gives(Next, 10));
    assert_eq!(told(&ask(NOW.plus(DAY), &idle, 9, &world.env())), Refuses(RefreshRefusal::Expired(Expiry::Idle)));
    assert_eq!(idle.expires_at(), NOW.plus(DAY));
}

#[test]
fn a_grant_in_use_that_does_not_rotate_stays_alive_with_few_writes() {
    let world = with(World::new(), |world| world.client.rotation = Rotation::Never);
    let mut held = nine(0);
    let mut writes = 0;
    for minute in 1..=2 * 24 * 60 {
        let now = NOW.plus(secs(minute * 60));
        let (changed, out) = written(ask(now, &held, 9, &world.env()));
        assert_eq!((out.verdict, out.generation), (Again, 9));
        writes += u32::from(changed.is_some());
        held = changed.unwrap_or(held);
    }
    assert!((150..=200).contains(&writes), "a write for each hundredth of the idle lifetime, not {writes}");
}

#[test]
fn a_key_rolls_over_and_the_old_one_proves_only_what_it_minted() {
    let mut world = with(World::new(), |world| world.ring = RingOrder::new(OLD_KEY, vec![(OLD_KEY, 1), (KEY, 2)]));
    let old = |generation| Presented { key: OLD_KEY, generation };
    let mut held = with(nine(30), |grant| grant.lineage.key = OLD_KEY);
    let decide = |grant: &Grant, p, world: &World| refresh(NOW, grant, p, &Request::default(), &world.env());

    let (_, out) = written(decide(&held, old(9), &world));
    assert_eq!(out.key, OLD_KEY, "appended but not active: nothing changes");
    world.ring = RingOrder::new(KEY, vec![(OLD_KEY, 1), (KEY, 2)]);
    let fresh = with(held.clone(), |grant| (grant.lineage.handed_at, grant.lineage.used_at) = (NOW, NOW));
    let (changed, out) = written(decide(&fresh, old(9), &world));
    assert_eq!((changed, out.verdict, out.key), (None, Again, KEY), "the same number under the newer key, no write");

    let (changed, out) = written(decide(&held, old(9), &world));
    held = changed.unwrap();
    assert_eq!((out.key, held.lineage.key, held.lineage.key_since), (KEY, KEY, 10));
    assert_eq!(told(&decide(&held, old(9), &world)), Gives(Again, 10), "the predecessor is still proved by the old key");
    for forged in [10, 11, Generation::MAX] {
        assert_eq!(told(&decide(&held, old(forged), &world)), Refuses(RefreshRefusal::NotGenuine), "{forged}");
    }
    let unknown = Presented { key: KeyId([9; 4]), generation: 10 };
    assert_eq!(told(&decide(&held, unknown, &world)), Refuses(RefreshRefusal::NotGenuine), "not in the ring: older than all");

    world.ring = RingOrder::new(OLD_KEY, vec![(OLD_KEY, 1), (KEY, 2)]);
    held.lineage.handed_at = NOW.minus(secs(30));
    let (changed, out) = written(decide(&held, presented(10), &world));
    assert_eq!((out.key, changed.unwrap().lineage.key_since), (KEY, 10), "a replica that lags behind takes nothing back");

    let rolled_back = with(nine(30), |grant| grant.lineage.key = OLD_KEY);
    let (changed, out) = written(decide(&rolled_back, presented(11), &world));
    let lineage = changed.unwrap().lineage;
    assert_eq!((out.verdict, lineage.key, lineage.key_since), (Forward, KEY, 11), "a rollback forgot the new key");
}

#[test]
fn the_last_generation_is_the_last() {
    let world = World::new();
    let last = |age, arrived| {
        with(nine(age), |grant| {
            let lineage = &mut grant.lineage;
            (lineage.newest, lineage.parent, lineage.arrived) = (Generation::MAX, Generation::MAX - 1, arrived);
            lineage.request = Some(request_hash(b"mine", Generation::MAX - 1));
            lineage.reported = Generation::MAX;
        })
    };
    assert_eq!(told(&ask(NOW, &last(30, 0b10), Generation::MAX, &world.env())), Gives(Again, Generation::MAX));
    assert_eq!(told(&ask(NOW, &last(30, 0b10), Generation::MAX - 1, &world.env())), Ends(Cause::RetryExpired));
    let request = Request { id: Some(b"mine"), ..Request::default() };
    let decision = refresh(NOW, &last(30, 0b11), presented(Generation::MAX - 1), &request, &world.env());
    assert_eq!(told(&decision), Ends(Cause::Reuse), "no number is left for a retry");
    let (changed, out) = written(ask(NOW, &nine(30), Generation::MAX, &world.env()));
    let lineage = changed.unwrap().lineage;
    assert_eq!((out.generation, lineage.arrived, lineage.parent), (Generation::MAX, u32::MAX, 8));
}

#[test]
fn going_forward_takes_what_lay_between_as_arrived_and_alarms_without_a_rollback() {
    let mut world = World::new();
    let (changed, out) = written(ask(NOW, &nine(30), 11, &world.env()));
    assert_eq!(out.event, Some(Event::FutureToken), "the store is the one that the record was written under");
    let lineage = changed.unwrap().lineage;
    assert_eq!((lineage.newest, lineage.parent, lineage.request), (11, 8, None));
    assert_eq!(lineage.arrived, 0b10_1111, "9 to 11 may have been used, 8 was, 7 was abandoned, 6 was");
    world.identity = primary(2);
    let (changed, out) = written(ask(NOW, &nine(30), 11, &world.env()));
    assert_eq!(out.event, None);
    let mut held = changed.unwrap();
    assert_eq!(held.lineage.identity, primary(1), "a second one that the same rollback lost is no alarm either");
    assert_eq!(told(&ask(NOW, &held, 9, &world.env())), Gives(Again, 11), "the other tab");
    assert_eq!(go(NOW.plus(OVERLAP), &mut held, 11, &world.env()).generation, 12);
    assert_eq!(held.lineage.identity, primary(2));
    for lost in [31, 32, 33, 1_000] {
        let lineage = written(ask(NOW, &nine(30), 9 + lost, &world.env())).0.unwrap().lineage;
        assert_eq!(lineage.arrived, u32::MAX, "{lost}");
    }
}

#[test]
fn a_clock_that_steps_back_makes_the_overlap_longer_and_nothing_else() {
    let world = World::new();
    let mut held = nine(30);
    go(NOW, &mut held, 9, &world.env());
    let back = NOW.minus(secs(3_000));
    for generation in [9, 10] {
        let (changed, out) = written(ask(back, &held, generation, &world.env()));
        assert_eq!((changed, out.verdict, out.generation), (None, Again, 10), "{generation}");
    }
    assert_eq!(told(&ask(back, &held, 7, &world.env())), Ends(Cause::Reuse));
}

/// What `again` keeps, where it keeps anything: n handed out now, or n arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kept {
    Nothing,
    Anew,
    Arrived,
}

#[test]
fn an_answered_parent_starts_the_overlap_anew() {
    use Kept::{Anew, Arrived, Nothing};
    let held = |grant| with(grant, |grant: &mut Grant| grant.binding = Some(Binding::Jkt([5; 32])));
    let apart = |grant| with(grant, |grant: &mut Grant| (grant.lineage.parent, grant.lineage.arrived) = (6, 0b1000));
    let arrived = |grant| with(grant, |grant: &mut Grant| grant.lineage.arrived |= 1);
    let mine: Option<&'static [u8]> = Some(b"mine");
    let rows = [
        ("the parent, in the first fifth", nine(1), 8, None, Nothing),
        ("the parent, after a fifth", nine(2), 8, None, Anew),
        ("the parent, at the end", nine(9), 8, None, Anew),
        ("the same request, after a fifth", apart(nine(2)), 8, mine, Anew),
        ("the same request, in the first fifth", apart(nine(1)), 8, mine, Nothing),
        ("the parent, a second time, in the first fifth", anew(1), 8, None, Nothing),
        ("the parent, a second time", anew(2), 8, None, Anew),
        ("the parent, n arrived", nine_arrived(9), 8, None, Nothing),
        ("the parent, n arrived in an overlap begun anew", arrived(anew(9)), 8, None, Nothing),
        ("n", nine(9), 9, None, Nothing),
        ("n, in an overlap begun anew", anew(1), 9, None, Arrived),
        ("n, once more", arrived(anew(1)), 9, None, Nothing),
        ("held: there is nothing to detect", held(nine(9)), 8, None, Nothing),
        ("held, n", held(anew(9)), 9, None, Nothing),
    ];
    let world = with(World::new(), |world| world.proof.jkt = Some([5; 32]));
    for (name, grant, generation, id, expected) in rows {
        let request = Request { id, ..Request::default() };
        let (changed, out) = written(refresh(NOW, &grant, presented(generation), &request, &world.env()));
        assert_eq!((out.verdict, out.generation), (Again, 9), "{name}");
        let mut lineage = grant.lineage.clone();
        match expected {
            Nothing => assert_eq!(changed, None, "{name}: no write"),
            Anew => (lineage.used_at, lineage.handed_at) = (lineage.handed_at, NOW),
            Arrived => lineage.arrived |= 1,
        }
        assert_eq!(changed.map_or(grant.lineage, |grant| grant.lineage), lineage, "{name}");
    }
}

#[test]
fn two_retries_about_the_end_of_the_overlap_get_one_number() {
    let world = World::new();
    let mut held = nine(30);
    let at = |seconds| NOW.plus(secs(seconds));
    assert_eq!(go(at(0), &mut held, 9, &world.env()).generation, 10, "this reply is lost");
    assert_eq!(go(at(9), &mut held, 9, &world.env()).generation, 10);
    assert_eq!(go(at(11), &mut held, 9, &world.env()).generation, 10, "sent before the reply to the one before was there");
    assert_eq!(go(at(12), &mut held, 10, &world.env()).generation, 10);
    assert_eq!(told(&ask(at(20), &held, 9, &world.env())), Gives(Again, 10));
    assert_eq!(told(&ask(at(21), &held, 9, &world.env())), Ends(Cause::Reuse), "n was presented: nothing begins anew");
    assert_eq!(told(&ask(at(21), &held, 10, &world.env())), Gives(Next, 11));
}

#[test]
fn an_overlap_begun_anew_delays_near_expiry_by_no_more_and_ends_no_grant_earlier() {
    let world = with(World::new(), |world| world.client.rotation = Rotation::NearExpiry);
    let mut held = with(nine(0), |grant| grant.created_at = Timestamp::NEVER);
    let before = held.expires_at();
    go(NOW.plus(secs(9)), &mut held, 8, &world.env());
    assert_eq!(held.expires_at(), before);
    let due = NOW.plus(secs(9)).plus(DAY.percent(70));
    assert_eq!(told(&ask(due.minus(Millis::new(1)), &held, 9, &world.env())), Gives(Again, 9));
    assert_eq!(told(&ask(due, &held, 9, &world.env())), Gives(Next, 10));

    let mut hammered = with(nine(0), |grant| grant.idle = secs(60));
    for seconds in (9..=180).step_by(9) {
        let out = go(NOW.plus(secs(seconds)), &mut hammered, 8, &world.env());
        assert_eq!((out.verdict, out.generation), (Again, 9), "in use, so it does not expire: {seconds} s");
    }
}

/// One token, 64 times, one every `apart` milliseconds: how often the record is written.
fn writes_of_sixty_four(apart: u64) -> u32 {
    let world = World::new();
    let mut held = nine(30);
    let mut writes = 0;
    for at in 0..64 {
        let (changed, out) = written(ask(NOW.plus(Millis::new(at * apart)), &held, 9, &world.env()));
        assert_eq!(out.generation, 10);
        writes += u32::from(changed.is_some());
        held = changed.unwrap_or(held);
    }
    writes
}

#[test]
fn sixty_four_at_once_are_one_new_generation_and_one_write() {
    assert_eq!(writes_of_sixty_four(0), 1);
    assert_eq!(writes_of_sixty_four(31), 1, "within two seconds");
    assert_eq!(writes_of_sixty_four(156), 1 + 4, "within ten: one more every two seconds, for n has not arrived");
}

#[test]
fn a_client_whose_policy_only_refuses_reuse_keeps_its_grant() {
    let world = with(World::new(), |world| world.client.reuse = ReusePolicy::Refuse);
    assert_eq!(told(&ask(NOW, &nine(30), 7, &world.env())), Refuses(RefreshRefusal::Reuse));
    assert_eq!(told(&ask(NOW, &nine(60), 8, &world.env())), Ends(Cause::RetryExpired), "no holder is left in doubt there");
    assert_eq!(arrived(&nine(30), 7, KEY, &world), Seen::Nothing);
}

#[test]
fn a_request_id_stays_through_retries_and_counts_with_its_token_only() {
    let world = World::new();
    let request = |id: &'static [u8]| Request { id: Some(id), ..Request::default() };
    let mut held = nine(30);
    let at = |minutes: u64| NOW.plus(secs(minutes * 60));
    for (minutes, generation) in [(0, 10), (5, 11), (10, 12)] {
        let (changed, out) = written(refresh(at(minutes), &held, presented(9), &request(b"id"), &world.env()));
        assert_eq!(out.generation, generation);
        held = changed.unwrap();
    }
    assert_eq!(told(&refresh(at(15), &held, presented(9), &request(b"other"), &world.env())), Ends(Cause::RetryExpired));
    assert_eq!(told(&refresh(at(15), &held, presented(10), &request(b"id"), &world.env())), Ends(Cause::Reuse));
    assert_ne!(request_hash(b"id", 1), request_hash(b"id", 2));
    assert_eq!(request_hash(b"id", 9), request_hash(b"id", 9));
}

fn arrived(grant: &Grant, generation: Generation, key: KeyId, world: &World) -> Seen {
    let env = arrival::Env { client: &world.client, ring: &world.ring, identity: world.identity };
    seen(NOW, grant, Arrival { generation, key }, &env)
}

#[test]
fn what_an_access_token_that_was_seen_means() {
    let mut world = World::new();
    let changed = |seen| match seen {
        Seen::Changed(grant) | Seen::Forward(grant, None) => grant.lineage,
        other => panic!("{other:?}"),
    };
    let lineage = changed(arrived(&nine(30), 9, KEY, &world));
    assert_eq!((lineage.arrived, lineage.reported), (0b1011, 9), "n arrived");
    assert_eq!(lineage.used_at, nine(30).lineage.used_at, "an access token does not keep a grant alive");
    let known = with(nine_arrived(30), |grant| grant.lineage.reported = 9);
    for old in [9, 8, 6] {
        assert_eq!(arrived(&known, old, KEY, &world), Seen::Nothing, "{old}: known already");
    }
    let lineage = changed(arrived(&nine(30), 6, KEY, &world));
    assert_eq!((lineage.arrived, lineage.reported), (0b1010, 6), "gateways report");
    assert_eq!(arrived(&nine(1), 7, KEY, &world), Seen::End(Cause::Reuse), "abandoned");
    assert_eq!(arrived(&nine(30), 0, KEY, &world), Seen::Nothing, "no refresh token came with it");
    assert!(
        matches!(arrived(&nine(30), 11, KEY, &world), Seen::Forward(grant, Some(Event::FutureToken)) if grant.lineage.newest == 11)
    );
    assert_eq!(arrived(&nine(30), 11, OLD_KEY, &world), Seen::Nothing, "a key that was taken over from");
    world.identity = primary(2);
    let lineage = changed(arrived(&nine(30), 11, KEY, &world));
    assert_eq!((lineage.newest, lineage.reported, lineage.key), (11, 11, KEY));

    let far = with(nine(30), |grant| (grant.lineage.newest, grant.lineage.parent, grant.lineage.arrived) = (100, 50, 0));
    assert_eq!(arrived(&far, 68, KEY, &world), Seen::Nothing, "too old to tell");
    assert_eq!(arrived(&far, 69, KEY, &world), Seen::End(Cause::Reuse));
    assert_eq!(changed(arrived(&far, 50, KEY, &world)).arrived, 0, "the parent is known however old");

    let bound = with(nine(30), |grant| grant.binding = Some(Binding::Jkt([5; 32])));
    let ended = with(nine(30), |grant| grant.ended = Some(Ended { at: NOW, cause: Cause::Evicted }));
    for grant in [bound, ended] {
        assert_eq!(arrived(&grant, 7, KEY, &world), Seen::Nothing);
    }
    world.client.kind = ClientKind::Confidential { secret_hashes: vec![], keys: None };
    assert_eq!(arrived(&nine(30), 7, KEY, &world), Seen::Nothing, "held");
}

#[test]
fn introspection_does_not_ask_for_the_sender_constraint() {
    let bound = with(nine(30), |grant| grant.binding = Some(Binding::Jkt([5; 32])));
    let world = World::new();
    assert_eq!(would_accept(NOW, &bound, presented(9), &world.env()), Ok(()));
    assert_eq!(told(&ask(NOW, &bound, 9, &world.env())), Refuses(RefreshRefusal::WrongProof));
    let ended = Env { revoked: Some(Cause::ClientRevoked), ..world.env() };
    assert_eq!(would_accept(NOW, &bound, presented(9), &ended), Err(RefreshRefusal::Ended(Cause::ClientRevoked)));
    assert_eq!(would_accept(NOW, &nine(30), presented(7), &world.env()), Err(RefreshRefusal::Reuse));
    assert_eq!(would_accept(NOW, &nine(60), presented(8), &world.env()), Err(RefreshRefusal::RetryExpired));
    let stale = Presented { key: OLD_KEY, generation: 9 };
    assert_eq!(would_accept(NOW, &nine(30), stale, &world.env()), Err(RefreshRefusal::NotGenuine));
}

#[test]
fn a_code_without_terms_is_not_genuine() {
    let world = World::new();
    assert_eq!(told(&ask(NOW, &grant(), 0, &world.env())), Refuses(RefreshRefusal::NotGenuine));
}

#[test]
fn who_redeems_a_code_with_a_key_binds_the_grant_and_no_refresh_does() {
    let key = Some(Binding::Jkt([5; 32]));
    let world = with(World::new(), |world| world.proof.jkt = Some([5; 32]));
    let bound_by = |now, mut grant: Grant, generation| {
        go(now, &mut grant, generation, &world.env());
        grant.binding
    };
    assert_eq!(bound_by(NOW, coded(0, 0, 0), 0), key);
    // The store lost the redemption: whoever goes on with what it gave binds it anew.
    assert_eq!(bound_by(NOW, coded(0, 0, 0), 1), key);
    for (grant, generation) in [(grant(), 1), (nine(30), 9), (nine(30), 11), (nine(9), 8)] {
        assert_eq!(bound_by(NOW, grant, generation), None, "{generation}");
    }
    let certificate = with(coded(0, 0, 0), |grant| grant.binding = Some(Binding::X5t([6; 32])));
    let both = with(World::new(), |world| world.proof = Proof { jkt: Some([5; 32]), x5t: Some([6; 32]) });
    assert_eq!(written(ask(NOW, &certificate, 0, &both.env())).0.and_then(|grant| grant.binding), certificate.binding);
}

//! Revoke: what each target ends, at once and on every replica, and what it leaves alive (RFC 7009).

use crate::on_every_store;
use crate::world::{JOB_SECRET, Replica, SCOPES, WEB_SECRET, World, alice, fully_fresh, mobile, refusal, refused, secret, web};
use futures_util::{StreamExt as _, stream};
use jeton::api::revoke_request::Target;
use jeton::api::{
    AuthenticationContext, BatchIntrospectRequest, Cause, ConsentTarget, GrantType, IssueRequest, IssueResponse,
    ListGrantsRequest, RefreshRequest, RevokeRequest, RevokeResponse, SessionTarget,
};
use std::collections::BTreeMap;
use tonic::Code;

on_every_store! {
    an_id_made_up_for_a_grant_hides_no_revocation,
    each_target_ends_what_it_names_everywhere_at_once_and_nothing_else,
    rfc7009_2_1_an_access_token_ends_alone,
    rfc7009_2_2_unknown_token_is_ok,
    rfc7009_2_1_a_foreign_token_is_refused_and_stays_valid,
    a_revoked_session_is_given_no_more_tokens,
    all_of_a_client_ends_with_one_entry_in_the_log,
    what_is_signed_in_again_lives_at_once,
    a_dry_run_counts_by_client_and_ends_nothing,
    the_16th_access_token_revoked_by_itself_ends_the_grant,
    revoking_one_access_token_again_and_again_counts_once,
    a_token_of_a_client_itself_can_be_revoked,
    revoking_twice_is_safe,
    signing_out_with_an_evicted_refresh_token_ends_its_access_tokens,
}

/// What someone holds: tokens and how to refresh them.
struct Holding {
    what: &'static str,
    issued: IssueResponse,
    asked: fn(&str) -> RefreshRequest,
}

impl Holding {
    async fn new(
        server: &Replica,
        what: &'static str,
        sub: &str,
        scope: &str,
        sid: &str,
        asked: fn(&str) -> RefreshRequest,
    ) -> Self {
        let client = asked("").client_id;
        let issued = server.issue(IssueRequest { sub: sub.into(), sid: sid.into(), ..alice(&client, scope) }).await;
        Self { what, issued, asked }
    }

    /// Sees that access token and refresh token live, or not, and takes over what a refresh hands out.
    async fn check(&mut self, server: &Replica, access: bool, refresh: bool, when: &str) {
        let what = self.what;
        assert_eq!(server.active(&self.issued.access_token).await, access, "access token of {what} {when}");
        assert_eq!(server.active(&self.issued.refresh_token).await, refresh, "refresh token of {what} {when}");
        assert_eq!(server.grant(&self.issued.grant_id).await.active, refresh, "grant of {what} {when}");
        let refreshed = server.try_refresh((self.asked)(&self.issued.refresh_token)).await;
        if refresh {
            self.issued.refresh_token = refreshed.unwrap_or_else(|status| panic!("{what} {when}: {status}")).refresh_token;
        } else {
            refused(refreshed);
        }
    }
}

const LATER: &str = "offline_access payments:read";

/// Alice on her phone, for orders (JWT) and payments (opaque) in one session; in the browser; and Bob on his phone.
async fn holdings(server: &Replica) -> [Holding; 4] {
    [
        Holding::new(server, "alice's phone, orders", "alice", SCOPES, "phone", mobile).await,
        Holding::new(server, "alice's phone, payments", "alice", LATER, "phone", mobile).await,
        Holding::new(server, "alice's browser", "alice", SCOPES, "browser", web).await,
        Holding::new(server, "bob's phone", "bob", LATER, "bob's", mobile).await,
    ]
}

/// What is revoked, which of the holdings live on, and the cause that the others are told to have ended for.
type Row = (&'static str, fn(&[Holding; 4]) -> Target, [bool; 4], Cause);

async fn each_target_ends_what_it_names_everywhere_at_once_and_nothing_else(world: World) {
    let targets: [Row; 8] = [
        ("refresh token", |h| Target::Token(h[0].issued.refresh_token.clone()), [false, true, true, true], Cause::GrantRevoked),
        (
            "refresh token, opaque",
            |h| Target::Token(h[1].issued.refresh_token.clone()),
            [true, false, true, true],
            Cause::GrantRevoked,
        ),
        ("grant", |h| Target::GrantId(h[1].issued.grant_id.clone()), [true, false, true, true], Cause::GrantRevoked),
        (
            "session",
            |_| Target::Session(SessionTarget { sid: "phone".into(), ..Default::default() }),
            [false, false, true, true],
            Cause::SessionRevoked,
        ),
        ("subject", |_| Target::Sub("alice".into()), [false, false, false, true], Cause::SubjectRevoked),
        ("client", |_| Target::ClientId("mobile-app".into()), [false, false, true, false], Cause::ClientRevoked),
        (
            "consent",
            |_| Target::Consent(ConsentTarget { sub: "alice".into(), client_id: "mobile-app".into() }),
            [false, false, true, true],
            Cause::ConsentRevoked,
        ),
        (
            "consent that was never given",
            |_| Target::Consent(ConsentTarget { sub: "bob".into(), client_id: "web-app".into() }),
            [true; 4],
            Cause::Unspecified,
        ),
    ];
    let (server, other) = (world.start().await, world.start().await);
    let idle = world.start().await;
    for (name, target, lives, cause) in targets {
        // Sessions are ended for ever: each round has its own.
        let mut held = holdings(&server).await;
        let mut target = target(&held);
        if let Target::Session(session) = &mut target {
            for holding in &mut held[..2] {
                let again = IssueRequest { sid: format!("phone of {name}"), ..alice("mobile-app", &holding.issued.scope) };
                holding.issued = server.issue(again).await;
            }
            session.sid = format!("phone of {name}");
        }
        let revoked = server.revoke(target).await;
        assert_eq!(revoked.durability(), jeton::api::Durability::Applied);
        for (holding, lives) in held.iter_mut().zip(lives) {
            holding.check(&server, lives, lives, &format!("{name}, here")).await;
            holding.check(&other, lives, lives, &format!("{name}, on a replica that was not asked")).await;
            if !lives {
                for token in [&holding.issued.access_token, &holding.issued.refresh_token] {
                    let explained = other.explain(token).await;
                    assert_eq!((explained.cause(), explained.ended_at), (cause, world.now()), "{name}: {}", holding.what);
                }
            }
        }
        assert!(other.app.alive.settle().await.unwrap() >= 1, "{name}");
        let fresh = world.start().await;
        for (holding, lives) in held.iter_mut().zip(lives) {
            for replica in [&server, &other, &fresh] {
                holding.check(replica, lives, lives, &format!("{name}, settled")).await;
            }
        }
        // Three hours later nothing of it is in the log, and no access token that it could concern lives.
        world.pass(3 * 3_600);
        for replica in [&server, &other] {
            assert_eq!(replica.app.alive.settle().await.unwrap(), 0, "{name}");
        }
        for (holding, lives) in held.iter_mut().zip(lives) {
            for replica in [&server, &other, &idle, &fresh] {
                holding.check(replica, false, lives, &format!("{name}, forgotten by the log")).await;
            }
            let explained = other.explain(&holding.issued.refresh_token).await;
            assert_eq!(explained.cause(), if lives { Cause::Unspecified } else { cause }, "{name}: {}", holding.what);
        }
        world.pass(20);
    }
}

async fn rfc7009_2_1_an_access_token_ends_alone(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    for scope in [SCOPES, LATER] {
        let issued = server.issue(alice("mobile-app", scope)).await;
        server.revoke(Target::Token(issued.access_token.clone())).await;
        for settled in [false, true] {
            for replica in [&server, &other] {
                assert!(!replica.active(&issued.access_token).await, "{settled}");
                assert_eq!(replica.cause(&issued.access_token).await, Cause::TokenRevoked);
                assert!(replica.active(&issued.refresh_token).await);
            }
            other.app.alive.settle().await.unwrap();
        }
        let refreshed = other.refresh(mobile(&issued.refresh_token)).await;
        assert!(server.active(&refreshed.access_token).await);
    }
}

async fn rfc7009_2_2_unknown_token_is_ok(world: World) {
    let server = world.start().await;
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let elsewhere = World::memory().await.start().await.issue(alice("mobile-app", SCOPES)).await;
    let expired = server.issue(alice("mobile-app", "orders:read")).await.access_token;
    world.pass(300);
    let cut = issued.access_token.get(..issued.access_token.len() - 2).unwrap().to_owned();
    for token in [
        "garbage".to_owned(),
        "jrt_".into(),
        cut,
        expired,
        issued.id_token.clone(),
        elsewhere.access_token,
        elsewhere.refresh_token,
    ] {
        let asked = RevokeRequest { target: Some(Target::Token(token.clone())), ..Default::default() };
        assert_eq!(server.try_revoke(asked).await.unwrap(), RevokeResponse::default(), "{token}");
    }
    server.refresh(mobile(&issued.refresh_token)).await;
    // Once revoked it is unknown too.
    let token = || Target::Token(issued.refresh_token.clone());
    server.revoke(token()).await;
    world.pass(3 * 3_600);
    server.app.alive.settle().await.unwrap();
    server.app.alive.settle().await.unwrap();
    let asked = RevokeRequest { target: Some(token()), ..Default::default() };
    assert_eq!(server.try_revoke(asked).await.unwrap(), RevokeResponse::default());
}

async fn rfc7009_2_1_a_foreign_token_is_refused_and_stays_valid(world: World) {
    let server = world.start().await;
    for scope in [SCOPES, LATER] {
        let issued = server.issue(alice("mobile-app", scope)).await;
        let of = |token: &str, client: &str, proof| RevokeRequest {
            target: Some(Target::Token(token.into())),
            token_client_id: client.into(),
            client_authentication: proof,
            ..Default::default()
        };
        for token in [&issued.access_token, &issued.refresh_token] {
            let foreign = server.try_revoke(of(token, "web-app", secret(WEB_SECRET))).await;
            assert_eq!(refusal(foreign), (Code::PermissionDenied, "UNAUTHORIZED_CLIENT".into()));
            for (client, proof) in [("web-app", None), ("web-app", secret("jcs_wrong")), ("no-such-app", None)] {
                let refused = server.try_revoke(of(token, client, proof)).await;
                assert_eq!(refusal(refused), (Code::Unauthenticated, "INVALID_CLIENT".into()));
            }
            assert!(server.active(token).await);
        }
        for token in [&issued.access_token, &issued.refresh_token] {
            let done = server.try_revoke(of(token, "mobile-app", None)).await.unwrap();
            assert!(!done.revision.is_empty() && !server.active(token).await);
        }
    }
}

async fn a_revoked_session_is_given_no_more_tokens(world: World) {
    let settings = world.with_client("mobile-app", |client| client.grants_per_subject = 2);
    let (server, other) = (world.start_with(&settings).await, world.start_with(&settings).await);
    let first = server.issue(alice("mobile-app", SCOPES)).await;
    world.pass(1);
    let second = server.issue(alice("mobile-app", SCOPES)).await;
    server.revoke(Target::Session(SessionTarget { sid: "ended".into(), ..Default::default() })).await;
    let asked = |scope: &str| IssueRequest { sid: "ended".into(), ..alice("mobile-app", scope) };
    for round in 0..3 {
        for replica in [&server, &other] {
            for scope in [SCOPES, LATER, "orders:read"] {
                let refused = replica.try_issue(asked(scope)).await;
                assert_eq!(refusal(refused), (Code::FailedPrecondition, "SESSION_REVOKED".into()), "{scope}, round {round}");
            }
            // What is refused takes nobody's place.
            for held in [&first, &second] {
                assert!(replica.active(&held.refresh_token).await, "round {round}");
            }
            let page = replica.list(ListGrantsRequest { sub: "alice".into(), ..Default::default() }).await;
            assert_eq!(page.grants.len(), 2, "round {round}");
        }
        world.pass(round * 2 * 3_600);
        other.app.alive.settle().await.unwrap();
    }
}

async fn all_of_a_client_ends_with_one_entry_in_the_log(world: World) {
    const SUBJECTS: usize = 500;
    const GRANTS_A_SUBJECT: usize = 4;
    let (server, other) = (world.start().await, world.start().await);
    let issue = async |number: usize| {
        let (sub, scope) = (format!("user {}", number % SUBJECTS), if number.is_multiple_of(2) { SCOPES } else { LATER });
        server.issue(IssueRequest { sub, ..alice("mobile-app", scope) }).await
    };
    let numbers = stream::iter(0..SUBJECTS * GRANTS_A_SUBJECT);
    let issued: Vec<_> = numbers.map(issue).buffer_unordered(64).collect().await;
    let of_another = server.issue(alice("web-app", SCOPES)).await;
    let tokens: Vec<String> = issued.into_iter().flat_map(|issued| [issued.access_token, issued.refresh_token]).collect();
    let living = async |replica: &Replica| {
        let mut living = 0;
        for tokens in tokens.chunks(500) {
            let asked = BatchIntrospectRequest { tokens: tokens.to_vec(), freshness: fully_fresh(), ..Default::default() };
            let answer = replica.tokens.clone().batch_introspect(asked).await.unwrap().into_inner();
            assert_eq!(answer.results.len(), tokens.len());
            living += answer.results.iter().filter(|result| result.active).count();
        }
        living
    };
    assert_eq!(living(&server).await, tokens.len());
    server.revoke(Target::ClientId("mobile-app".into())).await;
    assert_eq!(living(&server).await, 0, "at once");
    assert_eq!(living(&other).await, 0, "at once on the other replica, too");
    assert_eq!(other.app.alive.settle().await.unwrap(), 1, "one entry, whatever the client had");
    assert_eq!(living(&other).await, 0, "settled");
    assert!(other.active(&of_another.access_token).await && other.active(&of_another.refresh_token).await);
}

async fn what_is_signed_in_again_lives_at_once(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    for target in [
        Target::Sub("alice".into()),
        Target::ClientId("mobile-app".into()),
        Target::Consent(ConsentTarget { sub: "alice".into(), client_id: "mobile-app".into() }),
    ] {
        let before = server.issue(alice("mobile-app", SCOPES)).await;
        server.revoke(target).await;
        // The clock stands still: order decides, not time.
        let again = other.issue(alice("mobile-app", SCOPES)).await;
        let opaque = other.issue(alice("mobile-app", LATER)).await;
        for settled in [false, true] {
            for replica in [&server, &other] {
                assert!(!replica.active(&before.access_token).await && !replica.active(&before.refresh_token).await);
                for issued in [&again, &opaque] {
                    assert!(
                        replica.active(&issued.access_token).await && replica.active(&issued.refresh_token).await,
                        "{settled}"
                    );
                    replica.refresh(mobile(&issued.refresh_token)).await;
                }
            }
            server.app.alive.settle().await.unwrap();
        }
    }
}

async fn a_dry_run_counts_by_client_and_ends_nothing(world: World) {
    let server = world.start().await;
    let mut held = holdings(&server).await;
    let counts = |of: &[(&str, i64)]| Some(of.iter().map(|(client, n)| ((*client).to_owned(), *n)).collect::<BTreeMap<_, _>>());
    let session = |sub: &str| Target::Session(SessionTarget { sid: "phone".into(), sub: sub.into() });
    let token = |token: &str| Target::Token(token.into());
    let expected = [
        (Target::Sub("alice".into()), counts(&[("mobile-app", 2), ("web-app", 1)])),
        (Target::Sub("nobody".into()), counts(&[])),
        (session("alice"), counts(&[("mobile-app", 2)])),
        (session("bob"), counts(&[])),
        (Target::Consent(ConsentTarget { sub: "alice".into(), client_id: "web-app".into() }), counts(&[("web-app", 1)])),
        (Target::GrantId(held[3].issued.grant_id.clone()), counts(&[("mobile-app", 1)])),
        (token(&held[0].issued.refresh_token), counts(&[("mobile-app", 1)])),
        (token(&held[0].issued.access_token), counts(&[])),
        (token("garbage"), counts(&[])),
        (Target::ClientId("mobile-app".into()), None),
    ];
    for (target, expected) in expected {
        assert_eq!(server.count(target.clone()).await, expected, "{target:?}");
    }
    let asked = RevokeRequest { target: Some(session("")), dry_run: true, ..Default::default() };
    assert_eq!(refusal(server.try_revoke(asked).await), (Code::InvalidArgument, "INVALID_FIELD".into()));
    // As the real one would say.
    let asked = RevokeRequest { target: Some(Target::Kid("typo".into())), dry_run: true, ..Default::default() };
    assert_eq!(refusal(server.try_revoke(asked).await), (Code::NotFound, "KEY_UNKNOWN".into()));
    for holding in &mut held {
        holding.check(&server, true, true, "after dry runs").await;
    }
    assert_eq!(server.app.alive.settle().await.unwrap(), 0, "nothing was revoked");
    // What is dead already does not count again.
    server.revoke(Target::GrantId(held[0].issued.grant_id.clone())).await;
    assert_eq!(server.count(Target::Sub("alice".into())).await, counts(&[("mobile-app", 1), ("web-app", 1)]));
}

async fn the_16th_access_token_revoked_by_itself_ends_the_grant(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    for scope in [SCOPES, LATER] {
        let issued = server.issue(alice("mobile-app", scope)).await;
        let spare = server.refresh(mobile(&issued.refresh_token)).await;
        for round in 1..=16 {
            let one = server.refresh(mobile(&spare.refresh_token)).await;
            server.revoke(Target::Token(one.access_token.clone())).await;
            assert!(!other.active(&one.access_token).await);
            assert_eq!(other.active(&spare.access_token).await, round < 16, "round {round}");
        }
        refused(other.try_refresh(mobile(&spare.refresh_token)).await);
        assert_eq!(other.cause(&spare.refresh_token).await, Cause::GrantRevoked);
    }
}

async fn revoking_one_access_token_again_and_again_counts_once(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    for scope in [SCOPES, LATER] {
        let issued = server.issue(alice("mobile-app", scope)).await;
        for _ in 0..10 {
            for replica in [&server, &other] {
                replica.revoke(Target::Token(issued.access_token.clone())).await;
            }
        }
        let refreshed = server.refresh(mobile(&issued.refresh_token)).await;
        assert!(server.active(&refreshed.access_token).await, "a retry of Revoke is no second revocation");
    }
}

async fn a_token_of_a_client_itself_can_be_revoked(world: World) {
    let server = world.start().await;
    let job = |scope: &str| IssueRequest {
        client_id: "billing-job".into(),
        scope: scope.into(),
        authentication: Some(AuthenticationContext { method: GrantType::ClientCredentials.into(), ..Default::default() }),
        client_authentication: secret(JOB_SECRET),
        ..Default::default()
    };
    for scope in ["orders:read", "payments:read"] {
        let [one, other] = [server.issue(job(scope)).await, server.issue(job(scope)).await];
        server.revoke(Target::Token(one.access_token.clone())).await;
        assert!(!server.active(&one.access_token).await && server.active(&other.access_token).await);
        // It is no user's: who is called like the client has no power over it.
        server.revoke(Target::Sub("billing-job".into())).await;
        assert!(server.active(&other.access_token).await);
        server.revoke(Target::ClientId("billing-job".into())).await;
        assert!(!server.active(&other.access_token).await);
        assert!(server.active(&server.issue(job(scope)).await.access_token).await);
    }
}

async fn revoking_twice_is_safe(world: World) {
    let (server, other) = (world.start().await, world.start().await);
    let issued = server.issue(alice("mobile-app", SCOPES)).await;
    let once = server.revoke(Target::GrantId(issued.grant_id.clone())).await;
    let twice = server.revoke(Target::GrantId(issued.grant_id.clone())).await;
    assert_eq!(once.revision, twice.revision, "it was in force already");
    other.revoke(Target::GrantId(issued.grant_id.clone())).await;
    // A grant that nobody has heard of is ended before it could begin.
    let unknown = "q83vEjRWeJCrze8SNFZ4kA";
    server.revoke(Target::GrantId(unknown.into())).await;
    other.app.alive.settle().await.unwrap();
    assert!(!other.active(&issued.access_token).await);
}

async fn signing_out_with_an_evicted_refresh_token_ends_its_access_tokens(world: World) {
    let settings = world.with_client("mobile-app", |client| client.grants_per_subject = 1);
    let server = world.start_with(&settings).await;
    for scope in [SCOPES, LATER] {
        let evicted = server.issue(alice("mobile-app", scope)).await;
        world.pass(1);
        server.issue(alice("mobile-app", scope)).await;
        refused(server.try_refresh(mobile(&evicted.refresh_token)).await);
        assert!(server.active(&evicted.access_token).await, "an evicted grant's access tokens run out by themselves");
        server.revoke(Target::Token(evicted.refresh_token.clone())).await;
        assert!(!server.active(&evicted.access_token).await);
        assert_eq!(server.cause(&evicted.refresh_token).await, Cause::Evicted);
        world.pass(1);
    }
}

/// The id of a grant is as its caller says: it may be that of a subject, and must not stand in its place.
async fn an_id_made_up_for_a_grant_hides_no_revocation(world: World) {
    use jeton_domain::name::Subject;
    use jeton_domain::revision::Born;
    let server = world.start().await;
    let alice = server.app.alive.salt().subject(&Subject::parse("sub", "alice").unwrap());
    server.revoke(Target::GrantId(jeton_domain::id::GrantId(alice.0).to_string())).await;
    server
        .try_revoke(jeton::api::RevokeRequest { target: Some(Target::Sub("alice".into())), ..Default::default() })
        .await
        .unwrap();
    server.app.alive.settle().await.unwrap();
    assert!(server.app.records.read_killing_floor(&[alice], Born::default()).await.unwrap().is_some());
}

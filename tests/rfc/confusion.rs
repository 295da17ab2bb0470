//! Every kind of token at every place that takes one: only what is meant for a place is accepted there (RFC 8725 section 3.12).

use super::Server;
use super::assertions::give_keys;
use super::codes::RIGHT;
use super::device::with_page;
use super::exchange::{acting, with_exchange};
use super::proof::Prover;
use super::raw::{Asking, basic};
use crate::receiver::Receiver;
use crate::world::{WEB_SECRET, alice};
use jeton::api::revoke_request::Target;
use jeton::api::{IssueRequest, SessionTarget};
use jeton_domain::assertion::CLIENT_ASSERTION_TYPE;
use std::sync::Arc;
use tokio::task::JoinSet;

const WHOLE: &str = "openid offline_access orders:read";

/// What we make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    AccessJwt,
    Opaque,
    Refresh,
    Code,
    Device,
    Id,
    IntrospectionJwt,
    Logout,
}

/// Where a token is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Introspect,
    UserInfo,
    Refresh,
    Redeem,
    Poll,
    Revoke,
    /// As the subject token of an exchange.
    Subject,
    /// As the actor token of one.
    Actor,
}

use Kind::{AccessJwt, Code, Device, Id, IntrospectionJwt, Logout, Opaque, Refresh};

const KINDS: [Kind; 8] = [AccessJwt, Opaque, Refresh, Code, Device, Id, IntrospectionJwt, Logout];

/// The diagonal: what each place is for.
const PLACES: [(Place, &[Kind]); 8] = [
    // A refresh token is its own client's to ask about (RFC 7662 section 2.1).
    (Place::Introspect, &[AccessJwt, Opaque, Refresh]),
    (Place::UserInfo, &[AccessJwt, Opaque]),
    (Place::Refresh, &[Refresh]),
    (Place::Redeem, &[Code]),
    (Place::Poll, &[Device]),
    (Place::Revoke, &[AccessJwt, Opaque, Refresh, Code]),
    (Place::Subject, &[AccessJwt, Opaque]),
    (Place::Actor, &[AccessJwt, Opaque]),
];

/// A token of that kind, and an access token of the same sign-in that lives as long as nobody revokes anything.
async fn made(server: &Server, kind: Kind) -> (String, String) {
    if kind == Logout {
        return (logout_token(server).await, server.signed_in().await.access_token);
    }
    if kind == Device {
        let device = server.replica.begin(WHOLE).await;
        server.replica.approve(&device).await;
        let witness = server.replica.issue(alice("web-app", WHOLE)).await.access_token;
        return (device.code, witness);
    }
    let scope = if kind == Opaque { "openid offline_access payments:read" } else { WHOLE };
    let code = server.code("web-app", scope).await;
    if kind == Code {
        let witness = server.replica.issue(alice("web-app", WHOLE)).await.access_token;
        return (code, witness);
    }
    let tokens = server.redeem(&code, &RIGHT).await.tokens();
    let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
    let token = match kind {
        AccessJwt | Opaque => text("access_token"),
        Refresh => text("refresh_token"),
        Id => text("id_token"),
        IntrospectionJwt => {
            let asked = server.post("/oauth2/introspect", &[("token", &text("access_token"))]);
            let asked = asked.header("Authorization", &basic("web-app", WEB_SECRET));
            let answer = asked.header("Accept", "application/token-introspection+jwt").send().await;
            String::from_utf8(answer.body).unwrap()
        }
        Code | Device | Logout => unreachable!("answered above"),
    };
    (token, text("access_token"))
}

/// What the web application is sent when a session ends in which it was given an ID token, by a replica beside the server.
async fn logout_token(server: &Server) -> String {
    let receiver = Receiver::start().await;
    let settings = server.world.with_client("web-app", |client| client.backchannel_logout_uri = Some(receiver.endpoint("/")));
    let replica = server.world.start_with(&settings).await;
    // After the turn that the last of these took.
    server.world.pass(30);
    let session = SessionTarget { sid: format!("told at {}", receiver.address), ..Default::default() };
    replica.issue(IssueRequest { sid: session.sid.clone(), ..alice("web-app", WHOLE) }).await;
    replica.revoke(Target::Session(session)).await;
    replica.app.alive.settle().await.unwrap();
    let service = Arc::clone(&replica.app.service);
    let mut telling = JoinSet::new();
    telling.spawn(async move { match service.tell_logouts().await {} });
    receiver.until(1).await[0].field("logout_token")
}

/// Whether the place did with the token what it does.
async fn accepted(server: &Server, place: Place, kind: Kind, token: &str, witness: &str) -> bool {
    match place {
        Place::Introspect => server.is_active(token).await,
        Place::UserInfo => {
            let header = format!("Bearer {token}");
            let answer = Asking::get(server.replica.http, "/oauth2/userinfo").header("Authorization", &header).send().await;
            assert!(answer.status == 200 || answer.refusal() == (401, "invalid_token".into()), "{kind:?}: {answer:?}");
            answer.status == 200
        }
        Place::Refresh | Place::Redeem | Place::Poll => {
            let answer = match place {
                Place::Refresh => server.refresh(token).await,
                Place::Redeem => server.redeem(token, &RIGHT).await,
                _ => server.replica.poll_with(token).await,
            };
            assert!(answer.status == 200 || answer.refusal() == (400, "invalid_grant".into()), "{kind:?}: {answer:?}");
            answer.status == 200
        }
        Place::Subject | Place::Actor => {
            let tokens = if place == Place::Subject { [token, witness] } else { [witness, token] };
            let answer = server.exchange(tokens[0], &acting(tokens[1])).await;
            assert!(answer.status == 200 || answer.refusal() == (400, "invalid_request".into()), "{kind:?}: {answer:?}");
            answer.status == 200
        }
        Place::Revoke => {
            assert_eq!(server.web("/oauth2/revoke", &[("token", token)]).await.status, 200, "{kind:?}");
            if kind == Code { server.redeem(token, &RIGHT).await.status != 200 } else { !server.is_active(witness).await }
        }
    }
}

#[tokio::test]
async fn s017_each_token_is_accepted_where_it_belongs_and_nowhere_else() {
    let server = Server::start_with(|settings| {
        with_exchange(settings);
        with_page(settings);
    })
    .await;
    for (place, takes) in PLACES {
        for kind in KINDS {
            let (token, witness) = made(&server, kind).await;
            assert!(server.is_active(&witness).await);
            let is_accepted = accepted(&server, place, kind, &token, &witness).await;
            assert_eq!(is_accepted, takes.contains(&kind), "{kind:?} at {place:?}");
            // Where it was refused it, and all that came with it, is as it was.
            if !is_accepted {
                assert!(server.is_active(&witness).await, "{kind:?} at {place:?}");
                assert!(kind != Code || server.redeem(&token, &RIGHT).await.status == 200, "{place:?} spent the code");
                assert!(
                    kind != Device || server.replica.poll_with(&token).await.status == 200,
                    "{place:?} spent the device's code"
                );
            }
        }
    }
}

/// What clients make is no token, and what we make proves no client.
#[tokio::test]
async fn s017_assertions_and_proofs_are_no_tokens_nor_each_other() {
    let prover = Prover::new();
    let server = Server::start_with(|settings| {
        with_exchange(settings);
        with_page(settings);
        give_keys(settings, "web-app", &[prover.jwk()]);
    })
    .await;
    let assertion = || prover.assertion("web-app", "web-app", server.world.now()).signed();
    let proof = || prover.proof(server.world.now()).signed();
    for made in [assertion(), proof()] {
        let witness = server.signed_in().await.access_token;
        for (place, _) in PLACES {
            assert!(!accepted(&server, place, AccessJwt, &made, &witness).await, "{place:?}");
        }
        assert!(server.is_active(&witness).await);
    }
    let authenticated = async |made: &str| {
        let fields = [
            ("token", "x"),
            ("client_assertion_type", CLIENT_ASSERTION_TYPE),
            ("client_assertion", made),
            ("client_id", "web-app"),
        ];
        server.post("/oauth2/introspect", &fields).send().await.status
    };
    let job = [("grant_type", "client_credentials"), ("scope", "orders:read")];
    let proved_by = async |made: &str| {
        let bound = server.post("/oauth2/token", &job).header("DPoP", made);
        bound.header("Authorization", &basic("billing-job", crate::world::JOB_SECRET)).send().await
    };
    for kind in KINDS {
        let (token, _) = made(&server, kind).await;
        assert_eq!(authenticated(&token).await, 401, "{kind:?}");
        assert_eq!(proved_by(&token).await.refusal(), (400, "invalid_dpop_proof".into()), "{kind:?}");
    }
    assert_eq!(authenticated(&proof()).await, 401, "a proof");
    assert_eq!(authenticated(&assertion()).await, 200);
    assert_eq!(proved_by(&assertion()).await.refusal(), (400, "invalid_dpop_proof".into()));
    proved_by(&proof()).await.tokens();
}

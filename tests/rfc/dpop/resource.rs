//! Access tokens that are shown with a proof (RFC 9449 section 7), where jeton is itself a resource: at user info.

use super::binding::{bound, text};
use crate::rfc::Server;
use crate::rfc::codes::with_places;
use crate::rfc::proof::{Proof, Prover};
use crate::rfc::raw::{Answer, Asking};
use crate::world::{ISSUER, Replica, SCOPES, alice};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const USERINFO: &str = "/oauth2/userinfo";
const OPAQUE: &str = "openid offline_access payments:read";

/// A right proof for a token, of a GET.
fn proof<'a>(server: &Server, prover: &'a Prover, token: &str) -> Proof<'a> {
    let ath = URL_SAFE_NO_PAD.encode(Sha256::digest(token));
    server.proof(prover).claim("htm", "GET").claim("htu", format!("{ISSUER}{USERINFO}")).claim("ath", ath)
}

async fn shown(replica: &Replica, method: &str, token: &str, proofs: &[&str]) -> Answer {
    let asking = Asking::new(replica.http, method, USERINFO).header("Authorization", &format!("DPoP {token}"));
    proofs.iter().fold(asking, |asking, proof| asking.header("DPoP", proof)).send().await
}

/// That it is refused with this word, which the challenge says too.
#[track_caller]
fn is_refused(answer: &Answer, word: &str, why: &str) {
    assert_eq!(answer.refusal(), (401, word.into()), "{why}");
    let challenge = format!("DPoP realm=\"jeton\", algs=\"ES256 EdDSA Ed25519\", error=\"{word}\"");
    assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()), "{why}");
}

#[tokio::test]
async fn s074_a_proof_is_for_the_token_that_it_comes_with() {
    let server = Server::with_codes().await;
    let replica = &server.replica;
    for (prover, scope) in [(Prover::new(), SCOPES), (Prover::ed25519(), OPAQUE)] {
        let tokens = bound(&server, &prover, scope).await;
        let token = text(&tokens, "access_token");
        let right = || proof(&server, &prover, token);
        let other = bound(&server, &prover, scope).await;
        let of_another = URL_SAFE_NO_PAD.encode(Sha256::digest(text(&other, "access_token")));
        let padded = format!("{}=", URL_SAFE_NO_PAD.encode(Sha256::digest(token)));
        for ath in [Value::Null, json!(""), json!(of_another), json!(padded), json!(token), json!(1)] {
            is_refused(
                &shown(replica, "GET", token, &[&right().claim("ath", ath.clone()).signed()]).await,
                "invalid_dpop_proof",
                &ath.to_string(),
            );
        }
        let token_endpoint = format!("{ISSUER}/oauth2/token");
        for (claim, value) in [("htm", "POST"), ("htm", "HEAD"), ("htu", &token_endpoint)] {
            let answer = shown(replica, "GET", token, &[&right().claim(claim, value).signed()]).await;
            is_refused(&answer, "invalid_dpop_proof", value);
        }
        let [one, two] = [right().signed(), right().signed()];
        for proofs in [&[][..], &[""], &[&one, &two], &[&one, &one], &["a.b.c"]] {
            is_refused(&shown(replica, "GET", token, proofs).await, "invalid_dpop_proof", "exactly one");
        }
        for method in ["GET", "POST"] {
            let answer = shown(replica, method, token, &[&right().claim("htm", method).signed()]).await;
            assert_eq!((answer.status, answer.header("dpop-nonce")), (200, None), "{answer:?}");
            assert_eq!(answer.json(), json!({"sub": "alice"}));
        }
    }
}

#[tokio::test]
async fn s076_a_token_is_shown_in_the_way_that_it_is_bound() {
    let server = Server::with_codes().await;
    let (replica, prover, thief) = (&server.replica, Prover::new(), Prover::new());
    let tokens = bound(&server, &prover, SCOPES).await;
    let token = text(&tokens, "access_token");
    let by_thief = shown(replica, "GET", token, &[&proof(&server, &thief, token).signed()]).await;
    is_refused(&by_thief, "invalid_token", "another key");

    // The right proof beside it helps nothing where the token is shown as a bearer token.
    let bearer = Asking::get(replica.http, USERINFO).header("Authorization", &format!("Bearer {token}"));
    let bearer = bearer.header("DPoP", &proof(&server, &prover, token).signed()).send().await;
    assert_eq!(bearer.refusal(), (401, "invalid_token".into()));
    assert_eq!(bearer.header("www-authenticate"), Some("Bearer realm=\"jeton\", error=\"invalid_token\""));

    let unbound = replica.issue(alice("web-app", SCOPES)).await.access_token;
    let answer = shown(replica, "GET", &unbound, &[&proof(&server, &prover, &unbound).signed()]).await;
    is_refused(&answer, "invalid_token", "bound to nothing");
    let certificate = jeton::api::Confirmation { x5t_s256: prover.jkt(), ..Default::default() };
    let asked = jeton::api::IssueRequest { cnf: Some(certificate), ..alice("web-app", SCOPES) };
    let of_certificate = replica.issue(asked).await.access_token;
    let answer = shown(replica, "GET", &of_certificate, &[&proof(&server, &prover, &of_certificate).signed()]).await;
    is_refused(&answer, "invalid_token", "bound to a certificate");
    assert_eq!(shown(replica, "GET", token, &[&proof(&server, &prover, token).signed()]).await.status, 200);
}

#[tokio::test]
async fn s073_a_proof_of_a_token_that_is_shown_counts_once_on_all_replicas() {
    let server = Server::with_codes().await;
    let other = server.world.start().await;
    let prover = Prover::new();
    let tokens = bound(&server, &prover, SCOPES).await;
    let token = text(&tokens, "access_token");
    let once = |token: &str| proof(&server, &prover, token).claim("jti", "once").signed();
    // Where it opens nothing it is not counted.
    is_refused(&shown(&other, "GET", "unknown", &[&once("unknown")]).await, "invalid_token", "no token");
    let made = once(token);
    assert_eq!(shown(&server.replica, "GET", token, &[&made]).await.status, 200);
    for replica in [&server.replica, &other] {
        is_refused(&shown(replica, "GET", token, &[&made]).await, "invalid_dpop_proof", "shown before");
    }
}

#[tokio::test]
async fn s078_a_resource_asks_for_its_nonce_too() {
    let server = Server::start_with(|settings| {
        with_places(settings);
        settings.tokens.dpop_nonce = true;
    })
    .await;
    let prover = Prover::new();
    let cnf = jeton::api::Confirmation { jkt: prover.jkt(), ..Default::default() };
    let bound = server.replica.issue(jeton::api::IssueRequest { cnf: Some(cnf), ..alice("web-app", SCOPES) }).await;
    let token = bound.access_token.as_str();
    let with = async |nonce: Option<&str>| {
        let made = proof(&server, &prover, token).claim("nonce", nonce.map_or(Value::Null, Value::from));
        shown(&server.replica, "GET", token, &[&made.signed()]).await
    };
    let asked = with(None).await;
    is_refused(&asked, "use_dpop_nonce", "none");
    let nonce = asked.header("dpop-nonce").unwrap();
    is_refused(&with(Some("made-up")).await, "use_dpop_nonce", "made up");
    let answer = with(Some(nonce)).await;
    assert_eq!((answer.status, answer.header("dpop-nonce")), (200, Some(nonce)));
    server.world.pass(600);
    let renewed = with(Some(nonce)).await;
    is_refused(&renewed, "use_dpop_nonce", "too old");
    assert_ne!(renewed.header("dpop-nonce"), Some(nonce));
}

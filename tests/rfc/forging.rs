//! The forging kit: a valid token of each kind under each type of key, and what attackers and careless issuers make of it. Each
//! mutation has a name and one exact refusal, so that a change of it is seen; what it was derived from is accepted before and after.
//!
//! Below: `forge` (who has which key), `form` (the compact form and signatures), `jwt`, `proof` (of DPoP), `derived` (all that has a tag).

mod derived;
pub mod forge;
pub mod form;
pub mod jwt;
mod proof;

use super::Server;
use super::codes::{RIGHT, with_places};
use super::proof::Prover;
use super::raw::{Answer, Asking};
use crate::world::{ISSUER, JOB_SECRET, ORDERS, SCOPES, alice, secret};
use derived::{Derived, NUMBERED, OPAQUE};
use forge::{Forge, Jws, b64, unb64};
use form::Wrong;
use jeton::api::{Cause, ClientAuthentication, IssueRequest};
use jeton::signing::Signing;
use jeton::tokens::NotGenuine;
use jeton_domain::client::Algorithm;
use jeton_domain::dpop::Refusal;
use jeton_domain::token::{MAX_BYTES, Presented, parse};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use tonic_types::StatusExt as _;

const OPAQUE_SCOPES: &str = "openid offline_access payments:read";

/// A mutation of a JWT: its name, why it is refused, and how it is made.
type Forged = (&'static str, NotGenuine, Box<dyn Fn(&Forge) -> String>);

/// What is refused of a JWT.
fn jwts(algorithm: Algorithm) -> Vec<Forged> {
    let of_key = match algorithm {
        Algorithm::EdDsa => form::ED25519,
        Algorithm::Es256 => form::P256,
        Algorithm::Rs256 => form::RSA,
    };
    let mut all: Vec<Forged> = Vec::new();
    for (name, wrong, forged) in form::FORM.iter().chain(of_key) {
        let why = match wrong {
            Wrong::Form => NotGenuine::Malformed,
            Wrong::Signature => NotGenuine::WrongSignature,
        };
        all.push((*name, why, Box::new(|f: &Forge| forged(f))));
    }
    for (name, why, forged) in [jwt::HEADER, jwt::ALGORITHM, jwt::KEY, jwt::CLAIMS].concat() {
        all.push((name, why, Box::new(forged)));
    }
    all
}

/// What is refused of a DPoP proof, by name.
fn proofs(prover: &Prover) -> Vec<proof::Row> {
    let is_p256 = matches!(prover, Prover::P256(_));
    let (of_key, of_its_jwk) = if is_p256 { (form::P256, proof::P256_KEY) } else { (form::ED25519, proof::ED25519_KEY) };
    let forms = form::FORM.iter().chain(of_key).map(|(name, wrong, forged)| match wrong {
        Wrong::Form => (*name, Refusal::Malformed, *forged),
        Wrong::Signature => (*name, Refusal::WrongSignature, *forged),
    });
    forms.chain(proof::PROOF.iter().chain(of_its_jwk).copied()).collect()
}

/// Why a JWT is not active, as Explain says.
fn explained(why: NotGenuine, token: &str) -> Cause {
    match why {
        NotGenuine::Malformed => Cause::Malformed,
        // Something is no token by its form already.
        _ if parse(token) == Presented::Unknown => Cause::Malformed,
        NotGenuine::ForeignIssuer | NotGenuine::WrongTyp => Cause::Foreign,
        NotGenuine::BurntKey => Cause::KeyBurnt,
        _ => Cause::NotGenuine,
    }
}

/// Whether a header can carry it, and only it.
fn fits_a_header(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Server {
    /// That this is no active access token, everywhere, and for this reason.
    async fn refuses_access(&self, name: &str, token: &str, cause: Cause) {
        // Explain does not look at what is longer.
        if token.len() <= MAX_BYTES {
            assert_eq!(self.replica.cause(token).await, cause, "{name}: {token}");
        }
        let answer = self.introspect(token).await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, br#"{"active":false}"#.as_slice()), "{name}: {token}");
        if fits_a_header(token) {
            assert_eq!(self.user_info(token).await.refusal(), (401, "invalid_token".into()), "{name}: {token}");
        }
    }

    async fn user_info(&self, token: &str) -> Answer {
        let header = format!("Bearer {token}");
        Asking::get(self.replica.http, "/oauth2/userinfo").header("Authorization", &header).send().await
    }

    /// Over its own key set, with the claims of a token that it issued.
    async fn forge(&self, algorithm: Algorithm) -> Forge {
        let issued = self.replica.issue(alice("web-app", "openid offline_access orders:read")).await.access_token;
        let claims = serde_json::from_slice(&unb64(issued.split('.').nth(1).unwrap())).unwrap();
        let record = self.replica.app.records.signing_keys().await.unwrap().0.unwrap();
        let signing = Signing::new(crate::tokens::settings());
        signing.install(&record.value).unwrap();
        let forge = Forge::new(algorithm, Arc::new(signing), claims, self.world.clock.now());
        let header: serde_json::Value = serde_json::from_slice(&unb64(issued.split('.').next().unwrap())).unwrap();
        assert_eq!(header, forge.header, "the header of what is issued");
        forge
    }
}

/// That no two have one name, and none is what it was derived from.
fn are_mutations<'a>(all: impl IntoIterator<Item = (&'a str, &'a str)>, original: &str) -> usize {
    let mut names = BTreeSet::new();
    for (name, text) in all {
        assert!(names.insert(name), "{name} is there twice");
        assert_ne!(text, original, "{name} changes nothing");
    }
    names.len()
}

#[test]
fn the_kit_has_two_hundred_mutations_of_a_jwt_and_as_many_of_all_the_rest() {
    for algorithm in Algorithm::ALL {
        let names: BTreeSet<&str> = jwts(algorithm).iter().map(|row| row.0).chain(jwt::MEANING.iter().map(|row| row.0)).collect();
        assert_eq!(names.len(), jwts(algorithm).len() + jwt::MEANING.len(), "each has a name of its own");
        assert!(names.len() >= 200, "{}", names.len());
    }
    for prover in [Prover::new(), Prover::ed25519()] {
        let names: BTreeSet<&str> = proofs(&prover).iter().map(|row| row.0).collect();
        assert_eq!(names.len(), proofs(&prover).len(), "each has a name of its own");
        assert!(names.len() >= 140, "{}", names.len());
    }
}

async fn forged_jwts_are_refused(algorithm: Algorithm) {
    let mut server = Server::start_with(with_places).await;
    let settings = server.world.with_resource(ORDERS, |resource| resource.algorithm = algorithm);
    server.replica = server.world.start_with(&settings).await;
    let forge = server.forge(algorithm).await;
    let original = forge.valid();
    assert!(server.is_active(&original).await && server.user_info(&original).await.status == 200, "what is mutated is accepted");
    let mut made: Vec<(&str, String, Cause)> = Vec::new();
    for (name, why, forged) in jwts(algorithm) {
        let token = forged(&forge);
        let cause = explained(why, &token);
        made.push((name, token, cause));
    }
    made.extend(jwt::MEANING.iter().map(|(name, cause, forged)| (*name, forged(&forge), *cause)));
    are_mutations(made.iter().map(|(name, token, _)| (*name, token.as_str())), &original);
    for (name, token, cause) in &made {
        server.refuses_access(name, token, *cause).await;
    }
    assert!(server.is_active(&original).await && server.user_info(&original).await.status == 200, "and stays so");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_jwts_under_eddsa_are_refused_each_for_its_reason() {
    forged_jwts_are_refused(Algorithm::EdDsa).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_jwts_under_es256_are_refused_each_for_its_reason() {
    forged_jwts_are_refused(Algorithm::Es256).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_jwts_under_rs256_are_refused_each_for_its_reason() {
    forged_jwts_are_refused(Algorithm::Rs256).await;
}

/// Of (r, s) the order of the group makes (r, n - s), which is right as well (RFC 7518 section 3.4 does not choose).
#[tokio::test]
async fn the_other_form_of_an_ecdsa_signature_is_the_same_token_and_dies_with_it() {
    let mut server = Server::start().await;
    let settings = server.world.with_resource(ORDERS, |resource| resource.algorithm = Algorithm::Es256);
    server.replica = server.world.start_with(&settings).await;
    let token = server.replica.issue(alice("web-app", "orders:read")).await.access_token;
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = unb64(signature);
    let mut borrow = 0;
    for (s, n) in signature[32..].iter_mut().zip(form::N).rev() {
        let difference = i16::from(n) - i16::from(*s) - borrow;
        (*s, borrow) = (difference.rem_euclid(256).to_le_bytes()[0], i16::from(difference < 0));
    }
    let other = format!("{signed}.{}", b64(signature));
    assert_ne!(other, token);
    assert!(server.is_active(&token).await && server.is_active(&other).await);
    server.replica.revoke(jeton::api::revoke_request::Target::Token(other.clone())).await;
    assert!(!server.is_active(&token).await && !server.is_active(&other).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_opaque_tokens_are_refused_each_for_its_reason() {
    let server = Server::with_codes().await;
    let issue = async || server.replica.issue(alice("web-app", OPAQUE_SCOPES)).await.access_token;
    let opaque = Derived { text: issue().await, other: issue().await, fields: OPAQUE };
    assert!(server.is_active(&opaque.text).await && server.user_info(&opaque.text).await.status == 200);
    let mutations = opaque.mutations();
    assert!(are_mutations(mutations.iter().map(|(name, text, _)| (name.as_str(), text.as_str())), &opaque.text) >= 70);
    for (name, token, cause) in &mutations {
        server.refuses_access(name, token, *cause).await;
    }
    assert!(server.is_active(&opaque.text).await && server.is_active(&opaque.other).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_refresh_tokens_are_refused_each_for_its_reason_and_end_nobodys_grant() {
    let server = Server::with_codes().await;
    let refreshed = async || {
        let first = server.signed_in().await.refresh_token;
        server.refresh(&first).await.tokens()["refresh_token"].as_str().map(str::to_owned).unwrap()
    };
    let refresh = Derived { text: refreshed().await, other: refreshed().await, fields: NUMBERED };
    let mut mutations = refresh.mutations();
    let as_code = refresh.text.replacen("jrt_", "jac_", 1);
    mutations.push(("as a code".into(), as_code, Cause::NotGenuine));
    assert!(are_mutations(mutations.iter().map(|(name, text, _)| (name.as_str(), text.as_str())), &refresh.text) >= 55);
    for (name, token, cause) in &mutations {
        server.refuses_access(name, token, *cause).await;
        assert_eq!(server.refresh(token).await.refusal(), (400, "invalid_grant".into()), "{name}: {token}");
    }
    for token in [&refresh.text, &refresh.other] {
        assert!(server.is_active(token).await, "nobody's session ended");
        server.refresh(token).await.tokens();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_codes_are_refused_each_for_its_reason_and_spend_none() {
    let server = Server::with_codes().await;
    let code = async || server.code("web-app", SCOPES).await;
    let code = Derived { text: code().await, other: code().await, fields: NUMBERED };
    let mut mutations = code.mutations();
    let as_refresh = code.text.replacen("jac_", "jrt_", 1);
    mutations.push(("as a refresh token".into(), as_refresh, Cause::NotGenuine));
    assert!(are_mutations(mutations.iter().map(|(name, text, _)| (name.as_str(), text.as_str())), &code.text) >= 55);
    for (name, token, cause) in &mutations {
        server.refuses_access(name, token, *cause).await;
        assert_eq!(server.redeem(token, &RIGHT).await.refusal(), (400, "invalid_grant".into()), "{name}: {token}");
    }
    for token in [&code.text, &code.other] {
        server.redeem(token, &RIGHT).await.tokens();
    }
}

#[tokio::test]
async fn forged_device_codes_are_none_that_is_known() {
    let server = super::device::server().await;
    let device = server.replica.begin(SCOPES).await;
    let mutations = derived::of_device_code(&device.code);
    assert!(are_mutations(mutations.iter().map(|(name, text)| (name.as_str(), text.as_str())), &device.code) >= 20);
    for (name, code) in &mutations {
        // What has the form of one is called so.
        let cause = if parse(code) == Presented::Device { Cause::Foreign } else { Cause::Malformed };
        server.refuses_access(name, code, cause).await;
        assert_eq!(server.replica.poll_with(code).await.refusal(), (400, "invalid_grant".into()), "{name}: {code}");
    }
    server.replica.waits(&device, "authorization_pending").await;
    server.replica.approve(&device).await;
    server.world.pass(6);
    server.replica.poll(&device).await.tokens();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_proofs_are_refused_each_for_its_reason_and_count_for_nothing() {
    let server = Server::start().await;
    let ask = async |proof: &str| {
        let asked = IssueRequest {
            client_id: "billing-job".into(),
            scope: "orders:read".into(),
            client_authentication: Some(ClientAuthentication { dpop_proof: proof.into(), ..secret(JOB_SECRET).unwrap() }),
            ..Default::default()
        };
        server.replica.try_issue(asked).await
    };
    for prover in [Prover::new(), Prover::ed25519()] {
        let rows = proofs(&prover);
        let claims = json!({"jti": "one", "htm": "POST", "htu": format!("{ISSUER}/oauth2/token"), "iat": server.world.now()});
        let forge = Jws::of_proof(Arc::new(prover), claims);
        let original = forge.valid();
        let made: Vec<_> = rows.iter().map(|(name, why, forged)| (*name, *why, forged(&forge))).collect();
        are_mutations(made.iter().map(|(name, _, proof)| (*name, proof.as_str())), &original);
        for (name, why, proof) in &made {
            let refused = ask(proof).await.expect_err(name);
            assert_eq!(refused.get_details_error_info().unwrap().reason, "INVALID_DPOP_PROOF", "{name}: {proof}");
            assert_eq!(refused.message(), format!("the DPoP proof {why}"), "{name}: {proof}");
            if fits_a_header(proof) {
                let fields = [("grant_type", "client_credentials"), ("scope", "orders:read")];
                let asked = server.post("/oauth2/token", &fields).header("DPoP", proof);
                let answer = asked.header("Authorization", &super::raw::basic("billing-job", JOB_SECRET)).send().await;
                assert_eq!(answer.refusal(), (400, "invalid_dpop_proof".into()), "{name}: {proof}");
                assert_eq!(answer.json()["error_description"], refused.message().replace('"', "'"), "{name}: {proof}");
            }
        }
        assert_eq!(ask(&original).await.unwrap().token_type, "DPoP", "what was mutated is accepted");
    }
}

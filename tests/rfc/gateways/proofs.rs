//! Tokens that are bound to a key or a certificate, through a gateway (RFC 9449 section 7, RFC 8705 section 3).

use super::asking::{Request, Told, Way, request};
use crate::rfc::Server;
use crate::rfc::proof::{Proof, Prover};
use crate::world::{ORDERS, SCOPES, alice};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jeton::api::{Confirmation, IssueRequest};
use sha2::{Digest as _, Sha256};

const URI: &str = "https://api.example.com/orders";

struct Holder {
    server: Server,
    prover: Prover,
    token: String,
}

impl Holder {
    async fn new(change: impl FnOnce(&mut jeton::config::Settings)) -> Self {
        let server = Server::start_with(change).await;
        let prover = Prover::new();
        let cnf = Some(Confirmation { jkt: prover.jkt(), ..Default::default() });
        let token = server.replica.issue(IssueRequest { cnf, ..alice("web-app", SCOPES) }).await.access_token;
        Self { server, prover, token }
    }

    /// A proof of this moment for the request.
    fn proof(&self) -> Proof<'_> {
        let ath = URL_SAFE_NO_PAD.encode(Sha256::digest(&self.token));
        self.prover.proof(self.server.world.now()).claim("htm", "GET").claim("htu", URI).claim("ath", ath)
    }

    fn shows(&self, proof: Proof<'_>) -> Request {
        request(ORDERS).header("authorization", &format!("DPoP {}", self.token)).header("dpop", &proof.signed())
    }
}

#[track_caller]
fn is_no_proof(told: &Told, what: &str) {
    let challenge = "DPoP realm=\"jeton\", algs=\"ES256 EdDSA Ed25519\", error=\"invalid_dpop_proof\"";
    assert_eq!(told.refusal(), (401, Some(challenge)), "{what}: {told:?}");
}

#[tokio::test]
async fn a_bound_token_passes_with_a_proof_of_this_request_once() {
    let holder = Holder::new(|_settings| {}).await;
    let server = &holder.server;
    for way in Way::BOTH {
        let asked = holder.shows(holder.proof());
        let told = asked.clone().path("/orders?page=2").send(server, way).await;
        assert_eq!(told.behind("x-jeton-subject"), Some("alice"));
        is_no_proof(&asked.send(server, way).await, "again");
        for (what, proof) in [
            ("another method", holder.proof().claim("htm", "POST")),
            ("another path", holder.proof().claim("htu", "https://api.example.com/payments")),
            ("another host", holder.proof().claim("htu", "https://evil.example.com/orders")),
            ("another scheme", holder.proof().claim("htu", "http://api.example.com/orders")),
            ("no token", holder.proof().claim("ath", serde_json::Value::Null)),
            ("another moment", holder.proof().claim("iat", server.world.now() - 61)),
        ] {
            is_no_proof(&holder.shows(proof).send(server, way).await, what);
        }
        let two = holder.shows(holder.proof()).header("dpop", &holder.proof().signed());
        is_no_proof(&two.send(server, way).await, "two");
        let none = request(ORDERS).header("authorization", &format!("DPoP {}", holder.token));
        is_no_proof(&none.send(server, way).await, "none");

        let invalid = "error=\"invalid_token\"";
        let told = request(ORDERS).bearer(&holder.token).header("dpop", &holder.proof().signed()).send(server, way).await;
        assert_eq!(told.refusal(), (401, Some(format!("Bearer realm=\"jeton\", {invalid}").as_str())), "as a bearer token");
        let thief = Prover::new();
        let stolen = holder.proof().header("jwk", thief.jwk()).signed_by(&thief);
        let told = request(ORDERS).header("authorization", &format!("DPoP {}", holder.token)).header("dpop", &stolen);
        let told = told.send(server, way).await;
        let challenge = format!("DPoP realm=\"jeton\", algs=\"ES256 EdDSA Ed25519\", {invalid}");
        assert_eq!(told.refusal(), (401, Some(challenge.as_str())), "with another's key");
    }
}

/// Where hosts are not told apart by the gateway, what a client says is its host proves nothing.
#[tokio::test]
async fn a_route_may_say_what_clients_know_it_by() {
    let holder = Holder::new(|_settings| {}).await;
    for way in Way::BOTH {
        let shows = |htu: &str| {
            let proof = holder.proof().claim("htu", htu);
            holder.shows(proof).host("evil.example.com").demand("origin", "https://api.example.com")
        };
        assert_eq!(shows(URI).send(&holder.server, way).await.status, 200);
        is_no_proof(&shows("https://evil.example.com/orders").send(&holder.server, way).await, "what was relayed");
    }
}

#[tokio::test]
async fn a_nonce_is_asked_for_and_the_next_one_is_told() {
    let holder = Holder::new(|settings| settings.tokens.dpop_nonce = true).await;
    for way in Way::BOTH {
        let told = holder.shows(holder.proof()).send(&holder.server, way).await;
        let challenge = "DPoP realm=\"jeton\", algs=\"ES256 EdDSA Ed25519\", error=\"use_dpop_nonce\"";
        assert_eq!(told.refusal(), (401, Some(challenge)));
        let nonce = told.header("dpop-nonce").unwrap().to_owned();
        let told = holder.shows(holder.proof().claim("nonce", nonce)).send(&holder.server, way).await;
        assert!(told.status == 200 && told.header("dpop-nonce").is_some(), "{told:?}");
    }
}

#[tokio::test]
async fn a_token_of_a_certificate_passes_with_that_which_envoy_saw() {
    let server = Server::start().await;
    let pem = |der: &[u8]| format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der));
    let der = b"whose key Envoy has seen proved";
    let cnf = Confirmation { x5t_s256: URL_SAFE_NO_PAD.encode(Sha256::digest(der)), ..Default::default() };
    let token = server.replica.issue(IssueRequest { cnf: Some(cnf), ..alice("web-app", SCOPES) }).await.access_token;
    let shows = |certificate: &str| request(ORDERS).bearer(&token).certificate(certificate);
    assert_eq!(shows(&pem(der)).send(&server, Way::Envoy).await.status, 200);
    for (what, certificate, status) in
        [("another's", pem(b"another"), 401), ("none", String::new(), 401), ("garbage", "x".into(), 400)]
    {
        let told = shows(&certificate).send(&server, Way::Envoy).await;
        assert_eq!(told.status, status, "{what}: {told:?}");
    }
}

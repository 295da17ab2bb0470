//! DPoP (RFC 9449).

mod binding;
mod nonces;
mod resource;

use super::Server;
use super::proof::{Proof, Prover};
use super::raw::{Answer, Asking, basic};
use crate::on_every_store;
use crate::world::{JOB_SECRET, Replica, World};
use jeton_domain::time::Millis;
use serde_json::{Value, json};

const TOKEN: &str = "/oauth2/token";
const JOB: [(&str, &str); 2] = [("grant_type", "client_credentials"), ("scope", "orders:read")];
const OPAQUE_JOB: [(&str, &str); 2] = [("grant_type", "client_credentials"), ("scope", "payments:read")];

on_every_store! {
    s073_a_proof_counts_once_on_all_replicas_and_after_a_restart,
}

/// A request of the token endpoint, with these headers `DPoP`.
fn asking(replica: &Replica, fields: &[(&str, &str)], proofs: &[&str]) -> Asking {
    proofs.iter().fold(Asking::post(replica.http, TOKEN).form(fields), |asking, proof| asking.header("DPoP", proof))
}

/// The billing job asks for tokens.
async fn job(replica: &Replica, fields: &[(&str, &str)], proofs: &[&str]) -> Answer {
    asking(replica, fields, proofs).header("Authorization", &basic("billing-job", JOB_SECRET)).send().await
}

impl Server {
    fn proof<'a>(&self, prover: &'a Prover) -> Proof<'a> {
        prover.proof(self.world.now())
    }

    #[track_caller]
    fn is_no_proof(answer: &Answer, why: &str) {
        assert_eq!(answer.refusal(), (400, "invalid_dpop_proof".into()), "{why}");
        assert_eq!(answer.json()["reason"], "INVALID_DPOP_PROOF");
    }

    /// That what is signed right and says this is no proof.
    async fn refuses(&self, proof: Proof<'_>, why: &str) {
        Self::is_no_proof(&job(&self.replica, &JOB, &[&proof.signed()]).await, why);
    }
}

#[tokio::test]
async fn s069_a_proof_is_in_exactly_one_header() {
    let server = Server::start().await;
    let prover = Prover::new();
    let [one, other] = [server.proof(&prover).signed(), server.proof(&prover).signed()];
    Server::is_no_proof(&job(&server.replica, &JOB, &[&one, &other]).await, "two headers");
    Server::is_no_proof(&job(&server.replica, &JOB, &[&one, &one]).await, "the same twice");
    Server::is_no_proof(&job(&server.replica, &JOB, &[&format!("{one}, {other}")]).await, "two in one header");
    Server::is_no_proof(&job(&server.replica, &JOB, &[""]).await, "an empty one");
    Server::is_no_proof(&job(&server.replica, &JOB, &[&format!("{one}ä")]).await, "not ASCII");
    assert_eq!(job(&server.replica, &JOB, &[&one]).await.tokens()["token_type"], "DPoP", "and nothing was consumed");
    assert_eq!(job(&server.replica, &JOB, &[]).await.tokens()["token_type"], "Bearer", "none is none");
}

#[tokio::test]
async fn s070_type_algorithm_and_public_key_are_as_they_must_be() {
    let server = Server::start().await;
    for prover in [Prover::new(), Prover::ed25519()] {
        let proof = || server.proof(&prover);
        for typ in [Value::Null, json!("JWT"), json!("at+jwt"), json!("dpop")] {
            server.refuses(proof().header("typ", typ.clone()), &typ.to_string()).await;
        }
        for alg in [Value::Null, json!("none"), json!("HS256"), json!("RS256"), json!("es256")] {
            server.refuses(proof().header("alg", alg.clone()), &alg.to_string()).await;
        }
        server.refuses(proof().header("crit", json!(["exp"])), "crit").await;
        server.refuses(proof().header("jwk", Value::Null), "no key").await;
        server.refuses(proof().header("jwk", Value::Null).header("kid", "known"), "a key by name").await;
        server.refuses(proof().header("jwk", json!({"kty": "oct", "k": "AAAA"})), "a symmetric key").await;
        server.refuses(proof().header("jwk", Prover::new().jwk()), "another key").await;
        for member in ["d", "k", "p"] {
            let mut jwk = prover.jwk();
            jwk[member] = json!("AAAA");
            server.refuses(proof().header("jwk", jwk), member).await;
        }
        let mut jwk = prover.jwk();
        jwk["x"] = json!("A".repeat(43));
        server.refuses(proof().header("jwk", jwk), "no point of the curve, or another").await;
        Server::is_no_proof(&job(&server.replica, &JOB, &[&proof().signed_by(&Prover::new())]).await, "signed by another");
        let signed = proof().signed();
        let (message, _) = signed.rsplit_once('.').unwrap();
        Server::is_no_proof(&job(&server.replica, &JOB, &[&format!("{message}.")]).await, "no signature");
        job(&server.replica, &JOB, &[&proof().signed()]).await.tokens();
    }
    let advertised = Asking::get(server.replica.http, "/.well-known/oauth-authorization-server").send().await.json();
    assert_eq!(advertised["dpop_signing_alg_values_supported"], json!(["ES256", "EdDSA", "Ed25519"]));
    let young = Prover::ed25519();
    job(&server.replica, &JOB, &[&server.proof(&young).header("alg", "Ed25519").signed()]).await.tokens();
}

#[tokio::test]
async fn s071_method_and_uri_are_those_of_the_request_and_the_issuers_never_the_hosts() {
    let server = Server::start().await;
    let prover = Prover::new();
    for htm in [Value::Null, json!("GET"), json!("post"), json!(["POST"])] {
        server.refuses(server.proof(&prover).claim("htm", htm.clone()), &htm.to_string()).await;
    }
    // The request is sent to this address, and names it as its host.
    let host = format!("http://{}{TOKEN}", server.replica.http);
    let others = [
        host.as_str(),
        "http://127.0.0.1:8080/oauth2/introspect",
        "http://127.0.0.1:8080/oauth2/token/",
        "https://127.0.0.1:8080/oauth2/token",
        "http://127.0.0.1/oauth2/token",
        "http://localhost:8080/oauth2/token",
        "http://evil@127.0.0.1:8080/oauth2/token",
        "/oauth2/token",
        "",
    ];
    for htu in others {
        server.refuses(server.proof(&prover).claim("htu", htu), htu).await;
    }
    server.refuses(server.proof(&prover).claim("htu", Value::Null), "no htu").await;
    for same in [
        "http://127.0.0.1:8080/oauth2/token?x=1#y",
        "HTTP://127.0.0.1:8080/oauth2/token",
        "http://127.0.0.1:8080/oauth2/./%74oken",
    ] {
        job(&server.replica, &JOB, &[&server.proof(&prover).claim("htu", same).signed()]).await.tokens();
    }
}

#[tokio::test]
async fn s072_a_proof_is_of_now_within_the_window_that_is_configured() {
    let server = Server::start_with(|settings| settings.tokens.dpop_window = Millis::from_secs(20)).await;
    let prover = Prover::new();
    let now = server.world.now();
    for (seconds, right) in [(-21, false), (-20, true), (0, true), (20, true), (21, false), (3_600, false)] {
        let proof = server.proof(&prover).claim("iat", now + seconds);
        let answer = job(&server.replica, &JOB, &[&proof.signed()]).await;
        assert_eq!(answer.status == 200, right, "{seconds}: {answer:?}");
    }
    for iat in [Value::Null, json!(now.to_string()), json!(now * 1_000), json!(-1)] {
        server.refuses(server.proof(&prover).claim("iat", iat.clone()), &iat.to_string()).await;
    }
    let made = server.proof(&prover).signed();
    server.world.pass(21);
    Server::is_no_proof(&job(&server.replica, &JOB, &[&made]).await, "kept too long");
}

async fn s073_a_proof_counts_once_on_all_replicas_and_after_a_restart(world: World) {
    let (prover, other) = (Prover::new(), Prover::new());
    let [one, two] = [world.start().await, world.start().await];
    let proof = prover.proof(world.now()).claim("jti", "once").signed();
    // Where it gives nothing it is not counted either.
    assert_eq!(job(&one, &[("grant_type", "client_credentials"), ("scope", "wrong")], &[&proof]).await.status, 400);
    job(&one, &JOB, &[&proof]).await.tokens();
    let again = prover.proof(world.now()).claim("jti", "once").signed();
    for replica in [&one, &two] {
        Server::is_no_proof(&job(replica, &JOB, &[&proof]).await, "the same");
        Server::is_no_proof(&job(replica, &OPAQUE_JOB, &[&again]).await, "signed anew, and for something else");
    }
    job(&two, &JOB, &[&other.proof(world.now()).claim("jti", "once").signed()]).await.tokens();
    drop((one, two));
    let three = world.start().await;
    Server::is_no_proof(&job(&three, &JOB, &[&proof]).await, "after a restart");
    // As long as it would be within the window.
    world.pass(60);
    Server::is_no_proof(&job(&three, &JOB, &[&proof]).await, "at its end");
    job(&three, &JOB, &[&prover.proof(world.now()).signed()]).await.tokens();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s073_one_of_many_at_once_counts() {
    let world = World::redis(&[]).await;
    let replicas = [world.start().await, world.start().await];
    let prover = Prover::new();
    let proof = prover.proof(world.now()).signed();
    let proofs = [proof.as_str()];
    let at_once = (0..16).map(|nth| job(&replicas[nth % 2], &JOB, &proofs));
    let answers = futures_util::future::join_all(at_once).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    let memory = world.redis.as_ref().unwrap().memory_usage("jeton:{*}:p:*").await;
    assert!(memory <= 240, "{memory} bytes for one proof");
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        Server::is_no_proof(refused, "one counted");
    }
}

/// Every replica of Redis had it before it was answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s073_a_proof_counts_once_whichever_server_of_redis_is_the_primary() {
    let mut world = World::sentinel().await;
    world.replicas = 2;
    let replica = world.start().await;
    let prover = Prover::new();
    let proof = prover.proof(world.now()).signed();
    job(&replica, &JOB, &[&proof]).await.tokens();
    let sentinel = world.sentinel.as_ref().unwrap();
    sentinel.fail_over().await;
    sentinel.until("the store works again", async |_| job(&replica, &JOB, &[]).await.status == 200).await;
    let primary = sentinel.primary().await;
    sentinel.until("its replicas are in step", async |all| all.replicas_of(primary).await == 2).await;
    Server::is_no_proof(&job(&replica, &JOB, &[&proof]).await, "after a failover");
    job(&replica, &JOB, &[&prover.proof(world.now()).signed()]).await.tokens();
}

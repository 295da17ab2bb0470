//! Client assertions (RFC 7523 section 2.2): `private_key_jwt` at every endpoint where clients authenticate.

mod by_uri;

use super::Server;
use super::proof::{Proof, Prover};
use super::raw::{Answer, Asking, basic};
use crate::faulty::Faulty;
use crate::on_every_store;
use crate::world::{ISSUER, JOB_SECRET, Replica, World};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton::config::Settings;
use jeton_domain::assertion::CLIENT_ASSERTION_TYPE;
use jeton_domain::client::{ClientKind, GrantType};
use jeton_domain::jwk::{KeySet, KeySource};
use jeton_domain::time::Millis;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const TOKEN: &str = "/oauth2/token";
const JOB: [(&str, &str); 2] = [("grant_type", "client_credentials"), ("scope", "orders:read")];

on_every_store! {
    s092_an_assertion_counts_once_on_all_replicas_and_after_a_restart,
}

/// Gives a client keys beside its secret.
pub fn give_keys(settings: &mut Settings, client: &str, keys: &[Value]) {
    give_source(settings, client, KeySource::Inline(set(keys)));
}

fn give_source(settings: &mut Settings, client: &str, source: KeySource) {
    let client = settings.clients.iter_mut().find(|known| known.id.as_str() == client).unwrap();
    let ClientKind::Confidential { keys, .. } = &mut client.kind else { panic!("a public client has no keys") };
    *keys = Some(source);
}

/// A set of keys that are all used.
pub fn set(keys: &[Value]) -> KeySet {
    let (set, unfit) = KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
    assert_eq!(unfit, []);
    set
}

/// A form beside which an assertion of a client goes.
fn asking(replica: &Replica, path: &str, fields: &[(&str, &str)], assertion: &str) -> Asking {
    let proof = [("client_assertion_type", CLIENT_ASSERTION_TYPE), ("client_assertion", assertion)];
    Asking::post(replica.http, path).form(&[fields, &proof].concat())
}

async fn job(replica: &Replica, assertion: &str) -> Answer {
    asking(replica, TOKEN, &JOB, assertion).send().await
}

impl Server {
    /// The billing job has this key.
    async fn with_key(prover: &Prover) -> Self {
        Self::start_with(|settings| give_keys(settings, "billing-job", &[prover.jwk()])).await
    }

    /// An assertion of the billing job.
    fn assertion<'a>(&self, prover: &'a Prover) -> Proof<'a> {
        prover.assertion("billing-job", "billing-job", self.world.now())
    }

    #[track_caller]
    fn is_nobody(answer: &Answer, why: &str) {
        assert_eq!(answer.refusal(), (401, "invalid_client".into()), "{why}");
        assert_eq!(answer.json()["error_description"], "client authentication failed", "one text whatever was wrong");
    }

    async fn refuses_assertion(&self, assertion: &str, why: &str) {
        Self::is_nobody(&job(&self.replica, assertion).await, why);
    }
}

#[tokio::test]
async fn s092_a_client_with_a_key_of_any_type_authenticates_by_an_assertion() {
    for prover in [Prover::new(), Prover::ed25519(), Prover::rs256(), Prover::ps256()] {
        let keys = [prover.named("one")];
        let server = Server::start_with(|settings| give_keys(settings, "billing-job", &keys)).await;
        let made = || server.assertion(&prover);
        job(&server.replica, &made().signed()).await.tokens();
        for typ in ["JWT", "client-authentication+jwt"] {
            job(&server.replica, &made().header("typ", typ).header("kid", "one").signed()).await.tokens();
        }
        let other = if matches!(prover, Prover::Rs256(_)) { "PS256" } else { "RS256" };
        server.refuses_assertion(&made().header("alg", other).signed(), "another algorithm than the key's").await;
        // Its secret is good, too, while the one replaces the other.
        server.job(TOKEN, &JOB).await.tokens();
    }
    let advertised = Asking::get(Server::start().await.replica.http, "/.well-known/openid-configuration").send().await.json();
    for endpoint in ["token", "introspection", "revocation"] {
        let methods = advertised[format!("{endpoint}_endpoint_auth_methods_supported")].as_array().unwrap();
        assert!(methods.contains(&json!("private_key_jwt")), "{endpoint}");
        let algorithms = &advertised[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")];
        assert_eq!(*algorithms, json!(["ES256", "EdDSA", "Ed25519", "PS256", "RS256"]), "{endpoint}");
    }
}

#[tokio::test]
async fn s092_assertions_are_taken_at_every_endpoint_where_clients_authenticate() {
    let prover = Prover::new();
    let server = Server::start_with(|settings| {
        give_keys(settings, "billing-job", &[prover.jwk()]);
        settings.login.verification_uri = Some("https://login.example.com/device".into());
        let job = settings.clients.iter_mut().find(|client| client.id.as_str() == "billing-job").unwrap();
        job.grant_types.push(GrantType::DeviceCode);
    })
    .await;
    let made = || server.assertion(&prover).signed();
    let tokens = job(&server.replica, &made()).await.tokens();
    let token = [("token", tokens["access_token"].as_str().unwrap())];
    let introspected = async || asking(&server.replica, "/oauth2/introspect", &token, &made()).send().await.json();
    assert_eq!(introspected().await["active"], true);
    assert_eq!(asking(&server.replica, "/oauth2/revoke", &token, &made()).send().await.status, 200);
    assert_eq!(introspected().await, json!({"active": false}));
    let device = asking(&server.replica, "/oauth2/device_authorization", &[("scope", "orders:read")], &made()).send().await;
    let device_code = device.json()["device_code"].as_str().unwrap().to_owned();
    let poll = [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", &device_code)];
    let polled = asking(&server.replica, TOKEN, &poll, &made()).send().await;
    assert_eq!(polled.refusal(), (400, "authorization_pending".into()));
    // What is wrong with who asks is found at each.
    for (path, fields) in [
        ("/oauth2/introspect", token.as_slice()),
        ("/oauth2/revoke", &token),
        ("/oauth2/device_authorization", &[("scope", "orders:read")]),
        (TOKEN, &poll),
    ] {
        let wrong = server.assertion(&prover).signed_by(&Prover::new());
        Server::is_nobody(&asking(&server.replica, path, fields, &wrong).send().await, path);
    }
}

#[tokio::test]
async fn s092_an_assertion_is_for_the_issuer_alone() {
    let prover = Prover::new();
    let server = Server::with_key(&prover).await;
    for aud in [
        json!([]),
        json!([ISSUER, "https://other.example.com"]),
        json!(format!("{ISSUER}/oauth2/token")),
        json!(format!("{ISSUER}/")),
        json!(format!("http://{}", server.replica.http)),
        json!("billing-job"),
        Value::Null,
    ] {
        server.refuses_assertion(&server.assertion(&prover).claim("aud", aud.clone()).signed(), &aud.to_string()).await;
    }
    job(&server.replica, &server.assertion(&prover).signed()).await.tokens();
    job(&server.replica, &server.assertion(&prover).claim("aud", json!([ISSUER])).signed()).await.tokens();
}

#[tokio::test]
async fn s092_an_assertion_is_short_and_of_now() {
    let prover = Prover::new();
    let server = Server::start_with(|settings| {
        give_keys(settings, "billing-job", &[prover.jwk()]);
        settings.tokens.client_assertion_lifetime = Millis::from_secs(120);
    })
    .await;
    let now = server.world.now();
    for (exp, right) in [(-1, false), (0, false), (1, true), (120, true), (121, false), (3_600, false), (86_400 * 365, false)] {
        let answer = job(&server.replica, &server.assertion(&prover).claim("exp", now + exp).signed()).await;
        assert_eq!(answer.status == 200, right, "{exp}: {answer:?}");
    }
    for claim in ["nbf", "iat"] {
        let of = |at: i64| server.assertion(&prover).claim(claim, now + at).claim("exp", now + 100).signed();
        job(&server.replica, &of(60)).await.tokens();
        server.refuses_assertion(&of(61), claim).await;
    }
    for (claim, value) in [
        ("exp", Value::Null),
        ("exp", json!((now + 60).to_string())),
        ("exp", json!(i128::from(now + 60) as f64 + 0.5)),
        ("iat", json!("now")),
        ("nbf", json!(-1)),
        ("jti", Value::Null),
        ("jti", json!("")),
        ("jti", json!(1)),
    ] {
        let why = format!("{claim} {value}");
        server.refuses_assertion(&server.assertion(&prover).claim(claim, value).signed(), &why).await;
    }
    let kept = server.assertion(&prover).signed();
    server.world.pass(60);
    server.refuses_assertion(&kept, "kept until it expired").await;
}

async fn s092_an_assertion_counts_once_on_all_replicas_and_after_a_restart(mut world: World) {
    let (prover, other) = (Prover::new(), Prover::new());
    give_keys(&mut world.settings, "billing-job", &[prover.jwk()]);
    give_keys(&mut world.settings, "web-app", &[other.jwk()]);
    let [one, two] = [world.start().await, world.start().await];
    let made = |prover: &Prover, client: &str| prover.assertion(client, client, world.now()).claim("jti", "once").signed();
    let first = made(&prover, "billing-job");
    job(&one, &first).await.tokens();
    let again = made(&prover, "billing-job");
    for replica in [&one, &two] {
        Server::is_nobody(&job(replica, &first).await, "the same");
        Server::is_nobody(&job(replica, &again).await, "signed anew");
        let elsewhere = asking(replica, "/oauth2/introspect", &[("token", "x")], &first).send().await;
        Server::is_nobody(&elsewhere, "at another endpoint");
    }
    // Another client's of that name is another.
    let others = asking(&two, "/oauth2/introspect", &[("token", "x")], &made(&other, "web-app")).send().await;
    assert_eq!(others.json(), json!({"active": false}));
    drop((one, two));
    let three = world.start().await;
    Server::is_nobody(&job(&three, &first).await, "after a restart");
    world.pass(59);
    Server::is_nobody(&job(&three, &first).await, "in its last second");
    job(&three, &prover.assertion("billing-job", "billing-job", world.now()).signed()).await.tokens();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s092_one_of_many_at_once_counts() {
    let mut world = World::redis(&[]).await;
    let prover = Prover::new();
    give_keys(&mut world.settings, "billing-job", &[prover.jwk()]);
    let replicas = [world.start().await, world.start().await];
    let assertion = prover.assertion("billing-job", "billing-job", world.now()).signed();
    let answers = futures_util::future::join_all((0..16).map(|nth| job(&replicas[nth % 2], &assertion))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        Server::is_nobody(refused, "one counted");
    }
}

#[tokio::test]
async fn s092_what_is_not_known_to_be_counted_is_not_accepted() {
    let mut front = None;
    let mut world = World::memory_through(|store| {
        let faulty = Arc::new(Faulty::over(store));
        front = Some(Arc::clone(&faulty));
        faulty
    });
    let faulty = front.unwrap();
    let prover = Prover::new();
    give_keys(&mut world.settings, "billing-job", &[prover.jwk()]);
    let replica = world.start().await;
    let assertion = || prover.assertion("billing-job", "billing-job", world.now()).signed();
    let first = assertion();
    faulty.swaps_nothing.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(job(&replica, &first).await.refusal(), (503, "temporarily_unavailable".into()));
    }
    faulty.swaps_nothing.store(false, Ordering::SeqCst);
    job(&replica, &first).await.tokens();
    // It was counted, and that reply was lost: found out by reading, and counted all the same.
    faulty.loses.store(true, Ordering::SeqCst);
    let second = assertion();
    job(&replica, &second).await.tokens();
    faulty.loses.store(false, Ordering::SeqCst);
    for counted in [&first, &second] {
        Server::is_nobody(&job(&replica, counted).await, "counted");
    }
}

#[tokio::test]
async fn s092_only_a_key_of_the_client_proves_it() {
    let [first, second, foreign] = [Prover::new(), Prover::new(), Prover::new()];
    let server = Server::start_with(|settings| {
        give_keys(settings, "billing-job", &[first.named("a"), second.named("b")]);
        give_keys(settings, "web-app", &[foreign.named("f")]);
    })
    .await;
    let made = |prover| server.assertion(prover);
    job(&server.replica, &made(&second).header("kid", "b").signed()).await.tokens();
    for (kid, why) in [
        (Value::Null, "which of two is left open"),
        (json!("a"), "the other of its keys"),
        (json!("f"), "a key of another client"),
        (json!("../b"), "a path"),
        (json!("b\0"), "a NUL"),
        (json!(["b"]), "a list"),
        (json!("b".repeat(10_000)), "10 KB"),
    ] {
        server.refuses_assertion(&made(&second).header("kid", kid).signed(), why).await;
    }
    // What a header says of keys is not looked at.
    for (member, value) in [
        ("jwk", foreign.jwk()),
        ("jku", json!("https://evil.example.com/jwks.json")),
        ("x5u", json!("https://evil.example.com/x5u")),
        ("x5c", json!(["MIIB"])),
    ] {
        let made = |kid: &str| made(&foreign).header(member, value.clone()).header("kid", kid).signed();
        server.refuses_assertion(&made("f"), member).await;
        server.refuses_assertion(&made("b"), member).await;
    }
    server.refuses_assertion(&made(&second).header("kid", "b").header("crit", json!(["exp"])).signed(), "crit").await;
    for typ in ["at+jwt", "dpop+jwt", "logout+jwt", "authorization-grant+jwt"] {
        server.refuses_assertion(&made(&second).header("kid", "b").header("typ", typ).signed(), typ).await;
    }
}

#[tokio::test]
async fn s092_a_public_key_is_never_a_secret_and_an_unsigned_assertion_none() {
    let prover = Prover::rs256();
    let server = Server::with_key(&prover).await;
    let signed = server.assertion(&prover).signed();
    let claims = signed.split('.').nth(1).unwrap();
    let Prover::Rs256(pair) = &prover else { unreachable!() };
    let modulus = pair.public_key().modulus().big_endian_without_leading_zero().to_vec();
    let der = pair.public_key().as_ref().to_vec();
    for secret in [prover.jwk().to_string().into_bytes(), modulus, der, Vec::new()] {
        for alg in ["HS256", "RS256"] {
            let message = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(json!({"alg": alg}).to_string()));
            let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
            server.refuses_assertion(&format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac)), alg).await;
        }
    }
    for alg in ["none", "NONE", "nOnE"] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg}).to_string());
        server.refuses_assertion(&format!("{header}.{claims}."), alg).await;
    }
    let (message, _) = signed.rsplit_once('.').unwrap();
    server.refuses_assertion(&format!("{message}."), "no signature").await;
    server.refuses_assertion(&format!("{message}.AAAA"), "a short one").await;
    job(&server.replica, &signed).await.tokens();
}

#[tokio::test]
async fn s092_an_assertion_speaks_for_the_client_that_made_it() {
    let prover = Prover::new();
    let server = Server::with_key(&prover).await;
    let made = |issuer: &str, subject: &str| prover.assertion(issuer, subject, server.world.now()).signed();
    for (issuer, subject) in [("billing-job", "web-app"), ("web-app", "billing-job"), ("web-app", "web-app"), ("x", "x")] {
        server.refuses_assertion(&made(issuer, subject), subject).await;
    }
    let named = async |id: &str| {
        let fields = [JOB.as_slice(), &[("client_id", id)]].concat();
        asking(&server.replica, TOKEN, &fields, &made("billing-job", "billing-job")).send().await
    };
    named("billing-job").await.tokens();
    for other in ["web-app", "mobile-app", "nobody"] {
        Server::is_nobody(&named(other).await, other);
    }
    Server::is_nobody(&job(&server.replica, &made("mobile-app", "mobile-app")).await, "a public client");
}

#[tokio::test]
async fn s007_an_assertion_beside_another_way_is_refused() {
    let prover = Prover::new();
    let server = Server::with_key(&prover).await;
    let asked = |more: &[(&str, &str)]| {
        let fields = [JOB.as_slice(), more].concat();
        asking(&server.replica, TOKEN, &fields, &server.assertion(&prover).signed())
    };
    let refused = async |asking: Asking| assert_eq!(asking.send().await.refusal(), (400, "invalid_request".into()));
    refused(asked(&[("client_secret", JOB_SECRET)])).await;
    refused(asked(&[("client_id", "billing-job"), ("client_secret", JOB_SECRET)])).await;
    refused(asked(&[]).header("Authorization", &basic("billing-job", JOB_SECRET))).await;
    refused(asked(&[("client_assertion", "x")])).await;
    refused(asked(&[("client_assertion_type", CLIENT_ASSERTION_TYPE)])).await;
    let alone = [("client_assertion_type", CLIENT_ASSERTION_TYPE), ("client_id", "billing-job")];
    refused(server.post(TOKEN, &[JOB.as_slice(), &alone].concat())).await;
    let assertion = server.assertion(&prover).signed();
    refused(server.post(TOKEN, &[JOB.as_slice(), &[("client_assertion", assertion.as_str())]].concat())).await;
    let saml = ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer");
    let asked = server
        .post(TOKEN, &[JOB.as_slice(), &[saml, ("client_assertion", &assertion)], &[("client_id", "billing-job")]].concat());
    Server::is_nobody(&asked.send().await, "another type");
    job(&server.replica, &assertion).await.tokens();
}

#[tokio::test]
async fn s092_an_assertion_of_another_form_is_refused() {
    let prover = Prover::ed25519();
    let server = Server::with_key(&prover).await;
    let Prover::Ed25519(pair) = &prover else { unreachable!() };
    let signed = |header: &str, claims: &str| {
        let message = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes())))
    };
    let claims = |jti: &str| {
        let now = server.world.now();
        json!({"iss": "billing-job", "sub": "billing-job", "aud": ISSUER, "jti": jti, "exp": now + 60}).to_string()
    };
    let header = r#"{"alg":"EdDSA"}"#;
    job(&server.replica, &signed(header, &claims("right"))).await.tokens();
    let padded = format!("{}{}", claims("long"), " ".repeat(8_192));
    for (header, claims) in [
        (header, claims("twice").replacen('{', r#"{"aud":"https://other.example.com","#, 1)),
        (header, claims("twice").replacen('}', r#","iss":"web-app"}"#, 1)),
        (r#"{"alg":"EdDSA","alg":"none"}"#, claims("header")),
        (header, padded),
        (header, format!("[{}]", claims("list"))),
        ("", claims("no header")),
    ] {
        Server::is_nobody(&named(&server, &signed(header, &claims)).await, &claims);
    }
    let right = signed(header, &claims("parts"));
    for malformed in [format!("{right}."), format!("{right}="), format!("{right}.AAAA"), right.replacen('.', "", 1), "..".into()]
    {
        Server::is_nobody(&named(&server, &malformed).await, &malformed);
    }
    let huge = "a".repeat(70_000);
    assert_eq!(job(&server.replica, &huge).await.refusal(), (413, "invalid_request".into()));
    job(&server.replica, &right).await.tokens();
}

/// Whose the assertion is, is said beside it.
async fn named(server: &Server, assertion: &str) -> Answer {
    let fields = [JOB.as_slice(), &[("client_id", "billing-job")]].concat();
    asking(&server.replica, TOKEN, &fields, assertion).send().await
}

#[tokio::test]
async fn s067_weak_keys_and_signatures_out_of_range_prove_nothing() {
    let server = Server::start().await;
    let shown = async |proof: &str| {
        let asking = server.post(TOKEN, &JOB).header("DPoP", proof).header("Authorization", &basic("billing-job", JOB_SECRET));
        asking.send().await
    };
    // For a key that is a point of low order the signature of nothing is that of everything.
    let prover = Prover::ed25519();
    let mut identity = [0; 64];
    identity[0] = 1;
    let (mut jwk, forged) = (prover.jwk(), URL_SAFE_NO_PAD.encode(identity));
    jwk["x"] = URL_SAFE_NO_PAD.encode(&identity[..32]).into();
    let proof = prover.proof(server.world.now()).header("jwk", jwk).signed();
    let (message, _) = proof.rsplit_once('.').unwrap();
    let answer = shown(&format!("{message}.{forged}")).await;
    assert_eq!(answer.refusal(), (400, "invalid_dpop_proof".into()));
    // r and s are neither 0 nor the order of the group or more.
    let prover = Prover::new();
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
        0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let one = {
        let mut one = [0_u8; 32];
        one[31] = 1;
        one
    };
    let signed = prover.proof(server.world.now()).signed();
    let (message, signature) = signed.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let (r, s) = (&signature[..32], &signature[32..]);
    for (r, s) in [
        (&[0; 32][..], &[0; 32][..]),
        (r, &[0; 32]),
        (&[0; 32], s),
        (&order, s),
        (r, &order),
        (&order, &order),
        (&one, &one),
        (&[0xff; 32], &[0xff; 32]),
    ] {
        let proof = format!("{message}.{}", URL_SAFE_NO_PAD.encode([r, s].concat()));
        assert_eq!(shown(&proof).await.refusal(), (400, "invalid_dpop_proof".into()), "{r:x?} {s:x?}");
    }
    shown(&signed).await.tokens();
    // Of a point that is not on the curve.
    let mut jwk = prover.jwk();
    jwk["y"] = jwk["x"].clone();
    let proof = prover.proof(server.world.now()).header("jwk", jwk).signed();
    assert_eq!(shown(&proof).await.refusal(), (400, "invalid_dpop_proof".into()));
}

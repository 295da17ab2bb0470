//! Callers over real TLS: by what each is known, what each may do, and what becomes of everybody else.

use crate::authority::{Authority, Identity};
use crate::receiver::{Receiver, Reply};
use crate::server::{self, framed, open, refusal};
use crate::wire::UNARY;
use crate::world::{ORDERS, WEB_SECRET, alice, fully_fresh, mobile, secret, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton::api::authorization_code_service_client::AuthorizationCodeServiceClient;
use jeton::api::device_service_client::DeviceServiceClient;
use jeton::api::grant_service_client::GrantServiceClient;
use jeton::api::key_service_client::KeyServiceClient;
use jeton::api::revocation_service_client::RevocationServiceClient;
use jeton::api::revoke_request::Target;
use jeton::api::token_service_client::TokenServiceClient;
use jeton::api::watch_request::Message as Say;
use jeton::api::watch_response::Message as Told;
use jeton::api::{self, Arrival, ClientAuthentication};
use jeton::app::{App, configuration, serve};
use jeton::clock::Clock;
use jeton::config::{self, Overrides, Settings};
use jeton::transport::connections::Listener;
use jeton::transport::grpc;
use jeton::transport::grpc::gateways::envoy::service::auth::v3::attribute_context::{HttpRequest, Request as Asked};
use jeton::transport::grpc::gateways::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use jeton::transport::grpc::gateways::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use jeton_client::{CallerToken, Client};
use jeton_domain::caller::{Caller, Callers, Names, Reach, hash_of_key};
use jeton_domain::time::Millis;
use jsonwebtoken::{EncodingKey, Header, encode};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, SanType, date_time_ymd};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity as Shown};
use tonic::{Code, Request, Status};

const KEY: &str = "jck_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
const AUDIENCE: &str = "jeton";
const CLUSTER: &str = "https://kubernetes.default.svc";
const BILLING: &str = "spiffe://example.com/billing";

/// Issues service accounts' tokens, with a key of this name.
struct Cluster(KeyPair, &'static str);

/// What it is about, the URIs and hosts of the certificate, and what comes of it.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], (Code, String));

impl Cluster {
    fn new(kid: &'static str) -> Self {
        Self(KeyPair::generate().unwrap(), kid)
    }

    fn jwk(&self) -> Value {
        let point = self.0.der_bytes();
        let [x, y] = [&point[1..33], &point[33..]].map(|part| URL_SAFE_NO_PAD.encode(part));
        json!({"kty": "EC", "crv": "P-256", "kid": self.1, "use": "sig", "x": x, "y": y})
    }

    fn token(&self, now: u64, change: impl FnOnce(&mut Value)) -> String {
        let mut claims =
            json!({"iss": CLUSTER, "sub": "system:serviceaccount:shop:web", "aud": [AUDIENCE], "iat": now, "exp": now + 3_600});
        change(&mut claims);
        let header = Header { kid: Some(self.1.into()), typ: None, ..Header::new(jsonwebtoken::Algorithm::ES256) };
        encode(&header, &claims, &EncodingKey::from_ec_der(&self.0.serialize_der())).unwrap()
    }
}

fn jwks(clusters: &[&Cluster]) -> String {
    json!({"keys": clusters.iter().map(|cluster| cluster.jwk()).collect::<Vec<_>>()}).to_string()
}

/// The service behind TLS, with the callers of its configuration.
struct House {
    servers: Authority,
    callers: Authority,
    cluster: Cluster,
    clock: Clock,
    settings: Settings,
    app: App,
    address: SocketAddr,
    _home: tempfile::TempDir,
    _ended: DropGuard,
    _serving: JoinSet<()>,
}

/// What a caller shows with each call.
#[derive(Clone)]
struct Bearers(Vec<String>);

impl Interceptor for Bearers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for text in &self.0 {
            request.metadata_mut().append("authorization", text.parse().unwrap());
        }
        Ok(request)
    }
}

type Connection = InterceptedService<Channel, Bearers>;

fn settings(home: &std::path::Path, keys: &str) -> Settings {
    let own = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/jeton.toml")).unwrap();
    let at = home.display();
    let text = format!(
        "{own}
[tls]
certificate_file = '{at}/server.pem'
key_file = '{at}/server.key'
caller_ca_file = '{at}/callers.pem'
[caller_tokens]
issuer = '{CLUSTER}'
audience = '{AUDIENCE}'
{keys}
[callers.billing]
spiffe_ids = ['{BILLING}']
dns_names = ['billing.internal']
rpcs = ['introspect', 'read_keys', 'authorize']
resources = ['{ORDERS}']
[callers.shop]
service_accounts = ['shop/web']
rpcs = 'issue refresh exchange revoke introspect read_grants explain'
clients = ['web-app']
[callers.operator]
key_hashes = ['{}']
rpcs = '*'
clients = '*'
resources = '*'
may_assert_certificates = true
[callers.nobody]
spiffe_ids = ['spiffe://example.com/nobody']
[callers.gateway]
spiffe_ids = ['spiffe://example.com/gateway']
rpcs = 'watch'
may_report_arrivals = true
[callers.watcher]
spiffe_ids = ['spiffe://example.com/watcher']
rpcs = 'watch'
",
        config::written_hash(&hash_of_key(KEY)),
    );
    let file = home.join("jeton.toml");
    std::fs::write(&file, text).unwrap();
    let overrides = Overrides { store: Some("memory:".into()), ..Overrides::default() };
    config::load(Some(&file), &BTreeMap::<String, String>::new(), &overrides).unwrap().settings
}

impl House {
    async fn new() -> Self {
        Self::with(|cluster| format!("jwks = '{}'", jwks(&[cluster]))).await
    }

    /// Whose keys are where the setting says.
    async fn with(keys: impl FnOnce(&Cluster) -> String) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (servers, callers, cluster) = (Authority::new(), Authority::new(), Cluster::new("k"));
        servers.server().write(home.path(), "server");
        std::fs::write(home.path().join("callers.pem"), callers.pem()).unwrap();
        let settings = settings(home.path(), &keys(&cluster));
        let clock = Clock::fixed(Clock::system().now());
        let app = App::start(&settings, clock.clone()).await.unwrap();
        let listener = grpc::listener::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let [tls, _, _] = serve::tls(&settings, &clock).unwrap();
        let (ready, told) = watch::channel(true);
        let shutdown = CancellationToken::new();
        let serving = grpc::serve(Listener::new(listener, tls), app.service.clone(), open(), told, shutdown.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            serving.await.unwrap();
            drop(ready);
        });
        let _ended = shutdown.drop_guard();
        Self { servers, callers, cluster, clock, settings, app, address, _home: home, _ended, _serving: tasks }
    }

    async fn connect(&self, shows: Option<&Identity>, bearers: &[&str]) -> Result<Connection, tonic::transport::Error> {
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.servers.pem()));
        if let Some(shown) = shows {
            tls = tls.identity(Shown::from_pem(shown.pem(), shown.key()));
        }
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).unwrap().tls_config(tls).unwrap();
        let bearers = Bearers(bearers.iter().map(|text| (*text).to_owned()).collect());
        Ok(InterceptedService::new(endpoint.connect().await?, bearers))
    }

    /// A certificate with these names.
    fn named(&self, uris: &[&str], hosts: &[&str]) -> Identity {
        self.callers.client(|params| names(params, uris, hosts))
    }

    fn now(&self) -> u64 {
        self.clock.now().secs()
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        format!("Bearer {}", self.cluster.token(self.now(), change))
    }

    /// How an introspection for orders ends.
    async fn introspects(&self, shows: Option<&Identity>, bearers: &[&str]) -> (Code, String) {
        let Ok(connection) = self.connect(shows, bearers).await else { return (Code::Unavailable, "not connected".into()) };
        let asked = api::IntrospectRequest { token: "jat_x".into(), resource: ORDERS.into(), freshness: fully_fresh() };
        ended(TokenServiceClient::new(connection).introspect(asked).await)
    }
}

fn names(params: &mut CertificateParams, uris: &[&str], hosts: &[&str]) {
    let text = |text: &&str| Ia5String::try_from(*text).unwrap();
    params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI(text(uri))));
    params.subject_alt_names.extend(hosts.iter().map(|host| SanType::DnsName(text(host))));
}

/// The code and reason of a call.
fn ended<T>(answer: Result<T, Status>) -> (Code, String) {
    match answer {
        Ok(_) => (Code::Ok, String::new()),
        // A handshake of TLS 1.3 may end before its certificate was judged: then the first call is not answered.
        Err(status) if tonic_types::StatusExt::get_error_details(&status).error_info().is_none() => {
            (Code::Unavailable, "not connected".into())
        }
        Err(status) => {
            let told = refusal(&status);
            if told.reason == "CALLER_UNAUTHENTICATED" {
                assert_eq!(status.message(), "caller authentication failed", "a stranger is told nothing");
            }
            (told.code, told.reason)
        }
    }
}

fn ok() -> (Code, String) {
    (Code::Ok, String::new())
}

fn stranger() -> (Code, String) {
    (Code::Unauthenticated, "CALLER_UNAUTHENTICATED".into())
}

fn refused() -> (Code, String) {
    (Code::PermissionDenied, "CALLER_REFUSED".into())
}

fn unconnected() -> (Code, String) {
    (Code::Unavailable, "not connected".into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_known_by_a_certificate_and_who_is_not() {
    let house = House::new().await;
    let other = "spiffe://example.com/other";
    let cases: [Case; 11] = [
        ("its SPIFFE id", &[BILLING], &[], ok()),
        ("its host", &[], &["Billing.internal"], ok()),
        ("both", &[BILLING], &["billing.internal"], ok()),
        ("one that may nothing", &["spiffe://example.com/nobody"], &[], refused()),
        ("another trust domain", &["spiffe://example.org/billing"], &[], stranger()),
        ("another path", &["spiffe://example.com/billing/2"], &[], stranger()),
        ("another case", &["spiffe://example.com/Billing"], &[], stranger()),
        ("two URIs", &[BILLING, other], &[], stranger()),
        ("a wildcard beside it", &[BILLING], &["*.internal"], stranger()),
        ("a NUL in a host", &[], &["billing.internal\0.evil.example"], stranger()),
        ("no name at all", &[], &[], stranger()),
    ];
    for (what, uris, hosts, expected) in cases {
        assert_eq!(house.introspects(Some(&house.named(uris, hosts)), &[]).await, expected, "{what}");
    }
    assert_eq!(house.introspects(None, &[]).await, stranger(), "nothing is shown");
    let expired = house.callers.client(|params| {
        names(params, &[BILLING], &[]);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    assert_eq!(house.introspects(Some(&expired), &[]).await, unconnected(), "expired");
    let of_others = house.servers.client(|params| names(params, &[BILLING], &[]));
    assert_eq!(house.introspects(Some(&of_others), &[]).await, unconnected(), "of another authority");
    let of_nobody = Identity::self_signed(|params| names(params, &[BILLING], &[]));
    assert_eq!(house.introspects(Some(&of_nobody), &[]).await, unconnected(), "of nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_known_by_a_key_or_a_service_account_and_who_is_not() {
    let house = House::new().await;
    let key = format!("Bearer {KEY}");
    assert_eq!(house.introspects(None, &[&key]).await, ok());
    assert_eq!(house.introspects(None, &[&key.replace("Bearer", "bearer")]).await, ok());
    let now = house.now();
    let known = house.token(|_| {});
    // Known, and may introspect for no resource.
    for again in ["first", "remembered"] {
        assert_eq!(house.introspects(None, &[&known]).await, refused(), "{again}");
    }
    assert_eq!(house.introspects(None, &[&house.token(|claims| claims["aud"] = json!(AUDIENCE))]).await, refused());
    let strangers = [
        ("a key that is nobody's", format!("{key}x")),
        ("another scheme", format!("Basic {KEY}")),
        ("no scheme", KEY.into()),
        ("nothing that is known", "Bearer hello".into()),
        ("another account", house.token(|claims| claims["sub"] = json!("system:serviceaccount:shop:other"))),
        ("another issuer", house.token(|claims| claims["iss"] = json!("https://other"))),
        ("another audience", house.token(|claims| claims["aud"] = json!(["other"]))),
        ("for the API server too", house.token(|claims| claims["aud"] = json!([AUDIENCE, CLUSTER]))),
        ("expired", house.token(|claims| claims["exp"] = json!(now - 1))),
        ("not valid yet", house.token(|claims| claims["nbf"] = json!(now + 3_600))),
        ("valid for too long", house.token(|claims| claims["exp"] = json!(now + 90_000))),
        ("for ever", house.token(|claims| _ = claims.as_object_mut().unwrap().remove("exp"))),
        ("of another key", format!("Bearer {}", Cluster::new("k").token(now, |_| {}))),
        ("its signature cut off", known.rsplit_once('.').unwrap().0.to_owned() + "."),
    ];
    for (what, shown) in &strangers {
        assert_eq!(house.introspects(None, &[shown]).await, stranger(), "{what}");
    }
    // Remembered is not longer than valid.
    let short = house.token(|claims| claims["exp"] = json!(now + 30));
    assert_eq!(house.introspects(None, &[&short]).await, refused());
    house.clock.advance(Millis::from_secs(31));
    assert_eq!(house.introspects(None, &[&short]).await, stranger(), "expired since");

    let billing = house.named(&[BILLING], &[]);
    let unnamed = house.named(&[], &[]);
    assert_eq!(house.introspects(Some(&unnamed), &[&key]).await, ok(), "the certificate says nothing, the key does");
    assert_eq!(house.introspects(Some(&billing), &[&key]).await, stranger(), "two callers at once");
    assert_eq!(house.introspects(Some(&billing), &[&format!("{key}x")]).await, stranger(), "a wrong key beside a certificate");
    assert_eq!(house.introspects(None, &[&key, &key]).await, stranger(), "twice");
}

/// What Envoy asks of a request without a token, on a route to `resource`.
fn asked_about(resource: &str) -> CheckRequest {
    let http =
        HttpRequest { method: "GET".into(), scheme: "https".into(), host: "shop".into(), path: "/".into(), ..Default::default() };
    let attributes = AttributeContext {
        request: Some(Asked { http: Some(http) }),
        context_extensions: [("resource".to_owned(), resource.to_owned())].into(),
        ..Default::default()
    };
    CheckRequest { attributes: Some(attributes) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_too_much_that_is_wrong_is_not_looked_at_and_locks_nobody_out() {
    let house = House::new().await;
    let shop = house.token(|_| {});
    let asks = async |bearer: &str| {
        let connection = house.connect(None, &[bearer]).await.unwrap();
        let asked = api::IntrospectRequest { token: "jat_x".into(), resource: String::new(), freshness: fully_fresh() };
        ended(TokenServiceClient::new(connection).introspect(asked).await)
    };
    let (too_many, key) = ((Code::ResourceExhausted, "TOO_MANY_FAILURES".to_owned()), format!("Bearer {KEY}"));
    assert_eq!(asks(&shop).await, refused(), "it is known, and may not introspect for all");
    let connection = house.connect(None, &["Bearer jck_wrong"]).await.unwrap();
    let wrong = async || ended(TokenServiceClient::new(connection.clone()).explain(api::ExplainRequest::default()).await);
    // `limits.failure_rate`, ten seconds' worth.
    for _ in 0..100 {
        assert_eq!(wrong().await, stranger());
    }
    assert_eq!(wrong().await, too_many);
    assert_eq!(asks(&house.token(|claims| claims["exp"] = json!(house.now() + 60))).await, too_many, "it would cost a signature");
    assert_eq!(asks(&key).await, ok(), "a right key costs nothing");
    assert_eq!(asks(&shop).await, refused(), "what was proved lately is known");
    house.clock.advance(Millis::from_secs(1));
    assert_eq!(asks(&house.token(|claims| claims["exp"] = json!(house.now() + 60))).await, refused());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_does_what_it_is_given_and_for_whom() {
    let house = House::new().await;
    let key = format!("Bearer {KEY}");
    let (shop, operator) = (house.token(|_| {}), key.as_str());
    let [shop, operator] = [house.connect(None, &[&shop]).await.unwrap(), house.connect(None, &[operator]).await.unwrap()];
    let billing = house.connect(Some(&house.named(&[BILLING], &[])), &[]).await.unwrap();
    let tokens = |of: &Connection| TokenServiceClient::new(of.clone());
    let scopes = "offline_access orders:read";

    // Clients.
    let mine = tokens(&shop).issue(alice("web-app", scopes)).await.unwrap().into_inner();
    assert_eq!(ended(tokens(&shop).issue(alice("mobile-app", scopes)).await), refused());
    assert_eq!(ended(tokens(&billing).issue(alice("web-app", scopes)).await), refused(), "no permission");
    let theirs = tokens(&operator).issue(alice("mobile-app", scopes)).await.unwrap().into_inner();
    assert_eq!(ended(tokens(&shop).refresh(web(&mine.refresh_token)).await), ok());
    assert_eq!(ended(tokens(&shop).refresh(mobile(&theirs.refresh_token)).await), refused());
    let code = |client| api::CreateAuthorizationCodeRequest { grant: Some(alice(client, scopes)), ..Default::default() };
    let mut codes = AuthorizationCodeServiceClient::new(shop.clone());
    assert_eq!(ended(codes.create_authorization_code(code("mobile-app")).await), refused());
    let redeem =
        api::ExchangeAuthorizationCodeRequest { code: "jac_x".into(), client_id: "mobile-app".into(), ..Default::default() };
    assert_eq!(ended(codes.exchange_authorization_code(redeem).await), refused());
    let mut devices = DeviceServiceClient::new(shop.clone());
    let start = api::StartDeviceAuthorizationRequest { client_id: "mobile-app".into(), ..Default::default() };
    assert_eq!(ended(devices.start_device_authorization(start).await), refused());
    let described = api::DescribeDeviceAuthorizationRequest { user_code: "BCDF-GHJK".into() };
    assert_eq!(ended(devices.describe_device_authorization(described).await), refused(), "whose it is is not said");
    let exchange =
        api::ExchangeRequest { client_id: "mobile-app".into(), subject_token: mine.access_token.clone(), ..Default::default() };
    assert_eq!(ended(tokens(&shop).exchange(exchange).await), refused());

    // Grants.
    let grants = |client: &str| api::ListGrantsRequest { sub: "alice".into(), client_id: client.into(), ..Default::default() };
    let mut reads = GrantServiceClient::new(shop.clone());
    assert_eq!(ended(reads.list_grants(grants("web-app")).await), ok());
    assert_eq!(ended(reads.list_grants(grants("mobile-app")).await), refused());
    assert_eq!(ended(reads.list_grants(grants("")).await), refused());
    assert_eq!(ended(reads.get_grant(api::GetGrantRequest { grant_id: mine.grant_id.clone() }).await), refused());

    // Revocations.
    let revoke = |target| api::RevokeRequest { target: Some(target), ..Default::default() };
    let consent = |client: &str| Target::Consent(api::ConsentTarget { sub: "alice".into(), client_id: client.into() });
    for target in [
        Target::GrantId(mine.grant_id.clone()),
        Target::Sub("alice".into()),
        Target::ClientId("mobile-app".into()),
        consent("mobile-app"),
        Target::Token(mine.refresh_token.clone()),
    ] {
        assert_eq!(ended(tokens(&shop).revoke(revoke(target.clone())).await), refused(), "{target:?}");
    }
    let of_client = |token: &str, client: &str| api::RevokeRequest {
        token_client_id: client.into(),
        client_authentication: secret(WEB_SECRET),
        ..revoke(Target::Token(token.into()))
    };
    assert_eq!(ended(tokens(&shop).revoke(of_client(&theirs.refresh_token, "mobile-app")).await), refused());
    assert_eq!(ended(tokens(&shop).revoke(of_client(&mine.refresh_token, "web-app")).await), ok());
    assert_eq!(ended(tokens(&shop).revoke(revoke(consent("web-app"))).await), ok());
    assert_eq!(ended(tokens(&operator).revoke(revoke(Target::Sub("alice".into()))).await), ok());

    // Resources.
    let introspect =
        |resource: &str| api::IntrospectRequest { token: "jat_x".into(), resource: resource.into(), freshness: None };
    for (resource, expected) in [(ORDERS, ok()), ("https://payments.internal", refused()), ("", refused())] {
        assert_eq!(ended(tokens(&billing).introspect(introspect(resource)).await), expected, "{resource}");
        let batch = api::BatchIntrospectRequest { tokens: vec!["jat_x".into()], resource: resource.into(), freshness: None };
        assert_eq!(ended(tokens(&billing).batch_introspect(batch).await), expected, "{resource}");
        assert_eq!(ended(tokens(&operator).introspect(introspect(resource)).await), ok(), "{resource}");
    }
    // A gateway is told about a request that shows nothing, where it may ask for the resource of the route.
    let mut gateway = AuthorizationClient::new(billing.clone());
    for (resource, expected) in [(ORDERS, ok()), ("https://payments.internal", refused())] {
        assert_eq!(ended(gateway.check(asked_about(resource)).await), expected, "{resource}");
    }
    assert_eq!(ended(AuthorizationClient::new(shop.clone()).check(asked_about(ORDERS)).await), refused(), "no permission");
    let explain = || api::ExplainRequest { token: "jat_x".into(), resource: String::new() };
    assert_eq!(ended(tokens(&billing).explain(explain()).await), refused());
    assert_eq!(ended(tokens(&shop).explain(explain()).await), ok());

    // Certificates of clients.
    let thumbprint = house.named(&[], &[]).thumbprint();
    let shown = || Some(ClientAuthentication { certificate_thumbprint: thumbprint.clone(), ..secret(WEB_SECRET).unwrap() });
    let asserted = api::RefreshRequest { client_authentication: shown(), ..web(&mine.refresh_token) };
    assert_eq!(ended(tokens(&shop).refresh(asserted.clone()).await), refused());
    assert_ne!(ended(tokens(&operator).refresh(asserted).await), refused());

    // On a connection that is open, too.
    let mut keys = KeyServiceClient::new(billing.clone());
    assert_eq!(ended(keys.get_jwks(api::GetJwksRequest {}).await), ok());
    let mut others = Callers::default();
    others.add(Caller::new("other"), Names { dns_names: vec!["other.internal".into()], ..Names::default() }).unwrap();
    let others = configuration(&Settings { callers: others, ..house.settings.clone() });
    house.app.service.reconfigure(others).await.unwrap();
    assert_eq!(ended(keys.get_jwks(api::GetJwksRequest {}).await), stranger());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_service_accounts_are_fetched_kept_and_exchanged() {
    let keys = Receiver::start().await;
    let published = |clusters: &[&Cluster]| Reply::Answer(200, Vec::new(), jwks(clusters).into());
    let house = House::with(|cluster| {
        keys.answers(published(&[cluster]));
        format!("jwks_uri = 'http://{}/openid/v1/jwks'", keys.address)
    })
    .await;
    let next = Cluster::new("next");
    // Another token each time, so that none is remembered; who is known may introspect for nothing.
    let introspects = async |cluster: &Cluster, id: u32| {
        let token = cluster.token(house.now(), |claims| claims["jti"] = json!(id.to_string()));
        house.introspects(None, &[&format!("Bearer {token}")]).await
    };
    for id in 0..3 {
        assert_eq!(introspects(&house.cluster, id).await, refused());
    }
    assert_eq!(keys.received().iter().map(|fetch| &*fetch.target).collect::<Vec<_>>(), ["/openid/v1/jwks"], "once, and kept");

    keys.answers(published(&[&house.cluster, &next]));
    assert_eq!(introspects(&next, 3).await, stranger(), "it was looked a moment ago");
    house.clock.advance(Millis::from_secs(10));
    assert_eq!(introspects(&next, 4).await, refused());
    keys.answers(published(&[&next]));
    house.clock.advance(Millis::from_secs(300));
    house.app.service.refetch_keys().await.unwrap();
    assert_eq!((introspects(&house.cluster, 5).await, introspects(&next, 6).await), (stranger(), refused()), "it was taken away");

    // Where it does not answer, what was fetched is believed for an hour, and then nobody is called a stranger for it.
    keys.answers(Reply::status(503));
    house.clock.advance(Millis::from_secs(3_000));
    house.app.service.refetch_keys().await.unwrap_err();
    assert_eq!(introspects(&next, 7).await, refused());
    house.clock.advance(Millis::from_secs(601));
    assert_eq!(introspects(&next, 8).await, (Code::Unavailable, "KEYS_UNAVAILABLE".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_of_arrivals_are_believed_of_who_may_make_them() {
    let house = House::new().await;
    let key = format!("Bearer {KEY}");
    let mut operator = TokenServiceClient::new(house.connect(None, &[&key]).await.unwrap());
    for (uri, is_believed) in [("spiffe://example.com/gateway", true), ("spiffe://example.com/watcher", false)] {
        let issued = operator.issue(alice("mobile-app", "offline_access orders:read")).await.unwrap().into_inner();
        let renewed = operator.refresh(mobile(&issued.refresh_token)).await.unwrap().into_inner();
        let claims = renewed.access_token.split('.').nth(1).unwrap();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        let arrival = Arrival { grant_id: issued.grant_id, jti: claims["jti"].as_str().unwrap().into() };
        let says = [
            Say::Start(api::WatchStart::default()),
            Say::Arrivals(api::WatchArrivals { arrivals: vec![arrival] }),
            Say::Ping(api::WatchPing { id: 7 }),
        ];
        let mut revocations = RevocationServiceClient::new(house.connect(Some(&house.named(&[uri], &[])), &[]).await.unwrap());
        let saying = tokio_stream::iter(says.map(|say| api::WatchRequest { message: Some(say) })).chain(tokio_stream::pending());
        let mut told = revocations.watch(saying).await.unwrap().into_inner();
        while !matches!(told.message().await.unwrap().unwrap().message, Some(Told::Pong(api::WatchPong { id: 7, .. }))) {}
        house.app.service.look_at_arrivals().await.unwrap();
        // What arrived makes who comes with the one before it a second holder; else its reply was lost.
        house.clock.advance(Millis::from_secs(20));
        let again = ended(operator.refresh(mobile(&issued.refresh_token)).await);
        assert_eq!(again == ok(), !is_believed, "{uri}: {again:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_library_shows_who_calls() {
    let mut callers = Callers::default();
    let known = Caller { permissions: Reach::All, clients: Reach::All, resources: Reach::All, ..Caller::new("x") };
    callers.add(known, Names { key_hashes: vec![hash_of_key(KEY)], ..Names::default() }).unwrap();
    let server = server::start_on(server::service_for(callers).await, open()).await;
    let client = Client::connect([format!("http://{}", server.address)]).unwrap();
    let asked = || jeton_client::api::IntrospectRequest { token: "jat_x".into(), ..Default::default() };
    let asks = async |client: &Client| match client.introspect(asked()).await {
        Ok(_) => ok(),
        Err(jeton_client::Error::Refused(refusal)) => (refusal.code, refusal.reason),
        Err(other) => panic!("{other}"),
    };
    assert_eq!(asks(&client).await, stranger());
    assert_eq!(asks(&client.clone().with_caller_token(CallerToken::new(KEY).unwrap())).await, ok());
    assert_eq!(asks(&client.clone().with_caller_token(CallerToken::new("jck_other").unwrap())).await, stranger());
    assert!(CallerToken::new("jck_\n").is_ok(), "line ends around it are not of it");
    assert!(CallerToken::new("jck\nx").is_err());
    assert_eq!(format!("{:?}", CallerToken::new(KEY).unwrap()), "CallerToken(..)");

    // As Kubernetes exchanges it: the file of each call.
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("token");
    let client = client.with_caller_token(CallerToken::file(&file));
    for (holds, expected) in [("jck_old", stranger()), (KEY, ok()), ("jck_old", stranger())] {
        std::fs::write(&file, format!("{holds}\n")).unwrap();
        assert_eq!(asks(&client).await, expected, "{holds}");
    }
    std::fs::remove_file(&file).unwrap();
    let missing = client.introspect(asked()).await.unwrap_err().to_string();
    assert!(missing.contains("cannot be read"), "{missing}");
}

#[tokio::test]
async fn every_method_asks_what_its_caller_may() {
    let mut callers = Callers::default();
    callers.add(Caller::new("x"), Names { key_hashes: vec![hash_of_key(KEY)], ..Names::default() }).unwrap();
    let mut server = server::start_on(server::service_for(callers).await, open()).await;
    let mut raw = server.raw().await;
    let ours = UNARY.iter().filter(|path| !path.starts_with("/grpc."));
    for path in ours.chain(&["/jeton.v1.RevocationService/Watch"]) {
        let told = refusal(&raw.call(path, b"").await.status);
        assert_eq!((told.code, told.reason), stranger(), "{path}: loopback is not open where callers are configured");
        let mut request = raw.request(path, framed(b""));
        request.headers_mut().insert("authorization", format!("Bearer {KEY}").parse().unwrap());
        let told = refusal(&raw.send(request).await.status);
        assert_eq!((told.code, told.reason), refused(), "{path}");
    }
    let health = raw.call("/grpc.health.v1.Health/Check", b"").await;
    assert_eq!(health.status.code(), Code::Ok, "health is everybody's");
}

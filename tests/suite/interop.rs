//! OAuth client libraries of other languages, as they are published, against the real binary. `.ci/interop` makes them ready.
//!
//! The login service is played here: it signs alice in without asking, and does over gRPC what a real one does after its pages. DPoP
//! proofs must name a nonce, so that libraries show that they know how to get one.

use crate::port;
use crate::rfc::proof::Prover;
use crate::tour::{Home, Server};
use crate::world::{JOB_SECRET, WEB_SECRET, alice};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jeton::api::authorization_code_service_client::AuthorizationCodeServiceClient;
use jeton::api::device_service_client::DeviceServiceClient;
use jeton::api::{
    ApproveDeviceAuthorizationRequest, CreateAuthorizationCodeRequest, DescribeDeviceAuthorizationRequest, IssueRequest,
};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::task::JoinSet;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// jeton, with a login service beside it. Both end with the value.
struct Platform {
    issuer: String,
    /// The private key of the billing job, PKCS #8 in base64.
    job_key: String,
    _server: Server,
    _home: Home,
    _login: JoinSet<()>,
}

impl Platform {
    /// With ID tokens of that algorithm for the web application.
    async fn start(id_token_algorithm: &str) -> Self {
        let login = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        // Metadata must name the address before anybody listens there.
        let http = port::free();
        let issuer = format!("http://{http}");
        let home = Home::new();
        let config = home.path().join("jeton.toml");
        let settings = std::fs::read_to_string(Path::new(ROOT).join("jeton.toml")).unwrap();
        let (job_key, jwks) = job_key();
        let page = login.local_addr().unwrap();
        let settings = settings
            .replace("http://127.0.0.1:8080", &issuer)
            .replace("[clients.billing-job]\n", &format!("[clients.billing-job]\njwks_uri = \"http://{page}/jwks.json\"\n"))
            .replace("[clients.web-app]\n", &format!("[clients.web-app]\nid_token_algorithm = \"{id_token_algorithm}\"\n"));
        let pages = format!(
            "[login]\nauthorization_endpoint = \"http://{page}/authorize\"\nverification_uri = \"http://{page}/device\"\n\
             [tokens]\ndevice_poll_interval = \"1s\"\ndpop_nonce = true\n"
        );
        std::fs::write(&config, format!("{settings}\n{pages}")).unwrap();
        let server = Server::start_as(&config, "127.0.0.1:0", &http.to_string(), &home, "memory:", &[]);
        let grpc = server.address.clone();
        let mut login_service = JoinSet::new();
        login_service.spawn(async move {
            let pages = Router::new().route("/authorize", get(authorize)).route("/device", get(approve)).with_state(grpc);
            let pages = pages.route("/jwks.json", get(async || jwks));
            axum::serve(login, pages).await.unwrap();
        });
        Self { issuer, job_key, _server: server, _home: home, _login: login_service }
    }

    /// Runs an application's flows; what it printed, where they failed.
    fn run(&self, mut application: Command) {
        let secrets = [("JOB_SECRET", JOB_SECRET), ("JOB_KEY", self.job_key.as_str()), ("WEB_SECRET", WEB_SECRET)];
        let variables = secrets.into_iter().chain([("ISSUER", self.issuer.as_str())]);
        application.envs(variables).env("AUTHLIB_INSECURE_TRANSPORT", "1");
        let output = application.output().unwrap_or_else(|error| panic!("{application:?}: {error}; run `./.ci/interop`"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{application:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
    }
}

/// A new key of the billing job: its private half, and the set that is at its `jwks_uri`, beside the pages of the login service.
fn job_key() -> (String, String) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let private = STANDARD.encode(pair.to_pkcs8v1().unwrap());
    (private, serde_json::json!({"keys": [Prover::P256(pair).named("job-1")]}).to_string())
}

/// What the login service does when its pages are done (RFC 6749 section 4.1.1).
async fn authorize(State(grpc): State<String>, Query(asked): Query<HashMap<String, String>>) -> impl IntoResponse {
    let of = |name: &str| asked.get(name).cloned().unwrap_or_default();
    let mut codes = AuthorizationCodeServiceClient::connect(grpc).await.unwrap();
    let code = CreateAuthorizationCodeRequest {
        grant: Some(IssueRequest { nonce: of("nonce"), ..alice(&of("client_id"), &of("scope")) }),
        redirect_uri: of("redirect_uri"),
        code_challenge: of("code_challenge"),
        code_challenge_method: of("code_challenge_method"),
        dpop_jkt: of("dpop_jkt"),
    };
    let code = codes.create_authorization_code(code).await.unwrap().into_inner().code;
    let back = format!("{}?code={code}&state={}", of("redirect_uri"), of("state"));
    (StatusCode::FOUND, [(LOCATION, back)])
}

/// The page on which alice allows a device what it asks for (RFC 8628 section 3.3).
async fn approve(State(grpc): State<String>, Query(asked): Query<HashMap<String, String>>) -> impl IntoResponse {
    let user_code = asked.get("user_code").cloned().unwrap_or_default();
    let mut devices = DeviceServiceClient::connect(grpc).await.unwrap();
    let describe = DescribeDeviceAuthorizationRequest { user_code: user_code.clone() };
    let described = devices.describe_device_authorization(describe).await.unwrap().into_inner();
    let grant = Some(alice(&described.client_id, ""));
    devices.approve_device_authorization(ApproveDeviceAuthorizationRequest { user_code, grant }).await.unwrap();
    "allowed"
}

fn ready(path: &str) -> PathBuf {
    let path = Path::new(ROOT).join("target/interop").join(path);
    assert!(path.exists(), "{} is not there: run `./.ci/interop`, as `make test` does", path.display());
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openid_client_of_javascript_gets_refreshes_and_revokes_tokens() {
    let platform = Platform::start("EdDSA").await;
    let mut node = Command::new("node");
    node.arg(ready("node/flows.mjs"));
    platform.run(node);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authlib_of_python_gets_refreshes_and_revokes_tokens() {
    let platform = Platform::start("EdDSA").await;
    let mut python = Command::new(ready("python/bin/python"));
    python.arg(Path::new(ROOT).join("tests/interop/python/flows.py"));
    platform.run(python);
}

/// This version of go-oidc knows no EdDSA.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oauth2_of_go_gets_refreshes_and_revokes_tokens() {
    let platform = Platform::start("ES256").await;
    platform.run(Command::new(ready("go-flows")));
}

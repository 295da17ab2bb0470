//! The runbooks, their commands run as they are printed, and what became of tokens by them.

use crate::load::Load;
use crate::redis_server::RedisServer;
use crate::tour::{Home, ROOT_KEY, fenced};
use crate::world::{ORDERS, alice, fully_fresh, mobile};
use jeton::api::token_service_client::TokenServiceClient;
use jeton::api::{IntrospectRequest, IssueResponse};
use jeton_domain::id::KeyId;
use jeton_domain::token::{Presented, parse};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use tonic::transport::{Channel, Endpoint};

const PAGE: &str = include_str!("../../docs/runbooks.md");
/// What makes a Redis fit.
const SOUND: [&str; 6] = ["--appendonly", "yes", "--maxmemory", "256mb", "--maxmemory-policy", "noeviction"];
const CONFIGURATION: &str = "
store = \"STORE\"
root_key_file = 'root.key'
[resources.'https://orders.internal']
scopes = ['orders:read']
[clients.mobile-app]
kind = 'public'
grant_types = ['authorization_code', 'refresh_token']
redirect_uris = ['https://app.example.com/callback']
scopes = ['offline_access', 'orders:read']
resources = ['https://orders.internal']
";

/// Two replicas as a platform runs them: commands start and stop them.
struct Platform {
    home: Home,
    /// Where the two serve gRPC.
    addresses: Vec<String>,
}

impl Platform {
    async fn start(redis: &RedisServer) -> Self {
        let home = Home::new();
        fs::write(home.path().join("jeton.toml"), CONFIGURATION.replace("STORE", &redis.url())).unwrap();
        let ring = home.path().join("root.key");
        fs::write(&ring, format!("{ROOT_KEY}\n")).unwrap();
        fs::set_permissions(ring, fs::Permissions::from_mode(0o600)).unwrap();
        let command = |name: &str, script: &str| {
            let file = home.path().join("bin").join(name);
            fs::write(&file, format!("#!/bin/sh\nset -eu\n{script}")).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        };
        // Until it is so, or half a minute is over.
        command(
            "until-logged",
            "for _ in $(seq 300); do grep -qs \" jeton::app::.*: $2\" log.$1 && exit; sleep 0.1; done; cat log.$1; exit 1",
        );
        command("stop-one", "kill $(cat pid.$1); until-logged $1 stopped");
        // Each stays where it first listened.
        command(
            "start-one",
            "rm -f log.$1; jeton serve --config jeton.toml --grpc-listen $(cat at.$1 2>/dev/null || echo 127.0.0.1:0) --http-listen 127.0.0.1:0 \
             --admin-listen 127.0.0.1:0 >out.$1 2>log.$1 & echo $! >pid.$1; until-logged $1 listening; until-logged $1 ready; \
             [ -s at.$1 ] || sed -n 's/.* listening grpc=\\([^ ]*\\).*/\\1/p' log.$1 >at.$1",
        );
        command("stop-jeton", "stop-one 1; stop-one 2");
        command("start-jeton", "start-one 1; start-one 2");
        command("restart-jeton", "stop-one 1; start-one 1; stop-one 2; start-one 2");
        let mut platform = Self { home, addresses: vec![String::new()] };
        platform.runs("start-jeton", &[]);
        let address = |replica| fs::read_to_string(platform.home.path().join(format!("at.{replica}"))).unwrap();
        platform.addresses = [1, 2].map(|replica| format!("http://{}", address(replica).trim())).to_vec();
        platform
    }

    /// Pastes commands into a shell.
    fn runs(&self, script: &str, variables: &[(&str, &str)]) -> String {
        let variables = [&[("JETON_SERVER", self.addresses[0].as_str())], variables].concat();
        let output = tokio::task::block_in_place(|| self.home.paste(script, &variables));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{script}\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Runs what a section prints.
    fn follows(&self, section: &str, variables: &[(&str, &str)]) -> String {
        let section = PAGE.split("\n## ").find(|text| text.starts_with(section)).unwrap();
        self.runs(&fenced(section, "sh").concat(), variables)
    }

    async fn tokens(&self, replica: usize) -> TokenServiceClient<Channel> {
        let connected = Endpoint::from_shared(self.addresses[replica].clone()).unwrap().connect().await;
        let log = || fs::read_to_string(self.home.path().join(format!("log.{}", replica + 1))).unwrap();
        TokenServiceClient::new(connected.unwrap_or_else(|problem| panic!("{problem:?}\n{}", log())))
    }

    async fn issue(&self) -> IssueResponse {
        self.tokens(0).await.issue(alice("mobile-app", "offline_access orders:read")).await.unwrap().into_inner()
    }

    async fn refresh(&self, token: &str) -> String {
        self.tokens(1).await.refresh(mobile(token)).await.unwrap().into_inner().refresh_token
    }

    /// On both.
    async fn is_active(&self, token: &str) -> bool {
        let mut active = Vec::new();
        for replica in [0, 1] {
            let asked = IntrospectRequest { token: token.into(), resource: ORDERS.into(), freshness: fully_fresh() };
            active.push(self.tokens(replica).await.introspect(asked).await.unwrap().into_inner().active);
        }
        assert_eq!(active[0], active[1]);
        active[0]
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        for replica in [1, 2] {
            let pid = fs::read_to_string(self.home.path().join(format!("pid.{replica}"))).unwrap_or_default();
            _ = Command::new("kill").args(["-KILL", pid.trim()]).status();
        }
    }
}

/// The root key that minted a refresh token.
fn minted_by(token: &str) -> KeyId {
    match parse(token) {
        Presented::Numbered(numbered) => numbered.key,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_key_is_rotated_and_no_request_fails_and_then_it_is_burnt() {
    let redis = RedisServer::start_with(&SOUND).await;
    let platform = Platform::start(&redis).await;
    let [issued, unused] = [platform.issue().await, platform.issue().await];
    let load = Load::of(&platform.addresses, 2);
    platform.follows("A root key rotated", &[]);
    assert!(load.ended().await > 0);
    assert!(platform.is_active(&issued.access_token).await);
    let renewed = platform.refresh(&issued.refresh_token).await;
    assert_ne!(minted_by(&renewed), minted_by(&issued.refresh_token));
    assert_eq!(minted_by(&platform.issue().await.refresh_token), minted_by(&renewed));
    let ring = fs::read_to_string(platform.home.path().join("root.key")).unwrap();
    assert!(ring.lines().count() == 2 && ring.lines().nth(1) == Some(ROOT_KEY), "the old key stays");

    let said = platform.follows("A root key burnt", &[("OLD", &minted_by(&unused.refresh_token).to_string())]);
    assert!(said.contains("burnt"), "{said}");
    assert!(!platform.is_active(&unused.refresh_token).await && !platform.is_active(&issued.access_token).await);
    platform.tokens(1).await.refresh(mobile(&unused.refresh_token)).await.unwrap_err();
    platform.refresh(&renewed).await;
    assert!(platform.is_active(&platform.issue().await.access_token).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signing_key_is_burnt_and_everybody_goes_on() {
    let redis = RedisServer::start_with(&SOUND).await;
    let platform = Platform::start(&redis).await;
    let issued = platform.issue().await;
    let header = jsonwebtoken::decode_header(&issued.access_token).unwrap();
    let said = platform.follows("A signing key burnt", &[("KID", &header.kid.clone().unwrap())]);
    assert!(said.contains("burnt"), "{said}");
    assert!(!platform.is_active(&issued.access_token).await);
    platform.refresh(&issued.refresh_token).await;
    let next = platform.issue().await;
    assert!(platform.is_active(&next.access_token).await);
    assert_ne!(jsonwebtoken::decode_header(&next.access_token).unwrap().kid, header.kid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_is_moved_and_everything_with_it() {
    let (old, new) = (RedisServer::start_with(&SOUND).await, RedisServer::start_with(&SOUND).await);
    let platform = Platform::start(&old).await;
    let (kept, ended) = (platform.issue().await, platform.issue().await);
    platform.runs("jeton revoke --grant \"$GRANT\" --reason leaked", &[("GRANT", &ended.grant_id)]);
    let port = old.port().to_string();
    let variables = [("OLD", &*old.url()), ("NEW", &*new.url()), ("OLD_HOST", "127.0.0.1"), ("OLD_PORT", &port)];
    let said = platform.follows("A Redis moved", &variables);
    assert!(said.contains("healed"), "{said}");
    assert!(platform.is_active(&kept.access_token).await && !platform.is_active(&ended.access_token).await);
    platform.refresh(&kept.refresh_token).await;
    platform.tokens(0).await.refresh(mobile(&ended.refresh_token)).await.unwrap_err();
}

//! No token, secret or key reaches a log, a span or the text of an error, even where everything is logged.

use crate::world::{JOB_SECRET, ORDERS, Replica, SCOPES, WEB_SECRET, World, alice, mobile, ring, secret, web};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jeton::api::revoke_request::Target;
use jeton::api::{AuthenticationContext, GrantType, IssueRequest, RefreshRequest, RevokeRequest};
use jeton_domain::id::GrantId;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};
use tonic::Status;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;

/// Everything that was logged.
#[derive(Clone, Default)]
pub struct Logged(pub Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What must not be said anywhere.
#[derive(Default)]
pub struct Canaries(Vec<String>);

impl Canaries {
    /// A secret, as it stands.
    pub fn text(&mut self, text: &str) {
        assert!(text.len() > 30);
        self.0.push(text.into());
    }

    /// A token, and the part of it that proves it.
    pub fn token(&mut self, token: &str) {
        assert!(token.len() > 60);
        self.0.push(token.into());
        self.0.push(token.get(token.len() - 43..).unwrap().into());
    }

    /// Bytes, in each way that bytes are written.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let part = bytes.get(bytes.len() - 15..).unwrap();
        let hex = part.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        let listed = format!("{part:?}");
        self.0.extend([hex.to_uppercase(), hex, STANDARD.encode(part), URL_SAFE_NO_PAD.encode(part)]);
        self.0.push(listed.trim_matches(['[', ']']).into());
        self.0.push(part.escape_ascii().to_string());
    }

    pub fn occur_in(&self, text: &str) -> Vec<&String> {
        self.0.iter().filter(|canary| text.contains(canary.as_str())).collect()
    }
}

fn refusals<T>(answers: Vec<Result<T, Status>>) -> String {
    answers.into_iter().filter_map(Result::err).map(|status| format!("{status:?}")).collect()
}

async fn flows(world: &World, server: &Replica, canaries: &mut Canaries) -> String {
    let mut said = String::new();
    for (client, scope, asked) in
        [("mobile-app", SCOPES, mobile as fn(&str) -> RefreshRequest), ("web-app", "openid offline_access payments:read", web)]
    {
        let issued = server.issue(alice(client, scope)).await;
        world.pass(20);
        let second = server.refresh(asked(&issued.refresh_token)).await;
        world.pass(20);
        for token in [
            &issued.access_token,
            &issued.refresh_token,
            &issued.id_token,
            &second.access_token,
            &second.refresh_token,
            &second.id_token,
        ] {
            canaries.token(token);
            server.introspect(token).await;
            said.push_str(&server.explain_for(token, ORDERS).await.explanation);
        }
        let record = server.app.records.grant(GrantId::parse(&issued.grant_id).unwrap()).await.unwrap();
        canaries.bytes(record.known().unwrap().unwrap().grant().unwrap().nonce.expose());
        let token = &second.refresh_token;
        said.push_str(&refusals(vec![
            server.try_refresh(RefreshRequest { client_id: "billing-job".into(), ..asked(token) }).await,
            server
                .try_refresh(RefreshRequest { client_authentication: secret("jcs_canary_that_is_wrong"), ..asked(token) })
                .await,
            server.try_refresh(RefreshRequest { scope: "admin".into(), ..asked(token) }).await,
            server.try_refresh(asked(&token.replacen("jrt_", "jat_", 1))).await,
            server.try_refresh(asked(&issued.access_token)).await,
            // A token in the place of something else.
            server.try_refresh(RefreshRequest { scope: issued.id_token.clone(), ..asked(token) }).await,
            server.try_refresh(RefreshRequest { scope: token.clone(), ..asked(token) }).await,
            server
                .try_refresh(RefreshRequest { resource: vec![format!("https://orders.internal/{token}")], ..asked(token) })
                .await,
            server.try_refresh(RefreshRequest { client_id: token.clone(), ..asked(token) }).await,
            server.try_refresh(RefreshRequest { client_id: WEB_SECRET.into(), ..asked(token) }).await,
        ]));
        said.push_str(&refusals(vec![
            server.try_issue(alice(client, token)).await,
            server.try_issue(alice(token, scope)).await,
            server.try_issue(IssueRequest { resource: vec![format!("urn:{token}")], ..alice(client, scope) }).await,
            server.try_issue(IssueRequest { sub: String::new(), ..alice(client, token) }).await,
        ]));
        let misplaced = [Target::GrantId(token.clone()), Target::Kid(token.clone()), Target::Token(format!("{token} "))];
        for target in misplaced {
            let asked = RevokeRequest { target: Some(target), ..Default::default() };
            said.push_str(&refusals(vec![server.try_revoke(asked).await]));
        }
        server.revoke(Target::Token(second.access_token.clone())).await;
        // Reuse of a public client's, sign-out of a confidential one's.
        world.pass(600);
        let third = server.refresh(asked(token)).await;
        canaries.token(&third.access_token);
        world.pass(600);
        said.push_str(&refusals(vec![server.try_refresh(asked(&issued.refresh_token)).await]));
        server.revoke(Target::Sub("alice".into())).await;
    }
    let job = IssueRequest {
        client_id: "billing-job".into(),
        scope: "payments:read".into(),
        authentication: Some(AuthenticationContext { method: GrantType::ClientCredentials.into(), ..Default::default() }),
        client_authentication: secret(JOB_SECRET),
        ..Default::default()
    };
    canaries.token(&server.issue(job).await.access_token);
    server.app.alive.settle().await.unwrap();
    let signing = server.app.records.signing_keys().await.unwrap().0.unwrap().value;
    for key in &signing.keys {
        canaries.bytes(&key.private);
    }
    said
}

/// On one thread, which is the one whose log is read.
#[tokio::test]
async fn nothing_secret_is_logged_or_answered() {
    let logged = Logged::default();
    let writer = logged.clone();
    let layer =
        tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).with_ansi(false).with_span_events(FmtSpan::FULL);
    // With a single one, what a test on another thread meets first is taken to interest nobody.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));

    for mut world in [World::memory().await, World::redis(&[]).await] {
        world.settings.root_keys = ring(&[0xC5]);
        let server = world.start().await;
        let mut canaries = Canaries(vec![WEB_SECRET.into(), JOB_SECRET.into(), "jcs_canary_that_is_wrong".into()]);
        canaries.bytes(&[0xC5; 32]);
        let said = flows(&world, &server, &mut canaries).await;
        if let Some(redis) = &mut world.redis {
            redis.stop().await;
            let token = canaries.0.iter().find(|canary| canary.starts_with("jrt_")).unwrap();
            tracing::info!("the store is gone");
            assert!(server.try_refresh(mobile(token)).await.is_err());
        }
        let log = String::from_utf8_lossy(&logged.0.lock().unwrap()).into_owned();
        assert!(log.contains("TRACE") && log.contains("jeton"), "the log was read");
        assert!(log.contains("a grant was ended"), "and says what happened");
        assert!(said.len() > 1_000, "refusals were read");
        assert_eq!(canaries.occur_in(&log), Vec::<&String>::new(), "in the log");
        assert_eq!(canaries.occur_in(&said), Vec::<&String>::new(), "in an answer");
        let named = log.lines().find(|line| line.contains("alice"));
        assert_eq!(named, None, "who it is about is nobody's business");
    }
}

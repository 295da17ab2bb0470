//! What an attacker, a crash or an unlucky operator would try: each test once found a defect.

use jeton::app::App;
use jeton::clock::Clock;
use jeton::config::{self, Overrides, Settings};
use jeton::service::Credentials;
use jeton::service::grants::GrantState;
use jeton::service::issue::{Issue, Tokens};
use jeton::service::refresh::Refresh;
use jeton::store::Store;
use jeton::store::embedded::Embedded;
use jeton_domain::error::{Error, Result};
use jeton_domain::name::{ClientId, SessionId, Subject};
use jeton_domain::scope::Scopes;
use jeton_domain::time::{Millis, Timestamp};
use serde_json::Map;
use std::collections::BTreeMap;
use std::sync::Arc;

const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const HOUR: Millis = Millis::from_secs(3_600);

/// The repository's configuration, with some of its lines replaced.
fn settings(replaced: &[(&str, &str)]) -> Settings {
    let mut text = include_str!("../../jeton.toml").to_owned();
    for (from, to) in replaced {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jeton.toml");
    std::fs::write(&path, text).unwrap();
    let variables = BTreeMap::from([("JETON_ROOT_KEY".to_owned(), "07".repeat(32))]);
    let overrides = Overrides { store: Some("memory:".into()), ..Overrides::default() };
    config::load(Some(path.as_ref()), &variables, &overrides).unwrap().settings
}

/// A store in memory on a clock that stands.
fn memory() -> (Arc<dyn Store>, Clock) {
    let clock = Clock::fixed(START);
    (Arc::new(Embedded::in_memory(clock.clone()).unwrap()), clock)
}

async fn app(store: &Arc<dyn Store>, clock: &Clock, replaced: &[(&str, &str)]) -> App {
    App::on(Arc::clone(store), &settings(replaced), clock.clone()).await.unwrap()
}

fn asked(scopes: &str) -> Issue {
    Issue {
        client: ClientId::parse("client_id", "mobile-app").unwrap(),
        subject: Some(Subject::parse("sub", "alice").unwrap()),
        scopes: Scopes::parse("scope", scopes).unwrap(),
        resources: Vec::new(),
        session: None,
        auth_time: None,
        acr: None,
        amr: vec!["pwd".into(), "mfa".into()],
        method: None,
        nonce: None,
        access_claims: Map::new(),
        id_claims: Map::new(),
        binding: None,
        authorization_details: Vec::new(),
        credentials: Credentials::default(),
    }
}

async fn issue(app: &App, scopes: &str) -> Result<Tokens> {
    app.service.issue(asked(scopes)).await
}

#[tokio::test]
async fn a_short_grant_finds_room_where_the_others_end_later() {
    let (store, clock) = memory();
    let app = app(&store, &clock, &[("[clients.mobile-app]", "[clients.mobile-app]\ngrants_per_subject = 2")]).await;
    issue(&app, "orders:read offline_access").await.unwrap();
    issue(&app, "orders:read offline_access").await.unwrap();
    issue(&app, "payments:read").await.unwrap();
}

async fn refresh(app: &App, tokens: &Tokens) -> Result<Tokens> {
    let presented = Refresh {
        token: tokens.refresh.clone().unwrap(),
        client: ClientId::parse("client_id", "mobile-app").unwrap(),
        credentials: Credentials::default(),
        scopes: Scopes::default(),
        resources: Vec::new(),
        request_id: None,
    };
    app.service.refresh(presented).await
}

#[tokio::test]
async fn a_refresh_that_cannot_be_answered_as_configured_consumes_nothing() {
    let (store, clock) = memory();
    let both_jwt = [("format = \"opaque\"", "format = \"jwt\"")];
    let before = app(&store, &clock, &both_jwt).await;
    let tokens = issue(&before, "orders:read payments:read offline_access").await.unwrap();
    let (id, generation) = (tokens.grant.unwrap(), |state: &GrantState| state.grant.lineage.newest);
    let differing = app(&store, &clock, &[]).await;
    assert!(matches!(refresh(&differing, &tokens).await, Err(Error::InvalidTarget { .. })));
    assert_eq!(generation(&before.service.grant(id).await.unwrap()), 1);
    clock.advance(HOUR);
    refresh(&before, &tokens).await.unwrap();
}

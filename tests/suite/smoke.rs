//! smoke
use jeton::app::App;
use jeton::clock::Clock;
use jeton::config::{self, Overrides};
use jeton::service::introspect::Introspect;
use jeton::service::issue::Issue;
use jeton::service::refresh::Refresh;
use jeton::service::revoke::{Revoke, Revoked, What};
use jeton::service::{Credentials, Freshness};
use jeton_domain::name::*;
use jeton_domain::scope::Scopes;
use jeton_domain::secret::SecretText;
use jeton_domain::target::Reason;
use std::collections::BTreeMap;

fn ask(resource: &str, scope: &str) -> Issue {
    Issue {
        client: ClientId::parse("c", "mobile-app").unwrap(),
        subject: Some(Subject::parse("s", "alice").unwrap()),
        scopes: Scopes::parse("scope", scope).unwrap(),
        resources: vec![ResourceId::parse("r", resource).unwrap()],
        session: None,
        auth_time: None,
        acr: None,
        amr: vec!["mfa".into()],
        method: None,
        nonce: Some("n".into()),
        access_claims: Default::default(),
        id_claims: Default::default(),
        binding: None,
        authorization_details: vec![],
        credentials: Credentials::default(),
    }
}
#[tokio::test]
async fn smoke() {
    let env = BTreeMap::<String, String>::new();
    let overrides = Overrides { store: Some("memory:".into()), ..Default::default() };
    let loaded = config::load(Some("jeton.toml".as_ref()), &env, &overrides).unwrap();
    let app = App::start(&loaded.settings, Clock::system()).await.unwrap();
    for (resource, scope) in [
        ("https://orders.internal", "openid offline_access orders:read"),
        ("https://payments.internal", "openid offline_access payments:read"),
    ] {
        let t = app.service.issue(ask(resource, scope)).await.unwrap();
        println!("{}\n{}\n{}", t.access.expose(), t.refresh.as_ref().unwrap().expose(), t.id.as_ref().unwrap().expose());
        let look = |token: &SecretText| Introspect { token: token.clone(), resource: None, freshness: Freshness::Full };
        let i = app.service.introspect(look(&t.access)).await.unwrap();
        println!("{i:?}");
        assert!(i.active.is_some());
        assert!(app.service.introspect(look(t.refresh.as_ref().unwrap())).await.unwrap().active.is_some());
        let r = app
            .service
            .refresh(Refresh {
                token: t.refresh.clone().unwrap(),
                client: ClientId::parse("c", "mobile-app").unwrap(),
                credentials: Credentials::default(),
                scopes: Scopes::default(),
                resources: vec![],
                request_id: None,
            })
            .await
            .unwrap();
        assert_ne!(r.refresh, t.refresh);
        println!("{}", app.service.explain(t.refresh.clone().unwrap(), None).await.unwrap().text);
        let done = app
            .service
            .revoke(Revoke {
                what: What::Token { token: r.refresh.clone().unwrap(), client: None, credentials: Credentials::default() },
                reason: Reason::SignOut,
                dry_run: false,
            })
            .await
            .unwrap();
        assert!(matches!(done, Revoked::Done { .. }));
        for token in [&t.access, &r.access, r.refresh.as_ref().unwrap()] {
            assert!(app.service.introspect(look(token)).await.unwrap().active.is_none());
            println!("{}", app.service.explain(token.clone(), None).await.unwrap().text);
        }
        app.alive.settle().await.unwrap();
        println!("{}", app.service.explain(r.refresh.clone().unwrap(), None).await.unwrap().text);
    }
}

//! The statements of the RFCs that a token service must keep, over HTTP: one test a statement, named by its number in `statements.rs`.

mod assertion_grants;
pub mod assertions;
mod certificates;
mod codes;
mod confusion;
mod details;
mod device;
mod discovery;
mod dpop;
mod exchange;
pub mod forging;
mod gateways;
mod introspection;
pub mod proof;
pub mod raw;
mod revocation;
mod statements;
mod step_up;
mod token_endpoint;
mod userinfo;
mod wire;

pub use exchange::with_exchange;

use crate::world::{JOB_SECRET, ORDERS, Replica, SCOPES, WEB_SECRET, World, alice};
use jeton::api::IssueResponse;
use jeton::config::Settings;
use jeton_domain::name::ResourceId;
use raw::{Answer, Asking, basic};

/// A replica, and what stands still around it.
struct Server {
    world: World,
    replica: Replica,
}

impl Server {
    async fn start() -> Self {
        Self::start_with(|_settings| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut world = World::memory().await;
        change(&mut world.settings);
        let replica = world.start().await;
        Self { world, replica }
    }

    /// A form posted to an endpoint.
    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Asking {
        Asking::post(self.replica.http, path).form(fields)
    }

    /// A form posted by the web application, which authenticates by header.
    async fn web(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post(path, fields).header("Authorization", &basic("web-app", WEB_SECRET)).send().await
    }

    /// The same by the billing job.
    async fn job(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post(path, fields).header("Authorization", &basic("billing-job", JOB_SECRET)).send().await
    }

    /// What alice holds with the web application.
    async fn signed_in(&self) -> IssueResponse {
        self.replica.issue(alice("web-app", SCOPES)).await
    }

    async fn refresh(&self, token: &str) -> Answer {
        self.web("/oauth2/token", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    async fn introspect(&self, token: &str) -> Answer {
        self.web("/oauth2/introspect", &[("token", token)]).await
    }

    async fn is_active(&self, token: &str) -> bool {
        let answer = self.introspect(token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["active"].as_bool().unwrap()
    }
}

/// The settings of a deployment whose billing job is the server of orders.
fn job_serves_orders(settings: &mut Settings) {
    let job = settings.clients.iter_mut().find(|client| client.id.as_str() == "billing-job").unwrap();
    job.serves = vec![ResourceId::parse("serves", ORDERS).unwrap()];
}

/// The settings of a deployment whose web application knows nothing but RS256.
fn web_signs_with_rs256(settings: &mut Settings) {
    let web = settings.clients.iter_mut().find(|client| client.id.as_str() == "web-app").unwrap();
    web.id_token_algorithm = jeton_domain::client::Algorithm::Rs256;
}

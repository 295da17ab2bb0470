//! The living grants of a subject, and the ways to end them.

use super::frame::Sheet;
use super::{Asking, Behind, revoke, words};
use crate::service::explain::WhyNot;
use crate::service::grants::{GrantPage, GrantState, ListGrants};
use crate::transport::caller::Permission;
use crate::transport::fault::Fault;
use crate::transport::logged;
use jeton_domain::error::Error;
use jeton_domain::grant::Grant;
use jeton_domain::name::{ClientId, Subject};
use jeton_domain::secret;
use jeton_domain::target::Target;
use jeton_domain::time::Timestamp;
use maud::{Markup, html};
use std::sync::Arc;

const TITLE: &str = "Grants";

/// The most on one page.
const AT_ONCE: usize = 50;

/// The form alone.
pub async fn ask(_page: Arc<Behind>, asking: Asking) -> Result<Sheet, Fault> {
    asking.caller.may(Permission::ReadGrants).map_err(logged)?;
    Ok(Sheet::new(TITLE, html! { h1 { "What did a subject grant?" } (form(None, None)) }))
}

/// The grants of a subject, all or with one client.
pub async fn answer(page: Arc<Behind>, mut asking: Asking) -> Result<Sheet, Fault> {
    asking.caller.may(Permission::ReadGrants).map_err(logged)?;
    let subject = Subject::parse("sub", asking.form.text("sub").unwrap_or_default().trim())?;
    if secret::is_one(subject.as_str()) {
        // What is shown again must be no secret.
        return Err(Fault::of(&Error::invalid("sub", "is no subject but a secret: `explain` takes tokens")));
    }
    let client = asking.form.text("client_id").map(|text| ClientId::parse("client_id", text.trim())).transpose()?;
    asking.caller.may_concern(client.as_ref()).map_err(logged)?;
    let page_token = asking.form.text("page_token");
    let asked = ListGrants { subject: subject.clone(), client: client.clone(), session: None, limit: AT_ONCE, page_token };
    let found = page.service.list_grants(asked).await.map_err(logged)?;
    // What ends of one grant, or of a subject, is for who may act for all clients.
    let may_revoke = asking.caller.may(Permission::Revoke).is_ok();
    let may_all = may_revoke && asking.caller.may_act_for_all().is_ok();
    let all = match &client {
        None => may_all.then(|| Target::Subject(subject.clone())),
        Some(client) => may_revoke.then(|| Target::Consent(subject.clone(), client.clone())),
    };
    Ok(Sheet::new(TITLE, shown(&found, &subject, client.as_ref(), all, may_all, page.clock.now())))
}

fn shown(
    found: &GrantPage,
    subject: &Subject,
    client: Option<&ClientId>,
    all: Option<Target>,
    may_each: bool,
    now: Timestamp,
) -> Markup {
    html! {
        h1 { "What " (words::code(subject.as_str())) " granted" }
        @if let Some(client) = client { p { "To the client " (words::code(client.as_str())) " alone." } }
        @if found.grants.is_empty() {
            p.quiet { "No living grants. Tokens of a grant that has no record, JWTs without a refresh token, are not listed." }
        } @else {
            p { (words::count_of(found.grants.len())) @if found.next.is_some() { " of more" } " living." }
        }
        @if let Some(all) = all { p { (revoke::way(&all, Some(subject), "Revoke all…")) } }
        @for state in &found.grants {
            article.card {
                (card(state, now))
                @if may_each { (revoke::way(&Target::Grant(state.grant.id), None, "Revoke this grant…")) }
            }
        }
        @if let Some(next) = &found.next {
            form method="post" action="/grants" {
                input type="hidden" name="sub" value=(subject.as_str());
                @if let Some(client) = client { input type="hidden" name="client_id" value=(client.as_str()); }
                input type="hidden" name="page_token" value=(next);
                button.plain type="submit" { "Next" }
            }
        }
        section aria-labelledby="another" { h2 id="another" { "Another subject" } (form(Some(subject), client)) }
    }
}

fn form(subject: Option<&Subject>, client: Option<&ClientId>) -> Markup {
    html! {
        form method="post" action="/grants" autocomplete="off" {
            label for="sub" { "Subject" }
            input id="sub" name="sub" type="text" required maxlength=(Subject::MAX_BYTES) spellcheck="false" autocapitalize="off"
                value=[subject.map(Subject::as_str)];
            label for="client_id" { "Client " span.quiet { "(may be left out)" } }
            input id="client_id" name="client_id" type="text" maxlength=(ClientId::MAX_BYTES) spellcheck="false" autocapitalize="off"
                value=[client.map(ClientId::as_str)];
            button type="submit" { "Show" }
        }
    }
}

/// One grant, living or ended.
pub fn card(state: &GrantState, now: Timestamp) -> Markup {
    let GrantState { grant, why_not, ended_at } = state;
    let Grant { lineage, sign_in, .. } = grant;
    let resources: Vec<&str> = grant.resources.iter().map(|resource| resource.as_str()).collect();
    let bound = grant.binding.map(words::bound);
    html! {
        dl.facts {
            (words::fact("Subject", words::code(grant.subject.as_str())))
            (words::fact("Client", words::code(grant.client.as_str())))
            (words::fact_if("Ended", why_not.as_ref().map(|why| html! { (ended(why)) " " @if let Some(at) = ended_at { (words::moment(*at, now)) } })))
            (words::fact("Scopes", words::code(grant.scopes.to_string())))
            (words::fact_if("For", (!resources.is_empty()).then(|| words::code(resources.join(" ")))))
            (words::fact_if("Session", grant.session.as_ref().map(|session| words::code(session.as_str()))))
            (words::fact("Made", words::moment(grant.created_at, now)))
            (words::fact("Used", words::moment(lineage.used_at, now)))
            (words::fact("Expires", html! {
                (words::moment(grant.expires_at(), now)) ", at the latest " (words::moment(grant.absolute_end, now))
            }))
            (words::fact_if("Generation", lineage.refreshable.then_some(lineage.newest)))
            (words::fact_if("Signed in", sign_in.auth_time.map(|at| words::moment(at, now))))
            (words::fact_if("Bound", bound))
            (words::fact("Grant", words::code(grant.id.to_string())))
        }
    }
}

fn ended(why: &WhyNot) -> String {
    match why {
        WhyNot::Ended(cause) => cause.to_string(),
        WhyNot::GrantExpired(_) => "expired".to_owned(),
        _ => "not active".to_owned(),
    }
}

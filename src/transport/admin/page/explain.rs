//! Explain: a pasted token, its parts, its state and exactly why. What is pasted is forgotten with the answer.

use super::frame::Sheet;
use super::{Asking, Behind, grants, parts, revoke, words};
use crate::service::explain::{Explanation, TokenKind};
use crate::service::introspect::Active;
use crate::transport::caller::Permission;
use crate::transport::fault::Fault;
use crate::transport::logged;
use jeton_domain::id::Generation;
use jeton_domain::name::{ClientId, ResourceId, SessionId, Subject};
use jeton_domain::secret::SecretText;
use jeton_domain::time::Timestamp;
use jeton_domain::token::MAX_BYTES;
use maud::{Markup, html};
use serde_json::Value;
use std::sync::Arc;

const TITLE: &str = "Explain";

/// The form alone.
pub async fn ask(_page: Arc<Behind>, asking: Asking) -> Result<Sheet, Fault> {
    asking.caller.may(Permission::Explain).map_err(logged)?;
    Ok(Sheet::new(TITLE, html! { h1 { "Why is this token not active?" } (form()) }))
}

/// The answer, and the form for the next.
pub async fn answer(page: Arc<Behind>, mut asking: Asking) -> Result<Sheet, Fault> {
    asking.caller.may(Permission::Explain).map_err(logged)?;
    let pasted = asking.form.required("token")?;
    let token = SecretText::new(parts::cleaned(pasted.expose()));
    let resource = asking.form.text("resource").map(|text| ResourceId::parse("resource", text.trim())).transpose()?;
    let now = page.clock.now();
    let shown = parts::shown(token.expose(), now);
    let explanation = page.service.explain(token, resource).await.map_err(logged)?;
    let may_revoke = asking.caller.may(Permission::Revoke).and_then(|()| asking.caller.may_act_for_all()).is_ok();
    let body = html! {
        h1 { "Why is this token not active?" }
        (verdict(&explanation, now))
        section aria-labelledby="parts" {
            h2 id="parts" { "Its parts, as it says them itself" }
            (shown)
        }
        // A refresh token says what its grant does.
        @if let Some(says) = explanation.says.as_ref().filter(|says| says.is_access_token) {
            (said(says, now))
            @if may_revoke && explanation.grant.is_none() { (ways(says)) }
        }
        @if let Some(state) = &explanation.grant {
            section aria-labelledby="grant" {
                h2 id="grant" { "Its grant" }
                (grants::card(state, now))
                @if may_revoke && state.why_not.is_none() { (revoke::ways_of(&state.grant)) }
            }
        }
        section aria-labelledby="another" { h2 id="another" { "Another token" } (form()) }
    };
    Ok(Sheet::new(TITLE, body))
}

fn form() -> Markup {
    html! {
        form method="post" action="/explain" autocomplete="off" {
            label for="token" { "Token" }
            textarea id="token" name="token" rows="5" required maxlength=(MAX_BYTES) spellcheck="false" autocapitalize="off"
                aria-describedby="token-help" {}
            p.small id="token-help" { "Any token of ours, or any JWT. It is looked at and forgotten: it stands in no address and no log." }
            label for="resource" { "Asked by the resource " span.quiet { "(may be left out)" } }
            input id="resource" name="resource" type="text" spellcheck="false" autocapitalize="off"
                placeholder="https://orders.internal";
            button type="submit" { "Say why" }
        }
    }
}

fn verdict(explanation: &Explanation, now: Timestamp) -> Markup {
    let Explanation { kind, why_not, text, generation, newest, ended_at, revision, .. } = explanation;
    let is_active = why_not.is_none();
    html! {
        section.state.good[is_active].bad[!is_active] aria-label="Answer" {
            p.verdict { @if is_active { "Active" } @else { "Not active" } }
            p { (text) }
            dl.facts {
                (words::fact("Kind", name(*kind)))
                (words::fact_if("Generation", of_how_many(*generation, *newest)))
                (words::fact_if("Ended", ended_at.map(|at| words::moment(at, now))))
                (words::fact("Known up to", words::code(revision.to_string())))
            }
        }
    }
}

/// None where a token has none. How many there are only its grant's record tells.
fn of_how_many(generation: Generation, newest: Generation) -> Option<String> {
    match (generation, newest) {
        (0, 0) => None,
        (generation, 0) => Some(generation.to_string()),
        (generation, newest) => Some(format!("{generation} of {newest}")),
    }
}

const fn name(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Unknown => "none of ours",
        TokenKind::Refresh => "refresh token",
        TokenKind::JwtAccess => "access token, JWT",
        TokenKind::OpaqueAccess => "access token, opaque",
        TokenKind::Id => "ID token",
        TokenKind::Code => "authorization code",
        TokenKind::Device => "device code",
    }
}

/// What an active token says to who introspects it.
fn said(says: &Active, now: Timestamp) -> Markup {
    let at = |seconds| words::moment(Timestamp::from_secs(seconds), now);
    let list = |texts: &[String]| (!texts.is_empty()).then(|| words::code(texts.join(" ")));
    let bound = says.binding.map(words::bound);
    html! {
        section aria-labelledby="says" {
            h2 id="says" { "What it says, proved" }
            dl.facts {
                (words::fact("Subject", words::code(&says.sub)))
                (words::fact("Client", words::code(&says.client_id)))
                (words::fact("Scope", words::code(&says.scope)))
                (words::fact_if("For", list(&says.aud)))
                (words::fact("Issued", at(says.iat)))
                (words::fact_if("Not before", says.nbf.map(at)))
                (words::fact("Expires", at(says.exp)))
                (words::fact_if("Session", says.sid.as_ref().map(words::code)))
                (words::fact_if("Signed in", says.auth_time.map(at)))
                (words::fact_if("acr", says.acr.as_ref().map(words::code)))
                (words::fact_if("amr", list(&says.amr)))
                (words::fact_if("Bound", bound))
                (words::fact_if("Token id", (!says.jti.is_empty()).then(|| words::code(&says.jti))))
                (words::fact_if("Acting", says.act.as_ref().map(|act| words::code(Value::Object(act.clone()).to_string()))))
                (words::fact_if("Details", json_if(&says.authorization_details)))
                (words::fact_if(
                    "Further claims",
                    (!says.claims.is_empty()).then(|| words::code(Value::Object(says.claims.clone()).to_string()))
                ))
            }
        }
    }
}

/// How to end a token whose grant has no record, by what it says.
fn ways(says: &Active) -> Markup {
    let client = ClientId::parse("client_id", &says.client_id).ok();
    let whose = Subject::parse("sub", &says.sub).ok().zip(client).filter(|_| says.sub != says.client_id);
    let session = says.sid.as_ref().and_then(|sid| SessionId::parse("sid", sid).ok());
    html! {
        @match &whose {
            Some((subject, client)) => (revoke::ways(says.grant, session.as_ref(), subject, client)),
            None => p.quiet { "A client's own token belongs to no user: it expires by itself, or `jeton revoke` ends it." },
        }
    }
}

/// Authorization details, where there are any.
fn json_if(details: &[Value]) -> Option<Markup> {
    (!details.is_empty()).then(|| words::code(Value::from(details.to_vec()).to_string()))
}

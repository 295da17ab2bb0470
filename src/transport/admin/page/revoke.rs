//! Ending what was granted: first what would end, then, confirmed, the revocation. Neither is ever a GET.

use super::frame::Sheet;
use super::{Asking, Behind, words};
use crate::service::Durability;
use crate::service::revoke::{Revoke, Revoked, What};
use crate::transport::caller::{Caller, Permission};
use crate::transport::fault::{Edge, Fault};
use crate::transport::http::form::Form;
use crate::transport::logged;
use jeton_domain::error::Error;
use jeton_domain::grant::Grant;
use jeton_domain::id::GrantId;
use jeton_domain::name::{ClientId, SessionId, Subject};
use jeton_domain::target::{Reason, Target};
use maud::{Markup, html};
use std::sync::Arc;

const TITLE: &str = "Revoke";

/// Why, as an operator may say it; the likeliest first.
const REASONS: [(Reason, &str); 7] = [
    (Reason::Administrative, "an administrator decided so"),
    (Reason::Leaked, "a token leaked or may have"),
    (Reason::Incident, "a security incident"),
    (Reason::AccountDisabled, "the account was disabled or deleted"),
    (Reason::CredentialChanged, "a password or another credential changed"),
    (Reason::ConsentWithdrawn, "the user withdrew consent"),
    (Reason::SignOut, "the user signed out"),
];

/// What the page can end, as its forms carry it. Of tokens it knows none: they are pasted, and forgotten.
struct Chosen {
    target: Target,
    /// Whose session it is.
    subject: Option<Subject>,
}

/// The fields of forms, as they are written and read.
type Fields = Vec<(&'static str, String)>;

impl Chosen {
    fn read(form: &mut Form) -> Result<Self, Fault> {
        let mut text = |name| form.text(name).unwrap_or_default();
        let kind = text("kind");
        let subject = |text: String| Subject::parse("sub", &text);
        let (target, subject) = match kind.as_str() {
            "grant" => {
                let id =
                    GrantId::parse(&text("grant_id")).ok_or_else(|| Error::invalid("grant_id", "is not the id of a grant"))?;
                (Target::Grant(id), None)
            }
            "session" => (Target::Session(SessionId::parse("sid", &text("sid"))?), Some(subject(text("sub"))?)),
            "subject" => (Target::Subject(subject(text("sub"))?), None),
            "consent" => (Target::Consent(subject(text("sub"))?, ClientId::parse("client_id", &text("client_id"))?), None),
            _ => return Err(Fault::of(&Error::invalid("kind", "is nothing that this page ends"))),
        };
        Ok(Self { target, subject })
    }

    /// What `read` reads. Nothing of what this page does not end.
    fn fields(&self) -> Fields {
        let mut fields = vec![("kind", self.target.word().to_owned())];
        match &self.target {
            Target::Grant(id) => fields.push(("grant_id", id.to_string())),
            Target::Session(session) => fields.push(("sid", session.to_string())),
            Target::Subject(subject) => fields.push(("sub", subject.to_string())),
            Target::Consent(subject, client) => {
                fields.extend([("sub", subject.to_string()), ("client_id", client.to_string())]);
            }
            Target::Token { .. } | Target::Client(_) | Target::SigningKey { .. } | Target::RootKey(_) => {}
        }
        fields.extend(self.subject.as_ref().map(|subject| ("sub", subject.to_string())));
        fields
    }

    /// What is sealed. Names never hold a NUL.
    fn text(&self) -> String {
        self.fields().into_iter().map(|(name, value)| format!("{name}\0{value}\0")).collect()
    }

    fn allow(&self, caller: &Caller) -> Result<(), Fault> {
        caller.may(Permission::Revoke).and_then(|()| caller.may_concern(self.target.client())).map_err(logged)
    }

    fn asked(self, reason: Reason, dry_run: bool) -> Revoke {
        Revoke { what: What::Target { target: self.target, subject: self.subject }, reason, dry_run }
    }

    fn named(&self) -> Markup {
        html! {
            @match &self.target {
                Target::Grant(id) => { "the grant " (words::code(id.to_string())) }
                Target::Session(session) => { "every grant of the session " (words::code(session.as_str())) }
                Target::Subject(subject) => { "everything of " (words::code(subject.as_str())) }
                Target::Consent(subject, client) => { "what " (words::code(subject.as_str())) " allowed " (words::code(client.as_str())) }
                Target::Token { .. } | Target::Client(_) | Target::SigningKey { .. } | Target::RootKey(_) => (self.target.word()),
            }
        }
    }
}

/// A button that leads to what would end. It changes nothing.
pub fn way(target: &Target, subject: Option<&Subject>, label: &str) -> Markup {
    let whose = subject.filter(|_| matches!(target, Target::Session(_))).cloned();
    let chosen = Chosen { target: target.clone(), subject: whose };
    html! {
        form.way method="post" action="/revoke" {
            (hidden(&chosen))
            button.plain type="submit" { (label) }
        }
    }
}

/// The buttons for all that a grant belongs to.
pub fn ways_of(grant: &Grant) -> Markup {
    ways(Some(grant.id), grant.session.as_ref(), &grant.subject, &grant.client)
}

/// The buttons for all of these.
pub fn ways(grant: Option<GrantId>, session: Option<&SessionId>, subject: &Subject, client: &ClientId) -> Markup {
    let consent = Target::Consent(subject.clone(), client.clone());
    html! {
        div.ways {
            @if let Some(grant) = grant { (way(&Target::Grant(grant), None, "Revoke this grant…")) }
            @if let Some(session) = session { (way(&Target::Session(session.clone()), Some(subject), "Revoke its session…")) }
            (way(&consent, None, "Revoke all of this client…"))
            (way(&Target::Subject(subject.clone()), None, "Revoke all of the subject…"))
        }
    }
}

fn hidden(chosen: &Chosen) -> Markup {
    html! { @for (name, value) in chosen.fields() { input type="hidden" name=(name) value=(value); } }
}

/// What would end.
pub async fn look(page: Arc<Behind>, mut asking: Asking) -> Result<Sheet, Fault> {
    let chosen = Chosen::read(&mut asking.form)?;
    chosen.allow(&asking.caller)?;
    let seal = page.seals.seal(&asking.caller.name, &chosen.text(), page.clock.now());
    let (named, fields) = (chosen.named(), hidden(&chosen));
    let Revoked::Counted(Some(counts)) = page.service.revoke(chosen.asked(Reason::Unspecified, true)).await.map_err(logged)?
    else {
        return Err(logged(Error::Internal("a dry run counted nothing".into())));
    };
    let all = counts.iter().fold(0_u64, |all, (_, count)| all.saturating_add(*count));
    let body = html! {
        h1 { "Revoke " (named) "?" }
        section.state.look aria-label="What would end" {
            p.verdict { (words::count(all)) @if all == 1 { " living grant would end" } @else { " living grants would end" } }
            @if !counts.is_empty() {
                table {
                    thead { tr { th scope="col" { "Client" } th.number scope="col" { "Grants" } } }
                    tbody {
                        @for (client, count) in &counts {
                            tr { th scope="row" { (words::code(client.as_str())) } td.number { (words::count(*count)) } }
                        }
                    }
                }
            }
            p { "Their tokens are dead at once, on every replica; those who hold them must sign in again. It cannot be undone." }
            @if all == 0 { p { "Tokens without a living grant that is recorded end too." } }
        }
        form method="post" action="/revoke/confirmed" autocomplete="off" {
            (fields)
            input type="hidden" name="seal" value=(seal);
            label for="reason" { "Why" }
            select id="reason" name="reason" {
                @for (reason, text) in REASONS { option value=(reason.word()) { (text) } }
            }
            button.danger type="submit" { "Revoke" }
            a href="/grants" { "Leave it as it is" }
        }
    };
    Ok(Sheet::new(TITLE, body))
}

/// Ends it.
pub async fn answer(page: Arc<Behind>, mut asking: Asking) -> Result<Sheet, Fault> {
    let word = asking.form.text("reason").unwrap_or_default();
    let seal = asking.form.text("seal").unwrap_or_default();
    let chosen = Chosen::read(&mut asking.form)?;
    chosen.allow(&asking.caller)?;
    if !page.seals.proves(&seal, &asking.caller.name, &chosen.text(), page.clock.now()) {
        return Err(Fault::at(Edge::DryRunMissing));
    }
    let known = REASONS.iter().find(|(reason, _)| reason.word() == word);
    let (reason, _) = known.ok_or_else(|| Error::invalid("reason", "is none that is offered"))?;
    let named = chosen.named();
    let done = page.service.revoke(chosen.asked(*reason, false)).await.map_err(logged)?;
    let Revoked::Done { revision, durability } = done else {
        return Err(logged(Error::Internal("a revocation came to nothing".into())));
    };
    let body = html! {
        h1 { "Revoked" }
        section.state.good aria-label="Answer" {
            p.verdict { "Done: " (named) }
            dl.facts {
                (words::fact("In force from", words::code(revision.to_string())))
                (words::fact("Kept by", match durability {
                    Durability::Applied => "the store",
                    Durability::Replicated => "the store and all its replicas",
                }))
            }
        }
        p { a href="/explain" { "Explain a token of it" } " · " a href="/grants" { "Other grants" } }
    };
    Ok(Sheet::new(TITLE, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(pairs: &[(&str, &str)]) -> Result<Chosen, Fault> {
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Chosen::read(&mut Form::parse(&pairs.join("&")).unwrap_or_default())
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let (alice, app) = (Subject::parse("sub", "alice").unwrap(), ClientId::parse("client_id", "app").unwrap());
        let session = Target::Session(SessionId::parse("sid", "s1").unwrap());
        for (target, subject) in [
            (Target::Grant(GrantId([7; 16])), None),
            (session, Some(alice.clone())),
            (Target::Subject(alice.clone()), None),
            (Target::Consent(alice, app), None),
        ] {
            let written = Chosen { target, subject };
            let fields = written.fields();
            let pairs: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let read = chosen(&pairs).unwrap();
            assert_eq!((&read.target, &read.subject), (&written.target, &written.subject));
        }
        for wrong in [&[][..], &[("kind", "client"), ("client_id", "app")], &[("kind", "grant"), ("grant_id", "x")]] {
            assert!(chosen(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_caller_ends_here_what_it_may_end_over_grpc() {
        let of = |pairs: &[(&str, &str)]| chosen(pairs).unwrap();
        let (subject, consent) =
            (of(&[("kind", "subject"), ("sub", "alice")]), of(&[("kind", "consent"), ("sub", "alice"), ("client_id", "app")]));
        let mut caller = Caller::new("ops");
        assert!(subject.allow(&caller).is_err() && consent.allow(&caller).is_err());
        caller.permissions = jeton_domain::caller::Reach::Some([Permission::Revoke].into());
        caller.clients = jeton_domain::caller::Reach::Some([ClientId::parse("client_id", "app").unwrap()].into());
        assert!(subject.allow(&caller).is_err() && consent.allow(&caller).is_ok());
        assert!(subject.allow(&Caller::anyone()).is_ok());
    }

    #[test]
    fn names_of_others_are_text() {
        let hostile = Subject::parse("sub", "\"><script>alert(1)</script>").unwrap();
        let shown = way(&Target::Subject(hostile), None, "Revoke").into_string();
        assert!(shown.contains("value=\"&quot;&gt;&lt;script&gt;") && !shown.contains("<script"), "{shown}");
    }
}

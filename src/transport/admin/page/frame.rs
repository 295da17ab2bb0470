//! What every page looks like: its head, the ways to the others, and how a refusal is told.

use super::words;
use crate::transport::fault::{Fault, Reason};
use jeton_domain::time::Timestamp;
use maud::{DOCTYPE, Markup, html};

/// The stylesheet.
pub const STYLE: &str = include_str!("style.css");
/// The icon.
pub const ICON: &str = include_str!("icon.svg");
/// The query by which the overview stands still.
pub const STILL: &str = "still";

/// After how many seconds a page that is live is read again.
const AGAIN: &str = "10";

/// One page.
pub struct Sheet {
    /// What it is called; the way to it among the others is marked where it is one of them.
    pub title: &'static str,
    /// Whether it is read again by itself.
    pub is_live: bool,
    /// What it shows.
    pub body: Markup,
}

/// Whose page it is, for its foot.
pub struct Facts<'a> {
    pub issuer: &'a str,
    pub store: &'a str,
    pub caller: &'a str,
    pub now: Timestamp,
}

impl Sheet {
    /// One that stands still.
    pub const fn new(title: &'static str, body: Markup) -> Self {
        Self { title, is_live: false, body }
    }
}

const WAYS: [(&str, &str); 3] = [("/", "Overview"), ("/explain", "Explain"), ("/grants", "Grants")];

/// The whole page.
pub fn page(sheet: Sheet, facts: Option<&Facts<'_>>) -> Markup {
    let Sheet { title, is_live, body } = sheet;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if is_live { meta http-equiv="refresh" content=(AGAIN); }
                title { (title) " · jeton" }
                link rel="icon" type="image/svg+xml" href="/icon.svg";
                link rel="stylesheet" href="/style.css";
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header {
                    a.brand href="/" { "jeton" }
                    nav aria-label="Pages" {
                        @for (path, name) in WAYS {
                            a href=(path) aria-current=[(name == title).then_some("page")] { (name) }
                        }
                    }
                }
                main id="content" { (body) }
                @if let Some(facts) = facts { (foot(facts)) }
            }
        }
    }
}

fn foot(facts: &Facts<'_>) -> Markup {
    let Facts { issuer, store, caller, now } = facts;
    let full = words::in_full(*now);
    html! {
        footer {
            dl {
                (words::fact("Issuer", issuer))
                (words::fact("Store", store))
                (words::fact("Caller", caller))
                (words::fact("Version", env!("CARGO_PKG_VERSION")))
                (words::fact("Time", html! { time datetime=(full) { (full) } }))
            }
        }
    }
}

/// What a person does about it, where the table of refusals speaks to who writes a client.
fn advice(fault: &Fault) -> &'static str {
    match fault.reason {
        Reason::InvalidField | Reason::InvalidTarget => "Go back, correct it, and send it again.",
        Reason::MessageTooLarge | Reason::MessageMalformed => "Go back, and paste the token alone.",
        Reason::NotFound | Reason::MethodUnknown => "The overview leads to all that there is.",
        Reason::CallerUnauthenticated => {
            "Sign in with the key of a caller as the password, under any name, or show its certificate. The log says what was wrong."
        }
        Reason::TooManyFailures => "Wait a moment, and sign in with the right key.",
        Reason::RevokedNotDurable => "It is in force. Go back and confirm it once more, until every replica of the store has it.",
        Reason::StoreUnavailable
        | Reason::Healing
        | Reason::NotDurable
        | Reason::Contended
        | Reason::DeadlineExceeded
        | Reason::Overloaded
        | Reason::RateLimited
        | Reason::ShuttingDown => {
            "Nothing is known to be done. Wait a moment, and load this once more; the overview says what is wrong."
        }
        _ => fault.row().remedy,
    }
}

/// What was refused, why, and what to do.
pub fn refused(fault: &Fault) -> Sheet {
    let body = html! {
        h1 { "Refused" }
        section.state.bad {
            p.verdict { (fault.message) }
            p { (advice(fault)) }
            p.small { (words::code(fault.reason.word())) }
        }
        p { a href="/" { "To the overview" } }
    };
    Sheet::new("Refused", body)
}

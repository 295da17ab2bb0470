//! How this replica is, at a glance: its health in words, the view of revocations, the signing keys, what it did lately. From memory, so
//! that it is there when the store is not.

use super::frame::{STILL, Sheet};
use super::{Asking, Behind, plots, words};
use crate::service::keys::{KeyState, KeyStatus};
use crate::service::watch::{EraState, Health};
use crate::transport::admin::Said;
use crate::transport::caller::{Caller, Permission};
use crate::transport::fault::Fault;
use jeton_domain::time::Timestamp;
use maud::{Markup, html};
use std::sync::Arc;
use std::time::Instant;

pub async fn answer(page: Arc<Behind>, asking: Asking) -> Result<Sheet, Fault> {
    let (now, is_live) = (page.clock.now(), !asking.is_still);
    let body = html! {
        (state(&(page.saying)()))
        section aria-labelledby="rates" {
            div.heading {
                h2 id="rates" { "Lately" }
                @if is_live { a.small href={ "/?" (STILL) } { "Stand still" } } @else { a.small href="/" { "Read again by itself" } }
            }
            (plots::all(&page.rates, Instant::now()))
        }
        section aria-labelledby="view" {
            h2 id="view" { "Revocations in memory" }
            (may(&asking.caller, Permission::Heal, || view(&page.service.view(), now)))
        }
        section aria-labelledby="keys" {
            h2 id="keys" { "Signing keys" }
            (may(&asking.caller, Permission::ReadKeys, || keys(&page.service.known_keys(), now)))
        }
    };
    Ok(Sheet { title: "Overview", is_live, body })
}

/// What the caller may see, or what it lacks.
fn may(caller: &Caller, permission: Permission, shows: impl FnOnce() -> Markup) -> Markup {
    match caller.may(permission) {
        Ok(()) => shows(),
        Err(refused) => html! { p.quiet { (Fault::of(&refused).message) } },
    }
}

/// Whether requests are sent here, and what is wrong.
fn state(Said { wrong, remarkable }: &Said) -> Markup {
    let is_ready = wrong.is_empty();
    html! {
        h1 { "This replica" }
        section.state.good[is_ready].bad[!is_ready] aria-label="Health" {
            p.verdict { @if is_ready { "Ready" } @else { "Not ready" } }
            @if is_ready && remarkable.is_empty() { p { "Nothing is wrong, and nothing needs a look." } }
            @if !is_ready { ul { @for line in wrong { li { (line) @if let Some(advice) = advice(line) { br; (advice) } } } } }
            @if !remarkable.is_empty() {
                p { strong { "Worth a look" } }
                ul { @for line in remarkable { li { (line) } } }
            }
        }
    }
}

/// What to do, where the words of what is wrong do not say it.
fn advice(wrong: &str) -> Option<&'static str> {
    if wrong.starts_with("store: ") {
        return Some(
            "Look at the store: `jeton doctor` tells what is wrong with each of its nodes. Until it answers, calls that need it are \
             refused as UNAVAILABLE; no token is called inactive for that.",
        );
    }
    match wrong {
        "starting" => Some("Wait: it was asked for nothing yet."),
        "shutting down" => Some("It was told to stop, and ends what was begun."),
        _ => None,
    }
}

fn view(health: &Health, now: Timestamp) -> Markup {
    let age = health.age.map_or_else(|| "never proved fresh".to_owned(), |age| format!("{} ms", words::count(age.get())));
    let full = health.entries.saturating_mul(100).checked_div(health.max_entries).unwrap_or_default();
    html! {
        dl.facts {
            (words::fact("Fresh", html! { @if health.stale { strong { "no: " } } "proved " (age) " ago" }))
            (words::fact("Entries", format!(
                "{} of {} ({full} %)",
                words::count_of(health.entries),
                words::count_of(health.max_entries)
            )))
            (words::fact("Size", words::bytes(health.bytes)))
            (words::fact("Holds", if health.whole { "all of the log" } else { "what is not settled; the rest is asked of the store" }))
            (words::fact("Stands at", revision(health.head.micros, &health.head.to_string(), now)))
            (words::fact("Settled up to", revision(health.settled.micros, &health.settled.to_string(), now)))
            (words::fact("Primary of the store", primary(health, now)))
            (words::fact("Known to its replicas", if health.joined { "yes" } else { "not yet: nothing is issued before" }))
        }
    }
}

/// A place in the log, whose clock counts microseconds.
fn revision(micros: u64, text: &str, now: Timestamp) -> Markup {
    html! { @if micros == 0 { "the beginning" } @else { (words::moment(Timestamp::from_millis(micros / 1_000), now)) " " (words::code(text)) } }
}

/// Under which primary the log is, and whether what another had was put back.
fn primary(health: &Health, now: Timestamp) -> Markup {
    let Some(era) = health.era else { return html! { "not met yet" } };
    html! {
        @match era.state {
            EraState::Restored { last_seen } => { "holds a backup of " (words::moment(last_seen, now)) ", and is not believed" }
            EraState::Healed | EraState::Healing if health.is_healing() => "revocations are being put back after it changed",
            EraState::Healed | EraState::Healing => "all that was known before it is there",
        }
        @if era.marker.micros > 0 { "; its era begins at " (words::code(era.marker.to_string())) }
    }
}

fn keys(keys: &[KeyStatus], now: Timestamp) -> Markup {
    html! {
        table.keys {
            thead { tr { th scope="col" { "Key" } th scope="col" { "State" } th scope="col" { "Next" } } }
            tbody {
                @for key in keys {
                    tr {
                        th scope="row" { (words::code(&key.kid)) " " span.small { (key.algorithm.word()) } }
                        td { (key.state.word()) }
                        td { (next(key, now)) }
                    }
                }
            }
        }
    }
}

/// The next step of a key's life.
fn next(key: &KeyStatus, now: Timestamp) -> Markup {
    let step = match key.state {
        KeyState::Standby => Some(("signs", Some(key.activates_at))),
        KeyState::Active => Some(("retires", key.retires_at)),
        KeyState::Retired => Some(("goes", key.removed_at)),
        KeyState::Burnt => None,
    };
    match step {
        Some((what, Some(at))) => html! { (what) " " (words::moment(at, now)) },
        Some((what, None)) => html! { (what) " when its successor takes over" },
        None => html! { "signs nothing, for ever" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(wrong: &[&str], remarkable: &[&str]) -> String {
        let lines = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        state(&Said { wrong: lines(wrong), remarkable: lines(remarkable) }).into_string()
    }

    #[test]
    fn health_is_said_in_words_with_what_to_do() {
        assert!(shown(&[], &[]).contains("Nothing is wrong"));
        let ill = shown(&["store: <gone>", "no signing key"], &["nearly full"]);
        assert!(
            ill.contains("class=\"state bad\"") && ill.contains("Not ready") && ill.contains("<li>nearly full</li>"),
            "{ill}"
        );
        assert!(ill.contains("store: &lt;gone&gt;<br>Look at the store") && ill.contains("<li>no signing key</li>"), "{ill}");
        let well = shown(&[], &["nearly full"]);
        assert!(well.contains("Ready") && well.contains("nearly full") && !well.contains("Nothing is wrong"), "{well}");
    }

    #[test]
    fn a_section_says_what_its_caller_lacks() {
        let shown = |caller: &Caller| may(caller, Permission::ReadKeys, || html! { "keys" }).into_string();
        assert_eq!(shown(&Caller::anyone()), "keys");
        let lacks = shown(&Caller::new("orders"));
        assert!(lacks.contains("caller `orders` may not `read_keys`") && !lacks.contains("keys<"), "{lacks}");
    }
}

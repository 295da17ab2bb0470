//! What the counters did lately, a line each: how it went, how many a second now, how many in all.

use super::words;
use crate::telemetry::rates::{Group, Line, Rates, WINDOW};
use maud::{Markup, html};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// The plot, in units of its own; the page stretches it.
const WIDTH: f64 = 180.0;
const HEIGHT: f64 = 24.0;

/// All groups, and what of them is worth a look.
pub fn all(rates: &Rates, now: Instant) -> Markup {
    html! {
        div.cards {
            @for group in Group::ALL { (table(group, &rates.lately(group, now))) }
        }
    }
}

fn table(group: Group, lines: &[Line]) -> Markup {
    let title = title(group);
    html! {
        section.card aria-label=(title) {
            h3 { (title) }
            @if lines.is_empty() {
                p.quiet { "None yet." }
            } @else {
                table.rates {
                    thead {
                        tr {
                            th scope="col" { (by(group)) }
                            th scope="col" { "15 minutes" }
                            th.number scope="col" { "now/s" }
                            th.number scope="col" { "in all" }
                        }
                    }
                    tbody { @for line in lines { (row(group, line)) } }
                }
            }
        }
    }
}

fn row(group: Group, line: &Line) -> Markup {
    let now = line.rates.last().map_or(0.0, |(_, rate)| *rate);
    let is_remarkable = line.total > 0 && is_remarkable(group, line.word);
    html! {
        tr class=[is_remarkable.then_some("remarkable")] {
            th scope="row" { (line.word) @if is_remarkable { span.flag { " look" } } }
            td { (plot(line)) }
            td.number { (words::rate(now)) }
            td.number { (words::count(line.total)) }
        }
    }
}

/// The way of the rates, the latest at the right. One scale a line: what is rare is seen too.
fn plot(line: &Line) -> Markup {
    let most = line.rates.iter().fold(0.0_f64, |most, (_, rate)| most.max(*rate));
    let label = format!("at most {} a second", words::rate(most));
    let (way, area) = ways(&line.rates, most);
    html! {
        svg.plot viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
            line x1="0" x2=(WIDTH) y1=(HEIGHT - 0.5) y2=(HEIGHT - 0.5) {}
            @if !way.is_empty() {
                polygon points=(area) {}
                polyline points=(way) {}
            }
        }
    }
}

/// The points of the line, and of what is below it.
fn ways(rates: &[(Duration, f64)], most: f64) -> (String, String) {
    let across = |ago: Duration| WIDTH * (1.0 - ago.as_secs_f64() / WINDOW.as_secs_f64()).clamp(0.0, 1.0);
    let (Some((first, _)), Some((last, _))) = (rates.first(), rates.last()) else { return (String::new(), String::new()) };
    let mut way = String::new();
    for (ago, rate) in rates {
        let share = if most > 0.0 { rate / most } else { 0.0 };
        // Writing to a String cannot fail.
        _ = write!(way, "{:.1},{:.1} ", across(*ago), HEIGHT - 1.0 - share * (HEIGHT - 3.0));
    }
    let area = format!("{:.1},{HEIGHT} {way}{:.1},{HEIGHT}", across(*first), across(*last));
    (way.trim_end().to_owned(), area)
}

const fn title(group: Group) -> &'static str {
    match group {
        Group::Calls => "Calls",
        Group::Refreshes => "Refreshes",
        Group::Introspections => "Introspections",
        Group::Gateways => "Requests through gateways",
        Group::Revocations => "Revocations",
        Group::Store => "Calls of the store",
    }
}

const fn by(group: Group) -> &'static str {
    match group {
        Group::Calls | Group::Store => "outcome",
        Group::Refreshes => "verdict",
        Group::Introspections | Group::Gateways => "answer",
        Group::Revocations => "target",
    }
}

/// What an operator should not overlook: theft, what failed for a fault of ours or of the store, and what the store lost.
fn is_remarkable(group: Group, word: &str) -> bool {
    match group {
        Group::Calls => matches!(word, "failed" | "shed"),
        Group::Refreshes => matches!(word, "reuse" | "forward" | "error"),
        Group::Store => !matches!(word, "ok" | "conflict" | "gone"),
        Group::Introspections | Group::Gateways | Group::Revocations => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(word: &'static str, rates: &[(u64, f64)]) -> Line {
        let rates = rates.iter().map(|(ago, rate)| (Duration::from_secs(*ago), *rate)).collect();
        Line { word, total: 3, rates }
    }

    #[test]
    fn the_latest_is_at_the_right_and_the_most_at_the_top() {
        let (way, area) = ways(&[(Duration::from_secs(900), 0.0), (Duration::from_secs(450), 4.0), (Duration::ZERO, 2.0)], 4.0);
        assert_eq!(way, "0.0,23.0 90.0,2.0 180.0,12.5");
        assert_eq!(area, "0.0,24 0.0,23.0 90.0,2.0 180.0,12.5 180.0,24");
        assert_eq!(ways(&[], 0.0), (String::new(), String::new()));
        assert_eq!(ways(&[(Duration::ZERO, 0.0)], 0.0).0, "180.0,23.0", "nothing happened, and that is drawn");
    }

    #[test]
    fn what_is_worth_a_look_says_so_in_words() {
        let shown = |group, word| table(group, &[line(word, &[(5, 0.5)])]).into_string();
        assert!(shown(Group::Refreshes, "reuse").contains("<tr class=\"remarkable\"><th scope=\"row\">reuse<span"));
        assert!(shown(Group::Store, "unavailable").contains("look") && !shown(Group::Store, "ok").contains("look"));
        assert!(table(Group::Calls, &[]).into_string().contains("None yet."));
    }
}

//! Times, numbers and names as people read them, on every page alike.

use jeton_domain::grant::Binding;
use jeton_domain::time::{Timestamp, utc};
use maud::{Markup, Render, html};

/// A moment: how far from now, and in full for who points at it.
pub fn moment(at: Timestamp, now: Timestamp) -> Markup {
    let relative = if at > now {
        format!("in {}", at.since(now).spelled())
    } else if now.since(at).secs() == 0 {
        "now".to_owned()
    } else {
        format!("{} ago", now.since(at).spelled())
    };
    let full = in_full(at);
    html! { time datetime=(full) title=(full) { (relative) } }
}

/// The same in UTC.
pub fn in_full(at: Timestamp) -> String {
    utc(i64::try_from(at.secs()).unwrap_or(i64::MAX))
}

/// A count, with its thousands apart.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A count of what is in memory.
pub fn count_of(number: usize) -> String {
    count(u64::try_from(number).unwrap_or(u64::MAX))
}

/// A number of bytes.
pub fn bytes(bytes: usize) -> String {
    let mut size = bytes as f64;
    for unit in ["bytes", "KiB", "MiB"] {
        if size < 1_024.0 {
            return if unit == "bytes" { format!("{size:.0} {unit}") } else { format!("{size:.1} {unit}") };
        }
        size /= 1_024.0;
    }
    format!("{size:.1} GiB")
}

/// So many a second.
pub fn rate(rate: f64) -> String {
    if rate >= 100.0 || rate == 0.0 { format!("{rate:.0}") } else { format!("{rate:.1}") }
}

/// To what a grant or a token is bound.
pub const fn bound(binding: Binding) -> &'static str {
    match binding {
        Binding::Jkt(_) => "to a DPoP key",
        Binding::X5t(_) => "to a certificate",
    }
}

/// One fact of a list of them.
pub fn fact(name: &str, value: impl Render) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// The same where there is something to say.
pub fn fact_if(name: &str, value: Option<impl Render>) -> Markup {
    html! { @if let Some(value) = value { (fact(name, value)) } }
}

/// Text of machines: ids, tokens' words, names that others chose.
pub fn code(text: impl Render) -> Markup {
    html! { code { (text) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jeton_domain::time::Millis;

    #[test]
    fn as_people_read_them() {
        assert_eq!([count(7), count(1_234), count(12_345_678)], ["7", "1\u{202f}234", "12\u{202f}345\u{202f}678"]);
        assert_eq!([bytes(80), bytes(1_536), bytes(3 << 30)], ["80 bytes", "1.5 KiB", "3.0 GiB"]);
        assert_eq!([rate(0.0), rate(0.25), rate(99.94), rate(1_234.5)], ["0", "0.2", "99.9", "1234"]);
        let at = Timestamp::from_secs(1_795_392_000);
        let shown = |now| moment(at, now).into_string();
        assert!(shown(at.minus(Millis::from_secs(61))).contains(">in 1m 1s</time>"));
        assert!(
            shown(at.plus(Millis::from_secs(61))).contains("datetime=\"2026-11-23T00:00:00Z\"") && shown(at).contains(">now<")
        );
    }

    #[test]
    fn what_others_chose_is_text() {
        let shown = fact("<b>", code("<script>\"'&")).into_string();
        assert_eq!(shown, "<div><dt>&lt;b&gt;</dt><dd><code>&lt;script&gt;&quot;'&amp;</code></dd></div>");
    }
}

//! The parts of a pasted token, as it says them itself. Nothing here is proved; what proves it, its tag or signature, is not shown.

use super::words;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::time::Timestamp;
use jeton_domain::token::{Numbered, NumberedKind, Opaque, Presented, parse};
use maud::{Markup, html};
use serde_json::Value;

/// The words that may stand before a token where it was copied.
const SCHEMES: [&str; 2] = ["bearer ", "dpop "];

/// A token as it was pasted, without what came along: its scheme, and the breaks of lines of a terminal.
pub fn cleaned(pasted: &str) -> String {
    let text = pasted.trim();
    let scheme = SCHEMES.iter().find_map(|scheme| text.get(..scheme.len()).filter(|begin| begin.eq_ignore_ascii_case(scheme)));
    let text = scheme.and_then(|scheme| text.get(scheme.len()..)).unwrap_or(text);
    text.split_ascii_whitespace().collect()
}

/// The parts.
pub fn shown(token: &str, now: Timestamp) -> Markup {
    match parse(token) {
        Presented::Jws(jws) => jwt(jws),
        Presented::Numbered(numbered) => of_numbered(&numbered),
        Presented::Opaque(opaque) => of_opaque(&opaque, now),
        Presented::Device => html! { p { "Random, behind the prefix of a device code." } },
        Presented::Unknown => html! { p { "No form of ours: " (words::count_of(token.len())) " characters." } },
    }
}

fn of_numbered(Numbered { kind, key, grant, generation, .. }: &Numbered) -> Markup {
    html! {
        dl.facts {
            (words::fact("Form", match kind { NumberedKind::Refresh => "refresh token", NumberedKind::Code => "authorization code" }))
            (words::fact("Grant", words::code(grant.to_string())))
            (words::fact("Generation", generation))
            (words::fact("Root key", words::code(key.to_string())))
            (words::fact("Tag", "32 bytes, not shown"))
        }
    }
}

fn of_opaque(opaque: &Opaque, now: Timestamp) -> Markup {
    html! {
        dl.facts {
            (words::fact("Form", "opaque access token"))
            (words::fact("Grant", words::code(opaque.grant.to_string())))
            (words::fact("Generation", opaque.generation))
            (words::fact("Issued", words::moment(opaque.issued_at, now)))
            (words::fact("Expires", words::moment(opaque.expires_at(), now)))
            (words::fact("Root key", words::code(opaque.key.to_string())))
            (words::fact("Tag", "16 bytes, not shown"))
        }
    }
}

fn jwt(jws: &str) -> Markup {
    let mut parts = jws.split('.');
    let (header, claims) = (parts.next().and_then(read), parts.next().and_then(read));
    html! {
        @for (name, part) in [("Header", header), ("Claims", claims)] {
            h3 { (name) }
            @match part {
                Some(part) => pre { (part) }
                None => p { "Cannot be read: it is no JSON object." }
            }
        }
        p.small { "Its signature is not shown." }
    }
}

/// The JSON object of a part, spread over lines.
fn read(part: &str) -> Option<String> {
    let value: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
    if value.is_object() { serde_json::to_string_pretty(&value).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    #[test]
    fn what_came_along_when_it_was_copied_is_left_out() {
        for pasted in ["jrt_AB", " jrt_AB\n", "Bearer jrt_AB", "bearer  jrt_\r\n  AB", "DPoP jrt_AB"] {
            assert_eq!(cleaned(pasted), "jrt_AB", "{pasted:?}");
        }
        assert_eq!(cleaned("ä bearer"), "äbearer");
    }

    #[test]
    fn a_jwt_says_what_it_says_and_keeps_its_signature() {
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let token = format!("{}.{}.c2lnbmF0dXJl", part("{\"alg\":\"none\"}"), part("{\"sub\":\"</pre><script>\"}"));
        let shown = shown(&token, NOW).into_string();
        assert!(shown.contains("&quot;alg&quot;: &quot;none&quot;") && shown.contains("&lt;/pre&gt;&lt;script&gt;"), "{shown}");
        assert!(!shown.contains("c2lnbmF0dXJl") && !shown.contains(&part("{\"alg\":\"none\"}")), "{shown}");
        let unread = super::shown("W10.e30.AA", NOW).into_string();
        assert!(unread.contains("no JSON object"), "a list is none: {unread}");
    }

    #[test]
    fn what_is_no_token_is_not_repeated() {
        let shown = shown("hunter2<b>", NOW).into_string();
        assert!(shown.contains("10 characters") && !shown.contains("hunter2"), "{shown}");
    }
}

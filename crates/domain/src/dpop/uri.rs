//! When two HTTP URIs are the same but for query and fragment (RFC 9449 section 4.3, RFC 3986 sections 6.2.2 and 6.2.3).

use std::fmt::Write as _;

/// The longest URI that is looked at, in bytes.
const MAX_BYTES: usize = 2_048;

/// Whether both are HTTP URIs, and the same.
pub fn is_same(one: &str, other: &str) -> bool {
    matches!((normal(one), normal(other)), (Some(one), Some(other)) if one == other)
}

/// The one spelling of a URI, without query and fragment; none where it is no HTTP URI, or names a user.
fn normal(uri: &str) -> Option<String> {
    if uri.len() > MAX_BYTES || !uri.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let (scheme, rest) = uri.split(['?', '#']).next()?.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
    if authority.is_empty() || authority.contains(['@', '%']) {
        return None;
    }
    let host = authority.to_ascii_lowercase();
    let host = host.strip_suffix(default_port).or_else(|| host.strip_suffix(':')).unwrap_or(&host);
    Some(format!("{scheme}://{host}{}", without_dots(&unescaped(path)?)))
}

/// Escapes only where one is needed, in upper case.
fn unescaped(path: &str) -> Option<String> {
    let mut parts = path.split('%');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let byte = digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok()).flatten()?;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            plain.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            _ = write!(plain, "%{byte:02X}");
        }
        plain.push_str(rest);
    }
    Some(plain)
}

/// RFC 3986 section 5.2.4. No path is `/`.
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." => {}
            ".." => _ = kept.pop(),
            named => {
                kept.push(named);
                continue;
            }
        }
        if segments.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "https://tokens.example.com/oauth2/token";

    #[test]
    fn spellings_of_one_uri_are_the_same() {
        for same in [
            OURS,
            "HTTPS://Tokens.Example.COM/oauth2/token",
            "https://tokens.example.com:443/oauth2/token",
            "https://tokens.example.com:/oauth2/token",
            "https://tokens.example.com/oauth2/token?x=1#y",
            "https://tokens.example.com/oauth2/./x/../token",
            "https://tokens.example.com/oauth2/%74oken",
        ] {
            assert!(is_same(same, OURS), "{same}");
        }
        for (one, other) in [("http://h", "http://h:80/"), ("http://h/a/..", "http://h/"), ("http://h/%c3", "http://h/%C3")] {
            assert!(is_same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn another_uri_is_another() {
        for other in [
            "http://tokens.example.com/oauth2/token",
            "https://tokens.example.com:80/oauth2/token",
            "https://tokens.example.com:8443/oauth2/token",
            "https://tokens.example.com/oauth2/token/",
            "https://tokens.example.com/oauth2/Token",
            "https://tokens.example.com/oauth2%2Ftoken",
            "https://tokens.example.com//oauth2/token",
            "https://tokens.example.com/oauth2/token%",
            "https://tokens.example.com/oauth2/token%2",
            "https://tokens.example.com/oauth2/token%+4",
            "https://tokens.example.com.evil.com/oauth2/token",
            "https://evil@tokens.example.com/oauth2/token",
            "https://tokens.example.com\\/oauth2/token",
            "//tokens.example.com/oauth2/token",
            "/oauth2/token",
            "https:///oauth2/token",
            "https://tokens.example.com/oauth2/token ",
            "",
        ] {
            assert!(!is_same(other, OURS), "{other}");
        }
        assert!(!is_same("ftp://h/", "ftp://h/"), "no HTTP URI is the same as none");
    }
}

//! Redirect URIs: where a code may be sent. Compared letter by letter (RFC 9700 section 2.1), but for the port of a loopback address,
//! which a native application is given by its system (RFC 8252 section 7.3).

use crate::error::{Error, Result};
use std::fmt;

/// A redirect URI: absolute, without fragment (RFC 6749 section 3.1.2).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RedirectUri(Box<str>);

impl RedirectUri {
    /// The longest that is accepted, in bytes.
    pub const MAX_BYTES: usize = 2_048;

    /// Parses `text`; `field` is what an error calls it.
    ///
    /// # Errors
    /// `Error::Invalid` naming `field`: no absolute URI, a fragment, a user, too long.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let refuse = |problem: &str| Err(Error::invalid(field, problem));
        if text.len() > Self::MAX_BYTES {
            return refuse("is longer than 2048 bytes");
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return refuse("is not a URI: it may contain printable ASCII characters without spaces only");
        }
        let Some((scheme, rest)) = text.split_once(':') else { return refuse("is not an absolute URI") };
        let scheme_sound = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        if !scheme_sound || rest.is_empty() {
            return refuse("is not an absolute URI");
        }
        // A browser runs these instead of going anywhere.
        if ["javascript", "data", "vbscript"].iter().any(|bad| scheme.eq_ignore_ascii_case(bad)) {
            return refuse("has a scheme that leads nowhere");
        }
        if text.contains('#') {
            return refuse("must not have a fragment (RFC 6749 section 3.1.2)");
        }
        let authority = rest.strip_prefix("//").map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
        if authority.is_some_and(|authority| authority.contains('@')) {
            return refuse("must not hold a user or password");
        }
        if ["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web)) && authority.unwrap_or_default().is_empty() {
            return refuse("has no host");
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `asked` is this one, as registered.
    #[must_use]
    pub fn allows(&self, asked: &Self) -> bool {
        self == asked
            || match (self.without_loopback_port(), asked.without_loopback_port()) {
                (Some(registered), Some(asked)) => registered == asked,
                _ => false,
            }
    }

    /// Whether what is sent there crosses a network that anybody may read: plain HTTP, and not to the user's own machine.
    #[must_use]
    pub fn is_in_the_clear(&self) -> bool {
        let Some((scheme, rest)) = self.0.split_once("://") else { return false };
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => authority,
        };
        let is_own = ["localhost", "127.0.0.1", "[::1]"].iter().any(|own| host.eq_ignore_ascii_case(own));
        scheme.eq_ignore_ascii_case("http") && !is_own
    }

    /// Host and what follows the port, where it is plain HTTP to a loopback address.
    fn without_loopback_port(&self) -> Option<(&str, &str)> {
        let rest = self.0.strip_prefix("http://")?;
        let host = ["127.0.0.1", "[::1]"].into_iter().find(|host| rest.starts_with(host))?;
        let after = rest.strip_prefix(host)?;
        let end = after.find(['/', '?']).unwrap_or(after.len());
        let (port, path) = after.split_at_checked(end)?;
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
        is_port.then_some((host, path))
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> RedirectUri {
        RedirectUri::parse("redirect_uri", text).unwrap()
    }

    #[test]
    fn only_the_very_same_is_allowed() {
        let registered = uri("https://app.example.com/cb");
        assert!(registered.allows(&uri("https://app.example.com/cb")));
        let others = [
            "https://app.example.com/cb/",
            "https://app.example.com/cb?x=1",
            "https://app.example.com/CB",
            "https://APP.example.com/cb",
            "https://app.example.com:443/cb",
            "https://app.example.com/cb/../evil",
            "https://app.example.com.evil.com/cb",
            "http://app.example.com/cb",
            "https://app.example.com/%63b",
        ];
        for other in others {
            assert!(!registered.allows(&uri(other)), "{other}");
        }
    }

    #[test]
    fn plain_http_stays_on_the_machine() {
        for own in
            ["http://localhost:1/cb", "http://127.0.0.1/cb", "http://[::1]:49152/cb", "http://[::1]?x", "https://a/cb", "app:/cb"]
        {
            assert!(!uri(own).is_in_the_clear(), "{own}");
        }
        for other in
            ["http://app.example.com/cb", "HTTP://a:80/cb", "http://127.0.0.1.evil.com/cb", "http://10.0.0.1", "http://[::2]/"]
        {
            assert!(uri(other).is_in_the_clear(), "{other}");
        }
    }

    #[test]
    fn a_loopback_address_may_have_any_port() {
        let registered = uri("http://127.0.0.1/cb");
        for same in ["http://127.0.0.1/cb", "http://127.0.0.1:49152/cb"] {
            assert!(registered.allows(&uri(same)), "{same}");
        }
        for other in [
            "http://127.0.0.1:49152/other",
            "http://127.0.0.1.evil.com/cb",
            "http://[::1]:1/cb",
            "http://localhost:1/cb",
            "https://127.0.0.1:1/cb",
            "http://127.0.0.1:99999/cb",
            "http://127.0.0.1:/evil",
        ] {
            assert!(!registered.allows(&uri(other)), "{other}");
        }
        assert!(uri("http://[::1]:3000/cb").allows(&uri("http://[::1]:4000/cb")));
    }

    #[test]
    fn what_is_no_place_to_go_is_refused() {
        for bad in [
            "",
            "cb",
            "/cb",
            "https:",
            "https:///cb",
            "https://a/#f",
            "https://a@b/",
            "javascript:alert(1)",
            "DATA:x",
            "https://a b",
            "1a://b",
        ] {
            assert!(RedirectUri::parse("redirect_uri", bad).is_err(), "{bad}");
        }
        uri("com.example.app:/cb");
    }
}

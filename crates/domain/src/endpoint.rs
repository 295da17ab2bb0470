//! Endpoints: addresses of others that jeton calls by itself. Over TLS, or on this machine.

use crate::error::{Error, Result};
use crate::secret::shown_address;
use std::fmt;
use std::net::IpAddr;

/// An absolute HTTP URI without user and fragment: https, or http to a loopback address. Nobody but the operator names one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    text: Box<str>,
    is_tls: bool,
    host: Box<str>,
    port: u16,
    target: Box<str>,
}

impl Endpoint {
    /// The longest that is accepted, in bytes.
    pub const MAX_BYTES: usize = 2_048;

    /// Parses `text`; `field` is what an error calls it.
    ///
    /// # Errors
    /// `Error::Invalid` naming `field`: no such URI, plain HTTP to another machine, too long.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let refuse = |problem: &str| Error::invalid(field, problem);
        let is_of_uri = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b);
        if text.len() > Self::MAX_BYTES || !text.bytes().all(is_of_uri) {
            return Err(refuse("is not a URI of at most 2048 bytes"));
        }
        let (is_tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(refuse("is no http or https URI: write one such as https://app.example.com/path")),
        };
        if text.contains('#') {
            return Err(refuse("must not have a fragment"));
        }
        let (authority, target) = rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len())).unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(refuse("must not hold a user or password"));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let host = host_of(host).ok_or_else(|| refuse("has no host that is a name or an IP address"))?;
        let default_port = if is_tls { 443 } else { 80 };
        let read = |port: &str| port.parse().ok().filter(|number| *number != 0 && !port.starts_with('+'));
        let port = port.map_or(Some(default_port), read);
        if !is_tls && !is_loopback(host) {
            return Err(refuse(
                "must begin with https, for http would cross the network in the clear; on this machine http may do",
            ));
        }
        let target = if target.starts_with('/') { target.into() } else { format!("/{target}") };
        Ok(Self {
            text: text.into(),
            is_tls,
            host: host.into(),
            port: port.ok_or_else(|| refuse("has a port that is none"))?,
            target: target.into(),
        })
    }

    /// The text, letter by letter.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether TLS is spoken there. If not, it is on this machine.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// A name or an IP address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, named or of the scheme.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as the `Host` header says them (RFC 9110 section 7.2).
    #[must_use]
    pub fn authority(&self) -> &str {
        let rest = self.text.split_once("://").map_or("", |(_, rest)| rest);
        rest.split(['/', '?']).next().unwrap_or_default()
    }

    /// Path and query, from the slash on.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }
}

/// For people: without its query, where keys are put.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown_address(&self.text))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", shown_address(&self.text))
    }
}

fn host_of(text: &str) -> Option<&str> {
    if let Some(address) = text.strip_prefix('[') {
        return address.strip_suffix(']').filter(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let is_name = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    is_name.then_some(text)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (bool, String, u16, String, String) {
        let endpoint = Endpoint::parse("uri", text).unwrap();
        let owned = |part: &str| part.to_owned();
        let parts = (owned(endpoint.host()), owned(endpoint.authority()), owned(endpoint.target()));
        (endpoint.is_tls(), parts.0, endpoint.port(), parts.1, parts.2)
    }

    #[test]
    fn it_is_taken_apart() {
        let expected = |tls, host: &str, port, authority: &str, target: &str| {
            (tls, host.to_owned(), port, authority.to_owned(), target.to_owned())
        };
        for (text, parts_of_it) in [
            ("https://a.example", expected(true, "a.example", 443, "a.example", "/")),
            ("https://a.example:8443/b?c=/d", expected(true, "a.example", 8443, "a.example:8443", "/b?c=/d")),
            ("https://a.example?c", expected(true, "a.example", 443, "a.example", "/?c")),
            ("https://[2001:db8::1]/x", expected(true, "2001:db8::1", 443, "[2001:db8::1]", "/x")),
            ("http://[::1]:81", expected(false, "::1", 81, "[::1]:81", "/")),
            ("http://127.0.0.1", expected(false, "127.0.0.1", 80, "127.0.0.1", "/")),
            ("http://localhost:8080/x", expected(false, "localhost", 8080, "localhost:8080", "/x")),
        ] {
            assert_eq!(parts(text), parts_of_it, "{text}");
        }
        let secret = Endpoint::parse("uri", "https://a.example/b?key=hunter2").unwrap();
        assert_eq!(format!("{secret} {secret:?}"), "https://a.example/b?*** \"https://a.example/b?***\"");
        assert_eq!(secret.as_str(), "https://a.example/b?key=hunter2");
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for bad in [
            "",
            "a.example",
            "ftp://a.example/",
            "HTTPS://a.example/",
            "https://",
            "https:///x",
            "https://?x",
            "https://a.example/#f",
            "https://user@a.example/",
            "https://a.example:/",
            "https://a.example:0/",
            "https://a.example:65536/",
            "https://a.example:+1/",
            "https://a.example/ b",
            "https://a.example/\r\nx",
            "https://a.example/{b}",
            "https://a.example\\@b/",
            "https://ä.example/",
            "https://[::1/",
            "https://[a.example]/",
            "https://::1/",
            "http://a.example/",
            "http://127.0.0.1.evil.example/",
            "http://localhost.evil.example/",
            "http://169.254.169.254/latest",
            "http://[::ffff:10.0.0.1]/",
        ] {
            assert!(Endpoint::parse("uri", bad).is_err(), "{bad}");
        }
        let long = format!("https://a.example/{}", "x".repeat(Endpoint::MAX_BYTES));
        assert!(Endpoint::parse("uri", &long).is_err());
    }
}

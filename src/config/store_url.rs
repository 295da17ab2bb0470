//! Where the store is. A Redis URL may hold a password, which nothing here ever shows.

use super::check::host_and_port;
use jeton_domain::secret::SecretText;
use std::fmt;
use std::path::PathBuf;

/// Where grants, keys and revocations are kept. `Display` and `Debug` leave the password out.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `embedded:PATH`: a directory of this machine, durable. A relative path starts at the working directory.
    Embedded(PathBuf),
    /// `memory:`: nothing is kept when the process ends. For trials and tests.
    Memory,
    /// `redis://` or `rediss://` (TLS), with user and password where Redis demands them.
    Redis(SecretText),
}

impl StoreUrl {
    /// Reads `embedded:PATH`, `memory:`, `redis://...` or `rediss://...`.
    ///
    /// # Errors
    /// What is wrong and what would be right. The text itself is never repeated: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        if let Some(path) = text.strip_prefix("embedded:") {
            if path.is_empty() || path.contains('\0') {
                return Err("names no directory: write embedded:PATH, such as embedded:data".into());
            }
            return Ok(Self::Embedded(PathBuf::from(path)));
        }
        let Some((_, rest)) = text.split_once("://").filter(|(scheme, _)| matches!(*scheme, "redis" | "rediss")) else {
            return Err("is no store: write embedded:PATH, memory:, redis://HOST:PORT or rediss://HOST:PORT".into());
        };
        if !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err("is not a URL: percent-encode spaces and other characters beyond ASCII".into());
        }
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        let authority = place.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = host_and_port(authority);
        if host.is_empty() {
            return Err("names no host: write redis://HOST:PORT, such as redis://127.0.0.1:6379".into());
        }
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err("has a port that is no number from 0 to 65535; percent-encode `@`, `:` and `/` in a password".into());
        }
        Ok(Self::Redis(SecretText::new(text.into())))
    }

    /// Whether it is a Redis.
    #[must_use]
    pub const fn is_redis(&self) -> bool {
        matches!(self, Self::Redis(_))
    }

    /// The URL for people: the password, and what could be one, is left out.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Embedded(path) => format!("embedded:{}", path.display()),
            Self::Memory => "memory:".into(),
            Self::Redis(url) => {
                let (scheme, rest) = url.expose().split_once("://").unwrap_or(("redis", ""));
                // The last `@`: a password that was not percent-encoded must not slip through behind the first.
                let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
                let place = place.split(['?', '#']).next().unwrap_or_default();
                match user.map(|user| user.split_once(':').map_or("", |(name, _)| name)) {
                    None => format!("{scheme}://{place}"),
                    Some(name) => format!("{scheme}://{name}:***@{place}"),
                }
            }
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_could_be_a_password_is_left_out() {
        for url in [
            "redis://:hunter2@redis:6379",
            "rediss://jeton:hunter2@redis:6379/0",
            "redis://hunter2@redis",
            "redis://a:hunter2@hunter2@redis",
            "redis://a:hunter2/hunter2@redis",
            "redis://redis:6379/?password=hunter2",
        ] {
            let store = StoreUrl::parse(url).expect(url);
            assert!(!format!("{store} {store:?} {store:#?}").contains("hunter2"), "{store}");
        }
        assert_eq!(StoreUrl::parse("rediss://jeton:hunter2@redis:6379/0").unwrap().shown(), "rediss://jeton:***@redis:6379/0");
    }

    #[test]
    fn what_is_no_store_is_refused_without_repeating_it() {
        for bad in [
            "redis:hunter2",
            "redis://",
            "redis://:hunter2@",
            "redis://u:hunter2@host:port",
            "redis://h o st/hunter2",
            "postgres://hunter2@db",
            "embedded:",
            "memory:x",
            "",
        ] {
            let problem = StoreUrl::parse(bad).expect_err(bad);
            assert!(!problem.contains("hunter2"), "{problem}");
        }
        for good in ["redis://[::1]:6379", "redis://[::1]", "redis://redis", "memory:", "embedded:/var/lib/jeton"] {
            assert!(StoreUrl::parse(good).is_ok(), "{good}");
        }
    }
}

//! Where the store is. The address of a Redis may hold a password, which nothing here ever shows.

use crate::store::redis::Address;
use std::fmt;
use std::path::PathBuf;

/// Where grants, keys and revocations are kept. `Display` and `Debug` leave the password out.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `embedded:PATH`: a directory of this machine, durable. A relative path starts at the working directory.
    Embedded(PathBuf),
    /// `memory:`: nothing is kept when the process ends. For trials and tests.
    Memory,
    /// `redis://`, `redis+sentinel://` or `redis+cluster://`, with `rediss` for TLS, and user and password where Redis demands them.
    Redis(Address),
}

impl StoreUrl {
    /// Reads `embedded:PATH`, `memory:` or the address of a Redis.
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
        if Address::is_meant(text) {
            return Address::parse(text).map(Self::Redis);
        }
        Err("is no store: write embedded:PATH, memory:, redis://HOST:PORT, redis+sentinel://HOST:PORT,.../NAME or \
             redis+cluster://HOST:PORT,..., with rediss for TLS"
            .into())
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
            Self::Redis(address) => address.shown(),
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
            "redis://a:hunter2@hunter2@redis",
            "redis+cluster://a:hunter2@redis:6379",
            "redis+sentinel://redis:6379/main?sentinel_password=hunter2",
        ] {
            let store = StoreUrl::parse(url).expect(url);
            assert!(!format!("{store} {store:?} {store:#?}").contains("hunter2"), "{store}");
        }
        assert_eq!(StoreUrl::parse("rediss://jeton:hunter2@redis:6379/0").unwrap().shown(), "rediss://jeton:***@redis:6379");
    }

    #[test]
    fn what_is_no_store_is_refused_without_repeating_it() {
        for bad in [
            "redis:hunter2",
            "redis://",
            "redis://:hunter2@",
            "redis://hunter2@redis",
            "redis://a:hunter2/hunter2@redis",
            "redis://redis:6379/?password=hunter2",
            "redis://u:hunter2@host:port",
            "redis://h o st/hunter2",
            "redis+sentinel://:hunter2@redis",
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

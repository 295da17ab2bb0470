//! Names that people and services choose: clients, resources, subjects, sessions. Each is parsed once, at the edge, and bounded.

use crate::error::{Error, Result};
use std::fmt;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:literal, $allowed:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The longest that is accepted, in bytes.
            pub const MAX_BYTES: usize = $max;

            /// Parses `text`; `field` is what an error calls it.
            ///
            /// # Errors
            /// `Error::Invalid` naming `field`: empty, too long, or with a character that is not allowed.
            pub fn parse(field: &str, text: &str) -> Result<Self> {
                if text.is_empty() {
                    return Err(Error::invalid(field, "must not be empty"));
                }
                if text.len() > Self::MAX_BYTES {
                    return Err(Error::invalid(field, concat!("is longer than ", $max, " bytes")));
                }
                let allowed: fn(char) -> bool = $allowed;
                if !text.chars().all(allowed) {
                    return Err(Error::invalid(field, $rule));
                }
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }
    };
}

const fn printable(c: char) -> bool {
    c.is_ascii_graphic() || c == ' '
}

name!(
    /// A client's identifier (RFC 6749 section 2.2).
    ClientId, 128, printable, "may contain printable ASCII characters only"
);
name!(
    /// The user, or for client credentials the client, that a token speaks for: the `sub` claim. At most 255 ASCII characters (OIDC Core section 2).
    Subject, 255, printable, "may contain printable ASCII characters only"
);
name!(
    /// One sign-in: the `sid` claim.
    SessionId, 128, printable, "may contain printable ASCII characters only"
);

/// A resource server, named by its identifier URI, which becomes `aud` (RFC 8707 section 2: absolute, without fragment).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(Box<str>);

impl ResourceId {
    /// The longest that is accepted, in bytes.
    pub const MAX_BYTES: usize = 512;

    /// Parses `text`; `field` is what an error calls it.
    ///
    /// # Errors
    /// `Error::InvalidTarget` where it is no absolute URI without fragment, or is too long.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let refuse = |problem: &str| Err(Error::invalid_target(field, problem));
        if text.len() > Self::MAX_BYTES {
            return refuse("is longer than 512 bytes");
        }
        if !text.chars().all(|c| c.is_ascii_graphic()) {
            return refuse("is not a URI: it may contain printable ASCII characters without spaces only");
        }
        let Some((scheme, rest)) = text.split_once(':') else {
            return refuse("is not an absolute URI (RFC 8707 section 2), such as https://orders.internal");
        };
        let begins_with_letter = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
        let scheme_ok = scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        if !begins_with_letter || !scheme_ok || rest.is_empty() {
            return refuse("is not an absolute URI (RFC 8707 section 2), such as https://orders.internal");
        }
        if text.contains('#') {
            return refuse("must not have a fragment (RFC 8707 section 2)");
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_nul_are_refused() {
        for bad in ["a\0b", "a\nb", "a\u{1b}[31m", "ä", ""] {
            assert!(Subject::parse("sub", bad).is_err(), "{bad:?}");
        }
        assert!(Subject::parse("sub", &"x".repeat(256)).is_err());
        assert!(Subject::parse("sub", "alice@example.com").is_ok());
    }

    #[test]
    fn a_resource_is_an_absolute_uri_without_fragment() {
        for bad in ["", "orders", "/orders", "https:", "https://a#b", "1https://a", "https://a b"] {
            assert!(ResourceId::parse("resource", bad).is_err(), "{bad:?}");
        }
        for good in ["https://orders.internal", "urn:example:orders"] {
            assert!(ResourceId::parse("resource", good).is_ok(), "{good:?}");
        }
    }
}

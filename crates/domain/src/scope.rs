//! Scopes: an ordered set of scope tokens (RFC 6749 section 3.3), and what the OpenID Connect ones mean here.

use crate::error::{Error, Result};
use std::fmt;

/// An ordered set of scope tokens. The order is that of the request and never changes for a grant: opaque access tokens point into it by bit.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Scopes(Vec<Box<str>>);

/// Asks for an ID token (OIDC Core section 3.1.2.1).
pub const OPENID: &str = "openid";
/// Asks for a refresh token (OIDC Core section 11).
pub const OFFLINE_ACCESS: &str = "offline_access";
/// The scopes that belong to no resource (OIDC Core sections 3.1.2.1, 5.4 and 11).
pub const OIDC: [&str; 6] = [OPENID, OFFLINE_ACCESS, "profile", "email", "address", "phone"];

/// The claims that a scope asks for (OIDC Core section 5.4); none for any other.
#[must_use]
pub fn claims(scope: &str) -> &'static [&'static str] {
    match scope {
        "profile" => &[
            "name",
            "family_name",
            "given_name",
            "middle_name",
            "nickname",
            "preferred_username",
            "profile",
            "picture",
            "website",
            "gender",
            "birthdate",
            "zoneinfo",
            "locale",
            "updated_at",
        ],
        "email" => &["email", "email_verified"],
        "address" => &["address"],
        "phone" => &["phone_number", "phone_number_verified"],
        _ => &[],
    }
}

impl Scopes {
    /// The most scope tokens one request may name.
    pub const MAX: usize = 128;
    /// The longest a single scope token may be, in bytes.
    pub const MAX_TOKEN_BYTES: usize = 128;

    /// Parses a space-separated list; a token named twice counts once. Empty means none.
    ///
    /// # Errors
    /// `Error::InvalidScope` naming `field`: a character outside RFC 6749 section 3.3, too many, too long.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let refuse = |problem: String| Err(Error::invalid_scope(field, problem));
        if text.len() > Self::MAX * (Self::MAX_TOKEN_BYTES + 1) {
            return refuse(format!("names more than {} scopes", Self::MAX));
        }
        let mut scopes = Self::default();
        for token in text.split(' ').filter(|token| !token.is_empty()) {
            if token.len() > Self::MAX_TOKEN_BYTES {
                return refuse(format!("has a scope longer than {} bytes", Self::MAX_TOKEN_BYTES));
            }
            if !token.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E)) {
                return refuse("has a character that RFC 6749 section 3.3 does not allow".into());
            }
            scopes.insert(token);
            if scopes.len() > Self::MAX {
                return refuse(format!("names more than {} scopes", Self::MAX));
            }
        }
        Ok(scopes)
    }

    /// Adds a scope token at the end, unless it is there.
    pub fn insert(&mut self, token: &str) {
        if !self.contains(token) {
            self.0.push(token.into());
        }
    }

    /// Whether `token` is among them.
    #[must_use]
    pub fn contains(&self, token: &str) -> bool {
        self.0.iter().any(|held| **held == *token)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// The first of these that `other` does not have.
    #[must_use]
    pub fn first_outside<'a>(&'a self, other: &Self) -> Option<&'a str> {
        self.iter().find(|token| !other.contains(token))
    }

    /// Those for which `keep` holds, in this order.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|token| keep(token)).cloned().collect())
    }

    /// Whether a scope belongs to OpenID Connect and so to no resource.
    #[must_use]
    pub fn is_oidc(token: &str) -> bool {
        OIDC.contains(&token)
    }
}

impl FromIterator<Box<str>> for Scopes {
    fn from_iter<T: IntoIterator<Item = Box<str>>>(tokens: T) -> Self {
        let mut scopes = Self::default();
        for token in tokens {
            scopes.insert(&token);
        }
        scopes
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, token) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            f.write_str(token)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_scopes_are_refused() {
        let many = (0..10_000).map(|n| format!("s{n}")).collect::<Vec<_>>().join(" ");
        assert!(matches!(Scopes::parse("scope", &many), Err(Error::InvalidScope { .. })));
    }

    #[test]
    fn a_scope_named_twice_counts_once_and_order_stays() {
        let scopes = Scopes::parse("scope", "b  a b").map(|s| s.to_string());
        assert_eq!(scopes.ok().as_deref(), Some("b a"));
    }

    #[test]
    fn quotes_backslashes_and_controls_are_refused() {
        for bad in ["a\"b", "a\\b", "a\tb", "ä", "a\0"] {
            assert!(Scopes::parse("scope", bad).is_err(), "{bad:?}");
        }
    }
}

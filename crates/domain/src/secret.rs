//! Bytes and strings that must never be shown: no `Display`, a silent `Debug`, wiped when dropped.

use std::fmt;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Secret bytes of a fixed length. Compared in constant time; `Debug` says only that it is secret.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Takes the bytes.
    #[must_use]
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// The bytes, for deriving and sealing only.
    #[must_use]
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A token, client secret or assertion as text. `expose` is the only way to its characters.
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop)]
pub struct SecretText(String);

impl SecretText {
    /// Takes the text.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The characters, for checking and for the reply that hands the token out.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl PartialEq for SecretText {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for SecretText {}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

/// What secrets that jeton makes begin with.
const PREFIXES: [&str; 6] = ["jrt_", "jat_", "jac_", "jdc_", "jcs_", "jck_"];

/// A piece of a request or a configuration as an error may repeat it: what looks like a token, a key or a client's secret was put into the
/// wrong field, and is left out.
#[must_use]
pub fn shown(text: &str) -> &str {
    let has_secret = text.contains("eyJ") || PREFIXES.iter().any(|prefix| text.contains(prefix));
    if has_secret || has_root_key(text) { "(a secret)" } else { text }
}

/// Whether the whole of it is a token, a key or a client's secret by its beginning. Names may look like a hash, or like the JSON that a JWT
/// begins with.
#[must_use]
pub fn is_one(text: &str) -> bool {
    PREFIXES.iter().any(|prefix| text.starts_with(prefix)) || (text.starts_with("eyJ") && text.contains('.'))
}

/// Whether 64 hexadecimal digits stand in it, as a root key is written. A hash says what it is.
fn has_root_key(text: &str) -> bool {
    !text.contains("sha256:") && text.split(|c: char| !c.is_ascii_hexdigit()).any(|digits| digits.len() >= 64)
}

/// The address of a server as logs and people may see it: without user and password, and without what stands behind `?` and `#`, where keys
/// are put. Of what is no address only that is left out which [`shown`] leaves out.
#[must_use]
pub fn shown_address(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return shown(text).into() };
    // The last `@`: a password may hold whatever ends a host.
    let (login, rest) = rest.rsplit_once('@').map_or(("", rest), |(_secret, rest)| ("***@", rest));
    let (kept, query) = rest.split_once(['?', '#']).map_or((rest, ""), |(kept, _secret)| (kept, "?***"));
    shown(&format!("{scheme}://{login}{kept}{query}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_not_repeated() {
        for text in ["jrt_AbPw", "https://orders.internal/jat_AbPw", "jcs_x", "eyJhbGciOi.e30.AA"] {
            assert_eq!(shown(text), "(a secret)");
        }
        assert_eq!(shown("orders:read"), "orders:read");
        let root_key = "a1".repeat(32);
        assert_eq!(shown(&format!("[{root_key}]")), "(a secret)");
        let hash = format!("sha256:{root_key}");
        assert_eq!(shown(&hash), hash);
        for name in [root_key.as_str(), "eyJzdWIiOiJ4In0", "orders_jat_1"] {
            assert!(!is_one(name), "{name}");
        }
        assert!(is_one("jrt_AbPw") && is_one("eyJhbGciOi.e30.AA"));
    }

    #[test]
    fn an_address_is_shown_without_what_may_be_secret() {
        for (written, shown) in [
            ("https://keys.example/jwks", "https://keys.example/jwks"),
            ("https://keys.example/jwks?key=hunter2", "https://keys.example/jwks?***"),
            ("http://[::1]:4317?hunter2", "http://[::1]:4317?***"),
            ("https://keys.example/#hunter2", "https://keys.example/?***"),
            ("https://user:hunter2@keys.example/", "https://***@keys.example/"),
            ("rediss://jeton:hunter2/?hunter2@redis:6379/0?sentinel_password=hunter2", "rediss://***@redis:6379/0?***"),
            ("https://keys.example/jck_hunter2", "(a secret)"),
            ("jck_hunter2", "(a secret)"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("", ""),
        ] {
            assert_eq!(shown_address(written), shown);
        }
    }
}

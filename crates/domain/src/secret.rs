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

/// A piece of a request as an error may repeat it: what looks like a token or a client secret was put into the wrong field,
/// and is left out.
#[must_use]
pub fn shown(text: &str) -> &str {
    const SECRET: [&str; 7] = ["jrt_", "jat_", "jac_", "jdc_", "jcs_", "jck_", "eyJ"];
    if SECRET.iter().any(|prefix| text.contains(prefix)) { "(a secret)" } else { text }
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
    }
}

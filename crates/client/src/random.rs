//! The system's randomness. Nothing else here draws any.

use aws_lc_rs::error::Unspecified;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::time::Duration;

/// A name that nobody else has: 128 bits, base64url. None where the system has no randomness.
pub(crate) fn name() -> Option<String> {
    bytes::<16>().map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}

/// Some time up to `most`. Half of it where the system has no randomness.
pub(crate) fn up_to(most: Duration) -> Duration {
    let share = bytes::<2>().map_or(0.5, |random| f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX));
    most.mul_f64(share)
}

fn bytes<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => Some(bytes),
        Err(Unspecified) => None,
    }
}

//! The system's randomness. Nothing else draws any.

use aws_lc_rs::error::Unspecified;
use jeton_domain::error::{Error, Result};
use std::time::Duration;

/// Random bytes.
///
/// # Errors
/// `Error::Internal`: the system gives none.
pub fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|Unspecified| Error::Internal("the system gives no randomness".into()))?;
    Ok(bytes)
}

/// Several values in one draw: a draw costs the same whatever it gives.
///
/// # Errors
/// As `bytes`.
pub fn several<const N: usize, const M: usize>() -> Result<[[u8; N]; M]> {
    let mut values = [[0; N]; M];
    aws_lc_rs::rand::fill(values.as_flattened_mut())
        .map_err(|Unspecified| Error::Internal("the system gives no randomness".into()))?;
    Ok(values)
}

/// Some time up to `most`. Half of it where the system has no randomness.
#[must_use]
pub fn up_to(most: Duration) -> Duration {
    let share = bytes::<2>().map_or(0.5, |random| f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX));
    most.mul_f64(share)
}

/// One of so many numbers, from 0. Zero where the system has no randomness.
#[must_use]
pub fn below(count: usize) -> usize {
    bytes::<8>().map_or(0, usize::from_be_bytes).checked_rem(count).unwrap_or(0)
}

//! Sealed values (`roots::seal`): what opens was sealed for that name, letter by letter.

use jeton::roots::{FRONT_BYTES, Roots};
use jeton_domain::secret::Secret;
use std::sync::LazyLock;

const NAME: &str = "jeton:{ab12}:g:grant";
const OTHER: &str = "jeton:{ab12}:g:other";
const TAG_BYTES: usize = 16;

/// Two keys, the newer of which seals.
static ROOTS: LazyLock<Option<Roots>> = LazyLock::new(|| Roots::new(&[Secret::new([2; 32]), Secret::new([1; 32])]).ok());

/// A value as it lies in the store, or behind a zero and three bytes what is to be sealed. Those say what is done to it then.
pub fn read(data: &[u8]) {
    assert!(ROOTS.is_some(), "there are root keys");
    match data {
        [0, high, low, mask, plain @ ..] => {
            let sealed = ROOTS.as_ref().and_then(|roots| roots.seal(NAME, plain).ok()).unwrap_or_default();
            assert_eq!(sealed.len(), FRONT_BYTES + plain.len() + TAG_BYTES);
            assert_eq!(opened(NAME, &sealed).as_deref(), Some(plain));
            is_of_one_spelling(&sealed, usize::from(u16::from_be_bytes([*high, *low])), *mask);
        }
        sealed => {
            if let Some(plain) = opened(NAME, sealed) {
                assert_eq!(sealed.len(), FRONT_BYTES + plain.len() + TAG_BYTES);
                (0..sealed.len()).for_each(|at| is_of_one_spelling(sealed, at, 1));
            }
        }
    }
}

fn opened(name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    ROOTS.as_ref()?.open(name, sealed).ok().map(|plain| plain.to_vec())
}

/// A flipped byte, a cut, a byte more, another name: none of these opens.
fn is_of_one_spelling(sealed: &[u8], at: usize, mask: u8) {
    let at = at % sealed.len().max(1);
    let mut flipped = sealed.to_vec();
    flipped.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= mask.max(1));
    assert_eq!(opened(NAME, &flipped), None, "byte {at} is another");
    assert_eq!(opened(NAME, sealed.get(..at).unwrap_or_default()), None, "cut at {at}");
    assert_eq!(opened(NAME, &[sealed, &[mask]].concat()), None, "a byte more");
    assert_eq!(opened(OTHER, sealed), None, "for another name");
}

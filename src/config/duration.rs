//! Durations as people write them: a whole number and a unit.

use jeton_domain::time::{Millis, UNITS};

/// Reads `10s`, `15m`, `12h`, `30d`, `250ms`.
pub(super) fn parse(text: &str) -> Result<Millis, String> {
    if text.starts_with('-') {
        return Err("must be longer than zero".into());
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let unit = UNITS.iter().find(|(word, _)| *word == unit);
    let (Some((_, millis)), false) = (unit, number.is_empty()) else {
        return Err("is no duration: write a whole number and its unit (ms, s, m, h, d), such as \"10s\"".into());
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(*millis)) {
        None => Err("is too long to be counted".into()),
        Some(0) => Err("must be longer than zero".into()),
        Some(millis) => Ok(Millis::new(millis)),
    }
}

/// The same in the longest unit that divides it.
pub(super) fn written(duration: Millis) -> String {
    duration.written()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for (text, millis) in [("10s", 10_000), ("15m", 900_000), ("12h", 43_200_000), ("30d", 2_592_000_000), ("250ms", 250)] {
            assert_eq!(parse(text), Ok(Millis::new(millis)));
            assert_eq!(written(Millis::new(millis)), text);
        }
        assert_eq!(written(Millis::from_secs(90)), "90s");
    }

    #[test]
    fn what_is_none_is_refused() {
        for bad in [
            "",
            "s",
            "10",
            "10 s",
            "1.5h",
            "10sec",
            "0s",
            "0ms",
            "-1s",
            "+1s",
            "99999999999999999999s",
            "9999999999999999d",
            "1é",
            "１s",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}

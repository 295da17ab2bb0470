//! Moments and durations of the decision: milliseconds since the Unix epoch, saturating, never read from a clock here.

/// The units in which people write durations, in milliseconds, the longest first.
pub const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const SECONDS_A_DAY: i64 = 86_400;

/// A moment, in milliseconds since the Unix epoch.
///
/// Differences saturate at zero, so that a clock that steps back can make something look younger but never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// A length of time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(u64);

impl Timestamp {
    /// Never handed out, never used: the value before anything happened.
    pub const NEVER: Self = Self(0);

    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From whole seconds since the Unix epoch (a JWT's NumericDate, RFC 7519 section 2).
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0 / 1_000
    }

    /// How long after `earlier` this is; zero when it is not after.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// The moment `by` later.
    #[must_use]
    pub const fn plus(self, by: Millis) -> Self {
        Self(self.0.saturating_add(by.0))
    }

    /// The moment `by` earlier, not before the epoch.
    #[must_use]
    pub const fn minus(self, by: Millis) -> Self {
        Self(self.0.saturating_sub(by.0))
    }
}

impl Millis {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From milliseconds.
    #[must_use]
    pub const fn new(millis: u64) -> Self {
        Self(millis)
    }

    /// From whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// In milliseconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// As people write it: `90s`, `15m`, `14d`, in the longest unit that divides it.
    #[must_use]
    pub fn written(self) -> String {
        let (word, unit) = UNITS.into_iter().find(|(_, unit)| self.0.is_multiple_of(*unit)).unwrap_or(("ms", 1));
        format!("{}{word}", self.0.checked_div(unit).unwrap_or_default())
    }

    /// For people: its two largest units, such as `4m 59s`.
    #[must_use]
    pub fn spelled(self) -> String {
        let seconds = self.secs();
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
        match (days, hours, minutes) {
            (0, 0, 0) => format!("{seconds}s"),
            (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
            (0, _, _) => format!("{hours}h {minutes}m"),
            _ => format!("{days}d {hours}h"),
        }
    }

    /// In whole seconds, rounded down.
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0 / 1_000
    }

    /// Both lengths together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of this length without the other; zero where that is longer.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// So many hundredths of this length.
    #[must_use]
    pub const fn percent(self, hundredths: u64) -> Self {
        Self(self.0 / 100 * hundredths + self.0 % 100 * hundredths / 100)
    }
}

/// RFC 3339 in UTC, to the second, of seconds since the Unix epoch. The civil calendar by the proleptic Gregorian rule, years counted from
/// March.
#[must_use]
pub fn utc(at: i64) -> String {
    let (days, second) = (at.div_euclid(SECONDS_A_DAY), at.rem_euclid(SECONDS_A_DAY));
    // Days since 1 March 0000, in eras of 400 years that are all alike.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

impl From<Millis> for std::time::Duration {
    fn from(value: Millis) -> Self {
        Self::from_millis(value.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_steps_back_yields_zero() {
        assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Millis::ZERO);
    }

    #[test]
    fn seventy_percent_of_a_day() {
        assert_eq!(Millis::from_secs(86_400).percent(70), Millis::from_secs(60_480));
    }

    #[test]
    fn times_in_full_and_lengths_in_words() {
        for (at, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_795_392_000, "2026-11-23T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(at), text);
        }
        for (seconds, text) in [(0, "0s"), (299, "4m 59s"), (3_605, "1h 0m"), (93_600, "1d 2h")] {
            assert_eq!(Millis::from_secs(seconds).spelled(), text);
        }
    }
}

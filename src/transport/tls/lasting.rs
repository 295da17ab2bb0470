//! How long the certificates of a listener last: measured, and told in time to who exchanges them.

use crate::telemetry::metrics;
use jeton_domain::time::{Millis, Timestamp};
use std::path::Path;
use std::time::Duration;

/// One that ends sooner is told of, unless it is a short one that has more than a quarter of its time before it.
const SOON: Millis = Millis::from_secs(7 * 86_400);

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lasts {
    /// Not before this.
    pub from: Timestamp,
    /// Not after this.
    pub until: Timestamp,
}

/// Whose it is, in the words of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// What the listener shows.
    Listener,
    /// Who vouches for those who connect.
    Authorities,
}

impl Lasts {
    /// The one that ends first of those that did not yet; where all did, any of them. None of none.
    #[must_use]
    pub fn first(all: impl IntoIterator<Item = Self>, now: Timestamp) -> Option<Self> {
        all.into_iter().min_by_key(|one| (one.until < now, one.until))
    }

    /// Whether it should have been exchanged: it ends within `soon`, and within a quarter of its time.
    #[must_use]
    pub fn is_due(self, now: Timestamp, soon: Millis) -> bool {
        let quarter = Millis::new(self.whole().get() / 4);
        self.until.since(now) < soon.min(quarter)
    }

    fn whole(self) -> Millis {
        self.until.since(self.from)
    }

    /// `ends in 3 days`, `ends in 5 hours`, `has expired`.
    fn ends(self, now: Timestamp) -> String {
        let left = self.until.since(now).secs();
        let (count, unit) = if left >= 86_400 { (left / 86_400, "day") } else { (left / 3_600, "hour") };
        match (left, count) {
            (0, _) => "has expired".into(),
            (_, 0) => "ends within the hour".into(),
            (_, 1) => format!("ends in 1 {unit}"),
            _ => format!("ends in {count} {unit}s"),
        }
    }

    /// What the operator should know of it.
    pub(super) fn remark(self, holder: Holder, file: &Path, now: Timestamp) -> Option<String> {
        let (ends, file) = (self.ends(now), file.display());
        self.is_due(now, SOON).then(|| match holder {
            Holder::Listener => format!("TLS: the certificate `{file}` {ends}: exchange it, with its key"),
            Holder::Authorities => format!("TLS: an authority in `{file}` {ends}: put its successor beside it"),
        })
    }

    pub(super) fn measure(self, listener: &'static str, holder: Holder, now: Timestamp) {
        let words = [listener, holder.word()];
        let seconds = |millis| Duration::from(millis).as_secs_f64();
        metrics::CERTIFICATE_EXPIRY.set_of(words, seconds(self.until.since(now)));
        metrics::CERTIFICATE_LIFETIME.set_of(words, seconds(self.whole()));
    }
}

impl Holder {
    const fn word(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Authorities => "authorities",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn lasts(from: u64, until: u64) -> Lasts {
        Lasts { from: Timestamp::from_secs(from), until: Timestamp::from_secs(until) }
    }

    #[test]
    fn what_ends_within_a_week_is_told_and_a_short_one_in_its_last_quarter() {
        let told = |lasts: Lasts, now| lasts.remark(Holder::Listener, Path::new("a.pem"), Timestamp::from_secs(now));
        let year = lasts(0, 365 * DAY);
        assert_eq!(told(year, 358 * DAY), None);
        let words = "TLS: the certificate `a.pem` ends in 6 days: exchange it, with its key";
        assert_eq!(told(year, 358 * DAY + 1).as_deref(), Some(words));
        let hourly = lasts(DAY, DAY + 3_600);
        assert_eq!(told(hourly, DAY + 2_700), None);
        assert!(told(hourly, DAY + 2_701).unwrap().contains("ends within the hour"));
        assert!(told(hourly, DAY + 3_600).unwrap().contains("has expired"));
        assert!(told(year, 365 * DAY - 3_600).unwrap().contains("ends in 1 hour:"));
    }

    #[test]
    fn of_several_the_next_to_end_counts_and_not_one_that_did() {
        let now = Timestamp::from_secs(10);
        assert_eq!(Lasts::first([lasts(0, 30), lasts(0, 20), lasts(0, 9)], now), Some(lasts(0, 20)));
        assert_eq!(Lasts::first([lasts(0, 9), lasts(0, 5)], now), Some(lasts(0, 5)));
        assert_eq!(Lasts::first([], now), None);
    }
}

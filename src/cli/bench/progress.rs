//! The progress bar: on standard error, and only where that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// What is done now, and how much of its time has passed.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{msg} [{bar:40}] {percent}%");
        Self(bar.with_style(style.unwrap_or_else(|_wrong_template| ProgressStyle::default_bar())))
    }

    /// Begins with something that takes at most `span`.
    pub(super) fn begin(&self, what: String, span: Duration) {
        self.0.set_length(millis(span));
        self.0.set_position(0);
        self.0.set_message(what);
    }

    /// So much of its time has passed.
    pub(super) fn at(&self, passed: Duration) {
        self.0.set_position(millis(passed));
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

//! Spans.

use tracing::Span;

/// A child of the current span, or none.
#[must_use]
pub fn child(_name: &'static str) -> Span {
    Span::none()
}

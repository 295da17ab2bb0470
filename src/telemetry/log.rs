//! The form of a log line: text for people or JSON, with the trace where there is one, and never a control character.

use super::{Format, trace};
use serde_json::{Map, Value};
use std::fmt::{self, Write as _};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Lets one line a second pass, and counts the others.
#[derive(Debug)]
pub struct Throttle {
    /// Milliseconds since the first use of any, from which on the next may pass.
    next: AtomicU64,
    unsaid: AtomicU64,
}

impl Throttle {
    /// Nothing was said yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: AtomicU64::new(0), unsaid: AtomicU64::new(0) }
    }

    /// Whether to say it: how many were not said since the last time. None: keep quiet.
    pub fn pass(&self) -> Option<u64> {
        static SINCE: LazyLock<Instant> = LazyLock::new(Instant::now);
        self.pass_at(u64::try_from(SINCE.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn pass_at(&self, now: u64) -> Option<u64> {
        let next = self.next.load(Ordering::Relaxed);
        let mine = now >= next
            && self.next.compare_exchange(next, now.saturating_add(1_000), Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if mine {
            return Some(self.unsaid.swap(0, Ordering::Relaxed));
        }
        self.unsaid.fetch_add(1, Ordering::Relaxed);
        None
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes one event a line.
#[derive(Clone, Copy, Debug)]
pub struct Lines(Format);

impl Lines {
    /// In this form.
    #[must_use]
    pub const fn new(format: Format) -> Self {
        Self(format)
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let (level, target) = (event.metadata().level(), event.metadata().target());
        let mut fields = Fields::default();
        event.record(&mut fields);
        let trace = trace::current_trace_id();
        match self.0 {
            Format::Json => {
                let mut line = Map::new();
                line.insert("timestamp".into(), time.into());
                line.insert("level".into(), level.as_str().into());
                line.insert("target".into(), target.into());
                line.insert("message".into(), fields.message.into());
                if let Some(trace) = trace {
                    line.insert("trace_id".into(), trace.into());
                }
                for (name, value) in fields.others {
                    line.entry(name).or_insert(value);
                }
                writeln!(writer, "{}", Value::Object(line))
            }
            Format::Text => {
                write!(writer, "{time} {level:>5} {target}: {}", Escaped(&fields.message))?;
                for (name, value) in fields.others {
                    match value {
                        Value::String(text) => write!(writer, " {name}={}", Escaped(&text))?,
                        other => write!(writer, " {name}={other}")?,
                    }
                }
                if let Some(trace) = trace {
                    write!(writer, " trace_id={trace}")?;
                }
                writeln!(writer)
            }
        }
    }
}

/// Text in which every control character is spelled out, so that a line is a line and a terminal stays as it is.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            // Line and paragraph separators, and what turns the direction of writing around, deceive as well.
            if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}') {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(String, Value)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.others.push((name.to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::String(value.to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, build};
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lined(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lined {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, level: &str) -> String {
        let lines = Lined::default();
        let (settings, kept) = (Settings { format, level: level.into(), ..Settings::default() }, lines.clone());
        let (subscriber, _telemetry) = build(&settings, move || kept.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(who = "eve\u{1b}[31m\nroot\u{7}", count = 3_u64, shown = %"a\rb", "cl\u{9b}ear\0ed");
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        for format in [Format::Text, Format::Json] {
            let text = logged(format, "info");
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(
                text.trim_end_matches('\n').chars().all(|c| !c.is_control() || c == '\u{9b}' && format == Format::Json),
                "{text:?}"
            );
            assert!(text.contains("WARN") && text.contains("count"), "{text}");
        }
        assert!(logged(Format::Text, "info").contains("who=eve\\u{1b}[31m\\nroot\\u{7} count=3 shown=a\\rb"));
    }

    #[test]
    fn json_is_json() {
        let line: Value = serde_json::from_str(&logged(Format::Json, "info")).unwrap();
        assert_eq!(line["who"], "eve\u{1b}[31m\nroot\u{7}");
        assert_eq!((&line["count"], &line["level"]), (&Value::from(3), &Value::from("WARN")));
    }

    #[test]
    fn a_flood_is_one_line_a_second() {
        let throttle = Throttle::new();
        let passed: Vec<_> = [0, 1, 999, 1_000, 1_500].map(|now| throttle.pass_at(now)).into();
        assert_eq!(passed, [Some(0), None, None, Some(2), None]);
    }

    #[test]
    fn the_level_is_kept() {
        assert_eq!(logged(Format::Text, "error"), "");
        assert!(build(&Settings { level: "no=such=level".into(), ..Settings::default() }, io::sink).is_err());
    }
}

//! A process whose time of day is off: a few lines of C, compiled by the compiler that links Rust programs and preloaded.
//! On systems that cannot, the tests that need it say so and do the rest.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The library; none where it cannot be made.
fn library() -> Option<&'static PathBuf> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let make = || {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/outage/clock_offset.c");
        let library = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("clock_offset_{}.so", std::process::id()));
        let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
        (cfg!(target_os = "linux") && made.is_ok_and(|status| status.success())).then_some(library)
    };
    LIBRARY.get_or_init(make).as_ref()
}

/// Whether a process can be given a clock that is off.
pub fn is_possible() -> bool {
    library().is_some()
}

/// What a process is started with so that its clock is so many seconds ahead.
pub fn variables(seconds: i32) -> [(&'static str, String); 2] {
    let library = library().expect("asked whether it is possible");
    [("LD_PRELOAD", library.display().to_string()), ("CLOCK_AHEAD", seconds.to_string())]
}

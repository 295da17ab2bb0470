//! The harness of libFuzzer. `.ci/fuzz` builds it; otherwise there is nothing in it.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod harness {
    use std::sync::LazyLock;

    static TARGET: LazyLock<jeton_fuzz::Target> = LazyLock::new(|| {
        let named = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let found = jeton_fuzz::TARGETS.into_iter().find(|target| target.name == named);
        found.unwrap_or_else(|| panic!("FUZZ_TARGET names no target: `{named}`"))
    });

    libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET.read)(data));
}

#[cfg(not(fuzzing))]
const fn main() {}

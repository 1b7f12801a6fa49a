//! Any bytes as a script of timers, beside a sorted map.
#![no_main]

libfuzzer_sys::fuzz_target!(init: tidegate_fuzz::seed("timers"), |bytes: &[u8]| tidegate_fuzz::run("timers", bytes));

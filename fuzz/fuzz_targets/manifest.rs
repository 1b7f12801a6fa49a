//! Any bytes as a checkpoint's manifest.
#![no_main]

libfuzzer_sys::fuzz_target!(init: tidegate_fuzz::seed("manifest"), |bytes: &[u8]| tidegate_fuzz::run("manifest", bytes));

//! Any bytes as a job's small sealed documents.
#![no_main]

libfuzzer_sys::fuzz_target!(init: tidegate_fuzz::seed("documents"), |bytes: &[u8]| tidegate_fuzz::run("documents", bytes));

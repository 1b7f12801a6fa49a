//! Any bytes as a task's snapshot file.
#![no_main]

libfuzzer_sys::fuzz_target!(init: tidegate_fuzz::seed("snapshot_file"), |bytes: &[u8]| tidegate_fuzz::run("snapshot_file", bytes));
